//! One request and its reply, over a Unix socket or TCP.

use std::{io, path::PathBuf, time::Duration};

use base64::{Engine, prelude::BASE64_STANDARD as STANDARD};
use http_body_util::{BodyExt, Either, Full, Limited};
use hyper::{
    Method, StatusCode,
    body::{Bytes, Incoming},
    client::conn::http1,
    header,
};
use hyper_util::rt::TokioIo;
use serde::Serialize;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpStream, UnixStream},
};

use crate::{
    ErrorReply, SIGNATURE_HEADER,
    client::{ClientError, Remote, Upload},
};

/// Largest reply we read, in bytes. The members of a cluster of 20,000 take less than 10 MB.
const REPLY_BYTES: usize = 64 * 1024 * 1024;

/// Who is asked.
#[derive(Debug, Clone)]
pub(crate) enum Target {
    Socket(PathBuf),
    Remote(Remote),
}

impl Target {
    /// Its path or URL.
    pub(crate) fn address(&self) -> String {
        match self {
            Self::Socket(path) => path.display().to_string(),
            Self::Remote(remote) => remote.url().to_owned(),
        }
    }
}

/// What is asked.
#[derive(Debug)]
pub(crate) struct Request {
    method: Method,
    path: String,
    body: Option<(&'static str, Body)>,
    signature: Option<String>,
}

/// A body that is at hand, or is read while it is sent.
type Body = Either<Full<Bytes>, Upload>;

impl Request {
    /// A request without a body. The path is encoded already.
    pub(crate) fn new(method: Method, path: String) -> Self {
        Self { method, path, body: None, signature: None }
    }

    /// The request with a JSON body.
    pub(crate) fn json(self, body: &impl Serialize) -> Result<Self, ClientError> {
        let body =
            serde_json::to_vec(body).map_err(|error| ClientError::Request(error.to_string()))?;
        Ok(self.text("application/json", body))
    }

    /// The request with a file as its body.
    pub(crate) fn file(mut self, file: Upload) -> Self {
        self.body = Some(("application/octet-stream", Either::Right(file)));
        self
    }

    /// The request with a body of this type.
    pub(crate) fn text(mut self, content_type: &'static str, content: Vec<u8>) -> Self {
        self.body = Some((content_type, Either::Left(Full::from(content))));
        self
    }

    /// The request with the signature of its file.
    pub(crate) fn signature(mut self, signature: Option<&[u8]>) -> Self {
        self.signature = signature.map(|signature| STANDARD.encode(signature));
        self
    }

    /// The request as errors name it.
    pub(crate) fn name(&self) -> String {
        format!("{} {}", self.method, self.path)
    }

