//! Backup and restore, against a daemon that says what the test says.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::Snapd;

const BACKUP: &str = r#"{"format":"tribe-backup","version":1,"node":"i1","entries":[
    {"what":"tribe","name":"core","description":"all"},
    {"what":"item","tribe":"core","kind":"task","name":"cpu","running":false,
        "document":{"text":"{}"}},
    {"what":"item","kind":"own","name":"x","running":true,"document":{"base64":"/w=="}},
    {"what":"policy","name":"p","tribe":"core","text":"{{a}} == b","enabled":false},
    {"what":"placement","tribe":"core","node":"i2","placement":"left"}]}"#;
const CREATED: &str = r#"{"outcome":"created"}"#;
const SAME: &str = r#"{"outcome":"same"}"#;
const NOT_SYNCED: &str = r#"{"error":{"code":"not-synced",
    "message":"this node has not met its cluster","help":"wait, or add --force"}}"#;

/// A directory with a backup of these entries; and the path of that.
fn file(entries: &Value) -> (TempDir, String) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("kept");
    let backup = json!({"format": "tribe-backup", "version": 1, "node": "i1", "entries": entries});
    fs::write(&path, backup.to_string()).unwrap();
    let path = path.to_str().unwrap().to_owned();
    (directory, path)
}

fn tribe(name: &str) -> Value {
    json!({"what": "tribe", "name": name, "description": ""})
}

fn policy(text: &str) -> Value {
    json!({"what": "policy", "name": "p", "tribe": "core", "text": text, "enabled": true})
}

/// The request that says this again.
fn says(entry: &Value, flags: &str) -> &'static str {
    let entry = match entry["what"].as_str() {
        Some("tribe") => format!(r#"{{"what":"tribe","name":{},"description":""}}"#, entry["name"]),
        _ => format!(
            r#"{{"what":"policy","name":"p","tribe":"core","text":{},"enabled":true}}"#,
            entry["text"]
        ),
    };
    format!(r#"POST /v3/restore {{"entry":{entry},{flags}}}"#).leak()
}

const PLAIN: &str = r#""replace":false,"dry_run":false"#;

fn names(directory: &Path) -> Vec<PathBuf> {
    fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect()
}

#[test]
fn what_is_kept_is_said_again_word_for_word() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("kept");
    let name = path.to_str().unwrap();
    let snapd = Snapd::new([("GET /v3/backup", 200, BACKUP), ("POST /v3/restore", 200, CREATED)]);
    snapd.test(["backup", name]).stderr(&format!("kept 5 things in `{name}`")).run();
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(names(directory.path()), std::slice::from_ref(&path));
    let backup: Value = serde_json::from_str(BACKUP).unwrap();
    let kept: Value = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
    assert_eq!(kept, backup);

    snapd
        .test(["restore", name])
        .stdout(
            "\
OUTCOME  WHAT                           NOTE
created  tribe `core`                   -
created  task `cpu` of tribe `core`     -
created  own `x` of this node           -
created  policy `p`                     -
created  node `i2` out of tribe `core`  -
5 things: 5 created",
        )
        .run();
    let said = snapd.asked().into_iter().filter_map(|asked| {
        let body = asked.strip_prefix("POST /v3/restore ")?.to_owned();
        Some(serde_json::from_str::<Value>(&body).unwrap())
    });
    let entries = backup["entries"].as_array().unwrap().iter();
    let expected = entries.map(|it| json!({"entry": it, "replace": false, "dry_run": false}));
    assert_eq!(said.collect::<Vec<_>>(), expected.collect::<Vec<_>>());
}

#[test]
fn a_dash_is_stdout_and_stdin() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    let (all, part) = (format!("{BACKUP}\n").leak(), BACKUP.split_once("},").unwrap().0);
    let snapd = Snapd::new([("GET /v3/backup", 200, &*all), ("POST /v3/restore", 200, SAME)]);
    let test = snapd.test(["backup", "-"]).directory(at);
    test.stdout(BACKUP).stderr("wrote 5 things to stdout").run();
    let test = snapd.test(["restore", "-"]).directory(at).stdin(BACKUP);
    test.stdout("5 things: 5 there already").run();
    let cut = "error: stdin is a backup that is cut off: EOF while parsing an object at line 2 \
               column 53\nhelp: copy all of it once more";
    snapd.test(["restore", "-"]).stdin(part).stderr(cut).status(1).run();
    let broken = Snapd::new([("GET /v3/backup", 200, part)]);
    let cut = "error: what snapd tells is no backup: EOF while parsing an object at line 2 column \
               53\nhelp: compare the versions of client and daemon with `snapctl version`";
    broken.test(["backup", "-"]).directory(at).stderr(cut).status(1).run();
    assert!(names(at).is_empty());
}

