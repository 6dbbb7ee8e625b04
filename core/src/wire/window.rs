//! The sliding window that drops replays (RFC 6479, section 2).

/// How far behind the newest counter a datagram may come.
const WINDOW_BITS: u64 = 1024;
/// One word more than the window, so that whole words can be cleared.
const WORDS: u64 = WINDOW_BITS / 64 + 1;

/// Which counters of a session were seen.
#[derive(Debug, Clone, Default)]
pub(super) struct Window {
    newest: u64,
    seen: [u64; WORDS as usize],
}

impl Window {
    /// A window in which this counter and all before it were seen.
    pub(super) fn after(newest: u64) -> Self {
        let mut seen = [u64::MAX; WORDS as usize];
        if let Some(word) = seen.get_mut((newest / 64 % WORDS) as usize) {
            *word >>= 63 - newest % 64;
        }
        Self { newest, seen }
    }

    /// Marks a counter as seen. False if it was seen, or is too old to tell.
    #[must_use]
    pub(super) fn accept(&mut self, counter: u64) -> bool {
        if counter > self.newest {
            self.advance(counter);
        } else if self.newest - counter >= WINDOW_BITS {
            return false;
        }
        let bit = 1 << (counter % 64);
        let Some(word) = self.seen.get_mut((counter / 64 % WORDS) as usize) else { return false };
        let fresh = *word & bit == 0;
        *word |= bit;
        fresh
    }

    fn advance(&mut self, newest: u64) {
        let (old, new) = (self.newest / 64, newest / 64);
        for word in 1..=(new - old).min(WORDS) {
            if let Some(word) = self.seen.get_mut(((old + word) % WORDS) as usize) {
                *word = 0;
            }
        }
        self.newest = newest;
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_counter_is_accepted_once_and_not_when_too_old() {
        let mut window = Window::default();
        assert!(window.accept(1));
        assert!(!window.accept(1));
        assert!(window.accept(1024));
        assert!(window.accept(2));
        assert!(!window.accept(0), "1,024 behind is too old to tell");
        assert!(window.accept(u64::MAX));
        assert!(!window.accept(u64::MAX));
        assert!(window.accept(u64::MAX - 1023));
        assert!(!window.accept(u64::MAX - 1024));
    }

    #[test]
    fn a_window_after_a_counter_takes_only_what_comes_later() {
        for newest in [0, 1, 63, 64, 1000, 5000] {
            let mut window = Window::after(newest);
            assert!((0..=newest).rev().take(1100).all(|counter| !window.accept(counter)));
            assert!((newest + 1..newest + 1100).all(|counter| window.accept(counter)));
            assert!((newest + 77..newest + 1100).all(|counter| !window.accept(counter)));
        }
    }

    proptest! {
        #[test]
        fn it_agrees_with_a_set_of_all_counters(
            steps in proptest::collection::vec((0u64..2500, any::<bool>()), 1..400)
        ) {
            let (mut window, mut seen, mut newest) = (Window::default(), BTreeSet::new(), 0u64);
            for (step, ahead) in steps {
                let counter =
                    if ahead { newest + step % 1200 } else { newest.saturating_sub(step) };
                let fresh = newest.saturating_sub(counter) < WINDOW_BITS && seen.insert(counter);
                prop_assert_eq!(window.accept(counter), fresh, "{} after {}", counter, newest);
                newest = newest.max(counter);
            }
        }
    }
}
