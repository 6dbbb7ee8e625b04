//! A stream of messages between two holders of the cluster's key: Noise NNpsk0.
//!
//! ```text
//! initiator ──▶ oldest version, newest version, key id (4)      in clear, in the prologue
//!               handshake message (48)
//! responder ──▶ version chosen, handshake message (49: its content repeats the version)
//!           or  0, 1, oldest version, newest version            no common version
//!           or  0, 2, key id (4)                                a key we do not hold
//! both      ──▶ frames: length (2), ciphertext
//! ```
//! Numbers are big-endian. The contents of all frames together are one stream of bytes; in it
//! each message has its length (4) before it. A refusal is not authentic: it explains, no more.
//!
//! It must not know what a message means, and does no input or output: bytes go in by
//! [`NoiseStream::receive`] and come out by [`NoiseStream::take_output`]. Invariants: no message
//! comes out before it was authenticated whole; after an error nothing comes out any more; no
//! buffer grows beyond its limit.

use std::{collections::VecDeque, fmt};

use zeroize::Zeroizing;

use self::{
    cipher::{Handshake, Transport},
    message::Assembler,
};
use crate::{ClusterName, KeyId, Keyring, limits};

mod cipher;
mod message;
#[cfg(test)]
mod tests;

/// The versions of the stream protocol we speak.
const VERSIONS: Versions = Versions { oldest: 1, newest: NEWEST_VERSION };
/// The newest of them. From 2 on a node tells what it does not know of the past.
pub(crate) const NEWEST_VERSION: u8 = 2;
/// What the initiator says in clear.
const PREAMBLE_BYTES: usize = 6;
/// The initiator's handshake message: a public key and a tag.
const HELLO_BYTES: usize = 48;
/// The responder's handshake message: a public key, the version, a tag.
const ANSWER_BYTES: usize = 49;
/// What the prologue begins with.
const PROLOGUE_LABEL: &[u8] = b"tribe stream";
/// The version that stands for a refusal.
const REFUSED: u8 = 0;
/// Refused: no common version.
const REFUSED_VERSION: u8 = 1;
/// Refused: unknown key.
const REFUSED_KEY: u8 = 2;

/// A range of versions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Versions {
    /// The oldest one.
    pub(crate) oldest: u8,
    /// The newest one.
    pub(crate) newest: u8,
}

impl Versions {
    /// The newest version that both speak.
    fn common(self, other: Self) -> Option<u8> {
        let newest = self.newest.min(other.newest);
        (newest >= self.oldest.max(other.oldest) && newest != REFUSED).then_some(newest)
    }
}

impl fmt::Display for Versions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} to {}", self.oldest, self.newest)
    }
}

/// Why a stream failed. Unless it says otherwise, the stream is of no use any more: what
/// [`NoiseStream::take_output`] still has tells the peer why, then the connection is closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum StreamError {
    /// The peer is too old or too new: the user has to upgrade the older one.
    #[error("no common stream version: ours {ours}, theirs {theirs}")]
    NoCommonVersion {
        /// What we speak.
        ours: Versions,
        /// What the peer speaks.
        theirs: Versions,
    },
    /// One side does not hold the other's key: the user has to give both one key.
    #[error("the peer uses key `{theirs}`, ours is `{ours}`")]
    UnknownKey {
        /// The key of the peer.
        theirs: KeyId,
        /// The key we seal with.
        ours: KeyId,
    },
    /// Damaged or forged bytes, or a peer of another cluster.
    #[error("the peer's bytes fail authentication")]
    Unauthentic,
    /// The peer's bytes are no stream of ours: its mistake, or it is something else.
    #[error("the peer's bytes are not a stream")]
    Malformed,
    /// A message is larger than messages may be. If it is ours, nothing was sent and the stream
    /// goes on; if it is the peer's, the stream has failed.
    #[error("a message of {0} bytes is too large, at most {max}", max = limits::MESSAGE_BYTES)]
    TooLarge(usize),
    /// Too much waits to be taken: our own mistake. If it was being sent, nothing was sent and
    /// the stream goes on; if it was being received, the stream has failed.
    #[error("more than {max} bytes wait in the stream", max = limits::STREAM_BACKLOG_BYTES)]
    Backlog,
    /// The cipher does not take what it must take: our own mistake.
    #[error("the stream cipher failed")]
    Cipher,
}

