//! Forgetting a dead node: a record that has everybody drop what it said.
//!
//! It is forgotten up to the epoch it was in, so a node that was forgotten by mistake, or comes
//! back years later, begins a later epoch and is a member like any other.
//!
//! One that said good-bye is forgotten without being asked, once it was away for as long as
//! deletions are remembered: hosts that come and go under new ids would fill everybody's memory. So is
//! the id that a host had before it was installed anew, once another one holds its name.
//! Each node counts from when it heard of it, also while it does not run itself. One that
//! died without a word, and whose name nobody took, is for people to forget.

use std::{collections::BTreeMap, time::Duration};

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{CommandError, Engine, EventKind, MemberState, Now, Ticket, persist::Pending};
use crate::{
    NodeId, NodeName, codec,
    state::{Key, Version},
};

/// The first of the living forgets who left; the others do so much later, should it not.
const OTHERS_LATER: Duration = Duration::from_secs(3600);
/// Before the id of a node that left or lost its name, in the local table.
const LEFT_PREFIX: &str = "left/";

/// Nodes that said good-bye, or died and lost their names, and since when this node knows.
///
/// It is kept on disk: where no process runs for as long as deletions are remembered, nobody would
/// be forgotten ever.
#[derive(Debug, Default)]
pub(super) struct Departed(BTreeMap<NodeId, Farewell>);

/// A good-bye, or the loss of a name, that was heard of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Farewell {
    /// In this epoch. Who comes back and goes again does so in another.
    epoch: u64,
    /// Heard then, by our wall clock.
    heard_ms: u64,
}

impl Departed {
    /// Takes what was stored, if it is a good-bye; `None` if it is something else.
    pub(super) fn load(
        &mut self,
        key: &[u8],
        value: &[u8],
    ) -> Option<Result<(), codec::DecodeError>> {
        let id = std::str::from_utf8(key).ok()?.strip_prefix(LEFT_PREFIX)?.parse().ok()?;
        Some(codec::decode(value).map(|farewell| {
            self.0.insert(id, farewell);
        }))
    }

    /// Since when it is known that this node left; now, if that is news.
    fn since(&mut self, id: NodeId, epoch: u64, now_ms: u64) -> Heard {
        let said = |farewell: &&Farewell| farewell.epoch == epoch && farewell.heard_ms <= now_ms;
        if let Some(farewell) = self.0.get(&id).filter(said) {
            return Heard::Before(farewell.heard_ms);
        }
        let farewell = Farewell { epoch, heard_ms: now_ms };
        self.0.insert(id, farewell);
        Heard::Now(farewell)
    }

    /// Drops all that are not among those that left. Returns who went.
    fn keep(&mut self, left: &BTreeMap<NodeId, u64>) -> Vec<NodeId> {
        self.0.extract_if(.., |id, _| !left.contains_key(id)).map(|(id, _)| id).collect()
    }
}

/// When a good-bye was heard.
#[derive(Debug, PartialEq, Eq)]
#[must_use]
enum Heard {
    Now(Farewell),
    Before(u64),
}

fn left_key(id: NodeId) -> Vec<u8> {
    format!("{LEFT_PREFIX}{id}").into_bytes()
}

impl Engine {
    /// Those that said good-bye long ago, as far as this node heard it itself, are forgotten.
    pub(super) fn forget_departed(&mut self, now: Now) {
        // What the others hold may say that they are back.
        if !self.synced {
            return;
        }
        let gone = self.gone();
        for id in self.departed.keep(&gone) {
            self.store_local(&left_key(id), None);
        }
        let first = self.reachable.get_min().is_none_or(|(id, _)| *id > self.config.id);
        let patience =
            self.config.tombstone_age + if first { Duration::ZERO } else { OTHERS_LATER };
        let due_ms = now.wall_ms.saturating_sub(patience.as_millis() as u64);
        let mut due = Vec::new();
        for (id, epoch) in gone {
            match self.departed.since(id, epoch, now.wall_ms) {
                Heard::Now(farewell) => {
                    self.store_local(&left_key(id), Some(codec::encode(&farewell)));
                }
                Heard::Before(heard_ms) if heard_ms <= due_ms => due.push((id, epoch)),
                Heard::Before(_) => {}
            }
        }
        self.persist_soon(now);
        if due.is_empty() {
            return;
        }
        match self.write_forgotten(&due, now) {
            Ok(versions) => self.persist(Pending { versions, ..Pending::default() }),
            Err(error) => {
                let nodes = due.len();
                tracing::warn!(nodes, "members that went long ago cannot be forgotten: {error}");
            }
        }
    }

