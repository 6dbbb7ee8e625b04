//! Many engines in virtual time, from one seed.
//!
//! A loop like the runtime's, around the same [`Engine`]: datagrams are delayed, lost, doubled and
//! overtaken, streams are delayed, the network splits and heals, nodes crash and come back with or
//! without their disk. The same seed gives the same run, event for event, and [`Sim::trace_hash`] shows it.
//! It must not look into an engine: what it knows of one it learns through its public face.
//!
//! ```
//! use std::time::Duration;
//! use tribe::sim::{Sim, SimConfig};
//! let mut sim = Sim::new(SimConfig::new(7, 3));
//! let took = sim.run_until(Duration::from_secs(60), Sim::converged);
//! assert!(took.is_some());
//! ```

mod disk;
mod links;
mod network;
mod node;
mod play;
mod scenario;
#[cfg(test)]
mod tests;
mod trace;

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet, BinaryHeap},
    net::SocketAddr,
    time::Duration,
};

use rand::{RngExt, SeedableRng, rngs::StdRng};

use self::{
    disk::Disk,
    links::{Links, Side},
    network::Network,
    node::Node,
    trace::{Marked, Trace},
};
pub use self::{
    network::Latency,
    node::NodePlan,
    play::{Failed, Ran, Weigh},
    scenario::{Scenario, ScenarioError, Step, Ways},
};
pub use crate::engine::{
    Backlog, Command, Engine, EngineConfig, Now, Output, Reply, Resolved, Saved, StreamEvent,
    StreamId, Table, Ticket, Write, Written,
};
use crate::{
    CommandError, Event, KeyId, MemberState, NodeId, NodeName, View, engine::Standing, limits,
};

/// What a simulation is made with.
#[derive(Debug, Clone)]
pub struct SimConfig {
    /// All randomness comes from here.
    pub seed: u64,
    /// Nodes that start at once. The first is the seed of all others.
    pub nodes: usize,
    /// Share of datagrams that are lost; a part of a stream that is lost is only late.
    pub loss: f64,
    /// Share of datagrams that arrive twice.
    pub duplication: f64,
    /// Share of datagrams that are overtaken by later ones.
    pub reordering: f64,
    /// How long the way between nodes is.
    pub latency: Latency,
    /// A stream carries so many bytes a second.
    pub stream_rate: u64,
    /// A write is on disk after this long.
    pub disk_delay: Duration,
    /// Seal datagrams with a key.
    pub encrypted: bool,
    /// Keep the events that nodes tell, for [`Sim::events`].
    pub events: bool,
    /// Spread records as broadcasts.
    pub broadcasts: bool,
    /// How long a node acts on for a tribe it fell out of.
    pub hold_down: Duration,
    /// How long what was deleted is remembered.
    pub tombstone_age: Duration,
}

impl SimConfig {
    /// A good network of so many nodes.
    #[must_use]
    pub fn new(seed: u64, nodes: usize) -> Self {
        Self {
            seed,
            nodes,
            loss: 0.0,
            duplication: 0.0,
            reordering: 0.0,
            latency: Latency::NEAR,
            stream_rate: 10_000_000,
            disk_delay: Duration::from_millis(2),
            encrypted: true,
            events: true,
            broadcasts: true,
            hold_down: Duration::from_secs(10),
            tombstone_age: limits::TOMBSTONE_AGE,
        }
    }
}

/// Many nodes and the network between them. Nodes are numbered from 0 as they are added.
#[derive(Debug)]
pub struct Sim {
    config: SimConfig,
    rng: StdRng,
    now: Duration,
    made: u64,
    queue: BinaryHeap<Reverse<Scheduled>>,
    nodes: Vec<Node>,
    by_address: BTreeMap<SocketAddr, usize>,
    by_name: BTreeMap<String, usize>,
    network: Network,
    links: Links,
    trace: Trace,
}

/// Something that will happen.
#[derive(Debug)]
struct Scheduled {
    at: Duration,
    order: u64,
    happening: Happening,
}

