//! Membership and failure detection: the only file that names foca.
//!
//! foca 2.0 is a SWIM implementation without sockets or clock (Das et al., "SWIM", 2002). It tells who is
//! alive and spreads small broadcasts. It does not promise that everyone sees everyone: digest sync
//! does, through [`Swim::members`] and [`Swim::apply`]. This module also guards against foca's traps:
//! a suspect must hear of it, a refuted suspicion must not kill, an oversized broadcast must not stick, and a dead host must not
//! draw packets from the whole cluster. Whether a member that does not answer is dead is decided in
//! [`suspicion`], not by foca's clock alone.
//!
//! It must not know what a broadcast says, only its [`Version`].

mod haste;
#[cfg(test)]
#[cfg(feature = "sim")]
pub(crate) mod samples;
mod suspicion;

use std::{
    collections::{BTreeMap, VecDeque, btree_map::Entry},
    net::SocketAddr,
    num::{NonZeroU8, NonZeroU32, NonZeroUsize},
    sync::mpsc,
    time::Duration,
};

use bytes::{Buf, BufMut};
use foca::{
    BroadcastHandler, Codec as FocaCodec, Foca, Header, Identity as FocaIdentity, Invalidates,
    Member, Message, Notification, Runtime, State as MemberState, Timer,
};
use rand::{RngExt, SeedableRng, rngs::StdRng, seq::SliceRandom};
use serde::{Deserialize, Serialize};

use self::{
    haste::Haste,
    suspicion::{SelfDoubt, Suspicion},
};
use crate::{
    NodeId, codec, limits,
    state::Version,
    wire::peer::{Finding, Identity, Peer, Standing},
};

impl FocaIdentity for Identity {
    type Addr = SocketAddr;

    fn renew(&self) -> Option<Self> {
        self.renewed()
    }

    fn addr(&self) -> SocketAddr {
        self.address
    }

    fn win_addr_conflict(&self, other: &Self) -> bool {
        (self.generation, self.id) > (other.generation, other.id)
    }
}

fn peer_of(member: &Member<Identity>) -> Peer {
    let standing = match member.state() {
        MemberState::Alive => Standing::Alive,
        MemberState::Suspect => Standing::Suspect,
        MemberState::Down => Standing::Down,
    };
    Peer { identity: *member.id(), incarnation: member.incarnation(), standing }
}

fn member_of(peer: Peer) -> Member<Identity> {
    let state = match peer.standing {
        Standing::Alive => MemberState::Alive,
        Standing::Suspect => MemberState::Suspect,
        Standing::Down => MemberState::Down,
    };
    Member::new(peer.identity, peer.incarnation, state)
}

/// What the failure detector wants done or known.
#[derive(Debug)]
pub(crate) enum SwimOutput {
    /// Send this to a member.
    Send(SocketAddr, Vec<u8>),
    /// A member is up.
    Up(Identity),
    /// A member is down or has left.
    Down(Identity),
    /// A member has a new identity, by a restart or a renewal.
    Renamed(Identity, Identity),
    /// This node was declared down and has come back as this.
    Rejoined(Identity),
    /// Tell this member that it is suspected, in this incarnation, so that it can object.
    Doubt(Identity, u16),
    /// Dial this member, known in this incarnation: it has not answered a probe.
    Dial(Identity, u16),
    /// Have these members dial it too.
    Ask(Identity, u16, Vec<SocketAddr>),
    /// A broadcast came in from this neighbour, who need not have made it.
    Broadcast(Vec<u8>, SocketAddr),
}

/// The failure detector of one node.
pub(crate) struct Swim {
    foca: Foca<Identity, Codec, StdRng, Inbox>,
    rng: StdRng,
    inbox: mpsc::Receiver<(Vec<u8>, SocketAddr)>,
    config: foca::Config,
    timers: Timers,
    outputs: VecDeque<SwimOutput>,
    /// Grows with each change of who is up.
    changes: u64,
    dead_calls_at: Duration,
    /// Broadcasts wait for the next gossip until then.
    hasten_at: Duration,
    haste: Haste,
    /// Members that we suspect, in this incarnation.
    suspicions: BTreeMap<(Identity, u16), Accused>,
    probe: Option<Probe>,
    /// A member that answered no watch and is being dialled.
    watched: Option<Identity>,
    self_doubt: SelfDoubt,
    sized_for: usize,
}

/// How often the dead are called, and how many calls the whole cluster makes for each.
const DEAD_CALL_PERIOD: Duration = Duration::from_secs(10);
const CALLS_PER_PERIOD: f64 = 4.0;
/// Broadcasts, and who came or went, go out at once this often.
const HASTEN_PERIOD: Duration = Duration::from_millis(50);
/// A member that has answered neither us nor those we asked by so long after the latter is dialled.
const DIAL_AFTER: Duration = Duration::from_millis(150);
/// So many changes that a sync brings are few.
const FEW_NEWS: usize = 16;
const LEAST_SUSPICION: Duration = Duration::from_secs(3);

