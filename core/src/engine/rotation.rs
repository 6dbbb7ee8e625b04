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
    /// This new key was installed. What comes next is never this.
    Installed(KeyId),
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Key, NodeId};

    fn id(byte: u8) -> KeyId {
        Key::from_bytes([byte; 32]).id()
    }

    fn key(byte: u8, phase: KeyPhase, time: Option<u64>) -> KeyInfo {
        let stamp = time.map(|time| Stamp { time, node: NodeId(1) });
        KeyInfo { id: id(byte), phase, held: true, written_ms: time, stamp }
    }

    fn member(name: &str, alive: bool, keys: &[u8]) -> KeyMember {
        let keys = Some(keys.iter().map(|byte| id(*byte)).collect());
        KeyMember { name: NodeName::parse(name).unwrap(), alive, keys }
    }

    fn names(names: &[&str]) -> Vec<NodeName> {
        names.iter().map(|name| NodeName::parse(name).unwrap()).collect()
    }

    #[test]
    fn each_step_follows_from_what_was_said_and_is_held() {
        use KeyPhase::{InUse, Installed, Removed};
        let check = |keys: &[KeyInfo], members: &[KeyMember], begun, force, expected: Rotation| {
            let status = KeyStatus { keys: keys.to_vec(), members: members.to_vec() };
            assert_eq!(status.next(begun, force), expected);
        };
        let (up, down) =
            (|keys: &[u8]| member("a", true, keys), |keys: &[u8]| member("b", false, keys));
        let configured = [key(1, InUse, None)];
        check(&configured, &[up(&[1])], false, false, Rotation::Install);
        // Keys of key files alone are no exchange that broke off.
        let two = [key(1, InUse, None), key(2, Installed, None)];
        check(&two, &[up(&[1, 2])], false, false, Rotation::Install);
        let installed = [key(1, InUse, None), key(2, Installed, Some(5))];
        let holding = Rotation::Holding(id(2), names(&["a"]));
        check(&installed, &[up(&[1]), down(&[1])], false, true, holding);
        let waits = Rotation::Down(id(2), names(&["b"]));
        check(&installed, &[up(&[1, 2]), down(&[1])], false, false, waits);
        check(&installed, &[up(&[1, 2]), down(&[1])], false, true, Rotation::Use(id(2)));
        check(&installed, &[up(&[1, 2]), down(&[1, 2])], false, false, Rotation::Use(id(2)));
        let used = [key(1, Installed, None), key(2, InUse, Some(6))];
        let sealing = Rotation::Sealing(id(2), names(&["a"]));
        check(&used, &[up(&[1, 2]), down(&[1, 2])], false, false, sealing);
        let remove = Rotation::Remove(id(1), id(2));
        check(&used, &[up(&[2, 1]), down(&[1, 2])], false, false, remove);
        let done = [key(1, Removed, Some(7)), key(2, InUse, Some(6))];
        check(&done, &[up(&[2])], true, false, Rotation::Done(id(2)));
        check(&done, &[up(&[2])], false, false, Rotation::Install);
        // Of two that were installed the later one is used, and the other removed after it.
        let rivals = [key(1, InUse, None), key(2, Installed, Some(5)), key(3, Installed, Some(6))];
        check(&rivals, &[up(&[1, 2, 3])], false, false, Rotation::Use(id(3)));
        let late = [key(2, Installed, Some(5)), key(3, InUse, Some(8))];
        check(&late, &[up(&[3, 2])], true, false, Rotation::Remove(id(2), id(3)));
    }
}
