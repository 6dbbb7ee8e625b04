//! The control API of a real daemon that knows no other, over its socket.

use crate::support::Daemon;

/// One in tribe mode.
fn in_tribe_mode() -> Daemon {
    Daemon::start_with(tempfile::tempdir().unwrap(), |command| {
        command.args([
            "--tribe",
            "--tribe-plaintext",
            "--tribe-addr",
            "127.0.0.1",
            "--tribe-port",
            "0",
        ])
    })
}

#[test]
fn a_daemon_without_tribe_mode_says_what_it_is() {
    let daemon = Daemon::start();
    let version = daemon.get("/v3/version");
    assert_eq!((version.status, &version.body["api"]), (200, &3.into()));
    let node = daemon.get("/v3/node");
    let expected = serde_json::json!({"name": "i1", "tribe": false, "synced": false, "acting": []});
    assert_eq!((node.status, node.body), (200, expected));
    let counters = daemon.get("/v3/counters");
    assert_eq!((counters.status, counters.body), (200, serde_json::json!({})));
}

#[test]
fn every_documented_route_answers_and_no_other() {
    let daemon = Daemon::start();
    let document = daemon.get("/v3/openapi.json").body;
    let mut asked = 0;
    for (path, item) in document["paths"].as_object().unwrap() {
        let path = path.replace("{key}", "0a0b0c0d").replace(['{', '}'], "");
        for method in ["get", "put", "post", "patch", "delete"] {
            let Some(operation) = item.get(method) else {
                let reply = daemon.json(&method.to_uppercase(), &path, "");
                assert_eq!(reply.refusal(), (405, "wrong-method"), "{method} {path}");
                continue;
            };
            asked += 1;
            let schema = &operation["requestBody"]["content"]["application/json"]["schema"]["$ref"];
            let body = schema.as_str().map_or("", |name| example(name.rsplit('/').next().unwrap()));
            let reply = daemon.json(&method.to_uppercase(), &path, body);
            let own = ["/v3/plugins", "/v3/metrics", "/v3/tasks"];
            if own.iter().any(|start| path.starts_with(start)) {
                // Without a plugin some of them are refused, but not for want of a cluster or a route.
                let strange = [Some("tribe-off"), Some("no-route"), Some("wrong-method")];
                let code = reply.body["error"]["code"].as_str();
                assert!(code.is_none() || !strange.contains(&code), "{method} {path} {reply:?}");
                continue;
            }
            let always = [
                "/metrics",
                "/v3/version",
                "/v3/node",
                "/v3/backup",
                "/v3/counters",
                "/v3/openapi.json",
            ];
            if always.contains(&path.as_str()) {
                assert_eq!(reply.status, 200, "{method} {path}");
                continue;
            }
            assert_eq!(reply.refusal(), (503, "tribe-off"), "{method} {path} {reply:?}");
            assert_eq!(reply.message(), "tribe mode is off on this node");
            assert_eq!(reply.help(), "start snapd with --tribe and --tribe-key-file");
        }
    }
    assert_eq!(asked, 54);
}

#[test]
fn metrics_are_in_the_text_format_of_prometheus() {
    let daemon = in_tribe_mode();
    let reply = daemon.get("/metrics");
    assert_eq!(reply.status, 200);
    assert_eq!(reply.content_type, "text/plain; version=0.0.4; charset=utf-8");
    let mut kinds = std::collections::BTreeMap::new();
    let mut values = std::collections::BTreeMap::new();
    for line in reply.body.as_str().unwrap().lines() {
        if let Some(kind) = line.strip_prefix("# TYPE ") {
            let (name, kind) = kind.split_once(' ').unwrap();
            assert_eq!(kinds.insert(name.to_owned(), kind.to_owned()), None, "{line}");
        } else if !line.starts_with("# HELP ") {
            let (series, value) = line.rsplit_once(' ').unwrap();
            let name = series.split('{').next().unwrap();
            let counts = name.ends_with("_total");
            assert_eq!(kinds[name] == "counter", counts, "{line}");
            assert_eq!(values.insert(series.to_owned(), value.parse::<u64>().unwrap()), None);
        }
    }
    assert_eq!(values["tribe_members{state=\"alive\"}"], 1);
    assert_eq!(values["snapd_plugins"], 0);
    let counters = daemon.get("/v3/counters").body;
    for name in counters.as_object().unwrap().keys() {
        assert!(values.contains_key(name), "{name}");
    }
}

/// A body of this type that is good.
fn example(schema: &str) -> &'static str {
    match schema {
        "FactChange" => r#"{"set": {"storage_tier": "True"}}"#,
        "CreateTribe" => r#"{"name": "core"}"#,
        "DescribeTribe" => r#"{"description": "all"}"#,
        "Place" => r#"{"placement": "joined"}"#,
        "CreatePolicy" => r#"{"name": "p", "text": "{{a}} == 1", "tribe": "core"}"#,
        "PolicyChange" => r#"{"enabled": true}"#,
        "LoadNamed" => r#"{"name": "psutil"}"#,
        "CollectOnce" => r#"{"metrics": []}"#,
        "TestPolicy" => r#"{"text": "{{a}} == 1"}"#,
        "InstallKey" => r#"{"key": "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="}"#,
        "Restore" => r#"{"entry": {"what": "tribe", "name": "core", "description": ""}}"#,
        "ChangeKey" | "RotateKey" => "{}",
        other => panic!("no example of {other}"),
    }
}

