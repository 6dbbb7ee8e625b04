//! What this node tells its plugins unless a request says otherwise.

use std::collections::BTreeMap;

use super::{
    config::{Config, Configs},
    identity::{Identity, Kind},
};

/// What plugins of this node are told, from what is for all of them to what is for one version of
/// one. What is for fewer covers what is for more.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct PluginConfigs {
    /// For all.
    pub(crate) all: Config,
    /// For all of a type.
    pub(crate) kinds: BTreeMap<Kind, Config>,
    /// By name, whatever the type.
    pub(crate) names: Configs,
    /// By type and name.
    pub(crate) plugins: BTreeMap<(Kind, String), Config>,
    /// For one version.
    pub(crate) versions: BTreeMap<Identity, Config>,
}

impl PluginConfigs {
    /// What one plugin is told.
    pub(super) fn of(&self, plugin: &Identity) -> Config {
        let layers = [
            Some(&self.all),
            self.kinds.get(&plugin.kind),
            self.names.get(&plugin.name),
            self.plugins.get(&(plugin.kind, plugin.name.clone())),
            self.versions.get(plugin),
        ];
        layers.into_iter().flatten().flat_map(Config::clone).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::{super::config::ConfigValue, *};

    #[test]
    fn what_is_for_fewer_plugins_covers_what_is_for_more() {
        let keys = ["all", "kind", "name", "plugin", "version"];
        // The layer of a number tells all keys from that number on.
        let layer = |number: usize| -> Config {
            let text = ConfigValue::Text(keys[number].into());
            keys[number..].iter().map(|key| ((*key).to_owned(), text.clone())).collect()
        };
        let id = |name: &str, version| Identity::new(Kind::Collector, name, version).unwrap();
        let configs = PluginConfigs {
            all: layer(0),
            kinds: [(Kind::Collector, layer(1))].into(),
            names: [("psutil".to_owned(), layer(2))].into(),
            plugins: [((Kind::Collector, "psutil".to_owned()), layer(3))].into(),
            versions: [(id("psutil", 14), layer(4))].into(),
        };
        let check = |plugin: &Identity, expected: [&str; 5]| {
            let told = configs.of(plugin);
            let told = keys.map(|key| told[key].clone());
            assert_eq!(told, expected.map(|text| ConfigValue::Text(text.into())), "{plugin}");
        };
        check(&id("psutil", 14), keys);
        check(&id("psutil", 13), ["all", "kind", "name", "plugin", "plugin"]);
        check(&id("smart", 14), ["all", "kind", "kind", "kind", "kind"]);
        let publisher = Identity::new(Kind::Publisher, "psutil", 14).unwrap();
        check(&publisher, ["all", "all", "name", "name", "name"]);
    }
}
