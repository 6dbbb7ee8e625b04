//! A running node.

use std::{
    collections::BTreeMap, net::SocketAddr, os::fd::IntoRawFd as _, path::PathBuf, sync::Arc,
};

use pyo3::{prelude::*, pybacked::PyBackedStr, types::PyDict};
use tribe::{
    ClusterName, CommandError, Config, KeyId, Member, OfferQuery, PluginPattern, PolicyOptions,
    ServicePattern, Tribe, View,
};

use crate::{
    call::{Owned, Runtime, guard, seconds, wait, within},
    error::Error,
    events::{EventFeed, Events, parse_kinds},
    fact,
    key::{self, Given},
    policy::{self, Explained},
    services::{self, Pending, Service, Stream},
    view,
};

/// A running node of a cluster.
#[pyclass(frozen, module = "tribe._tribe")]
pub(crate) struct Node {
    running: Owned<Running>,
}

/// The order of the fields matters: the runtime goes last.
struct Running {
    node: tribe::Node,
    runtime: Arc<Runtime>,
}

/// A record that was written, to be waited for.
#[pyclass(frozen, module = "tribe")]
pub(crate) struct Written {
    written: tribe::Written,
}

/// A key: fingerprint, phase, held by this node.
type KeyRow = (String, &'static str, bool);
/// A member: name, alive, the keys it holds if it has said so.
type KeyHolder = (String, bool, Option<Vec<String>>);

/// What a node is started with, by the names of `tribe.Node`'s arguments.
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
struct Options<'py> {
    name: PyBackedStr,
    bind: PyBackedStr,
    advertise: Option<PyBackedStr>,
    seeds: Vec<String>,
    key: Option<Given<'py>>,
    key_file: Option<PathBuf>,
    plaintext: bool,
    cluster: PyBackedStr,
    data_dir: Option<PathBuf>,
    facts: Bound<'py, PyDict>,
    collect_facts: bool,
    hold_down: f64,
    version: Option<String>,
}

#[pymethods]
impl Node {
    #[staticmethod]
    fn start(py: Python<'_>, options: Options<'_>) -> PyResult<Self> {
        let config = options.config()?;
        let runtime = Arc::new(Runtime::new().map_err(Error::from)?);
        let node = wait(py, &runtime, tribe::Node::start(config))?;
        Ok(Self { running: Owned::new(Running { node, runtime }) })
    }

    fn name(&self) -> PyResult<String> {
        self.look(|node| node.name().to_string())
    }

    fn id(&self) -> PyResult<String> {
        self.look(|node| node.id().to_string())
    }

    fn address(&self) -> PyResult<String> {
        self.look(|node| node.address().to_string())
    }

    fn rev(&self) -> PyResult<u64> {
        Ok(self.view()?.rev)
    }

    fn synced(&self) -> PyResult<bool> {
        Ok(self.view()?.synced)
    }

    fn counters(&self) -> PyResult<BTreeMap<String, u64>> {
        self.look(tribe::Node::counters)
    }

