//! The MongoDB store, on the database of the old server (its collections and index names).
//!
//! - `messages`: `_id` ObjectId, `id` (equal to `_id` as text; another one in old rows), `content`,
//!   `type` (`direct`, `group`), `content_type`, `media_url`, `media_metadata`, `from_user_id`,
//!   `to_user_id` or `group_id` (ObjectId), `timestamp` (Date), `status`, `read_by`,
//!   `deleted_for`, `client_id` where its sender's client has named it, `edited_at` (Date) and
//!   `revisions` (earlier `content`s, each `at` its Date) once edited, `reply_to` (ObjectId),
//!   `mentions`, `reactions` (`user`, `emoji`), `pin` (`pinned`, `by`, `at`); and for those who
//!   catch up `parties` (both users, or the group) and `version` (see [`changes`]).
//! - `messages`, too: the stubs of deleted messages, `_id` and `tombstone` (Date of the deletion),
//!   with `from_user_id` and `client_id` where the message had them, `parties` and `version`. A
//!   stub holds its `_id` against the message's own insert; it goes by itself
//!   ([`indexes::TOMBSTONE`]).
//! - `groups`: `_id`, `name`, `member_ids`, `created_by`, `created_at`; and, where there is
//!   something to say, `owner_id` (else `created_by` is the owner), `admin_ids`, `silenced`
//!   (`user_id`, `until`: a Date, or null for good).
//! - `read_cursors`: `_id: {user, group}`, `position: {timestamp, message_id}`, `user`, `version`;
//!   ours alone.
//! - `group_changes`: `_id: {group, party}`, `party` (a user who has entered or left, or the group
//!   itself), `group`, `version`, and `at` (Date), with which it goes by itself; ours alone.
//! - `invitations`: `_id` the token, `group_id`, `created_by`, `created_at`, `expires_at` (Dates),
//!   `max_uses` (null where there is no limit), `uses`; each goes by itself. Ours alone.
//! - `mutes`: `_id: {user, group}`, `user`, `group`, `muted` (false once taken back), `until` (a
//!   Date, or null for good), `version`; ours alone.
//! - `accounts`: `_id` the user, `username`, `email`, `username_key` and `email_key` (the same for all
//!   spellings), `password` (a PHC string), `created_at` (Date); ours alone.
//! - `sessions`: `_id` ObjectId, `user`, `secret` and `previous` (Binary, SHA-256; the latter once
//!   there is one), `rotated_at`, `created_at`, `expires_at`, with which it goes by itself, and
//!   `ended_at` once it was ended (Dates); ours alone.
//! - `revocations`: `_id` the user, `void_until` (Date), `banned`, and `forget_at` (Date), with which
//!   it goes by itself, unless the user is banned; ours alone.
//! - `erasures`: `_id` the user, `alias`, `begun_at` (Date); ours alone.
//! - `presence`: `_id` the user, `last_seen` (Date); ours alone.
//! - `search`: `_id` of a message, its `timestamp`, `group_id` and `edited_at`, the `keys` of its
//!   words and those of its `parties`; ours alone. `search_state`: how far all messages have been
//!   looked at for it.
//!
//! The driver connects by itself and goes on looking for a server that is away; calls fail with
//! [`crate::store::StoreError::Transient`] meanwhile.

pub mod accounts;
pub mod attached;
pub mod blocks;
pub mod changes;
pub mod chats;
mod claims;
mod connection;
mod documents;
mod errors;
mod fence;
mod groups;
mod health;
pub mod indexes;
pub mod invitations;
mod json;
pub mod mutes;
mod options;
mod pool;
pub mod presence;
pub mod privacy;
pub mod queries;
mod reads;
pub mod rooms;
pub mod search;
pub mod sessions;
mod statements;
mod write;

use std::sync::Arc;

use async_trait::async_trait;
use bson::RawDocumentBuf;
use bson::oid::ObjectId;
use mongodb::options::{Acknowledgment, WriteConcern};
use mongodb::{Client, Collection, Database};
use parking_lot::Mutex;
use tokio::sync::OnceCell;
use tokio::time::Instant;

pub use options::{Config, Durability, InvalidDurability, MongoUrl};

use self::connection::{READ_LIMIT, WRITE_LIMIT};
use self::pool::PoolWatch;
use super::{
    Applied, Backlog, Changes, ChangesQuery, HistoryQuery, Hits, MembershipChange, PoolGauges,
    Result, SearchQuery, Store, StoreHealth,
};
use crate::model::{
    Batch, Block, Chat, ClientId, Conversation, Group, GroupChange, GroupId, GroupSummary,
    Invitation, Message, MessageId, MessageRef, Position, Room, Timestamp, Token, Unread, Until,
    UserId,
};