/// One end of a stream.
pub(crate) struct NoiseStream {
    /// Until the key is chosen.
    keyring: Option<Keyring>,
    cluster: ClusterName,
    seed: Zeroizing<[u8; 32]>,
    versions: Versions,
    key: KeyId,
    version: Option<u8>,
    phase: Phase,
    transport: Option<Transport>,
    proven: bool,
    // INVARIANT: shorter than what `phase` waits for, which is at most one frame.
    inbox: Vec<u8>,
    assembler: Assembler,
    messages: VecDeque<Vec<u8>>,
    messages_bytes: usize,
    /// Content to be sealed once there is a transport.
    waiting: Vec<u8>,
    output: Vec<u8>,
}

/// What the stream waits for.
enum Phase {
    /// Responder: versions and key id.
    Preamble,
    /// Responder: the initiator's handshake message.
    Hello(Handshake),
    /// Initiator: the version chosen.
    Version(Handshake),
    /// Initiator: the responder's handshake message.
    Answer(Handshake, u8),
    /// Initiator: why it was refused.
    Refusal,
    /// Initiator: the responder's versions.
    RefusalVersions,
    /// Initiator: the responder's key.
    RefusalKey,
    /// The length of a frame.
    Length,
    /// A frame of this length.
    Frame(usize),
    /// Nothing.
    Failed(StreamError),
}

impl Phase {
    /// How many bytes it takes to go on; never none.
    fn bytes(&self) -> usize {
        match self {
            Self::Preamble => PREAMBLE_BYTES,
            Self::Hello(_) => HELLO_BYTES,
            Self::Answer(..) => ANSWER_BYTES,
            Self::Version(_) | Self::Refusal | Self::Failed(_) => 1,
            Self::RefusalVersions | Self::Length => 2,
            Self::RefusalKey => 4,
            Self::Frame(length) => *length,
        }
    }
}

impl NoiseStream {
    /// The end that opened the connection. It seals with the keyring's first key. The seed must
    /// be random and never used before: only a simulation may choose it.
    ///
    /// # Errors
    /// [`StreamError::Cipher`] if there is no such cipher, which is our own mistake.
    #[cfg(test)]
    pub(crate) fn initiator(
        keyring: &Keyring,
        cluster: &ClusterName,
        seed: [u8; 32],
    ) -> Result<Self, StreamError> {
        Self::initiator_of(VERSIONS, keyring, cluster, seed)
    }

    /// The same with any key of the keyring, be it one that was removed.
    ///
    /// # Errors
    /// [`StreamError::UnknownKey`] if the keyring has no such key: it may be gone since it was chosen.
    pub(crate) fn initiator_with(
        keyring: &Keyring,
        key: KeyId,
        cluster: &ClusterName,
        seed: [u8; 32],
    ) -> Result<Self, StreamError> {
        Self::initiator_by(VERSIONS, keyring, key, cluster, seed)
    }

    /// The end that accepted the connection. It takes any key of the keyring, and those that were removed a
    /// while ago: what a stream of such a key may carry is not decided here. The seed must be random and never used before: only a simulation may choose it.
    pub(crate) fn responder(keyring: &Keyring, cluster: &ClusterName, seed: [u8; 32]) -> Self {
        Self::new(VERSIONS, keyring, cluster, seed)
    }

    #[cfg(test)]
    fn initiator_of(
        versions: Versions,
        keyring: &Keyring,
        cluster: &ClusterName,
        seed: [u8; 32],
    ) -> Result<Self, StreamError> {
        Self::initiator_by(versions, keyring, keyring.sealing_id(), cluster, seed)
    }

    fn initiator_by(
        versions: Versions,
        keyring: &Keyring,
        key: KeyId,
        cluster: &ClusterName,
        seed: [u8; 32],
    ) -> Result<Self, StreamError> {
        // Without a key nothing would be encrypted.
        if !keyring.may_open(key) {
            return Err(StreamError::UnknownKey { theirs: key, ours: keyring.sealing_id() });
        }
        let mut stream = Self::new(versions, keyring, cluster, seed);
        stream.key = key;
        stream.output.extend([versions.oldest, versions.newest]);
        stream.output.extend(stream.key.to_bytes());
        let prologue = stream.prologue(&stream.output);
        let mut handshake = Handshake::initiator(keyring.admits(key), &prologue, &stream.seed)?;
        handshake.write(&[], &mut stream.output)?;
        stream.keyring = None;
        stream.phase = Phase::Version(handshake);
        Ok(stream)
    }

