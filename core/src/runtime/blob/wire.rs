//! What nodes say to each other about blobs, over a stream of the service `blob`.
//!
//! The dialler sends one request. It is answered by one frame; [`Answer::Bytes`] is followed by the blob from the
//! offset that was asked for, and then by the end of the stream. A frame is its length in two bytes, big-endian,
//! and a message of `codec`.

use std::{io, path::Path, time::Duration};

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    task::spawn_blocking,
    time::timeout,
};

use super::{BlobError, store::Part};
use crate::{BlobId, codec, limits};

/// What a node asks of another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Ask {
    /// Send a blob from here on.
    Get {
        /// Which.
        blob: BlobId,
        /// From where.
        offset: u64,
    },
    /// Hold a blob that I have.
    Hold {
        /// Which.
        blob: BlobId,
        /// Its size.
        bytes: u64,
    },
}

/// What the other says to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Answer {
    /// The blob has so many bytes, and here they are.
    Bytes(u64),
    /// It is held.
    Held,
    /// It cannot be done, and why.
    Refused(String),
}

/// Why a peer was of no use. The peer's or the network's fault; texts of the peer are shown as they came.
#[derive(Debug, thiserror::Error)]
pub(super) enum PeerError {
    /// The stream failed.
    #[error("the connection failed: {0}")]
    Io(#[from] io::Error),
    /// The stream ended.
    #[error("the connection ended after {0} of {1} bytes")]
    Cut(u64, u64),
    /// Nothing came, or nothing was taken.
    #[error("nothing moved for {} s", .0.as_secs())]
    Idle(Duration),
    /// It does not speak the protocol.
    #[error("it does not speak the protocol of blobs")]
    Malformed,
    /// It said no.
    #[error("{0}")]
    Refused(String),
    /// It has something else under that id.
    #[error("it has {theirs} bytes where there should be {ours}")]
    Size { theirs: u64, ours: u64 },
    /// It sent something else than was asked for.
    #[error("it sent wrong bytes")]
    Wrong,
    /// This node cannot keep what it sends.
    #[error(transparent)]
    Here(#[from] BlobError),
}

/// Sends a message.
pub(super) async fn send<S, T>(stream: &mut S, message: &T) -> Result<(), PeerError>
where
    S: AsyncWrite + Unpin,
    T: Serialize,
{
    let bytes = codec::encode(message);
    let length = u16::try_from(bytes.len()).map_err(|_| PeerError::Malformed)?;
    let mut frame = length.to_be_bytes().to_vec();
    frame.extend(bytes);
    moving(async {
        stream.write_all(&frame).await?;
        stream.flush().await
    })
    .await
}

/// Sends a message, and the end of the stream.
pub(super) async fn send_last<S, T>(stream: &mut S, message: &T) -> Result<(), PeerError>
where
    S: AsyncWrite + Unpin,
    T: Serialize,
{
    send(stream, message).await?;
    moving(stream.shutdown()).await
}

/// Receives a message; waits for it at most so long.
pub(super) async fn receive<S, T>(stream: &mut S, longest: Duration) -> Result<T, PeerError>
where
    S: AsyncRead + Unpin,
    T: DeserializeOwned,
{
    let frame = async {
        let length = usize::from(stream.read_u16().await?);
        if length > limits::BLOB_FRAME_BYTES {
            return Err(PeerError::Malformed);
        }
        let mut bytes = vec![0; length];
        stream.read_exact(&mut bytes).await?;
        codec::decode(&bytes).map_err(|_| PeerError::Malformed)
    };
    timeout(longest, frame).await.map_err(|_| PeerError::Idle(longest))?
}

/// A refusal that fits a frame.
pub(super) fn refusal(reason: &str) -> Answer {
    let most = limits::BLOB_FRAME_BYTES - 16;
    Answer::Refused(
        reason
            .chars()
            .scan(0, |bytes, c| {
                *bytes += c.len_utf8();
                (*bytes <= most).then_some(c)
            })
            .collect(),
    )
}

/// Sends a blob from an offset on.
pub(super) async fn upload<S>(stream: &mut S, path: &Path, offset: u64) -> Result<(), PeerError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let opened = open(path, offset).await;
    let (mut file, bytes) = match opened {
        Ok(opened) => opened,
        Err(error) => return send_last(stream, &refusal(&error.to_string())).await,
    };
    send(stream, &Answer::Bytes(bytes)).await?;
    loop {
        let read = spawn_blocking(move || {
            use std::io::Read;
            let mut chunk = Vec::with_capacity(limits::BLOB_CHUNK_BYTES);
            let most = limits::BLOB_CHUNK_BYTES as u64;
            file.by_ref().take(most).read_to_end(&mut chunk).map(|_| (file, chunk))
        });
        let (back, chunk) = read.await.map_err(io::Error::other)??;
        if chunk.is_empty() {
            return moving(stream.shutdown()).await;
        }
        file = back;
        // In small steps: a peer that takes anything at all is not idle.
        for piece in chunk.chunks(16 * 1024) {
            moving(stream.write_all(piece)).await?;
        }
        moving(stream.flush()).await?;
    }
}

async fn open(path: &Path, offset: u64) -> io::Result<(std::fs::File, u64)> {
    let path = path.to_owned();
    let open = move || {
        use std::io::{Seek, SeekFrom};
        let mut file = std::fs::File::open(path)?;
        let bytes = file.metadata()?.len();
        file.seek(SeekFrom::Start(offset.min(bytes)))?;
        Ok((file, bytes))
    };
    spawn_blocking(open).await.map_err(io::Error::other)?
}

/// Receives what is missing of a blob. Whatever came is kept, also when it fails.
pub(super) async fn download<S>(
    stream: &mut S,
    part: Part,
) -> Result<(Part, Result<(), PeerError>), BlobError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    if let Err(error) = ask(stream, &part).await {
        return Ok((part, Err(error)));
    }
    let mut part = part;
    while part.length() < part.bytes() {
        let missing = usize::try_from(part.bytes() - part.length()).unwrap_or(usize::MAX);
        let mut chunk = vec![0; missing.min(limits::BLOB_CHUNK_BYTES)];
        let (filled, ended) = fill(stream, &mut chunk).await;
        let append = spawn_blocking(move || {
            let appended = part.append(chunk.get(..filled).unwrap_or_default());
            (part, appended)
        });
        let (back, appended) = append.await.map_err(|_| BlobError::Closed)?;
        part = back;
        appended?;
        match ended {
            Some(error) => return Ok((part, Err(error))),
            None if filled == 0 => {
                let cut = PeerError::Cut(part.length(), part.bytes());
                return Ok((part, Err(cut)));
            }
            None => {}
        }
    }
    Ok((part, Ok(())))
}

