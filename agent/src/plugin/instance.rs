//! One instance of a plugin: a process that is kept running until it is not needed any more.
//!
//! One task an instance pings it, which plugins need to stay alive, and watches its process. One
//! that ends or falls silent is killed and started again, each time after a longer pause; after a
//! good while without trouble the pauses are short again.
//!
//! Invariant: the process is there exactly as long as its task.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{
    sync::{OwnedRwLockReadGuard, RwLock, oneshot, watch},
    task::JoinHandle,
    time::{Instant, MissedTickBehavior, interval, sleep, timeout},
};
use tracing::{info, warn};

use super::{
    client::Client,
    launch::Launch,
    metric::Time,
    pause::Pauses,
    process::Process,
    start::{self, Program, Started},
};

/// How often it is pinged: plugins in Go end after 9 seconds without.
const PING_PERIOD: Duration = Duration::from_secs(2);
/// How many pings in a row may fail.
const MISSED_PINGS: u32 = 3;
/// How long calls may hold up the end of an instance that is not needed any more.
const CALLS_TIME: Duration = Duration::from_secs(10);

/// An instance. When dropped it finishes its calls and ends.
#[derive(Debug)]
pub(super) struct Instance {
    health: watch::Receiver<Health>,
    /// Read by calls, written by the end.
    calls: Arc<RwLock<()>>,
    /// Absent once it was stopped.
    life: Mutex<Option<Life>>,
}

/// The task of an instance, which ends when the sender is dropped.
#[derive(Debug)]
struct Life {
    stop: oneshot::Sender<End>,
    task: JoinHandle<()>,
}

/// The instance is to end without waiting for its calls.
#[derive(Debug)]
struct End;

/// How an instance is, or all of one plugin.
#[derive(Debug, Clone, Default)]
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

/// An instance that a call has, and that therefore goes on.
#[derive(Debug)]
pub(super) struct Busy {
    health: watch::Receiver<Health>,
    _call: OwnedRwLockReadGuard<()>,
}

impl Health {
    /// The number of its process.
    pub(crate) fn pid(&self) -> Option<i32> {
        self.running.as_ref().map(|running| running.pid)
    }
}

impl Running {
    fn new(started: &Started) -> Self {
        let (client, pid) = (started.client.clone(), started.process.pid());
        Self { client, pid, since: Time::now() }
    }
}

impl Instance {
    /// An instance that was started, kept running from now on.
    pub(super) fn keep(started: Started, program: Arc<Program>, launch: Arc<Launch>) -> Self {
        let running = Running::new(&started);
        let health = Health { running: Some(running.clone()), ..Health::default() };
        Self::run(health, program, launch, Some((started.process, running)))
    }

    /// An instance that is yet to be started.
    pub(super) fn start(program: Arc<Program>, launch: Arc<Launch>) -> Self {
        Self::run(Health::default(), program, launch, None)
    }

    fn run(
        health: Health,
        program: Arc<Program>,
        launch: Arc<Launch>,
        first: Option<(Process, Running)>,
    ) -> Self {
        let (sender, health) = watch::channel(health);
        let calls = Arc::new(RwLock::new(()));
        let keeper = Keeper { program, launch, health: sender, calls: Arc::clone(&calls) };
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(keeper.run(first, stopped));
        Self { health, calls, life: Mutex::new(Some(Life { stop, task })) }
    }

    /// How it is now.
    pub(super) fn health(&self) -> Health {
        self.health.borrow().clone()
    }

    /// Does it run?
    pub(super) fn is_running(&self) -> bool {
        self.health.borrow().running.is_some()
    }

    /// Begins a call. None: it is about to end.
    pub(super) fn enter(&self) -> Option<Busy> {
        let call = Arc::clone(&self.calls).try_read_owned().ok()?;
        Some(Busy { health: self.health.clone(), _call: call })
    }

    /// Ends it at once.
    pub(super) async fn stop(&self) {
        let life = self.life.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(Life { stop, task }) = life else { return };
        // Nobody listens if it has ended already.
        let _ = stop.send(End);
        // An error means that the runtime ends, and the task with it.
        let _ = task.await;
    }
}

impl Busy {
    /// The process. Waits for the first start, and for no other.
    pub(super) async fn running(&mut self) -> Result<Running, String> {
        let begun = |health: &Health| health.running.is_some() || health.failure.is_some();
        // An error means that it was stopped.
        let _ = self.health.wait_for(begun).await;
        let health = self.health.borrow();
        let failure = || health.failure.clone().unwrap_or_else(|| "it was unloaded".to_owned());
        health.running.clone().ok_or_else(failure)
    }
}

/// What the task of an instance holds.
#[derive(Debug)]
struct Keeper {
    program: Arc<Program>,
    launch: Arc<Launch>,
    health: watch::Sender<Health>,
    calls: Arc<RwLock<()>>,
}

impl Keeper {
    async fn run(self, first: Option<(Process, Running)>, mut stopped: oneshot::Receiver<End>) {
        let mut pauses = Pauses::new();
        let first = match first {
            Some(first) => Some(first),
            None => tokio::select! {
                first = self.start() => first,
                _ = &mut stopped => return,
            },
        };
        let mut current = match first {
            Some(current) => current,
            None => tokio::select! {
                again = self.again(&mut pauses) => again,
                _ = &mut stopped => return,
            },
        };
        loop {
            let (mut process, running) = current;
            let begun = Instant::now();
            let failure = tokio::select! {
                failure = trouble(&mut process, &running.client) => failure,
                end = &mut stopped => {
                    self.end(process, running, end.ok()).await;
                    return;
                }
            };
            pauses.ran(begun.elapsed());
            let output = process.kill().await;
            let failure = match output.last() {
                Some(line) => format!("{failure}; it last printed: {line}"),
                None => failure,
            };
            self.failed(&failure);
            current = tokio::select! {
                again = self.again(&mut pauses) => again,
                _ = &mut stopped => return,
            };
        }
    }

    /// Ends the process, after its calls if there is time.
    async fn end(&self, process: Process, running: Running, end: Option<End>) {
        if end.is_none() && timeout(CALLS_TIME, self.calls.write()).await.is_err() {
            warn!(plugin = %self.program.identity, pid = running.pid, "a call is cut off");
        }
        self.health.send_modify(|health| health.running = None);
        process.stop(&running.client, "unloaded").await;
    }

    /// Starts the plugin, as often as it takes.
    async fn again(&self, pauses: &mut Pauses) -> (Process, Running) {
        loop {
            sleep(pauses.next()).await;
            if let Some((process, running)) = self.start().await {
                info!(plugin = %self.program.identity, pid = running.pid, "a plugin was started again");
                self.health.send_modify(|health| health.restarts += 1);
                return (process, running);
            }
        }
    }

    async fn start(&self) -> Option<(Process, Running)> {
        match start::start_again(&self.program, &self.launch).await {
            Ok(started) => {
                let running = Running::new(&started);
                self.health.send_modify(|health| health.running = Some(running.clone()));
                Some((started.process, running))
            }
            Err(error) => {
                self.failed(&error.to_string());
                None
            }
        }
    }

    fn failed(&self, failure: &str) {
        warn!(plugin = %self.program.identity, failure, "a plugin is to be started again");
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
