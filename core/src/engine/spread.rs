//! News: small records ride as broadcasts, larger ones are hinted at and pulled.
//!
//! Everything converges without this, by digest sync; it only makes it fast. Broadcasts carry about
//! 1 KB/s of new data for the whole cluster, so what does not fit the queue is left to hints, unless it is
//! so short that a hint spares little, and beyond that to sync.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    time::Duration,
};

use super::{Engine, Now, Verdict, timer::Timer};
use crate::{
    codec, limits,
    state::{Record, Version},
    swim::Announcement,
};

/// What was hinted at and is not held yet.
#[derive(Debug, Default)]
pub(super) struct Wanted {
    /// And who has it.
    waiting: BTreeMap<Version, SocketAddr>,
    pulling: BTreeSet<Version>,
}

impl Wanted {
    /// How many are not held yet.
    pub(super) fn len(&self) -> usize {
        self.waiting.len() + self.pulling.len()
    }
}

/// Hinted records are pulled after up to this long, so that not all ask one neighbour at once.
const PULL_JITTER: Duration = Duration::from_millis(60);
/// And after up to this long while members come and go: one stream then pulls the facts of several, if no
/// sync has brought them.
const PULL_JITTER_MOVING: Duration = Duration::from_millis(200);
/// Of several neighbours that hinted meanwhile one is asked; the next after up to this long, for what nobody
/// has brought by then.
const PULL_NEXT_MOVING: Duration = Duration::from_millis(400);

/// What is said of a record while so many others wait to be spread: all of it, or a hint.
fn said_of(record: Record, waiting: usize) -> Announcement {
    let most = match waiting <= limits::BROADCAST_BACKLOG_FULL {
        true => limits::BROADCAST_BYTES,
        false => limits::BROADCAST_SMALL_BYTES,
    };
    let whole = Announcement { version: record.version(), record: Some(record) };
    let fits = codec::encode(&whole).len() <= most;
    Announcement { record: whole.record.filter(|_| fits), ..whole }
}

impl Engine {
    /// Spreads a record that is news.
    pub(super) fn spread(&mut self, version: &Version, now: Now) {
        if !self.config.broadcasts {
            return;
        }
        let backlog = self.swim.backlog();
        if backlog > limits::BROADCAST_BACKLOG_HINTS {
            self.counters.records_unspread += 1;
            return;
        }
        let Some(record) = self.record_of(version) else { return };
        let said = codec::encode(&said_of(record, backlog));
        if !self.swim.broadcast(&said, now.mono) {
            tracing::debug!("a record is left to digest sync: it cannot be broadcast");
        }
        self.drain_swim(now);
    }

    /// Hears a broadcast.
    pub(super) fn hear(&mut self, bytes: &[u8], from: SocketAddr, now: Now) {
        let Ok(Announcement { version, record }) = codec::decode(bytes) else {
            self.counters.datagrams_malformed += 1;
            return;
        };
        match record {
            Some(record) if record.version() == version => self.hear_record(record, &version, now),
            Some(_) => self.counters.datagrams_malformed += 1,
            None => self.want(version, from, now),
        }
    }

    fn hear_record(&mut self, record: Record, version: &Version, now: Now) {
        if self.take(record, now) == Verdict::Fresh {
            self.spread(version, now);
            self.persist_soon(now);
        }
    }

    fn want(&mut self, version: Version, from: SocketAddr, now: Now) {
        let known = self.state.holds(&version)
            || self.wanted.pulling.contains(&version)
            || super::own::is_own(&version, self.config.id);
        if known {
            return;
        }
        if self.wanted.waiting.len() >= limits::WANTED {
            self.counters.hints_dropped += 1;
            return;
        }
        if self.wanted.waiting.is_empty() {
            let most = if self.is_moving(now) { PULL_JITTER_MOVING } else { PULL_JITTER };
            let delay = self.jitter(Duration::ZERO, most);
            self.timers.set_by(Timer::Wanted, now.mono + delay);
        }
        self.wanted.waiting.insert(version, from);
    }

    /// Pulls what is wanted, a stream for each neighbour that has some of it; while members come and go only
    /// from the one that has most.
    pub(super) fn pull_wanted(&mut self, now: Now) {
        let waiting = std::mem::take(&mut self.wanted.waiting);
        let mut by_peer: BTreeMap<SocketAddr, Vec<Version>> = BTreeMap::new();
        for (version, from) in waiting {
            if !self.state.holds(&version) {
                by_peer.entry(from).or_default().push(version);
            }
        }
        let one_at_a_time = self.is_moving(now) && by_peer.len() > 1;
        let most = by_peer.iter().max_by_key(|(_, versions)| versions.len()).map(|(at, _)| *at);
        if let Some(most) = most.filter(|_| one_at_a_time) {
            let others = by_peer.extract_if(.., |at, _| *at != most);
            let others =
                others.flat_map(|(at, versions)| versions.into_iter().map(move |one| (one, at)));
            self.wanted.waiting.extend(others);
            let delay = self.jitter(Duration::ZERO, PULL_NEXT_MOVING);
            self.timers.set_by(Timer::Wanted, now.mono + delay);
        }
        for (from, mut versions) in by_peer {
            let rest = versions.split_off(versions.len().min(limits::RECORDS_PULLED));
            let later = if self.dial_pull(from, versions.clone(), now) {
                self.wanted.pulling.extend(versions);
                rest
            } else {
                versions.into_iter().chain(rest).collect()
            };
            if !later.is_empty() {
                self.wanted.waiting.extend(later.into_iter().map(|version| (version, from)));
                self.timers.set_by(Timer::Wanted, now.mono + PULL_JITTER);
            }
        }
    }

    /// A pull is over; what it did not bring comes by another hint or by sync.
    pub(super) fn pull_ended(&mut self, versions: &[Version], now: Now) {
        for version in versions {
            self.wanted.pulling.remove(version);
        }
        if !self.wanted.waiting.is_empty() {
            self.timers.set_by(Timer::Wanted, now.mono);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        NodeId,
        state::{Body, Kind, Owned},
    };

    #[test]
    fn a_hint_stands_for_what_is_long_and_for_more_of_it_while_many_wait() {
        let (calm, busy) = (limits::BROADCAST_BACKLOG_FULL, limits::BROADCAST_BACKLOG_FULL + 1);
        let cases = [(80, calm, true), (80, busy, true), (500, calm, true), (500, busy, false)];
        for (bytes, waiting, whole) in cases.into_iter().chain([(1000, calm, false)]) {
            let body = Body { version: 1, bytes: vec![7; bytes].into() };
            let (owner, kind) = (NodeId(9), Kind::NODE);
            let record =
                Record::Owned(Owned { owner, epoch: 1_764_000_000_000, seq: 3, kind, body });
            let said = said_of(record.clone(), waiting);
            assert_eq!(said.version, record.version());
            assert_eq!(said.record, whole.then_some(record), "{bytes} bytes, {waiting} wait");
        }
    }
}
