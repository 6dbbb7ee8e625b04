//! The store of one node: an embedded database on a thread of its own.
//!
//! Writes someone waits for are on disk before they are confirmed; what was merely heard is grouped
//! with them, or follows soon. The database survives `kill -9` at any moment. This module knows tables and bytes, not
//! what they mean.

use std::{
    fs,
    os::unix::fs::{DirBuilderExt, PermissionsExt},
    path::{Path, PathBuf},
    sync::mpsc,
    thread,
    time::Duration,
};

use redb::{Database, Durability, ReadableDatabase, ReadableTable, TableDefinition};
use tokio::sync::mpsc as tokio_mpsc;

use super::StartError;
use crate::{
    NodeId,
    engine::{EPOCH_KEY, Saved, Table, Write},
};

const LOCAL: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("local");
const TABLES: [Table; 3] = [Table::Shared, Table::Owned, Table::Local];

fn definition(table: Table) -> TableDefinition<'static, &'static [u8], &'static [u8]> {
    match table {
        Table::Shared => TableDefinition::new("shared"),
        Table::Owned => TableDefinition::new("owned"),
        Table::Local => LOCAL,
    }
}

const FILE: &str = "state.redb";
const CACHE_BYTES: usize = 1024 * 1024;
const ID_KEY: &[u8] = b"id";
/// Writes of one commit.
const GROUP: usize = 256;
/// What was merely heard is forced to disk once nothing came for this long; the engine hands it over in
/// groups that are farther apart.
const QUIET: Duration = Duration::from_millis(500);

/// What a data directory held when it was opened.
pub(super) struct Opened {
    pub(super) id: NodeId,
    /// On disk already, and greater than any before.
    pub(super) epoch: u64,
    pub(super) saved: Saved,
    pub(super) store: Store,
}

/// A batch of writes; the number is confirmed once they are on disk.
pub(super) struct Batch {
    pub(super) upto: u64,
    pub(super) urgent: bool,
    pub(super) writes: Vec<Write>,
}

/// What became of batches.
pub(super) enum Stored {
    /// All up to this one are on disk.
    Upto(u64),
    /// Writing failed.
    Failed(String),
}

