//! The process of a plugin: started in a group of its own, watched, and ended with all it started.
//!
//! snapd starts itself under another name ([`exec`]), asks the system to be killed when its parent
//! is gone, and becomes the plugin. So no plugin outlives the daemon, however that ends.
//!
//! Invariant: who drops a [`Process`] has killed it.

use std::{
    ffi::OsString,
    io,
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    time::{Duration, Instant},
};

use clap::Args;
use rustix::process::{Pid, Signal, getppid, kill_process_group, set_parent_process_death_signal};
use serde::Serialize;
use tokio::{process::Child, sync::oneshot, task::JoinHandle, time::timeout};
use tracing::{debug, warn};

use super::{
    client::Client,
    launch::Launch,
    limits::Limits,
    output::{Tail, drain_stderr, drain_stdout},
    preamble::{Preamble, PreambleError},
    tls::{Tls, TlsArgument},
};
use crate::failure::{Exit, Failure};

/// How much plugins are to say: warnings. Must be a number.
const LOG_LEVEL: i64 = 3;
/// How long a plugin may take to end after it was asked to.
const END_TIME: Duration = Duration::from_millis(1500);
/// How long we wait for a plugin to end that was killed.
const KILL_TIME: Duration = Duration::from_secs(2);
/// How long what a dead plugin printed may take to arrive.
const DRAIN_TIME: Duration = Duration::from_millis(500);
/// How long a plugin may still be open for writing when it is to run, and how often we look.
const BUSY_TIME: Duration = Duration::from_secs(1);
const BUSY_PAUSE: Duration = Duration::from_millis(10);

/// The arguments by which snapd becomes a plugin.
#[derive(Debug, Args)]
pub(crate) struct ExecArgs {
    /// The process that starts it
    #[arg(long, value_name = "PID")]
    parent: i32,
    /// What it may use
    #[arg(long, value_name = "LIMITS", default_value_t)]
    limits: Limits,
    /// The plugin
    program: PathBuf,
    /// Its arguments
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<OsString>,
}

/// Becomes a plugin that is killed when its parent is gone. Comes back only if it cannot.
pub(crate) fn exec(args: &ExecArgs) -> Failure {
    let failed = |error: io::Error| {
        let message = format!("cannot run {}: {error}", args.program.display());
        Failure::new(Exit::Failed, message)
    };
    if let Err(error) = set_parent_process_death_signal(Some(Signal::KILL)) {
        return failed(error.into());
    }
    // The parent may have gone before that.
    if getppid().map(Pid::as_raw_pid) != Some(args.parent) {
        return failed(io::Error::other("snapd is gone"));
    }
    if let Err(error) = args.limits.apply() {
        return failed(error);
    }
    let mut command = std::process::Command::new(&args.program);
    command.arg0(&args.program).args(&args.arguments);
    let started = Instant::now();
    loop {
        let error = command.exec();
        // Whatever snapd started just now has for a moment what snapd had open, this file too if it was
        // written just before.
        if error.kind() != io::ErrorKind::ExecutableFileBusy || started.elapsed() > BUSY_TIME {
            return failed(error);
        }
        std::thread::sleep(BUSY_PAUSE);
    }
}

/// The command by which this program becomes a plugin.
#[cfg(not(test))]
fn become_plugin(parent: &str, args: &[&std::ffi::OsStr]) -> tokio::process::Command {
    let mut command = tokio::process::Command::new("/proc/self/exe");
    command.arg0("snapd").args(["plugin-exec", "--parent", parent]).args(args);
    command
}

#[cfg(test)]
use super::tests::become_plugin;

/// What a plugin gets as its only argument. A ping time is left out, for each library reads another
/// unit from it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Argument<'a> {
    log_level: i64,
    #[serde(flatten)]
    tls: Option<&'a TlsArgument>,
}

