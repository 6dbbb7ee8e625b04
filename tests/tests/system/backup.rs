//! What people said, kept in a file and said again.

use std::{
    fmt::Write,
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use rustix::process::Signal;
use tribe_tests::{Cluster, Listener, Node, wait_until};

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

/// Writes a backup of so many items of 256 KiB, word for word as snapctl does.
fn large(directory: &Path, items: usize) -> PathBuf {
    let document = "x".repeat(256 * 1024);
    let mut text = r#"{"format":"tribe-backup","version":1,"node":"i1","entries":["#.to_owned();
    text += "\n{\"what\":\"tribe\",\"name\":\"core\",\"description\":\"\"}";
    for item in 0..items {
        write!(
            text,
            ",\n{{\"what\":\"item\",\"tribe\":\"core\",\"kind\":\"own\",\"name\":\"x{item:03}\",\
             \"running\":true,\"document\":{{\"text\":\"{document}\"}}}}"
        )
        .unwrap();
    }
    let path = directory.join("large");
    fs::write(&path, text + "\n]}\n").unwrap();
    path
}

/// Has this process been stopped, or ended before that?
fn stands_still(pid: u32) -> bool {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    ["T", "Z"].iter().any(|state| status.contains(&format!("\nState:\t{state} ")))
}

/// A figure of the memory of a process, in KiB.
fn memory(pid: u32, figure: &str) -> usize {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(figure)).unwrap();
    line.trim_matches([':', '\t', ' ', 'k', 'B']).parse().unwrap()
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
    assert!(
        again.code == Some(1) && again.stderr.contains("exists and is not overwritten"),
        "{again:?}"
    );

    cluster.kill_all();
    let fresh = Cluster::start(&[("new", &[])]);
    let new = &fresh["new"];
    let dry = new.types(&format!("restore {file} --dry-run"));
    assert!(dry.contains("to create  tribe `core`"), "{dry}");
    assert!(new.tribes().is_empty());
    let done = new.types(&format!("restore {file}"));
    assert!(
        done.contains("created  policy `off`") && done.ends_with("7 things: 7 created\n"),
        "{done}"
    );
    assert_eq!(entries(&fresh, "new", "after"), before);
    assert_eq!(new.types(&format!("restore {file}")), "7 things: 7 there already\n");
    let piped = new.tries("backup -");
    assert_eq!(piped.stderr, "wrote 7 things to stdout\n");
    let piped: serde_json::Value = serde_json::from_str(&piped.stdout).unwrap();
    assert_eq!(piped["entries"], before);
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
    node.types("tribe describe core some");
    node.types("tribe join core i1");
    node.types("task start hourly --tribe core");
    let kept = node.tries(&format!("restore {file}"));
    assert_eq!(kept.code, Some(4), "{kept:?}");
    for part in [
        "it is `{{rack}} == r9` for tribe `racks`\n",
        "policy `off`                   it is enabled\n",
        "it is started\n",
        "7 things: 2 there already, 5 differ\n",
    ] {
        assert!(kept.stdout.contains(part), "{part} in {}", kept.stdout);
    }
    assert_ne!(entries(&cluster, "i1", "stays"), before);
    node.types(&format!("restore {file} --replace"));
    assert_eq!(entries(&cluster, "i1", "after"), before);
}

#[test]
fn a_policy_that_was_off_lets_nobody_in_while_it_is_restored() {
    let racks = ["--fact", "rack=r2"];
    let cluster = Cluster::start(&[("i1", &racks), ("i2", &racks)]);
    let (i1, i2) = (&cluster["i1"], &cluster["i2"]);
    let manifest = cluster.dir().join("hourly.json");
    fs::write(&manifest, MANIFEST).unwrap();
    say(i1, &manifest.display().to_string());
    let before = entries(&cluster, "i1", "kept");
    let file = cluster.dir().join("kept").display().to_string();
    i1.types("tribe delete core");
    i1.types("tribe delete racks");
    wait_until("the tribes are gone", || i2.get("/v3/tribes") == serde_json::json!([]));

    let listeners = [Listener::on(i1), Listener::on(i2)];
    i1.types(&format!("restore {file}"));
    wait_until("the other heard it", || i2.get("/v3/backup")["entries"] == before);
    i1.types("tribe create last");
    i1.types("tribe join last i1");
    i1.types("tribe join last i2");
    let entered = |listener: &Listener| -> Vec<String> {
        let heard = listener.heard().into_iter();
        heard.filter(|event| event.kind == "tribe-entered").map(|event| event.subject).collect()
    };
    for listener in &listeners {
        wait_until("all before was heard", || !entered(listener).is_empty());
        assert_eq!(entered(listener), ["last"]);
    }
}

