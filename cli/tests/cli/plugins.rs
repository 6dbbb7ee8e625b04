//! Plugins and metrics, of a node and of tribes, against a daemon that says what the test says.

use std::fs;

use tempfile::TempDir;

use crate::support::Snapd;

const LOADED: &str = r#"{"name":"psutil","plugin":{"type":"collector","name":"psutil","version":14,
    "state":"running","pid":7,"restarts":0},"holders":["i1"]}"#;
const PSUTIL: &str =
    r#"{"type":"collector","name":"psutil","version":14,"state":"running","pid":7,"restarts":0}"#;

/// A file in a directory, which stays while the directory does; and its path as text.
fn file(name: &str, content: impl AsRef<[u8]>) -> (TempDir, String) {
    let directory = tempfile::tempdir().expect("there is room");
    let path = directory.path().join(name);
    fs::write(&path, content).expect("there is room");
    let path = path.to_str().expect("the path is text").to_owned();
    (directory, path)
}

#[test]
fn a_plugin_is_loaded_from_a_file_and_unloaded() {
    let (_directory, path) = file("snap-psutil", "#!/bin/sh");
    let snapd = Snapd::new([
        ("POST /v3/plugins?file=snap-psutil", 200, LOADED),
        ("DELETE /v3/plugins/collector%3Apsutil%3A14", 200, PSUTIL),
    ]);
    snapd.test(["plugin", "load", &path]).stderr("loaded plugin `collector:psutil:14`").run();
    assert_eq!(snapd.asked(), ["POST /v3/plugins?file=snap-psutil #!/bin/sh"]);
    assert_eq!(snapd.header("content-type").as_deref(), Some("application/octet-stream"));
    assert_eq!(snapd.header("x-plugin-signature"), None);
    snapd
        .test(["plugin", "unload", "collector:psutil:14"])
        .stderr("unloaded plugin `collector:psutil:14`")
        .run();
}

#[test]
fn a_plugin_that_stays_for_a_tribe_is_not_said_to_be_unloaded() {
    let kept =
        r#"{"type":"collector","name":"psutil","version":14,"state":"running","kept_for":"core"}"#;
    let snapd = Snapd::new([("DELETE /v3/plugins/collector%3Apsutil%3A14", 200, kept)]);
    snapd
        .test(["plugin", "unload", "collector:psutil:14"])
        .stderr(
            "plugin `collector:psutil:14` is not asked for on this node alone any more; it stays loaded \
             for tribe `core`",
        )
        .run();
}

#[test]
fn a_large_file_arrives_whole() {
    let (_directory, path) = file("large", "x".repeat(3_000_000));
    let snapd = Snapd::new([("POST /v3/plugins?file=large", 200, LOADED)]);
    snapd.test(["plugin", "load", &path]).stderr("loaded plugin `collector:psutil:14`").run();
    assert_eq!(snapd.header("content-length").as_deref(), Some("3000000"));
    let asked = snapd.asked();
    assert_eq!(asked[0].len(), "POST /v3/plugins?file=large ".len() + 3_000_000);
}

#[test]
fn a_plugin_of_a_tribe_is_loaded_with_its_signature() {
    let (directory, path) = file("influxdb", "#!/bin/sh");
    fs::write(directory.path().join("influxdb.asc"), "-----BEGIN").expect("there is room");
    fs::write(directory.path().join("other.asc"), "other").expect("there is room");
    let reply = r#"{"name":"influxdb","tribe":"core","holders":["i4","i1"],"missing":["i3"],
        "note":"only 2 of 3 nodes hold the file so far\u001b"}"#;
    let request = "POST /v3/plugins?file=influxdb&tribe=core&wait=10";
    let snapd = Snapd::new([(request, 200, reply)]);
    let stderr = "\
note: only 2 of 3 nodes hold the file so far\\u{1b}
tribe `core` loads plugin `influxdb`, held by i4, i1
warning: 1 live node did not say within 10 s that it holds this:
  i3
help: it is written and will reach them, `snapctl member list` shows who is there";
    let load = ["plugin", "load", &path, "--tribe", "core", "--wait"];
    snapd.test(load).stderr(stderr).status(4).run();
    assert_eq!(snapd.header("x-plugin-signature").as_deref(), Some("LS0tLS1CRUdJTg=="));
    let other = format!("{}/other.asc", directory.path().display());
    // The last two are snaptel's.
    for option in ["--signature", "--plugin-asc", "-a"] {
        snapd.test(load.into_iter().chain([option, &other])).stderr(stderr).status(4).run();
        assert_eq!(snapd.header("x-plugin-signature").as_deref(), Some("b3RoZXI="));
    }
}

