//! `snapctl tribe`: tribes and who is in them.

use clap::Subcommand;
use tribe_api::{CreateTribe, DescribeTribe, Placement, Reason, Tribe, TribeSummary};

use crate::{
    command::{name, policy, status, unless_forced},
    exit::Exit,
    failure::Failure,
    output::{blocks, fields, list, table},
    session::Session,
};

/// Create tribes and put nodes in them, by hand or by policy
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Create a tribe
    Create {
        /// Name of the tribe
        #[arg(value_parser = name())]
        name: String,
        /// What it is for
        #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
        description: String,
    },
    /// Say anew what a tribe is for
    Describe {
        /// Name of the tribe
        #[arg(value_parser = name())]
        name: String,
        /// What it is for, one word for the shell; an empty one says nothing
        text: String,
    },
    /// Delete a tribe with its placements, policies, plugins and tasks
    ///
    /// Its members fall out of it: they unload the plugins and stop the tasks that no other tribe
    /// asks of them.
    Delete {
        /// Name of the tribe
        #[arg(value_parser = name())]
        name: String,
        /// Do it even if the tribe has more than 3 members
        #[arg(long)]
        force: bool,
    },
    /// List all tribes
    List,
    /// Show a tribe: its members and why they are in, nodes placed by hand, policies
    Show {
        /// Name of the tribe
        #[arg(value_parser = name())]
        name: String,
    },
    /// Put a node in a tribe, whatever its policies say
    Join {
        /// Name of the tribe
        #[arg(value_parser = name())]
        tribe: String,
        /// Any node, even one that does not exist yet [default: the one behind the socket]
        #[arg(value_parser = name())]
        node: Option<String>,
    },
    /// Put a node out of a tribe, whatever its policies say
    Leave {
        /// Name of the tribe
        #[arg(value_parser = name())]
        tribe: String,
        /// Any node, even one that does not exist yet [default: the one behind the socket]
        #[arg(value_parser = name())]
        node: Option<String>,
    },
    /// Give a node back to the policies of a tribe, after `join` or `leave`
    Auto {
        /// Name of the tribe
        #[arg(value_parser = name())]
        tribe: String,
        /// Any node, even one that does not exist yet [default: the one behind the socket]
        #[arg(value_parser = name())]
        node: Option<String>,
    },
    /// Show whether all members agree on who is in, and have done all that the tribe asks
    ///
    /// A member agrees if it computes the same memberships for itself as the node behind the socket
    /// does for it. A node is holding if it fell out of the tribe and still acts for it for some
    /// seconds. For each member and each plugin and task of the tribe it is told what is asked, how
    /// far it is, and in full what went wrong there. The exit status is 4 unless all live members
    /// that run snapd have done all; other agents apply nothing and are not waited for.
    Status {
        /// Name of the tribe [default: this node and all tribes]
        #[arg(value_parser = name())]
        tribe: Option<String>,
    },
    #[command(subcommand)]
    Policy(policy::Verb),
}

pub(crate) async fn run(verb: Verb, session: &Session) -> Result<Exit, Failure> {
    let snapd = &session.snapd;
    match verb {
        Verb::Create { name, description } => {
            let tribe = CreateTribe { name, description };
            let reply = session.attend(snapd.create_tribe(&tribe, session.wait)).await?;
            session.written(&reply, &reply.missing, &format!("created tribe `{}`", tribe.name))
        }
        Verb::Describe { name, text } => {
            let description = DescribeTribe { description: text };
            let reply = snapd.describe_tribe(&name, &description, session.wait);
            let reply = session.attend(reply).await?;
            session.written(&reply, &reply.missing, &format!("described tribe `{name}`"))
        }
        Verb::Delete { name, force } => {
            let reply = snapd.delete_tribe(&name, force, session.wait);
            let reply = session.attend(reply).await.map_err(unless_forced)?;
            session.written(&reply, &reply.missing, &format!("deleted tribe `{name}`"))
        }
        Verb::List => {
            session.show_known(&snapd.tribes().await?, |tribes| tribes_text(tribes)).await
        }
        Verb::Show { name } => session.show(&snapd.tribe(&name).await?, tribe_text),
        Verb::Join { tribe, node } => place(session, tribe, node, Placement::Joined).await,
        Verb::Leave { tribe, node } => place(session, tribe, node, Placement::Left).await,
        Verb::Auto { tribe, node } => place(session, tribe, node, Placement::Automatic).await,
        Verb::Status { tribe: Some(tribe) } => status::of_tribe(&tribe, session).await,
        Verb::Status { tribe: None } => status::of_all(session).await,
        Verb::Policy(verb) => policy::run(verb, session).await,
    }
}

