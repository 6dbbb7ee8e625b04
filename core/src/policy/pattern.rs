//! Patterns for text: `like` with `*` and `?`, `matches` with regular expressions.
//!
//! Both take time in proportion to the text for any pattern, and no pattern takes more than
//! [`limits::POLICY_PATTERN_SIZE`] of memory. A fact's value is never read as a pattern.

use std::fmt::{self, Display, Formatter, Write as _};

use regex_lite::{Regex, RegexBuilder};

use super::{
    ast::Span,
    caret,
    error::{ParsePolicyErrorKind as Kind, Problem},
};
use crate::limits;

/// What `like` compares the whole text with.
#[derive(Debug, Clone)]
pub(crate) struct Glob {
    /// As it was written, without quotes.
    pub(crate) text: Box<str>,
    parts: Box<[Part]>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    /// `*`
    Any,
    /// `?`
    One,
    Char(char),
}

impl PartialEq for Glob {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Glob {
    pub(crate) fn new(text: &str, span: Span) -> Result<Self, Problem> {
        too_long(text, span)?;
        let mut parts = Vec::new();
        let mut characters = text.chars();
        while let Some(c) = characters.next() {
            parts.push(match c {
                '*' if parts.last() == Some(&Part::Any) => continue,
                '*' => Part::Any,
                '?' => Part::One,
                '\\' => match characters.next() {
                    Some(escaped @ ('*' | '?' | '\\')) => Part::Char(escaped),
                    _ => {
                        return Err(Problem::new(Kind::Pattern("a lone `\\`".into()), span)
                            .help("write `\\\\` for a backslash, `\\*` for a star"));
                    }
                },
                c => Part::Char(c),
            });
        }
        Ok(Self { text: text.into(), parts: parts.into() })
    }

    /// Has it neither `*` nor `?`?
    pub(crate) fn is_plain(&self) -> bool {
        self.parts.iter().all(|part| matches!(part, Part::Char(_)))
    }

    /// The shortest text that it matches.
    pub(crate) fn example(&self) -> String {
        let shown = |part: &Part| match part {
            Part::Any => None,
            Part::One => Some('x'),
            Part::Char(c) => Some(*c),
        };
        self.parts.iter().filter_map(shown).collect()
    }

    /// Is the whole text like this? After a mismatch only the last star takes one character more.
    pub(crate) fn is_match(&self, text: &str) -> bool {
        let (mut parts, mut rest) = (&*self.parts, text.chars());
        let mut star = None;
        loop {
            match parts.split_first() {
                Some((Part::Any, after)) => {
                    star = Some((after, rest.clone()));
                    parts = after;
                    continue;
                }
                Some((part, after)) => {
                    let c = rest.next();
                    let fits = match part {
                        Part::Char(wanted) => c == Some(*wanted),
                        Part::Any | Part::One => c.is_some(),
                    };
                    if fits {
                        parts = after;
                        continue;
                    }
                    if c.is_none() {
                        return false;
                    }
                }
                None if rest.as_str().is_empty() => return true,
                None => {}
            }
            let Some((after, taken)) = &mut star else { return false };
            if taken.next().is_none() {
                return false;
            }
            (parts, rest) = (after, taken.clone());
        }
    }
}

/// What `matches` looks for anywhere in the text.
#[derive(Debug, Clone)]
pub(crate) struct Pattern {
    /// INVARIANT: no control character, and `/` is not escaped.
    source: Box<str>,
    ignores_case: bool,
    regex: Regex,
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        (&self.source, self.ignores_case) == (&other.source, other.ignores_case)
    }
}

impl Pattern {
    pub(crate) fn new(source: &str, ignores_case: bool, span: Span) -> Result<Self, Problem> {
        too_long(source, span)?;
        let source = normal(source);
        if source.is_empty() {
            return Err(Problem::new(Kind::Pattern("nothing".into()), span)
                .help("an empty pattern would match every text"));
        }
        let regex = RegexBuilder::new(&source)
            .case_insensitive(ignores_case)
            .size_limit(limits::POLICY_PATTERN_SIZE)
            .nest_limit(limits::POLICY_PATTERN_DEPTH)
            .build()
            .map_err(|error| {
                let error: String = error.to_string().chars().map(caret::shown).collect();
                Problem::new(Kind::Pattern(format!("`{source}`").into()), span).help(error)
            })?;
        Ok(Self { source: source.into(), ignores_case, regex })
    }

