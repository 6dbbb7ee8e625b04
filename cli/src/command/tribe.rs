//! `snapctl tribe`: tribes and who is in them.

use clap::Subcommand;
use serde::Serialize;
use tribe_api::{
    Acting, CreateTribe, MemberState, NodeInfo, Placement, Reason, StatusMember, Tribe,
    TribeStatus, TribeSummary,
};

use crate::{
    command::{name, policy},
    exit::Exit,
    failure::Failure,
    output::{self, blocks, fields, list, table, yes_no},
    sanitize,
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
    /// Delete a tribe with its placements and policies
    Delete {
        /// Name of the tribe
        #[arg(value_parser = name())]
        name: String,
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
    /// Show whether all members agree on who is in, and how the tribe's plugins and tasks stand on each
    ///
    /// A member agrees if it computes the same memberships for itself as the node behind the socket does
    /// for it. A node is holding if it fell out of the tribe and still acts for it for some seconds. What
    /// is wrong is told in the words of the node concerned. The exit status is 4 unless all live members
    /// have done all that the tribe asks.
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
            let reply = snapd.create_tribe(&tribe, session.wait).await?;
            session.written(&reply, &reply.missing, &format!("created tribe `{}`", tribe.name))
        }
        Verb::Delete { name } => {
            let reply = snapd.delete_tribe(&name, session.wait).await?;
            session.written(&reply, &reply.missing, &format!("deleted tribe `{name}`"))
        }
        Verb::List => session.show(&snapd.tribes().await?, |tribes| tribes_text(tribes)),
        Verb::Show { name } => session.show(&snapd.tribe(&name).await?, tribe_text),
        Verb::Join { tribe, node } => place(session, tribe, node, Placement::Joined).await,
        Verb::Leave { tribe, node } => place(session, tribe, node, Placement::Left).await,
        Verb::Auto { tribe, node } => place(session, tribe, node, Placement::Automatic).await,
        Verb::Status { tribe: Some(tribe) } => {
            let status = snapd.tribe_status(&tribe).await?;
            let shown = session.show(&status, status_text)?;
            Ok(if status.applied { shown } else { Exit::PartlyDone })
        }
        Verb::Status { tribe: None } => session.show(&overview(session).await?, overview_text),
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
    let reply = session.snapd.place(&tribe, &node, placement, session.wait).await?;
    let done = match placement {
        Placement::Joined => format!("put `{node}` in tribe `{tribe}`"),
        Placement::Left => format!("put `{node}` out of tribe `{tribe}`"),
        Placement::Automatic => format!("gave `{node}` back to the policies of tribe `{tribe}`"),
    };
    if let Some(note) = &reply.note {
        output::tell(&sanitize::line(&format!("note: {note}")));
    }
    session.written(&reply, &reply.missing, &done)
}

/// The state of all tribes, as `tribe status` without a tribe has it in JSON.
#[derive(Debug, Serialize)]
struct Overview {
    node: NodeInfo,
    tribes: Vec<TribeStatus>,
}

