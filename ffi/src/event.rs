//! Events, polled.

use std::{
    ffi::c_int,
    mem::{self, MaybeUninit},
    ptr::NonNull,
    sync::{Arc, OnceLock},
};

use tokio::task::AbortHandle;

use crate::{
    Error, Node, Status, Str, Text,
    handle::{Required, call, call_or, live},
    node::{Process, timeout},
    queue::{Closing, Next, Queue},
};

/// What happened. A number never gets another meaning; more may be added, which an older program sees as
/// numbers it does not know and should let pass.
#[repr(i32)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventKind {
    /// A kind that this version has no number for; its name tells.
    Unknown = 0,
    /// A node is alive. Subject: the node. Body: `id`, `address`.
    MemberJoined = 1,
    /// A node is gone. Subject: the node. Body: `id`, `cause`: `left` or `down`, and later perhaps
    /// `forgotten`.
    MemberLeft = 2,
    /// A node's facts changed. Subject: the node. Body: `set`: name to value, `unset`: names.
    FactChanged = 3,
    /// A node came into a tribe or went out. Subject: the tribe. Body: `node`, `member`: in or out,
    /// `reasons`: why it is in.
    MembershipChanged = 4,
    /// A tribe was created or described anew. Subject: the tribe. Body: `description`.
    TribeCreated = 5,
    /// A tribe was deleted. Subject: the tribe.
    TribeDeleted = 6,
    /// A node was placed by hand. Subject: the tribe. Body: `node`, `placement`.
    PlacementChanged = 7,
    /// A policy was created or replaced. Subject: the policy. Body: `tribe`, `text`, `enabled`.
    PolicyChanged = 8,
    /// A policy was deleted. Subject: the policy.
    PolicyDeleted = 9,
    /// This node begins to act for a tribe. Subject: the tribe.
    TribeEntered = 10,
    /// This node stops to act for a tribe, after the hold-down. Subject: the tribe.
    TribeExited = 11,
    /// A write made here lost against a concurrent one. Subject: the record. Body: `lost`, `winner`.
    Conflict = 12,
    /// Two live nodes claim one name. Subject: the name. Body: `ids`, `keeps`.
    NameConflict = 13,
    /// The first full exchange with the cluster since start is done. Subject: this node.
    Synced = 14,
    /// This reader was too slow. Subject: empty. Body: `count` of events it missed. List the members and
    /// tribes again.
    Missed = 15,
    /// An item was put, or should run or not. Subject: the tribe; empty for an item of this node alone.
    /// Body: `kind`, `name`, `generation`, `running`.
    ItemChanged = 16,
    /// An item was removed. Subject: as for an item that changed. Body: `kind`, `name`.
    ItemRemoved = 17,
    /// A node offers other services or blobs. Subject: the node. Body: `services`: names, `blobs`: how
    /// many. What a node offers is hidden while it is not alive.
    OffersChanged = 18,
    /// A key was installed: all members are to hold it. Subject: its fingerprint.
    KeyInstalled = 19,
    /// A key seals from now on. Subject: its fingerprint.
    KeyUsed = 20,
    /// A key was removed: it opens nothing more. Subject: its fingerprint.
    KeyRemoved = 21,
}

// `tests/mapping.rs` fails if a kind of the library is not named here.
impl From<tribe::EventKind> for EventKind {
    fn from(kind: tribe::EventKind) -> Self {
        use tribe::EventKind as Theirs;
        match kind {
            Theirs::MemberJoined => Self::MemberJoined,
            Theirs::MemberLeft => Self::MemberLeft,
            Theirs::FactChanged => Self::FactChanged,
            Theirs::MembershipChanged => Self::MembershipChanged,
            Theirs::TribeCreated => Self::TribeCreated,
            Theirs::TribeDeleted => Self::TribeDeleted,
            Theirs::PlacementChanged => Self::PlacementChanged,
            Theirs::PolicyChanged => Self::PolicyChanged,
            Theirs::PolicyDeleted => Self::PolicyDeleted,
            Theirs::TribeEntered => Self::TribeEntered,
            Theirs::TribeExited => Self::TribeExited,
            Theirs::Conflict => Self::Conflict,
            Theirs::NameConflict => Self::NameConflict,
            Theirs::Synced => Self::Synced,
            Theirs::Missed => Self::Missed,
            Theirs::ItemChanged => Self::ItemChanged,
            Theirs::ItemRemoved => Self::ItemRemoved,
            Theirs::OffersChanged => Self::OffersChanged,
            Theirs::KeyInstalled => Self::KeyInstalled,
            Theirs::KeyUsed => Self::KeyUsed,
            Theirs::KeyRemoved => Self::KeyRemoved,
            _ => Self::Unknown,
        }
    }
}

/// The events of a node from one moment on. It may outlive the node.
#[derive(Debug)]
pub struct Events {
    process: Process,
    queue: Arc<Queue<tribe::Event>>,
    feeder: AbortHandle,
}

/// One event.
#[derive(Debug)]
pub struct Event {
    rev: u64,
    kind: EventKind,
    name: Text,
    subject: Text,
    body: Text,
    whole: OnceLock<Text>,
    event: tribe::Event,
}

