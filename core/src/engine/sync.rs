//! Streams: digest sync, pulls and asks.
//!
//! A digest sync makes two nodes hold the same: roots, then buckets where roots differ, then versions
//! where buckets differ, then exactly the records where versions differ, both ways. It repairs all that
//! broadcasts missed, and it alone brings old records to a newcomer.
//!
//! ```text
//! dialler                                 acceptor
//! Hello, Since, Roots          ->
//!                              <-         Hello, Since, Roots, Buckets (of unequal namespaces)
//! Entries (of unequal buckets) ->
//!                              <-         Records, Peers, Want, Done
//! Records, Done                ->
//! ```
//!
//! What a node wrote itself and has not yet on disk is told once it is, and `Done` waits for that.
//!
//! Who lacks more than one sync carries is told `Refuse(Busy)` or nothing instead of `Done`: then
//! neither holds all that the other does, and both go on with the next comparison.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    time::Duration,
};

use rand::RngExt;

use super::{
    Agreed, Engine, MemberState, Now, Output, StreamId, Verdict,
    horizon::{Away, Known, Told},
    persist::Pending,
    timer::Timer,
    wait::Asked,
};
use crate::{
    KeyId, NodeId, ServiceName, codec, limits,
    state::{Buckets, Key, Kind, OwnedEntry, OwnedKey, Owner, Record, SharedEntry, Version},
    wire::{
        frame::{Ask, Datagram, Entries, Frame, Hello, Refuse, SyncRoots},
        peer::{Identity, Peer},
    },
};

/// Roots are compared with someone this often.
const CHECK_PERIOD: Duration = Duration::from_secs(10);
/// And this often in large clusters.
const CHECK_PERIOD_LARGE: Duration = Duration::from_secs(30);
/// After a member came or went, roots are compared more often for so long, at first.
const MOVING: Duration = Duration::from_secs(10);
/// And this often while members come and go, for each of these members up to the slowest: with all of them
/// this takes as much of a node's time however many there are.
const CHECK_MOVING_EACH: Duration = Duration::from_millis(2);
const CHECK_MOVING_LEAST: Duration = Duration::from_millis(100);
const CHECK_MOVING_MOST: Duration = Duration::from_millis(1500);
/// Meanwhile nobody is asked while a sync is under way that got on within this time: what it brings, another
/// would bring as well, and a host short of processor time finishes one sooner than two.
const GETS_ON: Duration = Duration::from_secs(1);
/// After so many rounds of calls a node that met nobody lets in who claims the name of one that it knew: 15 to
/// 30 s after its start.
const NAMES_UNSURE: u32 = 6;
/// Members above which a cluster is large.
const LARGE: usize = 1000;
/// A round that moved data is followed by another this soon.
const CHECK_AGAIN: Duration = Duration::from_secs(1);
/// Who was refused for its epoch and has gone beyond it calls again this soon.
const RETRY_LEAST: Duration = Duration::from_millis(10);
const RETRY_MOST: Duration = Duration::from_millis(200);
/// So long a peer waits for what we have not yet on disk, and up to [`IDLE_PERIOD`] longer.
const OWED_TIME: Duration = Duration::from_secs(2);
/// How often idle streams are looked for.
const IDLE_PERIOD: Duration = Duration::from_secs(2);

/// The streams of one engine.
#[derive(Debug, Default)]
pub(super) struct Streams {
    made: u64,
    open: BTreeMap<StreamId, Stream>,
    /// Instead of [`limits::SYNC_BYTES`].
    #[cfg(all(test, feature = "sim"))]
    pub(super) sync_bytes: Option<usize>,
}

#[derive(Debug)]
struct Stream {
    peer: SocketAddr,
    role: Role,
    /// The key and version it was opened with; `None` until it is.
    agreed: Option<Agreed>,
    hello: Option<Hello>,
    last_moved: Duration,
    /// It was dialled, and what the peer wants is the engine's work.
    working: bool,
    /// What was news to us: records, and changes of membership.
    fresh: usize,
    /// How far back the peer knows everything, once it has told its roots.
    told: Told,
    /// We were away for longer than the peer remembers what was deleted.
    away: Option<Away>,
    /// The peer lacks more than we sent it.
    cut: bool,
    /// Ours that the peer of a sync lacks, told once it is on disk.
    owed: Vec<Version>,
    /// When all was said but what is owed.
    said: Option<Duration>,
}

/// What a stream is for.
#[derive(Debug, Clone)]
enum Role {
    /// We dialled to make both hold the same.
    Sync,
    /// We dialled to pull these.
    Pull(Vec<Version>),
    /// We dialled to have this node do something.
    Ask(NodeId, Ask),
    /// We dialled to hear whether it is there.
    Ping,
    /// We dialled to be told these keys.
    Keys(Vec<KeyId>),
    /// We dialled to have this node's service speak with a user of ours.
    Dial(NodeId, ServiceName),
    /// We were dialled.
    Served,
}

impl Stream {
    fn new(peer: SocketAddr, role: Role, now: Now) -> Self {
        Self {
            peer,
            role,
            agreed: None,
            hello: None,
            last_moved: now.mono,
            working: false,
            fresh: 0,
            told: Told::default(),
            away: None,
            cut: false,
            owed: Vec::new(),
            said: None,
        }
    }

    /// Who dialled us.
    fn caller(&self) -> Option<SocketAddr> {
        let hello = self.hello.as_ref().filter(|_| matches!(self.role, Role::Served));
        hello.map(|hello| hello.identity.address)
    }
}

