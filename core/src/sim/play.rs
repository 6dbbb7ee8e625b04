//! Playing a scenario: its steps one by one, what is measured, and what must hold at all times.
//!
//! At all times: nobody healthy is declared down, what was deleted does not come back, and nothing piles up
//! in an engine. In the end: all nodes see the same members and hold the same records.

mod background;
mod grow;

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    time::Duration,
};

use rand::{RngExt, SeedableRng, rngs::StdRng, seq::SliceRandom};

use self::background::{Churn, Load, Loaded};
use super::{
    Backlog, Command, Latency, NodePlan, Reply, Scenario, Sim, SimConfig, Step, Ticket, Ways,
    Written,
};
use crate::{FactName, Key, NodeId, NodeName, Rotation, TribeName, Value, limits};

/// What came of a scenario that ran to its end.
#[derive(Debug, Clone)]
pub struct Ran {
    /// What was measured, by name.
    pub measured: BTreeMap<String, f64>,
    /// Bars that were missed: name, measured, bar.
    pub missed: Vec<(String, f64, f64)>,
    /// Hash of all that happened: the same for the same seed.
    pub trace_hash: u64,
    /// Virtual time it took.
    pub took: Duration,
}

/// A scenario that failed: a step took too long, or what must hold did not.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{scenario} with seed {seed}, at {at:?}, in {step}: {what}\n{}", trace.join("\n"))]
pub struct Failed {
    /// The scenario.
    pub scenario: String,
    /// The seed that repeats it.
    pub seed: u64,
    /// When, in virtual time.
    pub at: Duration,
    /// In which step.
    pub step: String,
    /// What did not hold.
    pub what: String,
    /// What happened to the nodes concerned before.
    pub trace: Vec<String>,
}

impl Scenario {
    /// Runs it from this seed.
    ///
    /// # Errors
    /// [`Failed`] says what did not hold, and what happened before.
    pub fn run(&self, seed: u64) -> Result<Ran, Box<Failed>> {
        self.run_weighing(seed, None)
    }

    /// Runs it from this seed. What `weigh` says that a call frees, in bytes, is what a node had in memory.
    ///
    /// # Errors
    /// [`Failed`] says what did not hold, and what happened before.
    pub fn run_weighing(&self, seed: u64, weigh: Option<Weigh>) -> Result<Ran, Box<Failed>> {
        let mut player = Player::new(self, seed, weigh);
        for (number, step) in self.steps.iter().enumerate() {
            player.step = format!("step {} {step:?}", number + 1);
            player.play(step).map_err(|broken| player.failed(broken))?;
        }
        "the end".clone_into(&mut player.step);
        player.end().map_err(|broken| player.failed(broken))?;
        let measured = player.measured;
        let missed = self.bars.iter().filter_map(|(name, bar)| {
            let found = measured.get(name).copied().unwrap_or(f64::NAN);
            // What was not measured is missed too.
            (found.is_nan() || found > *bar).then(|| (name.clone(), found, *bar))
        });
        let missed = missed.collect();
        let (trace_hash, took) = (player.sim.trace_hash(), player.sim.now());
        Ok(Ran { measured, missed, trace_hash, took })
    }
}

/// Says how many bytes of memory a call frees.
pub type Weigh = fn(&mut dyn FnMut()) -> u64;

/// What did not hold, and for which nodes.
struct Broken {
    what: String,
    nodes: Vec<usize>,
}

impl Broken {
    fn new(what: String) -> Self {
        Self { what, nodes: Vec::new() }
    }
}

