//! One sealed datagram: its header, sealing and opening. No state.
//!
//! ```text
//! 0      version 1 (high nibble), kind (low nibble)
//! 1..5   key id
//! 5..29  nonce: session id of the sender (16), counter, big-endian (8)
//! 29..   ciphertext, then the tag (16)
//! ```
//! XChaCha20-Poly1305. Associated data: the 29 bytes of the header, the cluster's name, and, not
//! sent, the session id of the receiver; zeros in a challenge, which is for any session.

use std::fmt;

use chacha20poly1305::{AeadInOut as _, KeyInit as _, Tag, XChaCha20Poly1305, XNonce};
use serde::{Deserialize, Serialize};

use super::checksum::{CHECKSUM_BYTES, checksum};
use crate::{ClusterName, KeyId, Keyring, limits};

/// Bytes of a header.
const HEADER_BYTES: usize = 29;
/// Bytes of a tag.
const TAG_BYTES: usize = CHECKSUM_BYTES;
/// What sealing adds to a datagram.
pub(crate) const OVERHEAD_BYTES: usize = HEADER_BYTES + TAG_BYTES;
/// The format we speak. A version has the high nibble of the first byte.
const VERSION: u8 = 1;

/// What a sender calls one life of its process: no two lives share one.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(crate) struct SessionId(pub(crate) [u8; 16]);

impl SessionId {
    /// Nobody's session: what a challenge is sealed to.
    pub(super) const ANY: Self = Self([0; 16]);
}

impl fmt::Debug for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", u128::from_be_bytes(self.0))
    }
}

/// What a datagram is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// It carries someone's bytes.
    Data,
    /// It asks who is there.
    Challenge,
    /// It answers a challenge.
    Response,
}

/// Why a datagram was dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum OpenError {
    /// Shorter than any datagram. Not from a peer. Nothing changed.
    #[error("{0} bytes are too few for a datagram")]
    TooShort(usize),
    /// Longer than any datagram. Not from a peer. Nothing changed.
    #[error("{0} bytes are too many for a datagram")]
    TooLong(usize),
    /// Of a version we do not speak: the peer is newer, or it is noise. Nothing changed.
    #[error("datagram of version {0}, expected {VERSION}")]
    UnknownVersion(u8),
    /// Of a kind we do not know: the peer is newer, or it is noise. Nothing changed.
    #[error("datagram of unknown kind {0}")]
    UnknownKind(u8),
    /// Sealed with a key we do not hold: the user has to give both sides one key. Nothing changed.
    #[error("datagram sealed with key `{theirs}`, ours is `{ours}`")]
    UnknownKey {
        /// The key of the sender.
        theirs: KeyId,
        /// The key we seal with.
        ours: KeyId,
    },
    /// Damaged, forged, of another cluster, or sealed to an earlier life of ours. The sender may
    /// have been challenged, so that it learns our session; nothing else changed.
    #[error("datagram fails authentication")]
    Unauthentic,
    /// Seen before, or too old to tell. Nothing changed.
    #[error("datagram is a replay")]
    Replayed,
    /// For us, but of a session its sender has not proved. The sender may have been challenged
    /// and the datagram held until it answers.
    #[error("datagram of an unknown session")]
    UnknownSession,
    /// Our own datagram came back. Nothing changed.
    #[error("our own datagram came back")]
    Reflected,
    /// An answer to no challenge of ours, or a late one. Nothing changed.
    #[error("answer to no challenge of ours")]
    UnexpectedResponse,
    /// A challenge from a stranger that we had no time to answer. Nothing changed.
    #[error("too many challenges from strangers")]
    Busy,
    /// A challenge or response of the wrong length: the peer's mistake. Nothing changed.
    #[error("malformed challenge or response")]
    Malformed,
}

/// The header of a datagram.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) kind: Kind,
    pub(super) key: KeyId,
    pub(super) session: SessionId,
    pub(super) counter: u64,
}

