//! The state machine of one node.
//!
//! It owns membership, records, memberships, keys and timers, and touches nothing outside itself: no
//! sockets, clock, randomness, threads or locks. A loop feeds it datagrams, stream events, commands and
//! the time, and carries out what [`Engine::poll_output`] asks for. The tokio runtime and the simulator
//! are two such loops around this one type.
//!
//! Invariant: an output that acknowledges or spreads a write of ours comes only after
//! [`Engine::handle_persisted`] said that the write is on disk.

mod clock;
mod command;
mod commands;
mod event;
mod forget;
mod held;
mod horizon;
#[cfg(all(test, feature = "sim"))]
pub(crate) mod inspect;
mod items;
mod keys;
mod leave;
mod metrics;
#[cfg(feature = "sim")]
mod observe;
mod obstacle;
mod offers;
mod output;
mod own;
mod peers;
mod persist;
mod ping;
mod quiet;
mod rotation;
mod services;
mod spread;
#[cfg(feature = "sim")]
mod standing;
mod sync;
mod timer;
mod view;
mod wait;
mod watch;

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet, VecDeque},
    net::SocketAddr,
    sync::Arc,
    time::Duration,
};

use imbl::{OrdMap, OrdSet};
use rand::{RngExt, SeedableRng, rngs::StdRng};

pub use command::{
    Command, CommandError, PolicyCreated, PolicyOptions, PutOptions, Reply, Written,
};
pub use event::{Event, EventKind};
#[cfg(feature = "sim")]
pub use observe::Backlog;
pub use obstacle::Obstacle;
pub use offers::{Offer, OfferQuery, OfferedPlugin, PatternError, PluginPattern, ServicePattern};
pub use output::{
    Agreed, Now, Output, Resolved, Saved, StreamEvent, StreamId, Table, Ticket, Write,
};
#[cfg(feature = "runtime")]
pub(crate) use own::check_facts;
#[cfg(any(feature = "runtime", feature = "sim"))]
pub(crate) use persist::EPOCH_KEY;
#[cfg(feature = "runtime")]
pub(crate) use persist::MEMBERS_KEY;
pub(crate) use quiet::Quiet;
pub use rotation::{KeyInfo, KeyMember, KeyStatus, Rotation};
pub use services::{Caller, Detached, DialError, ServeOptions, Target};
#[cfg(feature = "sim")]
pub use standing::Standing;
pub use view::{Acting, Item, Member, MemberState, PolicyInfo, Tribe, TribeMember, View};

use self::timer::{Timer, Timers};
use crate::{
    ClusterName, Facts, KeyId, Keyring, NodeId, NodeName, TribeName, codec,
    membership::{Memberships, Moved},
    state::{Applied, Buckets, Change, Key, Kind, Record, Refusal, State, Version, What},
    swim::Swim,
    wire::{
        frame::{Datagram, SyncRoots},
        peer::Identity,
        seal::{OpenError, Sealer, Sent, SessionId},
    },
};

/// What an engine is made with.
#[derive(Debug, Clone)]
pub struct EngineConfig {
    /// The node's id.
    pub id: NodeId,
    /// The node's name.
    pub name: NodeName,
    /// The cluster it belongs to.
    pub cluster: ClusterName,
    /// Where others reach it.
    pub address: SocketAddr,
    /// Software and version, shown to others.
    pub version: String,
    /// Keys.
    pub keyring: Keyring,
    /// Greater than any epoch this node has sent before, and on disk.
    pub epoch: u64,
    /// It has seeds to meet the cluster through.
    pub has_seeds: bool,
    /// Facts collected from the host.
    pub host_facts: Facts,
    /// Facts given at start.
    pub start_facts: Facts,
    /// How long it acts on for a tribe it fell out of by policy.
    pub hold_down: Duration,
    /// How long what was deleted is remembered. The same on all nodes: whoever was away for longer drops what
    /// the others do not have.
    pub tombstone_age: Duration,
    /// Spread records as broadcasts. Without them everything converges by digest sync, only slower.
    pub broadcasts: bool,
}

