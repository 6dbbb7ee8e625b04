//! The tasks that items ask for: added, replaced, started, stopped and removed until what runs is what is
//! wanted.
//!
//! What a task itself does after that, such as failing or coming to its end, is left to it.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use tokio::time::Instant;
use tracing::{info, warn};

use super::{
    desired::{ItemKey, Source, Want, Wish},
    report::{Entry, State},
};
use crate::{
    remote::Remote,
    task::{self, Format, Manifest, Origin, Scheduler, TaskReport, TaskSpec},
};

/// The pause before what could not be begun is tried again.
const PAUSE: Duration = Duration::from_secs(10);

/// The tasks that items asked for.
#[derive(Debug)]
pub(super) struct Tasks {
    scheduler: Scheduler,
    remote: Remote,
    held: BTreeMap<ItemKey, Held>,
}

/// A task that was asked for.
#[derive(Debug)]
struct Held {
    text: String,
    /// The manifest, or why there is no task.
    manifest: Result<Arc<Manifest>, String>,
    running: bool,
    /// When what could not be done is tried again.
    again: Option<Instant>,
}

impl Tasks {
    pub(super) fn new(scheduler: Scheduler, remote: Remote) -> Self {
        Self { scheduler, remote, held: BTreeMap::new() }
    }

    /// Ends the tasks that nobody wants any more.
    pub(super) fn end_unwanted(&mut self, wishes: &BTreeMap<ItemKey, Wish>) {
        let is_wanted =
            |key: &ItemKey| wishes.get(key).is_some_and(|wish| matches!(wish.want, Want::Task(_)));
        let unwanted: Vec<ItemKey> =
            self.held.keys().filter(|key| !is_wanted(key)).cloned().collect();
        for key in unwanted {
            self.held.remove(&key);
            let id = key.task_id();
            // It need not run, and need not be there.
            let _ = self.scheduler.stop(&id);
            if self.scheduler.remove(&id).is_ok() {
                info!(task = id, "a task is not wanted here any more");
            }
            self.remote.forget(&id);
        }
    }

    /// Begins what is wanted. While plugins are being loaded a task that lacks something waits for them,
    /// so it does not fail at every start of snapd.
    pub(super) fn step(&mut self, wishes: &BTreeMap<ItemKey, Wish>, loading: bool) {
        for (key, wish) in wishes {
            let Want::Task(text) = &wish.want else { continue };
            if self.held.get(key).is_none_or(|held| held.is_to_begin(text)) {
                let held = self.begin(key, text);
                self.held.insert(key.clone(), held);
            }
            let Some(held) = self.held.get_mut(key) else { continue };
            let Ok(manifest) = &held.manifest else { continue };
            if held.running == wish.running {
                continue;
            }
            if wish.running && loading && !self.scheduler.check(manifest).is_empty() {
                continue;
            }
            held.running = wish.running;
            self.switch(key, wish.running);
        }
    }

    /// Whatever failed is tried again at once.
    pub(super) fn wake(&self) {
        self.scheduler.wake();
    }

    /// How an item stands.
    pub(super) fn entry(&self, key: &ItemKey, wish: &Wish) -> Entry {
        let held = self.held.get(key);
        if let Some(Held { manifest: Err(reason), .. }) = held {
            return Entry::new(wish, State::Failed, Some(reason.clone()));
        }
        if wish.running && held.is_some_and(|held| !held.running) {
            let reason = "it needs plugins that are being loaded".to_owned();
            return Entry::new(wish, State::Waiting, Some(reason));
        }
        match self.scheduler.one(&key.task_id()) {
            Ok(report) => {
                let (state, detail) = standing(&report);
                Entry::new(wish, state, detail)
            }
            Err(error) => Entry::new(wish, State::Waiting, Some(error.to_string())),
        }
    }

