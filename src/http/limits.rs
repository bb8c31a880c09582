//! Refuses requests of who asks too often, and tells everybody how they stand.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::header::RETRY_AFTER;
use axum::http::{HeaderName, HeaderValue, Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::error::detail;
use super::origin;
use crate::auth::Caller;
use crate::limits::{Budget, ClientAddress, Exceeded, Limits, whole_seconds};

/// How many requests may be made at once.
pub(super) const LIMIT: HeaderName = HeaderName::from_static("x-ratelimit-limit");
/// How many of them are left.
pub(super) const REMAINING: HeaderName = HeaderName::from_static("x-ratelimit-remaining");
/// The seconds until all of them are back.
pub(super) const RESET: HeaderName = HeaderName::from_static("x-ratelimit-reset");

/// What of a request is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Counts {
    /// As any request.
    Request,
    /// As an upload, too.
    Upload,
    /// As a new Socket.IO connection, or a plain WebSocket.
    Handshake,
    /// Not at all.
    Nothing,
}

impl Counts {
    fn of(request: &Request) -> Self {
        match request.uri().path() {
            "/metrics" | "/health" => Self::Nothing,
            path if path.starts_with("/health/") => Self::Nothing,
            "/socket.io/" if has_session(request) => Self::Nothing,
            "/socket.io/" => Self::Handshake,
            path if origin::is_plain_socket(path) => Self::Handshake,
            "/upload" | "/upload/" if request.method() == Method::POST => Self::Upload,
            _ => Self::Request,
        }
    }
}

/// Whether a Socket.IO request belongs to a connection that there is.
fn has_session(request: &Request) -> bool {
    let query = request.uri().query().unwrap_or_default();
    form_urlencoded::parse(query.as_bytes()).any(|(name, _)| name == "sid")
}

/// Middleware that counts a request for the address that it comes from.
pub(super) async fn limit_address(
    State(limits): State<Arc<Limits>>,
    request: Request,
    next: Next,
) -> Response {
    let Some(&ClientAddress(address)) = request.extensions().get() else {
        return next.run(request).await;
    };
    let checked = match Counts::of(&request) {
        Counts::Nothing => Ok(None),
        Counts::Handshake => limits.check_handshake(address).map(|_| None),
        Counts::Request => limits.check_request(address),
        Counts::Upload => limits
            .check_request(address)
            .and_then(|budget| limits.check_upload(address).map(|_| budget)),
    };
    answer(checked, request, next).await
}

/// Middleware that counts a request for the user who has signed in, wherever they are.
pub(super) async fn limit_user(
    State(limits): State<Arc<Limits>>,
    request: Request,
    next: Next,
) -> Response {
    let extensions = request.extensions();
    let is_exempt = extensions.get().is_some_and(|&ClientAddress(address)| limits.exempts(address));
    let user = extensions.get().and_then(Caller::user).filter(|_| !is_exempt);
    let Some(user) = user else { return next.run(request).await };
    let checked = match Counts::of(&request) {
        Counts::Nothing | Counts::Handshake => Ok(None),
        Counts::Request => limits.check_request_of(user),
        Counts::Upload => limits
            .check_request_of(user)
            .and_then(|budget| limits.check_upload_of(user).map(|_| budget)),
    };
    answer(checked, request, next).await
}

/// Middleware that counts a try to sign in, or to register, for the address that it comes from.
pub(super) async fn limit_sign_in(
    State(limits): State<Arc<Limits>>,
    request: Request,
    next: Next,
) -> Response {
    let address = request.extensions().get::<ClientAddress>();
    match address.map_or(Ok(()), |address| limits.check_sign_in(address.0)) {
        Ok(()) => next.run(request).await,
        Err(exceeded) => exceeded.into_response(),
    }
}

async fn answer(
    checked: Result<Option<Budget>, Exceeded>,
    request: Request,
    next: Next,
) -> Response {
    match checked {
        Ok(None) => next.run(request).await,
        Ok(Some(budget)) => {
            let mut answer = next.run(request).await;
            tell(&mut answer, budget);
            answer
        }
        Err(exceeded) => exceeded.into_response(),
    }
}

/// Puts the headers on an answer, unless what is further inside leaves less.
fn tell(answer: &mut Response, budget: Budget) {
    let told = answer.extensions().get::<Budget>();
    if told.is_some_and(|told| told.remaining <= budget.remaining) {
        return;
    }
    answer.extensions_mut().insert(budget);
    let headers = answer.headers_mut();
    headers.insert(LIMIT, HeaderValue::from(budget.limit));
    headers.insert(REMAINING, HeaderValue::from(budget.remaining));
    headers.insert(RESET, HeaderValue::from(whole_seconds(budget.reset)));
}

