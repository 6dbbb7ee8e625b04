//! The keys of the cluster: what each node holds, and how all come to seal with one.
//!
//! A shared record says how far each key is: installed, in use or removed. Of several in use the one written
//! last seals, so that two who exchange keys at one time end with one. Key bytes are in no record: who hears
//! of a key it does not hold asks a member for it over a stream.
//!
//! ```text
//! a member without the key            a member that holds it
//! Hello, WantKeys              ->
//!                              <-     Hello, Keys, Done
//! ```
//!
//! Under a key that was removed, and is kept for a while, a stream carries [`Frame::Keys`] and nothing
//! else: whoever was absent is told the new keys, and calls again with one of them. Invariant: the keyring
//! is on disk before anyone is told that this node holds a key.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    time::Duration,
};

use rand::RngExt;
use serde_json::json;

use super::{
    CommandError, Engine, EventKind, KeyInfo, KeyMember, KeyStatus, MemberState, Now, Output,
    Reply, StreamId, Ticket, Written, persist::Pending, timer::Timer,
};
use crate::{
    Key as SealingKey, KeyChange, KeyId, Keyring, NodeId, NodeName, codec,
    keyring::{KeyBytes, StoredKeyring},
    limits,
    state::{Form, Key, KeyPhase, KeyPhaseBody, KeyRead, KeysBody, Record, Version},
    wire::frame::{Datagram, Frame, ToldKey},
};

/// Where the keyring is kept, among what concerns this node alone.
pub(super) const KEYRING_KEY: &[u8] = b"keyring";

/// A key that was heard of is asked for within this time, so that not all ask at once.
const FETCH_SPREAD: Duration = Duration::from_millis(500);
/// And after a failure again, first after this long.
const FETCH_AGAIN: Duration = Duration::from_millis(400);
const FETCH_MOST: Duration = Duration::from_secs(30);
/// What a node holds is told to all this long after it changed: two changes are often one.
const TELL_LEAST: Duration = Duration::from_millis(500);
const TELL_MOST: Duration = Duration::from_millis(2000);
/// Who was handed the keys calls again this soon.
const RETURN_LEAST: Duration = Duration::from_millis(10);
const RETURN_MOST: Duration = Duration::from_millis(200);

/// The keys this node holds, and what it knows of the others'.
#[derive(Debug)]
pub(super) struct Keys {
    ring: Keyring,
    /// In the key file.
    configured: Vec<KeyId>,
    /// On disk, the sealing one first.
    durable: Vec<KeyId>,
    /// What members answered when they were asked, since their last record.
    told: BTreeMap<NodeId, Vec<KeyId>>,
    /// Failures to fetch a key.
    tries: u32,
    warned: BTreeSet<KeyId>,
    /// Records are being read: nothing follows from one alone.
    loading: bool,
}

impl Keys {
    pub(super) fn new(configured: &Keyring) -> Self {
        let ids: Vec<KeyId> = configured.ids().collect();
        Self {
            ring: configured.clone(),
            configured: ids.clone(),
            durable: ids,
            told: BTreeMap::new(),
            tries: 0,
            warned: BTreeSet::new(),
            loading: true,
        }
    }

    pub(super) fn ring(&self) -> &Keyring {
        &self.ring
    }

    pub(super) fn set_durable(&mut self, keys: Vec<KeyId>) {
        self.durable = keys;
    }

    /// A record says what this node holds, which is newer than what it answered.
    pub(super) fn forget_told(&mut self, id: NodeId) {
        self.told.remove(&id);
    }
}

impl Engine {
    /// The keyring this node uses. It changes only in a turn of the engine.
    pub(crate) fn keyring(&self) -> &Keyring {
        self.keys.ring()
    }

