//! The metrics that the plugins of the daemon's node collect.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};

use crate::ConfigRule;

/// The query parameters of `GET /v3/metrics`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct MetricQuery {
    /// Only what this request means, as in a task: `/intel/psutil/*`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
}

/// One type of metric.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct MetricType {
    /// Its namespace; a `*` is a dynamic element.
    pub namespace: String,
    /// Its version.
    pub version: i64,
    /// The plugin that collects it: `collector:psutil:14`.
    pub plugin: String,
    /// What the values of its dynamic elements are, in their order.
    #[serde(default)]
    pub dynamic: Vec<String>,
    /// Its unit.
    #[serde(default)]
    pub unit: String,
    /// What it is.
    #[serde(default)]
    pub description: String,
}

/// The query parameters of `GET /v3/metrics/show`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct MetricShowQuery {
    /// The namespace as `GET /v3/metrics` has it, with its stars: `/intel/psutil/cpu/*/user`. One with
    /// values in their place means the same metric.
    pub namespace: String,
    /// In which version; the newest if absent or below 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<i64>,
}

/// One type of metric with all that is known of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct MetricDetail {
    /// The metric.
    pub metric: MetricType,
    /// Its dynamic elements, in their order.
    #[serde(default)]
    pub elements: Vec<DynamicElement>,
    /// What its plugin takes as its configuration for it.
    #[serde(default)]
    pub config: Vec<ConfigRule>,
}

/// An element of a namespace that has another value for each thing that is measured.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DynamicElement {
    /// Which element of the namespace it is, from 1.
    pub position: usize,
    /// What its values are: `cpu_id`.
    pub name: String,
    /// More about them.
    #[serde(default)]
    pub description: String,
}

/// Collect once, and perhaps process and publish, to see what plugins do.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct CollectOnce {
    /// What to collect, at least one.
    pub metrics: Vec<MetricRequest>,
    /// Processors, `NAME` or `NAME:VERSION`. Each gets what the one before it made.
    #[serde(default)]
    pub process: Vec<String>,
    /// Publishers, `NAME` or `NAME:VERSION`. All get what the last processor made.
    #[serde(default)]
    pub publish: Vec<String>,
    /// What plugins are told: by the name of the plugin, then by key.
    #[serde(default)]
    pub config: BTreeMap<String, BTreeMap<String, Value>>,
}

/// Metrics to collect.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct MetricRequest {
    /// Which: `/intel/psutil/load/*`. Its first character parts the elements.
    pub namespace: String,
    /// In which version; the newest if absent or below 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<i64>,
}

/// One measurement.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Measured {
    /// What was measured.
    pub namespace: String,
    /// Version of the metric.
    pub version: i64,
    /// What came out; null if there was nothing. Bytes are a list of numbers.
    #[serde(default)]
    pub data: Value,
    /// Its unit.
    #[serde(default)]
    pub unit: String,
    /// Its tags.
    #[serde(default)]
    pub tags: BTreeMap<String, String>,
    /// When, in milliseconds of Unix time.
    #[serde(default)]
    pub timestamp_ms: i64,
}
