//! Metrics as this host holds them: text is text, and nothing a plugin left out is missing.

use std::{
    collections::BTreeMap,
    fmt,
    time::{SystemTime, UNIX_EPOCH},
};

/// What may part the elements of a namespace, in the order in which they are tried.
const SEPARATORS: [char; 12] = ['/', '|', '%', ':', '-', ';', '_', '^', '>', '<', '+', '='];

/// The value that stands for any.
pub(super) const ANY: &str = "*";

/// One measurement, or one that could be made.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Metric {
    pub(crate) namespace: Namespace,
    pub(crate) version: i64,
    pub(crate) tags: BTreeMap<String, String>,
    pub(crate) timestamp: Time,
    pub(crate) advertised: Time,
    pub(crate) unit: String,
    pub(crate) description: String,
    /// Absent in a type of metric, and when there was nothing to measure.
    pub(crate) data: Option<Data>,
}

/// A path of elements.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Namespace(pub(crate) Vec<Element>);

/// One element of a namespace.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Element {
    pub(crate) value: String,
    /// Of a dynamic element: what its values are, as in `cpu_id`. Else empty.
    pub(crate) name: String,
    pub(crate) description: String,
}

/// What was measured.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Data {
    Text(String),
    Float32(f32),
    Float64(f64),
    Int32(i32),
    Int64(i64),
    Bytes(Vec<u8>),
    Bool(bool),
    Uint32(u32),
    Uint64(u64),
}

/// Unix time as plugins have it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Time {
    pub(crate) sec: i64,
    pub(crate) nsec: i64,
}

impl Time {
    /// The time now.
    pub(crate) fn now() -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self {
            sec: i64::try_from(since.as_secs()).unwrap_or(i64::MAX),
            nsec: i64::from(since.subsec_nanos()),
        }
    }

    /// The time in milliseconds.
    pub(crate) fn as_ms(self) -> i64 {
        self.sec.saturating_mul(1000).saturating_add(self.nsec / 1_000_000)
    }
}

impl Namespace {
    /// The values of the elements.
    pub(crate) fn values(&self) -> impl Iterator<Item = &str> + Clone {
        self.0.iter().map(|element| element.value.as_str())
    }
}

impl fmt::Display for Namespace {
    /// The elements behind the first separator that none of them holds.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let free = |separator: &char| !self.values().any(|value| value.contains(*separator));
        let separator = SEPARATORS.into_iter().find(free).unwrap_or('/');
        self.values().try_for_each(|value| write!(f, "{separator}{value}"))
    }
}

impl Element {
    /// A static element.
    pub(crate) fn literal(value: &str) -> Self {
        Self { value: value.to_owned(), name: String::new(), description: String::new() }
    }

    /// Does it stand for many?
    pub(crate) fn is_dynamic(&self) -> bool {
        !self.name.is_empty()
    }
}

/// A metric of this namespace, without data.
#[cfg(test)]
pub(crate) fn test_metric(namespace: &str) -> Metric {
    let time = Time { sec: 1, nsec: 0 };
    Metric {
        namespace: Namespace(namespace.split('/').skip(1).map(Element::literal).collect()),
        version: 1,
        tags: BTreeMap::new(),
        timestamp: time,
        advertised: time,
        unit: String::new(),
        description: String::new(),
        data: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(values: &[&str], expected: &str) {
        let namespace = Namespace(values.iter().map(|value| Element::literal(value)).collect());
        assert_eq!(namespace.to_string(), expected);
    }

    #[test]
    fn a_namespace_is_parted_by_what_it_does_not_hold() {
        check(&["intel", "psutil", "load1"], "/intel/psutil/load1");
        check(&["intel", "disk", "/", "total"], "|intel|disk|/|total");
        check(&["a/b", "c|d"], "%a/b%c|d");
    }
}