    /// A task that does not run yet.
    fn begin(&self, key: &ItemKey, text: &str) -> Held {
        let parsed = Manifest::parse(text, Format::Json);
        let parsed = parsed.map(Arc::new).map_err(|error| error.lines().join("\n"));
        let is_readable = parsed.is_ok();
        let manifest = parsed.and_then(|manifest| self.replace(key, manifest));
        if let Err(reason) = &manifest {
            warn!(task = key.task_id(), reason, "a task cannot run here");
        }
        // It may be the disk, which may have room by then.
        let again = (is_readable && manifest.is_err()).then(|| Instant::now() + PAUSE);
        Held { text: text.to_owned(), manifest, running: false, again }
    }

    fn replace(&self, key: &ItemKey, manifest: Arc<Manifest>) -> Result<Arc<Manifest>, String> {
        let origin = match &key.source {
            Source::Local => Origin::Local,
            Source::Tribe(tribe) => Origin::Tribe(tribe.to_string()),
        };
        let spec = TaskSpec {
            id: key.task_id(),
            name: key.name.to_string(),
            manifest: Arc::clone(&manifest),
            origin,
            start: false,
        };
        self.scheduler.replace(spec).map(|_| manifest).map_err(|error| error.to_string())
    }

    fn switch(&self, key: &ItemKey, running: bool) {
        let id = key.task_id();
        let Ok(report) = self.scheduler.one(&id) else { return };
        let done = match (running, report.state) {
            (true, task::State::Disabled) => {
                self.scheduler.enable(&id).and_then(|_| self.scheduler.start(&id))
            }
            (true, task::State::Running) => return,
            (true, _) => self.scheduler.start(&id),
            (false, task::State::Running) => self.scheduler.stop(&id),
            (false, _) => return,
        };
        if let Err(error) = done {
            warn!(task = id, %error, "a task does not do what is wanted");
        }
    }
}

impl Held {
    /// Is it to be done as this says, and not yet?
    fn is_to_begin(&self, text: &str) -> bool {
        self.text != text || self.again.is_some_and(|again| again <= Instant::now())
    }
}

/// How a task stands, as an item.
fn standing(report: &TaskReport) -> (State, Option<String>) {
    match report.state {
        task::State::Disabled => (State::Disabled, report.reason.clone()),
        task::State::Stopped => (State::Stopped, None),
        task::State::Stopping => (State::Stopping, None),
        task::State::Ended => (State::Ended, None),
        task::State::Running => match trouble(report) {
            Some(trouble) => (State::Failed, Some(trouble)),
            None => (State::Running, aside(report)),
        },
    }
}

/// What is wrong with a running task now.
fn trouble(report: &TaskReport) -> Option<String> {
    let failing = report.steps.iter().filter(|step| step.again_in.is_some());
    let publishes = failing
        .filter_map(|step| Some(format!("{}: {}", step.path, step.last_failure.as_ref()?.text)));
    let fires = (report.failed_in_a_row > 0).then_some(report.last_failure.as_ref()).flatten();
    let fires = fires.map(|failure| match report.pause {
        Some(pause) => format!("{} (again in {} s)", failure.text, pause.as_secs() + 1),
        None => failure.text.clone(),
    });
    let all: Vec<String> = fires.into_iter().chain(publishes).collect();
    (!all.is_empty()).then(|| all.join("\n"))
}

/// What a running task could not deliver and has set aside.
fn aside(report: &TaskReport) -> Option<String> {
    let lines = report.steps.iter().filter_map(|step| {
        let queue = step.queue.as_ref().filter(|queue| queue.set_aside > 0)?;
        let last = queue.aside.last().and_then(|aside| aside.failure.as_deref());
        let why = last.map(|why| format!(", the last one: {why}")).unwrap_or_default();
        Some(format!("{}: batches set aside: {}{why}", step.path, queue.set_aside))
    });
    let lines: Vec<String> = lines.collect();
    (!lines.is_empty()).then(|| lines.join("\n"))
}
