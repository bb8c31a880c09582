//! Errors as HTTP answers: `{"detail": ...}` with the status that fits.

use std::any::Any;
use std::fmt::Display;

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::Value;

use crate::error::{Error, ErrorCode};
use crate::limits::Exceeded;

/// Why a request was not served.
#[derive(Debug)]
pub(super) enum HttpError {
    /// The rules said no, or the server can't.
    Chat(Error),
    /// A part of the request has the wrong form.
    Form(InvalidField),
    /// Somebody does this too often.
    Exceeded(Exceeded),
}

/// A part of a request that has the wrong form: 422 with `[{loc, msg, type}]`.
#[derive(Debug, Serialize)]
pub(super) struct InvalidField {
    /// `path`, `query` or `body`, then names of fields and indexes into lists.
    loc: Vec<Value>,
    msg: String,
    #[serde(rename = "type")]
    kind: &'static str,
}

impl InvalidField {
    /// A required part that is not there.
    pub(super) fn missing(place: &str, field: &str) -> Self {
        Self::new(place, [field.into()], "Field required", "missing")
    }

    /// A part whose value is not allowed, and what is.
    pub(super) fn value(place: &str, field: &str, allowed: impl Display) -> Self {
        Self::new(place, [field.into()], allowed, "value_error")
    }

    /// A place (`path`, `query`, `body`) that can't be read at all.
    pub(super) fn unreadable(place: &str, msg: impl Display, kind: &'static str) -> Self {
        Self::new(place, [], msg, kind)
    }

    /// A part by its place and the way to it from there.
    pub(super) fn new(
        place: &str,
        way: impl IntoIterator<Item = Value>,
        msg: impl Display,
        kind: &'static str,
    ) -> Self {
        let loc = std::iter::once(Value::from(place)).chain(way).collect();
        Self { loc, msg: msg.to_string(), kind }
    }
}

impl<E: Into<Error>> From<E> for HttpError {
    fn from(error: E) -> Self {
        Self::Chat(error.into())
    }
}

impl From<InvalidField> for HttpError {
    fn from(field: InvalidField) -> Self {
        Self::Form(field)
    }
}

impl From<Exceeded> for HttpError {
    fn from(exceeded: Exceeded) -> Self {
        Self::Exceeded(exceeded)
    }
}

impl IntoResponse for HttpError {
    fn into_response(self) -> Response {
        match self {
            Self::Chat(error) => error.into_response(),
            Self::Form(field) => field.into_response(),
            Self::Exceeded(exceeded) => exceeded.into_response(),
        }
    }
}

impl IntoResponse for InvalidField {
    fn into_response(self) -> Response {
        detail(StatusCode::UNPROCESSABLE_ENTITY, [self])
    }
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        self.log("answering a request");
        detail(status(self.code()), self.to_string())
    }
}

/// The status of each error.
fn status(code: ErrorCode) -> StatusCode {
    match code {
        ErrorCode::InvalidPayload => StatusCode::BAD_REQUEST,
        ErrorCode::Unauthorized => StatusCode::UNAUTHORIZED,
        ErrorCode::Forbidden => StatusCode::FORBIDDEN,
        ErrorCode::NotFound => StatusCode::NOT_FOUND,
        ErrorCode::Gone => StatusCode::GONE,
        ErrorCode::Conflict => StatusCode::CONFLICT,
        ErrorCode::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        ErrorCode::RateLimited => StatusCode::TOO_MANY_REQUESTS,
        ErrorCode::BufferFull | ErrorCode::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        ErrorCode::Internal => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// An answer of the form `{"detail": ...}`.
pub(super) fn detail(status: StatusCode, detail: impl Serialize) -> Response {
    #[derive(Serialize)]
    struct Detail<T> {
        detail: T,
    }
    (status, Json(Detail { detail })).into_response()
}

pub(super) async fn no_route() -> Response {
    detail(StatusCode::NOT_FOUND, "Not Found")
}

pub(super) async fn wrong_method() -> Response {
    detail(StatusCode::METHOD_NOT_ALLOWED, "Method Not Allowed")
}

/// The answer to a request that took too long. It may have been done all the same.
pub(super) fn too_slow() -> Response {
    detail(StatusCode::REQUEST_TIMEOUT, "The request took too long")
}

/// The answer of last resort; the panic itself is in the log, with its place.
pub(super) fn crashed() -> Response {
    detail(StatusCode::INTERNAL_SERVER_ERROR, "Something went wrong on the server")
}

/// The same, where the panic was caught.
pub(super) fn panicked(_: Box<dyn Any + Send>) -> Response {
    crashed()
}
