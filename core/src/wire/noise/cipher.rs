//! The handshake and the cipher of a stream: Noise as snow does it, or nothing, in plaintext.
//!
//! The only place that names snow.

use rand::{Rng as _, SeedableRng as _, rngs::StdRng};
use snow::{
    Builder, Error, HandshakeState, TransportState,
    params::{CipherChoice, DHChoice, HashChoice, NoiseParams},
    resolvers::{CryptoResolver, DefaultResolver},
    types::{Cipher, Dh, Hash, Random},
};

use super::{ANSWER_BYTES, HELLO_BYTES, StreamError};
use crate::{
    Key,
    wire::checksum::{CHECKSUM_BYTES, checksum},
};

/// The protocol, as Noise spells it.
const PROTOCOL: &str = "Noise_NNpsk0_25519_ChaChaPoly_BLAKE2s";
/// Bytes of a tag.
pub(super) const TAG_BYTES: usize = CHECKSUM_BYTES;
/// Most content of one frame: Noise has no longer messages.
pub(super) const CHUNK_BYTES: usize = u16::MAX as usize - TAG_BYTES;
/// Bytes of a public key.
const PUBLIC_BYTES: usize = HELLO_BYTES - TAG_BYTES;

/// A handshake under way.
pub(super) enum Handshake {
    /// The real one.
    Noise(Box<HandshakeState>),
    /// Plaintext: the same sizes, and it fails where the real one would.
    Plain(PlainStream),
}

impl Handshake {
    pub(super) fn initiator(
        key: Option<&Key>,
        prologue: &[u8],
        seed: &[u8; 32],
    ) -> Result<Self, StreamError> {
        let Some(key) = key else { return Ok(Self::plain(prologue, true)) };
        let noise = builder(key, prologue, seed).and_then(Builder::build_initiator);
        noise.map(|noise| Self::Noise(Box::new(noise))).map_err(ours)
    }

    pub(super) fn responder(
        key: Option<&Key>,
        prologue: &[u8],
        seed: &[u8; 32],
    ) -> Result<Self, StreamError> {
        let Some(key) = key else { return Ok(Self::plain(prologue, false)) };
        let noise = builder(key, prologue, seed).and_then(Builder::build_responder);
        noise.map(|noise| Self::Noise(Box::new(noise))).map_err(ours)
    }

    fn plain(prologue: &[u8], initiator: bool) -> Self {
        Self::Plain(PlainStream { prologue: prologue.to_vec(), initiator, sent: 0, received: 0 })
    }

    /// Adds our handshake message to `output`.
    pub(super) fn write(
        &mut self,
        content: &[u8],
        output: &mut Vec<u8>,
    ) -> Result<(), StreamError> {
        match self {
            Self::Noise(noise) => {
                let mut message = [0; ANSWER_BYTES];
                let length = noise.write_message(content, &mut message).map_err(ours)?;
                output.extend_from_slice(message.get(..length).ok_or(StreamError::Cipher)?);
            }
            Self::Plain(plain) => {
                output.extend_from_slice(&[0; PUBLIC_BYTES]);
                output.extend_from_slice(content);
                output.extend_from_slice(&plain.tag_sent(&[&[0; PUBLIC_BYTES], content].concat()));
            }
        }
        Ok(())
    }

    /// Opens the peer's handshake message and returns its content.
    pub(super) fn read(&mut self, message: &[u8]) -> Result<Vec<u8>, StreamError> {
        match self {
            Self::Noise(noise) => {
                let mut content = vec![0; message.len()];
                let length = noise.read_message(message, &mut content).map_err(theirs)?;
                content.truncate(length);
                Ok(content)
            }
            Self::Plain(plain) => {
                let content = plain.open(message)?;
                Ok(content.get(PUBLIC_BYTES..).ok_or(StreamError::Malformed)?.to_vec())
            }
        }
    }

    /// The handshake is done: now come frames.
    pub(super) fn finish(self) -> Result<Transport, StreamError> {
        Ok(match self {
            Self::Noise(noise) => {
                Transport::Noise(Box::new(noise.into_transport_mode().map_err(ours)?))
            }
            Self::Plain(plain) => Transport::Plain(plain),
        })
    }
}

