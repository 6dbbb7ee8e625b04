mod away;
mod forget;
mod held;
mod hostile;
mod items;
mod keys;
mod mixed;
mod scenarios;
mod wire_bytes;

use super::*;
use crate::{
    EventKind, Obstacle, Placement, PolicyName, PolicyOptions, TribeName,
    state::{Kind, Version},
};

fn tribe(name: &str) -> TribeName {
    TribeName::parse(name).unwrap()
}

fn node(name: &str) -> NodeName {
    NodeName::parse(name).unwrap()
}

fn policy(name: &str) -> PolicyName {
    PolicyName::parse(name).unwrap()
}

fn seed(seed: u64) -> u64 {
    std::env::var("SIM_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or(seed)
}

const MINUTE: Duration = Duration::from_secs(60);

fn converge(sim: &mut Sim, limit: Duration, what: &str) -> Duration {
    let took = sim.run_until(limit, Sim::converged);
    let Some(took) = took else { panic!("{what}: not in {limit:?}: {}", differences(sim)) };
    eprintln!("{what}: {took:?} (seed {})", sim.config.seed);
    took
}

fn differences(sim: &Sim) -> String {
    let mut text = String::new();
    for node in sim.running() {
        let engine = sim.engine(node).unwrap();
        let view = sim.view(node);
        let alive = view.members.values().filter(|m| m.state == MemberState::Alive).count();
        let told: Vec<_> = engine.metrics().map(|metric| (metric.name, metric.value)).collect();
        let counters: Vec<_> = told.into_iter().filter(|(_, value)| *value > 0).collect();
        text += &format!(
            "\n{node} {} {:x?} alive {alive} of {} synced {} {counters:?}",
            sim.nodes[node].id,
            engine.roots(),
            view.members.len(),
            view.synced,
        );
        if node > 5 {
            break;
        }
    }
    text
}

/// What everybody must see alike.
fn picture(sim: &Sim, of: usize) -> String {
    let view = sim.view(of);
    let mut text = String::new();
    for member in view.members.values() {
        let tribes = member.tribes.iter().map(TribeName::as_str).collect::<Vec<_>>();
        text += &format!("{} {} {:?} {tribes:?}\n", member.name, member.id, member.state);
    }
    for tribe in view.tribes.values() {
        text += &format!("{} {:?} {:?}\n", tribe.name, tribe.description, tribe.placements);
        for member in &tribe.members {
            text += &format!("  {} {:?}\n", member.name, member.reasons);
        }
    }
    for policy in view.policies.values() {
        text += &format!("{} {} {} {}\n", policy.name, policy.tribe, policy.text, policy.enabled);
    }
    text
}

fn all_see_the_same(sim: &Sim) {
    let mut running = sim.running();
    let first = picture(sim, running.next().unwrap());
    for node in running {
        assert_eq!(picture(sim, node), first, "node {node}, seed {}", sim.config.seed);
    }
}

fn create(sim: &mut Sim, at: usize, name: &str) {
    let command = Command::CreateTribe { tribe: tribe(name), description: format!("of {name}") };
    sim.command(at, command).unwrap();
}

/// The sum of all of a node's metrics of this name.
fn metric(sim: &Sim, at: usize, name: &str) -> u64 {
    let metrics = sim.engine(at).unwrap().metrics().filter(|metric| metric.name == name);
    metrics.map(|metric| metric.value).reduce(|sum, value| sum + value).expect("it is known")
}

fn place(sim: &mut Sim, at: usize, name: &str, of: &str, placement: Placement) {
    let command = Command::Place { tribe: tribe(name), node: node(of), placement };
    sim.command(at, command).unwrap();
}

fn set_policy(sim: &mut Sim, at: usize, name: &str, text: &str, of: &str) {
    let command = Command::CreatePolicy {
        policy: policy(name),
        text: text.into(),
        tribe: tribe(of),
        options: PolicyOptions::default(),
    };
    sim.command(at, command).unwrap();
}

fn set_fact(
    sim: &mut Sim,
    at: usize,
    of: Option<&str>,
    name: &str,
    value: &str,
) -> Result<Reply, CommandError> {
    let command = Command::SetFacts {
        node: of.map(node),
        set: vec![(crate::FactName::parse(name).unwrap(), crate::Value::from(value))],
        unset: vec![],
    };
    sim.command(at, command)
}

#[test]
fn three_nodes_agree_on_members_records_and_memberships() {
    let mut sim = Sim::new(SimConfig::new(1, 3));
    converge(&mut sim, MINUTE, "three form");
    create(&mut sim, 0, "core");
    converge(&mut sim, MINUTE, "a tribe");
    place(&mut sim, 1, "core", "n2", Placement::Joined);
    set_fact(&mut sim, 2, None, "rack", "r1").unwrap();
    set_policy(&mut sim, 0, "racks", "{{rack}} == r1", "edge");
    converge(&mut sim, MINUTE, "writes");
    sim.run_for(Duration::from_secs(5));
    converge(&mut sim, MINUTE, "memberships published");
    all_see_the_same(&sim);
    let view = sim.view(1);
    assert_eq!(view.member("n2").unwrap().tribes, [tribe("core"), tribe("edge")]);
    assert!(view.members.values().all(|member| member.agrees));
}

#[test]
fn two_hundred_nodes_survive_loss_a_split_and_restarts() {
    #[expect(clippy::disallowed_methods, reason = "tells how long the simulation itself takes")]
    let clock = std::time::Instant::now();
    let mut sim = Sim::new(SimConfig::new(seed(2), 200));
    let took = |sim: &mut Sim, limit, what: &str| {
        converge(sim, limit, what);
        eprintln!("  wall {:?}, traffic {:?}", clock.elapsed(), sim.traffic());
    };
    took(&mut sim, 2 * MINUTE, "200 join");
    sim.set_loss(0.05);
    create(&mut sim, 0, "core");
    set_policy(&mut sim, 7, "racks", "{{rack}} == r1", "edge");
    for at in 0..20 {
        set_fact(&mut sim, at, None, "rack", "r1").unwrap();
    }
    took(&mut sim, 2 * MINUTE, "writes under loss");
    sim.partition(0..100);
    sim.run_for(Duration::from_secs(75));
    create(&mut sim, 0, "left");
    create(&mut sim, 150, "right");
    place(&mut sim, 150, "core", "n3", Placement::Joined);
    set_fact(&mut sim, 160, None, "rack", "r1").unwrap();
    sim.heal();
    took(&mut sim, 5 * MINUTE, "heal");
    sim.restart(5, true);
    sim.restart(6, false);
    took(&mut sim, 2 * MINUTE, "restarts");
    all_see_the_same(&sim);
    assert_eq!(sim.view(0).tribes["edge"].members.len(), 20);
}

/// A cluster with a tribe by hand, one by policy, and facts.
fn settled(seed: u64, nodes: usize) -> Sim {
    settled_with(SimConfig::new(seed, nodes))
}

fn settled_with(config: SimConfig) -> Sim {
    let mut sim = Sim::new(config);
    converge(&mut sim, 2 * MINUTE, "formed");
    create(&mut sim, 0, "core");
    place(&mut sim, 0, "core", "n1", Placement::Joined);
    set_policy(&mut sim, 1, "racks", "{{rack}} == r1", "edge");
    set_fact(&mut sim, 2, None, "rack", "r1").unwrap();
    sim.run_for(Duration::from_secs(5));
    converge(&mut sim, 2 * MINUTE, "settled");
    sim
}

fn names(view: &View, of: &str) -> Vec<String> {
    let tribe = view.tribes.get(of);
    let members = tribe.into_iter().flat_map(|tribe| &tribe.members);
    members.map(|member| member.name.to_string()).collect()
}

fn acting(sim: &Sim, at: usize) -> Vec<String> {
    sim.view(at).acting.keys().map(ToString::to_string).collect()
}

fn kinds(events: &[Event], kind: EventKind) -> Vec<&Event> {
    events.iter().filter(|event| event.kind == kind).collect()
}

fn busy_run(seed: u64) -> u64 {
    let mut config = SimConfig::new(seed, 12);
    (config.loss, config.duplication, config.reordering) = (0.05, 0.05, 0.1);
    let mut sim = settled_with(config);
    sim.partition(0..6);
    sim.run_for(Duration::from_secs(30));
    sim.heal();
    sim.restart(3, false);
    converge(&mut sim, 3 * MINUTE, "busy run");
    all_see_the_same(&sim);
    sim.trace_hash()
}

#[test]
fn the_same_seed_gives_the_same_run() {
    assert_eq!(busy_run(3), busy_run(3));
    assert_ne!(busy_run(3), busy_run(4));
}

#[test]
fn everything_converges_without_broadcasts() {
    let mut sim = settled_with(SimConfig { broadcasts: false, ..SimConfig::new(5, 20) });
    sim.partition(0..10);
    sim.run_for(Duration::from_secs(60));
    create(&mut sim, 1, "left");
    create(&mut sim, 11, "right");
    set_fact(&mut sim, 12, None, "rack", "r1").unwrap();
    sim.heal();
    converge(&mut sim, 3 * MINUTE, "healed without broadcasts");
    all_see_the_same(&sim);
    assert_eq!(names(&sim.view(0), "edge"), ["n12", "n2"]);
}

#[test]
fn everything_converges_in_a_bad_network() {
    let mut config = SimConfig::new(6, 30);
    (config.loss, config.duplication, config.reordering) = (0.2, 0.1, 0.3);
    let mut sim = Sim::new(config);
    converge(&mut sim, 3 * MINUTE, "formed at 20 % loss");
    create(&mut sim, 0, "core");
    let known = sim
        .run_until(MINUTE, |sim| sim.running().all(|at| sim.view(at).tribes.contains_key("core")));
    assert!(known.is_some());
    for at in 0..30 {
        place(&mut sim, at, "core", &format!("n{at}"), Placement::Joined);
    }
    let took = sim
        .run_until(MINUTE, |sim| sim.running().all(|at| names(&sim.view(at), "core").len() == 30));
    assert!(took.is_some(), "{}", differences(&sim));
}

#[test]
fn a_late_joiner_gets_old_records() {
    let mut sim = settled(7, 5);
    sim.run_for(5 * MINUTE);
    let late = sim.add(NodePlan::new(node("late")).with_fact("rack", "r1"));
    converge(&mut sim, MINUTE, "late joiner");
    all_see_the_same(&sim);
    assert_eq!(names(&sim.view(late), "core"), ["n1"]);
    assert_eq!(names(&sim.view(0), "edge"), ["late", "n2"]);
    assert_eq!(acting(&sim, late), ["edge"]);
}

#[test]
fn a_node_that_is_cut_off_derives_memberships_of_all_others() {
    let mut sim = settled(8, 6);
    sim.partition([5]);
    sim.run_for(MINUTE);
    let view = sim.view(5);
    assert!(
        view.members.values().all(|m| (m.state == MemberState::Alive) == (m.id == sim.nodes[5].id))
    );
    assert_eq!(names(&view, "core"), ["n1"]);
    set_policy(&mut sim, 5, "all-racks", "{{rack}} == r1 || {{os}} == x", "mine");
    assert_eq!(names(&sim.view(5), "mine"), ["n2"]);
    let policy = view.policies["racks"].policy.clone().unwrap();
    let matched = view
        .members
        .values()
        .filter(|member| policy.evaluate(&member.facts) == crate::Verdict::True);
    assert_eq!(matched.map(|member| member.name.as_str()).collect::<Vec<_>>(), ["n2"]);
}

#[test]
fn what_was_deleted_while_a_node_was_away_does_not_come_back() {
    let mut sim = settled(9, 6);
    sim.partition([4, 5]);
    sim.run_for(Duration::from_secs(30));
    sim.command(0, Command::DeleteTribe { tribe: tribe("core") }).unwrap();
    sim.command(0, Command::DeletePolicy { policy: policy("racks") }).unwrap();
    sim.command(
        2,
        Command::SetFacts {
            node: None,
            set: vec![],
            unset: vec![crate::FactName::parse("rack").unwrap()],
        },
    )
    .unwrap();
    // Older than the deletion in every stamp, though made on the other side of the split.
    place(&mut sim, 0, "edge", "n3", Placement::Joined);
    sim.heal();
    converge(&mut sim, 2 * MINUTE, "deletions");
    sim.restart(4, true);
    sim.restart(5, false);
    converge(&mut sim, 2 * MINUTE, "restarts");
    all_see_the_same(&sim);
    let view = sim.view(4);
    assert_eq!(view.tribes.keys().map(TribeName::as_str).collect::<Vec<_>>(), ["edge"]);
    assert!(view.policies.is_empty());
    assert_eq!(names(&view, "edge"), ["n3"]);
    create(&mut sim, 4, "core");
    converge(&mut sim, MINUTE, "created again");
    assert_eq!(names(&sim.view(0), "core"), Vec::<String>::new());
}

#[test]
fn a_node_whose_clock_was_set_back_is_let_in_again() {
    for who in [0, 3] {
        let mut sim = settled(10, 5);
        sim.crash(who);
        sim.run_for(2 * MINUTE);
        sim.wipe(who);
        sim.set_skew_ms(who, -200_000);
        sim.restart(who, true);
        let took = converge(&mut sim, MINUTE, "epoch behind");
        assert!(took < Duration::from_secs(20), "{took:?}");
        all_see_the_same(&sim);
        set_fact(&mut sim, who, None, "rack", "r1").unwrap();
        converge(&mut sim, MINUTE, "facts of the new epoch");
        assert_eq!(names(&sim.view(1), "edge").len(), 2);
    }
}

#[test]
fn a_reinstalled_node_takes_its_name_over_whatever_its_clock_says() {
    let mut sim = settled(11, 5);
    sim.crash(1);
    sim.run_for(MINUTE);
    sim.set_skew_ms(1, -200_000);
    sim.restart(1, false);
    converge(&mut sim, MINUTE, "reinstalled");
    all_see_the_same(&sim);
    assert_eq!(names(&sim.view(3), "core"), ["n1"]);
    let id = sim.nodes[1].id;
    assert_eq!(sim.view(3).member("n1").map(|member| member.id), Some(id));
    assert_eq!(acting(&sim, 1), ["core"]);
}

#[test]
fn a_name_that_is_in_use_is_refused() {
    let mut sim = settled(12, 4);
    let double = sim.add(NodePlan::new(node("n1")));
    sim.run_for(Duration::from_secs(30));
    let refused =
        sim.command(double, Command::CreateTribe { tribe: tribe("x"), description: String::new() });
    let holder = sim.nodes[1].id;
    assert_eq!(refused, Err(CommandError::NameTaken { holder, address: None }));
    let events = sim.events(double);
    assert_eq!(kinds(&events, EventKind::NameConflict).len(), 1);
    let view = sim.view(double);
    assert!(!view.synced);
    assert_eq!(view.obstacle, Some(Obstacle::NameTaken { holder, address: None }));
    assert_eq!(sim.view(0).members.len(), 4);
    sim.crash(1);
    converge(&mut sim, 2 * MINUTE, "the name is free");
    assert_eq!(sim.view(double).obstacle, None);
    assert_eq!(sim.view(0).member("n1").unwrap().id, sim.nodes[double].id);
    create(&mut sim, double, "x");
}

#[test]
fn a_name_is_free_soon_after_its_holder_died_however_long_it_was_refused() {
    for number in 0..3 {
        let mut sim = settled(110 + number, 4);
        let double = sim.add(NodePlan::new(node("n1")));
        sim.run_for(2 * MINUTE);
        sim.crash(1);
        let id = sim.nodes[double].id;
        let is_in = |sim: &Sim| sim.view(0).member("n1").map(|member| member.id) == Some(id);
        let took = sim.run_until(MINUTE, is_in).unwrap();
        assert!(took < Duration::from_secs(12), "{number}: {took:?}");
    }
}

#[test]
fn a_member_that_is_just_started_gives_no_name_away() {
    // It looks for members at their old addresses, and is looked for by the newcomer.
    for (run, known_to) in [None, Some(node::address(2))].into_iter().enumerate() {
        let mut sim = settled(seed(60 + run as u64), 5);
        sim.crash(4);
        sim.run_for(Duration::from_millis(100));
        sim.crash(2);
        sim.nodes[4].plan.name = node("n1");
        sim.nodes[4].seeds = known_to.into_iter().chain([node::address(99)]).collect();
        sim.restart(4, false);
        sim.run_for(Duration::from_secs(2));
        sim.restart(2, true);
        sim.run_for(MINUTE);
        assert!(!sim.view(4).synced);
        for at in 0..4 {
            assert_eq!(sim.view(at).member("n1").unwrap().id, sim.nodes[1].id, "{at}");
            assert_eq!(kinds(&sim.events(at), EventKind::NameConflict).len(), 0, "{at}");
        }
    }
}

#[test]
fn a_member_that_is_alone_lets_in_who_takes_the_name_of_one_that_is_gone() {
    let mut sim = settled(seed(62), 3);
    (0..3).for_each(|gone| sim.crash(gone));
    sim.restart(2, true);
    let new = sim.add(NodePlan::new(node("n1")));
    sim.nodes[new].seeds = vec![node::address(2)];
    converge(&mut sim, 2 * MINUTE, "it is in");
    assert_eq!(sim.view(2).member("n1").unwrap().id, sim.nodes[new].id);
}

#[test]
fn a_name_that_nobody_says_is_in_use_is_none_that_is_taken() {
    let mut sim = settled(12, 4);
    let double = sim.add(NodePlan::new(node("n1")));
    sim.run_for(MINUTE);
    assert!(sim.view(double).obstacle.is_some());
    (0..4).for_each(|gone| sim.crash(gone));
    let took = sim.run_until(2 * MINUTE, |sim| sim.view(double).obstacle.is_none());
    assert!(took.is_some());
    assert_eq!(kinds(&sim.events(double), EventKind::NameConflict).len(), 1);
}

#[test]
fn a_name_that_is_in_use_is_refused_where_members_look_for_one_that_is_gone() {
    // At once they suspect it and dial it, later they call the dead by datagrams, and seeds by streams.
    for (run, dead_for) in [Duration::ZERO, Duration::from_secs(1), MINUTE].into_iter().enumerate()
    {
        let mut sim = settled(seed(27 + run as u64), 5);
        sim.crash(4);
        sim.run_for(dead_for);
        sim.nodes[3].seeds.push(node::address(4));
        sim.nodes[4].plan.name = node("n1");
        sim.restart(4, false);
        sim.run_for(3 * MINUTE);
        let holder = sim.nodes[1].id;
        let view = sim.view(4);
        assert!(!view.synced && view.members.len() == 1, "{:?}", view.members.keys());
        assert_eq!(view.obstacle, Some(Obstacle::NameTaken { holder, address: None }));
        for at in 0..4 {
            assert_eq!(metric(&sim, at, "tribe_members"), 5, "no one more, alive or not");
            assert_eq!(kinds(&sim.events(at), EventKind::NameConflict).len(), 0);
        }
        let Ok(Reply::Written(written)) = sim.command(
            0,
            Command::CreateTribe { tribe: tribe("waited"), description: String::new() },
        ) else {
            panic!()
        };
        let missing = sim.command(0, Command::Wait { written, timeout_ms: 2000 });
        assert_eq!(missing, Ok(Reply::Missing(vec![])), "nobody waits for it");
        sim.crash(1);
        converge(&mut sim, 2 * MINUTE, "the name is free");
        assert_eq!(sim.view(0).member("n1").unwrap().id, sim.nodes[4].id);
    }
}

#[test]
fn two_that_took_one_name_during_a_split_settle_it() {
    let mut sim = settled(13, 6);
    sim.crash(5);
    sim.run_for(MINUTE);
    sim.partition([0, 1, 2, 6]);
    let left = sim.add(NodePlan::new(node("twin")));
    assert_eq!(left, 6);
    let right = sim.add(NodePlan::new(node("twin")));
    sim.nodes[right].seeds = vec![node::address(3)];
    sim.run_for(MINUTE);
    sim.events(left);
    sim.events(right);
    sim.heal();
    converge(&mut sim, 2 * MINUTE, "healed");
    sim.run_for(Duration::from_secs(10));
    converge(&mut sim, 2 * MINUTE, "settled");
    all_see_the_same(&sim);
    let (keeps, yields) =
        if sim.nodes[left].id < sim.nodes[right].id { (left, right) } else { (right, left) };
    assert_eq!(sim.view(0).member("twin").unwrap().id, sim.nodes[keeps].id);
    let command = Command::CreateTribe { tribe: tribe("x"), description: String::new() };
    let (holder, address) = (sim.nodes[keeps].id, Some(node::address(keeps)));
    let refused = sim.command(yields, command);
    assert_eq!(refused, Err(CommandError::NameTaken { holder, address }));
    assert_eq!(sim.view(yields).obstacle, Some(Obstacle::NameTaken { holder, address }));
    assert_eq!(sim.view(keeps).obstacle, None);
    create(&mut sim, keeps, "y");
    let told = sim.events(yields);
    assert_eq!(kinds(&told, EventKind::NameConflict).len(), 1);
}

#[test]
fn a_good_bye_is_heard_everywhere_at_once() {
    let mut sim = settled(seed(14), 20);
    let leaving = sim.submit(7, Command::Leave);
    let took = sim.run_until(Duration::from_secs(10), |sim| {
        (0..20).filter(|at| *at != 7).all(|at| {
            sim.view(at).member("n7").is_some_and(|member| member.state == MemberState::Left)
        })
    });
    assert!(took.is_some_and(|took| took <= Duration::from_secs(2)), "{took:?}");
    sim.run_for(Duration::from_secs(5));
    assert_eq!(sim.reply(7, leaving), Some(Ok(Reply::Done)));
    let events = sim.events(3);
    let left = kinds(&events, EventKind::MemberLeft);
    assert_eq!(left.len(), 1);
    assert_eq!(left[0].body["cause"], "left");
    sim.run_for(MINUTE);
    assert_eq!(sim.view(0).member("n7").unwrap().state, MemberState::Left);
    sim.restart(7, true);
    converge(&mut sim, MINUTE, "back");
    all_see_the_same(&sim);
}

#[test]
fn a_wait_lists_exactly_the_silent() {
    let mut sim = settled(15, 6);
    let command = Command::CreateTribe { tribe: tribe("x"), description: String::new() };
    let Reply::Written(written) = sim.command(0, command).unwrap() else { panic!() };
    let all = sim.command(0, Command::Wait { written, timeout_ms: 2000 });
    assert_eq!(all, Ok(Reply::Missing(vec![])));
    sim.partition([4, 5]);
    let command = Command::DeleteTribe { tribe: tribe("x") };
    let Reply::Written(written) = sim.command(0, command).unwrap() else { panic!() };
    let some = sim.command(0, Command::Wait { written, timeout_ms: 1500 });
    let Ok(Reply::Missing(mut missing)) = some else { panic!("{some:?}") };
    missing.sort();
    assert_eq!(missing, [node("n4"), node("n5")]);
}

#[test]
fn a_wait_is_for_all_that_a_command_wrote() {
    let mut sim = settled(17, 6);
    create(&mut sim, 0, "x");
    let policy = |enabled| Command::CreatePolicy {
        policy: PolicyName::parse("p").unwrap(),
        text: "{{n}} == 1".into(),
        tribe: tribe("x"),
        options: PolicyOptions { replace: true, enabled: Some(enabled) },
    };
    let Ok(Reply::PolicyCreated(off)) = sim.command(0, policy(false)) else { panic!() };
    let Ok(Reply::PolicyCreated(on)) = sim.command(0, policy(true)) else { panic!() };
    // The policy, and its switch.
    assert_eq!((off.written.versions.len(), on.written.versions.len()), (2, 2));
    for written in [off.written, on.written.clone()] {
        let all = sim.command(0, Command::Wait { written, timeout_ms: 5000 });
        assert_eq!(all, Ok(Reply::Missing(vec![])));
    }
    for at in 0..6 {
        assert!(sim.engine(at).unwrap().holds(&on.written));
        assert!(sim.view(at).policies.get("p").unwrap().enabled);
    }
    sim.partition([5]);
    let Ok(Reply::PolicyCreated(again)) = sim.command(0, policy(false)) else { panic!() };
    let some = sim.command(0, Command::Wait { written: again.written, timeout_ms: 1500 });
    assert_eq!(some, Ok(Reply::Missing(vec![node("n5")])));
    let delete = Command::DeletePolicy { policy: PolicyName::parse("p").unwrap() };
    let Ok(Reply::Written(gone)) = sim.command(0, delete) else { panic!() };
    // The policy is told of first: without its switch it would be on.
    let is =
        |version: &Version, of: Kind| matches!(version, Version::Shared(key, _) if key.kind == of);
    let [text, switch] = gone.versions.as_slice() else { panic!("{gone:?}") };
    assert!(is(text, Kind::POLICY) && is(switch, Kind::POLICY_ENABLED), "{gone:?}");
}

#[test]
fn facts_of_another_node_are_set_by_that_node() {
    let mut sim = settled(16, 4);
    let reply = set_fact(&mut sim, 0, Some("n3"), "rack", "r1");
    let Ok(Reply::Written(written)) = reply else { panic!("{reply:?}") };
    assert_eq!(
        sim.command(0, Command::Wait { written, timeout_ms: 2000 }),
        Ok(Reply::Missing(vec![]))
    );
    assert_eq!(names(&sim.view(1), "edge"), ["n2", "n3"]);
    let built_in = set_fact(&mut sim, 0, Some("n3"), "kernel", "x");
    assert!(matches!(built_in, Err(CommandError::Fact(_))), "{built_in:?}");
    let unknown = set_fact(&mut sim, 0, Some("n33"), "rack", "r1");
    assert!(matches!(unknown, Err(CommandError::UnknownNode { .. })), "{unknown:?}");
    sim.restart(3, true);
    converge(&mut sim, MINUTE, "restarted");
    assert_eq!(names(&sim.view(1), "edge"), ["n2", "n3"]);
    sim.crash(3);
    let at_once = set_fact(&mut sim, 0, Some("n3"), "rack", "r2");
    assert_eq!(at_once, Err(CommandError::Unreachable(node("n3"))));
    sim.run_for(MINUTE);
    let later = set_fact(&mut sim, 0, Some("n3"), "rack", "r2");
    assert_eq!(later, Err(CommandError::Unreachable(node("n3"))));
}

#[test]
fn a_node_acts_on_for_a_while_after_falling_out_by_policy() {
    let mut sim = settled(17, 3);
    assert_eq!(acting(&sim, 2), ["edge"]);
    set_fact(&mut sim, 2, None, "rack", "r2").unwrap();
    sim.run_for(Duration::from_secs(9));
    assert_eq!((acting(&sim, 2).len(), names(&sim.view(2), "edge").len()), (1, 0));
    sim.run_for(Duration::from_secs(2));
    assert!(acting(&sim, 2).is_empty());
    let events = sim.events(2);
    assert_eq!(kinds(&events, EventKind::TribeExited).len(), 1);
    set_fact(&mut sim, 2, None, "rack", "r1").unwrap();
    assert_eq!(acting(&sim, 2), ["edge"]);
    set_fact(&mut sim, 2, None, "rack", "r2").unwrap();
    sim.run_for(Duration::from_secs(5));
    set_fact(&mut sim, 2, None, "rack", "r1").unwrap();
    sim.run_for(MINUTE);
    assert_eq!(acting(&sim, 2), ["edge"]);
    let events = sim.events(2);
    assert!(kinds(&events, EventKind::TribeExited).is_empty());
}

#[test]
fn a_node_stops_acting_at_once_when_placed_out_by_hand() {
    let mut sim = settled(18, 3);
    place(&mut sim, 2, "edge", "n2", Placement::Left);
    assert!(acting(&sim, 2).is_empty());
    place(&mut sim, 2, "edge", "n2", Placement::Automatic);
    assert_eq!(acting(&sim, 2), ["edge"]);
    set_fact(&mut sim, 2, None, "rack", "r2").unwrap();
    assert_eq!(acting(&sim, 2), ["edge"]);
    place(&mut sim, 2, "edge", "n2", Placement::Left);
    assert!(acting(&sim, 2).is_empty());
    place(&mut sim, 2, "core", "n2", Placement::Joined);
    sim.command(2, Command::DeleteTribe { tribe: tribe("core") }).unwrap();
    assert!(acting(&sim, 2).is_empty());
}

#[test]
fn a_node_acts_for_nothing_before_it_is_synced() {
    let mut sim = settled(19, 3);
    sim.crash(1);
    sim.partition([1]);
    sim.restart(1, true);
    sim.run_for(MINUTE);
    assert!(!sim.view(1).synced);
    assert_eq!(names(&sim.view(1), "core"), ["n1"]);
    assert!(acting(&sim, 1).is_empty());
    sim.heal();
    converge(&mut sim, MINUTE, "met again");
    assert!(sim.run_until(MINUTE, |sim| sim.view(1).synced).is_some());
    assert_eq!(acting(&sim, 1), ["core"]);
}

#[test]
fn a_killed_node_is_known_by_all_and_nobody_else_is_suspected() {
    let mut sim = settled(seed(20), 50);
    sim.set_loss(0.05);
    for at in 0..50 {
        sim.events(at);
    }
    sim.crash(9);
    let took = sim.run_until(MINUTE, |sim| {
        sim.running().all(|at| sim.view(at).member("n9").unwrap().state == MemberState::Down)
    });
    eprintln!("a death known by all of 50: {took:?}");
    assert!(took.is_some());
    sim.run_for(2 * MINUTE);
    for at in sim.running().collect::<Vec<_>>() {
        let events = sim.events(at);
        let gone = kinds(&events, EventKind::MemberLeft);
        assert!(gone.iter().all(|event| event.subject == "n9"), "{gone:?}");
    }
}

#[test]
fn what_is_large_is_pulled_and_everybody_gets_it() {
    let mut sim = settled(seed(21), 30);
    let description = "x".repeat(1000);
    let start = sim.now();
    sim.command(4, Command::CreateTribe { tribe: tribe("large"), description }).unwrap();
    let took = sim
        .run_until(MINUTE, |sim| sim.running().all(|at| sim.view(at).tribes.contains_key("large")));
    eprintln!("1 KB at 30: {:?}", sim.now() - start);
    assert!(took.is_some_and(|took| took <= Duration::from_secs(3)), "{took:?}");
}

#[test]
fn an_idle_cluster_is_quiet() {
    let mut sim = settled(22, 50);
    sim.run_for(2 * MINUTE);
    let (packets, bytes) = sim.traffic();
    sim.run_for(2 * MINUTE);
    let (packets, bytes) = (sim.traffic().0 - packets, sim.traffic().1 - bytes);
    let node_seconds = 50 * 120;
    eprintln!(
        "idle: {}/1000 packets/s, {} B/s a node",
        packets * 1000 / node_seconds,
        bytes / node_seconds
    );
    assert!(bytes / node_seconds <= 300);
}

#[test]
fn a_node_whose_clock_is_far_off_says_so_and_writes_nothing_shared() {
    for (skew_ms, error) in
        [(-3_600_000, CommandError::ClockBehind), (3_600_000, CommandError::ClockAhead)]
    {
        let mut sim = settled(23, 4);
        let plan = NodePlan { skew_ms, ..NodePlan::new(node("odd")) };
        let odd = sim.add(plan.with_fact("rack", "r1"));
        sim.run_for(MINUTE);
        let command = Command::CreateTribe { tribe: tribe("x"), description: String::new() };
        assert_eq!(sim.command(odd, command), Err(error));
        create(&mut sim, 0, "y");
        set_fact(&mut sim, odd, None, "rack", "r2").unwrap();
        sim.run_for(MINUTE);
        assert_eq!(names(&sim.view(0), "edge"), ["n2"]);
        sim.set_skew_ms(odd, 0);
        converge(&mut sim, 2 * MINUTE, "the clock is set");
        create(&mut sim, odd, "x");
    }
}

#[test]
fn a_tribe_that_comes_with_a_policy_takes_no_description_back() {
    for described in [0, 2] {
        let mut sim = settled(35, 3);
        sim.partition([0]);
        let silent = 2 - described;
        let create =
            Command::CreateTribe { tribe: tribe("fresh"), description: "the best".to_owned() };
        sim.command(described, create).unwrap();
        sim.run_for(MINUTE);
        set_policy(&mut sim, silent, "p", "true", "fresh");
        sim.heal();
        converge(&mut sim, 2 * MINUTE, "healed");
        assert_eq!(sim.view(1).tribes["fresh"].description, "the best");
        for at in 0..3 {
            assert!(kinds(&sim.events(at), EventKind::Conflict).is_empty(), "nothing was lost");
        }
        let describe =
            Command::DescribeTribe { tribe: tribe("fresh"), description: "another".to_owned() };
        sim.command(1, describe).unwrap();
        converge(&mut sim, MINUTE, "described");
        assert_eq!(sim.view(silent).tribes["fresh"].description, "another");
        sim.command(1, Command::DeleteTribe { tribe: tribe("fresh") }).unwrap();
        set_policy(&mut sim, 1, "p", "true", "fresh");
        converge(&mut sim, MINUTE, "created anew");
        assert_eq!(sim.view(silent).tribes["fresh"].description, "");
    }
}

#[test]
fn a_tribe_that_is_described_on_both_sides_of_a_split_is_one_conflict() {
    let mut sim = settled(36, 3);
    sim.partition([0]);
    for (at, description) in [(0, "ours"), (2, "theirs")] {
        let description = description.to_owned();
        sim.command(at, Command::CreateTribe { tribe: tribe("fresh"), description }).unwrap();
        sim.run_for(MINUTE);
    }
    sim.events(0);
    sim.heal();
    converge(&mut sim, 2 * MINUTE, "healed");
    assert_eq!(sim.view(0).tribes["fresh"].description, "theirs");
    let events = sim.events(0);
    let conflicts = kinds(&events, EventKind::Conflict);
    assert_eq!(conflicts.len(), 1, "{conflicts:?}");
    assert_eq!(conflicts[0].body["lost"], "ours");
}

#[test]
fn what_was_said_of_a_tribe_after_it_was_deleted_is_not_said_of_the_next() {
    let mut sim = settled(37, 3);
    create(&mut sim, 1, "fresh");
    converge(&mut sim, MINUTE, "created");
    sim.partition([0]);
    sim.command(2, Command::DeleteTribe { tribe: tribe("fresh") }).unwrap();
    sim.run_for(MINUTE);
    let describe = Command::DescribeTribe { tribe: tribe("fresh"), description: "old".to_owned() };
    sim.command(0, describe).unwrap();
    sim.heal();
    converge(&mut sim, 2 * MINUTE, "healed");
    assert!(!sim.view(0).tribes.contains_key("fresh"));
    set_policy(&mut sim, 2, "p", "true", "fresh");
    converge(&mut sim, MINUTE, "created anew");
    assert_eq!(sim.view(0).tribes["fresh"].description, "");
}

#[test]
fn a_policy_made_anew_after_its_tribe_was_deleted_is_enabled() {
    let mut sim = settled(31, 3);
    let policy = PolicyName::parse("again").unwrap();
    let create = || Command::CreatePolicy {
        policy: policy.clone(),
        text: "true".to_owned(),
        tribe: tribe("fresh"),
        options: PolicyOptions::default(),
    };
    sim.command(1, create()).unwrap();
    let disable = Command::EnablePolicy { policy: policy.clone(), enabled: false };
    sim.command(1, disable).unwrap();
    sim.command(1, Command::DeleteTribe { tribe: tribe("fresh") }).unwrap();
    sim.command(1, create()).unwrap();
    assert!(sim.view(1).policies.get(&policy).unwrap().enabled);
    assert_eq!(sim.view(1).tribes.get("fresh").unwrap().members.len(), 3);
}

#[test]
fn a_policy_that_is_created_off_lets_nobody_in_for_a_moment() {
    let mut sim = settled(33, 3);
    let off = PolicyOptions { replace: true, enabled: Some(false) };
    let put = |text: &str, options| Command::CreatePolicy {
        policy: policy("off"),
        text: text.to_owned(),
        tribe: tribe("quiet"),
        options,
    };
    sim.command(1, put("true", off)).unwrap();
    sim.run_for(MINUTE);
    sim.command(1, put("exists({{rack}})", off)).unwrap();
    sim.run_for(MINUTE);
    for node in 0..3 {
        let entered =
            |event: &Event| event.kind == EventKind::TribeEntered && event.subject == "quiet";
        assert!(!sim.events(node).iter().any(entered), "node {node}");
        let view = sim.view(node);
        assert!(!view.policies.get("off").unwrap().enabled);
        assert!(view.tribes.get("quiet").unwrap().members.is_empty());
    }
    sim.command(1, put("true", PolicyOptions { replace: true, enabled: None })).unwrap();
    assert!(!sim.view(1).policies.get("off").unwrap().enabled);
    sim.command(1, put("true", PolicyOptions { replace: true, enabled: Some(true) })).unwrap();
    converge(&mut sim, MINUTE, "it is on");
    assert_eq!(names(&sim.view(2), "quiet").len(), 3);
}

#[test]
fn a_policy_whose_switch_has_not_come_is_replaced_as_what_it_is() {
    for (enabled, on) in [(None, false), (Some(true), true), (Some(false), false)] {
        let mut sim = settled(34, 3);
        sim.partition([0]);
        let put = |text: &str, enabled| Command::CreatePolicy {
            policy: policy("off"),
            text: text.to_owned(),
            tribe: tribe("quiet"),
            options: PolicyOptions { replace: true, enabled },
        };
        sim.command(0, put("true", Some(false))).unwrap();
        for kind in [Kind::TRIBE, Kind::POLICY] {
            let name = if kind == Kind::TRIBE { "quiet" } else { "off" };
            let record = sim.engine(0).unwrap().shared(kind, name).unwrap();
            sim.turn(1, |engine, now| engine.take_alone(record, now));
        }
        sim.command(1, put("!exists({{rock}})", enabled)).unwrap();
        sim.run_for(MINUTE);
        let members = if on { 3 } else { 0 };
        assert_eq!(names(&sim.view(2), "quiet").len(), members, "{enabled:?} before");
        sim.heal();
        converge(&mut sim, 2 * MINUTE, "healed");
        assert_eq!(names(&sim.view(2), "quiet").len(), members, "{enabled:?} after");
        assert_eq!(sim.view(0).policies.get("off").unwrap().enabled, on, "{enabled:?}");
    }
}
