//! Tasks that are created: a manifest becomes an item.

use std::time::Duration;

use axum::{
    Json,
    extract::{Request, State},
    http::{StatusCode, header::CONTENT_TYPE},
};
use tribe::{ItemName, PutOptions, View};
use tribe_api::{CreateTaskQuery, ErrorReply, TaskChanged, WaitQuery};

use super::{
    super::{
        App, convert,
        error::ApiError,
        extract::{Query, Wait},
    },
    shown::{of_node, of_tribe},
};
use crate::{
    reconcile::TASK,
    task::{self, Format, Manifest, Place},
};

/// Largest manifest, in bytes: a document of an item holds no more.
const MANIFEST_BYTES: usize = tribe::limits::ITEM_BYTES;

/// A task that is to be created.
struct Put {
    name: ItemName,
    manifest: Manifest,
    options: PutOptions,
}

/// Create a task on this node, or have a tribe run it. The body is the manifest.
#[utoipa::path(
    post,
    path = "/v3/tasks",
    params(CreateTaskQuery, WaitQuery),
    request_body(content_type = "application/json"),
    responses((status = 200, body = TaskChanged), (status = "default", body = ErrorReply))
)]
pub(in crate::api) async fn create(
    State(app): State<App>,
    Query(query): Query<CreateTaskQuery>,
    Wait(wait): Wait,
    request: Request,
) -> Result<Json<TaskChanged>, ApiError> {
    let CreateTaskQuery { tribe, name, stem, replace, no_start } = query;
    let mut manifest = read_manifest(request).await?;
    let name = name.or(manifest.name.take()).or(stem).ok_or_else(|| {
        ApiError::bad("no-name", "the task has no name").help("give the manifest a key `name`")
    })?;
    task::check_name(&name).map_err(|reason| ApiError::bad("bad-name", reason))?;
    let name = ItemName::parse(&name).map_err(|error| ApiError::bad("bad-name", error))?;
    manifest.name = Some(name.to_string());
    let put =
        Put { name, manifest, options: PutOptions { replace, running: no_start.then_some(false) } };
    Ok(Json(match tribe {
        Some(tribe) => app.put_in_tribe(tribe, put, wait).await?,
        None => app.put_here(put).await?,
    }))
}

impl App {
    async fn put_here(&self, put: Put) -> Result<TaskChanged, ApiError> {
        let problems = self.0.tasks.check(&put.manifest);
        if !problems.is_empty() {
            let message = "the task cannot run on this node";
            return Err(problem_list("not-runnable", message, &problems));
        }
        let (name, document) = (put.name.as_str(), put.document());
        self.any_node().put_local_item(TASK, name, document, put.options).await?;
        self.0.reconciler.look().await;
        let changed = of_node(&self.0.tasks.one(name)?);
        let mut notes = put.manifest.warnings.clone();
        // On a node that is alone it is refused before.
        if let Ok(node) = self.node() {
            notes.extend(strangers(&node.view(), &put.manifest));
        }
        Ok(TaskChanged { notes, ..changed })
    }

    async fn put_in_tribe(
        &self,
        tribe: String,
        put: Put,
        wait: Option<Duration>,
    ) -> Result<TaskChanged, ApiError> {
        let (node, document) = (self.node()?, put.document());
        let view = self.view_with_tribe(&tribe).await?;
        let mut members = view.known_tribe(&tribe)?.members.iter();
        let is_member = members.any(|member| member.id == node.id());
        let problems = if is_member { self.0.tasks.check(&put.manifest) } else { Vec::new() };
        let name = put.name.as_str();
        let written = node.put_item(&tribe, TASK, name, document, put.options).await?;
        let changed = of_tribe(&tribe, name, convert::missing(node, &written, wait).await?);
        let mut notes = put.manifest.warnings.clone();
        notes.extend(strangers(&view, &put.manifest));
        notes.extend(problems.iter().map(|problem| format!("on this node: {problem}")));
        Ok(TaskChanged { notes, ..changed })
    }
}

/// Tribes and nodes that steps are to run on, and that do not exist. They may yet; who mistyped a
/// name wants to know.
fn strangers(view: &View, manifest: &Manifest) -> Vec<String> {
    let strangers = task::elsewhere(manifest).filter_map(|(path, place)| {
        let (key, error) = match place {
            Place::Here => return None,
            Place::Tribe(tribe) => ("tribe", view.known_tribe(tribe.as_str()).err()?),
            Place::Node(node) => ("target", view.known_member(node.as_str()).err()?),
        };
        Some(format!("{path}.{key}: {error} (yet)"))
    });
    strangers.collect()
}

impl Put {
    fn document(&self) -> Vec<u8> {
        self.manifest.to_json().to_string().into_bytes()
    }
}

async fn read_manifest(request: Request) -> Result<Manifest, ApiError> {
    let found = request.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let essence = found.unwrap_or_default().split(';').next().unwrap_or_default().trim();
    let format = match essence {
        "application/json" => Format::Json,
        "application/yaml" | "application/x-yaml" => Format::Yaml,
        _ => {
            let message = "the body must be a manifest";
            return Err(ApiError::new(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "not-a-manifest",
                message,
            )
            .help("send it with `content-type: application/json` or `application/yaml`"));
        }
    };
    let bytes = axum::body::to_bytes(request.into_body(), MANIFEST_BYTES).await.map_err(|_| {
        let message = format!("a manifest may have at most {MANIFEST_BYTES} bytes");
        ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, "too-large", message)
    })?;
    let text = std::str::from_utf8(&bytes).map_err(|error| {
        ApiError::bad("bad-manifest", format!("the manifest is no text: {error}"))
    })?;
    let manifest = Manifest::parse(text, format)?;
    match manifest.stale(jiff::Timestamp::now()) {
        Some(problem) => Err(problem_list("bad-manifest", "the schedule is over", &[problem])),
        None => Ok(manifest),
    }
}

fn problem_list(code: &str, message: &str, problems: &[task::Problem]) -> ApiError {
    let lines: Vec<_> = problems.iter().map(ToString::to_string).collect();
    let status = StatusCode::UNPROCESSABLE_ENTITY;
    match lines.as_slice() {
        [one] => ApiError::new(status, code, format!("{message}: {one}")),
        lines => ApiError::new(status, code, message).detail(lines.join("\n")),
    }
}
