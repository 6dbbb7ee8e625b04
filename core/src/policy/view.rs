//! The values that paths lead to, seen as the types that they are declared to have.
//!
//! The literal adapts to the fact, never the fact to the literal. Nothing is copied or allocated on the
//! way, but for a version that was given as a whole number, and text that `lower` changes.

use std::{borrow::Cow, cmp::Ordering, collections::BTreeMap, net::IpAddr};

use ipnet::IpNet;

use super::{
    ast::{Cast, Path, Step},
    eval::{UnknownReason, Verdict},
    literal::{Literal, Number},
    schema::Kind,
    version,
};
use crate::{
    fact::{Boolean, Facts, Value},
    limits,
};

/// What a condition is judged over: facts, and the elements that the quantifiers around it look at.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Scope<'a> {
    pub(crate) facts: &'a Facts,
    /// The innermost first.
    elements: [Option<Element<'a>>; limits::POLICY_QUANTIFIERS],
    /// How many steps a quantifier may take here.
    pub(crate) steps: usize,
}

/// An element of a list or map.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Element<'a> {
    pub(crate) key: Key<'a>,
    pub(crate) value: &'a Value,
}

/// Where an element stands: `{{d._key}}`.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Key<'a> {
    Name(&'a str),
    Index(usize),
}

impl<'a> Element<'a> {
    /// The elements of a list or map, in its order.
    pub(crate) fn all(value: &'a Value) -> impl Iterator<Item = Self> {
        let (list, map) = match value {
            Value::List(list) => (Some(list), None),
            Value::Map(map) => (None, Some(map)),
            _ => (None, None),
        };
        let list = list.into_iter().flatten().enumerate();
        let list = list.map(|(at, value)| Self { key: Key::Index(at), value });
        let map = map.into_iter().flatten();
        list.chain(map.map(|(key, value)| Self { key: Key::Name(key), value }))
    }
}

impl std::fmt::Display for Key<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Name(name) => name.fmt(f),
            Self::Index(index) => write!(f, "[{index}]"),
        }
    }
}

impl<'a> Scope<'a> {
    /// Facts alone.
    pub(crate) fn new(facts: &'a Facts) -> Self {
        Self { facts, elements: [None; limits::POLICY_QUANTIFIERS], steps: limits::POLICY_STEPS }
    }

    /// The same inside a quantifier that looks at an element.
    pub(crate) fn inside(&self, element: Element<'a>) -> Self {
        let [outer, ..] = self.elements;
        Self { elements: [Some(element), outer], ..*self }
    }

    /// The same with other steps left.
    pub(crate) fn with_steps(&self, steps: usize) -> Self {
        Self { steps, ..*self }
    }

    fn element(&self, depth: usize) -> Option<Element<'a>> {
        self.elements.get(depth).copied().flatten()
    }

    pub(crate) fn has_element(&self, path: &Path) -> bool {
        path.variable.is_some_and(|depth| self.element(depth).is_some())
    }
}

impl Path {
    /// Is this `{{d._key}}`?
    pub(crate) fn is_key(&self) -> bool {
        self.variable.is_some() && matches!(&*self.steps, [Step::Key(key)] if &**key == "_key")
    }
}

/// The value at a path. The key of an element is none.
pub(crate) fn lookup<'a>(path: &Path, scope: &Scope<'a>) -> Option<&'a Value> {
    let root = match path.variable {
        None => &scope.facts.get(path.name.as_str())?.value,
        Some(depth) => scope.element(depth)?.value,
    };
    within(path, root)
}

/// The value at the steps of a path, from the value of its name.
pub(crate) fn within<'a>(path: &Path, root: &'a Value) -> Option<&'a Value> {
    inside(&path.steps, root)
}

/// The same by the steps alone.
pub(crate) fn inside<'a>(steps: &[Step], root: &'a Value) -> Option<&'a Value> {
    steps.iter().try_fold(root, step)
}

/// The value one step into another.
pub(crate) fn step<'a>(value: &'a Value, step: &Step) -> Option<&'a Value> {
    match (value, step) {
        (Value::Map(map), Step::Key(key)) => map.get(&**key),
        (Value::List(list), Step::Key(key)) => list.get(key.parse::<usize>().ok()?),
        (Value::List(list), Step::Index(index)) => list.get(*index),
        _ => None,
    }
}

