//! What it costs to tell many of a message, per delivery: 100 messages to 10, 100, 1,000 and 10,000
//! connections.
//!
//! Each message is encoded once, as JSON and as a frame, and queued for every connection; ten
//! messages are written together, as what comes within a moment is. It is over when the system has
//! taken all of it. The connections are of TCP on the loopback, and what comes out of them is read by
//! a process of its own, which takes its share of the machine and of the files that one may have
//! open. Not measured: who is in a group, and what Socket.IO keeps of a socket.

use std::future::poll_fn;
use std::io::IoSlice;
use std::process::{Child, Command};
use std::sync::Arc;

use banter::egress::{Egress, Flushed, Sent, text_frame};
use banter::model::{Event, Message, Op};
use banter::wire::told::Payload;
use bytes::Bytes;
use criterion::{BenchmarkId, Criterion, Throughput};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;

use crate::support::sends;

/// Messages of one round.
const MESSAGES: usize = 100;

/// Messages that are written together.
const TOGETHER: usize = 10;

/// Which connections the process that reads is to make.
const READER: &str = "GROWTH_READER";

/// Open files beside the connections.
const BESIDE: usize = 64;

pub(crate) fn measure(criterion: &mut Criterion, sizes: &[usize]) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    for size in sizes {
        let connections = size.div_ceil(MESSAGES);
        if let Err(files) = make_room(connections + BESIDE) {
            eprintln!(
                "growth/fan_out: {connections} connections are left out: they need more than the \
                 {files} open files that a process may have here"
            );
            continue;
        }
        let (egresses, mut reader) = runtime.block_on(connect(connections));
        let messages = messages();
        let mut group = criterion.benchmark_group("growth/fan_out");
        group.throughput(Throughput::Elements((MESSAGES * connections) as u64));
        group.bench_function(BenchmarkId::new("delivery", size), |bencher| {
            bencher.iter(|| tell(&runtime, &messages, &egresses));
        });
        for egress in &egresses {
            assert_eq!(egress.cut(), 0, "all is written");
        }
        drop(egresses);
        assert!(reader.wait().unwrap().success(), "all connections have ended");
    }
}

/// Has so many files allowed, beyond the hard limit where this process may do that; or says how many
/// are.
fn make_room(files: usize) -> Result<(), u64> {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let wanted = files as u64;
    if current.is_none_or(|current| current >= wanted) {
        return Ok(());
    }
    let raised = Rlimit { current: Some(wanted), maximum: maximum.map(|most| most.max(wanted)) };
    setrlimit(Resource::Nofile, raised).map_err(|_| maximum.or(current).unwrap_or_default())
}

fn messages() -> Vec<Arc<Message>> {
    let message = |op| match op {
        Op::Send(message) => message,
        _ => panic!("a new message"),
    };
    sends(MESSAGES).into_iter().map(message).collect()
}

/// Connections on which a client was let in, and the process that reads what it is sent.
async fn connect(count: usize) -> (Vec<Arc<Egress>>, Child) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let reader = Command::new(std::env::current_exe().unwrap())
        .env(READER, format!("{address} {count}"))
        .spawn()
        .unwrap();
    let mut egresses = Vec::new();
    for _ in 0..count {
        let (server, _) = listener.accept().await.unwrap();
        server.set_nodelay(true).unwrap();
        let (_, out) = server.into_split();
        let egress = Egress::new(out);
        egress.upgrade();
        write(&egress, b"HTTP/1.1 101 Switching Protocols\r\n\r\n").await;
        assert!(egress.claim());
        write(&egress, &text_frame(&["40{\"sid\":\"x\"}"])).await;
        egresses.push(egress);
    }
    (egresses, reader)
}

/// What whoever serves a connection writes.
async fn write(egress: &Egress, mut bytes: &[u8]) {
    while !bytes.is_empty() {
        let written = poll_fn(|cx| egress.poll_write(cx, &[IoSlice::new(bytes)])).await.unwrap();
        bytes = &bytes[written..];
    }
}

/// What the other process does: connects so often as its environment says, and reads until all
/// connections have ended; `false` where it is not the other process.
pub(crate) fn read() -> bool {
    let Ok(wanted) = std::env::var(READER) else { return false };
    let (address, count) = wanted.split_once(' ').unwrap();
    let count: usize = count.parse().unwrap();
    assert!(make_room(count + BESIDE).is_ok(), "it has as many files as the other process");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().unwrap();
    runtime.block_on(async {
        let mut reading = tokio::task::JoinSet::new();
        for _ in 0..count {
            let mut client = TcpStream::connect(address).await.unwrap();
            reading.spawn(async move {
                let mut room = [0; 4_096];
                while client.read(&mut room).await.is_ok_and(|bytes| bytes > 0) {}
            });
        }
        while reading.join_next().await.is_some() {}
    });
    true
}

fn encode(message: &Arc<Message>) -> Bytes {
    let json = serde_json::to_string(&Payload(&Event::Sent(Arc::clone(message)))).unwrap();
    text_frame(&["42[\"message\",", &json, "]"])
}

fn tell(runtime: &Runtime, messages: &[Arc<Message>], egresses: &[Arc<Egress>]) {
    runtime.block_on(async {
        for together in messages.chunks(TOGETHER) {
            for message in together {
                let frame = encode(message);
                for egress in egresses {
                    let sent = egress.send(frame.clone());
                    assert!(matches!(sent, Sent::Unflushed | Sent::Queued), "{sent:?}");
                }
            }
            flush(egresses).await;
        }
    });
}

/// Writes all that waits; those that take nothing at the moment come after the others.
async fn flush(egresses: &[Arc<Egress>]) {
    let mut blocked = Vec::new();
    for egress in egresses {
        if egress.flush() != Flushed::Done {
            blocked.push(egress);
        }
    }
    for egress in blocked {
        while egress.flush() != Flushed::Done {
            egress.writable().await;
        }
    }
}
