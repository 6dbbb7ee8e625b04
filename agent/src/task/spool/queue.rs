//! The batches of one step, in the order in which they were collected.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    fs::{self, File, OpenOptions},
    io,
    os::unix::fs::{FileExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::{SystemTime, UNIX_EPOCH},
};

use tokio::sync::Notify;
use tracing::warn;

use super::{
    Shared,
    record::{self, Fate, Found, HEAD},
};
use crate::plugin::{Metric, batch};

/// How many of the newest batches stay in memory as well: those of a publisher that keeps up.
const IN_MEMORY: usize = 4;
/// How many stay in memory alone while the disk refuses.
const WITHOUT_DISK: usize = 64;
/// How many batches that were set aside are named in a report.
const NAMED: usize = 10;

/// The queue of a step.
#[derive(Debug)]
pub(crate) struct Queue {
    dir: PathBuf,
    spool: Weak<Shared>,
    inner: Mutex<Inner>,
    pushed: Notify,
}

#[derive(Debug, Default)]
struct Inner {
    waiting: VecDeque<Waiting>,
    segments: BTreeMap<u64, Segment>,
    /// The segment that grows.
    active: Option<u64>,
    next_segment: u64,
    next_id: u64,
    aside: VecDeque<Aside>,
    dropped: u64,
    torn: u64,
    /// Why the disk refuses.
    trouble: Option<String>,
    /// The segments that the disk may not have yet.
    dirty: BTreeSet<u64>,
    /// It was removed.
    closed: bool,
}

#[derive(Debug)]
struct Waiting {
    id: u64,
    time_ms: u64,
    /// Absent when the disk refused.
    place: Option<Slot>,
    memory: Option<Arc<[Metric]>>,
}

/// Where a batch stands.
#[derive(Debug, Clone, Copy)]
struct Slot {
    segment: u64,
    at: u64,
    bytes: u32,
}

#[derive(Debug)]
struct Segment {
    file: File,
    path: PathBuf,
    bytes: u64,
    /// Batches that wait, or were set aside.
    live: usize,
    /// When the first batch was collected.
    time_ms: u64,
}

/// A batch that is to be published.
#[derive(Debug, Clone)]
pub(crate) struct Batch {
    pub(crate) id: u64,
    /// When it was collected.
    pub(crate) time_ms: u64,
    pub(crate) metrics: Arc<[Metric]>,
}

/// A batch that was set aside.
#[derive(Debug, Clone)]
pub(crate) struct Aside {
    /// When it was collected.
    pub(crate) time_ms: u64,
    pub(crate) metrics: usize,
    /// What the publisher said; absent if snapd was started again since.
    pub(crate) failure: Option<String>,
    segment: u64,
}

/// How a queue is.
#[derive(Debug, Clone, Default)]
pub(crate) struct QueueReport {
    /// Batches that wait.
    pub(crate) waiting: usize,
    pub(crate) bytes: u64,
    /// When the oldest of them was collected.
    pub(crate) oldest_ms: Option<u64>,
    /// Batches that had to go because of the limit.
    pub(crate) dropped: u64,
    /// Records that a crash left unreadable.
    pub(crate) torn: u64,
    /// How many were set aside.
    pub(crate) set_aside: usize,
    /// The last of those.
    pub(crate) aside: Vec<Aside>,
    /// Why the disk refuses, if it does.
    pub(crate) trouble: Option<String>,
}

impl Queue {
    /// A queue with what its directory holds, and how many bytes that is.
    pub(super) fn open(dir: PathBuf, spool: Weak<Shared>) -> io::Result<(Self, u64)> {
        let mut numbers = Vec::new();
        for entry in fs::read_dir(&dir)? {
            let name = entry?.file_name();
            let number = name.to_str().and_then(|name| name.strip_suffix(".seg"));
            numbers.extend(number.and_then(|number| u64::from_str_radix(number, 16).ok()));
        }
        numbers.sort_unstable();
        let mut inner = Inner::default();
        let mut bytes = 0;
        for number in numbers {
            inner.next_segment = number.saturating_add(1);
            bytes += inner.recover(&dir, number)?;
        }
        Ok((Self { dir, spool, inner: Mutex::new(inner), pushed: Notify::new() }, bytes))
    }

