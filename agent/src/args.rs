//! The command line, and the environment variables that stand in for flags.
//!
//! Nothing here says what a value means: the values go to [`config`](crate::config) as text, so that a
//! bad one gets the same message wherever it came from. Invariant: no flag and no variable carries a
//! key, for both can be read by others on the host.

use std::{ffi::OsString, path::PathBuf};

use clap::{
    ArgAction, Args, CommandFactory, Parser, Subcommand,
    error::{ContextKind, ContextValue, ErrorKind},
};

use crate::plugin::ExecArgs;

/// The telemetry daemon: tribes, plugins and tasks of one host.
#[derive(Debug, Parser)]
#[command(name = "snapd", version, args_conflicts_with_subcommands = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) verb: Option<Verb>,
    #[command(flatten)]
    pub(crate) run: RunArgs,
}

/// What to do other than run the daemon.
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Make a key for a cluster
    Keygen(KeygenArgs),
    /// Look at the configuration
    #[command(subcommand)]
    Config(ConfigVerb),
    /// Run a playground of several nodes on this host
    Dev(DevArgs),
    /// Become a plugin that ends with its snapd
    #[command(hide = true)]
    PluginExec(ExecArgs),
}

/// What to do with the configuration.
#[derive(Debug, Subcommand)]
pub(crate) enum ConfigVerb {
    /// Print what was read and where from, or what is wrong with it
    ///
    /// All mistakes are told at once. What is missing is told once nothing else is wrong, for it may be
    /// what was left out with a mistake.
    Check(Box<RunArgs>),
}

/// How to make a key.
#[derive(Debug, Args)]
pub(crate) struct KeygenArgs {
    /// Write the key to this new file (mode 0600) instead of standard output
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
}

/// What the playground is like.
#[derive(Debug, Args)]
pub(crate) struct DevArgs {
    /// How many nodes, named i1, i2, ...
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..=100))]
    pub(crate) nodes: u8,
    /// Give a node a fact at start, as in i1:storage_tier=True (repeatable)
    #[arg(long = "fact", value_name = "NODE:K=V")]
    pub(crate) facts: Vec<String>,
    /// Keep data, sockets and logs after the end
    #[arg(long)]
    pub(crate) keep: bool,
}

/// How to run the daemon. The name of a field, with dashes, is its flag; in capitals after `SNAP_`, its
/// variable.
#[derive(Debug, Args)]
pub(crate) struct RunArgs {
    /// Configuration file [default: /etc/snap/snapd.yaml, if there is one]
    #[arg(long, env = "SNAPD_CONFIG", value_name = "PATH")]
    pub(crate) config: Option<PathBuf>,
    /// error, warn, info, debug, trace, or directives as in info,tribe=debug
    #[arg(long, env = "SNAP_LOG_LEVEL", value_name = "LEVEL")]
    pub(crate) log_level: Option<String>,
    /// text or json
    #[arg(long, env = "SNAP_LOG_FORMAT", value_name = "FORMAT")]
    pub(crate) log_format: Option<String>,
    /// Unix socket of the control API
    #[arg(long, env = "SNAP_SOCKET", value_name = "PATH")]
    pub(crate) socket: Option<PathBuf>,
    /// Also serve the control API on this TCP address; 127.0.0.1 unless snapd.yaml has a certificate and a password
    #[arg(long, env = "SNAP_API_LISTEN", value_name = "IP:PORT")]
    pub(crate) api_listen: Option<String>,
    /// Where the node keeps what it must not forget
    #[arg(long, env = "SNAP_DATA_DIR", value_name = "DIR")]
    pub(crate) data_dir: Option<PathBuf>,
    /// Tribe mode: become a member of a cluster
    #[arg(
        long,
        env = "SNAP_TRIBE",
        value_name = "BOOL",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "true",
    )]
    pub(crate) tribe: Option<String>,
    /// Name of this node in its cluster [default: the hostname]
    #[arg(long, env = "SNAP_TRIBE_NODE_NAME", value_name = "NAME")]
    pub(crate) tribe_node_name: Option<String>,
    /// IP address to listen on for other nodes [default: 0.0.0.0]
    #[arg(long, env = "SNAP_TRIBE_ADDR", value_name = "IP")]
    pub(crate) tribe_addr: Option<String>,
    /// UDP and TCP port to listen on for other nodes, 0 for any free one [default: 6000]
    #[arg(long, env = "SNAP_TRIBE_PORT", value_name = "PORT")]
    pub(crate) tribe_port: Option<String>,
    /// Where other nodes reach this one
    #[arg(long, env = "SNAP_TRIBE_ADVERTISE", value_name = "IP:PORT")]
    pub(crate) tribe_advertise: Option<String>,
    /// A node to meet the cluster through (repeatable, or separated by commas)
    #[arg(long, env = "SNAP_TRIBE_SEED", value_name = "HOST:PORT", value_delimiter = ',')]
    pub(crate) tribe_seed: Vec<String>,
    /// File with the key of the cluster, made by `snapd keygen --out FILE`
    #[arg(long, env = "SNAP_TRIBE_KEY_FILE", value_name = "FILE")]
    pub(crate) tribe_key_file: Option<PathBuf>,
    /// Run without encryption: for tests only
    #[arg(long)]
    pub(crate) tribe_plaintext: bool,
    /// A fact of this node (repeatable); a bare K means K=True
    #[arg(long = "fact", value_name = "K=V", action = ArgAction::Append)]
    pub(crate) fact: Vec<String>,
    /// Stop when the process of this id is gone
    #[arg(long, hide = true, value_name = "PID")]
    pub(crate) die_with_parent: Option<u32>,
}

