//! Every member is watched by the one before it.
//!
//! The failure detector probes members at random, so that now and then nobody probes a dead one for
//! seconds. In the ring of all ids each node asks the next one, in the smallest datagram there is, every
//! other second: so no death stays unseen for longer.

use std::{ops::Bound, time::Duration};

use super::{Engine, Now, timer::Timer};
use crate::wire::{frame::Datagram, peer::Identity};

/// The member that is watched.
#[derive(Debug, Default)]
pub(super) struct Watch {
    watched: Option<Identity>,
    /// Questions without an answer.
    asked: u32,
}

/// Between an answer and the next question.
const PERIOD: Duration = Duration::from_secs(2);
/// A question that is not answered is repeated after this long.
const REPEAT: Duration = Duration::from_millis(350);
/// So many questions without an answer, and the member is dialled.
const QUESTIONS: u32 = 3;
/// In a cluster this small everyone is probed every few seconds anyway.
const SMALL: usize = 8;

impl Engine {
    /// Asks the next in the ring.
    pub(super) fn watch_next(&mut self, now: Now) {
        self.timers.set(Timer::Watch, now.mono + PERIOD);
        let next = self.next_in_ring().filter(|_| self.leaving.is_none());
        if self.watch.watched != next {
            self.watch = Watch { watched: next, asked: 0 };
        }
        let Some(next) = next else { return };
        if self.watch.asked >= QUESTIONS {
            self.watch.asked = 0;
            return self.accuse(next, now);
        }
        self.watch.asked += 1;
        self.timers.set(Timer::Watch, now.mono + REPEAT);
        self.send(next.address, &Datagram::Watch, now);
    }

    /// Someone watched has answered.
    pub(super) fn watch_answered(&mut self, from: std::net::SocketAddr, now: Now) {
        if self.watch.watched.is_some_and(|watched| watched.address == from) {
            self.watch.asked = 0;
            let delay = self.jitter(PERIOD * 3 / 4, PERIOD * 5 / 4);
            self.timers.set(Timer::Watch, now.mono + delay);
        }
    }

    fn next_in_ring(&self) -> Option<Identity> {
        if self.reachable.len() < SMALL {
            return None;
        }
        let after = (Bound::Excluded(self.config.id), Bound::Unbounded);
        let mut ring = self.reachable.range(after).chain(&self.reachable);
        ring.next().map(|(_, identity)| *identity)
    }

    /// It does not answer: it is dialled, and suspected unless it answers then.
    fn accuse(&mut self, member: Identity, now: Now) {
        if let Some(incarnation) = self.swim.expect(member, now.mono) {
            self.ping(member, incarnation, None, now);
        }
    }
}
