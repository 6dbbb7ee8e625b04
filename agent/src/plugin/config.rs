//! What plugins are told, and the policy by which they say what they must be told.
//!
//! Plugins fill in no default of their own and are strict about types: a port that arrives as a
//! float is "not found". So the host fills the defaults and turns each value into the type of its
//! rule. A rule belongs to a prefix of namespaces; publishers and processors have the empty one.

use std::{cmp::Ordering, collections::BTreeMap};

use super::{prefix::ByPrefix, rpc};

/// What a plugin is told, by key.
pub(crate) type Config = BTreeMap<String, ConfigValue>;

/// What several plugins are told, by the name of the plugin.
pub(crate) type Configs = BTreeMap<String, Config>;

/// What plugins are told, by prefix of the namespaces of metrics. A longer prefix counts more.
pub(crate) type ConfigTree = ByPrefix<ConfigValue>;

/// One value.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum ConfigValue {
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(String),
}

/// The rules of one plugin, by prefix.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct ConfigPolicy(BTreeMap<Vec<String>, BTreeMap<String, Rule>>);

/// What one key must be.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Rule {
    pub(crate) kind: RuleKind,
    pub(crate) required: bool,
    pub(crate) default: Option<ConfigValue>,
    pub(crate) minimum: Option<ConfigValue>,
    pub(crate) maximum: Option<ConfigValue>,
}

/// The type a rule asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RuleKind {
    Bool,
    Int,
    Float,
    Text,
}

/// Why a configuration does not fit its plugin. The mistake is the user's.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum ConfigError {
    /// A required key is missing.
    #[error("it needs `{0}` in its configuration")]
    Missing(String),
    /// A value has the wrong type.
    #[error("`{key}` must be {expected}, not {}", found.describe())]
    Type {
        /// The key.
        key: String,
        /// The type its rule asks for.
        expected: &'static str,
        /// What was given.
        found: ConfigValue,
    },
    /// A number is too small or too large.
    #[error("`{key}` is {}, the {side} is {}", found.describe(), limit.describe())]
    Range {
        /// The key.
        key: String,
        /// What was given.
        found: ConfigValue,
        /// `minimum` or `maximum`.
        side: &'static str,
        /// What the rule allows.
        limit: ConfigValue,
    },
}

impl ConfigPolicy {
    /// The policy a plugin sent.
    pub(super) fn from_rpc(raw: rpc::GetConfigPolicyReply) -> Self {
        let mut policy = Self::default();
        for (joined, node) in raw.bool_policy {
            policy.add(&joined, node.key, node.rules, |rule| Rule {
                kind: RuleKind::Bool,
                required: rule.required,
                default: rule.has_default.then_some(ConfigValue::Bool(rule.default)),
                minimum: None,
                maximum: None,
            });
        }
        for (joined, node) in raw.integer_policy {
            policy.add(&joined, node.key, node.rules, |rule| Rule {
                kind: RuleKind::Int,
                required: rule.required,
                default: rule.has_default.then_some(ConfigValue::Int(rule.default)),
                minimum: rule.has_min.then_some(ConfigValue::Int(rule.minimum)),
                maximum: rule.has_max.then_some(ConfigValue::Int(rule.maximum)),
            });
        }
        for (joined, node) in raw.float_policy {
            policy.add(&joined, node.key, node.rules, |rule| Rule {
                kind: RuleKind::Float,
                required: rule.required,
                default: rule.has_default.then_some(ConfigValue::Float(rule.default)),
                minimum: rule.has_min.then_some(ConfigValue::Float(rule.minimum)),
                maximum: rule.has_max.then_some(ConfigValue::Float(rule.maximum)),
            });
        }
        for (joined, node) in raw.string_policy {
            policy.add(&joined, node.key, node.rules, |rule| Rule {
                kind: RuleKind::Text,
                required: rule.required,
                default: rule.has_default.then_some(ConfigValue::Text(rule.default)),
                minimum: None,
                maximum: None,
            });
        }
        policy
    }

    fn add<R>(
        &mut self,
        joined: &str,
        key: Vec<String>,
        rules: BTreeMap<String, R>,
        rule: impl Fn(R) -> Rule,
    ) {
        let mut prefix =
            if key.is_empty() { joined.split('.').map(String::from).collect() } else { key };
        // The root has no name, or an empty one.
        prefix.retain(|element| !element.is_empty());
        let rules = rules.into_iter().map(|(key, raw)| (key, rule(raw)));
        self.0.entry(prefix).or_default().extend(rules);
    }

    /// All rules with the prefix they belong to.
    pub(crate) fn rules(&self) -> impl Iterator<Item = (&[String], &str, &Rule)> {
        self.0.iter().flat_map(|(prefix, rules)| {
            rules.iter().map(|(key, rule)| (prefix.as_slice(), key.as_str(), rule))
        })
    }

