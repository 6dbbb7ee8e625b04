//! Items and status between real nodes on loopback.

#![cfg(feature = "runtime")]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod support;

use std::{path::Path, time::Duration};

use tribe::{CommandError, EventKind, ItemKind, ItemName, Node, NodeStatus, PutOptions, limits};

use self::support::{config, until};

/// More than enough for anything that is waited for here.
const LONG: Duration = Duration::from_secs(30);

async fn start(name: &str, seed: Option<&Node>, data_dir: Option<&Path>) -> Node {
    Node::start(config(name, seed, data_dir)).await.unwrap()
}

fn key(kind: &str, name: &str) -> (ItemKind, ItemName) {
    (ItemKind::parse(kind).unwrap(), ItemName::parse(name).unwrap())
}

#[tokio::test]
async fn the_largest_item_is_everywhere_once_it_was_waited_for() {
    let one = start("n1", None, None).await;
    let two = start("n2", Some(&one), None).await;
    let three = start("n3", Some(&one), None).await;
    for node in [&one, &two, &three] {
        until(LONG, node, "all meet", |view| view.members.len() == 3 && view.synced).await;
    }
    let mut events = three.events();
    one.create_tribe("core", "").await.unwrap();
    let document = vec![b'x'; limits::ITEM_BYTES];
    let written =
        one.put_item("core", "task", "cpu", document.clone(), PutOptions::default()).await.unwrap();
    assert!(one.wait(&written, LONG).await.unwrap().is_empty());
    let item = three.view().tribes["core"].items[&key("task", "cpu")].clone();
    assert_eq!((item.document, item.running, item.writer), (document.into(), true, one.id()));
    let changed = loop {
        let event = tokio::time::timeout(LONG, events.next()).await.unwrap().unwrap();
        if event.kind == EventKind::ItemChanged {
            break event;
        }
    };
    assert_eq!((changed.subject.as_str(), &changed.body["name"]), ("core", &"cpu".into()));
    let again = two.put_item("core", "task", "cpu", Vec::new(), PutOptions::default()).await;
    assert!(matches!(again, Err(CommandError::ItemExists { .. })), "{again:?}");
    let stopped = two.run_item("core", "task", "cpu", false).await.unwrap();
    assert!(two.wait(&stopped, LONG).await.unwrap().is_empty());
    assert!(!one.view().tribes["core"].items[&key("task", "cpu")].running);
    let removed = three.remove_item("core", "task", "cpu").await.unwrap();
    assert!(three.wait(&removed, LONG).await.unwrap().is_empty());
    assert!(one.view().tribes["core"].items.is_empty());
    let gone = one.run_item("core", "task", "cpu", true).await;
    assert!(matches!(gone, Err(CommandError::UnknownItem { near: None, .. })), "{gone:?}");
    let status = NodeStatus { wanted: 1, applied: 1, ..NodeStatus::default() };
    two.set_status(status.clone()).await.unwrap();
    until(LONG, &one, "a status", |view| {
        view.member("n2").is_some_and(|member| member.status.as_ref() == Some(&status))
    })
    .await;
}

#[tokio::test]
async fn items_of_a_node_alone_are_there_again_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let node = start("n1", None, Some(dir.path())).await;
    node.create_tribe("core", "").await.unwrap();
    node.put_item("core", "task", "shared", b"s".to_vec(), PutOptions::default()).await.unwrap();
    node.put_local_item("plugin", "influxdb", b"one".to_vec(), PutOptions::default())
        .await
        .unwrap();
    node.put_local_item("task", "cpu", b"two".to_vec(), PutOptions::default()).await.unwrap();
    node.put_local_item("task", "gone", Vec::new(), PutOptions::default()).await.unwrap();
    node.run_local_item("task", "cpu", false).await.unwrap();
    node.remove_local_item("task", "gone").await.unwrap();
    let again = node.put_local_item("task", "cpu", Vec::new(), PutOptions::default()).await;
    assert_eq!(again.unwrap_err().to_string(), "task `cpu` exists on this node alone");
    let before = node.view();
    node.stop().await;
    let node = start("n1", None, Some(dir.path())).await;
    let after = node.view();
    assert_eq!(after.local_items, before.local_items);
    assert_eq!(after.local_items.len(), 2);
    assert!(!after.local_items[&key("task", "cpu")].running);
    assert_eq!(after.tribes["core"].items, before.tribes["core"].items);
    assert_eq!(after.tribes["core"].items.len(), 1);
    let put = async |document: &[u8], running| {
        let options = PutOptions { replace: true, running };
        node.put_local_item("task", "cpu", document.to_vec(), options).await.unwrap();
        let item = node.view().local_items[&key("task", "cpu")].clone();
        (item.document, item.running)
    };
    assert_eq!(put(b"three", None).await, (b"three"[..].into(), false));
    assert_eq!(put(b"four", Some(true)).await, (b"four"[..].into(), true));
    assert_eq!(put(b"five", None).await, (b"five"[..].into(), true));
}
