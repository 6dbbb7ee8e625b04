//! Steps of tasks on other nodes: collectors here, processors and publishers there, each node on a host of
//! its own.

use std::{
    collections::BTreeSet,
    fs,
    io::{Read, Write},
    net::{Ipv4Addr, TcpStream},
    path::PathBuf,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use serde_json::{Value, json};
use tribe_api::{Flow, Offer, Task, TaskState, TaskStep};
use tribe_tests::{Cluster, Influx, Network, Node, plugins, report, wait_until};

use super::fleet::{ALL, cluster_on, cluster_with};

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
    tribes(&cluster, &[("edge", &COLLECTORS), ("sink", &SINKS)]);
    let c1 = &cluster["c1"];
    c1.types(&format!("plugin load {} --tribe edge", plugins::go("many").display()));
    c1.types(&format!("plugin load {} --tribe sink", plugins::go("influxdb").display()));
    cluster
}

/// Creates these tribes with these members.
fn tribes(cluster: &Cluster, tribes: &[(&str, &[&str])]) {
    let c1 = &cluster["c1"];
    for (tribe, members) in tribes {
        c1.types(&format!("tribe create {tribe}"));
        for member in *members {
            c1.types(&format!("tribe join {tribe} {member}"));
        }
    }
    cluster.wait_for_tribes(tribes);
}

/// The plugins that members of a tribe offer, and who does, as a node shows it.
fn offered(at: &Node, tribe: &str) -> BTreeSet<(String, String)> {
    let text = at.types(&format!("-o json plugin list --remote --tribe {tribe}"));
    let offers: Vec<Offer> = serde_json::from_str(&text).unwrap();
    offers.into_iter().map(|offer| (offer.plugin.unwrap(), offer.node)).collect()
}

