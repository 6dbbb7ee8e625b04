//! The files of loaded plugins: `DIR/<sha256>/<name>`, mode 0700, ours alone.
//!
//! A file is there as long as someone holds it as a [`StoredFile`]. The directory is opened when
//! the first plugin comes, locked against another daemon, and cleared of what a killed one left
//! behind.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    fs::{self, DirBuilder, OpenOptions},
    io,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use rustix::fs::{FlockOperation, flock};
use sha2::{Digest, Sha256};
use tokio::{
    fs::File,
    io::{AsyncReadExt, AsyncWriteExt},
};

/// Largest plugin, in bytes.
const PLUGIN_BYTES: u64 = 512 * 1024 * 1024;
/// How much of a file is read at once.
const PART_BYTES: usize = 256 * 1024;
/// Longest name of a file, in bytes.
const NAME_BYTES: usize = 200;
/// What the names of unfinished files begin with.
const UNFINISHED: &str = ".upload-";

/// Why a file was not stored. Nothing has changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum StoreError {
    /// It has a name that no file could have. The user's fault.
    #[error("`{0}` cannot be the name of a file")]
    Name(String),
    /// It is too large. The user's fault.
    #[error("a plugin may have at most {PLUGIN_BYTES} bytes")]
    TooLarge,
    /// It is empty. The user's fault.
    #[error("the file is empty")]
    Empty,
    /// Another daemon has the directory.
    #[error("`{0}` is in use by another snapd")]
    InUse(PathBuf),
    /// It cannot be read. The user's fault.
    #[error("cannot read `{file}`: {error}")]
    Read {
        /// The file.
        file: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// The system refuses.
    #[error("cannot store a plugin in `{dir}`: {error}")]
    Io {
        /// The directory.
        dir: PathBuf,
        /// What the system said.
        error: io::Error,
    },
}

/// Why a stored file cannot be used any more. Someone else's fault.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum ChangedError {
    /// It cannot be read.
    #[error("its file cannot be read: {0}")]
    Io(#[from] io::Error),
    /// It is another one.
    #[error("its file was changed since it was loaded")]
    Sum,
}

/// The directory. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Store {
    dir: PathBuf,
    open: Arc<Mutex<Option<Open>>>,
}

#[derive(Debug)]
struct Open {
    /// Holds the lock.
    _lock: fs::File,
    /// How many hold each file.
    held: BTreeMap<PathBuf, usize>,
    /// Number of the next unfinished file.
    next: u64,
}

/// A file that is being received. Goes when dropped.
#[derive(Debug)]
pub(crate) struct Upload {
    store: Store,
    name: String,
    path: Unfinished,
    file: File,
    hash: Sha256,
    bytes: u64,
}

/// The path of an unfinished file, which is removed when dropped.
#[derive(Debug)]
struct Unfinished(PathBuf);

/// A file of a plugin. Goes when the last one is dropped.
#[derive(Debug)]
pub(crate) struct StoredFile {
    store: Store,
    path: PathBuf,
    sha256: String,
    /// As it was given with the file.
    signature: Option<Vec<u8>>,
}

impl Store {
    /// A store in this directory, which need not exist yet.
    pub(super) fn new(dir: PathBuf) -> Self {
        Self { dir, open: Arc::default() }
    }

    /// Begins to receive a file of this name.
    pub(super) fn upload(&self, name: &str) -> Result<Upload, StoreError> {
        let is_name = !matches!(name, "" | "." | "..")
            && name.len() <= NAME_BYTES
            && !name.contains(|c: char| c == '/' || c.is_control());
        if !is_name {
            return Err(StoreError::Name(name.chars().take(NAME_BYTES).collect()));
        }
        let path = {
            let mut guard = self.lock();
            let open = match &mut *guard {
                Some(open) => open,
                none => none.insert(self.open()?),
            };
            open.next += 1;
            self.dir.join(format!("{UNFINISHED}{}", open.next))
        };
        let mut options = OpenOptions::new();
        options.write(true).create_new(true).mode(0o700);
        let file = File::from_std(options.open(&path).map_err(|error| self.failed(error))?);
        let (store, name) = (self.clone(), name.to_owned());
        let path = Unfinished(path);
        Ok(Upload { store, name, path, file, hash: Sha256::new(), bytes: 0 })
    }