/// The state machine of one node.
pub struct Engine {
    config: EngineConfig,
    rng: StdRng,
    sealer: Sealer,
    swim: Swim,
    state: State,
    memberships: Memberships,
    timers: Timers,
    outputs: VecDeque<Output>,
    rev: u64,
    /// Reachable members by the failure detector, at their newest identity.
    reachable: OrdMap<NodeId, Identity>,
    /// Members whose joining was told as an event.
    announced: OrdSet<NodeId>,
    seeds: Vec<SocketAddr>,
    saved_members: Vec<SocketAddr>,
    seed_tries: u32,
    synced: bool,
    own: own::Own,
    keys: keys::Keys,
    local_items: items::LocalItems,
    acting: BTreeMap<TribeName, Option<Duration>>,
    streams: sync::Streams,
    pings: ping::Pings,
    watch: watch::Watch,
    wanted: spread::Wanted,
    held: held::Held,
    store: persist::Store,
    horizon: horizon::Horizon,
    waits: wait::Waits,
    asks: BTreeMap<StreamId, wait::Asked>,
    services: services::Services,
    /// A live node holds our name, and we have not got it.
    name_taken: Option<NodeId>,
    /// Since this node was started or refused, another one has compared what it holds with it.
    let_in: bool,
    /// A key that others seem to use and this node does not hold, and where it was heard of.
    other_key: Option<(SocketAddr, KeyId)>,
    heard_in: obstacle::HeardIn,
    leaving: Option<leave::Leaving>,
    quiet: Quiet<KeyId>,
    names_refused: Quiet<NodeId>,
    counters: metrics::Counters,
    /// What the wall clocks of others showed when our monotonic clock began, in Unix milliseconds.
    clocks: BTreeMap<NodeId, i128>,
    /// The sums over all members, as of a revision of the failure detector.
    member_sums: RefCell<Option<((u64, u64), Buckets)>>,
    /// Members that went down and may come back.
    gone: BTreeSet<NodeId>,
    departed: forget::Departed,
    /// A member that was down and has come back: it is the next to compare roots with.
    returned: Option<SocketAddr>,
    /// Members came or went a moment ago; others may know of more.
    moving_until: Duration,
    /// So many have since been found to know the same as this node.
    agreed: u32,
}

impl Engine {
    /// A node that starts now, with what it saved before.
    ///
    /// The seed must come from the operating system's randomness, but in simulations.
    #[must_use]
    pub fn new(config: EngineConfig, seed: [u8; 32], saved: Saved, now: Now) -> Self {
        let mut rng = StdRng::from_seed(seed);
        let identity = Identity::new(config.id, config.address, config.epoch);
        let swim = Swim::new(identity, rng.random(), now.mono);
        let sealer = Sealer::new(config.keyring.clone(), config.cluster.clone(), rng.random());
        let mut engine = Self {
            own: own::Own::new(&config),
            keys: keys::Keys::new(&config.keyring),
            config,
            rng,
            sealer,
            swim,
            state: State::new(),
            memberships: Memberships::default(),
            timers: Timers::default(),
            outputs: VecDeque::new(),
            rev: 0,
            reachable: OrdMap::new(),
            announced: OrdSet::new(),
            seeds: Vec::new(),
            saved_members: Vec::new(),
            seed_tries: 0,
            synced: false,
            local_items: items::LocalItems::default(),
            acting: BTreeMap::new(),
            streams: sync::Streams::default(),
            pings: ping::Pings::default(),
            watch: watch::Watch::default(),
            wanted: spread::Wanted::default(),
            held: held::Held::default(),
            store: persist::Store::default(),
            horizon: horizon::Horizon::new(now),
            waits: wait::Waits::default(),
            asks: BTreeMap::new(),
            services: services::Services::default(),
            name_taken: None,
            let_in: false,
            other_key: None,
            heard_in: obstacle::HeardIn::default(),
            leaving: None,
            quiet: Quiet::default(),
            names_refused: Quiet::default(),
            counters: metrics::Counters::default(),
            clocks: BTreeMap::new(),
            member_sums: RefCell::default(),
            gone: BTreeSet::new(),
            departed: forget::Departed::default(),
            returned: None,
            moving_until: Duration::ZERO,
            agreed: 0,
        };
        engine.load(saved, now);
        engine.outputs.clear();
        engine.start_keys(now);
        engine.publish_facts(now);
        engine.publish_node(now);
        engine.start_timers(now);
        engine
    }

