//! `snapctl key`: what the cluster seals with.

mod rotate;

use std::{
    fs::File,
    io::{self, Read as _},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    time::Duration,
};

use clap::Subcommand;
use tribe::{Key, limits::KEY_FILE_BYTES};
use tribe_api::{ChangeKey, InstallKey, KeyInfo, KeyMember, Keys};

use crate::{
    command::name,
    exit::Exit,
    failure::Failure,
    output::{self, list, table},
    sanitize,
    session::Session,
};

/// Exchange the key of the cluster
///
/// A key is named by its fingerprint, and its bytes are never shown. A new key goes three ways: it is installed
/// on all nodes, then used by all, then the old one is removed. `key rotate` does all of it.
///
/// A node that was away is let in with a removed key for 7 days, and handed the new one. Its key
/// file stays as it is: replace it with the one that was given to `key rotate --key-file`. This
/// does not keep out a thief who has the key: SECURITY.md says what does.
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// List the keys, and the nodes that lack one
    List,
    /// Show which keys each node holds
    Status,
    /// Have all nodes hold a key, which does not seal yet
    Install {
        /// Key file, as `snapd keygen` makes it; `-` reads stdin
        #[arg(default_value = "-")]
        file: PathBuf,
    },
    /// Have all nodes seal with a key that is installed
    Use {
        /// Fingerprint of the key
        #[arg(value_parser = name())]
        id: String,
        /// Do it even if there are nodes that do not hold the key yet
        #[arg(long)]
        force: bool,
    },
    /// Have no node open what is sealed with a key
    Remove {
        /// Fingerprint of the key
        #[arg(value_parser = name())]
        id: String,
        /// Do it even if there are nodes that do not hold the key that seals yet
        #[arg(long)]
        force: bool,
    },
    /// Exchange the key for a new one: install it, use it, remove the old one
    ///
    /// It waits until all nodes hold the new key before it is used, and until all seal with it before the old one
    /// is removed. It may be broken off at any point: run again, on any node, it goes on from there.
    ///
    /// Of two at one time one wins. The other ends with status 1, and says which key is in use.
    ///
    /// Make the new key with `snapd keygen --out FILE`, and put that file in the place of the old
    /// one on every host afterwards. Without --key-file the new key is in no file: a node that is added
    /// gets in with the old key file for 7 days, and then not until the key is exchanged again.
    Rotate {
        /// File with the new key, as `snapd keygen` makes it; `-` reads stdin
        #[arg(long, value_name = "FILE")]
        key_file: Option<PathBuf>,
        /// Go on without nodes that are down: they are handed the key if they are back within 7 days
        #[arg(long)]
        force: bool,
        /// Give up after so many seconds of waiting for nodes
        #[arg(long, value_name = "SECONDS", default_value_t = 120)]
        within: u32,
    },
}

/// What a mode says of others than the owner.
const OTHERS: u32 = 0o077;

pub(crate) async fn run(verb: Verb, session: &Session) -> Result<Exit, Failure> {
    match verb {
        Verb::List => show(session, keys_text).await,
        Verb::Status => show(session, members_text).await,
        Verb::Install { file } => {
            let key = InstallKey { key: read_key(&file)?.to_base64().to_string() };
            let reply = session.attend(session.snapd.install_key(&key, session.wait)).await?;
            session.written(&reply, &reply.missing, &format!("installed key `{}`", reply.id))
        }
        Verb::Use { id, force } => {
            let reply = session.snapd.use_key(&id, ChangeKey { force }, session.wait);
            let reply = session.attend(reply).await?;
            session.written(&reply, &reply.missing, &format!("key `{}` seals", reply.id))
        }
        Verb::Remove { id, force } => {
            let reply = session.snapd.remove_key(&id, ChangeKey { force }, session.wait);
            let reply = session.attend(reply).await?;
            session.written(&reply, &reply.missing, &format!("removed key `{}`", reply.id))
        }
        Verb::Rotate { key_file, force, within } => {
            let mut begun = None;
            if let Some(file) = &key_file {
                let new = read_key(file)?;
                check_new(&session.snapd.keys().await?, &new.id().to_string(), file)?;
                let key = InstallKey { key: new.to_base64().to_string() };
                let reply = session.attend(session.snapd.install_key(&key, session.wait)).await?;
                output::tell(&format!("installed key `{}`", sanitize::line(&reply.id)));
                begun = Some(rotate::New { id: reply.id, file });
            }
            rotate::rotate(session, begun, force, Duration::from_secs(within.into())).await
        }
    }
}

/// Shows the keys, and tells of an exchange that is not at its end.
async fn show(session: &Session, text: impl FnOnce(&Keys) -> String) -> Result<Exit, Failure> {
    let keys = session.snapd.keys().await?;
    let exit = session.show(&keys, text)?;
    if let Some(open) = open_text(&keys) {
        output::tell(&sanitize::block(&open));
    }
    Ok(exit)
}

