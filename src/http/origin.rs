//! From which web pages the server may be used.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use axum::Json;
use axum::extract::{Request, State};
use axum::http::header::{CONTENT_RANGE, HOST, ORIGIN, RETRY_AFTER};
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use serde_json::json;
use tower_http::cors::{AllowHeaders, AllowMethods, AllowOrigin, CorsLayer};

use super::access::REQUEST_ID;
use super::limits::{LIMIT, REMAINING, RESET};

/// Whose web pages may use the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origins {
    /// Every page.
    Any,
    /// The pages of these origins, each `scheme://host` or `scheme://host:port` in lower case, and
    /// the server's own.
    Listed(Vec<HeaderValue>),
}

/// Why a text is no list of origins.
#[derive(Debug, thiserror::Error)]
#[error(
    "{0:?} is no origin: allowed are * alone, or a comma-separated list of origins such as \
     https://chat.example.com or http://localhost:3000, without a path"
)]
pub struct InvalidOrigin(String);

impl FromStr for Origins {
    type Err = InvalidOrigin;

    fn from_str(text: &str) -> Result<Self, InvalidOrigin> {
        if text.trim() == "*" {
            return Ok(Self::Any);
        }
        text.split(',')
            .map(|origin| parse_origin(origin.trim()))
            .collect::<Result<_, _>>()
            .map(Self::Listed)
    }
}

fn parse_origin(text: &str) -> Result<HeaderValue, InvalidOrigin> {
    let invalid = || InvalidOrigin(text.to_owned());
    let uri: Uri = text.parse().map_err(|_| invalid())?;
    let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
        return Err(invalid());
    };
    let origin = format!("{scheme}://{authority}").to_ascii_lowercase();
    // What the URI has beyond its origin (a path, a user) would never equal what a browser sends.
    if origin != text.to_ascii_lowercase() || authority.as_str().contains('@') {
        return Err(invalid());
    }
    HeaderValue::from_str(&origin).map_err(|_| invalid())
}

impl fmt::Display for Origins {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("*"),
            Self::Listed(origins) => {
                let origins: Vec<_> = origins.iter().filter_map(|o| o.to_str().ok()).collect();
                f.write_str(&origins.join(","))
            }
        }
    }
}

impl Origins {
    /// Whether a request with these headers may come in. One without `Origin` is not a web page's;
    /// a page of the server itself, whose `Origin` names the host that `Host` names, always may.
    fn admit(&self, headers: &HeaderMap) -> bool {
        let (Self::Listed(listed), Some(origin)) = (self, headers.get(ORIGIN)) else { return true };
        if listed.iter().any(|known| known.as_bytes().eq_ignore_ascii_case(origin.as_bytes())) {
            return true;
        }
        let host = headers.get(HOST).and_then(|host| host.to_str().ok());
        let origin = origin.to_str().ok().and_then(|origin| origin.split_once("://"));
        matches!((origin, host), (Some((_, o)), Some(h)) if o.eq_ignore_ascii_case(h))
    }
}

/// The CORS headers: credentials, all methods and all headers, from those origins.
///
/// What is allowed is mirrored from the request: with credentials, `*` means nothing to a browser.
pub fn cors(origins: &Origins) -> CorsLayer {
    let origin = match origins {
        Origins::Any => AllowOrigin::mirror_request(),
        Origins::Listed(origins) => AllowOrigin::list(origins.iter().cloned()),
    };
    CorsLayer::new()
        .allow_origin(origin)
        .allow_credentials(true)
        .allow_methods(AllowMethods::mirror_request())
        .allow_headers(AllowHeaders::mirror_request())
        .expose_headers([CONTENT_RANGE, REQUEST_ID, RETRY_AFTER, LIMIT, REMAINING, RESET])
}

/// Whether a path leads to a plain WebSocket.
pub(super) fn is_plain_socket(path: &str) -> bool {
    path == "/ws" || path.starts_with("/ws/") || path.starts_with("/api/ws/")
}

