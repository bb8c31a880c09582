//! A message that is sent again is the message that was sent.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;

use super::{Accepted, Chat};
use crate::error::Error;
use crate::model::{ClientId, Message, UserId};

/// How long a send waits to hear whether it is a repeated one. A store that takes longer is in
/// trouble, and a dead database must not hold up who sends something new; its unique index still keeps
/// the message from being stored twice.
const LOOK_LIMIT: Duration = Duration::from_secs(1);

impl Chat {
    /// The message that a user has sent under this client id: in the buffer, lately stored, or in the
    /// store. While the store does not answer, only the first two are looked at.
    pub(super) async fn sent_before(
        &self,
        user: &UserId,
        id: &ClientId,
    ) -> Result<Option<Accepted<Arc<Message>>>, Error> {
        if let Some((message, receipt)) = self.buffer.sent_as(user, id) {
            return Ok(Some(Accepted { value: message, receipt }));
        }
        if !self.buffer.store_answers() {
            return Ok(None);
        }
        let found = match timeout(LOOK_LIMIT, self.store.sent_as(user, id)).await {
            Ok(Ok(found)) => found,
            Ok(Err(error)) if !error.is_transient() => return Err(error.into()),
            Ok(Err(_)) | Err(_) => None,
        };
        let Some(message) = found else { return Ok(None) };
        let message = self.buffer.message(&message.into()).await?;
        let deleted = "This message was sent before, and is deleted";
        let message = message.ok_or(Error::NotFound(deleted.into()))?;
        Ok(Some(Accepted::settled(Arc::new(message))))
    }
}
