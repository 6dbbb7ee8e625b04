//! Keys: what seals the cluster's traffic, and how a key is shown without showing it.
//!
//! Everybody of a cluster holds the same key. While keys are exchanged a node holds several: the
//! first one seals, all of them open. A key is named by its fingerprint, four bytes that go in
//! clear with everything it seals, so that a wrong key has a name instead of being noise.
//!
//! Invariants: key bytes never reach `Debug`, `Display` or an error, and are zeroized on drop;
//! no two keys of a keyring have the same fingerprint. There is no randomness here: whoever makes
//! a key brings its bytes.
//!
//! ```
//! use tribe::{Key, Keyring};
//! let key = Key::from_bytes([7; 32]);
//! let ring = Keyring::from_text(&format!("# ours\n{}\n", *key.to_base64()))?;
//! assert_eq!(ring.sealing_id(), key.id());
//! # Ok::<(), tribe::KeyringError>(())
//! ```

use std::{fmt, str::FromStr};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use blake2::{
    Blake2sMac256,
    digest::{FixedOutput as _, KeyInit as _, Update as _},
};
use serde::{Deserialize, Serialize};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::limits;

#[cfg(feature = "runtime")]
mod file;

#[cfg(feature = "runtime")]
pub use file::{KeyFileError, generate_key, read_key_file};

/// Length of a key, in bytes.
const KEY_BYTES: usize = 32;
/// What is hashed under a key to get its fingerprint.
const FINGERPRINT_LABEL: &[u8] = b"tribe key id";

/// The fingerprint of a key. It says nothing about the key and goes in clear.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct KeyId([u8; 4]);

impl KeyId {
    /// The id that stands for "not sealed at all". No key has it.
    pub const PLAINTEXT: Self = Self([0; 4]);

    /// An id from the wire.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 4]) -> Self {
        Self(bytes)
    }

    /// The id as on the wire.
    #[must_use]
    pub const fn to_bytes(self) -> [u8; 4] {
        self.0
    }
}

impl FromStr for KeyId {
    type Err = KeyIdError;

    /// Reads an id as it is shown: eight hexadecimal digits.
    fn from_str(text: &str) -> Result<Self, KeyIdError> {
        let digits = text.len() == 8 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        let number = digits.then(|| u32::from_str_radix(text, 16).ok()).flatten();
        match number {
            None | Some(0) => Err(KeyIdError),
            Some(number) => Ok(Self(number.to_be_bytes())),
        }
    }
}

/// A text is not the fingerprint of a key. The text is the user's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "not the fingerprint of a key: expected eight hexadecimal digits, as `key list` shows them"
)]
pub struct KeyIdError;

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}", u32::from_be_bytes(self.0))
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Why a text is not a key. Nothing has changed; the text is the user's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// The text is not base64.
    #[error("not a key: expected 32 bytes in base64, one line of 44 characters ending in `=`")]
    Base64,
    /// The text is base64 of something else.
    #[error("not a key: {0} bytes in base64, expected 32")]
    Length(usize),
}

/// A key of the cluster.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct Key([u8; KEY_BYTES]);

impl Key {
    /// A key of 32 random bytes. The caller answers for their randomness.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; KEY_BYTES]) -> Self {
        Self(bytes)
    }

    /// Reads a key as it stands on a line of a key file.
    ///
    /// # Errors
    /// [`KeyError`] if the text is not 32 bytes in base64. It never repeats the text.
    pub fn parse(text: &str) -> Result<Self, KeyError> {
        let bytes = Zeroizing::new(STANDARD.decode(text.trim()).map_err(|_| KeyError::Base64)?);
        match <[u8; KEY_BYTES]>::try_from(bytes.as_slice()) {
            Ok(bytes) => Ok(Self(bytes)),
            Err(_) => Err(KeyError::Length(bytes.len())),
        }
    }

    /// The key as a line of a key file. This is the secret itself.
    #[must_use]
    pub fn to_base64(&self) -> Zeroizing<String> {
        Zeroizing::new(STANDARD.encode(self.0))
    }

    /// The key's fingerprint.
    #[must_use]
    pub fn id(&self) -> KeyId {
        let mut mac = Blake2sMac256::new(&self.0.into());
        mac.update(FINGERPRINT_LABEL);
        let [a, b, c, d, ..] = <[u8; 32]>::from(mac.finalize_fixed());
        match KeyId([a, b, c, d]) {
            KeyId::PLAINTEXT => KeyId([0, 0, 0, 1]),
            id => id,
        }
    }

    pub(crate) const fn bytes(&self) -> &[u8; KEY_BYTES] {
        &self.0
    }
}

