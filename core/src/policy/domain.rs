//! Can a condition be true at all? Looks for facts that make it true, among all that could matter.
//!
//! A condition is split into alternatives of clauses. What the clauses of one alternative ask of the
//! same fact is tried on every value that their literals name, between them and beyond. Where no value
//! passes, the alternative is never true. Clauses that compare facts, patterns and quantifiers are taken
//! to be true or false as needed: they never make a condition impossible.
//!
//! Invariant: "never" is said only if no value was found; "don't know" is `false`.

use std::net::IpAddr;

use ipnet::IpNet;

use super::{
    ast::{Clause, Expr, Op, Operand, Path, Test},
    eval,
    literal::{Literal, Number},
    schema::Kind,
    version,
    view::{Scope, View},
};
use crate::fact::{Facts, Value};

/// More alternatives than this are not looked at.
const ALTERNATIVES: usize = 64;

/// Is there no node for which the condition is true?
pub(crate) fn is_never(expr: &Expr) -> bool {
    impossible(expr, true)
}

/// Is the condition true for every node whose facts it can judge?
pub(crate) fn is_always(expr: &Expr) -> bool {
    *expr != Expr::Everything && impossible(expr, false)
}

fn impossible(expr: &Expr, wanted: bool) -> bool {
    alternatives(expr, wanted).is_some_and(|terms| terms.iter().all(|term| !is_possible(term)))
}

/// A clause, and what it shall be.
pub(crate) type Wanted<'a> = (&'a Clause, bool);

/// The ways in which a condition can be true, or false. `None` if there are too many.
pub(crate) fn alternatives(expr: &Expr, wanted: bool) -> Option<Vec<Vec<Wanted<'_>>>> {
    match (expr, wanted) {
        (Expr::Everything, _) | (Expr::Each(_), _) => Some(vec![Vec::new()]),
        (Expr::Not(inner), _) => alternatives(inner, !wanted),
        (Expr::Clause(clause), _) => Some(vec![vec![(clause, wanted)]]),
        (Expr::Or(parts), true) | (Expr::And(parts), false) => {
            let mut all = Vec::new();
            for part in parts {
                all.extend(alternatives(part, wanted)?);
            }
            (all.len() <= ALTERNATIVES).then_some(all)
        }
        (Expr::And(parts), true) | (Expr::Or(parts), false) => {
            let mut all = vec![Vec::new()];
            for part in parts {
                let part = alternatives(part, wanted)?;
                let joined = all.iter().flat_map(|left: &Vec<Wanted<'_>>| {
                    part.iter().map(|right| [&**left, &**right].concat())
                });
                all = joined.collect();
                if all.len() > ALTERNATIVES {
                    return None;
                }
            }
            Some(all)
        }
    }
}

