//! Facts set while the node runs.

use std::{collections::BTreeMap, mem::MaybeUninit, ptr::NonNull};

use tribe::{Value, fact};

use crate::{
    Error, Node, Status, Str, Written,
    handle::{call, live, offer},
};

/// A fact that is a number, if it can be one.
pub(crate) fn float_value(number: f64) -> Result<Value, Error> {
    match number.is_finite() {
        true => Ok(Value::Float(number)),
        false => Err(Error::new(Status::FactValue, "a fact is a finite number")),
    }
}

/// A fact from JSON, if it can be one.
pub(crate) fn json_value(json: &str) -> Result<Value, Error> {
    let wrong = |reason: String| Error::new(Status::FactValue, reason);
    let json: serde_json::Value =
        serde_json::from_str(json).map_err(|error| wrong(format!("not JSON: {error}")))?;
    let number = || wrong("null or a number out of range is not a fact".to_owned());
    Value::from_json(&json).ok_or_else(number)
}

/// Sets the values of a node and unsets names.
///
/// SAFETY: as for [`live`].
unsafe fn change(
    node: Option<NonNull<Node>>,
    member: Str,
    set: impl FnOnce() -> Result<BTreeMap<String, Value>, Error>,
    unset: Option<Str>,
    written: Option<&mut MaybeUninit<Box<Written>>>,
) -> Result<(), Error> {
    // SAFETY: by this function's own contract.
    let node = unsafe { live(node, "node") }?;
    let member = member.read_optional("member")?;
    let set = set()?;
    let unset = unset.map(|name| name.read("name").map(str::to_owned)).transpose()?;
    let unset = unset.into_iter().collect();
    let done = node.wait(None, |node| node.set_facts(member, set, unset))?;
    offer(written, done.into());
    Ok(())
}

fn one(name: Str, value: Value) -> Result<BTreeMap<String, Value>, Error> {
    Ok(BTreeMap::from([(name.read("name")?.to_owned(), value)]))
}

/// Sets a fact that is a text, whatever it looks like.
///
/// `member` is the node the fact is of, which alone writes it and so must be alive; empty: this node. A
/// fact set so outlives a restart and covers one given at start. `written` may be NULL. So for all that
/// follow.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn tribe_fact_set_str(
    node: Option<NonNull<Node>>,
    member: Str,
    name: Str,
    value: Str,
    written: Option<&mut MaybeUninit<Box<Written>>>,
    err: Option<&mut MaybeUninit<Box<Error>>>,
) -> Status {
    call(err, || {
        let set = || one(name, value.read("value")?.into());
        // SAFETY: all callers promise a live handle or NULL.
        unsafe { change(node, member, set, None, written) }
    })
}

/// Sets a fact that is a whole number.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn tribe_fact_set_i64(
    node: Option<NonNull<Node>>,
    member: Str,
    name: Str,
    value: i64,
    written: Option<&mut MaybeUninit<Box<Written>>>,
    err: Option<&mut MaybeUninit<Box<Error>>>,
) -> Status {
    call(err, || {
        let set = || one(name, value.into());
        // SAFETY: all callers promise a live handle or NULL.
        unsafe { change(node, member, set, None, written) }
    })
}

/// Sets a fact that is a finite number.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn tribe_fact_set_f64(
    node: Option<NonNull<Node>>,
    member: Str,
    name: Str,
    value: f64,
    written: Option<&mut MaybeUninit<Box<Written>>>,
    err: Option<&mut MaybeUninit<Box<Error>>>,
) -> Status {
    call(err, || {
        let set = || one(name, float_value(value)?);
        // SAFETY: all callers promise a live handle or NULL.
        unsafe { change(node, member, set, None, written) }
    })
}

/// Sets a fact that is a yes or no.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn tribe_fact_set_bool(
    node: Option<NonNull<Node>>,
    member: Str,
    name: Str,
    value: bool,
    written: Option<&mut MaybeUninit<Box<Written>>>,
    err: Option<&mut MaybeUninit<Box<Error>>>,
) -> Status {
    call(err, || {
        let set = || one(name, value.into());
        // SAFETY: all callers promise a live handle or NULL.
        unsafe { change(node, member, set, None, written) }
    })
}

/// Sets a fact from JSON: a list, a map, or any other value but null.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn tribe_fact_set_json(
    node: Option<NonNull<Node>>,
    member: Str,
    name: Str,
    json: Str,
    written: Option<&mut MaybeUninit<Box<Written>>>,
    err: Option<&mut MaybeUninit<Box<Error>>>,
) -> Status {
    call(err, || {
        let set = || one(name, json_value(json.read("json")?)?);
        // SAFETY: all callers promise a live handle or NULL.
        unsafe { change(node, member, set, None, written) }
    })
}

/// Sets a fact as a command line does: `key=value`, where `True` is a yes, `7` a number and all else a
/// text; or a bare `key`, which is a yes.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn tribe_fact_set_text(
    node: Option<NonNull<Node>>,
    member: Str,
    pair: Str,
    written: Option<&mut MaybeUninit<Box<Written>>>,
    err: Option<&mut MaybeUninit<Box<Error>>>,
) -> Status {
    call(err, || {
        let set = || {
            let (name, value) = fact::parse_pair(pair.read("pair")?)?;
            Ok(BTreeMap::from([(name.to_string(), value)]))
        };
        // SAFETY: all callers promise a live handle or NULL.
        unsafe { change(node, member, set, None, written) }
    })
}

/// Unsets a fact that was set while the node ran: what was given at start, or collected, shows again.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn tribe_fact_unset(
    node: Option<NonNull<Node>>,
    member: Str,
    name: Str,
    written: Option<&mut MaybeUninit<Box<Written>>>,
    err: Option<&mut MaybeUninit<Box<Error>>>,
) -> Status {
    call(err, || {
        let nothing = || Ok(BTreeMap::new());
        // SAFETY: all callers promise a live handle or NULL.
        unsafe { change(node, member, nothing, Some(name), written) }
    })
}

/// Collects the facts of this host again, now.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn tribe_fact_refresh(
    node: Option<NonNull<Node>>,
    err: Option<&mut MaybeUninit<Box<Error>>>,
) -> Status {
    call(err, || {
        // SAFETY: all callers promise a live handle or NULL.
        let node = unsafe { live(node, "node") }?;
        node.wait(None, tribe::Node::refresh_facts)
    })
}