impl FromStr for Key {
    type Err = KeyError;
    fn from_str(text: &str) -> Result<Self, KeyError> {
        Self::parse(text)
    }
}

impl fmt::Display for Key {
    /// The fingerprint.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.id(), f)
    }
}

impl fmt::Debug for Key {
    /// The fingerprint.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({})", self.id())
    }
}

/// Why a text is not a keyring, or a keyring does not take a key. Nothing has changed; the text
/// or the key is the user's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyringError {
    /// A line is not a key.
    #[error("line {line} is {error}")]
    Line {
        /// The line, from 1.
        line: usize,
        /// What is wrong with it.
        error: KeyError,
    },
    /// There is no key.
    #[error("there is no key, expected one per line")]
    Empty,
    /// A key is there twice, or two keys have one fingerprint.
    #[error("key `{0}` is there twice")]
    Repeated(KeyId),
    /// There are too many keys.
    #[error("there are more than {0} keys")]
    TooMany(usize),
}

/// What asking a keyring to use or remove a key did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum KeyChange {
    /// It is done.
    Done,
    /// It was so already.
    Already,
    /// The keyring does not hold that key.
    Unknown,
    /// The key seals: another one has to be used first.
    Sealing,
}

/// The keys a node holds: the first one seals, all of them open.
///
/// A key that was removed opens nothing any more, but is kept for a while: who comes back with it is handed
/// the others over a stream, and nothing else.
#[derive(Clone)]
pub struct Keyring {
    // INVARIANT: fingerprints are unique, over both lists. Empty only in plaintext.
    keys: Vec<(KeyId, Key)>,
    /// With the time of their removal, in Unix milliseconds.
    retired: Vec<(KeyId, Key, u64)>,
}

impl Keyring {
    /// A keyring of one key.
    #[must_use]
    pub fn new(key: Key) -> Self {
        Self { keys: vec![(key.id(), key)], retired: Vec::new() }
    }

    /// No encryption at all, for tests and simulation: anybody can read, and pose as a member.
    #[must_use]
    pub const fn plaintext() -> Self {
        Self { keys: Vec::new(), retired: Vec::new() }
    }

    /// Reads keys, one per line; the first one seals. Empty lines and what follows a `#` are
    /// skipped.
    ///
    /// # Errors
    /// [`KeyringError`] names the line, never its content.
    pub fn from_text(text: &str) -> Result<Self, KeyringError> {
        let mut ring = Self::plaintext();
        for (line, content) in (1..).zip(text.lines()) {
            let content = content.split('#').next().unwrap_or_default().trim();
            if content.is_empty() {
                continue;
            }
            let key = Key::parse(content).map_err(|error| KeyringError::Line { line, error })?;
            if ring.find(key.id()).is_some() {
                return Err(KeyringError::Repeated(key.id()));
            }
            ring.push(key)?;
        }
        if ring.keys.is_empty() { Err(KeyringError::Empty) } else { Ok(ring) }
    }

    /// Is nothing encrypted?
    #[must_use]
    pub const fn is_plaintext(&self) -> bool {
        self.keys.is_empty()
    }

