//! The store on a disk that fails: full, gone for a while, or without power in the middle of a write.

use std::{
    collections::BTreeMap,
    io,
    sync::{Arc, Mutex, MutexGuard},
};

use proptest::prelude::*;
use redb::StorageBackend;

use super::*;

/// A disk in memory: what was forced there, and what may be lost with the power.
#[derive(Debug, Clone, Default)]
struct Disk(Arc<Mutex<Content>>);

#[derive(Debug, Default)]
struct Content {
    /// What reads see.
    now: Vec<u8>,
    /// What survives for sure.
    forced: Vec<u8>,
    /// Since then, in order. Each may have reached the disk or not, whole or in part.
    unforced: Vec<Change>,
    /// Writes and changes of length that still work.
    left: Option<usize>,
}

#[derive(Debug, Clone)]
enum Change {
    Length(usize),
    Bytes(usize, Vec<u8>),
}

/// What a disk writes in one go.
const SECTOR: usize = 512;

impl Content {
    fn take_one(&mut self) -> Result<(), io::Error> {
        match &mut self.left {
            Some(0) => Err(io::ErrorKind::StorageFull.into()),
            Some(left) => {
                *left -= 1;
                Ok(())
            }
            None => Ok(()),
        }
    }
}

fn apply(bytes: &mut Vec<u8>, change: &Change) {
    match change {
        Change::Length(length) => bytes.resize(*length, 0),
        Change::Bytes(at, new) => {
            let end = at + new.len();
            if bytes.len() < end {
                bytes.resize(end, 0);
            }
            bytes[*at..end].copy_from_slice(new);
        }
    }
}

impl Disk {
    fn content(&self) -> MutexGuard<'_, Content> {
        self.0.lock().unwrap()
    }

    fn open(&self) -> Result<Database, DatabaseError> {
        Database::builder().create_with_backend(self.clone())
    }

    /// After so many changes the disk is full.
    fn fill_after(&self, changes: Option<usize>) {
        self.content().left = changes;
    }

    /// The disk after a loss of power: of each sector written since the last sync, chance decides.
    fn without_power(&self, mut reaches: impl FnMut() -> bool) -> Self {
        let content = self.content();
        let mut bytes = content.forced.clone();
        for change in &content.unforced {
            match change {
                Change::Length(_) if reaches() => apply(&mut bytes, change),
                Change::Length(_) => {}
                Change::Bytes(at, new) => {
                    for (number, sector) in new.chunks(SECTOR).enumerate() {
                        if reaches() {
                            let part = Change::Bytes(at + number * SECTOR, sector.to_vec());
                            apply(&mut bytes, &part);
                        }
                    }
                }
            }
        }
        let content = Content { now: bytes.clone(), forced: bytes, ..Content::default() };
        Self(Arc::new(Mutex::new(content)))
    }
}

