//! The handle that users hold.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use tokio::sync::{broadcast, mpsc, oneshot, watch};

use super::{
    Blobs, Config, Service, ServiceStream, StartError, blob,
    driver::{Board, Request},
    services::Incoming,
    start,
};
use crate::{
    CommandError, DialError, Event, EventKind, ItemKind, ItemName, Key, KeyId, KeyStatus, NodeId,
    NodeName, NodeStatus, Placement, PolicyName, PolicyOptions, PutOptions, Rotation, ServeOptions,
    ServiceName, Target, TribeName, Value, View,
    engine::{Command, PolicyCreated, Reply, Written},
    fact,
    metric::{Metric, MetricKind},
};

/// A running node of a cluster.
///
/// Cheap to clone; all clones are one node. When the last one is dropped the node stops without a
/// good-bye, as if it had crashed: call [`Node::leave`] first.
///
/// Methods that write return once the write is on disk here, if there is a data directory, and on
/// its way to the others; [`Node::wait`] waits until they hold it. On a node with seeds that has
/// never met its cluster, what concerns all waits up to 10 s for that, and then fails:
/// [`CommandError::NotSynced`].
#[derive(Debug, Clone)]
pub struct Node {
    shared: Arc<Shared>,
    blobs: Option<Blobs>,
}

/// What all clones of a handle share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) name: NodeName,
    pub(super) id: NodeId,
    pub(super) address: SocketAddr,
    pub(super) process: u32,
    pub(super) collector: Arc<start::Collector>,
    pub(super) requests: mpsc::Sender<Request>,
    pub(super) board: Arc<Board>,
    pub(super) events: broadcast::WeakSender<Event>,
    pub(super) stopped: watch::Receiver<bool>,
}

/// Between looks at how far an exchange of keys is.
const KEY_LOOK: Duration = Duration::from_millis(100);
/// Most looks at members that have not said which keys they hold.
const KEY_LOOKS: usize = 10;

impl Node {
    /// Starts a node: binds its sockets, reads its data directory, collects its facts.
    ///
    /// It does not wait for the seeds; [`View::synced`] and the `synced` event tell when it has met them.
    /// Must be called inside a tokio runtime, whose reactor carries the node.
    ///
    /// # Errors
    /// [`StartError`]; then nothing runs.
    pub async fn start(config: Config) -> Result<Self, StartError> {
        let (shared, opened) = start::start(config).await?;
        let mut node = Self::of(Arc::new(shared));
        if let Some(opened) = opened {
            node.blobs = Some(blob::start(opened, &node.shared).await);
        }
        Ok(node)
    }

    /// A handle without blobs, to reach others by.
    pub(super) fn of(shared: Arc<Shared>) -> Self {
        Self { shared, blobs: None }
    }

    /// This node's name.
    #[must_use]
    pub fn name(&self) -> &NodeName {
        &self.shared.name
    }

    /// This node's id.
    #[must_use]
    pub fn id(&self) -> NodeId {
        self.shared.id
    }

