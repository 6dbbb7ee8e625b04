//! What it takes to be served over TCP: the address, the certificate and the password.

use std::{
    io,
    net::SocketAddr,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use tokio::net::TcpListener;
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        self, CertificateError, RootCertStore, ServerConfig,
        client::{WebPkiServerVerifier, danger::ServerCertVerifier},
        crypto::CryptoProvider,
        pki_types::{self, CertificateDer, PrivateKeyDer, ServerName, UnixTime, pem::PemObject},
    },
};
use tracing::warn;

use super::gate::Password;
use crate::{
    config::{ApiSettings, ApiTls},
    values::read_private,
};

/// The shortest password.
const LEAST_PASSWORD: usize = 8;

/// A place on the network where the API is served.
pub(crate) struct Exposure {
    pub(super) listener: TcpListener,
    pub(super) tls: Option<TlsAcceptor>,
    pub(super) password: Option<Password>,
}

/// Why the API is not served over TCP. The fault of who configured it, unless it is [`ExposeError::Bind`].
#[derive(Debug, thiserror::Error)]
pub(crate) enum ExposeError {
    /// The file of the password cannot be used.
    #[error("cannot take the password of the control API from `{path}`: {source}")]
    Password {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// It would soon be guessed.
    #[error("the password in `{0}` is too short, use {LEAST_PASSWORD} characters or more")]
    Weak(PathBuf),
    /// A PEM file cannot be read, or holds nothing of the kind.
    #[error("cannot read the {what} of the control API from `{path}`: {source}")]
    Pem {
        /// Certificate or key.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// Why not.
        source: pki_types::pem::Error,
    },
    /// Others can read the key.
    #[error("`{path}` holds a key and has mode {mode:04o}: anyone can get at it")]
    OpenKey {
        /// The file.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// Certificate and key do not fit together.
    #[error("the certificate in `{path}` is of no use: {source}")]
    Tls {
        /// The certificate.
        path: PathBuf,
        /// Why.
        source: rustls::Error,
    },
    /// The address cannot be had.
    #[error("cannot serve the control API at {address}: {source}")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
}

impl Exposure {
    /// Reads the files and listens, if that is asked.
    pub(crate) async fn open(settings: &ApiSettings) -> Result<Option<Self>, ExposeError> {
        let Some(address) = settings.listen.as_ref().map(|listen| listen.value) else {
            return Ok(None);
        };
        let (password, tls) = (password(settings)?, tls(settings)?);
        let listener = TcpListener::bind(address)
            .await
            .map_err(|source| ExposeError::Bind { address, source })?;
        if password.is_none() {
            warn!(%address, "every user of this host may use the control API: it has no password");
        }
        Ok(Some(Self { listener, tls, password }))
    }

    /// Reads the files of the password and of the certificate without listening, if it is asked to
    /// listen.
    pub(crate) fn check(settings: &ApiSettings) -> [Result<(), ExposeError>; 2] {
        match settings.listen {
            Some(_) => [password(settings).map(drop), tls(settings).map(drop)],
            None => [Ok(()), Ok(())],
        }
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

fn password(settings: &ApiSettings) -> Result<Option<Password>, ExposeError> {
    settings.password_file.as_ref().map(|file| read_password(&file.value)).transpose()
}

fn tls(settings: &ApiSettings) -> Result<Option<TlsAcceptor>, ExposeError> {
    settings.tls.as_ref().map(acceptor).transpose()
}

fn read_password(path: &Path) -> Result<Password, ExposeError> {
    let text = read_private(path, true)
        .map_err(|source| ExposeError::Password { path: path.to_owned(), source })?;
    if text.chars().count() < LEAST_PASSWORD {
        return Err(ExposeError::Weak(path.to_owned()));
    }
    Ok(Password::new(&text))
}

fn acceptor(files: &ApiTls) -> Result<TlsAcceptor, ExposeError> {
    let (cert, key) = (&files.cert.value, &files.key.value);
    let pem = |what, path: &Path| {
        let path = path.to_owned();
        move |source| ExposeError::Pem { what, path, source }
    };
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_file_iter(cert)
        .and_then(Iterator::collect)
        .map_err(pem("certificate", cert))?;
    let mode = std::fs::metadata(key).map_err(pki_types::pem::Error::Io);
    let mode = mode.map_err(pem("key", key))?.mode() & 0o7777;
    if mode & 0o007 != 0 {
        return Err(ExposeError::OpenKey { path: key.clone(), mode });
    }
    let secret = PrivateKeyDer::from_pem_file(key).map_err(pem("key", key))?;
    let tls = |source| ExposeError::Tls { path: cert.clone(), source };
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    if chain.first().is_some_and(|cert| is_of_authority(cert, Arc::clone(&provider))) {
        warn!(
            cert = %cert.display(),
            "this certificate is that of an authority (CA:TRUE), which snapctl and others refuse as \
             that of a server: make one with `-addext basicConstraints=critical,CA:FALSE`, as \
             docs/OPERATING.md has it"
        );
    }
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(tls)?
        .with_no_client_auth()
        .with_single_cert(chain, secret)
        .map_err(tls)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}

/// Would a client refuse it as that of a server, although it trusts it? A client of ours is asked.
fn is_of_authority(cert: &CertificateDer<'_>, provider: Arc<CryptoProvider>) -> bool {
    let mut roots = RootCertStore::empty();
    let added = roots.add(cert.clone().into_owned());
    let client = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider).build();
    let (Ok(()), Ok(client), Ok(name)) = (added, client, ServerName::try_from("localhost")) else {
        return false;
    };
    match client.verify_server_cert(cert, &[], &name, &[], UnixTime::now()) {
        Err(rustls::Error::InvalidCertificate(CertificateError::Other(reason))) => {
            reason.to_string().contains("CaUsedAsEndEntity")
        }
        _ => false,
    }
}
