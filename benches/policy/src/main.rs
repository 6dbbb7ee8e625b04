//! How long policies take: `cargo run --release --manifest-path benches/policy/Cargo.toml`.
//!
//! Times are medians over all rounds, with the best beside them: on a busy machine the best says more.

use std::{
    alloc::{GlobalAlloc, Layout, System},
    hint::black_box,
    sync::atomic::{AtomicU64, Ordering},
    time::Instant,
};

use serde_json::{Value, json};
use tribe::{Facts, Policy, Source};

/// Counts allocations.
struct Counting;

static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);

// SAFETY: everything is the system's.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const ROUNDS: usize = 31;
/// Time of one sample.
const SAMPLE_NS: u128 = 2_000_000;

struct Case<'a> {
    name: &'static str,
    /// What one call answers: how many of its policies are true.
    run: Box<dyn FnMut() -> usize + 'a>,
    /// Divides the time: policies of one call.
    per: usize,
}

fn case<'a>(name: &'static str, per: usize, run: impl FnMut() -> usize + 'a) -> Case<'a> {
    Case { name, run: Box::new(run), per }
}

/// Runs all cases in turn and prints a table. The first case is the measure of the others.
fn compare(title: &str, mut cases: Vec<Case<'_>>) {
    println!("\n### {title}\n\n| case | median ns | best ns | allocations |\n|---|---|---|---|");
    let counts: Vec<usize> = cases
        .iter_mut()
        .map(|case| {
            let (start, mut calls) = (Instant::now(), 0);
            while start.elapsed().as_nanos() < SAMPLE_NS {
                black_box((case.run)());
                calls += 1;
            }
            calls
        })
        .collect();
    let mut times: Vec<Vec<f64>> = vec![Vec::new(); cases.len()];
    for _ in 0..ROUNDS {
        for ((case, calls), times) in cases.iter_mut().zip(&counts).zip(&mut times) {
            let start = Instant::now();
            for _ in 0..*calls {
                black_box((case.run)());
            }
            times.push(start.elapsed().as_nanos() as f64 / (calls * case.per) as f64);
        }
    }
    for (case, times) in cases.iter_mut().zip(&mut times) {
        times.sort_by(f64::total_cmp);
        let (median, best) = (times[times.len() / 2], times[0]);
        let before = ALLOCATIONS.load(Ordering::Relaxed);
        black_box((case.run)());
        let allocations = ALLOCATIONS.load(Ordering::Relaxed) - before;
        println!("| {} | {median:.1} | {best:.1} | {} |", case.name, allocations / case.per as u64);
    }
}

/// 63 facts: 92 processor features with `avx2` as the 70th, nested devices.
fn facts() -> Value {
    let mut features: Vec<String> = (0..92).map(|at| format!("feature_{at:02}")).collect();
    features[69] = "avx2".into();
    features.sort();
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

/// A condition on four facts.
fn full(dist: &str, tier: bool, memory: u64, feature: &str) -> String {
    format!(
        "{{{{os_dist}}}} == {dist} && {{{{storage_tier}}}} == {tier} && {{{{memtotal}}}} > {memory} \
         && {{{{processor_features}}}} contains {feature}"
    )
}

fn many() -> Vec<String> {
    let dists = ["Ubuntu", "Debian", "Ubuntu", "Rocky", "Fedora"];
    (0..1000_usize)
        .map(|at| {
            let feature =
                if at % 3 == 0 { "avx2".into() } else { format!("feature_{:02}", at % 92) };
            full(dists[at % 5], at % 7 != 0, 1_000_000_000 * (at as u64 % 97 + 1), &feature)
        })
        .collect()
}

fn main() {
    let json = facts();
    let object = json.as_object().unwrap();
    let facts = Facts::from_json(object, Source::Host).unwrap();
    let policy = |text: &str| Policy::parse(text).unwrap();
    let avx2 = full("Ubuntu", true, 16_000_000_000, "avx2");
    let (four, miss) = (policy(&avx2), policy(&full("Debian", true, 16_000_000_000, "avx2")));
    let (one, two) = (
        policy("{{os_dist}} == Ubuntu"),
        policy("{{os_dist}} == Ubuntu && {{storage_tier}} == True"),
    );
    let judge = |policy: &Policy| usize::from(policy.evaluate(black_box(&facts)).is_satisfied());
    compare(
        "Judging 63 facts",
        vec![
            case("four conjuncts", 1, || judge(&four)),
            case("four conjuncts, the first false", 1, || judge(&miss)),
            case("RFC: one comparison", 1, || judge(&one)),
            case("RFC: two comparisons", 1, || judge(&two)),
            case("explain four conjuncts", 1, || four.explain(&facts).parts.len()),
        ],
    );
    let all: Vec<Policy> = many().iter().map(|text| policy(text)).collect();
    let set = tribe::PolicySet::new(&all);
    compare(
        "1,000 policies on one fact set, per policy",
        vec![
            case("one by one", all.len(), || all.iter().map(judge).sum()),
            case("as a set", all.len(), || {
                set.evaluate(black_box(&facts)).iter().filter(|v| v.is_satisfied()).count()
            }),
        ],
    );
    let nodes: Vec<Facts> =
        (0..10_000).map(|_| Facts::from_json(object, Source::Host).unwrap()).collect();
    compare(
        "Other",
        vec![
            case("parse, check and compile four conjuncts", 1, || {
                Policy::parse(black_box(&avx2)).is_ok().into()
            }),
            case("parse, check and compile one comparison", 1, || {
                Policy::parse(black_box("{{os_dist}} == Ubuntu")).is_ok().into()
            }),
            case("one policy on 10,000 nodes", 1, || {
                nodes.iter().filter(|facts| four.evaluate(facts).is_satisfied()).count()
            }),
            case("63 facts from JSON, with their index", 1, || {
                judge_new(&four, &Facts::from_json(object, Source::Host).unwrap())
            }),
        ],
    );
}

fn judge_new(policy: &Policy, facts: &Facts) -> usize {
    policy.evaluate(facts).is_satisfied().into()
}
