//! Literals and their readings. A literal is what it is spelled as; which of its readings counts is
//! decided by the fact it is compared with.

use std::{cmp::Ordering, net::IpAddr};

use ipnet::IpNet;

use super::{
    ast::Span,
    error::{ParsePolicyErrorKind as Kind, Problem},
    token, version,
};

/// A value in the text of a policy.
#[derive(Debug, Clone)]
pub(crate) struct Literal {
    /// As spelled, without quotes; a boolean in lower case.
    pub(crate) text: Box<str>,
    /// INVARIANT: true only where quotes make a difference or the text cannot do without.
    pub(crate) quoted: bool,
    pub(crate) boolean: Option<bool>,
    pub(crate) number: Option<Number>,
    /// With a unit of size, in bytes.
    pub(crate) size: Option<Number>,
    /// With a unit of time, in seconds.
    pub(crate) duration: Option<Number>,
    pub(crate) ip: Option<IpAddr>,
    pub(crate) net: Option<IpNet>,
    pub(crate) span: Span,
}

impl PartialEq for Literal {
    fn eq(&self, other: &Self) -> bool {
        (&self.text, self.quoted) == (&other.text, other.quoted)
    }
}

const BOOLEANS: [(&str, bool); 2] = [("true", true), ("false", false)];

impl Literal {
    /// A literal without quotes.
    pub(crate) fn bare(text: &str, span: Span) -> Result<Self, Problem> {
        let too_large =
            || Problem::new(Kind::Number(text.into()), span).help("quote it if it is text");
        let boolean = BOOLEANS.into_iter().find(|(name, _)| name.eq_ignore_ascii_case(text));
        Ok(Self {
            text: boolean.map_or(text, |(name, _)| name).into(),
            quoted: false,
            boolean: boolean.map(|(_, value)| value),
            number: Number::parse(text).map_err(|TooLarge| too_large())?,
            size: size(text).map_err(|TooLarge| too_large())?,
            duration: duration(text).map_err(|TooLarge| too_large())?,
            ip: ip(text),
            net: net(text),
            span,
        })
    }

    /// A literal in quotes. Where they make no difference, they are forgotten.
    pub(crate) fn quoted(text: &str, span: Span) -> Self {
        if token::is_atom(text)
            && let Ok(bare) = Self::bare(text, span)
            && bare.boolean.is_none()
            && bare.number.is_none()
            && bare.size.is_none()
            && bare.duration.is_none()
        {
            return bare;
        }
        Self {
            text: text.into(),
            quoted: true,
            boolean: None,
            number: Number::parse(text).ok().flatten(),
            size: None,
            duration: None,
            ip: ip(text),
            net: net(text),
            span,
        }
    }

    /// The reading as a number, as a size in bytes, or as a duration in seconds.
    pub(crate) fn quantity(&self) -> Option<Number> {
        self.size.or(self.duration).or(self.number)
    }

    pub(crate) fn is_version(&self) -> bool {
        version::is_version(&self.text)
    }

    /// `16G`, which people use for two different sizes.
    pub(crate) fn is_ambiguous_size(&self) -> bool {
        self.text.strip_suffix(['K', 'M', 'G', 'T', 'P', 'E', 'k']).is_some_and(|number| {
            !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit() || b == b'.')
        })
    }
}

/// A number, compared exactly.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Number {
    Int(i64),
    Float(f64),
}

/// A number that no fact can hold.
struct TooLarge;

impl Number {
    pub(crate) fn compare(self, other: Self) -> Ordering {
        match (self, other) {
            (Self::Int(left), Self::Int(right)) => left.cmp(&right),
            // Both are finite, so that they always have an order.
            (Self::Float(left), Self::Float(right)) => {
                left.partial_cmp(&right).unwrap_or(Ordering::Equal)
            }
            (Self::Int(left), Self::Float(right)) => compare_exact(left, right),
            (Self::Float(left), Self::Int(right)) => compare_exact(right, left).reverse(),
        }
    }

    /// A number in a text, maybe with a unit of size.
    pub(crate) fn of_size(text: &str) -> Option<Self> {
        size(text).ok()?.or_else(|| Self::of_text(text))
    }

