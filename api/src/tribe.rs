//! Tribes, who is in them, and why.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{ItemStatus, MemberState, Policy};

/// One tribe in a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TribeSummary {
    /// Its name.
    pub name: String,
    /// What people say it is for.
    pub description: String,
    /// How many members it has, dead ones too.
    pub members: usize,
    /// How many of them are alive.
    pub alive: usize,
    /// How many policies it has.
    pub policies: usize,
}

/// Create a tribe.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CreateTribe {
    /// Its name.
    pub name: String,
    /// What it is for.
    #[serde(default)]
    pub description: String,
}

/// Say anew what a tribe is for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DescribeTribe {
    /// What it is for.
    pub description: String,
}

/// One tribe in full.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Tribe {
    /// Its name.
    pub name: String,
    /// What people say it is for.
    pub description: String,
    /// Its members by name, dead ones too.
    pub members: Vec<TribeMember>,
    /// Nodes placed by hand, by name, whether they exist or not.
    pub placements: Vec<PlacedNode>,
    /// Its policies, by name.
    pub policies: Vec<Policy>,
}

/// A member of a tribe.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TribeMember {
    /// The node's name.
    pub name: String,
    /// The node's id.
    pub id: String,
    /// Is it there?
    pub state: MemberState,
    /// Why it is in.
    pub reasons: Vec<Reason>,
}

/// Why a node is in a tribe.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Reason {
    /// It was placed in by hand.
    Joined,
    /// A policy is true for its facts.
    Policy {
        /// The policy.
        policy: String,
    },
}

/// A node that was placed by hand.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PlacedNode {
    /// The node's name.
    pub node: String,
    /// Where it was placed.
    pub placement: Placement,
}

/// What people said of a node and a tribe.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Placement {
    /// In, whatever the policies say.
    Joined,
    /// Out, whatever the policies say.
    Left,
    /// As the policies say.
    Automatic,
}

impl Placement {
    /// The placement as text, as in JSON.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Joined => "joined",
            Self::Left => "left",
            Self::Automatic => "automatic",
        }
    }
}

/// Place a node in a tribe or out of it by hand, or give it back to the policies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Place {
    /// In, out, or as the policies say.
    pub placement: Placement,
}

/// Who is in a tribe, and whether all agree.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TribeStatus {
    /// The tribe.
    pub tribe: String,
    /// Revision of the view this was read from.
    pub rev: u64,
    /// The daemon's node has all that its cluster knew when it started. If not, more may follow.
    pub synced: bool,
    /// What it waits for, if it is not synced: until then it does nothing that tribes ask. Or that
    /// another node holds its name: then it changes nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unsynced: Option<String>,
    /// Its members by name, dead ones too.
    pub members: Vec<StatusMember>,
    /// Nodes that fell out of the tribe and still act for it until their hold-down is over, as far as
    /// the daemon knows; of itself it does.
    #[serde(default)]
    pub holding: Vec<String>,
    /// All live members that run snapd have done all that the tribe asks of them.
    #[serde(default = "applied")]
    pub applied: bool,
}

/// A daemon that does not speak of items has none that could be left undone.
fn applied() -> bool {
    true
}

/// A member in the status of a tribe.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct StatusMember {
    /// The node's name.
    pub name: String,
    /// Is it there?
    pub state: MemberState,
    /// Why it is in.
    pub reasons: Vec<Reason>,
    /// It computes the same memberships for itself as the daemon does for it.
    pub agrees: bool,
    /// How each plugin and task of the tribe stands there.
    #[serde(default)]
    pub items: Vec<ItemStatus>,
    /// Why it did not say how its items stand. Absent: it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub silent: Option<String>,
    /// What it runs, as it says itself, if that is not snapd: it applies nothing and is not waited
    /// for. Absent: snapd.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub other_agent: Option<String>,
}