impl Streams {
    /// Is a sync with this address under way?
    pub(super) fn is_calling(&self, to: SocketAddr) -> bool {
        self.open.values().any(|stream| stream.peer == to && matches!(stream.role, Role::Sync))
    }

    /// Is a sync that was dialled getting on?
    fn is_syncing(&self, now: Now) -> bool {
        let mut syncs = self.open.values().filter(|stream| matches!(stream.role, Role::Sync));
        syncs.any(|stream| now.mono < stream.last_moved + GETS_ON)
    }

    fn dialled(&self) -> usize {
        let others = |role: &Role| matches!(role, Role::Served | Role::Dial(..) | Role::Ping);
        self.open.values().filter(|stream| !others(&stream.role)).count()
    }

    /// Streams that were dialled, by whether it is known that they are the engine's work.
    fn served(&self, working: bool) -> usize {
        let is =
            |stream: &&Stream| matches!(stream.role, Role::Served) && stream.working == working;
        self.open.values().filter(is).count()
    }

    /// What a sync has to drop, if we were away for longer than the peer remembers.
    pub(super) fn away_on(&self, id: StreamId) -> Option<Away> {
        self.open.get(&id)?.away
    }

    /// Is a sync under way with one who knows what was deleted while we were away?
    fn is_catching_up(&self) -> bool {
        self.open.values().any(|stream| stream.away.is_some())
    }

    /// Other syncs than this.
    fn other_syncs(&self, than: StreamId) -> Vec<StreamId> {
        let syncs = self.open.iter().filter(|(id, stream)| {
            **id != than && (matches!(stream.role, Role::Sync) || stream.told.known.is_some())
        });
        syncs.map(|(id, _)| *id).collect()
    }

    /// Those in which something is owed.
    fn owing(&self, which: impl Fn(&Stream) -> bool) -> Vec<StreamId> {
        let owing = self.open.iter().filter(|(_, one)| !one.owed.is_empty() && which(one));
        owing.map(|(id, _)| *id).collect()
    }

    /// Bytes of records sent in answer to one message.
    fn sync_bytes(&self) -> usize {
        #[cfg(all(test, feature = "sim"))]
        if let Some(bytes) = self.sync_bytes {
            return bytes;
        }
        limits::SYNC_BYTES
    }

    /// How many are open, in both directions.
    pub(super) fn len(&self) -> usize {
        self.open.len()
    }
}

impl Engine {
    /// Compares roots with a random member.
    pub(super) fn check_someone(&mut self, now: Now) {
        let members: Vec<SocketAddr> =
            self.reachable.values().map(|identity| identity.address).collect();
        let period = self.check_period(now);
        let delay = self.jitter(period / 2, period * 3 / 2);
        self.timers.set_by(Timer::Check, now.mono + delay);
        let enough = self.is_moving(now) && self.streams.is_syncing(now);
        if members.is_empty() || self.leaving.is_some() || enough {
            return;
        }
        let chosen = self.rng.random_range(0..members.len());
        if let Some(to) = self.returned.take().or(members.get(chosen).copied()) {
            let roots = self.sync_roots();
            self.send(to, &Datagram::Check(roots), now);
        }
    }

    fn check_period(&self, now: Now) -> Duration {
        let members = self.reachable.len();
        match members > LARGE {
            _ if self.is_moving(now) => {
                let period = CHECK_MOVING_EACH * members as u32;
                let period = period.clamp(CHECK_MOVING_LEAST, CHECK_MOVING_MOST);
                // The less often the more members know the same as this node.
                period.saturating_mul(self.agreed.saturating_add(1)).min(CHECK_PERIOD)
            }
            true => CHECK_PERIOD_LARGE,
            false => CHECK_PERIOD,
        }
    }

    /// Have members come or gone a moment ago?
    pub(super) fn is_moving(&self, now: Now) -> bool {
        now.mono < self.moving_until
    }

    /// Members come or go: what this node and another know of it soon differs.
    pub(super) fn check_soon(&mut self, now: Now) {
        self.moving_until = now.mono + MOVING;
        self.agreed = 0;
        let period = self.check_period(now);
        let delay = self.jitter(period / 2, period * 3 / 2);
        self.timers.set_by(Timer::Check, now.mono + delay);
    }

    /// A member answered a check.
    pub(super) fn compare_roots(&mut self, from: SocketAddr, theirs: SyncRoots, now: Now) {
        self.hear_horizon(theirs.records.horizon_ms, now);
        if theirs == self.sync_roots() {
            self.agreed = self.agreed.saturating_add(1);
            self.set_synced(now);
            let horizon_ms = theirs.records.horizon_ms;
            self.complete(Told { horizon_ms, ..Told::default() }, now);
        } else if !self.streams.is_calling(from) {
            self.dial_sync(from, now);
        }
    }

    pub(super) fn dial_sync(&mut self, to: SocketAddr, now: Now) {
        if !self.streams.is_catching_up() && self.may_dial() {
            self.dial(to, Role::Sync, now);
        }
    }

    /// Are there streams left, for what can wait? Counts if not.
    fn may_dial(&mut self) -> bool {
        let may = self.streams.dialled() < limits::STREAMS_DIALLED;
        self.counters.streams_put_off += u64::from(!may);
        may
    }

    /// Pulls records; `false` if too many streams are open for now.
    pub(super) fn dial_pull(&mut self, to: SocketAddr, versions: Vec<Version>, now: Now) -> bool {
        let may = self.may_dial();
        if may {
            self.dial(to, Role::Pull(versions), now);
        }
        may
    }

    /// Has a node do something, and answers the command with what came of it.
    pub(super) fn dial_ask(&mut self, of: Identity, ask: Ask, asked: Asked, now: Now) {
        let stream = self.dial(of.address, Role::Ask(of.id, ask), now);
        self.asks.insert(stream, asked);
    }