/// The value where one is compared: of a record, its primary field.
pub(crate) fn primary<'a>(path: &Path, value: &'a Value) -> Option<&'a Value> {
    match (value, path.primary) {
        (Value::Map(map), Some(field)) => map.get(field),
        (value, _) => Some(value),
    }
}

/// The value at a path where one is compared.
pub(crate) fn scalar<'a>(path: &Path, scope: &Scope<'a>) -> Option<&'a Value> {
    primary(path, lookup(path, scope)?)
}

pub(crate) fn view<'a>(path: &Path, scope: &Scope<'a>) -> Option<View<'a>> {
    if path.is_key() {
        return Some(View::key(scope.element(path.variable?)?.key, path.cast));
    }
    Some(View::at(path, scalar(path, scope)?))
}

/// A value, seen as the type its fact is declared to be.
#[derive(Debug)]
pub(crate) enum View<'a> {
    Bool(Boolean),
    Number(Number),
    Version(Cow<'a, str>),
    Text(Cow<'a, str>),
    Ip(IpAddr),
    Net(IpNet),
    List(&'a [Value]),
    Map(&'a BTreeMap<String, Value>),
    /// A function could not read it.
    Unreadable,
}

impl<'a> View<'a> {
    /// A value, seen as a path says.
    pub(crate) fn at(path: &Path, value: &'a Value) -> Self {
        match path.cast {
            Some(cast) => Self::cast(value, cast),
            None => Self::new(value, path.kind),
        }
    }

    /// The key of an element.
    fn key(key: Key<'a>, cast: Option<Cast>) -> Self {
        match (key, cast) {
            (Key::Name(name), None) => Self::Text(Cow::Borrowed(name)),
            (Key::Index(index), None | Some(Cast::Number)) => {
                i64::try_from(index).map_or(Self::Unreadable, |at| Self::Number(Number::Int(at)))
            }
            (Key::Name(name), Some(Cast::Lower)) => Self::Text(Cow::Owned(name.to_lowercase())),
            _ => Self::Unreadable,
        }
    }

    pub(crate) fn new(value: &'a Value, kind: Option<Kind>) -> Self {
        match (value, kind) {
            (Value::Int(number), Some(Kind::Version)) => {
                Self::Version(Cow::Owned(number.to_string()))
            }
            (Value::Text(text), Some(Kind::Version)) if version::is_version(text) => {
                Self::Version(Cow::Borrowed(text))
            }
            (Value::Text(text), Some(Kind::Ip)) => {
                text.parse().map_or_else(|_| Self::Text(Cow::Borrowed(text)), Self::Ip)
            }
            (Value::Bool(boolean), _) => Self::Bool(*boolean),
            (Value::Int(number), _) => Self::Number(Number::Int(*number)),
            (Value::Float(number), _) => Self::Number(Number::Float(*number)),
            (Value::Text(text), _) => Self::Text(Cow::Borrowed(text)),
            (Value::Ip(address), _) => Self::Ip(*address),
            (Value::Net(network), _) => Self::Net(*network),
            (Value::List(list), _) => Self::List(list),
            (Value::Map(map), _) => Self::Map(map),
        }
    }

    /// A value, read by a function.
    fn cast(value: &'a Value, cast: Cast) -> Self {
        let number = |number: Option<Number>| number.map_or(Self::Unreadable, Self::Number);
        let length = |length: usize| number(i64::try_from(length).ok().map(Number::Int));
        match (cast, value) {
            (Cast::Len, Value::List(list)) => length(list.len()),
            (Cast::Len, Value::Map(map)) => length(map.len()),
            (Cast::Len, Value::Text(text)) => length(text.chars().count()),
            (Cast::Lower, Value::Text(text)) if text.chars().any(char::is_uppercase) => {
                Self::Text(Cow::Owned(text.to_lowercase()))
            }
            (Cast::Lower, Value::Text(text)) => Self::Text(Cow::Borrowed(text)),
            (Cast::Version, Value::Int(_) | Value::Text(_)) => {
                match Self::new(value, Some(Kind::Version)) {
                    version @ Self::Version(_) => version,
                    _ => Self::Unreadable,
                }
            }
            (Cast::Bytes | Cast::Duration | Cast::Number, Value::Int(_) | Value::Float(_)) => {
                Self::new(value, None)
            }
            (Cast::Bytes, Value::Text(text)) => number(Number::of_size(text)),
            (Cast::Duration, Value::Text(text)) => number(Number::of_duration(text)),
            (Cast::Number, Value::Text(text)) => number(Number::of_text(text)),
            (Cast::Ip, Value::Ip(address)) => Self::Ip(*address),
            (Cast::Ip, Value::Text(text)) => text.parse().map_or(Self::Unreadable, Self::Ip),
            _ => Self::Unreadable,
        }
    }

    /// Is this the value that the literal means here? Different kinds are different values.
    pub(crate) fn equals(&self, literal: &Literal) -> bool {
        match self {
            Self::Bool(boolean) if literal.quoted => boolean.as_str() == &*literal.text,
            Self::Bool(boolean) => literal.boolean == Some(boolean.value),
            Self::Number(_) | Self::Version(_) => self.order(literal).is_some_and(Ordering::is_eq),
            Self::Text(text) if literal.boolean.is_some() => {
                text.eq_ignore_ascii_case(&literal.text)
            }
            Self::Text(text) => **text == *literal.text,
            Self::Ip(address) => literal.ip == Some(*address),
            Self::Net(network) => literal.net.is_some_and(|net| net.trunc() == network.trunc()),
            Self::List(_) | Self::Map(_) | Self::Unreadable => false,
        }
    }

    /// Has the literal a reading of this value's type?
    pub(crate) fn reads(&self, literal: &Literal) -> bool {
        match self {
            Self::Bool(_) => literal.boolean.is_some() || literal.quoted,
            Self::Number(_) => literal.quantity().is_some(),
            Self::Version(_) => literal.is_version(),
            Self::Text(_) => true,
            Self::Ip(_) | Self::Net(_) => literal.ip.is_some() || literal.net.is_some(),
            Self::List(list) => {
                list.is_empty() || list.iter().any(|value| View::new(value, None).reads(literal))
            }
            Self::Map(_) | Self::Unreadable => false,
        }
    }

    pub(crate) fn order(&self, literal: &Literal) -> Option<Ordering> {
        match self {
            Self::Number(number) => Some(number.compare(literal.quantity()?)),
            Self::Version(text) if literal.is_version() => {
                Some(version::compare(text, &literal.text))
            }
            _ => None,
        }
    }

    /// Why this value has no place in an order.
    pub(crate) fn unordered(&self, path: &Path) -> UnknownReason {
        match self {
            Self::Text(_) if path.kind.is_none() => UnknownReason::Unordered,
            _ => UnknownReason::Kind,
        }
    }

    /// Is this an address or a network inside the network that the literal means?
    pub(crate) fn is_inside(&self, literal: &Literal) -> bool {
        literal.net.is_some_and(|network| match self {
            Self::Ip(address) => network.contains(address),
            Self::Net(inner) => network.contains(inner),
            _ => false,
        })
    }

    pub(crate) fn in_network(&self, literal: &Literal) -> Verdict {
        match self {
            Self::Ip(_) | Self::Net(_) => self.is_inside(literal).into(),
            _ => Verdict::Unknown(UnknownReason::Kind),
        }
    }

    pub(crate) fn contains(&self, literal: &Literal) -> Verdict {
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
    pub(crate) fn same(&self, other: &Self, versions: bool) -> bool {
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

    pub(crate) fn order_fact(&self, other: &Self, versions: bool) -> Option<Ordering> {
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
            Self::Text(text) if version::is_version(text) => Some(Cow::Borrowed(&**text)),
            Self::Number(Number::Int(number)) => Some(Cow::Owned(number.to_string())),
            _ => None,
        }
    }

    pub(crate) fn contains_fact(&self, inner: &Self) -> Verdict {
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
