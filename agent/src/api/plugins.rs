//! The plugins of this node.

use std::time::UNIX_EPOCH;

use axum::{
    Json,
    body::Body,
    extract::State,
    http::{HeaderMap, StatusCode, header::CONTENT_TYPE},
};
use futures_util::StreamExt;
use serde_json::Value;
use tribe_api::{ConfigRule, ErrorReply, LoadQuery, Plugin, PluginDetail, PluginState};

use super::{
    App,
    error::ApiError,
    extract::{Path, Query},
};
use crate::plugin::{self, ConfigValue, Wanted};

/// What a body that is a plugin calls itself. A page in a browser cannot send it without asking.
const FILE_TYPE: &str = "application/octet-stream";

/// The loaded plugins.
#[utoipa::path(
    get,
    path = "/v3/plugins",
    responses((status = 200, body = [Plugin]), (status = "default", body = ErrorReply))
)]
pub(super) async fn list(State(app): State<App>) -> Json<Vec<Plugin>> {
    Json(app.0.plugins.plugins().iter().map(|plugin| summary(plugin)).collect())
}

/// Load a plugin on this node: the body is its file. It is kept running until it is unloaded.
#[utoipa::path(
    post,
    path = "/v3/plugins",
    params(LoadQuery),
    request_body(content_type = "application/octet-stream"),
    responses((status = 200, body = Plugin), (status = "default", body = ErrorReply))
)]
pub(super) async fn load(
    State(app): State<App>,
    Query(LoadQuery { file, signature }): Query<LoadQuery>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Plugin>, ApiError> {
    if headers.get(CONTENT_TYPE).is_none_or(|found| found != FILE_TYPE) {
        let message = "the body must be the file of a plugin";
        return Err(ApiError::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "not-a-file", message)
            .help(format!("send it with `content-type: {FILE_TYPE}`")));
    }
    let mut upload = app.0.plugins.upload(&file)?;
    let mut parts = body.into_data_stream();
    while let Some(part) = parts.next().await {
        let part = part.map_err(|error| ApiError::bad("bad-body", error))?;
        upload.write(&part).await.map_err(plugin::LoadError::from)?;
    }
    Ok(Json(summary(&*app.0.plugins.load(upload, signature.map(String::into_bytes)).await?)))
}

/// One plugin with its configuration and its metrics.
#[utoipa::path(
    get,
    path = "/v3/plugins/{plugin}",
    params(("plugin" = String, Path, description = "TYPE:NAME[:VERSION], by default the newest")),
    responses((status = 200, body = PluginDetail), (status = "default", body = ErrorReply))
)]
pub(super) async fn one(
    State(app): State<App>,
    Path(name): Path<String>,
) -> Result<Json<PluginDetail>, ApiError> {
    Ok(Json(detail(&*app.0.plugins.plugin(&Wanted::parse(&name)?)?)))
}

/// Unload a plugin. Its process has ended when this is answered.
#[utoipa::path(
    delete,
    path = "/v3/plugins/{plugin}",
    params(("plugin" = String, Path, description = "TYPE:NAME:VERSION")),
    responses((status = 200, body = Plugin), (status = "default", body = ErrorReply))
)]
pub(super) async fn unload(
    State(app): State<App>,
    Path(name): Path<String>,
) -> Result<Json<Plugin>, ApiError> {
    let wanted = Wanted::parse(&name)?;
    if wanted.version.is_none() {
        return Err(ApiError::bad("bad-plugin", format!("`{name}` has no version"))
            .help("write it as `TYPE:NAME:VERSION`"));
    }
    let plugin = app.0.plugins.plugin(&wanted)?;
    let last = summary(&plugin);
    app.0.plugins.unload(&plugin).await;
    Ok(Json(last))
}

fn summary(plugin: &plugin::Plugin) -> Plugin {
    let health = plugin.health();
    let loaded = plugin.loaded.duration_since(UNIX_EPOCH).unwrap_or_default();
    Plugin {
        plugin_type: plugin.identity.kind.as_str().to_owned(),
        name: plugin.identity.name.clone(),
        version: plugin.identity.version,
        state: match health.pid() {
            Some(_) => PluginState::Running,
            None => PluginState::Restarting,
        },
        pid: health.pid(),
        restarts: health.restarts,
        loaded_ms: u64::try_from(loaded.as_millis()).unwrap_or_default(),
    }
}

fn detail(plugin: &plugin::Plugin) -> PluginDetail {
    let rules = plugin.policy.rules().map(|(prefix, key, rule)| ConfigRule {
        key: key.to_owned(),
        namespace: format!("/{}", prefix.join("/")),
        value_type: rule.kind.as_str().to_owned(),
        required: rule.required,
        default: rule.default.as_ref().map(value),
        minimum: rule.minimum.as_ref().map(value),
        maximum: rule.maximum.as_ref().map(value),
    });
    PluginDetail {
        plugin: summary(plugin),
        file: plugin.file().path().display().to_string(),
        sha256: plugin.file().sha256().to_owned(),
        failure: plugin.health().failure,
        config: rules.collect(),
        metrics: plugin.metrics.iter().map(|metric| metric.namespace.to_string()).collect(),
    }
}

fn value(value: &ConfigValue) -> Value {
    match value {
        ConfigValue::Bool(value) => (*value).into(),
        ConfigValue::Int(value) => (*value).into(),
        ConfigValue::Float(value) => (*value).into(),
        ConfigValue::Text(value) => value.as_str().into(),
    }
}
