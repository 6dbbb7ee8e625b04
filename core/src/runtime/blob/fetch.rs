//! Fetching: one transfer a blob, from one holder after the other.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::{Semaphore, watch},
    task::spawn_blocking,
    time::timeout,
};

use super::{
    BlobError,
    store::{BlobStore, Part},
    wire::{self, Answer, Ask, PeerError},
};
use crate::{BlobId, NodeName, limits, runtime::clock::Clock};

/// The other nodes, as fetching needs them.
pub(super) trait Peers: Send + Sync + 'static {
    /// A stream to the blobs of another node.
    type Stream: AsyncRead + AsyncWrite + Unpin + Send;

    /// The live nodes that offer a blob, without this one.
    fn offering(&self, blob: BlobId) -> Vec<NodeName>;

    /// Opens a stream to the blobs of a node.
    fn dial(&self, node: &NodeName) -> impl Future<Output = Result<Self::Stream, String>> + Send;

    /// Returns when this node stops.
    fn stopped(&self) -> impl Future<Output = ()> + Send;
}

type Outcome = Option<Result<PathBuf, BlobError>>;

/// Fetches blobs into a store, and answers others that fetch.
#[derive(Debug)]
pub(super) struct Fetcher<P> {
    pub(super) store: Arc<BlobStore>,
    pub(super) peers: P,
    clock: Clock,
    ready: watch::Receiver<bool>,
    transfers: Mutex<BTreeMap<BlobId, watch::Sender<Outcome>>>,
    /// Who holds a blob that says so to us alone: it asked us to hold it, too.
    hints: Mutex<BTreeSet<(BlobId, NodeName)>>,
    memory: Mutex<Memory>,
    slots: Semaphore,
}

/// What is known of holders.
#[derive(Debug, Default)]
struct Memory {
    last_good: Option<NodeName>,
    /// Until when, by our clock, those who sent wrong bytes are not asked.
    distrusted: BTreeMap<NodeName, Duration>,
    /// Since when, by our clock, holders refuse this node. Nobody has served it since.
    refusing: BTreeMap<NodeName, Duration>,
}

/// A node that joins a tribe is refused until the holders hear of it; who refuses for longer is told of.
const PASSING: Duration = Duration::from_secs(5);

impl Memory {
    /// A holder refused this node. Has it done so for longer than a change takes to reach it?
    fn keeps_refusing(&mut self, holder: &NodeName, now: Duration) -> bool {
        let since = *self.refusing.entry(holder.clone()).or_insert(now);
        now >= since + PASSING
    }
}

/// What came of one holder.
enum Tried {
    Whole(PathBuf),
    Failed(PeerError),
}

impl<P: Peers> Fetcher<P> {
    pub(super) fn new(
        store: Arc<BlobStore>,
        peers: P,
        clock: Clock,
        ready: watch::Receiver<bool>,
    ) -> Self {
        Self {
            store,
            peers,
            clock,
            ready,
            transfers: Mutex::default(),
            hints: Mutex::default(),
            memory: Mutex::default(),
            slots: Semaphore::new(limits::BLOBS_FETCHED),
        }
    }

    /// Waits until all that was found at start is verified.
    pub(super) async fn ready(&self) -> Result<(), BlobError> {
        let mut ready = self.ready.clone();
        tokio::select! {
            biased;
            () = self.peers.stopped() => Err(BlobError::Closed),
            verified = ready.wait_for(|ready| *ready) => {
                verified.map(drop).map_err(|_| BlobError::Closed)
            }
        }
    }

    /// The file of a blob, fetched unless it is here.
    pub(super) async fn fetch(
        self: &Arc<Self>,
        blob: BlobId,
        bytes: u64,
    ) -> Result<PathBuf, BlobError> {
        self.ready().await?;
        if let Some(path) = self.store.path(blob) {
            self.store.touch(blob);
            return Ok(path);
        }
        let mut outcome = self.join(blob, bytes);
        let outcome = outcome.wait_for(Option::is_some).await.map_err(|_| BlobError::Closed)?;
        outcome.clone().unwrap_or(Err(BlobError::Closed))
    }

    #[cfg(test)]
    pub(super) fn is_idle(&self) -> bool {
        lock(&self.transfers).is_empty()
    }

    /// Joins the transfer of a blob, or begins one.
    fn join(self: &Arc<Self>, blob: BlobId, bytes: u64) -> watch::Receiver<Outcome> {
        let mut transfers = lock(&self.transfers);
        if let Some(running) = transfers.get(&blob) {
            return running.subscribe();
        }
        let (sender, receiver) = watch::channel(None);
        transfers.insert(blob, sender.clone());
        let fetcher = Arc::clone(self);
        tokio::spawn(async move {
            let outcome = tokio::select! {
                biased;
                () = fetcher.peers.stopped() => Err(BlobError::Closed),
                () = fetcher.unwanted(blob, &sender) => return,
                outcome = fetcher.transfer(blob, bytes) => outcome,
            };
            lock(&fetcher.transfers).remove(&blob);
            sender.send_replace(Some(outcome));
        });
        receiver
    }

