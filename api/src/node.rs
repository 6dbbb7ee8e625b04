//! The daemon itself.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What the daemon is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Version {
    /// Version of the daemon.
    pub version: String,
    /// Version of this API, see [`API_VERSION`](crate::API_VERSION).
    pub api: u32,
    /// Highest level of the policy language it understands.
    pub policy_level: u16,
}

/// The node the daemon runs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct NodeInfo {
    /// Its name.
    pub name: String,
    /// Tribe mode is on: it is a member of a cluster.
    pub tribe: bool,
    /// Its id; absent with tribe mode off.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// Where others reach it; absent with tribe mode off.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// It has all that its cluster knew when it started.
    pub synced: bool,
    /// What it waits for, if it is not synced: until then it does nothing that tribes ask. Or that
    /// another node holds its name: then it changes nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unsynced: Option<String>,
    /// The tribes it acts for.
    #[serde(default)]
    pub acting: Vec<Acting>,
    /// Fingerprint of the key that seals its messages; absent without encryption.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_fingerprint: Option<String>,
}

/// A tribe that a node acts for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Acting {
    /// The tribe.
    pub tribe: String,
    /// Absent while the node is a member; else for how many seconds it goes on acting.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub leaves_in_seconds: Option<f64>,
}
