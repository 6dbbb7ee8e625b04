//! A map that keeps what was used last.

use std::collections::BTreeMap;

/// A map of bounded size: where there is no room, what was not used for longest goes.
#[derive(Debug)]
pub(super) struct Recent<K, V> {
    entries: BTreeMap<K, (u64, V)>,
    // INVARIANT: exactly the keys of `entries`, by when they were used.
    order: BTreeMap<u64, K>,
    uses: u64,
    /// The uses there were when it was last aged.
    aged: u64,
    capacity: usize,
}

impl<K: Ord + Copy, V> Recent<K, V> {
    pub(super) fn new(capacity: usize) -> Self {
        Self { entries: BTreeMap::new(), order: BTreeMap::new(), uses: 0, aged: 0, capacity }
    }

    /// The value, without using it.
    pub(super) fn peek(&self, key: &K) -> Option<&V> {
        self.entries.get(key).map(|(_, value)| value)
    }

    /// The value, which counts as a use.
    pub(super) fn get(&mut self, key: &K) -> Option<&mut V> {
        let (used, value) = self.entries.get_mut(key)?;
        self.order.remove(used);
        self.uses += 1;
        *used = self.uses;
        self.order.insert(self.uses, *key);
        Some(value)
    }

    /// Adds or replaces a value. Returns how many others had to go.
    pub(super) fn insert(&mut self, key: K, value: V) -> usize {
        self.remove(&key);
        self.uses += 1;
        self.order.insert(self.uses, key);
        self.entries.insert(key, (self.uses, value));
        let mut gone = 0;
        while self.entries.len() > self.capacity
            && let Some((_, oldest)) = self.order.pop_first()
        {
            self.entries.remove(&oldest);
            gone += 1;
        }
        gone
    }

    /// Drops what was not used since the last call of this. Returns the values that went.
    pub(super) fn age(&mut self) -> Vec<V> {
        let recent = self.order.split_off(&(self.aged + 1));
        self.aged = self.uses;
        let gone = std::mem::replace(&mut self.order, recent).into_values();
        gone.filter_map(|key| self.entries.remove(&key)).map(|(_, value)| value).collect()
    }

    /// Drops all others.
    pub(super) fn retain(&mut self, keep: impl Fn(&K, &V) -> bool) {
        let order = &mut self.order;
        self.entries.retain(|key, (used, value)| {
            let keeps = keep(key, value);
            if !keeps {
                order.remove(used);
            }
            keeps
        });
    }

    pub(super) fn remove(&mut self, key: &K) -> Option<V> {
        let (used, value) = self.entries.remove(key)?;
        self.order.remove(&used);
        Some(value)
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_used_for_longest_goes() {
        let mut recent = Recent::new(2);
        assert_eq!(recent.insert(1, "one"), 0);
        assert_eq!(recent.insert(2, "two"), 0);
        assert_eq!(recent.get(&1), Some(&mut "one"));
        assert_eq!(recent.peek(&2), Some(&"two"));
        assert_eq!(recent.insert(3, "three"), 1);
        assert_eq!(recent.peek(&2), None);
        assert_eq!(recent.insert(3, "drei"), 0);
        assert_eq!(recent.remove(&1), Some("one"));
        assert_eq!((recent.len(), recent.order.len()), (1, 1));
    }

    #[test]
    fn what_was_not_used_between_two_agings_goes() {
        let mut recent = Recent::new(9);
        for (key, value) in [(1, "one"), (2, "two"), (3, "three")] {
            assert_eq!(recent.insert(key, value), 0);
        }
        assert!(recent.age().is_empty());
        assert_eq!(recent.len(), 3);
        assert_eq!(recent.get(&2), Some(&mut "two"));
        assert_eq!(recent.age(), ["one", "three"]);
        assert_eq!((recent.len(), recent.order.len()), (1, 1));
        assert!(recent.peek(&2).is_some());
        assert_eq!(recent.age(), ["two"]);
        assert_eq!((recent.len(), recent.order.len()), (0, 0));
    }

    #[test]
    fn what_is_not_kept_goes() {
        let mut recent = Recent::new(9);
        (1..4).for_each(|key| assert_eq!(recent.insert(key, key * 10), 0));
        recent.retain(|key, value| *key == 1 || *value == 30);
        assert_eq!((recent.len(), recent.order.len()), (2, 2));
        assert!(recent.peek(&2).is_none());
    }
}
