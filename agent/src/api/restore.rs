//! What people said is said again.
//!
//! It goes the way of every other command, one thing at a time and each in one step, so that a
//! restore that was interrupted is simply made again.

use axum::{Json, extract::State};
use tribe::{
    CommandError, ItemKind, ItemName, MemberState, Node, NodeName, ParsePolicyError, Policy,
    PolicyName, PolicyOptions, PutOptions, TribeName, View,
};
use tribe_api::{BackupEntry, ErrorReply, Placement, Restore, RestoreOutcome as Outcome, Restored};

use super::{App, backup::bytes, convert, error::ApiError, extract::Body, guard, tribes};
use crate::reconcile::{PLUGIN, PluginDocument, PluginFile};

/// Say one thing of a backup again.
///
/// What is missing is created. What is there and differs stays, unless `replace` is set.
///
/// Refused with 409 if it replaces a policy and would move many members out of a tribe, and with
/// 503 and `not-synced` by a node that has not met its cluster since it was started.
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
    let Restore { entry, replace, force, dry_run } = restore;
    let said = Said::read(entry)?;
    let node = app.node_for(&said, force)?;
    let view = node.view();
    let mut found = said.find(&view);
    let mut outcome = Said::outcome(&found, replace);
    if matches!(outcome, Outcome::Created | Outcome::Replaced) {
        let replaces = outcome == Outcome::Replaced;
        said.check(&view, replaces && !force)?;
        if !dry_run && said.say(node, replaces).await? == Done::Exists {
            found = said.find(&node.view());
            outcome = Said::outcome(&found, false);
        }
    }
    let note = match found {
        Found::Other(what) if outcome == Outcome::Differs => Some(what),
        _ => app.lacking(&said, &view),
    };
    let no_tribe = said.check_tribe(&view).err().filter(|_| dry_run);
    Ok(Json(Restored { outcome, note, no_tribe: no_tribe.map(|error| error.to_string()) }))
}

impl App {
    /// The node on which it can be said.
    fn node_for(&self, said: &Said, force: bool) -> Result<&Node, ApiError> {
        if matches!(said, Said::Item { tribe: None, .. }) {
            return Ok(self.any_node());
        }
        self.node()?;
        self.knowing_node(force)
    }
}

/// One thing that people said, whose names are names.
enum Said {
    Tribe {
        name: TribeName,
        description: String,
    },
    Policy {
        name: PolicyName,
        tribe: TribeName,
        /// In its one canonical form, if it is understood.
        text: String,
        policy: Result<Policy, ParsePolicyError>,
        enabled: bool,
    },
    Placement {
        tribe: TribeName,
        node: NodeName,
        placement: Placement,
    },
    Item {
        tribe: Option<TribeName>,
        kind: ItemKind,
        name: ItemName,
        running: bool,
        document: Vec<u8>,
    },
}

/// What is there of it.
enum Found {
    Missing,
    Same,
    /// Another, of which this is said.
    Other(String),
}

impl Found {
    fn other(is_same: bool, what: impl FnOnce() -> String) -> Self {
        if is_same { Self::Same } else { Self::Other(what()) }
    }
}

/// What came of saying it.
#[derive(PartialEq, Eq)]
#[must_use]
enum Done {
    Written,
    /// Someone created one of that name a moment before.
    Exists,
}

impl Said {
    fn read(entry: BackupEntry) -> Result<Self, ApiError> {
        Ok(match entry {
            BackupEntry::Tribe { name, description } => {
                Self::Tribe { name: TribeName::parse(&name)?, description }
            }
            BackupEntry::Policy { name, tribe, text, enabled } => {
                let policy = Policy::parse(&text);
                let text = policy.as_ref().map_or(text, Policy::to_string);
                let (name, tribe) = (PolicyName::parse(&name)?, TribeName::parse(&tribe)?);
                Self::Policy { name, tribe, text, policy, enabled }
            }
            BackupEntry::Placement { tribe, node, placement } => {
                let (tribe, node) = (TribeName::parse(&tribe)?, NodeName::parse(&node)?);
                Self::Placement { tribe, node, placement }
            }
            BackupEntry::Item { tribe, kind, name, running, document } => Self::Item {
                tribe: tribe.as_deref().map(TribeName::parse).transpose()?,
                kind: ItemKind::parse(&kind)?,
                name: ItemName::parse(&name)?,
                running,
                document: bytes(document)?,
            },
        })
    }

    fn find(&self, view: &View) -> Found {
        self.compare(view).unwrap_or(Found::Missing)
    }

