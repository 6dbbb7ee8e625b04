//! A reply that is read while it comes, so that its size does not matter.

use std::time::Duration;

use http_body_util::BodyExt;
use hyper::body::{Bytes, Incoming};

use crate::client::{ClientError, http};

/// A reply on its way from snapd. Dropping it hangs up.
#[derive(Debug)]
pub struct Download {
    body: Incoming,
    request: String,
    /// How long the next bytes may take.
    time: Duration,
}

impl Download {
    pub(crate) fn new(body: Incoming, request: String, time: Duration) -> Self {
        Self { body, request, time }
    }

    /// The next bytes; waits for them. `Ok(None)` at the end of the whole reply. Cancel safe.
    ///
    /// # Errors
    /// [`ClientError::Lost`] if it broke off, and [`ClientError::Timeout`] if nothing came for a
    /// while: what was read until then is a part.
    pub async fn next(&mut self) -> Result<Option<Bytes>, ClientError> {
        let Self { body, request, time } = self;
        http::within(*time, request, async {
            while let Some(frame) = body.frame().await {
                let frame = frame.map_err(|error| http::lost(request, &error))?;
                if let Ok(bytes) = frame.into_data() {
                    return Ok(Some(bytes));
                }
            }
            Ok(None)
        })
        .await
    }
}
