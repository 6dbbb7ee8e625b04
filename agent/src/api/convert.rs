//! Views as the API's types. Plain translation.

use std::time::Duration;

use tribe::{Node, Written};
use tribe_api as api;

use super::error::ApiError;

/// The answer to a write, after as long a wait as was asked for.
pub(super) async fn missing(
    node: &Node,
    written: &Written,
    wait: Option<Duration>,
) -> Result<Vec<String>, ApiError> {
    let Some(timeout) = wait else { return Ok(Vec::new()) };
    Ok(node.wait(written, timeout).await?.into_iter().map(String::from).collect())
}

/// What may be a mistake in a policy, with the place and what was meant.
pub(super) fn warning(warning: &tribe::PolicyWarning) -> String {
    warning.render()
}

pub(super) fn member(member: &tribe::Member) -> api::Member {
    api::Member {
        name: member.name.to_string(),
        id: member.id.to_string(),
        address: member.address.to_string(),
        state: state(member.state),
        version: member.version.clone(),
        policy_level: member.level,
        tribes: member.tribes.iter().map(ToString::to_string).collect(),
        agrees: member.agrees,
    }
}

pub(super) fn state(state: tribe::MemberState) -> api::MemberState {
    match state {
        tribe::MemberState::Alive => api::MemberState::Alive,
        tribe::MemberState::Left => api::MemberState::Left,
        tribe::MemberState::Down => api::MemberState::Down,
    }
}

pub(super) fn reason(reason: &tribe::Reason) -> api::Reason {
    match reason {
        tribe::Reason::Joined => api::Reason::Joined,
        tribe::Reason::Policy(policy) => api::Reason::Policy { policy: policy.to_string() },
    }
}

pub(super) fn placement(placement: tribe::Placement) -> api::Placement {
    match placement {
        tribe::Placement::Joined => api::Placement::Joined,
        tribe::Placement::Left => api::Placement::Left,
        tribe::Placement::Automatic => api::Placement::Automatic,
    }
}

pub(super) fn policy(policy: &tribe::PolicyInfo) -> api::Policy {
    api::Policy {
        name: policy.name.to_string(),
        tribe: policy.tribe.to_string(),
        text: policy.text.clone(),
        enabled: policy.enabled,
        understood: policy.policy.is_some(),
    }
}
