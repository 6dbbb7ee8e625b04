//! Calls to one running plugin.
//!
//! A plugin tells of an error in one of two ways: with a gRPC status, or with a reply that is fine
//! but for its field `error`. Both become [`CallError::Failed`]. Messages larger than what a plugin
//! takes are sent in parts.

use std::{net::SocketAddr, time::Duration};

use futures_util::stream::{self, BoxStream, StreamExt};
use prost::Message;
use tonic::{
    Code, Request, Response, Status,
    metadata::AsciiMetadataValue,
    transport::{Channel, Endpoint},
};

use super::{
    config::{Config, ConfigPolicy},
    convert,
    identity::Kind,
    metric::{Metric, Time},
    rpc::{
        self, collector_client::CollectorClient, processor_client::ProcessorClient,
        publisher_client::PublisherClient, stream_collector_client::StreamCollectorClient,
    },
    tls::Tls,
};

/// How long a plugin may take to answer.
const CALL_TIME: Duration = Duration::from_secs(10);
/// How long a ping may take; plugins answer pings beside their work.
const PING_TIME: Duration = Duration::from_secs(3);
/// How long a farewell may take.
const KILL_TIME: Duration = Duration::from_secs(1);
/// Largest reply we read, in bytes.
const REPLY_BYTES: usize = 64 * 1024 * 1024;
/// Longest text of an error that is kept, in bytes: it stays in reports and is sent to other nodes.
const ERROR_BYTES: usize = 16 * 1024;
/// Largest request, in bytes: plugins refuse more than 4 MiB.
const REQUEST_BYTES: usize = 4 * 1024 * 1024 - 64 * 1024;

/// Why a call gave nothing. The plugin's fault unless it says otherwise.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum CallError {
    /// It says so itself, perhaps in several lines.
    #[error("{}", first_line(_0))]
    Failed(String),
    /// The same, amid a stream that goes on.
    #[error("{}", first_line(_0))]
    Said(String),
    /// It ended a stream that never ends.
    #[error("it ended the stream")]
    StreamEnded,
    /// The connection is lost or there never was one.
    #[error("it does not answer: {0}")]
    Unreachable(String),
    /// It is too slow.
    #[error("it did not answer within {0} s")]
    Timeout(u64),
    /// One metric alone is larger than what plugins take. Whose fault it is depends on who made it.
    #[error("a metric of {0} bytes is too large to send")]
    TooLarge(usize),
    /// It is a plugin of another type. Our fault.
    #[error("it is no {0}")]
    Kind(&'static str),
}

impl CallError {
    /// All that the plugin said, if it is more than one line.
    pub(crate) fn detail(&self) -> Option<&str> {
        match self {
            Self::Failed(text) | Self::Said(text) => {
                text.trim().contains('\n').then_some(text.trim())
            }
            _ => None,
        }
    }
}

/// A connection to a plugin. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) enum Client {
    Collector(CollectorClient<Channel>),
    Processor(ProcessorClient<Channel>),
    Publisher(PublisherClient<Channel>),
    StreamCollector(StreamCollectorClient<Channel>),
}

/// Makes a call that all services have.
macro_rules! common {
    ($client:expr, $method:ident, $argument:expr) => {
        match $client.clone() {
            Client::Collector(mut client) => client.$method($argument).await,
            Client::Processor(mut client) => client.$method($argument).await,
            Client::Publisher(mut client) => client.$method($argument).await,
            Client::StreamCollector(mut client) => client.$method($argument).await,
        }
    };
}

