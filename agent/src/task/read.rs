//! A document judged: it becomes a manifest, or a list of all that is wrong, each with its path.

use std::{collections::BTreeMap, time::Duration};

use jiff::Timestamp;
use tribe::{NodeName, TribeName};

use super::{
    document::Document,
    manifest::{Collect, Manifest, MaxFailures, Place, Problem, Process, Publish, Steps},
    schedule::{Cron, Schedule, Window},
    time,
};
use crate::{
    plugin::{Config, ConfigValue, Kind, Request, Wanted},
    suggest::nearest,
    values,
};

/// Longest name of a task, in bytes.
const NAME_BYTES: usize = 128;
/// How many namespaces a task may ask for.
const METRICS: usize = 1000;
/// How many steps a task may have.
const STEPS: usize = 100;
/// How deep steps may nest.
const DEPTH: usize = 20;
/// How many keys one map of configuration or tags may have.
const KEYS: usize = 1000;
/// Longest key or value of configuration or tags, in bytes.
const TEXT_BYTES: usize = 64 * 1024;
/// The shortest interval.
const LEAST_INTERVAL: Duration = Duration::from_millis(10);

/// Judges a document.
pub(super) fn manifest(document: &Document) -> Result<Manifest, Vec<Problem>> {
    let mut reader = Reader::default();
    let manifest = reader.manifest(At::root(document));
    match manifest {
        Some(manifest) if reader.problems.is_empty() => Ok(manifest),
        _ => Err(reader.problems),
    }
}

/// A value and the path that leads to it.
#[derive(Debug, Clone)]
struct At<'a> {
    path: String,
    value: &'a Document,
}

/// The entries of a map that were not asked for yet.
struct Entries<'a> {
    path: String,
    left: BTreeMap<&'a str, &'a Document>,
    asked: Vec<&'static str>,
}

/// Collects what is wrong.
#[derive(Debug, Default)]
struct Reader {
    problems: Vec<Problem>,
    warnings: Vec<String>,
    steps: usize,
}

impl<'a> At<'a> {
    fn root(value: &'a Document) -> Self {
        Self { path: String::new(), value }
    }

    fn key(path: &str, key: &str, value: &'a Document) -> Self {
        Self { path: join(path, key), value }
    }
}

/// The path of a key below another.
fn join(path: &str, key: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
    let simple = !key.is_empty() && key.len() <= 64 && key.chars().all(plain);
    match (simple, path) {
        (true, "") => key.to_owned(),
        (true, path) => format!("{path}.{key}"),
        (false, path) => {
            let shown: String = key.chars().take(128).collect();
            format!("{path}[{shown:?}]")
        }
    }
}

impl<'a> Entries<'a> {
    /// The value of a key, if there is one. Nothing counts as none.
    fn take(&mut self, key: &'static str) -> Option<At<'a>> {
        self.asked.push(key);
        let value = self.left.remove(key)?;
        (*value != Document::Null).then(|| At::key(&self.path, key, value))
    }

    /// The same, of a key that may be written in two ways.
    fn take_either(&mut self, key: &'static str, other: &'static str) -> Option<At<'a>> {
        let found = self.take(key);
        match self.left.remove(other).filter(|value| **value != Document::Null) {
            Some(value) if found.is_none() => Some(At::key(&self.path, other, value)),
            _ => found,
        }
    }
}

impl Reader {
    fn refuse(&mut self, path: &str, message: impl Into<String>) {
        self.problems.push(Problem { path: path.to_owned(), message: message.into() });
    }

    fn missing(&mut self, entries: &Entries<'_>, key: &str) {
        self.refuse(&join(&entries.path, key), "it is missing");
    }

    fn expected(&mut self, at: &At<'_>, expected: &str) {
        let message = format!("it must be {expected}, not {}", at.value.describe());
        self.refuse(&at.path, message);
    }

