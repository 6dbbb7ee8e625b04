//! Secrets: small files that only their owner can read.

use std::{
    fmt, io,
    io::Read,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use zeroize::Zeroizing;

use super::HIDDEN;

/// Largest secret, in bytes.
const SECRET_BYTES: u64 = 64 * 1024;

/// A directory of secrets.
#[derive(Debug, Clone)]
pub(super) struct SecretDir {
    pub(super) path: PathBuf,
    /// Whether we have to look who else can read a file; systemd has looked already.
    pub(super) checked: bool,
}

/// The texts of secrets that were used.
#[derive(Clone, Default)]
pub(crate) struct Secrets(pub(super) Vec<Arc<Zeroizing<String>>>);

/// The secret of this name in a directory.
pub(super) fn read(dir: &SecretDir, name: &str) -> io::Result<Zeroizing<String>> {
    read_private(&dir.path.join(name), dir.checked)
}

/// The text of a file that only its owner may read, without the end of its line. `checked`: who else may is looked at.
pub(crate) fn read_private(path: &Path, checked: bool) -> io::Result<Zeroizing<String>> {
    let file = std::fs::File::open(path)?;
    let about = file.metadata()?;
    if !about.is_file() {
        return Err(io::Error::other("it is not a file"));
    }
    let mode = about.mode() & 0o7777;
    if checked && mode & 0o077 != 0 {
        let message = format!("its mode is {mode:04o}, run `chmod 600 {}`", path.display());
        return Err(io::Error::other(message));
    }
    let mut text = Zeroizing::new(String::new());
    // Room for all of it: a text that grows leaves copies behind.
    text.reserve(usize::try_from(about.len().min(SECRET_BYTES)).unwrap_or_default() + 1);
    file.take(SECRET_BYTES + 1).read_to_string(&mut text)?;
    if text.len() as u64 > SECRET_BYTES {
        return Err(io::Error::other(format!("it has more than {SECRET_BYTES} bytes")));
    }
    let end = text.strip_suffix('\n').map(|text| text.strip_suffix('\r').unwrap_or(text).len());
    if let Some(end) = end {
        text.truncate(end);
    }
    if text.is_empty() {
        return Err(io::Error::other("it is empty"));
    }
    Ok(text)
}

impl Secrets {
    /// A text without the secrets.
    pub(crate) fn hide(&self, text: String) -> String {
        let hide = |text: String, secret: &Arc<Zeroizing<String>>| {
            if text.contains(secret.as_str()) {
                text.replace(secret.as_str(), HIDDEN)
            } else {
                text
            }
        };
        self.0.iter().fold(text, hide)
    }

    /// Also those.
    pub(crate) fn join(&mut self, other: &Self) {
        self.0.extend(other.0.iter().cloned());
    }
}

impl fmt::Debug for Secrets {
    /// Only how many.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} secrets", self.0.len())
    }
}
