//! The client: one method for each endpoint, over snapd's Unix socket, or over TCP ([`Remote`]).
//!
//! Every call opens a connection of its own, so a [`Client`] is a path and no more: cheap to clone, and
//! as good after a restart of snapd as before. It must know nothing of clusters; what snapd refuses
//! comes back in snapd's own words as [`ClientError::Refused`].
//!
//! ```no_run
//! # async fn example() -> Result<(), tribe_api::client::ClientError> {
//! use tribe_api::{CreateTribe, Placement, client::Client};
//!
//! let snapd = Client::new(tribe_api::DEFAULT_SOCKET);
//! let core = CreateTribe { name: "core".into(), description: String::new() };
//! snapd.create_tribe(&core, None).await?;
//! snapd.place("core", "i1", Placement::Joined, None).await?;
//! # Ok(())
//! # }
//! ```

mod download;
mod error;
mod events;
mod http;
mod remote;
mod sse;
mod upload;
mod url;

pub use download::Download;
pub use error::ClientError;
pub use events::Events;
pub use remote::{Remote, RemoteError};
pub use upload::Upload;

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use hyper::Method;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

use crate::{
    ChangeKey, Changed, CollectOnce, CreatePolicy, CreateTaskQuery, CreateTribe, DescribeTribe,
    Explanation, FactChange, FactEntry, Flow, InstallKey, KeyChanged, KeyStep, Keys, LoadNamed,
    LoadQuery, Measured, Member, MetricDetail, MetricShowQuery, MetricType, NodeInfo, Offer,
    OfferQuery, Place, Placement, Plugin, PluginDetail, PluginLoaded, Policy, PolicyChange,
    PolicyCreated, PolicyTest, Restore, Restored, RotateKey, Task, TaskChanged, TestPolicy, Tribe,
    TribePlugin, TribeStatus, TribeSummary, TribeTask, Version, WatchQuery,
    client::{
        http::{Request, Target},
        url::{path, query},
    },
};

/// How long snapd may take to answer, beside what it was asked to wait.
pub const REPLY_TIME: Duration = Duration::from_secs(60);

/// How long snapd may take to load a plugin: to take its file, to start it, and to hand it to other
/// nodes.
pub const LOAD_TIME: Duration = Duration::from_secs(15 * 60);

/// A client of one snapd.
///
/// Methods that write take `wait`: how long snapd shall ask the live members whether they hold the
/// record. Those that did not say so come back in `missing`.
#[derive(Debug, Clone)]
pub struct Client {
    target: Target,
    /// How long an answer may take, instead of the usual time.
    reply_time: Option<Duration>,
}

/// All methods that ask fail alike, with [`ClientError`]; snapd has then changed nothing if the error is
/// [`ClientError::Refused`] or [`ClientError::Connect`].
///
/// They must be called inside a tokio runtime.
impl Client {
    /// A client of the snapd that listens on this socket. Does not connect yet.
    #[must_use]
    pub fn new(socket: impl Into<PathBuf>) -> Self {
        Self { target: Target::Socket(socket.into()), reply_time: None }
    }

    /// A client of a snapd that is reached over TCP. Does not connect yet.
    #[must_use]
    pub fn remote(remote: Remote) -> Self {
        Self { target: Target::Remote(remote), reply_time: None }
    }

    /// The client, to which each answer may take so long beside what snapd is asked to wait, instead of
    /// [`REPLY_TIME`] or [`LOAD_TIME`]. What is told as it happens has no such limit, and begins within
    /// [`REPLY_TIME`].
    #[must_use]
    pub fn answered_within(self, time: Duration) -> Self {
        Self { reply_time: Some(time), ..self }
    }

    /// Where the daemon is asked, as its path or URL.
    #[must_use]
    pub fn address(&self) -> String {
        self.target.address()
    }

    /// What the daemon is. Answered with tribe mode off, too.
    pub async fn version(&self) -> Result<Version, ClientError> {
        self.read(path(&["version"])).await
    }

