//! TCP connections under the engine's streams: the Noise session runs here, off the loop.
//!
//! Nothing a dialler sends takes effect before it has proved the key: only then does the engine hear of
//! the stream.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpSocket, TcpStream},
    sync::{Semaphore, mpsc, watch},
    time::timeout,
};

use super::{
    doorway::{Crowded, Doorway},
    services::{ServiceStream, Taker},
    tunnel,
};
use crate::{
    Caller, ClusterName, KeyId, Keyring,
    engine::{Agreed, StreamEvent, StreamId},
    limits,
    wire::noise::{NoiseStream, StreamError},
};

/// What the loop tells a stream.
pub(super) enum StreamOrder {
    /// Send this message.
    Message(Vec<u8>),
    /// Send what is left and close.
    Close,
    /// Send this message, if there is one, and give the stream to who waits for it.
    Detach(Box<Detach>),
}

/// A stream becomes a user's.
pub(super) struct Detach {
    pub(super) last: Option<Vec<u8>>,
    pub(super) peer: Caller,
    pub(super) taker: Taker,
}

/// A stream that a peer opened, as the loop hears of it.
pub(super) struct Accepted {
    pub(super) stream: StreamId,
    pub(super) from: SocketAddr,
    pub(super) agreed: Agreed,
    pub(super) orders: mpsc::UnboundedSender<StreamOrder>,
}

/// What streams tell the loop.
pub(super) enum StreamNews {
    /// A peer opened one and proved the key.
    Accepted(Accepted),
    /// Anything else.
    Event(StreamEvent),
    /// A peer could not prove the key, or did not speak the protocol.
    Rejected(SocketAddr, ConnectionError),
    /// One that we dialled was answered, and did not open.
    Unopened(StreamId, SocketAddr, ConnectionError),
    /// A peer was turned away: too many had not proved the key yet.
    Crowded(Crowded),
    /// A stream ended because too much waited in it.
    Overfull,
}

