//! What this node knows, as one consistent snapshot.
//!
//! Everything here is computed from replicated records on this node; no view travels.

use std::{collections::BTreeMap, net::SocketAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::{Engine, Now, Obstacle, items::view_item, own::memberships_hash};
use crate::{
    CommandError, Facts, ItemKind, ItemName, KeyId, NodeId, NodeName, NodeStatus, Offers,
    Placement, Policy, PolicyName, TribeName, engine::commands::nearest, membership::Reason,
};

/// A snapshot of the cluster as this node sees it.
#[derive(Debug, Clone, Default)]
pub struct View {
    /// Grows with every change.
    pub rev: u64,
    /// One full digest sync is done since start, or this node is the first of its cluster.
    pub synced: bool,
    /// Why this node may have met nobody since its start, or that a member holds its name; `None` if neither
    /// is so, or it cannot tell.
    pub obstacle: Option<Obstacle>,
    /// The fingerprint of the key this node seals with; `None` in plaintext.
    pub sealing: Option<KeyId>,
    /// All known nodes, dead ones too, by id.
    pub members: BTreeMap<NodeId, Member>,
    /// All tribes, by name.
    pub tribes: BTreeMap<TribeName, Tribe>,
    /// All policies, by name.
    pub policies: BTreeMap<PolicyName, PolicyInfo>,
    /// What this node alone should have, by kind and name.
    pub local_items: BTreeMap<(ItemKind, ItemName), Item>,
    /// The tribes this node acts for, by name: its own, and those it fell out of within the hold-down.
    pub acting: BTreeMap<TribeName, Acting>,
}

/// One node of the cluster.
#[derive(Debug, Clone)]
pub struct Member {
    /// Its id.
    pub id: NodeId,
    /// Its name.
    pub name: NodeName,
    /// Where it is reached.
    pub address: SocketAddr,
    /// Is it there?
    pub state: MemberState,
    /// Software and version it runs, as it says itself.
    pub version: String,
    /// Highest level of the policy language it understands.
    pub level: u16,
    /// Its facts.
    pub facts: Arc<Facts>,
    /// The tribes it is in, by name.
    pub tribes: Vec<TribeName>,
    /// What it offers; nothing while it is not alive.
    pub offers: Arc<Offers>,
    /// How far it is with its items; `None` if it has not said so, or is not alive.
    pub status: Option<NodeStatus>,
    /// It computes the same memberships for itself as we do for it. False for a moment while a change
    /// travels; false for long means that the two of us understand a record differently.
    pub agrees: bool,
}

/// Is a node there?
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MemberState {
    /// It answers.
    Alive,
    /// It said good-bye.
    Left,
    /// It does not answer.
    Down,
}

impl MemberState {
    /// The state as text, as in JSON.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Alive => "alive",
            Self::Left => "left",
            Self::Down => "down",
        }
    }
}

/// One tribe.
#[derive(Debug, Clone)]
pub struct Tribe {
    /// Its name.
    pub name: TribeName,
    /// What people say it is for.
    pub description: String,
    /// Its members by node name, dead ones too, with the reasons why they are in.
    pub members: Vec<TribeMember>,
    /// Nodes placed by hand, by node name, whether they exist or not.
    pub placements: BTreeMap<NodeName, Placement>,
    /// Its policies, by name.
    pub policies: Vec<PolicyName>,
    /// What its nodes should have, by kind and name.
    pub items: BTreeMap<(ItemKind, ItemName), Item>,
}

/// Something that the nodes of a tribe, or one node alone, should have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// Its kind: `plugin`, `task`, or an agent author's own.
    pub kind: ItemKind,
    /// Its name.
    pub name: ItemName,
    /// What it is, opaque to this library.
    pub document: Bytes,
    /// It should run.
    pub running: bool,
    /// Grows with every write of the document or of `running`, here or elsewhere.
    pub generation: u64,
    /// When it was last written, in Unix milliseconds.
    pub written_ms: u64,
    /// The node that wrote it last.
    pub writer: NodeId,
}

/// A member of a tribe.
#[derive(Debug, Clone, PartialEq)]
pub struct TribeMember {
    /// The node's id.
    pub id: NodeId,
    /// The node's name.
    pub name: NodeName,
    /// Is it there?
    pub state: MemberState,
    /// Why it is in, never empty.
    pub reasons: Vec<Reason>,
}

/// One policy.
#[derive(Debug, Clone)]
pub struct PolicyInfo {
    /// Its name.
    pub name: PolicyName,
    /// The tribe it places nodes in.
    pub tribe: TribeName,
    /// Its text.
    pub text: String,
    /// Only an enabled policy places nodes.
    pub enabled: bool,
    /// The policy, or `None` if this node does not understand it: then it matches nothing here.
    pub policy: Option<Policy>,
}

/// A tribe this node acts for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Acting {
    /// `None` while this node is a member; else how long it goes on acting.
    pub leaves_in: Option<Duration>,
}

impl View {
    /// A node by name. Of several nodes that claimed a name the live one counts, then the newest.
    #[must_use]
    pub fn member(&self, name: &str) -> Option<&Member> {
        self.members
            .values()
            .filter(|member| member.name.as_str() == name)
            .min_by_key(|member| (member.state != MemberState::Alive, member.id))
    }

