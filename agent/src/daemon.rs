//! The life of the daemon: start in order, serve, leave in good order.
//!
//! The socket comes before the node, so that a second daemon stops before the cluster hears of it;
//! READY comes when both stand. At the end the node says good-bye while plugins end and requests in
//! flight are answered, all within [`LEAVE_TIME`]; a second signal ends it at once.

use std::{net::SocketAddr, time::Duration};

use anyhow::Context;
use sd_notify::NotifyState;
use tokio::{sync::watch, task::JoinHandle};
use tracing::{debug, info, warn};
use tribe::Node;

use crate::{
    api::{self, App},
    config::{Settings, TribeSettings},
    failure::{Exit, Failure},
    log,
    plugin::{Host, HostSettings, Tls, Trust},
    signals::{Signals, Wish},
    socket,
};

/// How long a good-bye may take.
const LEAVE_TIME: Duration = Duration::from_secs(5);
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

async fn serve(settings: Settings) -> Result<(), Failure> {
    let mut signals = Signals::listen().context("cannot listen to signals")?;
    let path = &settings.socket.value;
    let (listener, _file) = socket::bind(path).map_err(|error| {
        let help = error.help();
        Failure::from(anyhow::Error::from(error)).help(help)
    })?;
    let host_settings = host_settings(&settings)?;
    let node = match settings.tribe.enable.value {
        true => Some(start_node(&settings).await?),
        false => None,
    };
    let plugins = Host::new(host_settings);
    let (stop, stopped) = watch::channel(false);
    let app = app(&settings, node.clone(), plugins.clone(), stopped);
    let mut server = tokio::spawn(api::serve(listener, app));
    info!(socket = %path.display(), tribe = node.is_some(), "snapd is ready");
    notify(&[NotifyState::Ready]);
    until_stopped(&mut signals, node.as_ref(), &mut server).await?;
    notify(&[NotifyState::Stopping]);
    info!("leaving");
    // Nobody listens any more if the server is gone.
    let _ = stop.send(true);
    tokio::select! {
        () = leave(node.as_ref(), &plugins, server) => info!("stopped"),
        () = tokio::time::sleep(LEAVE_TIME) => warn!("stopped without a full good-bye: it took too long"),
        () = signals.stop() => warn!("stopped at once: told twice"),
    }
    Ok(())
}

async fn start_node(settings: &Settings) -> Result<Node, Failure> {
    let config = node_config(&settings.tribe, settings).context("cannot configure the node")?;
    let node = Node::start(config).await.map_err(|error| {
        Failure::from(anyhow::Error::from(error).context("cannot start the node"))
    })?;
    info!(name = %node.name(), id = %node.id(), address = %node.address(), "node is up");
    Ok(node)
}

fn node_config(tribe: &TribeSettings, settings: &Settings) -> anyhow::Result<tribe::Config> {
    let keys = tribe.keys.as_ref().context("there is no key")?;
    let mut config = tribe::Config::new(&tribe.name.value, keys.value.keyring())?;
    config.cluster = tribe.cluster.value.clone();
    config.bind = SocketAddr::new(tribe.bind_addr.value, tribe.bind_port.value);
    config.advertise = tribe.advertise.as_ref().map(|advertise| advertise.value);
    config.seeds = tribe.seeds.value.clone();
    config.facts = tribe.facts.clone();
    config.data_dir = Some(settings.data_dir.value.clone());
    config.hold_down = tribe.hold_down.value;
    config.version = concat!("snapd/", env!("CARGO_PKG_VERSION")).to_owned();
    Ok(config)
}

/// Reads keyrings and certificates: a node that cannot check what it is to check does not start.
fn host_settings(settings: &Settings) -> Result<HostSettings, Failure> {
    let plugins = &settings.plugins;
    let trust = Trust::read(plugins.trust.value, &plugins.keyrings)
        .map_err(|error| Failure::new(Exit::Config, error))?;
    let tls = plugins.tls.as_ref().map(|files| {
        let origin = &files.origin;
        Tls::read(&files.value)
            .map_err(|error| Failure::new(Exit::Config, format_args!("{origin}: {error}")))
    });
    Ok(HostSettings {
        node: settings.tribe.name.value.clone(),
        dir: settings.data_dir.value.join("plugins"),
        configs: plugins.configs.clone(),
        load_time: plugins.load_timeout.value,
        max_running: plugins.max_running.value,
        tags: plugins.tags.clone(),
        limits: plugins.limits,
        trust,
        tls: tls.transpose()?,
    })
}

fn app(
    settings: &Settings,
    node: Option<Node>,
    plugins: Host,
    stopped: watch::Receiver<bool>,
) -> App {
    let tribe = &settings.tribe;
    let fingerprint = tribe.keys.as_ref().and_then(|keys| keys.value.fingerprint());
    App::new(tribe.name.value.clone(), node, plugins, fingerprint, stopped)
}

async fn until_stopped(
    signals: &mut Signals,
    node: Option<&Node>,
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
fn refresh(node: Option<&Node>) {
    let Some(node) = node.cloned() else { return };
    tokio::spawn(async move {
        match node.refresh_facts().await {
            Ok(()) => info!("facts collected again"),
            Err(error) => warn!(%error, "cannot collect facts"),
        }
    });
}

async fn leave(node: Option<&Node>, plugins: &Host, server: JoinHandle<std::io::Result<()>>) {
    let good_bye = async {
        let Some(node) = node else { return };
        if let Err(error) = node.leave().await {
            warn!(%error, "cannot say good-bye");
        }
    };
    let ((), (), served) = tokio::join!(good_bye, plugins.close(), server);
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
