//! The control API over TCP, and its socket, as those meet them who may not ask.

use std::{
    fs,
    io::{Read, Write},
    net::TcpStream,
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Command, Stdio},
    time::Instant,
};

use tempfile::TempDir;
use tribe_api::client::{Client, Remote};

use crate::support::{Daemon, LONG, run, wait_until};

const PASSWORD: &str = "correct horse battery";

fn write(path: &Path, text: &str, mode: u32) {
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

/// A daemon with this section `api`, where DIR is its directory, and the address it listens on.
fn exposed(dir: TempDir, api: &str) -> (Daemon, String) {
    write(&dir.path().join("password"), &format!("{PASSWORD}\n"), 0o600);
    let api = api.replace("DIR", dir.path().to_str().unwrap());
    fs::write(dir.path().join("snapd.yaml"), format!("api: {{{api}}}\n")).unwrap();
    let daemon = Daemon::start_in(dir);
    let mut address = None;
    wait_until("the daemon serves TCP", || {
        let log = daemon.log();
        let line = log.lines().find(|line| line.contains("served over TCP too"));
        let found = line.and_then(|line| line.split("address=").nth(1));
        address = found.map(|rest| rest.split_whitespace().next().unwrap().to_owned());
        address.is_some()
    });
    (daemon, address.unwrap())
}

/// All that comes back for some bytes.
fn says(address: &str, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(LONG)).unwrap();
    // The daemon may have hung up already.
    let _ = stream.write_all(bytes);
    let mut reply = Vec::new();
    let _ = stream.read_to_end(&mut reply);
    String::from_utf8_lossy(&reply).into_owned()
}

fn get(address: &str, headers: &str) -> String {
    let request = format!("GET /v3/version HTTP/1.1\r\nconnection: close\r\n{headers}\r\n");
    says(address, request.as_bytes())
}

#[track_caller]
fn check(reply: &str, status: u16, text: &str) {
    assert!(reply.starts_with(&format!("HTTP/1.1 {status} ")), "{reply}");
    assert!(reply.contains(text), "{reply}");
    assert!(!reply.to_lowercase().contains("access-control"), "{reply}");
}

#[test]
fn an_address_wider_than_loopback_needs_a_certificate_and_a_password() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("snapd.yaml");
    let (socket, data) = (dir.path().join("s"), dir.path().join("data"));
    let refused = |api: &str, message: &str| {
        fs::write(&path, format!("api: {{{api}}}\n")).unwrap();
        let args = ["--config", "--socket", "--data-dir"].iter().zip([&path, &socket, &data]);
        let args: Vec<_> = args.flat_map(|(flag, path)| [*flag, path.to_str().unwrap()]).collect();
        // A check says the same as a start.
        for found in [run(&args), run(&[&["config", "check"], &args[..]].concat())] {
            assert_eq!((found.code, found.stdout.as_str()), (Some(78), ""), "{}", found.stderr);
            assert!(found.stderr.contains(message), "{}", found.stderr);
        }
    };
    let both = "but lacks a certificate and a password\nhelp: give it a certificate and a password, \
                `api: {tls_cert: FILE, tls_key: FILE, password_file: FILE}` in snapd.yaml";
    refused("listen: '0.0.0.0:0'", both);
    refused("listen: '[::]:0'", both);
    refused("listen: '10.0.0.1:8181'", both);
    refused("listen: '0.0.0.0:0', password_file: /p", "but lacks a certificate\n");
    refused("listen: '0.0.0.0:0', tls_cert: /c, tls_key: /k", "but lacks a password\n");
    refused("listen: '0.0.0.0:0', tls_cert: /c", "there is `tls_cert` but no `tls_key`");
    refused("listen: 'everywhere'", "`everywhere` is not an address to listen on");
    let password = dir.path().join("password");
    let with_password = format!("listen: '127.0.0.1:0', password_file: {}", password.display());
    refused(&with_password, "No such file");
    write(&password, PASSWORD, 0o644);
    refused(&with_password, "its mode is 0644, run `chmod 600");
    write(&password, "short", 0o600);
    refused(&with_password, "is too short, use 8 characters or more");
    assert!(!socket.exists());
}

#[test]
fn on_loopback_a_page_in_a_browser_gets_nothing() {
    let (_daemon, address) = exposed(TempDir::new().unwrap(), "listen: '127.0.0.1:0'");
    check(&get(&address, "host: localhost\r\n"), 200, "\"api\":3");
    check(&get(&address, "host: 127.0.0.1:8181\r\n"), 200, "\"api\":3");
    check(&get(&address, "host: evil.example\r\n"), 403, "wrong-host");
    check(&get(&address, ""), 403, "wrong-host");
    let foreign = "host: localhost\r\norigin: https://evil.example\r\n";
    check(&get(&address, foreign), 403, "wrong-origin");
}

