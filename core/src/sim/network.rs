//! Datagrams on their way, and how long anything is on its way.

use std::{
    collections::{BTreeMap, BTreeSet},
    hash::Hasher,
    net::SocketAddr,
    time::Duration,
};

use rand::RngExt;
use siphasher::sip::SipHasher13;

use super::{Happening, Sim};

/// How long the way from one node to another is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Latency {
    /// Anything between these, anew for each packet.
    Uniform {
        /// The shortest.
        least: Duration,
        /// The longest.
        most: Duration,
    },
    /// Each pair of nodes has a distance of its own, drawn from a log-normal distribution; each packet takes
    /// up to a share of it more.
    LogNormal {
        /// Half of all pairs are nearer.
        median: Duration,
        /// The standard deviation of the logarithm.
        sigma: f64,
        /// No pair is nearer.
        least: Duration,
        /// No pair is farther apart.
        most: Duration,
        /// A packet takes at most this share of the distance longer.
        jitter: f64,
    },
}

impl Latency {
    /// Nodes of one data centre: 1 to 5 ms, each packet for itself.
    pub const NEAR: Self =
        Self::Uniform { least: Duration::from_millis(1), most: Duration::from_millis(5) };
    /// Nodes around the world: 0.5 to 50 ms, half of them within 5 ms, and 20 % of jitter.
    pub const WIDE: Self = Self::LogNormal {
        median: Duration::from_millis(5),
        sigma: 1.0,
        least: Duration::from_micros(500),
        most: Duration::from_millis(50),
        jitter: 0.2,
    };

    fn most(&self) -> Duration {
        match self {
            Self::Uniform { most, .. } | Self::LogNormal { most, .. } => *most,
        }
    }

    /// The way of one packet. The two numbers are even between 0 and 1: the pair's and the packet's.
    fn draw(&self, pair: impl FnOnce() -> (f64, f64), packet: f64) -> Duration {
        match *self {
            Self::Uniform { least, most } => {
                least + most.saturating_sub(least).mul_f64(packet.clamp(0.0, 1.0))
            }
            Self::LogNormal { median, sigma, least, most, jitter } => {
                let (one, other) = pair();
                // Box and Muller's way from two even numbers to a normal one.
                let normal =
                    (-2.0 * one.max(1e-12).ln()).sqrt() * (std::f64::consts::TAU * other).cos();
                let distance = median.mul_f64((sigma * normal).exp().clamp(1e-3, 1e3));
                distance.clamp(least, most).mul_f64(1.0 + jitter * packet)
            }
        }
    }
}

/// Who can reach whom.
#[derive(Debug, Default)]
pub(super) struct Network {
    /// Nodes of one set reach each other only.
    sets: Vec<BTreeSet<SocketAddr>>,
    /// Ways that lead nowhere, from and to.
    cuts: BTreeSet<(SocketAddr, SocketAddr)>,
    /// Loss on all ways of some nodes, in and out, beside the general one.
    lossy: BTreeMap<SocketAddr, f64>,
    /// Sent, not delivered: what is lost was paid for too.
    pub(super) packets: u64,
    pub(super) bytes: u64,
    pub(super) stream_bytes: u64,
}

impl Network {
    pub(super) fn split(&mut self, set: BTreeSet<SocketAddr>) {
        self.sets.push(set);
    }

    pub(super) fn cut(&mut self, from: SocketAddr, to: SocketAddr) {
        self.cuts.insert((from, to));
    }

    pub(super) fn set_lossy(&mut self, node: SocketAddr, loss: f64) {
        self.lossy.insert(node, loss);
    }

    pub(super) fn heal(&mut self) {
        self.sets.clear();
        self.cuts.clear();
        self.lossy.clear();
    }

    /// Does a packet from one get to the other?
    pub(super) fn reaches(&self, from: SocketAddr, to: SocketAddr) -> bool {
        self.sets.iter().all(|set| set.contains(&from) == set.contains(&to))
            && !self.cuts.contains(&(from, to))
    }

    /// Can the two hold a stream? That takes both ways.
    pub(super) fn joins(&self, one: SocketAddr, other: SocketAddr) -> bool {
        self.reaches(one, other) && self.reaches(other, one)
    }

    fn loss(&self, from: SocketAddr, to: SocketAddr, general: f64) -> f64 {
        let of = |node| 1.0 - self.lossy.get(&node).copied().unwrap_or(0.0);
        (1.0 - (1.0 - general) * of(from) * of(to)).clamp(0.0, 1.0)
    }
}

