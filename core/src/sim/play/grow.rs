//! Does a node grow with time, beyond what it holds?

use std::time::Duration;

use super::{Broken, Player};

const HOUR: Duration = Duration::from_secs(3600);

/// What a node weighs, in bytes.
#[derive(Debug, Clone, Copy)]
struct Weight {
    /// The records it holds, as they travel, with what it remembers of deleted ones.
    records: f64,
    /// On disk.
    store: f64,
    /// In memory, if that is weighed.
    heap: Option<f64>,
}

impl Player<'_> {
    pub(super) fn grow(&mut self, time: Duration, name: &str) -> Result<(), Broken> {
        let until = self.sim.now() + time;
        let first = self.weigh(0);
        self.note(&format!("{name}_first"), first);
        let mut last = first;
        for hour in 1.. {
            let left = until.saturating_sub(self.sim.now());
            if left.is_zero() {
                break;
            }
            self.advance(left.min(HOUR))?;
            last = self.weigh(hour);
            let more = last.records / first.records;
            self.measure(&format!("{name}_store"), last.store / first.store / more);
            if let (Some(from), Some(to)) = (first.heap, last.heap) {
                self.measure(&format!("{name}_heap"), to / from / more);
            }
        }
        self.note(&format!("{name}_last"), last);
        Ok(())
    }

    fn note(&mut self, name: &str, weight: Weight) {
        self.measure(&format!("{name}_records_bytes"), weight.records);
        self.measure(&format!("{name}_store_bytes"), weight.store);
        if let Some(heap) = weight.heap {
            self.measure(&format!("{name}_heap_bytes"), heap);
        }
    }

    /// Weighs one of the nodes that stay, by turns. To weigh its memory it is stopped, and started again.
    fn weigh(&mut self, turn: usize) -> Weight {
        let stay: Vec<usize> =
            self.sim.running().filter(|node| (1..self.scenario.nodes / 2).contains(node)).collect();
        let node = stay.get(turn % stay.len().max(1)).copied().unwrap_or(0);
        let records = self.sim.engine(node).map_or(0, super::super::Engine::records_bytes) as f64;
        let store = self.sim.stored_bytes(node) as f64;
        let heap = self.weigh.map(|weigh| {
            self.take_loaded();
            let mut engine = self.sim.take_engine(node);
            let freed = weigh(&mut || drop(engine.take()));
            self.restart(node, true);
            freed as f64
        });
        Weight { records, store, heap }
    }
}
