//! A request and its answer, of a length that is bounded.

use std::borrow::Cow;

use bytes::Bytes;
use reqwest::RequestBuilder;

/// Longest answer that is read.
const MAX_BYTES: usize = 16 << 20;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum FetchError {
    #[error(transparent)]
    Failed(#[from] reqwest::Error),
    #[error("the answer has more than {MAX_BYTES} bytes")]
    TooLong,
}

/// An answer.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) body: Bytes,
}

impl Answer {
    /// The body as text.
    pub(super) fn text(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(&self.body)
    }
}

/// Sends a request, and reads all of the answer.
///
/// # Errors
/// There is none, or it is too long.
pub(super) async fn fetch(request: RequestBuilder) -> Result<Answer, FetchError> {
    let mut answer = request.send().await?;
    let (status, mut body) = (answer.status().as_u16(), Vec::new());
    while let Some(chunk) = answer.chunk().await? {
        if body.len() + chunk.len() > MAX_BYTES {
            return Err(FetchError::TooLong);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(Answer { status, body: body.into() })
}

/// An error with what is behind it: the client's own text leaves that out.
pub(super) fn whole(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text = format!("{text}: {error}");
        source = error.source();
    }
    text
}
