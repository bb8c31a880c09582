//! What waits to be published on one stream. Pure.

use std::collections::VecDeque;

use super::News;

/// Letters that wait at the most, and what they may hold. Beyond this the oldest falls out: the
/// others see by its number that it is missing.
const MAX_LETTERS: usize = 50_000;
const MAX_BYTES: usize = 32 << 20;

/// So many letters are published at once at the most, and about so many bytes.
const BATCH_LETTERS: usize = 256;
const BATCH_BYTES: usize = 1 << 20;

/// News with their number, from 1.
#[derive(Debug)]
pub(super) struct Letter {
    pub(super) number: u64,
    pub(super) news: News,
    weight: usize,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    waiting: VecDeque<Letter>,
    bytes: usize,
    /// The number of the newest letter.
    last: u64,
    /// Whether letters were taken that have not been published.
    is_sending: bool,
    /// Whether these could not be published within the limit.
    is_stuck: bool,
}

impl Outbox {
    /// Adds a letter; how many have fallen out.
    pub(super) fn push(&mut self, news: News) -> u64 {
        self.last += 1;
        let weight = news.weight();
        self.bytes += weight;
        self.waiting.push_back(Letter { number: self.last, news, weight });
        let mut dropped = 0;
        while self.waiting.len() > MAX_LETTERS || self.bytes > MAX_BYTES {
            let Some(oldest) = self.waiting.pop_front() else { break };
            self.bytes -= oldest.weight;
            dropped += 1;
        }
        dropped
    }

    /// Takes what is published next, in order; the caller keeps it until it is.
    pub(super) fn take(&mut self) -> Vec<Letter> {
        let (mut batch, mut bytes) = (Vec::new(), 0);
        while batch.len() < BATCH_LETTERS && bytes < BATCH_BYTES {
            let Some(letter) = self.waiting.pop_front() else { break };
            bytes += letter.weight;
            batch.push(letter);
        }
        self.bytes -= bytes;
        self.is_sending = !batch.is_empty();
        batch
    }

    /// What was taken is published.
    pub(super) fn sent(&mut self) {
        self.is_sending = false;
        self.is_stuck = false;
    }

    /// What was taken could not be published within the limit.
    pub(super) fn stuck(&mut self) {
        self.is_stuck = true;
    }

    /// Whether what is published now would wait behind what can't be.
    pub(super) fn is_stuck(&self) -> bool {
        self.is_stuck
    }

    /// Whether nothing waits to be taken.
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Whether all was published.
    pub(super) fn is_settled(&self) -> bool {
        self.waiting.is_empty() && !self.is_sending
    }

    /// How many wait.
    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::UserId;

    fn numbers(batch: &[Letter]) -> Vec<u64> {
        batch.iter().map(|letter| letter.number).collect()
    }

    #[test]
    fn letters_leave_in_order_in_batches_that_are_bounded() {
        let mut outbox = Outbox::default();
        for _ in 0..BATCH_LETTERS + 1 {
            assert_eq!(outbox.push(News::Ask), 0);
        }
        assert_eq!(numbers(&outbox.take()), (1..=BATCH_LETTERS as u64).collect::<Vec<_>>());
        assert!(!outbox.is_settled());
        outbox.sent();
        assert_eq!(numbers(&outbox.take()), [BATCH_LETTERS as u64 + 1]);
        assert!(outbox.is_empty() && !outbox.is_settled(), "it is under way");
        outbox.sent();
        assert!(outbox.is_settled() && outbox.bytes == 0);
    }

    #[test]
    fn the_oldest_falls_out_of_a_full_one_and_its_number_with_it() {
        let mut outbox = Outbox::default();
        for _ in 0..MAX_LETTERS {
            assert_eq!(outbox.push(News::Ask), 0);
        }
        assert_eq!(outbox.push(News::Ask), 1);
        assert_eq!(outbox.len(), MAX_LETTERS);
        assert_eq!(outbox.take()[0].number, 2);
    }

    #[test]
    fn what_letters_hold_is_bounded() {
        let mut outbox = Outbox::default();
        let users = vec![UserId::parse("ann").unwrap(); 10_000];
        let mut dropped = 0;
        for _ in 0..1_000 {
            dropped += outbox.push(News::Here { users: users.clone(), is_last: false });
            assert!(outbox.bytes <= MAX_BYTES);
        }
        assert_eq!(dropped + outbox.len() as u64, 1_000);
        assert!(dropped > 0 && outbox.take().len() < 10, "so is a batch");
    }
}
