//! What people said, to be kept and said again ([`restore`](super::restore)).

use axum::{Json, extract::State};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use tribe::{Item, View};
use tribe_api::{
    BACKUP_FORMAT, BACKUP_VERSION, Backup, BackupDocument, BackupEntry, BackupQuery, ErrorReply,
};

use super::{App, convert, error::ApiError, extract::Query};

/// All that people said, as this node knows it.
///
/// Refused with 503 and `not-synced` by a node that has not met its cluster since it was started.
#[utoipa::path(
    get,
    path = "/v3/backup",
    params(BackupQuery),
    responses((status = 200, body = Backup), (status = "default", body = ErrorReply))
)]
pub(super) async fn backup(
    State(app): State<App>,
    Query(BackupQuery { force }): Query<BackupQuery>,
) -> Result<Json<Backup>, ApiError> {
    let node = app.knowing_node(force)?;
    Ok(Json(Backup {
        format: BACKUP_FORMAT.to_owned(),
        version: BACKUP_VERSION,
        node: node.name().to_string(),
        entries: entries(&node.view()),
    }))
}

/// Tribes, then what they have, and only then who is in them: nobody acts on half of it.
fn entries(view: &View) -> Vec<BackupEntry> {
    let tribes = view.tribes.values().map(|tribe| BackupEntry::Tribe {
        name: tribe.name.to_string(),
        description: tribe.description.clone(),
    });
    let items = view.tribes.values().flat_map(|tribe| {
        tribe.items.values().map(|item| to_entry(item, Some(tribe.name.to_string())))
    });
    let policies = view.policies.values().map(|policy| BackupEntry::Policy {
        name: policy.name.to_string(),
        tribe: policy.tribe.to_string(),
        text: policy.text.clone(),
        enabled: policy.enabled,
    });
    let placements = view.tribes.values().flat_map(|tribe| {
        tribe.placements.iter().map(|(node, placement)| BackupEntry::Placement {
            tribe: tribe.name.to_string(),
            node: node.to_string(),
            placement: convert::placement(*placement),
        })
    });
    let own = view.local_items.values().map(|item| to_entry(item, None));
    tribes.chain(items).chain(policies).chain(placements).chain(own).collect()
}

fn to_entry(item: &Item, tribe: Option<String>) -> BackupEntry {
    BackupEntry::Item {
        tribe,
        kind: item.kind.to_string(),
        name: item.name.to_string(),
        running: item.running,
        document: to_document(&item.document),
    }
}

/// Text as it is, unless JSON would blow it up: then no request would have room for it.
fn to_document(bytes: &[u8]) -> BackupDocument {
    let fits = |text: &&str| {
        serde_json::to_string(text).is_ok_and(|written| written.len() <= 2 * text.len() + 2)
    };
    match std::str::from_utf8(bytes).ok().filter(fits) {
        Some(text) => BackupDocument::Text(text.to_owned()),
        None => BackupDocument::Base64(STANDARD.encode(bytes)),
    }
}

/// The document of an item, as it was.
pub(super) fn bytes(document: BackupDocument) -> Result<Vec<u8>, ApiError> {
    match document {
        BackupDocument::Text(text) => Ok(text.into_bytes()),
        BackupDocument::Base64(text) => STANDARD
            .decode(text)
            .map_err(|error| ApiError::bad("bad-document", format!("not Base64: {error}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_is_kept_byte_for_byte() {
        let check = |document: &[u8], is_text: bool| {
            let kept = to_document(document);
            assert_eq!(matches!(kept, BackupDocument::Text(_)), is_text, "{kept:?}");
            assert_eq!(bytes(kept).unwrap(), document);
        };
        check(b"", true);
        check(br#"{"a": "\u00e9"}"#, true);
        check(b"\xff\x00\xfe", false);
        check(&[1; 256 * 1024], false);
    }
}