/// A member that we suspect, and foca's timer that declares it dead.
#[derive(Debug)]
struct Accused {
    suspicion: Suspicion,
    /// None if a watch began it, and no probe.
    timer: Option<Timer<Identity>>,
}

/// The probe that is under way.
#[derive(Debug)]
struct Probe {
    target: Identity,
    number: u8,
    /// It spoke, to us or to one we asked.
    heard: bool,
    /// foca knows that it did.
    settled: bool,
    dial_at: Option<Duration>,
    finding: Option<Finding>,
}

impl Swim {
    pub(crate) fn new(identity: Identity, seed: u64, now: Duration) -> Self {
        let (sender, inbox) = mpsc::channel();
        let config = config_for(1);
        let foca = Foca::with_custom_broadcast(
            identity,
            config.clone(),
            StdRng::seed_from_u64(seed),
            Codec { own: identity },
            Inbox(sender),
        );
        Self {
            foca,
            rng: StdRng::seed_from_u64(seed ^ 0x5ca1_ab1e),
            inbox,
            config,
            timers: Timers::default(),
            outputs: VecDeque::new(),
            changes: 0,
            dead_calls_at: now + DEAD_CALL_PERIOD,
            hasten_at: now,
            haste: Haste::new(now),
            suspicions: BTreeMap::new(),
            probe: None,
            watched: None,
            self_doubt: SelfDoubt::default(),
            sized_for: 1,
        }
    }

    /// This node as others know it.
    pub(crate) fn identity(&self) -> Identity {
        *self.foca.identity()
    }

    /// Differs whenever [`Swim::active`] or [`Swim::identity`] may have changed.
    pub(crate) fn revision(&self) -> (u64, u64) {
        (self.changes, self.identity().generation)
    }

