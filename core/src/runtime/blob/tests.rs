//! Blobs among nodes without a network: streams are pipes in memory.

#[cfg(feature = "sim")]
mod hostile;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use sha2::{Digest, Sha256};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex},
    sync::watch,
};

use super::{
    BlobError,
    fetch::{Fetcher, Peers},
    store::BlobStore,
    wire::{self, Answer, Ask},
};
use crate::{BlobId, NodeName, limits, runtime::clock::Clock};

const SIZE: u64 = 700_000;
const HOUR_MS: u64 = 3_600_000;

/// How another node behaves.
#[derive(Clone)]
enum Peer {
    /// As it should.
    Honest(Arc<Fetcher<Others>>),
    /// Sends so much of these bytes, of what was asked for, and hangs up.
    Cuts(Vec<u8>, usize),
    /// Says that the blob has so many bytes.
    Lies(u64),
    /// Does not speak the protocol.
    Babbles,
    /// Sends nothing.
    Sleeps,
}

/// The other nodes, all of which offer everything.
#[derive(Default)]
struct Others {
    peers: BTreeMap<NodeName, Peer>,
    /// Known to this one, but not as holders.
    strangers: BTreeMap<NodeName, Peer>,
    dialled: AtomicUsize,
}

impl Peers for Others {
    type Stream = DuplexStream;

    fn offering(&self, _: BlobId) -> Vec<NodeName> {
        self.peers.keys().cloned().collect()
    }

    async fn dial(&self, node: &NodeName) -> Result<DuplexStream, String> {
        self.dialled.fetch_add(1, Ordering::Relaxed);
        let peer = self.peers.get(node).or_else(|| self.strangers.get(node));
        let peer = peer.ok_or("it is down")?.clone();
        let (here, mut there) = duplex(64 * 1024);
        tokio::spawn(async move { play(peer, &mut there).await });
        Ok(here)
    }

    async fn stopped(&self) {
        std::future::pending().await
    }
}

async fn play(peer: Peer, stream: &mut DuplexStream) {
    let most = limits::BLOB_IDLE;
    match peer {
        Peer::Honest(fetcher) => fetcher.answer(&name("caller"), stream).await.unwrap(),
        Peer::Cuts(bytes, sent) => {
            let Ask::Get { offset, .. } = wire::receive(stream, most).await.unwrap() else {
                panic!("not a get")
            };
            wire::send(stream, &Answer::Bytes(bytes.len() as u64)).await.unwrap();
            let rest = &bytes[offset as usize..];
            // Who has enough hangs up.
            let _ = stream.write_all(&rest[..sent.min(rest.len())]).await;
        }
        Peer::Lies(bytes) => {
            wire::receive::<_, Ask>(stream, most).await.unwrap();
            wire::send(stream, &Answer::Bytes(bytes)).await.unwrap();
            let _ = stream.write_all(&[0; 4096]).await;
        }
        Peer::Babbles => stream.write_all(&[0xff; 100]).await.unwrap(),
        Peer::Sleeps => std::future::pending().await,
    }
}

fn name(text: &str) -> NodeName {
    NodeName::parse(text).unwrap()
}

fn content(seed: u8, bytes: u64) -> Vec<u8> {
    (0..bytes).map(|at| (at % 251) as u8 ^ seed).collect()
}

fn id(bytes: &[u8]) -> BlobId {
    BlobId(Sha256::digest(bytes).into())
}

fn store_in(dir: &Path, quota: u64) -> (Arc<BlobStore>, Vec<BlobId>) {
    let (store, found) = BlobStore::open(dir, quota, Clock::start()).unwrap();
    (Arc::new(store), found)
}

/// A store that holds these.
fn store(contents: &[&[u8]]) -> (TempDir, Arc<BlobStore>) {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = store_in(dir.path(), u64::MAX);
    for content in contents {
        let file = dir.path().join("file");
        fs::write(&file, content).unwrap();
        assert_eq!(store.add(&file), Ok((id(content), content.len() as u64)));
    }
    (dir, store)
}

fn fetcher(store: &Arc<BlobStore>, peers: Vec<(&str, Peer)>) -> Arc<Fetcher<Others>> {
    let peers = peers.into_iter().map(|(text, peer)| (name(text), peer)).collect();
    fetcher_with(store, Others { peers, ..Others::default() })
}

fn fetcher_with(store: &Arc<BlobStore>, others: Others) -> Arc<Fetcher<Others>> {
    let (_, ready) = watch::channel(true);
    Arc::new(Fetcher::new(Arc::clone(store), others, Clock::start(), ready))
}

