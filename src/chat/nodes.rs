//! What other nodes say, done here: their messages are told and seen, and what they have changed in
//! the store is not remembered as it was before.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior, interval};

use super::{Chat, no_message, stamp};
use crate::buffer::{Delivery, Lane};
use crate::cluster::{self, Heard, Member, News, Told, Written};
use crate::error::Error;
use crate::model::{
    Audience, Dispatch, Event, Message, MessageId, MessageRef, Op, Target, Timestamp,
};

/// How often what other nodes have said is looked after. While they are not heard, what they change in
/// the store is seen so late at the most.
const LOOK: Duration = Duration::from_secs(2);

/// How long what a lost node has not stored is seen as if it were.
const FORGET_LOST_AFTER: Duration = Duration::from_mins(10);

/// The time between two words to the others of what is stored.
const STORED_EVERY: Duration = Duration::from_millis(20);

/// How long what another node may have just accepted is waited for: as long as the store takes to have
/// it where the bus does not tell of it.
const UNDER_WAY: Duration = Duration::from_secs(2);

/// How long a word is waited for of the node that has made an id. Each says something within a beat.
const WORD: Duration = cluster::BEAT.saturating_add(Duration::from_millis(500));

/// An id of this age was made so lately, by whatever clock, that its message may be under way.
const YOUNG: Duration = Duration::from_secs(10);

/// The first pause between two looks for what may be under way, each twice as long as the one before,
/// and the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(5);
const LONGEST_PAUSE: Duration = Duration::from_millis(500);

/// Waits for a message that is not known here.
pub(super) struct Wait {
    /// How long, and how long it has been.
    limit: Duration,
    waited: Duration,
    pause: Duration,
    /// Of which process the id is, and how many words of that node had been heard before.
    maker: Option<([u8; 5], u64)>,
}

impl Wait {
    /// The time until the next look, when so many words were heard of the node that mints such ids.
    ///
    /// # Errors
    /// There is no such message, as far as anybody can know; or, where its node has said nothing since
    /// the question was asked, [`Error::Unavailable`]: it may have ended before it could tell of it.
    pub(super) fn next_pause(
        &mut self,
        words_of: impl Fn([u8; 5]) -> Option<u64>,
    ) -> Result<Duration, Error> {
        let has_word = self.maker.is_none_or(|(process, words)| words_of(process) > Some(words));
        let limit = if has_word { self.limit } else { self.limit.max(WORD) };
        let left = limit.saturating_sub(self.waited);
        if left.is_zero() {
            return Err(if has_word { no_message() } else { Error::Unavailable(None) });
        }
        let pause = self.pause.min(left);
        self.waited += pause;
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
        Ok(pause)
    }
}

impl Chat {
    /// How a message of this id is waited for that another node may have accepted a moment ago.
    pub(super) fn wait_for_others(&self, id: &MessageRef) -> Wait {
        let id = id.as_id().filter(|id| !self.cluster.is_alone() && self.is_young(*id));
        let process = id.map(stamp::process_of);
        let maker = process.and_then(|process| Some((process, self.cluster.words_of(process)?)));
        let limit = if id.is_some() { UNDER_WAY } else { Duration::ZERO };
        Wait { limit, waited: Duration::ZERO, pause: FIRST_PAUSE, maker }
    }

    fn is_young(&self, id: MessageId) -> bool {
        let (now, minted) = (self.now(), Timestamp(id.0.timestamp().timestamp_millis()));
        now.since(minted).max(minted.since(now)) < YOUNG
    }

    /// Does what one letter of another node says.
    pub async fn hear(&self, heard: Heard) {
        match heard {
            Heard::News(lane, news) => self.hear_news(&lane, news).await,
            Heard::Gap => self.hear_gap(),
            Heard::Cut => self.forget_others(),
            Heard::Lost(boot) => self.hear_lost(boot),
        }
    }

    async fn hear_news(&self, lane: &cluster::Lane, news: News) {
        match news {
            News::Done { written, told } => self.hear_done(&of_buffer(lane), written, told).await,
            News::Stored { through } => self.buffer.hear_stored(&of_buffer(lane), through),
            News::Member(Member { group, user, is_member }) => {
                self.gate.hear_member(group, &user, is_member);
            }
            News::Group(group) => self.gate.hear_change(group),
            News::Regrouped { group, before, after } => self.watch.regroup(group, &before, &after),
            News::Blocks(user) => {
                if self.blocks.forget(&user) {
                    self.learn_blocks(&user).await;
                }
            }
            News::Erased(user) => self.forget_user(&user),
            News::Came { .. } | News::Went { .. } | News::Here { .. } | News::Ask => {
                self.hear_of_people(lane.boot, news).await;
            }
            // How nodes are is known to the bus; tokens and budgets are no part of a conversation.
            News::Beat(_) | News::Tokens | News::Taken(_) => {}
        }
    }

    async fn hear_done(&self, lane: &Lane, written: Option<Written>, told: Vec<Told>) {
        let op = written.as_ref().map(|written| written.op.clone());
        if let Some(Written { sequence, op }) = written {
            if let Op::Send(message) = &*op {
                self.hear_sent(message);
            }
            self.buffer.hear(lane, sequence, op);
        }
        let event = |event: Option<Event>| match (event, op.as_deref()) {
            (Some(event), _) => Some(event),
            (None, Some(Op::Send(message))) => Some(Event::Sent(message.clone())),
            (None, _) => None,
        };
        let dispatches = told.into_iter().filter_map(|Told { to, event: told }| {
            let event = event(told)?;
            if let Event::Typing { user, to, is_typing } = &event {
                self.hear_typing(user, to, *is_typing);
            }
            Some(Dispatch { to, event })
        });
        let dispatches: Vec<_> = dispatches.collect();
        if !dispatches.is_empty() {
            // The queue's other end lives as long as the server does.
            let _ = self.deliveries.send(Delivery::heard(dispatches)).await;
        }
    }