#[test]
fn a_policy_is_off_from_the_start_if_it_is_said_with_its_text() {
    let daemon = in_tribe_mode();
    let check = |body: &str, enabled: bool, members: usize| {
        let reply = daemon.json("POST", "/v3/policies", body);
        assert_eq!(reply.status, 200, "{body} {reply:?}");
        assert_eq!(daemon.get("/v3/policies/p").body["enabled"], enabled, "{body}");
        let tribe = daemon.get("/v3/tribes/core").body;
        assert_eq!(tribe["members"].as_array().unwrap().len(), members, "{body}");
    };
    check(r#"{"name":"p","text":"true","tribe":"core","enabled":false}"#, false, 0);
    check(r#"{"name":"p","text":"true","tribe":"core"}"#, false, 0);
    check(r#"{"name":"p","text":"exists({{node_name}})","tribe":"core","replace":true}"#, false, 0);
    check(r#"{"name":"p","text":"exists({{node_name}})","tribe":"core","enabled":true}"#, true, 1);
    check(r#"{"name":"p","text":"true","tribe":"core","replace":true}"#, true, 1);
    let body = r#"{"name":"p","text":"true","tribe":"core","replace":true,"enabled":false}"#;
    check(body, false, 0);
}

#[test]
fn a_tribe_is_described_anew() {
    let daemon = in_tribe_mode();
    let description = || daemon.get("/v3/tribes/core").body["description"].clone();
    assert_eq!(daemon.json("POST", "/v3/tribes", r#"{"name":"core"}"#).status, 200);
    for text in ["all", "some", ""] {
        let body = format!(r#"{{"description":"{text}"}}"#);
        assert_eq!(daemon.json("PATCH", "/v3/tribes/core", &body).status, 200);
        assert_eq!(description(), text);
    }
    let unknown = daemon.json("PATCH", "/v3/tribes/corr", r#"{"description":"all"}"#);
    assert_eq!(unknown.refusal(), (404, "unknown-tribe"));
}

#[test]
fn what_is_not_there_is_refused_in_json() {
    let daemon = Daemon::start();
    let nothing = daemon.get("/v3/nowhere");
    assert_eq!(nothing.refusal(), (404, "no-route"));
    assert_eq!(nothing.message(), "there is nothing at `/v3/nowhere`");
    let wrong = daemon.json("PUT", "/v3/tribes", "{}");
    assert_eq!(wrong.refusal(), (405, "wrong-method"));
    assert_eq!(wrong.message(), "`/v3/tribes` does not take PUT");
    assert_eq!(daemon.get("/v3/members/%FF").refusal(), (400, "bad-path"));
}

#[test]
fn a_bad_body_is_refused_and_says_why() {
    let daemon = Daemon::start();
    let check = |method: &str, path: &str, body: &str, code: &str, message: &str| {
        let reply = daemon.json(method, path, body);
        assert_eq!(reply.refusal(), (400, code), "{body}");
        assert_eq!(reply.message(), message);
        reply
    };
    check(
        "POST",
        "/v3/tribes",
        "{",
        "bad-json",
        "the body is not JSON: EOF while parsing an object at line 1 column 1",
    );
    check("POST", "/v3/tribes", "{}", "bad-body", "missing field `name`");
    check(
        "POST",
        "/v3/tribes",
        r#"{"name": 7}"#,
        "bad-body",
        "`name`: invalid type: integer `7`, expected a string",
    );
    check(
        "PUT",
        "/v3/tribes/core/placements/i1",
        r#"{"placement": "in"}"#,
        "bad-body",
        "`placement`: unknown variant `in`, expected one of `joined`, `left`, `automatic`",
    );
    let slip = check(
        "POST",
        "/v3/tribes",
        r#"{"name": "core", "descripton": ""}"#,
        "bad-body",
        "unknown field `descripton`",
    );
    assert_eq!(slip.help(), "did you mean `description`?");
    let other = check("POST", "/v3/tribes", r#"{"x": 1}"#, "bad-body", "unknown field `x`");
    assert_eq!(other.help(), "fields are description, name");
}

#[test]
fn a_body_that_is_not_json_or_too_large_is_refused() {
    let daemon = Daemon::start();
    let form = daemon.send("POST", "/v3/tribes", "content-type: text/plain\r\n", "{}");
    assert_eq!(form.refusal(), (415, "not-json"));
    let large = format!(r#"{{"name": "{}"}}"#, "x".repeat(1024 * 1024));
    assert_eq!(daemon.json("POST", "/v3/tribes", &large).refusal(), (413, "too-large"));
}

#[test]
fn a_bad_wait_is_refused() {
    let daemon = Daemon::start();
    for wait in ["soon", "-1", "601", "NaN", "inf"] {
        let reply = daemon.json("DELETE", &format!("/v3/tribes/core?wait={wait}"), "");
        assert_eq!(reply.refusal(), (400, "bad-query"), "{wait}");
    }
    for wait in ["0", "0.5", "600"] {
        let reply = daemon.json("DELETE", &format!("/v3/tribes/core?wait={wait}"), "");
        assert_eq!(reply.refusal(), (503, "tribe-off"), "{wait}");
    }
}
