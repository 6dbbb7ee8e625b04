//! Scenarios: what a simulation goes through, in a file.
//!
//! ```
//! use tribe::sim::Scenario;
//! let text = "
//! name: short
//! about: Three nodes meet
//! nodes: 3
//! steps: [{form: {within_s: 60}}]
//! bars: {formed_s: 10}
//! ";
//! let ran = Scenario::from_yaml(text)?.run(7)?;
//! assert!(ran.missed.is_empty());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::collections::BTreeMap;

use serde::Deserialize;

/// What a simulation goes through.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// Its name.
    pub name: String,
    /// What it shows.
    pub about: String,
    /// How many nodes start.
    pub nodes: usize,
    /// They start at random times within so many seconds, the first at once.
    #[serde(default = "one")]
    pub start_over_s: f64,
    /// They are members of one cluster and know each other when they start, all at once. They have no disks.
    #[serde(default)]
    pub preseeded: bool,
    /// Datagrams are sealed. Without, only time is saved.
    #[serde(default = "yes")]
    pub sealed: bool,
    /// Records are broadcast.
    #[serde(default = "yes")]
    pub broadcasts: bool,
    /// How long the ways are.
    #[serde(default)]
    pub ways: Ways,
    /// Share of datagrams lost.
    #[serde(default)]
    pub loss: f64,
    /// Share of datagrams doubled.
    #[serde(default)]
    pub duplication: f64,
    /// Share of datagrams overtaken.
    #[serde(default)]
    pub reordering: f64,
    /// Deletions are remembered for so many hours.
    #[serde(default)]
    pub tombstone_age_h: Option<f64>,
    /// What happens, in order.
    pub steps: Vec<Step>,
    /// The most that each measurement may be.
    #[serde(default)]
    pub bars: BTreeMap<String, f64>,
}

/// How long the ways between nodes are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Ways {
    /// [`Latency::NEAR`](super::Latency::NEAR).
    Near,
    /// [`Latency::WIDE`](super::Latency::WIDE).
    #[default]
    Wide,
}

