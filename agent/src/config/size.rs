//! Amounts of memory as people write them: `512MiB`, `1GiB`.

/// Why a text is not an amount of memory. The mistake is the user's.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not an amount of memory, write it as `512MiB` or `1GiB`")]
pub(crate) struct SizeError(String);

/// The units, largest first.
const UNITS: [(&str, u64); 3] = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];

/// Reads an amount of memory, in bytes.
pub(crate) fn parse(text: &str) -> Result<u64, SizeError> {
    let error = || SizeError(text.to_owned());
    let found = UNITS.iter().find_map(|(unit, bytes)| Some((text.strip_suffix(unit)?, bytes)));
    let (number, bytes) = found.ok_or_else(error)?;
    let number: u64 = number.trim_end().parse().map_err(|_| error())?;
    number.checked_mul(*bytes).ok_or_else(error)
}

/// An amount of memory as it is read.
pub(crate) fn show(bytes: u64) -> String {
    let fits = UNITS.iter().find(|(_, unit)| bytes % unit == 0);
    let (name, unit) = fits.copied().unwrap_or(("KiB", 1 << 10));
    format!("{}{name}", bytes / unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_have_a_number_and_a_unit() {
        for (text, bytes) in [("512MiB", 512 << 20), ("1 GiB", 1 << 30), ("3KiB", 3072)] {
            assert_eq!(parse(text), Ok(bytes), "{text}");
        }
        for text in ["", "512", "MiB", "512M", "0.5GiB", "-1MiB", "99999999999999999GiB"] {
            assert_eq!(parse(text), Err(SizeError(text.into())));
        }
        assert_eq!(show(512 << 20), "512MiB");
        assert_eq!(show(1 << 30), "1GiB");
    }
}