    /// This node's id.
    #[must_use]
    pub fn id(&self) -> NodeId {
        self.config.id
    }

    /// Roots of members, owners' and shared records: equal on two nodes that hold the same.
    #[must_use]
    pub fn roots(&self) -> (u64, u64, u64) {
        let roots = self.sync_roots();
        (roots.members, roots.records.owners, roots.records.shared)
    }

    /// Takes one sealed datagram. A bad one changes nothing but a counter, and what is told of others'
    /// keys while nobody was met.
    pub fn handle_datagram(&mut self, from: SocketAddr, bytes: &[u8], now: Now) {
        let (mut replies, mut opened) = (Vec::new(), Vec::new());
        let verdict = self.sealer.receive(from, bytes, now_ms(now), &mut replies, &mut opened);
        if let Err(error) = verdict {
            self.log_unopened(from, &error, now);
        }
        self.outputs.extend(replies.into_iter().map(|(to, bytes)| Output::Send { to, bytes }));
        self.take_opened(from, opened, now);
    }

    /// Takes what happened to a stream.
    pub fn handle_stream(&mut self, event: StreamEvent, now: Now) {
        match event {
            StreamEvent::Accepted(stream, from, agreed) => {
                self.accept_stream(stream, from, agreed, now);
            }
            StreamEvent::Opened(stream, agreed) => self.open_stream(stream, agreed, now),
            StreamEvent::Message(stream, bytes) => self.handle_message(stream, &bytes, now),
            StreamEvent::Closed(stream, reason) => self.close_stream(stream, &reason, now),
            StreamEvent::Reached(stream) => self.ping_reached(stream),
            StreamEvent::Refused(stream) => self.ping_refused(stream, now),
            StreamEvent::OtherKey(stream, key) => self.stream_of_other_key(stream, key),
        }
    }

    /// Carries out a command; the reply comes as an output, for writes once they are persisted.
    pub fn handle_command(&mut self, ticket: Ticket, command: Command, now: Now) {
        if self.must_wait(&command) {
            return self.hold(ticket, command, now);
        }
        if let Err(error) = self.carry_out(ticket, command, now) {
            self.outputs.push_back(Output::Reply(ticket, Err(error)));
        }
    }

    /// All that was to be persisted up to this number is on disk.
    pub fn handle_persisted(&mut self, upto: u64, now: Now) {
        let done = self.store.persisted(upto);
        for reply in done.replies {
            self.outputs.push_back(Output::Reply(reply.0, Ok(reply.1)));
        }
        for (stream, answer) in done.answers {
            self.put_answer(stream, answer);
        }
        if let Some(keys) = done.keys {
            self.keys_persisted(keys, now);
        }
        for version in done.versions {
            self.spread(&version, now);
        }
        self.pay_owed(now);
    }

    /// The store failed: commands that wait for it are told so.
    pub fn handle_store_failed(&mut self, reason: &str, now: Now) {
        let failed = self.store.fail();
        let error = || CommandError::Storage(reason.to_owned());
        for (ticket, _) in failed.replies {
            self.outputs.push_back(Output::Reply(ticket, Err(error())));
        }
        for (stream, _) in failed.answers {
            self.put_answer(stream, Err(error().to_string()));
        }
        self.pay_owed(now);
    }

