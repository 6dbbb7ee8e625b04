//! The reconciler: what runs on this node becomes what is wanted of it, again and again.
//!
//! It is level-triggered. At every change it computes what is wanted ([`mod@desired`]) from the view alone,
//! compares it with what runs, and begins what brings the two closer ([`plugins`], [`tasks`]). So late
//! joiners, restarts, missed messages and overlapping tribes need no special case. How each item stands is
//! told in `tribe status` ([`report`], [`status`]).
//!
//! Invariant: it begins work and never waits for it, so one plugin that hangs holds up nothing else.

mod desired;
mod document;
mod load;
mod plugins;
mod report;
mod status;
mod tasks;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use tokio::{
    sync::{mpsc, oneshot, watch},
    time::{Instant, sleep_until},
};
use tracing::{debug, warn};
use tribe::{BlobId, Blobs, CommandError, Event, EventKind, Events, Node, NodeStatus, View};

pub(crate) use self::{
    desired::{ItemKey, Kind, PLUGIN, Source, TASK},
    document::{Platform, PluginDocument, PluginFile, item_name},
    load::AskError,
    report::{Entry, State},
    status::{ask, is_asked, of_tribe},
};
use self::{
    desired::{Want, Wish, desired},
    plugins::{Done, Plugins, Tools},
    tasks::Tasks,
};
use crate::{capability::Capabilities, plugin::Host, remote::Remote, task::Scheduler};

/// Changes that come within this time are looked at together.
const SETTLE_TIME: Duration = Duration::from_millis(20);
/// With nothing happening all is looked at again after this time, tasks above all.
const LOOK_PERIOD: Duration = Duration::from_secs(2);
/// Requests that may wait.
const QUEUE: usize = 64;
/// Longest text of the worst item in the status record, in bytes.
const WORST_BYTES: usize = 64;

/// How all items stand, by item.
pub(crate) type Table = BTreeMap<ItemKey, Entry>;

/// The reconciler of this node. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Reconciler {
    node: Node,
    host: Host,
    blobs: Blobs,
    requests: mpsc::Sender<Request>,
    table: watch::Receiver<Arc<Table>>,
}

/// What is kept as it is wanted, and with what.
#[derive(Debug)]
pub(crate) struct Keep {
    pub(crate) node: Node,
    pub(crate) blobs: Blobs,
    pub(crate) host: Host,
    pub(crate) scheduler: Scheduler,
    pub(crate) remote: Remote,
    /// What tribes may do here; absent without tribe mode.
    pub(crate) capabilities: Option<Arc<Capabilities>>,
}

/// What others want of the loop.
#[derive(Debug)]
enum Request {
    /// A plugin was loaded by hand, and its item is about to be written.
    Adopt(ItemKey, BlobId, Arc<crate::plugin::Plugin>, oneshot::Sender<()>),
    /// Look at everything now; tell when the look is over.
    Look(oneshot::Sender<()>),
    /// The item of a file was removed: tell when what ran from it has ended, or if another item wants it.
    Unload(BlobId, oneshot::Sender<()>),
}

impl Reconciler {
    /// Begins to reconcile.
    pub(crate) fn start(keep: Keep) -> Self {
        let Keep { node, blobs, host, scheduler, remote, capabilities } = keep;
        let (requests, inbox) = mpsc::channel(QUEUE);
        let (shown, table) = watch::channel(Arc::default());
        // It holds one message a slot at most.
        let (done, finished) = mpsc::unbounded_channel();
        let limits = capabilities.clone().unwrap_or_default();
        let tools = Tools::new(host.clone(), blobs.clone(), limits);
        let in_tribes = capabilities.is_some();
        let driver = Driver {
            events: node.events(),
            node: node.clone(),
            blobs: blobs.clone(),
            capabilities,
            plugins: Plugins::new(tools, done),
            tasks: Tasks::new(scheduler, remote),
            inbox,
            finished,
            shown,
            told: None,
            retained: BTreeSet::new(),
            unloading: Vec::new(),
        };
        tokio::spawn(driver.run());
        let reconciler = Self { node, host, blobs, requests, table };
        if in_tribes {
            tokio::spawn(status::serve(reconciler.clone()));
        }
        reconciler
    }

