//! `snapctl events`: what happens, as it happens.

use std::time::Duration;

use clap::Args;
use serde_json::Value;
use tribe_api::Event;

use crate::{
    args::{Format, Seconds, timeout},
    command::name,
    exit::Exit,
    failure::Failure,
    output::{self, words},
    sanitize,
    session::Session,
};

/// The kinds of a snapd of this version. Newer ones may have more.
const KINDS: &[&str] = &[
    "member-joined",
    "member-left",
    "fact-changed",
    "membership-changed",
    "tribe-created",
    "tribe-deleted",
    "placement-changed",
    "policy-changed",
    "policy-deleted",
    "item-changed",
    "item-removed",
    "offers-changed",
    "tribe-entered",
    "tribe-exited",
    "conflict",
    "name-conflict",
    "key-installed",
    "key-used",
    "key-removed",
    "synced",
    MISSED,
];

const MISSED: &str = "missed";

/// Facts that stand in one line.
const MOST_FACTS: usize = 8;

/// Print what happens in the cluster from now on
///
/// One line for each event: when the node behind the socket told it, revision,
/// kind, subject and body, in which all the facts of a node, as of one that
/// joined, are only counted. With `-o json` each line is a JSON object with all of
/// it. Without `--follow` it prints the next event, or as many as `--count` says,
/// and ends:
///
///   snapctl events --follow
///   snapctl events --kind tribe-entered --kind tribe-exited --timeout 30
///
/// Kinds: member-joined, member-left, fact-changed, membership-changed,
/// tribe-created, tribe-deleted, placement-changed, policy-changed,
/// policy-deleted, item-changed, item-removed, offers-changed, tribe-entered,
/// tribe-exited, conflict, name-conflict, key-installed, key-used, key-removed,
/// synced, missed.
///
/// The exit status is 5 if snapd goes away, whatever --timeout and --count say.
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Events {
    /// Print events until interrupted
    #[arg(long, short, conflicts_with = "count")]
    follow: bool,
    /// End after this many events
    #[arg(
        long,
        value_name = "N",
        default_value_t = 1,
        value_parser = clap::value_parser!(u64).range(1..)
    )]
    count: u64,
    /// Print events of this kind only; may be given several times
    #[arg(long = "kind", value_name = "KIND", value_parser = name())]
    kinds: Vec<String>,
    /// End after this time; with exit status 3 unless --follow, for fewer than --count events came
    #[arg(
        long,
        value_name = "SECONDS",
        value_parser = timeout,
        allow_negative_numbers = true
    )]
    timeout: Option<Seconds>,
}

pub(crate) async fn run(events: Events, session: &Session) -> Result<Exit, Failure> {
    let unknown: Vec<_> = events.kinds.iter().filter_map(|kind| unknown_kind(kind)).collect();
    if let [first, ..] = unknown.as_slice()
        && unknown.len() == events.kinds.len()
    {
        // Nothing would ever come.
        let help = format!("the kinds are {}", KINDS.join(", "));
        return Err(Failure::usage(first).or_help(help));
    }
    for text in unknown {
        output::tell(&sanitize::line(&format!("warning: {text}")));
    }
    let Some(Seconds(time)) = events.timeout else { return print(&events, session).await };
    match tokio::time::timeout(time, print(&events, session)).await {
        Ok(result) => result,
        Err(_) if events.follow => Ok(Exit::Success),
        Err(_) => Ok(too_few(time)),
    }
}

async fn print(events: &Events, session: &Session) -> Result<Exit, Failure> {
    let mut stream = session.snapd.events().await?;
    let mut left = events.count;
    while events.follow || left > 0 {
        let Some(event) = stream.next().await? else {
            return Err(Failure::closed(&session.snapd.address()));
        };
        if events.kinds.is_empty() || events.kinds.contains(&event.kind) {
            output::data(&event_text(&event, session.format)?)?;
            left = left.saturating_sub(1);
        } else if event.kind == MISSED {
            // Not asked for, but what was asked for may have been among them.
            output::tell(&format!(
                "warning: missed events: {}",
                sanitize::line(&event.body.to_string())
            ));
        }
    }
    Ok(Exit::Success)
}

