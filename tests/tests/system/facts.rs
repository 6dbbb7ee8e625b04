//! Facts that change while nodes run.

use std::time::{Duration, Instant};

use tribe_tests::{Cluster, Node, report, wait_until};

use crate::check_time;

/// How long the node acts on for the tribe: `None` if it does not, an empty time while it is a member.
fn acting(node: &Node, tribe: &str) -> Option<Option<f64>> {
    let acting = node.info().acting.into_iter().find(|acting| acting.tribe == tribe)?;
    Some(acting.leaves_in_seconds)
}

#[test]
fn a_fact_set_from_another_node_moves_a_node_in_and_out_and_it_acts_on_for_the_hold_down() {
    let cluster = Cluster::of_the_rfc();
    let (i1, i3) = (&cluster["i1"], &cluster["i3"]);
    i1.types("tribe policy create storage_policy \"{{storage_tier}} == True\" --tribe storage");
    cluster.wait_for_tribes(&[("storage", &["i2"])]);

    i1.types("fact set i3 storage_tier=True");
    let took = cluster.wait_for_tribes(&[("storage", &["i2", "i3"])]);
    check_time("four views agree after `fact set`", took);
    assert_eq!(cluster["i4"].fact("i3", "storage_tier"), Some(true.into()));
    assert_eq!(acting(i3, "storage"), Some(None));

    i1.types("fact unset i3 storage_tier");
    let unset = Instant::now();
    let took = cluster.wait_for_tribes(&[("storage", &["i2"])]);
    check_time("four views agree after `fact unset`", took);
    assert_eq!(cluster["i4"].fact("i3", "storage_tier"), None);
    // Out in every view, i3 itself goes on for the hold-down of 10 s.
    let left = acting(i3, "storage").flatten().unwrap_or_else(|| panic!("{:?}", i3.info()));
    assert!((0.0..=10.0).contains(&left), "{left}");
    assert!(unset.elapsed().as_secs_f64() + left > 9.0, "{left}");
    assert!(i3.tribe("storage").members.iter().all(|member| member.name != "i3"));

    wait_until("i3 stops to act", || acting(i3, "storage").is_none());
    let held = unset.elapsed();
    report("i3 acted on after `fact unset` for", held);
    assert!(held > Duration::from_secs_f64(9.5), "{held:?}");
    assert!(held < Duration::from_secs(20), "{held:?}");
}
