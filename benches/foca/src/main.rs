//! foca alone: the failure detector as it comes, with its own settings for a LAN, on a network of 1 to 5 ms in
//! virtual time. The simulator of tribe is measured beside it (docs/BENCHMARKS.md).
//!
//! ```text
//! cargo run --release --manifest-path benches/foca/Cargo.toml -- 1000 [SEED]
//! ```

use std::{
    cmp::Reverse,
    collections::{BTreeSet, BinaryHeap},
    convert::Infallible,
    num::{NonZeroU32, NonZeroUsize},
    time::Duration,
};

use foca::{
    BroadcastHandler, Config, Foca, Identity, Invalidates, Notification, PostcardCodec, Runtime,
    Timer,
};
use rand::{RngExt, SeedableRng, rngs::StdRng};
use serde::{Deserialize, Serialize};

/// A packet is at most so long, as over UDP.
const PACKET: usize = 1200;
const WAY_MS: std::ops::Range<f64> = 1.0..5.0;
/// All start within this time, and announce themselves to the first until it answers.
const STARTS: f64 = 0.2;
const ANNOUNCE_AGAIN: Duration = Duration::from_secs(2);
const BROADCAST: usize = 1024;

/// As long on the wire as an address with a generation: 12 bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "[u8; 12]", into = "[u8; 12]")]
struct Id {
    number: u32,
    generation: u16,
}

impl From<Id> for [u8; 12] {
    fn from(id: Id) -> Self {
        let mut bytes = [0; 12];
        bytes[..4].copy_from_slice(&id.number.to_le_bytes());
        bytes[4..6].copy_from_slice(&id.generation.to_le_bytes());
        bytes
    }
}

impl From<[u8; 12]> for Id {
    fn from([a, b, c, d, e, f, ..]: [u8; 12]) -> Self {
        Self { number: u32::from_le_bytes([a, b, c, d]), generation: u16::from_le_bytes([e, f]) }
    }
}

impl Identity for Id {
    type Addr = u32;

    fn renew(&self) -> Option<Self> {
        Some(Self { generation: self.generation + 1, ..*self })
    }

    fn addr(&self) -> u32 {
        self.number
    }

    fn win_addr_conflict(&self, other: &Self) -> bool {
        self.generation > other.generation
    }
}

/// The broadcasts that a node has heard.
#[derive(Debug, Default)]
struct Inbox {
    heard: BTreeSet<u8>,
    news: Vec<u8>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Key(u8);

impl Invalidates for Key {
    fn invalidates(&self, other: &Self) -> bool {
        self == other
    }
}

impl BroadcastHandler<Id> for &'static Shared {
    type Key = Key;
    type Error = Infallible;

    fn receive_item(&mut self, data: &[u8], _: Option<&Id>) -> Result<Option<Key>, Infallible> {
        let number = data.first().copied().unwrap_or_default();
        let mut inbox = self.0.borrow_mut();
        let fresh = inbox.heard.insert(number);
        if fresh {
            inbox.news.push(number);
        }
        Ok(fresh.then_some(Key(number)))
    }
}

/// What foca's handler and this program both see.
#[derive(Debug, Default)]
struct Shared(std::cell::RefCell<Inbox>);

struct Node {
    foca: Foca<Id, PostcardCodec, StdRng, &'static Shared>,
    inbox: &'static Shared,
    runs: bool,
    sees: BTreeSet<u32>,
}

/// What one call asked for.
#[derive(Default)]
struct Effects {
    sends: Vec<(Id, Vec<u8>)>,
    timers: Vec<(Timer<Id>, Duration)>,
    up: Vec<u32>,
    down: Vec<u32>,
}

impl Runtime<Id> for Effects {
    fn notify(&mut self, notification: Notification<'_, Id>) {
        match notification {
            Notification::MemberUp(id) => self.up.push(id.number),
            Notification::MemberDown(id) => self.down.push(id.number),
            _ => {}
        }
    }

    fn send_to(&mut self, to: Id, data: &[u8]) {
        self.sends.push((to, data.to_vec()));
    }

