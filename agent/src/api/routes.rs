//! Every route of the API: what serves it, and the document that describes them.
//!
//! The document is made only for who asks for it: it takes a hundred times the memory of the routes, and a
//! tenth of the time of a start. That both have the same routes is what a test of the daemon is for.

use axum::{
    Json, Router,
    routing::{get, post, put},
};
use utoipa::{Modify, OpenApi, openapi};

use super::{
    App, backup, events, keys, members, metrics, node, plugins, policies, prometheus, restore,
    tasks, tribes,
};

/// What serves each route.
pub(super) fn routes() -> Router<App> {
    Router::new()
        .route("/v3/openapi.json", get(document))
        .route("/v3/version", get(node::version))
        .route("/v3/node", get(node::node))
        .route("/v3/counters", get(node::counters))
        .route("/metrics", get(prometheus::metrics))
        .route("/v3/backup", get(backup::backup))
        .route("/v3/restore", post(restore::restore))
        .route("/v3/members", get(members::list))
        .route("/v3/members/{node}", get(members::one).delete(members::forget))
        .route("/v3/members/{node}/facts", get(members::facts).patch(members::change_facts))
        .route("/v3/keys", get(keys::list).post(keys::install))
        .route("/v3/keys/{key}/use", post(keys::use_key))
        .route("/v3/keys/{key}/remove", post(keys::remove))
        .route("/v3/keys/rotate", post(keys::rotate))
        .route("/v3/tribes", get(tribes::list).post(tribes::create))
        .route(
            "/v3/tribes/{tribe}",
            get(tribes::one).patch(tribes::describe).delete(tribes::delete),
        )
        .route("/v3/tribes/{tribe}/placements/{node}", put(tribes::place))
        .route("/v3/tribes/{tribe}/status", get(tribes::status))
        .route("/v3/policies", get(policies::list).post(policies::create))
        .route("/v3/policies/test", post(policies::test))
        .route(
            "/v3/policies/{policy}",
            get(policies::one).patch(policies::change).delete(policies::delete),
        )
        .route("/v3/policies/{policy}/explain/{node}", get(policies::explain))
        .route("/v3/plugins", get(plugins::list).post(plugins::load))
        .route("/v3/plugins/named", post(plugins::load_named))
        .route("/v3/plugins/{plugin}", get(plugins::one).delete(plugins::unload))
        .route("/v3/tribes/{tribe}/plugins", get(plugins::of_a_tribe))
        .route(
            "/v3/tribes/{tribe}/plugins/{plugin}",
            get(plugins::one_in_tribe).delete(plugins::unload_in_tribe),
        )
        .route("/v3/offers", get(plugins::offers))
        .route("/v3/tasks", get(tasks::list).post(tasks::create::create))
        .route("/v3/tasks/{task}", get(tasks::one).delete(tasks::remove))
        .route("/v3/tasks/{task}/start", post(tasks::start))
        .route("/v3/tasks/{task}/stop", post(tasks::stop))
        .route("/v3/tasks/{task}/enable", post(tasks::enable))
        .route("/v3/tasks/{task}/export", get(tasks::export))
        .route("/v3/tasks/{task}/watch", get(tasks::watch))
        .route("/v3/tribes/{tribe}/tasks", get(tasks::of_a_tribe))
        .route("/v3/metrics", get(metrics::list))
        .route("/v3/metrics/show", get(metrics::show))
        .route("/v3/metrics/collect", post(metrics::collect))
        .route("/v3/events", get(events::stream))
}

/// What describes each route.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "snapd control API",
        description = "Tribes, members, policies and facts of a cluster, as one of its nodes sees them, and \
                       the plugins and tasks of this node and of tribes. Every refusal has the body \
                       ErrorReply.",
        license(name = "Apache-2.0")
    ),
    paths(
        document,
        node::version,
        node::node,
        node::counters,
        prometheus::metrics,
        backup::backup,
        restore::restore,
        members::list,
        members::one,
        members::forget,
        members::facts,
        members::change_facts,
        keys::list,
        keys::install,
        keys::use_key,
        keys::remove,
        keys::rotate,
        tribes::list,
        tribes::create,
        tribes::one,
        tribes::describe,
        tribes::delete,
        tribes::place,
        tribes::status,
        policies::list,
        policies::create,
        policies::test,
        policies::one,
        policies::change,
        policies::delete,
        policies::explain,
        plugins::list,
        plugins::load,
        plugins::load_named,
        plugins::one,
        plugins::unload,
        plugins::of_a_tribe,
        plugins::one_in_tribe,
        plugins::unload_in_tribe,
        plugins::offers,
        tasks::list,
        tasks::create::create,
        tasks::one,
        tasks::remove,
        tasks::start,
        tasks::stop,
        tasks::enable,
        tasks::export,
        tasks::watch,
        tasks::of_a_tribe,
        metrics::list,
        metrics::show,
        metrics::collect,
        events::stream,
    ),
    modifiers(&Named)
)]
pub(super) struct Document;

/// Handlers of one file are one group, and operations are called like both: `members_list`.
struct Named;

impl Modify for Named {
    fn modify(&self, document: &mut openapi::OpenApi) {
        for item in document.paths.paths.values_mut() {
            let operations =
                [&mut item.get, &mut item.put, &mut item.post, &mut item.patch, &mut item.delete];
            for operation in operations.into_iter().flatten() {
                let file = operation.tags.iter().flatten().next();
                let group = file.and_then(|file| file.split("::").next()).unwrap_or("document");
                let group = group.to_owned();
                operation.operation_id =
                    operation.operation_id.as_ref().map(|name| format!("{group}_{name}"));
                operation.tags = Some(vec![group]);
            }
        }
    }
}

/// This document.
#[utoipa::path(get, path = "/v3/openapi.json", responses((status = 200, body = Object)))]
async fn document() -> Json<openapi::OpenApi> {
    Json(Document::openapi())
}
