//! Steps of this node's tasks, done by plugins of other nodes.

use std::{
    collections::BTreeMap,
    fmt, io,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::Duration,
};

use tokio::time::{Instant, interval, timeout};
use tribe::{MemberState, Node, NodeName, ServiceStream, Target};

use super::{
    WORK_TIME,
    find::{Callee, FindError, find, in_order},
    frame,
    message::{Outcome, Work},
    service_name,
};
use crate::{
    plugin::{
        Config, Metric, Session, SessionLife, Wanted,
        batch::{self, BatchError},
    },
    task::{Place, Tried, now_ms},
};

/// Most bytes of metrics in one part: what a plugin takes in one call.
const PART_BYTES: usize = 3 * 1024 * 1024 + 512 * 1024;
/// How long it is tried to reach the member with the least to do, before each is dialled for itself.
const IDLEST_TIME: Duration = Duration::from_secs(2);
/// Longest text of another node that is kept of a failure, in characters.
const ERROR_CHARS: usize = 16 * 1024;
/// A stream that was not used for so long is closed.
const IDLE_TIME: Duration = Duration::from_secs(600);
/// How often streams are looked for that nobody needs any more.
const SWEEP_PERIOD: Duration = Duration::from_secs(5);
/// How often it is looked whether a node that does not answer is there at all.
const LOOK_PERIOD: Duration = Duration::from_millis(250);

/// The calls of this node's tasks to other nodes. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Remote(Arc<Shared>);

struct Shared {
    node: Node,
    /// The stream that each step used last, while nothing is under way on it.
    open: Mutex<BTreeMap<Key, Open>>,
}

/// A step of a task.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    task: String,
    path: String,
}

struct Open {
    callee: Callee,
    stream: ServiceStream,
    used: Instant,
    /// It is closed when the run of the task that opened it is over.
    life: SessionLife,
}

/// A step that is to be done elsewhere.
#[derive(Debug)]
pub(crate) struct Step<'a> {
    /// The run of the task.
    pub(crate) session: &'a Session,
    /// The step in it.
    pub(crate) path: &'a str,
    pub(crate) place: &'a Place,
    pub(crate) plugin: &'a Wanted,
    /// As the manifest has it.
    pub(crate) config: &'a Config,
}

/// What came of a step.
#[derive(Debug)]
pub(crate) struct Done {
    /// What a processor made, or why nobody did it.
    pub(crate) result: Result<Vec<Metric>, RemoteError>,
    /// Who did it.
    pub(crate) node: Option<NodeName>,
    /// Who was tried before, and failed.
    pub(crate) tried: Vec<Tried>,
}

/// Why a step was not done elsewhere. It may be possible again later.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum RemoteError {
    /// There is nobody to ask.
    #[error(transparent)]
    Find(#[from] FindError),
    /// All who have it were tried.
    #[error("{0}")]
    Tried(String),
}

/// Why one node did not do it.
#[derive(Debug, thiserror::Error)]
enum CallError {
    /// It cannot be reached, or its stream broke. The work may have been done all the same.
    #[error("{0}")]
    Unreachable(String),
    /// It is known to be gone. The work may have been done all the same.
    #[error("it is down")]
    Down,
    /// It did not answer in time. The work may have been done all the same.
    #[error("no answer within {0} s")]
    Slow(u64),
    /// It tried, and failed.
    #[error("{0}")]
    Failed(String),
    /// What came back cannot be used. The other node's fault.
    #[error("of what it sent back: {0}")]
    Back(BatchError),
    /// The batch is more than any node takes. Whose fault it is depends on who made the metrics.
    #[error("{0}")]
    TooLarge(io::Error),
}

impl Remote {
    /// Calls from this node.
    pub(crate) fn new(node: Node) -> Self {
        let shared = Arc::new(Shared { node, open: Mutex::default() });
        tokio::spawn(sweep(Arc::downgrade(&shared)));
        Self(shared)
    }

    /// Has a batch processed or published: by whom it was done last, else by who has the least to do, else
    /// by any other who can. It is done
    /// at least once when this returns well, perhaps more than once.
    pub(crate) async fn run(&self, step: &Step<'_>, metrics: &[Metric]) -> Done {
        let found = find(&self.0.node.view(), step.place, step.plugin);
        let callees = match found {
            Ok(callees) => callees,
            Err(error) => return Done { result: Err(error.into()), node: None, tried: Vec::new() },
        };
        let last = self.0.lock().get(&step.key()).map(|open| open.callee.clone());
        let first = match last.filter(|last| callees.contains(last)) {
            Some(last) => Some(last),
            None => self.open_to_idlest(step, &callees).await,
        };
        let seed = [self.0.node.name().as_str(), step.session.task(), step.path];
        let works = step.works(metrics);
        let mut tried = Vec::new();
        for callee in in_order(callees, first.as_ref(), seed) {
            match self.batch(step, &callee, &works).await {
                Ok(metrics) => return Done { result: Ok(metrics), node: Some(callee.node), tried },
                Err(error) => {
                    let (node, failure) = (callee.node.to_string(), error.to_string());
                    tried.push(Tried { node, failure, time_ms: now_ms() });
                }
            }
        }
        let texts: Vec<_> =
            tried.iter().map(|it| format!("node `{}`: {}", it.node, it.failure)).collect();
        Done { result: Err(RemoteError::Tried(texts.join("; "))), node: None, tried }
    }

