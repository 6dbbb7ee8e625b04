//! `snapctl task`: tasks of the node behind the socket, and of tribes.

use std::{
    fs,
    path::{Path, PathBuf},
};

use clap::{Args, Subcommand};
use tribe_api::{
    CreateTaskQuery, Flow, Measured, Task, TaskChanged, TaskStep, TribeTask, WatchQuery,
    client::{ManifestFormat, TaskVerb},
    expand_environment,
};

use crate::{
    args::Format,
    command::name,
    exit::Exit,
    failure::Failure,
    output::{self, blocks, fields, list, table},
    sanitize,
    session::Session,
};

/// Run tasks: collect, process and publish on a schedule, on the node behind the socket or by tribe
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Create a task from its manifest, and start it
    ///
    /// `$NAME` and `${NAME}` in the file are replaced by the environment of this command; `$$` is a
    /// dollar sign. `{{fact}}` and `${secret:NAME}` are left for the nodes that run the task.
    Create(Create),
    /// List tasks
    List {
        /// Those that this tribe asks for, and how many members run them
        #[arg(long, value_name = "TRIBE", value_parser = name())]
        tribe: Option<String>,
    },
    /// Show a task of this node: its counters, and for each step where it ran last and what failed
    Show(Which),
    /// Start a task
    Start(Which),
    /// Stop a task
    Stop(Which),
    /// Let a task be started again that was disabled for its failures
    Enable(Which),
    /// Remove a task that does not run
    Remove(Which),
    /// Print what a task of this node collects, processes and publishes, as it happens
    Watch(Watch),
    /// Print the manifest of a task, from which it can be created again
    Export(Which),
}

/// How to create a task.
#[derive(Debug, Args)]
pub(crate) struct Create {
    /// The manifest, JSON or YAML
    #[arg(value_name = "FILE", required_unless_present = "task_manifest")]
    file: Option<PathBuf>,
    /// The manifest, as snaptel has it
    #[arg(long, short = 't', value_name = "FILE", conflicts_with = "file")]
    task_manifest: Option<PathBuf>,
    /// Have the members of this tribe run it [default: the node behind the socket]
    #[arg(long, value_name = "TRIBE", value_parser = name())]
    tribe: Option<String>,
    /// What it is called [default: the name in the manifest, else that of the file]
    #[arg(long, short, value_parser = name())]
    name: Option<String>,
    /// Take the place of a task of the same name
    #[arg(long)]
    replace: bool,
    /// Do not start it
    #[arg(long)]
    no_start: bool,
}

/// Which task.
#[derive(Debug, Args)]
pub(crate) struct Which {
    /// Name or id of the task
    #[arg(value_parser = name())]
    task: String,
    /// The tribe whose task it is [default: that of the node behind the socket alone]
    #[arg(long, value_name = "TRIBE", value_parser = name())]
    tribe: Option<String>,
}

/// What to watch.
#[derive(Debug, Args)]
pub(crate) struct Watch {
    #[command(flatten)]
    which: Which,
    /// Only what flows out of this step, as in `collect` or `process[0]`
    #[arg(long, value_name = "PATH", value_parser = name())]
    step: Option<String>,
}

pub(crate) async fn run(verb: Verb, session: &Session) -> Result<Exit, Failure> {
    let snapd = &session.snapd;
    match verb {
        Verb::Create(create) => self::create(create, session).await,
        Verb::List { tribe: None } => {
            session.show(&snapd.tasks().await?, |tasks| tasks_text(tasks))
        }
        Verb::List { tribe: Some(tribe) } => {
            session.show(&snapd.tribe_tasks(&tribe).await?, |tasks| tribe_tasks_text(tasks))
        }
        Verb::Show(Which { task, tribe }) => {
            session.show(&snapd.task(&task, tribe.as_deref()).await?, task_text)
        }
        Verb::Start(which) => direct(which, TaskVerb::Start, "started", session).await,
        Verb::Stop(which) => direct(which, TaskVerb::Stop, "stopped", session).await,
        Verb::Enable(which) => direct(which, TaskVerb::Enable, "enabled", session).await,
        Verb::Remove(Which { task, tribe }) => {
            let changed = snapd.remove_task(&task, tribe.as_deref(), session.wait).await?;
            changed_text(&changed, "removed", session)
        }
        Verb::Watch(watch) => self::watch(watch, false, session).await,
        Verb::Export(Which { task, tribe }) => {
            let manifest = snapd.export_task(&task, tribe.as_deref()).await?;
            output::data(&output::json(serde_json::to_string_pretty(&manifest))?)?;
            Ok(Exit::Success)
        }
    }
}

