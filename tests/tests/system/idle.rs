//! What a cluster costs while nothing happens.

use std::{
    fs,
    time::{Duration, Instant},
};

use tribe_tests::{Cluster, Node, full_size, say};

/// Processor time used so far, in seconds.
fn processor_seconds(node: &Node) -> f64 {
    let stat = fs::read_to_string(format!("/proc/{}/stat", node.pid())).unwrap();
    let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
    let ticks = |at: usize| fields[at].parse::<f64>().unwrap();
    // User and system time, in the hundredths of a second that Linux tells everyone.
    (ticks(11) + ticks(12)) / 100.0
}

/// Resident memory in MiB.
fn resident_mib(node: &Node) -> f64 {
    let status = fs::read_to_string(format!("/proc/{}/status", node.pid())).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<f64>().unwrap() / 1024.0
}

#[test]
fn an_idle_cluster_costs_little() {
    let cluster = Cluster::of_the_rfc();
    cluster["i1"].types("tribe policy create p \"{{storage_tier}} == True\" --tribe storage");
    cluster.wait_for_tribes(&[("storage", &["i2"])]);
    let span = Duration::from_secs(if full_size() { 20 } else { 3 });
    let measure =
        |node: &Node| (processor_seconds(node), node.counters()["tribe_datagrams_sent_total"]);
    let before: Vec<_> = cluster.running().map(measure).collect();
    let start = Instant::now();
    while start.elapsed() < span {
        std::thread::park_timeout(span.saturating_sub(start.elapsed()));
    }
    for (node, before) in cluster.running().zip(before) {
        let after = measure(node);
        let processor = after.0 - before.0;
        say(&format!(
            "idle: {} in {} s: processor {processor:.2} s, {:.1} MiB resident, {} datagrams",
            node.name(),
            span.as_secs(),
            resident_mib(node),
            after.1 - before.1,
        ));
        assert!(processor < span.as_secs_f64() / 10.0, "{processor}");
        assert!(resident_mib(node) < 100.0);
    }
}