    /// Appends a batch.
    pub(crate) fn push(&self, metrics: Arc<[Metric]>, time_ms: u64) {
        let mut record = vec![0; HEAD];
        batch::encode(&metrics, &mut record);
        let sealed = record::seal(&mut record, Fate::Waits, metrics.len(), time_ms);
        let bytes = record.len() as u64;
        let room = sealed.is_some() && self.spool().is_some_and(|spool| spool.reserve(bytes));
        let mut inner = self.lock();
        if inner.closed || !room {
            // Larger than all the space there is.
            inner.dropped += 1;
            if room {
                drop(inner);
                self.free(bytes);
            }
            return;
        }
        let written = inner.append(&self.dir, self.segment_bytes(), &record, time_ms);
        let refused = written.is_err();
        let place = match written {
            Ok(place) => {
                inner.trouble = None;
                Some(place)
            }
            Err(error) => {
                inner.refused(&self.dir, &error);
                None
            }
        };
        let id = inner.id();
        inner.waiting.push_back(Waiting { id, time_ms, place, memory: Some(metrics) });
        inner.forget_old();
        drop(inner);
        if refused {
            self.free(bytes);
        }
        self.pushed.notify_one();
    }

    /// Comes back when a batch was pushed.
    pub(crate) async fn pushed(&self) {
        self.pushed.notified().await;
    }

    /// The batch that waits behind so many others.
    pub(crate) fn get(&self, behind: usize) -> Option<Batch> {
        loop {
            let mut inner = self.lock();
            let waiting = inner.waiting.get(behind)?;
            let (id, time_ms) = (waiting.id, waiting.time_ms);
            if let Some(metrics) = &waiting.memory {
                return Some(Batch { id, time_ms, metrics: Arc::clone(metrics) });
            }
            match waiting.place.map(|place| inner.read(place)) {
                Some(Ok(metrics)) => return Some(Batch { id, time_ms, metrics: metrics.into() }),
                _ => {
                    inner.torn += 1;
                    drop(inner);
                    self.done(id);
                }
            }
        }
    }

    /// A batch was published.
    pub(crate) fn done(&self, id: u64) {
        let freed = {
            let mut inner = self.lock();
            let index = inner.waiting.iter().position(|waiting| waiting.id == id);
            let waiting = index.and_then(|index| inner.waiting.remove(index));
            waiting.and_then(|waiting| waiting.place).map_or(0, |place| inner.finish(place))
        };
        self.free(freed);
    }

    /// A batch fails though others pass: it goes out of the way, to a segment of its own.
    pub(crate) fn set_aside(&self, batch: &Batch, failure: &str) {
        let mut record = vec![0; HEAD];
        batch::encode(&batch.metrics, &mut record);
        let metrics = batch.metrics.len();
        let sealed = record::seal(&mut record, Fate::Aside, metrics, batch.time_ms);
        let bytes = record.len() as u64;
        let room = sealed.is_some() && self.spool().is_some_and(|spool| spool.reserve(bytes));
        let kept = room && self.keep_aside(batch, &record, failure);
        if room && !kept {
            self.free(bytes);
        }
        // Only now, for a crash in between must not lose it.
        self.done(batch.id);
    }

    fn keep_aside(&self, batch: &Batch, record: &[u8], failure: &str) -> bool {
        let mut inner = self.lock();
        match inner.segment(&self.dir, record, batch.time_ms) {
            Ok(segment) => {
                inner.aside.push_back(Aside {
                    time_ms: batch.time_ms,
                    metrics: batch.metrics.len(),
                    failure: Some(failure.to_owned()),
                    segment,
                });
                true
            }
            Err(error) => {
                inner.dropped += 1;
                inner.refused(&self.dir, &error);
                false
            }
        }
    }

    /// How it is.
    pub(crate) fn report(&self) -> QueueReport {
        let inner = self.lock();
        QueueReport {
            waiting: inner.waiting.len(),
            bytes: inner.segments.values().map(|segment| segment.bytes).sum(),
            oldest_ms: inner.waiting.front().map(|waiting| waiting.time_ms),
            dropped: inner.dropped,
            torn: inner.torn,
            set_aside: inner.aside.len(),
            aside: inner.aside.iter().rev().take(NAMED).cloned().collect(),
            trouble: inner.trouble.clone(),
        }
    }

    /// Does nothing wait?
    #[cfg(test)]
    pub(crate) fn is_empty(&self) -> bool {
        self.lock().waiting.is_empty()
    }

