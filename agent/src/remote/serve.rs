//! The plugins of this node, served to members of the tribes it serves.

use std::{collections::BTreeMap, io, sync::Arc, time::Duration};

use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::{OwnedSemaphorePermit, Semaphore, mpsc},
    task::JoinHandle,
    time::{interval, timeout},
};
use tracing::{debug, info, warn};
use tribe::{Caller, Incoming, Node, ServeOptions, Service, ServiceStream};

use super::{
    WORK_TIME, frame, is_served,
    message::{Outcome, Sent, Work},
    service_name,
};
use crate::{
    capability::Capabilities,
    plugin::{Host, Identity, Kind, Metric, Session, Wanted, batch},
    values::Values,
};

/// Streams that one plugin serves at a time: one for each step of each task that uses it.
const CALLERS: usize = 10_000;
/// Most bytes of work of all callers that this node holds at a time.
const HELD_BYTES: usize = 32 * 1024 * 1024;
const _: () = assert!(Work::BYTES <= HELD_BYTES);
/// How long a batch waits for its turn. Its sender may find another node sooner than we are done.
const TURN_TIME: Duration = Duration::from_secs(3);
/// How soon a plugin that came or went is offered or withdrawn.
const LOOK_PERIOD: Duration = Duration::from_millis(500);
/// What a caller is told whose tribes may not call.
const NOT_ALLOWED: &str =
    "not allowed: `capabilities.serve_to` of this node names no tribe of the caller";

/// What every call needs.
#[derive(Debug, Clone)]
struct Callees {
    node: Node,
    host: Host,
    values: Values,
    capabilities: Arc<Capabilities>,
    /// One for each batch that may be worked on now.
    turns: Arc<Semaphore>,
    room: Room,
}

/// Room for work.
#[derive(Debug, Clone)]
struct Room {
    /// One for each byte of work that may be held now.
    free: Arc<Semaphore>,
    bytes: usize,
}

/// What a caller sent.
#[derive(Debug)]
enum Received {
    /// Work, and the room it takes.
    Work(Work, OwnedSemaphorePermit),
    /// Something that is not done, and why.
    Refused(String),
}

/// Offers the processors and publishers of this node for as long as it runs and is in a tribe.
pub(crate) async fn serve(node: Node, host: Host, values: Values, capabilities: Arc<Capabilities>) {
    if capabilities.serve_to.is_empty() {
        return;
    }
    let turns = Arc::new(Semaphore::new(capabilities.serve_concurrency));
    let room = Room::new(HELD_BYTES);
    let callees = Callees { node, host, values, capabilities, turns, room };
    let mut served: BTreeMap<Identity, JoinHandle<()>> = BTreeMap::new();
    let mut looks = interval(LOOK_PERIOD);
    loop {
        looks.tick().await;
        let offered = callees.offered();
        served.retain(|plugin, task| {
            let stays = offered.contains(plugin) && !task.is_finished();
            if !stays {
                task.abort();
            }
            stays
        });
        for plugin in offered {
            if served.contains_key(&plugin) {
                continue;
            }
            let options = ServeOptions { most: CALLERS, ..ServeOptions::default() };
            match callees.node.serve(&service_name(&plugin), options).await {
                Ok(service) => {
                    info!(%plugin, "a plugin is offered to other nodes");
                    let task = tokio::spawn(callees.clone().accept(service, plugin.clone()));
                    served.insert(plugin, task);
                }
                Err(tribe::CommandError::Closed) => return,
                Err(error) => warn!(%plugin, %error, "cannot offer a plugin to other nodes"),
            }
        }
    }
}

impl Callees {
    /// What is to be offered now: nothing unless this node is in a tribe.
    fn offered(&self) -> Vec<Identity> {
        if self.node.view().acting.is_empty() {
            return Vec::new();
        }
        let plugins = self.host.plugins().into_iter().map(|plugin| plugin.identity.clone());
        let may_be_called = |plugin: &Identity| {
            is_served(plugin.kind) && self.capabilities.serve_plugins.name(&plugin.name)
        };
        plugins.filter(may_be_called).collect()
    }

    async fn accept(self, mut service: Service, plugin: Identity) {
        while let Some(Incoming { stream, caller }) = service.accept().await {
            let (callees, plugin) = (self.clone(), plugin.clone());
            tokio::spawn(async move {
                if let Err(error) = callees.work(stream, &caller, &plugin).await {
                    debug!(caller = %caller.name, %plugin, %error, "a caller is gone");
                }
            });
        }
    }

    /// Does what a caller sends until it ends. What it held ends with it, at once: a batch that is worked
    /// on is let go.
    async fn work(
        &self,
        stream: ServiceStream,
        caller: &Caller,
        plugin: &Identity,
    ) -> io::Result<()> {
        let (mut reader, mut writer) = tokio::io::split(stream);
        let (works, inbox) = mpsc::channel(1);
        let may_call = || self.may_call(caller);
        let received = receive_all(&mut reader, works, &self.room, may_call);
        let worked = self.work_all(inbox, &mut writer, caller, plugin);
        tokio::try_join!(received, worked).map(drop)
    }

