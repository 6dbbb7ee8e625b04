//! Processes that end with their handle.

use std::{
    path::Path,
    process::{Child, Command, ExitStatus, Stdio},
};

use rustix::process::{Pid, Signal, kill_process};

use crate::wait::wait_until;

/// A command without the environment of whoever runs the tests, and without standard input.
pub(crate) fn command(program: &Path) -> Command {
    let mut command = Command::new(program);
    for (name, _) in std::env::vars_os() {
        let known = name.to_string_lossy();
        if known.starts_with("SNAP") || known == "NOTIFY_SOCKET" {
            command.env_remove(&name);
        }
    }
    command.stdin(Stdio::null());
    command
}

/// What a program that ran to its end has said.
#[derive(Debug)]
pub struct Ran {
    /// Its exit code, if it was not killed.
    pub code: Option<i32>,
    /// Its standard output.
    pub stdout: String,
    /// Its standard error.
    pub stderr: String,
}

impl Ran {
    /// Runs a command to its end.
    ///
    /// # Panics
    /// If it cannot be started, or what it says is not text.
    #[must_use]
    pub fn new(command: &mut Command) -> Self {
        let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        Self {
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// What it printed, for it must have succeeded.
    ///
    /// # Panics
    /// If it has not.
    pub fn done(self) -> String {
        assert_eq!(self.code, Some(0), "{self:#?}");
        self.stdout
    }

    /// The words of each line it printed, for it must have succeeded.
    ///
    /// # Panics
    /// If it has not.
    pub fn lines(self) -> Vec<Vec<String>> {
        let line = |line: &str| line.split_whitespace().map(str::to_owned).collect();
        self.done().lines().map(line).collect()
    }
}

/// A running process. Killed when dropped.
#[derive(Debug)]
pub struct Process {
    /// Its handle.
    pub(crate) child: Child,
}

impl Process {
    /// Starts a process.
    pub(crate) fn start(command: &mut Command) -> Self {
        let child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        Self { child }
    }

    /// Its id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends it a signal. It must not have been waited for.
    ///
    /// # Panics
    /// If that is not allowed.
    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Has it ended?
    pub(crate) fn try_ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().unwrap()
    }

    /// Waits for its end.
    ///
    /// # Panics
    /// If it goes on.
    pub fn ended(&mut self) -> ExitStatus {
        let mut status = None;
        wait_until("the process ends", || {
            status = self.try_ended();
            status.is_some()
        });
        status.unwrap()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Whoever has ended needs no end.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
