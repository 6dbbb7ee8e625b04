//! Text → tokens, by hand: unquoted words have to be classified anyway, and errors can be exact.
//!
//! The limits on bytes, tokens and nesting are kept here, before anything is built.

use std::borrow::Cow;

use super::{
    ast::{Op, Path, Quantifier, Span, Step},
    caret,
    error::{ParsePolicyErrorKind as Kind, Problem},
};
use crate::{limits, name::FactName};

/// The least part of a policy that has a meaning.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Token<'s> {
    Fact(Box<Path>),
    /// A word without quotes.
    Atom(&'s str),
    /// The content of a quoted text.
    Text(Box<str>),
    /// One of the six comparisons.
    Compare(Op),
    And,
    Or,
    Bang,
    Not,
    In,
    Contains,
    Like,
    Matches,
    /// `=~` or `!~`: `matches`, or not.
    Tilde(Op),
    Quantifier(Quantifier),
    /// What stands between slashes, and does it ignore case?
    Regex(&'s str, bool),
    Open,
    Close,
    ListOpen,
    ListClose,
    Comma,
}

/// Words that belong to later versions of the language.
const RESERVED: &[&str] = &["contains_all", "contains_any", "count", "let"];

/// All tokens of a text, with their spans.
pub(crate) fn tokens(text: &str) -> Result<Vec<(u32, Token<'_>, u32)>, Problem> {
    let mut lexer = Lexer { text, at: 0, depth: 0 };
    if text.len() > limits::POLICY_BYTES {
        return Err(lexer.too_large("bytes", limits::POLICY_BYTES));
    }
    let mut tokens = Vec::with_capacity(text.len() / 4 + 1);
    loop {
        lexer.skip_blank();
        let Some(c) = lexer.peek() else { return Ok(tokens) };
        let start = lexer.at;
        if tokens.len() == limits::POLICY_TOKENS {
            return Err(lexer.too_large("tokens", limits::POLICY_TOKENS));
        }
        let token = lexer.token(c)?;
        let span = lexer.since(start);
        tokens.push((span.start, token, span.end));
    }
}

/// Is this text one unquoted word, and no keyword?
pub(crate) fn is_atom(text: &str) -> bool {
    match tokens(text).as_deref() {
        Ok([(_, Token::Atom(atom), _)]) => atom.len() == text.len(),
        _ => false,
    }
}

/// Can this text follow a dot in a path?
pub(crate) fn is_segment(text: &str) -> bool {
    is_name(text) || (!text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()))
}

/// Can a path start with this text?
pub(crate) fn is_name(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') && text.chars().all(in_name)
}

fn in_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '_' | '-')
}

fn starts_atom(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '_' | ':' | '*' | '?')
}

fn in_atom(c: char) -> bool {
    starts_atom(c) || matches!(c, '.' | '/' | '@' | '+' | '%' | '~' | '-')
}

struct Lexer<'s> {
    text: &'s str,
    at: usize,
    depth: usize,
}

impl<'s> Lexer<'s> {
    fn rest(&self) -> &'s str {
        self.text.get(self.at..).unwrap_or("")
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn eat(&mut self, prefix: &str) -> bool {
        let found = self.rest().starts_with(prefix);
        if found {
            self.at += prefix.len();
        }
        found
    }