#[derive(Debug)]
enum Happening {
    /// A datagram arrives.
    Datagram { to: SocketAddr, from: SocketAddr, bytes: Vec<u8> },
    /// A dialled stream is answered, or not.
    Dialled { link: u64 },
    /// A dialled stream is refused.
    Refused { link: u64 },
    /// The host of the dialled node has taken the connection.
    Reached { link: u64 },
    /// A dialled stream stands.
    Greeted { link: u64 },
    /// The next message on a stream arrives.
    Delivery { link: u64, to: Side },
    /// A stream is over for one side.
    Closed { link: u64, side: Side, reason: &'static str },
    /// A write is on disk.
    Persisted { node: usize, life: u64, upto: u64 },
    /// Names of seeds are resolved.
    Resolved { node: usize, life: u64 },
    /// A node wants to be woken.
    Wake { node: usize },
    /// A node is started.
    Start { node: usize },
    /// A paused node runs again.
    Resume { node: usize },
}

/// Unix milliseconds at the start of every simulation.
const WALL_START_MS: u64 = 1_750_000_000_000;
/// How often a condition is looked at.
const LOOK: Duration = Duration::from_millis(100);
/// A command that is not answered by then never will be.
const COMMAND_LIMIT: Duration = Duration::from_secs(60);
/// Nodes of a cluster that stands do not all call each other at the same moments.
const SPREAD_OVER: Duration = Duration::from_secs(1);
/// Resolving a name takes this long.
const RESOLVE_DELAY: Duration = Duration::from_millis(1);

impl Sim {
    /// Starts the nodes `n0`, `n1`, ..., all at once.
    #[must_use]
    pub fn new(config: SimConfig) -> Self {
        let mut sim = Self {
            rng: StdRng::seed_from_u64(config.seed),
            now: Duration::ZERO,
            made: 0,
            queue: BinaryHeap::new(),
            nodes: Vec::new(),
            by_address: BTreeMap::new(),
            by_name: BTreeMap::new(),
            network: Network::default(),
            links: Links::default(),
            trace: Trace::default(),
            config,
        };
        for number in 0..sim.config.nodes {
            if let Ok(name) = NodeName::parse(&format!("n{number}")) {
                sim.add(NodePlan::new(name));
            }
        }
        sim
    }

    /// Starts one more node a little later.
    pub fn add_later(&mut self, plan: NodePlan, delay: Duration) -> usize {
        let node = self.put_up(plan);
        self.schedule(self.now + delay, Happening::Start { node });
        node
    }

    /// Starts one more node. Its seed is the first node, unless it is the first itself.
    pub fn add(&mut self, plan: NodePlan) -> usize {
        let node = self.put_up(plan);
        self.start(node);
        node
    }

    /// Starts nodes that are members of one cluster already, and all know the same. What they know they have
    /// in common, and they have no disks: there can be thousands.
    pub fn add_standing(&mut self, plans: impl IntoIterator<Item = NodePlan>) {
        let first = self.nodes.len();
        for plan in plans {
            let node = self.put_up(plan);
            let (now, seed) = (self.clock(node), self.rng.random());
            let Some(of) = self.nodes.get_mut(node) else { continue };
            of.disk = Disk::that_leaks();
            of.start(&self.config, seed, now);
        }
        let engines = self.nodes.iter().skip(first).filter_map(|node| node.engine.as_ref());
        let standing = Standing::of(engines, self.clock(first));
        for node in first..self.nodes.len() {
            let later = SPREAD_OVER.mul_f64(self.rng.random_range(0.0..1.0));
            self.turn(node, |engine, now| engine.stand(&standing, later, now));
        }
    }

    fn put_up(&mut self, plan: NodePlan) -> usize {
        let node = self.nodes.len();
        let address = node::address(node);
        let seeds = self.nodes.first().map(|first| first.address).into_iter().collect();
        self.by_address.insert(address, node);
        self.by_name.insert(plan.name.to_string(), node);
        self.nodes.push(Node::new(plan, address, seeds, self.rng.random()));
        node
    }

    /// Virtual time since the start.
    #[must_use]
    pub fn now(&self) -> Duration {
        self.now
    }

    /// How many nodes there are, running or not.
    #[must_use]
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Are there none?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// The nodes that run.
    pub fn running(&self) -> impl Iterator<Item = usize> + '_ {
        let numbered = self.nodes.iter().enumerate();
        numbered.filter(|(_, node)| node.engine.is_some()).map(|(number, _)| number)
    }

