//! Tree and facts → verdict. Three-valued: what cannot be known is unknown, and only true satisfies.
//!
//! The literal adapts to the fact, never the fact to the literal. Nothing is copied or allocated
//! on the way, but for a version that was given as a whole number.

use std::{borrow::Cow, cmp::Ordering, collections::BTreeMap, fmt, net::IpAddr, ops::Not};

use ipnet::IpNet;
use serde::{Serialize, Serializer};

use super::{
    ast::{Expr, Op, Operand, Path, Step, Test},
    literal::{Literal, Number},
    schema::Kind,
    version,
};
use crate::fact::{Boolean, Facts, Value};

/// What a policy says about the facts of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[must_use]
pub enum Verdict {
    /// The node matches.
    True,
    /// It does not.
    False,
    /// The facts do not say; the node does not match.
    Unknown(UnknownReason),
}

/// Why a verdict is unknown. Of several reasons the first in this order is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum UnknownReason {
    /// A fact is missing.
    Missing,
    /// An operator does not work on the value that a fact has.
    Kind,
    /// An ordering was asked of text, which has none.
    Unordered,
}

impl fmt::Display for UnknownReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Missing => "a fact is missing",
            Self::Kind => "a fact has a value this cannot judge",
            Self::Unordered => "text has no order",
        })
    }
}

impl Verdict {
    /// Does the node match? What is unknown does not.
    #[must_use]
    pub fn is_satisfied(self) -> bool {
        self == Self::True
    }

    /// The verdict's name, as shown and as in JSON.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::True => "true",
            Self::False => "false",
            Self::Unknown(_) => "unknown",
        }
    }

    fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::False, _) | (_, Self::False) => Self::False,
            (Self::Unknown(left), Self::Unknown(right)) => Self::Unknown(left.min(right)),
            (Self::Unknown(reason), _) | (_, Self::Unknown(reason)) => Self::Unknown(reason),
            (Self::True, Self::True) => Self::True,
        }
    }

    fn or(self, other: Self) -> Self {
        !(!self).and(!other)
    }
}

impl Not for Verdict {
    type Output = Self;

    fn not(self) -> Self {
        match self {
            Self::True => Self::False,
            Self::False => Self::True,
            unknown @ Self::Unknown(_) => unknown,
        }
    }
}

impl From<bool> for Verdict {
    fn from(value: bool) -> Self {
        if value { Self::True } else { Self::False }
    }
}

