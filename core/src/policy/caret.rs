//! Shows a place in a text: the line, and carets under the part that is meant.

use std::borrow::Cow;

use super::ast::Span;

/// Where a span is in a text.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Place<'a> {
    pub(crate) line: usize,
    pub(crate) column: usize,
    /// The line before, in and after the span; a span ends with its line.
    before: &'a str,
    marked: &'a str,
    after: &'a str,
}

impl<'a> Place<'a> {
    pub(crate) fn find(text: &'a str, span: Span) -> Self {
        let split = |text: &'a str, at: usize| text.split_at_checked(at).unwrap_or((text, ""));
        let range = span.range();
        let (head, tail) = split(text, range.start);
        let line_start = head.rfind('\n').map_or(0, |at| at + 1);
        let before = head.get(line_start..).unwrap_or("");
        let line_tail = tail.split('\n').next().unwrap_or("");
        let (marked, after) = split(line_tail, range.len().min(line_tail.len()));
        Self {
            line: head.matches('\n').count() + 1,
            column: before.chars().count() + 1,
            before,
            marked,
            after: after.trim_end(),
        }
    }
}

/// How much of a line is shown before, in and after the span, in characters.
const SHOWN: usize = 60;

/// The heading, the line of the text, and carets with help under the span.
pub(crate) fn render(heading: &str, text: &str, span: Span, help: Option<&str>) -> String {
    let place = Place::find(text, span);
    let (before, marked) = (last(place.before), first(place.marked));
    let line: String = [&before, &marked, &first(place.after)]
        .into_iter()
        .flat_map(|part| part.chars())
        .map(shown)
        .collect();
    let indent = " ".repeat(before.chars().count() + 2);
    let carets = "^".repeat(marked.chars().count().max(1));
    let help = help.map_or_else(String::new, |help| format!(" {help}"));
    let number = if place.line > 1 { format!("line {}:\n", place.line) } else { String::new() };
    format!("{heading}\n{number}  {line}\n{indent}{carets}{help}")
}

/// The first characters of a text.
fn first(text: &str) -> Cow<'_, str> {
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or("")).into(),
        None => text.into(),
    }
}

/// The last characters of a text.
fn last(text: &str) -> Cow<'_, str> {
    match text.char_indices().nth_back(SHOWN) {
        Some((at, c)) => format!("…{}", text.get(at + c.len_utf8()..).unwrap_or("")).into(),
        None => text.into(),
    }
}

/// A character that takes one column and cannot disturb a terminal.
pub(crate) fn shown(c: char) -> char {
    match c {
        '\t' => ' ',
        c if c.is_control() || is_direction(c) => '\u{fffd}',
        c => c,
    }
}

/// Characters that reorder the text around them, or that nobody sees.
pub(crate) fn is_direction(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{61c}' | '\u{feff}')
}
