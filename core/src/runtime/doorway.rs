//! Connections that have not yet proved the key: how many there may be, in all and from one source.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv6Addr, SocketAddr},
    sync::{Arc, Mutex, PoisonError},
};

use crate::limits;

/// Why a connection was turned away before it said anything. The peer may try again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Crowded {
    /// Too many connections of anybody shake hands.
    All,
    /// Too many connections of its source do.
    Source,
}

/// Where a connection comes from. Whoever has one address of IPv6 has all of its /64, so they count as one.
fn source(from: SocketAddr) -> IpAddr {
    match from.ip().to_canonical() {
        IpAddr::V6(ip) => IpAddr::V6(Ipv6Addr::from_bits(ip.to_bits() >> 64 << 64)),
        v4 => v4,
    }
}

/// Lets connections in to prove the key.
#[derive(Debug, Clone, Default)]
pub(super) struct Doorway {
    // INVARIANT: each source has at least one connection, and each connection one `Permit`.
    inside: Arc<Mutex<BTreeMap<IpAddr, usize>>>,
}

/// One connection that shakes hands; it has done so when this is dropped.
#[derive(Debug)]
pub(super) struct Permit {
    doorway: Doorway,
    source: IpAddr,
}

impl Doorway {
    /// Lets a connection in.
    pub(super) fn enter(&self, from: SocketAddr) -> Result<Permit, Crowded> {
        let source = source(from);
        let mut inside = self.inside.lock().unwrap_or_else(PoisonError::into_inner);
        if inside.get(&source).is_some_and(|count| *count >= limits::HANDSHAKES_OF_SOURCE) {
            return Err(Crowded::Source);
        }
        if inside.values().sum::<usize>() >= limits::HANDSHAKES {
            return Err(Crowded::All);
        }
        *inside.entry(source).or_default() += 1;
        Ok(Permit { doorway: self.clone(), source })
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut inside = self.doorway.inside.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = inside.get_mut(&self.source) {
            *count -= 1;
            if *count == 0 {
                inside.remove(&self.source);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    #[test]
    fn one_source_cannot_take_the_place_of_others() {
        let doorway = Doorway::default();
        let enter = |text: &str| doorway.enter(from(text));
        let mut inside: Vec<_> =
            (0..limits::HANDSHAKES_OF_SOURCE).map(|_| enter("10.0.0.1:7").unwrap()).collect();
        assert_eq!(enter("10.0.0.1:8").unwrap_err(), Crowded::Source);
        assert_eq!(enter("[::ffff:10.0.0.1]:8").unwrap_err(), Crowded::Source);
        inside.push(enter("10.0.0.2:8").unwrap());
        inside.remove(0);
        inside.push(enter("10.0.0.1:8").unwrap());
        drop(inside);
        assert!(doorway.inside.lock().unwrap().is_empty(), "nothing is kept of who left");
    }

    #[test]
    fn addresses_of_one_network_of_ipv6_are_one_source() {
        let doorway = Doorway::default();
        let _inside: Vec<_> = (0..limits::HANDSHAKES_OF_SOURCE)
            .map(|number| doorway.enter(from(&format!("[2001:db8::{number:x}]:7"))).unwrap())
            .collect();
        assert_eq!(doorway.enter(from("[2001:db8::ffff]:7")).unwrap_err(), Crowded::Source);
        assert!(doorway.enter(from("[2001:db8:0:1::1]:7")).is_ok());
    }

    #[test]
    fn all_sources_together_are_bounded_too() {
        let doorway = Doorway::default();
        let _inside: Vec<_> = (0..limits::HANDSHAKES)
            .map(|number| doorway.enter(from(&format!("10.0.{}.1:7", number % 256))).unwrap())
            .collect();
        assert_eq!(doorway.enter(from("10.1.0.1:7")).unwrap_err(), Crowded::All);
    }
}
