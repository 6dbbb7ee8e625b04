//! `snapctl fact`: what nodes say of themselves.

use clap::Subcommand;
use serde_json::Value;
use tribe_api::{FactChange, FactEntry};

use crate::{command::name, exit::Exit, failure::Failure, output::table, session::Session};

/// See and set the facts that policies judge
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// List the facts of a node
    List {
        /// Name of the node [default: the one behind the socket]
        #[arg(value_parser = name())]
        node: Option<String>,
    },
    /// Set facts of a node while it runs
    ///
    /// The first word is the node if it has no `=`; without a node it is the one
    /// behind the socket:
    ///
    ///   snapctl fact set storage_tier=True
    ///   snapctl fact set i2 storage_tier=True rack=7
    ///
    /// `True` and `False` become a yes or no, `7` a whole number, all else is text.
    /// The facts outlive a restart of the node and cover those given at its start. All
    /// are set or none. The node itself sets them, so it must be alive.
    #[command(
        verbatim_doc_comment,
        override_usage = "snapctl fact set [OPTIONS] [NODE] <KEY=VALUE>..."
    )]
    Set {
        /// The node, if any, then the facts
        #[arg(required = true, value_name = "[NODE] KEY=VALUE", value_parser = name())]
        words: Vec<String>,
    },
    /// Unset facts that were set while the node ran
    ///
    /// Of several words the first is the node. A single word is a fact of the node
    /// behind the socket:
    ///
    ///   snapctl fact unset storage_tier
    ///   snapctl fact unset i2 storage_tier rack
    ///
    /// To unset several facts of the node behind the socket, name it too. What was
    /// given at its start, or collected from the host, shows again. The node itself
    /// does it, so it must be alive.
    #[command(
        verbatim_doc_comment,
        override_usage = "snapctl fact unset [OPTIONS] [NODE] <KEY>..."
    )]
    Unset {
        /// The node, if any, then the facts
        #[arg(required = true, value_name = "[NODE] KEY", value_parser = name())]
        words: Vec<String>,
    },
}

pub(crate) async fn run(verb: Verb, session: &Session) -> Result<Exit, Failure> {
    match verb {
        Verb::List { node } => {
            let node = session.node_or_own(node).await?;
            session.show(&session.snapd.facts(&node).await?, |facts| facts_text(facts))
        }
        Verb::Set { words } => set(session, words).await,
        Verb::Unset { words } => unset(session, words).await,
    }
}

async fn set(session: &Session, words: Vec<String>) -> Result<Exit, Failure> {
    let (node, change) = read_set(words)?;
    let named = node.is_some();
    let node = session.node_or_own(node).await?;
    let reply = session.snapd.change_facts(&node, &change, session.wait);
    let reply = session.attend_if(named, reply).await?;
    let done = format!("set {} of `{node}`", count(change.set.len()));
    session.written(&reply, &reply.missing, &done)
}

async fn unset(session: &Session, words: Vec<String>) -> Result<Exit, Failure> {
    let (named, change) = read_unset(words)?;
    let node = session.node_or_own(named.clone()).await?;
    let reply = session.snapd.change_facts(&node, &change, session.wait);
    let reply = session.attend_if(named.is_some(), reply).await;
    let reply = reply.map_err(|error| match (Failure::from(error), named) {
        (failure, Some(node)) if failure.is_nothing_matched() => {
            failure.or_help(format!("of several words the first is the node, here `{node}`"))
        }
        (failure, _) => failure,
    })?;
    let done = format!("unset {} of `{node}`", count(change.unset.len()));
    session.written(&reply, &reply.missing, &done)
}

/// Reads `[NODE] KEY=VALUE...`: the first word is the node if it has no `=`.
fn read_set(words: Vec<String>) -> Result<(Option<String>, FactChange), Failure> {
    let mut words = words.into_iter().peekable();
    let node = words.next_if(|word| !word.contains('='));
    let mut change = FactChange::default();
    for word in words {
        let Some((key, value)) = word.split_once('=').filter(|(key, _)| !key.is_empty()) else {
            return Err(Failure::usage(format!("`{word}` is not of the form KEY=VALUE"))
                .or_help("as in `snapctl fact set i2 storage_tier=True`"));
        };
        if change.set.insert(key.into(), Value::from(value)).is_some() {
            return Err(Failure::usage(format!("fact `{key}` is given twice")));
        }
    }
    match node {
        Some(node) if change.set.is_empty() => {
            Err(Failure::usage(format!("there is no fact to set behind node `{node}`"))
                .or_help("as in `snapctl fact set i2 storage_tier=True`"))
        }
        node => Ok((node, change)),
    }
}

