//! The newest rows of conversations in Redis, as the store has them, for all nodes.
//!
//! Of each conversation there is a sorted set (its rows by time and id) and beside it a hash that says
//! what the set is worth:
//!
//! - `m:{token}`: somebody is writing to the store, until a time. While such a mark is there, nobody uses
//!   the set or fills it.
//! - `fill`: the token of those who ask the store in order to fill the set. A mark takes it away: whoever
//!   began before a write can't fill the set after it.
//! - `valid`, `rows`, `all`: under what the set was filled, how many rows it has, and whether these are
//!   all of the conversation.
//!
//! A mark empties the set when it is made, and once more when it is taken back: whatever Redis has lost
//! in between, what was filled meanwhile is gone. Where that can't be said to Redis, [`History::begin`]
//! and [`Marks::end`] say so, and the caller has to keep everybody off the cache by other means.
//!
//! What is valid also names the run of the server: one that comes back, or another one in its place, may
//! hold what was dropped since.

mod keys;
mod link;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use redis::{Pipeline, RedisResult};
use tokio::time::{Instant, timeout};

use self::keys::Keys;
use self::link::Link;
use super::RedisUrl;
use crate::model::{Conversation, Message};

/// How long a reader waits for Redis, before the store is asked.
const LOOK_LIMIT: Duration = Duration::from_millis(50);

/// How long a writer waits for Redis, before the cache is closed to all.
const MARK_LIMIT: Duration = Duration::from_millis(500);

/// How long nobody asks after Redis has not answered.
const SILENCE: Duration = Duration::from_secs(1);

/// How long a mark stays that nobody takes back: far longer than a write takes, also one that was given
/// up and is still at work.
const MARK_LIFE: Duration = Duration::from_secs(120);

/// How long a conversation is kept after it was filled or changed.
const KEPT_FOR: Duration = Duration::from_hours(24);

/// Bytes of one conversation's rows. One that has more is not kept: it would keep other nodes waiting.
const MAX_BYTES: usize = 512 << 10;

/// A handle to the rows in Redis; cheap to clone.
#[derive(Clone)]
pub struct History(Option<Arc<Shared>>);

struct Shared {
    client: redis::Client,
    link: Mutex<Option<Link>>,
    /// When a reader, and when a writer, has found Redis away.
    reader_failed_at: Mutex<Option<Instant>>,
    writer_failed_at: Mutex<Option<Instant>>,
}

/// What Redis has of a conversation.
#[derive(Debug)]
pub enum Look {
    /// Its newest rows, newest first, and whether these are all there are.
    Page(Vec<Message>, bool),
    /// Nothing; who asks the store now may fill it.
    Miss(Filling),
    /// Nothing, nor may it be filled: it is being changed, or Redis does not say so in time.
    Nothing,
}

/// The permission to fill a conversation with what the store answers from now on.
#[derive(Debug)]
pub struct Filling {
    conversation: Conversation,
    token: String,
    valid: String,
}

/// Conversations that are being changed in the store, and nobody uses meanwhile. Dropped without
/// [`Marks::end`] they stay so for a while.
pub struct Marks {
    shared: Arc<Shared>,
    keys: Vec<Keys>,
    token: String,
}

impl fmt::Debug for History {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("History").field(&!self.is_away()).finish()
    }
}

impl PartialEq for History {
    fn eq(&self, other: &Self) -> bool {
        match (&self.0, &other.0) {
            (Some(a), Some(b)) => Arc::ptr_eq(a, b),
            (a, b) => a.is_none() && b.is_none(),
        }
    }
}

impl History {
    /// In this Redis server, which need not answer yet.
    ///
    /// # Errors
    /// The address is none that the client library takes.
    pub fn in_redis(url: &RedisUrl) -> anyhow::Result<Self> {
        Ok(Self(Some(Arc::new(Shared {
            client: redis::Client::open(url.secret())?,
            link: Mutex::default(),
            reader_failed_at: Mutex::default(),
            writer_failed_at: Mutex::default(),
        }))))
    }

