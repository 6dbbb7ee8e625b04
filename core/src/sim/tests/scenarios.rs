//! The scenarios in `core/scenarios`, and what the simulator says when one does not hold.

use std::path::PathBuf;

use super::*;

fn files() -> Vec<PathBuf> {
    let dir = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("scenarios");
    let mut paths: Vec<PathBuf> =
        std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths
}

fn read(path: &std::path::Path) -> Scenario {
    let text = std::fs::read_to_string(path).unwrap();
    Scenario::from_yaml(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn scenario(steps: &str, rest: &str) -> Scenario {
    Scenario::from_yaml(&format!("{{name: x, about: y, nodes: 5, steps: {steps}{rest}}}")).unwrap()
}

fn play(scenario: &Scenario, seed: u64) -> Ran {
    let ran = scenario.run_weighing(seed, Some(freed)).unwrap_or_else(|failed| panic!("{failed}"));
    eprintln!("{} N={} seed {seed}: {:?}", scenario.name, scenario.nodes, ran.measured);
    ran
}

fn freed(what: &mut dyn FnMut()) -> u64 {
    allocation_counter::measure(what).bytes_current.min(0).unsigned_abs()
}

fn holds_with_two_hundred(name: &str) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("scenarios/{name}.yaml"));
    let mut large = read(&path);
    large.nodes = 200;
    assert!(large.sealed);
    let ran = play(&large, seed(1));
    assert!(ran.missed.is_empty(), "{:?}", ran.missed);
}

#[test]
fn two_hundred_sealed_nodes_hold_the_bars_of_the_short_scenario() {
    holds_with_two_hundred("short");
}

#[test]
fn two_hundred_sealed_nodes_meet_and_are_quiet_then() {
    holds_with_two_hundred("join");
}

#[test]
fn two_hundred_sealed_nodes_exchange_their_keys_while_some_come_and_go() {
    holds_with_two_hundred("rotate");
}

#[test]
fn every_scenario_holds_in_a_small_cluster() {
    for path in files() {
        let mut small = read(&path);
        small.nodes = 24;
        // Of a day an hour is played.
        small.tombstone_age_h = small.tombstone_age_h.map(|hours| hours / 24.0);
        for step in &mut small.steps {
            match step {
                Step::Away { for_s, .. } | Step::Grow { for_s, .. } | Step::Run { for_s } => {
                    *for_s = if *for_s < 3600.0 { *for_s } else { *for_s / 24.0 };
                }
                // Horizons are rounded to the hour all the same.
                Step::Rest { for_s, .. } => *for_s = *for_s / 24.0 + 2.5 * 3600.0,
                _ => {}
            }
        }
        let ran = play(&small, seed(1));
        assert!(ran.missed.is_empty(), "{}: {:?}", small.name, ran.missed);
    }
}

#[test]
fn a_scenario_is_called_like_its_file() {
    for path in files() {
        assert_eq!(path.file_stem().unwrap().to_str(), Some(read(&path).name.as_str()));
    }
}

#[test]
fn a_scenario_run_twice_from_one_seed_is_the_same() {
    let two = scenario(
        "[{form: {within_s: 60}}, {kill: {count: 1, host: true, within_s: 60, name: k}}]",
        ", loss: 0.1",
    );
    let (first, again, other) = (play(&two, 5), play(&two, 5), play(&two, 6));
    assert_eq!((first.trace_hash, first.measured), (again.trace_hash, again.measured));
    assert_ne!(first.trace_hash, other.trace_hash);
}

#[test]
fn what_takes_too_long_is_told_with_its_seed_and_step() {
    let steps = "[{form: {within_s: 60}}, {kill: {count: 1, within_s: 0, name: k}}]";
    let text = scenario(steps, "").run(77).unwrap_err().to_string();
    for part in ["x with seed 77", "step 2 Kill", "not within 0ns: someone knows of the death"] {
        assert!(text.contains(part), "{part} is not in {text}");
    }
}

#[test]
fn a_healthy_node_that_is_declared_down_fails_a_scenario() {
    // Nobody hears n-something: to be declared down without a fault of its own is what must not happen.
    let deaf = "[{form: {within_s: 60}}, {lossy_nodes: {count: 1, loss: 1}}, {run: {for_s: 120}}]";
    let failed = scenario(deaf, "").run(1).unwrap_err();
    assert!(failed.what.ends_with("for dead, which it is not"), "{}", failed.what);
    assert!(failed.trace.len() > 10, "{:?}", failed.trace);
}

#[test]
fn bars_that_are_missed_or_not_measured_are_told() {
    let ran = play(&scenario("[{form: {within_s: 60}}]", ", bars: {seen_s: 0, other_s: 9}"), 1);
    let missed: Vec<&str> = ran.missed.iter().map(|(name, _, _)| name.as_str()).collect();
    assert_eq!(missed, ["other_s", "seen_s"]);
}

#[test]
fn a_file_that_is_no_scenario_is_refused() {
    let check = |text: &str, part: &str| {
        let error = Scenario::from_yaml(text).unwrap_err().to_string();
        assert!(error.contains(part), "{part} is not in {error}");
    };
    check("name: x", "about");
    check("{name: x, about: y, nodes: 0, steps: []}", "there must be a node");
    check("{name: x, about: y, nodes: 3, loss: 1.5, steps: []}", "shares lie within 0 and 1");
    check("{name: x, about: y, nodes: 3, steps: [{explode: {count: 1}}]}", "explode");
    check("{name: x, about: y, nodes: 3, steps: [{run: {for_s: 1, of: 2}}]}", "of");
    check("{name: x, about: y, nodes: 3, wind: 3, steps: []}", "wind");
}
