//! Messages on a stream: four bytes of length, big-endian, then the message.
//!
//! Invariant: a length beyond the limit is refused before anything of that size is made.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::message::Sent;

/// What is read at once.
const CHUNK_BYTES: usize = 64 * 1024;

/// Sends a message. An error of the kind [`io::ErrorKind::FileTooLarge`] says that nothing was sent.
pub(super) async fn send<M: Sent>(
    stream: &mut (impl AsyncWrite + Unpin),
    message: &M,
) -> io::Result<()> {
    let length = message.encoded_len();
    check::<M>(length)?;
    let head = u32::try_from(length).map_err(io::Error::other)?;
    let mut bytes = Vec::with_capacity(length + 4);
    bytes.extend(head.to_be_bytes());
    message.encode(&mut bytes).map_err(io::Error::other)?;
    stream.write_all(&bytes).await?;
    stream.flush().await
}

/// Receives a message; none at the end of the stream.
pub(super) async fn receive<M: Sent>(
    stream: &mut (impl AsyncRead + Unpin),
) -> io::Result<Option<M>> {
    let Some(length) = receive_length(stream).await? else { return Ok(None) };
    check::<M>(length)?;
    receive_message(stream, length).await.map(Some)
}

/// How long the next message is; none at the end of the stream.
pub(super) async fn receive_length(
    stream: &mut (impl AsyncRead + Unpin),
) -> io::Result<Option<usize>> {
    let mut head = [0; 4];
    if stream.read(head.get_mut(..1).unwrap_or_default()).await? == 0 {
        return Ok(None);
    }
    stream.read_exact(head.get_mut(1..).unwrap_or_default()).await?;
    Ok(Some(usize::try_from(u32::from_be_bytes(head)).unwrap_or(usize::MAX)))
}

/// May a message be as long as that?
pub(super) fn check<M: Sent>(length: usize) -> io::Result<()> {
    if length <= M::BYTES {
        return Ok(());
    }
    let text = format!("a message of {length} bytes is too large, at most {}", M::BYTES);
    Err(io::Error::new(io::ErrorKind::FileTooLarge, text))
}

/// Receives a message whose length was received.
pub(super) async fn receive_message<M: Sent>(
    stream: &mut (impl AsyncRead + Unpin),
    length: usize,
) -> io::Result<M> {
    // Memory grows with what has come, not with what was announced.
    let mut bytes = Vec::new();
    while bytes.len() < length {
        let room = (length - bytes.len()).min(CHUNK_BYTES);
        let limit = u64::try_from(room).unwrap_or(u64::MAX);
        if (&mut *stream).take(limit).read_to_end(&mut bytes).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    M::decode(bytes.as_slice()).map_err(io::Error::other)
}

/// Passes over a message whose length was received.
pub(super) async fn skip(stream: &mut (impl AsyncRead + Unpin), length: usize) -> io::Result<()> {
    let length = u64::try_from(length).unwrap_or(u64::MAX);
    let skipped = tokio::io::copy(&mut (&mut *stream).take(length), &mut tokio::io::sink()).await?;
    if skipped < length {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{super::message::Outcome, *};

    fn outcome(error: &str) -> Outcome {
        Outcome::failed(error)
    }

    #[tokio::test]
    async fn messages_arrive_one_by_one_until_the_end() {
        let (mut one, mut other) = tokio::io::duplex(64);
        let sent = tokio::spawn(async move {
            for text in ["a", "", &"x".repeat(200_000)] {
                send(&mut one, &outcome(text)).await.unwrap();
            }
        });
        for text in ["a", "", &"x".repeat(200_000)] {
            let received: Option<Outcome> = receive(&mut other).await.unwrap();
            assert_eq!(received, Some(outcome(text)));
        }
        sent.await.unwrap();
        assert_eq!(receive::<Outcome>(&mut other).await.unwrap(), None);
    }

    #[tokio::test]
    async fn a_torn_or_hostile_message_is_an_error() {
        let check = async |bytes: &[u8]| {
            let mut stream = bytes;
            assert!(receive::<Outcome>(&mut stream).await.is_err(), "for {bytes:?}");
        };
        check(&[0]).await;
        check(&[0, 0, 0, 5, 1]).await;
        check(&[0xff; 8]).await;
        check(&[0, 0, 0, 2, 0xff, 0xff]).await;
    }
}
