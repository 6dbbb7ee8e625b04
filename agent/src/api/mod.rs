//! The control API under `/v3`: routes, and the document that describes them, from one place.
//!
//! Handlers translate: a request to a command, a [`View`] to JSON. They decide nothing about
//! clusters. Invariant: whatever is answered is JSON, refusals too ([`ApiError`]), and every route is in
//! the OpenAPI document, because both are made by [`routes`].

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
mod server;
mod tasks;
mod trial;
mod tribes;

use std::{path::PathBuf, sync::Arc, time::Instant};

use axum::{
    Json, Router,
    extract::{DefaultBodyLimit, Request},
    middleware::{self, Next},
    response::Response,
};
use tokio::{sync::watch, time::timeout};
use tracing::debug;
use tribe::{CommandError, MemberState, Node, View, limits::HELD_COMMAND_TIME};
use utoipa::OpenApi;
use utoipa_axum::{router::OpenApiRouter, routes};

use self::{error::ApiError, gate::Gate};
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

    /// What this node waits for, if it is not synced.
    fn unsynced(&self, view: &View) -> Option<String> {
        if view.synced {
            return None;
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
        if let Some(obstacle) = &view.obstacle {
            why = format!("{why}\n{}", convert::obstacle(obstacle, &self.0.name, view.sealing));
        }
        Some(why)
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
    let (router, _) = described().split_for_parts();
    router
        .fallback(async |request: Request| ApiError::no_route(request.uri().path()))
        .method_not_allowed_fallback(async |request: Request| {
            ApiError::method(request.method(), request.uri().path())
        })
        .layer(DefaultBodyLimit::max(BODY_BYTES))
        .layer(middleware::from_fn_with_state(gate, gate::admit))
        .layer(middleware::from_fn(trace))
        .with_state(app)
}

/// The top of the document.
#[derive(OpenApi)]
#[openapi(info(
    title = "snapd control API",
    description = "Tribes, members, policies and facts of a cluster, as one of its nodes sees them, and \
                   the plugins and tasks of this node and of tribes. Every refusal has the body ErrorReply.",
    license(name = "Apache-2.0")
))]
struct Document;

fn described() -> OpenApiRouter<App> {
    OpenApiRouter::with_openapi(Document::openapi())
        .routes(routes!(openapi))
        .routes(routes!(node::version))
        .routes(routes!(node::node))
        .routes(routes!(node::counters))
        .routes(routes!(prometheus::metrics))
        .routes(routes!(backup::backup))
        .routes(routes!(restore::restore))
        .routes(routes!(members::list))
        .routes(routes!(members::one, members::forget))
        .routes(routes!(members::facts, members::change_facts))
        .routes(routes!(keys::list, keys::install))
        .routes(routes!(keys::use_key))
        .routes(routes!(keys::remove))
        .routes(routes!(keys::rotate))
        .routes(routes!(tribes::list, tribes::create))
        .routes(routes!(tribes::one, tribes::delete))
        .routes(routes!(tribes::place))
        .routes(routes!(tribes::status))
        .routes(routes!(policies::list, policies::create))
        .routes(routes!(policies::test))
        .routes(routes!(policies::one, policies::change, policies::delete))
        .routes(routes!(policies::explain))
        .routes(routes!(plugins::list, plugins::load))
        .routes(routes!(plugins::load_named))
        .routes(routes!(plugins::one, plugins::unload))
        .routes(routes!(plugins::of_a_tribe))
        .routes(routes!(plugins::one_in_tribe, plugins::unload_in_tribe))
        .routes(routes!(plugins::offers))
        .routes(routes!(tasks::list, tasks::create::create))
        .routes(routes!(tasks::one, tasks::remove))
        .routes(routes!(tasks::start))
        .routes(routes!(tasks::stop))
        .routes(routes!(tasks::enable))
        .routes(routes!(tasks::export))
        .routes(routes!(tasks::watch))
        .routes(routes!(tasks::of_a_tribe))
        .routes(routes!(metrics::list))
        .routes(routes!(metrics::show))
        .routes(routes!(metrics::collect))
        .routes(routes!(events::stream))
}

/// This document.
#[utoipa::path(get, path = "/v3/openapi.json", responses((status = 200, body = Object)))]
async fn openapi() -> Json<utoipa::openapi::OpenApi> {
    Json(described().into_openapi())
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
