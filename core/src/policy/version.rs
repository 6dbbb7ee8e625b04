//! The order of versions, made for distributions and kernels: `5.15.0-105-generic` is after
//! `5.15`, `5.15.0-rc7` before it, and `9` is `9.0`. It is not semver, where the first is a pre-release.

use std::cmp::Ordering;

/// Is this text a version: `v1.2.3`, then maybe a suffix after `-`, `+`, `~` or `_`?
pub(crate) fn is_version(text: &str) -> bool {
    let mut rest = text.strip_prefix('v').unwrap_or(text);
    let digits = rest.trim_start_matches(|c: char| c.is_ascii_digit());
    if digits.len() == rest.len() {
        return false;
    }
    rest = digits;
    while let Some(part) = rest.strip_prefix('.') {
        let after = part.trim_start_matches(|c: char| c.is_ascii_alphanumeric());
        if after.len() == part.len() {
            return false;
        }
        rest = after;
    }
    rest.is_empty() || rest.starts_with(['-', '+', '~', '_'])
}

/// Compares two versions.
pub(crate) fn compare(left: &str, right: &str) -> Ordering {
    let (left, right) = (Version::new(left), Version::new(right));
    release(left.release, right.release)
        .then(left.stage.cmp(&right.stage))
        .then_with(|| natural(left.suffix, right.suffix))
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    Before,
    Final,
    After,
}

struct Version<'a> {
    release: &'a str,
    stage: Stage,
    suffix: &'a str,
}

impl<'a> Version<'a> {
    fn new(text: &'a str) -> Self {
        let text = text.strip_prefix('v').unwrap_or(text);
        let (release, suffix) = text.split_at_checked(release_len(text)).unwrap_or((text, ""));
        if suffix.is_empty() {
            return Self { release, stage: Stage::Final, suffix };
        }
        let bare = suffix.strip_prefix(['-', '.', '_', '~']).unwrap_or(suffix);
        if suffix.starts_with('~') || is_before(bare) {
            Self { release, stage: Stage::Before, suffix: bare }
        } else {
            Self { release, stage: Stage::After, suffix }
        }
    }
}

/// The length of the leading dotted numbers.
fn release_len(text: &str) -> usize {
    let mut len = 0;
    for part in text.split('.') {
        let digits = part.bytes().take_while(u8::is_ascii_digit).count();
        if digits == 0 {
            return len;
        }
        len += digits + usize::from(len > 0);
        if digits < part.len() {
            return len;
        }
    }
    len
}

/// Does a suffix mark what comes before the release, such as `rc7`?
fn is_before(suffix: &str) -> bool {
    let word = suffix.bytes().take_while(u8::is_ascii_alphabetic).count();
    let Some((word, rest)) = suffix.split_at_checked(word) else { return false };
    let is = |names: &[&str]| names.iter().any(|name| name.eq_ignore_ascii_case(word));
    is(&["alpha", "beta", "rc", "pre", "preview", "dev"])
        || (is(&["a", "b", "c"]) && rest.starts_with(|c: char| c.is_ascii_digit()))
}

/// Compares dotted numbers, padded with zeros.
fn release(left: &str, right: &str) -> Ordering {
    let (mut left, mut right) = (left.split('.'), right.split('.'));
    loop {
        let ordering = match (left.next(), right.next()) {
            (None, None) => return Ordering::Equal,
            (left, right) => number(left.unwrap_or(""), right.unwrap_or("")),
        };
        if ordering.is_ne() {
            return ordering;
        }
    }
}

/// Compares digits as numbers of any length; no digits are zero.
fn number(left: &str, right: &str) -> Ordering {
    let (left, right) = (left.trim_start_matches('0'), right.trim_start_matches('0'));
    left.len().cmp(&right.len()).then_with(|| left.cmp(right))
}

/// Compares text with the numbers inside it as numbers.
fn natural(mut left: &str, mut right: &str) -> Ordering {
    loop {
        let (ordering, left_rest, right_rest) = match (token(left), token(right)) {
            (None, None) => return Ordering::Equal,
            (None, Some(_)) => return Ordering::Less,
            (Some(_), None) => return Ordering::Greater,
            (Some((a, left_rest)), Some((b, right_rest))) => {
                let digits = |text: &str| text.starts_with(|c: char| c.is_ascii_digit());
                let both = digits(a) && digits(b);
                (if both { number(a, b) } else { a.cmp(b) }, left_rest, right_rest)
            }
        };
        if ordering.is_ne() {
            return ordering;
        }
        (left, right) = (left_rest, right_rest);
    }
}

/// The first run of digits, or else the first character, and the rest.
fn token(text: &str) -> Option<(&str, &str)> {
    let first = text.chars().next()?;
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    text.split_at_checked(if digits == 0 { first.len_utf8() } else { digits })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(ascending: &[&str]) {
        for (at, left) in ascending.iter().enumerate() {
            for (other, right) in ascending.iter().enumerate() {
                assert_eq!(compare(left, right), at.cmp(&other), "{left} {right}");
            }
        }
    }

    fn check_equal(left: &str, right: &str) {
        assert_eq!(compare(left, right), Ordering::Equal, "{left} {right}");
    }

    #[test]
    fn kernels_are_in_order() {
        check(&["5.15.0-rc7", "5.15", "5.15.0-105-generic", "5.15.0-106-generic", "5.16"]);
        check(&["6.8.0-9-generic", "6.8.0-45-generic", "6.8.1"]);
    }

    #[test]
    fn distributions_are_in_order() {
        check(&["20.04", "20.10", "22.1", "22.9", "22.10"]);
        check(&["12.0~beta1", "12.0", "12.5"]);
    }

    #[test]
    fn stages_are_in_order() {
        check(&["1.0a1", "1.0b2", "1.0-rc1", "1.0-rc2", "1.0-rc10", "1.0", "1.0b", "1.0c"]);
        check(&["1.1.1", "1.1.1a", "1.1.1k", "1.1.2"]);
        check(&["1.0.dev3", "1.0", "1.0-devel", "1.0-preempt"]);
    }

    #[test]
    fn zeros_and_separators_do_not_matter() {
        check_equal("9", "9.0");
        check_equal("5.15", "5.15.0");
        check_equal("20.04", "20.4");
        check_equal("v1.2", "1.2");
        check_equal("1.0rc1", "1.0-RC1".to_lowercase().as_str());
        check_equal("1.0.rc1", "1.0~rc01");
        check(&["18446744073709551616", "18446744073709551617"]);
    }

    #[test]
    fn what_is_a_version() {
        for text in ["9", "22.04", "v1.2", "5.15.0-105-generic", "1.1.1k", "6.1.0+", "12.0~beta1"] {
            assert!(is_version(text), "{text}");
        }
        for text in ["", "v", "rolling", "bookworm/sid", "1..2", "1e3", "-1", "22.04*", "1."] {
            assert!(!is_version(text), "{text}");
        }
    }
}
