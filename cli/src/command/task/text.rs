//! Tasks as tables.

use tribe_api::{Task, TaskFailure, TaskStep, TribeTask};

use crate::{
    output::{blocks, fields, list, remark, table},
    sanitize, time,
};

pub(super) fn of_node(tasks: &[Task]) -> String {
    let row = |task: &Task| {
        [
            task.id.clone(),
            task.state.as_str().into(),
            task.hit_count.to_string(),
            task.miss_count.to_string(),
            task.failed_count.to_string(),
            time::second(task.created_ms),
            why(task),
        ]
    };
    let header = ["TASK", "STATE", "HITS", "MISSES", "FAILURES", "CREATED", "LAST-FAILURE"];
    table(header, tasks.iter().map(row).collect())
}

/// Why it does not run, else what went wrong last; the first line.
fn why(task: &Task) -> String {
    let failure = || task.last_failure.as_ref().map(|failure| failure.text.as_str());
    let text = task.reason.as_deref().or_else(failure).unwrap_or_default();
    text.lines().next().unwrap_or_default().to_owned()
}

pub(super) fn of_tribe(tasks: &[TribeTask]) -> String {
    let row = |task: &TribeTask| {
        [
            task.name.clone(),
            task.desired.clone(),
            task.generation.to_string(),
            format!("{}/{}", task.applied, task.members),
            task.schedule.clone(),
        ]
    };
    let header = ["TASK", "DESIRED", "GENERATION", "APPLIED", "SCHEDULE"];
    table(header, tasks.iter().map(row).collect())
}

/// One task: its counters, its steps, and below that what went wrong, in full.
pub(super) fn in_full(task: &Task) -> String {
    let manifest = task.manifest.as_ref().and_then(|it| serde_json::to_string_pretty(it).ok());
    let spools: Vec<_> = task.steps.iter().filter_map(spool_row).collect();
    let mut all = vec![
        fields([
            ("task", task.id.clone()),
            ("tribe", task.tribe.clone().unwrap_or_default()),
            ("state", task.state.as_str().into()),
            ("reason", task.reason.clone().unwrap_or_default()),
            ("schedule", task.schedule.clone()),
            ("created", time::second(task.created_ms)),
            ("last run", time::second(task.last_run_ms.unwrap_or_default())),
            ("hits", task.hit_count.to_string()),
            ("misses", task.miss_count.to_string()),
            ("failures", task.failed_count.to_string()),
        ]),
        table(
            [
                "STEP",
                "PLUGIN",
                "PLACE",
                "LAST-NODE",
                "LAST-RUN",
                "TOOK",
                "PASSED",
                "FAILED",
                "TRIED",
            ],
            task.steps.iter().map(step_row).collect(),
        ),
    ];
    if !spools.is_empty() {
        let header = ["STEP", "WAITING", "OLDEST", "BYTES", "DROPPED", "TORN", "SET-ASIDE"];
        all.push(table(header, spools));
    }
    all.extend(task.last_failure.as_ref().map(|failure| failed("the task", failure)));
    all.extend(task.steps.iter().flat_map(step_remarks));
    all.extend(manifest.map(|manifest| sanitize::json(&manifest)));
    blocks(all)
}

fn step_row(step: &TaskStep) -> [String; 9] {
    let last = step.last_run.as_ref();
    [
        step.path.clone(),
        step.plugin.clone().unwrap_or_default(),
        step.place.clone(),
        last.map(|run| run.node.clone()).unwrap_or_default(),
        last.map(|run| time::second(run.time_ms)).unwrap_or_default(),
        last.map(|run| format!("{:.1}ms", run.took_ms)).unwrap_or_default(),
        step.passed_count.to_string(),
        step.failed_count.to_string(),
        list(step.tried.iter().map(|tried| tried.node.as_str())),
    ]
}

fn spool_row(step: &TaskStep) -> Option<[String; 7]> {
    let spool = step.spool.as_ref()?;
    Some([
        step.path.clone(),
        spool.waiting.to_string(),
        time::second(spool.oldest_ms.unwrap_or_default()),
        spool.bytes.to_string(),
        spool.dropped.to_string(),
        spool.torn.to_string(),
        spool.set_aside.to_string(),
    ])
}

/// What went wrong in a step, in full.
fn step_remarks(step: &TaskStep) -> Vec<String> {
    let path = &step.path;
    let mut remarks = Vec::new();
    remarks.extend(step.last_failure.as_ref().map(|failure| failed(path, failure)));
    for tried in &step.tried {
        let when = time::second(tried.time_ms);
        remarks.push(remark(&format!("{path} tried {} at {when}", tried.node), &tried.failure));
    }
    let spool = step.spool.iter();
    for aside in spool.clone().flat_map(|spool| &spool.set_aside_failures) {
        let when = time::second(aside.time_ms);
        remarks
            .push(remark(&format!("{path} set aside what was collected at {when}"), &aside.text));
    }
    for trouble in spool.filter_map(|spool| spool.trouble.as_ref()) {
        remarks.push(remark(&format!("{path} cannot keep on disk what waits"), trouble));
    }
    if let Some(ms) = step.again_in_ms {
        let seconds = std::time::Duration::from_millis(ms).as_secs_f64();
        remarks.push(format!("{} is tried again in {seconds} s", sanitize::line(path)));
    }
    remarks
}

