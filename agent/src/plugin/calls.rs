//! What loaded plugins do for others: the configuration checked, the process called, errors with a
//! name.

use super::{
    cache::Key,
    catalog::RequestError,
    client::{CallError, Client},
    config::{Config, ConfigError},
    convert,
    identity::{Identity, Kind, Wanted},
    instance::{Busy, Running},
    loaded::Plugin,
    metric::{Metric, Time},
    pool::NoSeat,
    seats::{Number, SessionId},
};

/// One metric that a collector is asked for.
#[derive(Debug)]
pub(super) struct Ask {
    pub(super) metric: Metric,
    /// Complete.
    pub(super) config: Config,
    /// What it is in the cache.
    pub(super) key: Key,
}

/// Why plugins did not do what was asked. Nothing has changed, except that some of several may have
/// done their part.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum UseError {
    /// There is no such plugin. The user's fault.
    #[error("plugin `{0}` is not loaded")]
    Unknown(Wanted),
    /// The request means no metric. The user's fault.
    #[error(transparent)]
    Request(#[from] RequestError),
    /// The configuration does not fit the plugin. The user's fault.
    #[error("plugin `{plugin}`: {error}")]
    Config {
        /// The plugin.
        plugin: Identity,
        /// What is wrong.
        error: Box<ConfigError>,
    },
    /// It is not running at the moment.
    #[error("plugin `{plugin}` is not running: {failure}")]
    Down {
        /// The plugin.
        plugin: Identity,
        /// Why it has to be started again.
        failure: String,
    },
    /// It was unloaded or replaced a moment ago.
    #[error("plugin `{0}` was unloaded")]
    Gone(Identity),
    /// All instances belong to other tasks, or to other configurations. The user's fault.
    #[error(
        "plugin `{plugin}` wants an instance of its own here, and all {most} it may have are taken"
    )]
    Full {
        /// The plugin.
        plugin: Identity,
        /// How many there may be.
        most: usize,
    },
    /// Its metrics cannot be collected at a time of ours. The user's fault.
    #[error("plugin `{0}` streams: its metrics come in tasks with a streaming schedule only")]
    Streams(Identity),
    /// Its metrics cannot be streamed. The user's fault.
    #[error("plugin `{0}` does not stream: its metrics come in tasks without a streaming schedule")]
    NoStream(Identity),
    /// A stream has one source. The user's fault.
    #[error("a stream has the metrics of one plugin, these are of {}", several(_0))]
    StreamOfSeveral(Vec<Identity>),
    /// It failed.
    #[error("plugin `{plugin}` failed: {error}")]
    Call {
        /// The plugin.
        plugin: Identity,
        /// What happened.
        error: CallError,
    },
}

fn several(plugins: &[Identity]) -> String {
    match plugins {
        [] => "none".to_owned(),
        some => {
            let names: Vec<_> = some.iter().map(|plugin| format!("`{plugin}`")).collect();
            names.join(" and ")
        }
    }
}

impl Plugin {
    /// Collects these metrics, each with its configuration. Those without a version have version 0.
    pub(super) async fn collect(
        &self,
        session: SessionId,
        asks: &[&Ask],
    ) -> Result<Vec<Metric>, UseError> {
        let config = || asks.first().map(|ask| ask.key.config.to_vec()).unwrap_or_default();
        let (_, mut busy) = self.take(session, config)?;
        let Running { client, .. } = self.running(&mut busy).await?;
        let now = Time::now();
        // Plugins that give back what they got would else tell the time of the catalog.
        let wanted = asks.iter().map(|ask| (&ask.metric, &ask.config));
        let collected = client.collect(wanted, now).await;
        collected.map_err(|error| self.failed(error))
    }

    /// Has metrics processed.
    pub(super) async fn process(
        &self,
        session: SessionId,
        metrics: &[Metric],
        config: &Config,
    ) -> Result<Vec<Metric>, UseError> {
        let config = self.filled(config)?;
        let (_, mut busy) = self.take(session, || convert::config_to_bytes(&config))?;
        let Running { client, since, .. } = self.running(&mut busy).await?;
        let processed = client.process(metrics, &config, self.identity.version).await;
        let mut processed = processed.map_err(|error| self.failed(error))?;
        restore_times(metrics, &mut processed, since);
        Ok(processed)
    }

    /// Has metrics published.
    pub(super) async fn publish(
        &self,
        session: SessionId,
        metrics: &[Metric],
        config: &Config,
    ) -> Result<(), UseError> {
        let config = self.filled(config)?;
        let (_, mut busy) = self.take(session, || convert::config_to_bytes(&config))?;
        let Running { client, .. } = self.running(&mut busy).await?;
        client.publish(metrics, &config).await.map_err(|error| self.failed(error))
    }

