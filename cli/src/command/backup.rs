//! `snapctl backup`: what people said, in a file.

use std::{
    fmt::Display,
    fs::File,
    io::{self, Seek, Write},
    path::{Path, PathBuf},
};

use clap::Args;
use tempfile::NamedTempFile;
use tokio::task::yield_now;
use tribe_api::client::Download;

use crate::{
    command::kept, exit::Exit, failure::Failure, output, sanitize, session::Session,
    signals::Signals,
};

/// Keep what people said in a file
///
/// Tribes, who is placed in them by hand, policies, and the plugins and tasks of tribes, as the
/// node behind the socket knows them, and what was asked of this node alone. One file of one node
/// is enough for a cluster. Not in it: keys, secrets, facts, and the files of plugins.
///
/// The file is JSON, for its owner alone (0600). One that exists is not overwritten, and one that
/// cannot be written to its end, or is interrupted before, is not left behind. To stdout nothing
/// is written before all of it was told.
#[derive(Debug, Args)]
pub(crate) struct Backup {
    /// The file; `-` writes to stdout
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Even if the node has not met its cluster since it was started, and may know a part only
    #[arg(long)]
    force: bool,
}

pub(crate) async fn run(asked: Backup, session: &Session) -> Result<Exit, Failure> {
    let file = &asked.file;
    if file == Path::new(kept::DASH) {
        return hand_on(asked.force, session).await;
    }
    let signals = Signals::listen()?;
    tokio::select! {
        biased;
        exit = signals.next() => {
            let message = format!("interrupted, `{}` is not written", file.display());
            Err(Failure::ended(exit, message))
        }
        // Dropped by the other, it takes its file along.
        done = keep(file, asked.force, session) => done,
    }
}

/// Said of a backup that was forced.
const ALONE: &str = "\
warning: this node had not met its cluster: the backup holds what it alone knew, maybe nothing
help: `snapctl tribe status` says what keeps it";

async fn keep(file: &Path, force: bool, session: &Session) -> Result<Exit, Failure> {
    let failed = |error: io::Error| unwritten(file, &error);
    let (mut whole, directory) = begin(file).map_err(failed)?;
    let told = fill(whole.as_file_mut(), force, session, failed).await?;
    // Of a signal that came meanwhile nothing was heard yet.
    yield_now().await;
    end(whole, file, &directory).map_err(failed)?;
    told.tell(&format!("kept {} things in `{}`", told.count, file.display()));
    Ok(Exit::Success)
}

/// Writes it to stdout, once it is known to be whole. Nothing is left behind by a signal.
async fn hand_on(force: bool, session: &Session) -> Result<Exit, Failure> {
    let failed = |error: io::Error| Failure::new(format!("cannot write a temporary file: {error}"));
    let mut whole = tempfile::tempfile().map_err(failed)?;
    let told = fill(&mut whole, force, session, failed).await?;
    whole.rewind().map_err(failed)?;
    let mut stdout = io::stdout().lock();
    let written = io::copy(&mut whole, &mut stdout).and_then(|_| stdout.flush());
    written.map_err(|error| Failure::stdout(&error))?;
    told.tell(&format!("wrote {} things to stdout", told.count));
    Ok(Exit::Success)
}

/// What was told.
struct Filled {
    count: usize,
    /// By a node that had not met its cluster.
    alone: bool,
}

impl Filled {
    fn tell(&self, done: &str) {
        output::tell(done);
        if self.alone {
            output::tell(ALONE);
        }
    }
}

/// Has snapd tell a backup into a file, and counts what is in it.
async fn fill(
    whole: &mut File,
    force: bool,
    session: &Session,
    failed: impl Fn(io::Error) -> Failure,
) -> Result<Filled, Failure> {
    // It may meet its cluster while it tells what it knew before.
    let alone = force && session.is_unsynced().await;
    let mut told = Told { download: session.snapd.backup(force).await?, rest: Vec::new() };
    while let Some(text) = told.next().await? {
        whole.write_all(text.as_bytes()).map_err(&failed)?;
    }
    whole.rewind().map_err(failed)?;
    Ok(Filled { count: kept::count(&*whole).map_err(no_backup)?, alone })
}