    /// The seeds' addresses, resolved anew.
    pub fn handle_seeds(&mut self, seeds: Resolved, now: Now) {
        let Resolved { addresses, unresolved } = seeds;
        let only_us = addresses.iter().all(|seed| *seed == self.config.address);
        let first = unresolved == 0 && !addresses.is_empty() && only_us;
        self.seeds = addresses;
        self.seeds.retain(|seed| *seed != self.config.address);
        self.call_seeds(now);
        // A node that is its only seed is the first of its cluster.
        if first && self.saved_members.is_empty() {
            self.set_synced(now);
        }
    }

    /// Runs what is due.
    pub fn handle_timeout(&mut self, now: Now) {
        self.swim.handle_timeout(now.mono);
        self.drain_swim(now);
        while let Some(timer) = self.timers.pop_due(now.mono) {
            self.run_timer(timer, now);
        }
    }

    /// When [`Engine::handle_timeout`] wants to be called, on the monotonic clock.
    #[must_use]
    pub fn poll_timeout(&self) -> Duration {
        self.swim.poll_timeout().min(self.timers.first().unwrap_or(Duration::MAX))
    }

    /// The next thing the loop must do.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// Grows whenever the view changes.
    #[must_use]
    pub fn rev(&self) -> u64 {
        self.rev
    }

    fn take_opened(&mut self, from: SocketAddr, opened: Vec<Vec<u8>>, now: Now) {
        for plain in opened {
            match codec::decode(&plain) {
                Ok(datagram) => self.handle_opened(from, datagram, now),
                Err(_) => self.counters.datagrams_malformed += 1,
            }
        }
    }

    fn handle_opened(&mut self, from: SocketAddr, datagram: Datagram, now: Now) {
        if self.is_outside() {
            return self.call(from, now);
        }
        match datagram {
            Datagram::Swim(packet) => {
                if self.swim.handle_datagram(&packet, now.mono).is_err() {
                    self.counters.datagrams_malformed += 1;
                }
                self.drain_swim(now);
            }
            Datagram::Doubt(suspect, incarnation) => {
                let objection = self.swim.object(suspect, incarnation, now.mono);
                self.drain_swim(now);
                if let Some(peer) = objection {
                    self.send(from, &Datagram::Objection(peer), now);
                }
            }
            Datagram::Objection(peer) => {
                self.swim.apply(vec![peer], Some(peer.identity), now.mono);
                self.drain_swim(now);
            }
            Datagram::Check(roots) => {
                let mine = self.sync_roots();
                self.hear_horizon(roots.records.horizon_ms, now);
                self.send(from, &Datagram::CheckReply(mine), now);
            }
            Datagram::CheckReply(roots) => self.compare_roots(from, roots, now),
            Datagram::Holds { nonce, version } => {
                let holds = self.state.holds(&version);
                self.send(from, &Datagram::Held { nonce, holds }, now);
            }
            Datagram::Held { nonce, holds } => self.handle_held(from, nonce, holds),
            Datagram::Watch => self.send(from, &Datagram::Watched, now),
            Datagram::Watched => self.watch_answered(from, now),
            Datagram::Vouch(suspect, incarnation) => {
                self.ping(suspect, incarnation, Some(from), now);
            }
            Datagram::AskKeys => self.answer_ask_keys(from, now),
            Datagram::HeldKeys(keys) => self.take_held_keys(from, keys),
            Datagram::Vouched(suspect, finding) => {
                self.swim.reported(suspect, from, finding, now.mono);
                self.drain_swim(now);
            }
        }
    }

    fn send(&mut self, to: SocketAddr, datagram: &Datagram, now: Now) {
        let mut sealed = Vec::new();
        let sent = self.sealer.send(to, &codec::encode(datagram), now_ms(now), &mut sealed);
        debug_assert!(sent != Sent::TooLarge, "a datagram that does not fit");
        self.outputs.extend(sealed.into_iter().map(|(to, bytes)| Output::Send { to, bytes }));
    }

