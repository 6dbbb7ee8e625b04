//! Text that other nodes wrote, made harmless for a terminal.
//!
//! A fact or a description may hold escape sequences, or marks that turn the reading direction, and so
//! make a terminal show what is not there. They are shown as `\u{1b}` instead. It is done for pipes as
//! well, so that what is seen is what is piped; JSON keeps its meaning.

use std::fmt::Write;

/// Text as one line.
pub(crate) fn line(text: &str) -> String {
    escape(text, |character| match character {
        '\n' => Some("\\n".into()),
        '\r' => Some("\\r".into()),
        '\t' => Some("\\t".into()),
        _ => visible(character),
    })
}

/// Text of several lines.
pub(crate) fn block(text: &str) -> String {
    escape(text, |character| match character {
        '\n' | '\t' => None,
        _ => visible(character),
    })
}

/// A JSON document, whose meaning stays: what is escaped can only be inside of strings.
pub(crate) fn json(document: &str) -> String {
    escape(document, |character| {
        if character == '\n' || !is_treacherous(character) {
            return None;
        }
        let mut units = [0; 2];
        let mut escaped = String::new();
        for unit in character.encode_utf16(&mut units) {
            // Writing to a string cannot fail.
            let _ = write!(escaped, "\\u{unit:04x}");
        }
        Some(escaped)
    })
}

fn escape(text: &str, replace: impl Fn(char) -> Option<String>) -> String {
    let mut safe = String::with_capacity(text.len());
    for character in text.chars() {
        match replace(character) {
            Some(replacement) => safe.push_str(&replacement),
            None => safe.push(character),
        }
    }
    safe
}

fn visible(character: char) -> Option<String> {
    is_treacherous(character).then(|| character.escape_unicode().to_string())
}

/// Does a terminal obey this character, or show nothing for it?
fn is_treacherous(character: char) -> bool {
    character.is_control()
        || matches!(character,
            // Soft hyphen; marks and overrides of the reading direction.
            '\u{ad}' | '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{206f}'
            // Zero width, line and paragraph separators, invisible operators, byte order mark.
            | '\u{180e}' | '\u{200b}' | '\u{2028}' | '\u{2029}' | '\u{2060}'..='\u{2065}' | '\u{feff}'
            // Interlinear annotations and tags.
            | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_in_any_script_stays() {
        let check = |text| assert_eq!((line(text).as_str(), json(text).as_str()), (text, text));
        check("");
        check("storage_tier=True");
        check("Düsseldorf, 東京, القاهرة, नमस्ते");
        check("👩‍👩‍👧 and می‌خواهم");
        check("a\\b");
    }

    #[test]
    fn what_a_terminal_obeys_is_shown() {
        let check = |text, expected| assert_eq!(line(text), expected);
        check("\u{1b}[31mred", "\\u{1b}[31mred");
        check("\u{9b}31m", "\\u{9b}31m");
        check("a\0\u{7}\u{8}\u{7f}", "a\\u{0}\\u{7}\\u{8}\\u{7f}");
        check("a\r\n\tb", "a\\r\\n\\tb");
        check("user\u{202e}txt.exe", "user\\u{202e}txt.exe");
        check("\u{2067}\u{2069}\u{200f}", "\\u{2067}\\u{2069}\\u{200f}");
        check("co\u{200b}re\u{feff}", "co\\u{200b}re\\u{feff}");
        check("a\u{2028}b", "a\\u{2028}b");
        check("\u{e0041}", "\\u{e0041}");
    }

    #[test]
    fn a_block_keeps_its_lines_and_tabs_only() {
        assert_eq!(block("a\n\t^\u{1b}c\r\n"), "a\n\t^\\u{1b}c\\u{d}\n");
    }

    #[test]
    fn json_keeps_its_meaning() {
        let value =
            serde_json::json!({"k\u{202e}": ["\u{9b}31m", "\u{e0041}", "\u{1b}\n", "東京"]});
        let document = json(&serde_json::to_string_pretty(&value).unwrap());
        assert!(!document.contains(|c| c != '\n' && is_treacherous(c)), "{document}");
        assert!(document.contains("\"k\\u202e\""), "{document}");
        assert!(document.contains("\\udb40\\udc41"), "{document}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&document).unwrap(), value);
    }
}
