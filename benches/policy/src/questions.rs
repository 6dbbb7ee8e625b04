//! The facts that are judged, and questions about them in the languages of all engines.

use serde_json::{Value, json};

/// 63 facts: 92 processor features with `avx2` among them, nested devices.
pub fn facts() -> Value {
    let mut features: Vec<String> = (0..92).map(|at| format!("feature_{at:02}")).collect();
    features[69] = "avx2".into();
    let device =
        |size: u64| json!({"size": size, "rotational": false, "virtual": false, "model": "X"});
    let mut facts = json!({
        "os_dist": "Ubuntu", "storage_tier": true, "memtotal": 67_430_178_816_u64,
        "processor_features": features, "os_dist_version": "22.04", "kernel": "5.15.0-105-generic",
        "devices": {"sda": device(960_197_124_096), "sdb": device(4_000_787_030_016)},
        "default_ipv4": {"address": "10.0.0.5", "interface": "eth0", "mtu": 1500},
        "hostname": "web-17", "rack": 7,
    });
    let map = facts.as_object_mut().unwrap();
    for at in map.len()..63 {
        map.insert(format!("other_fact_{at}"), json!(format!("value {at}")));
    }
    facts
}

/// A question that every engine can be asked.
pub enum Ask {
    Text(&'static str, bool, String),
    Flag(&'static str, bool),
    /// A fact, an order and a number.
    Number(&'static str, &'static str, u64),
    OneOf(&'static str, Vec<String>),
    Feature(String),
    Starts(&'static str, String),
    All(Vec<Ask>),
    Any(Vec<Ask>),
}

use Ask::{All, Any, Feature, Flag, Number, OneOf, Starts, Text};

/// POLICY.md §5's question.
pub fn four(dist: &str, tier: bool, memory: u64, feature: &str) -> Ask {
    All(vec![
        Text("os_dist", true, dist.into()),
        Flag("storage_tier", tier),
        Number("memtotal", ">", memory),
        Feature(feature.into()),
    ])
}

/// The RFC's first policy.
pub fn one() -> Ask {
    Text("os_dist", true, "Ubuntu".into())
}

/// The RFC's second policy.
pub fn two() -> Ask {
    All(vec![one(), Flag("storage_tier", true)])
}

const DISTS: [&str; 5] = ["Ubuntu", "Debian", "Ubuntu", "Rocky", "Fedora"];

/// The same four questions with other constants, many of them shared.
pub fn many() -> Vec<Ask> {
    (0..1000_usize)
        .map(|at| {
            let feature =
                if at % 3 == 0 { "avx2".into() } else { format!("feature_{:02}", at % 92) };
            four(DISTS[at % 5], at % 7 != 0, 1_000_000_000 * (at as u64 % 97 + 1), &feature)
        })
        .collect()
}

/// A thousand of which no two ask the same of any fact, and all of whose parts have to be asked of most.
pub fn different() -> Vec<Ask> {
    (0..1000)
        .map(|at| {
            All(vec![
                Text("os_dist", false, format!("Dist{at}")),
                Number("memtotal", ">", 1_000_000 * at),
                Number("devices.sda.size", ">=", 960_000_000_000 + at),
                Text("hostname", at % 2 == 1, format!("web-{at}")),
            ])
        })
        .collect()
}

/// A thousand of mixed operators, depths and lengths.
pub fn mixed() -> Vec<Ask> {
    let leaf = |seed: usize| match seed % 11 {
        0 => Text("os_dist", true, DISTS[seed / 11 % 5].into()),
        1 => Text("os_dist", false, DISTS[seed / 11 % 5].into()),
        2 => Flag("storage_tier", seed / 11 % 3 != 0),
        3 => Number("memtotal", ">", 1_000_000_000 * (seed as u64 % 97)),
        4 => Number("rack", "<", seed as u64 % 15),
        5 => Number("devices.sda.size", ">=", 1_000_000_000 * (seed as u64 % 1200)),
        6 => OneOf("os_dist", vec![DISTS[seed % 5].into(), DISTS[seed / 5 % 5].into()]),
        7 => Feature(format!("feature_{:02}", seed % 96)),
        8 => Starts("hostname", if seed % 2 == 0 { "web-" } else { "db-" }.into()),
        9 => Number("default_ipv4.mtu", "<=", 1400 + seed as u64 % 200),
        _ => Text("hostname", seed % 2 == 0, format!("web-{}", seed % 30)),
    };
    (0..1000_usize)
        .map(|at| {
            let part = |salt: usize, length: usize| {
                All((0..length).map(|i| leaf((at + 7) * (salt * 13 + i * 5 + 3))).collect())
            };
            match at % 4 {
                0 => leaf(at * 31 + 7),
                1 => part(1, 2 + at % 5),
                2 => Any(vec![part(2, 2), part(3, 1 + at % 3)]),
                _ => Any(vec![leaf(at * 17), part(4, 2 + at % 4), part(5, 2)]),
            }
        })
        .collect()
}

impl Ask {
    pub fn ours(&self) -> String {
        match self {
            Text(fact, true, value) => format!("{{{{{fact}}}}} == {value}"),
            Text(fact, false, value) => format!("{{{{{fact}}}}} != {value}"),
            Flag(fact, value) => format!("{{{{{fact}}}}} == {value}"),
            Number(fact, op, value) => format!("{{{{{fact}}}}} {op} {value}"),
            OneOf(fact, values) => format!("{{{{{fact}}}}} in [{}]", values.join(", ")),
            Feature(name) => format!("{{{{processor_features}}}} contains {name}"),
            Starts(fact, start) => format!("{{{{{fact}}}}} like \"{start}*\""),
            All(parts) => parts.iter().map(Self::ours).collect::<Vec<_>>().join(" && "),
            Any(parts) => parts.iter().map(Self::ours).collect::<Vec<_>>().join(" || "),
        }
    }
}

/// The languages of the others.
#[cfg(feature = "peers")]
impl Ask {
    fn join(parts: &[Self], word: &str, text: impl Fn(&Self) -> String) -> String {
        let parts: Vec<String> = parts.iter().map(text).collect();
        format!("({})", parts.join(word))
    }

    fn list(values: &[String]) -> String {
        values.iter().map(|value| format!("{value:?}")).collect::<Vec<_>>().join(", ")
    }

    fn equals(equal: bool) -> &'static str {
        if equal { "==" } else { "!=" }
    }

    pub fn cel(&self) -> String {
        match self {
            Text(fact, equal, value) => format!("{fact} {} {value:?}", Self::equals(*equal)),
            Flag(fact, value) => format!("{fact} == {value}"),
            Number(fact, op, value) => format!("{fact} {op} {value}"),
            OneOf(fact, values) => format!("{fact} in [{}]", Self::list(values)),
            Feature(name) => format!("{name:?} in processor_features"),
            Starts(fact, start) => format!("{fact}.startsWith({start:?})"),
            All(parts) => Self::join(parts, " && ", Self::cel),
            Any(parts) => Self::join(parts, " || ", Self::cel),
        }
    }

    pub fn cedar(&self) -> String {
        match self {
            Text(fact, equal, value) => {
                format!("context.{fact} {} {value:?}", Self::equals(*equal))
            }
            Flag(fact, value) => format!("context.{fact} == {value}"),
            Number(fact, op, value) => format!("context.{fact} {op} {value}"),
            OneOf(fact, values) => format!("[{}].contains(context.{fact})", Self::list(values)),
            Feature(name) => format!("context.processor_features.contains({name:?})"),
            Starts(fact, start) => format!("context.{fact} like \"{start}*\""),
            All(parts) => Self::join(parts, " && ", Self::cedar),
            Any(parts) => Self::join(parts, " || ", Self::cedar),
        }
    }

    /// The rules of one head: a body for each alternative.
    pub fn rego(&self, head: &str) -> String {
        let alternatives = match self {
            Any(parts) => parts.as_slice(),
            other => std::slice::from_ref(other),
        };
        let rule = |part: &Self| format!("{head} if {{\n{}}}\n", part.rego_body());
        alternatives.iter().map(rule).collect()
    }

    fn rego_body(&self) -> String {
        match self {
            Text(fact, equal, value) => {
                format!(" input.{fact} {} {value:?}\n", Self::equals(*equal))
            }
            Flag(fact, value) => format!(" input.{fact} == {value}\n"),
            Number(fact, op, value) => format!(" input.{fact} {op} {value}\n"),
            OneOf(fact, values) => format!(" input.{fact} in {{{}}}\n", Self::list(values)),
            Feature(name) => format!(" input.processor_features[{name:?}]\n"),
            Starts(fact, start) => format!(" startswith(input.{fact}, {start:?})\n"),
            All(parts) | Any(parts) => parts.iter().map(Self::rego_body).collect(),
        }
    }

    /// Nested facts are variables of their own.
    pub fn evalexpr(&self) -> String {
        let name = |fact: &str| fact.replace('.', "_");
        match self {
            Text(fact, equal, value) => {
                format!("{} {} {value:?}", name(fact), Self::equals(*equal))
            }
            Flag(fact, value) => format!("{fact} == {value}"),
            Number(fact, op, value) => format!("{} {op} {value}", name(fact)),
            OneOf(fact, values) => format!("contains(({}), {fact})", Self::list(values)),
            Feature(feature) => format!("contains(processor_features, {feature:?})"),
            Starts(fact, start) => format!("starts({fact}, {start:?})"),
            All(parts) => Self::join(parts, " && ", Self::evalexpr),
            Any(parts) => Self::join(parts, " || ", Self::evalexpr),
        }
    }

    pub fn rhai(&self) -> String {
        match self {
            Starts(fact, start) => format!("{fact}.starts_with({start:?})"),
            All(parts) => Self::join(parts, " && ", Self::rhai),
            Any(parts) => Self::join(parts, " || ", Self::rhai),
            other => other.cel(),
        }
    }
}
