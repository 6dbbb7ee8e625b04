//! What loaded plugins do for others: the configuration checked, the process called, errors with a
//! name.

use super::{
    catalog::RequestError,
    client::CallError,
    config::{Config, ConfigError},
    identity::{Identity, Wanted},
    loaded::{Plugin, Running},
    metric::{Metric, Time},
};

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
    /// It failed.
    #[error("plugin `{plugin}` failed: {error}")]
    Call {
        /// The plugin.
        plugin: Identity,
        /// What happened.
        error: CallError,
    },
}

impl Plugin {
    /// Collects these metrics, each with its configuration.
    pub(super) async fn collect(
        &self,
        metrics: Vec<(Metric, Config)>,
    ) -> Result<Vec<Metric>, UseError> {
        let Running { client, .. } = self.running()?;
        let now = Time::now();
        let wanted = metrics.into_iter().map(|(mut metric, config)| {
            // Plugins that give back what they got would else tell the time of the catalog.
            metric.timestamp = now;
            let config = self.policy.fill(&self.told(&config), metric.namespace.values());
            Ok((metric, config.map_err(|error| self.misconfigured(error))?))
        });
        let wanted: Vec<_> = wanted.collect::<Result<_, UseError>>()?;
        let collected = client.collect(&wanted, self.identity.version).await;
        collected.map_err(|error| self.failed(error))
    }

    /// Has metrics processed.
    pub(crate) async fn process(
        &self,
        metrics: &[Metric],
        config: &Config,
    ) -> Result<Vec<Metric>, UseError> {
        let Running { client, since, .. } = self.running()?;
        let config = self.filled(config)?;
        let processed = client.process(metrics, &config, self.identity.version).await;
        let mut processed = processed.map_err(|error| self.failed(error))?;
        restore_times(metrics, &mut processed, since);
        Ok(processed)
    }

    /// Has metrics published.
    pub(crate) async fn publish(
        &self,
        metrics: &[Metric],
        config: &Config,
    ) -> Result<(), UseError> {
        let Running { client, .. } = self.running()?;
        let config = self.filled(config)?;
        client.publish(metrics, &config).await.map_err(|error| self.failed(error))
    }

    fn running(&self) -> Result<Running, UseError> {
        let health = self.health();
        health.running.ok_or_else(|| UseError::Down {
            plugin: self.identity.clone(),
            failure: health.failure.unwrap_or_else(|| "it was unloaded".to_owned()),
        })
    }

    /// The configuration of a processor or a publisher, which has no namespace.
    fn filled(&self, config: &Config) -> Result<Config, UseError> {
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

    fn failed(&self, error: CallError) -> UseError {
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
