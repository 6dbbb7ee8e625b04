//! The connections of the control API: the Unix socket, and TCP with or without TLS.
//!
//! It knows who connected and hands on requests with their [`Peer`]; whether that one may ask, the gate says.
//! Invariant: a connection that sends nothing, or a head too long or too slowly, ends by itself, and there are
//! never more than so many, over TCP never more than so many of one address.

use std::{
    collections::BTreeMap,
    io,
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use axum::{Extension, Router};
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::graceful::{GracefulShutdown, Watcher},
    service::TowerToHyperService,
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpStream, UnixListener, UnixStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use tracing::{debug, warn};

use super::{
    App,
    exposure::Exposure,
    gate::Gate,
    peer::{Owners, Peer},
    router,
};

/// Connections to the Unix socket; more wait.
const LOCAL: usize = 512;
/// Connections over TCP; more are closed.
const REMOTE: usize = 128;
/// Of these, those of one address.
const OF_ONE_ADDRESS: usize = 32;
/// How long the head of a request may take, and how long a connection may be silent between two.
const HEAD_TIME: Duration = Duration::from_secs(10);
/// How long TLS may take to be agreed on.
const HANDSHAKE_TIME: Duration = Duration::from_secs(10);
/// Largest head of a request, in bytes.
const HEAD_BYTES: usize = 16 * 1024;
/// Headers of a request.
const HEADERS: usize = 64;
/// How long to rest when the system has no connection to give.
const ACCEPT_REST: Duration = Duration::from_millis(100);
/// The first byte of TLS.
const TLS_BYTE: u8 = 22;
/// What someone gets to hear who speaks HTTP where TLS is spoken.
const SPEAK_TLS: &str = "HTTP/1.1 400 Bad Request\r\ncontent-type: application/json\r\n\
    content-length: 130\r\nconnection: close\r\n\r\n\
    {\"error\":{\"code\":\"not-tls\",\"message\":\"this port speaks TLS, and the request came without\",\
    \"help\":\"write the URL with `https://`\"}}";

/// Where the API is served.
pub(crate) struct Doors {
    pub(crate) socket: UnixListener,
    /// The group of the socket.
    pub(crate) group: u32,
    pub(crate) exposure: Option<Exposure>,
}

/// Serves the API until the daemon stops and all requests are answered.
pub(crate) async fn serve(doors: Doors, app: App) -> io::Result<()> {
    let Doors { socket, group, exposure } = doors;
    let stopped = app.stopped();
    let (password, sealed) =
        exposure.as_ref().map_or((None, false), |open| (open.password, open.tls.is_some()));
    let server = Server {
        router: router(app.clone(), Arc::new(Gate::new(password, sealed))),
        app,
        open: GracefulShutdown::new(),
    };
    tokio::select! {
        () = server.local(&socket, Owners::new(group)) => {}
        () = server.remote(exposure.as_ref()) => {}
        () = stopped => {}
    }
    // Who connects now is to hear that nobody is there.
    drop((socket, exposure));
    server.open.shutdown().await;
    Ok(())
}

struct Server {
    router: Router,
    app: App,
    open: GracefulShutdown,
}

impl Server {
    async fn local(&self, socket: &UnixListener, owners: Owners) {
        let room = Arc::new(Semaphore::new(LOCAL));
        // It is never closed.
        while let Ok(place) = Arc::clone(&room).acquire_owned().await {
            let Some((stream, _)) = accepted(socket.accept().await).await else { continue };
            tokio::spawn(local(stream, owners, self.router.clone(), self.open.watcher(), place));
        }
    }

    async fn remote(&self, exposure: Option<&Exposure>) {
        let Some(Exposure { listener, tls, .. }) = exposure else {
            return std::future::pending().await;
        };
        let crowd = Arc::new(Crowd::default());
        loop {
            let Some((stream, address)) = accepted(listener.accept().await).await else { continue };
            let Some(place) = crowd.enter(address.ip()) else {
                debug!(%address, "too many connections to the control API");
                continue;
            };
            let (tls, router) = (tls.clone(), self.router.clone());
            let (watcher, stopped) = (self.open.watcher(), self.app.stopped());
            tokio::spawn(async move {
                let _place = place;
                let greeted = tokio::select! {
                    greeted = greet(stream, tls) => greeted,
                    () = stopped => None,
                };
                let peer = Peer::Remote(address);
                match greeted {
                    Some(Greeted::Plain(stream)) => speak(stream, peer, router, watcher).await,
                    Some(Greeted::Sealed(stream)) => speak(*stream, peer, router, watcher).await,
                    None => {}
                }
            });
        }
    }
}

/// A connection over TCP that is ready for HTTP.
enum Greeted {
    Plain(TcpStream),
    Sealed(Box<TlsStream<TcpStream>>),
}

/// Agrees on TLS, if it is to be. `None`: it came to nothing.
async fn greet(mut stream: TcpStream, tls: Option<TlsAcceptor>) -> Option<Greeted> {
    let Some(tls) = tls else { return Some(Greeted::Plain(stream)) };
    let sealed = timeout(HANDSHAKE_TIME, async {
        let mut first = [0];
        if stream.peek(&mut first).await? == 1 && first != [TLS_BYTE] {
            stream.write_all(SPEAK_TLS.as_bytes()).await?;
            stream.shutdown().await?;
            // What was sent is read, or the system would take the answer back.
            let _ = stream.take(HEAD_BYTES as u64).read_to_end(&mut Vec::new()).await;
            return Err(io::Error::other("it came without TLS"));
        }
        tls.accept(stream).await
    });
    match sealed.await {
        Ok(Ok(stream)) => Some(Greeted::Sealed(Box::new(stream))),
        Ok(Err(error)) => {
            debug!(%error, "no TLS with a client of the control API");
            None
        }
        Err(_) => None,
    }
}

async fn local(
    stream: UnixStream,
    owners: Owners,
    router: Router,
    watcher: Watcher,
    _place: OwnedSemaphorePermit,
) {
    match stream.peer_cred() {
        Ok(credentials) => speak(stream, owners.judge(credentials), router, watcher).await,
        Err(error) => warn!(%error, "cannot see who is at the socket"),
    }
}

async fn speak<S>(stream: S, peer: Peer, router: Router, watcher: Watcher)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIME)
        .max_header_size(HEAD_BYTES)
        .max_headers(HEADERS);
    let service = TowerToHyperService::new(router.layer(Extension(peer)));
    let connection = http.serve_connection(TokioIo::new(stream), service);
    if let Err(error) = watcher.watch(connection).await {
        debug!(%error, "a connection to the control API ended badly");
    }
}

