//! Hosts that lose their network, or have a bad one.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use serde_json::Value;
use tribe_api::Event;
use tribe_tests::{Cluster, Listener, Network, Node, full_size, report, say, wait_until};

const HOSTS: [&str; 5] = ["i1", "i2", "i3", "i4", "i5"];

fn cluster(network: &Network) -> Cluster {
    Cluster::start_on(network, &HOSTS.map(|host| (host, &[] as &[&str])))
}

fn names(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

/// All that people said, as a node has it: tribes, what they are for, and their policies.
fn said(node: &Node) -> Value {
    let tribes = node.tribes();
    let whole = tribes.keys().map(|tribe| serde_json::to_value(node.tribe(tribe)).unwrap());
    Value::from(whole.collect::<Vec<_>>())
}

fn lost<'a>(events: &'a [Event], subject: &str) -> Vec<&'a Value> {
    let about = events.iter().filter(|event| event.kind == "conflict" && event.subject == subject);
    about.map(|event| &event.body["lost"]).collect()
}

#[test]
fn two_and_three_that_were_split_hold_the_same_after_the_heal_and_the_loser_is_told() {
    let Some(network) = Network::new(&HOSTS) else { return };
    let cluster = cluster(&network);
    cluster["i1"].types("tribe create core");
    cluster["i1"].types(r#"tribe policy create p "{{rack}} == r1" --tribe core"#);
    cluster.wait_for_tribes(&[("core", &[])]);
    let listeners: Vec<Listener> = HOSTS.iter().map(|host| Listener::on(&cluster[host])).collect();

    let (few, many) = HOSTS.split_at(2);
    network.split(few);
    for side in [few, many] {
        let there = |host: &&str| cluster[host].alive() == names(side);
        wait_until("each side knows that the other is gone", || side.iter().all(there));
    }
    // The same record on both sides; the second write is later and stays.
    cluster["i2"].types(r#"tribe policy create p "{{rack}} == r2" --tribe core --replace"#);
    cluster["i4"].types(r#"tribe policy create p "{{rack}} == r3" --tribe core --replace"#);
    // And what does not collide.
    cluster["i1"].types("tribe create few");
    cluster["i1"].types("tribe join core i5");
    cluster["i3"].types("tribe create many");
    cluster["i5"].types("fact set i5 rack=r3");

    network.heal(few);
    let healed = Instant::now();
    cluster.wait_until_alive(&names(&HOSTS));
    cluster.wait_for_tribes(&[("core", &["i5"]), ("few", &[]), ("many", &[])]);
    wait_until("all hold the same, the later of both", || {
        let [first, others @ ..] = HOSTS.map(|host| said(&cluster[host]));
        first.to_string().contains("{{rack}} == r3") && others.iter().all(|other| *other == first)
    });
    for host in HOSTS {
        wait_until("a fact is everywhere", || {
            cluster[host].fact("i5", "rack") == Some("r3".into())
        });
    }
    report("2 and 3 that were split hold the same", healed.elapsed());
    assert!(healed.elapsed() < Duration::from_secs(30), "{:?}", healed.elapsed());

    for host in HOSTS {
        assert!(cluster[host].types("tribe policy show p").contains("{{rack}} == r3"), "{host}");
    }
    // Who lost is told what, and nobody else.
    wait_until("i2 is told", || !lost(&listeners[1].heard(), "p").is_empty());
    for (host, listener) in HOSTS.iter().zip(&listeners) {
        let expected = if *host == "i2" { vec!["{{rack}} == r2"] } else { vec![] };
        assert_eq!(lost(&listener.heard(), "p"), expected, "{host}");
    }
}

#[test]
fn nobody_is_taken_for_dead_behind_a_cable_that_loses_a_fifth() {
    const LOSS: f64 = 0.2;
    let time = Duration::from_secs(if full_size() { 120 } else { 20 });
    let Some(network) = Network::new(&HOSTS) else { return };
    let cluster = cluster(&network);
    let listeners: Vec<Listener> = HOSTS.iter().map(|host| Listener::on(&cluster[host])).collect();
    let relay = network.make_lossy("i5", LOSS);

    let start = Instant::now();
    let mut written = 0;
    while start.elapsed() < time {
        written += 1;
        // What is as large is pulled over streams.
        let text = format!("{written}{}", "x".repeat(1500));
        cluster["i5"].types(&format!("fact set text={text}"));
        let arrived = |host: &&str| cluster[host].fact("i5", "text") == Some(text.clone().into());
        wait_until("a fact is everywhere", || HOSTS.iter().all(arrived));
    }
    for (host, listener) in HOSTS.iter().zip(&listeners) {
        assert_eq!(listener.downs(), Vec::<String>::new(), "in the view of {host}");
        assert_eq!(cluster[host].alive(), names(&HOSTS), "{host}");
    }
    for (way, carried) in [("from it", relay.sent()), ("to it", relay.received())] {
        say(&format!("lossy cable, {way}: {carried:?}, {:.3} lost", carried.loss()));
        assert!(carried.udp > 20 && carried.tcp > 20, "{way}: {carried:?}");
        assert!((0.1..0.3).contains(&carried.loss()), "{way}: {carried:?}");
    }
    // There was no other way.
    drop(relay);
    let alone = |host: &str| cluster[host].alive() == names(&HOSTS[..4]);
    wait_until("without the relay i5 is gone", || HOSTS[..4].iter().all(|host| alone(host)));
}
