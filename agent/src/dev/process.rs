//! One node of a playground: a process of this same program.

use std::{
    env,
    fs::File,
    path::PathBuf,
    process::{ExitStatus, Stdio},
};

use anyhow::Context;
use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, Command};

use super::{LAST_LINES, Plan, place::Place};
use crate::failure::{Exit, Failure};

/// A running node. Killed when dropped.
#[derive(Debug)]
pub(super) struct NodeProcess {
    pub(super) name: String,
    pub(super) socket: PathBuf,
    log: PathBuf,
    child: Child,
}

impl NodeProcess {
    /// Starts a node.
    pub(super) fn start(place: &Place, plan: &Plan) -> Result<Self, Failure> {
        let name = plan.name.clone();
        let socket = place.dir().join(format!("{name}.sock"));
        let log = place.dir().join(format!("{name}.log"));
        let child = command(place, plan)
            .and_then(|mut command| {
                let file = File::create(&log)?;
                command.stdout(file.try_clone()?).stderr(file).arg("--socket").arg(&socket);
                Ok(command.spawn()?)
            })
            .with_context(|| format!("cannot start node {name}"))?;
        Ok(Self { name, socket, log, child })
    }

    /// Waits for the end of the process, and says what it said last. Cancel safe.
    pub(super) async fn ended(&mut self) -> Failure {
        let status = match self.child.wait().await {
            Ok(status) => describe(status),
            Err(error) => error.to_string(),
        };
        let log = std::fs::read_to_string(&self.log).unwrap_or_default();
        let message = format!("node {} ended early with {status}{}", self.name, tail(&log));
        Failure::list(Exit::Failed, vec![(message, None)])
    }

    /// Asks the process to say good-bye.
    pub(super) fn terminate(&self) {
        let pid = self.child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        if let Some(pid) = pid {
            // A process that has ended meanwhile needs no signal.
            let _ = kill_process(pid, Signal::TERM);
        }
    }

    /// Ends the process at once.
    pub(super) async fn kill(&mut self) {
        // A process that has ended meanwhile need not be killed.
        let _ = self.child.kill().await;
    }
}

fn command(place: &Place, plan: &Plan) -> anyhow::Result<Command> {
    let mut command = Command::new(env::current_exe()?);
    for (name, _) in env::vars_os() {
        // What was meant for a daemon of this host is not meant for a playground.
        let known = name.to_string_lossy();
        if known.starts_with("SNAP") && known != "SNAP_LOG_LEVEL" || known == "NOTIFY_SOCKET" {
            command.env_remove(&name);
        }
    }
    command
        .arg("--config")
        .arg(place.config_file())
        .args(["--tribe", "--tribe-node-name", &plan.name])
        .args(["--tribe-addr", &plan.address, "--tribe-port", &plan.port.to_string()])
        .args(["--die-with-parent", &std::process::id().to_string()])
        .arg("--tribe-key-file")
        .arg(place.key_file())
        .arg("--data-dir")
        .arg(place.dir().join(&plan.name))
        .args(plan.seeds.iter().flat_map(|seed| ["--tribe-seed", seed]))
        .args(plan.facts.iter().flat_map(|fact| ["--fact", fact]))
        .stdin(Stdio::null())
        // Ctrl-C at the terminal is for us; the nodes hear of it from us, once.
        .process_group(0)
        .kill_on_drop(true);
    Ok(command)
}

fn describe(status: ExitStatus) -> String {
    match status.code() {
        Some(code) => format!("exit code {code}"),
        None => status.to_string(),
    }
}

fn tail(log: &str) -> String {
    let lines: Vec<_> = log.lines().rev().take(LAST_LINES).collect();
    lines.iter().rev().map(|line| format!("\n    {line}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_lines_of_a_log_are_shown_in_order() {
        assert_eq!(tail(""), "");
        assert_eq!(tail("one\ntwo\n"), "\n    one\n    two");
        let long = (1..=12).map(|line| format!("{line}\n")).collect::<String>();
        assert!(tail(&long).starts_with("\n    3\n    4"));
    }
}
