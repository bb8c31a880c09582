//! The accept loop, through real sockets.

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
        limits: Arc::default(),
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
    let app = Router::new().route("/", get(|| async { "no" }).post(|body: String| async { body }));
    let server = start(app, ServeConfig { head_timeout: SHORT, ..config() }).await;
    let mut stream = server.connect().await;
    stream.write_all(b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\n\r\nhe").await.unwrap();
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
        get(|ConnectInfo(peer): ConnectInfo<SocketAddr>| async move { format!("{peer} hello") }),
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
    let short =
        ServeConfig { head_timeout: SHORT, idle_timeout: SHORT, max_connections: 1, ..config() };
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
