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

use super::head_watch::Watched;
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
}

impl Default for ServeConfig {
    fn default() -> Self {
        Self {
            head_timeout: HEAD_TIMEOUT,
            idle_timeout: IDLE_TIMEOUT,
            write_timeout: WRITE_TIMEOUT,
            max_connections: MAX_CONNECTIONS,
        }
    }
}

/// Serves `app` until `stop`, then accepts no more, lets the requests under way end, and returns
/// when all HTTP connections have ended. Upgraded connections (WebSocket) are not waited for: they
/// belong to whom they were handed over to. There is no deadline: the caller sets one by dropping
/// the future, and ends what is left by ending `tasks`.
///
/// Each request carries its peer's address as [`ConnectInfo<SocketAddr>`](ConnectInfo).
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
            Ok((stream, peer, slot)) => {
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
    slot: OwnedSemaphorePermit,
    peer: SocketAddr,
    app: Router,
    config: ServeConfig,
    stop: CancellationToken,
) {
    let (io, watch) = Watched::new(stream, slot, config.head_timeout, config.write_timeout);
    let on_request = watch.clone();
    let service = service_fn(move |mut request: Request<Incoming>| {
        let request_guard = on_request.begin_request();
        request.extensions_mut().insert(ConnectInfo(peer));
        let app = app.clone();
        async move {
            let response = app.oneshot(request.map(Body::new)).await;
            response.map(|response| request_guard.hold_until_sent(response))
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
mod tests {
    use axum::routing::get;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::sync::{mpsc, oneshot};
    use tokio::time::{sleep, timeout};

    use super::*;

    const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nhost: a\r\n\r\n";
    /// Short enough to wait for.
    const SHORT: Duration = Duration::from_millis(200);
    /// Longer than any test may take.
    const LONG: Duration = Duration::from_secs(60);

    struct Server {
        addr: SocketAddr,
        tasks: Tasks,
        stop: CancellationToken,
        stopped: oneshot::Receiver<()>,
    }

    async fn start(app: Router, config: ServeConfig) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let (tasks, stop) = (Tasks::default(), CancellationToken::new());
        let (has_stopped, stopped) = oneshot::channel();
        let (serve_tasks, serve_stop) = (tasks.clone(), stop.clone());
        tasks.spawn(async move {
            serve(listener, app, &config, &serve_tasks, serve_stop).await;
            has_stopped.send(()).ok();
        });
        Server { addr, tasks, stop, stopped }
    }

    impl Server {
        async fn connect(&self) -> TcpStream {
            TcpStream::connect(self.addr).await.unwrap()
        }
    }

    fn config() -> ServeConfig {
        ServeConfig {
            head_timeout: LONG,
            idle_timeout: LONG,
            write_timeout: LONG,
            max_connections: 10,
        }
    }

    fn hello() -> Router {
        Router::new().route("/", get(|| async { "hello" }))
    }

    /// Reads one answer, which ends with `hello`.
    async fn read_hello(stream: &mut TcpStream) -> String {
        let mut answer = Vec::new();
        while !answer.ends_with(b"hello") {
            assert_ne!(stream.read_buf(&mut answer).await.unwrap(), 0, "{answer:?}");
        }
        String::from_utf8(answer).unwrap()
    }

    /// Whether the other side ends the connection while this side waits.
    async fn is_cut(stream: &mut TcpStream) -> bool {
        let mut rest = Vec::new();
        timeout(Duration::from_secs(10), stream.read_to_end(&mut rest)).await.is_ok()
    }

    #[tokio::test]
    async fn a_client_that_takes_nothing_is_cut() {
        // Larger than what the kernel holds for both sides.
        let app = Router::new().route("/", get(|| async { vec![0_u8; 32 * 1024 * 1024] }));
        let server = start(app, ServeConfig { write_timeout: SHORT, ..config() }).await;
        let mut stream = server.connect().await;
        stream.write_all(REQUEST).await.unwrap();
        sleep(SHORT * 3).await;
        assert!(is_cut(&mut stream).await);
    }

    #[tokio::test]
    async fn a_head_that_does_not_end_is_cut() {
        let server = start(hello(), ServeConfig { head_timeout: SHORT, ..config() }).await;
        let mut slow = server.connect().await;
        slow.write_all(b"GET / HTTP/1.1\r\n").await.unwrap();
        assert!(is_cut(&mut slow).await);
        assert!(is_cut(&mut server.connect().await).await, "a head that never begins is cut too");
    }

    #[tokio::test]
    async fn the_second_head_of_a_connection_is_cut_like_the_first() {
        let server = start(hello(), ServeConfig { head_timeout: SHORT, ..config() }).await;
        let mut stream = server.connect().await;
        stream.write_all(REQUEST).await.unwrap();
        read_hello(&mut stream).await;
        stream.write_all(b"GET").await.unwrap();
        assert!(is_cut(&mut stream).await);
    }

    #[tokio::test]
    async fn a_connection_may_rest_for_longer_than_a_head_may_take() {
        let server = start(hello(), ServeConfig { head_timeout: SHORT, ..config() }).await;
        let mut stream = server.connect().await;
        for _ in 0..2 {
            stream.write_all(REQUEST).await.unwrap();
            read_hello(&mut stream).await;
            sleep(2 * SHORT).await;
        }
    }

    #[tokio::test]
    async fn a_slow_body_is_not_taken_for_a_slow_head() {
        let app =
            Router::new().route("/", get(|| async { "no" }).post(|body: String| async { body }));
        let server = start(app, ServeConfig { head_timeout: SHORT, ..config() }).await;
        let mut stream = server.connect().await;
        stream
            .write_all(b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\n\r\nhe")
            .await
            .unwrap();
        sleep(2 * SHORT).await;
        stream.write_all(b"llo").await.unwrap();
        read_hello(&mut stream).await;
    }

    #[tokio::test]
    async fn a_connection_that_rests_for_too_long_is_cut() {
        let server = start(hello(), ServeConfig { idle_timeout: SHORT, ..config() }).await;
        let mut stream = server.connect().await;
        stream.write_all(REQUEST).await.unwrap();
        read_hello(&mut stream).await;
        assert!(is_cut(&mut stream).await);
    }

    #[tokio::test]
    async fn connections_over_the_limit_wait_until_one_ends() {
        let server = start(hello(), ServeConfig { max_connections: 1, ..config() }).await;
        let mut first = server.connect().await;
        first.write_all(REQUEST).await.unwrap();
        read_hello(&mut first).await;
        let mut second = server.connect().await;
        second.write_all(REQUEST).await.unwrap();
        assert!(timeout(SHORT, second.readable()).await.is_err());
        drop(first);
        read_hello(&mut second).await;
    }

    #[tokio::test]
    async fn a_request_knows_its_peer() {
        let app = Router::new().route(
            "/",
            get(
                |ConnectInfo(peer): ConnectInfo<SocketAddr>| async move { format!("{peer} hello") },
            ),
        );
        let server = start(app, config()).await;
        let mut stream = server.connect().await;
        stream.write_all(REQUEST).await.unwrap();
        let own = stream.local_addr().unwrap().to_string();
        let answer = read_hello(&mut stream).await;
        assert!(answer.contains(&own), "{answer}");
    }

    #[tokio::test]
    async fn an_accepted_connection_has_tcp_nodelay() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let _client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (stream, ..) = accept(&listener, &Arc::new(Semaphore::new(1))).await.unwrap();
        assert!(stream.nodelay().unwrap());
    }

    /// An app whose request tells when it has begun and ends when it is told to.
    fn held() -> (Router, mpsc::Receiver<()>, CancellationToken) {
        let (begun, begins) = mpsc::channel(1);
        let release = CancellationToken::new();
        let released = release.clone();
        let handler = async move || {
            begun.send(()).await.ok();
            released.cancelled().await;
            "hello"
        };
        (Router::new().route("/", get(handler)), begins, release)
    }

    #[tokio::test]
    async fn a_request_under_way_is_answered_after_stop() {
        let (app, mut begins, release) = held();
        let mut server = start(app, config()).await;
        let mut stream = server.connect().await;
        stream.write_all(REQUEST).await.unwrap();
        begins.recv().await.unwrap();
        server.stop.cancel();
        assert!(timeout(SHORT, &mut server.stopped).await.is_err(), "it waits for the request");
        release.cancel();
        read_hello(&mut stream).await;
        server.stopped.await.unwrap();
        server.tasks.ended().await;
    }

    #[tokio::test]
    async fn stop_refuses_new_connections_and_does_not_wait_for_resting_ones() {
        let server = start(hello(), config()).await;
        let _silent = server.connect().await;
        let mut resting = server.connect().await;
        resting.write_all(REQUEST).await.unwrap();
        read_hello(&mut resting).await;
        server.stop.cancel();
        timeout(Duration::from_secs(10), server.stopped).await.expect("stops").unwrap();
        assert!(TcpStream::connect(server.addr).await.is_err());
    }

    #[tokio::test]
    async fn an_upgraded_connection_is_neither_timed_nor_waited_for_and_keeps_its_slot() {
        let tasks = Tasks::default();
        let upgrade_tasks = tasks.clone();
        let app = Router::new().route(
            "/",
            get(async move |request: axum::extract::Request| {
                upgrade_tasks.spawn(async move {
                    let upgraded = hyper::upgrade::on(request).await.unwrap();
                    let (mut read, mut write) = tokio::io::split(TokioIo::new(upgraded));
                    tokio::io::copy(&mut read, &mut write).await.ok();
                });
                let headers = [("connection", "upgrade"), ("upgrade", "echo")];
                (hyper::StatusCode::SWITCHING_PROTOCOLS, headers)
            }),
        );
        let short = ServeConfig {
            head_timeout: SHORT,
            idle_timeout: SHORT,
            max_connections: 1,
            ..config()
        };
        let server = start(app, short).await;
        let mut stream = server.connect().await;
        stream
            .write_all(b"GET / HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: echo\r\n\r\n")
            .await
            .unwrap();
        let mut answer = Vec::new();
        while !answer.ends_with(b"\r\n\r\n") {
            assert_ne!(stream.read_buf(&mut answer).await.unwrap(), 0);
        }
        for _ in 0..2 {
            stream.write_all(b"hello").await.unwrap();
            read_hello(&mut stream).await;
            sleep(2 * SHORT).await;
        }
        let mut second = server.connect().await;
        second.write_all(REQUEST).await.unwrap();
        assert!(timeout(SHORT, second.readable()).await.is_err(), "the slot is taken");
        server.stop.cancel();
        timeout(Duration::from_secs(10), server.stopped).await.expect("stops").unwrap();
        stream.write_all(b"hello").await.unwrap();
        read_hello(&mut stream).await;
    }
}
