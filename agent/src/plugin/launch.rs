//! What it takes to start a plugin, whichever it is.

use std::time::Duration;

use super::{limits::Limits, tls::Tls, told::PluginConfigs, trust::Trust};

/// How plugins are started on this node.
#[derive(Debug)]
pub(super) struct Launch {
    pub(super) configs: PluginConfigs,
    /// How long a plugin may take to start.
    pub(super) load_time: Duration,
    /// How many instances of one plugin may run.
    pub(super) max_running: usize,
    /// What one instance may use.
    pub(super) limits: Limits,
    /// Whose plugins are started.
    pub(super) trust: Trust,
    /// How connections are sealed, if they are.
    pub(super) tls: Option<Tls>,
}
