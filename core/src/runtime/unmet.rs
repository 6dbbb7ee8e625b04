//! When to say that no seed has answered since the start. Knows times, not sockets.

use std::time::Duration;

/// An answer that takes longer is missed.
const PATIENCE: Duration = Duration::from_secs(10);
/// It is said again this much later.
const AGAIN: Duration = Duration::from_secs(600);

/// A node that has not met another member since its start.
#[derive(Debug)]
pub(super) struct Unmet {
    /// When it is to be said; `None` once a member was met.
    due: Option<Duration>,
}

impl Default for Unmet {
    fn default() -> Self {
        Self { due: Some(PATIENCE) }
    }
}

impl Unmet {
    /// Is it to be said now, so long after the start?
    pub(super) fn is_due(&mut self, met: bool, now: Duration) -> bool {
        if met {
            self.due = None;
        }
        let is_due = self.due.is_some_and(|due| due <= now);
        if is_due {
            self.due = Some(now + AGAIN);
        }
        is_due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silence_of_all_seeds_is_told_once_in_a_while_until_a_member_is_met() {
        let mut unmet = Unmet::default();
        let told = (0..1300).filter(|at| unmet.is_due(false, Duration::from_secs(*at)));
        assert_eq!(told.collect::<Vec<_>>(), [10, 610, 1210]);
        assert!(!unmet.is_due(true, Duration::from_secs(1300)));
        assert!(!unmet.is_due(false, Duration::from_secs(9000)));
    }
}
