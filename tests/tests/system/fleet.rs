//! The RFC's first storyboard with nothing pretended: plugins and tasks by tribe, on hosts of their own,
//! into a real database.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use serde_json::{Value, json};
use tribe_tests::{Cluster, Influx, Network, Node, plugins, report, wait_until, workspace};

/// What tribes may do on the nodes: everything.
pub(crate) const ALL: &str =
    "capabilities: {load_from_tribes: ['*'], plugins: ['*'], serve_to: ['*']}\n";
/// How long data may take to arrive after the last command.
const ARRIVE: Duration = Duration::from_secs(15);

/// A cluster of nodes on hosts of their own, on which tribes may do everything.
pub(crate) fn cluster_on(network: &Network, nodes: &[(&str, &[&str])]) -> Cluster {
    let nodes: Vec<_> = nodes.iter().map(|(name, options)| (*name, *options, ALL)).collect();
    cluster_with(network, &nodes)
}

/// A cluster of nodes on hosts of their own, with these options and configurations.
pub(crate) fn cluster_with(network: &Network, nodes: &[(&str, &[&str], &str)]) -> Cluster {
    let mut cluster = Cluster::new();
    for (name, options, config) in nodes {
        cluster.add_on(network, name, options);
        cluster[*name].configure(config);
    }
    let names: Vec<&str> = nodes.iter().map(|(name, ..)| *name).collect();
    cluster.run(&names);
    cluster.wait_until_met();
    cluster
}

/// The task of an example, every second, into this database.
fn task(cluster: &Cluster, example: &str, influx: &Influx) -> PathBuf {
    let text = fs::read_to_string(workspace().join("examples").join(example)).unwrap();
    let mut manifest: Value = serde_json::from_str(&text).unwrap();
    manifest["schedule"]["interval"] = json!("1s");
    let config = &mut manifest["workflow"]["collect"]["publish"][0]["config"];
    config["host"] = json!(influx.address().ip().to_string());
    config["port"] = json!(influx.address().port());
    let collect = &mut manifest["workflow"]["collect"];
    if let Some(config) = collect["config"].get_mut("/intel/disk/smart") {
        config["smartctl_path"] = json!(plugins::smartctl());
    }
    let path = cluster.dir().join(example);
    fs::write(&path, manifest.to_string()).unwrap();
    path
}

/// Copies a plugin to where it can be deleted, under the name the RFC has.
fn copied(cluster: &Cluster, name: &str) -> PathBuf {
    let dir = cluster.dir().join("files");
    fs::create_dir_all(&dir).unwrap();
    let path = dir.join(name);
    fs::copy(plugins::go(name), &path).unwrap();
    path
}

/// Has a tribe load a plugin from a file that is gone right after.
fn load(node: &Node, file: &Path, tribe: &str) {
    node.types(&format!("plugin load {} --tribe {tribe}", file.display()));
    fs::remove_file(file).unwrap();
}

fn names(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|&name| name.to_owned()).collect()
}

/// The plugins that run on a host, by their files.
fn running(network: &Network, host: &str) -> BTreeSet<String> {
    let ours = ["psutil", "influxdb", "smart"];
    let found = network.processes(host).into_iter().map(|(_, name)| name);
    found.filter(|name| ours.contains(&name.as_str())).collect()
}

#[test]
fn the_rfcs_fleet_collects_what_its_tribes_say() {
    let Some(mut network) = Network::new(&["i1", "i2", "i3", "i4", "db"]) else { return };
    let influx = Influx::start_on(&network, "db");
    let mut cluster = cluster_on(&network, &[("i1", &[]), ("i2", &[]), ("i3", &[]), ("i4", &[])]);
    let i1 = &cluster["i1"];
    i1.types("tribe create core");
    for node in ["i1", "i2", "i3", "i4"] {
        i1.types(&format!("tribe join core {node}"));
    }
    i1.types("tribe create storage");
    i1.types("tribe join storage i1");
    i1.types("tribe join storage i2");
    cluster.wait_for_tribes(&[("core", &["i1", "i2", "i3", "i4"]), ("storage", &["i1", "i2"])]);

    let i4 = &cluster["i4"];
    load(i4, &copied(&cluster, "influxdb"), "core");
    load(i4, &copied(&cluster, "psutil"), "core");
    let psutil = task(&cluster, "psutil-influx.json", &influx);
    i4.types(&format!("task create -t {} --tribe core", psutil.display()));
    load(i4, &copied(&cluster, "smart"), "storage");
    let disk = task(&cluster, "disk-io.json", &influx);
    i4.types(&format!("task create -t {} --tribe storage", disk.display()));

    let four = names(&["i1", "i2", "i3", "i4"]);
    let took = wait_until("data of all four nodes arrives", || {
        influx.sources("snap", "intel/psutil/") == four
            && influx.sources("snap", "intel/disk/smart/") == names(&["i1", "i2"])
    });
    report("the RFC's five commands, to data of all nodes", took);
    assert!(took < ARRIVE, "{took:?}");
    wait_until("all that core asks is done", || i4.tries("tribe status core").code == Some(0));
    assert_eq!(running(&network, "i3"), names(&["psutil", "influxdb"]));

    // A fifth node, with nothing typed on it.
    i1.types("tribe policy create fleet {{fleet}}==True --tribe core");
    i1.types("tribe policy create disks {{storage_tier}}==True --tribe storage");
    let facts = ["--fact", "fleet=True", "--fact", "storage_tier=True"];
    network.add("i5");
    cluster.add_on(&network, "i5", &facts);
    cluster["i5"].configure(ALL);
    cluster.run(&["i5"]);
    let took = wait_until("the fifth node delivers", || {
        influx.sources("snap", "intel/disk/smart/").contains("i5")
            && influx.sources("snap", "intel/psutil/").contains("i5")
    });
    report("a node that a policy takes in, from its start to its data", took);
    assert!(took < ARRIVE, "{took:?}");

    // Out by policy: after the hold-down. Out by hand: at once.
    cluster["i1"].types("fact set i5 storage_tier=False");
    let took =
        wait_until("the fifth node unloads smart", || !running(&network, "i5").contains("smart"));
    report("a node that falls out by policy, to its last process", took);
    assert!(took > Duration::from_secs(8) && took < Duration::from_secs(16), "{took:?}");
    cluster["i1"].types("tribe leave storage i2");
    let took = wait_until("i2 unloads smart", || !running(&network, "i2").contains("smart"));
    report("a node that leaves by hand, to its last process", took);
    assert!(took < Duration::from_secs(5), "{took:?}");
    assert_eq!(running(&network, "i2"), names(&["psutil", "influxdb"]));
}
