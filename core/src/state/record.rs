//! What is replicated.
//!
//! A record is a key, a version and a body. Bodies are opaque here, so that kinds and body versions
//! this build does not know are kept and passed on unread; [`bodies`](super::bodies) reads those it does.

use std::{fmt, hash::Hasher};

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use siphasher::sip::SipHasher13;

use super::stamp::Stamp;
use crate::{ItemKind, ItemName, KeyId, NodeId, TribeName, limits};

/// The kind of a record. Numbers are never used again for something else.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(crate) struct Kind(pub(crate) u8);

impl Kind {
    /// Shared: a tribe. Key: its name.
    pub(crate) const TRIBE: Self = Self(1);
    /// Shared: the floor under a tribe. Key: its name. Its own stamp is the floor.
    pub(crate) const FLOOR: Self = Self(2);
    /// Shared: a placement by hand. Key: tribe/node name.
    pub(crate) const PLACEMENT: Self = Self(3);
    /// Shared: a policy. Key: its name.
    pub(crate) const POLICY: Self = Self(4);
    /// Shared: is a policy enabled. Key: its name.
    pub(crate) const POLICY_ENABLED: Self = Self(5);
    /// Shared: an item, what a tribe should have. Key: tribe/item kind/item name.
    pub(crate) const ITEM: Self = Self(6);
    /// Shared: should an item run. Key: as of the item. Absent: it should.
    pub(crate) const ITEM_RUNNING: Self = Self(7);
    /// Shared: what a node said up to an epoch is dropped. Key: node id/epoch. It has no body, so it goes as
    /// tombstones go.
    pub(crate) const FORGOTTEN: Self = Self(8);
    /// Shared: how far a key of the cluster is. Key: its fingerprint. Never its bytes.
    pub(crate) const KEY_PHASE: Self = Self(9);
    /// Shared: what a tribe is for, said apart from its creation. Key: the tribe's name. Body: as of the tribe.
    pub(crate) const DESCRIPTION: Self = Self(10);
    /// Owned: name, address, versions.
    pub(crate) const NODE: Self = Self(64);
    /// Owned: facts.
    pub(crate) const FACTS: Self = Self(65);
    /// Owned: services and blobs offered.
    pub(crate) const OFFERS: Self = Self(66);
    /// Owned: how far it is with the items it should have.
    pub(crate) const STATUS: Self = Self(67);
    /// Owned: fingerprints of the keys it holds, the sealing one first.
    pub(crate) const KEYS: Self = Self(68);

    /// Does this build understand it? What it does not is kept and passed on all the same.
    pub(crate) fn is_known(self) -> bool {
        let (shared, owned) = (Self::TRIBE..=Self::DESCRIPTION, Self::NODE..=Self::KEYS);
        shared.contains(&self) || owned.contains(&self)
    }
}

/// Names an item within its tribe.
pub(crate) type ItemKey = (ItemKind, ItemName);

/// The key of a shared record. Parts of the name are joined by `/`, which no name contains.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(crate) struct Key {
    pub(crate) kind: Kind,
    pub(crate) name: Box<str>,
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.kind.0, self.name)
    }
}

impl fmt::Display for Key {
    /// As people name it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = &*self.name;
        let (first, second) = name.split_once('/').unwrap_or((name, ""));
        match self.kind {
            Kind::TRIBE | Kind::FLOOR => write!(f, "tribe `{name}`"),
            Kind::DESCRIPTION => write!(f, "description of tribe `{name}`"),
            Kind::PLACEMENT => write!(f, "node `{second}` in tribe `{first}`"),
            Kind::POLICY => write!(f, "policy `{name}`"),
            Kind::POLICY_ENABLED => write!(f, "switch of policy `{name}`"),
            Kind::ITEM | Kind::ITEM_RUNNING => {
                let (kind, item) = second.split_once('/').unwrap_or(("item", second));
                let of = if self.kind == Kind::ITEM { "" } else { "switch of " };
                write!(f, "{of}{kind} `{item}` of tribe `{first}`")
            }
            Kind::FORGOTTEN => write!(f, "forgotten node `{first}`"),
            Kind::KEY_PHASE => write!(f, "key `{name}`"),
            Kind(kind) => write!(f, "`{name}` of kind {kind}"),
        }
    }
}

impl Key {
    pub(crate) fn new(kind: Kind, name: &str) -> Self {
        Self { kind, name: name.into() }
    }

    pub(crate) fn pair(kind: Kind, first: &str, second: &str) -> Self {
        Self { kind, name: format!("{first}/{second}").into() }
    }

    /// Of an item, or of what concerns it.
    pub(crate) fn item(kind: Kind, tribe: &TribeName, item: &ItemKey) -> Self {
        Self { kind, name: format!("{tribe}/{}/{}", item.0, item.1).into() }
    }

    /// Of a node that is forgotten.
    pub(crate) fn forgotten(node: NodeId, epoch: u64) -> Self {
        Self { kind: Kind::FORGOTTEN, name: format!("{node}/{epoch}").into() }
    }

    /// The node that is forgotten, and up to which epoch.
    pub(crate) fn as_forgotten(&self) -> Option<(NodeId, u64)> {
        let (node, epoch) = self.name.split_once('/')?;
        let (node, epoch) = (node.parse().ok()?, epoch.parse().ok()?);
        // One key for one fact: other spellings of the same numbers say nothing.
        (self.kind == Kind::FORGOTTEN && Self::forgotten(node, epoch) == *self)
            .then_some((node, epoch))
    }

    /// Of the phase of a key.
    pub(crate) fn key_phase(id: KeyId) -> Self {
        Self { kind: Kind::KEY_PHASE, name: id.to_string().into() }
    }

