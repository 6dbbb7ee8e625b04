//! Services between real nodes on loopback.

#![cfg(feature = "runtime")]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod support;

use std::{
    collections::BTreeSet,
    io::{self, Read as _, Write as _},
    net::Shutdown,
    os::unix::net::UnixStream,
    thread,
    time::Duration,
};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tribe::{
    CommandError, Config, DialError, Incoming, Key, Keyring, Node, NodeName, OfferQuery,
    PluginPattern, ServeOptions, Service, ServicePattern, ServiceStream, Target, TribeName, View,
};

use self::support::{config, until};

/// More than enough for anything that is waited for here.
const LONG: Duration = Duration::from_secs(60);

async fn start(name: &str, seed: Option<&Node>) -> Node {
    Node::start(config(name, seed, None)).await.unwrap()
}

/// Nodes n1, n2, ... that know one another.
async fn cluster(size: usize) -> Vec<Node> {
    let mut nodes: Vec<Node> = Vec::new();
    for at in 1..=size {
        let node = start(&format!("n{at}"), nodes.first()).await;
        nodes.push(node);
    }
    for node in &nodes {
        until(LONG, node, "all meet", |view| view.members.len() == size && view.synced).await;
    }
    nodes
}

async fn soon<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(LONG, what).await.unwrap()
}

fn at(name: &str) -> Target {
    Target::Node(NodeName::parse(name).unwrap())
}

fn in_tribe(name: &str) -> Target {
    Target::Tribe(TribeName::parse(name).unwrap())
}

fn offers(view: &View, node: &str, service: &str) -> bool {
    let member = view.member(node).unwrap();
    member.offers.services.iter().any(|offered| offered.as_str() == service)
}

/// Answers each stream with what it is sent, once that is over.
fn echo(mut service: Service) {
    tokio::spawn(async move {
        while let Some(Incoming { mut stream, .. }) = service.accept().await {
            tokio::spawn(async move {
                let mut heard = Vec::new();
                stream.read_to_end(&mut heard).await.unwrap();
                stream.write_all(&heard).await.unwrap();
                stream.shutdown().await.unwrap();
            });
        }
    });
}

/// Says something and returns what comes back.
async fn say(stream: &mut ServiceStream, words: &[u8]) -> Vec<u8> {
    stream.write_all(words).await.unwrap();
    stream.shutdown().await.unwrap();
    let mut heard = Vec::new();
    soon(stream.read_to_end(&mut heard)).await.unwrap();
    heard
}

#[tokio::test]
async fn a_service_hears_all_and_answers_when_the_other_direction_is_over() {
    let nodes = cluster(2).await;
    let mut service = nodes[0].serve("echo/1", ServeOptions::default()).await.unwrap();
    let mut dialled = soon(nodes[1].dial(at("n1"), "echo/1")).await.unwrap();
    assert_eq!((dialled.peer().id, dialled.peer().name.as_str()), (nodes[0].id(), "n1"));
    assert_eq!(dialled.peer().address, nodes[0].address());
    let Incoming { mut stream, caller } = soon(service.accept()).await.unwrap();
    assert_eq!((caller.id, caller.name.as_str()), (nodes[1].id(), "n2"));
    assert_eq!((caller.address, stream.peer()), (nodes[1].address(), &caller));
    // Who accepts may speak first.
    stream.write_all(b"welcome").await.unwrap();
    let mut welcome = [0; 7];
    soon(dialled.read_exact(&mut welcome)).await.unwrap();
    assert_eq!(&welcome, b"welcome");
    dialled.write_all(b"hello").await.unwrap();
    dialled.shutdown().await.unwrap();
    let mut heard = Vec::new();
    soon(stream.read_to_end(&mut heard)).await.unwrap();
    assert_eq!(heard, b"hello");
    stream.write_all(b"good-bye").await.unwrap();
    stream.shutdown().await.unwrap();
    let mut answer = Vec::new();
    soon(dialled.read_to_end(&mut answer)).await.unwrap();
    assert_eq!(answer, b"good-bye");
    assert_eq!(service.name().as_str(), "echo/1");
    let again = nodes[0].serve("echo/1", ServeOptions::default()).await.unwrap_err();
    assert!(matches!(again, CommandError::ServiceExists(_)), "{again}");
    drop(service);
    // A dropped service does not stand in the way of the next of its name.
    echo(nodes[0].serve("echo/1", ServeOptions::default()).await.unwrap());
    let mut dialled = soon(nodes[1].dial(at("n1"), "echo/1")).await.unwrap();
    assert_eq!(say(&mut dialled, b"again").await, b"again");
    let mut own = soon(nodes[0].dial(at("n1"), "echo/1")).await.unwrap();
    assert_eq!(own.peer().name.as_str(), "n1");
    assert_eq!(say(&mut own, b"to myself").await, b"to myself");
}

