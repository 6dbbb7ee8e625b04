//! Policies: which nodes a tribe takes by itself.

use axum::{Json, extract::State, http::StatusCode};
use tribe::{CommandError, PolicyOptions, Verdict};
use tribe_api::{
    Changed, CreatePolicy, ErrorReply, Explanation, ForceQuery, Policy, PolicyChange,
    PolicyCreated, PolicyQuery, PolicyTest, TestPolicy, WaitQuery,
};

use super::{
    App, convert,
    error::ApiError,
    extract::{Body, Path, Query, Wait},
    guard, trial,
};

/// All policies, or those of one tribe.
#[utoipa::path(
    get,
    path = "/v3/policies",
    params(PolicyQuery),
    responses((status = 200, body = [Policy]), (status = "default", body = ErrorReply))
)]
pub(super) async fn list(
    State(app): State<App>,
    Query(query): Query<PolicyQuery>,
) -> Result<Json<Vec<Policy>>, ApiError> {
    let view = app.node()?.view();
    let tribe = query.tribe.map(|name| view.known_tribe(&name)).transpose()?;
    let wanted = |policy: &&tribe::PolicyInfo| tribe.is_none_or(|tribe| tribe.name == policy.tribe);
    Ok(Json(view.policies.values().filter(wanted).map(convert::policy).collect()))
}

/// Create or replace a policy, and create its tribe if there is none of that name.
///
/// Whether it is enabled is written in one step with its text: no node enters for a moment by one
/// that should be off.
///
/// Refused with 409 if it replaces one, or switches it off, and would move many members out of a
/// tribe, and with 503 and `not-synced` by a node that does not meet its cluster in time, unless it
/// is forced.
#[utoipa::path(
    post,
    path = "/v3/policies",
    params(WaitQuery),
    request_body = CreatePolicy,
    responses((status = 200, body = PolicyCreated), (status = "default", body = ErrorReply))
)]
pub(super) async fn create(
    State(app): State<App>,
    Wait(wait): Wait,
    Body(policy): Body<CreatePolicy>,
) -> Result<Json<PolicyCreated>, ApiError> {
    let node = app.node()?;
    let CreatePolicy { name, text, tribe, replace, enabled, strict, force } = policy;
    let parsed = tribe::Policy::parse(&text).map_err(CommandError::from)?;
    let options = PolicyOptions { replace, enabled };
    let guarded = (replace || enabled == Some(false)) && !force;
    let view = match strict || guarded {
        true => app.informed_view(force).await?,
        false => node.view(),
    };
    if strict {
        guard::strict(&view, &parsed)?;
    }
    if guarded {
        guard::putting(&view, &name, &parsed, &tribe, options)?;
    }
    let created = node.put_policy(&name, &text, &tribe, options).await?;
    let tribe_near = match view.known_tribe(&tribe) {
        Err(CommandError::UnknownTribe { near, .. }) => near,
        _ => None,
    };
    let enabled = node.view().known_policy(&name).ok().map(|policy| policy.enabled);
    Ok(Json(PolicyCreated {
        enabled,
        missing: convert::missing(node, &created.written, wait).await?,
        tribe_created: created.tribe_created,
        tribe_near: tribe_near.filter(|_| created.tribe_created),
        warnings: created.warnings.iter().map(convert::warning).collect(),
    }))
}

/// One policy.
#[utoipa::path(
    get,
    path = "/v3/policies/{policy}",
    params(("policy" = String, Path, description = "Name of the policy")),
    responses((status = 200, body = Policy), (status = "default", body = ErrorReply))
)]
pub(super) async fn one(
    State(app): State<App>,
    Path(name): Path<String>,
) -> Result<Json<Policy>, ApiError> {
    let view = app.node()?.view();
    Ok(Json(convert::policy(view.known_policy(&name)?)))
}

/// Switch a policy on or off.
///
/// Refused with 409 if that would move many members out of its tribe, and with 503 and
/// `not-synced` by a node that does not meet its cluster in time, unless it is forced.
#[utoipa::path(
    patch,
    path = "/v3/policies/{policy}",
    params(("policy" = String, Path, description = "Name of the policy"), WaitQuery),
    request_body = PolicyChange,
    responses((status = 200, body = Changed), (status = "default", body = ErrorReply))
)]
pub(super) async fn change(
    State(app): State<App>,
    Path(name): Path<String>,
    Wait(wait): Wait,
    Body(PolicyChange { enabled, force }): Body<PolicyChange>,
) -> Result<Json<Changed>, ApiError> {
    let node = app.node()?;
    if !enabled && !force {
        let view = app.informed_view(false).await?;
        guard::removing(&view, &name, "switching off")?;
    }
    let written = node.enable_policy(&name, enabled).await?;
    let missing = convert::missing(node, &written, wait).await?;
    Ok(Json(Changed { missing, note: None }))
}

/// Delete a policy.
///
/// Refused with 409 if that would move many members out of its tribe, and with 503 and
/// `not-synced` by a node that does not meet its cluster in time, unless it is forced.
#[utoipa::path(
    delete,
    path = "/v3/policies/{policy}",
    params(("policy" = String, Path, description = "Name of the policy"), WaitQuery, ForceQuery),
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
        guard::removing(&view, &name, "deleting")?;
    }
    let written = node.delete_policy(&name).await?;
    let missing = convert::missing(node, &written, wait).await?;
    Ok(Json(Changed { missing, note: None }))
}

/// Try a policy on the nodes there are, without writing anything.
#[utoipa::path(
    post,
    path = "/v3/policies/test",
    request_body = TestPolicy,
    responses((status = 200, body = PolicyTest), (status = "default", body = ErrorReply))
)]
pub(super) async fn test(
    State(app): State<App>,
    Body(test): Body<TestPolicy>,
) -> Result<Json<PolicyTest>, ApiError> {
    Ok(Json(trial::run(&app.node()?.view(), &test)?))
}

/// Why a policy is true for a node, or not.
#[utoipa::path(
    get,
    path = "/v3/policies/{policy}/explain/{node}",
    params(
        ("policy" = String, Path, description = "Name of the policy"),
        ("node" = String, Path, description = "Name of the node")
    ),
    responses((status = 200, body = Explanation), (status = "default", body = ErrorReply))
)]
pub(super) async fn explain(
    State(app): State<App>,
    Path((policy, node)): Path<(String, String)>,
) -> Result<Json<Explanation>, ApiError> {
    let view = app.node()?.view();
    let info = view.known_policy(&policy)?;
    let member = view.known_member(&node)?;
    let policy = info.policy.as_ref().ok_or_else(|| not_understood(&policy))?;
    let explanation = policy.explain(&member.facts);
    Ok(Json(Explanation {
        policy: info.name.to_string(),
        tribe: info.tribe.to_string(),
        node: member.name.to_string(),
        satisfied: matches!(policy.evaluate(&member.facts), Verdict::True),
        text: explanation.to_string(),
        tree: serde_json::to_value(&explanation)
            .map_err(|error| ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", error))?,
    }))
}

fn not_understood(policy: &str) -> ApiError {
    let message = format!("this node does not understand policy `{policy}`");
    ApiError::new(StatusCode::CONFLICT, "not-understood", message)
        .help("it was written by a newer snapd: ask that one, or upgrade this one")
}
