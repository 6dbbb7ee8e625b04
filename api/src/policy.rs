//! Policies: which nodes a tribe takes by itself.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};

/// One policy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Policy {
    /// Its name, unique in the cluster.
    pub name: String,
    /// The tribe it places nodes in.
    pub tribe: String,
    /// Its text, as in `{{os_dist}} == Ubuntu`.
    pub text: String,
    /// Only an enabled policy places nodes.
    pub enabled: bool,
    /// The daemon understands it. If not, it matches nothing there.
    pub understood: bool,
}

/// The query parameters of `GET /v3/policies`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct PolicyQuery {
    /// Only the policies of this tribe.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tribe: Option<String>,
}

/// Create a policy; its tribe is created if there is none of that name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CreatePolicy {
    /// Its name.
    pub name: String,
    /// Its text.
    pub text: String,
    /// The tribe it places nodes in.
    pub tribe: String,
    /// It may replace a policy of this name that has another text or tribe.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub replace: bool,
    /// Is it enabled from the start? Absent: one that is there stays as it is, a new one is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
    /// What may be a mistake in its text refuses it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub strict: bool,
    /// It may move many members out of a tribe.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub force: bool,
}

/// The policy is written.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PolicyCreated {
    /// As in [`Changed`](crate::Changed).
    #[serde(default)]
    pub missing: Vec<String>,
    /// Is it enabled? One that is replaced is what it was, unless that was said. Absent from older
    /// snapds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
    /// The tribe did not exist and was created with it.
    #[serde(default)]
    pub tribe_created: bool,
    /// A tribe that was there before and is called nearly like the one that was created.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tribe_near: Option<String>,
    /// What may be a mistake in its text.
    #[serde(default)]
    pub warnings: Vec<String>,
}

/// Switch a policy on or off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PolicyChange {
    /// On or off.
    pub enabled: bool,
    /// It may move many members out of its tribe.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub force: bool,
}

/// The query parameters of `DELETE /v3/policies/{policy}` and `DELETE /v3/tribes/{tribe}`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct ForceQuery {
    /// It may move many members out of a tribe.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub force: bool,
}

/// Try a policy on the nodes there are, without writing anything.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TestPolicy {
    /// Its text.
    pub text: String,
    /// Compare with the members of this tribe.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tribe: Option<String>,
}

/// What a policy would do.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PolicyTest {
    /// The policy in its one canonical form.
    #[serde(default)]
    pub text: String,
    /// The level of the language that it needs.
    #[serde(default)]
    pub level: u16,
    /// Nodes it is true for.
    #[serde(default)]
    pub matches: Vec<String>,
    /// Nodes it cannot be decided for, which is no match.
    #[serde(default)]
    pub unknown: Vec<UnknownNode>,
    /// Nodes it is false for.
    #[serde(default)]
    pub no_match: Vec<String>,
    /// Nodes that would enter the tribe if the policy were added. Absent without a tribe.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enters: Option<Vec<String>>,
    /// Nodes that would leave the tribe if this were its only policy. Absent without a tribe.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub leaves: Option<Vec<String>>,
    /// What may be a mistake in its text.
    #[serde(default)]
    pub warnings: Vec<String>,
}

/// A node for which a policy is neither true nor false.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct UnknownNode {
    /// The node.
    pub node: String,
    /// Why: a fact it lacks, or one of another type.
    pub reason: String,
}

/// Why a policy is true for a node, or not.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Explanation {
    /// The policy.
    pub policy: String,
    /// Its tribe.
    pub tribe: String,
    /// The node.
    pub node: String,
    /// It is true.
    pub satisfied: bool,
    /// The parts of the policy and what each came to, for people; several lines.
    pub text: String,
    /// The same for programs.
    #[serde(default)]
    pub tree: Value,
}
