//! Nodes that were away for longer than tombstones are kept.

use super::*;

const HOUR: Duration = Duration::from_secs(3600);
const AGE: Duration = HOUR;
/// Longer than tombstones are kept, with horizons rounded to the hour.
const LONG: Duration = Duration::from_secs(3 * 3600);

fn cluster(of: u64, nodes: usize) -> Sim {
    let config = SimConfig {
        tombstone_age: AGE,
        encrypted: false,
        events: false,
        ..SimConfig::new(seed(of), nodes)
    };
    let mut sim = Sim::new(config);
    converge(&mut sim, MINUTE, "joined");
    for name in ["stays", "goes"] {
        create(&mut sim, 1, name);
    }
    converge(&mut sim, MINUTE, "written");
    // All have compared what they hold since, and kept on disk that they did.
    sim.run_for(12 * MINUTE);
    sim
}

fn delete(sim: &mut Sim, at: usize, name: &str) {
    sim.command(at, Command::DeleteTribe { tribe: tribe(name) }).unwrap();
}

#[track_caller]
fn check_tribes(sim: &Sim, expected: &[&str]) {
    for at in sim.running() {
        let view = sim.view(at);
        let names: Vec<_> = view.tribes.keys().map(TribeName::as_str).collect();
        assert_eq!(names, expected, "node {at}");
    }
}

#[test]
fn what_was_deleted_while_two_were_away_does_not_come_back_whomever_they_meet_first() {
    for of in 0..12 {
        come_back_with_what_was_deleted(of);
    }
}

fn come_back_with_what_was_deleted(of: u64) {
    let mut sim = cluster(of, 5);
    sim.crash(3);
    sim.partition([4]);
    sim.run_for(MINUTE);
    delete(&mut sim, 0, "goes");
    create(&mut sim, 4, "alone");
    sim.run_for(LONG);
    assert_eq!(sim.engine(0).unwrap().tombstones(), 0);
    sim.heal();
    sim.restart(3, true);
    converge(&mut sim, 2 * MINUTE, "back");
    check_tribes(&sim, &["alone", "stays"]);
    assert_eq!(
        (
            metric(&sim, 0, "tribe_records_reset_total"),
            metric(&sim, 3, "tribe_records_reset_total") > 0,
            metric(&sim, 4, "tribe_records_reset_total") > 0
        ),
        (0, true, true)
    );
    sim.restart(3, true);
    sim.run_for(LONG);
    converge(&mut sim, MINUTE, "and later");
    check_tribes(&sim, &["alone", "stays"]);
}

#[test]
fn a_node_that_was_away_for_less_hears_of_the_deletion() {
    let mut sim = cluster(71, 4);
    sim.crash(3);
    delete(&mut sim, 0, "goes");
    sim.run_for(HOUR / 2);
    sim.restart(3, true);
    converge(&mut sim, MINUTE, "back");
    check_tribes(&sim, &["stays"]);
    assert_eq!(metric(&sim, 3, "tribe_records_reset_total"), 0);
}

#[test]
fn two_that_were_away_wait_for_one_that_was_not() {
    let mut sim = cluster(72, 6);
    sim.crash(4);
    sim.crash(5);
    sim.run_for(MINUTE);
    delete(&mut sim, 0, "goes");
    sim.run_for(LONG);
    sim.partition([4, 5]);
    sim.restart(4, true);
    sim.restart(5, true);
    sim.run_for(5 * MINUTE);
    assert!(sim.view(4).tribes.contains_key("goes"));
    sim.heal();
    converge(&mut sim, 2 * MINUTE, "healed");
    check_tribes(&sim, &["stays"]);
}

#[test]
fn a_newcomer_does_not_bring_back_what_one_that_was_away_told_it() {
    for of in 0..8 {
        let mut sim = cluster(100 + of, 5);
        sim.crash(3);
        sim.crash(4);
        sim.wipe(4);
        sim.run_for(MINUTE);
        delete(&mut sim, 0, "goes");
        create(&mut sim, 0, "new");
        sim.run_for(LONG);
        sim.partition([3, 4]);
        sim.restart(3, true);
        sim.restart(4, true);
        sim.run_for(3 * MINUTE);
        assert!(sim.view(4).tribes.contains_key("goes"), "it has met the one that was away");
        // What it holds of that one it knows to be old, after a crash too.
        if of % 2 == 1 {
            sim.crash(4);
            sim.crash(3);
            sim.heal();
            sim.restart(4, true);
        }
        sim.heal();
        converge(&mut sim, 2 * MINUTE, "healed");
        check_tribes(&sim, &["new", "stays"]);
        sim.restart(3, true);
        converge(&mut sim, 2 * MINUTE, "all are back");
        check_tribes(&sim, &["new", "stays"]);
    }
}

