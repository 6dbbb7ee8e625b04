//! Values that differ from node to node in a configuration that is the same on all: `{{fact}}` and
//! `${secret:NAME}`, resolved on the node that uses them, right before it does.
//!
//! A text that is nothing but one `{{fact}}` takes the type of the fact. `{{{{` stands for `{{`, and
//! `$${secret:` for `${secret:`. Secrets are files of `secrets.dir`, or credentials of systemd.
//!
//! Invariant: the text of a secret is in what is resolved, and in the calls that carry it to a
//! plugin; it is wiped when what is resolved is dropped, never shown by Debug, and taken out of what plugins
//! say about it.

use std::{
    fmt, io,
    io::Read,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use tribe::{Facts, Value};
use zeroize::{Zeroize, Zeroizing};

use crate::plugin::{Config, ConfigValue};

/// Largest secret, in bytes.
const SECRET_BYTES: u64 = 64 * 1024;
/// Longest name of a secret, in bytes.
const NAME_BYTES: usize = 128;
/// Longest path of a fact, in bytes.
const PATH_BYTES: usize = 1024;
/// What a secret begins with in a text.
const SECRET: &str = "${secret:";
/// What stands in its place where people look.
pub(crate) const HIDDEN: &str = "***";
/// Parts of the names of keys whose values are not for everyone.
const PRIVATE: [&str; 6] = ["password", "passwd", "secret", "token", "apikey", "credential"];

/// What values come from. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Values(Arc<Sources>);

struct Sources {
    facts: Box<dyn Fn() -> Arc<Facts> + Send + Sync>,
    dirs: Vec<SecretDir>,
}

/// A directory of secrets.
#[derive(Debug, Clone)]
struct SecretDir {
    path: PathBuf,
    /// Whether we have to look who else can read a file; systemd has looked already.
    checked: bool,
}

/// A configuration with all values in it. May hold secrets, so it is wiped.
pub(crate) struct Resolved {
    pub(crate) config: Config,
    secrets: Secrets,
}

/// The texts of secrets that were used.
#[derive(Clone, Default)]
pub(crate) struct Secrets(Vec<Arc<Zeroizing<String>>>);

/// Why a value cannot be resolved. The mistake is the user's, or of whoever set up the node.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum ValueError {
    /// A brace is not closed, or holds nothing that could be a name.
    #[error("{0}")]
    Form(#[from] FormError),
    /// This node does not know that about itself.
    #[error("this node has no fact `{0}`")]
    UnknownFact(String),
    /// It cannot be part of a text.
    #[error("fact `{0}` is {1}, name one of its values")]
    Shape(String, &'static str),
    /// There is nowhere to look.
    #[error("this node has no secret `{0}`: it has no directory of secrets, set `secrets.dir`")]
    NoSecrets(String),
    /// It is not there.
    #[error("this node has no secret `{name}` in `{}`", dir.display())]
    UnknownSecret {
        /// The secret.
        name: String,
        /// Where it was looked for last.
        dir: PathBuf,
    },
    /// It is there, and is no good.
    #[error("secret `{name}`: {reason}")]
    BadSecret {
        /// The secret.
        name: String,
        /// What is wrong.
        reason: String,
    },
}

/// A value of a configuration that cannot be resolved.
#[derive(Debug, thiserror::Error)]
#[error("`{key}`: {error}")]
pub(crate) struct ResolveError {
    /// The key.
    pub(crate) key: String,
    /// What is wrong.
    pub(crate) error: ValueError,
}

/// Why a text cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum FormError {
    /// A fact is not closed.
    #[error("`{{{{` without `}}}}`, write `{{{{{{{{` for two braces")]
    OpenFact,
    /// A secret is not closed.
    #[error("`${{secret:` without `}}`, write `$${{secret:` for the text itself")]
    OpenSecret,
    /// A fact cannot have this name.
    #[error("`{0}` cannot be the name of a fact")]
    Fact(String),
    /// A secret cannot have this name.
    #[error("`{0}` cannot be the name of a secret, use letters, digits, `.`, `_` and `-`")]
    Secret(String),
}

/// A part of a text.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Part<'a> {
    Literal(&'a str),
    Fact(&'a str),
    Secret(&'a str),
}

/// Can this text be resolved on some node?
pub(crate) fn check(text: &str) -> Result<(), FormError> {
    parts(text).map(drop)
}

/// A configuration for eyes: literal passwords are hidden, and what is resolved later stays as written.
pub(crate) fn redact(config: &Config) -> Config {
    let shown = |(key, value): (&String, &ConfigValue)| {
        let written = matches!(value, ConfigValue::Text(text) if names_secrets_only(text));
        let value = match is_private(key) && !written {
            true => ConfigValue::Text(HIDDEN.to_owned()),
            false => value.clone(),
        };
        (key.clone(), value)
    };
    config.iter().map(shown).collect()
}

/// Is the value of a key of this name not for everyone?
pub(crate) fn is_private(key: &str) -> bool {
    let plain: String = key.chars().filter(char::is_ascii_alphanumeric).collect();
    let plain = plain.to_ascii_lowercase();
    let word = key.to_ascii_lowercase();
    let key_word = word.split(|c: char| !c.is_ascii_alphanumeric()).any(|word| word == "key");
    key_word || PRIVATE.iter().any(|part| plain.contains(part))
}

/// Is nothing in this text that has to be hidden?
fn names_secrets_only(text: &str) -> bool {
    let open = |part: &Part<'_>| matches!(part, Part::Secret(_) | Part::Fact(_));
    text.is_empty() || parts(text).is_ok_and(|parts| parts.iter().all(open))
}

impl Values {
    /// Values from these facts, asked for each time, and from secrets in a directory or, before that,
    /// among the credentials that systemd gave.
    pub(crate) fn new(
        facts: impl Fn() -> Arc<Facts> + Send + Sync + 'static,
        dir: Option<PathBuf>,
        credentials: Option<PathBuf>,
    ) -> Self {
        let credentials = credentials.map(|path| SecretDir { path, checked: false });
        let dir = dir.map(|path| SecretDir { path, checked: true });
        let dirs = credentials.into_iter().chain(dir).collect();
        Self(Arc::new(Sources { facts: Box::new(facts), dirs }))
    }

    /// A configuration as this node uses it.
    pub(crate) fn resolve(&self, config: &Config) -> Result<Resolved, ResolveError> {
        let mut resolved = Resolved { config: Config::new(), secrets: Secrets::default() };
        let mut facts = None;
        for (key, value) in config {
            let value = match value {
                ConfigValue::Text(text) if is_open(text) => self
                    .value(text, &mut facts, &mut resolved.secrets)
                    .map_err(|error| ResolveError { key: key.clone(), error })?,
                other => other.clone(),
            };
            resolved.config.insert(key.clone(), value);
        }
        Ok(resolved)
    }

    fn value(
        &self,
        text: &str,
        facts: &mut Option<Arc<Facts>>,
        secrets: &mut Secrets,
    ) -> Result<ConfigValue, ValueError> {
        let parts = parts(text)?;
        let facts = facts.get_or_insert_with(|| (self.0.facts)());
        if let [Part::Fact(path)] = parts.as_slice() {
            return scalar(path, fact(facts, path)?);
        }
        let mut whole = Zeroizing::new(String::new());
        for part in parts {
            match part {
                Part::Literal(literal) => whole.push_str(literal),
                Part::Fact(path) => match scalar(path, fact(facts, path)?)? {
                    ConfigValue::Bool(value) => whole.push_str(&value.to_string()),
                    ConfigValue::Int(value) => whole.push_str(&value.to_string()),
                    ConfigValue::Float(value) => whole.push_str(&value.to_string()),
                    ConfigValue::Text(value) => whole.push_str(&value),
                },
                Part::Secret(name) => {
                    let secret = Arc::new(self.secret(name)?);
                    whole.push_str(&secret);
                    secrets.0.push(secret);
                }
            }
        }
        Ok(ConfigValue::Text(std::mem::take(&mut whole)))
    }

    fn secret(&self, name: &str) -> Result<Zeroizing<String>, ValueError> {
        let mut last = None;
        for dir in &self.0.dirs {
            match read_secret(dir, name) {
                Ok(secret) => return Ok(secret),
                Err(error) if error.kind() == io::ErrorKind::NotFound => last = Some(&dir.path),
                Err(error) => {
                    let (name, reason) = (name.to_owned(), error.to_string());
                    return Err(ValueError::BadSecret { name, reason });
                }
            }
        }
        let name = name.to_owned();
        Err(match last {
            Some(dir) => ValueError::UnknownSecret { name, dir: dir.clone() },
            None => ValueError::NoSecrets(name),
        })
    }
}

fn read_secret(dir: &SecretDir, name: &str) -> io::Result<Zeroizing<String>> {
    let file = std::fs::File::open(dir.path.join(name))?;
    let about = file.metadata()?;
    if !about.is_file() {
        return Err(io::Error::other("it is not a file"));
    }
    let mode = about.mode() & 0o7777;
    if dir.checked && mode & 0o077 != 0 {
        let path = dir.path.join(name);
        let message = format!("its mode is {mode:04o}, run `chmod 600 {}`", Path::display(&path));
        return Err(io::Error::other(message));
    }
    let mut text = Zeroizing::new(String::new());
    // Room for all of it: a text that grows leaves copies behind.
    text.reserve(usize::try_from(about.len().min(SECRET_BYTES)).unwrap_or_default() + 1);
    file.take(SECRET_BYTES + 1).read_to_string(&mut text)?;
    if text.len() as u64 > SECRET_BYTES {
        return Err(io::Error::other(format!("it has more than {SECRET_BYTES} bytes")));
    }
    let end = text.strip_suffix('\n').map(|text| text.strip_suffix('\r').unwrap_or(text).len());
    if let Some(end) = end {
        text.truncate(end);
    }
    if text.is_empty() {
        return Err(io::Error::other("it is empty"));
    }
    Ok(text)
}

/// A fact by its path.
fn fact<'a>(facts: &'a Facts, path: &str) -> Result<&'a Value, ValueError> {
    let unknown = || ValueError::UnknownFact(path.to_owned());
    let elements = path_elements(path).ok_or_else(unknown)?;
    let (first, rest) = elements.split_first().ok_or_else(unknown)?;
    let mut value = &facts.get(first).ok_or_else(unknown)?.value;
    for &element in rest {
        value = match value {
            Value::Map(map) => map.get(element).ok_or_else(unknown)?,
            Value::List(list) => {
                let index: usize = element.parse().map_err(|_| unknown())?;
                list.get(index).ok_or_else(unknown)?
            }
            _ => return Err(unknown()),
        };
    }
    Ok(value)
}

fn scalar(path: &str, value: &Value) -> Result<ConfigValue, ValueError> {
    Ok(match value {
        Value::Bool(value) => ConfigValue::Bool(value.value),
        Value::Int(value) => ConfigValue::Int(*value),
        Value::Float(value) => ConfigValue::Float(*value),
        Value::Text(value) => ConfigValue::Text(value.to_string()),
        Value::Ip(value) => ConfigValue::Text(value.to_string()),
        Value::Net(value) => ConfigValue::Text(value.to_string()),
        Value::List(_) => return Err(ValueError::Shape(path.to_owned(), "a list")),
        Value::Map(_) => return Err(ValueError::Shape(path.to_owned(), "a map")),
    })
}

/// Is there anything to resolve, or an escape?
fn is_open(text: &str) -> bool {
    text.contains("{{") || text.contains(SECRET)
}

fn parts(text: &str) -> Result<Vec<Part<'_>>, FormError> {
    let mut parts = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let next = ["{{", SECRET].into_iter().filter_map(|mark| rest.find(mark)).min();
        let Some(at) = next else {
            parts.push(Part::Literal(rest));
            break;
        };
        let (before, from) = rest.split_at_checked(at).unwrap_or((rest, ""));
        if let Some(inside) = from.strip_prefix(SECRET) {
            if let Some(before) = before.strip_suffix('$') {
                // Without the dollar that says: no secret.
                parts.push(Part::Literal(before));
                parts.push(Part::Literal(SECRET));
                rest = inside;
                continue;
            }
            let (name, after) = inside.split_once('}').ok_or(FormError::OpenSecret)?;
            if !is_secret_name(name) {
                return Err(FormError::Secret(name.chars().take(NAME_BYTES).collect()));
            }
            parts.extend([Part::Literal(before), Part::Secret(name)]);
            rest = after;
        } else if let Some(after) = from.strip_prefix("{{{{") {
            parts.extend([Part::Literal(before), Part::Literal("{{")]);
            rest = after;
        } else {
            let inside = from.strip_prefix("{{").unwrap_or_default();
            let (name, after) = inside.split_once("}}").ok_or(FormError::OpenFact)?;
            let path = name.trim();
            if !is_fact_path(path) {
                return Err(FormError::Fact(path.chars().take(NAME_BYTES).collect()));
            }
            parts.extend([Part::Literal(before), Part::Fact(path)]);
            rest = after;
        }
    }
    parts.retain(|part| *part != Part::Literal(""));
    Ok(parts)
}

