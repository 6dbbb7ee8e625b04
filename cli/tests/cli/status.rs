//! What a tribe's members have done, against a daemon that says what the test says.

use crate::support::Snapd;

const NODE: (&str, u16, &str) = (
    "GET /v3/node",
    200,
    r#"{"name":"i1","tribe":true,"synced":true,"acting":[{"tribe":"core"}]}"#,
);

const FAILING: &str = r#"{"tribe":"core","rev":7,"synced":true,"holding":[],"applied":false,"members":[
    {"name":"i1","state":"alive","reasons":[{"kind":"joined"}],"agrees":true,"items":[
        {"kind":"plugin","name":"smart","generation":3,"desired":"running","state":"running",
         "applied":true,"since_ms":1795699158000,"plugin":"collector:smart:1"}]},
    {"name":"i2","state":"alive","reasons":[{"kind":"joined"}],"agrees":true,"items":[
        {"kind":"plugin","name":"smart","generation":3,"desired":"running","state":"failed",
         "applied":false,"since_ms":1795699158000,
         "detail":"it ended with exit status 1\nit last printed:\n  no disk\u001b"}]},
    {"name":"i3","state":"alive","reasons":[{"kind":"joined"}],"agrees":true,
     "silent":"it did not answer within 5s"}]}"#;

#[test]
fn what_failed_on_a_member_is_told_in_full() {
    let snapd = Snapd::new([("GET /v3/tribes/core/status", 200, FAILING)]);
    snapd
        .test(["tribe", "status", "core"])
        .stdout(
            "\
tribe    core
synced   yes
agreed   3/3
holding  -
applied  no

MEMBER  STATE  AGREES  REASONS
i1      alive  yes     joined
i2      alive  yes     joined
i3      alive  yes     joined

MEMBER  KIND    NAME   GENERATION  DESIRED  STATE    APPLIED  SINCE                 PLUGIN
i1      plugin  smart  3           running  running  yes      2026-11-26T13:19:18Z  collector:smart:1
i2      plugin  smart  3           running  failed   no       2026-11-26T13:19:18Z  -

i2 plugin smart failed:
  it ended with exit status 1
  it last printed:
    no disk\\u{1b}

i3 did not say how far it is:
  it did not answer within 5s",
        )
        .stderr("not all live members have done what tribe `core` asks")
        .status(4)
        .run();
}

#[test]
fn a_member_that_runs_no_snapd_is_shown_and_not_waited_for() {
    let status = r#"{"tribe":"core","rev":7,"synced":true,"applied":true,"members":[
        {"name":"agent8","state":"alive","reasons":[{"kind":"joined"}],"agrees":true,
         "other_agent":"tribe/0.1.0"}]}"#;
    let snapd = Snapd::new([("GET /v3/tribes/core/status", 200, status)]);
    snapd
        .test(["tribe", "status", "core"])
        .stdout(
            "\
tribe    core
synced   yes
agreed   1/1
holding  -
applied  yes

MEMBER  STATE  AGREES  REASONS
agent8  alive  yes     joined

agent8 runs no snapd:
  it runs tribe/0.1.0, which applies no plugins and no tasks",
        )
        .run();
}

#[test]
fn a_program_reads_the_status_as_json() {
    let status = r#"{"tribe":"core","rev":7,"synced":true,"applied":false,"members":[
        {"name":"i3","state":"alive","reasons":[],"agrees":true,"silent":"no\u202e"}]}"#;
    let snapd = Snapd::new([("GET /v3/tribes/core/status", 200, status)]);
    snapd
        .test(["-o", "json", "tribe", "status", "core"])
        .stdout(
            r#"{
  "tribe": "core",
  "rev": 7,
  "synced": true,
  "members": [
    {
      "name": "i3",
      "state": "alive",
      "reasons": [],
      "agrees": true,
      "items": [],
      "silent": "no\u202e"
    }
  ],
  "holding": [],
  "applied": false
}"#,
        )
        .stderr("not all live members have done what tribe `core` asks")
        .status(4)
        .run();
}

#[test]
fn the_status_of_all_tribes_starts_with_this_node() {
    let tribes = r#"[{"name":"core","description":"","members":1,"alive":1,"policies":0},
        {"name":"gone","description":"","members":1,"alive":1,"policies":0},
        {"name":"storage","description":"","members":1,"alive":1,"policies":0}]"#;
    let core = r#"{"tribe":"core","rev":7,"synced":true,"holding":[],"applied":true,"members":[
        {"name":"i1","state":"alive","reasons":[{"kind":"joined"}],"agrees":true}]}"#;
    let storage = r#"{"tribe":"storage","rev":7,"synced":true,"applied":false,"members":[]}"#;
    let gone = r#"{"error":{"code":"unknown-tribe","message":"there is no tribe `gone`"}}"#;
    let snapd = Snapd::new([
        NODE,
        ("GET /v3/tribes", 200, tribes),
        ("GET /v3/tribes/core/status", 200, core),
        ("GET /v3/tribes/storage/status", 200, storage),
        ("GET /v3/tribes/gone/status", 404, gone),
    ]);
    snapd
        .test(["tribe", "status"])
        .stdout(
            "\
node    i1
synced  yes
acting  core

TRIBE    MEMBERS  ALIVE  AGREED  APPLIED  HOLDING
core     1        1      1/1     yes      -
storage  0        0      0/0     no       -",
        )
        .stderr("not all live members have done what tribe `storage` asks")
        .status(4)
        .run();
    snapd
        .test(["tribe", "status", "core"])
        .stdout(
            "\
tribe    core
synced   yes
agreed   1/1
holding  -
applied  yes

MEMBER  STATE  AGREES  REASONS
i1      alive  yes     joined",
        )
        .run();
}

#[test]
fn a_daemon_that_knows_no_items_has_none_undone() {
    let old = r#"{"tribe":"core","rev":7,"synced":true,"members":[]}"#;
    let snapd = Snapd::new([("GET /v3/tribes/core/status", 200, old)]);
    snapd
        .test(["tribe", "status", "core"])
        .stdout(
            "\
tribe    core
synced   yes
agreed   0/0
holding  -
applied  yes

MEMBER  STATE  AGREES  REASONS",
        )
        .run();
}
