//! Steps of tasks on other nodes: collectors here, processors and publishers there, each node on a host of
//! its own.

use std::{
    collections::BTreeSet,
    fs,
    path::PathBuf,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use serde_json::{Value, json};
use tribe_api::{Task, TaskStep};
use tribe_tests::{Cluster, Influx, Network, Node, plugins, report, wait_until};

use super::fleet::cluster_on;

/// How long delivery may pause when the node that took it is killed.
const AFTER_KILL: Duration = Duration::from_secs(5);
/// The same when its cable is cut, and nothing tells of it.
const AFTER_CUT: Duration = Duration::from_secs(12);

const COLLECTORS: [&str; 3] = ["c1", "c2", "c3"];
const SINKS: [&str; 2] = ["s1", "s2"];
/// What the collector counts with: the tag `collection` is the number of the interval.
const COUNTED: &str = "intel/many/value00";

/// Three nodes that collect, in tribe `edge`, and two that publish, in tribe `sink`.
fn collectors_and_sinks(network: &Network) -> Cluster {
    let names = COLLECTORS.into_iter().chain(SINKS);
    let nodes: Vec<(&str, &[&str])> = names.map(|name| (name, [].as_slice())).collect();
    let cluster = cluster_on(network, &nodes);
    let c1 = &cluster["c1"];
    for (tribe, members) in [("edge", COLLECTORS.as_slice()), ("sink", SINKS.as_slice())] {
        c1.types(&format!("tribe create {tribe}"));
        for member in members {
            c1.types(&format!("tribe join {tribe} {member}"));
        }
    }
    cluster.wait_for_tribes(&[("edge", &COLLECTORS), ("sink", &SINKS)]);
    c1.types(&format!("plugin load {} --tribe edge", plugins::go("many").display()));
    c1.types(&format!("plugin load {} --tribe sink", plugins::go("influxdb").display()));
    cluster
}

/// A task that counts, with these steps, twice a second.
fn counting(cluster: &Cluster, steps: &Value) -> PathBuf {
    let mut collect = json!({"metrics": {"/intel/many/*": {}}});
    for (key, value) in steps.as_object().unwrap() {
        collect[key] = value.clone();
    }
    let schedule = json!({"type": "simple", "interval": "500ms"});
    let manifest = json!({"version": 1, "schedule": schedule, "workflow": {"collect": collect}});
    let path = cluster.dir().join("count.json");
    fs::write(&path, manifest.to_string()).unwrap();
    path
}

/// A publish step into a database, on any member of tribe `sink`.
fn to_sink(influx: &Influx) -> Value {
    let config = json!({
        "host": influx.address().ip().to_string(),
        "port": influx.address().port(),
        "database": "snap",
        "user": "admin",
        "password": "admin",
    });
    json!({"plugin_name": "influxdb", "tribe": "sink", "config": config})
}

/// The task as a node shows it.
fn shown(node: &Node, line: &str) -> Task {
    serde_json::from_str(&node.types(&format!("-o json task show {line}"))).unwrap()
}

fn step<'a>(task: &'a Task, path: &str) -> &'a TaskStep {
    task.steps.iter().find(|step| step.path == path).unwrap()
}

/// Where a step of a task of tribe `edge` ran last, if it has.
fn ran_on(node: &Node, path: &str) -> Option<String> {
    let task = shown(node, "count --tribe edge");
    step(&task, path).last_run.as_ref().map(|run| run.node.clone())
}

/// The numbers of the intervals of a node that are in the database.
fn counted(influx: &Influx, source: &str) -> BTreeSet<usize> {
    let query = format!(
        r#"SHOW TAG VALUES FROM "{COUNTED}" WITH KEY = "collection" WHERE "source" = '{source}'"#
    );
    let series = influx.query("snap", &query);
    let rows = series.iter().flat_map(|series| series["values"].as_array().unwrap());
    rows.map(|row| row[1].as_str().unwrap().parse().unwrap()).collect()
}

fn now_ns() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos().try_into().unwrap()
}

/// Has something that a node collected after this time arrived?
fn arrived_since(influx: &Influx, source: &str, since: i64) -> bool {
    influx.times("snap", COUNTED, source).iter().any(|time| *time > since)
}

