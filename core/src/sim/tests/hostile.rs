//! Bytes of real engines, played again, damaged, cut short and sent to others: nothing but counters changes.

use super::*;
use crate::{
    ClusterName, Facts, Key, Keyring, codec,
    engine::inspect,
    wire::{frame::Frame, noise::NoiseStream},
};

/// A datagram as it was on its way.
#[derive(Clone)]
struct Packet {
    kind: String,
    from: SocketAddr,
    to: usize,
    bytes: Vec<u8>,
    /// What is in it, and the session it is sealed to.
    plain: Vec<u8>,
    session: [u8; 16],
}

/// What went over the network.
#[derive(Default)]
struct Capture {
    packets: BTreeMap<String, Vec<Packet>>,
    frames: BTreeMap<String, Vec<Vec<u8>>>,
}

/// So many of each kind are kept.
const EACH: usize = 2;
const HEADER_BYTES: usize = 29;

fn keep<T>(map: &mut BTreeMap<String, Vec<T>>, kind: String, value: T) {
    let of = map.entry(kind).or_default();
    if of.len() >= EACH {
        // The last ones matter: what was captured last is what the nodes still know.
        of.remove(0);
    }
    of.push(value);
}

impl Capture {
    /// Lets time pass and listens.
    fn run_for(&mut self, sim: &mut Sim, time: Duration) {
        let until = sim.now + time;
        while let Some(next) = sim.next_within(until) {
            sim.now = next.at;
            match &next.happening {
                Happening::Datagram { to, from, bytes } => self.hear(sim, *from, *to, bytes),
                Happening::Delivery { link, to } => {
                    if let Some(bytes) = sim.links.coming(*link, *to)
                        && let Ok(frame) = codec::decode::<Frame>(&bytes)
                    {
                        keep(&mut self.frames, inspect::variant(&frame), bytes);
                    }
                }
                _ => {}
            }
            sim.happen(next.happening);
        }
        sim.now = until;
    }

    fn hear(&mut self, sim: &Sim, from: SocketAddr, to: SocketAddr, bytes: &[u8]) {
        // What a split swallows was never heard, so it would be heard for the first time.
        if !sim.network.reaches(from, to) {
            return;
        }
        let to = sim.by_address[&to];
        let Some(engine) = sim.engine(to).filter(|_| sim.nodes[to].address != from) else { return };
        let (plain, mut session) = (engine.unsealed(bytes), engine.session());
        let (kind, plain) = match (bytes[0] & 0x0F, plain) {
            (0, Some(plain)) => (inspect::kind(&plain), plain),
            (1, plain) => {
                session = [0; 16];
                ("Challenge".to_owned(), plain.unwrap_or_default())
            }
            (2, Some(plain)) => ("Response".to_owned(), plain),
            _ => return,
        };
        let bytes = bytes.to_vec();
        let packet = Packet { kind: kind.clone(), from, to, bytes, plain, session };
        keep(&mut self.packets, kind, packet);
    }
}

/// Ten nodes through much of what can happen to nodes.
fn lively() -> (Sim, Capture) {
    let mut config = SimConfig::new(seed(11), 10);
    config.loss = 0.05;
    let (mut sim, mut capture) = (Sim::new(config), Capture::default());
    capture.run_for(&mut sim, MINUTE);
    for number in 0..12 {
        let name = tribe(&format!("t{number}"));
        let description = "x".repeat(80 * number);
        let ticket = sim.submit(number % 3, Command::CreateTribe { tribe: name, description });
        capture.run_for(&mut sim, Duration::from_secs(1));
        if let Some(Ok(Reply::Written(written))) = sim.reply(number % 3, ticket) {
            sim.submit(number % 3, Command::Wait { written, timeout_ms: 2000 });
        }
    }
    sim.pause(3, Duration::from_secs(4));
    sim.set_node_loss(2, 0.4);
    capture.run_for(&mut sim, MINUTE);
    sim.partition([0, 1]);
    capture.run_for(&mut sim, MINUTE / 2);
    sim.heal();
    sim.crash(3);
    capture.run_for(&mut sim, MINUTE);
    sim.restart(3, true);
    sim.set_loss(0.0);
    capture.run_for(&mut sim, 2 * MINUTE);
    (sim, capture)
}

