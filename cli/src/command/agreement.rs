//! The commands of snap's old clustering, answered with their new form.

use clap::Args;

use crate::failure::Failure;

/// Anything after `agreement`.
#[derive(Debug, Args)]
pub(crate) struct Agreement {
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, hide = true)]
    words: Vec<String>,
}

impl Agreement {
    /// What to type instead.
    pub(crate) fn moved(&self) -> Failure {
        Failure::usage("agreements have become tribes")
            .or_help(format!("use `{}`", self.new_form()))
    }

    fn new_form(&self) -> String {
        let (verb, placeholders) = match self.words.first().map(String::as_str) {
            Some("create") => ("create", "NAME"),
            Some("delete") => ("delete", "NAME"),
            Some("list") => ("list", ""),
            Some("join") => ("join", "TRIBE NODE"),
            Some("leave") => ("leave", "TRIBE NODE"),
            Some("members" | "show") => ("show", "NAME"),
            _ => return "snapctl tribe --help".into(),
        };
        let words: Vec<_> = self.words.iter().skip(1).map(|word| quoted(word)).collect();
        let words = if words.is_empty() { placeholders.into() } else { words.join(" ") };
        format!("snapctl tribe {verb} {words}").trim_end().into()
    }
}

/// A word as a shell takes it.
pub(super) fn quoted(word: &str) -> String {
    let plain =
        |character: char| character.is_ascii_alphanumeric() || "-_.:=/@".contains(character);
    if !word.is_empty() && word.chars().all(plain) {
        word.into()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_new_form_can_be_pasted() {
        let check = |words: &[&str], expected| {
            let words = words.iter().map(|word| (*word).into()).collect();
            assert_eq!(Agreement { words }.new_form(), expected);
        };
        check(&["create", "core"], "snapctl tribe create core");
        check(&["create"], "snapctl tribe create NAME");
        check(&["delete", "all nodes"], "snapctl tribe delete 'all nodes'");
        check(&["list"], "snapctl tribe list");
        check(&["join", "core", "i1"], "snapctl tribe join core i1");
        check(&["leave"], "snapctl tribe leave TRIBE NODE");
        check(&["members", "it's"], r"snapctl tribe show 'it'\''s'");
        check(&[], "snapctl tribe --help");
        check(&["--help"], "snapctl tribe --help");
    }
}
