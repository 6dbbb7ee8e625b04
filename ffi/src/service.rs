//! Services: byte streams between members, as descriptors.

use std::{
    ffi::c_int,
    io,
    mem::{self, MaybeUninit},
    os::fd::IntoRawFd,
    ptr::NonNull,
    sync::Arc,
};

use tokio::{runtime::Handle, task::AbortHandle};
use tribe::{Incoming, NodeName, ServiceStream, Target, TribeName};

use crate::{
    Error, Node, Status, Str, Text,
    handle::{Required, call, call_or, live, offer},
    node::{Process, timeout},
    queue::{Closing, Next, Queue},
};

/// How a service is served.
#[derive(Debug)]
pub struct ServeOptions(tribe::ServeOptions);

/// A service that a node serves. It may outlive the node.
#[derive(Debug)]
pub struct Service {
    process: Process,
    queue: Arc<Queue<Incoming>>,
    feeder: AbortHandle,
    runtime: Handle,
}

/// The node at the other end of a stream.
#[derive(Debug)]
pub struct Caller {
    name: Text,
    id: Text,
    address: Text,
}

impl Service {
    fn close(&self) {
        self.feeder.abort();
        self.queue.abandon();
    }
}

impl From<&tribe::Caller> for Caller {
    fn from(caller: &tribe::Caller) -> Self {
        Self {
            name: Text::new(caller.name.as_str()),
            id: Text::new(caller.id.to_string()),
            address: Text::new(caller.address.to_string()),
        }
    }
}

async fn feed(mut service: tribe::Service, queue: Closing<Incoming>) {
    while let Some(incoming) = service.accept().await {
        queue.0.push(incoming).await;
    }
}

/// The descriptor that C gets.
fn descriptor(stream: ServiceStream, runtime: &Handle) -> Result<c_int, Error> {
    let _inside = runtime.enter();
    let socket = stream.into_socket().map_err(no_descriptor)?;
    Ok(socket.into_raw_fd())
}

fn no_descriptor(error: io::Error) -> Error {
    Error::new(Status::System, format_args!("cannot make a descriptor for the stream: {error}"))
}

fn target(tribe: Str, member: Str) -> Result<Target, Error> {
    match (tribe.read_optional("tribe")?, member.read_optional("member")?) {
        (Some(tribe), None) => Ok(Target::Tribe(TribeName::parse(tribe)?)),
        (None, Some(member)) => Ok(Target::Node(NodeName::parse(member)?)),
        (Some(_), Some(_)) => {
            Err(Error::new(Status::Target, "both a tribe and a node are named, name one of them"))
        }
        (None, None) => Err(Error::new(Status::Target, "name a tribe or a node to dial")),
    }
}

/// Begins options for tribe_serve(): any node of the cluster may dial, 256 streams at a time, offered to all.
/// Free them with tribe_serve_options_free().
#[unsafe(no_mangle)]
#[must_use]
pub extern "C" fn tribe_serve_options_new(
    out: Option<&mut MaybeUninit<Box<ServeOptions>>>,
    err: Option<&mut MaybeUninit<Box<Error>>>,
) -> Status {
    call(err, || {
        out.required("out")?.write(Box::new(ServeOptions(tribe::ServeOptions::default())));
        Ok(())
    })
}

/// Lets members of this tribe in. Once one tribe is named, only members of named tribes may dial.
#[unsafe(no_mangle)]
#[must_use]
pub extern "C" fn tribe_serve_options_add_tribe(
    options: Option<&mut ServeOptions>,
    tribe: Str,
    err: Option<&mut MaybeUninit<Box<Error>>>,
) -> Status {
    call(err, || {
        let options = options.required("options")?;
        let tribe = TribeName::parse(tribe.read("tribe")?)?;
        options.0.tribes.get_or_insert_default().push(tribe);
        Ok(())
    })
}

