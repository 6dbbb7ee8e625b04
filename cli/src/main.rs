//! The command line of snapd.
//!
//! Every command is one call to the control API, or a few, or one to the SDK; this program decides nothing, it translates:
//! words to requests, replies to tables or JSON, refusals to an exit status. Data goes to stdout, all
//! else to stderr, and nothing that another node wrote reaches either unsanitised.

mod args;
mod argv;
mod command;
mod exit;
mod failure;
mod output;
mod sanitize;
mod session;
mod signals;
mod time;

use std::process::ExitCode;

use crate::{exit::Exit, failure::Failure, session::Session};

fn main() -> ExitCode {
    run().unwrap_or_else(|failure| failure.report()).into()
}

fn run() -> Result<Exit, Failure> {
    let words = argv::prepare(std::env::args_os())?;
    let cli = match args::parse(&words) {
        Ok(cli) => cli,
        Err(answer) => return Ok(print(&answer)),
    };
    let session = Session::new(&cli.global)?;
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::new(format!("cannot start: {error}")))?
        .block_on(command::run(cli.command, &session))
}

/// Prints what clap has to say instead of a command: help, the version, or a usage error.
fn print(answer: &clap::Error) -> Exit {
    // There is nowhere left to say that it could not be said.
    let _ = answer.print();
    if answer.use_stderr() { Exit::Usage } else { Exit::Success }
}
