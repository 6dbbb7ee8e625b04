//! The bytes of a service's stream, over the connection that the engines have agreed on.
//!
//! Each message begins with what it is: data, the end of a direction, or a sign of life. Both directions
//! run by themselves, so that neither waits for the other's reader.

use std::{
    io,
    mem::MaybeUninit,
    pin::Pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    task::ready,
    time::Duration,
};

use tokio::{
    io::{
        AsyncRead, AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, ReadBuf, ReadHalf,
        WriteHalf,
    },
    net::{TcpStream, tcp},
    sync::{Notify, watch},
    time::{sleep, timeout},
};

use super::services::End;
use crate::wire::noise::{NoiseStream, StreamError};

#[cfg(test)]
#[cfg(feature = "sim")]
mod tests;

/// Bytes of the user.
const DATA: u8 = 0;
/// This direction is over.
const END: u8 = 1;
/// Nothing to say, but still here.
const ALIVE: u8 = 2;

/// After so much silence a side says that it is still here.
const ALIVE_PERIOD: Duration = Duration::from_secs(4);
/// A peer that says nothing for so long is lost.
const SILENCE: Duration = Duration::from_secs(10);
/// How long a stream that nobody holds may take to be over.
const LINGER: Duration = Duration::from_secs(5);
/// Most bytes of one message.
const CHUNK_BYTES: usize = 32 * 1024;
const READ_BYTES: usize = 16 * 1024;

/// What one message says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Said<'a> {
    /// Bytes of the user.
    Data(&'a [u8]),
    /// This direction is over.
    End,
    /// Nothing, but its sender is still here.
    Alive,
}

impl<'a> Said<'a> {
    /// Reads a message; `None` if it is none.
    fn read(message: &'a [u8]) -> Option<Self> {
        match message.split_first()? {
            (&DATA, data) => Some(Self::Data(data)),
            (&END, []) => Some(Self::End),
            (&ALIVE, []) => Some(Self::Alive),
            _ => None,
        }
    }

    fn write(self) -> Vec<u8> {
        match self {
            Self::Data(data) => [&[DATA], data].concat(),
            Self::End => vec![END],
            Self::Alive => vec![ALIVE],
        }
    }
}