    /// Makes one keyring of what was stored and what is configured, once all records are read.
    pub(super) fn load_keys(&mut self, stored: Option<StoredKeyring>, now: Now) {
        let mut ring = self.config.keyring.clone();
        if let Some(stored) = stored
            && !ring.is_plaintext()
            && !self.state.reading().keys.is_empty()
        {
            let stored = stored.into_ring();
            let known =
                |id: &KeyId| stored.may_open(*id) || self.state.reading().keys.contains_key(id);
            if self.keys.configured.iter().any(known) {
                ring = merge(stored, &ring, &self.state.reading().keys);
                self.keys.durable = ring.ids().collect();
            } else {
                // Keys that were handed out anew: the old ones are not to come back.
                tracing::warn!(
                    "no key of the key file was ever a key of this cluster, so the keys stored in the data directory are not used any more"
                );
            }
        }
        self.sealer.set_keyring(ring.clone());
        self.keys.ring = ring;
        if !self.state.reading().keys.is_empty() {
            self.timers.set_by(Timer::TellKeys, now.mono + TELL_LEAST);
        }
    }

    /// From here on the keyring follows the records. A node that was killed may have kept a record and not
    /// what followed from it.
    pub(super) fn start_keys(&mut self, now: Now) {
        self.keys.loading = false;
        self.settle_keys(now);
    }

    pub(super) fn install_key(
        &mut self,
        ticket: Ticket,
        key: SealingKey,
        now: Now,
    ) -> Result<(), CommandError> {
        self.check_encrypted()?;
        let id = key.id();
        if let Some(read) = self.state.reading().keys.get(&id).copied() {
            match read.phase {
                KeyPhase::Removed => return Err(CommandError::KeyRemoved(id)),
                _ if self.keys.ring.opens(id) => {
                    self.reply_key(ticket, id, read);
                    return Ok(());
                }
                KeyPhase::Installed | KeyPhase::InUse => {}
            }
        }
        let before = self.keys.ring.clone();
        let _ = self.keys.ring.install(key)?;
        let version = match self.write_phase(id, KeyPhase::Installed, now) {
            Ok(version) => version,
            Err(error) => {
                self.keys.ring = before;
                return Err(error);
            }
        };
        self.keys_changed(now);
        self.reply_written(ticket, vec![version]);
        Ok(())
    }

    pub(super) fn use_key(
        &mut self,
        ticket: Ticket,
        id: KeyId,
        force: bool,
        now: Now,
    ) -> Result<(), CommandError> {
        self.check_encrypted()?;
        let read = self.known_key(id)?;
        if read.is_some_and(|read| read.phase == KeyPhase::Removed) {
            return Err(CommandError::KeyRemoved(id));
        }
        if !self.keys.ring.opens(id) {
            return Err(CommandError::KeyNotHeld(id));
        }
        if let Some(read) = read.filter(|read| read.phase == KeyPhase::InUse)
            && self.keys.ring.sealing_id() == id
        {
            self.reply_key(ticket, id, read);
            return Ok(());
        }
        if !force {
            self.check_held_by_all(id, now)?;
        }
        let version = self.write_phase(id, KeyPhase::InUse, now)?;
        self.reply_written(ticket, vec![version]);
        Ok(())
    }

    pub(super) fn remove_key(
        &mut self,
        ticket: Ticket,
        id: KeyId,
        force: bool,
        now: Now,
    ) -> Result<(), CommandError> {
        self.check_encrypted()?;
        let read = self.known_key(id)?;
        if let Some(read) = read.filter(|read| read.phase == KeyPhase::Removed) {
            self.reply_key(ticket, id, read);
            return Ok(());
        }
        let sealing = self.keys.ring.sealing_id();
        if sealing == id {
            return Err(CommandError::KeySeals(id));
        }
        if !force {
            self.check_held_by_all(sealing, now)?;
        }
        // Who comes back is told which key seals, by its record.
        let sealing_read = self.state.reading().keys.get(&sealing);
        if sealing_read.is_none_or(|read| read.phase != KeyPhase::InUse) {
            let version = self.write_phase(sealing, KeyPhase::InUse, now)?;
            self.persist(Pending { versions: vec![version], ..Pending::default() });
        }
        let version = self.write_phase(id, KeyPhase::Removed, now)?;
        self.reply_written(ticket, vec![version]);
        self.forget_removed_keys(now)
    }

