//! Facts: what a node says about itself.
//!
//! Facts are collected from the host, given at start as `key=value`, or set while the node runs.
//! Policies are evaluated over them. This module knows values and where they came from; it must not
//! know how they are collected (`runtime`) or judged (`policy`).
//!
//! Invariant: a [`Facts`] set that was checked fits [`limits::FACTS_BYTES`], and its numbers are
//! between -2^63 and 2^63, so that all of it can be said in JSON and read again.
//!
//! ```
//! use tribe::Value;
//! assert_eq!(Value::from_text("True"), Value::from(true));
//! assert_eq!(Value::from_text("007"), Value::from("007"));
//! assert_eq!(Value::from_text("16"), Value::from(16));
//! ```

pub(crate) mod index;

use std::{collections::BTreeMap, fmt, net::IpAddr, sync::OnceLock};

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::{
    limits,
    name::{FactName, NameError},
};

/// Facts that the host itself answers for: only the collector may say them.
/// The RFC's ten, and what policies of other systems ask of a Linux host.
pub const BUILT_IN: &[&str] = &[
    "all_ipv4_addresses",
    "all_ipv6_addresses",
    "architecture",
    "bios_version",
    "cgroup_version",
    "default_ipv4",
    "default_ipv6",
    "devices",
    "dns_nameservers",
    "efi",
    "fips",
    "gpus",
    "hostname",
    "interfaces",
    "kernel",
    "kernel_name",
    "meminstalled",
    "memtotal",
    "node_name",
    "numa_nodes",
    "os_dist",
    "os_dist_id",
    "os_dist_like",
    "os_dist_release",
    "os_dist_version",
    "os_family",
    "pkg_mgr",
    "processor_cores",
    "processor_count",
    "processor_features",
    "processor_level",
    "processor_threads_per_core",
    "processor_type",
    "processor_vcpus",
    "processor_vendor",
    "product_name",
    "product_vendor",
    "service_mgr",
    "shard",
    "swaptotal",
    "timezone",
    "virtualization_role",
    "virtualization_type",
];

/// Is this the name of a fact that only the host's collector may say?
#[must_use]
pub fn is_built_in(name: &str) -> bool {
    BUILT_IN.binary_search(&name).is_ok()
}

/// A yes or no that remembers how it was spelled, so that `== True` and `== "True"` both mean what they say.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Boolean {
    /// The value.
    pub value: bool,
    /// How it was written.
    pub spelling: Spelling,
}

/// How a [`Boolean`] was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Spelling {
    /// `true`
    Lower,
    /// `True`
    Title,
    /// `TRUE`
    Upper,
}

impl Boolean {
    /// The text it was written as.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match (self.value, self.spelling) {
            (true, Spelling::Lower) => "true",
            (true, Spelling::Title) => "True",
            (true, Spelling::Upper) => "TRUE",
            (false, Spelling::Lower) => "false",
            (false, Spelling::Title) => "False",
            (false, Spelling::Upper) => "FALSE",
        }
    }

    fn parse(text: &str) -> Option<Self> {
        let found = |value, spelling| Some(Self { value, spelling });
        match text {
            "true" => found(true, Spelling::Lower),
            "True" => found(true, Spelling::Title),
            "TRUE" => found(true, Spelling::Upper),
            "false" => found(false, Spelling::Lower),
            "False" => found(false, Spelling::Title),
            "FALSE" => found(false, Spelling::Upper),
            _ => None,
        }
    }
}

impl PartialEq for Boolean {
    /// Two booleans are equal whatever their spelling.
    fn eq(&self, other: &Self) -> bool {
        self.value == other.value
    }
}

