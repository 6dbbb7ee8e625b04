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

    /// Is there no other text with this key?
    pub(crate) fn is_whole(self) -> bool {
        self.high < Self::HASHED
    }

    /// Where to look for it first.
    #[inline]
    fn place(self, mask: usize) -> usize {
        let product = u128::from(self.low ^ 0x9E37_79B9_7F4A_7C15)
            .wrapping_mul(u128::from(self.high ^ 0xD6E8_FEB8_6659_FD93));
        ((product >> 64) as u64 ^ product as u64) as usize & mask
    }
}

/// Where facts are in their list, and what their values are at a glance.
#[derive(Debug)]
pub(crate) struct Index {
    names: Table,
    /// One for each fact, in order.
    seen: Box<[Seen]>,
}

/// A value at a glance.
#[derive(Debug)]
pub(crate) enum Seen {
    Text(Key),
    Int(i64),
    Bool(Boolean),
    /// A long list of nothing but text.
    Texts(Box<Table>),
    Other,
}

impl Index {
    pub(super) fn new(facts: &[(FactName, Fact)]) -> Self {
        Self {
            names: Table::new(facts.iter().map(|(name, _)| Key::new(name.as_str()))),
            seen: facts.iter().map(|(_, fact)| Seen::new(&fact.value)).collect(),
        }
    }

    /// A fact has another value.
    pub(super) fn replace(&mut self, at: usize, value: &Value) {
        if let Some(seen) = self.seen.get_mut(at) {
            *seen = Seen::new(value);
        }
    }

    #[inline]
    pub(super) fn find<'a>(
        &'a self,
        facts: &'a [(FactName, Fact)],
        key: Key,
        name: impl Fn() -> Option<&'a FactName>,
    ) -> Option<Found<'a>> {
        let is = |at| facts.get(at).map(|(found, _)| found) == name();
        let at = self.names.find(key, is)?;
        Some(Found { value: &facts.get(at)?.1.value, seen: Some(self.seen.get(at)?) })
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
                Table::of_texts(list).map_or(Self::Other, |table| Self::Texts(Box::new(table)))
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
    pub(crate) fn has_text<'t>(&self, table: &Table, key: Key, text: impl Fn() -> &'t str) -> bool {
        let Value::List(list) = self.value else { return false };
        table
            .find(key, |at| matches!(list.get(at), Some(Value::Text(it)) if **it == *text()))
            .is_some()
    }
}

/// Keys with open addressing: a key stands at the place it says, or behind it.
#[derive(Debug)]
pub(crate) struct Table {
    /// INVARIANT: a power of two of them, at least one of them free.
    keys: Box<[Key]>,
    /// What the key at the same place is the key of.
    at: Box<[u32]>,
}

impl Table {
    /// The table of a list that is long, and has nothing but text.
    fn of_texts(list: &[Value]) -> Option<Self> {
        let is_text = |value: &Value| matches!(value, Value::Text(_));
        if list.len() < LONG_LIST || !list.iter().all(is_text) {
            return None;
        }
        Some(Self::new(list.iter().map(|value| match value {
            Value::Text(text) => Key::new(text),
            _ => Key::NONE,
        })))
    }

    fn new(keys: impl ExactSizeIterator<Item = Key>) -> Self {
        let size = (keys.len() * 3 / 2 + 1).next_power_of_two();
        let mut table = Self {
            keys: vec![Key::NONE; size].into_boxed_slice(),
            at: vec![0; size].into_boxed_slice(),
        };
        for (number, key) in (0_u32..).zip(keys) {
            let mut place = key.place(size - 1);
            while table.keys.get(place).is_some_and(|known| *known != Key::NONE) {
                place = (place + 1) & (size - 1);
            }
            if let (Some(free), Some(at)) = (table.keys.get_mut(place), table.at.get_mut(place)) {
                (*free, *at) = (key, number);
            }
        }
        table
    }

    /// The place of a key's text; `is` tells whether this is the text, where the key does not.
    #[inline]
    fn find(&self, key: Key, is: impl Fn(usize) -> bool) -> Option<usize> {
        let mask = self.keys.len() - 1;
        let mut place = key.place(mask);
        loop {
            let known = *self.keys.get(place)?;
            if known == key {
                let at = *self.at.get(place)? as usize;
                if key.is_whole() || is(at) {
                    return Some(at);
                }
            } else if known == Key::NONE {
                return None;
            }
            place = (place + 1) & mask;
        }
    }
}