    /// Where others reach this node.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.shared.address
    }

    /// What this node knows now. Never waits.
    #[must_use]
    pub fn view(&self) -> Arc<View> {
        self.shared.board.view.load_full()
    }

    /// What happens from now on. A reader that falls more than [`limits::EVENTS`](crate::limits::EVENTS)
    /// events behind is told how many it missed.
    #[must_use]
    pub fn events(&self) -> Events {
        let sender = self.shared.events.upgrade();
        let board = Arc::clone(&self.shared.board);
        Events { receiver: sender.map(|sender| sender.subscribe()), board }
    }

    /// What this node counts and measures, by the conventions of Prometheus: what it received,
    /// dropped and why, and how full what is bounded. At most a second old; empty until the node
    /// has begun to run.
    #[must_use]
    pub fn metrics(&self) -> Arc<Vec<Metric>> {
        self.shared.board.metrics.load_full()
    }

    /// The counters among [`Node::metrics`], by name.
    #[must_use]
    pub fn counters(&self) -> BTreeMap<String, u64> {
        let metrics = self.metrics();
        let counters = metrics.iter().filter(|metric| metric.kind == MetricKind::Counter);
        counters.map(|metric| (metric.name.to_owned(), metric.value)).collect()
    }

    /// Creates a tribe.
    ///
    /// # Errors
    /// [`CommandError`]; then nothing has changed. So for all that follow.
    pub async fn create_tribe(
        &self,
        tribe: &str,
        description: &str,
    ) -> Result<Written, CommandError> {
        let tribe = TribeName::parse(tribe)?;
        self.write(Command::CreateTribe { tribe, description: description.to_owned() }).await
    }

    /// Says anew what a tribe is for.
    ///
    /// # Errors
    /// [`CommandError`].
    pub async fn describe_tribe(
        &self,
        tribe: &str,
        description: &str,
    ) -> Result<Written, CommandError> {
        let tribe = TribeName::parse(tribe)?;
        self.write(Command::DescribeTribe { tribe, description: description.to_owned() }).await
    }

    /// Deletes a tribe with its placements, policies and items.
    ///
    /// # Errors
    /// [`CommandError`].
    pub async fn delete_tribe(&self, tribe: &str) -> Result<Written, CommandError> {
        self.write(Command::DeleteTribe { tribe: TribeName::parse(tribe)? }).await
    }

    /// Drops what a node said that is down or has left, everywhere and for good: it is listed no more, and nobody
    /// looks for it. Where it was placed by hand stays. Should it come back, it is a member like any other.
    ///
    /// # Errors
    /// [`CommandError::StillAlive`] while it is alive.
    pub async fn forget_member(&self, node: &str) -> Result<Written, CommandError> {
        self.write(Command::Forget { node: NodeName::parse(node)? }).await
    }

    /// How far the keys of the cluster are, and which members hold them. Asks the living ones, and waits a
    /// moment for their answers.
    ///
    /// # Errors
    /// [`CommandError::Plaintext`] in a cluster without keys. So for all that concern keys.
    pub async fn keys(&self) -> Result<KeyStatus, CommandError> {
        self.key_status().await?;
        for _ in 0..KEY_LOOKS {
            tokio::time::sleep(KEY_LOOK).await;
            let status = self.key_status().await?;
            if status.members.iter().all(|member| !member.alive || member.keys.is_some()) {
                return Ok(status);
            }
        }
        self.key_status().await
    }

    async fn key_status(&self) -> Result<KeyStatus, CommandError> {
        match self.command(Command::Keys).await? {
            Reply::Keys(status) => Ok(status),
            other => unreachable_reply(&other),
        }
    }

    /// Has all members hold a key: they open what is sealed with it, and seal with another one as before.
    ///
    /// # Errors
    /// [`CommandError`].
    pub async fn install_key(&self, key: Key) -> Result<Written, CommandError> {
        self.write(Command::InstallKey(key)).await
    }

    /// Has all members seal with a key that is installed. All members must hold it, unless it is forced: those
    /// that do not are understood with the old one, as long as that is not removed.
    ///
    /// # Errors
    /// [`CommandError::KeyLacking`] names those that do not hold it.
    pub async fn use_key(&self, key: KeyId, force: bool) -> Result<Written, CommandError> {
        self.write_once_held(Command::UseKey { key, force }).await
    }

    /// Has no member open what is sealed with a key. Who was away meanwhile, and has only this one, is handed
    /// the others for [`limits::KEY_GRACE`](crate::limits::KEY_GRACE).
    ///
    /// # Errors
    /// [`CommandError::KeySeals`], or as for [`Node::use_key`].
    pub async fn remove_key(&self, key: KeyId, force: bool) -> Result<Written, CommandError> {
        self.write_once_held(Command::RemoveKey { key, force }).await
    }

    /// Members that hold a key may not have said so yet: they are asked.
    async fn write_once_held(&self, command: Command) -> Result<Written, CommandError> {
        for _ in 0..KEY_LOOKS {
            match self.write(command.clone()).await {
                Err(CommandError::KeyLacking { .. }) => tokio::time::sleep(KEY_LOOK).await,
                done => return done,
            }
        }
        self.write(command).await
    }

    /// Takes the next step in exchanging the key of the cluster for a new one, and tells which it was. `begun`
    /// is false for the first. A step that waits has to be taken again, a little later.
    ///
    /// # Errors
    /// [`CommandError`]; the exchange goes on from the same step.
    pub async fn step_rotation(&self, begun: bool, force: bool) -> Result<Rotation, CommandError> {
        let next = self.key_status().await?.next(begun, force);
        match &next {
            Rotation::Install => {
                let key = crate::generate_key()
                    .map_err(|error| CommandError::Randomness(error.to_string()))?;
                let id = key.id();
                self.install_key(key).await?;
                return Ok(Rotation::Installed(id));
            }
            // All that are to be waited for were.
            Rotation::Use(key) => {
                self.use_key(*key, true).await?;
            }
            Rotation::Remove(key, _) => {
                self.remove_key(*key, true).await?;
            }
            Rotation::Installed(_)
            | Rotation::Holding(..)
            | Rotation::Sealing(..)
            | Rotation::Down(..)
            | Rotation::Done(_) => {}
        }
        Ok(next)
    }

    /// Exchanges the key of the cluster for a new one: it is installed, used once all hold it, and the old one
    /// removed once all seal with it. If this was broken off, here or elsewhere, it goes on from there.
    /// With `force` it does so without members that are down: they fetch the key when they come back.
    /// Of two exchanges at one time both end with the key of one, and return that.
    ///
    /// # Errors
    /// [`CommandError::KeyLacking`] if members are down and it is not forced.
    pub async fn rotate_key(&self, force: bool) -> Result<KeyId, CommandError> {
        let mut begun = false;
        loop {
            match self.step_rotation(begun, force).await? {
                Rotation::Done(key) => return Ok(key),
                Rotation::Down(key, nodes) => return Err(CommandError::KeyLacking { key, nodes }),
                Rotation::Holding(..) | Rotation::Sealing(..) => {
                    tokio::time::sleep(KEY_LOOK).await;
                }
                Rotation::Install
                | Rotation::Installed(_)
                | Rotation::Use(_)
                | Rotation::Remove(..) => {}
            }
            begun = true;
        }
    }

    /// Places a node in a tribe by hand. `None` is this node; any other may be named, even one that does
    /// not exist yet.
    ///
    /// # Errors
    /// [`CommandError`].
    pub async fn join_tribe(
        &self,
        tribe: &str,
        node: Option<&str>,
    ) -> Result<Written, CommandError> {
        self.place(tribe, node, Placement::Joined).await
    }

    /// Places a node out of a tribe by hand, whatever the policies say.
    ///
    /// # Errors
    /// [`CommandError`].
    pub async fn leave_tribe(
        &self,
        tribe: &str,
        node: Option<&str>,
    ) -> Result<Written, CommandError> {
        self.place(tribe, node, Placement::Left).await
    }

    /// Gives a node back to the policies of a tribe.
    ///
    /// # Errors
    /// [`CommandError`].
    pub async fn auto_tribe(
        &self,
        tribe: &str,
        node: Option<&str>,
    ) -> Result<Written, CommandError> {
        self.place(tribe, node, Placement::Automatic).await
    }

    async fn place(
        &self,
        tribe: &str,
        node: Option<&str>,
        placement: Placement,
    ) -> Result<Written, CommandError> {
        let tribe = TribeName::parse(tribe)?;
        let node = node.map_or_else(|| Ok(self.shared.name.clone()), NodeName::parse)?;
        self.write(Command::Place { tribe, node, placement }).await
    }

    /// Creates a policy for a tribe, and the tribe if there is none of that name.
    ///
    /// # Errors
    /// [`CommandError`].
    pub async fn create_policy(
        &self,
        policy: &str,
        text: &str,
        tribe: &str,
    ) -> Result<PolicyCreated, CommandError> {
        self.put_policy(policy, text, tribe, PolicyOptions::default()).await
    }

    /// Creates a policy, or gives the one of this name another text or tribe in one step: nodes that
    /// match before and after stay where they are. It stays switched on or off.
    ///
    /// # Errors
    /// [`CommandError`].
    pub async fn replace_policy(
        &self,
        policy: &str,
        text: &str,
        tribe: &str,
    ) -> Result<PolicyCreated, CommandError> {
        let options = PolicyOptions { replace: true, enabled: None };
        self.put_policy(policy, text, tribe, options).await
    }

    /// Creates a policy as these options say: in place of another, or switched off from the start.
    ///
    /// # Errors
    /// [`CommandError`].
    pub async fn put_policy(
        &self,
        policy: &str,
        text: &str,
        tribe: &str,
        options: PolicyOptions,
    ) -> Result<PolicyCreated, CommandError> {
        let command = Command::CreatePolicy {
            policy: PolicyName::parse(policy)?,
            text: text.to_owned(),
            tribe: TribeName::parse(tribe)?,
            options,
        };
        match self.command(command).await? {
            Reply::PolicyCreated(created) => Ok(created),
            other => unreachable_reply(&other),
        }
    }

    /// Deletes a policy.
    ///
    /// # Errors
    /// [`CommandError`].
    pub async fn delete_policy(&self, policy: &str) -> Result<Written, CommandError> {
        self.write(Command::DeletePolicy { policy: PolicyName::parse(policy)? }).await
    }

    /// Switches a policy on or off.
    ///
    /// # Errors
    /// [`CommandError`].
    pub async fn enable_policy(
        &self,
        policy: &str,
        enabled: bool,
    ) -> Result<Written, CommandError> {
        let policy = PolicyName::parse(policy)?;
        self.write(Command::EnablePolicy { policy, enabled }).await
    }

    /// Puts an item into a tribe: what its nodes should have.
    ///
    /// # Errors
    /// [`CommandError`].
    pub async fn put_item(
        &self,
        tribe: &str,
        kind: &str,
        name: &str,
        document: Vec<u8>,
        options: PutOptions,
    ) -> Result<Written, CommandError> {
        let (kind, name) = item(kind, name)?;
        let (tribe, document) = (Some(TribeName::parse(tribe)?), document.into());
        self.write(Command::PutItem { tribe, kind, name, document, options }).await
    }

    /// Removes an item from a tribe.
    ///
    /// # Errors
    /// [`CommandError`].
    pub async fn remove_item(
        &self,
        tribe: &str,
        kind: &str,
        name: &str,
    ) -> Result<Written, CommandError> {
        let (kind, name) = item(kind, name)?;
        let tribe = Some(TribeName::parse(tribe)?);
        self.write(Command::RemoveItem { tribe, kind, name }).await
    }

    /// Says whether an item of a tribe should run.
    ///
    /// # Errors
    /// [`CommandError`].
    pub async fn run_item(
        &self,
        tribe: &str,
        kind: &str,
        name: &str,
        running: bool,
    ) -> Result<Written, CommandError> {
        let (kind, name) = item(kind, name)?;
        let tribe = Some(TribeName::parse(tribe)?);
        self.write(Command::RunItem { tribe, kind, name, running }).await
    }

    /// Puts an item that this node alone should have. It is kept in the data directory, and no other node
    /// ever hears of it. So for the two that follow.
    ///
    /// # Errors
    /// [`CommandError`].
    pub async fn put_local_item(
        &self,
        kind: &str,
        name: &str,
        document: Vec<u8>,
        options: PutOptions,
    ) -> Result<(), CommandError> {
        let (kind, name) = item(kind, name)?;
        let document = document.into();
        self.tell(Command::PutItem { tribe: None, kind, name, document, options }).await
    }

    /// Removes an item of this node alone.
    ///
    /// # Errors
    /// [`CommandError`].
    pub async fn remove_local_item(&self, kind: &str, name: &str) -> Result<(), CommandError> {
        let (kind, name) = item(kind, name)?;
        self.tell(Command::RemoveItem { tribe: None, kind, name }).await
    }

    /// Says whether an item of this node alone should run.
    ///
    /// # Errors
    /// [`CommandError`].
    pub async fn run_local_item(
        &self,
        kind: &str,
        name: &str,
        running: bool,
    ) -> Result<(), CommandError> {
        let (kind, name) = item(kind, name)?;
        self.tell(Command::RunItem { tribe: None, kind, name, running }).await
    }

    /// Says how far this node is with the items it should have. The others hear the first at once, and
    /// after that the last one every [`limits::STATUS_PERIOD`](crate::limits::STATUS_PERIOD).
    ///
    /// # Errors
    /// [`CommandError::TooLong`] above [`limits::STATUS_BYTES`](crate::limits::STATUS_BYTES).
    pub async fn set_status(&self, status: NodeStatus) -> Result<(), CommandError> {
        self.tell(Command::SetStatus(status)).await
    }

    /// Sets and unsets run-time facts of a node; `None` is this one. The node itself writes them, so it
    /// must be alive. They outlive a restart and cover facts given at start.
    ///
    /// # Errors
    /// [`CommandError`].
    pub async fn set_facts(
        &self,
        node: Option<&str>,
        set: BTreeMap<String, Value>,
        unset: Vec<String>,
    ) -> Result<Written, CommandError> {
        let node = node.map(NodeName::parse).transpose()?;
        let set = set
            .into_iter()
            .map(|(name, value)| Ok((fact::settable(&name)?, value)))
            .collect::<Result<_, CommandError>>()?;
        let unset = unset
            .iter()
            .map(|name| Ok(fact::settable(name)?))
            .collect::<Result<_, CommandError>>()?;
        self.write(Command::SetFacts { node, set, unset }).await
    }

    /// Asks the live members whether they hold what was written, and returns the names of those that did
    /// not say so in time. Empty: all of them hold it.
    ///
    /// # Errors
    /// [`CommandError`].
    pub async fn wait(
        &self,
        written: &Written,
        timeout: Duration,
    ) -> Result<Vec<NodeName>, CommandError> {
        let timeout_ms = u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX);
        match self.command(Command::Wait { written: written.clone(), timeout_ms }).await? {
            Reply::Missing(missing) => Ok(missing),
            other => unreachable_reply(&other),
        }
    }

    /// Collects the facts of the host again, now, and reads its directory of external facts. Nothing happens on a node that does not collect.
    ///
    /// # Errors
    /// [`CommandError`]: the facts are too large, say; then the last good ones stand.
    pub async fn refresh_facts(&self) -> Result<(), CommandError> {
        if !self.shared.collector.collects() {
            return Ok(());
        }
        let facts = self.shared.collector.collect().await;
        self.tell(Command::ObserveFacts(facts)).await
    }

    /// The blobs of this node; `None` without a data directory.
    #[must_use]
    pub fn blobs(&self) -> Option<Blobs> {
        self.blobs.clone()
    }

    /// Serves a service: other nodes, and this one, may dial it from now on.
    ///
    /// # Errors
    /// [`CommandError::ServiceExists`] if this node serves it already.
    pub async fn serve(
        &self,
        service: &str,
        options: ServeOptions,
    ) -> Result<Service, CommandError> {
        let name = ServiceName::parse(service)?;
        if self.is_forked() {
            return Err(CommandError::Forked);
        }
        let (queue, incoming) = mpsc::unbounded_channel();
        let (reply, done) = oneshot::channel();
        let (service, kept) = (name.clone(), queue.clone());
        let request = Request::Serve { service, options, queue, reply };
        self.shared.requests.send(request).await.map_err(|_| CommandError::Closed)?;
        done.await.map_err(|_| CommandError::Closed)??;
        let requests = self.shared.requests.downgrade();
        tokio::spawn(withdraw(name.clone(), kept, requests, self.shared.stopped.clone()));
        Ok(Service { name, incoming })
    }

    /// Dials a service of a node, or of any member of a tribe that offers it: if one fails, the next is
    /// tried. A service of this node itself is reached without any network.
    ///
    /// # Errors
    /// [`DialError`]; of a tribe, why the last member failed.
    pub async fn dial(&self, target: Target, service: &str) -> Result<ServiceStream, DialError> {
        let service = ServiceName::parse(service)?;
        if self.is_forked() {
            return Err(DialError::Forked);
        }
        let (reply, done) = oneshot::channel();
        let request = Request::Dial { target, service, reply };
        self.shared.requests.send(request).await.map_err(|_| DialError::Closed)?;
        done.await.map_err(|_| DialError::Closed)?
    }

    /// Says good-bye and stops. All later calls return [`CommandError::Closed`].
    ///
    /// # Errors
    /// [`CommandError::Closed`] if it has stopped already.
    pub async fn leave(&self) -> Result<(), CommandError> {
        self.command(Command::Leave).await?;
        self.wait_stopped().await;
        Ok(())
    }

    /// Stops without a good-bye: to the others this node is down. For tests, and before a quick restart.
    pub async fn stop(&self) {
        if self.shared.requests.send(Request::Stop).await.is_ok() {
            self.wait_stopped().await;
        }
    }

    async fn wait_stopped(&self) {
        let mut stopped = self.shared.stopped.clone();
        // An error means that the loop is gone, which is what is waited for.
        let _ = stopped.wait_for(|stopped| *stopped).await;
    }

    async fn tell(&self, command: Command) -> Result<(), CommandError> {
        match self.command(command).await? {
            Reply::Done => Ok(()),
            other => unreachable_reply(&other),
        }
    }

    async fn write(&self, command: Command) -> Result<Written, CommandError> {
        match self.command(command).await? {
            Reply::Written(written) => Ok(written),
            other => unreachable_reply(&other),
        }
    }

    fn is_forked(&self) -> bool {
        std::process::id() != self.shared.process
    }

    async fn command(&self, command: Command) -> Result<Reply, CommandError> {
        if self.is_forked() {
            return Err(CommandError::Forked);
        }
        let (reply, done) = oneshot::channel();
        let request = Request::Command(command, reply);
        self.shared.requests.send(request).await.map_err(|_| CommandError::Closed)?;
        done.await.map_err(|_| CommandError::Closed)?
    }
}

