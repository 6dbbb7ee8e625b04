//! How far back a node knows everything, and what it does when it was away for longer.
//!
//! Tombstones go when they are older than [`tombstone_age`](super::EngineConfig::tombstone_age). Whoever
//! was away since before then may hold records whose deletion it can no longer hear of. When it meets a
//! node that knows, it drops what that node lacks, instead of bringing it back. It keeps what it wrote
//! itself and had not yet shared.
//!
//! A node knows only if it has known everything since before the other left: one that was installed
//! anew meanwhile does not. If it meets the other first, it takes over what that holds, and counts
//! as away for as long, until it has met one that knows. Nodes of which none knows bring together
//! what they hold, and after a while go on: what was said while they were away stays a gap in what
//! they know, and what others bring of that time is kept. While a node catches up with one that
//! knows, it has no other sync: another that was away would bring back what it just dropped.
//!
//! A cluster that was split for longer than that merges: each side knows everything, of itself.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Engine, Now, StreamId, timer::Timer};
use crate::{
    NodeId, codec, limits,
    state::{Change, Record, Stamp, Version},
    wire::frame::{Frame, Gap},
};

/// How often the horizon is looked at.
const PERIOD: Duration = Duration::from_secs(60);
/// A node that was away and meets only others that were, looks for one that was not for this long.
const PATIENCE: Duration = Duration::from_secs(600);
/// When it was complete is written to disk this often.
const SAVE_PERIOD_MS: u64 = 600_000;
const HOUR_MS: u64 = 3_600_000;
/// From this version of the stream protocol on, what a node does not know is told.
const TELLS_GAPS: u8 = 2;

/// Where [`Span`] is kept.
pub(super) const SPAN_KEY: &[u8] = b"complete";
/// Where the [`Gap`] in it is kept.
pub(super) const GAP_KEY: &[u8] = b"gap";
/// Since when someone knows everything who knows nothing.
const NOTHING: u64 = u64::MAX;

/// The time a node knows everything of, in Unix milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Span {
    /// What was deleted since then it does not hold.
    since_ms: u64,
    /// It held what another node held, for the last time.
    until_ms: u64,
}

/// How much a node knows, in Unix milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Known {
    /// What was deleted since then it does not hold.
    Since(u64),
    /// It was away, and may hold what was deleted after then.
    Until(u64),
}

/// What a peer says of itself in a sync.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Told {
    /// How much it knows, if it has said so.
    pub(super) known: Option<Known>,
    /// What it does not know of that.
    pub(super) gap: Option<Gap>,
    /// It has no tombstone below this.
    pub(super) horizon_ms: u64,
}

impl Told {
    /// It has never met anyone, or was away and speaks version 1.
    pub(super) fn knows_nothing(self) -> bool {
        self.known == Some(Known::Since(NOTHING))
    }

    /// What was deleted since then it does not hold; the end of time if it does not know.
    fn since_ms(&self) -> u64 {
        match self.known {
            Some(Known::Since(since_ms)) => since_ms,
            Some(Known::Until(_)) | None => NOTHING,
        }
    }
}

/// How far back this node knows everything.
#[derive(Debug)]
pub(super) struct Horizon {
    span: Span,
    /// A time within of which it knows nothing.
    gap: Option<Gap>,
    saved: (Span, Option<Gap>),
    /// The last write of its own that others may not have.
    written_ms: u64,
    /// It met others that were away, for the first time.
    merging: Option<Duration>,
}

/// A sync of one that was away with one that was not.
#[derive(Debug, Clone, Copy)]
pub(super) struct Away {
    me: NodeId,
    /// It was complete until then.
    until_ms: u64,
    /// The other has no tombstone below this.
    horizon_ms: u64,
    /// The other knows nothing of this time.
    gap: Option<Gap>,
}

impl Away {
    /// Would the other node hold this, were it not deleted?
    fn is_deleted(&self, version: &Version) -> bool {
        let heard = |at_ms| self.gap.is_none_or(|gap| !gap.contains(at_ms));
        match version {
            Version::Shared(_, stamp) => {
                let shared = stamp.wall_ms() <= self.until_ms || stamp.node != self.me;
                shared && *stamp < Stamp::floor(self.horizon_ms) && heard(stamp.wall_ms())
            }
            // Of a node that was forgotten: its epoch began before.
            Version::Owned(owner, _, epoch, _) => {
                *owner != self.me && *epoch <= self.until_ms && heard(*epoch)
            }
        }
    }
}

impl Gap {
    fn contains(self, at_ms: u64) -> bool {
        (self.from_ms..=self.to_ms).contains(&at_ms)
    }

    /// The least gap with both in it.
    fn with(self, other: Self) -> Self {
        let (from_ms, to_ms) = (self.from_ms.min(other.from_ms), self.to_ms.max(other.to_ms));
        Self { from_ms, to_ms }
    }
}

