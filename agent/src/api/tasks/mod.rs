//! Tasks: of this node, and of tribes.

pub(super) mod create;
mod shown;

use std::{collections::BTreeMap, convert::Infallible};

use axum::{
    Json,
    extract::State,
    http::StatusCode,
    response::sse::{self, KeepAlive, Sse},
};
use futures_util::{Stream, StreamExt, stream};
use serde_json::Value;
use tokio::sync::broadcast;
use tribe_api::{
    ErrorReply, Flow, Task, TaskChanged, TribeQuery, TribeTask, WaitQuery, WatchQuery,
};

use self::shown::{of_node, of_tribe, shown};
use super::{
    App, convert,
    error::ApiError,
    events::KEEP_ALIVE,
    extract::{Path, Query, Wait},
    metrics::measured,
};
use crate::{
    reconcile::{Kind, TASK},
    task::{self, Format, Manifest, Origin, TaskReport},
};

/// What is said to who enables a task of a tribe.
const NEVER_DISABLED: &str = "tasks of tribes are never disabled: they try again by themselves";

/// What is to be done with a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Switch {
    Start,
    Stop,
    Enable,
}

/// The tasks of this node, those that tribes want among them.
#[utoipa::path(
    get,
    path = "/v3/tasks",
    responses((status = 200, body = [Task]), (status = "default", body = ErrorReply))
)]
pub(super) async fn list(State(app): State<App>) -> Json<Vec<Task>> {
    Json(app.0.tasks.list().iter().map(shown).collect())
}

/// One task of this node, by name or id.
#[utoipa::path(
    get,
    path = "/v3/tasks/{task}",
    params(("task" = String, Path, description = "Name or id of the task"), TribeQuery),
    responses((status = 200, body = Task), (status = "default", body = ErrorReply))
)]
pub(super) async fn one(
    State(app): State<App>,
    Path(name): Path<String>,
    Query(TribeQuery { tribe }): Query<TribeQuery>,
) -> Result<Json<Task>, ApiError> {
    let report = app.task(&name, tribe.as_deref())?;
    let manifest = Some(report.manifest.to_json_redacted());
    Ok(Json(Task { manifest, ..shown(&report) }))
}

/// Start a task, or have a tribe start it.
#[utoipa::path(
    post,
    path = "/v3/tasks/{task}/start",
    params(("task" = String, Path, description = "Name or id"), TribeQuery, WaitQuery),
    responses((status = 200, body = TaskChanged), (status = "default", body = ErrorReply))
)]
pub(super) async fn start(
    State(app): State<App>,
    Path(name): Path<String>,
    Query(TribeQuery { tribe }): Query<TribeQuery>,
    wait: Wait,
) -> Result<Json<TaskChanged>, ApiError> {
    app.switch(Switch::Start, &name, tribe, wait).await
}

/// Stop a task, or have a tribe stop it.
#[utoipa::path(
    post,
    path = "/v3/tasks/{task}/stop",
    params(("task" = String, Path, description = "Name or id"), TribeQuery, WaitQuery),
    responses((status = 200, body = TaskChanged), (status = "default", body = ErrorReply))
)]
pub(super) async fn stop(
    State(app): State<App>,
    Path(name): Path<String>,
    Query(TribeQuery { tribe }): Query<TribeQuery>,
    wait: Wait,
) -> Result<Json<TaskChanged>, ApiError> {
    app.switch(Switch::Stop, &name, tribe, wait).await
}

/// Let a task be started again that failed too often. Tasks of tribes never need it.
#[utoipa::path(
    post,
    path = "/v3/tasks/{task}/enable",
    params(("task" = String, Path, description = "Name or id"), TribeQuery, WaitQuery),
    responses((status = 200, body = TaskChanged), (status = "default", body = ErrorReply))
)]
pub(super) async fn enable(
    State(app): State<App>,
    Path(name): Path<String>,
    Query(TribeQuery { tribe }): Query<TribeQuery>,
    wait: Wait,
) -> Result<Json<TaskChanged>, ApiError> {
    app.switch(Switch::Enable, &name, tribe, wait).await
}

