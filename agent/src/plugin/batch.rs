//! Metrics as bytes that can be kept: those of the protocol, so that nothing is lost.

use prost::{
    DecodeError, Message,
    encoding::{
        DecodeContext, WireType, check_wire_type, decode_key, decode_varint, message, skip_field,
    },
};

use super::{config::Config, convert, metric::Metric, rpc};

/// The tag of the metrics in the message that bytes are.
const METRICS_TAG: u32 = 1;
/// Most metrics of a part that is sent to another node.
const PART_METRICS: usize = 50_000;
/// Most metrics that are taken of another node at once: a metric can be much larger here than on its way.
const TAKEN_METRICS: usize = 200_000;

/// Why bytes are not metrics. The sender's fault.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum BatchError {
    /// They are something else.
    #[error("no metrics: {0}")]
    Malformed(#[from] DecodeError),
    /// They end early.
    #[error("the metrics end early")]
    Truncated,
    /// There are too many.
    #[error("a batch of {0} metrics is too large, at most {TAKEN_METRICS}")]
    TooMany(usize),
}

/// Metrics as bytes, behind those that are there.
pub(crate) fn encode(metrics: &[Metric], bytes: &mut Vec<u8>) {
    let metrics = metrics.iter().map(|metric| convert::to_rpc(metric, None)).collect();
    let batch = rpc::MetricsArg { metrics };
    bytes.reserve(batch.encoded_len());
    // A vector has always room.
    let _ = batch.encode(bytes);
}

/// The same in parts of at most so many bytes, and of at most so many metrics as another node takes, in order:
/// one at least, and no metric in two of them, so one that is larger is a larger part.
pub(crate) fn encode_parts(metrics: &[Metric], most: usize) -> Vec<Vec<u8>> {
    let (mut parts, mut last, mut count) = (Vec::new(), Vec::new(), 0);
    for metric in metrics {
        let raw = convert::to_rpc(metric, None);
        let size = message::encoded_len(METRICS_TAG, &raw);
        if !last.is_empty() && (last.len() + size > most || count == PART_METRICS) {
            parts.push(std::mem::take(&mut last));
            count = 0;
        }
        message::encode(METRICS_TAG, &raw, &mut last);
        count += 1;
    }
    parts.push(last);
    parts
}

/// The metrics that bytes hold.
pub(crate) fn decode(bytes: &[u8]) -> Result<Vec<Metric>, BatchError> {
    let (mut metrics, mut rest) = (Vec::with_capacity(count(bytes)?), bytes);
    while let Some(raw) = next(&mut rest)? {
        metrics.push(convert::metric(rpc::Metric::decode(raw)?, 1));
    }
    Ok(metrics)
}

/// The metrics that bytes of another node hold.
pub(crate) fn decode_taken(bytes: &[u8]) -> Result<Vec<Metric>, BatchError> {
    match count(bytes)? {
        count if count > TAKEN_METRICS => Err(BatchError::TooMany(count)),
        _ => decode(bytes),
    }
}

fn count(mut bytes: &[u8]) -> Result<usize, BatchError> {
    let mut count = 0;
    while next(&mut bytes)?.is_some() {
        count += 1;
    }
    Ok(count)
}

/// The bytes of the next metric; none at the end. Other fields are passed over.
fn next<'a>(bytes: &mut &'a [u8]) -> Result<Option<&'a [u8]>, BatchError> {
    while !bytes.is_empty() {
        let (tag, wire_type) = decode_key(bytes)?;
        if tag != METRICS_TAG {
            skip_field(wire_type, tag, bytes, DecodeContext::default())?;
            continue;
        }
        check_wire_type(WireType::LengthDelimited, wire_type)?;
        let length = usize::try_from(decode_varint(bytes)?).unwrap_or(usize::MAX);
        let (metric, rest) = bytes.split_at_checked(length).ok_or(BatchError::Truncated)?;
        *bytes = rest;
        return Ok(Some(metric));
    }
    Ok(None)
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
        check(&[0; 100_001], usize::MAX, &[50_000, 50_000, 1]);
    }

    #[test]
    fn more_metrics_than_a_node_takes_are_refused_before_they_are_made() {
        let empty = [0x0a, 0];
        assert_eq!(decode_taken(&empty.repeat(TAKEN_METRICS)).unwrap().len(), TAKEN_METRICS);
        let bytes = empty.repeat(TAKEN_METRICS + 1);
        let mut taken = None;
        let held = allocation_counter::measure(|| taken = Some(decode_taken(&bytes)));
        let error = taken.unwrap().unwrap_err();
        assert_eq!(error.to_string(), "a batch of 200001 metrics is too large, at most 200000");
        assert_eq!(held.bytes_max, 0);
    }

    #[test]
    fn what_is_no_batch_says_why_and_other_fields_are_passed_over() {
        let [metric] = [metric(7, 10)];
        let mut bytes = vec![0x12, 1, 0xff, 0x18, 5];
        encode(std::slice::from_ref(&metric), &mut bytes);
        assert_eq!(decode(&bytes), Ok(vec![metric]));
        assert_eq!(decode(&bytes[..bytes.len() - 1]), Err(BatchError::Truncated));
        assert!(matches!(decode(&[0x08, 1]), Err(BatchError::Malformed(_))));
        assert!(matches!(decode(&[0x0a, 2, 0x0a, 9]), Err(BatchError::Malformed(_))));
    }
}