    /// The node, in tribe mode or alone.
    pub(crate) fn node(&self) -> &Node {
        &self.node
    }

    /// Does this node hold the file?
    pub(crate) fn holds(&self, blob: BlobId) -> bool {
        self.blobs.path(blob).is_some()
    }

    /// How all items stand.
    pub(crate) fn table(&self) -> Arc<Table> {
        Arc::clone(&self.table.borrow())
    }

    /// Has everything looked at now.
    pub(crate) async fn look(&self) {
        let (over, looked) = oneshot::channel();
        if self.requests.send(Request::Look(over)).await.is_ok() {
            // An error means that the daemon stops.
            let _ = looked.await;
        }
    }
}

/// The loop.
struct Driver {
    node: Node,
    events: Events,
    blobs: Blobs,
    capabilities: Option<Arc<Capabilities>>,
    plugins: Plugins,
    tasks: Tasks,
    inbox: mpsc::Receiver<Request>,
    finished: mpsc::UnboundedReceiver<Done>,
    shown: watch::Sender<Arc<Table>>,
    /// What the others were told last.
    told: Option<NodeStatus>,
    /// The files that were referred to last.
    retained: BTreeSet<BlobId>,
    /// Who waits for the end of what runs from a file.
    unloading: Vec<(BlobId, oneshot::Sender<()>)>,
}

impl Driver {
    async fn run(mut self) {
        let mut looking: Vec<oneshot::Sender<()>> = Vec::new();
        loop {
            self.look();
            let plugins = &self.plugins;
            let unloaded = self.unloading.extract_if(.., |(blob, _)| !plugins.is_unloading(*blob));
            for over in looking.drain(..).chain(unloaded.map(|(_, over)| over)) {
                // Who asked may have given up.
                let _ = over.send(());
            }
            self.tell().await;
            let next = Instant::now() + LOOK_PERIOD;
            let next = self.plugins.again().map_or(next, |again| again.min(next));
            let settled = Instant::now() + SETTLE_TIME;
            tokio::select! {
                event = self.events.next() => match event {
                    Some(event) => self.hear(&event),
                    None => return,
                },
                Some(done) = self.finished.recv() => self.take(done),
                request = self.inbox.recv() => match request {
                    Some(request) => self.carry_out(request, &mut looking),
                    None => return,
                },
                () = sleep_until(next) => {}
            }
            if looking.is_empty() {
                sleep_until(settled).await;
            }
            while let Some(event) = self.events.try_next() {
                self.hear(&event);
            }
            while let Ok(done) = self.finished.try_recv() {
                self.take(done);
            }
            while let Ok(request) = self.inbox.try_recv() {
                self.carry_out(request, &mut looking);
            }
        }
    }

    fn take(&mut self, done: Done) {
        if self.plugins.take(done) {
            self.tasks.wake();
        }
    }

    fn hear(&mut self, event: &Event) {
        if matches!(event.kind, EventKind::OffersChanged | EventKind::MemberJoined) {
            self.plugins.try_fetches_now();
            self.tasks.wake();
        }
    }

    fn carry_out(&mut self, request: Request, looking: &mut Vec<oneshot::Sender<()>>) {
        match request {
            Request::Adopt(key, blob, plugin, over) => {
                self.plugins.adopt(key, blob, plugin);
                let _ = over.send(());
            }
            Request::Look(over) => looking.push(over),
            Request::Unload(blob, over) => self.unloading.push((blob, over)),
        }
    }

