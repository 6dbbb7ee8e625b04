//! What people said, to keep and to say again.
//!
//! Saying it again goes the way of every other command, one thing at a time, so that a restore that was
//! interrupted is simply made again.

use axum::{Json, extract::State};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use tribe::{Item, ItemKind, ItemName, Node, PutOptions, View};
use tribe_api::{
    BACKUP_FORMAT, BACKUP_VERSION, Backup, BackupDocument, BackupEntry, ErrorReply, Restore,
    RestoreOutcome, Restored,
};

use super::{App, convert, error::ApiError, extract::Body, tribes};

/// All that people said, as this node knows it.
#[utoipa::path(
    get,
    path = "/v3/backup",
    responses((status = 200, body = Backup), (status = "default", body = ErrorReply))
)]
pub(super) async fn backup(State(app): State<App>) -> Result<Json<Backup>, ApiError> {
    let node = app.any_node();
    Ok(Json(Backup {
        format: BACKUP_FORMAT.to_owned(),
        version: BACKUP_VERSION,
        node: node.name().to_string(),
        entries: entries(&node.view()),
    }))
}

/// Tribes, then who is in them, then what they have: nobody acts on half of it.
fn entries(view: &View) -> Vec<BackupEntry> {
    let tribes = view.tribes.values().map(|tribe| BackupEntry::Tribe {
        name: tribe.name.to_string(),
        description: tribe.description.clone(),
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
    let items = view.tribes.values().flat_map(|tribe| {
        tribe.items.values().map(|item| to_entry(item, Some(tribe.name.to_string())))
    });
    let own = view.local_items.values().map(|item| to_entry(item, None));
    tribes.chain(policies).chain(placements).chain(items).chain(own).collect()
}

fn to_entry(item: &Item, tribe: Option<String>) -> BackupEntry {
    let document = match std::str::from_utf8(&item.document) {
        Ok(text) => BackupDocument::Text(text.to_owned()),
        Err(_) => BackupDocument::Base64(STANDARD.encode(&item.document)),
    };
    BackupEntry::Item {
        tribe,
        kind: item.kind.to_string(),
        name: item.name.to_string(),
        running: item.running,
        document,
    }
}

/// Say one thing of a backup again.
///
/// What is missing is created. What is there and differs stays, unless `replace` is set; the description of a tribe stays in any
/// case.
#[utoipa::path(
    post,
    path = "/v3/restore",
    request_body = Restore,
    responses((status = 200, body = Restored), (status = "default", body = ErrorReply))
)]
pub(super) async fn restore(
    State(app): State<App>,
    Body(restore): Body<Restore>,
) -> Result<Json<Restored>, ApiError> {
    let Restore { entry, replace, dry_run } = restore;
    let own = matches!(entry, BackupEntry::Item { tribe: None, .. });
    let node = if own { app.any_node() } else { app.node()? };
    let found = compare(&node.view(), &entry)?;
    let may_replace = replace && !matches!(entry, BackupEntry::Tribe { .. });
    let outcome = match found {
        Found::Missing => RestoreOutcome::Created,
        Found::Same => RestoreOutcome::Same,
        Found::Other(_) if may_replace => RestoreOutcome::Replaced,
        Found::Other(_) => RestoreOutcome::Differs,
    };
    let changes = matches!(outcome, RestoreOutcome::Created | RestoreOutcome::Replaced);
    if changes && !dry_run {
        say(node, entry).await?;
    }
    let note = match found {
        Found::Other(what) if outcome == RestoreOutcome::Differs => Some(what),
        _ => None,
    };
    Ok(Json(Restored { outcome, note }))
}

/// What is there of an entry.
enum Found {
    Missing,
    Same,
    /// Another, of which this is said.
    Other(String),
}

