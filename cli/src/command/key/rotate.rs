//! `snapctl key rotate`: one step after the other, until the new key is the only one.

use std::time::Duration;

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

/// `begun`: the new key is installed.
pub(super) async fn rotate(
    session: &Session,
    mut begun: bool,
    force: bool,
    within: Duration,
) -> Result<Exit, Failure> {
    let (mut told, mut made) = (None, false);
    let mut since = Instant::now();
    loop {
        let step = session.snapd.step_rotation(RotateKey { begun, force });
        let step = session.attend(step).await?;
        begun = true;
        made |= step.step == "installed";
        let waits = matches!(step.step.as_str(), "holding" | "sealing");
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
                let key = step.key.as_deref().unwrap_or_default();
                let end = end_text(dropped(session, key).await.as_ref(), key);
                output::tell(&sanitize::block(&end));
                if made {
                    output::tell(IN_NO_FILE);
                }
                return session.show(&step, |step| step.key.clone().unwrap_or_default());
            }
            "down" => {
                let help = "run it again when they are back, or with --force to go on without them";
                return Err(Failure::new("the exchange of keys is not done").or_help(help));
            }
            _ if waits && since.elapsed() >= within => {
                let help = "run it again to go on; `snapctl key status` shows who holds what";
                return Err(Failure::new("the exchange of keys is not done").or_help(help));
            }
            _ if waits => sleep(LOOK).await,
            _ => {}
        }
    }
}

/// What the members hold once the living have dropped all keys but this one, or it takes too long.
/// The exchange is done by then: that snapd cannot tell makes it no failure.
async fn dropped(session: &Session, key: &str) -> Option<Keys> {
    let since = Instant::now();
    loop {
        let keys = session.snapd.keys().await.ok()?;
        if holding_more(&keys, key).is_empty() || since.elapsed() >= DROP_TIME {
            return Some(keys);
        }
        sleep(LOOK).await;
    }
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
        "installed" => "installed a new key".to_owned(),
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
            let keys = Keys { keys: Vec::new(), members };
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
}
