//! Metrics to and from the protocol.
//!
//! Invariant: what goes out is complete, for plugins in Go die of a missing time; what comes in
//! becomes text whatever bytes it holds.

use std::collections::BTreeMap;

use prost::Message;

use super::{
    config::{Config, ConfigValue},
    metric::{Data, Element, Metric, Namespace, Time},
    rpc,
};

/// A metric that a plugin sent, whose own version stands in for a missing one.
pub(super) fn metric(raw: rpc::Metric, version: i64) -> Metric {
    let now = Time::now();
    let element = |raw: rpc::NamespaceElement| Element {
        value: into_text(raw.value),
        name: into_text(raw.name),
        description: into_text(raw.description),
    };
    Metric {
        namespace: Namespace(raw.namespace.into_iter().map(element).collect()),
        version: if raw.version < 1 { version } else { raw.version },
        tags: raw.tags.into_iter().map(|(key, value)| (key, into_text(value))).collect(),
        timestamp: raw.timestamp.map_or(now, time),
        advertised: raw.last_advertised_time.map_or(now, time),
        unit: into_text(raw.unit),
        description: into_text(raw.description),
        data: raw.data.map(data),
    }
}

/// A metric as a plugin gets it.
pub(super) fn to_rpc(metric: &Metric, config: Option<rpc::ConfigMap>) -> rpc::Metric {
    let element = |element: &Element| rpc::NamespaceElement {
        value: element.value.clone().into_bytes(),
        description: element.description.clone().into_bytes(),
        name: element.name.clone().into_bytes(),
    };
    let tags = metric.tags.iter();
    rpc::Metric {
        namespace: metric.namespace.0.iter().map(element).collect(),
        version: metric.version,
        config,
        last_advertised_time: Some(time_to_rpc(metric.advertised)),
        tags: tags.map(|(key, value)| (key.clone(), value.clone().into_bytes())).collect(),
        timestamp: Some(time_to_rpc(metric.timestamp)),
        unit: metric.unit.clone().into_bytes(),
        description: metric.description.clone().into_bytes(),
        data: metric.data.clone().map(data_to_rpc),
    }
}

/// A configuration as a plugin gets it: each value in the map of its type.
pub(super) fn config_to_rpc(config: &Config) -> rpc::ConfigMap {
    let mut map = rpc::ConfigMap {
        int_map: BTreeMap::new(),
        string_map: BTreeMap::new(),
        float_map: BTreeMap::new(),
        bool_map: BTreeMap::new(),
    };
    for (key, value) in config {
        let key = key.clone();
        match value {
            ConfigValue::Int(value) => drop(map.int_map.insert(key, *value)),
            ConfigValue::Text(value) => drop(map.string_map.insert(key, value.clone())),
            ConfigValue::Float(value) => drop(map.float_map.insert(key, *value)),
            ConfigValue::Bool(value) => drop(map.bool_map.insert(key, *value)),
        }
    }
    map
}

/// A configuration as bytes: the same for the same, and no two for different ones.
pub(super) fn config_to_bytes(config: &Config) -> Vec<u8> {
    config_to_rpc(config).encode_to_vec()
}

/// A configuration that another node sent.
pub(super) fn config(map: rpc::ConfigMap) -> Config {
    let ints = map.int_map.into_iter().map(|(key, value)| (key, ConfigValue::Int(value)));
    let texts = map.string_map.into_iter().map(|(key, value)| (key, ConfigValue::Text(value)));
    let floats = map.float_map.into_iter().map(|(key, value)| (key, ConfigValue::Float(value)));
    let bools = map.bool_map.into_iter().map(|(key, value)| (key, ConfigValue::Bool(value)));
    ints.chain(texts).chain(floats).chain(bools).collect()
}

/// Bytes of a plugin as text.
pub(super) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The same bytes as text, if they are text.
fn into_text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap_or_else(|error| text(error.as_bytes()))
}

fn time(raw: rpc::Time) -> Time {
    Time { sec: raw.sec, nsec: raw.nsec }
}

pub(super) fn time_to_rpc(time: Time) -> rpc::Time {
    rpc::Time { sec: time.sec, nsec: time.nsec }
}