async fn ask<S>(stream: &mut S, part: &Part) -> Result<(), PeerError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    send(stream, &Ask::Get { blob: part.blob(), offset: part.length() }).await?;
    match receive(stream, limits::BLOB_IDLE).await? {
        Answer::Bytes(theirs) if theirs != part.bytes() => {
            Err(PeerError::Size { theirs, ours: part.bytes() })
        }
        Answer::Bytes(_) => Ok(()),
        Answer::Refused(reason) => Err(PeerError::Refused(reason)),
        Answer::Held => Err(PeerError::Malformed),
    }
}

/// Fills a buffer as far as the peer sends; says how far, and why not farther if something failed.
async fn fill<S>(stream: &mut S, buffer: &mut [u8]) -> (usize, Option<PeerError>)
where
    S: AsyncRead + Unpin,
{
    let mut filled = 0;
    while let Some(rest) = buffer.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match timeout(limits::BLOB_IDLE, stream.read(rest)).await {
            Ok(Ok(0)) => break,
            Ok(Ok(read)) => filled += read,
            Ok(Err(error)) => return (filled, Some(error.into())),
            Err(_) => return (filled, Some(PeerError::Idle(limits::BLOB_IDLE))),
        }
    }
    (filled, None)
}

async fn moving<T>(step: impl Future<Output = io::Result<T>>) -> Result<T, PeerError> {
    let done = timeout(limits::BLOB_IDLE, step).await;
    Ok(done.map_err(|_| PeerError::Idle(limits::BLOB_IDLE))??)
}