/// That an exchange is not at its end, and how it gets there.
fn open_text(keys: &Keys) -> Option<String> {
    let new = keys.exchange.as_ref()?;
    let installed = keys.keys.iter().any(|key| key.id == *new && key.phase == "installed");
    // Once it seals there is no way back.
    let (how_far, undo) = match installed {
        true => ("does not seal yet", format!("; `snapctl key remove {new}` gives it up")),
        false => ("seals, and others are not removed yet", String::new()),
    };
    Some(format!(
        "note: an exchange of keys is open: the new key `{new}` {how_far}\n\
         help: unless someone is at it, `snapctl key rotate` brings it to its end, on any node, with \
         --force without nodes that are down{undo}"
    ))
}

/// Refuses a key to which no exchange leads: one that seals already, or gives way to another. One
/// that the cluster has because an exchange for it was broken off is the newest of several.
fn check_new(keys: &Keys, id: &str, file: &Path) -> Result<(), Failure> {
    let left = || keys.keys.iter().filter(|key| key.phase != "removed");
    let Some(key) = left().find(|key| key.id == id) else { return Ok(()) };
    let seals = key.phase == "in-use";
    let mut others = left().filter(|other| other.id != id).peekable();
    let is_new = match key.written_ms {
        // It is in key files alone: that it is installed is said now.
        None => !seals,
        Some(_) => others.peek().is_some() && others.all(|other| other.written_ms < key.written_ms),
    };
    if is_new {
        return Ok(());
    }
    let what = if seals { "seals already" } else { "gives way to a newer one" };
    let message = format!("key `{id}` of `{}` {what}, it cannot be the new key", file.display());
    Err(Failure::new(message).or_help("make a new one with `snapd keygen --out FILE`"))
}

fn names(nodes: &[String]) -> String {
    const SHOWN: usize = 8;
    let mut shown = nodes.iter().take(SHOWN).cloned().collect::<Vec<_>>().join(", ");
    if nodes.len() > SHOWN {
        shown += ", ...";
    }
    shown
}

/// The one key of a file. It goes to snapd and nowhere else.
fn read_key(file: &Path) -> Result<Key, Failure> {
    let fail = |error: io::Error| {
        Failure::new(format!("cannot read key file `{}`: {error}", file.display()))
    };
    let mut text = String::new();
    if file == Path::new("-") {
        io::stdin().take(KEY_FILE_BYTES).read_to_string(&mut text).map_err(fail)?;
    } else {
        let opened = File::open(file).map_err(fail)?;
        let metadata = opened.metadata().map_err(fail)?;
        let mode = metadata.permissions().mode() & 0o7777;
        if metadata.is_file() && mode & OTHERS != 0 {
            let file = file.display();
            let message = format!("key file `{file}` has mode {mode:04o}, so others can use it");
            return Err(Failure::new(message).or_help(format!("run `chmod 600 {file}`")));
        }
        opened.take(KEY_FILE_BYTES).read_to_string(&mut text).map_err(fail)?;
    }
    let lines = text.lines().map(|line| line.split('#').next().unwrap_or_default().trim());
    let mut keys = lines.filter(|line| !line.is_empty());
    let Some(first) = keys.next() else {
        return Err(Failure::new(format!("there is no key in `{}`", file.display()))
            .or_help("`snapd keygen` makes one"));
    };
    let key = Key::parse(first).map_err(|error| {
        Failure::new(error.to_string()).in_file(file).or_help("`snapd keygen --out FILE` makes one")
    })?;
    if keys.next().is_some() {
        let message = format!("there is more than one key in `{}`", file.display());
        return Err(Failure::new(message).or_help("install them one by one"));
    }
    Ok(key)
}

fn keys_text(keys: &Keys) -> String {
    let row = |key: &KeyInfo| {
        let lacking = if key.phase == "removed" { String::new() } else { names(&key.lacking) };
        [key.id.clone(), key.phase.clone(), key.holders.len().to_string(), lacking]
    };
    table(["KEY", "PHASE", "HELD BY", "NOT BY"], keys.keys.iter().map(row).collect())
}

