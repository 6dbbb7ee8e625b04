//! `snapctl tribe policy`: which nodes a tribe takes by itself.

mod offline;

use std::{
    fs,
    io::{self, Read as _},
    path::PathBuf,
};

use clap::Subcommand;
use serde_json::{Map, Value};
use tribe_api::{CreatePolicy, Policy, PolicyChange, PolicyTest, TestPolicy};

use crate::{
    command::{name, unless_forced},
    exit::Exit,
    failure::Failure,
    output::{self, fields, table, yes_no},
    sanitize,
    session::Session,
};

/// Make nodes join a tribe by their facts
///
/// A policy is a condition on facts. Every node for whose facts it is true is in
/// the policy's tribe, unless it was put out by hand:
///
///   {{os_dist}} == Ubuntu && {{storage_tier}} == True
///
/// Facts      {{name}}, {{name.field}}, {{list[0]}}, {{map["a key"]}}
/// Values     words, "quoted text", true, 42, 2.5, 16GiB, 5m, 22.04, 10.0.0.0/8,
///            [a, b]
/// Compare    ==  !=  <  <=  >  >=
/// Look       in [a, b]   in 10.0.0.0/8   contains x   like web-*
///            matches /^web-[0-9]+$/
/// Join       &&  ||  not  ( )     or the words: and, or
/// Ask        exists({{fact}})   any d in {{devices}} ({{d.size}} > 1TB)
///            all ...   none ...
/// Read as    version({{f}})  number({{f}})  bytes({{f}})  duration({{f}})
///            ip({{f}})  lower({{f}})  len({{f}})
///
/// A missing fact makes a comparison unknown, which is no match, not even with
/// `!=`. What is compared takes the type of the fact. In double quotes the shell
/// takes `!` for itself: use single quotes, or the word `not`. `snapctl fact list
/// NODE` has the facts of a node.
#[allow(rustdoc::broken_intra_doc_links, reason = "clap shows this text as it stands: no markdown")]
#[derive(Debug, Subcommand)]
#[command(verbatim_doc_comment)]
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
        /// Give a policy of this name another text or tribe, if there is one
        #[arg(long)]
        replace: bool,
        /// Switched off from the start: it puts nobody in before `enable`
        #[arg(long)]
        disabled: bool,
        /// Refuse a text that may be a mistake, instead of warning
        #[arg(long)]
        strict: bool,
        /// Do it even if that moves more than 3 members, and a fifth of all, out of a tribe, or if
        /// the node has not met its cluster since it was started
        #[arg(long)]
        force: bool,
    },
    /// Delete a policy: nodes that are in by it alone fall out
    Delete {
        /// Name of the policy
        #[arg(value_parser = name())]
        name: String,
        /// Do it even if it moves more than 3 members, and a fifth of all, out of the tribe
        #[arg(long)]
        force: bool,
    },
    /// Print the text of a policy in its one canonical form; no snapd is asked
    #[command(alias = "format")]
    Fmt {
        /// Text of the policy, one word for the shell; `-` reads it from stdin
        #[arg(allow_hyphen_values = true)]
        text: String,
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
    /// Try a policy on the nodes there are, or on facts from a file, without creating it
    ///
    /// The exit status is 3 if it is true for no node.
    Test {
        /// Text of the policy, one word for the shell
        text: String,
        /// Compare with the members of this tribe: who would enter it if the policy were added, and who
        /// would leave it if it were the only one
        #[arg(long, value_parser = name())]
        tribe: Option<String>,
        /// Try it on the facts of this file, and ask no snapd: a JSON object, or the output of
        /// `snapctl fact list --output json`; `-` reads stdin
        #[arg(long, conflicts_with = "tribe", value_name = "FILE")]
        facts: Option<PathBuf>,
        /// Fail if the text may be a mistake
        #[arg(long)]
        strict: bool,
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
        /// Do it even if it moves more than 3 members, and a fifth of all, out of the tribe
        #[arg(long)]
        force: bool,
    },
}

pub(crate) async fn run(verb: Verb, session: &Session) -> Result<Exit, Failure> {
    let snapd = &session.snapd;
    match verb {
        Verb::Create { force: true, replace: false, disabled: false, strict: false, .. } => {
            Err(Failure::usage("`--force` has nothing to force: a new policy moves nobody out")
                .or_help("give it with `--replace`, `--disabled` or `--strict`, or leave it out"))
        }
        Verb::Create { name, text, tribe, replace, disabled, strict, force } => {
            let enabled = disabled.then_some(false);
            let policy = CreatePolicy { name, text, tribe, replace, enabled, strict, force };
            create(session, policy).await
        }
        Verb::Delete { name, force } => {
            let reply = snapd.delete_policy(&name, force, session.wait);
            let reply = session.attend(reply).await.map_err(unless_forced)?;
            session.written(&reply, &reply.missing, &format!("deleted policy `{name}`"))
        }
        Verb::List { tribe } => {
            let policies = snapd.policies(tribe.as_deref()).await?;
            session.show_known(&policies, |policies| table_of_all(policies)).await
        }
        Verb::Show { name } => session.show(&snapd.policy(&name).await?, policy_text),
        Verb::Fmt { text } => {
            let text = if text == "-" { read(&"-".into())? } else { text };
            offline::format(&text, session)
        }
        Verb::Test { text, facts: Some(facts), strict, .. } => {
            offline::test(&text, &facts_of(&facts)?, strict, session)
        }
        Verb::Test { text, tribe, facts: None, strict } => {
            test(session, TestPolicy { text, tribe }, strict).await
        }
        Verb::Explain { name, node } => {
            let explanation = snapd.explain_policy(&name, &node).await?;
            session.show(&explanation, |explanation| sanitize::block(explanation.text.trim_end()))
        }
        Verb::Enable { name } => enable(session, &name, true, false).await,
        Verb::Disable { name, force } => enable(session, &name, false, force).await,
    }
}