fn failed(what: &str, failure: &TaskFailure) -> String {
    remark(&format!("{what} failed at {}", time::second(failure.time_ms)), &failure.text)
}

#[cfg(test)]
mod tests {
    use tribe_api::{StepRun, StepSpool, StepTried, TaskState};

    use super::*;

    const TIME: u64 = 1_795_699_158_000;

    fn failure(text: &str) -> TaskFailure {
        TaskFailure { text: text.into(), time_ms: TIME }
    }

    fn collect() -> TaskStep {
        TaskStep {
            path: "collect".into(),
            plugin: None,
            place: "here".into(),
            last_run: None,
            tried: vec![],
            passed_count: 0,
            failed_count: 0,
            last_failure: None,
            spool: None,
            again_in_ms: None,
        }
    }

    fn task() -> Task {
        let spool = StepSpool {
            waiting: 3,
            bytes: 120,
            oldest_ms: Some(TIME),
            set_aside: 1,
            set_aside_failures: vec![failure("2 metrics: no such field")],
            trouble: Some("no space left on device".into()),
            ..StepSpool::default()
        };
        let publish = TaskStep {
            path: "publish[0]".into(),
            plugin: Some("publisher:influxdb".into()),
            place: "tribe:sink".into(),
            last_run: Some(StepRun { node: "s1".into(), time_ms: TIME, took_ms: 3.21, metrics: 2 }),
            tried: vec![StepTried { node: "s2".into(), failure: "gone".into(), time_ms: TIME }],
            passed_count: 5,
            failed_count: 1,
            last_failure: Some(failure("node `s2`: gone\nit last printed:\u{7}")),
            spool: Some(spool),
            again_in_ms: Some(1500),
        };
        Task {
            id: "core/load".into(),
            name: "load".into(),
            tribe: Some("core".into()),
            state: TaskState::Running,
            schedule: "every 1s".into(),
            hit_count: 5,
            miss_count: 0,
            failed_count: 1,
            last_failure: None,
            reason: None,
            created_ms: TIME,
            last_run_ms: Some(TIME),
            steps: vec![collect(), publish],
            manifest: Some(serde_json::json!({"version": 1})),
        }
    }

    #[test]
    fn tasks_are_listed_with_why_they_do_not_run() {
        let failing = Task { last_failure: Some(failure("first\u{1b}\nsecond")), ..task() };
        let disabled = Task {
            id: "disk".into(),
            state: TaskState::Disabled,
            reason: Some("10 failures in a row".into()),
            ..failing.clone()
        };
        let expected = "\
TASK       STATE     HITS  MISSES  FAILURES  CREATED               LAST-FAILURE
core/load  Running   5     0       1         2026-11-26T13:19:18Z  first\\u{1b}
disk       Disabled  5     0       1         2026-11-26T13:19:18Z  10 failures in a row";
        assert_eq!(of_node(&[failing, disabled]), expected);
    }

    #[test]
    fn tasks_of_a_tribe_are_listed_with_how_many_run_them() {
        let load = TribeTask {
            name: "load".into(),
            tribe: "core".into(),
            generation: 3,
            desired: "running".into(),
            schedule: "every 1s".into(),
            members: 4,
            applied: 3,
        };
        let expected = "\
TASK  DESIRED  GENERATION  APPLIED  SCHEDULE
load  running  3           3/4      every 1s";
        assert_eq!(of_tribe(&[load]), expected);
    }

    #[test]
    fn a_task_is_shown_with_what_each_step_did_and_what_went_wrong() {
        let expected = "\
task      core/load
tribe     core
state     Running
reason    -
schedule  every 1s
created   2026-11-26T13:19:18Z
last run  2026-11-26T13:19:18Z
hits      5
misses    0
failures  1

STEP        PLUGIN              PLACE       LAST-NODE  LAST-RUN              TOOK   PASSED  FAILED  TRIED
collect     -                   here        -          -                     -      0       0       -
publish[0]  publisher:influxdb  tribe:sink  s1         2026-11-26T13:19:18Z  3.2ms  5       1       s2

STEP        WAITING  OLDEST                BYTES  DROPPED  TORN  SET-ASIDE
publish[0]  3        2026-11-26T13:19:18Z  120    0        0     1

publish[0] failed at 2026-11-26T13:19:18Z:
  node `s2`: gone
  it last printed:\\u{7}

publish[0] tried s2 at 2026-11-26T13:19:18Z:
  gone

publish[0] set aside what was collected at 2026-11-26T13:19:18Z:
  2 metrics: no such field

publish[0] cannot keep on disk what waits:
  no space left on device

publish[0] is tried again in 1.5 s

{
  \"version\": 1
}";
        assert_eq!(in_full(&task()), expected);
    }
}