async fn overview(session: &Session) -> Result<Overview, Failure> {
    let node = session.snapd.node().await?;
    let mut tribes = Vec::new();
    for TribeSummary { name, .. } in session.snapd.tribes().await? {
        match session.snapd.tribe_status(&name).await.map_err(Failure::from) {
            Ok(status) => tribes.push(status),
            // It was deleted since the list was made.
            Err(failure) if failure.is_nothing_matched() => {}
            Err(failure) => return Err(failure),
        }
    }
    Ok(Overview { node, tribes })
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

fn status_text(status: &TribeStatus) -> String {
    let members = status.members.iter().map(|member| {
        [
            member.name.clone(),
            member.state.as_str().into(),
            yes_no(member.agrees),
            reasons_text(&member.reasons),
        ]
    });
    blocks([
        fields([
            ("tribe", status.tribe.clone()),
            ("synced", yes_no(status.synced)),
            ("agreed", agreed_text(&status.members)),
            ("holding", list(&status.holding)),
            ("applied", yes_no(status.applied)),
        ]),
        table(["MEMBER", "STATE", "AGREES", "REASONS"], members.collect()),
        items_text(&status.members),
    ])
    .trim_end()
    .to_owned()
}

/// How the items stand on each member, and below that what is wrong, in full.
fn items_text(members: &[StatusMember]) -> String {
    let rows = members.iter().flat_map(|member| {
        member.items.iter().map(|item| {
            [
                member.name.clone(),
                item.kind.clone(),
                item.name.clone(),
                item.plugin.clone().unwrap_or_default(),
                item.desired.clone(),
                item.state.clone(),
            ]
        })
    });
    let rows: Vec<_> = rows.collect();
    let mut text = String::new();
    if !rows.is_empty() {
        text = table(["NODE", "KIND", "NAME", "PLUGIN", "DESIRED", "STATE"], rows);
    }
    for member in members.iter().filter(|member| member.state == MemberState::Alive) {
        if let Some(silent) = &member.silent {
            let line = format!("{} does not say how its items stand: {silent}", member.name);
            text = format!("{text}\n\n{}", sanitize::line(&line));
        }
        for item in &member.items {
            let Some(detail) = &item.detail else { continue };
            let head = format!("{} {} {}:", member.name, item.kind, item.name);
            text = format!("{text}\n\n{}", sanitize::line(&head));
            for line in detail.lines() {
                text = format!("{text}\n  {}", sanitize::line(line));
            }
        }
    }
    text.trim_start().to_owned()
}

fn overview_text(overview: &Overview) -> String {
    let Overview { node, tribes } = overview;
    let row = |status: &TribeStatus| {
        let alive = alive(&status.members).count();
        [
            status.tribe.clone(),
            status.members.len().to_string(),
            alive.to_string(),
            agreed_text(&status.members),
            list(&status.holding),
        ]
    };
    blocks([
        fields([
            ("node", node.name.clone()),
            ("synced", yes_no(node.synced)),
            ("acting", list(node.acting.iter().map(acting_text))),
        ]),
        table(["TRIBE", "MEMBERS", "ALIVE", "AGREED", "HOLDING"], tribes.iter().map(row).collect()),
    ])
}

/// A tribe this node acts for, with the time it has left: `core` or `core(7.5s)`.
fn acting_text(acting: &Acting) -> String {
    match acting.leaves_in_seconds {
        Some(seconds) => format!("{}({seconds:.1}s)", acting.tribe),
        None => acting.tribe.clone(),
    }
}

/// How many of the live members agree: `2/3`.
fn agreed_text(members: &[StatusMember]) -> String {
    let agreed = alive(members).filter(|member| member.agrees).count();
    format!("{agreed}/{}", alive(members).count())
}

fn alive(members: &[StatusMember]) -> impl Iterator<Item = &StatusMember> {
    members.iter().filter(|member| member.state == MemberState::Alive)
}

/// Why a node is in: `joined,policy:ubuntu_policy`.
fn reasons_text(reasons: &[Reason]) -> String {
    list(reasons.iter().map(|reason| match reason {
        Reason::Joined => "joined".into(),
        Reason::Policy { policy } => format!("policy:{policy}"),
    }))
}

#[cfg(test)]
mod tests {
    use tribe_api::{PlacedNode, Policy, TribeMember};

    use super::*;

    fn by_both() -> Vec<Reason> {
        vec![Reason::Joined, Reason::Policy { policy: "ubuntu_policy".into() }]
    }

    fn status() -> TribeStatus {
        let member = |name: &str, state, agrees| StatusMember {
            name: name.into(),
            state,
            reasons: vec![Reason::Joined],
            agrees,
            items: Vec::new(),
            silent: None,
        };
        TribeStatus {
            tribe: "core".into(),
            rev: 7,
            synced: true,
            members: vec![
                member("i1", MemberState::Alive, true),
                member("i2", MemberState::Alive, false),
                member("i3", MemberState::Down, false),
            ],
            holding: vec!["i4".into()],
            applied: true,
        }
    }

    #[test]
    fn the_status_tells_in_full_what_is_wrong() {
        let item = |state: &str, detail: Option<&str>| tribe_api::ItemStatus {
            kind: "plugin".into(),
            name: "smart".into(),
            generation: 3,
            desired: "running".into(),
            state: state.into(),
            applied: detail.is_none(),
            detail: detail.map(str::to_owned),
            since_ms: 0,
            plugin: None,
        };
        let mut status = status();
        status.members[0].items.push(item("failed", Some("it ended\nit last printed:\u{7}")));
        status.members[1].silent = Some("it did not answer in time".into());
        let expected = "\
NODE  KIND    NAME   PLUGIN  DESIRED  STATE
i1    plugin  smart  -       running  failed

i1 plugin smart:
  it ended
  it last printed:\\u{7}

i2 does not say how its items stand: it did not answer in time";
        assert_eq!(items_text(&status.members), expected);
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

    #[test]
    fn the_status_tells_who_disagrees() {
        let expected = "\
tribe    core
synced   yes
agreed   1/2
holding  i4
applied  yes

MEMBER  STATE  AGREES  REASONS
i1      alive  yes     joined
i2      alive  no      joined
i3      down   no      joined";
        assert_eq!(status_text(&status()), expected);
    }

    #[test]
    fn the_overview_tells_what_this_node_acts_for() {
        let acting =
            |tribe: &str, leaves_in_seconds| Acting { tribe: tribe.into(), leaves_in_seconds };
        let node = NodeInfo {
            name: "i1".into(),
            tribe: true,
            id: None,
            address: None,
            synced: false,
            acting: vec![acting("core", None), acting("storage", Some(7.52))],
            key_fingerprint: None,
        };
        let expected = "\
node    i1
synced  no
acting  core,storage(7.5s)

TRIBE  MEMBERS  ALIVE  AGREED  HOLDING
core   3        2      1/2     i4";
        assert_eq!(overview_text(&Overview { node, tribes: vec![status()] }), expected);
    }
}
