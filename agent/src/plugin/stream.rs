//! Streams: the metrics of a streaming collector, as they come.
//!
//! A stream has an instance of its own, for snap's library for Python mixes the metrics of two
//! streams, and a second stream after the first stays empty. So the instance of a stream that ended
//! is replaced, and the stream begins again.
//!
//! Invariant: a stream lives as long as its receiver, and the instance as long as the stream.

use std::time::Duration;

use futures_util::StreamExt;
use tokio::{sync::mpsc, time::sleep};
use tracing::debug;

use super::{
    calls::UseError,
    client::CallError,
    config::ConfigValue,
    metric::Metric,
    rpc,
    seats::Number,
    session::{Collection, Job, Session},
};

/// How long after its end a stream begins again.
const PAUSE: Duration = Duration::from_secs(3);
/// How many batches may wait for the task. The plugin waits when there are so many.
const BATCHES: usize = 16;
/// Where plugins in Python look for the options.
const DURATION_KEY: &str = "max-collect-duration";
const BUFFER_KEY: &str = "max-metrics-buffer";

/// How a plugin is to put its metrics into batches. It sends one when either is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct StreamOptions {
    /// How long it may collect.
    pub(crate) max_collect_duration: Duration,
    /// How many metrics it may hold back; with 0 it sends each at once.
    pub(crate) max_metrics_buffer: u64,
}

impl Default for StreamOptions {
    /// As in snap.
    fn default() -> Self {
        Self { max_collect_duration: Duration::from_secs(10), max_metrics_buffer: 0 }
    }
}

impl StreamOptions {
    /// As plugins in Go are told: each in a message of its own.
    fn messages(self) -> Vec<rpc::CollectArg> {
        let nanoseconds = i64::try_from(self.max_collect_duration.as_nanos()).unwrap_or(i64::MAX);
        let buffer = i64::try_from(self.max_metrics_buffer).unwrap_or(i64::MAX);
        vec![
            rpc::CollectArg { max_collect_duration: nanoseconds, ..rpc::CollectArg::default() },
            rpc::CollectArg { max_metrics_buffer: buffer, ..rpc::CollectArg::default() },
        ]
    }

    /// As plugins in Python are told: in whole seconds, in the configuration of the first metric,
    /// which the user may have filled in.
    fn tell(self, job: &mut Job) {
        let Some(first) = job.asks.first_mut() else { return };
        let seconds = self.max_collect_duration.as_millis().div_ceil(1000).max(1);
        let seconds = ConfigValue::Int(i64::try_from(seconds).unwrap_or(i64::MAX));
        let buffer = ConfigValue::Int(i64::try_from(self.max_metrics_buffer).unwrap_or(i64::MAX));
        first.config.entry(DURATION_KEY.to_owned()).or_insert(seconds);
        first.config.entry(BUFFER_KEY.to_owned()).or_insert(buffer);
    }
}

impl Session {
    /// Has a streaming collector stream these metrics. What it says comes as it comes: batches, and
    /// errors after which the stream goes on or begins again. It ends when the receiver is dropped.
    pub(crate) async fn stream(
        &self,
        what: &Collection,
        options: StreamOptions,
    ) -> Result<mpsc::Receiver<Result<Vec<Metric>, UseError>>, UseError> {
        self.check_stream(what)?;
        let (sender, receiver) = mpsc::channel(BATCHES);
        let (session, what) = (self.clone(), what.clone());
        tokio::spawn(async move {
            tokio::select! {
                () = sender.closed() => {}
                () = session.stream_for_ever(&what, options, &sender) => {}
            }
        });
        Ok(receiver)
    }

    async fn stream_for_ever(
        &self,
        what: &Collection,
        options: StreamOptions,
        batches: &mpsc::Sender<Result<Vec<Metric>, UseError>>,
    ) {
        loop {
            let ended = match self.stream_job(what) {
                Ok(job) => self.stream_once(job, options, batches).await,
                Err(error) => error,
            };
            debug!(task = self.task(), error = %ended, "a stream ended");
            if batches.send(Err(ended)).await.is_err() {
                return;
            }
            sleep(PAUSE).await;
        }
    }

    /// Streams until it ends, and says why it did.
    async fn stream_once(
        &self,
        mut job: Job,
        options: StreamOptions,
        batches: &mpsc::Sender<Result<Vec<Metric>, UseError>>,
    ) -> UseError {
        options.tell(&mut job);
        let plugin = &job.plugin;
        self.hold(plugin);
        let (number, _busy, client) = match plugin.stream_from(self.id()).await {
            Ok(taken) => taken,
            Err(error) => return error,
        };
        // Replaces the instance however this ends, also when it is dropped.
        let _spent = Spent { job: &job, number };
        let wanted = job.asks.iter().map(|ask| (&ask.metric, &ask.config));
        let version = plugin.identity.version;
        let stream = client.stream(self.task(), wanted, options.messages(), version).await;
        let mut stream = match stream {
            Ok(stream) => stream,
            Err(error) => return plugin.failed(error),
        };
        while let Some(batch) = stream.next().await {
            let batch = match batch {
                Ok(mut metrics) => {
                    self.tag(&mut metrics);
                    Ok(metrics)
                }
                // It says so itself, and goes on.
                Err(error @ CallError::Said(_)) => Err(plugin.failed(error)),
                Err(error) => return plugin.failed(error),
            };
            if batches.send(batch).await.is_err() {
                break;
            }
        }
        plugin.failed(CallError::StreamEnded)
    }
}

/// An instance that streams, and is of no use after that.
struct Spent<'a> {
    job: &'a Job,
    number: Number,
}

impl Drop for Spent<'_> {
    fn drop(&mut self) {
        self.job.plugin.pool.renew(self.number);
    }
}