#[test]
fn a_name_without_a_file_is_one_of_snapds() {
    let reply = r#"{"name":"influxdb","tribe":"core","holders":["i4"]}"#;
    let missing = r#"{"error":{"code":"no-file","message":"there is no plugin `x` in `/opt/snap`",
        "help":"give the path of its file, or set `plugins.dir` in snapd.yaml"}}"#;
    let snapd = Snapd::new([("POST /v3/plugins/named", 200, reply)]);
    let (directory, _) = file("psutil", "#!/bin/sh");
    // A directory of that name is not meant.
    fs::create_dir(directory.path().join("influxdb")).expect("there is room");
    snapd
        .test(["plugin", "load", "influxdb", "--tribe", "core"])
        .directory(directory.path())
        .stderr("tribe `core` loads plugin `influxdb`, held by i4")
        .run();
    let asked = snapd.asked();
    assert_eq!(asked, [r#"POST /v3/plugins/named {"name":"influxdb","tribe":"core"}"#]);

    let snapd = Snapd::new([("POST /v3/plugins/named", 404, missing)]);
    snapd
        .test(["plugin", "load", "x"])
        .stderr(
            "\
error: there is no plugin `x` in `/opt/snap`
help: give the path of its file, or set `plugins.dir` in snapd.yaml",
        )
        .status(3)
        .run();
}

#[test]
fn a_file_that_is_there_is_meant_even_without_a_slash() {
    let (directory, _) = file("psutil", "#!/bin/sh");
    let snapd = Snapd::new([("POST /v3/plugins?file=psutil", 200, LOADED)]);
    snapd
        .test(["plugin", "load", "psutil"])
        .directory(directory.path())
        .stderr("loaded plugin `collector:psutil:14`")
        .run();
}

#[test]
fn a_plugin_that_does_not_start_is_told_with_what_it_printed() {
    let (_directory, path) = file("broken", "#!/bin/sh");
    let reply = r#"{"error":{"code":"bad-plugin",
        "message":"the plugin was not loaded: it was not ready within 10s",
        "detail":"it last printed:\n  no disk\u001b"}}"#;
    let snapd = Snapd::new([("POST /v3/plugins?file=broken", 422, reply)]);
    snapd
        .test(["plugin", "load", &path])
        .stderr(
            "\
error: the plugin was not loaded: it was not ready within 10s
it last printed:
  no disk\\u{1b}",
        )
        .status(1)
        .run();
}

#[test]
fn a_tribe_may_not_load_everything_everywhere() {
    let (_directory, path) = file("psutil", "#!/bin/sh");
    let reply = r#"{"error":{"code":"not-allowed","message":"no tribe may load plugins here"}}"#;
    let snapd = Snapd::new([("POST /v3/plugins?file=psutil", 403, reply)]);
    snapd
        .test(["plugin", "load", &path])
        .stderr("error: no tribe may load plugins here")
        .status(6)
        .run();
}

const INFLUXDB: &str = r#"{"name":"influxdb","tribe":"core","generation":3,"files":[
    {"os":"linux","arch":"x86_64","sha256":"0123456789abcdef","bytes":7,"file_name":"influxdb",
     "signed":true,"holders":["i1","i2"]},
    {"os":"linux","arch":"aarch64","sha256":"fedcba9876543210","bytes":8,"file_name":"influxdb",
     "signed":false}]}"#;

#[test]
fn plugins_of_a_tribe_are_listed_shown_and_unloaded() {
    let list: &'static str = Box::leak(format!("[{INFLUXDB}]").into_boxed_str());
    let snapd = Snapd::new([
        ("GET /v3/tribes/core/plugins", 200, list),
        ("GET /v3/tribes/core/plugins/influxdb", 200, INFLUXDB),
        (
            "DELETE /v3/tribes/core/plugins/influxdb?wait=5",
            200,
            r#"{"missing":["i3"],"note":"task `load` of the tribe uses it"}"#,
        ),
    ]);
    snapd
        .test(["plugin", "list", "--tribe", "core"])
        .stdout(
            "\
PLUGIN    GENERATION  PLATFORM       BYTES  SIGNED  SHA256        HELD-BY
influxdb  3           linux/x86_64   7      yes     0123456789ab  i1,i2
influxdb  3           linux/aarch64  8      no      fedcba987654  -",
        )
        .run();
    snapd
        .test(["plugin", "show", "influxdb", "--tribe", "core"])
        .stdout(
            "\
plugin      influxdb
tribe       core
generation  3

PLATFORM       BYTES  SIGNED  SHA256            HELD-BY
linux/x86_64   7      yes     0123456789abcdef  i1,i2
linux/aarch64  8      no      fedcba9876543210  -",
        )
        .run();
    snapd
        .test(["plugin", "unload", "influxdb", "--tribe", "core", "--wait=5"])
        .stderr(
            "\
note: task `load` of the tribe uses it
tribe `core` unloads plugin `influxdb`
warning: 1 live node did not say within 5 s that it holds this:
  i3
help: it is written and will reach them, `snapctl member list` shows who is there",
        )
        .status(4)
        .run();
}

