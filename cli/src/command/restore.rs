//! `snapctl restore`: what people said, said again.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    fs::File,
    path::PathBuf,
    time::Duration,
};

use clap::Args;
use serde::Serialize;
use tokio::{
    sync::mpsc,
    task::{JoinHandle, spawn_blocking},
    time::Instant,
};
use tribe_api::{
    BackupEntry, Placement, Restore as Request, RestoreOutcome, Restored, client::ClientError,
};

use crate::{
    command::{forceable, kept},
    exit::Exit,
    failure::Failure,
    output::{self, blocks, remark, table},
    session::Session,
    signals::Signals,
};

/// Say again what a file of `snapctl backup` says
///
/// What is missing is created, on the node behind the socket and so in its cluster. What is there
/// stays, and is told if it differs. It may be repeated.
///
/// Plugins of a tribe need their files as well: members take them from who has them. If nobody
/// does, it is told, and `snapctl plugin load FILE --tribe TRIBE` brings them back.
///
/// What snapd refuses does not stop the rest. The exit status is 4 if something differs or was
/// refused. If it has to stop, as where snapd answers no more, or is interrupted, it says how far it
/// was, and some of what comes next may be done as well: repeat it.
#[derive(Debug, Args)]
pub(crate) struct Restore {
    /// The file; `-` reads stdin
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Replace what differs
    #[arg(long)]
    replace: bool,
    /// Do it even if a policy moves more than 3 members, and a fifth of all, out of its tribe, or
    /// if the node has not met its cluster since it was started
    #[arg(long)]
    force: bool,
    /// Change nothing, and say what would be done
    #[arg(long)]
    dry_run: bool,
}

/// What became of one thing.
#[derive(Debug, Serialize)]
struct Row {
    #[serde(flatten)]
    what: What,
    outcome: Outcome,
    note: Option<String>,
    detail: Option<String>,
    help: Option<String>,
}

/// What was said, without what it says.
#[derive(Debug, Serialize)]
#[serde(tag = "what", rename_all = "kebab-case")]
enum What {
    Tribe { name: String },
    Policy { name: String, tribe: String },
    Placement { node: String, tribe: String, placement: Placement },
    Item { kind: String, name: String, tribe: Option<String> },
}

/// What was done about it, in the order in which it is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Outcome {
    Created,
    WouldCreate,
    Replaced,
    WouldReplace,
    Same,
    Differs,
    Refused,
}

impl Outcome {
    fn new(outcome: RestoreOutcome, dry_run: bool) -> Self {
        match (outcome, dry_run) {
            (RestoreOutcome::Created, false) => Self::Created,
            (RestoreOutcome::Created, true) => Self::WouldCreate,
            (RestoreOutcome::Replaced, false) => Self::Replaced,
            (RestoreOutcome::Replaced, true) => Self::WouldReplace,
            (RestoreOutcome::Same, _) => Self::Same,
            (RestoreOutcome::Differs, _) => Self::Differs,
        }
    }

    fn as_str(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::WouldCreate => "to create",
            Self::Replaced => "replaced",
            Self::WouldReplace => "to replace",
            Self::Same => "same",
            Self::Differs => "differs",
            Self::Refused => "refused",
        }
    }
}

impl From<&BackupEntry> for What {
    fn from(entry: &BackupEntry) -> Self {
        match entry.clone() {
            BackupEntry::Tribe { name, .. } => Self::Tribe { name },
            BackupEntry::Policy { name, tribe, .. } => Self::Policy { name, tribe },
            BackupEntry::Placement { tribe, node, placement } => {
                Self::Placement { node, tribe, placement }
            }
            BackupEntry::Item { tribe, kind, name, .. } => Self::Item { kind, name, tribe },
        }
    }
}

/// How many things are asked for at a time: most of what each takes is the wait for a disk.
const AT_ONCE: usize = 8;
/// How often it is told how far it is.
const PROGRESS_EACH: Duration = Duration::from_secs(1);

