//! How a task fires: it collects, and takes what it has through the workflow.
//!
//! What is to be published is left in the queues, so a firing never waits for a publisher.

use std::{pin::Pin, sync::Arc, time::Duration};

use futures_util::future::join_all;
use jiff::{Timestamp, tz::TimeZone};
use tokio::time::{Instant, sleep_until};
use tracing::warn;

use super::{
    delivery::Mode,
    manifest::Place,
    report::{Origin, State},
    running::Task,
    schedule::{Next, Now, Schedule},
    spool::now_ms,
    step::StepError,
};
use crate::plugin::{Metric, Session};

/// The longest pause of a task that fails.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// The first.
const FIRST_PAUSE: Duration = Duration::from_secs(1);

/// What becomes of a task after it fired.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Go,
    Pause(Duration),
    Disabled,
}

/// The work of a task.
type Work<'a> = Pin<Box<dyn Future<Output = bool> + Send + 'a>>;

impl Task {
    /// Fires by its schedule, until that is over or it is aborted.
    pub(super) async fn run(self: Arc<Self>, session: Arc<Session>) {
        match self.manifest.schedule {
            Schedule::Streaming => self.stream(&session).await,
            Schedule::Interval { .. } | Schedule::Cron { .. } => self.fire_by_time(&session).await,
        }
    }

    async fn fire_by_time(&self, session: &Session) {
        let begun = Instant::now();
        let mut table = self.manifest.schedule.begin(TimeZone::system());
        loop {
            let now = Now { steady: begun.elapsed(), wall: Timestamp::now() };
            match table.next(now) {
                Next::End => return self.ended(),
                Next::Ask { at } => sleep_until(begun + at).await,
                Next::Fire { at, missed } => {
                    self.lock().misses += missed;
                    sleep_until(begun + at).await;
                    table.fired(at);
                    let passed = self.fire(session).await;
                    if !self.go_on(passed).await {
                        return;
                    }
                }
            }
        }
    }

    /// Fires once. Has everything passed?
    async fn fire(&self, session: &Session) -> bool {
        let begun = self.hit();
        let outcome = self.context.collect(session, &self.manifest.collect).await;
        if self.note(None, &outcome).is_some() {
            return false;
        }
        match outcome.result {
            Ok(metrics) => self.flow(session, metrics, begun).await,
            Err(_) => false,
        }
    }

    pub(super) fn hit(&self) -> Instant {
        let mut inner = self.lock();
        inner.hits += 1;
        inner.last_run_ms = Some(now_ms());
        Instant::now()
    }

    /// Takes metrics through the workflow. Has everything passed?
    pub(super) async fn flow(
        &self,
        session: &Session,
        mut metrics: Vec<Metric>,
        begun: Instant,
    ) -> bool {
        self.tags.apply(&mut metrics);
        let metrics: Arc<[Metric]> = metrics.into();
        self.tell(&"collect".into(), &metrics);
        self.descend(session, &self.tree.first, metrics, begun).await
    }

    fn descend<'a>(
        &'a self,
        session: &'a Session,
        steps: &'a [usize],
        metrics: Arc<[Metric]>,
        begun: Instant,
    ) -> Work<'a> {
        Box::pin(async move {
            let works = steps.iter().map(|step| self.step(session, *step, &metrics, begun));
            join_all(works).await.into_iter().all(|passed| passed)
        })
    }

    async fn step(
        &self,
        session: &Session,
        index: usize,
        metrics: &Arc<[Metric]>,
        begun: Instant,
    ) -> bool {
        let Some(step) = self.tree.steps.get(index) else { return true };
        if let Some(queue) = self.queues.get(index).and_then(Option::as_ref) {
            if !metrics.is_empty() {
                queue.push(Arc::clone(metrics), now_ms());
            }
            return true;
        }
        let deadline = self.manifest.deadline();
        let outcome = if begun.elapsed() > deadline {
            self.context.failed(StepError::Overdue(deadline))
        } else {
            self.context.process(session, step, metrics).await
        };
        self.ran(index, &outcome);
        let Ok(processed) = outcome.result else { return false };
        let processed: Arc<[Metric]> = processed.into();
        self.tell(&step.path, &processed);
        self.descend(session, &step.below, processed, begun).await
    }

    /// Whether the task goes on after it has fired; comes back when it does.
    pub(super) async fn go_on(&self, passed: bool) -> bool {
        match self.judge(passed) {
            Verdict::Go => true,
            Verdict::Disabled => {
                self.halt(State::Disabled, Mode::Drain);
                false
            }
            Verdict::Pause(pause) => {
                let until = Instant::now() + pause;
                self.lock().pause_until = Some(until);
                tokio::select! {
                    () = sleep_until(until) => {}
                    () = self.woken() => {}
                }
                self.lock().pause_until = None;
                true
            }
        }
    }

    fn judge(&self, passed: bool) -> Verdict {
        let mut inner = self.lock();
        let counted = self.publishers_count();
        let place = |index: usize| self.tree.steps.get(index).map(|step| &step.place);
        let publishes = |index: usize| self.tree.steps.get(index).is_some_and(|it| it.publishes());
        let mut states = inner.steps.iter().enumerate();
        let failing = counted && states.any(|(index, state)| state.failing && publishes(index));
        if passed && !failing {
            inner.failed_in_a_row = 0;
            inner.reason = None;
            return Verdict::Go;
        }
        inner.failed_in_a_row = inner.failed_in_a_row.saturating_add(1);
        let times = inner.failed_in_a_row;
        let Some(more) = self.manifest.max_failures.most().and_then(|most| times.checked_sub(most))
        else {
            return Verdict::Go;
        };
        // What other nodes lack now they may have later.
        let mut states = inner.steps.iter().enumerate();
        let elsewhere = states.any(|(index, state)| {
            state.failing && place(index).is_some_and(|it| *it != Place::Here)
        });
        let last = inner.last_failure.as_ref().map_or("", |failure| failure.text.as_str());
        let reason = format!("it failed {times} times in a row, the last time: {last}");
        warn!(task = self.name, id = self.id, reason, "a task fails");
        inner.reason = Some(reason);
        match self.origin {
            Origin::Local if !elsewhere => Verdict::Disabled,
            Origin::Local | Origin::Tribe(_) => {
                Verdict::Pause(FIRST_PAUSE.saturating_mul(1 << more.min(16)).min(LONGEST_PAUSE))
            }
        }
    }
}
