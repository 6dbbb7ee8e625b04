//! The catalog: which metrics there are, and which of them a request means.
//!
//! A tree of namespace elements. Where an element is dynamic the tree has a branch `*`. A request
//! walks the tree: `*` in the middle means every branch, at the end everything below; any other
//! element means the branch of that name or else the dynamic one, which then has this value;
//! `(a;b)` means one request for `a` and one for `b`.
//!
//! Invariant: of each namespace and version there is one plugin. Several versions of one plugin share
//! what they offer in the same version: the newest has it.

use std::{collections::BTreeMap, fmt};

use super::{
    identity::Identity,
    metric::{ANY, Element, Metric, Namespace},
};

/// How many requests the tuples of one may become.
const TUPLE_PRODUCT: usize = 10_000;
/// How many elements a namespace may have: trees are walked by recursion.
const ELEMENTS: usize = 100;

/// All types of metrics of the loaded collectors.
#[derive(Debug, Clone, Default)]
pub(crate) struct Catalog {
    root: Node,
}

/// One type of metric and the plugin that has it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Entry {
    pub(crate) plugin: Identity,
    pub(crate) metric: Metric,
}

#[derive(Debug, Clone, Default)]
struct Node {
    branches: BTreeMap<String, Node>,
    /// What ends here, by version.
    entries: BTreeMap<i64, Entry>,
}

/// What someone wants to have collected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Request {
    elements: Vec<String>,
    /// Absent: the newest.
    version: Option<i64>,
}

/// Why a type of metric cannot be in the catalog. The mistake is the plugin's; nothing has changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum CatalogError {
    /// It has no element.
    #[error("it has a metric without a name")]
    Empty,
    /// It has too many elements.
    #[error("it has a metric of {0} elements, the most are {ELEMENTS}")]
    TooDeep(usize),
    /// An element has a name, which only a dynamic one has, and a value of its own.
    #[error("element `{element}` of metric `{metric}` has a name but a value other than `*`")]
    Named {
        /// The metric.
        metric: Namespace,
        /// The value.
        element: String,
    },
    /// A dynamic element does not say what its values are.
    #[error("metric `{0}` has a `*` without a name")]
    Nameless(Namespace),
    /// An element looks like a request for several.
    #[error("element `{element}` of metric `{metric}` is a tuple")]
    Tuple {
        /// The metric.
        metric: Namespace,
        /// The value.
        element: String,
    },
    /// The last element is dynamic.
    #[error("metric `{0}` ends with a `*`")]
    Last(Namespace),
    /// Another plugin has it.
    #[error("metric `{metric}` version {version} is offered by `{plugin}` already")]
    Taken {
        /// The metric.
        metric: Namespace,
        /// Its version.
        version: i64,
        /// Who has it.
        plugin: Identity,
    },
}

/// Why a request means nothing. The mistake is the user's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum RequestError {
    /// It does not begin with a separator, or has an element of nothing.
    #[error("`{0}` is no namespace, write it as `/intel/psutil/load/load1`")]
    Form(String),
    /// Its tuples have too many values.
    #[error("{0} means too many metrics")]
    TooMany(String),
    /// No plugin has it.
    #[error("there is no metric {0}")]
    NotFound(String),
}

impl Request {
    /// Reads a namespace whose first character parts its elements.
    pub(crate) fn parse(text: &str, version: Option<i64>) -> Result<Self, RequestError> {
        let form = || RequestError::Form(text.to_owned());
        let separator = text.chars().next().filter(|first| !first.is_alphanumeric());
        let separator = separator.ok_or_else(form)?;
        let elements: Vec<_> = text.split(separator).skip(1).map(str::to_owned).collect();
        if elements.iter().any(String::is_empty) {
            return Err(form());
        }
        Ok(Self { elements, version: version.filter(|version| *version >= 1) })
    }

    /// The version of the metrics it asks for; absent: the newest.
    pub(crate) fn version(&self) -> Option<i64> {
        self.version
    }
}

impl fmt::Display for Request {
    /// In backticks.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let elements = self.elements.iter().map(|element| Element::literal(element));
        write!(f, "`{}`", Namespace(elements.collect()))?;
        self.version.map_or(Ok(()), |version| write!(f, " version {version}"))
    }
}

