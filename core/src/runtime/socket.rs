//! A stream as a connected socket, for those who read and write descriptors.
//!
//! One end of a socket pair is the user's; a task carries what goes over it. A socket pair knows ends of
//! directions, but no errors, with one exception: on Linux, who closes its end with bytes unread resets
//! the other. So one byte is always left unread here: the user gives it before anything else, and later
//! the last byte that has been carried stays until the next ones come. A stream that is lost is closed
//! like that, one that is over is not.

use std::{
    future::poll_fn,
    io,
    mem::MaybeUninit,
    os::unix::net::UnixStream as UserSocket,
    pin::Pin,
    task::{Poll, ready},
    time::Duration,
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::ioctl_fionread,
    net::{RecvFlags, SendFlags, Shutdown, recv, send, shutdown, sockopt},
};
use tokio::{
    io::{AsyncRead, AsyncWriteExt as _, Interest, ReadBuf, ReadHalf, WriteHalf, split},
    net::UnixStream,
    sync::Notify,
    time::sleep,
};

use super::ServiceStream;

/// Most bytes carried at a time.
const CHUNK_BYTES: usize = 32 * 1024;
/// What the user may have written and we have not read. The byte that is left unread counts with all that
/// was written together with it, some 50 KiB, and a socket is writable only while no more than a quarter is
/// taken.
const WAITING_BYTES: usize = 212_992;
/// How long a thread may take to wake up.
const WAKING: Duration = Duration::from_millis(100);

impl ServiceStream {
    /// Makes of it a connected socket, blocking and closed on exec, for code that wants a descriptor.
    ///
    /// `shutdown(SHUT_WR)` ends our direction, a read of nothing tells that the peer has ended its own. To
    /// close it after all was read ends ours as well; to close it with bytes unread is an error to the
    /// peer. When the stream is lost, a read gives what had come, and then fails with `ECONNRESET` (on
    /// Linux; elsewhere it looks like an end); a write fails with `EPIPE`.
    ///
    /// Must be called inside the tokio runtime that is to carry it.
    ///
    /// # Errors
    /// The system has no more descriptors; then the stream is lost, which is an error to the peer.
    pub fn into_socket(self) -> io::Result<UserSocket> {
        let (user, ours) = UserSocket::pair()?;
        // A system that grants less serves those who block.
        let _ = sockopt::set_socket_send_buffer_size(&user, WAITING_BYTES);
        ours.set_nonblocking(true)?;
        let ours = UnixStream::from_std(ours)?;
        send(&user, &[0], SendFlags::NOSIGNAL)?;
        tokio::spawn(carry(self, ours));
        Ok(user)
    }
}

/// Carries a stream until both directions are over, or it is lost.
async fn carry(stream: ServiceStream, socket: UnixStream) {
    match carry_both(stream, &socket).await {
        // Nothing is unread any more.
        Ok(()) => drop(recv(&socket, &mut [0], RecvFlags::DONTWAIT)),
        Err(_) => let_writers_go(&socket).await,
    }
}

/// On an error the stream is dropped as it is, so that the peer sees one.
async fn carry_both(stream: ServiceStream, socket: &UnixStream) -> io::Result<()> {
    let (mut from_peer, mut to_peer) = split(stream);
    let over = Notify::new();
    let up = async {
        let sent = carry_up(socket, &mut to_peer).await;
        over.notify_one();
        sent
    };
    tokio::try_join!(up, carry_down(&mut from_peer, socket, &over))?;
    Ok(())
}

/// A reset is told once, to whoever asks first, and the next reader sees an end. A thread that waits in a
/// write asks when it wakes up: it is woken before there is a reset, and gets an error of its own.
async fn let_writers_go(socket: &UnixStream) {
    let unread = ioctl_fionread(socket).unwrap_or_default();
    let _ = shutdown(socket, Shutdown::Read);
    if unread > 1 {
        sleep(WAKING).await;
    }
}

/// Gives the peer what the user writes, then that it is over.
async fn carry_up(socket: &UnixStream, to_peer: &mut WriteHalf<ServiceStream>) -> io::Result<()> {
    loop {
        socket.readable().await?;
        let taken = match socket.try_io(Interest::READABLE, || take(socket)) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
            taken => taken?,
        };
        match taken {
            Some(bytes) => to_peer.write_all(&bytes).await?,
            None => return to_peer.shutdown().await,
        }
    }
}

/// What the user has written, all but the byte that has been carried before; `None` at the end.
fn take(socket: &UnixStream) -> io::Result<Option<Vec<u8>>> {
    let mut space = [0; CHUNK_BYTES + 1];
    let mut look = || Ok::<_, io::Error>(recv(socket, &mut space, RecvFlags::PEEK)?.0);
    let mut length = look()?;
    if length <= 1 {
        if !has_ended(socket)? {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        // What was written before the end may have come after the first look.
        length = look()?;
    }
    if length <= 1 {
        return Ok(None);
    }
    let bytes = space.get(1..length).unwrap_or_default().to_vec();
    // The last one stays.
    let gone = space.get_mut(..length - 1).unwrap_or_default();
    recv(socket, gone, RecvFlags::DONTWAIT)?;
    Ok(Some(bytes))
}

/// The user will write no more; an error if it has closed the socket with bytes unread.
fn has_ended(socket: &UnixStream) -> io::Result<bool> {
    let mut asked = [PollFd::new(socket, PollFlags::RDHUP)];
    poll(&mut asked, Some(&Timespec::default()))?;
    let state = asked.first().map_or(PollFlags::empty(), PollFd::revents);
    if state.contains(PollFlags::ERR) {
        return Err(io::ErrorKind::ConnectionReset.into());
    }
    Ok(state.intersects(PollFlags::RDHUP | PollFlags::HUP))
}

/// Gives the user what the peer sends, then that it is over.
async fn carry_down(
    from_peer: &mut ReadHalf<ServiceStream>,
    socket: &UnixStream,
    over: &Notify,
) -> io::Result<()> {
    loop {
        let bytes = next_bytes(from_peer).await?;
        if bytes.is_empty() {
            // The user may be gone already.
            let _ = shutdown(socket, Shutdown::Write);
            return Ok(());
        }
        if let Err(error) = write_all(socket, &bytes).await {
            // The user is gone. What it wrote before may not wait for a peer that wants to be read first.
            tokio::select! {
                () = over.notified() => return Err(error),
                Err(lost) = discard(from_peer) => return Err(lost),
            }
        }
    }
}

async fn write_all(socket: &UnixStream, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        socket.writable().await?;
        // A plain write may raise a signal, which would end a host that is no Rust program.
        let write = || Ok(send(socket, bytes, SendFlags::NOSIGNAL | SendFlags::DONTWAIT)?);
        match socket.try_io(Interest::WRITABLE, write) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            written => bytes = bytes.get(written?..).unwrap_or_default(),
        }
    }
    Ok(())
}

async fn discard(from_peer: &mut ReadHalf<ServiceStream>) -> io::Result<()> {
    while !next_bytes(from_peer).await?.is_empty() {}
    Ok(())
}

/// What the peer has sent; nothing at the end. No buffer waits with it: most streams are idle most of the
/// time.
async fn next_bytes(from_peer: &mut ReadHalf<ServiceStream>) -> io::Result<Vec<u8>> {
    poll_fn(|context| {
        let mut space = [const { MaybeUninit::uninit() }; CHUNK_BYTES];
        let mut buffer = ReadBuf::uninit(&mut space);
        ready!(Pin::new(&mut *from_peer).poll_read(context, &mut buffer))?;
        Poll::Ready(Ok(buffer.filled().to_vec()))
    })
    .await
}