/// Why a stream was cut.
#[derive(Debug, thiserror::Error)]
enum TunnelError {
    #[error("the peer cut the connection")]
    Cut,
    #[error("the peer fell silent")]
    Silent,
    #[error("the peer sent what is no message")]
    Malformed,
    #[error("this end was dropped before it was shut down")]
    Dropped,
    #[error("the node has stopped")]
    Stopped,
    #[error("its key was removed")]
    KeyRemoved,
    #[error("the connection is lost: {0}")]
    Io(#[from] io::Error),
    #[error(transparent)]
    Noise(#[from] StreamError),
}

impl TunnelError {
    fn kind(&self) -> io::ErrorKind {
        match self {
            Self::Silent => io::ErrorKind::TimedOut,
            Self::Io(error) => error.kind(),
            Self::Malformed | Self::Noise(_) => io::ErrorKind::InvalidData,
            Self::Cut => io::ErrorKind::ConnectionReset,
            Self::Dropped | Self::Stopped | Self::KeyRemoved => io::ErrorKind::ConnectionAborted,
        }
    }
}

/// What both directions share.
struct Tunnel {
    noise: Mutex<NoiseStream>,
    user: Arc<End>,
    peer: Arc<End>,
    /// The peer was told that the user's direction is over.
    told: AtomicBool,
    told_now: Notify,
    /// The peer told that its direction is over.
    heard: Notify,
}

/// Carries a stream until both directions are over, or it is lost; returns why it ended.
pub(super) async fn run(
    mut socket: TcpStream,
    noise: NoiseStream,
    io: DuplexStream,
    [user, peer]: [Arc<End>; 2],
    mut stopped: watch::Receiver<bool>,
    key_removed: impl Future<Output = ()>,
) -> String {
    let (told, told_now, heard) = (AtomicBool::new(false), Notify::new(), Notify::new());
    let tunnel = Tunnel { noise: Mutex::new(noise), user, peer, told, told_now, heard };
    let (mut from_user, mut to_user) = tokio::io::split(io);
    let (reader, mut writer) = socket.split();
    let ended = tokio::select! {
        sent = tunnel.send_all(&mut from_user, &mut writer) => sent,
        lost = tunnel.receive_all(&reader, &mut to_user) => Err(lost),
        () = tunnel.dropped() => Err(TunnelError::Dropped),
        () = key_removed => Err(TunnelError::KeyRemoved),
        // An error means that the loop is gone.
        _ = stopped.wait_for(|stopped| *stopped) => Err(TunnelError::Stopped),
    };
    match ended {
        Ok(()) => {
            part(&mut socket).await;
            "done".to_owned()
        }
        Err(error) => {
            // Before the user sees the end of the pipe.
            tunnel.peer.fail(error.kind(), error.to_string());
            error.to_string()
        }
    }
}

impl Tunnel {
    /// Sends what the user writes, then that it is over; returns when the peer is done as well.
    async fn send_all(
        &self,
        from_user: &mut ReadHalf<DuplexStream>,
        writer: &mut tcp::WriteHalf<'_>,
    ) -> Result<(), TunnelError> {
        loop {
            match timeout(ALIVE_PERIOD, next_data(from_user)).await {
                Err(_) => self.send(writer, &Said::Alive.write()).await?,
                Ok(Ok(None)) if !self.user.is_finished() => return Err(TunnelError::Dropped),
                Ok(Ok(None)) => break,
                Ok(Ok(Some(message))) => self.send(writer, &message).await?,
                Ok(Err(error)) => return Err(error.into()),
            }
        }
        self.send(writer, &Said::End.write()).await?;
        self.told.store(true, Ordering::Release);
        self.told_now.notify_one();
        while timeout(ALIVE_PERIOD, self.heard.notified()).await.is_err() {
            self.send(writer, &Said::Alive.write()).await?;
        }
        Ok(())
    }

    async fn send(
        &self,
        writer: &mut tcp::WriteHalf<'_>,
        message: &[u8],
    ) -> Result<(), TunnelError> {
        let bytes = self.with_noise(|noise| {
            noise.send(message)?;
            Ok::<_, StreamError>(noise.take_output())
        })?;
        Ok(writer.write_all(&bytes).await?)
    }

    /// Gives the user what the peer sends, until the connection ends.
    async fn receive_all(
        &self,
        reader: &tcp::ReadHalf<'_>,
        to_user: &mut WriteHalf<DuplexStream>,
    ) -> TunnelError {
        loop {
            while let Some(message) = self.with_noise(NoiseStream::next_message) {
                match Said::read(&message) {
                    Some(Said::Data(data)) if !self.peer.is_finished() => {
                        // A user that is gone does not miss it; the other direction may go on.
                        let _ = to_user.write_all(data).await;
                    }
                    Some(Said::End) if !self.peer.is_finished() => {
                        self.peer.finish();
                        let _ = to_user.shutdown().await;
                        self.heard.notify_one();
                    }
                    Some(Said::Alive) => {}
                    _ => return TunnelError::Malformed,
                }
            }
            match timeout(SILENCE, reader.readable()).await {
                Err(_) => return TunnelError::Silent,
                Ok(Err(error)) => return error.into(),
                Ok(Ok(())) => {}
            }
            match self.receive(reader) {
                Ok(true) => {}
                // It heard our end and told its own: the other direction sees that all is done.
                Ok(false) if self.peer.is_finished() && self.told.load(Ordering::Acquire) => {
                    std::future::pending().await
                }
                Ok(false) => return TunnelError::Cut,
                Err(error) => return error,
            }
        }
    }

    /// Takes what has come; `false` at the end of the connection. No buffer outlives it: most streams are
    /// idle most of the time.
    fn receive(&self, reader: &tcp::ReadHalf<'_>) -> Result<bool, TunnelError> {
        let mut buffer = [0; READ_BYTES];
        match reader.try_read(&mut buffer) {
            Ok(0) => Ok(false),
            Ok(length) => {
                let bytes = buffer.get(..length).unwrap_or_default();
                self.with_noise(|noise| noise.receive(bytes))?;
                Ok(true)
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(true),
            Err(error) => Err(error.into()),
        }
    }

    /// Waits until the user has dropped the stream and has had time to say the rest.
    async fn dropped(&self) {
        self.user.gone().await;
        if self.user.is_finished() {
            self.told_now.notified().await;
        }
        sleep(LINGER).await;
    }

    fn with_noise<T>(&self, act: impl FnOnce(&mut NoiseStream) -> T) -> T {
        act(&mut self.noise.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The next message with bytes of the user; `None` when there are no more.
async fn next_data(from_user: &mut ReadHalf<DuplexStream>) -> io::Result<Option<Vec<u8>>> {
    std::future::poll_fn(|context| {
        let mut space = [const { MaybeUninit::uninit() }; CHUNK_BYTES];
        let mut buffer = ReadBuf::uninit(&mut space);
        ready!(Pin::new(&mut *from_user).poll_read(context, &mut buffer))?;
        let data = buffer.filled();
        Ok((!data.is_empty()).then(|| Said::Data(data).write())).into()
    })
    .await
}

/// Both directions are over. Who closes first would cut off what is still on its way.
async fn part(socket: &mut TcpStream) {
    // Whether the peer still hears it does not matter.
    let _ = socket.shutdown().await;
    let mut rest = [0; 256];
    let _ =
        timeout(LINGER, async { while socket.read(&mut rest).await.is_ok_and(|read| read > 0) {} })
            .await;
}
