//! `snapctl plugin`: the plugins of the node behind the socket, and of tribes.

mod load;

use clap::{Args, Subcommand};
use serde_json::Value;
use tribe_api::{
    ConfigRule, Offer, OfferQuery, Plugin, PluginDetail, TribePlugin, TribePluginFile,
};

use crate::{
    command::{agreement::quoted, name},
    exit::Exit,
    failure::Failure,
    output::{blocks, fields, list, table, yes_no},
    session::Session,
};

/// How many digits of a checksum tell files apart in a list.
const SHORT_DIGITS: usize = 12;

/// Load plugins, on this node or on a tribe, and see what other nodes offer
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    Load(load::Load),
    /// List plugins
    ///
    ///   snapctl plugin list                        # what runs on this node
    ///   snapctl plugin list --tribe core           # what the tribe asks for
    ///   snapctl plugin list --remote --tribe core  # what its members offer to others
    #[command(verbatim_doc_comment)]
    List {
        /// Those that this tribe asks for; with --remote, those its members offer
        #[arg(long, value_parser = name())]
        tribe: Option<String>,
        /// Those that live members offer to the tasks of others
        #[arg(long)]
        remote: bool,
        /// Of those the ones that this node offers
        #[arg(long, requires = "remote", value_parser = name())]
        node: Option<String>,
    },
    /// Show a plugin: its file, configuration and metrics; of a tribe, its files and who holds them
    Show {
        /// The plugin; on this node as it calls itself, the newest without a version
        #[arg(value_name = "NAME|TYPE:NAME[:VERSION]", value_parser = name())]
        plugin: String,
        /// The tribe that asks for it [default: the node behind the socket]
        #[arg(long, value_parser = name())]
        tribe: Option<String>,
    },
    /// Unload a plugin
    ///
    /// Members of a tribe that needs it no more unload it; it stays where another tribe asks for it as well.
    Unload {
        /// The plugin, as it was loaded or as it calls itself
        #[arg(value_name = "NAME|TYPE:NAME:VERSION", value_parser = name())]
        plugin: String,
        /// Have this tribe unload it [default: the node behind the socket]
        #[arg(long, value_parser = name())]
        tribe: Option<String>,
    },
    #[command(hide = true, disable_help_flag = true)]
    Task(Slip),
}

/// Anything after `plugin task`, which the RFC once writes.
#[derive(Debug, Args)]
pub(crate) struct Slip {
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, hide = true)]
    words: Vec<String>,
}

impl Slip {
    /// What to type instead.
    fn meant(&self) -> Failure {
        let words: Vec<_> = self.words.iter().map(|word| quoted(word)).collect();
        let words = if words.is_empty() { "--help".into() } else { words.join(" ") };
        Failure::usage("tasks are commands of their own")
            .or_help(format!("use `snapctl task {words}`"))
    }
}

pub(crate) async fn run(verb: Verb, session: &Session) -> Result<Exit, Failure> {
    let snapd = &session.snapd;
    match verb {
        Verb::Load(load) => load::load(load, session).await,
        Verb::List { tribe, remote: true, node } => {
            let mut offers = snapd.offers(&OfferQuery { tribe, node }).await?;
            offers.retain(|offer| offer.plugin.is_some());
            session.show_known(&offers, |offers| offers_text(offers)).await
        }
        Verb::List { tribe: None, .. } => {
            session.show(&snapd.plugins().await?, |plugins| plugins_text(plugins))
        }
        Verb::List { tribe: Some(tribe), .. } => {
            let plugins = snapd.tribe_plugins(&tribe).await?;
            session.show_known(&plugins, |plugins| tribe_plugins_text(plugins)).await
        }
        Verb::Show { plugin, tribe: None } => {
            session.show(&snapd.plugin(&plugin).await?, plugin_text)
        }
        Verb::Show { plugin, tribe: Some(tribe) } => {
            session.show(&snapd.tribe_plugin(&tribe, &plugin).await?, tribe_plugin_text)
        }
        Verb::Unload { plugin, tribe: None } => {
            let reply = snapd.unload_plugin(&plugin).await?;
            let done = match &reply.kept_for {
                None => format!("unloaded plugin `{}`", reply.id()),
                Some(tribe) => format!(
                    "plugin `{}` is not asked for on this node alone any more; it stays loaded for \
                     tribe `{tribe}`",
                    reply.id()
                ),
            };
            session.written(&reply, &[], &done)
        }
        Verb::Unload { plugin, tribe: Some(tribe) } => {
            let reply = snapd.unload_tribe_plugin(&tribe, &plugin, session.wait);
            let reply = session.attend(reply).await?;
            session.note(reply.note.as_deref());
            let done = format!("tribe `{tribe}` unloads plugin `{plugin}`");
            session.written(&reply, &reply.missing, &done)
        }
        Verb::Task(slip) => Err(slip.meant()),
    }
}

fn tribe_plugins_text(plugins: &[TribePlugin]) -> String {
    let row = |plugin: &TribePlugin, file: &TribePluginFile| {
        let [platform, bytes, signed, sha256, held] = file_row(file);
        let sha256 = sha256.chars().take(SHORT_DIGITS).collect();
        [plugin.name.clone(), plugin.generation.to_string(), platform, bytes, signed, sha256, held]
    };
    let rows =
        plugins.iter().flat_map(|plugin| plugin.files.iter().map(move |file| row(plugin, file)));
    let header = ["PLUGIN", "GENERATION", "PLATFORM", "BYTES", "SIGNED", "SHA256", "HELD-BY"];
    table(header, rows.collect())
}

fn tribe_plugin_text(plugin: &TribePlugin) -> String {
    blocks([
        fields([
            ("plugin", plugin.name.clone()),
            ("tribe", plugin.tribe.clone()),
            ("generation", plugin.generation.to_string()),
        ]),
        table(
            ["PLATFORM", "BYTES", "SIGNED", "SHA256", "HELD-BY"],
            plugin.files.iter().map(file_row).collect(),
        ),
    ])
}

fn file_row(file: &TribePluginFile) -> [String; 5] {
    [
        format!("{}/{}", file.os, file.arch),
        file.bytes.to_string(),
        yes_no(file.signed),
        file.sha256.clone(),
        list(&file.holders),
    ]
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
        rules_text(config),
        table(["METRIC"], rows.collect()),
    ])
}

/// What a plugin takes as its configuration.
pub(super) fn rules_text(rules: &[ConfigRule]) -> String {
    let header = ["CONFIG", "NAMESPACE", "TYPE", "REQUIRED", "DEFAULT", "MINIMUM", "MAXIMUM"];
    table(header, rules.iter().map(rule_row).collect())
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
            kept_for: None,
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
PLUGIN  GENERATION  PLATFORM      BYTES  SIGNED  SHA256        HELD-BY
psutil  1           linux/x86_64  7      no      0123456789ab  i1,i2";
        assert_eq!(tribe_plugins_text(std::slice::from_ref(&plugin)), expected);
        let expected = "\
plugin      psutil
tribe       core
generation  1

PLATFORM      BYTES  SIGNED  SHA256            HELD-BY
linux/x86_64  7      no      0123456789abcdef  i1,i2";
        assert_eq!(tribe_plugin_text(&plugin), expected);
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
