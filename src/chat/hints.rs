//! Typing, as clients say it and others hear it.

use std::collections::HashMap;
use std::time::Duration;

use futures_util::future::OptionFuture;
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use super::Chat;
use super::typing::{Told, TooMany, Typing};
use crate::buffer::Delivery;
use crate::error::Error;
use crate::model::{Audience, Dispatch, Event, Message, Target, UserId};

/// Conversations that are told of in one go.
const BATCH: usize = 256;

/// A node says again who goes on typing, and says who has stopped, so that one of whom nothing is heard
/// for so long types no more: the node is lost.
const UNHEARD: Duration = Duration::from_secs(10);

/// Most users of other nodes who type at the same time; of more it is not known that they do.
const MAX_ELSEWHERE: usize = 100_000;

/// Who types where.
#[derive(Default)]
pub(super) struct Hints {
    typing: Mutex<Typing>,
    /// Something may be due earlier than before.
    changed: Notify,
    /// Who types on other nodes, and when that is over if nothing more is heard of it.
    elsewhere: Mutex<HashMap<(UserId, Target), Instant>>,
}

impl Hints {
    fn stop(&self, user: &UserId, to: &Target) {
        let mut typing = self.typing.lock();
        if !typing.is_idle() {
            typing.stop(user, to, Instant::now());
            drop(typing);
            self.changed.notify_one();
        }
    }
}

impl Chat {
    /// A user types in a conversation, or has stopped. In a group only members type. To type to
    /// oneself is nothing, and so is to stop what was not begun.
    pub async fn typing(&self, user: &UserId, to: Target, is_typing: bool) -> Result<(), Error> {
        match &to {
            Target::User(other) if other == user => return Ok(()),
            _ if !is_typing => self.hints.stop(user, &to),
            Target::User(other) => {
                self.learn_blocks(other).await;
                self.start_typing(user, &to)?;
            }
            Target::Group(group) => loop {
                self.gate.load(&*self.store, *group).await?;
                let started = self.gate.enter(|inside| {
                    let standing = inside.standing(*group, user, self.now())?;
                    let may = standing.check_speaking_member();
                    Some(may.and_then(|()| self.start_typing(user, &to)))
                });
                if let Some(started) = started {
                    return started;
                }
            },
        }
        Ok(())
    }

    fn start_typing(&self, user: &UserId, to: &Target) -> Result<(), Error> {
        let started = self.hints.typing.lock().start(user, to, Instant::now());
        self.hints.changed.notify_one();
        started.map_err(|TooMany| {
            Error::RateLimited("You, or all together, are typing in too many places".into())
        })
    }

    /// Whoever has sent a message types it no longer, and knows whom it went to.
    pub(super) fn has_sent(&self, message: &Message) {
        self.hints.stop(&message.from, &message.target);
        if let Target::User(to) = &message.target {
            self.watch.wrote(&message.from, to);
        }
    }

    /// A user types no longer in a conversation.
    pub(super) fn stop_typing(&self, user: &UserId, to: &Target) {
        self.hints.stop(user, to);
    }

    pub(super) fn stop_typing_everywhere(&self, user: &UserId, now: Instant) {
        self.hints.typing.lock().stop_all(user, now);
        self.hints.changed.notify_one();
    }

    /// Tells who types and who has stopped, until [`Chat::end_presence`].
    pub async fn tell_typing(&self) {
        loop {
            let (told, next) = {
                let mut typing = self.hints.typing.lock();
                (typing.due(Instant::now(), BATCH), typing.next_due())
            };
            for told in told {
                self.tell_of_typing(told).await;
            }
            tokio::select! {
                () = self.watch.ended.cancelled() => return,
                () = self.hints.changed.notified() => {}
                Some(()) = OptionFuture::from(next.map(sleep_until)) => {}
            }
        }
    }

    async fn tell_of_typing(&self, told: Told) {
        let Told { user, to, is_typing } = told;
        match &to {
            Target::User(other) if self.blocks.has(other, &user) => {}
            _ => self.notify(who_sees(&user, &to), Event::Typing { user, to, is_typing }).await,
        }
    }

    /// A user of another node types, or has stopped.
    pub(super) fn hear_typing(&self, user: &UserId, to: &Target, is_typing: bool) {
        let mut elsewhere = self.hints.elsewhere.lock();
        let key = (user.clone(), to.clone());
        if !is_typing {
            elsewhere.remove(&key);
        } else if elsewhere.len() < MAX_ELSEWHERE || elsewhere.contains_key(&key) {
            elsewhere.insert(key, Instant::now() + UNHEARD);
        }
    }

    /// Tells that those have stopped of whom nothing is heard any more.
    pub(super) async fn end_typing_elsewhere(&self) {
        let now = Instant::now();
        let over: Vec<_> =
            self.hints.elsewhere.lock().extract_if(|_, until| *until <= now).collect();
        for ((user, to), _) in over {
            let audience = who_sees(&user, &to);
            let event = Event::Typing { user, to, is_typing: false };
            let _ =
                self.deliveries.send(Delivery::heard(vec![Dispatch { to: audience, event }])).await;
        }
    }
}

/// Who sees that somebody types.
fn who_sees(user: &UserId, to: &Target) -> Audience {
    match to {
        Target::User(other) => Audience::Users(vec![other.clone()]),
        Target::Group(group) => Audience::Others { group: *group, than: user.clone() },
    }
}