#[test]
fn a_dry_run_knows_the_tribes_that_the_file_brings() {
    let place = |tribe: &str, node: &str, placement: &str| {
        json!({"what": "placement",
        "tribe": tribe, "node": node, "placement": placement})
    };
    let (_directory, path) = file(&json!([
        tribe("core"),
        policy("{{a}} == b"),
        place("core", "i1", "joined"),
        place("core", "i2", "left"),
        place("gone", "i3", "joined"),
    ]));
    let dry = r#""replace":false,"dry_run":true"#;
    let unknown = r#"{"outcome":"created","no_tribe":"there is no tribe `x`"}"#;
    let snapd = Snapd::new([
        (says(&tribe("core"), dry), 200, CREATED),
        (says(&policy("{{a}} == b"), dry), 200, SAME),
        ("POST /v3/restore", 200, unknown),
    ]);
    snapd
        .test(["restore", &path, "--dry-run"])
        .stdout(
            "\
OUTCOME    WHAT                           NOTE
to create  tribe `core`                   -
to create  node `i1` in tribe `core`      -
to create  node `i2` out of tribe `core`  -
refused    node `i3` in tribe `gone`      there is no tribe `x`
5 things: 3 to create, 1 there already, 1 refused",
        )
        .status(4)
        .run();
}

#[test]
fn a_file_that_is_there_is_not_overwritten() {
    let (directory, path) = file(&json!([]));
    let before = fs::read_to_string(&path).unwrap();
    let snapd = Snapd::new([("GET /v3/backup", 200, BACKUP)]);
    snapd
        .test(["backup", &path])
        .stderr(&format!(
            "error: `{path}` exists and is not overwritten\n\
             help: name another file, or remove this one first"
        ))
        .status(1)
        .run();
    assert!(snapd.asked().is_empty());
    assert_eq!(fs::read_to_string(&path).unwrap(), before);
    assert_eq!(names(directory.path()).len(), 1);
}

#[test]
fn what_no_backup_can_be_written_to_is_told_for_what_it_is() {
    let (directory, file) = file(&json!([]));
    let directory = directory.path().to_str().unwrap();
    let snapd = Snapd::new([("GET /v3/backup", 200, BACKUP)]);
    let check = |path: &str, error: &str, help: &str| {
        let stderr = format!("error: {error}\nhelp: {help}");
        snapd.test(["backup", path]).stderr(&stderr).status(1).run();
    };
    check(
        directory,
        &format!("`{directory}` is a directory"),
        &format!("name a file in it, such as `{directory}/backup.json`"),
    );
    check(
        "/dev/full",
        "`/dev/full` is no file, and a backup is written to a new one",
        "name a file that is not there yet",
    );
    check(
        &format!("{directory}/nowhere/kept"),
        &format!("there is no directory `{directory}/nowhere`"),
        &format!("make it first: `mkdir -p '{directory}/nowhere'`"),
    );
    check(
        &format!("{directory}/it's here/kept"),
        &format!("there is no directory `{directory}/it's here`"),
        &format!(r"make it first: `mkdir -p '{directory}/it'\''s here'`"),
    );
    check(
        &format!("{directory}/nowhere/"),
        &format!("`{directory}/nowhere/` names a directory"),
        &format!("name a file in it, such as `{directory}/nowhere/backup.json`"),
    );
    check(
        &format!("{file}/kept"),
        &format!("`{file}` is no directory"),
        "name a file in a directory",
    );
    assert!(snapd.asked().is_empty());
}

