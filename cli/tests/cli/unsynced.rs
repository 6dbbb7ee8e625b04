//! What a node that has not met its cluster adds on stderr.

use crate::support::{Snapd, Test};

const UNSYNCED: (&str, u16, &str) =
    ("GET /v3/node", 200, r#"{"name":"i1","tribe":true,"synced":false}"#);
const SYNCED: (&str, u16, &str) =
    ("GET /v3/node", 200, r#"{"name":"i1","tribe":true,"synced":true}"#);
const PART: &str = "\
note: this node has not met its cluster yet, so there may be more than it knows
help: `snapctl tribe status` says what keeps it";
const WAITS: &str = "\
note: this node has not met its cluster yet, for which snapd waits up to 10 s
help: `snapctl tribe status` says what keeps it";

const KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n";

fn words<'a>(snapd: &Snapd, line: &'a str) -> Test {
    snapd.test(line.split(' ').collect::<Vec<&'a str>>())
}

#[test]
fn a_list_of_what_the_cluster_has_may_be_a_part_of_it() {
    let check = |line: &str, request: &'static str| {
        let line = format!("-o json {line}");
        let asked = [(request, 200, "[]")];
        let snapd = Snapd::new(asked.into_iter().chain([UNSYNCED]));
        words(&snapd, &line).stdout("[]").stderr(PART).run();
        let snapd = Snapd::new(asked.into_iter().chain([SYNCED]));
        words(&snapd, &line).stdout("[]").run();
    };
    check("tribe list", "GET /v3/tribes");
    check("tribe policy list", "GET /v3/policies");
    check("tribe policy list --tribe core", "GET /v3/policies?tribe=core");
    check("member list", "GET /v3/members");
    check("plugin list --tribe core", "GET /v3/tribes/core/plugins");
    check("plugin list --remote", "GET /v3/offers");
    check("task list --tribe core", "GET /v3/tribes/core/tasks");
}

#[test]
fn a_list_of_what_the_node_has_is_whole() {
    let check = |line: &str, request: &'static str| {
        let snapd = Snapd::new([(request, 200, "[]"), UNSYNCED]);
        words(&snapd, &format!("-o json {line}")).stdout("[]").run();
    };
    check("plugin list", "GET /v3/plugins");
    check("task list", "GET /v3/tasks");
    check("fact list i1", "GET /v3/members/i1/facts");
}

#[test]
fn what_is_held_until_the_cluster_is_met_is_told_while_it_waits() {
    const REFUSED: &str = r#"{"error":{"code":"not-synced","message":"it has not met it"}}"#;
    let directory = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = directory.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let kept = file(
        "kept",
        r#"{"format":"tribe-backup","version":1,"node":"i1","entries":[
            {"what":"tribe","name":"core","description":""}]}"#,
    );
    let (plugin, task) = (file("plugin", "#!/bin/sh"), file("task.json", "{}"));
    let check = |line: &str, request: &'static str| {
        let snapd = Snapd::holding([(request, 503, REFUSED), UNSYNCED]);
        let stderr = format!("{WAITS}\nerror: it has not met it");
        words(&snapd, line).stdin(KEY).stderr(&stderr).status(1).run();
    };
    let cases = [
        ("tribe create core", "POST /v3/tribes"),
        ("tribe describe core all", "PATCH /v3/tribes/core"),
        ("tribe delete core", "DELETE /v3/tribes/core"),
        ("tribe join core i2", "PUT /v3/tribes/core/placements/i2"),
        ("tribe leave core i2", "PUT /v3/tribes/core/placements/i2"),
        ("tribe auto core i2", "PUT /v3/tribes/core/placements/i2"),
        ("tribe policy create p {{a}} --tribe core", "POST /v3/policies"),
        ("tribe policy delete p", "DELETE /v3/policies/p"),
        ("tribe policy enable p", "PATCH /v3/policies/p"),
        ("tribe policy disable p", "PATCH /v3/policies/p"),
        ("member forget i2", "DELETE /v3/members/i2"),
        ("fact set i2 a=b", "PATCH /v3/members/i2/facts"),
        ("fact unset i2 a", "PATCH /v3/members/i2/facts"),
        ("key install", "POST /v3/keys"),
        ("key use 0a", "POST /v3/keys/0a/use"),
        ("key remove 0a", "POST /v3/keys/0a/remove"),
        ("key rotate", "POST /v3/keys/rotate"),
        ("plugin load rand --tribe core", "POST /v3/plugins/named"),
        (&format!("plugin load {plugin} --tribe core"), "POST /v3/plugins?file=plugin&tribe=core"),
        ("plugin unload rand --tribe core", "DELETE /v3/tribes/core/plugins/rand"),
        (&format!("task create {task} --tribe core"), "POST /v3/tasks?tribe=core&stem=task"),
        ("task start cpu --tribe core", "POST /v3/tasks/cpu/start?tribe=core"),
        ("task stop cpu --tribe core", "POST /v3/tasks/cpu/stop?tribe=core"),
        ("task remove cpu --tribe core", "DELETE /v3/tasks/cpu?tribe=core"),
        (&format!("restore {kept} --force"), "POST /v3/restore"),
    ];
    std::thread::scope(|scope| {
        for (line, request) in cases {
            scope.spawn(move || check(line, request));
        }
    });
}

#[test]
fn what_takes_long_for_another_reason_is_not_said_to_wait_for_the_cluster() {
    let snapd = Snapd::holding([UNSYNCED]);
    words(&snapd, "events --kind synced --timeout 0.6")
        .stderr("no more events within 0.6 s")
        .status(3)
        .run();
    assert!(snapd.asked().is_empty());
}
