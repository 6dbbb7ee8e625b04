//! What the collectors of this node offer, and a look at what comes out.

use std::collections::BTreeMap;

use axum::{Json, extract::State, http::StatusCode};
use serde_json::Value;
use tribe_api::{
    CollectOnce, DynamicElement, ErrorReply, Measured, MetricDetail, MetricQuery, MetricShowQuery,
    MetricType,
};

use super::{
    App,
    error::ApiError,
    extract::{Body, Query},
    plugins::rules,
};
use crate::plugin::{
    self, Config, ConfigValue, Data, Entry, Identity, Kind, Metric, Once, Request, RequestError,
    Wanted,
};

/// The types of metrics that can be collected on this node.
#[utoipa::path(
    get,
    path = "/v3/metrics",
    params(MetricQuery),
    responses((status = 200, body = [MetricType]), (status = "default", body = ErrorReply))
)]
pub(super) async fn list(
    State(app): State<App>,
    Query(MetricQuery { namespace }): Query<MetricQuery>,
) -> Result<Json<Vec<MetricType>>, ApiError> {
    let catalog = app.0.plugins.catalog();
    let Some(namespace) = namespace else {
        return Ok(Json(catalog.entries().into_iter().map(metric_type).collect()));
    };
    let request = Request::parse(&namespace, None)?;
    Ok(Json(catalog.expand(&request)?.iter().map(metric_type).collect()))
}

/// One type of metric with its dynamic elements and what its plugin takes as its configuration.
#[utoipa::path(
    get,
    path = "/v3/metrics/show",
    params(MetricShowQuery),
    responses((status = 200, body = MetricDetail), (status = "default", body = ErrorReply))
)]
pub(super) async fn show(
    State(app): State<App>,
    Query(MetricShowQuery { namespace, version }): Query<MetricShowQuery>,
) -> Result<Json<MetricDetail>, ApiError> {
    let request = Request::parse(&namespace, version)?;
    let found = app.0.plugins.catalog().expand(&request)?;
    let entry = match found.as_slice() {
        [entry] => entry,
        several => {
            let message = format!("`{namespace}` means {} metrics", several.len());
            return Err(ApiError::new(StatusCode::CONFLICT, "ambiguous", message).help(format!(
                "`snapctl metric list --namespace '{namespace}'` lists them, name one"
            )));
        }
    };
    let Identity { kind, name, version } = entry.plugin.clone();
    let plugin = app.0.plugins.plugin(&Wanted { kind, name, version: Some(version) })?;
    let elements = &entry.metric.namespace.0;
    let begins = |prefix: &[String]| {
        prefix.len() <= elements.len()
            && prefix.iter().zip(elements).all(|(one, element)| *one == element.value)
    };
    let dynamic = elements.iter().enumerate().filter(|(_, element)| element.is_dynamic());
    let shown = dynamic.map(|(index, element)| DynamicElement {
        position: index + 1,
        name: element.name.clone(),
        description: element.description.clone(),
    });
    Ok(Json(MetricDetail {
        metric: metric_type(entry),
        elements: shown.collect(),
        config: rules(&plugin, begins),
    }))
}

fn metric_type(entry: &Entry) -> MetricType {
    let Entry { plugin, metric } = entry;
    let dynamic = metric.namespace.0.iter().filter(|element| element.is_dynamic());
    MetricType {
        namespace: metric.namespace.to_string(),
        version: metric.version,
        plugin: plugin.to_string(),
        dynamic: dynamic.map(|element| element.name.clone()).collect(),
        unit: metric.unit.clone(),
        description: metric.description.clone(),
    }
}

/// Collect once, and perhaps process and publish. Answers what was published, or would have been.
#[utoipa::path(
    post,
    path = "/v3/metrics/collect",
    request_body = CollectOnce,
    responses((status = 200, body = [Measured]), (status = "default", body = ErrorReply))
)]
pub(super) async fn collect(
    State(app): State<App>,
    Body(once): Body<CollectOnce>,
) -> Result<Json<Vec<Measured>>, ApiError> {
    let metrics = plugin::run_once(&app.0.plugins, &read(once)?).await?;
    Ok(Json(metrics.into_iter().map(measured).collect()))
}

fn read(once: CollectOnce) -> Result<Once, ApiError> {
    if once.metrics.is_empty() {
        return Err(ApiError::bad("bad-body", "there is nothing to collect"));
    }
    let requests = once.metrics.iter().map(|one| Request::parse(&one.namespace, one.version));
    let plugins = |kind, names: &[String]| -> Result<Vec<_>, ApiError> {
        Ok(names.iter().map(|name| Wanted::of(kind, name)).collect::<Result<_, _>>()?)
    };
    let configs = once.config.iter().map(|(name, config)| Ok((name.to_lowercase(), told(config)?)));
    Ok(Once {
        requests: requests.collect::<Result<_, RequestError>>()?,
        process: plugins(Kind::Processor, &once.process)?,
        publish: plugins(Kind::Publisher, &once.publish)?,
        configs: configs.collect::<Result<_, ApiError>>()?,
    })
}

fn told(config: &BTreeMap<String, Value>) -> Result<Config, ApiError> {
    let values = config.iter().map(|(key, value)| {
        let told = match value {
            Value::Bool(value) => ConfigValue::Bool(*value),
            Value::String(value) => ConfigValue::Text(value.clone()),
            Value::Number(number) => match (number.as_i64(), number.as_f64()) {
                (Some(value), _) => ConfigValue::Int(value),
                (None, Some(value)) => ConfigValue::Float(value),
                (None, None) => return Err(no_value(key)),
            },
            Value::Null | Value::Array(_) | Value::Object(_) => return Err(no_value(key)),
        };
        Ok((key.clone(), told))
    });
    values.collect()
}

fn no_value(key: &str) -> ApiError {
    let message = format!("`{key}` is not true or false, a number or text");
    ApiError::bad("bad-config", message)
}

pub(super) fn measured(metric: Metric) -> Measured {
    Measured {
        namespace: metric.namespace.to_string(),
        version: metric.version,
        data: metric.data.map_or(Value::Null, data),
        unit: metric.unit,
        tags: metric.tags,
        timestamp_ms: metric.timestamp.as_ms(),
    }
}

fn data(data: Data) -> Value {
    match data {
        Data::Text(value) => value.into(),
        Data::Float32(value) => value.into(),
        Data::Float64(value) => value.into(),
        Data::Int32(value) => value.into(),
        Data::Int64(value) => value.into(),
        Data::Bytes(value) => value.into(),
        Data::Bool(value) => value.into(),
        Data::Uint32(value) => value.into(),
        Data::Uint64(value) => value.into(),
    }
}
