//! Exit statuses, which scripts rely on.

use std::process::ExitCode;

/// How the program ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub(crate) enum Exit {
    /// It is done.
    Success,
    /// It failed, or snapd refused.
    Failure,
    /// The command line is wrong; snapd was not asked.
    Usage,
    /// There is no tribe, policy, node, plugin, task or metric of that name, or no node, event or batch
    /// that matches.
    NothingMatched,
    /// It is done, but not everyone said in time that they hold it; or not all that a tribe asks is done.
    PartlyDone,
    /// There is no snapd behind the socket, or it went away.
    Unreachable,
    /// The socket, or snapd, does not let us.
    NotAllowed,
    /// It was interrupted, and has cleared up: the shell has this status for who dies of it.
    Interrupted,
    /// It was asked to end, and has cleared up.
    Terminated,
}

impl Exit {
    /// The status as the shell sees it.
    pub(crate) fn status(self) -> u8 {
        match self {
            Self::Success => 0,
            Self::Failure => 1,
            Self::Usage => 2,
            Self::NothingMatched => 3,
            Self::PartlyDone => 4,
            Self::Unreachable => 5,
            Self::NotAllowed => 6,
            Self::Interrupted => 130,
            Self::Terminated => 143,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.status())
    }
}
