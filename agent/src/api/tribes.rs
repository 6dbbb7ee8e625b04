//! Tribes, who is in them, and why.

use std::collections::BTreeMap;

use axum::{Json, extract::State};
use futures_util::future::join_all;
use tribe::{CommandError, MemberState, Node, NodeId, NodeName, View, Written};
use tribe_api::{
    Changed, CreateTribe, DescribeTribe, ErrorReply, ForceQuery, ItemStatus, Place, PlacedNode,
    Placement, StatusMember, Tribe, TribeMember, TribeStatus, TribeSummary, WaitQuery,
};

use super::{
    App, convert,
    error::ApiError,
    extract::{Body, Path, Query, Wait},
    guard,
};
use crate::reconcile::{self, Kind};

/// All tribes.
#[utoipa::path(
    get,
    path = "/v3/tribes",
    responses((status = 200, body = [TribeSummary]), (status = "default", body = ErrorReply))
)]
pub(super) async fn list(State(app): State<App>) -> Result<Json<Vec<TribeSummary>>, ApiError> {
    let view = app.node()?.view();
    Ok(Json(view.tribes.values().map(summary).collect()))
}

fn summary(tribe: &tribe::Tribe) -> TribeSummary {
    let alive = tribe.members.iter().filter(|member| member.state == MemberState::Alive);
    TribeSummary {
        name: tribe.name.to_string(),
        description: tribe.description.clone(),
        members: tribe.members.len(),
        alive: alive.count(),
        policies: tribe.policies.len(),
    }
}

/// Create a tribe.
#[utoipa::path(
    post,
    path = "/v3/tribes",
    params(WaitQuery),
    request_body = CreateTribe,
    responses((status = 200, body = Changed), (status = "default", body = ErrorReply))
)]
pub(super) async fn create(
    State(app): State<App>,
    Wait(wait): Wait,
    Body(tribe): Body<CreateTribe>,
) -> Result<Json<Changed>, ApiError> {
    let node = app.node()?;
    let written = node.create_tribe(&tribe.name, &tribe.description).await?;
    let missing = convert::missing(node, &written, wait).await?;
    Ok(Json(Changed { missing, note: None }))
}

/// One tribe with its members and policies.
#[utoipa::path(
    get,
    path = "/v3/tribes/{tribe}",
    params(("tribe" = String, Path, description = "Name of the tribe")),
    responses((status = 200, body = Tribe), (status = "default", body = ErrorReply))
)]
pub(super) async fn one(
    State(app): State<App>,
    Path(name): Path<String>,
) -> Result<Json<Tribe>, ApiError> {
    let view = app.node()?.view();
    Ok(Json(in_full(&view, view.known_tribe(&name)?)))
}

fn in_full(view: &View, tribe: &tribe::Tribe) -> Tribe {
    let members = tribe.members.iter().map(|member| TribeMember {
        name: member.name.to_string(),
        id: member.id.to_string(),
        state: convert::state(member.state),
        reasons: member.reasons.iter().map(convert::reason).collect(),
    });
    let placements = tribe.placements.iter().map(|(node, placement)| PlacedNode {
        node: node.to_string(),
        placement: convert::placement(*placement),
    });
    let policies = tribe.policies.iter().filter_map(|name| view.policies.get(name));
    Tribe {
        name: tribe.name.to_string(),
        description: tribe.description.clone(),
        members: members.collect(),
        placements: placements.collect(),
        policies: policies.map(convert::policy).collect(),
    }
}

/// Say anew what a tribe is for.
#[utoipa::path(
    patch,
    path = "/v3/tribes/{tribe}",
    params(("tribe" = String, Path, description = "Name of the tribe"), WaitQuery),
    request_body = DescribeTribe,
    responses((status = 200, body = Changed), (status = "default", body = ErrorReply))
)]
pub(super) async fn describe(
    State(app): State<App>,
    Path(name): Path<String>,
    Wait(wait): Wait,
    Body(DescribeTribe { description }): Body<DescribeTribe>,
) -> Result<Json<Changed>, ApiError> {
    let node = app.node()?;
    let written = node.describe_tribe(&name, &description).await?;
    let missing = convert::missing(node, &written, wait).await?;
    Ok(Json(Changed { missing, note: None }))
}

