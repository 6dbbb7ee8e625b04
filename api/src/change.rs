//! What every write takes and answers.

use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

/// The query parameters of every write.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct WaitQuery {
    /// Wait so many seconds for all live members to say that they hold the record; fractions are
    /// allowed. Absent: do not wait.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wait: Option<f64>,
}

/// It is written on this node and on its way to the others.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Changed {
    /// Live members that did not say in time that they hold the record. Empty without `wait`.
    #[serde(default)]
    pub missing: Vec<String>,
    /// What the writer may want to know, such as that the node it placed does not exist yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}
