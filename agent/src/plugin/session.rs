//! What one task has of the plugins: collect, process and publish under its name, for as long as it
//! runs.
//!
//! What a task uses it holds until its session ends: that keeps the instances it needs running.
//! Which plugins a collection means, and what they are told, is found out once and again when other
//! plugins are loaded. A call that finds its plugin replaced meanwhile is made once more.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError, Weak},
    time::Instant,
};

use super::{
    cache::{self, Key},
    calls::{Ask, UseError},
    catalog::{Catalog, Request},
    config::{Config, ConfigTree},
    convert,
    host::Host,
    identity::{Identity, Kind, Wanted},
    loaded::Plugin,
    metric::Metric,
    seats::SessionId,
    traits::Routing,
};

/// What a task collects.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Collection {
    /// Which metrics.
    pub(crate) requests: Vec<Request>,
    /// What plugins are told, by prefix of the metrics' namespaces.
    pub(crate) configs: ConfigTree,
}

/// The plugins as one task uses them. Held while the task runs: what it needs stays running. Cheap
/// to clone; it ends with the last clone and the last stream.
#[derive(Debug, Clone)]
pub(crate) struct Session(Arc<Shared>);

/// Tells whether a session is over, and does not keep it from ending.
#[derive(Debug)]
pub(crate) struct SessionLife(Weak<Shared>);

#[derive(Debug)]
struct Shared {
    host: Host,
    /// The task, unique on this node.
    task: String,
    id: SessionId,
    held: Mutex<BTreeMap<Identity, Held>>,
    prepared: Mutex<Option<Arc<Prepared>>>,
}

/// A plugin that a task uses.
#[derive(Debug)]
struct Held {
    plugin: Arc<Plugin>,
    session: SessionId,
}

/// A collection as the plugins that are loaded now understand it.
#[derive(Debug)]
struct Prepared {
    catalog: Arc<Catalog>,
    what: Collection,
    jobs: Vec<Job>,
}

/// What one plugin is asked.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) plugin: Arc<Plugin>,
    pub(super) asks: Vec<Ask>,
    /// The same for those who ask the same.
    number: u64,
}

impl Host {
    /// Begins to use plugins for a task.
    pub(crate) fn session(&self, task: &str) -> Session {
        Session(Arc::new(Shared {
            host: self.clone(),
            task: task.to_owned(),
            id: self.next_session(),
            held: Mutex::default(),
            prepared: Mutex::default(),
        }))
    }
}

impl Session {
    /// The task.
    pub(crate) fn task(&self) -> &str {
        &self.0.task
    }

    /// Whether it is over.
    pub(crate) fn life(&self) -> SessionLife {
        SessionLife(Arc::downgrade(&self.0))
    }

    /// Could these metrics be collected now? Asks no plugin.
    pub(crate) fn check(&self, what: &Collection) -> Result<(), UseError> {
        let jobs = self.0.jobs(what)?;
        jobs.iter().try_for_each(|job| job.plugin.must_be(Kind::Collector))
    }

    /// Could these metrics be streamed now? Asks no plugin.
    pub(crate) fn check_stream(&self, what: &Collection) -> Result<(), UseError> {
        self.stream_job(what).map(drop)
    }

    /// Could this processor or publisher be used now, with this configuration? Does not ask it.
    pub(crate) fn check_step(&self, plugin: &Wanted, config: &Config) -> Result<(), UseError> {
        self.0.host.plugin(plugin)?.filled(config).map(drop)
    }

    /// Collects, from all plugins at the same time. One that fails spoils all.
    pub(crate) async fn collect(&self, what: &Collection) -> Result<Vec<Metric>, UseError> {
        match self.collect_once(what).await {
            Err(UseError::Gone(_)) => self.collect_once(what).await,
            done => done,
        }
    }

    async fn collect_once(&self, what: &Collection) -> Result<Vec<Metric>, UseError> {
        let prepared = self.0.prepare(what)?;
        prepared.jobs.iter().try_for_each(|job| job.plugin.must_be(Kind::Collector))?;
        self.collect_jobs(&prepared.jobs).await
    }

