//! `snapctl key rotate`: one step after the other, until the new key is the only one.

use std::{path::Path, time::Duration};

use tokio::time::{Instant, sleep};
use tribe_api::{KeyMember, KeyStep, Keys, RotateKey};

use super::names;
use crate::{exit::Exit, failure::Failure, output, sanitize, session::Session};

/// Between looks at how far it is.
const LOOK: Duration = Duration::from_millis(200);
/// How long members may take to hear that the old key is removed, and to say that they did.
const DROP_TIME: Duration = Duration::from_secs(15);
/// Said of a key that snapd made.
const IN_NO_FILE: &str = "\
warning: the new key is in no file: a node can be added with the old one for 7 days, then none
help: `snapd keygen --out FILE` and `snapctl key rotate --key-file FILE` exchange it for one that is";

/// Said of a key that someone else, or an earlier run, began with.
const MAY_BE_IN_NO_FILE: &str = "\
warning: the new key may be in no file, for this exchange was begun before: a node can be added with the old one for \
7 days
help: if it was begun with `--key-file FILE`, put that file in the place of the old one on every host; else `snapd \
keygen --out FILE` and `snapctl key rotate --key-file FILE` exchange the key for one that is in a file";

/// A new key of a file, which is installed already.
pub(super) struct New<'a> {
    pub(super) id: String,
    pub(super) file: &'a Path,
}

pub(super) async fn rotate(
    session: &Session,
    new: Option<New<'_>>,
    force: bool,
    within: Duration,
) -> Result<Exit, Failure> {
    let mut begun = new.is_some();
    let mut exchange = Exchange::new(new);
    let mut told = None;
    let mut since = Instant::now();
    loop {
        let step = session.snapd.step_rotation(RotateKey { begun, force });
        let step = session.attend(step).await?;
        begun = true;
        exchange.follow(&step);
        let text = match step.step.as_str() {
            "used" => used_text(session.snapd.keys().await.ok().as_ref(), &step),
            _ => step_text(&step),
        };
        let text = sanitize::line(&text);
        if told.as_ref() != Some(&text) {
            output::tell(&text);
            told = Some(text);
            since = Instant::now();
        }
        match step.step.as_str() {
            "done" => {
                if let Some(end) = exchange.end(session, &step).await? {
                    return Ok(end);
                }
            }
            "down" => {
                let help = "run it again when they are back, or with --force to go on without them";
                return Err(exchange.undone(session, help).await);
            }
            "holding" | "sealing" if since.elapsed() >= within => {
                let help = "run it again to go on; `snapctl key status` shows who holds what";
                return Err(exchange.undone(session, help).await);
            }
            "holding" | "sealing" => sleep(LOOK).await,
            _ => {}
        }
    }
}

/// One exchange, as who typed it sees it.
struct Exchange<'a> {
    /// Its own key, or that of one that broke off.
    own: Option<String>,
    file: Option<&'a Path>,
    /// snapd made the own one.
    made: bool,
    /// The key that goes before all others.
    first: String,
}

impl<'a> Exchange<'a> {
    fn new(new: Option<New<'a>>) -> Self {
        let file = new.as_ref().map(|new| new.file);
        Self { own: new.map(|new| new.id), file, made: false, first: String::new() }
    }

    fn own(&self) -> &str {
        self.own.as_deref().unwrap_or_default()
    }

    /// Tells it if the key of another exchange goes before the own one.
    fn follow(&mut self, step: &KeyStep) {
        self.made |= step.step == "installed";
        // What is removed is an old one, or one that gave way.
        let Some(key) = step.key.as_ref().filter(|_| step.step != "removed") else { return };
        let own = self.own.get_or_insert_with(|| key.clone());
        if key != own && *key != self.first {
            let note = format!("note: key `{key}` of another exchange goes before key `{own}`");
            output::tell(&sanitize::line(&note));
        }
        self.first.clone_from(key);
    }

    /// All is done, as far as snapd knew. `None`: it has heard of another key since, which is older.
    async fn end(&self, session: &Session, step: &KeyStep) -> Result<Option<Exit>, Failure> {
        let keys = dropped(session, &self.first).await;
        match keys.as_ref().and_then(|keys| other(keys, &self.first)) {
            Some(Other::Older) => return Ok(None),
            Some(Other::Newer(key)) => return Err(self.overtaken(keys.as_ref(), &key)),
            None if self.own() != self.first => {
                return Err(self.overtaken(keys.as_ref(), &self.first));
            }
            None => {}
        }
        output::tell(&sanitize::block(&end_text(keys.as_ref(), &self.first)));
        match (self.made, self.file) {
            (true, _) => output::tell(IN_NO_FILE),
            (false, None) => output::tell(MAY_BE_IN_NO_FILE),
            (false, Some(_)) => {}
        }
        session.show(step, |step| step.key.clone().unwrap_or_default()).map(Some)
    }

