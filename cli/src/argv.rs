//! The words of the command line, before clap reads them.
//!
//! Two things clap cannot know: that a dash pasted from formatted text was meant as an option, and that
//! `--wait` may be followed by a number and as well by a subcommand.

use std::ffi::OsString;

use crate::failure::Failure;

/// The words as clap shall read them.
///
/// # Errors
/// A word begins with a typographic dash.
pub(crate) fn prepare(words: impl IntoIterator<Item = OsString>) -> Result<Vec<OsString>, Failure> {
    let mut prepared: Vec<OsString> = Vec::new();
    let mut options = true;
    for word in words {
        let text = word.to_str().unwrap_or_default();
        options &= text != "--";
        if options && let Some(meant) = option_with_dashes(text) {
            return Err(typographic(text, &meant));
        }
        if options && is_cut_quote(text) {
            return Err(Failure::usage(format!(
                "`{text}` begins with a typographic quote, which the shell does not know"
            ))
            .or_help("put the whole text between `'` and `'`, or between `\"` and `\"`"));
        }
        match prepared.last_mut() {
            Some(last) if options && last == "--wait" && is_number(text) => {
                last.push("=");
                last.push(word);
            }
            _ => prepared.push(word),
        }
    }
    Ok(prepared)
}

fn typographic(word: &str, meant: &str) -> Failure {
    Failure::usage(format!("`{word}` begins with a typographic dash, use `{meant}`"))
        .or_help("text behind `--` is taken as it is")
}

/// What was meant by an option whose dashes are not all of ASCII. A dash before a space or alone is text.
fn option_with_dashes(word: &str) -> Option<String> {
    let name = word.trim_start_matches(|character| character == '-' || is_dash(character));
    let dashes = word.strip_suffix(name)?;
    if !dashes.contains(is_dash) || !name.starts_with(|first: char| first.is_ascii_alphabetic()) {
        return None;
    }
    let letters = name.split('=').next().unwrap_or(name).chars().count();
    Some(if letters == 1 { format!("-{name}") } else { format!("--{name}") })
}

/// Does a word begin with a pasted quote that does not end in it? The shell took its text apart.
fn is_cut_quote(word: &str) -> bool {
    let is_quote = |c| matches!(c, '“' | '”' | '„' | '‘' | '’' | '«');
    word.strip_prefix(is_quote).is_some_and(|rest| !rest.contains(['“', '”', '‘', '’', '»']))
}

/// Hyphens, figure dash, en dash, em dash, bar, minus, and their wide and small forms.
fn is_dash(character: char) -> bool {
    matches!(character, '\u{2010}'..='\u{2015}' | '\u{2212}' | '\u{fe58}' | '\u{fe63}' | '\u{ff0d}')
}

fn is_number(word: &str) -> bool {
    word.starts_with(|first: char| first.is_ascii_digit())
        && word.chars().all(|character| character.is_ascii_digit() || character == '.')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pasted_quote_that_the_shell_cut_is_seen() {
        assert!(is_cut_quote("“{{os_dist}}"));
        assert!(is_cut_quote("‘{{os_dist}}"));
        assert!(!is_cut_quote("“{{os_dist}} == Ubuntu”"));
        assert!(!is_cut_quote("{{os_dist}} == “Ubuntu”"));
        assert!(!is_cut_quote("\"x\""));
    }

    fn check_dash(word: &str, expected: Option<&str>) {
        assert_eq!(option_with_dashes(word).as_deref(), expected, "for {word}");
    }

    #[test]
    fn a_pasted_dash_is_seen() {
        check_dash("—tribe", Some("--tribe"));
        check_dash("–tribe", Some("--tribe"));
        check_dash("−−tribe", Some("--tribe"));
        check_dash("-–tribe", Some("--tribe"));
        check_dash("—-tribe", Some("--tribe"));
        check_dash("—tribe=core", Some("--tribe=core"));
        check_dash("–o", Some("-o"));
        check_dash("–o=json", Some("-o=json"));
    }

    #[test]
    fn other_words_pass() {
        check_dash("", None);
        check_dash("tribe", None);
        check_dash("--tribe", None);
        check_dash("-o", None);
        check_dash("—", None);
        check_dash("— the disks", None);
        check_dash("disks — all", None);
        check_dash("--description=—disks", None);
        check_dash("–5", None);
    }

    #[test]
    fn a_pasted_dash_is_a_usage_error() {
        let words = |words: &[&str]| prepare(words.iter().map(OsString::from));
        let expected = Failure::usage("`—tribe` begins with a typographic dash, use `--tribe`")
            .or_help("text behind `--` is taken as it is");
        assert_eq!(words(&["snapctl", "—tribe", "core"]), Err(expected));
        assert!(words(&["snapctl", "--", "—tribe", "core"]).is_ok());
    }

    #[test]
    fn wait_takes_a_number_and_nothing_else() {
        let check = |line: &str, expected: &str| {
            let words = prepare(line.split(' ').map(OsString::from)).unwrap();
            assert_eq!(words, expected.split(' ').map(OsString::from).collect::<Vec<_>>());
        };
        check("snapctl --wait tribe list", "snapctl --wait tribe list");
        check("snapctl --wait 30 tribe list", "snapctl --wait=30 tribe list");
        check("snapctl --wait 0.5 tribe list", "snapctl --wait=0.5 tribe list");
        check("snapctl --wait=5 30", "snapctl --wait=5 30");
        check("snapctl tribe delete core --wait 5", "snapctl tribe delete core --wait=5");
        check("snapctl tribe delete --wait inf", "snapctl tribe delete --wait inf");
        check("snapctl tribe delete -- --wait 5", "snapctl tribe delete -- --wait 5");
    }
}
