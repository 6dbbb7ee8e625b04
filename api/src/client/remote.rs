//! A snapd that is reached over TCP: its URL, the certificate it must show, and the password it asks for.
//!
//! Invariant: the password is never shown, and never sent in the clear to another host.

use std::{
    fmt, fs, io,
    io::Read,
    net::IpAddr,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use base64::{Engine, prelude::BASE64_STANDARD};
use hyper::{Uri, header::HeaderValue};
use tokio_rustls::{
    TlsConnector,
    rustls::{
        self, ClientConfig, RootCertStore,
        pki_types::{CertificateDer, ServerName, pem, pem::PemObject},
    },
};
use zeroize::Zeroizing;

/// The port of an URL that names none.
const PORT: u16 = 8181;
/// Largest file with a password, in bytes.
const PASSWORD_BYTES: u64 = 4096;
/// Where systems keep the certificates they trust.
const TRUSTED: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// Where a snapd is reached over TCP. Cheap to clone.
#[derive(Clone)]
pub struct Remote(Arc<Place>);

struct Place {
    url: String,
    host: String,
    port: u16,
    /// As the header `Host` has it.
    authority: String,
    tls: Option<(TlsConnector, ServerName<'static>)>,
    authorization: Option<HeaderValue>,
}

/// Why an URL, or what belongs to it, is of no use. The mistake is the user's; nothing was sent.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RemoteError {
    /// It is no URL of a snapd.
    #[error("`{0}` is not the URL of a snapd, write it as `https://HOST:8181`")]
    Url(String),
    /// It has a user or a password.
    #[error("the URL has a password in it, where others can see it: give a file instead")]
    PasswordInUrl,
    /// There is a password, but no TLS, and the host is another.
    #[error("the password would go in the clear to `{0}`, write the URL with `https://`")]
    InTheClear(String),
    /// The file of the password cannot be used.
    #[error("cannot take the password from `{}`: {source}", path.display())]
    Password {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The file of the certificates cannot be used.
    #[error("cannot take certificates from `{}`: {reason}", path.display())]
    Certificates {
        /// The file.
        path: PathBuf,
        /// Why not.
        reason: String,
    },
    /// TLS cannot be set up. Our fault.
    #[error("cannot set up TLS: {0}")]
    Tls(String),
}

impl Remote {
    /// The snapd at this URL. `password`: the file of the password, which only its owner may read. `trusted`: the
    /// PEM file of the certificates that may vouch for it; else those that the system trusts.
    ///
    /// # Errors
    /// [`RemoteError`].
    pub fn new(
        url: &str,
        password: Option<&Path>,
        trusted: Option<&Path>,
    ) -> Result<Self, RemoteError> {
        let bad = || RemoteError::Url(url.to_owned());
        if url.contains('@') {
            return Err(RemoteError::PasswordInUrl);
        }
        let uri: Uri = url.parse().map_err(|_| bad())?;
        let sealed = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            _ => return Err(bad()),
        };
        if !matches!(uri.path_and_query().map(|path| path.as_str()), None | Some("" | "/")) {
            return Err(bad());
        }
        let name = uri.host().ok_or_else(bad)?;
        let host = name.trim_start_matches('[').trim_end_matches(']').to_owned();
        let port = uri.port_u16().unwrap_or(PORT);
        let here = host == "localhost" || host.parse().is_ok_and(|ip: IpAddr| ip.is_loopback());
        if password.is_some() && !sealed && !here {
            return Err(RemoteError::InTheClear(host));
        }
        let tls = match sealed {
            true => Some((connector(trusted)?, server_name(&host).ok_or_else(bad)?)),
            false => None,
        };
        Ok(Self(Arc::new(Place {
            url: format!("{}://{name}:{port}", if sealed { "https" } else { "http" }),
            authority: format!("{name}:{port}"),
            host,
            port,
            tls,
            authorization: password.map(authorization).transpose()?,
        })))
    }

    /// The URL, with its port.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.0.url
    }

    pub(crate) fn address(&self) -> (&str, u16) {
        (&self.0.host, self.0.port)
    }

    pub(crate) fn authority(&self) -> &str {
        &self.0.authority
    }

    pub(crate) fn tls(&self) -> Option<(&TlsConnector, ServerName<'static>)> {
        self.0.tls.as_ref().map(|(connector, name)| (connector, name.clone()))
    }

    pub(crate) fn authorization(&self) -> Option<HeaderValue> {
        self.0.authorization.clone()
    }
}

impl fmt::Debug for Remote {
    /// Without the password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Remote").field(&self.0.url).finish()
    }
}

