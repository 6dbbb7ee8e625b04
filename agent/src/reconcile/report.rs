//! How each item stands on this node: what operators are shown, here and from afar.

use std::time::{SystemTime, UNIX_EPOCH};

use tribe_api::ItemStatus;

use super::desired::{ItemKey, Wish};
use crate::plugin::Identity;

/// How one item stands.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Entry {
    /// The generation of the item that this is about.
    pub(crate) generation: u64,
    /// Should it run?
    pub(crate) wanted: bool,
    pub(crate) state: State,
    /// The exact text of what is wrong.
    pub(crate) detail: Option<String>,
    pub(crate) since: SystemTime,
    /// The plugin that runs.
    pub(crate) plugin: Option<Identity>,
}

/// How an item stands, from not begun to done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    /// Not begun.
    Waiting,
    /// Its file has to come from another node.
    Fetching,
    /// It is fetched or started.
    Loading,
    /// It runs.
    Running,
    /// It is being ended.
    Stopping,
    /// It does not run, and should not.
    Stopped,
    /// A task that has run as often, or as long, as it was to.
    Ended,
    /// It fails, and is tried again.
    Failed,
    /// A task that failed so often that it waits for someone to enable it.
    Disabled,
    /// This node does not do it: its operator says so.
    Refused,
    /// Another version runs.
    Conflict,
}

impl State {
    /// The state as text.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Fetching => "fetching",
            Self::Loading => "loading",
            Self::Running => "running",
            Self::Stopping => "stopping",
            Self::Stopped => "stopped",
            Self::Ended => "ended",
            Self::Failed => "failed",
            Self::Disabled => "disabled",
            Self::Refused => "refused",
            Self::Conflict => "conflict",
        }
    }
}

impl Entry {
    /// An item that stands like this since now.
    pub(crate) fn new(wish: &Wish, state: State, detail: Option<String>) -> Self {
        Self {
            generation: wish.generation,
            wanted: wish.running,
            state,
            detail,
            since: SystemTime::now(),
            plugin: None,
        }
    }

    /// Is all done that was asked?
    pub(crate) fn is_applied(&self) -> bool {
        match self.state {
            State::Running | State::Ended => self.wanted,
            State::Stopped => !self.wanted,
            _ => false,
        }
    }

    /// Does it need someone?
    pub(crate) fn is_failure(&self) -> bool {
        matches!(self.state, State::Failed | State::Disabled | State::Refused | State::Conflict)
    }

    /// This entry, since the time of one that says the same.
    pub(crate) fn since_of(self, before: Option<&Self>) -> Self {
        match before {
            Some(before) if before.state == self.state && before.detail == self.detail => {
                Self { since: before.since, ..self }
            }
            _ => self,
        }
    }

    /// The entry as others are told.
    pub(crate) fn to_api(&self, key: &ItemKey) -> ItemStatus {
        let since = self.since.duration_since(UNIX_EPOCH).unwrap_or_default();
        ItemStatus {
            kind: key.kind.as_str().to_owned(),
            name: key.name.to_string(),
            generation: self.generation,
            desired: if self.wanted { "running" } else { "stopped" }.to_owned(),
            state: self.state.as_str().to_owned(),
            applied: self.is_applied(),
            detail: self.detail.clone(),
            since_ms: u64::try_from(since.as_millis()).unwrap_or_default(),
            plugin: self.plugin.as_ref().map(Identity::to_string),
        }
    }
}