    /// It cannot go on.
    async fn undone(&self, session: &Session, help: &str) -> Failure {
        match self.own() == self.first {
            true => Failure::new("the exchange of keys is not done").or_help(help),
            false => self.overtaken(session.snapd.keys().await.ok().as_ref(), &self.first),
        }
    }

    /// The key of another exchange goes before the own one: what is in use now, and what is left.
    fn overtaken(&self, keys: Option<&Keys>, other: &str) -> Failure {
        let own = self.own();
        let Some(Keys { keys, .. }) = keys else {
            let message =
                format!("key `{other}` of another exchange goes before key `{own}` of this one");
            return Failure::new(message)
                .or_help("`snapctl key status` shows which is in use, and who holds what");
        };
        let phase = |id: &str| keys.iter().find(|key| key.id == id).map(|key| key.phase.as_str());
        let won = format!("another exchange of keys won: key `{other}` is in use");
        let message = match (phase(other), phase(own)) {
            (Some("installed"), Some("in-use")) => format!(
                "another exchange of keys has begun: key `{own}` of this one is in use, and key \
                 `{other}` is to follow it"
            ),
            (Some("installed"), _) => {
                let used = keys.iter().find(|key| key.phase == "in-use");
                format!(
                    "the exchange of keys is not done: key `{}` is in use, and key `{other}` of \
                     another exchange goes before key `{own}` of this one",
                    used.map_or("", |key| &key.id)
                )
            }
            (_, Some("installed")) => {
                format!("{won}, and key `{own}` of this one is installed until that is done")
            }
            (_, _) => {
                let failure =
                    Failure::new(format!("{won}, and key `{own}` of this one is removed"));
                return failure.or_help(self.once_more(other));
            }
        };
        Failure::new(message).or_help(format!(
            "`snapctl key rotate` goes on with key `{other}` and removes key `{own}`, with --force \
             without nodes that are down"
        ))
    }

    /// What to do where another key is the only one.
    fn once_more(&self, other: &str) -> String {
        match self.file {
            None => format!("leave it at key `{other}`, or run `snapctl key rotate` once more"),
            Some(file) => format!(
                "the key file of the hosts is that of key `{other}`, not `{}`; to exchange it once \
                 more make a new one with `snapd keygen --out FILE`",
                file.display()
            ),
        }
    }
}

/// What the members hold once the living have dropped all keys but this one, another one came, or it
/// takes too long. The exchange is done by then: that snapd cannot tell makes it no failure.
async fn dropped(session: &Session, key: &str) -> Option<Keys> {
    let since = Instant::now();
    loop {
        let keys = session.snapd.keys().await.ok()?;
        let done = holding_more(&keys, key).is_empty() || other(&keys, key).is_some();
        if done || since.elapsed() >= DROP_TIME {
            return Some(keys);
        }
        sleep(LOOK).await;
    }
}

/// A key that is there beside the one that was the only one.
#[derive(Debug, PartialEq, Eq)]
enum Other {
    /// Its exchange has begun since.
    Newer(String),
    /// It was heard of late, and gives way.
    Older,
}

fn other(keys: &Keys, key: &str) -> Option<Other> {
    let written = keys.keys.iter().find(|of| of.id == key).and_then(|key| key.written_ms);
    let others = keys.keys.iter().filter(|of| of.id != key && of.phase != "removed");
    let newest = others.max_by_key(|of| (of.phase == "in-use", of.written_ms))?;
    let is_newer = newest.phase == "in-use" || newest.written_ms > written;
    Some(if is_newer { Other::Newer(newest.id.clone()) } else { Other::Older })
}

/// The living members that are not known to hold this key and no other.
fn holding_more(keys: &Keys, key: &str) -> Vec<String> {
    let only = |held: &Vec<String>| held.iter().all(|held| held == key) && !held.is_empty();
    let more = |of: &&KeyMember| of.alive && !of.keys.as_ref().is_some_and(only);
    keys.members.iter().filter(more).map(|of| of.node.clone()).collect()
}

