//! The plugins of this node.

use std::{
    path::PathBuf,
    time::{Duration, UNIX_EPOCH},
};

use axum::{
    Json,
    body::Body,
    extract::State,
    http::{HeaderMap, StatusCode, header::CONTENT_TYPE},
};
use base64::{Engine, prelude::BASE64_STANDARD};
use futures_util::StreamExt;
use serde_json::Value;
use tokio::io::AsyncReadExt;
use tribe::View;
use tribe_api::{
    Changed, ConfigRule, ErrorReply, LoadNamed, LoadQuery, Offer, OfferQuery, Plugin, PluginDetail,
    PluginLoaded, PluginState, SIGNATURE_HEADER, TribePlugin, TribePluginFile, WaitQuery,
};

use super::{
    App, convert,
    error::ApiError,
    extract::{Body as JsonBody, Path, Query, Wait},
};
use crate::{
    plugin::{self, ConfigValue, Wanted},
    reconcile::{Kind, PLUGIN, PluginDocument, PluginFile, item_name},
    remote::plugin_of,
};

/// What a body that is a plugin calls itself. A page in a browser cannot send it without asking.
const FILE_TYPE: &str = "application/octet-stream";
/// How much of a file is read at once, in bytes.
const PART_BYTES: usize = 256 * 1024;
/// Largest signature, in bytes.
const SIGNATURE_BYTES: usize = 16 * 1024;

/// The loaded plugins.
#[utoipa::path(
    get,
    path = "/v3/plugins",
    responses((status = 200, body = [Plugin]), (status = "default", body = ErrorReply))
)]
pub(super) async fn list(State(app): State<App>) -> Json<Vec<Plugin>> {
    Json(app.0.plugins.plugins().iter().map(|plugin| summary(plugin)).collect())
}

/// Load a plugin: the body is its file. On this node it runs when this is answered, and is kept running; a
/// tribe's members fetch and start it by themselves.
#[utoipa::path(
    post,
    path = "/v3/plugins",
    params(LoadQuery, WaitQuery),
    request_body(content_type = "application/octet-stream"),
    responses((status = 200, body = PluginLoaded), (status = "default", body = ErrorReply))
)]
pub(super) async fn load(
    State(app): State<App>,
    Query(LoadQuery { file, tribe }): Query<LoadQuery>,
    Wait(wait): Wait,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<PluginLoaded>, ApiError> {
    if headers.get(CONTENT_TYPE).is_none_or(|found| found != FILE_TYPE) {
        let message = "the body must be the file of a plugin";
        return Err(ApiError::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "not-a-file", message)
            .help(format!("send it with `content-type: {FILE_TYPE}`")));
    }
    app.check_tribe(tribe.as_deref()).await?;
    let signature = signature(&headers)?;
    let mut upload = app.0.plugins.upload(&file)?;
    let mut parts = body.into_data_stream();
    while let Some(part) = parts.next().await {
        let part = part.map_err(|error| ApiError::bad("bad-body", error))?;
        upload.write(&part).await.map_err(plugin::LoadError::from)?;
    }
    app.load(upload, signature, tribe, wait).await
}

/// Load a plugin that lies in the plugin directory of this node.
#[utoipa::path(
    post,
    path = "/v3/plugins/named",
    params(WaitQuery),
    request_body = LoadNamed,
    responses((status = 200, body = PluginLoaded), (status = "default", body = ErrorReply))
)]
pub(super) async fn load_named(
    State(app): State<App>,
    Wait(wait): Wait,
    JsonBody(LoadNamed { name, tribe }): JsonBody<LoadNamed>,
) -> Result<Json<PluginLoaded>, ApiError> {
    app.check_tribe(tribe.as_deref()).await?;
    let path = find_named(&app.0.plugin_dir, &name)?;
    let cannot = |error: std::io::Error| {
        let message = format!("cannot read `{}`: {error}", path.display());
        ApiError::new(StatusCode::NOT_FOUND, "no-file", message)
    };
    let file_name = path.file_name().unwrap_or_default().to_string_lossy();
    let mut upload = app.0.plugins.upload(&file_name)?;
    let mut file = tokio::fs::File::open(&path).await.map_err(cannot)?;
    let mut part = vec![0; PART_BYTES];
    loop {
        let count = file.read(&mut part).await.map_err(cannot)?;
        match part.get(..count) {
            None | Some([]) => break,
            Some(part) => upload.write(part).await.map_err(plugin::LoadError::from)?,
        }
    }
    let mut beside = path.clone().into_os_string();
    beside.push(".asc");
    let signature = tokio::fs::read_to_string(beside).await.ok();
    app.load(upload, signature, tribe, wait).await
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

/// Unload a plugin that was loaded on this node. Its process has ended when this is answered.
#[utoipa::path(
    delete,
    path = "/v3/plugins/{plugin}",
    params(("plugin" = String, Path, description = "TYPE:NAME:VERSION, or as it was loaded")),
    responses((status = 200, body = Plugin), (status = "default", body = ErrorReply))
)]
pub(super) async fn unload(
    State(app): State<App>,
    Path(name): Path<String>,
) -> Result<Json<Plugin>, ApiError> {
    let plugin = match app.0.reconciler.loaded_as(&name) {
        Some(plugin) => plugin,
        None => {
            let wanted = Wanted::parse(&name)?;
            if wanted.version.is_none() {
                return Err(ApiError::bad("bad-plugin", format!("`{name}` has no version"))
                    .help("write it as `TYPE:NAME:VERSION`"));
            }
            app.0.plugins.plugin(&wanted)?
        }
    };
    let last = summary(&plugin);
    app.0.reconciler.unload_here(&plugin).await?;
    Ok(Json(Plugin { kept_for: app.0.reconciler.tribe_of(&plugin), ..last }))
}

