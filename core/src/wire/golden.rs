//! Packets captured from real engines by an earlier build, which every later one reads and writes alike.
//!
//! `TRIBE_UPDATE_CAPTURES=1 cargo test -p snap-tribe --all-features --lib -- captures_for_later` adds a file for a
//! new version of the format; files of versions that were released stay as they are.

use super::{
    datagram::{self, Header, SessionId},
    frame::{Datagram, Frame},
};
use crate::{ClusterName, Key, Keyring, codec};

/// What was captured from nodes with the key of 32 nines in the cluster `sim`.
const CAPTURED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/wire/v1.txt");

/// A captured datagram or message.
pub(crate) enum Captured {
    Datagram { receiver: [u8; 16], sealed: Vec<u8>, plain: Vec<u8> },
    Frame(Vec<u8>),
}

fn unhex(text: &str) -> Vec<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16).unwrap();
    let pairs = text.as_bytes().chunks(2);
    pairs.map(|pair| u8::try_from(digit(pair[0]) << 4 | digit(pair[1])).unwrap()).collect()
}

/// All that was captured, with its kind.
pub(crate) fn captured() -> Vec<(String, Captured)> {
    let read = |line: &str| {
        let words: Vec<_> = line.split(' ').collect();
        match words.as_slice() {
            ["datagram", kind, receiver, sealed, plain] => {
                let receiver = unhex(receiver).try_into().unwrap();
                (
                    kind.to_string(),
                    Captured::Datagram { receiver, sealed: unhex(sealed), plain: unhex(plain) },
                )
            }
            ["frame", kind, bytes] => (kind.to_string(), Captured::Frame(unhex(bytes))),
            _ => panic!("no capture: {line}"),
        }
    };
    std::fs::read_to_string(CAPTURED).unwrap().lines().map(read).collect()
}

#[test]
fn captured_bytes_are_read_and_written_as_they_always_were() {
    let ring = Keyring::new(Key::from_bytes([9; 32]));
    let cluster = ClusterName::parse("sim").unwrap();
    let all = captured();
    assert!(all.len() > 20, "{} captures", all.len());
    for (kind, captured) in all {
        match captured {
            Captured::Datagram { receiver, sealed, plain } => {
                let (header, receiver) = (Header::parse(&sealed).unwrap(), SessionId(receiver));
                let opened = datagram::open(&ring, &cluster, &header, &receiver, &sealed);
                assert_eq!(opened.as_ref(), Some(&plain), "{kind}");
                let again = datagram::seal(&ring, &cluster, &header, &receiver, &plain);
                assert_eq!(again, Some(sealed), "{kind}");
                if header.kind == datagram::Kind::Data {
                    let datagram: Datagram = codec::decode(&plain).unwrap();
                    assert_eq!(codec::encode(&datagram), plain, "{kind}");
                }
            }
            Captured::Frame(bytes) => {
                let frame: Frame = codec::decode(&bytes).unwrap();
                assert_eq!(codec::encode(&frame), bytes, "{kind}");
            }
        }
    }
}
