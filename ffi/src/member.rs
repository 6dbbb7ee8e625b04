//! Members of the cluster, as snapshots.

use std::{
    mem::MaybeUninit,
    ptr::NonNull,
    sync::{Arc, OnceLock},
};

use tribe::{Facts, View};

use crate::{
    Error, Names, Node, Status, Str, Text, Written,
    handle::{Required, call, call_or, live, offer},
};

/// Is a node there?
#[repr(i32)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MemberState {
    /// It answers.
    Alive = 1,
    /// It said good-bye.
    Left = 2,
    /// It does not answer.
    Down = 3,
}

impl From<tribe::MemberState> for MemberState {
    fn from(state: tribe::MemberState) -> Self {
        match state {
            tribe::MemberState::Alive => Self::Alive,
            tribe::MemberState::Left => Self::Left,
            tribe::MemberState::Down => Self::Down,
        }
    }
}

/// Members as they were at one moment.
#[derive(Debug)]
pub struct Members(Box<[Member]>);

/// One member as it was at one moment.
#[derive(Debug)]
pub struct Member {
    name: Text,
    id: Text,
    address: Text,
    state: MemberState,
    state_name: Text,
    version: Text,
    level: u32,
    tribes: Names,
    facts: Arc<Facts>,
    facts_json: OnceLock<Text>,
    agrees: bool,
}

impl Member {
    fn new(member: &tribe::Member) -> Self {
        Self {
            name: Text::new(member.name.as_str()),
            id: Text::new(member.id.to_string()),
            address: Text::new(member.address.to_string()),
            state: member.state.into(),
            state_name: Text::new(member.state.as_str()),
            version: Text::new(member.version.as_str()),
            level: member.level.into(),
            tribes: Names::new(&member.tribes),
            facts: Arc::clone(&member.facts),
            facts_json: OnceLock::new(),
            agrees: member.agrees,
        }
    }

    fn facts(&self) -> Str {
        self.facts_json.get_or_init(|| facts_json(&self.facts)).borrow()
    }
}

fn facts_json(facts: &Facts) -> Text {
    let facts = facts.iter().map(|(name, fact)| (name.to_string(), fact.value.to_json()));
    Text::json(&serde_json::Value::Object(facts.collect()))
}

/// A node by its name, or this one by none.
pub(crate) fn find<'a>(
    view: &'a View,
    node: &tribe::Node,
    name: Option<&str>,
) -> Result<&'a tribe::Member, Error> {
    match name.map_or_else(|| view.members.get(&node.id()), |_| None) {
        Some(member) => Ok(member),
        None => Ok(view.known_member(name.unwrap_or(node.name().as_str()))?),
    }
}

fn list(view: &View, tribe: Option<&str>) -> Result<Members, Error> {
    let members = match tribe {
        None => view.members.values().map(Member::new).collect(),
        Some(tribe) => {
            let members = view.known_tribe(tribe)?.members.iter();
            members.filter_map(|member| view.members.get(&member.id)).map(Member::new).collect()
        }
    };
    Ok(Members(members))
}

/// Forgets a node that is down or has left: all nodes drop what it said, and nobody looks for it any more.
/// Where it was placed by hand stays. Should it come back, it is a member like any other.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn tribe_member_forget(
    node: Option<NonNull<Node>>,
    member: Str,
    written: Option<&mut MaybeUninit<Box<Written>>>,
    err: Option<&mut MaybeUninit<Box<Error>>>,
) -> Status {
    call(err, || {
        // SAFETY: all callers promise a live handle or NULL.
        let node = unsafe { live(node, "node") }?;
        let member = member.read("member")?;
        let done = node.wait(None, |node| node.forget_member(member))?;
        offer(written, done.into());
        Ok(())
    })
}

/// Lists the members of a tribe, or all nodes of the cluster if `tribe` is empty; dead ones too. A
/// snapshot; free it with tribe_members_free().
#[unsafe(no_mangle)]
#[must_use]
pub extern "C" fn tribe_member_list(
    node: Option<&Node>,
    tribe: Str,
    out: Option<&mut MaybeUninit<Box<Members>>>,
    err: Option<&mut MaybeUninit<Box<Error>>>,
) -> Status {
    call(err, || {
        let out = out.required("out")?;
        let tribe = tribe.read_optional("tribe")?;
        let view = node.required("node")?.open()?.view();
        out.write(Box::new(list(&view, tribe)?));
        Ok(())
    })
}

