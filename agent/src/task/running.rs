//! One task: its state, from stopped to running and back.
//!
//! The task itself fires, collects and processes; what is to be published goes into queues, each with
//! a [`Delivery`] of its own. So neither the next firing nor `stop` waits for a publisher.
//!
//! Invariant: of a task that does not run, nothing fires.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::{
    sync::{Notify, broadcast, watch},
    task::JoinHandle,
    time::Instant,
};
use tracing::{info, warn};

use super::{
    delivery::{Delivery, Mode},
    manifest::{Manifest, MaxFailures, Place},
    report::{Failure, Flow, Origin, Ran, State, StepReport, TaskReport, Tried},
    spool::{Queue, now_ms},
    step::{Context, Outcome, Tree},
    tags::TagTree,
};
use crate::plugin::{Metric, Session};

/// How many batches someone who watches may be late.
const FLOW: usize = 64;

/// A task.
#[derive(Debug)]
pub(super) struct Task {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) origin: Origin,
    pub(super) manifest: Arc<Manifest>,
    pub(super) context: Context,
    pub(super) tree: Tree,
    /// Those of the node, then those of the task.
    pub(super) tags: TagTree,
    /// By step; those that publish have one.
    pub(super) queues: Vec<Option<Arc<Queue>>>,
    mode: watch::Sender<Mode>,
    flow: broadcast::Sender<Flow>,
    wake: Notify,
    inner: Mutex<Inner>,
}

/// What of it changes.
#[derive(Debug)]
pub(super) struct Inner {
    state: State,
    created_ms: u64,
    /// What fires, while it runs.
    run: Option<JoinHandle<()>>,
    session: Option<Arc<Session>>,
    pub(super) hits: u64,
    pub(super) misses: u64,
    failures: u64,
    pub(super) failed_in_a_row: u32,
    pub(super) last_failure: Option<Failure>,
    pub(super) last_run_ms: Option<u64>,
    pub(super) reason: Option<String>,
    pub(super) pause_until: Option<Instant>,
    collect: StepState,
    pub(super) steps: Vec<StepState>,
}

/// How a step fares.
#[derive(Debug, Clone, Default)]
pub(super) struct StepState {
    last_run: Option<Ran>,
    tried: Vec<Tried>,
    passes: u64,
    failures: u64,
    last_failure: Option<Failure>,
    again: Option<Instant>,
    /// The last try failed.
    pub(super) failing: bool,
    /// Its delivery has nothing to do.
    resting: bool,
}

impl Task {
    pub(super) fn new(
        (id, name, origin): (String, String, Origin),
        manifest: Arc<Manifest>,
        context: Context,
        queues: Vec<Option<Arc<Queue>>>,
    ) -> Self {
        let tree = Tree::new(&manifest.collect.steps);
        let tags = TagTree::new(&manifest.collect.tags);
        let inner = Inner {
            state: State::Stopped,
            created_ms: now_ms(),
            run: None,
            session: None,
            hits: 0,
            misses: 0,
            failures: 0,
            failed_in_a_row: 0,
            last_failure: None,
            last_run_ms: None,
            reason: None,
            pause_until: None,
            collect: StepState::default(),
            steps: vec![StepState::default(); tree.steps.len()],
        };
        let (mode, flow) = (watch::Sender::new(Mode::Idle), broadcast::Sender::new(FLOW));
        let (wake, inner) = (Notify::new(), Mutex::new(inner));
        Self { id, name, origin, manifest, context, tree, tags, queues, mode, flow, wake, inner }
    }

    /// Begins to deliver what queues hold, once it runs.
    pub(super) fn deliver(self: &Arc<Self>) -> Vec<JoinHandle<()>> {
        let delivery = |(step, queue): (usize, &Option<Arc<Queue>>)| {
            let (task, queue) = (Arc::clone(self), Arc::clone(queue.as_ref()?));
            let delivery = Delivery { task, step, queue, mode: self.mode.subscribe() };
            Some(tokio::spawn(delivery.run()))
        };
        self.queues.iter().enumerate().filter_map(delivery).collect()
    }

    /// Its queues.
    pub(super) fn queues(&self) -> impl Iterator<Item = &Arc<Queue>> {
        self.queues.iter().flatten()
    }

