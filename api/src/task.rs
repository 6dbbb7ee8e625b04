//! Tasks: of the daemon's node, and of tribes.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};

use crate::Measured;

/// Which tribe is meant; absent: the daemon's node alone.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct TribeQuery {
    /// The tribe.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tribe: Option<String>,
}

/// The query parameters of `POST /v3/tasks`. The body is the manifest, in JSON or YAML as its content type
/// says.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct CreateTaskQuery {
    /// The tribe whose members are to run the task; absent: the daemon's node alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tribe: Option<String>,
    /// What the task is called, whatever the manifest says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// What the task is called if nothing else says so: the name of its file without the ending.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stem: Option<String>,
    /// Take the place of a task of this name.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub replace: bool,
    /// Do not start it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub no_start: bool,
}

/// One task as it is now.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Task {
    /// Unique on its node: the name, behind that of its tribe if it has one.
    pub id: String,
    /// Its name.
    pub name: String,
    /// The tribe that wants it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tribe: Option<String>,
    /// What it does.
    pub state: TaskState,
    /// Its schedule, in words.
    pub schedule: String,
    /// How often it fired.
    #[serde(default)]
    pub hit_count: u64,
    /// Intervals that passed while it was still busy.
    #[serde(default)]
    pub miss_count: u64,
    /// Failures of all kinds; one firing may have several.
    #[serde(default)]
    pub failed_count: u64,
    /// What went wrong last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_failure: Option<TaskFailure>,
    /// Why it does not run: it is disabled, or waits before it tries again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// When it was created, in milliseconds of Unix time.
    #[serde(default)]
    pub created_ms: u64,
    /// When it fired last, in milliseconds of Unix time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_run_ms: Option<u64>,
    /// Its steps in the order of the manifest, parents first.
    #[serde(default)]
    pub steps: Vec<TaskStep>,
    /// Its manifest, in which literal passwords are hidden. Absent in lists.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub manifest: Option<Value>,
}

/// What a task does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum TaskState {
    /// It failed too often in a row and has to be enabled.
    Disabled,
    /// It does not run.
    Stopped,
    /// It runs.
    Running,
    /// Its schedule is over.
    Ended,
    /// It was stopped and still delivers what it has collected.
    Stopping,
}

impl TaskState {
    /// The state as snap shows it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Disabled => "Disabled",
            Self::Stopped => "Stopped",
            Self::Running => "Running",
            Self::Ended => "Ended",
            Self::Stopping => "Stopping",
        }
    }
}

/// Something that went wrong in a task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TaskFailure {
    /// What, and in which step.
    pub text: String,
    /// When, in milliseconds of Unix time.
    pub time_ms: u64,
}

/// One step of a task as it is now.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct TaskStep {
    /// `collect`, or as in `process[0].publish[1]`.
    pub path: String,
    /// The plugin, as `TYPE:NAME[:VERSION]`; absent for `collect`, which may have many.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plugin: Option<String>,
    /// Where it runs: `here`, `tribe:NAME` or `node:NAME`.
    pub place: String,
    /// The last time it worked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_run: Option<StepRun>,
    /// Members that were tried and failed, the last time that any did.
    #[serde(default)]
    pub tried: Vec<StepTried>,
    /// How often it worked.
    #[serde(default)]
    pub passed_count: u64,
    /// How often it failed.
    #[serde(default)]
    pub failed_count: u64,
    /// What went wrong last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_failure: Option<TaskFailure>,
    /// Of a publish step: what waits on disk.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spool: Option<StepSpool>,
    /// Of a step that fails: in how many milliseconds it is tried again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub again_in_ms: Option<u64>,
}

/// One time that a step worked.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct StepRun {
    /// The name of the node it ran on.
    pub node: String,
    /// When it ended, in milliseconds of Unix time.
    pub time_ms: u64,
    /// How long it took, in milliseconds.
    pub took_ms: f64,
    /// Metrics that came out of it.
    pub metrics: usize,
}

/// A member that was tried and failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct StepTried {
    /// The name of the node.
    pub node: String,
    /// Why it did not do it.
    pub failure: String,
    /// When, in milliseconds of Unix time.
    #[serde(default)]
    pub time_ms: u64,
}

/// What waits on disk for a publisher.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct StepSpool {
    /// Batches that wait.
    pub waiting: usize,
    /// What they take, in bytes.
    pub bytes: u64,
    /// When the oldest of them was collected, in milliseconds of Unix time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub oldest_ms: Option<u64>,
    /// Batches that had to go because of the limit.
    pub dropped: u64,
    /// Records that a crash left unreadable.
    #[serde(default)]
    pub torn: u64,
    /// Batches that fail while others pass, and were set aside.
    pub set_aside: usize,
    /// Why the last ones of those failed.
    #[serde(default)]
    pub set_aside_failures: Vec<TaskFailure>,
    /// Why the disk refuses, if it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trouble: Option<String>,
}

/// A task was created, or did what it was told.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct TaskChanged {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// The tribe that wants it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tribe: Option<String>,
    /// What it does now, on the daemon's node alone. Absent for a task of a tribe: its members act on it by
    /// themselves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<TaskState>,
    /// Live members that did not say in time that they hold the change. Empty without `wait`.
    #[serde(default)]
    pub missing: Vec<String>,
    /// What may be wrong, such as a plugin that is not loaded here yet.
    #[serde(default)]
    pub notes: Vec<String>,
}

/// The query parameters of `GET /v3/tasks/{task}/watch`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct WatchQuery {
    /// The tribe that wants the task.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tribe: Option<String>,
    /// Only what flows out of this step, as in `collect` or `process[0]`; absent: out of all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<String>,
}

/// Metrics that flowed out of a step: the data of an event of `GET /v3/tasks/{task}/watch`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Flow {
    /// The step.
    pub step: String,
    /// When, in milliseconds of Unix time.
    pub time_ms: u64,
    /// The metrics. Empty in a message that only tells what was missed.
    #[serde(default)]
    pub metrics: Vec<Measured>,
    /// Batches that this reader was too slow for, before this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub missed: Option<u64>,
}
