//! Blobs: files named by the hash of their bytes, which any node fetches from any other that holds them.
//!
//! [`store`] keeps them, [`wire`] moves them over a stream, [`fetch`] finds who has them. A blob is offered to the
//! others once it is whole and verified; who offers it is in the view, so there is no other directory.
//!
//! Invariant: no byte is given out as part of a blob before all of them had the right hash here.

mod fetch;
mod handle;
mod peers;
mod store;
#[cfg(test)]
mod tests;
mod wire;

use std::path::PathBuf;

pub use handle::Blobs;
pub(super) use peers::{Opened, start};
pub(super) use store::BlobStore;

use crate::{BlobId, NodeName};

/// Why a blob is not to be had. Nothing has changed, but that what came of it is kept to go on from.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BlobError {
    /// No live node offers it, now. Nobody's fault: its holders are away, or it is gone.
    #[error("no live node offers blob {blob}")]
    NoHolder {
        /// Which.
        blob: BlobId,
    },
    /// Those who offer it were all asked in vain: their fault, or the network's. Trying again goes on from what came.
    #[error("blob {blob} cannot be fetched: {}", list(holders))]
    Holders {
        /// Which.
        blob: BlobId,
        /// Who was asked, and what came of it.
        holders: Vec<(NodeName, String)>,
    },
    /// The blobs here would take more than the user allows.
    #[error("a blob of {bytes} bytes does not fit: blobs take {used} of {quota} bytes here")]
    Quota {
        /// How large it is.
        bytes: u64,
        /// What the blobs take now, those that are on their way included.
        used: u64,
        /// What they may take.
        quota: u64,
    },
    /// The user's file is larger than any blob.
    #[error("{bytes} bytes are too large for a blob, at most {most}")]
    TooLarge {
        /// How large it is.
        bytes: u64,
        /// The largest allowed.
        most: u64,
    },
    /// A file cannot be read or written: the user's file, or the data directory.
    #[error("{}: {reason}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        reason: String,
    },
    /// The node has stopped.
    #[error("the node has stopped")]
    Closed,
}

fn list(holders: &[(NodeName, String)]) -> String {
    let each: Vec<_> = holders.iter().map(|(name, why)| format!("`{name}`: {why}")).collect();
    each.join("; ")
}
