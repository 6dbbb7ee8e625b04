//! How connections to plugins are sealed.

use std::path::PathBuf;

/// The files for TLS with plugins, in PEM. Both sides show a certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TlsFiles {
    /// Who signs the certificates of both sides.
    pub(crate) ca: PathBuf,
    /// What we show.
    pub(crate) cert: PathBuf,
    pub(crate) key: PathBuf,
    /// What plugins show; they read it themselves. It must be for the address they listen on.
    pub(crate) plugin_cert: PathBuf,
    pub(crate) plugin_key: PathBuf,
}
