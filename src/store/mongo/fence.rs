//! The fence: one document `{_id: "history", generation, closed_until}`, by the server's own clock.

use async_trait::async_trait;
use bson::oid::ObjectId;
use bson::{Bson, Document, doc};
use futures_util::TryStreamExt;
use mongodb::options::{AggregateOptions, ReadPreference, SelectionCriteria};

use super::{FENCE, MongoStore, READ_LIMIT, errors, queries};
use crate::model::{Conversation, Message};
use crate::store::fence::CLOSED_FOR;
use crate::store::{Fence, FencedStore, HistoryQuery, Range, Result};

const ID: &str = "history";

#[async_trait]
impl FencedStore for MongoStore {
    async fn fence(&self) -> Result<Option<Fence>> {
        if let Some(fence) = self.read_fence().await? {
            return Ok(Some(fence));
        }
        let first = doc! {"generation": ObjectId::new(), "closed_until": bson::DateTime::MIN};
        let fences = self.place().await?.database.collection::<Document>(FENCE);
        let made = doc! {"$setOnInsert": first};
        let made = self.write(fences.update_one(doc! {"_id": ID}, made).upsert(true)).await;
        // Of two that make it at the same time one fails, and finds the other's.
        let found = self.read_fence().await?;
        if found.is_none() {
            made?;
        }
        Ok(found)
    }

    async fn close_fence(&self) -> Result<bool> {
        let fences = self.place().await?.database.collection::<Document>(FENCE);
        let time_ms = Bson::Int64(CLOSED_FOR.as_millis() as i64);
        let closed_until = doc! {"$add": ["$$NOW", time_ms]};
        let closed = doc! {"generation": ObjectId::new(), "closed_until": closed_until};
        let close = vec![doc! {"$set": closed}];
        let closed = self.write(fences.update_one(doc! {"_id": ID}, close)).await?;
        Ok(closed.matched_count > 0)
    }

    async fn newest(
        &self,
        conversation: &Conversation,
        limit: usize,
    ) -> Result<Option<Vec<Message>>> {
        let (conversation, range) = (conversation.clone(), Range::Newest);
        let query = HistoryQuery { conversation, viewer: None, range, limit };
        let page = self.read_page_on(queries::history(&query), &query, Some(primary())).await?;
        Ok(Some(page))
    }
}

impl MongoStore {
    async fn read_fence(&self) -> Result<Option<Fence>> {
        let fences = self.place().await?.database.collection::<Document>(FENCE);
        let is_open = doc! {"$lte": ["$closed_until", "$$NOW"]};
        let pipeline = [
            doc! {"$match": {"_id": ID}},
            doc! {"$project": {"generation": 1, "is_open": is_open}},
        ];
        let options =
            AggregateOptions::builder().max_time(READ_LIMIT).selection_criteria(primary()).build();
        let ask = fences.aggregate(pipeline).with_options(options);
        let found = self.timed(READ_LIMIT, async { ask.await?.try_next().await }).await?;
        let Some(found) = found.map_err(errors::classify)? else { return Ok(None) };
        let generation = found.get_object_id("generation").map(|id| id.to_hex());
        Ok(Some(Fence {
            generation: generation.unwrap_or_default(),
            // One that can't be read keeps everybody out.
            is_open: found.get_bool("is_open").unwrap_or(false) && found.contains_key("generation"),
        }))
    }
}

fn primary() -> SelectionCriteria {
    SelectionCriteria::ReadPreference(ReadPreference::Primary)
}
