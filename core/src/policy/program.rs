//! A policy in the form that is judged: its clauses, and how they are joined, in two flat lists.
//!
//! It means what `eval` says; the tests hold both against each other. Facts are found by the hashes of
//! their names, the commonest comparisons need no views, and of an `&&` or `||` the cheap parts come first.
//! A [`PolicySet`] judges what its policies have in common once.

use std::{cmp::Ordering, collections::BTreeMap, ops::Not};

use super::{
    Policy,
    ast::{Each, Expr, Op, Operand, Path, Test},
    eval::{self, UnknownReason, Verdict},
    literal::{Literal, Number},
    schema::Kind,
    view::{self, Scope, View},
};
use crate::fact::{
    Facts, Value,
    index::{self, Found},
};

/// A condition that was compiled.
#[derive(Debug)]
pub(crate) struct Program {
    /// In the order of the tree: a join, then its parts.
    nodes: Box<[Node]>,
    atoms: Box<[Atom]>,
}

#[derive(Debug, Clone, Copy)]
enum Node {
    Everything,
    Atom(usize),
    /// The parts end before this node.
    And(usize),
    Or(usize),
    /// Of the next node.
    Not,
}

/// What is asked of the facts at once.
#[derive(Debug)]
enum Atom {
    Test { hash: u64, test: Box<Test>, fast: Fast },
    Each(Box<Each>),
}

/// A comparison that is decided at a glance if the value has the likeliest type.
#[derive(Debug)]
enum Fast {
    /// A text that is, or is not, exactly this.
    Text {
        equal: bool,
    },
    /// A whole number in an order to this.
    Int(i64),
    /// A list of texts that has, or has not, this one.
    Element {
        hash: u64,
        inside: bool,
    },
    None,
}

impl Program {
    pub(crate) fn new(expr: &Expr) -> Self {
        let (mut nodes, mut atoms) = (Vec::new(), Vec::new());
        add(expr, &mut nodes, &mut |part| {
            atoms.extend(Atom::of(part));
            atoms.len() - 1
        });
        Self { nodes: nodes.into(), atoms: atoms.into() }
    }

    pub(crate) fn evaluate(&self, facts: &Facts) -> Verdict {
        let mut judge = |atom: usize| match self.atoms.get(atom) {
            Some(atom) => atom.judge(facts),
            None => Verdict::False,
        };
        node(&self.nodes, 0, &mut judge).0
    }
}

/// Policies that are judged together: what several of them ask is asked once.
///
/// ```
/// use tribe::{Facts, Policy, PolicySet, Source, Verdict};
///
/// let policies = ["{{a}} == 1 && {{b}} == 2", "{{a}} == 1 && {{b}} == 3"];
/// let set = PolicySet::new(policies.map(|text| Policy::parse(text).unwrap()).iter());
/// let facts = serde_json::json!({"a": 1, "b": 3});
/// let facts = Facts::from_json(facts.as_object().unwrap(), Source::Start)?;
/// assert_eq!(set.evaluate(&facts), [Verdict::False, Verdict::True]);
/// # Ok::<(), tribe::FactError>(())
/// ```
#[derive(Debug)]
pub struct PolicySet {
    nodes: Vec<Node>,
    atoms: Vec<Atom>,
    /// Where each policy begins among the nodes.
    roots: Vec<usize>,
}

impl PolicySet {
    /// Compiles policies together.
    pub fn new<'a>(policies: impl IntoIterator<Item = &'a Policy>) -> Self {
        let (mut nodes, mut atoms, mut roots) = (Vec::new(), Vec::new(), Vec::new());
        let mut known: BTreeMap<String, usize> = BTreeMap::new();
        for policy in policies {
            roots.push(nodes.len());
            add(&policy.0.tree, &mut nodes, &mut |part| {
                *known.entry(part.to_string()).or_insert_with(|| {
                    atoms.extend(Atom::of(part));
                    atoms.len() - 1
                })
            });
        }
        Self { nodes, atoms, roots }
    }

    /// What each policy says of the facts of a node, in the order they were given.
    #[must_use]
    pub fn evaluate(&self, facts: &Facts) -> Vec<Verdict> {
        let mut known: Vec<Option<Verdict>> = vec![None; self.atoms.len()];
        let mut judge = |atom: usize| {
            let (Some(known), Some(atom)) = (known.get_mut(atom), self.atoms.get(atom)) else {
                return Verdict::False;
            };
            *known.get_or_insert_with(|| atom.judge(facts))
        };
        self.roots.iter().map(|root| node(&self.nodes, *root, &mut judge).0).collect()
    }
}

/// The verdict of a node, and the node behind it.
fn node(nodes: &[Node], at: usize, judge: &mut impl FnMut(usize) -> Verdict) -> (Verdict, usize) {
    match nodes.get(at) {
        Some(Node::Atom(atom)) => (judge(*atom), at + 1),
        Some(Node::And(end)) => (join(nodes, at + 1, *end, judge, Verdict::False), *end),
        Some(Node::Or(end)) => (join(nodes, at + 1, *end, judge, Verdict::True), *end),
        Some(Node::Not) => {
            let (verdict, next) = node(nodes, at + 1, judge);
            (verdict.not(), next)
        }
        Some(Node::Everything) => (Verdict::True, at + 1),
        None => (Verdict::False, at + 1),
    }
}

