//! When to send in an open loop: a schedule that is fixed beforehand. Pure.

const MICROS: u64 = 1_000_000;

/// One sender's part of a rate that several keep together, each in turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Schedule {
    /// Sends a second of all senders.
    rate: u64,
    senders: u64,
    /// Whose turn: from 0.
    turn: u64,
}

impl Schedule {
    /// `turn` is below `senders`; a rate or a number of senders of 0 counts as 1.
    pub(super) fn new(rate: u32, senders: u32, turn: u32) -> Self {
        Self { rate: rate.max(1).into(), senders: senders.max(1).into(), turn: turn.into() }
    }

    /// When the sender's `nth` send (from 0) is due, in µs after the start.
    pub(super) fn due_us(&self, nth: u64) -> u64 {
        let place = u128::from(nth) * u128::from(self.senders) + u128::from(self.turn);
        let due = place * u128::from(MICROS) / u128::from(self.rate);
        u64::try_from(due).unwrap_or(u64::MAX)
    }

    /// How many sends of the sender are due before this time, in µs after the start.
    pub(super) fn due_before(&self, us: u64) -> u64 {
        let places = (u128::from(us) * u128::from(self.rate)).div_ceil(u128::from(MICROS));
        let own = places.saturating_sub(u128::from(self.turn)).div_ceil(u128::from(self.senders));
        u64::try_from(own).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_senders_together_keep_the_rate_evenly() {
        let (rate, senders) = (5_000, 8);
        let mut due: Vec<u64> = (0..senders)
            .flat_map(|turn| (0..1_000).map(move |n| Schedule::new(rate, senders, turn).due_us(n)))
            .collect();
        due.sort_unstable();
        assert_eq!((due[0], due[1], due[2]), (0, 200, 400));
        assert_eq!(due.iter().filter(|due| **due < MICROS).count(), 5_000);
        assert!(due.windows(2).all(|pair| pair[1] - pair[0] == 200));
    }

    #[test]
    fn a_rate_that_does_not_divide_a_second_does_not_drift() {
        let schedule = Schedule::new(7, 1, 0);
        assert_eq!(schedule.due_us(7), MICROS);
        assert_eq!(schedule.due_us(7 * 3_600), 3_600 * MICROS);
        assert_eq!(Schedule::new(0, 0, 0).due_us(1), MICROS);
        assert_eq!(Schedule::new(1, 2, 1).due_us(u64::MAX), u64::MAX);
    }

    #[test]
    fn what_is_due_before_a_time_is_what_is_due_before_it_one_by_one() {
        for (rate, senders, turn) in [(7, 1, 0), (5_000, 8, 3), (3, 2, 1), (1, 1, 0)] {
            let schedule = Schedule::new(rate, senders, turn);
            for us in [0, 1, 199, 200, 201, MICROS - 1, MICROS, MICROS + 1, 10 * MICROS] {
                let one_by_one = (0..).take_while(|n| schedule.due_us(*n) < us).count() as u64;
                assert_eq!(schedule.due_before(us), one_by_one, "{schedule:?} {us}");
            }
        }
    }
}
