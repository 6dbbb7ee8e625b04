//! What tests of real nodes on loopback share.

use std::{path::Path, time::Duration};

use tribe::{Config, Key, Keyring, Node, View};

/// A node with the key of all tests, that knows of no facts but those it is given.
pub(crate) fn config(name: &str, seed: Option<&Node>, data_dir: Option<&Path>) -> Config {
    let mut config = Config::new(name, Keyring::new(Key::from_bytes([7; 32]))).unwrap();
    config.bind = ([127, 0, 0, 1], 0).into();
    config.seeds = seed.map(|node| node.address().to_string()).into_iter().collect();
    config.collect_facts = false;
    config.data_dir = data_dir.map(Path::to_owned);
    config
}

/// Waits until a node's view shows something; events say when to look again.
pub(crate) async fn until(
    within: Duration,
    node: &Node,
    what: &str,
    holds: impl Fn(&View) -> bool,
) {
    let mut events = node.events();
    let waiting = async {
        while !holds(&node.view()) {
            // A change of status has no event, so the view is looked at now and then as well.
            let _ = tokio::time::timeout(Duration::from_millis(100), events.next()).await;
        }
    };
    let done = tokio::time::timeout(within, waiting).await;
    assert!(done.is_ok(), "{what}: {:#?}", node.view());
}