/// Waits until each of these nodes has data collected after this moment in the database.
fn wait_for_data(influx: &Influx, sources: &[&str]) -> Duration {
    let now = now_ns();
    wait_until("data of all arrives", || {
        sources.iter().all(|source| arrived_since(influx, source, now))
    })
}

/// Stops the task of tribe `edge`, and checks that the database has every interval of these nodes.
fn check_none_lost(cluster: &Cluster, influx: &Influx, sources: &[&str]) {
    cluster["c1"].types("task stop count --tribe edge");
    for source in sources {
        let node = &cluster[*source];
        wait_until("all is delivered", || {
            let task = shown(node, "count --tribe edge");
            let waiting = step(&task, "publish[0]").spool.as_ref().unwrap().waiting;
            task.state == tribe_api::TaskState::Stopped && waiting == 0
        });
        let task = shown(node, "count --tribe edge");
        let (collect, publish) = (step(&task, "collect"), step(&task, "publish[0]"));
        let spool = publish.spool.as_ref().unwrap();
        assert_eq!((spool.dropped, spool.torn, spool.set_aside), (0, 0, 0), "{source}");
        assert_eq!(publish.passed_count, collect.passed_count, "{source}: {publish:#?}");
        let found = counted(influx, source);
        let all: BTreeSet<_> = (1..=*found.last().unwrap()).collect();
        assert_eq!(found, all, "{source}: intervals are missing");
    }
}

/// The programs that run on a host.
fn programs(network: &Network, host: &str) -> BTreeSet<String> {
    network.processes(host).into_iter().map(|(_, name)| name).collect()
}

#[test]
fn a_killed_sink_costs_no_data_and_no_more_than_a_moment() {
    let Some(network) = Network::new(&["c1", "c2", "c3", "s1", "s2", "db"]) else { return };
    let influx = Influx::start_on(&network, "db");
    let mut cluster = collectors_and_sinks(&network);
    let task = counting(&cluster, &json!({"publish": [to_sink(&influx)]}));
    cluster["c1"].types(&format!("task create -t {} --tribe edge", task.display()));
    report("data of all three arrives", wait_for_data(&influx, &COLLECTORS));
    for collector in COLLECTORS {
        assert!(!programs(&network, collector).contains("influxdb"), "{collector}");
    }

    let victim = ran_on(&cluster["c1"], "publish[0]").unwrap();
    let ran = |cluster: &Cluster, node: &str| ran_on(&cluster[node], "publish[0]");
    let hit: Vec<_> = COLLECTORS
        .into_iter()
        .filter(|node| ran(&cluster, node).as_deref() == Some(&victim))
        .collect();
    cluster[victim.as_str()].kill();
    let took = wait_for_data(&influx, &hit);
    report(&format!("a sink is killed, to the data of {hit:?} collected after it"), took);
    assert!(took < AFTER_KILL, "{took:?}");
    for node in &hit {
        assert_ne!(ran(&cluster, node), Some(victim.clone()), "{node}");
    }
    wait_for_data(&influx, &COLLECTORS);
    check_none_lost(&cluster, &influx, &COLLECTORS);
}

#[test]
fn a_sink_whose_cable_is_cut_costs_no_data_and_no_more_than_seconds() {
    let Some(network) = Network::new(&["c1", "c2", "c3", "s1", "s2", "db"]) else { return };
    let influx = Influx::start_on(&network, "db");
    let cluster = collectors_and_sinks(&network);
    let task = counting(&cluster, &json!({"publish": [to_sink(&influx)]}));
    cluster["c1"].types(&format!("task create -t {} --tribe edge", task.display()));
    wait_for_data(&influx, &COLLECTORS);

    let victim = ran_on(&cluster["c1"], "publish[0]").unwrap();
    network.unplug(&victim);
    let took = wait_for_data(&influx, &COLLECTORS);
    report("the cable of a sink is cut, to data of all collected after it", took);
    assert!(took < AFTER_CUT, "{took:?}");
    wait_for_data(&influx, &COLLECTORS);
    network.plug(&victim);
    cluster.wait_until_met();
    wait_for_data(&influx, &COLLECTORS);
    check_none_lost(&cluster, &influx, &COLLECTORS);
}