    /// Members that are up or merely suspected.
    pub(crate) fn active(&self) -> impl Iterator<Item = Identity> + '_ {
        self.foca.iter_members().map(|member| *member.id())
    }

    /// How many other members are up.
    pub(crate) fn active_len(&self) -> usize {
        self.foca.num_members()
    }

    /// All members, dead ones too, and this node, for digest sync.
    pub(crate) fn members(&self) -> impl Iterator<Item = Peer> + '_ {
        let me = Member::new(*self.foca.identity(), 0, MemberState::Alive);
        self.foca.iter_membership_state().map(peer_of).chain(std::iter::once(peer_of(&me)))
    }

    /// Takes a datagram. A bad one is dropped.
    pub(crate) fn handle_datagram(&mut self, bytes: &[u8], now: Duration) -> Result<(), SwimError> {
        let result = self.run(now, |foca, runtime| foca.handle_data(bytes, runtime));
        if let (Ok(()), Ok((header, _))) = (&result, codec::decode_prefix::<WireHeader>(bytes)) {
            self.hear(&header, now);
        }
        result
    }

    /// Whoever says anything is alive.
    fn hear(&mut self, header: &WireHeader, now: Duration) {
        self.self_doubt.hear(now);
        let Some(probe) = &mut self.probe else { return };
        match &header.message {
            Message::Ack(number) if *number == probe.number && header.src == probe.target => {
                (probe.heard, probe.settled) = (true, true);
            }
            Message::ForwardedAck { origin, probe_number }
                if *probe_number == probe.number && *origin == probe.target =>
            {
                (probe.heard, probe.settled) = (true, true);
            }
            _ if header.src == probe.target => probe.heard = true,
            _ => {}
        }
    }

    /// All these are members and know of each other: nothing is to be told. It begins to probe them then.
    #[cfg(feature = "sim")]
    pub(crate) fn stand(&mut self, members: impl Iterator<Item = Identity>, begins: Duration) {
        let alive = members.map(Member::alive);
        self.log(begins, |foca, runtime| foca.apply_many(alive, false, runtime));
        self.outputs = VecDeque::new();
        self.haste = Haste::new(begins);
    }

    /// Takes what a digest sync brought, `from` whom.
    ///
    /// A few news are spread, as they would be had they come by gossip: once known they stop nobody else's
    /// from spreading. Of many, as at a join, only what the peer says of itself is. The dead that are
    /// unknown here stay so: otherwise they would be handed on for ever.
    pub(crate) fn apply(&mut self, peers: Vec<Peer>, from: Option<Identity>, now: Duration) {
        let known: BTreeMap<SocketAddr, Peer> = self
            .foca
            .iter_membership_state()
            .map(|member| (member.id().address, peer_of(member)))
            .collect();
        let is_news = |peer: &Peer| match known.get(&peer.identity.address) {
            Some(known) => known != peer,
            None => peer.is_active(),
        };
        let news: Vec<Peer> = peers.into_iter().filter(is_news).collect();
        let few = news.len() <= FEW_NEWS;
        let (spread, quiet): (Vec<Peer>, Vec<Peer>) =
            news.into_iter().partition(|peer| few || Some(peer.identity) == from);
        for (peers, spread) in [(spread, true), (quiet, false)] {
            let members = peers.into_iter().map(member_of);
            self.log(now, |foca, runtime| foca.apply_many(members, spread, runtime));
        }
    }

    /// Makes this node known to a member.
    pub(crate) fn announce(&mut self, to: Identity, now: Duration) {
        self.log(now, |foca, runtime| foca.announce(to, runtime));
    }

    /// The newest identity known of an address.
    pub(crate) fn known_at(&self, address: SocketAddr) -> Option<Identity> {
        let mut known = self.foca.iter_membership_state().map(|member| *member.id());
        known.find(|identity| identity.address == address)
    }

    /// Others know this node, or its address, in this generation: goes on above it, unless it is there.
    pub(crate) fn raise_generation(&mut self, known: u64, now: Duration) {
        let mut identity = self.identity();
        if identity.generation < known {
            identity.generation = known.saturating_add(1);
            self.log(now, |foca, runtime| foca.change_identity(identity, runtime));
        }
    }

    /// Tells a few members that this node goes. Call [`Swim::gossip`] a few times more so that it is heard.
    pub(crate) fn leave(&mut self, now: Duration) {
        self.log(now, |foca, runtime| foca.leave_cluster(runtime));
    }

    /// A dead node is called no more, and no longer spoken of.
    pub(crate) fn forget(&mut self, id: NodeId, now: Duration) {
        let members = self.foca.iter_membership_state();
        let dead: Vec<Identity> = members
            .filter(|member| member.state() == MemberState::Down && member.id().id == id)
            .map(|member| *member.id())
            .collect();
        for identity in dead {
            self.log(now, |foca, runtime| foca.handle_timer(Timer::RemoveDown(identity), runtime));
        }
    }

    /// Spreads what waits to be spread, now.
    pub(crate) fn gossip(&mut self, now: Duration) {
        self.log(now, |foca, runtime| foca.gossip(runtime));
    }

    /// Spreads a broadcast. `false`: too large, or the queue is broken; digest sync will carry it.
    pub(crate) fn broadcast(&mut self, announcement: &[u8], now: Duration) -> bool {
        let taken = announcement.len() <= limits::BROADCAST_BYTES
            && self.foca.add_broadcast(announcement).unwrap_or(false);
        // News goes on at once instead of with the next gossip. It is no more packets, for each broadcast
        // rides on so many; a burst of news waits, so that packets are full.
        if taken && now >= self.hasten_at {
            self.hasten_at = now + HASTEN_PERIOD;
            self.log(now, |foca, runtime| foca.broadcast(runtime));
        }
        taken
    }

    /// Broadcasts that wait to be spread.
    pub(crate) fn backlog(&self) -> usize {
        self.foca.custom_broadcast_backlog()
    }

    /// When [`Swim::handle_timeout`] wants to be called.
    pub(crate) fn poll_timeout(&self) -> Duration {
        let first = self.timers.first().unwrap_or(Duration::MAX);
        let suspicions = self.suspicions.values().map(|accused| accused.suspicion.next()).min();
        let dial = self.probe.as_ref().and_then(|probe| probe.dial_at);
        let soonest = first.min(suspicions.unwrap_or(Duration::MAX)).min(self.dead_calls_at);
        soonest.min(dial.unwrap_or(Duration::MAX)).min(self.haste.next())
    }

    /// Runs all timers that are due, in the order foca asks for.
    pub(crate) fn handle_timeout(&mut self, now: Duration) {
        let late = now.saturating_sub(self.poll_timeout());
        let lost = self.self_doubt.turn(late, now);
        for accused in self.suspicions.values_mut() {
            accused.suspicion.postpone(lost);
        }
        while let Some(timer) = self.timers.pop_due(now) {
            match &timer {
                Timer::SendIndirectProbe { .. } => self.ask_about_probe(timer, now),
                Timer::ProbeRandomMember(_) => self.next_probe(timer, now),
                _ => self.log(now, |foca, runtime| foca.handle_timer(timer, runtime)),
            }
        }
        self.dial_probed(now);
        self.judge(now);
        if self.haste.take_due(self.changes, now) {
            self.gossip(now);
        }
        if now >= self.dead_calls_at {
            self.dead_calls_at = now + DEAD_CALL_PERIOD;
            self.call_the_dead(now);
        }
    }

    /// The probed member has not answered us in time: others try.
    fn ask_about_probe(&mut self, timer: Timer<Identity>, now: Duration) {
        self.settle_probe(now);
        self.log(now, |foca, runtime| foca.handle_timer(timer, runtime));
        if let Some(probe) = self.probe.as_mut().filter(|probe| !probe.heard) {
            probe.dial_at = Some(now + DIAL_AFTER);
        }
    }

    /// And them neither: it is dialled.
    fn dial_probed(&mut self, now: Duration) {
        let Some(probe) = &mut self.probe else { return };
        let Some(_) = probe.dial_at.take_if(|at| *at <= now) else { return };
        let target = probe.target;
        if !probe.heard
            && let Some(incarnation) = self.incarnation_of(&target)
        {
            self.outputs.push_back(SwimOutput::Dial(target, incarnation));
        }
    }

    /// The probe is over. Whoever did not answer is suspected, unless we doubt ourselves.
    fn next_probe(&mut self, timer: Timer<Identity>, now: Duration) {
        if let Some(probe) = &mut self.probe {
            self.self_doubt.probe_ended(probe.heard);
            probe.heard |= self.self_doubt.is_on(now);
        }
        self.settle_probe(now);
        let before = self.outputs.len();
        self.log(now, |foca, runtime| foca.handle_timer(timer, runtime));
        let ping = |output: &SwimOutput| match output {
            SwimOutput::Send(to, packet) => {
                let (header, _) = codec::decode_prefix::<WireHeader>(packet).ok()?;
                match header.message {
                    Message::Ping(number) => Some((*to, number)),
                    _ => None,
                }
            }
            _ => None,
        };
        let pinged = self.outputs.iter().skip(before).find_map(ping);
        self.probe = pinged.and_then(|(to, number)| {
            Some(Probe {
                target: self.known_at(to)?,
                number,
                heard: false,
                settled: false,
                dial_at: None,
                finding: None,
            })
        });
    }

    /// foca believes in acknowledgements only; that the member spoke otherwise is as good.
    fn settle_probe(&mut self, now: Duration) {
        let Some(probe) = self.probe.as_mut().filter(|probe| probe.heard && !probe.settled) else {
            return;
        };
        probe.settled = true;
        let (src, message) = (probe.target, Message::Ack(probe.number));
        let Some(src_incarnation) = self.incarnation_of(&src) else { return };
        let dst = WireTarget::Whole(self.identity());
        let header = WireHeader { src, src_incarnation, dst, message };
        let packet = codec::encode(&header);
        self.log(now, |foca, runtime| foca.handle_data(&packet, runtime));
    }

    fn incarnation_of(&self, identity: &Identity) -> Option<u16> {
        let mut active = self.foca.iter_members().filter(|member| member.id() == identity);
        active.next().map(Member::incarnation)
    }

    /// A watch got no answer of this member, which will be dialled. Returns its incarnation, if it is there
    /// as far as anyone knows.
    pub(crate) fn expect(&mut self, member: Identity, now: Duration) -> Option<u16> {
        let incarnation = self.incarnation_of(&member)?;
        if !self.self_doubt.is_on(now) {
            self.watched = Some(member);
        }
        Some(incarnation)
    }

    /// Whoever answered neither a watch nor a dial is suspected.
    fn suspect_watched(&mut self, finding: Finding, now: Duration) {
        let Some(member) = self.watched.take() else { return };
        let Some(incarnation) = self.incarnation_of(&member) else { return };
        if !matches!(finding, Finding::Unanswered | Finding::Silent) {
            return;
        }
        let suspect = Member::new(member, incarnation, MemberState::Suspect);
        self.log(now, |foca, runtime| foca.apply_many(std::iter::once(suspect), true, runtime));
        let lasts = self.config.suspect_to_down_after;
        self.suspicions.entry((member, incarnation)).or_insert_with(|| Accused {
            suspicion: Suspicion::new(now, lasts, Some(finding)),
            timer: None,
        });
    }

    /// What came of dialling a member ourselves.
    pub(crate) fn found(&mut self, member: Identity, finding: Finding, now: Duration) {
        if finding == Finding::Here {
            self.self_doubt.hear(now);
        }
        if let Some(probe) = self.probe.as_mut().filter(|probe| probe.target == member) {
            probe.finding = Some(finding);
            probe.heard |= finding == Finding::Here;
        }
        if self.watched == Some(member) {
            self.suspect_watched(finding, now);
        }
        let mut suspected = false;
        for accused in Self::accused_of(&mut self.suspicions, &member) {
            suspected = true;
            accused.suspicion.find(finding);
            if finding == Finding::Here {
                accused.suspicion.restart(now);
            }
        }
        if finding == Finding::Refused && !suspected {
            self.declare_dead(&member, now);
        }
        self.settle_probe(now);
        self.judge(now);
    }

    /// What came of it for a member that was asked.
    pub(crate) fn reported(
        &mut self,
        member: Identity,
        from: SocketAddr,
        finding: Finding,
        now: Duration,
    ) {
        for accused in Self::accused_of(&mut self.suspicions, &member) {
            accused.suspicion.report(from, finding);
        }
        self.judge(now);
    }

    fn accused_of<'a>(
        suspicions: &'a mut BTreeMap<(Identity, u16), Accused>,
        member: &Identity,
    ) -> impl Iterator<Item = &'a mut Accused> {
        suspicions.range_mut((*member, 0)..=(*member, u16::MAX)).map(|(_, accused)| accused)
    }

    /// It is dead beyond doubt, before anyone suspected it.
    fn declare_dead(&mut self, member: &Identity, now: Duration) {
        if let Some(incarnation) = self.incarnation_of(member) {
            let dead = Member::new(*member, incarnation, MemberState::Down);
            self.log(now, |foca, runtime| foca.apply_many(std::iter::once(dead), true, runtime));
        }
    }

    /// Declares dead who is, tells the others that they are suspected, and looks for proof.
    fn judge(&mut self, now: Duration) {
        let due: Vec<(Identity, u16)> = self
            .suspicions
            .iter()
            .filter(|(_, Accused { suspicion, .. })| {
                suspicion.next() <= now || suspicion.is_refused() || suspicion.is_mature(now, 1)
            })
            .map(|(suspect, _)| *suspect)
            .collect();
        for suspect in due {
            self.judge_one(suspect, now);
        }
    }

    fn judge_one(&mut self, suspect: (Identity, u16), now: Duration) {
        let (identity, incarnation) = suspect;
        // foca delivers the death of a member even if the suspicion was refuted meanwhile, and so makes a
        // healthy node renew its identity.
        if !self.suspects(&identity, incarnation) {
            self.suspicions.remove(&suspect);
            return;
        }
        let others = self.foca.num_members().saturating_sub(1);
        let in_doubt = self.self_doubt.is_on(now);
        let Some(accused) = self.suspicions.get_mut(&suspect) else { return };
        let suspicion = &mut accused.suspicion;
        if suspicion.is_refused() || (suspicion.is_mature(now, others) && !in_doubt) {
            let timer = accused.timer.clone();
            self.suspicions.remove(&suspect);
            match timer {
                Some(timer) => self.log(now, |foca, runtime| foca.handle_timer(timer, runtime)),
                None => self.declare_dead(&identity, now),
            }
            return;
        }
        if now >= suspicion.next() {
            suspicion.withhold(now);
        }
        let telling = suspicion.take_telling(now);
        let round = suspicion.take_round(now);
        if telling {
            self.outputs.push_back(SwimOutput::Doubt(identity, incarnation));
        }
        if round {
            self.look_for_proof(suspect);
        }
    }

    /// Dials a suspect again, and has other members dial it.
    fn look_for_proof(&mut self, suspect: (Identity, u16)) {
        let (identity, incarnation) = suspect;
        self.outputs.push_back(SwimOutput::Dial(identity, incarnation));
        let Some(accused) = self.suspicions.get_mut(&suspect) else { return };
        let wanted = accused.suspicion.wanted();
        let mut others: Vec<SocketAddr> = self
            .foca
            .iter_members()
            .filter(|member| member.state() == MemberState::Alive && *member.id() != identity)
            .map(|member| member.id().address)
            .filter(|address| !accused.suspicion.was_asked(address))
            .collect();
        let asked = others.partial_shuffle(&mut self.rng, wanted).0.to_vec();
        if !asked.is_empty() {
            accused.suspicion.ask(asked.iter().copied());
            self.outputs.push_back(SwimOutput::Ask(identity, incarnation, asked));
        }
    }

    /// The next thing to be done or known.
    pub(crate) fn poll_output(&mut self) -> Option<SwimOutput> {
        self.outputs.pop_front()
    }

    /// This node is suspected by someone in this incarnation. Returns what to object, if it is meant.
    pub(crate) fn object(
        &mut self,
        suspect: Identity,
        incarnation: u16,
        now: Duration,
    ) -> Option<Peer> {
        let next = incarnation.checked_add(1)?;
        if suspect != self.identity() {
            return None;
        }
        let suspicion = Member::new(suspect, incarnation, MemberState::Suspect);
        self.log(now, |foca, runtime| foca.apply_many(std::iter::once(suspicion), false, runtime));
        // foca has either gone beyond the incarnation just now or was beyond it before.
        Some(Peer { identity: suspect, incarnation: next, standing: Standing::Alive })
    }

    /// Is this member suspected, in this incarnation?
    pub(crate) fn suspects(&self, identity: &Identity, incarnation: u16) -> bool {
        self.foca.iter_membership_state().any(|member| {
            member.id() == identity
                && member.state() == MemberState::Suspect
                && member.incarnation() == incarnation
        })
    }

    /// A dead host may have come back, or be on the other side of a split. All nodes together call each
    /// a few times per period, however many nodes there are.
    fn call_the_dead(&mut self, now: Duration) {
        let chance = (CALLS_PER_PERIOD / (self.foca.num_members() + 1) as f64).min(1.0);
        let dead: Vec<Identity> = self
            .foca
            .iter_membership_state()
            .filter(|member| member.state() == MemberState::Down)
            .map(|member| *member.id())
            .collect();
        for identity in dead {
            if self.rng.random_bool(chance) {
                self.announce(identity, now);
            }
        }
    }

    fn log(
        &mut self,
        now: Duration,
        call: impl FnOnce(
            &mut Foca<Identity, Codec, StdRng, Inbox>,
            &mut Effects<'_>,
        ) -> Result<(), foca::Error>,
    ) {
        if let Err(error) = self.run(now, call) {
            tracing::debug!(%error, "failure detector");
        }
    }

    fn run(
        &mut self,
        now: Duration,
        call: impl FnOnce(
            &mut Foca<Identity, Codec, StdRng, Inbox>,
            &mut Effects<'_>,
        ) -> Result<(), foca::Error>,
    ) -> Result<(), SwimError> {
        let mut effects = Effects {
            now,
            timers: &mut self.timers,
            suspicions: &mut self.suspicions,
            probed: self.probe.as_ref().map(|probe| (probe.target, probe.finding)),
            outputs: &mut self.outputs,
            changes: &mut self.changes,
        };
        let before = *effects.changes;
        let result = call(&mut self.foca, &mut effects);
        if self.changes != before {
            self.haste.want(now);
        }
        while let Ok((bytes, from)) = self.inbox.try_recv() {
            self.outputs.push_back(SwimOutput::Broadcast(bytes, from));
        }
        self.follow_size();
        result.map_err(|error| SwimError(error.to_string()))
    }

    /// Timings follow the logarithm of the cluster's size.
    fn follow_size(&mut self) {
        let size = self.foca.num_members() + 1;
        if size.abs_diff(self.sized_for) * 8 <= self.sized_for {
            return;
        }
        self.sized_for = size;
        let config = config_for(size);
        if config.max_transmissions != self.config.max_transmissions
            || config.suspect_to_down_after != self.config.suspect_to_down_after
        {
            self.config = config.clone();
            if let Err(error) = self.foca.set_config(config) {
                tracing::debug!(%error, "failure detector keeps its timings");
            }
        }
    }
}