pub(crate) async fn run(restore: Restore, session: &Session) -> Result<Exit, Failure> {
    let (file, total) = kept::open(&restore.file)?;
    let signals = Signals::listen()?;
    let mut answers = Answers::new(&restore, total);
    let ended = tokio::select! {
        biased;
        exit = signals.next() => Err(exit),
        read = ask(file, &mut answers, session) => Ok(read?),
    };
    match ended {
        Ok(Ok(())) => {}
        Ok(Err(error)) => {
            let file = restore.file.display();
            answers.stop(Failure::new(format!("`{file}` changed while it was read: {error}")));
        }
        Err(exit) => answers.stop(interrupted(exit, answers.rows.len(), total, restore.dry_run)),
    }
    let Answers { rows, end, .. } = answers;
    if rows.is_empty()
        && let Some(end) = end
    {
        return Err(end);
    }
    let shown = session.show(&rows, |rows| text(rows))?;
    match end {
        // What was done until then is told as well.
        Some(end) => Err(end),
        None if rows.iter().any(Row::is_open) => Ok(Exit::PartlyDone),
        None => Ok(shown),
    }
}

/// Asks for one thing after the other, to the end of the file or until it goes no further. Was the
/// file read well?
async fn ask(
    file: File,
    answers: &mut Answers<'_>,
    session: &Session,
) -> Result<serde_json::Result<()>, Failure> {
    let (sender, mut entries) = mpsc::channel(1);
    let reading =
        spawn_blocking(move || kept::entries(file, |entry| sender.blocking_send(entry).is_ok()));
    let mut asked = VecDeque::<Asked>::new();
    while answers.end.is_none() {
        let entry = entries.recv().await;
        let what = entry.as_ref().map(What::from);
        let waits = |asked: &VecDeque<Asked>| match &what {
            Some(what) => asked.len() >= AT_ONCE || !asked.iter().all(|it| it.what.is_apart(what)),
            None => !asked.is_empty(),
        };
        while waits(&asked)
            && let Some(next) = asked.pop_front()
        {
            answers.take(next, session).await;
        }
        let (Some(entry), Some(what)) = (entry, what) else { break };
        if answers.end.is_none() {
            asked.push_back(Asked::new(what, entry, answers.restore, session));
        }
    }
    // What was asked for by then is done.
    while let Some(next) = asked.pop_front() {
        answers.take(next, session).await;
    }
    drop(entries);
    reading.await.map_err(|error| Failure::new(error.to_string()))
}

/// A signal ended it: how far it was, and what to do.
fn interrupted(exit: Exit, done: usize, total: usize, dry_run: bool) -> Failure {
    let failure = Failure::ended(exit, format!("interrupted after {done} of {total} things"));
    failure.or_help(match dry_run {
        true => "nothing was changed",
        false => {
            "what is done stays, and a few of the next may be done as well: repeat it, what is there \
             already is passed over"
        }
    })
}

/// One thing, and the answer that is to come.
struct Asked {
    what: What,
    answer: JoinHandle<Result<Restored, ClientError>>,
}

impl Asked {
    fn new(what: What, entry: BackupEntry, restore: &Restore, session: &Session) -> Self {
        let Restore { replace, force, dry_run, .. } = *restore;
        let (snapd, request) = (session.snapd.clone(), Request { entry, replace, force, dry_run });
        Self { what, answer: tokio::spawn(async move { snapd.restore(&request).await }) }
    }
}

/// What came of all, in the order of the file.
struct Answers<'a> {
    restore: &'a Restore,
    rows: Vec<Row>,
    /// Tribes that are not there, and would be.
    coming: BTreeSet<String>,
    /// Why it goes no further.
    end: Option<Failure>,
    total: usize,
    /// When to tell how far it is.
    next: Instant,
}

impl<'a> Answers<'a> {
    fn new(restore: &'a Restore, total: usize) -> Self {
        let next = Instant::now() + PROGRESS_EACH;
        Self { restore, rows: Vec::new(), coming: BTreeSet::new(), end: None, total, next }
    }

