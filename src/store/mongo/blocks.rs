//! Who has blocked whom: documents `{_id: {user, other}, user, other, at}`.

use bson::{Document, RawDocumentBuf, doc};

use super::indexes::USER_BLOCKS;
use super::queries::Find;
use super::{BLOCKS, MongoStore, documents, errors, reads};
use crate::model::{Block, UserId};
use crate::store::Result;

/// Whom a user has blocked, the last one first.
pub fn blocks_of(user: &UserId, limit: usize) -> Find {
    let order = doc! {"at": -1, "other": -1};
    Find::ordered(USER_BLOCKS, doc! {"user": user.as_str()}, order, limit)
}

/// The order of the fields is part of the key.
fn id(user: &UserId, other: &UserId) -> Document {
    doc! {"user": user.as_str(), "other": other.as_str()}
}

impl MongoStore {
    pub(super) async fn add_block(&self, user: &UserId, block: &Block) -> Result<()> {
        let at = documents::date(block.at);
        let fields = doc! {"user": user.as_str(), "other": block.user.as_str(), "at": at};
        let statement = doc! {
            "q": {"_id": id(user, &block.user)}, "u": {"$setOnInsert": fields}, "upsert": true,
        };
        self.update(BLOCKS, &[statement], errors::class_of_upsert).await?;
        Ok(())
    }

    pub(super) async fn remove_block(&self, user: &UserId, other: &UserId) -> Result<()> {
        let blocks = self.place().await?.database.collection::<Document>(BLOCKS);
        self.write(blocks.delete_one(doc! {"_id": id(user, other)})).await?;
        Ok(())
    }

    pub(super) async fn find_blocks(&self, user: &UserId, limit: usize) -> Result<Vec<Block>> {
        // A limit of 0 means none to the server.
        if limit == 0 {
            return Ok(Vec::new());
        }
        // Where writes go: what was just written must be there when it decides who is told.
        let rows = self.find_on_primary(&blocks_of(user, limit)).await?;
        let block = |row: &RawDocumentBuf| {
            let user = UserId::from_stored(row.get_str("other").ok()?);
            Some(Block { user, at: documents::timestamp(row.get_datetime("at").ok()?) })
        };
        Ok(reads::readable(&rows, block))
    }
}