    /// A task is gone: its streams end.
    pub(crate) fn forget(&self, task: &str) {
        self.0.lock().retain(|key, _| key.task != task);
    }

    /// Has one node do the parts of a batch, one after the other.
    async fn batch(
        &self,
        step: &Step<'_>,
        callee: &Callee,
        works: &[Work],
    ) -> Result<Vec<Metric>, CallError> {
        let mut metrics = Vec::new();
        for work in works {
            let called = tokio::select! {
                called = self.call(step, callee, work) => called,
                () = self.0.lost(&callee.node) => Err(CallError::Down),
            };
            let outcome = called?;
            metrics.extend(batch::decode_taken(&outcome.metrics).map_err(CallError::Back)?);
        }
        Ok(metrics)
    }

    async fn call(
        &self,
        step: &Step<'_>,
        callee: &Callee,
        work: &Work,
    ) -> Result<Outcome, CallError> {
        let open = self.0.lock().remove(&step.key()).filter(|open| open.callee == *callee);
        let mut stream = match open {
            Some(open) => open.stream,
            None => self.dial(callee).await?,
        };
        let exchange = async {
            frame::send(&mut stream, work).await?;
            let outcome = frame::receive::<Outcome>(&mut stream).await?;
            outcome.ok_or_else(|| io::Error::from(io::ErrorKind::UnexpectedEof))
        };
        let outcome = timeout(WORK_TIME, exchange)
            .await
            .map_err(|_| CallError::Slow(WORK_TIME.as_secs()))?
            .map_err(|error| match error.kind() {
                io::ErrorKind::FileTooLarge => CallError::TooLarge(error),
                _ => CallError::Unreachable(error.to_string()),
            })?;
        // Only a stream on which all is answered is used again.
        self.keep(step, callee.clone(), stream);
        if outcome.error.is_empty() {
            return Ok(outcome);
        }
        Err(CallError::Failed(outcome.error.chars().take(ERROR_CHARS).collect()))
    }

    /// Opens a stream to the member of a tribe that has the least to do, as far as this node knows. None if
    /// it comes to nothing: then each is dialled for itself, and says why.
    async fn open_to_idlest(&self, step: &Step<'_>, callees: &[Callee]) -> Option<Callee> {
        let (Place::Tribe(tribe), [callee, _, ..]) = (step.place, callees) else { return None };
        let (target, service) = (Target::Tribe(tribe.clone()), service_name(&callee.plugin));
        let dialled = self.0.node.dial(target, &service);
        let stream = timeout(IDLEST_TIME, dialled).await.ok()?.ok()?;
        let callee = callees.iter().find(|callee| callee.node == stream.peer().name)?.clone();
        self.keep(step, callee.clone(), stream);
        Some(callee)
    }

    /// Keeps a stream on which nothing is under way for the next batch of a step.
    fn keep(&self, step: &Step<'_>, callee: Callee, stream: ServiceStream) {
        let (used, life) = (Instant::now(), step.session.life());
        self.0.lock().insert(step.key(), Open { callee, stream, used, life });
    }

    async fn dial(&self, callee: &Callee) -> Result<ServiceStream, CallError> {
        let target = Target::Node(callee.node.clone());
        let dialled = self.0.node.dial(target, &service_name(&callee.plugin)).await;
        dialled.map_err(|error| CallError::Unreachable(error.to_string()))
    }
}

impl Shared {
    /// Comes back when a node is known to be gone.
    async fn lost(&self, name: &NodeName) {
        let mut looks = interval(LOOK_PERIOD);
        loop {
            looks.tick().await;
            let view = self.node.view();
            let mut named = view.members.values().filter(|member| member.name == *name);
            if !named.any(|member| member.state == MemberState::Alive) {
                return;
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Key, Open>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Step<'_> {
    fn key(&self) -> Key {
        Key { task: self.session.task().to_owned(), path: self.path.to_owned() }
    }

    /// What a node is sent for a batch.
    fn works(&self, metrics: &[Metric]) -> Vec<Work> {
        let task = format!("{} {}", self.session.task(), self.path);
        let config = batch::encode_config(self.config);
        let parts = batch::encode_parts(metrics, PART_BYTES).into_iter();
        parts.map(|metrics| Work { task: task.clone(), metrics, config: config.clone() }).collect()
    }
}

/// Closes streams that nobody needs any more, for as long as there are calls.
async fn sweep(shared: Weak<Shared>) {
    let mut looks = interval(SWEEP_PERIOD);
    loop {
        looks.tick().await;
        let Some(shared) = shared.upgrade() else { return };
        shared.lock().retain(|_, open| !open.life.is_over() && open.used.elapsed() < IDLE_TIME);
    }
}

impl fmt::Debug for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Remote").field("open", &self.0.lock().len()).finish_non_exhaustive()
    }
}
