//! Tasks: what is collected, when, and where it goes.
//!
//! A task is a [`Manifest`]: a [`schedule`], what to collect, and a tree of steps. The [`Scheduler`]
//! runs each task in a task of its own. What a publisher does not take at once waits on disk, in the
//! [`spool`]. Nothing here knows of tribes, HTTP or files of manifests.
//!
//! Invariant: whatever a plugin does or does not do, `stop` and `remove` return at once and no other
//! task is held up.

mod delivery;
mod document;
mod firing;
mod manifest;
mod read;
mod report;
mod running;
mod schedule;
mod scheduler;
#[cfg(test)]
mod script;
mod spool;
mod step;
mod stream;
mod tags;
mod time;

pub(crate) use self::{
    document::Format,
    manifest::{Manifest, ManifestError, Place, Problem},
    read::check_name,
    report::{Failure, Origin, State, StepReport, TaskReport, Tried},
    scheduler::{Scheduler, TaskError, TaskSpec},
    spool::{Aside, DEFAULT_SIZE, QueueReport, Spool, now_ms},
    step::elsewhere,
};