    /// The one way in for records: apply, persist, and tell what follows.
    fn apply(&mut self, record: Record, now: Now) -> Verdict {
        if let Record::Owned(owned) = &record
            && owned.owner == self.config.id
            && !self.own.wrote(owned.epoch, owned.seq)
        {
            return Verdict::Refused(Refusal::OurOwn { epoch: owned.epoch });
        }
        let version = record.version();
        match self.state.apply(record, now.wall_ms) {
            Applied::Fresh(changes) => {
                self.counters.records_unknown += u64::from(!version.kind().is_known());
                self.note_changes(Some(&version), &changes);
                for change in changes {
                    self.follow(change, now);
                }
                Verdict::Fresh
            }
            Applied::Stale => Verdict::Stale,
            Applied::Refused(refusal) => Verdict::Refused(refusal),
        }
    }

    /// Takes a record from a peer.
    fn take(&mut self, record: Record, now: Now) -> Verdict {
        let verdict = self.apply(record, now);
        match verdict {
            Verdict::Refused(Refusal::Ahead) => self.counters.records_ahead += 1,
            Verdict::Refused(Refusal::OurOwn { epoch }) => self.raise_epoch(epoch, now),
            Verdict::Refused(_) => self.counters.records_refused += 1,
            Verdict::Fresh | Verdict::Stale => {}
        }
        verdict
    }

    /// Tells, and does, what follows from one change.
    fn follow(&mut self, change: Change, now: Now) {
        self.rev += 1;
        if let Some(lost) = change.lost.filter(|lost| lost.writer == self.config.id)
            && let What::Shared(key) = &change.what
        {
            self.tell_conflict(key, &lost);
        }
        match change.what {
            What::Shared(key) => self.follow_shared(&key, now),
            What::Facts(id, before) => {
                self.tell_facts(id, &before);
                let moves = self.memberships.update_facts(&self.state, id, &before);
                self.follow_moves(moves, now);
            }
            What::Node(id) => self.follow_node(id, now),
            What::Offers(id) => self.tell_offers(id),
            What::Keys(id) => self.keys.forget_told(id),
            What::Status | What::Owned | What::Gone(_) => {}
        }
    }

    fn follow_shared(&mut self, key: &Key, now: Now) {
        let tribes: Vec<TribeName> = match key.kind {
            Kind::TRIBE | Kind::FLOOR => TribeName::parse(&key.name).into_iter().collect(),
            Kind::PLACEMENT => {
                let tribe = key.name.split_once('/').map_or("", |(tribe, _)| tribe);
                TribeName::parse(tribe).into_iter().collect()
            }
            // A policy may have been of another tribe before.
            Kind::POLICY | Kind::POLICY_ENABLED => {
                let now = self.state.reading().policies.get(&*key.name).map(|read| &read.tribe);
                let before = self.memberships.tribes_by(&key.name);
                before.chain(now).cloned().collect::<BTreeSet<_>>().into_iter().collect()
            }
            _ => Vec::new(),
        };
        if let Some((id, epoch)) = key.as_forgotten() {
            self.follow_forgotten(id, epoch, now);
        }
        if let Some(id) = key.as_key_phase() {
            self.follow_key(id, now);
        }
        self.tell_shared(key);
        for tribe in tribes {
            let moves = self.memberships.update_tribe(&self.state, &tribe);
            self.follow_moves(moves, now);
            self.act_on(&tribe, now);
        }
    }

    fn follow_moves(&mut self, moves: Vec<Moved>, now: Now) {
        for moved in moves {
            self.rev += 1;
            if moved.crossed() {
                self.tell_moved(&moved);
            }
            if moved.node == self.config.id {
                self.follow_own_move(&moved, now);
            }
        }
    }