    fn map<'a>(&mut self, at: &At<'a>) -> Option<Entries<'a>> {
        let Document::Map(map) = at.value else {
            self.expected(at, "a map");
            return None;
        };
        let mut left = BTreeMap::new();
        for (key, value) in map {
            if left.insert(key.as_str(), value).is_some() {
                self.refuse(&join(&at.path, key), "it is given twice");
            }
        }
        Some(Entries { path: at.path.clone(), left, asked: Vec::new() })
    }

    /// A map whose keys are free. Nothing is an empty one.
    fn free<'a>(&mut self, at: Option<At<'a>>) -> Vec<(&'a str, At<'a>)> {
        let Some(at) = at else { return Vec::new() };
        let Some(entries) = self.map(&at) else { return Vec::new() };
        if entries.left.len() > KEYS {
            let message = format!("it has {} keys, at most {KEYS} are allowed", entries.left.len());
            self.refuse(&at.path, message);
            return Vec::new();
        }
        let below = |(key, value)| (key, At::key(&at.path, key, value));
        entries.left.into_iter().map(below).collect()
    }

    /// Whatever was not asked for is not known.
    fn finish(&mut self, entries: Entries<'_>) {
        for key in entries.left.keys() {
            let near = nearest(key, entries.asked.iter().copied());
            let message = match near {
                Some(near) => format!("unknown key, did you mean `{near}`?"),
                None => format!("unknown key, the keys here are {}", entries.asked.join(", ")),
            };
            self.refuse(&join(&entries.path, key), message);
        }
    }

    fn text<'a>(&mut self, at: &At<'a>) -> Option<&'a str> {
        match at.value {
            Document::Text(text) => Some(text),
            Document::Bool(_) | Document::Int(_) | Document::Float(_) => {
                self.expected(at, "text, perhaps in quotes");
                None
            }
            _ => {
                self.expected(at, "text");
                None
            }
        }
    }

    fn int(&mut self, at: &At<'_>) -> Option<i64> {
        match at.value {
            Document::Int(value) => Some(*value),
            Document::Float(value) => match whole(*value) {
                Some(value) => Some(value),
                None => {
                    self.refuse(&at.path, format!("{value} is not a whole number"));
                    None
                }
            },
            _ => {
                self.expected(at, "a whole number");
                None
            }
        }
    }

    fn bool(&mut self, at: &At<'_>) -> Option<bool> {
        match at.value {
            Document::Bool(value) => Some(*value),
            _ => {
                self.expected(at, "true or false");
                None
            }
        }
    }

    fn span(&mut self, at: &At<'_>) -> Option<Duration> {
        let text = self.text(at)?;
        match time::parse(text) {
            Ok(time) => Some(time),
            Err(error) => {
                self.refuse(&at.path, error.to_string());
                None
            }
        }
    }

    fn moment(&mut self, at: &At<'_>) -> Option<Timestamp> {
        let text = self.text(at)?;
        match text.parse() {
            Ok(moment) => Some(moment),
            Err(_) => {
                let message =
                    format!("`{text}` is not a time, write it as `2026-10-27T16:39:57+01:00`");
                self.refuse(&at.path, message);
                None
            }
        }
    }

    fn manifest(&mut self, at: At<'_>) -> Option<Manifest> {
        let mut top = self.map(&at)?;
        if let Some(at) = top.take("version")
            && let Some(version) = self.int(&at)
            && version != 1
        {
            let message = format!("manifests have version 1, {version} is not known");
            self.refuse(&at.path, message);
        }
        let name = top.take("name").and_then(|at| self.name(&at));
        let start = top.take("start").and_then(|at| self.bool(&at));
        let deadline = top.take("deadline").and_then(|at| self.deadline(&at));
        let failures = top.take_either("max-failures", "max_failures");
        let max_failures = failures.map_or(MaxFailures::Default, |at| self.max_failures(&at));
        let held = top.take_either("max-collect-duration", "max_collect_duration");
        let max_collect_duration = held.and_then(|at| self.span(&at));
        let buffer = top.take_either("max-metrics-buffer", "max_metrics_buffer");
        let max_metrics_buffer = buffer.and_then(|at| self.count(&at));
        let schedule = match top.take("schedule") {
            Some(at) => self.schedule(&at),
            None => {
                self.missing(&top, "schedule");
                None
            }
        };
        let collect = match top.take("workflow") {
            Some(at) => self.workflow(&at),
            None => {
                self.missing(&top, "workflow");
                None
            }
        };
        self.finish(top);
        let schedule = schedule?;
        if schedule != Schedule::Streaming
            && (max_collect_duration.is_some() || max_metrics_buffer.is_some())
        {
            self.warnings.push(
                "`max-collect-duration` and `max-metrics-buffer` count in streaming tasks only"
                    .to_owned(),
            );
        }
        let warnings = std::mem::take(&mut self.warnings);
        Some(Manifest {
            name,
            start,
            deadline,
            max_failures,
            schedule,
            max_collect_duration,
            max_metrics_buffer,
            collect: collect?,
            warnings,
        })
    }

    fn name(&mut self, at: &At<'_>) -> Option<String> {
        let name = self.text(at)?;
        if name.is_empty() {
            return None;
        }
        if let Err(message) = check_name(name) {
            self.refuse(&at.path, message);
            return None;
        }
        Some(name.to_owned())
    }

    fn deadline(&mut self, at: &At<'_>) -> Option<Duration> {
        let deadline = self.span(at)?;
        if deadline.is_zero() {
            self.refuse(&at.path, "it must be longer than nothing");
            return None;
        }
        Some(deadline)
    }

    fn max_failures(&mut self, at: &At<'_>) -> MaxFailures {
        let Some(times) = self.int(at) else { return MaxFailures::Default };
        match u32::try_from(times) {
            Ok(0) => MaxFailures::Default,
            Ok(times) => MaxFailures::Times(times),
            Err(_) if times == -1 => MaxFailures::Never,
            Err(_) => {
                let message = format!("{times} is not a number of failures, use 1 or more, or -1");
                self.refuse(&at.path, message);
                MaxFailures::Default
            }
        }
    }

    fn count(&mut self, at: &At<'_>) -> Option<u64> {
        let count = self.int(at)?;
        match u64::try_from(count) {
            Ok(0) => None,
            Ok(count) => Some(count),
            Err(_) => {
                self.refuse(&at.path, format!("{count} is below zero"));
                None
            }
        }
    }

    fn schedule(&mut self, at: &At<'_>) -> Option<Schedule> {
        let mut entries = self.map(at)?;
        let kind = entries.take("type");
        let interval = entries.take("interval");
        let start = entries.take("start_timestamp");
        let stop = entries.take("stop_timestamp");
        let count = entries.take("count");
        let Some(kind) = kind else {
            self.missing(&entries, "type");
            self.finish(entries);
            return None;
        };
        let name = self.text(&kind)?;
        let missing = join(&entries.path, "interval");
        self.finish(entries);
        let known = ["simple", "windowed", "cron", "streaming"];
        if !known.contains(&name) {
            let meant = nearest(name, known).map(|near| format!(", did you mean `{near}`?"));
            let meant = meant.unwrap_or_else(|| format!(", they are {}", known.join(", ")));
            self.refuse(&kind.path, format!("`{name}` is not a type of schedule{meant}"));
            return None;
        }
        if name == "streaming" {
            if interval.or(start).or(stop).or(count).is_some() {
                let message = "a streaming task has no interval, timestamps or count";
                self.warnings.push(message.to_owned());
            }
            return Some(Schedule::Streaming);
        }
        let window = self.window(start, stop, count);
        let Some(interval) = interval else {
            self.refuse(&missing, "it is missing");
            return None;
        };
        let window = window?;
        if name == "cron" {
            let text = self.text(&interval)?;
            return match Cron::parse(text) {
                Ok(cron) => Some(Schedule::Cron { cron, window }),
                Err(error) => {
                    self.refuse(&interval.path, error.to_string());
                    None
                }
            };
        }
        let time = self.span(&interval)?;
        if time < LEAST_INTERVAL {
            let least = time::show(LEAST_INTERVAL);
            self.refuse(&interval.path, format!("the shortest interval is {least}"));
            return None;
        }
        Some(Schedule::Interval { interval: time, window })
    }

    fn window(
        &mut self,
        start: Option<At<'_>>,
        stop: Option<At<'_>>,
        count: Option<At<'_>>,
    ) -> Option<Window> {
        let stop_path = stop.as_ref().map(|at| at.path.clone()).unwrap_or_default();
        let before = self.problems.len();
        let start = start.and_then(|at| self.moment(&at));
        let stop = stop.and_then(|at| self.moment(&at));
        let mut count = count.and_then(|at| self.count(&at));
        if let (Some(start), Some(stop)) = (start, stop)
            && stop <= start
        {
            self.refuse(&stop_path, "the task would stop before it starts");
        }
        if stop.is_some() && count.is_some() {
            let message = "`schedule.count` does not count beside `schedule.stop_timestamp`";
            self.warnings.push(message.to_owned());
            count = None;
        }
        (self.problems.len() == before).then_some(Window { start, stop, count })
    }

    fn workflow(&mut self, at: &At<'_>) -> Option<Collect> {
        let mut entries = self.map(at)?;
        let collect = match entries.take("collect") {
            Some(at) => self.collect(&at),
            None => {
                self.missing(&entries, "collect");
                None
            }
        };
        self.finish(entries);
        collect
    }

    fn collect(&mut self, at: &At<'_>) -> Option<Collect> {
        let mut entries = self.map(at)?;
        let asked = entries.take("metrics");
        let found = asked.is_some();
        let metrics = asked.map(|at| self.metrics(&at)).unwrap_or_default();
        if !found {
            self.missing(&entries, "metrics");
        }
        let mut config = BTreeMap::new();
        for (prefix, at) in self.free(entries.take("config")) {
            let one = self.config(Some(at));
            config.insert(prefix.to_owned(), one);
        }
        let mut tags = BTreeMap::new();
        for (prefix, at) in self.free(entries.take("tags")) {
            let one = self.tags(at);
            tags.insert(prefix.to_owned(), one);
        }
        let steps = self.steps(&mut entries, 1);
        self.finish(entries);
        Some(Collect { metrics, config, tags, steps })
    }

    fn metrics(&mut self, at: &At<'_>) -> Vec<(String, Request)> {
        let all = self.free(Some(at.clone()));
        if all.is_empty() && matches!(at.value, Document::Map(map) if map.is_empty()) {
            self.refuse(&at.path, "it must name at least one metric");
        }
        if all.len() > METRICS {
            self.refuse(&at.path, format!("it has more than {METRICS} metrics"));
            return Vec::new();
        }
        let mut metrics = Vec::new();
        for (namespace, at) in all {
            let mut version = None;
            if *at.value != Document::Null
                && let Some(mut entries) = self.map(&at)
            {
                version = entries.take("version").and_then(|at| self.int(&at));
                self.finish(entries);
            }
            match Request::parse(namespace, version) {
                Ok(request) => metrics.push((namespace.to_owned(), request)),
                Err(error) => self.refuse(&at.path, error.to_string()),
            }
        }
        metrics
    }

    fn config(&mut self, at: Option<At<'_>>) -> Config {
        let mut config = Config::new();
        for (key, at) in self.free(at) {
            let value = match at.value {
                Document::Bool(value) => ConfigValue::Bool(*value),
                Document::Int(value) => ConfigValue::Int(*value),
                Document::Float(value) => {
                    whole(*value).map_or(ConfigValue::Float(*value), ConfigValue::Int)
                }
                Document::Text(text) if text.len().max(key.len()) > TEXT_BYTES => {
                    self.refuse(&at.path, format!("it has more than {TEXT_BYTES} bytes"));
                    continue;
                }
                Document::Text(text) => {
                    if let Err(error) = values::check(text) {
                        self.refuse(&at.path, error.to_string());
                    }
                    ConfigValue::Text(text.clone())
                }
                Document::Map(_) => {
                    let expected =
                        "text, a number, true or false (in YAML a `{{fact}}` needs quotes)";
                    self.expected(&at, expected);
                    continue;
                }
                Document::Null | Document::List(_) => {
                    self.expected(&at, "text, a number, true or false");
                    continue;
                }
            };
            config.insert(key.to_owned(), value);
        }
        config
    }

    fn tags(&mut self, at: At<'_>) -> BTreeMap<String, String> {
        if *at.value == Document::Null {
            return BTreeMap::new();
        }
        let mut tags = BTreeMap::new();
        for (key, at) in self.free(Some(at)) {
            match self.text(&at) {
                Some(text) if text.len().max(key.len()) > TEXT_BYTES => {
                    self.refuse(&at.path, format!("it has more than {TEXT_BYTES} bytes"));
                }
                Some(text) => drop(tags.insert(key.to_owned(), text.to_owned())),
                None => {}
            }
        }
        tags
    }

    fn steps(&mut self, entries: &mut Entries<'_>, depth: usize) -> Steps {
        let mut steps = Steps::default();
        for at in self.list(entries.take("process")) {
            steps.process.extend(self.process(&at, depth));
        }
        for at in self.list(entries.take("publish")) {
            steps.publish.extend(self.publish(&at));
        }
        steps
    }

    fn list<'a>(&mut self, at: Option<At<'a>>) -> Vec<At<'a>> {
        let Some(at) = at else { return Vec::new() };
        let Document::List(list) = at.value else {
            self.expected(&at, "a list");
            return Vec::new();
        };
        let before = self.steps;
        self.steps += list.len();
        if self.steps > STEPS {
            // Once is enough.
            if before <= STEPS {
                self.refuse(&at.path, format!("a task may have at most {STEPS} steps"));
            }
            return Vec::new();
        }
        let item = |(index, value)| At { path: format!("{}[{index}]", at.path), value };
        list.iter().enumerate().map(item).collect()
    }

    fn process(&mut self, at: &At<'_>, depth: usize) -> Option<Process> {
        if depth > DEPTH {
            self.refuse(&at.path, format!("steps may nest at most {DEPTH} deep"));
            return None;
        }
        let mut entries = self.map(at)?;
        let plugin = self.plugin(&mut entries, Kind::Processor);
        let config = entries.take("config");
        let config = self.config(config);
        let place = self.place(&mut entries);
        let steps = self.steps(&mut entries, depth + 1);
        self.finish(entries);
        Some(Process { plugin: plugin?, config, place, steps })
    }

    fn publish(&mut self, at: &At<'_>) -> Option<Publish> {
        let mut entries = self.map(at)?;
        let plugin = self.plugin(&mut entries, Kind::Publisher);
        let config = entries.take("config");
        let config = self.config(config);
        let place = self.place(&mut entries);
        for key in ["process", "publish"] {
            match entries.left.remove(key) {
                None | Some(Document::Null) => {}
                Some(Document::List(list)) if list.is_empty() => {}
                Some(_) => {
                    self.refuse(&join(&at.path, key), "nothing comes after a publish step");
                }
            }
        }
        self.finish(entries);
        Some(Publish { plugin: plugin?, config, place })
    }

    fn plugin(&mut self, entries: &mut Entries<'_>, kind: Kind) -> Option<Wanted> {
        let version = entries.take("plugin_version").and_then(|at| self.int(&at));
        let Some(at) = entries.take("plugin_name") else {
            self.missing(entries, "plugin_name");
            return None;
        };
        let name = self.text(&at)?;
        if name.contains(':') {
            let message = format!("`{name}` is not a name, the version goes to `plugin_version`");
            self.refuse(&at.path, message);
            return None;
        }
        match Wanted::of(kind, name) {
            Ok(wanted) => Some(Wanted { version: version.filter(|it| *it >= 1), ..wanted }),
            Err(error) => {
                self.refuse(&at.path, error.to_string());
                None
            }
        }
    }

    fn place(&mut self, entries: &mut Entries<'_>) -> Place {
        let filled = |at: &At<'_>| !matches!(at.value, Document::Text(text) if text.is_empty());
        let tribe = entries.take("tribe").filter(filled);
        let target = entries.take("target").filter(filled);
        let place = match (tribe, target) {
            (None, None) => Some(Place::Here),
            (Some(_), Some(target)) => {
                self.refuse(&target.path, "a step has a `tribe` or a `target`, not both");
                None
            }
            (Some(at), None) => self.text(&at).and_then(|name| match TribeName::parse(name) {
                Ok(name) => Some(Place::Tribe(name)),
                Err(error) => {
                    self.refuse(&at.path, error.to_string());
                    None
                }
            }),
            (None, Some(at)) => self.text(&at).and_then(|name| self.target(&at, name)),
        };
        // With a problem there is no manifest.
        place.unwrap_or_default()
    }

    fn target(&mut self, at: &At<'_>, name: &str) -> Option<Place> {
        if is_address(name) {
            let message = format!(
                "`{name}` is an address, as snap had it: name a node with `target: NODE`, or with \
                 `tribe: NAME` a tribe, any member of which that has the plugin will do"
            );
            self.refuse(&at.path, message);
            return None;
        }
        match NodeName::parse(name) {
            Ok(name) => Some(Place::Node(name)),
            Err(error) => {
                self.refuse(&at.path, error.to_string());
                None
            }
        }
    }
}

/// Can a task have this name?
pub(crate) fn check_name(name: &str) -> Result<(), String> {
    if name.len() > NAME_BYTES {
        return Err(format!("it has {} bytes, at most {NAME_BYTES} are allowed", name.len()));
    }
    let bad = name.chars().find(|c| c.is_control() || *c == '/');
    match bad {
        Some(bad) => Err(format!("{bad:?} cannot be in the name of a task")),
        None if name.trim().is_empty() || name.trim() != name => {
            Err("the name of a task begins and ends with something visible".to_owned())
        }
        None => Ok(()),
    }
}

/// Is this a host and a port, or an IP address?
fn is_address(text: &str) -> bool {
    let port = text.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
    port || text.parse::<std::net::IpAddr>().is_ok()
}

fn whole(float: f64) -> Option<i64> {
    // Every whole number below this has a float of its own.
    const EXACT: f64 = 9_007_199_254_740_992.0;
    (float.fract() == 0.0 && float.abs() <= EXACT).then_some(float as i64)
}
