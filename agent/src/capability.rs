//! What this node lets tribes do here: limits in its own configuration, which no tribe can override.
//!
//! Whoever holds the key of a cluster can write any record. These limits are guard rails against
//! mistakes; they are no authentication. Invariant: what is not allowed is refused.

use std::{fmt, ops::RangeInclusive};

use tribe::TribeName;
use wildmatch::WildMatch;

/// How many batches of other nodes may be worked on at a time.
pub(crate) const SERVE_CONCURRENCY: RangeInclusive<usize> = 1..=10_000;

/// What tribes may do on this node. By default nothing.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Capabilities {
    /// Tribes whose plugins and tasks run here.
    pub(crate) load_from_tribes: Patterns,
    /// Plugins that may be loaded for a tribe: names, as the tribe and as the plugin itself has it.
    pub(crate) plugins: Patterns,
    /// Tribes whose members may call the plugins of this node.
    pub(crate) serve_to: Patterns,
    /// The plugins that they may call: those with other names are not offered. By default all.
    pub(crate) serve_plugins: Patterns,
    /// How many batches of other nodes are worked on at a time.
    pub(crate) serve_concurrency: usize,
}

/// Names with `*` for any characters and `?` for one.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Patterns(Vec<WildMatch>);

/// Why something is not done here. The operator of this node said so.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum Refusal {
    /// Nothing of this tribe runs here.
    #[error(
        "not allowed here: `capabilities.load_from_tribes` of this node does not name tribe `{0}`"
    )]
    Tribe(TribeName),
    /// This plugin does not run here.
    #[error("not allowed here: `capabilities.plugins` of this node does not name plugin `{0}`")]
    Plugin(String),
}

impl Default for Capabilities {
    fn default() -> Self {
        let none = Patterns::default();
        Self {
            load_from_tribes: none.clone(),
            plugins: none.clone(),
            serve_to: none,
            serve_plugins: Patterns::new(["*"]),
            serve_concurrency: 64,
        }
    }
}

impl Capabilities {
    /// May what this tribe has run here?
    ///
    /// # Errors
    /// [`Refusal::Tribe`].
    pub(crate) fn check_tribe(&self, tribe: &TribeName) -> Result<(), Refusal> {
        if self.load_from_tribes.name(tribe.as_str()) {
            return Ok(());
        }
        Err(Refusal::Tribe(tribe.clone()))
    }

    /// May a plugin of this name be loaded for a tribe?
    ///
    /// # Errors
    /// [`Refusal::Plugin`].
    pub(crate) fn check_plugin(&self, name: &str) -> Result<(), Refusal> {
        if self.plugins.name(name) { Ok(()) } else { Err(Refusal::Plugin(name.to_owned())) }
    }
}

impl Patterns {
    pub(crate) fn new<'a>(patterns: impl IntoIterator<Item = &'a str>) -> Self {
        Self(patterns.into_iter().map(WildMatch::new).collect())
    }

    /// Does one of them name this?
    pub(crate) fn name(&self, name: &str) -> bool {
        self.0.iter().any(|pattern| pattern.matches(name))
    }

    /// Is there none?
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Display for Patterns {
    /// As in the configuration file.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let texts: Vec<_> = self.0.iter().map(|pattern| format!("\"{pattern}\"")).collect();
        write!(f, "[{}]", texts.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tribe(name: &str) -> TribeName {
        TribeName::parse(name).unwrap()
    }

    #[test]
    fn by_default_nothing_is_allowed() {
        let none = Capabilities::default();
        assert_eq!(none.check_tribe(&tribe("core")), Err(Refusal::Tribe(tribe("core"))));
        assert_eq!(none.check_plugin("psutil"), Err(Refusal::Plugin("psutil".into())));
        assert!(none.serve_to.is_empty());
    }

    #[test]
    fn what_is_named_is_allowed() {
        let some = Capabilities {
            load_from_tribes: Patterns::new(["core", "rack-*"]),
            plugins: Patterns::new(["psutil", "influx*"]),
            ..Capabilities::default()
        };
        for name in ["core", "rack-7"] {
            assert_eq!(some.check_tribe(&tribe(name)), Ok(()));
        }
        assert!(some.check_tribe(&tribe("corex")).is_err());
        assert_eq!(some.check_plugin("influxdb"), Ok(()));
        assert!(some.check_plugin("smart").is_err());
        let all = Capabilities { plugins: Patterns::new(["*"]), ..Capabilities::default() };
        assert_eq!(all.check_plugin("smart"), Ok(()));
    }

    #[test]
    fn patterns_print_as_they_are_configured() {
        assert_eq!(Patterns::new(["core", "rack-*"]).to_string(), r#"["core", "rack-*"]"#);
    }
}
