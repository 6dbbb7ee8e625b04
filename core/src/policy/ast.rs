//! The tree of a policy, and the words it is made of.
//!
//! Invariant: a tree that was parsed is normal: `and` in `and` and `or` in `or` are merged, a fact
//! stands on the left of every comparison, and `Everything` occurs only at the root. Every path that
//! starts with the variable of a quantifier around it is bound to it.
//! Trees are equal whatever their spans.

use std::{ops::Range, sync::Arc};

use serde::Serialize;

use super::{
    literal::Literal,
    pattern::{Glob, Pattern},
    schema,
    schema::Kind,
};
use crate::name::FactName;

/// A part of a policy's text, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
pub struct Span {
    /// The first byte.
    pub start: u32,
    /// The byte after the last.
    pub end: u32,
}

impl Span {
    pub(crate) fn new(start: usize, end: usize) -> Self {
        let offset = |at| u32::try_from(at).unwrap_or(u32::MAX);
        Self { start: offset(start), end: offset(end) }
    }

    pub(crate) fn to(self, other: Self) -> Self {
        Self { start: self.start, end: other.end }
    }

    /// The same as a range of indices.
    #[must_use]
    pub fn range(self) -> Range<usize> {
        self.start as usize..self.end as usize
    }
}

/// A condition.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Expr {
    /// `true`: the policy of every node.
    Everything,
    Or(Vec<Expr>),
    And(Vec<Expr>),
    Not(Box<Expr>),
    Clause(Arc<Clause>),
    Each(Arc<Each>),
}

impl Expr {
    /// Calls `visit` with every fact that is read, in the order of the text.
    pub(crate) fn paths<'a>(&'a self, visit: &mut impl FnMut(&'a Path)) {
        match self {
            Self::Everything => {}
            Self::Or(parts) | Self::And(parts) => parts.iter().for_each(|part| part.paths(visit)),
            Self::Not(inner) => inner.paths(visit),
            Self::Clause(clause) => clause.test.paths(visit),
            Self::Each(each) => {
                visit(&each.over);
                each.body.paths(visit);
            }
        }
    }

    /// Calls `visit` with every quantifier.
    pub(crate) fn each<'a>(&'a self, visit: &mut impl FnMut(&'a Each)) {
        match self {
            Self::Everything | Self::Clause(_) => {}
            Self::Or(parts) | Self::And(parts) => parts.iter().for_each(|part| part.each(visit)),
            Self::Not(inner) => inner.each(visit),
            Self::Each(each) => {
                visit(each);
                each.body.each(visit);
            }
        }
    }

    /// Calls `visit` with every clause, in the order of the text.
    pub(crate) fn clauses<'a>(&'a self, visit: &mut impl FnMut(&'a Clause)) {
        match self {
            Self::Everything => {}
            Self::Or(parts) | Self::And(parts) => {
                parts.iter().for_each(|part| part.clauses(visit));
            }
            Self::Not(inner) => inner.clauses(visit),
            Self::Clause(clause) => visit(clause),
            Self::Each(each) => each.body.clauses(visit),
        }
    }
}

/// A condition on the elements of a list, or the values of a map: `any d in {{devices}} (…)`.
#[derive(Debug, Clone)]
pub(crate) struct Each {
    pub(crate) quantifier: Quantifier,
    pub(crate) variable: FactName,
    pub(crate) over: Path,
    pub(crate) body: Expr,
    /// Steps that judging one element takes, without the lists that it is compared with.
    pub(crate) weight: usize,
    pub(crate) span: Span,
}

impl PartialEq for Each {
    fn eq(&self, other: &Self) -> bool {
        (self.quantifier, &self.variable, &self.over, &self.body)
            == (other.quantifier, &other.variable, &other.over, &other.body)
    }
}

/// For how many elements a condition must be true.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Quantifier {
    Any,
    All,
    None,
}

impl Quantifier {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Any => "any",
            Self::All => "all",
            Self::None => "none",
        }
    }
}

/// A leaf of the tree.
#[derive(Debug, Clone)]
pub(crate) struct Clause {
    pub(crate) test: Test,
    pub(crate) span: Span,
}

impl PartialEq for Clause {
    fn eq(&self, other: &Self) -> bool {
        self.test == other.test
    }
}

/// What a leaf asks.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Test {
    /// `{{flag}}`
    Holds(Path),
    /// `exists({{fact}})`
    Exists(Path),
    /// `{{fact}} == value`
    Compare(Path, Op, Operand),
}

impl Test {
    /// The fact that is asked.
    pub(crate) fn path(&self) -> &Path {
        let (Self::Holds(path) | Self::Exists(path) | Self::Compare(path, ..)) = self;
        path
    }

    pub(crate) fn paths<'a>(&'a self, visit: &mut impl FnMut(&'a Path)) {
        match self {
            Self::Holds(path) | Self::Exists(path) => visit(path),
            Self::Compare(left, _, right) => {
                visit(left);
                if let Operand::Fact(right) = right {
                    visit(right);
                }
            }
        }
    }
}

/// The right side of a comparison.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Operand {
    Fact(Path),
    One(Literal),
    List(Vec<Literal>),
    Glob(Glob),
    Pattern(Pattern),
}