    pub(super) fn state(&self) -> State {
        let state = self.lock().state;
        let draining = matches!(&*self.mode.borrow(), Mode::Drain(_));
        if state == State::Stopped && draining { State::Stopping } else { state }
    }

    /// Begins to fire. The caller has looked at the state.
    pub(super) fn start(self: &Arc<Self>, session: Session) {
        let session = Arc::new(session);
        let mut inner = self.lock();
        inner.state = State::Running;
        inner.reason = None;
        inner.pause_until = None;
        inner.failed_in_a_row = 0;
        inner.session = Some(Arc::clone(&session));
        let run = tokio::spawn(Arc::clone(self).run(Arc::clone(&session)));
        if let Some(run) = inner.run.replace(run) {
            run.abort();
        }
        drop(inner);
        self.mode.send_replace(Mode::Run(session));
        info!(task = self.name, id = self.id, "a task was started");
    }

    /// Ceases to fire, at once.
    pub(super) fn stop(&self) {
        self.halt(State::Stopped, Mode::Drain);
        info!(task = self.name, id = self.id, "a task was stopped");
    }

    /// Ceases to fire, and what delivers ends as well; after it has delivered what it can.
    pub(super) fn leave(&self) {
        self.halt(State::Stopped, |session| Mode::Leave(Some(session)));
        self.mode.send_if_modified(|mode| {
            let idle = matches!(mode, Mode::Idle);
            if idle {
                *mode = Mode::Leave(None);
            }
            idle
        });
    }

    /// From disabled to stopped.
    pub(super) fn enable(&self) {
        let mut inner = self.lock();
        inner.state = State::Stopped;
        inner.reason = None;
        inner.failed_in_a_row = 0;
    }

    pub(super) fn halt(&self, state: State, mode: impl FnOnce(Arc<Session>) -> Mode) {
        let (run, session) = {
            let mut inner = self.lock();
            inner.state = state;
            inner.pause_until = None;
            for step in &mut inner.steps {
                step.resting = false;
            }
            (inner.run.take(), inner.session.take())
        };
        if let Some(run) = run {
            run.abort();
        }
        let current = self.mode.borrow().clone();
        let session = session.or(match current {
            Mode::Run(session) | Mode::Finish(session) | Mode::Drain(session) => Some(session),
            Mode::Idle | Mode::Leave(_) => None,
        });
        let Some(session) = session else { return };
        self.mode.send_replace(mode(session));
        self.release();
    }

    /// Lets go of the plugins once nothing is delivered any more.
    fn release(&self) {
        let inner = self.lock();
        let steps = inner.steps.iter().zip(&self.queues);
        let rest = steps.filter(|(_, queue)| queue.is_some()).all(|(step, _)| step.resting);
        drop(inner);
        if !rest {
            return;
        }
        self.mode.send_if_modified(|mode| match mode {
            Mode::Drain(_) | Mode::Finish(_) => {
                *mode = Mode::Idle;
                true
            }
            Mode::Idle | Mode::Run(_) | Mode::Leave(_) => false,
        });
    }

    /// A delivery has something to do, or not.
    pub(super) fn resting(&self, step: usize, resting: bool) {
        if let Some(step) = self.lock().steps.get_mut(step) {
            step.resting = resting;
        }
        if resting {
            self.release();
        }
    }

    /// When a delivery tries again.
    pub(super) fn again(&self, step: usize, again: Option<Instant>) {
        if let Some(step) = self.lock().steps.get_mut(step) {
            step.again = again;
        }
    }

    /// Ends the pauses of whatever failed: there is reason to hope.
    pub(super) fn wake(&self) {
        self.wake.notify_waiters();
    }

    /// Comes back when there is reason to hope.
    pub(super) async fn woken(&self) {
        self.wake.notified().await;
    }

    /// What comes out of its steps from now on.
    pub(super) fn watch(&self) -> broadcast::Receiver<Flow> {
        self.flow.subscribe()
    }

    /// Tells those who watch.
    pub(super) fn tell(&self, step: &Arc<str>, metrics: &Arc<[Metric]>) {
        if self.flow.receiver_count() == 0 {
            return;
        }
        let (step, metrics) = (Arc::clone(step), Arc::clone(metrics));
        // They may have gone since.
        let _ = self.flow.send(Flow { step, time_ms: now_ms(), metrics });
    }