    /// Answers how far all keys are, and asks the members that may be further by now.
    pub(super) fn report_keys(&mut self, ticket: Ticket, now: Now) -> Result<(), CommandError> {
        self.check_encrypted()?;
        let status = self.key_status();
        self.ask_keys(now);
        self.outputs.push_back(Output::Reply(ticket, Ok(Reply::Keys(status))));
        Ok(())
    }

    fn check_encrypted(&self) -> Result<(), CommandError> {
        if self.keys.ring.is_plaintext() { Err(CommandError::Plaintext) } else { Ok(()) }
    }

    fn known_key(&self, id: KeyId) -> Result<Option<KeyRead>, CommandError> {
        let read = self.state.reading().keys.get(&id).copied();
        if read.is_none() && !self.keys.ring.opens(id) {
            return Err(CommandError::UnknownKey(id));
        }
        Ok(read)
    }

    fn check_held_by_all(&mut self, key: KeyId, now: Now) -> Result<(), CommandError> {
        let nodes: Vec<NodeName> =
            self.key_members().filter(|member| !member.holds(key)).map(|of| of.name).collect();
        if nodes.is_empty() {
            return Ok(());
        }
        // They may hold it, and not have said so yet.
        self.ask_keys(now);
        Err(CommandError::KeyLacking { key, nodes })
    }

    fn write_phase(
        &mut self,
        id: KeyId,
        phase: KeyPhase,
        now: Now,
    ) -> Result<Version, CommandError> {
        self.write(Key::key_phase(id), Some(KeyPhaseBody { phase }.to_body()), now)
    }

    fn reply_key(&mut self, ticket: Ticket, id: KeyId, read: KeyRead) {
        let versions = vec![Version::Shared(Key::key_phase(id), read.stamp)];
        self.outputs.push_back(Output::Reply(ticket, Ok(Reply::Written(Written { versions }))));
    }

    /// Of keys that were removed long ago nothing is kept but a tombstone.
    fn forget_removed_keys(&mut self, now: Now) -> Result<(), CommandError> {
        let mut removed: Vec<(KeyRead, Key)> = self
            .state
            .reading()
            .keys
            .iter()
            .filter(|(_, read)| read.phase == KeyPhase::Removed)
            .map(|(id, read)| (*read, Key::key_phase(*id)))
            .filter(|(_, key)| match self.state.shared(key) {
                Some(Record::Shared(record)) => record.body.is_some(),
                _ => false,
            })
            .collect();
        removed.sort_by_key(|(read, _)| std::cmp::Reverse(read.stamp));
        for (_, key) in removed.into_iter().skip(limits::KEYS_REMOVED) {
            let version = self.write(key, None, now)?;
            self.persist(Pending { versions: vec![version], ..Pending::default() });
        }
        Ok(())
    }

    /// The record of a key came, ours or another's.
    pub(super) fn follow_key(&mut self, id: KeyId, now: Now) {
        if self.keys.loading {
            return;
        }
        if let Some(read) = self.state.reading().keys.get(&id).copied() {
            let kind = match read.phase {
                KeyPhase::Installed => EventKind::KeyInstalled,
                KeyPhase::InUse => EventKind::KeyUsed,
                KeyPhase::Removed => EventKind::KeyRemoved,
            };
            let by = self.member_name(read.stamp.node);
            tracing::info!(key = %id, %by, phase = read.phase.as_str(), "a key of the cluster changed");
            self.tell(kind, &id.to_string(), json!({ "by": by }));
        }
        self.settle_keys(now);
    }