impl std::fmt::Debug for Swim {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Swim").field("identity", &self.identity()).finish_non_exhaustive()
    }
}

/// A datagram the failure detector could not use. The peer's fault; nothing has changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unusable membership packet: {0}")]
pub(crate) struct SwimError(String);

fn config_for(size: usize) -> foca::Config {
    let size = u32::try_from(size).unwrap_or(u32::MAX);
    let mut config = foca::Config::new_lan(NonZeroU32::new(size).unwrap_or(NonZeroU32::MIN));
    config.max_packet_size =
        NonZeroUsize::new(limits::SWIM_PACKET_BYTES).unwrap_or(NonZeroUsize::MIN);
    // A broadcast that every node sends on so many times, to others at random, misses each with a chance of
    // e to the power of minus that: five more than the logarithm, and of 150 broadcasts one misses someone.
    let transmissions = (f64::from(size).ln() + 5.0).ceil().clamp(1.0, 255.0) as u8;
    let transmissions = NonZeroU8::new(transmissions).unwrap_or(NonZeroU8::MIN);
    config.max_transmissions = config.max_transmissions.max(transmissions);
    config.suspect_to_down_after = config.suspect_to_down_after.max(LEAST_SUSPICION);
    // Every node would call every dead host: we call them at a bounded rate ourselves.
    config.periodic_announce_to_down_members = None;
    // Digest sync tells of members what this would, and all of it.
    config.periodic_announce = None;
    config
}

