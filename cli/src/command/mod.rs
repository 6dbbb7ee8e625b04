//! The commands, one file a group of verbs.

mod agreement;
mod backup;
mod events;
mod fact;
mod kept;
mod key;
mod member;
mod metric;
mod plugin;
mod policy;
mod restore;
mod status;
mod task;
mod tribe;
mod version;

use clap::{Subcommand, builder::NonEmptyStringValueParser};
use tribe_api::client::ClientError;

use crate::{exit::Exit, failure::Failure, session::Session};

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    #[command(subcommand)]
    Tribe(tribe::Verb),
    #[command(subcommand)]
    Member(member::Verb),
    #[command(subcommand)]
    Fact(fact::Verb),
    #[command(subcommand)]
    Key(key::Verb),
    #[command(subcommand)]
    Plugin(plugin::Verb),
    #[command(subcommand)]
    Task(task::Verb),
    Tap(task::Tap),
    #[command(subcommand)]
    Metric(metric::Verb),
    Events(events::Events),
    Backup(backup::Backup),
    Restore(restore::Restore),
    /// Print the versions of client and daemon
    Version,
    #[command(hide = true, disable_help_flag = true)]
    Agreement(agreement::Agreement),
}

/// Carries out a command.
///
/// # Errors
/// What stopped it.
pub(crate) async fn run(command: Command, session: &Session) -> Result<Exit, Failure> {
    match command {
        Command::Tribe(verb) => tribe::run(verb, session).await,
        Command::Member(verb) => member::run(verb, session).await,
        Command::Fact(verb) => fact::run(verb, session).await,
        Command::Key(verb) => key::run(verb, session).await,
        Command::Plugin(verb) => plugin::run(verb, session).await,
        Command::Task(verb) => task::run(verb, session).await,
        Command::Tap(tap) => task::tap(tap, session).await,
        Command::Metric(verb) => metric::run(verb, session).await,
        Command::Events(events) => events::run(events, session).await,
        Command::Backup(backup) => backup::run(backup, session).await,
        Command::Restore(restore) => restore::run(restore, session).await,
        Command::Version => version::run(session).await,
        Command::Agreement(agreement) => Err(agreement.moved()),
    }
}

/// What snapd refuses for its effect alone can be forced: what to add.
fn forceable(error: &ClientError) -> Option<&'static str> {
    (error.code() == Some("would-move-out")).then_some("to do it all the same, add --force")
}

/// The failure that comes of an error, with what to add if it can be forced.
fn unless_forced(error: ClientError) -> Failure {
    let help = forceable(&error);
    let failure = Failure::from(error);
    match help {
        Some(help) => failure.with_help(help),
        None => failure,
    }
}

/// Reads a name: snapd judges it, but an empty one could not even be asked for.
fn name() -> NonEmptyStringValueParser {
    NonEmptyStringValueParser::new()
}
