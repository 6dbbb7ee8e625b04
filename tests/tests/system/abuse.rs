//! Noise from the network, against one node of a running pair.

use std::{
    collections::BTreeMap,
    fs,
    io::{Read, Write},
    net::{IpAddr, SocketAddr, TcpStream, UdpSocket},
    time::{Duration, Instant},
};

use tribe_tests::{Cluster, Node, Random, full_size, report, say, wait_until};

/// Resident memory, counted page by page: what `status` says is an estimate.
fn resident_kib(node: &Node) -> u64 {
    let rollup = fs::read_to_string(format!("/proc/{}/smaps_rollup", node.pid())).unwrap();
    let line = rollup.lines().find(|line| line.starts_with("Rss:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

fn descriptors(node: &Node) -> usize {
    fs::read_dir(format!("/proc/{}/fd", node.pid())).unwrap().count()
}

/// What the kernel says of the node's UDP socket: bytes that wait in it, and datagrams it had no room for.
fn kernel_queue(address: SocketAddr) -> (u64, u64) {
    let IpAddr::V4(ip) = address.ip() else { panic!("{address} is no address of ours") };
    // As the kernel prints it: the number as it lies in memory.
    let local = format!("{:08X}:{:04X}", u32::from_ne_bytes(ip.octets()), address.port());
    let table = fs::read_to_string("/proc/net/udp").unwrap();
    let fields = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    let row = table.lines().map(fields).find(|row| row.get(1) == Some(&local)).unwrap();
    let waiting = u64::from_str_radix(row[4].split_once(':').unwrap().1, 16).unwrap();
    (waiting, row.last().unwrap().parse().unwrap())
}

/// What became of everything the node received.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Tally {
    received: u64,
    /// Delivered, dropped for a reason, or an honest challenge that was answered.
    accounted: u64,
    dropped: u64,
}

fn tally(counters: &BTreeMap<String, u64>) -> Tally {
    let dropped = counters
        .iter()
        .filter(|(name, _)| name.starts_with("tribe_datagrams_dropped_"))
        .map(|(_, count)| count)
        .sum();
    let handled =
        counters["tribe_datagrams_delivered_total"] + counters["tribe_responses_sent_total"];
    let received = counters["tribe_datagrams_received_total"];
    Tally { received, accounted: handled + dropped, dropped }
}

impl Tally {
    fn since(self, before: Self) -> Self {
        Self {
            received: self.received - before.received,
            accounted: self.accounted - before.accounted,
            dropped: self.dropped - before.dropped,
        }
    }
}

/// Bytes of no meaning; every other time with a beginning as a node would write it.
fn noise(random: &mut Random) -> Vec<u8> {
    let length = random.below(1500);
    let mut bytes = random.bytes(length);
    if random.below(2) == 0
        && let Some(first) = bytes.first_mut()
    {
        *first = 0x10 | (*first & 3);
    }
    bytes
}

/// Mostly as fast as the node reads them, so that few are lost; the last tenth as fast as we can.
fn send_datagrams(to: SocketAddr, count: u64, random: &mut Random) {
    let sockets: Vec<_> = (0..16).map(|_| UdpSocket::bind((to.ip(), 0)).unwrap()).collect();
    for number in 0..count {
        let socket = &sockets[random.below(sockets.len())];
        socket.send_to(&noise(random), to).unwrap();
        if number % 64 == 0 && number < count / 10 * 9 {
            wait_until("the node reads", || kernel_queue(to).0 < 64 * 1024);
        }
    }
}

/// Connections that say something random, or nothing, and mostly wait for what comes of it.
fn send_streams(to: SocketAddr, count: u64, random: &mut Random) {
    let mut open = Vec::new();
    for _ in 0..count {
        let mut stream = TcpStream::connect(to).unwrap();
        let length = random.below(3000);
        // The node may hang up while we speak.
        let _ = stream.write_all(&random.bytes(length));
        stream.set_read_timeout(Some(Duration::from_millis(1))).unwrap();
        let _ = stream.read(&mut [0; 64]);
        open.push(stream);
        if open.len() > 100 {
            open.clear();
        }
    }
}

#[test]
fn noise_from_the_network_changes_nothing_but_counters() {
    let (datagrams, streams) = if full_size() { (100_000, 1000) } else { (20_000, 300) };
    let cluster = Cluster::start(&[("i1", &[]), ("i2", &["--fact", "storage_tier=True"])]);
    let (i1, i2) = (&cluster["i1"], &cluster["i2"]);
    i1.types("tribe policy create p \"{{storage_tier}} == True\" --tribe storage");
    cluster.wait_for_tribes(&[("storage", &["i2"])]);
    // What pairs do at first is over when the streams are.
    wait_until("the pair is quiet", || {
        let before = (i1.counters(), descriptors(i1));
        std::thread::park_timeout(Duration::from_millis(1200));
        let unchanged = |name: &str| i1.counters()[name] == before.0[name];
        descriptors(i1) == before.1
            && unchanged("tribe_responses_sent_total")
            && unchanged("tribe_challenges_sent_total")
    });
    let mut random = Random::new();
    let sees = || (i1.states(), i1.tribes(), i2.states(), i2.tribes());
    let before = sees();
    let (memory, files) = (resident_kib(i1), descriptors(i1));
    let (counted, peer_counted) = (tally(&i1.counters()), i2.counters());
    let (_, lost_before) = kernel_queue(i1.address());

    let start = Instant::now();
    send_datagrams(i1.address(), datagrams, &mut random);
    wait_until("the node has read all", || kernel_queue(i1.address()).0 == 0);
    let lost = kernel_queue(i1.address()).1 - lost_before;
    report(&format!("{datagrams} random datagrams, {lost} lost in the kernel"), start.elapsed());
    let delivered = datagrams - lost;
    let found = || tally(&i1.counters()).since(counted);
    wait_until("the counters tell of all of them", || found().received >= delivered);
    let found = found();
    let of_peer =
        i2.counters()["tribe_datagrams_sent_total"] - peer_counted["tribe_datagrams_sent_total"];
    say(&format!("{found:?}, up to {of_peer} of them from the peer"));
    assert!(found.received <= delivered + of_peer + 5, "{found:?}");
    assert_eq!(found.received, found.accounted);
    assert!(found.dropped >= delivered, "{found:?}");

    let start = Instant::now();
    send_streams(i1.address(), streams, &mut random);
    report(&format!("{streams} random connections"), start.elapsed());
    let took = wait_until("the descriptors are given back", || descriptors(i1) <= files);
    report("descriptors as before", took);
    let counters = i1.counters();
    let rejected =
        counters["tribe_streams_rejected_total"] + counters["tribe_streams_crowded_total"];
    wait_until("the counters tell of all connections", || {
        rejected >= streams || {
            let counters = i1.counters();
            counters["tribe_streams_rejected_total"] + counters["tribe_streams_crowded_total"]
                >= streams
        }
    });

    let grown = i64::try_from(resident_kib(i1)).unwrap() - i64::try_from(memory).unwrap();
    say(&format!("resident memory {memory} KiB, grown by {grown} KiB"));
    assert!(grown <= 8 * 1024, "grown by {grown} KiB");
    assert_eq!(sees(), before);
    for node in cluster.running() {
        assert!(!node.log().contains("panicked"), "{} panicked", node.name());
    }
    // It still does what it is for.
    i2.types("fact set i1 storage_tier=True");
    cluster.wait_for_tribes(&[("storage", &["i1", "i2"])]);
}
