//! Real plugins on a real daemon: on snap's own library for Python, and fakes for what that cannot
//! do.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
    time::{SystemTime, UNIX_EPOCH},
};

use base64::prelude::{BASE64_STANDARD, Engine as _};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::{Daemon, Reply, run, wait_until};

/// The interpreter of the environment the plugins run in, made if it is not there.
fn python() -> &'static Path {
    static PYTHON: OnceLock<PathBuf> = OnceLock::new();
    PYTHON.get_or_init(|| {
        let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("snap-plugin-lib-py");
        let setup = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/plugins/setup");
        assert!(Command::new(setup).arg(&dir).status().unwrap().success());
        dir.join("bin/python")
    })
}

/// The text of one of our plugins in Python, as a file that can be run from anywhere.
pub(crate) fn plugin(name: &str) -> String {
    let source = format!("{}/tests/plugins/{name}.py", env!("CARGO_MANIFEST_DIR"));
    format!("#!{}\n{}", python().display(), fs::read_to_string(source).unwrap())
}

fn load(daemon: &Daemon, name: &str, content: &str) -> Reply {
    let path = format!("/v3/plugins?file={name}");
    let mut reply =
        daemon.send("POST", &path, "content-type: application/octet-stream\r\n", content);
    if let Some(plugin) = reply.body.get_mut("plugin") {
        reply.body = plugin.take();
    }
    reply
}

/// Loads plugins at the same time, which takes less time.
fn load_all(daemon: &Daemon, names: &[&str]) {
    python();
    std::thread::scope(|scope| {
        for name in names {
            scope.spawn(|| {
                let reply = load(daemon, name, &plugin(name));
                assert_eq!(reply.status, 200, "{reply:?} {}", daemon.log());
            });
        }
    });
}

fn collect(daemon: &Daemon, once: &Value) -> Reply {
    daemon.json("POST", "/v3/metrics/collect", &once.to_string())
}

fn collect_one(daemon: &Daemon, namespace: &str) -> Reply {
    collect(daemon, &json!({"metrics": [{"namespace": namespace}]}))
}

/// A daemon with this section `plugins` in its configuration.
fn daemon_with(section: &str) -> Daemon {
    let dir = TempDir::new().unwrap();
    let config = format!("plugins: {{{section}}}\n");
    fs::write(dir.path().join("snapd.yaml"), config).unwrap();
    Daemon::start_in(dir)
}

fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    u64::try_from(since.as_millis()).unwrap()
}

fn is_running(pid: i64) -> bool {
    // A process that nobody has waited for yet is dead all the same.
    fs::read_to_string(format!("/proc/{pid}/stat"))
        .is_ok_and(|stat| !stat.rsplit(')').next().unwrap().trim_start().starts_with('Z'))
}

fn pid_of(daemon: &Daemon, plugin: &str) -> Option<i64> {
    daemon.get(&format!("/v3/plugins/{plugin}")).body["plugin"]["pid"].as_i64()
}

