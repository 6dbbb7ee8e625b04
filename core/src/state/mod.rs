//! Replicated records, their order, and how replicas compare.
//!
//! What people and nodes *say* lives here; what follows from it is computed elsewhere and never stored.
//! There is one way in: a record made here and a record heard from afar both go through
//! [`State::apply`]. It must not know of sockets, peers or the engine.
//!
//! Invariant: applying the same records in any order, any number of times, gives the same state.

mod bodies;
mod digest;
mod record;
mod stamp;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use bytes::Bytes;
use imbl::OrdMap;

pub(crate) use bodies::{
    EnabledBody, FloorBody, Form, ItemBody, KeyPhaseBody, KeysBody, NodeBody, PlacementBody,
    PolicyBody, RunningBody, TribeBody,
};
pub use bodies::{KeyPhase, Placement};
pub(crate) use digest::{Buckets, OwnedEntry, OwnedKey, Roots, SharedEntry, hash_of, node_hash};
pub(crate) use record::{Body, ItemKey, Key, Kind, Owned, Record, Shared, Version};
pub(crate) use stamp::{Clock, Stamp};

use crate::{
    Facts, KeyId, NodeId, NodeName, NodeStatus, Offers, Policy, PolicyName, TribeName, limits,
};

/// All records this node holds, and their reading.
#[derive(Debug, Clone)]
pub(crate) struct State {
    clock: Clock,
    shared: BTreeMap<Key, Held>,
    owners: OrdMap<NodeId, Arc<Owner>>,
    digest: digest::Sums,
    /// Tombstones below this time are collected. Hour-rounded Unix milliseconds; never falls.
    horizon_ms: u64,
    reading: Reading,
}

/// A shared record as it is kept.
#[derive(Debug, Clone)]
struct Held {
    stamp: Stamp,
    base: Option<Stamp>,
    body: Option<Body>,
}

/// The records of one owner, by epoch.
///
/// The newest complete epoch stands, and older ones are gone. Newer ones, of which not all has arrived,
/// wait beside it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Owner {
    standing: u64,
    epochs: BTreeMap<u64, Generation>,
    node: Option<Arc<NodeBody>>,
    facts: Arc<Facts>,
    offers: Arc<Offers>,
    status: Option<NodeStatus>,
    keys: Option<KeysBody>,
}

/// The records of one epoch.
#[derive(Debug, Clone, Default)]
struct Generation(BTreeMap<Kind, Slot>);

#[derive(Debug, Clone)]
struct Slot {
    seq: u64,
    body: Body,
}

/// The shared records this build understands, read.
#[derive(Debug, Default, Clone)]
pub(crate) struct Reading {
    pub(crate) tribes: BTreeMap<TribeName, DescriptionRead>,
    /// What was said of tribes apart.
    descriptions: BTreeMap<TribeName, DescriptionRead>,
    pub(crate) floors: BTreeMap<TribeName, Stamp>,
    pub(crate) placements: BTreeMap<TribeName, BTreeMap<NodeName, Placement>>,
    pub(crate) policies: BTreeMap<PolicyName, PolicyRead>,
    pub(crate) policy_switches: BTreeMap<PolicyName, PolicySwitch>,
    pub(crate) items: BTreeMap<TribeName, BTreeMap<ItemKey, ItemRead>>,
    pub(crate) switches: BTreeMap<TribeName, BTreeMap<ItemKey, SwitchRead>>,
    /// What was said last of each key.
    pub(crate) keys: BTreeMap<KeyId, KeyRead>,
    /// Nodes that are forgotten, up to these epochs.
    forgotten: BTreeMap<NodeId, BTreeSet<u64>>,
}

/// What a record says that a tribe is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DescriptionRead {
    stamp: Stamp,
    description: String,
}

/// A policy record, read.
#[derive(Debug, Clone)]
pub(crate) struct PolicyRead {
    pub(crate) tribe: TribeName,
    pub(crate) text: String,
    /// `None`: not understood here, so it matches nothing here.
    pub(crate) policy: Option<Policy>,
    stamp: Stamp,
    /// It was put switched off.
    off: bool,
}

