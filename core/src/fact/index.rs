//! Finds facts by name, and texts in lists, by comparing numbers.
//!
//! A policy knows the key of every name it reads and of every text it looks for. The index of a fact set is
//! built when it is first asked; it has the keys of the names, and of each value what most comparisons
//! need, so that these touch nothing else.

use siphasher::sip128::SipHasher13;

use super::{Boolean, Fact, Value};
use crate::name::FactName;

/// Lists of fewer elements are searched from the front.
const LONG_LIST: usize = 8;

/// A text of up to 15 bytes itself, or a hash of a longer one. It never leaves the process.
///
/// Texts with different keys are different; texts with the same key are the same if it is the whole text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Key {
    low: u64,
    /// Its highest byte is the length of the text plus one, or [`Key::HASHED`].
    high: u64,
}

impl Key {
    const HASHED: u64 = 0xFF << 56;
    /// The key of no text.
    const NONE: Self = Self { low: 0, high: 0 };

    pub(crate) fn new(text: &str) -> Self {
        let mut low = [0; 8];
        let mut high = [0; 8];
        let (front, back) = text.as_bytes().split_at(text.len().min(8));
        match (low.get_mut(..front.len()), high.get_mut(..back.len())) {
            (Some(low), Some(high)) if back.len() < 8 => {
                low.copy_from_slice(front);
                high.copy_from_slice(back);
            }
            _ => {
                let hash = SipHasher13::new().hash(text.as_bytes());
                return Self { low: hash.h1, high: hash.h2 | Self::HASHED };
            }
        }
        let length = (text.len() as u64 + 1) << 56;
        Self { low: u64::from_le_bytes(low), high: u64::from_le_bytes(high) | length }
    }

    /// Both halves.
    pub(crate) fn bits(self) -> (u64, u64) {
        (self.low, self.high)
    }

    /// Is there no other text with this key?
    pub(crate) fn is_whole(self) -> bool {
        self.high < Self::HASHED
    }
}

/// A key to look for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Probe {
    key: Key,
    /// Says where to look first: the key, well mixed.
    mixed: u64,
}

impl Probe {
    pub(crate) fn new(text: &str) -> Self {
        Self::of(Key::new(text))
    }

    fn of(key: Key) -> Self {
        let product = u128::from(key.low ^ 0x9E37_79B9_7F4A_7C15)
            .wrapping_mul(u128::from(key.high ^ 0xD6E8_FEB8_6659_FD93));
        Self { key, mixed: (product >> 64) as u64 ^ product as u64 }
    }

    /// Where among so many places to look for it first.
    #[inline]
    fn place(self, size: usize) -> usize {
        (u128::from(self.mixed).wrapping_mul(size as u128) >> 64) as usize
    }
}

/// Where facts are in their list, and what their values are at a glance.
#[derive(Debug)]
pub(crate) struct Index(Table<(u32, Seen)>);

/// A value at a glance.
#[derive(Debug, Default)]
pub(crate) enum Seen {
    Text(Key),
    Int(i64),
    Bool(Boolean),
    /// A long list of nothing but text, each with its place.
    Texts(Box<Table<u32>>),
    #[default]
    Other,
}

impl Index {
    pub(super) fn new(facts: &[(FactName, Fact)]) -> Self {
        let facts = (0..).zip(facts);
        Self(Table::new(
            facts.map(|(at, (name, fact))| (Key::new(name.as_str()), (at, Seen::new(&fact.value)))),
        ))
    }

    /// A fact has another value.
    pub(super) fn replace(&mut self, at: usize, value: &Value) {
        if let Some((_, (_, seen))) =
            self.0.entries.iter_mut().find(|(key, (of, _))| *key != Key::NONE && *of as usize == at)
        {
            *seen = Seen::new(value);
        }
    }

