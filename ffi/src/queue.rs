//! Events, and those who dial, on their way from a thread of the library to a thread of the host.
//!
//! The queue is short and never drops: when it is full the library's own queue fills up behind it, which
//! counts what a slow reader missed. Invariant: the descriptor is readable exactly while there is an
//! item or the queue is closed.

use std::{
    collections::VecDeque,
    io,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use tokio::sync::Notify;

use crate::wake::Wake;

/// Items that wait here. More wait in the library.
const ROOM: usize = 64;

/// A bounded queue with one writer, a task, and any number of readers, threads.
#[derive(Debug)]
pub(crate) struct Queue<T> {
    state: Mutex<State<T>>,
    ready: Condvar,
    room: Notify,
    wake: Wake,
}

#[derive(Debug)]
struct State<T> {
    items: VecDeque<T>,
    closed: bool,
}

/// What a reader gets.
#[derive(Debug)]
#[must_use]
pub(crate) enum Next<T> {
    /// The oldest item.
    Item(T),
    /// None came in time.
    Nothing,
    /// None will ever come.
    Closed,
}

/// Closes the queue however the feeding ends.
pub(crate) struct Closing<T>(pub(crate) Arc<Queue<T>>);

impl<T> Drop for Closing<T> {
    fn drop(&mut self) {
        self.0.close();
    }
}

impl<T> Queue<T> {
    pub(crate) fn new() -> io::Result<Self> {
        let state = Mutex::new(State { items: VecDeque::new(), closed: false });
        let (ready, room) = (Condvar::new(), Notify::new());
        Ok(Self { state, ready, room, wake: Wake::new()? })
    }

    /// The descriptor that is readable while [`Queue::next`] would not wait.
    pub(crate) fn wake(&self) -> &Wake {
        &self.wake
    }

    /// Adds an item, as soon as there is room for it. One that comes after the end is dropped.
    pub(crate) async fn push(&self, item: T) {
        while self.state().items.len() >= ROOM {
            self.room.notified().await;
        }
        let mut state = self.state();
        if state.closed {
            return;
        }
        if state.items.is_empty() {
            self.wake.set();
        }
        state.items.push_back(item);
        self.ready.notify_one();
    }

    /// Wakes all readers. What is in the queue can still be fetched.
    pub(crate) fn close(&self) {
        let mut state = self.state();
        if state.items.is_empty() && !state.closed {
            self.wake.set();
        }
        state.closed = true;
        self.ready.notify_all();
    }

    /// Wakes all readers, and drops what is in the queue.
    pub(crate) fn abandon(&self) {
        self.close();
        let items = std::mem::take(&mut self.state().items);
        // Not under the lock: what an item does when it is dropped is its own affair.
        drop(items);
    }

    /// The next item; waits for it this long, or for ever.
    pub(crate) fn next(&self, timeout: Option<Duration>) -> Next<T> {
        let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        let mut state = self.state();
        loop {
            if let Some(item) = state.items.pop_front() {
                if state.items.is_empty() && !state.closed {
                    self.wake.reset();
                }
                self.room.notify_one();
                return Next::Item(item);
            }
            if state.closed {
                return Next::Closed;
            }
            state = match deadline.map(|at| at.saturating_duration_since(Instant::now())) {
                None => self.ready.wait(state).unwrap_or_else(PoisonError::into_inner),
                Some(Duration::ZERO) => return Next::Nothing,
                Some(left) => {
                    let woken = self.ready.wait_timeout(state, left);
                    woken.unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
    }

    fn state(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    use std::{os::fd::BorrowedFd, thread};

    fn push(queue: &Queue<u64>, rev: u64) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(queue.push(rev));
    }

    fn readable(queue: &Queue<u64>) -> bool {
        // SAFETY: the queue outlives the borrow.
        let descriptor = unsafe { BorrowedFd::borrow_raw(queue.wake().number()) };
        let mut wanted = [PollFd::new(&descriptor, PollFlags::IN)];
        poll(&mut wanted, Some(&Timespec::default())).unwrap() == 1
    }

    fn next(queue: &Queue<u64>, timeout_ms: u64) -> Result<u64, &'static str> {
        match queue.next(Some(Duration::from_millis(timeout_ms))) {
            Next::Item(rev) => Ok(rev),
            Next::Nothing => Err("nothing"),
            Next::Closed => Err("closed"),
        }
    }

    #[test]
    fn the_descriptor_is_readable_while_there_is_an_item() {
        let queue = Queue::<u64>::new().unwrap();
        assert!(!readable(&queue));
        push(&queue, 1);
        push(&queue, 2);
        assert_eq!(next(&queue, 0), Ok(1));
        assert!(readable(&queue));
        assert_eq!(next(&queue, 0), Ok(2));
        assert!(!readable(&queue));
        assert_eq!(next(&queue, 0), Err("nothing"));
    }

    #[test]
    fn a_closed_queue_gives_what_it_has_and_stays_readable() {
        let queue = Queue::<u64>::new().unwrap();
        push(&queue, 1);
        queue.close();
        queue.close();
        assert_eq!(next(&queue, 0), Ok(1));
        assert!(readable(&queue));
        assert_eq!(next(&queue, 0), Err("closed"));
        assert!(readable(&queue));
    }

    #[test]
    fn closing_wakes_a_reader_that_waits_for_ever() {
        let queue = Arc::new(Queue::<u64>::new().unwrap());
        let reader = thread::spawn({
            let queue = Arc::clone(&queue);
            move || matches!(queue.next(None), Next::Closed)
        });
        queue.close();
        assert!(reader.join().unwrap());
    }

    #[test]
    fn a_full_queue_makes_its_writer_wait_and_loses_nothing() {
        let queue = Arc::new(Queue::<u64>::new().unwrap());
        let writer = thread::spawn({
            let queue = Arc::clone(&queue);
            move || (0..1000).for_each(|rev| push(&queue, rev))
        });
        for rev in 0..1000 {
            assert_eq!(next(&queue, 60_000), Ok(rev));
        }
        writer.join().unwrap();
        assert!(!readable(&queue));
    }
}
