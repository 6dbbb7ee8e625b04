//! No bytes from outside make a decoder or an engine panic, or a decoder hold more memory than they may cost,
//! whether they are sealed, sealed by a key holder who means harm, or neither.
//!
//! Bytes come from captured packets and messages and from samples of all variants, mutated, and from a
//! generator of random ones. The short form runs with all tests; the long one is
//!
//! ```text
//! TRIBE_WIRE_RUNS=10000000 cargo test -p snap-tribe --release --all-features --lib -- wire_bytes --nocapture
//! ```
//!
//! It prints its seed; `TRIBE_WIRE_SEED` repeats a run.

use super::{hostile::stranger, *};
use crate::{
    ClusterName, Key, Keyring, codec,
    engine::Agreed,
    limits,
    state::Record,
    swim,
    wire::{
        frame::{Datagram, Frame},
        fuzz,
        golden::{Captured, captured},
        noise::{NEWEST_VERSION, NoiseStream},
        samples,
    },
};

const RUNS: u64 = 200_000;
/// An engine is given up after so many runs.
const LIFE: u64 = 5000;

/// What is read is written as something that reads as the same.
fn reads_as_written<T>(bytes: &[u8]) -> bool
where
    T: serde::Serialize + serde::de::DeserializeOwned + PartialEq + std::fmt::Debug,
{
    let Ok(value) = fuzz::read_within(bytes, codec::decode::<T>) else { return false };
    let written = codec::encode(&value);
    assert!(
        written.len() <= bytes.len(),
        "{value:?} was written in more bytes than it was read from"
    );
    // A number that is not a number is not equal to itself.
    let again = codec::decode::<T>(&written).map(|again| codec::encode(&again));
    assert_eq!(again, Ok(written));
    true
}

/// Good bytes, by who reads them.
#[derive(Default)]
struct Good {
    sealed: Vec<Vec<u8>>,
    plain: Vec<Vec<u8>>,
    frames: Vec<Vec<u8>>,
    bodies: Vec<Vec<u8>>,
    packets: Vec<Vec<u8>>,
}

impl Good {
    fn new() -> Self {
        let mut good = Self {
            plain: samples::datagrams().bytes(),
            frames: samples::frames().bytes(),
            bodies: samples::bodies(),
            packets: swim::samples::samples().bytes(),
            ..Self::default()
        };
        for (_, capture) in captured() {
            match capture {
                Captured::Datagram { sealed: bytes, plain: content, .. } => {
                    good.sealed.push(bytes);
                    if let Ok(Datagram::Swim(packet)) = codec::decode(&content) {
                        good.packets.push(packet);
                    }
                    good.plain.push(content);
                }
                Captured::Frame(bytes) => good.frames.push(bytes),
            }
        }
        good
    }
}

#[test]
fn no_wire_bytes_make_a_decoder_or_an_engine_panic_or_a_decoder_hold_too_much() {
    let (runs, mut rng, good) = (fuzz::runs(RUNS), fuzz::chance(), Good::new());
    let now = Now { mono: Duration::from_secs(1), wall_ms: WALL_START_MS };
    let ring = Keyring::new(Key::from_bytes([9; 32]));
    let agreed = Agreed { key: ring.sealing_id(), version: NEWEST_VERSION };
    let cluster = ClusterName::parse("sim").unwrap();
    let from: SocketAddr = "10.0.0.1:6000".parse().unwrap();
    let hello = good.frames.iter().find(|frame| frame[0] == 0).unwrap();
    let mut engine = stranger(9, "sim", now);
    let mut understood = 0;
    for run in 0..runs {
        if run % LIFE == 0 {
            engine = stranger(9, "sim", now);
        }
        let which = rng.random_range(0..6);
        let pool =
            [&good.sealed, &good.plain, &good.frames, &good.frames, &good.bodies, &good.packets];
        let bytes = fuzz::hostile(&mut rng, pool[which]);
        match which {
            0 => {
                engine.handle_datagram(from, &bytes, now);
                let mut end = NoiseStream::responder(&ring, &cluster, [2; 32]);
                let _ = end.receive(&bytes);
                assert!(!end.is_proven());
                let mut end = NoiseStream::initiator(&ring, &cluster, [2; 32]).unwrap();
                let _ = end.receive(&bytes);
                assert!(!end.is_proven());
            }
            1 => {
                understood += u64::from(reads_as_written::<Datagram>(&bytes));
                if bytes.len() <= limits::DATAGRAM_BYTES {
                    engine.take_plain(from, bytes, now);
                }
            }
            4 => samples::read_bodies(&bytes),
            5 => swim::samples::read(&bytes),
            _ => {
                understood += u64::from(reads_as_written::<Frame>(&bytes));
                reads_as_written::<Record>(bytes.get(1..).unwrap_or_default());
                let stream = StreamId(1 << 63 | run);
                engine.handle_stream(StreamEvent::Accepted(stream, from, agreed), now);
                if rng.random_bool(0.9) {
                    engine.handle_stream(StreamEvent::Message(stream, hello.clone()), now);
                }
                engine.handle_stream(StreamEvent::Message(stream, bytes), now);
                engine.handle_stream(StreamEvent::Closed(stream, "over".to_owned()), now);
            }
        }
        while let Some(output) = engine.poll_output() {
            if let Output::Persist { upto, .. } = output {
                engine.handle_persisted(upto, now);
            }
        }
    }
    assert!(understood > runs / 100, "of {runs} only {understood} were understood");
}