/// What was accepted. A system that has none to give is asked again a little later.
async fn accepted<T>(result: io::Result<T>) -> Option<T> {
    match result {
        Ok(accepted) => Some(accepted),
        Err(error) => {
            debug!(%error, "cannot accept a connection to the control API");
            tokio::time::sleep(ACCEPT_REST).await;
            None
        }
    }
}

/// How many connections each address has.
#[derive(Debug, Default)]
struct Crowd(Mutex<BTreeMap<IpAddr, usize>>);

/// The place of one connection.
#[derive(Debug)]
struct Place {
    crowd: Arc<Crowd>,
    ip: IpAddr,
}

impl Crowd {
    fn enter(self: &Arc<Self>, ip: IpAddr) -> Option<Place> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let here = all.get(&ip).copied().unwrap_or_default();
        if here >= OF_ONE_ADDRESS || all.values().sum::<usize>() >= REMOTE {
            return None;
        }
        all.insert(ip, here + 1);
        drop(all);
        Some(Place { crowd: Arc::clone(self), ip })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut all = self.crowd.0.lock().unwrap_or_else(PoisonError::into_inner);
        match all.get_mut(&self.ip) {
            Some(count) if *count > 1 => *count -= 1,
            _ => {
                all.remove(&self.ip);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_to_plain_http_is_as_long_as_it_says() {
        let (head, body) = SPEAK_TLS.split_once("\r\n\r\n").unwrap();
        assert!(head.contains(&format!("content-length: {}\r\n", body.len())), "{}", body.len());
        let _: tribe_api::ErrorReply = serde_json::from_str(body).unwrap();
    }

    #[test]
    fn no_address_takes_all_places() {
        let crowd = Arc::new(Crowd::default());
        let enter = |last: u8| crowd.enter(IpAddr::from([10, 0, 0, last]));
        let mut places: Vec<_> = (0..OF_ONE_ADDRESS).map(|_| enter(1).unwrap()).collect();
        assert!(enter(1).is_none());
        places.extend(
            (2..5).flat_map(|last| (0..OF_ONE_ADDRESS).map(move |_| last)).filter_map(enter),
        );
        assert_eq!(places.len(), REMOTE);
        assert!(enter(9).is_none());
        drop(places);
        assert!(enter(1).is_some() && crowd.0.lock().unwrap().is_empty());
    }
}
