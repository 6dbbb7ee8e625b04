//! The configuration file as a layer: YAML that says where it stands.
//!
//! Invariant: no message repeats a line of the file, for the line may hold the key.

use std::{
    collections::BTreeMap,
    fmt, io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    str::Utf8Error,
};

use serde::{Deserialize, Deserializer, de};
use serde_saphyr::{Location, Spanned};
use tribe::Value;
use zeroize::Zeroizing;

use super::{
    ApiLayer, Given, KeyFrom, Layer, Origin, Problems, RawFact, left_out, mistake,
    plugin_section::{PluginSection, Tags},
    task_settings::TaskLayer,
};

/// Reads the configuration file. What is wrong goes to the problems.
pub(super) fn read(path: &Path, problems: &mut Problems) -> io::Result<Layer> {
    let bytes = Zeroizing::new(std::fs::read(path)?);
    let text = std::str::from_utf8(&bytes).map_err(|error| not_text(&bytes, error))?;
    let mode = std::fs::metadata(path)?.mode();
    Ok(parse(path, text, mode, problems))
}

/// Where a file is no text, and what to do.
fn not_text(bytes: &[u8], error: Utf8Error) -> io::Error {
    let before = bytes.iter().take(error.valid_up_to());
    let line = 1 + before.filter(|byte| **byte == b'\n').count();
    let message = format!("line {line} is not UTF-8, save the file in this encoding");
    io::Error::new(io::ErrorKind::InvalidData, message)
}

/// Reads the text of a file with this mode.
pub(super) fn parse(path: &Path, text: &str, mode: u32, problems: &mut Problems) -> Layer {
    let (file, rest) = parse_file(path, text, problems);
    let layer = Reader { path, text: &rest }.layer(file, problems);
    check_mode(&layer, mode, problems);
    layer
}

/// The parser stops at the first mistake: it goes on without the entry that has it, for more of
/// them, as long as it is clear where the entry ends. What is left, and the text it is of.
fn parse_file(path: &Path, text: &str, problems: &mut Problems) -> (File, Zeroizing<String>) {
    let mut rest = Zeroizing::new(text.to_owned());
    loop {
        let options = serde_saphyr::options! { with_snippet: false };
        let parsed = match blank(&rest) {
            true => Ok(None),
            false => serde_saphyr::from_str_with_options(&rest, options),
        };
        let error = match parsed {
            Ok(file) => return (Option::unwrap_or_default(file), rest),
            Err(error) => error,
        };
        problems.leave_out(mistake::problem(path, &rest, &error));
        match left_out::rest(&rest, &error) {
            Some(shorter) => rest = shorter,
            None => return (File::default(), rest),
        }
    }
}

/// The top of the file.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    log_level: Option<Spanned<String>>,
    log_format: Option<Spanned<String>>,
    socket: Option<Spanned<PathBuf>>,
    api: Option<ApiSection>,
    data_dir: Option<Spanned<PathBuf>>,
    auto_discover_path: Option<Spanned<String>>,
    plugins: Option<PluginSection>,
    spool: Option<SpoolSection>,
    secrets: Option<SecretsSection>,
    tags: Option<Tags>,
    capabilities: Option<CapabilitySection>,
    tribe: Option<TribeSection>,
}

/// The section `api`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct ApiSection {
    listen: Option<Spanned<String>>,
    tls_cert: Option<Spanned<PathBuf>>,
    tls_key: Option<Spanned<PathBuf>>,
    password_file: Option<Spanned<PathBuf>>,
}

/// The section `capabilities`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct CapabilitySection {
    load_from_tribes: Option<RawValue>,
    plugins: Option<RawValue>,
    serve_to: Option<RawValue>,
    serve_plugins: Option<RawValue>,
    serve_concurrency: Option<Spanned<u64>>,
}

/// The section `spool`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct SpoolSection {
    size: Option<Spanned<String>>,
    dir: Option<Spanned<PathBuf>>,
}

/// The section `secrets`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct SecretsSection {
    dir: Option<Spanned<PathBuf>>,
}

/// The section `tribe`.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct TribeSection {
    enable: Option<Spanned<bool>>,
    name: Option<Spanned<String>>,
    cluster: Option<Spanned<String>>,
    bind_addr: Option<Spanned<String>>,
    bind_port: Option<Spanned<String>>,
    advertise: Option<Spanned<String>>,
    #[serde(alias = "seed")]
    seeds: Option<RawValue>,
    key_file: Option<Spanned<PathBuf>>,
    key: Option<Spanned<String>>,
    plaintext: Option<Spanned<bool>>,
    facts: Option<BTreeMap<String, RawValue>>,
    facts_dir: Option<Spanned<PathBuf>>,
    hold_down: Option<Spanned<String>>,
}