    fn compare(&self, view: &View) -> Option<Found> {
        match self {
            Self::Tribe { name, description } => {
                let is = view.tribes.get(name)?;
                let what = || format!("its description is `{}`", is.description);
                Some(Found::other(is.description == *description, what))
            }
            Self::Policy { name, tribe, text, enabled, .. } => {
                let is = view.policies.get(name)?;
                let switched = is.enabled != *enabled;
                let state = if is.enabled { "enabled" } else { "disabled" };
                if is.tribe == *tribe && is.text == *text {
                    return Some(Found::other(!switched, || format!("it is {state}")));
                }
                let state = if switched { format!(", {state}") } else { String::new() };
                Some(Found::Other(format!("it is `{}` for tribe `{}`{state}", is.text, is.tribe)))
            }
            Self::Placement { tribe, node, placement } => {
                let is = convert::placement(*view.tribes.get(tribe)?.placements.get(node)?);
                Some(Found::other(is == *placement, || format!("it is placed `{}`", is.as_str())))
            }
            Self::Item { tribe, kind, name, running, document } => {
                let items = match tribe {
                    None => &view.local_items,
                    Some(tribe) => &view.tribes.get(tribe)?.items,
                };
                let is = items.get(&(kind.clone(), name.clone()))?;
                if is.document[..] != document[..] {
                    return Some(Found::Other("it has another document".to_owned()));
                }
                let what = if is.running { "it is started" } else { "it is stopped" };
                Some(Found::other(is.running == *running, || what.to_owned()))
            }
        }
    }

    /// What is to be done about it.
    fn outcome(found: &Found, replace: bool) -> Outcome {
        match found {
            Found::Missing => Outcome::Created,
            Found::Same => Outcome::Same,
            Found::Other(_) if replace => Outcome::Replaced,
            Found::Other(_) => Outcome::Differs,
        }
    }

    /// Refuses what is sure to be refused, and what needs force.
    fn check(&self, view: &View, guarded: bool) -> Result<(), ApiError> {
        let Self::Policy { name, tribe, policy, enabled, .. } = self else { return Ok(()) };
        let policy = policy.as_ref().map_err(ApiError::from)?;
        if !guarded {
            return Ok(());
        }
        let options = PolicyOptions { replace: true, enabled: Some(*enabled) };
        guard::putting(view, name.as_str(), policy, tribe.as_str(), options)
    }

    /// Is it of a tribe that is not there? That saying it would be refused for.
    fn check_tribe(&self, view: &View) -> Result<(), CommandError> {
        match self {
            Self::Placement { tribe, .. } | Self::Item { tribe: Some(tribe), .. } => {
                view.known_tribe(tribe.as_str()).map(drop)
            }
            // A policy brings its tribe along.
            Self::Tribe { .. } | Self::Policy { .. } | Self::Item { tribe: None, .. } => Ok(()),
        }
    }

    /// Says it, as if someone had typed it.
    async fn say(&self, node: &Node, replace: bool) -> Result<Done, CommandError> {
        let done = match self {
            Self::Tribe { name, description } if replace => {
                node.describe_tribe(name.as_str(), description).await.map(drop)
            }
            Self::Tribe { name, description } => {
                node.create_tribe(name.as_str(), description).await.map(drop)
            }
            Self::Policy { name, tribe, text, enabled, .. } => {
                let options = PolicyOptions { replace, enabled: Some(*enabled) };
                node.put_policy(name.as_str(), text, tribe.as_str(), options).await.map(drop)
            }
            Self::Placement { tribe, node: placed, placement } => {
                let (tribe, placed) = (tribe.as_str(), placed.as_str());
                tribes::place_in(node, tribe, placed, *placement).await.map(drop)
            }
            Self::Item { tribe, kind, name, running, document } => {
                let options = PutOptions { replace, running: Some(*running) };
                let (kind, name, document) = (kind.as_str(), name.as_str(), document.clone());
                match tribe {
                    None => node.put_local_item(kind, name, document, options).await,
                    Some(tribe) => {
                        node.put_item(tribe.as_str(), kind, name, document, options).await.map(drop)
                    }
                }
            }
        };
        match done {
            Ok(()) => Ok(Done::Written),
            Err(
                CommandError::TribeExists(_)
                | CommandError::PolicyExists { .. }
                | CommandError::ItemExists { .. },
            ) => Ok(Done::Exists),
            Err(error) => Err(error),
        }
    }

    /// The files of it, if it is a plugin.
    fn files(&self) -> Vec<PluginFile> {
        match self {
            Self::Item { kind, document, .. } if kind.as_str() == PLUGIN => {
                PluginDocument::parse(document).unwrap_or_default().files
            }
            _ => Vec::new(),
        }
    }

    /// What to add to a command that is about its tribe.
    fn of_tribe(&self) -> String {
        match self {
            Self::Item { tribe: Some(tribe), .. } => format!(" --tribe {tribe}"),
            _ => String::new(),
        }
    }
}

impl App {
    /// What of it no living node holds, and what to type.
    fn lacking(&self, said: &Said, view: &View) -> Option<String> {
        let mut files = said.files();
        files.retain(|file| !self.is_held(view, file));
        let load = |PluginFile { file_name, platform, .. }: &PluginFile| {
            format!("`snapctl plugin load {file_name}{}` ({platform})", said.of_tribe())
        };
        let loads: Vec<_> = files.iter().map(load).collect();
        let what = "no living node holds its file, load it again: ";
        (!loads.is_empty()).then(|| format!("{what}{}", loads.join(", ")))
    }

    fn is_held(&self, view: &View, file: &PluginFile) -> bool {
        let mut alive = view.members.values().filter(|member| member.state == MemberState::Alive);
        self.0.reconciler.holds(file.blob)
            || alive.any(|member| member.offers.blobs.contains(&file.blob))
    }
}