struct Player<'a> {
    scenario: &'a Scenario,
    sim: Sim,
    rng: StdRng,
    seed: u64,
    weigh: Option<Weigh>,
    step: String,
    last_start: Duration,
    measured: BTreeMap<String, f64>,
    load: Option<Load>,
    load_at: Duration,
    loaded: VecDeque<(Loaded, Ticket, usize)>,
    alive_tribes: BTreeMap<TribeName, Written>,
    deleted: BTreeSet<TribeName>,
    churn: Option<Churn>,
    churn_at: Duration,
    churned: usize,
    /// Nodes that `churn` crashed, with what only their disks have.
    crashed: Vec<(usize, BTreeMap<TribeName, Written>)>,
    /// Nodes that are off until then, with what only their disks have.
    away: Vec<(Duration, usize, BTreeMap<TribeName, Written>)>,
    made: usize,
    /// Declarations of death are no mistake before: the network was split or is healing, or the node was
    /// killed or restarted.
    excused_until: BTreeMap<usize, Duration>,
    all_excused_until: Duration,
    starved: BTreeSet<usize>,
    /// Nodes that were started again.
    restarted: BTreeSet<usize>,
    /// Nodes that left with a good-bye, and when.
    left: Vec<(Duration, NodeId)>,
    /// What a node weighed when `grow` began.
    first: Option<grow::Weight>,
    /// Healthy and starved nodes that were declared down.
    false_downs: Vec<(Duration, usize)>,
    starved_downs: Vec<(Duration, usize)>,
    looked_at: Duration,
}

/// Between looks at what must always hold.
const LOOK: Duration = Duration::from_millis(500);
/// Between looks at who holds a record.
const FINE: Duration = Duration::from_millis(10);
/// Between looks at how far an exchange of keys is.
const ROTATE_LOOK: Duration = Duration::from_millis(200);
/// One node that several others declare down within this time is one mistake.
const INCIDENT: Duration = Duration::from_secs(60);
/// Trouble may be told so long after it is over.
const EXCUSE: Duration = Duration::from_secs(60);
/// In the end all is the same within this time.
const END_WITHIN: Duration = Duration::from_secs(120);
/// A year: no step takes longer.
const LONGEST_S: f64 = 365.0 * 86_400.0;
/// What may wait in an engine.
const MOST_WAITING: Backlog = Backlog {
    broadcasts: limits::BROADCAST_BACKLOG_HINTS + 1,
    wanted: limits::WANTED,
    streams: limits::STREAMS_SERVED + limits::STREAMS_DIALLED + 64,
    unstored: 2 * (limits::RECORDS_SENT + limits::OWNERS),
};

impl<'a> Player<'a> {
    fn new(scenario: &'a Scenario, seed: u64, weigh: Option<Weigh>) -> Self {
        let mut config = SimConfig::new(seed, 0);
        config.latency = match scenario.ways {
            Ways::Near => Latency::NEAR,
            Ways::Wide => Latency::WIDE,
        };
        config.loss = scenario.loss;
        config.duplication = scenario.duplication;
        config.reordering = scenario.reordering;
        config.encrypted = scenario.sealed;
        config.broadcasts = scenario.broadcasts;
        config.events = false;
        if let Some(hours) = scenario.tombstone_age_h {
            config.tombstone_age = seconds(hours * 3600.0);
        }
        let mut player = Self {
            scenario,
            sim: Sim::new(config),
            rng: StdRng::seed_from_u64(seed ^ 0x0b5e_55ed),
            seed,
            weigh,
            step: String::new(),
            last_start: Duration::ZERO,
            measured: BTreeMap::new(),
            load: None,
            load_at: Duration::ZERO,
            loaded: VecDeque::new(),
            alive_tribes: BTreeMap::new(),
            deleted: BTreeSet::new(),
            churn: None,
            churn_at: Duration::ZERO,
            churned: 0,
            crashed: Vec::new(),
            away: Vec::new(),
            made: 0,
            excused_until: BTreeMap::new(),
            all_excused_until: Duration::ZERO,
            starved: BTreeSet::new(),
            restarted: BTreeSet::new(),
            left: Vec::new(),
            first: None,
            false_downs: Vec::new(),
            starved_downs: Vec::new(),
            looked_at: Duration::ZERO,
        };
        if scenario.preseeded {
            player.sim.add_standing((0..scenario.nodes).filter_map(plan));
            return player;
        }
        for number in 0..scenario.nodes {
            let most = if number == 0 { Duration::ZERO } else { seconds(scenario.start_over_s) };
            let delay = most.mul_f64(player.rng.random_range(0.0..=1.0));
            player.last_start = player.last_start.max(delay);
            if let Some(plan) = plan(number) {
                player.sim.add_later(plan, delay);
            }
        }
        player
    }

