//! A request's id, and its line in the log.

use std::net::IpAddr;

use axum::body::HttpBody;
use axum::extract::{MatchedPath, Request};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method};
use axum::middleware::Next;
use axum::response::Response;
use tokio::time::Instant;
use tracing::Level;

use crate::correlation::RequestId;
use crate::limits::ClientAddress;
use crate::model::UserId;

pub(super) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The target of a request's line. It is below what is logged by default: a line per request is for
/// who wants it, on standard output or in `access.log`.
const ACCESS: &str = "banter::access";

/// Parts of a path that let in whoever knows them.
const SECRET_PARTS: [&str; 2] = ["{token}", "{filename}"];

/// So much of a path is logged, in bytes: a client may make up any.
const MAX_PATH: usize = 1_024;

/// For whom a request was answered; an extension of answers.
#[derive(Debug, Clone)]
pub(super) struct AnsweredTo(pub(super) UserId);

/// Middleware that gives each request an id, its own where it brings a sane one, under which
/// everything is logged that is done for it; and that logs the request once it is answered.
pub(super) async fn follow(mut request: Request, next: Next) -> Response {
    let id = given(request.headers()).unwrap_or_else(RequestId::mint);
    // It is made of what a header may hold.
    let header = HeaderValue::from_str(&id.to_string()).ok();
    if let Some(header) = &header {
        request.headers_mut().insert(REQUEST_ID, header.clone());
    }
    request.extensions_mut().insert(id.clone());
    id.scope(async move {
        let wanted = tracing::enabled!(target: ACCESS, Level::DEBUG);
        let line = wanted.then(|| Line::of(&request));
        let mut response = next.run(request).await;
        if let Some(line) = line {
            line.end(&response);
        }
        response.headers_mut().extend(header.map(|header| (REQUEST_ID, header)));
        response
    })
    .await
}

fn given(headers: &HeaderMap) -> Option<RequestId> {
    let mut all = headers.get_all(REQUEST_ID).iter();
    let one = all.next().filter(|_| all.next().is_none())?;
    RequestId::given(one.to_str().ok()?)
}

/// What is logged of a request. The query is left out, for a token may stand there, and of a path
/// whose parts are secrets the route stands for it.
struct Line {
    method: Method,
    path: String,
    route: Option<MatchedPath>,
    client: Option<IpAddr>,
    start: Instant,
    is_answered: bool,
}

impl Line {
    fn of(request: &Request) -> Self {
        let route = request.extensions().get::<MatchedPath>();
        let is_secret = |route: &&str| SECRET_PARTS.iter().any(|part| route.contains(part));
        let secret = route.map(MatchedPath::as_str).filter(is_secret);
        let path = secret.unwrap_or(request.uri().path());
        Self {
            method: request.method().clone(),
            path: path[..path.floor_char_boundary(MAX_PATH)].to_owned(),
            route: route.cloned(),
            client: request.extensions().get().map(|&ClientAddress(address)| address),
            start: Instant::now(),
            is_answered: false,
        }
    }

    fn end(mut self, response: &Response) {
        self.is_answered = true;
        let user = response.extensions().get().map(|AnsweredTo(user)| user.as_str());
        self.log(Some(response.status().as_u16()), response.body().size_hint().exact(), user);
    }

    fn log(&self, status: Option<u16>, bytes: Option<u64>, user: Option<&str>) {
        tracing::debug!(
            target: ACCESS,
            client = self.client.map(tracing::field::display),
            user,
            method = self.method.as_str(),
            path = self.path,
            route = self.route.as_ref().map(MatchedPath::as_str),
            status,
            bytes,
            duration_ms = self.start.elapsed().as_secs_f64() * 1_000.0,
            "{}", if status.is_some() { "request" } else { "request without an answer" },
        );
    }
}

impl Drop for Line {
    /// The client went away before it was answered.
    fn drop(&mut self) {
        if !self.is_answered {
            self.log(None, None, None);
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::body::Body;
    use axum::middleware::from_fn;
    use axum::routing::get;
    use tower::ServiceExt;

    use super::*;

    /// The id under which a request is served, and the one that it is answered with.
    async fn served(ids: &[&str]) -> (String, String) {
        let serve = async |headers: HeaderMap| {
            let current = RequestId::current().unwrap().to_string();
            assert_eq!(headers[REQUEST_ID], current.as_str());
            current
        };
        let app = Router::new().route("/", get(serve)).layer(from_fn(follow));
        let request = ids.iter().fold(Request::get("/"), |request, id| {
            request.header(REQUEST_ID, HeaderValue::from_bytes(id.as_bytes()).unwrap())
        });
        let answer = app.oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
        let told = answer.headers()[REQUEST_ID].to_str().unwrap().to_owned();
        let body = axum::body::to_bytes(answer.into_body(), 1_000).await.unwrap();
        (String::from_utf8(body.to_vec()).unwrap(), told)
    }

    #[tokio::test]
    async fn a_request_keeps_its_own_id_where_that_is_sane() {
        let id = "4bf92f3577b34da6a3ce929d0e0e4736";
        assert_eq!(served(&[id]).await, (id.to_owned(), id.to_owned()));
    }

    #[tokio::test]
    async fn any_other_gets_one() {
        let long = "x".repeat(129);
        for ids in [&[][..], &["a b"], &["a", "a"], &[""], &["é"], &["a\tb"], &[&*long]] {
            let (serving, told) = served(ids).await;
            assert_eq!(serving, told);
            assert!(uuid::Uuid::parse_str(&told).is_ok(), "{ids:?}: {told}");
        }
    }
}
