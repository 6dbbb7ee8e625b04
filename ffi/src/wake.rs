//! A descriptor that is readable while there is something to fetch.
//!
//! Only the wake-up crosses it: what there is to fetch stays where it is. An eventfd on Linux, one end
//! of a socket pair elsewhere.

use std::{
    fs::File,
    io::{self, Read, Write},
    os::fd::{AsRawFd, OwnedFd, RawFd},
};

/// The descriptor. The caller takes turns: `set` on an unset one, `reset` on a set one.
#[derive(Debug)]
pub(crate) struct Wake {
    reader: File,
    #[cfg(not(target_os = "linux"))]
    writer: File,
}

/// What is written and read: the counter of an eventfd, or as many bytes.
const ONE: [u8; 8] = 1_u64.to_ne_bytes();

impl Wake {
    #[cfg(target_os = "linux")]
    pub(crate) fn new() -> io::Result<Self> {
        use rustix::event::{EventfdFlags, eventfd};
        let descriptor: OwnedFd = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        Ok(Self { reader: descriptor.into() })
    }

    #[cfg(not(target_os = "linux"))]
    pub(crate) fn new() -> io::Result<Self> {
        let (reader, writer) = std::os::unix::net::UnixStream::pair()?;
        reader.set_nonblocking(true)?;
        writer.set_nonblocking(true)?;
        let file = |stream| File::from(OwnedFd::from(stream));
        Ok(Self { reader: file(reader), writer: file(writer) })
    }

    fn writer(&self) -> &File {
        #[cfg(target_os = "linux")]
        return &self.reader;
        #[cfg(not(target_os = "linux"))]
        return &self.writer;
    }

    /// Makes it readable.
    pub(crate) fn set(&self) {
        // It cannot be full: it holds at most one wake-up.
        let _ = self.writer().write(&ONE);
    }

    /// Makes it unreadable.
    pub(crate) fn reset(&self) {
        let _ = (&self.reader).read(&mut [0; ONE.len()]);
    }

    /// Its number, for as long as `self` lives.
    pub(crate) fn number(&self) -> RawFd {
        self.reader.as_raw_fd()
    }
}
