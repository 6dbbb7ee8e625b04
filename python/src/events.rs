//! Events of a node, one after the other.

use std::{os::fd::RawFd, sync::Arc, time::Duration};

use pyo3::prelude::*;
use tokio::sync::Mutex;
use tribe::{Event, EventKind};

use crate::{
    call::{Owned, Runtime, seconds, wait, within},
    error::Error,
    feed::{Feed, Feeder, Next},
};

/// Revision, kind, subject, and the body as JSON.
type Row = (u64, &'static str, String, String);

/// A reader of events. Threads may share it; each event goes to one of them.
#[pyclass(frozen, module = "tribe._tribe")]
pub(crate) struct Events {
    reader: Owned<Reader>,
}

struct Reader {
    events: Mutex<tribe::Events>,
    /// What is let through; empty is everything.
    kinds: Vec<EventKind>,
    runtime: Arc<Runtime>,
}

impl Events {
    pub(crate) fn new(events: tribe::Events, kinds: Vec<EventKind>, runtime: Arc<Runtime>) -> Self {
        Self { reader: Owned::new(Reader { events: Mutex::new(events), kinds, runtime }) }
    }
}

#[pymethods]
impl Events {
    #[pyo3(signature = (timeout))]
    fn next(&self, py: Python<'_>, timeout: Option<f64>) -> PyResult<Option<Row>> {
        let timeout = timeout.map(seconds).transpose()?;
        let reader = self.reader.get()?;
        let event = wait(py, &reader.runtime, reader.next(timeout))?;
        Ok(event.map(row))
    }
}

/// The same for an event loop: nothing here waits.
#[pyclass(frozen, module = "tribe._tribe")]
pub(crate) struct EventFeed {
    feeding: Owned<Feeding>,
}

/// The order of the fields matters: the runtime goes last.
struct Feeding {
    events: Feed<Event>,
    _runtime: Arc<Runtime>,
}

#[pymethods]
impl EventFeed {
    /// An event, if one is there; and whether more may come.
    fn try_next(&self) -> PyResult<(Option<Row>, bool)> {
        Ok(match self.feeding.get()?.events.try_next() {
            Next::Item(event) => (Some(row(event)), true),
            Next::Nothing => (None, true),
            Next::Over => (None, false),
        })
    }

    /// Readable when `try_next` may have something. It lives as long as this.
    fn fd(&self) -> PyResult<RawFd> {
        Ok(self.feeding.get()?.events.fd())
    }
}

impl EventFeed {
    pub(crate) fn start(
        events: tribe::Events,
        kinds: Vec<EventKind>,
        runtime: &Arc<Runtime>,
    ) -> Result<Self, Error> {
        let (feed, feeder) = Feed::new()?;
        let reader = Reader { events: Mutex::new(events), kinds, runtime: Arc::clone(runtime) };
        let events = feed.fed_by(runtime.spawn(forward(reader, feeder))?);
        Ok(Self { feeding: Owned::new(Feeding { events, _runtime: Arc::clone(runtime) }) })
    }
}

async fn forward(reader: Reader, mut feeder: Feeder<Event>) {
    while let Ok(Some(event)) = reader.next(None).await {
        if !feeder.give(event).await {
            return;
        }
    }
}

impl Reader {
    async fn next(&self, timeout: Option<Duration>) -> Result<Option<Event>, Error> {
        within(timeout, "an event", async {
            let mut events = self.events.lock().await;
            loop {
                match events.next().await {
                    Some(event) if !self.wants(event.kind) => {}
                    found => return Ok::<_, Error>(found),
                }
            }
        })
        .await
    }

    /// That it missed events is for every reader, whatever it asked for.
    fn wants(&self, kind: EventKind) -> bool {
        self.kinds.is_empty() || kind == EventKind::Missed || self.kinds.contains(&kind)
    }
}

fn row(event: Event) -> Row {
    (event.rev, event.kind.as_str(), event.subject, event.body.to_string())
}

/// Reads the kinds a reader asks for.
///
/// # Errors
/// [`Error::Argument`] for a text that is no kind: it would wait for ever.
pub(crate) fn parse_kinds(kinds: Vec<String>) -> Result<Vec<EventKind>, Error> {
    let parse = |kind: String| {
        serde_json::from_value(kind.as_str().into())
            .map_err(|_| Error::Argument(format!("`{kind}` is not a kind of event")))
    };
    kinds.into_iter().map(parse).collect()
}
