//! The steps of a workflow, and how one of them runs.
//!
//! Where a step runs is decided here and nowhere else.

use std::{sync::Arc, time::Duration};

use tokio::time::Instant;

use super::{
    manifest::{Collect, Manifest, Place, Steps},
    report::{Ran, Tried},
    spool::now_ms,
};
use crate::{
    plugin::{
        Collection, Config, ConfigTree, Kind, Metric, Request, Session, StreamOptions, UseError,
        Wanted,
    },
    remote::{self, Remote, RemoteError},
    values::{ResolveError, Resolved, Secrets, Values},
};

/// One step.
#[derive(Debug)]
pub(super) struct Step {
    pub(super) path: Arc<str>,
    pub(super) plugin: Wanted,
    pub(super) config: Config,
    pub(super) place: Place,
    /// The steps that get what this one makes.
    pub(super) below: Vec<usize>,
}

/// All steps of a workflow: those below another come after it.
#[derive(Debug, Default)]
pub(super) struct Tree {
    pub(super) steps: Vec<Step>,
    /// The steps that get what was collected.
    pub(super) first: Vec<usize>,
}

/// Where the steps of a manifest run that do not run here, by the path of the step.
pub(crate) fn elsewhere(manifest: &Manifest) -> impl Iterator<Item = (String, Place)> {
    let steps = Tree::new(&manifest.collect.steps).steps.into_iter();
    let elsewhere = steps.filter(|step| step.place != Place::Here);
    elsewhere.map(|step| (format!("workflow.collect.{}", step.path), step.place))
}

/// What steps need to run.
#[derive(Debug, Clone)]
pub(super) struct Context {
    /// The name of this node.
    pub(super) node: String,
    pub(super) values: Values,
    /// Calls to other nodes; absent on a node that is alone.
    pub(super) remote: Option<Remote>,
    /// Stands in for plugins.
    #[cfg(test)]
    pub(super) script: Option<Arc<super::script::Script>>,
}

/// Batches that a collector sends by itself.
pub(super) type Batches = tokio::sync::mpsc::Receiver<Result<Vec<Metric>, UseError>>;

/// A step that has run, or failed to.
#[derive(Debug)]
pub(super) struct Outcome<T> {
    pub(super) result: Result<T, StepError>,
    pub(super) ran: Ran,
    pub(super) tried: Vec<Tried>,
}

