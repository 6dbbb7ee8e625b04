//! Datagrams on their way.

use std::{collections::BTreeSet, net::SocketAddr, time::Duration};

use rand::RngExt;

use super::{Happening, Sim};

/// Who can reach whom.
#[derive(Debug, Default)]
pub(super) struct Network {
    /// Nodes of one set reach each other only.
    sets: Vec<BTreeSet<SocketAddr>>,
    pub(super) packets: u64,
    pub(super) bytes: u64,
}

impl Network {
    pub(super) fn split(&mut self, set: BTreeSet<SocketAddr>) {
        self.sets.push(set);
    }

    pub(super) fn heal(&mut self) {
        self.sets.clear();
    }

    pub(super) fn joins(&self, one: SocketAddr, other: SocketAddr) -> bool {
        self.sets.iter().all(|set| set.contains(&one) == set.contains(&other))
    }
}

impl Sim {
    pub(super) fn send(&mut self, from: SocketAddr, to: SocketAddr, bytes: Vec<u8>) {
        if self.rng.random_bool(self.config.loss) {
            return;
        }
        if self.rng.random_bool(self.config.duplication) {
            let at = self.now + self.latency();
            self.schedule(at, Happening::Datagram { to, from, bytes: bytes.clone() });
        }
        let overtaken = self.rng.random_bool(self.config.reordering);
        let extra = if overtaken { self.config.latency_most * 4 } else { Duration::ZERO };
        let at = self.now + self.latency() + extra;
        self.schedule(at, Happening::Datagram { to, from, bytes });
    }

    pub(super) fn arrive(&mut self, to: SocketAddr, from: SocketAddr, bytes: &[u8]) {
        let Some(node) = self.by_address.get(&to).copied() else { return };
        if !self.network.joins(from, to) {
            return;
        }
        self.trace.note(self.now, 3, node as u64, bytes);
        self.network.packets += 1;
        self.network.bytes += bytes.len() as u64;
        self.turn(node, |engine, now| engine.handle_datagram(from, bytes, now));
    }

    pub(super) fn latency(&mut self) -> Duration {
        let least = self.config.latency_least.as_micros() as u64;
        let most = self.config.latency_most.as_micros() as u64;
        Duration::from_micros(self.rng.random_range(least..=most.max(least)))
    }
}
