//! What someone meant who misspelled a word.

/// What was meant, if anything known is near enough to a misspelled word.
pub(crate) fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    known
        .into_iter()
        .map(|candidate| (strsim::damerau_levenshtein(word, candidate), candidate))
        .filter(|&(distance, candidate)| distance <= 1 + candidate.len() / 4)
        .min()
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(word: &str, expected: Option<&str>) {
        assert_eq!(nearest(word, ["log_level", "socket", "data_dir", "tribe"]), expected);
    }

    #[test]
    fn a_slip_is_close_and_another_word_is_not() {
        check("loglevel", Some("log_level"));
        check("sokcet", Some("socket"));
        check("tribes", Some("tribe"));
        check("plugins", None);
        check("", None);
    }
}