    /// The node the daemon runs. Answered with tribe mode off, too.
    pub async fn node(&self) -> Result<NodeInfo, ClientError> {
        self.read(path(&["node"])).await
    }

    /// All nodes of the cluster, dead ones too.
    pub async fn members(&self) -> Result<Vec<Member>, ClientError> {
        self.read(path(&["members"])).await
    }

    /// One node.
    pub async fn member(&self, node: &str) -> Result<Member, ClientError> {
        self.read(path(&["members", node])).await
    }

    /// Has all nodes forget one that is down or has left.
    pub async fn forget_member(
        &self,
        node: &str,
        wait: Option<Duration>,
    ) -> Result<Changed, ClientError> {
        self.write(Method::DELETE, path(&["members", node]), None::<&()>, wait).await
    }

    /// The facts of a node, by name.
    pub async fn facts(&self, node: &str) -> Result<Vec<FactEntry>, ClientError> {
        self.read(path(&["members", node, "facts"])).await
    }

    /// Sets and unsets run-time facts of a node, which must be alive.
    pub async fn change_facts(
        &self,
        node: &str,
        change: &FactChange,
        wait: Option<Duration>,
    ) -> Result<Changed, ClientError> {
        self.write(Method::PATCH, path(&["members", node, "facts"]), Some(change), wait).await
    }

    /// All that people said, as the node knows it: the JSON of a [`Backup`](crate::Backup), of any
    /// size.
    pub async fn backup(&self, force: bool) -> Result<Download, ClientError> {
        let request = Request::new(Method::GET, path(&["backup"]) + &query(forced(force)));
        let name = request.name();
        let time = self.reply_time.unwrap_or(REPLY_TIME);
        let body = http::within(time, &name, http::open(&self.target, request)).await?;
        Ok(Download::new(body, name, time))
    }

    /// Says one thing of a backup again.
    pub async fn restore(&self, restore: &Restore) -> Result<Restored, ClientError> {
        self.write(Method::POST, path(&["restore"]), Some(restore), None).await
    }

    /// The keys of the cluster, and who holds them.
    pub async fn keys(&self) -> Result<Keys, ClientError> {
        self.read(path(&["keys"])).await
    }

    /// Has all members hold a key.
    pub async fn install_key(
        &self,
        key: &InstallKey,
        wait: Option<Duration>,
    ) -> Result<KeyChanged, ClientError> {
        self.write(Method::POST, path(&["keys"]), Some(key), wait).await
    }

    /// Has all members seal with a key.
    pub async fn use_key(
        &self,
        id: &str,
        change: ChangeKey,
        wait: Option<Duration>,
    ) -> Result<KeyChanged, ClientError> {
        self.write(Method::POST, path(&["keys", id, "use"]), Some(&change), wait).await
    }

    /// Has no member open what is sealed with a key.
    pub async fn remove_key(
        &self,
        id: &str,
        change: ChangeKey,
        wait: Option<Duration>,
    ) -> Result<KeyChanged, ClientError> {
        self.write(Method::POST, path(&["keys", id, "remove"]), Some(&change), wait).await
    }

    /// Takes the next step in exchanging the key of the cluster for a new one.
    pub async fn step_rotation(&self, step: RotateKey) -> Result<KeyStep, ClientError> {
        self.write(Method::POST, path(&["keys", "rotate"]), Some(&step), None).await
    }

    /// All tribes, by name.
    pub async fn tribes(&self) -> Result<Vec<TribeSummary>, ClientError> {
        self.read(path(&["tribes"])).await
    }

    /// One tribe with its members, placements and policies.
    pub async fn tribe(&self, tribe: &str) -> Result<Tribe, ClientError> {
        self.read(path(&["tribes", tribe])).await
    }

