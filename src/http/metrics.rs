//! What is measured of HTTP requests.

use std::sync::Arc;

use axum::extract::{MatchedPath, Request, State};
use axum::http::Method;
use axum::middleware::Next;
use axum::response::Response;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};
use tokio::time::Instant;

/// Upper bounds of the latency buckets, in seconds: from a read out of memory to a large upload.
const LATENCY_BOUNDS_SECONDS: [f64; 12] =
    [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0, 30.0];

/// The route of a path that no route has, whatever the path: labels are memory for ever.
const UNMATCHED: &str = "unmatched";
const SOCKET_IO: &str = "/socket.io/";

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RouteLabels {
    method: &'static str,
    route: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct AnswerLabels {
    method: &'static str,
    route: String,
    status: u16,
}

/// Counts and times requests, by method and route template; counts by status too.
#[derive(Debug, Clone)]
pub struct HttpMetrics {
    requests: Family<AnswerLabels, Counter>,
    duration: Family<RouteLabels, Histogram, fn() -> Histogram>,
}

impl Default for HttpMetrics {
    fn default() -> Self {
        let histogram: fn() -> Histogram = || Histogram::new(LATENCY_BOUNDS_SECONDS);
        Self { requests: Family::default(), duration: Family::new_with_constructor(histogram) }
    }
}

impl HttpMetrics {
    /// Adds `http_requests_total` and `http_request_duration_seconds` to the registry.
    pub fn register(&self, registry: &mut Registry) {
        registry.register("http_requests", "HTTP requests answered", self.requests.clone());
        registry.register_with_unit(
            "http_request_duration",
            "Time from a request's head to the head of its answer",
            Unit::Seconds,
            self.duration.clone(),
        );
    }
}

/// Middleware that measures each request. It goes around the router's routes, where the route is
/// known. Socket.IO has no route of axum's; its requests count as one, and long polls last long.
pub async fn measure(
    State(metrics): State<Arc<HttpMetrics>>,
    request: Request,
    next: Next,
) -> Response {
    let method = method_label(request.method());
    let route = match request.extensions().get::<MatchedPath>() {
        Some(matched) => matched.as_str().to_owned(),
        None if request.uri().path().starts_with(SOCKET_IO) => SOCKET_IO.to_owned(),
        None => UNMATCHED.to_owned(),
    };
    let start = Instant::now();
    let response = next.run(request).await;
    let labels = RouteLabels { method, route: route.clone() };
    metrics.duration.get_or_create(&labels).observe(start.elapsed().as_secs_f64());
    let status = response.status().as_u16();
    metrics.requests.get_or_create(&AnswerLabels { method, route, status }).inc();
    response
}

/// A client may make up any method.
fn method_label(method: &Method) -> &'static str {
    const KNOWN: [(Method, &str); 7] = [
        (Method::GET, "GET"),
        (Method::POST, "POST"),
        (Method::PUT, "PUT"),
        (Method::PATCH, "PATCH"),
        (Method::DELETE, "DELETE"),
        (Method::HEAD, "HEAD"),
        (Method::OPTIONS, "OPTIONS"),
    ];
    KNOWN.iter().find(|(known, _)| known == method).map_or("other", |(_, label)| label)
}

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::body::Body;
    use axum::middleware::from_fn_with_state;
    use axum::routing::get;
    use tower::ServiceExt;

    use super::*;
    use crate::telemetry::Telemetry;

    async fn measured(requests: &[(&str, &str)]) -> String {
        let metrics = Arc::new(HttpMetrics::default());
        let mut telemetry = Telemetry::default();
        metrics.register(&mut telemetry.registry);
        let app = Router::new()
            .route("/groups/{user_id}", get(|| async { "groups" }))
            .layer(from_fn_with_state(metrics, measure));
        for (method, path) in requests {
            let request = Request::builder().method(*method).uri(*path);
            app.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
        }
        telemetry.encode().unwrap()
    }

    #[tokio::test]
    async fn requests_of_one_route_count_together() {
        let text = measured(&[("GET", "/groups/a"), ("GET", "/groups/b")]).await;
        let count = r#"http_requests_total{method="GET",route="/groups/{user_id}",status="200"} 2"#;
        assert!(text.contains(count), "{text}");
        let timed =
            r#"http_request_duration_seconds_count{method="GET",route="/groups/{user_id}"} 2"#;
        assert!(text.contains(timed), "{text}");
    }

    #[tokio::test]
    async fn made_up_paths_and_methods_make_no_labels_of_their_own() {
        let text = measured(&[("GET", "/x"), ("BREW", "/y"), ("STIR", "/z")]).await;
        let get = r#"http_requests_total{method="GET",route="unmatched",status="404"} 1"#;
        let other = r#"http_requests_total{method="other",route="unmatched",status="404"} 2"#;
        assert!(text.contains(get) && text.contains(other), "{text}");
    }

    #[tokio::test]
    async fn socket_io_is_a_route_of_its_own() {
        let text = measured(&[("GET", "/socket.io/?EIO=4&sid=x")]).await;
        assert!(text.contains(r#"route="/socket.io/""#), "{text}");
    }
}
