//! Searching in what a user may see.

use std::time::Duration;

use super::{Chat, not_a_member};
use crate::error::Error;
use crate::model::{Conversation, Message, MessageId, MessageRef, Position, UserId};
use crate::search::{self, Words};
use crate::store::{Hits, SearchQuery};

/// How long a search waits until what was accepted before it is stored.
const SETTLE_LIMIT: Duration = Duration::from_secs(5);

/// Of how many of the newest messages that fit the best are chosen.
const RANKED: usize = 200;

/// What is searched for, and where.
#[derive(Debug, Clone)]
pub struct Search {
    /// What has to be in a message.
    pub words: Words,
    /// Only in this conversation, where given.
    pub conversation: Option<Conversation>,
    /// Only from this user, where given.
    pub from: Option<UserId>,
    /// Only messages before this one, where given.
    pub before: Option<MessageRef>,
    /// The best of the newest instead of the newest.
    pub best_first: bool,
    /// How many at the most.
    pub limit: usize,
}

/// What a search has found.
#[derive(Debug, Clone, PartialEq)]
pub struct Found {
    /// The messages, each with its excerpt (HTML).
    pub messages: Vec<(Message, String)>,
    /// Whether there may be more.
    pub more: bool,
    /// Where to go on: with the messages before this one. None where the best were asked for.
    pub next: Option<MessageId>,
}

impl Chat {
    /// Most messages that one search answers.
    pub const MAX_FOUND: usize = 50;

    /// The messages with these words that a user may see, newest first or best first; what was
    /// accepted before is among them.
    pub async fn search(&self, viewer: &UserId, search: Search) -> Result<Found, Error> {
        if let Some(Conversation::Group(group)) = search.conversation
            && !self.is_member(group, viewer).await?
        {
            return Err(not_a_member());
        }
        let before = match &search.before {
            Some(id) => Some(self.end_of_search(viewer, id).await?),
            None => None,
        };
        self.settled_for(viewer).await?;
        let wanted = if search.best_first { RANKED } else { search.limit };
        let query = SearchQuery {
            viewer: viewer.clone(),
            words: search.words,
            conversation: search.conversation,
            from: search.from,
            before,
            limit: wanted + 1,
        };
        let Hits { messages: mut found, stopped_at } = self.store.search(&query).await?;
        if search.best_first {
            found.truncate(RANKED);
            // The sort is stable: of those that fit alike the newest comes first.
            found.sort_by_cached_key(|m| std::cmp::Reverse(query.words.score(&m.content)));
        }
        let is_full = found.len() > search.limit;
        found.truncate(search.limit);
        let next =
            if is_full { found.last().map(|last| last.id) } else { stopped_at.map(|at| at.1) };
        let excerpt = |message: Message| {
            let excerpt = search::excerpt(&query.words, &message.content);
            (message, excerpt)
        };
        Ok(Found {
            messages: found.into_iter().map(excerpt).collect(),
            more: next.is_some(),
            next: next.filter(|_| !search.best_first),
        })
    }

    /// The place before which to look, also when the message there is deleted by now.
    async fn end_of_search(&self, viewer: &UserId, id: &MessageRef) -> Result<Position, Error> {
        match self.buffer.message(id).await? {
            Some(message) => {
                self.check_party(&message, viewer).await?;
                Ok(message.position())
            }
            None => Ok(self.place_of_absent(id).await?.end()),
        }
    }

    /// Waits until what concerns a user is stored. A search, or an export, needs the store in any case, so laying
    /// what is pending over its answer, as history does, would gain nothing while it is away.
    pub(super) async fn settled_for(&self, user: &UserId) -> Result<(), Error> {
        let concerns = |conversation: &Conversation| match conversation {
            Conversation::Direct(low, high) => low == user || high == user,
            Conversation::Group(group) => {
                self.gate.enter(|inside| inside.is_member(*group, user)) != Some(false)
            }
        };
        let limit = if self.buffer.store_answers() { SETTLE_LIMIT } else { Duration::ZERO };
        if self.buffer.stored(concerns, limit).await {
            Ok(())
        } else {
            Err(Error::Unavailable(None))
        }
    }
}