/// Bytes that look random and are not all alike.
fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 33) as u8
    };
    (0..length).map(|_| next()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn much_goes_both_ways_at_the_same_time_and_unchanged() {
    const LENGTH: usize = 64 * 1024 * 1024;
    let nodes = cluster(2).await;
    let mut service = nodes[0].serve("bulk", ServeOptions::default()).await.unwrap();
    let dialled = soon(nodes[1].dial(at("n1"), "bulk")).await.unwrap();
    let accepted = soon(service.accept()).await.unwrap().stream;
    let (one, other) = (noise(1, LENGTH), noise(2, LENGTH));
    let exchange = |stream: ServiceStream, out: Vec<u8>, length: usize| async move {
        let (mut reader, mut writer) = tokio::io::split(stream);
        let writing = tokio::spawn(async move {
            // Neither reads before the other has written much: they must not wait for each other.
            writer.write_all(&out).await.unwrap();
            writer.shutdown().await.unwrap();
            out
        });
        let mut heard = Vec::with_capacity(length);
        reader.read_to_end(&mut heard).await.unwrap();
        (writing.await.unwrap(), heard)
    };
    let here = tokio::spawn(exchange(dialled, one, LENGTH));
    let there = tokio::spawn(exchange(accepted, other, LENGTH));
    let (sent_here, heard_here) = soon(here).await.unwrap();
    let (sent_there, heard_there) = soon(there).await.unwrap();
    assert!(sent_here == heard_there && sent_there == heard_here);
}

#[tokio::test]
async fn who_may_not_dial_is_told_why() {
    let nodes = cluster(2).await;
    let dial = async |target, service: &str| {
        soon(nodes[1].dial(target, service)).await.map(|_| ()).unwrap_err()
    };
    let error = dial(at("n1"), "nothing").await;
    assert!(matches!(error, DialError::NoService { .. }), "{error}");
    assert_eq!(error.to_string(), "node `n1` does not serve `nothing`");
    let error = soon(nodes[0].dial(at("n1"), "nothing")).await.map(|_| ()).unwrap_err();
    assert!(matches!(error, DialError::NoService { .. }), "{error}");
    let error = dial(at("n11"), "nothing").await;
    assert_eq!(error.to_string(), "there is no node `n11`, did you mean `n1`?");
    let error = dial(at("n1"), "no name").await;
    assert!(matches!(error, DialError::Name(_)), "{error}");
    let error = dial(in_tribe("core"), "status").await;
    assert!(matches!(error, DialError::UnknownTribe { .. }), "{error}");
    let written = nodes[0].create_tribe("core", "").await.unwrap();
    assert!(nodes[0].wait(&written, LONG).await.unwrap().is_empty());
    let error = dial(in_tribe("core"), "status").await;
    assert_eq!(error.to_string(), "no living member of tribe `core` offers service `status`");
    let tribes = Some(vec![TribeName::parse("core").unwrap()]);
    let options = ServeOptions { tribes, most: 2, hidden: false };
    let mut service = nodes[0].serve("status", options).await.unwrap();
    let error = dial(at("n1"), "status").await;
    assert!(matches!(error, DialError::NotAllowed { .. }), "{error}");
    let written = nodes[1].join_tribe("core", None).await.unwrap();
    assert!(nodes[1].wait(&written, LONG).await.unwrap().is_empty());
    let one = soon(nodes[1].dial(at("n1"), "status")).await.unwrap();
    let two = soon(nodes[1].dial(at("n1"), "status")).await.unwrap();
    let error = dial(at("n1"), "status").await;
    assert!(matches!(error, DialError::Busy { .. }), "{error}");
    // Once one of them is over there is room.
    drop(one);
    let mut first = soon(service.accept()).await.unwrap().stream;
    let cut = soon(first.read_u8()).await.unwrap_err();
    assert_eq!(cut.to_string(), "the peer cut the connection");
    drop(first);
    let three = async {
        loop {
            match nodes[1].dial(at("n1"), "status").await {
                Ok(stream) => return stream,
                Err(error) => assert!(matches!(error, DialError::Busy { .. }), "{error}"),
            }
        }
    };
    let three = soon(three).await;
    drop((two, three));
    let counters = async {
        while nodes[0].counters()["tribe_service_streams_accepted_total"] < 3 {
            tokio::task::yield_now().await;
        }
    };
    soon(counters).await;
    let failed = async {
        while nodes[1].counters()["tribe_dials_failed_total"] < 6 {
            tokio::task::yield_now().await;
        }
    };
    soon(failed).await;
    assert!(nodes[1].counters()["tribe_dials_total"] >= 9);
}

#[tokio::test]
async fn an_end_that_is_dropped_half_way_is_an_error_and_no_end() {
    let nodes = cluster(2).await;
    for dialler in &nodes {
        let mut service = nodes[0].serve("half", ServeOptions::default()).await.unwrap();
        let mut dialled = soon(dialler.dial(at("n1"), "half")).await.unwrap();
        let mut accepted = soon(service.accept()).await.unwrap().stream;
        accepted.write_all(b"half of it").await.unwrap();
        drop(accepted);
        let mut heard = Vec::new();
        let error = soon(dialled.read_to_end(&mut heard)).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset, "{error}");
        assert_eq!(heard, b"half of it");
        let writing = async {
            loop {
                if let Err(error) = dialled.write_all(&[0; 4096]).await {
                    return error;
                }
            }
        };
        assert_eq!(soon(writing).await.kind(), io::ErrorKind::ConnectionReset);
    }
    // So it is when the whole node stops.
    let mut service = nodes[0].serve("half", ServeOptions::default()).await.unwrap();
    let mut dialled = soon(nodes[1].dial(at("n1"), "half")).await.unwrap();
    let mut accepted = soon(service.accept()).await.unwrap().stream;
    nodes[0].stop().await;
    let error = soon(dialled.read_u8()).await.unwrap_err();
    assert_ne!(error.kind(), io::ErrorKind::UnexpectedEof, "{error}");
    let error = soon(accepted.read_u8()).await.unwrap_err();
    assert_eq!(error.to_string(), "the node has stopped");
    assert!(soon(service.accept()).await.is_none());
    assert!(matches!(nodes[0].dial(at("n2"), "half").await, Err(DialError::Closed)));
}

