//! A node's disk, in memory.

use std::collections::BTreeMap;

use crate::engine::{Saved, Table, Write};

/// What a node wrote. What is still on its way is lost in a crash.
#[derive(Debug, Default)]
pub(super) struct Disk {
    entries: BTreeMap<(Table, Vec<u8>), Vec<u8>>,
    pending: BTreeMap<u64, Vec<Write>>,
    /// It says that it wrote, and keeps nothing.
    leaks: bool,
}

impl Disk {
    pub(super) fn that_leaks() -> Self {
        Self { leaks: true, ..Self::default() }
    }

    pub(super) fn begin(&mut self, upto: u64, writes: Vec<Write>) {
        if !self.leaks {
            self.pending.insert(upto, writes);
        }
    }

    /// All writes up to this number are done.
    pub(super) fn end(&mut self, upto: u64) {
        let later = self.pending.split_off(&(upto + 1));
        for writes in std::mem::replace(&mut self.pending, later).into_values() {
            for Write { table, key, value } in writes {
                match value {
                    Some(value) => self.entries.insert((table, key), value),
                    None => self.entries.remove(&(table, key)),
                };
            }
        }
    }

    pub(super) fn lose_pending(&mut self) {
        self.pending.clear();
    }

    /// Keys and values, without what a database adds.
    pub(super) fn bytes(&self) -> usize {
        self.entries.iter().map(|((_, key), value)| key.len() + value.len()).sum()
    }

    pub(super) fn saved(&self) -> Saved {
        let entries = self.entries.iter();
        let entries = entries.map(|((table, key), value)| (*table, key.clone(), value.clone()));
        Saved { entries: entries.collect() }
    }

    /// The next epoch, which is on disk before it is used.
    pub(super) fn next_epoch(&mut self, key: &[u8], wall_ms: u64) -> u64 {
        let key = (Table::Local, key.to_vec());
        let stored = self.entries.get(&key).and_then(|bytes| bytes.as_slice().try_into().ok());
        let last = stored.map_or(0, u64::from_le_bytes);
        let epoch = wall_ms.max(last + 1);
        self.entries.insert(key, epoch.to_le_bytes().to_vec());
        epoch
    }
}
