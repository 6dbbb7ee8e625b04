//! What a node tells of itself in numbers.

#![cfg(feature = "runtime")]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod support;

use std::{collections::BTreeMap, time::Duration};

use tribe::{EventKind, Metric, MetricKind, Node, Value, limits};

use self::support::{config, until};

/// More than enough for anything that is waited for here.
const LONG: Duration = Duration::from_secs(30);

async fn start(name: &str) -> Node {
    let node = Node::start(config(name, None, None)).await.unwrap();
    until(LONG, &node, "it runs", |_| !node.metrics().is_empty()).await;
    node
}

#[tokio::test]
async fn every_metric_is_named_as_prometheus_would_have_it() {
    let node = start("m1").await;
    let metrics = node.metrics();
    let mut kinds = BTreeMap::new();
    for series in metrics.chunk_by(|one, next| one.name == next.name) {
        for Metric { name, kind, help, labels, .. } in series {
            assert!(name.starts_with("tribe_"), "{name}");
            assert_eq!(name.ends_with("_total"), *kind == MetricKind::Counter, "{name}");
            assert!(help.ends_with('.') && !help.contains('\n'), "{name}: {help}");
            assert_eq!((*kind, *help), (series[0].kind, series[0].help), "{name}");
            assert_eq!(labels.is_empty(), series.len() == 1, "{name}");
        }
        assert_eq!(kinds.insert(series[0].name, series[0].kind), None, "told in two places");
    }
    kinds.retain(|_, kind| *kind == MetricKind::Counter);
    let counters: Vec<String> = node.counters().into_keys().collect();
    assert_eq!(counters, kinds.into_keys().collect::<Vec<_>>());
}

#[tokio::test]
async fn events_that_were_not_read_in_time_are_counted() {
    let node = start("m1").await;
    let mut events = node.events();
    for turn in 0..=limits::EVENTS {
        let turn = Value::from_text(&turn.to_string());
        node.set_facts(None, [("turn".to_owned(), turn)].into(), Vec::new()).await.unwrap();
    }
    let missed = events.next().await.unwrap();
    assert_eq!(missed.kind, EventKind::Missed);
    let count = missed.body["count"].as_u64().unwrap();
    let counted = || node.counters()["tribe_events_missed_total"];
    until(LONG, &node, "it is counted", |_| counted() == count).await;
}
