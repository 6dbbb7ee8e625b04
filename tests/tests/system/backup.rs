//! What people said, kept in a file and said again.

use std::{fs, os::unix::fs::PermissionsExt};

use tribe_tests::{Cluster, Node, wait_until};

const MANIFEST: &str = r#"{"version": 1, "schedule": {"type": "simple", "interval": "1h"},
    "workflow": {"collect": {"metrics": {"/intel/mock/foo": {}}}}}"#;

/// Says something of each kind.
fn say(node: &Node, manifest: &str) {
    node.types("tribe create core --description all");
    node.types("tribe join core later");
    node.types("tribe leave core i1");
    node.types(r#"tribe policy create on "{{rack}} == r1" --tribe racks"#);
    node.types(r#"tribe policy create off "{{rack}} == r2" --tribe racks"#);
    node.types("tribe policy disable off");
    node.types(&format!("task create -t {manifest} --name hourly --tribe core"));
    node.types("task stop hourly --tribe core");
}

/// The entries of a backup made now.
fn entries(cluster: &Cluster, node: &str, file: &str) -> serde_json::Value {
    let path = cluster.dir().join(file);
    cluster[node].types(&format!("backup {}", path.display()));
    let text = fs::read_to_string(&path).unwrap();
    serde_json::from_str::<serde_json::Value>(&text).unwrap()["entries"].clone()
}

#[test]
fn a_cluster_of_which_nothing_is_left_is_said_again_on_one_node() {
    let mut cluster = Cluster::start(&[("i1", &[]), ("i2", &[])]);
    let manifest = cluster.dir().join("hourly.json");
    fs::write(&manifest, MANIFEST).unwrap();
    say(&cluster["i1"], &manifest.display().to_string());
    let said = cluster["i1"].get("/v3/backup")["entries"].clone();
    wait_until("the other heard it", || cluster["i2"].get("/v3/backup")["entries"] == said);
    let before = entries(&cluster, "i2", "kept");
    assert_eq!(before.as_array().unwrap().len(), 7, "{before:#}");
    let file = cluster.dir().join("kept").display().to_string();
    let mode = fs::metadata(&file).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let again = cluster["i1"].tries(&format!("backup {file}"));
    assert!(again.code == Some(1) && again.stderr.contains("File exists"), "{again:?}");

    cluster.kill_all();
    cluster.add("new", &[]);
    cluster.run(&["new"]);
    let new = &cluster["new"];
    let dry = new.types(&format!("restore {file} --dry-run"));
    assert!(dry.contains("to create  tribe `core`"), "{dry}");
    assert!(new.tribes().is_empty());
    let done = new.types(&format!("restore {file}"));
    assert!(done.contains("created  policy `off`") && done.contains("0 of 7 are"), "{done}");
    assert_eq!(entries(&cluster, "new", "after"), before);
    assert_eq!(new.types(&format!("restore {file}")), "7 of 7 are there already\n");
}

#[test]
fn what_differs_is_told_and_stays_unless_it_is_to_be_replaced() {
    let cluster = Cluster::start(&[("i1", &[])]);
    let node = &cluster["i1"];
    let manifest = cluster.dir().join("hourly.json");
    fs::write(&manifest, MANIFEST).unwrap();
    say(node, &manifest.display().to_string());
    let before = entries(&cluster, "i1", "kept");
    let file = cluster.dir().join("kept").display().to_string();
    node.types(r#"tribe policy create on "{{rack}} == r9" --tribe racks --replace"#);
    node.types("tribe policy enable off");
    node.types("tribe join core i1");
    node.types("task start hourly --tribe core");
    let kept = node.tries(&format!("restore {file}"));
    assert_eq!(kept.code, Some(4), "{kept:?}");
    assert_eq!(kept.stdout.matches("differs").count(), 4, "{}", kept.stdout);
    assert!(kept.stdout.contains("it is `{{rack}} == r9` for tribe `racks`"), "{}", kept.stdout);
    assert_ne!(entries(&cluster, "i1", "stays"), before);
    node.types(&format!("restore {file} --replace"));
    assert_eq!(entries(&cluster, "i1", "after"), before);
}

#[test]
fn what_is_refused_does_not_stop_the_rest() {
    let cluster = Cluster::start(&[("i1", &[])]);
    let path = cluster.dir().join("kept");
    let entries = r#"{"what": "policy", "name": "p", "tribe": "core", "text": "{{a}} =", "enabled": true},
        {"what": "tribe", "name": "after", "description": ""}"#;
    let text = format!(
        r#"{{"format": "tribe-backup", "version": 1, "node": "x", "entries": [{entries}]}}"#
    );
    fs::write(&path, text).unwrap();
    let ran = cluster["i1"].tries(&format!("restore {}", path.display()));
    assert_eq!(ran.code, Some(4), "{ran:?}");
    assert!(ran.stdout.contains("refused  policy `p`"), "{}", ran.stdout);
    assert_eq!(cluster["i1"].tribes().into_keys().collect::<Vec<_>>(), ["after"]);
}

#[test]
fn a_file_that_is_no_backup_is_refused_by_name() {
    let cluster = Cluster::start(&[("i1", &[])]);
    let check = |text: &str, part: &str| {
        let path = cluster.dir().join("bad");
        fs::write(&path, text).unwrap();
        let ran = cluster["i1"].tries(&format!("restore {}", path.display()));
        assert!(ran.code == Some(1) && ran.stderr.contains(part), "{part}: {ran:?}");
        assert!(ran.stderr.contains("bad`"), "{ran:?}");
    };
    check("tribes: []", "is no backup");
    check("{}", "is no backup");
    check(
        r#"{"format": "tribe-backup", "version": 2}"#,
        "is of version 2, this snapctl reads up to 1",
    );
    check(
        r#"{"format": "tribe-backup", "version": 1, "node": "x", "entries": [{"what": "else"}]}"#,
        "else",
    );
}