impl Sim {
    pub(super) fn send(&mut self, from: SocketAddr, to: SocketAddr, bytes: Vec<u8>) {
        self.network.packets += 1;
        self.network.bytes += bytes.len() as u64;
        if self.is_lost(from, to) {
            return;
        }
        if self.rng.random_bool(self.config.duplication) {
            let at = self.now + self.latency(from, to);
            self.schedule(at, Happening::Datagram { to, from, bytes: bytes.clone() });
        }
        let overtaken = self.rng.random_bool(self.config.reordering);
        let extra = if overtaken { self.config.latency.most() * 4 } else { Duration::ZERO };
        let at = self.now + self.latency(from, to) + extra;
        self.schedule(at, Happening::Datagram { to, from, bytes });
    }

    /// Is a packet on this way lost?
    pub(super) fn is_lost(&mut self, from: SocketAddr, to: SocketAddr) -> bool {
        let loss = self.network.loss(from, to, self.config.loss);
        self.rng.random_bool(loss)
    }

    pub(super) fn arrive(&mut self, to: SocketAddr, from: SocketAddr, bytes: Vec<u8>) {
        let Some(number) = self.by_address.get(&to).copied() else { return };
        if !self.network.reaches(from, to) {
            return;
        }
        let now = self.now;
        if let Some(node) = self.nodes.get_mut(number).filter(|node| node.is_paused(now)) {
            return node.keep_in_socket(from, bytes);
        }
        self.trace.note(now, 3, number as u64, &bytes);
        self.turn(number, |engine, now| engine.handle_datagram(from, &bytes, now));
    }

    pub(super) fn latency(&mut self, from: SocketAddr, to: SocketAddr) -> Duration {
        let packet = self.rng.random_range(0.0..1.0);
        let seed = self.config.seed;
        self.config.latency.draw(|| distance(seed, from, to), packet)
    }
}

/// Two even numbers that belong to a pair of nodes, the same in both directions.
fn distance(seed: u64, one: SocketAddr, other: SocketAddr) -> (f64, f64) {
    let even = |domain: u64| {
        let mut hasher = SipHasher13::new_with_keys(seed, domain);
        let number = |of: SocketAddr| match of.ip() {
            std::net::IpAddr::V4(ip) => u64::from(u32::from(ip)),
            std::net::IpAddr::V6(ip) => u128::from(ip) as u64,
        };
        hasher.write_u64(number(one.min(other)));
        hasher.write_u64(number(one.max(other)));
        (hasher.finish() >> 11) as f64 / (1_u64 << 53) as f64
    };
    (even(1), even(2))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(number: u8) -> SocketAddr {
        SocketAddr::from(([10, 0, 0, number], 6000))
    }

    #[test]
    fn half_of_the_pairs_are_within_the_median_and_all_within_the_bounds() {
        let mut ways: Vec<Duration> = (0..=255)
            .flat_map(|one| (0..16).map(move |other| (address(one), address(other))))
            .map(|(one, other)| Latency::WIDE.draw(|| distance(3, one, other), 0.0))
            .collect();
        ways.sort_unstable();
        let median = ways[ways.len() / 2].as_secs_f64();
        assert!((0.0045..0.0055).contains(&median), "{median}");
        assert!(ways[0] >= Duration::from_micros(500));
        assert_eq!(*ways.last().unwrap(), Duration::from_millis(50));
    }

    #[test]
    fn the_way_there_is_as_long_as_the_way_back() {
        assert_eq!(distance(5, address(1), address(2)), distance(5, address(2), address(1)));
        assert_ne!(distance(5, address(1), address(2)), distance(6, address(1), address(2)));
    }

    #[test]
    fn a_cut_leads_one_way_and_takes_streams_with_it() {
        let mut network = Network::default();
        network.cut(address(1), address(2));
        assert!(!network.reaches(address(1), address(2)));
        assert!(network.reaches(address(2), address(1)));
        assert!(!network.joins(address(2), address(1)));
        network.heal();
        assert!(network.joins(address(2), address(1)));
    }

    #[test]
    fn a_lossy_node_adds_to_the_general_loss() {
        let mut network = Network::default();
        network.set_lossy(address(1), 0.2);
        let loss = |from, to| (network.loss(address(from), address(to), 0.1) * 1000.0).round();
        assert_eq!((loss(1, 2), loss(2, 1), loss(2, 3)), (280.0, 280.0, 100.0));
    }
}
