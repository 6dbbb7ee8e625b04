//! What a task is to do: snap's manifest, version 1.
//!
//! A manifest is read from JSON or YAML ([`super::read`]) and printed as JSON, in one canonical
//! form that holds what was written: facts and secrets are named in it, never resolved.
//!
//! Invariant: a [`Manifest`] was checked. Every namespace, name, time and schedule in it is good.

use std::{collections::BTreeMap, fmt, time::Duration};

use jiff::Timestamp;
use serde_json::{Map, Value as Json, json};
use tribe::{NodeName, TribeName};

use super::{
    document::{Document, Format, SyntaxError},
    read,
    schedule::Schedule,
    time,
};
use crate::{
    plugin::{Config, ConfigValue, Request, Wanted},
    values,
};

/// Largest manifest, in bytes, as written and in its canonical form.
pub(crate) const MANIFEST_BYTES: usize = 256 * 1024;
/// How long after a task fired a step may begin, unless the manifest says otherwise.
pub(crate) const DEFAULT_DEADLINE: Duration = Duration::from_secs(5);
/// How often in a row a task may fail, unless the manifest says otherwise.
pub(crate) const DEFAULT_MAX_FAILURES: u32 = 10;

/// A task as its manifest has it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Manifest {
    pub(crate) name: Option<String>,
    /// Whether it starts when it is created; absent if the manifest does not say.
    pub(crate) start: Option<bool>,
    /// Absent: [`DEFAULT_DEADLINE`].
    pub(crate) deadline: Option<Duration>,
    pub(crate) max_failures: MaxFailures,
    pub(crate) schedule: Schedule,
    /// Of a streaming task: how long metrics may be held back to come in one batch.
    pub(crate) max_collect_duration: Option<Duration>,
    /// Of a streaming task: how many metrics may be held back.
    pub(crate) max_metrics_buffer: Option<u64>,
    pub(crate) collect: Collect,
    /// What was written and has no effect.
    pub(crate) warnings: Vec<String>,
}

/// How often in a row a task may fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum MaxFailures {
    /// [`DEFAULT_MAX_FAILURES`]: the manifest does not say.
    Default,
    /// So often.
    Times(u32),
    /// Always.
    Never,
}

/// What is collected, and what becomes of it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Collect {
    /// Namespaces as written, with what they ask for.
    pub(crate) metrics: Vec<(String, Request)>,
    /// What plugins are told, by prefix of namespaces.
    pub(crate) config: BTreeMap<String, Config>,
    /// Tags by prefix of namespaces.
    pub(crate) tags: BTreeMap<String, BTreeMap<String, String>>,
    pub(crate) steps: Steps,
}

/// Steps that all get the same metrics.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Steps {
    pub(crate) process: Vec<Process>,
    pub(crate) publish: Vec<Publish>,
}

/// A step that changes metrics for the steps below it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Process {
    pub(crate) plugin: Wanted,
    pub(crate) config: Config,
    pub(crate) place: Place,
    pub(crate) steps: Steps,
}

/// A step that takes metrics elsewhere.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Publish {
    pub(crate) plugin: Wanted,
    pub(crate) config: Config,
    pub(crate) place: Place,
}

/// Where a step runs.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) enum Place {
    /// On this node.
    #[default]
    Here,
    /// On any member of a tribe that has the plugin.
    Tribe(TribeName),
    /// On one node.
    Node(NodeName),
}

/// Why a text is no manifest. The mistake is the user's; nothing has changed.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub(crate) enum ManifestError {
    /// It is too large.
    TooLarge(usize),
    /// It is neither JSON nor YAML.
    Syntax(SyntaxError),
    /// Keys or values are wrong. At least one.
    Keys(Vec<Problem>),
}

/// One thing that is wrong with a manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Problem {
    /// The path of the key, as in `workflow.collect.publish[0].plugin_name`.
    pub(crate) path: String,
    pub(crate) message: String,
}

impl Manifest {
    /// Reads a manifest.
    pub(crate) fn parse(text: &str, format: Format) -> Result<Self, ManifestError> {
        if text.len() > MANIFEST_BYTES {
            return Err(ManifestError::TooLarge(text.len()));
        }
        let document = Document::parse(text, format).map_err(ManifestError::Syntax)?;
        let manifest = read::manifest(&document).map_err(ManifestError::Keys)?;
        // YAML that refers to itself may be longer in its canonical form.
        let bytes = manifest.to_json().to_string().len();
        if bytes > MANIFEST_BYTES {
            return Err(ManifestError::TooLarge(bytes));
        }
        Ok(manifest)
    }

    /// How long after a task fired a step may begin.
    pub(crate) fn deadline(&self) -> Duration {
        self.deadline.unwrap_or(DEFAULT_DEADLINE)
    }

    /// What is wrong with a task that is created now, though it was good when it was written.
    pub(crate) fn stale(&self, now: Timestamp) -> Option<Problem> {
        let stop = self.schedule.window()?.stop.filter(|stop| *stop <= now)?;
        let message = format!("{stop} has passed");
        Some(Problem { path: "schedule.stop_timestamp".to_owned(), message })
    }

    /// The canonical form, from which the same task can be made again: all as it was written.
    pub(crate) fn to_json(&self) -> Json {
        self.print(&|config| config_to_json(config))
    }

