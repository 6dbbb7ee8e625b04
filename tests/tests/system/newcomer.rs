//! What is asked of a node that was started a moment ago and has not met its cluster yet.

use rustix::process::Signal;
use serde_json::Value;
use tribe_tests::{Cluster, Node};

const JSON: &str = "application/json";

/// Starts a node that meets the others only once it was asked all this. The status and the body of
/// each answer.
fn ask_newcomer<const N: usize>(
    cluster: &mut Cluster,
    requests: [(&str, &str, &str, &str); N],
) -> [(u16, Value); N] {
    cluster.add("new", &[]);
    let signal = |cluster: &Cluster, signal| {
        cluster.running().filter(|node| node.name() != "new").for_each(|node| node.signal(signal));
    };
    signal(cluster, Signal::STOP);
    cluster.run(&["new"]);
    let new: &Node = &cluster["new"];
    assert!(!new.info().synced);
    let asked = requests.map(|(method, path, media, body)| new.begins(method, path, media, body));
    signal(cluster, Signal::CONT);
    asked.map(|asked| asked.answer().unwrap())
}

#[test]
fn a_newcomer_empties_no_tribe_that_it_has_not_heard_of() {
    let rack: &[&str] = &["--fact", "rack=7"];
    let mut cluster = Cluster::start(&[("i1", rack), ("i2", rack), ("i3", rack), ("i4", rack)]);
    cluster["i1"].types("tribe policy create p \"{{rack}} == 7\" --tribe core");
    let all: &[&str] = &["i1", "i2", "i3", "i4"];
    cluster.wait_for_tribes(&[("core", all)]);
    let other = r#"{"name": "p", "text": "{{rack}} == 8", "tribe": "core", "replace": true}"#;
    let answers = ask_newcomer(
        &mut cluster,
        [
            ("DELETE", "/v3/tribes/core", JSON, ""),
            ("DELETE", "/v3/policies/p", JSON, ""),
            ("PATCH", "/v3/policies/p", JSON, r#"{"enabled": false}"#),
            ("POST", "/v3/policies", JSON, other),
        ],
    );
    for (status, body) in answers {
        assert_eq!((status, &body["error"]["code"]), (409, &"would-move-out".into()), "{body}");
    }
    cluster.wait_for_tribes(&[("core", all)]);
}

#[test]
fn a_newcomer_looks_for_probable_mistakes_in_the_facts_of_all() {
    let mut cluster = Cluster::start(&[("i1", &["--fact", "rack=7"])]);
    let policy = r#"{"name": "p", "text": "{{rack}} == seven", "tribe": "core", "strict": true}"#;
    let [(status, body)] = ask_newcomer(&mut cluster, [("POST", "/v3/policies", JSON, policy)]);
    assert_eq!((status, &body["error"]["code"]), (400, &"policy-warnings".into()), "{body}");
}

#[test]
fn a_newcomer_has_a_tribe_that_it_has_not_heard_of_load_a_plugin_and_run_a_task() {
    let mut cluster = Cluster::start(&[("i1", &[])]);
    cluster["i1"].types("tribe create core");
    let plugin = "/v3/plugins?file=snap-plugin-collector-lost&tribe=core";
    let task = r#"{"version": 1, "schedule": {"type": "simple", "interval": "1s"},
        "workflow": {"collect": {"metrics": {"/intel/mock/foo": {}}}}}"#;
    let answers = ask_newcomer(
        &mut cluster,
        [
            ("POST", plugin, "application/octet-stream", "#!/bin/sh\nexit 1\n"),
            ("POST", "/v3/tasks?tribe=core&name=load", JSON, task),
        ],
    );
    for (status, body) in answers {
        assert_eq!(status, 200, "{body}");
    }
    assert_eq!(cluster["new"].get("/v3/tribes/core/tasks")[0]["name"], "load");
    assert_eq!(cluster["new"].get("/v3/tribes/core/plugins")[0]["name"], "lost");
}
