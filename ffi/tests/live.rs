//! C programs with nodes that run, with the sanitizers on.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test that cannot go on fails"
)]

mod common;

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    os::unix::fs::OpenOptionsExt,
    path::Path,
    process::{Child, Stdio},
};

use common::{C11, Link, Programs, Run, crate_path};

/// 32 bytes nobody keeps secret.
const KEY: &str = "QUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUE=\n";

fn check(link: Link, program: &str) {
    let programs = Programs::new();
    let source = crate_path(&format!("tests/c/{program}.c"));
    let program = programs.compile(C11, link, &source);
    programs.run(&program).succeeds();
}

#[test]
fn two_nodes_meet_and_sort_themselves_into_tribes() {
    check(Link::Shared, "int_meet");
}

#[test]
fn two_nodes_meet_when_linked_statically() {
    check(Link::Static, "int_meet");
}

#[test]
fn null_is_refused_behind_a_node_that_runs() {
    check(Link::Shared, "int_null");
}

#[test]
fn shutting_down_wakes_all_who_wait() {
    check(Link::Shared, "int_shutdown");
}

#[test]
fn a_handle_taken_over_a_fork_says_so() {
    check(Link::Shared, "int_fork");
}

#[test]
fn services_are_dialled_and_offers_found() {
    check(Link::Shared, "int_services");
}

#[test]
fn nodes_leave_nothing_behind() {
    check(Link::Shared, "leak_restart");
}

/// A running `member`.
struct Member {
    child: Child,
    lines: std::io::Lines<BufReader<std::process::ChildStdout>>,
}

impl Member {
    fn start(programs: &Programs, program: &Path, key: &Path, args: &[&str]) -> Self {
        let run = programs.run(program).arg("--key-file").arg(key).arg("--no-collect").args(args);
        let mut child = run.command().stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, lines }
    }

    /// The next line of this kind that has all these texts.
    fn line(&mut self, kind: &str, texts: &[&str]) -> serde_json::Value {
        loop {
            let line = self.lines.next().expect("the member ended").unwrap();
            let json: serde_json::Value = serde_json::from_str(&line).expect(&line);
            if json["kind"] == kind && texts.iter().all(|text| line.contains(text)) {
                return json;
            }
        }
    }

    /// Reads on until a line of each of these kinds has come that has the text, in any order.
    fn lines(&mut self, wanted: &[(&str, &str)]) {
        let mut missing = wanted.to_vec();
        while !missing.is_empty() {
            let line = self.lines.next().expect("the member ended").unwrap();
            let json: serde_json::Value = serde_json::from_str(&line).expect(&line);
            missing.retain(|(kind, text)| json["kind"] != *kind || !line.contains(text));
        }
    }

    fn say(&mut self, line: &str) {
        writeln!(self.child.stdin.as_mut().unwrap(), "{line}").unwrap();
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn the_example_prints_what_happens_and_leaves_on_a_signal() {
    let programs = Programs::new();
    let program = programs.compile(C11, Link::Shared, &crate_path("examples/member.c"));
    let directory = tempfile::tempdir().unwrap();
    let key = directory.path().join("key");
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true).mode(0o600).open(&key).unwrap();
    fs::write(&key, KEY).unwrap();

    let policy = ["--create-policy", "fast", "{{storage_tier}} == True", "storage"];
    let first = [&["--name", "i1", "--bind", "127.0.0.1:0"][..], &policy].concat();
    let mut i1 = Member::start(&programs, &program, &key, &first);
    let address = i1.line("started", &["i1"])["address"].as_str().unwrap().to_owned();
    let second = ["--name", "i2", "--bind", "127.0.0.2:0", "--seed", &address, "--tribe", "core"];
    let mut i2 = Member::start(&programs, &program, &key, &second);

    i1.lines(&[("member-joined", "i2"), ("membership-changed", "core")]);
    i2.say("fact storage_tier=True");
    i2.line("reply", &["fact", "ok"]);
    i1.line("membership-changed", &["storage", "i2"]);
    i1.say("members storage");
    let member = i1.line("member", &["i2"]);
    assert_eq!(member["facts"]["storage_tier"], true);

    Run::new("kill").arg(i2.child.id().to_string()).succeeds();
    i1.line("member-left", &["i2", "left"]);
    assert!(i2.child.wait().unwrap().success());
    i1.say("quit");
    assert!(i1.child.wait().unwrap().success());
}