impl StorageBackend for Disk {
    fn len(&self) -> Result<u64, io::Error> {
        Ok(self.content().now.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> Result<(), io::Error> {
        let at = offset as usize;
        let content = self.content();
        let bytes = content.now.get(at..at + out.len());
        out.copy_from_slice(bytes.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn set_len(&self, len: u64) -> Result<(), io::Error> {
        self.change(Change::Length(len as usize))
    }

    fn sync_data(&self) -> Result<(), io::Error> {
        let mut content = self.content();
        if content.left == Some(0) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        content.forced = content.now.clone();
        content.unforced.clear();
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> Result<(), io::Error> {
        self.change(Change::Bytes(offset as usize, data.to_vec()))
    }
}

impl Disk {
    fn change(&self, change: Change) -> Result<(), io::Error> {
        let mut content = self.content();
        content.take_one()?;
        apply(&mut content.now, &change);
        content.unforced.push(change);
        Ok(())
    }
}

type Entries = BTreeMap<Vec<u8>, Vec<u8>>;

fn entries(database: &Database) -> Entries {
    let saved = load(database).unwrap();
    let shared = saved.entries.into_iter().filter(|(table, ..)| *table == Table::Shared);
    shared.map(|(_, key, value)| (key, value)).collect()
}

/// A batch that writes some of 20 keys, or removes them.
fn batch(upto: u64, writes: &[(u8, Option<u16>)]) -> Batch {
    let write = |(key, length): &(u8, Option<u16>)| Write {
        table: Table::Shared,
        key: vec![*key],
        value: length.map(|length| vec![upto as u8; usize::from(length)]),
    };
    Batch { upto, urgent: true, writes: writes.iter().map(write).collect() }
}

fn after(before: &Entries, writes: &[(u8, Option<u16>)], upto: u64) -> Entries {
    let mut entries = before.clone();
    for write in batch(upto, writes).writes {
        match write.value {
            Some(value) => entries.insert(write.key, value),
            None => entries.remove(&write.key),
        };
    }
    entries
}

fn writes() -> impl Strategy<Value = Vec<(u8, Option<u16>)>> {
    prop::collection::vec((0..20_u8, prop::option::weighted(0.8, 0..3000_u16)), 1..6)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_was_acknowledged_survives_a_loss_of_power_at_any_moment(
        batches in prop::collection::vec((writes(), any::<bool>()), 1..12),
        fails_after in 1..400_usize,
        chances in prop::collection::vec(any::<bool>(), 64),
    ) {
        let disk = Disk::default();
        let database = disk.open().unwrap();
        begin(&database, 7, 1000).unwrap();
        let mut writer = Writer::new(|| disk.open(), database);
        // The power goes when the disk has taken so many more changes.
        disk.fill_after(Some(fails_after));
        let (mut acknowledged, mut written) = (Entries::new(), vec![Entries::new()]);
        for (upto, (writes, urgent)) in (1..).zip(&batches) {
            let last = after(written.last().unwrap(), writes, upto);
            written.push(last.clone());
            if writer.commit(vec![batch(upto, writes)], *urgent).is_err() {
                break;
            }
            if *urgent {
                acknowledged = last;
                written = vec![acknowledged.clone()];
            }
        }
        let mut chances = chances.iter().cycle();
        let survived = disk.without_power(|| *chances.next().unwrap());
        let found = entries(&survived.open().unwrap());
        prop_assert!(written.contains(&found), "{found:?} is none of {written:?}, {acknowledged:?} at least");
        prop_assert_eq!(begin(&survived.open().unwrap(), 8, 500).unwrap().0, NodeId(7));
    }

    #[test]
    fn what_a_full_disk_refused_is_there_once_it_has_room(
        batches in prop::collection::vec((writes(), any::<bool>()), 1..12),
        fails_after in 0..300_usize,
    ) {
        let disk = Disk::default();
        let database = disk.open().unwrap();
        begin(&database, 7, 1000).unwrap();
        let mut writer = Writer::new(|| disk.open(), database);
        disk.fill_after(Some(fails_after));
        let mut all = Entries::new();
        for (upto, (writes, urgent)) in (1..).zip(&batches) {
            all = after(&all, writes, upto);
            if let Err(error) = writer.commit(vec![batch(upto, writes)], *urgent) {
                prop_assert!(!error.to_string().is_empty());
                prop_assert_eq!(writer.waits(), Some(RETRY));
            }
        }
        disk.fill_after(None);
        writer.commit(Vec::new(), true).unwrap();
        prop_assert_eq!(writer.waits(), None);
        drop(writer);
        prop_assert_eq!(entries(&disk.without_power(|| false).open().unwrap()), all);
    }
}

#[test]
fn whoever_waits_is_told_that_the_disk_is_full_and_later_writes_are_confirmed() {
    let disk = Disk::default();
    let database = disk.open().unwrap();
    begin(&database, 7, 1000).unwrap();
    let (batches, inbox) = mpsc::channel();
    let (stored, mut outcomes) = tokio_mpsc::unbounded_channel();
    let writer = Writer::new(
        {
            let disk = disk.clone();
            move || disk.open()
        },
        database,
    );
    disk.fill_after(Some(0));
    let thread = thread::spawn(move || run(writer, &inbox, &stored));
    batches.send(batch(1, &[(1, Some(10))])).unwrap();
    let Some(Stored::Failed(reason)) = outcomes.blocking_recv() else { panic!() };
    assert!(reason.contains("full") || reason.contains("space"), "{reason}");
    disk.fill_after(None);
    // It tries again by itself.
    assert!(matches!(outcomes.blocking_recv(), Some(Stored::Upto(1))));
    batches.send(batch(2, &[(2, Some(10))])).unwrap();
    assert!(matches!(outcomes.blocking_recv(), Some(Stored::Upto(2))));
    drop(batches);
    thread.join().unwrap();
    assert_eq!(entries(&disk.without_power(|| false).open().unwrap()).len(), 2);
}