impl fmt::Debug for TribeSection {
    /// Without the key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TribeSection").finish_non_exhaustive()
    }
}

/// A value whose scalars are still text in the file: a fact remembers how it was spelled.
#[derive(Debug)]
pub(super) struct RawValue(pub(super) Spanned<Shape>);

/// The form of a YAML value.
#[derive(Debug)]
pub(super) enum Shape {
    Null,
    /// A plain scalar that YAML takes for something else than text.
    Plain,
    Text(String),
    List(Vec<RawValue>),
    Map(BTreeMap<String, RawValue>),
}

/// Turns what the parser found into a layer.
pub(super) struct Reader<'a> {
    path: &'a Path,
    text: &'a str,
}

impl Reader<'_> {
    fn layer(&self, file: File, problems: &mut Problems) -> Layer {
        let api = file.api.unwrap_or_default();
        let spool = file.spool.unwrap_or_default();
        let capabilities = file.capabilities.unwrap_or_default();
        let tags = file.tags.unwrap_or_default();
        let section = file.plugins.unwrap_or_default();
        let plugin_dir = self.given(section.dir.clone());
        let plugins = section.layer(tags, self, problems);
        let tribe = file.tribe.unwrap_or_default();
        let keys = [
            tribe.key_file.map(|key| self.map(key, KeyFrom::File)),
            tribe.key.map(|key| self.map(key, |text| KeyFrom::Text(Zeroizing::new(text)))),
            tribe.plaintext.filter(|on| on.value).map(|on| self.map(on, |_| KeyFrom::Plaintext)),
        ];
        let mut list = |key, raw| self.list(key, raw, problems);
        Layer {
            log_level: self.given(file.log_level),
            log_format: self.given(file.log_format),
            socket: self.given(file.socket),
            api: ApiLayer {
                listen: self.given(api.listen),
                tls_cert: self.given(api.tls_cert),
                tls_key: self.given(api.tls_key),
                password_file: self.given(api.password_file),
            },
            data_dir: self.given(file.data_dir),
            plugins,
            plugin_dir,
            load_from_tribes: list("load_from_tribes", capabilities.load_from_tribes),
            allowed_plugins: list("plugins", capabilities.plugins),
            serve_to: list("serve_to", capabilities.serve_to),
            serve_plugins: list("serve_plugins", capabilities.serve_plugins),
            serve_concurrency: self.given(capabilities.serve_concurrency),
            tasks: TaskLayer {
                discover: self.given(file.auto_discover_path),
                spool_size: self.given(spool.size),
                spool_dir: self.given(spool.dir),
                secrets_dir: self.given(file.secrets.unwrap_or_default().dir),
            },
            enable: self.given(tribe.enable),
            name: self.given(tribe.name),
            cluster: self.given(tribe.cluster),
            bind_addr: self.given(tribe.bind_addr),
            bind_port: self.given(tribe.bind_port),
            advertise: self.given(tribe.advertise),
            seeds: list("seeds", tribe.seeds),
            key: only_key(keys.into_iter().flatten(), problems),
            facts_dir: self.given(tribe.facts_dir),
            hold_down: self.given(tribe.hold_down),
            facts: self.facts(tribe.facts.unwrap_or_default(), problems),
        }
    }

    fn facts(
        &self,
        facts: BTreeMap<String, RawValue>,
        problems: &mut Problems,
    ) -> Vec<Given<RawFact>> {
        let mut given = Vec::new();
        for (name, raw) in facts {
            let origin = origin(self.path, raw.0.referenced);
            match self.value(raw) {
                Some(value) => given.push(Given { value: RawFact::Named(name, value), origin }),
                None => problems.add(
                    &origin,
                    format_args!("fact `{name}` is null or holds a null"),
                    Some("leave it out: a fact that is not there is no error in a policy"),
                ),
            }
        }
        given
    }

    /// A fact's value by the rules of `--fact`: what counts is how it is spelled.
    fn value(&self, raw: RawValue) -> Option<Value> {
        let RawValue(Spanned { value, defined, .. }) = raw;
        Some(match value {
            Shape::Null => return None,
            Shape::Text(text) => Value::from_text(&text),
            Shape::Plain => Value::from_text(self.spelling(defined)?),
            Shape::List(list) => {
                Value::List(list.into_iter().map(|raw| self.value(raw)).collect::<Option<_>>()?)
            }
            Shape::Map(map) => Value::Map(
                map.into_iter()
                    .map(|(key, raw)| Some((key, self.value(raw)?)))
                    .collect::<Option<_>>()?,
            ),
        })
    }

    /// A list of texts. One alone stands for a list of one, as seeds in snap.
    pub(super) fn list(
        &self,
        key: &str,
        raw: Option<RawValue>,
        problems: &mut Problems,
    ) -> Option<Given<Vec<String>>> {
        let raw = raw?;
        let origin = self.origin(raw.0.referenced);
        let texts = match raw.0.value {
            Shape::List(list) => list.into_iter().map(|raw| self.as_spelled(raw)).collect(),
            _ => self.as_spelled(raw).map(|text| vec![text]),
        };
        if texts.is_none() {
            problems.add(&origin, format_args!("`{key}` must be a list, such as `[a, b]`"), None);
            problems.partial = true;
        }
        Some(Given { value: texts?, origin })
    }

    /// A text or a number, as it is spelled.
    pub(super) fn as_spelled(&self, raw: RawValue) -> Option<String> {
        match raw.0.value {
            Shape::Text(text) => Some(text),
            Shape::Plain => self.spelling(raw.0.defined).map(str::to_owned),
            Shape::Null | Shape::List(_) | Shape::Map(_) => None,
        }
    }

    fn spelling(&self, location: Location) -> Option<&str> {
        let span = location.span();
        let start = usize::try_from(span.byte_offset()?).ok()?;
        let end = start.checked_add(usize::try_from(span.byte_len()?).ok()?)?;
        self.text.get(start..end).map(str::trim)
    }

    pub(super) fn given<T>(&self, spanned: Option<Spanned<T>>) -> Option<Given<T>> {
        spanned.map(|spanned| self.map(spanned, |value| value))
    }

    pub(super) fn map<T, U>(&self, spanned: Spanned<T>, map: impl FnOnce(T) -> U) -> Given<U> {
        Given { value: map(spanned.value), origin: self.origin(spanned.referenced) }
    }

    pub(super) fn origin(&self, location: Location) -> Origin {
        origin(self.path, location)
    }
}

