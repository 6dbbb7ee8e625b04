//! Does a node grow with time, beyond what it is to hold?
//!
//! It is to hold what is in force, what was deleted, and what nodes that left had said; the last
//! two for as long as deletions are remembered, and not for long after.

use std::time::Duration;

use super::{Broken, Player};
use crate::engine::Engine;

const HOUR: Duration = Duration::from_secs(3600);
/// Horizons are rounded to the hour, and all but the first wait for another hour before they forget
/// who left; both look once a minute.
const OVERDUE: Duration = Duration::from_secs(3600 + 300);

/// What a node weighs, in bytes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Weight {
    /// The records in force, as they travel.
    live: f64,
    /// All records it holds.
    records: f64,
    /// On disk.
    store: f64,
    /// In memory, if that is weighed.
    heap: Option<f64>,
}

impl Player<'_> {
    /// Lets time pass and looks each hour at what is on disk, and at what should be gone.
    pub(super) fn grow(&mut self, time: Duration, name: &str) -> Result<(), Broken> {
        let until = self.sim.now() + time;
        let first = self.weigh();
        self.note(&format!("{name}_first"), first);
        self.first = Some(first);
        while self.sim.now() < until {
            self.advance(until.saturating_sub(self.sim.now()).min(HOUR))?;
            self.count_overdue(name);
            let weight = self.weight_of(self.lasting());
            let more = weight.records / first.records;
            self.measure(&format!("{name}_store"), weight.store / first.store / more);
        }
        let last = self.weigh();
        self.note(&format!("{name}_last"), last);
        if let (Some(from), Some(to)) = (first.heap, last.heap) {
            let more = last.records / first.records;
            self.measure(&format!("{name}_heap"), to / from / more);
        }
        Ok(())
    }

    /// Lets time pass in which nothing changes, and weighs what is left against what was in the
    /// beginning: by then only what is in force should be.
    pub(super) fn rest(&mut self, time: Duration, name: &str) -> Result<(), Broken> {
        let Some(first) = self.first else {
            return Err(Broken::new("rest comes after grow".to_owned()));
        };
        self.advance(time)?;
        self.count_overdue(name);
        let engines = self.sim.running().filter_map(|node| self.sim.engine(node));
        let remembered = engines.map(|engine| (engine.tombstones(), engine.departed()));
        for (tombstones, departed) in remembered.collect::<Vec<_>>() {
            self.measure(&format!("{name}_tombstones"), tombstones as f64);
            self.measure(&format!("{name}_departed"), departed as f64);
        }
        let last = self.weigh();
        self.note(name, last);
        let more = last.live / first.live;
        self.measure(&format!("{name}_store"), last.store / first.store / more);
        if let (Some(from), Some(to)) = (first.heap, last.heap) {
            self.measure(&format!("{name}_heap"), to / from / more);
        }
        Ok(())
    }

    /// Deletions and nodes that left that some node should have forgotten.
    fn count_overdue(&mut self, name: &str) {
        let late = self.sim.now().saturating_sub(self.sim.config.tombstone_age + OVERDUE);
        let late_ms = self.sim.wall_ms_at(late);
        let left = self.left.iter().filter(|(at, _)| *at < late).map(|(_, id)| *id);
        let left: Vec<_> = left.collect();
        let engines = self.sim.running().filter_map(|node| self.sim.engine(node));
        let overdue = engines.map(|engine| {
            let departed = left.iter().filter(|id| engine.knows_node(**id)).count();
            engine.tombstones_before(late_ms) + departed
        });
        let most = overdue.max().unwrap_or(0);
        self.measure(&format!("{name}_overdue"), most as f64);
    }

    fn note(&mut self, name: &str, weight: Weight) {
        self.measure(&format!("{name}_live_bytes"), weight.live);
        self.measure(&format!("{name}_records_bytes"), weight.records);
        self.measure(&format!("{name}_store_bytes"), weight.store);
        if let Some(heap) = weight.heap {
            self.measure(&format!("{name}_heap_bytes"), heap);
        }
    }

    /// A node that stays and has run since its start.
    fn lasting(&self) -> usize {
        let stays = |node: &usize| (1..self.scenario.nodes / 2).contains(node);
        let lasts = |node: &usize| stays(node) && !self.restarted.contains(node);
        self.sim.running().find(lasts).unwrap_or(0)
    }

    fn weight_of(&self, node: usize) -> Weight {
        let bytes = |of: fn(&Engine) -> usize| self.sim.engine(node).map_or(0, of) as f64;
        Weight {
            live: bytes(Engine::live_bytes),
            records: bytes(Engine::records_bytes),
            store: self.sim.stored_bytes(node) as f64,
            heap: None,
        }
    }

    /// Weighs a node that has run since its start, each time another. To weigh its memory it is
    /// stopped, and started again.
    fn weigh(&mut self) -> Weight {
        let node = self.lasting();
        let weight = self.weight_of(node);
        let heap = self.weigh.map(|weigh| {
            self.take_loaded();
            let mut engine = self.sim.take_engine(node);
            let freed = weigh(&mut || drop(engine.take()));
            self.restart(node, true);
            freed as f64
        });
        Weight { heap, ..weight }
    }
}
