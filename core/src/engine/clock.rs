//! Is our wall clock right? Every greeting says what the peer's shows.
//!
//! Stamps come from wall clocks, and what is stamped far ahead is not taken. A node whose clock differs
//! far from most others' writes no shared records: they would lose to older ones, or be taken by nobody.

use super::{CommandError, Engine, Now};
use crate::{NodeId, limits};

impl Engine {
    /// A peer's clock showed this just now.
    pub(super) fn see_clock(&mut self, peer: NodeId, wall_ms: u64, now: Now) {
        let before = self.check_clock(now).is_err();
        // Kept against the monotonic clock, so that it stays true when ours is set.
        let started_ms = i128::from(wall_ms) - now.mono.as_millis() as i128;
        self.clocks.insert(peer, started_ms);
        let reachable = &self.reachable;
        self.clocks.retain(|id, _| *id == peer || reachable.contains_key(id));
        if let Err(error) = self.check_clock(now)
            && !before
        {
            tracing::warn!("{error}");
        }
    }

    /// Is our clock near to most of those that are known?
    pub(super) fn check_clock(&self, now: Now) -> Result<(), CommandError> {
        let ours_ms = i128::from(now.wall_ms) - now.mono.as_millis() as i128;
        let theirs = self.clocks.values().map(|started_ms| started_ms - ours_ms);
        let mut ahead_ms: Vec<i128> = theirs.chain([0]).collect();
        ahead_ms.sort_unstable();
        let last = ahead_ms.len() - 1;
        let limit_ms = limits::STAMP_AHEAD.as_millis() as i128;
        // Of an even number both in the middle must say so: of two nodes none can tell which is wrong.
        let (lower, upper) = (ahead_ms.get(last / 2), ahead_ms.get(last.div_ceil(2)));
        if lower.is_some_and(|lower| *lower > limit_ms) {
            return Err(CommandError::ClockBehind);
        }
        if upper.is_some_and(|upper| *upper < -limit_ms) {
            return Err(CommandError::ClockAhead);
        }
        Ok(())
    }
}
