//! `snapd keygen`: a fresh key for a cluster.
//!
//! Invariant: standard output gets the key and nothing else, so that it can be piped; standard error
//! gets its fingerprint, which is no secret.

use std::{
    fs::OpenOptions,
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

use anyhow::Context;
use tribe::Key;
use zeroize::Zeroizing;

use crate::{
    args::KeygenArgs,
    failure::{Exit, Failure},
};

/// Makes a key and hands it out.
pub(crate) fn run(args: &KeygenArgs) -> Result<(), Failure> {
    let key = tribe::generate_key().context("cannot make a key")?;
    match &args.out {
        Some(path) => write_file(path, &key)?,
        None => write_line(&mut io::stdout().lock(), &key).context("cannot write the key")?,
    }
    let note = match &args.out {
        Some(path) => format!("key {} written to {}\n", key.id(), path.display()),
        None => format!("key {}\n", key.id()),
    };
    // The key is out; whether anyone reads its fingerprint does not matter.
    let _ = io::stderr().write_all(note.as_bytes());
    Ok(())
}

/// Writes a key to a file that only its owner may read and that did not exist before.
pub(crate) fn write_file(path: &Path, key: &Key) -> Result<(), Failure> {
    let cannot = |error: io::Error| match error.kind() {
        io::ErrorKind::AlreadyExists => Failure::new(
            Exit::Failed,
            format_args!("`{}` exists and is not overwritten", path.display()),
        )
        .help("remove it first, if no node uses its key any more"),
        kind => {
            let message = format!("cannot write `{}`: {error}", path.display());
            let failure = Failure::new(Exit::Failed, message);
            match (kind, path.parent()) {
                (io::ErrorKind::NotFound, Some(parent)) => failure
                    .help(format_args!("make its directory: `mkdir -p {}`", parent.display())),
                (io::ErrorKind::PermissionDenied, _) => {
                    failure.help("do it as a user who may write there, such as root")
                }
                _ => failure,
            }
        }
    };
    let mut file =
        OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(cannot)?;
    write_line(&mut file, key).and_then(|()| file.sync_all()).map_err(cannot)
}

fn write_line(out: &mut impl Write, key: &Key) -> io::Result<()> {
    let mut text = Zeroizing::new(key.to_base64());
    text.push('\n');
    out.write_all(text.as_bytes())?;
    out.flush()
}
