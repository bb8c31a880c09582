//! A message that is sent again is the message that was sent.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{join, try_join};
use parking_lot::Mutex;
use tokio::time::{Instant, sleep, timeout};

use super::{Accepted, Chat};
use crate::buffer::{SentAs, Sequence};
use crate::error::Error;
use crate::model::{ClientId, Message, MessageId, UserId};
use crate::store::StoreError;

/// How long a send waits to hear whether it is a repeated one. A store that takes longer is in
/// trouble, and a dead database must not hold up who sends something new; its unique index still
/// keeps the message from being stored twice.
const LOOK_LIMIT: Duration = Duration::from_secs(1);

/// How long nobody looks after somebody has waited in vain, unless something is stored meanwhile: as
/// long as the store's own calls may take, so that by then the flusher knows whether the store is away.
const SILENCE: Duration = Duration::from_secs(5);

/// How long a message is waited for that another node has begun to accept, and how often it is looked
/// for.
const CLAIM_WAIT: Duration = Duration::from_secs(1);
const CLAIM_POLL: Duration = Duration::from_millis(10);

/// Since when the store has not said whether a message was sent before, and what was stored by then.
#[derive(Default)]
pub(super) struct Looks(Mutex<Option<(Instant, Sequence)>>);

impl Looks {
    /// Whether to look, when all up to `stored` is stored. What left the buffer since a look in vain is
    /// nowhere else to be found; and the store has answered since.
    fn are_of_use(&self, stored: Sequence) -> bool {
        self.0.lock().is_none_or(|(since, before)| stored > before || since.elapsed() >= SILENCE)
    }

    /// What became of a look that began when all up to `stored` was stored.
    fn note(&self, answered: bool, stored: Sequence) {
        *self.0.lock() = (!answered).then(|| (Instant::now(), stored));
    }
}

/// What a send under a client id is.
pub(super) enum Sent {
    /// A repeated one; the first one.
    Before(Accepted<Arc<Message>>),
    /// A new one, with the id that was claimed for it, where several nodes have to agree.
    Never(Option<MessageId>),
}

impl Chat {
    /// Whether a user has sent a message under this client id: it is in the buffer, here or on another
    /// node, lately stored, or in the store. While the store does not answer, only the buffers and what
    /// was stored lately are looked at.
    ///
    /// # Errors
    /// [`Error::Unavailable`] where it was sent before, and can't be read now; [`Error::NotFound`] where it
    /// is there no more.
    pub(super) async fn sent_before(&self, user: &UserId, id: &ClientId) -> Result<Sent, Error> {
        if let Some(first) = self.sent_lately(user, id).await? {
            return Ok(first);
        }
        let now = self.now();
        let mint = || self.gate.enter(|inside| inside.stamp().mint(now));
        let minted = (!self.cluster.is_alone()).then(mint);
        let Some((stored, claimed)) = self.look(user, id, minted).await? else {
            // Those who can be asked are the other nodes.
            let claimed = match minted {
                Some(minted) => self.cluster.claim(user, id, minted).await,
                None => None,
            };
            return self.claimed(user, id, claimed).await;
        };
        match stored {
            Some(stored) => self.sent_and_stored(stored).await,
            None => self.claimed(user, id, claimed).await,
        }
    }

    async fn sent_lately(&self, user: &UserId, id: &ClientId) -> Result<Option<Sent>, Error> {
        match self.buffer.sent_as(user, id) {
            Some(SentAs::Known(value, receipt)) => {
                Ok(Some(Sent::Before(Accepted { value, receipt, earlier: Vec::new() })))
            }
            Some(SentAs::Stored(stored)) => self.sent_and_stored(stored).await.map(Some),
            None => Ok(None),
        }
    }

    /// The message that is stored under this client id, and, where there are other nodes, the one that
    /// has it whether it is stored or not; `None` if the store does not say.
    async fn look(
        &self,
        user: &UserId,
        id: &ClientId,
        minted: Option<MessageId>,
    ) -> Result<Option<(Option<MessageId>, Option<MessageId>)>, Error> {
        let all_stored = self.buffer.stored_through();
        if !self.buffer.store_answers() || !self.looks.are_of_use(all_stored) {
            return Ok(None);
        }
        let look = async {
            let Some(minted) = minted else {
                return Ok((self.store.sent_as(user, id).await?, None));
            };
            let in_store = self.store.claim(user, id, minted, self.now());
            let asked = try_join(self.store.sent_as(user, id), in_store);
            // Redis as well: another node may not have reached the store.
            let (asked, in_redis) = join(asked, self.cluster.claim(user, id, minted)).await;
            let (stored, in_store) = asked?;
            let is_ours = in_store == minted;
            Ok((stored, Some(in_redis.filter(|_| is_ours).unwrap_or(in_store))))
        };
        let found = match timeout(LOOK_LIMIT, look).await {
            Ok(Err(StoreError::Transient(_))) | Err(_) => None,
            Ok(answer) => Some(answer?),
        };
        self.looks.note(found.is_some(), all_stored);
        Ok(found)
    }

    async fn sent_and_stored(&self, stored: MessageId) -> Result<Sent, Error> {
        let message = self.buffer.message(&stored.into()).await?;
        let gone = "This message was sent before, and is there no more";
        let message = message.ok_or(Error::NotFound(gone.into()))?;
        Ok(Sent::Before(Accepted::settled(Arc::new(message))))
    }

    /// What became of a client id that was claimed. One that another node has claimed may be on its
    /// way to the store or over the bus; of one that is neither in a moment, that node has acknowledged
    /// nothing, or has ended before it was heard. It is accepted here under the same id: whatever comes
    /// of it later is the same message.
    async fn claimed(
        &self,
        user: &UserId,
        id: &ClientId,
        claimed: Option<MessageId>,
    ) -> Result<Sent, Error> {
        let is_own = |claimed| self.gate.enter(|inside| inside.stamp().is_own(claimed));
        if claimed.is_none_or(is_own) {
            return Ok(Sent::Never(claimed));
        }
        let until = Instant::now() + CLAIM_WAIT;
        while Instant::now() < until {
            if let Some(first) = self.sent_lately(user, id).await? {
                return Ok(first);
            }
            sleep(CLAIM_POLL).await;
        }
        match timeout(LOOK_LIMIT, self.store.sent_as(user, id)).await {
            Ok(Ok(Some(stored))) => self.sent_and_stored(stored).await,
            _ => Ok(Sent::Never(claimed)),
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn after_a_look_in_vain_nobody_looks_until_something_is_stored_or_a_while_has_passed() {
        let looks = Looks::default();
        assert!(looks.are_of_use(7));
        looks.note(false, 7);
        advance(SILENCE / 2).await;
        assert!(!looks.are_of_use(7));
        assert!(looks.are_of_use(8), "what was stored since has left the buffer");
        advance(SILENCE / 2).await;
        assert!(looks.are_of_use(7));
        looks.note(true, 7);
        assert!(looks.are_of_use(7));
    }
}
