//! Server-sent events, as in the HTML standard, section 9.2: bytes in, messages out.
//!
//! Invariant: how the bytes are cut into chunks makes no difference.

/// Largest event, in bytes.
const EVENT_BYTES: usize = 1024 * 1024;

const BOM: &[u8] = b"\xef\xbb\xbf";

/// One event of the stream. Ids and retry times are of no use here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Message {
    /// Its kind; `message` if it has none.
    pub(crate) event: String,
    /// Its data lines, joined by line feeds.
    pub(crate) data: String,
}

/// The stream holds an event of more than [`EVENT_BYTES`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an event takes more than {EVENT_BYTES} bytes")]
pub(crate) struct TooLargeError;

/// Cuts a stream into messages.
#[derive(Debug, Default)]
pub(crate) struct Parser {
    line: Vec<u8>,
    begun: bool,
    after_carriage_return: bool,
    event: String,
    data: Option<String>,
}

impl Parser {
    /// Takes the next bytes and returns the messages they complete.
    pub(crate) fn feed(&mut self, bytes: &[u8]) -> Result<Vec<Message>, TooLargeError> {
        let mut messages = Vec::new();
        for &byte in bytes {
            let after_carriage_return = std::mem::take(&mut self.after_carriage_return);
            match byte {
                b'\n' if after_carriage_return => {}
                b'\n' | b'\r' => {
                    self.after_carriage_return = byte == b'\r';
                    messages.extend(self.end_line());
                }
                _ => self.line.push(byte),
            }
            if self.line.len() + self.data.as_ref().map_or(0, String::len) > EVENT_BYTES {
                return Err(TooLargeError);
            }
        }
        Ok(messages)
    }

    fn end_line(&mut self) -> Option<Message> {
        let line = std::mem::take(&mut self.line);
        let begun = std::mem::replace(&mut self.begun, true);
        let line = if begun { line.as_slice() } else { line.strip_prefix(BOM).unwrap_or(&line) };
        if line.is_empty() {
            return self.end_message();
        }
        let line = String::from_utf8_lossy(line);
        let (field, value) = line.split_once(':').unwrap_or((&line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "event" => self.event = value.into(),
            "data" => match &mut self.data {
                Some(data) => {
                    data.push('\n');
                    data.push_str(value);
                }
                None => self.data = Some(value.into()),
            },
            // A comment has an empty field name; other fields are none of ours.
            _ => {}
        }
        None
    }

    fn end_message(&mut self) -> Option<Message> {
        let event = std::mem::take(&mut self.event);
        let data = self.data.take()?;
        let event = if event.is_empty() { "message".into() } else { event };
        Some(Message { event, data })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The messages of a stream, whole and byte by byte.
    fn parse(stream: &[u8]) -> Vec<(String, String)> {
        let whole = Parser::default().feed(stream).unwrap();
        let mut parser = Parser::default();
        let bytewise: Vec<_> =
            stream.chunks(1).flat_map(|byte| parser.feed(byte).unwrap()).collect();
        assert_eq!(whole, bytewise);
        whole.into_iter().map(|message| (message.event, message.data)).collect()
    }

    fn check(stream: &str, expected: &[(&str, &str)]) {
        let expected: Vec<_> =
            expected.iter().map(|(event, data)| ((*event).into(), (*data).into())).collect();
        assert_eq!(parse(stream.as_bytes()), expected, "in {stream:?}");
    }

    #[test]
    fn events_are_cut_at_empty_lines() {
        check("", &[]);
        check("\n\n\n", &[]);
        check("event: synced\ndata: {}\n\n", &[("synced", "{}")]);
        check("event:synced\ndata:{}\n\n", &[("synced", "{}")]);
        check("data: {}\nevent: synced\n\n", &[("synced", "{}")]);
        check("data: 1\n\n\ndata: 2\n\n", &[("message", "1"), ("message", "2")]);
        check("event: a\ndata: 1\n\ndata: 2\n\n", &[("a", "1"), ("message", "2")]);
    }

    #[test]
    fn all_line_ends_are_known() {
        check("data: 1\r\n\r\ndata: 2\r\n\r\n", &[("message", "1"), ("message", "2")]);
        check("data: 1\r\rdata: 2\r\r", &[("message", "1"), ("message", "2")]);
        check("data: 1\n\r\ndata: 2\r\n\n", &[("message", "1"), ("message", "2")]);
    }

    #[test]
    fn fields_are_read_as_the_standard_says() {
        check("data: a\ndata: b\n\n", &[("message", "a\nb")]);
        check("data:  a \n\n", &[("message", " a ")]);
        check("data\n\n", &[("message", "")]);
        check("data\ndata\n\n", &[("message", "\n")]);
        check("data: a:b\n\n", &[("message", "a:b")]);
        check("Data: a\n\n", &[]);
        check("id: 7\nretry: 10\ndata: a\n\n", &[("message", "a")]);
        check("event: a\nevent: b\ndata: 1\n\n", &[("b", "1")]);
    }

    #[test]
    fn comments_and_events_without_data_are_no_events() {
        check(": keep-alive\n\n", &[]);
        check(":\n\n", &[]);
        check("event: synced\n\n", &[]);
        check("event: synced\n\ndata: 1\n\n", &[("message", "1")]);
        check("data: 1\n: comment\ndata: 2\n\n", &[("message", "1\n2")]);
    }

    #[test]
    fn an_unfinished_event_is_dropped() {
        check("data: 1\n\ndata: 2\n", &[("message", "1")]);
        check("data: 1", &[]);
    }

    #[test]
    fn a_byte_order_mark_is_skipped_at_the_start_only() {
        check("\u{feff}data: 1\n\n\u{feff}data: 2\n\n", &[("message", "1")]);
    }

    #[test]
    fn text_survives_any_cut() {
        check("data: „Grüße“ 🦀\n\n", &[("message", "„Grüße“ 🦀")]);
        assert_eq!(parse(b"data: \xff\n\n"), [("message".into(), "\u{fffd}".into())]);
    }

    #[test]
    fn an_endless_event_is_refused() {
        let mut parser = Parser::default();
        assert_eq!(parser.feed(&vec![b'x'; EVENT_BYTES]), Ok(vec![]));
        assert_eq!(parser.feed(b"x"), Err(TooLargeError));
        let mut parser = Parser::default();
        let line = b"data: 0123456789\n".repeat(EVENT_BYTES / 10);
        assert_eq!(parser.feed(&line), Err(TooLargeError));
    }
}