#[test]
fn a_plugin_of_this_node_is_shown() {
    let detail = r#"{"plugin":{"type":"publisher","name":"influxdb","version":25,"state":"running",
        "pid":7,"restarts":2},"file":"/var/lib/snap/influxdb","sha256":"0f","signed_by":"Ann\u001b",
        "failure":"it ended (signal: 9)","config":[
        {"key":"port","namespace":"/","type":"integer","required":false,"default":8086}]}"#;
    let missing =
        r#"{"error":{"code":"unknown-plugin","message":"there is no plugin `publisher:x`"}}"#;
    let snapd = Snapd::new([
        ("GET /v3/plugins/publisher%3Ainfluxdb", 200, detail),
        ("GET /v3/plugins/publisher%3Ax", 404, missing),
    ]);
    snapd
        .test(["plugin", "show", "publisher:influxdb"])
        .stdout(
            "\
plugin        publisher:influxdb:25
state         running
pid           7
restarts      2
last failure  it ended (signal: 9)
file          /var/lib/snap/influxdb
sha256        0f
signed by     Ann\\u{1b}

CONFIG  NAMESPACE  TYPE     REQUIRED  DEFAULT  MINIMUM  MAXIMUM
port    /          integer  no        8086     -        -

METRIC",
        )
        .run();
    snapd
        .test(["plugin", "show", "publisher:x"])
        .stderr("error: there is no plugin `publisher:x`")
        .status(3)
        .run();
}

#[test]
fn what_others_offer_is_listed() {
    let reply = r#"[
        {"node":"i2","tribes":["core"],"service":"publisher/influxdb/25",
         "plugin":"publisher:influxdb:25"},
        {"node":"i\u001b3","tribes":[],"service":"status"}]"#;
    let snapd = Snapd::new([
        ("GET /v3/offers", 200, reply),
        ("GET /v3/offers?tribe=core&node=i2", 200, "[]"),
    ]);
    snapd
        .test(["plugin", "list", "--remote"])
        .stdout(
            "\
NODE  TYPE       NAME      VERSION  TRIBES
i2    publisher  influxdb  25       core",
        )
        .run();
    snapd
        .test(["-o", "json", "plugin", "list", "--remote", "--tribe", "core", "--node", "i2"])
        .stdout("[]")
        .run();
}

#[test]
fn plugins_and_metrics_are_tables() {
    let metrics = r#"[{"namespace":"/intel/psutil/load/load1","version":14,
        "plugin":"collector:psutil:14"}]"#;
    let missing = r#"{"error":{"code":"unknown-metric","message":"there is no metric `/x`"}}"#;
    let snapd = Snapd::new([
        ("GET /v3/plugins", 200, "[]"),
        ("GET /v3/metrics", 200, metrics),
        ("GET /v3/metrics?namespace=%2Fx", 404, missing),
    ]);
    snapd.test(["plugin", "list"]).stdout("TYPE  NAME  VERSION  STATE  PID  RESTARTS").run();
    snapd
        .test(["metric", "list"])
        .stdout(
            "\
NAMESPACE                 VERSION  PLUGIN               DYNAMIC  UNIT  DESCRIPTION
/intel/psutil/load/load1  14       collector:psutil:14  -        -     -",
        )
        .run();
    snapd
        .test(["metric", "list", "--namespace", "/x"])
        .stderr("error: there is no metric `/x`")
        .status(3)
        .run();
}

#[test]
fn a_metric_is_shown_with_what_its_plugin_takes() {
    let reply = r#"{"metric":{"namespace":"/a/*/b","version":2,"plugin":"collector:a:1","unit":"s",
        "description":"how\nlong","dynamic":["disk"]},
        "elements":[{"position":2,"name":"disk","description":"as in /dev"}],
        "config":[{"key":"path","namespace":"/a","type":"string","required":true}]}"#;
    let snapd = Snapd::new([
        ("GET /v3/metrics/show?namespace=%2Fa%2F%2A%2Fb&version=2", 200, reply),
        (
            "GET /v3/metrics/show?namespace=%2Fa%2F%2A",
            409,
            r#"{"error":{"code":"ambiguous","message":"`/a/*` means 2 metrics",
            "help":"`snapctl metric list --namespace '/a/*'` lists them, name one"}}"#,
        ),
    ]);
    snapd
        .test(["metric", "show", "/a/*/b", "--version", "2"])
        .stdout(
            "\
metric       /a/*/b
version      2
plugin       collector:a:1
unit         s
description  how\\nlong

ELEMENT  POSITION  DESCRIPTION
disk     2         as in /dev

CONFIG  NAMESPACE  TYPE    REQUIRED  DEFAULT  MINIMUM  MAXIMUM
path    /a         string  yes       -        -        -",
        )
        .run();
    snapd
        .test(["metric", "show", "/a/*"])
        .stderr(
            "\
error: `/a/*` means 2 metrics
help: `snapctl metric list --namespace '/a/*'` lists them, name one",
        )
        .status(1)
        .run();
}
