//! Metrics as bytes that can be kept: those of the protocol, so that nothing is lost.

use prost::{DecodeError, Message, encoding::message};

use super::{config::Config, convert, metric::Metric, rpc};

/// The tag of the metrics in the message that bytes are.
const METRICS_TAG: u32 = 1;

/// Metrics as bytes, behind those that are there.
pub(crate) fn encode(metrics: &[Metric], bytes: &mut Vec<u8>) {
    let metrics = metrics.iter().map(|metric| convert::to_rpc(metric, None)).collect();
    let batch = rpc::MetricsArg { metrics };
    bytes.reserve(batch.encoded_len());
    // A vector has always room.
    let _ = batch.encode(bytes);
}

/// The same in parts of at most so many bytes, in order: one at least, and no metric in two of them, so
/// one that is larger is a larger part.
pub(crate) fn encode_parts(metrics: &[Metric], most: usize) -> Vec<Vec<u8>> {
    let (mut parts, mut last) = (Vec::new(), Vec::new());
    for metric in metrics {
        let raw = convert::to_rpc(metric, None);
        let size = message::encoded_len(METRICS_TAG, &raw);
        if !last.is_empty() && last.len() + size > most {
            parts.push(std::mem::take(&mut last));
        }
        message::encode(METRICS_TAG, &raw, &mut last);
    }
    parts.push(last);
    parts
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

#[cfg(test)]
mod tests {
    use super::{
        super::metric::{Data, test_metric},
        *,
    };

    fn metric(number: usize, bytes: usize) -> Metric {
        let data = Some(Data::Bytes(vec![7; bytes]));
        Metric { data, ..test_metric(&format!("/{number}")) }
    }

    fn check(sizes: &[usize], most: usize, expected: &[usize]) {
        let metrics: Vec<_> =
            sizes.iter().enumerate().map(|(number, size)| metric(number, *size)).collect();
        let parts = encode_parts(&metrics, most);
        let decoded: Vec<_> = parts.iter().map(|part| decode(part).unwrap()).collect();
        assert_eq!(decoded.iter().map(Vec::len).collect::<Vec<_>>(), expected);
        assert!(parts.iter().all(|part| part.len() <= most || decode(part).unwrap().len() == 1));
        assert_eq!(decoded.concat(), metrics);
    }

    #[test]
    fn a_batch_is_split_between_metrics_and_keeps_its_order() {
        check(&[], 1000, &[0]);
        check(&[10; 5], 1000, &[5]);
        check(&[300; 5], 800, &[2, 2, 1]);
        check(&[2000, 10, 2000], 1000, &[1, 1, 1]);
        check(&[1_000_000; 9], 3_670_016, &[3, 3, 3]);
    }
}
