//! Blobs on disk: one file each, named by its hash.
//!
//! A file is under its final name only once it is whole and on disk. What is unfinished ends in
//! `.part`, what is being copied in ends in `.tmp`. Everything here blocks, but for what says otherwise.
//!
//! Invariant: `whole` lists only what was hashed by this process.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File, OpenOptions},
    io::{self, Read, Seek, SeekFrom, Write},
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime},
};

use sha2::{Digest, Sha256};
use tokio::sync::Notify;

use super::BlobError;
use crate::{
    BlobId, limits,
    runtime::{clock::Clock, store::make_private},
};

const DIR: &str = "blobs";
const PART: &str = "part";
const TEMPORARY: &str = "tmp";

/// The blobs of one data directory.
#[derive(Debug)]
pub(in crate::runtime) struct BlobStore {
    dir: PathBuf,
    quota: u64,
    clock: Clock,
    held: Mutex<Held>,
    /// Rings when the set of whole blobs changed.
    pub(super) changed: Notify,
}

#[derive(Debug, Default)]
struct Held {
    whole: BTreeMap<BlobId, u64>,
    /// Unfinished ones that nobody is at, with what they take.
    parts: BTreeMap<BlobId, u64>,
    reserved: BTreeMap<u64, Reserved>,
    referenced: BTreeSet<BlobId>,
    tickets: u64,
}

#[derive(Debug)]
struct Reserved {
    blob: Option<BlobId>,
    bytes: u64,
}

impl Held {
    fn used(&self) -> u64 {
        let reserved = self.reserved.values().map(|reserved| reserved.bytes);
        self.whole.values().chain(self.parts.values()).copied().chain(reserved).sum()
    }

    fn is_busy(&self, blob: BlobId) -> bool {
        self.reserved.values().any(|reserved| reserved.blob == Some(blob))
    }
}

impl BlobStore {
    /// Opens the blobs of a data directory, and lists what is to be verified before it is held.
    pub(in crate::runtime) fn open(
        data_dir: &Path,
        quota: u64,
        clock: Clock,
    ) -> io::Result<(Self, Vec<BlobId>)> {
        let dir = data_dir.join(DIR);
        make_private(&dir)?;
        let (mut found, mut held) = (Vec::new(), Held::default());
        for entry in fs::read_dir(&dir)? {
            let path = entry?.path();
            let extension = path.extension().and_then(|extension| extension.to_str());
            let stem = path.file_stem().and_then(|stem| stem.to_str());
            match (stem.and_then(|stem| stem.parse().ok()), extension) {
                (Some(blob), None) => found.push(blob),
                (Some(blob), Some(PART)) => {
                    held.parts.insert(blob, fs::metadata(&path)?.len());
                }
                (_, Some(TEMPORARY)) => fs::remove_file(&path)?,
                _ => tracing::warn!(path = %path.display(), "this file is not a blob"),
            }
        }
        let changed = Notify::new();
        Ok((Self { dir, quota, clock, held: Mutex::new(held), changed }, found))
    }

    /// Hashes a file that was found, and holds it, or deletes it.
    pub(super) fn verify(&self, blob: BlobId) {
        let path = self.file(blob);
        match File::open(&path).and_then(hash) {
            Ok((found, bytes)) if found == blob => {
                self.lock().whole.insert(blob, bytes);
                self.changed.notify_one();
            }
            Ok(_) => {
                let held = self.lock();
                // It may have been replaced by a right one meanwhile.
                if !held.whole.contains_key(&blob) {
                    tracing::warn!(%blob, "a blob is damaged and was deleted");
                    warn_failed(&path, fs::remove_file(&path));
                }
            }
            Err(error) => tracing::warn!(%blob, %error, "cannot read a blob"),
        }
    }

    /// The file of a blob that is whole. Hardly blocks.
    pub(super) fn path(&self, blob: BlobId) -> Option<PathBuf> {
        let path = self.file(blob);
        // Someone may have deleted it.
        (self.lock().whole.contains_key(&blob) && path.is_file()).then_some(path)
    }

    /// The size of a blob that is whole. Does not block.
    pub(super) fn bytes(&self, blob: BlobId) -> Option<u64> {
        self.lock().whole.get(&blob).copied()
    }

    /// All that are whole. Does not block.
    pub(super) fn whole(&self) -> BTreeSet<BlobId> {
        self.lock().whole.keys().copied().collect()
    }

    /// Copies a file in.
    pub(super) fn add(self: &Arc<Self>, path: &Path) -> Result<(BlobId, u64), BlobError> {
        let failed = |error: io::Error| io_error(path, &error);
        // Opening what is not a file may wait for ever.
        if !fs::metadata(path).map_err(failed)?.is_file() {
            return Err(failed(io::Error::other("it is not a regular file")));
        }
        let mut from = File::open(path).map_err(failed)?;
        let bytes = from.metadata().map_err(failed)?.len();
        let reservation = self.reserve(None, bytes)?;
        let temporary = self.dir.join(format!("{}.{TEMPORARY}", reservation.ticket));
        let added = copy(&mut from, path, &temporary, bytes)
            .and_then(|blob| self.keep(&temporary, blob, bytes).map(|()| blob));
        if added.is_err() {
            warn_failed(&temporary, fs::remove_file(&temporary));
        }
        added.map(|blob| (blob, bytes))
    }