    #[inline]
    pub(super) fn find<'a>(
        &'a self,
        facts: &'a [(FactName, Fact)],
        probe: Probe,
        name: impl Fn() -> Option<&'a FactName>,
    ) -> Option<Found<'a>> {
        let (at, seen) = self
            .0
            .find(probe, |(at, _)| facts.get(*at as usize).map(|(found, _)| found) == name())?;
        Some(Found { value: &facts.get(*at as usize)?.1.value, seen: Some(seen) })
    }
}

impl Seen {
    /// Of a value that is looked at once: nothing is worth a key.
    pub(crate) fn of(value: &Value) -> Self {
        match value {
            Value::Int(number) => Self::Int(*number),
            Value::Bool(boolean) => Self::Bool(*boolean),
            _ => Self::Other,
        }
    }

    fn new(value: &Value) -> Self {
        match value {
            Value::Text(text) => Self::Text(Key::new(text)),
            Value::Int(number) => Self::Int(*number),
            Value::Bool(boolean) => Self::Bool(*boolean),
            Value::List(list) => {
                texts(list).map_or(Self::Other, |table| Self::Texts(Box::new(table)))
            }
            _ => Self::Other,
        }
    }
}

/// The value of a fact that was found.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Found<'a> {
    pub(crate) value: &'a Value,
    /// The index knows no parts of facts.
    pub(crate) seen: Option<&'a Seen>,
}

impl Found<'_> {
    /// Is the text with this key in the list that `table` is of?
    #[inline]
    pub(crate) fn has_text<'t>(
        &self,
        table: &Table<u32>,
        probe: Probe,
        text: impl Fn() -> &'t str,
    ) -> bool {
        let is = |at: &u32| match self.value {
            Value::List(list) => {
                matches!(list.get(*at as usize), Some(Value::Text(it)) if **it == *text())
            }
            _ => false,
        };
        table.find(probe, is).is_some()
    }
}

/// The table of a list that is long, and has nothing but text.
fn texts(list: &[Value]) -> Option<Table<u32>> {
    let is_text = |value: &Value| matches!(value, Value::Text(_));
    if list.len() < LONG_LIST || !list.iter().all(is_text) {
        return None;
    }
    Some(Table::new((0..).zip(list).map(|(at, value)| match value {
        Value::Text(text) => (Key::new(text), at),
        _ => (Key::NONE, at),
    })))
}

/// Keys with open addressing: a key stands at the place it says, or behind it.
#[derive(Debug)]
pub(crate) struct Table<T> {
    /// INVARIANT: at least one of them is free: it has the key of no text.
    entries: Box<[(Key, T)]>,
}

impl<T: Default> Table<T> {
    fn new(pairs: impl Iterator<Item = (Key, T)>) -> Self {
        let pairs: Vec<(Key, T)> = pairs.collect();
        let size = pairs.len() + pairs.len() / 3 + 1;
        let mut entries: Box<[(Key, T)]> = (0..size).map(|_| (Key::NONE, T::default())).collect();
        for (key, value) in pairs {
            let mut place = Probe::of(key).place(size);
            while entries.get(place).is_some_and(|(known, _)| *known != Key::NONE) {
                place = if place + 1 == size { 0 } else { place + 1 };
            }
            if let Some(free) = entries.get_mut(place) {
                *free = (key, value);
            }
        }
        Self { entries }
    }
}

impl<T> Table<T> {
    /// What stands with a key; `is` tells whether its text is meant, where the key does not.
    #[inline]
    fn find(&self, probe: Probe, is: impl Fn(&T) -> bool) -> Option<&T> {
        let key = probe.key;
        let mut place = probe.place(self.entries.len());
        loop {
            let (known, value) = self.entries.get(place)?;
            if *known == key {
                if key.is_whole() || is(value) {
                    return Some(value);
                }
            } else if *known == Key::NONE {
                return None;
            }
            place = if place + 1 == self.entries.len() { 0 } else { place + 1 };
        }
    }
}