    /// The key that seals; `None` in plaintext.
    #[must_use]
    pub fn sealing(&self) -> Option<&Key> {
        self.keys.first().map(|(_, key)| key)
    }

    /// The fingerprint of the key that seals.
    #[must_use]
    pub fn sealing_id(&self) -> KeyId {
        self.keys.first().map_or(KeyId::PLAINTEXT, |(id, _)| *id)
    }

    /// The key with this fingerprint.
    #[must_use]
    pub fn find(&self, id: KeyId) -> Option<&Key> {
        self.keys.iter().find(|(known, _)| *known == id).map(|(_, key)| key)
    }

    /// Can what was sealed under this fingerprint be opened?
    #[must_use]
    pub fn opens(&self, id: KeyId) -> bool {
        if self.is_plaintext() { id == KeyId::PLAINTEXT } else { self.find(id).is_some() }
    }

    /// The fingerprints, the sealing one first.
    pub fn ids(&self) -> impl ExactSizeIterator<Item = KeyId> {
        self.keys.iter().map(|(id, _)| *id)
    }

    /// Adds a key that opens, but does not seal yet.
    ///
    /// # Errors
    /// [`KeyringError::TooMany`] if there is no room; [`KeyringError::Repeated`] if another key
    /// has the same fingerprint.
    pub fn install(&mut self, key: Key) -> Result<KeyChange, KeyringError> {
        match self.find(key.id()) {
            Some(known) if known.bytes() == key.bytes() => Ok(KeyChange::Already),
            Some(_) => Err(KeyringError::Repeated(key.id())),
            None => {
                self.retired.retain(|(id, ..)| *id != key.id());
                self.push(key).map(|()| KeyChange::Done)
            }
        }
    }

    /// Makes a key that was installed the sealing one.
    pub fn use_key(&mut self, id: KeyId) -> KeyChange {
        match self.keys.iter().position(|(known, _)| *known == id) {
            None => KeyChange::Unknown,
            Some(0) => KeyChange::Already,
            Some(at) => {
                let key = self.keys.remove(at);
                self.keys.insert(0, key);
                KeyChange::Done
            }
        }
    }

    /// Removes a key that does not seal.
    pub fn remove(&mut self, id: KeyId) -> KeyChange {
        match self.keys.iter().position(|(known, _)| *known == id) {
            None => KeyChange::Unknown,
            Some(0) => KeyChange::Sealing,
            Some(at) => {
                self.keys.remove(at);
                KeyChange::Done
            }
        }
    }

    /// Removes a key that does not seal, and keeps it for who comes back with it.
    pub(crate) fn retire(&mut self, id: KeyId, removed_ms: u64) -> KeyChange {
        let Some(key) = self.find(id).cloned() else { return KeyChange::Unknown };
        let change = self.remove(id);
        if change == KeyChange::Done {
            self.retired.push((id, key, removed_ms));
            if self.retired.len() > limits::KEYS {
                self.retired.remove(0);
            }
        }
        change
    }

    /// Takes a removed key back, should it be kept.
    pub(crate) fn restore(&mut self, id: KeyId) -> KeyChange {
        let Some(at) = self.retired.iter().position(|(known, ..)| *known == id) else {
            return KeyChange::Unknown;
        };
        if self.keys.len() >= limits::KEYS {
            return KeyChange::Unknown;
        }
        let (id, key, _) = self.retired.remove(at);
        self.keys.push((id, key));
        KeyChange::Done
    }

    /// Drops keys that were removed before this time. Were there any?
    pub(crate) fn forget_retired(&mut self, before_ms: u64) -> bool {
        let held = self.retired.len();
        self.retired.retain(|(.., removed_ms)| *removed_ms >= before_ms);
        self.retired.len() != held
    }

    /// The keys that were removed, and when.
    pub(crate) fn retired(&self) -> impl Iterator<Item = (KeyId, &Key, u64)> {
        self.retired.iter().map(|(id, key, removed_ms)| (*id, key, *removed_ms))
    }