/// What was said of a policy: does it place nodes?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PolicySwitch {
    stamp: Stamp,
    pub(crate) enabled: bool,
}

/// An item record, read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ItemRead {
    pub(crate) stamp: Stamp,
    pub(crate) document: Bytes,
    /// It was put stopped.
    pub(crate) stopped: bool,
}

/// What was said last of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct KeyRead {
    pub(crate) stamp: Stamp,
    pub(crate) phase: KeyPhase,
}

/// What was said of an item: should it run?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SwitchRead {
    pub(crate) stamp: Stamp,
    /// `None` is a tombstone.
    pub(crate) running: Option<bool>,
}

/// What applying a record did.
#[derive(Debug)]
#[must_use]
pub(crate) enum Applied {
    /// It was news. These records changed, in this order.
    Fresh(Vec<Change>),
    /// What we hold is as new, or newer.
    Stale,
    /// It was refused, and nothing has changed.
    Refused(Refusal),
}

/// Why a record was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// Its stamp lies too far ahead of our clock.
    Ahead,
    /// It breaks a limit.
    TooLarge,
    /// There are too many records.
    Full,
    /// It claims to be ours, from an epoch or sequence we have not reached.
    OurOwn {
        /// The epoch it claims.
        epoch: u64,
    },
}

/// One record that changed.
#[derive(Debug, Clone)]
pub(crate) struct Change {
    /// What changed in the reading.
    pub(crate) what: What,
    /// The write it replaced without having seen it.
    pub(crate) lost: Option<Lost>,
}

/// A write that lost to a concurrent one.
#[derive(Debug, Clone)]
pub(crate) struct Lost {
    pub(crate) writer: NodeId,
    pub(crate) winner: NodeId,
    pub(crate) body: Body,
}

/// What a change was about.
#[derive(Debug, Clone)]
pub(crate) enum What {
    /// A shared record; all there is to know is its key.
    Shared(Key),
    /// An owner's facts, with what they were before.
    Facts(NodeId, Arc<Facts>),
    /// An owner's node record.
    Node(NodeId),
    /// An owner's offers.
    Offers(NodeId),
    /// An owner's status.
    Status,
    /// The keys an owner holds.
    Keys(NodeId),
    /// An owner's record of another kind, or of an epoch that is not complete.
    Owned,
    /// This record is held no longer.
    Gone(Version),
}

impl State {
    pub(crate) fn new() -> Self {
        Self {
            clock: Clock::default(),
            shared: BTreeMap::new(),
            owners: OrdMap::new(),
            digest: digest::Sums::default(),
            horizon_ms: 0,
            reading: Reading::default(),
        }
    }

    /// Takes a record, made here or heard from afar.
    pub(crate) fn apply(&mut self, record: Record, wall_ms: u64) -> Applied {
        if !record.fits() {
            return Applied::Refused(Refusal::TooLarge);
        }
        match record {
            Record::Shared(shared) => self.apply_shared(shared, wall_ms),
            Record::Owned(owned) => self.apply_owned(owned),
        }
    }

    /// A write made here: the record to apply, persist and spread.
    pub(crate) fn write(
        &mut self,
        key: Key,
        body: Option<Body>,
        me: NodeId,
        wall_ms: u64,
    ) -> Record {
        let stamp = Stamp { time: self.clock.tick(wall_ms), node: me };
        let base = self.shared.get(&key).map(|held| held.stamp);
        Record::Shared(Shared { key, stamp, base, body })
    }

