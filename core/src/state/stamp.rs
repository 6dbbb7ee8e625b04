//! When something was said: hybrid logical clocks.
//!
//! A stamp orders writes of different nodes: wall time in milliseconds, a counter for writes within
//! one, then the writer's id (Kulkarni et al., "Logical Physical Clocks", 2014). Whoever writes after
//! having heard a stamp writes a later one, whatever its wall clock says.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::NodeId;

const COUNTER_BITS: u32 = 16;

/// When, and by whom, a shared record was written. Totally ordered.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(crate) struct Stamp {
    /// 48 bits of Unix milliseconds, 16 bits of counter.
    pub(crate) time: u64,
    /// The writer.
    pub(crate) node: NodeId,
}

impl Stamp {
    /// Unix milliseconds of the stamp.
    pub(crate) fn wall_ms(self) -> u64 {
        self.time >> COUNTER_BITS
    }

    /// The first stamp of a wall-clock time.
    pub(crate) fn floor(wall_ms: u64) -> Self {
        Self { time: wall_ms << COUNTER_BITS, node: NodeId(0) }
    }
}

impl fmt::Debug for Stamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counter = self.time & ((1 << COUNTER_BITS) - 1);
        write!(f, "{}+{counter}@{}", self.wall_ms(), self.node)
    }
}

/// The hybrid logical clock of one node.
#[derive(Debug, Clone, Default)]
pub(crate) struct Clock {
    last: u64,
}

impl Clock {
    /// The time of a write made now, later than all that was written or heard.
    pub(crate) fn tick(&mut self, wall_ms: u64) -> u64 {
        self.last = (wall_ms << COUNTER_BITS).max(self.last + 1);
        self.last
    }

    /// Hears of a time.
    pub(crate) fn observe(&mut self, time: u64) {
        self.last = self.last.max(time);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_write_is_later_than_all_that_was_heard() {
        let mut clock = Clock::default();
        let ahead = 2_000 << COUNTER_BITS;
        clock.observe(ahead);
        let first = clock.tick(1_000);
        let second = clock.tick(1_000);
        assert!(ahead < first && first < second);
        assert_eq!(clock.tick(3_000), 3_000 << COUNTER_BITS);
    }

    #[test]
    fn equal_times_are_ordered_by_writer() {
        let one = Stamp { time: 7, node: NodeId(1) };
        assert!(one < Stamp { time: 7, node: NodeId(2) });
        assert!(one < Stamp { time: 8, node: NodeId(0) });
    }
}
