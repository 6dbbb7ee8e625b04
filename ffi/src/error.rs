//! Errors of the library as objects of C.

use std::fmt::Display;

use tribe::{
    CommandError, DialError, FactError, KeyFileError, KeyringError, NameError, ParsePolicyError,
    PatternError, StartError,
};

use crate::{Status, Str, Text, handle::call_or};

/// Why a call failed.
#[derive(Debug)]
pub struct Error {
    status: Status,
    message: Text,
    detail: Text,
    line: u32,
    column: u32,
}

impl Error {
    pub(crate) fn new(status: Status, message: impl Display) -> Self {
        let (message, detail) = (Text::new(message.to_string()), Text::new(""));
        Self { status, message, detail, line: 0, column: 0 }
    }

    pub(crate) fn null(what: &str) -> Self {
        Self::new(Status::Null, format_args!("`{what}` is NULL"))
    }

    pub(crate) fn closed() -> Self {
        CommandError::Closed.into()
    }

    pub(crate) fn forked() -> Self {
        CommandError::Forked.into()
    }

    pub(crate) fn status(&self) -> Status {
        self.status
    }

    #[cfg(test)]
    pub(crate) fn message(&self) -> &str {
        self.message.as_str()
    }
}

// The enums of the library may grow. `tests/mapping.rs` fails if one of their variants is not named
// here, so that a new error must choose its code.

impl From<CommandError> for Error {
    fn from(error: CommandError) -> Self {
        let status = match &error {
            CommandError::Name(_) => Status::Name,
            CommandError::Fact(error) => fact_status(error),
            CommandError::Policy(error) => return error.clone().into(),
            CommandError::UnknownTribe { .. } => Status::UnknownTribe,
            CommandError::UnknownPolicy { .. } => Status::UnknownPolicy,
            CommandError::UnknownItem { .. } => Status::UnknownItem,
            CommandError::ItemExists { .. } => Status::ItemExists,
            CommandError::ServiceExists(_) => Status::ServiceExists,
            CommandError::UnknownNode { .. } => Status::UnknownNode,
            CommandError::TribeExists(_) => Status::TribeExists,
            CommandError::PolicyExists { .. } => Status::PolicyExists,
            CommandError::TooLong { .. } => Status::TooLong,
            CommandError::Unreachable(_) => Status::Unreachable,
            CommandError::NotSynced => Status::NotSynced,
            CommandError::Refused { .. } => Status::Refused,
            CommandError::Full(_) | CommandError::TooManyItems(_) => Status::Full,
            CommandError::NameTaken { .. } => Status::NameTaken,
            CommandError::StillAlive(_) => Status::StillAlive,
            CommandError::ClockBehind | CommandError::ClockAhead => Status::Clock,
            CommandError::UnknownKey(_) => Status::UnknownKey,
            CommandError::KeyRemoved(_) => Status::KeyRemoved,
            CommandError::KeySeals(_) => Status::KeySeals,
            CommandError::KeyLacking { .. } | CommandError::KeyNotHeld(_) => Status::KeyLacking,
            CommandError::Plaintext => Status::Plaintext,
            CommandError::Keyring(_) => Status::Key,
            CommandError::Randomness(_) => Status::System,
            CommandError::NotSet(_) => Status::FactNotSet,
            CommandError::Storage(_) => Status::Storage,
            CommandError::Closed => Status::Closed,
            CommandError::Forked => Status::Forked,
            _ => Status::Other,
        };
        Self::new(status, error)
    }
}

impl From<StartError> for Error {
    fn from(error: StartError) -> Self {
        let status = match &error {
            StartError::Bind { .. } => Status::Bind,
            StartError::Randomness(_) => Status::System,
            StartError::Advertise => Status::Advertise,
            StartError::DataDir { .. } => Status::DataDir,
            StartError::Facts(error) => fact_status(error),
            _ => Status::Other,
        };
        Self::new(status, error)
    }
}

impl From<DialError> for Error {
    fn from(error: DialError) -> Self {
        let status = match &error {
            DialError::UnknownNode { .. } => Status::UnknownNode,
            DialError::UnknownTribe { .. } => Status::UnknownTribe,
            DialError::NoOffer { .. } => Status::NoOffer,
            DialError::NoService { .. } => Status::NoService,
            DialError::NotAllowed { .. } => Status::NotAllowed,
            DialError::Busy { .. } => Status::Busy,
            DialError::Unreachable { .. } => Status::Unreachable,
            DialError::Name(_) => Status::Name,
            DialError::Closed => Status::Closed,
            DialError::Forked => Status::Forked,
            _ => Status::Other,
        };
        Self::new(status, error)
    }
}

impl From<PatternError> for Error {
    fn from(error: PatternError) -> Self {
        Self::new(Status::Pattern, error)
    }
}

impl From<NameError> for Error {
    fn from(error: NameError) -> Self {
        Self::new(Status::Name, error)
    }
}

impl From<FactError> for Error {
    fn from(error: FactError) -> Self {
        Self::new(fact_status(&error), error)
    }
}

impl From<KeyringError> for Error {
    fn from(error: KeyringError) -> Self {
        Self::new(Status::Key, error)
    }
}

impl From<KeyFileError> for Error {
    fn from(error: KeyFileError) -> Self {
        Self::new(Status::Key, error)
    }
}

impl From<ParsePolicyError> for Error {
    fn from(error: ParsePolicyError) -> Self {
        let at = |position| u32::try_from(position).unwrap_or(u32::MAX);
        Self {
            detail: Text::new(error.render()),
            line: at(error.line()),
            column: at(error.column()),
            ..Self::new(Status::Policy, error)
        }
    }
}

fn fact_status(error: &FactError) -> Status {
    match error {
        FactError::Name(_) | FactError::NoName(_) => Status::Name,
        FactError::BuiltIn(_) => Status::FactBuiltIn,
        FactError::TooLarge { .. } | FactError::TooManyBytes { .. } => Status::FactTooLarge,
        FactError::Number(_) | FactError::Null(_) => Status::FactValue,
        _ => Status::Other,
    }
}

/// The code of an error. TRIBE_STATUS_OK if `error` is NULL.
#[unsafe(no_mangle)]
pub extern "C" fn tribe_error_code(error: Option<&Error>) -> Status {
    error.map_or(Status::Ok, Error::status)
}

/// What is wrong, in one line.
#[unsafe(no_mangle)]
pub extern "C" fn tribe_error_message(error: Option<&Error>) -> Str {
    error.map_or(Str::EMPTY, |error| error.message.borrow())
}

/// More about it, in several lines: the text of a policy with a caret under the mistake. Often empty.
#[unsafe(no_mangle)]
pub extern "C" fn tribe_error_detail(error: Option<&Error>) -> Str {
    error.map_or(Str::EMPTY, |error| error.detail.borrow())
}

/// The line of a policy the mistake is in, from 1. 0 if there is none.
#[unsafe(no_mangle)]
pub extern "C" fn tribe_error_line(error: Option<&Error>) -> u32 {
    error.map_or(0, |error| error.line)
}

/// The character of that line the mistake begins at, from 1. 0 if there is none.
#[unsafe(no_mangle)]
pub extern "C" fn tribe_error_column(error: Option<&Error>) -> u32 {
    error.map_or(0, |error| error.column)
}

/// Frees an error. NULL is allowed.
#[unsafe(no_mangle)]
pub extern "C" fn tribe_error_free(error: Option<Box<Error>>) {
    call_or((), || drop(error));
}