    /// A number in a text, maybe with a unit of time.
    pub(crate) fn of_duration(text: &str) -> Option<Self> {
        duration(text).ok()?.or_else(|| Self::of_text(text))
    }

    /// A number in a text.
    pub(crate) fn of_text(text: &str) -> Option<Self> {
        Self::parse(text).ok()?
    }

    fn parse(text: &str) -> Result<Option<Self>, TooLarge> {
        let digits = text.strip_prefix('-').unwrap_or(text);
        let Some((whole, rest)) = split_digits(digits) else { return Ok(None) };
        if rest.is_empty() {
            if whole.len() > 1 && whole.starts_with('0') {
                return Ok(None);
            }
            return text.parse().map(|number| Some(Self::Int(number))).map_err(|_| TooLarge);
        }
        let rest = match rest.strip_prefix('.') {
            Some(fraction) => match split_digits(fraction) {
                Some((_, rest)) => rest,
                None => return Ok(None),
            },
            None => rest,
        };
        if !rest.is_empty() && !is_exponent(rest) {
            return Ok(None);
        }
        match text.parse::<f64>() {
            Ok(number) if number.is_finite() => Ok(Some(Self::Float(number))),
            _ => Err(TooLarge),
        }
    }
}

fn is_exponent(text: &str) -> bool {
    let Some(digits) = text.strip_prefix(['e', 'E']) else { return false };
    let digits = digits.strip_prefix(['+', '-']).unwrap_or(digits);
    split_digits(digits).is_some_and(|(_, rest)| rest.is_empty())
}

/// The leading digits, of which there is at least one, and the rest.
fn split_digits(text: &str) -> Option<(&str, &str)> {
    let len = text.bytes().take_while(u8::is_ascii_digit).count();
    text.split_at_checked(len).filter(|_| len > 0)
}

/// Compares without rounding the integer to a float.
fn compare_exact(int: i64, float: f64) -> Ordering {
    const LIMIT: f64 = 9_223_372_036_854_775_808.0;
    if float >= LIMIT {
        return Ordering::Less;
    }
    if float < -LIMIT {
        return Ordering::Greater;
    }
    let below_or_above = 0.0_f64.partial_cmp(&float.fract()).unwrap_or(Ordering::Equal);
    int.cmp(&(float.trunc() as i64)).then(below_or_above)
}

/// An address, and not the trouble of reading most words as one.
fn ip(text: &str) -> Option<IpAddr> {
    if text.bytes().any(|b| matches!(b, b'.' | b':')) { text.parse().ok() } else { None }
}

/// A network.
fn net(text: &str) -> Option<IpNet> {
    if text.contains('/') { text.parse().ok() } else { None }
}

/// A number with a unit of size, in bytes.
fn size(text: &str) -> Result<Option<Number>, TooLarge> {
    measured(text, |unit| Some((size_unit(unit)?, 1)))
}

/// A number with a unit of time, in seconds.
fn duration(text: &str) -> Result<Option<Number>, TooLarge> {
    measured(text, |unit| {
        Some(match unit {
            "ms" => (1, 1000),
            "s" => (1, 1),
            "m" => (60, 1),
            "h" => (3600, 1),
            "d" => (86_400, 1),
            "w" => (604_800, 1),
            _ => return None,
        })
    })
}