/// The parts up to a node, of which one that is `decisive` decides.
fn join(
    nodes: &[Node],
    mut at: usize,
    end: usize,
    judge: &mut impl FnMut(usize) -> Verdict,
    decisive: Verdict,
) -> Verdict {
    let mut unknown: Option<UnknownReason> = None;
    while at < end {
        let (verdict, next) = node(nodes, at, judge);
        match verdict {
            Verdict::Unknown(reason) => {
                unknown = Some(unknown.map_or(reason, |known| known.min(reason)));
            }
            verdict if verdict == decisive => return decisive,
            _ => {}
        }
        at = next;
    }
    unknown.map_or(decisive.not(), Verdict::Unknown)
}

/// Adds the nodes of a condition; `intern` gives the number of the atom that asks what a part asks.
fn add(expr: &Expr, nodes: &mut Vec<Node>, intern: &mut impl FnMut(&Expr) -> usize) {
    let at = nodes.len();
    match expr {
        Expr::Everything => nodes.push(Node::Everything),
        Expr::And(parts) | Expr::Or(parts) => {
            nodes.push(Node::Everything);
            let mut parts: Vec<&Expr> = parts.iter().collect();
            parts.sort_by_key(|part| cost(part));
            parts.into_iter().for_each(|part| add(part, nodes, intern));
            let end = nodes.len();
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
    /// What a part asks, if it is a leaf.
    fn of(part: &Expr) -> Option<Self> {
        match part {
            Expr::Clause(clause) => Some(Self::new(&clause.test)),
            Expr::Each(each) => Some(Self::Each(each.clone())),
            _ => None,
        }
    }

    fn new(test: &Test) -> Self {
        let (Test::Holds(path) | Test::Exists(path) | Test::Compare(path, ..)) = test;
        let fast = match test {
            Test::Compare(path, op, Operand::One(literal)) => Fast::new(path, *op, literal),
            _ => Fast::None,
        };
        Self::Test { hash: index::hash(path.name.as_str()), test: Box::new(test.clone()), fast }
    }

    fn judge(&self, facts: &Facts) -> Verdict {
        let (hash, test, fast) = match self {
            Self::Test { hash, test, fast } => (*hash, &**test, fast),
            Self::Each(each) => return eval::quantified(each, &Scope::new(facts)),
        };
        let (Test::Holds(path) | Test::Exists(path) | Test::Compare(path, ..)) = test;
        let found = facts.find(hash, &path.name);
        let value = found.and_then(|found| view::within(path, found.value));
        match test {
            Test::Exists(_) => value.is_some().into(),
            Test::Holds(_) => match value.and_then(|value| view::primary(path, value)) {
                None => Verdict::Unknown(UnknownReason::Missing),
                Some(Value::Bool(boolean)) if path.cast.is_none() => boolean.value.into(),
                Some(_) => Verdict::Unknown(UnknownReason::Kind),
            },
            Test::Compare(_, op, operand) => {
                let (Some(found), Some(value)) = (found, value) else {
                    return Verdict::Unknown(UnknownReason::Missing);
                };
                if let Some(verdict) = fast.judge(found, value, *op, operand) {
                    return verdict.into();
                }
                match view::primary(path, value) {
                    None => Verdict::Unknown(UnknownReason::Missing),
                    Some(value) => {
                        let view = View::at(path, value);
                        eval::compare(path, &view, *op, operand, &Scope::new(facts))
                    }
                }
            }
        }
    }
}

impl Fast {
    fn new(path: &Path, op: Op, literal: &Literal) -> Self {
        if path.cast.is_some() || path.primary.is_some() {
            return Self::None;
        }
        match (op, path.kind) {
            (Op::Eq | Op::Ne, None | Some(Kind::Text)) if literal.boolean.is_none() => {
                Self::Text { equal: op == Op::Eq }
            }
            (Op::Lt | Op::Le | Op::Gt | Op::Ge, None | Some(Kind::Int | Kind::Bytes)) => {
                match literal.quantity() {
                    Some(Number::Int(number)) => Self::Int(number),
                    _ => Self::None,
                }
            }
            (Op::Contains | Op::NotContains, None | Some(Kind::List))
                if literal.boolean.is_none() && path.steps.is_empty() =>
            {
                Self::Element { hash: index::hash(&literal.text), inside: op == Op::Contains }
            }
            _ => Self::None,
        }
    }

    /// `None`: the value is of another type, and has to be looked at closely.
    fn judge(&self, found: Found<'_>, value: &Value, op: Op, operand: &Operand) -> Option<bool> {
        let Operand::One(literal) = operand else { return None };
        match (self, value) {
            (Self::Text { equal }, Value::Text(text)) => Some((*text == literal.text) == *equal),
            (Self::Int(number), Value::Int(value)) => Some(match (op, value.cmp(number)) {
                (Op::Lt, ordering) => ordering == Ordering::Less,
                (Op::Le, ordering) => ordering != Ordering::Greater,
                (Op::Gt, ordering) => ordering == Ordering::Greater,
                (_, ordering) => ordering != Ordering::Less,
            }),
            (Self::Element { hash, inside }, Value::List(_)) => {
                Some(found.has_text(*hash, &literal.text)? == *inside)
            }
            _ => None,
        }
    }
}
