use proptest::prelude::*;

use super::*;
use crate::buffer::overlay::Overlay;
use crate::buffer::testing::{
    Model, delete, edit, group_text, hide, id_of, newest, ops, read, sent, text,
};
use crate::model::{GroupId, Timestamp};

const SMALL: Limits = Limits { rows: 4, bytes: usize::MAX };

fn rows(sends: &[Op]) -> Vec<Message> {
    sends.iter().rev().map(|send| sent(send).clone()).collect()
}

fn texts(count: usize) -> Vec<Op> {
    (0..count).map(|n| text(&n.to_string())).collect()
}

/// Pages that have just read this much of a conversation.
fn read_into(limits: Limits, sends: &[Op], asked: usize) -> Pages {
    let mut pages = Pages::new(limits);
    let question = pages.ask(Instant::now());
    let rows = rows(&sends[sends.len().saturating_sub(asked)..]);
    answer(&mut pages, &sends[0].conversation(), question, rows, asked);
    pages
}

fn answer(
    pages: &mut Pages,
    conversation: &Conversation,
    question: Question,
    rows: Vec<Message>,
    asked: usize,
) {
    let page = Page::of(rows, asked, question, pages.limits).expect("in order");
    pages.keep(conversation, question, &Arc::new(page));
}

/// The page that a query finds in memory, as ids.
fn served(pages: &Pages, query: &HistoryQuery) -> Option<Vec<MessageId>> {
    let page = pages.get(&query.conversation)?.serve(&Pending::default(), query)?;
    Some(page.iter().map(|row| row.id).collect())
}

fn ids<'a>(sends: impl IntoIterator<Item = &'a Op>) -> Vec<MessageId> {
    sends.into_iter().map(id_of).collect()
}

#[test]
fn a_page_is_served_only_if_it_is_known_to_be_whole() {
    let sends = texts(6);
    let pages = read_into(SMALL, &sends, 4);
    let query = |range, limit| HistoryQuery { range, ..newest(&sends[0], "bob", limit) };
    let place = |n: usize| sent(&sends[n]).position();
    assert_eq!(served(&pages, &query(Range::Newest, 4)), Some(ids(sends[2..].iter().rev())));
    assert_eq!(served(&pages, &query(Range::Newest, 5)), None);
    let older = served(&pages, &query(Range::Before(place(4)), 2));
    assert_eq!(older, Some(ids([&sends[3], &sends[2]])));
    assert_eq!(served(&pages, &query(Range::Before(place(4)), 3)), None);
    let newer = served(&pages, &query(Range::After(place(2)), 2));
    assert_eq!(newer, Some(ids([&sends[4], &sends[3]])));
    assert_eq!(served(&pages, &query(Range::After(place(5)), 2)), Some(vec![]));
    assert_eq!(served(&pages, &query(Range::After(place(1)), 2)), None);

    let whole = read_into(SMALL, &sends[..3], 4);
    assert_eq!(served(&whole, &query(Range::Newest, 9)), Some(ids(sends[..3].iter().rev())));
    assert_eq!(served(&whole, &query(Range::Before(place(0)), 9)), Some(vec![]));
}

#[test]
fn what_a_viewer_has_hidden_takes_no_place_and_others_see_it() {
    let sends = texts(4);
    let mut pages = read_into(SMALL, &sends, 4);
    pages.stored(&hide(&sends[3], "bob"));
    let newest = |viewer, limit| newest(&sends[0], viewer, limit);
    let of_bob = served(&pages, &newest("bob", 3));
    assert_eq!(of_bob, Some(ids([&sends[2], &sends[1], &sends[0]])));
    assert_eq!(served(&pages, &newest("bob", 4)), None);
    assert_eq!(served(&pages, &newest("alice", 4)), Some(ids(sends.iter().rev())));
}

