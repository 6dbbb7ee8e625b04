//! The engine's timers: at most one of each.

use std::{collections::BTreeMap, time::Duration};

/// What a timer is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Timer {
    /// Compare roots with a random member.
    Check,
    /// Call seeds that are not members.
    Seeds,
    /// Pull what was hinted at.
    Wanted,
    /// Write our node record.
    Publish,
    /// Write our offers.
    Offers,
    /// Write our status.
    Status,
    /// Stop acting for tribes we fell out of.
    HoldDown,
    /// Ask again who holds what a command waits for.
    Waits,
    /// Give the store what was heard.
    Flush,
    /// The next step of a good-bye.
    Leave,
    /// Close streams that move nothing.
    Idle,
    /// Collect old tombstones.
    Horizon,
    /// Save known members for the next start.
    SaveMembers,
    /// Begin a new datagram session.
    Session,
    /// Give up on members that were dialled and do not answer.
    Pings,
    /// Ask the member that we watch.
    Watch,
    /// Ask a member for the keys that we lack.
    Keys,
    /// Write which keys we hold.
    TellKeys,
    /// Give up commands that wait for the cluster.
    Held,
}

/// When each timer is due.
#[derive(Debug, Default)]
pub(super) struct Timers(BTreeMap<Timer, Duration>);

impl Timers {
    /// Sets a timer anew.
    pub(super) fn set(&mut self, timer: Timer, at: Duration) {
        self.0.insert(timer, at);
    }

    /// Sets a timer, unless it is due earlier.
    pub(super) fn set_by(&mut self, timer: Timer, at: Duration) {
        let due = self.0.entry(timer).or_insert(at);
        *due = (*due).min(at);
    }

    /// The earliest.
    pub(super) fn first(&self) -> Option<Duration> {
        self.0.values().min().copied()
    }

    /// Takes one that is due.
    pub(super) fn pop_due(&mut self, now: Duration) -> Option<Timer> {
        let due = self.0.iter().filter(|(_, at)| **at <= now).min_by_key(|(_, at)| **at);
        let timer = due.map(|(timer, _)| *timer)?;
        self.0.remove(&timer);
        Some(timer)
    }
}