impl Catalog {
    /// Adds all metrics of a plugin, or none.
    pub(crate) fn add(
        &mut self,
        plugin: &Identity,
        metrics: &[Metric],
    ) -> Result<(), CatalogError> {
        for metric in metrics {
            check(&metric.namespace)?;
            if let Some(Entry { plugin: other, .. }) = self.entry(metric)
                && (other.kind, &other.name) != (plugin.kind, &plugin.name)
            {
                let (metric, version) = (metric.namespace.clone(), metric.version);
                return Err(CatalogError::Taken { metric, version, plugin: other.clone() });
            }
        }
        for metric in metrics {
            let mut node = &mut self.root;
            for value in metric.namespace.values() {
                node = node.branches.entry(value.to_owned()).or_default();
            }
            let entry = Entry { plugin: plugin.clone(), metric: metric.clone() };
            match node.entries.get(&metric.version) {
                Some(newer) if newer.plugin.version > plugin.version => {}
                _ => drop(node.entries.insert(metric.version, entry)),
            }
        }
        Ok(())
    }

    fn entry(&self, metric: &Metric) -> Option<&Entry> {
        let mut node = &self.root;
        for value in metric.namespace.values() {
            node = node.branches.get(value)?;
        }
        node.entries.get(&metric.version)
    }

    /// Everything, by namespace and version.
    pub(crate) fn entries(&self) -> Vec<&Entry> {
        let mut found = Vec::new();
        self.root.all(&mut found);
        found
    }

    /// What a request means, with the values it gives to dynamic elements.
    pub(crate) fn expand(&self, request: &Request) -> Result<Vec<Entry>, RequestError> {
        let mut found = Vec::new();
        for elements in product(request)? {
            let before = found.len();
            let one = Request { elements, version: request.version };
            self.root.walk(&one.elements, one.version, &mut Vec::new(), &mut found);
            if found.len() == before {
                return Err(RequestError::NotFound(one.to_string()));
            }
        }
        Ok(found)
    }
}

impl Node {
    fn all<'a>(&'a self, found: &mut Vec<&'a Entry>) {
        found.extend(self.entries.values());
        for node in self.branches.values() {
            node.all(found);
        }
    }

    /// Goes down the branches that the rest of a request means; `values` are those chosen so far.
    fn walk(
        &self,
        rest: &[String],
        version: Option<i64>,
        values: &mut Vec<String>,
        found: &mut Vec<Entry>,
    ) {
        let Some((first, rest)) = rest.split_first() else {
            found.extend(self.choose(version).map(|entry| with_values(entry, values)));
            return;
        };
        if first == ANY {
            for (value, node) in &self.branches {
                values.push(value.clone());
                if rest.is_empty() {
                    node.below(version, values, found);
                } else {
                    node.walk(rest, version, values, found);
                }
                values.pop();
            }
        } else if let Some(node) = self.branches.get(first).or_else(|| self.branches.get(ANY)) {
            values.push(first.clone());
            node.walk(rest, version, values, found);
            values.pop();
        }
    }

    /// Everything from here on.
    fn below(&self, version: Option<i64>, values: &mut Vec<String>, found: &mut Vec<Entry>) {
        found.extend(self.choose(version).map(|entry| with_values(entry, values)));
        for (value, node) in &self.branches {
            values.push(value.clone());
            node.below(version, values, found);
            values.pop();
        }
    }

    fn choose(&self, version: Option<i64>) -> Option<&Entry> {
        match version {
            Some(version) => self.entries.get(&version),
            None => self.entries.values().next_back(),
        }
    }
}

/// The entry with these values instead of those that stand for any. Names stay.
fn with_values(entry: &Entry, values: &[String]) -> Entry {
    let mut entry = entry.clone();
    for (element, value) in entry.metric.namespace.0.iter_mut().zip(values) {
        element.value.clone_from(value);
    }
    entry
}

fn check(namespace: &Namespace) -> Result<(), CatalogError> {
    if namespace.0.len() > ELEMENTS {
        return Err(CatalogError::TooDeep(namespace.0.len()));
    }
    for element in &namespace.0 {
        let value = element.value.clone();
        if element.is_dynamic() && value != ANY {
            return Err(CatalogError::Named { metric: namespace.clone(), element: value });
        }
        if !element.is_dynamic() && value == ANY {
            return Err(CatalogError::Nameless(namespace.clone()));
        }
        if tuple(&value).is_some() {
            return Err(CatalogError::Tuple { metric: namespace.clone(), element: value });
        }
    }
    match namespace.0.last() {
        None => Err(CatalogError::Empty),
        Some(last) if last.value == ANY => Err(CatalogError::Last(namespace.clone())),
        Some(_) => Ok(()),
    }
}

/// The values of `(a;b;c)`.
fn tuple(element: &str) -> Option<Vec<&str>> {
    let inside = element.strip_prefix('(')?.strip_suffix(')')?;
    let values: Vec<_> = inside.split(';').map(str::trim).collect();
    (values.len() > 1 && values.iter().all(|value| !value.is_empty())).then_some(values)
}

