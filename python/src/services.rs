//! Services, and their streams as sockets.

use std::{
    os::fd::{IntoRawFd as _, OwnedFd, RawFd},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use pyo3::prelude::*;
use tokio::{sync::watch, task::AbortHandle};
use tribe::{CommandError, Incoming, NodeName, ServeOptions, ServiceStream, Target, TribeName};

use crate::{
    call::{Owned, Runtime, seconds, wait, within},
    error::Error,
    feed::{Bell, Feed, Feeder, Next, Ringing},
};

/// A descriptor that is ours no more, and the node at the other end: name, id, address.
pub(crate) type Stream = (RawFd, (String, String, String));

/// A service that a node serves. Threads may share it; each stream goes to one of them.
#[pyclass(frozen, module = "tribe._tribe")]
pub(crate) struct Service {
    serving: Owned<Serving>,
}

struct Serving {
    incoming: Feed<Incoming>,
    closed: watch::Sender<bool>,
    runtime: Arc<Runtime>,
}

#[pymethods]
impl Service {
    /// The next stream; waits for it.
    fn accept(&self, py: Python<'_>, timeout: Option<f64>) -> PyResult<Stream> {
        let timeout = timeout.map(seconds).transpose()?;
        let serving = self.serving.get()?;
        let (socket, peer) = wait(py, &serving.runtime, serving.accept(timeout))?;
        Ok((socket.into_raw_fd(), peer))
    }

    /// The next stream, if one is there; for who was told by the descriptor.
    fn try_accept(&self, py: Python<'_>) -> PyResult<Option<Stream>> {
        let serving = self.serving.get()?;
        let accepted = wait(py, &serving.runtime, serving.try_accept())?;
        Ok(accepted.map(|(socket, peer)| (socket.into_raw_fd(), peer)))
    }

    /// Readable when `try_accept` may have something. It lives as long as this.
    fn fd(&self) -> PyResult<RawFd> {
        Ok(self.serving.get()?.incoming.fd())
    }

    fn close(&self) -> PyResult<()> {
        let serving = self.serving.get()?;
        serving.closed.send_replace(true);
        serving.incoming.end();
        Ok(())
    }
}

impl Service {
    pub(crate) async fn serve(
        node: &tribe::Node,
        name: &str,
        options: ServeOptions,
        runtime: &Arc<Runtime>,
    ) -> Result<Self, Error> {
        let service = node.serve(name, options).await?;
        let (incoming, feeder) = Feed::new()?;
        let incoming = incoming.fed_by(tokio::spawn(feed(service, feeder)));
        let (closed, runtime) = (watch::Sender::new(false), Arc::clone(runtime));
        Ok(Self { serving: Owned::new(Serving { incoming, closed, runtime }) })
    }
}

async fn feed(mut service: tribe::Service, mut feeder: Feeder<Incoming>) {
    while let Some(incoming) = service.accept().await {
        if !feeder.give(incoming).await {
            return;
        }
    }
}

impl Serving {
    async fn accept(&self, timeout: Option<Duration>) -> Result<Socket, Error> {
        let mut closed = self.closed.subscribe();
        within(timeout, "a caller", async {
            tokio::select! {
                biased;
                _ = closed.wait_for(|closed| *closed) => Err(CommandError::Closed.into()),
                incoming = self.incoming.next() => match incoming {
                    Some(incoming) => socket(incoming.stream),
                    None => Err(CommandError::Closed.into()),
                },
            }
        })
        .await
    }

    async fn try_accept(&self) -> Result<Option<Socket>, Error> {
        if *self.closed.borrow() {
            return Err(CommandError::Closed.into());
        }
        match self.incoming.try_next() {
            Next::Item(incoming) => socket(incoming.stream).map(Some),
            Next::Nothing => Ok(None),
            Next::Over => Err(CommandError::Closed.into()),
        }
    }
}

/// A descriptor, and the node at the other end.
pub(crate) type Socket = (OwnedFd, (String, String, String));

fn socket(stream: ServiceStream) -> Result<Socket, Error> {
    let peer = stream.peer();
    let peer = (peer.name.to_string(), peer.id.to_string(), peer.address.to_string());
    Ok((stream.into_socket().map_err(Error::Descriptor)?.into(), peer))
}

/// Reads whom to dial.
///
/// # Errors
/// [`Error::Argument`] unless one is named, and not both.
pub(crate) fn target(tribe: Option<&str>, node: Option<&str>) -> Result<Target, Error> {
    match (tribe, node) {
        (Some(tribe), None) => Ok(Target::Tribe(TribeName::parse(tribe)?)),
        (None, Some(node)) => Ok(Target::Node(NodeName::parse(node)?)),
        _ => Err(Error::Argument("give a tribe or a node to dial, one of them".to_owned())),
    }
}

/// Reads how a service is served.
pub(crate) fn options(
    tribes: Option<Vec<String>>,
    most: usize,
    hidden: bool,
) -> Result<ServeOptions, Error> {
    let parse = |tribes: Vec<String>| tribes.iter().map(|tribe| TribeName::parse(tribe)).collect();
    Ok(ServeOptions { tribes: tribes.map(parse).transpose()?, most, hidden })
}

/// Dials, and gives a descriptor.
pub(crate) async fn dial(
    node: &tribe::Node,
    target: Target,
    service: &str,
    timeout: Option<Duration>,
) -> Result<Socket, Error> {
    within(timeout, "an answer", async { socket(node.dial(target, service).await?) }).await
}

/// A stream, if it makes one.
type Outcome = Result<Option<Socket>, Error>;

/// Something that is under way, for an event loop: its descriptor is readable when it is done. Dropping it
/// ends it.
#[pyclass(frozen, module = "tribe._tribe")]
pub(crate) struct Pending {
    running: Owned<Running>,
}

struct Running {
    /// `None` till it is done.
    done: Arc<Mutex<Option<Outcome>>>,
    bell: Arc<Bell>,
    task: AbortHandle,
    /// A task must not outlive its threads.
    _runtime: Arc<Runtime>,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

#[pymethods]
impl Pending {
    /// Readable when it is done. It lives as long as this.
    fn fd(&self) -> PyResult<RawFd> {
        Ok(self.running.get()?.bell.number())
    }

    /// What came of it, once it is done: a stream, if it makes one.
    fn result(&self) -> PyResult<Option<Stream>> {
        let running = self.running.get()?;
        let done = running.done.lock().unwrap_or_else(PoisonError::into_inner).take();
        let done = done.unwrap_or_else(|| Err(CommandError::Closed.into()))?;
        Ok(done.map(|(socket, peer)| (socket.into_raw_fd(), peer)))
    }
}

impl Pending {
    pub(crate) fn start(
        runtime: &Arc<Runtime>,
        work: impl Future<Output = Result<Option<Socket>, Error>> + Send + 'static,
    ) -> Result<Self, Error> {
        let bell = Arc::new(Bell::new()?);
        let (done, ringing) = (Arc::new(Mutex::new(None)), Ringing::new(&bell));
        let result = Arc::clone(&done);
        let task = runtime.spawn(async move {
            let ended = work.await;
            *result.lock().unwrap_or_else(PoisonError::into_inner) = Some(ended);
            drop(ringing);
        })?;
        let task = task.abort_handle();
        let running = Running { done, bell, task, _runtime: Arc::clone(runtime) };
        Ok(Self { running: Owned::new(running) })
    }
}
