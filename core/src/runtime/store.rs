//! The store of one node: an embedded database on a thread of its own.
//!
//! Writes someone waits for are on disk before they are confirmed; what was merely heard is grouped
//! with them, or follows soon. The database survives `kill -9` and the loss of power at any moment. If the disk is full or
//! fails, whoever waits is told so, and all that is not on disk is tried again until it is. This module knows
//! tables and bytes, not what they mean.

#[cfg(test)]
mod tests;

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::{DirBuilderExt, PermissionsExt},
    path::Path,
    sync::mpsc,
    thread,
    time::Duration,
};

use redb::{
    Database, DatabaseError, Durability, ReadableDatabase, ReadableTable, TableDefinition,
    TableError,
};
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
/// Says how the rest is to be read. It grows when an older build could not read it any more.
const FORMAT_KEY: &[u8] = b"format";
const FORMAT: u64 = 1;
/// Writes of one commit.
const GROUP: usize = 256;
/// What was merely heard is forced to disk once nothing came for this long; the engine hands it over in
/// groups that are farther apart.
const QUIET: Duration = Duration::from_millis(500);
/// What could not be written is tried again this often.
const RETRY: Duration = Duration::from_secs(1);

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
    let make = {
        let file = file.clone();
        move || Database::builder().set_cache_size(CACHE_BYTES).create(&file)
    };
    let database = make().map_err(|error| match error {
        DatabaseError::DatabaseAlreadyOpen => failed("another process has it open".to_owned()),
        error => failed(error.to_string()),
    })?;
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600))
        .map_err(|error| failed(error.to_string()))?;
    let format = format(&database).map_err(|error| failed(error.to_string()))?;
    if format > FORMAT {
        return Err(failed(format!(
            "a newer version wrote it (format {format}, this one reads up to {FORMAT}): start that version, \
             or give this one another data directory"
        )));
    }
    let read = begin(&database, random_id, wall_ms);
    let (id, epoch, saved) = read.map_err(|error| failed(error.to_string()))?;
    let writer = Writer::new(make, database);
    let (batches, inbox) = mpsc::channel();
    let thread = thread::Builder::new()
        .name("tribe-store".to_owned())
        .spawn(move || run(writer, &inbox, &stored))
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

/// The format of a store; a new one, and one from before there were formats, has the first.
fn format(database: &Database) -> Result<u64, redb::Error> {
    match database.begin_read()?.open_table(LOCAL) {
        Ok(local) => Ok(number(&local, FORMAT_KEY)?.unwrap_or(1)),
        Err(TableError::TableDoesNotExist(_)) => Ok(FORMAT),
        Err(error) => Err(error.into()),
    }
}