    fn failed(&self, broken: Broken) -> Box<Failed> {
        let mut trace = Vec::new();
        for node in broken.nodes.into_iter().take(3) {
            trace.push(format!("n{node}:"));
            trace.extend(self.sim.explain(node, 40));
        }
        Box::new(Failed {
            scenario: self.scenario.name.clone(),
            seed: self.seed,
            at: self.sim.now(),
            step: self.step.clone(),
            what: broken.what,
            trace,
        })
    }

    fn play(&mut self, step: &Step) -> Result<(), Broken> {
        match step {
            Step::Form { within_s } => self.form(seconds(*within_s)),
            Step::Converge { within_s, name } => {
                let took = self.until(seconds(*within_s), name, |player| player.sim.converged())?;
                self.measure(&format!("{name}_s"), took.as_secs_f64());
                Ok(())
            }
            Step::Run { for_s } => self.advance(seconds(*for_s)),
            Step::Traffic { for_s, name } => self.traffic(seconds(*for_s), name),
            Step::Kill { count, host, within_s, name } => {
                self.kill(*count, *host, seconds(*within_s), name)
            }
            Step::Record { bytes, count, within_s, name } => {
                self.record(*bytes, *count, seconds(*within_s), name)
            }
            Step::Split { share } => {
                let set = self.some(*share);
                self.all_excused_until = Duration::MAX;
                self.sim.partition(set);
                Ok(())
            }
            Step::Heal => {
                self.all_excused_until = self.sim.now() + EXCUSE;
                self.sim.heal();
                Ok(())
            }
            Step::Loss(loss) => {
                self.sim.set_loss(loss.clamp(0.0, 1.0));
                Ok(())
            }
            Step::LossyNodes { count, loss } => {
                for node in self.pick(*count) {
                    self.sim.set_node_loss(node, loss.clamp(0.0, 1.0));
                }
                Ok(())
            }
            Step::Cuts { count } => {
                for _ in 0..*count {
                    if let [from, to] = self.pick(2)[..] {
                        self.sim.cut(from, to);
                    }
                }
                Ok(())
            }
            Step::Starve { share, least_s, most_s, for_s } => {
                self.starve(*share, seconds(*least_s), seconds(*most_s), seconds(*for_s))
            }
            Step::Load { every_s, bytes, keep } => {
                let every = seconds(*every_s).max(FINE);
                self.load = (*every_s > 0.0).then_some(Load { every, bytes: *bytes, keep: *keep });
                self.load_at = self.sim.now();
                Ok(())
            }
            Step::Churn { every_s, crashes } => {
                let every = seconds(*every_s).max(FINE);
                self.churn = (*every_s > 0.0).then_some(Churn { every, crashes: *crashes });
                self.churn_at = self.sim.now();
                Ok(())
            }
            Step::Away { count, for_s } => {
                self.go_away(*count, seconds(*for_s));
                Ok(())
            }
            Step::Grow { for_s, name } => self.grow(seconds(*for_s), name),
            Step::Rest { for_s, name } => self.rest(seconds(*for_s), name),
            Step::Restart { count, with_disk } => {
                for node in self.pick(*count) {
                    self.restart(node, *with_disk);
                }
                Ok(())
            }
            Step::Rotate { within_s, name } => self.rotate(seconds(*within_s), name),
            Step::Skew { count, ms } => {
                for node in self.pick(*count) {
                    self.sim.set_skew_ms(node, *ms);
                }
                Ok(())
            }
            Step::Delete => self.delete(),
        }
    }