#[test]
fn stored_ops_change_the_rows_and_the_run_stays_short() {
    let sends = texts(7);
    let mut pages = read_into(SMALL, &sends[..4], 9);
    let query = |limit| newest(&sends[0], "bob", limit);
    pages.stored(&sends[4]);
    assert_eq!(served(&pages, &query(4)), Some(ids(sends[1..5].iter().rev())));
    assert_eq!(served(&pages, &query(5)), None, "the oldest had to go");
    pages.stored(&delete(&sends[4]));
    pages.stored(&edit(&sends[3], "x"));
    pages.stored(&read(&sends[3], "bob"));
    let page = pages.get(&sends[0].conversation()).expect("known");
    let page = page.serve(&Pending::default(), &query(3)).expect("whole");
    assert_eq!((page[0].id, page[0].read_by.len()), (id_of(&sends[3]), 1));
    assert!(page[0].edited_at.is_some());
    assert_eq!(served(&pages, &query(4)), None, "a deletion does not bring older rows back");
}

#[test]
fn an_answer_is_not_kept_if_anything_was_stored_meanwhile() {
    let sends = texts(3);
    let mut pages = Pages::new(SMALL);
    let question = pages.ask(Instant::now());
    pages.stored(&sends[2]);
    let conversation = sends[0].conversation();
    answer(&mut pages, &conversation, question, rows(&sends[..2]), 9);
    assert!(pages.get(&conversation).is_none());
    let question = pages.ask(Instant::now());
    pages.stored(&group_text(GroupId::mint(), "elsewhere"));
    answer(&mut pages, &conversation, question, rows(&sends), 9);
    // The two may share a note, which keeps the answer out without need.
    let shared = pages.place(&conversation);
    assert!(pages.get(&conversation).is_some() || pages.notes[shared] > question.epoch);
}

#[test]
fn an_older_answer_does_not_replace_a_newer_one() {
    let sends = texts(3);
    let (mut pages, now) = (Pages::new(SMALL), Instant::now());
    let conversation = sends[0].conversation();
    let (older, newer) = (pages.ask(now), pages.ask(now + FRESH));
    answer(&mut pages, &conversation, newer, rows(&sends), 9);
    answer(&mut pages, &conversation, older, rows(&sends[..1]), 9);
    let page = pages.get(&conversation).expect("known");
    assert_eq!(page.len(), 3);
    assert!(page.is_fresh(now + FRESH + FRESH / 2) && !page.is_fresh(now + 2 * FRESH));
}

#[test]
fn what_is_not_certain_is_forgotten() {
    let group = GroupId::mint();
    let sends = [group_text(group, "a"), group_text(group, "b")];
    let conversation = sends[0].conversation();
    let mut pages = read_into(SMALL, &sends, 9);
    pages.stored(&Op::PurgeGroup(group));
    assert!(pages.get(&conversation).is_none());
    let mut pages = read_into(SMALL, &sends, 9);
    let question = pages.ask(Instant::now());
    pages.forget(&conversation);
    answer(&mut pages, &conversation, question, rows(&sends), 9);
    assert!(pages.get(&conversation).is_none());
}

#[test]
fn long_messages_and_lists_of_readers_are_bounded_in_bytes() {
    let sends = texts(4);
    let one = bytes_of(sent(&sends[0]));
    let mut pages = read_into(Limits { rows: 9, bytes: 3 * one }, &sends, 9);
    let len = |pages: &Pages| pages.get(&sends[0].conversation()).expect("known").len();
    assert_eq!(len(&pages), 3);
    for n in 0..50 {
        pages.stored(&read(&sends[3], &n.to_string()));
    }
    assert_eq!(len(&pages), 1, "the newest always stays");

    let mut pages = read_into(Limits::default(), &sends, 9);
    let before = pages.cache.weight();
    pages.stored(&read(&sends[3], "bob"));
    assert!(pages.cache.weight() > before, "what has grown is weighed again");
    for n in 0..40 {
        let long = "x".repeat(2_000_000);
        let send = group_text(GroupId::mint(), &format!("{n}{long}"));
        let question = pages.ask(Instant::now());
        let rows = rows(std::slice::from_ref(&send));
        answer(&mut pages, &send.conversation(), question, rows, 9);
    }
    assert!(pages.cache.weight() <= MAX_BYTES);
    assert!((20..=35).contains(&pages.cache.len()), "{}", pages.cache.len());
}

