//! What operators and load balancers ask.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use tokio_util::sync::CancellationToken;

use super::api_doc::answers;
use super::error::{HttpError, detail};
use crate::auth::AuthMode;
use crate::buffer::{Buffer, Disk, Stats};
use crate::store::{PoolGauges, Store, StoreHealth};
use crate::telemetry::Telemetry;
use crate::telemetry::exposition::Format;
use crate::wire::health::{BufferHealth, BufferStats, DatabaseHealth, Health, IndexInfo, Pool};

/// What the health routes look at.
#[derive(Clone)]
pub struct Monitor {
    /// The store behind the buffer.
    pub store: Arc<dyn Store>,
    /// The write buffer.
    pub buffer: Buffer,
    /// The metrics.
    pub telemetry: Arc<Telemetry>,
    /// How users sign in.
    pub auth_mode: AuthMode,
    /// Cancelled once the server is told to stop.
    pub stopping: CancellationToken,
}

impl Monitor {
    fn status(&self, stats: &Stats) -> &'static str {
        if self.stopping.is_cancelled() {
            "stopping"
        } else if stats.disk != Disk::Works {
            "unhealthy"
        } else if stats.breaker_open {
            "degraded"
        } else {
            "healthy"
        }
    }

    fn health(&self) -> Health {
        let stats = self.buffer.stats();
        Health {
            status: self.status(&stats),
            version: env!("CARGO_PKG_VERSION"),
            auth_mode: self.auth_mode.as_str(),
            store: self.store.describe(),
            circuit_breaker_status: breaker(&stats),
        }
    }
}

/// How the server is
#[utoipa::path(
    get, path = "/health", tag = "health", operation_id = "read_health",
    responses(
        (status = 200, description = "How it is", body = Health),
    ),
)]
pub(super) async fn overview(State(monitor): State<Monitor>) -> Json<Health> {
    Json(monitor.health())
}

/// Whether the process answers
#[utoipa::path(
    get, path = "/health/live", tag = "health", operation_id = "is_live",
    responses(
        (status = 200, description = "It does", body = Health),
    ),
)]
pub(super) async fn live(State(monitor): State<Monitor>) -> Json<Health> {
    Json(monitor.health())
}

/// Whether to send users here
///
/// Not once the server is stopping, and while its journal can't be written. A database that is away
/// is no reason to send them elsewhere.
#[utoipa::path(
    get, path = "/health/ready", tag = "health", operation_id = "is_ready",
    responses(
        (status = 200, description = "Send them", body = Health),
        (status = 503, description = "Send them elsewhere", body = Health),
    ),
)]
pub(super) async fn ready(State(monitor): State<Monitor>) -> Response {
    let accepts = monitor.buffer.stats().disk == Disk::Works;
    let status = if monitor.stopping.is_cancelled() || !accepts {
        StatusCode::SERVICE_UNAVAILABLE
    } else {
        StatusCode::OK
    };
    (status, Json(monitor.health())).into_response()
}

/// How the database is
#[utoipa::path(
    get, path = "/health/db", tag = "health", operation_id = "read_database_health",
    responses(
        (status = 200, description = "It answers", body = DatabaseHealth),
        answers::Unavailable,
    ),
)]
pub(super) async fn database(State(monitor): State<Monitor>) -> Result<Response, HttpError> {
    let health = match monitor.store.health().await {
        Ok(health) => health,
        Err(error) => {
            tracing::warn!(%error, "the store did not answer a health check");
            let text = "The database does not answer";
            return Ok(detail(StatusCode::SERVICE_UNAVAILABLE, text));
        }
    };
    let stats = monitor.buffer.stats();
    Ok(Json(database_health(health, &*monitor.store, &stats)).into_response())
}

fn database_health(health: StoreHealth, store: &dyn Store, stats: &Stats) -> DatabaseHealth {
    let indexes = health.indexes.into_iter().map(|(collection, indexes)| {
        let indexes = indexes.into_iter().map(|(name, key)| (name, IndexInfo { key })).collect();
        (collection, indexes)
    });
    DatabaseHealth {
        messages_count: health.messages_count,
        groups_count: health.groups_count,
        indexes: indexes.collect(),
        store: store.describe(),
        round_trip_ms: millis(health.round_trip),
        circuit_breaker_status: breaker(stats),
        pool: store.pool().map(pool),
    }
}

fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1_000.0
}

fn pool(gauges: PoolGauges) -> Pool {
    let PoolGauges { open, in_use, waiting, max } = gauges;
    Pool { open, in_use, waiting, max }
}

/// The old server knew two states; a breaker that probes is not closed yet.
fn breaker(stats: &Stats) -> &'static str {
    if stats.breaker_open { "open" } else { "closed" }
}

/// How the write buffer is
#[utoipa::path(
    get, path = "/health/message-buffer", tag = "health", operation_id = "read_buffer_health",
    responses(
        (status = 200, description = "Its figures", body = BufferHealth),
    ),
)]
pub(super) async fn message_buffer(State(monitor): State<Monitor>) -> Json<BufferHealth> {
    let stats = monitor.buffer.stats();
    Json(BufferHealth {
        status: if stats.disk == Disk::Works { "healthy" } else { "unhealthy" },
        stats: BufferStats {
            total_messages: stats.total_messages,
            successful_flushes: stats.successful_flushes,
            failed_flushes: stats.failed_flushes,
            retry_count: stats.retry_count,
            circuit_breaker_trips: stats.circuit_breaker_trips,
            current_buffer_size: stats.current_buffer_size,
            current_batch_size: stats.current_batch_size,
            last_flush: stats.last_flush,
            circuit_breaker_status: breaker(&stats),
            failure_count: stats.failure_count,
            oldest_unflushed_ms: stats.oldest_unflushed.map_or(0, |age| age.as_millis() as u64),
            buffer_bytes: stats.buffer_bytes,
            dead_letters: stats.dead_letters,
            write_concern: monitor.store.write_concern(),
            journal_sync: stats.journal_sync.as_str(),
            journal_disk: stats.disk.as_str(),
            journal_segments: stats.journal_segments,
            journal_bytes: stats.journal_bytes,
        },
    })
}

/// Metrics
///
/// Prometheus' text format, or OpenMetrics where `Accept` asks for that.
#[utoipa::path(
    get, path = "/metrics", tag = "operators", operation_id = "read_metrics",
    responses(
        (status = 200, description = "The metrics", content(
            (String = "text/plain; version=0.0.4; charset=utf-8"),
            (String = "application/openmetrics-text; version=1.0.0; charset=utf-8"),
        )),
    ),
)]
pub(super) async fn metrics(State(monitor): State<Monitor>, headers: HeaderMap) -> Response {
    let accept = headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok());
    let format = Format::accepted(accept);
    match monitor.telemetry.write(format) {
        Ok(text) => {
            let headers = [
                (header::CONTENT_TYPE, format.content_type()),
                (header::VARY, header::ACCEPT.as_str()),
            ];
            (headers, text).into_response()
        }
        Err(error) => {
            tracing::error!(%error, "the metrics could not be written");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}