/// Withdraws a service once nobody holds it.
async fn withdraw(
    service: ServiceName,
    queue: mpsc::UnboundedSender<Incoming>,
    requests: mpsc::WeakSender<Request>,
    mut stopped: watch::Receiver<bool>,
) {
    tokio::select! {
        () = queue.closed() => {}
        // Then its queue must end too.
        _ = stopped.wait_for(|stopped| *stopped) => return,
    }
    if let Some(requests) = requests.upgrade() {
        // Without the loop there is nothing to withdraw from.
        let _ = requests.send(Request::Withdraw(service, queue)).await;
    }
}

fn item(kind: &str, name: &str) -> Result<(ItemKind, ItemName), CommandError> {
    Ok((ItemKind::parse(kind)?, ItemName::parse(name)?))
}

/// The engine answers each command with the reply of its kind.
fn unreachable_reply<T>(reply: &Reply) -> Result<T, CommandError> {
    debug_assert!(false, "a reply of another kind: {reply:?}");
    Err(CommandError::Closed)
}

/// Events of a node, one after the other.
#[derive(Debug)]
pub struct Events {
    receiver: Option<broadcast::Receiver<Event>>,
    board: Arc<Board>,
}

impl Events {
    /// The next event; waits for it. `None` when the node has stopped. Cancel safe.
    pub async fn next(&mut self) -> Option<Event> {
        match self.receiver.as_mut()?.recv().await {
            Ok(event) => Some(event),
            Err(broadcast::error::RecvError::Lagged(count)) => Some(self.missed(count)),
            Err(broadcast::error::RecvError::Closed) => None,
        }
    }

    /// The next event if there is one already.
    pub fn try_next(&mut self) -> Option<Event> {
        match self.receiver.as_mut()?.try_recv() {
            Ok(event) => Some(event),
            Err(broadcast::error::TryRecvError::Lagged(count)) => Some(self.missed(count)),
            Err(_) => None,
        }
    }

    fn missed(&self, count: u64) -> Event {
        self.board.missed.fetch_add(count, Ordering::Relaxed);
        Event {
            rev: 0,
            kind: EventKind::Missed,
            subject: String::new(),
            body: serde_json::json!({ "count": count }),
        }
    }
}
