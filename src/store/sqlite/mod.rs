//! The embedded store: SQLite, one file, nothing to install.
//!
//! One connection writes and a few read; each call is one transaction on a blocking thread, so a
//! batch is stored whole or not at all. The log is written ahead (WAL), so readers and the writer
//! never wait for each other, and a commit is on the disk before [`Store::apply`] returns.

mod accounts;
mod attached;
mod blocks;
mod changes;
mod chats;
mod connections;
mod errors;
mod groups;
mod health;
mod invitations;
mod messages;
mod mutes;
mod presence;
mod privacy;
mod roles;
mod rows;
mod schema;
mod search;
mod statements;
mod unread;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use anyhow::Context;
use async_trait::async_trait;

use self::connections::{Access, Connections};
use super::{
    Applied, Backlog, Changes, ChangesQuery, HistoryQuery, Hits, MembershipChange, PoolGauges,
    Result, SearchQuery, Store, StoreError, StoreHealth,
};
use crate::model::{
    Batch, Block, Chat, ClientId, Conversation, Group, GroupChange, GroupId, GroupSummary,
    Invitation, Message, MessageId, MessageRef, Position, Room, Timestamp, Token, Unread, Until,
    UserId,
};

/// Connections that read. Queries are short and mostly served from memory; more would only take
/// turns on the processors.
const READERS: u32 = 4;

/// Messages and groups in one SQLite file.
#[derive(Debug)]
pub struct SqliteStore {
    path: PathBuf,
    writer: Arc<Connections>,
    readers: Arc<Connections>,
}

impl SqliteStore {
    /// Opens a file, or makes an empty one, in a folder that is made where it is missing. Tables
    /// come with [`Store::prepare`]. Blocks on the disk for a moment: call it before serving.
    ///
    /// # Errors
    /// [`StoreError::Configuration`] when the file can't be opened, is not a database, or was laid
    /// out by a newer server.
    pub fn open(path: &Path) -> Result<Self> {
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)
                .with_context(|| format!("can't make the folder {}", folder.display()))
                .map_err(StoreError::Configuration)?;
        }
        let writer = Connections::new(path.to_owned(), Access::Write, 1);
        let connection = writer.connect()?;
        schema::check(&connection)?;
        writer.put(connection);
        let readers = Connections::new(path.to_owned(), Access::Read, READERS);
        Ok(Self { path: path.to_owned(), writer: Arc::new(writer), readers: Arc::new(readers) })
    }
}

#[async_trait]
impl Store for SqliteStore {
    fn describe(&self) -> String {
        format!("SQLite at {}", self.path.display())
    }

    fn write_concern(&self) -> String {
        "disk".to_owned()
    }

    async fn prepare(&self) -> Result<()> {
        self.writer.run(schema::lay_out).await
    }

    async fn apply(&self, batch: &Batch) -> Result<Applied> {
        let batch = batch.clone();
        self.writer.run(move |transaction| messages::apply(transaction, &batch)).await
    }

    async fn message(&self, id: &MessageRef) -> Result<Option<Message>> {
        let id = id.clone();
        self.readers.run(move |transaction| messages::find(transaction, &id)).await
    }

    async fn sent_as(&self, user: &UserId, client_id: &ClientId) -> Result<Option<MessageId>> {
        let (user, client_id) = (user.clone(), client_id.clone());
        self.readers.run(move |transaction| messages::sent_as(transaction, &user, &client_id)).await
    }

    async fn sent_at(&self, id: MessageId) -> Result<Option<Timestamp>> {
        self.readers.run(move |transaction| messages::sent_at(transaction, id)).await
    }

    async fn history(&self, query: &HistoryQuery) -> Result<Vec<Message>> {
        let query = query.clone();
        self.readers.run(move |transaction| messages::history(transaction, &query)).await
    }

    async fn replies(&self, root: MessageId, query: &HistoryQuery) -> Result<Vec<Message>> {
        let query = query.clone();
        self.readers.run(move |transaction| attached::replies(transaction, root, &query)).await
    }

