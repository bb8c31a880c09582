//! Read receipts, gathered so that a reader who scrolls does not flood those who are told: of one
//! reader in one conversation they hear once in a while. Pure: it is given the time and tells
//! nobody itself.
//!
//! The first receipt goes out at once. What follows within the [`WINDOW`] is gathered, and told at
//! its end as one; then the next window begins. Receipts come here when they are durable, in order.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use tokio::time::Instant;

use crate::model::{Audience, Conversation, Dispatch, Event, MessageId, Reading, UserId};

/// The time between two receipts of one reader in one conversation.
const WINDOW: Duration = Duration::from_millis(200);
/// Windows that are open at the same time, at about 300 bytes; beyond these nothing is gathered.
const MAX_WINDOWS: usize = 100_000;
/// Messages that one receipt names.
const MAX_GATHERED: usize = 1_000;

/// Whose receipts are gathered: the reader's, where, for whom.
type Key = (UserId, Conversation, Audience);

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Receipts {
    /// Open windows, with what was gathered in them.
    windows: HashMap<Key, Option<Reading>>,
    /// When they end: all are of one length.
    ends: VecDeque<(Instant, Key)>,
    /// The newest message of each gathered receipt.
    newest: HashMap<MessageId, Newest>,
}

/// Who has read a message by now. Whoever reads it while a receipt waits is told at once, and must
/// not be missing from what is told later.
#[derive(Debug)]
struct Newest {
    /// How many gathered receipts have it as their newest.
    waiting: usize,
    read_by: Vec<UserId>,
    read_count: Option<u64>,
}

impl Receipts {
    /// Takes an event on its way; what is to be told now. Events that are no receipts pass.
    pub(super) fn pass(&mut self, dispatch: Dispatch, now: Instant) -> Option<Dispatch> {
        let Dispatch { to, event: Event::Read(reading) } = dispatch else { return Some(dispatch) };
        self.note(&reading);
        let key = (reading.reader.clone(), reading.conversation.clone(), to);
        let Some(gathered) = self.windows.get_mut(&key) else {
            if self.windows.len() < MAX_WINDOWS {
                self.open(key.clone(), now);
            }
            return Some(told(key, reading));
        };
        match gathered.take() {
            Some(before) if before.messages.len() + reading.messages.len() > MAX_GATHERED => {
                self.gather(&key, reading);
                Some(told(key, self.release(before)))
            }
            Some(before) => {
                let before = self.release(before);
                self.gather(&key, joined(before, reading));
                None
            }
            None => {
                self.gather(&key, reading);
                None
            }
        }
    }

    /// The next instant at which [`Receipts::due`] has something to do.
    pub(super) fn next_due(&self) -> Option<Instant> {
        self.ends.front().map(|(at, _)| *at)
    }

    /// What is to be told by now, in order.
    pub(super) fn due(&mut self, now: Instant) -> Vec<Dispatch> {
        let mut all = Vec::new();
        while let Some((_, key)) = self.ends.pop_front_if(|(at, _)| *at <= now) {
            if let Some(gathered) = self.windows.remove(&key).flatten() {
                let reading = self.release(gathered);
                self.open(key.clone(), now);
                all.push(told(key, reading));
            }
        }
        all
    }

    /// All that was gathered, whether it is due or not.
    pub(super) fn rest(&mut self) -> Vec<Dispatch> {
        let ends = std::mem::take(&mut self.ends);
        let mut rest = Vec::new();
        for (_, key) in ends {
            if let Some(gathered) = self.windows.remove(&key).flatten() {
                rest.push(told(key, self.release(gathered)));
            }
        }
        rest
    }

    fn open(&mut self, key: Key, now: Instant) {
        self.ends.push_back((now + WINDOW, key.clone()));
        self.windows.insert(key, None);
    }

    fn gather(&mut self, key: &Key, reading: Reading) {
        let known = || Newest {
            waiting: 0,
            read_by: reading.read_by.clone(),
            read_count: reading.read_count,
        };
        self.newest.entry(reading.newest.1).or_insert_with(known).waiting += 1;
        if let Some(window) = self.windows.get_mut(key) {
            *window = Some(reading);
        }
    }

    /// A receipt that waits no longer, with all who have read its newest message by now.
    fn release(&mut self, mut gathered: Reading) -> Reading {
        let newest = gathered.newest.1;
        if let Some(known) = self.newest.get_mut(&newest) {
            known.waiting -= 1;
            gathered.read_by.clone_from(&known.read_by);
            gathered.read_count = known.read_count;
            if known.waiting == 0 {
                self.newest.remove(&newest);
            }
        }
        gathered
    }

