//! `snapctl member`: the nodes of the cluster.

use clap::Subcommand;
use tribe_api::Member;

use crate::{
    command::name,
    exit::Exit,
    failure::Failure,
    output::{fields, list, table, yes_no},
    session::Session,
};

/// See the nodes of the cluster, and forget dead ones
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// List all nodes, dead ones too
    ///
    /// A node AGREES if it computes the same tribes for itself as the node behind the socket does
    /// for it. `no` for a moment is a change on its way; `no` for long means that the two read a
    /// policy differently, as different versions may.
    List,
    /// Show a node
    Show {
        /// Name of the node
        #[arg(value_parser = name())]
        node: String,
    },
    /// Forget a node that is down or has left
    ///
    /// All nodes drop what it said, and nobody looks for it any more. Where it was placed by hand stays.
    /// Should it come back, it is a member like any other. A node that is alive is not forgotten.
    Forget {
        /// Name of the node
        #[arg(value_parser = name())]
        node: String,
    },
}

pub(crate) async fn run(verb: Verb, session: &Session) -> Result<Exit, Failure> {
    match verb {
        Verb::List => {
            let members = session.snapd.members().await?;
            session.show_known(&members, |members| members_text(members)).await
        }
        Verb::Show { node } => session.show(&session.snapd.member(&node).await?, member_text),
        Verb::Forget { node } => {
            let reply = session.snapd.forget_member(&node, session.wait);
            let reply = session.attend(reply).await?;
            session.written(&reply, &reply.missing, &format!("forgot node `{node}`"))
        }
    }
}

fn members_text(members: &[Member]) -> String {
    let row = |member: &Member| {
        [
            member.name.clone(),
            member.state.as_str().into(),
            member.address.clone(),
            member.version.clone(),
            yes_no(member.agrees),
            list(&member.tribes),
        ]
    };
    let header = ["NODE", "STATE", "ADDRESS", "VERSION", "AGREES", "TRIBES"];
    table(header, members.iter().map(row).collect())
}

fn member_text(member: &Member) -> String {
    fields([
        ("node", member.name.clone()),
        ("id", member.id.clone()),
        ("state", member.state.as_str().into()),
        ("address", member.address.clone()),
        ("version", member.version.clone()),
        ("policy level", member.policy_level.to_string()),
        ("agrees", yes_no(member.agrees)),
        ("tribes", list(&member.tribes)),
    ])
}

#[cfg(test)]
mod tests {
    use tribe_api::MemberState;

    use super::*;

    fn i1() -> Member {
        Member {
            name: "i1".into(),
            id: "0f".into(),
            address: "192.0.2.1:6000".into(),
            state: MemberState::Down,
            version: "snapd 0.1.0\u{1b}".into(),
            policy_level: 1,
            tribes: vec!["core".into(), "storage".into()],
            agrees: true,
        }
    }

    #[test]
    fn members_are_listed() {
        let expected = "\
NODE  STATE  ADDRESS         VERSION            AGREES  TRIBES
i1    down   192.0.2.1:6000  snapd 0.1.0\\u{1b}  yes     core,storage";
        assert_eq!(members_text(&[i1()]), expected);
    }

    #[test]
    fn a_member_is_shown_in_fields() {
        let expected = "\
node          i1
id            0f
state         down
address       192.0.2.1:6000
version       snapd 0.1.0\\u{1b}
policy level  1
agrees        yes
tribes        core,storage";
        assert_eq!(member_text(&i1()), expected);
    }
}
