//! The nodes of the cluster and their facts.

use std::collections::BTreeMap;

use axum::{Json, extract::State};
use tribe::{CommandError, FactError, FactName, Value};
use tribe_api::{Changed, ErrorReply, FactChange, FactEntry, Member, WaitQuery};

use super::{
    App, convert,
    error::ApiError,
    extract::{Body, Path, Wait},
};

/// All known nodes, dead ones too.
#[utoipa::path(
    get,
    path = "/v3/members",
    responses((status = 200, body = [Member]), (status = "default", body = ErrorReply))
)]
pub(super) async fn list(State(app): State<App>) -> Result<Json<Vec<Member>>, ApiError> {
    let view = app.node()?.view();
    let mut members: Vec<_> = view.members.values().map(convert::member).collect();
    members.sort_by(|a, b| (&a.name, &a.id).cmp(&(&b.name, &b.id)));
    Ok(Json(members))
}

/// One node.
#[utoipa::path(
    get,
    path = "/v3/members/{node}",
    params(("node" = String, Path, description = "Name of the node")),
    responses((status = 200, body = Member), (status = "default", body = ErrorReply))
)]
pub(super) async fn one(
    State(app): State<App>,
    Path(name): Path<String>,
) -> Result<Json<Member>, ApiError> {
    let view = app.node()?.view();
    Ok(Json(convert::member(view.known_member(&name)?)))
}

/// Forget a node that is down or has left: all drop what it said. Where it was placed by hand stays.
#[utoipa::path(
    delete,
    path = "/v3/members/{node}",
    params(("node" = String, Path, description = "Name of the node"), WaitQuery),
    responses((status = 200, body = Changed), (status = "default", body = ErrorReply))
)]
pub(super) async fn forget(
    State(app): State<App>,
    Path(name): Path<String>,
    Wait(wait): Wait,
) -> Result<Json<Changed>, ApiError> {
    let node = app.node()?;
    let written = node.forget_member(&name).await?;
    let missing = convert::missing(node, &written, wait).await?;
    Ok(Json(Changed { missing, note: None }))
}

/// The facts of a node.
#[utoipa::path(
    get,
    path = "/v3/members/{node}/facts",
    params(("node" = String, Path, description = "Name of the node")),
    responses((status = 200, body = [FactEntry]), (status = "default", body = ErrorReply))
)]
pub(super) async fn facts(
    State(app): State<App>,
    Path(name): Path<String>,
) -> Result<Json<Vec<FactEntry>>, ApiError> {
    let view = app.node()?.view();
    let facts = &view.known_member(&name)?.facts;
    let entries = facts.iter().map(|(name, fact)| FactEntry {
        name: name.to_string(),
        value: fact.value.to_json(),
        value_type: fact.value.type_name().to_owned(),
        source: fact.source.as_str().to_owned(),
    });
    Ok(Json(entries.collect()))
}

/// Set and unset run-time facts of a node.
#[utoipa::path(
    patch,
    path = "/v3/members/{node}/facts",
    params(("node" = String, Path, description = "Name of the node"), WaitQuery),
    request_body = FactChange,
    responses((status = 200, body = Changed), (status = "default", body = ErrorReply))
)]
pub(super) async fn change_facts(
    State(app): State<App>,
    Path(name): Path<String>,
    Wait(wait): Wait,
    Body(change): Body<FactChange>,
) -> Result<Json<Changed>, ApiError> {
    let node = app.node()?;
    let set = values(&change.set).map_err(CommandError::from)?;
    let written = node.set_facts(Some(&name), set, change.unset).await?;
    let missing = convert::missing(node, &written, wait).await?;
    Ok(Json(Changed { missing, note: None }))
}

/// Text by the rules of the command line, the rest as JSON has it.
fn values(set: &BTreeMap<String, serde_json::Value>) -> Result<BTreeMap<String, Value>, FactError> {
    let value = |name: &str, json: &serde_json::Value| match json {
        serde_json::Value::String(text) => Ok(Value::from_text(text)),
        json => Value::from_json(json).ok_or_else(|| match FactName::parse(name) {
            Ok(name) if has_null(json) => FactError::Null(name),
            Ok(name) => FactError::Number(name),
            Err(error) => error.into(),
        }),
    };
    set.iter().map(|(name, json)| Ok((name.clone(), value(name, json)?))).collect()
}

fn has_null(json: &serde_json::Value) -> bool {
    match json {
        serde_json::Value::Null => true,
        serde_json::Value::Array(list) => list.iter().any(has_null),
        serde_json::Value::Object(map) => map.values().any(has_null),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(json: serde_json::Value, expected: &str) {
        let set = BTreeMap::from([("f".to_owned(), json)]);
        let found = match values(&set) {
            Ok(values) => format!("{} {}", values["f"].type_name(), values["f"]),
            Err(error) => error.to_string(),
        };
        assert_eq!(found, expected);
    }

    #[test]
    fn text_is_read_as_on_a_command_line() {
        check(json!("True"), "bool True");
        check(json!("7"), "int 7");
        check(json!("007"), "text 007");
        check(json!(7), "int 7");
        check(json!([1, "7"]), r#"list [1,"7"]"#);
    }

    #[test]
    fn what_no_fact_can_hold_says_why() {
        check(json!(null), "fact `f` is null, leave it out or unset it");
        check(json!([1, null]), "fact `f` is null, leave it out or unset it");
        check(json!(u64::MAX), "fact `f` is not a number between -2^63 and 2^63");
        check(json!([1e20]), "fact `f` is not a number between -2^63 and 2^63");
    }
}
