//! Errors as HTTP answers: `{"detail": "..."}`, or a list of fields for a body of the wrong form.

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::json;

use crate::error::Error;

/// One field of a request that has the wrong form.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct InvalidField {
    /// Where it is: `["body", "file"]`.
    pub loc: Vec<String>,
    /// What is wrong, for people.
    pub msg: String,
    /// What is wrong, as a stable word.
    #[serde(rename = "type")]
    pub kind: &'static str,
}

/// 422: the request has the wrong form.
pub fn unprocessable(fields: &[InvalidField]) -> Response {
    (StatusCode::UNPROCESSABLE_ENTITY, Json(json!({ "detail": fields }))).into_response()
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        let status = match self {
            Self::Invalid(_) => StatusCode::BAD_REQUEST,
            Self::Unauthorized(_) => StatusCode::UNAUTHORIZED,
            Self::Forbidden(_) => StatusCode::FORBIDDEN,
            Self::NotFound(_) => StatusCode::NOT_FOUND,
            Self::TooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::RateLimited(_) => StatusCode::TOO_MANY_REQUESTS,
            Self::BufferFull | Self::Unavailable(_) => StatusCode::SERVICE_UNAVAILABLE,
            Self::Internal(_) => StatusCode::INTERNAL_SERVER_ERROR,
        };
        self.log("answering an HTTP request");
        (status, Json(json!({ "detail": self.to_string() }))).into_response()
    }
}
