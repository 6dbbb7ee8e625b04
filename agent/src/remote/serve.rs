//! The plugins of this node, served to members of the tribes it serves.

use std::{collections::BTreeMap, io, sync::Arc, time::Duration};

use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::{Semaphore, mpsc},
    task::JoinHandle,
    time::{interval, timeout},
};
use tracing::{debug, info, warn};
use tribe::{Caller, Incoming, Node, ServeOptions, Service, ServiceStream};

use super::{
    frame, is_served,
    message::{Outcome, Work},
    service_name,
};
use crate::{
    capability::Capabilities,
    plugin::{Host, Identity, Kind, Metric, Session, Wanted, batch},
    values::Values,
};

/// Streams that one plugin serves at a time: one for each step of each task that uses it.
const CALLERS: usize = 10_000;
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
}

/// Offers the processors and publishers of this node for as long as it runs and is in a tribe.
pub(crate) async fn serve(node: Node, host: Host, values: Values, capabilities: Arc<Capabilities>) {
    if capabilities.serve_to.is_empty() {
        return;
    }
    let turns = Arc::new(Semaphore::new(capabilities.serve_concurrency));
    let callees = Callees { node, host, values, capabilities, turns };
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
        let received = receive_all(&mut reader, works);
        let worked = self.work_all(inbox, &mut writer, caller, plugin);
        tokio::try_join!(received, worked).map(drop)
    }

    async fn work_all(
        &self,
        mut inbox: mpsc::Receiver<Work>,
        writer: &mut (impl AsyncWrite + Unpin),
        caller: &Caller,
        plugin: &Identity,
    ) -> io::Result<()> {
        let mut session: Option<Session> = None;
        while let Some(work) = inbox.recv().await {
            let outcome = if self.may_call(caller) {
                let begin = || self.host.session(&format!("{}/{}", caller.name, work.task));
                let session = session.get_or_insert_with(begin);
                self.done(session, plugin, work).await
            } else {
                Outcome::failed(NOT_ALLOWED)
            };
            match frame::send(writer, &outcome).await {
                Err(error) if error.kind() == io::ErrorKind::FileTooLarge => {
                    frame::send(writer, &Outcome::failed(&error.to_string())).await?;
                }
                sent => sent?,
            }
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
        let malformed = |_| "the work is not understood here".to_owned();
        let metrics = batch::decode(&work.metrics).map_err(malformed)?;
        let config = batch::decode_config(&work.config).map_err(malformed)?;
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

/// Passes on what a caller sends, until it says that this was all.
async fn receive_all(
    reader: &mut (impl AsyncRead + Unpin),
    works: mpsc::Sender<Work>,
) -> io::Result<()> {
    while let Some(work) = frame::receive::<Work>(reader).await? {
        if works.send(work).await.is_err() {
            break;
        }
    }
    Ok(())
}
