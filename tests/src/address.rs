//! Loopback addresses nobody else has.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, UdpSocket},
    sync::atomic::{AtomicU8, Ordering},
};

static GIVEN: AtomicU8 = AtomicU8::new(0);

/// An address of 127.0.0.0/8 that no other test uses, with a port that is free for UDP and TCP. The
/// address comes from the id of this process and a counter.
///
/// # Panics
/// If no port is free.
#[must_use]
pub fn free_address() -> SocketAddr {
    let [_, _, high, low] = std::process::id().to_be_bytes();
    let number = GIVEN.fetch_add(1, Ordering::Relaxed);
    // 127.0 is left to people.
    let ip = Ipv4Addr::new(127, high.saturating_add(1), low, number % 254 + 1);
    (0..100).find_map(|_| free_port(ip.into())).expect("no port is free")
}

fn free_port(ip: IpAddr) -> Option<SocketAddr> {
    let listener = TcpListener::bind((ip, 0)).ok()?;
    let address = listener.local_addr().ok()?;
    UdpSocket::bind(address).ok()?;
    Some(address)
}
