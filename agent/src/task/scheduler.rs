//! All tasks of this node.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::Duration,
};

use futures_util::future::join_all;
use tokio::{sync::broadcast, task::JoinHandle, time::interval};
use tracing::info;

use super::{
    manifest::{Manifest, Place, Problem},
    report::{Flow, Origin, State, TaskReport},
    running::Task,
    schedule::Schedule,
    spool::{Queue, Spool, SpoolError},
    step::{Context, Step, Tree},
};
use crate::{
    plugin::{Host, Session, UseError},
    remote::Remote,
    values::Values,
};

/// How many tasks a node may have.
const TASKS: usize = 5000;
/// How often the disk is to take what waits.
const SYNC_PERIOD: Duration = Duration::from_secs(5);

/// The tasks of this node. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Scheduler(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    host: Host,
    context: Context,
    spool: Spool,
    state: Mutex<Tasks>,
}

#[derive(Debug, Default)]
struct Tasks {
    /// By id.
    tasks: BTreeMap<String, Known>,
    /// What still delivers for tasks that are gone.
    leaving: Vec<JoinHandle<()>>,
    syncing: bool,
    /// Nothing is added any more.
    closed: bool,
}

#[derive(Debug)]
struct Known {
    task: Arc<Task>,
    deliveries: Vec<JoinHandle<()>>,
}

/// A task that is to be.
#[derive(Debug, Clone)]
pub(crate) struct TaskSpec {
    /// Unique on this node.
    pub(crate) id: String,
    /// Unique among the tasks of its origin. What waits on disk is found again by it.
    pub(crate) name: String,
    pub(crate) manifest: Arc<Manifest>,
    pub(crate) origin: Origin,
    /// Whether it runs at once.
    pub(crate) start: bool,
}

/// Why nothing was done to a task. Nothing has changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum TaskError {
    /// There is no such task. The user's fault.
    #[error("there is no task `{0}`")]
    Unknown(String),
    /// There is one of this name, or with this id. The user's fault.
    #[error("there is a task `{0}` already")]
    Exists(String),
    /// There are too many. The user's fault.
    #[error("a node can have at most {TASKS} tasks")]
    TooMany,
    /// It is not in a state for that. The user's fault.
    #[error("task `{name}` is {}, {help}", state.as_str())]
    State {
        /// The task.
        name: String,
        /// Its state.
        state: State,
        /// What to do instead.
        help: &'static str,
    },
    /// There is no place for what publishers do not take.
    #[error(transparent)]
    Spool(#[from] SpoolError),
    /// The daemon stops.
    #[error("snapd is stopping")]
    Closed,
}

impl Scheduler {
    /// A scheduler on the node of this name, whose tasks use these plugins and values.
    pub(crate) fn new(
        node: String,
        host: Host,
        values: Values,
        spool: Spool,
        remote: Option<Remote>,
    ) -> Self {
        let context = Context {
            node,
            values,
            remote,
            #[cfg(test)]
            script: None,
        };
        Self(Arc::new(Shared { host, context, spool, state: Mutex::default() }))
    }

    /// Adds a task.
    pub(crate) fn add(&self, spec: TaskSpec) -> Result<TaskReport, TaskError> {
        let mut state = self.lock();
        if state.find(&spec.origin, &spec.name).is_some() || state.tasks.contains_key(&spec.id) {
            return Err(TaskError::Exists(spec.name));
        }
        if state.tasks.len() >= TASKS {
            return Err(TaskError::TooMany);
        }
        let task = self.task(&state, &spec)?;
        Ok(self.launch(&mut state, task, spec.start))
    }

    /// Adds a task in the place of the one that has its name. What waits to be published stays as long
    /// as there is a step for it.
    pub(crate) fn replace(&self, spec: TaskSpec) -> Result<TaskReport, TaskError> {
        let mut state = self.lock();
        let old = state.find(&spec.origin, &spec.name).map(|known| known.task.id.clone());
        if state.tasks.contains_key(&spec.id) && old.as_ref() != Some(&spec.id) {
            return Err(TaskError::Exists(spec.name));
        }
        if old.is_none() && state.tasks.len() >= TASKS {
            return Err(TaskError::TooMany);
        }
        let task = self.task(&state, &spec)?;
        let Some(old) = old.and_then(|id| state.tasks.remove(&id)) else {
            return Ok(self.launch(&mut state, task, spec.start));
        };
        old.task.stop();
        old.deliveries.iter().for_each(JoinHandle::abort);
        let report = self.launch(&mut state, task, spec.start);
        for queue in old.task.queues().filter(|queue| !state.uses(queue)) {
            queue.remove();
        }
        Ok(report)
    }

