//! Plugins of a play: what they answer is written by the test. Real ones need a daemon around them.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Mutex,
    time::Duration,
};

use tokio::{sync::mpsc, time::sleep};

use super::step::{Batches, Step};
use crate::plugin::{Config, Data, Metric, test_metric};

/// What plugins answer, and what they were asked.
#[derive(Debug, Default)]
pub(super) struct Script {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    /// The number in the next metric.
    next: i64,
    collect_time: Duration,
    collect_failure: Option<String>,
    /// By path of the step.
    failures: BTreeMap<String, String>,
    times: BTreeMap<String, Duration>,
    /// Batches that hold this number are not published.
    poison: Option<i64>,
    published: Vec<(String, i64)>,
    last: BTreeMap<String, Vec<Metric>>,
    configs: Vec<Config>,
    streams: VecDeque<Batches>,
}

impl Script {
    pub(super) fn collecting_takes(&self, time: Duration) {
        self.inner.lock().unwrap().collect_time = time;
    }

    pub(super) fn collecting_fails(&self, failure: Option<&str>) {
        self.inner.lock().unwrap().collect_failure = failure.map(str::to_owned);
    }

    pub(super) fn step_fails(&self, path: &str, failure: Option<&str>) {
        let mut inner = self.inner.lock().unwrap();
        match failure {
            Some(failure) => drop(inner.failures.insert(path.to_owned(), failure.to_owned())),
            None => drop(inner.failures.remove(path)),
        }
    }

    pub(super) fn step_takes(&self, path: &str, time: Duration) {
        self.inner.lock().unwrap().times.insert(path.to_owned(), time);
    }

    pub(super) fn poison(&self, number: i64) {
        self.inner.lock().unwrap().poison = Some(number);
    }

    pub(super) fn add_stream(&self) -> mpsc::Sender<Result<Vec<Metric>, crate::plugin::UseError>> {
        let (sender, receiver) = mpsc::channel(8);
        self.inner.lock().unwrap().streams.push_back(receiver);
        sender
    }

    /// The numbers a step has published.
    pub(super) fn published(&self, path: &str) -> Vec<i64> {
        let inner = self.inner.lock().unwrap();
        let mine = inner.published.iter().filter(|(step, _)| step == path);
        mine.map(|(_, number)| *number).collect()
    }

    /// What a step has published last.
    pub(super) fn last(&self, path: &str) -> Option<Vec<Metric>> {
        self.inner.lock().unwrap().last.get(path).cloned()
    }

    pub(super) async fn collect(&self) -> Result<Vec<Metric>, String> {
        let time = self.inner.lock().unwrap().collect_time;
        sleep(time).await;
        let mut inner = self.inner.lock().unwrap();
        if let Some(failure) = &inner.collect_failure {
            return Err(failure.clone());
        }
        let number = inner.next;
        inner.next += 1;
        Ok(vec![metric("/a/b", number), metric("/a/c", number)])
    }

    pub(super) async fn process(
        &self,
        step: &Step,
        metrics: &[Metric],
    ) -> Result<Vec<Metric>, String> {
        self.work(step).await?;
        let mut metrics = metrics.to_vec();
        for metric in &mut metrics {
            let seen = metric.tags.entry("seen".to_owned()).or_default();
            seen.push_str(&step.plugin.name);
        }
        Ok(metrics)
    }

    pub(super) async fn publish(
        &self,
        step: &Step,
        metrics: &[Metric],
        config: &Config,
    ) -> Result<(), String> {
        self.work(step).await?;
        let mut inner = self.inner.lock().unwrap();
        let number = number(metrics);
        if inner.poison == Some(number) {
            return Err("the database does not like it".to_owned());
        }
        inner.published.push((step.path.to_string(), number));
        inner.last.insert(step.path.to_string(), metrics.to_vec());
        inner.configs.push(config.clone());
        Ok(())
    }

    pub(super) async fn stream(&self) -> Result<Batches, String> {
        let mut inner = self.inner.lock().unwrap();
        inner.streams.pop_front().ok_or_else(|| "no stream".to_owned())
    }

    async fn work(&self, step: &Step) -> Result<(), String> {
        let path = step.path.to_string();
        let time = self.inner.lock().unwrap().times.get(&path).copied();
        sleep(time.unwrap_or_default()).await;
        match self.inner.lock().unwrap().failures.get(&path) {
            Some(failure) => Err(failure.clone()),
            None => Ok(()),
        }
    }
}

/// A metric of this namespace that holds a number.
pub(super) fn metric(namespace: &str, number: i64) -> Metric {
    Metric { data: Some(Data::Int64(number)), ..test_metric(namespace) }
}

/// The number in metrics.
pub(super) fn number(metrics: &[Metric]) -> i64 {
    match metrics.first().and_then(|metric| metric.data.clone()) {
        Some(Data::Int64(number)) => number,
        other => panic!("{other:?}"),
    }
}
