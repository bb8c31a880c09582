//! Random batches on a store and on the model, which must tell the same afterwards.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use banter::model::{
    Batch, Content, Conversation, Deletion, Emoji, Group, GroupChange, GroupId, Message,
    MessageChange, MessageId, Pin, Reaction, ReadCursor, Target, Timestamp, Until, UserId,
};
use banter::store::{HistoryQuery, Range, Store};
use proptest::collection::{btree_map, btree_set, vec};
use proptest::prelude::{Strategy, any, prop_oneof};
use proptest::sample::subsequence;
use proptest::test_runner::{Config, FileFailurePersistence, TestRunner};

use super::catch_up::Follower;
use super::model::Model;
use crate::make::{client, deletion, direct, group, in_group, stored, user};

const USERS: usize = 3;
const GROUPS: usize = 2;
const MESSAGES: usize = 14;
/// The first messages, which others answer.
const ROOTS: usize = 2;

/// A message by numbers: who sends it to whom, and when. A few times for many messages, so that
/// ties are common.
#[derive(Debug, Clone)]
struct MessageSketch {
    from: usize,
    to: TargetSketch,
    at: i64,
    has_client_id: bool,
}

#[derive(Debug, Clone)]
enum TargetSketch {
    User(usize),
    Group(usize),
}

#[derive(Debug, Clone)]
struct ChangeSketch {
    edits: Vec<(String, i64)>,
    delivered: bool,
    /// (user, emoji, whether it is there)
    reactions: BTreeMap<(usize, usize), bool>,
    pin: Option<(bool, i64)>,
    readers: Vec<usize>,
    hidden_for: Vec<usize>,
}

const EMOJI: [&str; 2] = ["👍", "👩‍👩‍👧‍👦"];

/// A batch by numbers of messages, users and groups.
#[derive(Debug, Clone)]
struct BatchSketch {
    inserts: BTreeSet<usize>,
    changes: BTreeMap<usize, ChangeSketch>,
    deletes: BTreeSet<usize>,
    purges: BTreeSet<usize>,
    /// (user, group) to the message whose place is read.
    cursors: BTreeMap<(usize, usize), usize>,
    /// What becomes of a group after it.
    regrouped: (usize, GroupChangeSketch),
    times: usize,
}

#[derive(Debug, Clone)]
enum GroupChangeSketch {
    Name(String),
    Public(bool),
    Admin(usize, bool),
    Owner(usize),
    Silence(usize, Option<i64>, i64),
}

fn group_change_sketch() -> impl Strategy<Value = GroupChangeSketch> {
    let until = proptest::option::of(0..9_i64);
    prop_oneof![
        1 => any::<String>().prop_map(GroupChangeSketch::Name),
        1 => any::<bool>().prop_map(GroupChangeSketch::Public),
        4 => (0..USERS, any::<bool>()).prop_map(|(who, on)| GroupChangeSketch::Admin(who, on)),
        2 => (0..USERS).prop_map(GroupChangeSketch::Owner),
        4 => (0..USERS, until, 0..9_i64)
            .prop_map(|(who, until, now)| GroupChangeSketch::Silence(who, until, now)),
    ]
}

fn message_sketch() -> impl Strategy<Value = MessageSketch> {
    let to = prop_oneof![
        (0..USERS).prop_map(TargetSketch::User),
        (0..GROUPS).prop_map(TargetSketch::Group)
    ];
    (0..USERS, to, 0..5_i64, any::<bool>())
        .prop_map(|(from, to, at, has_client_id)| MessageSketch { from, to, at, has_client_id })
}

fn change_sketch() -> impl Strategy<Value = ChangeSketch> {
    let edits = vec((any::<String>(), 10..20_i64), 0..3);
    let users = || subsequence((0..USERS).collect::<Vec<_>>(), 0..=USERS).prop_shuffle();
    let reactions = btree_map((0..USERS, 0..EMOJI.len()), any::<bool>(), 0..3);
    let pin = proptest::option::of((any::<bool>(), 10..20_i64));
    (edits, any::<bool>(), reactions, pin, users(), users()).prop_map(
        |(edits, delivered, reactions, pin, readers, hidden_for)| ChangeSketch {
            edits,
            delivered,
            reactions,
            pin,
            readers,
            hidden_for,
        },
    )
}

