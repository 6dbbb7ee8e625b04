//! Refusals: which status and which code a mistake has. The one place that decides it.

use axum::{
    Json,
    http::{Method, StatusCode},
    response::{IntoResponse, Response},
};
use tracing::warn;
use tribe::{CommandError, NameError, ParsePolicyError};
use tribe_api::{ErrorBody, ErrorReply};

use crate::{
    plugin::{IdentityError, LoadError, RequestError, StoreError, UseError},
    reconcile::AskError,
    task::{ManifestError, TaskError},
};

const NOT_SYNCED: &str = "not-synced";
const NOT_SYNCED_HELP: &str = "wait until it has; `snapctl tribe status` says what it waits for";

/// Goes with the response to one who asked a node that has not met its cluster: the refusal itself.
#[derive(Debug, Clone)]
pub(super) struct NotSynced(pub(super) ApiError);

/// A refusal with its status.
#[derive(Debug, Clone)]
pub(crate) struct ApiError {
    status: StatusCode,
    body: ErrorBody,
}

impl ApiError {
    pub(crate) fn new(status: StatusCode, code: &str, message: impl ToString) -> Self {
        let message = message.to_string();
        Self {
            status,
            body: ErrorBody { code: code.to_owned(), message, detail: None, help: None },
        }
    }

    pub(crate) fn bad(code: &str, message: impl ToString) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code, message)
    }

    pub(crate) fn detail(mut self, detail: impl Into<String>) -> Self {
        self.body.detail = Some(detail.into());
        self
    }

    pub(crate) fn help(mut self, help: impl Into<String>) -> Self {
        self.body.help = Some(help.into());
        self
    }

    pub(crate) fn tribe_off() -> Self {
        let message = "tribe mode is off on this node";
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "tribe-off", message)
            .help("start snapd with --tribe and --tribe-key-file")
    }

    /// The same as for what cannot be forced, with what to do if it must be.
    pub(crate) fn not_synced_unless_forced() -> Self {
        let help = format!(
            "{NOT_SYNCED_HELP}; if it was a member before and nobody else is left, add --force"
        );
        Self::from(CommandError::NotSynced).help(help)
    }

    pub(crate) fn no_route(path: &str) -> Self {
        let message = format!("there is nothing at `{path}`");
        Self::new(StatusCode::NOT_FOUND, "no-route", message)
            .help("GET /v3/openapi.json tells what there is")
    }

    pub(crate) fn method(method: &Method, path: &str) -> Self {
        let message = format!("`{path}` does not take {method}");
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "wrong-method", message)
            .help("GET /v3/openapi.json tells what it takes")
    }
}