    /// Sets room aside for a blob. Unfinished ones that nobody is at make room for it.
    pub(super) fn reserve(
        self: &Arc<Self>,
        blob: Option<BlobId>,
        bytes: u64,
    ) -> Result<Reservation, BlobError> {
        if bytes > limits::BLOB_BYTES {
            return Err(BlobError::TooLarge { bytes, most: limits::BLOB_BYTES });
        }
        let mut held = self.lock();
        let begun = blob.and_then(|blob| held.parts.remove_entry(&blob));
        if held.used().saturating_add(bytes) > self.quota {
            for part in std::mem::take(&mut held.parts).into_keys() {
                let path = self.part_file(part);
                warn_failed(&path, fs::remove_file(&path));
            }
        }
        let used = held.used();
        if used.saturating_add(bytes) > self.quota {
            held.parts.extend(begun);
            return Err(BlobError::Quota { bytes, used, quota: self.quota });
        }
        held.tickets += 1;
        let ticket = held.tickets;
        held.reserved.insert(ticket, Reserved { blob, bytes });
        Ok(Reservation { store: Arc::clone(self), ticket })
    }

    /// Opens what is there of a blob, to go on.
    pub(super) fn part(self: &Arc<Self>, blob: BlobId, bytes: u64) -> Result<Part, BlobError> {
        let reservation = self.reserve(Some(blob), bytes)?;
        let path = self.part_file(blob);
        let open = || -> io::Result<Part> {
            let mut file = open_alone(&path)?;
            if file.metadata()?.len() > bytes {
                file.set_len(0)?;
            }
            let mut hasher = Sha256::new();
            let length = digest(&mut file, &mut hasher)?;
            let path = path.clone();
            Ok(Part { blob, path, file, hasher, length, bytes, _reservation: reservation })
        };
        open().map_err(|error| io_error(&path, &error))
    }

    /// Keeps a finished blob, if it is what it should be.
    pub(super) fn finish(&self, part: &Part) -> Result<PathBuf, BlobError> {
        part.file.sync_all().map_err(|error| io_error(&part.path, &error))?;
        self.keep(&part.path, part.blob, part.bytes)?;
        Ok(self.file(part.blob))
    }

    fn keep(&self, path: &Path, blob: BlobId, bytes: u64) -> Result<(), BlobError> {
        let file = self.file(blob);
        let mut held = self.lock();
        fs::rename(path, &file)
            .and_then(|()| File::open(&self.dir)?.sync_all())
            .map_err(|error| io_error(&file, &error))?;
        held.whole.insert(blob, bytes);
        self.changed.notify_one();
        Ok(())
    }

    /// Says which blobs are referred to from now on; all others are not.
    pub(super) fn retain(&self, referenced: BTreeSet<BlobId>) {
        let mut held = self.lock();
        let before = std::mem::replace(&mut held.referenced, referenced);
        for blob in before.symmetric_difference(&held.referenced) {
            if held.whole.contains_key(blob) {
                self.touch(*blob);
            }
        }
    }

    /// Notes that a blob was wanted just now.
    pub(super) fn touch(&self, blob: BlobId) {
        let path = self.file(blob);
        let now = time(self.now_ms());
        let touched = File::options().write(true).open(&path);
        warn_failed(&path, touched.and_then(|file| file.set_modified(now)));
    }

    /// Deletes what was not referred to for long; says how many.
    pub(super) fn collect(&self, now_ms: u64) -> usize {
        let mut held = self.lock();
        let is_old = |path: &Path| {
            let modified = fs::metadata(path).and_then(|metadata| metadata.modified());
            let age = modified.map(|modified| time(now_ms).duration_since(modified));
            // A file from the future, or one that cannot be read, has no age.
            matches!(age, Ok(Ok(age)) if age > limits::BLOB_UNREFERENCED)
        };
        for blob in held.referenced.iter().filter(|blob| held.whole.contains_key(blob)) {
            self.touch(*blob);
        }
        let unreferenced =
            |blob: &&BlobId| !held.referenced.contains(blob) && !held.is_busy(**blob);
        let files = held.whole.keys().filter(unreferenced).map(|blob| (*blob, self.file(*blob)));
        let parts = held.parts.keys().filter(unreferenced);
        let parts = parts.map(|blob| (*blob, self.part_file(*blob)));
        let old: Vec<_> = files.chain(parts).filter(|(_, path)| is_old(path)).collect();
        for (blob, path) in &old {
            match fs::remove_file(path) {
                Ok(()) if path.extension().is_some() => drop(held.parts.remove(blob)),
                Ok(()) => drop(held.whole.remove(blob)),
                Err(error) => warn_failed(path, Err(error)),
            }
        }
        if !old.is_empty() {
            tracing::info!(count = old.len(), "deleted blobs that nothing refers to");
            self.changed.notify_one();
        }
        old.len()
    }

