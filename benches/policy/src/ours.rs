//! What only we can be asked, and our numbers alone.

use std::hint::black_box;

use tribe::{Facts, Policy, PolicySet, Source};

use crate::{
    measure::{Case, Group, case},
    questions::{self, Ask},
};

pub fn groups() -> Vec<Group> {
    let group = |title, cases| Group { title, compared: false, cases };
    vec![
        group("Judging 63 facts", judging),
        group("1,000 policies on one fact set, per policy", sets),
        group("What changes", changes),
        group("Reading", reading),
    ]
}

/// Lives as long as the program.
pub fn facts() -> &'static Facts {
    Box::leak(Box::new(new_facts()))
}

fn new_facts() -> Facts {
    Facts::from_json(questions::facts().as_object().unwrap(), Source::Host).unwrap()
}

pub fn policy(ask: &Ask) -> Policy {
    Policy::parse(&ask.ours()).unwrap()
}

pub fn policies(asks: &[Ask]) -> Vec<Policy> {
    asks.iter().map(policy).collect()
}

fn four() -> Ask {
    questions::four("Ubuntu", true, 16_000_000_000, "avx2")
}

/// One policy.
pub fn judge(name: &'static str, ask: &Ask) -> Case {
    let (facts, policy) = (facts(), policy(ask));
    case(name, 1, move || policy.evaluate(black_box(facts)).is_satisfied().into())
}

/// Many, each by itself.
pub fn one_by_one(name: &'static str, asks: &[Ask]) -> Case {
    let (facts, policies) = (facts(), policies(asks));
    case(name, asks.len(), move || {
        policies.iter().filter(|policy| policy.evaluate(black_box(facts)).is_satisfied()).count()
    })
}

/// Many together.
pub fn as_a_set(name: &'static str, asks: &[Ask]) -> Case {
    let (facts, set) = (facts(), PolicySet::new(&policies(asks)));
    case(name, asks.len(), move || {
        set.evaluate(black_box(facts)).iter().filter(|verdict| verdict.is_satisfied()).count()
    })
}

fn judging() -> Vec<Case> {
    let (facts, explained) = (facts(), policy(&four()));
    vec![
        judge("four conjuncts", &four()),
        judge("four conjuncts, the first false", &questions::four("Debian", true, 1, "avx2")),
        judge("RFC: one comparison", &questions::one()),
        judge("RFC: two comparisons", &questions::two()),
        case("explain four conjuncts", 1, move || explained.explain(facts).parts.len()),
    ]
}

fn sets() -> Vec<Case> {
    vec![
        as_a_set("many comparisons shared", &questions::many()),
        one_by_one("many comparisons shared, one by one", &questions::many()),
        as_a_set("all comparisons different", &questions::different()),
        one_by_one("all comparisons different, one by one", &questions::different()),
        as_a_set("mixed operators", &questions::mixed()),
        one_by_one("mixed operators, one by one", &questions::mixed()),
    ]
}

fn changes() -> Vec<Case> {
    let nodes: Vec<Facts> = (0..10_000).map(|_| new_facts()).collect();
    let policy = policy(&four());
    vec![case("one policy on 10,000 nodes", 1, move || {
        nodes.iter().filter(|facts| policy.evaluate(facts).is_satisfied()).count()
    })]
}

fn reading() -> Vec<Case> {
    let parse = |name, ask: Ask| {
        let text = ask.ours();
        case(name, 1, move || Policy::parse(black_box(&text)).is_ok().into())
    };
    let (json, judged) = (questions::facts(), policy(&four()));
    vec![
        parse("parse, check and compile four conjuncts", four()),
        parse("parse, check and compile one comparison", questions::one()),
        case("63 facts from JSON, with their index", 1, move || {
            let facts = Facts::from_json(json.as_object().unwrap(), Source::Host).unwrap();
            judged.evaluate(&facts).is_satisfied().into()
        }),
    ]
}
