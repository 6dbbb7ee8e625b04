use std::collections::BTreeSet;

use utoipa::OpenApi;

use super::routes::Document;

/// The contract. One line a route.
const ROUTES: &str = "
    GET /metrics
    GET /v3/version
    GET /v3/node
    GET /v3/members
    GET /v3/members/{node}
    DELETE /v3/members/{node}
    GET /v3/keys
    POST /v3/keys
    POST /v3/keys/rotate
    POST /v3/keys/{key}/use
    POST /v3/keys/{key}/remove
    GET /v3/members/{node}/facts
    PATCH /v3/members/{node}/facts
    GET /v3/tribes
    POST /v3/tribes
    GET /v3/tribes/{tribe}
    PATCH /v3/tribes/{tribe}
    DELETE /v3/tribes/{tribe}
    PUT /v3/tribes/{tribe}/placements/{node}
    GET /v3/tribes/{tribe}/status
    GET /v3/policies
    POST /v3/policies
    GET /v3/policies/{policy}
    PATCH /v3/policies/{policy}
    DELETE /v3/policies/{policy}
    POST /v3/policies/test
    GET /v3/policies/{policy}/explain/{node}
    GET /v3/plugins
    POST /v3/plugins
    POST /v3/plugins/named
    GET /v3/plugins/{plugin}
    DELETE /v3/plugins/{plugin}
    GET /v3/tribes/{tribe}/plugins
    GET /v3/tribes/{tribe}/plugins/{plugin}
    DELETE /v3/tribes/{tribe}/plugins/{plugin}
    GET /v3/offers
    GET /v3/tasks
    POST /v3/tasks
    GET /v3/tasks/{task}
    DELETE /v3/tasks/{task}
    POST /v3/tasks/{task}/start
    POST /v3/tasks/{task}/stop
    POST /v3/tasks/{task}/enable
    GET /v3/tasks/{task}/export
    GET /v3/tasks/{task}/watch
    GET /v3/tribes/{tribe}/tasks
    GET /v3/metrics
    GET /v3/metrics/show
    POST /v3/metrics/collect
    GET /v3/backup
    POST /v3/restore
    GET /v3/events
    GET /v3/counters
    GET /v3/openapi.json
";

#[test]
fn the_document_has_the_routes_of_the_contract() {
    let document = serde_json::to_value(Document::openapi()).unwrap();
    let mut found = BTreeSet::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for method in item.as_object().unwrap().keys() {
            found.insert(format!("{} {path}", method.to_uppercase()));
        }
    }
    let expected: BTreeSet<_> =
        ROUTES.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned).collect();
    assert_eq!(found, expected);
}

#[test]
fn every_schema_the_document_refers_to_is_in_it() {
    let document = serde_json::to_string(&Document::openapi()).unwrap();
    let json: serde_json::Value = serde_json::from_str(&document).unwrap();
    let schemas = json["components"]["schemas"].as_object().unwrap();
    for reference in document.split("#/components/schemas/").skip(1) {
        let name = reference.split('"').next().unwrap();
        assert!(schemas.contains_key(name), "{name}");
    }
}

#[test]
fn every_operation_has_a_name_of_its_own() {
    let document = serde_json::to_value(Document::openapi()).unwrap();
    let operations = document["paths"].as_object().unwrap().values();
    let operations = operations.flat_map(|item| item.as_object().unwrap().values());
    let mut names = BTreeSet::new();
    for operation in operations {
        let name = operation["operationId"].as_str().unwrap();
        assert!(names.insert(name), "{name}");
        assert!(name.starts_with(operation["tags"][0].as_str().unwrap()), "{name}");
    }
    assert!(names.contains("members_list"), "{names:?}");
    assert!(names.contains("tasks_create"), "{names:?}");
}