impl IntoResponse for Exceeded {
    /// 429, with when to try again.
    fn into_response(self) -> Response {
        let mut answer = detail(StatusCode::TOO_MANY_REQUESTS, self.to_string());
        tell(&mut answer, self.budget);
        let after = HeaderValue::from(whole_seconds(self.retry_after));
        answer.headers_mut().insert(RETRY_AFTER, after);
        answer
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use axum::Router;
    use axum::body::Body;
    use axum::middleware::from_fn_with_state;
    use axum::routing::any;
    use tower::ServiceExt;

    use super::*;
    use crate::auth::Claims;
    use crate::limits::Config;
    use crate::model::{Timestamp, UserId};

    struct App(Router);

    impl App {
        fn new(config: Config) -> Self {
            let limits = Arc::new(Limits::new(Config { rate_limit_window: 60, ..config }));
            let routes = Router::new()
                .fallback(any(|| async { "in" }))
                .layer(from_fn_with_state(Arc::clone(&limits), limit_user))
                .layer(from_fn_with_state(limits, limit_address));
            Self(routes)
        }

        async fn ask(&self, method: &str, path: &str, from: &str, user: Option<&str>) -> Response {
            let mut request =
                Request::builder().method(method).uri(path).body(Body::empty()).unwrap();
            request.extensions_mut().insert(ClientAddress(from.parse::<IpAddr>().unwrap()));
            if let Some(user) = user {
                request.extensions_mut().insert(Caller::User(Claims {
                    user: UserId::parse(user).unwrap(),
                    session: None,
                    issued_at: Timestamp(0),
                    expires_at: Timestamp(0),
                }));
            }
            self.0.clone().oneshot(request).await.unwrap()
        }

        async fn is_in(&self, method: &str, path: &str, from: &str, user: Option<&str>) -> bool {
            let answer = self.ask(method, path, from, user).await;
            assert_eq!(answer.status() == 429, answer.headers().contains_key(RETRY_AFTER));
            answer.status() == 200
        }
    }

    fn requests(rate_limit_requests: u32) -> App {
        App::new(Config { rate_limit_requests, ..Config::default() })
    }

    const A: &str = "192.0.2.1";
    const B: &str = "2001:db8::1";

    #[tokio::test]
    async fn a_user_is_limited_from_wherever_they_ask_and_nobody_else_is() {
        let app = requests(2);
        assert!(app.is_in("GET", "/", "192.0.2.1", Some("ann")).await);
        assert!(app.is_in("GET", "/", "192.0.2.2", Some("ann")).await);
        assert!(!app.is_in("GET", "/", "192.0.2.3", Some("ann")).await);
        assert!(app.is_in("GET", "/", "192.0.2.3", Some("bob")).await);
        assert!(app.is_in("GET", "/", "192.0.2.4", None).await);
    }

    #[tokio::test]
    async fn the_headers_are_those_of_whichever_has_less_left() {
        let app = requests(9);
        let remaining = async |from, user| {
            let answer = app.ask("GET", "/", from, user).await;
            answer.headers()[REMAINING].to_str().unwrap().to_owned()
        };
        assert_eq!(remaining(A, None).await, "8");
        assert_eq!(remaining(A, Some("ann")).await, "7");
        assert_eq!(remaining(B, Some("ann")).await, "7");
        assert_eq!(remaining(B, Some("ann")).await, "6");
        assert_eq!(remaining(B, None).await, "6");
    }

    #[tokio::test]
    async fn what_is_asked_for_by_machines_is_not_counted() {
        let app = requests(1);
        for path in ["/health", "/health/live", "/metrics", "/socket.io/?EIO=4&sid=a"] {
            for _ in 0..3 {
                let answer = app.ask("GET", path, A, Some("ann")).await;
                assert!(answer.status() == 200 && !answer.headers().contains_key(LIMIT), "{path}");
            }
        }
        assert!(app.is_in("GET", "/healthy", A, None).await);
        assert!(!app.is_in("GET", "/socket.io/x", A, None).await);
    }

    #[tokio::test]
    async fn uploads_have_a_budget_of_their_own_beside_that_of_requests() {
        let app = App::new(Config { upload_rate: 1, ..Config::default() });
        assert!(app.is_in("POST", "/upload", A, Some("ann")).await);
        assert!(!app.is_in("POST", "/upload/", A, None).await);
        assert!(!app.is_in("POST", "/upload/", B, Some("ann")).await);
        assert!(app.is_in("GET", "/upload/", A, Some("ann")).await);
        let app = requests(1);
        assert!(app.is_in("POST", "/upload", A, None).await);
        assert!(!app.is_in("POST", "/upload", A, None).await);
    }

    #[tokio::test]
    async fn a_handshake_is_what_has_no_session() {
        let app = App::new(Config { handshake_rate: 1, ..Config::default() });
        assert!(app.is_in("GET", "/socket.io/?EIO=4&transport=polling", A, None).await);
        assert!(!app.is_in("GET", "/socket.io/?EIO=4&transport=polling&xsid=1", A, None).await);
        assert!(app.is_in("GET", "/socket.io/?EIO=4&sid=x&transport=polling", A, None).await);
    }

    #[tokio::test]
    async fn who_is_exempt_is_not_counted_in_any_way() {
        let app = App::new(Config {
            rate_limit_requests: 1,
            upload_rate: 1,
            handshake_rate: 1,
            limit_exempt: Some("192.0.2.0/24".parse().unwrap()),
            ..Config::default()
        });
        for path in ["/", "/upload", "/socket.io/"] {
            for _ in 0..3 {
                assert!(app.is_in("POST", path, A, Some("ann")).await);
            }
        }
    }
}
