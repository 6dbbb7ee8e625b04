//! News: small records ride as broadcasts, larger ones are hinted at and pulled.
//!
//! Everything converges without this, by digest sync; it only makes it fast. Broadcasts carry about
//! 1 KB/s of new data for the whole cluster, so what does not fit the queue is left to hints, and
//! beyond that to sync.

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
        let version = record.version();
        let whole = codec::encode(&Announcement { version: version.clone(), record: Some(record) });
        let fits =
            whole.len() <= limits::BROADCAST_BYTES && backlog <= limits::BROADCAST_BACKLOG_FULL;
        let announcement =
            if fits { whole } else { codec::encode(&Announcement { version, record: None }) };
        if !self.swim.broadcast(&announcement, now.mono) {
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
        self.wanted.waiting.insert(version, from);
        let delay = self.jitter(Duration::ZERO, PULL_JITTER);
        self.timers.set_by(Timer::Wanted, now.mono + delay);
    }

    /// Pulls what is wanted, a stream for each neighbour that has some of it.
    pub(super) fn pull_wanted(&mut self, now: Now) {
        let waiting = std::mem::take(&mut self.wanted.waiting);
        let mut by_peer: BTreeMap<SocketAddr, Vec<Version>> = BTreeMap::new();
        for (version, from) in waiting {
            if !self.state.holds(&version) {
                by_peer.entry(from).or_default().push(version);
            }
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
