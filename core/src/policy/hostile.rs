//! No text makes the parser, the checker or the evaluators panic, and none of them disagrees.
//!
//! Texts come from a generator that knows the grammar, and from a mutator of bytes that does not. The
//! short form runs with all tests; the long one is
//!
//! ```text
//! TRIBE_POLICY_RUNS=10000000 cargo test -p snap-tribe --lib -- policy::hostile --nocapture
//! ```
//!
//! It prints its seed; `TRIBE_POLICY_SEED` repeats a run.

use std::hash::{BuildHasher as _, Hasher as _, RandomState};

use rand::{RngExt as _, SeedableRng as _, rngs::StdRng, seq::IndexedRandom as _};

use super::{eval, view::Scope, *};
use crate::{fact::Source, fact::Value};

const RUNS: u64 = 200_000;
/// The slow parts take part in one of so many.
const SELDOM: u64 = 16;

const NAMES: &[&str] = &[
    "a",
    "b",
    "x",
    "os_dist",
    "memtotal",
    "kernel",
    "default_ipv4",
    "devices",
    "processor_features",
    "devices.sda.size",
    "default_ipv4.interface",
    "x[0]",
    "x[\"a key\"].y",
    "d",
    "d.size",
    "d._key",
    "e.x",
    "os_dsit",
];
const VALUES: &[&str] = &[
    "Ubuntu",
    "ubuntu",
    "\"Red Hat\"",
    "true",
    "False",
    "'true'",
    "0",
    "-1",
    "42",
    "2.5",
    "1e3",
    "007",
    "9223372036854775807",
    "9223372036854775808",
    "16GiB",
    "0.1kB",
    "5m",
    "250ms",
    "20.04",
    "5.15.0-rc7",
    "10.0.0.5",
    "10.0.0.0/8",
    "::1",
    "fe80::/10",
    "[a, b]",
    "[1, 16GiB, 5m]",
    "a*",
    "\"*a?\\\\\"",
    "/^a+$/",
    "/(a|b)*c/i",
    "\"\\u{1b}\"",
    "''",
];
const OPERATORS: &[&str] = &[
    "==",
    "!=",
    "<",
    "<=",
    ">",
    ">=",
    "in",
    "not in",
    "contains",
    "not contains",
    "like",
    "not like",
    "matches",
    "not matches",
    "=~",
    "!~",
    "=",
    "is",
];
const CASTS: &[&str] =
    &["exists", "version", "number", "bytes", "duration", "ip", "lower", "len", "default", "foo"];
const BITS: &[&str] = &[
    "{{",
    "}}",
    "(",
    ")",
    "[",
    "]",
    ",",
    "\"",
    "'",
    "/",
    "\\",
    "#",
    "\n",
    "-",
    "!",
    "&&",
    "||",
    "any ",
    "all d in ",
    "not ",
    "“",
    "—",
    "ü",
    "\u{202e}",
    "\0",
    ".",
    "*",
    "true",
    "exists(",
    "((((((((",
    "a{9999}",
    "{{a}}",
    " == ",
];

struct Generator(StdRng);

