//! `/metrics`: what this node counts, in the text format of Prometheus (version 0.0.4).
//!
//! Names are those of [`tribe::Metric`], and `snapd_` for what the daemon adds. It decides nothing.

use std::fmt::{self, Write};

use axum::{
    extract::State,
    http::header::{CONTENT_TYPE, HeaderName},
};
use tribe::Metric;

use super::{App, Shared};
use crate::task;

const FORMAT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Counters and gauges of this node, for Prometheus.
#[utoipa::path(
    get,
    path = "/metrics",
    responses((status = 200, body = String, content_type = "text/plain"))
)]
pub(super) async fn metrics(State(app): State<App>) -> ([(HeaderName, &'static str); 1], String) {
    let mut page = Page::default();
    let Shared { node, plugins, tasks, .. } = &*app.0;
    // Writing to a text does not fail.
    let _ = page.of_daemon(plugins.plugins().len());
    let _ = page.of_tasks(&tasks.list());
    if let Some(node) = node {
        let _ = page.of_node(&node.metrics());
    }
    ([(CONTENT_TYPE, FORMAT)], page.0)
}

/// The text.
#[derive(Debug, Default)]
struct Page(String);

/// Labels of a value.
type Labels<'a> = &'a [(&'a str, &'a str)];

impl Page {
    /// One name with all its values.
    fn series<'a>(
        &mut self,
        name: &str,
        kind: &str,
        help: &str,
        values: impl IntoIterator<Item = (Labels<'a>, u64)>,
    ) -> fmt::Result {
        writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}")?;
        for (labels, value) in values {
            let labels: Vec<_> = labels
                .iter()
                .map(|(label, text)| format!("{label}=\"{}\"", escape(text)))
                .collect();
            match labels.as_slice() {
                [] => writeln!(self.0, "{name} {value}")?,
                _ => writeln!(self.0, "{name}{{{}}} {value}", labels.join(","))?,
            }
        }
        Ok(())
    }

    fn of_daemon(&mut self, plugins: usize) -> fmt::Result {
        let version: Labels<'_> = &[("version", env!("CARGO_PKG_VERSION"))];
        self.series("snapd_build_info", "gauge", "The version of snapd.", [(version, 1)])?;
        self.series(
            "snapd_plugins",
            "gauge",
            "Plugins that are loaded.",
            [(&[][..], plugins as u64)],
        )
    }

    /// What the SDK tells: those of one name stand side by side.
    fn of_node(&mut self, metrics: &[Metric]) -> fmt::Result {
        metrics.chunk_by(|one, next| one.name == next.name).try_for_each(|series| {
            let Some(Metric { name, kind, help, .. }) = series.first() else { return Ok(()) };
            let values = series.iter().map(|metric| (metric.labels, metric.value));
            self.series(name, kind.as_str(), help, values)
        })
    }

    fn of_tasks(&mut self, tasks: &[task::TaskReport]) -> fmt::Result {
        let labels: Vec<[(&str, &str); 3]> = tasks
            .iter()
            .map(|task| {
                let tribe = match &task.origin {
                    task::Origin::Local => "",
                    task::Origin::Tribe(tribe) => tribe,
                };
                [("id", task.id.as_str()), ("task", task.name.as_str()), ("tribe", tribe)]
            })
            .collect();
        let mut row = |name, kind, help, value: &dyn Fn(&task::TaskReport) -> u64| {
            let values = labels.iter().map(|labels| &labels[..]).zip(tasks.iter().map(value));
            self.series(name, kind, help, values)
        };
        let running = |task: &task::TaskReport| u64::from(task.state == task::State::Running);
        row("snapd_task_running", "gauge", "1 if it runs.", &running)?;
        row("snapd_task_hits_total", "counter", "Times it fired.", &|task| task.hits)?;
        let misses = "Intervals that passed while it was busy.";
        row("snapd_task_misses_total", "counter", misses, &|task| task.misses)?;
        row("snapd_task_failures_total", "counter", "Failures of all kinds.", &|task| {
            task.failures
        })?;
        let waiting = "Batches that wait for a publisher.";
        row("snapd_spool_batches", "gauge", waiting, &|task| {
            queues(task).map(|queue| queue.waiting as u64).sum()
        })?;
        row("snapd_spool_bytes", "gauge", "Bytes on disk of batches that wait.", &|task| {
            queues(task).map(|queue| queue.bytes).sum()
        })?;
        let dropped = "Batches that had to go because of the limit.";
        row("snapd_spool_dropped_total", "counter", dropped, &|task| {
            queues(task).map(|queue| queue.dropped).sum()
        })
    }
}

/// The queues of a task's publish steps.
fn queues(task: &task::TaskReport) -> impl Iterator<Item = &task::QueueReport> {
    task.steps.iter().filter_map(|step| step.queue.as_ref())
}

/// The text of a label, as the format has it.
fn escape(text: &str) -> String {
    text.replace('\\', r"\\").replace('"', "\\\"").replace('\n', r"\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_all_its_values_and_labels_are_escaped() {
        let mut page = Page::default();
        let odd: Labels<'_> = &[("task", "a\"b\\c\nd"), ("tribe", "")];
        page.series("x_total", "counter", "how many", [(&[][..], 7), (odd, 8)]).unwrap();
        let expected = "# HELP x_total how many\n# TYPE x_total counter\nx_total 7\n\
                        x_total{task=\"a\\\"b\\\\c\\nd\",tribe=\"\"} 8\n";
        assert_eq!(page.0, expected);
    }
}