#[tokio::test]
async fn a_tribe_is_dialled_while_any_member_that_offers_is_there() {
    let nodes = cluster(4).await;
    let mut written = nodes[0].create_tribe("core", "").await.unwrap();
    for member in ["n1", "n2", "n3"] {
        written = nodes[0].join_tribe("core", Some(member)).await.unwrap();
    }
    assert!(nodes[0].wait(&written, LONG).await.unwrap().is_empty());
    for node in [&nodes[0], &nodes[1]] {
        echo(node.serve("echo", ServeOptions::default()).await.unwrap());
    }
    // Neither a member that does not offer it, nor one that offers it outside the tribe.
    echo(nodes[3].serve("echo", ServeOptions::default()).await.unwrap());
    let hidden = ServeOptions { hidden: true, ..ServeOptions::default() };
    let _hidden = nodes[2].serve("echo", hidden).await.unwrap();
    for node in [&nodes[2], &nodes[3]] {
        until(LONG, node, "offers", |view| ["n1", "n2"].iter().all(|of| offers(view, of, "echo")))
            .await;
    }
    let mut reached = BTreeSet::new();
    while reached.len() < 2 {
        let mut stream = soon(nodes[3].dial(in_tribe("core"), "echo")).await.unwrap();
        reached.insert(stream.peer().name.to_string());
        assert_eq!(say(&mut stream, b"hello").await, b"hello");
    }
    assert_eq!(reached, ["n1".to_owned(), "n2".to_owned()].into());
    // Nobody knows yet that it is gone.
    nodes[1].stop().await;
    for _ in 0..10 {
        let mut stream = soon(nodes[3].dial(in_tribe("core"), "echo")).await.unwrap();
        assert_eq!(stream.peer().name.as_str(), "n1");
        assert_eq!(say(&mut stream, b"hello").await, b"hello");
    }
}

