//! The daemon and its node.

use std::collections::BTreeMap;

use axum::{Json, extract::State};
use tribe_api::{API_VERSION, Acting, NodeInfo, Version};

use super::App;

/// What the daemon is.
#[utoipa::path(get, path = "/v3/version", responses((status = 200, body = Version)))]
pub(super) async fn version() -> Json<Version> {
    Json(Version {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        api: API_VERSION,
        policy_level: tribe::LEVEL,
    })
}

/// The node the daemon runs.
#[utoipa::path(get, path = "/v3/node", responses((status = 200, body = NodeInfo)))]
pub(super) async fn node(State(app): State<App>) -> Json<NodeInfo> {
    let name = app.0.name.clone();
    let Some(node) = &app.0.node else {
        return Json(NodeInfo {
            name,
            tribe: false,
            id: None,
            address: None,
            synced: false,
            unsynced: None,
            acting: Vec::new(),
            key_fingerprint: None,
        });
    };
    let view = node.view();
    let acting = view.acting.iter().map(|(tribe, acting)| Acting {
        tribe: tribe.to_string(),
        leaves_in_seconds: acting.leaves_in.map(|time| time.as_secs_f64()),
    });
    Json(NodeInfo {
        name,
        tribe: true,
        id: Some(node.id().to_string()),
        address: Some(node.address().to_string()),
        synced: view.synced,
        unsynced: app.unsynced(&view),
        acting: acting.collect(),
        // A key that was exchanged is another one than in the key file.
        key_fingerprint: view.sealing.map(|key| key.to_string()),
    })
}

/// Counters of the node by name; none with tribe mode off.
#[utoipa::path(
    get,
    path = "/v3/counters",
    responses((status = 200, body = BTreeMap<String, u64>))
)]
pub(super) async fn counters(State(app): State<App>) -> Json<BTreeMap<String, u64>> {
    Json(app.0.node.as_ref().map(tribe::Node::counters).unwrap_or_default())
}
