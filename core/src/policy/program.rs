//! A policy in the form that is judged: its clauses, and how they are joined, in two flat lists.
//!
//! It means what `eval` says; the tests hold both against each other. Facts are found by the keys of
//! their names, the commonest comparisons look at a value's glance alone, and of an `&&` or `||` the cheap
//! parts come first. `set` judges several policies together.

use std::sync::Arc;

use super::{
    ast::{Clause, Each, Expr, Op, Operand, Path, Test},
    eval::{self, UnknownReason, Verdict},
    fast::Fast,
    schema::Kind,
    view::{self, Scope, View},
};
use crate::fact::{
    Facts,
    index::{Found, Probe, Seen},
};

/// A condition that was compiled.
#[derive(Debug)]
pub(crate) struct Program {
    nodes: Box<[Node]>,
    atoms: Box<[Atom]>,
}

/// A part of a condition. They stand in the order of the tree: a join, then its parts.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Node {
    Everything,
    Atom(u32),
    /// The parts end before this node.
    And(u32),
    Or(u32),
    /// Of the next node.
    Not,
}

/// What is asked of the facts at once.
#[derive(Debug)]
pub(crate) struct Atom {
    /// Of the fact's name.
    name: Probe,
    /// Is the fact itself asked, and not a part of it?
    whole: bool,
    fast: Fast,
    asks: Asks,
}

#[derive(Debug)]
enum Asks {
    Test(Arc<Clause>),
    Each(Arc<Each>),
}

/// A verdict as a number: of parts joined by `&&` the least decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Truth(u8);

impl Truth {
    pub(crate) const FALSE: Self = Self(0);
    pub(crate) const TRUE: Self = Self(5);
    /// Nobody has asked yet.
    pub(crate) const LATER: Self = Self(6);

    #[inline]
    pub(crate) fn new(verdict: Verdict) -> Self {
        Self(match verdict {
            Verdict::False => 0,
            Verdict::Unknown(UnknownReason::Missing) => 1,
            Verdict::Unknown(UnknownReason::Kind) => 2,
            Verdict::Unknown(UnknownReason::Unordered) => 3,
            Verdict::Unknown(UnknownReason::Limit) => 4,
            Verdict::True => 5,
        })
    }

    #[inline]
    pub(crate) fn verdict(self) -> Verdict {
        const VERDICTS: [Verdict; 6] = [
            Verdict::False,
            Verdict::Unknown(UnknownReason::Missing),
            Verdict::Unknown(UnknownReason::Kind),
            Verdict::Unknown(UnknownReason::Unordered),
            Verdict::Unknown(UnknownReason::Limit),
            Verdict::True,
        ];
        VERDICTS.get(usize::from(self.0)).copied().unwrap_or(Verdict::False)
    }

    /// Without branches, which would often be predicted wrong.
    #[inline]
    pub(crate) fn negated_if(self, negated: bool) -> Self {
        let known = self == Self::FALSE || self == Self::TRUE;
        Self(self.0 ^ (u8::from(known & negated) * Self::TRUE.0))
    }
}

impl Program {
    pub(crate) fn new(expr: &Expr) -> Self {
        let (mut nodes, mut atoms) = (Vec::new(), Vec::new());
        add(expr, &mut nodes, &mut |part| {
            atoms.extend(Atom::new(part));
            number(atoms.len() - 1)
        });
        Self { nodes: nodes.into(), atoms: atoms.into() }
    }

    /// What is asked, each by its number.
    pub(crate) fn atoms(&self) -> &[Atom] {
        &self.atoms
    }

    /// The verdict, if this is what the atoms say.
    #[inline]
    pub(crate) fn verdict(&self, judge: &mut impl FnMut(u32) -> Truth) -> Verdict {
        node(&self.nodes, 0, judge).0.verdict()
    }

    pub(crate) fn evaluate(&self, facts: &Facts) -> Verdict {
        let mut judge = |atom: u32| match self.atoms.get(atom as usize) {
            Some(atom) => Truth::new(atom.judge(facts)),
            None => Truth::FALSE,
        };
        self.verdict(&mut judge)
    }
}