impl Serialize for Verdict {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

/// Judges the facts by a condition.
pub(crate) fn evaluate(expr: &Expr, facts: &Facts) -> Verdict {
    match expr {
        Expr::Everything => Verdict::True,
        Expr::Or(parts) => any(parts.iter().map(|part| evaluate(part, facts))),
        Expr::And(parts) => all(parts.iter().map(|part| evaluate(part, facts))),
        Expr::Not(inner) => !evaluate(inner, facts),
        Expr::Clause(clause) => test(&clause.test, facts),
    }
}

pub(crate) fn all(mut verdicts: impl Iterator<Item = Verdict>) -> Verdict {
    let step = |so_far: Verdict, next| match so_far.and(next) {
        Verdict::False => Err(Verdict::False),
        so_far => Ok(so_far),
    };
    verdicts.try_fold(Verdict::True, step).unwrap_or_else(|decided| decided)
}

pub(crate) fn any(mut verdicts: impl Iterator<Item = Verdict>) -> Verdict {
    let step = |so_far: Verdict, next| match so_far.or(next) {
        Verdict::True => Err(Verdict::True),
        so_far => Ok(so_far),
    };
    verdicts.try_fold(Verdict::False, step).unwrap_or_else(|decided| decided)
}

pub(crate) fn test(test: &Test, facts: &Facts) -> Verdict {
    match test {
        Test::Exists(path) => lookup(path, facts).is_some().into(),
        Test::Holds(path) => match view(path, facts) {
            None => Verdict::Unknown(UnknownReason::Missing),
            Some(View::Bool(boolean)) => boolean.value.into(),
            Some(_) => Verdict::Unknown(UnknownReason::Kind),
        },
        Test::Compare(left, op, right) => match view(left, facts) {
            None => Verdict::Unknown(UnknownReason::Missing),
            Some(view) => compare(left, &view, *op, right, facts),
        },
    }
}

fn compare(path: &Path, left: &View<'_>, op: Op, right: &Operand, facts: &Facts) -> Verdict {
    match right {
        Operand::One(literal) => with_literal(path, left, op, literal),
        Operand::List(list) => {
            let found = list.iter().any(|literal| left.equals(literal) || left.is_inside(literal));
            if op == Op::NotIn { !Verdict::from(found) } else { found.into() }
        }
        Operand::Fact(other) => match view(other, facts) {
            None => Verdict::Unknown(UnknownReason::Missing),
            Some(right) => with_fact(path, left, op, other, &right),
        },
    }
}

fn with_literal(path: &Path, left: &View<'_>, op: Op, literal: &Literal) -> Verdict {
    match op {
        Op::Eq => left.equals(literal).into(),
        Op::Ne => (!left.equals(literal)).into(),
        Op::Lt | Op::Le | Op::Gt | Op::Ge => match left.order(literal) {
            Some(ordering) => holds(op, ordering).into(),
            None => Verdict::Unknown(left.unordered(path)),
        },
        Op::In => left.in_network(literal),
        Op::NotIn => !left.in_network(literal),
        Op::Contains => left.contains(literal),
        Op::NotContains => !left.contains(literal),
    }
}

fn with_fact(path: &Path, left: &View<'_>, op: Op, other: &Path, right: &View<'_>) -> Verdict {
    let versions = path.kind == Some(Kind::Version) || other.kind == Some(Kind::Version);
    match op {
        Op::Eq => left.same(right, versions).into(),
        Op::Ne => (!left.same(right, versions)).into(),
        Op::Lt | Op::Le | Op::Gt | Op::Ge => match left.order_fact(right, versions) {
            Some(ordering) => holds(op, ordering).into(),
            None => Verdict::Unknown(left.unordered(path).min(right.unordered(other))),
        },
        Op::In => right.contains_fact(left),
        Op::NotIn => !right.contains_fact(left),
        Op::Contains => left.contains_fact(right),
        Op::NotContains => !left.contains_fact(right),
    }
}

fn holds(op: Op, ordering: Ordering) -> bool {
    match op {
        Op::Lt => ordering.is_lt(),
        Op::Le => ordering.is_le(),
        Op::Gt => ordering.is_gt(),
        _ => ordering.is_ge(),
    }
}

/// The value at a path.
pub(crate) fn lookup<'a>(path: &Path, facts: &'a Facts) -> Option<&'a Value> {
    let fact = facts.get(path.name.as_str())?;
    path.steps.iter().try_fold(&fact.value, |value, step| match (value, step) {
        (Value::Map(map), Step::Key(key)) => map.get(&**key),
        (Value::List(list), Step::Key(key)) => list.get(key.parse::<usize>().ok()?),
        (Value::List(list), Step::Index(index)) => list.get(*index),
        _ => None,
    })
}

/// The value at a path where one is compared: of a record, its primary field.
pub(crate) fn scalar<'a>(path: &Path, facts: &'a Facts) -> Option<&'a Value> {
    match (lookup(path, facts)?, path.primary) {
        (Value::Map(map), Some(field)) => map.get(field),
        (value, _) => Some(value),
    }
}

fn view<'a>(path: &Path, facts: &'a Facts) -> Option<View<'a>> {
    Some(View::new(scalar(path, facts)?, path.kind))
}

