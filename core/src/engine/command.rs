//! What someone wants.

use std::{collections::BTreeSet, net::SocketAddr};

use bytes::Bytes;

use super::{KeyStatus, ServeOptions, Target};
use crate::{
    BlobId, FactError, FactName, Facts, ItemKind, ItemName, Key as SealingKey, KeyId, KeyringError,
    NameError, NodeId, NodeName, NodeStatus, ParsePolicyError, Placement, PolicyName,
    PolicyWarning, ServiceName, TribeName, Value, state::Version,
};

/// What someone on this node wants of the cluster.
#[derive(Debug, Clone)]
pub enum Command {
    /// Create a tribe.
    CreateTribe {
        /// Its name.
        tribe: TribeName,
        /// What it is for.
        description: String,
    },
    /// Say anew what a tribe is for.
    DescribeTribe {
        /// Its name.
        tribe: TribeName,
        /// What it is for.
        description: String,
    },
    /// Delete a tribe with its placements, policies and items.
    DeleteTribe {
        /// Its name.
        tribe: TribeName,
    },
    /// Place a node by hand, or give it back to the policies.
    Place {
        /// The tribe.
        tribe: TribeName,
        /// The node, which may not exist yet.
        node: NodeName,
        /// In, out, or as the policies say.
        placement: Placement,
    },
    /// Create a policy; its tribe is created if there is none of that name.
    CreatePolicy {
        /// Its name.
        policy: PolicyName,
        /// Its text.
        text: String,
        /// The tribe it places nodes in.
        tribe: TribeName,
        /// How.
        options: PolicyOptions,
    },
    /// Delete a policy.
    DeletePolicy {
        /// Its name.
        policy: PolicyName,
    },
    /// Switch a policy on or off.
    EnablePolicy {
        /// Its name.
        policy: PolicyName,
        /// On or off.
        enabled: bool,
    },
    /// Put an item: what the nodes of a tribe, or this node alone, should have.
    PutItem {
        /// The tribe; `None` is this node alone.
        tribe: Option<TribeName>,
        /// The item's kind.
        kind: ItemKind,
        /// Its name.
        name: ItemName,
        /// Its document, opaque here.
        document: Bytes,
        /// How.
        options: PutOptions,
    },
    /// Remove an item.
    RemoveItem {
        /// The tribe; `None` is this node alone.
        tribe: Option<TribeName>,
        /// The item's kind.
        kind: ItemKind,
        /// Its name.
        name: ItemName,
    },
    /// Say whether an item should run.
    RunItem {
        /// The tribe; `None` is this node alone.
        tribe: Option<TribeName>,
        /// The item's kind.
        kind: ItemKind,
        /// Its name.
        name: ItemName,
        /// Should it?
        running: bool,
    },
    /// Serve a service: the others hear of it a moment later, unless it is hidden.
    Serve {
        /// Its name.
        service: ServiceName,
        /// Who may dial it.
        options: ServeOptions,
    },
    /// Serve it no more. Streams that are open stay so.
    Unserve {
        /// Its name.
        service: ServiceName,
    },
    /// Dial a service. The answer is a stream or [`Output::DialFailed`](super::Output::DialFailed).
    Dial {
        /// Whom.
        target: Target,
        /// The service.
        service: ServiceName,
    },
    /// The blobs this node holds from now on; the others hear of it a moment later.
    SetBlobs(BTreeSet<BlobId>),
    /// How far this node is with its items; it is told to the others at once, but not often.
    SetStatus(NodeStatus),
    /// Set and unset run-time facts of a node. That node alone writes them.
    SetFacts {
        /// The node; `None` is this one.
        node: Option<NodeName>,
        /// Facts to set.
        set: Vec<(FactName, Value)>,
        /// Facts to unset: what a lower source says shows again.
        unset: Vec<FactName>,
    },
    /// Facts that were collected from this host.
    ObserveFacts(Facts),
    /// Ask the live members whether they hold a record.
    Wait {
        /// What was written.
        written: Written,
        /// How long to ask, in milliseconds.
        timeout_ms: u64,
    },
    /// Drop what a node said that is down or has left, everywhere and for good.
    Forget {
        /// The node.
        node: NodeName,
    },
    /// Have all members hold a key: it opens what is sealed with it.
    InstallKey(SealingKey),
    /// Have all members seal with a key that is installed.
    UseKey {
        /// Its fingerprint.
        key: KeyId,
        /// Even if there are members that do not hold it yet.
        force: bool,
    },
    /// Have no member open what is sealed with a key.
    RemoveKey {
        /// Its fingerprint.
        key: KeyId,
        /// Even if there are members that do not hold the one that seals yet.
        force: bool,
    },
    /// Say how far all keys are, and ask the members what they hold: a moment later the answer may be better.
    Keys,
    /// Say good-bye and stop.
    Leave,
}

