//! How values become bytes. The only place that names bincode.
//!
//! The bytes are shared by all peers and by what is stored: varint integers, little-endian, no
//! names and no types. So a message is an enum whose variants only ever grow at the end, and a
//! type must not use serde's `flatten`, `untagged` or `skip_serializing_if`, and must not hold a
//! list of things that encode to nothing: its length would cost no bytes.

mod bounded;

use bincode::{
    config::standard,
    enc::write::Writer,
    error::{DecodeError as Cause, EncodeError},
};
use serde::{Serialize, de::DeserializeOwned};

use self::bounded::Bounded;
use crate::limits;

/// Why bytes are not a message. Nothing has changed; the bytes are the peer's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum DecodeError {
    /// There are more bytes than any message has.
    #[error("{0} bytes are more than a message has")]
    TooLong(usize),
    /// The message ends early.
    #[error("the message ends early")]
    Truncated,
    /// The bytes are no message we know.
    #[error("the message is malformed, or newer than this version")]
    Malformed,
    /// Bytes follow the message.
    #[error("{0} bytes follow the message")]
    Trailing(usize),
}

/// Encodes a message.
pub(crate) fn encode<T: Serialize>(message: &T) -> Vec<u8> {
    let mut bytes = Vec::new();
    encode_into(message, &mut bytes);
    bytes
}

/// Encodes a message behind what is there.
pub(crate) fn encode_into<T: Serialize>(message: &T, bytes: &mut Vec<u8>) {
    let before = bytes.len();
    if bincode::serde::encode_into_writer(message, Appender(bytes), standard()).is_err() {
        debug_assert!(false, "a type that cannot be encoded is our own mistake");
        bytes.truncate(before);
    }
}

/// Decodes a whole message.
///
/// # Errors
/// [`DecodeError`] if the bytes are not exactly one message.
pub(crate) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, DecodeError> {
    let (message, used) = decode_prefix(bytes)?;
    match bytes.len().saturating_sub(used) {
        0 => Ok(message),
        trailing => Err(DecodeError::Trailing(trailing)),
    }
}

/// Decodes the message at the beginning, and says how many bytes it took.
///
/// # Errors
/// [`DecodeError`] if the bytes do not begin with a message.
pub(crate) fn decode_prefix<T: DeserializeOwned>(bytes: &[u8]) -> Result<(T, usize), DecodeError> {
    if bytes.len() > limits::MESSAGE_BYTES {
        return Err(DecodeError::TooLong(bytes.len()));
    }
    let bounded = Bounded::by(bytes.len());
    let decoded = bincode::serde::seed_decode_from_slice(bounded, bytes, standard());
    decoded.map_err(|cause| match cause {
        Cause::UnexpectedEnd { .. } => DecodeError::Truncated,
        _ => DecodeError::Malformed,
    })
}

struct Appender<'a>(&'a mut Vec<u8>);

impl Writer for Appender<'_> {
    fn write(&mut self, bytes: &[u8]) -> Result<(), EncodeError> {
        self.0.extend_from_slice(bytes);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, net::SocketAddr};

    use proptest::prelude::*;
    use serde::Deserialize;

    use super::*;
    use crate::{NodeId, TribeName};

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    enum Sample {
        Nothing,
        Numbers(u8, u16, u32, u64, i64),
        Node { id: NodeId, address: SocketAddr, name: Option<TribeName> },
        Body(Vec<u8>),
        Map(BTreeMap<String, bool>),
    }

    fn check(sample: Sample, expected: &[u8]) {
        assert_eq!(encode(&sample), expected, "{sample:?}");
        assert_eq!(decode(expected), Ok(sample));
    }

    #[test]
    fn bytes_are_as_they_always_were() {
        check(Sample::Nothing, &[0]);
        check(
            Sample::Numbers(255, 250, 251, 65_536, -1),
            &[1, 255, 250, 251, 251, 0, 252, 0, 0, 1, 0, 1],
        );
        check(
            Sample::Node {
                id: NodeId(7),
                address: "10.0.0.1:6000".parse().unwrap(),
                name: Some(TribeName::parse("core").unwrap()),
            },
            b"\x02\x07\x00\x0a\x00\x00\x01\xfb\x70\x17\x01\x04core",
        );
        check(Sample::Body(vec![1, 2, 3]), &[3, 3, 1, 2, 3]);
        check(Sample::Map([("a".into(), true)].into()), b"\x04\x01\x01a\x01");
    }

    #[test]
    fn what_is_not_one_message_says_why() {
        let fails = |bytes: &[u8]| decode::<Sample>(bytes).unwrap_err();
        assert_eq!(fails(&[]), DecodeError::Truncated);
        assert_eq!(fails(&[3, 3, 1]), DecodeError::Truncated);
        assert_eq!(fails(&[0, 0]), DecodeError::Trailing(1));
        assert_eq!(fails(&[9]), DecodeError::Malformed);
        assert_eq!(fails(&vec![0; limits::MESSAGE_BYTES + 1]), DecodeError::TooLong(1_048_577));
        assert_eq!(decode_prefix::<Sample>(&[0, 0]), Ok((Sample::Nothing, 1)));
    }

    #[test]
    fn a_length_that_is_a_lie_is_refused_before_room_is_made_for_it() {
        fn check<T: DeserializeOwned + std::fmt::Debug>(before: &[u8], after: usize) {
            for length in [&[251, 255, 255][..], &[252, 255, 255, 255, 255], &[253; 9]] {
                let bytes = [before, length, &vec![0; after]].concat();
                let mut decoded = None;
                let held = allocation_counter::measure(|| decoded = Some(decode::<T>(&bytes)));
                assert_eq!(decoded.unwrap().err(), Some(DecodeError::Truncated));
                assert!(held.bytes_max <= 32 * bytes.len() as u64, "{held:?} of {}", bytes.len());
            }
        }
        for after in [0, 100, limits::DATAGRAM_BYTES] {
            check::<Sample>(&[3], after);
            check::<String>(&[], after);
            check::<bytes::Bytes>(&[], after);
            check::<Vec<u64>>(&[], after);
            check::<Vec<Option<Vec<u64>>>>(&[1, 1], after);
            check::<Vec<Sample>>(&[1, 3], after);
        }
    }

    #[test]
    fn the_longest_message_of_one_byte_numbers_decodes() {
        let numbers = vec![1u64; limits::MESSAGE_BYTES - 5];
        assert_eq!(decode::<Vec<u64>>(&encode(&numbers)).map(|n| n.len()), Ok(numbers.len()));
    }

    proptest! {
        #[test]
        fn no_bytes_make_decoding_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = decode::<Sample>(&bytes);
            let _ = decode_prefix::<BTreeMap<String, Sample>>(&bytes);
        }

        #[test]
        fn messages_round_trip(a: u8, b: u16, c: u32, d: u64, e: i64) {
            let sample = Sample::Numbers(a, b, c, d, e);
            prop_assert_eq!(decode(&encode(&sample)), Ok(sample));
        }
    }
}
