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

/// The commands that wait for members to hold what was written.
#[derive(Debug, Default)]
pub(super) struct Waits {
    /// The number of the question that was made last. An answer bears that of its question.
    last: u64,
    open: BTreeMap<Ticket, Waiting>,
}

/// A command that waits for members to hold versions.
#[derive(Debug)]
struct Waiting {
    questions: Vec<Question>,
    until: Duration,
    pause: Duration,
    ask_at: Duration,
}

/// Who does not say yet that it holds a version.
#[derive(Debug)]
struct Question {
    nonce: u64,
    version: Version,
    missing: BTreeMap<NodeId, SocketAddr>,
}

impl Waiting {
    fn is_answered(&self) -> bool {
        self.questions.iter().all(|question| question.missing.is_empty())
    }
}

const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

impl Engine {
    /// Waits for all of these versions.
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
        let question = |version| {
            self.waits.last += 1;
            Question { nonce: self.waits.last, version, missing: missing.clone() }
        };
        let questions = versions.into_iter().map(question).collect();
        let until = now.mono.saturating_add(timeout);
        let waiting = Waiting { questions, until, pause: FIRST_PAUSE, ask_at: now.mono };
        self.waits.open.insert(ticket, waiting);
        self.run_waits(now);
    }

    /// Asks again, and answers what has waited long enough.
    pub(super) fn run_waits(&mut self, now: Now) {
        let mut asked = Vec::new();
        for waiting in self.waits.open.values_mut() {
            if waiting.ask_at <= now.mono {
                waiting.ask_at = now.mono + waiting.pause;
                waiting.pause = (waiting.pause * 2).min(LONGEST_PAUSE);
                for Question { nonce, version, missing } in &waiting.questions {
                    asked.extend(missing.values().map(|to| (*to, *nonce, version.clone())));
                }
            }
            self.timers.set_by(Timer::Waits, waiting.ask_at.min(waiting.until));
        }
        for (to, nonce, version) in asked {
            self.send(to, &Datagram::Holds { nonce, version }, now);
        }
        self.answer_waits(|waiting| waiting.is_answered() || waiting.until <= now.mono);
    }

    pub(super) fn handle_held(&mut self, from: SocketAddr, nonce: u64, holds: bool) {
        let mut questions = self.waits.open.values_mut().flat_map(|waiting| &mut waiting.questions);
        let question = questions.find(|question| holds && question.nonce == nonce);
        if let Some(question) = question {
            question.missing.retain(|_, address| *address != from);
            if question.missing.is_empty() {
                self.answer_waits(Waiting::is_answered);
            }
        }
    }

    /// Nobody waits for the dead.
    pub(super) fn member_gone_from_waits(&mut self, id: NodeId) {
        for question in self.waits.open.values_mut().flat_map(|waiting| &mut waiting.questions) {
            question.missing.remove(&id);
        }
        self.answer_waits(Waiting::is_answered);
    }

    fn answer_waits(&mut self, is_over: impl Fn(&Waiting) -> bool) {
        let over: Vec<Ticket> = self
            .waits
            .open
            .iter()
            .filter(|(_, waiting)| is_over(waiting))
            .map(|(ticket, _)| *ticket)
            .collect();
        for ticket in over {
            let Some(waiting) = self.waits.open.remove(&ticket) else { continue };
            let missing: BTreeSet<&NodeId> =
                waiting.questions.iter().flat_map(|question| question.missing.keys()).collect();
            let name = |id: &NodeId| NodeName::parse(&self.member_name(*id)).ok();
            let missing = missing.into_iter().filter_map(name).collect();
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