/// The value of a fact.
///
/// Sizes are integers in bytes. A JSON null is no value: the fact is missing.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// Yes or no.
    Bool(Boolean),
    /// A whole number.
    Int(i64),
    /// A number; as a fact, between -2^63 and 2^63.
    Float(f64),
    /// Text, at most [`limits::FACT_TEXT_BYTES`].
    Text(Box<str>),
    /// An IP address.
    Ip(IpAddr),
    /// An IP network.
    Net(IpNet),
    /// A list, in the order of its source.
    List(Vec<Value>),
    /// A map, by key.
    Map(BTreeMap<String, Value>),
}

/// Where a fact came from. Of facts of one name that of the host stands, and else that set at run time
/// before that given at start before that of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Source {
    /// Collected from the host.
    Host,
    /// The configuration, or the command line at start.
    Start,
    /// Set while the node runs.
    Runtime,
    /// A file of the directory of external facts.
    File,
}

impl Source {
    /// The source's name, as shown and as in JSON.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Host => "host",
            Self::Start => "start",
            Self::Runtime => "runtime",
            Self::File => "file",
        }
    }
}

/// One fact: a value and its source.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Fact {
    /// What is said.
    pub value: Value,
    /// Who said it.
    pub source: Source,
}

/// The facts of one node, by top-level name.
#[derive(Default)]
pub struct Facts {
    /// INVARIANT: in the order of their names, each name once.
    facts: Vec<(FactName, Fact)>,
    /// INVARIANT: of these facts. It is left out of copies, comparisons and the wire.
    index: OnceLock<index::Index>,
}

/// Why something is not a fact. Nothing has changed; the mistake is the user's.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum FactError {
    /// The name is not a fact name.
    #[error(transparent)]
    Name(#[from] NameError),
    /// There is no name before the value.
    #[error("`{0}` names no fact, write it as `NAME=VALUE`")]
    NoName(String),
    /// The host itself answers for this fact.
    #[error("`{0}` is collected from the host and cannot be set, choose another name")]
    BuiltIn(FactName),
    /// A text, list or map is too large, or nested too deep.
    #[error("fact `{name}` is too large: {what} {found}, at most {max}")]
    TooLarge {
        /// The fact.
        name: FactName,
        /// What of it.
        what: &'static str,
        /// How much there is.
        found: usize,
        /// How much may be.
        max: usize,
    },
    /// All facts of the node together are too large.
    #[error("the facts of this node take {found} bytes, at most {max}")]
    TooManyBytes {
        /// Bytes with the new fact.
        found: usize,
        /// Bytes allowed.
        max: usize,
    },
    /// A number that no fact can hold.
    #[error("fact `{0}` is not a number between -2^63 and 2^63")]
    Number(FactName),
    /// The value is a JSON null: leave the fact out instead.
    #[error("fact `{0}` is null, leave it out or unset it")]
    Null(FactName),
}

/// From here on every float is a whole number, and no fact: what reads JSON makes one of a whole number
/// that has more than 64 bits, and its last digits are lost.
const WHOLE: f64 = 9_223_372_036_854_775_808.0;

/// Can a fact be this number? It is neither infinite nor none at all.
fn fits(number: f64) -> bool {
    number.abs() < WHOLE
}

impl Value {
    /// Reads the value of a `key=value` fact: a boolean or a canonical whole number where it is
    /// spelled as one (`007` is not), else text. The spelling is kept.
    #[must_use]
    pub fn from_text(text: &str) -> Self {
        if let Some(boolean) = Boolean::parse(text) {
            return Self::Bool(boolean);
        }
        match text.parse::<i64>() {
            Ok(number) if number.to_string() == text => Self::Int(number),
            _ => Self::Text(text.into()),
        }
    }