/// Remove a task, or have a tribe remove it.
#[utoipa::path(
    delete,
    path = "/v3/tasks/{task}",
    params(("task" = String, Path, description = "Name or id"), TribeQuery, WaitQuery),
    responses((status = 200, body = TaskChanged), (status = "default", body = ErrorReply))
)]
pub(super) async fn remove(
    State(app): State<App>,
    Path(name): Path<String>,
    Query(TribeQuery { tribe }): Query<TribeQuery>,
    Wait(wait): Wait,
) -> Result<Json<TaskChanged>, ApiError> {
    if let Some(tribe) = tribe {
        let node = app.node()?;
        let name = in_tribe(&tribe, &name);
        let written = node.remove_item(&tribe, TASK, name).await?;
        let missing = convert::missing(node, &written, wait).await?;
        return Ok(Json(of_tribe(&tribe, name, missing)));
    }
    let report = app.own_task(&name)?;
    if report.state == task::State::Running {
        let help = "stop it first";
        let (name, state) = (report.name, report.state);
        return Err(task::TaskError::State { name, state, help }.into());
    }
    if app.is_item(&report.id) {
        app.any_node().remove_local_item(TASK, &report.name).await?;
        app.0.reconciler.look().await;
    } else {
        app.0.tasks.remove(&report.id)?;
    }
    Ok(Json(of_node(&report)))
}

/// The manifest of a task, from which it can be created again: as it was written, passwords included.
#[utoipa::path(
    get,
    path = "/v3/tasks/{task}/export",
    params(("task" = String, Path, description = "Name or id"), TribeQuery),
    responses((status = 200, body = Object), (status = "default", body = ErrorReply))
)]
pub(super) async fn export(
    State(app): State<App>,
    Path(name): Path<String>,
    Query(TribeQuery { tribe }): Query<TribeQuery>,
) -> Result<Json<Value>, ApiError> {
    let Some(tribe) = tribe else {
        return Ok(Json(app.task(&name, None)?.manifest.to_json()));
    };
    // Any node can say it, member or not.
    let view = app.node()?.view();
    let name = in_tribe(&tribe, &name);
    let item = Kind::Task.item(&view.known_tribe(&tribe)?.items, name);
    let item = item.ok_or_else(|| unknown(&format!("{tribe}/{name}")))?;
    let manifest = serde_json::from_slice(&item.document);
    manifest
        .map(Json)
        .map_err(|error| ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, "not-understood", error))
}

/// What flows out of the steps of a task from now on, as server-sent events.
#[utoipa::path(
    get,
    path = "/v3/tasks/{task}/watch",
    params(("task" = String, Path, description = "Name or id"), WatchQuery),
    responses(
        (status = 200, content_type = "text/event-stream", body = Flow),
        (status = "default", body = ErrorReply)
    )
)]
pub(super) async fn watch(
    State(app): State<App>,
    Path(name): Path<String>,
    Query(WatchQuery { tribe, step }): Query<WatchQuery>,
) -> Result<Sse<impl Stream<Item = Result<sse::Event, Infallible>>>, ApiError> {
    let report = app.task(&name, tribe.as_deref())?;
    if let Some(step) = &step {
        check_step(&report, step)?;
    }
    let flows = app.0.tasks.watch(&report.id)?;
    let begin = stream::once(async { Ok(sse::Event::default().comment("ready")) });
    let state = (flows, Box::pin(app.stopped()), step);
    let rest = stream::unfold(state, async |(mut flows, mut stopped, step)| {
        loop {
            let flow = tokio::select! {
                flow = flows.recv() => flow,
                () = &mut stopped => return None,
            };
            let flow = match flow {
                Ok(flow) if step.as_deref().is_none_or(|step| step == &*flow.step) => Flow {
                    step: flow.step.to_string(),
                    time_ms: flow.time_ms,
                    metrics: flow.metrics.iter().cloned().map(measured).collect(),
                    missed: None,
                },
                Ok(_) => continue,
                Err(broadcast::error::RecvError::Lagged(count)) => Flow {
                    step: String::new(),
                    time_ms: 0,
                    metrics: Vec::new(),
                    missed: Some(count),
                },
                Err(broadcast::error::RecvError::Closed) => return None,
            };
            let event = sse::Event::default().event("flow").json_data(&flow);
            let event = event.unwrap_or_else(|_| sse::Event::default().comment("not told"));
            return Some((Ok(event), (flows, stopped, step)));
        }
    });
    Ok(Sse::new(begin.chain(rest)).keep_alive(KeepAlive::new().interval(KEEP_ALIVE)))
}

