//! The one place that writes: data to stdout, all else to stderr.

use std::io::{self, IsTerminal, Write};

use comfy_table::{ContentArrangement, Table, presets};
use serde::Serialize;

use crate::{args::Format, failure::Failure, sanitize};

/// Writes data to stdout.
///
/// # Errors
/// stdout is full or closed.
pub(crate) fn data(text: &str) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    writeln!(stdout, "{text}")
        .and_then(|()| stdout.flush())
        .map_err(|error| Failure::stdout(&error))
}

/// Tells something on stderr. The text is sanitised already.
pub(crate) fn tell(text: &str) {
    // There is nowhere left to say that it could not be said.
    let _ = writeln!(io::stderr().lock(), "{text}");
}

/// Does someone see what is told, as it is told?
pub(crate) fn is_watched() -> bool {
    io::stderr().is_terminal()
}

/// Writes a reply to stdout in the format that was asked for.
///
/// # Errors
/// stdout is full or closed.
pub(crate) fn show<T: Serialize>(
    format: Format,
    reply: &T,
    text: impl FnOnce(&T) -> String,
) -> Result<(), Failure> {
    match format {
        Format::Table => data(&text(reply)),
        Format::Json => data(&json(serde_json::to_string_pretty(reply))?),
    }
}

/// A JSON document, made harmless.
///
/// # Errors
/// It is none.
pub(crate) fn json(document: serde_json::Result<String>) -> Result<String, Failure> {
    document
        .map(|document| sanitize::json(&document))
        .map_err(|error| Failure::new(format!("cannot write JSON: {error}")))
}

/// A table: a line for the header and one for each row, columns two spaces apart. An empty cell is a
/// dash, so that every line has as many words as the header has.
pub(crate) fn table<const N: usize>(header: [&str; N], rows: Vec<[String; N]>) -> String {
    let mut table = plain();
    table.set_header(header);
    table.add_rows(rows.into_iter().map(|row| row.map(|cell| cell_text(&cell))));
    lines(&mut table)
}

/// Names and values, a line each.
pub(crate) fn fields<const N: usize>(fields: [(&str, String); N]) -> String {
    let mut table = plain();
    table.add_rows(fields.map(|(name, value)| [name.to_owned(), cell_text(&value)]));
    lines(&mut table)
}

/// Blocks with an empty line between them. Empty ones are left out.
pub(crate) fn blocks(blocks: impl IntoIterator<Item = String>) -> String {
    let blocks: Vec<_> = blocks.into_iter().filter(|block| !block.is_empty()).collect();
    blocks.join("\n\n")
}

/// What is to be told in full, under a line that says whose it is.
pub(crate) fn remark(head: &str, text: &str) -> String {
    let mut remark = format!("{}:", sanitize::line(head));
    for line in text.lines() {
        remark = format!("{remark}\n  {}", sanitize::block(line));
    }
    remark
}

/// One line that stands alone, its words two spaces apart.
pub(crate) fn words<const N: usize>(words: [String; N]) -> String {
    words.map(|word| cell_text(&word)).join("  ")
}

/// Yes or no, as in a cell.
pub(crate) fn yes_no(yes: bool) -> String {
    if yes { "yes".into() } else { "no".into() }
}

/// Several names in one cell.
pub(crate) fn list<T: AsRef<str>>(names: impl IntoIterator<Item = T>) -> String {
    let mut list = String::new();
    for name in names {
        if !list.is_empty() {
            list.push(',');
        }
        list.push_str(name.as_ref());
    }
    list
}

fn plain() -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_content_arrangement(ContentArrangement::Disabled);
    table
}

fn lines(table: &mut Table) -> String {
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    let lines: Vec<_> = table.lines().map(|line| line.trim_end().to_owned()).collect();
    lines.join("\n")
}

fn cell_text(text: &str) -> String {
    if text.is_empty() { "-".into() } else { sanitize::line(text) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row<const N: usize>(cells: [&str; N]) -> [String; N] {
        cells.map(str::to_owned)
    }

    #[test]
    fn a_table_is_plain_lines() {
        let rows = vec![row(["i1", "alive", "core,storage"]), row(["東京", "", "a\n\u{1b}b"])];
        let expected = "NODE  STATE  TRIBES\n\
                        i1    alive  core,storage\n\
                        東京  -      a\\n\\u{1b}b";
        assert_eq!(table(["NODE", "STATE", "TRIBES"], rows), expected);
        assert_eq!(table(["NODE", "STATE"], vec![]), "NODE  STATE");
    }

    #[test]
    fn a_long_cell_is_not_wrapped() {
        let text = "x".repeat(5000);
        assert_eq!(table(["T"], vec![[text.clone()]]), format!("T\n{text}"));
    }

    #[test]
    fn fields_stand_in_two_columns() {
        let expected = "name         core\ndescription  -";
        assert_eq!(fields([("name", "core".into()), ("description", String::new())]), expected);
    }

    #[test]
    fn blocks_are_parted_by_empty_lines() {
        let blocks = blocks(["a".into(), String::new(), remark("i1\n", "b\n\tc\u{1b}\n")]);
        assert_eq!(blocks, "a\n\ni1\\n:\n  b\n  \tc\\u{1b}");
    }

    #[test]
    fn words_are_never_empty() {
        assert_eq!(words(row(["a b", "", "c\n"])), "a b  -  c\\n");
    }

    #[test]
    fn a_list_has_no_spaces() {
        assert_eq!(list(["a", "b"]), "a,b");
        assert_eq!(list([""; 0]), "");
    }
}
