//! All plugins of this node.
//!
//! Loading is all or nothing: the file is stored, started and asked, and only then known.
//! Invariant: the catalog has the metrics of the loaded collectors and no others.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tracing::{info, warn};

use super::{
    calls::UseError,
    catalog::{Catalog, CatalogError, Entry, Request},
    identity::{Identity, Wanted},
    launch::Launch,
    limits::Limits,
    loaded::Plugin,
    metric::Metric,
    prefix::ByPrefix,
    seats::SessionId,
    start::{self, StartError},
    store::{Store, StoreError, StoredFile, Upload},
    tls::Tls,
    told::PluginConfigs,
    trust::{Signed, Trust},
};

/// The tag that says where a metric was collected, which snap has always set.
pub(crate) const NODE_TAG: &str = "plugin_running_on";

/// The plugins of this node. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Host(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    node: String,
    tags: ByPrefix<String>,
    launch: Arc<Launch>,
    store: Store,
    loaded: Mutex<Loaded>,
    sessions: AtomicU64,
}

/// How plugins are run on this node.
#[derive(Debug)]
pub(crate) struct HostSettings {
    /// The name of the node.
    pub(crate) node: String,
    /// Where the files of plugins are kept.
    pub(crate) dir: PathBuf,
    /// What plugins are told.
    pub(crate) configs: PluginConfigs,
    /// How long a plugin may take to start.
    pub(crate) load_time: Duration,
    /// How many instances of one plugin may run.
    pub(crate) max_running: usize,
    /// What all metrics are tagged with.
    pub(crate) tags: ByPrefix<String>,
    /// What one instance may use.
    pub(crate) limits: Limits,
    /// Whose plugins are started.
    pub(crate) trust: Trust,
    /// How connections are sealed, if they are.
    pub(crate) tls: Option<Tls>,
}

/// A plugin and the metrics of a request that it has.
pub(super) type Part = (Arc<Plugin>, Vec<Metric>);

#[derive(Debug, Default)]
struct Loaded {
    /// Another one whenever one is added or removed, so that who reads it holds nobody up.
    plugins: Arc<BTreeMap<Identity, Arc<Plugin>>>,
    /// Another one whenever a collector comes or goes.
    catalog: Arc<Catalog>,
    /// Nothing is loaded any more.
    closed: bool,
}

/// Why a plugin was not loaded. Nothing has changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum LoadError {
    /// Its file was not stored.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// It did not start. Its own fault.
    #[error("the plugin was not loaded: {0}")]
    Start(#[from] StartError),
    /// It is there already.
    #[error("plugin `{0}` is loaded already")]
    Loaded(Identity),
    /// It is no version of the one it was to replace. The user's fault.
    #[error("the file is plugin `{found}`, which cannot take the place of `{expected}`")]
    Other {
        /// Which was to be replaced.
        expected: Identity,
        /// What the file is.
        found: Identity,
    },
    /// The one it was to replace was unloaded meanwhile.
    #[error("plugin `{0}` was unloaded")]
    Gone(Identity),
    /// Its metrics cannot be in the catalog. Its own fault.
    #[error("plugin `{plugin}` was not loaded: {error}")]
    Catalog {
        /// The plugin.
        plugin: Identity,
        /// What is wrong with its metrics.
        error: CatalogError,
    },
    /// The daemon stops.
    #[error("snapd is stopping")]
    Closed,
}

impl LoadError {
    /// More about it, in several lines: what the plugin said and what it printed.
    pub(crate) fn detail(&self) -> Option<String> {
        match self {
            Self::Start(error) => error.detail(),
            _ => None,
        }
    }
}

impl Host {
    /// A host without plugins.
    pub(crate) fn new(settings: HostSettings) -> Self {
        let HostSettings { node, dir, tags, .. } = settings;
        let HostSettings { configs, load_time, max_running, limits, trust, tls, .. } = settings;
        Self(Arc::new(Shared {
            node,
            tags,
            launch: Arc::new(Launch { configs, load_time, max_running, limits, trust, tls }),
            store: Store::new(dir),
            loaded: Mutex::default(),
            sessions: AtomicU64::new(0),
        }))
    }