#[test]
fn what_one_that_was_away_told_a_newcomer_takes_nothing_from_others_that_were() {
    let mut sim = cluster(75, 3);
    sim.crash(1);
    sim.run_for(MINUTE);
    create(&mut sim, 2, "late");
    sim.run_for(MINUTE);
    sim.crash(2);
    sim.crash(0);
    sim.wipe(0);
    sim.run_for(LONG);
    sim.restart(0, true);
    sim.restart(1, true);
    sim.run_for(5 * MINUTE);
    check_tribes(&sim, &["goes", "stays"]);
    sim.restart(2, true);
    converge(&mut sim, 2 * MINUTE, "the last one too");
    check_tribes(&sim, &["goes", "late", "stays"]);
}

#[test]
fn a_cluster_that_was_off_for_long_keeps_all_it_had() {
    let mut sim = cluster(73, 4);
    (0..4).for_each(|at| sim.crash(at));
    sim.run_for(LONG);
    (1..4).for_each(|at| sim.restart(at, true));
    converge(&mut sim, MINUTE, "on again");
    check_tribes(&sim, &["goes", "stays"]);
    // They wait for one that was there, and then go on without.
    sim.run_for(12 * MINUTE);
    delete(&mut sim, 1, "goes");
    sim.run_for(LONG);
    assert_eq!(sim.engine(1).unwrap().tombstones(), 0);
    sim.restart(0, true);
    converge(&mut sim, 2 * MINUTE, "the last one too");
    check_tribes(&sim, &["stays"]);
}

#[test]
fn a_seed_that_was_installed_anew_does_not_make_others_drop_what_they_hold() {
    let mut sim = cluster(74, 3);
    (0..3).for_each(|at| sim.crash(at));
    sim.wipe(0);
    sim.run_for(MINUTE);
    sim.restart(0, true);
    sim.run_for(LONG);
    check_tribes(&sim, &[]);
    sim.restart(1, true);
    sim.restart(2, true);
    converge(&mut sim, 2 * MINUTE, "found again");
    check_tribes(&sim, &["goes", "stays"]);
}

#[test]
fn who_goes_on_without_one_that_knows_takes_nothing_from_those_who_were_there() {
    for of in 0..4 {
        let mut sim = cluster(110 + of, 4);
        sim.crash(0);
        sim.crash(3);
        sim.run_for(MINUTE);
        create(&mut sim, 1, "late");
        sim.run_for(MINUTE);
        sim.crash(1);
        sim.crash(2);
        sim.run_for(LONG);
        sim.restart(0, true);
        sim.restart(3, true);
        sim.run_for(12 * MINUTE);
        check_tribes(&sim, &["goes", "stays"]);
        // What they delete from now on they know of; also those they tell of it, and after a
        // restart.
        delete(&mut sim, 0, "goes");
        sim.run_for(LONG);
        let newcomer = sim.add(NodePlan::new(node("n9")));
        converge(&mut sim, MINUTE, "one more");
        sim.crash(0);
        sim.restart(3, true);
        sim.restart(1, true);
        sim.restart(2, true);
        converge(&mut sim, 2 * MINUTE, "the others too");
        check_tribes(&sim, &["late", "stays"]);
        assert!(
            metric(&sim, 1, "tribe_records_reset_total") > 0
                && metric(&sim, newcomer, "tribe_records_reset_total") == 0
        );
    }
}

#[test]
fn a_node_that_was_forgotten_does_not_come_back_with_who_was_away() {
    let mut sim = cluster(75, 5);
    sim.crash(3);
    sim.crash(4);
    sim.run_for(MINUTE);
    sim.command(0, Command::Forget { node: node("n4") }).unwrap();
    sim.run_for(LONG);
    sim.restart(3, true);
    converge(&mut sim, 2 * MINUTE, "back");
    assert!(sim.running().all(|at| sim.view(at).member("n4").is_none()));
}