    /// Returns once nobody waits for a transfer any more; then it is off the list.
    async fn unwanted(&self, blob: BlobId, sender: &watch::Sender<Outcome>) {
        loop {
            sender.closed().await;
            let mut transfers = lock(&self.transfers);
            // Someone may have joined meanwhile.
            if sender.receiver_count() == 0 {
                transfers.remove(&blob);
                return;
            }
        }
    }

    async fn transfer(&self, blob: BlobId, bytes: u64) -> Result<PathBuf, BlobError> {
        let _slot = self.slots.acquire().await.map_err(|_| BlobError::Closed)?;
        if self.offering(blob).is_empty() {
            return Err(BlobError::NoHolder { blob });
        }
        let store = Arc::clone(&self.store);
        let mut part = blocking(move || store.part(blob, bytes)).await?;
        // Whose bytes are in the part; `None` are those of an earlier try.
        let mut sources: BTreeSet<Option<NodeName>> =
            (part.length() > 0).then_some(None).into_iter().collect();
        let mut tried = Vec::new();
        while let Some(holder) = self.next(blob, &tried) {
            let outcome;
            (part, outcome) = self.try_holder(&holder, part, &mut sources).await?;
            match outcome {
                Tried::Whole(path) => {
                    let mut memory = lock(&self.memory);
                    memory.refusing.clear();
                    memory.last_good = Some(holder);
                    return Ok(path);
                }
                Tried::Failed(error) => {
                    if self.is_passing(&holder, &error) {
                        tracing::debug!(%blob, node = %holder, "cannot fetch a blob yet: {error}");
                    } else {
                        tracing::info!(%blob, node = %holder, "cannot fetch a blob: {error}");
                    }
                    tried.push((holder, error.to_string()));
                }
            }
        }
        for holder in self.offering(blob) {
            if tried.iter().all(|(name, _)| *name != holder) {
                tried.push((holder, "it sent wrong bytes lately".to_owned()));
            }
        }
        match tried.is_empty() {
            true => Err(BlobError::NoHolder { blob }),
            false => Err(BlobError::Holders { blob, holders: tried }),
        }
    }

    /// Fetches what is missing from one holder. If the whole is wrong, and not all of it was this
    /// holder's, then it is asked for all of it.
    async fn try_holder(
        &self,
        holder: &NodeName,
        mut part: Part,
        sources: &mut BTreeSet<Option<NodeName>>,
    ) -> Result<(Part, Tried), BlobError> {
        loop {
            let before = part.length();
            let came;
            (part, came) = self.download(holder, part).await?;
            if part.length() > before {
                sources.insert(Some(holder.clone()));
            }
            if let Err(error) = came {
                return Ok((part, Tried::Failed(error)));
            }
            if part.is_right() {
                let store = Arc::clone(&self.store);
                let (part, path) = blocking(move || {
                    let path = store.finish(&part)?;
                    Ok((part, path))
                })
                .await?;
                return Ok((part, Tried::Whole(path)));
            }
            let all_its_own = sources.iter().all(|source| source.as_ref() == Some(holder));
            sources.clear();
            part = blocking(move || part.restart().map(|()| part)).await?;
            if all_its_own {
                self.distrust(holder);
                return Ok((part, Tried::Failed(PeerError::Wrong)));
            }
        }
    }

    async fn download(
        &self,
        holder: &NodeName,
        part: Part,
    ) -> Result<(Part, Result<(), PeerError>), BlobError> {
        if part.length() == part.bytes() && part.length() > 0 {
            // Finished by an earlier try that was stopped before it looked.
            return Ok((part, Ok(())));
        }
        match self.dial(holder).await {
            Ok(mut stream) => wire::download(&mut stream, part).await,
            Err(error) => Ok((part, Err(error))),
        }
    }

    async fn dial(&self, node: &NodeName) -> Result<P::Stream, PeerError> {
        let dialled = timeout(limits::BLOB_IDLE, self.peers.dial(node)).await;
        let dialled = dialled.map_err(|_| PeerError::Idle(limits::BLOB_IDLE))?;
        dialled.map_err(PeerError::Refused)
    }