    /// Lets time pass.
    pub fn run_for(&mut self, time: Duration) {
        let until = self.now + time;
        while let Some(next) = self.next_within(until) {
            self.now = next.at;
            self.happen(next.happening);
        }
        self.now = until;
    }

    /// Lets time pass until something holds; how long it took, or `None` if it never did.
    pub fn run_until(
        &mut self,
        limit: Duration,
        mut holds: impl FnMut(&Self) -> bool,
    ) -> Option<Duration> {
        let start = self.now;
        while !holds(self) {
            if self.now >= start + limit {
                return None;
            }
            self.run_for(LOOK);
        }
        Some(self.now - start)
    }

    /// Has a node do something, and waits for its reply.
    ///
    /// # Errors
    /// What the node replies; [`CommandError::Closed`] if it does not run or never replies.
    pub fn command(&mut self, node: usize, command: Command) -> Result<Reply, CommandError> {
        let ticket = self.submit(node, command);
        let answered = |sim: &Self| sim.nodes.get(node).is_some_and(|of| of.has_reply(ticket));
        let start = self.now;
        while !answered(self) && self.now < start + COMMAND_LIMIT {
            self.run_for(Duration::from_millis(1));
        }
        self.reply(node, ticket).unwrap_or(Err(CommandError::Closed))
    }

    /// Has a node do something, without waiting.
    pub fn submit(&mut self, node: usize, command: Command) -> Ticket {
        self.made += 1;
        let ticket = Ticket(self.made);
        self.turn(node, |engine, now| engine.handle_command(ticket, command, now));
        ticket
    }

    /// What a node replied to a command; once.
    pub fn reply(&mut self, node: usize, ticket: Ticket) -> Option<Result<Reply, CommandError>> {
        self.nodes.get_mut(node)?.replies.remove(&ticket)
    }

    /// Events a node told since the last call.
    pub fn events(&mut self, node: usize) -> Vec<Event> {
        self.nodes.get_mut(node).map(|node| std::mem::take(&mut node.events)).unwrap_or_default()
    }

    /// The id of a node, running or not.
    #[must_use]
    pub fn id(&self, node: usize) -> Option<NodeId> {
        self.nodes.get(node).map(|node| node.id)
    }

    /// What a node knows. Empty if it does not run.
    #[must_use]
    pub fn view(&self, node: usize) -> View {
        let Some(engine) = self.engine(node) else { return View::default() };
        engine.view(self.clock(node))
    }

    /// The engine of a node that runs.
    #[must_use]
    pub fn engine(&self, node: usize) -> Option<&Engine> {
        self.nodes.get(node)?.engine.as_ref()
    }

    /// From now on nodes of one set cannot reach nodes outside of it. Sets add up until [`Sim::heal`].
    pub fn partition(&mut self, nodes: impl IntoIterator<Item = usize>) {
        self.network.split(nodes.into_iter().map(node::address).collect());
    }

    /// Everybody can reach everybody again.
    pub fn heal(&mut self) {
        self.network.heal();
    }

    /// Changes the share of datagrams that are lost.
    pub fn set_loss(&mut self, loss: f64) {
        self.config.loss = loss;
    }

    /// From now on nothing gets from one node to another, though back it does. Until [`Sim::heal`].
    pub fn cut(&mut self, from: usize, to: usize) {
        self.network.cut(node::address(from), node::address(to));
    }

    /// Loses a share of all that one node sends and gets, beside the general loss. Until [`Sim::heal`].
    pub fn set_node_loss(&mut self, node: usize, loss: f64) {
        self.network.set_lossy(node::address(node), loss);
    }

    /// A node gets no processor for so long. Its host lives: datagrams wait in the socket, as far as they fit,
    /// and connections stand, but nobody answers on them.
    pub fn pause(&mut self, node: usize, time: Duration) {
        let until = self.now + time;
        if let Some(of) = self.nodes.get_mut(node) {
            of.pause(until);
            self.trace.mark(self.now, node, Marked::Paused(time));
            self.schedule(until, Happening::Resume { node });
        }
    }

