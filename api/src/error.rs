//! What every refusal looks like.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The body of every reply that is not a success.
///
/// Status 400: the input is bad. 404: no such tribe, policy, member, plugin or metric. 409: it
/// exists already, or must be forced (`would-move-out`). 422: the plugin cannot be loaded. 502: a
/// plugin failed. 503: tribe mode is off (code `tribe-off`), the node has not met its cluster yet
/// (`not-synced`), or the node or plugin that must do it does not answer. 500: our fault.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ErrorReply {
    /// What went wrong.
    pub error: ErrorBody,
}

/// What went wrong, for programs and for people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ErrorBody {
    /// For programs, in kebab-case: `unknown-tribe`.
    pub code: String,
    /// For people, one line without a final period.
    pub message: String,
    /// More of it, in several lines: a policy with a caret under the mistake.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// What to do about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub help: Option<String>,
}
