//! The accept loop. `axum::serve` never gives up on a client that sends its request head byte by
//! byte, leaves Nagle's algorithm on and takes connections without end; this one does not.

use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt;

use super::head_watch::{Slot, Watched};
use crate::limits::Limits;
use crate::shutdown::Tasks;

/// A head fits a few packets; a client that needs longer is broken or means harm.
pub const HEAD_TIMEOUT: Duration = Duration::from_secs(10);

/// Longer than the 60 s after which nginx gives up an idle connection to its upstream: the side
/// that sends requests should be the one that closes, or a request meets a closing connection.
pub const IDLE_TIMEOUT: Duration = Duration::from_secs(75);

/// A client whose network is gone for longer connects anew anyway; what waits for it meanwhile is
/// memory.
pub const WRITE_TIMEOUT: Duration = Duration::from_secs(10);

/// About 50 kB each, with the buffers of the kernel: what a machine with 4 GB can bear.
pub const MAX_CONNECTIONS: usize = 50_000;

/// Accepting fails for as long as there is no file descriptor or memory to be had; asking again at
/// once would only take the processor away from those who could free one.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A shortage lasts; a line each time would fill the log.
const ACCEPT_LOG_INTERVAL: Duration = Duration::from_secs(10);

/// The limits of the accept loop.
#[derive(Debug, Clone)]
pub struct ServeConfig {
    /// The longest time from a request's first byte, or from accepting the connection, to the end
    /// of the request's head.
    pub head_timeout: Duration,
    /// How long a connection may rest between two requests.
    pub idle_timeout: Duration,
    /// How long a write, also of an upgraded connection, may wait for a client that takes nothing.
    pub write_timeout: Duration,
    /// How many connections, upgraded ones included, may be open at once. Further ones wait in the
    /// kernel's backlog.
    pub max_connections: usize,
    /// How many connections of one address may be open at once. Further ones are closed.
    pub limits: Arc<Limits>,
}

impl Default for ServeConfig {
    fn default() -> Self {
        Self {
            head_timeout: HEAD_TIMEOUT,
            idle_timeout: IDLE_TIMEOUT,
            write_timeout: WRITE_TIMEOUT,
            max_connections: MAX_CONNECTIONS,
            limits: Arc::default(),
        }
    }
}

/// Serves `app` until `stop`, then accepts no more, lets the requests under way end, and returns
/// when all HTTP connections have ended. Upgraded connections (WebSocket) are not waited for: they
/// belong to whom they were handed over to. There is no deadline: the caller sets one by dropping
/// the future, and ends what is left by ending `tasks`.
///
/// Each request carries its peer's address as [`ConnectInfo<SocketAddr>`](ConnectInfo), and its
/// connection's way out as `Arc<`[`Egress`](crate::egress::Egress)`>`.
pub async fn serve(
    listener: TcpListener,
    app: Router,
    config: &ServeConfig,
    tasks: &Tasks,
    stop: CancellationToken,
) {
    let slots = Arc::new(Semaphore::new(config.max_connections));
    let connections = TaskTracker::new();
    let mut accept_log = AcceptLog::default();
    while let Some(accepted) = stop.run_until_cancelled(accept(&listener, &slots)).await {
        match accepted {
            Ok((stream, peer, permit)) => {
                // A connection too many is closed by being dropped: an answer would cost a task.
                let Ok(counted) = config.limits.open_stream(peer.ip()) else { continue };
                let slot = Slot { _permit: permit, _counted: counted };
                let connection = run(stream, slot, peer, app.clone(), config.clone(), stop.clone());
                tasks.spawn(connections.track_future(connection));
            }
            Err(error) => {
                accept_log.failed(&error);
                if !is_of_one_connection(&error) {
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }
    drop(listener);
    connections.close();
    connections.wait().await;
}

async fn accept(
    listener: &TcpListener,
    slots: &Arc<Semaphore>,
) -> io::Result<(TcpStream, SocketAddr, OwnedSemaphorePermit)> {
    let slot = slots.clone().acquire_owned().await.map_err(io::Error::other)?;
    let (stream, peer) = listener.accept().await?;
    // Without it a small packet waits for the acknowledgement of the one before.
    stream.set_nodelay(true)?;
    Ok((stream, peer, slot))
}

/// Whether the client is to blame, so that the next connection may well succeed.
fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, InvalidInput};
    // Some systems answer EINVAL when an option is set on a connection that was reset already.
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | InvalidInput)
}

#[derive(Default)]
struct AcceptLog {
    last: Option<Instant>,
    untold: u64,
}

impl AcceptLog {
    fn failed(&mut self, error: &io::Error) {
        self.untold += 1;
        if self.last.is_none_or(|last| last.elapsed() >= ACCEPT_LOG_INTERVAL) {
            tracing::warn!(%error, failures = self.untold, "connections can't be accepted");
            self.last = Some(Instant::now());
            self.untold = 0;
        }
    }
}

/// Serves one connection until it ends or is handed over.
async fn run(
    stream: TcpStream,
    slot: Slot,
    peer: SocketAddr,
    app: Router,
    config: ServeConfig,
    stop: CancellationToken,
) {
    let (io, watch, egress) = Watched::new(stream, slot, config.head_timeout, config.write_timeout);
    let on_request = watch.clone();
    let service = service_fn(move |mut request: Request<Incoming>| {
        let request_guard = on_request.begin_request();
        request.extensions_mut().insert(ConnectInfo(peer));
        request.extensions_mut().insert(Arc::clone(&egress));
        let (app, egress) = (app.clone(), Arc::clone(&egress));
        async move {
            let response = app.oneshot(request.map(Body::new)).await;
            response.map(|response| request_guard.hold_until_sent(response, &egress))
        }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        // hyper starts this timer when it waits for a head, so it ends idle connections too.
        .header_read_timeout(config.idle_timeout)
        .serve_connection(TokioIo::new(io), service)
        .with_upgrades();
    let mut connection = pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = stop.cancelled() => {
            if watch.is_untouched() {
                return;
            }
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%peer, %error, "a connection ended early");
    }
}

#[cfg(test)]
mod tests;
