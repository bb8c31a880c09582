//! Which message a client id names, for the moment: said to Redis by the node that accepts the message,
//! so that another one that is sent it again knows before the letter comes, also while the database is
//! away.

use std::time::Duration;

use parking_lot::Mutex;
use redis::RedisResult;
use redis::aio::ConnectionManager;
use tokio::time::{Instant, timeout};

use super::connection::{Connections, PUBLISH_LIMIT};
use crate::model::{ClientId, MessageId, UserId};

/// How long a claim is kept: far longer than a letter takes.
const LIFE: Duration = Duration::from_secs(60);

/// How long nobody asks after Redis has not answered.
const SILENCE: Duration = Duration::from_secs(1);

/// See the module.
#[derive(Default)]
pub(super) struct Claims {
    connection: Mutex<Option<ConnectionManager>>,
    failed_at: Mutex<Option<Instant>>,
}

impl Claims {
    /// The message that has the client id, which is this one, if none has. `None` if Redis does not
    /// say so in time.
    pub(super) async fn claim(
        &self,
        connections: &Connections,
        (user, client_id): (&UserId, &ClientId),
        id: MessageId,
    ) -> Option<MessageId> {
        if self.failed_at.lock().is_some_and(|at| at.elapsed() < SILENCE) {
            return None;
        }
        let mut connection = self.connection(connections).ok()?;
        let (user, client_id) = (user.as_str(), client_id.as_str());
        let key = format!("banter:claim:{}:{user}:{client_id}", user.len());
        let mut pipeline = redis::pipe();
        pipeline.cmd("SET").arg(&key).arg(id.to_string()).arg("NX").arg("EX").arg(LIFE.as_secs());
        pipeline.ignore().cmd("GET").arg(&key);
        let asked = pipeline.query_async::<(String,)>(&mut connection);
        match timeout(PUBLISH_LIMIT, asked).await {
            Ok(Ok((claimed,))) => MessageId::parse(&claimed).ok(),
            Ok(Err(_)) | Err(_) => {
                // One that does not answer is not trusted to notice that it is broken.
                *self.connection.lock() = None;
                *self.failed_at.lock() = Some(Instant::now());
                None
            }
        }
    }

    fn connection(&self, connections: &Connections) -> RedisResult<ConnectionManager> {
        let mut open = self.connection.lock();
        let connection = match &mut *open {
            Some(connection) => connection,
            None => open.insert(connections.to_publish()?),
        };
        Ok(connection.clone())
    }
}
