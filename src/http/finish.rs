//! How long a client waits for a request, and what becomes of one for which it does not.

use std::time::Duration;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::error;
use crate::correlation::{self, RequestId};
use crate::shutdown::Tasks;

/// Longest that a route may take, uploads and downloads excepted.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);

/// Middleware that runs a request in a task of its own. Without it a handler is dropped where it
/// waits as soon as its client goes away: a member would be removed from the store, and still be
/// let in from memory and never be told.
pub(super) async fn run_to_end(
    State(tasks): State<Tasks>,
    request: Request,
    next: Next,
) -> Response {
    let (answer, answered) = oneshot::channel();
    tasks.spawn(correlation::scope(RequestId::current(), async move {
        // The client may have gone.
        let _ = answer.send(next.run(request).await);
    }));
    answered.await.unwrap_or_else(|_| error::crashed())
}

/// Middleware that answers 408 when a request takes longer than [`REQUEST_TIMEOUT`].
pub(super) async fn answer_in_time(request: Request, next: Next) -> Response {
    match timeout(REQUEST_TIMEOUT, next.run(request)).await {
        Ok(answer) => answer,
        Err(_) => error::too_slow(),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

    use axum::Router;
    use axum::body::Body;
    use axum::http::StatusCode;
    use axum::middleware::from_fn_with_state;
    use axum::routing::post;
    use tokio::sync::Notify;
    use tower::ServiceExt;

    use super::*;

    fn app(handler: axum::routing::MethodRouter, tasks: &Tasks) -> Router {
        Router::new().route("/", handler).layer(from_fn_with_state(tasks.clone(), run_to_end))
    }

    fn request() -> Request {
        Request::post("/").body(Body::empty()).unwrap()
    }

    #[tokio::test]
    async fn a_change_goes_on_when_its_client_has_gone() {
        let (reached, go_on, is_done) =
            (Arc::new(Notify::new()), Arc::new(Notify::new()), Arc::new(AtomicBool::new(false)));
        let handler = post({
            let (reached, go_on, is_done) = (reached.clone(), go_on.clone(), is_done.clone());
            async move || {
                reached.notify_one();
                go_on.notified().await;
                is_done.store(true, Ordering::Relaxed);
            }
        });
        let tasks = Tasks::default();
        tokio::select! {
            _ = app(handler, &tasks).oneshot(request()) => panic!("answered too soon"),
            () = reached.notified() => {}
        }
        go_on.notify_one();
        tasks.ended().await;
        assert!(is_done.load(Ordering::Relaxed));
    }

    #[tokio::test]
    async fn a_panic_is_answered() {
        async fn fault() -> StatusCode {
            panic!("a fault of ours")
        }
        let answer = app(post(fault), &Tasks::default()).oneshot(request()).await.unwrap();
        assert_eq!(answer.status(), StatusCode::INTERNAL_SERVER_ERROR);
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_that_takes_too_long_is_answered() {
        let app = Router::new()
            .route("/", post(std::future::pending::<StatusCode>))
            .layer(axum::middleware::from_fn(answer_in_time));
        let answer = app.oneshot(request()).await.unwrap();
        assert_eq!(answer.status(), StatusCode::REQUEST_TIMEOUT);
    }
}