    /// An instance for a stream, which nobody else has.
    pub(super) async fn stream_from(
        &self,
        session: SessionId,
    ) -> Result<(Number, Busy, Client), UseError> {
        let (number, mut busy) = self.take(session, Vec::new)?;
        let Running { client, .. } = self.running(&mut busy).await?;
        Ok((number, busy, client))
    }

    /// Is it a collector, or is it a streaming one?
    pub(super) fn must_be(&self, kind: Kind) -> Result<(), UseError> {
        match (kind, self.identity.kind) {
            (Kind::Collector, Kind::StreamCollector) => {
                Err(UseError::Streams(self.identity.clone()))
            }
            (Kind::StreamCollector, Kind::Collector) => {
                Err(UseError::NoStream(self.identity.clone()))
            }
            _ => Ok(()),
        }
    }

    fn take(
        &self,
        session: SessionId,
        config: impl Fn() -> Vec<u8>,
    ) -> Result<(Number, Busy), UseError> {
        self.pool.take(session, config).map_err(|error| match error {
            NoSeat::Full(most) => UseError::Full { plugin: self.identity.clone(), most },
            NoSeat::Closed => UseError::Gone(self.identity.clone()),
        })
    }

    async fn running(&self, busy: &mut Busy) -> Result<Running, UseError> {
        let running = busy.running().await;
        running.map_err(|failure| UseError::Down { plugin: self.identity.clone(), failure })
    }

    /// The configuration for one metric, complete.
    pub(super) fn filled_for(&self, config: &Config, metric: &Metric) -> Result<Config, UseError> {
        let filled = self.policy.fill(&self.told(config), metric.namespace.values());
        filled.map_err(|error| self.misconfigured(error))
    }

    /// The configuration of a processor or a publisher, which has no namespace.
    pub(super) fn filled(&self, config: &Config) -> Result<Config, UseError> {
        let filled = self.policy.fill(&self.told(config), std::iter::empty());
        filled.map_err(|error| self.misconfigured(error))
    }

    /// What it is told with this request: its own configuration, covered by that of the request.
    fn told(&self, config: &Config) -> Config {
        let mut told = self.config.clone();
        told.extend(config.clone());
        told
    }

    fn misconfigured(&self, error: ConfigError) -> UseError {
        UseError::Config { plugin: self.identity.clone(), error: Box::new(error) }
    }

    pub(super) fn failed(&self, error: CallError) -> UseError {
        UseError::Call { plugin: self.identity.clone(), error }
    }
}

/// Gives metrics back the times at which they were collected. snap's library for Python sets those
/// of all that a plugin receives to the moment it was imported, which is before the plugin was
/// ready.
fn restore_times(input: &[Metric], output: &mut [Metric], ready: Time) {
    let same = input.len() == output.len()
        && input.iter().zip(output.iter()).all(|(one, two)| one.namespace == two.namespace);
    let imported = output.first().map(|metric| metric.timestamp).filter(|time| *time < ready);
    if !same || output.iter().any(|metric| Some(metric.timestamp) != imported) {
        return;
    }
    for (metric, collected) in output.iter_mut().zip(input) {
        metric.timestamp = collected.timestamp;
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::{
        super::metric::{Element, Namespace},
        *,
    };

    fn metrics(all: &[(&str, i64)]) -> Vec<Metric> {
        let metric = |&(name, sec): &(&str, i64)| Metric {
            namespace: Namespace(vec![Element::literal(name)]),
            version: 1,
            tags: BTreeMap::new(),
            timestamp: Time { sec, nsec: 0 },
            advertised: Time { sec, nsec: 0 },
            unit: String::new(),
            description: String::new(),
            data: None,
        };
        all.iter().map(metric).collect()
    }

    /// Two metrics, collected at 200 and 201, come out of a plugin that was ready at 100.
    fn check(output: &[(&str, i64)], expected: &[i64]) {
        let mut output = metrics(output);
        restore_times(&metrics(&[("a", 200), ("b", 201)]), &mut output, Time { sec: 100, nsec: 0 });
        let found: Vec<_> = output.iter().map(|metric| metric.timestamp.sec).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn times_that_a_library_overwrote_are_restored() {
        check(&[("a", 99), ("b", 99)], &[200, 201]);
    }

    #[test]
    fn times_that_a_plugin_chose_stay() {
        check(&[("a", 200), ("b", 201)], &[200, 201]);
        check(&[("a", 180), ("b", 180)], &[180, 180]);
        check(&[("a", 98), ("b", 99)], &[98, 99]);
        check(&[("a", 99)], &[99]);
        check(&[("b", 99), ("a", 99)], &[99, 99]);
        check(&[], &[]);
    }
}
