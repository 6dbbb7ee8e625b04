//! What goes in and out of the engine.

use std::{net::SocketAddr, time::Duration};

use super::{Caller, CommandError, Detached, DialError, Event, Reply};
use crate::{KeyId, Keyring, ServiceName};

/// The time of one turn: timers go by the monotonic clock, stamps by the wall clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Now {
    /// Since any fixed point; never goes back.
    pub mono: Duration,
    /// Unix milliseconds; may jump.
    pub wall_ms: u64,
}

/// A stream between two engines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamId(pub u64);

/// A command, to match its reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub u64);

/// What both sides of a stream agreed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Agreed {
    /// The key it is sealed with.
    pub key: KeyId,
    /// The version of the protocol that is spoken.
    pub version: u8,
}

/// What happened to a stream.
#[derive(Debug, Clone)]
pub enum StreamEvent {
    /// A peer opened one and proved that it has this key. Its id has the highest bit set.
    Accepted(StreamId, SocketAddr, Agreed),
    /// One that the engine dialled stands.
    Opened(StreamId, Agreed),
    /// A whole message came.
    Message(StreamId, Vec<u8>),
    /// It is over, or could not be opened.
    Closed(StreamId, String),
    /// The host of one that the engine dialled has taken the connection; the peer has proved nothing yet.
    Reached(StreamId),
    /// The host of one that the engine dialled is there, and nobody on it listens. [`Self::Closed`] follows.
    Refused(StreamId),
    /// Who was dialled says that this is its key, which the engine does not hold. [`Self::Closed`] follows.
    OtherKey(StreamId, KeyId),
}

/// A table of the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Table {
    /// Shared records, by key.
    Shared,
    /// Owned records, by owner, epoch and kind.
    Owned,
    /// What concerns this node alone.
    Local,
}

/// One change of the store; `None` deletes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Write {
    /// Where.
    pub table: Table,
    /// The key.
    pub key: Vec<u8>,
    /// The value.
    pub value: Option<Vec<u8>>,
}

/// What the store held at start.
#[derive(Debug, Clone, Default)]
pub struct Saved {
    /// All entries of all tables.
    pub entries: Vec<(Table, Vec<u8>, Vec<u8>)>,
}

/// The seeds' addresses, as far as their names could be resolved.
#[derive(Debug, Clone, Default)]
pub struct Resolved {
    /// All addresses of all seeds.
    pub addresses: Vec<SocketAddr>,
    /// Seeds whose names could not be resolved now.
    pub unresolved: usize,
}

/// What the loop must do.
#[derive(Debug)]
pub enum Output {
    /// Send a datagram.
    Send {
        /// Where to.
        to: SocketAddr,
        /// Sealed bytes.
        bytes: Vec<u8>,
    },
    /// Open a stream.
    Dial {
        /// Its id.
        stream: StreamId,
        /// Where to.
        to: SocketAddr,
        /// The key to open it with; should the peer know another one of ours, that.
        key: KeyId,
        /// Randomness for the handshake.
        seed: [u8; 32],
        /// It may be detached: after each of its messages wait for what the engine says to it, for what
        /// comes later may not be the engine's.
        detachable: bool,
    },
    /// Send a message on a stream.
    Message {
        /// The stream.
        stream: StreamId,
        /// The message.
        bytes: Vec<u8>,
    },
    /// Send what is left on a stream and close it.
    Close {
        /// The stream.
        stream: StreamId,
    },
    /// Send this message, if there is one, and give the stream to a user. No event of it goes to the engine any
    /// more, but for its end.
    Detach {
        /// The stream.
        stream: StreamId,
        /// The engine's last message.
        last: Option<Vec<u8>>,
        /// Whose it is.
        to: Detached,
    },
    /// Make a stream between a user and a service of this very node, and tell its end as of any other.
    Connect {
        /// The stream.
        stream: StreamId,
        /// The command that dialled.
        ticket: Ticket,
        /// The service.
        service: ServiceName,
        /// This node, which is on both ends.
        peer: Caller,
    },
    /// A service was not reached.
    DialFailed(Ticket, DialError),
    /// Write to the store; then call `handle_persisted` with this number.
    Persist {
        /// Grows with each.
        upto: u64,
        /// Someone waits for it; otherwise it may be grouped for about a second.
        urgent: bool,
        /// What to write, in this order.
        writes: Vec<Write>,
    },
    /// Open streams with these keys from now on, and end those of users whose key opens nothing any more.
    Keys(Keyring),
    /// Answer a command.
    Reply(Ticket, Result<Reply, CommandError>),
    /// Tell those who listen.
    Event(Event),
    /// Resolve the names of the seeds and call `handle_seeds`.
    Resolve,
    /// The good-bye is said: stop.
    Stopped,
}
