//! Services as users hold them: what they serve, and streams of bytes.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, ready},
};

use tokio::{
    io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf, duplex},
    sync::{Notify, mpsc, oneshot},
};

use crate::{Caller, DialError, ServiceName};

/// A service that this node serves. Dropping it withdraws the service; streams that are open stay so.
#[derive(Debug)]
pub struct Service {
    pub(super) name: ServiceName,
    pub(super) incoming: mpsc::UnboundedReceiver<Incoming>,
}

impl Service {
    /// Its name.
    #[must_use]
    pub fn name(&self) -> &ServiceName {
        &self.name
    }

    /// The next one who dialled; waits for it. `None` when the node has stopped. Cancel safe.
    pub async fn accept(&mut self) -> Option<Incoming> {
        self.incoming.recv().await
    }
}

/// Someone dialled a service.
#[derive(Debug)]
pub struct Incoming {
    /// What it sends and is sent.
    pub stream: ServiceStream,
    /// Who it is.
    pub caller: Caller,
}

/// A stream of bytes between a service and who dialled it.
///
/// Each direction ends by itself: `shutdown` ends ours, and a read that returns nothing tells that the
/// peer has ended its own. A stream that is dropped before it was shut down, or whose connection is lost,
/// is an error to the peer, never an end. Who does not read slows the writer down.
#[derive(Debug)]
pub struct ServiceStream {
    io: DuplexStream,
    peer: Caller,
    ours: Arc<End>,
    theirs: Arc<End>,
    /// Dropped when both ends are, if both are here.
    _over: Option<Arc<oneshot::Sender<()>>>,
}

/// What is known of one end of a stream.
#[derive(Debug, Default)]
pub(super) struct End {
    finished: AtomicBool,
    gone: Notify,
    error: OnceLock<(io::ErrorKind, String)>,
}

/// Who waits for a stream.
pub(super) enum Taker {
    /// The user who dialled.
    Dialler(oneshot::Sender<Result<ServiceStream, DialError>>),
    /// The service that was dialled.
    Service(mpsc::UnboundedSender<Incoming>),
}

/// Bytes that wait in a stream, in each direction, for its user or the network.
const PIPE_BYTES: usize = 64 * 1024;

impl End {
    /// It has sent all it had.
    pub(super) fn finish(&self) {
        self.finished.store(true, Ordering::Release);
    }

    pub(super) fn is_finished(&self) -> bool {
        self.finished.load(Ordering::Acquire)
    }

    /// It is lost, and this is why. Only the first reason counts.
    pub(super) fn fail(&self, kind: io::ErrorKind, reason: String) {
        // A later reason follows from the first.
        let _ = self.error.set((kind, reason));
    }

    /// Waits until nobody holds it.
    pub(super) async fn gone(&self) {
        self.gone.notified().await;
    }

    fn error(&self) -> io::Error {
        match self.error.get() {
            Some((kind, reason)) => io::Error::new(*kind, reason.clone()),
            None => io::Error::new(io::ErrorKind::ConnectionReset, "the peer cut the connection"),
        }
    }
}

impl ServiceStream {
    /// Who is at the other end.
    #[must_use]
    pub fn peer(&self) -> &Caller {
        &self.peer
    }

    /// A stream, and what its user writes and reads: with it go the user's end and the peer's.
    pub(super) fn new(peer: Caller) -> (Self, DuplexStream, [Arc<End>; 2]) {
        let (io, inner) = duplex(PIPE_BYTES);
        let (ours, theirs) = (Arc::<End>::default(), Arc::<End>::default());
        let ends = [Arc::clone(&ours), Arc::clone(&theirs)];
        (Self { io, peer, ours, theirs, _over: None }, inner, ends)
    }

    /// Both ends of a stream within this node; the channel closes when it is over.
    pub(super) fn pair(peer: &Caller) -> (Self, Self, oneshot::Receiver<()>) {
        let (over, done) = oneshot::channel();
        let (mut one, io, [ours, theirs]) = Self::new(peer.clone());
        one._over = Some(Arc::new(over));
        let other =
            Self { io, peer: peer.clone(), ours: theirs, theirs: ours, _over: one._over.clone() };
        (one, other, done)
    }
}

impl Taker {
    /// Gives the stream away; `false` if nobody waits for it any more.
    pub(super) fn give(self, stream: ServiceStream) -> bool {
        match self {
            Self::Dialler(reply) => reply.send(Ok(stream)).is_ok(),
            Self::Service(queue) => {
                let caller = stream.peer.clone();
                queue.send(Incoming { stream, caller }).is_ok()
            }
        }
    }
}

impl AsyncRead for ServiceStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let (before, room) = (buffer.filled().len(), buffer.remaining());
        ready!(Pin::new(&mut self.io).poll_read(context, buffer))?;
        let over = room > 0 && buffer.filled().len() == before;
        if over && !self.theirs.is_finished() {
            return Poll::Ready(Err(self.theirs.error()));
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for ServiceStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.io).poll_write(context, bytes));
        let lost = written.is_err() && !self.ours.is_finished();
        Poll::Ready(if lost { Err(self.theirs.error()) } else { written })
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.ours.finish();
        Pin::new(&mut self.io).poll_shutdown(context)
    }
}

impl Drop for ServiceStream {
    fn drop(&mut self) {
        self.ours.gone.notify_one();
    }
}