    /// Asks for keys, unless that is under way or too many streams are open for now.
    pub(super) fn dial_keys(&mut self, to: SocketAddr, keys: Vec<KeyId>, now: Now) {
        let asks = |stream: &Stream| matches!(stream.role, Role::Keys(_));
        if !self.streams.open.values().any(asks) && self.may_dial() {
            self.dial(to, Role::Keys(keys), now);
        }
    }

    pub(super) fn dial_ping(&mut self, of: Identity, now: Now) -> StreamId {
        self.dial(of.address, Role::Ping, now)
    }

    /// Opens a stream to a service of a node.
    pub(super) fn dial_for_service(
        &mut self,
        to: SocketAddr,
        node: NodeId,
        service: ServiceName,
        now: Now,
    ) -> StreamId {
        self.dial(to, Role::Dial(node, service), now)
    }

    fn dial(&mut self, to: SocketAddr, role: Role, now: Now) -> StreamId {
        let id = self.new_stream();
        let detachable = matches!(role, Role::Dial(..));
        self.streams.open.insert(id, Stream::new(to, role, now));
        self.timers.set_by(Timer::Idle, now.mono + IDLE_PERIOD);
        let (seed, key) = (self.rng.random(), self.sealer.key_toward(&to));
        self.outputs.push_back(Output::Dial { stream: id, to, key, seed, detachable });
        id
    }

    pub(super) fn new_stream(&mut self) -> StreamId {
        self.streams.made += 1;
        StreamId(self.streams.made)
    }

    pub(super) fn accept_stream(
        &mut self,
        id: StreamId,
        from: SocketAddr,
        agreed: Agreed,
        now: Now,
    ) {
        if self.streams.served(false) >= limits::STREAMS_UNASKED {
            self.counters.streams_unasked += 1;
            return self.refuse(id, Refuse::Busy);
        }
        let stream = Stream { agreed: Some(agreed), ..Stream::new(from, Role::Served, now) };
        self.streams.open.insert(id, stream);
        self.timers.set_by(Timer::Idle, now.mono + IDLE_PERIOD);
    }

    /// Tells a peer that dialled us why not, and closes.
    fn refuse(&mut self, id: StreamId, refuse: Refuse) {
        self.put(id, &Frame::Refuse(refuse));
        self.outputs.push_back(Output::Close { stream: id });
        self.streams.open.remove(&id);
    }

    pub(super) fn open_stream(&mut self, id: StreamId, agreed: Agreed, now: Now) {
        let Some(stream) = self.streams.open.get_mut(&id) else { return };
        stream.last_moved = now.mono;
        stream.agreed = Some(agreed);
        let role = stream.role.clone();
        self.put(id, &Frame::Hello(self.hello(now)));
        if !self.keyring().opens(agreed.key) {
            // The peer knows only a key that was removed. It closes once it has taken the others.
            return self.put(id, &self.tell_all_keys());
        }
        match role {
            Role::Sync => self.put_roots(id, self.sync_roots(), now),
            Role::Pull(versions) => self.put(id, &Frame::Pull(versions)),
            Role::Keys(keys) => self.put(id, &Frame::WantKeys(keys)),
            Role::Ping => {
                if let Some(question) = self.ping_opened(id) {
                    self.put(id, &question);
                }
            }
            // Asked only when it has said who it is.
            Role::Ask(..) | Role::Dial(..) | Role::Served => {}
        }
    }

    fn hello(&self, now: Now) -> Hello {
        Hello {
            name: self.config.name.clone(),
            identity: self.swim.identity(),
            epoch: self.own.epoch(),
            session: self.sealer.session(),
            wall_ms: now.wall_ms,
        }
    }

    pub(super) fn handle_message(&mut self, id: StreamId, bytes: &[u8], now: Now) {
        let Some(stream) = self.streams.open.get_mut(&id) else { return };
        stream.last_moved = now.mono;
        let Ok(frame) = codec::decode::<Frame>(bytes) else {
            self.counters.messages_malformed += 1;
            return self.end_stream(id, "not understood", now);
        };
        let greeted = stream.hello.is_some();
        if stream.agreed.is_some_and(|agreed| !self.keys.ring().opens(agreed.key)) {
            return self.answer_removed_key(id, &frame, now);
        }
        match frame {
            Frame::Hello(hello) if !greeted => self.greet(id, hello, now),
            Frame::Refuse(refuse) => self.refused(id, &refuse, now),
            _ if !greeted => self.end_stream(id, "no greeting", now),
            frame => self.handle_frame(id, frame, now),
        }
    }

    /// Whoever holds only a key that was removed is told the others, and nothing it says counts.
    fn answer_removed_key(&mut self, id: StreamId, frame: &Frame, now: Now) {
        let Some(stream) = self.streams.open.get(&id) else { return };
        let asked = matches!((&stream.role, frame), (Role::Served, Frame::Hello(_)));
        if asked {
            self.put(id, &Frame::Hello(self.hello(now)));
            self.put(id, &self.tell_all_keys());
        }
    }

    /// Streams of keys that open nothing any more are over.
    pub(super) fn end_streams_of_removed_keys(&mut self, now: Now) {
        let is_over =
            |stream: &Stream| stream.agreed.is_some_and(|agreed| !self.keyring().opens(agreed.key));
        let over: Vec<StreamId> = self
            .streams
            .open
            .iter()
            .filter(|(_, stream)| is_over(stream))
            .map(|(id, _)| *id)
            .collect();
        for id in over {
            self.end_stream(id, "its key was removed", now);
        }
    }

