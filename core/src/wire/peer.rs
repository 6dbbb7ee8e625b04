//! Members as nodes speak of them: to the failure detector, in greetings and in digest sync.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use crate::NodeId;

/// Who a member is: nothing but what routing needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct Identity {
    /// The form of this identity, for later ones.
    format: u8,
    /// The node.
    pub(crate) id: NodeId,
    /// Where it is reached.
    pub(crate) address: SocketAddr,
    /// Grows with each start and each renewal; the highest counts.
    pub(crate) generation: u64,
}

impl Identity {
    pub(crate) fn new(id: NodeId, address: SocketAddr, generation: u64) -> Self {
        Self { format: 1, id, address, generation }
    }

    /// Nobody at this address, as no node is.
    pub(crate) fn nobody(address: SocketAddr) -> Self {
        Self { format: 0, id: NodeId(0), address, generation: 0 }
    }

    /// The next identity of this node, which wins over this one.
    pub(crate) fn renewed(self) -> Option<Self> {
        Some(Self { generation: self.generation.checked_add(1)?, ..self })
    }
}

/// What the failure detector makes of a member.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Peer {
    pub(crate) identity: Identity,
    /// Grows when the member refutes a suspicion.
    pub(crate) incarnation: u16,
    pub(crate) standing: Standing,
}

impl Peer {
    /// Is it there, as far as anyone knows?
    pub(crate) fn is_active(&self) -> bool {
        self.standing != Standing::Down
    }
}

/// Is a member there?
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Standing {
    /// It answers.
    Alive,
    /// It has not answered someone, and may still say that it is there.
    Suspect,
    /// It is gone.
    Down,
}

/// What came of dialling a member.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Finding {
    /// It spoke.
    Here,
    /// Its host is there and refuses: nobody listens.
    Refused,
    /// Nobody took the connection.
    Unanswered,
    /// Its host took the connection, and it said nothing.
    Silent,
}
