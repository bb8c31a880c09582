//! Who is typing where, and what of it is told. Pure: it is given the time and tells nobody itself.
//!
//! Of each typist and conversation two things are known: whether the user types, and what was told
//! last. [`Typing::due`] brings the second in line with the first, so a start and a stop between
//! two looks are nothing, and whoever was told of a start is told of its end. Starts that come too
//! soon after the last one that was told are told when they may be, if they still hold then.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use tokio::time::Instant;

use crate::model::{Target, UserId};

/// A user who says nothing more about typing has stopped after this long.
const SILENCE: Duration = Duration::from_secs(6);
/// The time between two starts of one user in one conversation that are told.
const APART: Duration = Duration::from_secs(2);
/// Most users who type at the same time: at about 300 bytes each.
const MAX_TYPISTS: usize = 100_000;
/// Most conversations in which one user types at the same time.
const MAX_CONVERSATIONS: usize = 64;

/// What is to be told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Told {
    pub(super) user: UserId,
    pub(super) to: Target,
    pub(super) is_typing: bool,
}

/// Why a start is not taken: too many type, or this user does in too many conversations.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TooMany;

/// A place among what is due; the number tells those of one instant apart.
type Due = (Instant, u64);

#[derive(Debug, Default)]
struct State {
    /// Until when the user types; `None` for one who does not.
    until: Option<Instant>,
    /// Whether the others have been told so.
    is_told: bool,
    /// When they were told of the last start.
    last_start: Option<Instant>,
    /// Whether a start came since, and late enough to be told, too.
    goes_on: bool,
    due: Option<Due>,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Typing {
    typists: HashMap<UserId, HashMap<Target, State>>,
    due: BTreeMap<Due, (UserId, Target)>,
    numbers: u64,
}

impl Typing {
    /// A user types in a conversation, or still does.
    pub(super) fn start(
        &mut self,
        user: &UserId,
        to: &Target,
        now: Instant,
    ) -> Result<(), TooMany> {
        let has_room = self.typists.len() < MAX_TYPISTS;
        let states = match self.typists.get_mut(user) {
            Some(states) => states,
            None if has_room => self.typists.entry(user.clone()).or_default(),
            None => return Err(TooMany),
        };
        if !states.contains_key(to) && states.len() >= MAX_CONVERSATIONS {
            return Err(TooMany);
        }
        let state = states.entry(to.clone()).or_default();
        state.until = Some(now + SILENCE);
        let may_tell_at = state.last_start.map_or(now, |last| last + APART);
        state.goes_on = state.is_told && may_tell_at <= now;
        // A start that is told needs a look only when it would end, and that look is set.
        if !state.is_told || state.goes_on {
            self.look_at(user, to, may_tell_at.max(now));
        }
        Ok(())
    }

    /// A user types no longer in a conversation.
    pub(super) fn stop(&mut self, user: &UserId, to: &Target, now: Instant) {
        let states = self.typists.get_mut(user);
        if let Some(state) = states.and_then(|states| states.get_mut(to))
            && state.until.take().is_some()
        {
            self.look_at(user, to, now);
        }
    }

    /// A user is gone, and types nowhere.
    pub(super) fn stop_all(&mut self, user: &UserId, now: Instant) {
        let Some(states) = self.typists.get(user) else { return };
        for to in states.keys().cloned().collect::<Vec<_>>() {
            self.stop(user, &to, now);
        }
    }

    /// Whether nobody types.
    pub(super) fn is_idle(&self) -> bool {
        self.typists.is_empty()
    }

    /// The next instant at which [`Typing::due`] has something to do.
    pub(super) fn next_due(&self) -> Option<Instant> {
        self.due.first_key_value().map(|((at, _), _)| *at)
    }

    /// What is to be told by now, in order; at the most `limit` conversations are looked at.
    pub(super) fn due(&mut self, now: Instant, limit: usize) -> Vec<Told> {
        let mut told = Vec::new();
        for _ in 0..limit {
            let Some(first) = self.due.first_entry().filter(|first| first.key().0 <= now) else {
                break;
            };
            let (user, to) = first.remove();
            if let Some(is_typing) = self.look(&user, &to, now) {
                told.push(Told { user, to, is_typing });
            }
        }
        told
    }

