//! Key files: read only if nobody but their owner can.

use std::{
    fs::{self, File},
    io::{self, Read as _},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use zeroize::Zeroizing;

use super::{KEY_BYTES, Key, Keyring, KeyringError};
use crate::limits;

/// Permissions that nobody may have on a key file but its owner.
const OTHERS: u32 = 0o077;

/// Why a key file is not used. Nothing has changed; the file is the user's.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyFileError {
    /// There is no such file.
    #[error("key file `{}` does not exist", .0.display())]
    Missing(PathBuf),
    /// The system does not let us read it.
    #[error("cannot read key file `{}`: {error}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// It is a directory, a pipe or a device.
    #[error("key file `{}` is not a file", .0.display())]
    NotAFile(PathBuf),
    /// Others than its owner can use it.
    #[error(
        "key file `{0}` has mode {mode:04o}, so others can use it; run `chmod 600 {0}`",
        path.display()
    )]
    Exposed {
        /// The file.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// It is larger than any key file.
    #[error("key file `{}` is larger than {} bytes", .0.display(), limits::KEY_FILE_BYTES)]
    TooLarge(PathBuf),
    /// It is not text.
    #[error("key file `{}` is not text", .0.display())]
    NotText(PathBuf),
    /// Its text is not a keyring.
    #[error("key file `{}`: {error}", path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        error: KeyringError,
    },
}

/// Makes a key from the operating system's randomness.
///
/// # Errors
/// If the system gives none; nothing is made.
pub fn generate_key() -> Result<Key, io::Error> {
    let mut bytes = Zeroizing::new([0; KEY_BYTES]);
    getrandom::fill(bytes.as_mut_slice()).map_err(io::Error::other)?;
    Ok(Key::from_bytes(*bytes))
}

/// Reads a key file, which must be its owner's alone (mode 0600 or 0400).
///
/// # Errors
/// [`KeyFileError`] names the file and what to do about it, never its content.
pub fn read_key_file(path: &Path) -> Result<Keyring, KeyFileError> {
    let system = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound => KeyFileError::Missing(path.to_owned()),
        _ => KeyFileError::Unreadable { path: path.to_owned(), error },
    };
    // Opening a pipe would wait for its other end, so the kind is looked at first.
    if !fs::metadata(path).map_err(system)?.is_file() {
        return Err(KeyFileError::NotAFile(path.to_owned()));
    }
    let file = File::open(path).map_err(system)?;
    let metadata = file.metadata().map_err(system)?;
    let mode = metadata.permissions().mode() & 0o7777;
    if mode & OTHERS != 0 {
        return Err(KeyFileError::Exposed { path: path.to_owned(), mode });
    }
    if metadata.len() > limits::KEY_FILE_BYTES {
        return Err(KeyFileError::TooLarge(path.to_owned()));
    }
    // The buffer never grows, so no copy of the keys is left behind unzeroized.
    let mut bytes = Zeroizing::new(vec![0; usize::try_from(metadata.len()).unwrap_or_default()]);
    (&file).read_exact(&mut bytes).map_err(system)?;
    let text = str::from_utf8(&bytes).map_err(|_| KeyFileError::NotText(path.to_owned()))?;
    Keyring::from_text(text).map_err(|error| KeyFileError::Content { path: path.to_owned(), error })
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;

    use super::*;
    use crate::keyring::Key;

    fn check(content: &[u8], mode: u32, expected: &str) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key");
        fs::write(&path, content).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        assert_eq!(outcome(&path, dir.path()), expected);
    }

    fn outcome(path: &Path, dir: &Path) -> String {
        match read_key_file(path) {
            Ok(ring) => ring.sealing_id().to_string(),
            Err(error) => error.to_string().replace(&dir.display().to_string(), "D"),
        }
    }

    #[test]
    fn only_the_owner_may_use_a_key_file() {
        let key = Key::from_bytes([5; 32]);
        let (line, id) = (key.to_base64(), key.id().to_string());
        check(line.as_bytes(), 0o600, &id);
        check(line.as_bytes(), 0o400, &id);
        check(
            line.as_bytes(),
            0o640,
            "key file `D/key` has mode 0640, so others can use it; run `chmod 600 D/key`",
        );
        check(
            line.as_bytes(),
            0o604,
            "key file `D/key` has mode 0604, so others can use it; run `chmod 600 D/key`",
        );
    }

    #[test]
    fn files_without_a_key_say_why() {
        check(b"", 0o600, "key file `D/key`: there is no key, expected one per line");
        check(b"\xff\xfe", 0o600, "key file `D/key` is not text");
        check(
            b"garbage",
            0o600,
            "key file `D/key`: line 1 is not a key: expected 32 bytes in base64, one line of 44 \
             characters ending in `=`",
        );
        check(&[b'#'; 20_000], 0o600, "key file `D/key` is larger than 16384 bytes");
    }

    #[test]
    fn what_is_no_file_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let missing = outcome(&dir.path().join("none"), dir.path());
        assert_eq!(missing, "key file `D/none` does not exist");
        assert_eq!(outcome(dir.path(), dir.path()), "key file `D` is not a file");
    }
}
