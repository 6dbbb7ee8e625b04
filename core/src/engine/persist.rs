//! What is to be kept, and what waits for it to be on disk.

use std::{collections::BTreeMap, time::Duration};

use super::{
    Engine, Now, Output, Reply, Saved, StreamId, Table, Ticket, Write,
    horizon::{GAP_KEY, SPAN_KEY},
    keys::KEYRING_KEY,
    own::is_own,
    timer::Timer,
};
use crate::{
    Facts, KeyId, NodeId, codec, limits,
    state::{Key, Kind, Record, Version},
};

/// Writes that are on their way to the store.
#[derive(Debug, Default)]
pub(super) struct Store {
    /// Not yet given to the loop: what was heard, grouped.
    waiting: Vec<Write>,
    next: u64,
    /// Given to the loop, not yet on disk: what becomes possible then.
    pending: BTreeMap<u64, Pending>,
    /// The last that was heard of it is that it cannot write.
    failing: bool,
}

/// What becomes possible once a write is on disk.
#[derive(Debug, Default)]
pub(super) struct Pending {
    pub(super) replies: Vec<(Ticket, Reply)>,
    pub(super) versions: Vec<Version>,
    /// What a peer asked for over a stream, and what came of it.
    pub(super) answers: Vec<(StreamId, Result<Version, String>)>,
    /// The keys that are then on disk.
    pub(super) keys: Option<Vec<KeyId>>,
}

/// How long what was heard waits for more.
const GROUP: Duration = Duration::from_secs(1);

const FACTS_KEY: &[u8] = b"facts";
/// Where members were reached: a node that is alone is not to look for them.
pub(crate) const MEMBERS_KEY: &[u8] = b"members";
/// The epoch, little-endian: the loop reads it before it makes the next engine.
pub(crate) const EPOCH_KEY: &[u8] = b"epoch";

impl Store {
    pub(super) fn persisted(&mut self, upto: u64) -> Pending {
        self.failing = false;
        let later = self.pending.split_off(&(upto + 1));
        let done = std::mem::replace(&mut self.pending, later);
        done.into_values().fold(Pending::default(), |mut all, one| {
            all.replies.extend(one.replies);
            all.versions.extend(one.versions);
            all.answers.extend(one.answers);
            all.keys = one.keys.or(all.keys);
            all
        })
    }

    /// None of it gets on disk: those who wait are told, and the versions are not spread.
    pub(super) fn fail(&mut self) -> Pending {
        self.failing = true;
        let mut failed = Pending::default();
        for pending in self.pending.values_mut() {
            failed.replies.append(&mut pending.replies);
            failed.answers.append(&mut pending.answers);
        }
        failed
    }

    /// Writes that were not given to the loop.
    pub(super) fn waiting_len(&self) -> usize {
        self.waiting.len()
    }

    pub(super) fn is_failing(&self) -> bool {
        self.failing
    }

    /// Is this a write of ours that nobody may hear of yet?
    pub(super) fn is_unpersisted(&self, version: &Version) -> bool {
        self.pending.values().any(|pending| pending.versions.contains(version))
    }
}

impl Engine {
    /// A record was applied: it is kept with the next group.
    pub(super) fn store_version(&mut self, version: &Version) {
        let Some(record) = self.state.record(version) else { return };
        let (table, key) = place(version);
        self.store.waiting.push(Write { table, key, value: Some(codec::encode(&record)) });
    }

    /// A record is held no longer.
    pub(super) fn store_gone(&mut self, version: &Version) {
        let (table, key) = place(version);
        self.store.waiting.push(Write { table, key, value: None });
    }

    /// Gives the store all that waits, and has what depends on it wait in turn.
    pub(super) fn persist(&mut self, pending: Pending) {
        self.store.next += 1;
        let upto = self.store.next;
        let writes = std::mem::take(&mut self.store.waiting);
        self.store.pending.insert(upto, pending);
        self.outputs.push_back(Output::Persist { upto, urgent: true, writes });
    }

    /// Something was heard: it is given to the store soon.
    pub(super) fn persist_soon(&mut self, now: Now) {
        if !self.store.waiting.is_empty() {
            self.timers.set_by(Timer::Flush, now.mono + GROUP);
        }
    }