/// The tribes a node is in, by name; the node's name empty: this node. Free them with
/// tribe_names_free().
#[unsafe(no_mangle)]
#[must_use]
pub extern "C" fn tribe_member_tribes(
    node: Option<&Node>,
    member: Str,
    out: Option<&mut MaybeUninit<Box<Names>>>,
    err: Option<&mut MaybeUninit<Box<Error>>>,
) -> Status {
    call(err, || {
        let out = out.required("out")?;
        let member = member.read_optional("member")?;
        let node = node.required("node")?.open()?;
        out.write(Box::new(Names::new(&find(&node.view(), node, member)?.tribes)));
        Ok(())
    })
}

/// How many members there are. 0 if `members` is NULL.
#[unsafe(no_mangle)]
pub extern "C" fn tribe_members_count(members: Option<&Members>) -> usize {
    members.map_or(0, |members| members.0.len())
}

/// A member, which lives as long as `members`. NULL if there is no such index.
#[unsafe(no_mangle)]
pub extern "C" fn tribe_members_at(members: Option<&Members>, index: usize) -> Option<&Member> {
    members?.0.get(index)
}

/// The member of a name, which lives as long as `members`. Of several the live one. NULL if there is
/// none.
#[unsafe(no_mangle)]
pub extern "C" fn tribe_members_find(members: Option<&Members>, name: Str) -> Option<&Member> {
    call_or(None, || {
        let name = name.read("name").ok()?;
        let named = members?.0.iter().filter(|member| member.name.as_str() == name);
        named.min_by_key(|member| member.state != MemberState::Alive)
    })
}

/// Frees a list of members. NULL is allowed.
#[unsafe(no_mangle)]
pub extern "C" fn tribe_members_free(members: Option<Box<Members>>) {
    call_or((), || drop(members));
}

/// The member's name. All texts of a member live as long as its list.
#[unsafe(no_mangle)]
pub extern "C" fn tribe_member_name(member: Option<&Member>) -> Str {
    member.map_or(Str::EMPTY, |member| member.name.borrow())
}

/// The member's id, 16 hexadecimal digits.
#[unsafe(no_mangle)]
pub extern "C" fn tribe_member_id(member: Option<&Member>) -> Str {
    member.map_or(Str::EMPTY, |member| member.id.borrow())
}

/// Where the member is reached, `IP:PORT`.
#[unsafe(no_mangle)]
pub extern "C" fn tribe_member_address(member: Option<&Member>) -> Str {
    member.map_or(Str::EMPTY, |member| member.address.borrow())
}

/// Is the member there? TRIBE_MEMBER_STATE_DOWN if `member` is NULL.
#[unsafe(no_mangle)]
pub extern "C" fn tribe_member_state_code(member: Option<&Member>) -> MemberState {
    member.map_or(MemberState::Down, |member| member.state)
}

/// Is the member there? `alive`, `left` or `down`.
#[unsafe(no_mangle)]
pub extern "C" fn tribe_member_state_name(member: Option<&Member>) -> Str {
    member.map_or(Str::EMPTY, |member| member.state_name.borrow())
}

/// Software and version the member runs, as it says itself.
#[unsafe(no_mangle)]
pub extern "C" fn tribe_member_version(member: Option<&Member>) -> Str {
    member.map_or(Str::EMPTY, |member| member.version.borrow())
}

/// The highest level of the policy language the member understands.
#[unsafe(no_mangle)]
pub extern "C" fn tribe_member_policy_level(member: Option<&Member>) -> u32 {
    member.map_or(0, |member| member.level)
}

/// The member computes the same memberships for itself as this node does for it. False for a moment while
/// a change travels; false for long means that the two understand a record differently.
#[unsafe(no_mangle)]
pub extern "C" fn tribe_member_agrees(member: Option<&Member>) -> bool {
    member.is_some_and(|member| member.agrees)
}

/// How many tribes the member is in.
#[unsafe(no_mangle)]
pub extern "C" fn tribe_member_tribe_count(member: Option<&Member>) -> usize {
    member.map_or(0, |member| member.tribes.count())
}

/// A tribe the member is in. Empty if there is no such index.
#[unsafe(no_mangle)]
pub extern "C" fn tribe_member_tribe_at(member: Option<&Member>, index: usize) -> Str {
    member.map_or(Str::EMPTY, |member| member.tribes.at(index))
}

/// The member's facts, a JSON object on one line: name to value.
#[unsafe(no_mangle)]
pub extern "C" fn tribe_member_facts(member: Option<&Member>) -> Str {
    call_or(Str::EMPTY, || member.map_or(Str::EMPTY, Member::facts))
}
