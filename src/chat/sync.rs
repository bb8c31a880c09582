//! Catching up: what a client that was away has missed.
//!
//! The store keeps the order, so a page waits until the store has what was accepted before. When
//! the store is away or far behind, the page holds what the buffer has, says that it is not
//! complete, and the user's sockets are told to ask again once the store has caught up
//! (`buffer::late`).

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use super::Chat;
use super::receipts::FLUSH_WAIT;
use crate::error::Error;
use crate::model::{
    self, Conversation, GroupId, GroupSummary, News, Next, Place, Position, SyncCursor, SyncPage,
    Timestamp, UserId,
};
use crate::store::{Change, Changes, ChangesQuery};

/// How old a cursor may be: a day less than the store remembers deletions, so that a client that
/// pages slowly does not fall behind while it does.
const CURSOR_LIFE: Duration = Duration::from_hours(29 * 24);

/// The most groups of one user that are looked at.
const MAX_GROUPS: usize = 10_000;

impl Chat {
    /// Changes, or conversations, of one page where the client does not say.
    pub const SYNC_PAGE: usize = 100;

    /// A page of what a user has missed since a cursor was given. Without one: the user's
    /// conversations, newest first, page by page, and then what has changed since.
    ///
    /// # Errors
    /// [`Error::Gone`] for a cursor that is too old, or of another store; [`Error::Unavailable`]
    /// when the store is away and there is no cursor yet.
    pub async fn sync(
        &self,
        user: &UserId,
        cursor: Option<SyncCursor>,
        limit: usize,
    ) -> Result<SyncPage, Error> {
        let now = self.now();
        if cursor.is_some_and(|cursor| is_too_old(cursor.issued, now)) {
            return Err(too_old());
        }
        let is_settled = self.settle().await;
        let Some(cursor) = cursor else {
            let settled = self.changes(user, Place::after(u64::MAX), 1).await?.settled;
            let start = SyncCursor::at(settled, now);
            return self.sync_chats(user, start, None, limit, is_settled).await;
        };
        match cursor.next {
            Next::Conversations(before) => {
                self.sync_chats(user, cursor, Some(before), limit, is_settled).await
            }
            Next::Changes(after) => self.sync_changes(user, cursor, after, limit, is_settled).await,
        }
    }

    /// A page of a user's conversations, newest first: those whose last message lies before a
    /// place.
    pub async fn chats(
        &self,
        user: &UserId,
        before: Option<Position>,
        limit: usize,
    ) -> Result<Vec<model::Chat>, Error> {
        self.settle().await;
        self.listed(user, before, limit).await
    }

    /// Waits for the store to have what was accepted so far, if it is not away; whether it has.
    async fn settle(&self) -> bool {
        self.buffer.store_answers() && self.buffer.flushed(FLUSH_WAIT).await
    }

    /// The store's list; what a user has muted until a time that is over is not muted.
    async fn listed(
        &self,
        user: &UserId,
        before: Option<Position>,
        limit: usize,
    ) -> Result<Vec<model::Chat>, Error> {
        let mut chats = self.store.chats(user, before, limit).await?;
        let now = self.now();
        for chat in &mut chats {
            chat.muted = chat.muted.filter(|until| until.holds_at(now));
        }
        Ok(chats)
    }

    async fn sync_chats(
        &self,
        user: &UserId,
        cursor: SyncCursor,
        before: Option<Position>,
        limit: usize,
        complete: bool,
    ) -> Result<SyncPage, Error> {
        let chats = self.listed(user, before, limit).await?;
        let last = chats.last().filter(|_| chats.len() == limit);
        let next = match last {
            Some(last) => Next::Conversations(last.place),
            None => Next::Changes(Place::after(cursor.settled)),
        };
        let cursor = SyncCursor { next, ..cursor };
        Ok(SyncPage {
            more: last.is_some(),
            chats: Some(chats),
            news: Vec::new(),
            cursor,
            complete,
        })
    }