/// The running store.
pub(super) struct Store {
    batches: Option<mpsc::Sender<Batch>>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Store {
    /// Hands writes over. They are written in this order.
    pub(super) fn write(&self, batch: Batch) {
        if let Some(batches) = &self.batches {
            // The thread ends only after this sender; a failed write does not end it.
            let _ = batches.send(batch);
        }
    }

    /// Waits until all is written. Blocks.
    pub(super) fn close(mut self) {
        self.batches = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Opens a data directory, makes it if there is none, and begins a new epoch. Blocks.
pub(super) fn open(
    path: &Path,
    random_id: u64,
    wall_ms: u64,
    stored: tokio_mpsc::UnboundedSender<Stored>,
) -> Result<Opened, StartError> {
    let failed = |reason: String| StartError::DataDir { path: path.to_owned(), reason };
    make_private(path).map_err(|error| failed(error.to_string()))?;
    let file = path.join(FILE);
    let database = Database::builder().set_cache_size(CACHE_BYTES).create(&file).map_err(
        |error| match error {
            redb::DatabaseError::DatabaseAlreadyOpen => {
                failed("another process has it open".to_owned())
            }
            error => failed(error.to_string()),
        },
    )?;
    let read = begin(&database, &file, random_id, wall_ms);
    let (id, epoch, saved) = read.map_err(|error| failed(error.to_string()))?;
    let (batches, inbox) = mpsc::channel();
    let thread = thread::Builder::new()
        .name("tribe-store".to_owned())
        .spawn(move || run(&database, &inbox, &stored))
        .map_err(|error| failed(error.to_string()))?;
    Ok(Opened { id, epoch, saved, store: Store { batches: Some(batches), thread: Some(thread) } })
}

pub(super) fn make_private(path: &Path) -> std::io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path)?;
    let mode = fs::metadata(path)?.permissions().mode();
    if mode & 0o077 != 0 {
        fs::set_permissions(path, fs::Permissions::from_mode(0o700))?;
    }
    Ok(())
}

fn begin(
    database: &Database,
    file: &PathBuf,
    random_id: u64,
    wall_ms: u64,
) -> Result<(NodeId, u64, Saved), redb::Error> {
    fs::set_permissions(file, fs::Permissions::from_mode(0o600))?;
    let transaction = database.begin_write()?;
    for table in TABLES {
        transaction.open_table(definition(table))?;
    }
    let (id, epoch) = {
        let mut local = transaction.open_table(LOCAL)?;
        let id = number(&local, ID_KEY)?.unwrap_or(random_id);
        let last = number(&local, EPOCH_KEY)?;
        let epoch = last.map_or(wall_ms, |last| wall_ms.max(last.saturating_add(1)));
        local.insert(ID_KEY, id.to_le_bytes().as_slice())?;
        local.insert(EPOCH_KEY, epoch.to_le_bytes().as_slice())?;
        (NodeId(id), epoch)
    };
    transaction.commit()?;
    Ok((id, epoch, load(database)?))
}

fn number(
    table: &impl ReadableTable<&'static [u8], &'static [u8]>,
    key: &[u8],
) -> Result<Option<u64>, redb::Error> {
    let bytes = table.get(key)?;
    Ok(bytes.and_then(|bytes| bytes.value().try_into().ok()).map(u64::from_le_bytes))
}

fn load(database: &Database) -> Result<Saved, redb::Error> {
    let transaction = database.begin_read()?;
    let mut entries = Vec::new();
    for table in TABLES {
        for entry in transaction.open_table(definition(table))?.iter()? {
            let (key, value) = entry?;
            entries.push((table, key.value().to_vec(), value.value().to_vec()));
        }
    }
    Ok(Saved { entries })
}

fn run(
    database: &Database,
    inbox: &mpsc::Receiver<Batch>,
    stored: &tokio_mpsc::UnboundedSender<Stored>,
) {
    let mut forced = true;
    let mut broken: Option<String> = None;
    loop {
        let first = match next(inbox, forced) {
            Ok(batch) => Some(batch),
            Err(mpsc::RecvTimeoutError::Timeout) => None,
            Err(mpsc::RecvTimeoutError::Disconnected) => break,
        };
        let is_quiet = first.is_none();
        let batches: Vec<Batch> =
            first.into_iter().chain(inbox.try_iter().take(GROUP - 1)).collect();
        let upto = batches.iter().map(|batch| batch.upto).max().unwrap_or_default();
        forced = is_quiet || batches.iter().any(|batch| batch.urgent);
        // After a failure nothing more is confirmed: a later success would confirm what was lost.
        if broken.is_none() {
            broken = commit(database, &batches, forced).err().map(|error| error.to_string());
        }
        let outcome = broken.clone().map_or(Stored::Upto(upto), Stored::Failed);
        if stored.send(outcome).is_err() {
            tracing::trace!("nobody waits for the store any more");
        }
    }
    // What was only heard and not yet forced to disk goes there at the end.
    if let Err(error) = commit(database, &[], true) {
        tracing::warn!(%error, "the last heard records are not on disk");
    }
}

/// The next batch. With something not forced to disk it is waited for a moment only.
fn next(inbox: &mpsc::Receiver<Batch>, forced: bool) -> Result<Batch, mpsc::RecvTimeoutError> {
    if forced {
        inbox.recv().map_err(|_| mpsc::RecvTimeoutError::Disconnected)
    } else {
        inbox.recv_timeout(QUIET)
    }
}

fn commit(database: &Database, batches: &[Batch], urgent: bool) -> Result<(), redb::Error> {
    let mut transaction = database.begin_write()?;
    transaction.set_durability(if urgent { Durability::Immediate } else { Durability::None })?;
    for table in TABLES {
        let mut open = transaction.open_table(definition(table))?;
        let writes = batches.iter().flat_map(|batch| &batch.writes);
        for write in writes.filter(|write| write.table == table) {
            match &write.value {
                Some(value) => open.insert(write.key.as_slice(), value.as_slice())?,
                None => open.remove(write.key.as_slice())?,
            };
        }
    }
    transaction.commit()?;
    Ok(())
}
