//! What happens, as it is told on `GET /v3/events`.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

/// Something happened in the cluster as the daemon's node sees it.
///
/// On the wire a server-sent event: `event:` is the kind, `data:` is this object as JSON. The kind is
/// text, for a newer daemon may have kinds that this client does not know.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Event {
    /// When the daemon told it to this reader, by its clock, in UTC as in RFC 3339: the moment its
    /// node heard of it, unless the reader is slow.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub time: String,
    /// Revision of the view that first shows the change. Never falls while the daemon runs.
    pub rev: u64,
    /// What happened, in kebab-case: `member-joined`.
    pub kind: String,
    /// The name of the node, tribe or policy it happened to.
    pub subject: String,
    /// Details, an object whose fields depend on the kind.
    #[serde(default)]
    pub body: Value,
}