    /// A node by name, as an error that says what is near.
    ///
    /// # Errors
    /// [`CommandError::UnknownNode`].
    pub fn known_member(&self, name: &str) -> Result<&Member, CommandError> {
        self.member(name).ok_or_else(|| CommandError::UnknownNode {
            name: name.to_owned(),
            near: nearest(name, self.members.values().map(|member| member.name.as_str())),
        })
    }

    /// A tribe by name.
    ///
    /// # Errors
    /// [`CommandError::UnknownTribe`].
    pub fn known_tribe(&self, name: &str) -> Result<&Tribe, CommandError> {
        self.tribes.get(name).ok_or_else(|| CommandError::UnknownTribe {
            name: name.to_owned(),
            near: nearest(name, self.tribes.keys().map(TribeName::as_str)),
        })
    }

    /// A policy by name.
    ///
    /// # Errors
    /// [`CommandError::UnknownPolicy`].
    pub fn known_policy(&self, name: &str) -> Result<&PolicyInfo, CommandError> {
        self.policies.get(name).ok_or_else(|| CommandError::UnknownPolicy {
            name: name.to_owned(),
            near: nearest(name, self.policies.keys().map(PolicyName::as_str)),
        })
    }

    /// A node's name, or its id as text if no record of it has arrived yet.
    #[must_use]
    pub fn name_of(&self, id: NodeId) -> String {
        self.members.get(&id).map_or_else(|| id.to_string(), |member| member.name.to_string())
    }
}

impl Engine {
    /// What this node knows now.
    #[must_use]
    pub fn view(&self, now: Now) -> View {
        let members = self.view_members();
        View {
            rev: self.rev,
            synced: self.synced,
            obstacle: self.obstacle(),
            sealing: self.keyring().sealing().map(crate::Key::id),
            tribes: self.view_tribes(&members),
            members,
            policies: self.view_policies(),
            local_items: self.view_local_items(),
            acting: self
                .acting
                .iter()
                .map(|(tribe, until)| {
                    let leaves_in = until.map(|until| until.saturating_sub(now.mono));
                    (tribe.clone(), Acting { leaves_in })
                })
                .collect(),
        }
    }

    fn view_members(&self) -> BTreeMap<NodeId, Member> {
        let nothing = Arc::new(Offers::default());
        self.holders()
            .map(|(id, owner, node)| {
                let state = self.presence(id);
                let alive = state == MemberState::Alive;
                let tribes: Vec<TribeName> = self.memberships.of_node(id).cloned().collect();
                let member = Member {
                    id,
                    name: node.name.clone(),
                    address: self.reachable.get(&id).map_or(node.address, |known| known.address),
                    state,
                    version: node.version.clone(),
                    level: node.level,
                    facts: owner.facts().clone(),
                    agrees: node.memberships == memberships_hash(tribes.iter()),
                    tribes,
                    offers: if alive { owner.offers() } else { &nothing }.clone(),
                    status: owner.status().filter(|_| alive).cloned(),
                };
                (id, member)
            })
            .collect()
    }

    fn view_tribes(&self, members: &BTreeMap<NodeId, Member>) -> BTreeMap<TribeName, Tribe> {
        let reading = self.state.reading();
        let tribe = |name: &TribeName| Tribe {
            name: name.clone(),
            description: reading.description(name.as_str()).unwrap_or_default().to_owned(),
            members: self.view_tribe_members(name, members),
            placements: reading.placements.get(name).cloned().unwrap_or_default(),
            policies: reading
                .policies
                .iter()
                .filter(|(_, policy)| policy.tribe == *name)
                .map(|(policy, _)| policy.clone())
                .collect(),
            items: reading
                .items
                .get(name)
                .into_iter()
                .flat_map(BTreeMap::keys)
                .filter_map(|key| Some((key.clone(), view_item(reading, name, key)?)))
                .collect(),
        };
        reading.tribes.keys().map(|name| (name.clone(), tribe(name))).collect()
    }

    fn view_tribe_members(
        &self,
        tribe: &TribeName,
        members: &BTreeMap<NodeId, Member>,
    ) -> Vec<TribeMember> {
        let of_tribe = self.memberships.of_tribe(tribe).filter_map(|(id, reasons)| {
            let member = members.get(&id)?;
            Some(TribeMember {
                id,
                name: member.name.clone(),
                state: member.state,
                reasons: reasons.clone(),
            })
        });
        let mut found: Vec<TribeMember> = of_tribe.collect();
        found.sort_by(|one, other| one.name.cmp(&other.name));
        found
    }

    fn view_policies(&self) -> BTreeMap<PolicyName, PolicyInfo> {
        let reading = self.state.reading();
        reading
            .policies
            .iter()
            .map(|(name, read)| {
                let info = PolicyInfo {
                    name: name.clone(),
                    tribe: read.tribe.clone(),
                    text: read.text.clone(),
                    enabled: reading.is_enabled(name.as_str()),
                    policy: read.policy.clone(),
                };
                (name.clone(), info)
            })
            .collect()
    }
}
