//! Values for the metrics below a prefix of their namespaces. A longer prefix counts more.

use std::collections::BTreeMap;

/// What metrics get, by prefix and name.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct ByPrefix<V>(BTreeMap<Vec<String>, BTreeMap<String, V>>);

impl<V> Default for ByPrefix<V> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<V: Clone> ByPrefix<V> {
    /// Adds what the metrics below a prefix get; `/` parts its elements, and `/` is all metrics.
    pub(crate) fn add(&mut self, prefix: &str, values: BTreeMap<String, V>) {
        let elements = prefix.split('/').filter(|element| !element.is_empty());
        self.0.entry(elements.map(str::to_owned).collect()).or_default().extend(values);
    }

    /// What a metric of this namespace gets.
    pub(crate) fn of<'a>(
        &self,
        namespace: impl Iterator<Item = &'a str> + Clone,
    ) -> BTreeMap<String, V> {
        let is_prefix = |prefix: &[String]| {
            let mut elements = namespace.clone();
            prefix.iter().all(|element| elements.next() == Some(element))
        };
        // Shorter prefixes of one namespace are sorted before longer ones.
        let below = self.0.iter().filter(|(prefix, _)| is_prefix(prefix));
        below.flat_map(|(_, values)| values.clone()).collect()
    }

    /// All of it, by prefix.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (String, &BTreeMap<String, V>)> {
        self.0.iter().map(|(prefix, values)| (format!("/{}", prefix.join("/")), values))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_longer_prefix_covers_a_shorter_one() {
        let mut tree = ByPrefix::default();
        let of = |text: &str| BTreeMap::from([("k".to_owned(), text.to_owned())]);
        tree.add("/intel/disk", of("disk"));
        tree.add("/", of("all"));
        tree.add("/intel", of("intel"));
        let check = |namespace: &[&str], expected: &str| {
            assert_eq!(tree.of(namespace.iter().copied()), of(expected), "for {namespace:?}");
        };
        check(&["intel", "disk", "sda"], "disk");
        check(&["intel", "diskette"], "intel");
        check(&["acme"], "all");
    }
}
