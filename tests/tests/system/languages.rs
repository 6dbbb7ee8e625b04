//! One cluster, three languages.

use std::net::SocketAddr;

use rustix::process::Signal;
use serde_json::json;
use tribe_tests::{CProgram, Cluster, Program, free_address, python, wait_until};

/// How both examples are told where and with whom.
fn common<'a>(bind: &'a str, key: &'a str, seeds: &'a [String]) -> Vec<&'a str> {
    let mut args = vec!["--bind", bind, "--key-file", key];
    args.extend(seeds.iter().flat_map(|seed| ["--seed", seed.as_str()]));
    args
}

fn texts(addresses: Vec<SocketAddr>) -> Vec<String> {
    addresses.iter().map(ToString::to_string).collect()
}

#[test]
fn programs_in_c_and_python_are_members_like_any_other() {
    let program = CProgram::compile();
    let mut cluster = Cluster::start(&[("i1", &[]), ("i2", &[])]);
    let key = cluster.key().to_str().unwrap().to_owned();
    let seeds = texts(cluster.seeds());
    let (c_at, py_at) = (free_address().to_string(), free_address().to_string());
    let i1 = &cluster["i1"];
    i1.types("tribe policy create tier_policy \"{{storage_tier}} == True\" --tribe storage");

    let mut c = program.start(
        "c1",
        &[&common(&c_at, &key, &seeds)[..], &["--fact", "storage_tier=True"]].concat(),
    );
    let py = python(
        "p1",
        &[&common(&py_at, &key, &seeds)[..], &["--fact", "storage_tier=True"]].concat(),
    );
    let all = ["c1", "i1", "i2", "p1"].map(str::to_owned).into();
    tribe_tests::report("C and Python meet two snapd", cluster.wait_until_alive(&all));
    cluster.wait_for_tribes(&[("storage", &["c1", "p1"])]);
    let lines = cluster["i2"].tries("member list").lines();
    for name in ["c1", "p1"] {
        let row = lines.iter().find(|words| words[0] == name).unwrap();
        assert_eq!((row[1].as_str(), row[5].as_str()), ("alive", "storage"), "{row:?}");
    }

    // They run no snapd: nobody waits for them to apply anything.
    let status = cluster["i2"].tries("tribe status storage -o json").done();
    let status: serde_json::Value = serde_json::from_str(&status).unwrap();
    assert_eq!(status["applied"], true, "{status:#}");
    for member in status["members"].as_array().unwrap() {
        assert!(member["other_agent"].is_string() && member["silent"].is_null(), "{member:#}");
    }

    // What others do, both hear.
    let both = |hears: &dyn Fn(&Program)| [&c, &py].into_iter().for_each(hears);
    c.meets("p1");
    py.meets("c1");
    both(&|member| {
        member.meets("i1");
        member.meets("i2");
    });
    cluster["i1"].types("fact set i2 storage_tier=True");
    both(&|member| {
        member.hears("fact-changed", "i2", &json!({"set": {"storage_tier": true}}));
        member.hears("membership-changed", "storage", &json!({"node": "i2", "member": true}));
    });
    // A fact of one, typed at another's snapd; and one set by the program itself.
    cluster["i2"].types("fact set p1 rack=7");
    c.hears("fact-changed", "p1", &json!({"set": {"rack": 7}}));
    cluster["i2"].types("fact unset p1 rack");
    c.hears("fact-changed", "p1", &json!({"unset": ["rack"]}));
    c.say("fact storage_tier=False");
    py.hears("fact-changed", "c1", &json!({"set": {"storage_tier": false}}));
    py.hears("membership-changed", "storage", &json!({"node": "c1", "member": false}));
    cluster.wait_for_tribes(&[("storage", &["i2", "p1"])]);

    // One says good-bye, one is killed, one of each kind of end.
    cluster["i2"].signal(Signal::TERM);
    both(&|member| {
        member.hears("member-left", "i2", &json!({"cause": "left"}));
    });
    cluster["i2"].kill();
    let mut py = py;
    py.process.signal(Signal::TERM);
    c.hears("member-left", "p1", &json!({"cause": "left"}));
    assert!(py.process.ended().success(), "{:?}", py.errors());
    cluster["i1"].kill();
    c.hears("member-left", "i1", &json!({"cause": "down"}));
    c.say("quit");
    assert!(c.process.ended().success(), "{:?}", c.errors());
}

#[test]
fn a_c_program_and_two_python_scripts_form_a_cluster_of_their_own() {
    let program = CProgram::compile();
    let cluster = Cluster::new();
    let key = cluster.key().to_str().unwrap();
    let at = [free_address(), free_address(), free_address()].map(|at| at.to_string());
    let seeds = &at[..2];
    let without = |own: &String| -> Vec<String> {
        seeds.iter().filter(|seed| *seed != own).cloned().collect()
    };
    let (seeds_c, seeds_p1, seeds_p2) = (without(&at[0]), without(&at[1]), without(&at[2]));
    let gold = ["--fact", "tier=gold"];
    let c = program.start("c1", &[&common(&at[0], key, &seeds_c)[..], &gold].concat());
    let policy = ["--policy", "gold_policy", "{{tier}} == gold", "gold"];
    let p1 = python("p1", &[&common(&at[1], key, &seeds_p1)[..], &policy].concat());
    let p2 = python("p2", &[&common(&at[2], key, &seeds_p2)[..], &gold].concat());
    for (member, others) in [(&c, ["p1", "p2"]), (&p1, ["c1", "p2"]), (&p2, ["c1", "p1"])] {
        for other in others {
            member.meets(other);
        }
        for node in ["c1", "p2"] {
            member.meets_in("gold", node);
        }
    }
    c.say("members gold");
    wait_until("the C program lists its tribe", || {
        let lines = c.lines();
        let listed: Vec<_> = lines.iter().filter(|line| line["kind"] == "member").collect();
        let names: Vec<_> = listed.iter().map(|line| line["name"].as_str().unwrap()).collect();
        names == ["c1", "p2"] && listed.iter().all(|line| line["facts"]["tier"] == "gold")
    });
    c.say("join gold p1");
    p2.hears("membership-changed", "gold", &json!({"node": "p1", "member": true}));
    drop(p1);
    c.hears("member-left", "p1", &json!({"cause": "down"}));
    p2.hears("member-left", "p1", &json!({"cause": "down"}));
}
