//! Refuses what would move many members out of a tribe at once, unless it is forced.

use axum::http::StatusCode;
use tribe::{Policy, PolicyInfo, PolicyOptions, Reason, Tribe, View};

use super::{convert, error::ApiError, trial};
use crate::reconcile::Kind;

/// So many members may always be moved out at once.
const FEW: usize = 3;
/// And else one of so many.
const ONE_OF: usize = 5;

/// Refuses a text with warnings.
pub(super) fn strict(view: &View, policy: &Policy) -> Result<(), ApiError> {
    let warnings = policy.check(trial::nodes(view).map(|member| &*member.facts));
    if warnings.is_empty() {
        return Ok(());
    }
    let detail: Vec<String> = warnings.iter().map(convert::warning).collect();
    Err(ApiError::bad("policy-warnings", "the policy may be a mistake, and `strict` was asked for")
        .detail(detail.join("\n")))
}

/// Refuses to take a policy away, by deleting it or switching it off.
pub(super) fn removing(view: &View, name: &str, what: &str) -> Result<(), ApiError> {
    // A policy that does not exist is refused by whoever is asked next.
    let Some(info) = view.policies.get(name) else { return Ok(()) };
    refuse(view, info, what, &[])
}

/// Refuses to give a policy another text or tribe, or to switch it off with that.
pub(super) fn putting(
    view: &View,
    name: &str,
    policy: &Policy,
    tribe: &str,
    PolicyOptions { replace, enabled }: PolicyOptions,
) -> Result<(), ApiError> {
    let Some(info) = view.policies.get(name) else { return Ok(()) };
    let stays_there = info.tribe.as_str() == tribe;
    let what = match stays_there && info.text == policy.as_str() {
        true => "switching off",
        false if replace => "replacing",
        // One that may not be replaced is refused by whoever is asked next.
        false => return Ok(()),
    };
    let stays = |member: &&tribe::Member| policy.evaluate(&member.facts).is_satisfied();
    let staying: Vec<_> = match stays_there && enabled != Some(false) {
        true => trial::nodes(view).filter(stays).map(|member| member.id).collect(),
        false => Vec::new(),
    };
    refuse(view, info, what, &staying)
}

/// Refuses to delete a tribe: all its members move out, and what it asks of them goes with it.
pub(super) fn deleting(view: &View, name: &str) -> Result<(), ApiError> {
    // A tribe that does not exist is refused by whoever is asked next.
    let Some(tribe) = view.tribes.get(name) else { return Ok(()) };
    let out: Vec<&str> = tribe.members.iter().map(|member| member.name.as_str()).collect();
    let count = |kind: Kind| match kind.items(&tribe.items).count() {
        1 => format!("1 {}", kind.as_str()),
        count => format!("{count} {}s", kind.as_str()),
    };
    let (plugins, tasks, all) = (count(Kind::Plugin), count(Kind::Task), out.len());
    let message = format!(
        "deleting tribe `{name}`, with {plugins} and {tasks}, would move {all} of {all} members out"
    );
    refuse_many(tribe, &out, message)
}

/// Refuses if too many members are in by this policy alone and would not stay.
fn refuse(
    view: &View,
    info: &PolicyInfo,
    what: &str,
    staying: &[tribe::NodeId],
) -> Result<(), ApiError> {
    let Some(tribe) = view.tribes.get(&info.tribe) else { return Ok(()) };
    let by_it = |reason: &Reason| matches!(reason, Reason::Policy(name) if *name == info.name);
    let out: Vec<&str> = tribe
        .members
        .iter()
        .filter(|member| !member.reasons.is_empty() && member.reasons.iter().all(by_it))
        .filter(|member| !staying.contains(&member.id))
        .map(|member| member.name.as_str())
        .collect();
    let (count, all) = (out.len(), tribe.members.len());
    let (policy, name) = (&info.name, &tribe.name);
    let message = format!(
        "{what} policy `{policy}` would move {count} of {all} members out of tribe `{name}`"
    );
    refuse_many(tribe, &out, message)
}