    /// Notes how a step fared, and gives what went wrong.
    pub(super) fn ran<T>(&self, step: usize, outcome: &Outcome<T>) -> Option<String> {
        self.note(Some(step), outcome)
    }

    pub(super) fn note<T>(&self, step: Option<usize>, outcome: &Outcome<T>) -> Option<String> {
        let place = step.and_then(|step| self.tree.steps.get(step));
        let path = place.map_or("collect", |step| &step.path);
        let publishes = place.is_some_and(|step| step.publishes());
        let mut inner = self.lock();
        let inner = &mut *inner;
        let state = match step {
            None => &mut inner.collect,
            Some(step) => inner.steps.get_mut(step)?,
        };
        // After a failover one wants to know from whom.
        if !outcome.tried.is_empty() {
            state.tried.clone_from(&outcome.tried);
        }
        let Err(error) = &outcome.result else {
            state.last_run = Some(outcome.ran.clone());
            state.passes += 1;
            state.failing = false;
            return None;
        };
        let failure = Failure { text: error.to_string(), time_ms: outcome.ran.time_ms };
        let text = failure.text.clone();
        let first = !std::mem::replace(&mut state.failing, true);
        state.failures += 1;
        state.last_failure = Some(failure);
        inner.failures += 1;
        let text_with_path = format!("{path}: {text}");
        inner.last_failure = Some(Failure { text: text_with_path, time_ms: outcome.ran.time_ms });
        if first {
            warn!(task = self.name, step = path, failure = text, "a step of a task failed");
        }
        // The firing that it belongs to may be over.
        if first && publishes && self.publishers_count() {
            inner.failed_in_a_row = inner.failed_in_a_row.saturating_add(1);
        }
        Some(text)
    }

    /// Do publishers that fail count for a task to be disabled? Their metrics are kept, so only if
    /// the manifest says how many failures are too many.
    pub(super) fn publishers_count(&self) -> bool {
        self.origin == Origin::Local && matches!(self.manifest.max_failures, MaxFailures::Times(_))
    }

    pub(super) fn ended(&self) {
        info!(task = self.name, id = self.id, "a task has ended");
        let session = {
            let mut inner = self.lock();
            inner.state = State::Ended;
            inner.run = None;
            for step in &mut inner.steps {
                step.resting = false;
            }
            inner.session.take()
        };
        if let Some(session) = session {
            self.mode.send_replace(Mode::Finish(session));
            self.release();
        }
    }

    /// How it is.
    pub(super) fn report(&self) -> TaskReport {
        let state = self.state();
        let inner = self.lock();
        let now = Instant::now();
        let left = |until: Option<Instant>| until.map(|until| until.saturating_duration_since(now));
        let step =
            |path: &str, plugin, place, state: &StepState, queue: Option<&Arc<Queue>>| StepReport {
                path: path.to_owned(),
                plugin,
                place,
                last_run: state.last_run.clone(),
                tried: state.tried.clone(),
                passes: state.passes,
                failures: state.failures,
                last_failure: state.last_failure.clone(),
                queue: queue.map(|queue| queue.report()),
                again_in: left(state.again),
            };
        let mut steps = vec![step("collect", None, Place::Here, &inner.collect, None)];
        let all = self.tree.steps.iter().zip(&inner.steps).zip(&self.queues);
        steps.extend(all.map(|((it, state), queue)| {
            step(&it.path, Some(it.plugin.clone()), it.place.clone(), state, queue.as_ref())
        }));
        TaskReport {
            id: self.id.clone(),
            name: self.name.clone(),
            origin: self.origin.clone(),
            manifest: Arc::clone(&self.manifest),
            state,
            created_ms: inner.created_ms,
            hits: inner.hits,
            misses: inner.misses,
            failures: inner.failures,
            failed_in_a_row: inner.failed_in_a_row,
            last_failure: inner.last_failure.clone(),
            last_run_ms: inner.last_run_ms,
            reason: inner.reason.clone(),
            pause: left(inner.pause_until),
            steps,
        }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
