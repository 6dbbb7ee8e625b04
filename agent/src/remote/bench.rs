//! What it costs to publish on another node: the same batches to the same plugin, through a local session
//! and through a dialled stream, in turns.
//!
//! ```text
//! tests/plugins/build
//! TRIBE_BENCH_PUBLISHER=$PWD/target/plugins/null \
//!     cargo test --release -p snapd --bin snapd -- remote::bench --nocapture
//! ```
//!
//! Without the variable a few batches go to a publisher in Python, to see that they arrive.

use std::{
    path::PathBuf,
    sync::{Arc, mpsc},
    time::{Duration, Instant},
};

use futures_util::future::join_all;
use tribe::{Facts, Keyring, MemberState, Node, generate_key};

use super::{Remote, Step, find::find, serve};
use crate::{
    capability::{Capabilities, Patterns},
    plugin::{
        Config, Data, Host, Metric, Session, Wanted, batch, test_metric,
        tests::{Place as HostPlace, script, until},
    },
    task::Place,
    values::Values,
};

/// Names the publisher of a real measurement.
const PUBLISHER: &str = "TRIBE_BENCH_PUBLISHER";
/// A publisher that takes everything.
const PYTHON: &str = "
class Publisher(snap.Publisher):
    def publish(self, metrics, config):
        pass

    def get_config_policy(self):
        return snap.ConfigPolicy()

Publisher('null', 1).start_plugin()
";
/// Tasks that publish at the same time.
const TASKS: usize = 8;
const MIB: usize = 1024 * 1024;

/// How much is measured.
struct Effort {
    /// Batches, one after the other.
    rounds: usize,
    /// How long all tasks publish, and how often that is done.
    span: Duration,
    spans: usize,
}

/// The two ways.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Local,
    Remote,
}

/// A node with the publisher, and what it takes to use that of another.
struct Bench {
    session: Session,
    sessions: Vec<Session>,
    remote: Remote,
    place: Place,
    plugin: Wanted,
    config: Config,
}

fn metric(number: usize) -> Metric {
    let namespace = format!("/intel/psutil/net/interface{number}/bytes_sent");
    let tags = [("plugin_running_on", "collector-17"), ("rack", "r7"), ("datacenter", "fra1")];
    let tags = tags.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
    Metric { tags, data: Some(Data::Float64(0.25)), ..test_metric(&namespace) }
}

fn size(metrics: &[Metric]) -> usize {
    let mut bytes = Vec::new();
    batch::encode(metrics, &mut bytes);
    bytes.len()
}

/// Metrics of so many bytes.
fn metrics_of(bytes: usize) -> Vec<Metric> {
    let one = size(&[metric(10_000)]);
    (0..bytes.div_ceil(one)).map(metric).collect()
}

async fn load(host: &Host) {
    match std::env::var_os(PUBLISHER) {
        Some(path) => host.load_file(&PathBuf::from(path), "null", None).await.unwrap(),
        None => {
            let mut upload = host.upload("null").unwrap();
            upload.write(script(PYTHON).as_bytes()).await.unwrap();
            host.load(upload, None).await.unwrap()
        }
    };
}

async fn node(name: &str, keyring: Keyring, seeds: Vec<String>) -> Node {
    let mut config = tribe::Config::new(name, keyring).unwrap();
    config.bind = ([127, 0, 0, 1], 0).into();
    config.collect_facts = false;
    config.seeds = seeds;
    Node::start(config).await.unwrap()
}

/// Serves the publisher in tribe `sink`, as a process of its own does: with a thread of its own.
fn serve_elsewhere(keyring: Keyring, seed: String) {
    let (ready, wait) = mpsc::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let place = HostPlace::new();
            load(&place.host).await;
            let node = node("callee", keyring, vec![seed]).await;
            until("the nodes meet", async || {
                let view = node.view();
                let alive = view.members.values().filter(|it| it.state == MemberState::Alive);
                view.synced && alive.count() == 2
            })
            .await;
            node.create_tribe("sink", "").await.unwrap();
            node.join_tribe("sink", None).await.unwrap();
            let capabilities =
                Capabilities { serve_to: Patterns::new(["*"]), ..Capabilities::default() };
            let values = Values::new(Arc::<Facts>::default, None, None);
            ready.send(()).unwrap();
            serve(node, place.host.clone(), values, Arc::new(capabilities)).await;
        });
    });
    wait.recv().unwrap();
}