#[test]
fn what_is_no_whole_backup_is_not_kept() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("kept");
    let check = |text: &'static str, reason: &str| {
        let snapd = Snapd::new([("GET /v3/backup", 200, text)]);
        let stderr = format!(
            "error: what snapd tells is no backup: {reason}\n\
             help: compare the versions of client and daemon with `snapctl version`"
        );
        snapd.test(["backup", path.to_str().unwrap()]).stderr(&stderr).status(1).run();
        assert!(names(directory.path()).is_empty());
    };
    let part = BACKUP.split_once("},\n    {\"what\":\"policy\"").unwrap().0;
    check(part, "EOF while parsing an object at line 5 column 86");
    check("{}", "missing field `entries` at line 1 column 2");
    check("", "EOF while parsing a value at line 1 column 0");
}

#[test]
fn what_a_terminal_would_obey_is_kept_as_json_has_it() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("kept");
    let name = path.to_str().unwrap();
    let told = BACKUP.replace("all", "\u{202e}äöü\u{9b}").leak();
    Snapd::new([("GET /v3/backup", 200, &*told)])
        .test(["backup", name])
        .stderr(&format!("kept 5 things in `{name}`"))
        .run();
    assert_eq!(fs::read_to_string(&path).unwrap(), BACKUP.replace("all", r"\u202eäöü\u009b"));
}

#[test]
fn an_interrupted_write_leaves_no_file() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("kept");
    let name = path.to_str().unwrap();
    let large = BACKUP.replace("\"all\"", &format!("\"{}\"", "x".repeat(100_000)));
    let snapd = Snapd::new([("GET /v3/backup", 200, &*large.leak())]);
    let error = format!("error: cannot write `{name}`: File too large (os error 27)");
    snapd.test(["backup", name]).after("ulimit -f 8; trap '' XFSZ").stderr(&error).status(1).run();
    assert!(names(directory.path()).is_empty());
    // A part is written, and the rest never comes.
    let endless = Snapd::endless([("GET /v3/backup", 200, BACKUP)]);
    let interrupted = format!("error: interrupted, `{name}` is not written");
    for (signal, status) in [("INT", 130), ("TERM", 143)] {
        let part = format!("{}/.tribe-backup-*", directory.path().display());
        let begun = format!("until [ -s {part} ]; do kill -0 $$ || exit; done; kill -{signal} $$");
        let test = endless.test(["backup", name]).after(&format!("({begun}) >/dev/null 2>&1 &"));
        test.stderr(&interrupted).status(status).run();
        assert!(names(directory.path()).is_empty(), "{signal}");
    }
    snapd.test(["backup", name]).stderr(&format!("kept 5 things in `{name}`")).run();
}

#[test]
fn what_differs_stays_unless_it_is_to_be_replaced() {
    let (core, p) = (tribe("core"), policy("{{a}} == b"));
    let (_directory, path) = file(&json!([core, p]));
    let differs = r#"{"outcome":"differs","note":"it is `{{a}} == c` for tribe `core`"}"#;
    let replace = r#""replace":true,"dry_run":false"#;
    let snapd = Snapd::new([
        (says(&core, PLAIN), 200, SAME),
        (says(&p, PLAIN), 200, differs),
        (says(&core, replace), 200, SAME),
        (says(&p, replace), 200, r#"{"outcome":"replaced"}"#),
    ]);
    snapd
        .test(["restore", &path])
        .stdout(
            "\
OUTCOME  WHAT        NOTE
differs  policy `p`  it is `{{a}} == c` for tribe `core`
2 things: 1 there already, 1 differs",
        )
        .status(4)
        .run();
    snapd
        .test(["restore", &path, "--replace"])
        .stdout(
            "\
OUTCOME   WHAT        NOTE
replaced  policy `p`  -
2 things: 1 replaced, 1 there already",
        )
        .run();
}

#[test]
fn a_mistake_in_the_file_is_shown_by_a_dry_run() {
    let (p, after) = (policy("{{a}} ="), tribe("after"));
    let (_directory, path) = file(&json!([p, after]));
    let dry = r#""replace":false,"dry_run":true"#;
    let refusal = r#"{"error":{"code":"bad-policy","message":"expected a value after `=`",
        "detail":"error[P005]: expected a value\n  {{a}} =\n         ^ give one\n"}}"#;
    let snapd = Snapd::new([(says(&p, dry), 400, refusal), (says(&after, dry), 200, CREATED)]);
    snapd
        .test(["restore", &path, "--dry-run"])
        .stdout(
            "\
OUTCOME    WHAT           NOTE
refused    policy `p`     expected a value after `=`
to create  tribe `after`  -
2 things: 1 to create, 1 refused

policy `p`:
  error[P005]: expected a value
    {{a}} =
           ^ give one",
        )
        .status(4)
        .run();
    snapd
        .test(["restore", &path, "--dry-run", "-o", "json"])
        .stdout(
            r#"[
  {
    "what": "policy",
    "name": "p",
    "tribe": "core",
    "outcome": "refused",
    "note": "expected a value after `=`",
    "detail": "error[P005]: expected a value\n  {{a}} =\n         ^ give one\n",
    "help": null
  },
  {
    "what": "tribe",
    "name": "after",
    "outcome": "would-create",
    "note": null,
    "detail": null,
    "help": null
  }
]"#,
        )
        .status(4)
        .run();
}

