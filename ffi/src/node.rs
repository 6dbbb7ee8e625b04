//! A node, and the threads that carry it.
//!
//! Each node has a small tokio runtime of its own, so that freeing it ends its threads. A call that must
//! wait does so on the host's thread.

use std::{
    future::Future,
    mem::{self, MaybeUninit},
    process,
    ptr::NonNull,
    time::Duration,
};

use serde_json::{Value, json};
use tokio::{
    runtime::{self, Handle, Runtime},
    sync::watch,
    task::AbortHandle,
};
use tribe::CommandError;

use crate::{
    Config, Error, Names, Status, Str, Text, Written,
    handle::{Required, call, call_or, live},
    panic::THREAD,
};

/// Threads of one node: a slow write to the disk on one must not hold up the network on the other.
const THREADS: usize = 2;
/// How long a node may take to stop.
const STOP: Duration = Duration::from_secs(5);
/// Ten years: for ever, where a number is wanted.
const FOR_EVER: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

/// The process a handle was made in. Threads and locks do not survive fork().
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Process(u32);

impl Process {
    pub(crate) fn current() -> Self {
        Self(process::id())
    }

    pub(crate) fn check(self) -> Result<(), Error> {
        if self == Self::current() { Ok(()) } else { Err(Error::forked()) }
    }
}

/// How long a caller wants to wait; `None` is for ever.
pub(crate) fn timeout(timeout_ms: i64) -> Option<Duration> {
    u64::try_from(timeout_ms).ok().map(Duration::from_millis)
}

/// A running node of a cluster.
#[derive(Debug)]
pub struct Node {
    process: Process,
    node: tribe::Node,
    closed: watch::Sender<bool>,
    runtime: Runtime,
    name: Text,
    id: Text,
    address: Text,
}

impl Node {
    fn start(config: tribe::Config) -> Result<Self, Error> {
        let runtime = runtime::Builder::new_multi_thread()
            .worker_threads(THREADS)
            .thread_name(THREAD)
            .enable_all()
            .build()
            .map_err(|error| {
                Error::new(Status::System, format_args!("cannot start threads: {error}"))
            })?;
        let node = runtime.block_on(tribe::Node::start(config))?;
        Ok(Self {
            process: Process::current(),
            closed: watch::Sender::new(false),
            name: Text::new(node.name().as_str()),
            id: Text::new(node.id().to_string()),
            address: Text::new(node.address().to_string()),
            runtime,
            node,
        })
    }

    /// The node, if it runs in this process.
    pub(crate) fn open(&self) -> Result<&tribe::Node, Error> {
        self.process.check()?;
        if *self.closed.borrow() { Err(Error::closed()) } else { Ok(&self.node) }
    }

    /// Does something with the node and waits for it: this long, or till the node is shut down.
    pub(crate) fn wait<'a, T, E, F>(
        &'a self,
        limit: Option<Duration>,
        work: impl FnOnce(&'a tribe::Node) -> F,
    ) -> Result<T, Error>
    where
        E: Into<Error>,
        F: Future<Output = Result<T, E>> + 'a,
    {
        let work = work(self.open()?);
        let mut closed = self.closed.subscribe();
        self.runtime.block_on(async {
            tokio::select! {
                biased;
                done = work => done.map_err(Into::into),
                _ = closed.wait_for(|closed| *closed) => Err(Error::closed()),
                () = elapsed(limit) => Err(Error::new(Status::Timeout, "it took too long")),
            }
        })
    }

    /// Lets a task run till it ends or the node is shut down.
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) -> AbortHandle {
        let mut closed = self.closed.subscribe();
        let task = self.runtime.spawn(async move {
            tokio::select! {
                () = task => {}
                _ = closed.wait_for(|closed| *closed) => {}
            }
        });
        task.abort_handle()
    }

    /// The runtime that carries the node, for what must be made inside it.
    pub(crate) fn runtime(&self) -> &Handle {
        self.runtime.handle()
    }

    fn shutdown(&self) -> Result<(), Error> {
        self.process.check()?;
        if !self.closed.send_replace(true) {
            // A node that hangs ends with its threads.
            let _ =
                self.runtime.block_on(async { tokio::time::timeout(STOP, self.node.stop()).await });
        }
        Ok(())
    }

    fn free(self) {
        let Self { node, runtime, .. } = self;
        drop(node);
        runtime.shutdown_timeout(STOP);
    }
}

async fn elapsed(limit: Option<Duration>) {
    match limit {
        Some(limit) => tokio::time::sleep(limit).await,
        None => std::future::pending().await,
    }
}

async fn until_synced(node: &tribe::Node) -> Result<(), CommandError> {
    let mut events = node.events();
    while !node.view().synced {
        if events.next().await.is_none() {
            return Err(CommandError::Closed);
        }
    }
    Ok(())
}

/// Starts a node: binds its sockets, reads its data directory, collects its facts. It does not wait for
/// the seeds; see tribe_node_synced(). The configuration is left as it is. Free the node with
/// tribe_node_free().
#[unsafe(no_mangle)]
#[must_use]
pub extern "C" fn tribe_node_start(
    config: Option<&Config>,
    out: Option<&mut MaybeUninit<Box<Node>>>,
    err: Option<&mut MaybeUninit<Box<Error>>>,
) -> Status {
    call(err, || {
        let out = out.required("out")?;
        out.write(Box::new(Node::start(config.required("config")?.build()?)?));
        Ok(())
    })
}

/// The node's name. It lives as long as the node.
#[unsafe(no_mangle)]
pub extern "C" fn tribe_node_name(node: Option<&Node>) -> Str {
    node.map_or(Str::EMPTY, |node| node.name.borrow())
}

