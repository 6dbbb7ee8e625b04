//! Runs snapctl and compares all of what it does; and a socket that answers as a test says.

use std::{
    io::{Read, Write},
    net::Shutdown,
    os::unix::net::{UnixListener, UnixStream},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{Arc, Mutex},
};

use tempfile::TempDir;

/// One run of snapctl, and what is expected of it: at first silence and success.
#[must_use]
pub(crate) struct Test {
    command: Command,
    stdin: String,
    stdout: String,
    stderr: String,
    status: i32,
}

impl Test {
    /// A run with these words, with nothing in its environment.
    pub(crate) fn new<'a>(words: impl IntoIterator<Item = &'a str>) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_snapctl"));
        command.env_clear().args(words);
        let empty = String::new;
        Self { command, stdin: empty(), stdout: empty(), stderr: empty(), status: 0 }
    }

    /// A run with the words of a line, which are parted by single spaces.
    pub(crate) fn line(line: &str) -> Self {
        Self::new(line.split(' '))
    }

    /// Sets a variable of its environment.
    pub(crate) fn env(mut self, name: &str, value: &Path) -> Self {
        self.command.env(name, value);
        self
    }

    /// Runs it in a directory.
    pub(crate) fn directory(mut self, directory: &Path) -> Self {
        self.command.current_dir(directory);
        self
    }

    /// Writes this to its stdin.
    pub(crate) fn stdin(mut self, text: &str) -> Self {
        self.stdin = text.into();
        self
    }

    /// Expects all of stdout; the last line feed is not written here.
    pub(crate) fn stdout(mut self, text: &str) -> Self {
        self.stdout = format!("{text}\n");
        self
    }

    /// Expects all of stderr; the last line feed is not written here.
    pub(crate) fn stderr(mut self, text: &str) -> Self {
        self.stderr = format!("{text}\n");
        self
    }

    /// Expects an exit status.
    pub(crate) fn status(mut self, status: i32) -> Self {
        self.status = status;
        self
    }

    /// Has a shell do this first, and then become it.
    pub(crate) fn after(mut self, script: &str) -> Self {
        let mut shell = Command::new("/bin/sh");
        shell.env_clear().args(["-c", &format!("{script}\nexec \"$@\""), "sh"]);
        shell.arg(self.command.get_program()).args(self.command.get_args());
        let set = self.command.get_envs().filter_map(|(name, value)| Some((name, value?)));
        shell.envs(set);
        self.command = shell;
        self
    }

    /// Runs and compares.
    pub(crate) fn run(mut self) {
        let mut child = self
            .command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("snapctl can be run");
        // A command that does not read it may have ended already.
        let _ = child.stdin.take().expect("there is a pipe").write_all(self.stdin.as_bytes());
        let output = child.wait_with_output().expect("snapctl ends");
        let stdout = String::from_utf8(output.stdout).expect("stdout is text");
        let stderr = String::from_utf8(output.stderr).expect("stderr is text");
        let found = (stdout.as_str(), stderr.as_str(), output.status.code());
        let expected = (self.stdout.as_str(), self.stderr.as_str(), Some(self.status));
        assert!(
            found == expected,
            "{:?}\nexpected {expected:#?}\nfound {found:#?}\nstdout:\n{stdout}stderr:\n{stderr}",
            self.command,
        );
    }
}

/// A request: method and path with the body, and all of its head.
struct Asked {
    request: String,
    head: String,
}

/// A socket that answers requests as it was told, for as long as the test runs.
pub(crate) struct Snapd {
    socket: PathBuf,
    asked: Arc<Mutex<Vec<Asked>>>,
    directory: TempDir,
}

impl Snapd {
    /// A daemon that knows these requests: method and path, or these with the body; status, and
    /// body of the answer.
    pub(crate) fn new(
        answers: impl IntoIterator<Item = (&'static str, u16, &'static str)>,
    ) -> Self {
        Self::answering(answers, answer)
    }

    /// A daemon whose answers never end: they have no length, and it does not hang up first.
    pub(crate) fn endless(
        answers: impl IntoIterator<Item = (&'static str, u16, &'static str)>,
    ) -> Self {
        Self::answering(answers, |asking, answers, log| {
            let mut stream = begin_answer(asking, answers, log);
            let _ = stream.read_to_end(&mut Vec::new());
        })
    }

    /// A daemon that answers nothing before it was asked for its node, and has told.
    pub(crate) fn holding(
        answers: impl IntoIterator<Item = (&'static str, u16, &'static str)>,
    ) -> Self {
        let held = Mutex::new(Vec::new());
        Self::answering(answers, move |asking, answers, log| {
            let mut held = held.lock().expect("no thread panicked");
            if asking.request != "GET /v3/node" {
                return held.push(asking);
            }
            answer(asking, answers, log);
            for asking in held.drain(..) {
                answer(asking, answers, log);
            }
        })
    }