/// A policy has no more than [`limits::POLICY_TOKENS`](crate::limits::POLICY_TOKENS) nodes, and a set of
/// them fits in memory.
pub(crate) fn number(at: usize) -> u32 {
    u32::try_from(at).unwrap_or(u32::MAX)
}

/// The verdict of a node, and the node behind it.
#[inline]
pub(crate) fn node(
    nodes: &[Node],
    at: usize,
    judge: &mut impl FnMut(u32) -> Truth,
) -> (Truth, usize) {
    match nodes.get(at) {
        Some(Node::Atom(atom)) => (judge(*atom), at + 1),
        Some(Node::And(end)) => (join(nodes, at + 1, *end as usize, judge, false), *end as usize),
        Some(Node::Or(end)) => (join(nodes, at + 1, *end as usize, judge, true), *end as usize),
        Some(Node::Not) => {
            let (truth, next) = inner(nodes, at + 1, judge);
            (truth.negated_if(true), next)
        }
        Some(Node::Everything) => (Truth::TRUE, at + 1),
        None => (Truth::FALSE, at + 1),
    }
}

/// The same where it is not worth another copy of the code.
#[inline(never)]
fn inner(nodes: &[Node], at: usize, judge: &mut impl FnMut(u32) -> Truth) -> (Truth, usize) {
    node(nodes, at, judge)
}

/// The parts up to a node: `a || b` is `not (not a && not b)`.
#[inline]
fn join(
    nodes: &[Node],
    mut at: usize,
    end: usize,
    judge: &mut impl FnMut(u32) -> Truth,
    or: bool,
) -> Truth {
    let mut so_far = Truth::TRUE;
    while at < end {
        let (truth, next) = match nodes.get(at) {
            Some(Node::Atom(atom)) => (judge(*atom), at + 1),
            _ => inner(nodes, at, judge),
        };
        so_far = so_far.min(truth.negated_if(or));
        if so_far == Truth::FALSE {
            break;
        }
        at = next;
    }
    so_far.negated_if(or)
}

/// Adds the nodes of a condition; `intern` gives the number of the atom that asks what a part asks.
pub(crate) fn add(expr: &Expr, nodes: &mut Vec<Node>, intern: &mut impl FnMut(&Expr) -> u32) {
    let at = nodes.len();
    match expr {
        Expr::Everything => nodes.push(Node::Everything),
        Expr::And(parts) | Expr::Or(parts) => {
            nodes.push(Node::Everything);
            let mut parts: Vec<&Expr> = parts.iter().collect();
            parts.sort_by_key(|part| cost(part));
            parts.into_iter().for_each(|part| add(part, nodes, intern));
            let end = number(nodes.len());
            if let Some(node) = nodes.get_mut(at) {
                *node = if matches!(expr, Expr::And(_)) { Node::And(end) } else { Node::Or(end) };
            }
        }
        Expr::Not(inner) => {
            nodes.push(Node::Not);
            add(inner, nodes, intern);
        }
        Expr::Clause(_) | Expr::Each(_) => nodes.push(Node::Atom(intern(expr))),
    }
}

/// About how long a part takes, against comparing two numbers.
fn cost(expr: &Expr) -> usize {
    match expr {
        Expr::Everything => 0,
        Expr::And(parts) | Expr::Or(parts) => parts.iter().map(cost).sum(),
        Expr::Not(inner) => cost(inner),
        Expr::Clause(clause) => match &clause.test {
            Test::Exists(_) | Test::Holds(_) => 1,
            Test::Compare(_, Op::Contains | Op::NotContains, _) => 3,
            Test::Compare(_, _, Operand::List(list)) => 2 + list.len(),
            Test::Compare(_, _, Operand::Glob(_)) => 16,
            Test::Compare(_, _, Operand::Pattern(_)) => 256,
            Test::Compare(path, ..) if path.kind == Some(Kind::Version) => 4,
            Test::Compare(..) => 2,
        },
        Expr::Each(each) => 64 + each.weight * 16,
    }
}

