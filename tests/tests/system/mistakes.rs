//! What people get told who make a mistake.

use std::{fs, os::unix::fs::PermissionsExt, process::Command};

use tribe_tests::{Cluster, Ran, binary, wait_until, workspace};

fn snapd(args: &[&str]) -> Ran {
    let mut command = Command::new(binary("snapd"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("SNAP") {
            command.env_remove(name);
        }
    }
    Ran::new(command.args(args))
}

#[test]
fn an_unknown_key_in_the_configuration_is_told_with_its_line_and_a_suggestion() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("snapd.yaml");
    fs::write(&path, "log_level: info\ntribe:\n  enable: true\n  key_fiel: /etc/key\n").unwrap();
    let path = path.to_str().unwrap();
    let ran = snapd(&["--config", path]);
    assert_eq!(ran.code, Some(78));
    assert_eq!(
        ran.stderr,
        format!("error: {path}:4:3: unknown key `key_fiel`\nhelp: did you mean `key_file`?\n")
    );
}

#[test]
fn the_configuration_in_the_examples_is_good() {
    let path = workspace().join("examples/snapd.yaml");
    let said = snapd(&["config", "check", "--config", path.to_str().unwrap()]).done();
    assert!(said.contains(" is good\n"), "{said}");
}

#[test]
fn a_key_file_that_is_not_there_or_open_to_others_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let key = dir.path().join("key");
    let file = key.to_str().unwrap();
    let start = || {
        let ran = snapd(&[
            "--config=/dev/null",
            "--tribe",
            "--tribe-node-name=i1",
            "--tribe-key-file",
            file,
        ]);
        (ran.code, ran.stderr)
    };
    let refused = |message: &str| (Some(78), format!("error: --tribe-key-file: {message}\n"));
    let missing =
        format!("key file `{file}` does not exist\nhelp: make it with `snapd keygen --out FILE`");
    assert_eq!(start(), refused(&missing));

    snapd(&["keygen", "--out", file]).done();
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
    let exposed =
        format!("key file `{file}` has mode 0644, so others can use it; run `chmod 600 {file}`");
    assert_eq!(start(), refused(&exposed));

    fs::remove_file(&key).unwrap();
    fs::create_dir(&key).unwrap();
    assert_eq!(start(), refused(&format!("key file `{file}` is not a file")));
}

#[test]
fn a_node_whose_name_is_taken_says_so_and_what_to_do() {
    let cluster = Cluster::start(&[("i1", &[])]);
    let seed = cluster["i1"].address().to_string();
    let mut other = Cluster::new();
    other.add_with_key("i1", cluster.key(), &["--tribe-seed", &seed]);
    other.run(&["i1"]);
    let status = || other["i1"].types("tribe status");
    wait_until("it is told", || status().contains("is held by a live node"));
    let (status, holder) = (status(), cluster["i1"].info().id.unwrap());
    for part in ["synced  no", "its name `i1`", &holder, "--tribe-node-name"] {
        assert!(status.contains(part), "{part} in {status}");
    }
    let refused = other["i1"].tries("tribe delete core");
    for part in ["has not met its cluster", "its name `i1`", "snapctl member show i1"] {
        assert!(refused.stderr.contains(part), "{part} in {}", refused.stderr);
    }
}

#[test]
fn what_waits_for_a_cluster_that_is_not_there_says_so_at_once_and_is_refused_in_one_text() {
    let mut cluster = Cluster::new();
    cluster.add("i1", &[]);
    cluster.add("i2", &[]);
    cluster.run(&["i2"]);
    let i2 = &cluster["i2"];
    let list = i2.tries("--output json member list");
    let part = "note: this node has not met its cluster yet, so there may be more than it knows\n\
                help: `snapctl tribe status` says what keeps it\n";
    assert_eq!((list.code, list.stderr.as_str()), (Some(0), part));
    let members: serde_json::Value = serde_json::from_str(&list.stdout).unwrap();
    assert_eq!(members.as_array().unwrap().len(), 1);
    let waits = "note: this node has not met its cluster yet, for which snapd waits up to 10 s\n\
                 help: `snapctl tribe status` says what keeps it\n";
    let refused = "error: this node has not met its cluster since it was started, so it may not know \
                   all that is there\n\
                   help: wait until it has; `snapctl tribe status` says what it waits for";
    let check = |line: &str, rest: &str| {
        let ran = i2.tries(line);
        assert_eq!((ran.code, ran.stdout.as_str()), (Some(1), ""), "{line}");
        assert_eq!(ran.stderr, format!("{waits}{refused}{rest}\n"), "{line}");
    };
    std::thread::scope(|scope| {
        scope.spawn(|| check("tribe create core", ""));
        scope.spawn(|| {
            check(
                "tribe delete core",
                "; if it was a member before and nobody else is left, add --force",
            )
        });
    });
}

#[test]
fn a_mistyped_command_says_what_is_wrong_and_changes_nothing() {
    let cluster = Cluster::start(&[("i1", &[]), ("i2", &[])]);
    let i1 = &cluster["i1"];
    i1.types("tribe create core");
    // All that people said. The revision also counts what nodes say of themselves.
    let said =
        || ["tribe show core", "tribe list", "member list", "fact list i2"].map(|it| i1.types(it));
    let before = said();

    let caret = i1.tries("tribe policy create p \"{{os_dist}} = Ubuntu\" --tribe core");
    assert_eq!((caret.code, caret.stdout.as_str()), (Some(1), ""));
    let lines: Vec<_> = caret.stderr.lines().collect();
    let text = lines.iter().position(|line| line.contains("{{os_dist}} = Ubuntu")).unwrap();
    assert_eq!(lines[text + 1].find('^'), lines[text].find("= "), "{}", caret.stderr);
    assert!(lines[0].starts_with("error[P005]: "), "{}", caret.stderr);

    let unknown = i1.tries("fact set i9 rack=7");
    assert_eq!((unknown.code, unknown.stdout.as_str()), (Some(3), ""));
    assert!(
        unknown.stderr.starts_with("error: ") && unknown.stderr.contains("`i9`"),
        "{unknown:?}"
    );

    let unknown = i1.tries("member show i9");
    assert_eq!(unknown.code, Some(3), "{unknown:?}");

    let unknown = i1.tries("tribe show cor");
    assert_eq!(unknown.code, Some(3));
    assert!(unknown.stderr.contains("did you mean `core`?"), "{}", unknown.stderr);

    let dash = i1.tries("tribe policy create p \"{{os_dist}} == Ubuntu\" \u{2014}tribe core");
    assert_eq!((dash.code, dash.stdout.as_str()), (Some(2), ""));
    let told = "error: `\u{2014}tribe` begins with a typographic dash, use `--tribe`";
    assert!(dash.stderr.starts_with(told), "{}", dash.stderr);

    let quotes =
        i1.tries("tribe policy create p \"{{os_dist}} == \u{201c}Ubuntu\u{201d}\" --tribe core");
    assert_eq!(quotes.code, Some(1));
    assert!(quotes.stderr.contains("typographic") && quotes.stderr.contains('^'), "{quotes:?}");

    assert_eq!(said(), before);
    assert_eq!(i1.types("tribe policy list").lines().count(), 1);
}
