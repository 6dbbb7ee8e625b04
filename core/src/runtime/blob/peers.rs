//! The other nodes of the cluster, as blobs see them, and what runs beside the loop for blobs.

use std::{
    collections::BTreeSet,
    sync::{Arc, Weak},
};

use tokio::{
    sync::{oneshot, watch},
    task::spawn_blocking,
};

use super::{
    BlobStore, Blobs,
    fetch::{Fetcher, Peers, shuffled},
};
use crate::{
    BlobId, MemberState, NodeId, NodeName, ServeOptions, Target,
    engine::Command,
    limits,
    runtime::{Node, Service, ServiceStream, clock::Clock, driver::Request, node::Shared},
};

/// The service through which nodes have each other's blobs.
const SERVICE: &str = "blob";

/// The blobs of a data directory, not yet verified.
pub(in crate::runtime) struct Opened {
    pub(in crate::runtime) store: BlobStore,
    pub(in crate::runtime) found: Vec<BlobId>,
    pub(in crate::runtime) clock: Clock,
    /// No other node is to have them.
    pub(in crate::runtime) alone: bool,
}

/// Starts what blobs need. It ends with the node.
pub(in crate::runtime) async fn start(opened: Opened, shared: &Arc<Shared>) -> Blobs {
    let Opened { store, found, clock, alone } = opened;
    let store = Arc::new(store);
    let cluster = Cluster {
        node: Arc::downgrade(shared),
        name: shared.name.clone(),
        stopped: shared.stopped.clone(),
    };
    let (verified, ready) = watch::channel(false);
    let fetcher = Arc::new(Fetcher::new(Arc::clone(&store), cluster.clone(), clock, ready));
    cluster.run(verify(Arc::clone(&store), found, verified));
    cluster.run(announce(Arc::clone(&store), cluster.node.clone()));
    cluster.run(collect(store));
    if !alone {
        let node = Node::of(Arc::clone(shared));
        let options = ServeOptions { tribes: None, most: limits::BLOB_STREAMS, hidden: true };
        match node.serve(SERVICE, options).await {
            Ok(service) => cluster.run(serve(Arc::clone(&fetcher), service)),
            // The node just started, so this is our own mistake; the blobs here are still of use.
            Err(error) => tracing::error!(%error, "the blobs of this node are not served"),
        }
    }
    Blobs { fetcher }
}

/// The other nodes.
#[derive(Debug, Clone)]
pub(super) struct Cluster {
    /// Blobs do not keep the node running.
    node: Weak<Shared>,
    name: NodeName,
    stopped: watch::Receiver<bool>,
}

impl Cluster {
    pub(super) fn own_name(&self) -> &NodeName {
        &self.name
    }

    /// The live nodes but for this one and those that hold it already: preferred ones first.
    pub(super) fn candidates(
        &self,
        prefer: &[NodeId],
        holders: &BTreeSet<NodeName>,
    ) -> Vec<NodeName> {
        let Some(shared) = self.node.upgrade() else { return Vec::new() };
        let view = shared.board.view.load();
        let mut others = Vec::new();
        let mut preferred = Vec::new();
        for member in view.members.values() {
            if member.state != MemberState::Alive || holders.contains(&member.name) {
                continue;
            }
            match prefer.iter().position(|id| *id == member.id) {
                Some(at) => preferred.push((at, member.name.clone())),
                None => others.push(member.name.clone()),
            }
        }
        preferred.sort();
        preferred.into_iter().map(|(_, name)| name).chain(shuffled(others)).collect()
    }

    /// Runs something until it ends or the node stops.
    fn run(&self, task: impl Future<Output = ()> + Send + 'static) {
        let cluster = self.clone();
        tokio::spawn(async move {
            tokio::select! {
                () = task => {}
                () = cluster.stopped() => {}
            }
        });
    }
}

impl Peers for Cluster {
    type Stream = ServiceStream;

    fn offering(&self, blob: BlobId) -> Vec<NodeName> {
        let Some(shared) = self.node.upgrade() else { return Vec::new() };
        let view = shared.board.view.load();
        let holders = view.members.values().filter(|member| {
            // Who is not alive offers nothing.
            member.name != self.name && member.offers.blobs.contains(&blob)
        });
        holders.map(|member| member.name.clone()).collect()
    }

    async fn dial(&self, node: &NodeName) -> Result<ServiceStream, String> {
        let shared = self.node.upgrade().ok_or("this node has stopped")?;
        let dialled = Node::of(shared).dial(Target::Node(node.clone()), SERVICE).await;
        dialled.map_err(|error| error.to_string())
    }

    async fn stopped(&self) {
        // An error means that the loop is gone, which is what is waited for.
        let _ = self.stopped.clone().wait_for(|stopped| *stopped).await;
    }
}

/// Verifies what a data directory holds; then blobs may be added and fetched.
async fn verify(store: Arc<BlobStore>, found: Vec<BlobId>, verified: watch::Sender<bool>) {
    for blob in found {
        let store = Arc::clone(&store);
        // A panic would be our own mistake, and leaves this one out.
        let _ = spawn_blocking(move || store.verify(blob)).await;
    }
    verified.send_replace(true);
}

/// Tells the engine which blobs are held, whenever that changed.
async fn announce(store: Arc<BlobStore>, node: Weak<Shared>) {
    loop {
        store.changed.notified().await;
        let Some(shared) = node.upgrade() else { return };
        let requests = shared.requests.clone();
        drop(shared);
        let (reply, done) = oneshot::channel();
        let request = Request::Command(Command::SetBlobs(store.whole()), reply);
        if requests.send(request).await.is_err() {
            return;
        }
        drop(requests);
        if let Ok(Err(error)) = done.await {
            tracing::warn!(%error, "the others are not told which blobs are here");
        }
    }
}

/// Deletes what nothing refers to, now and then.
async fn collect(store: Arc<BlobStore>) {
    loop {
        tokio::time::sleep(limits::BLOB_COLLECT_PERIOD).await;
        let store = Arc::clone(&store);
        let _ = spawn_blocking(move || store.collect(store.now_ms())).await;
    }
}

/// Answers the other nodes.
async fn serve(fetcher: Arc<Fetcher<Cluster>>, mut service: Service) {
    while let Some(incoming) = service.accept().await {
        let (answering, mut stream) = (Arc::clone(&fetcher), incoming.stream);
        let caller = incoming.caller.name;
        fetcher.peers.run(async move {
            if let Err(error) = answering.answer(&caller, &mut stream).await {
                tracing::debug!(node = %caller, "a request for a blob ended: {error}");
            }
        });
    }
}