#[test]
fn whoever_does_not_know_the_password_is_refused_slowed_down_and_logged() {
    let api = "listen: '127.0.0.1:0', password_file: DIR/password";
    let (daemon, address) = exposed(TempDir::new().unwrap(), api);
    let with = |password: &str| {
        get(&address, &format!("host: localhost\r\nauthorization: Bearer {password}\r\n"))
    };
    check(&with(PASSWORD), 200, "\"api\":3");
    let missing = get(&address, "host: localhost\r\n");
    check(&missing, 401, "www-authenticate: Basic");
    check(&missing, 401, "--password-file");
    check(&with("open sesame"), 401, "wrong-password");
    let mut blocked = String::new();
    wait_until("the daemon has enough", || {
        blocked = with("open sesame");
        blocked.starts_with("HTTP/1.1 429 ")
    });
    check(&blocked, 429, "retry-after: ");
    let log = daemon.log();
    assert!(log.contains("a wrong password for the control API"), "{log}");
    assert!(!log.contains("sesame") && !log.contains(PASSWORD), "{log}");
    // Who comes by the socket needs none.
    assert_eq!(daemon.get("/v3/version").status, 200);
}

#[test]
fn heads_and_bodies_that_are_too_large_are_refused() {
    let (daemon, address) = exposed(TempDir::new().unwrap(), "listen: '127.0.0.1:0'");
    let long = format!("host: localhost\r\nx: {}\r\n", "x".repeat(64 * 1024));
    check(&get(&address, &long), 431, "");
    let many = (0..500).map(|n| format!("x{n}: y\r\n")).collect::<String>();
    check(&get(&address, &format!("host: localhost\r\n{many}")), 431, "");
    let head = "POST /v3/policies/test HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\
                content-type: application/json\r\ncontent-length: 2000000\r\n\r\n";
    let body = [head.as_bytes(), &vec![b' '; 2_000_000]].concat();
    check(&says(&address, &body), 413, "too-large");
    assert_eq!(daemon.get("/v3/version").status, 200);
}

#[test]
fn whoever_sends_a_byte_now_and_then_is_hung_up_on() {
    let (daemon, address) = exposed(TempDir::new().unwrap(), "listen: '127.0.0.1:0'");
    let start = Instant::now();
    let mut slow: Vec<_> = (0..20).map(|_| TcpStream::connect(&address).unwrap()).collect();
    for stream in &mut slow {
        stream.write_all(b"GET / HTTP/1.1\r\nhost: local").unwrap();
        stream.set_nonblocking(true).unwrap();
    }
    // Nobody else waits for them.
    check(&get(&address, "host: localhost\r\n"), 200, "");
    assert_eq!(daemon.get("/v3/version").status, 200);
    let silent = TcpStream::connect(&address).unwrap();
    silent.set_nonblocking(true).unwrap();
    slow.push(silent);
    wait_until("all are hung up on", || {
        slow.retain_mut(|stream| {
            // A byte more does not help.
            let alive = stream.write(b"h").is_ok();
            let mut rest = [0; 1024];
            alive && !matches!(stream.read(&mut rest), Ok(0))
        });
        slow.is_empty()
    });
    assert!(start.elapsed() < LONG, "{:?}", start.elapsed());
}

#[test]
fn no_address_has_all_connections() {
    let (daemon, address) = exposed(TempDir::new().unwrap(), "listen: '127.0.0.1:0'");
    let many: Vec<_> = (0..40).map(|_| TcpStream::connect(&address).unwrap()).collect();
    let hung_up = many.iter().any(|mut stream| {
        stream.set_read_timeout(Some(LONG / 10)).unwrap();
        matches!(stream.read(&mut [0]), Ok(0))
    });
    assert!(hung_up, "all are served");
    assert_eq!(daemon.get("/v3/version").status, 200);
    drop(many);
    wait_until("there is room again", || {
        get(&address, "host: localhost\r\n").starts_with("HTTP/1.1 200 ")
    });
}

/// The section `api` of a daemon with a certificate.
const SEALED: &str =
    "listen: '127.0.0.1:0', tls_cert: DIR/cert, tls_key: DIR/key, password_file: DIR/password";

