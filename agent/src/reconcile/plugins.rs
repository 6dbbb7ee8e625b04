//! The plugins that items ask for: fetched, loaded, replaced and unloaded until what runs is what is
//! wanted.
//!
//! One slot a file. Two items that ask for one file share its slot; of two files that are the same
//! plugin in different versions the newer runs. Invariant: a slot with work under way is never touched
//! until that work is done; what is right by then is decided anew.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use tokio::{
    sync::{Semaphore, mpsc},
    time::Instant,
};
use tracing::{info, warn};
use tribe::{BlobId, Blobs};

use super::{
    desired::{ItemKey, Source, Want, Wish},
    document::PluginFile,
    report::{Entry, State},
};
use crate::{
    capability::Capabilities,
    plugin::{Host, LoadError, Plugin},
};

/// Files fetched and plugins started at a time.
const PARALLEL: usize = 4;
/// The pause before the first new try of what failed; it doubles with each.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// Pauses up to this are too short to think that a file is not to be had.
const FETCH_PATIENCE: Duration = Duration::from_secs(4);
/// How long the item of what was loaded by hand may take to be seen.
const PIN_TIME: Duration = Duration::from_secs(30);
/// The longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// The slots.
#[derive(Debug)]
pub(super) struct Plugins {
    tools: Tools,
    slots: BTreeMap<BlobId, Slot>,
    /// The file each item has running: an upgrade replaces it.
    applied: BTreeMap<ItemKey, BlobId>,
    done: mpsc::UnboundedSender<Done>,
}

/// What work is done with.
#[derive(Debug, Clone)]
pub(super) struct Tools {
    pub(super) host: Host,
    pub(super) blobs: Blobs,
    pub(super) capabilities: Arc<Capabilities>,
    permits: Arc<Semaphore>,
}

/// One file.
#[derive(Debug)]
struct Slot {
    phase: Phase,
    pause: Duration,
    /// Why the last try failed; shown until another has passed.
    failure: Option<Failure>,
    /// It was loaded by hand, and its item is not seen yet.
    pinned_until: Option<Instant>,
}

#[derive(Debug)]
enum Phase {
    /// Being fetched and started.
    Loading,
    /// It runs.
    Running(Arc<Plugin>),
    /// Being ended.
    Unloading,
    /// Another version of the same plugin runs.
    Standby(Arc<Plugin>),
    /// It failed, and is tried again.
    Failed { again: Instant },
}

/// Why a file does not run.
#[derive(Debug, Clone)]
struct Failure {
    state: State,
    text: String,
}

/// A piece of work is done.
#[derive(Debug)]
pub(super) struct Done {
    blob: BlobId,
    outcome: Outcome,
}

#[derive(Debug)]
enum Outcome {
    /// It runs, in place of another file if there was one.
    Loaded(Arc<Plugin>, Option<BlobId>),
    Failed(Failure),
    Unloaded,
}

/// A file that is wanted, and by whom.
#[derive(Debug)]
struct Wanted<'a> {
    file: &'a PluginFile,
    items: Vec<&'a ItemKey>,
    generation: u64,
}

impl Tools {
    pub(super) fn new(host: Host, blobs: Blobs, capabilities: Arc<Capabilities>) -> Self {
        Self { host, blobs, capabilities, permits: Arc::new(Semaphore::new(PARALLEL)) }
    }
}

impl Plugins {
    pub(super) fn new(tools: Tools, done: mpsc::UnboundedSender<Done>) -> Self {
        Self { tools, slots: BTreeMap::new(), applied: BTreeMap::new(), done }
    }

    /// A plugin that was loaded for this item by hand a moment ago.
    pub(super) fn adopt(&mut self, key: ItemKey, blob: BlobId, plugin: Arc<Plugin>) {
        if let Some(before) = self.applied.insert(key, blob).filter(|before| *before != blob) {
            self.slots.remove(&before);
        }
        let pinned_until = Some(Instant::now() + PIN_TIME);
        self.slots.insert(blob, Slot { pinned_until, ..Slot::new(Phase::Running(plugin)) });
    }

