//! What keeps a node from meeting its cluster, as far as it can tell.
//!
//! A name that is taken is told by a member. That others use another key is never sure, since what was not
//! opened proves nothing: it is a hint for people, and nothing else follows from it.

use std::net::SocketAddr;

use super::Engine;
use crate::{KeyId, NodeId};

/// Why a node may have met nobody since its start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Obstacle {
    /// This live node holds its name.
    NameTaken(NodeId),
    /// What came from this address names a key that the node does not hold. Anyone can send that.
    OtherKey {
        /// Who was called there, or who sent a datagram from there.
        from: SocketAddr,
        /// The fingerprint of the key.
        key: KeyId,
    },
}

impl Engine {
    /// Who was called at this address has a key that this node does not hold.
    pub(super) fn called_other_key(&mut self, at: SocketAddr, key: KeyId) {
        if !self.has_met() && self.other_key != Some((at, key)) {
            self.other_key = Some((at, key));
            self.rev += 1;
        }
    }

    /// A datagram came that names such a key. It covers nothing that was heard before: strangers must not
    /// have the view made anew with each.
    pub(super) fn hear_other_key(&mut self, from: SocketAddr, key: KeyId) {
        if self.other_key.is_none() {
            self.called_other_key(from, key);
        }
    }

    /// What keeps this node from its cluster, while it has met nobody.
    pub(super) fn obstacle(&self) -> Option<Obstacle> {
        if self.has_met() {
            return None;
        }
        let other_key = self.other_key.map(|(from, key)| Obstacle::OtherKey { from, key });
        self.name_taken.map(Obstacle::NameTaken).or(other_key)
    }

    fn has_met(&self) -> bool {
        self.synced || !self.reachable.is_empty()
    }
}
