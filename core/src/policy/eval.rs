//! Tree and facts → verdict. Three-valued: what cannot be known is unknown, and only true satisfies.
//!
//! This is the meaning of the language, told plainly; `program` says the same faster.

use std::{cmp::Ordering, fmt, ops::Not};

use serde::{Serialize, Serializer};

use super::{
    ast::{Each, Expr, Op, Operand, Path, Quantifier, Test},
    literal::Literal,
    schema::Kind,
    view::{Element, Scope, View, lookup, view},
};
use crate::{fact::Value, limits};

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
    /// A value is too large to be judged.
    Limit,
}

impl fmt::Display for UnknownReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Missing => "a fact is missing",
            Self::Kind => "a fact has a value this cannot judge",
            Self::Unordered => "text has no order",
            Self::Limit => "a fact is too large to be judged",
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
pub(crate) fn evaluate(expr: &Expr, scope: &Scope<'_>) -> Verdict {
    match expr {
        Expr::Everything => Verdict::True,
        Expr::Or(parts) => any(parts.iter().map(|part| evaluate(part, scope))),
        Expr::And(parts) => all(parts.iter().map(|part| evaluate(part, scope))),
        Expr::Not(inner) => !evaluate(inner, scope),
        Expr::Clause(clause) => test(&clause.test, scope),
        Expr::Each(each) => quantified(each, scope),
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

pub(crate) fn quantified(each: &Each, scope: &Scope<'_>) -> Verdict {
    let (scope, value) = match elements(each, scope) {
        Ok(found) => found,
        Err(reason) => return Verdict::Unknown(reason),
    };
    let verdicts = Element::all(value).map(|element| evaluate(&each.body, &scope.inside(element)));
    join(each.quantifier, verdicts)
}

pub(crate) fn join(quantifier: Quantifier, verdicts: impl Iterator<Item = Verdict>) -> Verdict {
    match quantifier {
        Quantifier::Any => any(verdicts),
        Quantifier::All => all(verdicts),
        Quantifier::None => !any(verdicts),
    }
}

/// The list or map that a quantifier looks at, and the scope with the steps left for each element.
///
/// The steps are counted from the sizes of what is looked at, not as they are taken: whether they are too
/// many does not depend on the order in which parts are judged.
pub(crate) fn elements<'a>(
    each: &Each,
    scope: &Scope<'a>,
) -> Result<(Scope<'a>, &'a Value), UnknownReason> {
    let value = lookup(&each.over, scope).ok_or(UnknownReason::Missing)?;
    let count = match value {
        Value::List(list) => list.len(),
        Value::Map(map) => map.len(),
        _ => return Err(UnknownReason::Kind),
    };
    let mut weight = each.weight;
    each.body.clauses(&mut |clause| {
        clause.test.paths(&mut |path| {
            if let (None, Some(Value::List(list))) = (path.variable, lookup(path, scope)) {
                weight = weight.saturating_add(list.len());
            }
        });
    });
    if count.saturating_mul(weight) > scope.steps {
        return Err(UnknownReason::Limit);
    }
    let steps = scope.steps / count.max(1);
    Ok((scope.with_steps(steps), value))
}

pub(crate) fn test(test: &Test, scope: &Scope<'_>) -> Verdict {
    match test {
        Test::Exists(path) => exists(path, scope).into(),
        Test::Holds(path) => match view(path, scope) {
            None => Verdict::Unknown(UnknownReason::Missing),
            Some(View::Bool(boolean)) => boolean.value.into(),
            Some(_) => Verdict::Unknown(UnknownReason::Kind),
        },
        Test::Compare(left, op, right) => match view(left, scope) {
            None => Verdict::Unknown(UnknownReason::Missing),
            Some(view) => compare(left, &view, *op, right, scope),
        },
    }
}

pub(crate) fn exists(path: &Path, scope: &Scope<'_>) -> bool {
    path.is_key() && scope.has_element(path) || lookup(path, scope).is_some()
}

pub(crate) fn compare(
    path: &Path,
    left: &View<'_>,
    op: Op,
    right: &Operand,
    scope: &Scope<'_>,
) -> Verdict {
    if let View::Unreadable = left {
        return Verdict::Unknown(UnknownReason::Kind);
    }
    match right {
        Operand::One(literal) => with_literal(path, left, op, literal),
        Operand::List(list) => {
            let found = list.iter().any(|literal| left.equals(literal) || left.is_inside(literal));
            if op == Op::NotIn { !Verdict::from(found) } else { found.into() }
        }
        Operand::Glob(glob) => patterned(left, op == Op::NotLike, |text| glob.is_match(text)),
        Operand::Pattern(pattern) => {
            patterned(left, op == Op::NotMatches, |text| pattern.is_match(text))
        }
        Operand::Fact(other) => match view(other, scope) {
            None => Verdict::Unknown(UnknownReason::Missing),
            Some(View::Unreadable) => Verdict::Unknown(UnknownReason::Kind),
            Some(right) => with_fact(path, left, op, other, &right),
        },
    }
}

fn patterned(left: &View<'_>, negated: bool, is_match: impl Fn(&str) -> bool) -> Verdict {
    match left {
        View::Text(text) | View::Version(text) if text.len() > limits::POLICY_MATCH_BYTES => {
            Verdict::Unknown(UnknownReason::Limit)
        }
        View::Text(text) | View::Version(text) => (is_match(text) != negated).into(),
        _ => Verdict::Unknown(UnknownReason::Kind),
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
        // Their operands are patterns, not literals.
        Op::Like | Op::NotLike | Op::Matches | Op::NotMatches => {
            Verdict::Unknown(UnknownReason::Kind)
        }
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
        Op::Like | Op::NotLike | Op::Matches | Op::NotMatches => {
            Verdict::Unknown(UnknownReason::Kind)
        }
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