/// The node's id, 16 hexadecimal digits. It lives as long as the node.
#[unsafe(no_mangle)]
pub extern "C" fn tribe_node_id(node: Option<&Node>) -> Str {
    node.map_or(Str::EMPTY, |node| node.id.borrow())
}

/// Where others reach the node, `IP:PORT`. It lives as long as the node.
#[unsafe(no_mangle)]
pub extern "C" fn tribe_node_address(node: Option<&Node>) -> Str {
    node.map_or(Str::EMPTY, |node| node.address.borrow())
}

/// Waits `timeout_ms` (0: not at all, negative: for ever) for the first full exchange with the cluster
/// since start. The first node of a cluster need not wait for anyone.
///
/// Returns TRIBE_STATUS_AGAIN if it did not happen in time, which makes no error object.
#[unsafe(no_mangle)]
#[must_use]
pub extern "C" fn tribe_node_synced(
    node: Option<&Node>,
    timeout_ms: i64,
    err: Option<&mut MaybeUninit<Box<Error>>>,
) -> Status {
    call(err, || {
        let node = node.required("node")?;
        if node.open()?.view().synced {
            return Ok(Status::Ok);
        }
        match node.wait(timeout(timeout_ms), until_synced) {
            Err(error) if error.status() == Status::Timeout => Ok(Status::Again),
            done => done.map(Status::from),
        }
    })
}

/// Asks the live members, for `timeout_ms` (negative: for ever), whether they hold what was written, and
/// gives the names of those that did not say so in time. None: all of them hold it. Free the names with
/// tribe_names_free().
#[unsafe(no_mangle)]
#[must_use]
pub extern "C" fn tribe_node_wait(
    node: Option<&Node>,
    written: Option<&Written>,
    timeout_ms: i64,
    missing: Option<&mut MaybeUninit<Box<Names>>>,
    err: Option<&mut MaybeUninit<Box<Error>>>,
) -> Status {
    call(err, || {
        let missing = missing.required("missing")?;
        let (node, written) = (node.required("node")?, written.required("written")?.inner());
        let limit = timeout(timeout_ms).unwrap_or(FOR_EVER).min(FOR_EVER);
        let names = node.wait(None, |node| node.wait(written, limit))?;
        missing.write(Box::new(Names::new(names)));
        Ok(())
    })
}

/// Counters of the node, what it received, dropped and why: a JSON object, name to number. Free it with
/// tribe_text_free().
#[unsafe(no_mangle)]
#[must_use]
pub extern "C" fn tribe_node_counters(
    node: Option<&Node>,
    out: Option<&mut MaybeUninit<Box<Text>>>,
    err: Option<&mut MaybeUninit<Box<Error>>>,
) -> Status {
    tell(node, out, err, |node| json!(node.counters()))
}

/// What the node counts and measures, by the conventions of Prometheus, at most a second old: a
/// JSON array of objects with `name`, `kind` (`counter` or `gauge`), `help`, `labels` (an object)
/// and `value`. Those of one name stand side by side. Free it with tribe_text_free().
#[unsafe(no_mangle)]
#[must_use]
pub extern "C" fn tribe_node_metrics(
    node: Option<&Node>,
    out: Option<&mut MaybeUninit<Box<Text>>>,
    err: Option<&mut MaybeUninit<Box<Error>>>,
) -> Status {
    tell(node, out, err, |node| json!(*node.metrics()))
}

/// Gives what a node knows now as a JSON document.
pub(crate) fn tell(
    node: Option<&Node>,
    out: Option<&mut MaybeUninit<Box<Text>>>,
    err: Option<&mut MaybeUninit<Box<Error>>>,
    what: impl FnOnce(&tribe::Node) -> Value,
) -> Status {
    call(err, || {
        let out = out.required("out")?;
        let told = what(node.required("node")?.open()?);
        out.write(Box::new(Text::json(&told)));
        Ok(())
    })
}

/// Says good-bye and stops, waiting for it `timeout_ms` (negative: for ever). Afterwards all calls return
/// TRIBE_STATUS_CLOSED, those that wait in other threads too. On TRIBE_STATUS_TIMEOUT the node may not
/// have been heard; call tribe_node_shutdown().
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn tribe_node_leave(
    node: Option<NonNull<Node>>,
    timeout_ms: i64,
    err: Option<&mut MaybeUninit<Box<Error>>>,
) -> Status {
    call(err, || {
        // SAFETY: all callers promise a live handle or NULL.
        let node = unsafe { live(node, "node") }?;
        node.wait(timeout(timeout_ms), tribe::Node::leave)?;
        node.closed.send_replace(true);
        Ok(())
    })
}

/// Stops without a good-bye: to the others this node is down. May be called from any thread, and more
/// than once; calls that wait in other threads return TRIBE_STATUS_CLOSED, and so do all later ones.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn tribe_node_shutdown(
    node: Option<NonNull<Node>>,
    err: Option<&mut MaybeUninit<Box<Error>>>,
) -> Status {
    call(err, || {
        // SAFETY: all callers promise a live handle or NULL.
        unsafe { live(node, "node") }?.shutdown()
    })
}

/// Shuts the node down, if it runs, and frees it with its threads. No other call on it may be under way.
/// In a child of fork() it only forgets it. NULL is allowed.
#[unsafe(no_mangle)]
pub extern "C" fn tribe_node_free(node: Option<Box<Node>>) {
    call_or((), || {
        let Some(node) = node else { return };
        match node.shutdown() {
            Ok(()) => node.free(),
            // The threads stayed in the parent: there is nobody to wait for.
            Err(_) => mem::forget(node),
        }
    });
}
