//! What nodes say to each other about steps: bytes as they always were, and hostile ones.

use super::{
    frame,
    message::{Outcome, Sent, Work},
};
use crate::{
    fixture::{Samples, Variants, variants},
    fuzz::{chance, hostile, read_within, runs},
    plugin::{Config, ConfigValue, Data, Metric, batch, test_metric},
};

variants! {
    Data { Text Float32 Float64 Int32 Int64 Bytes Bool Uint32 Uint64 }
    ConfigValue { Bool Int Float Text }
}

fn metric(data: Option<Data>) -> Metric {
    let tags = [("rack".to_owned(), "r7".to_owned())].into();
    let (unit, description) = ("B".to_owned(), "bytes sent".to_owned());
    Metric { tags, unit, description, data, ..test_metric("/intel/psutil/net/eth0") }
}

fn encoded(metrics: &[Metric]) -> Vec<u8> {
    let mut bytes = Vec::new();
    batch::encode(metrics, &mut bytes);
    bytes
}

/// Waits for what needs no waiting.
fn ready<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

fn framed<M: Sent>(message: &M) -> Vec<u8> {
    let mut sent = Vec::new();
    ready(frame::send(&mut sent, message)).unwrap();
    sent
}

fn received<M: Sent>(mut bytes: &[u8]) -> std::io::Result<Option<M>> {
    ready(frame::receive(&mut bytes))
}

fn messages() -> Samples {
    let mut samples = Samples::default();
    let config = Config::from([("port".to_owned(), ConfigValue::Int(8086))]);
    let work = Work {
        task: "load publish[0]".to_owned(),
        metrics: encoded(&[metric(None)]),
        config: batch::encode_config(&config),
    };
    let done = Outcome { metrics: encoded(&[metric(Some(Data::Int64(1)))]), error: String::new() };
    let failed = Outcome::failed("no such database");
    samples.add("Work", framed(&work), move |bytes| {
        assert_eq!(received(bytes).unwrap().as_ref(), Some(&work));
    });
    for (name, outcome) in [("Outcome.done", done), ("Outcome.failed", failed)] {
        samples.add(name, framed(&outcome), move |bytes| {
            assert_eq!(received(bytes).unwrap().as_ref(), Some(&outcome));
        });
    }
    samples
}

fn batches() -> Samples {
    let mut samples = Samples::default();
    let data = [
        Data::Text("größer".to_owned()),
        Data::Float32(0.5),
        Data::Float64(-0.25),
        Data::Int32(-1),
        Data::Int64(i64::MIN),
        Data::Bytes(vec![0, 255]),
        Data::Bool(true),
        Data::Uint32(u32::MAX),
        Data::Uint64(u64::MAX),
    ];
    samples.all("Metric", data, |samples, name, data| {
        let metrics = [metric(Some(data))];
        samples.add(name, encoded(&metrics), move |bytes| {
            assert_eq!(batch::decode_taken(bytes).unwrap(), metrics);
        });
    });
    samples
}

fn configs() -> Samples {
    let mut samples = Samples::default();
    let values = [
        ConfigValue::Bool(true),
        ConfigValue::Int(-1),
        ConfigValue::Float(0.5),
        ConfigValue::Text("{{rack}}".to_owned()),
    ];
    samples.all("Config", values, |samples, name, value| {
        let config = Config::from([("key".to_owned(), value)]);
        samples.add(name, batch::encode_config(&config), move |bytes| {
            assert_eq!(batch::decode_config(bytes).unwrap(), config);
        });
    });
    samples
}

#[test]
fn messages_are_read_and_written_as_they_always_were() {
    messages().check("steps");
    batches().check("metrics");
    configs().check("configs");
}

#[test]
fn no_bytes_of_another_node_make_a_decoder_panic_or_hold_too_much() {
    let (mut rng, good) = (chance(), [messages(), batches(), configs()].map(Samples::bytes));
    let mut understood = 0;
    for run in 0..runs(100_000) {
        let of = usize::try_from(run % 3).unwrap();
        let bytes = hostile(&mut rng, &good[of]);
        understood += u64::from(match of {
            0 => {
                let work = read_within(&bytes, received::<Work>);
                let outcome = read_within(&bytes, received::<Outcome>);
                matches!(work, Ok(Some(_))) || matches!(outcome, Ok(Some(_)))
            }
            1 => match read_within(&bytes, batch::decode_taken) {
                // What was no text is text by then, and longer: that is read as it is written.
                Ok(metrics) => {
                    let again = batch::decode_taken(&encoded(&metrics)).unwrap();
                    assert_eq!(encoded(&again), encoded(&metrics));
                    true
                }
                Err(_) => false,
            },
            _ => match read_within(&bytes, batch::decode_config) {
                Ok(config) => {
                    let again = batch::decode_config(&batch::encode_config(&config)).unwrap();
                    assert_eq!(batch::encode_config(&again), batch::encode_config(&config));
                    true
                }
                Err(_) => false,
            },
        });
    }
    assert!(understood > 100, "only {understood} were understood");
}

#[test]
fn lists_of_nothing_cost_little_more_than_their_bytes() {
    for nothing in [&[0x0a, 0][..], &[0x0a, 2, 0x0a, 0], &[0x0a, 4, 0x2a, 0, 0x32, 0]] {
        let bytes = nothing.repeat(50_000);
        read_within(&bytes, batch::decode_taken).unwrap();
    }
    let parts = [0x0a, 0].repeat(50_000);
    let length = u32::try_from(parts.len()).unwrap();
    let mut metric = vec![0x0a];
    prost::encoding::encode_varint(length.into(), &mut metric);
    metric.extend(parts);
    let metrics = read_within(&metric, batch::decode_taken).unwrap();
    assert_eq!(metrics[0].namespace.0.len(), 50_000);
}
