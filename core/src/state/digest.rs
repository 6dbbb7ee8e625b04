//! How replicas compare: sums of hashes, kept up to date with every change.
//!
//! A root is the sum of all hashes of a namespace; a bucket the sum of a 256th of them. Sums commute, so
//! the order of writes does not matter, and a change costs one subtraction and one addition.

use serde::{Deserialize, Serialize};

use super::{
    Key, Kind, Owner, Shared, Stamp, State,
    record::{Body, Hash64},
};
use crate::NodeId;

/// Buckets of one namespace.
const BUCKETS: usize = 256;

/// The sums of one namespace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Buckets(Vec<u64>);

impl Default for Buckets {
    fn default() -> Self {
        Self(vec![0; BUCKETS])
    }
}

impl Buckets {
    /// Adds a hash to the bucket its key falls in.
    pub(crate) fn add(&mut self, key_hash: u64, hash: u64) {
        if let Some(sum) = self.0.get_mut(bucket(key_hash)) {
            *sum = sum.wrapping_add(hash);
        }
    }

    fn remove(&mut self, key_hash: u64, hash: u64) {
        self.add(key_hash, hash.wrapping_neg());
    }

    /// The sum of all.
    pub(crate) fn root(&self) -> u64 {
        self.0.iter().fold(0, |root, sum| root.wrapping_add(*sum))
    }

    /// Which buckets differ. Everything differs from buckets of another shape.
    pub(crate) fn unequal(&self, other: &Self) -> Vec<u8> {
        (0..=u8::MAX)
            .filter(|at| self.0.get(usize::from(*at)) != other.0.get(usize::from(*at)))
            .collect()
    }
}

fn bucket(key_hash: u64) -> usize {
    (key_hash & 0xff) as usize
}

/// A hash of any bytes.
pub(crate) fn hash_of(bytes: &[u8]) -> u64 {
    Hash64::new(6).bytes(bytes).finish()
}

/// Which of 256 buckets a node's entries fall in.
pub(crate) fn node_hash(id: NodeId) -> u64 {
    Hash64::new(3).number(id.0).finish()
}

/// Roots of the two namespaces kept here; the members' is the membership layer's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct Roots {
    pub(crate) owners: u64,
    pub(crate) shared: u64,
    pub(crate) horizon_ms: u64,
}

/// Which version of a shared record a replica holds: key, stamp, body hash.
pub(crate) type SharedEntry = (Key, Stamp, u64);
/// Names an owned record: owner, epoch, kind.
pub(crate) type OwnedKey = (NodeId, u64, Kind);
/// Which version of an owned record a replica holds: owner, epoch, kind, seq, body hash.
pub(crate) type OwnedEntry = (NodeId, u64, Kind, u64, u64);

/// The sums of both namespaces.
#[derive(Debug, Clone, Default)]
pub(super) struct Sums {
    shared: Buckets,
    owners: Buckets,
}

impl Sums {
    pub(super) fn add_shared(&mut self, key: &Key, record: &Shared) {
        self.shared.add(key.hash(), shared_hash(key, record));
    }

    pub(super) fn remove_shared(&mut self, key: &Key, record: &Shared) {
        self.shared.remove(key.hash(), shared_hash(key, record));
    }

    pub(super) fn replace_owner(&mut self, id: NodeId, before: &Owner, after: &Owner) {
        self.owners.remove(node_hash(id), owner_hash(id, before));
        self.owners.add(node_hash(id), owner_hash(id, after));
    }
}

fn shared_hash(key: &Key, record: &Shared) -> u64 {
    let (stamp, body) = record.rank();
    Hash64::new(4).number(key.hash()).number(stamp.time).number(stamp.node.0).number(body).finish()
}

fn owner_hash(id: NodeId, owner: &Owner) -> u64 {
    let sum = |sum: u64, (epoch, kind, slot): (u64, Kind, &super::Slot)| {
        let hash = Hash64::new(5).number(id.0).number(epoch).number(u64::from(kind.0));
        sum.wrapping_add(hash.number(slot.seq).number(slot.body.hash()).finish())
    };
    owner.entries().fold(0, sum)
}

impl State {
    /// The roots to compare with a peer's.
    pub(crate) fn roots(&self) -> Roots {
        Roots {
            owners: self.digest.owners.root(),
            shared: self.digest.shared.root(),
            horizon_ms: self.horizon_ms,
        }
    }

    /// The buckets of owners' records.
    pub(crate) fn owner_buckets(&self) -> &Buckets {
        &self.digest.owners
    }

    /// The buckets of shared records.
    pub(crate) fn shared_buckets(&self) -> &Buckets {
        &self.digest.shared
    }

    /// Versions of all shared records in these buckets.
    pub(crate) fn shared_entries(&self, buckets: &[u8]) -> Vec<SharedEntry> {
        self.shared
            .iter()
            .filter(|(key, _)| buckets.contains(&(bucket(key.hash()) as u8)))
            .map(|(key, held)| (key.clone(), held.stamp, held.rank().1))
            .collect()
    }

    /// Versions of all owned records in these buckets.
    pub(crate) fn owned_entries(&self, buckets: &[u8]) -> Vec<OwnedEntry> {
        self.owners
            .iter()
            .filter(|(id, _)| buckets.contains(&(bucket(node_hash(**id)) as u8)))
            .flat_map(|(id, owner)| {
                owner
                    .entries()
                    .map(|(epoch, kind, slot)| (*id, epoch, kind, slot.seq, Body::hash(&slot.body)))
            })
            .collect()
    }
}
