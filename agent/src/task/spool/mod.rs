//! What publishers did not take yet, on disk: `DIR/<step>/<number>.seg`.
//!
//! Each publish step has a [`Queue`]. A batch is written before it is published and marked when it
//! was, so a snapd that is killed loses nothing it has collected: what was written is in the
//! hands of the system, which does not die with us. Against a power cut files are synced now and
//! then. All queues together stay below a limit: the oldest segment goes first, and what was in it is
//! counted.
//!
//! Invariant: the sum of the files is `used`, and at most `limit`.

mod queue;
mod record;

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    fs::{self, DirBuilder, OpenOptions},
    io,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::{Duration, SystemTime},
};

use rustix::fs::{FlockOperation, flock};
use sha2::{Digest, Sha256};

pub(crate) use self::queue::{Aside, QueueReport, now_ms};
pub(super) use self::queue::{Batch, Queue};

/// Size of all queues unless told otherwise, in bytes.
pub(crate) const DEFAULT_SIZE: u64 = 256 * 1024 * 1024;
/// A segment is at most so large, but for one batch; in bytes.
const SEGMENT_BYTES: u64 = 4 * 1024 * 1024;
/// Into how many segments the space is parted at least.
const SEGMENTS: u64 = 64;
/// The smallest segment, in bytes.
const LEAST_SEGMENT_BYTES: u64 = 4096;
/// How much of the hash of a step's name is the name of its directory, in bytes.
const HASH_BYTES: usize = 16;
/// What nobody asked for in so long goes.
const ORPHAN_TIME: Duration = Duration::from_secs(7 * 86_400);

/// The queues of this node. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Spool(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    dir: PathBuf,
    limit: u64,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Holds the lock, once it is open.
    lock: Option<fs::File>,
    used: u64,
    /// By directory.
    queues: BTreeMap<PathBuf, Weak<Queue>>,
    /// Directories of steps that are not there, or not yet.
    orphans: BTreeMap<PathBuf, Orphan>,
}

#[derive(Debug)]
struct Orphan {
    bytes: u64,
    changed: SystemTime,
}

/// Why there is no place on disk. The fault is the system's, or of who set it up.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum SpoolError {
    /// Another daemon has the directory.
    #[error("`{0}` is in use by another snapd")]
    InUse(PathBuf),
    /// The system refuses.
    #[error("cannot keep metrics in `{dir}`: {error}")]
    Io {
        /// The directory.
        dir: PathBuf,
        /// What the system said.
        error: io::Error,
    },
}

impl Spool {
    /// Queues in a directory, which is made when the first one is needed, of so many bytes together.
    pub(crate) fn new(dir: PathBuf, limit: u64) -> Self {
        Self(Arc::new(Shared { dir, limit, state: Mutex::default() }))
    }

    /// The queue of a step, with all that is left in it. The same name is the same queue.
    pub(super) fn attach(&self, name: &str) -> Result<Arc<Queue>, SpoolError> {
        let dir = self.0.dir.join(hash(name));
        let mut state = self.0.lock();
        self.0.open(&mut state)?;
        if let Some(queue) = state.queues.get(&dir).and_then(Weak::upgrade) {
            return Ok(queue);
        }
        if let Some(orphan) = state.orphans.remove(&dir) {
            state.used = state.used.saturating_sub(orphan.bytes);
        }
        let io = |error| SpoolError::Io { dir: dir.clone(), error };
        make_dir(&dir).map_err(io)?;
        fs::write(dir.join("for"), format!("{name}\n")).map_err(io)?;
        let (queue, bytes) = Queue::open(dir.clone(), Arc::downgrade(&self.0)).map_err(io)?;
        state.used = state.used.saturating_add(bytes);
        let queue = Arc::new(queue);
        state.queues.insert(dir, Arc::downgrade(&queue));
        Ok(queue)
    }

    /// Bytes on disk.
    #[cfg(test)]
    pub(crate) fn used(&self) -> u64 {
        self.0.lock().used
    }