async fn create(create: Create, session: &Session) -> Result<Exit, Failure> {
    let Create { file, task_manifest, tribe, name, replace, no_start } = create;
    let file = file.or(task_manifest).ok_or_else(|| Failure::usage("there is no manifest"))?;
    let (manifest, format) = read(&file)?;
    let stem = file.file_stem().map(|stem| stem.to_string_lossy().into_owned());
    let query = CreateTaskQuery { tribe, name: name.or(stem), replace, no_start };
    let changed = session.snapd.create_task(&query, manifest, format, session.wait).await?;
    changed_text(&changed, "created", session)
}

/// The text of a manifest with the environment in it, and how it is written.
fn read(file: &Path) -> Result<(Vec<u8>, ManifestFormat), Failure> {
    let cannot = |reason: &dyn std::fmt::Display| {
        Failure::new(format!("cannot read `{}`: {reason}", file.display()))
    };
    let text = fs::read_to_string(file).map_err(|error| cannot(&error))?;
    let text = expand_environment(&text, |name| std::env::var(name).ok())
        .map_err(|error| Failure::new(format!("{}: {error}", file.display())))?;
    let ending = file.extension().unwrap_or_default().to_string_lossy().to_lowercase();
    let format = match ending.as_str() {
        "yaml" | "yml" => ManifestFormat::Yaml,
        "json" => ManifestFormat::Json,
        _ if text.trim_start().starts_with('{') => ManifestFormat::Json,
        _ => ManifestFormat::Yaml,
    };
    Ok((text.into_bytes(), format))
}

async fn direct(
    which: Which,
    verb: TaskVerb,
    done: &str,
    session: &Session,
) -> Result<Exit, Failure> {
    let Which { task, tribe } = which;
    let tribe = tribe.as_deref();
    let changed = session.snapd.direct_task(&task, verb, tribe, session.wait).await?;
    changed_text(&changed, done, session)
}

fn changed_text(changed: &TaskChanged, done: &str, session: &Session) -> Result<Exit, Failure> {
    for note in &changed.notes {
        output::tell(&sanitize::line(&format!("note: {note}")));
    }
    let text = match &changed.tribe {
        Some(tribe) => format!("{done} task `{}` in tribe `{tribe}`", changed.name),
        None => format!("{done} task `{}`", changed.name),
    };
    session.written(changed, &changed.missing, &text)
}

/// Prints what flows, with its step in front if that is asked for.
pub(crate) async fn watch(
    watch: Watch,
    with_steps: bool,
    session: &Session,
) -> Result<Exit, Failure> {
    let Watch { which: Which { task, tribe }, step } = watch;
    let query = WatchQuery { tribe, step };
    let mut flows = session.snapd.watch_task(&task, &query).await?;
    while let Some(flow) = flows.next().await? {
        if let Some(missed) = flow.missed {
            output::tell(&format!("warning: missed {missed} batches, this reader is too slow"));
            continue;
        }
        if session.format == Format::Json {
            output::data(&output::json(serde_json::to_string(&flow))?)?;
            continue;
        }
        for line in flow_lines(&flow, with_steps) {
            output::data(&line)?;
        }
    }
    output::tell("the task is gone, or snapd stops");
    Ok(Exit::Success)
}

fn flow_lines(flow: &Flow, with_steps: bool) -> Vec<String> {
    let line = |metric: &Measured| {
        let tags = metric.tags.iter().map(|(key, value)| format!("{key}={value}"));
        let data = match &metric.data {
            serde_json::Value::String(text) => text.clone(),
            data => data.to_string(),
        };
        let Measured { timestamp_ms, namespace, .. } = metric;
        let text = format!("{timestamp_ms} {namespace} {data} {}", list(tags));
        let text = if with_steps { format!("{} {text}", flow.step) } else { text };
        sanitize::line(&text)
    };
    flow.metrics.iter().map(line).collect()
}

fn tasks_text(tasks: &[Task]) -> String {
    let row = |task: &Task| {
        [
            task.id.clone(),
            task.state.as_str().into(),
            task.hit_count.to_string(),
            task.miss_count.to_string(),
            task.failed_count.to_string(),
            task.schedule.clone(),
            failure_text(task),
        ]
    };
    let header = ["TASK", "STATE", "HITS", "MISSES", "FAILURES", "SCHEDULE", "LAST FAILURE"];
    table(header, tasks.iter().map(row).collect())
}

fn failure_text(task: &Task) -> String {
    let text = task.last_failure.as_ref().map(|failure| failure.text.as_str()).unwrap_or_default();
    text.lines().next().unwrap_or_default().to_owned()
}

fn tribe_tasks_text(tasks: &[TribeTask]) -> String {
    let row = |task: &TribeTask| {
        [
            task.name.clone(),
            task.desired.clone(),
            format!("{}/{}", task.applied, task.members),
            task.schedule.clone(),
        ]
    };
    table(["TASK", "DESIRED", "APPLIED", "SCHEDULE"], tasks.iter().map(row).collect())
}

