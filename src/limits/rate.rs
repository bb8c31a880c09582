//! How often somebody may do something: the generic cell rate algorithm. It keeps one time for each
//! of them: when their whole budget is back.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hash, RandomState};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use super::{Budget, Exceeded, What};

/// How many are remembered. Who is forgotten has the whole budget again.
const MAX_KEYS: usize = 100_000;

/// At the most `burst` at once, and one more each `interval`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Quota {
    burst: u32,
    interval: Duration,
}

impl Quota {
    /// `limit` in a `window`, which may come all at once; `None` for a limit of 0, which is none.
    pub(super) fn new(limit: u32, window: Duration) -> Option<Self> {
        Some(Self { burst: limit, interval: window.checked_div(limit)? })
    }

    /// So many a second, and `burst` at once; `None` for a rate of 0, which is none.
    pub(super) fn per_second(rate: u32, burst: u32) -> Option<Self> {
        Some(Self { burst, interval: Duration::from_secs(1).checked_div(rate)? })
    }

    /// Takes one out of the budget that is whole at `full_at`; what is left, and when it will be
    /// whole now. Or for how long there is nothing to take.
    pub(super) fn take(
        self,
        full_at: Option<Instant>,
        now: Instant,
    ) -> Result<(Budget, Instant), (Budget, Duration)> {
        let whole = self.interval * self.burst;
        let missing = full_at.map_or(Duration::ZERO, |at| at.saturating_duration_since(now));
        let would_miss = missing + self.interval;
        if would_miss > whole {
            return Err((self.budget(0, missing), would_miss - whole));
        }
        let left = (whole - would_miss).as_nanos() / self.interval.as_nanos();
        let left = u32::try_from(left).unwrap_or(self.burst);
        Ok((self.budget(left, would_miss), now + would_miss))
    }

    fn budget(self, remaining: u32, reset: Duration) -> Budget {
        Budget { limit: self.burst, remaining, reset }
    }
}

/// When each one's budget is whole: of those who were here last, at the most [`MAX_KEYS`].
///
/// When half as many have come, what is older than they are is dropped at once: nobody is forgotten
/// before [`MAX_KEYS`] / 2 others have come since.
#[derive(Debug, Default)]
struct Budgets {
    young: HashMap<u64, Instant>,
    old: HashMap<u64, Instant>,
}

impl Budgets {
    fn full_at(&self, key: u64) -> Option<Instant> {
        self.young.get(&key).or_else(|| self.old.get(&key)).copied()
    }

    fn keep(&mut self, key: u64, full_at: Instant) {
        if self.young.len() >= MAX_KEYS / 2 && !self.young.contains_key(&key) {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(key, full_at);
    }
}

/// A quota, and what each one has left of it.
#[derive(Debug)]
pub(super) struct Rate {
    what: What,
    quota: Option<Quota>,
    /// Keys are kept as hashes under a secret of the process: a long one costs no more memory than
    /// a short one, and nobody can make up two that are taken for one.
    hasher: RandomState,
    budgets: Mutex<Budgets>,
}

impl Rate {
    pub(super) fn new(what: What, quota: Option<Quota>) -> Self {
        Self { what, quota, hasher: RandomState::new(), budgets: Mutex::default() }
    }

    /// Whether there is one to take, which stays.
    pub(super) fn look(&self, key: impl Hash, now: Instant) -> Result<(), Exceeded> {
        let Some(quota) = self.quota else { return Ok(()) };
        let full_at = self.budgets.lock().full_at(self.hasher.hash_one(key));
        let looked = quota.take(full_at, now);
        looked.map(drop).map_err(|(budget, retry_after)| Exceeded {
            what: self.what,
            retry_after,
            budget,
        })
    }

    /// So many were taken elsewhere. Of more than the budget holds the rest is forgotten: nobody waits
    /// longer for it than for a whole budget.
    pub(super) fn debit(&self, key: impl Hash, times: u32, now: Instant) {
        let Some(quota) = self.quota else { return };
        let key = self.hasher.hash_one(key);
        let mut budgets = self.budgets.lock();
        let missing_from = budgets.full_at(key).map_or(now, |at| at.max(now));
        let whole = quota.interval * quota.burst;
        let full_at = (missing_from + quota.interval.saturating_mul(times)).min(now + whole);
        budgets.keep(key, full_at);
    }

