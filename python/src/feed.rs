//! Items on their way from a task to Python, for those who wait in a call and for event loops.
//!
//! An event loop waits for a descriptor: it is readable when there may be something to take. A task that
//! finds no room waits, so that nothing is lost and the library knows of a slow reader.

use std::{
    fs::File,
    io::{self, Write as _},
    os::fd::{AsRawFd as _, RawFd},
    sync::Arc,
};

use rustix::event::{EventfdFlags, eventfd};
use tokio::{
    sync::{Mutex, mpsc},
    task::{AbortHandle, JoinHandle},
};

use crate::error::Error;

/// Items that wait here. More wait in the library.
const ROOM: usize = 64;

/// A descriptor that is readable when there may be something to take.
#[derive(Debug)]
pub(crate) struct Bell(File);

impl Bell {
    pub(crate) fn new() -> Result<Self, Error> {
        let made = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK);
        Ok(Self(made.map_err(io::Error::from)?.into()))
    }

    pub(crate) fn ring(&self) {
        // It is full only if it is readable.
        let _ = (&self.0).write(&1_u64.to_ne_bytes());
    }

    pub(crate) fn number(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

/// Rings at the end, however it ends.
pub(crate) struct Ringing(Arc<Bell>);

impl Ringing {
    pub(crate) fn new(bell: &Arc<Bell>) -> Self {
        Self(Arc::clone(bell))
    }
}

impl Drop for Ringing {
    fn drop(&mut self) {
        self.0.ring();
    }
}

/// What a task gives. Dropping it ends the task.
pub(crate) struct Feed<T> {
    items: Mutex<mpsc::Receiver<T>>,
    bell: Arc<Bell>,
    task: Option<AbortHandle>,
}

/// The task's end of it.
pub(crate) struct Feeder<T> {
    // Before the bell: who is woken must see that no more will come.
    sender: mpsc::Sender<T>,
    bell: Ringing,
}

/// What there is to take.
#[must_use]
pub(crate) enum Next<T> {
    /// The oldest item.
    Item(T),
    /// None is there yet.
    Nothing,
    /// None will ever come.
    Over,
}

impl<T> Feed<T> {
    pub(crate) fn new() -> Result<(Self, Feeder<T>), Error> {
        let (sender, items) = mpsc::channel(ROOM);
        let bell = Arc::new(Bell::new()?);
        let feeder = Feeder { sender, bell: Ringing::new(&bell) };
        Ok((Self { items: Mutex::new(items), bell, task: None }, feeder))
    }

    /// The same, with the task that ends with it.
    pub(crate) fn fed_by(mut self, task: JoinHandle<()>) -> Self {
        self.task = Some(task.abort_handle());
        self
    }

    pub(crate) fn fd(&self) -> RawFd {
        self.bell.number()
    }

    /// The next item; `None` when none will come. Cancel safe.
    pub(crate) async fn next(&self) -> Option<T> {
        self.items.lock().await.recv().await
    }

    /// The next item, if it is there.
    pub(crate) fn try_next(&self) -> Next<T> {
        // Whoever holds the lock waits, because there is nothing.
        let Ok(mut items) = self.items.try_lock() else { return Next::Nothing };
        match items.try_recv() {
            Ok(item) => Next::Item(item),
            Err(mpsc::error::TryRecvError::Empty) => Next::Nothing,
            Err(mpsc::error::TryRecvError::Disconnected) => Next::Over,
        }
    }

    /// Ends the task. What it gave can still be taken.
    pub(crate) fn end(&self) {
        if let Some(task) = &self.task {
            task.abort();
        }
        self.bell.ring();
    }
}

impl<T> Drop for Feed<T> {
    fn drop(&mut self) {
        self.end();
    }
}

impl<T> Feeder<T> {
    /// Gives an item, as soon as there is room; `false` if nobody wants it any more.
    pub(crate) async fn give(&mut self, item: T) -> bool {
        let given = self.sender.send(item).await.is_ok();
        self.bell.0.ring();
        given
    }
}