/// How an item is put. By default there must be none of that name, and it runs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PutOptions {
    /// There may be one of that name; it is replaced.
    pub replace: bool,
    /// Should it run? `None`: one that is replaced as before, a new one does. In one step with the
    /// document, so that nobody starts for a moment what should not run.
    pub running: Option<bool>,
}

/// How a policy is created. By default there must be no other of that name, and it is enabled.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PolicyOptions {
    /// There may be one of that name with another text or tribe; it is replaced.
    pub replace: bool,
    /// Should it be enabled? `None`: one that is replaced as before, a new one is. In one step with
    /// the text, so that no node enters for a moment by a policy that should be off. One that is there
    /// with the same text and tribe is switched as well.
    pub enabled: Option<bool>,
}

/// The answer to a [`Command`].
#[derive(Debug, Clone, PartialEq)]
pub enum Reply {
    /// It is written here, on disk if there is one, and on its way to the others.
    Written(Written),
    /// A policy is written.
    PolicyCreated(PolicyCreated),
    /// Live members that did not say in time that they hold the record.
    Missing(Vec<NodeName>),
    /// How far the keys are.
    Keys(KeyStatus),
    /// Done.
    Done,
}

/// What was written, to be waited for: one record, or those that make it up together, as a policy and
/// its switch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// At least one.
    pub(crate) versions: Vec<Version>,
}

/// A policy that was written.
#[derive(Debug, Clone, PartialEq)]
pub struct PolicyCreated {
    /// To wait for.
    pub written: Written,
    /// The tribe did not exist and was created with it.
    pub tribe_created: bool,
    /// What may be a mistake in its text.
    pub warnings: Vec<PolicyWarning>,
}

