//! What someone learns: one schema in all languages.

use serde::{Deserialize, Serialize};

/// Something happened in the cluster as this node sees it.
///
/// The same four fields in Rust, C, Python, Go, on the control API and in `snapctl events`. The body's
/// fields depend on the kind and only grow; a reader lets unknown kinds and fields pass.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// Revision of the view that first shows the change. Never falls while the node runs.
    pub rev: u64,
    /// What happened.
    pub kind: EventKind,
    /// The name of the node, tribe or policy it happened to.
    pub subject: String,
    /// Details, a JSON object.
    pub body: serde_json::Value,
}

/// What happened. The text form is kebab-case, as in `member-joined`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum EventKind {
    /// A node is alive. Subject: the node. Body: `id`, `address`.
    MemberJoined,
    /// A node is gone. Subject: the node. Body: `id`, `cause`: `left` or `down`, and later perhaps
    /// `forgotten`.
    MemberLeft,
    /// A node's facts changed. Subject: the node. Body: `set`: name to value, `unset`: names.
    FactChanged,
    /// A node came into a tribe or went out. Subject: the tribe. Body: `node`, `member`: in or out,
    /// `reasons`: why it is in.
    MembershipChanged,
    /// A tribe was created or described anew. Subject: the tribe. Body: `description`.
    TribeCreated,
    /// A tribe was deleted. Subject: the tribe.
    TribeDeleted,
    /// A node was placed by hand. Subject: the tribe. Body: `node`, `placement`.
    PlacementChanged,
    /// A policy was created or replaced. Subject: the policy. Body: `tribe`, `text`, `enabled`.
    PolicyChanged,
    /// A policy was deleted. Subject: the policy.
    PolicyDeleted,
    /// An item was put, or should run or not. Subject: the tribe; empty for an item of this node alone.
    /// Body: `kind`, `name`, `generation`, `running`.
    ItemChanged,
    /// An item was removed. Subject: as for `ItemChanged`. Body: `kind`, `name`.
    ItemRemoved,
    /// A node offers other services or blobs. Subject: the node. Body: `services`: names, `blobs`: how
    /// many. What a node offers is hidden while it is not alive.
    OffersChanged,
    /// This node begins to act for a tribe. Subject: the tribe.
    TribeEntered,
    /// This node stops to act for a tribe, after the hold-down. Subject: the tribe.
    TribeExited,
    /// A write made here lost against a concurrent one. Subject: the record. Body: `lost`, `winner`.
    Conflict,
    /// Two live nodes claim one name. Subject: the name. Body: `ids`, `keeps`.
    NameConflict,
    /// A key opens from now on what is sealed with it. Subject: its fingerprint. Body: `by`: the node where it
    /// was said. So for the two that follow.
    KeyInstalled,
    /// A key seals from now on.
    KeyUsed,
    /// A key opens nothing any more.
    KeyRemoved,
    /// The first full digest sync since start is done. Subject: this node.
    Synced,
    /// This reader was too slow. Subject: empty. Body: `count` of events it missed. Read the view again.
    Missed,
}

impl EventKind {
    /// The kind as text, as in JSON.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::MemberJoined => "member-joined",
            Self::MemberLeft => "member-left",
            Self::FactChanged => "fact-changed",
            Self::MembershipChanged => "membership-changed",
            Self::TribeCreated => "tribe-created",
            Self::TribeDeleted => "tribe-deleted",
            Self::PlacementChanged => "placement-changed",
            Self::PolicyChanged => "policy-changed",
            Self::PolicyDeleted => "policy-deleted",
            Self::ItemChanged => "item-changed",
            Self::ItemRemoved => "item-removed",
            Self::OffersChanged => "offers-changed",
            Self::TribeEntered => "tribe-entered",
            Self::TribeExited => "tribe-exited",
            Self::Conflict => "conflict",
            Self::NameConflict => "name-conflict",
            Self::KeyInstalled => "key-installed",
            Self::KeyUsed => "key-used",
            Self::KeyRemoved => "key-removed",
            Self::Synced => "synced",
            Self::Missed => "missed",
        }
    }
}

impl std::fmt::Display for EventKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.as_str())
    }
}
