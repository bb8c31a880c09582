//! What is kept of one user, and the end of it. The queries are data, as those in
//! [`queries`] are.

use std::collections::HashSet;

use async_trait::async_trait;
use bson::{Bson, Document, RawDocumentBuf, doc};
use mongodb::Collection;

use super::indexes::{DIRECT_ORDER, Index, index};
use super::queries::{self, Find};
use super::search::{queries::message_ids_after, refiling};
use super::{
    BLOCKS, CLAIMS, ERASURES, GROUP_CHANGES_LOG, GROUPS, INVITATIONS, MESSAGES, MUTES, MongoStore,
    PRESENCE, READ_CURSORS, SEARCH, changes, claims, documents, errors, invitations, reads,
    statements,
};
use crate::model::{
    Conversation, Erasure, GroupId, Message, MessageId, Place, Position, Traces, UserId,
};
use crate::store::{Anonymised, HistoryQuery, PrivacyStore, Range, Result};

/// Messages that one step looks at; of those few are read as a whole.
const STEP: i64 = 2_000;

/// Groups by who has made them.
pub const GROUP_CREATOR: Index = index(GROUPS, "group_creator", &[("created_by", 1)]);
/// Groups by whose they are, where that is not who has made them.
pub const GROUP_OWNER: Index = index(GROUPS, "group_owner", &[("owner_id", 1)]);
/// Groups by who may not speak in them.
pub const GROUP_SILENCED: Index = index(GROUPS, "group_silenced", &[("silenced.user_id", 1)]);
/// By whom a user is blocked.
pub const BLOCKED_BY: Index = index(BLOCKS, "blocked_by", &[("other", 1)]);
/// The invitations that a user has made, the newest first.
pub const INVITATIONS_BY: Index =
    index(INVITATIONS, "invitations_by", &[("created_by", 1), ("created_at", -1), ("_id", -1)]);

/// What leads to where a user is named.
pub const INDEXES: [Index; 5] =
    [GROUP_CREATOR, GROUP_OWNER, GROUP_SILENCED, BLOCKED_BY, INVITATIONS_BY];

/// What a user has said in groups after a place, the oldest first.
pub fn group_messages_of(user: &UserId, query: &HistoryQuery) -> Find {
    let said = doc! {
        "from_user_id": user.as_str(), "to_user_id": null, "group_id": {"$exists": true},
    };
    let order = queries::order_of(query.range);
    queries::page_of(DIRECT_ORDER, queries::in_range(query, said), order, query.limit)
}

/// The invitations that a user has made, the newest first.
pub fn invitations_by(user: &UserId, limit: usize) -> Find {
    let order = doc! {"created_at": -1, "_id": -1};
    Find::ordered(INVITATIONS_BY, doc! {"created_by": user.as_str()}, order, limit)
}

/// The `_id` of the groups that a field says are a user's; a limit of 0 is none.
fn groups_by(index: Index, filter: Document, limit: usize) -> Find {
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    Find { projection: Some(doc! {"_id": 1}), limit, ..Find::all(index, filter) }
}

/// The groups whose owner somebody is who has not made them, or has been given them back.
pub fn groups_owned(user: &UserId, limit: usize) -> Find {
    groups_by(GROUP_OWNER, doc! {"owner_id": user.as_str()}, limit)
}

/// The groups that are still of who has made them.
pub fn groups_kept(user: &UserId, limit: usize) -> Find {
    groups_by(GROUP_CREATOR, doc! {"created_by": user.as_str(), "owner_id": null}, limit)
}

/// All groups that name a user in another way than as a member.
pub fn groups_naming(user: &UserId) -> [Find; 3] {
    let user = user.as_str();
    [
        groups_by(GROUP_CREATOR, doc! {"created_by": user}, 0),
        groups_by(GROUP_OWNER, doc! {"owner_id": user}, 0),
        groups_by(GROUP_SILENCED, doc! {"silenced.user_id": user}, 0),
    ]
}

