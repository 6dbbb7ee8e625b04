//! The life of the daemon: start in order, serve, leave in good order.
//!
//! The socket comes before the node, so that a second daemon stops before the cluster hears of it;
//! READY comes when both stand. At the end the node says good-bye while plugins end and requests in
//! flight are answered, all within [`LEAVE_TIME`]; a second signal ends it at once.

use std::{net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use anyhow::Context;
use sd_notify::NotifyState;
use tokio::{sync::watch, task::JoinHandle};
use tracing::{debug, info, warn};
use tribe::{Node, StartError};

use crate::{
    api::{self, App, Doors, ExposeError, Exposure, Parts},
    config::{Given, Settings, TribeSettings},
    discover,
    failure::{Exit, Failure},
    log,
    plugin::{Host, HostSettings, Tls, Trust},
    reconcile::{Keep, Reconciler},
    remote::{self, Remote},
    resident,
    signals::{Signals, Wish},
    socket,
    task::{Scheduler, Spool},
    values::Values,
};

/// How long a good-bye may take.
const LEAVE_TIME: Duration = Duration::from_secs(5);
/// How much of that is for tasks to deliver what they have collected.
const TASKS_TIME: Duration = Duration::from_secs(2);
/// The name of a node that is alone, if its host has none that does.
const ALONE: &str = "localhost";
/// After so long all that only the start needs has run.
const STARTED: Duration = Duration::from_secs(30);
/// How long threads that are busy on the disk may hold up the end after that.
const THREADS_TIME: Duration = Duration::from_secs(1);

/// Runs the daemon until it is told to stop.
pub(crate) fn run(settings: Settings, parent: Option<u32>) -> Result<(), Failure> {
    if let Some(parent) = parent {
        die_with(parent)?;
    }
    log::start(&settings.log_level.value, settings.log_format.value)
        .context("cannot start logging")?;
    // One thread carries everything: a daemon on every host is to be small.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    let result = runtime.block_on(serve(settings));
    runtime.shutdown_timeout(THREADS_TIME);
    result
}

/// Asks to be terminated when the process that started this one is gone.
fn die_with(parent: u32) -> Result<(), Failure> {
    use rustix::process::{Signal, getppid, set_parent_process_death_signal};
    set_parent_process_death_signal(Some(Signal::TERM)).context("cannot watch the parent")?;
    let still_there =
        getppid().is_some_and(|pid| u32::try_from(pid.as_raw_nonzero().get()) == Ok(parent));
    if still_there {
        Ok(())
    } else {
        Err(Failure::new(Exit::Failed, "the process that started this one is gone"))
    }
}

/// Says what would keep the daemon from starting, as far as that can be told without starting:
/// files that are not there, or open to others, and directories that cannot be.
pub(crate) fn check(settings: &Settings) -> Result<(), Failure> {
    let [password, certificate] =
        Exposure::check(&settings.api).map(|read| read.map_err(not_exposed));
    let (trust, tls) = (trust(settings).map(drop), plugin_tls(settings).map(drop));
    Failure::all([password, certificate, trust, tls, check_data_dir(settings)])
}

fn check_data_dir(settings: &Settings) -> Result<(), Failure> {
    let Given { value: dir, origin } = &settings.data_dir;
    let existing = dir.ancestors().find(|path| path.exists());
    match existing {
        Some(path) if !path.is_dir() => {
            let message = format!("{origin}: `{}` is not a directory", path.display());
            Err(Failure::new(Exit::Config, message))
        }
        _ => Ok(()),
    }
}

async fn serve(settings: Settings) -> Result<(), Failure> {
    let mut signals = Signals::listen().context("cannot listen to signals")?;
    let path = &settings.socket.value;
    let (socket, file) = socket::bind(path).map_err(|error| {
        let help = error.help();
        Failure::from(anyhow::Error::from(error)).help(help)
    })?;
    let exposure = expose(&settings).await?;
    let host_settings = host_settings(&settings)?;
    let node = start_node(&settings).await?;
    let in_tribes = settings.tribe.enable.value.then(|| node.clone());
    let plugins = Host::new(host_settings);
    let values = values(&settings, node.clone());
    let remote = Remote::new(node.clone());
    let calls = in_tribes.is_some().then(|| remote.clone());
    let tasks = scheduler(&settings, plugins.clone(), values.clone(), calls);
    let capabilities = Arc::new(settings.capabilities.capabilities());
    // A node with a data directory has blobs.
    let blobs = node.blobs().context("there is no place for files")?;
    let reconciler = Reconciler::start(Keep {
        node: node.clone(),
        blobs,
        host: plugins.clone(),
        scheduler: tasks.clone(),
        remote,
        capabilities: in_tribes.is_some().then(|| Arc::clone(&capabilities)),
    });
    if let Some(node) = in_tribes.clone() {
        tokio::spawn(remote::serve(node, plugins.clone(), values, capabilities));
    }
    let found = discover(&settings, plugins.clone(), tasks.clone());
    let (stop, stopped) = watch::channel(false);
    let app = App::new(Parts {
        name: settings.tribe.name.value.clone(),
        node: in_tribes.clone(),
        seeds: settings.tribe.seeds.value.clone(),
        plugins: plugins.clone(),
        plugin_dir: settings.plugin_dir.value.clone(),
        tasks: tasks.clone(),
        reconciler,
        stopped,
    });
    if let Some(address) = exposure.as_ref().and_then(|open| open.address().ok()) {
        info!(%address, "the control API is served over TCP too");
    }
    let doors = Doors { socket, group: file.group(), exposure };
    let mut server = tokio::spawn(api::serve(doors, app));
    info!(socket = %path.display(), tribe = in_tribes.is_some(), "snapd is ready");
    notify(&[NotifyState::Ready]);
    tokio::spawn(shrink());
    until_stopped(&mut signals, &node, &mut server).await?;
    notify(&[NotifyState::Stopping]);
    info!("leaving");
    found.abort();
    // Nobody listens any more if the server is gone.
    let _ = stop.send(true);
    tokio::select! {
        () = leave(&node, &plugins, &tasks, server) => info!("stopped"),
        () = tokio::time::sleep(LEAVE_TIME) => warn!("stopped without a full good-bye: it took too long"),
        () = signals.stop() => warn!("stopped at once: told twice"),
    }
    Ok(())
}

/// Gives back what only the start needed.
async fn shrink() {
    tokio::time::sleep(STARTED).await;
    if let Err(error) = resident::let_go_of_code() {
        debug!(%error, "the code that the start needed stays in memory");
    }
}

/// Opens the API to the network, if that is asked.
async fn expose(settings: &Settings) -> Result<Option<Exposure>, Failure> {
    Exposure::open(&settings.api).await.map_err(not_exposed)
}

fn not_exposed(error: ExposeError) -> Failure {
    match error {
        ExposeError::Bind { .. } => Failure::new(Exit::Failed, error)
            .help("stop who listens there, or choose another address with `--api-listen`"),
        error => Failure::new(Exit::Config, error),
    }
}

/// What differs from node to node in the configuration of tasks.
fn values(settings: &Settings, node: Node) -> Values {
    let facts = move || {
        let view = node.view();
        view.members.get(&node.id()).map(|member| Arc::clone(&member.facts)).unwrap_or_default()
    };
    let dir = settings.tasks.secrets_dir.value.clone();
    let credentials = std::env::var_os("CREDENTIALS_DIRECTORY").map(PathBuf::from);
    Values::new(facts, Some(dir), credentials)
}

/// The tasks of this node; none yet.
fn scheduler(
    settings: &Settings,
    plugins: Host,
    values: Values,
    remote: Option<Remote>,
) -> Scheduler {
    let spool = Spool::new(settings.tasks.spool_dir.value.clone(), settings.tasks.spool_size.value);
    let name = settings.tribe.name.value.clone();
    Scheduler::new(name, plugins, values, spool, remote)
}

/// Loads what the configuration says is to be found.
fn discover(settings: &Settings, plugins: Host, tasks: Scheduler) -> JoinHandle<()> {
    let dirs = settings.tasks.discover.clone().map(|dirs| dirs.value).unwrap_or_default();
    // On this thread, the one that plugins are bound to.
    tokio::spawn(async move { discover::run(&dirs, &plugins, &tasks).await })
}

async fn start_node(settings: &Settings) -> Result<Node, Failure> {
    let config = node_config(&settings.tribe, settings).context("cannot configure the node")?;
    let node = Node::start(config).await.map_err(|error| {
        let help = match error {
            StartError::Bind { .. } => Some(
                "is it an address of this host, and does no other snapd or agent listen there? \
                 choose another address or port with `--tribe-addr` and `--tribe-port`",
            ),
            StartError::DataDir { .. } => Some(
                "is it this user's, and does no other snapd run with it? \
                 choose another one with `--data-dir`",
            ),
            _ => None,
        };
        let failure = Failure::from(anyhow::Error::from(error).context("cannot start the node"));
        help.into_iter().fold(failure, Failure::help)
    })?;
    info!(name = %node.name(), id = %node.id(), address = %node.address(), "node is up");
    Ok(node)
}

fn node_config(tribe: &TribeSettings, settings: &Settings) -> anyhow::Result<tribe::Config> {
    let mut config = match &tribe.keys {
        Some(keys) => tribe::Config::new(&tribe.name.value, keys.value.keyring())?,
        // A node that is alone seals nothing; a hostname need not be the name of a node.
        None => {
            let keyring = tribe::Keyring::plaintext();
            let named = tribe::Config::new(&tribe.name.value, keyring.clone());
            let config = named.or_else(|_| tribe::Config::new(ALONE, keyring))?;
            tribe::Config { alone: true, ..config }
        }
    };
    config.cluster = tribe.cluster.value.clone();
    config.bind = SocketAddr::new(tribe.bind_addr.value, tribe.bind_port.value);
    config.advertise = tribe.advertise.as_ref().map(|advertise| advertise.value);
    config.seeds = tribe.seeds.value.clone();
    config.facts = tribe.facts.clone();
    config.data_dir = Some(settings.data_dir.value.clone());
    config.hold_down = tribe.hold_down.value;
    config.facts_dir = Some(tribe.facts_dir.value.clone());
    config.version = concat!("snapd/", env!("CARGO_PKG_VERSION")).to_owned();
    Ok(config)
}

/// Reads keyrings and certificates: a node that cannot check what it is to check does not start.
fn host_settings(settings: &Settings) -> Result<HostSettings, Failure> {
    let plugins = &settings.plugins;
    Ok(HostSettings {
        node: settings.tribe.name.value.clone(),
        dir: settings.data_dir.value.join("plugins"),
        configs: plugins.configs.clone(),
        load_time: plugins.load_timeout.value,
        max_running: plugins.max_running.value,
        tags: plugins.tags.clone(),
        limits: plugins.limits,
        trust: trust(settings)?,
        tls: plugin_tls(settings)?,
    })
}

fn trust(settings: &Settings) -> Result<Trust, Failure> {
    let plugins = &settings.plugins;
    Trust::read(plugins.trust.value, &plugins.keyrings)
        .map_err(|error| Failure::new(Exit::Config, error))
}

fn plugin_tls(settings: &Settings) -> Result<Option<Tls>, Failure> {
    let Some(Given { value, origin }) = &settings.plugins.tls else { return Ok(None) };
    Tls::read(value)
        .map(Some)
        .map_err(|error| Failure::new(Exit::Config, format_args!("{origin}: {error}")))
}

async fn until_stopped(
    signals: &mut Signals,
    node: &Node,
    server: &mut JoinHandle<std::io::Result<()>>,
) -> Result<(), Failure> {
    loop {
        tokio::select! {
            wish = signals.next() => match wish {
                Wish::Stop => return Ok(()),
                Wish::Refresh => refresh(node),
            },
            ended = &mut *server => {
                return Err(match ended {
                    Ok(Err(error)) => anyhow::Error::from(error).context("the control API failed"),
                    _ => anyhow::anyhow!("the control API ended by itself"),
                }
                .into());
            }
        }
    }
}

/// Collects the facts of the host again, beside everything else.
fn refresh(node: &Node) {
    let node = node.clone();
    tokio::spawn(async move {
        match node.refresh_facts().await {
            Ok(()) => info!("facts collected again"),
            Err(error) => warn!(%error, "cannot collect facts"),
        }
    });
}

async fn leave(
    node: &Node,
    plugins: &Host,
    tasks: &Scheduler,
    server: JoinHandle<std::io::Result<()>>,
) {
    let good_bye = async {
        if let Err(error) = node.leave().await {
            warn!(%error, "cannot say good-bye");
        }
    };
    let work = async {
        // What tasks have collected still needs the plugins. The rest waits on disk.
        if tokio::time::timeout(TASKS_TIME, tasks.close()).await.is_err() {
            debug!("tasks could not deliver everything");
        }
        plugins.close().await;
    };
    let ((), (), served) = tokio::join!(good_bye, work, server);
    if let Ok(Err(error)) = served {
        debug!(%error, "the control API ended badly");
    }
}

/// Tells the service manager, if there is one.
fn notify(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        debug!(%error, "cannot tell the service manager");
    }
}
