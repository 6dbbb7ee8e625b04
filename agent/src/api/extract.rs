//! What a request carries, read so that every mistake becomes a refusal in JSON.

use std::time::Duration;

use axum::{
    body::Bytes,
    extract::{FromRequest, FromRequestParts, Request},
    http::{HeaderMap, StatusCode, header::CONTENT_TYPE, request::Parts},
};
use serde::de::DeserializeOwned;
use serde_json::Value;
use tribe_api::WaitQuery;
use utoipa::{
    PartialSchema,
    openapi::{RefOr, Schema},
};

use super::error::ApiError;
use crate::suggest::nearest;

/// The longest a write may wait for others.
const LONGEST_WAIT: Duration = Duration::from_secs(600);

/// The variable parts of the path.
#[derive(Debug)]
pub(crate) struct Path<T>(pub(crate) T);

/// The query parameters.
#[derive(Debug)]
pub(crate) struct Query<T>(pub(crate) T);

/// How long a write waits for others to hold the record.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wait(pub(crate) Option<Duration>);

/// The body, a JSON object with known fields only.
#[derive(Debug)]
pub(crate) struct Body<T>(pub(crate) T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for Path<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        axum::extract::Path::from_request_parts(parts, state)
            .await
            .map(|axum::extract::Path(value)| Self(value))
            .map_err(|error| ApiError::bad("bad-path", error.body_text()))
    }
}

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Query<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        axum::extract::Query::from_request_parts(parts, state)
            .await
            .map(|axum::extract::Query(value)| Self(value))
            .map_err(|error| ApiError::bad("bad-query", error.body_text()))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Wait {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let Query(WaitQuery { wait }) = Query::from_request_parts(parts, state).await?;
        let Some(seconds) = wait else { return Ok(Self(None)) };
        match Duration::try_from_secs_f64(seconds) {
            Ok(time) if time <= LONGEST_WAIT => Ok(Self(Some(time))),
            _ => Err(ApiError::bad(
                "bad-query",
                format!("cannot wait {seconds} s, at most {} s", LONGEST_WAIT.as_secs()),
            )),
        }
    }
}

impl<T: DeserializeOwned + PartialSchema, S: Send + Sync> FromRequest<S> for Body<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        check_type(request.headers())?;
        let bytes = Bytes::from_request(request, state).await.map_err(|error| {
            if error.status() == StatusCode::PAYLOAD_TOO_LARGE {
                let message = format!("the body is larger than {} bytes", super::BODY_BYTES);
                ApiError::new(error.status(), "too-large", message)
            } else {
                ApiError::bad("bad-body", error.body_text())
            }
        })?;
        parse(&bytes).map(Self)
    }
}

/// A page in a browser can send other types without asking; it cannot send this one.
fn check_type(headers: &HeaderMap) -> Result<(), ApiError> {
    let found = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = found.split(';').next().unwrap_or_default().trim();
    if essence.eq_ignore_ascii_case("application/json") {
        return Ok(());
    }
    let message = "the body must be JSON";
    Err(ApiError::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "not-json", message)
        .help("send it with `content-type: application/json`"))
}

fn parse<T: DeserializeOwned + PartialSchema>(bytes: &[u8]) -> Result<T, ApiError> {
    let json: Value = serde_json::from_slice(bytes)
        .map_err(|error| ApiError::bad("bad-json", format!("the body is not JSON: {error}")))?;
    check_fields(&json, &T::schema())?;
    serde_path_to_error::deserialize(json).map_err(|error| {
        let place = error.path().to_string();
        let message = match place.as_str() {
            "." => error.inner().to_string(),
            place => format!("`{place}`: {}", error.inner()),
        };
        ApiError::bad("bad-body", message)
    })
}

/// A field nobody knows is a slip that would otherwise go unnoticed. The types themselves let it pass,
/// so that old clients read new replies.
fn check_fields(json: &Value, schema: &RefOr<Schema>) -> Result<(), ApiError> {
    let (Value::Object(fields), RefOr::T(Schema::Object(known))) = (json, schema) else {
        return Ok(());
    };
    let Some(field) = fields.keys().find(|field| !known.properties.contains_key(*field)) else {
        return Ok(());
    };
    let refusal = ApiError::bad("bad-body", format!("unknown field `{field}`"));
    Err(match nearest(field, known.properties.keys().map(String::as_str)) {
        Some(near) => refusal.help(format!("did you mean `{near}`?")),
        None => {
            let known: Vec<_> = known.properties.keys().map(String::as_str).collect();
            refusal.help(format!("fields are {}", known.join(", ")))
        }
    })
}