/// Is all of a gap known to one that knows everything since then, but for a gap of its own?
fn fills(gap: Gap, since_ms: u64, own: Option<Gap>) -> bool {
    let apart = |own: Gap| own.to_ms < gap.from_ms || gap.to_ms < own.from_ms;
    since_ms <= gap.from_ms && own.is_none_or(apart)
}

impl Horizon {
    /// A node that knows nothing from before now.
    pub(super) fn new(now: Now) -> Self {
        let span = Span { since_ms: now.wall_ms, until_ms: now.wall_ms };
        let saved = (Span { since_ms: 0, until_ms: 0 }, None);
        Self { span, gap: None, saved, written_ms: 0, merging: None }
    }

    /// What it knew at its last run.
    pub(super) fn load(&mut self, span: Span) {
        (self.span, self.saved.0) = (span, span);
    }

    /// It has never held what another node does.
    pub(super) fn is_new(&self) -> bool {
        self.saved.0.until_ms == 0
    }

    /// What it did not know at its last run.
    pub(super) fn load_gap(&mut self, gap: Gap) {
        (self.gap, self.saved.1) = (Some(gap), Some(gap));
    }

    /// Nobody was found who knows what was said since this node was complete.
    fn leave_gap(&mut self, now: Now) {
        let missed = Gap { from_ms: self.span.until_ms, to_ms: now.wall_ms };
        self.gap = Some(self.gap.map_or(missed, |gap| gap.with(missed)));
    }

    /// What is still a gap if this node and a peer know together what each of them does.
    fn gap_beside(&self, peer: Told) -> Option<Gap> {
        let mine = self.gap.filter(|gap| !fills(*gap, peer.since_ms(), peer.gap));
        let of_mine = |gap: &Gap| {
            gap.to_ms <= self.span.until_ms && fills(*gap, self.span.since_ms, self.gap)
        };
        let theirs = peer.gap.filter(|gap| !of_mine(gap));
        match (mine, theirs) {
            (Some(mine), Some(theirs)) => Some(mine.with(theirs)),
            (mine, theirs) => mine.or(theirs),
        }
    }

    pub(super) fn wrote(&mut self, now: Now) {
        self.written_ms = now.wall_ms;
    }

    /// What a sync of this node with a peer has to drop: the peer knows, and this node was away.
    pub(super) fn away(&self, me: NodeId, peer: Told) -> Option<Away> {
        let until_ms = self.span.until_ms;
        let away = Away { me, until_ms, horizon_ms: peer.horizon_ms, gap: peer.gap };
        (peer.since_ms() <= until_ms && until_ms < peer.horizon_ms).then_some(away)
    }
}

impl Engine {
    /// Collects tombstones older than the horizon, which follows the wall clock by the hour.
    pub(super) fn move_horizon(&mut self, now: Now) {
        self.timers.set(Timer::Horizon, now.mono + PERIOD);
        self.quiet.forget(now.mono);
        self.names_refused.forget(now.mono);
        self.expire_keys(now);
        // Who knows of no other node is the whole cluster.
        if self.state.owners().all(|(id, _)| id == self.config.id) {
            self.horizon.span.until_ms = self.horizon.span.until_ms.max(now.wall_ms);
        }
        let horizon_ms = self.oldest(now.wall_ms);
        self.advance_horizon(horizon_ms, now);
        self.forget_departed(now);
    }

    /// A member has collected its tombstones up to here. It may be a little ahead of us; never more than
    /// the clock allows.
    pub(super) fn hear_horizon(&mut self, horizon_ms: u64, now: Now) -> u64 {
        let ahead = limits::STAMP_AHEAD.as_millis() as u64;
        let horizon_ms = horizon_ms.min(self.oldest(now.wall_ms.saturating_add(ahead)));
        self.advance_horizon(horizon_ms, now);
        horizon_ms
    }

    /// How much this node knows.
    pub(super) fn known(&self, now: Now) -> Known {
        let Span { since_ms, until_ms } = self.horizon.span;
        // Others may be a little ahead of us.
        let ahead = limits::STAMP_AHEAD.as_millis() as u64;
        if until_ms < self.oldest(now.wall_ms.saturating_add(ahead)) {
            Known::Until(until_ms)
        } else {
            Known::Since(since_ms)
        }
    }

    /// How much this node knows, as a peer that speaks this version is told.
    pub(super) fn tell_known(&self, version: u8, now: Now) -> Vec<Frame> {
        let gap = self.horizon.gap;
        match self.known(now) {
            _ if self.has_yet_to_meet() => vec![Frame::Since(NOTHING)],
            Known::Until(until_ms) if version >= TELLS_GAPS => vec![Frame::Until(until_ms)],
            Known::Until(_) => vec![Frame::Since(NOTHING)],
            Known::Since(since_ms) if version >= TELLS_GAPS => {
                [Frame::Since(since_ms)].into_iter().chain(gap.map(Frame::Gap)).collect()
            }
            Known::Since(since_ms) => {
                vec![Frame::Since(gap.map_or(since_ms, |gap| gap.to_ms.max(since_ms)))]
            }
        }
    }

