//! Tasks that fire whenever their collector has something.

use std::time::Duration;

use tokio::time::sleep;

use super::{
    running::Task,
    step::{Outcome, StepError},
};
use crate::plugin::{Metric, Session, StreamOptions};

/// How long after a stream broke the next one begins.
const RECONNECT: Duration = Duration::from_secs(3);

impl Task {
    /// Takes batches as they come, until it is stopped.
    pub(super) async fn stream(&self, session: &Session) {
        while self.one_stream(session).await && self.go_on(false).await {
            tokio::select! {
                () = sleep(RECONNECT) => {}
                () = self.woken() => {}
            }
        }
    }

    /// Takes batches until the stream breaks. `false`: the task is not to go on.
    async fn one_stream(&self, session: &Session) -> bool {
        let usual = StreamOptions::default();
        let (longest, most) =
            (self.manifest.max_collect_duration, self.manifest.max_metrics_buffer);
        let options = StreamOptions {
            max_collect_duration: longest.unwrap_or(usual.max_collect_duration),
            max_metrics_buffer: most.unwrap_or(usual.max_metrics_buffer),
        };
        let begun = self.context.stream(session, &self.manifest.collect, options).await;
        let (mut batches, secrets) = match begun {
            Ok(begun) => begun,
            Err(error) => {
                self.collected(self.context.failed(error));
                return true;
            }
        };
        while let Some(batch) = batches.recv().await {
            let batch = batch.map_err(|error| StepError::used(&error, &secrets));
            // After an error the stream goes on, or begins again by itself.
            let passed = match self.collected(self.context.streamed(batch)) {
                Some(metrics) => {
                    let begun = self.hit();
                    self.flow(session, metrics, begun).await
                }
                None => false,
            };
            if !self.go_on(passed).await {
                return false;
            }
        }
        let error = StepError::Plugin("the stream has ended".to_owned());
        self.collected(self.context.failed(error));
        true
    }

    /// Notes what came of collecting.
    fn collected(&self, outcome: Outcome<Vec<Metric>>) -> Option<Vec<Metric>> {
        self.note(None, &outcome);
        outcome.result.ok()
    }
}