    /// Removes it with all that is in it. Whoever still has it finds it empty.
    pub(crate) fn remove(&self) {
        let freed: u64 = {
            let mut inner = self.lock();
            inner.closed = true;
            inner.waiting.clear();
            inner.aside.clear();
            inner.active = None;
            let segments = std::mem::take(&mut inner.segments);
            segments.values().map(|segment| segment.bytes).sum()
        };
        self.free(freed);
        if let Some(spool) = self.spool() {
            spool.forget(&self.dir);
        }
        if let Err(error) = fs::remove_dir_all(&self.dir) {
            warn!(dir = %self.dir.display(), %error, "cannot remove what was kept of a task");
        }
    }

    /// When the oldest segment began.
    pub(super) fn oldest(&self) -> Option<u64> {
        let inner = self.lock();
        inner.segments.values().find(|one| one.bytes > 0).map(|one| one.time_ms)
    }

    /// Drops the oldest segment and says how many bytes it had.
    pub(super) fn drop_oldest(&self) -> u64 {
        let mut inner = self.lock();
        let Some((number, segment)) = inner.segments.pop_first() else { return 0 };
        if inner.active == Some(number) {
            inner.active = None;
        }
        let before = inner.waiting.len() + inner.aside.len();
        let in_it = |place: Option<Slot>| place.is_some_and(|place| place.segment == number);
        inner.waiting.retain(|waiting| !in_it(waiting.place));
        inner.aside.retain(|aside| aside.segment != number);
        let gone = before - inner.waiting.len() - inner.aside.len();
        inner.dropped += gone as u64;
        // The space counts as free even if the name stays: nobody has it open any more.
        let _ = fs::remove_file(&segment.path);
        segment.bytes
    }

    /// Has the disk take what was written. Blocks.
    pub(super) fn sync(&self) {
        let files: Vec<_> = {
            let mut inner = self.lock();
            // What a publisher keeps up with is gone before the disk has it.
            if inner.dirty.is_empty() || inner.waiting.len() <= 1 {
                return;
            }
            let dirty = std::mem::take(&mut inner.dirty);
            let segments = dirty.iter().filter_map(|number| inner.segments.get(number));
            let files = segments.filter_map(|segment| segment.file.try_clone().ok());
            files.chain(File::open(&self.dir).ok()).collect()
        };
        for file in files {
            if let Err(error) = file.sync_data() {
                warn!(dir = %self.dir.display(), %error, "cannot sync what is kept of a task");
            }
        }
    }

    fn spool(&self) -> Option<Arc<Shared>> {
        self.spool.upgrade()
    }

    fn segment_bytes(&self) -> u64 {
        self.spool().map_or(0, |spool| spool.segment_bytes())
    }