    /// The defaults of all rules, for the question which metrics there are.
    pub(crate) fn defaults(&self) -> Config {
        self.rules()
            .filter_map(|(_, key, rule)| Some((key.to_owned(), rule.default.clone()?)))
            .collect()
    }

    /// A configuration for metrics of this namespace: types made right, defaults filled in.
    pub(crate) fn fill<'a>(
        &self,
        config: &Config,
        namespace: impl Iterator<Item = &'a str> + Clone,
    ) -> Result<Config, ConfigError> {
        let covers = |prefix: &[String]| {
            let mut rest = namespace.clone();
            prefix.iter().all(|element| rest.next() == Some(element))
        };
        // From the root to the leaf: a longer prefix comes later and counts.
        let rules: BTreeMap<_, _> = self
            .rules()
            .filter(|(prefix, ..)| covers(prefix))
            .map(|(_, key, rule)| (key, rule))
            .collect();
        let mut filled = config.clone();
        for (key, rule) in rules {
            if let Some(value) = rule.judge(key, config.get(key))? {
                filled.insert(key.to_owned(), value);
            }
        }
        Ok(filled)
    }
}

impl Rule {
    fn judge(
        &self,
        key: &str,
        given: Option<&ConfigValue>,
    ) -> Result<Option<ConfigValue>, ConfigError> {
        let Some(given) = given else {
            return match &self.default {
                None if self.required => Err(ConfigError::Missing(key.to_owned())),
                default => Ok(default.clone()),
            };
        };
        let value = self.kind.convert(given).ok_or_else(|| ConfigError::Type {
            key: key.to_owned(),
            expected: self.kind.describe(),
            found: given.clone(),
        })?;
        let range = |side, limit: &ConfigValue| {
            let (found, limit) = (value.clone(), limit.clone());
            Err(ConfigError::Range { key: key.to_owned(), found, side, limit })
        };
        match (&self.minimum, &self.maximum) {
            (Some(limit), _) if value.compare(limit) == Some(Ordering::Less) => {
                range("minimum", limit)
            }
            (_, Some(limit)) if value.compare(limit) == Some(Ordering::Greater) => {
                range("maximum", limit)
            }
            _ => Ok(Some(value)),
        }
    }
}

impl RuleKind {
    /// The type as in `snap.IntegerRule`.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Bool => "bool",
            Self::Int => "integer",
            Self::Float => "float",
            Self::Text => "string",
        }
    }

    fn describe(self) -> &'static str {
        match self {
            Self::Bool => "true or false",
            Self::Int => "a whole number",
            Self::Float => "a number",
            Self::Text => "text",
        }
    }

    /// The value as this type, if it means the same.
    fn convert(self, value: &ConfigValue) -> Option<ConfigValue> {
        match (self, value) {
            (Self::Bool, ConfigValue::Bool(_))
            | (Self::Int, ConfigValue::Int(_))
            | (Self::Float, ConfigValue::Float(_))
            | (Self::Text, ConfigValue::Text(_)) => Some(value.clone()),
            (Self::Int, ConfigValue::Float(float)) => whole(*float).map(ConfigValue::Int),
            (Self::Float, ConfigValue::Int(int)) => Some(ConfigValue::Float(*int as f64)),
            _ => None,
        }
    }
}

impl ConfigValue {
    fn compare(&self, other: &Self) -> Option<Ordering> {
        match (self, other) {
            (Self::Int(one), Self::Int(two)) => Some(one.cmp(two)),
            (Self::Float(one), Self::Float(two)) => one.partial_cmp(two),
            _ => None,
        }
    }

    /// The value in a message. Text may be a password.
    fn describe(&self) -> String {
        match self {
            Self::Bool(value) => value.to_string(),
            Self::Int(value) => value.to_string(),
            Self::Float(value) => value.to_string(),
            Self::Text(_) => "text".into(),
        }
    }
}