    async fn sync_changes(
        &self,
        user: &UserId,
        cursor: SyncCursor,
        after: Place,
        limit: usize,
        is_settled: bool,
    ) -> Result<SyncPage, Error> {
        // Before the store is read: what leaves the buffer meanwhile is in the store's answer.
        let pending = if is_settled { Vec::new() } else { self.pending_of(user, limit) };
        let changes = match self.changes(user, after, limit).await {
            Err(Error::Unavailable(_)) => {
                let (news, more, complete) = (pending, false, false);
                return Ok(SyncPage { chats: None, news, cursor, more, complete });
            }
            changes => changes?,
        };
        if after.version > changes.latest {
            return Err(too_old());
        }
        let cursor = advanced(cursor, after, &changes, limit, self.now());
        let more = changes.rows.len() == limit;
        let mut news = self.news(user, changes).await?;
        if !more {
            news.extend(pending);
        }
        Ok(SyncPage { chats: None, news, cursor, more, complete: is_settled })
    }

    async fn changes(&self, user: &UserId, after: Place, limit: usize) -> Result<Changes, Error> {
        let groups = self.store.group_ids_of(user, MAX_GROUPS).await?;
        let query = ChangesQuery { user: user.clone(), groups, after, limit };
        Ok(self.store.changes(&query).await?)
    }

    /// Messages that are accepted and not stored yet, as they are now, of those conversations of a
    /// user that are known without the store.
    fn pending_of(&self, user: &UserId, limit: usize) -> Vec<News> {
        let concerns = |conversation: &Conversation| match conversation {
            Conversation::Direct(a, b) => a == user || b == user,
            Conversation::Group(group) => {
                self.gate.enter(|inside| inside.is_member(*group, user)) == Some(true)
            }
        };
        let mut rows = self.buffer.unstored(user, concerns, limit);
        let excess = rows.len().saturating_sub(limit);
        rows.drain(..excess);
        rows.into_iter().map(|row| News::Message(Box::new(Arc::unwrap_or_clone(row)))).collect()
    }

    async fn news(&self, user: &UserId, changes: Changes) -> Result<Vec<News>, Error> {
        self.learn_blocks(user).await;
        let mut news = Vec::with_capacity(changes.rows.len());
        let entered_or_left: HashSet<GroupId> =
            changes.rows.iter().filter_map(|(_, change)| change.as_membership()).collect();
        let has_groups = changes.rows.iter().any(|(_, change)| change.is_of_group());
        // After the changes were read: who has entered meanwhile is told of it.
        let own: HashSet<GroupId> = match has_groups {
            true => self.store.group_ids_of(user, MAX_GROUPS).await?.into_iter().collect(),
            false => HashSet::new(),
        };
        let muted = match entered_or_left.is_empty() {
            true => HashMap::new(),
            false => self.muted_by(user).await?.into_iter().collect(),
        };
        let mut told = HashSet::new();
        for (_, change) in changes.rows {
            news.push(match change {
                Change::Message(message) if message.is_hidden_for(user) => {
                    // Of what somebody blocked has sent the user does not even know that it is
                    // there.
                    if self.blocks.has(user, &message.from) {
                        continue;
                    }
                    News::Hidden(message.id)
                }
                Change::Message(message) => News::Message(message),
                Change::Deleted { message, conversation, at } => {
                    News::Deleted { message, conversation, at }
                }
                Change::Read { group, up_to: (_, message) } => News::Read { group, up_to: message },
                Change::Mute { group, until } => {
                    let until = until.filter(|until| until.holds_at(self.now()));
                    News::Muted { group, until }
                }
                Change::Group(group) if entered_or_left.contains(&group) => continue,
                Change::Group(group) | Change::Membership(group) if !told.insert(group) => continue,
                Change::Group(group) => match self.summary(group, &own).await? {
                    Some(found) => News::Group(Box::new(found)),
                    // That the user has left is told by itself.
                    None => continue,
                },
                Change::Membership(group) => match self.summary(group, &own).await? {
                    Some(found) => {
                        News::Joined { group: Box::new(found), muted: muted.get(&group).copied() }
                    }
                    None => News::Left(group),
                },
            });
        }
        Ok(news)
    }

