//! The parser's mistakes in our words.
//!
//! Invariant: no message repeats a value of the file but a switch, for it may be the key.

use std::path::Path;

use super::{Problem, left_out};
use crate::suggest::nearest;

/// What the parser found, and what to do about it.
pub(super) fn problem(path: &Path, text: &str, error: &serde_saphyr::Error) -> Problem {
    use serde_saphyr::Error as Yaml;
    let error = error.without_snippet();
    let at = error.location().map(|at| (at.line(), at.column()));
    let (message, help) = match error {
        Yaml::SerdeUnknownField { field, expected, .. } => {
            (format!("unknown key `{field}`"), Some(suggestion(field, expected)))
        }
        Yaml::DuplicateMappingKey { key: Some(key), .. } => {
            (format!("key `{key}` is given twice"), None)
        }
        other => {
            let message = plain(&other.to_string());
            let entry = at.and_then(|at| entry_at(text, at));
            match wanted(&message) {
                Some(wanted) => (of_value(entry, &message, wanted), None),
                None => syntax(&message),
            }
        }
    };
    let place = match at {
        Some((line, column)) => format!("{}:{line}:{column}", path.display()),
        None => path.display().to_string(),
    };
    Problem { at, message: format!("{place}: {message}"), help }
}

/// The parser's words for a switch that is neither true nor false.
const NOT_BOOL: &str = "invalid boolean";

/// What the parser wants for a value, in our words.
fn wanted(message: &str) -> Option<&str> {
    match message {
        NOT_BOOL => Some("true or false"),
        "expected mapping start" => Some("a map, such as `{a: b}`"),
        "expected string scalar" => Some("one value, not a list or a map"),
        "invalid u64" => Some("a whole number from 0 to 18446744073709551615"),
        other => {
            let kinds = ["invalid type: ", "invalid value: ", "invalid length "];
            let said = kinds.iter().find_map(|kind| other.strip_prefix(kind))?;
            Some(said.split_once(", expected ")?.1)
        }
    }
}

/// What stands there instead may be a key of the cluster: only of a switch it is told.
fn of_value(entry: Option<Entry<'_>>, message: &str, wanted: &str) -> String {
    match entry {
        Some(Entry { key, goes_on: true, .. }) if message == NOT_BOOL => {
            format!("`{key}` must be {wanted}, and the next line is indented as a part of it")
        }
        Some(Entry { key, value: Some(value), .. }) if message == NOT_BOOL => {
            format!("`{key}` is {wanted}, not `{value}`")
        }
        Some(Entry { key, .. }) => format!("`{key}` must be {wanted}"),
        None => format!("this must be {wanted}"),
    }
}

/// What is no YAML, in our words as far as people meet it.
fn syntax(message: &str) -> (String, Option<String>) {
    let (what, help) = match message {
        "duplicate field `seeds`" => {
            ("`seed` and `seeds` are one key", "give all of them as `seeds: [HOST:PORT, ...]`")
        }
        "tabs disallowed within this context (block indentation)"
        | "tabs disallowed in this context"
        | "while scanning a plain scalar, found a tab" => {
            ("there is a tab where only spaces can be", "indent with spaces")
        }
        "unclosed quote" => ("the quote that begins here has no end", "close it"),
        "while parsing a block mapping, did not find expected key" => (
            "this line is indented otherwise than the keys before it",
            "the keys of one map stand in one column",
        ),
        "mapping values are not allowed in this context" => (
            "there is a key within a value",
            "the keys of one map stand in one column, and text with `: ` in it in quotes",
        ),
        "while parsing a block collection, did not find expected '-' indicator" => (
            "this line is no item of the list it is in",
            "the items of one list begin with `- ` in one column",
        ),
        "while parsing a flow mapping, did not find expected ',' or '}'"
        | "while parsing a flow sequence, expected ',' or ']'"
        | "illegal placement of ':' indicator"
        | "invalid indentation in flow construct" => (
            "a `[` or `{` is not closed before this, or there is no `,` between two values",
            "close it, and put text with one of `[]{},:` in it in quotes",
        ),
        "while scanning a block scalar, did not find expected comment or line break" => (
            "after `|` or `>` there is nothing more on the line",
            "put the text on the lines below, indented, or all of it in quotes",
        ),
        "misplaced bracket" => ("this bracket closes nothing", "leave it out, or open it before"),
        "alias references unknown anchor" => {
            ("what begins with `*` is no text in YAML", "put it in quotes")
        }
        "invalid trailing content after single-quoted scalar"
        | "invalid trailing content after double-quoted scalar" => (
            "there is more after the quote that ends the text",
            "a quote in the text is written as `''` in single quotes, and as `\\\"` in double ones",
        ),
        "while parsing a quoted scalar, found unknown escape character" => (
            "there is a `\\` in double quotes that escapes nothing",
            "write it as `\\\\`, or put the text in single quotes",
        ),
        other if other.starts_with("unexpected EOF while parsing") => {
            ("the file ends before a `[` or `{` is closed", "close it")
        }
        other if other.starts_with("unexpected character: ") => {
            ("a value cannot begin with this character", "put it in quotes")
        }
        other if other.starts_with("non-finite float") => {
            ("this is no finite number", "put it in quotes if it is text")
        }
        // It may repeat what stands there.
        other if other.contains(['"', '`', '\'']) => {
            ("this is not understood", "look at its quotes and indentation")
        }
        other => return (other.to_owned(), None),
    };
    (what.to_owned(), Some(help.to_owned()))
}

/// The entry that a value is of.
struct Entry<'a> {
    key: &'a str,
    /// What stands beside the key.
    value: Option<&'a str>,
    /// The line below is indented as if it belonged to the value beside the key.
    goes_on: bool,
}

/// The entry whose value stands at this place, counted from 1.
fn entry_at(text: &str, (line, column): (u64, u64)) -> Option<Entry<'_>> {
    let from_0 = |number: u64| usize::try_from(number).ok()?.checked_sub(1);
    let (at, column) = (from_0(line)?, from_0(column)?);
    let line = text.lines().nth(at)?;
    let start = line.char_indices().nth(column)?.0;
    let (before, value) = line.split_at_checked(start)?;
    if left_out::starts_line(line, column) {
        let (above, _) = left_out::entry_of_value(text, (at, column))?;
        let key = text.lines().nth(above)?.trim().split_once(':')?.0;
        return Some(Entry { key, value: None, goes_on: false });
    }
    let alone = before.trim().strip_suffix(':')?;
    let key = alone.rsplit(['{', ',', ' ']).next()?;
    let below = text.lines().skip(at + 1).find(|line| !line.trim().is_empty());
    let is_deeper = below.is_some_and(|below| left_out::indent(below) > left_out::indent(line));
    let goes_on = key == alone && is_deeper;
    Some(Entry { key, value: Some(value.split([',', '}', '#']).next()?.trim()), goes_on })
}

fn suggestion(field: &str, expected: &[&'static str]) -> String {
    match nearest(field, expected.iter().copied()) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("keys here are {}", expected.join(", ")),
    }
}

/// The first line of a foreign message, without its own idea of the place.
fn plain(message: &str) -> String {
    let line = message.lines().next().unwrap_or_default();
    let line = line.split(" at line ").next().unwrap_or(line);
    line.trim_end_matches('.').to_owned()
}
