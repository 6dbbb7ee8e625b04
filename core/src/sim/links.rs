//! Streams between nodes, message by message.
//!
//! Nothing on a stream is lost or overtaken; what the network loses comes later. A split stalls a
//! stream, and one that was stalled for long is over.

use std::{
    collections::{BTreeMap, VecDeque},
    net::SocketAddr,
    time::Duration,
};

use rand::RngExt;

use super::{Happening, Sim, node, trace::Marked};
use crate::{
    KeyId,
    engine::{Agreed, StreamEvent, StreamId},
    wire::noise::NEWEST_VERSION,
};

/// The end of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Dialler,
    Acceptor,
}

impl Side {
    fn other(self) -> Self {
        match self {
            Self::Dialler => Self::Acceptor,
            Self::Acceptor => Self::Dialler,
        }
    }
}

/// All streams.
#[derive(Debug, Default)]
pub(super) struct Links {
    made: u64,
    open: BTreeMap<u64, Link>,
    by_end: BTreeMap<(usize, StreamId), (u64, Side)>,
}

#[derive(Debug)]
struct Link {
    dialler: End,
    acceptor: End,
    key: KeyId,
    dialled_at: Duration,
}

#[derive(Debug)]
struct End {
    node: usize,
    stream: StreamId,
    /// On its way to this end; `None` is the end of the stream.
    coming: VecDeque<Option<Vec<u8>>>,
    /// The last of it arrives then.
    last_at: Duration,
    stalled_since: Option<Duration>,
}

/// A lost part of a stream is sent again after this long.
const RESEND: Duration = Duration::from_millis(200);
/// And the first packet of one, of which the hosts know nothing yet, after this long.
const DIAL_RESEND: Duration = Duration::from_secs(1);
/// A dial that nobody answers is given up after this long.
const DIAL_TIMEOUT: Duration = Duration::from_secs(3);
/// A stream that stalled for this long is over.
const STALL_TIMEOUT: Duration = Duration::from_secs(15);

impl Links {
    pub(super) fn of_node(&self, node: usize) -> Vec<(u64, Side)> {
        let from = (node, StreamId(0))..=(node, StreamId(u64::MAX));
        self.by_end.range(from).map(|(_, link)| *link).collect()
    }

    /// The node at one end of a stream.
    pub(super) fn node_at(&self, link: u64, side: Side) -> Option<usize> {
        let ends = self.open.get(&link)?;
        Some(match side {
            Side::Dialler => ends.dialler.node,
            Side::Acceptor => ends.acceptor.node,
        })
    }

    /// What comes next to one end of a stream.
    #[cfg(test)]
    pub(super) fn coming(&mut self, link: u64, to: Side) -> Option<Vec<u8>> {
        self.end(link, to)?.coming.front()?.clone()
    }

    fn end(&mut self, link: u64, side: Side) -> Option<&mut End> {
        let link = self.open.get_mut(&link)?;
        Some(match side {
            Side::Dialler => &mut link.dialler,
            Side::Acceptor => &mut link.acceptor,
        })
    }

    /// One end knows no more of it.
    pub(super) fn forget(&mut self, link: u64, side: Side) {
        let Some(end) = self.end(link, side) else { return };
        let end = (end.node, end.stream);
        self.by_end.remove(&end);
        let other = self.end(link, side.other()).map(|other| (other.node, other.stream));
        if other.is_none_or(|other| !self.by_end.contains_key(&other)) {
            self.open.remove(&link);
        }
    }
}

impl End {
    fn new(node: usize, stream: StreamId) -> Self {
        let (coming, last_at, stalled_since) = (VecDeque::new(), Duration::ZERO, None);
        Self { node, stream, coming, last_at, stalled_since }
    }
}

impl Sim {
    pub(super) fn dial(&mut self, node: usize, stream: StreamId, to: SocketAddr, key: KeyId) {
        self.links.made += 1;
        let link = self.links.made;
        let target = self.by_address.get(&to).copied().unwrap_or(usize::MAX);
        let accepted = StreamId(1 << 63 | link);
        let ends = Link {
            dialler: End::new(node, stream),
            acceptor: End::new(target, accepted),
            key,
            dialled_at: self.now,
        };
        self.links.open.insert(link, ends);
        self.links.by_end.insert((node, stream), (link, Side::Dialler));
        self.trace.mark(self.now, node, Marked::Dialled(target));
        let at = self.now + self.way_with(node, target, DIAL_RESEND);
        self.schedule(at, Happening::Dialled { link });
    }