    /// Who is in a tribe, and whether all agree.
    pub async fn tribe_status(&self, tribe: &str) -> Result<TribeStatus, ClientError> {
        self.read(path(&["tribes", tribe, "status"])).await
    }

    /// Creates a tribe.
    pub async fn create_tribe(
        &self,
        tribe: &CreateTribe,
        wait: Option<Duration>,
    ) -> Result<Changed, ClientError> {
        self.write(Method::POST, path(&["tribes"]), Some(tribe), wait).await
    }

    /// Says anew what a tribe is for.
    pub async fn describe_tribe(
        &self,
        tribe: &str,
        description: &DescribeTribe,
        wait: Option<Duration>,
    ) -> Result<Changed, ClientError> {
        self.write(Method::PATCH, path(&["tribes", tribe]), Some(description), wait).await
    }

    /// Deletes a tribe with its placements, policies, plugins and tasks.
    pub async fn delete_tribe(
        &self,
        tribe: &str,
        force: bool,
        wait: Option<Duration>,
    ) -> Result<Changed, ClientError> {
        let path = path(&["tribes", tribe]);
        self.write_with(Method::DELETE, path, forced(force), None::<&()>, wait).await
    }

    /// Places a node in a tribe or out of it by hand, or gives it back to the policies. The node need
    /// not exist yet.
    pub async fn place(
        &self,
        tribe: &str,
        node: &str,
        placement: Placement,
        wait: Option<Duration>,
    ) -> Result<Changed, ClientError> {
        let path = path(&["tribes", tribe, "placements", node]);
        self.write(Method::PUT, path, Some(&Place { placement }), wait).await
    }

    /// All policies, or those of one tribe, by name.
    pub async fn policies(&self, tribe: Option<&str>) -> Result<Vec<Policy>, ClientError> {
        let tribe = tribe.map(|tribe| ("tribe", tribe));
        self.read(path(&["policies"]) + &query(tribe.as_slice())).await
    }

    /// One policy.
    pub async fn policy(&self, policy: &str) -> Result<Policy, ClientError> {
        self.read(path(&["policies", policy])).await
    }

    /// Creates a policy, and its tribe if there is none of that name.
    pub async fn create_policy(
        &self,
        policy: &CreatePolicy,
        wait: Option<Duration>,
    ) -> Result<PolicyCreated, ClientError> {
        self.write(Method::POST, path(&["policies"]), Some(policy), wait).await
    }

    /// Switches a policy on or off.
    pub async fn enable_policy(
        &self,
        policy: &str,
        change: PolicyChange,
        wait: Option<Duration>,
    ) -> Result<Changed, ClientError> {
        self.write(Method::PATCH, path(&["policies", policy]), Some(&change), wait).await
    }

    /// Deletes a policy.
    pub async fn delete_policy(
        &self,
        policy: &str,
        force: bool,
        wait: Option<Duration>,
    ) -> Result<Changed, ClientError> {
        let path = path(&["policies", policy]);
        self.write_with(Method::DELETE, path, forced(force), None::<&()>, wait).await
    }

    /// Tries a policy on the nodes there are; changes nothing.
    pub async fn test_policy(&self, test: &TestPolicy) -> Result<PolicyTest, ClientError> {
        let request = Request::new(Method::POST, path(&["policies", "test"])).json(test)?;
        self.call(request, Duration::ZERO).await
    }

    /// Why a policy is true for a node, or not.
    pub async fn explain_policy(
        &self,
        policy: &str,
        node: &str,
    ) -> Result<Explanation, ClientError> {
        self.read(path(&["policies", policy, "explain", node])).await
    }

    /// The plugins of the daemon's node.
    pub async fn plugins(&self) -> Result<Vec<Plugin>, ClientError> {
        self.read(path(&["plugins"])).await
    }

    /// One plugin, as `TYPE:NAME` or `TYPE:NAME:VERSION`.
    pub async fn plugin(&self, plugin: &str) -> Result<PluginDetail, ClientError> {
        self.read(path(&["plugins", plugin])).await
    }