const MESSAGES: &str = "messages";
const GROUPS: &str = "groups";
const READ_CURSORS: &str = "read_cursors";
const SEARCH: &str = "search";
const SEARCH_STATE: &str = "search_state";
const GROUP_CHANGES_LOG: &str = "group_changes";
const PRESENCE: &str = "presence";
const BLOCKS: &str = "blocks";
const INVITATIONS: &str = "invitations";
const MUTES: &str = "mutes";
const ACCOUNTS: &str = "accounts";
const SESSIONS: &str = "sessions";
const REVOCATIONS: &str = "revocations";
const ERASURES: &str = "erasures";
const CLAIMS: &str = "claims";
const FENCE: &str = "history_fence";

/// The most groups of one user that are looked at.
const MAX_GROUPS: usize = 10_000;
/// Ranges of an index that one query asks for: so many the server merges without sorting.
const MAX_RANGES: usize = 100;

/// The store in MongoDB.
#[derive(Debug)]
pub struct MongoStore {
    config: Config,
    label: String,
    pool: Arc<PoolWatch>,
    place: OnceCell<Place>,
    /// Set once the indexes are there that keep accounts apart.
    accounts_apart: OnceCell<()>,
    /// Where a sweep for the search index is.
    swept: Mutex<Option<ObjectId>>,
    /// Since when a batch is being written.
    writing_since: Mutex<Option<Instant>>,
}

/// The database and what is in it. Documents are read raw, so that one that can't be decoded does
/// not hide the others.
#[derive(Debug)]
struct Place {
    client: Client,
    database: Database,
    messages: Collection<RawDocumentBuf>,
    groups: Collection<RawDocumentBuf>,
    write_concern: WriteConcern,
}

#[async_trait]
impl Store for MongoStore {
    fn describe(&self) -> String {
        self.label.clone()
    }

    fn write_concern(&self) -> String {
        match self.place.get().and_then(|place| place.write_concern.w.as_ref()) {
            Some(Acknowledgment::Nodes(servers)) => servers.to_string(),
            Some(Acknowledgment::Custom(tags)) => tags.clone(),
            Some(_) => Durability::Majority.to_string(),
            None => self.config.write_concern.to_string(),
        }
    }

    async fn prepare(&self) -> Result<()> {
        self.make_indexes().await
    }

    async fn apply(&self, batch: &Batch) -> Result<Applied> {
        // A call that is given up may still be at work at the server: only one that is answered
        // ends.
        self.writing_since.lock().get_or_insert_with(Instant::now);
        let applied = self.write_batch(batch).await?;
        *self.writing_since.lock() = None;
        Ok(applied)
    }

    async fn message(&self, id: &MessageRef) -> Result<Option<Message>> {
        self.find_message(id).await
    }

    async fn sent_as(&self, user: &UserId, client_id: &ClientId) -> Result<Option<MessageId>> {
        self.find_sent_as(user, client_id).await
    }

    async fn claim(
        &self,
        user: &UserId,
        client_id: &ClientId,
        id: MessageId,
        at: Timestamp,
    ) -> Result<MessageId> {
        self.claim_client_id(user, client_id, id, at).await
    }

    async fn sent_at(&self, id: MessageId) -> Result<Option<Timestamp>> {
        self.find_sent_at(id).await
    }

    async fn history(&self, query: &HistoryQuery) -> Result<Vec<Message>> {
        self.page(query).await
    }

    async fn replies(&self, root: MessageId, query: &HistoryQuery) -> Result<Vec<Message>> {
        self.read_page(attached::replies(root, query), query).await
    }

    async fn reply_counts(
        &self,
        roots: &[MessageId],
        except: &[MessageId],
    ) -> Result<Vec<(MessageId, usize)>> {
        self.count_replies(roots, except).await
    }

    async fn pins(&self, conversation: &Conversation, limit: usize) -> Result<Vec<Message>> {
        self.find_pins(conversation, limit).await
    }

    async fn names_media(&self, url: &str) -> Result<bool> {
        Ok(!self.find_on_primary(&attached::named_media(url)).await?.is_empty())
    }

    async fn changes(&self, query: &ChangesQuery) -> Result<Changes> {
        self.find_changes(query).await
    }

    async fn chats(
        &self,
        user: &UserId,
        before: Option<Position>,
        limit: usize,
    ) -> Result<Vec<Chat>> {
        self.find_chats(user, before, limit).await
    }

    async fn group_ids_of(&self, user: &UserId, limit: usize) -> Result<Vec<GroupId>> {
        self.find_group_ids(&queries::group_ids_of(user, limit)).await
    }

    async fn unread(
        &self,
        user: &UserId,
        until: Option<Position>,
        except: &[GroupId],
    ) -> Result<Unread> {
        self.count_unread(user, until, except).await
    }

