//! From a file to a plugin that runs and has told all there is to know, within one limit of time.

use std::{fmt, io, path::Path, process::ExitStatus, time::Duration};

use super::{
    client::{CallError, Client},
    config::{ConfigPolicy, Configs},
    identity::{Identity, Kind},
    metric::Metric,
    preamble::PreambleError,
    process::Process,
};

/// A plugin that runs, and what it said of itself.
#[derive(Debug)]
pub(super) struct Started {
    pub(super) process: Process,
    pub(super) client: Client,
    pub(super) identity: Identity,
    pub(super) policy: ConfigPolicy,
    /// What it can collect; nothing unless it is a collector.
    pub(super) metrics: Vec<Metric>,
}

/// A plugin that did not start. It is not running.
#[derive(Debug)]
pub(crate) struct StartError {
    pub(crate) reason: StartReason,
    /// The last lines it printed.
    pub(crate) output: Vec<String>,
}

/// Why a plugin did not start. Its own fault or that of the file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum StartReason {
    /// The system refuses.
    #[error("it cannot be started: {0}")]
    Spawn(#[from] io::Error),
    /// It ended at once.
    #[error("it ended before it said what it is ({0})")]
    Ended(ExitStatus),
    /// It closed its standard output.
    #[error("it closed its standard output before it said what it is")]
    Mute,
    /// It said something this host cannot use.
    #[error(transparent)]
    Preamble(#[from] PreambleError),
    /// It failed in a question that every plugin must answer.
    #[error("{question} failed: {error}")]
    Call {
        /// Which question.
        question: &'static str,
        /// What happened.
        error: CallError,
    },
    /// It took too long.
    #[error("it was not ready within {0:?}")]
    Slow(Duration),
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.reason.fmt(f)
    }
}

impl StartError {
    /// More about it, in several lines: what it said and what it printed.
    pub(crate) fn detail(&self) -> Option<String> {
        let said = match &self.reason {
            StartReason::Call { error, .. } => error.detail(),
            _ => None,
        };
        let printed = (!self.output.is_empty())
            .then(|| format!("it last printed:\n  {}", self.output.join("\n  ")));
        let parts: Vec<_> = said.into_iter().chain(printed.as_deref()).collect();
        (!parts.is_empty()).then(|| parts.join("\n"))
    }
}

impl std::error::Error for StartError {}

/// Starts a file and asks it everything. `configs` may have something to tell it, by its name.
pub(super) async fn start(
    program: &Path,
    configs: &Configs,
    time: Duration,
) -> Result<Started, StartError> {
    let mut process = Process::start(program)
        .map_err(|error| StartError { reason: error.into(), output: Vec::new() })?;
    let known = tokio::time::timeout(time, ask(&mut process, configs)).await;
    match known.unwrap_or(Err(StartReason::Slow(time))) {
        Ok(Known { client, identity, policy, metrics }) => {
            Ok(Started { process, client, identity, policy, metrics })
        }
        Err(reason) => Err(StartError { reason, output: process.kill().await }),
    }
}

struct Known {
    client: Client,
    identity: Identity,
    policy: ConfigPolicy,
    metrics: Vec<Metric>,
}

async fn ask(process: &mut Process, configs: &Configs) -> Result<Known, StartReason> {
    let preamble = match process.hello().await {
        Some(preamble) => preamble?,
        None => match process.ends_soon().await {
            Some(status) => return Err(StartReason::Ended(status)),
            None => return Err(StartReason::Mute),
        },
    };
    let identity = preamble.identity;
    let failed = |question| move |error| StartReason::Call { question, error };
    let client =
        Client::connect(identity.kind, preamble.address).await.map_err(failed("connecting"))?;
    client.ping().await.map_err(failed("Ping"))?;
    let policy = client.config_policy().await.map_err(failed("GetConfigPolicy"))?;
    let metrics = if identity.kind == Kind::Collector {
        let mut told = policy.defaults();
        told.extend(configs.get(&identity.name).cloned().unwrap_or_default());
        let types = client.metric_types(&told, identity.version).await;
        types.map_err(failed("GetMetricTypes"))?
    } else {
        Vec::new()
    };
    Ok(Known { client, identity, policy, metrics })
}