/// Why a connection ended before it became a stream.
#[derive(Debug, thiserror::Error)]
pub(super) enum ConnectionError {
    /// The peer closed it.
    #[error("the peer closed the connection")]
    Closed,
    /// The peer was too slow.
    #[error("the peer did not prove its key in time")]
    Timeout,
    /// The peer does not read what we send.
    #[error("the peer does not read")]
    Stalled,
    /// The network failed.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The peer has another key, or does not speak the protocol.
    #[error(transparent)]
    Noise(#[from] StreamError),
}

impl ConnectionError {
    /// The key of a peer that does not hold ours.
    pub(super) fn other_key(&self) -> Option<KeyId> {
        match self {
            Self::Noise(StreamError::UnknownKey { theirs, .. }) => Some(*theirs),
            _ => None,
        }
    }
}

/// What every stream needs.
#[derive(Clone)]
pub(super) struct Session {
    pub(super) keyring: watch::Receiver<Keyring>,
    pub(super) cluster: ClusterName,
    pub(super) news: mpsc::Sender<StreamNews>,
    pub(super) stopped: watch::Receiver<bool>,
    /// Connections to services that may shake hands at a time.
    pub(super) dials: Arc<Semaphore>,
    /// The address of this node's sockets, without their port, if they are not on all addresses: where the
    /// engine dials from, too.
    pub(super) source: Option<SocketAddr>,
}

/// Ids of accepted streams have the highest bit set.
const ACCEPTED: u64 = 1 << 63;
const READ_BYTES: usize = 16 * 1024;
const CONNECT_TIME: Duration = Duration::from_secs(5);
/// After so long, and up to twice that, a crowded peer is tried again.
const CROWDED_PAUSE_MS: u64 = 50;

/// Accepts connections for ever; ends with the task.
pub(super) async fn listen(listener: TcpListener, session: Session) {
    let doorway = Doorway::default();
    let mut made = 0;
    loop {
        let (socket, from) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                // Out of descriptors, mostly: it passes.
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        let permit = match doorway.enter(from) {
            Ok(permit) => permit,
            Err(crowded) => {
                let _ = session.news.send(StreamNews::Crowded(crowded)).await;
                continue;
            }
        };
        made += 1;
        let (stream, session) = (StreamId(ACCEPTED | made), session.clone());
        tokio::spawn(async move {
            let pump = match greet(socket, &session).await {
                Ok(pump) => pump,
                Err(error) => {
                    drop(permit);
                    let _ = session.news.send(StreamNews::Rejected(from, error)).await;
                    return;
                }
            };
            drop(permit);
            let (orders, inbox) = mpsc::unbounded_channel();
            let agreed = pump.agreed();
            let accepted = StreamNews::Accepted(Accepted { stream, from, agreed, orders });
            if session.news.send(accepted).await.is_ok() {
                let reason = pump.run(stream, inbox, &session).await;
                let closed = StreamEvent::Closed(stream, reason);
                let _ = session.news.send(StreamNews::Event(closed)).await;
            }
        });
    }
}

/// Has a dialler prove the key.
async fn greet(socket: TcpStream, session: &Session) -> Result<Pump, ConnectionError> {
    let mut seed = [0; 32];
    getrandom::fill(&mut seed).map_err(io::Error::other)?;
    let noise = NoiseStream::responder(&session.keyring.borrow(), &session.cluster, seed);
    let mut pump = Pump::new(socket, noise);
    let proof = async {
        while !pump.noise.is_proven() {
            pump.read().await?;
            pump.flush().await?;
        }
        Ok::<(), ConnectionError>(())
    };
    match timeout(limits::HANDSHAKE_TIME, proof).await {
        Ok(Ok(())) => Ok(pump),
        Ok(Err(error)) => Err(error),
        Err(_) => Err(ConnectionError::Timeout),
    }
}

/// Dials a peer; tells the loop how it went.
pub(super) fn dial(
    stream: StreamId,
    to: SocketAddr,
    key: KeyId,
    seed: [u8; 32],
    detachable: bool,
    session: Session,
) -> mpsc::UnboundedSender<StreamOrder> {
    let (orders, inbox) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        let permit = match detachable {
            true => Arc::clone(&session.dials).acquire_owned().await.ok(),
            false => None,
        };
        let connected =
            timeout(CONNECT_TIME, connect(stream, to, key, seed, detachable, &session)).await;
        drop(permit);
        let reason = match connected {
            Ok(Ok(mut pump)) => {
                let opened = StreamNews::Event(StreamEvent::Opened(stream, pump.agreed()));
                if session.news.send(opened).await.is_err() {
                    return;
                }
                pump.detachable = detachable;
                pump.run(stream, inbox, &session).await
            }
            Ok(Err(error)) => {
                let _ = session.news.send(StreamNews::Unopened(stream, to, error)).await;
                return;
            }
            Err(_) => "no answer".to_owned(),
        };
        let closed = StreamEvent::Closed(stream, reason);
        let _ = session.news.send(StreamNews::Event(closed)).await;
    });
    orders
}

impl Session {
    /// A port that is bound is taken toward everyone: connections to services, of which there may be
    /// thousands a minute, are not.
    async fn connect(&self, to: SocketAddr, service: bool) -> io::Result<TcpStream> {
        let socket = if to.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        let source = self.source.filter(|source| source.is_ipv4() == to.is_ipv4() && !service);
        match source.map_or(Ok(()), |source| socket.bind(source)) {
            Err(error) if error.kind() != io::ErrorKind::AddrInUse => Err(error),
            _ => socket.connect(to).await,
        }
    }
}

