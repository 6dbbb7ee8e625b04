use std::time::Instant;

use proptest::prelude::*;
use tempfile::TempDir;

use super::{
    super::script::{metric, number},
    *,
};
use crate::plugin::Metric;

fn batch(number: i64) -> Arc<[Metric]> {
    vec![metric("/a/b", number)].into()
}

/// All that waits, in order.
fn drain(queue: &Queue) -> Vec<i64> {
    let mut numbers = Vec::new();
    while let Some(batch) = queue.get(0) {
        numbers.push(number(&batch.metrics));
        queue.done(batch.id);
    }
    numbers
}

/// The files of the only queue, in order.
fn segments(dir: &TempDir) -> Vec<PathBuf> {
    let queues = fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().path());
    let files = queues.filter(|path| path.is_dir()).flat_map(|path| fs::read_dir(path).unwrap());
    let mut files: Vec<_> = files.map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|end| end == "seg"));
    files.sort();
    files
}

fn bytes(dir: &TempDir) -> u64 {
    segments(dir).iter().map(|path| fs::metadata(path).unwrap().len()).sum()
}

fn open(dir: &TempDir, limit: u64) -> (Spool, Arc<Queue>) {
    attach(dir, limit, "step")
}

fn attach(dir: &TempDir, limit: u64, step: &str) -> (Spool, Arc<Queue>) {
    let begun = Instant::now();
    loop {
        let spool = Spool::new(dir.path().to_owned(), limit);
        match spool.attach(step) {
            // A process that another test is starting has all our files, locked ones too, for a moment.
            Err(SpoolError::InUse(_)) if begun.elapsed().as_secs() < 10 => std::thread::yield_now(),
            queue => return (spool, queue.unwrap()),
        }
    }
}

#[test]
fn what_waits_is_there_again_after_a_crash_and_in_order() {
    let dir = TempDir::new().unwrap();
    let (spool, queue) = open(&dir, 1 << 20);
    (0..10).for_each(|number| queue.push(batch(number), 5));
    let third = queue.get(2).unwrap();
    queue.done(third.id);
    queue.done(queue.get(0).unwrap().id);
    assert_eq!(spool.used(), bytes(&dir));
    drop((spool, queue));
    let (spool, queue) = open(&dir, 1 << 20);
    assert_eq!(queue.report().oldest_ms, Some(5));
    queue.push(batch(10), 6);
    assert_eq!(drain(&queue), [1, 3, 4, 5, 6, 7, 8, 9, 10]);
    assert_eq!((spool.used(), bytes(&dir)), (0, 0));
}

#[test]
fn a_publisher_that_keeps_up_leaves_nothing_on_disk() {
    let dir = TempDir::new().unwrap();
    let (spool, queue) = open(&dir, 1 << 20);
    for round in 0..100 {
        queue.push(batch(round), 1);
        assert_eq!(drain(&queue), [round]);
    }
    assert_eq!(spool.used(), 0);
    assert_eq!(segments(&dir).len(), 1);
}

#[test]
fn the_oldest_of_all_queues_goes_first_and_is_counted() {
    let dir = TempDir::new().unwrap();
    let (spool, one) = open(&dir, 16 * 1024);
    let two = spool.attach("other step").unwrap();
    (0..40).for_each(|number| one.push(batch(number), 1));
    (0..400).for_each(|number| two.push(batch(number), 2));
    assert!(spool.used() <= 16 * 1024);
    assert_eq!(spool.used(), bytes(&dir));
    assert_eq!(one.report().dropped, 40);
    let left = drain(&two);
    assert_eq!(left.len() as u64 + two.report().dropped, 400);
    // The newest are there, without a gap.
    assert!(left.len() > 100);
    assert_eq!(left, (400 - left.len() as i64..400).collect::<Vec<_>>());
}

#[test]
fn a_batch_larger_than_all_the_space_is_dropped_and_counted() {
    let dir = TempDir::new().unwrap();
    let (spool, queue) = open(&dir, 64);
    queue.push((0..100).map(|number| metric("/a/b", number)).collect(), 1);
    let report = queue.report();
    assert_eq!((report.waiting, report.dropped, spool.used()), (0, 1, 0));
}

#[test]
fn what_was_set_aside_stays_within_the_limit_and_out_of_the_way() {
    let dir = TempDir::new().unwrap();
    let (spool, queue) = open(&dir, 16 * 1024);
    (0..3).for_each(|number| queue.push(batch(number), 1));
    queue.set_aside(&queue.get(0).unwrap(), "no good");
    assert_eq!(drain(&queue), [1, 2]);
    assert_eq!(queue.report().aside[0].failure.as_deref(), Some("no good"));
    assert_eq!(spool.used(), bytes(&dir));
    drop((spool, queue));
    let (spool, queue) = open(&dir, 16 * 1024);
    assert_eq!((queue.report().set_aside, queue.report().waiting), (1, 0));
    (0..1000).for_each(|number| queue.push(batch(number), 2));
    assert_eq!(queue.report().set_aside, 0);
    assert!(spool.used() <= 16 * 1024);
}