    /// In a Redis server that is not known here.
    pub fn away() -> Self {
        Self(None)
    }

    /// Whether the Redis server is not known here.
    pub fn is_away(&self) -> bool {
        self.0.is_none()
    }

    /// Makes a connection, if there is none: readers wait for none to be made.
    pub async fn connect(&self) {
        if let Some(shared) = &self.0
            && let Ok(Err(error)) = timeout(MARK_LIMIT, shared.link()).await
        {
            tracing::debug!(%error, "the cache of history is away");
        }
    }

    /// What is there of a conversation under this generation: the newest `limit` rows, if there are
    /// `wanted` or all.
    pub async fn look(
        &self,
        conversation: &Conversation,
        generation: &str,
        wanted: usize,
        limit: usize,
    ) -> Look {
        let looked = self.read(async |link| {
            let valid = link.valid(generation);
            let mut ask = link.look(&Keys::of(conversation));
            ask.arg(&valid).arg(new_token()).arg(wanted).arg(limit).arg(millis(KEPT_FOR));
            let (kind, text, rows): (String, String, Vec<String>) = link.run(&ask).await?;
            Ok((kind, text, rows, valid))
        });
        let Some((kind, text, rows, valid)) = looked.await else { return Look::Nothing };
        match &*kind {
            "page" => {
                let rows: Result<_, _> = rows.iter().map(|row| serde_json::from_str(row)).collect();
                rows.map_or(Look::Nothing, |rows| Look::Page(rows, text == "1"))
            }
            "miss" => {
                let conversation = conversation.clone();
                Look::Miss(Filling { conversation, token: text, valid })
            }
            _ => Look::Nothing,
        }
    }

    /// Keeps the store's answer to a question that was asked after the permission was given: the
    /// newest rows, and whether these are all there are. Whether they are kept: not, if anything was
    /// changed since.
    pub async fn fill(&self, filling: Filling, rows: &[Message], is_all: bool) -> bool {
        let Filling { conversation, token, valid } = filling;
        let Some(members) = members(rows) else { return false };
        let filled = self.read(async |link| {
            let mut fill = link.fill(&Keys::of(&conversation));
            fill.arg(&valid).arg(&token).arg(u8::from(is_all)).arg(millis(KEPT_FOR));
            for (time, row) in &members {
                fill.arg(time).arg(row);
            }
            link.run::<bool>(&fill).await
        });
        filled.await.unwrap_or(false)
    }

    /// Says that these conversations are about to be changed in the store. `None` if it could not be
    /// said to Redis.
    pub async fn begin(&self, conversations: impl Iterator<Item = &Conversation>) -> Option<Marks> {
        let shared = self.0.as_ref()?;
        let keys = conversations.map(Keys::of).collect();
        let marks = Marks { shared: Arc::clone(shared), keys, token: new_token() };
        let begin = |link: &Link, pipeline: &mut Pipeline, keys: &Keys| {
            let mut begin = link.begin(keys);
            begin.arg(&marks.token).arg(millis(MARK_LIFE)).arg(millis(KEPT_FOR));
            pipeline.add_command(begin).ignore();
        };
        shared.write(&marks.keys, begin).await.then_some(marks)
    }

    async fn read<T>(&self, ask: impl AsyncFnOnce(&mut Link) -> RedisResult<T>) -> Option<T> {
        let shared = self.0.as_ref()?;
        if is_recent(&shared.reader_failed_at) {
            return None;
        }
        let asked = async {
            let open = shared.link.lock().clone();
            match open {
                Some(mut link) => ask(&mut link).await.map(Some),
                None => Ok(None),
            }
        };
        match timeout(LOOK_LIMIT, asked).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) | Err(_) => {
                shared.failed(&shared.reader_failed_at);
                None
            }
        }
    }
}