    /// Brings what was told about one conversation in line with what is so.
    fn look(&mut self, user: &UserId, to: &Target, now: Instant) -> Option<bool> {
        let states = self.typists.get_mut(user)?;
        let state = states.get_mut(to)?;
        state.due = None;
        state.until = state.until.filter(|until| *until > now);
        let may_start_at = state.last_start.map_or(now, |last| last + APART);
        let told = match (state.until, state.is_told) {
            (None, true) => Some(false),
            (Some(_), false) if may_start_at <= now => Some(true),
            (Some(_), true) if state.goes_on => Some(true),
            _ => None,
        };
        state.goes_on = false;
        if let Some(is_typing) = told {
            state.is_told = is_typing;
            state.last_start = if is_typing { Some(now) } else { state.last_start };
        }
        // Who does not type is kept only while a start would come too soon.
        let next = match state.until {
            Some(until) if state.is_told => Some(until),
            Some(until) => Some(until.min(may_start_at)),
            None => Some(may_start_at).filter(|at| *at > now),
        };
        match next {
            Some(at) => self.look_at(user, to, at),
            None => {
                states.remove(to);
                if states.is_empty() {
                    self.typists.remove(user);
                }
            }
        }
        told
    }

    /// Has a conversation looked at by then; a look that comes sooner sets the next one itself.
    fn look_at(&mut self, user: &UserId, to: &Target, at: Instant) {
        let states = self.typists.get_mut(user);
        let Some(state) = states.and_then(|states| states.get_mut(to)) else { return };
        if state.due.is_some_and(|(earlier, _)| earlier <= at) {
            return;
        }
        self.numbers += 1;
        let due = (at, self.numbers);
        let entry = match state.due.replace(due).and_then(|later| self.due.remove(&later)) {
            Some(entry) => entry,
            None => (user.clone(), to.clone()),
        };
        self.due.insert(due, entry);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn user(name: &str) -> UserId {
        UserId::parse(name).unwrap()
    }

    fn bob() -> Target {
        Target::User(user("bob"))
    }

    /// One typist, and a time that is moved by hand.
    struct Bed {
        typing: Typing,
        ann: UserId,
        start: Instant,
    }

    impl Bed {
        fn new() -> Self {
            Self { typing: Typing::default(), ann: user("ann"), start: Instant::now() }
        }

        fn at(&self, ms: u32) -> Instant {
            self.start + MS * ms
        }

        fn starts(&mut self, ms: u32) {
            self.typing.start(&self.ann, &bob(), self.at(ms)).unwrap();
        }

        fn stops(&mut self, ms: u32) {
            self.typing.stop(&self.ann, &bob(), self.at(ms));
        }

        /// What is told up to and including this time, each thing when it is due.
        fn told(&mut self, until_ms: u32) -> Vec<(u32, bool)> {
            let mut told = Vec::new();
            while let Some(due) = self.typing.next_due().filter(|due| *due <= self.at(until_ms)) {
                let ms = u32::try_from(due.duration_since(self.start).as_millis()).unwrap();
                told.extend(self.typing.due(due, 10).into_iter().map(|t| (ms, t.is_typing)));
            }
            told
        }

        fn ends(&mut self) {
            self.told(1_000_000);
            assert!(self.typing.is_idle() && self.typing.due.is_empty(), "{:?}", self.typing);
        }
    }

    #[test]
    fn a_start_and_a_stop_are_told() {
        let mut bed = Bed::new();
        bed.starts(0);
        assert_eq!(bed.told(500), [(0, true)]);
        bed.stops(500);
        assert_eq!(bed.told(60_000), [(500, false)]);
        bed.ends();
    }

    #[test]
    fn silence_is_a_stop() {
        let mut bed = Bed::new();
        bed.starts(0);
        assert_eq!(bed.told(5_999), [(0, true)]);
        assert_eq!(bed.told(60_000), [(6_000, false)]);
        bed.ends();
    }

    #[test]
    fn who_goes_on_is_told_again_and_stops_after_the_last_word() {
        let mut bed = Bed::new();
        bed.starts(0);
        assert_eq!(bed.told(1_999), [(0, true)]);
        bed.starts(1_999);
        assert_eq!(bed.told(4_000), [], "too soon to be told again");
        bed.starts(4_000);
        assert_eq!(bed.told(60_000), [(4_000, true), (10_000, false)]);
        bed.ends();
    }

    #[test]
    fn a_stop_without_a_start_is_nothing() {
        let mut bed = Bed::new();
        bed.stops(0);
        assert!(bed.typing.is_idle());
        bed.starts(10);
        bed.stops(10);
        assert_eq!(bed.told(60_000), [], "nobody has seen the start");
        bed.ends();
    }

    #[test]
    fn start_stop_start_within_two_seconds_tells_the_second_start_late() {
        let mut bed = Bed::new();
        bed.starts(0);
        assert_eq!(bed.told(100), [(0, true)]);
        bed.stops(100);
        assert_eq!(bed.told(200), [(100, false)]);
        bed.starts(200);
        assert_eq!(bed.told(60_000), [(2_000, true), (6_200, false)]);
        bed.ends();
    }

    #[test]
    fn start_stop_start_stop_within_two_seconds_leaves_nobody_stuck() {
        let mut bed = Bed::new();
        bed.starts(0);
        assert_eq!(bed.told(100), [(0, true)]);
        bed.stops(100);
        bed.starts(200);
        bed.stops(300);
        assert_eq!(bed.told(60_000), [(100, false)], "one start, one stop");
        bed.ends();
    }

    #[test]
    fn a_start_that_takes_back_an_untold_stop_tells_nothing() {
        let mut bed = Bed::new();
        bed.starts(0);
        assert_eq!(bed.told(100), [(0, true)]);
        bed.stops(200);
        bed.starts(200);
        assert_eq!(bed.told(60_000), [(6_200, false)]);
        bed.ends();
    }

    #[test]
    fn no_flood_of_starts_and_stops_tells_more_than_a_start_in_two_seconds() {
        let mut bed = Bed::new();
        let mut told = Vec::new();
        for n in 0..10_000 {
            let ms = n * 7;
            if n * 31 % 5 < 3 {
                bed.starts(ms)
            } else {
                bed.stops(ms)
            }
            told.extend(bed.told(ms));
        }
        told.extend(bed.told(1_000_000));
        let starts: Vec<_> = told.iter().filter(|(_, is)| *is).map(|(ms, _)| *ms).collect();
        assert!(starts.len() > 20, "{starts:?}");
        assert!(starts.windows(2).all(|pair| pair[1] - pair[0] >= 2_000), "{starts:?}");
        assert_eq!(told.last().map(|(_, is)| *is), Some(false));
        let stops = told.iter().zip(&told[1..]).filter(|(a, b)| !a.1 && !b.1).count();
        assert_eq!(stops, 0, "a stop follows a start");
        bed.ends();
    }

    #[test]
    fn who_is_gone_types_nowhere() {
        let mut bed = Bed::new();
        let ann = bed.ann.clone();
        bed.starts(0);
        bed.typing.start(&ann, &Target::User(user("cem")), bed.at(0)).unwrap();
        assert_eq!(bed.told(0).len(), 2);
        bed.typing.stop_all(&ann, bed.at(10));
        assert_eq!(bed.told(10), [(10, false), (10, false)]);
        bed.ends();
    }

    #[test]
    fn conversations_are_told_apart() {
        let mut bed = Bed::new();
        let (ann, group) = (bed.ann.clone(), Target::Group(crate::model::GroupId::mint()));
        bed.starts(0);
        bed.typing.start(&ann, &group, bed.at(1)).unwrap();
        bed.typing.start(&user("cem"), &bob(), bed.at(2)).unwrap();
        let told = bed.typing.due(bed.at(5), 10);
        let told: Vec<_> = told.iter().map(|t| (t.user.as_str(), &t.to)).collect();
        assert_eq!(told, [("ann", &bob()), ("ann", &group), ("cem", &bob())]);
    }

    #[test]
    fn typists_and_their_conversations_are_bounded() {
        let mut bed = Bed::new();
        let (ann, now) = (bed.ann.clone(), bed.at(0));
        for n in 0..MAX_CONVERSATIONS {
            bed.typing.start(&ann, &Target::User(user(&n.to_string())), now).unwrap();
        }
        assert_eq!(bed.typing.start(&ann, &bob(), now), Err(TooMany));
        bed.typing.start(&ann, &Target::User(user("7")), now).unwrap();
        for n in 1..MAX_TYPISTS {
            bed.typing.start(&user(&format!("u{n}")), &bob(), now).unwrap();
        }
        assert_eq!(bed.typing.start(&user("late"), &bob(), now), Err(TooMany));
        while !bed.typing.due(bed.at(10_000), 1_000).is_empty() {}
        bed.typing.start(&user("late"), &bob(), bed.at(10_000)).unwrap();
    }
}