impl Client {
    /// Connects, sealed or not.
    pub(super) async fn connect(
        kind: Kind,
        address: SocketAddr,
        tls: Option<&Tls>,
    ) -> Result<Self, CallError> {
        let unreachable = |error: tonic::transport::Error| CallError::Unreachable(chain(&error));
        let scheme = if tls.is_some() { "https" } else { "http" };
        let endpoint = Endpoint::from_shared(format!("{scheme}://{address}"));
        let mut endpoint = endpoint.map_err(unreachable)?;
        if let Some(tls) = tls {
            endpoint = endpoint.tls_config(tls.client()).map_err(unreachable)?;
        }
        let channel = endpoint.connect_timeout(CALL_TIME).connect().await.map_err(unreachable)?;
        Ok(match kind {
            Kind::Collector => Self::Collector(
                CollectorClient::new(channel).max_decoding_message_size(REPLY_BYTES),
            ),
            Kind::Processor => Self::Processor(
                ProcessorClient::new(channel).max_decoding_message_size(REPLY_BYTES),
            ),
            Kind::Publisher => Self::Publisher(PublisherClient::new(channel)),
            Kind::StreamCollector => Self::StreamCollector(
                StreamCollectorClient::new(channel).max_decoding_message_size(REPLY_BYTES),
            ),
        })
    }

    /// Asks whether it is alive, which also keeps it alive. What it answers does not count.
    pub(super) async fn ping(&self) -> Result<(), CallError> {
        within(PING_TIME, async { common!(self, ping, rpc::Empty {}) }).await.map(drop)
    }

    /// Asks it to end. It mostly ends before it has answered, so an error means nothing.
    pub(super) async fn kill(&self, reason: &str) {
        let argument = || rpc::KillArg { reason: reason.to_owned() };
        let _ = within(KILL_TIME, async { common!(self, kill, argument()) }).await;
    }

    /// What it wants to be told.
    pub(super) async fn config_policy(&self) -> Result<ConfigPolicy, CallError> {
        let reply =
            within(CALL_TIME, async { common!(self, get_config_policy, rpc::Empty {}) }).await?;
        no_error(&reply.error)?;
        Ok(ConfigPolicy::from_rpc(reply))
    }

    /// What it can collect.
    pub(super) async fn metric_types(
        &self,
        config: &Config,
        version: i64,
    ) -> Result<Vec<Metric>, CallError> {
        let argument = rpc::GetMetricTypesArg { config: Some(convert::config_to_rpc(config)) };
        let reply = match self.clone() {
            Self::Collector(mut client) => {
                within(CALL_TIME, client.get_metric_types(argument)).await
            }
            Self::StreamCollector(mut client) => {
                within(CALL_TIME, client.get_metric_types(argument)).await
            }
            Self::Processor(_) | Self::Publisher(_) => Err(CallError::Kind("collector")),
        };
        metrics(reply?, version)
    }

