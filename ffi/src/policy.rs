//! Policies, and what they say of a node.

use std::{mem::MaybeUninit, ptr::NonNull};

use serde_json::{Value, json};
use tribe::{Facts, Member, PolicyInfo, Source};

use crate::{
    Error, Names, Node, Status, Str, Text, Written,
    handle::{Required, call, call_or, live, offer},
    member::find,
    node::tell,
};

/// What a policy says of a node.
#[repr(i32)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The node does not match.
    False = 0,
    /// The node matches.
    True = 1,
    /// It cannot be told, for want of a fact; this is no match.
    Unknown = 2,
}

impl From<tribe::Verdict> for Verdict {
    fn from(verdict: tribe::Verdict) -> Self {
        match verdict {
            tribe::Verdict::True => Self::True,
            tribe::Verdict::False => Self::False,
            tribe::Verdict::Unknown(_) => Self::Unknown,
        }
    }
}

/// A policy on its own, judged without a node.
#[derive(Debug)]
pub struct Policy {
    policy: tribe::Policy,
    text: Text,
}

/// Reads the text of a policy. Free it with tribe_policy_free().
///
/// A text that is no policy gives TRIBE_STATUS_POLICY and an error with line, column and detail.
#[unsafe(no_mangle)]
#[must_use]
pub extern "C" fn tribe_policy_parse(
    text: Str,
    out: Option<&mut MaybeUninit<Box<Policy>>>,
    err: Option<&mut MaybeUninit<Box<Error>>>,
) -> Status {
    call(err, || {
        let out = out.required("out")?;
        let policy = tribe::Policy::parse(text.read("text")?)?;
        let text = Text::new(policy.to_string());
        out.write(Box::new(Policy { policy, text }));
        Ok(())
    })
}

/// Frees a policy. NULL is allowed.
#[unsafe(no_mangle)]
pub extern "C" fn tribe_policy_free(policy: Option<Box<Policy>>) {
    call_or((), || drop(policy));
}

/// The policy in its one canonical form. It lives as long as `policy`. Empty if `policy` is NULL.
#[unsafe(no_mangle)]
pub extern "C" fn tribe_policy_text(policy: Option<&Policy>) -> Str {
    policy.map_or(Str::EMPTY, |policy| policy.text.borrow())
}

/// The lowest level of the policy language that has all this policy uses. 0 if `policy` is NULL.
#[unsafe(no_mangle)]
pub extern "C" fn tribe_policy_level(policy: Option<&Policy>) -> u32 {
    policy.map_or(0, |policy| policy.policy.level().into())
}

/// What a policy says of facts, a JSON object by name.
#[unsafe(no_mangle)]
#[must_use]
pub extern "C" fn tribe_policy_eval(
    policy: Option<&Policy>,
    facts: Str,
    out: Option<&mut MaybeUninit<Verdict>>,
    err: Option<&mut MaybeUninit<Box<Error>>>,
) -> Status {
    call(err, || {
        let out = out.required("out")?;
        let policy = policy.required("policy")?;
        out.write(policy.policy.evaluate(&facts_of(facts)?).into());
        Ok(())
    })
}

/// Why a policy says it of facts: a JSON object with `satisfied`, `text` (a tree for people) and `tree`
/// (for machines). Free it with tribe_text_free().
#[unsafe(no_mangle)]
#[must_use]
pub extern "C" fn tribe_policy_explain_facts(
    policy: Option<&Policy>,
    facts: Str,
    out: Option<&mut MaybeUninit<Box<Text>>>,
    err: Option<&mut MaybeUninit<Box<Error>>>,
) -> Status {
    call(err, || {
        let out = out.required("out")?;
        let policy = policy.required("policy")?;
        let explanation = policy.policy.explain(&facts_of(facts)?);
        out.write(Box::new(Text::json(&json!({
            "satisfied": explanation.verdict.is_satisfied(),
            "text": explanation.to_string(),
            "tree": explanation,
        }))));
        Ok(())
    })
}

/// What may be a mistake in a policy, judged by itself and by the facts of nodes, a JSON array of objects;
/// empty: no nodes. Each name is several lines. Free it with tribe_names_free().
#[unsafe(no_mangle)]
#[must_use]
pub extern "C" fn tribe_policy_check(
    policy: Option<&Policy>,
    nodes: Str,
    out: Option<&mut MaybeUninit<Box<Names>>>,
    err: Option<&mut MaybeUninit<Box<Error>>>,
) -> Status {
    call(err, || {
        let out = out.required("out")?;
        let policy = policy.required("policy")?;
        let nodes = match nodes.read_optional("nodes")? {
            None => Vec::new(),
            Some(nodes) => serde_json::from_str(nodes).map_err(|error| not_facts(&error))?,
        };
        let nodes: Vec<Facts> = nodes.iter().map(facts).collect::<Result<_, Error>>()?;
        let warnings = policy.policy.check(&nodes);
        out.write(Box::new(Names::new(warnings.iter().map(tribe::PolicyWarning::render))));
        Ok(())
    })
}

