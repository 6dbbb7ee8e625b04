//! What a policy would do, told without writing it: a pure function of a view.

use tribe::{CommandError, Member, Placement, Policy, TribeName, Verdict, View};
use tribe_api::{PolicyTest, TestPolicy, UnknownNode};

use super::{convert, error::ApiError};

/// Tries a policy on all nodes of a view.
pub(super) fn run(view: &View, test: &TestPolicy) -> Result<PolicyTest, ApiError> {
    let policy = Policy::parse(&test.text).map_err(CommandError::from)?;
    let warnings = policy.check(nodes(view).map(|member| &*member.facts));
    let mut result = PolicyTest {
        text: policy.to_string(),
        level: policy.level(),
        warnings: warnings.iter().map(convert::warning).collect(),
        ..PolicyTest::default()
    };
    let mut verdicts: Vec<_> =
        nodes(view).map(|member| (member, policy.evaluate(&member.facts))).collect();
    verdicts.sort_by(|(a, _), (b, _)| a.name.cmp(&b.name));
    for (member, verdict) in &verdicts {
        let node = member.name.to_string();
        match verdict {
            Verdict::True => result.matches.push(node),
            Verdict::False => result.no_match.push(node),
            Verdict::Unknown(reason) => {
                result.unknown.push(UnknownNode { node, reason: reason.to_string() });
            }
        }
    }
    if let Some(name) = &test.tribe {
        TribeName::parse(name).map_err(CommandError::from)?;
        compare(view, name, &verdicts, &mut result);
    }
    Ok(result)
}

/// The nodes of a view, dead ones too, each name once: a node that took over a name counts, its predecessor does not.
pub(super) fn nodes(view: &View) -> impl Iterator<Item = &Member> {
    view.members.values().filter(|member| {
        view.member(member.name.as_str()).is_some_and(|holder| holder.id == member.id)
    })
}

/// Compares with the members of a tribe today. Who was placed by hand stays where he is.
fn compare(view: &View, name: &str, verdicts: &[(&Member, Verdict)], result: &mut PolicyTest) {
    let tribe = view.tribes.get(name);
    if tribe.is_none() {
        let warning = format!("there is no tribe `{name}`, creating the policy would create it");
        result.warnings.push(warning);
    }
    let placed = |member: &Member| {
        tribe
            .and_then(|tribe| tribe.placements.get(&member.name))
            .copied()
            .unwrap_or(Placement::Automatic)
    };
    let is_in = |member: &Member| {
        tribe.is_some_and(|tribe| tribe.members.iter().any(|found| found.id == member.id))
    };
    let names = |wanted: &dyn Fn(&Member, &Verdict) -> bool| {
        let found = verdicts.iter().filter(|(member, verdict)| wanted(member, verdict));
        Some(found.map(|(member, _)| member.name.to_string()).collect())
    };
    result.enters = names(&|member, verdict| {
        matches!(verdict, Verdict::True) && placed(member) != Placement::Left && !is_in(member)
    });
    result.leaves = names(&|member, verdict| {
        !matches!(verdict, Verdict::True) && placed(member) != Placement::Joined && is_in(member)
    });
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, sync::Arc};

    use tribe::{Facts, MemberState, NodeId, NodeName, Reason, Tribe, TribeMember};

    use super::*;

    fn node(id: u64, name: &str, state: MemberState) -> Member {
        Member {
            id: NodeId(id),
            name: NodeName::parse(name).unwrap(),
            address: ([127, 0, 0, 1], 6000).into(),
            state,
            version: String::new(),
            level: 1,
            facts: Arc::new(Facts::new()),
            tribes: Vec::new(),
            offers: Arc::default(),
            status: None,
            agrees: true,
        }
    }

    /// A tribe `core` of these nodes among `i1` to `i6`, with these placements.
    fn view(members: &[u64], placements: &[(&str, Placement)]) -> View {
        let mut view = View::default();
        for id in 1..=6 {
            view.members.insert(NodeId(id), node(id, &format!("i{id}"), MemberState::Alive));
        }
        let member = |id: &u64| TribeMember {
            id: NodeId(*id),
            name: NodeName::parse(&format!("i{id}")).unwrap(),
            state: MemberState::Alive,
            reasons: vec![Reason::Joined],
        };
        let name = TribeName::parse("core").unwrap();
        let tribe = Tribe {
            name: name.clone(),
            description: String::new(),
            members: members.iter().map(member).collect(),
            placements: placements
                .iter()
                .map(|(node, placement)| (NodeName::parse(node).unwrap(), *placement))
                .collect(),
            policies: Vec::new(),
            items: BTreeMap::new(),
        };
        view.tribes = BTreeMap::from([(name, tribe)]);
        view
    }

    /// Compares a policy that is true for i1 to i3, unknown for i4 and false for the others.
    fn check(view: &View, tribe: &str, enters: &[&str], leaves: &[&str], warnings: usize) {
        let verdict = |member: &Member| match member.id.0 {
            1..=3 => Verdict::True,
            4 => Verdict::Unknown(tribe::UnknownReason::Missing),
            _ => Verdict::False,
        };
        let verdicts: Vec<_> = nodes(view).map(|member| (member, verdict(member))).collect();
        let mut result = PolicyTest::default();
        compare(view, tribe, &verdicts, &mut result);
        assert_eq!(result.enters.unwrap(), enters);
        assert_eq!(result.leaves.unwrap(), leaves);
        assert_eq!(result.warnings.len(), warnings);
    }

    #[test]
    fn who_matches_enters_and_who_does_not_would_leave() {
        check(&view(&[], &[]), "core", &["i1", "i2", "i3"], &[], 0);
        check(&view(&[1, 4, 5], &[]), "core", &["i2", "i3"], &["i4", "i5"], 0);
    }

    #[test]
    fn who_was_placed_by_hand_stays_where_he_is() {
        let by_hand = [("i1", Placement::Left), ("i5", Placement::Joined)];
        check(&view(&[5, 6], &by_hand), "core", &["i2", "i3"], &["i6"], 0);
        let by_policy = [("i1", Placement::Automatic), ("i5", Placement::Automatic)];
        check(&view(&[5], &by_policy), "core", &["i1", "i2", "i3"], &["i5"], 0);
    }

    #[test]
    fn a_tribe_that_is_not_there_would_be_created() {
        check(&view(&[1], &[]), "new", &["i1", "i2", "i3"], &[], 1);
    }

    #[test]
    fn of_two_nodes_of_one_name_the_holder_counts() {
        let mut view = view(&[], &[]);
        view.members.insert(NodeId(9), node(9, "i1", MemberState::Down));
        assert_eq!(nodes(&view).filter(|member| member.name.as_str() == "i1").count(), 1);
    }
}