impl Atom {
    /// Of a part, if it is a leaf.
    pub(crate) fn new(part: &Expr) -> Option<Self> {
        let (path, fast, asks) = match part {
            Expr::Clause(clause) => {
                (clause.test.path(), Fast::new(&clause.test), Asks::Test(Arc::clone(clause)))
            }
            Expr::Each(each) => (&each.over, Fast::None, Asks::Each(Arc::clone(each))),
            _ => return None,
        };
        Some(Self {
            name: Probe::new(path.name.as_str()),
            whole: path.steps.is_empty(),
            fast,
            asks,
        })
    }

    /// The fact that it reads first, or the part of one. A quantifier finds what it reads by itself.
    pub(crate) fn path(&self) -> Option<&Path> {
        match &self.asks {
            Asks::Test(clause) => Some(clause.test.path()),
            Asks::Each(_) => None,
        }
    }

    /// Of the literal it compares with.
    fn text(&self) -> &str {
        match &self.asks {
            Asks::Test(clause) => match &clause.test {
                Test::Compare(_, _, Operand::One(literal)) => &literal.text,
                _ => "",
            },
            Asks::Each(_) => "",
        }
    }

    /// Does the value at the path decide, and nothing beside it?
    pub(crate) fn is_local(&self) -> bool {
        match &self.asks {
            Asks::Test(clause) => !matches!(clause.test, Test::Compare(_, _, Operand::Fact(_))),
            Asks::Each(_) => false,
        }
    }

    /// The verdict on a value of which no more is at hand than what is seen, if that is enough.
    #[inline]
    pub(crate) fn judge_seen(&self, seen: &Seen) -> Option<bool> {
        self.fast.judge(seen, |_, _| false)
    }

    pub(crate) fn is_cheap(&self) -> bool {
        self.fast.is_cheap()
    }

    #[inline]
    pub(crate) fn judge(&self, facts: &Facts) -> Verdict {
        self.judge_found(facts, self.find(facts))
    }

    /// The value at the path, before it is seen as any type.
    #[inline]
    pub(crate) fn find<'a>(&'a self, facts: &'a Facts) -> Option<Found<'a>> {
        let found = facts.find(self.name, || Some(&self.path()?.name))?;
        if self.whole {
            return Some(found);
        }
        Some(Found { value: view::within(self.path()?, found.value)?, seen: None })
    }

    /// The verdict, once the value at its path is found.
    #[inline]
    pub(crate) fn judge_found(&self, facts: &Facts, found: Option<Found<'_>>) -> Verdict {
        let judge = |found: Found<'_>| {
            let has = |table: &_, probe| found.has_text(table, probe, || self.text());
            let nested;
            let seen = match found.seen {
                Some(seen) => seen,
                None => {
                    nested = Seen::of(found.value);
                    &nested
                }
            };
            self.fast.judge(seen, has)
        };
        match found.and_then(judge) {
            Some(verdict) => verdict.into(),
            None => self.judge_closely(facts, found),
        }
    }

    #[inline(never)]
    fn judge_closely(&self, facts: &Facts, found: Option<Found<'_>>) -> Verdict {
        let test = match &self.asks {
            Asks::Test(clause) => &clause.test,
            Asks::Each(each) => return eval::quantified(each, &Scope::new(facts)),
        };
        if let Test::Exists(_) = test {
            return found.is_some().into();
        }
        let path = test.path();
        let value = found.and_then(|found| view::primary(path, found.value));
        let Some(view) = value.map(|value| View::at(path, value)) else {
            return Verdict::Unknown(UnknownReason::Missing);
        };
        match (test, view) {
            (Test::Compare(_, op, operand), view) => {
                eval::compare(path, &view, *op, operand, &Scope::new(facts))
            }
            (_, View::Bool(boolean)) => boolean.value.into(),
            _ => Verdict::Unknown(UnknownReason::Kind),
        }
    }
}
