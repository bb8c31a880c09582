//! Files of messages that are deleted for everyone.
//!
//! A file goes once the deletion is stored and no other message names the file, stored or on its
//! way. Whatever is in doubt, it stays: a file too many costs a little room.

use std::collections::VecDeque;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{MutexGuard, Notify};
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::Chat;
use super::receipts::FLUSH_WAIT;
use crate::error::Error;
use crate::media::{MediaName, MediaUrl};
use crate::model::Message;

/// Files that may wait for their end; it is for a database that is away that they wait.
const MAX_WAITING: usize = 1_024;

/// How long a file stays after the deletion of its message: a message that another server on the
/// same database has just accepted reaches the store within about a second.
const GRACE: Duration = Duration::from_secs(2);

/// How long to wait before the store is asked again.
const PAUSE: Duration = Duration::from_secs(1);

/// How long the store may take to say who names a file. Who sends one waits for that.
const PATIENCE: Duration = Duration::from_secs(1);

/// Files whose message is deleted, each with the time from which on it may go.
#[derive(Default)]
pub(super) struct Leftovers {
    waiting: Mutex<VecDeque<(MediaName, Instant)>>,
    added: Notify,
}

impl Chat {
    /// Notes that the file of a message, if it has one of ours, may be needed by nobody now.
    pub(super) fn leave_file(&self, message: &Message) {
        let Some(MediaUrl::Ours(name)) = message.media_url.as_deref().and_then(parse) else {
            return;
        };
        let mut waiting = self.leftovers.waiting.lock();
        if waiting.len() < MAX_WAITING {
            waiting.push_back((name, Instant::now() + GRACE));
            self.leftovers.added.notify_one();
        } else {
            tracing::warn!(
                file = name.as_str(),
                "the file of a deleted message stays: too many wait"
            );
        }
    }

    /// Checks that a file which a message names is there, and keeps it there while the answer
    /// lives.
    pub(super) async fn use_file(&self, url: &str) -> Result<Option<MutexGuard<'_, ()>>, Error> {
        let in_use = match parse(url) {
            Some(MediaUrl::Ours(name)) => Some(self.files.lock(&name).await),
            _ => None,
        };
        self.media.check_url(url).await?;
        Ok(in_use)
    }

    /// Deletes files that nobody needs until [`Chat::end_presence`].
    pub async fn remove_leftovers(&self) {
        let ended = self.watch.ended.cancelled();
        tokio::select! {
            () = ended => {}
            never = self.remove_each() => match never {},
        }
        let left = self.leftovers.waiting.lock().len();
        if left > 0 {
            tracing::info!(left, "files of deleted messages stay: the server stops");
        }
    }

    async fn remove_each(&self) -> std::convert::Infallible {
        loop {
            let next = self.leftovers.waiting.lock().front().cloned();
            let Some((name, due)) = next else {
                self.leftovers.added.notified().await;
                continue;
            };
            sleep_until(due).await;
            if self.has_ended(&name).await {
                self.leftovers.waiting.lock().pop_front();
            } else {
                sleep(PAUSE).await;
            }
        }
    }

    /// Deletes a file, if nobody needs it; `false` if that can't be known yet.
    async fn has_ended(&self, name: &MediaName) -> bool {
        if !self.buffer.flushed(FLUSH_WAIT).await {
            return false;
        }
        let _nobody_sends_it = self.files.lock(name).await;
        for url in name.urls() {
            if self.buffer.names_media(&url) {
                return true;
            }
            match timeout(PATIENCE, self.store.names_media(&url)).await {
                Ok(Ok(false)) => {}
                Ok(Ok(true)) => return true,
                Ok(Err(error)) if !error.is_transient() => {
                    tracing::warn!(file = name.as_str(), %error, "the file of a deleted message stays");
                    return true;
                }
                Ok(Err(_)) | Err(_) => return false,
            }
        }
        match self.media.remove(name).await {
            Ok(removed) => tracing::debug!(file = name.as_str(), removed, "no message names it"),
            Err(error) => {
                tracing::warn!(file = name.as_str(), ?error, "the file of a deleted message stays");
            }
        }
        true
    }
}

fn parse(url: &str) -> Option<MediaUrl> {
    MediaUrl::parse(url).ok()
}