    /// Reads a JSON value. `None` for null, alone or inside, and for numbers no fact can hold: whole
    /// ones beyond 64 bits, and what is written as a float but as large.
    #[must_use]
    pub fn from_json(json: &serde_json::Value) -> Option<Self> {
        use serde_json::Value as Json;
        Some(match json {
            Json::Null => return None,
            Json::Bool(value) => Self::from(*value),
            Json::Number(number) => match number.as_i64() {
                Some(number) => Self::Int(number),
                None => Self::Float(number.as_f64().filter(|number| fits(*number))?),
            },
            Json::String(text) => Self::Text(text.as_str().into()),
            Json::Array(list) => {
                Self::List(list.iter().map(Self::from_json).collect::<Option<_>>()?)
            }
            Json::Object(map) => Self::Map(
                map.iter()
                    .filter(|(_, value)| !value.is_null())
                    .map(|(key, value)| Some((key.clone(), Self::from_json(value)?)))
                    .collect::<Option<_>>()?,
            ),
        })
    }

    /// The value as JSON. Addresses and networks become text, booleans lose their spelling.
    #[must_use]
    pub fn to_json(&self) -> serde_json::Value {
        use serde_json::Value as Json;
        match self {
            Self::Bool(boolean) => Json::Bool(boolean.value),
            Self::Int(number) => Json::from(*number),
            Self::Float(number) => Json::from(*number),
            Self::Text(text) => Json::from(text.as_ref()),
            Self::Ip(address) => Json::from(address.to_string()),
            Self::Net(network) => Json::from(network.to_string()),
            Self::List(list) => Json::Array(list.iter().map(Self::to_json).collect()),
            Self::Map(map) => Json::Object(
                map.iter().map(|(key, value)| (key.clone(), value.to_json())).collect(),
            ),
        }
    }

    /// The name of the value's type, as shown to people.
    #[must_use]
    pub fn type_name(&self) -> &'static str {
        match self {
            Self::Bool(_) => "bool",
            Self::Int(_) => "int",
            Self::Float(_) => "float",
            Self::Text(_) => "text",
            Self::Ip(_) => "ip",
            Self::Net(_) => "net",
            Self::List(_) => "list",
            Self::Map(_) => "map",
        }
    }

    fn check(&self, name: &FactName, depth: usize) -> Result<(), FactError> {
        let too_large =
            |what, found, max| Err(FactError::TooLarge { name: name.clone(), what, found, max });
        if depth > limits::FACT_DEPTH {
            return too_large("levels", depth, limits::FACT_DEPTH);
        }
        match self {
            Self::Text(text) if text.len() > limits::FACT_TEXT_BYTES => {
                too_large("bytes of text", text.len(), limits::FACT_TEXT_BYTES)
            }
            Self::Float(number) if !fits(*number) => Err(FactError::Number(name.clone())),
            Self::List(list) if list.len() > limits::FACT_ELEMENTS => {
                too_large("elements", list.len(), limits::FACT_ELEMENTS)
            }
            Self::Map(map) if map.len() > limits::FACT_ELEMENTS => {
                too_large("elements", map.len(), limits::FACT_ELEMENTS)
            }
            Self::List(list) => list.iter().try_for_each(|value| value.check(name, depth + 1)),
            Self::Map(map) => map.values().try_for_each(|value| value.check(name, depth + 1)),
            _ => Ok(()),
        }
    }
}

impl fmt::Display for Value {
    /// Text as it is, everything else as JSON, booleans as they were spelled.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => f.pad(text),
            Self::Bool(boolean) => f.pad(boolean.as_str()),
            other => match other.to_json() {
                serde_json::Value::String(text) => f.pad(&text),
                json => f.pad(&json.to_string()),
            },
        }
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self::Bool(Boolean { value, spelling: Spelling::Lower })
    }
}

impl From<i64> for Value {
    fn from(value: i64) -> Self {
        Self::Int(value)
    }
}

impl From<&str> for Value {
    fn from(value: &str) -> Self {
        Self::Text(value.into())
    }
}

impl From<String> for Value {
    fn from(value: String) -> Self {
        Self::Text(value.into())
    }
}

impl From<IpAddr> for Value {
    fn from(value: IpAddr) -> Self {
        Self::Ip(value)
    }
}