    /// Begins to receive the file of a plugin.
    pub(crate) fn upload(&self, name: &str) -> Result<Upload, LoadError> {
        self.check_open()?;
        Ok(self.0.store.upload(name)?)
    }

    /// Loads a plugin from its file, with the signature that came with it.
    pub(crate) async fn load(
        &self,
        upload: Upload,
        signature: Option<Vec<u8>>,
    ) -> Result<Arc<Plugin>, LoadError> {
        self.begin(upload.finish(signature).await?, None).await
    }

    /// Loads a plugin from a file on this host, which it copies under this name.
    pub(crate) async fn load_file(
        &self,
        path: &Path,
        name: &str,
        signature: Option<Vec<u8>>,
    ) -> Result<Arc<Plugin>, LoadError> {
        self.check_open()?;
        self.begin(self.0.store.copy(path, name, signature).await?, None).await
    }

    /// Puts another file in the place of a plugin: mostly a newer version. The old one serves until
    /// the new one does, and ends after its calls. If the new one fails, the old one stays.
    pub(crate) async fn replace(
        &self,
        old: &Arc<Plugin>,
        path: &Path,
        name: &str,
        signature: Option<Vec<u8>>,
    ) -> Result<Arc<Plugin>, LoadError> {
        self.check_open()?;
        self.begin(self.0.store.copy(path, name, signature).await?, Some(old)).await
    }

    async fn begin(
        &self,
        file: StoredFile,
        old: Option<&Arc<Plugin>>,
    ) -> Result<Arc<Plugin>, LoadError> {
        let (file, launch) = (Arc::new(file), Arc::clone(&self.0.launch));
        let mut started = start::start(&file, &launch).await?;
        for metric in &mut started.metrics {
            self.tag(metric);
        }
        // Until it is kept it is killed when dropped.
        let (identity, metrics) = (started.identity.clone(), started.metrics.clone());
        match &started.signed {
            Signed::No => warn!(plugin = %identity, "a plugin without a signature"),
            Signed::By(signer) => info!(plugin = %identity, %signer, "a signed plugin"),
            Signed::Unchecked => {}
        }
        let keep = || Plugin::keep(started, file, launch);
        let plugin = self.lock().add(identity, &metrics, old, keep)?;
        match old {
            Some(old) => {
                info!(old = %old.identity, new = %plugin.identity, "a plugin was replaced");
                old.pool.retire();
            }
            None => {
                info!(plugin = %plugin.identity, metrics = metrics.len(), "a plugin was loaded");
            }
        }
        Ok(plugin)
    }

    /// Unloads a plugin; comes back when it has ended.
    pub(crate) async fn unload(&self, plugin: &Arc<Plugin>) {
        self.lock().remove(plugin);
        plugin.pool.stop().await;
        info!(plugin = %plugin.identity, "a plugin was unloaded");
    }

    /// Ends all plugins; none is loaded after that.
    pub(crate) async fn close(&self) {
        let plugins = {
            let mut loaded = self.lock();
            loaded.closed = true;
            loaded.catalog = Arc::default();
            std::mem::take(&mut loaded.plugins)
        };
        futures_util::future::join_all(plugins.values().map(|plugin| plugin.pool.stop())).await;
    }

    /// All plugins, by type, name and version.
    pub(crate) fn plugins(&self) -> Vec<Arc<Plugin>> {
        self.lock().plugins.values().cloned().collect()
    }

    /// One plugin, in its newest version unless one is named.
    pub(crate) fn plugin(&self, wanted: &Wanted) -> Result<Arc<Plugin>, UseError> {
        let loaded = self.lock();
        let found = loaded.plugins.values().filter(|plugin| wanted.is(&plugin.identity));
        found
            .max_by_key(|plugin| plugin.identity.version)
            .cloned()
            .ok_or_else(|| UseError::Unknown(wanted.clone()))
    }

    /// Which metrics there are.
    pub(crate) fn catalog(&self) -> Arc<Catalog> {
        Arc::clone(&self.lock().catalog)
    }