    /// Takes one out of a budget; `None` where nothing is limited.
    pub(super) fn take(&self, key: impl Hash, now: Instant) -> Result<Option<Budget>, Exceeded> {
        let Some(quota) = self.quota else { return Ok(None) };
        let key = self.hasher.hash_one(key);
        let mut budgets = self.budgets.lock();
        let full_at = budgets.full_at(key);
        match quota.take(full_at, now) {
            Ok((budget, full_at)) => {
                budgets.keep(key, full_at);
                Ok(Some(budget))
            }
            Err((budget, retry_after)) => {
                // Who goes on asking is not forgotten.
                budgets.keep(key, now + budget.reset);
                Err(Exceeded { what: self.what, retry_after, budget })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn rate(limit: u32, window: Duration) -> Rate {
        Rate::new(What::Requests, Quota::new(limit, window))
    }

    proptest! {
        #[test]
        fn never_more_than_the_burst_and_what_has_come_back(
            limit in 1_u32..50,
            window_ms in 1_u64..5_000,
            pauses_ms in prop::collection::vec(0_u64..500, 1..300),
        ) {
            let window = Duration::from_millis(window_ms);
            let rate = rate(limit, window);
            let mut now = Instant::now();
            let mut taken = Vec::new();
            for pause in pauses_ms {
                now += Duration::from_millis(pause);
                if rate.take("ann", now).is_ok() {
                    taken.push(now);
                }
            }
            let interval = (window / limit).as_nanos();
            for (at, first) in taken.iter().enumerate() {
                for (until, last) in taken.iter().enumerate().skip(at) {
                    let back = (*last - *first).as_nanos() / interval;
                    prop_assert!((until - at + 1) as u128 <= u128::from(limit) + back);
                }
            }
        }

        #[test]
        fn who_waits_as_long_as_is_said_is_let_in_and_no_earlier(
            limit in 1_u32..50,
            window_ms in 1_u64..5_000,
            pauses_ms in prop::collection::vec(0_u64..100, 1..100),
        ) {
            let rate = rate(limit, Duration::from_millis(window_ms));
            let mut now = Instant::now();
            for pause in pauses_ms {
                now += Duration::from_millis(pause);
                if let Err(exceeded) = rate.take("ann", now) {
                    let again = now + exceeded.retry_after;
                    prop_assert!(rate.take("ann", again - Duration::from_nanos(1)).is_err());
                    prop_assert!(rate.take("ann", again).is_ok());
                    now = again;
                }
            }
        }
    }

    #[test]
    fn what_is_left_is_told_and_is_so() {
        let (rate, now) = (rate(3, SECOND * 60), Instant::now());
        for left in [2, 1, 0] {
            let budget = rate.take("ann", now).unwrap().unwrap();
            assert_eq!((budget.limit, budget.remaining), (3, left));
            assert_eq!(budget.reset, SECOND * 20 * (3 - left));
        }
        let exceeded = rate.take("ann", now).unwrap_err();
        assert_eq!((exceeded.retry_after, exceeded.budget.reset), (SECOND * 20, SECOND * 60));
        assert_eq!(exceeded.budget.remaining, 0);
        let budget = rate.take("ann", now + SECOND * 60).unwrap().unwrap();
        assert_eq!((budget.remaining, budget.reset), (2, SECOND * 20));
    }

    #[test]
    fn what_is_taken_elsewhere_is_missing_here_and_no_more_than_the_whole() {
        let (rate, now) = (rate(3, SECOND * 60), Instant::now());
        rate.debit("ann", 2, now);
        assert_eq!(rate.take("ann", now).unwrap().unwrap().remaining, 0);
        rate.debit("ann", u32::MAX, now);
        let exceeded = rate.take("ann", now).unwrap_err();
        assert_eq!((exceeded.retry_after, exceeded.budget.reset), (SECOND * 20, SECOND * 60));
        assert!(rate.take("bob", now).is_ok());
    }

    #[test]
    fn one_does_not_use_up_what_another_has() {
        let (rate, now) = (rate(1, SECOND), Instant::now());
        assert!(rate.take("ann", now).is_ok());
        assert!(rate.take("ann", now).is_err());
        assert!(rate.take("bob", now).is_ok());
    }

    #[test]
    fn a_limit_of_zero_is_none() {
        let rate = rate(0, SECOND);
        for _ in 0..10_000 {
            assert_eq!(rate.take("ann", Instant::now()).unwrap(), None);
        }
        assert_eq!(rate.budgets.lock().young.len(), 0);
    }

    #[test]
    fn a_flood_of_names_is_forgotten_and_who_stays_is_not() {
        let (rate, now) = (rate(1, SECOND), Instant::now());
        assert!(rate.take("ann", now).is_ok());
        for n in 0..3 * MAX_KEYS {
            assert!(rate.take(n, now).is_ok());
            if n % (MAX_KEYS / 2 - 1) == 0 {
                assert!(rate.take("ann", now).is_err(), "{n} others have come");
            }
            let budgets = rate.budgets.lock();
            assert!(budgets.young.len() + budgets.old.len() <= MAX_KEYS);
        }
        assert!(rate.take(0, now).is_ok(), "the first of them are forgotten");
    }
}
