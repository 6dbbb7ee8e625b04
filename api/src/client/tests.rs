//! The client against a socket that says what the test says.

use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::UnixListener,
    task::JoinHandle,
};

use std::path::Path;

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
        async |snapd| snapd.delete_tribe("a/b", true, None).await.unwrap(),
        "DELETE /v3/tribes/a%2Fb?force=true",
        "",
    )
    .await;
    check(
        async |snapd| snapd.place("core", "i1", Placement::Automatic, None).await.unwrap(),
        "PUT /v3/tribes/core/placements/i1",
        r#"{"placement":"automatic"}"#,
    )
    .await;
    let off = PolicyChange { enabled: false, force: false };
    check(
        async |snapd| snapd.enable_policy("p", off, wait).await.unwrap(),
        "PATCH /v3/policies/p?wait=2.5",
        r#"{"enabled":false}"#,
    )
    .await;
    check(
        async |snapd| snapd.delete_policy("p", false, None).await.unwrap(),
        "DELETE /v3/policies/p",
        "",
    )
    .await;
    check(
        async |snapd| snapd.delete_policy("p", true, wait).await.unwrap(),
        "DELETE /v3/policies/p?force=true&wait=2.5",
        "",
    )
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

/// A file of so many bytes, which stays while the directory does.
fn file(bytes: usize) -> (TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("psutil");
    std::fs::write(&path, vec![b'x'; bytes]).unwrap();
    (directory, path)
}

#[tokio::test]
async fn the_file_of_a_plugin_is_sent_with_its_signature() {
    let (_directory, path) = file(200_000);
    let body = r#"{"name":"psutil","tribe":"core","holders":["i1","i2"]}"#;
    let snapd = Snapd::with("200 OK", body);
    let load = LoadQuery { file: "snap plugin".into(), tribe: Some("core".into()) };
    let upload = Upload::open(&path).await.unwrap();
    let wait = Some(Duration::from_secs(5));
    let loaded = snapd.client.load_plugin(&load, upload, Some(b"-----BEGIN"), wait).await.unwrap();
    assert_eq!((loaded.name.as_str(), loaded.holders.len()), ("psutil", 2));
    let asked = snapd.asked.await.unwrap();
    let head = "POST /v3/plugins?file=snap%20plugin&tribe=core&wait=5 HTTP/1.1\r\n";
    assert!(asked.starts_with(head), "{asked:.200}");
    assert!(asked.contains("\r\ncontent-type: application/octet-stream\r\n"), "{asked:.400}");
    assert!(asked.contains("\r\nx-plugin-signature: LS0tLS1CRUdJTg==\r\n"), "{asked:.400}");
    assert!(asked.contains("\r\ncontent-length: 200000\r\n"), "{asked:.400}");
    assert_eq!(asked.split_once("\r\n\r\n").unwrap().1, "x".repeat(200_000));
}

#[tokio::test]
async fn a_refusal_in_the_middle_of_a_file_is_heard() {
    let (directory, path) = file(20_000_000);
    let socket = directory.path().join("snapd.sock");
    let listener = UnixListener::bind(&socket).unwrap();
    let refusing = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut begin = [0; 4096];
        assert_ne!(stream.read(&mut begin).await.unwrap(), 0);
        let reply = r#"{"error":{"code":"unknown-tribe","message":"there is no tribe `cor`"}}"#;
        let head = format!("HTTP/1.1 404 X\r\ncontent-length: {}\r\n\r\n", reply.len());
        stream.write_all((head + reply).as_bytes()).await.unwrap();
        // The client hangs up once it has heard: until then it writes to someone.
        while stream.read(&mut begin).await.is_ok_and(|count| count > 0) {}
    });
    let upload = Upload::open(&path).await.unwrap();
    let load = LoadQuery { file: "psutil".into(), tribe: None };
    let error = Client::new(&socket).load_plugin(&load, upload, None, None).await.unwrap_err();
    assert!(matches!(error, ClientError::Refused { status: 404, .. }), "{error:?}");
    refusing.await.unwrap();
}

