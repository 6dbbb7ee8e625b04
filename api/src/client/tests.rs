//! The client against a socket that says what the test says.

use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::UnixListener,
    task::JoinHandle,
};

use super::*;
use crate::MemberState;

/// Something that answers one request with the given bytes and hangs up.
struct Snapd {
    client: Client,
    asked: JoinHandle<String>,
    _directory: TempDir,
}

impl Snapd {
    fn answering(reply: impl Into<String>) -> Self {
        let reply = reply.into();
        let directory = tempfile::tempdir().unwrap();
        let socket = directory.path().join("snapd.sock");
        let listener = UnixListener::bind(&socket).unwrap();
        let asked = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = Vec::new();
            while !is_whole(&request) {
                assert_ne!(stream.read_buf(&mut request).await.unwrap(), 0, "hung up");
            }
            stream.write_all(reply.as_bytes()).await.unwrap();
            String::from_utf8(request).unwrap()
        });
        Self { client: Client::new(socket), asked, _directory: directory }
    }

    fn with(status: &str, body: &str) -> Self {
        let length = body.len();
        Self::answering(format!(
            "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"
        ))
    }

    /// The first line of the request, and its body.
    async fn asked(self) -> (String, String) {
        let request = self.asked.await.unwrap();
        let (head, body) = request.split_once("\r\n\r\n").unwrap();
        assert!(head.to_lowercase().contains("\r\nhost: snapd\r\n"), "in {head}");
        let first = head.lines().next().unwrap();
        (first.strip_suffix(" HTTP/1.1").unwrap().into(), body.into())
    }
}

fn is_whole(request: &[u8]) -> bool {
    let request = String::from_utf8_lossy(request);
    let Some((head, body)) = request.split_once("\r\n\r\n") else { return false };
    let length = head
        .to_lowercase()
        .lines()
        .find_map(|line| {
            line.strip_prefix("content-length: ").map(|length| length.parse().unwrap())
        })
        .unwrap_or(0);
    body.len() >= length
}

/// Makes one call against a snapd that says `{"missing":["i3"]}` and compares what it was asked.
async fn check(call: impl AsyncFnOnce(&Client) -> Changed, request: &str, body: &str) {
    let snapd = Snapd::with("200 OK", r#"{"missing":["i3"]}"#);
    assert_eq!(call(&snapd.client).await.missing, ["i3"]);
    assert_eq!(snapd.asked().await, (request.into(), body.into()));
}

#[tokio::test]
async fn a_write_is_one_request() {
    let wait = Some(Duration::from_millis(2500));
    let core = CreateTribe { name: "core".into(), description: "all".into() };
    check(
        async |snapd| snapd.create_tribe(&core, wait).await.unwrap(),
        "POST /v3/tribes?wait=2.5",
        r#"{"name":"core","description":"all"}"#,
    )
    .await;
    check(
        async |snapd| snapd.delete_tribe("a/b", None).await.unwrap(),
        "DELETE /v3/tribes/a%2Fb",
        "",
    )
    .await;
    check(
        async |snapd| snapd.place("core", "i1", Placement::Automatic, None).await.unwrap(),
        "PUT /v3/tribes/core/placements/i1",
        r#"{"placement":"automatic"}"#,
    )
    .await;
    check(
        async |snapd| snapd.enable_policy("p", false, wait).await.unwrap(),
        "PATCH /v3/policies/p?wait=2.5",
        r#"{"enabled":false}"#,
    )
    .await;
    check(async |snapd| snapd.delete_policy("p", None).await.unwrap(), "DELETE /v3/policies/p", "")
        .await;
    let change =
        FactChange { set: [("tier".into(), "True".into())].into(), unset: vec!["rack".into()] };
    check(
        async |snapd| snapd.change_facts("i2", &change, None).await.unwrap(),
        "PATCH /v3/members/i2/facts",
        r#"{"set":{"tier":"True"},"unset":["rack"]}"#,
    )
    .await;
}

#[tokio::test]
async fn a_read_is_one_request() {
    let body = r#"[{"name":"i1","id":"7","address":"192.0.2.1:6000","state":"alive",
        "version":"snapd 0.1.0","policy_level":1,"tribes":["core"],"agrees":true,"later":1}]"#;
    let snapd = Snapd::with("200 OK", body);
    let members = snapd.client.members().await.unwrap();
    assert_eq!(members[0].state, MemberState::Alive);
    assert_eq!(snapd.asked().await.0, "GET /v3/members");

    let snapd = Snapd::with("200 OK", "[]");
    assert_eq!(snapd.client.policies(Some("a b")).await.unwrap(), []);
    assert_eq!(snapd.asked().await.0, "GET /v3/policies?tribe=a%20b");
}

