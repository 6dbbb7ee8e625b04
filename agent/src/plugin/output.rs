//! What plugins print: read for as long as they live, the last lines kept.
//!
//! Invariant: a pipe is read until its end whatever it carries, for a plugin that writes into a
//! full or closed pipe stands still or dies.

use std::{
    collections::VecDeque,
    io,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::{
    io::{AsyncBufReadExt, AsyncRead, BufReader},
    sync::oneshot,
};
use tracing::debug;

use super::preamble::{self, Preamble, PreambleError};

/// How much of a line is read; the rest of it is passed over. A preamble takes less.
const LINE_BYTES: usize = 64 * 1024;
/// How many last lines are kept.
const TAIL_LINES: usize = 20;
/// How much of each is kept.
const TAIL_CHARS: usize = 400;

/// The last lines a plugin printed.
#[derive(Debug, Clone, Default)]
pub(super) struct Tail(Arc<Mutex<VecDeque<String>>>);

impl Tail {
    /// The lines, oldest first.
    pub(super) fn lines(&self) -> Vec<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }

    fn push(&self, line: &str) {
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if lines.len() == TAIL_LINES {
            lines.pop_front();
        }
        lines.push_back(line.chars().take(TAIL_CHARS).collect());
    }
}

/// Reads standard output to its end. The first preamble goes to `hello`, which is dropped at the
/// end.
pub(super) async fn drain_stdout(
    pipe: impl AsyncRead + Unpin,
    tail: Tail,
    plugin: String,
    hello: oneshot::Sender<Result<Preamble, PreambleError>>,
) {
    let mut hello = Some(hello);
    let mut reader = BufReader::new(pipe);
    while let Ok(Some(line)) = next_line(&mut reader).await {
        if let Some(preamble) = hello.as_ref().and_then(|_| preamble::parse(&line)) {
            // Nobody waits any more if the time was up.
            let _ = hello.take().map(|hello| hello.send(preamble));
            continue;
        }
        keep(&tail, &plugin, "stdout", &line);
    }
}

/// Reads standard error to its end.
pub(super) async fn drain_stderr(pipe: impl AsyncRead + Unpin, tail: Tail, plugin: String) {
    let mut reader = BufReader::new(pipe);
    while let Ok(Some(line)) = next_line(&mut reader).await {
        keep(&tail, &plugin, "stderr", &line);
    }
}

fn keep(tail: &Tail, plugin: &str, io: &str, line: &[u8]) {
    let line = String::from_utf8_lossy(line);
    let line = line.trim_end();
    if !line.is_empty() {
        debug!(plugin, io, line, "a plugin says");
        tail.push(line);
    }
}

/// The beginning of the next line, or none at the end.
async fn next_line(reader: &mut (impl AsyncBufReadExt + Unpin)) -> io::Result<Option<Vec<u8>>> {
    let mut line = Vec::new();
    let mut any = false;
    loop {
        let chunk = reader.fill_buf().await?;
        if chunk.is_empty() {
            return Ok(any.then_some(line));
        }
        any = true;
        let end = chunk.iter().position(|byte| *byte == b'\n');
        let text = chunk.get(..end.unwrap_or(chunk.len())).unwrap_or_default();
        let room = LINE_BYTES.saturating_sub(line.len()).min(text.len());
        line.extend_from_slice(text.get(..room).unwrap_or_default());
        let used = end.map_or(chunk.len(), |end| end + 1);
        reader.consume(used);
        if end.is_some() {
            return Ok(Some(line));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HELLO: &str =
        r#"{"Meta":{"Name":"p","Version":1,"RPCType":2},"ListenAddress":"127.0.0.1:1"}"#;

    async fn check(output: &[u8], expected: Option<&str>, tail: &[&str]) {
        let (sender, receiver) = oneshot::channel();
        let lines = Tail::default();
        drain_stdout(output, lines.clone(), "p".into(), sender).await;
        let found = receiver.await.ok().map(|hello| hello.unwrap().identity.to_string());
        assert_eq!(found.as_deref(), expected);
        assert_eq!(lines.lines(), tail);
    }

    #[tokio::test]
    async fn noise_before_and_after_the_preamble_is_kept_as_noise() {
        let output = format!("warming up\n{{\"level\":\"info\"}}\n{HELLO}\nping\n{HELLO}");
        let tail = ["warming up", "{\"level\":\"info\"}", "ping", HELLO];
        check(output.as_bytes(), Some("collector:p:1"), &tail).await;
    }

    #[tokio::test]
    async fn a_preamble_without_a_line_feed_is_read() {
        check(HELLO.as_bytes(), Some("collector:p:1"), &[]).await;
        check(b"", None, &[]).await;
        check(b"nothing\n", None, &["nothing"]).await;
    }

    #[tokio::test]
    async fn bytes_that_are_no_text_and_endless_lines_do_no_harm() {
        let mut output = vec![b'x'; 3 * LINE_BYTES];
        output.extend(b"\n\xff\xfe\n\r\n");
        let x = "x".repeat(TAIL_CHARS);
        check(&output, None, &[&x, "\u{fffd}\u{fffd}"]).await;
    }

    #[tokio::test]
    async fn only_the_last_lines_are_kept() {
        let output: String = (0..100).map(|line| format!("{line}\n")).collect();
        let tail: Vec<_> = (80..100).map(|line| line.to_string()).collect();
        let tail: Vec<_> = tail.iter().map(String::as_str).collect();
        check(output.as_bytes(), None, &tail).await;
    }
}