    fn apply_shared(&mut self, record: Shared, wall_ms: u64) -> Applied {
        let ahead_ms = limits::STAMP_AHEAD.as_millis() as u64;
        if record.stamp.wall_ms() > wall_ms.saturating_add(ahead_ms) {
            return Applied::Refused(Refusal::Ahead);
        }
        let record = self.floored(record);
        if record.body.is_none() && record.stamp < Stamp::floor(self.horizon_ms) {
            return Applied::Stale;
        }
        let lost = match self.shared.get(&record.key) {
            Some(held) if held.rank() >= record.rank() => return Applied::Stale,
            Some(held) => {
                let concurrent = record.base.is_none_or(|base| base < held.stamp);
                let other = held.stamp.node != record.stamp.node;
                held.body.clone().filter(|_| concurrent && other).map(|body| Lost {
                    writer: held.stamp.node,
                    winner: record.stamp.node,
                    body,
                })
            }
            None if self.shared.len() >= limits::SHARED_RECORDS => {
                return Applied::Refused(Refusal::Full);
            }
            None => None,
        };
        self.clock.observe(record.stamp.time);
        let key = record.key.clone();
        self.hold(record);
        let mut changes = vec![Change { what: What::Shared(key.clone()), lost }];
        if key.kind == Kind::FLOOR {
            changes.extend(self.sink_below_floor(&key.name));
        }
        if let Some((id, epoch)) = key.as_forgotten() {
            changes.extend(self.drop_owner(id, epoch));
        }
        Applied::Fresh(changes)
    }

    /// A dependant at or below its tribe's floor is dead: the same version without a body.
    fn floored(&self, mut record: Shared) -> Shared {
        if let Some(tribe) = record.body.as_ref().and_then(|body| tribe_of(&record.key, body))
            && self.reading.floors.get(&tribe).is_some_and(|floor| record.stamp <= *floor)
        {
            record.body = None;
        }
        record
    }

    /// After a floor rose: everything of the tribe at or below it dies.
    fn sink_below_floor(&mut self, tribe: &str) -> Vec<Change> {
        let dead: Vec<Shared> = self
            .shared
            .iter()
            .filter(|(key, held)| {
                held.body
                    .as_ref()
                    .and_then(|body| tribe_of(key, body))
                    .is_some_and(|of| of.as_str() == tribe)
            })
            .map(|(key, held)| self.floored(held.to_record(key)))
            .filter(|record| record.body.is_none())
            .collect();
        let mut changes = Vec::new();
        for record in dead {
            let (key, stamp) = (record.key.clone(), record.stamp);
            self.hold(record);
            changes.push(What::Shared(key.clone()));
            // A tombstone below the horizon is not kept: a peer that hears of the record later would
            // not take it.
            if stamp < Stamp::floor(self.horizon_ms) {
                self.drop_shared(&key);
                changes.push(What::Gone(Version::Shared(key, stamp)));
            }
        }
        changes.into_iter().map(|what| Change { what, lost: None }).collect()
    }

    /// A node was forgotten: what it said up to this epoch goes.
    pub(crate) fn drop_owner(&mut self, id: NodeId, epoch: u64) -> Vec<Change> {
        let Some(before) = self.owners.get(&id).filter(|owner| owner.oldest_epoch() <= epoch)
        else {
            return Vec::new();
        };
        let (before, after) = (before.clone(), before.above(epoch));
        self.digest.replace_owner(id, &before, &after);
        let changes = before.changes_to(&after, id);
        if after.epochs.is_empty() {
            self.owners.remove(&id);
        } else {
            self.owners.insert(id, Arc::new(after));
        }
        changes.into_iter().map(|what| Change { what, lost: None }).collect()
    }

    /// A record that was deleted so long ago that nobody has its tombstone.
    pub(crate) fn drop_deleted(&mut self, key: &Key) -> Vec<Change> {
        let Some(held) = self.shared.get(key).cloned() else { return Vec::new() };
        self.hold(Shared { body: None, ..held.to_record(key) });
        self.drop_shared(key);
        let gone = What::Gone(Version::Shared(key.clone(), held.stamp));
        [What::Shared(key.clone()), gone].map(|what| Change { what, lost: None }).into()
    }

    fn drop_shared(&mut self, key: &Key) {
        if let Some(held) = self.shared.remove(key) {
            self.digest.remove_shared(key, &held.to_record(key));
            self.reading.forget(key);
        }
    }

    /// Keeps a version, its hash and its reading.
    fn hold(&mut self, record: Shared) {
        if let Some(held) = self.shared.get(&record.key) {
            self.digest.remove_shared(&record.key, &held.to_record(&record.key));
        }
        self.digest.add_shared(&record.key, &record);
        self.reading.read(&record);
        let held = Held { stamp: record.stamp, base: record.base, body: record.body };
        self.shared.insert(record.key, held);
    }

