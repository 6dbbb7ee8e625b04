//! A workflow run once, now: what plugins do with real metrics can be seen before a task depends on
//! it.

use super::{
    calls::UseError,
    catalog::Request,
    config::{Config, Configs},
    host::Host,
    identity::Wanted,
    metric::Metric,
};

/// What to do once.
#[derive(Debug)]
pub(crate) struct Once {
    /// What to collect.
    pub(crate) requests: Vec<Request>,
    /// Processors, each of which gets what the one before it made.
    pub(crate) process: Vec<Wanted>,
    /// Publishers, each of which gets what the last processor made.
    pub(crate) publish: Vec<Wanted>,
    /// What plugins are told, by their name.
    pub(crate) configs: Configs,
}

/// Collects, processes and publishes. Gives what the publishers got.
pub(crate) async fn run(host: &Host, once: &Once) -> Result<Vec<Metric>, UseError> {
    // Who is missing is told before anything is done.
    let plugins = |wanted: &[Wanted]| -> Result<Vec<_>, UseError> {
        wanted.iter().map(|one| host.plugin(one)).collect()
    };
    plugins(&once.process)?;
    plugins(&once.publish)?;
    let session = host.session("collect");
    let none = Config::new();
    let config = |wanted: &Wanted| once.configs.get(&wanted.name).unwrap_or(&none);
    let mut metrics = session.collect_by_name(&once.requests, &once.configs).await?;
    for processor in &once.process {
        metrics = session.process(processor, &metrics, config(processor)).await?;
    }
    for publisher in &once.publish {
        session.publish(publisher, &metrics, config(publisher)).await?;
    }
    Ok(metrics)
}
