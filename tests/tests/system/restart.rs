//! Power cuts.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use serde_json::Value;
use tribe_api::MemberState;
use tribe_tests::{Cluster, Listener, Node, report, wait_until};

use crate::policy_word;

/// What people have said, and what follows from it.
fn all_of(node: &Node) -> (Value, BTreeMap<String, Value>) {
    let tribes = node.tribes().into_keys().map(|name| {
        let mut tribe = node.get(&format!("/v3/tribes/{name}"));
        // Who is there at the moment is another matter.
        for member in tribe["members"].as_array_mut().unwrap() {
            member["state"].take();
        }
        (name, tribe)
    });
    (node.get("/v3/policies"), tribes.collect())
}

/// Waits until the disks of these nodes hold what was said before: what a node merely heard gets there
/// within two seconds, so whoever has written nothing for longer is done.
fn wait_until_kept(cluster: &Cluster, names: &[&str]) {
    let rest = Duration::from_secs(3);
    let said = Instant::now();
    let is_done = |name: &&str| {
        let modified = std::fs::metadata(cluster[name].state_file()).unwrap().modified().unwrap();
        modified.elapsed().is_ok_and(|age| age > rest)
    };
    wait_until("all is on disk", || said.elapsed() > rest && names.iter().all(is_done));
}

/// A node lost its disk, and starts under its name again.
fn loses_its_disk(others_know: bool) {
    let mut cluster = Cluster::start(&[("i1", &[]), ("i2", &[]), ("i3", &["--fact", "rack=r3"])]);
    cluster["i1"].types("tribe create core");
    cluster["i1"].types("tribe join core i3");
    cluster["i1"].types(r#"tribe policy create third "{{rack}} == r3" --tribe thirds"#);
    let tribes: [(&str, &[&str]); 2] = [("core", &["i3"]), ("thirds", &["i3"])];
    cluster.wait_for_tribes(&tribes);
    let listener = Listener::on(&cluster["i1"]);
    let id = cluster["i3"].info().id;

    cluster["i3"].kill();
    if others_know {
        let down = |node: &Node| node.states()["i3"] == MemberState::Down;
        wait_until("both know that it is down", || cluster.running().all(down));
    }
    std::fs::remove_dir_all(cluster["i3"].state_file().parent().unwrap()).unwrap();
    cluster.run(&["i3"]);
    report("a node without its disk is a member again", cluster.wait_until_met());
    cluster.wait_for_tribes(&tribes);
    assert_ne!(cluster["i3"].info().id, id);
    for node in cluster.running() {
        let named = node.members().into_iter().filter(|member| member.name == "i3").count();
        assert_eq!(named, 1, "in the view of {}", node.name());
    }
    cluster["i3"].types("tribe create afterwards");
    cluster.wait_for_tribes(&[("afterwards", &[]), tribes[0], tribes[1]]);
    let heard = listener.heard();
    assert!(heard.iter().all(|event| !event.kind.contains("conflict")), "{heard:?}");
}

#[test]
fn a_node_that_lost_its_disk_is_back_under_its_name_though_the_others_take_it_for_alive() {
    loses_its_disk(false);
}

#[test]
fn a_node_that_lost_its_disk_is_back_under_its_name_after_it_was_down() {
    loses_its_disk(true);
}

#[test]
fn a_dead_node_is_forgotten_by_one_word_and_comes_back_as_it_was() {
    let mut cluster = Cluster::start(&[("i1", &[]), ("i2", &[]), ("i3", &[])]);
    cluster["i1"].types("tribe create core");
    cluster["i1"].types("tribe join core i3");
    cluster.wait_for_tribes(&[("core", &["i3"])]);
    let alive = cluster["i1"].tries("member forget i3");
    assert_eq!((alive.code, alive.stdout.as_str()), (Some(1), ""));
    let told = "error: node `i3` is alive, only one that is down or has left can be forgotten";
    assert!(alive.stderr.starts_with(told), "{}", alive.stderr);

    cluster["i3"].kill();
    let down = |node: &Node| node.states()["i3"] == MemberState::Down;
    wait_until("both know that it is down", || cluster.running().all(down));
    cluster["i2"].types("--wait member forget i3");
    for node in cluster.running() {
        assert!(!node.states().contains_key("i3"), "{}", node.name());
        assert_eq!(node.get("/v3/tribes/core")["members"], serde_json::json!([]));
    }
    let unknown = cluster["i1"].tries("member forget i3");
    assert_eq!(unknown.code, Some(3), "{unknown:?}");

    cluster.run(&["i3"]);
    cluster.wait_until_met();
    cluster.wait_for_tribes(&[("core", &["i3"])]);
}

#[test]
fn after_a_power_cut_everything_is_as_before_though_a_seed_is_missing() {
    let mut cluster = Cluster::of_the_rfc();
    let i1 = &cluster["i1"];
    let dist = policy_word(&i1.fact("i1", "os_dist").unwrap());
    i1.types("tribe create core --description everyone");
    i1.types(&format!(
        "tribe policy create ubuntu_policy \"{{{{os_dist}}}} == {dist}\" --tribe core"
    ));
    i1.types("tribe policy create storage_policy \"{{storage_tier}} == True\" --tribe storage");
    i1.types("tribe join storage i4");
    i1.types("tribe leave core i3");
    i1.types("fact set i4 rack=7");
    let tribes: &[(&str, &[&str])] = &[("core", &["i1", "i2", "i4"]), ("storage", &["i2", "i4"])];
    cluster.wait_for_tribes(tribes);
    let has_fact = |node: &Node| node.fact("i4", "rack") == Some(7.into());
    wait_until("all hold the last fact", || cluster.running().all(has_fact));
    let before = all_of(&cluster["i4"]);
    let ids = |node: &Node| -> BTreeMap<String, String> {
        node.members().into_iter().map(|member| (member.name, member.id)).collect()
    };
    let ids_before = ids(&cluster["i4"]);
    wait_until_kept(&cluster, &["i2", "i3", "i4"]);

    cluster.kill_all();
    // The other way around, and without the first seed.
    let start = Instant::now();
    cluster.run(&["i4", "i3", "i2"]);
    cluster.wait_until_met();
    cluster.wait_for_tribes(tribes);
    report("three of four nodes are as before after a power cut", start.elapsed());
    // At start i4 says all its facts anew, also those set while it ran.
    wait_until("all have the fact of i4", || cluster.running().all(has_fact));
    for node in cluster.running() {
        assert_eq!(all_of(node), before, "{}", node.name());
        assert_eq!(ids(node), ids_before, "{}", node.name());
        assert_eq!(node.states()["i1"], MemberState::Down, "{}", node.name());
    }

    let start = Instant::now();
    cluster.run(&["i1"]);
    cluster.wait_until_met();
    cluster.wait_for_tribes(tribes);
    report("the missing seed is back", start.elapsed());
    for node in cluster.running() {
        assert_eq!(all_of(node), before, "{}", node.name());
    }
}

#[test]
fn what_was_only_heard_survives_a_power_cut_though_who_said_it_is_gone() {
    let mut cluster = Cluster::start(&[("i1", &[]), ("i2", &[]), ("i3", &[])]);
    let i1 = &cluster["i1"];
    i1.types("--wait tribe create core");
    wait_until_kept(&cluster, &["i2", "i3"]);
    cluster.kill_all();
    cluster.run(&["i3", "i2"]);
    cluster.wait_until_met();
    cluster.wait_for_tribes(&[("core", &[])]);
}
