//! From a file to a plugin that runs and has told all there is to know, within one limit of time.

use std::{fmt, io, process::ExitStatus, sync::Arc, time::Duration};

use super::{
    client::{CallError, Client},
    config::ConfigPolicy,
    identity::Identity,
    launch::Launch,
    metric::Metric,
    preamble::PreambleError,
    process::Process,
    program::{self, HEAD_BYTES, ProgramError},
    store::{ChangedError, StoredFile},
    traits::Traits,
    trust::{Signed, TrustError},
};

/// The file of a plugin whose identity is known.
#[derive(Debug)]
pub(super) struct Program {
    pub(super) identity: Identity,
    pub(super) file: Arc<StoredFile>,
}

/// A plugin that runs, and what it said of itself.
#[derive(Debug)]
pub(super) struct Started {
    pub(super) process: Process,
    pub(super) client: Client,
    pub(super) identity: Identity,
    pub(super) policy: ConfigPolicy,
    /// What it can collect; nothing unless it is a collector.
    pub(super) metrics: Vec<Metric>,
    pub(super) traits: Traits,
    /// Who made it.
    pub(super) signed: Signed,
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
    /// Its file is not what was loaded.
    #[error(transparent)]
    Changed(#[from] ChangedError),
    /// Its file cannot be run here.
    #[error(transparent)]
    Program(#[from] ProgramError),
    /// Who made it is not trusted.
    #[error(transparent)]
    Trust(#[from] TrustError),
    /// It does not speak TLS.
    #[error("it does not speak TLS, which this node asks of its plugins (`plugins: tls`)")]
    NoTls,
    /// It speaks TLS, which we do not.
    #[error("it speaks TLS, which is not set up on this node (`plugins: tls`)")]
    OnlyTls,
    /// It was another plugin when it was loaded.
    #[error("it says that it is `{0}` now")]
    Another(Identity),
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

/// Starts a file and asks it everything.
pub(super) async fn start(
    file: &Arc<StoredFile>,
    launch: &Arc<Launch>,
) -> Result<Started, StartError> {
    run(file, launch, None).await
}

/// Starts a plugin that was loaded.
pub(super) async fn start_again(
    program: &Program,
    launch: &Arc<Launch>,
) -> Result<Started, StartError> {
    run(&program.file, launch, Some(&program.identity)).await
}

async fn run(
    file: &Arc<StoredFile>,
    launch: &Arc<Launch>,
    expected: Option<&Identity>,
) -> Result<Started, StartError> {
    let silent = |reason| StartError { reason, output: Vec::new() };
    let signed = check(file, launch).await.map_err(silent)?;
    let process = Process::start(file.path(), launch);
    let mut process = process.map_err(|error| silent(error.into()))?;
    let known = tokio::time::timeout(launch.load_time, ask(&mut process, launch, expected)).await;
    match known.unwrap_or(Err(StartReason::Slow(launch.load_time))) {
        Ok(Known { client, identity, policy, metrics, traits }) => {
            Ok(Started { process, client, identity, policy, metrics, traits, signed })
        }
        Err(reason) => Err(StartError { reason, output: process.kill().await }),
    }
}

/// Is the file what it was, is it trusted, and can it be run?
async fn check(file: &Arc<StoredFile>, launch: &Arc<Launch>) -> Result<Signed, StartReason> {
    let (file, launch) = (Arc::clone(file), Arc::clone(launch));
    let checked = tokio::task::spawn_blocking(move || {
        let content = file.read()?;
        let signed = launch.trust.check(&content, file.signature())?;
        program::inspect(content.get(..HEAD_BYTES).unwrap_or(&content))?;
        Ok(signed)
    });
    // An error means that the runtime ends.
    checked.await.unwrap_or_else(|error| Err(io::Error::other(error).into()))
}

struct Known {
    client: Client,
    identity: Identity,
    policy: ConfigPolicy,
    metrics: Vec<Metric>,
    traits: Traits,
}

async fn ask(
    process: &mut Process,
    launch: &Launch,
    expected: Option<&Identity>,
) -> Result<Known, StartReason> {
    let preamble = match process.hello().await {
        Some(preamble) => preamble?,
        None => match process.ends_soon().await {
            Some(status) => return Err(StartReason::Ended(status)),
            None => return Err(StartReason::Mute),
        },
    };
    let identity = preamble.identity;
    if expected.is_some_and(|expected| *expected != identity) {
        return Err(StartReason::Another(identity));
    }
    match (&launch.tls, preamble.tls) {
        (Some(_), false) => return Err(StartReason::NoTls),
        (None, true) => return Err(StartReason::OnlyTls),
        (Some(_), true) | (None, false) => {}
    }
    let failed = |question| move |error| StartReason::Call { question, error };
    let client = Client::connect(identity.kind, preamble.address, launch.tls.as_ref()).await;
    let client = client.map_err(failed("connecting"))?;
    client.ping().await.map_err(failed("Ping"))?;
    let policy = client.config_policy().await.map_err(failed("GetConfigPolicy"))?;
    let metrics = if identity.kind.collects() {
        let mut told = policy.defaults();
        told.extend(launch.configs.of(&identity));
        let types = client.metric_types(&told, identity.version).await;
        types.map_err(failed("GetMetricTypes"))?
    } else {
        Vec::new()
    };
    Ok(Known { client, identity, policy, metrics, traits: preamble.traits })
}