#[derive(Default)]
struct Timers {
    heap: BTreeMap<(Duration, u8, u64), Timer<Identity>>,
    made: u64,
}

impl Timers {
    fn first(&self) -> Option<Duration> {
        self.heap.keys().next().map(|(at, _, _)| *at)
    }

    fn add(&mut self, timer: Timer<Identity>, at: Duration) {
        // foca wants indirect probes before the next probe when both are due.
        let rank = match timer {
            Timer::SendIndirectProbe { .. } => 0,
            Timer::ProbeRandomMember(_) => 1,
            _ => 2,
        };
        self.made += 1;
        self.heap.insert((at, rank, self.made), timer);
    }

    fn pop_due(&mut self, now: Duration) -> Option<Timer<Identity>> {
        self.heap.first_entry().filter(|entry| entry.key().0 <= now).map(|entry| entry.remove())
    }
}

struct Effects<'a> {
    now: Duration,
    timers: &'a mut Timers,
    suspicions: &'a mut BTreeMap<(Identity, u16), Accused>,
    probed: Option<(Identity, Option<Finding>)>,
    outputs: &'a mut VecDeque<SwimOutput>,
    changes: &'a mut u64,
}

impl Runtime<Identity> for Effects<'_> {
    fn notify(&mut self, notification: Notification<'_, Identity>) {
        *self.changes += 1;
        self.outputs.extend(match notification {
            Notification::MemberUp(identity) => Some(SwimOutput::Up(*identity)),
            Notification::MemberDown(identity) => Some(SwimOutput::Down(*identity)),
            Notification::Rename(before, after) => Some(SwimOutput::Renamed(*before, *after)),
            Notification::Rejoin(identity) => Some(SwimOutput::Rejoined(*identity)),
            _ => None,
        });
    }

    fn send_to(&mut self, to: Identity, data: &[u8]) {
        self.outputs.push_back(SwimOutput::Send(to.address, data.to_vec()));
    }

    fn submit_after(&mut self, timer: Timer<Identity>, after: Duration) {
        let Timer::ChangeSuspectToDown { member_id, incarnation, .. } = &timer else {
            return self.timers.add(timer, self.now + after);
        };
        let found = self.probed.filter(|(target, _)| target == member_id);
        let suspicion = Suspicion::new(self.now, after, found.and_then(|(_, finding)| finding));
        let suspect = (*member_id, *incarnation);
        match self.suspicions.entry(suspect) {
            // It failed another probe of ours: the time it has goes on.
            Entry::Occupied(mut known) => known.get_mut().timer = Some(timer),
            Entry::Vacant(new) => {
                new.insert(Accused { suspicion, timer: Some(timer) });
            }
        }
    }
}