    fn form(&mut self, within: Duration) -> Result<(), Broken> {
        self.advance(self.last_start.saturating_sub(self.sim.now()))?;
        let from = self.sim.now();
        self.until(within, "everyone sees everyone", |player| player.sim.all_see_all())?;
        self.measure("seen_s", (self.sim.now() - from).as_secs_f64());
        self.until(within, "all hold the same", |player| player.sim.converged())?;
        self.measure("formed_s", (self.sim.now() - from).as_secs_f64());
        Ok(())
    }

    fn traffic(&mut self, time: Duration, name: &str) -> Result<(), Broken> {
        let (packets, bytes) = self.sim.traffic();
        let streamed = self.sim.stream_traffic();
        self.advance(time)?;
        let (packets, bytes) = (self.sim.traffic().0 - packets, self.sim.traffic().1 - bytes);
        let streamed = self.sim.stream_traffic() - streamed;
        let node_seconds = self.sim.running().count() as f64 * time.as_secs_f64();
        self.measure(&format!("{name}packets_per_s"), packets as f64 / node_seconds);
        self.measure(&format!("{name}bytes_per_s"), (bytes + streamed) as f64 / node_seconds);
        Ok(())
    }

    fn kill(
        &mut self,
        count: usize,
        host: bool,
        within: Duration,
        name: &str,
    ) -> Result<(), Broken> {
        for _ in 0..count {
            // The first is everyone's seed.
            let victim = self.pick(2).into_iter().find(|node| *node != 0);
            let Some(victim) = victim else { continue };
            let Some(id) = self.sim.id(victim) else { continue };
            self.excused_until.insert(victim, Duration::MAX);
            if host {
                self.sim.power_off(victim)
            } else {
                self.sim.crash(victim)
            }
            let from = self.sim.now();
            let sees = |player: &Self, node| {
                player.sim.engine(node).is_some_and(|engine| engine.sees_node(id))
            };
            self.until_fine(within, "someone knows", victim, |player| {
                player.sim.running().any(|node| !sees(player, node))
            })?;
            self.measure(&format!("{name}_first_s"), (self.sim.now() - from).as_secs_f64());
            self.until_fine(within, "all know", victim, |player| {
                player.sim.running().all(|node| !sees(player, node))
            })?;
            self.measure(&format!("{name}_all_s"), (self.sim.now() - from).as_secs_f64());
            let pause = self.rng.random_range(0.5..3.0);
            self.advance(seconds(pause))?;
        }
        Ok(())
    }

    fn record(
        &mut self,
        bytes: usize,
        count: usize,
        within: Duration,
        name: &str,
    ) -> Result<(), Broken> {
        let mut times = Vec::new();
        // What a tribe is for is one record; to create one that is for something takes two.
        let tribe = TribeName::parse("records").map_err(|error| Broken::new(error.to_string()))?;
        let create = Command::CreateTribe { tribe: tribe.clone(), description: String::new() };
        if let [first, ..] = self.pick(1)[..]
            && let Ok(Reply::Written(written)) = self.sim.command(first, create)
        {
            self.watch(&written, within)?;
        }
        for _ in 0..count {
            let [writer] = self.pick(1)[..] else { continue };
            let command = self.filled(&tribe, bytes);
            let reply = self.sim.command(writer, command);
            let Ok(Reply::Written(written)) = reply else {
                return Err(Broken {
                    what: format!("not written: {reply:?}"),
                    nodes: vec![writer],
                });
            };
            times.extend(self.watch(&written, within)?);
        }
        times.sort_unstable();
        let at = |share: f64| {
            let index = ((times.len() as f64 * share).ceil() as usize).saturating_sub(1);
            times.get(index).map_or(f64::NAN, Duration::as_secs_f64)
        };
        self.measure(&format!("{name}_p50_s"), at(0.5));
        self.measure(&format!("{name}_p99_s"), at(0.99));
        self.measure(&format!("{name}_last_s"), at(1.0));
        Ok(())
    }

