//! How far the keys of the cluster are, and what comes next in exchanging them.
//!
//! An exchange has no state of its own: what comes next follows from what the records and the members say.
//! So whoever goes on with one that broke off, here or on another node, does the same; and two who exchange
//! keys at one time come to the same key.

use serde::{Deserialize, Serialize};

use crate::{KeyId, KeyPhase, NodeName, state::Stamp};

/// The keys of a cluster, and the members that hold them, as one node knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyStatus {
    /// All keys, by what was said of them.
    pub keys: Vec<KeyInfo>,
    /// Members that are known, and have neither left nor been forgotten.
    pub members: Vec<KeyMember>,
}

/// One key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyInfo {
    /// Its fingerprint.
    pub id: KeyId,
    /// How far it is. Exactly one key is in use.
    pub phase: KeyPhase,
    /// This node holds it, and opens with it.
    pub held: bool,
    /// When its phase was written, in Unix milliseconds; `None` if it is in key files alone.
    pub written_ms: Option<u64>,
    pub(crate) stamp: Option<Stamp>,
}

/// One member, and the keys it is known to hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyMember {
    /// Its name.
    pub name: NodeName,
    /// Is it there?
    pub alive: bool,
    /// Fingerprints, the sealing one first; `None` if it has not said.
    pub keys: Option<Vec<KeyId>>,
}

impl KeyMember {
    /// Did it say that it holds this key?
    #[must_use]
    pub fn holds(&self, key: KeyId) -> bool {
        self.keys.as_ref().is_some_and(|keys| keys.contains(&key))
    }

    /// Did it say that it seals with this key?
    #[must_use]
    pub fn seals_with(&self, key: KeyId) -> bool {
        self.keys.as_ref().is_some_and(|keys| keys.first() == Some(&key))
    }
}

/// What comes next in exchanging keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rotation {
    /// Install a new key.
    Install,
    /// Wait until these members hold the key.
    Holding(KeyId, Vec<NodeName>),
    /// Use the key.
    Use(KeyId),
    /// Wait until these members seal with the key.
    Sealing(KeyId, Vec<NodeName>),
    /// Remove the first key; the second one seals.
    Remove(KeyId, KeyId),
    /// These members are down and do not hold the key. Go on once they are back, or without them.
    Down(KeyId, Vec<NodeName>),
    /// All is done: only this key is left.
    Done(KeyId),
}

impl KeyStatus {
    /// What comes next. `begun`: a step was taken already, so there is no need of one more key. `force`:
    /// without members that are down; they fetch the key when they come back.
    #[must_use]
    pub fn next(&self, begun: bool, force: bool) -> Rotation {
        let left = || self.keys.iter().filter(|key| key.phase != KeyPhase::Removed);
        let Some(sealing) = left().find(|key| key.phase == KeyPhase::InUse) else {
            return Rotation::Install;
        };
        let newer = left().filter(|key| key.stamp > sealing.stamp && key.id != sealing.id);
        if let Some(new) = newer.max_by_key(|key| key.stamp) {
            let wait = self.wait_for(new.id, force, KeyMember::holds, Rotation::Holding);
            return wait.unwrap_or(Rotation::Use(new.id));
        }
        match left().find(|key| key.id != sealing.id) {
            // Several keys in key files are no exchange that broke off.
            _ if !begun && sealing.stamp.is_none() => Rotation::Install,
            None if !begun => Rotation::Install,
            None => Rotation::Done(sealing.id),
            Some(old) => {
                let seals = KeyMember::seals_with;
                let wait = self.wait_for(sealing.id, force, seals, Rotation::Sealing);
                wait.unwrap_or(Rotation::Remove(old.id, sealing.id))
            }
        }
    }

    /// Those to be waited for: the living first, then the others, unless it is to go on without them.
    fn wait_for(
        &self,
        key: KeyId,
        force: bool,
        is_done: impl Fn(&KeyMember, KeyId) -> bool,
        wait: impl Fn(KeyId, Vec<NodeName>) -> Rotation,
    ) -> Option<Rotation> {
        let lag = |alive, is_done: &dyn Fn(&KeyMember, KeyId) -> bool| {
            let behind = self.members.iter().filter(|of| of.alive == alive && !is_done(of, key));
            behind.map(|member| member.name.clone()).collect::<Vec<_>>()
        };
        // Who is down seals nothing: it is enough that it holds the key.
        let (living, down) = (lag(true, &is_done), lag(false, &KeyMember::holds));
        match (living.is_empty(), down.is_empty()) {
            (false, _) => Some(wait(key, living)),
            (true, false) if !force => Some(Rotation::Down(key, down)),
            (true, _) => None,
        }
    }
}