/// Opens a connection, and the session on it. A peer that has too many connections to look at closes the
/// next ones unseen: who dials for a user tries again. To a peer that says it has another key, which is or was
/// one of ours, that is tried once.
async fn connect(
    stream: StreamId,
    to: SocketAddr,
    mut key: KeyId,
    seed: [u8; 32],
    again: bool,
    session: &Session,
) -> Result<Pump, ConnectionError> {
    let tell = async |event| {
        // The loop may have ended meanwhile: then nobody wants to know.
        let _ = session.news.send(StreamNews::Event(event)).await;
    };
    let mut seed = seed;
    let mut other_tried = false;
    loop {
        let socket = match session.connect(to, again).await {
            Ok(socket) => socket,
            Err(error) => {
                if error.kind() == io::ErrorKind::ConnectionRefused {
                    tell(StreamEvent::Refused(stream)).await;
                }
                return Err(error.into());
            }
        };
        tell(StreamEvent::Reached(stream)).await;
        let keyring = session.keyring.borrow().clone();
        // It may be gone since the engine chose it.
        key = if keyring.may_open(key) { key } else { keyring.sealing_id() };
        let noise = NoiseStream::initiator_with(&keyring, key, &session.cluster, seed)?;
        let mut pump = Pump::new(socket, noise);
        match pump.establish().await {
            Ok(()) => return Ok(pump),
            Err(ConnectionError::Noise(StreamError::UnknownKey { theirs, .. }))
                if !other_tried && theirs != key && keyring.may_open(theirs) =>
            {
                (key, other_tried) = (theirs, true);
                getrandom::fill(&mut seed).map_err(io::Error::other)?;
                continue;
            }
            Err(ConnectionError::Closed | ConnectionError::Io(_)) if again => {}
            Err(error) => return Err(error),
        }
        let pause = getrandom::u64().map_err(io::Error::other)? % CROWDED_PAUSE_MS;
        tokio::time::sleep(Duration::from_millis(CROWDED_PAUSE_MS + pause)).await;
        // No seed is used twice.
        getrandom::fill(&mut seed).map_err(io::Error::other)?;
    }
}

/// A connection and the session on it.
struct Pump {
    socket: TcpStream,
    noise: NoiseStream,
    buffer: Vec<u8>,
    /// What comes after a message may be for someone else than the loop.
    detachable: bool,
}

impl Pump {
    fn new(socket: TcpStream, noise: NoiseStream) -> Self {
        // Small messages must not wait for one another.
        let _ = socket.set_nodelay(true);
        Self { socket, noise, buffer: vec![0; READ_BYTES], detachable: false }
    }

    /// What both sides agreed on, once hands are shaken.
    fn agreed(&self) -> Agreed {
        Agreed { key: self.noise.key(), version: self.noise.version() }
    }

    /// Shakes hands with who was dialled.
    async fn establish(&mut self) -> Result<(), ConnectionError> {
        self.flush().await?;
        while !self.noise.is_established() {
            self.read().await?;
            self.flush().await?;
        }
        Ok(())
    }

    async fn read(&mut self) -> Result<(), ConnectionError> {
        let read = self.socket.read(&mut self.buffer).await?;
        match self.buffer.get(..read) {
            None | Some([]) => Err(ConnectionError::Closed),
            Some(bytes) => {
                let received = self.noise.receive(bytes);
                if received.is_err() {
                    // What we have to say to it, such as which key is ours.
                    self.flush().await?;
                }
                Ok(received?)
            }
        }
    }

    async fn flush(&mut self) -> Result<(), ConnectionError> {
        let bytes = self.noise.take_output();
        if !bytes.is_empty() {
            let written = timeout(limits::STREAM_IDLE, self.socket.write_all(&bytes)).await;
            written.map_err(|_| ConnectionError::Stalled)??;
        }
        Ok(())
    }

    /// Carries messages until either side closes; returns why it ended.
    async fn run(
        mut self,
        stream: StreamId,
        mut orders: mpsc::UnboundedReceiver<StreamOrder>,
        session: &Session,
    ) -> String {
        let mut waits = false;
        loop {
            while !waits && let Some(message) = self.noise.next_message() {
                let event = StreamNews::Event(StreamEvent::Message(stream, message));
                if session.news.send(event).await.is_err() {
                    return "stopped".to_owned();
                }
                waits = self.detachable;
            }
            let step = tokio::select! {
                order = orders.recv() => {
                    waits = false;
                    match order {
                        Some(StreamOrder::Message(message)) => self.send(&message).await,
                        Some(StreamOrder::Detach(detach)) => {
                            return self.detach(*detach, session).await;
                        }
                        Some(StreamOrder::Close) | None => return self.close().await,
                    }
                },
                read = self.read(), if !waits => read,
            };
            if let Err(error) = step {
                if matches!(error, ConnectionError::Noise(StreamError::Backlog)) {
                    // The loop may have ended meanwhile.
                    let _ = session.news.send(StreamNews::Overfull).await;
                }
                return error.to_string();
            }
        }
    }