#[test]
fn a_node_that_has_not_met_its_cluster_makes_no_backup_and_restores_none() {
    let mut cluster = Cluster::start(&[("i1", &[]), ("i2", &[])]);
    cluster["i1"].types("tribe create core");
    let before = entries(&cluster, "i1", "kept");
    let file = cluster.dir().join("kept").display().to_string();
    cluster.kill_all();
    cluster.run(&["i1"]);
    let i1 = &cluster["i1"];
    for line in [format!("restore {file}"), format!("backup {file}.part")] {
        let refused = i1.tries(&line);
        assert_eq!((refused.code, refused.stdout.as_str()), (Some(1), ""), "{refused:?}");
        assert!(refused.stderr.contains("has not met its cluster"), "{}", refused.stderr);
        assert!(refused.stderr.contains("add --force"), "{}", refused.stderr);
    }
    let (status, body) = i1.asks("/v3/backup");
    assert_eq!((status, &body["error"]["code"]), (503, &"not-synced".into()));
    i1.types(&format!("backup {file}.part --force"));
    assert!(i1.types(&format!("restore {file} --force")).contains("there already"));
    assert_eq!(i1.get("/v3/backup?force=true")["entries"], before);
}

#[test]
fn a_plugin_whose_file_nobody_holds_any_more_is_told_with_what_to_type() {
    let cluster = Cluster::start(&[("i1", &[])]);
    let script = cluster.dir().join("snap-plugin-collector-lost");
    fs::write(&script, "#!/bin/sh\nexit 1\n").unwrap();
    cluster["i1"].types("tribe create core");
    cluster["i1"].types(&format!("plugin load {} --tribe core", script.display()));
    entries(&cluster, "i1", "kept");
    let file = cluster.dir().join("kept").display().to_string();

    let fresh = Cluster::start(&[("new", &[])]);
    let new = &fresh["new"];
    let load = "`snapctl plugin load snap-plugin-collector-lost --tribe core`";
    for line in [format!("restore {file} --dry-run"), format!("restore {file}")] {
        let told = new.types(&line);
        assert!(told.contains(&format!("load it again: {load} (linux/any)")), "{told}");
    }
    let again = new.types(&format!("restore {file}"));
    assert!(again.contains("same     plugin `lost` of tribe `core`"), "{again}");
    new.types(&format!("plugin load {} --tribe core", script.display()));
    assert_eq!(new.types(&format!("restore {file}")), "2 things: 2 there already\n");
}

