//! Stream pings: a member that answers no datagram is dialled, for us or for another member.
//!
//! How far the dial gets tells more than silence: refused, not taken, taken without a word, or answered.

use std::{collections::BTreeMap, net::SocketAddr, time::Duration};

use super::{Engine, Now, StreamId, timer::Timer};
use crate::{
    limits,
    wire::{
        frame::{Datagram, Frame},
        peer::{Finding, Identity, Peer, Standing},
    },
};

/// Members that are being dialled.
#[derive(Debug, Default)]
pub(super) struct Pings(BTreeMap<StreamId, Ping>);

#[derive(Debug)]
struct Ping {
    target: Identity,
    incarnation: u16,
    /// We want to know.
    ours: bool,
    /// And these do.
    askers: Vec<SocketAddr>,
    /// Its host took the connection.
    reached: bool,
    until: Duration,
}

/// A member that has not answered a dial by then does not answer. One lost first packet is made up for.
const PING_TIME: Duration = Duration::from_millis(1500);

impl Engine {
    /// Dials a member, for us or for one who asks.
    pub(super) fn ping(
        &mut self,
        target: Identity,
        incarnation: u16,
        asker: Option<SocketAddr>,
        now: Now,
    ) {
        let under_way = self.pings.0.values_mut().find(|ping| ping.target == target);
        if let Some(ping) = under_way {
            ping.ours |= asker.is_none();
            let new = asker.filter(|asker| !ping.askers.contains(asker));
            ping.askers.extend(new.filter(|_| ping.askers.len() < limits::PINGS));
            return;
        }
        if target.id == self.config.id {
            return;
        }
        if self.pings.0.len() >= limits::PINGS {
            self.counters.pings_spared += 1;
            return;
        }
        let until = now.mono + PING_TIME;
        let (ours, askers) = (asker.is_none(), asker.into_iter().collect());
        let ping = Ping { target, incarnation, ours, askers, reached: false, until };
        let stream = self.dial_ping(target, now);
        self.pings.0.insert(stream, ping);
        self.timers.set_by(Timer::Pings, until);
    }

    /// The dialled member has proved the key: what it is asked.
    pub(super) fn ping_opened(&mut self, stream: StreamId) -> Option<Frame> {
        let ping = self.pings.0.get_mut(&stream)?;
        ping.reached = true;
        let suspected =
            !ping.askers.is_empty() || self.swim.suspects(&ping.target, ping.incarnation);
        Some(Frame::Ping(ping.target, suspected.then_some(ping.incarnation)))
    }

    pub(super) fn ping_reached(&mut self, stream: StreamId) {
        if let Some(ping) = self.pings.0.get_mut(&stream) {
            ping.reached = true;
        }
    }

    pub(super) fn ping_refused(&mut self, stream: StreamId, now: Now) {
        self.ping_ended(stream, Finding::Refused, now);
    }

    /// It cannot be opened, or ended without an answer.
    pub(super) fn ping_closed(&mut self, stream: StreamId, now: Now) {
        let Some(ping) = self.pings.0.get(&stream) else { return };
        let finding = if ping.reached { Finding::Silent } else { Finding::Unanswered };
        self.ping_ended(stream, finding, now);
    }

    /// It has too much to do to answer, but it said so.
    pub(super) fn ping_turned_away(&mut self, stream: StreamId, now: Now) {
        self.ping_ended(stream, Finding::Here, now);
    }

    /// What we are, for who dialled us to know, and our objection if we are suspected.
    pub(super) fn answer_ping(
        &mut self,
        target: Identity,
        suspected: Option<u16>,
        now: Now,
    ) -> Frame {
        let objection =
            suspected.and_then(|incarnation| self.swim.object(target, incarnation, now.mono));
        self.drain_swim(now);
        let identity = self.swim.identity();
        let plain = Peer { identity, incarnation: 0, standing: Standing::Alive };
        Frame::Pong(objection.unwrap_or(plain))
    }

    /// Who was dialled has said who it is. Another node at its address has yet to be let in, and is no member
    /// for having answered.
    pub(super) fn ping_answered(&mut self, stream: StreamId, peer: Peer, now: Now) {
        let Some(ping) = self.pings.0.get(&stream) else { return };
        let (target, askers) = (ping.target, ping.askers.clone());
        if peer.identity.id == target.id {
            self.swim.apply(vec![peer], Some(peer.identity), now.mono);
            self.drain_swim(now);
            for asker in askers {
                self.send(asker, &Datagram::Objection(peer), now);
            }
        }
        // Another life, or another node, at its address: the one we asked for is gone.
        let finding = if peer.identity == target { Finding::Here } else { Finding::Refused };
        self.ping_ended(stream, finding, now);
    }

    fn ping_ended(&mut self, stream: StreamId, finding: Finding, now: Now) {
        let Some(ping) = self.pings.0.remove(&stream) else { return };
        tracing::debug!(member = %ping.target.address, ?finding, "dialled a silent member");
        for asker in ping.askers {
            self.send(asker, &Datagram::Vouched(ping.target, finding), now);
        }
        if ping.ours {
            self.swim.found(ping.target, finding, now.mono);
            self.drain_swim(now);
        }
    }

    /// Gives up on who has not answered in time.
    pub(super) fn expire_pings(&mut self, now: Now) {
        let over = self.pings.0.iter().filter(|(_, ping)| ping.until <= now.mono);
        let over: Vec<StreamId> = over.map(|(stream, _)| *stream).collect();
        for stream in over {
            self.ping_closed(stream, now);
            self.end_stream(stream, "no answer", now);
        }
        if let Some(next) = self.pings.0.values().map(|ping| ping.until).min() {
            self.timers.set_by(Timer::Pings, next);
        }
    }
}
