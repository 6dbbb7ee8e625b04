//! Starting a node: everything that can go wrong goes wrong here.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex, PoisonError, atomic::AtomicU64},
};

use arc_swap::ArcSwap;
use socket2::SockRef;
use tokio::{
    net::{TcpListener, UdpSocket},
    sync::{Semaphore, broadcast, mpsc, watch},
    task::spawn_blocking,
};

use super::{
    Config, StartError, blob,
    clock::Clock,
    driver::{Board, Desk, Driver, Request},
    facts::external::External,
    node::Shared,
    store::{self, Store},
    streams::{self, Session},
};
use crate::{
    Facts, NodeId, Value,
    engine::{Engine, EngineConfig, MEMBERS_KEY, Saved, check_facts},
    limits,
};

/// Requests, and stream news, that may wait for the loop.
const QUEUE: usize = 256;
/// Ports tried before giving up on one that is free for UDP and TCP alike.
const PORT_TRIES: usize = 32;
/// A burst of datagrams waits here while the loop is busy, in bytes.
const SOCKET_BYTES: usize = 4 * 1024 * 1024;

/// Starts a node and its loop, and opens its blobs.
pub(super) async fn start(config: Config) -> Result<(Shared, Option<blob::Opened>), StartError> {
    let clock = Clock::start();
    let collector = Arc::new(Collector {
        host: config.collect_facts,
        external: config.facts_dir.clone().map(|directory| Mutex::new(External::new(directory))),
    });
    let host_facts = collector.collect().await;
    check_facts(&host_facts.covered_by(&config.facts))?;
    let (sockets, source, address) = if config.alone {
        (None, None, SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))
    } else {
        let (listener, udp) = bind(config.bind).await?;
        let bound = udp.local_addr().map_err(|error| bind_error(config.bind, &error))?;
        let mut source = Some(bound).filter(|bound| !bound.ip().is_unspecified());
        if let Some(source) = &mut source {
            source.set_port(0);
        }
        (Some((listener, udp)), source, advertised(&config, bound, &host_facts)?)
    };
    let (stored_sender, stored) = mpsc::unbounded_channel();
    let mut opened = open_store(&config, clock, stored_sender).await?;
    let blobs = open_blobs(&config, clock).await?;
    if config.alone {
        opened.saved.entries.retain(|(_, key, _)| key != MEMBERS_KEY);
    }
    let seeds = if config.alone { Vec::new() } else { config.seeds.clone() };
    let mut seed = [0; 32];
    getrandom::fill(&mut seed).map_err(|error| StartError::Randomness(error.to_string()))?;
    let engine_config = EngineConfig {
        id: opened.id,
        name: config.name.clone(),
        cluster: config.cluster.clone(),
        address,
        version: config.version.clone(),
        keyring: config.keyring.clone(),
        epoch: opened.epoch,
        has_seeds: seeds.iter().any(|seed| *seed != address.to_string()),
        host_facts,
        start_facts: config.facts.clone(),
        hold_down: config.hold_down,
        tombstone_age: limits::TOMBSTONE_AGE,
        broadcasts: true,
    };
    let now = clock.now();
    let engine = Engine::new(engine_config, seed, opened.saved, now);
    let board = Arc::new(Board {
        view: ArcSwap::from_pointee(engine.view(now)),
        metrics: ArcSwap::default(),
        missed: AtomicU64::new(0),
    });
    let (news_sender, news) = mpsc::channel(QUEUE);
    let (requests, inbox) = mpsc::channel(QUEUE);
    let (events, _) = broadcast::channel(limits::EVENTS);
    let (stopped_sender, stopped) = watch::channel(false);
    let (keyring_sender, keyring) = watch::channel(engine.keyring().clone());
    let session = Session {
        keyring,
        cluster: config.cluster.clone(),
        news: news_sender,
        stopped: stopped.clone(),
        dials: Arc::new(Semaphore::new(limits::HANDSHAKES_DIALLED)),
        source,
    };
    let (listener, udp) = sockets.unzip();
    let listening =
        listener.map(|listener| tokio::spawn(streams::listen(listener, session.clone())));
    let driver = Driver {
        engine,
        clock,
        udp,
        session,
        keyring: keyring_sender,
        news,
        requests: inbox,
        seeds,
        store: opened.store,
        stored,
        board: Arc::clone(&board),
        events: events.clone(),
        stopped: stopped_sender,
        desk: Desk::default(),
    };
    tokio::spawn(async move {
        driver.run().await;
        if let Some(listening) = listening {
            listening.abort();
        }
    });
    if collector.collects() {
        tokio::spawn(refresh_for_ever(collector.clone(), requests.downgrade()));
    }
    tracing::info!(node = %config.name, id = %opened.id, %address, "node started");
    let shared = Shared {
        name: config.name,
        id: opened.id,
        address,
        process: std::process::id(),
        collector,
        requests,
        board,
        events: events.downgrade(),
        stopped,
    };
    Ok((shared, blobs))
}

/// Facts of the host are collected this often while the node runs.
const REFRESH_PERIOD: std::time::Duration = std::time::Duration::from_secs(60);

