//! Events as a stream, as they happen.

use std::{convert::Infallible, time::Duration};

use axum::{
    extract::State,
    response::sse::{self, KeepAlive, Sse},
};
use futures_util::{Stream, stream};
use tracing::warn;
use tribe_api::{ErrorReply, Event};

use super::{App, error::ApiError};

/// How often a comment shows that a silent stream is alive.
pub(super) const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// What happens from now on, as server-sent events. A reader that is too slow gets a `missed` event and
/// reads the views again.
#[utoipa::path(
    get,
    path = "/v3/events",
    responses(
        (status = 200, content_type = "text/event-stream", body = Event),
        (status = "default", body = ErrorReply)
    )
)]
pub(super) async fn stream(
    State(app): State<App>,
) -> Result<Sse<impl Stream<Item = Result<sse::Event, Infallible>>>, ApiError> {
    let events = app.node()?.events();
    // The first comment tells the reader that nothing is lost from here on.
    let begin = stream::once(async { Ok(sse::Event::default().comment("ready")) });
    let rest =
        stream::unfold((events, Box::pin(app.stopped())), async |(mut events, mut stopped)| {
            let event = tokio::select! {
                event = events.next() => event?,
                () = &mut stopped => return None,
            };
            Some((Ok(frame(&event)), (events, stopped)))
        });
    Ok(Sse::new(stream::StreamExt::chain(begin, rest))
        .keep_alive(KeepAlive::new().interval(KEEP_ALIVE)))
}

fn frame(event: &tribe::Event) -> sse::Event {
    let data = Event {
        time: format!("{:.3}", jiff::Timestamp::now()),
        rev: event.rev,
        kind: event.kind.to_string(),
        subject: event.subject.clone(),
        body: event.body.clone(),
    };
    sse::Event::default().event(event.kind.as_str()).json_data(&data).unwrap_or_else(|error| {
        warn!(%error, "an event cannot be told");
        sse::Event::default().comment("an event could not be told")
    })
}
