//! How a call from Python waits: without the GIL, in slices, and never in a forked child.
//!
//! Every node has a runtime of its own, so that a child made by `fork()` can start nodes of its
//! own: the threads of its parent's runtime do not exist there. Nothing of that runtime may then be
//! touched, not even to drop it, for its locks may be held by threads that are gone; [`Owned`] sees
//! to that.

use std::{
    any::Any,
    io, mem,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::pin,
    process,
    time::Duration,
};

use pyo3::prelude::*;
use tokio::task::JoinHandle;

use crate::error::Error;

/// How long a wait may hold a signal back.
const SLICE: Duration = Duration::from_millis(100);
/// How long dropping a runtime waits for its blocking work, as the look-up of a name.
const STOP: Duration = Duration::from_secs(2);

/// A runtime that carries one node.
pub(crate) struct Runtime {
    /// INVARIANT: `None` only while it is being dropped.
    tokio: Option<tokio::runtime::Runtime>,
}

impl Runtime {
    pub(crate) fn new() -> io::Result<Self> {
        let tokio = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("tribe")
            .enable_all()
            .build()?;
        Ok(Self { tokio: Some(tokio) })
    }

    /// Lets a task run beside Python.
    ///
    /// # Errors
    /// [`Error::Forked`] if the threads that would carry it are gone.
    pub(crate) fn spawn(
        &self,
        task: impl Future<Output = ()> + Send + 'static,
    ) -> Result<JoinHandle<()>, Error> {
        Ok(self.tokio.as_ref().ok_or(Error::Forked)?.spawn(task))
    }
}

impl Drop for Runtime {
    fn drop(&mut self) {
        let Some(tokio) = self.tokio.take() else { return };
        // The last who holds it may be a task that it carries, which cannot wait for itself.
        match tokio::runtime::Handle::try_current() {
            Ok(_) => tokio.shutdown_background(),
            Err(_) => tokio.shutdown_timeout(STOP),
        }
    }
}

/// Something that lives on a runtime of this process.
pub(crate) struct Owned<T: Send> {
    process: u32,
    /// INVARIANT: `None` only while it is being dropped.
    value: Option<T>,
}

impl<T: Send> Owned<T> {
    pub(crate) fn new(value: T) -> Self {
        Self { process: process::id(), value: Some(value) }
    }

    /// What is owned.
    ///
    /// # Errors
    /// [`Error::Forked`] in a child of the process that made it.
    pub(crate) fn get(&self) -> Result<&T, Error> {
        match &self.value {
            Some(value) if self.process == process::id() => Ok(value),
            _ => Err(Error::Forked),
        }
    }
}

impl<T: Send> Drop for Owned<T> {
    fn drop(&mut self) {
        let value = self.value.take();
        if self.process != process::id() {
            mem::forget(value);
            return;
        }
        // Without an interpreter to attach to there is no GIL to release: the closure is dropped,
        // and the value with it.
        let _ = Python::try_attach(move |py| py.detach(move || drop(value)));
    }
}

/// Runs a future to its end: the one place where Python waits for us.
///
/// The GIL is released, signals are looked at between slices, and a signal handler that raises ends
/// the wait and drops the future.
pub(crate) fn wait<T, E>(
    py: Python<'_>,
    runtime: &Runtime,
    future: impl Future<Output = Result<T, E>> + Send,
) -> PyResult<T>
where
    T: Send,
    E: Into<Error> + Send,
{
    let tokio = runtime.tokio.as_ref().ok_or(Error::Forked)?;
    let mut future = pin!(future);
    loop {
        let mut slice = || tokio.block_on(async { tokio::time::timeout(SLICE, &mut future).await });
        match py.detach(|| guard(&mut slice))? {
            Ok(result) => return Ok(result.map_err(Into::into)?),
            Err(_) => py.check_signals()?,
        }
    }
}

/// Runs something short; a panic becomes an error, since Python's `except Exception` misses pyo3's
/// own.
///
/// # Errors
/// [`Error::Panicked`] if it did.
pub(crate) fn guard<T>(run: impl FnOnce() -> T) -> Result<T, Error> {
    catch_unwind(AssertUnwindSafe(run)).map_err(|panic| Error::Panicked(panic_text(&*panic)))
}

fn panic_text(panic: &(dyn Any + Send)) -> String {
    let literal = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    literal
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "a panic without a text".to_owned())
}

/// Reads a time span in seconds, as Python gives it.
///
/// # Errors
/// [`Error::Argument`] if it is negative, not finite or out of range.
pub(crate) fn seconds(seconds: f64) -> Result<Duration, Error> {
    Duration::try_from_secs_f64(seconds)
        .map_err(|_| Error::Argument(format!("`{seconds}` is not a time span in seconds")))
}

/// Bounds a future in time; `None` is for ever.
pub(crate) async fn within<T, E: Into<Error>>(
    timeout: Option<Duration>,
    what: &'static str,
    future: impl Future<Output = Result<T, E>>,
) -> Result<T, Error> {
    let Some(timeout) = timeout else { return future.await.map_err(Into::into) };
    match tokio::time::timeout(timeout, future).await {
        Ok(result) => result.map_err(Into::into),
        Err(_) => Err(Error::Timeout { what, timeout }),
    }
}
