//! Finds facts by name, and texts in lists, by hashes that are computed once.
//!
//! A policy knows the hash of every name it reads and of every text it looks for in a list: to judge
//! facts it compares numbers, and text only to be sure. The index of a fact set is built when it is first asked.

use std::hash::Hasher as _;

use siphasher::sip::SipHasher13;

use super::{Fact, Value};
use crate::name::FactName;

/// Lists of fewer elements are searched from the front.
const LONG_LIST: usize = 8;

/// The hash of a text. It never leaves the process.
pub(crate) fn hash(text: &str) -> u64 {
    let mut hasher = SipHasher13::new();
    hasher.write(text.as_bytes());
    hasher.finish()
}

/// Where facts are in their list, and texts in those facts that are long lists.
#[derive(Debug)]
pub(crate) struct Index {
    names: Table,
    /// One for each fact, in order.
    texts: Box<[Option<Table>]>,
}

impl Index {
    pub(super) fn new(facts: &[(FactName, Fact)]) -> Self {
        Self {
            names: Table::new(facts.iter().map(|(name, _)| hash(name.as_str()))),
            texts: facts.iter().map(|(_, fact)| texts(&fact.value)).collect(),
        }
    }

    pub(super) fn find<'a>(
        &'a self,
        facts: &'a [(FactName, Fact)],
        hash: u64,
        name: &FactName,
    ) -> Option<Found<'a>> {
        let at =
            self.names.find(hash, |at| facts.get(at).is_some_and(|(found, _)| found == name))?;
        let (_, fact) = facts.get(at)?;
        Some(Found { value: &fact.value, texts: self.texts.get(at)?.as_ref() })
    }
}

/// The table of a list that is long and has nothing but text.
fn texts(value: &Value) -> Option<Table> {
    let Value::List(list) = value else { return None };
    if list.len() < LONG_LIST {
        return None;
    }
    let hashes: Option<Vec<u64>> = list
        .iter()
        .map(|value| match value {
            Value::Text(text) => Some(hash(text)),
            _ => None,
        })
        .collect();
    Some(Table::new(hashes?.into_iter()))
}

/// The value of a fact that was found.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Found<'a> {
    pub(crate) value: &'a Value,
    texts: Option<&'a Table>,
}

impl Found<'_> {
    /// Is this text in the list? `None` if it has to be searched.
    pub(crate) fn has_text(&self, hash: u64, text: &str) -> Option<bool> {
        let Value::List(list) = self.value else { return None };
        let is = |at| matches!(list.get(at), Some(Value::Text(found)) if **found == *text);
        Some(self.texts?.find(hash, is).is_some())
    }
}

/// Hashes with open addressing: an entry stands at the place its hash says, or behind it.
#[derive(Debug)]
struct Table {
    /// A power of two, at least one of them free.
    entries: Box<[Entry]>,
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    hash: u64,
    at: u32,
}

const FREE: u32 = u32::MAX;

impl Table {
    fn new(hashes: impl ExactSizeIterator<Item = u64>) -> Self {
        let size = (hashes.len() * 2 + 1).next_power_of_two();
        let mut entries = vec![Entry { hash: 0, at: FREE }; size].into_boxed_slice();
        for (at, hash) in (0_u32..).zip(hashes) {
            let mut place = hash as usize & (size - 1);
            while let Some(entry) = entries.get_mut(place) {
                if entry.at == FREE {
                    *entry = Entry { hash, at };
                    break;
                }
                place = (place + 1) & (size - 1);
            }
        }
        Self { entries }
    }

    fn find(&self, hash: u64, is: impl Fn(usize) -> bool) -> Option<usize> {
        let mask = self.entries.len() - 1;
        let mut place = hash as usize & mask;
        loop {
            let entry = self.entries.get(place)?;
            if entry.at == FREE {
                return None;
            }
            if entry.hash == hash && is(entry.at as usize) {
                return Some(entry.at as usize);
            }
            place = (place + 1) & mask;
        }
    }
}
