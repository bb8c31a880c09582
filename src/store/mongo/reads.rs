//! Reads: messages, pages of conversations, unread counts.

use std::collections::{HashMap, HashSet};

use bson::{Document, RawDocumentBuf};
use futures_util::{StreamExt, TryStreamExt, stream};
use mongodb::options::{AggregateOptions, FindOptions, Hint, ReadPreference, SelectionCriteria};

use super::queries::{self, Count, Find};
use super::{MongoStore, changes, documents, errors};
use crate::model::{
    ClientId, GroupId, Message, MessageId, MessageRef, Position, Timestamp, Unread, UserId,
};
use crate::store::{HistoryQuery, Range, Result};

/// Conversations whose unread messages are counted at the same time for one user; each takes a
/// connection.
pub(super) const COUNTS_AT_ONCE: usize = 4;

/// How many times the rows of a page are read at the most, for one among which many can't be read.
const LONGEST_LOOK: i64 = 8;

impl MongoStore {
    pub(super) async fn find_message(&self, id: &MessageRef) -> Result<Option<Message>> {
        if let Some(id) = id.as_id() {
            let mut rows = self.find(&queries::message_by_id(id)).await?;
            rows.retain(|row| !documents::is_stub(row));
            if let Some(message) = readable(&rows, documents::to_message).pop() {
                return Ok(Some(message));
            }
        }
        let rows = self.find(&queries::message_by_old_id(id)).await?;
        Ok(readable(&rows, documents::to_message).pop())
    }

    /// Asks the primary: a message that is taken for a new one would be told twice.
    pub(super) async fn find_sent_as(
        &self,
        user: &UserId,
        client_id: &ClientId,
    ) -> Result<Option<MessageId>> {
        let rows = self.find_on_primary(&queries::sent_as(user, client_id)).await?;
        Ok(rows.iter().find_map(documents::to_id).map(MessageId))
    }

    pub(super) async fn find_sent_at(&self, id: MessageId) -> Result<Option<Timestamp>> {
        let rows = self.find(&queries::message_by_id(id)).await?;
        Ok(rows.iter().find_map(documents::sent_at))
    }

    /// Stubs of deleted messages. While their index is not there (yet) they pass for messages: to
    /// look at every document would take too long.
    pub(super) async fn count_stubs(&self) -> Result<u64> {
        let query = queries::stubs();
        match self.count_by(&query, Some(query.hint.clone())).await? {
            Err(error) if errors::is_missing_hint(&error) => Ok(0),
            counted => counted.map_err(errors::classify),
        }
    }

    pub(super) async fn page(&self, query: &HistoryQuery) -> Result<Vec<Message>> {
        self.read_page(queries::history(query), query).await
    }

    /// Runs a query for rows in a range.
    pub(super) async fn read_page(&self, find: Find, query: &HistoryQuery) -> Result<Vec<Message>> {
        self.read_page_on(find, query, None).await
    }

    /// The same, on these servers.
    pub(super) async fn read_page_on(
        &self,
        mut find: Find,
        query: &HistoryQuery,
        servers: Option<SelectionCriteria>,
    ) -> Result<Vec<Message>> {
        // A limit of 0 means none to the server.
        if query.limit == 0 {
            return Ok(Vec::new());
        }
        let mut page = loop {
            let rows = self.find_on(&find, servers.clone()).await?;
            let page = readable(&rows, documents::to_message);
            let is_whole = page.len() >= query.limit || (rows.len() as i64) < find.limit;
            if is_whole || find.limit / LONGEST_LOOK >= i64::try_from(query.limit).unwrap_or(1) {
                break page;
            }
            // Rows that can't be read don't make a page shorter: that would pass for the end.
            find.limit = find.limit.saturating_mul(2);
        };
        page.truncate(query.limit);
        if matches!(query.range, Range::After(_)) {
            page.reverse();
        }
        Ok(page)
    }

    pub(super) async fn count_unread(
        &self,
        user: &UserId,
        until: Option<Position>,
        except: &[GroupId],
    ) -> Result<Unread> {
        let direct = self.count(queries::unread_direct(user, until)).await?;
        let mut groups = self.find_group_ids(&queries::group_ids_of(user, 0)).await?;
        let except: HashSet<&GroupId> = except.iter().collect();
        groups.retain(|group| !except.contains(group));
        if groups.is_empty() {
            return Ok(Unread { direct, group: 0 });
        }
        let rows = self.find(&queries::read_cursors(user, &groups)).await?;
        let cursors: HashMap<GroupId, Position> =
            rows.iter().filter_map(changes::to_cursor).collect();
        let counts = groups.into_iter().map(|group| {
            self.count(queries::unread_in_group(user, group, cursors.get(&group).copied(), until))
        });
        let group = stream::iter(counts)
            .buffer_unordered(COUNTS_AT_ONCE)
            .try_fold(0, |sum, count| async move { Ok(sum + count) })
            .await?;
        Ok(Unread { direct, group })
    }