impl From<CommandError> for ApiError {
    fn from(error: CommandError) -> Self {
        use StatusCode as Status;
        let (status, code, help) = match &error {
            CommandError::Name(_) => (Status::BAD_REQUEST, "bad-name", None),
            CommandError::Fact(_) => (Status::BAD_REQUEST, "bad-fact", None),
            CommandError::Policy(error) => return Self::from(error),
            CommandError::TooLong { .. } => (Status::BAD_REQUEST, "too-long", None),
            CommandError::UnknownTribe { .. } => (Status::NOT_FOUND, "unknown-tribe", None),
            CommandError::UnknownPolicy { .. } => (Status::NOT_FOUND, "unknown-policy", None),
            CommandError::UnknownItem { .. } => (Status::NOT_FOUND, "unknown-item", None),
            CommandError::UnknownNode { .. } => (Status::NOT_FOUND, "unknown-node", None),
            CommandError::TribeExists(_) => (Status::CONFLICT, "tribe-exists", None),
            CommandError::PolicyExists { .. } => {
                let help = "or change it in one step with `--replace`";
                (Status::CONFLICT, "policy-exists", Some(help))
            }
            CommandError::ItemExists { .. } => (Status::CONFLICT, "item-exists", None),
            CommandError::StillAlive(_) => {
                (Status::CONFLICT, "still-alive", Some("stop snapd on it first"))
            }
            CommandError::ServiceExists(_) => (Status::CONFLICT, "service-exists", None),
            CommandError::NameTaken { .. } => (
                Status::CONFLICT,
                "name-taken",
                Some(
                    "give one of them another --tribe-node-name; `snapctl tribe status` says more",
                ),
            ),
            CommandError::Plaintext => (
                Status::CONFLICT,
                "plaintext",
                Some("start snapd with --tribe-key-file to encrypt"),
            ),
            CommandError::UnknownKey(_) => (Status::NOT_FOUND, "unknown-key", None),
            CommandError::KeyRemoved(_) => (Status::CONFLICT, "key-removed", None),
            CommandError::KeySeals(_) => (Status::CONFLICT, "key-seals", None),
            CommandError::KeyNotHeld(_) => (Status::CONFLICT, "key-not-held", None),
            CommandError::KeyLacking { .. } => (
                Status::CONFLICT,
                "key-lacking",
                Some("`snapctl key status` shows who holds what, --force goes on without them"),
            ),
            CommandError::Keyring(_) => (Status::CONFLICT, "keyring", None),
            CommandError::Randomness(_) => (Status::INTERNAL_SERVER_ERROR, "randomness", None),
            CommandError::NotSet(_) => (Status::NOT_FOUND, "not-set", None),
            CommandError::ClockBehind | CommandError::ClockAhead => {
                (Status::CONFLICT, "clock", Some("compare `date` with another node's, and set it"))
            }
            CommandError::Refused { .. } => (Status::CONFLICT, "refused", None),
            CommandError::Unreachable(_) => {
                (Status::SERVICE_UNAVAILABLE, "unreachable", Some("try again when it is back"))
            }
            CommandError::NotSynced => {
                (Status::SERVICE_UNAVAILABLE, NOT_SYNCED, Some(NOT_SYNCED_HELP))
            }
            CommandError::Full(_) => {
                let help = "delete tribes or policies that nobody needs";
                (Status::SERVICE_UNAVAILABLE, "full", Some(help))
            }
            CommandError::TooManyItems(_) => {
                let help = "unload plugins or remove tasks of this node that nobody needs";
                (Status::SERVICE_UNAVAILABLE, "too-many-items", Some(help))
            }
            CommandError::Closed => (Status::SERVICE_UNAVAILABLE, "closed", None),
            CommandError::Storage(_) => (Status::INTERNAL_SERVER_ERROR, "storage", None),
            CommandError::Forked => (Status::INTERNAL_SERVER_ERROR, "forked", None),
            _ => (Status::INTERNAL_SERVER_ERROR, "internal", None),
        };
        let refusal = Self::new(status, code, &error);
        match help {
            Some(help) => refusal.help(help),
            None => refusal,
        }
    }
}

impl From<NameError> for ApiError {
    fn from(error: NameError) -> Self {
        CommandError::from(error).into()
    }
}

impl From<&ParsePolicyError> for ApiError {
    fn from(error: &ParsePolicyError) -> Self {
        let mut refusal = Self::bad("bad-policy", error);
        refusal.body.detail = Some(error.render());
        refusal
    }
}

impl From<LoadError> for ApiError {
    fn from(error: LoadError) -> Self {
        use StatusCode as Status;
        let (status, code) = match &error {
            LoadError::Store(StoreError::Name(_)) => (Status::BAD_REQUEST, "bad-name"),
            LoadError::Store(StoreError::Empty) => (Status::BAD_REQUEST, "empty"),
            LoadError::Store(StoreError::TooLarge) => (Status::PAYLOAD_TOO_LARGE, "too-large"),
            LoadError::Store(StoreError::InUse(_) | StoreError::Io { .. }) => {
                (Status::INTERNAL_SERVER_ERROR, "storage")
            }
            LoadError::Start(_) | LoadError::Catalog { .. } => {
                (Status::UNPROCESSABLE_ENTITY, "bad-plugin")
            }
            LoadError::Other { .. } => (Status::CONFLICT, "other-plugin"),
            LoadError::Gone(_) => (Status::NOT_FOUND, "unknown-plugin"),
            LoadError::Store(StoreError::Read { .. }) => (Status::NOT_FOUND, "no-file"),
            LoadError::Loaded(_) => (Status::CONFLICT, "plugin-loaded"),
            LoadError::Closed => (Status::SERVICE_UNAVAILABLE, "closed"),
        };
        let mut refusal = Self::new(status, code, &error);
        match error {
            LoadError::Start(error) => refusal.body.detail = error.detail(),
            LoadError::Loaded(plugin) => {
                return refusal.help(format!("unload it first: `snapctl plugin unload {plugin}`"));
            }
            LoadError::Store(StoreError::InUse(_) | StoreError::Io { .. }) => {
                return refusal.help("give snapd a directory of its own with --data-dir DIR");
            }
            _ => {}
        }
        refusal
    }
}

