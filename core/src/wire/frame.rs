//! What nodes say to each other, inside the seal: datagrams and stream messages.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use super::{
    peer::{Finding, Identity, Peer},
    seal::SessionId,
};
use crate::{
    FactName, KeyId, NodeId, NodeName, ServiceName, Value,
    keyring::KeyBytes,
    state::{Buckets, Kind, OwnedEntry, Record, Roots, SharedEntry, Version},
};

/// What one datagram says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) enum Datagram {
    /// A packet of the failure detector.
    Swim(Vec<u8>),
    /// You, in this incarnation, do not answer me: object, or you are taken for dead.
    Doubt(Identity, u16),
    /// I am here.
    Objection(Peer),
    /// Are your roots like mine?
    Check(SyncRoots),
    /// Mine are these.
    CheckReply(SyncRoots),
    /// Do you hold this?
    Holds {
        /// Echoed in the answer.
        nonce: u64,
        /// What.
        version: Version,
    },
    /// I do, or not yet.
    Held {
        /// Of the question.
        nonce: u64,
        /// Do I?
        holds: bool,
    },
    /// Dial this member, known in this incarnation: it does not answer me.
    Vouch(Identity, u16),
    /// This came of it.
    Vouched(Identity, Finding),
    /// Are you there?
    Watch,
    /// I am.
    Watched,
    /// Which keys do you hold?
    AskKeys,
    /// I hold these, on disk if I have one; the first one seals.
    HeldKeys(Vec<KeyId>),
}

/// The roots of all namespaces.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct SyncRoots {
    pub(crate) members: u64,
    pub(crate) records: Roots,
}

/// One message on a stream.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) enum Frame {
    /// First in both directions: who is this?
    Hello(Hello),
    /// The stream ends here, and why.
    Refuse(Refuse),
    /// Compare with these.
    Roots(SyncRoots),
    /// The buckets of the namespaces that differ.
    Buckets { members: Option<Buckets>, owners: Option<Buckets>, shared: Option<Buckets> },
    /// All versions held in these buckets. There may be several of these; the last one says so.
    Entries(Entries),
    /// Records the receiver lacks.
    Records(Vec<Record>),
    /// Records the sender lacks.
    Want { shared: Vec<crate::state::Key>, owned: Vec<(NodeId, u64, Kind)> },
    /// Members the receiver may lack.
    Peers(Vec<Peer>),
    /// Send me these.
    Pull(Vec<Version>),
    /// Do this, which you alone can.
    Ask(Ask),
    /// What came of it.
    Answer(Result<Version, String>),
    /// All is said.
    Done,
    /// Let me speak with this service.
    Dial(ServiceName),
    /// From here on you do: the rest of the stream is yours and the service's, and no frames. It has so
    /// many streams now.
    Dialled { load: u32 },
    /// Are you this one? If an incarnation is told, you are suspected in it.
    Ping(Identity, Option<u16>),
    /// I am this one.
    Pong(Peer),
    /// Datagram sessions of members, as far as the sender knows them.
    Sessions(Vec<(SocketAddr, SessionId)>),
    /// Send me these keys, as far as you hold them.
    WantKeys(Vec<KeyId>),
    /// Keys of the cluster, each with the record of its phase.
    Keys(Vec<ToldKey>),
    /// Before the roots: I know everything that was said, and deleted, since then. Unix milliseconds;
    /// `u64::MAX` if I have never met the cluster.
    Since(u64),
    /// Before the roots, instead of `Since`: I was away, and know nothing of what was said after
    /// then. Unix milliseconds. From version 2 on.
    Until(u64),
    /// After `Since`: but not what was said between these. Unix milliseconds. From version 2 on.
    Gap(Gap),
}

/// A time of which a node knows nothing, in Unix milliseconds, both ends within.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Gap {
    pub(crate) from_ms: u64,
    pub(crate) to_ms: u64,
}

/// A key, or that there is one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct ToldKey {
    /// Of its phase.
    pub(crate) record: Record,
    /// `None` if it was removed, or the sender does not hold it.
    pub(crate) key: Option<KeyBytes>,
}

/// Who is this?
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Hello {
    pub(crate) name: NodeName,
    pub(crate) identity: Identity,
    pub(crate) epoch: u64,
    pub(crate) session: SessionId,
    /// What its wall clock shows, in Unix milliseconds.
    pub(crate) wall_ms: u64,
}

/// Why a stream ends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Refuse {
    /// This live node holds your name.
    NameTaken(NodeId),
    /// You, or who had your name or address before, are known in these already: go beyond them.
    EpochBehind { epoch: u64, generation: u64 },
    /// Too many streams here.
    Busy,
    /// There is no such service here.
    NoService,
    /// You are in none of the tribes that may dial it.
    NotAllowed,
    /// Too many dial it.
    ServiceBusy,
}

/// Versions held in some buckets.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub(crate) struct Entries {
    pub(crate) owner_buckets: Vec<u8>,
    pub(crate) owned: Vec<OwnedEntry>,
    pub(crate) shared_buckets: Vec<u8>,
    pub(crate) shared: Vec<SharedEntry>,
    pub(crate) member_buckets: Vec<u8>,
    pub(crate) peers: Vec<Peer>,
    pub(crate) last: bool,
}

/// What only the asked node can do.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) enum Ask {
    /// Set and unset your run-time facts.
    SetFacts { set: Vec<(FactName, Value)>, unset: Vec<FactName> },
}