#[test]
fn rows_that_are_not_in_their_order_are_not_kept() {
    let sends = texts(2);
    let late = Message { timestamp: Timestamp(9), ..sent(&sends[1]).clone() };
    let question = Pages::default().ask(Instant::now());
    let rows = vec![late, sent(&sends[0]).clone()];
    assert!(Page::of(rows, 9, question, SMALL).is_none());
}

#[test]
fn of_a_conversation_that_nobody_has_read_what_is_on_its_way_is_known() {
    let sends = texts(4);
    let mut overlay = Overlay::default();
    for (sequence, send) in (1..).zip(&sends[1..]) {
        overlay.insert(sequence, &Arc::new(send.clone()));
    }
    let pending = overlay.conversation(&sends[0].conversation(), 9);
    let page = Page::of_pending(&pending, Instant::now()).expect("something is on its way");
    let reach = |range, limit| {
        let query = HistoryQuery { range, ..newest(&sends[0], "bob", limit) };
        let rows = page.reach(&pending, &query)?;
        Some(rows.iter().map(|row| row.id).collect::<Vec<_>>())
    };
    let place = |n: usize| sent(&sends[n]).position();
    assert_eq!(reach(Range::Newest, 9), Some(ids(sends[1..].iter().rev())));
    assert_eq!(reach(Range::Before(place(3)), 9), Some(ids([&sends[2], &sends[1]])));
    assert_eq!(reach(Range::Before(place(1)), 9), None);
    assert_eq!(reach(Range::After(place(1)), 1), Some(ids([&sends[2]])));
    assert_eq!(reach(Range::After(place(0)), 1), None, "there may be stored ones between");
    assert!(Page::of_pending(&Pending::default(), Instant::now()).is_none());
}

/// What happens next.
#[derive(Debug, Clone)]
enum Step {
    Accept,
    /// The store gets one op more.
    Store,
    /// The buffer hears of it.
    Release,
    /// The store refuses the next op for good.
    Refuse,
    /// Somebody asks the store for the newest rows of the conversation of an op.
    Ask(usize, usize),
    /// The store reads them: of all questions, one.
    Look(usize),
    /// The answer arrives.
    Answer(usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => Just(Step::Accept),
        6 => Just(Step::Store),
        6 => Just(Step::Release),
        1 => Just(Step::Refuse),
        4 => (0..40_usize, 1..9_usize).prop_map(|(at, rows)| Step::Ask(at, rows)),
        4 => (0..4_usize).prop_map(Step::Look),
        4 => (0..4_usize).prop_map(Step::Answer),
    ];
    prop::collection::vec(step, 1..150)
}

struct Asked {
    op: Arc<Op>,
    question: Question,
    limit: usize,
    rows: Option<Vec<Message>>,
}

/// A buffer in its parts: ops `..flushed` are stored and let go of, `..stored` are stored.
struct World {
    run: Vec<Arc<Op>>,
    accepted: usize,
    stored: usize,
    flushed: usize,
    overlay: Overlay,
    pages: Pages,
    store: Model,
    asked: Vec<Asked>,
    served: usize,
}

impl World {
    fn new(run: Vec<Arc<Op>>, limits: Limits) -> Self {
        let (overlay, pages, store) = (Overlay::default(), Pages::new(limits), Model::default());
        let (accepted, stored, flushed, served) = (0, 0, 0, 0);
        Self { run, accepted, stored, flushed, overlay, pages, store, asked: vec![], served }
    }

