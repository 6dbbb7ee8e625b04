//! The command line: what may stand before and behind every command.

use std::{ffi::OsString, path::PathBuf, str::FromStr, time::Duration};

use clap::{
    Args, CommandFactory, FromArgMatches, Parser, ValueEnum,
    error::{ContextKind, ContextValue, ErrorKind},
    parser::ValueSource,
};

use crate::command::Command;

const AFTER_HELP: &str = "\
Examples:
  snapctl tribe create storage --description 'nodes that watch disks'
  snapctl tribe join storage i1
  snapctl tribe policy test '{{os_dist}} == Ubuntu' --tribe core
  snapctl --wait tribe policy create ubuntu '{{os_dist}} == Ubuntu' --tribe core
  snapctl fact set i2 storage_tier=True
  snapctl plugin load ./snap-plugin-collector-psutil
  snapctl plugin load influxdb --tribe core
  snapctl task create -t psutil-influx.json --tribe core
  snapctl tribe status core
  snapctl tap psutil-influx --tribe core
  snapctl metric collect '/intel/psutil/load/*'
  snapctl -o json member list

Exit status:
  0  done
  1  failed, or snapd refused
  2  the command line is wrong, snapd was not asked
  3  no tribe, policy, node, plugin, task or metric of that name, or no match
  4  done, but not everyone said within --wait that they hold it, or not all
     that a tribe asks is done
  5  snapd cannot be reached, or went away
  6  not allowed
  130, 143  interrupted, or asked to end";

/// Ask and direct snapd: tribes, their policies, members, facts, plugins and tasks
///
/// Every command goes to the snapd behind one socket, which knows and directs the whole cluster.
/// Without `--tribe` plugins and tasks are those of its own node. Data is printed to stdout, all else
/// to stderr.
#[derive(Debug, Parser)]
#[command(name = "snapctl", version, max_term_width = 100, after_long_help = AFTER_HELP)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Reads the command line. A socket that is named on it covers a URL of the environment.
pub(crate) fn parse(words: &[OsString]) -> Result<Cli, clap::Error> {
    let matches = Cli::command().try_get_matches_from(words);
    let matches = matches.map_err(|error| name_variable(error, words))?;
    let mut cli = Cli::from_arg_matches(&matches)?;
    let typed = |name| matches.value_source(name) == Some(ValueSource::CommandLine);
    match (typed("socket"), typed("url")) {
        (true, true) => {
            let message = "snapd is reached by `--socket` or by `--url`, not by both";
            return Err(Cli::command().error(ErrorKind::ArgumentConflict, message));
        }
        (true, false) => cli.global.url = None,
        (false, _) => {}
    }
    cli.global.url_is_typed = typed("url");
    Ok(cli)
}

/// The value of a variable is not told as that of the option it stands in for.
fn name_variable(mut error: clap::Error, words: &[OsString]) -> clap::Error {
    let Some(ContextValue::String(told)) = error.get(ContextKind::InvalidArg) else { return error };
    let name = |text: &str| text.split([' ', '=', '[']).next().unwrap_or_default().to_owned();
    let option = name(told);
    let typed = words.iter().any(|word| name(&word.to_string_lossy()) == option);
    let command = Cli::command();
    let mut all = command.get_arguments();
    let arg = all.find(|arg| arg.get_long() == option.strip_prefix("--"));
    if let Some(variable) = arg.and_then(clap::Arg::get_env).filter(|_| !typed) {
        let variable = variable.to_string_lossy().into_owned();
        error.insert(ContextKind::InvalidArg, ContextValue::String(variable));
    }
    error
}