fn begin(
    database: &Database,
    random_id: u64,
    wall_ms: u64,
) -> Result<(NodeId, u64, Saved), redb::Error> {
    let transaction = database.begin_write()?;
    for table in TABLES {
        transaction.open_table(definition(table))?;
    }
    let (id, epoch) = {
        let mut local = transaction.open_table(LOCAL)?;
        let id = number(&local, ID_KEY)?.unwrap_or(random_id);
        let last = number(&local, EPOCH_KEY)?;
        let epoch = last.map_or(wall_ms, |last| wall_ms.max(last.saturating_add(1)));
        local.insert(FORMAT_KEY, FORMAT.to_le_bytes().as_slice())?;
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
    let Some(bytes) = table.get(key)? else { return Ok(None) };
    let number = bytes.value().try_into().map_err(|_| {
        let key = String::from_utf8_lossy(key);
        redb::Error::Corrupted(format!("`{key}` is no number of 8 bytes"))
    })?;
    Ok(Some(u64::from_le_bytes(number)))
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

fn run<M: Fn() -> Result<Database, DatabaseError>>(
    mut writer: Writer<M>,
    inbox: &mpsc::Receiver<Batch>,
    stored: &tokio_mpsc::UnboundedSender<Stored>,
) {
    let mut upto = 0;
    loop {
        let first = match next(inbox, writer.waits()) {
            Ok(batch) => Some(batch),
            Err(mpsc::RecvTimeoutError::Timeout) => None,
            Err(mpsc::RecvTimeoutError::Disconnected) => break,
        };
        let is_quiet = first.is_none();
        let batches: Vec<Batch> =
            first.into_iter().chain(inbox.try_iter().take(GROUP - 1)).collect();
        upto = batches.iter().map(|batch| batch.upto).fold(upto, u64::max);
        let urgent = is_quiet || batches.iter().any(|batch| batch.urgent);
        let outcome = match writer.commit(batches, urgent) {
            Ok(()) => Stored::Upto(upto),
            // Whoever waits was told already.
            Err(_) if is_quiet => continue,
            Err(error) => Stored::Failed(error.to_string()),
        };
        if stored.send(outcome).is_err() {
            tracing::trace!("nobody waits for the store any more");
        }
    }
    // What was only heard and not yet forced to disk goes there at the end.
    if let Err(error) = writer.commit(Vec::new(), true) {
        tracing::warn!(%error, "the last heard records are not on disk");
    }
}

/// The next batch. With something that is not on disk it is waited for a moment only.
fn next(
    inbox: &mpsc::Receiver<Batch>,
    wait: Option<Duration>,
) -> Result<Batch, mpsc::RecvTimeoutError> {
    match wait {
        None => inbox.recv().map_err(|_| mpsc::RecvTimeoutError::Disconnected),
        Some(wait) => inbox.recv_timeout(wait),
    }
}

/// Writes to the database, and to another one if that failed: a database that failed once takes nothing more.
struct Writer<M> {
    make: M,
    database: Option<Database>,
    /// What is not surely on disk, the last value of each key.
    unforced: BTreeMap<(Table, Vec<u8>), Option<Vec<u8>>>,
}

impl<M: Fn() -> Result<Database, DatabaseError>> Writer<M> {
    fn new(make: M, database: Database) -> Self {
        Self { make, database: Some(database), unforced: BTreeMap::new() }
    }

    /// How long a batch may be waited for before what is not on disk is to be forced there.
    fn waits(&self) -> Option<Duration> {
        match &self.database {
            None => Some(RETRY),
            Some(_) => (!self.unforced.is_empty()).then_some(QUIET),
        }
    }

    /// Writes batches, after a failure with all that was not on disk before it.
    fn commit(&mut self, batches: Vec<Batch>, urgent: bool) -> Result<(), redb::Error> {
        let writes: Vec<Write> = batches.into_iter().flat_map(|batch| batch.writes).collect();
        let Some(database) = &self.database else {
            self.keep(writes);
            return self.begin_again();
        };
        let entries = writes.iter().map(|write| (write.table, &write.key, &write.value));
        let done = commit(database, entries, urgent);
        match &done {
            Ok(()) if urgent => self.unforced.clear(),
            Ok(()) => self.keep(writes),
            Err(_) => {
                self.keep(writes);
                self.database = None;
            }
        }
        done
    }

    fn keep(&mut self, writes: Vec<Write>) {
        let entries = writes.into_iter().map(|Write { table, key, value }| ((table, key), value));
        self.unforced.extend(entries);
    }

    fn begin_again(&mut self) -> Result<(), redb::Error> {
        let database = (self.make)()?;
        let entries = self.unforced.iter().map(|((table, key), value)| (*table, key, value));
        commit(&database, entries, true)?;
        tracing::info!("the data directory can be written to again");
        self.unforced.clear();
        self.database = Some(database);
        Ok(())
    }
}

fn commit<'a>(
    database: &Database,
    writes: impl Iterator<Item = (Table, &'a Vec<u8>, &'a Option<Vec<u8>>)> + Clone,
    urgent: bool,
) -> Result<(), redb::Error> {
    let mut transaction = database.begin_write()?;
    transaction.set_durability(if urgent { Durability::Immediate } else { Durability::None })?;
    for table in TABLES {
        let mut open = transaction.open_table(definition(table))?;
        for (_, key, value) in writes.clone().filter(|(of, ..)| *of == table) {
            match value {
                Some(value) => open.insert(key.as_slice(), value.as_slice())?,
                None => open.remove(key.as_slice())?,
            };
        }
    }
    transaction.commit()?;
    Ok(())
}
