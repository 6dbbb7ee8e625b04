//! The bodies this build reads and writes.

use std::net::SocketAddr;

use bytes::Bytes;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::record::{Body, Kind};
use crate::{Facts, KeyId, NodeName, NodeStatus, Offers, TribeName, codec, limits};

/// The version of all bodies written by this build, but for what is put stopped.
const VERSION: u8 = 1;
/// The version of an item that was put stopped, and of a policy that was put switched off.
const STOPPED_VERSION: u8 = 2;

/// A body with a form this build knows.
pub(crate) trait Form: Serialize + DeserializeOwned {
    /// Longest encoding. Larger ones from afar are not read.
    const MAX_BYTES: usize;

    /// Encodes the body.
    fn to_body(&self) -> Body {
        Body { version: VERSION, bytes: Bytes::from(codec::encode(self)) }
    }

    /// Reads a body; `None` if it is of a version or form this build does not understand.
    fn from_body(body: &Body) -> Option<Self> {
        if body.version != VERSION || body.bytes.len() > Self::MAX_BYTES {
            return None;
        }
        codec::decode(&body.bytes).ok()
    }
}

/// A tribe, or what was said of it apart.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct TribeBody {
    pub(crate) description: String,
}

impl Form for TribeBody {
    const MAX_BYTES: usize = limits::DESCRIPTION_BYTES + 16;
}

/// A floor; all it says is its stamp.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct FloorBody {}

impl Form for FloorBody {
    const MAX_BYTES: usize = 16;
}

/// What people said of a node and a tribe.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
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

/// A placement by hand. `Automatic` is the tombstone.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct PlacementBody {
    pub(crate) placement: Placement,
}

impl Form for PlacementBody {
    const MAX_BYTES: usize = 16;
}

/// A policy: text, never a tree.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct PolicyBody {
    pub(crate) tribe: TribeName,
    pub(crate) level: u16,
    pub(crate) text: String,
    /// It places nobody until a later switch says so. The switch that was written with it may come
    /// after it. The version of the body says it.
    #[serde(skip)]
    pub(crate) off: bool,
}

impl Form for PolicyBody {
    const MAX_BYTES: usize = limits::POLICY_BYTES + limits::NAME_BYTES + 32;

    fn to_body(&self) -> Body {
        let version = if self.off { STOPPED_VERSION } else { VERSION };
        Body { version, bytes: Bytes::from(codec::encode(self)) }
    }

    fn from_body(body: &Body) -> Option<Self> {
        let off = match body.version {
            VERSION => false,
            STOPPED_VERSION => true,
            _ => return None,
        };
        if body.bytes.len() > Self::MAX_BYTES {
            return None;
        }
        codec::decode(&body.bytes).ok().map(|read| Self { off, ..read })
    }
}

/// Is a policy enabled?
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct EnabledBody {
    pub(crate) enabled: bool,
}

impl Form for EnabledBody {
    const MAX_BYTES: usize = 16;
}

/// An item: the body is its document, byte for byte.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ItemBody {
    pub(crate) document: Bytes,
    /// It must not run until a later switch says so. The switch that was written with it may come after
    /// it.
    pub(crate) stopped: bool,
}

impl ItemBody {
    pub(crate) fn to_body(&self) -> Body {
        let version = if self.stopped { STOPPED_VERSION } else { VERSION };
        Body { version, bytes: self.document.clone() }
    }

    /// Reads a body without copying it; `None` if it is of a version this build does not understand, or
    /// too large.
    pub(crate) fn from_body(body: &Body) -> Option<Self> {
        let stopped = match body.version {
            VERSION => false,
            STOPPED_VERSION => true,
            _ => return None,
        };
        let fits = body.bytes.len() <= limits::ITEM_BYTES;
        fits.then(|| Self { document: body.bytes.clone(), stopped })
    }
}

/// Should an item run?
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct RunningBody {
    pub(crate) running: bool,
}

impl Form for RunningBody {
    const MAX_BYTES: usize = 16;
}

/// How far a key of the cluster is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum KeyPhase {
    /// It opens what is sealed with it.
    Installed,
    /// It seals.
    InUse,
    /// It opens nothing any more.
    Removed,
}

impl KeyPhase {
    /// The phase as text, as in JSON.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Installed => "installed",
            Self::InUse => "in-use",
            Self::Removed => "removed",
        }
    }
}

/// What was said last of a key.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct KeyPhaseBody {
    pub(crate) phase: KeyPhase,
}

impl Form for KeyPhaseBody {
    const MAX_BYTES: usize = 16;
}

/// The fingerprints of the keys a node holds, the sealing one first.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct KeysBody {
    pub(crate) keys: Vec<KeyId>,
}

impl Form for KeysBody {
    const MAX_BYTES: usize = limits::KEYS * 4 + 16;
}

/// What a node says it is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct NodeBody {
    pub(crate) name: NodeName,
    pub(crate) address: SocketAddr,
    pub(crate) version: String,
    pub(crate) level: u16,
    /// It said good-bye.
    pub(crate) left: bool,
    /// Another live node holds the name and keeps it.
    pub(crate) yielded: bool,
    /// Hash of the memberships it derives for itself: reveals disagreement, decides nothing.
    pub(crate) memberships: u64,
    /// The kinds of records this epoch began with: it stands once all of them are there. Others may follow
    /// within the epoch, and are never listed in it.
    pub(crate) kinds: Vec<Kind>,
}

impl Form for NodeBody {
    const MAX_BYTES: usize = 1024;
}

impl Form for Offers {
    const MAX_BYTES: usize = limits::OFFERS_BYTES;
}

impl Form for NodeStatus {
    const MAX_BYTES: usize = limits::STATUS_BYTES;
}

impl Form for Facts {
    const MAX_BYTES: usize = limits::FACTS_BYTES;
}
