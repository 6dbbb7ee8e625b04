//! A loaded plugin: what it said of itself, its instances, and what it collected last.

use std::{sync::Arc, time::SystemTime};

use super::{
    cache::Cache,
    config::{Config, ConfigPolicy},
    identity::{Identity, Kind},
    instance::Health,
    launch::Launch,
    metric::Metric,
    pool::Pool,
    start::{Program, Started},
    store::StoredFile,
    traits::{Routing, Traits},
    trust::Signed,
};

/// A plugin that was loaded.
#[derive(Debug)]
pub(crate) struct Plugin {
    pub(crate) identity: Identity,
    pub(crate) policy: ConfigPolicy,
    pub(crate) metrics: Vec<Metric>,
    /// What it is told unless a request says otherwise.
    pub(super) config: Config,
    pub(crate) loaded: SystemTime,
    /// Who made it.
    pub(crate) signed: Signed,
    pub(super) routing: Routing,
    pub(super) pool: Pool,
    pub(super) cache: Cache,
    program: Arc<Program>,
}

impl Plugin {
    /// A plugin that was started from this file, kept running from now on.
    pub(super) fn keep(mut started: Started, file: Arc<StoredFile>, launch: Arc<Launch>) -> Self {
        let identity = started.identity.clone();
        let policy = std::mem::take(&mut started.policy);
        let metrics = std::mem::take(&mut started.metrics);
        let signed = started.signed.clone();
        let mut traits = std::mem::take(&mut started.traits);
        if identity.kind == Kind::StreamCollector {
            // Two streams of one instance mix.
            traits.routing = Routing::Sticky;
        }
        let Traits { cache_ttl, routing, .. } = traits;
        let config = launch.configs.of(&identity);
        let program = Arc::new(Program { identity: identity.clone(), file });
        let pool = Pool::new(started, &traits, Arc::clone(&program), launch);
        Self {
            identity,
            policy,
            metrics,
            config,
            loaded: SystemTime::now(),
            signed,
            routing,
            pool,
            cache: Cache::new(cache_ttl),
            program,
        }
    }

    /// How it is now.
    pub(crate) fn health(&self) -> Health {
        self.pool.health()
    }

    /// The numbers of its processes.
    #[cfg(test)]
    pub(crate) fn pids(&self) -> Vec<i32> {
        self.pool.pids()
    }

    /// Its file.
    pub(crate) fn file(&self) -> &StoredFile {
        &self.program.file
    }
}
