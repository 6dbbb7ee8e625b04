//! Commands against a daemon that says what the test says.

use crate::support::{Snapd, Test};

const NODE: (&str, u16, &str) = (
    "GET /v3/node",
    200,
    r#"{"name":"i1","tribe":true,"synced":true,"acting":[{"tribe":"core"}]}"#,
);
const DONE: &str = r#"{"missing":[]}"#;

#[test]
fn a_write_says_what_was_done_on_stderr() {
    let check = |line: &str, request: &'static str, body: &str, stderr: &str| {
        let snapd = Snapd::new([NODE, (request, 200, DONE)]);
        snapd.test(line.split(' ')).stderr(stderr).run();
        assert_eq!(
            snapd.asked().last().map(String::as_str),
            Some(format!("{request} {body}").trim_end()),
        );
    };
    check(
        "tribe create core --description everyone",
        "POST /v3/tribes",
        r#"{"name":"core","description":"everyone"}"#,
        "created tribe `core`",
    );
    check(
        "tribe describe core everyone",
        "PATCH /v3/tribes/core",
        r#"{"description":"everyone"}"#,
        "described tribe `core`",
    );
    check("member forget i2", "DELETE /v3/members/i2", "", "forgot node `i2`");
    check("tribe delete core", "DELETE /v3/tribes/core", "", "deleted tribe `core`");
    check(
        "tribe delete core --force",
        "DELETE /v3/tribes/core?force=true",
        "",
        "deleted tribe `core`",
    );
    check(
        "tribe join core i2",
        "PUT /v3/tribes/core/placements/i2",
        r#"{"placement":"joined"}"#,
        "put `i2` in tribe `core`",
    );
    check(
        "tribe leave core",
        "PUT /v3/tribes/core/placements/i1",
        r#"{"placement":"left"}"#,
        "put `i1` out of tribe `core`",
    );
    check(
        "tribe auto core i2",
        "PUT /v3/tribes/core/placements/i2",
        r#"{"placement":"automatic"}"#,
        "gave `i2` back to the policies of tribe `core`",
    );
    check(
        "tribe policy create p true --tribe core --disabled",
        "POST /v3/policies",
        r#"{"name":"p","text":"true","tribe":"core","enabled":false}"#,
        "created disabled policy `p` in tribe `core`",
    );
    check(
        "tribe policy create p true --tribe core --replace --disabled --force",
        "POST /v3/policies",
        r#"{"name":"p","text":"true","tribe":"core","replace":true,"enabled":false,"force":true}"#,
        "wrote disabled policy `p` in tribe `core`",
    );
    check(
        "tribe policy create p true --tribe core --strict --force",
        "POST /v3/policies",
        r#"{"name":"p","text":"true","tribe":"core","strict":true,"force":true}"#,
        "created policy `p` in tribe `core`",
    );
    let replied = |line: &str, reply: &'static str, stderr: &str| {
        let snapd = Snapd::new([NODE, ("POST /v3/policies", 200, reply)]);
        snapd.test(line.split(' ')).stderr(stderr).run();
    };
    let replace = "tribe policy create p true --tribe core --replace";
    replied(
        replace,
        r#"{"missing":[],"enabled":true,"tribe_created":true}"#,
        "wrote policy `p` and created tribe `core`, which did not exist",
    );
    replied(
        replace,
        r#"{"missing":[],"enabled":false}"#,
        "wrote policy `p` in tribe `core`; it is off as before, `snapctl tribe policy enable p` \
         changes that",
    );
    check(
        "tribe policy disable p",
        "PATCH /v3/policies/p",
        r#"{"enabled":false}"#,
        "disabled policy `p`",
    );
    check(
        "tribe policy enable p",
        "PATCH /v3/policies/p",
        r#"{"enabled":true}"#,
        "enabled policy `p`",
    );
    check("tribe policy delete p", "DELETE /v3/policies/p", "", "deleted policy `p`");
    check(
        "fact set i2 storage_tier=True rack=7",
        "PATCH /v3/members/i2/facts",
        r#"{"set":{"rack":"7","storage_tier":"True"},"unset":[]}"#,
        "set 2 facts of `i2`",
    );
    check(
        "fact set storage_tier=True",
        "PATCH /v3/members/i1/facts",
        r#"{"set":{"storage_tier":"True"},"unset":[]}"#,
        "set 1 fact of `i1`",
    );
    check(
        "fact unset i2 storage_tier",
        "PATCH /v3/members/i2/facts",
        r#"{"set":{},"unset":["storage_tier"]}"#,
        "unset 1 fact of `i2`",
    );
    check(
        "fact unset storage_tier",
        "PATCH /v3/members/i1/facts",
        r#"{"set":{},"unset":["storage_tier"]}"#,
        "unset 1 fact of `i1`",
    );
}