/// Middleware that answers 403 to a Socket.IO request, or a plain WebSocket, from a page of a
/// foreign origin. A browser enforces CORS on HTTP alone: any page may open a WebSocket to
/// anywhere, cookies included.
pub async fn guard_sockets(
    State(origins): State<Arc<Origins>>,
    request: Request,
    next: Next,
) -> Response {
    let path = request.uri().path();
    let is_socket = path.starts_with("/socket.io") || is_plain_socket(path);
    if is_socket && !origins.admit(request.headers()) {
        let detail = "This origin may not connect; see CORS_ORIGINS";
        return (StatusCode::FORBIDDEN, Json(json!({ "detail": detail }))).into_response();
    }
    next.run(request).await
}

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::body::Body;
    use axum::middleware::from_fn_with_state;
    use axum::routing::get;
    use tower::ServiceExt;

    use super::*;

    const LISTED: &str = "https://chat.example.com,http://localhost:3000";

    fn app(origins: &str) -> Router {
        let origins: Origins = origins.parse().unwrap();
        Router::new()
            .route("/socket.io/", get(|| async { "in" }))
            .route("/groups/a", get(|| async { "in" }))
            .layer(from_fn_with_state(Arc::new(origins.clone()), guard_sockets))
            .layer(cors(&origins))
    }

    async fn ask(origins: &str, path: &str, headers: &[(&str, &str)]) -> Response {
        let mut request = Request::get(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        app(origins).oneshot(request.body(Body::empty()).unwrap()).await.unwrap()
    }

    async fn status(origins: &str, headers: &[(&str, &str)]) -> StatusCode {
        ask(origins, "/socket.io/?EIO=4", headers).await.status()
    }

    #[tokio::test]
    async fn a_foreign_origin_is_refused_the_socket_with_a_reason() {
        let answer = ask(LISTED, "/socket.io/", &[("origin", "https://evil.example")]).await;
        assert_eq!(answer.status(), StatusCode::FORBIDDEN);
        let body = axum::body::to_bytes(answer.into_body(), 1_000).await.unwrap();
        let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
        assert!(body["detail"].as_str().unwrap().contains("CORS_ORIGINS"));
    }

    #[tokio::test]
    async fn a_look_alike_of_a_listed_origin_is_refused() {
        for origin in [
            "https://chat.example.com.evil.example",
            "http://chat.example.com",
            "https://chat.example.com:8443",
            "http://localhost",
            "null",
            "",
        ] {
            let status = status(LISTED, &[("origin", origin), ("host", "server:8001")]).await;
            assert_eq!(status, StatusCode::FORBIDDEN, "{origin:?}");
        }
    }

    #[tokio::test]
    async fn a_listed_origin_the_servers_own_and_no_origin_are_let_in() {
        let own = [("origin", "https://server:8001"), ("host", "server:8001")];
        assert_eq!(status(LISTED, &[("origin", "https://chat.example.com")]).await, StatusCode::OK);
        assert_eq!(status(LISTED, &own).await, StatusCode::OK);
        assert_eq!(status(LISTED, &[("host", "server:8001")]).await, StatusCode::OK);
    }

    #[tokio::test]
    async fn any_origin_is_let_in_by_default() {
        assert_eq!(status("*", &[("origin", "https://evil.example")]).await, StatusCode::OK);
    }

    #[tokio::test]
    async fn other_routes_are_left_to_the_browsers_cors() {
        let answer = ask(LISTED, "/groups/a", &[("origin", "https://evil.example")]).await;
        assert_eq!(answer.status(), StatusCode::OK);
        assert!(!answer.headers().contains_key("access-control-allow-origin"));
    }

    #[tokio::test]
    async fn any_origin_is_mirrored_with_credentials() {
        let answer = ask("*", "/groups/a", &[("origin", "https://a.example")]).await;
        assert_eq!(answer.headers()["access-control-allow-origin"], "https://a.example");
        assert_eq!(answer.headers()["access-control-allow-credentials"], "true");
    }

    #[tokio::test]
    async fn a_preflight_allows_the_method_and_the_headers_it_asks_for() {
        let request = Request::options("/groups/a")
            .header("origin", "https://a.example")
            .header("access-control-request-method", "DELETE")
            .header("access-control-request-headers", "authorization,x-own")
            .body(Body::empty())
            .unwrap();
        let answer = app("*").oneshot(request).await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK);
        assert_eq!(answer.headers()["access-control-allow-methods"], "DELETE");
        assert_eq!(answer.headers()["access-control-allow-headers"], "authorization,x-own");
    }

    #[test]
    fn what_is_no_list_of_origins_is_refused_with_what_is_allowed() {
        for wrong in
            ["", "example.com", "https://a.example/", "https://a.example/x", "https://a,*", "a b"]
        {
            let error = wrong.parse::<Origins>().expect_err(wrong);
            assert!(error.to_string().contains("comma-separated"), "{error}");
        }
    }

    #[test]
    fn origins_read_back_as_they_are_shown() {
        for text in ["*", LISTED] {
            assert_eq!(text.parse::<Origins>().unwrap().to_string(), text);
        }
        let spaced: Origins = " HTTPS://Chat.Example.com , http://localhost:3000 ".parse().unwrap();
        assert_eq!(spaced.to_string(), LISTED);
    }
}
