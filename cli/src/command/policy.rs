//! `snapctl tribe policy`: which nodes a tribe takes by itself.

use clap::Subcommand;
use tribe_api::{CreatePolicy, Policy, PolicyTest, TestPolicy};

use crate::{
    command::name,
    exit::Exit,
    failure::Failure,
    output::{self, fields, table, yes_no},
    sanitize,
    session::Session,
};

/// Make nodes join a tribe by their facts
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Create a policy, and its tribe if there is none of that name
    ///
    /// Every node for whose facts the text is true is in the tribe, unless it was put out by hand. Quote
    /// the text for the shell: '{{os_dist}} == Ubuntu && {{storage_tier}} == True'
    Create {
        /// Name of the policy, unique in the cluster
        #[arg(value_parser = name())]
        name: String,
        /// Text of the policy, one word for the shell
        text: String,
        /// Tribe it puts nodes in
        #[arg(long, value_parser = name())]
        tribe: String,
    },
    /// Delete a policy: nodes that are in by it alone fall out
    Delete {
        /// Name of the policy
        #[arg(value_parser = name())]
        name: String,
    },
    /// List all policies, or those of a tribe
    List {
        /// Only the policies of this tribe
        #[arg(long, value_parser = name())]
        tribe: Option<String>,
    },
    /// Show a policy
    Show {
        /// Name of the policy
        #[arg(value_parser = name())]
        name: String,
    },
    /// Try a policy on the nodes there are, without creating it
    ///
    /// The exit status is 3 if it is true for no node.
    Test {
        /// Text of the policy, one word for the shell
        text: String,
        /// Compare with the members of this tribe: who would enter it if the policy were added, and who
        /// would leave it if it were the only one
        #[arg(long, value_parser = name())]
        tribe: Option<String>,
    },
    /// Show why a policy is true for a node, or not
    Explain {
        /// Name of the policy
        #[arg(value_parser = name())]
        name: String,
        /// Name of the node
        #[arg(value_parser = name())]
        node: String,
    },
    /// Switch a policy on
    Enable {
        /// Name of the policy
        #[arg(value_parser = name())]
        name: String,
    },
    /// Switch a policy off without deleting it: nodes that are in by it alone fall out
    Disable {
        /// Name of the policy
        #[arg(value_parser = name())]
        name: String,
    },
}

pub(crate) async fn run(verb: Verb, session: &Session) -> Result<Exit, Failure> {
    let snapd = &session.snapd;
    match verb {
        Verb::Create { name, text, tribe } => {
            create(session, CreatePolicy { name, text, tribe }).await
        }
        Verb::Delete { name } => {
            let reply = snapd.delete_policy(&name, session.wait).await?;
            session.written(&reply, &reply.missing, &format!("deleted policy `{name}`"))
        }
        Verb::List { tribe } => session
            .show(&snapd.policies(tribe.as_deref()).await?, |policies| table_of_all(policies)),
        Verb::Show { name } => session.show(&snapd.policy(&name).await?, policy_text),
        Verb::Test { text, tribe } => test(session, TestPolicy { text, tribe }).await,
        Verb::Explain { name, node } => {
            let explanation = snapd.explain_policy(&name, &node).await?;
            session.show(&explanation, |explanation| sanitize::block(explanation.text.trim_end()))
        }
        Verb::Enable { name } => enable(session, &name, true).await,
        Verb::Disable { name } => enable(session, &name, false).await,
    }
}

async fn create(session: &Session, policy: CreatePolicy) -> Result<Exit, Failure> {
    let reply = session.snapd.create_policy(&policy, session.wait).await?;
    warn(&reply.warnings);
    let CreatePolicy { name, tribe, .. } = &policy;
    let done = if reply.tribe_created {
        format!("created policy `{name}` and tribe `{tribe}`, which did not exist")
    } else {
        format!("created policy `{name}` in tribe `{tribe}`")
    };
    session.written(&reply, &reply.missing, &done)
}

async fn test(session: &Session, test: TestPolicy) -> Result<Exit, Failure> {
    let reply = session.snapd.test_policy(&test).await?;
    warn(&reply.warnings);
    output::show(session.format, &reply, test_text)?;
    if reply.matches.is_empty() {
        output::tell("the policy is true for no node");
        return Ok(Exit::NothingMatched);
    }
    Ok(Exit::Success)
}