fn compare(view: &View, entry: &BackupEntry) -> Result<Found, ApiError> {
    let other = |same: bool, what: String| if same { Found::Same } else { Found::Other(what) };
    Ok(match entry {
        BackupEntry::Tribe { name, description } => match view.tribes.get(name.as_str()) {
            None => Found::Missing,
            Some(tribe) => other(
                tribe.description == *description,
                format!("its description is `{}`", tribe.description),
            ),
        },
        BackupEntry::Policy { name, tribe, text, enabled } => {
            match view.policies.get(name.as_str()) {
                None => Found::Missing,
                Some(is) => other(
                    is.tribe.as_str() == tribe && is.text == *text && is.enabled == *enabled,
                    format!(
                        "it is `{}` for tribe `{}`{}",
                        is.text,
                        is.tribe,
                        if is.enabled { "" } else { ", disabled" }
                    ),
                ),
            }
        }
        BackupEntry::Placement { tribe, node, placement } => {
            let tribe = view.tribes.get(tribe.as_str());
            match tribe.and_then(|tribe| tribe.placements.get(node.as_str())) {
                None => Found::Missing,
                Some(is) => {
                    let is = convert::placement(*is);
                    other(is == *placement, format!("it is placed `{}`", is.as_str()))
                }
            }
        }
        BackupEntry::Item { tribe, kind, name, running, document } => {
            let (kind, name) = key(kind, name)?;
            let items = match tribe {
                None => Some(&view.local_items),
                Some(tribe) => view.tribes.get(tribe.as_str()).map(|tribe| &tribe.items),
            };
            match items.and_then(|items| items.get(&(kind, name))) {
                None => Found::Missing,
                Some(is) => other(
                    is.document[..] == bytes(document)?[..] && is.running == *running,
                    "another document, or it runs where this does not".to_owned(),
                ),
            }
        }
    })
}

/// Says it, as if someone had typed it.
async fn say(node: &Node, entry: BackupEntry) -> Result<(), ApiError> {
    match entry {
        BackupEntry::Tribe { name, description } => {
            node.create_tribe(&name, &description).await?;
        }
        BackupEntry::Policy { name, tribe, text, enabled } => {
            node.replace_policy(&name, &text, &tribe).await?;
            let is = node.view().policies.get(name.as_str()).map(|policy| policy.enabled);
            if is != Some(enabled) {
                node.enable_policy(&name, enabled).await?;
            }
        }
        BackupEntry::Placement { tribe, node: placed, placement } => {
            tribes::place_in(node, &tribe, &placed, placement).await?;
        }
        BackupEntry::Item { tribe, kind, name, running, document } => {
            let document = bytes(&document)?;
            let options = PutOptions { replace: true, running: Some(running) };
            match tribe {
                None => node.put_local_item(&kind, &name, document, options).await?,
                Some(tribe) => {
                    node.put_item(&tribe, &kind, &name, document, options).await?;
                }
            }
        }
    }
    Ok(())
}

fn key(kind: &str, name: &str) -> Result<(ItemKind, ItemName), ApiError> {
    let bad = |error: tribe::NameError| ApiError::bad("bad-name", error);
    Ok((ItemKind::parse(kind).map_err(bad)?, ItemName::parse(name).map_err(bad)?))
}

fn bytes(document: &BackupDocument) -> Result<Vec<u8>, ApiError> {
    match document {
        BackupDocument::Text(text) => Ok(text.clone().into_bytes()),
        BackupDocument::Base64(text) => STANDARD
            .decode(text)
            .map_err(|error| ApiError::bad("bad-document", format!("not Base64: {error}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_that_is_no_text_is_kept_byte_for_byte() {
        let item = |document: &'static [u8]| Item {
            kind: ItemKind::parse("own").unwrap(),
            name: ItemName::parse("x").unwrap(),
            document: document.into(),
            running: true,
            generation: 1,
            written_ms: 0,
            writer: tribe::NodeId(1),
        };
        for document in [&b"text"[..], b"", b"\xff\x00\xfe"] {
            let BackupEntry::Item { document: kept, .. } = to_entry(&item(document), None) else {
                panic!("no item")
            };
            assert_eq!(bytes(&kept).unwrap(), document);
        }
    }
}