fn origin(path: &Path, location: Location) -> Origin {
    Origin::File { path: path.to_owned(), line: location.line(), column: location.column() }
}

/// Is there nothing but comments?
fn blank(text: &str) -> bool {
    text.lines().map(str::trim).all(|line| line.is_empty() || line.starts_with('#'))
}

fn only_key(
    mut keys: impl Iterator<Item = Given<KeyFrom>>,
    problems: &mut Problems,
) -> Option<Given<KeyFrom>> {
    let first = keys.next()?;
    if let Some(second) = keys.next() {
        let message = "only one of `key_file`, `key` and `plaintext: true` can hold";
        problems.add(&second.origin, message, Some("leave the others out"));
    }
    Some(first)
}

/// Who can read the file could read the key.
fn check_mode(layer: &Layer, mode: u32, problems: &mut Problems) {
    let Some(Given { value: KeyFrom::Text(_), origin }) = &layer.key else { return };
    if mode & 0o006 == 0 {
        return;
    }
    let path = match origin {
        Origin::File { path, .. } => path.display().to_string(),
        _ => "FILE".to_owned(),
    };
    let message =
        format!("this file holds a key and has mode {:04o}: anyone can get at it", mode & 0o7777);
    let help =
        format!("run `chmod 600 {path}`, or keep the key in a file of its own with `key_file`");
    problems.add(origin, message, Some(&help));
}

impl<'de> Deserialize<'de> for RawValue {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Spanned::deserialize(deserializer).map(Self)
    }
}

impl<'de> Deserialize<'de> for Shape {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ShapeVisitor)
    }
}

struct ShapeVisitor;

impl<'de> de::Visitor<'de> for ShapeVisitor {
    type Value = Shape;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value, a list or a map")
    }

    fn visit_bool<E>(self, _: bool) -> Result<Shape, E> {
        Ok(Shape::Plain)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Shape, E> {
        Ok(Shape::Plain)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Shape, E> {
        Ok(Shape::Plain)
    }

    fn visit_i128<E>(self, _: i128) -> Result<Shape, E> {
        Ok(Shape::Plain)
    }

    fn visit_u128<E>(self, _: u128) -> Result<Shape, E> {
        Ok(Shape::Plain)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Shape, E> {
        Ok(Shape::Plain)
    }

    fn visit_str<E>(self, text: &str) -> Result<Shape, E> {
        Ok(Shape::Text(text.to_owned()))
    }

    fn visit_unit<E>(self) -> Result<Shape, E> {
        Ok(Shape::Null)
    }

    fn visit_none<E>(self) -> Result<Shape, E> {
        Ok(Shape::Null)
    }

    fn visit_seq<A: de::SeqAccess<'de>>(self, mut access: A) -> Result<Shape, A::Error> {
        let mut list = Vec::new();
        while let Some(value) = access.next_element()? {
            list.push(value);
        }
        Ok(Shape::List(list))
    }

    fn visit_map<A: de::MapAccess<'de>>(self, mut access: A) -> Result<Shape, A::Error> {
        let mut map = BTreeMap::new();
        while let Some((key, value)) = access.next_entry()? {
            map.insert(key, value);
        }
        Ok(Shape::Map(map))
    }
}
