//! `snapctl plugin`: the plugins of the node behind the socket.

use std::path::PathBuf;

use clap::Subcommand;
use serde_json::Value;
use tribe_api::{ConfigRule, Plugin, PluginDetail};

use crate::{
    command::name,
    exit::Exit,
    failure::Failure,
    output::{blocks, fields, table, yes_no},
    session::Session,
};

/// Load plugins on the node behind the socket
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Load a plugin from a file on this host, and keep it running
    Load {
        /// The file of the plugin, which snapd copies
        file: PathBuf,
    },
    /// List the loaded plugins
    List,
    /// Show a plugin: its file, configuration and metrics
    Show {
        /// The plugin; without a version the newest
        #[arg(value_name = "TYPE:NAME[:VERSION]", value_parser = name())]
        plugin: String,
    },
    /// Unload a plugin
    Unload {
        /// The plugin
        #[arg(value_name = "TYPE:NAME:VERSION", value_parser = name())]
        plugin: String,
    },
}

pub(crate) async fn run(verb: Verb, session: &Session) -> Result<Exit, Failure> {
    let snapd = &session.snapd;
    match verb {
        Verb::Load { file } => {
            let cannot = |reason: &dyn std::fmt::Display| {
                Failure::new(format!("cannot read `{}`: {reason}", file.display()))
            };
            let file_name = file.file_name().ok_or_else(|| cannot(&"it is not a file"))?;
            let content = std::fs::read(&file).map_err(|error| cannot(&error))?;
            let plugin = snapd.load_plugin(&file_name.to_string_lossy(), content).await?;
            session.written(&plugin, &[], &format!("loaded plugin `{}`", plugin.id()))
        }
        Verb::List => session.show(&snapd.plugins().await?, |plugins| plugins_text(plugins)),
        Verb::Show { plugin } => session.show(&snapd.plugin(&plugin).await?, plugin_text),
        Verb::Unload { plugin } => {
            let reply = snapd.unload_plugin(&plugin).await?;
            session.written(&reply, &[], &format!("unloaded plugin `{}`", reply.id()))
        }
    }
}

fn plugins_text(plugins: &[Plugin]) -> String {
    let row = |plugin: &Plugin| {
        [
            plugin.plugin_type.clone(),
            plugin.name.clone(),
            plugin.version.to_string(),
            plugin.state.as_str().into(),
            pid_text(plugin),
            plugin.restarts.to_string(),
        ]
    };
    let header = ["TYPE", "NAME", "VERSION", "STATE", "PID", "RESTARTS"];
    table(header, plugins.iter().map(row).collect())
}

fn plugin_text(detail: &PluginDetail) -> String {
    let PluginDetail { plugin, file, sha256, failure, config, metrics } = detail;
    let rows = metrics.iter().map(|metric| [metric.clone()]);
    blocks([
        fields([
            ("plugin", plugin.id()),
            ("state", plugin.state.as_str().into()),
            ("pid", pid_text(plugin)),
            ("restarts", plugin.restarts.to_string()),
            ("last failure", failure.clone().unwrap_or_default()),
            ("file", file.clone()),
            ("sha256", sha256.clone()),
        ]),
        table(
            ["CONFIG", "NAMESPACE", "TYPE", "REQUIRED", "DEFAULT", "MINIMUM", "MAXIMUM"],
            config.iter().map(rule_row).collect(),
        ),
        table(["METRIC"], rows.collect()),
    ])
}

fn rule_row(rule: &ConfigRule) -> [String; 7] {
    [
        rule.key.clone(),
        rule.namespace.clone(),
        rule.value_type.clone(),
        yes_no(rule.required),
        value_text(rule.default.as_ref()),
        value_text(rule.minimum.as_ref()),
        value_text(rule.maximum.as_ref()),
    ]
}

fn value_text(value: Option<&Value>) -> String {
    match value {
        None => String::new(),
        Some(Value::String(text)) if !text.is_empty() => text.clone(),
        Some(value) => value.to_string(),
    }
}

fn pid_text(plugin: &Plugin) -> String {
    plugin.pid.map(|pid| pid.to_string()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use tribe_api::PluginState;

    use super::*;

    fn psutil() -> Plugin {
        Plugin {
            plugin_type: "collector".into(),
            name: "psutil".into(),
            version: 14,
            state: PluginState::Restarting,
            pid: None,
            restarts: 3,
            loaded_ms: 0,
        }
    }

    #[test]
    fn plugins_are_listed() {
        let running = Plugin { state: PluginState::Running, pid: Some(7), ..psutil() };
        let expected = "\
TYPE       NAME    VERSION  STATE       PID  RESTARTS
collector  psutil  14       restarting  -    3
collector  psutil  14       running     7    3";
        assert_eq!(plugins_text(&[psutil(), running]), expected);
    }

    #[test]
    fn a_plugin_is_shown_with_its_configuration_and_metrics() {
        let rule = ConfigRule {
            key: "port".into(),
            namespace: "/".into(),
            value_type: "integer".into(),
            required: false,
            default: Some(8086.into()),
            minimum: Some(1.into()),
            maximum: None,
        };
        let detail = PluginDetail {
            plugin: psutil(),
            file: "/var/lib/snap/plugins/0f/psutil".into(),
            sha256: "0f".into(),
            failure: Some("it ended (signal: 9)\u{1b}".into()),
            config: vec![rule],
            metrics: vec!["/intel/psutil/load/load1".into()],
        };
        let expected = "\
plugin        collector:psutil:14
state         restarting
pid           -
restarts      3
last failure  it ended (signal: 9)\\u{1b}
file          /var/lib/snap/plugins/0f/psutil
sha256        0f

CONFIG  NAMESPACE  TYPE     REQUIRED  DEFAULT  MINIMUM  MAXIMUM
port    /          integer  no        8086     1        -

METRIC
/intel/psutil/load/load1";
        assert_eq!(plugin_text(&detail), expected);
    }
}
