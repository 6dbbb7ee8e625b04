//! Messages on a stream: four bytes of length, big-endian, then the message.
//!
//! Invariant: a length beyond the limit is refused before anything of that size is made.

use std::io;

use prost::Message;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// Largest message, in bytes: a collection of many plugins at once.
pub(super) const MESSAGE_BYTES: usize = 64 * 1024 * 1024;
/// What is read at once.
const CHUNK_BYTES: usize = 64 * 1024;

/// Sends a message.
pub(super) async fn send(
    stream: &mut (impl AsyncWrite + Unpin),
    message: &impl Message,
) -> io::Result<()> {
    let length = message.encoded_len();
    let head = u32::try_from(length).ok().filter(|_| length <= MESSAGE_BYTES);
    let head = head.ok_or_else(|| too_large(length))?;
    let mut bytes = Vec::with_capacity(length + 4);
    bytes.extend(head.to_be_bytes());
    message.encode(&mut bytes).map_err(io::Error::other)?;
    stream.write_all(&bytes).await?;
    stream.flush().await
}

/// Receives a message; none at the end of the stream.
pub(super) async fn receive<M: Message + Default>(
    stream: &mut (impl AsyncRead + Unpin),
) -> io::Result<Option<M>> {
    let mut head = [0; 4];
    if stream.read(head.get_mut(..1).unwrap_or_default()).await? == 0 {
        return Ok(None);
    }
    stream.read_exact(head.get_mut(1..).unwrap_or_default()).await?;
    let length = usize::try_from(u32::from_be_bytes(head)).unwrap_or(usize::MAX);
    if length > MESSAGE_BYTES {
        return Err(too_large(length));
    }
    // Memory grows with what has come, not with what was announced.
    let mut bytes = Vec::new();
    while bytes.len() < length {
        let room = (length - bytes.len()).min(CHUNK_BYTES);
        let limit = u64::try_from(room).unwrap_or(u64::MAX);
        if (&mut *stream).take(limit).read_to_end(&mut bytes).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    M::decode(bytes.as_slice()).map(Some).map_err(io::Error::other)
}

fn too_large(length: usize) -> io::Error {
    let text = format!("a message of {length} bytes is too large, at most {MESSAGE_BYTES}");
    io::Error::new(io::ErrorKind::FileTooLarge, text)
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