/// A value, seen as the type its fact is declared to be.
#[derive(Debug)]
enum View<'a> {
    Bool(Boolean),
    Number(Number),
    Version(Cow<'a, str>),
    Text(&'a str),
    Ip(IpAddr),
    Net(IpNet),
    List(&'a [Value]),
    Map(&'a BTreeMap<String, Value>),
}

impl<'a> View<'a> {
    fn new(value: &'a Value, kind: Option<Kind>) -> Self {
        match (value, kind) {
            (Value::Int(number), Some(Kind::Version)) => {
                Self::Version(Cow::Owned(number.to_string()))
            }
            (Value::Text(text), Some(Kind::Version)) if version::is_version(text) => {
                Self::Version(Cow::Borrowed(text))
            }
            (Value::Text(text), Some(Kind::Ip)) => {
                text.parse().map_or_else(|_| Self::Text(text), Self::Ip)
            }
            (Value::Bool(boolean), _) => Self::Bool(*boolean),
            (Value::Int(number), _) => Self::Number(Number::Int(*number)),
            (Value::Float(number), _) => Self::Number(Number::Float(*number)),
            (Value::Text(text), _) => Self::Text(text),
            (Value::Ip(address), _) => Self::Ip(*address),
            (Value::Net(network), _) => Self::Net(*network),
            (Value::List(list), _) => Self::List(list),
            (Value::Map(map), _) => Self::Map(map),
        }
    }

    /// Is this the value that the literal means here? Different kinds are different values.
    fn equals(&self, literal: &Literal) -> bool {
        match self {
            Self::Bool(boolean) if literal.quoted => boolean.as_str() == &*literal.text,
            Self::Bool(boolean) => literal.boolean == Some(boolean.value),
            Self::Number(_) | Self::Version(_) => self.order(literal).is_some_and(Ordering::is_eq),
            Self::Text(text) if literal.boolean.is_some() => {
                text.eq_ignore_ascii_case(&literal.text)
            }
            Self::Text(text) => *text == &*literal.text,
            Self::Ip(address) => literal.ip == Some(*address),
            Self::Net(network) => literal.net.is_some_and(|net| net.trunc() == network.trunc()),
            Self::List(_) | Self::Map(_) => false,
        }
    }

    fn order(&self, literal: &Literal) -> Option<Ordering> {
        match self {
            Self::Number(number) => Some(number.compare(literal.quantity()?)),
            Self::Version(text) if literal.is_version() => {
                Some(version::compare(text, &literal.text))
            }
            _ => None,
        }
    }

    /// Why this value has no place in an order.
    fn unordered(&self, path: &Path) -> UnknownReason {
        match self {
            Self::Text(_) if path.kind.is_none() => UnknownReason::Unordered,
            _ => UnknownReason::Kind,
        }
    }

    /// Is this an address or a network inside the network that the literal means?
    fn is_inside(&self, literal: &Literal) -> bool {
        literal.net.is_some_and(|network| match self {
            Self::Ip(address) => network.contains(address),
            Self::Net(inner) => network.contains(inner),
            _ => false,
        })
    }

    fn in_network(&self, literal: &Literal) -> Verdict {
        match self {
            Self::Ip(_) | Self::Net(_) => self.is_inside(literal).into(),
            _ => Verdict::Unknown(UnknownReason::Kind),
        }
    }

    fn contains(&self, literal: &Literal) -> Verdict {
        match (self, literal.ip, literal.net) {
            (Self::List(list), ..) => {
                list.iter().any(|value| View::new(value, None).equals(literal)).into()
            }
            (Self::Net(network), Some(address), _) => network.contains(&address).into(),
            (Self::Net(network), _, Some(inner)) => network.contains(&inner).into(),
            _ => Verdict::Unknown(UnknownReason::Kind),
        }
    }

    /// Are the values of two facts equal?
    fn same(&self, other: &Self, versions: bool) -> bool {
        match (self, other) {
            (Self::Bool(left), Self::Bool(right)) => left == right,
            (Self::Text(left), Self::Text(right)) if !versions => left == right,
            (Self::Ip(left), Self::Ip(right)) => left == right,
            (Self::Net(left), Self::Net(right)) => left.trunc() == right.trunc(),
            (Self::List(left), Self::List(right)) => left == right,
            (Self::Map(left), Self::Map(right)) => left == right,
            _ => self.order_fact(other, versions).is_some_and(Ordering::is_eq),
        }
    }

    fn order_fact(&self, other: &Self, versions: bool) -> Option<Ordering> {
        if versions {
            return Some(version::compare(&self.version()?, &other.version()?));
        }
        match (self, other) {
            (Self::Number(left), Self::Number(right)) => Some(left.compare(*right)),
            _ => None,
        }
    }

    fn version(&self) -> Option<Cow<'_, str>> {
        match self {
            Self::Version(text) => Some(Cow::Borrowed(text)),
            Self::Text(text) if version::is_version(text) => Some(Cow::Borrowed(text)),
            Self::Number(Number::Int(number)) => Some(Cow::Owned(number.to_string())),
            _ => None,
        }
    }

    fn contains_fact(&self, inner: &Self) -> Verdict {
        match (self, inner) {
            (Self::List(list), _) => list
                .iter()
                .map(|value| View::new(value, None))
                .any(|element| element.same(inner, matches!(inner, Self::Version(_))))
                .into(),
            (Self::Net(network), Self::Ip(address)) => network.contains(address).into(),
            (Self::Net(network), Self::Net(inner)) => network.contains(inner).into(),
            _ => Verdict::Unknown(UnknownReason::Kind),
        }
    }
}