    /// The time, for [`BlobStore::collect`].
    pub(super) fn now_ms(&self) -> u64 {
        self.clock.now().wall_ms
    }

    fn file(&self, blob: BlobId) -> PathBuf {
        self.dir.join(blob.to_string())
    }

    fn part_file(&self, blob: BlobId) -> PathBuf {
        self.dir.join(format!("{blob}.{PART}"))
    }

    fn lock(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Room that is set aside until this is dropped.
#[derive(Debug)]
pub(super) struct Reservation {
    store: Arc<BlobStore>,
    ticket: u64,
}

impl Drop for Reservation {
    fn drop(&mut self) {
        let mut held = self.store.lock();
        let Some(Reserved { blob: Some(blob), .. }) = held.reserved.remove(&self.ticket) else {
            return;
        };
        if held.is_busy(blob) {
            return;
        }
        match fs::metadata(self.store.part_file(blob)) {
            Ok(left) => held.parts.insert(blob, left.len()),
            Err(_) => held.parts.remove(&blob),
        };
    }
}

/// A blob of which some is here.
#[derive(Debug)]
pub(super) struct Part {
    blob: BlobId,
    path: PathBuf,
    file: File,
    hasher: Sha256,
    length: u64,
    bytes: u64,
    _reservation: Reservation,
}

impl Part {
    /// Which.
    pub(super) fn blob(&self) -> BlobId {
        self.blob
    }

    /// How much of it is here.
    pub(super) fn length(&self) -> u64 {
        self.length
    }

    /// How large it will be.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Is what is here what it should be?
    pub(super) fn is_right(&self) -> bool {
        self.length == self.bytes && self.hasher.clone().finalize() == self.blob.0
    }

    /// Writes what comes next.
    pub(super) fn append(&mut self, bytes: &[u8]) -> Result<(), BlobError> {
        self.file.write_all(bytes).map_err(|error| io_error(&self.path, &error))?;
        self.hasher.update(bytes);
        self.length += bytes.len() as u64;
        Ok(())
    }

    /// Forgets what is here.
    pub(super) fn restart(&mut self) -> Result<(), BlobError> {
        let emptied = self.file.set_len(0).and_then(|()| self.file.seek(SeekFrom::Start(0)));
        emptied.map_err(|error| io_error(&self.path, &error))?;
        self.hasher = Sha256::new();
        self.length = 0;
        Ok(())
    }
}

/// Opens an unfinished blob. A write of a transfer that was stopped may still be on its way to the disk: what
/// is hashed here must not change under us.
fn open_alone(path: &Path) -> io::Result<File> {
    loop {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(0o600);
        let file = options.open(path)?;
        file.lock()?;
        // Whoever had it may have finished or deleted it.
        match fs::metadata(path) {
            Ok(now) if now.ino() == file.metadata()?.ino() => return Ok(file),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
}

fn hash(mut file: File) -> io::Result<(BlobId, u64)> {
    let mut hasher = Sha256::new();
    let bytes = digest(&mut file, &mut hasher)?;
    Ok((BlobId(hasher.finalize().into()), bytes))
}

fn digest(file: &mut File, hasher: &mut Sha256) -> io::Result<u64> {
    each_chunk(file, |chunk| {
        hasher.update(chunk);
        Ok(())
    })
}

fn each_chunk(
    from: &mut impl Read,
    mut each: impl FnMut(&[u8]) -> io::Result<()>,
) -> io::Result<u64> {
    let mut buffer = vec![0; limits::BLOB_CHUNK_BYTES];
    let mut bytes = 0;
    loop {
        let read = match from.read(&mut buffer) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            read => read?,
        };
        match buffer.get(..read) {
            None | Some([]) => return Ok(bytes),
            Some(chunk) => each(chunk)?,
        }
        bytes += read as u64;
    }
}

fn copy(from: &mut File, path: &Path, to: &Path, bytes: u64) -> Result<BlobId, BlobError> {
    let failed = |error: io::Error| io_error(to, &error);
    let mut file =
        OpenOptions::new().write(true).create_new(true).mode(0o600).open(to).map_err(failed)?;
    let mut hasher = Sha256::new();
    // One more than there should be, to notice a file that grows.
    let copied = each_chunk(&mut from.take(bytes + 1), |chunk| {
        hasher.update(chunk);
        file.write_all(chunk)
    });
    if copied.map_err(failed)? != bytes {
        return Err(io_error(path, &io::Error::other("it changed while it was read")));
    }
    file.sync_all().map_err(failed)?;
    Ok(BlobId(hasher.finalize().into()))
}

fn time(wall_ms: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_millis(wall_ms)
}

pub(super) fn io_error(path: &Path, error: &io::Error) -> BlobError {
    BlobError::Io { path: path.to_owned(), reason: error.to_string() }
}

fn warn_failed(path: &Path, result: io::Result<()>) {
    if let Err(error) = result {
        tracing::warn!(path = %path.display(), %error, "cannot change a blob");
    }
}
