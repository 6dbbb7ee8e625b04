//! Blobs between real nodes on loopback.

#![cfg(feature = "runtime")]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod support;

use std::{collections::BTreeSet, fs, time::Duration};

use tempfile::TempDir;
use tribe::{BlobError, BlobId, Blobs, Node, View};

use self::support::{config, until};

/// More than enough for anything that is waited for here.
const LONG: Duration = Duration::from_secs(60);
const SIZE: usize = 3_000_000;

/// A node with a data directory.
struct Host {
    dir: TempDir,
    node: Node,
}

impl Host {
    async fn start(name: &str, seed: Option<&Node>) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let node = Node::start(config(name, seed, Some(dir.path()))).await.unwrap();
        Self { dir, node }
    }

    fn blobs(&self) -> Blobs {
        self.node.blobs().unwrap()
    }

    async fn add(&self, content: &[u8]) -> BlobId {
        let file = self.dir.path().join("file");
        fs::write(&file, content).unwrap();
        let (blob, bytes) = self.blobs().add_file(&file).await.unwrap();
        assert_eq!(bytes, content.len() as u64);
        blob
    }
}

/// The first of them is the seed of the others.
async fn hosts<const COUNT: usize>() -> [Host; COUNT] {
    let mut hosts: Vec<Host> = Vec::new();
    for at in 1..=COUNT {
        let seed = hosts.first().map(|host| host.node.clone());
        hosts.push(Host::start(&format!("n{at}"), seed.as_ref()).await);
    }
    for host in &hosts {
        until(LONG, &host.node, "all meet", |view| view.members.len() == COUNT && view.synced)
            .await;
    }
    hosts.try_into().unwrap_or_else(|_| unreachable!("there are as many as were started"))
}

fn offering(view: &View, blob: BlobId) -> BTreeSet<String> {
    let members = view.members.values();
    let holders = members.filter(|member| member.offers.blobs.contains(&blob));
    holders.map(|member| member.name.to_string()).collect()
}

async fn until_offered(node: &Node, blob: BlobId, by: &[&str]) {
    let by: BTreeSet<String> = by.iter().map(|name| (*name).to_owned()).collect();
    until(LONG, node, "it is offered", |view| offering(view, blob) == by).await;
}

fn content(seed: u8) -> Vec<u8> {
    (0..SIZE).map(|at| (at % 251) as u8 ^ seed).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_blob_is_fetched_from_whoever_holds_it_and_damage_is_noticed() {
    let [one, two, three] = hosts().await;
    let bytes = content(1);
    let blob = one.add(&bytes).await;
    assert_eq!(two.add(&bytes).await, blob);
    until_offered(&three.node, blob, &["n1", "n2"]).await;
    let damaged = one.blobs().path(blob).unwrap();
    fs::write(&damaged, content(2)).unwrap();
    let path = three.blobs().fetch(blob, SIZE as u64).await.unwrap();
    assert_eq!(fs::read(&path).unwrap(), bytes);
    assert_eq!(three.blobs().path(blob), Some(path));
    until_offered(&one.node, blob, &["n1", "n2", "n3"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_blob_of_the_only_holder_is_refused() {
    let [one, two] = hosts().await;
    let blob = one.add(&content(1)).await;
    until_offered(&two.node, blob, &["n1"]).await;
    fs::write(one.blobs().path(blob).unwrap(), content(2)).unwrap();
    let error = two.blobs().fetch(blob, SIZE as u64).await.unwrap_err();
    let expected = format!("blob {blob} cannot be fetched: `n1`: it sent wrong bytes");
    assert_eq!(error.to_string(), expected);
    assert_eq!(two.blobs().path(blob), None);
    let unknown = BlobId([9; 32]);
    let nobody = two.blobs().fetch(unknown, 1).await;
    assert_eq!(nobody, Err(BlobError::NoHolder { blob: unknown }));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn others_are_asked_to_hold_a_blob_until_enough_do() {
    let [one, two, three, four] = hosts().await;
    let without = Node::start(config("n5", Some(&one.node), None)).await.unwrap();
    assert!(without.blobs().is_none());
    until(LONG, &one.node, "all meet", |view| view.members.len() == 5).await;
    let blob = one.add(&content(1)).await;
    // One that cannot is asked first, and then the preferred one that can.
    let prefer = [without.id(), three.node.id()];
    let holders = one.blobs().replicate(blob, 3, &prefer, LONG).await;
    let names: BTreeSet<&str> = holders.iter().map(|name| name.as_str()).collect();
    assert_eq!((names.len(), names.contains("n1"), names.contains("n3")), (3, true, true));
    for host in [&two, &three, &four] {
        let holds = host.blobs().path(blob).is_some();
        assert_eq!(holds, names.contains(host.node.name().as_str()), "{names:?}");
    }
    let all = one.blobs().replicate(blob, 9, &[], LONG).await;
    assert_eq!(all.len(), 4, "all that can: {all:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_offers_what_is_whole_and_goes_on_with_what_is_not() {
    let [one, two] = hosts().await;
    let bytes = content(1);
    let (whole, damaged) = (one.add(&bytes).await, one.add(&content(2)).await);
    until_offered(&two.node, damaged, &["n1"]).await;
    fs::write(one.blobs().path(damaged).unwrap(), content(3)).unwrap();
    let blobs = one.blobs();
    one.node.stop().await;
    assert_eq!(blobs.fetch(BlobId([9; 32]), 1).await, Err(BlobError::Closed));
    two.node.stop().await;
    let part = two.dir.path().join(format!("blobs/{whole}.part"));
    fs::write(&part, &bytes[..SIZE / 2]).unwrap();
    let one_again = Node::start(config("n1", None, Some(one.dir.path()))).await.unwrap();
    let two_again = Node::start(config("n2", Some(&one_again), Some(two.dir.path()))).await;
    let two_again = two_again.unwrap();
    until_offered(&two_again, whole, &["n1"]).await;
    until_offered(&two_again, damaged, &[]).await;
    let path = two_again.blobs().unwrap().fetch(whole, SIZE as u64).await.unwrap();
    assert_eq!(fs::read(path).unwrap(), bytes);
    assert!(!part.exists());
    assert_eq!(one_again.blobs().unwrap().path(damaged), None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_alone_has_blobs_within_its_quota() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = config("n1", None, Some(dir.path()));
    (config.alone, config.blob_quota) = (true, SIZE as u64);
    let host = Host { node: Node::start(config).await.unwrap(), dir };
    let blob = host.add(&content(1)).await;
    let names = host.blobs().replicate(blob, 3, &[], LONG).await;
    assert_eq!(names, [host.node.name().clone()]);
    let file = host.dir.path().join("file");
    fs::write(&file, [1]).unwrap();
    assert_eq!(
        host.blobs().add_file(&file).await.unwrap_err().to_string(),
        "a blob of 1 bytes does not fit: blobs take 3000000 of 3000000 bytes here"
    );
}
