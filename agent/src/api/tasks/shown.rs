//! Tasks as the API's types. Plain translation.

use tribe_api::{
    StepRun, StepSpool, StepTried, Task, TaskChanged, TaskFailure, TaskState, TaskStep,
};

use crate::task::{self, Origin, TaskReport};

/// A task of this node that was changed.
pub(super) fn of_node(report: &TaskReport) -> TaskChanged {
    TaskChanged {
        id: report.id.clone(),
        name: report.name.clone(),
        tribe: None,
        state: Some(state(report.state)),
        missing: Vec::new(),
        notes: Vec::new(),
    }
}

/// A task that a tribe was asked to change.
pub(super) fn of_tribe(tribe: &str, name: &str, missing: Vec<String>) -> TaskChanged {
    TaskChanged {
        id: format!("{tribe}/{name}"),
        name: name.to_owned(),
        tribe: Some(tribe.to_owned()),
        state: None,
        missing,
        notes: Vec::new(),
    }
}

/// A task, without its manifest.
pub(super) fn shown(report: &TaskReport) -> Task {
    Task {
        id: report.id.clone(),
        name: report.name.clone(),
        tribe: match &report.origin {
            Origin::Local => None,
            Origin::Tribe(tribe) => Some(tribe.clone()),
        },
        state: state(report.state),
        schedule: report.manifest.schedule.to_string(),
        hit_count: report.hits,
        miss_count: report.misses,
        failed_count: report.failures,
        last_failure: report.last_failure.as_ref().map(failure),
        reason: report.reason.clone(),
        created_ms: report.created_ms,
        last_run_ms: report.last_run_ms,
        steps: report.steps.iter().map(step).collect(),
        manifest: None,
    }
}

pub(super) fn state(state: task::State) -> TaskState {
    match state {
        task::State::Disabled => TaskState::Disabled,
        task::State::Stopped => TaskState::Stopped,
        task::State::Running => TaskState::Running,
        task::State::Ended => TaskState::Ended,
        task::State::Stopping => TaskState::Stopping,
    }
}

fn failure(failure: &task::Failure) -> TaskFailure {
    TaskFailure { text: failure.text.clone(), time_ms: failure.time_ms }
}

fn step(step: &task::StepReport) -> TaskStep {
    let millis = |time: std::time::Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    TaskStep {
        path: step.path.clone(),
        plugin: step.plugin.as_ref().map(ToString::to_string),
        place: match &step.place {
            task::Place::Here => "here".to_owned(),
            task::Place::Tribe(tribe) => format!("tribe:{tribe}"),
            task::Place::Node(node) => format!("node:{node}"),
        },
        last_run: step.last_run.as_ref().map(|ran| StepRun {
            node: ran.node.clone(),
            time_ms: ran.time_ms,
            took_ms: ran.took.as_secs_f64() * 1000.0,
            metrics: ran.metrics,
        }),
        tried: step
            .tried
            .iter()
            .map(|tried| StepTried {
                node: tried.node.clone(),
                failure: tried.failure.clone(),
                time_ms: tried.time_ms,
            })
            .collect(),
        passed_count: step.passes,
        failed_count: step.failures,
        last_failure: step.last_failure.as_ref().map(failure),
        spool: step.queue.as_ref().map(|queue| StepSpool {
            waiting: queue.waiting,
            bytes: queue.bytes,
            oldest_ms: queue.oldest_ms,
            dropped: queue.dropped,
            torn: queue.torn,
            set_aside: queue.set_aside,
            set_aside_failures: queue.aside.iter().map(aside).collect(),
            trouble: queue.trouble.clone(),
        }),
        again_in_ms: step.again_in.map(millis),
    }
}

fn aside(aside: &task::Aside) -> TaskFailure {
    let why = aside.failure.as_deref().unwrap_or("snapd was started again since it failed");
    TaskFailure { text: format!("{} metrics: {why}", aside.metrics), time_ms: aside.time_ms }
}
