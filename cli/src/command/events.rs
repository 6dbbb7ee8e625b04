//! `snapctl events`: what happens, as it happens.

use std::time::Duration;

use clap::Args;
use serde_json::Value;
use tribe_api::Event;

use crate::{
    args::{Format, Seconds},
    command::name,
    exit::Exit,
    failure::Failure,
    output, sanitize,
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

/// Print what happens in the cluster from now on
///
/// One line for each event: revision, kind, subject and body. With `-o json` each line is a JSON object.
/// Without `--follow` it prints the next event, or as many as `--count` says, and ends:
///
///   snapctl events --follow
///   snapctl events --kind tribe-entered --kind tribe-exited --timeout 30
///
/// Kinds: member-joined, member-left, fact-changed, membership-changed, tribe-created, tribe-deleted,
/// placement-changed, policy-changed, policy-deleted, item-changed, item-removed, offers-changed,
/// tribe-entered, tribe-exited, conflict, name-conflict, key-installed, key-used, key-removed, synced,
/// missed.
///
/// The exit status is 5 if snapd goes away.
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
    #[arg(long, value_name = "SECONDS")]
    timeout: Option<Seconds>,
}

pub(crate) async fn run(events: Events, session: &Session) -> Result<Exit, Failure> {
    for kind in &events.kinds {
        if let Some(warning) = unknown_kind(kind) {
            output::tell(&warning);
        }
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
            return Err(Failure::unreachable("snapd has ended the stream of events"));
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
        body => sanitize::json(&body.to_string()),
    };
    let subject =
        if event.subject.is_empty() { "-".into() } else { sanitize::line(&event.subject) };
    Ok(format!("{}  {}  {subject}  {body}", event.rev, sanitize::line(&event.kind)))
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
    Some(format!(
        "warning: `{}` is no kind of event that snapctl knows{near}",
        sanitize::line(kind)
    ))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    fn event(subject: &str, body: Value) -> Event {
        Event { rev: 12, kind: "member-joined".into(), subject: subject.into(), body }
    }

    #[test]
    fn an_event_is_one_line() {
        let check = |event: &Event, format, expected| {
            assert_eq!(event_text(event, format).unwrap(), expected);
        };
        let joined = event("i\n2", serde_json::json!({"id": "\u{202e}\n"}));
        check(&joined, Format::Table, r#"12  member-joined  i\n2  {"id":"\u202e\n"}"#);
        check(
            &joined,
            Format::Json,
            r#"{"rev":12,"kind":"member-joined","subject":"i\n2","body":{"id":"\u202e\n"}}"#,
        );
        check(&event("", Value::Null), Format::Table, "12  member-joined  -  {}");
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
                "warning: `member-joind` is no kind of event that snapctl knows, did you mean `member-joined`?",
            ),
        );
        check("solstice", Some("warning: `solstice` is no kind of event that snapctl knows"));
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