    /// Makes the keyring what the records say, as far as this node holds the keys.
    fn settle_keys(&mut self, now: Now) {
        if self.keys.loading || self.keys.ring.is_plaintext() {
            return;
        }
        let phases = self.state.reading().keys.clone();
        let ring = &mut self.keys.ring;
        let mut changed = false;
        for (id, read) in &phases {
            if read.phase != KeyPhase::Removed && !ring.opens(*id) {
                changed |= ring.restore(*id) == KeyChange::Done;
            }
        }
        if let Some(id) = wanted(ring, &phases) {
            changed |= ring.use_key(id) == KeyChange::Done;
        }
        for (id, read) in phases.iter().filter(|(_, read)| read.phase == KeyPhase::Removed) {
            changed |= ring.retire(*id, read.stamp.wall_ms()) == KeyChange::Done;
        }
        let is_missing =
            |(id, read): (&KeyId, &KeyRead)| read.phase != KeyPhase::Removed && !ring.opens(*id);
        if phases.iter().any(is_missing) {
            let delay = self.jitter(Duration::ZERO, FETCH_SPREAD);
            self.timers.set_by(Timer::Keys, now.mono + delay);
        }
        self.warn_of_key_file(&phases);
        if changed {
            self.keys_changed(now);
        }
    }

    fn warn_of_key_file(&mut self, phases: &BTreeMap<KeyId, KeyRead>) {
        for id in self.keys.configured.clone() {
            let removed = |id| phases.get(&id).is_some_and(|read| read.phase == KeyPhase::Removed);
            // Which key seals now may not have come yet.
            let sealing = self.keys.ring.sealing_id();
            if removed(id) && !removed(sealing) && self.keys.warned.insert(id) {
                tracing::warn!(key = %id, %sealing, "a key in the key file of this node was removed from the cluster, replace the file by one with the sealing key");
            }
        }
    }

    /// The keyring is another one: it goes to disk, to the streams, and what is sealed follows it.
    fn keys_changed(&mut self, now: Now) {
        let ring = self.keys.ring.clone();
        tracing::info!(keyring = ?ring, "the keyring of this node changed");
        self.rev += 1;
        self.sealer.set_keyring(ring.clone());
        for (peer, key) in self.peers_without(ring.sealing_id()) {
            self.sealer.hear(peer, key);
        }
        self.store_local(KEYRING_KEY, Some(codec::encode(&StoredKeyring::new(&ring))));
        let keys = Some(ring.ids().collect());
        self.outputs.push_back(Output::Keys(ring));
        self.persist(Pending { keys, ..Pending::default() });
        self.end_streams_of_removed_keys(now);
    }

    /// The keyring is on disk: now the others may know.
    pub(super) fn keys_persisted(&mut self, keys: Vec<KeyId>, now: Now) {
        self.keys.set_durable(keys);
        let delay = self.jitter(TELL_LEAST, TELL_MOST);
        self.timers.set_by(Timer::TellKeys, now.mono + delay);
    }

    /// Members that are known not to hold this key, with one that they do hold.
    fn peers_without(&self, key: KeyId) -> Vec<(SocketAddr, KeyId)> {
        let peers = self.reachable.iter().filter_map(|(id, identity)| {
            let held = self.held_by(*id)?;
            let other = || held.iter().copied().find(|held| self.keys.ring.opens(*held));
            (!held.contains(&key)).then(other).flatten().map(|other| (identity.address, other))
        });
        peers.collect()
    }

    /// The keys a node said it holds.
    fn held_by(&self, id: NodeId) -> Option<&[KeyId]> {
        if id == self.config.id {
            return Some(&self.keys.durable);
        }
        let told = self.keys.told.get(&id).map(Vec::as_slice);
        told.or_else(|| self.state.owner(id)?.keys())
    }

    /// Which keys this node holds is written, so that all know. In a cluster that never changed a key nobody
    /// has to.
    pub(super) fn publish_keys(&mut self, now: Now) {
        if !self.state.reading().keys.is_empty() {
            let body = KeysBody { keys: self.keys.durable.clone() };
            self.publish_own_keys(&body, now);
        }
    }

    /// Members that are known and have neither left nor been forgotten.
    fn key_members(&self) -> impl Iterator<Item = KeyMember> {
        self.holders().filter_map(|(id, _, node)| {
            let presence = self.presence(id);
            (presence != MemberState::Left).then(|| KeyMember {
                name: node.name.clone(),
                alive: presence == MemberState::Alive,
                keys: self.held_by(id).map(<[KeyId]>::to_vec),
            })
        })
    }

