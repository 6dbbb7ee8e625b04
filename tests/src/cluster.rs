//! Several nodes with one key.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    net::SocketAddr,
    ops::{Index, IndexMut},
    path::{Path, PathBuf},
    time::Duration,
};

use tempfile::TempDir;

use crate::{
    address::free_address,
    binaries::binary,
    network::Network,
    node::Node,
    process::{Ran, command},
    wait::{wait_equal, wait_until},
};

/// How many nodes are the seeds of all.
const SEEDS: usize = 2;
/// Where a node that has a host to itself is reached.
const PORT: u16 = 6000;

/// Tribes by name, and the names of their members.
pub type Tribes = BTreeMap<String, BTreeSet<String>>;

/// Several `snapd` with one key file, in one temporary directory. Dropped, all of it is gone.
#[derive(Debug)]
pub struct Cluster {
    nodes: Vec<Node>,
    key: PathBuf,
    // Last, for the nodes are dropped first.
    dir: TempDir,
}

impl Cluster {
    /// A cluster without nodes.
    ///
    /// # Panics
    /// If no key can be made.
    #[must_use]
    pub fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let key = dir.path().join("key");
        make_key(&key);
        Self { nodes: Vec::new(), key, dir }
    }

    /// A cluster of these nodes with these options, all of which have met. The first two are the seeds.
    #[must_use]
    pub fn start(nodes: &[(&str, &[&str])]) -> Self {
        let mut cluster = Self::new();
        for (name, options) in nodes {
            cluster.add(name, options);
        }
        let names: Vec<&str> = nodes.iter().map(|(name, _)| *name).collect();
        cluster.run(&names);
        cluster.wait_until_met();
        cluster
    }

    /// A cluster of these nodes with these options, each on the host of its name, all of which have met.
    /// The first two are the seeds. It is dropped before the network is.
    #[must_use]
    pub fn start_on(network: &Network, nodes: &[(&str, &[&str])]) -> Self {
        let mut cluster = Self::new();
        for (name, options) in nodes {
            cluster.add_on(network, name, options);
        }
        let names: Vec<&str> = nodes.iter().map(|(name, _)| *name).collect();
        cluster.run(&names);
        cluster.wait_until_met();
        cluster
    }

    /// The cluster of the RFC: i1 to i4, of which i2 has the fact `storage_tier=True`.
    #[must_use]
    pub fn of_the_rfc() -> Self {
        Self::start(&[
            ("i1", &[]),
            ("i2", &["--fact", "storage_tier=True"]),
            ("i3", &[]),
            ("i4", &[]),
        ])
    }

    /// Plans a node. It does not run yet.
    pub fn add(&mut self, name: &str, options: &[&str]) {
        let key = self.key.clone();
        self.plan(name, Some(&key), options);
    }

    /// Plans a node on the host of its name. It does not run yet.
    pub fn add_on(&mut self, network: &Network, name: &str, options: &[&str]) {
        let address = SocketAddr::new(network.ip(name).into(), PORT);
        let mut node = Node::new(name, address, self.dir.path(), Some(&self.key), options);
        node.place = network.place(name);
        self.nodes.push(node);
    }

    /// Plans a node that does not encrypt. It meets only its like.
    pub fn add_without_key(&mut self, name: &str, options: &[&str]) {
        self.plan(name, None, options);
    }

    /// Plans a node with a key of its own.
    pub fn add_with_key(&mut self, name: &str, key: &Path, options: &[&str]) {
        self.plan(name, Some(key), options);
    }

    fn plan(&mut self, name: &str, key: Option<&Path>, options: &[&str]) {
        self.nodes.push(Node::new(name, free_address(), self.dir.path(), key, options));
    }

    /// Starts these nodes at the same time and waits until all answer.
    ///
    /// # Panics
    /// If one of them does not.
    pub fn run(&mut self, names: &[&str]) {
        let seeds = self.seeds();
        for name in names {
            let node = &mut self[name];
            node.seeds = seeds.iter().copied().filter(|seed| *seed != node.address()).collect();
            node.spawn();
        }
        for name in names {
            self[name].wait_until_ready();
        }
    }

    /// Ends all nodes as a power cut would.
    pub fn kill_all(&mut self) {
        for node in &mut self.nodes {
            node.kill();
        }
    }

    /// The addresses of the first two nodes.
    #[must_use]
    pub fn seeds(&self) -> Vec<SocketAddr> {
        self.nodes.iter().take(SEEDS).map(Node::address).collect()
    }

    /// The addresses of all nodes.
    #[must_use]
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.nodes.iter().map(Node::address).collect()
    }

    /// The key file.
    #[must_use]
    pub fn key(&self) -> &Path {
        &self.key
    }

    /// Where the files of the cluster are.
    #[must_use]
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// The nodes that run.
    pub fn running(&self) -> impl Iterator<Item = &Node> {
        self.nodes.iter().filter(|node| node.is_running())
    }

    /// Waits until every running node sees exactly the running nodes alive, and has all they know.
    pub fn wait_until_met(&self) -> Duration {
        let names: BTreeSet<String> = self.running().map(|node| node.name.clone()).collect();
        self.wait_until_alive(&names)
    }

    /// Waits until every running node sees exactly these alive, and has all they know.
    pub fn wait_until_alive(&self, names: &BTreeSet<String>) -> Duration {
        let met = |node: &Node| node.info().synced && node.alive() == *names;
        wait_until("the nodes meet", || self.running().all(met))
    }

    /// Waits until these are the tribes and their members in the view of every running node.
    pub fn wait_for_tribes(&self, tribes: &[(&str, &[&str])]) -> Duration {
        let expected: Tribes = tribes
            .iter()
            .map(|(tribe, members)| {
                ((*tribe).to_owned(), members.iter().map(|&member| member.to_owned()).collect())
            })
            .collect();
        let views = |tribes: &dyn Fn(&Node) -> Tribes| -> BTreeMap<String, Tribes> {
            self.running().map(|node| (node.name.clone(), tribes(node))).collect()
        };
        let all = views(&|_| expected.clone());
        wait_equal("the tribes in all views", &all, || views(&|node| node.tribes()))
    }
}

impl Default for Cluster {
    fn default() -> Self {
        Self::new()
    }
}

impl Index<&str> for Cluster {
    type Output = Node;

    fn index(&self, name: &str) -> &Node {
        self.nodes.iter().find(|node| node.name == name).expect("a node of that name")
    }
}

impl IndexMut<&str> for Cluster {
    fn index_mut(&mut self, name: &str) -> &mut Node {
        self.nodes.iter_mut().find(|node| node.name == name).expect("a node of that name")
    }
}

/// Makes a key file as a person does. Its fingerprint.
pub(crate) fn make_key(path: &Path) -> String {
    let ran = Ran::new(command(&binary("snapd")).args(["keygen", "--out"]).arg(path));
    let said = ran.stderr.clone();
    ran.done();
    assert!(fs::metadata(path).unwrap().len() > 0);
    said.split(' ').nth(1).unwrap().to_owned()
}
