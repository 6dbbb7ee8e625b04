//! A good-bye that is heard.
//!
//! The failure detector tells only three members once, so the good-bye is a record first, spread like
//! any other, then the detector's own, repeated for about a second.

use std::time::Duration;

use super::{Engine, Now, Output, Ticket, timer::Timer};
use crate::state::Version;

/// How far a good-bye has got.
#[derive(Debug)]
pub(super) struct Leaving {
    ticket: Ticket,
    step: u32,
    record: Option<Version>,
}

const STEP: Duration = Duration::from_millis(150);
/// The record needs a moment to be everywhere first, or the node would be taken for dead.
const LEAVE_AT: u32 = 4;
const STEPS: u32 = 9;

impl Engine {
    pub(super) fn leave(&mut self, ticket: Ticket, now: Now) {
        self.own.left = true;
        let record = self.publish_node(now);
        self.leaving = Some(Leaving { ticket, step: 0, record });
        self.flush_store();
        self.go_on_leaving(now);
    }

    pub(super) fn go_on_leaving(&mut self, now: Now) {
        let Some(leaving) = &mut self.leaving else { return };
        leaving.step += 1;
        let (step, ticket, record) = (leaving.step, leaving.ticket, leaving.record.clone());
        // Alone, there is nobody to tell.
        if step >= STEPS || self.reachable.is_empty() {
            self.outputs.push_back(Output::Reply(ticket, Ok(super::Reply::Done)));
            self.outputs.push_back(Output::Stopped);
            return;
        }
        if let Some(record) = record.filter(|_| step < LEAVE_AT) {
            self.spread(&record, now);
        }
        if step == LEAVE_AT {
            self.swim.leave(now.mono);
        }
        self.swim.gossip(now.mono);
        self.drain_swim(now);
        self.timers.set(Timer::Leave, now.mono + STEP);
    }
}