    fn metrics<'py>(&self, py: Python<'py>) -> PyResult<Objects<'py>> {
        let metrics = self.look(tribe::Node::metrics)?;
        metrics.iter().map(|metric| view::metric(py, metric)).collect()
    }

    fn members<'py>(&self, py: Python<'py>, tribe: Option<&str>) -> PyResult<Objects<'py>> {
        let view = self.view()?;
        let Some(tribe) = tribe else {
            return view.members.values().map(|member| view::member(py, member)).collect();
        };
        let of_tribe = find_tribe(&view, tribe)?.members.iter();
        let members = of_tribe.filter_map(|member| view.members.get(&member.id));
        members.map(|member| view::member(py, member)).collect()
    }

    fn member<'py>(&self, py: Python<'py>, name: &str) -> PyResult<Bound<'py, PyAny>> {
        view::member(py, find_member(&*self.view()?, name)?)
    }

    fn facts<'py>(&self, py: Python<'py>, node: Option<&str>) -> PyResult<Bound<'py, PyDict>> {
        let view = self.view()?;
        let member = match node {
            Some(name) => find_member(&view, name)?,
            None => self.me(&view)?,
        };
        fact::to_dict(py, &member.facts)
    }

    fn tribes<'py>(&self, py: Python<'py>, node: Option<&str>) -> PyResult<Objects<'py>> {
        let view = self.view()?;
        let Some(name) = node else {
            return view.tribes.values().map(|tribe| view::tribe(py, tribe)).collect();
        };
        let of_node = find_member(&view, name)?.tribes.iter();
        let tribes = of_node.filter_map(|tribe| view.tribes.get(tribe));
        tribes.map(|tribe| view::tribe(py, tribe)).collect()
    }

    fn tribe<'py>(&self, py: Python<'py>, name: &str) -> PyResult<Bound<'py, PyAny>> {
        view::tribe(py, find_tribe(&*self.view()?, name)?)
    }

    fn policies<'py>(&self, py: Python<'py>) -> PyResult<Objects<'py>> {
        self.view()?.policies.values().map(|policy| view::policy(py, policy)).collect()
    }

    fn acting<'py>(&self, py: Python<'py>) -> PyResult<Objects<'py>> {
        view::acting(py, &*self.view()?)
    }

    /// The policy's tribe, and what it makes of the node.
    fn explain_policy(&self, policy: &str, node: &str) -> PyResult<(String, Option<Explained>)> {
        let view = self.view()?;
        let info = view.known_policy(policy).map_err(Error::from)?;
        let facts = &find_member(&view, node)?.facts;
        let explained = info.policy.as_ref().map(|policy| policy::explain(policy, facts));
        Ok((info.tribe.to_string(), explained.transpose()?))
    }

    fn forget_member(&self, py: Python<'_>, node: &str) -> PyResult<Written> {
        self.write(py, |this| this.forget_member(node))
    }

    /// Keys (id, phase, held by this node), and members (name, alive, keys or none).
    fn keys(&self, py: Python<'_>) -> PyResult<(Vec<KeyRow>, Vec<KeyHolder>)> {
        let status = self.call(py, tribe::Node::keys)?;
        let keys = status.keys.iter();
        let keys = keys.map(|key| (key.id.to_string(), key.phase.as_str(), key.held));
        let texts = |ids: Vec<KeyId>| ids.iter().map(ToString::to_string).collect();
        let members = status.members.into_iter();
        let members = members.map(|of| (of.name.to_string(), of.alive, of.keys.map(texts)));
        Ok((keys.collect(), members.collect()))
    }

    #[expect(clippy::needless_pass_by_value, reason = "so it is read from Python")]
    fn install_key(&self, py: Python<'_>, key: Given<'_>) -> PyResult<Written> {
        let key = key::one(&key)?;
        self.write(py, |node| node.install_key(key))
    }

    fn use_key(&self, py: Python<'_>, key: &str, force: bool) -> PyResult<Written> {
        let key = key::fingerprint(key)?;
        self.write(py, |node| node.use_key(key, force))
    }

    fn remove_key(&self, py: Python<'_>, key: &str, force: bool) -> PyResult<Written> {
        let key = key::fingerprint(key)?;
        self.write(py, |node| node.remove_key(key, force))
    }

    fn rotate_key(&self, py: Python<'_>, force: bool) -> PyResult<String> {
        Ok(self.call(py, |node| node.rotate_key(force))?.to_string())
    }

    fn create_tribe(&self, py: Python<'_>, tribe: &str, description: &str) -> PyResult<Written> {
        self.write(py, |node| node.create_tribe(tribe, description))
    }

    fn describe_tribe(&self, py: Python<'_>, tribe: &str, description: &str) -> PyResult<Written> {
        self.write(py, |node| node.describe_tribe(tribe, description))
    }

    fn delete_tribe(&self, py: Python<'_>, tribe: &str) -> PyResult<Written> {
        self.write(py, |node| node.delete_tribe(tribe))
    }

    fn join_tribe(&self, py: Python<'_>, tribe: &str, node: Option<&str>) -> PyResult<Written> {
        self.write(py, |this| this.join_tribe(tribe, node))
    }

    fn leave_tribe(&self, py: Python<'_>, tribe: &str, node: Option<&str>) -> PyResult<Written> {
        self.write(py, |this| this.leave_tribe(tribe, node))
    }

    fn auto_tribe(&self, py: Python<'_>, tribe: &str, node: Option<&str>) -> PyResult<Written> {
        self.write(py, |this| this.auto_tribe(tribe, node))
    }

    /// What was written, whether the tribe was created with it, and warnings.
    fn create_policy(
        &self,
        py: Python<'_>,
        policy: &str,
        text: &str,
        tribe: &str,
        replace: bool,
        enabled: Option<bool>,
    ) -> PyResult<(Written, bool, Vec<String>)> {
        let options = PolicyOptions { replace, enabled };
        let created = self.call(py, |node| node.put_policy(policy, text, tribe, options))?;
        let warnings = created.warnings.iter().map(ToString::to_string).collect();
        Ok((Written { written: created.written }, created.tribe_created, warnings))
    }

    fn delete_policy(&self, py: Python<'_>, policy: &str) -> PyResult<Written> {
        self.write(py, |node| node.delete_policy(policy))
    }

    fn enable_policy(&self, py: Python<'_>, policy: &str, enabled: bool) -> PyResult<Written> {
        self.write(py, |node| node.enable_policy(policy, enabled))
    }

    fn set_facts(
        &self,
        py: Python<'_>,
        change: &Bound<'_, PyDict>,
        unset: Vec<String>,
        node: Option<&str>,
    ) -> PyResult<Written> {
        let set = fact::settable(change)?;
        self.write(py, |this| this.set_facts(node, set, unset))
    }

    fn refresh_facts(&self, py: Python<'_>) -> PyResult<()> {
        self.call(py, tribe::Node::refresh_facts)
    }

    /// The names of live members that did not say in time that they hold what was written.
    fn wait(&self, py: Python<'_>, written: &Written, timeout: f64) -> PyResult<Vec<String>> {
        let timeout = seconds(timeout)?;
        let missing = self.call(py, |node| node.wait(&written.written, timeout))?;
        Ok(missing.into_iter().map(Into::into).collect())
    }

    fn wait_synced(&self, py: Python<'_>, timeout: Option<f64>) -> PyResult<()> {
        let timeout = timeout.map(seconds).transpose()?;
        self.call(py, |node| within(timeout, "the first sync", synced(node)))
    }

    fn events(&self, kinds: Vec<String>) -> PyResult<Events> {
        let kinds = parse_kinds(kinds)?;
        let events = self.look(tribe::Node::events)?;
        Ok(Events::new(events, kinds, Arc::clone(&self.running.get()?.runtime)))
    }

    fn event_feed(&self, kinds: Vec<String>) -> PyResult<EventFeed> {
        let kinds = parse_kinds(kinds)?;
        let events = self.look(tribe::Node::events)?;
        Ok(EventFeed::start(events, kinds, &self.running.get()?.runtime)?)
    }

    fn serve(
        &self,
        py: Python<'_>,
        name: &str,
        tribes: Option<Vec<String>>,
        most: usize,
        hidden: bool,
    ) -> PyResult<Service> {
        let options = services::options(tribes, most, hidden)?;
        let runtime = &self.running.get()?.runtime;
        self.call(py, |node| Service::serve(node, name, options, runtime))
    }

    fn dial(
        &self,
        py: Python<'_>,
        service: &str,
        tribe: Option<&str>,
        node: Option<&str>,
        timeout: Option<f64>,
    ) -> PyResult<Stream> {
        let target = services::target(tribe, node)?;
        let timeout = timeout.map(seconds).transpose()?;
        let dialled = self.call(py, |this| services::dial(this, target, service, timeout))?;
        Ok((dialled.0.into_raw_fd(), dialled.1))
    }

    fn start_dial(
        &self,
        service: String,
        tribe: Option<&str>,
        node: Option<&str>,
        timeout: Option<f64>,
    ) -> PyResult<Pending> {
        let target = services::target(tribe, node)?;
        let timeout = timeout.map(seconds).transpose()?;
        self.begin(async move |this| {
            services::dial(&this, target, &service, timeout).await.map(Some)
        })
    }

    fn start_wait_synced(&self, timeout: Option<f64>) -> PyResult<Pending> {
        let timeout = timeout.map(seconds).transpose()?;
        self.begin(async move |this| {
            within(timeout, "the first sync", synced(&this)).await.map(|()| None)
        })
    }

    fn offers<'py>(
        &self,
        py: Python<'py>,
        tribe: Option<String>,
        node: Option<String>,
        service: Option<&str>,
        plugin: Option<&str>,
    ) -> PyResult<Objects<'py>> {
        let service = service.map(ServicePattern::parse).transpose().map_err(Error::from)?;
        let plugin = plugin.map(PluginPattern::parse).transpose().map_err(Error::from)?;
        let query = OfferQuery { tribe, node, service, plugin };
        let offers = self.view()?.offers(&query).map_err(Error::from)?;
        offers.iter().map(|offer| view::offer(py, offer)).collect()
    }

    fn leave(&self, py: Python<'_>) -> PyResult<()> {
        self.call(py, tribe::Node::leave)
    }

    fn stop(&self, py: Python<'_>) -> PyResult<()> {
        self.call(py, async |node| {
            node.stop().await;
            Ok::<_, Error>(())
        })
    }
}