    fn take(&mut self, step: &Step) {
        match *step {
            Step::Accept if self.accepted < self.run.len() => {
                self.overlay.insert(self.accepted as u64 + 1, &self.run[self.accepted]);
                self.accepted += 1;
            }
            Step::Store if self.stored < self.accepted => {
                self.store.apply_op(&self.run[self.stored]);
                self.stored += 1;
            }
            Step::Release if self.flushed < self.stored => {
                self.overlay.remove(self.flushed as u64 + 1, &self.run[self.flushed]);
                self.pages.stored(&self.run[self.flushed]);
                self.flushed += 1;
            }
            Step::Refuse if self.flushed == self.stored && self.stored < self.accepted => {
                self.overlay.remove(self.flushed as u64 + 1, &self.run[self.flushed]);
                self.pages.forget(&self.run[self.flushed].conversation());
                self.flushed += 1;
                self.stored += 1;
            }
            Step::Ask(at, limit) if self.asked.len() < 4 => {
                let (op, question) =
                    (&self.run[at % self.run.len()], self.pages.ask(Instant::now()));
                self.asked.push(Asked { op: Arc::clone(op), question, limit, rows: None });
            }
            Step::Look(at) if at < self.asked.len() => {
                let asked = &mut self.asked[at];
                let newest =
                    HistoryQuery { viewer: None, ..newest(&asked.op, "nobody", asked.limit) };
                asked.rows.get_or_insert_with(|| self.store.history(&newest));
            }
            Step::Answer(at) if self.asked.get(at).is_some_and(|asked| asked.rows.is_some()) => {
                let Asked { op, question, limit, rows } = self.asked.remove(at);
                let rows = rows.expect("looked up");
                answer(&mut self.pages, &op.conversation(), question, rows, limit);
            }
            _ => {}
        }
        self.check();
    }

    /// Whatever is served from memory is what the store would say, with the pending ops over it.
    fn check(&mut self) {
        let mut expected = self.store.clone();
        self.run[self.flushed..self.accepted].iter().for_each(|op| expected.apply_op(op));
        for op in self.run.iter().filter(|op| matches!(***op, Op::Send(_))) {
            let Some(page) = self.pages.get(&op.conversation()) else { continue };
            let pending = self.overlay.conversation(&op.conversation(), u64::MAX);
            let place = sent(op).position();
            for (number, range) in
                [Range::Newest, Range::Before(place), Range::After(place)].into_iter().enumerate()
            {
                let viewer = ["a", "b", "c"][number];
                let query = HistoryQuery { range, ..newest(op, viewer, 1 + number) };
                let right = expected.history(&query);
                if let Some(rows) = page.serve(&pending, &query) {
                    assert!(rows.iter().map(|row| &**row).eq(&right), "{query:?}: {rows:?}");
                    self.served += 1;
                }
                if let Some(rows) = page.reach(&pending, &query) {
                    let part = rows.iter().map(|row| &**row).zip(&right).all(|(a, b)| a == b);
                    assert!(part && rows.len() <= right.len(), "{query:?}: {rows:?}");
                }
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn pages_in_memory_are_the_stores_answer_whatever_happens(
        run in ops(), steps in steps(), is_wide in any::<bool>(),
    ) {
        let bytes = if is_wide { usize::MAX } else { 1_800 };
        let mut world = World::new(run, Limits { rows: 4, bytes });
        steps.iter().for_each(|step| world.take(step));
    }
}

#[test]
fn the_simulation_serves_pages_from_memory() {
    use proptest::strategy::ValueTree;
    use proptest::test_runner::TestRunner;

    let mut runner = TestRunner::deterministic();
    let mut served = 0;
    for _ in 0..50 {
        let (run, steps) = (ops(), steps()).new_tree(&mut runner).expect("a case").current();
        let mut world = World::new(run, SMALL);
        steps.iter().for_each(|step| world.take(step));
        served += world.served;
    }
    assert!(served > 1_000, "too little happens: {served}");
}

#[test]
fn when_all_is_forgotten_an_answer_that_is_under_way_is_not_kept() {
    let sends = texts(2);
    let mut pages = read_into(SMALL, &sends, 4);
    let query = newest(&sends[0], "bob", 2);
    let under_way = pages.ask(Instant::now());
    pages.forget_all();
    assert_eq!(served(&pages, &query), None);
    answer(&mut pages, &sends[0].conversation(), under_way, rows(&sends), 4);
    assert_eq!(served(&pages, &query), None, "it may be from before");
    let later = pages.ask(Instant::now());
    answer(&mut pages, &sends[0].conversation(), later, rows(&sends), 4);
    assert_eq!(served(&pages, &query), Some(ids(sends.iter().rev())));
}
