//! What a node is started with.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use crate::{ClusterName, Facts, Keyring, NameError, NodeName, limits};

/// What a node is started with. Only the name and the keyring have no default.
#[derive(Debug, Clone)]
pub struct Config {
    /// The node's name, unique in the cluster.
    pub name: NodeName,
    /// Keys that seal and open everything the cluster says.
    pub keyring: Keyring,
    /// The cluster. Default `default`.
    pub cluster: ClusterName,
    /// Open no socket: a cluster of one node, for a host that is to keep what is asked of it before it
    /// meets others. Default no.
    pub alone: bool,
    /// Where to listen, UDP and TCP alike. Port 0 takes any free one. Default `0.0.0.0:6000`.
    pub bind: SocketAddr,
    /// Where others reach this node. Default: the bound address, or the address of the default route if
    /// all addresses are bound.
    pub advertise: Option<SocketAddr>,
    /// `HOST:PORT` of nodes to meet the cluster through. Resolved again at every try; tried for ever.
    pub seeds: Vec<String>,
    /// Facts given at start.
    pub facts: Facts,
    /// Collect the facts of this host. Default yes.
    pub collect_facts: bool,
    /// A directory of files with facts of this host, read again each minute: `*.json`, `*.yaml`, `*.txt`
    /// with `key=value`, and programs that print such. They cover each other in the order of their
    /// names, and are covered by all other facts. It need not exist. Default: none.
    pub facts_dir: Option<PathBuf>,
    /// Where id, keyring, records and known members are kept. Without one the node is ephemeral: a new
    /// id at each start.
    pub data_dir: Option<PathBuf>,
    /// What blobs may take in the data directory, in bytes. Default 10 GiB.
    pub blob_quota: u64,
    /// How long this node goes on acting for a tribe it fell out of by policy. Default 10 s.
    pub hold_down: Duration,
    /// Name and version of the embedding software, shown to others. Default `tribe/VERSION`.
    pub version: String,
}

impl Config {
    /// A node of this name with this keyring, all else by default.
    ///
    /// # Errors
    /// [`NameError`] if the name is not a node name.
    pub fn new(name: &str, keyring: Keyring) -> Result<Self, NameError> {
        Ok(Self {
            name: NodeName::parse(name)?,
            keyring,
            cluster: ClusterName::parse("default")?,
            alone: false,
            bind: SocketAddr::from(([0, 0, 0, 0], 6000)),
            advertise: None,
            seeds: Vec::new(),
            facts: Facts::new(),
            collect_facts: true,
            facts_dir: None,
            data_dir: None,
            blob_quota: limits::BLOB_QUOTA_BYTES,
            hold_down: Duration::from_secs(10),
            version: concat!("tribe/", env!("CARGO_PKG_VERSION")).to_owned(),
        })
    }
}
