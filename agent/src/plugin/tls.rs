//! How connections to plugins are sealed: with TLS, where both sides show a certificate.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use serde::Serialize;
use tonic::transport::{Certificate, ClientTlsConfig, Endpoint, Identity};

/// The files for TLS with plugins, in PEM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TlsFiles {
    /// Who signs the certificates of both sides.
    pub(crate) ca: PathBuf,
    /// What we show.
    pub(crate) cert: PathBuf,
    pub(crate) key: PathBuf,
    /// What plugins show; they read it themselves. It must be for the address they listen on, which
    /// is 127.0.0.1.
    pub(crate) plugin_cert: PathBuf,
    pub(crate) plugin_key: PathBuf,
}

/// TLS with plugins, ready to be used.
#[derive(Debug, Clone)]
pub(crate) struct Tls {
    client: ClientTlsConfig,
    argument: TlsArgument,
}

/// What a plugin is told of it, as snap did.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct TlsArgument {
    #[serde(rename = "TLSEnabled")]
    tls_enabled: bool,
    cert_path: String,
    key_path: String,
    root_cert_paths: String,
}

/// Why the files are of no use. The user's fault.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum TlsError {
    /// One cannot be read.
    #[error("cannot read `{0}` for TLS with plugins: {1}")]
    Io(PathBuf, io::Error),
    /// The path of one cannot be told to a plugin.
    #[error("the path `{0}` is not text, or has a `:`, and cannot be told to a plugin")]
    Path(PathBuf),
    /// What they hold does not fit together.
    #[error("the certificates for TLS with plugins are of no use: {0}")]
    Certificates(String),
}

impl Tls {
    /// Reads the files.
    pub(crate) fn read(files: &TlsFiles) -> Result<Self, TlsError> {
        let TlsFiles { ca, cert, key, plugin_cert, plugin_key } = files;
        let client = ClientTlsConfig::new()
            .ca_certificate(Certificate::from_pem(read(ca)?))
            .identity(Identity::from_pem(read(cert)?, read(key)?))
            .assume_http2(true);
        // Says now what would be wrong with every connection.
        let tried = Endpoint::from_static("https://127.0.0.1:1").tls_config(client.clone());
        tried.map_err(|error| TlsError::Certificates(reason(&error)))?;
        let argument = TlsArgument {
            tls_enabled: true,
            cert_path: path(plugin_cert)?,
            key_path: path(plugin_key)?,
            root_cert_paths: path(ca)?,
        };
        Ok(Self { client, argument })
    }

    pub(super) fn client(&self) -> ClientTlsConfig {
        self.client.clone()
    }

    pub(super) fn argument(&self) -> &TlsArgument {
        &self.argument
    }
}

fn read(path: &Path) -> Result<Vec<u8>, TlsError> {
    fs::read(path).map_err(|error| TlsError::Io(path.to_owned(), error))
}

/// A path that means the same to a plugin.
fn path(path: &Path) -> Result<String, TlsError> {
    let full = fs::canonicalize(path).map_err(|error| TlsError::Io(path.to_owned(), error))?;
    // Plugins part several paths by colons.
    let text = full.to_str().filter(|text| !text.contains(':'));
    text.map(str::to_owned).ok_or_else(|| TlsError::Path(path.to_owned()))
}

/// The innermost cause, which says what is wrong.
fn reason(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}