    /// The holder to ask next: the one that served us last, otherwise any.
    fn next(&self, blob: BlobId, tried: &[(NodeName, String)]) -> Option<NodeName> {
        let mut holders = self.offering(blob);
        holders.retain(|holder| tried.iter().all(|(name, _)| name != holder));
        let mut memory = lock(&self.memory);
        let now = self.clock.now().mono;
        memory.distrusted.retain(|_, until| *until > now);
        holders.retain(|holder| !memory.distrusted.contains_key(holder));
        match &memory.last_good {
            Some(good) if holders.contains(good) => Some(good.clone()),
            _ => shuffled(holders).into_iter().next(),
        }
    }

    fn offering(&self, blob: BlobId) -> Vec<NodeName> {
        let hints = lock(&self.hints);
        let hinted = hints.iter().filter(|(hinted, _)| *hinted == blob).map(|(_, name)| name);
        let all: BTreeSet<NodeName> =
            self.peers.offering(blob).into_iter().chain(hinted.cloned()).collect();
        all.into_iter().collect()
    }

    fn is_passing(&self, holder: &NodeName, error: &PeerError) -> bool {
        let now = self.clock.now().mono;
        matches!(error, PeerError::Refused(_)) && !lock(&self.memory).keeps_refusing(holder, now)
    }

    fn distrust(&self, holder: &NodeName) {
        tracing::warn!(node = %holder, "sent wrong bytes for a blob, and is not asked for a while");
        let until = self.clock.now().mono + limits::BLOB_DISTRUST;
        let mut memory = lock(&self.memory);
        memory.distrusted.insert(holder.clone(), until);
        memory.last_good.take_if(|good| good == holder);
    }

    /// Asks another node to hold a blob; returns once it does.
    pub(super) async fn ask_to_hold(
        &self,
        node: &NodeName,
        blob: BlobId,
        bytes: u64,
    ) -> Result<(), PeerError> {
        let mut stream = self.dial(node).await?;
        wire::send(&mut stream, &Ask::Hold { blob, bytes }).await?;
        // It fetches the blob meanwhile; whoever asks says how long that may take.
        match wire::receive(&mut stream, Duration::MAX).await? {
            Answer::Held => Ok(()),
            Answer::Refused(reason) => Err(PeerError::Refused(reason)),
            Answer::Bytes(_) => Err(PeerError::Malformed),
        }
    }

    /// Answers one request of another node.
    pub(super) async fn answer<S>(
        self: &Arc<Self>,
        caller: &NodeName,
        stream: &mut S,
    ) -> Result<(), PeerError>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        match wire::receive(stream, limits::BLOB_IDLE).await? {
            Ask::Get { blob, offset } => match self.store.path(blob) {
                Some(path) => wire::upload(stream, &path, offset).await,
                None => wire::send_last(stream, &wire::refusal("it does not hold it")).await,
            },
            Ask::Hold { blob, bytes } => {
                let _hint = Hint::new(self, blob, caller);
                let answer = match self.fetch(blob, bytes).await {
                    Ok(_) => Answer::Held,
                    Err(error) => wire::refusal(&error.to_string()),
                };
                wire::send_last(stream, &answer).await
            }
        }
    }
}

/// Someone says to hold a blob, for as long as this lives.
struct Hint<'a> {
    hints: &'a Mutex<BTreeSet<(BlobId, NodeName)>>,
    hint: (BlobId, NodeName),
}

impl<'a> Hint<'a> {
    fn new<P>(fetcher: &'a Fetcher<P>, blob: BlobId, caller: &NodeName) -> Self {
        let hint = (blob, caller.clone());
        lock(&fetcher.hints).insert(hint.clone());
        Self { hints: &fetcher.hints, hint }
    }
}

impl Drop for Hint<'_> {
    fn drop(&mut self) {
        lock(self.hints).remove(&self.hint);
    }
}

/// The same in any order, so that not all nodes ask the same holder.
pub(super) fn shuffled(names: Vec<NodeName>) -> Vec<NodeName> {
    // Without randomness they are asked by name, which is fine, too.
    let key = |name| (getrandom::u64().unwrap_or_default(), name);
    let shuffled: BTreeSet<(u64, NodeName)> = names.into_iter().map(key).collect();
    shuffled.into_iter().map(|(_, name)| name).collect()
}

async fn blocking<T: Send + 'static>(
    step: impl FnOnce() -> Result<T, BlobError> + Send + 'static,
) -> Result<T, BlobError> {
    spawn_blocking(step).await.map_err(|_| BlobError::Closed)?
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_refuses_for_a_moment_is_not_told_of() {
        let (mut memory, seconds) = (Memory::default(), Duration::from_secs);
        let [one, other] = ["i1", "i2"].map(|name| NodeName::parse(name).unwrap());
        assert!(!memory.keeps_refusing(&one, seconds(1)));
        assert!(!memory.keeps_refusing(&one, seconds(5)));
        assert!(memory.keeps_refusing(&one, seconds(6)));
        assert!(!memory.keeps_refusing(&other, seconds(6)));
    }
}