    pub(crate) fn source(&self) -> &str {
        &self.source
    }

    pub(crate) fn is_match(&self, text: &str) -> bool {
        self.regex.is_match(text)
    }
}

impl Display for Pattern {
    /// Between slashes.
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_char('/')?;
        for (c, escaped) in pairs(&self.source) {
            match (c, escaped) {
                ('\\', Some(next)) => write!(f, "\\{next}")?,
                ('/', _) => f.write_str("\\/")?,
                (c, _) => f.write_char(c)?,
            }
        }
        f.write_str(if self.ignores_case { "/i" } else { "/" })
    }
}

/// Control characters as escapes, `/` without one.
fn normal(source: &str) -> String {
    let mut text = String::new();
    let push = |text: &mut String, c: char| match c {
        '\n' => text.push_str("\\n"),
        '\r' => text.push_str("\\r"),
        '\t' => text.push_str("\\t"),
        c if c.is_control() || caret::is_direction(c) => {
            text.push_str(&format!("\\x{{{:x}}}", u32::from(c)));
        }
        c => text.push(c),
    };
    for (c, escaped) in pairs(source) {
        match (c, escaped) {
            ('\\', Some('/')) => text.push('/'),
            // A control character has no meaning behind a backslash: it is itself.
            ('\\', Some(next)) if next.is_control() || caret::is_direction(next) => {
                push(&mut text, next);
            }
            ('\\', Some(next)) => text.extend(['\\', next]),
            (c, _) => push(&mut text, c),
        }
    }
    text
}

/// The characters of a regular expression; a backslash with the one it escapes.
fn pairs(source: &str) -> impl Iterator<Item = (char, Option<char>)> {
    let mut characters = source.chars();
    std::iter::from_fn(move || {
        let c = characters.next()?;
        Some((c, if c == '\\' { characters.next() } else { None }))
    })
}

fn too_long(text: &str, span: Span) -> Result<(), Problem> {
    if text.len() <= limits::POLICY_PATTERN_BYTES {
        return Ok(());
    }
    let kind = Kind::TooLarge { what: "bytes of a pattern", max: limits::POLICY_PATTERN_BYTES };
    Err(Problem::new(kind, span))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOWHERE: Span = Span { start: 0, end: 0 };

    #[track_caller]
    fn check_glob(glob: &str, text: &str, expected: bool) {
        assert_eq!(Glob::new(glob, NOWHERE).unwrap().is_match(text), expected, "{glob} {text}");
    }

    #[test]
    fn globs_match_the_whole_text() {
        check_glob("web", "web", true);
        check_glob("web", "web1", false);
        check_glob("web*", "web", true);
        check_glob("web*", "aweb", false);
        check_glob("*web", "aweb", true);
        check_glob("*a*b", "xaxbxb", true);
        check_glob("*a*b", "xaxbxbc", false);
        check_glob("w?b", "wüb", true);
        check_glob("w?b", "wb", false);
        check_glob("?", "", false);
        check_glob("", "", true);
        check_glob("**", "", true);
        check_glob("a*?", "a", false);
        check_glob("a*?", "ab", true);
        check_glob("\\*", "*", true);
        check_glob("\\*", "x", false);
    }

    #[test]
    fn a_hostile_glob_does_not_explode() {
        let glob = Glob::new(&"*a".repeat(128), NOWHERE).unwrap();
        assert!(!glob.is_match(&format!("{}b", "a".repeat(1000))));
    }

    #[test]
    fn patterns_are_printed_as_they_are_read() {
        let check = |source: &str, expected: &str| {
            assert_eq!(Pattern::new(source, false, NOWHERE).unwrap().to_string(), expected);
        };
        check("^web", "/^web/");
        check("a/b", "/a\\/b/");
        check("a\\/b", "/a\\/b/");
        check("a\\\\/b", "/a\\\\\\/b/");
        check("a\nb\u{1b}", "/a\\nb\\x{1b}/");
    }

    #[test]
    fn hostile_patterns_are_refused() {
        let check = |source: &str| {
            let problem = Pattern::new(source, false, NOWHERE).unwrap_err();
            assert!(problem.help.is_some() || source.len() > 256, "{source}");
        };
        check("((a{1000}){1000}){1000}");
        check(&"(".repeat(100));
        check(&format!("{}a{}", "(".repeat(60), ")".repeat(60)));
        check("[");
        check("a{2");
        check(&"x".repeat(300));
    }
}
