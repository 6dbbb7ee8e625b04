//! `snapd config check` as a person runs it.

use std::fs;

use crate::support::{run, snapd};
use tempfile::TempDir;

#[test]
fn a_good_file_is_printed_with_its_sources() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("snapd.yaml");
    fs::write(&path, "log_level: warn\ntribe:\n  name: i1\n  seeds: [10.0.0.2]\n").unwrap();
    let path = path.to_str().unwrap();
    let found = run(&["config", "check", "--config", path, "--tribe-port", "7000"]);
    assert_eq!((found.code, found.stderr.as_str()), (Some(0), ""));
    let lines: Vec<_> = found.stdout.lines().collect();
    assert_eq!(lines[0], format!("# {path} is good"));
    assert_eq!(lines[1].split_once('#').unwrap().0.trim(), "log_level: warn");
    assert_eq!(lines[1].split_once('#').unwrap().1, format!(" {path}:1:12"));
    let port = lines.iter().find(|line| line.contains("bind_port")).unwrap();
    assert!(port.starts_with("  bind_port: 7000 ") && port.ends_with("# --tribe-port"), "{port}");
}

#[test]
fn a_bad_file_is_a_configuration_error_here_and_at_start() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("snapd.yaml");
    fs::write(&path, "tribe:\n  sedes: []\n").unwrap();
    let path = path.to_str().unwrap();
    let expected = format!("error: {path}:2:3: unknown key `sedes`\nhelp: did you mean `seeds`?\n");
    for args in [&["config", "check", "--config", path][..], &["--config", path]] {
        let found = run(args);
        assert_eq!((found.code, found.stdout.as_str()), (Some(78), ""));
        assert_eq!(found.stderr, expected);
    }
}

#[test]
fn a_file_in_another_encoding_is_told_with_the_line() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("snapd.yaml");
    fs::write(&path, b"tribe:\n  name: caf\xe9\n").unwrap();
    let path = path.to_str().unwrap();
    let found = run(&["config", "check", "--config", path]);
    let message = "line 2 is not UTF-8, save the file in this encoding";
    assert_eq!(found.stderr, format!("error: cannot read {path}: {message}\n"));
    assert_eq!(found.code, Some(78));
}

#[test]
fn seeds_under_both_their_names_are_told_as_one() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("snapd.yaml");
    fs::write(&path, "tribe:\n  seed: 10.0.0.2\n  seeds: [10.0.0.3]\n").unwrap();
    let path = path.to_str().unwrap();
    let found = run(&["config", "check", "--config", path]);
    assert!(found.stderr.contains("`seed` and `seeds` are one key"), "{}", found.stderr);
}

#[test]
fn a_switch_that_is_neither_on_nor_off_is_told_with_its_key() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("snapd.yaml");
    let check = |text: &str, place: &str, value: &str| {
        fs::write(&path, text).unwrap();
        let found = run(&["config", "check", "--config", path.to_str().unwrap()]);
        let message = format!("`enable` is true or false, not `{value}`");
        assert_eq!(found.stderr, format!("error: {}:{place}: {message}\n", path.display()));
    };
    check("tribe: {enable: yess}\n", "1:17", "yess");
    check("tribe:\n  enable: maybe # not sure\n  bind_port: 7000\n", "2:11", "maybe");
}

#[test]
fn a_bad_variable_is_told_by_its_name() {
    let check = |name: &str, value: &str, code: i32, stderr: &str| {
        let words = ["config", "check", "--config=/dev/null"];
        let output = snapd().args(words).env(name, value).output().unwrap();
        assert_eq!(String::from_utf8(output.stderr).unwrap(), stderr);
        assert_eq!(output.status.code(), Some(code));
    };
    let neither = "error: SNAP_TRIBE: `maybe` is neither true nor false\n";
    check("SNAP_TRIBE", "maybe", 78, neither);
    check(
        "SNAP_TRIBE_PORT",
        "x",
        78,
        "error: SNAP_TRIBE_PORT: `x` is not a port, use 0 to 65535\n",
    );
    check(
        "SNAP_DATA_DIR",
        "",
        2,
        "error: a value is required for 'SNAP_DATA_DIR' but none was supplied\n\n\
         For more information, try '--help'.\n",
    );
    let typed = run(&["--tribe=maybe"]);
    assert_eq!(typed.stderr, "error: --tribe: `maybe` is neither true nor false\n");
}

