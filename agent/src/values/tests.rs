use std::{os::unix::fs::PermissionsExt, path::Path};

use tribe::{FactName, Source};

use super::*;

fn facts() -> Arc<Facts> {
    let mut facts = Facts::new();
    let mut add = |name: &str, json: serde_json::Value| {
        let value = Value::from_json(&json).unwrap();
        facts.insert(FactName::parse(name).unwrap(), value, Source::Host);
    };
    add("hostname", "i1".into());
    add("memtotal", 1024.into());
    add("load", 0.5.into());
    add("ssd", true.into());
    add(
        "net",
        serde_json::json!({ "eth0": { "address": "10.0.0.1" }, "list": ["a", "b"], "eth0.1": 7 }),
    );
    Arc::new(facts)
}

fn text(text: &str) -> ConfigValue {
    ConfigValue::Text(text.to_owned())
}

fn write(dir: &Path, name: &str, content: &str, mode: u32) {
    let path = dir.join(name);
    std::fs::write(&path, content).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
}

fn check(values: &Values, written: &str, expected: Result<ConfigValue, &str>) {
    let config = Config::from([("k".to_owned(), text(written))]);
    let found = values.resolve(&config).map(|resolved| resolved.config["k"].clone());
    assert_eq!(found.map_err(|error| error.to_string()), expected.map_err(str::to_owned));
}

#[test]
fn facts_are_put_in_their_place_and_keep_their_type_alone() {
    let values = Values::new(facts, None, None);
    check(&values, "{{hostname}}", Ok(text("i1")));
    check(&values, "{{ memtotal }}", Ok(ConfigValue::Int(1024)));
    check(&values, "{{load}}", Ok(ConfigValue::Float(0.5)));
    check(&values, "{{ssd}}", Ok(ConfigValue::Bool(true)));
    check(&values, "/var/{{hostname}}-{{memtotal}}.log", Ok(text("/var/i1-1024.log")));
    check(&values, "{{net.eth0.address}}", Ok(text("10.0.0.1")));
    check(&values, "{{net.list.1}}", Ok(text("b")));
    check(&values, r#"{{net["eth0.1"]}}"#, Ok(ConfigValue::Int(7)));
    check(&values, r#"x{{net["eth0"].address}}"#, Ok(text("x10.0.0.1")));
    check(&values, "a {{{{hostname}} $$ }} {", Ok(text("a {{hostname}} $$ }} {")));
    check(&values, "{{disk}}", Err("`k`: this node has no fact `disk`"));
    check(&values, "{{net.eth1}}", Err("`k`: this node has no fact `net.eth1`"));
    check(&values, "{{net.list}}", Err("`k`: fact `net.list` is a list, name one of its values"));
}

#[test]
fn secrets_are_files_that_nobody_else_can_read() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), "db", "hunter2\n", 0o600);
    write(dir.path(), "open", "x", 0o644);
    write(dir.path(), "empty", "\n", 0o600);
    let values = Values::new(facts, Some(dir.path().to_owned()), None);
    check(&values, "${secret:db}", Ok(text("hunter2")));
    check(&values, "u:${secret:db}@{{hostname}}", Ok(text("u:hunter2@i1")));
    check(&values, "$${secret:db} ${HOME}", Ok(text("${secret:db} ${HOME}")));
    let place = dir.path().display();
    check(&values, "${secret:no}", Err(&format!("`k`: this node has no secret `no` in `{place}`")));
    let mode = format!("`k`: secret `open`: its mode is 0644, run `chmod 600 {place}/open`");
    check(&values, "${secret:open}", Err(&mode));
    check(&values, "${secret:empty}", Err("`k`: secret `empty`: it is empty"));
    let none = Values::new(facts, None, None);
    let nowhere =
        "`k`: this node has no secret `db`: it has no directory of secrets, set `secrets.dir`";
    check(&none, "${secret:db}", Err(nowhere));
}

#[test]
fn credentials_of_systemd_come_first() {
    let (dir, credentials) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    write(dir.path(), "db", "file", 0o600);
    write(dir.path(), "other", "other", 0o600);
    write(credentials.path(), "db", "credential", 0o440);
    let values =
        Values::new(facts, Some(dir.path().to_owned()), Some(credentials.path().to_owned()));
    check(&values, "${secret:db}", Ok(text("credential")));
    check(&values, "${secret:other}", Ok(text("other")));
}

#[test]
fn what_cannot_be_read_is_refused() {
    let check = |text: &str, expected: Result<(), FormError>| {
        assert_eq!(super::check(text), expected, "{text}");
    };
    check("{{a", Err(FormError::OpenFact));
    check("${secret:a", Err(FormError::OpenSecret));
    check("{{}}", Err(FormError::Fact(String::new())));
    check("{{a b}}", Err(FormError::Fact("a b".into())));
    for path in [".", "a.", ".a", "a..b", "a[b]", "a[\"b\"", "a[\"\"]", "[\"a\"]", "a.[\"b\"]"] {
        check(&format!("{{{{{path}}}}}"), Err(FormError::Fact(path.into())));
    }
    check("${secret:../x}", Err(FormError::Secret("../x".into())));
    check("${secret:}", Err(FormError::Secret(String::new())));
    check("${other} $x { } }}", Ok(()));
    assert_eq!(FormError::OpenFact.to_string(), "`{{` without `}}`, write `{{{{` for two braces");
    let secret = "`${secret:` without `}`, write `$${secret:` for the text itself";
    assert_eq!(FormError::OpenSecret.to_string(), secret);
}

#[test]
fn a_secret_is_not_shown() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), "db", "hunter2", 0o600);
    let values = Values::new(facts, Some(dir.path().to_owned()), None);
    let config = Config::from([("password".to_owned(), text("${secret:db}"))]);
    let resolved = values.resolve(&config).unwrap();
    assert!(!format!("{resolved:?} {:?}", resolved.secrets()).contains("hunter2"));
    let said = "cannot log in with hunter2".to_owned();
    assert_eq!(resolved.secrets().hide(said), "cannot log in with ***");
}

#[test]
fn literal_passwords_are_hidden_and_names_of_secrets_are_not() {
    let config = Config::from([
        ("api-key".to_owned(), text("k")),
        ("host".to_owned(), text("h")),
        ("keyspace".to_owned(), text("ks")),
        ("password".to_owned(), text("${secret:db}")),
        ("pin_secret".to_owned(), ConfigValue::Int(7)),
        ("token".to_owned(), text("t${secret:db}")),
    ]);
    let shown = redact(&config);
    let expect = |key: &str, expected: &str| assert_eq!(shown[key], text(expected), "{key}");
    expect("api-key", HIDDEN);
    expect("host", "h");
    expect("keyspace", "ks");
    expect("password", "${secret:db}");
    expect("pin_secret", HIDDEN);
    expect("token", HIDDEN);
}
