//! Tribes, and who is placed in them by hand.

use std::{mem::MaybeUninit, ptr::NonNull};

use serde_json::{Value, json};
use tribe::{Reason, Tribe};

use crate::{
    Error, Node, Status, Str, Text, Written,
    handle::{call, live, offer},
    node::tell,
};

/// Creates a tribe. `description` says what it is for, and may be empty.
///
/// This and all calls that write return when the record is written here, on disk if there is one; it is
/// on its way to the others. `written` may be NULL; else free it with tribe_written_free().
///
/// On a node with seeds that has never met its cluster, what concerns all waits up to 10 s for that,
/// and then fails: TRIBE_STATUS_NOT_SYNCED.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn tribe_tribe_create(
    node: Option<NonNull<Node>>,
    tribe: Str,
    description: Str,
    written: Option<&mut MaybeUninit<Box<Written>>>,
    err: Option<&mut MaybeUninit<Box<Error>>>,
) -> Status {
    call(err, || {
        // SAFETY: all callers promise a live handle or NULL.
        let node = unsafe { live(node, "node") }?;
        let (tribe, description) = (tribe.read("tribe")?, description.read("description")?);
        let done = node.wait(None, |node| node.create_tribe(tribe, description))?;
        offer(written, done.into());
        Ok(())
    })
}

/// Says anew what a tribe is for. `description` may be empty.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn tribe_tribe_describe(
    node: Option<NonNull<Node>>,
    tribe: Str,
    description: Str,
    written: Option<&mut MaybeUninit<Box<Written>>>,
    err: Option<&mut MaybeUninit<Box<Error>>>,
) -> Status {
    call(err, || {
        // SAFETY: all callers promise a live handle or NULL.
        let node = unsafe { live(node, "node") }?;
        let (tribe, description) = (tribe.read("tribe")?, description.read("description")?);
        let done = node.wait(None, |node| node.describe_tribe(tribe, description))?;
        offer(written, done.into());
        Ok(())
    })
}

/// Deletes a tribe with its placements, policies and items.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn tribe_tribe_delete(
    node: Option<NonNull<Node>>,
    tribe: Str,
    written: Option<&mut MaybeUninit<Box<Written>>>,
    err: Option<&mut MaybeUninit<Box<Error>>>,
) -> Status {
    call(err, || {
        // SAFETY: all callers promise a live handle or NULL.
        let node = unsafe { live(node, "node") }?;
        let tribe = tribe.read("tribe")?;
        let done = node.wait(None, |node| node.delete_tribe(tribe))?;
        offer(written, done.into());
        Ok(())
    })
}

/// Places a node in a tribe by hand. `member` empty: this node. Any other may be named, even one that does
/// not exist yet.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn tribe_tribe_join(
    node: Option<NonNull<Node>>,
    tribe: Str,
    member: Str,
    written: Option<&mut MaybeUninit<Box<Written>>>,
    err: Option<&mut MaybeUninit<Box<Error>>>,
) -> Status {
    call(err, || {
        // SAFETY: all callers promise a live handle or NULL.
        let node = unsafe { live(node, "node") }?;
        let (tribe, member) = (tribe.read("tribe")?, member.read_optional("member")?);
        let done = node.wait(None, |node| node.join_tribe(tribe, member))?;
        offer(written, done.into());
        Ok(())
    })
}

/// Places a node out of a tribe by hand, whatever the policies say. `member` empty: this node.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn tribe_tribe_leave(
    node: Option<NonNull<Node>>,
    tribe: Str,
    member: Str,
    written: Option<&mut MaybeUninit<Box<Written>>>,
    err: Option<&mut MaybeUninit<Box<Error>>>,
) -> Status {
    call(err, || {
        // SAFETY: all callers promise a live handle or NULL.
        let node = unsafe { live(node, "node") }?;
        let (tribe, member) = (tribe.read("tribe")?, member.read_optional("member")?);
        let done = node.wait(None, |node| node.leave_tribe(tribe, member))?;
        offer(written, done.into());
        Ok(())
    })
}

/// Gives a node back to the policies of a tribe. `member` empty: this node.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn tribe_tribe_auto(
    node: Option<NonNull<Node>>,
    tribe: Str,
    member: Str,
    written: Option<&mut MaybeUninit<Box<Written>>>,
    err: Option<&mut MaybeUninit<Box<Error>>>,
) -> Status {
    call(err, || {
        // SAFETY: all callers promise a live handle or NULL.
        let node = unsafe { live(node, "node") }?;
        let (tribe, member) = (tribe.read("tribe")?, member.read_optional("member")?);
        let done = node.wait(None, |node| node.auto_tribe(tribe, member))?;
        offer(written, done.into());
        Ok(())
    })
}

/// Lists the tribes, a JSON array by name: `name`, `description`, `members` (`name`, `id`, `state`,
/// `reasons`: `kind` and `policy`), `placements` (`node`, `placement`), `policies` (names). Free it with
/// tribe_text_free().
#[unsafe(no_mangle)]
#[must_use]
pub extern "C" fn tribe_tribe_list(
    node: Option<&Node>,
    out: Option<&mut MaybeUninit<Box<Text>>>,
    err: Option<&mut MaybeUninit<Box<Error>>>,
) -> Status {
    tell(node, out, err, |node| node.view().tribes.values().map(tribe_json).collect())
}

fn tribe_json(tribe: &Tribe) -> Value {
    let members = tribe.members.iter().map(|member| {
        json!({
            "name": member.name.as_str(),
            "id": member.id.to_string(),
            "state": member.state.as_str(),
            "reasons": member.reasons.iter().map(reason_json).collect::<Vec<_>>(),
        })
    });
    let placements = tribe.placements.iter();
    let placements = placements
        .map(|(node, placement)| json!({ "node": node.as_str(), "placement": placement.as_str() }));
    json!({
        "name": tribe.name.as_str(),
        "description": tribe.description,
        "members": members.collect::<Vec<_>>(),
        "placements": placements.collect::<Vec<_>>(),
        "policies": tribe.policies.iter().map(|policy| policy.as_str()).collect::<Vec<_>>(),
    })
}

fn reason_json(reason: &Reason) -> Value {
    match reason {
        Reason::Joined => json!({ "kind": "joined" }),
        Reason::Policy(policy) => json!({ "kind": "policy", "policy": policy.as_str() }),
    }
}
