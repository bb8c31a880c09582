//! Who is told of a user, and when users were last there. The queries are data, as those in
//! [`queries`](super::queries) are.

use bson::{Bson, Document, RawDocumentBuf, doc};
use futures_util::TryStreamExt;
use mongodb::options::{AggregateOptions, Hint};

use super::indexes::{DIRECT_ORDER, DIRECT_RECEIVED, Index, MEMBER_GROUPS};
use super::queries::Find;
use super::{MESSAGES, MongoStore, PRESENCE, documents, errors, statements};
use crate::model::{GroupId, Timestamp, UserId};
use crate::store::Result;

/// Different values of one field of the messages: an aggregation that answers a document `{_id}`
/// for each.
#[derive(Debug, Clone, PartialEq)]
pub struct Distinct {
    pipeline: Vec<Document>,
    hint: Document,
}

impl Distinct {
    /// Values of the second field of an index. The filter names it so that the bounds hold texts
    /// alone, and the server goes from one to the next without reading what is between.
    fn of(index: Index, [first, second]: [&str; 2], user: &UserId, limit: usize) -> Self {
        let filter = doc! {first: user.as_str(), second: {"$gte": ""}};
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let pipeline = vec![
            doc! {"$match": filter},
            doc! {"$group": {"_id": format!("${second}")}},
            doc! {"$limit": limit},
        ];
        Self { pipeline, hint: index.keys() }
    }

    /// The query as a database command, to be explained.
    pub fn command(&self) -> Document {
        doc! {
            "aggregate": MESSAGES, "pipeline": self.pipeline.clone(),
            "cursor": {}, "hint": self.hint.clone(),
        }
    }
}

/// To whom a user has written.
pub fn receivers(user: &UserId, limit: usize) -> Distinct {
    Distinct::of(DIRECT_ORDER, ["from_user_id", "to_user_id"], user, limit)
}

/// Who has written to a user.
pub fn senders(user: &UserId, limit: usize) -> Distinct {
    Distinct::of(DIRECT_RECEIVED, ["to_user_id", "from_user_id"], user, limit)
}

/// The `_id` of the groups that a user is in and that have no more than `members` members, newest
/// first.
pub fn small_groups_of(user: &UserId, members: usize, limit: usize) -> Find {
    let one_too_many = format!("member_ids.{members}");
    let filter = doc! {"member_ids": user.as_str(), one_too_many: {"$exists": false}};
    let order = doc! {"created_at": -1, "_id": -1};
    let find = Find::ordered(MEMBER_GROUPS, filter, order, limit);
    Find { projection: Some(doc! {"_id": 1}), ..find }
}

/// When users were last there.
pub fn last_seen(users: &[UserId]) -> Find {
    let ids: Vec<Bson> = users.iter().map(|user| user.as_str().into()).collect();
    Find {
        collection: PRESENCE,
        filter: doc! {"_id": {"$in": ids}},
        sort: None,
        hint: None,
        projection: None,
        limit: 0,
    }
}

impl MongoStore {
    /// Those to whom the user has written, and those who have written to the user.
    pub(super) async fn find_peers(&self, user: &UserId, limit: usize) -> Result<Vec<UserId>> {
        // A limit of 0 means an error to the server.
        if limit == 0 {
            return Ok(Vec::new());
        }
        let mut peers = self.distinct(&receivers(user, limit)).await?;
        peers.extend(self.distinct(&senders(user, limit)).await?);
        peers.sort();
        peers.dedup();
        peers.retain(|peer| peer != user);
        peers.truncate(limit);
        Ok(peers)
    }

    async fn distinct(&self, query: &Distinct) -> Result<Vec<UserId>> {
        match self.distinct_by(query, true).await? {
            Err(error) if errors::is_missing_hint(&error) => {
                self.distinct_by(query, false).await?.map_err(errors::classify)
            }
            found => found.map_err(errors::classify),
        }
    }

    async fn distinct_by(
        &self,
        query: &Distinct,
        is_hinted: bool,
    ) -> Result<mongodb::error::Result<Vec<UserId>>> {
        let messages = &self.place().await?.messages;
        let options = AggregateOptions::builder()
            .hint(is_hinted.then(|| Hint::Keys(query.hint.clone())))
            .max_time(super::READ_LIMIT)
            .build();
        let aggregate = messages.aggregate(query.pipeline.clone()).with_options(options);
        let found = self.timed(super::READ_LIMIT, async {
            let rows = aggregate.await?.with_type::<RawDocumentBuf>();
            rows.try_collect::<Vec<_>>().await
        });
        let rows = found.await?;
        let id = |row: &RawDocumentBuf| row.get_str("_id").ok().map(UserId::from_stored);
        Ok(rows.map(|rows| rows.iter().filter_map(id).collect()))
    }

    pub(super) async fn find_small_groups(
        &self,
        user: &UserId,
        members: usize,
        limit: usize,
    ) -> Result<Vec<GroupId>> {
        // A limit of 0 means none to the server.
        if limit == 0 {
            return Ok(Vec::new());
        }
        let rows = self.find(&small_groups_of(user, members, limit)).await?;
        Ok(rows.iter().filter_map(documents::to_id).map(GroupId).collect())
    }

    pub(super) async fn mark_seen(&self, users: &[(UserId, Timestamp)]) -> Result<()> {
        let statements: Vec<_> =
            users.iter().map(|(user, at)| statements::seen(user, *at)).collect();
        self.update(PRESENCE, &statements, errors::class_of_upsert).await?;
        Ok(())
    }

    pub(super) async fn find_last_seen(
        &self,
        users: &[UserId],
    ) -> Result<Vec<(UserId, Timestamp)>> {
        let rows = self.find(&last_seen(users)).await?;
        let seen = |row: &RawDocumentBuf| {
            let at = documents::timestamp(row.get_datetime("last_seen").ok()?);
            Some((UserId::from_stored(row.get_str("_id").ok()?), at))
        };
        Ok(rows.iter().filter_map(seen).collect())
    }
}