    /// The dial has arrived, or would have.
    pub(super) fn answer_dial(&mut self, link: u64) {
        let Some(ends) = self.links.open.get(&link) else { return };
        let (node, target, dialled_at) = (ends.dialler.node, ends.acceptor.node, ends.dialled_at);
        self.trace.note(self.now, 4, node as u64, &link.to_le_bytes());
        let host_answers = self.nodes.get(target).is_some_and(|target| target.host_is_up)
            && self.network.joins(node::address(node), node::address(target));
        if !host_answers {
            let (at, reason) = (dialled_at + DIAL_TIMEOUT, "timed out");
            return self.schedule(at, Happening::Closed { link, side: Side::Dialler, reason });
        }
        let back = self.now + self.way_with(target, node, DIAL_RESEND);
        if self.engine(target).is_none() {
            return self.schedule(back, Happening::Refused { link });
        }
        self.schedule(back, Happening::Reached { link });
        let greeted = back + self.way(node, target) + self.way(target, node);
        self.schedule(greeted, Happening::Greeted { link });
    }

    pub(super) fn refuse_dial(&mut self, link: u64) {
        if let Some((node, stream)) = self.dialler(link) {
            self.stream_event(node, StreamEvent::Refused(stream));
            self.close(link, Side::Dialler, "refused");
        }
    }

    pub(super) fn reach(&mut self, link: u64) {
        if let Some((node, stream)) = self.dialler(link) {
            self.stream_event(node, StreamEvent::Reached(stream));
        }
    }

    /// Both have proved the key.
    pub(super) fn greet(&mut self, link: u64) {
        let Some((node, stream)) = self.dialler(link) else { return };
        let Some(ends) = self.links.open.get(&link) else { return };
        let (target, accepted) = (ends.acceptor.node, ends.acceptor.stream);
        let last = ends.dialled_at + DIAL_TIMEOUT;
        let Some(of) = self.nodes.get(target) else { return };
        if of.engine.is_none() {
            return self.close(link, Side::Dialler, "the peer is gone");
        }
        let may_go_on = of.paused_until().max(self.now);
        if may_go_on > self.now {
            let side = Side::Dialler;
            return if may_go_on > last {
                self.schedule(last, Happening::Closed { link, side, reason: "no answer" });
            } else {
                self.schedule(may_go_on, Happening::Greeted { link });
            };
        }
        let Some(key) = self.common_key(link, node, target) else {
            if let Some(theirs) = self.engine(target).map(|engine| engine.keyring().sealing_id()) {
                self.stream_event(node, StreamEvent::OtherKey(stream, theirs));
            }
            return self.close(link, Side::Dialler, "the peer uses another key");
        };
        self.links.by_end.insert((target, accepted), (link, Side::Acceptor));
        let mut from = node::address(node);
        from.set_port(self.rng.random_range(32768..=60999));
        let agreed = Agreed { key, version: self.common_version(node, target) };
        self.stream_event(target, StreamEvent::Accepted(accepted, from, agreed));
        self.stream_event(node, StreamEvent::Opened(stream, agreed));
    }

    /// The key that a stream stands under: the one it was dialled with or, if the peer does not know that,
    /// the one the peer names. A node may have another one since it dialled.
    fn common_key(&self, link: u64, dialler: usize, acceptor: usize) -> Option<KeyId> {
        let (ours, theirs) = (self.engine(dialler)?.keyring(), self.engine(acceptor)?.keyring());
        let dialled = self.links.open.get(&link)?.key;
        let dialled = if ours.may_open(dialled) { dialled } else { ours.sealing_id() };
        let named = theirs.sealing_id();
        [dialled, named].into_iter().find(|key| ours.may_open(*key) && theirs.may_open(*key))
    }

    /// The newest version that both speak.
    fn common_version(&self, one: usize, other: usize) -> u8 {
        let nodes = [one, other].into_iter().filter_map(|at| self.nodes.get(at));
        nodes.map(|node| node.plan.speaks).min().unwrap_or(NEWEST_VERSION)
    }

