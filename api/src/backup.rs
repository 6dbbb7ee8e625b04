//! What people said, to keep and to say again.

use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::Placement;

/// The query parameters of `GET /v3/backup`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct BackupQuery {
    /// Even if the node has not met its cluster since it was started, and may know a part only.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub force: bool,
}

/// What a [`Backup`] says of itself in `format`.
pub const BACKUP_FORMAT: &str = "tribe-backup";
/// The version of [`Backup`] that this build writes, and the newest it reads.
pub const BACKUP_VERSION: u32 = 1;

/// All that people said of a cluster, and of one node alone, as that node knows it. It has no keys,
/// no secrets, no facts, and no files of plugins.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Backup {
    /// `tribe-backup`.
    pub format: String,
    /// The version of this document.
    pub version: u32,
    /// The node it was made on.
    pub node: String,
    /// In an order in which it can be said again.
    pub entries: Vec<BackupEntry>,
}

/// One thing that people said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "what", rename_all = "kebab-case")]
pub enum BackupEntry {
    /// There is a tribe.
    Tribe {
        /// Its name.
        name: String,
        /// What it is for.
        description: String,
    },
    /// There is a policy.
    Policy {
        /// Its name.
        name: String,
        /// The tribe it places nodes in.
        tribe: String,
        /// Its text.
        text: String,
        /// Only an enabled policy places nodes.
        enabled: bool,
    },
    /// A node is placed by hand.
    Placement {
        /// The tribe.
        tribe: String,
        /// The node, which need not exist.
        node: String,
        /// In or out.
        placement: Placement,
    },
    /// The nodes of a tribe, or one node alone, have something.
    Item {
        /// The tribe; absent for an item of the node alone.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        tribe: Option<String>,
        /// Its kind, such as `plugin` or `task`.
        kind: String,
        /// Its name.
        name: String,
        /// It should run.
        running: bool,
        /// What it is.
        document: BackupDocument,
    },
}

/// The document of an item.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum BackupDocument {
    /// As it is.
    Text(String),
    /// Bytes that are no text.
    Base64(String),
}

/// Say one thing again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Restore {
    /// What.
    pub entry: BackupEntry,
    /// What is there and differs is replaced.
    #[serde(default)]
    pub replace: bool,
    /// It may move many members out of a tribe, and be said on a node that has not met its cluster
    /// since it was started, over what others said.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub force: bool,
    /// Nothing is changed: what would be?
    #[serde(default)]
    pub dry_run: bool,
}

/// What became of one thing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Restored {
    /// What was done, or with `dry_run` would be.
    pub outcome: RestoreOutcome,
    /// Something to know.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// With `dry_run`: it would be refused for this reason, unless its tribe is created before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub no_tribe: Option<String>,
}

/// What was done about one thing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum RestoreOutcome {
    /// It was missing, and is there now.
    Created,
    /// It was there as it is.
    Same,
    /// It was another, and is now this.
    Replaced,
    /// It is another, and stays so.
    Differs,
}