/// Most streams at a time, from who dials to when both directions are over. Who dials beyond gets
/// TRIBE_STATUS_BUSY.
#[unsafe(no_mangle)]
#[must_use]
pub extern "C" fn tribe_serve_options_set_most(
    options: Option<&mut ServeOptions>,
    most: usize,
    err: Option<&mut MaybeUninit<Box<Error>>>,
) -> Status {
    call(err, || {
        options.required("options")?.0.most = most;
        Ok(())
    })
}

/// Hide it from what the node offers? Then only who knows of it dials it, by the node's name.
#[unsafe(no_mangle)]
#[must_use]
pub extern "C" fn tribe_serve_options_set_hidden(
    options: Option<&mut ServeOptions>,
    hidden: bool,
    err: Option<&mut MaybeUninit<Box<Error>>>,
) -> Status {
    call(err, || {
        options.required("options")?.0.hidden = hidden;
        Ok(())
    })
}

/// Frees options. Services served with them are not touched. NULL is allowed.
#[unsafe(no_mangle)]
pub extern "C" fn tribe_serve_options_free(options: Option<Box<ServeOptions>>) {
    call_or((), || drop(options));
}

/// Serves a service of this name, such as `echo/1`, to the members of the cluster, over its own encrypted
/// streams: nothing new listens on the network. `options` may be NULL. Free the service with
/// tribe_service_free(), before or after the node.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn tribe_serve(
    node: Option<NonNull<Node>>,
    name: Str,
    options: Option<&ServeOptions>,
    out: Option<&mut MaybeUninit<Box<Service>>>,
    err: Option<&mut MaybeUninit<Box<Error>>>,
) -> Status {
    call(err, || {
        let out = out.required("out")?;
        // SAFETY: all callers promise a live handle or NULL.
        let node = unsafe { live(node, "node") }?;
        let name = name.read("name")?;
        let options = options.map(|options| options.0.clone()).unwrap_or_default();
        let queue = Queue::new().map_err(|error| Error::new(Status::System, error))?;
        let queue = Arc::new(queue);
        let service = node.wait(None, |node| node.serve(name, options))?;
        let feeder = node.spawn(feed(service, Closing(Arc::clone(&queue))));
        let (process, runtime) = (Process::current(), node.runtime().clone());
        out.write(Box::new(Service { process, queue, feeder, runtime }));
        Ok(())
    })
}

/// The next stream of one who dialled, waiting for it `timeout_ms` (0: not at all, negative: for ever). May
/// be called by several threads. Free the caller with tribe_caller_free(); `caller` may be NULL.
///
/// The stream is a connected socket that is yours: read() and write() it, poll() it, set it non-blocking,
/// close() it.
/// - shutdown(fd, SHUT_WR) ends your direction, and so does close() once you have read all that came. To
///   close with bytes unread is an error to the peer.
/// - read() returns 0 when the peer has ended its direction. If the stream is lost instead, because the
///   peer died, say, read() gives what had come and then fails, once, with ECONNRESET. (On Linux.
///   Elsewhere a lost stream looks like an end: send lengths.) It is told once, so have one thread read.
/// - write() waits while the peer does not read, and fails with EPIPE when the stream is lost or the peer
///   gone; it raises SIGPIPE as on any socket: ignore that, or use send() with MSG_NOSIGNAL.
///
/// Returns TRIBE_STATUS_AGAIN if nobody dialled in time, which is no error and makes no error object.
/// Once the service is closed, or the node has left or was shut down: TRIBE_STATUS_CLOSED. If there are no
/// descriptors left: TRIBE_STATUS_SYSTEM; that stream is lost, go on with the next.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn tribe_service_accept(
    service: Option<NonNull<Service>>,
    timeout_ms: i64,
    fd: Option<&mut MaybeUninit<c_int>>,
    caller: Option<&mut MaybeUninit<Box<Caller>>>,
    err: Option<&mut MaybeUninit<Box<Error>>>,
) -> Status {
    call(err, || {
        let fd = fd.required("fd")?;
        // SAFETY: all callers promise a live handle or NULL.
        let service = unsafe { live(service, "service") }?;
        service.process.check()?;
        match service.queue.next(timeout(timeout_ms)) {
            Next::Item(incoming) => {
                fd.write(descriptor(incoming.stream, &service.runtime)?);
                offer(caller, Caller::from(&incoming.caller));
                Ok(Status::Ok)
            }
            Next::Nothing => Ok(Status::Again),
            Next::Closed => Err(Error::closed()),
        }
    })
}

