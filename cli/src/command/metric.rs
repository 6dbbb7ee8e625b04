//! `snapctl metric`: what the plugins of the node behind the socket collect.

use std::{collections::BTreeMap, str::FromStr};

use clap::{Args, Subcommand};
use serde_json::Value;
use tribe_api::{
    CollectOnce, DynamicElement, Measured, MetricDetail, MetricRequest, MetricShowQuery, MetricType,
};

use crate::{
    command::{name, plugin::rules_text},
    exit::Exit,
    failure::Failure,
    output::{blocks, fields, list, table},
    session::Session,
};

/// See the metrics of the node behind the socket
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// List the metrics that can be collected
    List {
        /// Only these, as in a task: `/intel/psutil/*`
        #[arg(long, value_name = "NAMESPACE", value_parser = name())]
        namespace: Option<String>,
    },
    /// Show a metric: its plugin, unit, dynamic elements, and what its plugin takes as its configuration
    ///
    ///   snapctl metric show '/intel/psutil/cpu/*/user'
    #[command(verbatim_doc_comment)]
    Show {
        /// The metric, as `snapctl metric list` has it
        #[arg(value_parser = name())]
        namespace: String,
        /// Its version [default: the newest]
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(i64).range(1..))]
        version: Option<i64>,
    },
    /// Collect once, and perhaps process and publish: see what plugins do before a task uses them
    Collect(Collect),
}

/// What to collect, and where to.
#[derive(Debug, Args)]
pub(crate) struct Collect {
    /// What to collect, as in a task: `/intel/psutil/load/*`
    #[arg(required = true, value_name = "NAMESPACE", value_parser = name())]
    namespaces: Vec<String>,
    /// Have this processor process it (repeatable, one after another)
    #[arg(long, value_name = "NAME[:VERSION]", value_parser = name())]
    process: Vec<String>,
    /// Have this publisher publish it (repeatable)
    #[arg(long, value_name = "NAME[:VERSION]", value_parser = name())]
    publish: Vec<String>,
    /// Tell a plugin something, as in influxdb.port=8086 (repeatable)
    #[arg(long, value_name = "PLUGIN.KEY=VALUE")]
    config: Vec<Setting>,
}

/// One thing to tell a plugin.
#[derive(Debug, Clone, PartialEq)]
struct Setting {
    plugin: String,
    key: String,
    value: Value,
}

impl FromStr for Setting {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let form = "write it as PLUGIN.KEY=VALUE";
        let (place, value) = text.split_once('=').ok_or(form)?;
        let (plugin, key) = place.split_once('.').ok_or(form)?;
        if plugin.is_empty() || key.is_empty() {
            return Err(form);
        }
        Ok(Self { plugin: plugin.into(), key: key.into(), value: scalar(value) })
    }
}

/// `true`, `false` and numbers as JSON has them, and all else as text. Quotes make text of
/// anything.
fn scalar(text: &str) -> Value {
    match serde_json::from_str(text) {
        Ok(value @ (Value::Bool(_) | Value::Number(_) | Value::String(_))) => value,
        _ => text.into(),
    }
}

pub(crate) async fn run(verb: Verb, session: &Session) -> Result<Exit, Failure> {
    let snapd = &session.snapd;
    match verb {
        Verb::List { namespace } => {
            let metrics = snapd.metrics(namespace.as_deref()).await?;
            session.show(&metrics, |metrics| types_text(metrics))
        }
        Verb::Show { namespace, version } => {
            let show = MetricShowQuery { namespace, version };
            session.show(&snapd.metric(&show).await?, metric_text)
        }
        Verb::Collect(collect) => {
            let measured = snapd.collect(&once(collect)).await?;
            session.show(&measured, |measured| measured_text(measured))
        }
    }
}

fn once(collect: Collect) -> CollectOnce {
    let Collect { namespaces, process, publish, config } = collect;
    let request = |namespace| MetricRequest { namespace, version: None };
    let mut configs: BTreeMap<_, BTreeMap<_, _>> = BTreeMap::new();
    for Setting { plugin, key, value } in config {
        configs.entry(plugin).or_default().insert(key, value);
    }
    let metrics = namespaces.into_iter().map(request).collect();
    CollectOnce { metrics, process, publish, config: configs }
}

fn types_text(metrics: &[MetricType]) -> String {
    let row = |metric: &MetricType| {
        [
            metric.namespace.clone(),
            metric.version.to_string(),
            metric.plugin.clone(),
            list(&metric.dynamic),
            metric.unit.clone(),
            metric.description.clone(),
        ]
    };
    let header = ["NAMESPACE", "VERSION", "PLUGIN", "DYNAMIC", "UNIT", "DESCRIPTION"];
    table(header, metrics.iter().map(row).collect())
}

