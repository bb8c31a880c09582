//! Who says the same again and again, or writes to many who never wrote to them.

use std::collections::VecDeque;
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use quick_cache::unsync::Cache;
use tokio::time::{Instant, timeout};

use super::Chat;
use crate::error::Error;
use crate::model::{Content, Conversation, Draft, Target, UserId};
use crate::store::{HistoryQuery, Range};

/// In which time the same content is counted.
const REPEAT_WINDOW: Duration = Duration::from_secs(60);
/// In which time first messages to users are counted.
const STRANGER_WINDOW: Duration = Duration::from_hours(1);
/// Different contents of one sender that are remembered.
const CONTENTS: usize = 8;
/// Users of whom is remembered that a sender has a conversation with them.
const KNOWN: usize = 32;
/// Messages of one sender that are known when they are sent again: what was refused for another
/// reason, or has not become durable, is.
const SENT_AGAIN: usize = 128;
/// Senders who are remembered; each takes up to three kilobytes.
const SENDERS: usize = 20_000;
/// How long a first message waits for the store to say whether it is one.
const PATIENCE: Duration = Duration::from_secs(1);

/// What one sender did lately. Pure: it is given the time.
#[derive(Debug, Default)]
struct Sender {
    /// Contents by their hashes: since when they are counted, and how often they came.
    said: VecDeque<(u64, Instant, u32)>,
    /// When the sender wrote to somebody for the first time.
    met: VecDeque<Instant>,
    known: VecDeque<UserId>,
    /// Messages that were counted, by the hashes of their client ids.
    counted: VecDeque<u64>,
}

impl Sender {
    /// Counts a message by the hash of its content, and once by that of its client id, if it has
    /// one; whether its content has come too often.
    fn sends(&mut self, content: u64, client_id: Option<u64>, most: u32, now: Instant) -> bool {
        if client_id.is_some_and(|id| self.counted.contains(&id)) {
            return false;
        }
        let too_often = self.says(content, most, now);
        if let Some(id) = client_id.filter(|_| !too_often) {
            push(&mut self.counted, id, SENT_AGAIN);
        }
        too_often
    }

    /// Counts a content; whether it has come too often.
    fn says(&mut self, hash: u64, most: u32, now: Instant) -> bool {
        self.said.retain(|(_, since, _)| now.duration_since(*since) < REPEAT_WINDOW);
        if let Some((.., times)) = self.said.iter_mut().find(|(known, ..)| *known == hash) {
            *times += u32::from(*times < most + 1);
            return *times > most;
        }
        push(&mut self.said, (hash, now, 1), CONTENTS);
        false
    }

    /// Counts a first message to somebody; whether these are too many. One that is refused does
    /// not count.
    fn meets(&mut self, user: &UserId, most: u32, now: Instant) -> bool {
        self.met.retain(|at| now.duration_since(*at) < STRANGER_WINDOW);
        if self.met.len() >= most as usize {
            return true;
        }
        self.met.push_back(now);
        self.knows(user);
        false
    }

    fn knows(&mut self, user: &UserId) {
        push(&mut self.known, user.clone(), KNOWN);
    }
}

/// Adds to a queue of a bounded length, whose oldest goes.
fn push<T>(queue: &mut VecDeque<T>, new: T, most: usize) {
    if queue.len() == most {
        queue.pop_front();
    }
    queue.push_back(new);
}

/// See the module.
pub(super) struct Spam {
    repeats: u32,
    strangers: u32,
    senders: Mutex<Cache<UserId, Sender>>,
    hasher: RandomState,
    refused_repeats: AtomicU64,
    refused_strangers: AtomicU64,
}

impl Spam {
    /// So many of the same in a minute, and first messages in an hour; 0 is no limit.
    pub(super) fn new(repeats: u32, strangers: u32) -> Self {
        Self {
            repeats,
            strangers,
            senders: Mutex::new(Cache::new(SENDERS)),
            hasher: RandomState::new(),
            refused_repeats: AtomicU64::new(0),
            refused_strangers: AtomicU64::new(0),
        }
    }

    fn with<T>(&self, user: &UserId, act: impl FnOnce(&mut Sender) -> T) -> T {
        let mut senders = self.senders.lock();
        if let Some(mut sender) = senders.get_mut(user) {
            return act(&mut sender);
        }
        let mut sender = Sender::default();
        let answer = act(&mut sender);
        senders.insert(user.clone(), sender);
        answer
    }

    /// Forgets what a user has sent.
    pub(super) fn forget_user(&self, user: &UserId) {
        self.senders.lock().remove(user);
    }

    fn check_repeats(&self, from: &UserId, draft: &Draft) -> Result<(), Error> {
        let hash = match &draft.content {
            Content::Text(text) => self.hasher.hash_one(text),
            Content::Object(object) => self.hasher.hash_one(object),
        };
        let client_id = draft.client_id.as_ref().map(|id| self.hasher.hash_one(id));
        let now = Instant::now();
        if !self.with(from, |sender| sender.sends(hash, client_id, self.repeats, now)) {
            return Ok(());
        }
        self.refused_repeats.fetch_add(1, Ordering::Relaxed);
        let text = format!("You have said this {} times within a minute", self.repeats);
        Err(Error::RateLimited(text.into()))
    }