/// How a value is encoded: its parts in order, a list or map before its elements. The codec is not
/// self-describing, and a tree decoded by recursion would let a peer choose the depth of our stack.
#[derive(Serialize, Deserialize)]
enum Part {
    Bool(Boolean),
    Int(i64),
    Float(f64),
    Text(Box<str>),
    Ip(IpAddr),
    Net(IpNet),
    /// So many values follow.
    List(u32),
    /// So many pairs of key and value follow.
    Map(u32),
    Key(String),
}

impl Value {
    fn to_parts(&self, parts: &mut Vec<Part>) {
        let length = |length: usize| u32::try_from(length).unwrap_or(u32::MAX);
        parts.push(match self {
            Self::Bool(value) => Part::Bool(*value),
            Self::Int(value) => Part::Int(*value),
            Self::Float(value) => Part::Float(*value),
            Self::Text(value) => Part::Text(value.clone()),
            Self::Ip(value) => Part::Ip(*value),
            Self::Net(value) => Part::Net(*value),
            Self::List(list) => Part::List(length(list.len())),
            Self::Map(map) => Part::Map(length(map.len())),
        });
        match self {
            Self::List(list) => list.iter().for_each(|value| value.to_parts(parts)),
            Self::Map(map) => {
                for (key, value) in map {
                    parts.push(Part::Key(key.clone()));
                    value.to_parts(parts);
                }
            }
            _ => {}
        }
    }

    /// `None` if the parts are no value, or nest deeper than any fact.
    fn from_parts(parts: &mut impl Iterator<Item = Part>, depth: usize) -> Option<Self> {
        if depth > limits::FACT_DEPTH {
            return None;
        }
        Some(match parts.next()? {
            Part::Bool(value) => Self::Bool(value),
            Part::Int(value) => Self::Int(value),
            Part::Float(value) => Self::Float(value),
            Part::Text(value) => Self::Text(value),
            Part::Ip(value) => Self::Ip(value),
            Part::Net(value) => Self::Net(value),
            Part::List(length) => {
                let values = (0..length).map(|_| Self::from_parts(parts, depth + 1));
                Self::List(values.collect::<Option<_>>()?)
            }
            Part::Map(length) => {
                let pairs = (0..length).map(|_| match parts.next()? {
                    Part::Key(key) => Some((key, Self::from_parts(parts, depth + 1)?)),
                    _ => None,
                });
                Self::Map(pairs.collect::<Option<_>>()?)
            }
            Part::Key(_) => return None,
        })
    }
}

impl Serialize for Value {
    /// Plain JSON for people's formats, its parts for the wire.
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            return self.to_json().serialize(serializer);
        }
        let mut parts = Vec::new();
        self.to_parts(&mut parts);
        parts.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        use serde::de::Error as _;
        if deserializer.is_human_readable() {
            let json = serde_json::Value::deserialize(deserializer)?;
            return Self::from_json(&json)
                .ok_or_else(|| D::Error::custom("null or a number out of range is not a fact"));
        }
        let mut parts = Vec::<Part>::deserialize(deserializer)?.into_iter();
        Self::from_parts(&mut parts, 1)
            .filter(|_| parts.next().is_none())
            .ok_or_else(|| D::Error::custom("the parts are no fact"))
    }
}