fn metric_text(detail: &MetricDetail) -> String {
    let MetricDetail { metric, elements, config } = detail;
    let element = |element: &DynamicElement| {
        [element.name.clone(), element.position.to_string(), element.description.clone()]
    };
    blocks([
        fields([
            ("metric", metric.namespace.clone()),
            ("version", metric.version.to_string()),
            ("plugin", metric.plugin.clone()),
            ("unit", metric.unit.clone()),
            ("description", metric.description.clone()),
        ]),
        table(["ELEMENT", "POSITION", "DESCRIPTION"], elements.iter().map(element).collect()),
        rules_text(config),
    ])
}

fn measured_text(measured: &[Measured]) -> String {
    let row = |metric: &Measured| {
        let tags = metric.tags.iter().map(|(key, value)| format!("{key}={value}"));
        [metric.namespace.clone(), data_text(&metric.data), metric.unit.clone(), list(tags)]
    };
    table(["NAMESPACE", "DATA", "UNIT", "TAGS"], measured.iter().map(row).collect())
}

fn data_text(data: &Value) -> String {
    match data {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        data => data.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_setting_has_a_plugin_a_key_and_a_value_of_its_type() {
        let check = |text: &str, expected: Option<(&str, &str, Value)>| {
            let found = text.parse::<Setting>().ok();
            let expected = expected.map(|(plugin, key, value)| Setting {
                plugin: plugin.into(),
                key: key.into(),
                value,
            });
            assert_eq!(found, expected, "for {text}");
        };
        check("influxdb.port=8086", Some(("influxdb", "port", 8086.into())));
        check("influxdb.skip-verify=true", Some(("influxdb", "skip-verify", true.into())));
        check("influxdb.host=10.0.0.1", Some(("influxdb", "host", "10.0.0.1".into())));
        check("influxdb.password=\"7\"", Some(("influxdb", "password", "7".into())));
        check("file.file=/tmp/a=b", Some(("file", "file", "/tmp/a=b".into())));
        check("file.file=", Some(("file", "file", "".into())));
        check("jolokia.a.b=[1]", Some(("jolokia", "a.b", "[1]".into())));
        check("port=8086", None);
        check(".port=1", None);
        check("influxdb.port", None);
    }

    fn user() -> MetricType {
        MetricType {
            namespace: "/intel/psutil/cpu/*/user".into(),
            version: 14,
            plugin: "collector:psutil:14".into(),
            dynamic: vec!["cpu_id".into()],
            unit: String::new(),
            description: "time in user mode".into(),
        }
    }

    #[test]
    fn a_metric_is_shown_with_its_elements_and_configuration() {
        let element = DynamicElement {
            position: 4,
            name: "cpu_id".into(),
            description: "number of the processor\u{1b}".into(),
        };
        let detail = MetricDetail { metric: user(), elements: vec![element], config: vec![] };
        let expected = "\
metric       /intel/psutil/cpu/*/user
version      14
plugin       collector:psutil:14
unit         -
description  time in user mode

ELEMENT  POSITION  DESCRIPTION
cpu_id   4         number of the processor\\u{1b}

CONFIG  NAMESPACE  TYPE  REQUIRED  DEFAULT  MINIMUM  MAXIMUM";
        assert_eq!(metric_text(&detail), expected);
    }

    #[test]
    fn metrics_are_listed() {
        let expected = "\
NAMESPACE                 VERSION  PLUGIN               DYNAMIC  UNIT  DESCRIPTION
/intel/psutil/cpu/*/user  14       collector:psutil:14  cpu_id   -     time in user mode";
        assert_eq!(types_text(&[user()]), expected);
    }

    #[test]
    fn what_was_measured_is_a_line_each() {
        let measured = |namespace: &str, data| Measured {
            namespace: namespace.into(),
            version: 1,
            data,
            unit: "s".into(),
            tags: BTreeMap::from([("a".into(), "1\u{1b}".into()), ("b".into(), "2".into())]),
            timestamp_ms: 0,
        };
        let all = [
            measured("/a", 0.5.into()),
            measured("/b", "text".into()),
            measured("/c", Value::Null),
        ];
        let expected = "\
NAMESPACE  DATA  UNIT  TAGS
/a         0.5   s     a=1\\u{1b},b=2
/b         text  s     a=1\\u{1b},b=2
/c         -     s     a=1\\u{1b},b=2";
        assert_eq!(measured_text(&all), expected);
    }
}
