//! The one error that crosses the rules' edge, and the stable codes that clients see.

use std::borrow::Cow;

use crate::model::{ContentError, InvalidAccount, InvalidCursor, InvalidEmoji, InvalidId};
use crate::store::StoreError;

/// Why a request was not done. The text is for the client; inner causes are for the log alone.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The request has the wrong form or asks for something that can't be.
    #[error("{0}")]
    Invalid(Cow<'static, str>),
    /// Who is asking is not known.
    #[error("{0}")]
    Unauthorized(Cow<'static, str>),
    /// Who is asking may not do this.
    #[error("{0}")]
    Forbidden(Cow<'static, str>),
    /// What was asked for is not there.
    #[error("{0}")]
    NotFound(Cow<'static, str>),
    /// What was asked for was there, and is not any more: what a cursor stands for, an invitation.
    #[error("{0}")]
    Gone(Cow<'static, str>),
    /// What was asked for belongs to somebody else already.
    #[error("{0}")]
    Conflict(Cow<'static, str>),
    /// A size is over its limit.
    #[error("{0}")]
    TooLarge(Cow<'static, str>),
    /// Too many requests.
    #[error("{0}")]
    RateLimited(Cow<'static, str>),
    /// The write buffer is at its limit; try again later.
    #[error("The server's write buffer is full; try again shortly")]
    BufferFull,
    /// The store does not answer, or the server is stopping; try again later.
    #[error("The service is not available right now; try again shortly")]
    Unavailable(#[source] Option<anyhow::Error>),
    /// A fault of ours.
    #[error("Something went wrong on the server")]
    Internal(#[source] anyhow::Error),
}

/// The stable words that clients can match on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorCode {
    /// See [`Error::Invalid`].
    InvalidPayload,
    /// See [`Error::Unauthorized`].
    Unauthorized,
    /// See [`Error::Forbidden`].
    Forbidden,
    /// See [`Error::NotFound`].
    NotFound,
    /// See [`Error::Gone`].
    Gone,
    /// See [`Error::Conflict`].
    Conflict,
    /// See [`Error::TooLarge`].
    TooLarge,
    /// See [`Error::RateLimited`].
    RateLimited,
    /// See [`Error::BufferFull`].
    BufferFull,
    /// See [`Error::Unavailable`].
    Unavailable,
    /// See [`Error::Internal`].
    Internal,
}

impl ErrorCode {
    /// The word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::InvalidPayload => "invalid_payload",
            Self::Unauthorized => "unauthorized",
            Self::Forbidden => "forbidden",
            Self::NotFound => "not_found",
            Self::Gone => "gone",
            Self::Conflict => "conflict",
            Self::TooLarge => "too_large",
            Self::RateLimited => "rate_limited",
            Self::BufferFull => "buffer_full",
            Self::Unavailable => "unavailable",
            Self::Internal => "internal",
        }
    }
}

impl Error {
    /// The code that clients see.
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::Invalid(_) => ErrorCode::InvalidPayload,
            Self::Unauthorized(_) => ErrorCode::Unauthorized,
            Self::Forbidden(_) => ErrorCode::Forbidden,
            Self::NotFound(_) => ErrorCode::NotFound,
            Self::Gone(_) => ErrorCode::Gone,
            Self::Conflict(_) => ErrorCode::Conflict,
            Self::TooLarge(_) => ErrorCode::TooLarge,
            Self::RateLimited(_) => ErrorCode::RateLimited,
            Self::BufferFull => ErrorCode::BufferFull,
            Self::Unavailable(_) => ErrorCode::Unavailable,
            Self::Internal(_) => ErrorCode::Internal,
        }
    }

    /// Logs what the client is not told: a fault of ours, or of what we stand on. Called once,
    /// where the error leaves the server. A store that is away is told of by the flusher, once;
    /// here it would be told of with every request.
    pub fn log(&self, doing: &str) {
        match self {
            Self::Internal(cause) => tracing::error!(doing, error = ?cause, "request failed"),
            Self::Unavailable(Some(cause)) => {
                tracing::debug!(doing, error = %cause, "request not served for now");
            }
            _ => {}
        }
    }
}

impl From<InvalidId> for Error {
    fn from(error: InvalidId) -> Self {
        Self::Invalid(error.to_string().into())
    }
}

impl From<InvalidAccount> for Error {
    fn from(error: InvalidAccount) -> Self {
        Self::Invalid(error.to_string().into())
    }
}

impl From<InvalidCursor> for Error {
    fn from(error: InvalidCursor) -> Self {
        Self::Invalid(error.to_string().into())
    }
}

impl From<InvalidEmoji> for Error {
    fn from(error: InvalidEmoji) -> Self {
        Self::Invalid(error.to_string().into())
    }
}

impl From<ContentError> for Error {
    fn from(error: ContentError) -> Self {
        Self::Invalid(error.to_string().into())
    }
}

impl From<StoreError> for Error {
    fn from(error: StoreError) -> Self {
        if error.is_transient() {
            Self::Unavailable(Some(error.into()))
        } else {
            Self::Internal(error.into())
        }
    }
}
