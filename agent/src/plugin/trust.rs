//! Whose plugins are run: signatures as snap had them.
//!
//! Beside a plugin there may be a detached OpenPGP signature of its file (`gpg --armor
//! --detach-sign`). It is good if one of the keys in the keyrings of this node made it, and that key
//! may sign, is not revoked and has not expired. It is checked before each start.
//!
//! Invariant: a signature that is there must be good, unless nobody asks.

use std::{
    fmt, fs, io,
    path::{Path, PathBuf},
    time::{SystemTime, UNIX_EPOCH},
};

use pgp::{
    composed::{Deserializable, DetachedSignature, SignedPublicKey},
    packet::{KeyFlags, Signature, SignatureType},
    types::{KeyDetails, Tag, VerifyingKey},
};

/// How the names of the files end that are read in a directory, as in snap.
const KEYRING_ENDINGS: [&str; 4] = ["asc", "gpg", "pub", "pubring"];
/// Largest keyring, in bytes.
const KEYRING_BYTES: u64 = 16 * 1024 * 1024;
/// Largest signature, in bytes.
const SIGNATURE_BYTES: usize = 64 * 1024;
/// How a key begins that is text. There may be several in a file.
const ARMOR: &str = "-----BEGIN PGP PUBLIC KEY BLOCK-----";

/// What is asked of a plugin before it is started.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum TrustLevel {
    /// Nothing.
    #[default]
    Off,
    /// A signature, if there is one, must be good.
    Warn,
    /// There must be a good signature.
    On,
}

/// Whom this node trusts.
#[derive(Debug, Default)]
pub(crate) struct Trust {
    level: TrustLevel,
    keys: Vec<SignedPublicKey>,
}

/// What is known of who made a plugin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Signed {
    /// Nobody asked.
    Unchecked,
    /// It has no signature, and needs none.
    No,
    /// By someone this node trusts.
    By(Signer),
}

/// Someone who signs plugins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Signer {
    /// As in the key; empty if it has no name.
    pub(crate) name: String,
    /// Of the key, in hexadecimal digits.
    pub(crate) fingerprint: String,
}

/// Why a file is not trusted. The fault of who made the file, or of who set up this node.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum TrustError {
    /// There is no signature.
    #[error("it is not signed, and this node runs signed plugins only")]
    Unsigned,
    /// It is no signature.
    #[error("its signature is not understood: {0}")]
    Unreadable(String),
    /// No keyring has the key.
    #[error("it is signed with key {0}, which is in no keyring of this node")]
    UnknownKey(String),
    /// It is that of another file, or was changed.
    #[error("its signature is not that of this file")]
    Mismatch,
    /// It was good once.
    #[error("its signature has expired")]
    Expired,
    /// The key is not to be trusted any more.
    #[error("the key of {0} {1}")]
    BadKey(Signer, BadKey),
}

/// Why a key that is there is of no use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum BadKey {
    /// Its owner says so.
    #[error("is revoked")]
    Revoked,
    /// It was good once.
    #[error("has expired")]
    Expired,
    /// It is for something else.
    #[error("may not sign")]
    NotForSigning,
}

/// Why a keyring gives no keys. The user's fault.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum KeyringError {
    /// It cannot be read.
    #[error("cannot read keyring `{0}`: {1}")]
    Io(PathBuf, io::Error),
    /// It is no keyring.
    #[error("`{0}` is no keyring: {1}")]
    Unreadable(PathBuf, String),
    /// There is no key.
    #[error("there is no public key in `{0}`")]
    Empty(PathBuf),
}

impl TrustLevel {
    /// The level of this name.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        [Self::Off, Self::Warn, Self::On].into_iter().find(|level| level.as_str() == text)
    }

    /// The level as text.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Warn => "warn",
            Self::On => "on",
        }
    }
}

impl fmt::Display for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, fingerprint } = self;
        if name.is_empty() {
            f.write_str(fingerprint)
        } else {
            write!(f, "`{name}` ({fingerprint})")
        }
    }
}

impl Trust {
    /// Trust of this level in the keys of these files and directories.
    pub(crate) fn read(level: TrustLevel, keyrings: &[PathBuf]) -> Result<Self, KeyringError> {
        if level == TrustLevel::Off {
            return Ok(Self::default());
        }
        let mut keys = Vec::new();
        for keyring in keyrings {
            let before = keys.len();
            for file in files(keyring)? {
                read_keyring(&file, &mut keys)?;
            }
            if keys.len() == before {
                return Err(KeyringError::Empty(keyring.clone()));
            }
        }
        Ok(Self { level, keys })
    }

