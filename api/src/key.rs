//! The keys of the cluster, by their fingerprints.

use std::fmt;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The keys of the cluster, and the members that hold them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Keys {
    /// All keys, those removed in the last time too.
    pub keys: Vec<KeyInfo>,
    /// Members that are known, and have neither left nor been forgotten, by name.
    pub members: Vec<KeyMember>,
    /// The key to which an exchange leads that has begun and is not at its end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exchange: Option<String>,
}

/// A key. Never its bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct KeyInfo {
    /// Its fingerprint.
    pub id: String,
    /// `installed`: it opens what is sealed with it; `in-use`: it seals; `removed`.
    pub phase: String,
    /// This node holds it.
    pub held: bool,
    /// When that was said of it, in Unix milliseconds. Absent: it is in key files alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub written_ms: Option<u64>,
    /// Members that said they hold it.
    pub holders: Vec<String>,
    /// Members that did not.
    pub lacking: Vec<String>,
}

/// A member, and what it holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct KeyMember {
    /// Its name.
    pub node: String,
    /// Is it there?
    pub alive: bool,
    /// Fingerprints, the sealing one first. Absent: it has not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keys: Option<Vec<String>>,
}

/// A key to install. This is the secret itself.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct InstallKey {
    /// 32 bytes in base64, as `snapd keygen` prints them.
    pub key: String,
}

impl fmt::Debug for InstallKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("InstallKey(..)")
    }
}

/// What was installed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct KeyChanged {
    /// The key's fingerprint.
    pub id: String,
    /// Live members that did not say in time that they heard of it. Empty without `wait`.
    #[serde(default)]
    pub missing: Vec<String>,
}

/// How to use or remove a key.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ChangeKey {
    /// Even if there are members that do not hold the key that is to seal.
    #[serde(default)]
    pub force: bool,
}

/// The next step in exchanging the key of the cluster for a new one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RotateKey {
    /// A step was taken before: there is no need of one more key.
    #[serde(default)]
    pub begun: bool,
    /// Go on without members that are down.
    #[serde(default)]
    pub force: bool,
}

/// The step that was taken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct KeyStep {
    /// `installed`, `used` or `removed` a key; `holding` or `sealing`: wait until `nodes` hold it, or seal
    /// with it, and ask again; `down`: `nodes` are down and do not hold it; `done`.
    pub step: String,
    /// The key. A snapd of an earlier version does not name one that it `installed`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// Who is waited for.
    #[serde(default)]
    pub nodes: Vec<String>,
}
