//! Whatever ends in between, nothing of what was collected is lost: the sink, a plugin, snapd itself.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tribe_api::{Task, TaskState};
use tribe_tests::{Cluster, Influx, Node, full_size, plugins, report, runs, say, wait_until};

/// How long the sink is away, in seconds; snapd is killed halfway.
const OUTAGE: u64 = 14;
const FULL_OUTAGE: u64 = 60;
/// How long a plugin that was killed may be missed.
const BACK: Duration = Duration::from_secs(3);
/// How long snapd may take to collect again after it was killed.
const RESUMED: Duration = Duration::from_secs(10);
const SECOND: u64 = 1_000_000_000;

/// A task that collects one metric of `many` each second.
fn each_second(publish: &Value) -> Value {
    json!({
        "version": 1,
        "schedule": {"type": "simple", "interval": "1s"},
        "workflow": {"collect": {
            "metrics": {"/intel/many/value00": {}},
            "publish": [publish],
        }},
    })
}

fn to_file() -> Value {
    json!({"plugin_name": "file", "config": {"file": "{{out}}"}})
}

fn to_influx(influx: &Influx) -> Value {
    let address = influx.address();
    json!({"plugin_name": "influxdb", "config": {
        "host": address.ip().to_string(), "port": address.port(),
        "database": "snap", "user": "admin", "password": "admin",
    }})
}

/// How often a task has collected since its snapd was started.
fn collected(node: &Node, task: &str) -> u64 {
    node.find_task(task).map_or(0, |task| task.steps[0].passed_count)
}

fn wait_until_collected(node: &Node, task: &str, times: u64) {
    let start = Instant::now();
    // Longer than one condition may take.
    while start.elapsed() < Duration::from_secs(times / 2) {
        std::thread::park_timeout(Duration::from_millis(100));
        if collected(node, task) >= times {
            return;
        }
    }
    wait_until("the task has collected", || collected(node, task) >= times);
}

/// Waits until nothing waits to be published.
fn wait_until_delivered(node: &Node, task: &str) {
    let waiting = |task: &Task| task.steps[1].spool.as_ref().map_or(0, |spool| spool.waiting);
    wait_until("all is delivered", || node.find_task(task).is_some_and(|it| waiting(&it) == 0));
}

