//! What only we can be asked, and our numbers alone.

use std::{hint::black_box, sync::Arc};

use tribe::{FactColumns, FactName, Facts, Policy, PolicySet, Source, Value, Verdict};

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

const NODES: usize = 10_000;

/// Nodes of four sizes of memory; half of them have other processors.
fn nodes() -> Vec<Arc<Facts>> {
    let node = |at: usize| {
        let mut json = questions::facts();
        json["hostname"] = format!("web-{at}").into();
        json["memtotal"] = (16_000_000_000 * (at as u64 % 4 + 1)).into();
        if at % 2 == 0 {
            json["processor_features"][69] = "avx512f".into();
        }
        Arc::new(Facts::from_json(json.as_object().unwrap(), Source::Host).unwrap())
    };
    (0..NODES).map(node).collect()
}

fn columns(nodes: &[Arc<Facts>]) -> FactColumns {
    let mut columns = FactColumns::default();
    nodes.iter().enumerate().for_each(|(row, facts)| columns.set(row, Arc::clone(facts)));
    columns
}

/// A change of a fact, and what the policies say then.
fn change(name: &'static str, asks: &[Ask], fact: &str, values: [i64; 2]) -> Case {
    let set = PolicySet::new(&policies(asks));
    let (mut facts, fact) = (new_facts(), FactName::parse(fact).unwrap());
    let mut verdicts = set.judge(&facts);
    let mut at = 0;
    case(name, 1, move || {
        at = 1 - at;
        facts.insert(fact.clone(), Value::from(values[at]), Source::Host);
        set.update(&facts, [&fact], &mut verdicts);
        verdicts.as_slice().len()
    })
}

fn changes() -> Vec<Case> {
    let (mixed, mut few) = (questions::mixed(), questions::many());
    few.extend((0..10).map(|rack| Ask::Number("rack", "<", rack)));
    let all = nodes();
    let new = policies(&[four(), questions::four("Ubuntu", true, 40_000_000_000, "avx512f")]);
    let satisfied =
        |verdicts: Vec<Verdict>| verdicts.iter().filter(|verdict| verdict.is_satisfied()).count();
    let (mut table, asked, mut at) = (columns(&all), new.clone(), 0);
    let in_columns = case("one new policy on 10,000 nodes, in columns", 1, move || {
        at = 1 - at;
        satisfied(table.evaluate(&asked[at]))
    });
    let (rows, asked) = (all.clone(), new[0].clone());
    let first = case("the same, and the four columns are made", 1, move || {
        satisfied(columns(&rows).evaluate(&asked))
    });
    let (mut table, row, asked) = (columns(&all), Arc::clone(&all[0]), new[0].clone());
    let _ = table.evaluate(&asked);
    let node = case("a node's facts change in four columns", 1, move || {
        table.set(5_000, Arc::clone(&row));
        1
    });
    let asked = new[0].clone();
    let by_node = case("one policy on 10,000 nodes, node by node", 1, move || {
        all.iter().filter(|facts| asked.evaluate(facts).is_satisfied()).count()
    });
    vec![
        change("a fact that 363 of 1,000 policies read changes", &mixed, "rack", [7, 8]),
        change("a fact that 10 of 1,010 policies read changes", &few, "rack", [7, 8]),
        in_columns,
        first,
        node,
        by_node,
    ]
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
        case("the facts of this host collected", 1, || Facts::of_host().len()),
        case("63 facts from JSON, with their index", 1, move || {
            let facts = Facts::from_json(json.as_object().unwrap(), Source::Host).unwrap();
            judged.evaluate(&facts).is_satisfied().into()
        }),
    ]
}