    /// Copies a file that is there already.
    pub(super) async fn copy(
        &self,
        from: &Path,
        name: &str,
        signature: Option<Vec<u8>>,
    ) -> Result<StoredFile, StoreError> {
        let failed = |error| StoreError::Read { file: from.to_owned(), error };
        let mut source = File::open(from).await.map_err(failed)?;
        let mut upload = self.upload(name)?;
        let mut part = vec![0; PART_BYTES];
        loop {
            let read = source.read(&mut part).await.map_err(failed)?;
            if read == 0 {
                return upload.finish(signature).await;
            }
            upload.write(part.get(..read).unwrap_or_default()).await?;
        }
    }

    fn open(&self) -> Result<Open, StoreError> {
        let failed = |error| self.failed(error);
        DirBuilder::new().recursive(true).mode(0o700).create(&self.dir).map_err(failed)?;
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(false).mode(0o600);
        let lock = options.open(self.dir.join("lock")).map_err(failed)?;
        flock(&lock, FlockOperation::NonBlockingLockExclusive)
            .map_err(|_| StoreError::InUse(self.dir.clone()))?;
        self.clear().map_err(failed)?;
        Ok(Open { _lock: lock, held: BTreeMap::new(), next: 0 })
    }

    /// Removes what a daemon left behind that could not do it itself.
    fn clear(&self) -> io::Result<()> {
        for entry in fs::read_dir(&self.dir)? {
            let entry = entry?;
            let name = entry.file_name();
            let name = name.to_string_lossy();
            if name.starts_with(UNFINISHED) {
                fs::remove_file(entry.path())?;
            } else if name.len() == 64 && name.bytes().all(|byte| byte.is_ascii_hexdigit()) {
                fs::remove_dir_all(entry.path())?;
            }
        }
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, Option<Open>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn failed(&self, error: io::Error) -> StoreError {
        StoreError::Io { dir: self.dir.clone(), error }
    }
}

impl Upload {
    /// Takes the next part of the file.
    pub(crate) async fn write(&mut self, part: &[u8]) -> Result<(), StoreError> {
        self.bytes = self.bytes.saturating_add(u64::try_from(part.len()).unwrap_or(u64::MAX));
        if self.bytes > PLUGIN_BYTES {
            return Err(StoreError::TooLarge);
        }
        self.hash.update(part);
        self.file.write_all(part).await.map_err(|error| self.store.failed(error))
    }