impl From<UseError> for ApiError {
    fn from(error: UseError) -> Self {
        use StatusCode as Status;
        match &error {
            UseError::Request(error) => Self::from(error.clone()),
            UseError::Unknown(_) => Self::new(Status::NOT_FOUND, "unknown-plugin", &error)
                .help("`snapctl plugin list` shows what is loaded"),
            UseError::Config { .. } => Self::bad("bad-config", &error),
            UseError::Down { .. } => Self::new(Status::SERVICE_UNAVAILABLE, "plugin-down", &error)
                .help("it is started again by itself"),
            UseError::Gone(_) => Self::new(Status::SERVICE_UNAVAILABLE, "plugin-down", &error),
            UseError::Full { .. } => Self::new(Status::CONFLICT, "plugin-full", &error)
                .help("`plugins: {max_running: N}` in snapd.yaml allows more"),
            UseError::Streams(_) | UseError::NoStream(_) | UseError::StreamOfSeveral(_) => {
                Self::new(Status::CONFLICT, "wrong-kind", &error)
            }
            UseError::Call { error: call, .. } => {
                let mut refusal = Self::new(Status::BAD_GATEWAY, "plugin-failed", &error);
                refusal.body.detail = call.detail().map(str::to_owned);
                refusal
            }
        }
    }
}

impl From<AskError> for ApiError {
    fn from(error: AskError) -> Self {
        use StatusCode as Status;
        match error {
            AskError::Load(error) => error.into(),
            AskError::Command(error) => error.into(),
            AskError::Name(error) => Self::bad("bad-name", error)
                .help("a plugin is called after its file: give the file another name"),
            AskError::OfTribe { ref tribe, .. } => Self::new(Status::CONFLICT, "of-tribe", &error)
                .help(format!("have the tribe unload it: add `--tribe {tribe}`")),
            AskError::Program(_) => Self::new(Status::UNPROCESSABLE_ENTITY, "bad-plugin", &error),
            AskError::Blob(_) | AskError::Io(_) => {
                Self::new(Status::INTERNAL_SERVER_ERROR, "storage", error)
            }
        }
    }
}

impl From<TaskError> for ApiError {
    fn from(error: TaskError) -> Self {
        use StatusCode as Status;
        let (status, code) = match &error {
            TaskError::Unknown(_) => {
                return Self::new(Status::NOT_FOUND, "unknown-task", error)
                    .help("`snapctl task list` shows what there is");
            }
            TaskError::Exists(_) => (Status::CONFLICT, "task-exists"),
            TaskError::TooMany => (Status::SERVICE_UNAVAILABLE, "full"),
            TaskError::State { .. } => (Status::CONFLICT, "task-state"),
            TaskError::Spool(_) => (Status::INTERNAL_SERVER_ERROR, "storage"),
            TaskError::Closed => (Status::SERVICE_UNAVAILABLE, "closed"),
        };
        Self::new(status, code, error)
    }
}

impl From<ManifestError> for ApiError {
    fn from(error: ManifestError) -> Self {
        match error.lines().as_slice() {
            [] | [_] => Self::bad("bad-manifest", &error),
            lines => {
                let message = format!("the manifest has {} mistakes", lines.len());
                Self::bad("bad-manifest", message).detail(lines.join("\n"))
            }
        }
    }
}

impl From<RequestError> for ApiError {
    fn from(error: RequestError) -> Self {
        match &error {
            RequestError::Form(_) | RequestError::TooMany(_) => Self::bad("bad-namespace", &error),
            RequestError::NotFound(_) => Self::new(StatusCode::NOT_FOUND, "unknown-metric", &error)
                .help("`snapctl metric list` shows what there is; `/*` at the end means all below"),
        }
    }
}

impl From<IdentityError> for ApiError {
    fn from(error: IdentityError) -> Self {
        Self::bad("bad-plugin", error)
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        if self.status == StatusCode::INTERNAL_SERVER_ERROR {
            warn!(code = self.body.code, message = self.body.message, "a request failed");
        }
        let not_synced = (self.body.code == NOT_SYNCED).then(|| NotSynced(self.clone()));
        let mut response = (self.status, Json(ErrorReply { error: self.body })).into_response();
        if let Some(refusal) = not_synced {
            response.extensions_mut().insert(refusal);
        }
        response
    }
}