/// Why a command was not carried out. Nothing has changed, unless the variant says otherwise.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum CommandError {
    /// The user's name is not a name.
    #[error(transparent)]
    Name(#[from] NameError),
    /// The user's fact is not a fact.
    #[error(transparent)]
    Fact(#[from] FactError),
    /// The user's policy is not a policy.
    #[error(transparent)]
    Policy(#[from] ParsePolicyError),
    /// The user names a tribe that does not exist.
    #[error("there is no tribe `{name}`{}", suggest(.near))]
    UnknownTribe {
        /// What the user typed.
        name: String,
        /// The nearest tribe there is.
        near: Option<String>,
    },
    /// The user names a policy that does not exist.
    #[error("there is no policy `{name}`{}", suggest(.near))]
    UnknownPolicy {
        /// What the user typed.
        name: String,
        /// The nearest policy there is.
        near: Option<String>,
    },
    /// The user names an item that does not exist.
    #[error("there is no {kind} `{name}` {}{}", place(.tribe), suggest(.near))]
    UnknownItem {
        /// The item's kind.
        kind: ItemKind,
        /// What the user typed.
        name: String,
        /// The tribe; `None` is this node alone.
        tribe: Option<TribeName>,
        /// The nearest item of that kind there is.
        near: Option<String>,
    },
    /// The user names a node that does not exist.
    #[error("there is no node `{name}`{}", suggest(.near))]
    UnknownNode {
        /// What the user typed.
        name: String,
        /// The nearest node there is.
        near: Option<String>,
    },
    /// The user creates a tribe that exists.
    #[error("tribe `{0}` exists")]
    TribeExists(TribeName),
    /// The user creates a policy that exists, with another text or tribe.
    #[error("policy `{policy}` exists in tribe `{tribe}`, delete it first")]
    PolicyExists {
        /// The policy.
        policy: PolicyName,
        /// Its tribe.
        tribe: TribeName,
    },
    /// The user puts an item that exists, and did not ask to replace it.
    #[error("{kind} `{name}` exists {}", place(.tribe))]
    ItemExists {
        /// The item's kind.
        kind: ItemKind,
        /// Its name.
        name: ItemName,
        /// Its tribe; `None` is this node alone.
        tribe: Option<TribeName>,
    },
    /// This node serves a service of that name already.
    #[error("this node serves `{0}` already")]
    ServiceExists(ServiceName),
    /// The user unsets a run-time fact that is not set.
    #[error("fact `{0}` is not set at run time, so it cannot be unset")]
    NotSet(FactName),
    /// The user's text is too long.
    #[error("{what} takes {found} bytes, at most {max}")]
    TooLong {
        /// What is too long.
        what: &'static str,
        /// Its length.
        found: usize,
        /// The limit.
        max: usize,
    },
    /// The user forgets a node that is alive.
    #[error("node `{0}` is alive, only one that is down or has left can be forgotten")]
    StillAlive(NodeName),
    /// The node that must carry it out is down, or did not answer.
    #[error("node `{0}` does not answer, it alone can do this")]
    Unreachable(NodeName),
    /// The node that must carry it out refused; its own words.
    #[error("node `{node}` refused: {reason}")]
    Refused {
        /// The node.
        node: NodeName,
        /// Why.
        reason: String,
    },
    /// This node has never met its cluster, and the command waited in vain for that: no seed
    /// answers, or none holds the same key. Or too many wait already. It was not carried out.
    #[error(
        "this node has not met its cluster since it was started, so it may not know all that is there"
    )]
    NotSynced,
    /// The state here is full.
    #[error("this cluster has {0} shared records, no more fit")]
    Full(usize),
    /// This node has as many items of its own as fit.
    #[error("this node alone has {0} items, no more fit")]
    TooManyItems(usize),
    /// This host's clock lies far behind what others wrote.
    #[error("the clock of this host is more than 5 minutes behind the cluster's, set it first")]
    ClockBehind,
    /// This host's clock lies far ahead of most others': they would not take what is written here.
    #[error("the clock of this host is more than 5 minutes ahead of the cluster's, set it first")]
    ClockAhead,
    /// Two live nodes claim this node's name, and the other one keeps it.
    #[error(
        "the name of this node is held by live node {holder}{}, rename one of the two",
        at(.address)
    )]
    NameTaken {
        /// The other one.
        holder: NodeId,
        /// Where it was last reached, if this node has ever heard that.
        address: Option<SocketAddr>,
    },
    /// The user changes keys of a cluster that has none.
    #[error("this cluster is not encrypted, so it has no keys")]
    Plaintext,
    /// The user names a key that does not exist.
    #[error("there is no key `{0}`, `key list` shows the keys there are")]
    UnknownKey(KeyId),
    /// The user names a key that was removed.
    #[error("key `{0}` was removed, install another one")]
    KeyRemoved(KeyId),
    /// The user's key seals.
    #[error("key `{0}` seals, use another one before it is removed")]
    KeySeals(KeyId),
    /// This node has heard of the key and not got it yet.
    #[error("this node does not hold key `{0}` yet, try again in a moment")]
    KeyNotHeld(KeyId),
    /// There are members that are not known to hold the key that is to seal.
    #[error("not known to hold key `{key}`: {}; wait for them, or force it", names(.nodes))]
    KeyLacking {
        /// The key.
        key: KeyId,
        /// Members without it.
        nodes: Vec<NodeName>,
    },
    /// The keyring does not take the user's key.
    #[error(transparent)]
    Keyring(#[from] KeyringError),
    /// The operating system gives no randomness for a key.
    #[error("the system gives no randomness: {0}")]
    Randomness(String),
    /// The store failed; the write may be lost at the next start.
    #[error("cannot write to the data directory: {0}")]
    Storage(String),
    /// This node has left or is shutting down. A write that was under way may still be on disk.
    #[error("this node has left the cluster")]
    Closed,
    /// The handle was taken over a fork.
    #[error("this handle was made before fork(), start a new node in the child")]
    Forked,
}

fn at(address: &Option<SocketAddr>) -> String {
    address.map_or_else(String::new, |address| format!(" at {address}"))
}

fn place(tribe: &Option<TribeName>) -> String {
    tribe
        .as_ref()
        .map_or_else(|| "on this node alone".to_owned(), |tribe| format!("in tribe `{tribe}`"))
}

/// Some names, and how many more there are.
pub(crate) fn names(nodes: &[NodeName]) -> String {
    const SHOWN: usize = 10;
    let shown: Vec<String> = nodes.iter().take(SHOWN).map(|node| format!("`{node}`")).collect();
    let more = match nodes.len().saturating_sub(SHOWN) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    format!("{}{more}", shown.join(", "))
}

fn suggest(near: &Option<String>) -> String {
    near.as_ref().map_or_else(String::new, |near| format!(", did you mean `{near}`?"))
}