/// Delete a tribe with its placements, policies, plugins and tasks: its members unload and stop
/// what it alone asked for.
///
/// Refused with 409 if it moves many members out, and with 503 and `not-synced` by a node that
/// does not meet its cluster in time, unless it is forced.
#[utoipa::path(
    delete,
    path = "/v3/tribes/{tribe}",
    params(("tribe" = String, Path, description = "Name of the tribe"), WaitQuery, ForceQuery),
    responses((status = 200, body = Changed), (status = "default", body = ErrorReply))
)]
pub(super) async fn delete(
    State(app): State<App>,
    Path(name): Path<String>,
    Wait(wait): Wait,
    Query(ForceQuery { force }): Query<ForceQuery>,
) -> Result<Json<Changed>, ApiError> {
    let node = app.node()?;
    if !force {
        let view = app.informed_view(false).await?;
        guard::deleting(&view, &name)?;
    }
    let written = node.delete_tribe(&name).await?;
    let missing = convert::missing(node, &written, wait).await?;
    Ok(Json(Changed { missing, note: None }))
}

/// Place a node by hand, or give it back to the policies. It need not exist yet.
#[utoipa::path(
    put,
    path = "/v3/tribes/{tribe}/placements/{node}",
    params(
        ("tribe" = String, Path, description = "Name of the tribe"),
        ("node" = String, Path, description = "Name of the node"),
        WaitQuery
    ),
    request_body = Place,
    responses((status = 200, body = Changed), (status = "default", body = ErrorReply))
)]
pub(super) async fn place(
    State(app): State<App>,
    Path((tribe, name)): Path<(String, String)>,
    Wait(wait): Wait,
    Body(Place { placement }): Body<Place>,
) -> Result<Json<Changed>, ApiError> {
    let node = app.node()?;
    let written = place_in(node, &tribe, &name, placement).await?;
    let missing = convert::missing(node, &written, wait).await?;
    // A host may be placed before it exists; who mistyped its name wants to know.
    let note = node.view().known_member(&name).err().map(|error| format!("{error} (yet)"));
    Ok(Json(Changed { missing, note }))
}

/// Places a node in a tribe as it was asked.
pub(super) async fn place_in(
    node: &Node,
    tribe: &str,
    name: &str,
    placement: Placement,
) -> Result<Written, CommandError> {
    match placement {
        Placement::Joined => node.join_tribe(tribe, Some(name)).await,
        Placement::Left => node.leave_tribe(tribe, Some(name)).await,
        Placement::Automatic => node.auto_tribe(tribe, Some(name)).await,
    }
}

/// Who is in a tribe, whether all agree, and how its plugins and tasks stand on each.
#[utoipa::path(
    get,
    path = "/v3/tribes/{tribe}/status",
    params(("tribe" = String, Path, description = "Name of the tribe")),
    responses((status = 200, body = TribeStatus), (status = "default", body = ErrorReply))
)]
pub(super) async fn status(
    State(app): State<App>,
    Path(name): Path<String>,
) -> Result<Json<TribeStatus>, ApiError> {
    let node = app.node()?;
    let view = node.view();
    let tribe = view.known_tribe(&name)?;
    let mut told = app.ask_members(tribe).await;
    let unsynced = app.unsynced(&view);
    let members = tribe.members.iter().map(|member| {
        let unsynced = unsynced.as_deref().filter(|_| member.id == node.id());
        let other_agent = other_agent(&view, member.id);
        let (items, silent) = match told.remove(&member.name) {
            Some(Ok(items)) => (in_step(tribe, items, unsynced), None),
            Some(Err(reason)) => (Vec::new(), Some(reason)),
            None if other_agent.is_some() => (Vec::new(), None),
            None => (Vec::new(), Some("it is not there".to_owned())),
        };
        StatusMember {
            name: member.name.to_string(),
            state: convert::state(member.state),
            reasons: member.reasons.iter().map(convert::reason).collect(),
            agrees: view.members.get(&member.id).is_some_and(|member| member.agrees),
            items,
            silent,
            other_agent,
        }
    });
    let members: Vec<StatusMember> = members.collect();
    let alive = members.iter().filter(|member| member.state == tribe_api::MemberState::Alive);
    let applied = alive.fold(true, |all, member| {
        all && member.silent.is_none() && member.items.iter().all(|item| item.applied)
    });
    let holds = view.acting.get(&tribe.name).is_some_and(|acting| acting.leaves_in.is_some());
    Ok(Json(TribeStatus {
        tribe: tribe.name.to_string(),
        rev: view.rev,
        synced: view.synced,
        unsynced,
        members,
        holding: if holds { vec![node.name().to_string()] } else { Vec::new() },
        applied,
    }))
}

