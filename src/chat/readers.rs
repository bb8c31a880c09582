//! How many have read the messages of a large group.
//!
//! There `read_by` names the first readers only. The others are counted by how far they have read:
//! a member whose place is at or past a message has read it. Those places are asked of the store,
//! kept for a moment, and moved by what is marked meanwhile.

use std::borrow::Borrow;
use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use parking_lot::Mutex;
use quick_cache::unsync::Cache;
use tokio::time::{Instant, timeout};

use super::Chat;
use crate::error::Error;
use crate::model::{Conversation, GroupId, Message, Position, UserId};

/// Counts are exact up to this.
const EXACT_TO: usize = 10_000;
/// How long places are kept: whatever is counted within this time costs the store one question.
const LIFE: Duration = Duration::from_secs(1);
/// How long a count waits for the store.
const PATIENCE: Duration = Duration::from_secs(1);
/// Groups whose places are kept, at about 1 MB each at the most.
const MAX_GROUPS: usize = 32;

/// How far the members of a group have read.
struct Places {
    /// Of those who have read up to here at least.
    from: Position,
    asked: Instant,
    by_user: HashMap<UserId, Position>,
    /// How many have read up to each place: nearly all to one of a few.
    counts: BTreeMap<Position, usize>,
}

impl Places {
    fn new(from: Position) -> Self {
        let (by_user, counts) = (HashMap::new(), BTreeMap::new());
        Self { from, asked: Instant::now(), by_user, counts }
    }

    /// A member has read up to a place.
    fn read(&mut self, reader: UserId, up_to: Position) {
        let before = self.by_user.get(&reader).copied();
        if before.is_some_and(|before| before >= up_to) {
            return;
        }
        self.by_user.insert(reader, up_to);
        *self.counts.entry(up_to).or_default() += 1;
        if let Some(before) = before
            && let Some(count) = self.counts.get_mut(&before)
        {
            *count -= 1;
            if *count == 0 {
                self.counts.remove(&before);
            }
        }
    }

    /// How many have read up to a place or further, a user left out.
    fn past(&self, place: Position, except: &UserId) -> usize {
        let all: usize = self.counts.range(place..).map(|(_, count)| count).sum();
        let is_one_of_them = self.by_user.get(except).is_some_and(|read| *read >= place);
        all - usize::from(is_one_of_them)
    }
}

/// See the module.
pub(super) struct Readers(Mutex<Cache<GroupId, Places>>);

impl Default for Readers {
    fn default() -> Self {
        Self(Mutex::new(Cache::new(MAX_GROUPS)))
    }
}

impl Readers {
    /// A member has read up to a place.
    fn read(&self, group: GroupId, reader: &UserId, up_to: Position) {
        if let Some(mut places) = self.0.lock().get_mut(&group)
            && places.by_user.len() <= EXACT_TO
        {
            places.read(reader.clone(), up_to);
        }
    }

    /// Forgets all places, which the store is asked for again.
    pub(super) fn forget_all(&self) {
        self.0.lock().clear();
    }

    fn keep(&self, group: GroupId, from: Position, found: Vec<(UserId, Position)>) {
        let mut places = Places::new(from);
        for (reader, up_to) in found {
            places.read(reader, up_to);
        }
        self.0.lock().insert(group, places);
    }

    /// Whether the places of all who have read up to here are known.
    fn knows(&self, group: GroupId, from: Position) -> bool {
        let known = self.0.lock();
        known.get(&group).is_some_and(|places| places.from <= from && places.asked.elapsed() < LIFE)
    }

    /// How many have read a message, the sender not counted.
    fn count(&self, group: GroupId, message: &Message) -> u64 {
        let others = message.read_by.iter().filter(|reader| **reader != message.from).count();
        let known = self.0.lock();
        let past = |places: &Places| places.past(message.position(), &message.from);
        let past = known.get(&group).map_or(0, past);
        past.max(others).min(EXACT_TO) as u64
    }
}

impl Chat {
    /// Whether a conversation is a group in which not all are told who has read what.
    pub(super) async fn is_large(&self, conversation: &Conversation) -> Result<bool, Error> {
        let Conversation::Group(group) = conversation else { return Ok(false) };
        let members = self.gate.load(&*self.store, *group).await?;
        Ok(members.are_more_than(self.config.receipt_group_limit as usize))
    }