fn unwritten(file: &Path, error: &io::Error) -> Failure {
    let name = file.display();
    let parent = parent(file).display();
    match error.kind() {
        io::ErrorKind::AlreadyExists => exists(file),
        io::ErrorKind::IsADirectory => in_directory(format!("`{name}` names a directory"), file),
        io::ErrorKind::NotFound => {
            let quoted = parent.to_string().replace('\'', r"'\''");
            Failure::new(format!("there is no directory `{parent}`"))
                .or_help(format!("make it first: `mkdir -p '{quoted}'`"))
        }
        io::ErrorKind::NotADirectory => Failure::new(format!("`{parent}` is no directory"))
            .or_help("name a file in a directory"),
        _ => Failure::new(format!("cannot write `{name}`: {error}")),
    }
}

/// Nothing is written over what is there, whatever it is.
fn exists(file: &Path) -> Failure {
    let name = file.display();
    match file.metadata() {
        Ok(it) if it.is_dir() => in_directory(format!("`{name}` is a directory"), file),
        Ok(it) if !it.is_file() => {
            Failure::new(format!("`{name}` is no file, and a backup is written to a new one"))
                .or_help("name a file that is not there yet")
        }
        _ => Failure::new(format!("`{name}` exists and is not overwritten"))
            .or_help("name another file, or remove this one first"),
    }
}

fn in_directory(message: String, directory: &Path) -> Failure {
    let file = directory.join("backup.json");
    Failure::new(message).or_help(format!("name a file in it, such as `{}`", file.display()))
}

/// The directory of a file.
fn parent(file: &Path) -> &Path {
    let parent = file.parent().filter(|parent| !parent.as_os_str().is_empty());
    parent.unwrap_or(Path::new("."))
}

/// What snapd tells, harmless for a terminal.
struct Told {
    download: Download,
    /// The begin of a character whose end is yet to come.
    rest: Vec<u8>,
}

impl Told {
    async fn next(&mut self) -> Result<Option<String>, Failure> {
        let Some(bytes) = self.download.next().await? else { return Ok(None) };
        self.rest.extend_from_slice(&bytes);
        let whole = match std::str::from_utf8(&self.rest) {
            Err(error) if error.error_len().is_some() => return Err(no_backup(error)),
            Err(error) => error.valid_up_to(),
            Ok(text) => text.len(),
        };
        let text = self.rest.drain(..whole).collect();
        let text = String::from_utf8(text).map_err(no_backup)?;
        Ok(Some(sanitize::json(&text)))
    }
}

fn no_backup(error: impl Display) -> Failure {
    let help = "compare the versions of client and daemon with `snapctl version`";
    Failure::new(format!("what snapd tells is no backup: {error}")).with_help(help)
}

/// A new file beside the one to be: it has no name of its own before all of it is on the disk.
fn begin(file: &Path) -> io::Result<(NamedTempFile, File)> {
    // To name another one is easier now than after all of it was told.
    if file.symlink_metadata().is_ok() {
        return Err(io::ErrorKind::AlreadyExists.into());
    }
    if file.as_os_str().as_encoded_bytes().ends_with(b"/") {
        return Err(io::ErrorKind::IsADirectory.into());
    }
    let directory = parent(file);
    let entries = File::open(directory)?;
    // It is for its owner alone from the beginning.
    let whole = tempfile::Builder::new().prefix(".tribe-backup-").tempfile_in(directory)?;
    Ok((whole, entries))
}

fn end(whole: NamedTempFile, file: &Path, directory: &File) -> io::Result<()> {
    whole.as_file().sync_all()?;
    whole.persist_noclobber(file).map_err(|error| error.error)?;
    directory.sync_all()
}