fn honest(contents: &[&[u8]]) -> (TempDir, Peer) {
    let (dir, store) = store(contents);
    (dir, Peer::Honest(fetcher(&store, Vec::new())))
}

fn file_names(dir: &Path) -> BTreeSet<String> {
    let entries = fs::read_dir(dir.join("blobs")).unwrap();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

#[test]
fn a_file_that_was_added_is_held_under_its_hash() {
    use std::os::unix::fs::PermissionsExt;
    let bytes = content(1, SIZE);
    let (dir, store) = store(&[&bytes, &bytes, b""]);
    let path = store.path(id(&bytes)).unwrap();
    assert_eq!(fs::read(&path).unwrap(), bytes);
    assert_eq!(path.file_name().unwrap().to_str(), Some(&*id(&bytes).to_string()));
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&path), mode(path.parent().unwrap())), (0o600, 0o700));
    assert_eq!(store.whole(), BTreeSet::from([id(&bytes), id(b"")]));
    assert_eq!(file_names(dir.path()).len(), 2);
    fs::remove_file(path).unwrap();
    assert_eq!(store.path(id(&bytes)), None);
}

#[test]
fn what_cannot_be_added_says_why_and_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = store_in(dir.path(), 1000);
    let file = dir.path().join("file");
    let missing = store.add(&file).unwrap_err();
    assert!(missing.to_string().ends_with("file: No such file or directory (os error 2)"));
    let directory = store.add(dir.path()).unwrap_err();
    assert!(directory.to_string().ends_with(": it is not a regular file"), "{directory}");
    fs::write(&file, [0; 600]).unwrap();
    let (blob, _) = store.add(&file).unwrap();
    fs::write(&file, [1; 401]).unwrap();
    let error = BlobError::Quota { bytes: 401, used: 600, quota: 1000 };
    assert_eq!(store.add(&file), Err(error));
    let large = fs::File::create(&file).unwrap();
    large.set_len(limits::BLOB_BYTES + 1).unwrap();
    let error = BlobError::TooLarge { bytes: limits::BLOB_BYTES + 1, most: limits::BLOB_BYTES };
    assert_eq!(store.add(&file), Err(error));
    assert_eq!(file_names(dir.path()), BTreeSet::from([blob.to_string()]));
}

#[test]
fn a_start_finds_what_is_whole_and_deletes_what_is_damaged() {
    let (one, two) = (content(1, SIZE), content(2, SIZE));
    let (dir, first) = store(&[&one, &two]);
    fs::write(first.path(id(&two)).unwrap(), &one).unwrap();
    fs::write(dir.path().join("blobs/7.tmp"), b"x").unwrap();
    let part = format!("{}.part", id(b"part"));
    fs::write(dir.path().join("blobs").join(&part), b"x").unwrap();
    drop(first);
    let (store, found) = store_in(dir.path(), u64::MAX);
    assert_eq!(BTreeSet::from_iter(found.clone()), BTreeSet::from([id(&one), id(&two)]));
    assert_eq!(store.path(id(&one)), None, "not before it is verified");
    for blob in found {
        store.verify(blob);
    }
    assert_eq!(store.whole(), BTreeSet::from([id(&one)]));
    assert_eq!(store.bytes(id(&one)), Some(SIZE));
    assert_eq!(file_names(dir.path()), BTreeSet::from([id(&one).to_string(), part]));
}

#[test]
fn what_nothing_refers_to_goes_after_a_day() {
    let (one, two) = (content(1, 10), content(2, 10));
    let (dir, store) = store(&[&one, &two]);
    let part = dir.path().join(format!("blobs/{}.part", id(b"part")));
    drop(store.part(id(b"part"), 100).unwrap());
    assert!(part.is_file());
    let now = store.now_ms();
    store.retain(BTreeSet::from([id(&one)]));
    assert_eq!(store.collect(now + 23 * HOUR_MS), 0);
    assert_eq!(store.collect(now + 25 * HOUR_MS), 2);
    assert!(!part.exists());
    assert_eq!(store.whole(), BTreeSet::from([id(&one)]));
    // A day counts from when it was last referred to, whatever the file's age.
    let file = fs::File::options().write(true).open(store.path(id(&one)).unwrap()).unwrap();
    file.set_modified(std::time::SystemTime::UNIX_EPOCH).unwrap();
    store.retain(BTreeSet::new());
    assert_eq!(store.collect(now + 23 * HOUR_MS), 0);
    assert_eq!(store.collect(now + 25 * HOUR_MS), 1);
    assert!(file_names(dir.path()).is_empty());
}

