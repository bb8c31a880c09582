//! What was heard on one stream: each letter once, and whether some are missing. Pure.

use std::collections::HashMap;

use super::Boot;

/// Runs that are remembered; the one that was heard longest ago makes room.
const MAX_RUNS: usize = 1_000;

/// What a letter is, by its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The next one.
    New,
    /// One that is there after others that are not.
    NewAfterGap,
    /// One that was heard before.
    Repeated,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    /// The last number of each run, and when it was heard, in letters.
    runs: HashMap<Boot, (u64, u64)>,
    letters: u64,
}

impl Ledger {
    /// A letter of a run was read. The first one of a run that is heard has a number above 1 when
    /// the run is older than this reader: what came before is missing then, too.
    pub(super) fn hear(&mut self, boot: Boot, number: u64) -> Verdict {
        self.letters += 1;
        let last = self.runs.get(&boot).map_or(0, |(last, _)| *last);
        if number <= last {
            return Verdict::Repeated;
        }
        if last == 0 && self.runs.len() >= MAX_RUNS {
            let oldest = self.runs.iter().min_by_key(|(_, (_, heard))| *heard);
            if let Some(oldest) = oldest.map(|(boot, _)| *boot) {
                self.runs.remove(&oldest);
            }
        }
        self.runs.insert(boot, (number, self.letters));
        if number == last + 1 { Verdict::New } else { Verdict::NewAfterGap }
    }
}

#[cfg(test)]
mod tests {
    use super::Verdict::{New, NewAfterGap, Repeated};
    use super::*;

    #[test]
    fn a_letter_counts_once_and_a_missing_one_shows() {
        let mut ledger = Ledger::default();
        let heard = [1, 2, 2, 1, 3, 6, 5, 4, 6, 7].map(|number| ledger.hear(Boot(1), number));
        assert_eq!(
            heard,
            [New, New, Repeated, Repeated, New, NewAfterGap, Repeated, Repeated, Repeated, New]
        );
    }

    #[test]
    fn runs_are_told_apart_and_one_that_is_joined_late_has_a_gap() {
        let mut ledger = Ledger::default();
        assert_eq!(ledger.hear(Boot(1), 1), New);
        assert_eq!(ledger.hear(Boot(2), 5), NewAfterGap);
        assert_eq!(ledger.hear(Boot(2), 6), New);
        assert_eq!(ledger.hear(Boot(1), 2), New);
    }

    #[test]
    fn runs_are_bounded_and_who_speaks_stays() {
        let mut ledger = Ledger::default();
        for n in 0..2 * MAX_RUNS as u64 {
            assert_eq!(ledger.hear(Boot(0), n + 1), New);
            ledger.hear(Boot(n + 1), 1);
            assert!(ledger.runs.len() <= MAX_RUNS);
        }
    }
}
