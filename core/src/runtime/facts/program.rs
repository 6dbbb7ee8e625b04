//! Runs a program for its output, for a limited time.

use std::{
    io::{self, ErrorKind, Read},
    os::{fd::AsFd, unix::process::CommandExt as _},
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::ioctl_fionbio,
    process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open},
};

use super::super::clock::Clock;
use crate::limits;

/// How much of what a failed program says on its standard error is told, in bytes.
const ERROR_BYTES: usize = 200;
/// How long a program may still be open for writing when it is to run, and how often we look.
const BUSY_TIME: Duration = Duration::from_secs(1);
const BUSY_PAUSE: Duration = Duration::from_millis(10);

/// What the program at a path prints. All that it started ends with it.
pub(super) fn run(path: &Path, time: Duration) -> Result<Vec<u8>, String> {
    let mut command = Command::new(path);
    command
        .env_clear()
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin:/usr/local/sbin:/usr/local/bin")
        .env("LANG", "C.UTF-8")
        .current_dir("/")
        .process_group(0)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = start(&mut command).map_err(|error| format!("cannot be run: {error}"))?;
    let outcome = listen(&mut child, time);
    end(&child);
    let status = child.wait().map_err(|error| error.to_string())?;
    let (output, errors) = outcome?;
    if status.success() {
        return Ok(output);
    }
    let errors = String::from_utf8_lossy(&errors);
    match errors.lines().next().map(str::trim).filter(|line| !line.is_empty()) {
        Some(line) => Err(format!("ended with {status}: {}", line.escape_debug())),
        None => Err(format!("ended with {status}")),
    }
}

/// Starts a program, once nobody has it open for writing: who writes it may be about to close it, and a
/// process that another thread starts just now has for a moment what that thread has open.
fn start(command: &mut Command) -> io::Result<Child> {
    let clock = Clock::start();
    loop {
        match command.spawn() {
            Err(error)
                if error.kind() == ErrorKind::ExecutableFileBusy
                    && clock.now().mono < BUSY_TIME =>
            {
                thread::sleep(BUSY_PAUSE);
            }
            outcome => return outcome,
        }
    }
}

/// Ends the program, if it still runs, and what it left behind.
fn end(child: &Child) {
    if let Some(group) = pid(child) {
        // An error means that nobody is left.
        let _ = kill_process_group(group, Signal::KILL);
    }
}

fn pid(child: &Child) -> Option<Pid> {
    Pid::from_raw(i32::try_from(child.id()).ok()?)
}

/// Its output and errors until it has ended.
fn listen(child: &mut Child, time: Duration) -> Result<(Vec<u8>, Vec<u8>), String> {
    let told = |error: rustix::io::Errno| error.to_string();
    let (Some(pid), Some(mut stdout), Some(mut stderr)) =
        (pid(child), child.stdout.take(), child.stderr.take())
    else {
        return Err("cannot be listened to".into());
    };
    let process = pidfd_open(pid, PidfdFlags::empty()).map_err(told)?;
    ioctl_fionbio(&stdout, true).map_err(told)?;
    ioctl_fionbio(&stderr, true).map_err(told)?;
    let (mut output, mut errors) = (Vec::new(), Vec::new());
    let (mut output_ends, mut errors_end) = (false, false);
    let clock = Clock::start();
    loop {
        let left = time.saturating_sub(clock.now().mono);
        if left == Duration::ZERO {
            return Err(format!("did not end within {} s", time.as_secs_f32()));
        }
        let left = Timespec::try_from(left).map_err(|error| error.to_string())?;
        let mut waits = vec![PollFd::new(&process, PollFlags::IN)];
        if !output_ends {
            waits.push(PollFd::from_borrowed_fd(stdout.as_fd(), PollFlags::IN));
        }
        if !errors_end {
            waits.push(PollFd::from_borrowed_fd(stderr.as_fd(), PollFlags::IN));
        }
        match poll(&mut waits, Some(&left)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.to_string()),
        }
        let ended = waits.first().is_some_and(|wait| !wait.revents().is_empty());
        output_ends = drain(&mut stdout, &mut output)?;
        errors_end = drain(&mut stderr, &mut errors)?;
        if output.len() > limits::FACTS_FILE_BYTES {
            return Err(format!("printed more than {} bytes", limits::FACTS_FILE_BYTES));
        }
        errors.truncate(ERROR_BYTES);
        if ended {
            return Ok((output, errors));
        }
    }
}

/// Reads what there is, up to a limit. Has the writer closed it?
fn drain(from: &mut impl Read, into: &mut Vec<u8>) -> Result<bool, String> {
    let mut part = [0; 4096];
    loop {
        match from.read(&mut part) {
            Ok(0) => return Ok(true),
            Ok(count) => into.extend(part.get(..count).unwrap_or_default()),
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error.to_string()),
        }
        if into.len() > limits::FACTS_FILE_BYTES {
            return Ok(false);
        }
    }
}
