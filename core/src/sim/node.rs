//! One simulated node: what outlives its engine, and its engine.

use std::{
    collections::{BTreeMap, VecDeque},
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

use super::{Happening, SimConfig, disk::Disk};
use crate::{
    ClusterName, CommandError, Event, EventKind, FactName, Facts, Key, Keyring, NodeId, NodeName,
    Source, Value,
    engine::{EPOCH_KEY, Engine, EngineConfig, Now, Output, Reply, Ticket},
    wire::noise::NEWEST_VERSION,
};

/// What a node is started with.
#[derive(Debug, Clone)]
pub struct NodePlan {
    /// Its name.
    pub name: NodeName,
    /// Facts given at start.
    pub facts: Facts,
    /// The key of its key file, if nodes encrypt.
    pub key: Key,
    /// Its wall clock runs so far ahead of true time, or behind it.
    pub skew_ms: i64,
    /// The newest version of the stream protocol it speaks, as a build of the time would.
    pub speaks: u8,
}

impl NodePlan {
    /// A node of this name without facts.
    #[must_use]
    pub fn new(name: NodeName) -> Self {
        let key = Key::from_bytes([9; 32]);
        Self { name, facts: Facts::new(), key, skew_ms: 0, speaks: NEWEST_VERSION }
    }

    /// The same with one more fact. A name that is no fact's is left out.
    #[must_use]
    pub fn with_fact(mut self, name: &str, value: impl Into<Value>) -> Self {
        if let Ok(name) = FactName::parse(name) {
            self.facts.insert(name, value.into(), Source::Start);
        }
        self
    }
}

#[derive(Debug)]
pub(super) struct Node {
    pub(super) plan: NodePlan,
    pub(super) id: NodeId,
    pub(super) address: SocketAddr,
    pub(super) seeds: Vec<SocketAddr>,
    pub(super) engine: Option<Engine>,
    /// Grows with each start and stop.
    pub(super) life: u64,
    pub(super) disk: Disk,
    pub(super) replies: BTreeMap<Ticket, Result<Reply, CommandError>>,
    pub(super) events: Vec<Event>,
    /// Its host answers for it: who dials a node that does not run is refused.
    pub(super) host_is_up: bool,
    /// Names of members it saw go, since anyone asked.
    pub(super) seen_going: Vec<String>,
    /// What happened to it while it was paused.
    pub(super) held: Vec<Happening>,
    paused_until: Duration,
    socket: VecDeque<(SocketAddr, Vec<u8>)>,
    alarm: Option<Duration>,
}

/// What a socket holds for a process that does not read it: Linux gives 208 KiB and counts about 768 bytes
/// for a small datagram.
const SOCKET_DATAGRAMS: usize = 277;

/// Where a node is reached, by its number.
pub(super) fn address(node: usize) -> SocketAddr {
    let [.., high, middle, low] = (node as u32).wrapping_add(1).to_be_bytes();
    SocketAddr::from((Ipv4Addr::new(10, high, middle, low), 6000))
}

impl Node {
    pub(super) fn new(
        plan: NodePlan,
        address: SocketAddr,
        seeds: Vec<SocketAddr>,
        id: u64,
    ) -> Self {
        Self {
            plan,
            id: NodeId(id),
            address,
            seeds,
            engine: None,
            life: 0,
            disk: Disk::default(),
            replies: BTreeMap::new(),
            events: Vec::new(),
            host_is_up: true,
            seen_going: Vec::new(),
            held: Vec::new(),
            paused_until: Duration::ZERO,
            socket: VecDeque::new(),
            alarm: None,
        }
    }

    pub(super) fn start(&mut self, config: &SimConfig, seed: [u8; 32], now: Now) {
        let Ok(cluster) = ClusterName::parse("sim") else { return };
        let keyring = if config.encrypted {
            Keyring::new(self.plan.key.clone())
        } else {
            Keyring::plaintext()
        };
        let engine_config = EngineConfig {
            id: self.id,
            name: self.plan.name.clone(),
            cluster,
            address: self.address,
            version: "sim/1".to_owned(),
            keyring,
            epoch: self.disk.next_epoch(EPOCH_KEY, now.wall_ms),
            has_seeds: !self.seeds.is_empty(),
            host_facts: Facts::new(),
            start_facts: self.plan.facts.clone(),
            hold_down: config.hold_down,
            tombstone_age: config.tombstone_age,
            broadcasts: config.broadcasts,
        };
        self.life += 1;
        self.alarm = None;
        self.host_is_up = true;
        self.engine = Some(Engine::new(engine_config, seed, self.disk.saved(), now));
    }

    pub(super) fn stop(&mut self) {
        self.life += 1;
        self.engine = None;
        self.paused_until = Duration::ZERO;
        self.socket.clear();
        self.held.clear();
        self.disk.lose_pending();
    }

    pub(super) fn lose_disk(&mut self, id: NodeId) {
        self.id = id;
        self.disk = Disk::default();
    }

    pub(super) fn pause(&mut self, until: Duration) {
        self.paused_until = self.paused_until.max(until);
    }

    pub(super) fn is_paused(&self, now: Duration) -> bool {
        now < self.paused_until
    }

    pub(super) fn paused_until(&self) -> Duration {
        self.paused_until
    }

    /// A datagram for a process that does not run now. What does not fit is lost.
    pub(super) fn keep_in_socket(&mut self, from: SocketAddr, bytes: Vec<u8>) {
        if self.socket.len() < SOCKET_DATAGRAMS {
            self.socket.push_back((from, bytes));
        }
    }

    /// What came in while it was paused.
    pub(super) fn take_held(&mut self) -> (VecDeque<(SocketAddr, Vec<u8>)>, Vec<Happening>) {
        (std::mem::take(&mut self.socket), std::mem::take(&mut self.held))
    }

    pub(super) fn count(&mut self, event: &Event) {
        if event.kind == EventKind::MemberLeft
            && event.body.get("cause").is_some_and(|cause| cause == "down")
        {
            self.seen_going.push(event.subject.clone());
        }
    }

    pub(super) fn has_reply(&self, ticket: Ticket) -> bool {
        self.replies.contains_key(&ticket)
    }

    pub(super) fn poll_output(&mut self) -> Option<Output> {
        self.engine.as_mut()?.poll_output()
    }

    /// When the engine wants to be woken, if nothing is scheduled by then.
    pub(super) fn new_alarm(&mut self) -> Option<Duration> {
        let wanted = self.engine.as_ref()?.poll_timeout();
        let stands = self.alarm.is_some_and(|alarm| alarm <= wanted);
        (!stands).then(|| {
            self.alarm = Some(wanted);
            wanted
        })
    }

    /// Is this the alarm that was set?
    pub(super) fn take_alarm(&mut self, now: Duration) -> bool {
        let due = self.alarm.is_some_and(|alarm| alarm <= now);
        if due {
            self.alarm = None;
        }
        due
    }
}
