//! Metrics as bytes that can be kept: those of the protocol, so that nothing is lost.

use prost::{DecodeError, Message};

use super::{config::Config, convert, metric::Metric, rpc};

/// Metrics as bytes, behind those that are there.
pub(crate) fn encode(metrics: &[Metric], bytes: &mut Vec<u8>) {
    let metrics = metrics.iter().map(|metric| convert::to_rpc(metric, None)).collect();
    let batch = rpc::MetricsArg { metrics };
    bytes.reserve(batch.encoded_len());
    // A vector has always room.
    let _ = batch.encode(bytes);
}

/// The metrics that bytes hold.
pub(crate) fn decode(bytes: &[u8]) -> Result<Vec<Metric>, DecodeError> {
    let batch = rpc::MetricsArg::decode(bytes)?;
    Ok(batch.metrics.into_iter().map(|raw| convert::metric(raw, 1)).collect())
}

/// A configuration as bytes.
pub(crate) fn encode_config(config: &Config) -> Vec<u8> {
    convert::config_to_rpc(config).encode_to_vec()
}

/// The configuration that bytes hold.
pub(crate) fn decode_config(bytes: &[u8]) -> Result<Config, DecodeError> {
    Ok(convert::config(rpc::ConfigMap::decode(bytes)?))
}
