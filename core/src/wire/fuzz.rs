//! Hostile bytes for decoders: made of good ones, with a seed that is printed, and how much memory they may cost.

use std::hash::{BuildHasher as _, RandomState};

use rand::{RngExt as _, SeedableRng as _, rngs::StdRng, seq::IndexedRandom as _};

/// A decoder may hold this many bytes for each byte it is given: records and keys, the largest elements of
/// lists, take some 150 and are read from two at least, and a list that grows is there twice.
const EACH_BYTE: usize = 256;
/// And this many for whatever it is given: errors have texts.
const ANY_BYTES: usize = 4096;

/// How many inputs are tried: these, or `TRIBE_WIRE_RUNS`.
pub(crate) fn runs(short: u64) -> u64 {
    number("TRIBE_WIRE_RUNS").unwrap_or(short)
}

/// Chance, from `TRIBE_WIRE_SEED` or a seed that is printed.
pub(crate) fn chance() -> StdRng {
    let seed = number("TRIBE_WIRE_SEED").unwrap_or_else(|| RandomState::new().hash_one(()));
    eprintln!("TRIBE_WIRE_SEED={seed}");
    StdRng::seed_from_u64(seed)
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// One of these, changed, or random bytes.
pub(crate) fn hostile(rng: &mut StdRng, good: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = if rng.random_bool(0.05) {
        (0..rng.random_range(0..300)).map(|_| rng.random()).collect()
    } else {
        good.choose(rng).unwrap().clone()
    };
    mutate(rng, &mut bytes, good);
    bytes
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
            3 => drop(bytes.splice(at..end, huge(rng))),
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

/// A number as the codec has it that is too large for a length, by little or by much.
fn huge(rng: &mut StdRng) -> Vec<u8> {
    match rng.random_range(0..3) {
        0 => [&[251][..], &rng.random::<u16>().to_le_bytes()].concat(),
        1 => [&[252][..], &rng.random::<u32>().to_le_bytes()].concat(),
        _ => [&[253][..], &u64::MAX.to_le_bytes()].concat(),
    }
}

/// Reads bytes, and sees to it that no more memory is held meanwhile than they may cost.
pub(crate) fn read_within<'a, T>(bytes: &'a [u8], read: impl FnOnce(&'a [u8]) -> T) -> T {
    let mut value = None;
    let held = allocation_counter::measure(|| value = Some(read(bytes))).bytes_max;
    let most = EACH_BYTE * bytes.len() + ANY_BYTES;
    assert!(held <= most as u64, "{} bytes were read in {held} bytes: {bytes:02x?}", bytes.len());
    value.unwrap()
}

#[test]
fn what_is_held_while_bytes_are_read_is_seen() {
    let held = |room: usize| {
        let read = || read_within(&[0; 100], |_| drop(std::hint::black_box(vec![0_u8; room])));
        std::panic::catch_unwind(read).is_ok()
    };
    assert!(held(EACH_BYTE * 100));
    assert!(!held(EACH_BYTE * 100 + ANY_BYTES + 1));
}
