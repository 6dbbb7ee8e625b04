//! Saying a thing once in a while, however often it happens.

use std::{collections::BTreeMap, time::Duration};

/// Something is named in the log again after this long; an attacker must not fill the disk.
const PAUSE: Duration = Duration::from_secs(60);
/// Each pause is twice as long as the one before, but no longer than this: nothing new is said.
const MOST: Duration = Duration::from_secs(60 * 60);
/// Things remembered.
const MOST_NAMED: usize = 64;

/// When each foreign key, or whatever else strangers make us say, was last named.
#[derive(Debug)]
pub(crate) struct Quiet<K>(BTreeMap<K, Named>);

impl<K> Default for Quiet<K> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

#[derive(Debug)]
struct Named {
    at: Duration,
    /// Until it may be named again.
    pause: Duration,
}

impl<K: Ord + Copy> Quiet<K> {
    /// May this be named now? Then it is taken as done.
    pub(crate) fn may_name(&mut self, key: K, now: Duration) -> bool {
        if let Some(named) = self.0.get_mut(&key) {
            let due = now >= named.at + named.pause;
            if due {
                *named = Named { at: now, pause: (named.pause * 2).min(MOST) };
            }
            return due;
        }
        let has_room = self.0.len() < MOST_NAMED || self.forget_one(now);
        if has_room {
            self.0.insert(key, Named { at: now, pause: PAUSE });
        }
        has_room
    }

    /// Gives the place of what was named longest ago to another: what someone makes up must not silence
    /// what is real for as long as it pauses. Within [`PAUSE`] there are [`MOST_NAMED`] lines at most.
    fn forget_one(&mut self, now: Duration) -> bool {
        let oldest = self.0.iter().min_by_key(|(_, named)| named.at);
        let oldest = oldest.filter(|(_, named)| now >= named.at + PAUSE).map(|(key, _)| *key);
        oldest.is_some_and(|key| self.0.remove(&key).is_some())
    }

    /// Forgets what was not met since it might have been named again: it is news again.
    pub(crate) fn forget(&mut self, now: Duration) {
        self.0.retain(|_, named| now < named.at + named.pause * 2);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::KeyId;

    #[test]
    fn a_key_is_named_less_and_less_often_until_it_was_silent() {
        let mut quiet = Quiet::default();
        let key = KeyId::from_bytes([1, 2, 3, 4]);
        let mut named = |minutes: std::ops::Range<u64>| -> Vec<u64> {
            let mut is_named = |minute: &u64| {
                let now = Duration::from_secs(minute * 60);
                quiet.forget(now);
                quiet.may_name(key, now)
            };
            minutes.filter(|minute| is_named(minute)).collect()
        };
        assert_eq!(named(0..250), [0, 1, 3, 7, 15, 31, 63, 123, 183, 243]);
        assert_eq!(named(400..405), [400, 401, 403]);
    }

    #[test]
    fn many_keys_are_not_all_named() {
        let mut quiet = Quiet::default();
        let mut named = |keys: std::ops::Range<u32>, now| {
            let key = |n: u32| KeyId::from_bytes(n.to_be_bytes());
            quiet.forget(now);
            keys.filter(|n| quiet.may_name(key(*n), now)).count()
        };
        assert_eq!(named(0..1000, Duration::ZERO), MOST_NAMED);
        // The first of them go on; others are heard of all the same, one for one.
        assert_eq!(named(0..10, PAUSE), 10);
        assert_eq!(named(1000..2000, PAUSE), MOST_NAMED - 10);
        assert_eq!(named(2000..3000, PAUSE + PAUSE / 2), 0);
        assert_eq!(named(2000..3000, PAUSE * 2), MOST_NAMED);
        assert_eq!(named(3000..4000, PAUSE * 4), MOST_NAMED);
    }
}