    fn into_http(self, target: &Target) -> Result<hyper::Request<Body>, ClientError> {
        let (host, authorization) = match target {
            Target::Socket(_) => ("snapd", None),
            Target::Remote(remote) => (remote.authority(), remote.authorization()),
        };
        let mut request = hyper::Request::builder()
            .method(self.method)
            .uri(self.path)
            .header(header::HOST, host)
            .header(header::USER_AGENT, concat!("tribe-api/", env!("CARGO_PKG_VERSION")));
        if let Some(authorization) = authorization {
            request = request.header(header::AUTHORIZATION, authorization);
        }
        if let Some(signature) = self.signature {
            request = request.header(SIGNATURE_HEADER, signature);
        }
        let mut content = Either::Left(Full::default());
        if let Some((content_type, body)) = self.body {
            request = request.header(header::CONTENT_TYPE, content_type);
            content = body;
        }
        request.body(content).map_err(|error| ClientError::Request(error.to_string()))
    }
}

/// Gives up on a call after some time.
pub(crate) async fn within<T>(
    time: Duration,
    request: &str,
    call: impl Future<Output = Result<T, ClientError>>,
) -> Result<T, ClientError> {
    tokio::time::timeout(time, call).await.unwrap_or_else(|_| {
        Err(ClientError::Timeout { request: request.into(), seconds: time.as_secs_f64() })
    })
}

/// Asks, and reads the whole reply.
pub(crate) async fn exchange(target: &Target, request: Request) -> Result<Bytes, ClientError> {
    let name = request.name();
    let body = open(target, request).await?;
    whole(body, &name).await
}

/// Asks, and returns the body of the reply, yet to be read. A refusal is an error.
pub(crate) async fn open(target: &Target, request: Request) -> Result<Incoming, ClientError> {
    let name = request.name();
    let request = request.into_http(target)?;
    let remote = match target {
        Target::Socket(socket) => {
            let stream = UnixStream::connect(socket)
                .await
                .map_err(|source| ClientError::Connect { socket: socket.into(), source })?;
            return ask(stream, request, name).await;
        }
        Target::Remote(remote) => remote,
    };
    let failed = |source| ClientError::ConnectTo { url: remote.url().to_owned(), source };
    let stream = TcpStream::connect(remote.address()).await.map_err(failed)?;
    let Some((tls, host)) = remote.tls() else { return ask(stream, request, name).await };
    let stream = tls.connect(host, stream).await.map_err(|error| untrusted(remote, error))?;
    ask(stream, request, name).await
}

/// Why TLS came to nothing.
fn untrusted(remote: &Remote, error: io::Error) -> ClientError {
    use tokio_rustls::rustls::{CertificateError, Error};
    let url = remote.url().to_owned();
    let cause = error.get_ref().and_then(|error| error.downcast_ref::<Error>());
    let reason = match cause {
        Some(Error::InvalidCertificate(CertificateError::UnknownIssuer)) => {
            return ClientError::UnknownCertificate { url };
        }
        Some(Error::InvalidCertificate(CertificateError::Other(other)))
            if other.to_string().contains("CaUsedAsEndEntity") =>
        {
            return ClientError::AuthorityCertificate { url };
        }
        Some(Error::InvalidMessage(_)) => "it does not speak TLS".to_owned(),
        Some(error) => error.to_string(),
        None => return ClientError::ConnectTo { url, source: error },
    };
    ClientError::Tls { url, reason }
}

async fn ask<S>(
    stream: S,
    request: hyper::Request<Body>,
    name: String,
) -> Result<Incoming, ClientError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (mut sender, connection) =
        http1::handshake(TokioIo::new(stream)).await.map_err(|error| lost(&name, &error))?;
    // Its errors reach us through the sender and the body as well.
    tokio::spawn(connection);
    let reply = sender.send_request(request).await.map_err(|error| lost(&name, &error))?;
    let status = reply.status();
    if status.is_success() {
        return Ok(reply.into_body());
    }
    let body = whole(reply.into_body(), &name).await?;
    Err(refused(status, &body, name))
}

async fn whole(body: Incoming, request: &str) -> Result<Bytes, ClientError> {
    match Limited::new(body, REPLY_BYTES).collect().await {
        Ok(body) => Ok(body.to_bytes()),
        Err(error) => Err(lost(request, error.as_ref())),
    }
}

fn refused(status: StatusCode, body: &[u8], request: String) -> ClientError {
    match serde_json::from_slice(body) {
        Ok(ErrorReply { error }) => ClientError::Refused {
            status: status.as_u16(),
            code: error.code,
            message: error.message,
            detail: error.detail,
            help: error.help,
        },
        Err(_) => {
            ClientError::BadReply { request, reason: format!("status {status} without a reason") }
        }
    }
}

/// What happened to a connection, with the causes hyper keeps behind its own words.
pub(crate) fn lost(request: &str, error: &(dyn std::error::Error + 'static)) -> ClientError {
    let mut reason = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        reason = format!("{reason}: {error}");
        cause = error.source();
    }
    ClientError::Lost { request: request.into(), reason }
}
