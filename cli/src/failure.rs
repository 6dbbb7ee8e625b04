//! Why a command ends early, and how that is told.

use std::{io, path::Path};

use tribe_api::client::ClientError;

use crate::{exit::Exit, output, sanitize};

/// A command ends here. The texts are not sanitised yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure {
    exit: Exit,
    message: Option<String>,
    detail: Option<String>,
    help: Option<String>,
}

impl Failure {
    /// It failed, for this reason.
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self { exit: Exit::Failure, message: Some(message.into()), detail: None, help: None }
    }

    /// The command line is wrong.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self { exit: Exit::Usage, ..Self::new(message) }
    }

    /// snapd is gone.
    pub(crate) fn unreachable(message: impl Into<String>) -> Self {
        Self { exit: Exit::Unreachable, ..Self::new(message) }
    }

    /// snapd ended what it told as it happened.
    pub(crate) fn closed(address: &str) -> Self {
        Self::unreachable(format!("snapd at `{address}` closed the stream"))
            .or_help("was it stopped? look at its log, and try again")
    }

    /// A signal ended it, with this status.
    pub(crate) fn ended(exit: Exit, message: impl Into<String>) -> Self {
        Self { exit, ..Self::new(message) }
    }

    /// What could not be written to stdout. A reader who has seen enough, as in `| head`, is none.
    pub(crate) fn stdout(error: &io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe {
            return Self { exit: Exit::Success, message: None, detail: None, help: None };
        }
        Self::new(format!("cannot write to stdout: {error}"))
    }

    /// The failure with advice, unless it has some.
    pub(crate) fn or_help(mut self, help: impl Into<String>) -> Self {
        self.help.get_or_insert_with(|| help.into());
        self
    }

    /// The failure with this advice instead of what it has.
    pub(crate) fn with_help(self, help: impl Into<String>) -> Self {
        Self { help: Some(help.into()), ..self }
    }

    /// The failure with a text of several lines that shows the place.
    pub(crate) fn with_detail(self, detail: impl Into<String>) -> Self {
        Self { detail: Some(detail.into()), ..self }
    }

    /// The failure with the file before its message.
    pub(crate) fn in_file(self, file: &Path) -> Self {
        let message = self.message.map(|message| format!("in `{}`: {message}", file.display()));
        Self { message, ..self }
    }

    /// What was named, or looked for, does not exist.
    pub(crate) fn is_nothing_matched(&self) -> bool {
        self.exit == Exit::NothingMatched
    }

    /// Tells it on stderr.
    pub(crate) fn report(&self) -> Exit {
        if let Some(text) = self.text() {
            output::tell(&text);
        }
        self.exit
    }

    fn text(&self) -> Option<String> {
        let message = format!("error: {}", sanitize::line(self.message.as_ref()?));
        let mut text = match &self.detail {
            None => message,
            // Its first line is the message, with a code.
            Some(detail) if detail.starts_with("error[") => sanitize::block(detail.trim_end()),
            Some(detail) => format!("{message}\n{}", sanitize::block(detail.trim_end())),
        };
        if let Some(help) = &self.help {
            text = format!("{text}\nhelp: {}", sanitize::line(help));
        }
        Some(text)
    }
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        let own = |text: Option<&str>| text.map(str::to_owned);
        Self {
            exit: exit(&error),
            message: Some(error.to_string()),
            detail: own(error.detail()),
            help: own(error.help()),
        }
    }
}

fn exit(error: &ClientError) -> Exit {
    match error {
        ClientError::Connect { source, .. } if source.kind() == io::ErrorKind::PermissionDenied => {
            Exit::NotAllowed
        }
        ClientError::Connect { .. }
        | ClientError::ConnectTo { .. }
        | ClientError::UnknownCertificate { .. }
        | ClientError::AuthorityCertificate { .. }
        | ClientError::Tls { .. }
        | ClientError::Lost { .. }
        | ClientError::Timeout { .. } => Exit::Unreachable,
        ClientError::Refused { status: 401 | 403, .. } => Exit::NotAllowed,
        ClientError::Refused { status: 404, .. } => Exit::NothingMatched,
        _ => Exit::Failure,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(status: u16) -> ClientError {
        ClientError::Refused {
            status,
            code: "bad-policy".into(),
            message: "expected a value after `==`\u{1b}[2J".into(),
            detail: Some("{{os_dist}} == \n               ^\n".into()),
            help: Some("give one\u{202e}".into()),
        }
    }

    fn connect(kind: io::ErrorKind) -> ClientError {
        ClientError::Connect { socket: "/run/s".into(), source: kind.into() }
    }

    #[test]
    fn every_error_has_its_exit_status() {
        let check = |error: ClientError, expected| assert_eq!(exit(&error).status(), expected);
        check(refused(400), 1);
        check(refused(401), 6);
        check(refused(403), 6);
        check(refused(404), 3);
        check(refused(409), 1);
        check(refused(500), 1);
        check(refused(503), 1);
        check(connect(io::ErrorKind::NotFound), 5);
        check(connect(io::ErrorKind::ConnectionRefused), 5);
        check(connect(io::ErrorKind::PermissionDenied), 6);
        let request = || String::from("GET /v3/node");
        check(ClientError::Lost { request: request(), reason: String::new() }, 5);
        check(ClientError::Timeout { request: request(), seconds: 60.0 }, 5);
        check(ClientError::BadReply { request: request(), reason: String::new() }, 1);
    }

    #[test]
    fn a_refusal_is_told_with_its_caret_and_sanitised() {
        let expected = "error: expected a value after `==`\\u{1b}[2J\n{{os_dist}} == \n               ^\n\
                        help: give one\\u{202e}";
        assert_eq!(Failure::from(refused(400)).text().as_deref(), Some(expected));
    }

    #[test]
    fn a_detail_that_begins_with_the_message_stands_alone() {
        let failure =
            Failure::new("the policy is empty").with_detail("error[P001]: the policy is empty\n");
        assert_eq!(failure.text().as_deref(), Some("error[P001]: the policy is empty"));
    }

    #[test]
    fn a_reader_who_has_seen_enough_is_no_failure() {
        let gone = Failure::stdout(&io::ErrorKind::BrokenPipe.into());
        assert_eq!((gone.text(), gone.exit), (None, Exit::Success));
        let full = Failure::stdout(&io::ErrorKind::StorageFull.into());
        assert_eq!(full.exit, Exit::Failure);
    }

    #[test]
    fn snapds_own_advice_comes_first() {
        let help = |failure: Failure| failure.or_help("mine").help;
        assert_eq!(help(Failure::new("x")).as_deref(), Some("mine"));
        assert_eq!(help(refused(404).into()).as_deref(), Some("give one\u{202e}"));
    }
}