    /// Who signed this file? An error means that it must not be run.
    pub(crate) fn check(
        &self,
        content: &[u8],
        signature: Option<&[u8]>,
    ) -> Result<Signed, TrustError> {
        match (self.level, signature) {
            (TrustLevel::Off, _) => Ok(Signed::Unchecked),
            (TrustLevel::Warn, None) => Ok(Signed::No),
            (TrustLevel::On, None) => Err(TrustError::Unsigned),
            (TrustLevel::Warn | TrustLevel::On, Some(text)) => {
                self.verify(content, text).map(Signed::By)
            }
        }
    }

    fn verify(&self, content: &[u8], text: &[u8]) -> Result<Signer, TrustError> {
        if text.len() > SIGNATURE_BYTES {
            return Err(TrustError::Unreadable(format!("it has {} bytes", text.len())));
        }
        let unreadable = |error: pgp::errors::Error| TrustError::Unreadable(one_line(&error));
        let (signatures, _) = DetachedSignature::from_reader_many(text).map_err(unreadable)?;
        let mut failure = TrustError::Unreadable("it is empty".to_owned());
        // One good signature of several is enough.
        for signature in signatures {
            let signature = signature.map_err(unreadable)?.signature;
            match self.verify_one(content, &signature) {
                Ok(signer) => return Ok(signer),
                Err(error) => failure = error,
            }
        }
        Err(failure)
    }

    fn verify_one(&self, content: &[u8], signature: &Signature) -> Result<Signer, TrustError> {
        if !matches!(signature.typ(), Some(SignatureType::Binary)) {
            return Err(TrustError::Unreadable("it is not a detached signature".to_owned()));
        }
        let mut failure = TrustError::UnknownKey(issuer(signature));
        for key in &self.keys {
            let Some(judged) = judge(key, signature, content) else { continue };
            match judged {
                Ok(()) if is_over(signature.created(), signature.signature_expiration_time()) => {
                    failure = TrustError::Expired;
                }
                Ok(()) => return Ok(signer(key)),
                Err(None) => failure = TrustError::Mismatch,
                Err(Some(bad)) => failure = TrustError::BadKey(signer(key), bad),
            }
        }
        Err(failure)
    }
}

/// Is it a good signature by this key or one of its subkeys? None: it does not claim to be by it.
/// An error without a reason: it does, and is not.
fn judge(
    key: &SignedPublicKey,
    signature: &Signature,
    content: &[u8],
) -> Option<Result<(), Option<BadKey>>> {
    let primary = &key.primary_key;
    if is_by(signature, primary) {
        let verified = signature.verify(primary, content).map_err(|_| None);
        return Some(verified.and_then(|()| use_of_primary(key, true).map_err(Some)));
    }
    let subkey = key.public_subkeys.iter().find(|subkey| is_by(signature, &subkey.key))?;
    let verified = signature.verify(&subkey.key, content).map_err(|_| None);
    Some(verified.and_then(|()| {
        use_of_primary(key, false).map_err(Some)?;
        use_of_subkey(key, subkey).map_err(Some)
    }))
}

/// Can the main key of this key be used, and may it sign?
fn use_of_primary(key: &SignedPublicKey, signs: bool) -> Result<(), BadKey> {
    let primary = &key.primary_key;
    let details = &key.details;
    if details.revocation_signatures.iter().any(|sig| sig.verify_key(primary).is_ok()) {
        return Err(BadKey::Revoked);
    }
    let of_users = details.users.iter().flat_map(|user| {
        user.signatures.iter().filter(|sig| {
            sig.is_certification()
                && sig.verify_certification(primary, Tag::UserId, &user.id).is_ok()
        })
    });
    let direct = details.direct_signatures.iter().filter(|sig| sig.verify_key(primary).is_ok());
    // What the owner said last counts.
    let last = of_users.chain(direct).max_by_key(|sig| sig.created().map(|time| time.as_secs()));
    let last = last.ok_or(BadKey::NotForSigning)?;
    if is_over(Some(primary.created_at()), last.key_expiration_time()) {
        return Err(BadKey::Expired);
    }
    if signs && !may_sign(&last.key_flags()) {
        return Err(BadKey::NotForSigning);
    }
    Ok(())
}