/// The plugins that a tribe asks its members to load.
#[utoipa::path(
    get,
    path = "/v3/tribes/{tribe}/plugins",
    params(("tribe" = String, Path, description = "Name of the tribe")),
    responses((status = 200, body = [TribePlugin]), (status = "default", body = ErrorReply))
)]
pub(super) async fn of_a_tribe(
    State(app): State<App>,
    Path(tribe): Path<String>,
) -> Result<Json<Vec<TribePlugin>>, ApiError> {
    let view = app.node()?.view();
    let plugins = Kind::Plugin.items(&view.known_tribe(&tribe)?.items);
    Ok(Json(plugins.map(|item| tribe_plugin(&view, &tribe, item)).collect()))
}

/// One plugin that a tribe asks its members to load.
#[utoipa::path(
    get,
    path = "/v3/tribes/{tribe}/plugins/{plugin}",
    params(
        ("tribe" = String, Path, description = "Name of the tribe"),
        ("plugin" = String, Path, description = "What the plugin is called there, or TYPE:NAME[:VERSION]")
    ),
    responses((status = 200, body = TribePlugin), (status = "default", body = ErrorReply))
)]
pub(super) async fn one_in_tribe(
    State(app): State<App>,
    Path((tribe, name)): Path<(String, String)>,
) -> Result<Json<TribePlugin>, ApiError> {
    let view = app.node()?.view();
    let item_name = app.plugin_in(&tribe, name);
    match Kind::Plugin.item(&view.known_tribe(&tribe)?.items, &item_name) {
        Some(item) => Ok(Json(tribe_plugin(&view, &tribe, item))),
        None => {
            let message = format!("tribe `{tribe}` has no plugin `{item_name}`");
            Err(ApiError::new(StatusCode::NOT_FOUND, "unknown-plugin", message)
                .help(format!("`snapctl plugin list --tribe {tribe}` shows what it has")))
        }
    }
}

fn tribe_plugin(view: &View, tribe: &str, item: &tribe::Item) -> TribePlugin {
    let files = PluginDocument::parse(&item.document).unwrap_or_default().files;
    TribePlugin {
        name: item.name.to_string(),
        tribe: tribe.to_owned(),
        generation: item.generation,
        files: files.into_iter().map(|file| tribe_file(view, file)).collect(),
    }
}

fn tribe_file(view: &View, file: PluginFile) -> TribePluginFile {
    let members = view.members.values();
    let holders = members.filter(|member| member.offers.blobs.contains(&file.blob));
    TribePluginFile {
        os: file.platform.os,
        arch: file.platform.arch,
        sha256: file.blob.to_string(),
        bytes: file.bytes,
        file_name: file.file_name,
        signed: file.signature.is_some(),
        holders: holders.map(|member| member.name.to_string()).collect(),
    }
}

