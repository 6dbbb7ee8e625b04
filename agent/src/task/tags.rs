//! Tags that metrics get by the beginning of their namespace.

use std::collections::BTreeMap;

use crate::plugin::Metric;

/// Tags by prefix of namespaces. A longer prefix counts more.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct TagTree(Vec<(Vec<String>, BTreeMap<String, String>)>);

impl TagTree {
    /// Tags by prefixes, the elements of which are parted by `/`.
    pub(crate) fn new(tags: &BTreeMap<String, BTreeMap<String, String>>) -> Self {
        let elements = |prefix: &str| {
            let elements = prefix.split('/').filter(|element| !element.is_empty());
            elements.map(str::to_owned).collect::<Vec<_>>()
        };
        let all = tags.iter().map(|(prefix, tags)| (elements(prefix), tags.clone()));
        let mut all: Vec<_> = all.filter(|(_, tags)| !tags.is_empty()).collect();
        all.sort_by_key(|(prefix, _)| prefix.len());
        Self(all)
    }

    /// Gives metrics their tags.
    pub(crate) fn apply(&self, metrics: &mut [Metric]) {
        for (prefix, tags) in &self.0 {
            for metric in metrics.iter_mut() {
                let mut values = metric.namespace.values();
                if prefix.iter().all(|element| values.next() == Some(element)) {
                    let tags = tags.iter().map(|(key, value)| (key.clone(), value.clone()));
                    metric.tags.extend(tags);
                }
            }
        }
    }
}
