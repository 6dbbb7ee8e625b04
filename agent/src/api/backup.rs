//! What people said, to be kept and said again ([`restore`](super::restore)).

use std::{io, mem, sync::Arc};

use axum::{
    body::Body,
    extract::State,
    http::header::CONTENT_TYPE,
    response::{IntoResponse, Response},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use futures_util::stream;
use tokio::sync::mpsc;
use tribe::{Item, View};
use tribe_api::{
    BACKUP_FORMAT, BACKUP_VERSION, Backup, BackupDocument, BackupEntry, BackupQuery, ErrorReply,
};

use super::{App, convert, error::ApiError, extract::Query};

/// How much is told at a time, in bytes, beside what is begun.
const PART_BYTES: usize = 64 * 1024;

/// All that people said, as this node knows it.
///
/// It is told entry by entry, of whatever size it is. One that ends without an end of its JSON, and of
/// its chunks, is a part: snapd stopped meanwhile.
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
) -> Result<Response, ApiError> {
    let node = app.knowing_node(force)?;
    let (name, view, stopped) = (node.name().to_string(), node.view(), app.stopped());
    let (parts, told) = mpsc::channel(1);
    tokio::spawn(async move {
        tokio::select! {
            _ = tell(&name, &view, &parts) => {}
            () = stopped => {}
        }
    });
    Ok(([(CONTENT_TYPE, "application/json")], body(told)).into_response())
}

/// A piece of a backup.
enum Part {
    Text(Vec<u8>),
    /// That was all.
    End,
}

/// A body that fails if the parts end without their end.
fn body(told: mpsc::Receiver<Part>) -> Body {
    let parts = stream::unfold(Some(told), |told| async {
        let mut told = told?;
        match told.recv().await {
            Some(Part::Text(text)) => Some((Ok(text), Some(told))),
            Some(Part::End) => None,
            None => Some((Err(io::Error::other("the backup broke off")), None)),
        }
    });
    Body::from_stream(parts)
}

/// Tells a [`Backup`] an entry at a time, a line each. An error: nobody listens any more.
async fn tell(
    node: &str,
    view: &Arc<View>,
    parts: &mpsc::Sender<Part>,
) -> Result<(), mpsc::error::SendError<Part>> {
    let (format, version) = (BACKUP_FORMAT, BACKUP_VERSION);
    let mut text =
        format!(r#"{{"format":"{format}","version":{version},"node":"{node}","entries":["#)
            .into_bytes();
    let mut separator = "\n";
    for entry in entries(view) {
        text.extend_from_slice(separator.as_bytes());
        separator = ",\n";
        // It does not fail. If it did, the rest must not look like a whole.
        let Ok(line) = serde_json::to_vec(&entry) else { return Ok(()) };
        text.extend(line);
        if text.len() >= PART_BYTES {
            parts.send(Part::Text(mem::take(&mut text))).await?;
        }
    }
    text.extend_from_slice(b"\n]}\n");
    parts.send(Part::Text(text)).await?;
    parts.send(Part::End).await
}

/// Tribes, then what they have, and only then who is in them: nobody acts on half of it.
fn entries(view: &View) -> impl Iterator<Item = BackupEntry> {
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
    tribes.chain(items).chain(policies).chain(placements).chain(own)
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
