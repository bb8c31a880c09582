//! What users attach to messages: replies, pins, files.

use rusqlite::{Transaction, params};

use super::messages::place_or_end;
use super::{limit_to_sql, rows, statements};
use crate::model::{Conversation, Message, MessageId, UserId};
use crate::store::{HistoryQuery, REPLIES_EXACT_TO, Range};

/// A page of the replies to a message.
pub(super) fn replies(
    transaction: &Transaction<'_>,
    root: MessageId,
    query: &HistoryQuery,
) -> rusqlite::Result<Vec<Message>> {
    let (place, sql) = match query.range {
        Range::Newest => (None, statements::REPLIES),
        Range::Before(end) => (Some(end), statements::REPLIES),
        Range::After(start) => (Some(start), statements::REPLIES_AFTER),
    };
    let (at, id) = place_or_end(place);
    let viewer = query.viewer.as_ref().map(UserId::as_str);
    let params = params![root.0.bytes(), at, id, viewer, limit_to_sql(query.limit)];
    let mut statement = transaction.prepare_cached(sql)?;
    let page = statement.query_map(params, rows::message)?;
    let mut page: Vec<_> = page.collect::<Result<_, _>>()?;
    if matches!(query.range, Range::After(_)) {
        page.reverse();
    }
    Ok(page)
}

/// How many replies messages have.
pub(super) fn reply_counts(
    transaction: &Transaction<'_>,
    roots: &[MessageId],
    except: &[MessageId],
) -> rusqlite::Result<Vec<(MessageId, usize)>> {
    let except = ids_to_json(except)?;
    let mut statement = transaction.prepare_cached(statements::COUNT_REPLIES)?;
    let count = |root: &MessageId| {
        let params = params![root.0.bytes(), except, limit_to_sql(REPLIES_EXACT_TO)];
        let count = statement.query_row(params, |row| rows::count(row, 0))?;
        Ok((*root, usize::try_from(count).unwrap_or(usize::MAX)))
    };
    roots.iter().map(count).collect()
}

/// The pinned messages of a conversation, the latest pinned first.
pub(super) fn pins(
    transaction: &Transaction<'_>,
    conversation: &Conversation,
    limit: usize,
) -> rusqlite::Result<Vec<Message>> {
    let limit = limit_to_sql(limit);
    match conversation {
        Conversation::Direct(low, high) => transaction
            .prepare_cached(statements::DIRECT_PINS)?
            .query_map(params![low.as_str(), high.as_str(), limit], rows::message)?
            .collect(),
        Conversation::Group(group) => transaction
            .prepare_cached(statements::GROUP_PINS)?
            .query_map(params![group.0.bytes(), limit], rows::message)?
            .collect(),
    }
}

/// Whether a message has this `media_url`.
pub(super) fn names_media(transaction: &Transaction<'_>, url: &str) -> rusqlite::Result<bool> {
    transaction.prepare_cached(statements::NAMES_MEDIA)?.exists([url])
}

/// Ids as a JSON array of what SQLite's `hex` makes of them.
fn ids_to_json(ids: &[MessageId]) -> rusqlite::Result<String> {
    rows::to_json(&ids.iter().map(|id| id.to_string().to_uppercase()).collect::<Vec<_>>())
}
