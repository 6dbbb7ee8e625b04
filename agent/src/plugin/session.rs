//! What one task has of the plugins: collect, process and publish under its name, for as long as it
//! runs.

use super::{
    calls::UseError,
    catalog::Request,
    config::{Config, ConfigTree},
    host::Host,
    identity::Wanted,
    metric::Metric,
};

/// What a task collects.
#[derive(Debug, Clone, Default)]
pub(crate) struct Collection {
    /// Which metrics.
    pub(crate) requests: Vec<Request>,
    /// What plugins are told, by prefix of the metrics' namespaces.
    pub(crate) configs: ConfigTree,
}

/// The plugins as one task uses them. Held while the task runs: what it needs stays running.
#[derive(Debug)]
pub(crate) struct Session {
    host: Host,
    /// The task, unique on this node.
    task: String,
}

impl Host {
    /// Begins to use plugins for a task.
    pub(crate) fn session(&self, task: &str) -> Session {
        Session { host: self.clone(), task: task.to_owned() }
    }
}

/// How a collector that streams gives what it has.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct StreamOptions {
    /// How long metrics may be held back to come in one batch.
    pub(crate) max_collect_duration: Option<std::time::Duration>,
    /// How many metrics may be held back.
    pub(crate) max_metrics_buffer: Option<u64>,
}

impl Session {
    /// Has a collector send metrics whenever it has some.
    pub(crate) async fn stream(
        &self,
        what: &Collection,
        _options: StreamOptions,
    ) -> Result<tokio::sync::mpsc::Receiver<Result<Vec<Metric>, UseError>>, UseError> {
        let (sender, receiver) = tokio::sync::mpsc::channel(1);
        let _ = sender.send(self.collect(what).await).await;
        Ok(receiver)
    }

    /// The task.
    pub(crate) fn task(&self) -> &str {
        &self.task
    }

    /// Collects, from all plugins at the same time. One that fails spoils all.
    pub(crate) async fn collect(&self, what: &Collection) -> Result<Vec<Metric>, UseError> {
        self.host.collect_by_prefix(&what.requests, &what.configs).await
    }

    /// Has a processor change metrics.
    pub(crate) async fn process(
        &self,
        plugin: &Wanted,
        metrics: &[Metric],
        config: &Config,
    ) -> Result<Vec<Metric>, UseError> {
        self.host.plugin(plugin)?.process(metrics, config).await
    }

    /// Has a publisher take metrics.
    pub(crate) async fn publish(
        &self,
        plugin: &Wanted,
        metrics: &[Metric],
        config: &Config,
    ) -> Result<(), UseError> {
        self.host.plugin(plugin)?.publish(metrics, config).await
    }
}