/// How far the members are at the end, and who was down, if that is known.
fn end_text(keys: Option<&Keys>, key: &str) -> String {
    let Some(keys) = keys else {
        return format!(
            "done: key `{key}` seals, and the others are removed; who dropped them is not known\n\
             help: `snapctl key status` shows who holds what"
        );
    };
    let more = holding_more(keys, key);
    let end = match more.is_empty() {
        true => format!("done: key `{key}` is the only one"),
        false => format!(
            "done: key `{key}` seals, and the others are removed; {} not known to have \
             dropped them: {}",
            are(&more),
            names(&more)
        ),
    };
    let lacks = |of: &&KeyMember| {
        !of.alive && !of.keys.as_ref().is_some_and(|held| held.iter().any(|held| held == key))
    };
    let down: Vec<String> = keys.members.iter().filter(lacks).map(|of| of.node.clone()).collect();
    if down.is_empty() {
        return end;
    }
    format!(
        "{end}\nwarning: {} down and without it: {}\n\
         help: who is back within 7 days is handed it, who is later needs it in the key file",
        are(&down),
        names(&down)
    )
}

/// As in `1 node is`.
fn are(nodes: &[String]) -> String {
    format!("{} {}", count(nodes), if nodes.len() == 1 { "is" } else { "are" })
}

/// As in `1 node`.
fn count(nodes: &[String]) -> String {
    match nodes.len() {
        1 => "1 node".to_owned(),
        count => format!("{count} nodes"),
    }
}

fn step_text(step: &KeyStep) -> String {
    let key = step.key.as_deref().unwrap_or_default();
    let count = count(&step.nodes);
    let who = names(&step.nodes);
    match step.step.as_str() {
        "installed" if key.is_empty() => "installed a new key".to_owned(),
        "installed" => format!("installed key `{key}`"),
        "holding" => format!("waiting for {count} to hold key `{key}`: {who}"),
        "sealing" => format!("waiting for {count} to seal with key `{key}`: {who}"),
        "removed" => format!("removed key `{key}`"),
        "down" => format!("{count} down and without key `{key}`: {who}"),
        "done" => format!("waiting for all to drop the others than key `{key}`"),
        other => format!("{other} {key}"),
    }
}

/// Who holds the key that seals from now on, if that is known: with force not all do.
fn used_text(keys: Option<&Keys>, step: &KeyStep) -> String {
    let id = step.key.as_deref().unwrap_or_default();
    let Some(key) = keys.and_then(|keys| keys.keys.iter().find(|key| key.id == id)) else {
        return format!("key `{id}` seals from now on");
    };
    if key.lacking.is_empty() {
        return format!("all hold key `{id}`: it seals from now on");
    }
    let held = count(&key.holders);
    let hold = if key.holders.len() == 1 { "holds" } else { "hold" };
    let lacking = key.lacking.len();
    let does = if lacking == 1 { "does" } else { "do" };
    let who = names(&key.lacking);
    format!("{held} {hold} key `{id}`, {lacking} {does} not yet: {who}; it seals from now on")
}

#[cfg(test)]
mod tests {
    use tribe_api::KeyInfo;

    use super::*;
    use crate::command::key::tests::keys;

    #[test]
    fn at_the_end_it_is_told_who_has_only_the_new_key_and_who_was_down() {
        let check = |members: &[(&str, bool, Option<&[&str]>)], expected: &str| {
            let member = |&(node, alive, keys): &(&str, bool, Option<&[&str]>)| KeyMember {
                node: node.into(),
                alive,
                keys: keys.map(|keys| keys.iter().map(ToString::to_string).collect()),
            };
            let members = members.iter().map(member).collect();
            let keys = Keys { members, ..Keys::default() };
            assert_eq!(end_text(Some(&keys), "0a"), expected);
        };
        let only: Option<&[&str]> = Some(&["0a"]);
        check(&[("i1", true, only), ("i2", false, only)], "done: key `0a` is the only one");
        check(
            &[("i1", true, only), ("i2", true, Some(&["0a", "0b"])), ("i3", true, None)],
            "done: key `0a` seals, and the others are removed; 2 nodes are not known to have \
             dropped them: i2, i3",
        );
        check(
            &[("i1", true, only), ("i2", false, Some(&["0b"]))],
            "done: key `0a` is the only one\n\
             warning: 1 node is down and without it: i2\n\
             help: who is back within 7 days is handed it, who is later needs it in the key file",
        );
    }