/// Waits until a node knows that a member of a tribe offers this plugin.
fn wait_for_offer(at: &Node, tribe: &str, node: &str, plugin: &str) {
    let offer = (plugin.to_owned(), node.to_owned());
    wait_until("the plugin is offered", || offered(at, tribe).contains(&offer));
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

/// Stops the task of tribe `edge`, and checks that the database has every interval of these nodes, which
/// this step takes there.
fn check_none_lost(cluster: &Cluster, influx: &Influx, sources: &[&str], path: &str) {
    cluster["c1"].types("task stop count --tribe edge");
    for source in sources {
        let node = &cluster[*source];
        wait_until("all is delivered", || {
            let task = shown(node, "count --tribe edge");
            let waiting = step(&task, path).spool.as_ref().unwrap().waiting;
            task.state == TaskState::Stopped && waiting == 0
        });
        let task = shown(node, "count --tribe edge");
        let (collect, publish) = (step(&task, "collect"), step(&task, path));
        // Only of what was still processed when it was stopped nothing is published.
        let cut = collect.passed_count - publish.passed_count;
        assert!(cut <= u64::from(path.starts_with("process")), "{source}: {task:#?}");
        let spool = publish.spool.as_ref().unwrap();
        assert_eq!((spool.dropped, spool.torn, spool.set_aside), (0, 0, 0), "{source}");
        let found = counted(influx, source);
        let all: BTreeSet<_> = (1..=*found.last().unwrap()).collect();
        assert_eq!(found, all, "{source}: intervals are missing");
    }
}

/// The addresses, as the kernel prints them, of the sockets in a state that others reach on the host of a
/// node: those of plugins are at the loopback.
fn sockets(node: &Node, state: &str) -> Vec<String> {
    let table = fs::read_to_string(format!("/proc/{}/net/tcp", node.pid())).unwrap();
    let fields = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    let rows = table.lines().map(fields).filter(|fields| fields[3] == state);
    rows.map(|fields| fields[1].clone()).filter(|local| !local.starts_with("0100007F:")).collect()
}

/// How many connections there are on the host of a node, in either direction.
fn connections(node: &Node) -> usize {
    sockets(node, "01").len()
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
    // What was under way at the kill is told a moment later.
    for node in &hit {
        wait_until("the step runs on another node", || {
            ran(&cluster, node).is_some_and(|ran| ran != victim)
        });
    }
    wait_for_data(&influx, &COLLECTORS);
    check_none_lost(&cluster, &influx, &COLLECTORS, "publish[0]");
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
    check_none_lost(&cluster, &influx, &COLLECTORS, "publish[0]");
}

#[test]
fn processors_in_go_and_in_python_work_on_other_nodes() {
    let Some(network) = Network::new(&["c1", "p1", "p2", "p3", "s1", "db"]) else { return };
    let influx = Influx::start_on(&network, "db");
    let blue = ["--fact", "paint=blue"];
    // What a step is told it is told where it runs.
    let nodes: [(&str, &[&str]); 5] =
        [("c1", &["--fact", "paint=red"]), ("p1", &[]), ("p2", &blue), ("p3", &blue), ("s1", &[])];
    let mut cluster = cluster_on(&network, &nodes);
    tribes(&cluster, &[("edge", &["c1"]), ("work", &["p1", "p2", "p3"]), ("sink", &["s1"])]);
    cluster["c1"].types(&format!("plugin load {}", plugins::go("many").display()));
    cluster["s1"].types(&format!("plugin load {}", plugins::go("influxdb").display()));
    let reverse = plugins::go("snap-plugin-processor-reverse");
    cluster["p1"].types(&format!("plugin load {}", reverse.display()));
    let colour = plugins::python("agent/tests/plugins/processor.py", cluster.dir());
    for node in ["p2", "p3"] {
        cluster[node].types(&format!("plugin load {}", colour.display()));
        wait_for_offer(&cluster["c1"], "work", node, "processor:tag-py:1");
    }
    wait_for_offer(&cluster["c1"], "work", "p1", "processor:test-reverse-processor:1");

    let paint = json!({
        "plugin_name": "tag-py",
        "tribe": "work",
        "config": {"colour": "{{paint}}"},
        "publish": [to_sink(&influx)],
    });
    let turn = json!({"plugin_name": "test-reverse-processor", "target": "p1", "process": [paint]});
    // Of 73, which the collector makes of it, there is 37 to see.
    let seed = json!({"/intel/many": {"seed": 1}});
    let task = counting(&cluster, &json!({"config": seed, "process": [turn]}));
    cluster["c1"].types(&format!("task create -t {} --tribe edge", task.display()));
    wait_for_data(&influx, &["c1"]);
    let series =
        influx.query("snap", r#"SELECT "value", "colour" FROM "intel/many/value23" LIMIT 1"#);
    assert_eq!(series[0]["values"][0][1], 37, "{series:#?}");
    assert_eq!(series[0]["values"][0][2], "blue", "{series:#?}");
    assert_eq!(ran_on(&cluster["c1"], "process[0]").as_deref(), Some("p1"));

    // Another does it, within the same firing.
    let painter = ran_on(&cluster["c1"], "process[0].process[0]").unwrap();
    cluster[painter.as_str()].kill();
    let took = wait_for_data(&influx, &["c1"]);
    report("a processor is killed, to data collected after it", took);
    assert!(took < AFTER_KILL, "{took:?}");
    assert_ne!(ran_on(&cluster["c1"], "process[0].process[0]"), Some(painter));
    check_none_lost(&cluster, &influx, &["c1"], "process[0].process[0].publish[0]");
}

#[test]
fn what_a_step_on_other_nodes_does_is_seen() {
    let Some(network) = Network::new(&["c1", "s1", "db"]) else { return };
    let influx = Influx::start_on(&network, "db");
    let cluster = cluster_on(&network, &[("c1", &[]), ("s1", &[])]);
    tribes(&cluster, &[("edge", &["c1"]), ("sink", &["s1"])]);
    let (c1, s1) = (&cluster["c1"], &cluster["s1"]);
    c1.types(&format!("plugin load {}", plugins::go("many").display()));
    let reverse = json!({
        "plugin_name": "test-reverse-processor",
        "tribe": "sink",
        "publish": [to_sink(&influx)],
    });
    let task = counting(&cluster, &json!({"process": [reverse]}));
    // A task of the node, that failures would disable.
    c1.types(&format!("task create -t {}", task.display()));
    wait_until("the task has failed more often than it may", || {
        shown(c1, "count").failed_count > 10
    });
    let failing = shown(c1, "count");
    assert_eq!(failing.state, TaskState::Running);
    let why = "plugin `processor:test-reverse-processor` is not offered by any live member of tribe \
               `sink`: is it loaded there, and do `capabilities` there let it be called?";
    assert_eq!(step(&failing, "process[0]").last_failure.as_ref().unwrap().text, why);
    wait_until("the task says why it pauses", || {
        shown(c1, "count").reason.is_some_and(|reason| reason.ends_with(why))
    });

    s1.types(&format!("plugin load {}", plugins::go("influxdb").display()));
    let reverse = plugins::go("snap-plugin-processor-reverse");
    s1.types(&format!("plugin load {}", reverse.display()));
    let took = wait_for_data(&influx, &["c1"]);
    report("a plugin that nobody had appears, to data", took);
    assert!(took < AFTER_KILL, "{took:?}");
    wait_until("the task is well", || shown(c1, "count").reason.is_none());

    let of_s1 = ["publisher:influxdb:1", "processor:test-reverse-processor:1"];
    let of_s1 = of_s1.map(|plugin| (plugin.to_owned(), "s1".to_owned()));
    assert_eq!(offered(c1, "sink"), of_s1.into());
    assert_eq!(offered(c1, "edge"), BTreeSet::new());

    let paths = ["process[0]", "process[0].publish[0]"];
    let task = shown(c1, "count");
    for path in paths {
        let run = step(&task, path).last_run.as_ref().unwrap();
        assert_eq!((run.node.as_str(), run.metrics), ("s1", 50));
        assert!(run.took_ms > 0.0 && run.took_ms < 5000.0, "{run:?}");
    }
    let text = c1.types("task show count");
    let row = text.lines().find(|line| line.starts_with("process[0] ")).unwrap();
    assert!(row.contains("tribe:sink") && row.contains(" s1 "), "{text}");
    for path in paths.into_iter().chain(["collect"]) {
        let flow = c1.types(&format!("-o json tap count --step {path} --count 1 --timeout 20"));
        let flow: Flow = serde_json::from_str(&flow).unwrap();
        assert_eq!((flow.step.as_str(), flow.metrics.len()), (path, 50));
    }
}

#[test]
fn what_a_node_does_not_let_others_do_is_told_to_them() {
    let Some(network) = Network::new(&["c1", "c2", "s1"]) else { return };
    let limits =
        "capabilities: {serve_to: [friends], serve_plugins: [slow], serve_concurrency: 1}\n";
    let nodes: [(&str, &[&str], &str); 3] =
        [("c1", &[], ALL), ("c2", &[], ALL), ("s1", &[], limits)];
    let cluster = cluster_with(&network, &nodes);
    tribes(&cluster, &[("friends", &["c1"]), ("others", &["c2"]), ("sink", &["s1"])]);
    let s1 = &cluster["s1"];
    let slow = plugins::python("tests/plugins/slow.py", cluster.dir());
    s1.types(&format!("plugin load {}", slow.display()));
    s1.types(&format!("plugin load {}", plugins::go("file").display()));
    for node in ["c1", "c2"] {
        cluster[node].types(&format!("plugin load {}", plugins::go("many").display()));
        wait_for_offer(&cluster[node], "sink", "s1", "processor:slow:1");
    }
    let failure = |node: &str, task: &str, path: &str| {
        let task = shown(&cluster[node], task);
        step(&task, path).last_failure.as_ref().map(|failure| failure.text.clone())
    };
    let create = |node: &str, name: &str, steps: Value| {
        let task = counting(&cluster, &steps);
        cluster[node].types(&format!("task create -t {} --name {name}", task.display()));
    };

    // A tribe that may not call.
    let step_of = |ms: u32| json!({"process": [{"plugin_name": "slow", "tribe": "sink", "config": {"ms": ms}}]});
    create("c2", "stranger", step_of(0));
    wait_until("the stranger is told", || {
        failure("c2", "stranger", "process[0]").is_some_and(|why| {
            why == "node `s1`: not allowed: `capabilities.serve_to` of this node names no tribe of the \
                    caller"
        })
    });
    let tried = shown(&cluster["c2"], "stranger");
    assert_eq!(step(&tried, "process[0]").tried[0].node, "s1");

    // A plugin that may not be called.
    let config = json!({"file": "/dev/null"});
    let file = json!({"publish": [{"plugin_name": "file", "target": "s1", "config": config}]});
    create("c1", "file", file);
    wait_until("the caller is told of the plugin", || {
        failure("c1", "file", "publish[0]").is_some_and(|why| {
            why == "plugin `publisher:file` is not offered by node `s1`: is it loaded there, and do \
                    `capabilities` there let it be called?"
        })
    });

    // More at a time than may be.
    create("c1", "first", step_of(5000));
    create("c1", "second", step_of(5000));
    wait_until("one is told that the node is busy", || {
        ["first", "second"].into_iter().any(|task| {
            failure("c1", task, "process[0]").is_some_and(|why| {
                why == "node `s1`: busy: `capabilities.serve_concurrency` of this node lets 1 batches be \
                        worked on at a time"
            })
        })
    });
    wait_until("both are done in time", || {
        ["first", "second"]
            .into_iter()
            .all(|task| step(&shown(&cluster["c1"], task), "process[0]").passed_count > 0)
    });
}

#[test]
fn what_a_node_holds_for_another_goes_with_it() {
    let Some(network) = Network::new(&["c1", "c2", "c3", "s1"]) else { return };
    let nodes: [(&str, &[&str]); 4] = [("c1", &[]), ("c2", &[]), ("c3", &[]), ("s1", &[])];
    let mut cluster = cluster_on(&network, &nodes);
    tribes(&cluster, &[("edge", &COLLECTORS), ("sink", &["s1"])]);
    let slow = plugins::python("tests/plugins/slow.py", cluster.dir());
    cluster["s1"].types(&format!("plugin load {}", slow.display()));
    cluster["c1"].types(&format!("plugin load {} --tribe edge", plugins::go("many").display()));
    wait_for_offer(&cluster["c1"], "sink", "s1", "processor:slow:1");
    let process = json!({"plugin_name": "slow", "tribe": "sink", "config": {"ms": 100}});
    let task = counting(&cluster, &json!({"process": [process]}));
    cluster["c1"].types(&format!("task create -t {} --tribe edge", task.display()));
    let instances = || {
        let all = network.processes("s1");
        all.into_iter().filter(|(_, name)| name == "slow").count()
    };
    wait_until("each caller has an instance of the plugin", || instances() == 3);

    cluster["c1"].kill();
    let took = wait_until("that of a caller that was killed ends", || instances() == 2);
    report("a caller is killed, to the end of what was held for it", took);
    network.unplug("c2");
    let took = wait_until("that of a caller that was cut off ends", || instances() == 1);
    report("a caller is cut off, to the end of what was held for it", took);
    assert!(took < Duration::from_secs(15), "{took:?}");
    network.plug("c2");
    wait_until("it is there again", || instances() == 2);
    cluster["c3"].types("task stop count --tribe edge");
    let took = wait_until("they end with the task", || {
        instances() == 1 && connections(&cluster["s1"]) == 0
    });
    report("a task is stopped, to the end of what was held for it", took);
}

#[test]
fn nobody_hears_a_call_and_nobody_without_the_key_makes_one() {
    let Some(network) = Network::new(&["c1", "s1", "x", "db"]) else { return };
    let influx = Influx::start_on(&network, "db");
    let cluster = cluster_on(&network, &[("c1", &[]), ("s1", &[])]);
    let capture = network.capture(&["c1", "s1"]);
    tribes(&cluster, &[("edge", &["c1"]), ("sink", &["s1"])]);
    let (c1, s1) = (&cluster["c1"], &cluster["s1"]);
    c1.types(&format!("plugin load {}", plugins::go("many").display()));
    s1.types(&format!("plugin load {}", plugins::go("influxdb").display()));
    let mut publish = to_sink(&influx);
    publish["config"]["password"] = json!("CorrectHorseBattery");
    let task = counting(&cluster, &json!({"publish": [publish.clone()]}));
    c1.types(&format!("task create -t {}", task.display()));
    wait_for_data(&influx, &["c1"]);
    wait_for_data(&influx, &["c1"]);
    let mut heard = capture.stop();

    // The database itself does not encrypt: of what it was sent all is there to hear.
    let words = ["intel/many", "value23", "collection", "CorrectHorseBattery", "influxdb", "count"];
    assert!(words[..3].iter().all(|word| heard.has(word.as_bytes())));
    let db = network.ip("db");
    heard.streams.retain(|(from, to), _| *from.ip() != db && *to.ip() != db);
    let [from, to] = ["c1", "s1"].map(|host| network.ip(host));
    let calls = heard.streams.iter().filter(|((a, b), _)| (*a.ip(), *b.ip()) == (from, to));
    let sent = calls.map(|(_, bytes)| bytes.clone()).max_by_key(Vec::len).unwrap();
    assert!(sent.len() > 4000, "{}", sent.len());
    for word in words {
        assert!(!heard.has(word.as_bytes()), "`{word}` was heard");
    }

    // Nothing listens but the port of the cluster.
    let open = sockets(s1, "0A");
    assert_eq!(open.len(), 1, "{open:?}");
    assert!(open[0].ends_with(&format!(":{:04X}", s1.address().port())), "{open:?}");

    // A node with another key finds nobody.
    let mut other = Cluster::new();
    let seed = s1.address().to_string();
    other.add_on(&network, "x", &["--tribe-seed", &seed]);
    other["x"].configure(ALL);
    other.run(&["x"]);
    let x = &other["x"];
    x.types(&format!("plugin load {}", plugins::go("many").display()));
    publish.as_object_mut().unwrap().remove("tribe");
    publish["target"] = json!("s1");
    let task = counting(&other, &json!({"publish": [publish]}));
    let rejected = |node: &Node| node.counters()["tribe_streams_rejected_total"];
    wait_until("it is turned away", || rejected(s1) > 0);
    x.types(&format!("task create -t {}", task.display()));
    wait_until("it is told that there is nobody", || {
        let task = shown(x, "count");
        let failure = step(&task, "publish[0]").last_failure.clone();
        failure.is_some_and(|it| it.text == "node `s1` is down, or there is none of that name")
    });
    assert_eq!(s1.alive(), ["c1".to_owned(), "s1".to_owned()].into());

    // Nor does one without any key, who says again what a member has said.
    let accepted = |node: &Node| node.counters()["tribe_service_streams_accepted_total"];
    let (before, turned_away) = (accepted(s1), rejected(s1));
    let answer = network.on("x", || say_again(network.ip("s1"), s1.address().port(), &sent));
    wait_until("it is turned away", || rejected(s1) > turned_away);
    assert_eq!(accepted(s1), before);
    // No more than a handshake comes back, which says nothing.
    assert!(answer.len() < 200, "{answer:?}");
    wait_for_data(&influx, &["c1"]);
    assert_eq!(influx.sources("snap", "intel/many/"), ["c1".to_owned()].into());
}

/// Says this to a port, and hears what comes back until the other side closes.
fn say_again(ip: Ipv4Addr, port: u16, bytes: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect((ip, port)).unwrap();
    // It may be closed before all is said.
    let _ = stream.write_all(bytes);
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    answer
}

#[test]
fn a_batch_larger_than_plugins_take_arrives_whole_and_in_order() {
    let Some(network) = Network::new(&["c1", "s1"]) else { return };
    let cluster = cluster_on(&network, &[("c1", &[]), ("s1", &[])]);
    tribes(&cluster, &[("edge", &["c1"]), ("sink", &["s1"])]);
    let (c1, s1) = (&cluster["c1"], &cluster["s1"]);
    c1.types(&format!("plugin load {}", plugins::go("many").display()));
    s1.types(&format!("plugin load {}", plugins::go("file").display()));
    wait_for_offer(c1, "sink", "s1", "publisher:file:1");
    let path = cluster.dir().join("published");
    let publish =
        json!({"plugin_name": "file", "tribe": "sink", "config": {"file": path.to_str().unwrap()}});
    // Fifty metrics of 120 kB.
    let padding = "x".repeat(60_000);
    let tags = json!({"/intel/many": {"padding": padding, "more": padding}});
    let task = counting(&cluster, &json!({"tags": tags, "publish": [publish]}));
    c1.types(&format!("task create -t {}", task.display()));
    wait_until("some batches are published", || {
        step(&shown(c1, "count"), "publish[0]").passed_count >= 4
    });
    c1.types("task stop count");
    wait_until("all is delivered", || shown(c1, "count").state == TaskState::Stopped);

    let published = fs::read_to_string(path).unwrap();
    let calls: Vec<Vec<Value>> =
        published.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let batches = step(&shown(c1, "count"), "publish[0]").passed_count;
    assert!(calls.len() as u64 > batches, "{} calls for {batches} batches", calls.len());
    let metrics: Vec<_> = calls.concat();
    let number =
        |metric: &Value| metric["tags"]["collection"].as_str().unwrap().parse::<usize>().unwrap();
    let mut last = 0;
    for batch in metrics.chunks(50) {
        // What was collected a moment ago may be collected once more.
        let collection = number(&batch[0]);
        assert!(collection == last || collection == last + 1, "{collection} after {last}");
        last = collection;
        for (value, metric) in batch.iter().enumerate() {
            assert_eq!(number(metric), collection);
            assert_eq!(metric["namespace"], format!("/intel/many/value{value:02}"));
        }
    }
    assert_eq!(metrics.len() as u64, batches * 50);
}