    /// Before this node takes what a peer holds: if that was away, and what was deleted meanwhile
    /// is not known here, this node counts as away as well. Does it from now on?
    pub(super) fn learn_from(&mut self, peer: Told, now: Now) -> bool {
        let Some(Known::Until(until_ms)) = peer.known else { return false };
        let Span { since_ms, until_ms: mine } = self.horizon.span;
        let learns = until_ms < since_ms && until_ms < mine;
        if learns {
            self.horizon.span.until_ms = until_ms;
            self.save_span(now);
        }
        learns
    }

    /// This node holds what a peer does.
    pub(super) fn complete(&mut self, peer: Told, now: Now) {
        let Span { since_ms, until_ms } = self.horizon.span;
        let since_ms = if self.horizon.away(self.config.id, peer).is_some() {
            peer.since_ms()
        } else if matches!(self.known(now), Known::Since(_)) {
            since_ms.min(peer.since_ms())
        } else if self.ends_waiting(now) {
            self.horizon.leave_gap(now);
            since_ms.min(peer.since_ms())
        } else {
            return;
        };
        self.horizon.merging = None;
        self.horizon.gap = self.horizon.gap_beside(peer);
        self.horizon.span = Span { since_ms, until_ms: until_ms.max(now.wall_ms) };
        self.save_span(now);
        self.hear_horizon(peer.horizon_ms, now);
    }

    /// Nobody it met knows. Is it time to go on with what they hold together?
    fn ends_waiting(&mut self, now: Now) -> bool {
        let first = *self.horizon.merging.get_or_insert(now.mono);
        let ends = now.mono >= first + PATIENCE;
        if ends {
            let hours = now.wall_ms.saturating_sub(self.horizon.span.until_ms) / HOUR_MS;
            tracing::warn!(
                hours,
                "nobody was found who was there meanwhile: what was deleted then may be back"
            );
        }
        ends
    }

    fn save_span(&mut self, now: Now) {
        let Horizon { span, gap, saved: (saved, saved_gap), written_ms, .. } = self.horizon;
        let due = span.until_ms >= saved.until_ms + SAVE_PERIOD_MS
            || span.until_ms < saved.until_ms
            || written_ms >= saved.until_ms
            || span.since_ms != saved.since_ms;
        if gap != saved_gap {
            self.store_local(GAP_KEY, gap.map(|gap| codec::encode(&gap)));
        }
        if due || gap != saved_gap {
            let first = self.horizon.is_new();
            self.horizon.saved = (span, gap);
            self.store_local(SPAN_KEY, Some(codec::encode(&span)));
            self.persist_soon(now);
            if first {
                // From here on it may go on alone, also if it ends at once.
                self.flush_store();
            }
        }
    }

    /// Collects tombstones below this, unless this node does not know everything up to there.
    fn advance_horizon(&mut self, horizon_ms: u64, now: Now) {
        if horizon_ms <= self.horizon.span.until_ms {
            let removed = self.state.advance_horizon(horizon_ms);
            self.store_removed(removed);
            self.persist_soon(now);
        }
    }

    /// Tombstones below this are collected. Rounded to the hour, so that all nodes agree on it.
    fn oldest(&self, wall_ms: u64) -> u64 {
        let oldest = wall_ms.saturating_sub(self.config.tombstone_age.as_millis() as u64);
        oldest - oldest % HOUR_MS
    }

    /// Of what the peer lacks, drops what was deleted while this node was away. Returns the rest.
    pub(super) fn without_deleted(
        &mut self,
        id: StreamId,
        lacked: Vec<Record>,
        now: Now,
    ) -> Vec<Record> {
        let Some(away) = self.streams.away_on(id) else { return lacked };
        let (deleted, rest): (Vec<_>, Vec<_>) =
            lacked.into_iter().partition(|record| away.is_deleted(&record.version()));
        if !deleted.is_empty() {
            self.counters.records_reset += deleted.len() as u64;
            tracing::warn!(
                records = deleted.len(),
                "dropped what was deleted while this node was away"
            );
        }
        for record in deleted {
            let changes = match record.version() {
                Version::Shared(key, _) => self.state.drop_deleted(&key),
                Version::Owned(owner, _, epoch, _) => self.state.drop_owner(owner, epoch),
            };
            self.follow_dropped(changes, now);
        }
        rest
    }

    fn follow_dropped(&mut self, changes: Vec<Change>, now: Now) {
        self.note_changes(None, &changes);
        for change in changes {
            self.follow(change, now);
        }
        self.persist_soon(now);
    }
}
