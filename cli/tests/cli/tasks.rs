//! Tasks, of a node and of tribes, against a daemon that says what the test says.

use std::{fs, path::Path};

use tempfile::TempDir;

use crate::support::Snapd;

const MANIFEST: &str = "{\"version\": 1}";

fn file(name: &str, content: &str) -> (TempDir, String) {
    let directory = tempfile::tempdir().expect("there is room");
    let path = directory.path().join(name);
    fs::write(&path, content).expect("there is room");
    let path = path.to_str().expect("the path is text").to_owned();
    (directory, path)
}

#[test]
fn a_task_is_created_from_its_manifest() {
    let check = |name: &str, words: &str, query: &str, content_type: &str, stderr: &str| {
        let reply = match words.contains("--tribe") {
            true => r#"{"id":"core/disk-io","name":"disk-io","tribe":"core"}"#,
            false => r#"{"id":"disk-io","name":"disk-io","state":"running"}"#,
        };
        let (_directory, path) = file(name, MANIFEST);
        let request: &'static str = Box::leak(format!("POST /v3/tasks?{query}").into_boxed_str());
        let snapd = Snapd::new([(request, 200, reply)]);
        let words = words.replace("FILE", &path);
        snapd.test(words.split(' ')).stderr(stderr).run();
        assert_eq!(snapd.asked(), [format!("{request} {MANIFEST}")]);
        assert_eq!(snapd.header("content-type").as_deref(), Some(content_type));
    };
    let (json, created) = ("application/json", "created task `disk-io`, it is Running");
    check("disk-io.json", "task create FILE", "stem=disk-io", json, created);
    check("disk-io.json", "task create -t FILE", "stem=disk-io", json, created);
    check(
        "disk-io.yml",
        "task create --task-manifest FILE",
        "stem=disk-io",
        "application/yaml",
        created,
    );
    check(
        "x.json",
        "task create -t FILE --tribe core --name disk-io --replace --no-start",
        "tribe=core&name=disk-io&stem=x&replace=true&no_start=true",
        json,
        "created task `disk-io` in tribe `core`",
    );
}

#[test]
fn a_manifest_may_come_from_stdin() {
    let reply = r#"{"id":"load","name":"load","notes":["schedule.count is ignored\u001b"]}"#;
    let snapd = Snapd::new([("POST /v3/tasks", 200, reply)]);
    snapd
        .test(["task", "create", "-"])
        .env("WHERE", Path::new("i1"))
        .stdin("version: 1\nname: $WHERE$$\n")
        .stderr("note: schedule.count is ignored\\u{1b}\ncreated task `load`")
        .run();
    assert_eq!(snapd.asked(), ["POST /v3/tasks version: 1\nname: i1$"]);
    assert_eq!(snapd.header("content-type").as_deref(), Some("application/yaml"));
}

#[test]
fn a_bad_manifest_is_told_with_its_place() {
    let (_directory, path) = file("t.json", MANIFEST);
    let reply = r#"{"error":{"code":"bad-manifest","message":"`workflow.colect` is not known",
        "help":"did you mean `collect`?"}}"#;
    let snapd = Snapd::new([("POST /v3/tasks?stem=t", 400, reply)]);
    snapd
        .test(["task", "create", &path])
        .stderr(&format!(
            "error: in `{path}`: `workflow.colect` is not known\nhelp: did you mean `collect`?"
        ))
        .status(1)
        .run();
}

#[test]
fn what_is_done_to_a_task_is_said_on_stderr() {
    let check = |line: &str, request: &'static str, stderr: &str| {
        let reply = match line {
            line if line.contains("--tribe") => r#"{"id":"core/t","name":"t","tribe":"core"}"#,
            "task start t" => r#"{"id":"t","name":"t","state":"running"}"#,
            "task stop t" => r#"{"id":"t","name":"t","state":"stopping"}"#,
            _ => r#"{"id":"t","name":"t","state":"stopped"}"#,
        };
        let snapd = Snapd::new([(request, 200, reply)]);
        snapd.test(line.split(' ')).stderr(stderr).run();
        assert_eq!(snapd.asked(), [request]);
    };
    check("task start t", "POST /v3/tasks/t/start", "started task `t`, it is Running");
    check("task stop t", "POST /v3/tasks/t/stop", "stopped task `t`, it is Stopping");
    check("task enable t", "POST /v3/tasks/t/enable", "enabled task `t`, it is Stopped");
    check("task remove t", "DELETE /v3/tasks/t", "removed task `t`");
    check(
        "task start t --tribe core --wait 5",
        "POST /v3/tasks/t/start?tribe=core&wait=5",
        "started task `t` in tribe `core`",
    );
    check(
        "task stop core/t --tribe core",
        "POST /v3/tasks/core%2Ft/stop?tribe=core",
        "stopped task `t` in tribe `core`",
    );
    check(
        "task remove t --tribe core",
        "DELETE /v3/tasks/t?tribe=core",
        "removed task `t` in tribe `core`",
    );
}