impl Event {
    fn new(event: tribe::Event) -> Self {
        Self {
            rev: event.rev,
            kind: event.kind.into(),
            name: Text::new(event.kind.as_str()),
            subject: Text::new(event.subject.as_str()),
            body: Text::json(&event.body),
            whole: OnceLock::new(),
            event,
        }
    }

    fn json(&self) -> Text {
        Text::new(serde_json::to_string(&self.event).unwrap_or_default())
    }
}

async fn feed(mut source: tribe::Events, queue: Closing<tribe::Event>) {
    while let Some(event) = source.next().await {
        queue.0.push(event).await;
    }
}

/// Begins to collect the events of a node. Free it with tribe_events_free(), before or after the node.
/// Take what is there regularly: a reader that falls far behind gets TRIBE_EVENT_KIND_MISSED.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn tribe_events_subscribe(
    node: Option<NonNull<Node>>,
    out: Option<&mut MaybeUninit<Box<Events>>>,
    err: Option<&mut MaybeUninit<Box<Error>>>,
) -> Status {
    call(err, || {
        let out = out.required("out")?;
        // SAFETY: all callers promise a live handle or NULL.
        let node = unsafe { live(node, "node") }?;
        let source = node.open()?.events();
        let queue = Queue::new().map_err(|error| Error::new(Status::System, error))?;
        let queue = Arc::new(queue);
        let feeder = node.spawn(feed(source, Closing(Arc::clone(&queue))));
        out.write(Box::new(Events { process: Process::current(), queue, feeder }));
        Ok(())
    })
}

/// The next event, waiting for it `timeout_ms` (0: not at all, negative: for ever). May be called by
/// several threads. Free the event with tribe_event_free().
///
/// Returns TRIBE_STATUS_AGAIN if none came in time, which is no error and makes no error object.
/// Once the node has left or was shut down, and what is left was fetched: TRIBE_STATUS_CLOSED.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn tribe_events_next(
    events: Option<NonNull<Events>>,
    timeout_ms: i64,
    out: Option<&mut MaybeUninit<Box<Event>>>,
    err: Option<&mut MaybeUninit<Box<Error>>>,
) -> Status {
    call(err, || {
        let out = out.required("out")?;
        // SAFETY: all callers promise a live handle or NULL.
        let events = unsafe { live(events, "events") }?;
        events.process.check()?;
        match events.queue.next(timeout(timeout_ms)) {
            Next::Item(event) => {
                out.write(Box::new(Event::new(event)));
                Ok(Status::Ok)
            }
            Next::Nothing => Ok(Status::Again),
            Next::Closed => Err(Error::closed()),
        }
    })
}

/// A descriptor that is readable while tribe_events_next() would not wait, for poll() and its like. It
/// is the library's: neither read nor close it. It lives as long as `events`. -1 if `events` is NULL.
#[unsafe(no_mangle)]
pub extern "C" fn tribe_events_fd(events: Option<&Events>) -> c_int {
    events.map_or(-1, |events| events.queue.wake().number())
}

/// Ends the collecting and frees what was not fetched. No thread may be in tribe_events_next(). NULL is
/// allowed.
#[unsafe(no_mangle)]
pub extern "C" fn tribe_events_free(events: Option<Box<Events>>) {
    call_or((), || {
        let Some(events) = events else { return };
        if events.process.check().is_err() {
            // The threads and locks behind it stayed in the parent.
            return mem::forget(events);
        }
        events.feeder.abort();
    });
}

/// Revision of the node's knowledge that first shows the change. 0 if `event` is NULL.
#[unsafe(no_mangle)]
pub extern "C" fn tribe_event_rev(event: Option<&Event>) -> u64 {
    event.map_or(0, |event| event.rev)
}

/// What happened, as a number.
#[unsafe(no_mangle)]
pub extern "C" fn tribe_event_kind_code(event: Option<&Event>) -> EventKind {
    event.map_or(EventKind::Unknown, |event| event.kind)
}

/// What happened, as text, such as `member-joined`.
#[unsafe(no_mangle)]
pub extern "C" fn tribe_event_kind_name(event: Option<&Event>) -> Str {
    event.map_or(Str::EMPTY, |event| event.name.borrow())
}

/// The name of the node, tribe or policy it happened to.
#[unsafe(no_mangle)]
pub extern "C" fn tribe_event_subject(event: Option<&Event>) -> Str {
    event.map_or(Str::EMPTY, |event| event.subject.borrow())
}

/// Details, a JSON object on one line. Let fields pass that you don't know.
#[unsafe(no_mangle)]
pub extern "C" fn tribe_event_body(event: Option<&Event>) -> Str {
    event.map_or(Str::EMPTY, |event| event.body.borrow())
}

/// The whole event, a JSON object on one line: `rev`, `kind`, `subject`, `body`.
#[unsafe(no_mangle)]
pub extern "C" fn tribe_event_json(event: Option<&Event>) -> Str {
    call_or(Str::EMPTY, || {
        event.map_or(Str::EMPTY, |event| event.whole.get_or_init(|| event.json()).borrow())
    })
}

/// Frees an event. NULL is allowed.
#[unsafe(no_mangle)]
pub extern "C" fn tribe_event_free(event: Option<Box<Event>>) {
    call_or((), || drop(event));
}