/// A descriptor that is readable while tribe_service_accept() would not wait, for poll() and its like. It is
/// the library's: neither read nor close it. It lives as long as `service`. -1 if `service` is NULL.
#[unsafe(no_mangle)]
pub extern "C" fn tribe_service_fd(service: Option<&Service>) -> c_int {
    service.map_or(-1, |service| service.queue.wake().number())
}

/// Withdraws a service. May be called from any thread, and more than once: those that wait in
/// tribe_service_accept() return TRIBE_STATUS_CLOSED. Streams that were accepted go on; who dialled and was
/// not accepted gets an error.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn tribe_service_close(
    service: Option<NonNull<Service>>,
    err: Option<&mut MaybeUninit<Box<Error>>>,
) -> Status {
    call(err, || {
        // SAFETY: all callers promise a live handle or NULL.
        let service = unsafe { live(service, "service") }?;
        service.process.check()?;
        service.close();
        Ok(())
    })
}

/// Withdraws a service, if that was not done, and frees it. No thread may be in tribe_service_accept(). NULL
/// is allowed.
#[unsafe(no_mangle)]
pub extern "C" fn tribe_service_free(service: Option<Box<Service>>) {
    call_or((), || {
        let Some(service) = service else { return };
        if service.process.check().is_err() {
            // The threads and locks behind it stayed in the parent.
            return mem::forget(service);
        }
        service.close();
    });
}

/// Dials a service: of a node, if `member` names it, or of any member of a tribe that offers it, if `tribe`
/// does; the other one is empty. Of a tribe's members that answer it is one with little to do; if one
/// fails, the next is tried. A service of this node itself is reached without any network. Waits
/// `timeout_ms` (negative: for ever).
///
/// The stream is a connected socket that is yours; tribe_service_accept() tells how it ends. `peer` is the
/// node that was reached, to be freed with tribe_caller_free(); it may be NULL.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn tribe_dial(
    node: Option<NonNull<Node>>,
    tribe: Str,
    member: Str,
    service: Str,
    timeout_ms: i64,
    fd: Option<&mut MaybeUninit<c_int>>,
    peer: Option<&mut MaybeUninit<Box<Caller>>>,
    err: Option<&mut MaybeUninit<Box<Error>>>,
) -> Status {
    call(err, || {
        let fd = fd.required("fd")?;
        // SAFETY: all callers promise a live handle or NULL.
        let node = unsafe { live(node, "node") }?;
        let (target, service) = (target(tribe, member)?, service.read("service")?);
        let stream = node.wait(timeout(timeout_ms), |node| node.dial(target, service))?;
        let reached = Caller::from(stream.peer());
        fd.write(descriptor(stream, node.runtime())?);
        offer(peer, reached);
        Ok(())
    })
}

/// The node's name. It lives as long as `caller`.
#[unsafe(no_mangle)]
pub extern "C" fn tribe_caller_name(caller: Option<&Caller>) -> Str {
    caller.map_or(Str::EMPTY, |caller| caller.name.borrow())
}

/// The node's id, 16 hexadecimal digits. It lives as long as `caller`.
#[unsafe(no_mangle)]
pub extern "C" fn tribe_caller_id(caller: Option<&Caller>) -> Str {
    caller.map_or(Str::EMPTY, |caller| caller.id.borrow())
}

/// Where the node is reached, `IP:PORT`. It lives as long as `caller`.
#[unsafe(no_mangle)]
pub extern "C" fn tribe_caller_address(caller: Option<&Caller>) -> Str {
    caller.map_or(Str::EMPTY, |caller| caller.address.borrow())
}

/// Frees a caller. NULL is allowed.
#[unsafe(no_mangle)]
pub extern "C" fn tribe_caller_free(caller: Option<Box<Caller>>) {
    call_or((), || drop(caller));
}
