//! What is broken is named where it is, in full, and harms nothing else.

use std::{collections::BTreeMap, fs, path::PathBuf, time::Duration};

use serde_json::json;
use tribe_tests::{Cluster, Network, Node, plugins, report, runs, wait_equal, wait_until};

const NODES: [&str; 3] = ["i1", "i2", "i3"];
/// Plugins may take so long to start: those that hang do.
const LOAD_TIMEOUT: &str = "plugins: {load_timeout: 3s}\n";
/// What a member says that has not done all.
const PARTLY_DONE: i32 = 4;

/// What is wrong with the items of a tribe, by member and item.
type Trouble = BTreeMap<(String, String), (String, String)>;

/// What is wrong with the items of `core`, as a node learns it.
fn trouble(node: &Node) -> Trouble {
    let members = node.tribe_status("core").members;
    let items = members.into_iter().flat_map(|member| {
        let name = member.name;
        member.items.into_iter().map(move |item| (name.clone(), item))
    });
    let wrong = items.filter(|(_, item)| !item.applied || item.detail.is_some());
    wrong
        .map(|(member, item)| ((member, item.name), (item.state, item.detail.unwrap_or_default())))
        .collect()
}

/// A failed item of a member.
fn failed(member: &str, item: &str, detail: &str) -> ((String, String), (String, String)) {
    ((member.to_owned(), item.to_owned()), ("failed".to_owned(), detail.to_owned()))
}

/// A task that collects a metric of `many` each second.
fn task(publish: &serde_json::Value) -> serde_json::Value {
    let metrics = json!({"/intel/many/value00": {}});
    let schedule = json!({"type": "simple", "interval": "1s"});
    let collect = json!({"metrics": metrics, "publish": [publish]});
    json!({"version": 1, "schedule": schedule, "workflow": {"collect": collect}})
}

#[test]
fn what_is_broken_shows_its_reason_where_it_is_and_nothing_else_is_affected() {
    let cluster = Cluster::of_core(&NODES, LOAD_TIMEOUT);
    let [i1, i2] = ["i1", "i2"].map(|node| &cluster[node]);
    i1.load(&plugins::go("many"), "core");
    i1.load(&plugins::go("file"), "core");
    i1.wait_until_applied("core");
    let to_file = json!({"plugin_name": "file", "config": {"file": "{{out}}"}});
    i1.create(&cluster.manifest("good", &task(&to_file)), "core");
    i2.wait_until_applied("core");
    // A member that is busy may not answer in time, which is told as well.
    wait_until("all is done", || i2.tries("tribe status core").code == Some(0));

    // Broken on one node, good on the others.
    let on = |node, broken, good| {
        let path = cluster.dir().join(broken);
        plugins::broken_on(node, &plugins::broken(broken), &plugins::go(good), &path)
    };
    i1.load(&on("i2", "crash", "psutil"), "core");
    i1.load(&on("i3", "hang", "smart"), "core");
    i1.load(&on("i1", "preamble", "snap-plugin-collector-rand"), "core");
    i1.load(&on("i2", "garbage", "snap-plugin-processor-reverse"), "core");
    // Broken everywhere, for it is for another machine.
    i1.load(&plugins::for_another_machine(cluster.dir()), "core");
    // A publisher that refuses all on one node, and nothing on the others.
    i1.load(&plugins::go("failing"), "core");
    for (node, refused) in [("i1", -1), ("i2", -1), ("i3", 0)] {
        i1.types(&format!("fact set {node} refused={refused}"));
    }
    let config = json!({"collection": "{{refused}}", "reason": "no ink"});
    let to_failing = json!({"plugin_name": "failing", "config": config});
    i1.create(&cluster.manifest("lost", &task(&to_failing)), "core");

    let here = std::env::consts::ARCH;
    let other = if here == "aarch64" { "x86_64" } else { "aarch64" };
    let foreign = format!(
        "there is no file for linux/{here}, only for linux/{other}; load one with `snapctl plugin load`"
    );
    let not_loaded = |reason: &str| format!("the plugin was not loaded: {reason}");
    let crash = not_loaded(
        "it ended before it said what it is (exit status: 3)\nit last printed:\n  \
         cannot open /dev/nothing: No such device",
    );
    let garbage =
        not_loaded("it was not ready within 3s\nit last printed:\n  Hello! This is no plugin.");
    let expected: Trouble = [
        failed("i2", "crash", &crash),
        failed("i3", "hang", &not_loaded("it was not ready within 3s")),
        failed("i1", "preamble", &not_loaded("it listens on `nowhere`, which is not an address")),
        failed("i2", "garbage", &garbage),
        failed("i1", "foreign", &foreign),
        failed("i2", "foreign", &foreign),
        failed("i3", "foreign", &foreign),
        failed(
            "i3",
            "lost",
            "publish[0]: plugin `publisher:failing:1` failed: 1 metrics refused: no ink",
        ),
    ]
    .into();
    for node in NODES {
        wait_equal(&format!("what {node} tells of all"), &expected, || trouble(&cluster[node]));
    }
    // People read the same.
    let status = i2.tries("tribe status core");
    assert_eq!(status.code, Some(PARTLY_DONE), "{status:#?}");
    for ((member, item), (state, detail)) in &expected {
        let kind = if item == "lost" { "task" } else { "plugin" };
        let detail = detail.replace('\n', "\n  ");
        let remark = format!("\n{member} {kind} {item} {state}:\n  {detail}\n");
        assert!(format!("{}\n", status.stdout).contains(&remark), "{remark}{}", status.stdout);
    }

    // The good ones go on, without a miss. The reasons stay, though all of it is tried again meanwhile.
    let lines = NODES.map(|node| cluster.published(node).len());
    wait_until("data flow on", || {
        for (item, wrong) in trouble(i2) {
            assert_eq!(expected.get(&item), Some(&wrong), "{item:?}");
        }
        NODES.iter().zip(lines).all(|(node, before)| cluster.published(node).len() >= before + 3)
    });
    for node in NODES {
        let task = cluster[node].task("good");
        assert_eq!((task.failed_count, task.miss_count), (0, 0), "{node}: {task:#?}");
    }
    // Without what is broken all is well.
    for plugin in ["crash", "hang", "preamble", "garbage", "foreign"] {
        i1.types(&format!("plugin unload {plugin} --tribe core"));
    }
    i1.types("task stop lost --tribe core");
    wait_equal("nothing is wrong any more", &Trouble::new(), || trouble(i2));
    // A member that is busy may not answer in time, which is told as well.
    wait_until("all is done", || i2.tries("tribe status core").code == Some(0));
}