    /// The end that dialled, if it still cares.
    fn dialler(&self, link: u64) -> Option<(usize, StreamId)> {
        let ends = self.links.open.get(&link)?;
        let end = (ends.dialler.node, ends.dialler.stream);
        self.links.by_end.contains_key(&end).then_some(end)
    }

    /// Sends a message, or with `None` the end, from one node's end of a stream.
    pub(super) fn put(&mut self, node: usize, stream: StreamId, message: Option<Vec<u8>>) {
        let Some((link, side)) = self.links.by_end.get(&(node, stream)).copied() else { return };
        let ends = message.is_none();
        self.pass(link, side.other(), message);
        if ends {
            self.links.forget(link, side);
        }
    }

    /// The end of a stream that a node which is gone held: its peer learns of it.
    pub(super) fn close_far_end(&mut self, link: u64, side: Side, reason: &'static str) {
        let Some(ends) = self.links.open.get(&link) else { return };
        let (one, other) = (ends.dialler.node, ends.acceptor.node);
        let connected = self.network.joins(node::address(one), node::address(other));
        let at = self.now + self.way(one, other);
        self.links.forget(link, side);
        if connected {
            self.schedule(at, Happening::Closed { link, side: side.other(), reason });
        }
    }

    pub(super) fn close(&mut self, link: u64, side: Side, reason: &'static str) {
        let Some(end) = self.links.end(link, side) else { return };
        let (node, stream) = (end.node, end.stream);
        let other = self.links.node_at(link, side.other()).unwrap_or(usize::MAX);
        if self.links.by_end.contains_key(&(node, stream)) {
            self.trace.mark(self.now, node, Marked::Closed(other, reason));
            self.links.forget(link, side);
            self.stream_event(node, StreamEvent::Closed(stream, reason.to_owned()));
        }
    }

    pub(super) fn deliver(&mut self, link: u64, to: Side) {
        let Some(ends) = self.links.open.get(&link) else { return };
        let (one, other) = (ends.dialler.node, ends.acceptor.node);
        if !self.network.joins(node::address(one), node::address(other)) {
            return self.stall(link, to);
        }
        let Some(end) = self.links.end(link, to) else { return };
        end.stalled_since = None;
        let (node, stream) = (end.node, end.stream);
        let Some(message) = end.coming.pop_front() else { return };
        self.trace.note(self.now, 5, node as u64, message.as_deref().unwrap_or_default());
        match message {
            Some(bytes) if self.links.by_end.contains_key(&(node, stream)) => {
                self.stream_event(node, StreamEvent::Message(stream, bytes));
            }
            Some(_) => {}
            None => self.close(link, to, "closed by the peer"),
        }
    }

    fn pass(&mut self, link: u64, to: Side, message: Option<Vec<u8>>) {
        let (Some(node), Some(from)) =
            (self.links.node_at(link, to), self.links.node_at(link, to.other()))
        else {
            return;
        };
        let bytes = message.as_ref().map_or(0, Vec::len) as u64;
        self.network.stream_bytes += bytes;
        let takes = Duration::from_micros(bytes * 1_000_000 / self.config.stream_rate.max(1));
        let arrival = self.now + self.way(from, node);
        let Some(end) = self.links.end(link, to) else { return };
        end.coming.push_back(message);
        end.last_at = (end.last_at + takes).max(arrival + takes);
        let at = end.last_at;
        self.schedule(at, Happening::Delivery { link, to });
    }

    fn stall(&mut self, link: u64, to: Side) {
        let now = self.now;
        let Some(end) = self.links.end(link, to) else { return };
        let since = *end.stalled_since.get_or_insert(now);
        if since + STALL_TIMEOUT > now {
            end.last_at = end.last_at.max(now + RESEND);
            return self.schedule(now + RESEND, Happening::Delivery { link, to });
        }
        self.close(link, Side::Dialler, "stalled");
        self.close(link, Side::Acceptor, "stalled");
    }

    /// How long a part of a stream is on its way, losses included.
    fn way(&mut self, from: usize, to: usize) -> Duration {
        self.way_with(from, to, RESEND)
    }

    fn way_with(&mut self, from: usize, to: usize, mut wait: Duration) -> Duration {
        let (from, to) = (node::address(from), node::address(to));
        let mut time = self.latency(from, to);
        while time < STALL_TIMEOUT && self.is_lost(from, to) {
            time += wait;
            wait *= 2;
        }
        time
    }
}
