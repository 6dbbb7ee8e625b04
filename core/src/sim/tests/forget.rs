use super::*;

fn forget(sim: &mut Sim, at: usize, name: &str) -> Result<Reply, CommandError> {
    sim.command(at, Command::Forget { node: node(name) })
}

fn knows(sim: &Sim, at: usize, name: &str) -> bool {
    sim.view(at).member(name).is_some()
}

#[test]
fn a_dead_node_is_forgotten_by_all_and_may_come_back() {
    let mut sim = settled(seed(50), 6);
    sim.crash(1);
    sim.run_for(MINUTE);
    sim.events(3);
    let Ok(Reply::Written(written)) = forget(&mut sim, 0, "n1") else { panic!() };
    let all = sim.command(0, Command::Wait { written, timeout_ms: 2000 });
    assert_eq!(all, Ok(Reply::Missing(vec![])));
    for at in [0, 2, 3, 4, 5] {
        assert!(!knows(&sim, at, "n1"), "{at}");
        assert!(names(&sim.view(at), "core").is_empty());
        assert!(sim.view(at).tribes["core"].placements.contains_key("n1"));
    }
    let told: Vec<(EventKind, String)> = sim
        .events(3)
        .into_iter()
        .filter(|event| event.subject == "n1" || event.body["node"] == "n1")
        .map(|event| (event.kind, event.body["cause"].as_str().unwrap_or_default().to_owned()))
        .collect();
    let expected = [(EventKind::MemberLeft, "forgotten"), (EventKind::MembershipChanged, "")];
    assert_eq!(told, expected.map(|(kind, cause)| (kind, cause.to_owned())));
    sim.restart(2, true);
    sim.restart(4, false);
    converge(&mut sim, 2 * MINUTE, "restarts");
    assert!((0..6).filter(|at| *at != 1).all(|at| !knows(&sim, at, "n1")));
    sim.restart(1, true);
    converge(&mut sim, MINUTE, "back");
    all_see_the_same(&sim);
    assert_eq!(names(&sim.view(5), "core"), ["n1"]);
    assert_eq!(acting(&sim, 1), ["core"]);
}

#[test]
fn who_is_alive_or_unknown_is_not_forgotten() {
    let mut sim = settled(51, 4);
    for at in [0, 2] {
        assert_eq!(forget(&mut sim, at, "n2"), Err(CommandError::StillAlive(node("n2"))));
    }
    let unknown = forget(&mut sim, 0, "n22");
    assert!(matches!(unknown, Err(CommandError::UnknownNode { near: Some(_), .. })), "{unknown:?}");
    sim.submit(3, Command::Leave);
    sim.run_for(Duration::from_secs(10));
    assert!(forget(&mut sim, 0, "n3").is_ok());
    let again = forget(&mut sim, 0, "n3");
    assert!(matches!(again, Err(CommandError::UnknownNode { .. })), "{again:?}");
    assert_eq!(sim.view(0).members.len(), 3);
}

#[test]
fn who_left_long_ago_is_forgotten_and_who_died_only_if_its_name_was_taken() {
    const AGE: Duration = Duration::from_secs(2 * 3600);
    let config = SimConfig { tombstone_age: AGE, encrypted: false, ..SimConfig::new(seed(53), 6) };
    let mut sim = Sim::new(config);
    converge(&mut sim, MINUTE, "joined");
    sim.submit(3, Command::Leave);
    sim.crash(4);
    sim.run_for(AGE / 2);
    // A node without its disk counts from its start; the first of the others does not wait for it.
    let before = sim.nodes[1].id;
    sim.restart(1, false);
    sim.run_for(AGE / 4);
    assert!(knows(&sim, 1, "n3"));
    assert!(sim.engine(0).unwrap().knows_node(before));
    assert_eq!(metric(&sim, 0, "tribe_members"), 6, "each name once");
    // That its host is down for a while does not begin the count anew.
    sim.run_for(AGE / 2);
    sim.crash(1);
    sim.run_for(5 * MINUTE);
    sim.restart(1, true);
    sim.run_for(AGE / 2 + 3 * AGE / 8);
    converge(&mut sim, MINUTE, "forgotten");
    for at in [0, 1, 2, 5] {
        assert!(!knows(&sim, at, "n3"), "{at}");
        assert!(knows(&sim, at, "n4"), "{at}");
        assert!(!sim.engine(at).unwrap().knows_node(before), "its name is that of another: {at}");
    }
    sim.restart(3, true);
    converge(&mut sim, 2 * MINUTE, "back");
    all_see_the_same(&sim);
    assert!(knows(&sim, 0, "n3"));
}

#[test]
fn who_left_long_ago_is_forgotten_where_no_process_runs_for_long() {
    const AGE: Duration = Duration::from_secs(2 * 3600);
    let config = SimConfig { tombstone_age: AGE, encrypted: false, ..SimConfig::new(seed(54), 6) };
    let mut sim = Sim::new(config);
    converge(&mut sim, MINUTE, "joined");
    sim.submit(3, Command::Leave);
    let restarts = [0, 1, 2, 4, 5].into_iter().cycle();
    for (round, at) in restarts.enumerate().take(14) {
        sim.run_for(15 * MINUTE);
        // 2 hours are not over.
        assert!(round >= 7 || knows(&sim, at, "n3"), "{round}");
        sim.restart(at, true);
    }
    converge(&mut sim, 2 * MINUTE, "later");
    assert!([0, 1, 2, 4, 5].into_iter().all(|at| !knows(&sim, at, "n3")));
}

#[test]
fn a_node_forgotten_on_the_other_side_of_a_split_is_there_after_the_heal() {
    let mut sim = settled(seed(52), 6);
    sim.partition([2, 5]);
    sim.run_for(MINUTE);
    assert!(forget(&mut sim, 0, "n2").is_ok());
    set_fact(&mut sim, 2, None, "rack", "r3").unwrap();
    sim.heal();
    converge(&mut sim, 2 * MINUTE, "healed");
    sim.run_for(Duration::from_secs(10));
    converge(&mut sim, MINUTE, "spoken anew");
    all_see_the_same(&sim);
    for at in 0..6 {
        let view = sim.view(at);
        let member = view.member("n2").unwrap();
        assert_eq!(member.state, MemberState::Alive, "{at}");
        assert_eq!(member.facts.get("rack").unwrap().value, crate::Value::from("r3"));
    }
    set_fact(&mut sim, 2, None, "rack", "r1").unwrap();
    converge(&mut sim, MINUTE, "and is heard");
    assert_eq!(names(&sim.view(0), "edge"), ["n2"]);
}

#[test]
fn a_forgotten_node_whose_clock_was_set_back_is_let_in_again() {
    let mut sim = settled(seed(53), 5);
    sim.crash(2);
    sim.run_for(MINUTE);
    assert!(forget(&mut sim, 0, "n2").is_ok());
    sim.wipe(2);
    sim.set_skew_ms(2, -200_000);
    sim.restart(2, true);
    converge(&mut sim, MINUTE, "back");
    all_see_the_same(&sim);
    assert_eq!(sim.view(0).member("n2").unwrap().state, MemberState::Alive);
}
