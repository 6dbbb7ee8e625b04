//! Without the key nobody gets in, and nobody on the wire learns a thing.

use std::{
    collections::BTreeSet,
    fs,
    io::Write,
    net::{IpAddr, Ipv4Addr, TcpListener, TcpStream, UdpSocket},
    path::{Path, PathBuf},
    sync::Barrier,
    thread,
    time::Instant,
};

use serde_json::json;
use tribe_api::MemberState;
use tribe_tests::{
    Capture, Cluster, Heard, Node, Ran, binary, free_address, report, say, wait_until,
};

fn fingerprint(node: &Node) -> String {
    node.info().key_fingerprint.unwrap()
}

#[test]
fn a_node_without_a_key_refuses_to_start() {
    let ran = Ran::new(
        std::process::Command::new(binary("snapd"))
            .args(["--config", "/dev/null", "--tribe", "--tribe-node-name", "i1"])
            .env_remove("SNAP_TRIBE_KEY_FILE"),
    );
    assert_eq!(ran.code, Some(78));
    assert_eq!(
        ran.stderr,
        "error: --tribe: tribe mode needs a key, and there is none\n\
         help: make one with `snapd keygen --out FILE` and give it with --tribe-key-file FILE\n"
    );
}

#[test]
fn a_node_with_another_key_never_becomes_a_member_and_both_sides_say_why() {
    let mut cluster = Cluster::start(&[("i1", &[]), ("i2", &[])]);
    let other = Cluster::new();
    cluster.add_with_key("stranger", other.key(), &[]);
    cluster.run(&["stranger"]);
    let keys = [fingerprint(&cluster["i1"]), fingerprint(&cluster["stranger"])];
    assert_ne!(keys[0], keys[1]);
    let tells = |name: &str| {
        let log = cluster[name].log();
        let line = log.lines().find(|line| keys.iter().all(|key| line.contains(key)));
        line.map(str::to_owned)
    };
    let start = Instant::now();
    wait_until("both sides tell both keys", || {
        tells("i1").is_some() && tells("stranger").is_some()
    });
    report("both sides say why", start.elapsed());
    for name in ["i1", "stranger"] {
        let line = tells(name).unwrap();
        assert!(line.contains(" WARN ") && line.contains("key"), "{line}");
    }
    let status = || cluster["stranger"].types("tribe status");
    wait_until("its status says so", || status().contains(&keys[0]));
    let status = status();
    for part in ["it has not met another member yet", &keys[1], "snapctl key status"] {
        assert!(status.contains(part), "{status}");
    }
    let refused = cluster["stranger"].tries("tribe create core");
    for part in ["has not met its cluster", &keys[0], "give them one key file"] {
        assert!(refused.stderr.contains(part), "{}", refused.stderr);
    }
    // Once more, after another round of every timer that matters.
    wait_until("the seeds say it again", || tells("i2").is_some());
    for name in ["i1", "i2"] {
        assert!(!cluster[name].states().contains_key("stranger"));
        assert_eq!(cluster[name].alive().len(), 2);
    }
    assert_eq!(cluster["stranger"].states().len(), 1);
}

fn ips(cluster: &Cluster) -> BTreeSet<Ipv4Addr> {
    let ipv4 = |ip| match ip {
        IpAddr::V4(ip) => ip,
        IpAddr::V6(ip) => panic!("{ip} is no loopback address of ours"),
    };
    cluster.addresses().into_iter().map(|address| ipv4(address.ip())).collect()
}

/// Sends something anyone can read, as a datagram and on a stream: the capture must see it.
fn send_plainly(from: IpAddr, datagram: &[u8], stream: &[u8]) {
    let to = UdpSocket::bind((from, 0)).unwrap();
    let sender = UdpSocket::bind((from, 0)).unwrap();
    sender.send_to(datagram, to.local_addr().unwrap()).unwrap();
    let listener = TcpListener::bind((from, 0)).unwrap();
    let mut connection = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    connection.write_all(stream).unwrap();
    drop(listener.accept().unwrap());
}