fn batch_sketch() -> impl Strategy<Value = BatchSketch> {
    let purges = prop_oneof![9 => btree_set(0..GROUPS, 0..1), 1 => btree_set(0..GROUPS, 1..2)];
    (
        btree_set(0..MESSAGES, 0..6),
        btree_map(0..MESSAGES, change_sketch(), 0..5),
        btree_set(0..MESSAGES, 0..2),
        purges,
        btree_map((0..USERS, 0..GROUPS), 0..MESSAGES, 0..3),
        (0..GROUPS, group_change_sketch()),
        1..3_usize,
    )
        .prop_map(|(inserts, changes, deletes, purges, cursors, regrouped, times)| {
            BatchSketch { inserts, changes, deletes, purges, cursors, regrouped, times }
        })
}

/// What the numbers stand for in one case: names of its own, so that cases share a store.
struct World {
    users: Vec<UserId>,
    groups: Vec<Group>,
    messages: Vec<Message>,
    purged: BTreeSet<GroupId>,
}

impl World {
    fn new(sketches: &[MessageSketch]) -> Self {
        let case = MessageId::mint();
        let names: Vec<String> =
            (0..USERS).map(|number| format!("user {number} of {case}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let groups: Vec<Group> =
            (0..GROUPS).map(|number| group("team", &names[number..], 0)).collect();
        let message = |(number, sketch): (usize, &MessageSketch)| {
            let from = names[sketch.from];
            let message = match sketch.to {
                TargetSketch::User(to) => direct(from, names[to], sketch.at),
                TargetSketch::Group(to) => in_group(groups[to].id, from, sketch.at),
            };
            let client_id = sketch.has_client_id.then(|| client(&number.to_string()));
            Message { client_id, ..message }
        };
        let mut messages: Vec<Message> = sketches.iter().enumerate().map(message).collect();
        let roots: Vec<_> = messages.iter().take(ROOTS).map(|message| message.id).collect();
        for (number, message) in messages.iter_mut().enumerate().skip(ROOTS) {
            message.reply_to = (number % 3 > 0).then(|| roots[number % ROOTS]);
        }
        let users = names.iter().map(|name| user(name)).collect();
        Self { users, groups, messages, purged: BTreeSet::new() }
    }

    /// The batch of a sketch, as the write buffer would fold it: a message that the batch inserts
    /// is not changed by it, and nothing is written for a group after its purge.
    fn batch(&mut self, sketch: &BatchSketch) -> Batch {
        let alive = |message: &Message| match message.target {
            Target::Group(group) => !self.purged.contains(&group),
            Target::User(_) => true,
        };
        let changes = sketch.changes.iter().filter(|(number, _)| !sketch.inserts.contains(number));
        let cursors = sketch.cursors.iter().map(|((user, group), message)| ReadCursor {
            user: self.users[*user].clone(),
            group: self.groups[*group].id,
            up_to: self.messages[*message].position(),
        });
        let inserts = sketch.inserts.iter().map(|number| &self.messages[*number]);
        let batch = Batch {
            inserts: inserts.filter(|message| alive(message)).cloned().map(Arc::new).collect(),
            changes: changes.map(|(number, change)| self.change(*number, change)).collect(),
            deletes: sketch
                .deletes
                .iter()
                .map(|number| &self.messages[*number])
                .map(|row| Deletion { conversation: row.conversation(), ..deletion(row.id) })
                .collect(),
            purges: sketch.purges.iter().map(|number| self.groups[*number].id).collect(),
            cursors: cursors.collect(),
        };
        self.purged.extend(&batch.purges);
        batch
    }

    /// The change of a sketch, of which roles only go to members, and none to the owner.
    fn group_change(&self, team: &Group, sketch: &GroupChangeSketch) -> Option<GroupChange> {
        let who = |number: &usize| self.users[*number].clone();
        let member = |number: &usize| Some(who(number)).filter(|user| team.has(user));
        let other = |number: &usize| member(number).filter(|user| *user != team.owner);
        Some(match sketch {
            GroupChangeSketch::Name(name) => GroupChange::Name(name.clone()),
            GroupChangeSketch::Public(is_public) => GroupChange::Public(*is_public),
            GroupChangeSketch::Admin(number, is_admin) => {
                GroupChange::Admin { user: other(number)?, is_admin: *is_admin }
            }
            GroupChangeSketch::Owner(number) => {
                GroupChange::Owner { user: other(number)?, former: Some(team.owner.clone()) }
            }
            GroupChangeSketch::Silence(number, until, now) => GroupChange::Silence {
                user: who(number),
                until: until
                    .map(|until| Until::from_stored((until > 0).then_some(Timestamp(until)))),
                now: Timestamp(*now),
            },
        })
    }

    /// Changes a group, on the store as often as the sketch says.
    async fn regroup(&mut self, store: &dyn Store, sketch: &BatchSketch) {
        let (number, change) = &sketch.regrouped;
        let Some(change) = self.group_change(&self.groups[*number], change) else { return };
        let team = &mut self.groups[*number];
        change.make(team);
        for _ in 0..sketch.times {
            let is_there = store.change_group(team.id, &change).await.expect("the store answers");
            let stored = store.group(team.id).await.expect("the store answers");
            assert_eq!((is_there, stored.as_ref()), (true, Some(&*team)), "{change:?}");
        }
    }

    fn change(&self, number: usize, sketch: &ChangeSketch) -> MessageChange {
        let users =
            |numbers: &[usize]| numbers.iter().map(|number| self.users[*number].clone()).collect();
        let text = |(text, at): &(String, i64)| (Content::Text(text.clone()), Timestamp(*at));
        let reaction = |((who, emoji), on): (&(usize, usize), &bool)| {
            let emoji = Emoji::parse(EMOJI[*emoji]).expect("an emoji");
            (Reaction { user: self.users[*who].clone(), emoji }, *on)
        };
        let message = &self.messages[number];
        MessageChange {
            edits: sketch.edits.iter().map(text).collect(),
            delivered: sketch.delivered,
            readers: users(&sketch.readers),
            hidden_for: users(&sketch.hidden_for),
            reactions: sketch.reactions.iter().map(reaction).collect(),
            pin: sketch.pin.map(|(pinned, at)| Pin {
                pinned,
                by: self.users[0].clone(),
                at: Timestamp(at),
            }),
            ..MessageChange::none(message.id, message.conversation())
        }
    }

    fn conversations(&self) -> Vec<Conversation> {
        let pairs = (0..USERS).flat_map(|a| (a..USERS).map(move |b| (a, b)));
        let direct =
            pairs.map(|(a, b)| Conversation::direct(self.users[a].clone(), self.users[b].clone()));
        direct.chain(self.groups.iter().map(|group| Conversation::Group(group.id))).collect()
    }

    /// A follower for each user.
    fn followers(&self) -> Vec<Follower> {
        let follow = |user: &UserId| {
            let teams = self.groups.iter().filter(|team| team.has(user));
            Follower::new(user.clone(), teams.map(|team| team.id).collect())
        };
        self.users.iter().map(follow).collect()
    }

    /// Who has followed all changes has what is stored: all of the user's, nothing else.
    fn compare_copy(&self, user: &UserId, copy: &BTreeMap<MessageId, Message>, model: &Model) {
        for message in &self.messages {
            let concerns = match &message.target {
                Target::User(to) => to == user || message.from == *user,
                Target::Group(id) => {
                    // Of a group that is gone its members are told, and not of its messages.
                    let team = self.groups.iter().find(|team| team.id == *id);
                    team.is_some_and(|team| team.has(user)) && !self.purged.contains(id)
                }
            };
            let stored = model.message(message.id).filter(|_| concerns);
            let stored = stored.map(|row| Message { revisions: Vec::new(), ..row.clone() });
            let is_purged =
                matches!(message.target, Target::Group(id) if self.purged.contains(&id));
            if !is_purged {
                assert_eq!(copy.get(&message.id).cloned(), stored, "{user}'s copy");
            }
        }
    }

    async fn compare(&self, store: &dyn Store, model: &Model) {
        for message in &self.messages {
            assert_eq!(stored(store, message.id).await.as_ref(), model.message(message.id));
            let sent_at = store.sent_at(message.id).await.expect("the store answers");
            assert_eq!(sent_at, model.sent_at(message.id));
            if let Some(client_id) = &message.client_id {
                let found = store.sent_as(&message.from, client_id).await;
                let expected = model.sent_as(&message.from, client_id);
                assert_eq!(found.expect("the store answers"), expected, "{client_id:?}");
            }
        }
        let ids: Vec<_> = self.messages.iter().map(|message| message.id).collect();
        for except in [&[][..], &ids[ROOTS..ROOTS + 3]] {
            let counts = store.reply_counts(&ids, except).await.expect("the store answers");
            let counts: BTreeMap<_, _> = counts.into_iter().filter(|(_, n)| *n > 0).collect();
            assert_eq!(counts, model.reply_counts(except));
        }
        for conversation in self.conversations() {
            let rows = store.pins(&conversation, 3).await.expect("the store answers");
            assert_eq!(rows, model.pins(&conversation, 3), "pins of {conversation:?}");
        }
        for user in &self.users {
            let unread = store.unread(user, None, &[]).await.expect("the store answers");
            assert_eq!(unread, model.unread(user, &self.groups), "unread of {user}");
            let all = store.chats(user, None, 100).await.expect("the store answers");
            assert_eq!(all, model.chats(user, &self.groups, None, 100), "chats of {user}");
            for before in all.iter().map(|chat| Some(chat.place)).chain([None]) {
                let page = store.chats(user, before, 2).await.expect("the store answers");
                let expected = model.chats(user, &self.groups, before, 2);
                assert_eq!(page, expected, "chats of {user} before {before:?}");
            }
        }
        let middle = self.messages[MESSAGES / 2].position();
        let viewers = self.users.iter().cloned().map(Some).chain([None]);
        for (number, viewer) in viewers.enumerate() {
            for conversation in self.conversations() {
                for (range, limit) in [
                    (Range::Newest, 100),
                    (Range::Newest, number + 1),
                    (Range::Before(middle), 100),
                    (Range::Before(middle), number + 1),
                    (Range::After(middle), 100),
                    (Range::After(middle), number + 1),
                ] {
                    let query = HistoryQuery {
                        conversation: conversation.clone(),
                        viewer: viewer.clone(),
                        range,
                        limit,
                    };
                    let rows = store.history(&query).await.expect("the store answers");
                    assert_eq!(rows, model.history(&query), "{query:?}");
                    let root = self.messages[number % ROOTS].id;
                    let rows = store.replies(root, &query).await.expect("the store answers");
                    assert_eq!(rows, model.replies(root, &query), "replies, {query:?}");
                }
            }
        }
    }
}

async fn run(store: &dyn Store, messages: &[MessageSketch], batches: &[BatchSketch]) {
    let mut world = World::new(messages);
    let mut model = Model::default();
    let others = store.health().await.expect("the store answers").messages_count;
    for group in &world.groups {
        store.create_group(group).await.expect("a new group");
    }
    let mut followers = world.followers();
    for (number, sketch) in batches.iter().enumerate() {
        let batch = world.batch(sketch);
        let mut once = None;
        for _ in 0..sketch.times {
            let applied = store.apply(&batch).await.expect("the batch is taken");
            assert_eq!(applied.missing, model.apply(&batch).missing, "{batch:?}");
            assert_eq!(*once.get_or_insert_with(|| model.clone()), model, "twice equals once");
        }
        world.regroup(store, sketch).await;
        let follower = &mut followers[number % USERS];
        follower.catch_up(store, 1 + number).await;
    }
    for (user, follower) in world.users.iter().zip(&mut followers) {
        follower.catch_up(store, 100).await;
        world.compare_copy(user, &follower.messages, &model);
    }
    world.compare(store, &model).await;
    let count = store.health().await.expect("the store answers").messages_count;
    assert_eq!(count, others + model.count());
}

pub(crate) async fn random_batches_match_the_model(store: Arc<dyn Store>) {
    let mut runner = TestRunner::new(Config {
        cases: 48,
        max_shrink_iters: 400,
        source_file: Some(file!()),
        failure_persistence: Some(Box::new(FileFailurePersistence::WithSource("regressions"))),
        ..Config::default()
    });
    let cases = (vec(message_sketch(), MESSAGES), vec(batch_sketch(), 1..9));
    let runtime = tokio::runtime::Handle::current();
    let result = runner.run(&cases, |(messages, batches)| {
        tokio::task::block_in_place(|| runtime.block_on(run(&*store, &messages, &batches)));
        Ok(())
    });
    if let Err(failure) = result {
        panic!("{failure}");
    }
}
