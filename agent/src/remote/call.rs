//! Steps of this node's tasks, done by plugins of other nodes.

use std::{
    collections::BTreeMap,
    fmt, io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::{Instant, timeout};
use tribe::{MemberState, Node, NodeName, ServiceStream, Target, View};

use super::{
    frame,
    message::{Outcome, Work},
    plugin_of, service_name,
};
use crate::{
    plugin::{Config, Identity, Metric, Wanted, batch},
    task::{Place, Tried},
};

/// How long one batch may take elsewhere: what a plugin has, and the way there and back.
const WORK_TIME: Duration = Duration::from_secs(11);
/// A stream that was not used for so long is closed: its task may be gone.
const IDLE_TIME: Duration = Duration::from_secs(600);

/// The calls of this node's tasks to other nodes. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Remote(Arc<Shared>);

struct Shared {
    node: Node,
    /// The stream that each step used last, while nothing is under way on it.
    open: Mutex<BTreeMap<(String, String), Open>>,
}

struct Open {
    callee: Callee,
    stream: ServiceStream,
    used: Instant,
}

/// A step that is to be done elsewhere.
#[derive(Debug)]
pub(crate) struct Step<'a> {
    /// The task, unique on this node.
    pub(crate) task: &'a str,
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
    /// Nobody there has the plugin now.
    #[error("no live member of {place} offers plugin `{plugin}`")]
    NoOffer {
        /// Where the step is to run.
        place: Place,
        /// The plugin.
        plugin: Wanted,
    },
    /// All who have it were tried.
    #[error("{0}")]
    Tried(String),
    /// What came back is no metrics. The other node's fault.
    #[error("node `{0}` sent back what is no metrics")]
    Malformed(NodeName),
}

/// Why one node did not do it.
#[derive(Debug, thiserror::Error)]
enum CallError {
    /// It cannot be reached, or its stream broke. The work may have been done all the same.
    #[error("{0}")]
    Unreachable(String),
    /// It did not answer in time. The work may have been done all the same.
    #[error("no answer within {0} s")]
    Slow(u64),
    /// It tried, and failed.
    #[error("{0}")]
    Failed(String),
}

/// A member that has the plugin.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Callee {
    node: NodeName,
    plugin: Identity,
}

/// Who could do a step: live members of its place that offer the plugin, in the newest version that is
/// offered unless one is named.
fn candidates(view: &View, place: &Place, plugin: &Wanted) -> Vec<Callee> {
    let there = view.members.values().filter(|member| {
        member.state == MemberState::Alive
            && match place {
                Place::Here => false,
                Place::Node(name) => member.name == *name,
                Place::Tribe(tribe) => member.tribes.contains(tribe),
            }
    });
    let offered = there.filter_map(|member| {
        let services = member.offers.services.iter();
        let plugins = services.filter_map(|service| plugin_of(service.as_str()));
        let newest = plugins.filter(|of| plugin.is(of)).max_by_key(|of| of.version)?;
        Some(Callee { node: member.name.clone(), plugin: newest })
    });
    let mut callees: Vec<_> = offered.collect();
    let newest = callees.iter().map(|callee| callee.plugin.version).max();
    callees.retain(|callee| Some(callee.plugin.version) == newest);
    callees
}

impl Remote {
    /// Calls from this node.
    pub(crate) fn new(node: Node) -> Self {
        Self(Arc::new(Shared { node, open: Mutex::default() }))
    }

    /// Has a batch processed or published: by whom it was done last, else by any other who can. It is done
    /// at least once when this returns well, perhaps more than once.
    pub(crate) async fn run(&self, step: &Step<'_>, metrics: &[Metric]) -> Done {
        let callees = self.in_order(step, candidates(&self.0.node.view(), step.place, step.plugin));
        let mut work = Work {
            task: format!("{} {}", step.task, step.path),
            metrics: Vec::new(),
            config: batch::encode_config(step.config),
        };
        batch::encode(metrics, &mut work.metrics);
        let mut tried = Vec::new();
        for callee in callees {
            match self.call(step, &callee, &work).await {
                Ok(outcome) => {
                    let node = callee.node;
                    let result = batch::decode(&outcome.metrics);
                    let result = result.map_err(|_| RemoteError::Malformed(node.clone()));
                    return Done { result, node: Some(node), tried };
                }
                Err(error) => {
                    let (node, failure) = (callee.node.to_string(), error.to_string());
                    tried.push(Tried { node, failure });
                }
            }
        }
        let error = if tried.is_empty() {
            RemoteError::NoOffer { place: step.place.clone(), plugin: step.plugin.clone() }
        } else {
            let texts: Vec<_> =
                tried.iter().map(|it| format!("node `{}`: {}", it.node, it.failure)).collect();
            RemoteError::Tried(texts.join("; "))
        };
        Done { result: Err(error), node: None, tried }
    }

    /// A task is gone: its streams end.
    pub(crate) fn forget(&self, task: &str) {
        self.lock().retain(|(of, _), _| of != task);
    }

    /// Whom the step has a stream to comes first. The others begin where a number made of this node and
    /// task has it, so that not all nodes go to the same one.
    fn in_order(&self, step: &Step<'_>, mut callees: Vec<Callee>) -> Vec<Callee> {
        let key = (step.task.to_owned(), step.path.to_owned());
        let open = self.lock().get(&key).map(|open| open.callee.clone());
        let at = match callees.iter().position(|callee| Some(callee) == open.as_ref()) {
            Some(at) => at,
            None => {
                let seed = self.0.node.name().as_str().bytes().chain(step.task.bytes());
                let sum = seed.fold(0_usize, |sum, byte| {
                    sum.wrapping_mul(31).wrapping_add(usize::from(byte))
                });
                sum.checked_rem(callees.len()).unwrap_or_default()
            }
        };
        callees.rotate_left(at);
        callees
    }

    async fn call(
        &self,
        step: &Step<'_>,
        callee: &Callee,
        work: &Work,
    ) -> Result<Outcome, CallError> {
        let key = (step.task.to_owned(), step.path.to_owned());
        let open = self.lock().remove(&key).filter(|open| open.callee == *callee);
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
            .map_err(|error| CallError::Unreachable(error.to_string()))?;
        // Only a stream on which all is answered is used again.
        let (callee, used) = (callee.clone(), Instant::now());
        let mut all = self.lock();
        all.retain(|_, open| open.used.elapsed() < IDLE_TIME);
        all.insert(key, Open { callee, stream, used });
        if outcome.error.is_empty() { Ok(outcome) } else { Err(CallError::Failed(outcome.error)) }
    }

    async fn dial(&self, callee: &Callee) -> Result<ServiceStream, CallError> {
        let target = Target::Node(callee.node.clone());
        let dialled = self.0.node.dial(target, &service_name(&callee.plugin)).await;
        dialled.map_err(|error| CallError::Unreachable(error.to_string()))
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<(String, String), Open>> {
        self.0.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Remote").field("open", &self.lock().len()).finish_non_exhaustive()
    }
}
