//! A message that is sent again is the message that was sent.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::{Instant, timeout};

use super::{Accepted, Chat};
use crate::error::Error;
use crate::model::{ClientId, Message, UserId};
use crate::store::StoreError;

/// How long a send waits to hear whether it is a repeated one. A store that takes longer is in
/// trouble, and a dead database must not hold up who sends something new; its unique index still
/// keeps the message from being stored twice.
const LOOK_LIMIT: Duration = Duration::from_secs(1);

/// How long nobody looks after somebody has waited in vain: as long as the store's own calls may
/// take, so that by then the flusher knows whether the store is away.
const SILENCE: Duration = Duration::from_secs(5);

/// Since when the store has not said whether a message was sent before.
#[derive(Default)]
pub(super) struct Looks(Mutex<Option<Instant>>);

impl Looks {
    fn are_of_use(&self) -> bool {
        self.0.lock().is_none_or(|since| since.elapsed() >= SILENCE)
    }

    fn note(&self, answered: bool) {
        *self.0.lock() = (!answered).then(Instant::now);
    }
}

impl Chat {
    /// The message that a user has sent under this client id: in the buffer, lately stored, or in
    /// the store. While the store does not answer, only the first two are looked at.
    pub(super) async fn sent_before(
        &self,
        user: &UserId,
        id: &ClientId,
    ) -> Result<Option<Accepted<Arc<Message>>>, Error> {
        if let Some((message, receipt)) = self.buffer.sent_as(user, id) {
            return Ok(Some(Accepted { value: message, receipt, earlier: Vec::new() }));
        }
        if !self.buffer.store_answers() || !self.looks.are_of_use() {
            return Ok(None);
        }
        let found = match timeout(LOOK_LIMIT, self.store.sent_as(user, id)).await {
            Ok(Err(StoreError::Transient(_))) | Err(_) => None,
            Ok(answer) => Some(answer?),
        };
        self.looks.note(found.is_some());
        let Some(message) = found.flatten() else { return Ok(None) };
        let message = self.buffer.message(&message.into()).await?;
        let deleted = "This message was sent before, and is deleted";
        let message = message.ok_or(Error::NotFound(deleted.into()))?;
        Ok(Some(Accepted::settled(Arc::new(message))))
    }
}
