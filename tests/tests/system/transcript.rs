//! The RFC's transcripts, as people type them on real hosts.

use std::time::Instant;

use tribe_tests::Cluster;

use crate::{check_time, policy_word};

const ALL: &[&str] = &["i1", "i2", "i3", "i4"];

/// Member, state and reasons as `tribe show` has them.
fn shown_members(cluster: &Cluster, on: &str, tribe: &str) -> Vec<String> {
    let lines = cluster[on].tries(&format!("tribe show {tribe}")).lines();
    let table = lines.iter().skip_while(|words| words.first().is_none_or(|word| word != "MEMBER"));
    let rows = table.skip(1).take_while(|words| !words.is_empty());
    rows.map(|words| words.join(" ")).collect()
}

#[test]
fn nodes_joined_by_name_on_one_node_are_members_in_all_views() {
    let cluster = Cluster::of_the_rfc();
    let i1 = &cluster["i1"];
    i1.types("tribe create core");
    for node in ALL {
        i1.types(&format!("tribe join core {node}"));
    }
    i1.types("tribe create storage");
    i1.types("tribe join storage i1");
    i1.types("tribe join storage i2");
    let took = cluster.wait_for_tribes(&[("core", ALL), ("storage", &["i1", "i2"])]);
    check_time("four views agree after the last command of section 1", took);
    for on in ALL {
        assert_eq!(
            shown_members(&cluster, on, "core"),
            ["i1 alive joined", "i2 alive joined", "i3 alive joined", "i4 alive joined"]
        );
        assert_eq!(shown_members(&cluster, on, "storage"), ["i1 alive joined", "i2 alive joined"]);
    }
}

#[test]
fn policies_over_real_facts_sort_old_and_new_nodes() {
    let mut cluster = Cluster::of_the_rfc();
    let i1 = &cluster["i1"];
    let dist = policy_word(&i1.fact("i1", "os_dist").expect("this host says what it is"));
    i1.types("tribe create core");
    i1.types("tribe create storage");
    let is_ours = format!("{{{{os_dist}}}} == {dist}");
    i1.types(&format!("tribe policy create ubuntu_policy \"{is_ours}\" --tribe core"));
    let text = format!("{is_ours} && {{{{storage_tier}}}} == True");
    i1.types(&format!("tribe policy create storage_policy \"{text}\" --tribe storage"));
    let took = cluster.wait_for_tribes(&[("core", ALL), ("storage", &["i2"])]);
    check_time("four views agree after the last command of section 2", took);
    for on in ALL {
        let rows = shown_members(&cluster, on, "core");
        let expected: Vec<_> =
            ALL.iter().map(|node| format!("{node} alive policy:ubuntu_policy")).collect();
        assert_eq!(rows, expected);
        assert_eq!(shown_members(&cluster, on, "storage"), ["i2 alive policy:storage_policy"]);
    }

    // A fifth host comes up, and nobody types anything.
    cluster.add("i5", &["--fact", "storage_tier=True"]);
    let start = Instant::now();
    cluster.run(&["i5"]);
    let five: &[&str] = &["i1", "i2", "i3", "i4", "i5"];
    cluster.wait_for_tribes(&[("core", five), ("storage", &["i2", "i5"])]);
    check_time("five views agree after the start of a fifth node", start.elapsed());
    cluster.wait_until_met();
    assert_eq!(
        shown_members(&cluster, "i5", "storage"),
        ["i2 alive policy:storage_policy", "i5 alive policy:storage_policy"]
    );
    let acting = cluster["i5"].info().acting;
    assert_eq!(acting.iter().map(|acting| &acting.tribe).collect::<Vec<_>>(), ["core", "storage"]);
}

#[test]
fn a_node_joined_before_it_exists_is_a_member_once_it_comes() {
    let mut cluster = Cluster::start(&[("i1", &[]), ("i2", &[])]);
    cluster["i1"].types("tribe create core");
    cluster["i1"].types("tribe join core i3");
    cluster.wait_for_tribes(&[("core", &[])]);
    cluster.add("i3", &[]);
    let start = Instant::now();
    cluster.run(&["i3"]);
    cluster.wait_for_tribes(&[("core", &["i3"])]);
    check_time("three views agree after the start of a node joined before", start.elapsed());
}
