//! Why a call did not give what was asked for.

use std::{io, path::PathBuf};

/// Why a call to snapd failed.
///
/// The message is one line. What comes from snapd may hold text that other nodes wrote: a terminal
/// should not see it unfiltered.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// There is no snapd behind the socket, or we may not speak to it. Nothing has changed.
    #[error("cannot connect to snapd at `{}`: {}", socket.display(), reason(source))]
    Connect {
        /// The socket.
        socket: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// There is no snapd at the URL. Nothing has changed.
    #[error("cannot connect to snapd at {url}: {}", reason(source))]
    ConnectTo {
        /// The URL.
        url: String,
        /// Why not.
        source: io::Error,
    },
    /// Nobody we trust vouches for the certificate. Nothing has changed.
    #[error("the certificate of {url} is not known here")]
    UnknownCertificate {
        /// The URL.
        url: String,
    },
    /// The certificate is one that vouches for others, which no server may show. Nothing has
    /// changed.
    #[error("the certificate of {url} is that of an authority (CA:TRUE), not of a server")]
    AuthorityCertificate {
        /// The URL.
        url: String,
    },
    /// TLS cannot be agreed on. Nothing has changed.
    #[error("no TLS with {url}: {reason}")]
    Tls {
        /// The URL.
        url: String,
        /// Why not.
        reason: String,
    },
    /// snapd refused, in its own words: mostly the user's mistake. Nothing has changed.
    #[error("{message}")]
    Refused {
        /// HTTP status.
        status: u16,
        /// For programs, in kebab-case.
        code: String,
        /// For people, one line.
        message: String,
        /// More of it, in several lines.
        detail: Option<String>,
        /// What to do about it.
        help: Option<String>,
    },
    /// snapd went away in the middle. What was asked may have been done or not.
    #[error("lost the connection to snapd in `{request}`: {reason}")]
    Lost {
        /// Method and path.
        request: String,
        /// What happened to the connection.
        reason: String,
    },
    /// snapd took too long. What was asked may have been done or not.
    #[error("snapd did not answer `{request}` within {seconds} s")]
    Timeout {
        /// Method and path.
        request: String,
        /// How long we waited.
        seconds: f64,
    },
    /// snapd answered something else than its API says; perhaps it is another version, or no snapd. What
    /// was asked may have been done or not.
    #[error("the answer to `{request}` is not what this client understands: {reason}")]
    BadReply {
        /// Method and path.
        request: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The request could not be written down. Our fault; nothing has changed.
    #[error("cannot make the request: {0}")]
    Request(String),
}

impl ClientError {
    /// What snapd calls its refusal, for programs.
    #[must_use]
    pub fn code(&self) -> Option<&str> {
        match self {
            Self::Refused { code, .. } => Some(code),
            _ => None,
        }
    }

    /// More about it, in several lines.
    #[must_use]
    pub fn detail(&self) -> Option<&str> {
        match self {
            Self::Refused { detail, .. } => detail.as_deref(),
            _ => None,
        }
    }

    /// What to do about it.
    #[must_use]
    pub fn help(&self) -> Option<&str> {
        match self {
            Self::Connect { source, .. } if source.kind() == io::ErrorKind::PermissionDenied => {
                Some("only root and the group of the socket may use it, be one of them")
            }
            Self::Connect { .. } => Some(
                "is snapd running? start it with `snapd`, or name its socket with `--socket` or \
                 `SNAP_SOCKET`",
            ),
            Self::ConnectTo { .. } => {
                Some("does snapd listen there? `api: {listen: IP:PORT}` in its snapd.yaml")
            }
            Self::UnknownCertificate { .. } => {
                Some("name the file of the certificate that vouches for it with `--cacert FILE`")
            }
            Self::AuthorityCertificate { .. } => Some(
                "make one with `openssl req -x509 -addext basicConstraints=critical,CA:FALSE ...`, as \
                 docs/OPERATING.md has it",
            ),
            Self::Tls { .. } => Some("compare the URL with `api:` in its snapd.yaml"),
            Self::Refused { help, .. } => help.as_deref(),
            Self::BadReply { .. } => {
                Some("compare the versions of client and daemon with `snapctl version`")
            }
            Self::Timeout { request, .. } if request.starts_with("GET ") => {
                Some("is snapd stopped, or its host overloaded? look at its log")
            }
            Self::Lost { request, .. } if request.starts_with("GET ") => {
                Some("was snapd stopped? look at its log, and try again")
            }
            Self::Lost { .. } | Self::Timeout { .. } => {
                Some("it may have been done or not, look before you try again")
            }
            Self::Request(_) => None,
        }
    }
}

/// The system's words without its number.
fn reason(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "there is no such socket".into(),
        io::ErrorKind::ConnectionRefused => "nobody listens there".into(),
        io::ErrorKind::PermissionDenied => "permission denied".into(),
        _ => error.to_string(),
    }
}
