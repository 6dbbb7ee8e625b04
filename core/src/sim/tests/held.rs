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