/// Have a tribe unload a plugin.
#[utoipa::path(
    delete,
    path = "/v3/tribes/{tribe}/plugins/{plugin}",
    params(
        ("tribe" = String, Path, description = "Name of the tribe"),
        ("plugin" = String, Path, description = "What the plugin is called there, or TYPE:NAME[:VERSION]"),
        WaitQuery
    ),
    responses((status = 200, body = Changed), (status = "default", body = ErrorReply))
)]
pub(super) async fn unload_in_tribe(
    State(app): State<App>,
    Path((tribe, name)): Path<(String, String)>,
    Wait(wait): Wait,
) -> Result<Json<Changed>, ApiError> {
    let node = app.node()?;
    let item = app.plugin_in(&tribe, name);
    let written = node.remove_item(&tribe, PLUGIN, &item).await?;
    let missing = convert::missing(node, &written, wait).await?;
    Ok(Json(Changed { missing, note: None }))
}

/// What live members offer to others.
#[utoipa::path(
    get,
    path = "/v3/offers",
    params(OfferQuery),
    responses((status = 200, body = [Offer]), (status = "default", body = ErrorReply))
)]
pub(super) async fn offers(
    State(app): State<App>,
    Query(OfferQuery { tribe, node }): Query<OfferQuery>,
) -> Result<Json<Vec<Offer>>, ApiError> {
    let view = app.node()?.view();
    let tribe = tribe.map(|tribe| view.known_tribe(&tribe).map(|tribe| tribe.name.clone()));
    let tribe = tribe.transpose()?;
    if let Some(node) = &node {
        view.known_member(node)?;
    }
    let members = view.members.values().filter(|member| {
        tribe.as_ref().is_none_or(|tribe| member.tribes.contains(tribe))
            && node.as_ref().is_none_or(|node| member.name.as_str() == node)
    });
    let offers = members.flat_map(|member| {
        member.offers.services.iter().map(|service| Offer {
            node: member.name.to_string(),
            tribes: member.tribes.iter().map(ToString::to_string).collect(),
            service: service.to_string(),
            plugin: plugin_of(service.as_str()).map(|plugin| plugin.to_string()),
        })
    });
    let mut offers: Vec<_> = offers.collect();
    offers.sort_by(|one, two| (&one.service, &one.node).cmp(&(&two.service, &two.node)));
    Ok(Json(offers))
}

impl App {
    /// The item that is meant. Named by what it says of itself, it is the one that has that name, or runs it
    /// here.
    fn plugin_in(&self, tribe: &str, name: String) -> String {
        match Wanted::parse(&name) {
            Ok(wanted) => self.0.reconciler.item_of(tribe, &wanted).unwrap_or(wanted.name),
            Err(_) => name,
        }
    }

    /// A tribe that is named must be there before a file is sent.
    async fn check_tribe(&self, tribe: Option<&str>) -> Result<(), ApiError> {
        if let Some(tribe) = tribe {
            self.view_with_tribe(tribe).await?;
        }
        Ok(())
    }

    async fn load(
        &self,
        upload: plugin::Upload,
        signature: Option<String>,
        tribe: Option<String>,
        wait: Option<Duration>,
    ) -> Result<Json<PluginLoaded>, ApiError> {
        let reconciler = &self.0.reconciler;
        let file = upload.finish(None).await.map_err(plugin::LoadError::from)?;
        let staged = reconciler.stage(file, signature).await?;
        let name = staged.name().to_string();
        let Some(tribe) = tribe else {
            let plugin = reconciler.load_here(staged).await?;
            return Ok(Json(PluginLoaded {
                name,
                plugin: Some(summary(&plugin)),
                tribe: None,
                holders: vec![self.0.name.clone()],
                missing: Vec::new(),
                note: None,
            }));
        };
        let loaded = reconciler.load_for_tribe(&tribe, staged).await?;
        let missing = convert::missing(self.node()?, &loaded.written, wait).await?;
        let (held, copies) = (loaded.holders.len(), loaded.copies);
        let note = (held < copies).then(|| {
            format!("only {held} of {copies} nodes hold the file so far, this one should stay up")
        });
        let holders = loaded.holders;
        Ok(Json(PluginLoaded { name, plugin: None, tribe: Some(tribe), holders, missing, note }))
    }
}

/// The signature that came with a file.
fn signature(headers: &HeaderMap) -> Result<Option<String>, ApiError> {
    let Some(value) = headers.get(SIGNATURE_HEADER) else { return Ok(None) };
    let bytes = BASE64_STANDARD.decode(value.as_bytes()).ok();
    let text = bytes.filter(|bytes| bytes.len() <= SIGNATURE_BYTES);
    let text = text.and_then(|bytes| String::from_utf8(bytes).ok()).ok_or_else(|| {
        let message = format!(
            "`{SIGNATURE_HEADER}` must be the text of an armored signature in base64, at most \
             {SIGNATURE_BYTES} bytes"
        );
        ApiError::bad("bad-signature", message)
    })?;
    Ok(Some(text))
}