    fn run_timer(&mut self, timer: Timer, now: Now) {
        match timer {
            Timer::Check => self.check_someone(now),
            Timer::Seeds => self.try_seeds(now),
            Timer::Wanted => self.pull_wanted(now),
            Timer::Publish => self.publish_later(now),
            Timer::Offers => self.publish_offers(now),
            Timer::Status => self.publish_status(now),
            Timer::HoldDown => self.end_hold_downs(now),
            Timer::Waits => self.run_waits(now),
            Timer::Flush => self.flush_store(),
            Timer::Leave => self.go_on_leaving(now),
            Timer::Idle => self.close_idle_streams(now),
            Timer::Horizon => self.move_horizon(now),
            Timer::SaveMembers => self.save_members(),
            Timer::Session => self.renew_session(now),
            Timer::Pings => self.expire_pings(now),
            Timer::Watch => self.watch_next(now),
            Timer::Keys => self.fetch_keys(now),
            Timer::TellKeys => self.publish_keys(now),
            Timer::Held => self.expire_held(now),
        }
    }

    /// A peer proved its session over a stream.
    fn learn_session(&mut self, peer: SocketAddr, session: SessionId, now: Now) {
        let (mut sealed, mut opened) = (Vec::new(), Vec::new());
        self.sealer.learn(peer, session, now_ms(now), &mut sealed, &mut opened);
        self.outputs.extend(sealed.into_iter().map(|(to, bytes)| Output::Send { to, bytes }));
        self.take_opened(peer, opened, now);
    }

    /// Begins a new session; what is sealed to the old one still opens for a while.
    fn renew_session(&mut self, now: Now) {
        self.sealer.renew(self.rng.random());
        self.timers.set(Timer::Session, now.mono + SESSION_PERIOD);
    }

    fn sync_roots(&self) -> SyncRoots {
        SyncRoots { members: self.member_buckets().root(), records: self.state.roots() }
    }

    fn log_unopened(&mut self, from: SocketAddr, error: &OpenError, now: Now) {
        if let OpenError::UnknownKey { theirs, ours } = error {
            self.hear_other_key(from, *theirs);
            if self.quiet.may_name(*theirs, now.mono) {
                tracing::warn!(%from, %theirs, %ours, "cannot open a datagram: it is sealed with another key");
                return;
            }
        }
        tracing::debug!(%from, "dropped a datagram: {error}");
    }

    fn jitter(&mut self, least: Duration, most: Duration) -> Duration {
        let (least_us, most_us) = (least.as_micros() as u64, most.as_micros() as u64);
        Duration::from_micros(self.rng.random_range(least_us..=most_us.max(least_us)))
    }

    fn member_name(&self, id: NodeId) -> String {
        let node = self.state.owner(id).and_then(|owner| owner.node());
        let name = node.map(|node| &node.name).or_else(|| self.memberships.name_of(id));
        name.map_or_else(|| id.to_string(), ToString::to_string)
    }
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine")
            .field("swim", &self.swim)
            .field("rev", &self.rev)
            .finish_non_exhaustive()
    }
}

/// What came of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
enum Verdict {
    Fresh,
    Stale,
    Refused(Refusal),
}

/// A new datagram session begins this often.
const SESSION_PERIOD: Duration = Duration::from_secs(3600);

/// The sealer's clock: monotonic, in milliseconds.
fn now_ms(now: Now) -> u64 {
    now.mono.as_millis() as u64
}

/// A version is news to be spread, and to be persisted.
impl Engine {
    fn note_changes(&mut self, version: Option<&Version>, changes: &[Change]) {
        if let Some(version) = version {
            self.store_version(version);
        }
        for change in changes {
            match &change.what {
                What::Shared(key) => {
                    if !matches!(version, Some(Version::Shared(written, _)) if written == key)
                        && let Some(record) = self.state.shared(key)
                    {
                        self.store_version(&record.version());
                    }
                }
                What::Gone(gone) => self.store_gone(gone),
                What::Node(_)
                | What::Facts(..)
                | What::Offers(_)
                | What::Status
                | What::Keys(_)
                | What::Owned => {}
            }
        }
    }
}

/// An engine may be shown to readers on other threads.
const _: () = {
    const fn is_send<T: Send>() {}
    is_send::<Engine>();
    is_send::<Arc<View>>();
};