#[test]
fn unfinished_blobs_make_room_but_not_those_on_their_way() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = store_in(dir.path(), 1000);
    let mut left = store.part(id(b"left"), 800).unwrap();
    left.append(&[0; 500]).unwrap();
    assert!(matches!(store.part(id(b"other"), 300), Err(BlobError::Quota { used: 800, .. })));
    drop(left);
    let fits = store.part(id(b"other"), 300).unwrap();
    let resumed = store.part(id(b"left"), 700).unwrap();
    assert_eq!(resumed.length(), 500);
    drop((fits, resumed));
    drop(store.part(id(b"large"), 1000).unwrap());
    assert_eq!(file_names(dir.path()), BTreeSet::from([format!("{}.part", id(b"large"))]));
}

#[test]
fn a_part_is_resumed_only_once_who_wrote_it_is_done() {
    let (_dir, store) = store(&[]);
    let mut stopped = store.part(id(b"blob"), 100).unwrap();
    std::thread::scope(|scope| {
        let resumed = scope.spawn(|| store.part(id(b"blob"), 100).unwrap());
        stopped.append(&[0; 40]).unwrap();
        stopped.append(&[0; 20]).unwrap();
        drop(stopped);
        assert_eq!(resumed.join().unwrap().length(), 60);
    });
}

#[tokio::test]
async fn a_blob_is_fetched_and_then_held() {
    for bytes in [content(3, SIZE), Vec::new()] {
        let (_far, holder) = honest(&[&bytes]);
        let (dir, store) = store(&[]);
        let fetcher = fetcher(&store, vec![("n1", holder)]);
        let path = fetcher.fetch(id(&bytes), bytes.len() as u64).await.unwrap();
        assert_eq!(fs::read(path).unwrap(), bytes);
        assert_eq!(store.whole(), BTreeSet::from([id(&bytes)]));
        assert_eq!(file_names(dir.path()), BTreeSet::from([id(&bytes).to_string()]));
    }
}

