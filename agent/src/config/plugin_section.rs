//! The section `plugins` of the file, and the tags beside it.

use std::{collections::BTreeMap, fmt, path::PathBuf};

use serde::{Deserialize, Deserializer, de};
use serde_saphyr::Spanned;

use super::{
    Given, Problems,
    file::{RawValue, Reader},
    plugin_settings::{LimitLayer, PluginLayer},
};
use crate::plugin::{
    ByPrefix, Config, ConfigValue, Identity, Kind, NODE_TAG, PluginConfigs, TlsFiles,
};

/// The section `plugins`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PluginSection {
    pub(super) dir: Option<Spanned<PathBuf>>,
    load_timeout: Option<Spanned<String>>,
    max_running: Option<Spanned<u64>>,
    limits: Option<LimitSection>,
    trust: Option<Spanned<String>>,
    keyrings: Option<RawValue>,
    tls: Option<Spanned<TlsSection>>,
    config: Option<BTreeMap<String, Tree>>,
}

/// The section `plugins: limits`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct LimitSection {
    memory: Option<Spanned<String>>,
    open_files: Option<Spanned<u64>>,
    processes: Option<Spanned<u64>>,
    cpu: Option<Spanned<String>>,
}

/// The section `plugins: tls`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct TlsSection {
    ca: Option<PathBuf>,
    cert: Option<PathBuf>,
    key: Option<PathBuf>,
    plugin_cert: Option<PathBuf>,
    plugin_key: Option<PathBuf>,
}

/// Tags by prefix of a namespace and name.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Tags(BTreeMap<String, BTreeMap<String, RawValue>>);

/// Values that plugins are told, or a deeper section.
#[derive(Debug)]
struct Tree(Spanned<Branch>);

#[derive(Debug)]
enum Branch {
    Value(ConfigValue),
    Section(BTreeMap<String, Tree>),
    /// Nowhere of use.
    List,
}

impl PluginSection {
    pub(super) fn layer(
        self,
        tags: Tags,
        reader: &Reader<'_>,
        problems: &mut Problems,
    ) -> PluginLayer {
        let limits = self.limits.unwrap_or_default();
        let keyrings = reader.list("keyrings", self.keyrings, problems);
        PluginLayer {
            load_timeout: reader.given(self.load_timeout),
            max_running: reader.given(self.max_running),
            limits: LimitLayer {
                memory: reader.given(limits.memory),
                open_files: reader.given(limits.open_files),
                processes: reader.given(limits.processes),
                cpu: reader.given(limits.cpu),
            },
            trust: reader.given(self.trust),
            keyrings: keyrings.map(|Given { value, origin }| Given {
                value: value.into_iter().map(PathBuf::from).collect(),
                origin,
            }),
            tls: reader.given(self.tls).and_then(|tls| tls_files(tls, problems)),
            configs: Told { reader, problems, configs: PluginConfigs::default() }
                .read(self.config.unwrap_or_default()),
            tags: tags.read(reader, problems),
        }
    }
}

/// All of them, or it is told which are not there.
fn tls_files(given: Given<TlsSection>, problems: &mut Problems) -> Option<Given<TlsFiles>> {
    let Given { value: TlsSection { ca, cert, key, plugin_cert, plugin_key }, origin } = given;
    let files = [
        ("ca", &ca),
        ("cert", &cert),
        ("key", &key),
        ("plugin_cert", &plugin_cert),
        ("plugin_key", &plugin_key),
    ];
    let lacks = files.iter().filter(|(_, file)| file.is_none());
    let lacks: Vec<_> = lacks.map(|(name, _)| format!("`{name}`")).collect();
    if !lacks.is_empty() {
        let message = format!("`tls` lacks {}", lacks.join(", "));
        problems.add_lack(&origin, message, Some("give all five files, or leave out `tls`"));
    }
    let (ca, cert, key) = (ca?, cert?, key?);
    let (plugin_cert, plugin_key) = (plugin_cert?, plugin_key?);
    Some(Given { value: TlsFiles { ca, cert, key, plugin_cert, plugin_key }, origin })
}

impl Tags {
    fn read(self, reader: &Reader<'_>, problems: &mut Problems) -> ByPrefix<String> {
        let mut tree = ByPrefix::default();
        for (prefix, tags) in self.0 {
            let mut texts = BTreeMap::new();
            for (name, raw) in tags {
                let origin = reader.origin(raw.0.referenced);
                if name == NODE_TAG {
                    let message = format!("the tag `{NODE_TAG}` is the name of the node always");
                    problems.add(&origin, message, Some("give the tag another name"));
                } else if !prefix.starts_with('/') {
                    let message = format!("`{prefix}` is no beginning of a namespace");
                    problems.add(
                        &origin,
                        message,
                        Some("write it as `/intel/psutil`, or `/` for all"),
                    );
                } else if let Some(text) = reader.as_spelled(raw) {
                    texts.insert(name, text);
                } else {
                    let message = format!("tag `{name}` is neither text nor a number");
                    problems.add(&origin, message, None);
                }
            }
            tree.add(&prefix, texts);
        }
        tree
    }
}

/// Reads what plugins are told: snap's nested sections, or simply by name.
struct Told<'a> {
    reader: &'a Reader<'a>,
    problems: &'a mut Problems,
    configs: PluginConfigs,
}

