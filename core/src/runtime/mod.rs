//! The tokio loop around the engine: sockets, streams, storage, the facts of this host, and the handle
//! that users hold.
//!
//! It decides nothing: it carries bytes and the time in, and orders out.

mod blob;
mod clock;
mod config;
mod doorway;
mod driver;
mod facts;
mod node;
mod services;
mod socket;
mod start;
mod store;
mod streams;
mod tunnel;
mod unmet;

use std::{net::SocketAddr, path::PathBuf};

pub use blob::{BlobError, Blobs};
pub use config::Config;
pub use node::{Events, Node};
pub use services::{Incoming, Service, ServiceStream};

use crate::FactError;

/// Why a node did not start. Nothing runs.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The user's address cannot be bound.
    #[error("cannot listen on {address}: {reason}")]
    Bind {
        /// What was asked for.
        address: SocketAddr,
        /// What the system said.
        reason: String,
    },
    /// All addresses are bound, and the host has no default route that would name one.
    #[error("cannot tell which address others reach this node at: bind one, or advertise one")]
    Advertise,
    /// The user's data directory cannot be used.
    #[error("cannot use data directory {}: {reason}", path.display())]
    DataDir {
        /// The directory.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// The user's facts are too large.
    #[error(transparent)]
    Facts(#[from] FactError),
    /// The system gave no randomness.
    #[error("the operating system gives no randomness: {0}")]
    Randomness(String),
}
