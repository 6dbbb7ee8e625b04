//! The handle that users hold.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use tokio::task::{JoinSet, spawn_blocking};

use super::{
    BlobError,
    fetch::{Fetcher, Peers},
    peers::Cluster,
};
use crate::{BlobId, NodeId, NodeName};

/// The blobs of a node.
///
/// Cheap to clone; all clones are one. They do not keep the node running.
#[derive(Clone, Debug)]
pub struct Blobs {
    pub(super) fetcher: Arc<Fetcher<Cluster>>,
}

impl Blobs {
    /// Copies a file in, and offers it to the others. Returns its id and its size.
    ///
    /// # Errors
    /// [`BlobError`].
    pub async fn add_file(&self, path: &Path) -> Result<(BlobId, u64), BlobError> {
        self.fetcher.ready().await?;
        let (store, path) = (Arc::clone(&self.fetcher.store), path.to_owned());
        spawn_blocking(move || store.add(&path)).await.map_err(|_| BlobError::Closed)?
    }

    /// The file of a blob, if it is whole here. Not to be changed: the others fetch it.
    #[must_use]
    pub fn path(&self, blob: BlobId) -> Option<PathBuf> {
        self.fetcher.store.path(blob)
    }

    /// The file of a blob of this size, fetched from any live node that offers it unless it is here.
    ///
    /// Goes on from what came in an earlier try. Those who want one blob share one transfer; dropping the
    /// last of them stops it.
    ///
    /// # Errors
    /// [`BlobError`]; trying again later may help.
    pub async fn fetch(&self, blob: BlobId, bytes: u64) -> Result<PathBuf, BlobError> {
        self.fetcher.fetch(blob, bytes).await
    }

    /// Asks others to hold a blob of this node, until so many do. Returns who holds it, this node included;
    /// fewer if there are not enough, if they refuse, or if the time is over.
    pub async fn replicate(
        &self,
        blob: BlobId,
        copies: usize,
        prefer: &[NodeId],
        limit: Duration,
    ) -> Vec<NodeName> {
        let peers = &self.fetcher.peers;
        let mut holders: BTreeSet<NodeName> = peers.offering(blob).into_iter().collect();
        if let Some(bytes) = self.fetcher.store.bytes(blob) {
            holders.insert(peers.own_name().clone());
            let candidates = peers.candidates(prefer, &holders);
            let asking = self.ask_to_hold(blob, bytes, copies, candidates, &mut holders);
            // Who held it when the time was over, holds it.
            let _ = tokio::time::timeout(limit, asking).await;
        }
        holders.into_iter().collect()
    }

    async fn ask_to_hold(
        &self,
        blob: BlobId,
        bytes: u64,
        copies: usize,
        candidates: Vec<NodeName>,
        holders: &mut BTreeSet<NodeName>,
    ) {
        let (mut candidates, mut asked) = (candidates.into_iter(), JoinSet::new());
        loop {
            while holders.len() + asked.len() < copies {
                let Some(name) = candidates.next() else { break };
                let fetcher = Arc::clone(&self.fetcher);
                asked.spawn(async move {
                    let held = fetcher.ask_to_hold(&name, blob, bytes).await;
                    (name, held)
                });
            }
            match asked.join_next().await {
                Some(Ok((name, Ok(())))) => drop(holders.insert(name)),
                Some(Ok((node, Err(error)))) => {
                    tracing::info!(%node, %blob, "does not hold a blob: {error}");
                }
                // Only when the runtime shuts down.
                Some(Err(_)) => {}
                None => return,
            }
        }
    }

    /// Says which blobs are referred to from now on. Another one goes once nothing has referred to it for
    /// [`limits::BLOB_UNREFERENCED`](crate::limits::BLOB_UNREFERENCED), counted from when it was last referred to, added or fetched.
    pub fn retain(&self, referenced: BTreeSet<BlobId>) {
        self.fetcher.store.retain(referenced);
    }
}
