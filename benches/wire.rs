//! What one frame costs: reading a client's `send_message`, and writing the `message` that goes out
//! for it.
//!
//! Measured: our own decoding and encoding, checks included, each message encoded once as in the
//! fan-out, whatever the number of its readers. Not measured: what the Socket.IO library does
//! around it (packet framing, WebSocket, the copy per socket), allocation by other threads, the
//! network.

#![expect(clippy::unwrap_used, reason = "a measurement that can't go on fails")]

#[path = "support/message.rs"]
mod message;

use std::hint::black_box;
use std::time::Duration;

use banter::model::{Event, Message, Target, Timestamp, UserId};
use banter::wire::events::ClientEvent;
use banter::wire::told::Payload;
use criterion::{BenchmarkId, Criterion, Throughput};
use serde_json::json;
use serde_json::value::to_raw_value;

use self::message::message;

/// What people type, and a long letter.
const CONTENT_BYTES: [usize; 2] = [32, 4096];

/// Text with what a client's JSON escapes now and then: a quote and a line break in 64 characters.
fn text(bytes: usize) -> String {
    let line = "Chat is mostly plain words, \"quoted\" here and there, then ended.\n";
    line.chars().cycle().take(bytes).collect()
}

fn decode(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("decode_send_message");
    for bytes in CONTENT_BYTES {
        let payload = json!({"to": "bob", "content": text(bytes), "type": "direct"});
        let frame = json!(["send_message", payload]).to_string();
        group.throughput(Throughput::Bytes(frame.len() as u64));
        group.bench_function(BenchmarkId::from_parameter(bytes), |bencher| {
            bencher
                .iter(|| ClientEvent::decode("send_message", black_box(&frame)).unwrap().unwrap());
        });
    }
    group.finish();
}

fn encode(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("encode_message");
    for bytes in CONTENT_BYTES {
        let event = Event::Sent(sent(text(bytes)).into());
        group.throughput(Throughput::Bytes(bytes as u64));
        group.bench_function(BenchmarkId::from_parameter(bytes), |bencher| {
            bencher.iter(|| to_raw_value(&Payload(black_box(&event))).unwrap());
        });
    }
    group.finish();
}

fn sent(text: String) -> Message {
    let [ann, bob] = ["ann", "bob"].map(|name| UserId::parse(name).unwrap());
    message(ann, Target::User(bob), text, Timestamp(1_769_860_800_123))
}

fn main() {
    let mut criterion = Criterion::default()
        .warm_up_time(Duration::from_secs(1))
        .measurement_time(Duration::from_secs(3))
        .configure_from_args();
    decode(&mut criterion);
    encode(&mut criterion);
    criterion.final_summary();
}