    /// Collects, and tells each plugin what goes by its name.
    pub(super) async fn collect_by_name(
        &self,
        requests: &[Request],
        configs: &BTreeMap<String, Config>,
    ) -> Result<Vec<Metric>, UseError> {
        let of = |plugin: &Plugin, _: &Metric| {
            configs.get(&plugin.identity.name).cloned().unwrap_or_default()
        };
        let (_, jobs) = self.0.jobs_with(requests, of)?;
        jobs.iter().try_for_each(|job| job.plugin.must_be(Kind::Collector))?;
        self.collect_jobs(&jobs).await
    }

    /// Has a processor change metrics.
    pub(crate) async fn process(
        &self,
        plugin: &Wanted,
        metrics: &[Metric],
        config: &Config,
    ) -> Result<Vec<Metric>, UseError> {
        match self.held(plugin)?.process(self.0.id, metrics, config).await {
            Err(UseError::Gone(_)) => self.held(plugin)?.process(self.0.id, metrics, config).await,
            done => done,
        }
    }

    /// Has a publisher take metrics.
    pub(crate) async fn publish(
        &self,
        plugin: &Wanted,
        metrics: &[Metric],
        config: &Config,
    ) -> Result<(), UseError> {
        match self.held(plugin)?.publish(self.0.id, metrics, config).await {
            Err(UseError::Gone(_)) => self.held(plugin)?.publish(self.0.id, metrics, config).await,
            done => done,
        }
    }

    pub(super) fn id(&self) -> SessionId {
        self.0.id
    }

    /// The one plugin that is to stream, and what it is asked.
    pub(super) fn stream_job(&self, what: &Collection) -> Result<Job, UseError> {
        let mut jobs = self.0.jobs(what)?;
        let plugins = || jobs.iter().map(|job| job.plugin.identity.clone()).collect();
        if jobs.len() != 1 {
            return Err(UseError::StreamOfSeveral(plugins()));
        }
        let job = jobs.pop().ok_or_else(|| UseError::StreamOfSeveral(Vec::new()))?;
        job.plugin.must_be(Kind::StreamCollector)?;
        Ok(job)
    }

    /// Keeps what a plugin needs to serve this task running.
    pub(super) fn hold(&self, plugin: &Arc<Plugin>) {
        self.0.hold(plugin);
    }

    /// Gives metrics the tags of this node, which plugins do not give back.
    pub(super) fn tag(&self, metrics: &mut [Metric]) {
        metrics.iter_mut().for_each(|metric| self.0.host.tag(metric));
    }

    fn held(&self, wanted: &Wanted) -> Result<Arc<Plugin>, UseError> {
        let plugin = self.0.host.plugin(wanted)?;
        self.0.hold(&plugin);
        Ok(plugin)
    }

    async fn collect_jobs(&self, jobs: &[Job]) -> Result<Vec<Metric>, UseError> {
        let calls = jobs.iter().map(|job| {
            self.0.hold(&job.plugin);
            self.collect_job(job)
        });
        let collected = futures_util::future::try_join_all(calls).await?;
        Ok(collected.into_iter().flatten().collect())
    }

    async fn collect_job(&self, job: &Job) -> Result<Vec<Metric>, UseError> {
        let Job { plugin, asks, number } = job;
        let _turn = plugin.cache.turn(*number).await;
        let now = Instant::now();
        let mut answers: Vec<_> = asks.iter().map(|ask| plugin.cache.find(&ask.key, now)).collect();
        let missing: Vec<_> =
            asks.iter().zip(&answers).filter(|(_, found)| found.is_none()).collect();
        let missing: Vec<_> = missing.into_iter().map(|(ask, _)| ask).collect();
        let mut rest = Vec::new();
        if !missing.is_empty() {
            let mut collected = plugin.collect(self.0.id, &missing).await?;
            self.tag(&mut collected);
            let requests: Vec<_> =
                missing.iter().map(|ask| (&*ask.key.namespace, ask.key.version)).collect();
            let (new, others) = cache::sort_out(&requests, collected);
            // What was not measured may be measured by the next call.
            let fresh = missing.iter().zip(&new).filter(|(_, metrics)| !metrics.is_empty());
            let fresh = fresh.map(|(ask, metrics)| (&ask.key, metrics.clone()));
            plugin.cache.keep(fresh, Instant::now());
            let mut new = new.into_iter();
            answers.iter_mut().filter(|found| found.is_none()).for_each(|slot| *slot = new.next());
            rest = others;
        }
        let version = plugin.identity.version;
        for metric in rest.iter_mut().filter(|metric| metric.version < 1) {
            metric.version = version;
        }
        Ok(answers.into_iter().flatten().flatten().chain(rest).collect())
    }
}

