//! Policies: conditions over facts that put nodes into tribes.
//!
//! Text → tokens (`token`) → tree (`grammar`, built by `build`, checked against the built-in facts
//! by `check`) → program (`program`) → verdict. What a tree means is told plainly by `eval`, and with
//! reasons by `explain`; `set` asks many policies of one node, `columns` one policy of many nodes.
//! This module must not know nodes, tribes or where facts come from.
//!
//! Invariant: a [`Policy`] has been parsed; its canonical text fits [`limits::POLICY_BYTES`] and parses to an
//! equal policy. Nothing in a text can make it panic, and a fact's value is never read as policy.
//!
//! ```
//! use tribe::{Facts, Policy, Source, Verdict};
//!
//! let policy = Policy::parse("{{os_dist}} == Ubuntu && {{storage_tier}} == True")?;
//! let facts = serde_json::json!({"os_dist": "Ubuntu", "storage_tier": true});
//! let facts = Facts::from_json(facts.as_object().unwrap(), Source::Start)?;
//! assert_eq!(policy.evaluate(&facts), Verdict::True);
//! assert_eq!(policy.to_string(), "{{os_dist}} == Ubuntu && {{storage_tier}} == true");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod ast;
mod build;
mod caret;
mod check;
mod columns;
mod domain;
mod error;
mod eval;
mod explain;
mod fast;
mod literal;
mod near;
mod pattern;
mod print;
mod program;
mod schema;
mod set;
mod token;
mod version;
mod view;
mod warn;
mod would;

lalrpop_util::lalrpop_mod!(
    #[allow(
        clippy::all,
        clippy::indexing_slicing,
        clippy::panic,
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::allow_attributes_without_reason,
        missing_docs,
        unreachable_pub,
        unused_qualifications,
        unused_imports,
        reason = "generated from grammar.lalrpop"
    )]
    grammar,
    "/policy/grammar.rs"
);

#[cfg(test)]
mod hostile;
#[cfg(test)]
mod tests;

use std::{
    fmt::{self, Debug, Display, Formatter, Write as _},
    hash::{Hash, Hasher},
    str::FromStr,
    sync::Arc,
};

use lalrpop_util::ParseError;

pub use self::{
    ast::Span,
    columns::FactColumns,
    error::{Fix, ParsePolicyError, ParsePolicyErrorKind},
    eval::{UnknownReason, Verdict},
    explain::{Elements, Explanation, FactRead, Join},
    set::{PolicySet, SetVerdicts},
    warn::{PolicyWarning, PolicyWarningKind},
    would::{Proposal, Would},
};
use self::{
    ast::{Expr, Operand, Test},
    error::Problem,
    program::Program,
    token::Token,
};
use crate::{fact::Facts, limits, name::FactName};

/// The level of the policy language that this library understands.
pub const LEVEL: u16 = 2;

/// A condition over the facts of a node.
///
/// Cheap to clone. Policies are equal if their canonical texts are, which [`Display`] shows.
#[derive(Clone)]
pub struct Policy(Arc<Parsed>);

struct Parsed {
    /// As it was written: what spans point into.
    source: Arc<str>,
    canonical: Box<str>,
    tree: Expr,
    program: Program,
    reads: Vec<FactName>,
    level: u16,
}

impl Policy {
    /// Reads a policy.
    ///
    /// # Errors
    /// [`ParsePolicyError`] says what is wrong with the text, and where.
    pub fn parse(text: &str) -> Result<Self, ParsePolicyError> {
        parse(text).map_err(|problem| {
            let end = text.floor_char_boundary(limits::POLICY_BYTES);
            ParsePolicyError::new(problem, text.get(..end).unwrap_or(""))
        })
    }

    /// Judges the facts of a node.
    pub fn evaluate(&self, facts: &Facts) -> Verdict {
        self.0.program.evaluate(facts)
    }

    /// Judges the facts of a node, and says why.
    #[must_use]
    pub fn explain(&self, facts: &Facts) -> Explanation {
        explain::explain(&self.0.tree, facts)
    }

    /// What is probably a mistake, judged by itself and by the facts of the nodes there are.
    ///
    /// ```
    /// # use tribe::{Facts, Policy, Source};
    /// let policy = Policy::parse("{{os_dsit}} == Ubuntu")?;
    /// let warnings = policy.check([]);
    /// assert_eq!(warnings[0].to_string(), "`os_dsit` is not a known fact");
    /// # Ok::<(), tribe::ParsePolicyError>(())
    /// ```
    #[must_use]
    pub fn check<'a>(&self, nodes: impl IntoIterator<Item = &'a Facts>) -> Vec<PolicyWarning> {
        let nodes: Vec<&Facts> = nodes.into_iter().collect();
        warn::warnings(&self.0.tree, &self.0.source, &nodes)
    }

    /// The facts that are read, each once, by name.
    pub fn reads(&self) -> impl ExactSizeIterator<Item = &FactName> {
        self.0.reads.iter()
    }

    /// The lowest level of the language that has all this policy uses.
    #[must_use]
    pub fn level(&self) -> u16 {
        self.0.level
    }

    /// The canonical text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0.canonical
    }

    /// The text that was parsed, with its own spelling and comments. Spans point into it.
    #[must_use]
    pub fn source(&self) -> &str {
        &self.0.source
    }
}