#[tokio::test]
async fn the_file_of_a_plugin_is_sent_as_it_is() {
    let body = r#"{"name":"psutil","tribe":"core","holders":["i1"]}"#;
    let snapd = Snapd::with("200 OK", body);
    let load = LoadQuery { file: "snap plugin".into(), tribe: Some("core".into()) };
    let content = b"#!/bin/sh\n".into();
    let loaded = snapd.client.load_plugin(&load, content, Some(b"signed"), None).await.unwrap();
    assert_eq!((loaded.name.as_str(), loaded.holders), ("psutil", vec!["i1".to_owned()]));
    let asked = snapd.asked.await.unwrap();
    let first = "POST /v3/plugins?file=snap%20plugin&tribe=core HTTP/1.1\r\n";
    assert!(asked.starts_with(first), "{asked}");
    assert!(asked.contains("\r\nx-plugin-signature: c2lnbmVk\r\n"), "{asked}");
    assert!(asked.contains("\r\ncontent-type: application/octet-stream\r\n"), "{asked}");
    assert!(asked.ends_with("\r\n\r\n#!/bin/sh\n"), "{asked}");
}

#[tokio::test]
async fn a_refusal_comes_back_in_snapds_words() {
    let body = r#"{"error":{"code":"bad-policy","message":"expected a value","detail":"a ==\n    ^","help":"give one"}}"#;
    let snapd = Snapd::with("400 Bad Request", body);
    let error = snapd.client.tribe("core").await.unwrap_err();
    assert_eq!(error.to_string(), "expected a value");
    assert_eq!((error.detail(), error.help()), (Some("a ==\n    ^"), Some("give one")));
    assert!(
        matches!(error, ClientError::Refused { status: 400, code, .. } if code == "bad-policy")
    );
}

#[tokio::test]
async fn what_is_no_snapd_is_told_so() {
    let snapd = Snapd::with("404 Not Found", "<html>");
    assert_eq!(
        snapd.client.version().await.unwrap_err().to_string(),
        "the answer to `GET /v3/version` is not what this client understands: status 404 Not Found \
         without a reason",
    );
    let snapd = Snapd::with("200 OK", "[]");
    let error = snapd.client.version().await.unwrap_err();
    assert!(matches!(error, ClientError::BadReply { .. }), "{error:?}");
    let snapd = Snapd::answering("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n[");
    let error = snapd.client.members().await.unwrap_err();
    assert!(matches!(error, ClientError::Lost { .. }), "{error:?}");
    let snapd = Snapd::answering("");
    let error = snapd.client.members().await.unwrap_err();
    assert!(matches!(error, ClientError::Lost { .. }), "{error:?}");
}

#[tokio::test]
async fn a_missing_socket_is_told_with_its_path() {
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("none.sock");
    let error = Client::new(&socket).node().await.unwrap_err();
    let expected =
        format!("cannot connect to snapd at `{}`: there is no such socket", socket.display());
    assert_eq!(error.to_string(), expected);
    assert!(error.help().unwrap().contains("SNAP_SOCKET"));
}

#[tokio::test]
async fn events_come_one_by_one_until_the_end() {
    let event = |rev, kind| {
        format!(
            "event: {kind}\ndata: {{\"rev\":{rev},\"kind\":\"{kind}\",\"subject\":\"i1\",\"body\":{{}}}}\n\n"
        )
    };
    let snapd = Snapd::answering(format!(
        "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n: hello\n\n{}data: x\n\n{}",
        event(1, "member-joined"),
        event(2, "of-the-future"),
    ));
    let mut events = snapd.client.events().await.unwrap();
    assert_eq!(events.next().await.unwrap().unwrap().kind, "member-joined");
    assert!(matches!(events.next().await, Err(ClientError::BadReply { .. })));
    assert_eq!(events.next().await.unwrap().unwrap().kind, "of-the-future");
    assert_eq!(events.next().await.unwrap(), None);
    assert_eq!(snapd.asked().await.0, "GET /v3/events");
}