#[test]
fn what_belongs_to_no_step_makes_room_first() {
    let dir = TempDir::new().unwrap();
    let (spool, queue) = open(&dir, 16 * 1024);
    (0..50).for_each(|number| queue.push(batch(number), 1));
    drop((spool, queue));
    let (spool, other) = attach(&dir, 16 * 1024, "other step");
    assert!(spool.used() > 0);
    let mut number = 0;
    while other.report().bytes < 15 * 1024 {
        other.push(batch(number), 1);
        number += 1;
    }
    assert_eq!(other.report().dropped, 0);
    assert!(spool.attach("step").unwrap().is_empty());
}

#[test]
fn what_someone_else_keeps_in_the_directory_stays() {
    let dir = TempDir::new().unwrap();
    for name in ["photos", "0123456789abcdef0123456789abcdef"] {
        fs::create_dir(dir.path().join(name)).unwrap();
        fs::write(dir.path().join(name).join("a"), [0; 60_000]).unwrap();
    }
    let (spool, queue) = open(&dir, 16 * 1024);
    assert_eq!(spool.used(), 0);
    (0..1000).for_each(|number| queue.push(batch(number), 1));
    assert!(dir.path().join("photos/a").exists());
    assert!(dir.path().join("0123456789abcdef0123456789abcdef/a").exists());
}

#[test]
fn a_directory_has_one_daemon() {
    let dir = TempDir::new().unwrap();
    let (_spool, _queue) = open(&dir, 1024);
    let second = Spool::new(dir.path().to_owned(), 1024).attach("step");
    assert!(matches!(second, Err(SpoolError::InUse(_))));
}

#[test]
fn a_disk_that_refuses_costs_no_batch_at_once() {
    let dir = TempDir::new().unwrap();
    let (spool, queue) = open(&dir, 1 << 20);
    // Root may write anywhere, but not below a file.
    let queue_dir = segments_dir(&dir);
    fs::remove_dir_all(&queue_dir).unwrap();
    fs::write(&queue_dir, "").unwrap();
    (0..3).for_each(|number| queue.push(batch(number), 1));
    assert!(queue.report().trouble.is_some_and(|text| text.starts_with("cannot keep metrics in")));
    assert_eq!(drain(&queue), [0, 1, 2]);
    (0..100).for_each(|number| queue.push(batch(number), 1));
    assert_eq!(queue.report().dropped, 36);
    assert_eq!(drain(&queue), (36..100).collect::<Vec<_>>());
    assert_eq!(spool.used(), 0);
}

fn segments_dir(dir: &TempDir) -> PathBuf {
    let mut entries = fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().path());
    entries.find(|path| path.is_dir()).unwrap()
}

#[test]
fn a_segment_cut_at_any_byte_gives_what_was_whole() {
    let dir = TempDir::new().unwrap();
    let (spool, queue) = open(&dir, 1 << 20);
    (0..3).for_each(|number| queue.push(batch(number), 1));
    drop((spool, queue));
    let path = segments(&dir).remove(0);
    let whole = fs::read(&path).unwrap();
    let record = whole.len() / 3;
    for cut in 0..=whole.len() {
        fs::write(&path, &whole[..cut]).unwrap();
        let (_spool, queue) = open(&dir, 1 << 20);
        let report = queue.report();
        assert_eq!(report.waiting, cut / record, "cut at {cut}");
        assert_eq!(report.torn, u64::from(cut % record != 0), "cut at {cut}");
        assert_eq!(drain(&queue), (0..(cut / record) as i64).collect::<Vec<_>>());
    }
}

proptest! {
    #[test]
    fn bytes_of_any_kind_are_no_harm(content in prop::collection::vec(any::<u8>(), 0..400)) {
        let dir = TempDir::new().unwrap();
        let (spool, queue) = open(&dir, 1 << 20);
        queue.push(batch(1), 1);
        drop((spool, queue));
        let path = segments(&dir).remove(0);
        fs::write(&path, [fs::read(&path).unwrap(), content].concat()).unwrap();
        let (spool, queue) = open(&dir, 1 << 20);
        queue.push(batch(2), 1);
        prop_assert_eq!(drain(&queue), [1, 2]);
        prop_assert_eq!(spool.used(), 0);
    }

    #[test]
    fn whatever_is_done_in_whatever_order_the_rest_is_there(
        acts in prop::collection::vec((0u8..4, 0usize..4), 0..60),
    ) {
        let dir = TempDir::new().unwrap();
        let (mut spool, mut queue) = open(&dir, 1 << 20);
        let (mut expected, mut next) = (Vec::new(), 0);
        for (act, at) in acts {
            match act {
                0 | 1 => {
                    queue.push(batch(next), 1);
                    expected.push(next);
                    next += 1;
                }
                2 => {
                    let batch = queue.get(at);
                    prop_assert_eq!(batch.is_some(), at < expected.len());
                    if let Some(batch) = batch {
                        prop_assert_eq!(number(&batch.metrics), expected.remove(at));
                        queue.done(batch.id);
                    }
                }
                _ => {
                    drop((spool, queue));
                    (spool, queue) = open(&dir, 1 << 20);
                }
            }
            prop_assert_eq!(spool.used(), bytes(&dir));
        }
        prop_assert_eq!(drain(&queue), expected);
    }
}