fn facts_of(json: Str) -> Result<Facts, Error> {
    facts(&serde_json::from_str(json.read("facts")?).map_err(|error| not_facts(&error))?)
}

fn facts(object: &serde_json::Map<String, Value>) -> Result<Facts, Error> {
    Ok(Facts::from_json(object, Source::Start)?)
}

fn not_facts(error: &serde_json::Error) -> Error {
    Error::new(Status::FactValue, format_args!("not facts in JSON: {error}"))
}

/// Creates a policy for a tribe, and the tribe if there is none of that name. The nodes that match are
/// members of the tribe from then on, unless they were placed by hand.
///
/// A text that is no policy gives TRIBE_STATUS_POLICY and an error with line, column and detail.
/// `written` may be NULL; it has what may be a mistake in the text.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn tribe_policy_create(
    node: Option<NonNull<Node>>,
    policy: Str,
    text: Str,
    tribe: Str,
    written: Option<&mut MaybeUninit<Box<Written>>>,
    err: Option<&mut MaybeUninit<Box<Error>>>,
) -> Status {
    // SAFETY: the caller promises the same of `node`.
    unsafe { tribe_policy_put(node, policy, text, tribe, None, written, err) }
}

/// How tribe_policy_put() puts a policy.
#[derive(Debug)]
pub struct PolicyOptions(tribe::PolicyOptions);

/// Begins options for tribe_policy_put(): there must be no other policy of that name, and it is enabled. Free
/// them with tribe_policy_options_free().
#[unsafe(no_mangle)]
#[must_use]
pub extern "C" fn tribe_policy_options_new(
    out: Option<&mut MaybeUninit<Box<PolicyOptions>>>,
    err: Option<&mut MaybeUninit<Box<Error>>>,
) -> Status {
    call(err, || {
        out.required("out")?.write(Box::new(PolicyOptions(tribe::PolicyOptions::default())));
        Ok(())
    })
}

/// May there be one of that name with another text or tribe? It is replaced in one step: nodes that match
/// before and after stay where they are.
#[unsafe(no_mangle)]
#[must_use]
pub extern "C" fn tribe_policy_options_set_replace(
    options: Option<&mut PolicyOptions>,
    replace: bool,
    err: Option<&mut MaybeUninit<Box<Error>>>,
) -> Status {
    call(err, || {
        options.required("options")?.0.replace = replace;
        Ok(())
    })
}

/// Is it enabled? In one step with the text, so that no node enters for a moment by a policy that should be
/// off. If this is not called, one that is there stays as it is, and a new one is enabled.
#[unsafe(no_mangle)]
#[must_use]
pub extern "C" fn tribe_policy_options_set_enabled(
    options: Option<&mut PolicyOptions>,
    enabled: bool,
    err: Option<&mut MaybeUninit<Box<Error>>>,
) -> Status {
    call(err, || {
        options.required("options")?.0.enabled = Some(enabled);
        Ok(())
    })
}

/// Frees options. Policies put with them are not touched. NULL is allowed.
#[unsafe(no_mangle)]
pub extern "C" fn tribe_policy_options_free(options: Option<Box<PolicyOptions>>) {
    call_or((), || drop(options));
}

/// Creates a policy as tribe_policy_create() does, and as these options say: in place of another, or switched
/// off from the start. `options` may be NULL: then it is the same.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn tribe_policy_put(
    node: Option<NonNull<Node>>,
    policy: Str,
    text: Str,
    tribe: Str,
    options: Option<&PolicyOptions>,
    written: Option<&mut MaybeUninit<Box<Written>>>,
    err: Option<&mut MaybeUninit<Box<Error>>>,
) -> Status {
    call(err, || {
        // SAFETY: all callers promise a live handle or NULL.
        let node = unsafe { live(node, "node") }?;
        let (policy, text) = (policy.read("policy")?, text.read("text")?);
        let tribe = tribe.read("tribe")?;
        let options = options.map(|options| options.0).unwrap_or_default();
        let done = node.wait(None, |node| node.put_policy(policy, text, tribe, options))?;
        offer(written, done.into());
        Ok(())
    })
}

