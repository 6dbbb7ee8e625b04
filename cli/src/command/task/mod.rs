//! `snapctl task`: tasks of the node behind the socket, and of tribes.

mod create;
mod flow;
mod text;

pub(crate) use flow::{Tap, tap};

use clap::{Args, Subcommand};
use tribe_api::{TaskChanged, TaskState, client::TaskVerb};

use crate::{command::name, exit::Exit, failure::Failure, output, session::Session};

/// Run tasks: collect, process and publish on a schedule, on this node or on a tribe
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Create a task from its manifest, and start it
    ///
    ///   snapctl task create psutil-influx.json
    ///   snapctl task create -t psutil-influx.json --tribe core
    ///
    /// With --tribe every member runs it, those that come later too; any node may be
    /// asked, in the tribe or not. `$NAME` and `${NAME}` in the file are replaced by
    /// the environment of this command; `$$` is a dollar sign. `{{fact}}` and
    /// `${secret:NAME}` are left for the nodes that run the task.
    #[command(verbatim_doc_comment)]
    Create(create::Create),
    /// List tasks
    List {
        /// Those that this tribe asks for, and how many members have done so [default: those on this node,
        /// its tribes' too]
        #[arg(long, value_parser = name())]
        tribe: Option<String>,
    },
    /// Show a task of this node, and what became of each of its steps
    ///
    /// For each step: where it ran last, how long that took, which nodes were tried, what waits to be
    /// published, and in full what failed.
    Show(Which),
    /// Start a task
    Start(Which),
    /// Stop a task
    Stop(Which),
    /// Let a task be started again that was disabled for its failures
    Enable(Which),
    /// Remove a task that does not run; of a tribe, any
    Remove(Which),
    /// Print what a task collects on this node, or what flows out of another step, as it happens
    ///
    /// A line for each metric: time, namespace, data, unit and tags; with `-o json` a
    /// line for each batch. `snapctl tap` tells of all steps.
    ///
    ///   snapctl task watch psutil-influx --tribe core
    ///   snapctl task watch psutil-influx --tribe core --step collect
    #[command(verbatim_doc_comment)]
    Watch(flow::Watch),
    Tap(Tap),
    /// Print the manifest of a task as JSON, from which it can be created again
    ///
    ///   snapctl task export disk-io --tribe storage > disk-io.json
    #[command(verbatim_doc_comment)]
    Export(Which),
}

/// Which task.
#[derive(Debug, Args)]
pub(crate) struct Which {
    /// Name or id of the task
    #[arg(value_parser = name())]
    task: String,
    /// The tribe whose task it is [default: a task of the node behind the socket]
    #[arg(long, value_parser = name())]
    tribe: Option<String>,
}

pub(crate) async fn run(verb: Verb, session: &Session) -> Result<Exit, Failure> {
    let snapd = &session.snapd;
    match verb {
        Verb::Create(create) => create::create(create, session).await,
        Verb::List { tribe: None } => {
            session.show(&snapd.tasks().await?, |tasks| text::of_node(tasks))
        }
        Verb::List { tribe: Some(tribe) } => {
            let tasks = snapd.tribe_tasks(&tribe).await?;
            session.show_known(&tasks, |tasks| text::of_tribe(tasks)).await
        }
        Verb::Show(Which { task, tribe }) => {
            session.show(&snapd.task(&task, tribe.as_deref()).await?, text::in_full)
        }
        Verb::Start(which) => direct(which, TaskVerb::Start, "started", session).await,
        Verb::Stop(which) => direct(which, TaskVerb::Stop, "stopped", session).await,
        Verb::Enable(which) => direct(which, TaskVerb::Enable, "enabled", session).await,
        Verb::Remove(Which { task, tribe }) => {
            let changed = snapd.remove_task(&task, tribe.as_deref(), session.wait);
            let changed = session.attend_if(tribe.is_some(), changed).await?;
            tell(&changed, "removed", None, session)
        }
        Verb::Watch(watch) => flow::watch(watch, session).await,
        Verb::Tap(tap) => flow::tap(tap, session).await,
        Verb::Export(Which { task, tribe }) => {
            let manifest = snapd.export_task(&task, tribe.as_deref()).await?;
            output::data(&output::json(serde_json::to_string_pretty(&manifest))?)?;
            Ok(Exit::Success)
        }
    }
}

async fn direct(
    which: Which,
    verb: TaskVerb,
    done: &str,
    session: &Session,
) -> Result<Exit, Failure> {
    let Which { task, tribe } = which;
    let tribe = tribe.as_deref();
    let changed = session.snapd.direct_task(&task, verb, tribe, session.wait);
    let changed = session.attend_if(tribe.is_some(), changed).await?;
    tell(&changed, done, changed.state, session)
}

/// Tells what was done, and what the task does now if that is known.
fn tell(
    changed: &TaskChanged,
    done: &str,
    state: Option<TaskState>,
    session: &Session,
) -> Result<Exit, Failure> {
    session.note(changed.notes.iter().map(String::as_str));
    let mut text = format!("{done} task `{}`", changed.name);
    if let Some(tribe) = &changed.tribe {
        text = format!("{text} in tribe `{tribe}`");
    }
    if let Some(state) = state {
        text = format!("{text}, it is {}", state.as_str());
    }
    session.written(changed, &changed.missing, &text)
}
