//! The search index: a full-text table of keys (see [`crate::search`]) that holds no text.
//!
//! Its rows are numbered by time, so that it answers newest first without a sort: a message's
//! milliseconds, then [`TIE_BITS`] to tell those of one millisecond apart.

use rusqlite::Error::ToSqlConversionFailure;
use rusqlite::{OptionalExtension, Transaction, params};

use super::{rows, statements};
use crate::model::{GroupId, Message, Position, Timestamp};
use crate::search;
use crate::store::search::MAX_GROUPS;
use crate::store::{Backlog, Hits, SearchQuery};

/// Bits of a row's number below the milliseconds.
const TIE_BITS: u32 = 21;
/// The latest millisecond that a row's number can tell; later ones share it (the year 2109).
const MAX_MILLIS: i64 = (1 << (62 - TIE_BITS)) - 1;
/// Messages of one step of catching up: some hundredths of a second, for which a batch waits.
const STEP: i64 = 500;
/// Candidates that one search looks at. Nearly all of them fit; but a user may have hidden any
/// number.
const LONGEST_LOOK: usize = 10_000;

/// The first number of a row for this time.
fn first_row(at: Timestamp) -> i64 {
    at.as_millis().clamp(0, MAX_MILLIS) << TIE_BITS
}

/// Messages that were not there before, on their way into the index: the keys of all in one statement,
/// because the index writes what it has gathered whenever a statement of its own begins.
#[derive(Debug, Default)]
pub(super) struct Filing(Vec<(i64, String)>);

impl Filing {
    /// Gives a message its row, and keeps its keys for the end.
    pub(super) fn add(
        &mut self,
        transaction: &Transaction<'_>,
        message: &Message,
    ) -> rusqlite::Result<()> {
        let mut keys = search::keys(message);
        if keys.is_empty() {
            return Ok(());
        }
        keys.extend(search::further_keys(message));
        let first = first_row(message.timestamp);
        let last = first + (1 << TIE_BITS) - 1;
        let mut newest = transaction.prepare_cached(statements::NEWEST_SEARCH_ROW)?;
        let newest: Option<i64> = newest.query_row([first, last], |row| row.get(0))?;
        let row = newest.map_or(first, |newest| newest + 1);
        if row > last {
            // Two million messages of one millisecond: this one is not found.
            return Ok(());
        }
        let id = message.id.0.bytes();
        transaction.prepare_cached(statements::INSERT_SEARCH_ROW)?.execute(params![row, id])?;
        self.0.push((row, keys.join(" ")));
        Ok(())
    }

    /// Files the keys.
    pub(super) fn end(self, transaction: &Transaction<'_>) -> rusqlite::Result<()> {
        if self.0.is_empty() {
            return Ok(());
        }
        let rows =
            serde_json::to_string(&self.0).map_err(|error| ToSqlConversionFailure(error.into()))?;
        transaction.prepare_cached(statements::INSERT_SEARCH_KEYS)?.execute([rows])?;
        Ok(())
    }
}

/// Files a message anew that may be filed by what it said before.
pub(super) fn refile(transaction: &Transaction<'_>, message: &Message) -> rusqlite::Result<()> {
    let id = message.id.0.bytes();
    transaction.prepare_cached(statements::DELETE_SEARCH_KEYS)?.execute([id])?;
    transaction.prepare_cached(statements::DELETE_SEARCH_ROW)?.execute([id])?;
    let mut filing = Filing::default();
    filing.add(transaction, message)?;
    filing.end(transaction)
}

/// Files some of those messages that were stored before there was an index.
pub(super) fn index_backlog(transaction: &Transaction<'_>) -> rusqlite::Result<Backlog> {
    let mut backlog = transaction.prepare_cached(statements::SEARCH_BACKLOG)?;
    let after: Option<Vec<u8>> = backlog.query_row([], |row| row.get(0)).optional()?;
    let Some(after) = after else { return Ok(Backlog::default()) };
    let mut next = transaction.prepare_cached(statements::MESSAGES_AFTER)?;
    let found = next.query_map(params![after, STEP], rows::message)?;
    let found: Vec<Message> = found.collect::<rusqlite::Result<_>>()?;
    let (mut filing, mut indexed) = (Filing::default(), 0);
    for message in &found {
        let mut is_filed = transaction.prepare_cached(statements::IS_IN_SEARCH)?;
        if !is_filed.exists([message.id.0.bytes()])? {
            filing.add(transaction, message)?;
            indexed += 1;
        }
    }
    filing.end(transaction)?;
    if let Some(last) = found.last().filter(|_| found.len() as i64 == STEP) {
        let mut go_on = transaction.prepare_cached(statements::MOVE_SEARCH_BACKLOG)?;
        go_on.execute([last.id.0.bytes()])?;
        return Ok(Backlog { indexed, more: true });
    }
    transaction.prepare_cached(statements::END_SEARCH_BACKLOG)?.execute([])?;
    Ok(Backlog { indexed, more: false })
}

/// The newest messages that a query wants.
pub(super) fn search(transaction: &Transaction<'_>, query: &SearchQuery) -> rusqlite::Result<Hits> {
    let groups = groups_of(transaction, query)?;
    let parties = query.parties(&groups);
    let mut hits = Hits::default();
    if parties.is_empty() || query.limit == 0 {
        return Ok(hits);
    }
    // One past the last number of that millisecond; what is later in it is not admitted.
    let end = query.before.map_or(i64::MAX, |(at, _)| first_row(at) + (1 << TIE_BITS));
    let mut statement = transaction.prepare_cached(statements::SEARCH)?;
    let mut rows = statement.query(params![expression(query, &parties), end])?;
    let (mut looked_at, mut oldest) = (0, None::<Position>);
    while let Some(row) = rows.next()? {
        let message = super::rows::message(row)?;
        // Within a millisecond, rows are in the order in which they came.
        if oldest.is_some_and(|(at, _)| first_row(at) != first_row(message.timestamp)) {
            if hits.messages.len() >= query.limit {
                break;
            }
            if looked_at >= LONGEST_LOOK {
                hits.stopped_at = oldest;
                break;
            }
        }
        looked_at += 1;
        oldest = Some(oldest.map_or(message.position(), |o| o.min(message.position())));
        if query.admits(&groups, &message) {
            hits.messages.push(message);
        }
    }
    hits.messages.sort_by_key(|message| std::cmp::Reverse(message.position()));
    hits.messages.truncate(query.limit);
    Ok(hits)
}

fn groups_of(transaction: &Transaction<'_>, query: &SearchQuery) -> rusqlite::Result<Vec<GroupId>> {
    let mut statement = transaction.prepare_cached(statements::GROUP_IDS_OF_USER)?;
    let limit = super::limit_to_sql(MAX_GROUPS);
    let params = params![query.viewer.as_str(), limit];
    statement.query_map(params, |row| rows::group_id(row, 0))?.collect()
}

/// The query in the words of FTS5. Each key stands in quotes, and holds letters and digits alone.
fn expression(query: &SearchQuery, parties: &[String]) -> String {
    let further = query.further_keys();
    let of_party = |party: &String| {
        let words = query.words.keys(party).into_iter().map(|key| format!("\"{key}\" *"));
        let further = further.iter().map(|key| format!("\"{key}\""));
        format!("({})", words.chain(further).collect::<Vec<_>>().join(" AND "))
    };
    parties.iter().map(of_party).collect::<Vec<_>>().join(" OR ")
}