    fn eat_while(&mut self, wanted: impl Fn(char) -> bool) -> &'s str {
        let rest = self.rest();
        let end = rest.find(|c| !wanted(c)).unwrap_or(rest.len());
        self.at += end;
        rest.get(..end).unwrap_or("")
    }

    /// The span from `start` to here.
    fn since(&self, start: usize) -> Span {
        Span::new(start, self.at)
    }

    /// The span and the text of the next character.
    fn next(&self) -> (Span, &'s str) {
        let len = self.peek().map_or(0, char::len_utf8);
        (Span::new(self.at, self.at + len), self.rest().get(..len).unwrap_or(""))
    }

    fn skip_blank(&mut self) {
        loop {
            self.eat_while(|c| matches!(c, ' ' | '\t' | '\r' | '\n'));
            if self.peek() != Some('#') {
                return;
            }
            self.eat_while(|c| c != '\n');
        }
    }

    fn too_large(&self, what: &'static str, max: usize) -> Problem {
        Problem::new(Kind::TooLarge { what, max }, Span::new(self.at, self.at))
    }

    fn token(&mut self, c: char) -> Result<Token<'s>, Problem> {
        let found = match c {
            '{' => return self.fact(),
            '"' => return self.quoted(),
            '\'' => return self.raw(),
            '(' => self.opened(Token::Open)?,
            '[' => self.opened(Token::ListOpen)?,
            ')' => self.closed(Token::Close),
            ']' => self.closed(Token::ListClose),
            ',' => Token::Comma,
            '=' | '!' | '<' | '>' | '&' | '|' => return self.operator(),
            '/' => return self.regex(),
            '-' if self.rest().chars().nth(1).is_some_and(starts_atom) => return self.atom(),
            c if starts_atom(c) => return self.atom(),
            c => return Err(self.stray(c)),
        };
        self.at += c.len_utf8();
        Ok(found)
    }

    fn opened(&mut self, token: Token<'s>) -> Result<Token<'s>, Problem> {
        if self.depth == limits::POLICY_DEPTH {
            return Err(self.too_large("levels of brackets", limits::POLICY_DEPTH));
        }
        self.depth += 1;
        Ok(token)
    }

    fn closed(&mut self, token: Token<'s>) -> Token<'s> {
        self.depth = self.depth.saturating_sub(1);
        token
    }

    fn operator(&mut self) -> Result<Token<'s>, Problem> {
        let start = self.at;
        let text = self.eat_while(|c| matches!(c, '=' | '<' | '>' | '&' | '|' | '~'));
        // A bang may be followed by another, and by what is not an operator.
        let text = if text.is_empty() {
            self.at +=
                if ["!=", "!~"].iter().any(|two| self.rest().starts_with(two)) { 2 } else { 1 };
            self.eat_while(|c| c == '=');
            self.text.get(start..self.at).unwrap_or("")
        } else {
            text
        };
        let wrong = |instead: &str| {
            Problem::new(Kind::NotAnOperator(text.into()), self.since(start))
                .help(format!("use `{instead}`"))
                .replace(instead)
        };
        Ok(match text {
            "==" => Token::Compare(Op::Eq),
            "!=" => Token::Compare(Op::Ne),
            "<" => Token::Compare(Op::Lt),
            "<=" => Token::Compare(Op::Le),
            ">" => Token::Compare(Op::Gt),
            ">=" => Token::Compare(Op::Ge),
            "&&" => Token::And,
            "||" => Token::Or,
            "!" => Token::Bang,
            "=~" => Token::Tilde(Op::Matches),
            "!~" => Token::Tilde(Op::NotMatches),
            "&" => return Err(wrong("&&")),
            "|" => return Err(wrong("||")),
            "=>" => return Err(wrong(">=")),
            "=<" => return Err(wrong("<=")),
            "<>" | "!==" => return Err(wrong("!=")),
            "=" | "===" => return Err(wrong("==")),
            _ => {
                return Err(Problem::new(Kind::NotAnOperator(text.into()), self.since(start)));
            }
        })
    }

    fn unsupported(&self, start: usize) -> Problem {
        let text = self.text.get(start..self.at).unwrap_or("");
        Problem::new(Kind::Unsupported(text.into()), self.since(start))
    }

    fn atom(&mut self) -> Result<Token<'s>, Problem> {
        let start = self.at;
        self.eat("-");
        self.eat_while(in_atom);
        if self.peek().is_some_and(char::is_alphanumeric) {
            return Err(self.foreign_word(start));
        }
        let text = self.text.get(start..self.at).unwrap_or("");
        Ok(match text {
            "and" => Token::And,
            "or" => Token::Or,
            "not" => Token::Not,
            "in" => Token::In,
            "contains" => Token::Contains,
            "like" => Token::Like,
            "matches" => Token::Matches,
            "any" => Token::Quantifier(Quantifier::Any),
            "all" => Token::Quantifier(Quantifier::All),
            "none" => Token::Quantifier(Quantifier::None),
            "*" | "?" | ":" => return Err(self.unsupported(start)),
            "contains_all" => {
                return Err(self
                    .unsupported(start)
                    .help("join several `contains` with `&&`, or write `all x in … (…)`"));
            }
            "contains_any" => {
                return Err(self
                    .unsupported(start)
                    .help("join several `contains` with `||`, or write `any x in … (…)`"));
            }
            _ if RESERVED.contains(&text) => {
                let help = format!("quote it if it is text: \"{text}\"");
                return Err(self.unsupported(start).help(help));
            }
            _ => Token::Atom(text),
        })
    }

    /// A word with letters that need quotes.
    fn foreign_word(&mut self, start: usize) -> Problem {
        let (_, character) = self.next();
        self.eat_while(|c| in_atom(c) || c.is_alphanumeric());
        let quoted = format!("\"{}\"", self.text.get(start..self.at).unwrap_or(""));
        Problem::new(Kind::Character(character.into()), self.since(start))
            .help(format!("quote the value: `{quoted}`"))
            .replace(&quoted)
    }

    /// A character that starts no token.
    fn stray(&mut self, c: char) -> Problem {
        let start = self.at;
        let (span, text) = self.next();
        if let Some((name, instead)) = typographic(c) {
            let problem = Problem::new(Kind::Typographic(c, name), span);
            if name == "dash" && self.rest().trim_start_matches(c).starts_with("tribe") {
                return problem
                    .help("`--tribe` is an option of the command, write it after the policy");
            }
            return problem.help(format!("replace `{c}` with `{instead}`")).replace(instead);
        }
        if c.is_alphanumeric() {
            return self.foreign_word(start);
        }
        match c {
            '-' | '+' | '%' | '@' | '.' => {
                self.eat_while(|next| next == c);
                self.unsupported(start)
            }
            '}' => Problem::new(Kind::Character(text.into()), span)
                .help("a fact is written `{{name}}`"),
            c if c.is_control() || caret::is_direction(c) => {
                let code = format!("U+{:04X}", u32::from(c));
                Problem::new(Kind::Character(code.into()), span).help("remove it").replace("")
            }
            _ => Problem::new(Kind::Character(text.into()), span).help("quote the value"),
        }
    }

    /// `/pattern/`, maybe with an `i` that makes it ignore case.
    fn regex(&mut self) -> Result<Token<'s>, Problem> {
        let start = self.at;
        self.at += 1;
        loop {
            self.eat_while(|c| !matches!(c, '/' | '\\' | '\n'));
            match self.peek() {
                Some('/') => break,
                Some('\\') => {
                    self.at += 1;
                    let escaped = self.peek().filter(|c| *c != '\n');
                    self.at += escaped.map_or(0, char::len_utf8);
                }
                _ => {
                    return Err(Problem::new(Kind::UnclosedPattern, self.since(start))
                        .help("add `/`, or quote it if it is text"));
                }
            }
        }
        let source = self.text.get(start + 1..self.at).unwrap_or("");
        self.at += 1;
        match self.eat_while(in_atom) {
            "" => Ok(Token::Regex(source, false)),
            "i" => Ok(Token::Regex(source, true)),
            _ => {
                let text = self.text.get(start..self.at).unwrap_or("");
                let shown: String = text.chars().map(caret::shown).collect();
                Err(Problem::new(Kind::Pattern(format!("`{shown}`").into()), self.since(start))
                    .help("behind a pattern may only be `i`; quote it if it is text"))
            }
        }
    }

    /// `"text"`, with escapes.
    fn quoted(&mut self) -> Result<Token<'s>, Problem> {
        let start = self.at;
        self.at += 1;
        let mut content = String::new();
        loop {
            content.push_str(self.eat_while(|c| !matches!(c, '"' | '\\' | '\n')));
            match self.peek() {
                Some('"') => {
                    self.at += 1;
                    return Ok(Token::Text(content.into()));
                }
                Some('\\') => content.push(self.escape()?),
                _ => {
                    return Err(
                        Problem::new(Kind::UnclosedText, self.since(start)).help("add `\"`")
                    );
                }
            }
        }
    }

    fn escape(&mut self) -> Result<char, Problem> {
        let start = self.at;
        self.at += 1;
        let escaped = self.peek();
        self.at += escaped.map_or(0, char::len_utf8);
        let found = match escaped {
            Some('n') => Some('\n'),
            Some('r') => Some('\r'),
            Some('t') => Some('\t'),
            Some('0') => Some('\0'),
            Some(c @ ('"' | '\\')) => Some(c),
            Some('u') => self.code_point(),
            _ => None,
        };
        found.ok_or_else(|| {
            let text = self.text.get(start..self.at).unwrap_or("").trim_end();
            let text: String = text.chars().map(caret::shown).collect();
            Problem::new(Kind::Escape(text.into()), self.since(start))
                .help("write `\\\\` for a backslash, or use single quotes")
        })
    }

    fn code_point(&mut self) -> Option<char> {
        if !self.eat("{") {
            return None;
        }
        let digits = self.eat_while(|c| c.is_ascii_hexdigit());
        let found = u32::from_str_radix(digits, 16).ok().and_then(char::from_u32);
        if self.eat("}") { found } else { None }
    }

    /// `'text'`, without escapes.
    fn raw(&mut self) -> Result<Token<'s>, Problem> {
        let start = self.at;
        self.at += 1;
        let content = self.eat_while(|c| !matches!(c, '\'' | '\n'));
        if self.eat("'") {
            Ok(Token::Text(content.into()))
        } else {
            Err(Problem::new(Kind::UnclosedText, self.since(start)).help("add `'`"))
        }
    }

    /// `{{name.path}}`
    fn fact(&mut self) -> Result<Token<'s>, Problem> {
        let start = self.at;
        if !self.eat("{{") {
            let (span, text) = self.next();
            return Err(Problem::new(Kind::Character(text.into()), span)
                .help("a fact is written `{{name}}`"));
        }
        self.skip_space();
        let name_start = self.at;
        let name = self.fact_name(start)?;
        let name = FactName::parse(&name).map_err(|error| {
            Problem::new(Kind::Reference("a name that no fact has".into()), self.since(name_start))
                .help(error.to_string())
        })?;
        let mut steps = Vec::new();
        while let Some(step) = self.step(start)? {
            steps.push(step);
        }
        self.skip_space();
        if self.eat("}}") {
            return Ok(Token::Fact(Path::new(name, steps, self.since(start)).into()));
        }
        Err(self.bad_reference(start))
    }

    fn skip_space(&mut self) {
        self.eat_while(|c| matches!(c, ' ' | '\t' | '\r' | '\n'));
    }

    fn fact_name(&mut self, start: usize) -> Result<Cow<'s, str>, Problem> {
        if self.rest().starts_with('[') {
            return match self.step(start)? {
                Some(Step::Key(name)) => Ok(Cow::Owned(name.into())),
                _ => Err(self.bad_reference(start)),
            };
        }
        let name = self.eat_while(in_name);
        if is_name(name) {
            return Ok(Cow::Borrowed(name));
        }
        self.at -= name.len();
        Err(self.bad_reference(start))
    }

    fn step(&mut self, start: usize) -> Result<Option<Step>, Problem> {
        if self.eat(".") {
            let key = self.eat_while(in_name);
            if is_segment(key) {
                return Ok(Some(Step::Key(key.into())));
            }
            self.at -= key.len();
            return Err(self.bad_reference(start));
        }
        if !self.eat("[") {
            return Ok(None);
        }
        let step = match self.peek() {
            Some('"') => self.quoted()?,
            Some('\'') => self.raw()?,
            _ => Token::Atom(self.eat_while(|c| c.is_ascii_digit())),
        };
        let step = match step {
            Token::Text(key) => Some(Step::Key(key)),
            Token::Atom(digits) => digits.parse().ok().map(Step::Index),
            _ => None,
        };
        match step {
            Some(step) if self.eat("]") => Ok(Some(step)),
            _ => Err(self.bad_reference(start)),
        }
    }

    /// What is wrong at this place inside `{{` and `}}`.
    fn bad_reference(&mut self, start: usize) -> Problem {
        let (span, found) = self.next();
        let reference = |text: &str| Problem::new(Kind::Reference(text.into()), span);
        let line = self.rest().split('\n').next().unwrap_or("");
        if !line.contains('}') {
            self.eat_while(|c| c != '\n');
            return Problem::new(Kind::UnclosedFact, self.since(start)).help("add `}}`");
        }
        match found {
            "}" if self.rest().starts_with("}}") => {
                reference("a name is missing").help("a fact is written `{{name}}`")
            }
            "}" => reference("one `}` is missing").help("a fact is written `{{name}}`"),
            "|" => Problem::new(Kind::Unsupported("|".into()), span).help("facts have no filters"),
            _ => reference(&format!(
                "unexpected `{}`",
                found.chars().map(caret::shown).collect::<String>()
            ))
            .help("use letters, digits, `_` and `-`, or quote a key: `{{name[\"a key\"]}}`"),
        }
    }
}

/// What a word processor made of an ASCII character.
fn typographic(c: char) -> Option<(&'static str, &'static str)> {
    Some(match c {
        '“' | '”' | '„' | '‟' | '«' | '»' | '″' => ("quote", "\""),
        '‘' | '’' | '‚' | '‛' | '′' | '`' | '´' => ("quote", "'"),
        '—' | '–' | '‒' | '―' | '−' | '‐' | '‑' => ("dash", "-"),
        '≠' => ("operator", "!="),
        '≤' => ("operator", "<="),
        '≥' => ("operator", ">="),
        '\u{a0}' | '\u{2007}' | '\u{202f}' | '\u{3000}' => ("space", " "),
        '…' => ("ellipsis", "..."),
        _ => return None,
    })
}