#[test]
fn what_moves_most_members_out_is_refused_unless_it_is_forced() {
    let nodes: Vec<String> = (1..=4).map(|number| format!("i{number}")).collect();
    let racks: &[&str] = &["--fact", "rack=r1"];
    let plan: Vec<_> = nodes.iter().map(|node| (node.as_str(), racks)).collect();
    let cluster = Cluster::start(&plan);
    let i1 = &cluster["i1"];
    let members = || i1.tribes()["racks"].len();
    i1.types(r#"tribe policy create on "{{rack}} == r2" --tribe racks"#);
    entries(&cluster, "i1", "kept");
    let file = cluster.dir().join("kept").display().to_string();
    i1.types(r#"tribe policy create on "{{rack}} == r1" --tribe racks --replace"#);
    wait_until("all are in", || members() == 4);

    let refused = i1.tries(&format!("restore {file} --replace"));
    assert_eq!(refused.code, Some(4), "{refused:?}");
    let told = "replacing policy `on` would move 4 of 4 members out of tribe `racks`";
    assert!(refused.stdout.contains(told), "{}", refused.stdout);
    assert!(refused.stdout.contains("add --force"), "{}", refused.stdout);
    assert_eq!(members(), 4);
    let refused = i1.tries("tribe delete racks");
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(refused.stderr.contains("would move 4 of 4 members out"), "{}", refused.stderr);
    assert_eq!(members(), 4);

    i1.types(&format!("restore {file} --replace --force"));
    wait_until("all are out", || members() == 0);
    i1.types(r#"tribe policy create on "{{rack}} == r1" --tribe racks --replace"#);
    wait_until("all are in again", || members() == 4);
    i1.types("tribe delete racks --force");
    assert!(i1.tribes().is_empty());
}

#[test]
fn what_is_refused_does_not_stop_the_rest() {
    let cluster = Cluster::start(&[("i1", &[])]);
    let path = cluster.dir().join("kept");
    let entries = r#"
        {"what": "policy", "name": "p", "tribe": "core", "text": "{{a}} =", "enabled": true},
        {"what": "item", "tribe": "after", "kind": "task", "name": "t", "running": true,
            "document": {"base64": "no"}},
        {"what": "placement", "tribe": "a b", "node": "i1", "placement": "left"},
        {"what": "placement", "tribe": "gone", "node": "i1", "placement": "left"},
        {"what": "tribe", "name": "after", "description": ""}"#;
    let text = format!(
        r#"{{"format": "tribe-backup", "version": 1, "node": "x", "entries": [{entries}]}}"#
    );
    fs::write(&path, text).unwrap();
    let dry = cluster["i1"].tries(&format!("restore {} --dry-run", path.display()));
    assert_eq!(dry.code, Some(4), "{dry:?}");
    assert!(dry.stdout.contains("refused    policy `p`"), "{}", dry.stdout);
    let gone = "refused    node `i1` out of tribe `gone`  there is no tribe `gone`\n";
    assert!(dry.stdout.contains(gone), "{}", dry.stdout);
    let ran = cluster["i1"].tries(&format!("restore {}", path.display()));
    assert_eq!(ran.code, Some(4), "{ran:?}");
    assert!(ran.stdout.contains("refused  policy `p`"), "{}", ran.stdout);
    assert!(ran.stdout.contains("{{a}} =\n"), "the place is shown: {}", ran.stdout);
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

#[test]
fn a_backup_may_be_larger_than_what_is_in_memory() {
    const KIB: usize = 32 * 1024;
    let cluster = Cluster::start(&[("i1", &[])]);
    let i1 = &cluster["i1"];
    // 64 MiB.
    let large = large(cluster.dir(), 256);
    let done = i1.tries_within(&format!("restore {}", large.display()), KIB).done();
    assert!(done.ends_with("257 things: 257 created\n"), "{done}");
    let (before, kept) = (memory(i1.pid(), "VmRSS"), cluster.dir().join("kept"));
    // The peak is forgotten.
    fs::write(format!("/proc/{}/clear_refs", i1.pid()), "5").unwrap();
    let ran = i1.tries_within(&format!("backup {}", kept.display()), KIB);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let peak = memory(i1.pid(), "VmHWM");
    assert!(peak < before + KIB / 2, "{before} KiB before, {peak} KiB at most");
    assert!(fs::read(large).unwrap() == fs::read(kept).unwrap(), "it is kept word for word");
}

#[test]
fn a_backup_that_breaks_off_leaves_no_file() {
    const ITEMS: usize = 128;
    const BYTES: u64 = ITEMS as u64 * 256 * 1024;
    let mut cluster = Cluster::start(&[("i1", &[])]);
    let large = large(cluster.dir(), ITEMS);
    cluster["i1"].types(&format!("restore {}", large.display()));
    let directory = cluster.dir().join("kept");
    fs::create_dir(&directory).unwrap();
    let files = || fs::read_dir(&directory).unwrap().map(|file| file.unwrap().path());
    let written = || files().filter_map(|file| Some(fs::metadata(file).ok()?.len())).sum::<u64>();
    let mut snapctl = None;
    wait_until("one is stopped while more is to come than all buffers hold", || {
        // The one before was too fast.
        drop(snapctl.take());
        files().for_each(|file| fs::remove_file(file).unwrap());
        let line = format!("backup {}/whole", directory.display());
        let started = snapctl.insert(cluster["i1"].starts(&line));
        wait_until("a part is written", || written() > 0);
        started.signal(Signal::STOP);
        wait_until("it stands still", || stands_still(started.id()));
        written() < BYTES / 2
    });
    let mut snapctl = snapctl.unwrap();
    cluster.kill_all();
    snapctl.signal(Signal::CONT);
    assert_eq!(snapctl.ended().code(), Some(5));
    assert_eq!(files().count(), 0);
}