    /// Collects these metrics at this time, each with its configuration. Those that come without a
    /// version have version 0.
    pub(super) async fn collect<'a>(
        &self,
        wanted: impl Iterator<Item = (&'a Metric, &'a Config)>,
        now: Time,
    ) -> Result<Vec<Metric>, CallError> {
        let Self::Collector(client) = self else { return Err(CallError::Kind("collector")) };
        let mut client = client.clone();
        let wanted = wanted.map(|(metric, config)| asked(metric, config, now));
        let mut collected = Vec::new();
        for part in parts(wanted.collect(), 0)? {
            let argument = rpc::MetricsArg { metrics: part };
            let reply = within(CALL_TIME, client.collect_metrics(argument)).await?;
            collected.extend(metrics(reply, 0)?);
        }
        Ok(collected)
    }

    /// Begins to stream these metrics, each with its configuration, for a task. Each update is a
    /// message of its own after the first.
    pub(super) async fn stream<'a>(
        &self,
        task: &str,
        wanted: impl Iterator<Item = (&'a Metric, &'a Config)>,
        updates: Vec<rpc::CollectArg>,
        version: i64,
    ) -> Result<BoxStream<'static, Result<Vec<Metric>, CallError>>, CallError> {
        let Self::StreamCollector(client) = self else {
            return Err(CallError::Kind("streaming collector"));
        };
        let mut client = client.clone();
        let now = Time::now();
        let metrics: Vec<_> = wanted.map(|(metric, config)| asked(metric, config, now)).collect();
        let size: usize = metrics.iter().map(Message::encoded_len).sum();
        if size > REQUEST_BYTES {
            return Err(CallError::TooLarge(size));
        }
        let first = rpc::CollectArg {
            metrics_arg: Some(rpc::MetricsArg { metrics }),
            ..rpc::CollectArg::default()
        };
        // The plugin streams until we end the call, so the requests must not end before.
        let arguments = stream::iter([first].into_iter().chain(updates)).chain(stream::pending());
        let mut request = Request::new(arguments);
        if let Ok(task) = AsciiMetadataValue::try_from(task) {
            request.metadata_mut().insert("task-id", task);
        }
        let replies = client.stream_metrics(request);
        // Plugins in Python answer with their first metrics, which may be a long time.
        let replies = replies.await.map_err(|status| failed(&status))?.into_inner();
        Ok(replies
            .map(move |reply| batch(reply.map_err(|status| failed(&status))?, version))
            .boxed())
    }

    /// Has metrics processed.
    pub(super) async fn process(
        &self,
        input: &[Metric],
        config: &Config,
        version: i64,
    ) -> Result<Vec<Metric>, CallError> {
        let Self::Processor(client) = self else { return Err(CallError::Kind("processor")) };
        let mut client = client.clone();
        let mut processed = Vec::new();
        for argument in pub_proc(input, config)? {
            let reply = within(CALL_TIME, client.process(argument)).await?;
            processed.extend(metrics(reply, version)?);
        }
        Ok(processed)
    }

    /// Has metrics published.
    pub(super) async fn publish(&self, input: &[Metric], config: &Config) -> Result<(), CallError> {
        let Self::Publisher(client) = self else { return Err(CallError::Kind("publisher")) };
        let mut client = client.clone();
        for argument in pub_proc(input, config)? {
            no_error(&within(CALL_TIME, client.publish(argument)).await?.error)?;
        }
        Ok(())
    }
}

/// A metric as a collector is asked for it. Those that give back what they got would else tell the
/// time of the catalog.
fn asked(metric: &Metric, config: &Config, now: Time) -> rpc::Metric {
    let mut raw = convert::to_rpc(metric, Some(convert::config_to_rpc(config)));
    raw.timestamp = Some(convert::time_to_rpc(now));
    raw
}

fn batch(reply: rpc::CollectReply, version: i64) -> Result<Vec<Metric>, CallError> {
    let said = |error| match error {
        CallError::Failed(text) => CallError::Said(text),
        other => other,
    };
    no_error(&reply.error.unwrap_or_default().error).map_err(said)?;
    metrics(reply.metrics_reply.unwrap_or_default(), version).map_err(said)
}

fn pub_proc(input: &[Metric], config: &Config) -> Result<Vec<rpc::PubProcArg>, CallError> {
    let config = convert::config_to_rpc(config);
    let metrics = input.iter().map(|metric| convert::to_rpc(metric, None)).collect();
    let parts = parts(metrics, config.encoded_len())?.into_iter();
    Ok(parts.map(|metrics| rpc::PubProcArg { metrics, config: Some(config.clone()) }).collect())
}

/// Parts that each fit into one request beside so many bytes of something else. At least one.
fn parts(metrics: Vec<rpc::Metric>, beside: usize) -> Result<Vec<Vec<rpc::Metric>>, CallError> {
    // Before each metric go its tag and its length.
    const PREFIX_BYTES: usize = 6;
    let room = REQUEST_BYTES.saturating_sub(beside);
    let mut parts = Vec::new();
    let (mut part, mut used) = (Vec::new(), 0);
    for metric in metrics {
        let size = metric.encoded_len() + PREFIX_BYTES;
        if size > room {
            return Err(CallError::TooLarge(size));
        }
        if used + size > room {
            parts.push(std::mem::take(&mut part));
            used = 0;
        }
        part.push(metric);
        used += size;
    }
    parts.push(part);
    Ok(parts)
}