impl Bench {
    async fn new(place: &HostPlace) -> Self {
        let keyring = Keyring::new(generate_key().unwrap());
        let node = node("caller", keyring.clone(), Vec::new()).await;
        let seed = node.address().to_string();
        let serving = tokio::task::spawn_blocking(move || serve_elsewhere(keyring, seed));
        load(&place.host).await;
        serving.await.unwrap();
        let sink = Place::Tribe(tribe::TribeName::parse("sink").unwrap());
        let plugin = Wanted::parse("publisher:null").unwrap();
        until("the publisher is offered", async || find(&node.view(), &sink, &plugin).is_ok())
            .await;
        let session = place.host.session("task");
        let sessions =
            (0..TASKS).map(|number| place.host.session(&format!("task{number}"))).collect();
        let (remote, config) = (Remote::new(node), Config::default());
        Self { session, sessions, remote, place: sink, plugin, config }
    }

    async fn publish(&self, way: Way, session: &Session, metrics: &[Metric]) {
        let Self { remote, place, plugin, config, .. } = self;
        match way {
            Way::Local => session.publish(plugin, metrics, config).await.unwrap(),
            Way::Remote => {
                let step = Step { session, path: "publish[0]", place, plugin, config };
                let done = remote.run(&step, metrics).await;
                assert_eq!(done.result.unwrap(), []);
                assert_eq!(done.node.unwrap().as_str(), "callee");
            }
        }
    }

    /// How long one batch takes: the median of each way.
    async fn latency(&self, metrics: &[Metric], rounds: usize) -> [Duration; 2] {
        let mut times = [Vec::new(), Vec::new()];
        for _ in 0..rounds {
            for (way, times) in [Way::Local, Way::Remote].into_iter().zip(&mut times) {
                let begun = Instant::now();
                self.publish(way, &self.session, metrics).await;
                times.push(begun.elapsed());
            }
        }
        times.map(|mut times| {
            times.sort();
            times[times.len() / 2]
        })
    }

    /// How many batches a second all tasks publish.
    async fn throughput(&self, metrics: &[Metric], effort: &Effort) -> [f64; 2] {
        let (mut batches, mut spent) = ([0; 2], [Duration::ZERO; 2]);
        for _ in 0..effort.spans {
            for (at, way) in [Way::Local, Way::Remote].into_iter().enumerate() {
                let begun = Instant::now();
                let works = self.sessions.iter().map(async |session| {
                    let mut count = 0;
                    while begun.elapsed() < effort.span {
                        self.publish(way, session, metrics).await;
                        count += 1;
                    }
                    count
                });
                batches[at] += join_all(works).await.into_iter().sum::<u32>();
                spent[at] += begun.elapsed();
            }
        }
        [0, 1].map(|at| f64::from(batches[at]) / spent[at].as_secs_f64())
    }

    async fn report(&self, what: &str, metrics: &[Metric], effort: &Effort) {
        // Streams are open and instances run before anything is measured.
        for way in [Way::Local, Way::Remote] {
            let works = self.sessions.iter().chain([&self.session]);
            join_all(works.map(|session| self.publish(way, session, metrics))).await;
        }
        let [local, remote] = self.latency(metrics, effort.rounds).await;
        let ratio = remote.as_secs_f64() / local.as_secs_f64();
        println!(
            "{what} ({} metrics, {} bytes), latency: local {local:.1?}, remote {remote:.1?}, ratio {ratio:.2}",
            metrics.len(),
            size(metrics),
        );
        let [local, remote] = self.throughput(metrics, effort).await;
        println!(
            "{what}, {TASKS} tasks: local {local:.0} batches/s, remote {remote:.0} batches/s, ratio {:.2}",
            remote / local,
        );
    }
}

#[tokio::test]
async fn batches_are_published_on_another_node_as_they_are_on_this_one() {
    let measured = std::env::var_os(PUBLISHER).is_some();
    let effort = match measured {
        true => Effort { rounds: 1000, span: Duration::from_secs(2), spans: 5 },
        false => Effort { rounds: 3, span: Duration::from_millis(10), spans: 1 },
    };
    let place = HostPlace::new();
    let bench = Bench::new(&place).await;
    let small: Vec<_> = (0..50).map(metric).collect();
    bench.report("50 metrics", &small, &effort).await;
    if measured {
        let effort = Effort { rounds: effort.rounds / 5, ..effort };
        bench.report("1 MiB", &metrics_of(MIB), &effort).await;
    }
}

#[tokio::test]
async fn a_metric_that_is_more_than_any_node_takes_is_told_with_its_size() {
    let place = HostPlace::new();
    let bench = Bench::new(&place).await;
    let data = Some(Data::Bytes(vec![7; 5_000_000]));
    let metrics = [Metric { data, ..test_metric("/a") }];
    let Bench { session, remote, place, plugin, config, .. } = &bench;
    let step = Step { session, path: "publish[0]", place, plugin, config };
    let error = remote.run(&step, &metrics).await.result.unwrap_err().to_string();
    assert_eq!(error, "node `callee`: a message of 5000047 bytes is too large, at most 4718592");
}