/// Reads a file, or stdin.
fn read(path: &PathBuf) -> Result<String, Failure> {
    let mut text = String::new();
    let read = if path.as_os_str() == "-" {
        io::stdin().read_to_string(&mut text).map(|_| ())
    } else {
        fs::read_to_string(path).map(|found| text = found)
    };
    match read {
        Ok(()) => Ok(text),
        Err(error) => Err(Failure::new(format!("cannot read `{}`: {error}", path.display()))),
    }
}

/// Facts by name, as they are or as `fact list` has them.
fn facts_of(path: &PathBuf) -> Result<Map<String, Value>, Failure> {
    let wrong = |reason: &str| {
        Failure::new(format!("`{}` has no facts: {reason}", path.display()))
            .or_help("write a JSON object, or save `snapctl fact list --output json`")
    };
    match serde_json::from_str(&read(path)?) {
        Ok(Value::Object(facts)) => Ok(facts),
        Ok(Value::Array(entries)) => entries
            .iter()
            .map(|entry| {
                let name = entry.get("name")?.as_str()?;
                Some((name.to_owned(), entry.get("value")?.clone()))
            })
            .collect::<Option<_>>()
            .ok_or_else(|| wrong("an entry has no name or no value")),
        Ok(_) => Err(wrong("it is neither an object nor a list")),
        Err(error) => Err(wrong(&error.to_string())),
    }
}

async fn create(session: &Session, policy: CreatePolicy) -> Result<Exit, Failure> {
    let reply = session.snapd.create_policy(&policy, session.wait);
    let reply = session.attend(reply).await.map_err(unless_forced)?;
    warn(&reply.warnings);
    let CreatePolicy { name, tribe, .. } = &policy;
    if let Some(near) = &reply.tribe_near {
        warn(&[format!("there was no tribe `{tribe}`, did you mean `{near}`?")]);
    }
    let what = if policy.enabled == Some(false) { "disabled policy" } else { "policy" };
    let place = match (reply.tribe_created, policy.replace) {
        (false, _) => format!("in tribe `{tribe}`"),
        (true, false) => format!("and tribe `{tribe}`, which did not exist"),
        (true, true) => format!("and created tribe `{tribe}`, which did not exist"),
    };
    let verb = if policy.replace { "wrote" } else { "created" };
    let stays_off = policy.enabled.is_none() && reply.enabled == Some(false);
    let still = match stays_off {
        true => format!("; it is off as before, `snapctl tribe policy enable {name}` changes that"),
        false => String::new(),
    };
    session.written(&reply, &reply.missing, &format!("{verb} {what} `{name}` {place}{still}"))
}

async fn test(
    session: &Session,
    test: TestPolicy,
    fail_on_warnings: bool,
) -> Result<Exit, Failure> {
    let reply = session.snapd.test_policy(&test).await?;
    warn(&reply.warnings);
    output::show(session.format, &reply, test_table)?;
    if let (Some(enters), Some(leaves)) = (&reply.enters, &reply.leaves) {
        output::tell(&format!("{} would enter, {} would leave", enters.len(), leaves.len()));
    }
    strict(fail_on_warnings, &reply.warnings)?;
    if reply.matches.is_empty() {
        output::tell("the policy is true for no node");
        return Ok(Exit::NothingMatched);
    }
    Ok(Exit::Success)
}

async fn enable(
    session: &Session,
    name: &str,
    enabled: bool,
    force: bool,
) -> Result<Exit, Failure> {
    let change = PolicyChange { enabled, force };
    let reply = session.snapd.enable_policy(name, change, session.wait);
    let reply = session.attend(reply).await.map_err(unless_forced)?;
    let done = if enabled { "enabled" } else { "disabled" };
    session.written(&reply, &reply.missing, &format!("{done} policy `{name}`"))
}

/// Fails if the text may be a mistake and that was asked for.
fn strict(asked: bool, warnings: &[String]) -> Result<(), Failure> {
    if asked && !warnings.is_empty() {
        return Err(Failure::new("the policy may be a mistake, and --strict was asked for"));
    }
    Ok(())
}

fn warn(warnings: &[String]) {
    for warning in warnings {
        let warning = sanitize::block(warning.trim_end());
        let known = if warning.starts_with("warning") { "" } else { "warning: " };
        output::tell(&format!("{known}{warning}"));
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
fn test_table(test: &PolicyTest) -> String {
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
        assert_eq!(test_table(&tried()), expected);
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
        assert_eq!(test_table(&test), expected);
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