fn metrics(reply: rpc::MetricsReply, version: i64) -> Result<Vec<Metric>, CallError> {
    no_error(&reply.error)?;
    Ok(reply.metrics.into_iter().map(|raw| convert::metric(raw, version)).collect())
}

fn no_error(error: &[u8]) -> Result<(), CallError> {
    if error.is_empty() {
        return Ok(());
    }
    Err(CallError::Failed(convert::text(error.get(..ERROR_BYTES).unwrap_or(error))))
}

async fn within<T>(
    time: Duration,
    call: impl Future<Output = Result<Response<T>, Status>>,
) -> Result<T, CallError> {
    match tokio::time::timeout(time, call).await {
        Ok(Ok(response)) => Ok(response.into_inner()),
        Ok(Err(status)) => Err(failed(&status)),
        Err(_) => Err(CallError::Timeout(time.as_secs())),
    }
}

fn failed(status: &Status) -> CallError {
    match status.code() {
        Code::Unavailable => CallError::Unreachable(chain(status)),
        // A connection that breaks is `unknown` as well, and then has a cause.
        Code::Unknown if std::error::Error::source(status).is_some() => {
            CallError::Unreachable(chain(status))
        }
        Code::Unknown => CallError::Failed(status.message().to_owned()),
        code => CallError::Failed(format!("{code}: {}", status.message())),
    }
}

/// An error on one line, with the causes it keeps behind its own words.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = first_line(&error.to_string()).to_owned();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {}", first_line(&error.to_string()));
        cause = error.source();
    }
    text
}

/// What a plugin says first. Those in Python write `message: ...` and a trace.
fn first_line(text: &str) -> &str {
    let line = text.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or_default();
    line.strip_prefix("message:").map_or(line, str::trim)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of_bytes(bytes: usize) -> rpc::Metric {
        let data = rpc::metric::Data::BytesData(vec![0; bytes]);
        rpc::Metric { data: Some(data), ..rpc::Metric::default() }
    }

    #[test]
    fn what_is_sent_stays_below_what_plugins_take() {
        let check = |sizes: &[usize], expected: &[usize]| {
            let parts = parts(sizes.iter().map(|size| of_bytes(*size)).collect(), 0).unwrap();
            let counts: Vec<_> = parts.iter().map(Vec::len).collect();
            assert_eq!(counts, expected);
            for metrics in parts {
                let argument = rpc::PubProcArg { metrics, config: None };
                assert!(argument.encoded_len() <= REQUEST_BYTES);
            }
        };
        const MIB: usize = 1024 * 1024;
        check(&[], &[0]);
        check(&[1; 5], &[5]);
        check(&[MIB; 9], &[3, 3, 3]);
        check(&[3 * MIB, 3 * MIB, 1], &[1, 2]);
        check(&[100; 50_000], &[38_229, 11_771]);
    }

    #[test]
    fn a_metric_that_fits_nowhere_is_refused() {
        let error = parts(vec![of_bytes(5_000_000)], 0).unwrap_err();
        assert!(matches!(error, CallError::TooLarge(size) if size > 5_000_000));
    }

    #[test]
    fn both_ways_to_tell_of_an_error_are_one() {
        let go = failed(&Status::unknown("no such disk"));
        assert_eq!(go.to_string(), "no such disk");
        let python = no_error(b"message: no such disk\n\nstack trace: File x").unwrap_err();
        assert_eq!(python.to_string(), "no such disk");
        assert!(python.detail().is_some_and(|text| text.contains("stack trace")));
        assert_eq!(go.detail(), None);
        assert_eq!(no_error(b""), Ok(()));
        let endless = no_error(&[b'x'; 3 * ERROR_BYTES]).unwrap_err();
        assert_eq!(endless.to_string().len(), ERROR_BYTES);
    }
}
