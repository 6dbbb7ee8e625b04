//! A document judged: it becomes a manifest, or a list of all that is wrong, each with its path.

mod schedule;
mod workflow;

use std::{collections::BTreeMap, time::Duration};

use jiff::Timestamp;

use super::{
    document::Document,
    manifest::{Manifest, MaxFailures, Problem},
    schedule::Schedule,
    time,
};
use crate::suggest::nearest;

/// Longest name of a task, in bytes.
const NAME_BYTES: usize = 128;
/// How many keys one map may have whose keys are free.
const KEYS: usize = 1000;

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

fn whole(float: f64) -> Option<i64> {
    // Every whole number below this has a float of its own.
    const EXACT: f64 = 9_007_199_254_740_992.0;
    (float.fract() == 0.0 && float.abs() <= EXACT).then_some(float as i64)
}