    /// Removes a task that does not run. What it has collected is delivered as far as that is possible
    /// now; what then still waits goes with it.
    pub(crate) fn remove(&self, id: &str) -> Result<TaskReport, TaskError> {
        let mut state = self.lock();
        let task = state.known(id)?.task.clone();
        let now = task.state();
        if now == State::Running {
            let help = "stop it first";
            return Err(TaskError::State { name: task.name.clone(), state: now, help });
        }
        let report = task.report();
        let Some(Known { task, deliveries }) = state.tasks.remove(id) else {
            return Err(TaskError::Unknown(id.to_owned()));
        };
        task.leave();
        let shared = Arc::downgrade(&self.0);
        state.leaving.retain(|leaving| !leaving.is_finished());
        state.leaving.push(tokio::spawn(gone(shared, task, deliveries)));
        info!(task = report.name, id, "a task was removed");
        Ok(report)
    }

    /// Starts a task.
    pub(crate) fn start(&self, id: &str) -> Result<TaskReport, TaskError> {
        let task = self.lock().known(id)?.task.clone();
        let help = match task.state() {
            State::Stopped | State::Ended | State::Stopping => {
                task.start(self.0.host.session(&task.id));
                return Ok(task.report());
            }
            State::Running => "there is nothing to start",
            State::Disabled => "enable it first",
        };
        Err(TaskError::State { name: task.name.clone(), state: task.state(), help })
    }

    /// Stops a task, at once.
    pub(crate) fn stop(&self, id: &str) -> Result<TaskReport, TaskError> {
        let task = self.lock().known(id)?.task.clone();
        let state = task.state();
        if state != State::Running {
            let help = "there is nothing to stop";
            return Err(TaskError::State { name: task.name.clone(), state, help });
        }
        task.stop();
        Ok(task.report())
    }

    /// Lets a task be started that failed too often.
    pub(crate) fn enable(&self, id: &str) -> Result<TaskReport, TaskError> {
        let task = self.lock().known(id)?.task.clone();
        let state = task.state();
        if state != State::Disabled {
            let help = "there is nothing to enable";
            return Err(TaskError::State { name: task.name.clone(), state, help });
        }
        task.enable();
        Ok(task.report())
    }

    /// All tasks, by id.
    pub(crate) fn list(&self) -> Vec<TaskReport> {
        let tasks: Vec<_> = self.lock().tasks.values().map(|it| Arc::clone(&it.task)).collect();
        tasks.iter().map(|task| task.report()).collect()
    }

    /// One task.
    pub(crate) fn one(&self, id: &str) -> Result<TaskReport, TaskError> {
        let task = self.lock().known(id)?.task.clone();
        Ok(task.report())
    }

    /// The task of this name, or with this id. Among tasks of one name that of this node counts.
    pub(crate) fn find(&self, name_or_id: &str) -> Result<TaskReport, TaskError> {
        let state = self.lock();
        let named = |known: &&Known| known.task.name == name_or_id;
        let found = match state.tasks.get(name_or_id) {
            Some(known) => Some(known),
            None => state.tasks.values().filter(named).min_by_key(|known| &known.task.origin),
        };
        let task = found.map(|known| Arc::clone(&known.task));
        drop(state);
        task.map(|task| task.report()).ok_or_else(|| TaskError::Unknown(name_or_id.to_owned()))
    }

    /// What comes out of the steps of a task from now on. Ends with the task; who reads too slowly is
    /// told how much was missed.
    pub(crate) fn watch(&self, id: &str) -> Result<broadcast::Receiver<Flow>, TaskError> {
        Ok(self.lock().known(id)?.task.watch())
    }

    /// Whatever failed is tried again at once: a plugin was loaded, or something else has changed.
    pub(crate) fn wake(&self) {
        for known in self.lock().tasks.values() {
            known.task.wake();
        }
    }

    /// What keeps a task from running on this node now: plugins that are not loaded, metrics that
    /// there are not, values that it does not have.
    pub(crate) fn check(&self, manifest: &Manifest) -> Vec<Problem> {
        let session = self.0.host.session("a check");
        let mut problems = self.check_collect(&session, manifest);
        for step in Tree::new(&manifest.collect.steps).steps {
            problems.extend(self.check_step(&session, &step));
        }
        problems
    }

    /// Ends all tasks; comes back when what can be delivered was delivered. The rest waits on disk.
    pub(crate) async fn close(&self) {
        let (tasks, leaving) = {
            let mut state = self.lock();
            state.closed = true;
            (std::mem::take(&mut state.tasks), std::mem::take(&mut state.leaving))
        };
        tasks.values().for_each(|known| known.task.leave());
        let deliveries = tasks.into_values().flat_map(|known| known.deliveries);
        // An error means that it was aborted.
        join_all(deliveries.chain(leaving)).await;
        let spool = self.0.spool.clone();
        let _ = tokio::task::spawn_blocking(move || spool.sync()).await;
    }