/// Is there a value for each fact that makes all its clauses what they shall be?
fn is_possible(term: &[Wanted<'_>]) -> bool {
    term.iter().all(|(clause, _)| {
        let Some(path) = subject(clause) else { return true };
        let of_path: Vec<Wanted<'_>> =
            term.iter().filter(|(clause, _)| subject(clause) == Some(path)).copied().collect();
        let (facts, none) = (Facts::new(), None);
        candidates(path, &of_path, none).iter().any(|value| {
            let scope = Scope::new(&facts);
            of_path.iter().all(|(clause, wanted)| holds(clause, value.as_ref(), &scope, *wanted))
        })
    })
}

/// The fact that a clause asks about, if it asks about one only and not by a pattern.
fn subject(clause: &Clause) -> Option<&Path> {
    match &clause.test {
        Test::Holds(path) | Test::Exists(path) => Some(path),
        Test::Compare(path, _, Operand::One(_) | Operand::List(_)) => Some(path),
        Test::Compare(..) => None,
    }
}

/// Is a clause what it shall be if its fact has this value, and others are as they are?
pub(crate) fn holds(
    clause: &Clause,
    value: Option<&Value>,
    scope: &Scope<'_>,
    wanted: bool,
) -> bool {
    let Some(value) = value else {
        // All but this are unknown without a value.
        return matches!(clause.test, Test::Exists(_)) && !wanted;
    };
    let verdict = match &clause.test {
        Test::Exists(_) => true.into(),
        Test::Holds(path) => match View::at(path, value) {
            View::Bool(boolean) => boolean.value.into(),
            _ => return false,
        },
        Test::Compare(path, op, operand) => {
            eval::compare(path, &View::at(path, value), *op, operand, scope)
        }
    };
    verdict == wanted.into()
}

/// Every value that could matter to some clauses on a fact, the likeliest first; `None` is a missing
/// fact.
pub(crate) fn candidates(
    path: &Path,
    clauses: &[Wanted<'_>],
    now: Option<&Value>,
) -> Vec<Option<Value>> {
    let mut found = Found::default();
    for (clause, wanted) in clauses {
        let Test::Compare(_, op, operand) = &clause.test else { continue };
        let literals = match operand {
            Operand::One(literal) => std::slice::from_ref(literal),
            Operand::List(literals) => literals,
            Operand::Glob(glob) => {
                found.texts.extend([glob.example(), String::new()]);
                continue;
            }
            Operand::Pattern(pattern) => {
                let source = pattern.source();
                let inner = source.strip_prefix('^').unwrap_or(source);
                let inner = inner.strip_suffix('$').unwrap_or(inner);
                found.texts.extend([inner.to_owned(), String::new()]);
                continue;
            }
            Operand::Fact(_) => continue,
        };
        for literal in literals {
            found.literal(literal);
            let element = || Value::from_text(&literal.text);
            match op {
                Op::Contains if *wanted => found.inside.push(element()),
                Op::NotContains if !*wanted => found.inside.push(element()),
                Op::Contains | Op::NotContains => found.outside.push(element()),
                _ => {}
            }
        }
    }
    let values = found.values(path, now);
    values.into_iter().map(Some).chain([None]).collect()
}

#[derive(Default)]
struct Found {
    texts: Vec<String>,
    numbers: Vec<Number>,
    addresses: Vec<IpAddr>,
    networks: Vec<IpNet>,
    booleans: Vec<bool>,
    /// What a list shall contain.
    inside: Vec<Value>,
    /// What it shall not contain.
    outside: Vec<Value>,
}

impl Found {
    fn literal(&mut self, literal: &Literal) {
        self.texts.push(literal.text.to_string());
        self.booleans.extend(literal.boolean);
        self.numbers.extend(literal.quantity());
        self.addresses.extend(literal.ip);
        if let Some(network) = literal.net {
            self.networks.push(network);
            self.addresses.extend([network.network(), network.broadcast()]);
            self.addresses.extend(beside(network));
        }
    }

    fn values(mut self, path: &Path, now: Option<&Value>) -> Vec<Value> {
        let mut values: Vec<Value> = self.booleans.iter().copied().map(Value::from).collect();
        if self.texts.is_empty() {
            values.push(Value::from(true));
        }
        values.extend(self.numbers().into_iter().map(|number| match number {
            Number::Int(number) => Value::Int(number),
            Number::Float(number) => Value::Float(number),
        }));
        values.extend(self.texts.iter().map(|text| Value::from(text.as_str())));
        for text in self.texts.iter().filter(|text| version::is_version(text)) {
            values.extend([Value::from(format!("{text}~")), Value::from(format!("{text}.1"))]);
        }
        if path.kind.is_some() || !self.addresses.is_empty() {
            self.addresses.push(IpAddr::from([203, 0, 113, 77]));
        }
        values.extend(self.addresses.iter().copied().map(Value::Ip));
        values.extend(self.networks.iter().copied().map(Value::Net));
        let of_list = !self.inside.is_empty() || !self.outside.is_empty();
        if of_list {
            values.extend(self.lists(now));
        }
        values.extend([Value::from("another text"), Value::from("0")]);
        values.extend([true, false].map(Value::from));
        values.extend([Value::Int(0), Value::Ip(IpAddr::from([203, 0, 113, 77]))]);
        values.extend(self.lists(now));
        values.push(Value::Map(Default::default()));
        values.retain(|value| fits(path, value));
        values
    }

    /// A list that has what it shall have, and nothing it shall not have.
    fn lists(&self, now: Option<&Value>) -> [Value; 2] {
        let mut list = match now {
            Some(Value::List(list)) => list.clone(),
            _ => Vec::new(),
        };
        list.retain(|value| !self.outside.contains(value));
        let missing = self.inside.iter().filter(|value| !list.contains(value));
        let missing: Vec<Value> = missing.cloned().collect();
        list.extend(missing);
        [Value::List(list), Value::List(self.inside.clone())]
    }

    /// The numbers that literals name, between them and beyond.
    fn numbers(&mut self) -> Vec<Number> {
        self.numbers.sort_by(|left, right| left.compare(*right));
        let float = |number: &Number| match number {
            Number::Int(number) => *number as f64,
            Number::Float(number) => *number,
        };
        let mut all = self.numbers.clone();
        for pair in self.numbers.windows(2) {
            if let [low, high] = pair {
                all.push(match (low, high) {
                    (Number::Int(low), Number::Int(high)) if low.abs_diff(*high) > 1 => {
                        Number::Int(low.midpoint(*high))
                    }
                    _ => Number::Float(float(low).midpoint(float(high))),
                });
            }
        }
        for number in &self.numbers {
            all.push(match number {
                Number::Int(number) => Number::Int(number.saturating_sub(1)),
                Number::Float(number) => Number::Float(number - 1.0),
            });
            all.push(match number {
                Number::Int(number) => Number::Int(number.saturating_add(1)),
                Number::Float(number) => Number::Float(number + 1.0),
            });
        }
        all
    }
}

/// The addresses just outside of a network.
fn beside(network: IpNet) -> Vec<IpAddr> {
    match network {
        IpNet::V4(network) => {
            let (low, high) = (u32::from(network.network()), u32::from(network.broadcast()));
            let beside = [low.checked_sub(1), high.checked_add(1)].into_iter().flatten();
            beside.map(|address| IpAddr::from(address.to_be_bytes())).collect()
        }
        IpNet::V6(network) => {
            let (low, high) = (u128::from(network.network()), u128::from(network.broadcast()));
            let beside = [low.checked_sub(1), high.checked_add(1)].into_iter().flatten();
            beside.map(|address| IpAddr::from(address.to_be_bytes())).collect()
        }
    }
}

/// Can a fact have this value, by what it is declared to be?
fn fits(path: &Path, value: &Value) -> bool {
    if path.cast.is_some() {
        return !matches!(View::at(path, value), View::Unreadable);
    }
    match (path.kind, value) {
        (None, _)
        | (Some(Kind::Bool), Value::Bool(_))
        | (Some(Kind::Int | Kind::Bytes | Kind::Duration), Value::Int(_) | Value::Float(_))
        | (Some(Kind::Text | Kind::Version), Value::Text(_))
        | (Some(Kind::Version), Value::Int(_))
        | (Some(Kind::Ip), Value::Ip(_))
        | (Some(Kind::List), Value::List(_))
        | (Some(Kind::Map), Value::Map(_)) => true,
        // The mask, the network and the like of an address.
        (Some(Kind::Ip), Value::Net(_)) => path.primary.is_none(),
        (Some(_), _) => false,
    }
}
