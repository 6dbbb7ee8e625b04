//! Values that differ from node to node in a configuration that is the same on all: `{{fact}}` and
//! `${secret:NAME}`, resolved on the node that uses them, right before it does.
//!
//! A text that is nothing but one `{{fact}}` takes the type of the fact. `{{{{` stands for `{{`, and
//! `$${secret:` for `${secret:`. Secrets are files of `secrets.dir`, or credentials of systemd.
//!
//! Invariant: the text of a secret is in what is resolved, and in the calls that carry it to a
//! plugin; it is wiped when what is resolved is dropped, never shown by Debug, and taken out of what plugins
//! say about it.

mod secret;
mod text;

use std::{fmt, io, path::PathBuf, sync::Arc};

use tribe::{Facts, Value};
use zeroize::{Zeroize, Zeroizing};

use self::{
    secret::SecretDir,
    text::{Part, is_open, parts, path_elements},
};
pub(crate) use self::{
    secret::{Secrets, read_private},
    text::{FormError, check},
};
use crate::plugin::{Config, ConfigValue};

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

/// A configuration with all values in it. May hold secrets, so it is wiped.
pub(crate) struct Resolved {
    pub(crate) config: Config,
    secrets: Secrets,
}

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
            match secret::read(dir, name) {
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

impl fmt::Debug for Values {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Values").field("dirs", &self.0.dirs).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