    async fn index(&self, batches: &[Arc<Batch>]) -> Result<()> {
        self.file_batches(batches).await
    }

    async fn search(&self, query: &SearchQuery) -> Result<Hits> {
        self.find_fitting(query).await
    }

    async fn index_backlog(&self) -> Result<Backlog> {
        self.sweep().await
    }

    async fn create_group(&self, group: &Group) -> Result<()> {
        self.insert_group(group).await
    }

    async fn group(&self, id: GroupId) -> Result<Option<Group>> {
        Ok(self.find_groups(&queries::group_by_id(id)).await?.pop())
    }

    async fn change_group(&self, id: GroupId, change: &GroupChange) -> Result<bool> {
        self.alter_group(id, change).await
    }

    async fn create_invitation(&self, invitation: &Invitation) -> Result<()> {
        self.insert_invitation(invitation).await
    }

    async fn invitation(&self, token: &Token) -> Result<Option<Invitation>> {
        self.find_invitation(token).await
    }

    async fn invitations(
        &self,
        group: GroupId,
        now: Timestamp,
        limit: usize,
    ) -> Result<Vec<Invitation>> {
        self.find_invitations(group, now, limit).await
    }

    async fn use_invitation(&self, token: &Token, now: Timestamp) -> Result<bool> {
        self.count_use(token, now).await
    }

    async fn end_invitation(&self, token: &Token, now: Timestamp) -> Result<()> {
        self.expire_invitation(token, now).await
    }

    async fn mute(&self, user: &UserId, group: GroupId, until: Option<Until>) -> Result<()> {
        self.set_mute(user, group, until).await
    }

    async fn mutes(&self, user: &UserId, limit: usize) -> Result<Vec<(GroupId, Until)>> {
        self.find_mutes(user, limit).await
    }

    async fn group_head(&self, id: GroupId) -> Result<Option<Group>> {
        Ok(self.find_groups(&queries::group_head(id)).await?.pop())
    }

    async fn group_summary(&self, id: GroupId, members: usize) -> Result<Option<GroupSummary>> {
        Ok(self.find_summaries(&[id], members).await?.pop())
    }

    async fn groups_of(&self, user: &UserId, limit: usize) -> Result<Vec<Group>> {
        self.find_groups(&queries::groups_of(user, limit)).await
    }

    async fn search_groups(
        &self,
        text: &str,
        viewer: Option<&UserId>,
        limit: usize,
    ) -> Result<Vec<Group>> {
        self.find_named(text, viewer, limit).await
    }

    async fn rooms(
        &self,
        viewer: &UserId,
        before: Option<(Timestamp, GroupId)>,
        limit: usize,
    ) -> Result<Vec<Room>> {
        self.find_rooms(viewer, before, limit).await
    }

    async fn add_member(&self, group: GroupId, user: &UserId) -> Result<MembershipChange> {
        self.change_members(group, user, statements::new_member(user)).await
    }

    async fn remove_member(&self, group: GroupId, user: &UserId) -> Result<MembershipChange> {
        self.change_members(group, user, statements::no_member(user)).await
    }

    async fn delete_group(&self, id: GroupId) -> Result<bool> {
        self.remove_group(id).await
    }

    async fn peers(&self, user: &UserId, limit: usize) -> Result<Vec<UserId>> {
        self.find_peers(user, limit).await
    }

    async fn readers(
        &self,
        group: GroupId,
        from: Position,
        limit: usize,
    ) -> Result<Vec<(UserId, Position)>> {
        self.find_readers(group, from, limit).await
    }

    async fn small_groups_of(
        &self,
        user: &UserId,
        members: usize,
        limit: usize,
    ) -> Result<Vec<GroupId>> {
        self.find_small_groups(user, members, limit).await
    }

    async fn block(&self, user: &UserId, block: &Block) -> Result<()> {
        self.add_block(user, block).await
    }

    async fn unblock(&self, user: &UserId, other: &UserId) -> Result<()> {
        self.remove_block(user, other).await
    }

    async fn blocks(&self, user: &UserId, limit: usize) -> Result<Vec<Block>> {
        self.find_blocks(user, limit).await
    }

    async fn seen(&self, users: &[(UserId, Timestamp)]) -> Result<()> {
        self.mark_seen(users).await
    }

    async fn last_seen(&self, users: &[UserId]) -> Result<Vec<(UserId, Timestamp)>> {
        self.find_last_seen(users).await
    }

    async fn health(&self) -> Result<StoreHealth> {
        self.take_health().await
    }

    fn pool(&self) -> Option<PoolGauges> {
        Some(self.pool.gauges())
    }

    async fn close(&self) {
        if let Some(place) = self.place.get() {
            place.client.clone().shutdown().immediate(true).await;
        }
    }
}