fn data(raw: rpc::metric::Data) -> Data {
    use rpc::metric::Data as Raw;
    match raw {
        Raw::StringData(value) => Data::Text(into_text(value)),
        Raw::Float32Data(value) => Data::Float32(value),
        Raw::Float64Data(value) => Data::Float64(value),
        Raw::Int32Data(value) => Data::Int32(value),
        Raw::Int64Data(value) => Data::Int64(value),
        Raw::BytesData(value) => Data::Bytes(value),
        Raw::BoolData(value) => Data::Bool(value),
        Raw::Uint32Data(value) => Data::Uint32(value),
        Raw::Uint64Data(value) => Data::Uint64(value),
    }
}

fn data_to_rpc(data: Data) -> rpc::metric::Data {
    use rpc::metric::Data as Raw;
    match data {
        Data::Text(value) => Raw::StringData(value.into_bytes()),
        Data::Float32(value) => Raw::Float32Data(value),
        Data::Float64(value) => Raw::Float64Data(value),
        Data::Int32(value) => Raw::Int32Data(value),
        Data::Int64(value) => Raw::Int64Data(value),
        Data::Bytes(value) => Raw::BytesData(value),
        Data::Bool(value) => Raw::BoolData(value),
        Data::Uint32(value) => Raw::Uint32Data(value),
        Data::Uint64(value) => Raw::Uint64Data(value),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw() -> rpc::Metric {
        rpc::Metric {
            namespace: vec![rpc::NamespaceElement {
                value: b"eth\xff".to_vec(),
                description: Vec::new(),
                name: b"nic".to_vec(),
            }],
            tags: [("hardware_addr".to_owned(), b"\x02\x42\xac\x11\x00\xfe".to_vec())].into(),
            unit: b"\xe9".to_vec(),
            data: Some(rpc::metric::Data::StringData(b"\xfe!".to_vec())),
            ..rpc::Metric::default()
        }
    }

    #[test]
    fn bytes_that_are_no_text_do_not_spoil_a_metric() {
        let raw = rpc::Metric::decode(raw().encode_to_vec().as_slice()).unwrap();
        let metric = metric(raw, 14);
        assert_eq!(metric.namespace.to_string(), "/eth\u{fffd}");
        assert_eq!(metric.tags["hardware_addr"], "\u{2}B\u{fffd}\u{11}\0\u{fffd}");
        assert_eq!(metric.unit, "\u{fffd}");
        assert_eq!(metric.data, Some(Data::Text("\u{fffd}!".into())));
        // What goes out again is text that every plugin takes.
        let out = to_rpc(&metric, None);
        assert!(out.tags.values().all(|value| std::str::from_utf8(value).is_ok()));
    }

    #[test]
    fn a_missing_version_is_that_of_the_plugin() {
        assert_eq!(metric(raw(), 14).version, 14);
        assert_eq!(metric(rpc::Metric { version: 3, ..raw() }, 14).version, 3);
    }

    #[test]
    fn both_times_are_always_sent() {
        let out = to_rpc(&metric(raw(), 1), None);
        assert!(out.timestamp.is_some_and(|time| time.sec > 0));
        assert!(out.last_advertised_time.is_some_and(|time| time.sec > 0));
    }

    #[test]
    fn data_survives_both_ways() {
        for data in [
            Data::Text("a".into()),
            Data::Float32(0.5),
            Data::Float64(0.25),
            Data::Int32(-1),
            Data::Int64(i64::MIN),
            Data::Bytes(vec![0, 255]),
            Data::Bool(false),
            Data::Uint32(u32::MAX),
            Data::Uint64(u64::MAX),
        ] {
            let sent = Metric { data: Some(data.clone()), ..metric(raw(), 1) };
            let bytes = to_rpc(&sent, None).encode_to_vec();
            let received = metric(rpc::Metric::decode(bytes.as_slice()).unwrap(), 1);
            assert_eq!(received.data, Some(data));
        }
    }

    #[test]
    fn a_value_goes_into_the_map_of_its_type() {
        let config = Config::from([
            ("port".into(), ConfigValue::Int(8086)),
            ("host".into(), ConfigValue::Text("h".into())),
            ("ratio".into(), ConfigValue::Float(1.0)),
            ("skip-verify".into(), ConfigValue::Bool(false)),
        ]);
        let map = config_to_rpc(&config);
        assert_eq!(map.int_map["port"], 8086);
        assert_eq!(map.string_map["host"], "h");
        assert_eq!(map.float_map["ratio"], 1.0);
        assert!(!map.bool_map["skip-verify"]);
        assert_eq!(super::config(map), config);
    }
}