    /// How many members have read each of some messages of one conversation; `None` but in a group
    /// of more than `RECEIPT_GROUP_LIMIT` members. While the store does not answer, those are
    /// counted who are known.
    pub async fn read_counts<M: Borrow<Message>>(
        &self,
        conversation: &Conversation,
        rows: &[M],
    ) -> Option<Vec<u64>> {
        let Conversation::Group(group) = *conversation else { return None };
        let oldest = rows.iter().map(|row| row.borrow().position()).min()?;
        if !self.is_large(conversation).await.unwrap_or(false) {
            return None;
        }
        self.learn_readers(group, oldest).await;
        Some(rows.iter().map(|row| self.readers.count(group, row.borrow())).collect())
    }

    /// A member of a group has read up to a place.
    pub(super) fn note_reader(&self, group: GroupId, reader: &UserId, up_to: Position) {
        self.readers.read(group, reader, up_to);
    }

    /// The same in a large group, with a reader who has just read up to a place.
    pub(super) async fn count_with(
        &self,
        conversation: &Conversation,
        rows: &[&Message],
        reader: &UserId,
        up_to: Option<Position>,
    ) -> Vec<u64> {
        let (Conversation::Group(group), Some(up_to)) = (conversation, up_to) else {
            return Vec::new();
        };
        if let Some(oldest) = rows.iter().map(|row| row.position()).min() {
            self.learn_readers(*group, oldest).await;
        }
        self.note_reader(*group, reader, up_to);
        rows.iter().map(|row| self.readers.count(*group, row)).collect()
    }

    async fn learn_readers(&self, group: GroupId, from: Position) {
        if self.readers.knows(group, from) || !self.buffer.store_answers() {
            return;
        }
        // One more than is counted: the sender may be among them.
        let asked = timeout(PATIENCE, self.store.readers(group, from, EXACT_TO + 1)).await;
        // That the store is away is logged where it is written to.
        if let Ok(Ok(found)) = asked {
            self.readers.keep(group, from, found);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::model::{MessageId, Target, Timestamp, testing};

    /// A message of Ann's, read by these users.
    fn message(group: GroupId, at: i64, read_by: &[&str]) -> Message {
        Message {
            id: place(at).1,
            timestamp: Timestamp(at),
            read_by: read_by.iter().map(|name| UserId::from_stored(name)).collect(),
            ..testing::message("ann", Target::Group(group))
        }
    }

    #[tokio::test(start_paused = true)]
    async fn those_whom_a_message_names_count_where_places_know_fewer() {
        let (readers, group) = (Readers::default(), GroupId::mint());
        let old = message(group, 5, &["ann", "bob", "cem"]);
        assert_eq!(readers.count(group, &old), 2, "rows of the old server have no places");
        readers.keep(group, place(0), vec![(UserId::from_stored("dan"), place(6))]);
        assert_eq!(readers.count(group, &old), 2);
        for name in ["ann", "bob", "eve"] {
            readers.read(group, &UserId::from_stored(name), place(5));
        }
        assert_eq!(readers.count(group, &old), 3, "the sender left out");
        assert_eq!(readers.count(group, &message(group, 6, &["ann"])), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn places_are_known_from_where_they_were_asked_for_and_for_a_moment() {
        let (readers, group) = (Readers::default(), GroupId::mint());
        assert!(!readers.knows(group, place(3)));
        readers.keep(group, place(3), Vec::new());
        assert!(readers.knows(group, place(3)) && readers.knows(group, place(4)));
        assert!(!readers.knows(group, place(2)) && !readers.knows(GroupId::mint(), place(3)));
        tokio::time::advance(LIFE).await;
        assert!(!readers.knows(group, place(3)));
    }

    fn place(at: i64) -> Position {
        let bytes = [0; 12];
        (Timestamp(at), MessageId(bson::oid::ObjectId::from_bytes(bytes)))
    }

    proptest! {
        /// Whatever is read in whatever order: the count is that of who has read so far.
        #[test]
        fn who_has_read_is_counted_as_if_each_were_asked(
            marks in prop::collection::vec((0_u8..5, 0_i64..8), 0..40),
            (at, except) in (0_i64..9, 0_u8..6),
        ) {
            let user = |n: u8| UserId::from_stored(&n.to_string());
            let (mut places, mut furthest) = (Places::new(place(0)), HashMap::new());
            for (reader, up_to) in marks {
                places.read(user(reader), place(up_to));
                let known = furthest.entry(reader).or_insert(up_to);
                *known = up_to.max(*known);
            }
            let has_read = |(reader, up_to): &(&u8, &i64)| **up_to >= at && **reader != except;
            let count = furthest.iter().filter(has_read).count();
            prop_assert_eq!(places.past(place(at), &user(except)), count);
            let total: usize = places.counts.values().sum();
            prop_assert!(total == furthest.len() && places.counts.values().all(|n| *n > 0));
        }
    }
}
