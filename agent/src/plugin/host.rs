//! All plugins of this node.
//!
//! Loading is all or nothing: the file is stored, started and asked, and only then known.
//! Invariant: the catalog has the metrics of the loaded collectors and no others.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tracing::info;

use super::{
    calls::UseError,
    catalog::{Catalog, CatalogError, Entry, Request},
    config::{Config, ConfigTree, Configs},
    identity::{Identity, Wanted},
    loaded::{Keep, Plugin},
    metric::Metric,
    start::{self, StartError},
    store::{Store, StoreError, Upload},
};

/// The tag that says where a metric was collected, which snap has always set.
const NODE_TAG: &str = "plugin_running_on";

/// The plugins of this node. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Host(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    node: String,
    keep: Keep,
    store: Store,
    loaded: Mutex<Loaded>,
}

#[derive(Debug, Default)]
struct Loaded {
    plugins: BTreeMap<Identity, Arc<Plugin>>,
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

impl Host {
    /// A host on this node that keeps files in a directory, tells plugins what `configs` say and
    /// gives each so long to start.
    pub(crate) fn new(node: String, dir: PathBuf, configs: Configs, load_time: Duration) -> Self {
        let keep = Keep { configs: Arc::new(configs), load_time };
        let store = Store::new(dir);
        Self(Arc::new(Shared { node, keep, store, loaded: Mutex::default() }))
    }

    /// Begins to receive the file of a plugin.
    pub(crate) fn upload(&self, name: &str) -> Result<Upload, LoadError> {
        if self.lock().closed {
            return Err(LoadError::Closed);
        }
        Ok(self.0.store.upload(name)?)
    }

    /// Loads a plugin from its file.
    pub(crate) async fn load(&self, upload: Upload) -> Result<Arc<Plugin>, LoadError> {
        let file = upload.finish().await?;
        let keep = self.0.keep.clone();
        let mut started = start::start(file.path(), &keep.configs, keep.load_time).await?;
        for metric in &mut started.metrics {
            self.tag(metric);
        }
        // Until it is kept it is killed when dropped.
        let (identity, metrics) = (started.identity.clone(), started.metrics.clone());
        let keep = || Plugin::keep(started, file, keep);
        let plugin = self.lock().add(identity, &metrics, keep)?;
        info!(plugin = %plugin.identity, metrics = plugin.metrics.len(), "a plugin was loaded");
        Ok(plugin)
    }

    /// Unloads a plugin; comes back when it has ended.
    pub(crate) async fn unload(&self, plugin: &Arc<Plugin>) {
        self.lock().remove(plugin);
        plugin.stop().await;
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
        futures_util::future::join_all(plugins.values().map(|plugin| plugin.stop())).await;
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

    /// Collects what these requests mean, from all plugins at the same time. One that fails spoils
    /// all.
    pub(crate) async fn collect(
        &self,
        requests: &[Request],
        configs: &Configs,
    ) -> Result<Vec<Metric>, UseError> {
        let of = |plugin: &Plugin, _: &Metric| {
            configs.get(&plugin.identity.name).cloned().unwrap_or_default()
        };
        self.collect_with(requests, of).await
    }

    /// Collects, and tells each metric what the prefixes of its namespace say.
    pub(super) async fn collect_by_prefix(
        &self,
        requests: &[Request],
        configs: &ConfigTree,
    ) -> Result<Vec<Metric>, UseError> {
        self.collect_with(requests, |_, metric| configs.of(metric.namespace.values())).await
    }

    async fn collect_with(
        &self,
        requests: &[Request],
        config: impl Fn(&Plugin, &Metric) -> Config,
    ) -> Result<Vec<Metric>, UseError> {
        let catalog = self.catalog();
        let mut wanted: BTreeMap<Identity, Vec<Metric>> = BTreeMap::new();
        let mut seen = BTreeSet::new();
        for request in requests {
            for Entry { plugin, metric } in catalog.expand(request)? {
                // What two requests mean is collected once.
                if seen.insert((metric.namespace.clone(), metric.version)) {
                    wanted.entry(plugin).or_default().push(metric);
                }
            }
        }
        let calls = wanted.into_iter().map(|(identity, metrics)| async {
            let plugin = self.known(identity)?;
            let metrics = metrics.into_iter().map(|metric| {
                let config = config(&plugin, &metric);
                (metric, config)
            });
            plugin.collect(metrics.collect()).await
        });
        let collected = futures_util::future::try_join_all(calls).await?;
        let mut metrics: Vec<_> = collected.into_iter().flatten().collect();
        // Plugins do not give back the tags they got.
        metrics.iter_mut().for_each(|metric| self.tag(metric));
        Ok(metrics)
    }

    fn known(&self, identity: Identity) -> Result<Arc<Plugin>, UseError> {
        let found = self.lock().plugins.get(&identity).cloned();
        found.ok_or_else(|| {
            let Identity { kind, name, version } = identity;
            UseError::Unknown(Wanted { kind, name, version: Some(version) })
        })
    }

    fn tag(&self, metric: &mut Metric) {
        metric.tags.insert(NODE_TAG.to_owned(), self.0.node.clone());
    }

    fn lock(&self) -> MutexGuard<'_, Loaded> {
        self.0.loaded.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Loaded {
    fn add(
        &mut self,
        identity: Identity,
        metrics: &[Metric],
        keep: impl FnOnce() -> Plugin,
    ) -> Result<Arc<Plugin>, LoadError> {
        if self.closed {
            return Err(LoadError::Closed);
        }
        if self.plugins.contains_key(&identity) {
            return Err(LoadError::Loaded(identity));
        }
        let mut catalog = Catalog::clone(&self.catalog);
        if let Err(error) = catalog.add(&identity, metrics) {
            return Err(LoadError::Catalog { plugin: identity, error });
        }
        self.catalog = Arc::new(catalog);
        let plugin = Arc::new(keep());
        self.plugins.insert(identity, Arc::clone(&plugin));
        Ok(plugin)
    }

    fn remove(&mut self, plugin: &Arc<Plugin>) {
        let identity = &plugin.identity;
        // It may have been unloaded by another, and loaded again since.
        if !self.plugins.get(identity).is_some_and(|known| Arc::ptr_eq(known, plugin)) {
            return;
        }
        self.plugins.remove(identity);
        let mut catalog = Catalog::clone(&self.catalog);
        catalog.remove(identity);
        self.catalog = Arc::new(catalog);
    }
}