    fn apply_owned(&mut self, record: Owned) -> Applied {
        let id = record.owner;
        if self.reading.is_forgotten(id, record.epoch) {
            return Applied::Stale;
        }
        if self.owners.len() >= limits::OWNERS && !self.owners.contains_key(&id) {
            return Applied::Refused(Refusal::Full);
        }
        let before = self.owners.get(&id).cloned().unwrap_or_default();
        let mut after = Owner::clone(&before);
        match after.take(record) {
            Taken::Fresh => {}
            Taken::Stale => return Applied::Stale,
            Taken::Full => return Applied::Refused(Refusal::Full),
        }
        self.digest.replace_owner(id, &before, &after);
        let changes = before.changes_to(&after, id);
        self.owners.insert(id, Arc::new(after));
        Applied::Fresh(changes.into_iter().map(|what| Change { what, lost: None }).collect())
    }

    /// Collects tombstones below a horizon. Returns what went.
    pub(crate) fn advance_horizon(&mut self, horizon_ms: u64) -> Vec<Key> {
        if horizon_ms <= self.horizon_ms {
            return Vec::new();
        }
        self.horizon_ms = horizon_ms;
        let below = Stamp::floor(horizon_ms);
        let dead: Vec<Key> = self
            .shared
            .iter()
            .filter(|(key, held)| {
                let goes = matches!(key.kind, Kind::FLOOR | Kind::FORGOTTEN);
                held.stamp < below && (held.body.is_none() || goes)
            })
            .map(|(key, _)| key.clone())
            .collect();
        for key in &dead {
            self.drop_shared(key);
        }
        dead
    }

    /// One owner's records.
    pub(crate) fn owner(&self, id: NodeId) -> Option<&Owner> {
        self.owners.get(&id).map(|owner| &**owner)
    }

    /// All owners, by id.
    pub(crate) fn owners(&self) -> impl Iterator<Item = (NodeId, &Owner)> {
        self.owners.iter().map(|(id, owner)| (*id, &**owner))
    }

    /// The shared records this build understands.
    pub(crate) fn reading(&self) -> &Reading {
        &self.reading
    }

    /// How many shared records there are.
    pub(crate) fn shared_len(&self) -> usize {
        self.shared.len()
    }

    /// All records, those of epochs that are not complete too.
    #[cfg(feature = "sim")]
    pub(crate) fn records(&self) -> impl Iterator<Item = Record> {
        let shared = self.shared.iter().map(|(key, held)| Record::Shared(held.to_record(key)));
        let owned = self.owners.iter().flat_map(|(id, owner)| {
            let kinds = owner
                .epochs
                .iter()
                .flat_map(|(epoch, generation)| generation.0.keys().map(|kind| (*epoch, *kind)));
            kinds.filter_map(|(epoch, kind)| owner.record(*id, epoch, kind))
        });
        shared.chain(owned)
    }

    /// When the shared records that are tombstones were written. Floors go as they do.
    #[cfg(feature = "sim")]
    pub(crate) fn tombstones(&self) -> impl Iterator<Item = Stamp> {
        let dead = |(key, held): &(&Key, &Held)| held.body.is_none() || key.kind == Kind::FLOOR;
        self.shared.iter().filter(dead).map(|(_, held)| held.stamp)
    }

    /// Does this node hold this version or a later one?
    pub(crate) fn holds(&self, version: &Version) -> bool {
        match version {
            Version::Shared(key, stamp) => {
                self.shared.get(key).is_some_and(|held| held.stamp >= *stamp)
                    || *stamp < Stamp::floor(self.horizon_ms)
            }
            Version::Owned(id, kind, epoch, seq) => {
                self.owners.get(id).is_some_and(|owner| owner.holds(*kind, *epoch, *seq))
                    || self.reading.is_forgotten(*id, *epoch)
            }
        }
    }

    /// The record a version names, in whatever version it is held.
    pub(crate) fn record(&self, version: &Version) -> Option<Record> {
        match version {
            Version::Shared(key, _) => self.shared(key),
            Version::Owned(owner, kind, epoch, _) => self.owned(*owner, *epoch, *kind),
        }
    }

