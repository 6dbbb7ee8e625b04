//! What nodes say to each other to have a step of a task done elsewhere.
//!
//! Field numbers are never used again for something else; unknown fields pass.

use std::fmt::Debug;

/// A message, and how large it may be.
pub(super) trait Sent: prost::Message + Debug + Default {
    /// Largest one, in bytes. Both sides have it.
    const BYTES: usize;
}

impl Sent for Work {
    /// What plugins take in one call, 4 MiB, and a configuration.
    const BYTES: usize = 4 * 1024 * 1024 + 512 * 1024;
}

impl Sent for Outcome {
    /// A processor may make more of metrics than they were.
    const BYTES: usize = 16 * 1024 * 1024;
}

/// Do this.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Work {
    /// The task, unique on the caller's node.
    #[prost(string, tag = "1")]
    pub(super) task: String,
    /// The metrics, as plugins get them.
    #[prost(bytes = "vec", tag = "2")]
    pub(super) metrics: Vec<u8>,
    /// The configuration as the manifest has it: what it refers to is looked up where the step runs.
    #[prost(bytes = "vec", tag = "3")]
    pub(super) config: Vec<u8>,
}

/// What came of it.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Outcome {
    /// What a processor made of the metrics.
    #[prost(bytes = "vec", tag = "1")]
    pub(super) metrics: Vec<u8>,
    /// Why it failed. Empty: it did not.
    #[prost(string, tag = "2")]
    pub(super) error: String,
}

impl Outcome {
    /// It failed, and this is why.
    pub(super) fn failed(error: &str) -> Self {
        Self { metrics: Vec::new(), error: error.to_owned() }
    }
}