    async fn work_all(
        &self,
        mut inbox: mpsc::Receiver<Received>,
        writer: &mut (impl AsyncWrite + Unpin),
        caller: &Caller,
        plugin: &Identity,
    ) -> io::Result<()> {
        let mut session: Option<Session> = None;
        while let Some(received) = inbox.recv().await {
            let (outcome, _held) = match received {
                Received::Refused(why) => (Outcome::failed(&why), None),
                // It may have lost its tribes while this waited.
                Received::Work(_, held) if !self.may_call(caller) => {
                    (Outcome::failed(NOT_ALLOWED), Some(held))
                }
                Received::Work(work, held) => {
                    let begin = || self.host.session(&format!("{}/{}", caller.name, work.task));
                    let session = session.get_or_insert_with(begin);
                    (self.done(session, plugin, work).await, Some(held))
                }
            };
            timeout(WORK_TIME, answer(writer, &outcome)).await??;
        }
        Ok(())
    }

    fn may_call(&self, caller: &Caller) -> bool {
        let view = self.node.view();
        let serve_to = &self.capabilities.serve_to;
        // Who may be called by all is called by members of no tribe too.
        serve_to.name("")
            || view.members.get(&caller.id).is_some_and(|member| {
                member.tribes.iter().any(|tribe| serve_to.name(tribe.as_str()))
            })
    }

    async fn done(&self, session: &Session, plugin: &Identity, work: Work) -> Outcome {
        // An error of the semaphore would mean that it was closed, which nobody does.
        let Ok(Ok(_turn)) = timeout(TURN_TIME, self.turns.acquire()).await else {
            let most = self.capabilities.serve_concurrency;
            return Outcome::failed(&format!(
                "busy: `capabilities.serve_concurrency` of this node lets {most} batches be worked on \
                 at a time"
            ));
        };
        match self.try_to(session, plugin, &work).await {
            Ok(metrics) => {
                let mut bytes = Vec::new();
                batch::encode(&metrics, &mut bytes);
                Outcome { metrics: bytes, error: String::new() }
            }
            Err(error) => Outcome::failed(&error),
        }
    }

    /// Does a piece of work, or says why not, without secrets.
    async fn try_to(
        &self,
        session: &Session,
        plugin: &Identity,
        work: &Work,
    ) -> Result<Vec<Metric>, String> {
        let metrics = batch::decode_taken(&work.metrics).map_err(|error| error.to_string())?;
        let config = batch::decode_config(&work.config);
        let config = config.map_err(|error| format!("no configuration: {error}"))?;
        let resolved = self.values.resolve(&config).map_err(|error| format!("config {error}"))?;
        let wanted = Wanted::exactly(plugin);
        let done = match plugin.kind {
            Kind::Processor => session.process(&wanted, &metrics, &resolved.config).await,
            _ => {
                let done = session.publish(&wanted, &metrics, &resolved.config).await;
                done.map(|()| Vec::new())
            }
        };
        done.map_err(|error| resolved.secrets().hide(error.to_string()))
    }
}

/// Tells a caller what came of its work.
async fn answer(writer: &mut (impl AsyncWrite + Unpin), outcome: &Outcome) -> io::Result<()> {
    match frame::send(writer, outcome).await {
        Err(error) if error.kind() == io::ErrorKind::FileTooLarge => {
            frame::send(writer, &Outcome::failed(&error.to_string())).await
        }
        sent => sent,
    }
}

/// Passes on what a caller sends, until it says that this was all. Who may not call is told so, and
/// takes no room of those who may.
async fn receive_all(
    reader: &mut (impl AsyncRead + Unpin),
    works: mpsc::Sender<Received>,
    room: &Room,
    may_call: impl Fn() -> bool,
) -> io::Result<()> {
    while let Some(length) = frame::receive_length(reader).await? {
        let admitted =
            if may_call() { room.hold(length).await } else { Err(NOT_ALLOWED.to_owned()) };
        let received = match admitted {
            Ok(held) => {
                let work = timeout(WORK_TIME, frame::receive_message(reader, length)).await??;
                Received::Work(work, held)
            }
            Err(why) => {
                timeout(WORK_TIME, frame::skip(reader, length)).await??;
                Received::Refused(why)
            }
        };
        if works.send(received).await.is_err() {
            break;
        }
    }
    Ok(())
}

impl Room {
    fn new(bytes: usize) -> Self {
        Self { free: Arc::new(Semaphore::new(bytes)), bytes }
    }

