//! How one publish step delivers what its queue holds.
//!
//! In the order in which it was collected, one batch at a time. A batch that fails is tried again after
//! a pause that doubles. Does it fail while the one behind it passes, it is at fault itself, and
//! after [`TRIES`] such times it is set aside. If both fail the sink is at fault, and everything waits.

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::watch,
    time::{Instant, sleep_until},
};
use tracing::warn;

use super::{
    running::Task,
    spool::{Batch, Queue},
};
use crate::plugin::Session;

/// How often a batch that others overtake is tried.
const TRIES: u32 = 10;
/// The pause after the first failure.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
/// The longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// How long a task that was stopped may deliver.
const DRAIN_TIME: Duration = Duration::from_secs(10);
/// After so many failures of the first batch the second one is tried.
const DOUBT: u32 = 2;

/// What a delivery is to do.
#[derive(Debug, Clone)]
pub(super) enum Mode {
    /// Nothing.
    Idle,
    /// Deliver as long as there is something to deliver.
    Run(Arc<Session>),
    /// Deliver what there is, however long it takes.
    Finish(Arc<Session>),
    /// Deliver what can be delivered now.
    Drain(Arc<Session>),
    /// The same if there is a session, and then end.
    Leave(Option<Arc<Session>>),
}

/// The delivery of one step.
pub(super) struct Delivery {
    pub(super) task: Arc<Task>,
    /// The index of the step.
    pub(super) step: usize,
    pub(super) queue: Arc<Queue>,
    pub(super) mode: watch::Receiver<Mode>,
}

/// How the first batch fares.
#[derive(Debug, Default)]
struct Head {
    id: u64,
    /// How often it failed in a row.
    failures: u32,
    /// How often it failed while the next one passed.
    overtaken: u32,
}

impl Delivery {
    /// Delivers until it is told to leave.
    pub(super) async fn run(mut self) {
        let mut head = Head::default();
        loop {
            let mode = self.mode.borrow_and_update().clone();
            match mode {
                Mode::Idle => self.rest().await,
                Mode::Run(session) => self.deliver(&session, &mut head, true).await,
                Mode::Finish(session) => self.deliver(&session, &mut head, false).await,
                Mode::Drain(session) => {
                    self.drain(&session, &mut head).await;
                    self.rest().await;
                }
                Mode::Leave(session) => {
                    if let Some(session) = session {
                        self.drain(&session, &mut head).await;
                    }
                    self.task.resting(self.step, true);
                    return;
                }
            }
        }
    }

    /// Waits for another mode.
    async fn rest(&mut self) {
        self.task.resting(self.step, true);
        // The task, which we hold, has the sender.
        let _ = self.mode.changed().await;
    }

    /// Delivers until there is another mode, or until nothing is left.
    async fn deliver(&mut self, session: &Session, head: &mut Head, for_ever: bool) {
        while !self.mode.has_changed().unwrap_or(true) {
            if let Some(batch) = self.queue.get(0) {
                self.task.resting(self.step, false);
                if !self.attempt(session, &batch, head).await {
                    self.pause(head).await;
                }
                continue;
            }
            self.task.resting(self.step, true);
            let pushed = async {
                match for_ever {
                    true => self.queue.pushed().await,
                    false => std::future::pending().await,
                }
            };
            tokio::select! {
                () = pushed => {}
                _ = self.mode.changed() => return self.mode.mark_changed(),
            }
        }
    }

    /// Delivers until something fails, or until it has taken too long.
    async fn drain(&self, session: &Session, head: &mut Head) {
        let end = Instant::now() + DRAIN_TIME;
        while Instant::now() < end
            && let Some(batch) = self.queue.get(0)
        {
            if !self.attempt(session, &batch, head).await {
                return;
            }
        }
    }

    /// Tries the first batch, and if it keeps failing the second. Has anything passed?
    async fn attempt(&self, session: &Session, batch: &Batch, head: &mut Head) -> bool {
        if head.id != batch.id {
            *head = Head { id: batch.id, ..Head::default() };
        }
        let Some(failure) = self.publish(session, batch).await else {
            self.queue.done(batch.id);
            return true;
        };
        head.failures = head.failures.saturating_add(1);
        if head.failures < DOUBT {
            return false;
        }
        let Some(second) = self.queue.get(1) else { return false };
        if self.publish(session, &second).await.is_some() {
            return false;
        }
        self.queue.done(second.id);
        head.overtaken += 1;
        if head.overtaken >= TRIES {
            self.queue.set_aside(batch, &failure);
            warn!(task = self.task.name, step = %self.path(), failure, "a batch was set aside");
            return true;
        }
        false
    }

    /// Publishes. Gives what went wrong.
    async fn publish(&self, session: &Session, batch: &Batch) -> Option<String> {
        let step = self.task.tree.steps.get(self.step)?;
        let outcome = self.task.context.publish(session, step, &batch.metrics).await;
        let failure = self.task.ran(self.step, &outcome);
        if failure.is_none() {
            self.task.tell(&step.path, &batch.metrics);
        }
        failure
    }

    fn path(&self) -> &str {
        self.task.tree.steps.get(self.step).map_or("", |step| &step.path)
    }

    async fn pause(&mut self, head: &Head) {
        // While others pass the sink is there, and who waits long holds them up.
        let doublings = if head.overtaken > 0 { 0 } else { head.failures.saturating_sub(1) };
        let pause = FIRST_PAUSE.saturating_mul(1 << doublings.min(16)).min(LONGEST_PAUSE);
        let until = Instant::now() + pause;
        self.task.again(self.step, Some(until));
        tokio::select! {
            () = sleep_until(until) => {}
            () = self.task.woken() => {}
            _ = self.mode.changed() => self.mode.mark_changed(),
        }
        self.task.again(self.step, None);
    }
}