/// A running plugin.
#[derive(Debug)]
pub(super) struct Process {
    child: Child,
    pid: i32,
    /// Absent once it was killed: its number may be another's by then.
    group: Option<Pid>,
    tail: Tail,
    /// Absent once it was heard.
    hello: Option<oneshot::Receiver<Result<Preamble, PreambleError>>>,
    drains: [JoinHandle<()>; 2],
}

impl Process {
    /// Starts a file as this says. Must be called on the main thread, whose end the plugin is bound to.
    pub(super) fn start(program: &Path, launch: &Launch) -> io::Result<Self> {
        let limits = format!("--limits={}", launch.limits);
        let tls = launch.tls.as_ref().map(Tls::argument);
        let argument = serde_json::to_string(&Argument { log_level: LOG_LEVEL, tls })?;
        let args = [limits.as_ref(), program.as_os_str(), argument.as_ref()];
        let mut command = become_plugin(&std::process::id().to_string(), &args);
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true);
        let mut child = command.spawn()?;
        let lost = || io::Error::other("the new process cannot be watched");
        let group = child.id().and_then(|pid| Pid::from_raw(i32::try_from(pid).ok()?));
        let pid = group.map(Pid::as_raw_pid).ok_or_else(lost)?;
        let stdout = child.stdout.take().ok_or_else(lost)?;
        let stderr = child.stderr.take().ok_or_else(lost)?;
        let name = program.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let tail = Tail::default();
        let (sender, hello) = oneshot::channel();
        let drains = [
            tokio::spawn(drain_stdout(stdout, tail.clone(), name.clone(), sender)),
            tokio::spawn(drain_stderr(stderr, tail.clone(), name)),
        ];
        Ok(Self { child, pid, group, tail, hello: Some(hello), drains })
    }

    /// Waits until it has said what it is. None: it will not any more.
    pub(super) async fn hello(&mut self) -> Option<Result<Preamble, PreambleError>> {
        self.hello.take()?.await.ok()
    }

    /// How it ended, if it does within the time in which a plugin that was asked to would.
    pub(super) async fn ends_soon(&mut self) -> Option<ExitStatus> {
        timeout(END_TIME, self.child.wait()).await.ok()?.ok()
    }

    /// Its number.
    pub(super) fn pid(&self) -> i32 {
        self.pid
    }

    /// Waits until it has ended. Cancel safe.
    pub(super) async fn ended(&mut self) -> io::Result<ExitStatus> {
        self.child.wait().await
    }

    /// Asks it to end, then ends it.
    pub(super) async fn stop(mut self, client: &Client, reason: &str) {
        client.kill(reason).await;
        if self.ends_soon().await.is_none() {
            debug!(pid = self.pid, "a plugin did not end when asked to");
        }
        self.kill().await;
    }

    /// Ends it and all that it started; the last lines it printed.
    pub(super) async fn kill(mut self) -> Vec<String> {
        self.signal();
        // It cannot refuse the signal, but a device that does not answer can hold it up.
        if timeout(KILL_TIME, self.child.wait()).await.is_err() {
            warn!(pid = self.pid, "a plugin was killed and is still there");
        }
        for drain in &mut self.drains {
            // A process that left the group may hold the pipe open.
            let _ = timeout(DRAIN_TIME, drain).await;
        }
        self.tail.lines()
    }

    /// Kills the group, once.
    fn signal(&mut self) {
        if let Some(group) = self.group.take() {
            // An error means that nobody is left.
            let _ = kill_process_group(group, Signal::KILL);
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.signal();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// No ping time, for one library takes it for milliseconds and another for nanoseconds, and a
    /// level that is a number, for plugins in Go end without a word if it is text.
    #[test]
    fn plugins_get_one_argument_that_all_libraries_understand() {
        let argument = serde_json::to_string(&Argument { log_level: LOG_LEVEL, tls: None });
        assert_eq!(argument.unwrap(), r#"{"LogLevel":3}"#);
    }
}