impl Marks {
    /// Says that all is changed. `false` if it could not be said to Redis.
    pub async fn end(self) -> bool {
        let end = |link: &Link, pipeline: &mut Pipeline, keys: &Keys| {
            let mut end = link.end(keys);
            end.arg(&self.token);
            pipeline.add_command(end).ignore();
        };
        self.shared.write(&self.keys, end).await
    }
}

impl Shared {
    /// The connection; it is made if there is none.
    async fn link(&self) -> RedisResult<Link> {
        let open = self.link.lock().clone();
        if let Some(link) = open {
            return Ok(link);
        }
        let link = Link::open(&self.client, MARK_LIMIT).await?;
        *self.link.lock() = Some(link.clone());
        Ok(link)
    }

    /// Does something for each of these conversations, in one round trip; whether it is done.
    async fn write(&self, keys: &[Keys], command: impl Fn(&Link, &mut Pipeline, &Keys)) -> bool {
        if is_recent(&self.writer_failed_at) {
            return false;
        }
        let written = async {
            let mut link = self.link().await?;
            let mut pipeline = redis::pipe();
            keys.iter().for_each(|keys| command(&link, &mut pipeline, keys));
            link.run_all(&pipeline).await
        };
        let done = matches!(timeout(MARK_LIMIT, written).await, Ok(Ok(())));
        if !done {
            self.failed(&self.writer_failed_at);
        }
        done
    }

    /// One that does not answer is not trusted to notice that it is broken.
    fn failed(&self, at: &Mutex<Option<Instant>>) {
        *at.lock() = Some(Instant::now());
        *self.link.lock() = None;
    }
}

fn is_recent(failed_at: &Mutex<Option<Instant>>) -> bool {
    failed_at.lock().is_some_and(|at| at.elapsed() < SILENCE)
}

/// Rows as they are kept: by their time, and among those of one time by what they begin with, which is
/// their id. `None` if they weigh too much.
fn members(rows: &[Message]) -> Option<Vec<(i64, String)>> {
    let mut bytes = 0;
    let member = |row: &Message| {
        let json = serde_json::to_string(row).ok()?;
        bytes += json.len();
        (bytes <= MAX_BYTES).then_some((row.timestamp.0, json))
    };
    rows.iter().map(member).collect()
}

fn new_token() -> String {
    format!("{:032x}", rand::random::<u128>())
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::testing::message;
    use crate::model::{Content, MessageId, Target, Timestamp, UserId};

    fn row(at: i64) -> Message {
        let target = Target::User(UserId::parse("bob").unwrap());
        Message { id: MessageId::mint(), timestamp: Timestamp(at), ..message("ann", target) }
    }

    #[test]
    fn rows_of_one_time_are_kept_in_the_order_of_their_ids() {
        let rows: Vec<_> = (0..100).map(|at| row(at / 10)).collect();
        let mut kept = members(&rows).unwrap();
        // As Redis orders them.
        kept.sort();
        let read = kept.iter().map(|(_, json)| serde_json::from_str::<Message>(json).unwrap());
        let mut wanted = rows.clone();
        wanted.sort_by_key(|row| row.position());
        assert!(read.eq(wanted));
    }

    #[test]
    fn a_conversation_that_weighs_too_much_is_not_kept() {
        let long = |bytes| Message { content: Content::Text("x".repeat(bytes)), ..row(1) };
        assert!(members(&[long(MAX_BYTES / 2), row(2)]).is_some());
        assert!(members(&[long(MAX_BYTES / 2), row(2), long(MAX_BYTES / 2)]).is_none());
    }

    #[tokio::test]
    async fn where_redis_is_not_known_nothing_is_there_and_nothing_can_be_said() {
        let (history, ann) = (History::away(), UserId::parse("ann").unwrap());
        let conversation = Conversation::direct(ann.clone(), ann);
        history.connect().await;
        assert!(matches!(history.look(&conversation, "1", 10, 10).await, Look::Nothing));
        assert!(history.begin([conversation].iter()).await.is_none());
    }
}
