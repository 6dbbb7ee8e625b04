//! Many tasks at the same time: none of them misses an interval, and nothing they collect is lost.

use std::{
    fs,
    path::Path,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use tribe_api::{Task, TaskState};
use tribe_tests::{Cluster, Node, plugins, say, wait_until};

/// Metrics of the collector.
const METRICS: usize = 50;
/// How often the clock of the system counts the time of a process, in a second (`man 5 proc`).
const TICKS: f64 = 100.0;
/// Whoever asks more often has a share in what is measured.
const PAUSE: Duration = Duration::from_secs(1);

/// How much is done: a little, or what `TRIBE_LOAD_TASKS` and `TRIBE_LOAD_SECONDS` say.
struct Size {
    tasks: usize,
    seconds: u64,
}

impl Size {
    fn asked() -> Self {
        let asked = |name: &str, otherwise: u64| {
            std::env::var(name).map_or(otherwise, |asked| asked.parse().unwrap())
        };
        let tasks = asked("TRIBE_LOAD_TASKS", 20).try_into().unwrap();
        Self { tasks, seconds: asked("TRIBE_LOAD_SECONDS", 20) }
    }
}

/// The processor time that a process has used, in seconds, and what it has in memory, in MiB.
fn used(id: u32) -> (f64, u64) {
    let read = |file: &str| fs::read_to_string(format!("/proc/{id}/{file}")).unwrap();
    let stat = read("stat");
    let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
    let ticks: f64 = fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap();
    let status = read("status");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    let kib: u64 = line.split_whitespace().next().unwrap().parse().unwrap();
    (ticks / TICKS, kib / 1024)
}

/// A task with a configuration of its own, so that nobody is served what was collected for another.
fn task(seed: usize, seconds: u64, file: &Path) -> Value {
    let config = json!({"/intel/many": {"seed": seed}});
    let publish = json!([{"plugin_name": "file", "config": {"file": file}}]);
    json!({
        "version": 1,
        "schedule": {"type": "simple", "interval": "1s", "count": seconds},
        "workflow": {"collect": {
            "metrics": {"/intel/many/*": {}}, "config": config, "publish": publish,
        }},
    })
}

/// Waits until so many intervals of a task have passed, without asking much.
fn wait_until_passed(node: &Node, task: &str, intervals: u64) {
    let passed = || {
        let task = node.get(&format!("/v3/tasks/{task}"));
        ["hit_count", "miss_count"].map(|count| task[count].as_u64().unwrap()).iter().sum::<u64>()
    };
    while passed() < intervals {
        std::thread::park_timeout(PAUSE);
    }
}

/// Waits until all tasks have ended and what they collected is delivered.
fn wait_until_ended(node: &Node) -> Vec<Task> {
    let ended = |task: &Task| {
        let spool = task.steps[1].spool.as_ref();
        task.state == TaskState::Ended && spool.is_some_and(|spool| spool.waiting == 0)
    };
    wait_until("all tasks have ended and delivered", || node.tasks().iter().all(ended));
    node.tasks()
}

/// A file has a line for each time its task fired, of all metrics, collected for it alone.
fn check(task: &Task, seed: usize, file: &Path, size: &Size) {
    let text = fs::read_to_string(file).unwrap();
    assert_eq!((task.miss_count, task.failed_count), (0, 0), "{task:#?}");
    assert_eq!(task.hit_count, size.seconds, "{task:#?}");
    assert_eq!(text.lines().count() as u64, task.hit_count, "{}", file.display());
    let mut collections = Vec::new();
    for line in text.lines() {
        let batch: Vec<Value> = serde_json::from_str(line).unwrap();
        assert_eq!(batch.len(), METRICS, "{line}");
        for (number, metric) in batch.iter().enumerate() {
            assert_eq!(metric["data"], seed * METRICS + number, "{line}");
        }
        collections.push(batch[0]["tags"]["collection"].as_str().unwrap().to_owned());
    }
    collections.sort();
    collections.dedup();
    assert_eq!(collections.len() as u64, task.hit_count, "something came from the cache");
}

#[test]
fn many_tasks_of_one_second_miss_nothing() {
    let size = Size::asked();
    let cluster = Cluster::start(&[("i1", &[])]);
    let i1 = &cluster["i1"];
    for plugin in ["many", "file"] {
        i1.types(&format!("plugin load {}", plugins::go(plugin).display()));
    }
    let name = |seed: usize| format!("task{seed:03}");
    let file = |seed: usize| cluster.dir().join(name(seed)).with_extension("out");
    for seed in 0..size.tasks {
        let manifest = cluster.manifest(&name(seed), &task(seed, size.seconds, &file(seed)));
        i1.types(&format!("task create -t {}", manifest.display()));
    }
    let plugins = i1.plugin_processes();
    let all = || -> Vec<(String, f64, u64)> {
        let snapd = [(i1.pid(), "snapd".to_owned())];
        let of = |(id, name): (u32, String)| (name, used(id).0, used(id).1);
        snapd.into_iter().chain(plugins.clone()).map(of).collect()
    };
    let (before, begun) = (all(), Instant::now());
    wait_until_passed(i1, &name(0), size.seconds - 1);
    let (after, took) = (all(), begun.elapsed().as_secs_f64());
    for ((name, from, _), (_, to, memory)) in before.iter().zip(&after) {
        let percent = (to - from) / took * 100.0;
        say(&format!("load: {name}: {percent:.1} % of a core over {took:.0} s, {memory} MiB"));
    }

    let tasks = wait_until_ended(i1);
    assert_eq!(tasks.len(), size.tasks);
    for (seed, task) in tasks.iter().enumerate() {
        assert_eq!(task.name, name(seed));
        check(task, seed, &file(seed), &size);
    }
    let (hits, misses) = tasks
        .iter()
        .fold((0, 0), |(hits, misses), task| (hits + task.hit_count, misses + task.miss_count));
    say(&format!("load: {} tasks, {} s: {hits} hits, {misses} misses", size.tasks, size.seconds));
    assert_eq!(i1.plugin_processes(), plugins, "one process serves all");
}
