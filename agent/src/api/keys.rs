//! The keys of the cluster. No bytes of a key leave by here.

use axum::{Json, extract::State};
use tribe::{Key, KeyId, KeyStatus, Rotation, Written};
use tribe_api::{
    ChangeKey, ErrorReply, InstallKey, KeyChanged, KeyInfo, KeyMember, KeyStep, Keys, RotateKey,
    WaitQuery,
};

use super::{
    App, convert,
    error::ApiError,
    extract::{Body, Path, Wait},
};

/// The keys of the cluster, and the members that hold them.
#[utoipa::path(
    get,
    path = "/v3/keys",
    responses((status = 200, body = Keys), (status = "default", body = ErrorReply))
)]
pub(super) async fn list(State(app): State<App>) -> Result<Json<Keys>, ApiError> {
    let mut status = app.node()?.keys().await?;
    status.members.sort_by(|one, other| one.name.cmp(&other.name));
    let names = |id: KeyId, holds: bool| {
        let found = status.members.iter().filter(|member| member.holds(id) == holds);
        found.map(|member| member.name.to_string()).collect()
    };
    let keys = status.keys.iter().map(|key| KeyInfo {
        id: key.id.to_string(),
        phase: key.phase.as_str().to_owned(),
        held: key.held,
        written_ms: key.written_ms,
        holders: names(key.id, true),
        lacking: names(key.id, false),
    });
    let texts = |ids: &Vec<KeyId>| ids.iter().map(ToString::to_string).collect();
    let members = status.members.iter().map(|member| KeyMember {
        node: member.name.to_string(),
        alive: member.alive,
        keys: member.keys.as_ref().map(texts),
    });
    Ok(Json(Keys {
        keys: keys.collect(),
        members: members.collect(),
        exchange: open_exchange(&status).map(|key| key.to_string()),
    }))
}

/// The key to which an exchange leads that has begun and is not at its end.
fn open_exchange(status: &KeyStatus) -> Option<KeyId> {
    match status.next(false, false) {
        Rotation::Install | Rotation::Done(_) => None,
        Rotation::Installed(key)
        | Rotation::Holding(key, _)
        | Rotation::Use(key)
        | Rotation::Sealing(key, _)
        | Rotation::Remove(_, key)
        | Rotation::Down(key, _) => Some(key),
    }
}

/// Have all members hold a key: it opens, and does not seal yet.
#[utoipa::path(
    post,
    path = "/v3/keys",
    params(WaitQuery),
    request_body = InstallKey,
    responses((status = 200, body = KeyChanged), (status = "default", body = ErrorReply))
)]
pub(super) async fn install(
    State(app): State<App>,
    Wait(wait): Wait,
    Body(install): Body<InstallKey>,
) -> Result<Json<KeyChanged>, ApiError> {
    let key = Key::parse(&install.key).map_err(|error| ApiError::bad("bad-key", error))?;
    let node = app.node()?;
    let id = key.id();
    let written = node.install_key(key).await?;
    changed(&app, id, &written, wait).await
}

/// Have all members seal with a key.
#[utoipa::path(
    post,
    path = "/v3/keys/{key}/use",
    params(("key" = String, Path, description = "Fingerprint of the key"), WaitQuery),
    request_body = ChangeKey,
    responses((status = 200, body = KeyChanged), (status = "default", body = ErrorReply))
)]
pub(super) async fn use_key(
    State(app): State<App>,
    Path(key): Path<String>,
    Wait(wait): Wait,
    Body(change): Body<ChangeKey>,
) -> Result<Json<KeyChanged>, ApiError> {
    let id = fingerprint(&key)?;
    let written = app.node()?.use_key(id, change.force).await?;
    changed(&app, id, &written, wait).await
}

/// Have no member open what is sealed with a key.
#[utoipa::path(
    post,
    path = "/v3/keys/{key}/remove",
    params(("key" = String, Path, description = "Fingerprint of the key"), WaitQuery),
    request_body = ChangeKey,
    responses((status = 200, body = KeyChanged), (status = "default", body = ErrorReply))
)]
pub(super) async fn remove(
    State(app): State<App>,
    Path(key): Path<String>,
    Wait(wait): Wait,
    Body(change): Body<ChangeKey>,
) -> Result<Json<KeyChanged>, ApiError> {
    let id = fingerprint(&key)?;
    let written = app.node()?.remove_key(id, change.force).await?;
    changed(&app, id, &written, wait).await
}

/// Take the next step in exchanging the key of the cluster for a new one. Asked again and again it gets to the
/// end, whoever asks.
#[utoipa::path(
    post,
    path = "/v3/keys/rotate",
    request_body = RotateKey,
    responses((status = 200, body = KeyStep), (status = "default", body = ErrorReply))
)]
pub(super) async fn rotate(
    State(app): State<App>,
    Body(RotateKey { begun, force }): Body<RotateKey>,
) -> Result<Json<KeyStep>, ApiError> {
    let (step, key, nodes) = match app.node()?.step_rotation(begun, force).await? {
        Rotation::Install => ("installed", None, Vec::new()),
        Rotation::Installed(key) => ("installed", Some(key), Vec::new()),
        Rotation::Holding(key, nodes) => ("holding", Some(key), nodes),
        Rotation::Use(key) => ("used", Some(key), Vec::new()),
        Rotation::Sealing(key, nodes) => ("sealing", Some(key), nodes),
        Rotation::Remove(key, _) => ("removed", Some(key), Vec::new()),
        Rotation::Down(key, nodes) => ("down", Some(key), nodes),
        Rotation::Done(key) => ("done", Some(key), Vec::new()),
    };
    Ok(Json(KeyStep {
        step: step.to_owned(),
        key: key.map(|key| key.to_string()),
        nodes: nodes.iter().map(ToString::to_string).collect(),
    }))
}

fn fingerprint(text: &str) -> Result<KeyId, ApiError> {
    text.parse().map_err(|error| ApiError::bad("bad-key-id", format!("`{text}` is {error}")))
}

async fn changed(
    app: &App,
    id: KeyId,
    written: &Written,
    wait: Option<std::time::Duration>,
) -> Result<Json<KeyChanged>, ApiError> {
    let missing = convert::missing(app.node()?, written, wait).await?;
    Ok(Json(KeyChanged { id: id.to_string(), missing }))
}