/// An operator between two values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Op {
    Eq,
    Ne,
    Lt,
    Le,
    Gt,
    Ge,
    In,
    NotIn,
    Contains,
    NotContains,
    Like,
    NotLike,
    Matches,
    NotMatches,
}

impl Op {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Eq => "==",
            Self::Ne => "!=",
            Self::Lt => "<",
            Self::Le => "<=",
            Self::Gt => ">",
            Self::Ge => ">=",
            Self::In => "in",
            Self::NotIn => "not in",
            Self::Contains => "contains",
            Self::NotContains => "not contains",
            Self::Like => "like",
            Self::NotLike => "not like",
            Self::Matches => "matches",
            Self::NotMatches => "not matches",
        }
    }

    /// The operator that says the same with the sides exchanged. `None`: a pattern stays right.
    pub(crate) fn flipped(self) -> Option<Self> {
        Some(match self {
            Self::Eq | Self::Ne => self,
            Self::Lt => Self::Gt,
            Self::Le => Self::Ge,
            Self::Gt => Self::Lt,
            Self::Ge => Self::Le,
            Self::In => Self::Contains,
            Self::NotIn => Self::NotContains,
            Self::Contains => Self::In,
            Self::NotContains => Self::NotIn,
            Self::Like | Self::NotLike | Self::Matches | Self::NotMatches => return None,
        })
    }

    /// The operator that says the opposite.
    pub(crate) fn negated(self) -> Self {
        match self {
            Self::Eq => Self::Ne,
            Self::Ne => Self::Eq,
            Self::Lt => Self::Ge,
            Self::Le => Self::Gt,
            Self::Gt => Self::Le,
            Self::Ge => Self::Lt,
            Self::In => Self::NotIn,
            Self::NotIn => Self::In,
            Self::Contains => Self::NotContains,
            Self::NotContains => Self::Contains,
            Self::Like => Self::NotLike,
            Self::NotLike => Self::Like,
            Self::Matches => Self::NotMatches,
            Self::NotMatches => Self::Matches,
        }
    }

    pub(crate) fn is_pattern(self) -> bool {
        self.flipped().is_none()
    }
}

/// A reference to a fact, or to a part of one, or to the element that a quantifier looks at.
#[derive(Debug, Clone)]
pub(crate) struct Path {
    pub(crate) name: FactName,
    /// The quantifier that the name is the variable of: so many quantifiers further out.
    pub(crate) variable: Option<usize>,
    pub(crate) steps: Vec<Step>,
    /// What the value is read as: `version({{fact}})`.
    pub(crate) cast: Option<Cast>,
    /// What the schema declares it to be, or the cast makes it.
    pub(crate) kind: Option<Kind>,
    /// The field meant when a value is needed and the fact is a record.
    pub(crate) primary: Option<&'static str>,
    pub(crate) span: Span,
}

impl Path {
    pub(crate) fn new(name: FactName, steps: Vec<Step>, span: Span) -> Self {
        let (kind, primary) = schema::declared(name.as_str(), &steps);
        Self { name, variable: None, steps, cast: None, kind, primary, span }
    }

    pub(crate) fn cast(self, cast: Cast, span: Span) -> Self {
        Self { cast: Some(cast), kind: Some(cast.kind()), span, ..self }
    }

    /// Binds this to the elements of `over`, the quantifier being `depth` further out.
    pub(crate) fn bind(&mut self, depth: usize, over: &Self) {
        self.variable = Some(depth);
        let element = over.steps.iter().cloned().chain([Step::Index(0)]);
        let steps: Vec<Step> = element.chain(self.steps.iter().cloned()).collect();
        let declared = match over.variable {
            None => schema::declared(over.name.as_str(), &steps),
            Some(_) => (None, None),
        };
        self.primary = declared.1;
        self.kind = self.cast.map(Cast::kind).or(declared.0);
    }
}

impl PartialEq for Path {
    fn eq(&self, other: &Self) -> bool {
        (&self.name, self.variable, &self.steps, self.cast)
            == (&other.name, other.variable, &other.steps, other.cast)
    }
}

/// A function that reads a value as another type. What it cannot read is unknown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cast {
    Bytes,
    Duration,
    Ip,
    Len,
    Lower,
    Number,
    Version,
}

impl Cast {
    pub(crate) const ALL: [Self; 7] = [
        Self::Bytes,
        Self::Duration,
        Self::Ip,
        Self::Len,
        Self::Lower,
        Self::Number,
        Self::Version,
    ];

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Bytes => "bytes",
            Self::Duration => "duration",
            Self::Ip => "ip",
            Self::Len => "len",
            Self::Lower => "lower",
            Self::Number => "number",
            Self::Version => "version",
        }
    }

    fn kind(self) -> Kind {
        match self {
            Self::Bytes => Kind::Bytes,
            Self::Duration => Kind::Duration,
            Self::Ip => Kind::Ip,
            Self::Len | Self::Number => Kind::Int,
            Self::Lower => Kind::Text,
            Self::Version => Kind::Version,
        }
    }
}

/// One step into a fact.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Step {
    /// `.key` or `["key"]`; in a list, the digits of an index.
    Key(Box<str>),
    /// `[0]`
    Index(usize),
}
