//! Data directories of earlier builds, kept in `core/fixtures/store`: every later build reads them.
//!
//! ```text
//! TRIBE_UPDATE_CAPTURES=1 cargo test -p snap-tribe --all-features --test stored
//! ```
//!
//! writes one for this build where there is none of its format.

#![cfg(feature = "runtime")]
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that cannot go on fails")]

mod support;

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use redb::{Database, ReadableDatabase, ReadableTableMetadata, TableDefinition};
use tribe::{Key, MemberState, Node, Placement, PutOptions, StartError, Value, View};

use self::support::{config, until};

/// More than enough for anything that is waited for here.
const LONG: Duration = Duration::from_secs(30);
const FILE: &str = "state.redb";

fn fixture(format: u64) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("fixtures/store/v{format}")).join(FILE)
}

fn facts(name: &str, value: Value) -> BTreeMap<String, Value> {
    BTreeMap::from([(name.to_owned(), value)])
}

/// Something of each kind: said here, heard from another node, kept for this node alone.
async fn write(data_dir: &Path) {
    let kept = Node::start(config("kept", None, Some(data_dir))).await.unwrap();
    let other = Node::start(config("other", Some(&kept), None)).await.unwrap();
    until(LONG, &kept, "they meet", |view| view.members.len() == 2).await;
    kept.create_tribe("core", "what all run").await.unwrap();
    kept.join_tribe("core", Some("other")).await.unwrap();
    kept.leave_tribe("core", Some("later")).await.unwrap();
    kept.create_policy("racks", "{{rack}} == r1", "storage").await.unwrap();
    kept.enable_policy("racks", false).await.unwrap();
    let stopped = PutOptions { running: Some(false), ..PutOptions::default() };
    kept.put_item("core", "task", "cpu", b"every second".to_vec(), stopped).await.unwrap();
    kept.put_local_item("plugin", "own", b"of this node".to_vec(), PutOptions::default())
        .await
        .unwrap();
    kept.set_facts(None, facts("rack", "r1".into()), vec![]).await.unwrap();
    other.create_tribe("gone", "").await.unwrap();
    let written = other.delete_tribe("gone").await.unwrap();
    other.set_facts(None, facts("tier", 2.into()), vec![]).await.unwrap();
    assert!(other.wait(&written, LONG).await.unwrap().is_empty());
    until(LONG, &kept, "it heard", |view| {
        view.member("other").is_some_and(|other| other.facts.get("tier").is_some())
    })
    .await;
    kept.install_key(Key::from_bytes([8; 32])).await.unwrap();
    other.leave().await.unwrap();
    until(LONG, &kept, "the other left", |view| {
        view.member("other").is_some_and(|other| other.state == MemberState::Left)
    })
    .await;
    kept.stop().await;
}

fn fact(view: &View, node: &str, name: &str) -> Option<Value> {
    Some(view.member(node)?.facts.get(name)?.value.clone())
}

fn check(node: &Node) {
    let view = node.view();
    assert_eq!(
        view.tribes.keys().map(|name| name.as_str()).collect::<Vec<_>>(),
        ["core", "storage"]
    );
    let core = &view.tribes["core"];
    assert_eq!(core.description, "what all run");
    let placed: Vec<_> =
        core.placements.iter().map(|(node, placement)| (node.as_str(), *placement)).collect();
    assert_eq!(placed, [("later", Placement::Left), ("other", Placement::Joined)]);
    assert_eq!(
        core.members.iter().map(|member| member.name.as_str()).collect::<Vec<_>>(),
        ["other"]
    );
    let item = core.items.values().next().unwrap();
    assert_eq!((&item.document[..], item.running), (&b"every second"[..], false));
    let policy = &view.policies["racks"];
    assert_eq!(
        (policy.tribe.as_str(), policy.text.as_str(), policy.enabled),
        ("storage", "{{rack}} == r1", false)
    );
    let own = view.local_items.values().next().unwrap();
    assert_eq!(
        (own.name.as_str(), &own.document[..], own.running),
        ("own", &b"of this node"[..], true)
    );
    assert_eq!(fact(&view, "kept", "rack"), Some("r1".into()));
    assert_eq!(fact(&view, "other", "tier"), Some(2.into()));
    assert_eq!(view.member("other").unwrap().state, MemberState::Left);
}

#[tokio::test]
async fn a_data_directory_of_an_earlier_build_is_read() {
    if std::env::var_os("TRIBE_UPDATE_CAPTURES").is_some() && !fixture(1).exists() {
        let dir = tempfile::tempdir().unwrap();
        write(dir.path()).await;
        fs::create_dir_all(fixture(1).parent().unwrap()).unwrap();
        fs::copy(dir.path().join(FILE), fixture(1)).unwrap();
    }
    let dir = tempfile::tempdir().unwrap();
    fs::copy(fixture(1), dir.path().join(FILE)).unwrap();
    let node = Node::start(config("kept", None, Some(dir.path()))).await.unwrap();
    let id = node.id();
    check(&node);
    // It knows the key that was installed, though the key file has one alone.
    assert_eq!(node.keys().await.unwrap().keys.len(), 2);
    node.stop().await;
    // What this build wrote over it is read as well.
    let node = Node::start(config("kept", None, Some(dir.path()))).await.unwrap();
    assert_eq!(node.id(), id);
    check(&node);
    node.stop().await;
}

#[tokio::test]
async fn a_data_directory_of_a_format_that_is_not_known_is_refused_and_stays_as_it_is() {
    let newer = "a newer version wrote it (format 2, this one reads up to 1)";
    is_refused(&2_u64.to_le_bytes(), newer).await;
    is_refused(b"two", "DB corrupted: `format` is no number of 8 bytes").await;
}

async fn is_refused(format: &[u8], why: &str) {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join(FILE);
    let local = TableDefinition::<&[u8], &[u8]>::new("local");
    let database = Database::create(&file).unwrap();
    let transaction = database.begin_write().unwrap();
    transaction.open_table(local).unwrap().insert(&b"format"[..], format).unwrap();
    transaction.commit().unwrap();
    drop(database);
    let started = Node::start(config("kept", None, Some(dir.path()))).await;
    let reason = match started {
        Err(StartError::DataDir { reason, .. }) => reason,
        other => format!("{other:?}"),
    };
    assert!(reason.starts_with(why), "{reason}");
    // Nothing was written into it.
    let database = Database::create(&file).unwrap();
    let transaction = database.begin_read().unwrap();
    assert_eq!(transaction.open_table(local).unwrap().len().unwrap(), 1);
    assert_eq!(transaction.list_tables().unwrap().count(), 1);
}
