//! How a real daemon starts and ends.

use std::{
    fs,
    io::{Read, Write},
    os::unix::{
        fs::MetadataExt,
        net::{UnixDatagram, UnixListener, UnixStream},
    },
    process::{Command, Stdio},
};

use tempfile::TempDir;

use crate::support::{Daemon, LONG, run, snapd, wait_until};

#[test]
fn a_daemon_ends_in_good_order_and_takes_its_socket_along() {
    for signal in ["-TERM", "-INT"] {
        let mut daemon = Daemon::start();
        assert_eq!(fs::metadata(daemon.socket()).unwrap().mode() & 0o777, 0o660);
        daemon.signal(signal);
        assert!(daemon.ended().success());
        assert!(!daemon.socket().exists());
        assert!(daemon.log().contains("stopped"), "{}", daemon.log());
    }
}

#[test]
fn a_hangup_does_not_end_a_daemon() {
    let mut daemon = Daemon::start();
    daemon.signal("-HUP");
    assert_eq!(daemon.get("/v3/version").status, 200);
    daemon.signal("-TERM");
    assert!(daemon.ended().success());
}

#[test]
fn a_second_daemon_leaves_the_socket_of_the_first_alone() {
    let first = Daemon::start();
    let socket = first.socket();
    let second = run(&["--config=/dev/null", "--socket", socket.to_str().unwrap()]);
    assert_eq!(second.code, Some(1));
    assert_eq!(
        second.stderr,
        format!(
            "error: `{}` is in use by a running snapd\n\
             help: stop it, or give this one a socket of its own with --socket PATH\n",
            socket.display()
        )
    );
    assert_eq!(first.get("/v3/version").status, 200);
}

#[test]
fn a_second_daemon_leaves_the_data_of_the_first_alone() {
    let first = Daemon::start();
    let path = |name: &str| first.dir.path().join(name).to_str().unwrap().to_owned();
    let (socket, data) = (path("other.sock"), path("data"));
    let second = run(&["--config=/dev/null", "--socket", &socket, "--data-dir", &data]);
    assert_eq!(second.code, Some(1));
    let expected = format!(
        "error: cannot start the node: cannot use data directory {data}: another process has it \
         open\n\
         help: is it this user's, and does no other snapd run with it? choose another one with \
         `--data-dir`\n"
    );
    assert!(second.stderr.ends_with(&expected), "{}", second.stderr);
    assert_eq!(first.get("/v3/version").status, 200);
}

#[test]
fn the_socket_of_a_dead_daemon_is_replaced() {
    let dir = TempDir::new().unwrap();
    drop(UnixListener::bind(dir.path().join("snapd.sock")).unwrap());
    let daemon = Daemon::start_in(dir);
    assert_eq!(daemon.get("/v3/version").status, 200);
}

#[test]
fn a_killed_daemon_can_be_started_again() {
    let mut daemon = Daemon::start();
    daemon.signal("-KILL");
    daemon.ended();
    assert!(daemon.socket().exists());
    let socket = daemon.socket();
    let mut again = snapd()
        .args(["--config=/dev/null", "--log-level=off", "--socket"])
        .arg(&socket)
        .arg("--data-dir")
        .arg(daemon.dir.path().join("data"))
        .spawn()
        .unwrap();
    wait_until("the successor answers", || UnixStream::connect(&socket).is_ok());
    again.kill().unwrap();
    again.wait().unwrap();
}

#[test]
fn a_second_signal_ends_a_daemon_that_waits_for_a_request() {
    let mut daemon = Daemon::start();
    let mut stream = UnixStream::connect(daemon.socket()).unwrap();
    let head = "POST /v3/tribes HTTP/1.1\r\nhost: snapd\r\ncontent-type: application/json\r\n\
                content-length: 9\r\nexpect: 100-continue\r\n\r\n";
    stream.write_all(head.as_bytes()).unwrap();
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"HTTP/1.1 100");
    daemon.signal("-TERM");
    wait_until("the daemon is leaving", || daemon.log().contains("leaving"));
    assert_eq!(daemon.child.try_wait().unwrap(), None);
    daemon.signal("-TERM");
    assert!(daemon.ended().success());
    assert!(daemon.log().contains("told twice"), "{}", daemon.log());
    assert!(!daemon.socket().exists());
}

#[test]
fn the_service_manager_hears_of_ready_and_stopping() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("notify");
    let manager = UnixDatagram::bind(&path).unwrap();
    manager.set_read_timeout(Some(LONG)).unwrap();
    let hear = || {
        let mut buffer = [0; 100];
        let length = manager.recv(&mut buffer).unwrap();
        String::from_utf8_lossy(&buffer[..length]).trim_end().to_owned()
    };
    let mut daemon = Daemon::start_with(dir, |command| command.env("NOTIFY_SOCKET", &path));
    assert_eq!(hear(), "READY=1");
    daemon.signal("-TERM");
    assert_eq!(hear(), "STOPPING=1");
    assert!(daemon.ended().success());
}

#[test]
fn a_node_of_a_playground_ends_with_the_process_that_started_it() {
    let dir = TempDir::new().unwrap();
    let socket = dir.path().join("snapd.sock");
    let script = r#""$0" --config=/dev/null --log-level=off --socket="$1" --data-dir="$1.d" \
                    --die-with-parent=$$ &
                    read line"#;
    let mut parent = Command::new("sh")
        .args(["-c", script, env!("CARGO_BIN_EXE_snapd")])
        .arg(&socket)
        .env_clear()
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    wait_until("the daemon answers", || UnixStream::connect(&socket).is_ok());
    parent.kill().unwrap();
    parent.wait().unwrap();
    wait_until("the daemon ends", || !socket.exists());
}

#[test]
fn without_a_key_there_is_no_tribe_mode() {
    let found = run(&["--config=/dev/null", "--tribe", "--tribe-node-name=i1"]);
    assert_eq!(found.code, Some(78));
    assert_eq!(
        found.stderr,
        "error: --tribe: tribe mode needs a key, and there is none\n\
         help: make one with `snapd keygen --out FILE` and give it with --tribe-key-file FILE\n"
    );
}

#[test]
fn a_pasted_dash_gets_a_hint() {
    let found = run(&["\u{2014}tribe"]);
    assert_eq!(found.code, Some(2));
    assert_eq!(
        found.stderr,
        "error: `\u{2014}tribe` begins with a typographic dash\nhelp: type `--tribe`\n"
    );
}