    fn new(versions: Versions, keyring: &Keyring, cluster: &ClusterName, seed: [u8; 32]) -> Self {
        Self {
            keyring: Some(keyring.clone()),
            cluster: cluster.clone(),
            seed: Zeroizing::new(seed),
            versions,
            key: keyring.sealing_id(),
            version: None,
            phase: Phase::Preamble,
            transport: None,
            proven: false,
            inbox: Vec::new(),
            assembler: Assembler::default(),
            messages: VecDeque::new(),
            messages_bytes: 0,
            waiting: Vec::new(),
            output: Vec::new(),
        }
    }

    /// Takes bytes that came from the peer, in pieces of any size.
    ///
    /// # Errors
    /// [`StreamError`] if the stream has failed, now or before.
    pub(crate) fn receive(&mut self, mut bytes: &[u8]) -> Result<(), StreamError> {
        loop {
            if let Phase::Failed(error) = self.phase {
                return Err(error);
            }
            let missing = self.phase.bytes().saturating_sub(self.inbox.len());
            let Some((now, later)) = bytes.split_at_checked(missing) else {
                self.inbox.extend_from_slice(bytes);
                return Ok(());
            };
            self.inbox.extend_from_slice(now);
            bytes = later;
            let mut unit = std::mem::take(&mut self.inbox);
            let phase = std::mem::replace(&mut self.phase, Phase::Length);
            self.phase = match self.step(phase, &unit) {
                Ok(next) => next,
                Err(error) => Phase::Failed(error),
            };
            unit.clear();
            self.inbox = unit;
        }
    }

    /// The next whole message of the peer.
    pub(crate) fn next_message(&mut self) -> Option<Vec<u8>> {
        let message = self.messages.pop_front()?;
        self.messages_bytes = self.messages_bytes.saturating_sub(message::cost(&message));
        Some(message)
    }

    /// Seals a message for the peer. Before the handshake is done it waits.
    ///
    /// # Errors
    /// [`StreamError::TooLarge`] and [`StreamError::Backlog`], after which the stream goes on
    /// without this message; or why the stream has failed.
    pub(crate) fn send(&mut self, message: &[u8]) -> Result<(), StreamError> {
        if let Phase::Failed(error) = self.phase {
            return Err(error);
        }
        if message.len() > limits::MESSAGE_BYTES {
            return Err(StreamError::TooLarge(message.len()));
        }
        if self.backlog() + message::cost(message) > limits::STREAM_BACKLOG_BYTES {
            return Err(StreamError::Backlog);
        }
        message::frame(message, &mut self.waiting)?;
        self.flush()
    }