    /// Keys were taken from this stream.
    pub(super) fn keys_taken(&mut self, id: StreamId, now: Now) {
        let Some(stream) = self.streams.open.get(&id) else { return };
        if !matches!(stream.role, Role::Keys(_)) {
            // They were told because ours was removed.
            self.end_stream(id, "told the keys", now);
            self.call_again_soon(now);
        }
    }

    fn greet(&mut self, id: StreamId, hello: Hello, now: Now) {
        self.learn_session(hello.identity.address, hello.session, now);
        self.see_clock(hello.identity.id, hello.wall_ms, now);
        let Some(stream) = self.streams.open.get_mut(&id) else { return };
        if let Some(Agreed { key, .. }) = stream.agreed {
            self.sealer.hear(hello.identity.address, key);
        }
        stream.hello = Some(hello.clone());
        match stream.role.clone() {
            Role::Served => match self.objection(&hello) {
                Some(refuse) => self.turn_away(id, refuse, now),
                None => self.put(id, &Frame::Hello(self.hello(now))),
            },
            Role::Ask(node, _) | Role::Dial(node, _) if node != hello.identity.id => {
                self.end_stream(id, "another node answers at this address", now);
            }
            Role::Ask(_, ask) => self.put(id, &Frame::Ask(ask)),
            Role::Dial(_, service) => self.put(id, &Frame::Dial(service)),
            // A node that names itself as its seed.
            Role::Sync if hello.identity.id == self.config.id => {
                self.end_stream(id, "this node itself", now);
            }
            Role::Sync => {
                if let Some(refuse) = self.epoch_behind(&hello) {
                    self.put(id, &Frame::Refuse(refuse));
                    self.end_stream(id, "the peer's epoch is behind", now);
                }
            }
            Role::Pull(_) | Role::Keys(_) | Role::Ping => {}
        }
    }

    /// Refuses who has greeted. Where people look first for the reason is the node that is there.
    fn turn_away(&mut self, id: StreamId, refuse: Refuse, now: Now) {
        let hello = self.streams.open.get(&id).and_then(|stream| stream.hello.as_ref());
        if let (Refuse::NameTaken(holder), Some(Hello { name, identity, .. })) = (&refuse, hello)
            && self.names_refused.may_name(identity.id, now.mono)
        {
            let (id, address) = (identity.id, identity.address);
            tracing::warn!(%name, %holder, %id, %address, "a node that was started under the name of a live one is not let in");
        }
        self.refuse(id, refuse);
    }

    /// What is wrong with a newcomer that was called, at the address of a seed or of a member that is gone.
    fn objection_to_called(&self, id: StreamId) -> Option<Refuse> {
        let stream = self.streams.open.get(&id)?;
        let called = matches!(stream.role, Role::Sync) && stream.told.knows_nothing();
        stream.hello.as_ref().filter(|_| called).and_then(|hello| self.objection_to_name(hello))
    }

    /// What is wrong with a peer.
    fn objection(&self, hello: &Hello) -> Option<Refuse> {
        self.objection_to_name(hello).or_else(|| self.epoch_behind(hello))
    }

    fn objection_to_name(&self, hello: &Hello) -> Option<Refuse> {
        let Hello { name, identity, .. } = hello;
        // Two that meet after a split may hold one name: they settle it between them.
        if self.state.owner(identity.id).is_some_and(|owner| owner.node().is_some()) {
            return None;
        }
        // Whoever answers at an address has replaced who was there before.
        let moved_out = |holder: NodeId| self.address_of(holder) == Some(identity.address);
        if let Some(holder) = self.live_holder(name, identity.id) {
            return (!moved_out(holder)).then_some(Refuse::NameTaken(holder));
        }
        // A member that was started a moment ago knows who held names, and not yet who is there.
        let recent = !self.synced && self.seed_tries < NAMES_UNSURE;
        let holder = self.memberships.holder(name.as_str()).filter(|_| recent)?;
        let has_left = self.presence(holder) == MemberState::Left;
        (holder != identity.id && !has_left && !moved_out(holder)).then_some(Refuse::Busy)
    }

    /// An epoch or generation that the peer must go beyond: its own before it lost its disk or its clock
    /// was set back, or that of a node which is gone and whose name or address it takes over.
    fn epoch_behind(&self, hello: &Hello) -> Option<Refuse> {
        let Hello { name, identity, epoch, .. } = hello;
        let of = |id| self.state.owner(id).map_or(0, Owner::newest_epoch);
        let holder = self.memberships.holder(name.as_str());
        let gone = holder.filter(|holder| {
            *holder != identity.id && self.presence(*holder) != MemberState::Alive
        });
        let taken_over = gone.map_or(0, of);
        let known = of(identity.id);
        let generation = self.swim.known_at(identity.address).map_or(0, |known| known.generation);
        let behind = known > *epoch || taken_over >= *epoch || generation > identity.generation;
        behind.then(|| Refuse::EpochBehind { epoch: known.max(taken_over), generation })
    }

    fn refused(&mut self, id: StreamId, refuse: &Refuse, now: Now) {
        match refuse {
            // A newcomer that knows nobody is there, not the member that was dialled.
            Refuse::NameTaken(_) => self.ping_closed(id, now),
            _ => self.ping_turned_away(id, now),
        }
        let caller = self.streams.open.get(&id).and_then(Stream::caller);
        match refuse {
            Refuse::NameTaken(holder) => self.name_is_taken(*holder),
            Refuse::EpochBehind { epoch, generation } => {
                self.swim.raise_generation(*generation, now.mono);
                self.drain_swim(now);
                self.raise_epoch(*epoch, now);
                let delay = self.jitter(RETRY_LEAST, RETRY_MOST);
                self.timers.set_by(Timer::Seeds, now.mono + delay);
                self.dial_ended(id, Some(refuse), "refused", now);
                self.end_stream(id, "refused", now);
                return caller.into_iter().for_each(|peer| self.dial_sync(peer, now));
            }
            Refuse::Busy | Refuse::NoService | Refuse::NotAllowed | Refuse::ServiceBusy => {}
        }
        self.dial_ended(id, Some(refuse), "refused", now);
        self.end_stream(id, "refused", now);
    }

