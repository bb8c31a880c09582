//! The end of a user: out of all groups, no trace but an alias in what was said to others.
//!
//! That it has begun is in the store before anything else is done, and each step may be done again,
//! so that whatever comes between, it is taken up and ends. One worker does it, one user after the
//! other.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{Notify, oneshot};
use tokio::time::{Instant, sleep, timeout};

use super::Chat;
use crate::cluster::News;
use crate::error::Error;
use crate::model::{
    Audience, Conversation, Erasure, Event, GroupChange, GroupId, Happened, UserId,
};
use crate::store::FenceCloser;

/// How long to wait after an erasure that could not go on.
const PAUSE: Duration = Duration::from_secs(5);
/// How long the buffer may take to bring to the store what was accepted before.
const SETTLE_LIMIT: Duration = Duration::from_secs(30);
/// How long the user's sockets may take to go. Where sign-in is open nothing ends them, and who
/// goes on is a new user.
const LEAVE_LIMIT: Duration = Duration::from_secs(2);
const LOOK_AGAIN: Duration = Duration::from_millis(20);
/// Erasures, and groups of a user, that are read at once.
const AT_ONCE: usize = 100;
/// Conversations that are told of the alias. Those who are in more hear of it when they next ask.
const MAX_TOLD: usize = 100_000;

/// Who waits for the end of a user. The answer is the number of messages that have changed.
#[derive(Debug, Default)]
pub(super) struct Erasing {
    waiting: Mutex<HashMap<UserId, Vec<oneshot::Sender<u64>>>>,
    begun: Notify,
}

impl Erasing {
    fn wait_for(&self, user: &UserId) -> oneshot::Receiver<u64> {
        let (end, ended) = oneshot::channel();
        let mut waiting = self.waiting.lock();
        let ends = waiting.entry(user.clone()).or_default();
        ends.retain(|end| !end.is_closed());
        ends.push(end);
        ended
    }

    /// Forgets who has stopped waiting.
    fn clear(&self, user: &UserId) {
        let mut waiting = self.waiting.lock();
        if let Some(ends) = waiting.get_mut(user) {
            ends.retain(|end| !end.is_closed());
            if ends.is_empty() {
                waiting.remove(user);
            }
        }
    }

    fn ended(&self, user: &UserId, messages: u64) {
        for end in self.waiting.lock().remove(user).into_iter().flatten() {
            // Who asked may have given up.
            let _ = end.send(messages);
        }
    }
}

impl Chat {
    /// Begins to erase a user, or finds that it has begun. It ends, whatever happens; what is
    /// returned hears of that, if it is still there then.
    ///
    /// # Errors
    /// [`Error::Unavailable`] while the store is away: nothing has begun.
    pub async fn begin_erasure(&self, user: &UserId) -> Result<oneshot::Receiver<u64>, Error> {
        let erasure =
            Erasure::of(user, self.now()).map_err(|error| Error::Internal(error.into()))?;
        // Before it can end.
        let ended = self.erasing.wait_for(user);
        match self.store.begin_erasure(&erasure).await {
            Ok(_) => self.erasing.begun.notify_one(),
            Err(error) => {
                drop(ended);
                self.erasing.clear(user);
                return Err(error.into());
            }
        }
        Ok(ended)
    }

    /// Erases users, those first whose erasure an earlier process has begun, for ever. `forget`
    /// ends all that lets a user in; it is called more than once.
    pub async fn erase_users<F, D>(&self, forget: F)
    where
        F: Fn(UserId) -> D,
        D: Future<Output = Result<(), Error>>,
    {
        let mut is_told = false;
        loop {
            let done = self.erase_all(&forget).await;
            let Err(error) = done else {
                is_told = false;
                self.erasing.begun.notified().await;
                continue;
            };
            if !std::mem::replace(&mut is_told, true) {
                tracing::warn!(?error, "the erasure of a user can't go on yet; it is tried again");
            }
            sleep(PAUSE).await;
        }
    }

    /// Erases all whose erasure has begun. One that can't go on does not hold up the others.
    async fn erase_all<F, D>(&self, forget: &F) -> Result<(), Error>
    where
        F: Fn(UserId) -> D,
        D: Future<Output = Result<(), Error>>,
    {
        loop {
            let begun = self.store.erasures(AT_ONCE).await?;
            if begun.is_empty() {
                return Ok(());
            }
            let mut outcome = Ok(());
            for erasure in begun {
                outcome = self.erase(&erasure, forget).await.and(outcome);
            }
            outcome?;
        }
    }

