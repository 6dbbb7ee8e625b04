//! Items of tribes: plugins and tasks as tribes ask for them, and how each stands on each node.

use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::Plugin;

/// A plugin was loaded on the daemon's node, or a tribe was told to load it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PluginLoaded {
    /// What the plugin is called in commands: after its file.
    pub name: String,
    /// The plugin as it runs on the daemon's node; absent if a tribe was told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plugin: Option<Plugin>,
    /// The tribe that was told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tribe: Option<String>,
    /// Nodes that hold the file, the daemon's among them.
    #[serde(default)]
    pub holders: Vec<String>,
    /// Live members that did not say in time that they hold the change. Empty without `wait`.
    #[serde(default)]
    pub missing: Vec<String>,
    /// What whoever loads it may want to know.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// Load a plugin that lies in the plugin directory of the daemon.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LoadNamed {
    /// The name of its file, or the plugin's own name behind one of the prefixes snap uses.
    pub name: String,
    /// The tribe whose members are to load it; absent: the daemon's node alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tribe: Option<String>,
}

/// A plugin that a tribe asks its members to load.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TribePlugin {
    /// What it is called in commands.
    pub name: String,
    /// The tribe.
    pub tribe: String,
    /// Grows with every change.
    pub generation: u64,
    /// Its files, at most one for each kind of host.
    pub files: Vec<TribePluginFile>,
}

/// One file of a plugin.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TribePluginFile {
    /// The operating system it is for.
    pub os: String,
    /// The processor it is for, or `any`.
    pub arch: String,
    /// SHA-256 of the file, in hexadecimal digits.
    pub sha256: String,
    /// Its size.
    pub bytes: u64,
    /// What it is called where it runs.
    pub file_name: String,
    /// It comes with a signature.
    pub signed: bool,
    /// Live nodes that hold it, as far as the daemon knows.
    #[serde(default)]
    pub holders: Vec<String>,
}

/// A task that a tribe asks its members to run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TribeTask {
    /// Its name.
    pub name: String,
    /// The tribe.
    pub tribe: String,
    /// Grows with every change.
    pub generation: u64,
    /// `running` or `stopped`: what is asked.
    pub desired: String,
    /// Its schedule, in words.
    pub schedule: String,
    /// Live members of the tribe that run snapd.
    pub members: usize,
    /// Those of them that have done what is asked.
    pub applied: usize,
}

/// How an item of a tribe stands on a node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ItemStatus {
    /// `plugin` or `task`.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// The generation of the item that this is about; grows with every change of the item.
    pub generation: u64,
    /// `running` or `stopped`: what is asked.
    pub desired: String,
    /// How it stands: `waiting`, `fetching`, `loading`, `running`, `stopping`, `stopped`, `ended`, `failed`,
    /// `disabled`, `refused` or `conflict`; `unknown` if the node did not say. More may come.
    pub state: String,
    /// All is done that is asked.
    pub applied: bool,
    /// The exact text of what is wrong.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// Since when it stands like this, in milliseconds of Unix time.
    #[serde(default)]
    pub since_ms: u64,
    /// The plugin that runs, as `TYPE:NAME:VERSION`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plugin: Option<String>,
}

/// The query parameters of `GET /v3/offers`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct OfferQuery {
    /// Only what members of this tribe offer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tribe: Option<String>,
    /// Only what this node offers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
}

/// A service that a live member offers to others.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Offer {
    /// The node.
    pub node: String,
    /// The tribes of the node.
    pub tribes: Vec<String>,
    /// The service, as in `publisher/influxdb/25` or `status`.
    pub service: String,
    /// The plugin that the service is, as `TYPE:NAME:VERSION`; absent if it is another service.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plugin: Option<String>,
}
