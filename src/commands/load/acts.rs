//! What people do in a day of chat, and how often. Pure.

/// One thing that a user does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Act {
    /// Writes to the partner.
    Direct,
    /// Writes to the group.
    Group,
    /// Marks the last message of another as read.
    Receipt,
    /// Types to the partner; servers of the first contract ignore it.
    Typing,
    /// Changes what it said last.
    Edit,
    /// Takes back what it said last.
    Delete,
    /// Reads a page of history, by HTTP.
    History,
    /// Comes with a second device for a moment: connects, joins, reads a page, leaves.
    Reconnect,
}

/// How often each is done, in a hundred: more reading than writing, and few second thoughts.
const WEIGHTS: [(Act, u64); 8] = [
    (Act::Direct, 30),
    (Act::Group, 20),
    (Act::Receipt, 25),
    (Act::Typing, 15),
    (Act::Edit, 3),
    (Act::Delete, 2),
    (Act::History, 4),
    (Act::Reconnect, 1),
];

impl Act {
    /// The `nth` act of a user: the same for the same seed.
    pub(super) fn choose(seed: u64, user: u32, nth: u64) -> Self {
        let whole: u64 = WEIGHTS.iter().map(|(_, weight)| weight).sum();
        let mut place = mixed(mixed(mixed(seed) ^ u64::from(user)) ^ nth) % whole;
        for (act, weight) in WEIGHTS {
            if place < weight {
                return act;
            }
            place -= weight;
        }
        Self::Direct
    }

    /// Its name in a report.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Group => "group",
            Self::Receipt => "receipt",
            Self::Typing => "typing",
            Self::Edit => "edit",
            Self::Delete => "delete",
            Self::History => "history",
            Self::Reconnect => "reconnect",
        }
    }
}

/// The finalizer of splitmix64 (Steele, Lea, Flood 2014), behind its increment.
fn mixed(value: u64) -> u64 {
    let value = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_act_comes_about_as_often_as_it_weighs() {
        let acts: Vec<_> = (0..100).flat_map(|user| (0..100).map(move |n| (user, n))).collect();
        for (wanted, weight) in WEIGHTS {
            let is_it = |(user, nth): &&(u32, u64)| Act::choose(1, *user, *nth) == wanted;
            let share = acts.iter().filter(is_it).count() as f64 / acts.len() as f64 * 100.0;
            assert!((share - weight as f64).abs() < 2.0, "{wanted:?} {share}");
        }
    }

    #[test]
    fn a_seed_tells_the_whole_day() {
        let day = |seed| (0..200).map(|nth| Act::choose(seed, 7, nth)).collect::<Vec<_>>();
        assert_eq!(day(1), day(1));
        assert_ne!(day(1), day(2));
    }
}
