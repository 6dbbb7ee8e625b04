//! `snapctl plugin`: the plugins of the node behind the socket, and of tribes.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use serde_json::Value;
use tribe_api::{
    ConfigRule, LoadNamed, LoadQuery, Offer, OfferQuery, Plugin, PluginDetail, PluginLoaded,
    TribePlugin, TribePluginFile,
};

use crate::{
    command::name,
    exit::Exit,
    failure::Failure,
    output::{self, blocks, fields, list, table, yes_no},
    sanitize,
    session::Session,
};

/// Load plugins, on the node behind the socket or by tribe
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Load a plugin, and keep it running
    ///
    /// A file of this host is sent to snapd, with the signature `FILE.asc` if that is beside it. A name
    /// alone means a file in the plugin directory of snapd. With `--tribe` every member of the tribe
    /// fetches and runs it; the command returns when enough nodes hold the file, so that the one it was
    /// typed on may go.
    Load(Load),
    /// List plugins
    List {
        /// Those that this tribe asks for; with --remote, what its members offer
        #[arg(long, value_name = "TRIBE", value_parser = name())]
        tribe: Option<String>,
        /// The plugins that live members offer to the tasks of others
        #[arg(long)]
        remote: bool,
    },
    /// Show a plugin: its file, configuration and metrics
    Show {
        /// The plugin; without a version the newest
        #[arg(value_name = "TYPE:NAME[:VERSION]", value_parser = name())]
        plugin: String,
    },
    /// Unload a plugin
    Unload {
        /// The plugin, as it was loaded or as it calls itself
        #[arg(value_name = "NAME|TYPE:NAME:VERSION", value_parser = name())]
        plugin: String,
        /// Have this tribe unload it [default: the node behind the socket]
        #[arg(long, value_name = "TRIBE", value_parser = name())]
        tribe: Option<String>,
    },
    /// Tasks are commands of their own
    #[command(hide = true, disable_help_flag = true)]
    Task(Slip),
}

/// What to load.
#[derive(Debug, Args)]
pub(crate) struct Load {
    /// A file of this host, or the name of one in the plugin directory of snapd
    #[arg(value_name = "FILE|NAME")]
    file: PathBuf,
    /// Have the members of this tribe load it [default: the node behind the socket]
    #[arg(long, value_name = "TRIBE", value_parser = name())]
    tribe: Option<String>,
    /// The armored signature of the file [default: FILE.asc, if it is there]
    #[arg(long, value_name = "FILE")]
    signature: Option<PathBuf>,
}

/// Anything after `plugin task`, which the RFC once writes.
#[derive(Debug, Args)]
pub(crate) struct Slip {
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, hide = true)]
    words: Vec<String>,
}

pub(crate) async fn run(verb: Verb, session: &Session) -> Result<Exit, Failure> {
    let snapd = &session.snapd;
    match verb {
        Verb::Load(load) => self::load(load, session).await,
        Verb::List { tribe, remote: true } => {
            let offers = snapd.offers(&OfferQuery { tribe, node: None }).await?;
            let plugins: Vec<Offer> =
                offers.into_iter().filter(|offer| offer.plugin.is_some()).collect();
            session.show(&plugins, |plugins| offers_text(plugins))
        }
        Verb::List { tribe: None, .. } => {
            session.show(&snapd.plugins().await?, |plugins| plugins_text(plugins))
        }
        Verb::List { tribe: Some(tribe), .. } => {
            session.show(&snapd.tribe_plugins(&tribe).await?, |plugins| tribe_plugins_text(plugins))
        }
        Verb::Show { plugin } => session.show(&snapd.plugin(&plugin).await?, plugin_text),
        Verb::Unload { plugin, tribe: None } => {
            let reply = snapd.unload_plugin(&plugin).await?;
            session.written(&reply, &[], &format!("unloaded plugin `{}`", reply.id()))
        }
        Verb::Unload { plugin, tribe: Some(tribe) } => {
            let reply = snapd.unload_tribe_plugin(&tribe, &plugin, session.wait).await?;
            let done = format!("tribe `{tribe}` unloads plugin `{plugin}`");
            session.written(&reply, &reply.missing, &done)
        }
        Verb::Task(Slip { words }) => {
            let words = if words.is_empty() { "--help".to_owned() } else { words.join(" ") };
            Err(Failure::usage("tasks are commands of their own")
                .or_help(format!("use `snapctl task {words}`")))
        }
    }
}