#[test]
fn a_collector_is_loaded_shown_used_and_unloaded() {
    let daemon = Daemon::start();
    let loaded = load(&daemon, "snap-mock", &plugin("collector"));
    assert_eq!(loaded.status, 200, "{loaded:?} {}", daemon.log());
    let shape = ["type", "name", "version", "state", "restarts"].map(|key| &loaded.body[key]);
    assert_eq!(json!(shape), json!(["collector", "mock-py", 1, "running", 0]));
    assert_eq!(daemon.get("/v3/plugins").body, json!([loaded.body]));

    let shown = daemon.get("/v3/plugins/collector:mock-py").body;
    let rule = json!({
        "key": "scale", "namespace": "/tribe/mock", "type": "integer", "required": false,
        "default": 10, "minimum": 1, "maximum": 100
    });
    assert_eq!(shown["config"], json!([rule]));
    let file = PathBuf::from(shown["file"].as_str().unwrap());
    let place = format!("data/plugins/{}/snap-mock", shown["sha256"].as_str().unwrap());
    assert_eq!(file, daemon.dir.path().join(place));

    let user = "/tribe/mock/cpu/*/user";
    let all = daemon.get("/v3/metrics").body;
    let names: Vec<_> = all.as_array().unwrap().iter().map(|metric| &metric["namespace"]).collect();
    let others = [
        "/tribe/mock/large/one",
        "/tribe/mock/large/two",
        "/tribe/mock/load",
        "/tribe/mock/trouble/error",
    ];
    let expected: Vec<_> = [user].into_iter().chain(others).collect();
    assert_eq!(json!(names), json!(expected));
    let some = daemon.get("/v3/metrics?namespace=/tribe/mock/cpu/*").body;
    let expected = json!([{
        "namespace": user, "version": 1, "plugin": "collector:mock-py:1", "dynamic": ["cpu_id"],
        "unit": "", "description": ""
    }]);
    assert_eq!(some, expected);
    assert_eq!(daemon.get("/v3/metrics?namespace=/x").refusal(), (404, "unknown-metric"));

    let unversioned = daemon.send("DELETE", "/v3/plugins/collector:mock-py", "", "");
    assert_eq!(unversioned.refusal(), (400, "bad-plugin"));
    let pid = loaded.body["pid"].as_i64().unwrap();
    assert!(is_running(pid));
    let gone = daemon.send("DELETE", "/v3/plugins/collector:mock-py:1", "", "");
    assert_eq!((gone.status, &gone.body), (200, &loaded.body));
    assert!(!is_running(pid) && !file.exists());
    assert_eq!(daemon.get("/v3/metrics").body, json!([]));
    assert_eq!(daemon.get("/v3/plugins/collector:mock-py").refusal(), (404, "unknown-plugin"));
}

#[test]
fn metrics_go_through_real_plugins_from_end_to_end() {
    let daemon = Daemon::start();
    load_all(&daemon, &["collector", "processor", "publisher"]);
    let file = daemon.dir.path().join("published");
    let reply = collect(
        &daemon,
        &json!({
            "metrics": [{"namespace": "/tribe/mock/(load;cpu)/*"}],
            "process": ["tag-py"],
            "publish": ["file-py:1"],
            "config": {"mock-py": {"scale": 7.0}, "file-py": {"file": file}},
        }),
    );
    // A trailing star means what is below, and below `load` is nothing.
    assert_eq!(reply.refusal(), (404, "unknown-metric"), "{reply:?}");
    let before = now_ms();
    let reply = collect(
        &daemon,
        &json!({
            "metrics": [{"namespace": "/tribe/mock/load"}, {"namespace": "/tribe/mock/cpu/*/user"}],
            "process": ["tag-py"],
            "publish": ["file-py:1"],
            "config": {"mock-py": {"scale": 7.0}, "file-py": {"file": file}},
        }),
    );
    assert_eq!(reply.status, 200, "{reply:?} {}", daemon.log());
    let measured: Vec<_> = reply.body.as_array().unwrap().iter().collect();
    let shown = |one: &&Value| json!([one["namespace"], one["data"], one["tags"]]);
    let tags = json!({"colour": "red", "plugin_running_on": "i1"});
    let expected = json!([
        ["/tribe/mock/load", 7, tags],
        ["/tribe/mock/cpu/cpu0/user", 0.0, tags],
        ["/tribe/mock/cpu/cpu1/user", 1.0, tags],
    ]);
    assert_eq!(json!(measured.iter().map(shown).collect::<Vec<_>>()), expected);
    // The collector sets the time of the load; the library of the processor loses it.
    assert!(measured[0]["timestamp_ms"].as_u64().unwrap() >= before, "{}", measured[0]);
    let tags = "colour=red,plugin_running_on=i1";
    let published = format!(
        "tribe/mock/load 1 {tags}\ntribe/mock/cpu/cpu0/user 3 {tags}\n\
         tribe/mock/cpu/cpu1/user 3 {tags}\n"
    );
    assert_eq!(fs::read_to_string(&file).unwrap(), published);

    // More than a plugin takes at once.
    let large = collect(
        &daemon,
        &json!({
            "metrics": [{"namespace": "/tribe/mock/large/*"}, {"namespace": "/tribe/mock/large/one"}],
            "process": ["tag-py"],
            "publish": ["file-py"],
            "config": {"file-py": {"file": file}},
        }),
    );
    assert_eq!(large.status, 200, "{} {}", large.body["error"], daemon.log());
    assert_eq!(large.body.as_array().unwrap().len(), 2);
}