    async fn erase<F, D>(&self, erasure: &Erasure, forget: &F) -> Result<(), Error>
    where
        F: Fn(UserId) -> D,
        D: Future<Output = Result<(), Error>>,
    {
        let user = &erasure.user;
        forget(user.clone()).await?;
        self.leave_all_groups(user).await?;
        self.all_left(user).await;
        // What the user has done must not come to the store behind the alias, nor once more.
        if !self.buffer.settled(SETTLE_LIMIT).await {
            return Err(Error::Unavailable(None));
        }
        let (messages, told) = self.anonymise(erasure).await?;
        self.store.remove_traces(erasure).await?;
        self.forget_everywhere(user);
        // Who was signing in just then.
        forget(user.clone()).await?;
        self.store.end_erasure(user).await?;
        tracing::info!(messages, "a user was erased");
        self.erasing.ended(user, messages);
        self.tell_to_sync(user, told).await;
        Ok(())
    }

    /// Takes a user out of all groups, as by leaving. A group of the user's goes to its oldest
    /// admin, else to its oldest member; one with nobody else is deleted.
    async fn leave_all_groups(&self, user: &UserId) -> Result<(), Error> {
        loop {
            let owned = self.store.groups_owned_by(user, AT_ONCE).await?;
            for group in &owned {
                self.hand_over(*group, user).await?;
            }
            if owned.len() < AT_ONCE {
                break;
            }
        }
        loop {
            let groups = self.store.group_ids_of(user, AT_ONCE).await?;
            for group in &groups {
                or_gone(self.remove_member(*group, user, user).await)?;
            }
            if groups.len() < AT_ONCE {
                return Ok(());
            }
        }
    }

    async fn hand_over(&self, group: GroupId, user: &UserId) -> Result<(), Error> {
        let alone = self.gate.change(group).await;
        let Some(found) = self.store.group(group).await? else { return Ok(()) };
        if found.owner != *user {
            return Ok(());
        }
        let admins = found.admins.iter().filter(|admin| found.has(admin));
        let heir = admins.chain(&found.members).find(|heir| *heir != user);
        let Some(heir) = heir else {
            drop(alone);
            return or_gone(self.delete_group(group, None).await);
        };
        let text = format!("The group belongs to {heir} now");
        let notice = self.news_of(group, text, Happened::OwnerChanged, heir, None);
        let change = GroupChange::Owner { user: heir.clone(), former: None };
        or_gone(self.make(group, change, notice).await.map(drop))
    }

    /// Waits until the user's last socket has gone, and the store knows when that was.
    async fn all_left(&self, user: &UserId) {
        self.stop_typing_everywhere(user, Instant::now());
        let left = async {
            loop {
                let is_known = {
                    let company = self.watch.lock();
                    !company.people.is_here(user) && company.unsaved.of(user).is_none()
                };
                if is_known {
                    return;
                }
                sleep(LOOK_AGAIN).await;
            }
        };
        if timeout(LEAVE_LIMIT, left).await.is_err() {
            tracing::debug!("a user who is being erased is still connected");
        }
    }

    /// Puts the alias into all messages, working half of the time; how many have changed, and where.
    async fn anonymise(&self, erasure: &Erasure) -> Result<(u64, HashSet<Conversation>), Error> {
        let (mut messages, mut told, mut after) = (0, HashSet::new(), None);
        let fence = FenceCloser::new(Arc::clone(&self.store));
        loop {
            // Nodes that share a cache must not find there what was before.
            fence.close().await?;
            let started = Instant::now();
            let step = self.store.anonymise(erasure, after).await?;
            // The user's name is in them.
            self.buffer.forget_shared(&step.conversations).await;
            messages += step.messages;
            let room = MAX_TOLD.saturating_sub(told.len());
            told.extend(step.conversations.into_iter().take(room));
            if step.next.is_none() {
                return Ok((messages, told));
            }
            after = step.next;
            sleep(started.elapsed()).await;
        }
    }

    /// Drops whatever in memory may name the user, here and on the other nodes, of what the store has
    /// by now under the alias.
    fn forget_everywhere(&self, user: &UserId) {
        self.forget_user(user);
        self.cluster.publish(News::Erased(user.clone()));
    }

    pub(super) fn forget_user(&self, user: &UserId) {
        self.buffer.forget_user(user);
        self.gate.enter(|inside| inside.forget_all());
        self.blocks.forget_user(user);
        self.readers.forget_all();
        self.spam.forget_user(user);
        self.watch.lock().circles.forget_user(user);
    }

    /// Tells those who have talked with the user to read again.
    async fn tell_to_sync(&self, user: &UserId, told: HashSet<Conversation>) {
        for conversation in told {
            let to = match conversation {
                Conversation::Direct(a, b) if a == *user && b == *user => continue,
                Conversation::Direct(a, b) => Audience::Users(vec![if a == *user { b } else { a }]),
                Conversation::Group(group) => Audience::Group(group),
            };
            self.notify(to, Event::SyncRequired).await;
        }
    }
}

/// What is not there any more needs nothing done.
fn or_gone(done: Result<(), Error>) -> Result<(), Error> {
    match done {
        Err(Error::NotFound(_)) => Ok(()),
        done => done,
    }
}
