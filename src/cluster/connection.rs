//! Connections to Redis, and which of them work.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use redis::aio::{ConnectionManager, ConnectionManagerConfig};
use redis::{Client, RedisResult};

use super::RedisUrl;

/// How long Redis may take to take letters, and a connection to be made.
pub(super) const PUBLISH_LIMIT: Duration = Duration::from_millis(250);

/// How long a reader waits for a letter in one call.
pub(super) const READ_WAIT: Duration = Duration::from_secs(1);

/// A reader that has no answer for so long has lost its connection, whatever the system says.
pub(super) const READ_LIMIT: Duration = Duration::from_secs(3);

/// See the module.
pub(super) struct Connections {
    client: Client,
    /// Of each stream: whether its reader is in touch.
    reads: Vec<AtomicBool>,
}

impl Connections {
    pub(super) fn new(url: &RedisUrl, shards: usize) -> RedisResult<Self> {
        let reads = (0..shards).map(|_| AtomicBool::new(false)).collect();
        Ok(Self { client: Client::open(url.secret())?, reads })
    }

    /// A connection to publish over; it is made with the first command, and again when it breaks.
    pub(super) fn to_publish(&self) -> RedisResult<ConnectionManager> {
        self.open(PUBLISH_LIMIT)
    }

    /// A connection to read over.
    pub(super) fn to_read(&self) -> RedisResult<ConnectionManager> {
        self.open(READ_LIMIT)
    }

    fn open(&self, answers_within: Duration) -> RedisResult<ConnectionManager> {
        let config = ConnectionManagerConfig::new()
            .set_connection_timeout(Some(PUBLISH_LIMIT))
            .set_response_timeout(Some(answers_within))
            .set_number_of_retries(0);
        ConnectionManager::new_lazy_with_config(self.client.clone(), config)
    }

    /// A reader is in touch, or not any more; whether that is news.
    pub(super) fn set_reads(&self, shard: u16, reads: bool) -> bool {
        self.reads[usize::from(shard)].swap(reads, Ordering::Relaxed) != reads
    }

    /// Whether all that is said is heard.
    pub(super) fn all_read(&self) -> bool {
        self.reads.iter().all(|reads| reads.load(Ordering::Relaxed))
    }
}