/// The file of the one blob that a node holds.
fn blob(cluster: &Cluster, node: &str) -> PathBuf {
    let dir = cluster.dir().join(node).join("data/blobs");
    let files: Vec<_> = fs::read_dir(dir).unwrap().map(|file| file.unwrap().path()).collect();
    let [file] = files.as_slice() else { panic!("{files:?}") };
    file.clone()
}

#[test]
fn a_file_that_was_tampered_with_on_one_holder_is_refused_and_fetched_elsewhere() {
    let Some(network) = Network::new(&["i1", "i2", "i3"]) else { return };
    let mut cluster = Cluster::new();
    for node in NODES {
        cluster.add_on(&network, node, &[]);
        let all = "capabilities: {load_from_tribes: ['*'], plugins: ['*'], serve_to: ['*']}\n";
        cluster[node].configure(all);
    }
    cluster.run(&["i1", "i2"]);
    cluster.wait_until_met();
    let i1 = &cluster["i1"];
    i1.types("tribe create core");
    for node in NODES {
        i1.types(&format!("tribe join core {node}"));
    }
    i1.load(&plugins::go("many"), "core");
    let applied = |cluster: &Cluster, of: &str, node: &str| {
        cluster[of].item("core", node, "many").is_some_and(|item| item.applied)
    };
    wait_until("the plugin runs on both", || {
        applied(&cluster, "i1", "i1") && applied(&cluster, "i1", "i2")
    });
    let right = fs::read(blob(&cluster, "i1")).unwrap();
    assert_eq!(fs::read(blob(&cluster, "i2")).unwrap(), right);
    // As long as before, and still a program.
    let mut wrong = right.clone();
    let middle = wrong.len() / 2;
    wrong[middle] ^= 1;
    fs::write(blob(&cluster, "i2"), wrong).unwrap();

    // The late member reaches only the one that was tampered with.
    network.unplug("i1");
    cluster.run(&["i3"]);
    let name = blob(&cluster, "i1").file_name().unwrap().to_str().unwrap().to_owned();
    let refused = format!("blob {name} cannot be fetched: `i2`: it sent wrong bytes");
    wait_until("i3 refuses the file", || {
        let item = cluster["i2"].item("core", "i3", "many");
        let detail = item.and_then(|item| item.detail).unwrap_or_default();
        detail.contains(&refused)
    });
    assert_eq!(cluster["i3"].plugin_processes(), []);
    assert!(!cluster["i3"].log().contains("a plugin runs"));

    network.plug("i1");
    let took = wait_until("i3 has it from i1", || applied(&cluster, "i2", "i3"));
    report("the right holder is reached, to the plugin running", took);
    assert_eq!(fs::read(blob(&cluster, "i3")).unwrap(), right);
    let [(id, file)] = cluster["i3"].plugin_processes().try_into().unwrap();
    assert!(runs(id) && file == "many", "{id} {file}");
    assert!(took < Duration::from_secs(60), "{took:?}");
}
