//! Reading back.

use super::Chat;
use crate::error::Error;
use crate::model::{Conversation, Message, Op, UserId};
use crate::store::HistoryQuery;

impl Chat {
    /// Most messages of one page.
    pub const MAX_PAGE: usize = 200;

    /// The newest messages of a conversation, newest first, without those that the viewer has
    /// hidden; a group's only for its members. Marks as read by the viewer what it returns.
    pub async fn history(
        &self,
        viewer: &UserId,
        conversation: Conversation,
        limit: usize,
    ) -> Result<Vec<Message>, Error> {
        if let Conversation::Group(group) = conversation
            && !self.is_member(group, viewer).await?
        {
            return Err(Error::Forbidden("You are not a member of this group".into()));
        }
        let page = self.page(viewer, conversation.clone(), limit).await?;
        self.mark_page_read(viewer, conversation, &page).await;
        Ok(page)
    }

    async fn page(
        &self,
        viewer: &UserId,
        conversation: Conversation,
        limit: usize,
    ) -> Result<Vec<Message>, Error> {
        let pending = self.buffer.pending(&conversation);
        let query = HistoryQuery {
            conversation,
            viewer: viewer.clone(),
            before: None,
            limit: limit + pending.removals(),
        };
        let stored = match self.store.history(&query).await {
            Ok(stored) => stored,
            // A dead database is not an outage: what was said since it went is still here.
            Err(error) if error.is_transient() && !pending.is_empty() => Vec::new(),
            Err(error) => return Err(error.into()),
        };
        Ok(pending.merge(stored, viewer, None, limit))
    }

    /// A page that can't be marked (the buffer is full) is a page all the same.
    async fn mark_page_read(&self, viewer: &UserId, conversation: Conversation, page: &[Message]) {
        let unread = |m: &&Message| m.from != *viewer && !m.read_by.contains(viewer);
        let Some(newest) = page.iter().find(unread) else { return };
        let op = Op::Read {
            conversation,
            messages: page.iter().filter(unread).map(|m| m.id).collect(),
            reader: viewer.clone(),
            up_to: newest.position(),
        };
        if let Ok(receipt) = self.buffer.accept(op, None) {
            let _ = receipt.durable().await;
        }
    }
}