    pub(super) async fn find_readers(
        &self,
        group: GroupId,
        from: Position,
        limit: usize,
    ) -> Result<Vec<(UserId, Position)>> {
        // A limit of 0 means none to the server.
        if limit == 0 {
            return Ok(Vec::new());
        }
        let rows = self.find(&queries::readers(group, from, limit)).await?;
        let reader = |row: &RawDocumentBuf| {
            let (_, place) = changes::to_cursor(row)?;
            let id = row.get_document("_id").ok()?;
            Some((UserId::from_stored(id.get_str("user").ok()?), place))
        };
        Ok(readable(&rows, reader))
    }

    pub(super) async fn find_group_ids(&self, query: &Find) -> Result<Vec<GroupId>> {
        let rows = self.find(query).await?;
        Ok(rows.iter().filter_map(documents::to_id).map(GroupId).collect())
    }

    /// Runs a query where reads go.
    pub(super) async fn find(&self, query: &Find) -> Result<Vec<RawDocumentBuf>> {
        self.find_on(query, None).await
    }

    /// Runs a query where writes go, for an answer that decides what becomes of a write: a
    /// secondary may not have heard of it yet.
    pub(super) async fn find_on_primary(&self, query: &Find) -> Result<Vec<RawDocumentBuf>> {
        let primary = SelectionCriteria::ReadPreference(ReadPreference::Primary);
        self.find_on(query, Some(primary)).await
    }

    /// Runs a query through its index, or without it where the server can't tell which that is.
    async fn find_on(
        &self,
        query: &Find,
        servers: Option<SelectionCriteria>,
    ) -> Result<Vec<RawDocumentBuf>> {
        match self.find_by(query, query.hint.clone(), servers.clone()).await? {
            Err(error) if query.hint.is_some() && errors::is_missing_hint(&error) => {
                self.find_by(query, None, servers).await?.map_err(errors::classify)
            }
            found => found.map_err(errors::classify),
        }
    }

    async fn find_by(
        &self,
        query: &Find,
        hint: Option<Document>,
        servers: Option<SelectionCriteria>,
    ) -> Result<mongodb::error::Result<Vec<RawDocumentBuf>>> {
        let collection = self.place().await?.database.collection(query.collection);
        let options = FindOptions::builder()
            .sort(query.sort.clone())
            .hint(hint.map(Hint::Keys))
            .projection(query.projection.clone())
            .limit(query.limit)
            // Else a page beyond 101 documents takes a second round trip.
            .batch_size(u32::try_from(query.limit).ok().filter(|size| *size > 0))
            .max_time(super::READ_LIMIT)
            .selection_criteria(servers)
            .build();
        let find = collection.find(query.filter.clone()).with_options(options);
        self.timed(super::READ_LIMIT, async { find.await?.try_collect().await }).await
    }

    pub(super) async fn count(&self, query: Count) -> Result<u64> {
        match self.count_by(&query, Some(query.hint.clone())).await? {
            Err(error) if errors::is_missing_hint(&error) => {
                self.count_by(&query, None).await?.map_err(errors::classify)
            }
            counted => counted.map_err(errors::classify),
        }
    }

    async fn count_by(
        &self,
        query: &Count,
        hint: Option<Document>,
    ) -> Result<mongodb::error::Result<u64>> {
        let collection =
            self.place().await?.database.collection::<RawDocumentBuf>(query.collection);
        let options = AggregateOptions::builder()
            .hint(hint.map(Hint::Keys))
            .max_time(super::READ_LIMIT)
            .build();
        let aggregate = collection.aggregate(query.pipeline.clone()).with_options(options);
        let counted = self.timed(super::READ_LIMIT, async { aggregate.await?.try_next().await });
        let count = |answer: Document| match (answer.get_i32("n"), answer.get_i64("n")) {
            (Ok(count), _) => u64::try_from(count).unwrap_or(0),
            (_, Ok(count)) => u64::try_from(count).unwrap_or(0),
            _ => 0,
        };
        Ok(counted.await?.map(|answer| answer.map_or(0, count)))
    }
}

/// The rows that can be read. The others are left out, with one warning for all of them: they are
/// nobody's fault who reads now, and would hide the rest.
pub(super) fn readable<T>(
    rows: &[RawDocumentBuf],
    read: impl Fn(&RawDocumentBuf) -> Option<T>,
) -> Vec<T> {
    let items: Vec<T> = rows.iter().filter_map(&read).collect();
    let unreadable = rows.len() - items.len();
    if unreadable > 0 {
        let first = rows.iter().find(|row| read(row).is_none());
        let id = first.and_then(|row| row.get("_id").ok().flatten());
        tracing::warn!(unreadable, first_id = ?id, "stored documents can't be read; left out");
    }
    items
}