    /// A group, if it is one of a user's own.
    async fn summary(
        &self,
        group: GroupId,
        own: &HashSet<GroupId>,
    ) -> Result<Option<GroupSummary>, Error> {
        if !own.contains(&group) {
            return Ok(None);
        }
        Ok(self.store.group_summary(group, GroupSummary::MEMBERS_SHOWN).await?)
    }
}

fn too_old() -> Error {
    Error::Gone("This cursor is too old; leave it out to start over".into())
}

fn is_too_old(issued: Timestamp, now: Timestamp) -> bool {
    let age = now.as_millis().saturating_sub(issued.as_millis());
    u128::try_from(age).is_ok_and(|age| age > CURSOR_LIFE.as_millis())
}

/// The cursor after a page.
///
/// Up to `settled` the client has been told everything that ever will be. Pages move it on as long
/// as all that lies behind them was settled when they were read; from the first row that was not,
/// it stays, and after the last page reading begins anew there.
fn advanced(
    cursor: SyncCursor,
    after: Place,
    changes: &Changes,
    limit: usize,
    now: Timestamp,
) -> SyncCursor {
    let all_settled = cursor.settled >= after.version.saturating_sub(1);
    let end = changes.rows.last().filter(|_| changes.rows.len() == limit);
    match end {
        Some((end, _)) => {
            // Another row of the last version may follow on the next page.
            let settled = changes.settled.min(end.version.saturating_sub(1));
            let settled = if all_settled { settled.max(cursor.settled) } else { cursor.settled };
            SyncCursor { settled, next: Next::Changes(*end), ..cursor }
        }
        None if all_settled => SyncCursor::at(changes.settled.max(cursor.settled), now),
        None => SyncCursor::at(cursor.settled, cursor.issued),
    }
}

#[cfg(test)]
mod tests {
    use bson::oid::ObjectId;
    use proptest::prelude::*;

    use super::*;

    fn row(version: u64) -> (Place, Change) {
        let group = ObjectId::from_bytes([0; 12]);
        (Place { version, id: group }, Change::Group(GroupId(group)))
    }

    proptest! {
        /// A store whose versions become visible in another order than they were given, and a
        /// client that asks page after page: it misses none.
        #[test]
        fn a_version_that_becomes_visible_late_is_not_missed(
            visible_at in prop::collection::vec(0_u64..20, 1..30),
            limit in 1_usize..4,
            asks in prop::collection::vec(0_u64..4, 1..60),
        ) {
            // Version v is given at time v, and visible after a while of at most 20.
            const OVERLAP: u64 = 20;
            let (mut time, mut seen) = (0, HashSet::new());
            let mut cursor = SyncCursor::at(0, Timestamp(0));
            let end = std::iter::repeat_n(OVERLAP, 40);
            for pause in asks.into_iter().chain(end) {
                time += pause;
                let Next::Changes(after) = cursor.next else { unreachable!("no list") };
                let visible = (1..).zip(&visible_at).filter(|(v, delay)| v + **delay <= time);
                let rows: Vec<_> = visible.map(|(v, _)| row(v)).filter(|(at, _)| *at > after).collect();
                let rows: Vec<_> = rows.into_iter().take(limit).collect();
                seen.extend(rows.iter().map(|(at, _)| at.version));
                let settled = time.saturating_sub(OVERLAP);
                let changes = Changes { rows, settled, latest: time };
                cursor = advanced(cursor, after, &changes, limit, Timestamp(0));
            }
            prop_assert_eq!(seen.len(), visible_at.len());
        }
    }
}
