//! What the daemon is told about its control API over TCP, checked.
//!
//! Invariant: an address that others than this host reach comes with a certificate and a password.

use std::{net::SocketAddr, path::PathBuf};

use super::{Given, Problems, all_or_nothing};

/// What makes an address wider than loopback safe.
const WIDE_HELP: &str = "give it a certificate and a password, `api: {tls_cert: FILE, tls_key: FILE, \
                         password_file: FILE}` in snapd.yaml, or listen on 127.0.0.1";

/// What the daemon is told about its control API.
#[derive(Debug)]
pub(crate) struct ApiSettings {
    /// Where it listens beside the Unix socket.
    pub(crate) listen: Option<Given<SocketAddr>>,
    pub(crate) tls: Option<ApiTls>,
    pub(crate) password_file: Option<Given<PathBuf>>,
}

/// The files of the certificate, in PEM.
#[derive(Debug)]
pub(crate) struct ApiTls {
    pub(crate) cert: Given<PathBuf>,
    pub(crate) key: Given<PathBuf>,
}

/// What a source says of it.
#[derive(Debug, Default)]
pub(super) struct ApiLayer {
    pub(super) listen: Option<Given<String>>,
    pub(super) tls_cert: Option<Given<PathBuf>>,
    pub(super) tls_key: Option<Given<PathBuf>>,
    pub(super) password_file: Option<Given<PathBuf>>,
}

impl ApiLayer {
    /// This layer, laid over a lower one.
    pub(super) fn over(self, lower: Self) -> Self {
        Self {
            listen: self.listen.or(lower.listen),
            tls_cert: self.tls_cert.or(lower.tls_cert),
            tls_key: self.tls_key.or(lower.tls_key),
            password_file: self.password_file.or(lower.password_file),
        }
    }
}

pub(super) fn resolve(layer: ApiLayer, problems: &mut Problems) -> Option<ApiSettings> {
    let ApiLayer { listen, tls_cert, tls_key, password_file } = layer;
    let listen = listen.map(|given| problems.parse(given, |text| parse(text)));
    let tls = match (tls_cert, tls_key) {
        (Some(cert), Some(key)) => Some(ApiTls { cert, key }),
        (None, None) => None,
        (Some(alone), None) => return half(&alone, "tls_cert", "tls_key", problems),
        (None, Some(alone)) => return half(&alone, "tls_key", "tls_cert", problems),
    };
    let listen = all_or_nothing(listen)?;
    if let Some(Given { value, origin }) = &listen
        && !value.ip().is_loopback()
    {
        let lacks = match (&tls, &password_file) {
            (Some(_), Some(_)) => None,
            (None, Some(_)) => Some("a certificate"),
            (Some(_), None) => Some("a password"),
            (None, None) => Some("a certificate and a password"),
        };
        if let Some(lacks) = lacks {
            let message = format!("`{value}` can be reached from other hosts, but lacks {lacks}");
            problems.add_lack(origin, message, Some(WIDE_HELP));
            return None;
        }
    }
    Some(ApiSettings { listen, tls, password_file })
}

fn half<T>(alone: &Given<PathBuf>, is: &str, lacks: &str, problems: &mut Problems) -> Option<T> {
    let help = "give both, `api: {tls_cert: FILE, tls_key: FILE}`, or none";
    problems.add_lack(&alone.origin, format_args!("there is `{is}` but no `{lacks}`"), Some(help));
    None
}

fn parse(text: &str) -> Result<SocketAddr, String> {
    let numeric = match text.strip_prefix("localhost:") {
        Some(port) => format!("127.0.0.1:{port}"),
        None => text.to_owned(),
    };
    numeric.parse().map_err(|_| {
        format!(
            "`{text}` is not an address to listen on, write it as `127.0.0.1:8181` or `[::1]:8181`"
        )
    })
}
