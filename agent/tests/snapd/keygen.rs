//! `snapd keygen`, and the keys it makes at work.

use std::{fs, os::unix::fs::PermissionsExt};

use tempfile::TempDir;

use crate::support::{Run, run};

/// A key is 32 bytes in base64 on one line.
fn check_key(text: &str) {
    assert_eq!(text.len(), 45, "{text:?}");
    assert!(text.ends_with("=\n"), "{text:?}");
}

#[test]
fn standard_output_gets_the_key_and_standard_error_its_fingerprint() {
    let (one, two) = (run(&["keygen"]), run(&["keygen"]));
    for Run { code, stdout, stderr } in [&one, &two] {
        assert_eq!(*code, Some(0));
        check_key(stdout);
        assert!(stderr.starts_with("key ") && stderr.lines().count() == 1, "{stderr}");
        assert!(!stderr.contains(stdout.trim()));
    }
    assert_ne!(one.stdout, two.stdout);
    assert_ne!(one.stderr, two.stderr);
}

#[test]
fn a_key_file_is_for_its_owner() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("key");
    let made = run(&["keygen", "--out", path.to_str().unwrap()]);
    assert_eq!((made.code, made.stdout.as_str()), (Some(0), ""));
    assert!(made.stderr.ends_with(&format!(" written to {}\n", path.display())), "{}", made.stderr);
    check_key(&fs::read_to_string(&path).unwrap());
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o600);
}

#[test]
fn a_key_file_is_not_overwritten() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("key");
    fs::write(&path, "precious").unwrap();
    let refused = run(&["keygen", "--out", path.to_str().unwrap()]);
    assert_eq!((refused.code, refused.stdout.as_str()), (Some(1), ""));
    assert_eq!(
        refused.stderr,
        format!(
            "error: `{}` exists and is not overwritten\n\
             help: remove it first, if no node uses its key any more\n",
            path.display()
        )
    );
    assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
}

#[test]
fn a_key_in_a_directory_that_is_not_there_says_how_to_make_it() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("snap/key");
    let refused = run(&["keygen", "--out", path.to_str().unwrap()]);
    let parent = dir.path().join("snap");
    assert_eq!(
        (refused.code, refused.stderr),
        (
            Some(1),
            format!(
                "error: cannot write `{}`: No such file or directory (os error 2)\n\
                 help: make its directory: `mkdir -p {}`\n",
                path.display(),
                parent.display()
            )
        )
    );
}

/// What `snapd config check` says of a key file of this mode.
fn check_key_file(mode: u32) -> (String, Run) {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("key");
    let made = run(&["keygen", "--out", path.to_str().unwrap()]);
    fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    let fingerprint = made.stderr.split(' ').nth(1).unwrap().to_owned();
    let path = path.to_str().unwrap();
    let flags = ["--tribe", "--tribe-node-name=i1", "--tribe-key-file", path];
    let found = run(&[&["config", "check", "--config=/dev/null"][..], &flags].concat());
    (fingerprint, found)
}

#[test]
fn a_key_file_is_read_and_shown_by_its_fingerprint() {
    for mode in [0o600, 0o400] {
        let (fingerprint, found) = check_key_file(mode);
        assert_eq!((found.code, found.stderr.as_str()), (Some(0), ""));
        let line = format!("  # key {fingerprint} from --tribe-key-file");
        assert!(found.stdout.lines().any(|found| found == line), "{}", found.stdout);
    }
}

#[test]
fn a_key_file_that_others_can_read_is_refused() {
    for mode in [0o644, 0o640, 0o660] {
        let (_, found) = check_key_file(mode);
        assert_eq!((found.code, found.stdout.as_str()), (Some(78), ""));
        assert!(found.stderr.starts_with("error: --tribe-key-file: "), "{}", found.stderr);
    }
}