/// Broadcasts from afar are queued for the engine, which decides whether they are news and then spreads
/// them itself; only what the engine adds is spread.
struct Inbox(mpsc::Sender<(Vec<u8>, SocketAddr)>);

impl BroadcastHandler<Identity> for Inbox {
    type Key = Version;
    type Error = std::convert::Infallible;

    fn receive_item(
        &mut self,
        data: &[u8],
        sender: Option<&Identity>,
    ) -> Result<Option<Version>, Self::Error> {
        match sender {
            None => Ok(Announcement::version_of(data)),
            Some(sender) => {
                // The receiver lives beside this sender; a failure can only mean that both are going.
                let _ = self.0.send((data.to_vec(), sender.address));
                Ok(None)
            }
        }
    }
}

impl Invalidates for Version {
    fn invalidates(&self, other: &Self) -> bool {
        self.supersedes(other)
    }
}

/// What a broadcast says: its version first, so that the queue need not read the rest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Announcement {
    pub(crate) version: Version,
    /// The record, or nothing if it is too large to ride along: then it is pulled over a stream.
    pub(crate) record: Option<crate::state::Record>,
}

impl Announcement {
    fn version_of(data: &[u8]) -> Option<Version> {
        codec::decode_prefix::<Version>(data).ok().map(|(version, _)| version)
    }
}

