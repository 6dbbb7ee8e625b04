//! How long to wait before a plugin is started again.

use std::time::Duration;

/// The pause before the first start after a crash; it doubles with each.
const FIRST: Duration = Duration::from_millis(500);
/// The longest pause.
const LONGEST: Duration = Duration::from_secs(60);
/// A plugin that ran so long begins with the first pause again.
const HEALTHY: Duration = Duration::from_secs(60);

/// The pauses of one instance.
#[derive(Debug)]
pub(super) struct Pauses(Duration);

impl Pauses {
    /// The pauses of an instance that had no trouble yet.
    pub(super) fn new() -> Self {
        Self(FIRST)
    }

    /// The next one.
    pub(super) fn next(&mut self) -> Duration {
        let pause = self.0;
        self.0 = pause.saturating_mul(2).min(LONGEST);
        pause
    }

    /// The instance ran so long before its trouble.
    pub(super) fn ran(&mut self, time: Duration) {
        if time >= HEALTHY {
            self.0 = FIRST;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_and_are_short_again_after_a_good_while() {
        let mut pauses = Pauses::new();
        let seconds: Vec<_> = (0..9).map(|_| pauses.next().as_secs_f64()).collect();
        assert_eq!(seconds, [0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0]);
        pauses.ran(Duration::from_secs(59));
        assert_eq!(pauses.next(), LONGEST);
        pauses.ran(Duration::from_secs(60));
        assert_eq!(pauses.next(), FIRST);
    }
}