impl Facts {
    /// No facts.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn place(&self, name: &str) -> Result<usize, usize> {
        self.facts.binary_search_by(|(known, _)| known.as_str().cmp(name))
    }

    /// Adds or replaces one fact.
    pub fn insert(&mut self, name: FactName, value: Value, source: Source) {
        let place = self.place(name.as_str());
        let fact = Fact { value, source };
        match place {
            Ok(at) => {
                if let Some(index) = self.index.get_mut() {
                    index.replace(at, &fact.value);
                }
                if let Some((_, old)) = self.facts.get_mut(at) {
                    *old = fact;
                }
            }
            Err(at) => {
                self.index = OnceLock::new();
                self.facts.insert(at, (name, fact));
            }
        }
    }

    /// Removes one fact.
    pub fn remove(&mut self, name: &FactName) -> Option<Fact> {
        let at = self.place(name.as_str()).ok()?;
        self.index = OnceLock::new();
        Some(self.facts.remove(at).1)
    }

    /// One fact by its top-level name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Fact> {
        let (_, fact) = self.facts.get(self.place(name).ok()?)?;
        Some(fact)
    }

    /// A fact by its name as it is looked for, and in full if need be.
    #[inline]
    pub(crate) fn find<'a>(
        &'a self,
        name: index::Probe,
        full: impl Fn() -> Option<&'a FactName>,
    ) -> Option<index::Found<'a>> {
        self.index.get_or_init(|| index::Index::new(&self.facts)).find(&self.facts, name, full)
    }

    /// All facts, by name.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&FactName, &Fact)> {
        self.facts.iter().map(|(name, fact)| (name, fact))
    }

    /// How many top-level facts there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.facts.len()
    }

    /// Are there none?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.facts.is_empty()
    }

    /// These facts, covered by others where both have a name.
    #[must_use]
    pub fn covered_by(&self, upper: &Self) -> Self {
        let mut facts: BTreeMap<FactName, Fact> = self.facts.iter().cloned().collect();
        facts.extend(upper.facts.iter().cloned());
        facts.into()
    }

    /// The names of the facts that are not the same in both.
    pub(crate) fn changed<'a>(&'a self, other: &'a Self) -> impl Iterator<Item = &'a FactName> {
        let differs = |left: &'a Self, right: &'a Self, both: bool| {
            left.iter().filter_map(move |(name, fact)| match right.get(name.as_str()) {
                Some(found) => (both && found.value != fact.value).then_some(name),
                None => Some(name),
            })
        };
        differs(self, other, true).chain(differs(other, self, false))
    }

    /// Facts from a JSON object, all of one source. Nulls are left out.
    ///
    /// # Errors
    /// [`FactError`] if the object has a name or a number that no fact can have.
    pub fn from_json(
        object: &serde_json::Map<String, serde_json::Value>,
        source: Source,
    ) -> Result<Self, FactError> {
        let mut facts = Self::new();
        for (name, json) in object.iter().filter(|(_, json)| !json.is_null()) {
            let name = FactName::parse(name)?;
            let value = Value::from_json(json).ok_or_else(|| FactError::Number(name.clone()))?;
            value.check(&name, 1)?;
            facts.insert(name, value, source);
        }
        Ok(facts)
    }

    /// Checks the size of every value.
    ///
    /// # Errors
    /// [`FactError::TooLarge`] or [`FactError::Number`] for the first fact that breaks a limit.
    pub fn check(&self) -> Result<(), FactError> {
        self.iter().try_for_each(|(name, fact)| fact.value.check(name, 1))
    }
}

impl From<BTreeMap<FactName, Fact>> for Facts {
    fn from(facts: BTreeMap<FactName, Fact>) -> Self {
        Self { facts: facts.into_iter().collect(), index: OnceLock::new() }
    }
}

impl Clone for Facts {
    fn clone(&self) -> Self {
        Self { facts: self.facts.clone(), index: OnceLock::new() }
    }
}

impl PartialEq for Facts {
    fn eq(&self, other: &Self) -> bool {
        self.facts == other.facts
    }
}

impl fmt::Debug for Facts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

impl Serialize for Facts {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.iter())
    }
}

impl<'de> Deserialize<'de> for Facts {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(BTreeMap::deserialize(deserializer)?.into())
    }
}

/// Reads a fact given as `key=value`, or a bare `key`, which is `True`.
///
/// # Errors
/// [`FactError`] if the key is not a fact name, is built in, or the value is too large.
pub fn parse_pair(text: &str) -> Result<(FactName, Value), FactError> {
    let (name, value) = match text.split_once('=') {
        Some((name, value)) => (name, Value::from_text(value)),
        None => (text, Value::Bool(Boolean { value: true, spelling: Spelling::Title })),
    };
    if name.is_empty() {
        return Err(FactError::NoName(text.to_owned()));
    }
    let name = settable(name)?;
    value.check(&name, 1)?;
    Ok((name, value))
}