    /// The key that a stream may be opened under: one that opens, or one that was removed and still fetches
    /// the others.
    pub(crate) fn admits(&self, id: KeyId) -> Option<&Key> {
        let retired = || self.retired.iter().find(|(known, ..)| *known == id);
        self.find(id).or_else(|| retired().map(|(_, key, _)| key))
    }

    /// May a stream be opened under this key?
    pub(crate) fn may_open(&self, id: KeyId) -> bool {
        self.opens(id) || self.admits(id).is_some()
    }

    fn push(&mut self, key: Key) -> Result<(), KeyringError> {
        if self.keys.len() >= limits::KEYS {
            return Err(KeyringError::TooMany(limits::KEYS));
        }
        self.keys.push((key.id(), key));
        Ok(())
    }
}

impl fmt::Debug for Keyring {
    /// The fingerprints.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_plaintext() {
            return f.write_str("Keyring(plaintext)");
        }
        f.write_str("Keyring")?;
        f.debug_list().entries(self.ids()).finish()
    }
}

/// A key as it travels and is stored: on streams between members and in the data directory alone.
#[derive(Clone)]
pub(crate) struct KeyBytes(pub(crate) Key);

impl Serialize for KeyBytes {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.bytes().serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for KeyBytes {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        <[u8; KEY_BYTES]>::deserialize(deserializer).map(|bytes| Self(Key::from_bytes(bytes)))
    }
}

impl PartialEq for KeyBytes {
    fn eq(&self, other: &Self) -> bool {
        self.0.bytes() == other.0.bytes()
    }
}

impl fmt::Debug for KeyBytes {
    /// The fingerprint.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

/// A keyring as it is stored.
#[derive(Serialize, Deserialize)]
pub(crate) struct StoredKeyring {
    keys: Vec<KeyBytes>,
    retired: Vec<(KeyBytes, u64)>,
}

impl StoredKeyring {
    pub(crate) fn new(ring: &Keyring) -> Self {
        let keys = ring.keys.iter().map(|(_, key)| KeyBytes(key.clone()));
        let retired = ring.retired().map(|(_, key, removed)| (KeyBytes(key.clone()), removed));
        Self { keys: keys.collect(), retired: retired.collect() }
    }