/// The encoding of foca's packets.
///
/// The receiver of a packet need not be told at length who it is: a hash of the identity that is meant will
/// do. Only who is greeted under an identity that it may have left behind is named in full.
struct Codec {
    own: Identity,
}

/// A header on the wire.
#[derive(Serialize, Deserialize)]
struct WireHeader {
    src: Identity,
    src_incarnation: u16,
    dst: WireTarget,
    message: Message<Identity>,
}

/// The kind of a packet.
#[cfg(all(test, feature = "sim"))]
pub(crate) fn kind(packet: &[u8]) -> String {
    match codec::decode_prefix::<WireHeader>(packet) {
        Ok((header, _)) => {
            let message = format!("{:?}", header.message);
            message.chars().take_while(|c| c.is_alphanumeric()).collect()
        }
        Err(error) => format!("{error:?}"),
    }
}

#[derive(Serialize, Deserialize)]
enum WireTarget {
    Hash([u8; 4]),
    Whole(Identity),
}

impl WireTarget {
    fn hash(identity: &Identity) -> [u8; 4] {
        let [a, b, c, d, ..] = crate::state::hash_of(&codec::encode(identity)).to_le_bytes();
        [a, b, c, d]
    }
}

#[derive(Debug, thiserror::Error)]
enum CodecError {
    #[error("the packet is full")]
    Full,
    #[error("not a membership packet")]
    Malformed,
}

impl Codec {
    fn put(value: &impl Serialize, mut buf: impl BufMut) -> Result<(), CodecError> {
        let bytes = codec::encode(value);
        if bytes.len() > buf.remaining_mut() {
            return Err(CodecError::Full);
        }
        buf.put_slice(&bytes);
        Ok(())
    }

    fn take<T: serde::de::DeserializeOwned>(mut buf: impl Buf) -> Result<T, CodecError> {
        let (value, used) = codec::decode_prefix(buf.chunk()).map_err(|_| CodecError::Malformed)?;
        buf.advance(used);
        Ok(value)
    }
}

impl FocaCodec<Identity> for Codec {
    type Error = CodecError;

    fn encode_header(
        &mut self,
        header: &Header<Identity>,
        buf: impl BufMut,
    ) -> Result<(), CodecError> {
        // foca signs with its own identity only, and nobody can know a new one before it did.
        self.own = header.src;
        let dst = match header.message {
            Message::Announce => WireTarget::Whole(header.dst),
            _ => WireTarget::Hash(WireTarget::hash(&header.dst)),
        };
        let (src, src_incarnation, message) =
            (header.src, header.src_incarnation, header.message.clone());
        Self::put(&WireHeader { src, src_incarnation, dst, message }, buf)
    }

