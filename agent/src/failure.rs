//! How a run of the program ends badly: one line that says why, one that says what to do.

use std::{fmt, process::ExitCode};

/// Why the program ends, in words for the person who started it.
#[derive(Debug)]
pub(crate) struct Failure {
    exit: Exit,
    /// Mistakes with their help, at least one.
    reports: Vec<(String, Option<String>)>,
}

/// Exit codes, as in `sysexits.h`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Something could not be done.
    Failed,
    /// The command line is wrong.
    Usage,
    /// The configuration is wrong.
    Config,
}

impl Failure {
    pub(crate) fn new(exit: Exit, message: impl fmt::Display) -> Self {
        Self { exit, reports: vec![(one_line(&message.to_string()), None)] }
    }

    pub(crate) fn list(exit: Exit, reports: Vec<(String, Option<String>)>) -> Self {
        Self { exit, reports }
    }

    /// Tells all that is wrong at once, and ends as the first does.
    pub(crate) fn all(checks: impl IntoIterator<Item = Result<(), Self>>) -> Result<(), Self> {
        let mut failures = checks.into_iter().filter_map(Result::err);
        let Some(first) = failures.next() else { return Ok(()) };
        Err(failures.fold(first, |mut all, next| {
            all.reports.extend(next.reports);
            all
        }))
    }

    /// Says what to do about it.
    pub(crate) fn help(mut self, help: impl fmt::Display) -> Self {
        if let Some((_, slot)) = self.reports.last_mut() {
            *slot = Some(help.to_string());
        }
        self
    }

    pub(crate) fn code(&self) -> ExitCode {
        ExitCode::from(match self.exit {
            Exit::Failed => 1,
            Exit::Usage => 2,
            Exit::Config => 78,
        })
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (message, help) in &self.reports {
            writeln!(f, "error: {message}")?;
            if let Some(help) = help {
                writeln!(f, "help: {help}")?;
            }
        }
        Ok(())
    }
}

impl From<anyhow::Error> for Failure {
    /// The chain of causes on one line.
    fn from(error: anyhow::Error) -> Self {
        Self::new(Exit::Failed, format_args!("{error:#}"))
    }
}

/// Joins the lines of a message that came from elsewhere.
fn one_line(text: &str) -> String {
    text.lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join(": ")
}