    fn rotate(&mut self, within: Duration, name: &str) -> Result<(), Broken> {
        let (from, mut begun) = (self.sim.now(), false);
        let fresh = Key::from_bytes(self.rng.random());
        let sealing = loop {
            let reply = self.sim.command(0, Command::Keys);
            let Ok(Reply::Keys(status)) = reply else {
                return Err(Broken { what: format!("no keys: {reply:?}"), nodes: vec![0] });
            };
            let next = status.next(begun, true);
            if self.sim.now() >= from + within {
                let what = format!("not within {within:?}: the exchange of keys, at {next:?}");
                return Err(Broken { what, nodes: vec![0] });
            }
            begun = true;
            let command = match next {
                Rotation::Done(sealing) => break sealing,
                Rotation::Install => Command::InstallKey(fresh.clone()),
                Rotation::Use(key) => Command::UseKey { key, force: true },
                Rotation::Remove(key, _) => Command::RemoveKey { key, force: true },
                Rotation::Installed(_)
                | Rotation::Holding(..)
                | Rotation::Sealing(..)
                | Rotation::Down(..) => {
                    self.advance(ROTATE_LOOK)?;
                    continue;
                }
            };
            if let Err(error) = self.sim.command(0, command) {
                return Err(Broken {
                    what: format!("no exchange of keys: {error}"),
                    nodes: vec![0],
                });
            }
        };
        self.measure(&format!("{name}_s"), (self.sim.now() - from).as_secs_f64());
        self.until(within, "all hold the new key alone", |player| player.sim.all_hold(sealing))?;
        self.measure(&format!("{name}_all_s"), (self.sim.now() - from).as_secs_f64());
        Ok(())
    }

    /// How long it takes until each node holds this.
    fn watch(&mut self, written: &Written, within: Duration) -> Result<Vec<Duration>, Broken> {
        let from = self.sim.now();
        let (mut times, mut missing) = (Vec::new(), self.sim.running().collect::<Vec<_>>());
        loop {
            missing.retain(|node| {
                let Some(engine) = self.sim.engine(*node) else { return false };
                let holds = engine.holds(written);
                if holds {
                    times.push(self.sim.now() - from);
                }
                !holds
            });
            if missing.is_empty() {
                return Ok(times);
            }
            if self.sim.now() >= from + within {
                let what = format!("{} nodes do not hold a record", missing.len());
                return Err(Broken { what, nodes: missing });
            }
            self.advance(FINE)?;
        }
    }

    fn starve(
        &mut self,
        share: f64,
        least: Duration,
        most: Duration,
        time: Duration,
    ) -> Result<(), Broken> {
        self.starved = self.some(share).into_iter().collect();
        let from = self.sim.now();
        let mut next: BTreeMap<usize, Duration> = self.starved.iter().map(|n| (*n, from)).collect();
        while self.sim.now() < from + time {
            for (node, at) in &mut next {
                if *at <= self.sim.now() {
                    let mut spell = || {
                        least + most.saturating_sub(least).mul_f64(self.rng.random_range(0.0..=1.0))
                    };
                    let (spell, gap) = (spell(), spell());
                    self.sim.pause(*node, spell);
                    *at = self.sim.now() + spell + gap;
                }
            }
            self.advance(Duration::from_millis(100))?;
        }
        let hours = time.as_secs_f64() / 3600.0;
        let during =
            |downs: &[(Duration, usize)]| downs.iter().filter(|(at, _)| *at >= from).count();
        let (healthy, starved) = (during(&self.false_downs), during(&self.starved_downs));
        self.measure("false_downs_per_hour", healthy as f64 / hours);
        self.measure("starved_downs_per_hour", starved as f64 / hours);
        // They may be spoken of a while longer.
        for node in std::mem::take(&mut self.starved) {
            self.excuse(node);
        }
        Ok(())
    }