/// Reads `[NODE] KEY...`: of several words the first is the node.
fn read_unset(words: Vec<String>) -> Result<(Option<String>, FactChange), Failure> {
    if let Some(word) = words.iter().find(|word| word.contains('=')) {
        return Err(Failure::usage(format!("`{word}` is not the name of a fact"))
            .or_help("give names without values, as in `snapctl fact unset i2 storage_tier`"));
    }
    let several = words.len() > 1;
    let mut words = words.into_iter();
    let node = if several { words.next() } else { None };
    Ok((node, FactChange { unset: words.collect(), ..FactChange::default() }))
}

fn count(facts: usize) -> String {
    if facts == 1 { "1 fact".into() } else { format!("{facts} facts") }
}

fn facts_text(facts: &[FactEntry]) -> String {
    let row = |fact: &FactEntry| {
        [fact.name.clone(), fact.value_type.clone(), fact.source.clone(), value_text(&fact.value)]
    };
    table(["FACT", "TYPE", "SOURCE", "VALUE"], facts.iter().map(row).collect())
}

/// Text as it is, all else as JSON.
fn value_text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        _ => value.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<String> {
        line.split(' ').map(str::to_owned).collect()
    }

    fn check_set(line: &str, node: Option<&str>, facts: &[(&str, &str)]) {
        let set = facts.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect();
        let expected = (node.map(str::to_owned), FactChange { set, unset: vec![] });
        assert_eq!(read_set(words(line)), Ok(expected), "for {line}");
    }

    fn check_unset(line: &str, node: Option<&str>, facts: &[&str]) {
        let unset = facts.iter().map(|key| (*key).into()).collect();
        let expected = (node.map(str::to_owned), FactChange { unset, ..FactChange::default() });
        assert_eq!(read_unset(words(line)), Ok(expected), "for {line}");
    }

    #[test]
    fn the_first_word_without_a_value_is_the_node() {
        check_set("storage_tier=True", None, &[("storage_tier", "True")]);
        check_set("i2 storage_tier=True", Some("i2"), &[("storage_tier", "True")]);
        check_set("i2 a=1 b=2", Some("i2"), &[("a", "1"), ("b", "2")]);
        check_set("a=1 b=2", None, &[("a", "1"), ("b", "2")]);
        check_set("a=", None, &[("a", "")]);
        check_set("a=b=c", None, &[("a", "b=c")]);
    }

    #[test]
    fn what_is_no_fact_is_a_usage_error() {
        let check = |line: &str, message: &str| {
            let failure = read_set(words(line)).unwrap_err();
            assert_eq!(
                failure,
                Failure::usage(message).or_help("as in `snapctl fact set i2 storage_tier=True`")
            );
        };
        check("i2", "there is no fact to set behind node `i2`");
        check("i2 a", "`a` is not of the form KEY=VALUE");
        check("a=1 i2", "`i2` is not of the form KEY=VALUE");
        check("=1", "`=1` is not of the form KEY=VALUE");
        assert_eq!(read_set(words("a=1 a=2")), Err(Failure::usage("fact `a` is given twice")));
    }

    #[test]
    fn of_several_words_to_unset_the_first_is_the_node() {
        check_unset("storage_tier", None, &["storage_tier"]);
        check_unset("i2 storage_tier", Some("i2"), &["storage_tier"]);
        check_unset("i2 a b", Some("i2"), &["a", "b"]);
        assert!(read_unset(words("i2 a=1")).is_err());
    }

    #[test]
    fn facts_are_listed_with_their_origin() {
        let fact = |name: &str, value, value_type: &str, source: &str| FactEntry {
            name: name.into(),
            value,
            value_type: value_type.into(),
            source: source.into(),
        };
        let facts = [
            fact("devices", serde_json::json!({"sda": {"size": 7}}), "map", "host"),
            fact("motd", "hi\nthere\u{1b}".into(), "text", "start"),
            fact("storage_tier", true.into(), "bool", "runtime"),
        ];
        let expected = "\
FACT          TYPE  SOURCE   VALUE
devices       map   host     {\"sda\":{\"size\":7}}
motd          text  start    hi\\nthere\\u{1b}
storage_tier  bool  runtime  true";
        assert_eq!(facts_text(&facts), expected);
    }
}