/// Counters that say why a datagram was dropped, or that a challenge was answered.
fn verdicts(engine: &Engine) -> BTreeMap<&'static str, u64> {
    let counts = |name: &str| {
        name.starts_with("tribe_datagrams_dropped_") || name == "tribe_responses_sent_total"
    };
    let counters = engine.metrics().filter(|metric| counts(metric.name));
    counters.map(|counter| (counter.name, counter.value)).collect()
}

/// Hands bytes to an engine: one verdict is counted, one of these, and nothing else happens.
fn take(engine: &mut Engine, now: Now, from: SocketAddr, bytes: &[u8], may: &[&str], what: &str) {
    let (before, counted) = (engine.everything(now), verdicts(engine));
    engine.handle_datagram(from, bytes, now);
    while let Some(output) = engine.poll_output() {
        // A challenge or a response goes out: it is small, and says nothing.
        let Output::Send { bytes: sent, .. } = &output else { panic!("{what}: {output:?}") };
        assert!(matches!(sent[0] & 0x0F, 1 | 2) && sent.len() == 61, "{what}: {output:?}");
    }
    assert_eq!(engine.everything(now), before, "{what}");
    let rose: Vec<_> = verdicts(engine)
        .into_iter()
        .filter(|(name, count)| *count > counted[name])
        .map(|(name, count)| (name, count - counted[name]))
        .collect();
    let [(name, 1)] = rose.as_slice() else { panic!("{what}: {rose:?}") };
    let short = name.strip_prefix("tribe_datagrams_dropped_").unwrap_or(name);
    assert!(may.contains(&short.trim_end_matches("_total")), "{what}: {name}");
}

/// The same at a node of a simulation.
fn take_at(sim: &mut Sim, node: usize, packet: &Packet, bytes: &[u8], may: &[&str], what: &str) {
    let now = sim.clock(node);
    let engine = sim.nodes[node].engine.as_mut().unwrap();
    take(engine, now, packet.from, bytes, may, &format!("{} at {node}: {what}", packet.kind));
}

pub(super) fn stranger(key: u8, cluster: &str, now: Now) -> Engine {
    let config = EngineConfig {
        id: NodeId(99),
        name: node("stranger"),
        cluster: ClusterName::parse(cluster).unwrap(),
        address: "10.9.9.9:6000".parse().unwrap(),
        version: "sim/1".to_owned(),
        keyring: Keyring::new(Key::from_bytes([key; 32])),
        epoch: 1,
        has_seeds: false,
        host_facts: Facts::new(),
        start_facts: Facts::new(),
        hold_down: Duration::ZERO,
        tombstone_age: limits::TOMBSTONE_AGE,
        broadcasts: true,
    };
    let mut engine = Engine::new(config, [key; 32], Saved::default(), now);
    while engine.poll_output().is_some() {}
    engine
}

const KINDS: &[&str] = &[
    "Challenge",
    "Response",
    "SwimPing",
    "SwimAck",
    "SwimGossip",
    "SwimPingReq",
    "Check",
    "CheckReply",
    "Holds",
    "Held",
    "Vouch",
    "Vouched",
    "Watch",
    "Watched",
    "Doubt",
    "Objection",
];