fn is_secret_name(name: &str) -> bool {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    !name.is_empty() && name.len() <= NAME_BYTES && !name.starts_with('.') && name.chars().all(fits)
}

fn is_fact_path(path: &str) -> bool {
    path.len() <= PATH_BYTES && path_elements(path).is_some()
}

/// The elements of `a.b["c.d"]`.
fn path_elements(path: &str) -> Option<Vec<&str>> {
    let fits = |c: char| {
        !c.is_whitespace() && !c.is_control() && !matches!(c, '{' | '}' | '"' | '[' | ']')
    };
    let mut elements = Vec::new();
    let mut rest = path;
    loop {
        let (element, after) = match rest.strip_prefix("[\"") {
            Some(inside) if !elements.is_empty() => inside.split_once("\"]")?,
            _ => rest.split_at_checked(rest.find(['.', '[']).unwrap_or(rest.len()))?,
        };
        let quoted = rest.starts_with('[');
        if element.is_empty() || !(quoted || element.chars().all(fits)) {
            return None;
        }
        elements.push(element);
        rest = match after.strip_prefix('.') {
            Some(after) if !after.starts_with('[') => after,
            None if after.is_empty() => return Some(elements),
            None if after.starts_with('[') => after,
            _ => return None,
        };
    }
}

impl Resolved {
    /// The secrets in it.
    pub(crate) fn secrets(&self) -> &Secrets {
        &self.secrets
    }
}