    async fn take(&mut self, asked: Asked, session: &Session) {
        let Restore { force, dry_run, .. } = *self.restore;
        let Asked { what, answer } = asked;
        // Unforced, a node that has not met its cluster refuses at once.
        let row = match session.attend_if(force, answer).await {
            Ok(Ok(Restored { no_tribe: Some(why), .. })) if !self.is_coming(&what) => {
                Row { what, outcome: Outcome::Refused, note: Some(why), detail: None, help: None }
            }
            Ok(Ok(restored)) => done(what, restored, dry_run),
            Ok(Err(error)) if is_of_one(&error) => refused(what, &error),
            Ok(Err(error)) => return self.stop(error.into()),
            Err(error) => return self.stop(Failure::new(error.to_string())),
        };
        if matches!(row.outcome, Outcome::WouldCreate | Outcome::WouldReplace) {
            self.coming.extend(row.what.brings().map(str::to_owned));
        }
        self.rows.push(row);
        if Instant::now() >= self.next && output::is_watched() {
            output::tell(&format!("{} of {} things", self.rows.len(), self.total));
            self.next = Instant::now() + PROGRESS_EACH;
        }
    }

    /// The first reason counts.
    fn stop(&mut self, why: Failure) {
        self.end.get_or_insert(why);
    }

    /// Would the file have brought its tribe by then?
    fn is_coming(&self, what: &What) -> bool {
        what.tribe().is_some_and(|tribe| self.coming.contains(tribe))
    }
}

/// Is it refused for what it is, so that the rest may well be said?
fn is_of_one(error: &ClientError) -> bool {
    match error {
        ClientError::Refused { status: 401 | 403, .. } => false,
        ClientError::Refused { status, .. } => (400..500).contains(status),
        _ => false,
    }
}

fn done(what: What, restored: Restored, dry_run: bool) -> Row {
    let Restored { outcome, note, .. } = restored;
    let outcome = Outcome::new(outcome, dry_run);
    Row { what, outcome, note, detail: None, help: None }
}

fn refused(what: What, error: &ClientError) -> Row {
    Row {
        what,
        outcome: Outcome::Refused,
        note: Some(error.to_string()),
        detail: error.detail().map(str::to_owned),
        help: forceable(error).or(error.help()).map(str::to_owned),
    }
}

impl Row {
    /// Is it not as the file says?
    fn is_open(&self) -> bool {
        matches!(self.outcome, Outcome::Differs | Outcome::Refused)
    }

    /// Is there anything to know about it?
    fn is_news(&self) -> bool {
        self.outcome != Outcome::Same || self.note.is_some()
    }

    fn cells(&self) -> [String; 3] {
        let outcome = self.outcome.as_str().to_owned();
        [outcome, self.what.text(), self.note.clone().unwrap_or_default()]
    }

    /// What needs more than a line: the place of a mistake, and what to do about it.
    fn remark(&self) -> String {
        let help = self.help.as_ref().map(|help| format!("help: {help}"));
        let lines: Vec<_> =
            self.detail.iter().map(|detail| detail.trim_end().to_owned()).chain(help).collect();
        if lines.is_empty() { String::new() } else { remark(&self.what.text(), &lines.join("\n")) }
    }
}

impl What {
    /// Does it not matter which of the two is said first?
    fn is_apart(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Tribe { name }, Self::Tribe { name: other }) => name != other,
            (
                Self::Placement { node, tribe, .. },
                Self::Placement { node: other, tribe: of, .. },
            ) => (node, tribe) != (other, of),
            (
                Self::Item { kind, name, tribe },
                Self::Item { kind: other_kind, name: other, tribe: of },
            ) => (kind, name, tribe) != (other_kind, other, of),
            // How many a policy moves out of its tribe is judged by what was said before.
            _ => false,
        }
    }

    /// The tribe it is of.
    fn tribe(&self) -> Option<&str> {
        match self {
            Self::Placement { tribe, .. } => Some(tribe),
            Self::Item { tribe, .. } => tribe.as_deref(),
            Self::Tribe { .. } | Self::Policy { .. } => None,
        }
    }

    /// The tribe that is there once it is said.
    fn brings(&self) -> Option<&str> {
        match self {
            Self::Tribe { name: tribe } | Self::Policy { tribe, .. } => Some(tribe),
            Self::Placement { .. } | Self::Item { .. } => None,
        }
    }

    fn text(&self) -> String {
        match self {
            Self::Tribe { name } => format!("tribe `{name}`"),
            Self::Policy { name, .. } => format!("policy `{name}`"),
            Self::Placement { node, tribe, placement } => match placement {
                Placement::Joined => format!("node `{node}` in tribe `{tribe}`"),
                Placement::Left => format!("node `{node}` out of tribe `{tribe}`"),
                Placement::Automatic => format!("node `{node}` by the policies of tribe `{tribe}`"),
            },
            Self::Item { kind, name, tribe: Some(tribe) } => {
                format!("{kind} `{name}` of tribe `{tribe}`")
            }
            Self::Item { kind, name, tribe: None } => format!("{kind} `{name}` of this node"),
        }
    }
}

