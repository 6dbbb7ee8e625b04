//! What keeps a node from meeting its cluster, as far as it can tell.
//!
//! A name that is taken is told by a member. That others use another key is never sure, since what was not
//! opened proves nothing: it is a hint for people, and nothing else follows from it. Either is
//! forgotten once nobody says it any more.

use std::net::SocketAddr;

use super::{CommandError, Engine};
use crate::{KeyId, NodeId};

/// So many rounds of calls in which nobody says it any more end an obstacle. Those about a name are short.
const NAME_ROUNDS: u32 = 6;
const KEY_ROUNDS: u32 = 2;

/// Why a node may have met nobody since its start, or has no say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Obstacle {
    /// A live node holds its name.
    NameTaken {
        /// Which one.
        holder: NodeId,
        /// Where it was last reached, if this node has ever heard that.
        address: Option<SocketAddr>,
    },
    /// What came from this address names a key that the node does not hold. Anyone can send that.
    OtherKey {
        /// Who was called there, or who sent a datagram from there.
        from: SocketAddr,
        /// The fingerprint of the key.
        key: KeyId,
    },
}

/// In which round of calls to the seeds each obstacle was last told.
#[derive(Debug, Default)]
pub(super) struct HeardIn {
    name: u32,
    key: u32,
}

impl Engine {
    /// Another node was said to hold this node's name.
    pub(super) fn name_told(&mut self) {
        self.heard_in.name = self.seed_tries;
    }

    /// Who was called at this address has a key that this node does not hold.
    pub(super) fn called_other_key(&mut self, at: SocketAddr, key: KeyId) {
        self.heard_in.key = self.heard_in.key.max(self.seed_tries);
        if !self.has_met() && self.other_key != Some((at, key)) {
            self.other_key = Some((at, key));
            self.rev += 1;
        }
    }

    /// A datagram came that names such a key. It covers nothing that was heard before: strangers must not
    /// have the view made anew with each.
    pub(super) fn hear_other_key(&mut self, from: SocketAddr, key: KeyId) {
        if self.other_key.is_none_or(|known| known == (from, key)) {
            self.called_other_key(from, key);
            // Who calls us does so no more often than we call seeds.
            self.heard_in.key = self.seed_tries.saturating_add(1);
        }
    }

    /// The seeds are about to be called again: what none of them said in the last rounds is news no
    /// more. In one round alone nobody may have been asked, or all have been busy.
    pub(super) fn drop_old_obstacles(&mut self) {
        let mut called = self.seeds.iter().chain(&self.saved_members).peekable();
        if called.peek().is_none() || called.any(|at| self.streams.is_calling(*at)) {
            return;
        }
        let is_old = |round: u32, rounds: u32| self.seed_tries >= round.saturating_add(rounds);
        let name = is_old(self.heard_in.name, NAME_ROUNDS);
        let key = is_old(self.heard_in.key, KEY_ROUNDS);
        // A node that yielded knows the holder as a member.
        if name && !self.own.yielded && self.name_taken.is_some() {
            self.name_taken = None;
            self.rev += 1;
        }
        if key && self.other_key.is_some() {
            self.other_key = None;
            self.rev += 1;
        }
    }

    /// What keeps this node from its cluster, while it has met nobody or had to yield its name.
    pub(super) fn obstacle(&self) -> Option<Obstacle> {
        let has_met = self.has_met();
        if has_met && !self.own.yielded {
            return None;
        }
        let other_key = self.other_key.filter(|_| !has_met);
        let other_key = other_key.map(|(from, key)| Obstacle::OtherKey { from, key });
        let name_taken = self.name_taken.map(|holder| {
            let address = self.address_of(holder);
            Obstacle::NameTaken { holder, address }
        });
        name_taken.or(other_key)
    }

    /// The refusal of a node whose name another one holds.
    pub(super) fn refusal_of_name(&self, holder: NodeId) -> CommandError {
        CommandError::NameTaken { holder, address: self.address_of(holder) }
    }

    /// Where a node was last reached.
    pub(super) fn address_of(&self, id: NodeId) -> Option<SocketAddr> {
        let known = self.reachable.get(&id).map(|known| known.address);
        known.or_else(|| Some(self.state.owner(id)?.node()?.address))
    }

    fn has_met(&self) -> bool {
        self.synced || !self.reachable.is_empty()
    }
}