async fn enable(session: &Session, name: &str, enabled: bool) -> Result<Exit, Failure> {
    let reply = session.snapd.enable_policy(name, enabled, session.wait).await?;
    let done = if enabled { "enabled" } else { "disabled" };
    session.written(&reply, &reply.missing, &format!("{done} policy `{name}`"))
}

fn warn(warnings: &[String]) {
    for warning in warnings {
        output::tell(&format!("warning: {}", sanitize::block(warning.trim_end())));
    }
}

fn table_of_all(policies: &[Policy]) -> String {
    let row = |policy: &Policy| {
        [
            policy.name.clone(),
            policy.tribe.clone(),
            yes_no(policy.enabled),
            yes_no(policy.understood),
            policy.text.clone(),
        ]
    };
    let header = ["POLICY", "TRIBE", "ENABLED", "UNDERSTOOD", "TEXT"];
    table(header, policies.iter().map(row).collect())
}

/// The policies of one tribe, as `tribe show` has them.
pub(crate) fn table_of_one_tribe(policies: &[Policy]) -> String {
    let row = |policy: &Policy| {
        [
            policy.name.clone(),
            yes_no(policy.enabled),
            yes_no(policy.understood),
            policy.text.clone(),
        ]
    };
    table(["POLICY", "ENABLED", "UNDERSTOOD", "TEXT"], policies.iter().map(row).collect())
}

fn policy_text(policy: &Policy) -> String {
    fields([
        ("policy", policy.name.clone()),
        ("tribe", policy.tribe.clone()),
        ("enabled", yes_no(policy.enabled)),
        ("understood", yes_no(policy.understood)),
        ("text", policy.text.clone()),
    ])
}

/// A line for each node: first those it is true for, then those it cannot be decided for.
fn test_text(test: &PolicyTest) -> String {
    let matches = test.matches.iter().map(|node| (node, "yes", ""));
    let unknown = test.unknown.iter().map(|node| (&node.node, "unknown", node.reason.as_str()));
    let no_match = test.no_match.iter().map(|node| (node, "no", ""));
    let rows = matches.chain(unknown).chain(no_match);
    let (Some(enters), Some(leaves)) = (&test.enters, &test.leaves) else {
        let row = |(node, verdict, reason): (&String, &str, &str)| {
            [node.clone(), verdict.into(), reason.into()]
        };
        return table(["NODE", "MATCH", "REASON"], rows.map(row).collect());
    };
    let row = |(node, verdict, reason): (&String, &str, &str)| {
        let change = match (enters.contains(node), leaves.contains(node)) {
            (true, _) => "enters",
            (_, true) => "leaves",
            _ => "",
        };
        [node.clone(), verdict.into(), change.into(), reason.into()]
    };
    table(["NODE", "MATCH", "CHANGE", "REASON"], rows.map(row).collect())
}

#[cfg(test)]
mod tests {
    use tribe_api::UnknownNode;

    use super::*;

    fn tried() -> PolicyTest {
        PolicyTest {
            matches: vec!["i1".into(), "i2".into()],
            unknown: vec![UnknownNode { node: "i3".into(), reason: "no fact `tier`".into() }],
            no_match: vec!["i4".into()],
            ..PolicyTest::default()
        }
    }

    #[test]
    fn a_test_has_a_line_for_each_node() {
        let expected = "\
NODE  MATCH    REASON
i1    yes      -
i2    yes      -
i3    unknown  no fact `tier`
i4    no       -";
        assert_eq!(test_text(&tried()), expected);
    }

    #[test]
    fn a_test_with_a_tribe_tells_what_would_change() {
        let expected = "\
NODE  MATCH    CHANGE  REASON
i1    yes      -       -
i2    yes      enters  -
i3    unknown  leaves  no fact `tier`
i4    no       leaves  -";
        let test = PolicyTest {
            enters: Some(vec!["i2".into()]),
            leaves: Some(vec!["i3".into(), "i4".into()]),
            ..tried()
        };
        assert_eq!(test_text(&test), expected);
    }

    #[test]
    fn a_policy_is_shown_in_fields_and_in_tables() {
        let policy = Policy {
            name: "p".into(),
            tribe: "core".into(),
            text: "true".into(),
            enabled: false,
            understood: true,
        };
        let expected =
            "policy      p\ntribe       core\nenabled     no\nunderstood  yes\ntext        true";
        assert_eq!(policy_text(&policy), expected);
        let expected =
            "POLICY  TRIBE  ENABLED  UNDERSTOOD  TEXT\np       core   no       yes         true";
        assert_eq!(table_of_all(&[policy]), expected);
    }
}