#[tokio::test]
async fn what_is_no_file_cannot_be_sent() {
    let directory = tempfile::tempdir().unwrap();
    let kind = async |path: &Path| Upload::open(path).await.unwrap_err().kind();
    assert_eq!(kind(directory.path()).await, std::io::ErrorKind::IsADirectory);
    assert_eq!(kind(&directory.path().join("none")).await, std::io::ErrorKind::NotFound);
}

#[tokio::test]
async fn a_task_is_a_manifest_with_a_query() {
    let snapd = Snapd::with("200 OK", r#"{"id":"core/t","name":"t","tribe":"core","later":1}"#);
    let create = CreateTaskQuery {
        tribe: Some("core".into()),
        name: Some("disk".into()),
        stem: Some("disk io".into()),
        no_start: true,
        ..CreateTaskQuery::default()
    };
    let manifest = b"{\"version\": 1}".to_vec();
    let format = ManifestFormat::Json;
    let changed = snapd.client.create_task(&create, manifest, format, None).await.unwrap();
    assert_eq!((changed.id.as_str(), changed.state), ("core/t", None));
    assert_eq!(
        snapd.asked().await,
        (
            "POST /v3/tasks?tribe=core&name=disk&stem=disk%20io&no_start=true".into(),
            "{\"version\": 1}".into()
        ),
    );
}

#[tokio::test]
async fn what_is_done_to_a_task_is_one_request() {
    async fn check(
        call: impl AsyncFnOnce(&Client) -> Result<TaskChanged, ClientError>,
        request: &str,
    ) {
        let snapd = Snapd::with("200 OK", r#"{"id":"t","name":"t","missing":["i3"]}"#);
        assert_eq!(call(&snapd.client).await.unwrap().missing, ["i3"]);
        assert_eq!(snapd.asked().await, (request.into(), String::new()));
    }
    let (start, stop, enable) = (TaskVerb::Start, TaskVerb::Stop, TaskVerb::Enable);
    let wait = Some(Duration::from_secs(1));
    check(async |snapd| snapd.direct_task("t", start, None, None).await, "POST /v3/tasks/t/start")
        .await;
    check(
        async |snapd| snapd.direct_task("a/b", stop, Some("core"), wait).await,
        "POST /v3/tasks/a%2Fb/stop?tribe=core&wait=1",
    )
    .await;
    check(
        async |snapd| snapd.direct_task("t", enable, Some("core"), None).await,
        "POST /v3/tasks/t/enable?tribe=core",
    )
    .await;
    check(async |snapd| snapd.remove_task("t", None, wait).await, "DELETE /v3/tasks/t?wait=1")
        .await;
}

#[tokio::test]
async fn what_flows_through_a_task_comes_one_by_one() {
    let snapd = Snapd::answering(
        "HTTP/1.1 200 OK\r\n\r\n: ready\n\n\
         event: flow\ndata: {\"step\":\"process[0]\",\"time_ms\":7,\"metrics\":\
         [{\"namespace\":\"/a\",\"version\":1,\"data\":7}]}\n\n\
         event: flow\ndata: {\"step\":\"\",\"time_ms\":0,\"missed\":3}\n\n",
    );
    let watch = WatchQuery { step: Some("process[0]".into()), ..WatchQuery::default() };
    let mut flows = snapd.client.watch_task("t", &watch).await.unwrap();
    let first = flows.next().await.unwrap().unwrap();
    assert_eq!((first.step.as_str(), first.metrics.len()), ("process[0]", 1));
    assert_eq!(flows.next().await.unwrap().unwrap().missed, Some(3));
    assert_eq!(flows.next().await.unwrap(), None);
    assert_eq!(snapd.asked().await.0, "GET /v3/tasks/t/watch?step=process%5B0%5D");
}

#[tokio::test]
async fn one_metric_is_asked_for_by_namespace_and_version() {
    let body = r#"{"metric":{"namespace":"/a/*","version":2,"plugin":"collector:a:1"}}"#;
    let snapd = Snapd::with("200 OK", body);
    let show = MetricShowQuery { namespace: "/a/*".into(), version: Some(2) };
    let metric = snapd.client.metric(&show).await.unwrap();
    assert_eq!((metric.metric.plugin.as_str(), metric.config.len()), ("collector:a:1", 0));
    assert_eq!(snapd.asked().await.0, "GET /v3/metrics/show?namespace=%2Fa%2F%2A&version=2");
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