    pub(super) fn flush_store(&mut self) {
        if self.store.waiting.is_empty() {
            return;
        }
        self.store.next += 1;
        let writes = std::mem::take(&mut self.store.waiting);
        self.outputs.push_back(Output::Persist { upto: self.store.next, urgent: false, writes });
    }

    pub(super) fn store_facts(&mut self) {
        let value = codec::encode(&self.own.runtime_facts);
        self.store_local(FACTS_KEY, Some(value));
    }

    pub(super) fn store_epoch(&mut self, epoch: u64) {
        self.store_local(EPOCH_KEY, Some(epoch.to_le_bytes().to_vec()));
    }

    /// What concerns this node alone is kept; `None` deletes it.
    pub(super) fn store_local(&mut self, key: &[u8], value: Option<Vec<u8>>) {
        self.store.waiting.push(Write { table: Table::Local, key: key.to_vec(), value });
    }

    pub(super) fn store_removed(&mut self, keys: Vec<Key>) {
        self.store.waiting.extend(keys.into_iter().map(|key| Write {
            table: Table::Shared,
            key: codec::encode(&key),
            value: None,
        }));
    }

    /// Saves where members were reached, to find the cluster again with all seeds gone.
    pub(super) fn save_members(&mut self) {
        let members: Vec<_> = self
            .reachable
            .values()
            .map(|identity| identity.address)
            .take(limits::SAVED_MEMBERS)
            .collect();
        if !members.is_empty() {
            self.store_local(MEMBERS_KEY, Some(codec::encode(&members)));
            self.flush_store();
        }
    }

    /// Takes what was saved at the last run. What cannot be read is left out, and said.
    pub(super) fn load(&mut self, saved: Saved, now: Now) {
        let mut unread = 0_usize;
        let mut keyring = None;
        let mut old = Vec::new();
        for (table, key, value) in saved.entries {
            match table {
                Table::Shared | Table::Owned => match codec::decode::<Record>(&value) {
                    // Our own records are written anew in the new epoch.
                    Ok(record) if is_own(&record.version(), self.config.id) => {
                        old.push(record.version());
                    }
                    Ok(record) => {
                        let _ = self.apply(record, now);
                    }
                    Err(_) => unread += 1,
                },
                Table::Local if key == FACTS_KEY => match codec::decode::<Facts>(&value) {
                    Ok(facts) => self.own.runtime_facts = facts,
                    Err(_) => unread += 1,
                },
                Table::Local if key == SPAN_KEY => match codec::decode(&value) {
                    Ok(span) => self.horizon.load(span),
                    Err(_) => unread += 1,
                },
                Table::Local if key == GAP_KEY => match codec::decode(&value) {
                    Ok(gap) => self.horizon.load_gap(gap),
                    Err(_) => unread += 1,
                },
                Table::Local if key == MEMBERS_KEY => match codec::decode(&value) {
                    Ok(members) => self.saved_members = members,
                    Err(_) => unread += 1,
                },
                Table::Local if key == KEYRING_KEY => match codec::decode(&value) {
                    Ok(stored) => keyring = Some(stored),
                    Err(_) => unread += 1,
                },
                Table::Local => {
                    let item = self.local_items.load(&key, &value);
                    let read = item.or_else(|| self.departed.load(&key, &value));
                    unread += usize::from(matches!(read, Some(Err(_))));
                }
            }
        }
        if unread > 0 {
            tracing::warn!(unread, "some saved records cannot be read and are left out");
        }
        self.store.waiting.clear();
        self.load_keys(keyring, now);
        for version in &old {
            self.store_gone(version);
        }
    }
}

/// Where a record is kept.
fn place(version: &Version) -> (Table, Vec<u8>) {
    match version {
        Version::Shared(key, _) => (Table::Shared, codec::encode(key)),
        Version::Owned(owner, kind, epoch, _) => {
            (Table::Owned, codec::encode::<(NodeId, u64, Kind)>(&(*owner, *epoch, *kind)))
        }
    }
}
