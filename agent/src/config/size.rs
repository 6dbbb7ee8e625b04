//! Sizes as people write them: `100MiB`, `2 GiB`, `500kB`.

/// The units, the longest first, in bytes.
const UNITS: [(&str, u64); 9] = [
    ("kib", 1 << 10),
    ("mib", 1 << 20),
    ("gib", 1 << 30),
    ("tib", 1 << 40),
    ("kb", 1_000),
    ("mb", 1_000_000),
    ("gb", 1_000_000_000),
    ("tb", 1_000_000_000_000),
    ("b", 1),
];

/// Why a text is not a size. The mistake is the user's.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a size, write it as `100MiB` or `1GiB`")]
pub(super) struct SizeError(String);

/// Reads a size.
pub(super) fn parse(text: &str) -> Result<u64, SizeError> {
    let error = || SizeError(text.to_owned());
    let lower = text.trim().to_ascii_lowercase();
    let unit = UNITS.into_iter().find_map(|(unit, size)| Some((lower.strip_suffix(unit)?, size)));
    let (number, size) = unit.ok_or_else(error)?;
    let number: u64 = number.trim().parse().map_err(|_| error())?;
    number.checked_mul(size).ok_or_else(error)
}

/// A size as it is read.
pub(super) fn show(bytes: u64) -> String {
    let whole = |(_, size): &&(&str, u64)| bytes > 0 && bytes.is_multiple_of(*size);
    match [("TiB", 1 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)]
        .iter()
        .find(|it| whole(it))
    {
        Some((unit, size)) => format!("{}{unit}", bytes / size),
        None => format!("{bytes}B"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: Option<u64>) {
        assert_eq!(parse(text).ok(), expected, "{text}");
        if let Some(bytes) = expected {
            assert_eq!(parse(&show(bytes)), Ok(bytes));
        }
    }

    #[test]
    fn sizes_have_a_number_and_a_unit() {
        check("100MiB", Some(104_857_600));
        check("2 GiB", Some(2 << 30));
        check("500kB", Some(500_000));
        check("1b", Some(1));
        check("0MiB", Some(0));
        for text in ["", "MiB", "100", "1.5GiB", "-1MiB", "99999999999TiB", "ten MiB"] {
            check(text, None);
        }
    }
}