/// What is on the wire while three nodes meet and are told secrets. `None` if nobody may listen.
fn overhear(mut cluster: Cluster, names: [&str; 3]) -> Option<(Cluster, Heard)> {
    let [first, second, third] = names;
    let capture = Capture::start(ips(&cluster))
        .inspect_err(|error| say(&format!("skipped: packets cannot be captured: {error}")))
        .ok()?;
    cluster.run(&[first, second]);
    cluster.wait_until_met();
    let on = &cluster[first];
    on.types("tribe create secret-tribe --description secret-description");
    on.types(&format!("tribe join secret-tribe {second}"));
    on.types(
        "tribe policy create secret-policy \"{{secret_fact_name}} == secret-fact-value\" \
         --tribe secret-tribe",
    );
    on.types(&format!("--wait fact set {second} another_secret_fact=another-secret-value"));
    // A late node, which gets everything over a stream.
    cluster.run(&[third]);
    cluster.wait_for_tribes(&[("secret-tribe", &[second])]);
    cluster.wait_until_met();
    send_plainly(cluster[first].address().ip(), b"a plain datagram", b"a plain stream");
    // What others say is not ours.
    send_plainly(free_address().ip(), b"a foreign datagram", b"a foreign stream");
    let heard = capture.stop();
    say(&format!(
        "captured {} datagrams and {} directions of streams",
        heard.datagrams.len(),
        heard.streams.len()
    ));
    assert!(heard.has(b"a plain datagram") && heard.has(b"a plain stream"));
    assert!(!heard.has(b"a foreign datagram") && !heard.has(b"a foreign stream"));
    for address in cluster.addresses() {
        let port = address.port();
        assert!(heard.datagrams.iter().any(|(from, _)| from.port() == port), "{address}");
    }
    let talk: usize = heard.streams.values().map(Vec::len).sum();
    assert!(talk > 2000, "{talk} bytes on streams");
    Some((cluster, heard))
}

const NAMES: [&str; 3] = ["first-secret-node", "second-secret-node", "third-secret-node"];

/// Only the second node has a fact of its own.
fn options(name: &str) -> &'static [&'static str] {
    if name == NAMES[1] { &["--fact", "secret_fact_name=secret-fact-value"] } else { &[] }
}

#[test]
fn nothing_that_nodes_say_can_be_read_on_the_wire() {
    let mut cluster = Cluster::new();
    NAMES.into_iter().for_each(|name| cluster.add(name, options(name)));
    let Some((cluster, heard)) = overhear(cluster, NAMES) else { return };
    let dist = cluster[NAMES[0]].fact(NAMES[0], "os_dist").unwrap();
    let key = fs::read_to_string(cluster.key()).unwrap();
    let mut secrets: Vec<&[u8]> = vec![b"secret", b"os_dist", b"default_ipv4", b"snapd"];
    secrets.extend([dist.as_str().unwrap().as_bytes(), key.trim().as_bytes()]);
    for secret in secrets {
        assert!(!heard.has(secret), "{} is on the wire", String::from_utf8_lossy(secret));
    }
}

#[test]
fn without_encryption_all_of_that_is_on_the_wire() {
    let mut cluster = Cluster::new();
    NAMES.into_iter().for_each(|name| cluster.add_without_key(name, options(name)));
    let Some((cluster, heard)) = overhear(cluster, NAMES) else { return };
    let dist = cluster[NAMES[0]].fact(NAMES[0], "os_dist").unwrap();
    let texts = [
        "second-secret-node",
        "secret-tribe",
        "secret-description",
        "secret-policy",
        "secret_fact_name",
        "another-secret-value",
        "os_dist",
        "default_ipv4",
        "snapd",
    ];
    for text in texts.into_iter().chain(dist.as_str()) {
        assert!(heard.has(text.as_bytes()), "{text} is not on the wire");
    }
}