    fn hear_sent(&self, message: &Message) {
        self.gate.enter(|inside| inside.stamp().follow(message.timestamp, self.now()));
        if let Target::User(to) = &message.target {
            self.watch.wrote(&message.from, to);
        }
    }

    /// Some of what others have said was missed: all that rests on having heard everything is asked
    /// again, and users are told to do so, too. One cause is often seen on every stream and for every
    /// node: they are told once.
    fn hear_gap(&self) {
        self.forget_others();
        self.has_gap.store(true, Ordering::Relaxed);
    }

    async fn tell_of_gap(&self) {
        if self.has_gap.swap(false, Ordering::Relaxed) {
            self.cluster.publish(News::Ask);
            let sync = Dispatch { to: Audience::Everybody, event: Event::SyncRequired };
            let _ = self.deliveries.send(Delivery::heard(vec![sync])).await;
        }
    }

    /// Forgets what other nodes may have changed unheard.
    fn forget_others(&self) {
        self.buffer.forget_elsewhere();
        self.forget_remembered();
    }

    fn forget_remembered(&self) {
        self.gate.hear_gap();
        self.blocks.forget_all();
        self.readers.forget_all();
    }

    /// Tells the other nodes how far this one has stored, whenever it has stored more.
    pub async fn tell_what_is_stored(&self) {
        let mut steps = self.buffer.steps();
        let mut pause = interval(STORED_EVERY);
        pause.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while let Some(through) = self.buffer.next_stored(&mut steps).await {
            self.cluster.publish_everywhere(&News::Stored { through });
            pause.tick().await;
        }
    }

    /// Keeps from being believed for ever what other nodes do not take back: what is in memory of the
    /// store while they are not heard, and what a node that is lost has said last.
    pub async fn keep_with_others(&self) {
        let mut looks = interval(LOOK);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut absent = HashMap::new();
        loop {
            looks.tick().await;
            self.tell_of_gap().await;
            // A store that is away could not say it again.
            if !self.cluster.is_connected() && self.buffer.store_answers() {
                self.forget_remembered();
            }
            self.forget_lost(&mut absent, Instant::now());
            self.end_typing_elsewhere().await;
        }
    }

    /// Forgets what nodes have not stored that have been away for long: by then an operator has
    /// started them again, or brought their journal to the store.
    fn forget_lost(&self, absent: &mut HashMap<Arc<str>, Instant>, now: Instant) {
        let there: Vec<_> = self.cluster.nodes().into_iter().map(|node| node.id).collect();
        let is_there = |name: &Arc<str>| there.iter().any(|id| id.as_str() == &**name);
        absent.retain(|name, _| !is_there(name));
        for name in self.buffer.nodes_elsewhere().into_iter().filter(|name| !is_there(name)) {
            let since = *absent.entry(Arc::clone(&name)).or_insert(now);
            if now.duration_since(since) >= FORGET_LOST_AFTER {
                self.buffer.forget_node(&name);
                absent.remove(&name);
            }
        }
    }
}

fn of_buffer(lane: &cluster::Lane) -> Lane {
    (lane.node.as_str().into(), lane.shard)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorCode;

    /// How long is waited in all, and the end of it, where so many words of the node that has made the
    /// id were heard after some time.
    fn waited(
        maker: Option<u64>,
        words: impl Fn(Duration) -> Option<u64>,
    ) -> (Duration, ErrorCode) {
        let maker = maker.map(|words| ([7; 5], words));
        let mut wait = Wait { limit: UNDER_WAY, waited: Duration::ZERO, pause: FIRST_PAUSE, maker };
        loop {
            let waited = wait.waited;
            if let Err(error) = wait.next_pause(|_| words(waited)) {
                return (waited, error.code());
            }
        }
    }

    #[test]
    fn what_may_be_under_way_is_looked_for_often_at_first_and_not_for_ever() {
        let mut wait =
            Wait { limit: UNDER_WAY, waited: Duration::ZERO, pause: FIRST_PAUSE, maker: None };
        let first = [(); 3].map(|()| wait.next_pause(|_| None).unwrap());
        assert_eq!(first, [5, 10, 20].map(Duration::from_millis));
        assert_eq!(waited(None, |_| None), (UNDER_WAY, ErrorCode::NotFound));
    }

    #[test]
    fn whether_a_node_that_says_nothing_has_a_message_is_not_known() {
        let silent = (WORD, ErrorCode::Unavailable);
        assert_eq!(waited(Some(3), |_| Some(3)), silent);
        assert_eq!(waited(Some(3), |after| (after < UNDER_WAY).then_some(3)), silent, "it is lost");
        assert_eq!(waited(Some(3), |_| Some(4)), (UNDER_WAY, ErrorCode::NotFound));
        let after = UNDER_WAY + Duration::from_millis(600);
        let (waited, error) = waited(Some(3), |now| Some(if now < after { 3 } else { 4 }));
        assert!(after <= waited && waited < WORD, "{waited:?}");
        assert_eq!(error, ErrorCode::NotFound);
    }
}
