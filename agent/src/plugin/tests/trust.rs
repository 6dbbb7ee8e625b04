use super::{
    super::{
        tls::TlsFiles,
        trust::{BadKey, KeyringError, Signed, TrustError},
    },
    *,
};

/// GnuPG with a home of its own, as who signs plugins has it.
struct Gpg(TempDir);

impl Gpg {
    fn new() -> Self {
        Self(TempDir::new().unwrap())
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new("gpg");
        command.args(["--batch", "--quiet", "--yes", "--pinentry-mode=loopback", "--passphrase="]);
        command.arg("--homedir").arg(self.0.path()).args(args);
        command
    }

    fn run(&self, args: &[&str]) {
        run(&mut self.command(args));
    }

    fn make_key(&self, name: &str, kind: &str, usage: &str, expires: &str) {
        self.run(&["--quick-generate-key", name, kind, usage, expires]);
    }

    /// The public keys, as text or not.
    fn export(&self, armor: bool) -> PathBuf {
        let path = self.0.path().join(if armor { "keys.asc" } else { "keys.gpg" });
        let output = path.to_str().unwrap();
        let mut args = vec!["--output", output, "--export"];
        if armor {
            args.insert(0, "--armor");
        }
        self.run(&args);
        path
    }

    /// The signature of a file, in its text form.
    fn sign(&self, content: &str, more: &[&str]) -> Vec<u8> {
        let file = self.0.path().join("plugin");
        fs::write(&file, content).unwrap();
        let mut args = more.to_vec();
        args.extend(["--armor", "--detach-sign", file.to_str().unwrap()]);
        self.run(&args);
        fs::read(self.0.path().join("plugin.asc")).unwrap()
    }

    fn fingerprint(&self) -> String {
        let output = self.command(&["--with-colons", "--list-keys"]).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let line = text.lines().find(|line| line.starts_with("fpr:")).unwrap();
        line.split(':').nth(9).unwrap().to_owned()
    }

    fn trust(&self, level: TrustLevel) -> Trust {
        Trust::read(level, &[self.export(true)]).unwrap()
    }
}

impl Drop for Gpg {
    fn drop(&mut self) {
        let home = format!("--homedir={}", self.0.path().display());
        let _ = Command::new("gpgconf").args([&home, "--kill", "gpg-agent"]).status();
    }
}

