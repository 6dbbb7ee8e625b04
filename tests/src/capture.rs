//! What goes over the wire, as anyone on it sees it.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{self, Read},
    net::{Ipv4Addr, SocketAddrV4},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    thread::JoinHandle,
    time::Duration,
};

use socket2::{Domain, Protocol, Socket, Type};

/// What `ETH_P_IP` is in <linux/if_ether.h>.
const ETHERTYPE_IPV4: u16 = 0x0800;
/// `ETH_P_ALL`.
const ALL_TYPES: u16 = 0x0003;
const ROOM_BYTES: usize = 32 * 1024 * 1024;
const PACKET_BYTES: usize = 70_000;
const TCP: u8 = 6;
const UDP: u8 = 17;

/// A raw socket that hears all IPv4 packets of this host, and keeps those from or to some addresses.
#[derive(Debug)]
pub struct Capture {
    stop: Arc<AtomicBool>,
    started: mpsc::Receiver<()>,
    thread: JoinHandle<Heard>,
}

/// What was heard.
#[derive(Debug, Default)]
pub struct Heard {
    /// The payload of every datagram, by its sender.
    pub datagrams: Vec<(SocketAddrV4, Vec<u8>)>,
    /// The bytes of every direction of a TCP connection, by sender and receiver.
    pub streams: BTreeMap<(SocketAddrV4, SocketAddrV4), Vec<u8>>,
}

impl Capture {
    /// Begins to listen; only root may.
    ///
    /// # Errors
    /// If we may not.
    pub fn start(addresses: BTreeSet<Ipv4Addr>) -> io::Result<Self> {
        Self::hear(ETHERTYPE_IPV4, addresses)
    }

    /// Begins to listen on a switch, whose packets are for others.
    pub(crate) fn start_on_switch(addresses: BTreeSet<Ipv4Addr>) -> io::Result<Self> {
        Self::hear(ALL_TYPES, addresses)
    }

    fn hear(types: u16, addresses: BTreeSet<Ipv4Addr>) -> io::Result<Self> {
        let protocol = Protocol::from(i32::from(types.to_be()));
        // Without the link's header: a packet begins with IP's.
        let mut socket = Socket::new(Domain::PACKET, Type::DGRAM, Some(protocol))?;
        // What the system gives of it.
        let _ = socket.set_recv_buffer_size(ROOM_BYTES);
        socket.set_read_timeout(Some(Duration::from_millis(50)))?;
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let (start, started) = mpsc::channel();
        let thread = std::thread::spawn(move || {
            let mut packets = Packets::default();
            let mut buffer = vec![0; PACKET_BYTES];
            let _ = start.send(());
            loop {
                match socket.read(&mut buffer) {
                    Ok(length) => packets.take(&buffer[..length], &addresses),
                    // Only once nothing waits any more.
                    Err(_) if stopped.load(Ordering::Relaxed) => return packets.heard(),
                    Err(_) => {}
                }
            }
        });
        Ok(Self { stop, started, thread })
    }

    /// Stops and tells what was heard until now.
    ///
    /// # Panics
    /// If the listener has panicked.
    #[must_use]
    pub fn stop(self) -> Heard {
        self.started.recv().unwrap();
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap()
    }
}

impl Heard {
    /// Is this text, in its ASCII letters of any case, anywhere in what was heard?
    #[must_use]
    pub fn has(&self, text: &[u8]) -> bool {
        let contents = self.datagrams.iter().map(|(_, bytes)| bytes).chain(self.streams.values());
        contents
            .into_iter()
            .any(|bytes| bytes.windows(text.len()).any(|window| window.eq_ignore_ascii_case(text)))
    }
}

/// Segments by their place in the stream: the loopback shows every packet twice.
type Segments = BTreeMap<u32, Vec<u8>>;

#[derive(Default)]
struct Packets {
    datagrams: Vec<(SocketAddrV4, Vec<u8>)>,
    streams: BTreeMap<(SocketAddrV4, SocketAddrV4), Segments>,
}

impl Packets {
    fn take(&mut self, packet: &[u8], addresses: &BTreeSet<Ipv4Addr>) {
        if packet.len() < 20 || packet[0] >> 4 != 4 {
            return;
        }
        let header = usize::from(packet[0] & 0x0f) * 4;
        let length = usize::from(u16::from_be_bytes([packet[2], packet[3]]));
        let ip = |at: usize| Ipv4Addr::from_octets(packet[at..at + 4].try_into().unwrap());
        let (from, to) = (ip(12), ip(16));
        if !addresses.contains(&from) && !addresses.contains(&to) {
            return;
        }
        // A length of 0 is that of a packet too large for the field.
        let end = if length == 0 { packet.len() } else { length.min(packet.len()) };
        let content = &packet[header..end];
        let port = |at: usize| u16::from_be_bytes([content[at], content[at + 1]]);
        let ends = (SocketAddrV4::new(from, port(0)), SocketAddrV4::new(to, port(2)));
        match packet[9] {
            UDP => self.datagrams.push((ends.0, content[8..].to_vec())),
            TCP => {
                let place = u32::from_be_bytes(content[4..8].try_into().unwrap());
                let payload = &content[usize::from(content[12] >> 4) * 4..];
                let segments = self.streams.entry(ends).or_default();
                let known = segments.get(&place).map_or(0, Vec::len);
                if payload.len() > known {
                    segments.insert(place, payload.to_vec());
                }
            }
            _ => {}
        }
    }

    fn heard(self) -> Heard {
        let whole = |segments: Segments| segments.into_values().flatten().collect();
        let streams = self.streams.into_iter().map(|(ends, segments)| (ends, whole(segments)));
        Heard { datagrams: self.datagrams, streams: streams.collect() }
    }
}