#[test]
fn captured_datagrams_have_no_effect_a_second_time() {
    let (mut sim, capture) = lively();
    let found: Vec<_> = capture.packets.keys().map(String::as_str).collect();
    let missing: Vec<_> = KINDS.iter().filter(|kind| !found.contains(kind)).collect();
    assert!(missing.is_empty(), "captured {found:?}, not {missing:?}");
    let packets: Vec<Packet> = capture.packets.into_values().flatten().collect();

    for packet in &packets {
        let challenge = packet.kind == "Challenge";
        let again: &[&str] = &[
            "replayed",
            // Of a life of its sender or receiver that is over.
            "unknown_session",
            "unauthentic",
            // An answer that came already.
            "unexpected_response",
        ];
        // A challenge may be for anyone: one that is not answered already is, which teaches nothing.
        let anyone: &[&str] =
            if challenge { &["tribe_responses_sent", "replayed"] } else { &["unauthentic"] };
        let again: &[&str] = if challenge { anyone } else { again };
        take_at(&mut sim, packet.to, packet, &packet.bytes, again, "again");
        let others =
            (0..4).filter(|node| *node != packet.to && sim.nodes[*node].address != packet.from);
        for other in others.collect::<Vec<_>>() {
            take_at(&mut sim, other, packet, &packet.bytes, anyone, "at another node");
        }
        let sender = sim.by_address[&packet.from];
        let may: &[&str] = &["reflected", "unauthentic", "tribe_responses_sent", "replayed"];
        take_at(&mut sim, sender, packet, &packet.bytes, may, "back at its sender");
        let now = sim.clock(0);
        let (key, bytes) = (&["unknown_key"], &packet.bytes);
        take(&mut stranger(8, "sim", now), now, packet.from, bytes, key, "another key");
        let forged = &["unauthentic"];
        take(&mut stranger(9, "other", now), now, packet.from, bytes, forged, "another cluster");
    }
    for packet in packets.iter().filter(|packet| packet.kind != "Challenge") {
        sim.restart(packet.to, true);
        take_at(&mut sim, packet.to, packet, &packet.bytes, &["unauthentic"], "receiver restarted");
        let sender = sim.by_address[&packet.from];
        sim.restart(sender, true);
        take_at(&mut sim, packet.to, packet, &packet.bytes, &["unauthentic"], "both restarted");
    }
    converge(&mut sim, 2 * MINUTE, "all as before");
    assert_eq!(sim.view(0).members.len(), 10);
}

#[test]
fn captured_datagrams_have_no_effect_after_the_key_was_exchanged() {
    let (mut sim, capture) = lively();
    keys::rotate(&mut sim, 0, 1);
    sim.run_for(MINUTE);
    for packet in capture.packets.values().flatten() {
        take_at(&mut sim, packet.to, packet, &packet.bytes, &["unknown_key"], "key exchanged");
    }
    converge(&mut sim, 2 * MINUTE, "all as before");
}

#[test]
fn captured_datagrams_of_a_sender_that_restarted_have_no_effect() {
    let (mut sim, mut capture) = lively();
    for sender in 0..10 {
        sim.restart(sender, true);
        for packet in capture.packets.values().flatten() {
            if sim.by_address[&packet.from] != sender {
                continue;
            }
            let may = &[
                "replayed",
                "unknown_session",
                "unauthentic",
                "unexpected_response",
                "tribe_responses_sent",
            ];
            take_at(&mut sim, packet.to, packet, &packet.bytes, may, "sender restarted");
        }
        capture.run_for(&mut sim, MINUTE);
    }
    converge(&mut sim, 2 * MINUTE, "all as before");
}

#[test]
fn damaged_and_cut_datagrams_have_no_effect() {
    let (mut sim, capture) = lively();
    for packet in capture.packets.values().filter_map(|of| of.last()) {
        for bit in 0..HEADER_BYTES * 8 {
            let mut bytes = packet.bytes.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            let may: &[&str] = match bit / 8 {
                0 if bit % 8 >= 4 => &["unknown_version"],
                0 => &["unknown_kind", "unauthentic"],
                1..5 => &["unknown_key"],
                _ => &["unauthentic"],
            };
            take_at(&mut sim, packet.to, packet, &bytes, may, &format!("bit {bit} flipped"));
        }
        for at in HEADER_BYTES..packet.bytes.len() {
            let mut bytes = packet.bytes.clone();
            bytes[at] ^= 1 << (at % 8);
            take_at(&mut sim, packet.to, packet, &bytes, &["unauthentic"], "body flipped");
        }
        for length in 0..packet.bytes.len() {
            let may: &[&str] = if length < 45 { &["too_short"] } else { &["unauthentic"] };
            let bytes = &packet.bytes[..length];
            take_at(&mut sim, packet.to, packet, bytes, may, &format!("cut to {length}"));
        }
        let longer = [packet.bytes.as_slice(), &[0]].concat();
        take_at(&mut sim, packet.to, packet, &longer, &["unauthentic"], "one byte more");
        let longest = [packet.bytes.as_slice(), &[0; 1400]].concat();
        take_at(&mut sim, packet.to, packet, &longest, &["too_long"], "far too long");
    }
    converge(&mut sim, 2 * MINUTE, "all as before");
}