impl Drop for Resolved {
    fn drop(&mut self) {
        if self.secrets.0.is_empty() {
            return;
        }
        for value in self.config.values_mut() {
            if let ConfigValue::Text(text) = value {
                text.zeroize();
            }
        }
    }
}

impl fmt::Debug for Resolved {
    /// Without the values.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Resolved").field("keys", &self.config.keys()).finish_non_exhaustive()
    }
}

impl Secrets {
    /// A text without the secrets.
    pub(crate) fn hide(&self, text: String) -> String {
        let hide = |text: String, secret: &Arc<Zeroizing<String>>| {
            if text.contains(secret.as_str()) {
                text.replace(secret.as_str(), HIDDEN)
            } else {
                text
            }
        };
        self.0.iter().fold(text, hide)
    }

    /// Also those.
    pub(crate) fn join(&mut self, other: &Self) {
        self.0.extend(other.0.iter().cloned());
    }
}

impl fmt::Debug for Secrets {
    /// Only how many.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} secrets", self.0.len())
    }
}

impl fmt::Debug for Values {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Values").field("dirs", &self.0.dirs).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use tribe::{FactName, Source};

    use super::*;

    fn facts() -> Arc<Facts> {
        let mut facts = Facts::new();
        let mut add = |name: &str, json: serde_json::Value| {
            let value = Value::from_json(&json).unwrap();
            facts.insert(FactName::parse(name).unwrap(), value, Source::Host);
        };
        add("hostname", "i1".into());
        add("memtotal", 1024.into());
        add("load", 0.5.into());
        add("ssd", true.into());
        add(
            "net",
            serde_json::json!({ "eth0": { "address": "10.0.0.1" }, "list": ["a", "b"], "eth0.1": 7 }),
        );
        Arc::new(facts)
    }