/// Reads the name of a fact that may be set by people.
///
/// # Errors
/// [`FactError`] if it is not a fact name, or is built in.
pub fn settable(name: &str) -> Result<FactName, FactError> {
    let name = FactName::parse(name)?;
    if is_built_in(name.as_str()) { Err(FactError::BuiltIn(name)) } else { Ok(name) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(pair: &str, expected: &str) {
        let found = match parse_pair(pair) {
            Ok((name, value)) => format!("{name} {} {value}", value.type_name()),
            Err(error) => error.to_string(),
        };
        assert_eq!(found, expected);
    }

    #[test]
    fn pairs_get_the_type_they_are_spelled_as() {
        check("storage_tier=True", "storage_tier bool True");
        check("storage_tier=tRue", "storage_tier text tRue");
        check("rack=7", "rack int 7");
        check("rack=007", "rack text 007");
        check("version=20.04", "version text 20.04");
        check("flag", "flag bool True");
        check("empty=", "empty text ");
        check("url=http://a?b=c", "url text http://a?b=c");
    }

    #[test]
    fn a_number_beyond_64_bits_is_no_fact_and_not_rounded() {
        let check = |text: &str, expected: Option<Value>| {
            let json: serde_json::Value = serde_json::from_str(text).unwrap();
            assert_eq!(Value::from_json(&json), expected, "{text}");
        };
        check("9007199254740993", Some(Value::Int(9_007_199_254_740_993)));
        check("9223372036854775807", Some(Value::Int(i64::MAX)));
        check("-9223372036854775808", Some(Value::Int(i64::MIN)));
        check("9223372036854775808", None);
        check("-9223372036854775809", None);
        check("100000000000000000001", None);
        check("[1, 1e20]", None);
        check("1e18", Some(Value::Float(1e18)));
        check("0.1", Some(Value::Float(0.1)));
    }

    #[test]
    fn a_number_is_a_fact_if_its_json_is_one() {
        let check = |number: f64, is_fact: bool| {
            let (value, name) = (Value::Float(number), FactName::parse("f").unwrap());
            let found = value.check(&name, 1);
            assert_eq!(found, is_fact.then_some(()).ok_or(FactError::Number(name)), "{number}");
            let text = serde_json::to_string(&value).unwrap();
            assert_eq!(serde_json::from_str(&text).ok(), is_fact.then_some(value), "{text}");
        };
        for number in [0.0, -0.0, 1.0, -7.5, 1e-300, 0.1, 1e18, -9_223_372_036_854_774_784.0] {
            check(number, true);
        }
        for number in [WHOLE, -WHOLE, 1e20, f64::MAX, f64::INFINITY, f64::NEG_INFINITY, f64::NAN] {
            check(number, false);
        }
    }

    proptest! {
        #[test]
        fn a_float_is_read_as_it_was_written(bits: u64) {
            let value = Value::Float(f64::from_bits(bits));
            let is_fact = value.check(&FactName::parse("f").unwrap(), 1).is_ok();
            let text = serde_json::to_string(&value).unwrap();
            prop_assert_eq!(serde_json::from_str(&text).ok(), is_fact.then_some(value), "{}", text);
        }
    }

    #[test]
    fn pairs_that_are_no_facts_say_why() {
        check(
            "os_dist=Plan9",
            "`os_dist` is collected from the host and cannot be set, choose another name",
        );
        check("=x", "`=x` names no fact, write it as `NAME=VALUE`");
        let long = format!("k={}", "x".repeat(5000));
        check(&long, "fact `k` is too large: bytes of text 5000, at most 4096");
    }

    #[test]
    fn built_in_names_are_sorted() {
        assert!(BUILT_IN.is_sorted());
    }

    #[test]
    fn hostile_nesting_is_refused_without_a_deep_stack() {
        let parts: Vec<Part> = (0..200_000).map(|_| Part::List(1)).collect();
        let bytes = crate::codec::encode(&parts);
        assert!(crate::codec::decode::<Value>(&bytes).is_err());
    }

    #[test]
    fn values_round_trip_through_the_codec() {
        let json = serde_json::json!({"a": [1, true, "x", {"b": 1.5}], "c": {}});
        let value = Value::from_json(&json).unwrap();
        assert_eq!(crate::codec::decode::<Value>(&crate::codec::encode(&value)), Ok(value));
    }

    #[test]
    fn facts_are_found_by_key_as_by_name() {
        let mut facts = Facts::new();
        for at in (0..200).rev() {
            let name = FactName::parse(&format!("f{}", at % 100)).unwrap();
            facts.insert(name, Value::from(at), Source::Start);
        }
        assert_eq!(facts.len(), 100);
        assert!(facts.iter().map(|(name, _)| name).is_sorted());
        let find = |facts: &Facts, name: &str| {
            let found = facts.find(index::Probe::new(name), || {
                facts.facts.iter().map(|(n, _)| n).find(|n| n.as_str() == name)
            });
            let found = found.map(|found| found.value.clone());
            assert_eq!(found, facts.get(name).map(|fact| fact.value.clone()), "{name}");
            found
        };
        assert_eq!(find(&facts, "f7"), Some(Value::from(7)));
        assert_eq!(find(&facts, "g7"), None);
        facts.remove(&FactName::parse("f7").unwrap());
        assert_eq!(find(&facts, "f7"), None);
        facts.insert(FactName::parse("f7").unwrap(), Value::from("x"), Source::Runtime);
        assert_eq!(find(&facts, "f7"), Some(Value::from("x")));
        let long = "a_name_that_is_longer_than_a_key";
        facts.insert(FactName::parse(long).unwrap(), Value::from(1), Source::Runtime);
        assert_eq!(find(&facts, long), Some(Value::from(1)));
        facts.insert(FactName::parse(long).unwrap(), Value::from(2), Source::Runtime);
        assert_eq!(find(&facts, long), Some(Value::from(2)));
        assert_eq!(find(&Facts::new(), "f7"), None);
    }

    #[test]
    fn facts_that_changed_are_named() {
        let facts = |json: serde_json::Value| {
            Facts::from_json(json.as_object().unwrap(), Source::Start).unwrap()
        };
        let before = facts(serde_json::json!({"a": 1, "b": 2, "c": 3}));
        let after = facts(serde_json::json!({"b": 2, "c": 4, "d": 5}));
        let changed: Vec<_> = before.changed(&after).map(FactName::as_str).collect();
        assert_eq!(changed, ["a", "c", "d"]);
        assert_eq!(before.changed(&before).count(), 0);
    }

    #[test]
    fn fact_sets_are_maps_on_the_wire() {
        let json = serde_json::json!({"b": [1, "x"], "a": true});
        let facts = Facts::from_json(json.as_object().unwrap(), Source::Start).unwrap();
        let map: BTreeMap<FactName, Fact> =
            facts.iter().map(|(name, fact)| (name.clone(), fact.clone())).collect();
        let bytes = crate::codec::encode(&facts);
        assert_eq!(bytes, crate::codec::encode(&map));
        assert_eq!(crate::codec::decode::<Facts>(&bytes), Ok(facts));
    }

    #[test]
    fn json_nulls_are_missing_facts() {
        let json = serde_json::json!({"a": null, "b": {"c": null, "d": 1}});
        let facts = Facts::from_json(json.as_object().unwrap(), Source::Start).unwrap();
        assert_eq!(facts.len(), 1);
        assert_eq!(facts.get("b").unwrap().value.to_json(), serde_json::json!({"d": 1}));
    }
}