/// What every command takes.
#[derive(Debug, Args)]
#[command(next_help_heading = "Global options")]
pub(crate) struct Global {
    /// Socket of snapd
    #[arg(
        long,
        global = true,
        value_name = "PATH",
        env = "SNAP_SOCKET",
        hide_env_values = true,
        default_value = tribe_api::DEFAULT_SOCKET
    )]
    pub(crate) socket: PathBuf,
    /// URL of snapd instead of a socket, as in `https://i1.example:8181`; SNAP_URL covers
    /// SNAP_SOCKET
    #[arg(long, global = true, value_name = "URL", env = "SNAP_URL", hide_env_values = true)]
    pub(crate) url: Option<String>,
    /// It is not of the environment.
    #[arg(skip)]
    pub(crate) url_is_typed: bool,
    /// File with the password that snapd asks for at its URL, mode 0600
    #[arg(
        long,
        global = true,
        value_name = "FILE",
        env = "SNAP_PASSWORD_FILE",
        hide_env_values = true
    )]
    pub(crate) password_file: Option<PathBuf>,
    /// PEM file with the certificate that vouches for snapd [default: those the system trusts]
    #[arg(long, global = true, value_name = "FILE", env = "SNAP_CACERT", hide_env_values = true)]
    pub(crate) cacert: Option<PathBuf>,
    /// Format of the data on stdout
    #[arg(long, short, global = true, value_enum, value_name = "FORMAT", default_value = "table")]
    pub(crate) output: Format,
    /// Writes wait until all live nodes hold the change, at most this long [alone: 10 seconds]
    ///
    /// `--wait 30` and `--wait=30` are the same. Who did not answer in time is listed on stderr and the
    /// exit status is 4; the change is made nevertheless. Commands that only read do not wait.
    #[arg(
        long,
        global = true,
        value_name = "SECONDS",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "10"
    )]
    pub(crate) wait: Option<Seconds>,
    /// Give up on an answer of snapd after this time [default: 60, and 900 to load a plugin]
    ///
    /// What snapd is asked to `--wait` comes on top. The exit status is 5, and a change may have been
    /// made or not. Of `events`, `tap` and `task watch` it ends what they print.
    #[arg(
        long,
        global = true,
        value_name = "SECONDS",
        value_parser = timeout,
        allow_negative_numbers = true
    )]
    pub(crate) timeout: Option<Seconds>,
}

/// Format of the data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// Lines of columns, for people and grep
    Table,
    /// JSON as the control API has it, for programs
    Json,
}

/// A time on the command line; fractions are allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Seconds(pub(crate) Duration);

impl FromStr for Seconds {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const DAY: Duration = Duration::from_secs(24 * 60 * 60);
        text.parse()
            .ok()
            .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
            .filter(|time| *time <= DAY)
            .map(Self)
            .ok_or_else(|| "give a number of seconds, at most a day".into())
    }
}

/// Reads how long something may take, which is some time at least.
pub(crate) fn timeout(text: &str) -> Result<Seconds, String> {
    let time = text.parse().ok().filter(|Seconds(time)| !time.is_zero());
    time.ok_or_else(|| "give a number of seconds above 0, at most a day".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }

    /// What is laid out in lines is not laid out anew by clap, but cut.
    #[test]
    fn help_in_lines_fits_a_terminal() {
        fn check(command: &clap::Command) {
            let texts = [command.get_long_about(), command.get_after_long_help()];
            for text in texts.into_iter().flatten().map(ToString::to_string) {
                let blocks = text.split("\n\n").filter(|block| block.contains('\n'));
                for line in blocks.flat_map(str::lines) {
                    assert!(line.chars().count() <= 80, "{}: {line}", command.get_name());
                }
            }
            command.get_subcommands().for_each(check);
        }
        check(&Cli::command());
    }

    #[test]
    fn wait_stands_before_or_behind_a_command() {
        let check = |line: &str, expected: Option<u64>| {
            let cli = Cli::try_parse_from(line.split(' ')).unwrap();
            assert_eq!(cli.global.wait.map(|wait| wait.0.as_secs()), expected, "for {line}");
        };
        check("snapctl tribe create core", None);
        check("snapctl --wait tribe create core", Some(10));
        check("snapctl tribe create core --wait", Some(10));
        check("snapctl tribe --wait create core", Some(10));
        check("snapctl tribe create --wait core", Some(10));
        check("snapctl --wait=30 tribe create core", Some(30));
    }

    #[test]
    fn timeout_stands_before_or_behind_a_command() {
        let check = |line: &str| {
            let cli = Cli::try_parse_from(line.split(' ')).unwrap();
            assert_eq!(cli.global.timeout.map(|time| time.0.as_secs()), Some(5), "for {line}");
        };
        check("snapctl --timeout 5 tribe list");
        check("snapctl tribe list --timeout 5");
        check("snapctl --timeout 5 events");
    }

    #[test]
    fn seconds_are_a_time() {
        let check = |text: &str, expected: Option<f64>| {
            let seconds = text.parse::<Seconds>().ok().map(|seconds| seconds.0.as_secs_f64());
            assert_eq!(seconds, expected, "for {text}");
        };
        check("0", Some(0.0));
        check("0.5", Some(0.5));
        check("86400", Some(86400.0));
        check("86401", None);
        check("-1", None);
        check("inf", None);
        check("nan", None);
        check("5s", None);
        check("", None);
    }
}