    fn text(text: &str) -> ConfigValue {
        ConfigValue::Text(text.to_owned())
    }

    fn write(dir: &Path, name: &str, content: &str, mode: u32) {
        let path = dir.join(name);
        std::fs::write(&path, content).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
    }

    fn check(values: &Values, written: &str, expected: Result<ConfigValue, &str>) {
        let config = Config::from([("k".to_owned(), text(written))]);
        let found = values.resolve(&config).map(|resolved| resolved.config["k"].clone());
        assert_eq!(found.map_err(|error| error.to_string()), expected.map_err(str::to_owned));
    }

    #[test]
    fn facts_are_put_in_their_place_and_keep_their_type_alone() {
        let values = Values::new(facts, None, None);
        check(&values, "{{hostname}}", Ok(text("i1")));
        check(&values, "{{ memtotal }}", Ok(ConfigValue::Int(1024)));
        check(&values, "{{load}}", Ok(ConfigValue::Float(0.5)));
        check(&values, "{{ssd}}", Ok(ConfigValue::Bool(true)));
        check(&values, "/var/{{hostname}}-{{memtotal}}.log", Ok(text("/var/i1-1024.log")));
        check(&values, "{{net.eth0.address}}", Ok(text("10.0.0.1")));
        check(&values, "{{net.list.1}}", Ok(text("b")));
        check(&values, r#"{{net["eth0.1"]}}"#, Ok(ConfigValue::Int(7)));
        check(&values, r#"x{{net["eth0"].address}}"#, Ok(text("x10.0.0.1")));
        check(&values, "a {{{{hostname}} $$ }} {", Ok(text("a {{hostname}} $$ }} {")));
        check(&values, "{{disk}}", Err("`k`: this node has no fact `disk`"));
        check(&values, "{{net.eth1}}", Err("`k`: this node has no fact `net.eth1`"));
        check(
            &values,
            "{{net.list}}",
            Err("`k`: fact `net.list` is a list, name one of its values"),
        );
    }

    #[test]
    fn secrets_are_files_that_nobody_else_can_read() {
        let dir = tempfile::tempdir().unwrap();
        write(dir.path(), "db", "hunter2\n", 0o600);
        write(dir.path(), "open", "x", 0o644);
        write(dir.path(), "empty", "\n", 0o600);
        let values = Values::new(facts, Some(dir.path().to_owned()), None);
        check(&values, "${secret:db}", Ok(text("hunter2")));
        check(&values, "u:${secret:db}@{{hostname}}", Ok(text("u:hunter2@i1")));
        check(&values, "$${secret:db} ${HOME}", Ok(text("${secret:db} ${HOME}")));
        let place = dir.path().display();
        check(
            &values,
            "${secret:no}",
            Err(&format!("`k`: this node has no secret `no` in `{place}`")),
        );
        let mode = format!("`k`: secret `open`: its mode is 0644, run `chmod 600 {place}/open`");
        check(&values, "${secret:open}", Err(&mode));
        check(&values, "${secret:empty}", Err("`k`: secret `empty`: it is empty"));
        let none = Values::new(facts, None, None);
        let nowhere =
            "`k`: this node has no secret `db`: it has no directory of secrets, set `secrets.dir`";
        check(&none, "${secret:db}", Err(nowhere));
    }

    #[test]
    fn credentials_of_systemd_come_first() {
        let (dir, credentials) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        write(dir.path(), "db", "file", 0o600);
        write(dir.path(), "other", "other", 0o600);
        write(credentials.path(), "db", "credential", 0o440);
        let values =
            Values::new(facts, Some(dir.path().to_owned()), Some(credentials.path().to_owned()));
        check(&values, "${secret:db}", Ok(text("credential")));
        check(&values, "${secret:other}", Ok(text("other")));
    }

    #[test]
    fn what_cannot_be_read_is_refused() {
        let check = |text: &str, expected: Result<(), FormError>| {
            assert_eq!(super::check(text), expected, "{text}");
        };
        check("{{a", Err(FormError::OpenFact));
        check("${secret:a", Err(FormError::OpenSecret));
        check("{{}}", Err(FormError::Fact(String::new())));
        check("{{a b}}", Err(FormError::Fact("a b".into())));
        for path in [".", "a.", ".a", "a..b", "a[b]", "a[\"b\"", "a[\"\"]", "[\"a\"]", "a.[\"b\"]"]
        {
            check(&format!("{{{{{path}}}}}"), Err(FormError::Fact(path.into())));
        }
        check("${secret:../x}", Err(FormError::Secret("../x".into())));
        check("${secret:}", Err(FormError::Secret(String::new())));
        check("${other} $x { } }}", Ok(()));
        assert_eq!(
            FormError::OpenFact.to_string(),
            "`{{` without `}}`, write `{{{{` for two braces"
        );
        let secret = "`${secret:` without `}`, write `$${secret:` for the text itself";
        assert_eq!(FormError::OpenSecret.to_string(), secret);
    }

    #[test]
    fn a_secret_is_not_shown() {
        let dir = tempfile::tempdir().unwrap();
        write(dir.path(), "db", "hunter2", 0o600);
        let values = Values::new(facts, Some(dir.path().to_owned()), None);
        let config = Config::from([("password".to_owned(), text("${secret:db}"))]);
        let resolved = values.resolve(&config).unwrap();
        assert!(!format!("{resolved:?} {:?}", resolved.secrets()).contains("hunter2"));
        let said = "cannot log in with hunter2".to_owned();
        assert_eq!(resolved.secrets().hide(said), "cannot log in with ***");
    }

    #[test]
    fn literal_passwords_are_hidden_and_names_of_secrets_are_not() {
        let config = Config::from([
            ("api-key".to_owned(), text("k")),
            ("host".to_owned(), text("h")),
            ("keyspace".to_owned(), text("ks")),
            ("password".to_owned(), text("${secret:db}")),
            ("pin_secret".to_owned(), ConfigValue::Int(7)),
            ("token".to_owned(), text("t${secret:db}")),
        ]);
        let shown = redact(&config);
        let expect = |key: &str, expected: &str| assert_eq!(shown[key], text(expected), "{key}");
        expect("api-key", HIDDEN);
        expect("host", "h");
        expect("keyspace", "ks");
        expect("password", "${secret:db}");
        expect("pin_secret", HIDDEN);
        expect("token", HIDDEN);
    }
}