#[test]
fn files_that_a_start_would_miss_are_missed_by_a_check() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("snapd.yaml");
    fs::write(dir.path().join("file"), "").unwrap();
    let (socket, data) = (dir.path().join("s"), dir.path().join("data"));
    let check = |text: &str, expected: &str| {
        fs::write(&path, text.replace("DIR", dir.path().to_str().unwrap())).unwrap();
        let words = ["--config", path.to_str().unwrap(), "--socket", socket.to_str().unwrap()];
        for verb in [&["config", "check"][..], &[]] {
            let found = run(&[verb, &words].concat());
            assert_eq!(found.stdout, "", "{text}");
            assert!(found.stderr.contains(expected), "{text}: {}", found.stderr);
            assert!(!data.exists());
        }
    };
    let data = "data_dir: DIR/data\n";
    check(&format!("{data}plugins: {{trust: on, keyrings: [DIR/none]}}\n"), "/none");
    let tls = "tls: {ca: DIR/a, cert: DIR/b, key: DIR/c, plugin_cert: DIR/d, plugin_key: DIR/e}";
    check(&format!("{data}plugins: {{{tls}}}\n"), "cannot read");
    check("data_dir: DIR/file/data\n", "/file");
    let all = format!(
        "data_dir: DIR/file/data\n\
         plugins: {{trust: on, keyrings: DIR/none, {tls}}}\n\
         api: {{listen: 127.0.0.1:0, tls_cert: DIR/f, tls_key: DIR/g, password_file: DIR/h}}\n"
    );
    fs::write(&path, all.replace("DIR", dir.path().to_str().unwrap())).unwrap();
    let found = run(&["config", "check", "--config", path.to_str().unwrap()]);
    let errors: Vec<_> = found.stderr.lines().collect();
    assert_eq!(errors.len(), 5, "{}", found.stderr);
    for (error, file) in errors.iter().zip(["/h`", "/f`", "/none", "/a", "/file`"]) {
        assert!(error.starts_with("error: ") && error.contains(file), "{file} in {error}");
    }
}

#[test]
fn a_file_that_was_named_must_be_there() {
    let found = run(&["config", "check", "--config", "/nowhere/snapd.yaml"]);
    assert_eq!(found.code, Some(78));
    assert_eq!(
        found.stderr,
        "error: cannot read /nowhere/snapd.yaml: No such file or directory (os error 2)\n\
         help: write it, or leave out `--config` and SNAPD_CONFIG: flags and environment do as \
         well\n"
    );
}

#[test]
fn file_is_covered_by_environment_and_that_by_flags() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("snapd.yaml");
    fs::write(&path, "tribe: {name: file, bind_port: 1, seeds: ['file:1']}\n").unwrap();
    let output = snapd()
        .args(["config", "check", "--tribe-port=3"])
        .env("SNAPD_CONFIG", &path)
        .env("SNAP_TRIBE_PORT", "2")
        .env("SNAP_TRIBE_SEED", "env:1,env:2")
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let line = |key: &str| {
        let line = text.lines().find(|line| line.trim().starts_with(key)).unwrap();
        line.split_whitespace().collect::<Vec<_>>().join(" ")
    };
    assert_eq!(line("name"), format!("name: file # {}:1:15", path.display()));
    assert_eq!(line("bind_port"), "bind_port: 3 # --tribe-port");
    assert_eq!(line("seeds"), "seeds: [env:1, env:2] # SNAP_TRIBE_SEED");
}

#[test]
fn a_bad_variable_is_named() {
    let output = snapd()
        .args(["config", "check", "--config=/dev/null"])
        .env("SNAP_TRIBE_PORT", "many")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(78));
    assert_eq!(
        String::from_utf8(output.stderr).unwrap(),
        "error: SNAP_TRIBE_PORT: `many` is not a port, use 0 to 65535\n"
    );
}