    /// Lets time pass, with what goes on in the background, and looks at what must hold.
    fn advance(&mut self, time: Duration) -> Result<(), Broken> {
        let until = self.sim.now() + time;
        while self.sim.now() < until {
            let next = [self.load.map(|_| self.load_at), self.churn.map(|_| self.churn_at)]
                .into_iter()
                .flatten()
                .chain(self.away.iter().map(|(at, ..)| *at))
                .chain([until, self.looked_at + LOOK])
                .min()
                .unwrap_or(until)
                .min(until);
            self.sim.run_for(next.saturating_sub(self.sim.now()));
            if self.load.is_some() && self.load_at <= self.sim.now() {
                self.change_something();
            }
            if self.churn.is_some() && self.churn_at <= self.sim.now() {
                self.come_or_go();
            }
            self.come_back();
            if self.sim.now() >= self.looked_at + LOOK {
                self.looked_at = self.sim.now();
                self.look()?;
            }
        }
        Ok(())
    }

    fn until(
        &mut self,
        within: Duration,
        what: &str,
        holds: impl Fn(&Self) -> bool,
    ) -> Result<Duration, Broken> {
        let from = self.sim.now();
        while !holds(self) {
            if self.sim.now() >= from + within {
                return Err(self.differences(&format!("not within {within:?}: {what}")));
            }
            self.advance(Duration::from_millis(100))?;
        }
        Ok(self.sim.now() - from)
    }

    fn until_fine(
        &mut self,
        within: Duration,
        what: &str,
        about: usize,
        holds: impl Fn(&Self) -> bool,
    ) -> Result<(), Broken> {
        let from = self.sim.now();
        while !holds(self) {
            if self.sim.now() >= from + within {
                let what = format!("not within {within:?}: {what} of the death of n{about}");
                return Err(Broken { what, nodes: vec![about] });
            }
            self.advance(FINE)?;
        }
        Ok(())
    }

    /// What must hold at all times.
    fn look(&mut self) -> Result<(), Broken> {
        let now = self.sim.now();
        let running: Vec<usize> = self.sim.running().collect();
        for node in running {
            for down in self.sim.take_declared_down(node) {
                self.judge(node, down)?;
            }
            let waiting = self.sim.engine(node).map(super::Engine::backlog).unwrap_or_default();
            let fits = waiting.broadcasts <= MOST_WAITING.broadcasts
                && waiting.wanted <= MOST_WAITING.wanted
                && waiting.streams <= MOST_WAITING.streams
                && waiting.unstored <= MOST_WAITING.unstored;
            if !fits {
                let what = format!("too much waits in n{node}: {waiting:?}");
                return Err(Broken { what, nodes: vec![node] });
            }
        }
        self.excused_until.retain(|_, until| *until > now);
        Ok(())
    }

    /// A node declared another down: was it right?
    fn judge(&mut self, by: usize, down: usize) -> Result<(), Broken> {
        let now = self.sim.now();
        let runs = self.sim.engine(down).is_some();
        let excused = [by, down]
            .iter()
            .any(|node| self.excused_until.get(node).is_some_and(|until| *until > now));
        if !runs || excused || now < self.all_excused_until {
            return Ok(());
        }
        let starved = self.starved.contains(&down);
        let list = if starved { &mut self.starved_downs } else { &mut self.false_downs };
        let told = list.iter().any(|(at, node)| *node == down && *at + INCIDENT > now);
        if !told {
            list.push((now, down));
        }
        // Under starvation they are counted, and the bar judges.
        if starved || !self.starved.is_empty() {
            return Ok(());
        }
        let what = format!("n{by} takes n{down} for dead, which it is not");
        Err(Broken { what, nodes: vec![down, by] })
    }

    /// All is the same everywhere, and what was deleted is gone.
    fn end(&mut self) -> Result<(), Broken> {
        (self.load, self.churn) = (None, None);
        self.until(END_WITHIN, "all are the same", |player| player.sim.converged())?;
        self.take_loaded();
        let mut nodes = self.sim.running();
        let (first, last) = (nodes.next(), nodes.last());
        for node in [first, last].into_iter().flatten() {
            let view = self.sim.view(node);
            let back = self.deleted.iter().find(|tribe| view.tribes.contains_key(*tribe));
            if let Some(tribe) = back {
                let what = format!("{tribe} was deleted and is back");
                return Err(Broken { what, nodes: vec![node] });
            }
            let lost = self.alive_tribes.keys().find(|tribe| !view.tribes.contains_key(*tribe));
            if let Some(tribe) = lost {
                let what = format!("{tribe} was acknowledged and is lost");
                return Err(Broken { what, nodes: vec![node] });
            }
        }
        let pictures: Vec<_> =
            [first, last].into_iter().flatten().map(|node| memberships(&self.sim, node)).collect();
        if pictures.windows(2).any(|pair| pair.first() != pair.last()) {
            return Err(Broken::new("memberships differ".to_owned()));
        }
        Ok(())
    }

