//! What a node counts and measures, by the names and kinds that Prometheus gives such things.
//!
//! Counters are declared where they are counted, with [`counters!`]: the doc of a field is the help
//! of its metric, so no counter lacks a name or a text, and no other list of them has to be kept.
//!
//! ```text
//! counters! {
//!     /// What the door counts.
//!     struct Counters {
//!         /// Guests let in.
//!         entered: "tribe_guests_entered_total",
//!     }
//! }
//! ```

use serde::{Serialize, Serializer};

/// A number that a node tells about itself, as of `Node::metrics`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Metric {
    /// Its name by the conventions of Prometheus, as `tribe_syncs_total`. Several may have one
    /// name, and differ in their labels; they stand side by side.
    pub name: &'static str,
    /// Does it only grow?
    pub kind: MetricKind,
    /// What it counts or measures: one line, the same for all of one name.
    pub help: &'static str,
    /// What tells it from others of its name, as `state` and `alive`. An object, in JSON.
    #[serde(serialize_with = "as_map")]
    pub labels: &'static [(&'static str, &'static str)],
    /// The number. The unit, unless it is a count of things, ends its name.
    pub value: u64,
}

fn as_map<S: Serializer>(labels: &[(&str, &str)], to: S) -> Result<S::Ok, S::Error> {
    to.collect_map(labels.iter().copied())
}

/// How a metric may change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum MetricKind {
    /// It only grows while the node lives, and starts at 0 with it.
    Counter,
    /// It goes up and down.
    Gauge,
}

impl MetricKind {
    /// `counter` or `gauge`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
        }
    }
}

impl Metric {
    pub(crate) const fn counter(name: &'static str, help: &'static str, value: u64) -> Self {
        Self { name, kind: MetricKind::Counter, help, labels: &[], value }
    }

    /// A gauge without labels. What counts things of this machine fits into 64 bits.
    pub(crate) const fn gauge(name: &'static str, help: &'static str, value: usize) -> Self {
        Self { name, kind: MetricKind::Gauge, help, labels: &[], value: value as u64 }
    }
}

/// Makes a struct of counters that tells them as metrics.
macro_rules! counters {
    (
        $(#[$about:meta])*
        $vis:vis struct $name:ident {
            $($(#[doc = $help:literal])+ $field:ident: $metric:literal,)+
        }
    ) => {
        $(#[$about])*
        #[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
        $vis struct $name {
            $($(#[doc = $help])+ $vis $field: u64,)+
        }

        impl $name {
            /// All of them, in the order they are declared.
            $vis fn metrics(&self) -> impl Iterator<Item = $crate::metric::Metric> + use<> {
                [$($crate::metric::Metric::counter(
                    $metric,
                    concat!($($help),+).trim_ascii(),
                    self.$field,
                )),+]
                .into_iter()
            }
        }
    };
}
pub(crate) use counters;

#[cfg(test)]
mod tests {
    use super::*;

    counters! {
        /// What the door counts.
        struct Door {
            /// Guests let in.
            entered: "tribe_guests_entered_total",
            /// Guests turned away because
            /// it was full.
            refused: "tribe_guests_refused_total",
        }
    }

    #[test]
    fn a_counter_has_its_name_and_the_doc_of_its_field() {
        let door = Door { entered: 3, refused: 1 };
        let told: Vec<_> = door.metrics().collect();
        let expected = [
            Metric::counter("tribe_guests_entered_total", "Guests let in.", 3),
            Metric::counter(
                "tribe_guests_refused_total",
                "Guests turned away because it was full.",
                1,
            ),
        ];
        assert_eq!(told, expected);
    }

    #[test]
    fn json_has_the_labels_as_an_object() {
        let labels = &[("state", "down")];
        let metric = Metric { labels, ..Metric::gauge("tribe_members", "Members.", 2) };
        let expected = serde_json::json!({
            "name": "tribe_members", "kind": "gauge", "help": "Members.",
            "labels": {"state": "down"}, "value": 2,
        });
        assert_eq!(serde_json::to_value(metric).unwrap(), expected);
    }
}
