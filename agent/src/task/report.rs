//! What can be told about a task: its state, its counters, and how each step fares.

use std::{sync::Arc, time::Duration};

use super::{
    manifest::{Manifest, Place},
    spool::QueueReport,
};
use crate::plugin::{Metric, Wanted};

/// Who wants a task.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Origin {
    /// Someone on this node.
    Local,
    /// A tribe.
    Tribe(String),
}

/// What a task does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    /// It failed too often in a row and has to be enabled.
    Disabled,
    Stopped,
    Running,
    /// Its schedule is over.
    Ended,
    /// It was stopped and still delivers what it has collected.
    Stopping,
}

/// A task as it is now.
#[derive(Debug, Clone)]
pub(crate) struct TaskReport {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) origin: Origin,
    pub(crate) manifest: Arc<Manifest>,
    pub(crate) state: State,
    pub(crate) created_ms: u64,
    /// How often it fired.
    pub(crate) hits: u64,
    /// Intervals that passed while it was still busy.
    pub(crate) misses: u64,
    /// Failures of all kinds; one firing may have several.
    pub(crate) failures: u64,
    /// How many firings failed since the last that did not.
    pub(crate) failed_in_a_row: u32,
    pub(crate) last_failure: Option<Failure>,
    /// When it fired last.
    pub(crate) last_run_ms: Option<u64>,
    /// Why it does not run: it is disabled, or waits before it tries again.
    pub(crate) reason: Option<String>,
    /// How long it still waits before it tries again.
    pub(crate) pause: Option<Duration>,
    /// In the order of the manifest, parents first.
    pub(crate) steps: Vec<StepReport>,
}

/// Something that went wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure {
    /// What, and in which step. Holds no secret.
    pub(crate) text: String,
    pub(crate) time_ms: u64,
}

/// A step as it is now.
#[derive(Debug, Clone)]
pub(crate) struct StepReport {
    /// As in `process[0].publish[1]`; `collect` is the root.
    pub(crate) path: String,
    /// Absent: many plugins, which collect.
    pub(crate) plugin: Option<Wanted>,
    pub(crate) place: Place,
    /// The last time it worked.
    pub(crate) last_run: Option<Ran>,
    /// The members that were tried and failed, the last time that any did.
    pub(crate) tried: Vec<Tried>,
    pub(crate) passes: u64,
    pub(crate) failures: u64,
    pub(crate) last_failure: Option<Failure>,
    /// Of a publish step: what waits.
    pub(crate) queue: Option<QueueReport>,
    /// Of a publish step that fails: when it is tried again.
    pub(crate) again_in: Option<Duration>,
}

/// One time that a step worked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Ran {
    /// The name of the node.
    pub(crate) node: String,
    pub(crate) time_ms: u64,
    pub(crate) took: Duration,
    pub(crate) metrics: usize,
}

/// A member that was tried.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Tried {
    pub(crate) node: String,
    pub(crate) failure: String,
    pub(crate) time_ms: u64,
}

/// Metrics that came out of a step.
#[derive(Debug, Clone)]
pub(crate) struct Flow {
    /// The step.
    pub(crate) step: Arc<str>,
    pub(crate) time_ms: u64,
    pub(crate) metrics: Arc<[Metric]>,
}

impl State {
    /// The state as snap shows it.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Disabled => "Disabled",
            Self::Stopped => "Stopped",
            Self::Running => "Running",
            Self::Ended => "Ended",
            Self::Stopping => "Stopping",
        }
    }
}