/// The tasks that a tribe asks its members to run.
#[utoipa::path(
    get,
    path = "/v3/tribes/{tribe}/tasks",
    params(("tribe" = String, Path, description = "Name of the tribe")),
    responses((status = 200, body = [TribeTask]), (status = "default", body = ErrorReply))
)]
pub(super) async fn of_a_tribe(
    State(app): State<App>,
    Path(tribe): Path<String>,
) -> Result<Json<Vec<TribeTask>>, ApiError> {
    let view = app.node()?.view();
    let known = view.known_tribe(&tribe)?;
    let members = app.ask_members(known).await;
    let mut applied: BTreeMap<(&str, u64), usize> = BTreeMap::new();
    for status in members.values().flatten().flatten() {
        if status.kind == TASK && status.applied {
            *applied.entry((&status.name, status.generation)).or_default() += 1;
        }
    }
    let shown = Kind::Task.items(&known.items).map(|item| {
        let manifest = std::str::from_utf8(&item.document).ok();
        let manifest = manifest.and_then(|text| Manifest::parse(text, Format::Json).ok());
        TribeTask {
            name: item.name.to_string(),
            tribe: tribe.clone(),
            generation: item.generation,
            desired: if item.running { "running" } else { "stopped" }.to_owned(),
            schedule: manifest.map(|manifest| manifest.schedule.to_string()).unwrap_or_default(),
            members: members.len(),
            applied: applied.get(&(item.name.as_str(), item.generation)).copied().unwrap_or(0),
        }
    });
    Ok(Json(shown.collect()))
}

impl App {
    /// A task of this node, as the user names it.
    fn task(&self, name: &str, tribe: Option<&str>) -> Result<TaskReport, ApiError> {
        let Some(tribe) = tribe else { return Ok(self.0.tasks.find(name)?) };
        let view = self.node()?.view();
        let known = view.known_tribe(tribe)?;
        let name = in_tribe(tribe, name);
        self.0.tasks.one(&format!("{tribe}/{name}")).map_err(|error| {
            if Kind::Task.item(&known.items, name).is_none() {
                return error.into();
            }
            let message = format!("task `{name}` of tribe `{tribe}` does not run on this node");
            ApiError::new(StatusCode::CONFLICT, "not-here", message)
                .help(format!("`snapctl tribe status {tribe}` shows where it runs; ask that node"))
        })
    }

    /// A task that was asked of this node alone.
    fn own_task(&self, name: &str) -> Result<TaskReport, ApiError> {
        let report = self.0.tasks.find(name)?;
        match &report.origin {
            Origin::Local => Ok(report),
            Origin::Tribe(tribe) => {
                let message = format!("task `{}` is of tribe `{tribe}`", report.name);
                Err(ApiError::new(StatusCode::CONFLICT, "of-tribe", message)
                    .help(format!("say so for the whole tribe: add `--tribe {tribe}`")))
            }
        }
    }

    /// Is there an item for this task, or was it found in a directory?
    fn is_item(&self, id: &str) -> bool {
        Kind::Task.item(&self.any_node().view().local_items, id).is_some()
    }

    /// Starts, stops or enables a task of this node, which is kept in mind over restarts; or has a tribe
    /// do so.
    async fn switch(
        &self,
        switch: Switch,
        name: &str,
        tribe: Option<String>,
        Wait(wait): Wait,
    ) -> Result<Json<TaskChanged>, ApiError> {
        if let Some(tribe) = tribe {
            let (node, name) = (self.node()?, in_tribe(&tribe, name));
            let running = switch != Switch::Stop;
            let written = node.run_item(&tribe, TASK, name, running).await?;
            let missing = convert::missing(node, &written, wait).await?;
            let mut changed = of_tribe(&tribe, name, missing);
            changed.notes.extend((switch == Switch::Enable).then(|| NEVER_DISABLED.to_owned()));
            return Ok(Json(changed));
        }
        let id = self.own_task(name)?.id;
        match switch {
            Switch::Start => self.0.tasks.start(&id),
            Switch::Stop => self.0.tasks.stop(&id),
            Switch::Enable => self.0.tasks.enable(&id),
        }?;
        if self.is_item(&id) {
            self.any_node().run_local_item(TASK, &id, switch == Switch::Start).await?;
            self.0.reconciler.look().await;
        }
        Ok(Json(of_node(&self.0.tasks.one(&id)?)))
    }
}

/// The name of a task in its tribe, of which its id may have been given.
fn in_tribe<'a>(tribe: &str, name: &'a str) -> &'a str {
    name.strip_prefix(tribe).and_then(|rest| rest.strip_prefix('/')).unwrap_or(name)
}

fn unknown(id: &str) -> ApiError {
    task::TaskError::Unknown(id.to_owned()).into()
}

fn check_step(report: &TaskReport, step: &str) -> Result<(), ApiError> {
    let mut paths = report.steps.iter().map(|step| step.path.as_str());
    if step == "collect" || paths.clone().any(|path| path == step) {
        return Ok(());
    }
    let message = format!("task `{}` has no step `{step}`", report.name);
    let known = paths.by_ref().collect::<Vec<_>>().join(", ");
    Err(ApiError::new(StatusCode::NOT_FOUND, "unknown-step", message)
        .help(format!("its steps are {known}")))
}