    fn handle_frame(&mut self, id: StreamId, frame: Frame, now: Now) {
        let unasked = |stream: &Stream| matches!(stream.role, Role::Served) && !stream.working;
        if self.streams.open.get(&id).is_some_and(unasked) {
            if let Frame::Dial(service) = frame {
                return self.answer_dial(id, service);
            }
            if self.streams.served(true) >= limits::STREAMS_SERVED {
                self.counters.streams_busy += 1;
                return self.refuse(id, Refuse::Busy);
            }
            if let Some(stream) = self.streams.open.get_mut(&id) {
                stream.working = true;
            }
        }
        match frame {
            Frame::Since(since_ms) => {
                self.hear_told(id, |told| told.known = Some(Known::Since(since_ms)))
            }
            Frame::Until(until_ms) => {
                self.hear_told(id, |told| told.known = Some(Known::Until(until_ms)))
            }
            Frame::Gap(gap) => self.hear_told(id, |told| told.gap = Some(gap)),
            Frame::Roots(theirs) => self.take_roots(id, theirs, now),
            Frame::Buckets { members, owners, shared } => {
                self.answer_buckets(id, members.as_ref(), owners.as_ref(), shared.as_ref());
            }
            Frame::Entries(entries) => self.answer_entries(id, entries, now),
            Frame::Records(records) => self.take_records(id, records, now),
            Frame::Want { shared, owned } => {
                let (shared, owned): (BTreeSet<_>, BTreeSet<_>) =
                    (shared.into_iter().collect(), owned.into_iter().collect());
                let shared = shared.iter().filter_map(|key| self.state.shared(key));
                let owned = owned
                    .iter()
                    .filter_map(|(id, epoch, kind)| self.state.owned(*id, *epoch, *kind));
                let mut records: Vec<_> =
                    shared.chain(owned).take(limits::RECORDS_SENT + 1).collect();
                self.cut_answer(id, &mut records, limits::RECORDS_SENT);
                let records = self.without_deleted(id, records, now);
                self.put_records(id, records);
            }
            Frame::Peers(peers) => self.take_peers(id, peers, now),
            Frame::Pull(versions) => {
                let asked: BTreeSet<&Version> = versions.iter().collect();
                let held = asked.into_iter().filter_map(|version| self.record_of(version));
                let told = |record: &Record| !self.store.is_unpersisted(&record.version());
                let mut records = held.filter(told).take(limits::RECORDS_PULLED + 1).collect();
                self.cut_answer(id, &mut records, limits::RECORDS_PULLED);
                self.put_records(id, records);
                self.put(id, &Frame::Done);
            }
            Frame::Ask(Ask::SetFacts { set, unset }) => {
                let answer = self.set_own_facts(set, unset, now).map_err(|error| error.to_string());
                self.persist(Pending { answers: vec![(id, answer)], ..Pending::default() });
            }
            Frame::Answer(answer) => {
                self.answer_ask(id, answer);
                self.end_stream(id, "done", now);
            }
            Frame::Done => self.finish(id, now),
            Frame::Sessions(sessions) => self.take_sessions(sessions, now),
            Frame::Ping(target, suspected) => {
                let answer = self.answer_ping(target, suspected, now);
                self.put(id, &answer);
            }
            Frame::Pong(peer) => {
                self.ping_answered(id, peer, now);
                self.end_stream(id, "done", now);
            }
            Frame::WantKeys(keys) => {
                let told = self.tell_keys(&keys);
                self.put(id, &told);
                self.put(id, &Frame::Done);
            }
            Frame::Keys(keys) => self.take_keys(id, keys, now),
            Frame::Dialled { load } => self.take_dialled(id, load, now),
            Frame::Hello(_) | Frame::Refuse(_) => self.end_stream(id, "greeted twice", now),
            Frame::Dial(_) => self.end_stream(id, "dialled too late", now),
        }
    }

    fn answer_dial(&mut self, id: StreamId, service: ServiceName) {
        let Some(stream) = self.streams.open.remove(&id) else { return };
        let Some(caller) = stream.hello else { return };
        if let Err(refuse) = self.accept_dial(id, caller, service) {
            self.refuse(id, refuse);
        }
    }

    fn take_dialled(&mut self, id: StreamId, load: u32, now: Now) {
        let dialling = |stream: &Stream| matches!(stream.role, Role::Dial(..));
        if !self.streams.open.get(&id).is_some_and(dialling) {
            return self.end_stream(id, "nothing was dialled", now);
        }
        let hello = self.streams.open.remove(&id).and_then(|stream| stream.hello);
        if let Some(hello) = hello {
            self.dialled(id, hello, load);
        }
    }

    /// Takes note of what a peer says of itself.
    fn hear_told(&mut self, id: StreamId, note: impl FnOnce(&mut Told)) {
        if let Some(stream) = self.streams.open.get_mut(&id) {
            note(&mut stream.told);
        }
    }