    fn submit_after(&mut self, timer: Timer<Id>, after: Duration) {
        self.timers.push((timer, after));
    }
}

enum Happening {
    Start,
    Packet(Vec<u8>),
    Timer(Timer<Id>),
}

struct Sim {
    nodes: Vec<Node>,
    queue: BinaryHeap<Reverse<(Duration, u64, usize)>>,
    happenings: std::collections::HashMap<u64, Happening>,
    made: u64,
    now: Duration,
    rng: StdRng,
    packets: u64,
    bytes: u64,
}

impl Sim {
    fn new(count: u32, seed: u64) -> Self {
        let mut config = Config::new_lan(NonZeroU32::new(count).expect("a node"));
        config.max_packet_size = NonZeroUsize::new(PACKET).expect("not 0");
        let node = |number| {
            let inbox: &'static Shared = Box::leak(Box::default());
            let id = Id { number, generation: 0 };
            let rng = StdRng::seed_from_u64(seed ^ u64::from(number) << 20);
            let foca = Foca::with_custom_broadcast(id, config.clone(), rng, PostcardCodec, inbox);
            Node { foca, inbox, runs: true, sees: BTreeSet::new() }
        };
        let mut sim = Self {
            nodes: (0..count).map(node).collect(),
            queue: BinaryHeap::new(),
            happenings: std::collections::HashMap::new(),
            made: 0,
            now: Duration::ZERO,
            rng: StdRng::seed_from_u64(seed),
            packets: 0,
            bytes: 0,
        };
        for number in 1..count as usize {
            let at = Duration::from_secs_f64(sim.rng.random_range(0.0..STARTS));
            sim.schedule(at, number, Happening::Start);
        }
        sim
    }

    fn schedule(&mut self, at: Duration, node: usize, happening: Happening) {
        self.made += 1;
        self.queue.push(Reverse((at, self.made, node)));
        self.happenings.insert(self.made, happening);
    }

    fn call(
        &mut self,
        node: usize,
        call: impl FnOnce(
            &mut Foca<Id, PostcardCodec, StdRng, &'static Shared>,
            &mut Effects,
        ) -> Result<(), foca::Error>,
    ) {
        let mut effects = Effects::default();
        // What a bad packet or a late timer does is not of interest here.
        let _ = call(&mut self.nodes[node].foca, &mut effects);
        let of = &mut self.nodes[node];
        of.sees.extend(effects.up);
        effects.down.iter().for_each(|number| {
            of.sees.remove(number);
        });
        for (timer, after) in effects.timers {
            self.schedule(self.now + after, node, Happening::Timer(timer));
        }
        for (to, data) in effects.sends {
            self.packets += 1;
            self.bytes += data.len() as u64;
            let way = Duration::from_secs_f64(self.rng.random_range(WAY_MS) / 1000.0);
            self.schedule(self.now + way, to.number as usize, Happening::Packet(data));
        }
    }

    fn run_until(&mut self, until: Duration) {
        while let Some(Reverse((at, number, node))) = self.queue.peek().copied() {
            if at > until {
                break;
            }
            self.queue.pop();
            self.now = at;
            let Some(happening) = self.happenings.remove(&number) else { continue };
            if !self.nodes[node].runs {
                continue;
            }
            match happening {
                Happening::Packet(data) => {
                    self.call(node, |foca, effects| foca.handle_data(&data, effects))
                }
                Happening::Timer(timer) => {
                    self.call(node, |foca, effects| foca.handle_timer(timer, effects))
                }
                Happening::Start if self.nodes[node].sees.is_empty() => {
                    let seed = Id { number: 0, generation: 0 };
                    self.call(node, |foca, effects| foca.announce(seed, effects));
                    self.schedule(self.now + ANNOUNCE_AGAIN, node, Happening::Start);
                }
                Happening::Start => {}
            }
        }
        self.now = until;
    }