    /// Loads a plugin from the content of its file, on the daemon's node or for a tribe.
    pub async fn load_plugin(
        &self,
        load: &LoadQuery,
        file: Upload,
        signature: Option<&[u8]>,
        wait: Option<Duration>,
    ) -> Result<PluginLoaded, ClientError> {
        let seconds = wait.map(|wait| wait.as_secs_f64().to_string());
        let mut pairs = vec![("file", load.file.as_str())];
        pairs.extend(load.tribe.as_deref().map(|tribe| ("tribe", tribe)));
        pairs.extend(seconds.as_deref().map(|seconds| ("wait", seconds)));
        let request = Request::new(Method::POST, path(&["plugins"]) + &query(&pairs));
        let request = request.file(file).signature(signature);
        self.call_within(request, LOAD_TIME, wait.unwrap_or_default()).await
    }

    /// Loads a plugin that lies in the plugin directory of the daemon.
    pub async fn load_named(
        &self,
        load: &LoadNamed,
        wait: Option<Duration>,
    ) -> Result<PluginLoaded, ClientError> {
        let seconds = wait.map(|wait| wait.as_secs_f64().to_string());
        let wait_for = seconds.as_deref().map(|seconds| ("wait", seconds));
        let path = path(&["plugins", "named"]) + &query(wait_for.as_slice());
        let request = Request::new(Method::POST, path).json(load)?;
        self.call_within(request, LOAD_TIME, wait.unwrap_or_default()).await
    }

    /// Unloads a plugin of the daemon's node, named as `TYPE:NAME:VERSION` or as it was loaded.
    pub async fn unload_plugin(&self, plugin: &str) -> Result<Plugin, ClientError> {
        self.call(Request::new(Method::DELETE, path(&["plugins", plugin])), Duration::ZERO).await
    }

    /// The plugins that a tribe asks its members to load, by name.
    pub async fn tribe_plugins(&self, tribe: &str) -> Result<Vec<TribePlugin>, ClientError> {
        self.read(path(&["tribes", tribe, "plugins"])).await
    }

    /// One plugin that a tribe asks its members to load, named as it was loaded.
    pub async fn tribe_plugin(
        &self,
        tribe: &str,
        plugin: &str,
    ) -> Result<TribePlugin, ClientError> {
        self.read(path(&["tribes", tribe, "plugins", plugin])).await
    }

    /// Has a tribe unload a plugin, named as it was loaded.
    pub async fn unload_tribe_plugin(
        &self,
        tribe: &str,
        plugin: &str,
        wait: Option<Duration>,
    ) -> Result<Changed, ClientError> {
        let path = path(&["tribes", tribe, "plugins", plugin]);
        self.write(Method::DELETE, path, None::<&()>, wait).await
    }

    /// What live members offer to others.
    pub async fn offers(&self, offers: &OfferQuery) -> Result<Vec<Offer>, ClientError> {
        let mut pairs = Vec::new();
        pairs.extend(offers.tribe.as_deref().map(|tribe| ("tribe", tribe)));
        pairs.extend(offers.node.as_deref().map(|node| ("node", node)));
        self.read(path(&["offers"]) + &query(&pairs)).await
    }

    /// The tasks of the daemon's node, those that tribes want among them.
    pub async fn tasks(&self) -> Result<Vec<Task>, ClientError> {
        self.read(path(&["tasks"])).await
    }

    /// The tasks that a tribe asks its members to run, by name.
    pub async fn tribe_tasks(&self, tribe: &str) -> Result<Vec<TribeTask>, ClientError> {
        self.read(path(&["tribes", tribe, "tasks"])).await
    }

    /// One task of the daemon's node, by name or id.
    pub async fn task(&self, task: &str, tribe: Option<&str>) -> Result<Task, ClientError> {
        self.read(path(&["tasks", task]) + &of_tribe(tribe)).await
    }