    async fn send(&mut self, message: &[u8]) -> Result<(), ConnectionError> {
        self.noise.send(message)?;
        self.flush().await
    }

    /// Gives the stream away, and carries it until it is over.
    async fn detach(mut self, detach: Detach, session: &Session) -> String {
        let Detach { last, peer, taker } = detach;
        if let Some(last) = last
            && let Err(error) = self.send(&last).await
        {
            return error.to_string();
        }
        let (stream, io, ends) = ServiceStream::new(peer);
        if !taker.give(stream) {
            return "nobody waits for it".to_owned();
        }
        let removed = removed(self.noise.key(), session.keyring.clone());
        let Self { socket, noise, buffer, .. } = self;
        // What is not moved away lives as long as the stream, which may be idle for long.
        drop(buffer);
        let stopped = session.stopped.clone();
        tunnel::run(socket, noise, io, ends, stopped, removed).await
    }

    async fn close(&mut self) -> String {
        // All was written before; whether the peer still hears the end does not matter.
        let _ = self.socket.shutdown().await;
        "closed".to_owned()
    }
}

/// Waits until a key opens nothing any more; for ever if the loop ends before.
async fn removed(key: KeyId, mut keyring: watch::Receiver<Keyring>) {
    if keyring.wait_for(|ring| !ring.opens(key)).await.is_err() {
        std::future::pending::<()>().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Key;

    fn session(
        source: Option<SocketAddr>,
        ring: &Keyring,
    ) -> (Session, mpsc::Receiver<StreamNews>) {
        let (news, heard) = mpsc::channel(1024);
        let session = Session {
            keyring: watch::channel(ring.clone()).1,
            cluster: ClusterName::parse("test").unwrap(),
            news,
            stopped: watch::channel(false).1,
            dials: Arc::new(Semaphore::new(1)),
            source,
        };
        (session, heard)
    }

    #[tokio::test]
    async fn a_node_dials_from_the_address_it_listens_on() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let to = listener.local_addr().unwrap();
        for (source, service, seen) in [
            ("127.0.0.3:0", false, "127.0.0.3"),
            ("127.0.0.4:0", false, "127.0.0.4"),
            ("127.0.0.4:0", true, "127.0.0.1"),
            ("[::1]:0", false, "127.0.0.1"),
        ] {
            let source = source.parse().unwrap();
            let (session, _heard) = session(Some(source), &Keyring::new(Key::from_bytes([7; 32])));
            let (dialled, accepted) = tokio::join!(session.connect(to, service), listener.accept());
            assert_eq!(dialled.unwrap().local_addr().unwrap().ip().to_string(), seen);
            assert_eq!(accepted.unwrap().1.ip().to_string(), seen);
        }
    }

    #[tokio::test]
    async fn one_address_that_says_nothing_does_not_keep_another_out() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let to = listener.local_addr().unwrap();
        let ring = Keyring::new(Key::from_bytes([7; 32]));
        let (session, mut heard) = session(None, &ring);
        let listening = tokio::spawn(listen(listener, session.clone()));

        let mut silent = Vec::new();
        for _ in 0..=limits::HANDSHAKES_OF_SOURCE {
            silent.push(TcpStream::connect(to).await.unwrap());
        }
        assert!(matches!(heard.recv().await, Some(StreamNews::Crowded(Crowded::Source))));

        let socket = TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.2:0".parse().unwrap()).unwrap();
        let mut socket = socket.connect(to).await.unwrap();
        let mut noise = NoiseStream::initiator(&ring, &session.cluster, [1; 32]).unwrap();
        noise.send(b"here").unwrap();
        let mut answer = [0; 50];
        socket.write_all(&noise.take_output()).await.unwrap();
        socket.read_exact(&mut answer).await.unwrap();
        noise.receive(&answer).unwrap();
        socket.write_all(&noise.take_output()).await.unwrap();
        match heard.recv().await {
            Some(StreamNews::Accepted(accepted)) => {
                assert_eq!(accepted.from, socket.local_addr().unwrap());
            }
            _ => panic!("the other address was not heard"),
        }
        listening.abort();
    }
}