    /// Lets time pass until this holds. How long that took.
    fn until(&mut self, within: f64, step_ms: u64, holds: impl Fn(&Self) -> bool) -> Option<f64> {
        let from = self.now;
        while !holds(self) {
            if (self.now - from).as_secs_f64() > within {
                return None;
            }
            self.run_until(self.now + Duration::from_millis(step_ms));
        }
        Some((self.now - from).as_secs_f64())
    }

    fn running(&self) -> impl Iterator<Item = &Node> {
        self.nodes.iter().filter(|node| node.runs)
    }
}

fn tell(what: &str, value: Option<f64>) {
    match value {
        Some(value) => println!("{what:44} {value:8.2}"),
        None => println!("{what:44} not in time"),
    }
}

fn main() {
    let mut words = std::env::args().skip(1);
    let count: u32 = words.next().and_then(|word| word.parse().ok()).unwrap_or(100);
    let seed = words.next().and_then(|word| word.parse().ok()).unwrap_or(1);
    println!("foca 2.0.0 alone, {count} nodes, seed {seed}");
    let mut sim = Sim::new(count, seed);
    sim.run_until(Duration::from_secs_f64(STARTS));
    let all = count as usize - 1;
    let pairs = |sim: &Sim| sim.nodes.iter().map(|node| node.sees.len()).sum::<usize>();
    let most = sim.until(2000.0, 100, |sim| pairs(sim) * 100 >= all * (all + 1) * 99);
    tell("99 % of pairs see each other, s", most.map(|most| most + STARTS));
    let seen = sim.until(2000.0, 100, |sim| sim.nodes.iter().all(|node| node.sees.len() == all));
    tell("all see all, s", seen.zip(most).map(|(seen, most)| seen + most + STARTS));

    sim.run_until(sim.now + Duration::from_secs(60));
    let (packets, bytes) = (sim.packets, sim.bytes);
    sim.run_until(sim.now + Duration::from_secs(60));
    let node_seconds = f64::from(count) * 60.0;
    tell(
        "packets a second and node, afterwards",
        Some((sim.packets - packets) as f64 / node_seconds),
    );
    tell("bytes a second and node, afterwards", Some((sim.bytes - bytes) as f64 / node_seconds));

    let (mut times, mut last) = (Vec::new(), 0.0_f64);
    for number in 0..5_u8 {
        let mut data = vec![0; BROADCAST];
        data[0] = number;
        let from = sim.rng.random_range(0..count as usize);
        let added = sim.nodes[from].foca.add_broadcast(&data);
        assert!(added.is_ok_and(|added| added), "a broadcast fits");
        let begun = sim.now;
        let mut heard = 1;
        while heard < count as usize && (sim.now - begun).as_secs_f64() < 60.0 {
            sim.run_until(sim.now + Duration::from_millis(10));
            let now = sim
                .nodes
                .iter()
                .filter(|node| node.inbox.0.borrow().heard.contains(&number))
                .count();
            last = last.max((sim.now - begun).as_secs_f64());
            times.extend(std::iter::repeat_n((sim.now - begun).as_secs_f64(), now - heard));
            heard = now;
        }
        sim.run_until(sim.now + Duration::from_secs(10));
    }
    times.sort_by(f64::total_cmp);
    tell("a broadcast of 1 KB: half of all, s", times.get(times.len() / 2).copied());
    tell("a broadcast of 1 KB: the last of 5, s", Some(last));

    for _ in 0..3 {
        let victim = sim.rng.random_range(1..count as usize);
        if !std::mem::replace(&mut sim.nodes[victim].runs, false) {
            continue;
        }
        let dead = victim as u32;
        let first = sim.until(60.0, 10, |sim| {
            sim.running()
                .any(|node| !node.sees.contains(&dead) && node.foca.identity().number != dead)
        });
        let all = sim.until(60.0, 10, |sim| sim.running().all(|node| !node.sees.contains(&dead)));
        tell("a killed node: the first knows, s", first);
        tell("a killed node: all know, s", first.zip(all).map(|(first, all)| first + all));
        sim.run_until(sim.now + Duration::from_secs(5));
    }
}