#[test]
fn wait_lists_who_did_not_answer() {
    let check = |line: &str, request: &'static str, seconds: &str| {
        let snapd = Snapd::new([(request, 200, r#"{"missing":["i3","i4"]}"#)]);
        snapd
            .test(line.split(' '))
            .stderr(&format!(
                "\
created tribe `core`
warning: 2 live nodes did not say within {seconds} s that they hold this:
  i3
  i4
help: it is written and will reach them, `snapctl member list` shows who is there"
            ))
            .status(4)
            .run();
    };
    check("--wait tribe create core", "POST /v3/tribes?wait=10", "10");
    check("tribe create core --wait", "POST /v3/tribes?wait=10", "10");
    check("--wait 0.5 tribe create core", "POST /v3/tribes?wait=0.5", "0.5");
    check("tribe create --wait=30 core", "POST /v3/tribes?wait=30", "30");
}

#[test]
fn a_write_in_json_prints_the_reply() {
    let snapd = Snapd::new([("POST /v3/tribes?wait=10", 200, r#"{"missing":["i3"]}"#)]);
    snapd
        .test(["-o", "json", "tribe", "create", "core", "--wait"])
        .stdout("{\n  \"missing\": [\n    \"i3\"\n  ]\n}")
        .stderr(
            "\
created tribe `core`
warning: 1 live node did not say within 10 s that it holds this:
  i3
help: it is written and will reach them, `snapctl member list` shows who is there",
        )
        .status(4)
        .run();
}

#[test]
fn a_policy_may_create_its_tribe_and_be_warned_of() {
    let reply = r#"{"missing":[],"tribe_created":true,"warnings":["`ubuntu` is never seen"]}"#;
    let snapd = Snapd::new([("POST /v3/policies", 200, reply)]);
    snapd
        .test(["tribe", "policy", "create", "p", "{{os_dist}} == ubuntu", "--tribe", "core"])
        .stderr(
            "\
warning: `ubuntu` is never seen
created policy `p` and tribe `core`, which did not exist",
        )
        .run();
    assert_eq!(
        snapd.asked(),
        [r#"POST /v3/policies {"name":"p","text":"{{os_dist}} == ubuntu","tribe":"core"}"#],
    );
}

#[test]
fn a_policy_that_creates_a_tribe_of_nearly_the_same_name_is_warned_of() {
    let reply = r#"{"missing":[],"tribe_created":true,"tribe_near":"storage"}"#;
    let snapd = Snapd::new([("POST /v3/policies", 200, reply)]);
    snapd
        .test(["tribe", "policy", "create", "p", "true", "--tribe", "storge"])
        .stderr(
            "\
warning: there was no tribe `storge`, did you mean `storage`?
created policy `p` and tribe `storge`, which did not exist",
        )
        .run();
}

#[test]
fn curly_quotes_reach_the_daemon_whose_caret_is_shown() {
    let reply = r#"{"error":{"code":"bad-policy","message":"`“` is a typographic quote",
        "detail":"error[P009]: `“` is a typographic quote\n  {{os_dist}} == “Ubuntu”\n                 ^ replace it"}}"#;
    let snapd = Snapd::new([("POST /v3/policies", 400, reply)]);
    snapd
        .test(["tribe", "policy", "create", "p", "{{os_dist}} == “Ubuntu”", "--tribe", "core"])
        .stderr(
            "\
error[P009]: `“` is a typographic quote
  {{os_dist}} == “Ubuntu”
                 ^ replace it",
        )
        .status(1)
        .run();
}

#[test]
fn a_name_that_is_not_there_matches_nothing() {
    let reply = r#"{"error":{"code":"unknown-tribe","message":"there is no tribe `cor`, did you mean `core`?"}}"#;
    let snapd = Snapd::new([("GET /v3/tribes/cor", 404, reply)]);
    snapd
        .test(["tribe", "show", "cor"])
        .stderr("error: there is no tribe `cor`, did you mean `core`?")
        .status(3)
        .run();
}

#[test]
fn a_fact_taken_for_a_node_is_explained() {
    let reply = r#"{"error":{"code":"unknown-node","message":"there is no node `rack`"}}"#;
    let snapd = Snapd::new([("PATCH /v3/members/rack/facts", 404, reply)]);
    snapd
        .test(["fact", "unset", "rack", "tier"])
        .stderr(
            "\
error: there is no node `rack`
help: of several words the first is the node, here `rack`",
        )
        .status(3)
        .run();
}

#[test]
fn tribe_mode_off_is_a_failure() {
    let reply = r#"{"error":{"code":"tribe-off","message":"tribe mode is off on this node",
        "help":"start snapd with --tribe and --tribe-key-file"}}"#;
    let snapd = Snapd::new([("GET /v3/tribes", 503, reply)]);
    snapd
        .test(["tribe", "list"])
        .stderr(
            "\
error: tribe mode is off on this node
help: start snapd with --tribe and --tribe-key-file",
        )
        .status(1)
        .run();
}

#[test]
fn a_refused_user_is_not_allowed() {
    let reply = r#"{"error":{"code":"forbidden","message":"only root may do that"}}"#;
    let snapd = Snapd::new([("DELETE /v3/tribes/core", 403, reply)]);
    snapd.test(["tribe", "delete", "core"]).stderr("error: only root may do that").status(6).run();
}

#[test]
fn what_another_node_says_is_harmless() {
    let reply = r#"[{"name":"motd","value":"\u001b[2J\u202ehi","type":"text","source":"start"}]"#;
    let snapd = Snapd::new([("GET /v3/members/i2/facts", 200, reply)]);
    snapd
        .test(["fact", "list", "i2"])
        .stdout(
            "\
FACT  TYPE  SOURCE  VALUE
motd  text  start   \\u{1b}[2J\\u{202e}hi",
        )
        .run();
    snapd
        .test(["fact", "list", "i2", "-o", "json"])
        .stdout(
            r#"[
  {
    "name": "motd",
    "value": "\u001b[2J\u202ehi",
    "type": "text",
    "source": "start"
  }
]"#,
        )
        .run();
}

#[test]
fn an_empty_list_is_a_header() {
    let snapd = Snapd::new([("GET /v3/policies?tribe=a%20b", 200, "[]")]);
    snapd
        .test(["tribe", "policy", "list", "--tribe", "a b"])
        .stdout("POLICY  TRIBE  ENABLED  UNDERSTOOD  TEXT")
        .run();
}

#[test]
fn a_policy_that_is_true_nowhere_matches_nothing() {
    let reply = r#"{"matches":[],"unknown":[{"node":"i1","reason":"no fact `tier`"}],"no_match":["i2"],
        "enters":[],"leaves":["i2"],"warnings":[]}"#;
    let snapd = Snapd::new([("POST /v3/policies/test", 200, reply)]);
    snapd
        .test(["tribe", "policy", "test", "{{tier}} == 1", "--tribe", "core"])
        .stdout(
            "\
NODE  MATCH    CHANGE  REASON
i1    unknown  -       no fact `tier`
i2    no       leaves  -",
        )
        .stderr("0 would enter, 1 would leave\nthe policy is true for no node")
        .status(3)
        .run();
    assert_eq!(
        snapd.asked(),
        [r#"POST /v3/policies/test {"text":"{{tier}} == 1","tribe":"core"}"#]
    );
}

#[test]
fn a_policy_is_formatted_and_tried_on_the_facts_of_a_file_without_a_snapd() {
    let snapd = Snapd::new([]);
    let directory = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = directory.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let object = file("object", r#"{"tier": 1}"#);
    let entries = file("entries", r#"[{"name": "tier", "value": 1, "source": "host"}]"#);
    for path in [&object, &entries] {
        snapd
            .test(["tribe", "policy", "test", "{{tier}}==1", "--facts", path])
            .stdout("T {{tier}} == 1  tier = 1 (file)\nwould be false if tier were 0")
            .run();
    }
    snapd
        .test(["tribe", "policy", "test", "{{tire}}==1", "--facts", &object, "--strict"])
        .stdout("U {{tire}} == 1  missing: no source sets tire\nwould be true if tire were 1")
        .stderr(
            "\
warning[P021]: `tire` is not a known fact
  {{tire}}==1
  ^^^^^^^^ did you mean `{{tier}}`?
error: the policy may be a mistake, and --strict was asked for",
        )
        .status(1)
        .run();
    snapd.test(["tribe", "policy", "fmt", "{{tier}}==1"]).stdout("{{tier}} == 1").run();
    snapd
        .test(["tribe", "policy", "fmt", "{{tier}} = 1"])
        .stderr(
            "\
error[P005]: `=` is not an operator
  {{tier}} = 1
           ^ use `==`",
        )
        .status(1)
        .run();
    assert!(snapd.asked().is_empty());
}

#[test]
fn what_would_move_many_members_out_can_be_forced() {
    let refusal = r#"{"error":{"code":"would-move-out","message":"deleting policy `p` would move 4 of 4 members out of tribe `core`","detail":"i1\ni2\ni3\ni4","help":"to do it all the same, force it"}}"#;
    let snapd = Snapd::new([
        ("DELETE /v3/policies/p", 409, refusal),
        ("DELETE /v3/policies/p?force=true", 200, r#"{"missing":[]}"#),
    ]);
    snapd
        .test(["tribe", "policy", "delete", "p"])
        .stderr(
            "\
error: deleting policy `p` would move 4 of 4 members out of tribe `core`
i1
i2
i3
i4
help: to do it all the same, add --force",
        )
        .status(1)
        .run();
    snapd.test(["tribe", "policy", "delete", "p", "--force"]).stderr("deleted policy `p`").run();
}

#[test]
fn a_tribe_of_many_is_deleted_if_it_is_forced() {
    let message = "deleting tribe `core`, with 2 plugins and 1 task, would move 4 of 4 members out";
    let refusal = format!(
        r#"{{"error":{{"code":"would-move-out","message":"{message}","detail":"i1\ni2\ni3\ni4"}}}}"#
    );
    let snapd = Snapd::new([("DELETE /v3/tribes/core", 409, &*refusal.leak())]);
    snapd
        .test(["tribe", "delete", "core"])
        .stderr(&format!(
            "error: {message}\ni1\ni2\ni3\ni4\nhelp: to do it all the same, add --force"
        ))
        .status(1)
        .run();
}

#[test]
fn an_explanation_is_printed_as_it_is() {
    let reply = r#"{"policy":"p","tribe":"core","node":"i1","satisfied":false,
        "text":"false  &&\n  true   a\n  false  b\n","tree":{}}"#;
    let snapd = Snapd::new([("GET /v3/policies/p/explain/i1", 200, reply)]);
    snapd
        .test(["tribe", "policy", "explain", "p", "i1"])
        .stdout("false  &&\n  true   a\n  false  b")
        .run();
}

const EVENTS: &str = "\
: hello

event: member-joined
data: {\"rev\":3,\"kind\":\"member-joined\",\"subject\":\"i2\",\"body\":{\"id\":\"2\"}}

event: synced
data: {\"time\":\"2026-11-26T13:19:18.007Z\",\"rev\":4,\"kind\":\"synced\",\"subject\":\"i1\",\"body\":{}}

event: missed
data: {\"rev\":9,\"kind\":\"missed\",\"subject\":\"\",\"body\":{\"count\":5}}

";

#[test]
fn events_are_lines() {
    let snapd = Snapd::new([("GET /v3/events", 200, EVENTS)]);
    snapd.test(["events"]).stdout(r#"-  3  member-joined  i2  {"id":"2"}"#).run();
    snapd
        .test(["-o", "json", "events", "--kind", "synced"])
        .stdout(
            r#"{"time":"2026-11-26T13:19:18.007Z","rev":4,"kind":"synced","subject":"i1","body":{}}"#,
        )
        .run();
    snapd
        .test(["events", "--count", "2"])
        .stdout(
            "-  3  member-joined  i2  {\"id\":\"2\"}\n2026-11-26T13:19:18.007Z  4  synced  i1  {}",
        )
        .run();
}

#[test]
fn kinds_of_which_none_is_known_are_not_waited_for() {
    let snapd = Snapd::new([("GET /v3/events", 200, EVENTS)]);
    snapd
        .test(["events", "--follow", "--kind", "foo"])
        .stderr(
            "\
error: `foo` is no kind of event that snapctl knows
help: the kinds are member-joined, member-left, fact-changed, membership-changed, tribe-created, \
             tribe-deleted, placement-changed, policy-changed, policy-deleted, item-changed, \
             item-removed, offers-changed, tribe-entered, tribe-exited, conflict, name-conflict, \
             key-installed, key-used, key-removed, synced, missed",
        )
        .status(2)
        .run();
    snapd
        .test(["events", "--kind", "foo", "--kind", "synced"])
        .stdout("2026-11-26T13:19:18.007Z  4  synced  i1  {}")
        .stderr("warning: `foo` is no kind of event that snapctl knows")
        .run();
}

#[test]
fn following_ends_with_the_daemon() {
    let snapd = Snapd::new([("GET /v3/events", 200, EVENTS)]);
    snapd
        .test(["events", "--follow", "--kind", "synced"])
        .stdout("2026-11-26T13:19:18.007Z  4  synced  i1  {}")
        .stderr(&format!("warning: missed events: {{\"count\":5}}\n{}", snapd.closed()))
        .status(5)
        .run();
    // It is no quiet cluster.
    snapd
        .test(["events", "--kind", "item-changed", "--timeout", "30"])
        .stderr(&format!("warning: missed events: {{\"count\":5}}\n{}", snapd.closed()))
        .status(5)
        .run();
}

#[test]
fn metrics_are_collected_once_and_go_where_they_are_sent() {
    let reply = r#"[{"namespace":"/intel/psutil/load/load1","version":14,"data":0.5,"tags":{}}]"#;
    let snapd = Snapd::new([("POST /v3/metrics/collect", 200, reply)]);
    snapd
        .test(
            "metric collect /intel/psutil/load/* --process tag:1 --publish influxdb --config \
             influxdb.port=8086 --config influxdb.host=i1"
                .split(' '),
        )
        .stdout(
            "\
NAMESPACE                 DATA  UNIT  TAGS
/intel/psutil/load/load1  0.5   -     -",
        )
        .run();
    let body = r#"{"metrics":[{"namespace":"/intel/psutil/load/*"}],"process":["tag:1"],"publish":["influxdb"],"config":{"influxdb":{"host":"i1","port":8086}}}"#;
    assert_eq!(snapd.asked(), [format!("POST /v3/metrics/collect {body}")]);
}

#[test]
fn both_versions_are_told() {
    let reply = r#"{"version":"9.9.9","api":4,"policy_level":2}"#;
    let snapd = Snapd::new([("GET /v3/version", 200, reply)]);
    snapd
        .test(["version"])
        .stdout(concat!(
            "PROGRAM  VERSION  API  POLICY-LEVEL\n",
            "snapctl  ",
            env!("CARGO_PKG_VERSION"),
            "    3    -\n",
            "snapd    9.9.9    4    2"
        ))
        .stderr("warning: snapctl speaks version 3 of the API, snapd version 4")
        .run();
}

#[test]
fn events_that_do_not_come_in_time_match_nothing() {
    let directory = tempfile::tempdir().expect("there is room");
    let socket = directory.path().join("silent.sock");
    let _silent = std::os::unix::net::UnixListener::bind(&socket).expect("the socket is free");
    Test::line("events --kind synced --timeout 0.05")
        .env("SNAP_SOCKET", &socket)
        .stderr("no more events within 0.05 s")
        .status(3)
        .run();
    Test::line("events --follow --timeout 0.05").env("SNAP_SOCKET", &socket).run();
}

#[test]
fn an_answer_that_does_not_come_in_time_is_given_up() {
    let directory = tempfile::tempdir().expect("there is room");
    let socket = directory.path().join("silent.sock");
    let _silent = std::os::unix::net::UnixListener::bind(&socket).expect("the socket is free");
    let check = |line: &str, request: &str, seconds: &str, help: &str| {
        let stderr =
            format!("error: snapd did not answer `{request}` within {seconds} s\nhelp: {help}");
        Test::line(line).env("SNAP_SOCKET", &socket).stderr(&stderr).status(5).run();
    };
    let read = "is snapd stopped, or its host overloaded? look at its log";
    let write = "it may have been done or not, look before you try again";
    check("--timeout 0.05 tribe list", "GET /v3/tribes", "0.05", read);
    check("tribe create core --timeout 0.05", "POST /v3/tribes", "0.05", write);
    let waits = "POST /v3/tribes?wait=0.1";
    check("tribe create core --timeout 0.05 --wait 0.1", waits, "0.15", write);
    let path = directory.path().join("kept");
    let backup = format!("backup {} --timeout 0.05", path.display());
    check(&backup, "GET /v3/backup", "0.05", read);
    let events = "--timeout 0.05 events";
    let test = Test::line(events).env("SNAP_SOCKET", &socket);
    test.stderr("no more events within 0.05 s").status(3).run();
}

#[test]
fn an_exchange_of_keys_that_is_done_ends_well_even_if_snapd_cannot_tell_who_dropped_the_old_one() {
    let rotate = "POST /v3/keys/rotate";
    let begun = r#"POST /v3/keys/rotate {"begun":true,"force":false}"#;
    let snapd = Snapd::new([
        (begun, 200, r#"{"step":"done","key":"0a"}"#),
        (rotate, 200, r#"{"step":"installed","key":"0a"}"#),
        ("GET /v3/keys", 503, r#"{"error":{"code":"busy","message":"not now"}}"#),
    ]);
    snapd
        .test(["key", "rotate"])
        .stdout("0a")
        .stderr(
            "\
installed key `0a`
waiting for all to drop the others than key `0a`
done: key `0a` seals, and the others are removed; who dropped them is not known
help: `snapctl key status` shows who holds what
warning: the new key is in no file: a node can be added with the old one for 7 days, then none
help: `snapd keygen --out FILE` and `snapctl key rotate --key-file FILE` exchange it for one that is",
        )
        .run();
}

#[test]
fn an_exchange_of_keys_that_was_begun_before_may_have_led_to_a_key_of_no_file() {
    let rotate = "POST /v3/keys/rotate";
    let begun = r#"POST /v3/keys/rotate {"begun":true,"force":false}"#;
    let keys = r#"{"keys":[{"id":"0b","phase":"installed","held":true,"holders":["i1"],"lacking":[]}],
        "members":[{"node":"i1","alive":true,"keys":["0a","0b"]}],"exchange":"0b"}"#;
    let open = Snapd::new([("GET /v3/keys", 200, keys)]);
    open.test(["key", "status"])
        .stdout("NODE  STATE  KEYS\ni1    alive  0a,0b")
        .stderr(
            "\
note: an exchange of keys is open: the new key `0b` does not seal yet
help: unless someone is at it, `snapctl key rotate` brings it to its end, on any node, with --force without nodes \
             that are down; `snapctl key remove 0b` gives it up",
        )
        .run();
    let done = r#"{"keys":[{"id":"0b","phase":"in-use","held":true,"holders":["i1"],"lacking":[]}],
        "members":[{"node":"i1","alive":true,"keys":["0b"]}]}"#;
    let snapd = Snapd::new([
        (begun, 200, r#"{"step":"done","key":"0b"}"#),
        (rotate, 200, r#"{"step":"used","key":"0b"}"#),
        ("GET /v3/keys", 200, done),
    ]);
    snapd
        .test(["key", "rotate"])
        .stdout("0b")
        .stderr(
            "\
all hold key `0b`: it seals from now on
waiting for all to drop the others than key `0b`
done: key `0b` is the only one
warning: the new key may be in no file, for this exchange was begun before: a node can be added with the old one for \
             7 days
help: if it was begun with `--key-file FILE`, put that file in the place of the old one on every host; else `snapd \
             keygen --out FILE` and `snapctl key rotate --key-file FILE` exchange the key for one that is in a file",
        )
        .run();
}
