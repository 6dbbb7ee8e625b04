//! Events of a node, one after the other.

use std::{sync::Arc, time::Duration};

use pyo3::prelude::*;
use tokio::sync::Mutex;
use tribe::{Event, EventKind};

use crate::{
    call::{Owned, Runtime, seconds, wait, within},
    error::Error,
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