async fn load(load: Load, session: &Session) -> Result<Exit, Failure> {
    let Load { file, tribe, signature } = load;
    let is_path = file.components().count() > 1 || file.exists();
    let loaded = if is_path {
        let cannot = |path: &Path, reason: &dyn std::fmt::Display| {
            Failure::new(format!("cannot read `{}`: {reason}", path.display()))
        };
        let file_name = file.file_name().ok_or_else(|| cannot(&file, &"it is not a file"))?;
        let content = std::fs::read(&file).map_err(|error| cannot(&file, &error))?;
        let mut beside = file.clone().into_os_string();
        beside.push(".asc");
        let signature = match &signature {
            Some(path) => Some(std::fs::read(path).map_err(|error| cannot(path, &error))?),
            None => std::fs::read(beside).ok(),
        };
        let query = LoadQuery { file: file_name.to_string_lossy().into_owned(), tribe };
        session.snapd.load_plugin(&query, content, signature.as_deref(), session.wait).await?
    } else {
        let load = LoadNamed { name: file.to_string_lossy().into_owned(), tribe };
        session.snapd.load_named(&load, session.wait).await?
    };
    if let Some(note) = &loaded.note {
        output::tell(&sanitize::line(&format!("note: {note}")));
    }
    session.written(&loaded, &loaded.missing, &loaded_text(&loaded))
}

fn loaded_text(loaded: &PluginLoaded) -> String {
    match (&loaded.tribe, &loaded.plugin) {
        (Some(tribe), _) => {
            let holders = list(&loaded.holders);
            format!("tribe `{tribe}` loads plugin `{}`, held by {holders}", loaded.name)
        }
        (None, Some(plugin)) => format!("loaded plugin `{}`", plugin.id()),
        (None, None) => format!("loaded plugin `{}`", loaded.name),
    }
}

fn tribe_plugins_text(plugins: &[TribePlugin]) -> String {
    let row = |plugin: &TribePlugin, file: &TribePluginFile| {
        [
            plugin.name.clone(),
            format!("{}/{}", file.os, file.arch),
            file.bytes.to_string(),
            yes_no(file.signed),
            file.sha256.chars().take(12).collect(),
            list(&file.holders),
        ]
    };
    let rows =
        plugins.iter().flat_map(|plugin| plugin.files.iter().map(move |file| row(plugin, file)));
    table(["PLUGIN", "PLATFORM", "BYTES", "SIGNED", "SHA256", "HELD BY"], rows.collect())
}

fn offers_text(offers: &[Offer]) -> String {
    let row = |offer: &Offer| {
        let plugin = offer.plugin.clone().unwrap_or_default();
        let mut parts = plugin.splitn(3, ':').map(str::to_owned);
        let mut part = || parts.next().unwrap_or_default();
        [offer.node.clone(), part(), part(), part(), list(&offer.tribes)]
    };
    table(["NODE", "TYPE", "NAME", "VERSION", "TRIBES"], offers.iter().map(row).collect())
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
    let PluginDetail { plugin, file, sha256, signed_by, failure, config, metrics } = detail;
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
            ("signed by", signed_by.clone().unwrap_or_default()),
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
    fn what_a_tribe_loads_is_listed_by_file() {
        let file = TribePluginFile {
            os: "linux".into(),
            arch: "x86_64".into(),
            sha256: "0123456789abcdef".into(),
            bytes: 7,
            file_name: "psutil".into(),
            signed: false,
            holders: vec!["i1".into(), "i2".into()],
        };
        let plugin = TribePlugin {
            name: "psutil".into(),
            tribe: "core".into(),
            generation: 1,
            files: vec![file],
        };
        let expected = "\
PLUGIN  PLATFORM      BYTES  SIGNED  SHA256        HELD BY
psutil  linux/x86_64  7      no      0123456789ab  i1,i2";
        assert_eq!(tribe_plugins_text(&[plugin]), expected);
    }

    #[test]
    fn what_others_offer_is_listed_by_node() {
        let offer = Offer {
            node: "i2".into(),
            tribes: vec!["core".into()],
            service: "publisher/influxdb/25".into(),
            plugin: Some("publisher:influxdb:25".into()),
        };
        let expected = "\
NODE  TYPE       NAME      VERSION  TRIBES
i2    publisher  influxdb  25       core";
        assert_eq!(offers_text(&[offer]), expected);
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
            signed_by: None,
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
signed by     -

CONFIG  NAMESPACE  TYPE     REQUIRED  DEFAULT  MINIMUM  MAXIMUM
port    /          integer  no        8086     1        -

METRIC
/intel/psutil/load/load1";
        assert_eq!(plugin_text(&detail), expected);
    }
}
