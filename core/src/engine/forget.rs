//! Forgetting a dead node: a record that has everybody drop what it said.
//!
//! It is forgotten up to the epoch it was in, so a node that was forgotten by mistake, or comes back years
//! later, begins a later epoch and is a member like any other.
//!
//! One that said good-bye is forgotten without being asked, once it was away for as long as deletions are
//! remembered: hosts that come and go under new ids would fill everybody's memory. One that died without a
//! word is for people to forget.

use std::time::Duration;

use serde_json::json;

use super::{
    CommandError, Engine, EventKind, MemberState, Now, Reply, Ticket, Written, persist::Pending,
};
use crate::{NodeId, NodeName, state::Key};

/// The first of the living forgets who left; the others do so much later, should it not.
const OTHERS_LATER: Duration = Duration::from_secs(3600);

impl Engine {
    /// Those that said good-bye long ago, as far as this node saw it itself, are forgotten.
    pub(super) fn forget_departed(&mut self, now: Now) {
        let left = |id: &NodeId| self.presence(*id) == MemberState::Left;
        let all: Vec<(NodeId, u64)> = self
            .state
            .owners()
            .filter(|(id, _)| *id != self.config.id && left(id))
            .map(|(id, owner)| (id, owner.newest_epoch()))
            .collect();
        let mut departed = std::mem::take(&mut self.departed);
        departed.retain(|id, _| all.binary_search_by_key(id, |(id, _)| *id).is_ok());
        let first = self.reachable.keys().all(|id| *id > self.config.id);
        let patience =
            self.config.tombstone_age + if first { Duration::ZERO } else { OTHERS_LATER };
        let mut versions = Vec::new();
        for (id, epoch) in all {
            let since = *departed.entry(id).or_insert(now.mono);
            if now.mono >= since + patience
                && let Ok(version) = self.write(Key::forgotten(id, epoch), None, now)
            {
                versions.push(version);
            }
        }
        self.departed = departed;
        if !versions.is_empty() {
            self.persist(Pending { versions, ..Pending::default() });
        }
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
        let mut versions = Vec::new();
        for (id, epoch) in claimants {
            versions.push(self.write(Key::forgotten(id, epoch), None, now)?);
        }
        let Some(version) = versions.last().cloned() else {
            return Err(self.unknown_node(name.as_str()));
        };
        let reply = Reply::Written(Written { version });
        self.persist(Pending { versions, replies: vec![(ticket, reply)], ..Pending::default() });
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