#[test]
fn what_snapd_has_to_say_of_a_change_is_told() {
    let reply = r#"{"id":"core/t","name":"t","tribe":"core","notes":["they try again by themselves",
        "\u001b"]}"#;
    let snapd = Snapd::new([("POST /v3/tasks/t/enable?tribe=core", 200, reply)]);
    snapd
        .test(["task", "enable", "t", "--tribe", "core"])
        .stderr(
            "\
note: they try again by themselves
note: \\u{1b}
enabled task `t` in tribe `core`",
        )
        .run();
}

#[test]
fn a_change_that_not_all_hold_is_partly_done() {
    let reply = r#"{"id":"core/t","name":"t","tribe":"core","missing":["i3"]}"#;
    let snapd = Snapd::new([("POST /v3/tasks/t/stop?tribe=core&wait=10", 200, reply)]);
    snapd
        .test(["-o", "json", "task", "stop", "t", "--tribe", "core", "--wait"])
        .stdout(
            r#"{
  "id": "core/t",
  "name": "t",
  "tribe": "core",
  "missing": [
    "i3"
  ],
  "notes": []
}"#,
        )
        .stderr(
            "\
stopped task `t` in tribe `core`
warning: 1 live node did not say within 10 s that it holds this:
  i3
help: it is written and will reach them, `snapctl member list` shows who is there",
        )
        .status(4)
        .run();
}

#[test]
fn tasks_are_listed() {
    let tasks = r#"[{"id":"core/load","name":"load","tribe":"core","state":"running",
        "schedule":"every 1s","hit_count":5,"failed_count":1,"created_ms":1795699158000,
        "last_failure":{"text":"gone\u001b\nfor good","time_ms":1}}]"#;
    let of_tribe = r#"[{"name":"load","tribe":"core","generation":3,"desired":"running",
        "schedule":"every 1s","members":4,"applied":3}]"#;
    let snapd =
        Snapd::new([("GET /v3/tasks", 200, tasks), ("GET /v3/tribes/core/tasks", 200, of_tribe)]);
    snapd
        .test(["task", "list"])
        .stdout(
            "\
TASK       STATE    HITS  MISSES  FAILURES  CREATED               LAST-FAILURE
core/load  Running  5     0       1         2026-11-26T13:19:18Z  gone\\u{1b}",
        )
        .run();
    snapd
        .test(["task", "list", "--tribe", "core"])
        .stdout(
            "\
TASK  DESIRED  GENERATION  APPLIED  SCHEDULE
load  running  3           3/4      every 1s",
        )
        .run();
}

#[test]
fn a_task_is_shown_with_each_of_its_steps() {
    let task = r#"{"id":"t","name":"t","state":"disabled","schedule":"every 1s","hit_count":10,
        "failed_count":10,"reason":"10 failures in a row","created_ms":1795699158000,"steps":[
        {"path":"publish[0]","plugin":"publisher:influxdb","place":"tribe:sink","failed_count":10,
         "last_run":{"node":"s1","time_ms":1795699158000,"took_ms":3.21,"metrics":2},
         "tried":[{"node":"s2","failure":"connection refused","time_ms":1795699158000}]}]}"#;
    let snapd = Snapd::new([("GET /v3/tasks/t", 200, task)]);
    snapd
        .test(["task", "show", "t"])
        .stdout(
            "\
task      t
tribe     -
state     Disabled
reason    10 failures in a row
schedule  every 1s
created   2026-11-26T13:19:18Z
last run  -
hits      10
misses    0
failures  10

STEP        PLUGIN              PLACE       LAST-NODE  LAST-RUN              TOOK   PASSED  FAILED  TRIED
publish[0]  publisher:influxdb  tribe:sink  s1         2026-11-26T13:19:18Z  3.2ms  0       10      s2

publish[0] tried s2 at 2026-11-26T13:19:18Z:
  connection refused",
        )
        .run();
}

#[test]
fn a_task_of_a_tribe_is_not_on_every_node() {
    let reply = r#"{"error":{"code":"not-here",
        "message":"task `t` of tribe `core` does not run on this node",
        "help":"`snapctl tribe status core` shows where it runs; ask that node"}}"#;
    let snapd = Snapd::new([("GET /v3/tasks/t?tribe=core", 409, reply)]);
    snapd
        .test(["task", "show", "t", "--tribe", "core"])
        .stderr(
            "\
error: task `t` of tribe `core` does not run on this node
help: `snapctl tribe status core` shows where it runs; ask that node",
        )
        .status(1)
        .run();
}

#[test]
fn an_exported_manifest_is_json_in_every_format() {
    let snapd = Snapd::new([("GET /v3/tasks/t/export?tribe=core", 200, MANIFEST)]);
    let expected = "{\n  \"version\": 1\n}";
    snapd.test(["task", "export", "t", "--tribe", "core"]).stdout(expected).run();
    snapd.test(["-o", "json", "task", "export", "t", "--tribe", "core"]).stdout(expected).run();
}