    /// A write of about so many bytes.
    fn filled(&mut self, tribe: &TribeName, bytes: usize) -> Command {
        self.made += 1;
        let made = self.made;
        if bytes <= limits::DESCRIPTION_BYTES {
            let description = format!("{made:0bytes$}");
            return Command::DescribeTribe { tribe: tribe.clone(), description };
        }
        // Facts, of texts as long as they may be.
        let texts = bytes.div_ceil(limits::FACT_TEXT_BYTES);
        let each = bytes / texts.max(1) - 32;
        let set = (0..texts).filter_map(|number| {
            let name = FactName::parse(&format!("text{number}")).ok()?;
            Some((name, Value::from(format!("{made} ").repeat(each)[..each].to_owned())))
        });
        Command::SetFacts { node: None, set: set.collect(), unset: Vec::new() }
    }

    fn pick(&mut self, count: usize) -> Vec<usize> {
        let mut nodes: Vec<usize> = self.sim.running().collect();
        nodes.shuffle(&mut self.rng);
        nodes.truncate(count);
        nodes
    }

    fn some(&mut self, share: f64) -> Vec<usize> {
        let count = self.sim.running().count() as f64 * share;
        self.pick(count.round() as usize)
    }

    fn excuse(&mut self, node: usize) {
        self.excused_until.insert(node, self.sim.now() + EXCUSE);
    }

    /// The worst of what is measured several times counts.
    fn measure(&mut self, name: &str, value: f64) {
        let worst = self.measured.entry(name.to_owned()).or_insert(value);
        *worst = worst.max(value);
    }

    fn differences(&self, what: &str) -> Broken {
        let running = self.sim.running().count();
        let mut by_roots: BTreeMap<(u64, u64, u64), Vec<usize>> = BTreeMap::new();
        for node in self.sim.running() {
            if let Some(engine) = self.sim.engine(node) {
                by_roots.entry(engine.roots()).or_default().push(node);
            }
        }
        let mut groups: Vec<Vec<usize>> = by_roots.into_values().collect();
        groups.sort_by_key(|group| std::cmp::Reverse(group.len()));
        let odd: Vec<usize> =
            groups.iter().skip(1).filter_map(|group| group.first()).copied().collect();
        let sees: Vec<String> = odd
            .iter()
            .take(5)
            .filter_map(|node| Some(format!("n{node} sees {}", self.sim.engine(*node)?.sees())))
            .collect();
        let sizes: Vec<usize> = groups.iter().map(Vec::len).take(8).collect();
        let what = format!("{what}; of {running} nodes these many are alike: {sizes:?}; {sees:?}");
        Broken { what, nodes: odd }
    }
}

fn plan(number: usize) -> Option<NodePlan> {
    let name = NodeName::parse(&format!("n{number}")).ok()?;
    Some(NodePlan::new(name).with_fact("number", number as i64))
}

/// So many seconds; none if it is no time at all, and never more than a simulation can last.
fn seconds(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds.min(LONGEST_S)).unwrap_or(Duration::ZERO)
}

fn memberships(sim: &Sim, node: usize) -> Vec<String> {
    let view = sim.view(node);
    let tribe = |tribe: &crate::Tribe| {
        let members = tribe.members.iter().map(|member| member.name.as_str());
        format!("{} {:?}", tribe.name, members.collect::<Vec<_>>())
    };
    view.tribes.values().map(tribe).collect()
}
