//! The part `workflow` of a manifest: what is collected, and the steps.

use std::collections::BTreeMap;

use tribe::{NodeName, TribeName};

use super::{At, Entries, Reader, join, whole};
use crate::{
    plugin::{Config, ConfigValue, Kind, Request, Wanted},
    task::{
        document::Document,
        manifest::{Collect, Place, Process, Publish, Steps},
    },
    values,
};

/// How many namespaces a task may ask for.
const METRICS: usize = 1000;
/// How many steps a task may have.
const STEPS: usize = 100;
/// How deep steps may nest.
const DEPTH: usize = 20;
/// Longest key or value of configuration or tags, in bytes.
const TEXT_BYTES: usize = 64 * 1024;

impl Reader {
    pub(super) fn workflow(&mut self, at: &At<'_>) -> Option<Collect> {
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

/// Is this a host and a port, or an IP address?
fn is_address(text: &str) -> bool {
    let port = text.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
    port || text.parse::<std::net::IpAddr>().is_ok()
}