impl Told<'_> {
    fn read(mut self, sections: BTreeMap<String, Tree>) -> PluginConfigs {
        for (name, tree) in sections {
            match Kind::parse(&name) {
                Some(kind) => self.kind(kind, tree),
                None if name == "all" => self.configs.all = self.values(tree),
                // Plugins have names in lower case.
                None => {
                    let values = self.values(tree);
                    self.configs.names.insert(name.to_lowercase(), values);
                }
            }
        }
        self.configs
    }

    fn kind(&mut self, kind: Kind, tree: Tree) {
        for (name, tree) in self.section(tree) {
            if name == "all" {
                let values = self.values(tree);
                self.configs.kinds.insert(kind, values);
            } else {
                self.plugin(kind, name.to_lowercase(), tree);
            }
        }
    }

    /// `all` and `versions`, or the values themselves.
    fn plugin(&mut self, kind: Kind, name: String, tree: Tree) {
        let mut values = Config::new();
        for (key, tree) in self.section(tree) {
            match (key.as_str(), tree.0.value) {
                (_, Branch::Value(value)) => drop(values.insert(key, value)),
                ("all", Branch::Section(section)) => {
                    let inner = self.all_values(section);
                    values.extend(inner);
                }
                ("versions", Branch::Section(versions)) => self.versions(kind, &name, versions),
                (_, Branch::Section(_) | Branch::List) => {
                    let origin = self.reader.origin(tree.0.referenced);
                    let message = format!("`{key}` is no value that a plugin can be told");
                    let help = "sections here are `all` and `versions`";
                    self.problems.add(&origin, message, Some(help));
                }
            }
        }
        self.configs.plugins.insert((kind, name), values);
    }

    fn versions(&mut self, kind: Kind, name: &str, versions: BTreeMap<String, Tree>) {
        for (version, tree) in versions {
            let origin = self.reader.origin(tree.0.referenced);
            let values = self.values(tree);
            match version.parse().map(|version| Identity::new(kind, name, version)) {
                Ok(Ok(identity)) => drop(self.configs.versions.insert(identity, values)),
                _ => {
                    let message = format!("`{version}` is no version of a plugin named `{name}`");
                    self.problems.add(&origin, message, Some("versions are whole numbers from 1"));
                }
            }
        }
    }

    fn section(&mut self, tree: Tree) -> BTreeMap<String, Tree> {
        match tree.0.value {
            Branch::Section(section) => section,
            Branch::Value(_) | Branch::List => {
                let origin = self.reader.origin(tree.0.referenced);
                let message = "this is a value where plugins are expected";
                let help = "write what a plugin is told as `name: {key: value}`";
                self.problems.add(&origin, message, Some(help));
                BTreeMap::new()
            }
        }
    }

    fn values(&mut self, tree: Tree) -> Config {
        let section = self.section(tree);
        self.all_values(section)
    }

    fn all_values(&mut self, section: BTreeMap<String, Tree>) -> Config {
        let mut values = Config::new();
        for (key, tree) in section {
            match tree.0.value {
                Branch::Value(value) => drop(values.insert(key, value)),
                Branch::Section(_) | Branch::List => {
                    let origin = self.reader.origin(tree.0.referenced);
                    let message = format!("`{key}` is no value that a plugin can be told");
                    let help = "values are true or false, a number or text";
                    self.problems.add(&origin, message, Some(help));
                }
            }
        }
        values
    }
}

impl<'de> Deserialize<'de> for Tree {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Spanned::deserialize(deserializer).map(Self)
    }
}

impl<'de> Deserialize<'de> for Branch {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct BranchVisitor;

        impl<'de> de::Visitor<'de> for BranchVisitor {
            type Value = Branch;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("true or false, a number, text or a section")
            }

            fn visit_bool<E>(self, value: bool) -> Result<Branch, E> {
                Ok(Branch::Value(ConfigValue::Bool(value)))
            }

            fn visit_i64<E>(self, value: i64) -> Result<Branch, E> {
                Ok(Branch::Value(ConfigValue::Int(value)))
            }

            fn visit_u64<E: de::Error>(self, value: u64) -> Result<Branch, E> {
                let value =
                    i64::try_from(value).map_err(|_| E::custom("the number is too large"))?;
                Ok(Branch::Value(ConfigValue::Int(value)))
            }

            fn visit_f64<E>(self, value: f64) -> Result<Branch, E> {
                Ok(Branch::Value(ConfigValue::Float(value)))
            }

            fn visit_str<E>(self, text: &str) -> Result<Branch, E> {
                Ok(Branch::Value(ConfigValue::Text(text.to_owned())))
            }

            fn visit_unit<E>(self) -> Result<Branch, E> {
                Ok(Branch::Section(BTreeMap::new()))
            }

            fn visit_seq<A: de::SeqAccess<'de>>(self, mut access: A) -> Result<Branch, A::Error> {
                while access.next_element::<de::IgnoredAny>()?.is_some() {}
                Ok(Branch::List)
            }

            fn visit_map<A: de::MapAccess<'de>>(self, mut access: A) -> Result<Branch, A::Error> {
                let mut section = BTreeMap::new();
                while let Some((key, value)) = access.next_entry()? {
                    section.insert(key, value);
                }
                Ok(Branch::Section(section))
            }
        }

        deserializer.deserialize_any(BranchVisitor)
    }
}
