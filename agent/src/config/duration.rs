//! Spans of time as people write them: `500ms`, `10s`, `1.5m`, `2h`.

use std::time::Duration;

/// Why a text is not a span of time. The mistake is the user's.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum DurationError {
    /// It has no number, or an unknown unit.
    #[error("`{0}` is not a time, write it as `500ms`, `10s`, `5m` or `1h`")]
    Form(String),
    /// It is a bare number.
    #[error("`{0}` has no unit, write `{0}s` for seconds")]
    Unit(String),
}

/// Reads a span of time.
pub(crate) fn parse(text: &str) -> Result<Duration, DurationError> {
    let form = || DurationError::Form(text.to_owned());
    let digits = text.find(|c: char| !(c.is_ascii_digit() || c == '.')).unwrap_or(text.len());
    let (number, unit) = text.split_at_checked(digits).ok_or_else(form)?;
    let number: f64 = number.parse().map_err(|_| form())?;
    let seconds = match unit.trim_start() {
        "ms" => number / 1000.0,
        "s" => number,
        "m" => number * 60.0,
        "h" => number * 3600.0,
        "" => return Err(DurationError::Unit(text.to_owned())),
        _ => return Err(form()),
    };
    Duration::try_from_secs_f64(seconds).map_err(|_| form())
}

/// A span of time as it is read.
pub(crate) fn show(duration: Duration) -> String {
    match duration.subsec_nanos() {
        0 => format!("{}s", duration.as_secs()),
        _ => format!("{}ms", duration.as_millis()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: Result<u64, &str>) {
        let found = parse(text)
            .map(|time| u64::try_from(time.as_millis()).unwrap())
            .map_err(|error| error.to_string());
        assert_eq!(found.as_ref().map_err(String::as_str), expected.as_ref().map_err(|e| *e));
    }

    #[test]
    fn times_have_a_number_and_a_unit() {
        check("500ms", Ok(500));
        check("10s", Ok(10_000));
        check("10 s", Ok(10_000));
        check("1.5m", Ok(90_000));
        check("2h", Ok(7_200_000));
        check("0s", Ok(0));
    }

    #[test]
    fn what_is_not_a_time_says_how_to_write_one() {
        check("10", Err("`10` has no unit, write `10s` for seconds"));
        let form = "is not a time, write it as `500ms`, `10s`, `5m` or `1h`";
        for text in ["", "s", "ten", "-1s", "10 parsecs", "1.2.3s", "9999999999999999999999h"] {
            check(text, Err(&format!("`{text}` {form}")));
        }
    }

    #[test]
    fn times_are_shown_as_they_are_read() {
        assert_eq!(show(Duration::from_secs(90)), "90s");
        assert_eq!(show(Duration::from_millis(1500)), "1500ms");
    }
}