    /// The keyring; what does not fit one is left out.
    pub(crate) fn into_ring(self) -> Keyring {
        let mut ring = Keyring::plaintext();
        for KeyBytes(key) in self.keys {
            let _ = ring.install(key);
        }
        for (KeyBytes(key), removed_ms) in self.retired.into_iter().take(limits::KEYS) {
            if ring.admits(key.id()).is_none() {
                ring.retired.push((key.id(), key, removed_ms));
            }
        }
        ring
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(byte: u8) -> String {
        Key::from_bytes([byte; 32]).to_base64().to_string()
    }

    fn check(text: &str, expected: &str) {
        let found = match Keyring::from_text(text) {
            Ok(ring) => format!("{ring:?}"),
            Err(error) => error.to_string(),
        };
        assert_eq!(found, expected);
    }

    #[test]
    fn a_key_file_has_one_key_per_line_and_comments() {
        let (one, two) = (Key::from_bytes([1; 32]).id(), Key::from_bytes([2; 32]).id());
        check(&line(1), &format!("Keyring[{one}]"));
        let text = format!("# new\n{} # seals\r\n\n  {}\n", line(2), line(1));
        check(&text, &format!("Keyring[{two}, {one}]"));
    }

    #[test]
    fn what_is_not_a_key_file_says_why() {
        check("", "there is no key, expected one per line");
        check("# nothing\n", "there is no key, expected one per line");
        let bad = "not a key: expected 32 bytes in base64, one line of 44 characters ending in `=`";
        check(&format!("{}\nsecret!", line(1)), &format!("line 2 is {bad}"));
        check("c2hvcnQ=", "line 1 is not a key: 5 bytes in base64, expected 32");
        let id = Key::from_bytes([1; 32]).id();
        check(&format!("{0}\n{0}", line(1)), &format!("key `{id}` is there twice"));
        let many: Vec<String> = (0..17).map(line).collect();
        check(&many.join("\n"), "there are more than 16 keys");
    }

    #[test]
    fn keys_round_trip_and_show_only_their_fingerprint() {
        let key = Key::from_bytes([0xAB; 32]);
        let text = key.to_base64();
        assert_eq!(text.len(), 44);
        assert_eq!(Key::parse(&text).unwrap().bytes(), key.bytes());
        assert_eq!(format!("{key:?} {key}"), format!("Key({0}) {0}", key.id()));
        assert_eq!(key.id().to_string(), "d7664ec4");
    }

    #[test]
    fn a_key_is_installed_then_used_then_the_old_one_is_removed() {
        let (old, new) = (Key::from_bytes([1; 32]), Key::from_bytes([2; 32]));
        let mut ring = Keyring::new(old.clone());
        assert_eq!(ring.use_key(new.id()), KeyChange::Unknown);
        assert_eq!(ring.install(new.clone()), Ok(KeyChange::Done));
        assert_eq!(ring.install(new.clone()), Ok(KeyChange::Already));
        assert_eq!(ring.sealing_id(), old.id());
        assert_eq!(ring.remove(old.id()), KeyChange::Sealing);
        assert_eq!(ring.use_key(new.id()), KeyChange::Done);
        assert_eq!(ring.sealing_id(), new.id());
        assert!(ring.opens(old.id()));
        assert_eq!(ring.remove(old.id()), KeyChange::Done);
        assert!(!ring.opens(old.id()));
    }

    #[test]
    fn a_removed_key_opens_nothing_and_is_admitted_until_it_is_forgotten() {
        let (old, new) = (Key::from_bytes([1; 32]), Key::from_bytes([2; 32]));
        let mut ring = Keyring::new(old.clone());
        assert_eq!(ring.retire(old.id(), 5), KeyChange::Sealing);
        assert_eq!(ring.install(new.clone()), Ok(KeyChange::Done));
        assert_eq!(ring.use_key(new.id()), KeyChange::Done);
        assert_eq!(ring.retire(old.id(), 5), KeyChange::Done);
        let bytes = crate::codec::encode(&StoredKeyring::new(&ring));
        let stored: StoredKeyring = crate::codec::decode(&bytes).unwrap();
        for mut ring in [ring.clone(), stored.into_ring()] {
            assert!(ring.ids().eq([new.id()]));
            assert!(!ring.opens(old.id()) && ring.may_open(old.id()));
            assert!(!ring.forget_retired(5));
            let mut back = ring.clone();
            assert_eq!(back.restore(old.id()), KeyChange::Done);
            assert!(back.opens(old.id()) && back.sealing_id() == new.id());
            assert!(ring.forget_retired(6));
            assert!(!ring.may_open(old.id()));
            assert_eq!(ring.restore(old.id()), KeyChange::Unknown);
        }
    }

    #[test]
    fn a_fingerprint_is_read_as_it_is_shown() {
        let id = Key::from_bytes([1; 32]).id();
        assert_eq!(id.to_string().parse(), Ok(id));
        for text in ["", "00000000", "+1234567", "1234567", "123456789", "1234567g", "1234567é"] {
            assert_eq!(text.parse::<KeyId>(), Err(KeyIdError), "{text}");
        }
    }

    #[test]
    fn plaintext_opens_nothing_that_is_sealed() {
        let ring = Keyring::plaintext();
        assert!(ring.opens(KeyId::PLAINTEXT));
        assert!(!ring.opens(Key::from_bytes([1; 32]).id()));
        assert!(!Keyring::new(Key::from_bytes([1; 32])).opens(KeyId::PLAINTEXT));
    }
}