    /// The canonical form for eyes: no literal password.
    pub(crate) fn to_json_redacted(&self) -> Json {
        self.print(&|config| config_to_json(&values::redact(config)))
    }

    fn print(&self, config: &dyn Fn(&Config) -> Json) -> Json {
        let mut map = Map::new();
        let mut put = |key: &str, value: Option<Json>| {
            if let Some(value) = value {
                map.insert(key.to_owned(), value);
            }
        };
        put("version", Some(json!(1)));
        put("name", self.name.as_ref().map(|name| json!(name)));
        put("start", self.start.map(|start| json!(start)));
        put("deadline", self.deadline.map(|time| json!(time::show(time))));
        put(
            "max-failures",
            match self.max_failures {
                MaxFailures::Default => None,
                MaxFailures::Times(times) => Some(json!(times)),
                MaxFailures::Never => Some(json!(-1)),
            },
        );
        let held = self.max_collect_duration;
        put("max-collect-duration", held.map(|time| json!(time::show(time))));
        put("max-metrics-buffer", self.max_metrics_buffer.map(|metrics| json!(metrics)));
        put("schedule", Some(self.schedule.to_json()));
        put("workflow", Some(json!({ "collect": self.collect.print(config) })));
        Json::Object(map)
    }
}

impl MaxFailures {
    /// How often, if there is an end to it.
    pub(crate) fn most(self) -> Option<u32> {
        match self {
            Self::Default => Some(DEFAULT_MAX_FAILURES),
            Self::Times(times) => Some(times),
            Self::Never => None,
        }
    }
}

impl Collect {
    fn print(&self, config: &dyn Fn(&Config) -> Json) -> Json {
        let metrics = self.metrics.iter().map(|(namespace, request)| {
            let version = request.version().map(|version| json!({ "version": version }));
            (namespace.clone(), version.unwrap_or_else(|| json!({})))
        });
        let mut map = Map::from_iter([("metrics".to_owned(), Json::Object(metrics.collect()))]);
        if !self.config.is_empty() {
            let all = self.config.iter().map(|(prefix, one)| (prefix.clone(), config(one)));
            map.insert("config".to_owned(), Json::Object(all.collect()));
        }
        if !self.tags.is_empty() {
            map.insert("tags".to_owned(), json!(self.tags));
        }
        self.steps.print(&mut map, config);
        Json::Object(map)
    }
}

impl Steps {
    fn print(&self, map: &mut Map<String, Json>, config: &dyn Fn(&Config) -> Json) {
        if !self.process.is_empty() {
            let all = self.process.iter().map(|step| {
                let mut map = step_to_json(&step.plugin, &step.config, &step.place, config);
                step.steps.print(&mut map, config);
                Json::Object(map)
            });
            map.insert("process".to_owned(), all.collect());
        }
        if !self.publish.is_empty() {
            let all = self.publish.iter().map(|step| {
                Json::Object(step_to_json(&step.plugin, &step.config, &step.place, config))
            });
            map.insert("publish".to_owned(), all.collect());
        }
    }
}

fn step_to_json(
    plugin: &Wanted,
    told: &Config,
    place: &Place,
    config: &dyn Fn(&Config) -> Json,
) -> Map<String, Json> {
    let mut map = Map::from_iter([("plugin_name".to_owned(), json!(plugin.name))]);
    if let Some(version) = plugin.version {
        map.insert("plugin_version".to_owned(), json!(version));
    }
    if !told.is_empty() {
        map.insert("config".to_owned(), config(told));
    }
    match place {
        Place::Here => {}
        Place::Tribe(tribe) => drop(map.insert("tribe".to_owned(), json!(tribe.as_str()))),
        Place::Node(node) => drop(map.insert("target".to_owned(), json!(node.as_str()))),
    }
    map
}

fn config_to_json(config: &Config) -> Json {
    let value = |value: &ConfigValue| match value {
        ConfigValue::Bool(value) => json!(value),
        ConfigValue::Int(value) => json!(value),
        ConfigValue::Float(value) => json!(value),
        ConfigValue::Text(value) => json!(value),
    };
    Json::Object(config.iter().map(|(key, one)| (key.clone(), value(one))).collect())
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Here => f.write_str("here"),
            Self::Tribe(tribe) => write!(f, "tribe `{tribe}`"),
            Self::Node(node) => write!(f, "node `{node}`"),
        }
    }
}

impl ManifestError {
    /// All that is wrong, a line for each.
    pub(crate) fn lines(&self) -> Vec<String> {
        match self {
            Self::Keys(problems) => problems.iter().map(Problem::to_string).collect(),
            other => vec![other.to_string()],
        }
    }
}

impl fmt::Display for ManifestError {
    /// One line: the first problem, and how many more there are.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLarge(bytes) => {
                write!(f, "the manifest has {bytes} bytes, at most {MANIFEST_BYTES} are allowed")
            }
            Self::Syntax(error) => error.fmt(f),
            Self::Keys(problems) => {
                let Some((first, rest)) = problems.split_first() else { return Ok(()) };
                first.fmt(f)?;
                if rest.is_empty() { Ok(()) } else { write!(f, " (and {} more)", rest.len()) }
            }
        }
    }
}

impl std::error::Error for ManifestError {}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.path.as_str() {
            "" => f.write_str(&self.message),
            path => write!(f, "{path}: {}", self.message),
        }
    }
}

#[cfg(test)]
mod tests;
