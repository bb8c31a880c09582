//! Who asks: read from a request's token before anything else looks at it.

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::header::{AUTHORIZATION, CACHE_CONTROL, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures_util::StreamExt;
use tokio::time::timeout;

use super::access::AnsweredTo;
use super::asker::sign_in;
use super::uploads::{DISCARD_BYTES, DISCARD_TIMEOUT};
use crate::auth::{self, Caller, SignIn};
use crate::error::Error;

/// Middleware that puts the [`Caller`] into a request. A token that is not good is refused here,
/// also where none is needed: its client believes to be somebody.
pub(super) async fn identify(
    State(how): State<SignIn>,
    mut request: Request,
    next: Next,
) -> Response {
    let caller = match &how {
        SignIn::Open => Caller::Anybody,
        SignIn::Tokens(auth) => match token(request.headers()) {
            None => Caller::Nobody,
            Some(token) => match auth.verify(token).await {
                Ok(claims) => Caller::User(claims),
                Err(error) => return refuse_at_the_end(error, request).await,
            },
        },
    };
    let user = caller.user().cloned();
    request.extensions_mut().insert(caller);
    let mut response = next.run(request).await;
    if let Some(user) = user {
        response.extensions_mut().insert(AnsweredTo(user));
    }
    response
}

/// Middleware for routes that are for somebody: without a token there is no answer. A handler that
/// forgets to ask who asks answers nobody because of that.
pub(super) async fn require(request: Request, next: Next) -> Response {
    match request.extensions().get::<Caller>() {
        Some(Caller::Anybody | Caller::User(_)) => next.run(request).await,
        Some(Caller::Nobody) | None => refuse_at_the_end(sign_in(), request).await,
    }
}

/// Middleware for answers that hold tokens: nothing on the way may keep them.
pub(super) async fn keep_out_of_caches(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// The token that a request brings.
pub(super) fn token(headers: &HeaderMap) -> Option<&str> {
    auth::bearer(headers.get(AUTHORIZATION)?.to_str().ok()?)
}

/// As [`refuse`], once what the client is still sending has been read.
async fn refuse_at_the_end(error: Error, request: Request) -> Response {
    discard(request.into_body()).await;
    refuse(error)
}

/// An error as an answer, which names how to sign in where that is missing.
pub(super) fn refuse(error: Error) -> Response {
    let mut response = error.into_response();
    if response.status() == StatusCode::UNAUTHORIZED {
        response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    response
}

/// Reads what a client is still sending, as an upload does: only then it sees the answer.
async fn discard(body: Body) {
    let mut chunks = body.into_data_stream();
    let rest = async {
        let mut left = DISCARD_BYTES;
        while left > 0
            && let Some(Ok(chunk)) = chunks.next().await
        {
            left = left.saturating_sub(chunk.len() as u64);
        }
    };
    // Who is slower than this may miss it.
    let _ = timeout(DISCARD_TIMEOUT, rest).await;
}