/// A number with a unit, which is a fraction of the base unit.
fn measured(
    text: &str,
    unit: impl Fn(&str) -> Option<(i128, i128)>,
) -> Result<Option<Number>, TooLarge> {
    if !text.starts_with(|c: char| c == '-' || c.is_ascii_digit()) {
        return Ok(None);
    }
    let number = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let Some((factor, divisor)) = text.get(number.len()..).and_then(unit) else { return Ok(None) };
    let (negative, digits) = match number.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, number),
    };
    let Some((whole, rest)) = split_digits(digits) else { return Ok(None) };
    let fraction = match rest.strip_prefix('.').map(split_digits) {
        Some(Some((fraction, ""))) => fraction.trim_end_matches('0'),
        None if rest.is_empty() => "",
        _ => return Ok(None),
    };
    let scaled =
        format!("{whole}{fraction}").parse::<i128>().ok().and_then(|n| n.checked_mul(factor));
    let parts = u32::try_from(fraction.len())
        .ok()
        .and_then(|len| 10_i128.checked_pow(len)?.checked_mul(divisor));
    let (Some(scaled), Some(parts)) = (scaled, parts) else { return Err(TooLarge) };
    let scaled = if negative { -scaled } else { scaled };
    if scaled % parts == 0 {
        return i64::try_from(scaled / parts).map(|n| Some(Number::Int(n))).map_err(|_| TooLarge);
    }
    Ok(Some(Number::Float(scaled as f64 / parts as f64)))
}

fn size_unit(name: &str) -> Option<i128> {
    let (base, power): (i128, u32) = match name {
        "B" => (1, 1),
        "kB" | "KB" => (1000, 1),
        "MB" => (1000, 2),
        "GB" => (1000, 3),
        "TB" => (1000, 4),
        "PB" => (1000, 5),
        "EB" => (1000, 6),
        "KiB" => (1024, 1),
        "MiB" => (1024, 2),
        "GiB" => (1024, 3),
        "TiB" => (1024, 4),
        "PiB" => (1024, 5),
        "EiB" => (1024, 6),
        _ => return None,
    };
    base.checked_pow(power)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &str) {
        let found = match Literal::bare(text, Span::new(0, 0)) {
            Err(problem) => problem.kind.to_string(),
            Ok(literal) => match (literal.boolean, literal.quantity()) {
                (Some(value), _) => format!("bool {value}"),
                (_, Some(Number::Int(number))) => format!("int {number}"),
                (_, Some(Number::Float(number))) => format!("float {number}"),
                _ => match (literal.ip, literal.net) {
                    (Some(ip), _) => format!("ip {ip}"),
                    (_, Some(net)) => format!("net {net}"),
                    _ => format!("word {}", literal.text),
                },
            },
        };
        assert_eq!(found, expected, "{text}");
    }

    #[test]
    fn words_have_readings() {
        check("TRUE", "bool true");
        check("yes", "word yes");
        check("16", "int 16");
        check("-0", "int 0");
        check("007", "word 007");
        check("20.04", "float 20.04");
        check("1.5e3", "float 1500");
        check("1e", "word 1e");
        check("10.0.0.5", "ip 10.0.0.5");
        check("::1", "ip ::1");
        check("fe80::/10", "net fe80::/10");
        check("9223372036854775808", "`9223372036854775808` does not fit into 64 bits");
        check("1e999", "`1e999` does not fit into 64 bits");
    }

    #[test]
    fn sizes_are_bytes() {
        check("16GiB", "int 17179869184");
        check("16GB", "int 16000000000");
        check("1kB", "int 1000");
        check("1.5KiB", "int 1536");
        check("0.0001kB", "float 0.1");
        check("-1B", "int -1");
        check("16G", "word 16G");
        check("16gb", "word 16gb");
        check("8EiB", "`8EiB` does not fit into 64 bits");
        check("B", "word B");
    }

    #[test]
    fn durations_are_seconds() {
        check("90s", "int 90");
        check("5m", "int 300");
        check("1.5h", "int 5400");
        check("2d", "int 172800");
        check("1w", "int 604800");
        check("250ms", "float 0.25");
        check("3000ms", "int 3");
        check("5min", "word 5min");
    }

    #[test]
    fn whole_numbers_and_floats_compare_exactly() {
        let big = 9_007_199_254_740_993;
        assert_eq!(compare_exact(big, 9_007_199_254_740_992.0), Ordering::Greater);
        assert_eq!(compare_exact(2, 2.5), Ordering::Less);
        assert_eq!(compare_exact(-2, -2.5), Ordering::Greater);
        assert_eq!(compare_exact(i64::MAX, 9.3e18), Ordering::Less);
        assert_eq!(compare_exact(i64::MIN, -9_223_372_036_854_775_808.0), Ordering::Equal);
    }
}