#[tokio::test]
async fn what_a_node_offers_comes_and_goes_with_its_services() {
    let nodes = cluster(2).await;
    let service = nodes[0].serve("publisher/influxdb/25", ServeOptions::default()).await.unwrap();
    let hidden = ServeOptions { hidden: true, ..ServeOptions::default() };
    echo(nodes[0].serve("secret", hidden).await.unwrap());
    until(LONG, &nodes[1], "offered", |view| offers(view, "n1", "publisher/influxdb/25")).await;
    assert!(!offers(&nodes[1].view(), "n1", "secret"));
    let mut stream = soon(nodes[1].dial(at("n1"), "secret")).await.unwrap();
    assert_eq!(say(&mut stream, b"psst").await, b"psst");
    drop(service);
    until(LONG, &nodes[1], "withdrawn", |view| !offers(view, "n1", "publisher/influxdb/25")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_may_dial_at_the_same_time() {
    const MANY: usize = 150;
    let nodes = cluster(2).await;
    echo(nodes[0].serve("echo", ServeOptions::default()).await.unwrap());
    let dials: Vec<_> = (0..MANY)
        .map(|number| {
            let node = nodes[1].clone();
            tokio::spawn(async move {
                let mut stream = node.dial(at("n1"), "echo").await.unwrap();
                let words = number.to_string().into_bytes();
                assert_eq!(say(&mut stream, &words).await, words);
            })
        })
        .collect();
    for dial in dials {
        soon(dial).await.unwrap();
    }
}

#[tokio::test]
async fn a_node_that_runs_alone_dials_itself() {
    let mut config = Config::new("alone", Keyring::new(Key::from_bytes([7; 32]))).unwrap();
    config.alone = true;
    config.collect_facts = false;
    let node = Node::start(config).await.unwrap();
    node.create_tribe("core", "").await.unwrap();
    node.join_tribe("core", None).await.unwrap();
    echo(node.serve("echo", ServeOptions { most: 1, ..ServeOptions::default() }).await.unwrap());
    let mut stream = soon(node.dial(in_tribe("core"), "echo")).await.unwrap();
    let busy = soon(node.dial(at("alone"), "echo")).await.map(|_| ()).unwrap_err();
    assert!(matches!(busy, DialError::Busy { .. }), "{busy}");
    assert_eq!(say(&mut stream, b"hello").await, b"hello");
    drop(stream);
    let again = async {
        while node.dial(at("alone"), "echo").await.is_err() {
            tokio::task::yield_now().await;
        }
    };
    soon(again).await;
}

/// A blocking socket, used off the runtime's threads.
async fn off<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    soon(tokio::task::spawn_blocking(work)).await.unwrap()
}

/// Dials a service, and gives both ends as sockets.
async fn sockets(from: &Node, to: &Node) -> (UnixStream, UnixStream) {
    let mut service = to.serve("socket", ServeOptions::default()).await.unwrap();
    let dialled = soon(from.dial(at(to.name().as_str()), "socket")).await.unwrap();
    let accepted = soon(service.accept()).await.unwrap().stream;
    (dialled.into_socket().unwrap(), accepted.into_socket().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_socket_carries_much_both_ways_and_each_direction_ends_by_itself() {
    const LENGTH: usize = 16 * 1024 * 1024;
    let nodes = cluster(2).await;
    for dialler in &nodes {
        let (dialled, accepted) = sockets(dialler, &nodes[0]).await;
        let exchange = |socket: UnixStream, out: Vec<u8>| {
            off(move || {
                let mut reader = socket.try_clone().unwrap();
                let writing = thread::spawn(move || {
                    (&socket).write_all(&out).unwrap();
                    socket.shutdown(Shutdown::Write).unwrap();
                    (socket, out)
                });
                let mut heard = Vec::new();
                reader.read_to_end(&mut heard).unwrap();
                (writing.join().unwrap().1, heard)
            })
        };
        let there = tokio::spawn(exchange(accepted, noise(2, LENGTH)));
        let (sent_here, heard_here) = exchange(dialled, noise(1, LENGTH)).await;
        let (sent_there, heard_there) = there.await.unwrap();
        assert!(sent_here == heard_there && sent_there == heard_here);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_socket_that_is_closed_after_all_was_read_ends_its_direction() {
    let nodes = cluster(2).await;
    let (mut dialled, mut accepted) = sockets(&nodes[1], &nodes[0]).await;
    let heard = off(move || {
        dialled.write_all(b"that was all").unwrap();
        drop(dialled);
        let mut heard = Vec::new();
        accepted.read_to_end(&mut heard).unwrap();
        heard
    });
    assert_eq!(heard.await, b"that was all");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_stream_is_an_error_of_its_socket_after_what_had_come() {
    let nodes = cluster(2).await;
    for (round, written) in [&b""[..], b"half of it"].into_iter().enumerate() {
        let mut service = nodes[0].serve("half", ServeOptions::default()).await.unwrap();
        let dialled = soon(nodes[1].dial(at("n1"), "half")).await.unwrap();
        let mut accepted = soon(service.accept()).await.unwrap().stream;
        accepted.write_all(b"half of it").await.unwrap();
        let mut dialled = dialled.into_socket().unwrap();
        // Whether the user itself had written something makes no difference.
        dialled.write_all(written).unwrap();
        soon(accepted.read_exact(&mut vec![0; written.len()])).await.unwrap();
        if round == 0 {
            drop(accepted)
        } else {
            nodes[0].stop().await
        }
        let (heard, error, again) = off(move || {
            let mut heard = Vec::new();
            let error = dialled.read_to_end(&mut heard).unwrap_err();
            (heard, error, dialled.write_all(b"more").unwrap_err())
        })
        .await;
        assert_eq!(heard, b"half of it");
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
        assert_eq!(again.kind(), io::ErrorKind::BrokenPipe);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_stream_is_an_error_to_who_reads_while_another_thread_waits_in_a_write() {
    let nodes = cluster(2).await;
    for _ in 0..3 {
        let mut service = nodes[0].serve("cut", ServeOptions::default()).await.unwrap();
        let dialled = soon(nodes[1].dial(at("n1"), "cut")).await.unwrap().into_socket().unwrap();
        let accepted = soon(service.accept()).await.unwrap().stream;
        // Nobody reads: the write waits, at the latest once all buffers are full.
        let writer = dialled.try_clone().unwrap();
        let (started, full) = std::sync::mpsc::channel();
        let writing = thread::spawn(move || {
            writer.set_write_timeout(Some(Duration::from_millis(300))).unwrap();
            while (&writer).write(&[7; 64 * 1024]).is_ok() {}
            writer.set_write_timeout(None).unwrap();
            started.send(()).unwrap();
            loop {
                if let Err(error) = (&writer).write_all(&[7; 64 * 1024]) {
                    return error;
                }
            }
        });
        off(move || full.recv().unwrap()).await;
        drop(accepted);
        let error = off(move || (&dialled).read(&mut [0; 1]).unwrap_err());
        assert_eq!(error.await.kind(), io::ErrorKind::ConnectionReset);
        let written = off(move || writing.join().unwrap()).await;
        assert_eq!(written.kind(), io::ErrorKind::BrokenPipe);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_socket_that_is_closed_with_bytes_unread_is_an_error_to_the_peer() {
    let nodes = cluster(2).await;
    let mut service = nodes[0].serve("unread", ServeOptions::default()).await.unwrap();
    let mut dialled = soon(nodes[1].dial(at("n1"), "unread")).await.unwrap();
    let accepted = soon(service.accept()).await.unwrap().stream.into_socket().unwrap();
    dialled.write_all(b"nobody reads this").await.unwrap();
    off(move || {
        accepted.set_read_timeout(Some(LONG)).unwrap();
        // It has come, and waits.
        rustix::net::recv(&accepted, &mut [0; 1], rustix::net::RecvFlags::PEEK).unwrap();
    })
    .await;
    let error = soon(dialled.read_u8()).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::ConnectionReset, "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_written_to_a_socket_before_it_is_closed_arrives_whatever_the_peer_says() {
    const LENGTH: usize = 1024 * 1024;
    let nodes = cluster(2).await;
    let mut service = nodes[0].serve("talk", ServeOptions::default()).await.unwrap();
    let dialled = soon(nodes[1].dial(at("n1"), "talk")).await.unwrap().into_socket().unwrap();
    let mut accepted = soon(service.accept()).await.unwrap().stream;
    let out = noise(1, LENGTH);
    let sent = out.clone();
    off(move || {
        (&dialled).write_all(&sent[..LENGTH / 2]).unwrap();
        thread::spawn(move || (&dialled).write_all(&sent[LENGTH / 2..]).unwrap());
    })
    .await;
    // It talks to one who is gone before it listens.
    accepted.write_all(&noise(2, LENGTH / 16)).await.unwrap();
    let mut heard = vec![0; LENGTH];
    soon(accepted.read_exact(&mut heard)).await.unwrap();
    assert!(heard == out);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_does_not_read_a_socket_stops_who_writes() {
    let nodes = cluster(2).await;
    let (dialled, mut accepted) = sockets(&nodes[1], &nodes[0]).await;
    let written = off(move || {
        dialled.set_write_timeout(Some(Duration::from_secs(2))).unwrap();
        let mut written = 0;
        let block = [7; 64 * 1024];
        loop {
            match (&dialled).write(&block) {
                Ok(more) => written += more,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    return (dialled, written);
                }
                Err(error) => panic!("{error}"),
            }
        }
    });
    let (dialled, written) = written.await;
    // Buffers of sockets and pipes, no more.
    assert!(written < 32 * 1024 * 1024, "{written}");
    drop(dialled);
    let heard = off(move || {
        let mut heard = Vec::new();
        accepted.read_to_end(&mut heard).unwrap();
        heard.len()
    });
    assert_eq!(heard.await, written);
}

#[tokio::test]
async fn who_offers_what_is_found_by_tribe_node_service_and_plugin() {
    let nodes = cluster(2).await;
    let mut written = nodes[0].create_tribe("sink", "").await.unwrap();
    written = nodes[0].join_tribe("sink", None).await.unwrap_or(written);
    assert!(nodes[0].wait(&written, LONG).await.unwrap().is_empty());
    let mut services = Vec::new();
    for (node, name) in [
        (0, "publisher/influxdb/25"),
        (0, "echo"),
        (1, "publisher/influxdb/19"),
        (1, "processor/tag/3"),
    ] {
        services.push(nodes[node].serve(name, ServeOptions::default()).await.unwrap());
    }
    until(LONG, &nodes[0], "offered", |view| offers(view, "n2", "processor/tag/3")).await;
    let view = nodes[0].view();
    let find = |query: OfferQuery| {
        let offers = view.offers(&query).unwrap();
        offers.iter().map(|offer| format!("{} {}", offer.node, offer.service)).collect::<Vec<_>>()
    };
    let all =
        ["n1 echo", "n2 processor/tag/3", "n2 publisher/influxdb/19", "n1 publisher/influxdb/25"];
    assert_eq!(find(OfferQuery::default()), all);
    let tribe = OfferQuery { tribe: Some("sink".to_owned()), ..OfferQuery::default() };
    assert_eq!(find(tribe), ["n1 echo", "n1 publisher/influxdb/25"]);
    let node = OfferQuery { node: Some("n2".to_owned()), ..OfferQuery::default() };
    assert_eq!(find(node).len(), 2);
    let service = Some(ServicePattern::parse("publisher/*").unwrap());
    assert_eq!(find(OfferQuery { service, ..OfferQuery::default() }).len(), 2);
    let plugin = Some(PluginPattern::parse("publisher:influxdb:>=20").unwrap());
    assert_eq!(find(OfferQuery { plugin, ..OfferQuery::default() }), ["n1 publisher/influxdb/25"]);
    let unknown = OfferQuery { tribe: Some("sinc".to_owned()), ..OfferQuery::default() };
    let error = view.offers(&unknown).unwrap_err();
    assert_eq!(error.to_string(), "there is no tribe `sinc`, did you mean `sink`?");
}
