//! `snapctl backup`: what people said, in a file.

use std::{
    fs::File,
    io::{self, Write},
    path::{Path, PathBuf},
};

use clap::Args;

use crate::{exit::Exit, failure::Failure, output, session::Session};

/// Keep what people said in a file
///
/// Tribes, who is placed in them by hand, policies, and the plugins and tasks of tribes, as the
/// node behind the socket knows them, and what was asked of this node alone. One file of one node
/// is enough for a cluster. Not in it: keys, secrets, facts, and the files of plugins.
///
/// The file is JSON, for its owner alone (0600). One that exists is not overwritten, and one that
/// cannot be written to its end is not left behind.
#[derive(Debug, Args)]
pub(crate) struct Backup {
    /// The file
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Even if the node has not met its cluster since it was started, and may know a part only
    #[arg(long)]
    force: bool,
}

pub(crate) async fn run(asked: Backup, session: &Session) -> Result<Exit, Failure> {
    let backup = session.snapd.backup(asked.force).await?;
    let text = output::json(serde_json::to_string_pretty(&backup))?;
    let file = &asked.file;
    write(file, &text).map_err(|error| unwritten(file, &error))?;
    output::tell(&format!("kept {} things in `{}`", backup.entries.len(), file.display()));
    Ok(Exit::Success)
}

fn unwritten(file: &Path, error: &io::Error) -> Failure {
    let file = file.display();
    match error.kind() {
        io::ErrorKind::AlreadyExists => {
            Failure::new(format!("`{file}` exists and is not overwritten"))
                .or_help("name another file, or remove this one first")
        }
        _ => Failure::new(format!("cannot write `{file}`: {error}")),
    }
}

/// Writes a new file, all of it or none: it has no name before it is on the disk.
fn write(file: &Path, text: &str) -> io::Result<()> {
    let parent = file.parent().filter(|parent| !parent.as_os_str().is_empty());
    let directory = parent.unwrap_or(Path::new("."));
    let entries = File::open(directory)?;
    // It is for its owner alone from the beginning.
    let mut whole = tempfile::Builder::new().prefix(".tribe-backup-").tempfile_in(directory)?;
    writeln!(whole.as_file_mut(), "{text}")?;
    whole.as_file().sync_all()?;
    whole.persist_noclobber(file).map_err(|error| error.error)?;
    entries.sync_all()
}