/// What a member told, against what the tribe asks for: it may not know of an item yet, or know an older
/// generation of it.
fn in_step(tribe: &tribe::Tribe, told: Vec<ItemStatus>, unsynced: Option<&str>) -> Vec<ItemStatus> {
    let mut told: BTreeMap<_, _> = told
        .into_iter()
        .map(|status| ((status.kind.clone(), status.name.clone()), status))
        .collect();
    let wanted = tribe.items.values().filter(|item| Kind::of(&item.kind).is_some());
    wanted
        .map(|item| {
            let key = (item.kind.to_string(), item.name.to_string());
            let mut status = told.remove(&key).unwrap_or_else(|| ItemStatus {
                kind: item.kind.to_string(),
                name: item.name.to_string(),
                generation: 0,
                desired: if item.running { "running" } else { "stopped" }.to_owned(),
                state: "unknown".to_owned(),
                applied: false,
                detail: None,
                since_ms: 0,
                plugin: None,
            });
            if status.generation < item.generation {
                status.applied = false;
                status.detail.get_or_insert_with(|| behind(unsynced).to_owned());
            }
            status
        })
        .collect()
}

/// Why an item is behind. What to do about a node that is not synced is told once, and not with each.
fn behind(unsynced: Option<&str>) -> &str {
    let why = unsynced.and_then(|why| why.lines().next());
    why.unwrap_or("it does not know the last change yet")
}

/// What a node runs, if that is not snapd.
fn other_agent(view: &View, id: NodeId) -> Option<String> {
    let member = view.members.get(&id)?;
    let is_snapd = member.version.starts_with("snapd/") || reconcile::is_asked(&member.offers);
    (!is_snapd).then(|| member.version.clone())
}

impl App {
    /// Has the live members of a tribe that run snapd say how its items stand there, by name.
    pub(super) async fn ask_members(
        &self,
        tribe: &tribe::Tribe,
    ) -> BTreeMap<NodeName, Result<Vec<ItemStatus>, String>> {
        let Some(node) = &self.0.node else { return BTreeMap::new() };
        let view = node.view();
        let asked = tribe.members.iter().filter(|member| {
            member.state == MemberState::Alive && other_agent(&view, member.id).is_none()
        });
        let asked = asked.map(|member| async {
            let told = if member.id == node.id() {
                Ok(reconcile::of_tribe(&self.0.reconciler.table(), &tribe.name))
            } else {
                reconcile::ask(node, &member.name, &tribe.name).await
            };
            (member.name.clone(), told)
        });
        join_all(asked).await.into_iter().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_item_that_is_behind_says_why_in_one_line() {
        let check = |unsynced: Option<&str>, expected| assert_eq!(behind(unsynced), expected);
        check(None, "it does not know the last change yet");
        check(Some("it has met nobody; seeds: i2"), "it has met nobody; seeds: i2");
        check(Some("it has met nobody\nits name is taken: give another"), "it has met nobody");
    }
}