fn members_text(keys: &Keys) -> String {
    let row = |member: &KeyMember| {
        let state = if member.alive { "alive" } else { "down" };
        let held = member.keys.as_ref().map_or_else(|| "not told".to_owned(), list);
        [member.node.clone(), state.to_owned(), held]
    };
    table(["NODE", "STATE", "KEYS"], keys.members.iter().map(row).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(super) fn keys() -> Keys {
        let key = |id: &str, phase: &str, holders: &[&str], lacking: &[&str]| KeyInfo {
            id: id.into(),
            phase: phase.into(),
            held: true,
            written_ms: None,
            holders: holders.iter().map(ToString::to_string).collect(),
            lacking: lacking.iter().map(ToString::to_string).collect(),
        };
        let member = |node: &str, alive, keys: Option<&[&str]>| KeyMember {
            node: node.into(),
            alive,
            keys: keys.map(|keys| keys.iter().map(ToString::to_string).collect()),
        };
        Keys {
            keys: vec![
                key("0a", "in-use", &["i1", "i2"], &["i3"]),
                key("0b", "removed", &[], &["i1", "i2", "i3"]),
            ],
            members: vec![member("i1", true, Some(&["0a", "0b"])), member("i3", false, None)],
            exchange: None,
        }
    }

    #[test]
    fn a_key_file_that_others_can_use_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("key");
        let key = Key::from_bytes([7; 32]);
        std::fs::write(&file, format!("# the key\n{}\n", *key.to_base64())).unwrap();
        let check = |mode, expected: Result<(), String>| {
            std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode)).unwrap();
            let expected = expected.map(|()| key.id()).map_err(|what| {
                Failure::new(what).or_help(format!("run `chmod 600 {}`", file.display()))
            });
            assert_eq!(read_key(&file).map(|read| read.id()), expected, "{mode:o}");
        };
        let others =
            |mode| format!("key file `{}` has mode {mode}, so others can use it", file.display());
        check(0o600, Ok(()));
        check(0o400, Ok(()));
        check(0o644, Err(others("0644")));
        check(0o640, Err(others("0640")));
    }

    #[test]
    fn what_is_no_key_is_told_with_its_file_and_not_repeated() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("key");
        std::fs::write(&file, "secret\nand more\n").unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
        let what =
            "not a key: expected 32 bytes in base64, one line of 44 characters ending in `=`";
        let expected = Failure::new(format!("in `{}`: {what}", file.display()))
            .or_help("`snapd keygen --out FILE` makes one");
        assert_eq!(read_key(&file).err(), Some(expected));
    }

    #[test]
    fn only_a_key_to_which_an_exchange_leads_is_new() {
        let check = |keys: &[(&str, &str, Option<u64>)], expected: Option<&str>| {
            let key = |&(id, phase, written_ms): &(&str, &str, Option<u64>)| KeyInfo {
                id: id.into(),
                phase: phase.into(),
                held: true,
                written_ms,
                holders: Vec::new(),
                lacking: Vec::new(),
            };
            let keys = Keys { keys: keys.iter().map(key).collect(), ..Keys::default() };
            let refused = expected.map(|what| {
                Failure::new(format!("key `0a` of `f` {what}, it cannot be the new key"))
                    .or_help("make a new one with `snapd keygen --out FILE`")
            });
            assert_eq!(check_new(&keys, "0a", Path::new("f")).err(), refused, "{keys:?}");
        };
        let (seals, older) = (Some("seals already"), Some("gives way to a newer one"));
        check(&[("0b", "in-use", None)], None);
        // One of several in key files.
        check(&[("0b", "in-use", None), ("0a", "installed", None)], None);
        check(&[("0a", "in-use", None), ("0b", "installed", None)], seals);
        check(&[("0a", "in-use", None)], seals);
        // Broken off before it was used, before the old one was removed, and at the end.
        check(&[("0b", "in-use", Some(1)), ("0a", "installed", Some(2))], None);
        check(&[("0b", "installed", None), ("0a", "in-use", Some(3))], None);
        check(&[("0b", "removed", Some(4)), ("0a", "in-use", Some(3))], seals);
        // An exchange for another one was.
        check(&[("0a", "in-use", Some(1)), ("0b", "installed", Some(2))], seals);
        check(&[("0a", "installed", Some(1)), ("0b", "in-use", Some(3))], older);
        check(&[("0a", "removed", Some(4)), ("0b", "in-use", Some(3))], None);
    }

    #[test]
    fn an_open_exchange_is_told_with_how_it_ends() {
        let check = |phase: &str, expected: &str| {
            let mut keys = keys();
            keys.exchange = Some("0a".into());
            keys.keys.first_mut().unwrap().phase = phase.into();
            assert_eq!(open_text(&keys).as_deref(), Some(expected));
        };
        assert_eq!(open_text(&keys()), None);
        check(
            "installed",
            "note: an exchange of keys is open: the new key `0a` does not seal yet\n\
             help: unless someone is at it, `snapctl key rotate` brings it to its end, on any node, \
             with --force without nodes that are down; `snapctl key remove 0a` gives it up",
        );
        check(
            "in-use",
            "note: an exchange of keys is open: the new key `0a` seals, and others are not removed \
             yet\n\
             help: unless someone is at it, `snapctl key rotate` brings it to its end, on any node, \
             with --force without nodes that are down",
        );
    }

    #[test]
    fn keys_and_who_holds_them_are_listed() {
        let expected = "\
KEY  PHASE    HELD BY  NOT BY
0a   in-use   2        i3
0b   removed  0        -";
        assert_eq!(keys_text(&keys()), expected);
        let expected = "\
NODE  STATE  KEYS
i1    alive  0a,0b
i3    down   not told";
        assert_eq!(members_text(&keys()), expected);
    }
}
