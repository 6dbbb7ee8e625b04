//! A real daemon on a temporary socket, and just enough HTTP to speak to it.

use std::{
    io::{BufRead, BufReader, Read, Write},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};

use serde_json::Value;
use tempfile::TempDir;

/// Longer than anything here takes on a slow machine.
pub(crate) const LONG: Duration = Duration::from_secs(30);

/// `snapd` without the environment of whoever runs the tests.
pub(crate) fn snapd() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_snapd"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("SNAP") {
            command.env_remove(name);
        }
    }
    command.stdin(Stdio::null());
    command
}

/// A finished run of `snapd`.
pub(crate) struct Run {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// Runs `snapd` to its end.
pub(crate) fn run(args: &[&str]) -> Run {
    let output = snapd().args(args).output().unwrap();
    Run {
        code: output.status.code(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

/// A running daemon without tribe mode.
pub(crate) struct Daemon {
    pub(crate) dir: TempDir,
    pub(crate) child: Child,
}

impl Daemon {
    /// Starts one and waits until it answers.
    pub(crate) fn start() -> Self {
        Self::start_in(TempDir::new().unwrap())
    }

    pub(crate) fn start_in(dir: TempDir) -> Self {
        Self::start_with(dir, |command| command)
    }

    /// Starts one in this directory, after a change of its command. A file `snapd.yaml` there is read.
    pub(crate) fn start_with(
        dir: TempDir,
        change: impl FnOnce(&mut Command) -> &mut Command,
    ) -> Self {
        let config = dir.path().join("snapd.yaml");
        let config = if config.exists() { config } else { PathBuf::from("/dev/null") };
        let child = change(&mut snapd())
            .args(["--log-level", "debug", "--tribe-node-name", "i1", "--config"])
            .arg(config)
            .arg("--socket")
            .arg(dir.path().join("snapd.sock"))
            .arg("--data-dir")
            .arg(dir.path().join("data"))
            .stderr(std::fs::File::create(dir.path().join("log")).unwrap())
            .spawn()
            .unwrap();
        let daemon = Self { dir, child };
        wait_until("the daemon answers", || UnixStream::connect(daemon.socket()).is_ok());
        daemon
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.dir.path().join("snapd.sock")
    }

    pub(crate) fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args([name, &pid]).status().unwrap().success());
    }

    /// Waits for the end.
    pub(crate) fn ended(&mut self) -> ExitStatus {
        let mut status = None;
        wait_until("the daemon ends", || {
            status = self.child.try_wait().unwrap();
            status.is_some()
        });
        status.unwrap()
    }

    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("log")).unwrap()
    }

    pub(crate) fn get(&self, path: &str) -> Reply {
        self.send("GET", path, "", "")
    }

    pub(crate) fn json(&self, method: &str, path: &str, body: &str) -> Reply {
        self.send(method, path, "content-type: application/json\r\n", body)
    }

    /// One request on a connection of its own.
    pub(crate) fn send(&self, method: &str, path: &str, headers: &str, body: &str) -> Reply {
        let length = body.len();
        let head = format!(
            "{method} {path} HTTP/1.0\r\nhost: snapd\r\nconnection: close\r\n\
             content-length: {length}\r\n{headers}\r\n"
        );
        request(&self.socket(), &format!("{head}{body}"))
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Tries again and again until it holds.
pub(crate) fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + LONG;
    while !holds() {
        assert!(Instant::now() < end, "not so in time: {what}");
        std::thread::park_timeout(Duration::from_millis(5));
    }
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) content_type: String,
    pub(crate) body: Value,
}

impl Reply {
    /// Status and code of a refusal.
    pub(crate) fn refusal(&self) -> (u16, &str) {
        assert_eq!(self.content_type, "application/json", "{self:?}");
        let error = &self.body["error"];
        assert!(error["message"].as_str().is_some_and(|text| !text.contains('\n')), "{self:?}");
        (self.status, error["code"].as_str().unwrap())
    }

    pub(crate) fn message(&self) -> &str {
        self.body["error"]["message"].as_str().unwrap()
    }

    pub(crate) fn help(&self) -> &str {
        self.body["error"]["help"].as_str().unwrap()
    }
}

fn request(socket: &Path, text: &str) -> Reply {
    let mut stream = UnixStream::connect(socket).unwrap();
    stream.set_read_timeout(Some(LONG)).unwrap();
    // The daemon may answer and close before it has read a body it does not want.
    let _ = stream.write_all(text.as_bytes());
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line).unwrap();
    let status = line.split(' ').nth(1).unwrap().parse().unwrap();
    let (mut content_type, mut length) = (String::new(), None);
    loop {
        line.clear();
        reader.read_line(&mut line).unwrap();
        let Some((name, value)) = line.trim_end().split_once(": ") else { break };
        match name {
            "content-type" => content_type = value.to_owned(),
            "content-length" => length = Some(value.parse().unwrap()),
            _ => {}
        }
    }
    let mut body = Vec::new();
    match length {
        Some(length) => reader.take(length).read_to_end(&mut body),
        None => reader.read_to_end(&mut body),
    }
    .unwrap();
    let body = serde_json::from_slice(&body)
        .unwrap_or_else(|_| Value::String(String::from_utf8_lossy(&body).into_owned()));
    Reply { status, content_type, body }
}
