//! A loaded plugin: kept running until it is unloaded.
//!
//! One task a plugin pings it, which plugins need to stay alive, and watches its process. A plugin
//! that ends or falls silent is killed and started again, each time after a longer pause; after a
//! good while without trouble the pauses are short again.
//!
//! Invariant: the process is there exactly as long as its task.

use std::{
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime},
};

use tokio::{
    sync::{oneshot, watch},
    task::JoinHandle,
    time::{Instant, MissedTickBehavior, interval, sleep},
};
use tracing::{info, warn};

use super::{
    client::Client,
    config::{Config, ConfigPolicy, Configs},
    identity::Identity,
    metric::{Metric, Time},
    process::Process,
    start::{self, Started},
    store::StoredFile,
};

/// How often it is pinged: plugins in Go end after 9 seconds without.
const PING_PERIOD: Duration = Duration::from_secs(2);
/// How many pings in a row may fail.
const MISSED_PINGS: u32 = 3;
/// The pause before the first start after a crash; it doubles with each.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
/// The longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// A plugin that ran so long begins with the first pause again.
const HEALTHY_TIME: Duration = Duration::from_secs(60);

/// A plugin that was loaded.
#[derive(Debug)]
pub(crate) struct Plugin {
    pub(crate) identity: Identity,
    pub(crate) policy: ConfigPolicy,
    pub(crate) metrics: Vec<Metric>,
    /// What it is told unless a request says otherwise.
    pub(super) config: Config,
    pub(crate) file: StoredFile,
    pub(crate) loaded: SystemTime,
    health: watch::Receiver<Health>,
    /// Absent once it was stopped.
    life: Mutex<Option<Life>>,
}

/// The task of a plugin, which ends when the sender is dropped.
#[derive(Debug)]
struct Life {
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

/// How a plugin is.
#[derive(Debug, Clone)]
pub(crate) struct Health {
    /// Absent while it waits for its next start, and when it was stopped.
    pub(super) running: Option<Running>,
    /// How often it was started again.
    pub(crate) restarts: u64,
    /// Why it had to be started again the last time, or why that failed.
    pub(crate) failure: Option<String>,
}

/// A process that answers.
#[derive(Debug, Clone)]
pub(super) struct Running {
    pub(super) client: Client,
    pub(super) pid: i32,
    /// Since when; what it imports is older.
    pub(super) since: Time,
}

impl Health {
    /// The number of its process.
    pub(crate) fn pid(&self) -> Option<i32> {
        self.running.as_ref().map(|running| running.pid)
    }
}

impl Plugin {
    /// A plugin that was started from this file, kept running from now on.
    pub(super) fn keep(started: Started, file: StoredFile, keep: Keep) -> Self {
        let Started { process, client, identity, policy, metrics } = started;
        let running = Running { client, pid: process.pid(), since: Time::now() };
        let config = keep.configs.get(&identity.name).cloned().unwrap_or_default();
        let (sender, health) =
            watch::channel(Health { running: Some(running.clone()), restarts: 0, failure: None });
        let keeper = Keeper {
            program: file.path().to_owned(),
            identity: identity.clone(),
            keep,
            health: sender,
        };
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(keeper.run(process, running, stopped));
        let loaded = SystemTime::now();
        let life = Mutex::new(Some(Life { stop, task }));
        Self { identity, policy, metrics, config, file, loaded, health, life }
    }

    /// How it is now.
    pub(crate) fn health(&self) -> Health {
        self.health.borrow().clone()
    }

    /// Ends it.
    pub(super) async fn stop(&self) {
        let life = self.life.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(Life { stop, task }) = life else { return };
        drop(stop);
        // An error means that the runtime ends, and the task with it.
        let _ = task.await;
    }
}

/// How a plugin is started again.
#[derive(Debug, Clone)]
pub(super) struct Keep {
    pub(super) configs: Arc<Configs>,
    pub(super) load_time: Duration,
}

/// What the task of a plugin holds.
#[derive(Debug)]
struct Keeper {
    program: PathBuf,
    identity: Identity,
    keep: Keep,
    health: watch::Sender<Health>,
}

impl Keeper {
    async fn run(
        self,
        mut process: Process,
        mut running: Running,
        mut stopped: oneshot::Receiver<()>,
    ) {
        let mut pause = FIRST_PAUSE;
        loop {
            let begun = Instant::now();
            let failure = tokio::select! {
                failure = trouble(&mut process, &running.client) => failure,
                _ = &mut stopped => {
                    self.health.send_modify(|health| health.running = None);
                    process.stop(&running.client, "unloaded").await;
                    return;
                }
            };
            if begun.elapsed() >= HEALTHY_TIME {
                pause = FIRST_PAUSE;
            }
            let output = process.kill().await;
            let failure = match output.last() {
                Some(line) => format!("{failure}; it last printed: {line}"),
                None => failure,
            };
            self.failed(&failure);
            let again = tokio::select! {
                again = self.again(&mut pause) => again,
                _ = &mut stopped => return,
            };
            (process, running) = again;
        }
    }

    /// Starts the plugin, as often as it takes.
    async fn again(&self, pause: &mut Duration) -> (Process, Running) {
        loop {
            sleep(*pause).await;
            *pause = pause.saturating_mul(2).min(LONGEST_PAUSE);
            let Keep { configs, load_time } = &self.keep;
            match start::start(&self.program, configs, *load_time).await {
                Ok(started) if started.identity == self.identity => {
                    let pid = started.process.pid();
                    info!(plugin = %self.identity, pid, "a plugin was started again");
                    let running = Running { client: started.client, pid, since: Time::now() };
                    self.health.send_modify(|health| {
                        health.running = Some(running.clone());
                        health.restarts += 1;
                    });
                    return (started.process, running);
                }
                Ok(started) => self.failed(&format!("it is `{}` now", started.identity)),
                Err(error) => self.failed(&error.to_string()),
            }
        }
    }

    fn failed(&self, failure: &str) {
        warn!(plugin = %self.identity, failure, "a plugin is to be started again");
        self.health.send_modify(|health| {
            health.running = None;
            health.failure = Some(failure.to_owned());
        });
    }
}

/// Pings a plugin until there is trouble with it, and says which.
async fn trouble(process: &mut Process, client: &Client) -> String {
    let mut ticks = interval(PING_PERIOD);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut missed = 0;
    loop {
        let ping = async {
            ticks.tick().await;
            client.ping().await
        };
        let pinged = tokio::select! {
            status = process.ended() => return match status {
                Ok(status) => format!("it ended ({status})"),
                Err(error) => format!("it cannot be watched: {error}"),
            },
            pinged = ping => pinged,
        };
        match pinged {
            Ok(()) => missed = 0,
            Err(error) => {
                missed += 1;
                if missed == MISSED_PINGS {
                    return format!("{error} ({missed} pings in a row)");
                }
            }
        }
    }
}
