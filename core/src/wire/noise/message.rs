//! Messages within the stream of bytes that frames carry: a length, then as many bytes.

use super::StreamError;
use crate::limits;

/// Bytes of a length.
const LENGTH_BYTES: usize = 4;
/// What a waiting message costs beside its bytes, so that empty ones are not free.
const MESSAGE_COST: usize = 32;

/// What a waiting message costs.
pub(super) fn cost(message: &[u8]) -> usize {
    message.len() + MESSAGE_COST
}

/// Adds a message to a stream of bytes.
pub(super) fn frame(message: &[u8], stream: &mut Vec<u8>) -> Result<(), StreamError> {
    let length = u32::try_from(message.len()).map_err(|_| StreamError::TooLarge(message.len()))?;
    stream.extend_from_slice(&length.to_be_bytes());
    stream.extend_from_slice(message);
    Ok(())
}

/// Finds the messages in a stream of bytes that comes in pieces.
#[derive(Debug, Default)]
pub(super) struct Assembler {
    length: Vec<u8>,
    /// How long the message is, once that is known.
    expected: Option<usize>,
    // INVARIANT: grows with what came, never with what was promised; at most a message.
    message: Vec<u8>,
}

impl Assembler {
    /// The next whole message; its bytes are taken from the front of `content`.
    pub(super) fn take(&mut self, content: &mut &[u8]) -> Result<Option<Vec<u8>>, StreamError> {
        let expected = match self.expected {
            Some(expected) => expected,
            None => {
                fill(&mut self.length, LENGTH_BYTES, content);
                let Some(length) = self.length.first_chunk() else { return Ok(None) };
                let length = usize::try_from(u32::from_be_bytes(*length)).unwrap_or(usize::MAX);
                if length > limits::MESSAGE_BYTES {
                    return Err(StreamError::TooLarge(length));
                }
                self.length.clear();
                *self.expected.insert(length)
            }
        };
        fill(&mut self.message, expected, content);
        if self.message.len() < expected {
            return Ok(None);
        }
        self.expected = None;
        Ok(Some(std::mem::take(&mut self.message)))
    }
}

/// Moves bytes to `buffer` until it has `length`.
fn fill(buffer: &mut Vec<u8>, length: usize, content: &mut &[u8]) {
    let missing = length.saturating_sub(buffer.len()).min(content.len());
    if let Some((now, later)) = content.split_at_checked(missing) {
        buffer.extend_from_slice(now);
        *content = later;
    }
}