fn whole(float: f64) -> Option<i64> {
    // Every whole number below this has a float of its own.
    const EXACT: f64 = 9_007_199_254_740_992.0;
    (float.fract() == 0.0 && float.abs() <= EXACT).then_some(float as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(kind: RuleKind) -> Rule {
        Rule { kind, required: false, default: None, minimum: None, maximum: None }
    }

    /// As influxdb has it, and a rule for a part of the namespaces.
    fn policy() -> ConfigPolicy {
        let port = Rule {
            default: Some(ConfigValue::Int(8086)),
            minimum: Some(ConfigValue::Int(1)),
            maximum: Some(ConfigValue::Int(65535)),
            ..rule(RuleKind::Int)
        };
        let root = BTreeMap::from([
            ("port".into(), port),
            ("host".into(), Rule { required: true, ..rule(RuleKind::Text) }),
            ("ratio".into(), rule(RuleKind::Float)),
            ("verify".into(), rule(RuleKind::Bool)),
        ]);
        let disk = Rule { default: Some(ConfigValue::Int(1)), ..rule(RuleKind::Int) };
        ConfigPolicy(BTreeMap::from([
            (Vec::new(), root),
            (vec!["intel".into(), "disk".into()], BTreeMap::from([("port".into(), disk)])),
        ]))
    }

    fn check(given: &[(&str, ConfigValue)], namespace: &[&str], expected: Result<&str, &str>) {
        let mut config = Config::from([("host".into(), ConfigValue::Text("h".into()))]);
        config.extend(given.iter().map(|(key, value)| ((*key).to_owned(), value.clone())));
        let found = policy().fill(&config, namespace.iter().copied());
        let found = found.map(|config| format!("{config:?}")).map_err(|error| error.to_string());
        match expected {
            Ok(part) => assert!(found.as_ref().is_ok_and(|text| text.contains(part)), "{found:?}"),
            Err(message) => assert_eq!(found, Err(message.to_owned())),
        }
    }

    #[test]
    fn defaults_are_filled_in_and_required_keys_asked_for() {
        check(&[], &[], Ok(r#""port": Int(8086)"#));
        check(&[("port", ConfigValue::Int(9))], &[], Ok(r#""port": Int(9)"#));
        check(&[("other", ConfigValue::Bool(true))], &[], Ok(r#""other": Bool(true)"#));
        let missing = policy().fill(&Config::new(), [].into_iter());
        assert_eq!(missing.unwrap_err().to_string(), "it needs `host` in its configuration");
    }

    #[test]
    fn a_value_takes_the_type_of_its_rule() {
        check(&[("port", ConfigValue::Float(80.0))], &[], Ok(r#""port": Int(80)"#));
        check(&[("ratio", ConfigValue::Int(2))], &[], Ok(r#""ratio": Float(2.0)"#));
        let whole = "`port` must be a whole number, not 0.5";
        check(&[("port", ConfigValue::Float(0.5))], &[], Err(whole));
        let text = ConfigValue::Text("secret".into());
        check(&[("port", text.clone())], &[], Err("`port` must be a whole number, not text"));
        check(&[("verify", text)], &[], Err("`verify` must be true or false, not text"));
        check(&[("host", ConfigValue::Int(7))], &[], Err("`host` must be text, not 7"));
    }

    #[test]
    fn a_number_stays_in_its_range() {
        check(&[("port", ConfigValue::Int(0))], &[], Err("`port` is 0, the minimum is 1"));
        let large = "`port` is 65536, the maximum is 65535";
        check(&[("port", ConfigValue::Int(65536))], &[], Err(large));
    }

    #[test]
    fn a_longer_prefix_counts_for_its_namespaces_only() {
        check(&[], &["intel", "disk", "total"], Ok(r#""port": Int(1)"#));
        check(&[], &["intel", "cpu"], Ok(r#""port": Int(8086)"#));
        check(&[], &["intel"], Ok(r#""port": Int(8086)"#));
    }

    #[test]
    fn limits_and_defaults_count_only_when_they_are_set() {
        let raw = rpc::IntegerRule { required: true, ..rpc::IntegerRule::default() };
        let node =
            rpc::IntegerPolicy { rules: [("n".into(), raw)].into(), key: vec![String::new()] };
        let reply = rpc::GetConfigPolicyReply {
            integer_policy: [(String::new(), node)].into(),
            ..rpc::GetConfigPolicyReply::default()
        };
        let policy = ConfigPolicy::from_rpc(reply);
        let config = Config::from([("n".into(), ConfigValue::Int(-5))]);
        assert_eq!(policy.fill(&config, [].into_iter()), Ok(config));
        assert_eq!(policy.defaults(), Config::new());
    }

    #[test]
    fn a_policy_without_a_list_of_elements_has_them_in_its_key() {
        let node = |key: &[&str]| rpc::BoolPolicy {
            rules: [("b".into(), rpc::BoolRule::default())].into(),
            key: key.iter().map(|element| (*element).to_owned()).collect(),
        };
        let prefix = |joined: &str, key: &[&str]| {
            let reply = rpc::GetConfigPolicyReply {
                bool_policy: [(joined.to_owned(), node(key))].into(),
                ..rpc::GetConfigPolicyReply::default()
            };
            ConfigPolicy::from_rpc(reply).0.into_keys().next().unwrap()
        };
        assert_eq!(prefix("intel.disk", &[]), ["intel", "disk"]);
        assert_eq!(prefix("a.b.c", &["a.b", "c"]), ["a.b", "c"]);
        assert_eq!(prefix("", &[""]), [""; 0]);
        assert_eq!(prefix("", &[]), [""; 0]);
    }
}