    fn free(&self, bytes: u64) {
        if bytes > 0
            && let Some(spool) = self.spool()
        {
            spool.free(bytes);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn id(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id
    }

    /// Reads what a segment holds, and says how many bytes it has.
    fn recover(&mut self, dir: &Path, number: u64) -> io::Result<u64> {
        let path = path(dir, number);
        let content = fs::read(&path)?;
        let (mut at, mut live, mut first) = (0, 0, None);
        loop {
            let (head, next) = match record::read(&content, at) {
                Found::Record(head, next) => (head, next),
                Found::Spoiled(next) => {
                    self.torn += 1;
                    at = next;
                    continue;
                }
                Found::Torn => {
                    self.torn += 1;
                    break;
                }
                Found::End => break,
            };
            first.get_or_insert(head.time_ms);
            let (time_ms, metrics) = (head.time_ms, head.metrics as usize);
            match head.fate {
                Fate::Done => {}
                Fate::Waits => {
                    let place = Slot { segment: number, at: at as u64, bytes: head.bytes };
                    let id = self.id();
                    let place = Some(place);
                    self.waiting.push_back(Waiting { id, time_ms, place, memory: None });
                    live += 1;
                }
                Fate::Aside => {
                    self.aside.push_back(Aside {
                        time_ms,
                        metrics,
                        failure: None,
                        segment: number,
                    });
                    live += 1;
                }
            }
            at = next;
        }
        if live == 0 {
            fs::remove_file(&path)?;
            return Ok(0);
        }
        let file = OpenOptions::new().read(true).write(true).open(&path)?;
        let bytes = content.len() as u64;
        let time_ms = first.unwrap_or_default();
        self.segments.insert(number, Segment { file, path, bytes, live, time_ms });
        Ok(bytes)
    }

    /// Writes a record behind the others.
    fn append(
        &mut self,
        dir: &Path,
        segment_bytes: u64,
        record: &[u8],
        time_ms: u64,
    ) -> io::Result<Slot> {
        let bytes = u32::try_from(record.len().saturating_sub(HEAD)).unwrap_or(u32::MAX);
        let active = self.active.and_then(|number| Some((number, self.segments.get_mut(&number)?)));
        if let Some((number, segment)) = active
            && segment.bytes.saturating_add(record.len() as u64) <= segment_bytes
        {
            let at = segment.bytes;
            segment.file.write_all_at(record, at)?;
            if at == 0 {
                segment.time_ms = time_ms;
            }
            segment.bytes += record.len() as u64;
            segment.live += 1;
            self.dirty.insert(number);
            return Ok(Slot { segment: number, at, bytes });
        }
        let number = self.segment(dir, record, time_ms)?;
        self.active = Some(number);
        Ok(Slot { segment: number, at: 0, bytes })
    }

    /// Makes a segment of one record.
    fn segment(&mut self, dir: &Path, record: &[u8], time_ms: u64) -> io::Result<u64> {
        let number = self.next_segment;
        self.next_segment = number.saturating_add(1);
        let path = path(dir, number);
        let mut options = OpenOptions::new();
        options.create(true).truncate(true).read(true).write(true).mode(0o600);
        let file = options.open(&path)?;
        if let Err(error) = file.write_all_at(record, 0) {
            // A part of a record is worth nothing.
            let _ = fs::remove_file(&path);
            return Err(error);
        }
        let bytes = record.len() as u64;
        self.dirty.insert(number);
        self.segments.insert(number, Segment { file, path, bytes, live: 1, time_ms });
        Ok(number)
    }

    fn read(&self, place: Slot) -> io::Result<Vec<Metric>> {
        let segment = self.segments.get(&place.segment).ok_or(io::ErrorKind::NotFound)?;
        let mut bytes = vec![0; place.bytes as usize];
        segment.file.read_exact_at(&mut bytes, place.at + HEAD as u64)?;
        batch::decode(&bytes).map_err(io::Error::other)
    }

    /// The batch in this place is no longer needed. Says how many bytes are free now.
    fn finish(&mut self, place: Slot) -> u64 {
        let Some(segment) = self.segments.get_mut(&place.segment) else { return 0 };
        segment.live = segment.live.saturating_sub(1);
        if segment.live > 0 {
            // If that fails it is published twice, which is better than never.
            let _ = segment.file.write_all_at(&[Fate::Done.byte()], place.at);
            return 0;
        }
        let freed = segment.bytes;
        if self.active == Some(place.segment) && segment.file.set_len(0).is_ok() {
            segment.bytes = 0;
            return freed;
        }
        if self.active == Some(place.segment) {
            self.active = None;
        }
        if let Some(segment) = self.segments.remove(&place.segment) {
            let _ = fs::remove_file(&segment.path);
        }
        freed
    }

    /// Those that do not have to stay in memory go from there, and without a disk the oldest go.
    fn forget_old(&mut self) {
        if let Some(index) = self.waiting.len().checked_sub(IN_MEMORY + 1)
            && let Some(old) = self.waiting.get_mut(index)
            && old.place.is_some()
        {
            old.memory = None;
        }
        let lost = |waiting: &Waiting| waiting.place.is_none();
        if self.trouble.is_some()
            && self.waiting.iter().filter(|it| lost(it)).count() > WITHOUT_DISK
        {
            let first = self.waiting.iter().position(lost);
            if first.and_then(|index| self.waiting.remove(index)).is_some() {
                self.dropped += 1;
            }
        }
    }

    fn refused(&mut self, dir: &Path, error: &io::Error) {
        if self.trouble.is_none() {
            warn!(dir = %dir.display(), %error, "cannot keep metrics on disk");
        }
        self.trouble = Some(format!("cannot keep metrics in `{}`: {error}", dir.display()));
    }
}

/// Milliseconds since 1970.
pub(crate) fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

fn path(dir: &Path, number: u64) -> PathBuf {
    dir.join(format!("{number:016x}.seg"))
}