    /// Begins what brings this node closer to what is wanted.
    pub(super) fn step(&mut self, wishes: &BTreeMap<ItemKey, Wish>) {
        let wanted = wanted(wishes);
        self.applied.retain(|key, _| wishes.contains_key(key));
        self.note_applied(&wanted);
        self.begin(&wanted);
        self.settle_versions(&wanted);
        self.end_unwanted(&wanted);
    }

    /// Takes what came of a piece of work. Is there a plugin that was not there before?
    pub(super) fn take(&mut self, done: Done) -> bool {
        let Done { blob, outcome } = done;
        let is_new = matches!(outcome, Outcome::Loaded(..));
        let Some(slot) = self.slots.get_mut(&blob) else { return is_new };
        match outcome {
            Outcome::Loaded(plugin, replaced) => {
                *slot = Slot::new(Phase::Running(plugin));
                if let Some(replaced) = replaced {
                    self.slots.remove(&replaced);
                }
            }
            Outcome::Failed(failure) if matches!(slot.phase, Phase::Loading) => {
                let again = Instant::now() + slot.pause;
                slot.pause = slot.pause.saturating_mul(2).min(LONGEST_PAUSE);
                slot.failure = Some(failure);
                slot.phase = Phase::Failed { again };
            }
            Outcome::Unloaded if matches!(slot.phase, Phase::Unloading) => {
                self.slots.remove(&blob);
            }
            // Another version runs instead, or it was loaded by hand meanwhile.
            Outcome::Failed(_) | Outcome::Unloaded => {}
        }
        is_new
    }

    /// Is a plugin on its way, and was it not for long?
    pub(super) fn is_loading(&self) -> bool {
        self.slots.values().any(Slot::is_on_its_way)
    }

    /// Is what runs from this file being ended?
    pub(super) fn is_unloading(&self, blob: BlobId) -> bool {
        self.slots.get(&blob).is_some_and(|slot| matches!(slot.phase, Phase::Unloading))
    }

    /// When something is to be tried again.
    pub(super) fn again(&self) -> Option<Instant> {
        let times = self.slots.values().filter_map(|slot| match slot.phase {
            Phase::Failed { again } => Some(again),
            _ => None,
        });
        times.min()
    }

    /// What fetches failed for may be there now.
    pub(super) fn try_fetches_now(&mut self) {
        for slot in self.slots.values_mut() {
            if let Phase::Failed { again } = &mut slot.phase
                && slot.failure.as_ref().is_some_and(|it| it.state == State::Fetching)
            {
                *again = Instant::now();
            }
        }
    }

    /// How an item stands.
    pub(super) fn entry(&self, wish: &Wish, file: &PluginFile) -> Entry {
        let entry = |state, detail| Entry::new(wish, state, detail);
        let Some(slot) = self.slots.get(&file.blob) else {
            return entry(if wish.running { State::Waiting } else { State::Stopped }, None);
        };
        match &slot.phase {
            Phase::Loading | Phase::Failed { .. } => match &slot.failure {
                Some(failure) => entry(failure.state, Some(failure.text.clone())),
                None => entry(State::Loading, None),
            },
            Phase::Unloading => entry(State::Stopping, None),
            Phase::Running(plugin) => {
                let health = plugin.health();
                let entry = match (health.pid(), health.failure) {
                    (None, Some(failure)) => entry(State::Failed, Some(failure)),
                    _ => entry(State::Running, None),
                };
                Entry { plugin: Some(plugin.identity.clone()), ..entry }
            }
            Phase::Standby(other) => {
                let detail = format!(
                    "`{}` runs instead, which another tribe or file asks for",
                    other.identity
                );
                entry(State::Conflict, Some(detail))
            }
        }
    }

    fn note_applied(&mut self, wanted: &BTreeMap<BlobId, Wanted<'_>>) {
        for (blob, wanted) in wanted {
            let runs =
                self.slots.get(blob).is_some_and(|slot| matches!(slot.phase, Phase::Running(_)));
            if let Some(slot) = self.slots.get_mut(blob).filter(|_| runs) {
                slot.pinned_until = None;
                let items = wanted.items.iter().map(|key| ((*key).clone(), *blob));
                self.applied.extend(items);
            }
        }
    }