fn too_few(time: Duration) -> Exit {
    output::tell(&format!("no more events within {} s", time.as_secs_f64()));
    Exit::NothingMatched
}

fn event_text(event: &Event, format: Format) -> Result<String, Failure> {
    if format == Format::Json {
        return output::json(serde_json::to_string(event));
    }
    let body = match &event.body {
        Value::Null => "{}".into(),
        body => sanitize::json(&short(body).to_string()),
    };
    let Event { time, rev, kind, subject, .. } = event;
    let line = words([time.clone(), rev.to_string(), kind.clone(), subject.clone()]);
    Ok(format!("{line}  {body}"))
}

/// What is told of an event to people: of dozens of facts, as of a node that joined, the number.
fn short(body: &Value) -> Value {
    let mut body = body.clone();
    if let Some(facts) = body.get_mut("set")
        && let Some(count) = facts.as_object().map(serde_json::Map::len)
        && count > MOST_FACTS
    {
        *facts = format!("{count} facts").into();
    }
    body
}

fn unknown_kind(kind: &str) -> Option<String> {
    if KINDS.contains(&kind) {
        return None;
    }
    let near = KINDS
        .iter()
        .map(|known| (strsim::damerau_levenshtein(kind, known), known))
        .min()
        .filter(|(distance, known)| *distance <= known.len() / 3)
        .map_or_else(String::new, |(_, known)| format!(", did you mean `{known}`?"));
    Some(format!("`{kind}` is no kind of event that snapctl knows{near}"))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    fn event(subject: &str, body: Value) -> Event {
        let time = "2026-11-26T13:19:18.007Z".into();
        Event { time, rev: 12, kind: "member-joined".into(), subject: subject.into(), body }
    }

    #[test]
    fn an_event_is_one_line() {
        let check = |event: &Event, format, expected| {
            assert_eq!(event_text(event, format).unwrap(), expected);
        };
        let body = serde_json::json!({"id": "\u{202e}\n"});
        let joined = event("i\n2", body);
        check(
            &joined,
            Format::Table,
            r#"2026-11-26T13:19:18.007Z  12  member-joined  i\n2  {"id":"\u202e\n"}"#,
        );
        check(
            &joined,
            Format::Json,
            concat!(
                r#"{"time":"2026-11-26T13:19:18.007Z","rev":12,"kind":"member-joined","subject":"i\n2","#,
                r#""body":{"id":"\u202e\n"}}"#,
            ),
        );
        let old = Event { time: String::new(), ..event("", Value::Null) };
        check(&old, Format::Table, "-  12  member-joined  -  {}");
    }

    #[test]
    fn facts_are_counted_for_people_if_there_are_many() {
        let check = |count: usize, expected: &str| {
            let set: serde_json::Map<_, _> =
                (0..count).map(|n| (n.to_string(), n.into())).collect();
            let changed = event("i1", serde_json::json!({"set": set, "unset": []}));
            let text = event_text(&changed, Format::Table).unwrap();
            assert!(text.ends_with(expected), "{text}");
        };
        check(2, r#"  i1  {"set":{"0":0,"1":1},"unset":[]}"#);
        check(61, r#"  i1  {"set":"61 facts","unset":[]}"#);
    }

    #[test]
    fn a_mistyped_kind_is_warned_of() {
        let check = |kind, expected: Option<&str>| {
            assert_eq!(unknown_kind(kind).as_deref(), expected);
        };
        check("synced", None);
        check(
            "member-joind",
            Some(
                "`member-joind` is no kind of event that snapctl knows, did you mean `member-joined`?",
            ),
        );
        check("solstice", Some("`solstice` is no kind of event that snapctl knows"));
    }

    #[test]
    fn the_help_names_every_kind() {
        let mut snapctl = crate::args::Cli::command();
        let help = snapctl.find_subcommand_mut("events").unwrap().render_long_help().to_string();
        for kind in KINDS {
            assert!(help.contains(kind), "{kind} in {help}");
        }
    }
}