fn parse(text: &str) -> Result<Policy, Problem> {
    let tokens = token::tokens(text)?;
    if tokens.is_empty() {
        return Err(Problem::new(ParsePolicyErrorKind::Empty, Span::new(0, 0))
            .help("`true` is the policy of every node"));
    }
    let tree = grammar::PolicyParser::new()
        .parse(text, tokens.into_iter().map(Ok))
        .map_err(|error| syntax(text, error))?;
    let mut canonical = String::with_capacity(text.len() + 16);
    let _ = write!(canonical, "{tree}");
    if canonical.len() > limits::POLICY_BYTES {
        let kind = ParsePolicyErrorKind::TooLarge {
            what: "bytes in canonical form",
            max: limits::POLICY_BYTES,
        };
        return Err(Problem::new(kind, Span::new(0, 0)));
    }
    costs(&tree)?;
    let mut reads = Vec::new();
    tree.paths(&mut |path| {
        if path.variable.is_none() {
            reads.push(path.name.clone());
        }
    });
    reads.sort();
    reads.dedup();
    let level = level(&tree);
    let program = Program::new(&tree);
    let (source, canonical) = (text.into(), canonical.into());
    Ok(Policy(Arc::new(Parsed { source, canonical, tree, program, reads, level })))
}

/// Patterns and quantifiers cost more than anything else in a policy: their number is limited.
fn costs(tree: &Expr) -> Result<(), Problem> {
    let (mut count, mut too_many) = (0, None);
    let mut add = |span| {
        count += 1;
        if count == limits::POLICY_PATTERNS + 1 {
            too_many = Some(span);
        }
    };
    tree.each(&mut |each| add(each.span));
    tree.clauses(&mut |clause| {
        if let Test::Compare(_, _, Operand::Pattern(_)) = clause.test {
            add(clause.span);
        }
    });
    match too_many {
        None => Ok(()),
        Some(span) => {
            let (what, max) = ("patterns and quantifiers", limits::POLICY_PATTERNS);
            Err(Problem::new(ParsePolicyErrorKind::TooLarge { what, max }, span))
        }
    }
}

/// The lowest level of the language that has all a tree uses.
fn level(tree: &Expr) -> u16 {
    let mut level = 1;
    tree.each(&mut |_| level = 2);
    tree.paths(&mut |path| {
        if path.cast.is_some() {
            level = 2;
        }
    });
    tree.clauses(&mut |clause| {
        let literals = match &clause.test {
            Test::Compare(_, op, _) if op.is_pattern() => {
                level = 2;
                return;
            }
            Test::Compare(_, _, Operand::One(literal)) => std::slice::from_ref(literal),
            Test::Compare(_, _, Operand::List(literals)) => literals,
            _ => return,
        };
        // To level 1 they were words.
        if literals.iter().any(|literal| literal.duration.is_some()) {
            level = 2;
        }
    });
    level
}

/// What the generated parser found, in words.
fn syntax(text: &str, error: ParseError<u32, Token<'_>, Problem>) -> Problem {
    let (span, expected) = match error {
        ParseError::User { error } => return error,
        ParseError::UnrecognizedToken { token: (start, _, end), expected } => {
            (Span { start, end }, expected)
        }
        ParseError::UnrecognizedEof { expected, .. } => {
            let end = text.trim_end().len();
            (Span::new(end, end), expected)
        }
        ParseError::ExtraToken { token: (start, _, end) } => (Span { start, end }, Vec::new()),
        ParseError::InvalidToken { location } => {
            (Span { start: location, end: location }, Vec::new())
        }
    };
    let found = match text.get(span.range()) {
        Some(found) if !found.is_empty() => format!("`{found}`"),
        _ => "the end".into(),
    };
    let kind =
        ParsePolicyErrorKind::Expected { expected: friendly(&expected), found: found.into() };
    Problem::new(kind, span)
}

/// What could stand at a place, without listing it all.
fn friendly(expected: &[String]) -> &'static str {
    let has = |name: &str| expected.iter().any(|token| token.trim_matches('"') == name);
    match () {
        () if has("]") && has(",") => "`,` or `]`",
        () if expected.len() == 1 && has("word") => "a name",
        () if expected.len() == 1 && has("fact") => "a fact",
        () if expected.len() == 1 && has("(") => "`(`",
        () if has("!") => "a condition",
        () if has("fact") && !has("==") => "a value",
        () if has("in") && has("like") && !has("==") => "`in`, `contains`, `like` or `matches`",
        () if has("in") && !has("==") => "`in`",
        () if has(",") => "`,` or `)`",
        () if has(")") => "an operator or `)`",
        () => "an operator or the end",
    }
}

impl FromStr for Policy {
    type Err = ParsePolicyError;

    fn from_str(text: &str) -> Result<Self, ParsePolicyError> {
        Self::parse(text)
    }
}

impl Display for Policy {
    /// The canonical text.
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl Debug for Policy {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        Debug::fmt(self.as_str(), f)
    }
}

impl PartialEq for Policy {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for Policy {}

impl Hash for Policy {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_str().hash(state);
    }
}