/// Data classes of one kind.
type Objects<'py> = Vec<Bound<'py, PyAny>>;

impl Node {
    /// Reads something that takes no time.
    fn look<T>(&self, read: impl FnOnce(&tribe::Node) -> T) -> PyResult<T> {
        let node = &self.running.get()?.node;
        Ok(guard(|| read(node))?)
    }

    fn view(&self) -> PyResult<Arc<View>> {
        self.look(tribe::Node::view)
    }

    /// Waits for a command.
    fn call<'a, T, E, F>(
        &'a self,
        py: Python<'_>,
        command: impl FnOnce(&'a tribe::Node) -> F,
    ) -> PyResult<T>
    where
        T: Send,
        E: Into<Error> + Send,
        F: Future<Output = Result<T, E>> + Send,
    {
        let running = self.running.get()?;
        wait(py, &running.runtime, command(&running.node))
    }

    /// Begins something that an event loop waits for.
    fn begin<F>(&self, work: impl FnOnce(tribe::Node) -> F) -> PyResult<Pending>
    where
        F: Future<Output = Result<Option<services::Socket>, Error>> + Send + 'static,
    {
        let running = self.running.get()?;
        Ok(Pending::start(&running.runtime, work(running.node.clone()))?)
    }

    /// Waits for a command that writes one record.
    fn write<'a, F>(
        &'a self,
        py: Python<'_>,
        command: impl FnOnce(&'a tribe::Node) -> F,
    ) -> PyResult<Written>
    where
        F: Future<Output = Result<tribe::Written, CommandError>> + Send,
    {
        Ok(Written { written: self.call(py, command)? })
    }

