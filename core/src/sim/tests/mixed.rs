//! Clusters in which not all nodes run one build.

use super::*;
use crate::wire::noise::NEWEST_VERSION;

/// Every second node speaks the oldest version of the stream protocol only.
fn half_of_them_old(of: u64, nodes: usize) -> Sim {
    let mut sim = Sim::new(SimConfig { loss: 0.01, ..SimConfig::new(seed(of), 0) });
    for number in 0..nodes {
        let speaks = if number % 2 == 0 { NEWEST_VERSION } else { 1 };
        let plan = NodePlan { speaks, ..NodePlan::new(node(&format!("n{number}"))) };
        sim.add(plan.with_fact("old", number % 2 == 1));
    }
    sim
}

#[test]
fn nodes_of_two_versions_are_one_cluster_while_they_are_upgraded_one_by_one() {
    for of in 0..3 {
        let mut sim = half_of_them_old(of, 12);
        converge(&mut sim, 2 * MINUTE, "joined");
        set_policy(&mut sim, 0, "old", "{{old}} == true", "old");
        sim.partition([0, 1, 2, 3]);
        for (at, name) in [(1, "a"), (5, "b"), (2, "c"), (6, "d")] {
            create(&mut sim, at, name);
        }
        sim.run_for(MINUTE);
        sim.heal();
        converge(&mut sim, 2 * MINUTE, "healed");
        check_old(&sim, &["a", "b", "c", "d", "old"], 6);
        // The old ones are replaced by new builds, one after the other, under load.
        for number in (1..12).step_by(2) {
            sim.crash(number);
            create(&mut sim, 0, &format!("t{number}"));
            sim.nodes[number].plan.speaks = NEWEST_VERSION;
            sim.restart(number, true);
            sim.run_for(MINUTE / 4);
        }
        converge(&mut sim, 2 * MINUTE, "upgraded");
        let all = ["a", "b", "c", "d", "old", "t1", "t11", "t3", "t5", "t7", "t9"];
        check_old(&sim, &all, 6);
    }
}

#[track_caller]
fn check_old(sim: &Sim, tribes: &[&str], old: usize) {
    for at in sim.running() {
        let view = sim.view(at);
        let names: Vec<_> = view.tribes.keys().map(TribeName::as_str).collect();
        assert_eq!((names, view.tribes[&tribe("old")].members.len()), (tribes.to_vec(), old));
    }
}

#[test]
fn what_a_later_build_writes_is_kept_and_passed_on_by_those_who_do_not_understand_it() {
    let mut sim = Sim::new(SimConfig::new(seed(7), 5));
    converge(&mut sim, MINUTE, "joined");
    let mut written = Vec::new();
    sim.turn(4, |engine, now| written = engine.write_as_a_later_build(now).unwrap());
    let held = |sim: &Sim| {
        sim.running().all(|at| written.iter().all(|one| sim.engine(at).unwrap().holds(one)))
    };
    converge(&mut sim, MINUTE, "written");
    assert!(written.len() == 3 && held(&sim));
    for at in sim.running() {
        let read = &sim.view(at).policies;
        assert!(read.is_empty(), "what is not understood is no policy: {read:?}");
        assert_eq!(metric(&sim, at, "tribe_records_unknown_total"), 2);
    }
    // Who wrote it is gone, and those who read it begin anew, with what is on their disks by then.
    sim.run_for(MINUTE);
    sim.crash(4);
    for at in 0..4 {
        sim.restart(at, true);
    }
    sim.add(NodePlan::new(node("n9")));
    converge(&mut sim, 2 * MINUTE, "passed on");
    assert!(held(&sim));
}