/// All that the initiator of a stream says, in what it says before and after the answer.
fn recorded(frame: &[u8]) -> (NoiseStream, [Vec<u8>; 2]) {
    let (ring, cluster) =
        (Keyring::new(Key::from_bytes([9; 32])), ClusterName::parse("sim").unwrap());
    let mut one = NoiseStream::initiator(&ring, &cluster, [1; 32]).unwrap();
    let mut other = NoiseStream::responder(&ring, &cluster, [2; 32]);
    one.send(frame).unwrap();
    let hello = one.take_output();
    other.receive(&hello).unwrap();
    one.receive(&other.take_output()).unwrap();
    (other, [hello, one.take_output()])
}

#[test]
fn captured_frames_come_out_of_their_own_stream_only_and_whole() {
    let (_, capture) = lively();
    let (ring, cluster) =
        (Keyring::new(Key::from_bytes([9; 32])), ClusterName::parse("sim").unwrap());
    for (kind, frame) in capture.frames.iter().filter_map(|(kind, of)| Some((kind, of.last()?))) {
        let (mut own, [hello, sealed]) = recorded(frame);
        own.receive(&sealed).unwrap();
        assert_eq!(own.next_message().as_ref(), Some(frame), "{kind}");
        assert!(own.receive(&sealed).is_err(), "{kind}: again on its own stream");
        assert_eq!(own.next_message(), None);

        let replay = |ring: &Keyring, cluster: &ClusterName, seed| {
            let mut other = NoiseStream::responder(ring, cluster, seed);
            let result = other.receive(&hello).and_then(|()| other.receive(&sealed));
            assert!(result.is_err() && !other.is_proven(), "{kind}");
            assert_eq!(other.next_message(), None, "{kind}");
        };
        replay(&ring, &cluster, [3; 32]);
        replay(&ring, &ClusterName::parse("other").unwrap(), [2; 32]);
        replay(&Keyring::new(Key::from_bytes([8; 32])), &cluster, [2; 32]);

        let step = (sealed.len() / 200).max(1);
        for at in (0..sealed.len()).step_by(step) {
            let (mut end, [_, mut sealed]) = recorded(frame);
            let _ = end.receive(&sealed[..at]);
            assert_eq!(end.next_message(), None, "{kind}: cut to {at}");
            let (mut end, _) = recorded(frame);
            sealed[at] ^= 1 << (at % 8);
            let _ = end.receive(&sealed);
            assert!(end.next_message().is_none_or(|message| message != *frame), "{kind}");
        }
        for at in 0..hello.len() {
            let mut hello = hello.clone();
            hello[at] ^= 1 << (at % 8);
            let mut end = NoiseStream::responder(&ring, &cluster, [2; 32]);
            let _ = end.receive(&hello).and_then(|()| end.receive(&sealed));
            assert!(!end.is_proven() && end.next_message().is_none(), "{kind}: hello {at}");
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn captures_for_later_builds_can_be_made() {
    let (_, capture) = lively();
    let datagrams = capture.packets.values().flatten().map(|packet| {
        let Packet { kind, session, bytes, plain, .. } = packet;
        format!("datagram {kind} {} {} {}\n", hex(session), hex(bytes), hex(plain))
    });
    let frames = capture.frames.iter().flat_map(|(kind, of)| of.iter().map(move |of| (kind, of)));
    let small = frames.filter(|(_, frame)| frame.len() < 8192);
    let frames = small.map(|(kind, frame)| format!("frame {kind} {}\n", hex(frame)));
    let text: String = datagrams.chain(frames).collect();
    assert!(text.lines().count() > 20 && text.len() < 300 * 1024, "{} bytes", text.len());
    if std::env::var_os("TRIBE_UPDATE_CAPTURES").is_some() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/wire/v1.txt");
        std::fs::write(path, text).unwrap();
    }
}