    /// The key whose phase it is.
    pub(crate) fn as_key_phase(&self) -> Option<KeyId> {
        let id = self.name.parse().ok()?;
        (self.kind == Kind::KEY_PHASE && Self::key_phase(id) == *self).then_some(id)
    }

    /// The item that a key of three parts names.
    pub(crate) fn as_item(&self) -> Option<(TribeName, ItemKey)> {
        let mut parts = self.name.splitn(3, '/');
        let tribe = TribeName::parse(parts.next()?).ok()?;
        let kind = ItemKind::parse(parts.next()?).ok()?;
        let name = ItemName::parse(parts.next()?).ok()?;
        Some((tribe, (kind, name)))
    }
}

/// A body with the version of its form.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Body {
    pub(crate) version: u8,
    pub(crate) bytes: Bytes,
}

/// Written by anyone; the last writer wins.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Shared {
    pub(crate) key: Key,
    pub(crate) stamp: Stamp,
    /// The stamp this write replaced, to tell a later write from a concurrent one.
    pub(crate) base: Option<Stamp>,
    /// `None` is a tombstone.
    pub(crate) body: Option<Body>,
}

/// Written by one node only, in epochs: a newer epoch replaces the whole map of an older one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Owned {
    pub(crate) owner: NodeId,
    pub(crate) epoch: u64,
    pub(crate) seq: u64,
    pub(crate) kind: Kind,
    pub(crate) body: Body,
}

/// What is replicated.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Record {
    /// Written by anyone.
    Shared(Shared),
    /// Written by its owner.
    Owned(Owned),
}

/// Names one record and one version of it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) enum Version {
    /// Of a shared record.
    Shared(Key, Stamp),
    /// Of an owned record: owner, kind, epoch, seq.
    Owned(NodeId, Kind, u64, u64),
}

impl Version {
    /// The kind of the record.
    pub(crate) fn kind(&self) -> Kind {
        match self {
            Self::Shared(key, _) => key.kind,
            Self::Owned(_, kind, ..) => *kind,
        }
    }

    /// Is this a later version of the same record?
    pub(crate) fn supersedes(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Shared(key, stamp), Self::Shared(other_key, other_stamp)) => {
                key == other_key && stamp >= other_stamp
            }
            (Self::Owned(owner, kind, epoch, seq), Self::Owned(o, k, e, s)) => {
                owner == o && kind == k && (epoch, seq) >= (e, s)
            }
            _ => false,
        }
    }
}

impl Record {
    pub(crate) fn version(&self) -> Version {
        match self {
            Self::Shared(shared) => Version::Shared(shared.key.clone(), shared.stamp),
            Self::Owned(owned) => Version::Owned(owned.owner, owned.kind, owned.epoch, owned.seq),
        }
    }

    /// Is it within the limits that all peers share?
    pub(crate) fn fits(&self) -> bool {
        let body_fits = |body: &Body| body.bytes.len() <= limits::BODY_BYTES;
        match self {
            Self::Shared(shared) => {
                shared.key.name.len() <= limits::KEY_BYTES
                    && shared.body.as_ref().is_none_or(body_fits)
            }
            Self::Owned(owned) => body_fits(&owned.body),
        }
    }
}

/// Sums of these hashes make digests; 64 bits against accidents, not against key holders.
pub(super) struct Hash64(SipHasher13);

impl Hash64 {
    pub(super) fn new(domain: u64) -> Self {
        Self(SipHasher13::new_with_keys(0x7472_6962_6520_6467, domain))
    }

    pub(super) fn number(mut self, number: u64) -> Self {
        self.0.write(&number.to_le_bytes());
        self
    }

    pub(super) fn bytes(mut self, bytes: &[u8]) -> Self {
        self.0.write(&(bytes.len() as u64).to_le_bytes());
        self.0.write(bytes);
        self
    }

    pub(super) fn finish(self) -> u64 {
        self.0.finish()
    }
}

impl Body {
    /// The hash of the body. Larger wins between equal stamps.
    pub(crate) fn hash(&self) -> u64 {
        Hash64::new(1).number(u64::from(self.version)).bytes(&self.bytes).finish()
    }
}

impl Shared {
    /// The rank of this version: stamp, then tombstones above bodies, then the body's hash.
    pub(crate) fn rank(&self) -> (Stamp, u64) {
        (self.stamp, self.body.as_ref().map_or(u64::MAX, Body::hash))
    }
}

impl Key {
    pub(super) fn hash(&self) -> u64 {
        Hash64::new(2).number(u64::from(self.kind.0)).bytes(self.name.as_bytes()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_named_as_people_name_it() {
        let check = |kind, name: &str, expected: &str| {
            assert_eq!(Key::new(kind, name).to_string(), expected);
        };
        check(Kind::TRIBE, "core", "tribe `core`");
        check(Kind::FLOOR, "core", "tribe `core`");
        check(Kind::DESCRIPTION, "core", "description of tribe `core`");
        check(Kind::PLACEMENT, "core/i1", "node `i1` in tribe `core`");
        check(Kind::POLICY, "ubuntu", "policy `ubuntu`");
        check(Kind::POLICY_ENABLED, "ubuntu", "switch of policy `ubuntu`");
        check(Kind::ITEM, "core/task/load", "task `load` of tribe `core`");
        check(Kind::ITEM_RUNNING, "core/task/load", "switch of task `load` of tribe `core`");
        check(Kind::FORGOTTEN, "17/3", "forgotten node `17`");
        check(Kind::KEY_PHASE, "c0799cb5", "key `c0799cb5`");
        check(Kind(40), "later", "`later` of kind 40");
    }
}
