//! Views as the API's types. Plain translation.

use std::time::Duration;

use tribe::{KeyId, Node, Obstacle, Written};
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

/// What keeps a node of this name and key from its cluster, and what to do about it.
pub(super) fn obstacle(obstacle: &Obstacle, name: &str, sealing: Option<KeyId>) -> String {
    match obstacle {
        Obstacle::NameTaken { holder, address } => {
            let (at, find) = match address {
                Some(address) => (format!(" at {address}"), String::new()),
                None => {
                    let show = format!("`snapctl member show {name}`");
                    (String::new(), format!("; {show} on another member tells where it is"))
                }
            };
            format!(
                "its name `{name}` is held by a live node, of id {holder}{at}: give one of the two \
                 another (`tribe: {{name}}`, --tribe-node-name), or stop that one{find}"
            )
        }
        Obstacle::OtherKey { from, key } => {
            let theirs = match *key {
                KeyId::PLAINTEXT => "no key".to_owned(),
                key => format!("key `{key}`, which this node does not hold"),
            };
            let own = sealing.map_or_else(|| "none".to_owned(), |key| format!("`{key}`"));
            format!(
                "a node at {from} seems to use {theirs} (its own is {own}): if the two belong \
                 together, give them one key file; `snapctl key status` shows what each node holds"
            )
        }
        _ => "something else keeps it from them, its log says what".to_owned(),
    }
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

#[cfg(test)]
mod tests {
    use tribe::NodeId;

    use super::*;

    #[test]
    fn what_keeps_a_node_from_its_cluster_is_told_with_what_to_do() {
        let check = |found: Obstacle, sealing: Option<KeyId>, expected: &str| {
            assert_eq!(obstacle(&found, "i1", sealing), expected);
        };
        let (theirs, ours) = (KeyId::from_bytes([10; 4]), KeyId::from_bytes([11; 4]));
        let other = |key| Obstacle::OtherKey { from: ([10, 0, 0, 1], 6000).into(), key };
        let taken = |address| Obstacle::NameTaken { holder: NodeId(1), address };
        check(
            taken(None),
            Some(ours),
            "its name `i1` is held by a live node, of id 0000000000000001: give one of the two \
             another (`tribe: {name}`, --tribe-node-name), or stop that one; \
             `snapctl member show i1` on another member tells where it is",
        );
        check(
            taken(Some(([10, 0, 0, 2], 6000).into())),
            Some(ours),
            "its name `i1` is held by a live node, of id 0000000000000001 at 10.0.0.2:6000: give \
             one of the two another (`tribe: {name}`, --tribe-node-name), or stop that one",
        );
        check(
            other(theirs),
            Some(ours),
            "a node at 10.0.0.1:6000 seems to use key `0a0a0a0a`, which this node does not hold \
             (its own is `0b0b0b0b`): if the two belong together, give them one key file; \
             `snapctl key status` shows what each node holds",
        );
        check(
            other(KeyId::PLAINTEXT),
            Some(ours),
            "a node at 10.0.0.1:6000 seems to use no key (its own is `0b0b0b0b`): if the two \
             belong together, give them one key file; `snapctl key status` shows what each node \
             holds",
        );
    }
}