#[test]
fn what_a_plugin_cannot_use_is_told_before_it_is_called() {
    let daemon = Daemon::start();
    load_all(&daemon, &["collector", "publisher"]);
    let check = |more: Value, refusal: (u16, &str), message: &str| {
        let mut once = json!({"metrics": [{"namespace": "/tribe/mock/load"}]});
        once.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let reply = collect(&daemon, &once);
        assert_eq!((reply.refusal(), reply.message()), (refusal, message));
    };
    check(
        json!({"publish": ["file-py"]}),
        (400, "bad-config"),
        "plugin `publisher:file-py:1`: it needs `file` in its configuration",
    );
    check(
        json!({"config": {"mock-py": {"scale": 101}}}),
        (400, "bad-config"),
        "plugin `collector:mock-py:1`: `scale` is 101, the maximum is 100",
    );
    check(
        json!({"config": {"mock-py": {"scale": "many"}}}),
        (400, "bad-config"),
        "plugin `collector:mock-py:1`: `scale` must be a whole number, not text",
    );
    check(
        json!({"config": {"mock-py": {"scale": [1]}}}),
        (400, "bad-config"),
        "`scale` is not true or false, a number or text",
    );
    check(
        json!({"process": ["tag-py"]}),
        (404, "unknown-plugin"),
        "plugin `processor:tag-py` is not loaded",
    );
    check(
        json!({"metrics": [{"namespace": "/tribe/mock/load", "version": 2}]}),
        (404, "unknown-metric"),
        "there is no metric `/tribe/mock/load` version 2",
    );
    check(json!({"metrics": []}), (400, "bad-body"), "there is nothing to collect");
    check(
        json!({"metrics": [{"namespace": "tribe/mock"}]}),
        (400, "bad-namespace"),
        "`tribe/mock` is no namespace, write it as `/intel/psutil/load/load1`",
    );
}

#[test]
fn an_error_of_a_plugin_is_told_with_its_trace() {
    let daemon = Daemon::start();
    load_all(&daemon, &["collector"]);
    let reply = collect_one(&daemon, "/tribe/mock/trouble/error");
    assert_eq!(reply.refusal(), (502, "plugin-failed"));
    let message = "plugin `collector:mock-py:1` failed: there is no disk";
    assert_eq!(reply.message(), message);
    assert!(reply.body["error"]["detail"].as_str().unwrap().contains("ValueError"), "{reply:?}");
    assert_eq!(collect_one(&daemon, "/tribe/mock/load").body[0]["data"], 10);
}

#[test]
fn a_plugin_that_misbehaves_as_real_ones_do_can_be_used() {
    let daemon = Daemon::start();
    let loaded = load(&daemon, "fake", &plugin("fake"));
    assert_eq!(loaded.status, 200, "{loaded:?} {}", daemon.log());
    assert_eq!((&loaded.body["name"], &loaded.body["version"]), (&json!("fake"), &json!(7)));
    let before = now_ms();
    let measured = &collect_one(&daemon, "/tribe/fake/address").body[0];
    assert!(measured["timestamp_ms"].as_u64().unwrap() >= before, "{measured}");
    assert_eq!(measured["version"], 7);
    assert_eq!(measured["data"], "\u{2}B\u{fffd}\u{11}\0\u{fffd}");
    assert_eq!(measured["tags"]["hardware_addr"], "\u{2}B\u{fffd}\u{11}\0\u{fffd}");
    let failed = collect_one(&daemon, "/tribe/fake/status");
    assert_eq!(failed.message(), "plugin `collector:fake:7` failed: there is no disk");
    let large = collect_one(&daemon, "/tribe/fake/large");
    assert_eq!(large.body[0]["data"].as_array().map(Vec::len), Some(6_000_000));
    let pid = loaded.body["pid"].as_i64().unwrap();
    assert_eq!(daemon.send("DELETE", "/v3/plugins/collector:fake:7", "", "").status, 200);
    assert!(!is_running(pid));
}