    /// Other nodes that said good-bye, or died and lost their names, and the epochs they did so in.
    fn gone(&self) -> BTreeMap<NodeId, u64> {
        let others = self.state.owners().filter(|(id, owner)| {
            let is_over = || match self.presence(*id) {
                MemberState::Alive => false,
                MemberState::Left => true,
                // Also while the host that has its name is down itself.
                MemberState::Down => {
                    owner.node().is_some_and(|node| !self.memberships.is_holder(&node.name, *id))
                }
            };
            // Who has begun a later epoch is about to be back.
            *id != self.config.id && owner.newest_epoch() == owner.epoch() && is_over()
        });
        others.map(|(id, owner)| (id, owner.epoch())).collect()
    }

    /// What these nodes said up to these epochs is forgotten. After an error, of none or of the
    /// first of them.
    fn write_forgotten(
        &mut self,
        nodes: &[(NodeId, u64)],
        now: Now,
    ) -> Result<Vec<Version>, CommandError> {
        nodes.iter().map(|(id, epoch)| self.write(Key::forgotten(*id, *epoch), None, now)).collect()
    }

    /// All nodes of this name are forgotten; none may be alive.
    pub(super) fn forget_nodes(
        &mut self,
        ticket: Ticket,
        name: NodeName,
        now: Now,
    ) -> Result<(), CommandError> {
        let claimants: Vec<(NodeId, u64)> = self
            .state
            .owners()
            .filter(|(_, owner)| owner.node().is_some_and(|node| node.name == name))
            .map(|(id, owner)| (id, owner.newest_epoch()))
            .collect();
        if claimants.iter().any(|(id, _)| self.presence(*id) == MemberState::Alive) {
            return Err(CommandError::StillAlive(name));
        }
        let versions = self.write_forgotten(&claimants, now)?;
        if versions.is_empty() {
            return Err(self.unknown_node(name.as_str()));
        }
        self.reply_written(ticket, versions);
        Ok(())
    }

    /// A node was forgotten, here or elsewhere.
    pub(super) fn follow_forgotten(&mut self, id: NodeId, epoch: u64, now: Now) {
        if id == self.config.id {
            return self.raise_epoch(epoch, now);
        }
        // It may be alive and not have heard of it yet, or be in a later epoch already.
        if self.announced.contains(&id) || self.state.owner(id).is_some() {
            return;
        }
        if let Some(name) = self.memberships.name_of(id).cloned() {
            tracing::info!(node = %name, %id, "member forgotten");
            let body = json!({"id": id.to_string(), "cause": "forgotten"});
            self.tell(EventKind::MemberLeft, name.as_str(), body);
        }
        self.call_no_more(id, now);
    }

    /// Nobody is to look for a node that is forgotten.
    pub(super) fn call_no_more(&mut self, id: NodeId, now: Now) {
        let forgotten = self.state.reading().forgotten(id).is_some();
        if forgotten && self.state.owner(id).is_none() {
            self.gone.remove(&id);
            self.swim.forget(id, now.mono);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: NodeId = NodeId(7);

    #[test]
    fn a_good_bye_counts_from_when_it_was_first_heard_in_its_epoch() {
        let mut departed = Departed::default();
        let mut since = |epoch, now_ms| departed.since(ID, epoch, now_ms);
        assert_eq!(since(1, 1000), Heard::Now(Farewell { epoch: 1, heard_ms: 1000 }));
        assert_eq!(since(1, 5000), Heard::Before(1000));
        // It was back meanwhile, and left again.
        assert_eq!(since(2, 6000), Heard::Now(Farewell { epoch: 2, heard_ms: 6000 }));
        // Our clock was set back.
        assert_eq!(since(2, 4000), Heard::Now(Farewell { epoch: 2, heard_ms: 4000 }));
        assert_eq!(since(2, 6000), Heard::Before(4000));
    }

    #[test]
    fn a_good_bye_is_read_as_it_was_kept() {
        let mut departed = Departed::default();
        let value = codec::encode(&Farewell { epoch: 1, heard_ms: 1000 });
        assert!(matches!(departed.load(&left_key(ID), &value), Some(Ok(()))));
        assert_eq!(departed.since(ID, 1, 2000), Heard::Before(1000));
        assert!(matches!(departed.load(&left_key(ID), &[]), Some(Err(_))));
        assert!(departed.load(b"facts", &value).is_none());
        assert!(departed.keep(&BTreeMap::from([(ID, 1)])).is_empty());
        assert_eq!(departed.keep(&BTreeMap::new()), [ID]);
    }
}