/// One thing that happens. Times are seconds of virtual time.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Step {
    /// Everyone comes to see everyone (`seen_s`, after the last start), then to hold the same (`formed_s`).
    Form {
        /// It fails if it takes longer.
        within_s: f64,
    },
    /// All running nodes come to hold the same and to see each other.
    Converge {
        /// It fails if it takes longer.
        within_s: f64,
        /// The measurement.
        name: String,
    },
    /// Time passes.
    Run {
        /// How much.
        for_s: f64,
    },
    /// Time passes, and what each node sends is counted: `packets_per_s`, `bytes_per_s`.
    Traffic {
        /// How much.
        for_s: f64,
        /// Put before the measurements.
        #[serde(default)]
        name: String,
    },
    /// Nodes are killed, one after the other, and the time is taken until all others know: `NAME_first_s` and
    /// `NAME_all_s`, the worst of all.
    Kill {
        /// How many.
        count: usize,
        /// The host goes with the node: nobody refuses who dials it.
        #[serde(default)]
        host: bool,
        /// It fails if it takes longer.
        within_s: f64,
        /// The measurement.
        name: String,
    },
    /// Records are written, one after the other, each at a random node, and the time is taken until each node
    /// holds each: `NAME_p50_s`, `NAME_p99_s`, `NAME_last_s`.
    Record {
        /// Size of the body.
        bytes: usize,
        /// How many.
        count: usize,
        /// It fails if it takes longer.
        within_s: f64,
        /// The measurement.
        name: String,
    },
    /// A share of the nodes is cut off from the others.
    Split {
        /// Which share.
        share: f64,
    },
    /// Everybody reaches everybody again.
    Heal,
    /// The share of datagrams that are lost changes.
    Loss(f64),
    /// Some nodes lose more.
    LossyNodes {
        /// How many.
        count: usize,
        /// Share of what they send and get.
        loss: f64,
    },
    /// Some ways lead nowhere, in one direction.
    Cuts {
        /// How many.
        count: usize,
    },
    /// A share of the nodes gets no processor for spells, with gaps as long between them. Counted are healthy
    /// nodes that were declared down, and starved ones: `false_downs_per_hour`, `starved_downs_per_hour`.
    Starve {
        /// Which share.
        share: f64,
        /// The shortest spell.
        least_s: f64,
        /// The longest spell.
        most_s: f64,
        /// For how long in all.
        for_s: f64,
    },
    /// From now on records change, one each so many seconds, somewhere. 0 is never.
    Load {
        /// How often.
        every_s: f64,
        /// Size of the body.
        bytes: usize,
        /// Of ten changes one is a new tribe and one deletes the oldest, if there are more than so many; the
        /// others are facts, placements and items. Without, all are new tribes.
        #[serde(default)]
        keep: Option<usize>,
    },
    /// From now on nodes come and go, one each so many seconds: by turns one joins, one leaves, one crashes,
    /// one is started again. 0 is never.
    Churn {
        /// How often.
        every_s: f64,
        /// Without, nodes only join and leave, and the first half of all nodes stays.
        #[serde(default = "yes")]
        crashes: bool,
    },
    /// Nodes crash, and are started again with their disks after a time.
    Away {
        /// How many, of the first half.
        count: usize,
        /// How long.
        for_s: f64,
    },
    /// Time passes. What a node has on disk and in memory for a byte of records it holds is
    /// compared with what it was in the beginning: `NAME_store`, the most of all hours, and
    /// `NAME_heap`, in the end, of a node that ran all the time. Counted each hour are deletions
    /// and nodes that left that a node should have forgotten: `NAME_overdue`.
    Grow {
        /// How much.
        for_s: f64,
        /// The measurement.
        name: String,
    },
    /// Time passes, after `grow` and without load. What a node then has on disk and in memory for a
    /// byte of records in force is compared with what it was when `grow` began: `NAME_store`,
    /// `NAME_heap`. Counted is what else it remembers: `NAME_tombstones`, `NAME_departed`,
    /// `NAME_overdue`.
    Rest {
        /// How much: twice as long as deletions are remembered, and some hours, for what was
        /// forgotten last is a deletion too.
        for_s: f64,
        /// The measurement.
        name: String,
    },
    /// Nodes are started again, all at once.
    Restart {
        /// How many.
        count: usize,
        /// They still have their disk.
        with_disk: bool,
    },
    /// The key of the cluster is exchanged from the first node, without those that are down. The time is taken
    /// until it is done, and until no running node holds the old key: `NAME_s`, `NAME_all_s`.
    Rotate {
        /// It fails if it takes longer.
        within_s: f64,
        /// The measurement.
        name: String,
    },
    /// The wall clocks of some nodes are set.
    Skew {
        /// How many.
        count: usize,
        /// Against true time.
        ms: i64,
    },
    /// Half of what was written by `load` is deleted, and must not come back.
    Delete,
}

fn yes() -> bool {
    true
}

fn one() -> f64 {
    1.0
}

/// The file is no scenario. The user's fault.
#[derive(Debug, thiserror::Error)]
#[error("not a scenario: {0}")]
pub struct ScenarioError(String);

impl Scenario {
    /// Reads a scenario.
    ///
    /// # Errors
    /// [`ScenarioError`] says where.
    pub fn from_yaml(text: &str) -> Result<Self, ScenarioError> {
        let scenario: Self =
            serde_saphyr::from_str(text).map_err(|error| ScenarioError(error.to_string()))?;
        let share = |share: f64| (0.0..=1.0).contains(&share);
        let shares = [scenario.loss, scenario.duplication, scenario.reordering];
        if scenario.nodes == 0 || !shares.into_iter().all(share) {
            return Err(ScenarioError(
                "there must be a node, and shares lie within 0 and 1".into(),
            ));
        }
        Ok(scenario)
    }
}