#[test]
fn what_moves_many_members_out_can_be_forced() {
    let p = policy("{{a}} == b");
    let (_directory, path) = file(&json!([p]));
    let refusal = r#"{"error":{"code":"would-move-out",
        "message":"replacing policy `p` would move 4 of 4 members out of tribe `core`",
        "detail":"i1\ni2\ni3\ni4","help":"to do it all the same, force it"}}"#;
    let snapd = Snapd::new([
        (says(&p, r#""replace":true,"dry_run":false"#), 409, refusal),
        (
            says(&p, r#""replace":true,"force":true,"dry_run":false"#),
            200,
            r#"{"outcome":"replaced"}"#,
        ),
    ]);
    snapd
        .test(["restore", &path, "--replace", "-o", "json"])
        .stdout(
            r#"[
  {
    "what": "policy",
    "name": "p",
    "tribe": "core",
    "outcome": "refused",
    "note": "replacing policy `p` would move 4 of 4 members out of tribe `core`",
    "detail": "i1\ni2\ni3\ni4",
    "help": "to do it all the same, add --force"
  }
]"#,
        )
        .status(4)
        .run();
    snapd
        .test(["restore", &path, "--replace", "--force"])
        .stdout("OUTCOME   WHAT        NOTE\nreplaced  policy `p`  -\n1 thing: 1 replaced")
        .run();
}

#[test]
fn a_node_that_has_not_met_its_cluster_is_not_asked_further() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("part");
    let name = path.to_str().unwrap();
    let snapd = Snapd::new([
        ("GET /v3/backup", 503, NOT_SYNCED),
        ("GET /v3/backup?force=true", 200, BACKUP),
        ("GET /v3/node", 200, r#"{"name":"i1","tribe":true,"synced":false,"acting":[]}"#),
        ("POST /v3/restore", 503, NOT_SYNCED),
    ]);
    let stderr = "error: this node has not met its cluster\nhelp: wait, or add --force";
    snapd.test(["backup", name]).stderr(stderr).status(1).run();
    assert!(names(directory.path()).is_empty());
    let alone = format!(
        "kept 5 things in `{name}`\n\
         warning: this node had not met its cluster: the backup holds what it alone knew, maybe \
         nothing\n\
         help: `snapctl tribe status` says what keeps it"
    );
    snapd.test(["backup", name, "--force"]).stderr(&alone).run();
    snapd.test(["restore", name]).stderr(stderr).status(1).run();
    let asked = snapd.asked();
    assert_eq!(asked.len(), 4);
    // It may have met its cluster when all was told.
    assert_eq!(asked[1..3], ["GET /v3/node", "GET /v3/backup?force=true"]);
}

#[test]
fn what_was_done_before_the_end_is_told() {
    let (core, after) = (tribe("core"), tribe("after"));
    let (_directory, path) = file(&json!([core, after, policy("{{a}} == b")]));
    let full = r#"{"error":{"code":"full","message":"no more fit","help":"delete some"}}"#;
    let snapd = Snapd::new([(says(&core, PLAIN), 200, CREATED), (says(&after, PLAIN), 503, full)]);
    snapd
        .test(["restore", &path])
        .stdout("OUTCOME  WHAT          NOTE\ncreated  tribe `core`  -\n1 thing: 1 created")
        .stderr("error: no more fit\nhelp: delete some")
        .status(1)
        .run();
    assert_eq!(snapd.asked().len(), 2);
}

#[test]
fn an_interrupted_restore_says_how_far_it_was() {
    let core = tribe("core");
    let (_directory, path) = file(&json!([core, policy("{{a}} == b")]));
    for (signal, status) in [("INT", 130), ("TERM", 143)] {
        // The policy is asked for once the tribe is there.
        let snapd = Snapd::stalling([(says(&core, PLAIN), 200, CREATED)]);
        let stalled = snapd.stalled();
        let begun = format!("until [ -e {} ]; do kill -0 $$ || exit; done", stalled.display());
        snapd
            .test(["restore", &path])
            .after(&format!("({begun}; kill -{signal} $$) >/dev/null 2>&1 &"))
            .stdout("OUTCOME  WHAT          NOTE\ncreated  tribe `core`  -\n1 thing: 1 created")
            .stderr(
                "error: interrupted after 1 of 2 things\n\
                 help: what is done stays, and a few of the next may be done as well: repeat it, what \
                 is there already is passed over",
            )
            .status(status)
            .run();
    }
}

#[test]
fn what_is_too_large_does_not_stop_the_rest() {
    let (core, after) = (tribe("core"), tribe("after"));
    let (_directory, path) = file(&json!([core, after]));
    let large = r#"{"error":{"code":"too-large","message":"the body is too large"}}"#;
    let snapd = Snapd::new([(says(&core, PLAIN), 413, large), (says(&after, PLAIN), 200, CREATED)]);
    snapd
        .test(["restore", &path])
        .stdout(
            "\
OUTCOME  WHAT           NOTE
refused  tribe `core`   the body is too large
created  tribe `after`  -
2 things: 1 created, 1 refused",
        )
        .status(4)
        .run();
}

#[test]
fn files_that_nobody_holds_are_told_again_and_again() {
    let (_directory, path) = file(&json!([tribe("core")]));
    let note = r#"{"outcome":"same","note":"load it again: `snapctl plugin load rand`"}"#;
    let snapd = Snapd::new([("POST /v3/restore", 200, note)]);
    snapd
        .test(["restore", &path])
        .stdout(
            "\
OUTCOME  WHAT          NOTE
same     tribe `core`  load it again: `snapctl plugin load rand`
1 thing: 1 there already",
        )
        .run();
}

#[test]
fn a_file_that_is_no_backup_is_not_sent() {
    let (directory, path) = file(&json!([{"what": "else"}]));
    let snapd = Snapd::new([]);
    let check = |text: &str, stderr: &str| {
        let file = directory.path().join("bad");
        fs::write(&file, text).unwrap();
        let file = file.to_str().unwrap();
        let stderr = format!("error: `{file}` {stderr}");
        snapd.test(["restore", file, "--dry-run"]).stderr(&stderr).status(1).run();
    };
    check("{}", "is no backup\nhelp: `snapctl backup FILE` makes one");
    check(
        r#"{"format": "tribe-backup", "version": 2}"#,
        "is of version 2, this snapctl reads up to 1\nhelp: use the snapctl that made it",
    );
    check(
        &fs::read_to_string(path).unwrap(),
        "is a backup of which this snapctl cannot read all: unknown variant `else`, expected \
         one of `tribe`, `policy`, `placement`, `item` at line 1 column 26\n\
         help: use the snapctl that made it",
    );
    let part = BACKUP.split_once("},\n    {\"what\":\"policy\"").unwrap().0;
    check(
        part,
        "is a backup that is cut off: EOF while parsing an object at line 5 column 86\n\
         help: copy all of it once more",
    );
    check(
        &BACKUP.replacen(":true", ":tru", 1),
        "is a backup that was damaged: expected ident at line 5 column 57\n\
         help: copy it once more as it is",
    );
    check(
        "",
        "is no backup, or only its beginning: EOF while parsing a value at line 1 column 0\n\
         help: copy all of it once more; `snapctl backup FILE` makes one",
    );
    check(
        "no backup",
        "is no backup: expected ident at line 1 column 2\nhelp: `snapctl backup FILE` makes one",
    );
    assert!(snapd.asked().is_empty());
}