    /// The bytes to be sent to the peer, also after an error.
    #[must_use]
    pub(crate) fn take_output(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.output)
    }

    /// How many bytes wait to be sent to the peer.
    pub(crate) fn backlog(&self) -> usize {
        self.output.len() + self.waiting.len()
    }

    /// Is the handshake done?
    pub(crate) fn is_established(&self) -> bool {
        self.transport.is_some() && !matches!(self.phase, Phase::Failed(_))
    }

    /// Did the peer prove that it holds the key, and is there now? The responder knows only from
    /// the first frame: the handshake message of an initiator may be a replay.
    pub(crate) fn is_proven(&self) -> bool {
        self.proven
    }

    /// The key of this stream, once it is established.
    pub(crate) fn key(&self) -> KeyId {
        self.key
    }

    /// The version of this stream; the oldest until it is chosen.
    pub(crate) fn version(&self) -> u8 {
        self.version.unwrap_or(self.versions.oldest)
    }

    /// Takes what `phase` was waiting for. Returns what to wait for now.
    fn step(&mut self, phase: Phase, unit: &[u8]) -> Result<Phase, StreamError> {
        match (phase, unit) {
            (Phase::Preamble, &[oldest, newest, a, b, c, d]) => {
                let key = KeyId::from_bytes([a, b, c, d]);
                self.on_preamble(Versions { oldest, newest }, key, unit)
            }
            (Phase::Hello(handshake), hello) => self.on_hello(handshake, hello),
            (Phase::Version(_), &[REFUSED]) => Ok(Phase::Refusal),
            (Phase::Version(handshake), &[version]) => {
                match (Versions { oldest: version, newest: version }).common(self.versions) {
                    Some(_) => Ok(Phase::Answer(handshake, version)),
                    None => Err(StreamError::Malformed),
                }
            }
            (Phase::Answer(handshake, version), answer) => {
                self.on_answer(handshake, version, answer)
            }
            (Phase::Refusal, &[REFUSED_VERSION]) => Ok(Phase::RefusalVersions),
            (Phase::Refusal, &[REFUSED_KEY]) => Ok(Phase::RefusalKey),
            (Phase::RefusalVersions, &[oldest, newest]) => {
                let theirs = Versions { oldest, newest };
                Err(StreamError::NoCommonVersion { ours: self.versions, theirs })
            }
            (Phase::RefusalKey, &[a, b, c, d]) => {
                let theirs = KeyId::from_bytes([a, b, c, d]);
                Err(StreamError::UnknownKey { theirs, ours: self.key })
            }
            (Phase::Length, &[high, low]) => {
                let length = usize::from(u16::from_be_bytes([high, low]));
                if length < cipher::TAG_BYTES {
                    return Err(StreamError::Malformed);
                }
                Ok(Phase::Frame(length))
            }
            (Phase::Frame(_), frame) => self.on_frame(frame),
            (Phase::Failed(error), _) => Err(error),
            _ => Err(StreamError::Malformed),
        }
    }

    fn on_preamble(
        &mut self,
        theirs: Versions,
        key: KeyId,
        preamble: &[u8],
    ) -> Result<Phase, StreamError> {
        let ours = self.versions;
        let Some(version) = theirs.common(ours) else {
            self.output.extend([REFUSED, REFUSED_VERSION, ours.oldest, ours.newest]);
            return Err(StreamError::NoCommonVersion { ours, theirs });
        };
        let keyring = self.keyring.take().ok_or(StreamError::Cipher)?;
        if !keyring.may_open(key) {
            self.output.extend([REFUSED, REFUSED_KEY]);
            self.output.extend(self.key.to_bytes());
            return Err(StreamError::UnknownKey { theirs: key, ours: self.key });
        }
        self.key = key;
        self.version = Some(version);
        let prologue = self.prologue(preamble);
        Ok(Phase::Hello(Handshake::responder(keyring.admits(key), &prologue, &self.seed)?))
    }

    fn on_hello(&mut self, mut handshake: Handshake, hello: &[u8]) -> Result<Phase, StreamError> {
        if !handshake.read(hello)?.is_empty() {
            return Err(StreamError::Malformed);
        }
        let version = self.version.ok_or(StreamError::Cipher)?;
        self.output.push(version);
        handshake.write(&[version], &mut self.output)?;
        self.establish(handshake)
    }

    fn on_answer(
        &mut self,
        mut handshake: Handshake,
        version: u8,
        answer: &[u8],
    ) -> Result<Phase, StreamError> {
        // The version in clear could have been lowered on the way; this one could not.
        if handshake.read(answer)? != [version] {
            return Err(StreamError::Unauthentic);
        }
        self.version = Some(version);
        self.proven = true;
        self.establish(handshake)
    }

    fn establish(&mut self, handshake: Handshake) -> Result<Phase, StreamError> {
        self.transport = Some(handshake.finish()?);
        self.flush()?;
        Ok(Phase::Length)
    }

    fn on_frame(&mut self, frame: &[u8]) -> Result<Phase, StreamError> {
        let content = self.transport.as_mut().ok_or(StreamError::Cipher)?.open(frame)?;
        self.proven = true;
        let mut content = content.as_slice();
        while let Some(message) = self.assembler.take(&mut content)? {
            self.messages_bytes += message::cost(&message);
            if self.messages_bytes > limits::STREAM_BACKLOG_BYTES {
                return Err(StreamError::Backlog);
            }
            self.messages.push_back(message);
        }
        Ok(Phase::Length)
    }

    /// Seals what waits, if there is a transport.
    fn flush(&mut self) -> Result<(), StreamError> {
        let Some(transport) = &mut self.transport else { return Ok(()) };
        let waiting = std::mem::take(&mut self.waiting);
        for chunk in waiting.chunks(cipher::CHUNK_BYTES) {
            if let Err(error) = transport.seal(chunk, &mut self.output) {
                self.phase = Phase::Failed(error);
                return Err(error);
            }
        }
        Ok(())
    }

    fn prologue(&self, preamble: &[u8]) -> Vec<u8> {
        [PROLOGUE_LABEL, self.cluster.as_str().as_bytes(), preamble].concat()
    }
}

impl fmt::Debug for NoiseStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NoiseStream")
            .field("key", &self.key)
            .field("version", &self.version)
            .field("established", &self.is_established())
            .field("proven", &self.proven)
            .finish_non_exhaustive()
    }
}