#[test]
fn a_plugin_that_others_published_works_as_it_is() {
    let jolokia = fs::read_to_string(python().with_file_name("snap-plugin-collector-jolokia"));
    let jolokia = jolokia.unwrap();
    let bare = Daemon::start();
    let refused = load(&bare, "jolokia", &jolokia);
    assert_eq!(refused.refusal(), (422, "bad-plugin"));
    let message = "the plugin was not loaded: GetMetricTypes failed: 'jolokia_host_path'";
    assert_eq!(refused.message(), message);

    // It asks a server, for which files will do.
    let java = TempDir::new().unwrap();
    let types = json!({"value": {"java.lang": {"type=Threading": {"attr": {"ThreadCount": {}}}}}});
    fs::write(java.path().join("list.json"), types.to_string()).unwrap();
    fs::create_dir(java.path().join("java.lang:type=Threading")).unwrap();
    let value = java.path().join("java.lang:type=Threading/ThreadCount");
    fs::write(value, json!({"value": 42}).to_string()).unwrap();
    let java = java.path().display();
    let daemon = daemon_with(&format!(
        "config: {{jolokia: {{jolokia_host_path: 'file://{java}/list.json', \
         app_endpoint: 'file://{java}'}}}}"
    ));
    let loaded = load(&daemon, "jolokia", &jolokia);
    assert_eq!(loaded.status, 200, "{loaded:?} {}", daemon.log());
    let measured = collect_one(&daemon, "/intel/jolokia/*");
    assert_eq!(
        measured.body[0]["namespace"],
        "/intel/jolokia/java.lang/type=Threading|ThreadCount"
    );
    assert_eq!(measured.body[0]["data"], 42, "{measured:?}");
}

#[test]
fn a_plugin_that_falls_silent_is_started_again() {
    let daemon = Daemon::start();
    load_all(&daemon, &["publisher"]);
    let first = pid_of(&daemon, "publisher:file-py").unwrap();
    assert!(Command::new("kill").args(["-STOP", &first.to_string()]).status().unwrap().success());
    wait_until("the plugin runs again", || {
        pid_of(&daemon, "publisher:file-py").is_some_and(|pid| pid != first)
    });
    assert!(!is_running(first));
    let shown = daemon.get("/v3/plugins/publisher:file-py").body;
    let failure = "it did not answer within 3 s (3 pings in a row)";
    assert!(shown["failure"].as_str().unwrap().starts_with(failure), "{shown}");
}

#[test]
fn a_plugin_that_was_killed_is_started_again() {
    let daemon = Daemon::start();
    load_all(&daemon, &["collector"]);
    let first = pid_of(&daemon, "collector:mock-py").unwrap();
    assert!(Command::new("kill").args(["-KILL", &first.to_string()]).status().unwrap().success());
    wait_until("the plugin runs again", || {
        pid_of(&daemon, "collector:mock-py").is_some_and(|pid| pid != first)
    });
    let shown = daemon.get("/v3/plugins/collector:mock-py").body;
    assert_eq!(shown["plugin"]["restarts"], 1);
    let failure = shown["failure"].as_str().unwrap();
    assert!(failure.starts_with("it ended (signal: 9 (SIGKILL))"), "{failure}");
    assert_eq!(collect_one(&daemon, "/tribe/mock/load").body[0]["data"], 10);
}

#[test]
fn a_plugin_that_cannot_start_again_is_told_of_and_can_be_unloaded() {
    let daemon = Daemon::start();
    load_all(&daemon, &["collector"]);
    let shown = daemon.get("/v3/plugins/collector:mock-py").body;
    fs::remove_file(shown["file"].as_str().unwrap()).unwrap();
    let pid = shown["plugin"]["pid"].to_string();
    assert!(Command::new("kill").args(["-KILL", &pid]).status().unwrap().success());
    wait_until("a new start fails", || {
        let shown = daemon.get("/v3/plugins/collector:mock-py").body;
        shown["failure"].as_str().is_some_and(|failure| failure.contains("cannot be read"))
    });
    let reply = collect_one(&daemon, "/tribe/mock/load");
    assert_eq!(reply.refusal(), (503, "plugin-down"));
    assert_eq!(daemon.send("DELETE", "/v3/plugins/collector:mock-py:1", "", "").status, 200);
}

#[test]
fn no_plugin_outlives_its_daemon() {
    for signal in ["-TERM", "-KILL"] {
        let mut daemon = Daemon::start();
        load_all(&daemon, &["publisher"]);
        let pid = pid_of(&daemon, "publisher:file-py").unwrap();
        daemon.signal(signal);
        daemon.ended();
        wait_until("the plugin is gone", || !is_running(pid));
    }
}