/// Does the main key say that this subkey may sign, and the subkey that it belongs to it?
fn use_of_subkey(
    key: &SignedPublicKey,
    subkey: &pgp::composed::SignedPublicSubKey,
) -> Result<(), BadKey> {
    let primary = &key.primary_key;
    let of_type = |kind| {
        let all = subkey.signatures.iter().filter(move |sig| sig.typ() == Some(kind));
        all.filter(|sig| sig.verify_subkey_binding(primary, &subkey.key).is_ok())
    };
    if of_type(SignatureType::SubkeyRevocation).next().is_some() {
        return Err(BadKey::Revoked);
    }
    let bindings = of_type(SignatureType::SubkeyBinding);
    let last = bindings.max_by_key(|sig| sig.created().map(|time| time.as_secs()));
    let last = last.ok_or(BadKey::NotForSigning)?;
    if is_over(Some(subkey.key.created_at()), last.key_expiration_time()) {
        return Err(BadKey::Expired);
    }
    // Without this anyone could take the subkey of another for his own.
    let back = last.embedded_signature();
    let is_its_own =
        back.is_some_and(|back| back.verify_primary_key_binding(&subkey.key, primary).is_ok());
    if is_its_own && last.key_flags().sign() { Ok(()) } else { Err(BadKey::NotForSigning) }
}

/// Old keys do not say what they are for, and are for all.
fn may_sign(flags: &KeyFlags) -> bool {
    flags.sign() || *flags == KeyFlags::default()
}

fn is_by(signature: &Signature, key: &impl VerifyingKey) -> bool {
    let fingerprints = signature.issuer_fingerprint();
    if fingerprints.is_empty() {
        return signature.issuer_key_id().contains(&&key.legacy_key_id());
    }
    fingerprints.contains(&&key.fingerprint())
}

/// The key a signature claims to be by.
fn issuer(signature: &Signature) -> String {
    let fingerprint = signature.issuer_fingerprint().first().map(|print| format!("{print:X}"));
    let id = || signature.issuer_key_id().first().map(|id| id.to_string().to_uppercase());
    fingerprint.or_else(id).unwrap_or_else(|| "of nobody".to_owned())
}

fn signer(key: &SignedPublicKey) -> Signer {
    let user = key.details.users.first();
    Signer {
        name: user.map(|user| user.id.as_str().unwrap_or_default().to_owned()).unwrap_or_default(),
        fingerprint: format!("{:X}", key.primary_key.fingerprint()),
    }
}

/// Is what began then and lasts so long over? Nothing, and zero, last for ever.
fn is_over(begun: Option<pgp::types::Timestamp>, lasts: Option<pgp::types::Duration>) -> bool {
    let Some(seconds) = lasts.map(|lasts| lasts.as_secs()).filter(|seconds| *seconds > 0) else {
        return false;
    };
    let end = u64::from(begun.map_or(0, |begun| begun.as_secs())) + u64::from(seconds);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    now.as_secs() >= end
}

/// The files of a keyring: itself, or those in the directory that are keyrings by their names.
fn files(keyring: &Path) -> Result<Vec<PathBuf>, KeyringError> {
    let failed = |error| KeyringError::Io(keyring.to_owned(), error);
    if !fs::metadata(keyring).map_err(failed)?.is_dir() {
        return Ok(vec![keyring.to_owned()]);
    }
    let mut files = Vec::new();
    for entry in fs::read_dir(keyring).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        let ending = path.extension().map(|ending| ending.to_string_lossy().into_owned());
        if ending.is_some_and(|ending| KEYRING_ENDINGS.contains(&ending.as_str())) {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

fn read_keyring(file: &Path, keys: &mut Vec<SignedPublicKey>) -> Result<(), KeyringError> {
    let failed = |error| KeyringError::Io(file.to_owned(), error);
    if fs::metadata(file).map_err(failed)?.len() > KEYRING_BYTES {
        let text = format!("it has more than {KEYRING_BYTES} bytes");
        return Err(KeyringError::Unreadable(file.to_owned(), text));
    }
    let content = fs::read(file).map_err(failed)?;
    let blocks = match std::str::from_utf8(&content) {
        Ok(text) if text.contains(ARMOR) => {
            text.split(ARMOR).skip(1).map(|block| format!("{ARMOR}{block}").into_bytes()).collect()
        }
        _ => vec![content],
    };
    let unreadable = |error| KeyringError::Unreadable(file.to_owned(), one_line(&error));
    for block in blocks {
        let (found, _) = SignedPublicKey::from_reader_many(block.as_slice()).map_err(unreadable)?;
        for key in found {
            keys.push(key.map_err(unreadable)?);
        }
    }
    Ok(())
}

/// A foreign message on one line.
fn one_line(error: &pgp::errors::Error) -> String {
    let text = error.to_string();
    text.lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join(": ")
}