/// The requests that the tuples of one stand for.
fn product(request: &Request) -> Result<Vec<Vec<String>>, RequestError> {
    let mut product = vec![Vec::new()];
    for element in &request.elements {
        let values = match tuple(element) {
            Some(values) if values.contains(&ANY) => vec![ANY],
            Some(values) => values,
            None => vec![element.as_str()],
        };
        if product.len().saturating_mul(values.len()) > TUPLE_PRODUCT {
            return Err(RequestError::TooMany(request.to_string()));
        }
        product = product
            .iter()
            .flat_map(|begin: &Vec<String>| {
                values.iter().map(|value| {
                    let mut elements = begin.clone();
                    elements.push((*value).to_owned());
                    elements
                })
            })
            .collect();
    }
    Ok(product)
}

#[cfg(test)]
mod tests {
    use super::{
        super::{identity::Kind, metric::Time},
        *,
    };

    fn plugin(name: &str, version: i64) -> Identity {
        Identity::new(Kind::Collector, name, version).unwrap()
    }

    /// A metric; `*name` is a dynamic element.
    fn metric(text: &str, version: i64) -> Metric {
        let element = |text: &str| match text.strip_prefix('*') {
            Some(name) => Element { name: name.into(), ..Element::literal(ANY) },
            None => Element::literal(text),
        };
        let time = Time { sec: 1, nsec: 0 };
        Metric {
            namespace: Namespace(text.split('/').skip(1).map(element).collect()),
            version,
            tags: BTreeMap::new(),
            timestamp: time,
            advertised: time,
            unit: String::new(),
            description: String::new(),
            data: None,
        }
    }

    fn catalog() -> Catalog {
        let metrics = [
            metric("/intel/psutil/load/load1", 14),
            metric("/intel/psutil/load/load5", 14),
            metric("/intel/psutil/cpu/*cpu_id/user", 14),
            metric("/intel/psutil/cpu/*cpu_id/idle", 14),
            metric("/intel/psutil/cpu/cpu-total/user", 14),
        ];
        let mut catalog = Catalog::default();
        catalog.add(&plugin("psutil", 14), &metrics).unwrap();
        catalog.add(&plugin("psutil", 15), &[metric("/intel/psutil/load/load1", 15)]).unwrap();
        catalog
    }

    fn check(request: &str, version: Option<i64>, expected: Result<&[&str], &str>) {
        let found = Request::parse(request, version).and_then(|one| catalog().expand(&one));
        let shown = |entry: &Entry| format!("{} {}", entry.metric.namespace, entry.metric.version);
        let found = found.map(|entries| entries.iter().map(shown).collect::<Vec<_>>());
        let found = found.map_err(|error| error.to_string());
        let expected = expected.map(|texts| texts.iter().map(|&text| text.to_owned()).collect());
        assert_eq!(found, expected.map_err(str::to_owned));
    }

    #[test]
    fn a_plain_request_means_one_metric_in_its_newest_version() {
        check("/intel/psutil/load/load1", None, Ok(&["/intel/psutil/load/load1 15"]));
        check("/intel/psutil/load/load1", Some(0), Ok(&["/intel/psutil/load/load1 15"]));
        check("/intel/psutil/load/load1", Some(14), Ok(&["/intel/psutil/load/load1 14"]));
        let missing = "there is no metric `/intel/psutil/load/load1` version 13";
        check("/intel/psutil/load/load1", Some(13), Err(missing));
        check("/intel/psutil", None, Err("there is no metric `/intel/psutil`"));
        check("/intel/x", None, Err("there is no metric `/intel/x`"));
    }

    #[test]
    fn any_character_may_part_the_elements_of_a_request() {
        check("|intel|psutil|load|load5", None, Ok(&["/intel/psutil/load/load5 14"]));
        for text in ["", "intel/psutil", "/", "/intel//load", "/intel/"] {
            let message =
                format!("`{text}` is no namespace, write it as `/intel/psutil/load/load1`");
            check(text, None, Err(&message));
        }
    }

    #[test]
    fn a_star_in_the_middle_means_every_branch_the_dynamic_one_too() {
        let user = ["/intel/psutil/cpu/*/user 14", "/intel/psutil/cpu/cpu-total/user 14"];
        check("/intel/psutil/cpu/*/user", None, Ok(&user));
    }

    #[test]
    fn a_star_at_the_end_means_everything_below() {
        let load = ["/intel/psutil/load/load1 15", "/intel/psutil/load/load5 14"];
        check("/intel/psutil/load/*", None, Ok(&load));
        let cpu = [
            "/intel/psutil/cpu/*/idle 14",
            "/intel/psutil/cpu/*/user 14",
            "/intel/psutil/cpu/cpu-total/user 14",
        ];
        check("/intel/psutil/cpu/*", None, Ok(&cpu));
        check("/intel/psutil/*", None, Ok(&[&cpu[..], &load[..]].concat()));
    }

