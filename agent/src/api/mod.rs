//! The control API under `/v3`.
//!
//! Handlers translate: a request to a command, a [`View`] to JSON. They decide nothing about
//! clusters. Invariant: whatever is answered is JSON, refusals too ([`ApiError`]), and every route is in
//! the OpenAPI document; [`routes`](mod@routes) has both.

mod backup;
mod convert;
mod error;
mod events;
mod exposure;
mod extract;
mod gate;
mod guard;
mod keys;
mod members;
mod metrics;
mod node;
mod pace;
mod peer;
mod plugins;
mod policies;
mod prometheus;
mod restore;
mod routes;
mod server;
mod tasks;
mod trial;
mod tribes;

use std::{path::PathBuf, sync::Arc, time::Instant};

use axum::{
    Router,
    extract::{DefaultBodyLimit, Request, State},
    middleware::{self, Next},
    response::{IntoResponse, Response},
};
use tokio::{sync::watch, time::timeout};
use tracing::debug;
use tribe::{CommandError, MemberState, Node, View, limits::HELD_COMMAND_TIME};

use self::{
    error::{ApiError, NotSynced},
    gate::Gate,
    routes::routes,
};
pub(crate) use self::{
    exposure::{ExposeError, Exposure},
    server::{Doors, serve},
};
use crate::{plugin::Host, reconcile::Reconciler, task::Scheduler};

/// Largest request body, in bytes.
const BODY_BYTES: usize = 1024 * 1024;

/// What the handlers share.
#[derive(Debug, Clone)]
pub(crate) struct App(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    name: String,
    /// In tribe mode.
    node: Option<Node>,
    /// Where it looks for other members.
    seeds: Vec<String>,
    plugins: Host,
    plugin_dir: PathBuf,
    tasks: Scheduler,
    reconciler: Reconciler,
    stopped: watch::Receiver<bool>,
}

/// What the daemon is made of, for those who ask over the API.
#[derive(Debug)]
pub(crate) struct Parts {
    /// The name of the node.
    pub(crate) name: String,
    /// The node in tribe mode; absent without.
    pub(crate) node: Option<Node>,
    /// Where it looks for other members.
    pub(crate) seeds: Vec<String>,
    pub(crate) plugins: Host,
    /// Where plugins lie that are loaded by name.
    pub(crate) plugin_dir: PathBuf,
    pub(crate) tasks: Scheduler,
    pub(crate) reconciler: Reconciler,
    /// Turns true when the daemon stops.
    pub(crate) stopped: watch::Receiver<bool>,
}

impl App {
    /// The API of a daemon. Open streams end when it stops.
    pub(crate) fn new(parts: Parts) -> Self {
        let Parts { name, node, seeds, plugins, plugin_dir, tasks, reconciler, stopped } = parts;
        let shared = Shared { name, node, seeds, plugins, plugin_dir, tasks, reconciler, stopped };
        Self(Arc::new(shared))
    }

    /// What this node waits for, if it is not synced or has no name of its own.
    fn unsynced(&self, view: &View) -> Option<String> {
        if view.synced {
            return self.obstacle(view);
        }
        let alive = view.members.values().filter(|member| member.state == MemberState::Alive);
        // This node is one of them.
        if alive.count() > 1 {
            return Some("it has met other members and is learning what they know".to_owned());
        }
        let seeds = match self.0.seeds.as_slice() {
            [] => "none".to_owned(),
            seeds => seeds.join(", "),
        };
        let mut why = format!("it has not met another member yet; seeds: {seeds}");
        if let Some(obstacle) = self.obstacle(view) {
            why = format!("{why}\n{obstacle}");
        }
        Some(why)
    }

    /// What keeps this node from its cluster, if it can tell.
    fn obstacle(&self, view: &View) -> Option<String> {
        let obstacle = view.obstacle.as_ref()?;
        Some(convert::obstacle(obstacle, &self.0.name, view.sealing))
    }

    /// The node, in tribe mode or alone.
    fn any_node(&self) -> &Node {
        self.0.reconciler.node()
    }

    /// The node, if tribe mode is on.
    fn node(&self) -> Result<&Node, ApiError> {
        self.0.node.as_ref().ok_or_else(ApiError::tribe_off)
    }

    /// The node, if it knows all that was said: alone, once it has met its cluster, or if forced.
    fn knowing_node(&self, force: bool) -> Result<&Node, ApiError> {
        match &self.0.node {
            Some(node) if !force && !node.view().synced => {
                Err(ApiError::not_synced_unless_forced())
            }
            _ => Ok(self.any_node()),
        }
    }

    /// What such a node knows, in tribe mode: one that has just started is waited for.
    async fn informed_view(&self, force: bool) -> Result<Arc<View>, ApiError> {
        self.wait_until_synced().await?;
        Ok(self.knowing_node(force)?.view())
    }

    /// What this node knows, a tribe of this name among it. One that has just started may not know
    /// it yet.
    async fn view_with_tribe(&self, tribe: &str) -> Result<Arc<View>, ApiError> {
        let node = self.node()?;
        if node.view().known_tribe(tribe).is_err() {
            self.wait_until_synced().await?;
        }
        let view = node.view();
        match view.known_tribe(tribe) {
            Err(_) if !view.synced => Err(CommandError::NotSynced.into()),
            Err(unknown) => Err(unknown.into()),
            Ok(_) => Ok(view),
        }
    }

    /// Waits until this node knows all that was said, at most as long as it holds a command that
    /// came too early. The view tells what came of it.
    async fn wait_until_synced(&self) -> Result<(), ApiError> {
        let node = self.node()?;
        let mut events = node.events();
        let synced = async { while !node.view().synced && events.next().await.is_some() {} };
        let _ = timeout(HELD_COMMAND_TIME, synced).await;
        Ok(())
    }

    /// Waits until the daemon stops.
    fn stopped(&self) -> impl Future<Output = ()> + Send + use<> {
        let mut stopped = self.0.stopped.clone();
        async move {
            // An error means that the daemon is gone: stopped as well.
            let _ = stopped.wait_for(|stopped| *stopped).await;
        }
    }
}

fn router(app: App, gate: Arc<Gate>) -> Router {
    routes()
        .fallback(async |request: Request| ApiError::no_route(request.uri().path()))
        .method_not_allowed_fallback(async |request: Request| {
            ApiError::method(request.method(), request.uri().path())
        })
        .layer(DefaultBodyLimit::max(BODY_BYTES))
        .layer(middleware::from_fn_with_state(gate, gate::admit))
        .layer(middleware::from_fn_with_state(app.clone(), explain))
        .layer(middleware::from_fn(trace))
        .with_state(app)
}

/// Adds to a refusal for want of the cluster what keeps this node from it.
async fn explain(State(app): State<App>, request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let Some(NotSynced(refusal)) = response.extensions_mut().remove() else { return response };
    match app.obstacle(&app.any_node().view()) {
        Some(obstacle) => refusal.detail(obstacle).into_response(),
        None => response,
    }
}

async fn trace(request: Request, next: Next) -> Response {
    let began = Instant::now();
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let response = next.run(request).await;
    let (status, ms) = (response.status().as_u16(), began.elapsed().as_millis());
    debug!(%method, path, status, ms, "request");
    response
}

#[cfg(test)]
mod tests;
