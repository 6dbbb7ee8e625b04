//! Runs scenarios of the simulator, and tells what they measure.
//!
//! ```text
//! cargo run -p snap-tribe --no-default-features --features sim --release --example sim -- list
//! cargo run ... --example sim -- scenario join --seeds 5 --nodes 1000
//! cargo run ... --example sim -- scenario join --seed 42
//! ```

#![expect(clippy::print_stdout, reason = "a program that tells what it measured")]
#![expect(clippy::disallowed_methods, reason = "tells how long the simulation itself takes")]

use std::{
    collections::BTreeMap,
    error::Error,
    path::{Path, PathBuf},
    process::ExitCode,
    time::Instant,
};

use tribe::sim::{Ran, Scenario};

const USAGE: &str = "usage: sim list
       sim scenario NAME|FILE [--seeds N] [--seed FIRST] [--nodes N] [--plain] [--markdown]

  --seeds N    run it N times, with seeds that follow one another
  --seed S     the first seed, 1 by default
  --nodes N    so many nodes instead of the scenario's
  --plain      without sealing, to save time
  --markdown   rows of a table";

struct Options {
    seeds: u64,
    seed: u64,
    nodes: Option<usize>,
    plain: bool,
    markdown: bool,
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match run(&arguments) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            println!("{error}");
            ExitCode::from(2)
        }
    }
}

fn run(arguments: &[String]) -> Result<bool, Box<dyn Error>> {
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["list"] => {
            for path in scenarios()? {
                let scenario = Scenario::from_yaml(&std::fs::read_to_string(path)?)?;
                println!("{:12} {}", scenario.name, scenario.about);
            }
            Ok(true)
        }
        ["scenario", name, options @ ..] => play(name, &read_options(options)?),
        _ => Err(USAGE.into()),
    }
}

fn read_options(mut words: &[&str]) -> Result<Options, Box<dyn Error>> {
    let mut options = Options { seeds: 1, seed: 1, nodes: None, plain: false, markdown: false };
    loop {
        words = match words {
            [] => return Ok(options),
            ["--plain", rest @ ..] => {
                options.plain = true;
                rest
            }
            ["--markdown", rest @ ..] => {
                options.markdown = true;
                rest
            }
            ["--seeds", number, rest @ ..] => {
                options.seeds = number.parse()?;
                rest
            }
            ["--seed", number, rest @ ..] => {
                options.seed = number.parse()?;
                rest
            }
            ["--nodes", number, rest @ ..] => {
                options.nodes = Some(number.parse()?);
                rest
            }
            [word, ..] => return Err(format!("unknown option `{word}`\n{USAGE}").into()),
        }
    }
}

fn play(name: &str, options: &Options) -> Result<bool, Box<dyn Error>> {
    let mut scenario = Scenario::from_yaml(&std::fs::read_to_string(find(name)?)?)?;
    scenario.nodes = options.nodes.unwrap_or(scenario.nodes);
    scenario.sealed &= !options.plain;
    let (mut all, mut good) = (BTreeMap::<String, Vec<f64>>::new(), true);
    let start = Instant::now();
    for seed in options.seed..options.seed + options.seeds {
        let began = Instant::now();
        match scenario.run_weighing(seed, Some(freed)) {
            Ok(ran) => {
                good &= ran.missed.is_empty();
                if !options.markdown {
                    tell(&scenario, seed, &ran, began);
                }
                for (name, value) in ran.measured {
                    all.entry(name).or_default().push(value);
                }
            }
            Err(failed) => {
                good = false;
                println!("FAILED {failed}");
            }
        }
    }
    summarise(&scenario, options, &mut all, start);
    Ok(good)
}

/// How many bytes of memory a call frees.
fn freed(what: &mut dyn FnMut()) -> u64 {
    allocation_counter::measure(what).bytes_current.min(0).unsigned_abs()
}

fn tell(scenario: &Scenario, seed: u64, ran: &Ran, began: Instant) {
    println!(
        "{} N={} seed {seed}: {:.0} s virtual in {:.1} s, trace {:016x}",
        scenario.name,
        scenario.nodes,
        ran.took.as_secs_f64(),
        began.elapsed().as_secs_f64(),
        ran.trace_hash,
    );
    for (name, value) in &ran.measured {
        let bar = scenario.bars.get(name);
        let verdict = match bar {
            Some(bar) if value > bar => format!("  MISSED, the bar is {bar}"),
            Some(bar) => format!("  (bar {bar})"),
            None => String::new(),
        };
        println!("  {name:28} {value:9.3}{verdict}");
    }
}

fn summarise(
    scenario: &Scenario,
    options: &Options,
    all: &mut BTreeMap<String, Vec<f64>>,
    start: Instant,
) {
    let (wall, memory) = (start.elapsed().as_secs_f64(), peak_memory_mib());
    for (name, values) in all {
        values.sort_by(f64::total_cmp);
        let at = |index: usize| values.get(index).copied().unwrap_or(f64::NAN);
        let (least, middle, most) = (at(0), at(values.len() / 2), at(values.len().max(1) - 1));
        let bar = scenario.bars.get(name);
        let shown = bar.map_or_else(|| "-".to_owned(), f64::to_string);
        let verdict = match bar {
            Some(bar) if most > *bar => "MISSED",
            Some(_) => "ok",
            None => "",
        };
        if options.markdown {
            println!(
                "| {} | {} | {} | {name} | {middle:.2} | {most:.2} | {shown} | {verdict} |",
                scenario.name, scenario.nodes, options.seeds,
            );
        } else if options.seeds > 1 {
            println!(
                "{name:28} least {least:9.3} middle {middle:9.3} most {most:9.3} bar {shown} {verdict}"
            );
        }
    }
    if options.markdown {
        println!("<!-- {}: {wall:.0} s, {memory} MiB -->", scenario.name);
    } else {
        println!("{wall:.1} s in all, at most {memory} MiB of memory");
    }
}

/// The most memory this process had, where the system tells.
fn peak_memory_mib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    kib.unwrap_or(0) / 1024
}

fn scenarios() -> Result<Vec<PathBuf>, Box<dyn Error>> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios");
    let entries = std::fs::read_dir(dir)?.map(|entry| entry.map(|entry| entry.path()));
    let mut paths = entries.collect::<Result<Vec<_>, _>>()?;
    paths.sort();
    Ok(paths)
}

fn find(name: &str) -> Result<PathBuf, Box<dyn Error>> {
    let given = PathBuf::from(name);
    if given.is_file() {
        return Ok(given);
    }
    let known = scenarios()?;
    let found = known.iter().find(|path| path.file_stem().is_some_and(|stem| stem == name));
    let names = || {
        let stems = known.iter().filter_map(|path| path.file_stem()?.to_str());
        stems.collect::<Vec<_>>().join(", ")
    };
    found.cloned().ok_or_else(|| format!("no scenario `{name}`; there are {}", names()).into())
}
