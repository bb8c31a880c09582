//! Who asks: read from a request's token before anything else looks at it.

use axum::extract::{Request, State};
use axum::http::header::{AUTHORIZATION, CACHE_CONTROL, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::asker::sign_in;
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
                Err(error) => return refuse(error),
            },
        },
    };
    request.extensions_mut().insert(caller);
    next.run(request).await
}

/// Middleware for routes that are for somebody: without a token there is no answer. A handler that
/// forgets to ask who asks answers nobody because of that.
pub(super) async fn require(request: Request, next: Next) -> Response {
    match request.extensions().get::<Caller>() {
        Some(Caller::Anybody | Caller::User(_)) => next.run(request).await,
        Some(Caller::Nobody) | None => refuse(sign_in()),
    }
}

/// Middleware for answers that hold tokens: nothing on the way may keep them.
pub(super) async fn keep_out_of_caches(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

fn token(headers: &HeaderMap) -> Option<&str> {
    auth::bearer(headers.get(AUTHORIZATION)?.to_str().ok()?)
}

fn refuse(error: Error) -> Response {
    let mut response = error.into_response();
    if response.status() == StatusCode::UNAUTHORIZED {
        response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    response
}