    fn decode_header(&mut self, buf: impl Buf) -> Result<Header<Identity>, CodecError> {
        let WireHeader { src, src_incarnation, dst, message } = Self::take(buf)?;
        let dst = match dst {
            WireTarget::Whole(dst) => dst,
            WireTarget::Hash(hash) if hash == WireTarget::hash(&self.own) => self.own,
            // Another life of ours is meant, or another node: foca drops it.
            WireTarget::Hash(_) => Identity::nobody(self.own.address),
        };
        Ok(Header { src, src_incarnation, dst, message })
    }

    fn encode_member(
        &mut self,
        member: &Member<Identity>,
        buf: impl BufMut,
    ) -> Result<(), CodecError> {
        Self::put(&peer_of(member), buf)
    }

    fn decode_member(&mut self, buf: impl Buf) -> Result<Member<Identity>, CodecError> {
        Self::take(buf).map(member_of)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::{Key, Kind, Stamp};

    fn identity(id: u64) -> Identity {
        Identity::new(NodeId(id), SocketAddr::from(([10, 0, 0, id as u8], 6000)), 1)
    }

    /// A node that knows a member which answers no probe.
    fn with_silent_member() -> Swim {
        let mut swim = Swim::new(identity(1), 7, Duration::ZERO);
        let silent = Peer { identity: identity(2), incarnation: 0, standing: Standing::Alive };
        swim.apply(vec![silent], None, Duration::ZERO);
        swim
    }

    /// Runs for a minute; each doubt is answered or not. Tells of deaths, and of messages that kill.
    fn run(swim: &mut Swim, objects: bool) -> (usize, usize) {
        let (mut deaths, mut kills) = (0, 0);
        while swim.poll_timeout() < Duration::from_secs(60) {
            let now = swim.poll_timeout();
            swim.handle_timeout(now);
            while let Some(output) = swim.poll_output() {
                match output {
                    SwimOutput::Down(_) => deaths += 1,
                    SwimOutput::Doubt(identity, incarnation) if objects => {
                        let incarnation = incarnation + 1;
                        let peer = Peer { identity, incarnation, standing: Standing::Alive };
                        swim.apply(vec![peer], Some(identity), now);
                    }
                    SwimOutput::Send(_, packet) => {
                        let (header, _) = codec::decode_prefix::<WireHeader>(&packet).unwrap();
                        kills += usize::from(header.message == Message::TurnUndead);
                    }
                    _ => {}
                }
            }
        }
        (deaths, kills)
    }

    #[test]
    fn a_refuted_suspicion_does_not_kill() {
        assert_eq!(run(&mut with_silent_member(), true), (0, 0));
    }

    #[test]
    fn a_silent_member_is_told_and_dies() {
        let (deaths, kills) = run(&mut with_silent_member(), false);
        assert_eq!(deaths, 1);
        assert!(kills > 0);
    }

    #[test]
    fn a_forgotten_member_is_spoken_of_no_more_if_it_is_dead() {
        let mut swim = with_silent_member();
        swim.forget(NodeId(2), Duration::ZERO);
        assert_eq!(swim.members().count(), 2);
        assert_eq!(run(&mut swim, false).0, 1);
        assert_eq!(swim.members().count(), 2);
        swim.forget(NodeId(3), Duration::from_secs(60));
        assert_eq!(swim.members().count(), 2);
        swim.forget(NodeId(2), Duration::from_secs(60));
        assert_eq!(swim.members().count(), 1);
    }

    #[test]
    fn only_the_suspect_itself_objects() {
        let mut swim = Swim::new(identity(1), 7, Duration::ZERO);
        assert_eq!(swim.object(identity(2), 0, Duration::ZERO), None);
        let objection = swim.object(identity(1), 3, Duration::ZERO).unwrap();
        assert_eq!((objection.identity, objection.incarnation), (identity(1), 4));
        assert_eq!(swim.object(identity(1), u16::MAX, Duration::ZERO), None);
    }

    #[test]
    fn an_oversized_broadcast_is_refused_and_one_that_fits_goes_out() {
        let mut swim = with_silent_member();
        let stamp = Stamp { time: 1, node: NodeId(1) };
        let version = Version::Shared(Key::new(Kind::TRIBE, "a"), stamp);
        let mut bytes = codec::encode(&Announcement { version, record: None });
        bytes.resize(limits::BROADCAST_BYTES, 0);
        assert!(swim.broadcast(&bytes, Duration::ZERO));
        bytes.push(0);
        assert!(!swim.broadcast(&bytes, Duration::ZERO));
        assert_eq!(swim.backlog(), 1);
        for _ in 0..swim.config.max_transmissions.get() {
            swim.gossip(Duration::ZERO);
        }
        assert_eq!(swim.backlog(), 0);
    }

    #[test]
    fn the_dead_that_are_unknown_are_not_taken_over() {
        let mut swim = with_silent_member();
        let dead = Peer { identity: identity(3), incarnation: 0, standing: Standing::Down };
        swim.apply(vec![dead], None, Duration::ZERO);
        assert_eq!(swim.members().count(), 2);
    }
}