fn refuse_many(tribe: &Tribe, out: &[&str], message: String) -> Result<(), ApiError> {
    if out.len() <= FEW || out.len() * ONE_OF <= tribe.members.len() {
        return Ok(());
    }
    Err(ApiError::new(StatusCode::CONFLICT, "would-move-out", message)
        .detail(out.join("\n"))
        .help("to do it all the same, force it"))
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, sync::Arc};

    use tribe::{
        Facts, Member, MemberState, NodeId, NodeName, PolicyName, Source, TribeMember, TribeName,
    };

    use super::*;

    /// A tribe `core` of so many nodes, all in by policy `p` on the fact `x` from 1; the first
    /// `joined` of them by hand too.
    fn view(members: u64, joined: u64) -> View {
        let mut view = View::default();
        let (tribe, policy) = (TribeName::parse("core").unwrap(), PolicyName::parse("p").unwrap());
        let mut all = Vec::new();
        for id in 1..=members {
            let facts = serde_json::json!({"x": id});
            let facts = Facts::from_json(facts.as_object().unwrap(), Source::Start).unwrap();
            let name = NodeName::parse(&format!("i{id}")).unwrap();
            view.members.insert(
                NodeId(id),
                Member {
                    id: NodeId(id),
                    name: name.clone(),
                    address: ([127, 0, 0, 1], 6000).into(),
                    state: MemberState::Alive,
                    version: String::new(),
                    level: 1,
                    facts: Arc::new(facts),
                    tribes: vec![tribe.clone()],
                    agrees: true,
                    offers: Arc::default(),
                    status: None,
                },
            );
            let by_hand = (id <= joined).then_some(Reason::Joined);
            let reasons = by_hand.into_iter().chain([Reason::Policy(policy.clone())]).collect();
            all.push(TribeMember { id: NodeId(id), name, state: MemberState::Alive, reasons });
        }
        let parsed = Policy::parse("{{x}} >= 1").unwrap();
        view.policies = BTreeMap::from([(
            policy.clone(),
            PolicyInfo {
                name: policy.clone(),
                tribe: tribe.clone(),
                text: parsed.to_string(),
                enabled: true,
                policy: Some(parsed),
            },
        )]);
        let info = Tribe {
            name: tribe.clone(),
            description: String::new(),
            members: all,
            placements: BTreeMap::new(),
            policies: vec![policy],
            items: BTreeMap::new(),
        };
        view.tribes = BTreeMap::from([(tribe, info)]);
        view
    }

    #[track_caller]
    fn check(done: Result<(), ApiError>, refused: bool) {
        assert_eq!(done.is_err(), refused, "{done:?}");
    }

    #[test]
    fn a_few_members_may_always_go() {
        check(removing(&view(3, 0), "p", "deleting"), false);
        check(removing(&view(4, 0), "p", "deleting"), true);
        check(removing(&view(4, 1), "p", "deleting"), false);
        check(removing(&view(4, 0), "q", "deleting"), false);
    }

    #[test]
    fn a_fifth_of_a_tribe_may_go() {
        check(removing(&view(20, 16), "p", "deleting"), false);
        check(removing(&view(20, 15), "p", "deleting"), true);
    }

    #[test]
    fn a_tribe_of_a_few_may_be_deleted() {
        check(deleting(&view(3, 0), "core"), false);
        check(deleting(&view(4, 4), "core"), true);
        check(deleting(&view(4, 4), "other"), false);
    }

    #[test]
    fn who_matches_the_new_text_stays() {
        let replace = |text: &str, tribe: &str| {
            let options = PolicyOptions { replace: true, enabled: None };
            putting(&view(20, 0), "p", &Policy::parse(text).unwrap(), tribe, options)
        };
        check(replace("{{x}} > 4", "core"), false);
        check(replace("{{x}} > 5", "core"), true);
        check(replace("{{x}} >= 1", "other"), true);
    }

    #[test]
    fn nobody_stays_by_a_policy_that_is_put_off() {
        let put = |name: &str, text: &str, replace: bool, enabled: bool| {
            let options = PolicyOptions { replace, enabled: Some(enabled) };
            putting(&view(20, 0), name, &Policy::parse(text).unwrap(), "core", options)
        };
        check(put("p", "{{x}} >= 1", false, false), true);
        check(put("p", "{{x}} >= 1", true, false), true);
        check(put("p", "true", true, false), true);
        check(put("p", "{{x}} >= 1", false, true), false);
        check(put("new", "true", false, false), false);
        // It exists with another text, which is what its user is to hear.
        check(put("p", "true", false, false), false);
    }

    #[test]
    fn strict_refuses_what_is_only_warned_about() {
        let parse = |text: &str| Policy::parse(text).unwrap();
        check(strict(&view(1, 0), &parse("{{x}} > 1")), false);
        check(strict(&view(1, 0), &parse("{{x}} == one")), true);
    }
}
