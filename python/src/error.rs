//! Which exception an error becomes: one `match` for each of the library's error types.
//!
//! The classes are Python's, in `tribe.errors`.

use std::{io, time::Duration};

use pyo3::PyErr;
use tribe::{
    CommandError, DialError, FactError, NameError, ParsePolicyError, PatternError, StartError,
};

/// The exception classes.
mod class {
    pyo3::import_exception!(tribe.errors, AlreadyExistsError);
    pyo3::import_exception!(tribe.errors, ClosedError);
    pyo3::import_exception!(tribe.errors, BusyError);
    pyo3::import_exception!(tribe.errors, ConfigError);
    pyo3::import_exception!(tribe.errors, ForkError);
    pyo3::import_exception!(tribe.errors, InternalError);
    pyo3::import_exception!(tribe.errors, KeyringError);
    pyo3::import_exception!(tribe.errors, NotFoundError);
    pyo3::import_exception!(tribe.errors, NotAllowedError);
    pyo3::import_exception!(tribe.errors, PolicyError);
    pyo3::import_exception!(tribe.errors, TimeoutError);
    pyo3::import_exception!(tribe.errors, TribeError);
    pyo3::import_exception!(tribe.errors, UnreachableError);
}

/// Everything that can go wrong here.
#[derive(Debug)]
pub(crate) enum Error {
    /// A command was not carried out.
    Command(CommandError),
    /// A service was not reached.
    Dial(DialError),
    /// The system gave us no descriptor for a stream.
    Descriptor(io::Error),
    /// A node did not start.
    Start(StartError),
    /// A text or file is not a key; the library's words.
    Keyring(String),
    /// The user's argument cannot be used.
    Argument(String),
    /// The user's time is over.
    Timeout {
        /// What was waited for.
        what: &'static str,
        /// How long.
        timeout: Duration,
    },
    /// The handle belongs to the parent of this process.
    Forked,
    /// The system gave us no threads.
    Runtime(io::Error),
    /// A mistake of ours.
    Panicked(String),
}

impl From<Error> for PyErr {
    fn from(error: Error) -> Self {
        match error {
            Error::Command(error) => command(error),
            Error::Dial(error) => dial(&error),
            Error::Descriptor(error) => {
                class::TribeError::new_err(format!("cannot make a socket for the stream: {error}"))
            }
            Error::Start(error) => start(&error),
            Error::Keyring(message) => class::KeyringError::new_err(message),
            Error::Argument(message) => class::ConfigError::new_err(message),
            Error::Timeout { what, timeout } => class::TimeoutError::new_err(format!(
                "{what} did not come within {} s",
                timeout.as_secs_f64()
            )),
            Error::Forked => class::ForkError::new_err(CommandError::Forked.to_string()),
            Error::Runtime(error) => {
                class::TribeError::new_err(format!("cannot start the threads of a node: {error}"))
            }
            Error::Panicked(text) => class::InternalError::new_err(format!(
                "a mistake inside tribe, please report it: {text}"
            )),
        }
    }
}

fn command(error: CommandError) -> PyErr {
    let message = error.to_string();
    match error {
        CommandError::Policy(error) => policy(&error),
        CommandError::Name(_) | CommandError::Fact(_) | CommandError::TooLong { .. } => {
            class::ConfigError::new_err(message)
        }
        CommandError::UnknownTribe { .. }
        | CommandError::UnknownPolicy { .. }
        | CommandError::UnknownItem { .. }
        | CommandError::UnknownNode { .. }
        | CommandError::UnknownKey(_)
        | CommandError::NotSet(_) => class::NotFoundError::new_err(message),
        CommandError::TribeExists(_)
        | CommandError::PolicyExists { .. }
        | CommandError::ItemExists { .. }
        | CommandError::ServiceExists(_)
        | CommandError::NameTaken { .. } => class::AlreadyExistsError::new_err(message),
        CommandError::Unreachable(_) | CommandError::NotSynced => {
            class::TimeoutError::new_err(message)
        }
        CommandError::Closed => class::ClosedError::new_err(message),
        CommandError::Forked => class::ForkError::new_err(message),
        CommandError::Refused { .. }
        | CommandError::StillAlive(_)
        | CommandError::KeyRemoved(_)
        | CommandError::KeySeals(_)
        | CommandError::KeyNotHeld(_)
        | CommandError::KeyLacking { .. }
        | CommandError::Keyring(_)
        | CommandError::Plaintext
        | CommandError::Full(_)
        | CommandError::TooManyItems(_)
        | CommandError::ClockBehind
        | CommandError::ClockAhead
        | CommandError::Storage(_) => class::TribeError::new_err(message),
        // The enum may grow; what has no class of its own is a `TribeError`.
        _ => class::TribeError::new_err(message),
    }
}

fn dial(error: &DialError) -> PyErr {
    let message = error.to_string();
    match error {
        DialError::Name(_) => class::ConfigError::new_err(message),
        DialError::UnknownNode { .. }
        | DialError::UnknownTribe { .. }
        | DialError::NoOffer { .. }
        | DialError::NoService { .. } => class::NotFoundError::new_err(message),
        DialError::NotAllowed { .. } => class::NotAllowedError::new_err(message),
        DialError::Busy { .. } => class::BusyError::new_err(message),
        DialError::Unreachable { .. } => class::UnreachableError::new_err(message),
        DialError::Closed => class::ClosedError::new_err(message),
        DialError::Forked => class::ForkError::new_err(message),
        // As above.
        _ => class::TribeError::new_err(message),
    }
}

fn start(error: &StartError) -> PyErr {
    let message = error.to_string();
    match error {
        StartError::Bind { .. }
        | StartError::Advertise
        | StartError::DataDir { .. }
        | StartError::Facts(_) => class::ConfigError::new_err(message),
        // As above.
        _ => class::TribeError::new_err(message),
    }
}

fn policy(error: &ParsePolicyError) -> PyErr {
    let place = (error.line(), error.column());
    class::PolicyError::new_err((error.to_string(), error.render(), place.0, place.1))
}

impl From<CommandError> for Error {
    fn from(error: CommandError) -> Self {
        Self::Command(error)
    }
}

impl From<DialError> for Error {
    fn from(error: DialError) -> Self {
        Self::Dial(error)
    }
}

impl From<PatternError> for Error {
    fn from(error: PatternError) -> Self {
        Self::Argument(error.to_string())
    }
}

impl From<StartError> for Error {
    fn from(error: StartError) -> Self {
        Self::Start(error)
    }
}

impl From<io::Error> for Error {
    fn from(error: io::Error) -> Self {
        Self::Runtime(error)
    }
}

impl From<NameError> for Error {
    fn from(error: NameError) -> Self {
        Self::Command(error.into())
    }
}

impl From<FactError> for Error {
    fn from(error: FactError) -> Self {
        Self::Command(error.into())
    }
}

impl From<ParsePolicyError> for Error {
    fn from(error: ParsePolicyError) -> Self {
        Self::Command(error.into())
    }
}