    fn note(&mut self, reading: &Reading) {
        if self.newest.is_empty() {
            return;
        }
        for message in &reading.messages {
            let Some(known) = self.newest.get_mut(message) else { continue };
            if reading.read_count.is_none() {
                if !known.read_by.contains(&reading.reader) {
                    known.read_by.push(reading.reader.clone());
                }
            } else if *message == reading.newest.1 {
                // A list that has a limit does not tell whether this reader is in it.
                known.read_count = known.read_count.max(reading.read_count);
                if known.read_by.len() < reading.read_by.len() {
                    known.read_by.clone_from(&reading.read_by);
                }
            }
        }
    }
}

/// Two receipts as one.
fn joined(mut before: Reading, later: Reading) -> Reading {
    for message in later.messages {
        if !before.messages.contains(&message) {
            before.messages.push(message);
        }
    }
    if later.newest >= before.newest {
        before.newest = later.newest;
        before.read_by = later.read_by;
        before.read_count = later.read_count;
    }
    before
}

fn told((_, _, to): Key, reading: Reading) -> Dispatch {
    Dispatch { to, event: Event::Read(reading) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{GroupId, Timestamp};

    fn user(name: &str) -> UserId {
        UserId::parse(name).unwrap()
    }

    struct Group {
        receipts: Receipts,
        id: GroupId,
        now: Instant,
    }

    impl Group {
        fn new() -> Self {
            Self { receipts: Receipts::default(), id: GroupId::mint(), now: Instant::now() }
        }

        fn wait(&mut self, millis: u64) -> Vec<Reading> {
            self.now += Duration::from_millis(millis);
            self.receipts.due(self.now).into_iter().map(reading).collect()
        }

        fn read(&mut self, reader: &str, at: i64, id: MessageId, by: &[&str]) -> Option<Reading> {
            let event = Event::Read(Reading {
                conversation: Conversation::Group(self.id),
                reader: user(reader),
                messages: vec![id],
                newest: (Timestamp(at), id),
                read_by: by.iter().map(|name| user(name)).collect(),
                read_count: None,
            });
            let to = Audience::Group(self.id);
            self.receipts.pass(Dispatch { to, event }, self.now).map(reading)
        }
    }

    fn reading(dispatch: Dispatch) -> Reading {
        let Event::Read(reading) = dispatch.event else { panic!("{dispatch:?}") };
        reading
    }

    #[tokio::test(start_paused = true)]
    async fn the_first_is_told_at_once_and_those_that_follow_as_one() {
        let mut group = Group::new();
        let ids: Vec<_> = (0..4).map(|_| MessageId::mint()).collect();
        assert!(group.read("bob", 1, ids[0], &["bob"]).is_some());
        // Out of order: the newest is what an old client is told of.
        for (at, id) in [(2, ids[1]), (4, ids[3]), (3, ids[2]), (4, ids[3])] {
            assert_eq!(group.read("bob", at, id, &["bob"]), None);
        }
        assert_eq!(group.wait(199), []);
        let [told] = group.wait(1).try_into().unwrap();
        assert_eq!(told.messages, [ids[1], ids[3], ids[2]]);
        assert_eq!(told.newest, (Timestamp(4), ids[3]));
        assert_eq!(group.read("bob", 1, ids[0], &["bob"]), None, "a new window has begun");
        assert_eq!(group.wait(200).len(), 1);
        assert_eq!(group.wait(200), []);
        assert_eq!(group.receipts.next_due(), None);
        assert!(group.receipts.windows.is_empty() && group.receipts.newest.is_empty());
        assert!(group.read("bob", 1, ids[0], &["bob"]).is_some(), "after a rest at once again");
    }

    #[tokio::test(start_paused = true)]
    async fn each_reader_is_heard_and_nobody_is_lost_from_a_list() {
        let mut group = Group::new();
        let (first, id) = (MessageId::mint(), MessageId::mint());
        assert!(group.read("bob", 1, first, &["ann", "bob"]).is_some());
        assert_eq!(group.read("bob", 2, id, &["ann", "bob"]), None);
        let told = group.read("cem", 2, id, &["ann", "bob", "cem"]).expect("at once");
        assert_eq!(told.read_by.len(), 3);
        let [late] = group.wait(200).try_into().unwrap();
        assert_eq!(late.read_by, told.read_by, "the list does not go back");
    }

    #[tokio::test(start_paused = true)]
    async fn a_receipt_has_a_limit_and_the_end_tells_the_rest() {
        let mut group = Group::new();
        assert!(group.read("bob", 0, MessageId::mint(), &["bob"]).is_some());
        let told: Vec<_> = (0..MAX_GATHERED as i64 + 7)
            .filter_map(|at| group.read("bob", at, MessageId::mint(), &["bob"]))
            .collect();
        assert_eq!(told.iter().map(|told| told.messages.len()).collect::<Vec<_>>(), [MAX_GATHERED]);
        let [rest] = group.receipts.rest().try_into().unwrap();
        assert_eq!(reading(rest).messages.len(), 7);
        assert!(group.receipts.newest.is_empty() && group.receipts.windows.is_empty());
    }
}
