//! *tribe* lets agents on many hosts form one encrypted cluster without a server, sort themselves
//! into named, overlapping tribes by policies over facts, and agree on what each tribe runs.

mod codec;
pub mod engine;
pub mod fact;
mod keyring;
pub mod limits;
mod membership;
mod metric;
mod name;
mod offer;
pub mod policy;
#[cfg(feature = "runtime")]
mod runtime;
#[cfg(feature = "sim")]
pub mod sim;
mod state;
mod swim;
mod wire;

pub use engine::{
    Acting, Caller, CommandError, DialError, Event, EventKind, Item, KeyInfo, KeyMember, KeyStatus,
    Member, MemberState, Obstacle, Offer, OfferQuery, OfferedPlugin, PatternError, PluginPattern,
    PolicyCreated, PolicyInfo, PolicyOptions, PutOptions, Rotation, ServeOptions, ServicePattern,
    Target, Tribe, TribeMember, View, Written,
};
pub use fact::{Boolean, Fact, FactError, Facts, Source, Spelling, Value};
pub use keyring::{Key, KeyChange, KeyError, KeyId, KeyIdError, Keyring, KeyringError};
#[cfg(feature = "runtime")]
pub use keyring::{KeyFileError, generate_key, read_key_file};
pub use membership::Reason;
pub use metric::{Metric, MetricKind};
pub use name::{
    BlobId, BlobIdError, ClusterName, FactName, ItemKind, ItemName, NameError, NodeId, NodeIdError,
    NodeName, PolicyName, ServiceName, TribeName,
};
pub use offer::{NodeStatus, Offers};
pub use policy::{
    Elements, Explanation, FactColumns, LEVEL, ParsePolicyError, ParsePolicyErrorKind, Policy,
    PolicySet, PolicyWarning, PolicyWarningKind, Proposal, SetVerdicts, UnknownReason, Verdict,
    Would,
};
#[cfg(feature = "runtime")]
pub use runtime::{
    BlobError, Blobs, Config, Events, Incoming, Node, Service, ServiceStream, StartError,
};
pub use state::{KeyPhase, Placement};

/// The README's Rust code compiles.
#[cfg(all(doctest, feature = "runtime"))]
#[doc = include_str!("../../README.md")]
struct Readme;
