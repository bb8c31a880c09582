//! Threads: a message and the replies to it.
//!
//! A thread is one level deep: a reply to a reply belongs to the same root.

use std::collections::HashMap;
use std::sync::Arc;

use super::{Chat, Page, no_message, not_a_member};
use crate::error::Error;
use crate::model::{Conversation, Message, MessageId, MessageRef, Target, UserId};
use crate::store::{HistoryQuery, Range};

/// A message and a page of its replies.
#[derive(Debug)]
pub struct Thread {
    /// The message that was answered.
    pub root: Message,
    /// Replies, newest first.
    pub replies: Vec<Arc<Message>>,
    /// How many there are, whoever sees them, up to [`crate::store::REPLIES_EXACT_TO`].
    pub reply_count: usize,
}

impl Chat {
    /// The thread that a message begins or belongs to, for who sees its root.
    ///
    /// # Errors
    /// [`Error::NotFound`] where the root is deleted, hidden or was never there, or where the page
    /// leads nowhere, and for who is no party of it; [`Error::Invalid`] for a page around a
    /// message, [`Error::Unavailable`] while the store is away.
    pub async fn thread(
        &self,
        viewer: &UserId,
        id: &MessageRef,
        page: &Page,
        limit: usize,
    ) -> Result<Thread, Error> {
        let mut root = self.find(id).await?;
        if let Some(first) = root.reply_to {
            self.check_party(&root, viewer).await?;
            root = self.find(&first.into()).await?;
        }
        self.check_sees(&root, viewer).await?;
        let conversation = root.conversation();
        let range = match page {
            Page::Newest => Range::Newest,
            Page::Before(id) => Range::Before(self.place_of(&conversation, id).await?.end()),
            Page::After(id) => Range::After(self.place_of(&conversation, id).await?.start()),
            Page::Around(_) => {
                return Err(Error::Invalid("a thread is read before or after a message".into()));
            }
        };
        let counts = self.buffer.reply_counts(&conversation, &[root.id]).await?;
        let viewer = Some(viewer.clone());
        let query = HistoryQuery { conversation, viewer, range, limit };
        let replies = self.buffer.replies(root.id, &query).await?;
        let reply_count = counts.get(&root.id).copied().unwrap_or_default();
        Ok(Thread { root, replies, reply_count })
    }

    /// How many replies those rows of a conversation have that have any. While the store is away,
    /// or slow to answer, nobody knows.
    pub async fn reply_counts(
        &self,
        conversation: &Conversation,
        rows: &[Arc<Message>],
    ) -> HashMap<MessageId, usize> {
        let roots = rows.iter().filter(|row| row.reply_to.is_none()).map(|row| row.id);
        let roots: Vec<_> = roots.collect();
        if roots.is_empty() {
            return HashMap::new();
        }
        self.buffer.reply_counts(conversation, &roots).await.unwrap_or_default()
    }

    /// The root of the thread that a new message belongs to: the message that it answers, or the
    /// one that this answers itself.
    pub(super) async fn root_of(
        &self,
        from: &UserId,
        target: &Target,
        id: &MessageRef,
    ) -> Result<MessageId, Error> {
        let conversation = match target {
            Target::User(to) => Conversation::direct(from.clone(), to.clone()),
            Target::Group(group) if self.is_member(*group, from).await? => {
                Conversation::Group(*group)
            }
            Target::Group(_) => return Err(not_a_member()),
        };
        let answered = self.find(id).await?;
        if answered.conversation() == conversation && !answered.is_hidden_for(from) {
            return Ok(answered.reply_to.unwrap_or(answered.id));
        }
        Err(no_message())
    }
}
