//! How a plugin wants to be run, as it says itself.

use std::time::Duration;

/// How many tasks one instance serves if the plugin does not say.
const CONCURRENCY: usize = 5;

/// What a plugin says of how many of it may run, and for whom.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Traits {
    // INVARIANT: at least 1.
    /// How many tasks one instance serves. Not a limit of the calls at a time.
    pub(super) concurrency: usize,
    /// At most one instance runs.
    pub(super) exclusive: bool,
    /// How long what it collected stays good.
    pub(super) cache_ttl: Duration,
    pub(super) routing: Routing,
}

/// Which of several instances serves a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Routing {
    /// The one whose last call is longest ago.
    LeastRecentlyUsed,
    /// Always the same for one task, and that for no other task.
    Sticky,
    /// Always the same for one configuration, and that for no other.
    ByConfig,
}

impl Default for Traits {
    fn default() -> Self {
        Self {
            concurrency: CONCURRENCY,
            exclusive: false,
            cache_ttl: Duration::ZERO,
            routing: Routing::LeastRecentlyUsed,
        }
    }
}
