//! Just enough HTTP to ask a daemon.

use std::{
    io::{self, Read, Write},
    os::unix::net::UnixStream,
    path::Path,
};

use serde_json::Value;

use crate::wait::LONG;

/// Asks for this path on a connection of its own. Status and body of the answer, which in HTTP/1.0 is
/// not in chunks.
pub(crate) fn get(socket: &Path, path: &str) -> io::Result<(u16, Value)> {
    send(socket, &format!("GET {path} HTTP/1.0\r\nhost: snapd\r\nconnection: close"))
}

/// Sends a request, which has nothing but this head, on a connection of its own that ends with the
/// answer. Status and body of that.
pub(crate) fn send(socket: &Path, head: &str) -> io::Result<(u16, Value)> {
    Asked::new(socket, head, "")?.answer()
}

/// A request that was sent on a connection of its own and is not answered yet.
#[derive(Debug)]
pub struct Asked(UnixStream);

impl Asked {
    /// Sends it.
    pub(crate) fn new(socket: &Path, head: &str, body: &str) -> io::Result<Self> {
        let mut stream = UnixStream::connect(socket)?;
        stream.set_read_timeout(Some(LONG))?;
        write!(stream, "{head}\r\n\r\n{body}")?;
        Ok(Self(stream))
    }

    /// Status and body of the answer.
    ///
    /// # Errors
    /// If there is none within [`LONG`], or it is not JSON.
    pub fn answer(mut self) -> io::Result<(u16, Value)> {
        let mut reply = String::new();
        self.0.read_to_string(&mut reply)?;
        parse(&reply).ok_or_else(|| io::Error::other(format!("not an HTTP reply: {reply:?}")))
    }
}

fn parse(reply: &str) -> Option<(u16, Value)> {
    let (head, body) = reply.split_once("\r\n\r\n")?;
    let status = head.split(' ').nth(1)?.parse().ok()?;
    Some((status, serde_json::from_str(body).ok()?))
}
