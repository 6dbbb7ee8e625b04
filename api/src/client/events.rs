//! The stream of events.

use std::{collections::VecDeque, marker::PhantomData};

use http_body_util::BodyExt;
use hyper::body::Incoming;
use serde::de::DeserializeOwned;

use crate::{
    Event,
    client::{ClientError, http, sse},
};

/// What the daemon tells, one after the other: events of its node, or what flows through a task.
/// Dropping it hangs up.
#[derive(Debug)]
pub struct Events<T = Event> {
    body: Incoming,
    request: String,
    parser: sse::Parser,
    ready: VecDeque<sse::Message>,
    told: PhantomData<fn() -> T>,
}

impl<T: DeserializeOwned> Events<T> {
    pub(crate) fn new(body: Incoming, request: String) -> Self {
        let (parser, ready) = (sse::Parser::default(), VecDeque::new());
        Self { body, request, parser, ready, told: PhantomData }
    }

    /// The next event; waits for it. `Ok(None)` when snapd ended the stream. Cancel safe.
    ///
    /// # Errors
    /// [`ClientError::Lost`] ends the stream. After [`ClientError::BadReply`] one event is missing and
    /// the next may be asked for, unless it was too large.
    pub async fn next(&mut self) -> Result<Option<T>, ClientError> {
        loop {
            if let Some(message) = self.ready.pop_front() {
                return self.decode(&message).map(Some);
            }
            let Some(frame) = self.body.frame().await else { return Ok(None) };
            let frame = frame.map_err(|error| http::lost(&self.request, &error))?;
            if let Some(bytes) = frame.data_ref() {
                let messages =
                    self.parser.feed(bytes).map_err(|error| self.bad_reply(error.to_string()))?;
                self.ready.extend(messages);
            }
        }
    }

    fn decode(&self, message: &sse::Message) -> Result<T, ClientError> {
        serde_json::from_str(&message.data)
            .map_err(|error| self.bad_reply(format!("event `{}`: {error}", message.event)))
    }

    fn bad_reply(&self, reason: String) -> ClientError {
        ClientError::BadReply { request: self.request.clone(), reason }
    }
}