    fn check_collect(&self, session: &Session, manifest: &Manifest) -> Vec<Problem> {
        let collect = &manifest.collect;
        let catalog = self.0.host.catalog();
        let unknown = collect.metrics.iter().filter_map(|(namespace, request)| {
            let error = catalog.expand(request).err()?;
            let path = format!("workflow.collect.metrics[{namespace:?}]");
            Some(Problem { path, message: error.to_string() })
        });
        let unresolved = collect.config.iter().filter_map(|(prefix, config)| {
            let error = self.0.context.values.resolve(config).err()?;
            let path = format!("workflow.collect.config[{prefix:?}].{}", error.key);
            Some(Problem { path, message: error.error.to_string() })
        });
        let problems: Vec<_> = unknown.chain(unresolved).collect();
        if !problems.is_empty() {
            return problems;
        }
        let (streams, context) = (manifest.schedule == Schedule::Streaming, &self.0.context);
        let error = context.check(session, collect, streams).err();
        let path = "workflow.collect".to_owned();
        error.map(|error| Problem { path, message: error.to_string() }).into_iter().collect()
    }

    fn check_step(&self, session: &Session, step: &Step) -> Option<Problem> {
        // What other nodes have is not known here.
        if step.place != Place::Here {
            return None;
        }
        let path = format!("workflow.collect.{}", step.path);
        let resolved = match self.0.context.values.resolve(&step.config) {
            Ok(resolved) => resolved,
            Err(error) => {
                let path = format!("{path}.config.{}", error.key);
                return Some(Problem { path, message: error.error.to_string() });
            }
        };
        let error = session.check_step(&step.plugin, &resolved.config).err()?;
        let key = if matches!(error, UseError::Unknown(_)) { "plugin_name" } else { "config" };
        let message = resolved.secrets().hide(error.to_string());
        Some(Problem { path: format!("{path}.{key}"), message })
    }

    /// A task that does nothing yet.
    fn task(&self, state: &Tasks, spec: &TaskSpec) -> Result<Arc<Task>, TaskError> {
        if state.closed {
            return Err(TaskError::Closed);
        }
        let TaskSpec { id, name, manifest, origin, .. } = spec;
        let owner = match origin {
            Origin::Local => format!("local/{name}"),
            Origin::Tribe(tribe) => format!("tribe/{tribe}/{name}"),
        };
        let queue = |step: &Step| {
            // No name has a slash in it.
            let name = format!("{owner}/{}/{}", step.path, step.plugin.name);
            step.publishes().then(|| self.0.spool.attach(&name)).transpose()
        };
        let tree = Tree::new(&manifest.collect.steps);
        let queues = tree.steps.iter().map(queue).collect::<Result<Vec<_>, _>>()?;
        let identity = (id.clone(), name.clone(), origin.clone());
        let context = self.0.context.clone();
        Ok(Arc::new(Task::new(identity, Arc::clone(manifest), context, queues)))
    }

    fn launch(&self, state: &mut Tasks, task: Arc<Task>, start: bool) -> TaskReport {
        let deliveries = task.deliver();
        if start {
            task.start(self.0.host.session(&task.id));
        }
        let report = task.report();
        state.tasks.insert(task.id.clone(), Known { task, deliveries });
        if !state.syncing {
            state.syncing = true;
            tokio::spawn(keep_synced(Arc::downgrade(&self.0)));
        }
        report
    }

    fn lock(&self) -> MutexGuard<'_, Tasks> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Tasks {
    fn known(&self, id: &str) -> Result<&Known, TaskError> {
        self.tasks.get(id).ok_or_else(|| TaskError::Unknown(id.to_owned()))
    }

    fn find(&self, origin: &Origin, name: &str) -> Option<&Known> {
        self.tasks.values().find(|known| known.task.name == name && known.task.origin == *origin)
    }

    /// Does a task have this queue?
    fn uses(&self, queue: &Arc<Queue>) -> bool {
        let mut queues = self.tasks.values().flat_map(|known| known.task.queues());
        queues.any(|known| Arc::ptr_eq(known, queue))
    }
}

/// Removes what is left of a task, once it has delivered what it can.
async fn gone(shared: Weak<Shared>, task: Arc<Task>, deliveries: Vec<JoinHandle<()>>) {
    join_all(deliveries).await;
    let Some(shared) = shared.upgrade() else { return };
    let state = shared.state.lock().unwrap_or_else(PoisonError::into_inner);
    // A task of the same name may be there again.
    for queue in task.queues().filter(|queue| !state.uses(queue)) {
        queue.remove();
    }
}

/// Has the disk take what waits, for as long as there is a scheduler.
async fn keep_synced(shared: Weak<Shared>) {
    let mut ticks = interval(SYNC_PERIOD);
    loop {
        ticks.tick().await;
        let Some(spool) = shared.upgrade().map(|shared| shared.spool.clone()) else { return };
        // It ends with the runtime if at all.
        let _ = tokio::task::spawn_blocking(move || spool.sync()).await;
    }
}

#[cfg(test)]
mod tests;