    fn take_roots(&mut self, id: StreamId, theirs: SyncRoots, now: Now) {
        let compares = |stream: &Stream| matches!(stream.role, Role::Sync | Role::Served);
        if !self.streams.open.get(&id).is_some_and(compares) {
            return self.end_stream(id, "compares roots unasked", now);
        }
        if let Some(refuse) = self.objection_to_called(id) {
            return self.turn_away(id, refuse, now);
        }
        let horizon_ms = self.hear_horizon(theirs.records.horizon_ms, now);
        // Others may have been away like us, and would bring back what this sync makes us drop.
        if self.streams.is_catching_up() {
            return self.end_stream(id, "catching up with another", now);
        }
        let Some(stream) = self.streams.open.get_mut(&id) else { return };
        stream.told.horizon_ms = horizon_ms;
        stream.away = self.horizon.away(self.config.id, stream.told);
        let (served, away) = (matches!(stream.role, Role::Served), stream.away.is_some());
        // Who accepts a stream judges at the greeting, who dials it after this, before it sends entries.
        self.let_in |= !served;
        let told = stream.told;
        if self.learn_from(told, now) || away {
            for other in self.streams.other_syncs(id) {
                self.end_stream(other, "catching up with another", now);
            }
        }
        if served {
            self.answer_roots(id, theirs, now);
        }
    }

    fn answer_roots(&mut self, id: StreamId, theirs: SyncRoots, now: Now) {
        let mine = self.sync_roots();
        self.put_roots(id, mine, now);
        let members = (mine.members != theirs.members).then(|| self.member_buckets());
        let owners = (mine.records.owners != theirs.records.owners)
            .then(|| self.state.owner_buckets().clone());
        let shared = (mine.records.shared != theirs.records.shared)
            .then(|| self.state.shared_buckets().clone());
        self.put(id, &Frame::Buckets { members, owners, shared });
    }

    fn put_roots(&mut self, id: StreamId, roots: SyncRoots, now: Now) {
        let agreed = self.streams.open.get(&id).and_then(|stream| stream.agreed);
        let Some(Agreed { version, .. }) = agreed else { return };
        for frame in self.tell_known(version, now) {
            self.put(id, &frame);
        }
        self.put(id, &Frame::Roots(roots));
    }

    fn answer_buckets(
        &mut self,
        id: StreamId,
        members: Option<&Buckets>,
        owners: Option<&Buckets>,
        shared: Option<&Buckets>,
    ) {
        let member_buckets =
            members.map_or_else(Vec::new, |theirs| self.member_buckets().unequal(theirs));
        let owner_buckets =
            owners.map_or_else(Vec::new, |theirs| self.state.owner_buckets().unequal(theirs));
        let shared_buckets =
            shared.map_or_else(Vec::new, |theirs| self.state.shared_buckets().unequal(theirs));
        let mut frames = Vec::new();
        for (owner, shared) in chunks(&owner_buckets, &shared_buckets) {
            frames.push(Entries {
                owned: self.state.owned_entries(owner),
                owner_buckets: owner.to_vec(),
                shared: self.state.shared_entries(shared),
                shared_buckets: shared.to_vec(),
                ..Entries::default()
            });
        }
        let peers = self.peers_in(&member_buckets);
        let sessions = self.sessions_for(&member_buckets, &peers);
        if !sessions.is_empty() {
            self.put(id, &Frame::Sessions(sessions));
        }
        frames.push(Entries { member_buckets, peers, last: true, ..Entries::default() });
        for entries in frames {
            self.put(id, &Frame::Entries(entries));
        }
    }

    fn answer_entries(&mut self, id: StreamId, entries: Entries, now: Now) {
        self.let_in = true;
        let Entries { owner_buckets, owned, shared_buckets, shared, member_buckets, peers, last } =
            entries;
        let (mut records, want_shared) = self.compare_shared(&shared_buckets, &shared);
        let (owned_records, want_owned) = self.compare_owned(&owner_buckets, &owned);
        records.extend(owned_records);
        let records = self.without_deleted(id, records, now);
        let mine = self.peers_in(&member_buckets);
        self.take_peers(id, peers, now);
        self.put_records(id, records);
        if !mine.is_empty() {
            let sessions = self.sessions_for(&member_buckets, &mine);
            self.put(id, &Frame::Peers(mine));
            self.put(id, &Frame::Sessions(sessions));
        }
        if !want_shared.is_empty() || !want_owned.is_empty() {
            self.put(id, &Frame::Want { shared: want_shared, owned: want_owned });
        }
        if last {
            self.all_said(id, now);
        }
    }

    /// What the peer lacks, and what we lack, of the shared records in these buckets.
    fn compare_shared(&self, buckets: &[u8], theirs: &[SharedEntry]) -> (Vec<Record>, Vec<Key>) {
        let mine = self.state.shared_entries(buckets);
        let ranks = |entries: &[SharedEntry]| -> BTreeMap<Key, _> {
            entries.iter().map(|(key, stamp, hash)| (key.clone(), (*stamp, *hash))).collect()
        };
        let (mine, theirs) = (ranks(&mine), ranks(theirs));
        let (lacked, wanted) = (newer(&mine, &theirs), newer(&theirs, &mine));
        (lacked.filter_map(|key| self.state.shared(key)).collect(), wanted.cloned().collect())
    }