    /// Creates a task from the text of its manifest, on the daemon's node or for a tribe.
    pub async fn create_task(
        &self,
        create: &CreateTaskQuery,
        manifest: Vec<u8>,
        format: ManifestFormat,
        wait: Option<Duration>,
    ) -> Result<TaskChanged, ClientError> {
        let seconds = wait.map(|wait| wait.as_secs_f64().to_string());
        let mut pairs = Vec::new();
        pairs.extend(create.tribe.as_deref().map(|tribe| ("tribe", tribe)));
        pairs.extend(create.name.as_deref().map(|name| ("name", name)));
        pairs.extend(create.stem.as_deref().map(|stem| ("stem", stem)));
        pairs.extend(create.replace.then_some(("replace", "true")));
        pairs.extend(create.no_start.then_some(("no_start", "true")));
        pairs.extend(seconds.as_deref().map(|seconds| ("wait", seconds)));
        let request = Request::new(Method::POST, path(&["tasks"]) + &query(&pairs));
        let request = request.text(format.content_type(), manifest);
        self.call(request, wait.unwrap_or_default()).await
    }

    /// Starts, stops or enables a task, by name or id, or has a tribe do so.
    pub async fn direct_task(
        &self,
        task: &str,
        verb: TaskVerb,
        tribe: Option<&str>,
        wait: Option<Duration>,
    ) -> Result<TaskChanged, ClientError> {
        let path = path(&["tasks", task, verb.as_str()]);
        self.change_task(Method::POST, path, tribe, wait).await
    }

    /// Removes a task, by name or id, or has a tribe do so.
    pub async fn remove_task(
        &self,
        task: &str,
        tribe: Option<&str>,
        wait: Option<Duration>,
    ) -> Result<TaskChanged, ClientError> {
        self.change_task(Method::DELETE, path(&["tasks", task]), tribe, wait).await
    }

    async fn change_task(
        &self,
        method: Method,
        path: String,
        tribe: Option<&str>,
        wait: Option<Duration>,
    ) -> Result<TaskChanged, ClientError> {
        let seconds = wait.map(|wait| wait.as_secs_f64().to_string());
        let mut pairs = Vec::new();
        pairs.extend(tribe.map(|tribe| ("tribe", tribe)));
        pairs.extend(seconds.as_deref().map(|seconds| ("wait", seconds)));
        let request = Request::new(method, path + &query(&pairs));
        self.call(request, wait.unwrap_or_default()).await
    }

    /// The manifest of a task, from which it can be created again.
    pub async fn export_task(&self, task: &str, tribe: Option<&str>) -> Result<Value, ClientError> {
        self.read(path(&["tasks", task, "export"]) + &of_tribe(tribe)).await
    }

    /// What flows out of the steps of a task of the daemon's node from now on.
    pub async fn watch_task(
        &self,
        task: &str,
        watch: &WatchQuery,
    ) -> Result<Events<Flow>, ClientError> {
        let mut pairs = Vec::new();
        pairs.extend(watch.tribe.as_deref().map(|tribe| ("tribe", tribe)));
        pairs.extend(watch.step.as_deref().map(|step| ("step", step)));
        self.listen(path(&["tasks", task, "watch"]) + &query(&pairs)).await
    }

    /// The types of metrics the daemon's node can collect, or those a request means.
    pub async fn metrics(&self, namespace: Option<&str>) -> Result<Vec<MetricType>, ClientError> {
        let namespace = namespace.map(|namespace| ("namespace", namespace));
        self.read(path(&["metrics"]) + &query(namespace.as_slice())).await
    }

    /// One type of metric with all that is known of it.
    pub async fn metric(&self, show: &MetricShowQuery) -> Result<MetricDetail, ClientError> {
        let version = show.version.map(|version| version.to_string());
        let mut pairs = vec![("namespace", show.namespace.as_str())];
        pairs.extend(version.as_deref().map(|version| ("version", version)));
        self.read(path(&["metrics", "show"]) + &query(&pairs)).await
    }