    /// The kinds an owner's epoch began with, as far as known here.
    pub(crate) fn kinds(&self, id: NodeId, epoch: u64) -> Vec<Kind> {
        let generation = self.owners.get(&id).and_then(|owner| owner.epochs.get(&epoch));
        let node = generation.and_then(|records| records.0.get(&Kind::NODE));
        node.and_then(|slot| NodeBody::from_body(&slot.body))
            .map_or_else(Vec::new, |node| node.kinds)
    }

    /// A shared record.
    pub(crate) fn shared(&self, key: &Key) -> Option<Record> {
        self.shared.get(key).map(|held| Record::Shared(held.to_record(key)))
    }

    /// An owned record of this epoch.
    pub(crate) fn owned(&self, id: NodeId, epoch: u64, kind: Kind) -> Option<Record> {
        self.owners.get(&id)?.record(id, epoch, kind)
    }
}

impl Held {
    fn rank(&self) -> (Stamp, u64) {
        (self.stamp, self.body.as_ref().map_or(u64::MAX, Body::hash))
    }

    fn to_record(&self, key: &Key) -> Shared {
        Shared { key: key.clone(), stamp: self.stamp, base: self.base, body: self.body.clone() }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Taken {
    Fresh,
    Stale,
    Full,
}

impl Owner {
    /// The epoch that stands; 0 if none is complete.
    pub(crate) fn epoch(&self) -> u64 {
        self.standing
    }

    /// The newest epoch heard of.
    pub(crate) fn newest_epoch(&self) -> u64 {
        self.epochs.last_key_value().map_or(0, |(epoch, _)| *epoch)
    }

    fn oldest_epoch(&self) -> u64 {
        self.epochs.first_key_value().map_or(u64::MAX, |(epoch, _)| *epoch)
    }

    /// Its records of later epochs alone.
    fn above(&self, epoch: u64) -> Self {
        let mut after = self.clone();
        after.epochs.retain(|of, _| *of > epoch);
        if after.standing <= epoch {
            after.standing = 0;
            after.read();
        }
        after
    }

    /// What the owner says it is, if its records have arrived and are understood.
    pub(crate) fn node(&self) -> Option<&Arc<NodeBody>> {
        self.node.as_ref()
    }

    /// Its facts; none if none have arrived.
    pub(crate) fn facts(&self) -> &Arc<Facts> {
        &self.facts
    }

    /// What it offers; nothing if it has said nothing in the epoch that stands.
    pub(crate) fn offers(&self) -> &Arc<Offers> {
        &self.offers
    }

    /// How far it is with its items, if it has said so in the epoch that stands.
    pub(crate) fn status(&self) -> Option<&NodeStatus> {
        self.status.as_ref()
    }

    /// The keys it says it holds, the sealing one first.
    pub(crate) fn keys(&self) -> Option<&[KeyId]> {
        self.keys.as_ref().map(|body| body.keys.as_slice())
    }

    fn take(&mut self, record: Owned) -> Taken {
        let Owned { epoch, seq, kind, body, .. } = record;
        if epoch < self.standing {
            return Taken::Stale;
        }
        if !self.epochs.contains_key(&epoch) && self.epochs.len() >= limits::OWNER_EPOCHS {
            // The oldest that waits gives way: it is the least likely to be completed.
            let oldest = self.epochs.keys().copied().find(|waiting| *waiting != self.standing);
            match oldest {
                Some(oldest) if oldest < epoch => self.epochs.remove(&oldest),
                _ => return Taken::Stale,
            };
        }
        let generation = self.epochs.entry(epoch).or_default();
        let taken = generation.put(kind, seq, body);
        // What stands goes on standing, whatever its owner lists later.
        let stands = epoch == self.standing && self.node.is_some();
        if taken == Taken::Fresh && (stands || generation.is_complete()) {
            self.standing = epoch;
            self.epochs = self.epochs.split_off(&epoch);
            self.read();
        }
        taken
    }

    fn read(&mut self) {
        let standing = self.epochs.get(&self.standing);
        let body = |kind| standing.and_then(|records| records.0.get(&kind)).map(|slot| &slot.body);
        let node = body(Kind::NODE).and_then(NodeBody::from_body);
        let facts = body(Kind::FACTS).and_then(Facts::from_body).unwrap_or_default();
        if node.as_ref() != self.node.as_deref() {
            self.node = node.map(Arc::new);
        }
        if facts != *self.facts {
            self.facts = Arc::new(facts);
        }
        let offers = body(Kind::OFFERS).and_then(Offers::from_body).unwrap_or_default();
        let status = body(Kind::STATUS).and_then(NodeStatus::from_body);
        let keys = body(Kind::KEYS).and_then(KeysBody::from_body);
        if offers != *self.offers {
            self.offers = Arc::new(offers);
        }
        self.status = status;
        self.keys = keys;
    }

    /// What changes if these records are replaced by others.
    fn changes_to(&self, after: &Self, id: NodeId) -> Vec<What> {
        let mut changes = Vec::new();
        // Of two that claim one name the later epoch counts.
        if after.node != self.node || after.standing != self.standing {
            changes.push(What::Node(id));
        }
        if after.facts != self.facts {
            changes.push(What::Facts(id, self.facts.clone()));
        }
        if after.offers != self.offers {
            changes.push(What::Offers(id));
        }
        if after.status != self.status {
            changes.push(What::Status);
        }
        if after.keys != self.keys {
            changes.push(What::Keys(id));
        }
        if changes.is_empty() {
            changes.push(What::Owned);
        }
        let gone = self.entries().filter(|(epoch, ..)| !after.epochs.contains_key(epoch));
        changes.extend(
            gone.map(|(epoch, kind, slot)| What::Gone(Version::Owned(id, kind, epoch, slot.seq))),
        );
        changes
    }

    fn holds(&self, kind: Kind, epoch: u64, seq: u64) -> bool {
        let slot = self.epochs.get(&epoch).and_then(|records| records.0.get(&kind));
        epoch < self.standing || slot.is_some_and(|slot| slot.seq >= seq)
    }

    fn record(&self, owner: NodeId, epoch: u64, kind: Kind) -> Option<Record> {
        let slot = self.epochs.get(&epoch)?.0.get(&kind)?;
        Some(Record::Owned(Owned { owner, epoch, seq: slot.seq, kind, body: slot.body.clone() }))
    }

    fn entries(&self) -> impl Iterator<Item = (u64, Kind, &Slot)> {
        self.epochs.iter().flat_map(|(epoch, records)| {
            records.0.iter().map(move |(kind, slot)| (*epoch, *kind, slot))
        })
    }
}

impl Generation {
    /// All kinds its node record lists have arrived, node and facts among them.
    fn is_complete(&self) -> bool {
        let has = |kind: &Kind| self.0.contains_key(kind);
        has(&Kind::FACTS)
            && self.0.get(&Kind::NODE).is_some_and(|slot| {
                NodeBody::from_body(&slot.body).is_none_or(|node| node.kinds.iter().all(has))
            })
    }

    fn put(&mut self, kind: Kind, seq: u64, body: Body) -> Taken {
        match self.0.get(&kind) {
            // Two nodes that share an id may write the same number: all must keep the same one.
            Some(slot) if (slot.seq, slot.body.hash()) >= (seq, body.hash()) => {
                return Taken::Stale;
            }
            None if self.0.len() >= limits::OWNED_RECORDS => return Taken::Full,
            _ => {}
        }
        self.0.insert(kind, Slot { seq, body });
        Taken::Fresh
    }
}

/// The tribe a shared record hangs on.
fn tribe_of(key: &Key, body: &Body) -> Option<TribeName> {
    match key.kind {
        Kind::TRIBE | Kind::DESCRIPTION => TribeName::parse(&key.name).ok(),
        Kind::PLACEMENT | Kind::ITEM | Kind::ITEM_RUNNING => {
            TribeName::parse(key.name.split_once('/')?.0).ok()
        }
        Kind::POLICY => PolicyBody::from_body(body).map(|policy| policy.tribe),
        _ => None,
    }
}

impl Reading {
    /// Reads one record that is now held; what is not understood reads as absent.
    fn read(&mut self, record: &Shared) {
        let name = &*record.key.name;
        let body = record.body.as_ref();
        match record.key.kind {
            Kind::TRIBE | Kind::DESCRIPTION => {
                let read = |body: &Body| {
                    let TribeBody { description } = TribeBody::from_body(body)?;
                    Some(DescriptionRead { stamp: record.stamp, description })
                };
                let is_apart = record.key.kind == Kind::DESCRIPTION;
                let map = if is_apart { &mut self.descriptions } else { &mut self.tribes };
                read_into(map, TribeName::parse(name), body, read)
            }
            Kind::FLOOR => {
                read_into(&mut self.floors, TribeName::parse(name), body, |_| Some(record.stamp));
            }
            Kind::PLACEMENT => self.read_placement(name, body),
            Kind::POLICY => {
                let read = |body: &Body| read_policy(body, record.stamp);
                read_into(&mut self.policies, PolicyName::parse(name), body, read)
            }
            Kind::POLICY_ENABLED => {
                let read = |body: &Body| {
                    let EnabledBody { enabled } = EnabledBody::from_body(body)?;
                    Some(PolicySwitch { stamp: record.stamp, enabled })
                };
                read_into(&mut self.policy_switches, PolicyName::parse(name), body, read)
            }
            Kind::ITEM => {
                let item = body.and_then(ItemBody::from_body).map(|body| {
                    let ItemBody { document, stopped } = body;
                    ItemRead { stamp: record.stamp, document, stopped }
                });
                read_item_into(&mut self.items, &record.key, item);
            }
            Kind::ITEM_RUNNING => {
                let running = body.and_then(RunningBody::from_body).map(|body| body.running);
                let switch = SwitchRead { stamp: record.stamp, running };
                read_item_into(&mut self.switches, &record.key, Some(switch));
            }
            Kind::KEY_PHASE => {
                if let Some(id) = record.key.as_key_phase() {
                    let read = |body| KeyPhaseBody::from_body(body).map(|body| body.phase);
                    match body.map_or(Some(KeyPhase::Removed), read) {
                        Some(phase) => {
                            self.keys.insert(id, KeyRead { stamp: record.stamp, phase });
                        }
                        None => {
                            self.keys.remove(&id);
                        }
                    }
                }
            }
            Kind::FORGOTTEN => {
                if let Some((id, epoch)) = record.key.as_forgotten() {
                    self.forgotten.entry(id).or_default().insert(epoch);
                }
            }
            _ => {}
        }
    }

    /// A record is held no longer, not even its tombstone.
    fn forget(&mut self, key: &Key) {
        match key.kind {
            Kind::FLOOR => {
                if let Ok(tribe) = TribeName::parse(&key.name) {
                    self.floors.remove(&tribe);
                }
            }
            Kind::ITEM_RUNNING => read_item_into(&mut self.switches, key, None),
            Kind::KEY_PHASE => {
                if let Some(id) = key.as_key_phase() {
                    self.keys.remove(&id);
                }
            }
            Kind::FORGOTTEN => {
                if let Some((id, epoch)) = key.as_forgotten()
                    && let Some(epochs) = self.forgotten.get_mut(&id)
                {
                    epochs.remove(&epoch);
                    if epochs.is_empty() {
                        self.forgotten.remove(&id);
                    }
                }
            }
            _ => {}
        }
    }

    /// The epoch up to which a node is forgotten, if it is.
    pub(crate) fn forgotten(&self, id: NodeId) -> Option<u64> {
        self.forgotten.get(&id)?.last().copied()
    }

    fn is_forgotten(&self, id: NodeId, epoch: u64) -> bool {
        self.forgotten(id).is_some_and(|forgotten| epoch <= forgotten)
    }

    /// What a tribe is for; `None` if there is none of that name.
    ///
    /// Whoever creates one may say it in its record, and says it apart as well: one that comes into
    /// being with a policy says nothing, and takes nothing back by being written later.
    pub(crate) fn description(&self, tribe: &str) -> Option<&str> {
        let own = self.tribes.get(tribe)?;
        Some(&self.apart(tribe).unwrap_or(own).description)
    }

    fn apart(&self, tribe: &str) -> Option<&DescriptionRead> {
        let own = self.tribes.get(tribe)?;
        let counts =
            |apart: &&DescriptionRead| own.description.is_empty() || own.stamp < apart.stamp;
        self.descriptions.get(tribe).filter(counts)
    }

    /// Is what a tribe is for what was said apart from its creation?
    pub(crate) fn counts_apart(&self, tribe: &str) -> bool {
        self.apart(tribe).is_some()
    }

    /// Was anything said apart of a tribe, or of an earlier one of that name?
    pub(crate) fn is_said_apart(&self, tribe: &str) -> bool {
        self.descriptions.contains_key(tribe)
    }

    /// Does a policy place nodes? One that was put switched off says so itself, against any earlier
    /// switch: the news of its own may come after it.
    pub(crate) fn is_enabled(&self, policy: &str) -> bool {
        let read = self.policies.get(policy);
        let off = read.is_some_and(|read| read.off);
        match self.policy_switches.get(policy) {
            None => !off,
            Some(switch) => {
                let is_older = read.is_some_and(|read| switch.stamp < read.stamp);
                switch.enabled && !(off && is_older)
            }
        }
    }

    /// An item.
    pub(crate) fn item(&self, tribe: &TribeName, item: &ItemKey) -> Option<&ItemRead> {
        self.items.get(tribe)?.get(item)
    }

    /// The switch of an item, if it ever had one.
    pub(crate) fn switch(&self, tribe: &TribeName, item: &ItemKey) -> Option<SwitchRead> {
        self.switches.get(tribe)?.get(item).copied()
    }

    /// Should an item run, and when was that, or its document, last written?
    ///
    /// A switch is forgotten together with its item. If the news of the one comes before the news of the
    /// other, an item that was stopped must not run for a moment. Nor must one that was put stopped: it says
    /// so itself, against any earlier switch.
    pub(crate) fn running(&self, tribe: &TribeName, item: &ItemKey) -> Option<(bool, Stamp)> {
        let ItemRead { stamp: put, stopped, .. } = *self.item(tribe, item)?;
        let Some(switch) = self.switch(tribe, item) else { return Some((!stopped, put)) };
        let is_older = switch.stamp < put;
        let running = match stopped && is_older {
            true => false,
            false => switch.running.unwrap_or(is_older),
        };
        Some((running, switch.stamp.max(put)))
    }

    fn read_placement(&mut self, name: &str, body: Option<&Body>) {
        let Some((tribe, node)) = name.split_once('/') else { return };
        let (Ok(tribe), Ok(node)) = (TribeName::parse(tribe), NodeName::parse(node)) else {
            return;
        };
        let placement = body
            .and_then(PlacementBody::from_body)
            .map_or(Placement::Automatic, |body| body.placement);
        let placements = self.placements.entry(tribe.clone()).or_default();
        if placement == Placement::Automatic {
            placements.remove(&node);
        } else {
            placements.insert(node, placement);
        }
        if placements.is_empty() {
            self.placements.remove(&tribe);
        }
    }
}

fn read_into<K: Ord, V, E>(
    map: &mut BTreeMap<K, V>,
    key: Result<K, E>,
    body: Option<&Body>,
    read: impl FnOnce(&Body) -> Option<V>,
) {
    let Ok(key) = key else { return };
    match body.and_then(read) {
        Some(value) => map.insert(key, value),
        None => map.remove(&key),
    };
}

fn read_item_into<V>(
    map: &mut BTreeMap<TribeName, BTreeMap<ItemKey, V>>,
    key: &Key,
    value: Option<V>,
) {
    let Some((tribe, item)) = key.as_item() else { return };
    let items = map.entry(tribe.clone()).or_default();
    match value {
        Some(value) => items.insert(item, value),
        None => items.remove(&item),
    };
    if items.is_empty() {
        map.remove(&tribe);
    }
}

fn read_policy(body: &Body, stamp: Stamp) -> Option<PolicyRead> {
    let PolicyBody { tribe, level, text, off } = PolicyBody::from_body(body)?;
    let policy = Policy::parse(&text).ok().filter(|_| level <= crate::LEVEL);
    Some(PolicyRead { tribe, text, policy, stamp, off })
}
