//! Who came or went is told before the next gossip is due.

use std::time::Duration;

use super::{FEW_NEWS, HASTEN_PERIOD};

/// When to gossip out of turn.
#[derive(Debug)]
pub(super) struct Haste {
    due: Option<Duration>,
    last: Duration,
    /// The changes there had been then.
    told: u64,
}

impl Haste {
    pub(super) fn new(now: Duration) -> Self {
        Self { due: None, last: now, told: 0 }
    }

    /// A member came or went.
    pub(super) fn want(&mut self, now: Duration) {
        self.due.get_or_insert(now.max(self.last + HASTEN_PERIOD));
    }

    /// When [`Haste::take_due`] wants to be called.
    pub(super) fn next(&self) -> Duration {
        self.due.unwrap_or(Duration::MAX)
    }

    /// Is it time to gossip? Of many changes, as when a whole cluster starts, digest sync tells more with
    /// fewer bytes, and brings the sessions of those who came.
    pub(super) fn take_due(&mut self, changes: u64, now: Duration) -> bool {
        if self.due.take_if(|due| *due <= now).is_none() {
            return false;
        }
        let few = changes - self.told <= FEW_NEWS as u64;
        (self.last, self.told) = (now, changes);
        few
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_changes_are_told_at_once_and_at_most_so_often() {
        let second = Duration::from_secs(1);
        let mut haste = Haste::new(Duration::ZERO);
        assert!(!haste.take_due(0, second));
        haste.want(second);
        assert_eq!(haste.next(), second);
        assert!(haste.take_due(1, second));
        assert_eq!(haste.next(), Duration::MAX);

        haste.want(second);
        haste.want(second * 2);
        assert_eq!(haste.next(), second + HASTEN_PERIOD);
        assert!(!haste.take_due(2, second));
        let many = 2 + FEW_NEWS as u64;
        assert!(!haste.take_due(many, second + HASTEN_PERIOD));

        haste.want(second * 3);
        assert!(haste.take_due(many + 1, second * 3));
    }
}