/// What arrived, oldest first: when it was collected, in nanoseconds, and its number in the life of the
/// collector's process.
fn arrived(influx: &Influx) -> Vec<(u64, u64)> {
    let series = influx.query("snap", r#"SELECT "value", "collection" FROM "intel/many/value00""#);
    let rows = series.iter().flat_map(|series| series["values"].as_array().unwrap());
    rows.map(|row| (row[0].as_u64().unwrap(), row[2].as_str().unwrap().parse().unwrap())).collect()
}

/// Every collection of one life of the collector is there, and they cover every interval but those that
/// the task itself counts as missed.
fn check_life(life: &[(u64, u64)], task: &Task) {
    let numbers: Vec<u64> = life.iter().map(|(_, number)| *number).collect();
    assert_eq!(numbers, (1..=life.len() as u64).collect::<Vec<_>>(), "{life:?}");
    let collected = task.steps[0].passed_count;
    assert!(numbers.len() as u64 >= collected, "{collected} collected: {life:?}");
    let whole_intervals = (life[life.len() - 1].0 - life[0].0) / SECOND;
    let counted = numbers.len() as u64 + task.miss_count;
    assert!(counted > whole_intervals, "{whole_intervals} s, {} missed: {life:?}", task.miss_count);
    assert_eq!(task.steps[0].failed_count, 0, "{task:#?}");
}

/// Ends a process as a power cut would.
fn kill(id: u32) {
    kill_process(Pid::from_raw(id.try_into().unwrap()).unwrap(), Signal::KILL).unwrap();
}

/// The id of the one process of a plugin.
fn process_of(node: &Node, file: &str) -> u32 {
    let mut id = None;
    wait_until("the plugin runs", || {
        let all = node.plugin_processes();
        id = all.iter().find(|(_, name)| name == file).map(|(id, _)| *id);
        id.is_some()
    });
    id.unwrap()
}

#[test]
fn every_interval_is_there_after_an_outage_of_the_sink_in_which_snapd_was_killed() {
    let half = if full_size() { FULL_OUTAGE } else { OUTAGE } / 2;
    let mut influx = Influx::start();
    let mut cluster = Cluster::of_core(&["i1"], "");
    let i1 = &cluster["i1"];
    i1.load(&plugins::go("many"), "core");
    i1.load(&plugins::go("influxdb"), "core");
    i1.create(&cluster.manifest("outage", &each_second(&to_influx(&influx))), "core");
    wait_until("the first data arrive", || influx.count("snap", "intel/many/value00", "i1") >= 3);

    influx.stop();
    let down = Instant::now();
    wait_until_collected(i1, "outage", collected(i1, "outage") + half);
    let first = i1.task("outage");
    cluster["i1"].kill();
    let killed = Instant::now();
    cluster.run(&["i1"]);
    let i1 = &cluster["i1"];
    wait_until_collected(i1, "outage", 1);
    let resumed = killed.elapsed();
    wait_until_collected(i1, "outage", half);
    let held = i1.task("outage").steps[1].spool.clone().unwrap();
    influx.run();
    let up = Instant::now();
    report("the sink was away", down.elapsed());
    wait_until_delivered(i1, "outage");
    report("all that waited is delivered once the sink is back", up.elapsed());
    let second = i1.task("outage");
    // What was collected meanwhile may be on its way; what was counted is there.
    let arrived = arrived(&influx);

    // A collector counts its collections from 1, so the second 1 is the first of the second snapd.
    let begin = 1 + arrived.iter().skip(1).position(|(_, number)| *number == 1).unwrap();
    let (before, after) = arrived.split_at(begin);
    check_life(before, &first);
    check_life(after, &second);
    let gap = Duration::from_nanos(after[0].0 - before[before.len() - 1].0);
    report("snapd killed, to its next collection", resumed);
    report("nothing was collected for", gap);
    assert!(gap < RESUMED, "{gap:?}");
    // All that the second snapd found and collected waited on disk, and no more is there now.
    assert!(held.waiting as u64 >= 2 * half - 2, "{held:?}");
    let spool = second.steps[1].spool.clone().unwrap();
    assert_eq!((spool.dropped, spool.torn, spool.set_aside, spool.trouble), (0, 0, 0, None));
    say(&format!(
        "{} + {} intervals of {} + {} collected, {} + {} missed",
        before.len(),
        after.len(),
        first.hit_count,
        second.hit_count,
        first.miss_count,
        second.miss_count,
    ));
}

#[test]
fn a_plugin_that_is_killed_is_back_within_three_seconds() {
    let cluster = Cluster::of_core(&["i1"], "");
    let i1 = &cluster["i1"];
    i1.load(&plugins::go("many"), "core");
    i1.load(&plugins::go("file"), "core");
    i1.create(&cluster.manifest("steady", &each_second(&to_file())), "core");
    let published = || cluster.published("i1").len();
    wait_until("the first batches", || published() >= 2);
    for plugin in ["many", "file"] {
        let id = process_of(i1, plugin);
        kill(id);
        let killed = Instant::now();
        wait_until("its process has ended", || !runs(id));
        // What was collected before the kill may arrive after it: two batches are newer.
        let before = published();
        wait_until("data arrive again", || published() >= before + 2);
        let took = killed.elapsed();
        report(&format!("{plugin} killed, to the second batch after"), took);
        assert!(took < BACK + Duration::from_secs(1), "{plugin}: {took:?}");
        assert_ne!(process_of(i1, plugin), id);
    }
    // The sink's end cost nothing; that of the collector at most what it was to collect meanwhile.
    wait_until_delivered(i1, "steady");
    let task = i1.task("steady");
    assert!(published() as u64 >= task.steps[0].passed_count, "{task:#?}");
    assert!(task.steps[0].failed_count <= BACK.as_secs(), "{task:#?}");
    i1.wait_until_applied("core");
}

#[test]
fn a_killed_snapd_takes_its_plugins_with_it_and_goes_on_with_all_that_was_asked() {
    let mut cluster = Cluster::of_core(&["i1", "i2"], "");
    let i1 = &cluster["i1"];
    i1.load(&plugins::go("many"), "core");
    i1.load(&plugins::go("file"), "core");
    i1.create(&cluster.manifest("steady", &each_second(&to_file())), "core");
    // What was asked of this node alone: a plugin in Python, a task that runs, and one that was stopped.
    let collector = plugins::python("agent/tests/plugins/collector.py", cluster.dir());
    i1.types(&format!("plugin load {}", collector.display()));
    let mut alone = each_second(&to_file());
    alone["workflow"]["collect"]["metrics"] = json!({"/tribe/mock/load": {}});
    alone["workflow"]["collect"]["publish"][0]["config"]["file"] = json!(cluster.out("alone"));
    for name in ["alone", "paused"] {
        i1.types(&format!("task create -t {}", cluster.manifest(name, &alone).display()));
    }
    i1.types("task stop paused");
    let flows = |cluster: &Cluster, from: [usize; 3]| {
        let now = ["i1", "i2", "alone"].map(|out| cluster.published(out).len());
        now.iter().zip(from).all(|(now, from)| *now >= from + 2)
    };
    wait_until("all data arrive", || flows(&cluster, [0; 3]));
    i1.wait_until_applied("core");
    let names = |node: &Node| -> BTreeSet<String> {
        node.plugin_processes().into_iter().map(|(_, name)| name).collect()
    };
    let before = names(i1);
    let processes = i1.plugin_processes();
    assert_eq!(processes.len(), 3, "{processes:?}");
    let plugins = i1.types("plugin list").lines().count();

    cluster["i1"].kill();
    let killed = Instant::now();
    wait_until("its plugins end", || !processes.iter().any(|(id, _)| runs(*id)));
    report("snapd killed, to the end of its last plugin", killed.elapsed());
    let from = ["i1", "i2", "alone"].map(|out| cluster.published(out).len());

    cluster.run(&["i1"]);
    let started = Instant::now();
    wait_until("all data arrive again", || flows(&cluster, from));
    report("snapd started again, to two batches of each task", started.elapsed());
    let i1 = &cluster["i1"];
    i1.wait_until_applied("core");
    assert_eq!(names(i1), before);
    assert_eq!(i1.types("plugin list").lines().count(), plugins);
    let states = ["steady", "alone", "paused"].map(|task| i1.task(task).state);
    assert_eq!(states, [TaskState::Running, TaskState::Running, TaskState::Stopped]);
}

#[test]
fn a_batch_that_the_sink_refuses_while_it_takes_others_is_set_aside_and_named() {
    let cluster = Cluster::of_core(&["i1"], "");
    let i1 = &cluster["i1"];
    i1.load(&plugins::go("many"), "core");
    i1.load(&plugins::go("failing"), "core");
    // Faster than what is cached, which would be the same collection.
    let mut manifest = each_second(
        &json!({"plugin_name": "failing", "config": {"collection": 3, "reason": "no ink"}}),
    );
    manifest["schedule"]["interval"] = json!("600ms");
    i1.create(&cluster.manifest("picky", &manifest), "core");
    let spool = || i1.find_task("picky").and_then(|task| task.steps[1].spool.clone());
    wait_until("it is set aside", || spool().is_some_and(|spool| spool.set_aside == 1));

    let step = i1.task("picky").steps[1].clone();
    // Once before another was tried, then while ten others passed; and before each of those perhaps, as
    // long as there was no other.
    assert!(step.failed_count > 10 && step.passed_count >= 2 + 10, "{step:#?}");
    let spool = step.spool.unwrap();
    let reasons: Vec<_> = spool.set_aside_failures.iter().map(|it| it.text.as_str()).collect();
    assert_eq!(
        reasons,
        ["1 metrics: plugin `publisher:failing:1` failed: 1 metrics refused: no ink"]
    );
    assert_eq!(spool.dropped, 0);
    assert!(spool.bytes > 0);
    wait_until("it is not in the way", || {
        i1.item("core", "i1", "picky").is_some_and(|item| item.state == "running")
    });
    let named = "publish[0]: batches set aside: 1, the last one: plugin `publisher:failing:1` failed: \
                 1 metrics refused: no ink";
    let status = i1.tries("tribe status core");
    assert!(status.stdout.contains(named), "{status:#?}");
    let shown = i1.types("task show picky");
    assert!(shown.contains("1 metrics refused: no ink"), "{shown}");
}

#[test]
fn a_newer_version_of_a_plugin_takes_over_without_a_gap() {
    let cluster = Cluster::of_core(&["i1", "i2"], "");
    let nodes = ["i1", "i2"];
    let i1 = &cluster["i1"];
    i1.load(&plugins::go("many"), "core");
    i1.load(&plugins::go("file"), "core");
    i1.wait_until_applied("core");
    i1.create(&cluster.manifest("steady", &each_second(&to_file())), "core");
    wait_until("the first batches", || nodes.iter().all(|node| cluster.published(node).len() >= 3));
    let old = nodes.map(|node| process_of(&cluster[node], "many"));

    cluster["i2"].load(&plugins::go_version("many", 2), "core");
    let loaded = Instant::now();
    let has_new = |node: &str| {
        let item = i1.item("core", node, "many").unwrap();
        item.applied && item.plugin.as_deref() == Some("collector:many:2")
    };
    wait_until("the new version runs on both", || nodes.iter().all(|node| has_new(node)));
    report("a newer version loaded, to it running on both", loaded.elapsed());
    let version = |batch: &Vec<Value>| batch[0]["version"].as_u64().unwrap();
    let new = |node: &str| cluster.published(node).iter().filter(|it| version(it) == 2).count();
    wait_until("three batches of the new version", || nodes.iter().all(|node| new(node) >= 3));
    wait_until("the old one has ended", || !old.iter().any(|id| runs(*id)));
    i1.types("task stop steady --tribe core");
    for node in nodes {
        wait_until("the task has ended and delivered", || {
            cluster[node].task("steady").state == TaskState::Stopped
        });
        let task = cluster[node].task("steady");
        let versions: Vec<u64> = cluster.published(node).iter().map(version).collect();
        // Each interval has its batch, the old ones first.
        assert_eq!(task.hit_count, versions.len() as u64, "{task:#?}");
        assert_eq!((task.failed_count, task.miss_count), (0, 0), "{task:#?}");
        assert!(versions.is_sorted(), "{versions:?}");
    }
}