    /// The same for owned records. An epoch older than one that is complete is of no use.
    fn compare_owned(&self, buckets: &[u8], theirs: &[OwnedEntry]) -> (Vec<Record>, Vec<OwnedKey>) {
        let mine = self.state.owned_entries(buckets);
        let ranks = |entries: &[OwnedEntry]| -> BTreeMap<OwnedKey, _> {
            let slot = |(owner, epoch, kind, seq, hash): &OwnedEntry| {
                ((*owner, *epoch, *kind), (*seq, *hash))
            };
            entries.iter().map(slot).collect()
        };
        let (mine, theirs) = (ranks(&mine), ranks(theirs));
        let useful = |(owner, epoch, _): &&OwnedKey, at: &BTreeMap<OwnedKey, _>| {
            self.complete_epoch(at, *owner).is_none_or(|complete| complete <= *epoch)
        };
        let lacked = newer(&mine, &theirs).filter(|key| useful(key, &theirs));
        let wanted = newer(&theirs, &mine).filter(|key| useful(key, &mine));
        let record = |(owner, epoch, kind): &OwnedKey| self.state.owned(*owner, *epoch, *kind);
        (lacked.filter_map(record).collect(), wanted.copied().collect())
    }

    /// The newest epoch of an owner that looks complete from someone's list of records.
    fn complete_epoch<R>(&self, entries: &BTreeMap<OwnedKey, R>, owner: NodeId) -> Option<u64> {
        let has = |epoch, kind| entries.contains_key(&(owner, epoch, kind));
        entries
            .range((owner, 0, Kind(0))..=(owner, u64::MAX, Kind(u8::MAX)))
            .filter(|((_, epoch, kind), _)| *kind == Kind::FACTS && has(*epoch, Kind::NODE))
            .map(|((_, epoch, _), _)| *epoch)
            .filter(|epoch| self.state.kinds(owner, *epoch).iter().all(|kind| has(*epoch, *kind)))
            .max()
    }

    fn take_peers(&mut self, id: StreamId, peers: Vec<Peer>, now: Now) {
        let Some(stream) = self.streams.open.get(&id) else { return };
        let sender = stream.hello.as_ref().map(|hello| hello.identity);
        let before = self.reachable.clone();
        self.swim.apply(peers, sender, now.mono);
        self.drain_swim(now);
        if self.reachable != before
            && let Some(stream) = self.streams.open.get_mut(&id)
        {
            stream.fresh += 1;
        }
    }

    fn take_records(&mut self, id: StreamId, records: Vec<Record>, now: Now) {
        let Some(stream) = self.streams.open.get(&id) else { return };
        let pulled = matches!(stream.role, Role::Pull(_));
        let peer = stream.hello.as_ref().map(|hello| hello.identity.id);
        let mut fresh = 0;
        for record in records {
            let version = record.version();
            if self.take(record, now) != Verdict::Fresh {
                continue;
            }
            fresh += 1;
            // News at first hand is spread further; what a sync repairs is known to most already.
            let first_hand = peer.is_some_and(|peer| super::own::is_own(&version, peer));
            if pulled || first_hand {
                self.spread(&version, now);
            }
        }
        if let Some(stream) = self.streams.open.get_mut(&id) {
            stream.fresh += fresh;
        }
        self.persist_soon(now);
    }

    /// The peer has said all.
    fn finish(&mut self, id: StreamId, now: Now) {
        let Some(stream) = self.streams.open.get_mut(&id) else { return };
        let (told, hello) = (stream.told, stream.hello.clone());
        match stream.role {
            Role::Sync if stream.cut => {
                return self.end_stream(id, "more than one sync carries", now);
            }
            Role::Sync if stream.said.is_some() => return self.end_stream(id, "done twice", now),
            Role::Sync => {
                // We have caught up, whatever the peer still waits for.
                stream.away = None;
                self.complete_sync(told, now);
                if let Some(hello) = hello {
                    self.swim.announce(hello.identity, now.mono);
                    self.drain_swim(now);
                }
                return self.all_said(id, now);
            }
            Role::Served => self.complete_sync(told, now),
            Role::Pull(_) | Role::Keys(_) | Role::Ask(..) | Role::Dial(..) | Role::Ping => {}
        }
        self.end_stream(id, "done", now);
    }

    /// We have said all but what is owed: a peer that was done without it would take itself for complete,
    /// and know less of us than we do.
    fn all_said(&mut self, id: StreamId, now: Now) {
        let Some(stream) = self.streams.open.get_mut(&id) else { return };
        stream.said.get_or_insert(now.mono);
        if !stream.owed.is_empty() {
            return;
        }
        match (&stream.role, stream.cut) {
            (Role::Sync, true) => self.end_stream(id, "more than one sync carries", now),
            // The dialler ends the stream, once it has said what the other wants.
            (Role::Sync, false) => {
                self.put(id, &Frame::Done);
                self.end_stream(id, "done", now);
            }
            (_, true) => self.put(id, &Frame::Refuse(Refuse::Busy)),
            (_, false) => self.put(id, &Frame::Done),
        }
    }

    /// Something is on disk, or will not be: those who wait are told, and wait on for what was written over it
    /// since.
    pub(super) fn pay_owed(&mut self, now: Now) {
        for id in self.streams.owing(|_| true) {
            let stream = self.streams.open.get_mut(&id);
            let owed = stream.map(|stream| std::mem::take(&mut stream.owed)).unwrap_or_default();
            let records = owed.iter().filter_map(|version| self.record_of(version)).collect();
            self.put_records(id, records);
            if self.streams.open.get(&id).is_some_and(|stream| stream.said.is_some()) {
                self.all_said(id, now);
            }
        }
    }

    /// Nobody waits long for a slow disk: what it takes is spread once it is there.
    fn forget_owed(&mut self, now: Now) {
        let waited = |stream: &Stream| stream.said.is_some_and(|at| at + OWED_TIME <= now.mono);
        for id in self.streams.owing(waited) {
            if let Some(stream) = self.streams.open.get_mut(&id) {
                stream.owed.clear();
            }
            self.all_said(id, now);
        }
    }