    /// Has the disk take what was written since the last time. Blocks.
    pub(super) fn sync(&self) {
        let queues: Vec<_> = self.0.lock().queues.values().filter_map(Weak::upgrade).collect();
        for queue in queues {
            queue.sync();
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn segment_bytes(&self) -> u64 {
        (self.limit / SEGMENTS).clamp(LEAST_SEGMENT_BYTES, SEGMENT_BYTES)
    }

    fn open(&self, state: &mut State) -> Result<(), SpoolError> {
        if state.lock.is_some() {
            return Ok(());
        }
        let io = |error| SpoolError::Io { dir: self.dir.clone(), error };
        make_dir(&self.dir).map_err(io)?;
        let mut options = OpenOptions::new();
        options.create(true).truncate(false).write(true).mode(0o600);
        let lock = options.open(self.dir.join("lock")).map_err(io)?;
        match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Err(rustix::io::Errno::WOULDBLOCK) => return Err(SpoolError::InUse(self.dir.clone())),
            other => other.map_err(|error| io(error.into()))?,
        }
        for entry in fs::read_dir(&self.dir).map_err(io)? {
            let path = entry.map_err(io)?.path();
            // Whatever else someone keeps here is not ours.
            if !is_ours(&path) {
                continue;
            }
            let Ok((bytes, changed)) = measure(&path) else { continue };
            if changed.elapsed().is_ok_and(|age| age > ORPHAN_TIME) {
                // If it stays, it is an orphan as before.
                if fs::remove_dir_all(&path).is_ok() {
                    continue;
                }
            }
            state.used = state.used.saturating_add(bytes);
            state.orphans.insert(path, Orphan { bytes, changed });
        }
        state.lock = Some(lock);
        Ok(())
    }

    /// Takes so many bytes into account, for which older ones may have to go. `false`: there is no
    /// room even so.
    fn reserve(&self, bytes: u64) -> bool {
        let mut state = self.lock();
        while state.used.saturating_add(bytes) > self.limit {
            if !state.drop_oldest() {
                return false;
            }
        }
        state.used += bytes;
        true
    }

    /// So many bytes are gone.
    fn free(&self, bytes: u64) {
        let mut state = self.lock();
        state.used = state.used.saturating_sub(bytes);
    }

    /// A queue is not needed any more.
    fn forget(&self, dir: &Path) {
        self.lock().queues.remove(dir);
    }
}

impl State {
    /// Drops what is oldest, if there is anything.
    fn drop_oldest(&mut self) -> bool {
        let orphan = self.orphans.iter().min_by_key(|(_, orphan)| orphan.changed);
        if let Some(path) = orphan.map(|(path, _)| path.clone())
            && let Some(orphan) = self.orphans.remove(&path)
        {
            // What cannot be removed is in nobody's way but the disk's.
            let _ = fs::remove_dir_all(&path);
            self.used = self.used.saturating_sub(orphan.bytes);
            return true;
        }
        let queues = self.queues.values().filter_map(Weak::upgrade);
        let oldest =
            queues.filter_map(|queue| Some((queue.oldest()?, queue))).min_by_key(|(time, _)| *time);
        let Some((_, queue)) = oldest else { return false };
        self.used = self.used.saturating_sub(queue.drop_oldest());
        true
    }
}

fn make_dir(dir: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(dir)
}

/// Is this the directory of a queue?
fn is_ours(dir: &Path) -> bool {
    let name = dir.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let hex = name.len() == 2 * HASH_BYTES && name.bytes().all(|byte| byte.is_ascii_hexdigit());
    hex && dir.join("for").is_file()
}

/// Bytes of the segments in a directory, and when it changed last.
fn measure(dir: &Path) -> io::Result<(u64, SystemTime)> {
    let mut bytes = 0;
    let mut changed = SystemTime::UNIX_EPOCH;
    for entry in fs::read_dir(dir)? {
        let about = entry?.metadata()?;
        bytes += about.len();
        changed = changed.max(about.modified()?);
    }
    Ok((bytes, changed))
}

fn hash(name: &str) -> String {
    let hash = Sha256::digest(name.as_bytes());
    hash.iter().take(HASH_BYTES).fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests;