    /// Is a node paused?
    #[must_use]
    pub fn is_paused(&self, node: usize) -> bool {
        self.nodes.get(node).is_some_and(|node| node.is_paused(self.now))
    }

    /// Moves a node's wall clock against true time.
    pub fn set_skew_ms(&mut self, node: usize, skew_ms: i64) {
        if let Some(node) = self.nodes.get_mut(node) {
            node.plan.skew_ms = skew_ms;
        }
    }

    /// Stops a node without a good-bye. Its host lives: who dials it is refused.
    pub fn crash(&mut self, node: usize) {
        self.trace.mark(self.now, node, Marked::Stopped);
        if let Some(node) = self.nodes.get_mut(node) {
            node.stop();
        }
        for (link, side) in self.links.of_node(node) {
            self.close_far_end(link, side, "the peer is gone");
        }
    }

    /// Stops a node with its host: nobody refuses who dials it, and streams with it only stall.
    pub fn power_off(&mut self, node: usize) {
        self.trace.mark(self.now, node, Marked::Stopped);
        if let Some(node) = self.nodes.get_mut(node) {
            node.stop();
            node.host_is_up = false;
        }
        for (link, side) in self.links.of_node(node) {
            self.links.forget(link, side);
        }
    }

    /// Starts a node again, after a crash if it runs. Without its disk it is a new node of the same name
    /// at the same address.
    pub fn restart(&mut self, node: usize, with_disk: bool) {
        self.crash(node);
        let id = NodeId(self.rng.random());
        if let Some(node) = self.nodes.get_mut(node).filter(|_| !with_disk) {
            node.lose_disk(id);
        }
        self.start(node);
    }

    /// The engine of a node, which runs no more until it is started again.
    pub(super) fn take_engine(&mut self, node: usize) -> Option<Engine> {
        self.nodes.get_mut(node)?.engine.take()
    }

    /// What a node has on its disk.
    pub(super) fn stored_bytes(&self, node: usize) -> usize {
        self.nodes.get(node).map_or(0, |node| node.disk.bytes())
    }

    /// Loses a node's disk but for its id. Counts from the next start.
    pub fn wipe(&mut self, node: usize) {
        if let Some(node) = self.nodes.get_mut(node) {
            let id = node.id;
            node.lose_disk(id);
        }
    }

    /// The hash of all that happened, in order.
    #[must_use]
    pub fn trace_hash(&self) -> u64 {
        self.trace.hash()
    }

    /// The last that happened to a node or was told of it, for who wants to know why.
    #[must_use]
    pub fn explain(&self, node: usize, most: usize) -> Vec<String> {
        let name = self.nodes.get(node).map_or("", |node| node.plan.name.as_str());
        self.trace.about(node, name, most)
    }

    /// Nodes that this one declared down, though they may not be, since this was asked last.
    pub fn take_declared_down(&mut self, node: usize) -> Vec<usize> {
        let names = match self.nodes.get_mut(node) {
            Some(node) => std::mem::take(&mut node.seen_going),
            None => Vec::new(),
        };
        names.iter().filter_map(|name| self.by_name.get(name).copied()).collect()
    }

    /// Does every running node see every running node, and nobody else?
    #[must_use]
    pub fn all_see_all(&self) -> bool {
        let running = self.running().count();
        let mut engines = self.nodes.iter().filter_map(|node| node.engine.as_ref());
        let Some(first) = engines.clone().next().map(|engine| engine.roots().0) else {
            return true;
        };
        engines.clone().all(|engine| engine.roots().0 == first)
            && engines.all(|engine| engine.sees() == running)
    }

    /// Datagrams sent so far, and their bytes.
    #[must_use]
    pub fn traffic(&self) -> (u64, u64) {
        (self.network.packets, self.network.bytes)
    }

    /// Bytes sent on streams so far.
    #[must_use]
    pub fn stream_traffic(&self) -> u64 {
        self.network.stream_bytes
    }

