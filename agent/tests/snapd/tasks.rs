//! Tasks with real plugins on a real daemon, found at its start.

use std::{fs, os::unix::fs::PermissionsExt, path::Path};

use tempfile::TempDir;

use crate::{
    plugins::plugin,
    support::{Daemon, wait_until},
};

/// A directory with a configuration and with plugins that are found.
fn place(more: &str) -> TempDir {
    let dir = TempDir::new().unwrap();
    let found = dir.path().join("found");
    fs::create_dir(&found).unwrap();
    for name in ["collector", "processor", "publisher"] {
        fs::write(found.join(name), plugin(name)).unwrap();
    }
    let secrets = dir.path().join("secrets");
    add_secret(&secrets);
    let config = format!(
        "auto_discover_path: {}\nsecrets: {{dir: {}}}\n{more}",
        found.display(),
        secrets.display()
    );
    fs::write(dir.path().join("snapd.yaml"), config).unwrap();
    dir
}

/// Adds a task that is found, which publishes to a file.
fn add_task(dir: &Path, schedule: &str, file: &Path) {
    let text = format!(
        "version: 1
schedule: {schedule}
workflow:
  collect:
    metrics: {{/tribe/mock/load: }}
    config: {{/tribe/mock: {{scale: '{{{{size}}}}'}}}}
    tags: {{/tribe: {{task: of-$TASK_TEST}}}}
    process:
      - plugin_name: tag-py
        config: {{colour: '${{secret:colour}}'}}
        publish:
          - plugin_name: file-py
            config: {{file: {}}}
",
        file.display()
    );
    fs::write(dir.join("found/load.yaml"), text).unwrap();
}

fn lines(file: &Path) -> Vec<String> {
    fs::read_to_string(file).unwrap_or_default().lines().map(str::to_owned).collect()
}

fn start(dir: TempDir) -> Daemon {
    Daemon::start_with(dir, |command| command.env("TASK_TEST", "mine"))
}

fn add_secret(dir: &Path) {
    fs::create_dir(dir).unwrap();
    fs::write(dir.join("colour"), "s3cret\n").unwrap();
    fs::set_permissions(dir.join("colour"), fs::Permissions::from_mode(0o600)).unwrap();
}

#[test]
fn plugins_and_tasks_are_found_and_run_with_the_values_of_the_node() {
    let dir = place("tribe: {facts: {size: 100}}\ntags: {/tribe: {rack: r1, task: no}}\n");
    let file = dir.path().join("out");
    add_task(dir.path(), "{type: simple, interval: 200ms}", &file);
    let daemon = start(dir);
    wait_until("three intervals are published", || lines(&file).len() >= 3);
    // The scale, 100, has three digits.
    let expected = "tribe/mock/load 3 colour=s3cret,plugin_running_on=i1,rack=r1,task=of-mine";
    assert_eq!(lines(&file)[0], expected, "{}", daemon.log());
    assert!(!daemon.log().contains("s3cret"));
}

#[test]
fn a_streaming_task_publishes_what_its_collector_sends() {
    let dir = place("");
    fs::write(dir.path().join("found/streamer"), plugin("streamer")).unwrap();
    let file = dir.path().join("out");
    let text = format!(
        "version: 1
schedule: {{type: streaming}}
max-metrics-buffer: 2
workflow:
  collect:
    metrics: {{/stream/*: }}
    tags: {{/: {{price: 5$$}}}}
    publish: [{{plugin_name: file-py, config: {{file: {}}}}}]
",
        file.display()
    );
    fs::write(dir.path().join("found/stream.yml"), text).unwrap();
    let daemon = start(dir);
    wait_until("three batches are published", || lines(&file).len() >= 6);
    let expected = "stream/number 1 plugin_running_on=i1,price=5$";
    assert_eq!(lines(&file)[0], expected, "{}", daemon.log());
}

#[test]
fn every_interval_of_an_outage_is_published_though_snapd_was_killed() {
    let dir = place("tribe: {facts: {size: 1}}\n");
    let sink = dir.path().join("sink");
    let file = sink.join("out");
    add_task(dir.path(), "{type: simple, interval: 100ms, count: 10}", &file);
    let mut daemon = start(dir);
    wait_until("all intervals were collected", || daemon.log().contains("a task has ended"));
    daemon.signal("-KILL");
    daemon.ended();
    fs::create_dir(&sink).unwrap();
    let dir = std::mem::replace(&mut daemon.dir, TempDir::new().unwrap());
    let daemon = start(dir);
    wait_until("both runs are published", || lines(&file).len() >= 20);
    assert_eq!(lines(&file).len(), 20, "{}", daemon.log());
}

#[test]
fn names_in_a_manifest_that_do_not_exist_are_noted() {
    let daemon = Daemon::start_with(TempDir::new().unwrap(), |command| {
        let at = ["--tribe-addr", "127.0.0.1", "--tribe-port", "0"];
        command.args(["--tribe", "--tribe-plaintext"]).args(at)
    });
    for tribe in ["core", "storage"] {
        let body = format!(r#"{{"name": "{tribe}"}}"#);
        assert_eq!(daemon.json("POST", "/v3/tribes", &body).status, 200);
    }
    let manifest = r#"{
        "schedule": {"type": "cron", "interval": "*/5 * * * *"},
        "workflow": {"collect": {"metrics": {"/a/b": {}}, "publish": [
            {"plugin_name": "influxdb", "tribe": "storge"},
            {"plugin_name": "influxdb", "tribe": "storage"},
            {"plugin_name": "influxdb", "target": "elsewhere"},
            {"plugin_name": "influxdb", "target": "i1"}
        ]}}
    }"#;
    let created = daemon.json("POST", "/v3/tasks?tribe=core&name=t", manifest);
    let expected = serde_json::json!([
        "cron `*/5 * * * *` runs every 5 seconds: the first field is seconds; by the minute it is \
         `0 */5 * * * *`",
        "workflow.collect.publish[0].tribe: there is no tribe `storge`, did you mean `storage`? (yet)",
        "workflow.collect.publish[2].target: there is no node `elsewhere` (yet)",
    ]);
    assert_eq!(created.body["notes"], expected, "{created:?}");
}
