//! Commands to nodes that have not met their cluster.

use super::*;
use crate::FactName;

fn create(name: &str, description: &str) -> Command {
    Command::CreateTribe { tribe: tribe(name), description: description.to_owned() }
}

#[test]
fn what_a_new_node_is_told_before_it_met_its_cluster_replaces_nothing() {
    let mut sim = Sim::new(SimConfig::new(seed(31), 3));
    converge(&mut sim, MINUTE, "joined");
    sim.command(1, create("core", "the important one")).unwrap();
    converge(&mut sim, MINUTE, "described");
    let text = "{{tier}} == gold".to_owned();
    let put = |text: &str| Command::CreatePolicy {
        policy: policy("gold"),
        text: text.to_owned(),
        tribe: tribe("core"),
        options: PolicyOptions::default(),
    };
    sim.command(2, put(&text)).unwrap();
    converge(&mut sim, MINUTE, "written");
    let new = sim.add(NodePlan::new(node("new")).with_fact("tier", "gold"));
    let joins =
        Command::Place { tribe: tribe("core"), node: node("new"), placement: Placement::Joined };
    let told = [create("core", ""), put("{{tier}} == iron"), joins, create("more", "")]
        .map(|command| sim.submit(new, command));
    converge(&mut sim, MINUTE, "met");
    let replies = told.map(|ticket| sim.reply(new, ticket).unwrap());
    assert_eq!(replies[0], Err(CommandError::TribeExists(tribe("core"))));
    assert!(matches!(replies[1], Err(CommandError::PolicyExists { .. })));
    assert!(replies[2].is_ok() && replies[3].is_ok());
    for at in sim.running() {
        let view = sim.view(at);
        assert_eq!(view.tribes[&tribe("core")].description, "the important one");
        assert_eq!(view.policies[&policy("gold")].text, text);
        assert_eq!(view.tribes.len(), 2);
    }
}

#[test]
fn who_never_meets_its_cluster_is_told_so_and_who_met_it_before_goes_on_alone() {
    let mut sim = Sim::new(SimConfig::new(seed(32), 3));
    converge(&mut sim, MINUTE, "joined");
    sim.run_for(MINUTE);
    let new = sim.add(NodePlan::new(node("new")));
    sim.partition([new]);
    sim.restart(new, false);
    let set = vec![(FactName::parse("tier").unwrap(), crate::Value::from_text("gold"))];
    let facts = Command::SetFacts { node: None, set, unset: Vec::new() };
    assert!(sim.command(new, facts).is_ok(), "its facts are its own");
    assert_eq!(sim.command(new, create("core", "")), Err(CommandError::NotSynced));
    sim.partition([2]);
    sim.restart(2, true);
    assert!(sim.command(2, create("core", "")).is_ok());
}

#[test]
fn who_has_met_its_cluster_knows_all_of_it_though_disks_are_slow() {
    let (_, unknown) = meets_writers(Duration::from_millis(1500));
    assert_eq!(unknown, 0);
}

#[test]
fn nobody_waits_long_for_a_disk_to_meet_the_cluster() {
    let (took, _) = meets_writers(MINUTE);
    assert!(took < limits::STREAM_IDLE, "met after {took:?}");
}

/// A newcomer meets members that write, all with such disks: how long it took to be complete, and of how many
/// it then knew no facts.
fn meets_writers(disk_delay: Duration) -> (Duration, usize) {
    let set_tier = |tier: &str| Command::SetFacts {
        node: None,
        set: vec![(FactName::parse("tier").unwrap(), crate::Value::from_text(tier))],
        unset: Vec::new(),
    };
    let mut sim = Sim::new(SimConfig { disk_delay, ..SimConfig::new(seed(33), 3) });
    let all: Vec<usize> = sim.running().collect();
    for at in &all {
        sim.submit(*at, set_tier("gold"));
    }
    sim.run_for(3 * MINUTE);
    for at in &all {
        sim.submit(*at, set_tier("iron"));
    }
    let new = sim.add(NodePlan::new(node("new")));
    let met = |sim: &Sim| sim.engine(new).is_some_and(Engine::is_synced);
    let took = sim.run_until(MINUTE, met).expect("not met");
    let view = sim.view(new);
    let unknown = all.iter().filter(|at| {
        let member = sim.id(**at).and_then(|id| view.members.get(&id));
        member.is_none_or(|member| member.facts.get("tier").is_none())
    });
    (took, unknown.count())
}