    /// Room for a piece of work, or why there is none.
    async fn hold(&self, length: usize) -> Result<OwnedSemaphorePermit, String> {
        frame::check::<Work>(length).map_err(|error| error.to_string())?;
        let length = u32::try_from(length).map_err(|error| error.to_string())?;
        match timeout(TURN_TIME, Arc::clone(&self.free).acquire_many_owned(length)).await {
            Ok(Ok(held)) => Ok(held),
            // The semaphore is never closed.
            Ok(Err(_)) | Err(_) => Err(format!(
                "busy: the batches of all callers fill the {} bytes that this node gives them",
                self.bytes
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

    use super::*;

    fn work(bytes: usize) -> Work {
        Work { task: "load".to_owned(), metrics: vec![7; bytes], config: Vec::new() }
    }

    /// A caller, and what arrives of what it sends.
    fn caller(room: &Room) -> (DuplexStream, mpsc::Receiver<Received>) {
        caller_that(room, || true)
    }

    fn caller_that(
        room: &Room,
        may_call: impl Fn() -> bool + Send + 'static,
    ) -> (DuplexStream, mpsc::Receiver<Received>) {
        let (here, mut there) = duplex(64 * 1024);
        let (works, inbox) = mpsc::channel(1);
        let room = room.clone();
        tokio::spawn(async move { receive_all(&mut there, works, &room, may_call).await });
        (here, inbox)
    }

    async fn refusal(inbox: &mut mpsc::Receiver<Received>) -> String {
        match inbox.recv().await {
            Some(Received::Refused(why)) => why,
            other => panic!("{other:?}"),
        }
    }

    async fn taken(inbox: &mut mpsc::Receiver<Received>) -> (Work, OwnedSemaphorePermit) {
        match inbox.recv().await {
            Some(Received::Work(work, held)) => (work, held),
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test]
    async fn work_that_is_too_large_is_refused_and_the_next_is_taken() {
        let room = Room::new(HELD_BYTES);
        let (mut here, mut inbox) = caller(&room);
        let sends = async {
            let length = Work::BYTES + 1;
            here.write_all(&u32::try_from(length).unwrap().to_be_bytes()).await.unwrap();
            let mut body = tokio::io::repeat(7).take(length as u64);
            tokio::io::copy(&mut body, &mut here).await.unwrap();
            frame::send(&mut here, &work(10)).await.unwrap();
        };
        let receives = async {
            let why = refusal(&mut inbox).await;
            assert_eq!(why, "a message of 4718593 bytes is too large, at most 4718592");
            let (next, held) = taken(&mut inbox).await;
            assert_eq!(next, work(10));
            assert_eq!(room.free.available_permits(), HELD_BYTES - held.num_permits());
        };
        tokio::join!(sends, receives);
    }

    #[tokio::test(start_paused = true)]
    async fn work_of_all_callers_has_bounded_room_and_who_gets_none_is_told() {
        let room = Room::new(1000);
        let ((mut one, mut of_one), (mut other, mut of_other)) = (caller(&room), caller(&room));
        frame::send(&mut one, &work(600)).await.unwrap();
        let (_, held) = taken(&mut of_one).await;
        frame::send(&mut other, &work(600)).await.unwrap();
        let why = refusal(&mut of_other).await;
        assert_eq!(
            why,
            "busy: the batches of all callers fill the 1000 bytes that this node gives them"
        );
        frame::send(&mut other, &work(600)).await.unwrap();
        drop(held);
        let (work, _held) = taken(&mut of_other).await;
        assert_eq!(work.metrics.len(), 600);
    }

    #[tokio::test(start_paused = true)]
    async fn who_may_not_call_takes_no_room_and_is_told_so_even_if_there_is_none() {
        let room = Room::new(1000);
        let (mut stranger, mut of_stranger) = caller_that(&room, || false);
        // Nothing is kept for what it announces and does not send yet.
        stranger.write_all(&900_u32.to_be_bytes()).await.unwrap();
        let (mut member, mut of_member) = caller(&room);
        frame::send(&mut member, &work(600)).await.unwrap();
        let (_, held) = taken(&mut of_member).await;
        assert_eq!(room.free.available_permits(), 1000 - held.num_permits());
        stranger.write_all(&[0; 900]).await.unwrap();
        assert_eq!(refusal(&mut of_stranger).await, NOT_ALLOWED);
        frame::send(&mut stranger, &work(1)).await.unwrap();
        assert_eq!(refusal(&mut of_stranger).await, NOT_ALLOWED);
    }

    #[tokio::test(start_paused = true)]
    async fn work_that_is_announced_and_does_not_come_gives_its_room_back() {
        let room = Room::new(HELD_BYTES);
        let (mut here, mut inbox) = caller(&room);
        here.write_all(&1000_u32.to_be_bytes()).await.unwrap();
        here.write_all(&[0; 999]).await.unwrap();
        assert!(inbox.recv().await.is_none());
        assert_eq!(room.free.available_permits(), HELD_BYTES);
        assert_eq!(here.read(&mut [0]).await.unwrap(), 0);
    }
}