impl SessionLife {
    /// Has the last holder of the session let it go?
    pub(crate) fn is_over(&self) -> bool {
        self.0.strong_count() == 0
    }
}

impl Shared {
    fn prepare(&self, what: &Collection) -> Result<Arc<Prepared>, UseError> {
        let catalog = self.host.catalog();
        let known = self.prepared.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(known) = known
            && Arc::ptr_eq(&known.catalog, &catalog)
            && known.what == *what
        {
            return Ok(known);
        }
        self.let_go();
        let of = |_: &Plugin, metric: &Metric| what.configs.of(metric.namespace.values());
        let (catalog, jobs) = self.jobs_with(&what.requests, of)?;
        let prepared = Arc::new(Prepared { catalog, what: what.clone(), jobs });
        let mut slot = self.prepared.lock().unwrap_or_else(PoisonError::into_inner);
        *slot = Some(Arc::clone(&prepared));
        Ok(prepared)
    }

    fn jobs(&self, what: &Collection) -> Result<Vec<Job>, UseError> {
        let of = |_: &Plugin, metric: &Metric| what.configs.of(metric.namespace.values());
        Ok(self.jobs_with(&what.requests, of)?.1)
    }

    fn jobs_with(
        &self,
        requests: &[Request],
        config: impl Fn(&Plugin, &Metric) -> Config,
    ) -> Result<(Arc<Catalog>, Vec<Job>), UseError> {
        let (catalog, wanted) = self.host.expand(requests)?;
        let jobs = wanted.into_iter().map(|(plugin, metrics)| {
            let asks = metrics.into_iter().map(|metric| {
                let config = config(&plugin, &metric);
                self.ask(&plugin, metric, &config)
            });
            let asks = asks.collect::<Result<Vec<_>, _>>()?;
            let number = cache::number(asks.iter().map(|ask| &ask.key));
            Ok(Job { plugin, asks, number })
        });
        let jobs = jobs.collect::<Result<_, UseError>>()?;
        Ok((catalog, jobs))
    }

    fn ask(&self, plugin: &Plugin, metric: Metric, config: &Config) -> Result<Ask, UseError> {
        let config = plugin.filled_for(config, &metric)?;
        let key = Key {
            session: (plugin.routing == Routing::Sticky).then_some(self.id),
            config: convert::config_to_bytes(&config).into(),
            namespace: metric.namespace.values().map(str::to_owned).collect(),
            version: metric.version,
        };
        Ok(Ask { metric, config, key })
    }

    /// Lets go what was unloaded or replaced since, so that its file goes.
    fn let_go(&self) {
        *self.prepared.lock().unwrap_or_else(PoisonError::into_inner) = None;
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        held.retain(|_, held| !held.plugin.pool.is_closed());
    }

    fn hold(&self, plugin: &Arc<Plugin>) {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let known = held.get(&plugin.identity);
        if known.is_some_and(|held| Arc::ptr_eq(&held.plugin, plugin)) {
            return;
        }
        held.retain(|_, held| !held.plugin.pool.is_closed());
        plugin.pool.enter(self.id);
        let new = Held { plugin: Arc::clone(plugin), session: self.id };
        held.insert(plugin.identity.clone(), new);
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.plugin.pool.leave(self.session);
    }
}