#[tokio::test]
async fn many_who_want_one_blob_share_a_transfer() {
    let bytes = content(3, SIZE);
    let (_far, holder) = honest(&[&bytes]);
    let (_dir, store) = store(&[]);
    let fetcher = fetcher(&store, vec![("n1", holder)]);
    let (one, two, three) = tokio::join!(
        fetcher.fetch(id(&bytes), SIZE),
        fetcher.fetch(id(&bytes), SIZE),
        fetcher.fetch(id(&bytes), SIZE)
    );
    assert_eq!((one.is_ok(), &one, &two), (true, &two, &three));
    assert_eq!(fetcher.peers.dialled.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn a_cut_transfer_goes_on_where_it_stopped() {
    let bytes = content(3, SIZE);
    let (_dir, store) = store(&[]);
    let cuts = |sent| Peer::Cuts(bytes.clone(), sent);
    let peers = vec![("n1", cuts(300_000)), ("n2", cuts(300_000))];
    let error = fetcher(&store, peers).fetch(id(&bytes), SIZE).await.unwrap_err();
    let BlobError::Holders { holders, .. } = &error else { panic!("{error}") };
    let why: Vec<_> = holders.iter().map(|(_, why)| why.as_str()).collect();
    assert_eq!(
        why,
        [
            "the connection ended after 300000 of 700000 bytes",
            "the connection ended after 600000 of 700000 bytes",
        ]
    );
    let path = fetcher(&store, vec![("n3", cuts(100_000))]).fetch(id(&bytes), SIZE).await;
    assert_eq!(fs::read(path.unwrap()).unwrap(), bytes);
}

#[tokio::test]
async fn wrong_bytes_are_thrown_away_and_their_sender_is_not_asked_again() {
    let (bytes, wrong) = (content(3, SIZE), content(4, SIZE));
    let (_dir, store) = store(&[]);
    let fetcher_of = |peers| fetcher(&store, peers);
    let tampered = || Peer::Cuts(wrong.clone(), usize::MAX);
    let alone = fetcher_of(vec![("bad", tampered())]);
    for why in ["it sent wrong bytes", "it sent wrong bytes lately"] {
        let holders = vec![(name("bad"), why.to_owned())];
        let error = BlobError::Holders { blob: id(&bytes), holders };
        assert_eq!(alone.fetch(id(&bytes), SIZE).await, Err(error));
        assert!(store.whole().is_empty());
    }
    assert_eq!(alone.peers.dialled.load(Ordering::Relaxed), 1);
    let (_far, holder) = honest(&[&bytes]);
    let both = fetcher_of(vec![("bad", tampered()), ("good", holder)]);
    let path = both.fetch(id(&bytes), SIZE).await.unwrap();
    assert_eq!(fs::read(path).unwrap(), bytes);
}

#[tokio::test]
async fn a_good_holder_is_not_blamed_for_what_came_from_another() {
    let (bytes, wrong) = (content(3, SIZE), content(4, SIZE));
    let (_dir, store) = store(&[]);
    let cut = fetcher(&store, vec![("bad", Peer::Cuts(wrong, 300_000))]);
    assert!(cut.fetch(id(&bytes), SIZE).await.is_err());
    let (_far, holder) = honest(&[&bytes]);
    let good = fetcher(&store, vec![("good", holder)]);
    let path = good.fetch(id(&bytes), SIZE).await.unwrap();
    assert_eq!(fs::read(path).unwrap(), bytes);
    assert_eq!(good.peers.dialled.load(Ordering::Relaxed), 2, "once more, from the beginning");
}

#[tokio::test]
async fn holders_that_are_of_no_use_are_named_with_the_reason() {
    let (_far, empty) = honest(&[]);
    let check = async |peer: Peer, why: &str| {
        let (_dir, store) = store(&[]);
        let error = fetcher(&store, vec![("n1", peer)]).fetch(id(b"blob"), SIZE).await;
        let expected = format!("blob {} cannot be fetched: `n1`: {why}", id(b"blob"));
        assert_eq!(error.unwrap_err().to_string(), expected);
    };
    check(empty, "it does not hold it").await;
    check(Peer::Lies(SIZE + 1), "it has 700001 bytes where there should be 700000").await;
    check(Peer::Lies(u64::MAX), &format!("it has {} bytes where there should be 700000", u64::MAX))
        .await;
    check(Peer::Babbles, "it does not speak the protocol of blobs").await;
    check(Peer::Cuts(content(1, SIZE), 0), "the connection ended after 0 of 700000 bytes").await;
    let (_dir, store) = store(&[]);
    let nobody = fetcher(&store, Vec::new()).fetch(id(b"blob"), SIZE).await;
    assert_eq!(nobody, Err(BlobError::NoHolder { blob: id(b"blob") }));
}

#[tokio::test(start_paused = true)]
async fn a_holder_that_sends_nothing_is_given_up() {
    let (_dir, store) = store(&[]);
    let error = fetcher(&store, vec![("n1", Peer::Sleeps)]).fetch(id(b"blob"), SIZE).await;
    assert!(error.unwrap_err().to_string().ends_with("`n1`: nothing moved for 30 s"));
}

#[tokio::test]
async fn a_transfer_stops_when_nobody_waits_for_it() {
    let (_dir, store) = store(&[]);
    let fetcher = fetcher(&store, vec![("n1", Peer::Sleeps)]);
    let waiting = fetcher.fetch(id(b"blob"), SIZE);
    tokio::select! {
        _ = waiting => panic!("it sleeps"),
        () = until(|| fetcher.peers.dialled.load(Ordering::Relaxed) == 1) => {}
    }
    until(|| fetcher.is_idle()).await;
}

async fn until(holds: impl Fn() -> bool) {
    while !holds() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn who_is_asked_to_hold_a_blob_fetches_it_from_whoever_asks() {
    let bytes = content(5, SIZE);
    let (_one, source) = honest(&[&bytes]);
    let (_two, far) = store(&[]);
    let strangers = BTreeMap::from([(name("caller"), source)]);
    let holder = fetcher_with(&far, Others { strangers, ..Others::default() });
    let (_three, near) = store(&[&bytes]);
    let asker = fetcher(&near, vec![("holder", Peer::Honest(holder))]);
    asker.ask_to_hold(&name("holder"), id(&bytes), SIZE).await.unwrap();
    assert_eq!(far.whole(), BTreeSet::from([id(&bytes)]));
    let refused = asker.ask_to_hold(&name("holder"), id(b"x"), limits::BLOB_BYTES + 1).await;
    assert_eq!(
        refused.unwrap_err().to_string(),
        "536870913 bytes are too large for a blob, at most 536870912"
    );
}

#[tokio::test]
async fn no_bytes_of_a_peer_are_too_strange() {
    for bytes in [&[][..], &[0], &[0, 0], &[0xff, 0xff], &[0, 3, 9, 9, 9], &[0, 40, 0]] {
        let (_dir, store) = store(&[]);
        let fetcher = fetcher(&store, Vec::new());
        let (mut here, mut there) = duplex(1024);
        here.write_all(bytes).await.unwrap();
        here.shutdown().await.unwrap();
        assert!(fetcher.answer(&name("n1"), &mut there).await.is_err(), "{bytes:?}");
        drop(there);
        let mut answer = Vec::new();
        here.read_to_end(&mut answer).await.unwrap();
        assert!(answer.is_empty());
    }
}