    /// All running nodes hold the same members and records, and each sees all others.
    #[must_use]
    pub fn converged(&self) -> bool {
        let mut roots = self.nodes.iter().filter_map(|node| node.engine.as_ref());
        let Some(first) = roots.next().map(Engine::roots) else { return true };
        let names: BTreeSet<_> = self
            .nodes
            .iter()
            .filter(|node| node.engine.is_some())
            .map(|node| node.plan.name.clone())
            .collect();
        let sees_all = || {
            self.running().next().is_some_and(|node| {
                let view = self.view(node);
                let alive = |name: &&NodeName| {
                    view.member(name.as_str())
                        .is_some_and(|member| member.state == MemberState::Alive)
                };
                names.iter().filter(alive).count() == names.len()
            })
        };
        roots.all(|engine| engine.roots() == first) && sees_all()
    }

    /// Does every running node open with this key, and with no other?
    #[must_use]
    pub fn all_hold(&self, key: KeyId) -> bool {
        let rings = self.nodes.iter().filter_map(|node| Some(node.engine.as_ref()?.keyring()));
        rings.into_iter().all(|ring| ring.ids().eq([key]))
    }

    fn clock(&self, node: usize) -> Now {
        let skew_ms = self.nodes.get(node).map_or(0, |node| node.plan.skew_ms);
        let true_ms = self.wall_ms_at(self.now);
        Now { mono: self.now, wall_ms: true_ms.saturating_add_signed(skew_ms) }
    }

    /// What a right wall clock shows then.
    fn wall_ms_at(&self, at: Duration) -> u64 {
        WALL_START_MS + at.as_millis() as u64
    }

    fn start(&mut self, node: usize) {
        let (now, seed) = (self.clock(node), self.rng.random());
        let Some(of) = self.nodes.get_mut(node) else { return };
        of.start(&self.config, seed, now);
        self.trace.mark(self.now, node, Marked::Started);
        self.settle(node);
    }

    fn schedule(&mut self, at: Duration, happening: Happening) {
        self.made += 1;
        self.queue.push(Reverse(Scheduled { at, order: self.made, happening }));
    }

    fn next_within(&mut self, until: Duration) -> Option<Scheduled> {
        if self.queue.peek()?.0.at > until {
            return None;
        }
        self.queue.pop().map(|Reverse(next)| next)
    }

    fn happen(&mut self, happening: Happening) {
        let happening = match self.hold_back(happening) {
            Some(happening) => happening,
            None => return,
        };
        match happening {
            Happening::Datagram { to, from, bytes } => self.arrive(to, from, bytes),
            Happening::Dialled { link } => self.answer_dial(link),
            Happening::Refused { link } => self.refuse_dial(link),
            Happening::Reached { link } => self.reach(link),
            Happening::Greeted { link } => self.greet(link),
            Happening::Delivery { link, to } => self.deliver(link, to),
            Happening::Closed { link, side, reason } => self.close(link, side, reason),
            Happening::Persisted { node, life, upto } => self.persisted(node, life, upto),
            Happening::Resolved { node, life } => self.resolved(node, life),
            Happening::Wake { node } => self.wake(node),
            Happening::Start { node } => self.start(node),
            Happening::Resume { node } => self.resume(node),
        }
    }

    /// What happens to a paused node happens to it when it runs again.
    fn hold_back(&mut self, happening: Happening) -> Option<Happening> {
        let node = match &happening {
            Happening::Persisted { node, .. }
            | Happening::Resolved { node, .. }
            | Happening::Wake { node } => *node,
            Happening::Delivery { link, to } => self.links.node_at(*link, *to)?,
            Happening::Closed { link, side, .. } => self.links.node_at(*link, *side)?,
            Happening::Refused { link }
            | Happening::Reached { link }
            | Happening::Greeted { link } => self.links.node_at(*link, Side::Dialler)?,
            _ => return Some(happening),
        };
        let now = self.now;
        match self.nodes.get_mut(node).filter(|node| node.is_paused(now)) {
            Some(node) => {
                node.held.push(happening);
                None
            }
            None => Some(happening),
        }
    }

    /// As the loop does it: first what waits in the socket, then timers, then streams.
    fn resume(&mut self, node: usize) {
        let now = self.now;
        let Some(of) = self.nodes.get_mut(node) else { return };
        if of.is_paused(now) {
            return;
        }
        let (socket, held) = of.take_held();
        self.trace.note(now, 6, node as u64, &[]);
        self.trace.mark(now, node, Marked::Resumed);
        for (from, bytes) in socket {
            self.turn(node, |engine, now| engine.handle_datagram(from, &bytes, now));
        }
        let (wakes, others): (Vec<_>, Vec<_>) =
            held.into_iter().partition(|held| matches!(held, Happening::Wake { .. }));
        for happening in wakes.into_iter().chain(others) {
            self.happen(happening);
        }
    }

