//! The keys of the cluster.

use std::{mem::MaybeUninit, ptr::NonNull};

use serde_json::{Value, json};
use tribe::{Key, KeyId, KeyInfo, KeyMember, KeyStatus};

use crate::{
    Error, Node, Status, Str, Text, Written,
    handle::{Required, call, live, offer},
};

/// Tells how far the keys of the cluster are and who holds them, by fingerprints: a JSON object of `keys` (each
/// `id`, `phase`: `installed`, `in-use` or `removed`, `held`: by this node) and `members` (each `node`, `alive`,
/// `keys`: the sealing one first, null if it has not said). Waits up to a second for members that have not.
/// Free it with tribe_text_free().
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn tribe_keys(
    node: Option<NonNull<Node>>,
    out: Option<&mut MaybeUninit<Box<Text>>>,
    err: Option<&mut MaybeUninit<Box<Error>>>,
) -> Status {
    call(err, || {
        let out = out.required("out")?;
        // SAFETY: all callers promise a live handle or NULL.
        let node = unsafe { live(node, "node") }?;
        let status = node.wait(None, tribe::Node::keys)?;
        out.write(Box::new(Text::json(&status_json(&status))));
        Ok(())
    })
}

/// Has all members hold a key, 32 bytes in base64: they open what is sealed with it, and seal with another one as
/// before.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn tribe_key_install(
    node: Option<NonNull<Node>>,
    key: Str,
    written: Option<&mut MaybeUninit<Box<Written>>>,
    err: Option<&mut MaybeUninit<Box<Error>>>,
) -> Status {
    call(err, || {
        // SAFETY: all callers promise a live handle or NULL.
        let node = unsafe { live(node, "node") }?;
        let key = Key::parse(key.read("key")?).map_err(|error| Error::new(Status::Key, error))?;
        let done = node.wait(None, |node| node.install_key(key))?;
        offer(written, done.into());
        Ok(())
    })
}

/// Has all members seal with a key that is installed, by its fingerprint. All must hold it, unless it is forced.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn tribe_key_use(
    node: Option<NonNull<Node>>,
    id: Str,
    force: bool,
    written: Option<&mut MaybeUninit<Box<Written>>>,
    err: Option<&mut MaybeUninit<Box<Error>>>,
) -> Status {
    call(err, || {
        // SAFETY: all callers promise a live handle or NULL.
        let node = unsafe { live(node, "node") }?;
        let id = fingerprint(id)?;
        let done = node.wait(None, |node| node.use_key(id, force))?;
        offer(written, done.into());
        Ok(())
    })
}

/// Has no member open what is sealed with a key, by its fingerprint. Who was away and has only this one is
/// handed the others for 7 days. All must hold the key that seals, unless it is forced.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn tribe_key_remove(
    node: Option<NonNull<Node>>,
    id: Str,
    force: bool,
    written: Option<&mut MaybeUninit<Box<Written>>>,
    err: Option<&mut MaybeUninit<Box<Error>>>,
) -> Status {
    call(err, || {
        // SAFETY: all callers promise a live handle or NULL.
        let node = unsafe { live(node, "node") }?;
        let id = fingerprint(id)?;
        let done = node.wait(None, |node| node.remove_key(id, force))?;
        offer(written, done.into());
        Ok(())
    })
}

/// Exchanges the key of the cluster for a new one: installs it, uses it once all members hold it, removes the
/// old one once all seal with it, and gives the new one's fingerprint. It waits for living members as long as it
/// takes. If it was broken off, here or elsewhere, it goes on from there. With `force` it does so without
/// members that are down. Free the text with tribe_text_free().
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn tribe_key_rotate(
    node: Option<NonNull<Node>>,
    force: bool,
    out: Option<&mut MaybeUninit<Box<Text>>>,
    err: Option<&mut MaybeUninit<Box<Error>>>,
) -> Status {
    call(err, || {
        let out = out.required("out")?;
        // SAFETY: all callers promise a live handle or NULL.
        let node = unsafe { live(node, "node") }?;
        let id = node.wait(None, |node| node.rotate_key(force))?;
        out.write(Box::new(Text::new(id.to_string())));
        Ok(())
    })
}

fn fingerprint(id: Str) -> Result<KeyId, Error> {
    id.read("id")?.parse().map_err(|error| Error::new(Status::UnknownKey, error))
}

fn status_json(status: &KeyStatus) -> Value {
    let key =
        |key: &KeyInfo| json!({ "id": key.id.to_string(), "phase": key.phase, "held": key.held });
    let texts = |ids: &Vec<KeyId>| ids.iter().map(ToString::to_string).collect::<Vec<_>>();
    let member = |member: &KeyMember| {
        let keys = member.keys.as_ref().map(texts);
        json!({ "node": member.name.as_str(), "alive": member.alive, "keys": keys })
    };
    json!({
        "keys": status.keys.iter().map(key).collect::<Vec<_>>(),
        "members": status.members.iter().map(member).collect::<Vec<_>>(),
    })
}