impl Generator {
    fn pick(&mut self, from: &[&'static str]) -> &'static str {
        from.choose(&mut self.0).copied().unwrap_or("")
    }

    fn one_of(&mut self, many: u32) -> bool {
        self.0.random_range(0..many) == 0
    }

    /// What the grammar knows, to some depth.
    fn condition(&mut self, depth: u32, text: &mut String) {
        match self.0.random_range(0..if depth == 0 { 4 } else { 9 }) {
            0 => self.fact(text),
            1 => {
                text.push_str(self.pick(CASTS));
                text.push('(');
                self.fact(text);
                text.push(')');
            }
            2 | 3 => self.comparison(text),
            4 | 5 => {
                let join = self.pick(&[" && ", " || ", " and ", "or", "\n&&"]);
                for at in 0..self.0.random_range(2..4) {
                    text.push_str(if at > 0 { join } else { "" });
                    self.condition(depth - 1, text);
                }
            }
            6 => {
                text.push_str(self.pick(&["!", "not ", "not not "]));
                self.condition(depth - 1, text);
            }
            7 => {
                text.push('(');
                self.condition(depth - 1, text);
                text.push(')');
            }
            _ => {
                text.push_str(self.pick(&["any d in ", "all d in ", "none e in ", "any a in "]));
                self.fact(text);
                text.push_str(" (");
                self.condition(depth - 1, text);
                text.push(')');
            }
        }
    }

    fn fact(&mut self, text: &mut String) {
        text.push_str("{{");
        text.push_str(self.pick(NAMES));
        text.push_str("}}");
    }

    fn operand(&mut self, text: &mut String) {
        match self.0.random_range(0..8) {
            0..3 => text.push_str(self.pick(VALUES)),
            3..7 => self.fact(text),
            _ => {
                text.push_str(self.pick(CASTS));
                text.push('(');
                self.fact(text);
                text.push(')');
            }
        }
    }

    fn comparison(&mut self, text: &mut String) {
        if !self.one_of(4) {
            return self.good_comparison(text);
        }
        self.operand(text);
        text.push(' ');
        text.push_str(self.pick(OPERATORS));
        text.push(' ');
        let value = self.pick(VALUES);
        if self.one_of(5) { self.operand(text) } else { text.push_str(value) }
    }

    fn good_comparison(&mut self, text: &mut String) {
        const GOOD: &[(&[&str], &[&str])] = &[
            (&["==", "!="], &["Ubuntu", "'a b'", "true", "42", "16GiB", "5m", "10.0.0.5", "{{b}}"]),
            (&["<", "<=", ">", ">="], &["0", "-1", "2.5", "16GiB", "5m", "20.04", "{{b}}"]),
            (&["in", "not in"], &["[a, b]", "[1, 16GiB]", "10.0.0.0/8", "{{b}}"]),
            (&["contains", "not contains"], &["a", "7", "true", "10.0.0.5", "{{b}}"]),
            (&["like", "not like"], &["a*", "*?b*", "'x y'"]),
            (&["matches", "=~", "!~"], &["/^a+$/", "/(a|b)*c/i", "b"]),
        ];
        let Some((operators, values)) = GOOD.choose(&mut self.0) else { return };
        text.push_str("{{");
        text.push_str(self.pick(&["a", "b", "x", "x[0]", "d", "d.size", "e.y", "d._key"]));
        for part in ["}} ", self.pick(operators), " ", self.pick(values)] {
            text.push_str(part);
        }
    }

    /// Changes bytes, without knowing what they mean.
    fn mutate(&mut self, text: &str) -> String {
        let mut bytes = text.as_bytes().to_vec();
        for _ in 0..self.0.random_range(1..5) {
            let at = self.0.random_range(0..=bytes.len());
            match self.0.random_range(0..5) {
                0 => drop(bytes.splice(at..at, self.pick(BITS).bytes())),
                1 if at < bytes.len() => drop(bytes.remove(at)),
                2 if at < bytes.len() => bytes[at] = self.0.random(),
                3 => {
                    let end = self.0.random_range(at..=bytes.len());
                    let part = bytes[at..end].to_vec();
                    drop(bytes.splice(at..at, part));
                }
                _ => bytes.truncate(at),
            }
        }
        String::from_utf8_lossy(&bytes).into_owned()
    }

    fn value(&mut self, depth: u32) -> Value {
        match self.0.random_range(0..if depth == 0 { 6 } else { 8 }) {
            0 => Value::from_text(self.pick(VALUES)),
            1 => Value::from(i64::from(self.0.random::<i8>())),
            2 => Value::Float(f64::from(self.0.random::<i8>()) / 4.0),
            3 => Value::from(self.one_of(2)),
            4 => Value::Ip([10, 0, 0, self.0.random()].into()),
            5 => Value::from(self.pick(&["Ubuntu", "ubuntu", "a", "abc", "", "5.15", "16GiB"])),
            6 => Value::List(
                (0..self.0.random_range(0..12)).map(|_| self.value(depth - 1)).collect(),
            ),
            _ => {
                let keys = ["sda", "size", "address", "interface", "a key", "y", "x"];
                let count = self.0.random_range(0..4);
                let entries =
                    (0..count).map(|_| (self.pick(&keys).to_owned(), self.value(depth - 1)));
                Value::Map(entries.collect())
            }
        }
    }

    fn facts(&mut self) -> Facts {
        let names =
            ["a", "b", "x", "os_dist", "memtotal", "kernel", "default_ipv4", "devices", "d"];
        let mut facts = Facts::new();
        for name in names {
            if !self.one_of(3) {
                facts.insert(FactName::parse(name).unwrap(), self.value(3), Source::Start);
            }
        }
        facts
    }
}

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().map(|text| text.parse().unwrap())
}

#[test]
fn no_text_breaks_the_language() {
    let runs = number("TRIBE_POLICY_RUNS").unwrap_or(RUNS);
    let seed =
        number("TRIBE_POLICY_SEED").unwrap_or_else(|| RandomState::new().build_hasher().finish());
    println!("TRIBE_POLICY_SEED={seed} TRIBE_POLICY_RUNS={runs}");
    let mut generator = Generator(StdRng::seed_from_u64(seed));
    let nodes: Vec<Facts> = (0..64).map(|_| generator.facts()).collect();
    let (mut text, mut policies) = (String::new(), 0_u64);
    for run in 0..runs {
        text.clear();
        generator.condition(3, &mut text);
        if generator.one_of(2) {
            text = generator.mutate(&text);
        }
        match Policy::parse(&text) {
            Ok(policy) => {
                policies += 1;
                try_policy(&policy, &nodes, &mut generator, run);
            }
            Err(error) if run.is_multiple_of(SELDOM) => {
                assert!(text.get(error.span().range()).is_some(), "{text:?}");
                assert!(!error.render().is_empty());
            }
            Err(_) => {}
        }
    }
    // A generator of mistakes alone would show nothing.
    assert!(policies > runs / 10, "{policies} of {runs} are policies");
}

fn try_policy(policy: &Policy, nodes: &[Facts], generator: &mut Generator, run: u64) {
    let again = Policy::parse(policy.as_str());
    assert_eq!(again.as_ref(), Ok(policy), "{policy}");
    let facts = nodes.choose(&mut generator.0).unwrap();
    let verdict = policy.evaluate(facts);
    assert_eq!(verdict, eval::evaluate(&policy.0.tree, &Scope::new(facts)), "{policy}\n{facts:?}");
    if run.is_multiple_of(SELDOM) {
        let explanation = policy.explain(facts);
        assert_eq!(explanation.verdict, verdict, "{policy}");
        if let Some(would) = &explanation.would {
            assert_eq!(policy.evaluate(&would.apply(facts)), would.verdict, "{policy}\n{would}");
        }
        let _ = policy.check(nodes.get(..4).unwrap_or_default());
    }
}