/// Of the messages, and stubs, with an id after one and up to another those that name a user.
pub fn naming(user: &UserId, after: MessageId, up_to: MessageId) -> Find {
    let fields = [
        "from_user_id",
        "to_user_id",
        "parties",
        "read_by",
        "deleted_for",
        "mentions",
        "reactions.user",
        "pin.by",
    ];
    let named = fields.map(|field| doc! {field: user.as_str()});
    Find {
        collection: MESSAGES,
        filter: doc! {"_id": {"$gt": after.0, "$lte": up_to.0}, "$or": named.to_vec()},
        sort: None,
        hint: Some(doc! {"_id": 1}),
        projection: Some(doc! {"revisions": 0}),
        limit: 0,
    }
}

/// Erasures that have begun. No user id is empty.
pub fn erasures(limit: usize) -> Find {
    Find {
        collection: ERASURES,
        filter: doc! {"_id": {"$gt": ""}},
        sort: Some(doc! {"_id": 1}),
        hint: None,
        projection: None,
        limit: i64::try_from(limit).unwrap_or(i64::MAX),
    }
}

/// What is removed with a user, as a collection and a filter.
pub fn traces_of(user: &UserId) -> [(&'static str, Document); 8] {
    let user = user.as_str();
    [
        (BLOCKS, doc! {"user": user}),
        (BLOCKS, doc! {"other": user}),
        (MUTES, doc! {"user": user}),
        (READ_CURSORS, doc! {"user": user}),
        (GROUP_CHANGES_LOG, doc! {"party": user}),
        (PRESENCE, doc! {"_id": user}),
        (INVITATIONS, doc! {"created_by": user}),
        (CLAIMS, claims::of(user)),
    ]
}

fn to_erasure(row: &RawDocumentBuf) -> Option<Erasure> {
    Some(Erasure {
        user: UserId::from_stored(row.get_str("_id").ok()?),
        alias: UserId::from_stored(row.get_str("alias").ok()?),
        begun_at: documents::timestamp(row.get_datetime("begun_at").ok()?),
    })
}

#[async_trait]
impl PrivacyStore for MongoStore {
    async fn group_messages_of(
        &self,
        user: &UserId,
        after: Position,
        limit: usize,
    ) -> Result<Vec<Message>> {
        let conversation = Conversation::direct(user.clone(), user.clone());
        let query = HistoryQuery { conversation, viewer: None, range: Range::After(after), limit };
        let mut page = self.read_page(group_messages_of(user, &query), &query).await?;
        page.reverse();
        Ok(page)
    }

    async fn traces(&self, user: &UserId, limit: usize) -> Result<Traces> {
        // A limit of 0 means none to the server.
        if limit == 0 {
            return Ok(Traces::default());
        }
        let all = Place { version: 0, id: bson::oid::ObjectId::from_bytes([0; 12]) };
        let rows = self.find_on_primary(&changes::changed_cursors(user, all, limit)).await?;
        let cursors = reads::readable(&rows, changes::to_cursor);
        let rows = self.find_on_primary(&invitations_by(user, limit)).await?;
        Ok(Traces { cursors, invitations: reads::readable(&rows, invitations::to_invitation) })
    }

    async fn groups_owned_by(&self, user: &UserId, limit: usize) -> Result<Vec<GroupId>> {
        let mut found = Vec::new();
        // A limit of 0 means none to the server.
        for query in [groups_owned(user, limit.max(1)), groups_kept(user, limit.max(1))] {
            let rows = self.find_on_primary(&query).await?;
            found.extend(rows.iter().filter_map(documents::to_id).map(GroupId));
        }
        found.truncate(limit);
        Ok(found)
    }

    async fn begin_erasure(&self, erasure: &Erasure) -> Result<Erasure> {
        let Erasure { user, alias, begun_at } = erasure;
        let fields = doc! {"alias": alias.as_str(), "begun_at": documents::date(*begun_at)};
        let statement = doc! {
            "q": {"_id": user.as_str()}, "u": {"$setOnInsert": fields}, "upsert": true,
        };
        self.update(ERASURES, &[statement], errors::class_of_upsert).await?;
        let rows = self.find_on_primary(&Find::by_id(ERASURES, user.as_str())).await?;
        // Another server may have ended it since.
        Ok(reads::readable(&rows, to_erasure).pop().unwrap_or_else(|| erasure.clone()))
    }

    async fn erasures(&self, limit: usize) -> Result<Vec<Erasure>> {
        // A limit of 0 means none to the server.
        if limit == 0 {
            return Ok(Vec::new());
        }
        Ok(reads::readable(&self.find_on_primary(&erasures(limit)).await?, to_erasure))
    }

    async fn anonymise(&self, erasure: &Erasure, after: Option<MessageId>) -> Result<Anonymised> {
        let after = after.map_or(bson::oid::ObjectId::from_bytes([0; 12]), |id| id.0);
        let rows = self.find_on_primary(&message_ids_after(after, STEP)).await?;
        let Some(last) = rows.iter().filter_map(documents::to_id).next_back() else {
            return Ok(Anonymised::default());
        };
        let next = (rows.len() as i64 == STEP).then_some(MessageId(last));
        let named = naming(&erasure.user, MessageId(after), MessageId(last));
        let rows = self.find_on_primary(&named).await?;
        let found = rows.iter().filter(|row| !documents::is_stub(row));
        let found = found.filter_map(documents::to_message);
        let (notes, found): (Vec<Message>, Vec<Message>) =
            found.partition(|message| message.is_note_of(&erasure.user));
        // The index first: once the messages are changed, nothing would lead here again.
        self.refile_anonymised(&found, erasure).await?;
        self.delete_notes(&notes).await?;
        let ids = rows.iter().filter_map(documents::to_id);
        let mut changes: Vec<_> = ids.map(|id| statements::anonymise(id, erasure)).collect();
        changes.extend(found.iter().map(|message| statements::new_version(message.id.0)));
        self.update(MESSAGES, &changes, errors::class_of_code).await?;
        let conversations = found.iter().map(Message::conversation).collect();
        let messages = (notes.len() + found.len()) as u64;
        Ok(Anonymised { messages, conversations, next })
    }

    async fn remove_traces(&self, erasure: &Erasure) -> Result<()> {
        let database = &self.place().await?.database;
        let mut named = HashSet::new();
        for query in groups_naming(&erasure.user) {
            let rows = self.find_on_primary(&query).await?;
            named.extend(rows.iter().filter_map(documents::to_id).map(GroupId));
        }
        let groups = &self.place().await?.groups;
        for group in named {
            let change = statements::anonymise_group(erasure);
            let change = self.write(groups.update_one(doc! {"_id": group.0}, change));
            self.noted(group, &[], change).await?;
        }
        for (collection, filter) in traces_of(&erasure.user) {
            let rows: Collection<RawDocumentBuf> = database.collection(collection);
            self.write(rows.delete_many(filter)).await?;
        }
        Ok(())
    }

    async fn end_erasure(&self, user: &UserId) -> Result<()> {
        let rows: Collection<RawDocumentBuf> = self.place().await?.database.collection(ERASURES);
        self.write(rows.delete_one(doc! {"_id": user.as_str()})).await?;
        Ok(())
    }
}

impl MongoStore {
    /// Files under the alias those messages that are filed under the user.
    async fn refile_anonymised(&self, found: &[Message], erasure: &Erasure) -> Result<()> {
        let anonymised = found.iter().map(|before| {
            let mut message = before.clone();
            message.anonymise(erasure);
            (before, message)
        });
        let is_filed_anew = |(before, after): &(&Message, Message)| {
            (&before.from, &before.target) != (&after.from, &after.target)
        };
        let filed = anonymised.filter(is_filed_anew).map(|(_, message)| refiling(&message));
        let filed: Vec<Document> = filed.collect();
        self.update(SEARCH, &filed, errors::class_of_upsert).await?;
        Ok(())
    }

    async fn delete_notes(&self, notes: &[Message]) -> Result<()> {
        if notes.is_empty() {
            return Ok(());
        }
        let ids: Vec<Bson> = notes.iter().map(|note| note.id.0.into()).collect();
        self.unfile(ids.clone()).await?;
        let messages = &self.place().await?.messages;
        self.write(messages.delete_many(doc! {"_id": {"$in": ids}})).await?;
        Ok(())
    }
}