#[test]
fn one_command_exchanges_the_key_and_a_node_that_was_down_follows() {
    let mut cluster = Cluster::start(&[("i1", &[]), ("i2", &[]), ("i3", &[])]);
    let old = fingerprint(&cluster["i1"]);
    cluster["i3"].kill();
    let down = |node: &Node| node.states()["i3"] == MemberState::Down;
    wait_until("both know that it is down", || cluster.running().all(down));

    let file = new_key(&cluster, "new.key");
    let rotate = format!("key rotate --key-file {}", file.display());
    // Typed again it goes on, and stops for the same reason.
    for _ in 0..2 {
        let stopped = cluster["i1"].tries(&rotate);
        assert_eq!((stopped.code, stopped.stdout.as_str()), (Some(1), ""), "{stopped:?}");
        for part in ["installed key", "i3", "--force"] {
            assert!(stopped.stderr.contains(part), "{}", stopped.stderr);
        }
        assert!(cluster.running().all(|node| fingerprint(node) == old));
    }

    // Another node goes on with the same key.
    let start = Instant::now();
    let done = cluster["i2"].tries("key rotate --force");
    report("key exchanged", start.elapsed());
    assert_eq!(done.code, Some(0), "{done:?}");
    assert!(!done.stderr.contains("installed"), "{}", done.stderr);
    let down = "warning: 1 node is down and without it: i3\n";
    assert!(done.stderr.contains("2 nodes hold key"), "{done:?}");
    assert!(done.stderr.contains("1 does not yet: i3; it seals"), "{done:?}");
    assert!(done.stderr.contains("is the only one") && done.stderr.contains(down), "{done:?}");
    let new = done.stdout.trim().to_owned();
    assert_ne!(new, old);
    wait_until("both seal with the new key", || cluster.running().all(|of| fingerprint(of) == new));
    let removed = |node: &Node| {
        let keys = node.get("/v3/keys");
        let phase = |id: &str| {
            let keys = keys["keys"].as_array().unwrap();
            keys.iter().find(|key| key["id"] == id).map(|key| key["phase"].clone())
        };
        phase(&old) == Some("removed".into()) && phase(&new) == Some("in-use".into())
    };
    wait_until("the old one is removed", || cluster.running().all(removed));

    // It comes back with the old key in its key file.
    cluster.run(&["i3"]);
    cluster.wait_until_met();
    wait_until("it has the new key", || fingerprint(&cluster["i3"]) == new);
    wait_until("it says what to do", || cluster["i3"].log().contains("replace the file"));
    cluster.kill_all();
    cluster.run(&["i1", "i2", "i3"]);
    cluster.wait_until_met();
    assert!(cluster.running().all(|node| fingerprint(node) == new));
    // Who is added later is given the file.
    cluster.add_with_key("i4", &file, &[]);
    cluster.run(&["i4"]);
    cluster.wait_until_met();
    let refused = cluster["i3"].tries(&format!("key use {old}"));
    assert_eq!(refused.code, Some(1));
    let told = format!("error: key `{old}` was removed, install another one");
    assert!(refused.stderr.starts_with(&told), "{}", refused.stderr);
}

#[test]
fn of_two_who_exchange_the_key_at_one_time_one_is_told_that_the_other_won() {
    let cluster = Cluster::start(&[("i1", &[]), ("i2", &[]), ("i3", &[])]);
    // If one of them is done before the other begins, or while it ends, nobody lost: once more.
    let (won, lost, file) = (0..5)
        .find_map(|time| exchange_at_one_time(&cluster, time))
        .expect("five times two did not meet");
    assert_eq!(lost.stdout, "", "{lost:?}");
    let own = |ran: &Ran| ran.stderr.split('`').nth(1).unwrap_or_default().to_owned();
    let (new, gone) = (own(&won), own(&lost));
    assert_eq!(won.stdout, format!("{new}\n"));
    let told = format!(
        "error: another exchange of keys won: key `{new}` is in use, and key `{gone}` of this one \
         is removed\n\
         help: the key file of the hosts is that of key `{new}`, not `{file}`; to exchange it once \
         more make a new one with `snapd keygen --out FILE`\n"
    );
    assert!(lost.stderr.ends_with(&told), "{}", lost.stderr);
    wait_until("all hold the key that won, and no other", || {
        let keys = cluster["i3"].get("/v3/keys");
        let mut members = keys["members"].as_array().unwrap().iter();
        members.all(|member| member["keys"] == json!([new]))
    });
    assert!(cluster.running().all(|node| fingerprint(node) == new));
}