/// The cipher after the handshake.
pub(super) enum Transport {
    /// The real one.
    Noise(Box<TransportState>),
    /// Plaintext.
    Plain(PlainStream),
}

impl Transport {
    /// Adds a frame to `output`. The content is at most [`CHUNK_BYTES`] long.
    pub(super) fn seal(&mut self, content: &[u8], output: &mut Vec<u8>) -> Result<(), StreamError> {
        let length = u16::try_from(content.len() + TAG_BYTES).map_err(|_| StreamError::Cipher)?;
        output.extend_from_slice(&length.to_be_bytes());
        match self {
            Self::Noise(noise) => {
                let begin = output.len();
                output.resize(begin + usize::from(length), 0);
                let frame = output.get_mut(begin..).ok_or(StreamError::Cipher)?;
                noise.write_message(content, frame).map_err(ours)?;
            }
            Self::Plain(plain) => {
                output.extend_from_slice(content);
                output.extend_from_slice(&plain.tag_sent(content));
            }
        }
        Ok(())
    }

    /// Opens a frame, without its length.
    pub(super) fn open(&mut self, frame: &[u8]) -> Result<Vec<u8>, StreamError> {
        match self {
            Self::Noise(noise) => {
                let mut content = vec![0; frame.len()];
                let length = noise.read_message(frame, &mut content).map_err(theirs)?;
                content.truncate(length);
                Ok(content)
            }
            Self::Plain(plain) => plain.open(frame).map(<[u8]>::to_vec),
        }
    }
}

/// A stream without encryption.
pub(super) struct PlainStream {
    prologue: Vec<u8>,
    initiator: bool,
    sent: u64,
    received: u64,
}

impl PlainStream {
    fn tag_sent(&mut self, content: &[u8]) -> [u8; TAG_BYTES] {
        self.sent += 1;
        self.tag(self.initiator, self.sent, content)
    }

    fn open<'a>(&mut self, bytes: &'a [u8]) -> Result<&'a [u8], StreamError> {
        self.received += 1;
        let (content, tag) = bytes.split_last_chunk().ok_or(StreamError::Malformed)?;
        if self.tag(!self.initiator, self.received, content) == *tag {
            Ok(content)
        } else {
            Err(StreamError::Unauthentic)
        }
    }

    fn tag(&self, by_initiator: bool, count: u64, content: &[u8]) -> [u8; TAG_BYTES] {
        let by = [u8::from(by_initiator)];
        checksum(&[&self.prologue, &by, &count.to_be_bytes(), content])
    }
}

fn builder<'a>(key: &'a Key, prologue: &'a [u8], seed: &[u8; 32]) -> Result<Builder<'a>, Error> {
    let params: NoiseParams = PROTOCOL.parse()?;
    Builder::with_resolver(params, Box::new(Seeded(*seed))).psk(0, key.bytes())?.prologue(prologue)
}

/// snow's own primitives, with randomness from a seed.
struct Seeded([u8; 32]);

impl CryptoResolver for Seeded {
    fn resolve_rng(&self) -> Option<Box<dyn Random>> {
        Some(Box::new(SeededRandom(StdRng::from_seed(self.0))))
    }

    fn resolve_dh(&self, choice: &DHChoice) -> Option<Box<dyn Dh>> {
        DefaultResolver.resolve_dh(choice)
    }

    fn resolve_hash(&self, choice: &HashChoice) -> Option<Box<dyn Hash>> {
        DefaultResolver.resolve_hash(choice)
    }

    fn resolve_cipher(&self, choice: &CipherChoice) -> Option<Box<dyn Cipher>> {
        DefaultResolver.resolve_cipher(choice)
    }
}

impl Drop for Seeded {
    fn drop(&mut self) {
        zeroize::Zeroize::zeroize(&mut self.0);
    }
}

struct SeededRandom(StdRng);

impl Random for SeededRandom {
    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Error> {
        self.0.fill_bytes(bytes);
        Ok(())
    }
}

fn ours(error: Error) -> StreamError {
    debug_assert!(false, "the cipher refuses what we give it: {error}");
    StreamError::Cipher
}

fn theirs(_: Error) -> StreamError {
    StreamError::Unauthentic
}