#[test]
fn a_plugin_is_loaded_once() {
    let daemon = Daemon::start();
    load_all(&daemon, &["publisher"]);
    let first = pid_of(&daemon, "publisher:file-py").unwrap();
    // The file is larger than other requests may be.
    let large = plugin("publisher") + &"#".repeat(3 * 1024 * 1024);
    for (name, content) in [("publisher", &plugin("publisher")), ("other", &large)] {
        let again = load(&daemon, name, content);
        assert_eq!(again.refusal(), (409, "plugin-loaded"));
        assert_eq!(again.message(), "plugin `publisher:file-py:1` is loaded already");
        assert_eq!(again.help(), "unload it first: `snapctl plugin unload publisher:file-py:1`");
    }
    // The one that is loaded is still there, with its file.
    assert_eq!(pid_of(&daemon, "publisher:file-py"), Some(first));
    let shown = daemon.get("/v3/plugins/publisher:file-py").body;
    assert!(Path::new(shown["file"].as_str().unwrap()).exists());
    // Another file of the same name takes its place.
    let replaced = load(&daemon, "publisher", &large);
    assert_eq!(replaced.status, 200, "{replaced:?}");
    assert_ne!(pid_of(&daemon, "publisher:file-py"), Some(first));
}

/// Loads a broken plugin, and compares the reason and what it printed.
fn check_broken(daemon: &Daemon, content: &str, reason: &str, printed: Option<&str>) {
    let reply = load(daemon, "broken", content);
    assert_eq!(reply.refusal(), (422, "bad-plugin"), "{content}");
    assert_eq!(reply.message(), format!("the plugin was not loaded: {reason}"));
    let detail = printed.map(|text| format!("it last printed:\n  {text}"));
    assert_eq!(reply.body["error"]["detail"].as_str(), detail.as_deref());
    assert_eq!(daemon.get("/v3/plugins").body, json!([]));
    let left = fs::read_dir(daemon.dir.path().join("data/plugins")).unwrap().count();
    assert_eq!(left, 1, "nothing but the lock stays");
}

#[test]
fn a_broken_plugin_is_refused_with_its_reason() {
    let daemon = Daemon::start();
    check_broken(
        &daemon,
        "#!/bin/sh\necho hello\necho 'No devices detected' >&2\nexit 3\n",
        "it ended before it said what it is (exit status: 3)",
        Some("hello\n  No devices detected"),
    );
    check_broken(
        &daemon,
        "#!/bin/sh\nkill -SEGV $$\n",
        "it ended before it said what it is (signal: 11 (SIGSEGV))",
        None,
    );
    let v1 = r#"{"Meta":{"Name":"smart","Version":9,"RPCType":0},"ListenAddress":"127.0.0.1:1","PublicKey":{"N":DIGITS}}"#;
    let v1 = v1.replace("DIGITS", &"7".repeat(617));
    check_broken(
        &daemon,
        &format!("#!/bin/sh\necho '{v1}'\nsleep 1000\n"),
        "v1 native RPC plugin, not supported",
        None,
    );
    check_broken(
        &daemon,
        "#!/bin/sh\necho '{\"Meta\":7}'\nsleep 1000\n",
        "its first line is not understood: invalid type: integer `7`, expected struct RawMeta at \
         line 1 column 9",
        None,
    );
}

#[test]
fn a_plugin_that_says_nothing_is_refused_and_ended_with_its_children() {
    let daemon = daemon_with("load_timeout: 1s");
    let pids = daemon.dir.path().join("pids");
    let script = format!(
        "#!/bin/sh\necho wait >&2\nsleep 1000 &\necho $$ $! > {}\nsleep 1000\n",
        pids.display()
    );
    check_broken(&daemon, &script, "it was not ready within 1s", Some("wait"));
    for pid in fs::read_to_string(pids).unwrap().split_whitespace() {
        assert!(!is_running(pid.parse().unwrap()));
    }
}