    /// A daemon that never answers what it does not know; once that is asked, there is a file
    /// of the name `stalled` beside its socket.
    pub(crate) fn stalling(
        answers: impl IntoIterator<Item = (&'static str, u16, &'static str)>,
    ) -> Self {
        let directory = tempfile::tempdir().expect("there is room");
        let stalled = directory.path().join("stalled");
        let held = Mutex::new(Vec::new());
        Self::answering_in(directory, answers, move |asking, answers, log| {
            let whole = format!("{} {}", asking.request, asking.body);
            if answers.iter().any(|(known, ..)| *known == whole) {
                return answer(asking, answers, log);
            }
            held.lock().expect("no thread panicked").push(asking);
            std::fs::write(&stalled, "").expect("there is room");
        })
    }

    fn answering(
        answers: impl IntoIterator<Item = (&'static str, u16, &'static str)>,
        answer: impl Fn(Asking, &[(&str, u16, &str)], &Mutex<Vec<Asked>>) + Send + 'static,
    ) -> Self {
        Self::answering_in(tempfile::tempdir().expect("there is room"), answers, answer)
    }

    fn answering_in(
        directory: TempDir,
        answers: impl IntoIterator<Item = (&'static str, u16, &'static str)>,
        answer: impl Fn(Asking, &[(&str, u16, &str)], &Mutex<Vec<Asked>>) + Send + 'static,
    ) -> Self {
        let socket = directory.path().join("snapd.sock");
        let listener = UnixListener::bind(&socket).expect("the socket is free");
        let asked = Arc::new(Mutex::new(Vec::new()));
        let answers: Vec<_> = answers.into_iter().collect();
        let log = Arc::clone(&asked);
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                answer(Asking::read(stream), &answers, &log);
            }
        });
        Self { socket, asked, directory }
    }

    /// A run of snapctl that talks to it.
    pub(crate) fn test<'a>(&self, words: impl IntoIterator<Item = &'a str>) -> Test {
        Test::new(words).env("SNAP_SOCKET", &self.socket)
    }

    /// The file that says that it was asked what it does not answer.
    pub(crate) fn stalled(&self) -> PathBuf {
        self.directory.path().join("stalled")
    }

    /// What is told once it closed a stream.
    pub(crate) fn closed(&self) -> String {
        format!(
            "error: snapd at `{}` closed the stream\nhelp: was it stopped? look at its log, and try \
             again",
            self.socket.display()
        )
    }

    /// What it was asked: method, path and body.
    pub(crate) fn asked(&self) -> Vec<String> {
        let asked = self.asked.lock().expect("no thread panicked");
        asked.iter().map(|asked| asked.request.clone()).collect()
    }

    /// A header of the last request.
    pub(crate) fn header(&self, name: &str) -> Option<String> {
        let asked = self.asked.lock().expect("no thread panicked");
        let head = &asked.last().expect("something was asked").head;
        let line = head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
        line.map(str::to_owned)
    }
}

/// A request that waits for its answer.
struct Asking {
    stream: UnixStream,
    request: String,
    head: String,
    body: String,
}

impl Asking {
    fn read(mut stream: UnixStream) -> Self {
        let (request, head, body) = read(&mut stream);
        Self { stream, request, head, body }
    }
}

fn answer(asking: Asking, answers: &[(&str, u16, &str)], log: &Mutex<Vec<Asked>>) {
    let mut stream = begin_answer(asking, answers, log);
    // It has read all of it once it hangs up, too.
    let _ = stream.shutdown(Shutdown::Write).and_then(|()| stream.read_to_end(&mut Vec::new()));
}

/// Answers, but for the end.
fn begin_answer(
    asking: Asking,
    answers: &[(&str, u16, &str)],
    log: &Mutex<Vec<Asked>>,
) -> UnixStream {
    let Asking { mut stream, request, head, body } = asking;
    let whole = format!("{request} {body}").trim_end().to_owned();
    let known = answers.iter().find(|(known, ..)| *known == request || *known == whole);
    let (status, reply) = known.map_or((500, "{}"), |(_, status, reply)| (*status, *reply));
    // Lists, and what takes long, ask whether the node has met its cluster: who did not set out to
    // tell of that leaves it unanswered.
    if known.is_some() || request != "GET /v3/node" {
        log.lock().expect("no thread panicked").push(Asked { request: whole, head });
    }
    let head = format!("HTTP/1.1 {status} X\r\nconnection: close\r\n\r\n");
    // A client that ends early, as a reader of events does, hangs up.
    let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(reply.as_bytes()));
    stream
}

/// Reads a request: method and path, head, and body.
fn read(stream: &mut UnixStream) -> (String, String, String) {
    let mut bytes = Vec::new();
    let mut chunk = [0; 4096];
    loop {
        let count = stream.read(&mut chunk).expect("the client sends");
        bytes.extend_from_slice(&chunk[..count]);
        let text = String::from_utf8_lossy(&bytes);
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let length = head
            .lines()
            .find_map(|line| line.to_lowercase().strip_prefix("content-length: ")?.parse().ok());
        if body.len() >= length.unwrap_or(0) {
            let first = head.lines().next().unwrap_or_default();
            return (first.trim_end_matches(" HTTP/1.1").into(), head.into(), body.into());
        }
        assert_ne!(count, 0, "the client hung up in the middle of {text}");
    }
}
