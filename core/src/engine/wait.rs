//! Waiting until the others hold a write.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    time::Duration,
};

use super::{
    CommandError, Engine, MemberState, Now, Output, Reply, StreamId, Ticket, timer::Timer,
};
use crate::{NodeId, NodeName, state::Version, wire::frame::Datagram};

/// The questions that are open, by the number that their answers bear.
#[derive(Debug, Default)]
pub(super) struct Waits {
    last: u64,
    open: BTreeMap<u64, Waiting>,
}

/// A command that waits for members to hold a version. One that waits for several asks for each apart.
#[derive(Debug)]
struct Waiting {
    ticket: Ticket,
    version: Version,
    missing: BTreeMap<NodeId, SocketAddr>,
    until: Duration,
    pause: Duration,
    ask_at: Duration,
}

const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

impl Engine {
    /// Waits for all of these versions, at least one.
    pub(super) fn wait_for(
        &mut self,
        ticket: Ticket,
        versions: Vec<Version>,
        timeout: Duration,
        now: Now,
    ) {
        let alive = |id: &NodeId| self.presence(*id) == MemberState::Alive;
        let reachable = self.reachable.iter().filter(|(id, _)| alive(id));
        let missing: BTreeMap<_, _> =
            reachable.map(|(id, identity)| (*id, identity.address)).collect();
        let until = now.mono.saturating_add(timeout);
        for version in versions {
            let missing = missing.clone();
            let (pause, ask_at) = (FIRST_PAUSE, now.mono);
            let waiting = Waiting { ticket, version, missing, until, pause, ask_at };
            self.waits.last += 1;
            self.waits.open.insert(self.waits.last, waiting);
        }
        self.run_waits(now);
    }

    /// Asks again, and answers what has waited long enough.
    pub(super) fn run_waits(&mut self, now: Now) {
        let mut questions = Vec::new();
        for (nonce, waiting) in &mut self.waits.open {
            if waiting.ask_at <= now.mono {
                waiting.ask_at = now.mono + waiting.pause;
                waiting.pause = (waiting.pause * 2).min(LONGEST_PAUSE);
                let ask = |to: &SocketAddr| (*to, *nonce, waiting.version.clone());
                questions.extend(waiting.missing.values().map(ask));
            }
            self.timers.set_by(Timer::Waits, waiting.ask_at.min(waiting.until));
        }
        for (to, nonce, version) in questions {
            self.send(to, &Datagram::Holds { nonce, version }, now);
        }
        self.answer_waits(|waiting| waiting.missing.is_empty() || waiting.until <= now.mono);
    }

    pub(super) fn handle_held(&mut self, from: SocketAddr, nonce: u64, holds: bool) {
        if let Some(waiting) = self.waits.open.get_mut(&nonce).filter(|_| holds) {
            waiting.missing.retain(|_, address| *address != from);
            if waiting.missing.is_empty() {
                self.answer_waits(|waiting| waiting.missing.is_empty());
            }
        }
    }

    /// Nobody waits for the dead.
    pub(super) fn member_gone_from_waits(&mut self, id: NodeId) {
        for waiting in self.waits.open.values_mut() {
            waiting.missing.remove(&id);
        }
        self.answer_waits(|waiting| waiting.missing.is_empty());
    }

    /// Answers the commands whose questions are all over.
    fn answer_waits(&mut self, is_over: impl Fn(&Waiting) -> bool) {
        let open = self.waits.open.values().filter(|waiting| !is_over(waiting));
        let open: BTreeSet<Ticket> = open.map(|waiting| waiting.ticket).collect();
        let mut missing: BTreeMap<Ticket, BTreeSet<NodeId>> = BTreeMap::new();
        self.waits.open.retain(|_, waiting| {
            let stays = open.contains(&waiting.ticket);
            if !stays {
                missing.entry(waiting.ticket).or_default().extend(waiting.missing.keys());
            }
            stays
        });
        for (ticket, missing) in missing {
            let name = |id: &NodeId| NodeName::parse(&self.member_name(*id)).ok();
            let missing = missing.iter().filter_map(name).collect();
            self.outputs.push_back(Output::Reply(ticket, Ok(Reply::Missing(missing))));
        }
    }

    /// The node that was asked has answered.
    pub(super) fn answer_ask(&mut self, stream: StreamId, answer: Result<Version, String>) {
        let Some(asked) = self.asks.remove(&stream) else { return };
        let (ticket, node) = (asked.ticket, asked.node);
        let reply = match answer {
            Ok(version) => Ok(Reply::Written(super::Written { versions: vec![version] })),
            Err(reason) => Err(CommandError::Refused { node, reason }),
        };
        self.outputs.push_back(Output::Reply(ticket, reply));
    }

    /// The node that was asked cannot be reached, or went silent.
    pub(super) fn ask_failed(&mut self, stream: StreamId) {
        if let Some(asked) = self.asks.remove(&stream) {
            let error = CommandError::Unreachable(asked.node);
            self.outputs.push_back(Output::Reply(asked.ticket, Err(error)));
        }
    }
}

/// A command that another node carries out.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) ticket: Ticket,
    pub(super) node: NodeName,
}