async fn refresh_for_ever(collector: Arc<Collector>, requests: mpsc::WeakSender<Request>) {
    loop {
        tokio::time::sleep(REFRESH_PERIOD).await;
        let facts = collector.collect().await;
        let Some(requests) = requests.upgrade() else { return };
        let (reply, done) = tokio::sync::oneshot::channel();
        let command = crate::engine::Command::ObserveFacts(facts);
        if requests.send(Request::Command(command, reply)).await.is_err() {
            return;
        }
        drop(requests);
        if let Ok(Err(error)) = done.await {
            tracing::warn!("the facts of this host are not published: {error}");
        }
    }
}

/// Collects what is true of this host, as often as asked.
#[derive(Debug)]
pub(super) struct Collector {
    /// The built-in facts too?
    host: bool,
    external: Option<Mutex<External>>,
}

impl Collector {
    pub(super) fn collects(&self) -> bool {
        self.host || self.external.is_some()
    }

    /// The facts of the host and of its files, collected off the loop.
    pub(super) async fn collect(self: &Arc<Self>) -> Facts {
        let collector = self.clone();
        spawn_blocking(move || collector.collect_now()).await.unwrap_or_default()
    }

    fn collect_now(&self) -> Facts {
        let files = self
            .external
            .as_ref()
            .map(|external| external.lock().unwrap_or_else(PoisonError::into_inner).read());
        let host = if self.host { Facts::of_host() } else { Facts::new() };
        files.unwrap_or_default().covered_by(&host)
    }
}

fn bind_error(address: SocketAddr, error: &std::io::Error) -> StartError {
    StartError::Bind { address, reason: error.to_string() }
}

/// Binds UDP and TCP to one port; port 0 finds one that is free for both.
async fn bind(address: SocketAddr) -> Result<(TcpListener, UdpSocket), StartError> {
    let mut tries = if address.port() == 0 { PORT_TRIES } else { 1 };
    loop {
        tries -= 1;
        match bind_once(address).await {
            Ok(bound) => return Ok(bound),
            Err(error) if tries == 0 => return Err(bind_error(address, &error)),
            Err(_) => {}
        }
    }
}

async fn bind_once(address: SocketAddr) -> std::io::Result<(TcpListener, UdpSocket)> {
    let listener = TcpListener::bind(address).await?;
    let udp = UdpSocket::bind(listener.local_addr()?).await?;
    // As large as the system allows: a burst must not be lost while the loop is busy.
    if let Err(error) = SockRef::from(&udp).set_recv_buffer_size(SOCKET_BYTES) {
        tracing::debug!(%error, "the socket keeps its receive buffer");
    }
    Ok((listener, udp))
}

/// Where others reach this node.
fn advertised(config: &Config, bound: SocketAddr, facts: &Facts) -> Result<SocketAddr, StartError> {
    if let Some(advertise) = config.advertise {
        let port = if advertise.port() == 0 { bound.port() } else { advertise.port() };
        return Ok(SocketAddr::new(advertise.ip(), port));
    }
    if !bound.ip().is_unspecified() {
        return Ok(bound);
    }
    let default_route = |name: &str| match &facts.get(name)?.value {
        Value::Map(map) => match map.get("address")? {
            Value::Ip(address) => Some(*address),
            _ => None,
        },
        _ => None,
    };
    let own: Option<IpAddr> = default_route("default_ipv4")
        .or_else(|| default_route("default_ipv6").filter(|_| bound.is_ipv6()))
        .or_else(first_address);
    let own = own.ok_or(StartError::Advertise)?;
    Ok(SocketAddr::new(own, bound.port()))
}

fn first_address() -> Option<IpAddr> {
    let interfaces = if_addrs::get_if_addrs().ok()?;
    interfaces.iter().map(if_addrs::Interface::ip).find(|ip| !ip.is_loopback() && ip.is_ipv4())
}

struct Opened {
    id: NodeId,
    epoch: u64,
    saved: Saved,
    store: Option<Store>,
}

async fn open_store(
    config: &Config,
    clock: Clock,
    stored: mpsc::UnboundedSender<store::Stored>,
) -> Result<Opened, StartError> {
    let random = getrandom::u64().map_err(|error| StartError::Randomness(error.to_string()))?;
    let wall_ms = clock.now().wall_ms;
    let Some(path) = config.data_dir.clone() else {
        return Ok(Opened {
            id: NodeId(random),
            epoch: wall_ms,
            saved: Saved::default(),
            store: None,
        });
    };
    let opening = path.clone();
    let opened = spawn_blocking(move || store::open(&opening, random, wall_ms, stored)).await;
    let opened =
        opened.map_err(|error| StartError::DataDir { path, reason: error.to_string() })??;
    Ok(Opened {
        id: opened.id,
        epoch: opened.epoch,
        saved: opened.saved,
        store: Some(opened.store),
    })
}

async fn open_blobs(config: &Config, clock: Clock) -> Result<Option<blob::Opened>, StartError> {
    let Some(path) = config.data_dir.clone() else { return Ok(None) };
    let (quota, opening) = (config.blob_quota, path.clone());
    let opened = spawn_blocking(move || blob::BlobStore::open(&opening, quota, clock)).await;
    let opened = opened.map_err(std::io::Error::other).and_then(|opened| opened);
    let (store, found) =
        opened.map_err(|error| StartError::DataDir { path, reason: error.to_string() })?;
    Ok(Some(blob::Opened { store, found, clock, alone: config.alone }))
}
