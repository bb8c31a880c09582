//! What users attach to messages: replies, pins, files.

use std::time::Duration;

use bson::{Bson, Document, doc};
use futures_util::{StreamExt, TryStreamExt, stream};

use super::indexes::{DIRECT_PINS, GROUP_PINS, MEDIA, REPLIES};
use super::queries::{self, Count, Find};
use super::reads::{COUNTS_AT_ONCE, readable};
use super::{MESSAGES, MongoStore, documents, errors};
use crate::model::{Conversation, Message, MessageId};
use crate::store::{HistoryQuery, REPLIES_EXACT_TO, Result};

/// Longest search for the messages that have replies while its index is not there.
const UNAIDED_LIMIT: Duration = Duration::from_millis(100);

/// A page of the replies to a message, in the order in which [`queries::history`] has it.
pub fn replies(root: MessageId, query: &HistoryQuery) -> Find {
    let filter = queries::in_range(query, doc! {"reply_to": root.0});
    queries::page_of(REPLIES, filter, queries::order_of(query.range), query.limit)
}

/// Which of these messages have replies: `{_id}` of each. The server skips from one to the next.
pub fn answered(roots: &[MessageId]) -> Count {
    let filter = doc! {"reply_to": {"$in": ids(roots)}};
    let newest = doc! {"_id": "$reply_to", "timestamp": {"$first": "$timestamp"}};
    let order = doc! {"$sort": REPLIES.keys()};
    let pipeline = vec![doc! {"$match": filter}, order, doc! {"$group": newest}];
    Count { collection: MESSAGES, pipeline, hint: REPLIES.keys() }
}

/// How many replies a message has, up to [`REPLIES_EXACT_TO`], some left out.
pub fn reply_count(root: MessageId, except: &[MessageId]) -> Count {
    let mut filter = doc! {"reply_to": root.0};
    if !except.is_empty() {
        filter.insert("_id", doc! {"$nin": ids(except)});
    }
    let limit = i64::try_from(REPLIES_EXACT_TO).unwrap_or(i64::MAX);
    let pipeline = vec![doc! {"$match": filter}, doc! {"$limit": limit}, queries::counted()];
    Count { collection: MESSAGES, pipeline, hint: REPLIES.keys() }
}

/// The pinned messages of a conversation, the latest pinned first.
pub fn pins(conversation: &Conversation, limit: usize) -> Find {
    let order = doc! {"pin.at": -1, "_id": -1};
    let pinned = |mut filter: Document| {
        filter.insert("pin.pinned", true);
        filter
    };
    let (a, b) = match conversation {
        Conversation::Group(group) => {
            return queries::page_of(GROUP_PINS, pinned(doc! {"group_id": group.0}), order, limit);
        }
        Conversation::Direct(a, b) => (a.as_str(), b.as_str()),
    };
    let direction = |from, to| pinned(doc! {"from_user_id": from, "to_user_id": to});
    let filter = if a == b {
        direction(a, b)
    } else {
        doc! {"$or": [direction(a, b), direction(b, a)]}
    };
    queries::page_of(DIRECT_PINS, filter, order, limit)
}

/// A message with this `media_url`, by its `_id`. The index holds texts alone, and serves a query
/// only if that says so too.
pub fn named_media(url: &str) -> Find {
    Find {
        collection: MESSAGES,
        filter: doc! {"media_url": {"$eq": url, "$type": "string"}},
        sort: None,
        hint: Some(MEDIA.keys()),
        projection: Some(doc! {"_id": 1}),
        limit: 1,
    }
}

fn ids(messages: &[MessageId]) -> Vec<Bson> {
    messages.iter().map(|id| id.0.into()).collect()
}

impl MongoStore {
    pub(super) async fn find_pins(
        &self,
        conversation: &Conversation,
        limit: usize,
    ) -> Result<Vec<Message>> {
        // A limit of 0 means none to the server.
        if limit == 0 {
            return Ok(Vec::new());
        }
        let rows = self.find(&pins(conversation, limit)).await?;
        Ok(readable(&rows, documents::to_message))
    }

    pub(super) async fn count_replies(
        &self,
        roots: &[MessageId],
        except: &[MessageId],
    ) -> Result<Vec<(MessageId, usize)>> {
        let query = answered(roots);
        let hint = Some(query.hint.clone());
        let rows = match self.aggregate_by(&query, hint, super::READ_LIMIT).await? {
            // Without the index every page would look at every message: while it is being made in a
            // large database, nobody is told of counts.
            Err(error) if errors::is_missing_hint(&error) => {
                self.aggregate_by(&query, None, UNAIDED_LIMIT).await?.unwrap_or_default()
            }
            rows => rows.map_err(errors::classify)?,
        };
        let answered: Vec<_> = rows.iter().filter_map(documents::to_id).map(MessageId).collect();
        let counts = answered.into_iter().map(|root| async move {
            let count = self.count(reply_count(root, except)).await?;
            Ok((root, usize::try_from(count).unwrap_or(usize::MAX)))
        });
        stream::iter(counts).buffer_unordered(COUNTS_AT_ONCE).try_collect().await
    }
}