    /// Collects once, and perhaps processes and publishes.
    pub async fn collect(&self, once: &CollectOnce) -> Result<Vec<Measured>, ClientError> {
        let request = Request::new(Method::POST, path(&["metrics", "collect"])).json(once)?;
        self.call(request, Duration::ZERO).await
    }

    /// What happens from now on. Events are not lost once this has returned.
    pub async fn events(&self) -> Result<Events, ClientError> {
        self.listen(path(&["events"])).await
    }

    async fn listen<T: DeserializeOwned>(&self, path: String) -> Result<Events<T>, ClientError> {
        let request = Request::new(Method::GET, path);
        let name = request.name();
        let body = http::within(REPLY_TIME, &name, http::open(&self.target, request)).await?;
        Ok(Events::new(body, name))
    }

    /// Counters of the daemon's node, by name.
    pub async fn counters(&self) -> Result<BTreeMap<String, u64>, ClientError> {
        self.read(path(&["counters"])).await
    }

    /// The OpenAPI document of the daemon's API.
    pub async fn openapi(&self) -> Result<Value, ClientError> {
        self.read(path(&["openapi.json"])).await
    }

    async fn read<T: DeserializeOwned>(&self, path: String) -> Result<T, ClientError> {
        self.call(Request::new(Method::GET, path), Duration::ZERO).await
    }

    async fn write<T: DeserializeOwned>(
        &self,
        method: Method,
        path: String,
        body: Option<&impl Serialize>,
        wait: Option<Duration>,
    ) -> Result<T, ClientError> {
        self.write_with(method, path, &[], body, wait).await
    }

    async fn write_with<T: DeserializeOwned>(
        &self,
        method: Method,
        path: String,
        parameters: &[(&str, &str)],
        body: Option<&impl Serialize>,
        wait: Option<Duration>,
    ) -> Result<T, ClientError> {
        let seconds = wait.map(|wait| wait.as_secs_f64().to_string());
        let seconds = seconds.as_deref().map(|seconds| ("wait", seconds));
        let parameters = [parameters, seconds.as_slice()].concat();
        let mut request = Request::new(method, path + &query(&parameters));
        if let Some(body) = body {
            request = request.json(body)?;
        }
        self.call(request, wait.unwrap_or_default()).await
    }

    async fn call<T: DeserializeOwned>(
        &self,
        request: Request,
        wait: Duration,
    ) -> Result<T, ClientError> {
        self.call_within(request, REPLY_TIME, wait).await
    }

    async fn call_within<T: DeserializeOwned>(
        &self,
        request: Request,
        usual: Duration,
        wait: Duration,
    ) -> Result<T, ClientError> {
        let time = self.reply_time.unwrap_or(usual).saturating_add(wait);
        let name = request.name();
        let reply = http::within(time, &name, http::exchange(&self.target, request)).await?;
        serde_json::from_slice(&reply)
            .map_err(|error| ClientError::BadReply { request: name, reason: error.to_string() })
    }
}

fn forced(force: bool) -> &'static [(&'static str, &'static str)] {
    if force { &[("force", "true")] } else { &[] }
}

fn of_tribe(tribe: Option<&str>) -> String {
    query(tribe.map(|tribe| ("tribe", tribe)).as_slice())
}

/// How the text of a manifest is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ManifestFormat {
    /// JSON.
    Json,
    /// YAML.
    Yaml,
}

impl ManifestFormat {
    fn content_type(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Yaml => "application/yaml",
        }
    }
}

/// What a task can be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TaskVerb {
    /// Run.
    Start,
    /// Run no more.
    Stop,
    /// After too many failures: may be started again.
    Enable,
}

impl TaskVerb {
    /// The verb as text, as in the path.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Stop => "stop",
            Self::Enable => "enable",
        }
    }
}

#[cfg(test)]
mod tests;