    #[test]
    fn a_value_means_the_branch_of_its_name_or_else_the_dynamic_one() {
        check("/intel/psutil/cpu/cpu0/user", None, Ok(&["/intel/psutil/cpu/cpu0/user 14"]));
        let total = ["/intel/psutil/cpu/cpu-total/user 14"];
        check("/intel/psutil/cpu/cpu-total/user", None, Ok(&total));
        // There is a branch of that name, so the dynamic one is not meant.
        let missing = "there is no metric `/intel/psutil/cpu/cpu-total/idle`";
        check("/intel/psutil/cpu/cpu-total/idle", None, Err(missing));
    }

    #[test]
    fn a_given_value_keeps_the_name_of_its_element() {
        let request = Request::parse("/intel/psutil/cpu/cpu0/user", None).unwrap();
        let found = catalog().expand(&request).unwrap();
        let element = &found[0].metric.namespace.0[3];
        assert_eq!((element.value.as_str(), element.name.as_str()), ("cpu0", "cpu_id"));
    }

    #[test]
    fn a_tuple_means_one_request_for_each_value() {
        let load = ["/intel/psutil/load/load5 14", "/intel/psutil/load/load1 15"];
        check("/intel/psutil/load/(load5;load1)", None, Ok(&load));
        let cpu = [
            "/intel/psutil/cpu/cpu0/user 14",
            "/intel/psutil/cpu/cpu0/idle 14",
            "/intel/psutil/cpu/cpu1/user 14",
            "/intel/psutil/cpu/cpu1/idle 14",
        ];
        check("/intel/psutil/cpu/(cpu0;cpu1)/(user;idle)", None, Ok(&cpu));
        let any = ["/intel/psutil/cpu/*/idle 14"];
        check("/intel/psutil/cpu/(cpu0;*)/idle", None, Ok(&any));
        let missing = "there is no metric `/intel/psutil/load/load7`";
        check("/intel/psutil/load/(load1;load7)", None, Err(missing));
    }

    #[test]
    fn tuples_that_multiply_beyond_measure_are_refused() {
        let request = format!("/x{}", "/(0;1;2;3;4;5;6;7;8;9)".repeat(5));
        check(&request, None, Err(&format!("`{request}` means too many metrics")));
    }

    fn check_refused(namespace: Namespace, expected: &str) {
        let mut catalog = catalog();
        let before = catalog.entries().len();
        let bad = Metric { namespace, ..metric("/x", 1) };
        let error = catalog.add(&plugin("bad", 1), &[metric("/good", 1), bad]).unwrap_err();
        assert_eq!(error.to_string(), expected);
        assert_eq!(catalog.entries().len(), before);
    }

    #[test]
    fn what_cannot_be_asked_for_cannot_be_offered() {
        let with = |value: &str, name: &str, last: &str| {
            let element = Element { name: name.into(), ..Element::literal(value) };
            Namespace(vec![Element::literal("a"), element, Element::literal(last)])
        };
        check_refused(
            with("cpu0", "cpu_id", "user"),
            "element `cpu0` of metric `/a/cpu0/user` has a name but a value other than `*`",
        );
        check_refused(with("*", "", "user"), "metric `/a/*/user` has a `*` without a name");
        check_refused(
            with("(b;c)", "", "user"),
            "element `(b;c)` of metric `/a/(b;c)/user` is a tuple",
        );
        let mut last = with("b", "", "*");
        last.0[2].name = "x".into();
        check_refused(last, "metric `/a/b/*` ends with a `*`");
        check_refused(Namespace(Vec::new()), "it has a metric without a name");
        let deep = Namespace(vec![Element::literal("a"); 101]);
        check_refused(deep, "it has a metric of 101 elements, the most are 100");
    }

    #[test]
    fn a_metric_has_one_plugin_for_each_version() {
        let mut catalog = catalog();
        let load1 = |version| [metric("/intel/psutil/load/load1", version)];
        catalog.add(&plugin("other", 1), &load1(1)).unwrap();
        let error = catalog.add(&plugin("other", 2), &load1(14)).unwrap_err().to_string();
        let expected = "metric `/intel/psutil/load/load1` version 14 is offered by \
                        `collector:psutil:14` already";
        assert_eq!(error, expected);
    }

    #[test]
    fn of_two_versions_of_a_plugin_the_newer_has_what_both_offer() {
        let load1 = [metric("/load1", 1)];
        for order in [[1, 2], [2, 1]] {
            let mut catalog = Catalog::default();
            for version in order {
                catalog.add(&plugin("psutil", version), &load1).unwrap();
            }
            let found: Vec<_> =
                catalog.entries().iter().map(|entry| entry.plugin.version).collect();
            assert_eq!(found, [2]);
        }
    }
}