async fn place(
    session: &Session,
    tribe: String,
    node: Option<String>,
    placement: Placement,
) -> Result<Exit, Failure> {
    let node = session.node_or_own(node).await?;
    let reply = session.snapd.place(&tribe, &node, placement, session.wait);
    let reply = session.attend(reply).await?;
    let done = match placement {
        Placement::Joined => format!("put `{node}` in tribe `{tribe}`"),
        Placement::Left => format!("put `{node}` out of tribe `{tribe}`"),
        Placement::Automatic => format!("gave `{node}` back to the policies of tribe `{tribe}`"),
    };
    session.note(reply.note.as_deref());
    session.written(&reply, &reply.missing, &done)
}

fn tribes_text(tribes: &[TribeSummary]) -> String {
    let row = |tribe: &TribeSummary| {
        [
            tribe.name.clone(),
            tribe.members.to_string(),
            tribe.alive.to_string(),
            tribe.policies.to_string(),
            tribe.description.clone(),
        ]
    };
    let header = ["NAME", "MEMBERS", "ALIVE", "POLICIES", "DESCRIPTION"];
    table(header, tribes.iter().map(row).collect())
}

fn tribe_text(tribe: &Tribe) -> String {
    let members = tribe.members.iter().map(|member| {
        [member.name.clone(), member.state.as_str().into(), reasons_text(&member.reasons)]
    });
    let placements = tribe
        .placements
        .iter()
        .map(|placed| [placed.node.clone(), placed.placement.as_str().into()]);
    blocks([
        fields([("tribe", tribe.name.clone()), ("description", tribe.description.clone())]),
        table(["MEMBER", "STATE", "REASONS"], members.collect()),
        table(["PLACED", "PLACEMENT"], placements.collect()),
        policy::table_of_one_tribe(&tribe.policies),
    ])
}

/// Why a node is in: `joined,policy:ubuntu_policy`.
pub(super) fn reasons_text(reasons: &[Reason]) -> String {
    list(reasons.iter().map(|reason| match reason {
        Reason::Joined => "joined".into(),
        Reason::Policy { policy } => format!("policy:{policy}"),
    }))
}

#[cfg(test)]
mod tests {
    use tribe_api::{MemberState, PlacedNode, Policy, TribeMember};

    use super::*;

    fn by_both() -> Vec<Reason> {
        vec![Reason::Joined, Reason::Policy { policy: "ubuntu_policy".into() }]
    }

    #[test]
    fn tribes_are_listed() {
        let core = TribeSummary {
            name: "core".into(),
            description: String::new(),
            members: 4,
            alive: 3,
            policies: 1,
        };
        let expected = "NAME  MEMBERS  ALIVE  POLICIES  DESCRIPTION\n\
                        core  4        3      1         -";
        assert_eq!(tribes_text(&[core]), expected);
    }

    #[test]
    fn a_tribe_is_shown_with_its_reasons() {
        let tribe = Tribe {
            name: "core".into(),
            description: "all of us".into(),
            members: vec![TribeMember {
                name: "i1".into(),
                id: "1".into(),
                state: MemberState::Left,
                reasons: by_both(),
            }],
            placements: vec![PlacedNode { node: "i1".into(), placement: Placement::Joined }],
            policies: vec![Policy {
                name: "ubuntu_policy".into(),
                tribe: "core".into(),
                text: "{{os_dist}} == Ubuntu".into(),
                enabled: true,
                understood: false,
            }],
        };
        let expected = "\
tribe        core
description  all of us

MEMBER  STATE  REASONS
i1      left   joined,policy:ubuntu_policy

PLACED  PLACEMENT
i1      joined

POLICY         ENABLED  UNDERSTOOD  TEXT
ubuntu_policy  yes      no          {{os_dist}} == Ubuntu";
        assert_eq!(tribe_text(&tribe), expected);
    }
}
