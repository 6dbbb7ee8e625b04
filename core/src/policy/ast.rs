//! The tree of a policy, and the words it is made of.
//!
//! Invariant: a tree that was parsed is normal: `and` in `and` and `or` in `or` are merged, a fact
//! stands on the left of every comparison, and `Everything` occurs only at the root.
//! Trees are equal whatever their spans.

use std::ops::Range;

use serde::Serialize;

use super::{literal::Literal, schema, schema::Kind};
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
    Clause(Clause),
}

impl Expr {
    /// Calls `visit` with every fact that is read, in the order of the text.
    pub(crate) fn paths<'a>(&'a self, visit: &mut impl FnMut(&'a Path)) {
        match self {
            Self::Everything => {}
            Self::Or(parts) | Self::And(parts) => parts.iter().for_each(|part| part.paths(visit)),
            Self::Not(inner) => inner.paths(visit),
            Self::Clause(clause) => clause.test.paths(visit),
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
        }
    }

    /// The operator that says the same with the sides exchanged.
    pub(crate) fn flipped(self) -> Self {
        match self {
            Self::Eq | Self::Ne => self,
            Self::Lt => Self::Gt,
            Self::Le => Self::Ge,
            Self::Gt => Self::Lt,
            Self::Ge => Self::Le,
            Self::In => Self::Contains,
            Self::NotIn => Self::NotContains,
            Self::Contains => Self::In,
            Self::NotContains => Self::NotIn,
        }
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
        }
    }
}

/// A reference to a fact, or to a part of one.
#[derive(Debug, Clone)]
pub(crate) struct Path {
    pub(crate) name: FactName,
    pub(crate) steps: Vec<Step>,
    /// What the schema declares it to be.
    pub(crate) kind: Option<Kind>,
    /// The field meant when a value is needed and the fact is a record.
    pub(crate) primary: Option<&'static str>,
    pub(crate) span: Span,
}

impl Path {
    pub(crate) fn new(name: FactName, steps: Vec<Step>, span: Span) -> Self {
        let (kind, primary) = schema::declared(name.as_str(), &steps);
        Self { name, steps, kind, primary, span }
    }
}

impl PartialEq for Path {
    fn eq(&self, other: &Self) -> bool {
        (&self.name, &self.steps) == (&other.name, &other.steps)
    }
}

/// One step into a fact.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Step {
    /// `.key` or `["key"]`; in a list, the digits of an index.
    Key(Box<str>),
    /// `[0]`
    Index(usize),
}