    /// One turn of a node's loop.
    fn turn(&mut self, node: usize, what: impl FnOnce(&mut Engine, Now)) {
        let now = self.clock(node);
        if let Some(engine) = self.nodes.get_mut(node).and_then(|node| node.engine.as_mut()) {
            what(engine, now);
            self.settle(node);
        }
    }

    /// Carries out what an engine asks for, and sets its alarm.
    fn settle(&mut self, node: usize) {
        while let Some(output) = self.nodes.get_mut(node).and_then(Node::poll_output) {
            self.carry_out(node, output);
        }
        let Some(wake_at) = self.nodes.get_mut(node).and_then(Node::new_alarm) else { return };
        self.schedule(wake_at.max(self.now), Happening::Wake { node });
    }

    fn carry_out(&mut self, node: usize, output: Output) {
        let Some(of) = self.nodes.get_mut(node) else { return };
        let life = of.life;
        match output {
            Output::Send { to, bytes } => {
                let from = of.address;
                self.send(from, to, bytes);
            }
            Output::Dial { stream, to, key, .. } => self.dial(node, stream, to, key),
            // A stream asks the engine for its keyring.
            Output::Keys(_) => {}
            Output::Message { stream, bytes } => self.put(node, stream, Some(bytes)),
            Output::Close { stream } => self.put(node, stream, None),
            // There are no users here to speak: what the engines agreed on is closed at once.
            Output::Detach { stream, last, .. } => {
                if let Some(bytes) = last {
                    self.put(node, stream, Some(bytes));
                }
                self.put(node, stream, None);
            }
            Output::Connect { stream, .. } => {
                let ended = StreamEvent::Closed(stream, "closed".to_owned());
                self.stream_event(node, ended);
            }
            Output::DialFailed(..) => {}
            Output::Persist { upto, writes, .. } => {
                of.disk.begin(upto, writes);
                let at = self.now + self.config.disk_delay;
                self.schedule(at, Happening::Persisted { node, life, upto });
            }
            Output::Reply(ticket, reply) => {
                of.replies.insert(ticket, reply);
            }
            Output::Event(event) => {
                of.count(&event);
                self.trace.mark(self.now, node, Marked::Told(event.kind, event.subject.clone()));
                if self.config.events {
                    of.events.push(event);
                }
            }
            Output::Resolve => {
                self.schedule(self.now + RESOLVE_DELAY, Happening::Resolved { node, life });
            }
            Output::Stopped => self.crash(node),
        }
    }

    fn wake(&mut self, node: usize) {
        let now = self.now;
        if self.nodes.get_mut(node).is_some_and(|node| node.take_alarm(now)) {
            self.trace.note(now, 1, node as u64, &[]);
            self.turn(node, |engine, now| engine.handle_timeout(now));
        }
    }

    fn persisted(&mut self, node: usize, life: u64, upto: u64) {
        let Some(of) = self.nodes.get_mut(node).filter(|of| of.life == life) else { return };
        of.disk.end(upto);
        self.trace.note(self.now, 2, node as u64, &upto.to_le_bytes());
        self.turn(node, |engine, now| engine.handle_persisted(upto, now));
    }

    fn resolved(&mut self, node: usize, life: u64) {
        let Some(of) = self.nodes.get(node).filter(|of| of.life == life) else { return };
        let seeds = of.seeds.clone();
        self.turn(node, |engine, now| {
            let seeds = Resolved { addresses: seeds, unresolved: 0 };
            engine.handle_seeds(seeds, now);
        });
    }

    fn stream_event(&mut self, node: usize, event: StreamEvent) {
        self.turn(node, |engine, now| engine.handle_stream(event, now));
    }
}

impl PartialEq for Scheduled {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Scheduled {}

impl PartialOrd for Scheduled {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Scheduled {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.order).cmp(&(other.at, other.order))
    }
}