/// A mistake as clap tells it. The value of a variable is not told as that of the flag it stands in
/// for.
pub(crate) fn mistake(
    mut error: clap::Error,
    words: impl Iterator<Item = OsString>,
) -> clap::Error {
    let before_config = matches!(
        error.get(ContextKind::InvalidSubcommand),
        Some(ContextValue::String(command)) if command == "config"
    );
    if error.kind() == ErrorKind::ArgumentConflict && before_config {
        let tip = "flags go behind the command, as in `snapd config check --config FILE`";
        error.insert(ContextKind::Suggested, ContextValue::StyledStrs(vec![tip.into()]));
        return error;
    }
    let Some(ContextValue::String(told)) = error.get(ContextKind::InvalidArg) else { return error };
    let name = |text: &str| text.split([' ', '=', '[']).next().unwrap_or_default().to_owned();
    let flag = name(told);
    let typed = words.into_iter().any(|word| name(&word.to_string_lossy()) == flag);
    let command = Cli::command();
    let mut all = command.get_arguments();
    let arg = all.find(|arg| arg.get_long() == flag.strip_prefix("--"));
    if let Some(variable) = arg.and_then(clap::Arg::get_env).filter(|_| !typed) {
        let variable = variable.to_string_lossy().into_owned();
        error.insert(ContextKind::InvalidArg, ContextValue::String(variable));
    }
    error
}

/// The first argument that begins with a typographic dash, as text pasted from a document does.
pub(crate) fn pasted_dash(mut args: impl Iterator<Item = OsString>) -> Option<String> {
    args.find_map(|arg| {
        let text = arg.to_string_lossy();
        text.starts_with(['\u{2013}', '\u{2014}']).then(|| text.into_owned())
    })
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn no_flag_and_no_variable_carries_a_key() {
        for arg in Cli::command().get_arguments() {
            assert_ne!(arg.get_long(), Some("tribe-key"));
        }
    }

    #[test]
    fn a_flag_before_the_command_is_told_where_it_goes() {
        let words = ["snapd", "--config", "x.yaml", "config", "check"];
        let error = Cli::try_parse_from(words).unwrap_err();
        let told = mistake(error, words.iter().map(OsString::from)).to_string();
        let tip = "tip: flags go behind the command, as in `snapd config check --config FILE`";
        assert!(told.contains(tip), "{told}");
        for words in
            [&["snapd", "--config", "x", "--config", "y"][..], &["snapd", "--tribe", "true"]]
        {
            let error = Cli::try_parse_from(words).unwrap_err();
            let told = mistake(error, words.iter().map(OsString::from)).to_string();
            assert!(!told.contains(tip), "{told}");
        }
    }

    #[test]
    fn a_pasted_dash_is_found() {
        let args = |texts: &[&str]| texts.iter().map(OsString::from).collect::<Vec<_>>();
        let found = pasted_dash(args(&["snapd", "\u{2014}tribe"]).into_iter());
        assert_eq!(found.as_deref(), Some("\u{2014}tribe"));
        assert_eq!(pasted_dash(args(&["snapd", "--tribe"]).into_iter()), None);
    }
}