impl Header {
    /// Reads the header. Nothing in it is authentic yet.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, OpenError> {
        if bytes.len() > limits::DATAGRAM_BYTES {
            return Err(OpenError::TooLong(bytes.len()));
        }
        let too_short = || OpenError::TooShort(bytes.len());
        if bytes.len() < OVERHEAD_BYTES {
            return Err(too_short());
        }
        let (first, rest) = bytes.split_first().ok_or_else(too_short)?;
        let (key, rest) = rest.split_first_chunk().ok_or_else(too_short)?;
        let (session, rest) = rest.split_first_chunk().ok_or_else(too_short)?;
        let (counter, _) = rest.split_first_chunk().ok_or_else(too_short)?;
        if first >> 4 != VERSION {
            return Err(OpenError::UnknownVersion(first >> 4));
        }
        let kind = match first & 0x0F {
            0 => Kind::Data,
            1 => Kind::Challenge,
            2 => Kind::Response,
            other => return Err(OpenError::UnknownKind(other)),
        };
        Ok(Self {
            kind,
            key: KeyId::from_bytes(*key),
            session: SessionId(*session),
            counter: u64::from_be_bytes(*counter),
        })
    }

    fn write(&self, bytes: &mut Vec<u8>) {
        let kind = match self.kind {
            Kind::Data => 0,
            Kind::Challenge => 1,
            Kind::Response => 2,
        };
        bytes.push(VERSION << 4 | kind);
        bytes.extend_from_slice(&self.key.to_bytes());
        bytes.extend_from_slice(&self.nonce());
    }

    fn nonce(&self) -> [u8; 24] {
        let mut nonce = [0; 24];
        let parts = self.session.0.into_iter().chain(self.counter.to_be_bytes());
        nonce.iter_mut().zip(parts).for_each(|(to, from)| *to = from);
        nonce
    }

    /// What the tag covers beside the content.
    fn associated(&self, cluster: &ClusterName, receiver: &SessionId) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(HEADER_BYTES + limits::NAME_BYTES + 16);
        self.write(&mut bytes);
        bytes.extend_from_slice(cluster.as_str().as_bytes());
        bytes.extend_from_slice(&receiver.0);
        bytes
    }
}

/// Seals. `None` if the keyring lacks the header's key, which is our own mistake.
pub(super) fn seal(
    keyring: &Keyring,
    cluster: &ClusterName,
    header: &Header,
    receiver: &SessionId,
    plaintext: &[u8],
) -> Option<Vec<u8>> {
    let associated = header.associated(cluster, receiver);
    let mut bytes = Vec::with_capacity(OVERHEAD_BYTES + plaintext.len());
    header.write(&mut bytes);
    bytes.extend_from_slice(plaintext);
    let tag: [u8; TAG_BYTES] = if keyring.is_plaintext() {
        checksum(&[&associated, plaintext])
    } else {
        let content = bytes.get_mut(HEADER_BYTES..)?;
        XChaCha20Poly1305::new(keyring.find(header.key)?.bytes().into())
            .encrypt_inout_detached(&XNonce::from(header.nonce()), &associated, content.into())
            .ok()?
            .into()
    };
    bytes.extend_from_slice(&tag);
    Some(bytes)
}

