//! Bodies that come too slowly are given up, so that nobody holds a connection with a byte now and then.

use std::{io, time::Duration};

use axum::body::{Body, Bytes};
use futures_util::{StreamExt, stream};
use tokio::time::{Instant, timeout_at};

/// How long a body may take in any case.
const GRACE: Duration = Duration::from_secs(20);
/// And one second more for so many bytes.
const BYTES_A_SECOND: u64 = 4096;

/// The body, with an error where it falls behind.
pub(super) fn paced(body: Body) -> Body {
    let begun = Instant::now();
    let parts = stream::unfold(Some((body.into_data_stream(), 0)), move |state| async move {
        let (mut parts, received) = state?;
        let due = begun + GRACE + Duration::from_secs(received / BYTES_A_SECOND);
        match timeout_at(due, parts.next()).await {
            Ok(None) => None,
            Ok(Some(Ok(part))) => {
                let received = received.saturating_add(part.len() as u64);
                Some((Ok(part), Some((parts, received))))
            }
            Ok(Some(Err(error))) => Some((Err(io::Error::other(error)), None)),
            Err(_) => {
                let late = io::Error::new(io::ErrorKind::TimedOut, "the body comes too slowly");
                Some((Err::<Bytes, _>(late), None))
            }
        }
    });
    Body::from_stream(parts)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads a body that has so many bytes every second.
    async fn check(bytes: usize, seconds: usize, expected: Result<usize, &str>) {
        let parts = stream::iter(0..seconds).then(move |_| async move {
            tokio::time::sleep(Duration::from_secs(1)).await;
            Ok::<_, io::Error>(vec![0_u8; bytes])
        });
        let read = axum::body::to_bytes(paced(Body::from_stream(parts)), usize::MAX).await;
        let found = read.map(|bytes| bytes.len()).map_err(|error| error.to_string());
        assert_eq!(found.as_ref().map_err(String::as_str), expected.as_ref().map_err(|text| *text));
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_may_be_long_but_not_slow() {
        check(1, 15, Ok(15)).await;
        check(8192, 300, Ok(300 * 8192)).await;
        check(1, 300, Err("the body comes too slowly")).await;
        check(1024, 300, Err("the body comes too slowly")).await;
    }
}