    /// Looks at everything, and begins what is to be done.
    fn look(&mut self) {
        let view = self.node.view();
        let wishes = desired(&view, self.capabilities.as_deref());
        // Tasks before plugins end, and after plugins begin: a task finds what it needs.
        self.tasks.end_unwanted(&wishes);
        self.plugins.step(&wishes);
        self.tasks.step(&wishes, self.plugins.is_loading());
        self.retain(&view);
        self.show(&wishes);
    }

    fn show(&self, wishes: &BTreeMap<ItemKey, Wish>) {
        let before = Arc::clone(&self.shown.borrow());
        let entry = |(key, wish): (&ItemKey, &Wish)| {
            let entry = match &wish.want {
                Want::Plugin(file) => self.plugins.entry(wish, file),
                Want::Task(_) => self.tasks.entry(key, wish),
                Want::Refused(why) => Entry::new(wish, State::Refused, Some(why.clone())),
                Want::Impossible(why) => Entry::new(wish, State::Failed, Some(why.clone())),
            };
            (key.clone(), entry.since_of(before.get(key)))
        };
        let table: Table = wishes.iter().map(entry).collect();
        self.shown.send_if_modified(|shown| {
            let changed = **shown != table;
            if changed {
                *shown = Arc::new(table);
            }
            changed
        });
    }

    /// The files that some item of any tribe refers to are kept, the others go in time.
    fn retain(&mut self, view: &View) {
        if !view.synced {
            return;
        }
        let of_tribes = view.tribes.values().map(|tribe| &tribe.items);
        let plugins = of_tribes
            .chain([&view.local_items])
            .flat_map(|items| Kind::Plugin.items(items))
            .filter_map(|item| PluginDocument::parse(&item.document).ok());
        let blobs: BTreeSet<BlobId> =
            plugins.flat_map(|document| document.files).map(|file| file.blob).collect();
        if blobs != self.retained {
            self.blobs.retain(blobs.clone());
            self.retained = blobs;
        }
    }

    /// Tells the others in short how the items of tribes stand here.
    async fn tell(&mut self) {
        let status = summary(&self.shown.borrow());
        if self.told.as_ref() == Some(&status) {
            return;
        }
        match self.node.set_status(status.clone()).await {
            Ok(()) => self.told = Some(status),
            // It stops, and the others know.
            Err(error @ CommandError::Closed) => {
                debug!(%error, "cannot tell how the items stand here");
            }
            Err(error) => warn!(%error, "cannot tell how the items stand here"),
        }
    }
}

/// A table in short.
fn summary(table: &Table) -> NodeStatus {
    let of_tribes = || table.iter().filter(|(key, _)| key.tribe().is_some());
    let count = |is: fn(&Entry) -> bool| {
        u32::try_from(of_tribes().filter(|(_, entry)| is(entry)).count()).unwrap_or(u32::MAX)
    };
    let worst = of_tribes().find(|(_, entry)| entry.is_failure()).map(|(key, entry)| {
        let text = format!("{} {} {}", key.kind.as_str(), key.name, entry.state.as_str());
        text.chars().take(WORST_BYTES).collect()
    });
    NodeStatus {
        wanted: count(|_| true),
        applied: count(Entry::is_applied),
        failed: count(Entry::is_failure),
        digest: digest(table),
        worst,
    }
}

/// A number that differs when another set of items, or another generation of one, is applied.
fn digest(table: &Table) -> u64 {
    use sha2::{Digest, Sha256};
    let mut hash = Sha256::new();
    for (key, entry) in table.iter().filter(|(_, entry)| entry.is_applied()) {
        if let Some(tribe) = key.tribe() {
            let kind = key.kind.as_str();
            hash.update(format!("{tribe}/{kind}/{} {}\n", key.name, entry.generation));
        }
    }
    let bytes: [u8; 32] = hash.finalize().into();
    bytes.first_chunk().map_or(0, |first: &[u8; 8]| u64::from_le_bytes(*first))
}
