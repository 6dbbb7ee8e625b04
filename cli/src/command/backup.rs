//! `snapctl backup` and `snapctl restore`: what people said, in a file.

use std::{
    fs::{self, OpenOptions},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use clap::Args;
use serde::Serialize;
use tribe_api::{
    BACKUP_FORMAT, BACKUP_VERSION, Backup, BackupEntry, Restore as Request, RestoreOutcome,
    Restored, client::ClientError,
};

use crate::{
    exit::Exit,
    failure::Failure,
    output::{self, table},
    session::Session,
};

/// Keep what people said in a file
///
/// Tribes, who is placed in them by hand, policies, and the plugins and tasks of tribes, as the node behind the
/// socket knows them, and what was asked of this node alone. One file of one node is enough for a cluster. Not
/// in it: keys, secrets, facts, and the files of plugins.
///
/// The file is JSON, for its owner alone (0600). One that exists is not overwritten.
#[derive(Debug, Args)]
pub(crate) struct Make {
    /// The file
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

/// Say again what a file of `snapctl backup` says
///
/// What is missing is created, on the node behind the socket and so in its cluster. What is there stays, and is told if
/// it differs. It may be repeated. Plugins of a tribe need their files as well: members take them from who
/// has them; if nobody does, `plugin load FILE --tribe TRIBE --replace` brings them back.
///
/// What snapd refuses does not stop the rest. The exit status is 4 if something differs or was refused.
#[derive(Debug, Args)]
pub(crate) struct Restore {
    /// The file
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Replace what differs; the description of a tribe stays
    #[arg(long)]
    replace: bool,
    /// Change nothing, and say what would be done
    #[arg(long)]
    dry_run: bool,
}

/// What became of one thing.
#[derive(Debug, Serialize)]
struct Row {
    what: String,
    outcome: Outcome,
    note: Option<String>,
}

/// What was done about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Outcome {
    Created,
    Same,
    Replaced,
    Differs,
    Refused,
}

impl From<RestoreOutcome> for Outcome {
    fn from(outcome: RestoreOutcome) -> Self {
        match outcome {
            RestoreOutcome::Created => Self::Created,
            RestoreOutcome::Same => Self::Same,
            RestoreOutcome::Replaced => Self::Replaced,
            RestoreOutcome::Differs => Self::Differs,
        }
    }
}

pub(crate) async fn make(make: Make, session: &Session) -> Result<Exit, Failure> {
    let backup = session.snapd.backup().await?;
    let text = output::json(serde_json::to_string_pretty(&backup))?;
    write(&make.file, &text).map_err(|error| {
        Failure::new(format!("cannot write `{}`: {error}", make.file.display()))
    })?;
    output::tell(&format!("kept {} things in `{}`", backup.entries.len(), make.file.display()));
    Ok(Exit::Success)
}

/// Writes a new file, all of it or none.
fn write(file: &Path, text: &str) -> io::Result<()> {
    let mut open = OpenOptions::new().write(true).create_new(true).mode(0o600).open(file)?;
    let done = writeln!(open, "{text}").and_then(|()| open.sync_all());
    if done.is_err() {
        fs::remove_file(file)?;
    }
    done
}

pub(crate) async fn restore(restore: Restore, session: &Session) -> Result<Exit, Failure> {
    let backup = read(&restore.file)?;
    let mut rows = Vec::new();
    for entry in backup.entries {
        let what = name_of(&entry);
        let request = Request { entry, replace: restore.replace, dry_run: restore.dry_run };
        let row = match session.snapd.restore(&request).await {
            Ok(Restored { outcome, note }) => Row { what, outcome: outcome.into(), note },
            Err(ClientError::Refused { status: 400 | 404 | 409, message, .. }) => {
                // The rest may well be said.
                Row { what, outcome: Outcome::Refused, note: Some(message) }
            }
            Err(error) => return Err(error.into()),
        };
        rows.push(row);
    }
    let shown = session.show(&rows, |rows| text(rows, restore.dry_run))?;
    let open = [Outcome::Differs, Outcome::Refused];
    let differs = rows.iter().any(|row| open.contains(&row.outcome));
    Ok(if differs { Exit::PartlyDone } else { shown })
}

fn read(file: &Path) -> Result<Backup, Failure> {
    let failed = |what: String| Failure::new(format!("`{}` {what}", file.display()));
    let text =
        fs::read_to_string(file).map_err(|error| failed(format!("cannot be read: {error}")))?;
    let header: serde_json::Value =
        serde_json::from_str(&text).map_err(|error| failed(format!("is no backup: {error}")))?;
    if header.get("format").and_then(|format| format.as_str()) != Some(BACKUP_FORMAT) {
        return Err(failed("is no backup".to_owned()).with_help("`snapctl backup FILE` makes one"));
    }
    match header.get("version").and_then(serde_json::Value::as_u64) {
        Some(version) if version <= u64::from(BACKUP_VERSION) => {}
        version => {
            let version = version.map_or("none".to_owned(), |version| version.to_string());
            let what =
                format!("is of version {version}, this snapctl reads up to {BACKUP_VERSION}");
            return Err(failed(what).with_help("use the snapctl that made it"));
        }
    }
    serde_json::from_str(&text).map_err(|error| failed(format!("is no backup: {error}")))
}

fn name_of(entry: &BackupEntry) -> String {
    match entry {
        BackupEntry::Tribe { name, .. } => format!("tribe `{name}`"),
        BackupEntry::Policy { name, .. } => format!("policy `{name}`"),
        BackupEntry::Placement { tribe, node, .. } => format!("node `{node}` in tribe `{tribe}`"),
        BackupEntry::Item { tribe: Some(tribe), kind, name, .. } => {
            format!("{kind} `{name}` of tribe `{tribe}`")
        }
        BackupEntry::Item { tribe: None, kind, name, .. } => {
            format!("{kind} `{name}` of this node")
        }
    }
}

/// What differs line by line, and how much of the rest.
fn text(rows: &[Row], dry_run: bool) -> String {
    let shown = rows.iter().filter(|row| row.outcome != Outcome::Same);
    let row = |row: &Row| {
        let outcome = match (row.outcome, dry_run) {
            (Outcome::Created, false) => "created",
            (Outcome::Created, true) => "to create",
            (Outcome::Replaced, false) => "replaced",
            (Outcome::Replaced, true) => "to replace",
            (Outcome::Differs, _) => "differs",
            (Outcome::Same, _) => "same",
            (Outcome::Refused, _) => "refused",
        };
        [outcome.to_owned(), row.what.clone(), row.note.clone().unwrap_or_default()]
    };
    let rows_of: Vec<_> = shown.map(row).collect();
    let same = rows.len() - rows_of.len();
    let count = format!("{same} of {} are there already", rows.len());
    if rows_of.is_empty() {
        count
    } else {
        format!("{}\n{count}", table(["OUTCOME", "WHAT", "NOTE"], rows_of))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(what: &str, outcome: Outcome, note: Option<&str>) -> Row {
        Row { what: what.to_owned(), outcome, note: note.map(str::to_owned) }
    }

    #[test]
    fn what_is_not_there_already_is_told_line_by_line() {
        let rows = [
            row("tribe `core`", Outcome::Same, None),
            row("policy `p`", Outcome::Differs, Some("it is `a == b` for tribe `core`")),
            row("task `cpu` of tribe `core`", Outcome::Created, None),
        ];
        let expected = "\
OUTCOME  WHAT                        NOTE
differs  policy `p`                  it is `a == b` for tribe `core`
created  task `cpu` of tribe `core`  -
1 of 3 are there already";
        assert_eq!(text(&rows, false), expected);
        assert!(text(&rows, true).contains("to create"));
    }
}
