//! The nodes of the cluster and their facts.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

/// One node of the cluster, dead ones too.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Member {
    /// Its name.
    pub name: String,
    /// Its id.
    pub id: String,
    /// Where it is reached: `192.0.2.7:6000`.
    pub address: String,
    /// Is it there?
    pub state: MemberState,
    /// Software and version it runs, as it says itself.
    pub version: String,
    /// Highest level of the policy language it understands.
    pub policy_level: u16,
    /// The tribes it is in, by name.
    pub tribes: Vec<String>,
    /// It computes the same memberships for itself as this node does for it. False for a moment while a
    /// change travels.
    pub agrees: bool,
}

/// Is a node there?
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
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

/// One fact of a node.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct FactEntry {
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: Value,
    /// The type policies see: `bool`, `int`, `float`, `text`, `ip`, `net`, `list` or `map`.
    #[serde(rename = "type")]
    pub value_type: String,
    /// Who said it: `host` (collected), `start` (configuration, command line) or `runtime`.
    pub source: String,
}

/// Run-time facts to set and unset, all or nothing.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct FactChange {
    /// Facts to set, by name. Text is read as on a command line: `"True"` is a boolean, `"7"` a whole
    /// number, `"007"` text.
    #[serde(default)]
    pub set: BTreeMap<String, Value>,
    /// Facts to unset, by name: what the configuration or the host says shows again.
    #[serde(default)]
    pub unset: Vec<String>,
}
