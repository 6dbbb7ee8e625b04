//! The one place that reads the clock.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::engine::Now;

/// The clocks of one node.
#[derive(Debug, Clone, Copy)]
pub(super) struct Clock {
    origin: Instant,
}

impl Clock {
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the clock")]
    pub(super) fn start() -> Self {
        Self { origin: Instant::now() }
    }

    /// The time of one turn.
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the clock")]
    pub(super) fn now(self) -> Now {
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Now { mono: self.origin.elapsed(), wall_ms: wall.as_millis() as u64 }
    }

    /// When a deadline of the engine is, for a timer.
    pub(super) fn deadline(self, at: Duration) -> tokio::time::Instant {
        // A deadline that never comes is one of a long time ahead.
        const FOREVER: Duration = Duration::from_secs(86_400 * 365);
        tokio::time::Instant::from_std(self.origin + at.min(FOREVER))
    }
}