/// A directory with the key `key` and the certificate `cert`, which is that of an authority or not.
fn with_certificate(is_authority: bool) -> Option<TempDir> {
    let dir = TempDir::new().unwrap();
    let constraints =
        format!("basicConstraints=critical,CA:{}", if is_authority { "TRUE" } else { "FALSE" });
    let made = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"])
        .args(["-subj", "/CN=i1", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"])
        .args(["-addext", &constraints, "-days", "2", "-keyout"])
        .arg(dir.path().join("key"))
        .arg("-out")
        .arg(dir.path().join("cert"))
        .output();
    let Ok(made) = made else {
        let _ = writeln!(std::io::stderr(), "skipped: there is no openssl to make a certificate");
        return None;
    };
    assert!(made.status.success(), "{made:?}");
    Some(dir)
}

#[test]
fn a_client_tells_why_it_does_not_trust_a_certificate() {
    let said = |is_authority: bool, is_trusted: bool| {
        let dir = with_certificate(is_authority)?;
        let (daemon, address) = exposed(dir, SEALED);
        let (url, at) = (format!("https://{address}"), |name| daemon.dir.path().join(name));
        let trusted = is_trusted.then(|| at("cert"));
        let remote = Remote::new(&url, Some(&at("password")), trusted.as_deref()).unwrap();
        let client = Client::remote(remote);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let said = runtime.block_on(client.version()).map(|version| version.api);
        let warned =
            daemon.log().lines().any(|line| line.contains("WARN") && line.contains("CA:TRUE"));
        assert_eq!(warned, is_authority, "{}", daemon.log());
        Some((said.map_err(|error| error.to_string()), url))
    };
    let check = |is_authority, is_trusted, expected: Result<u32, &str>| {
        let Some((said, url)) = said(is_authority, is_trusted) else { return };
        let expected = expected.map_err(|what| format!("the certificate of {url} is {what}"));
        assert_eq!(said, expected);
    };
    check(false, true, Ok(3));
    check(false, false, Err("not known here"));
    check(true, true, Err("that of an authority (CA:TRUE), not of a server"));
}

#[test]
fn the_port_of_tls_takes_nothing_else() {
    let Some(dir) = with_certificate(true) else { return };
    let cert = dir.path().join("cert").to_str().unwrap().to_owned();
    let (_daemon, address) = exposed(dir, SEALED);
    check(&get(&address, "host: localhost\r\n"), 400, "\"code\":\"not-tls\"");
    let sealed = |headers: &str| {
        let client = Command::new("openssl")
            .args(["s_client", "-quiet", "-verify_return_error", "-CAfile", &cert])
            .args(["-connect", &address])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let request = format!("GET /v3/version HTTP/1.1\r\nconnection: close\r\n{headers}\r\n");
        client.stdin.as_ref().unwrap().write_all(request.as_bytes()).unwrap();
        String::from_utf8(client.wait_with_output().unwrap().stdout).unwrap()
    };
    check(&sealed("host: i1.example\r\n"), 401, "no-password");
    let right = format!("host: i1.example\r\nauthorization: Bearer {PASSWORD}\r\n");
    check(&sealed(&right), 200, "\"api\":3");
    // Random bytes that look like TLS.
    assert_eq!(says(&address, &[22, 3, 1, 255, 255, 0, 0]).find("HTTP"), None);
}

#[test]
fn another_user_is_refused_on_the_socket_whatever_its_mode() {
    if !fs::metadata("/proc/self").is_ok_and(|me| std::os::unix::fs::MetadataExt::uid(&me) == 0) {
        let _ = writeln!(std::io::stderr(), "skipped: only root can become another user");
        return;
    }
    let daemon = Daemon::start();
    for path in [daemon.dir.path(), &daemon.socket()] {
        fs::set_permissions(path, fs::Permissions::from_mode(0o777)).unwrap();
    }
    let ask = |user: &[&str]| {
        let script = "import socket,sys\ns=socket.socket(socket.AF_UNIX)\ns.connect(sys.argv[1])\n\
                      s.sendall(b'GET /v3/version HTTP/1.1\\r\\nhost: snapd\\r\\nconnection: close\\r\\n\\r\\n')\n\
                      print(b''.join(iter(lambda: s.recv(4096), b'')).decode())";
        let output = Command::new("setpriv")
            .args(user)
            // A Python that every user may run.
            .env("PATH", "/usr/bin:/bin")
            .args(["python3", "-c", script])
            .arg(daemon.socket())
            .output()
            .unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    let nobody = ["--reuid=65534", "--regid=65534"];
    let refused = ask(&[&nobody[..], &["--clear-groups"]].concat());
    check(&refused, 403, "user 65534 of this host may not use the socket of snapd");
    check(&ask(&["--reuid=65534", "--regid=0", "--clear-groups"]), 200, "\"api\":3");
    check(&ask(&[&nobody[..], &["--groups=0"]].concat()), 200, "\"api\":3");
}
