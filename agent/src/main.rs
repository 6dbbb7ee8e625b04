//! `snapd`, the telemetry daemon of one host: it makes the host a member of a cluster and serves
//! the control API under `/v3` on a Unix socket.
//!
//! Everything about clusters is the library `tribe`, used by its public face only. This program
//! reads the configuration ([`config`]), runs a node ([`daemon`]), translates HTTP to commands and
//! views to JSON ([`api`]), runs plugins ([`plugin`]) and tasks ([`task`]), makes keys ([`keygen`]) and plays with
//! several nodes on one host ([`dev`]).
//!
//! Invariant: no key is ever printed, logged or taken from the command line; `snapd keygen` is the
//! one exception, whose purpose it is.

mod api;
mod args;
mod capability;
mod config;
mod daemon;
mod dev;
mod discover;
mod failure;
#[cfg(test)]
#[path = "../../core/src/wire/fixture.rs"]
mod fixture;
#[cfg(test)]
#[path = "../../core/src/wire/fuzz.rs"]
mod fuzz;
mod keygen;
mod log;
mod plugin;
mod reconcile;
mod remote;
mod resident;
mod signals;
mod socket;
mod suggest;
mod task;
mod values;

use std::{
    io::{self, Write},
    process::ExitCode,
};

use anyhow::Context;
use clap::{ArgMatches, CommandFactory, FromArgMatches};

use self::{
    args::{Cli, ConfigVerb, RunArgs, Verb},
    failure::{Exit, Failure},
};

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            // Standard error is all there is to tell it to.
            let _ = write!(io::stderr(), "{failure}");
            failure.code()
        }
    }
}

fn run() -> Result<(), Failure> {
    if let Some(arg) = args::pasted_dash(std::env::args_os().skip(1)) {
        let plain = arg.trim_start_matches(['\u{2013}', '\u{2014}']);
        let message = format!("`{arg}` begins with a typographic dash");
        return Err(Failure::new(Exit::Usage, message).help(format_args!("type `--{plain}`")));
    }
    let exit = |error| args::mistake(error, std::env::args_os().skip(1)).exit();
    let matches = Cli::command().try_get_matches().unwrap_or_else(exit);
    let cli = Cli::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    match cli.verb {
        None => {
            let parent = cli.run.die_with_parent;
            daemon::run(config::load(cli.run, &matches)?, parent)
        }
        Some(Verb::Keygen(args)) => keygen::run(&args),
        Some(Verb::Config(ConfigVerb::Check(args))) => check(*args, &matches),
        Some(Verb::Dev(args)) => dev::run(&args),
        Some(Verb::PluginExec(args)) => Err(plugin::exec(&args)),
    }
}

fn check(args: RunArgs, matches: &ArgMatches) -> Result<(), Failure> {
    // The arguments of the innermost verb.
    let mut inner = matches;
    while let Some((_, next)) = inner.subcommand() {
        inner = next;
    }
    let settings = config::load(args, inner)?;
    daemon::check(&settings)?;
    let text = config::print(&settings).context("cannot print")?;
    io::stdout().write_all(text.as_bytes()).context("cannot print")?;
    Ok(())
}
