//! A file without an entry that is wrong, to see what else is.
//!
//! Invariant: all that is left stands where it stood.

use std::cmp::Ordering;

use serde_saphyr::Error;
use zeroize::Zeroizing;

/// The text without the entry that has this mistake; `None` if it is not sure where that begins or
/// ends, or if more depends on it.
pub(super) fn rest(text: &str, error: &Error) -> Option<Zeroizing<String>> {
    let error = error.without_snippet();
    if !is_of_one(error) {
        return None;
    }
    let at = error.location()?;
    let from_0 = |number: u64| usize::try_from(number).ok()?.checked_sub(1);
    let place = (from_0(at.line())?, from_0(at.column())?);
    let is_key =
        matches!(error, Error::SerdeUnknownField { .. } | Error::DuplicateMappingKey { .. });
    let entry = if is_key && begins(text, place) { place } else { entry_of_value(text, place)? };
    without_entry(text, entry).filter(|rest| rest.as_str().trim_end() != text.trim_end())
}

/// Is it YAML, and one of its values or keys is wrong?
fn is_of_one(error: &Error) -> bool {
    matches!(
        error,
        Error::SerdeUnknownField { .. }
            | Error::DuplicateMappingKey { .. }
            | Error::SerdeInvalidType { .. }
            | Error::SerdeInvalidValue { .. }
            | Error::Unexpected { .. }
            | Error::InvalidBooleanStrict { .. }
            | Error::InvalidScalar { .. }
            | Error::NullIntoString { .. }
            | Error::NonFiniteFloat { .. }
    )
}

/// Does a line begin at this place?
fn begins(text: &str, (line, column): (usize, usize)) -> bool {
    text.lines().nth(line).is_some_and(|line| indent(line) == column)
}

/// Where the entry begins whose value stands here; if it stands in a map on one line, the entry that
/// holds all of that line.
pub(super) fn entry_of_value(text: &str, (line, column): (usize, usize)) -> Option<(usize, usize)> {
    let this = text.lines().nth(line)?;
    let depth = indent(this);
    if !starts_line(this, column) {
        return Some((line, depth));
    }
    let item = is_item(this.trim_start());
    let holds = |one: &str| {
        let trimmed = one.trim_start();
        let is_key = !trimmed.is_empty() && !trimmed.starts_with('#') && !is_item(trimmed);
        is_key && (indent(one) < depth || item && indent(one) == depth)
    };
    let (line, one) = text.lines().enumerate().take(line).filter(|(_, one)| holds(one)).last()?;
    Some((line, indent(one)))
}

/// Is there nothing before this column but the `-` of an item?
pub(super) fn starts_line(line: &str, column: usize) -> bool {
    line.get(..column).is_some_and(|before| matches!(before.trim(), "" | "-"))
}

/// How many spaces a line begins with.
pub(super) fn indent(line: &str) -> usize {
    line.len() - line.trim_start().len()
}

/// The text without the entry whose key stands here, and all else at its place; `None` if it is not
/// sure where the entry ends, or if more depends on it.
fn without_entry(text: &str, (line, column): (usize, usize)) -> Option<Zeroizing<String>> {
    let mut rest = Zeroizing::new(String::with_capacity(text.len()));
    let (mut inside, mut open) = (false, 0);
    for (at, one) in text.lines().enumerate() {
        let trimmed = one.trim_start();
        let indent = one.len() - trimmed.len();
        let comment = trimmed.starts_with('#');
        inside = match at.cmp(&line) {
            Ordering::Less => false,
            Ordering::Equal if indent != column => return None,
            Ordering::Equal => true,
            Ordering::Greater => {
                let item = indent == column && is_item(trimmed);
                inside && (indent > column || item || comment || trimmed.is_empty())
            }
        };
        match inside {
            true if comment => {}
            true if one.contains('&') => return None,
            true => {
                open += one.matches(['[', '{']).count();
                open = open.checked_sub(one.matches([']', '}']).count())?;
            }
            false => rest.push_str(one),
        }
        rest.push('\n');
    }
    (open == 0).then_some(rest)
}

/// Does a line that begins so hold an item of a list?
fn is_item(line: &str) -> bool {
    line.strip_prefix('-').is_some_and(|rest| rest.is_empty() || rest.starts_with([' ', '\t']))
}