    #[test]
    fn when_a_key_is_used_it_is_told_who_holds_it() {
        let step = KeyStep { step: "used".into(), key: Some("0a".into()), nodes: Vec::new() };
        let check = |keys: Option<&Keys>, expected: &str| {
            assert_eq!(used_text(keys, &step), expected);
        };
        let mut keys = keys();
        check(None, "key `0a` seals from now on");
        let told = "2 nodes hold key `0a`, 1 does not yet: i3; it seals from now on";
        check(Some(&keys), told);
        let first = keys.keys.first_mut().unwrap();
        first.holders.pop();
        first.lacking.push("i4".into());
        let told = "1 node holds key `0a`, 2 do not yet: i3, i4; it seals from now on";
        check(Some(&keys), told);
        keys.keys.first_mut().unwrap().lacking.clear();
        check(Some(&keys), "all hold key `0a`: it seals from now on");
    }

    #[test]
    fn another_exchange_that_goes_first_is_told_with_what_is_in_use_and_what_is_left() {
        let check = |phases: [&str; 3], file: Option<&str>, message: &str, help: &str| {
            let exchange = Exchange {
                own: Some("0a".into()),
                file: file.map(Path::new),
                made: file.is_none(),
                first: "0b".into(),
            };
            let ids = ["0a", "0b", "0c"];
            let keys = ids.into_iter().zip(phases).map(|(id, phase)| KeyInfo {
                id: id.into(),
                phase: phase.into(),
                held: true,
                written_ms: None,
                holders: Vec::new(),
                lacking: Vec::new(),
            });
            let keys = Keys { keys: keys.collect(), ..Keys::default() };
            let expected = Failure::new(message).or_help(help);
            assert_eq!(exchange.overtaken(Some(&keys), "0b"), expected, "{phases:?}");
        };
        let unknown = Exchange { first: "0b".into(), ..Exchange::new(None) };
        let unknown = Exchange { own: Some("0a".into()), ..unknown }.overtaken(None, "0b");
        let message = "key `0b` of another exchange goes before key `0a` of this one";
        let help = "`snapctl key status` shows which is in use, and who holds what";
        assert_eq!(unknown, Failure::new(message).or_help(help), "snapd does not tell its keys");
        let go_on = "`snapctl key rotate` goes on with key `0b` and removes key `0a`, with --force \
                     without nodes that are down";
        let removed = "another exchange of keys won: key `0b` is in use, and key `0a` of this one \
                       is removed";
        check(
            ["removed", "in-use", "removed"],
            None,
            removed,
            "leave it at key `0b`, or run `snapctl key rotate` once more",
        );
        check(
            ["removed", "in-use", "removed"],
            Some("new.key"),
            removed,
            "the key file of the hosts is that of key `0b`, not `new.key`; to exchange it once more \
             make a new one with `snapd keygen --out FILE`",
        );
        check(
            ["installed", "in-use", "removed"],
            None,
            "another exchange of keys won: key `0b` is in use, and key `0a` of this one is installed \
             until that is done",
            go_on,
        );
        check(
            ["installed", "installed", "in-use"],
            None,
            "the exchange of keys is not done: key `0c` is in use, and key `0b` of another exchange \
             goes before key `0a` of this one",
            go_on,
        );
        check(
            ["in-use", "installed", "removed"],
            None,
            "another exchange of keys has begun: key `0a` of this one is in use, and key `0b` is to \
             follow it",
            go_on,
        );
    }

    #[test]
    fn a_key_beside_the_only_one_is_newer_or_gives_way() {
        let check = |keys: &[(&str, &str, u64)], expected: Option<Other>| {
            let key = |&(id, phase, written): &(&str, &str, u64)| KeyInfo {
                id: id.into(),
                phase: phase.into(),
                held: true,
                written_ms: Some(written),
                holders: Vec::new(),
                lacking: Vec::new(),
            };
            let keys = Keys { keys: keys.iter().map(key).collect(), ..Keys::default() };
            assert_eq!(other(&keys, "0a"), expected, "{keys:?}");
        };
        let newer = || Some(Other::Newer("0b".into()));
        check(&[("0a", "in-use", 5)], None);
        check(&[("0a", "in-use", 5), ("0b", "removed", 6)], None);
        check(&[("0a", "in-use", 5), ("0b", "installed", 6)], newer());
        check(&[("0a", "in-use", 5), ("0b", "installed", 4)], Some(Other::Older));
        check(&[("0a", "removed", 7), ("0b", "in-use", 6)], newer());
        check(&[("0a", "installed", 5), ("0b", "in-use", 6), ("0c", "installed", 7)], newer());
    }
}
