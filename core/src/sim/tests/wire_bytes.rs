//! No bytes from outside make a decoder or an engine panic, whether they are sealed, sealed by a key holder who
//! means harm, or neither.
//!
//! Bytes come from captured packets and messages, mutated, and from a generator of random ones. The short form runs
//! with all tests; the long one is
//!
//! ```text
//! TRIBE_WIRE_RUNS=10000000 cargo test -p snap-tribe --release --all-features --lib -- wire_bytes --nocapture
//! ```
//!
//! It prints its seed; `TRIBE_WIRE_SEED` repeats a run.

use std::hash::{BuildHasher as _, RandomState};

use rand::seq::IndexedRandom as _;

use super::{hostile::stranger, *};
use crate::{
    ClusterName, Key, Keyring, codec, limits,
    state::Record,
    wire::{
        frame::{Datagram, Frame},
        golden::{Captured, captured},
        noise::NoiseStream,
    },
};

const RUNS: u64 = 200_000;
/// An engine is given up after so many runs.
const LIFE: u64 = 5000;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// Changes bytes as an attacker would who knows what lengths and numbers look like.
fn mutate(rng: &mut StdRng, bytes: &mut Vec<u8>, others: &[Vec<u8>]) {
    for _ in 0..rng.random_range(1..5) {
        let at = rng.random_range(0..=bytes.len());
        let end = rng.random_range(at..=bytes.len().min(at + 16));
        match rng.random_range(0..8) {
            0 => bytes.truncate(at),
            1 => drop(bytes.drain(at..end)),
            2 => {
                let part = bytes[at..end].to_vec();
                bytes.splice(at..at, part);
            }
            3 => {
                let huge = [&[253][..], &u64::MAX.to_le_bytes()].concat();
                bytes.splice(at..end, huge);
            }
            4 => {
                let other = others.choose(rng).unwrap();
                bytes.truncate(at);
                bytes.extend_from_slice(&other[at.min(other.len())..]);
            }
            5 => {
                let odd = *[0, 1, 127, 128, 250, 251, 252, 253, 254, 255].choose(rng).unwrap();
                if let Some(byte) = bytes.get_mut(at) {
                    *byte = odd;
                }
            }
            6 => bytes.insert(at, rng.random()),
            _ => {
                if let Some(byte) = bytes.get_mut(at) {
                    *byte ^= 1 << rng.random_range(0..8);
                }
            }
        }
    }
}

/// What is read is written as something that reads as the same.
fn reads_as_written<T>(bytes: &[u8]) -> bool
where
    T: serde::Serialize + serde::de::DeserializeOwned + PartialEq + std::fmt::Debug,
{
    let Ok(value) = codec::decode::<T>(bytes) else { return false };
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

#[test]
fn no_wire_bytes_make_a_decoder_or_an_engine_panic() {
    let runs = number("TRIBE_WIRE_RUNS").unwrap_or(RUNS);
    let seed = number("TRIBE_WIRE_SEED").unwrap_or_else(|| RandomState::new().hash_one(()));
    eprintln!("TRIBE_WIRE_SEED={seed}");
    let mut rng = StdRng::seed_from_u64(seed);
    let (mut sealed, mut plain, mut frames) = (Vec::new(), Vec::new(), Vec::new());
    for (_, capture) in captured() {
        match capture {
            Captured::Datagram { sealed: bytes, plain: content, .. } => {
                sealed.push(bytes);
                plain.push(content);
            }
            Captured::Frame(bytes) => frames.push(bytes),
        }
    }
    let now = Now { mono: Duration::from_secs(1), wall_ms: WALL_START_MS };
    let ring = Keyring::new(Key::from_bytes([9; 32]));
    let cluster = ClusterName::parse("sim").unwrap();
    let from: SocketAddr = "10.0.0.1:6000".parse().unwrap();
    let mut engine = stranger(9, "sim", now);
    let mut understood = 0;
    for run in 0..runs {
        if run % LIFE == 0 {
            engine = stranger(9, "sim", now);
        }
        let which = rng.random_range(0..4);
        let pool = [&sealed, &plain, &frames, &frames][which];
        let mut bytes = if rng.random_bool(0.05) {
            (0..rng.random_range(0..300)).map(|_| rng.random()).collect()
        } else {
            pool.choose(&mut rng).unwrap().clone()
        };
        mutate(&mut rng, &mut bytes, pool);
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
            _ => {
                understood += u64::from(reads_as_written::<Frame>(&bytes));
                reads_as_written::<Record>(bytes.get(1..).unwrap_or_default());
                let stream = StreamId(1 << 63 | run);
                let hello = frames.iter().find(|frame| frame[0] == 0).unwrap().clone();
                engine.handle_stream(StreamEvent::Accepted(stream, from, ring.sealing_id()), now);
                if rng.random_bool(0.9) {
                    engine.handle_stream(StreamEvent::Message(stream, hello), now);
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