/// Opens. `None` if the datagram is not exactly what was sealed for this receiver.
pub(super) fn open(
    keyring: &Keyring,
    cluster: &ClusterName,
    header: &Header,
    receiver: &SessionId,
    bytes: &[u8],
) -> Option<Vec<u8>> {
    let associated = header.associated(cluster, receiver);
    let (content, tag) = bytes.get(HEADER_BYTES..)?.split_last_chunk::<TAG_BYTES>()?;
    if keyring.is_plaintext() {
        return (checksum(&[&associated, content]) == *tag).then(|| content.to_vec());
    }
    let mut plaintext = content.to_vec();
    XChaCha20Poly1305::new(keyring.find(header.key)?.bytes().into())
        .decrypt_inout_detached(
            &XNonce::from(header.nonce()),
            &associated,
            plaintext.as_mut_slice().into(),
            &Tag::from(*tag),
        )
        .ok()?;
    Some(plaintext)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::Key;

    const RECEIVER: SessionId = SessionId([2; 16]);

    fn ring() -> Keyring {
        Keyring::new(Key::from_bytes([7; 32]))
    }

    fn cluster() -> ClusterName {
        ClusterName::parse("test").unwrap()
    }

    fn header(ring: &Keyring) -> Header {
        let key = ring.sealing_id();
        Header { kind: Kind::Data, key, session: SessionId([1; 16]), counter: 0x0102 }
    }

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    #[test]
    fn bytes_are_as_they_always_were() {
        let check = |ring: &Keyring, expected: &str| {
            let bytes = seal(ring, &cluster(), &header(ring), &RECEIVER, b"hello").unwrap();
            assert_eq!(hex(&bytes), expected);
            assert_eq!(bytes.len(), OVERHEAD_BYTES + 5);
        };
        check(
            &ring(),
            "102cded84e010101010101010101010101010101010000000000000102117589716ff0a1a4119f7bb02d4daedd71d3c85cf9",
        );
        check(
            &Keyring::plaintext(),
            "100000000001010101010101010101010101010101000000000000010268656c6c6fc220f3e582d941697921e03fe0700cd1",
        );
    }

    #[test]
    fn headers_say_what_they_are_not() {
        let check = |bytes: &[u8], expected| assert_eq!(Header::parse(bytes), Err(expected));
        check(&[0x10; 44], OpenError::TooShort(44));
        check(&[], OpenError::TooShort(0));
        check(&[0x10; 1401], OpenError::TooLong(1401));
        check(&[0x20; 45], OpenError::UnknownVersion(2));
        check(&[0x13; 45], OpenError::UnknownKind(3));
    }

    proptest! {
        #[test]
        fn what_is_sealed_opens_and_any_flipped_bit_is_rejected(
            plaintext in proptest::collection::vec(any::<u8>(), 0..100),
            at: proptest::sample::Index,
            bit in 0u8..8,
            sealed: bool,
        ) {
            let ring = if sealed { ring() } else { Keyring::plaintext() };
            let open = |bytes: &[u8]| {
                let header = Header::parse(bytes).ok()?;
                if !ring.opens(header.key) {
                    return None;
                }
                open(&ring, &cluster(), &header, &RECEIVER, bytes)
            };
            let mut bytes =
                seal(&ring, &cluster(), &header(&ring), &RECEIVER, &plaintext).unwrap();
            prop_assert_eq!(open(&bytes), Some(plaintext));
            for length in 0..bytes.len() {
                prop_assert_eq!(open(&bytes[..length]), None);
            }
            let at = at.index(bytes.len());
            bytes[at] ^= 1 << bit;
            prop_assert_eq!(open(&bytes), None);
        }

        #[test]
        fn no_bytes_make_opening_panic(
            mut bytes in proptest::collection::vec(any::<u8>(), 0..1500),
            shaped: bool,
        ) {
            if shaped && let Some(first) = bytes.first_mut() {
                *first = 0x10;
            }
            if let Ok(header) = Header::parse(&bytes) {
                prop_assert_eq!(open(&ring(), &cluster(), &header, &RECEIVER, &bytes), None);
            }
        }
    }

    #[test]
    fn another_cluster_or_receiver_cannot_open() {
        let (ring, header) = (ring(), header(&ring()));
        let bytes = seal(&ring, &cluster(), &header, &RECEIVER, b"hello").unwrap();
        let other = ClusterName::parse("other").unwrap();
        assert_eq!(open(&ring, &other, &header, &RECEIVER, &bytes), None);
        assert_eq!(open(&ring, &cluster(), &header, &SessionId::ANY, &bytes), None);
        assert!(open(&ring, &cluster(), &header, &RECEIVER, &bytes).is_some());
    }
}