fn task_text(task: &Task) -> String {
    let failed = task.last_failure.as_ref().map(|failure| failure.text.clone());
    let manifest = task.manifest.as_ref().and_then(|it| serde_json::to_string_pretty(it).ok());
    let spools = task.steps.iter().filter_map(spool_row);
    blocks([
        fields([
            ("task", task.id.clone()),
            ("tribe", task.tribe.clone().unwrap_or_default()),
            ("state", task.state.as_str().into()),
            ("schedule", task.schedule.clone()),
            ("hits", task.hit_count.to_string()),
            ("misses", task.miss_count.to_string()),
            ("failures", task.failed_count.to_string()),
            ("reason", task.reason.clone().unwrap_or_default()),
            ("last failure", failed.unwrap_or_default()),
        ]),
        table(
            ["STEP", "PLUGIN", "PLACE", "LAST ON", "TOOK", "PASSED", "FAILED", "TRIED", "FAILURE"],
            task.steps.iter().map(step_row).collect(),
        ),
        table(["STEP", "WAITING", "BYTES", "DROPPED", "TORN", "SET ASIDE"], spools.collect()),
        manifest.map(|manifest| sanitize::json(&manifest)).unwrap_or_default(),
    ])
    .trim_end()
    .to_owned()
}

fn step_row(step: &TaskStep) -> [String; 9] {
    let last = step.last_run.as_ref();
    [
        step.path.clone(),
        step.plugin.clone().unwrap_or_default(),
        step.place.clone(),
        last.map(|run| run.node.clone()).unwrap_or_default(),
        last.map(|run| format!("{:.1}ms", run.took_ms)).unwrap_or_default(),
        step.passed_count.to_string(),
        step.failed_count.to_string(),
        list(step.tried.iter().map(|tried| tried.node.as_str())),
        step.last_failure.as_ref().map(|failure| failure.text.clone()).unwrap_or_default(),
    ]
}

fn spool_row(step: &TaskStep) -> Option<[String; 6]> {
    let spool = step.spool.as_ref()?;
    Some([
        step.path.clone(),
        spool.waiting.to_string(),
        spool.bytes.to_string(),
        spool.dropped.to_string(),
        spool.torn.to_string(),
        spool.set_aside.to_string(),
    ])
}

#[cfg(test)]
mod tests {
    use tribe_api::{StepRun, StepSpool, TaskFailure, TaskState};

    use super::*;

    fn task() -> Task {
        let step = TaskStep {
            path: "publish[0]".into(),
            plugin: Some("publisher:influxdb".into()),
            place: "tribe sink".into(),
            last_run: Some(StepRun { node: "s1".into(), time_ms: 7, took_ms: 3.21, metrics: 2 }),
            tried: vec![tribe_api::StepTried { node: "s2".into(), failure: "gone".into() }],
            passed_count: 5,
            failed_count: 1,
            last_failure: Some(TaskFailure { text: "node `s2`: gone".into(), time_ms: 6 }),
            spool: Some(StepSpool { waiting: 3, bytes: 120, ..StepSpool::default() }),
            again_in_ms: None,
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
            last_failure: Some(TaskFailure { text: "first\u{1b}\nsecond".into(), time_ms: 6 }),
            reason: None,
            created_ms: 1,
            last_run_ms: Some(6),
            steps: vec![step],
            manifest: None,
        }
    }

    #[test]
    fn tasks_are_listed() {
        let expected = "\
TASK       STATE    HITS  MISSES  FAILURES  SCHEDULE  LAST FAILURE
core/load  Running  5     0       1         every 1s  first\\u{1b}";
        assert_eq!(tasks_text(&[task()]), expected);
    }

    #[test]
    fn a_task_is_shown_with_its_steps() {
        let text = task_text(&task());
        let step = "publish[0]  publisher:influxdb  tribe sink  s1       3.2ms  5       1       \
                    s2     node `s2`: gone";
        assert!(text.contains(step), "{text}");
        assert!(text.contains("publish[0]  3        120    0        0     0"), "{text}");
    }

    #[test]
    fn what_flows_is_a_line_for_each_metric() {
        let metric = Measured {
            namespace: "/intel/load".into(),
            version: 1,
            data: 0.5.into(),
            unit: String::new(),
            tags: [("rack".to_owned(), "7\n".to_owned())].into(),
            timestamp_ms: 9,
        };
        let flow = Flow { step: "collect".into(), time_ms: 9, metrics: vec![metric], missed: None };
        assert_eq!(flow_lines(&flow, false), ["9 /intel/load 0.5 rack=7\\n"]);
        assert_eq!(flow_lines(&flow, true), ["collect 9 /intel/load 0.5 rack=7\\n"]);
    }
}
