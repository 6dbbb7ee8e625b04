//! Measures: processor time of this thread, allocations, and instructions as valgrind counts them.

use std::{
    alloc::{GlobalAlloc, Layout, System},
    hint::black_box,
    process::{Command, Stdio},
    sync::atomic::{AtomicU64, Ordering},
};

use cpu_time::ThreadTime;

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

const ROUNDS: usize = 41;
/// Time of one sample.
const SAMPLE_NS: u128 = 1_000_000;

pub struct Case {
    pub name: &'static str,
    /// What one call answers: how many of its policies are true.
    run: Box<dyn FnMut() -> usize>,
    /// Divides the time: policies of one call.
    per: usize,
}

pub fn case(name: &'static str, per: usize, run: impl FnMut() -> usize + 'static) -> Case {
    Case { name, run: Box::new(run), per }
}

/// Cases that are measured in turn.
pub struct Group {
    pub title: &'static str,
    /// All must answer the same, and the first is what the others are compared with.
    pub compared: bool,
    pub cases: fn() -> Vec<Case>,
}

impl Group {
    /// Measures all cases in turn, so that a busy machine slows all of them, and prints a table.
    pub fn measure(&self, instructions: bool) {
        let mut cases = (self.cases)();
        if self.compared {
            let answers: Vec<usize> = cases.iter_mut().map(|case| (case.run)()).collect();
            assert!(answers.iter().all(|it| *it == answers[0]), "{}: {answers:?}", self.title);
        }
        let times = times(&mut cases);
        println!("\n### {}\n", self.title);
        println!(
            "| case | median ns | best ns | ratio of medians, bests | allocations | instructions |"
        );
        println!("|---|---|---|---|---|---|");
        for (case, &(median, best)) in cases.iter_mut().zip(&times) {
            let ratio = match self.compared {
                true => format!("{:.1}, {:.1}", median / times[0].0, best / times[0].1),
                false => String::new(),
            };
            let before = ALLOCATIONS.load(Ordering::Relaxed);
            black_box((case.run)());
            let allocations = (ALLOCATIONS.load(Ordering::Relaxed) - before) / case.per as u64;
            let instructions = match instructions {
                true => self.instructions(case, median).to_string(),
                false => String::new(),
            };
            println!(
                "| {} | {median:.1} | {best:.1} | {ratio} | {allocations} | {instructions} |",
                case.name
            );
        }
    }

    /// Calls one case so many times.
    pub fn call(&self, name: &str, calls: usize) {
        let mut cases = (self.cases)();
        let case = cases.iter_mut().find(|case| case.name == name).expect("a case of this name");
        for _ in 0..calls {
            black_box((case.run)());
        }
    }

    /// The instructions of one call: the difference between two runs that differ by some calls.
    fn instructions(&self, case: &Case, nanoseconds: f64) -> u64 {
        let calls = ((1e7 / (nanoseconds * case.per as f64)) as usize).clamp(1, 1000);
        let refs = |calls: usize| {
            let output = Command::new("valgrind")
                .args(["--tool=cachegrind", "--cache-sim=no", "--cachegrind-out-file=/dev/null"])
                .arg(std::env::current_exe().unwrap())
                .args(["call", self.title, case.name, &calls.to_string()])
                .stdout(Stdio::null())
                .output()
                .expect("valgrind is installed");
            let text = String::from_utf8_lossy(&output.stderr).into_owned();
            let line = text.lines().find(|line| line.contains("I ")).unwrap_or(&text).to_owned();
            let digits = line.rsplit(':').next().unwrap_or("").trim().replace(',', "");
            digits.parse::<u64>().unwrap_or_else(|_| panic!("valgrind: {text}"))
        };
        // The first calls build what is built once.
        (refs(1 + 2 * calls) - refs(1 + calls)) / (calls * case.per) as u64
    }
}

/// Median and best of each case.
fn times(cases: &mut [Case]) -> Vec<(f64, f64)> {
    let counts: Vec<usize> = cases
        .iter_mut()
        .map(|case| {
            let (start, mut calls) = (ThreadTime::now(), 0);
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
            let start = ThreadTime::now();
            for _ in 0..*calls {
                black_box((case.run)());
            }
            times.push(start.elapsed().as_nanos() as f64 / (calls * case.per) as f64);
        }
    }
    times.iter_mut().for_each(|times| times.sort_by(f64::total_cmp));
    times.iter().map(|times| (times[times.len() / 2], times[0])).collect()
}