    /// Puts the whole file where it can be run from, with the signature that came with it.
    pub(crate) async fn finish(self, signature: Option<Vec<u8>>) -> Result<StoredFile, StoreError> {
        let Self { store, name, path, mut file, hash, bytes } = self;
        if bytes == 0 {
            return Err(StoreError::Empty);
        }
        // A file that is open for writing cannot be run: wait until all is written, and close it.
        file.flush().await.map_err(|error| store.failed(error))?;
        drop(file.into_std().await);
        store.place(&path.0, hex(hash), &name, signature)
    }
}

fn hex(hash: Sha256) -> String {
    let mut text = String::new();
    for byte in hash.finalize() {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

impl Store {
    fn place(
        &self,
        from: &Path,
        sha256: String,
        name: &str,
        signature: Option<Vec<u8>>,
    ) -> Result<StoredFile, StoreError> {
        let parent = self.dir.join(&sha256);
        let path = parent.join(name);
        let mut guard = self.lock();
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&parent)
            .map_err(|e| self.failed(e))?;
        fs::rename(from, &path).map_err(|error| self.failed(error))?;
        if let Some(open) = &mut *guard {
            *open.held.entry(path.clone()).or_default() += 1;
        }
        Ok(StoredFile { store: self.clone(), path, sha256, signature })
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        // It is not there any more if it was finished.
        let _ = fs::remove_file(&self.0);
    }
}

impl StoredFile {
    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// What it is called.
    pub(crate) fn name(&self) -> String {
        self.path.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }

    /// Its SHA-256 in hexadecimal digits.
    pub(crate) fn sha256(&self) -> &str {
        &self.sha256
    }

    /// What can tell who made it.
    pub(super) fn signature(&self) -> Option<&[u8]> {
        self.signature.as_deref()
    }

    /// All of it, if it is still what was stored.
    pub(super) fn read(&self) -> Result<Vec<u8>, ChangedError> {
        let content = fs::read(&self.path)?;
        let mut hash = Sha256::new();
        hash.update(&content);
        if hex(hash) == self.sha256 { Ok(content) } else { Err(ChangedError::Sum) }
    }
}

impl Drop for StoredFile {
    fn drop(&mut self) {
        let mut guard = self.store.lock();
        let Some(open) = &mut *guard else { return };
        let Some(count) = open.held.get_mut(&self.path) else { return };
        *count -= 1;
        if *count > 0 {
            return;
        }
        open.held.remove(&self.path);
        // What stays in spite of this is removed by the next daemon.
        let _ = fs::remove_file(&self.path);
        if let Some(parent) = self.path.parent() {
            let _ = fs::remove_dir(parent);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;

    /// As `sha256sum` has it.
    const OF_HELLO: &str = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";

    async fn stored(store: &Store, name: &str, parts: &[&str]) -> Result<StoredFile, StoreError> {
        let mut upload = store.upload(name)?;
        for part in parts {
            upload.write(part.as_bytes()).await?;
        }
        upload.finish(None).await
    }

    #[tokio::test]
    async fn a_file_lies_under_its_sum_for_us_alone() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::new(dir.path().join("plugins"));
        let file = stored(&store, "psutil", &["hel", "lo"]).await.unwrap();
        assert_eq!(file.sha256(), OF_HELLO);
        assert_eq!(file.path(), dir.path().join("plugins").join(OF_HELLO).join("psutil"));
        assert_eq!(fs::metadata(file.path()).unwrap().mode() & 0o7777, 0o700);
        assert_eq!(fs::read_to_string(file.path()).unwrap(), "hello");
    }

    #[tokio::test]
    async fn a_file_stays_as_long_as_someone_holds_it() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::new(dir.path().into());
        let one = stored(&store, "psutil", &["hello"]).await.unwrap();
        let two = stored(&store, "psutil", &["hello"]).await.unwrap();
        let path = one.path().to_owned();
        drop(one);
        assert!(path.exists());
        drop(two);
        assert!(!path.exists() && !path.parent().unwrap().exists());
    }

    #[tokio::test]
    async fn a_file_is_copied_under_its_name_and_watched_for_changes() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::new(dir.path().join("plugins"));
        let blob = dir.path().join("blob");
        fs::write(&blob, "hello").unwrap();
        let file = store.copy(&blob, "psutil", Some(b"signed".to_vec())).await.unwrap();
        fs::remove_file(&blob).unwrap();
        assert_eq!((file.sha256(), file.signature()), (OF_HELLO, Some(&b"signed"[..])));
        assert_eq!(file.path().file_name().unwrap(), "psutil");
        assert_eq!(file.read().unwrap(), b"hello");
        fs::write(file.path(), "hellO").unwrap();
        assert!(matches!(file.read(), Err(ChangedError::Sum)));
        fs::remove_file(file.path()).unwrap();
        assert!(matches!(file.read(), Err(ChangedError::Io(_))));
        let missing = store.copy(&blob, "psutil", None).await;
        assert!(matches!(missing, Err(StoreError::Read { .. })));
    }

    #[tokio::test]
    async fn what_was_not_finished_goes() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::new(dir.path().into());
        let mut upload = store.upload("psutil").unwrap();
        upload.write(b"hel").await.unwrap();
        drop(upload);
        assert!(matches!(stored(&store, "psutil", &[]).await, Err(StoreError::Empty)));
        let left: Vec<_> =
            fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
        assert_eq!(left, ["lock"]);
    }

    #[tokio::test]
    async fn what_a_killed_daemon_left_is_cleared_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join(OF_HELLO)).unwrap();
        fs::write(dir.path().join(OF_HELLO).join("old"), "").unwrap();
        fs::write(dir.path().join(".upload-7"), "").unwrap();
        fs::write(dir.path().join("precious"), "").unwrap();
        let store = Store::new(dir.path().into());
        let _upload = store.upload("psutil").unwrap();
        assert!(!dir.path().join(OF_HELLO).exists() && !dir.path().join(".upload-7").exists());
        assert!(dir.path().join("precious").exists());
        let other = Store::new(dir.path().into());
        assert!(matches!(other.upload("psutil"), Err(StoreError::InUse(_))));
    }

    #[tokio::test]
    async fn a_name_stays_in_its_directory() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::new(dir.path().into());
        for name in ["", ".", "..", "a/b", "../x", "a\nb", &"x".repeat(201)] {
            assert!(matches!(store.upload(name), Err(StoreError::Name(_))), "{name}");
        }
    }
}