    fn check_first(&self, from: &UserId, to: &UserId) -> Result<(), Error> {
        if !self.with(from, |sender| sender.meets(to, self.strangers, Instant::now())) {
            return Ok(());
        }
        self.refused_strangers.fetch_add(1, Ordering::Relaxed);
        let text = format!(
            "You have written to {} users for the first time within an hour; wait before the next",
            self.strangers
        );
        Err(Error::RateLimited(text.into()))
    }
}

impl Chat {
    /// Messages refused so far as too many of the same, and as too many to strangers.
    pub fn spam_refused(&self) -> (u64, u64) {
        let of = |count: &AtomicU64| count.load(Ordering::Relaxed);
        (of(&self.spam.refused_repeats), of(&self.spam.refused_strangers))
    }

    /// Refuses a new message of who says the same too often, or writes to too many strangers.
    pub(super) async fn check_spam(&self, from: &UserId, draft: &Draft) -> Result<(), Error> {
        if self.spam.repeats > 0 {
            self.spam.check_repeats(from, draft)?;
        }
        match &draft.target {
            Target::User(to) if self.spam.strangers > 0 && to != from => {
                if self.has_met(from, to).await {
                    return Ok(());
                }
                self.spam.check_first(from, to)
            }
            _ => Ok(()),
        }
    }

    /// Whether two users have said anything to each other. Where only the store knows, and does not
    /// say, they count as acquainted.
    async fn has_met(&self, from: &UserId, to: &UserId) -> bool {
        if self.spam.with(from, |sender| sender.known.contains(to)) {
            return true;
        }
        if !self.buffer.store_answers() {
            return true;
        }
        let conversation = Conversation::direct(from.clone(), to.clone());
        let any = HistoryQuery { conversation, viewer: None, range: Range::Newest, limit: 1 };
        let has_met = match timeout(PATIENCE, self.buffer.history(&any)).await {
            Ok(Ok(rows)) => !rows.is_empty(),
            Ok(Err(_)) | Err(_) => true,
        };
        if has_met {
            self.spam.with(from, |sender| sender.knows(to));
        }
        has_met
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn user(name: &str) -> UserId {
        UserId::parse(name).unwrap()
    }

    #[test]
    fn the_same_is_refused_when_it_comes_too_often_within_a_minute() {
        let (mut sender, mut now) = (Sender::default(), Instant::now());
        for _ in 0..3 {
            assert!(!sender.says(1, 3, now));
            assert!(!sender.says(2, 3, now));
            now += SECOND;
        }
        assert!(sender.says(1, 3, now) && sender.says(1, 3, now));
        assert!(!sender.says(3, 3, now), "something else");
        now += REPEAT_WINDOW;
        assert!(!sender.says(1, 3, now));
    }

    #[test]
    fn a_message_that_is_sent_again_counts_once_and_is_refused_again() {
        let (mut sender, now) = (Sender::default(), Instant::now());
        for _ in 0..10 {
            assert!(!sender.sends(1, Some(1), 2, now));
        }
        assert!(!sender.sends(1, Some(2), 2, now));
        for _ in 0..2 {
            assert!(sender.sends(1, Some(3), 2, now), "what was refused as too many stays so");
            assert!(sender.sends(1, None, 2, now));
        }
        assert!(!sender.sends(1, Some(2), 2, now), "what was counted is not refused later");
    }

    #[test]
    fn few_messages_are_known_when_they_are_sent_again() {
        let (mut sender, now) = (Sender::default(), Instant::now());
        for message in 0..1_000 {
            assert!(!sender.sends(message, Some(message), 1, now));
        }
        assert_eq!(sender.counted.len(), SENT_AGAIN);
    }

    #[test]
    fn few_contents_are_remembered() {
        let (mut sender, now) = (Sender::default(), Instant::now());
        for content in 0..1_000 {
            assert!(!sender.says(content, 1, now));
        }
        assert_eq!(sender.said.len(), CONTENTS);
    }

    #[test]
    fn strangers_are_so_many_in_an_hour() {
        let (mut sender, mut now) = (Sender::default(), Instant::now());
        for number in 0..2 {
            assert!(!sender.meets(&user(&number.to_string()), 2, now));
            now += SECOND;
        }
        assert!(sender.meets(&user("c"), 2, now));
        now += STRANGER_WINDOW - 2 * SECOND;
        assert!(!sender.meets(&user("c"), 2, now), "the first is an hour ago");
        assert!(sender.meets(&user("d"), 2, now));
    }

    #[test]
    fn few_acquaintances_are_remembered() {
        let mut sender = Sender::default();
        for number in 0..100 {
            sender.knows(&user(&number.to_string()));
        }
        assert_eq!(sender.known.len(), KNOWN);
        assert!(sender.known.contains(&user("99")) && !sender.known.contains(&user("0")));
    }
}
