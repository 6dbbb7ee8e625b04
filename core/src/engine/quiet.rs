//! Saying a thing once in a while, however often it happens.

use std::{collections::BTreeMap, time::Duration};

use crate::KeyId;

/// A foreign key is named in the log this often; an attacker must not fill the disk.
const PAUSE: Duration = Duration::from_secs(60);
/// Foreign keys remembered.
const KEYS: usize = 64;

/// When each foreign key was last named.
#[derive(Debug, Default)]
pub(crate) struct Quiet(BTreeMap<KeyId, Duration>);

impl Quiet {
    /// May this key be named now? Then it is taken as done.
    pub(crate) fn may_name(&mut self, key: KeyId, now: Duration) -> bool {
        let silent = self.0.get(&key).is_some_and(|last| now < *last + PAUSE);
        if silent || (self.0.len() >= KEYS && !self.0.contains_key(&key)) {
            return false;
        }
        self.0.insert(key, now);
        true
    }

    /// Forgets keys that were not named for a while.
    pub(crate) fn forget(&mut self, now: Duration) {
        self.0.retain(|_, last| now < *last + PAUSE);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_named_once_a_minute() {
        let mut quiet = Quiet::default();
        let key = KeyId::from_bytes([1, 2, 3, 4]);
        assert!(quiet.may_name(key, Duration::ZERO));
        assert!(!quiet.may_name(key, PAUSE / 2));
        assert!(quiet.may_name(key, PAUSE));
    }

    #[test]
    fn many_keys_are_not_all_named() {
        let mut quiet = Quiet::default();
        let named = (0..1000_u32)
            .filter(|n| quiet.may_name(KeyId::from_bytes(n.to_be_bytes()), Duration::ZERO))
            .count();
        assert_eq!(named, KEYS);
        quiet.forget(PAUSE);
        assert!(quiet.may_name(KeyId::from_bytes([9; 4]), PAUSE));
    }
}