/// The file of a plugin in a directory: of this name, or else of this name behind what snap's plugins
/// begin with.
fn find_named(dir: &std::path::Path, name: &str) -> Result<PathBuf, ApiError> {
    let is_name = !name.is_empty() && !name.starts_with('.') && !name.contains('/');
    let list = std::fs::read_dir(dir).into_iter().flatten().flatten();
    let mut found: Vec<PathBuf> = list
        .map(|entry| entry.path())
        .filter(|path| is_name && path.is_file())
        .filter(|path| {
            let file = path.file_name().unwrap_or_default().to_string_lossy();
            let short = item_name(&file);
            file == name || short.is_ok_and(|short| short.as_str() == name)
        })
        .filter(|path| path.extension().is_none_or(|ending| ending != "asc"))
        .collect();
    found.sort();
    let exact = found.iter().position(|path| path.file_name().is_some_and(|file| file == name));
    if let Some(exact) = exact {
        return Ok(found.swap_remove(exact));
    }
    match found.as_slice() {
        [one] => Ok(one.clone()),
        [] => {
            let message = format!("there is no plugin `{name}` in `{}`", dir.display());
            Err(ApiError::new(StatusCode::NOT_FOUND, "no-file", message)
                .help("give the path of its file, or set `plugins.dir` in snapd.yaml"))
        }
        several => {
            let files: Vec<_> = several.iter().map(|path| path.display().to_string()).collect();
            let message = format!("`{name}` may be any of {}", files.join(", "));
            Err(ApiError::new(StatusCode::CONFLICT, "ambiguous", message).help("give the path"))
        }
    }
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
        kept_for: None,
    }
}

fn detail(plugin: &plugin::Plugin) -> PluginDetail {
    PluginDetail {
        plugin: summary(plugin),
        file: plugin.file().path().display().to_string(),
        sha256: plugin.file().sha256().to_owned(),
        signed_by: match &plugin.signed {
            plugin::Signed::By(signer) => Some(signer.to_string()),
            plugin::Signed::Unchecked | plugin::Signed::No => None,
        },
        failure: plugin.health().failure,
        config: rules(plugin, |_| true),
        metrics: plugin.metrics.iter().map(|metric| metric.namespace.to_string()).collect(),
    }
}

/// What a plugin takes as its configuration, for namespaces that begin so.
pub(super) fn rules(
    plugin: &plugin::Plugin,
    wanted: impl Fn(&[String]) -> bool,
) -> Vec<ConfigRule> {
    let rules = plugin.policy.rules().filter(|(prefix, ..)| wanted(prefix));
    let shown = rules.map(|(prefix, key, rule)| ConfigRule {
        key: key.to_owned(),
        namespace: format!("/{}", prefix.join("/")),
        value_type: rule.kind.as_str().to_owned(),
        required: rule.required,
        default: rule.default.as_ref().map(value),
        minimum: rule.minimum.as_ref().map(value),
        maximum: rule.maximum.as_ref().map(value),
    });
    shown.collect()
}

fn value(value: &ConfigValue) -> Value {
    match value {
        ConfigValue::Bool(value) => (*value).into(),
        ConfigValue::Int(value) => (*value).into(),
        ConfigValue::Float(value) => (*value).into(),
        ConfigValue::Text(value) => value.as_str().into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plugin_is_found_by_its_whole_name_first() {
        let dir = tempfile::tempdir().unwrap();
        for file in ["file", "snap-plugin-publisher-file", "snap-plugin-publisher-influxdb"] {
            std::fs::write(dir.path().join(file), "").unwrap();
        }
        let found = |name| {
            find_named(dir.path(), name)
                .map(|path| path.strip_prefix(dir.path()).unwrap().to_owned())
        };
        assert_eq!(found("file").unwrap().to_str(), Some("file"));
        assert_eq!(found("influxdb").unwrap().to_str(), Some("snap-plugin-publisher-influxdb"));
        std::fs::write(dir.path().join("snap-plugin-collector-influxdb"), "").unwrap();
        let error = found("influxdb").unwrap_err();
        let error = format!("{error:?}");
        assert!(error.contains("snap-plugin-collector-influxdb"), "{error}");
        assert!(found("../file").is_err());
    }
}