/// The one who won, the one who lost and its file, if one of them lost to the other.
fn exchange_at_one_time(cluster: &Cluster, time: usize) -> Option<(Ran, Ran, String)> {
    let begin = Barrier::new(2);
    let exchange = |name: &str, file: &Path| {
        begin.wait();
        cluster[name].tries(&format!("key rotate --key-file {}", file.display()))
    };
    let files = ["i1", "i2"].map(|name| new_key(cluster, &format!("{name}.{time}.key")));
    let [one, other] = thread::scope(|scope| {
        let [first, second] = &files;
        let both = [("i1", first), ("i2", second)]
            .map(|(name, file)| scope.spawn(move || exchange(name, file)));
        both.map(|one| one.join().unwrap())
    });
    let [first, second] = files.map(|file| file.display().to_string());
    let lost = |ran: &Ran| ran.code == Some(1) && ran.stderr.contains("exchange of keys won");
    match (one.code, other.code) {
        (Some(0), Some(1)) if lost(&other) => Some((one, other, second)),
        (Some(1), Some(0)) if lost(&one) => Some((other, one, first)),
        _ => None,
    }
}

#[test]
fn a_key_that_seals_already_is_not_exchanged_for_itself() {
    let cluster = Cluster::start(&[("i1", &[])]);
    let i1 = &cluster["i1"];
    let refuses = |file: &Path| {
        let keys = || i1.get("/v3/keys")["keys"].clone();
        let (before, file) = (keys(), file.display());
        let refused = i1.tries(&format!("key rotate --key-file {file}"));
        let told = format!(
            "error: key `{}` of `{file}` seals already, it cannot be the new key\n\
             help: make a new one with `snapd keygen --out FILE`\n",
            fingerprint(i1)
        );
        assert_eq!((refused.code, refused.stderr), (Some(1), told));
        assert_eq!((refused.stdout.as_str(), keys()), ("", before));
    };
    refuses(cluster.key());
    let new = new_key(&cluster, "new.key");
    i1.types(&format!("key rotate --key-file {}", new.display()));
    refuses(&new);
    let removed = i1.tries(&format!("key rotate --key-file {}", cluster.key().display()));
    assert!(removed.stderr.contains("was removed, install another one"), "{removed:?}");
}

/// Makes another key file.
fn new_key(cluster: &Cluster, name: &str) -> PathBuf {
    let file = cluster.dir().join(name);
    let made =
        Ran::new(std::process::Command::new(binary("snapd")).arg("keygen").arg("--out").arg(&file));
    assert_eq!(made.code, Some(0), "{made:?}");
    file
}

#[test]
fn a_key_from_a_file_is_installed_used_and_the_old_one_removed_by_hand() {
    let cluster = Cluster::start(&[("i1", &[]), ("i2", &[])]);
    let old = fingerprint(&cluster["i1"]);
    let file = new_key(&cluster, "new.key");
    let secret = fs::read_to_string(&file).unwrap();
    let secret = secret.lines().last().unwrap().trim().to_owned();

    let installed = cluster["i1"].tries(&format!("key install {}", file.display()));
    let new = installed.stderr.split('`').nth(1).unwrap_or_default().to_owned();
    assert_eq!(installed.stderr, format!("installed key `{new}`\n"));
    wait_until("the other one fetched it", || {
        cluster["i1"].types("key status").lines().filter(|line| line.contains(&new)).count() == 2
    });
    let seals = cluster["i1"].tries(&format!("key remove {old}"));
    assert!(seals.stderr.starts_with(&format!("error: key `{old}` seals")), "{seals:?}");
    cluster["i1"].types(&format!("key use {new}"));
    wait_until("both seal with it", || cluster.running().all(|node| fingerprint(node) == new));
    cluster["i2"].types(&format!("--wait key remove {old}"));
    let list = cluster["i1"].types("key list");
    assert!(list.contains(&format!("{old}  removed")), "{list}");
    let unknown = cluster["i1"].tries("key use 01020304");
    assert_eq!(unknown.code, Some(3), "{unknown:?}");
    let wrong = cluster["i1"].tries("key use new");
    assert!(wrong.stderr.contains("not the fingerprint of a key"), "{wrong:?}");
    let texts = [list, cluster["i1"].log(), cluster["i2"].log(), wrong.stderr];
    assert!(texts.iter().all(|text| !text.contains(&secret)));
    cluster["i1"].types("tribe create core");
    cluster.wait_for_tribes(&[("core", &[])]);
}