fn name_of(signed: Result<Signed, TrustError>) -> String {
    match signed {
        Ok(Signed::By(signer)) => signer.name,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_signature_of_each_kind_of_key_is_known() {
    for kind in ["rsa2048", "rsa4096", "ed25519", "nistp256"] {
        let gpg = Gpg::new();
        gpg.make_key("Ann <ann@example.org>", kind, "sign", "never");
        let signature = gpg.sign("a plugin", &[]);
        for armor in [true, false] {
            let trust = Trust::read(TrustLevel::On, &[gpg.export(armor)]).unwrap();
            let signed = trust.check(b"a plugin", Some(&signature));
            assert_eq!(name_of(signed), "Ann <ann@example.org>", "{kind}");
            let other = trust.check(b"a plugin, changed", Some(&signature));
            assert_eq!(other, Err(TrustError::Mismatch), "{kind}");
        }
    }
}

#[test]
fn a_subkey_signs_for_its_key() {
    let gpg = Gpg::new();
    gpg.make_key("Ann", "ed25519", "cert", "never");
    gpg.run(&["--quick-add-key", &gpg.fingerprint(), "ed25519", "sign", "never"]);
    let signature = gpg.sign("a plugin", &[]);
    assert_eq!(name_of(gpg.trust(TrustLevel::On).check(b"a plugin", Some(&signature))), "Ann");
}

#[test]
fn the_level_says_what_a_missing_signature_means() {
    let gpg = Gpg::new();
    gpg.make_key("Ann", "ed25519", "sign", "never");
    let mut half = gpg.sign("a plugin", &[]);
    half.truncate(half.len() / 2);
    let check = |level, signature| gpg.trust(level).check(b"a plugin", signature);
    assert_eq!(check(TrustLevel::Off, None), Ok(Signed::Unchecked));
    assert_eq!(check(TrustLevel::Off, Some(&b"nonsense"[..])), Ok(Signed::Unchecked));
    assert_eq!(check(TrustLevel::Warn, None), Ok(Signed::No));
    assert_eq!(check(TrustLevel::On, None), Err(TrustError::Unsigned));
    for level in [TrustLevel::Warn, TrustLevel::On] {
        for bad in [&b""[..], b"nonsense", b"\xff\xff", &[b'x'; 70_000]] {
            let found = check(level, Some(bad));
            assert!(matches!(found, Err(TrustError::Unreadable(_))), "{found:?}");
        }
        assert!(check(level, Some(&half)).is_err());
    }
}

#[test]
fn a_key_that_is_not_in_the_keyring_is_named() {
    let (ann, bob) = (Gpg::new(), Gpg::new());
    ann.make_key("Ann", "ed25519", "sign", "never");
    bob.make_key("Bob", "ed25519", "sign", "never");
    let found = ann.trust(TrustLevel::Warn).check(b"x", Some(&bob.sign("x", &[])));
    assert_eq!(found, Err(TrustError::UnknownKey(bob.fingerprint())));
    // Two keys in one file, and the second is the one.
    let both = [fs::read(ann.export(true)).unwrap(), fs::read(bob.export(true)).unwrap()].concat();
    let file = ann.0.path().join("both.asc");
    fs::write(&file, both).unwrap();
    let trust = Trust::read(TrustLevel::On, &[file]).unwrap();
    assert_eq!(name_of(trust.check(b"x", Some(&bob.sign("x", &[])))), "Bob");
}

fn check_bad(gpg: &Gpg, signature: &[u8], expected: BadKey) {
    let found = gpg.trust(TrustLevel::On).check(b"x", Some(signature));
    assert!(
        matches!(&found, Err(TrustError::BadKey(signer, bad)) if *bad == expected && signer.name == "Ann"),
        "{found:?}"
    );
}

#[test]
fn a_key_that_is_of_no_use_any_more_is_refused() {
    let gpg = Gpg::new();
    let past = "--faked-system-time=20200101T000000";
    gpg.run(&[past, "--quick-generate-key", "Ann", "ed25519", "sign", "1y"]);
    check_bad(&gpg, &gpg.sign("x", &[past]), BadKey::Expired);

    let gpg = Gpg::new();
    gpg.make_key("Ann", "ed25519", "sign", "never");
    let signature = gpg.sign("x", &[]);
    let revocation = gpg.0.path().join(format!("openpgp-revocs.d/{}.rev", gpg.fingerprint()));
    // GnuPG puts a colon before it, so that nobody uses it by accident.
    let text = fs::read_to_string(&revocation).unwrap().replace(":-----BEGIN", "-----BEGIN");
    fs::write(&revocation, text).unwrap();
    gpg.run(&["--import", revocation.to_str().unwrap()]);
    check_bad(&gpg, &signature, BadKey::Revoked);

    let gpg = Gpg::new();
    gpg.make_key("Ann", "ed25519", "sign", "never");
    let old = gpg.sign(
        "x",
        &[
            "--faked-system-time=20200101T000000",
            "--default-sig-expire=1d",
            "--ignore-time-conflict",
            "--ignore-valid-from",
        ],
    );
    let found = gpg.trust(TrustLevel::On).check(b"x", Some(&old));
    assert_eq!(found, Err(TrustError::Expired));
}

#[test]
fn what_is_no_keyring_is_told_of() {
    let dir = TempDir::new().unwrap();
    let read = |path: &Path| Trust::read(TrustLevel::On, &[path.to_owned()]);
    assert!(matches!(read(&dir.path().join("none")), Err(KeyringError::Io(..))));
    assert!(matches!(read(dir.path()), Err(KeyringError::Empty(_))));
    fs::write(dir.path().join("notes.txt"), "not looked at").unwrap();
    assert!(matches!(read(dir.path()), Err(KeyringError::Empty(_))));
    fs::write(dir.path().join("bad.gpg"), "no key").unwrap();
    assert!(matches!(read(dir.path()), Err(KeyringError::Unreadable(..))));
    fs::remove_file(dir.path().join("bad.gpg")).unwrap();
    let gpg = Gpg::new();
    gpg.make_key("Ann", "ed25519", "sign", "never");
    fs::copy(gpg.export(false), dir.path().join("ann.pub")).unwrap();
    assert!(read(dir.path()).is_ok());
}

#[tokio::test]
async fn only_signed_plugins_are_loaded_and_only_they_are_started_again() {
    let gpg = Gpg::new();
    gpg.make_key("Ann", "ed25519", "sign", "never");
    let place = Place::with(|settings| settings.trust = gpg.trust(TrustLevel::On));
    let text = collector("signed", 1, "");
    let signature = gpg.sign(&text, &[]);
    let message = |error: LoadError| error.to_string();
    let unsigned = place.try_load(&text).await.map_err(message).unwrap_err();
    let expected = "the plugin was not loaded: it is not signed, and this node runs signed plugins \
                    only";
    assert_eq!(unsigned, expected);
    let changed = place.file("changed", &format!("{text}#"));
    let refused = place.host.load_file(&changed, "signed", Some(signature.clone())).await;
    let expected = "the plugin was not loaded: its signature is not that of this file";
    assert_eq!(refused.map_err(message).unwrap_err(), expected);
    let good = place.file("good", &text);
    let plugin = place.host.load_file(&good, "signed", Some(signature)).await.unwrap();
    assert!(matches!(&plugin.signed, Signed::By(signer) if signer.name == "Ann"));

    let first = *pids(&plugin).first().unwrap();
    let pid = rustix::process::Pid::from_raw(first).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
    until("it is started again", async || pids(&plugin).first().is_some_and(|pid| *pid != first))
        .await;
}

/// A set of certificates, those of plugins for this address.
fn certificates(dir: &Path, address: &str) -> TlsFiles {
    let path = |name: &str| dir.join(name);
    let openssl = |args: &[&str]| run(Command::new("openssl").current_dir(dir).args(args));
    openssl(&[
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
        "-nodes",
        "-keyout",
        "ca.key",
        "-out",
        "ca.crt",
        "-subj",
        "/CN=test ca",
        "-days",
        "2",
    ]);
    for name in ["host", "plugin"] {
        fs::write(path("ext"), format!("subjectAltName=IP:{address}\n")).unwrap();
        let (key, csr, crt) = (format!("{name}.key"), format!("{name}.csr"), format!("{name}.crt"));
        openssl(&[
            "req",
            "-new",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
            "-keyout",
            &key,
            "-out",
            &csr,
            "-subj",
            &format!("/CN={name}"),
        ]);
        openssl(&[
            "x509",
            "-req",
            "-in",
            &csr,
            "-CA",
            "ca.crt",
            "-CAkey",
            "ca.key",
            "-CAcreateserial",
            "-out",
            &crt,
            "-days",
            "2",
            "-extfile",
            "ext",
        ]);
    }
    TlsFiles {
        ca: path("ca.crt"),
        cert: path("host.crt"),
        key: path("host.key"),
        plugin_cert: path("plugin.crt"),
        plugin_key: path("plugin.key"),
    }
}

#[tokio::test]
async fn a_plugin_is_called_over_tls_if_the_node_wants_it() {
    let dir = TempDir::new().unwrap();
    let files = certificates(dir.path(), "127.0.0.1");
    let place = Place::with(|settings| settings.tls = Some(Tls::read(&files).unwrap()));
    let plugin = place.load(&collector("sealed", 1, "")).await;
    one(&place.host.session("t"), &collection("/pool/sealed/pid", &[])).await;
    let pid = *pids(&plugin).first().unwrap();
    let line = fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap();
    assert!(line.contains(r#""TLSEnabled":true"#), "{line}");
    place.host.unload(&plugin).await;
    assert!(!is_running(pid));

    let deaf = "#!/bin/sh\necho '{\"Meta\":{\"Name\":\"p\",\"Version\":1,\"RPCType\":2},\
                \"ListenAddress\":\"127.0.0.1:1\"}'\nsleep 1000\n";
    let refused = place.try_load(deaf).await.unwrap_err().to_string();
    let message = "the plugin was not loaded: it does not speak TLS, which this node asks of its \
                   plugins (`plugins: tls`)";
    assert_eq!(refused, message);
    let only = deaf.replace("\"RPCType\":2", "\"RPCType\":2,\"TLSEnabled\":true");
    let refused = Place::new().try_load(&only).await.unwrap_err().to_string();
    let message = "the plugin was not loaded: it speaks TLS, which is not set up on this node (`plugins: tls`)";
    assert_eq!(refused, message);
}

#[tokio::test]
async fn a_plugin_with_a_certificate_for_another_address_is_refused() {
    let dir = TempDir::new().unwrap();
    let files = certificates(dir.path(), "10.0.0.1");
    let place = Place::with(|settings| settings.tls = Some(Tls::read(&files).unwrap()));
    let error = place.try_load(&collector("sealed", 1, "")).await.unwrap_err().to_string();
    let message = "the plugin was not loaded: connecting failed: it does not answer: ";
    assert!(error.starts_with(message) && error.contains("127.0.0.1"), "{error}");
}

#[test]
fn certificates_that_are_of_no_use_are_told_of() {
    let dir = TempDir::new().unwrap();
    let files = certificates(dir.path(), "127.0.0.1");
    let missing = TlsFiles { ca: dir.path().join("none"), ..files.clone() };
    let error = Tls::read(&missing).unwrap_err().to_string();
    assert!(error.starts_with("cannot read `") && error.contains("/none` for TLS"), "{error}");
    let swapped = TlsFiles { key: files.cert.clone(), ..files.clone() };
    let error = Tls::read(&swapped).unwrap_err().to_string();
    assert!(error.starts_with("the certificates for TLS with plugins are of no use: "), "{error}");
}
