//! The plugins of the daemon's node.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};

/// The query parameters of `POST /v3/plugins`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct LoadQuery {
    /// The name of the file, without directories.
    pub file: String,
    /// The tribe whose members are to load it; absent: the daemon's node alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tribe: Option<String>,
}

/// The header of `POST /v3/plugins` that carries the armored signature of the file, in base64.
pub const SIGNATURE_HEADER: &str = "x-plugin-signature";

/// One loaded plugin.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Plugin {
    /// `collector`, `streaming-collector`, `processor` or `publisher`.
    #[serde(rename = "type")]
    pub plugin_type: String,
    /// Its name.
    pub name: String,
    /// Its version, from 1.
    pub version: i64,
    /// Is it running?
    pub state: PluginState,
    /// The number of its process; absent while it is not running.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pid: Option<i32>,
    /// How often it was started again since it was loaded.
    #[serde(default)]
    pub restarts: u64,
    /// When it was loaded, in milliseconds of Unix time.
    #[serde(default)]
    pub loaded_ms: u64,
    /// Told when it was unloaded for the daemon's node alone: a tribe for which it stays loaded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kept_for: Option<String>,
}

impl Plugin {
    /// How it is named in commands: `collector:psutil:14`.
    #[must_use]
    pub fn id(&self) -> String {
        format!("{}:{}:{}", self.plugin_type, self.name, self.version)
    }
}

/// Is a plugin running?
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum PluginState {
    /// It is.
    Running,
    /// It ended, and is to be started again.
    Restarting,
}

impl PluginState {
    /// The state as text, as in JSON.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Restarting => "restarting",
        }
    }
}

/// One loaded plugin with all that is known of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct PluginDetail {
    /// The plugin.
    pub plugin: Plugin,
    /// Where its file lies on the node.
    pub file: String,
    /// SHA-256 of its file, in hexadecimal digits.
    pub sha256: String,
    /// Who signed it; absent if nobody did, or if the node does not ask.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signed_by: Option<String>,
    /// Why it had to be started again the last time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
    /// What it takes as its configuration.
    #[serde(default)]
    pub config: Vec<ConfigRule>,
    /// The namespaces of the metrics it can collect.
    #[serde(default)]
    pub metrics: Vec<String>,
}

/// What a plugin takes under one key of its configuration.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ConfigRule {
    /// The key.
    pub key: String,
    /// The beginning of the namespaces it is for, or `/` for all.
    pub namespace: String,
    /// `bool`, `integer`, `float` or `string`.
    #[serde(rename = "type")]
    pub value_type: String,
    /// It must be given.
    pub required: bool,
    /// What it is if it is not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default: Option<Value>,
    /// The smallest number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub minimum: Option<Value>,
    /// The largest number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub maximum: Option<Value>,
}
