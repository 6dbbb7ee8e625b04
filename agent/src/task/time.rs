//! Spans of time as Go writes them: `1s`, `1h30m`, `500ms`, `1.5s`.

use std::{fmt::Write as _, time::Duration};

/// The units, the longest first, in nanoseconds.
const UNITS: [(&str, u128); 8] = [
    ("h", 3_600_000_000_000),
    ("ms", 1_000_000),
    ("m", 60_000_000_000),
    ("ns", 1),
    ("us", 1_000),
    ("µs", 1_000),
    ("μs", 1_000),
    ("s", 1_000_000_000),
];
/// The longest span a manifest can name: ten years.
const LONGEST: Duration = Duration::from_secs(10 * 366 * 86_400);

/// Why a text is no span of time. The mistake is the user's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum TimeError {
    /// It has no number, or an unknown unit.
    #[error("`{0}` is not a time, write it as `500ms`, `10s`, `1h30m`")]
    Form(String),
    /// It is a bare number.
    #[error("`{0}` has no unit, write `{0}s` for seconds")]
    Unit(String),
    /// It lies before its own beginning.
    #[error("`{0}` is a time below zero")]
    Negative(String),
    /// It is beyond all measure.
    #[error("`{0}` is longer than ten years")]
    TooLong(String),
}

/// Reads a span of time.
pub(crate) fn parse(text: &str) -> Result<Duration, TimeError> {
    let form = || TimeError::Form(text.to_owned());
    let trimmed = text.trim();
    let mut rest = trimmed.strip_prefix('+').unwrap_or(trimmed);
    if rest.strip_prefix('-').is_some_and(|rest| parse(rest).is_ok()) {
        return Err(TimeError::Negative(text.to_owned()));
    }
    if rest == "0" {
        return Ok(Duration::ZERO);
    }
    if rest.is_empty() {
        return Err(form());
    }
    let mut total: u128 = 0;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        let (whole, after) = rest.split_at_checked(digits).ok_or_else(form)?;
        let (fraction, after) = match after.strip_prefix('.') {
            Some(after) => {
                let digits = after.find(|c: char| !c.is_ascii_digit()).unwrap_or(after.len());
                after.split_at_checked(digits).ok_or_else(form)?
            }
            None => ("", after),
        };
        if whole.is_empty() && fraction.is_empty() {
            return Err(form());
        }
        if after.is_empty() && rest == trimmed {
            return Err(TimeError::Unit(text.to_owned()));
        }
        let (unit, size) =
            UNITS.into_iter().find(|(unit, _)| after.starts_with(unit)).ok_or_else(form)?;
        let number = |digits: &str| if digits.is_empty() { Ok(0) } else { digits.parse() };
        let too_long = |_| TimeError::TooLong(text.to_owned());
        let whole: u64 = number(whole).map_err(too_long)?;
        // Below a nanosecond nothing counts.
        let fraction = fraction.get(..fraction.len().min(18)).unwrap_or_default();
        let part: u64 = number(fraction).map_err(too_long)?;
        let scale = 10_u128.pow(u32::try_from(fraction.len()).unwrap_or_default());
        total += u128::from(whole) * size + u128::from(part) * size / scale;
        rest = after.get(unit.len()..).unwrap_or_default();
    }
    let nanos = u64::try_from(total).ok().map(Duration::from_nanos);
    nanos.filter(|time| *time <= LONGEST).ok_or_else(|| TimeError::TooLong(text.to_owned()))
}

/// A span of time as it is read.
pub(crate) fn show(time: Duration) -> String {
    if time.is_zero() {
        return "0s".to_owned();
    }
    let (mut text, mut rest) = (String::new(), time.as_nanos());
    for (unit, size) in [("h", 3_600_000_000_000), ("m", 60_000_000_000), ("s", 1_000_000_000)] {
        if rest >= size {
            let _ = write!(text, "{}{unit}", rest / size);
            rest %= size;
        }
    }
    for (unit, size) in [("ms", 1_000_000), ("us", 1_000), ("ns", 1)] {
        if rest >= size {
            let _ = write!(text, "{}{unit}", rest / size);
            rest %= size;
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: Result<u64, &str>) {
        let found = parse(text)
            .map(|time| u64::try_from(time.as_nanos()).unwrap())
            .map_err(|error| error.to_string());
        assert_eq!(found.as_ref().map_err(String::as_str), expected.as_ref().map_err(|e| *e));
        let Ok(nanos) = found else { return };
        assert_eq!(parse(&show(Duration::from_nanos(nanos))), Ok(Duration::from_nanos(nanos)));
    }

    #[test]
    fn times_are_read_as_go_reads_them() {
        const S: u64 = 1_000_000_000;
        check("1s", Ok(S));
        check("1h30m", Ok(5400 * S));
        check("500ms", Ok(S / 2));
        check("1.5s", Ok(S * 3 / 2));
        check(".5s", Ok(S / 2));
        check("+2m", Ok(120 * S));
        check("1h0m0.25s", Ok(3600 * S + S / 4));
        check("10us", Ok(10_000));
        check("10µs", Ok(10_000));
        check("0", Ok(0));
        check("0.1234567890123456789012s", Ok(123_456_789));
    }

    #[test]
    fn what_is_no_time_says_how_to_write_one() {
        check("10", Err("`10` has no unit, write `10s` for seconds"));
        check("-1s", Err("`-1s` is a time below zero"));
        check("1000000h", Err("`1000000h` is longer than ten years"));
        check("99999999999999999999h", Err("`99999999999999999999h` is longer than ten years"));
        for text in ["", "s", "ten", "1d", "1.s.", "1s5", "10 s", "."] {
            check(
                text,
                Err(&format!("`{text}` is not a time, write it as `500ms`, `10s`, `1h30m`")),
            );
        }
    }

    #[test]
    fn times_are_shown_short() {
        assert_eq!(show(Duration::from_secs(5400)), "1h30m");
        assert_eq!(show(Duration::from_millis(1500)), "1s500ms");
    }
}
