//! What a simulation looks at in an engine, cheaper than its view. It changes nothing.

use super::{Engine, MemberState, Written};
use crate::{
    NodeId, codec,
    state::{Kind, Record, Stamp},
};

/// What waits in an engine, and must stay bounded.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Backlog {
    /// Broadcasts that wait to be spread.
    pub broadcasts: usize,
    /// Records that were hinted at and are not held.
    pub wanted: usize,
    /// Streams that are open, in both directions.
    pub streams: usize,
    /// Writes that were not given to the store.
    pub unstored: usize,
}

impl Engine {
    /// Does this node hold what was written, or something later?
    #[must_use]
    pub fn holds(&self, written: &Written) -> bool {
        written.versions.iter().all(|version| self.state.holds(version))
    }

    /// How many nodes it sees alive, itself included: reachable, and known by name.
    #[must_use]
    pub fn sees(&self) -> usize {
        let known = |id: &NodeId| self.state.owner(*id).is_some_and(|owner| owner.node().is_some());
        1 + self.reachable.keys().filter(|id| known(id)).count()
    }

    /// Does it take this node for alive?
    #[must_use]
    pub fn sees_node(&self, id: NodeId) -> bool {
        self.presence(id) == MemberState::Alive
    }

    /// Is a full digest sync done since its start?
    #[must_use]
    pub fn is_synced(&self) -> bool {
        self.synced
    }

    /// What waits in it.
    #[must_use]
    pub fn backlog(&self) -> Backlog {
        Backlog {
            broadcasts: self.swim.backlog(),
            wanted: self.wanted.len(),
            streams: self.streams.len(),
            unstored: self.store.waiting_len(),
        }
    }

    /// All records it holds, as they travel, in bytes. Deletions that it remembers are records.
    #[must_use]
    pub fn records_bytes(&self) -> usize {
        self.state.records().map(|record| codec::encode(&record).len()).sum()
    }

    /// The records that are in force, as they travel, in bytes: no deletions, and nothing of nodes
    /// that left or are not wholly known.
    #[must_use]
    pub fn live_bytes(&self) -> usize {
        let lives = |record: &Record| match record {
            Record::Shared(shared) => shared.body.is_some() && shared.key.kind != Kind::FLOOR,
            Record::Owned(owned) => {
                let node = self.state.owner(owned.owner).and_then(|owner| owner.node());
                node.is_some_and(|node| !node.left)
            }
        };
        self.state.records().filter(lives).map(|record| codec::encode(&record).len()).sum()
    }

    /// Deletions it remembers.
    #[must_use]
    pub fn tombstones(&self) -> usize {
        self.state.tombstones().count()
    }

    /// Deletions it remembers that are older than this time, in Unix milliseconds.
    #[must_use]
    pub fn tombstones_before(&self, wall_ms: u64) -> usize {
        self.state.tombstones().filter(|stamp| *stamp < Stamp::floor(wall_ms)).count()
    }

    /// Does it remember anything that this node said?
    #[must_use]
    pub fn knows_node(&self, id: NodeId) -> bool {
        self.state.owner(id).is_some()
    }

    /// Nodes that left and that it remembers.
    #[must_use]
    pub fn departed(&self) -> usize {
        self.state.owners().filter(|(id, _)| self.presence(*id) == MemberState::Left).count()
    }
}