    fn key_status(&self) -> KeyStatus {
        let sealing = self.keys.ring.sealing_id();
        let phases = &self.state.reading().keys;
        let recorded = phases.iter().map(|(id, read)| KeyInfo {
            id: *id,
            phase: match read.phase {
                KeyPhase::Removed => KeyPhase::Removed,
                _ if *id == sealing => KeyPhase::InUse,
                _ => KeyPhase::Installed,
            },
            held: self.keys.ring.opens(*id),
            written_ms: Some(read.stamp.wall_ms()),
            stamp: Some(read.stamp),
        });
        let others = self.keys.ring.ids().filter(|id| !phases.contains_key(id));
        let others = others.map(|id| KeyInfo {
            id,
            phase: if id == sealing { KeyPhase::InUse } else { KeyPhase::Installed },
            held: true,
            written_ms: None,
            stamp: None,
        });
        KeyStatus { keys: others.chain(recorded).collect(), members: self.key_members().collect() }
    }

    /// Asks the live members whose keys are, as far as known, not what they come to be.
    fn ask_keys(&mut self, now: Now) {
        let ring = &self.keys.ring;
        let phases = &self.state.reading().keys;
        let settled = |held: &[KeyId]| {
            held.first() == Some(&ring.sealing_id())
                && phases
                    .iter()
                    .all(|(id, read)| held.contains(id) == (read.phase != KeyPhase::Removed))
        };
        let asked: Vec<SocketAddr> = self
            .reachable
            .iter()
            .filter(|(id, _)| !self.held_by(**id).is_some_and(settled))
            .map(|(_, identity)| identity.address)
            .collect();
        for to in asked {
            self.send(to, &Datagram::AskKeys, now);
        }
    }

    pub(super) fn answer_ask_keys(&mut self, from: SocketAddr, now: Now) {
        self.send(from, &Datagram::HeldKeys(self.keys.durable.clone()), now);
    }

    pub(super) fn take_held_keys(&mut self, from: SocketAddr, keys: Vec<KeyId>) {
        let member = self.reachable.iter().find(|(_, identity)| identity.address == from);
        if let Some((id, _)) = member
            && keys.len() <= limits::KEYS
        {
            self.keys.told.insert(*id, keys);
        }
    }

    /// Asks a member for the keys this node lacks: the one that wrote of them, then any.
    pub(super) fn fetch_keys(&mut self, now: Now) {
        let phases = &self.state.reading().keys;
        let missing: Vec<(KeyId, KeyRead)> = phases
            .iter()
            .filter(|(id, read)| read.phase != KeyPhase::Removed && !self.keys.ring.opens(**id))
            .map(|(id, read)| (*id, *read))
            .collect();
        let Some((_, newest)) = missing.iter().max_by_key(|(_, read)| read.stamp).copied() else {
            self.keys.tries = 0;
            return;
        };
        let tries = self.keys.tries;
        self.keys.tries = tries.saturating_add(1);
        let wait = FETCH_AGAIN.saturating_mul(1 << tries.min(7)).min(FETCH_MOST);
        let delay = self.jitter(wait / 2, wait);
        self.timers.set_by(Timer::Keys, now.mono + delay);
        let ids: Vec<KeyId> = missing.into_iter().map(|(id, _)| id).collect();
        let writer = self.reachable.get(&newest.stamp.node).filter(|_| tries.is_multiple_of(2));
        let members = self.reachable.len();
        let chosen = if members == 0 { 0 } else { self.rng.random_range(0..members) };
        let any = self.reachable.values().nth(chosen);
        if let Some(to) = writer.or(any).map(|identity| identity.address) {
            self.dial_keys(to, ids, now);
        }
    }

    /// These keys, as far as this node holds them.
    pub(super) fn tell_keys(&self, asked: &[KeyId]) -> Frame {
        let asked: BTreeSet<&KeyId> = asked.iter().collect();
        Frame::Keys(asked.into_iter().filter_map(|id| self.told_key(*id)).collect())
    }

