//! The real things that other tests are made of: plugins, a database, hosts. Each works by itself.

use std::{
    collections::BTreeSet,
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use serde_json::Value;
use tribe_tests::{
    Cluster, Influx, Network, Node, Place, Ran, plugins, report, wait_until, workspace,
};

/// A cluster of one node, which has these plugins.
fn node_with(files: &[PathBuf]) -> Cluster {
    let cluster = Cluster::start(&[("i1", &[])]);
    load(&cluster["i1"], files);
    cluster
}

/// Loads plugins at the same time, which takes less time.
fn load(node: &Node, files: &[PathBuf]) {
    std::thread::scope(|scope| {
        for file in files {
            scope.spawn(|| node.types(&format!("plugin load {}", file.display())));
        }
    });
}

/// What `metric collect` has collected.
fn collect(node: &Node, rest: &str) -> Vec<Value> {
    serde_json::from_str(&node.types(&format!("--output json metric collect {rest}"))).unwrap()
}

/// What the publisher influxdb is told.
fn to(influx: &Influx) -> String {
    let settings = [
        ("host", influx.address().ip().to_string()),
        ("port", influx.address().port().to_string()),
        ("database", "snap".to_owned()),
        ("user", "admin".to_owned()),
        ("password", "admin".to_owned()),
    ];
    let settings = settings.map(|(key, value)| format!("--config influxdb.{key}={value}"));
    format!("--publish influxdb {}", settings.join(" "))
}

/// The namespaces that an example collects.
fn requests(example: &str) -> String {
    let text = fs::read_to_string(workspace().join("examples").join(example)).unwrap();
    let manifest: Value = serde_json::from_str(&text).unwrap();
    let metrics = manifest["workflow"]["collect"]["metrics"].as_object().unwrap();
    metrics.keys().cloned().collect::<Vec<_>>().join(" ")
}

fn names(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|&name| name.to_owned()).collect()
}

#[test]
fn every_plugin_in_go_is_loaded() {
    let ours = ["psutil", "influxdb", "file", "smart", "many", "failing"];
    let examples = [
        "snap-plugin-collector-rand",
        "snap-plugin-processor-reverse",
        "snap-plugin-publisher-file",
    ];
    // A node has one file of a name, and one of theirs is called as one of ours.
    let cluster = Cluster::start(&[("i1", &[]), ("i2", &[])]);
    let node = &cluster["i1"];
    load(node, &ours.map(plugins::go));
    let loaded = |node: &Node| -> BTreeSet<String> {
        let plugins: Value = serde_json::from_str(&node.types("-o json plugin list")).unwrap();
        let name = |plugin: &Value| plugin["name"].as_str().unwrap().to_owned();
        plugins.as_array().unwrap().iter().map(name).collect()
    };
    assert_eq!(loaded(node), names(&ours));
    load(&cluster["i2"], &examples.map(plugins::go));
    let theirs = ["test-rand-collector", "test-reverse-processor", "test-file-publisher"];
    assert_eq!(loaded(&cluster["i2"]), names(&theirs));

    let metrics: Value = serde_json::from_str(&node.types("-o json metric list")).unwrap();
    let of = |start: &str| {
        let metrics = metrics.as_array().unwrap().iter();
        metrics.filter(|metric| metric["namespace"].as_str().unwrap().starts_with(start)).count()
    };
    assert!(of("/intel/psutil/") >= 50, "{metrics:#}");
    assert_eq!(of("/intel/many/"), 50);
}

#[test]
fn a_plugin_is_there_in_two_versions() {
    let cluster = node_with(&[plugins::go("many")]);
    let node = &cluster["i1"];
    node.types(&format!("plugin load {}", plugins::go_version("many", 2).display()));
    let metrics = node.types("metric list --namespace /intel/many/value00");
    assert!(metrics.contains("collector:many:2"), "{metrics}");
}

#[test]
fn plugins_that_others_wrote_in_python_are_loaded() {
    let mut cluster = Cluster::new();
    cluster.add("i1", &[]);
    // It asks a server at load time, for which a file will do.
    let list = cluster.dir().join("list.json");
    let types = r#"{"value": {"java.lang": {"type=Threading": {"attr": {"ThreadCount": {}}}}}}"#;
    fs::write(&list, types).unwrap();
    let list = list.display();
    cluster["i1"].configure(&format!(
        "plugins:\n  config:\n    jolokia:\n      jolokia_host_path: file://{list}\n"
    ));
    cluster.run(&["i1"]);
    let names = ["snap-plugin-collector-jolokia", "snap-plugin-collector-diamond"];
    load(&cluster["i1"], &names.map(plugins::pypi));
    let loaded = cluster["i1"].types("plugin list");
    assert!(loaded.contains("jolokia") && loaded.contains("diamond"), "{loaded}");
}