/// Deletes a policy. Nodes that were in its tribe by it alone fall out.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn tribe_policy_delete(
    node: Option<NonNull<Node>>,
    policy: Str,
    written: Option<&mut MaybeUninit<Box<Written>>>,
    err: Option<&mut MaybeUninit<Box<Error>>>,
) -> Status {
    call(err, || {
        // SAFETY: all callers promise a live handle or NULL.
        let node = unsafe { live(node, "node") }?;
        let policy = policy.read("policy")?;
        let done = node.wait(None, |node| node.delete_policy(policy))?;
        offer(written, done.into());
        Ok(())
    })
}

/// Switches a policy on or off. Only an enabled one places nodes.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn tribe_policy_enable(
    node: Option<NonNull<Node>>,
    policy: Str,
    enabled: bool,
    written: Option<&mut MaybeUninit<Box<Written>>>,
    err: Option<&mut MaybeUninit<Box<Error>>>,
) -> Status {
    call(err, || {
        // SAFETY: all callers promise a live handle or NULL.
        let node = unsafe { live(node, "node") }?;
        let policy = policy.read("policy")?;
        let done = node.wait(None, |node| node.enable_policy(policy, enabled))?;
        offer(written, done.into());
        Ok(())
    })
}

/// Lists the policies, a JSON array by name: `name`, `tribe`, `text`, `enabled`, `understood`. Free it
/// with tribe_text_free().
#[unsafe(no_mangle)]
#[must_use]
pub extern "C" fn tribe_policy_list(
    node: Option<&Node>,
    out: Option<&mut MaybeUninit<Box<Text>>>,
    err: Option<&mut MaybeUninit<Box<Error>>>,
) -> Status {
    tell(node, out, err, |node| node.view().policies.values().map(policy_json).collect())
}

/// Explains what a policy says of a node, and why: a JSON object with `policy`, `tribe`, `node`,
/// `satisfied`, `text` (a tree for people) and `tree` (for machines). `member` empty: this node. Free it
/// with tribe_text_free().
#[unsafe(no_mangle)]
#[must_use]
pub extern "C" fn tribe_policy_explain(
    node: Option<&Node>,
    policy: Str,
    member: Str,
    out: Option<&mut MaybeUninit<Box<Text>>>,
    err: Option<&mut MaybeUninit<Box<Error>>>,
) -> Status {
    call(err, || {
        let out = out.required("out")?;
        let (policy, member) = (policy.read("policy")?, member.read_optional("member")?);
        let node = node.required("node")?.open()?;
        let view = node.view();
        let explained = explain(view.known_policy(policy)?, find(&view, node, member)?)?;
        out.write(Box::new(Text::json(&explained)));
        Ok(())
    })
}

/// What the text of a policy, which need not exist, says of a node. `member` empty: this node.
#[unsafe(no_mangle)]
#[must_use]
pub extern "C" fn tribe_policy_evaluate(
    node: Option<&Node>,
    text: Str,
    member: Str,
    out: Option<&mut MaybeUninit<Verdict>>,
    err: Option<&mut MaybeUninit<Box<Error>>>,
) -> Status {
    call(err, || {
        let out = out.required("out")?;
        let (text, member) = (text.read("text")?, member.read_optional("member")?);
        let node = node.required("node")?.open()?;
        let policy = tribe::Policy::parse(text)?;
        let view = node.view();
        out.write(policy.evaluate(&find(&view, node, member)?.facts).into());
        Ok(())
    })
}

fn explain(info: &PolicyInfo, member: &Member) -> Result<Value, Error> {
    let policy = info.policy.as_ref().ok_or_else(|| {
        let message = format!("policy `{}` is of a newer level than this version", info.name);
        Error::new(Status::PolicyNotUnderstood, message)
    })?;
    let explanation = policy.explain(&member.facts);
    Ok(json!({
        "policy": info.name.as_str(),
        "tribe": info.tribe.as_str(),
        "node": member.name.as_str(),
        "satisfied": Verdict::from(policy.evaluate(&member.facts)) == Verdict::True,
        "text": explanation.to_string(),
        "tree": explanation,
    }))
}

fn policy_json(info: &PolicyInfo) -> Value {
    json!({
        "name": info.name.as_str(),
        "tribe": info.tribe.as_str(),
        "text": info.text,
        "enabled": info.enabled,
        "understood": info.policy.is_some(),
    })
}