    /// All there is to tell someone who comes with a key that was removed.
    pub(super) fn tell_all_keys(&self) -> Frame {
        let all = self.state.reading().keys.keys();
        Frame::Keys(all.filter_map(|id| self.told_key(*id)).collect())
    }

    fn told_key(&self, id: KeyId) -> Option<ToldKey> {
        let record = self.state.shared(&Key::key_phase(id))?;
        let removed = self.state.reading().keys.get(&id)?.phase == KeyPhase::Removed;
        let key = self.keys.ring.find(id).filter(|_| !removed).cloned().map(KeyBytes);
        Some(ToldKey { record, key })
    }

    /// Takes keys that a member told.
    pub(super) fn take_keys(&mut self, id: StreamId, keys: Vec<ToldKey>, now: Now) {
        let mut got = Vec::new();
        for ToldKey { record, key } in keys {
            let Record::Shared(shared) = &record else { continue };
            let Some(named) = shared.key.as_key_phase() else { continue };
            // The key first: the record alone would have it asked for.
            if let Some(KeyBytes(key)) = key
                && key.id() == named
                && shared.body.is_some()
                && !self.keys.ring.may_open(named)
            {
                match self.keys.ring.install(key) {
                    Ok(_) => got.push(named),
                    Err(error) => tracing::warn!(key = %named, "a key is not installed: {error}"),
                }
            }
            let version = record.version();
            if self.take(record, now) == super::Verdict::Fresh {
                self.spread(&version, now);
            }
        }
        if !got.is_empty() {
            self.keys.tries = 0;
            // Its record may have been refused.
            let phases = &self.state.reading().keys;
            for unknown in got.into_iter().filter(|id| !phases.contains_key(id)) {
                let _ = self.keys.ring.remove(unknown);
            }
            self.settle_keys(now);
            self.keys_changed(now);
        }
        self.persist_soon(now);
        self.keys_taken(id, now);
    }

    /// Was told the keys of the cluster, and calls it again with one of them.
    pub(super) fn call_again_soon(&mut self, now: Now) {
        let delay = self.jitter(RETURN_LEAST, RETURN_MOST);
        self.timers.set_by(Timer::Seeds, now.mono + delay);
    }

    /// Keys that were removed long ago open nothing at all any more.
    pub(super) fn expire_keys(&mut self, now: Now) {
        let grace_ms = limits::KEY_GRACE.as_millis() as u64;
        if self.keys.ring.forget_retired(now.wall_ms.saturating_sub(grace_ms)) {
            self.keys_changed(now);
        }
    }
}

/// The key that is to seal: of those in use the one written last. If all that were used are removed, by two
/// who did not know of each other, one of the others has to.
fn wanted(ring: &Keyring, phases: &BTreeMap<KeyId, KeyRead>) -> Option<KeyId> {
    let newest = |phase| {
        let held = phases.iter().filter(|(id, read)| read.phase == phase && ring.opens(**id));
        held.max_by_key(|(_, read)| read.stamp).map(|(id, _)| *id)
    };
    let removed = |id: &KeyId| phases.get(id).is_some_and(|read| read.phase == KeyPhase::Removed);
    newest(KeyPhase::InUse).or_else(|| {
        let other = || newest(KeyPhase::Installed).or_else(|| ring.ids().find(|id| !removed(id)));
        removed(&ring.sealing_id()).then(other).flatten()
    })
}

/// What was stored, with what was configured since.
fn merge(stored: Keyring, configured: &Keyring, phases: &BTreeMap<KeyId, KeyRead>) -> Keyring {
    let mut ring = stored;
    for id in configured.ids() {
        let removed = phases.get(&id).is_some_and(|read| read.phase == KeyPhase::Removed);
        if let Some(key) = configured.find(id).filter(|_| !removed && !ring.may_open(id))
            && let Err(error) = ring.install(key.clone())
        {
            tracing::warn!(key = %id, "a key of the key file is left out: {error}");
        }
    }
    // A keyring that seals nothing would seal in plaintext.
    if ring.is_plaintext() { configured.clone() } else { ring }
}