#[test]
fn the_database_has_what_the_examples_collect_by_node() {
    let influx = Influx::start();
    let cluster = node_with(&["psutil", "smart", "influxdb"].map(plugins::go));
    let node = &cluster["i1"];
    let smartctl = plugins::smartctl();
    let collected =
        collect(node, &format!("{} {}", requests("psutil-influx.json"), to(&influx))).len();
    let smart = format!("--config smart.smartctl_path={}", smartctl.display());
    let disks = collect(node, &format!("{} {smart} {}", requests("disk-io.json"), to(&influx)));
    let series = influx.series("snap");
    assert_eq!(series.len(), collected + disks.len(), "{series:#?}");
    for start in [
        "intel/psutil/load/load1,source=i1",
        "intel/psutil/cpu/user,cpu_id=cpu0,source=i1",
        "intel/psutil/net/all/bytes_recv,source=i1",
        "intel/disk/smart/temperature,device=nvme0,source=i1",
        "intel/disk/smart/reallocated_sector_ct,device=sda,source=i1",
        "intel/disk/smart/media_errors,device=nvme0,source=i1",
    ] {
        assert!(series.iter().any(|series| series.starts_with(start)), "{start}: {series:#?}");
    }
    assert_eq!(influx.sources("snap", "intel/psutil/"), names(&["i1"]));
    assert_eq!(influx.sources("snap", "intel/disk/smart/"), names(&["i1"]));
    assert_eq!(influx.count("snap", "intel/disk/smart/temperature", "i1"), 2);
    assert_eq!(influx.count("snap", "intel/psutil/load/load1", "i1"), 1);
}

#[test]
fn the_database_is_away_for_a_while_and_forgets_nothing() {
    let mut influx = Influx::start();
    let cluster = node_with(&["psutil", "influxdb"].map(plugins::go));
    let node = &cluster["i1"];
    let line = format!("metric collect /intel/psutil/load/load1 {}", to(&influx));
    for down in [Influx::stop, Influx::kill] {
        let before = influx.times("snap", "intel/psutil/load/load1", "i1").len();
        node.types(&line);
        down(&mut influx);
        let refused = node.tries(&line);
        assert_ne!(refused.code, Some(0), "{refused:?}");
        assert!(refused.stderr.contains("connection refused"), "{refused:?}");
        influx.run();
        // What was collected a moment ago may be collected from the cache, and is then the same point.
        wait_until("a later point has arrived", || {
            node.types(&line);
            influx.times("snap", "intel/psutil/load/load1", "i1").len() >= before + 2
        });
        assert!(influx.times("snap", "intel/psutil/load/load1", "i1").is_sorted());
    }
}

#[test]
fn the_file_has_a_line_for_each_batch() {
    let cluster = node_with(&["many", "file"].map(plugins::go));
    let file = cluster.dir().join("published");
    let seeds = [3, 4];
    for seed in seeds {
        let config = format!("--config many.seed={seed} --config file.file={}", file.display());
        let line = format!("metric collect /intel/many/* --publish file {config}");
        cluster["i1"].types(&line);
    }
    let text = fs::read_to_string(file).unwrap();
    let batches: Vec<Vec<Value>> =
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(batches.len(), seeds.len());
    for (batch, seed) in batches.iter().zip(seeds) {
        assert_eq!(batch.len(), 50);
        for (number, metric) in batch.iter().enumerate() {
            assert_eq!(metric["namespace"], format!("/intel/many/value{number:02}"));
            assert_eq!(metric["data"], seed * 50 + number);
            assert_eq!(metric["tags"]["plugin_running_on"], "i1");
        }
    }
}