/// What there is to know line by line, and how much came to what.
fn text(rows: &[Row]) -> String {
    let news = || rows.iter().filter(|row| row.is_news());
    let cells: Vec<_> = news().map(Row::cells).collect();
    let mut first = counted(rows);
    if !cells.is_empty() {
        first = format!("{}\n{first}", table(["OUTCOME", "WHAT", "NOTE"], cells));
    }
    blocks([first].into_iter().chain(news().map(Row::remark)))
}

/// As in `3 things: 2 created, 1 there already`.
fn counted(rows: &[Row]) -> String {
    let mut counts = BTreeMap::<Outcome, usize>::new();
    for row in rows {
        *counts.entry(row.outcome).or_default() += 1;
    }
    let counts = counts.into_iter().map(|(outcome, count)| {
        let what = match outcome {
            Outcome::Same => "there already",
            Outcome::Differs if count != 1 => "differ",
            _ => outcome.as_str(),
        };
        format!("{count} {what}")
    });
    let things =
        if rows.len() == 1 { "1 thing".to_owned() } else { format!("{} things", rows.len()) };
    let counts = counts.collect::<Vec<_>>().join(", ");
    if counts.is_empty() { things } else { format!("{things}: {counts}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(what: What, outcome: Outcome, note: Option<&str>) -> Row {
        Row { what, outcome, note: note.map(str::to_owned), detail: None, help: None }
    }

    fn policy() -> What {
        What::Policy { name: "p".into(), tribe: "core".into() }
    }

    #[test]
    fn what_is_not_there_already_is_told_line_by_line() {
        let item = |kind: &str, name: &str| What::Item {
            kind: kind.into(),
            name: name.into(),
            tribe: Some("core".into()),
        };
        let refused = Row {
            detail: Some("error[P005]: `=`\n  {{a}} =\n        ^\n".into()),
            help: Some("use `==`".into()),
            ..row(policy(), Outcome::Refused, Some("`=` is not an operator"))
        };
        let rows = [
            row(What::Tribe { name: "core".into() }, Outcome::Same, None),
            refused,
            row(item("task", "cpu"), Outcome::Created, None),
            row(item("plugin", "rand"), Outcome::Same, Some("no living node holds its file")),
        ];
        let expected = "\
OUTCOME  WHAT                           NOTE
refused  policy `p`                     `=` is not an operator
created  task `cpu` of tribe `core`     -
same     plugin `rand` of tribe `core`  no living node holds its file
4 things: 1 created, 2 there already, 1 refused

policy `p`:
  error[P005]: `=`
    {{a}} =
          ^
  help: use `==`";
        assert_eq!(text(&rows), expected);
    }

    #[test]
    fn what_came_of_all_is_counted() {
        let check = |outcomes: &[Outcome], expected: &str| {
            let rows: Vec<_> =
                outcomes.iter().map(|outcome| row(policy(), *outcome, None)).collect();
            assert_eq!(counted(&rows), expected);
        };
        check(&[], "0 things");
        check(&[Outcome::Same], "1 thing: 1 there already");
        check(&[Outcome::Same, Outcome::Same], "2 things: 2 there already");
        check(
            &[Outcome::Differs, Outcome::WouldCreate, Outcome::WouldReplace, Outcome::WouldCreate],
            "4 things: 2 to create, 1 to replace, 1 differs",
        );
        check(&[Outcome::Differs, Outcome::Differs], "2 things: 2 differ");
    }

    #[test]
    fn machines_get_names_and_no_prose() {
        let json = serde_json::to_value(row(policy(), Outcome::Differs, Some("x"))).unwrap();
        let expected = serde_json::json!({"what": "policy", "name": "p", "tribe": "core",
            "outcome": "differs", "note": "x", "detail": null, "help": null});
        assert_eq!(json, expected);
    }
}
