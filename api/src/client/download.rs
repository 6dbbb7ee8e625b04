//! A reply that is read while it comes, so that its size does not matter.

use http_body_util::BodyExt;
use hyper::body::{Bytes, Incoming};

use crate::client::{ClientError, REPLY_TIME, http};

/// A reply on its way from snapd. Dropping it hangs up.
#[derive(Debug)]
pub struct Download {
    body: Incoming,
    request: String,
}

impl Download {
    pub(crate) fn new(body: Incoming, request: String) -> Self {
        Self { body, request }
    }

    /// The next bytes; waits for them. `Ok(None)` at the end of the whole reply. Cancel safe.
    ///
    /// # Errors
    /// [`ClientError::Lost`] if it broke off, and [`ClientError::Timeout`] if nothing came for a
    /// while: what was read until then is a part.
    pub async fn next(&mut self) -> Result<Option<Bytes>, ClientError> {
        let Self { body, request } = self;
        http::within(REPLY_TIME, request, async {
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