    async fn reply_counts(
        &self,
        roots: &[MessageId],
        except: &[MessageId],
    ) -> Result<Vec<(MessageId, usize)>> {
        let (roots, except) = (roots.to_vec(), except.to_vec());
        let count = move |transaction: &rusqlite::Transaction<'_>| {
            attached::reply_counts(transaction, &roots, &except)
        };
        self.readers.run(count).await
    }

    async fn pins(&self, conversation: &Conversation, limit: usize) -> Result<Vec<Message>> {
        let of = conversation.clone();
        self.readers.run(move |transaction| attached::pins(transaction, &of, limit)).await
    }

    async fn names_media(&self, url: &str) -> Result<bool> {
        let url = url.to_owned();
        self.readers.run(move |transaction| attached::names_media(transaction, &url)).await
    }

    async fn changes(&self, query: &ChangesQuery) -> Result<Changes> {
        let query = query.clone();
        self.readers.run(move |transaction| changes::since(transaction, &query)).await
    }

    async fn chats(
        &self,
        user: &UserId,
        before: Option<Position>,
        limit: usize,
    ) -> Result<Vec<Chat>> {
        let user = user.clone();
        self.readers.run(move |transaction| chats::list(transaction, &user, before, limit)).await
    }

    async fn group_ids_of(&self, user: &UserId, limit: usize) -> Result<Vec<GroupId>> {
        let user = user.clone();
        self.readers.run(move |transaction| groups::ids_of_user(transaction, &user, limit)).await
    }

    async fn unread(
        &self,
        user: &UserId,
        until: Option<Position>,
        except: &[GroupId],
    ) -> Result<Unread> {
        let (user, except) = (user.clone(), except.iter().copied().collect());
        self.readers.run(move |transaction| unread::count(transaction, &user, until, &except)).await
    }

    async fn index(&self, _: &[Arc<Batch>]) -> Result<()> {
        // It is written in the batch's own transaction.
        Ok(())
    }

    async fn search(&self, query: &SearchQuery) -> Result<Hits> {
        let query = query.clone();
        self.readers.run(move |transaction| search::search(transaction, &query)).await
    }

    async fn index_backlog(&self) -> Result<Backlog> {
        self.writer.run(search::index_backlog).await
    }

    async fn create_group(&self, group: &Group) -> Result<()> {
        let group = group.clone();
        self.writer.run(move |transaction| groups::create(transaction, &group)).await
    }

    async fn group(&self, id: GroupId) -> Result<Option<Group>> {
        self.readers.run(move |transaction| groups::find(transaction, id)).await
    }

    async fn change_group(&self, id: GroupId, change: &GroupChange) -> Result<bool> {
        let change = change.clone();
        self.writer.run(move |transaction| roles::change(transaction, id, &change)).await
    }

    async fn create_invitation(&self, invitation: &Invitation) -> Result<()> {
        let invitation = invitation.clone();
        self.writer.run(move |transaction| invitations::create(transaction, &invitation)).await
    }

    async fn invitation(&self, token: &Token) -> Result<Option<Invitation>> {
        let token = token.clone();
        self.readers.run(move |transaction| invitations::find(transaction, &token)).await
    }

    async fn invitations(
        &self,
        group: GroupId,
        now: Timestamp,
        limit: usize,
    ) -> Result<Vec<Invitation>> {
        self.readers.run(move |transaction| invitations::into(transaction, group, now, limit)).await
    }

    async fn use_invitation(&self, token: &Token, now: Timestamp) -> Result<bool> {
        let token = token.clone();
        self.writer.run(move |transaction| invitations::count_use(transaction, &token, now)).await
    }

    async fn end_invitation(&self, token: &Token, now: Timestamp) -> Result<()> {
        let token = token.clone();
        self.writer.run(move |transaction| invitations::end(transaction, &token, now)).await
    }

    async fn mute(&self, user: &UserId, group: GroupId, until: Option<Until>) -> Result<()> {
        let user = user.clone();
        self.writer.run(move |transaction| mutes::set(transaction, &user, group, until)).await
    }

    async fn mutes(&self, user: &UserId, limit: usize) -> Result<Vec<(GroupId, Until)>> {
        let user = user.clone();
        self.readers.run(move |transaction| mutes::of_user(transaction, &user, limit)).await
    }

    async fn group_head(&self, id: GroupId) -> Result<Option<Group>> {
        self.readers.run(move |transaction| groups::find_without_members(transaction, id)).await
    }

    async fn group_summary(&self, id: GroupId, members: usize) -> Result<Option<GroupSummary>> {
        self.readers.run(move |transaction| groups::summary(transaction, id, members)).await
    }

    async fn groups_of(&self, user: &UserId, limit: usize) -> Result<Vec<Group>> {
        let user = user.clone();
        self.readers.run(move |transaction| groups::of_user(transaction, &user, limit)).await
    }

    async fn search_groups(
        &self,
        text: &str,
        viewer: Option<&UserId>,
        limit: usize,
    ) -> Result<Vec<Group>> {
        let (text, viewer) = (text.to_owned(), viewer.cloned());
        let find = move |transaction: &rusqlite::Transaction<'_>| {
            groups::search(transaction, &text, viewer.as_ref(), limit)
        };
        self.readers.run(find).await
    }

    async fn rooms(
        &self,
        viewer: &UserId,
        before: Option<(Timestamp, GroupId)>,
        limit: usize,
    ) -> Result<Vec<Room>> {
        let viewer = viewer.clone();
        let find = move |transaction: &rusqlite::Transaction<'_>| {
            groups::rooms(transaction, &viewer, before, limit)
        };
        self.readers.run(find).await
    }

    async fn add_member(&self, group: GroupId, user: &UserId) -> Result<MembershipChange> {
        let user = user.clone();
        self.writer.run(move |transaction| groups::add_member(transaction, group, &user)).await
    }

    async fn remove_member(&self, group: GroupId, user: &UserId) -> Result<MembershipChange> {
        let user = user.clone();
        self.writer.run(move |transaction| groups::remove_member(transaction, group, &user)).await
    }

    async fn delete_group(&self, id: GroupId) -> Result<bool> {
        self.writer.run(move |transaction| groups::delete(transaction, id)).await
    }

    async fn peers(&self, user: &UserId, limit: usize) -> Result<Vec<UserId>> {
        let user = user.clone();
        self.readers.run(move |transaction| presence::peers(transaction, &user, limit)).await
    }

    async fn readers(
        &self,
        group: GroupId,
        from: Position,
        limit: usize,
    ) -> Result<Vec<(UserId, Position)>> {
        self.readers.run(move |transaction| unread::readers(transaction, group, from, limit)).await
    }

    async fn small_groups_of(
        &self,
        user: &UserId,
        members: usize,
        limit: usize,
    ) -> Result<Vec<GroupId>> {
        let user = user.clone();
        let find = move |transaction: &rusqlite::Transaction<'_>| {
            presence::small_groups_of(transaction, &user, members, limit)
        };
        self.readers.run(find).await
    }

    async fn block(&self, user: &UserId, block: &Block) -> Result<()> {
        let (user, block) = (user.clone(), block.clone());
        self.writer.run(move |transaction| blocks::add(transaction, &user, &block)).await
    }

    async fn unblock(&self, user: &UserId, other: &UserId) -> Result<()> {
        let (user, other) = (user.clone(), other.clone());
        self.writer.run(move |transaction| blocks::remove(transaction, &user, &other)).await
    }

    async fn blocks(&self, user: &UserId, limit: usize) -> Result<Vec<Block>> {
        let user = user.clone();
        self.readers.run(move |transaction| blocks::of_user(transaction, &user, limit)).await
    }

    async fn seen(&self, users: &[(UserId, Timestamp)]) -> Result<()> {
        let users = users.to_vec();
        self.writer.run(move |transaction| presence::seen(transaction, &users)).await
    }

    async fn last_seen(&self, users: &[UserId]) -> Result<Vec<(UserId, Timestamp)>> {
        let users = users.to_vec();
        self.readers.run(move |transaction| presence::last_seen(transaction, &users)).await
    }

    async fn health(&self) -> Result<StoreHealth> {
        let start = Instant::now();
        let (messages_count, groups_count) = self.readers.run(health::counts).await?;
        let round_trip = start.elapsed();
        let indexes = self.readers.run(health::indexes).await?;
        Ok(StoreHealth { messages_count, groups_count, indexes, round_trip })
    }

    fn pool(&self) -> Option<PoolGauges> {
        Some(self.readers.gauges())
    }

    async fn close(&self) {
        self.readers.close().await;
        self.writer.close().await;
    }
}

/// A limit as SQLite takes it; the largest there is stands for "all".
fn limit_to_sql(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}