fn server_name(host: &str) -> Option<ServerName<'static>> {
    ServerName::try_from(host.to_owned()).ok()
}

fn connector(trusted: Option<&Path>) -> Result<TlsConnector, RemoteError> {
    let mut roots = RootCertStore::empty();
    match trusted {
        Some(path) => {
            let bad = |reason| RemoteError::Certificates { path: path.to_owned(), reason };
            for certificate in read(path).map_err(|error| bad(error.to_string()))? {
                roots.add(certificate).map_err(|error| bad(error.to_string()))?;
            }
            if roots.is_empty() {
                return Err(bad("there are none in it".into()));
            }
        }
        None => {
            let of_system = TRUSTED.iter().find_map(|path| read(Path::new(path)).ok());
            roots.add_parsable_certificates(of_system.unwrap_or_default());
        }
    }
    let tls = |error: rustls::Error| RemoteError::Tls(error.to_string());
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(tls)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)))
}

fn read(path: &Path) -> Result<Vec<CertificateDer<'static>>, pem::Error> {
    CertificateDer::pem_file_iter(path)?.collect()
}

/// The header that carries the password of a file.
fn authorization(path: &Path) -> Result<HeaderValue, RemoteError> {
    let bad = |source| RemoteError::Password { path: path.to_owned(), source };
    let password = read_password(path).map_err(bad)?;
    let pair = Zeroizing::new(format!("snap:{}", password.trim_end_matches(['\r', '\n'])));
    let value = Zeroizing::new(format!("Basic {}", BASE64_STANDARD.encode(pair.as_bytes())));
    let mut value = HeaderValue::from_str(&value).map_err(|error| bad(io::Error::other(error)))?;
    value.set_sensitive(true);
    Ok(value)
}

fn read_password(path: &Path) -> io::Result<Zeroizing<String>> {
    let file = fs::File::open(path)?;
    let mode = file.metadata()?.mode() & 0o7777;
    if mode & 0o077 != 0 {
        let message = format!("its mode is {mode:04o}, run `chmod 600 {}`", path.display());
        return Err(io::Error::other(message));
    }
    let mut text = Zeroizing::new(String::with_capacity(PASSWORD_BYTES as usize + 1));
    if file.take(PASSWORD_BYTES + 1).read_to_string(&mut text)? as u64 > PASSWORD_BYTES {
        return Err(io::Error::other(format!("it has more than {PASSWORD_BYTES} bytes")));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_url_has_a_scheme_a_host_and_perhaps_a_port() {
        let check = |url: &str, expected: Result<&str, &str>| {
            let found = Remote::new(url, None, None);
            let found = found.map(|remote| remote.url().to_owned()).map_err(|e| e.to_string());
            match expected {
                Ok(expected) => assert_eq!(found.as_deref(), Ok(expected)),
                Err(part) => assert!(found.is_err_and(|error| error.contains(part)), "{url}"),
            }
        };
        check("http://127.0.0.1", Ok("http://127.0.0.1:8181"));
        check("https://i1.example:7000/", Ok("https://i1.example:7000"));
        check("https://[::1]:1", Ok("https://[::1]:1"));
        for bad in
            ["127.0.0.1:8181", "i1", "ftp://i1", "https://", "https://i1/v3", "https://i1?a", ""]
        {
            check(bad, Err("is not the URL of a snapd"));
        }
        check("https://snap:secret@i1", Err("has a password in it"));
    }

    #[test]
    fn a_password_goes_sealed_or_stays_here() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("password");
        fs::write(&path, "secret\n").unwrap();
        let mode = |mode| std::os::unix::fs::PermissionsExt::from_mode(mode);
        fs::set_permissions(&path, mode(0o640)).unwrap();
        let check = |url: &str, expected: Option<&str>| {
            let found = Remote::new(url, Some(&path), None).err().map(|error| error.to_string());
            match expected {
                None => assert_eq!(found, None),
                Some(part) => {
                    assert!(found.as_ref().is_some_and(|e| e.contains(part)), "{found:?}")
                }
            }
        };
        check("http://localhost", Some("its mode is 0640, run `chmod 600"));
        fs::set_permissions(&path, mode(0o600)).unwrap();
        check("http://10.0.0.1", Some("would go in the clear to `10.0.0.1`"));
        check("http://localhost", None);
        check("https://10.0.0.1", None);
        let remote = Remote::new("http://[::1]", Some(&path), None).unwrap();
        assert_eq!(remote.authorization().unwrap(), "Basic c25hcDpzZWNyZXQ=");
        assert!(!format!("{remote:?}").contains("c25h"));
    }
}