#[test]
fn a_file_that_cannot_be_run_is_refused() {
    let daemon = Daemon::start();
    let text = load(&daemon, "broken", "I am a text\n");
    assert_eq!(text.refusal(), (422, "bad-plugin"));
    let message = "the plugin was not loaded: wrong architecture or not executable: it is neither \
                   an ELF program nor a script that begins with `#!`";
    assert_eq!(text.message(), message);
    let script = load(&daemon, "broken", "#!/nowhere/python\n");
    assert_eq!(script.refusal(), (422, "bad-plugin"));
    let detail = script.body["error"]["detail"].as_str().unwrap();
    assert!(detail.contains("No such file or directory"), "{detail}");
    // The head of a program for a mainframe.
    let foreign = "\x7fELF\x02\x02\x01\0\0\0\0\0\0\0\0\0\0\x02\0\x16";
    let foreign = load(&daemon, "broken", foreign);
    assert!(foreign.message().contains("it is built for s390x, this host is "), "{foreign:?}");
}

#[test]
fn what_is_no_file_of_a_plugin_is_refused() {
    let daemon = Daemon::start();
    assert_eq!(load(&daemon, "x", "").refusal(), (400, "empty"));
    assert_eq!(load(&daemon, "..", "x").refusal(), (400, "bad-name"));
    assert_eq!(load(&daemon, "a%2Fb", "x").refusal(), (400, "bad-name"));
    assert_eq!(daemon.json("POST", "/v3/plugins?file=x", "{}").refusal(), (415, "not-a-file"));
    assert_eq!(daemon.get("/v3/plugins/reader:x").refusal(), (400, "bad-plugin"));
}

#[test]
fn a_node_with_keyrings_runs_what_was_signed() {
    let home = TempDir::new().unwrap();
    let path = |name: &str| home.path().join(name).display().to_string();
    let gpg = |args: &[&str]| {
        let mut command = Command::new("gpg");
        command.args(["--batch", "--quiet", "--passphrase=", "--pinentry-mode=loopback"]);
        let status = command.arg("--homedir").arg(home.path()).args(args).status().unwrap();
        assert!(status.success(), "{args:?}");
    };
    gpg(&["--quick-generate-key", "Ann", "ed25519", "sign", "never"]);
    gpg(&["--armor", "--output", &path("ann.asc"), "--export"]);
    let text = plugin("publisher");
    fs::write(path("plugin"), &text).unwrap();
    gpg(&["--armor", "--output", &path("signature"), "--detach-sign", &path("plugin")]);
    let signature = BASE64_STANDARD.encode(fs::read(path("signature")).unwrap());
    let _ = Command::new("gpgconf").args(["--homedir", &path(""), "--kill", "gpg-agent"]).status();

    let daemon = daemon_with(&format!("keyrings: ['{}']", path("ann.asc")));
    let unsigned = load(&daemon, "publisher", &text);
    assert_eq!(unsigned.refusal(), (422, "bad-plugin"));
    let message = "the plugin was not loaded: it is not signed, and this node runs signed plugins \
                   only";
    assert_eq!(unsigned.message(), message);
    let headers =
        format!("content-type: application/octet-stream\r\nx-plugin-signature: {signature}\r\n");
    let signed = daemon.send("POST", "/v3/plugins?file=publisher", &headers, &text);
    assert_eq!(signed.status, 200, "{signed:?}");
    assert!(daemon.log().contains("a signed plugin"), "{}", daemon.log());
}

#[test]
fn a_node_that_cannot_check_what_it_is_to_check_does_not_start() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("snapd.yaml");
    let fails = |section: &str, expected: &str| {
        fs::write(&path, format!("plugins: {{{section}}}\n")).unwrap();
        let socket = dir.path().join("sock");
        let args = ["--config", path.to_str().unwrap(), "--socket", socket.to_str().unwrap()];
        let found = run(&args);
        assert_eq!(found.code, Some(78), "{}", found.stderr);
        assert_eq!(found.stderr.lines().last(), Some(expected));
    };
    fails(
        "keyrings: [/nowhere/keys.asc]",
        "error: cannot read keyring `/nowhere/keys.asc`: No such file or directory (os error 2)",
    );
    fails(
        "tls: {ca: /nowhere/ca, cert: /c, key: /k, plugin_cert: /p, plugin_key: /q}",
        &format!(
            "error: {}:1:16: cannot read `/nowhere/ca` for TLS with plugins: No such file or \
             directory (os error 2)",
            path.display()
        ),
    );
}