    /// Begins to load what is wanted and not there, and what failed and is due.
    fn begin(&mut self, wanted: &BTreeMap<BlobId, Wanted<'_>>) {
        let now = Instant::now();
        for (blob, of) in wanted {
            match self.slots.get_mut(blob) {
                None => {
                    self.slots.insert(*blob, Slot::new(Phase::Loading));
                }
                Some(slot) if matches!(slot.phase, Phase::Failed { again } if again <= now) => {
                    slot.phase = Phase::Loading;
                }
                Some(_) => continue,
            }
            let old = self.replaced_by(of, wanted);
            let by_hand = of.items.iter().any(|key| key.source == Source::Local);
            let work = load(self.tools.clone(), of.file.clone(), old, by_hand);
            self.work(*blob, work);
        }
    }

    /// The file that a new one takes the place of: what its item has running, and nobody else wants.
    fn replaced_by(
        &self,
        of: &Wanted<'_>,
        wanted: &BTreeMap<BlobId, Wanted<'_>>,
    ) -> Option<(BlobId, Arc<Plugin>)> {
        let before = of.items.iter().find_map(|key| self.applied.get(key))?;
        match &self.slots.get(before)?.phase {
            Phase::Running(plugin) if !wanted.contains_key(before) => {
                Some((*before, Arc::clone(plugin)))
            }
            _ => None,
        }
    }

    /// Of two versions of one plugin the newer runs; of two files of one version that which was asked
    /// for last.
    fn settle_versions(&mut self, wanted: &BTreeMap<BlobId, Wanted<'_>>) {
        let mut best: BTreeMap<(crate::plugin::Kind, String), (i64, u64, BlobId)> = BTreeMap::new();
        let mut running: Vec<(BlobId, Arc<Plugin>, u64)> = Vec::new();
        for (blob, of) in wanted {
            let Some(Slot { phase: Phase::Running(plugin), .. }) = self.slots.get(blob) else {
                continue;
            };
            let name = (plugin.identity.kind, plugin.identity.name.clone());
            let rank = (plugin.identity.version, of.generation, *blob);
            let held = best.entry(name).or_insert(rank);
            *held = (*held).max(rank);
            running.push((*blob, Arc::clone(plugin), of.generation));
        }
        for (blob, plugin, _) in &running {
            let name = (plugin.identity.kind, plugin.identity.name.clone());
            let Some((.., winner)) = best.get(&name).filter(|(.., winner)| winner != blob) else {
                continue;
            };
            let Some((_, other, _)) = running.iter().find(|(of, ..)| of == winner) else {
                continue;
            };
            warn!(plugin = %plugin.identity, runs = %other.identity, "two versions of a plugin are asked for");
            if let Some(slot) = self.slots.get_mut(blob) {
                slot.phase = Phase::Standby(Arc::clone(other));
            }
            self.unload(*blob, Arc::clone(plugin));
        }
        self.end_standbys(wanted);
    }

    /// The version that ran instead is gone: this one is loaded again.
    fn end_standbys(&mut self, wanted: &BTreeMap<BlobId, Wanted<'_>>) {
        let runs = |other: &Arc<Plugin>| {
            wanted.keys().any(|blob| match self.slots.get(blob) {
                Some(Slot { phase: Phase::Running(plugin), .. }) => Arc::ptr_eq(plugin, other),
                _ => false,
            })
        };
        let over: Vec<BlobId> = self
            .slots
            .iter()
            .filter(|(_, slot)| matches!(&slot.phase, Phase::Standby(other) if !runs(other)))
            .map(|(blob, _)| *blob)
            .collect();
        for blob in over {
            self.slots.remove(&blob);
        }
        self.begin(wanted);
    }

