//! Who is in which tribe, and why.
//!
//! Membership is a pure function, without memory, of tribes, placements, policies and facts: placed out
//! by hand beats placed in by hand beats any policy that is true. Every node computes it for every
//! node; it never travels. What is kept here is only the last result, so that a change recomputes no
//! more than it touches.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::{
    Facts, NodeId, NodeName, PolicyName, TribeName, Verdict,
    state::{Placement, Reading, State},
};

/// Why a node is in a tribe.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reason {
    /// It was placed in by hand.
    Joined,
    /// This policy is true for its facts.
    Policy(PolicyName),
}

/// Why a node would be in a tribe; empty if it is out.
pub(crate) fn reasons(
    reading: &Reading,
    tribe: &TribeName,
    name: &NodeName,
    facts: &Facts,
) -> Vec<Reason> {
    let placement = reading.placements.get(tribe).and_then(|placements| placements.get(name));
    if placement == Some(&Placement::Left) {
        return Vec::new();
    }
    let joined = (placement == Some(&Placement::Joined)).then_some(Reason::Joined);
    let by_policy = reading
        .policies
        .iter()
        .filter(|(policy, read)| read.tribe == *tribe && !reading.disabled.contains(*policy))
        .filter(|(_, read)| {
            read.policy.as_ref().is_some_and(|policy| policy.evaluate(facts) == Verdict::True)
        })
        .map(|(policy, _)| Reason::Policy(policy.clone()));
    joined.into_iter().chain(by_policy).collect()
}

/// A node that came into a tribe, went out, or is in for other reasons.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Moved {
    pub(crate) tribe: TribeName,
    pub(crate) node: NodeId,
    /// Reasons before; empty if it was out.
    pub(crate) before: Vec<Reason>,
    /// Reasons now; empty if it is out.
    pub(crate) after: Vec<Reason>,
}

impl Moved {
    /// It went in or out, and not only the reasons changed.
    pub(crate) fn crossed(&self) -> bool {
        self.before.is_empty() != self.after.is_empty()
    }
}

/// The memberships that follow from a state.
#[derive(Debug, Default)]
pub(crate) struct Memberships {
    tribes: BTreeMap<TribeName, BTreeMap<NodeId, Vec<Reason>>>,
    /// The node that holds each name.
    holders: BTreeMap<NodeName, NodeId>,
    /// All that claim it, and the name each node claims.
    claimants: BTreeMap<NodeName, BTreeSet<NodeId>>,
    names: BTreeMap<NodeId, NodeName>,
}

impl Memberships {
    /// Members of a tribe and why they are in.
    pub(crate) fn of_tribe(
        &self,
        tribe: &TribeName,
    ) -> impl Iterator<Item = (NodeId, &Vec<Reason>)> {
        self.tribes.get(tribe).into_iter().flatten().map(|(id, reasons)| (*id, reasons))
    }

    /// Tribes of a node, by name.
    pub(crate) fn of_node(&self, node: NodeId) -> impl Iterator<Item = &TribeName> {
        self.tribes.iter().filter(move |(_, members)| members.contains_key(&node)).map(|(t, _)| t)
    }

    /// Tribes that some node is in by this policy.
    pub(crate) fn tribes_by<'a>(&'a self, policy: &'a str) -> impl Iterator<Item = &'a TribeName> {
        let by_it = move |reason: &Reason| match reason {
            Reason::Policy(name) => name.as_str() == policy,
            Reason::Joined => false,
        };
        self.tribes
            .iter()
            .filter(move |(_, members)| members.values().flatten().any(by_it))
            .map(|(tribe, _)| tribe)
    }

    /// The node that holds a name.
    pub(crate) fn holder(&self, name: &str) -> Option<NodeId> {
        self.holders.get(name).copied()
    }

    /// Does this node hold its own name, or has another taken it over?
    pub(crate) fn is_holder(&self, name: &NodeName, node: NodeId) -> bool {
        self.holders.get(name) == Some(&node)
    }

