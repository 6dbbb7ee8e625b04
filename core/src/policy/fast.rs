//! Comparisons that are decided at a glance, if the value has the likeliest type.
//!
//! Invariant: what is decided here is what `view` would say.

use std::cmp::Ordering;

use super::{
    ast::{Op, Operand, Test},
    literal::{Literal, Number},
    schema::Kind,
};
use crate::fact::{
    Boolean,
    index::{Key, Probe, Seen, Table},
};

/// What to look for.
#[derive(Debug)]
pub(crate) enum Fast {
    /// `{{flag}}`
    Holds,
    /// `exists({{fact}})`
    Exists,
    /// `==` and `!=`
    Equals {
        literal: Known,
        equal: bool,
    },
    /// A whole number in an order to this.
    Order {
        number: i64,
        op: Op,
    },
    /// `in` a list of values
    OneOf {
        literals: Box<[Known]>,
        inside: bool,
    },
    /// A list of texts that has, or has not, this one.
    Element {
        text: Probe,
        inside: bool,
    },
    None,
}

/// A literal, ready to be compared.
#[derive(Debug)]
pub(crate) struct Known {
    key: Key,
    number: Option<i64>,
    boolean: Option<bool>,
    quoted: bool,
}

impl Fast {
    pub(crate) fn new(test: &Test) -> Self {
        let path = test.path();
        // What these see depends on more than the type of the value.
        let special = matches!(path.kind, Some(Kind::Version | Kind::Ip));
        if path.cast.is_some() || path.primary.is_some() || special {
            return match test {
                Test::Exists(_) => Self::Exists,
                _ => Self::None,
            };
        }
        match test {
            Test::Holds(_) => Self::Holds,
            Test::Exists(_) => Self::Exists,
            Test::Compare(_, op, Operand::One(literal)) => Self::compare(*op, literal),
            Test::Compare(_, op @ (Op::In | Op::NotIn), Operand::List(literals)) => {
                let literals = literals.iter().map(Known::new).collect();
                Self::OneOf { literals, inside: *op == Op::In }
            }
            Test::Compare(..) => Self::None,
        }
    }

    fn compare(op: Op, literal: &Literal) -> Self {
        match (op, literal.quantity()) {
            (Op::Eq | Op::Ne, _) => {
                Self::Equals { literal: Known::new(literal), equal: op == Op::Eq }
            }
            (Op::Lt | Op::Le | Op::Gt | Op::Ge, Some(Number::Int(number))) => {
                Self::Order { number, op }
            }
            (Op::Contains | Op::NotContains, _) if literal.boolean.is_none() => {
                Self::Element { text: Probe::new(&literal.text), inside: op == Op::Contains }
            }
            _ => Self::None,
        }
    }

    /// Is this asked of a value without looking closely at most of them?
    pub(crate) fn is_cheap(&self) -> bool {
        match self {
            Self::OneOf { literals, .. } => literals.len() <= 4,
            Self::None => false,
            _ => true,
        }
    }

    /// `None`: the value is of another type, and has to be looked at closely. `has` tells whether a text
    /// is in the list that was seen.
    #[inline]
    pub(crate) fn judge(
        &self,
        seen: &Seen,
        has: impl Fn(&Table<u32>, Probe) -> bool,
    ) -> Option<bool> {
        match (self, seen) {
            (Self::Equals { literal, equal }, seen) => Some(literal.is(seen)? == *equal),
            (Self::Order { number, op }, Seen::Int(value)) => Some(match (op, value.cmp(number)) {
                (Op::Lt, ordering) => ordering == Ordering::Less,
                (Op::Le, ordering) => ordering != Ordering::Greater,
                (Op::Gt, ordering) => ordering == Ordering::Greater,
                (_, ordering) => ordering != Ordering::Less,
            }),
            (Self::Element { text, inside }, Seen::Texts(table)) => {
                Some(has(table, *text) == *inside)
            }
            (Self::Holds, Seen::Bool(boolean)) => Some(boolean.value),
            (Self::Exists, _) => Some(true),
            (Self::OneOf { literals, inside }, seen @ (Seen::Text(_) | Seen::Int(_))) => {
                one_of(literals, seen).map(|found| found == *inside)
            }
            _ => None,
        }
    }
}

fn one_of(literals: &[Known], seen: &Seen) -> Option<bool> {
    for literal in literals {
        if literal.is(seen)? {
            return Some(true);
        }
    }
    Some(false)
}

impl Known {
    fn new(literal: &Literal) -> Self {
        let number = match literal.quantity() {
            Some(Number::Int(number)) => Some(number),
            _ => None,
        };
        Self {
            key: Key::new(&literal.text),
            number,
            boolean: literal.boolean,
            quoted: literal.quoted,
        }
    }

    /// Is the value what the literal means here?
    #[inline]
    fn is(&self, seen: &Seen) -> Option<bool> {
        match seen {
            // A boolean is compared with text whatever the case of its letters.
            Seen::Text(_) if self.boolean.is_some() => None,
            Seen::Text(key) if key.is_whole() || *key != self.key => Some(*key == self.key),
            Seen::Text(_) => None,
            Seen::Int(value) => Some(*value == self.number?),
            // Quotes mean the spelling.
            Seen::Bool(_) if self.quoted => None,
            Seen::Bool(Boolean { value, .. }) => Some(self.boolean == Some(*value)),
            Seen::Texts(_) | Seen::Other => None,
        }
    }
}