    /// The plugins that have what these requests mean, each with its part, and the catalog that
    /// says so. What two requests mean comes once.
    pub(super) fn expand(
        &self,
        requests: &[Request],
    ) -> Result<(Arc<Catalog>, Vec<Part>), UseError> {
        let (catalog, plugins) = {
            let loaded = self.lock();
            (Arc::clone(&loaded.catalog), Arc::clone(&loaded.plugins))
        };
        let mut wanted: BTreeMap<Identity, Vec<Metric>> = BTreeMap::new();
        let mut seen = BTreeSet::new();
        for request in requests {
            for Entry { plugin, metric } in catalog.expand(request)? {
                if seen.insert((metric.namespace.clone(), metric.version)) {
                    wanted.entry(plugin).or_default().push(metric);
                }
            }
        }
        let known = |(identity, metrics)| match plugins.get(&identity) {
            Some(plugin) => Ok((Arc::clone(plugin), metrics)),
            None => Err(UseError::Gone(identity)),
        };
        let wanted = wanted.into_iter().map(known).collect::<Result<_, _>>()?;
        Ok((catalog, wanted))
    }

    /// A number for a new session.
    pub(super) fn next_session(&self) -> SessionId {
        SessionId(self.0.sessions.fetch_add(1, Ordering::Relaxed))
    }

    /// Gives a metric the tags of this node.
    pub(super) fn tag(&self, metric: &mut Metric) {
        metric.tags.extend(self.0.tags.of(metric.namespace.values()));
        metric.tags.insert(NODE_TAG.to_owned(), self.0.node.clone());
    }

    fn check_open(&self) -> Result<(), LoadError> {
        if self.lock().closed { Err(LoadError::Closed) } else { Ok(()) }
    }

    fn lock(&self) -> MutexGuard<'_, Loaded> {
        self.0.loaded.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Loaded {
    /// Adds a plugin, perhaps in the place of another: in one step, or not at all.
    fn add(
        &mut self,
        identity: Identity,
        metrics: &[Metric],
        old: Option<&Arc<Plugin>>,
        keep: impl FnOnce() -> Plugin,
    ) -> Result<Arc<Plugin>, LoadError> {
        if self.closed {
            return Err(LoadError::Closed);
        }
        let mut plugins = BTreeMap::clone(&self.plugins);
        if let Some(old) = old {
            if (old.identity.kind, &old.identity.name) != (identity.kind, &identity.name) {
                return Err(LoadError::Other { expected: old.identity.clone(), found: identity });
            }
            if !self.is_loaded(old) {
                return Err(LoadError::Gone(old.identity.clone()));
            }
            plugins.remove(&old.identity);
        }
        if plugins.contains_key(&identity) {
            return Err(LoadError::Loaded(identity));
        }
        let mut catalog = Self::catalog_of(&plugins);
        if let Err(error) = catalog.add(&identity, metrics) {
            return Err(LoadError::Catalog { plugin: identity, error });
        }
        let plugin = Arc::new(keep());
        plugins.insert(identity, Arc::clone(&plugin));
        (self.catalog, self.plugins) = (Arc::new(catalog), Arc::new(plugins));
        Ok(plugin)
    }

    fn remove(&mut self, plugin: &Arc<Plugin>) {
        // It may have been unloaded by another, and loaded again since.
        if !self.is_loaded(plugin) {
            return;
        }
        let mut plugins = BTreeMap::clone(&self.plugins);
        plugins.remove(&plugin.identity);
        (self.catalog, self.plugins) = (Arc::new(Self::catalog_of(&plugins)), Arc::new(plugins));
    }

    fn is_loaded(&self, plugin: &Arc<Plugin>) -> bool {
        self.plugins.get(&plugin.identity).is_some_and(|known| Arc::ptr_eq(known, plugin))
    }

    fn catalog_of(plugins: &BTreeMap<Identity, Arc<Plugin>>) -> Catalog {
        let mut catalog = Catalog::default();
        for (identity, plugin) in plugins {
            // What was in a catalog of more plugins is in one of fewer.
            let added = catalog.add(identity, &plugin.metrics);
            debug_assert!(added.is_ok(), "{identity} was in the catalog before");
        }
        catalog
    }
}
