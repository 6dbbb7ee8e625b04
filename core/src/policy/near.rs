//! Did you mean …? The nearest of some names, if one is near enough to be a typing mistake.

/// The nearest name within a third of its letters, at least one; the first of equals.
pub(crate) fn nearest<'a>(text: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let letters = text.chars().count();
    let most = (letters / 3).max(1);
    names
        .filter(|name| name.len().abs_diff(text.len()) <= most * 4)
        .map(|name| (strsim::damerau_levenshtein(text, name), name))
        .filter(|(distance, _)| *distance <= most && *distance < letters)
        .min()
        .map(|(_, name)| name)
}