/// Why a step did not do its work.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(super) enum StepError {
    /// A value of its configuration cannot be resolved. The user's fault.
    #[error("config {0}")]
    Value(#[from] ResolveError),
    /// The plugin did not do it, and this is what it says, without secrets.
    #[error("{0}")]
    Plugin(String),
    /// No other node did it.
    #[error(transparent)]
    Elsewhere(#[from] RemoteError),
    /// There are no other nodes.
    #[error("it is to run on {0}, but tribe mode is off on this node")]
    Alone(Place),
    /// Its turn came too late.
    #[error("it was to begin within {} s", _0.as_secs_f64())]
    Overdue(Duration),
}

impl Tree {
    /// The steps of a workflow.
    pub(super) fn new(steps: &Steps) -> Self {
        let mut tree = Self::default();
        tree.first = tree.add(steps, "");
        tree
    }

    fn add(&mut self, steps: &Steps, prefix: &str) -> Vec<usize> {
        let mut added = Vec::new();
        for (index, step) in steps.process.iter().enumerate() {
            let path = format!("{prefix}process[{index}]");
            let below = format!("{path}.");
            added.push(self.push(path, &step.plugin, &step.config, &step.place));
            let at = self.steps.len() - 1;
            let below = self.add(&step.steps, &below);
            if let Some(step) = self.steps.get_mut(at) {
                step.below = below;
            }
        }
        for (index, step) in steps.publish.iter().enumerate() {
            let path = format!("{prefix}publish[{index}]");
            added.push(self.push(path, &step.plugin, &step.config, &step.place));
        }
        added
    }

    fn push(&mut self, path: String, plugin: &Wanted, config: &Config, place: &Place) -> usize {
        self.steps.push(Step {
            path: path.into(),
            plugin: plugin.clone(),
            config: config.clone(),
            place: place.clone(),
            below: Vec::new(),
        });
        self.steps.len() - 1
    }
}

impl Step {
    /// Does it take metrics elsewhere?
    pub(super) fn publishes(&self) -> bool {
        self.plugin.kind == Kind::Publisher
    }
}

impl Context {
    /// Collects.
    pub(super) async fn collect(&self, session: &Session, what: &Collect) -> Outcome<Vec<Metric>> {
        let begun = Instant::now();
        let result = async {
            let (collection, secrets) = self.collection(what)?;
            #[cfg(test)]
            if let Some(script) = &self.script {
                return script.collect().await.map_err(StepError::Plugin);
            }
            session.collect(&collection).await.map_err(|error| StepError::used(&error, &secrets))
        };
        let result = result.await;
        let metrics = result.as_ref().map_or(0, Vec::len);
        self.outcome(begun, metrics, result)
    }

    /// Begins to collect from a collector that streams. Also gives what its errors must not show.
    pub(super) async fn stream(
        &self,
        session: &Session,
        what: &Collect,
        options: StreamOptions,
    ) -> Result<(Batches, Secrets), StepError> {
        let (collection, secrets) = self.collection(what)?;
        #[cfg(test)]
        if let Some(script) = &self.script {
            return Ok((script.stream().await.map_err(StepError::Plugin)?, secrets));
        }
        let batches = session.stream(&collection, options).await;
        Ok((batches.map_err(|error| StepError::used(&error, &secrets))?, secrets))
    }

    /// Could this be collected now?
    pub(super) fn check(
        &self,
        session: &Session,
        what: &Collect,
        streams: bool,
    ) -> Result<(), StepError> {
        let (collection, secrets) = self.collection(what)?;
        let checked = match streams {
            true => session.check_stream(&collection),
            false => session.check(&collection),
        };
        checked.map_err(|error| StepError::used(&error, &secrets))
    }

    /// What is collected, as this node does it.
    fn collection(&self, what: &Collect) -> Result<(Collection, Secrets), StepError> {
        let mut configs = ConfigTree::default();
        let mut secrets = Secrets::default();
        for (prefix, config) in &what.config {
            let resolved = self.values.resolve(config).map_err(|error| ResolveError {
                key: format!("{prefix}: {}", error.key),
                ..error
            })?;
            secrets.join(resolved.secrets());
            configs.add(prefix, resolved.config.clone());
        }
        let requests: Vec<Request> =
            what.metrics.iter().map(|(_, request)| request.clone()).collect();
        Ok((Collection { requests, configs }, secrets))
    }

    /// Changes metrics.
    pub(super) async fn process(
        &self,
        session: &Session,
        step: &Step,
        metrics: &[Metric],
    ) -> Outcome<Vec<Metric>> {
        if step.place != Place::Here {
            return self.elsewhere(session, step, metrics).await;
        }
        let begun = Instant::now();
        let result = async {
            let resolved = self.resolve(step)?;
            #[cfg(test)]
            if let Some(script) = &self.script {
                let done = script.process(step, metrics).await;
                return done.map_err(|text| StepError::Plugin(resolved.secrets().hide(text)));
            }
            let done = session.process(&step.plugin, metrics, &resolved.config).await;
            done.map_err(|error| StepError::used(&error, resolved.secrets()))
        };
        let result = result.await;
        self.outcome(begun, metrics.len(), result)
    }

    /// Takes metrics elsewhere.
    pub(super) async fn publish(
        &self,
        session: &Session,
        step: &Step,
        metrics: &[Metric],
    ) -> Outcome<()> {
        if step.place != Place::Here {
            let Outcome { result, ran, tried } = self.elsewhere(session, step, metrics).await;
            return Outcome { result: result.map(drop), ran, tried };
        }
        let begun = Instant::now();
        let result = async {
            let resolved = self.resolve(step)?;
            #[cfg(test)]
            if let Some(script) = &self.script {
                let done = script.publish(step, metrics, &resolved.config).await;
                return done.map_err(|text| StepError::Plugin(resolved.secrets().hide(text)));
            }
            let done = session.publish(&step.plugin, metrics, &resolved.config).await;
            done.map_err(|error| StepError::used(&error, resolved.secrets()))
        };
        let result = result.await;
        self.outcome(begun, metrics.len(), result)
    }

    /// Has a step done by another node.
    async fn elsewhere(
        &self,
        session: &Session,
        step: &Step,
        metrics: &[Metric],
    ) -> Outcome<Vec<Metric>> {
        let begun = Instant::now();
        let remote = remote::Step {
            session,
            path: &step.path,
            place: &step.place,
            plugin: &step.plugin,
            config: &step.config,
        };
        let done = match &self.remote {
            Some(calls) => calls.run(&remote, metrics).await,
            None => return self.failed(StepError::Alone(step.place.clone())),
        };
        let outcome = self.outcome(begun, metrics.len(), done.result.map_err(StepError::from));
        let node = done.node.map_or_else(|| outcome.ran.node.clone(), |node| node.to_string());
        Outcome { ran: Ran { node, ..outcome.ran }, tried: done.tried, ..outcome }
    }

    /// A step that did not come to work.
    pub(super) fn failed<T>(&self, error: StepError) -> Outcome<T> {
        self.outcome(Instant::now(), 0, Err(error))
    }

    /// A batch that a collector sent by itself.
    pub(super) fn streamed(&self, batch: Result<Vec<Metric>, StepError>) -> Outcome<Vec<Metric>> {
        let metrics = batch.as_ref().map_or(0, Vec::len);
        self.outcome(Instant::now(), metrics, batch)
    }

    fn resolve(&self, step: &Step) -> Result<Resolved, StepError> {
        Ok(self.values.resolve(&step.config)?)
    }

    fn outcome<T>(
        &self,
        begun: Instant,
        metrics: usize,
        result: Result<T, StepError>,
    ) -> Outcome<T> {
        let node = self.node.clone();
        let ran = Ran { node, time_ms: now_ms(), took: begun.elapsed(), metrics };
        Outcome { result, ran, tried: Vec::new() }
    }
}

impl StepError {
    /// What using a plugin came to.
    pub(super) fn used(error: &UseError, secrets: &Secrets) -> Self {
        Self::Plugin(secrets.hide(error.to_string()))
    }
}