    fn complete_sync(&mut self, told: Told, now: Now) {
        self.counters.syncs += 1;
        self.name_taken = self.name_taken.filter(|_| self.own.yielded);
        self.set_synced(now);
        self.complete(told, now);
    }

    /// Closes a stream from our side.
    pub(super) fn end_stream(&mut self, id: StreamId, reason: &str, now: Now) {
        if self.streams.open.contains_key(&id) {
            self.outputs.push_back(Output::Close { stream: id });
            self.close_stream(id, reason, now);
        }
    }

    /// A stream is over.
    pub(super) fn close_stream(&mut self, id: StreamId, reason: &str, now: Now) {
        let Some(stream) = self.streams.open.remove(&id) else {
            return self.service_stream_closed(id);
        };
        tracing::trace!(peer = %stream.peer, reason, "stream closed");
        match stream.role {
            Role::Pull(versions) => self.pull_ended(&versions, now),
            Role::Ask(..) => self.ask_failed(id),
            Role::Ping => self.ping_closed(id, now),
            Role::Dial(..) => self.dial_ended(id, None, reason, now),
            Role::Sync | Role::Served if stream.fresh > 0 => {
                let delay = self.jitter(CHECK_AGAIN, CHECK_AGAIN * 2);
                self.timers.set_by(Timer::Check, now.mono + delay);
            }
            Role::Sync | Role::Keys(_) | Role::Served => {}
        }
    }

    /// Who was dialled has another key.
    pub(super) fn stream_of_other_key(&mut self, id: StreamId, key: KeyId) {
        if let Some(peer) = self.streams.open.get(&id).map(|stream| stream.peer) {
            self.called_other_key(peer, key);
        }
    }

    pub(super) fn close_idle_streams(&mut self, now: Now) {
        self.forget_owed(now);
        let idle: Vec<StreamId> = self
            .streams
            .open
            .iter()
            .filter(|(_, stream)| stream.last_moved + limits::STREAM_IDLE < now.mono)
            .map(|(id, _)| *id)
            .collect();
        self.counters.streams_idle += idle.len() as u64;
        for id in idle {
            self.end_stream(id, "idle", now);
        }
        if !self.streams.open.is_empty() {
            self.timers.set_by(Timer::Idle, now.mono + IDLE_PERIOD);
        }
    }

    /// The record of this version, or of a later one.
    pub(super) fn record_of(&self, version: &Version) -> Option<Record> {
        let record = self.state.record(version)?;
        record.version().supersedes(version).then_some(record)
    }

    /// What was asked over a stream is done, and on disk.
    pub(super) fn put_answer(&mut self, stream: StreamId, answer: Result<Version, String>) {
        if self.streams.open.contains_key(&stream) {
            self.put(stream, &Frame::Answer(answer));
        }
    }

    fn put(&mut self, stream: StreamId, frame: &Frame) {
        let bytes = codec::encode(frame);
        debug_assert!(bytes.len() <= limits::MESSAGE_BYTES, "a frame of {} bytes", bytes.len());
        self.outputs.push_back(Output::Message { stream, bytes });
    }

    /// Answers with so many records at most; the next comparison finds the rest.
    fn cut_answer(&mut self, id: StreamId, records: &mut Vec<Record>, most: usize) {
        if records.len() > most {
            records.truncate(most);
            self.note_cut(id);
        }
    }

    fn note_cut(&mut self, id: StreamId) {
        self.counters.answers_cut += 1;
        if let Some(stream) = self.streams.open.get_mut(&id) {
            stream.cut = true;
        }
    }

    /// Sends records in messages of bounded size. What of ours is not yet on disk is owed: were it lost with
    /// this node, others would hold what nobody wrote.
    fn put_records(&mut self, id: StreamId, records: Vec<Record>) {
        let mut chunk = Vec::new();
        let (mut bytes, mut sent) = (0, 0);
        for record in records {
            let version = record.version();
            if self.store.is_unpersisted(&version) {
                self.owe(id, version);
                continue;
            }
            bytes += codec::encode(&record).len();
            chunk.push(record);
            if bytes > limits::SYNC_CHUNK_BYTES {
                self.put(id, &Frame::Records(std::mem::take(&mut chunk)));
                sent += std::mem::take(&mut bytes);
            }
            if sent > self.streams.sync_bytes() {
                return self.note_cut(id);
            }
        }
        if !chunk.is_empty() {
            self.put(id, &Frame::Records(chunk));
        }
    }

    /// The peer is to wait for this, unless the disk takes nothing.
    fn owe(&mut self, id: StreamId, version: Version) {
        if !self.store.is_failing()
            && let Some(stream) = self.streams.open.get_mut(&id)
        {
            stream.owed.push(version);
        }
    }
}

/// What one side holds in a version above the other's.
fn newer<'a, K: Ord, R: Ord>(
    one: &'a BTreeMap<K, R>,
    other: &'a BTreeMap<K, R>,
) -> impl Iterator<Item = &'a K> {
    one.iter()
        .filter(|(key, rank)| other.get(*key).is_none_or(|held| held < *rank))
        .map(|(key, _)| key)
}

/// Buckets in groups whose entries fit a message even in large states.
fn chunks<'a>(owners: &'a [u8], shared: &'a [u8]) -> impl Iterator<Item = (&'a [u8], &'a [u8])> {
    const GROUP: usize = 16;
    let groups = owners.len().max(shared.len()).div_ceil(GROUP);
    let part = |of: &'a [u8], at: usize| of.chunks(GROUP).nth(at).unwrap_or_default();
    (0..groups).map(move |at| (part(owners, at), part(shared, at)))
}
