//! What a plugin is called: type, name and version, written `collector:psutil:14`.

use std::fmt;

/// Longest name of a plugin, in bytes.
const NAME_BYTES: usize = 128;

/// What a plugin does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    /// Makes metrics.
    Collector,
    /// Changes metrics.
    Processor,
    /// Takes metrics elsewhere.
    Publisher,
    /// Makes metrics when it likes.
    StreamCollector,
}

impl Kind {
    /// The kind as text.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Collector => "collector",
            Self::Processor => "processor",
            Self::Publisher => "publisher",
            Self::StreamCollector => "streaming-collector",
        }
    }

    /// Does it have metrics of its own?
    pub(crate) fn collects(self) -> bool {
        matches!(self, Self::Collector | Self::StreamCollector)
    }

    /// The kind of this name.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        [Self::Collector, Self::Processor, Self::Publisher, Self::StreamCollector]
            .into_iter()
            .find(|kind| kind.as_str() == text)
    }
}

/// One version of a plugin. The order is by kind, name and version.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Identity {
    pub(crate) kind: Kind,
    // INVARIANT: lower case, as `name` makes it.
    pub(crate) name: String,
    // INVARIANT: at least 1.
    pub(crate) version: i64,
}

impl Identity {
    /// The identity a plugin gives itself, if it is one.
    pub(crate) fn new(kind: Kind, raw_name: &str, version: i64) -> Result<Self, IdentityError> {
        if version < 1 {
            return Err(IdentityError::Version(version.to_string()));
        }
        Ok(Self { kind, name: name(raw_name)?, version })
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.kind.as_str(), self.name, self.version)
    }
}

/// A plugin as a person names it, with or without its version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Wanted {
    pub(crate) kind: Kind,
    pub(crate) name: String,
    /// Absent: the newest.
    pub(crate) version: Option<i64>,
}

impl Wanted {
    /// Reads `TYPE:NAME` or `TYPE:NAME:VERSION`.
    pub(crate) fn parse(text: &str) -> Result<Self, IdentityError> {
        let form = || IdentityError::Form(text.to_owned());
        let (kind, rest) = text.split_once(':').ok_or_else(form)?;
        let kind = Kind::parse(kind).ok_or_else(|| IdentityError::Kind(kind.to_owned()))?;
        Self::of(kind, rest)
    }

    /// Reads `NAME` or `NAME:VERSION` of a plugin whose kind is known.
    pub(crate) fn of(kind: Kind, text: &str) -> Result<Self, IdentityError> {
        let (raw, version) = match text.split_once(':') {
            Some((raw, version)) => (raw, Some(version)),
            None => (text, None),
        };
        let version = version.map(parse_version).transpose()?;
        Ok(Self { kind, name: name(raw)?, version })
    }

    /// This one and no other.
    pub(crate) fn exactly(plugin: &Identity) -> Self {
        let Identity { kind, name, version } = plugin.clone();
        Self { kind, name, version: Some(version) }
    }

    /// Is this one meant?
    pub(crate) fn is(&self, identity: &Identity) -> bool {
        self.kind == identity.kind
            && self.name == identity.name
            && self.version.is_none_or(|version| version == identity.version)
    }
}

impl fmt::Display for Wanted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.kind.as_str(), self.name)?;
        self.version.map_or(Ok(()), |version| write!(f, ":{version}"))
    }
}

/// Why a text names no plugin. The mistake is the user's, or of the plugin that calls itself so.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum IdentityError {
    /// There is no type.
    #[error("`{0}` names no plugin, write it as `TYPE:NAME:VERSION`")]
    Form(String),
    /// There is no such type.
    #[error(
        "`{0}` is not a type of plugin, they are `collector`, `streaming-collector`, `processor` \
         and `publisher`"
    )]
    Kind(String),
    /// The name is empty, too long, or holds what a name cannot hold.
    #[error("`{0}` cannot be the name of a plugin")]
    Name(String),
    /// The version is not a number from 1.
    #[error("`{0}` is not a version of a plugin, they are whole numbers from 1")]
    Version(String),
}

fn name(raw: &str) -> Result<String, IdentityError> {
    let fits = |c: char| !c.is_control() && !c.is_whitespace() && !matches!(c, ':' | '/');
    if raw.is_empty() || raw.len() > NAME_BYTES || !raw.chars().all(fits) {
        return Err(IdentityError::Name(raw.chars().take(NAME_BYTES).collect()));
    }
    Ok(raw.to_lowercase())
}

fn parse_version(text: &str) -> Result<i64, IdentityError> {
    text.parse()
        .ok()
        .filter(|version| *version >= 1)
        .ok_or_else(|| IdentityError::Version(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: Result<&str, &str>) {
        let found = Wanted::parse(text).map(|wanted| wanted.to_string());
        let found = found.map_err(|error| error.to_string());
        assert_eq!(found.as_deref().map_err(String::as_str), expected);
    }

    #[test]
    fn a_plugin_is_named_with_or_without_its_version() {
        check("collector:psutil:14", Ok("collector:psutil:14"));
        check("publisher:InfluxDB", Ok("publisher:influxdb"));
        check("psutil", Err("`psutil` names no plugin, write it as `TYPE:NAME:VERSION`"));
        check("streaming-collector:rand", Ok("streaming-collector:rand"));
        let kind = "`reader` is not a type of plugin, they are `collector`, \
                    `streaming-collector`, `processor` and `publisher`";
        check("reader:psutil", Err(kind));
        check("collector::1", Err("`` cannot be the name of a plugin"));
        for version in ["", "0", "-1", "new", "1:2"] {
            let message =
                format!("`{version}` is not a version of a plugin, they are whole numbers from 1");
            check(&format!("collector:psutil:{version}"), Err(&message));
        }
    }

    #[test]
    fn without_a_version_any_is_meant() {
        let fourteen = Identity::new(Kind::Collector, "psutil", 14).unwrap();
        let is = |text| Wanted::parse(text).unwrap().is(&fourteen);
        assert!(is("collector:psutil") && is("collector:PSUTIL:14"));
        assert!(!is("collector:psutil:13") && !is("publisher:psutil") && !is("collector:smart"));
    }
}
