//! Forgetting a dead node: a record that has everybody drop what it said.
//!
//! It is forgotten up to the epoch it was in, so a node that was forgotten by mistake, or comes back years
//! later, begins a later epoch and is a member like any other.

use serde_json::json;

use super::{
    CommandError, Engine, EventKind, MemberState, Now, Reply, Ticket, Written, persist::Pending,
};
use crate::{NodeId, NodeName, state::Key};

impl Engine {
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