const FLOWS: &str = "\
: ready

event: flow
data: {\"step\":\"collect\",\"time_ms\":1,\"metrics\":[{\"namespace\":\"/a\",\"version\":1,\
\"data\":0.5,\"unit\":\"s\",\"tags\":{\"rack\":\"7\\u001b\"},\"timestamp_ms\":1795699158007}]}

event: flow
data: {\"step\":\"\",\"time_ms\":0,\"missed\":3}

event: flow
data: {\"step\":\"collect\",\"time_ms\":2,\"metrics\":[{\"namespace\":\"/b\",\"version\":1,\
\"timestamp_ms\":1795699159007}]}

";

const UNKNOWN: &str = r#"{"error":{"code":"unknown-task","message":"there is no task `t`"}}"#;

#[test]
fn what_a_task_collects_is_lines() {
    let watch = "GET /v3/tasks/t/watch?step=collect";
    let snapd = Snapd::new([(watch, 200, FLOWS), ("GET /v3/tasks/t", 404, UNKNOWN)]);
    let first = "2026-11-26T13:19:18.007Z  /a  0.5  s  rack=7\\u{1b}";
    let second = "2026-11-26T13:19:19.007Z  /b  -  -  -";
    let missed = "warning: missed 3 batches, they came too fast";
    snapd.test(["task", "watch", "t", "--count", "1"]).stdout(first).run();
    snapd
        .test(["task", "watch", "t", "--count", "2"])
        .stdout(&format!("{first}\n{second}"))
        .stderr(missed)
        .run();
    snapd
        .test(["task", "watch", "t"])
        .stdout(&format!("{first}\n{second}"))
        .stderr(&format!("{missed}\ntask `t` is gone"))
        .run();
    snapd
        .test(["-o", "json", "task", "watch", "t", "--count", "1"])
        .stdout(
            r#"{"step":"collect","time_ms":1,"metrics":[{"namespace":"/a","version":1,"data":0.5,"unit":"s","tags":{"rack":"7\u001b"},"timestamp_ms":1795699158007}]}"#,
        )
        .run();
}

#[test]
fn another_step_can_be_watched() {
    let watch = "GET /v3/tasks/t/watch?tribe=core&step=process%5B0%5D";
    let bad = r#"{"error":{"code":"unknown-step","message":"task `t` has no step `x`"}}"#;
    let snapd = Snapd::new([(watch, 200, FLOWS), ("GET /v3/tasks/t/watch?step=x", 404, bad)]);
    let words = "task watch t --tribe core --step process[0] --count 1";
    let first = "2026-11-26T13:19:18.007Z  /a  0.5  s  rack=7\\u{1b}";
    snapd.test(words.split(' ')).stdout(first).run();
    snapd
        .test(["task", "watch", "t", "--step", "x"])
        .stderr("error: task `t` has no step `x`")
        .status(3)
        .run();
}

#[test]
fn what_flows_out_of_steps_is_told_with_them() {
    let snapd = Snapd::new([
        ("GET /v3/tasks/t/watch?tribe=core", 200, FLOWS),
        ("GET /v3/tasks/t/watch?step=process%5B0%5D", 200, FLOWS),
    ]);
    let first = "collect  2026-11-26T13:19:18.007Z  /a  0.5  s  rack=7\\u{1b}";
    snapd.test(["tap", "t", "--tribe", "core", "--count", "1"]).stdout(first).run();
    let tap = ["task", "tap", "t", "--step", "process[0]", "--count", "1"];
    snapd.test(tap).stdout(first).run();
}

#[test]
fn a_stream_that_ends_with_snapd_is_no_success() {
    let task = r#"{"id":"t","name":"t","state":"running","schedule":"every 1s"}"#;
    let snapd =
        Snapd::new([("GET /v3/tasks/t/watch", 200, ": ready\n\n"), ("GET /v3/tasks/t", 200, task)]);
    snapd.test(["tap", "t"]).stderr(&snapd.closed()).status(5).run();
}

#[test]
fn a_task_that_is_not_there_cannot_be_watched() {
    let snapd = Snapd::new([("GET /v3/tasks/t/watch?step=collect", 404, UNKNOWN)]);
    snapd.test(["task", "watch", "t"]).stderr("error: there is no task `t`").status(3).run();
}

#[test]
fn batches_that_do_not_come_in_time_match_nothing() {
    let directory = tempfile::tempdir().expect("there is room");
    let socket = directory.path().join("silent.sock");
    let _silent = std::os::unix::net::UnixListener::bind(&socket).expect("the socket is free");
    crate::support::Test::line("tap t --count 1 --timeout 0.05")
        .env("SNAP_SOCKET", &socket)
        .stderr("no more batches within 0.05 s")
        .status(3)
        .run();
    crate::support::Test::line("tap t --timeout 0.05").env("SNAP_SOCKET", &socket).run();
}
