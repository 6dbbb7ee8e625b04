//! Times as people read them: UTC, as in RFC 3339.

use jiff::Timestamp;

/// A time in milliseconds of Unix time, to the second. Nothing if it never was.
pub(crate) fn second(ms: u64) -> String {
    match i64::try_from(ms) {
        Ok(0) => String::new(),
        Ok(ms) => text(ms, 0),
        Err(_) => ms.to_string(),
    }
}

/// A time in milliseconds of Unix time.
pub(crate) fn millisecond(ms: i64) -> String {
    text(ms, 3)
}

/// What is no time in the calendar stays a number: it comes from other nodes and may be anything.
fn text(ms: i64, digits: usize) -> String {
    Timestamp::from_millisecond(ms)
        .map_or_else(|_| ms.to_string(), |time| format!("{time:.digits$}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_by_people() {
        let check = |ms, expected| assert_eq!(second(ms), expected);
        check(0, "");
        check(1, "1970-01-01T00:00:00Z");
        check(1_795_699_158_700, "2026-11-26T13:19:18Z");
        check(u64::MAX, "18446744073709551615");
        check(i64::MAX as u64, "9223372036854775807");
        assert_eq!(millisecond(1_795_699_158_007), "2026-11-26T13:19:18.007Z");
        assert_eq!(millisecond(-1), "1969-12-31T23:59:59.999Z");
        assert_eq!(millisecond(i64::MIN), "-9223372036854775808");
    }
}