    /// Ends what nobody wants any more, but for what an upgrade is about to replace.
    fn end_unwanted(&mut self, wanted: &BTreeMap<BlobId, Wanted<'_>>) {
        let replaced: BTreeSet<BlobId> = wanted
            .values()
            .flat_map(|of| of.items.iter().filter_map(|key| self.applied.get(*key)))
            .copied()
            .collect();
        let now = Instant::now();
        let unwanted: Vec<BlobId> = self
            .slots
            .iter()
            .filter(|(blob, _)| !wanted.contains_key(*blob) && !replaced.contains(*blob))
            .filter(|(_, slot)| slot.pinned_until.is_none_or(|until| until <= now))
            .map(|(blob, _)| *blob)
            .collect();
        for blob in unwanted {
            let Some(slot) = self.slots.get_mut(&blob) else { continue };
            match &slot.phase {
                Phase::Loading | Phase::Unloading => {}
                Phase::Failed { .. } | Phase::Standby(_) => {
                    self.slots.remove(&blob);
                }
                Phase::Running(plugin) => {
                    let plugin = Arc::clone(plugin);
                    slot.phase = Phase::Unloading;
                    self.unload(blob, plugin);
                }
            }
        }
    }

    fn unload(&self, blob: BlobId, plugin: Arc<Plugin>) {
        let host = self.tools.host.clone();
        self.work(blob, async move {
            host.unload(&plugin).await;
            Outcome::Unloaded
        });
    }

    /// Work is done beside the loop, on its thread: a plugin is tied to the thread that starts it.
    fn work(&self, blob: BlobId, work: impl Future<Output = Outcome> + Send + 'static) {
        let done = self.done.clone();
        tokio::spawn(async move {
            let outcome = work.await;
            // Nobody waits any more if the daemon stops.
            let _ = done.send(Done { blob, outcome });
        });
    }
}

impl Slot {
    /// Nothing is wrong with it yet: it is being loaded for the first time, or those who have its file are
    /// not known yet.
    fn is_on_its_way(&self) -> bool {
        match &self.failure {
            None => matches!(self.phase, Phase::Loading),
            Some(failure) => failure.state == State::Fetching && self.pause <= FETCH_PATIENCE,
        }
    }

    fn new(phase: Phase) -> Self {
        Self { phase, pause: FIRST_PAUSE, failure: None, pinned_until: None }
    }
}

/// Which files are wanted, and by whom.
fn wanted(wishes: &BTreeMap<ItemKey, Wish>) -> BTreeMap<BlobId, Wanted<'_>> {
    let mut all: BTreeMap<BlobId, Wanted<'_>> = BTreeMap::new();
    for (key, wish) in wishes {
        let Want::Plugin(file) = &wish.want else { continue };
        if wish.running {
            let of = all.entry(file.blob);
            let of = of.or_insert(Wanted { file, items: Vec::new(), generation: 0 });
            of.items.push(key);
            of.generation = of.generation.max(wish.generation);
        }
    }
    all
}

/// Fetches a file if it is not here, and loads it.
async fn load(
    tools: Tools,
    file: PluginFile,
    old: Option<(BlobId, Arc<Plugin>)>,
    by_hand: bool,
) -> Outcome {
    // It is never closed.
    let _permit = tools.permits.acquire().await;
    let failed = |state, text| Outcome::Failed(Failure { state, text });
    let path = match tools.blobs.path(file.blob) {
        Some(path) => path,
        None => match tools.blobs.fetch(file.blob, file.bytes).await {
            Ok(path) => path,
            Err(error) => return failed(State::Fetching, error.to_string()),
        },
    };
    let signature = file.signature.clone().map(String::into_bytes);
    let loaded = match &old {
        Some((_, old)) => tools.host.replace(old, &path, &file.file_name, signature).await,
        None => tools.host.load_file(&path, &file.file_name, signature).await,
    };
    match loaded {
        Ok(plugin) => {
            if let Err(refusal) = tools.capabilities.check_plugin(&plugin.identity.name)
                && !by_hand
            {
                tools.host.unload(&plugin).await;
                return failed(State::Refused, refusal.to_string());
            }
            info!(plugin = %plugin.identity, blob = %file.blob, "a plugin runs");
            Outcome::Loaded(plugin, old.map(|(blob, _)| blob))
        }
        Err(error) => failed(State::Failed, in_full(&error)),
    }
}

/// All that is known of a failure: operators read it far from the node.
fn in_full(error: &LoadError) -> String {
    error.detail().map_or_else(|| error.to_string(), |detail| format!("{error}\n{detail}"))
}
