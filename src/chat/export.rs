//! All that is kept of a user, for the user.
//!
//! It is read a page at a time while it goes out, so that a user of many years costs no more memory
//! than one of a day. What is said meanwhile may be in it or not.

use std::collections::HashSet;
use std::sync::Arc;
use std::vec;

use parking_lot::Mutex;

use super::Chat;
use crate::error::Error;
use crate::model::{Conversation, GroupId, Kept, Message, Position, Role, UserId};
use crate::store::{HistoryQuery, Range, START};

/// Messages that are read at once.
const PAGE: usize = 200;
/// Groups that are looked at for one page.
const GROUPS_AT_ONCE: usize = 50;
/// The most of each kind that is no message, and the most users with whom one has a conversation.
const MOST: usize = 100_000;

/// Users whose export is under way.
#[derive(Debug, Default)]
pub(super) struct Exporting(Arc<Mutex<HashSet<UserId>>>);

/// A user's place among them, until it is dropped.
#[derive(Debug)]
struct Alone {
    of: Arc<Mutex<HashSet<UserId>>>,
    user: UserId,
}

impl Exporting {
    fn enter(&self, user: &UserId) -> Option<Alone> {
        let is_alone = self.0.lock().insert(user.clone());
        is_alone.then(|| Alone { of: Arc::clone(&self.0), user: user.clone() })
    }
}

impl Drop for Alone {
    fn drop(&mut self) {
        self.of.lock().remove(&self.user);
    }
}

/// An export that is under way.
#[derive(Debug)]
pub struct Export {
    alone: Alone,
    /// What was read before the first page.
    first: Vec<Kept>,
    groups: vec::IntoIter<GroupId>,
    /// With whom the user has a direct conversation; the user is one of them.
    peers: vec::IntoIter<UserId>,
    at: At,
}

/// Where an export is.
#[derive(Debug)]
enum At {
    /// Not among messages yet.
    Beginning,
    /// In a direct conversation, behind this place.
    Direct(Conversation, Position),
    /// Among what was said in groups, behind this place.
    InGroups(Position),
    /// At the end.
    End,
}

impl Chat {
    /// Begins to read all that is kept of a user here, one at a time of each user.
    ///
    /// # Errors
    /// [`Error::RateLimited`] while another one of the user is under way, [`Error::Unavailable`]
    /// also where what concerns the user waits to be stored.
    pub async fn export(&self, user: &UserId) -> Result<Export, Error> {
        let alone = self.exporting.enter(user);
        let alone =
            alone.ok_or(Error::RateLimited("Another export of yours is under way".into()))?;
        self.settled_for(user).await?;
        let mut peers = self.store.peers(user, MOST).await?;
        peers.push(user.clone());
        let groups = self.store.group_ids_of(user, MOST).await?;
        let first = self.small_things_of(user).await?;
        let (groups, peers) = (groups.into_iter(), peers.into_iter());
        Ok(Export { alone, first, groups, peers, at: At::Beginning })
    }

    async fn small_things_of(&self, user: &UserId) -> Result<Vec<Kept>, Error> {
        // For who is here, that is now.
        let seen = self.presence(std::slice::from_ref(user), None).await.into_iter();
        let seen = seen.filter(|presence| presence.last_seen.is_some()).map(Kept::Presence);
        let blocks = self.store.blocks(user, MOST).await?.into_iter().map(Kept::Block);
        let mutes = self.store.mutes(user, MOST).await?.into_iter();
        let traces = self.store.traces(user, MOST).await?;
        let mutes = mutes.map(|(group, until)| Kept::Mute(group, until));
        let cursors = traces.cursors.into_iter().map(|(group, place)| Kept::Cursor(group, place));
        let invitations = traces.invitations.into_iter().map(Kept::Invitation);
        Ok(seen.chain(blocks).chain(mutes).chain(cursors).chain(invitations).collect())
    }

    /// The next part of an export; `None` behind the last one. A part may be empty.
    ///
    /// # Errors
    /// [`Error::Unavailable`]: the export is not whole.
    pub async fn next_of_export(&self, export: &mut Export) -> Result<Option<Vec<Kept>>, Error> {
        if !export.first.is_empty() {
            return Ok(Some(std::mem::take(&mut export.first)));
        }
        if export.groups.len() > 0 {
            return self.groups_of_export(export).await.map(Some);
        }
        match &export.at {
            At::Beginning => export.go_on(),
            At::Direct(conversation, after) => {
                let query = HistoryQuery {
                    conversation: conversation.clone(),
                    viewer: None,
                    range: Range::After(*after),
                    limit: PAGE,
                };
                let mut rows = self.store.history(&query).await?;
                rows.reverse();
                match rows.last() {
                    Some(last) if rows.len() == PAGE => {
                        export.at = At::Direct(query.conversation, last.position());
                    }
                    _ => export.go_on(),
                }
                let user = &export.alone.user;
                rows.retain(|row| row.from == *user || !row.is_hidden_for(user));
                return self.kept_messages(user, rows).await.map(Some);
            }
            At::InGroups(after) => {
                let rows = self.store.group_messages_of(&export.alone.user, *after, PAGE).await?;
                export.at = match rows.last() {
                    Some(last) if rows.len() == PAGE => At::InGroups(last.position()),
                    _ => At::End,
                };
                return self.kept_messages(&export.alone.user, rows).await.map(Some);
            }
            At::End => return Ok(None),
        }
        Ok(Some(Vec::new()))
    }

    /// What a user has sent, with what it said before it was edited, and was sent.
    async fn kept_messages(&self, user: &UserId, rows: Vec<Message>) -> Result<Vec<Kept>, Error> {
        let mut kept = Vec::with_capacity(rows.len());
        for row in rows {
            if row.from != *user {
                kept.push(Kept::Received(row.into()));
                continue;
            }
            // A page comes without earlier contents. What was deleted meanwhile stays as it was read.
            let whole = match row.edited_at {
                Some(_) => self.store.message(&row.id.into()).await?,
                None => None,
            };
            kept.push(Kept::Sent(whole.unwrap_or(row).into()));
        }
        Ok(kept)
    }

    async fn groups_of_export(&self, export: &mut Export) -> Result<Vec<Kept>, Error> {
        let mut found = Vec::new();
        for id in export.groups.by_ref().take(GROUPS_AT_ONCE) {
            // One that was deleted in the meantime is no group of the user's any more.
            let Some(group) = self.store.group_head(id).await? else { continue };
            let role = group.role(&export.alone.user, true).unwrap_or(Role::Member);
            found.push(Kept::Group(Box::new(group), role));
        }
        Ok(found)
    }
}

impl Export {
    /// Whose it is.
    pub fn user(&self) -> &UserId {
        &self.alone.user
    }

    /// Goes to the next conversation.
    fn go_on(&mut self) {
        self.at = match self.peers.next() {
            Some(peer) => At::Direct(Conversation::direct(self.alone.user.clone(), peer), START),
            None => At::InGroups(START),
        };
    }
}