#[test]
fn a_broken_plugin_is_refused_with_what_is_wrong() {
    let mut cluster = Cluster::new();
    let foreign = plugins::for_another_machine(cluster.dir());
    cluster.add("i1", &[]);
    cluster["i1"].configure("plugins:\n  load_timeout: 3s\n");
    cluster.run(&["i1"]);
    let node = &cluster["i1"];
    for (file, reason) in [
        (plugins::broken("crash"), "cannot open /dev/nothing: No such device"),
        (plugins::broken("hang"), "3s"),
        (plugins::broken("garbage"), "Hello! This is no plugin."),
        (foreign, "it is built for aarch64, this host is x86_64"),
    ] {
        let refused = node.tries(&format!("plugin load {}", file.display()));
        assert_ne!(refused.code, Some(0), "{refused:?}");
        assert!(refused.stderr.contains(reason), "{reason}: {refused:?}");
    }
}

#[test]
fn a_publisher_that_fails_says_why() {
    let cluster = node_with(&["many", "failing"].map(plugins::go));
    let line =
        r#"metric collect /intel/many/value00 --publish failing --config "failing.reason=no ink""#;
    let refused = cluster["i1"].tries(line);
    assert_ne!(refused.code, Some(0), "{refused:?}");
    assert!(refused.stderr.contains("1 metrics refused: no ink"), "{refused:?}");
}

/// Does a TCP connection from there to that address come to be?
fn reaches(place: &Place, address: SocketAddr) -> bool {
    let (ip, port) = (address.ip(), address.port());
    let mut bash = place.command(Path::new("timeout"));
    bash.args(["1", "bash", "-c", &format!("exec 3<>/dev/tcp/{ip}/{port}")]);
    Ran::new(&mut bash).code == Some(0)
}

#[test]
fn hosts_reach_each_other_and_not_each_others_loopback() {
    let Some(network) = Network::new(&["i1", "i2"]) else { return };
    let influx = Influx::start_on(&network, "i1");
    let there = influx.address();
    let loopback = SocketAddr::new([127, 0, 0, 1].into(), there.port());
    let (i1, i2) = (network.place("i1"), network.place("i2"));
    assert!(reaches(&i1, there));
    assert!(reaches(&i2, there));
    assert!(!reaches(&i2, loopback));
    let found = network.processes("i1");
    assert!(found.iter().any(|(_, name)| name == "influxd"), "{found:?}");
    assert_eq!(network.processes("i2"), []);

    network.unplug("i2");
    assert!(!reaches(&i2, there));
    network.plug("i2");
    wait_until("i2 reaches i1 again", || reaches(&i2, there));
}

#[test]
fn what_a_killed_run_has_left_is_removed() {
    let Some(network) = Network::new(&[]) else { return };
    drop(network);
    let mut ended = Command::new("true").spawn().unwrap();
    ended.wait().unwrap();
    let left = format!("tribe-{}-0-i1", ended.id());
    let _ = Ran::new(Command::new("ip").args(["netns", "add", &left])).done();
    let _network = Network::new(&[]);
    assert!(!Path::new("/run/netns").join(&left).exists());
}

#[test]
fn nodes_on_hosts_of_their_own_meet_and_publish_to_one_of_them() {
    let hosts = ["i1", "i2", "db"];
    let Some(network) = Network::new(&hosts) else { return };
    let influx = Influx::start_on(&network, "db");
    let start = std::time::Instant::now();
    let mut cluster = Cluster::start_on(&network, &[("i1", &[]), ("i2", &[])]);
    report("two nodes on hosts of their own meet", start.elapsed());
    let files = ["psutil", "influxdb"].map(plugins::go);
    std::thread::scope(|scope| {
        for node in cluster.running() {
            scope.spawn(|| {
                load(node, &files);
                node.types(&format!(
                    "metric collect /intel/psutil/net/*/bytes_sent {}",
                    to(&influx)
                ));
            });
        }
    });
    assert_eq!(influx.sources("snap", "intel/psutil/net/"), names(&["i1", "i2"]));
    let series = influx.series("snap");
    let interfaces = series.iter().filter(|series| series.contains(",source=i2"));
    // Its loopback, its cable, and all.
    assert_eq!(interfaces.count(), 3, "{series:#?}");

    network.unplug("i2");
    let names = names(&["i1"]);
    wait_until("i1 is alone", || cluster["i1"].alive() == names);
    network.plug("i2");
    cluster.wait_until_met();
    cluster.kill_all();
    let gone = || network.processes("i1").is_empty() && network.processes("i2").is_empty();
    let took = wait_until("the plugins end with their snapd", gone);
    assert!(took < Duration::from_secs(10), "{took:?}");
}
