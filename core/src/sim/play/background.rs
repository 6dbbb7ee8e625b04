//! What goes on in the background of a scenario: records change, nodes come and go.

use std::{collections::BTreeMap, time::Duration};

use super::{Broken, Player, plan};
use crate::{
    FactName, ItemKind, ItemName, Placement, TribeName, Value,
    engine::{Command, PutOptions, Reply, Written},
    limits,
};

/// Records change, one each so often.
#[derive(Debug, Clone, Copy)]
pub(super) struct Load {
    pub(super) every: Duration,
    pub(super) bytes: usize,
    pub(super) keep: Option<usize>,
}

/// Nodes come and go, one each so often.
#[derive(Debug, Clone, Copy)]
pub(super) struct Churn {
    pub(super) every: Duration,
    pub(super) crashes: bool,
}

/// What was asked for in the background, and is not yet answered.
#[derive(Debug)]
pub(super) enum Loaded {
    Made(TribeName),
    Deleted(TribeName),
    Other,
}

impl Player<'_> {
    /// One more record of the load.
    pub(super) fn change_something(&mut self) {
        let Some(Load { every, bytes, keep }) = self.load else { return };
        self.load_at += every;
        self.take_loaded();
        let [writer] = self.pick(1)[..] else { return };
        self.made += 1;
        let command = match keep {
            Some(keep) => self.one_of_ten(writer, keep, bytes),
            None => self.new_tribe(bytes),
        };
        let Some(command) = command else { return };
        let about = match &command {
            Command::CreateTribe { tribe, .. } => Loaded::Made(tribe.clone()),
            Command::DeleteTribe { tribe } => Loaded::Deleted(tribe.clone()),
            _ => Loaded::Other,
        };
        let ticket = self.sim.submit(writer, command);
        self.loaded.push_back((about, ticket, writer));
    }

    fn new_tribe(&self, bytes: usize) -> Option<Command> {
        // They are in the order they were made.
        let tribe = TribeName::parse(&format!("load-{:07}", self.made)).ok()?;
        let description = "x".repeat(bytes.min(limits::DESCRIPTION_BYTES));
        Some(Command::CreateTribe { tribe, description })
    }

    /// Of ten changes one makes a tribe, one deletes the oldest, and the others are of what is in them.
    fn one_of_ten(&mut self, writer: usize, keep: usize, bytes: usize) -> Option<Command> {
        let tribe = self.alive_tribes.keys().nth(self.made % keep.max(1)).cloned();
        match self.made % 10 {
            0 => self.new_tribe(bytes),
            5 => {
                let (oldest, _) = self.alive_tribes.first_key_value()?;
                let old = self.alive_tribes.len() > keep;
                old.then(|| Command::DeleteTribe { tribe: oldest.clone() })
            }
            2 | 4 | 8 => {
                let [node] = self.pick(1)[..] else { return None };
                let placements = [Placement::Joined, Placement::Left, Placement::Automatic];
                let placement = *placements.get(self.made / 10 % 3)?;
                Some(Command::Place { tribe: tribe?, node: plan(node)?.name, placement })
            }
            6 => Some(Command::PutItem {
                tribe,
                kind: ItemKind::parse("load").ok()?,
                name: ItemName::parse("item").ok()?,
                document: format!("{} {}", self.made, "x".repeat(bytes)).into(),
                options: PutOptions { replace: true, running: None },
            }),
            _ => {
                let fact = FactName::parse("load").ok()?;
                let set = vec![(fact, Value::from(self.made as i64))];
                let node = plan(writer).map(|plan| plan.name);
                Some(Command::SetFacts { node, set, unset: Vec::new() })
            }
        }
    }

    /// Which records of the load were written.
    pub(super) fn take_loaded(&mut self) {
        for (about, ticket, writer) in std::mem::take(&mut self.loaded) {
            match (self.sim.reply(writer, ticket), about) {
                (Some(Ok(Reply::Written(written))), Loaded::Made(tribe)) => {
                    self.alive_tribes.insert(tribe, written);
                }
                (Some(Ok(_)), Loaded::Deleted(tribe)) => {
                    self.alive_tribes.remove(&tribe);
                    self.deleted.insert(tribe);
                }
                // A node that was crashed meanwhile never answers.
                (None, about) if self.sim.engine(writer).is_some() => {
                    self.loaded.push_back((about, ticket, writer));
                }
                _ => {}
            }
        }
    }

    pub(super) fn delete(&mut self) -> Result<(), Broken> {
        self.advance(Duration::from_secs(5))?;
        self.take_loaded();
        let all: Vec<TribeName> = self.alive_tribes.keys().cloned().collect();
        for tribe in all.into_iter().step_by(2) {
            let [writer] = self.pick(1)[..] else { continue };
            let known = self.sim.view(writer).tribes.contains_key(&tribe);
            let command = Command::DeleteTribe { tribe: tribe.clone() };
            if known && self.sim.command(writer, command).is_ok() {
                self.alive_tribes.remove(&tribe);
                self.deleted.insert(tribe);
            }
        }
        Ok(())
    }

    pub(super) fn come_or_go(&mut self) {
        let Some(Churn { every, crashes }) = self.churn else { return };
        self.churn_at += every;
        self.churned += 1;
        let turn = match self.churned % 4 {
            3 if !crashes => 1,
            0 if !crashes => 2,
            turn => turn,
        };
        match turn {
            1 => {
                if let Some(plan) = plan(self.sim.len()) {
                    let node = self.sim.add(plan);
                    self.excuse(node);
                }
            }
            2 => {
                let stay = if crashes { 1 } else { self.scenario.nodes / 2 };
                if let Some(node) = self.pick_from(stay) {
                    self.excused_until.insert(node, Duration::MAX);
                    self.left.extend(self.sim.id(node).map(|id| (self.sim.now(), id)));
                    self.sim.submit(node, Command::Leave);
                }
            }
            3 => {
                if let Some(node) = self.pick_from(1) {
                    self.excused_until.insert(node, Duration::MAX);
                    let unheard = self.crash(node);
                    self.crashed.push((node, unheard));
                }
            }
            _ => {
                if let Some((node, unheard)) = self.crashed.pop() {
                    let with_disk = self.churned.is_multiple_of(8);
                    self.restart(node, with_disk);
                    self.alive_tribes.extend(unheard.into_iter().filter(|_| with_disk));
                }
            }
        }
    }

    /// A running node, none of the first, which are everyone's seed or stay.
    fn pick_from(&mut self, first: usize) -> Option<usize> {
        self.pick(usize::MAX).into_iter().find(|node| *node >= first)
    }

    /// Nodes of the first half are off for a time.
    pub(super) fn go_away(&mut self, count: usize, time: Duration) {
        let half = self.scenario.nodes / 2;
        let chosen = self.pick(usize::MAX).into_iter().filter(|node| (1..half).contains(node));
        for node in chosen.take(count).collect::<Vec<_>>() {
            self.excused_until.insert(node, Duration::MAX);
            let unheard = self.crash(node);
            self.away.push((self.sim.now() + time, node, unheard));
        }
    }

    /// Those whose time is over are back.
    pub(super) fn come_back(&mut self) {
        let now = self.sim.now();
        let (back, away): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.away).into_iter().partition(|(at, ..)| *at <= now);
        self.away = away;
        for (_, node, unheard) in back {
            self.restart(node, true);
            self.alive_tribes.extend(unheard);
        }
    }

    /// What only a disk has that is not running now is no loss until the disk is.
    fn crash(&mut self, node: usize) -> BTreeMap<TribeName, Written> {
        self.take_loaded();
        self.sim.crash(node);
        self.take_unheard()
    }

    /// A disk that is lost takes with it what was acknowledged and nobody else holds yet.
    pub(super) fn restart(&mut self, node: usize, with_disk: bool) {
        self.excuse(node);
        self.restarted.insert(node);
        self.take_loaded();
        self.sim.restart(node, with_disk);
        if !with_disk {
            self.take_unheard();
        }
    }

    /// What was acknowledged and no running node holds.
    fn take_unheard(&mut self) -> BTreeMap<TribeName, Written> {
        let held = |written: &Written| {
            let mut engines = self.sim.running().filter_map(|node| self.sim.engine(node));
            engines.any(|engine| engine.holds(written))
        };
        let all = std::mem::take(&mut self.alive_tribes);
        let (held, unheard) = all.into_iter().partition(|(_, written)| held(written));
        self.alive_tribes = held;
        unheard
    }
}
