//! Publishes what waits on one stream.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use redis::RedisResult;
use redis::aio::ConnectionManager;
use tokio::time::sleep;

use super::Bus;
use super::outbox::Letter;

/// How many letters a stream keeps at the most, about: what a node that was cut off can catch up
/// with.
const MAX_KEPT: usize = 100_000;
/// And how many at the least, whatever they weigh.
const MIN_KEPT: usize = 1_000;
/// What a stream holds, about.
const MAX_KEPT_BYTES: usize = 64 << 20;

/// The pause before letters are tried again.
const SHORTEST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// Letters as they are written to the stream.
struct Parcel {
    number: u64,
    json: String,
}

/// Runs until the bus is closed. What waits then the others know to be missing, once they hear of this
/// node again.
pub(super) async fn run(bus: Arc<Bus>, shard: u16) {
    let stream = stream(shard);
    let place = &bus.shards[usize::from(shard)];
    let (mut connection, mut kept) = (None, MAX_KEPT);
    loop {
        let letters = place.outbox.lock().take();
        if letters.is_empty() {
            place.filled.notified().await;
            continue;
        }
        let parcels: Vec<_> = letters.into_iter().filter_map(pack).collect();
        let mut pause = SHORTEST_PAUSE;
        while let Err(error) = publish(&bus, &stream, &parcels, &mut connection, kept).await {
            if pause == SHORTEST_PAUSE {
                bus.metrics.delayed.inc_by(parcels.len() as u64);
                place.outbox.lock().stuck();
                tracing::debug!(%error, shard, "letters to other nodes wait for Redis");
            }
            // One that does not answer is not trusted to notice that it is broken.
            connection = None;
            sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
        place.outbox.lock().sent();
        bus.metrics.published.inc_by(parcels.len() as u64);
        kept = kept_of(&parcels, kept);
    }
}

/// The name of a stream. The braces make Redis Cluster place each by its number.
pub(super) fn stream(shard: u16) -> String {
    format!("banter:bus:{{{shard}}}")
}

fn pack(letter: Letter) -> Option<Parcel> {
    match serde_json::to_string(&letter.news) {
        Ok(json) => Some(Parcel { number: letter.number, json }),
        Err(error) => {
            tracing::error!(%error, "a letter to other nodes could not be written");
            None
        }
    }
}

async fn publish(
    bus: &Bus,
    stream: &str,
    parcels: &[Parcel],
    connection: &mut Option<ConnectionManager>,
    kept: usize,
) -> RedisResult<()> {
    let connection = match connection {
        Some(connection) => connection,
        None => connection.insert(bus.connections.to_publish()?),
    };
    let (boot, at) = (bus.known.boot.to_string(), micros_now());
    let mut pipeline = redis::pipe();
    for parcel in parcels {
        pipeline
            .cmd("XADD")
            .arg(stream)
            .arg(&["MAXLEN", "~"])
            .arg(kept)
            .arg("*")
            .arg(&["node", bus.known.node.as_str(), "boot", &boot])
            .arg("number")
            .arg(parcel.number)
            .arg("at")
            .arg(at)
            .arg(&["news", &parcel.json])
            .ignore();
    }
    pipeline.query_async(connection).await
}

/// How many letters the stream may keep, by what they weigh of late.
fn kept_of(parcels: &[Parcel], kept: usize) -> usize {
    /// Names of fields, the node's name and numbers.
    const FIXED_BYTES: usize = 150;
    let bytes: usize = parcels.iter().map(|parcel| FIXED_BYTES + parcel.json.len()).sum();
    let fits = MAX_KEPT_BYTES / (bytes / parcels.len().max(1)).max(1);
    (kept - kept / 8 + fits / 8).clamp(MIN_KEPT, MAX_KEPT)
}

/// Now, as nodes compare it to see how long letters take.
#[expect(clippy::disallowed_methods, reason = "no rule depends on it: it is measured")]
pub(super) fn micros_now() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_of_large_letters_keeps_fewer_of_them() {
        let parcels = |bytes: usize| {
            (1..10).map(|number| Parcel { number, json: "x".repeat(bytes) }).collect::<Vec<_>>()
        };
        let settled = |bytes| (0..200).fold(MAX_KEPT, |kept, _| kept_of(&parcels(bytes), kept));
        assert_eq!(settled(100), MAX_KEPT);
        let kept = settled(10_000);
        assert!((5_000..8_000).contains(&kept), "{kept}");
        assert_eq!(settled(1_000_000), MIN_KEPT);
    }
}