    fn me<'a>(&self, view: &'a View) -> PyResult<&'a Member> {
        let (id, name) = self.look(|node| (node.id(), node.name().to_string()))?;
        let unknown = || CommandError::UnknownNode { name, near: None };
        Ok(view.members.get(&id).ok_or_else(unknown).map_err(Error::from)?)
    }
}

impl Options<'_> {
    fn config(&self) -> PyResult<Config> {
        let keyring = key::keyring(self.key.as_ref(), self.key_file.as_deref(), self.plaintext)?;
        let mut config = Config::new(&self.name, keyring).map_err(Error::from)?;
        config.cluster = ClusterName::parse(&self.cluster).map_err(Error::from)?;
        config.bind = address(&self.bind)?;
        config.advertise = self.advertise.as_deref().map(address).transpose()?;
        config.seeds.clone_from(&self.seeds);
        config.facts = fact::at_start(&self.facts)?;
        config.collect_facts = self.collect_facts;
        config.data_dir.clone_from(&self.data_dir);
        config.hold_down = seconds(self.hold_down)?;
        if let Some(version) = &self.version {
            config.version.clone_from(version);
        }
        Ok(config)
    }
}

fn address(text: &str) -> Result<SocketAddr, Error> {
    text.parse().map_err(|_| Error::Argument(format!("`{text}` is not an address as `IP:PORT`")))
}

fn find_member<'a>(view: &'a View, name: &str) -> Result<&'a Member, Error> {
    Ok(view.known_member(name)?)
}

fn find_tribe<'a>(view: &'a View, name: &str) -> Result<&'a Tribe, Error> {
    Ok(view.known_tribe(name)?)
}

/// Subscribes before it looks, so that the event cannot slip in between.
async fn synced(node: &tribe::Node) -> Result<(), CommandError> {
    let mut events = node.events();
    while !node.view().synced {
        if events.next().await.is_none() {
            return Err(CommandError::Closed);
        }
    }
    Ok(())
}