    /// A tribe, its placements or policies changed.
    pub(crate) fn update_tribe(&mut self, state: &State, tribe: &TribeName) -> Vec<Moved> {
        let exists = state.reading().tribes.contains_key(tribe);
        let after: BTreeMap<NodeId, Vec<Reason>> = self
            .holders
            .iter()
            .filter(|_| exists)
            .filter_map(|(name, id)| Some((*id, self.reasons_of(state, tribe, name, *id)?)))
            .collect();
        let before = if after.is_empty() {
            self.tribes.remove(tribe).unwrap_or_default()
        } else {
            self.tribes.insert(tribe.clone(), after.clone()).unwrap_or_default()
        };
        let nodes: BTreeSet<NodeId> = before.keys().chain(after.keys()).copied().collect();
        let reasons =
            |of: &BTreeMap<NodeId, Vec<Reason>>, node| of.get(node).cloned().unwrap_or_default();
        nodes
            .iter()
            .map(|node| Moved {
                tribe: tribe.clone(),
                node: *node,
                before: reasons(&before, node),
                after: reasons(&after, node),
            })
            .filter(|moved| moved.before != moved.after)
            .collect()
    }

    /// A node's facts changed.
    pub(crate) fn update_facts(&mut self, state: &State, node: NodeId) -> Vec<Moved> {
        let Some(name) = state.owner(node).and_then(|owner| owner.node()).map(|node| &node.name)
        else {
            return Vec::new();
        };
        if !self.is_holder(name, node) {
            return Vec::new();
        }
        let mut moves = Vec::new();
        for tribe in state.reading().tribes.keys() {
            let after = self.reasons_of(state, tribe, name, node).unwrap_or_default();
            moves.extend(self.set(tribe, node, after));
        }
        moves
    }

    /// A node's record changed: its name, or what it claims it with.
    pub(crate) fn update_name(&mut self, state: &State, node: NodeId) -> Vec<Moved> {
        let claim = claim_of(state, node);
        let before = match &claim {
            Some((name, _)) => self.names.insert(node, name.clone()),
            None => self.names.remove(&node),
        };
        let mut names: BTreeSet<NodeName> = before.into_iter().collect();
        for name in &names {
            if let Some(claimants) = self.claimants.get_mut(name) {
                claimants.remove(&node);
            }
        }
        if let Some((name, _)) = claim {
            self.claimants.entry(name.clone()).or_default().insert(node);
            names.insert(name);
        }
        names.into_iter().flat_map(|name| self.settle(state, &name)).collect()
    }

    /// Who holds a name now, and what follows.
    fn settle(&mut self, state: &State, name: &NodeName) -> Vec<Moved> {
        let claimants = self.claimants.get(name).into_iter().flatten();
        let claims = claimants.filter_map(|id| Some(claim_of(state, *id)?.1));
        let after = claims.max().map(|(_, _, id)| id);
        let before = match after {
            Some(after) => self.holders.insert(name.clone(), after),
            None => {
                self.claimants.remove(name);
                self.holders.remove(name)
            }
        };
        if before == after {
            return Vec::new();
        }
        let mut moves = Vec::new();
        if let Some(before) = before {
            let tribes: Vec<TribeName> = self.tribes.keys().cloned().collect();
            moves.extend(tribes.iter().filter_map(|tribe| self.set(tribe, before, Vec::new())));
        }
        moves.extend(after.into_iter().flat_map(|after| self.update_facts(state, after)));
        moves
    }

    fn reasons_of(
        &self,
        state: &State,
        tribe: &TribeName,
        name: &NodeName,
        node: NodeId,
    ) -> Option<Vec<Reason>> {
        let facts = state.owner(node)?.facts();
        let reasons = reasons(state.reading(), tribe, name, facts);
        (!reasons.is_empty()).then_some(reasons)
    }

    fn set(&mut self, tribe: &TribeName, node: NodeId, after: Vec<Reason>) -> Option<Moved> {
        let before = if after.is_empty() {
            let members = self.tribes.get_mut(tribe)?;
            let before = members.remove(&node)?;
            if members.is_empty() {
                self.tribes.remove(tribe);
            }
            before
        } else {
            let members = self.tribes.entry(tribe.clone()).or_default();
            members.insert(node, after.clone()).unwrap_or_default()
        };
        let moved = Moved { tribe: tribe.clone(), node, before, after };
        (moved.before != moved.after).then_some(moved)
    }
}

/// A node's name, and what it claims it with. Of several nodes that claim one, those hold it that have not
/// yielded it, and of these the one started last: a reinstalled host takes its name over from the id it
/// had before.
fn claim_of(state: &State, id: NodeId) -> Option<(NodeName, (bool, u64, NodeId))> {
    let owner = state.owner(id)?;
    let node = owner.node()?;
    Some((node.name.clone(), (!node.yielded, owner.epoch(), id)))
}
