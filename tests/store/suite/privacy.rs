//! What is kept of one user, and the end of it.

use std::sync::Arc;

use banter::model::{
    Block, Emoji, Erasure, Group, GroupId, Invitation, Message, Pin, Position, Reaction, Silence,
    Timestamp, Token, Until, UserId,
};
use banter::search::Words;
use banter::store::{ChangesQuery, START, SearchQuery, Store};

use crate::make::{
    apply, between, delete, direct, group, in_group, insert, inserts, move_cursor, named, page,
    stored, user,
};

fn erasure(name: &str) -> Erasure {
    let alias = UserId::from_stored("deleted_0123456789abcdef");
    Erasure { user: user(name), alias, begun_at: Timestamp(1) }
}

/// Runs all steps; how many messages have changed.
async fn anonymise(store: &dyn Store, erasure: &Erasure) -> u64 {
    let (mut messages, mut after) = (0, None);
    loop {
        let step = store.anonymise(erasure, after).await.expect("the store answers");
        messages += step.messages;
        after = step.next;
        if after.is_none() {
            return messages;
        }
    }
}

/// A message in which a user is everything that a user can be.
fn naming(mut message: Message, name: &str) -> Message {
    let at = message.timestamp;
    let emoji = Emoji::parse("👍").expect("an emoji");
    message.read_by.push(user(name));
    message.deleted_for = vec![user("zoe"), user(name)];
    message.mentions = vec![user(name), user("zoe")];
    message.reactions = vec![Reaction { user: user(name), emoji }];
    message.pin = Some(Pin { pinned: true, by: user(name), at });
    message
}

pub(crate) async fn what_a_user_says_in_groups_comes_in_pages_oldest_first(store: Arc<dyn Store>) {
    let (one, other) = (GroupId::mint(), GroupId::mint());
    let said: Vec<_> =
        (0..7).map(|at| in_group(if at % 2 == 0 { one } else { other }, "ann", at / 2)).collect();
    insert(&*store, &said).await;
    let others = [in_group(one, "bob", 2), direct("ann", "bob", 2), direct("ann", "ann", 2)];
    insert(&*store, &others).await;
    let gone = in_group(one, "ann", 3);
    insert(&*store, [&gone]).await;
    delete(&*store, &[&gone]).await;
    let mut expected: Vec<Position> = said.iter().map(Message::position).collect();
    expected.sort_unstable();
    let (mut found, mut after) = (Vec::new(), START);
    loop {
        let page =
            store.group_messages_of(&user("ann"), after, 3).await.expect("the store answers");
        found.extend(page.iter().map(Message::position));
        match page.last() {
            Some(last) if page.len() == 3 => after = last.position(),
            _ => break,
        }
    }
    assert_eq!(found, expected);
    assert!(store.group_messages_of(&user("zoe"), START, 3).await.expect("a page").is_empty());
}

pub(crate) async fn traces_are_read_cursors_and_invitations(store: Arc<dyn Store>) {
    let team = group("Team", &["ann", "bob"], 1);
    store.create_group(&team).await.expect("a new group");
    let message = in_group(team.id, "bob", 5);
    insert(&*store, [&message]).await;
    move_cursor(&*store, "ann", team.id, &message).await;
    let mut made = Vec::new();
    for (at, by) in [(1, "ann"), (3, "ann"), (2, "bob")] {
        let invitation = invitation(team.id, by, at);
        store.create_invitation(&invitation).await.expect("a new invitation");
        made.push(invitation);
    }
    let traces = store.traces(&user("ann"), 10).await.expect("the store answers");
    assert_eq!(traces.cursors, [(team.id, message.position())]);
    assert_eq!(traces.invitations, [made[1].clone(), made[0].clone()]);
    let one = store.traces(&user("ann"), 1).await.expect("the store answers");
    assert_eq!(one.invitations, [made[1].clone()]);
    assert_eq!(store.traces(&user("zoe"), 10).await.expect("nothing"), Default::default());
}

fn invitation(group: GroupId, by: &str, at: i64) -> Invitation {
    // MongoDB deletes by its own clock what has long expired.
    let expires_at = Timestamp(4_000_000_000_000);
    Invitation {
        token: Token::mint().expect("randomness"),
        group,
        created_by: user(by),
        created_at: Timestamp(at),
        expires_at,
        max_uses: Some(5),
        uses: 0,
    }
}

pub(crate) async fn groups_are_owned_by_who_has_made_them_or_was_given_them(store: Arc<dyn Store>) {
    let own = group("Own", &["ann", "bob"], 1);
    let given = Group { owner: user("ann"), ..group("Given", &["bob", "ann"], 2) };
    let handed_over = Group { owner: user("bob"), ..group("Handed over", &["ann", "bob"], 3) };
    let from_outside = Group { members: vec![user("bob")], ..group("Outside", &["ann"], 4) };
    let back = Group { owner: user("cem"), ..group("Back", &["ann", "cem"], 5) };
    for group in [&own, &given, &handed_over, &from_outside, &back] {
        store.create_group(group).await.expect("a new group");
    }
    let change = banter::model::GroupChange::Owner { user: user("ann"), former: Some(user("cem")) };
    store.change_group(back.id, &change).await.expect("the store answers");
    let mut found = store.groups_owned_by(&user("ann"), 10).await.expect("the store answers");
    found.sort_unstable_by_key(|id| id.0);
    let mut expected = [own.id, given.id, from_outside.id, back.id];
    expected.sort_unstable_by_key(|id| id.0);
    assert_eq!(found, expected);
    assert_eq!(store.groups_owned_by(&user("ann"), 2).await.expect("some").len(), 2);
    assert!(store.groups_owned_by(&user("ann"), 0).await.expect("none").is_empty());
}

pub(crate) async fn an_erasure_is_remembered_until_it_ends(store: Arc<dyn Store>) {
    let (ann, bob) = (erasure("ann"), erasure("bob"));
    assert_eq!(store.begin_erasure(&ann).await.expect("stored"), ann);
    let again = Erasure { alias: user("other"), begun_at: Timestamp(9), ..ann.clone() };
    assert_eq!(store.begin_erasure(&again).await.expect("stored"), ann, "the first one stays");
    store.begin_erasure(&bob).await.expect("stored");
    let mut begun = store.erasures(10).await.expect("the store answers");
    begun.sort_by(|a, b| a.user.cmp(&b.user));
    assert_eq!(begun, [ann, bob.clone()]);
    assert_eq!(store.erasures(1).await.expect("the store answers").len(), 1);
    for _ in 0..2 {
        store.end_erasure(&user("ann")).await.expect("the store answers");
    }
    assert_eq!(store.erasures(10).await.expect("the store answers"), [bob]);
}

pub(crate) async fn an_alias_stands_wherever_a_message_named_the_user(store: Arc<dyn Store>) {
    let (store, ann) = (&*store, erasure("ann"));
    let team = GroupId::mint();
    let all = [
        named(direct("ann", "bob", 1), "mine"),
        direct("bob", "ann", 2),
        direct("ann", "ann", 3),
        naming(in_group(team, "bob", 4), "ann"),
        naming(direct("bob", "ann", 5), "ann"),
        named(in_group(team, "ann", 6), "also mine"),
        naming(named(direct("bob", "cem", 7), "of bob"), "bob"),
    ];
    apply(store, inserts(&all)).await;
    assert_eq!(anonymise(store, &ann).await, 6);
    let count = store.health().await.expect("the store answers").messages_count;
    assert_eq!(count, 6, "a note to oneself is gone");
    assert_eq!(stored(store, all[2].id).await, None);
    for message in all.iter().filter(|message| message.id != all[2].id) {
        let mut expected = message.clone();
        expected.anonymise(&ann);
        let found = stored(store, message.id).await.expect("still there");
        assert_eq!(found, expected);
        assert!(!format!("{found:?}").contains("\"ann\""), "{found:?}");
    }
    assert_eq!(anonymise(store, &ann).await, 0, "done again, it finds nothing");

    let alias = ann.alias.as_str();
    assert_eq!(page(store, between("ann", "bob"), "bob", None, 10).await, []);
    let ids: Vec<_> = page(store, between(alias, "bob"), "bob", None, 10)
        .await
        .iter()
        .map(|message| message.id)
        .collect();
    assert_eq!(ids, [all[4].id, all[1].id, all[0].id]);
    // The name of a message is free for a new user of that id.
    insert(store, [&named(direct("ann", "bob", 9), "mine")]).await;
}

async fn found(store: &dyn Store, viewer: &str, text: &str, from: Option<&str>) -> usize {
    let query = SearchQuery {
        viewer: user(viewer),
        words: Words::parse(text).expect("words"),
        conversation: None,
        from: from.map(user),
        before: None,
        limit: 10,
    };
    store.search(&query).await.expect("the store answers").messages.len()
}

pub(crate) async fn searches_find_what_was_said_under_the_alias(store: Arc<dyn Store>) {
    let (store, ann) = (&*store, erasure("ann"));
    let said = |message: Message, text: &str| Message {
        content: banter::model::Content::Text(text.to_owned()),
        ..message
    };
    let all =
        [said(direct("ann", "bob", 1), "hello there"), said(direct("bob", "ann", 2), "hello you")];
    apply(store, inserts(&all)).await;
    anonymise(store, &ann).await;
    assert_eq!(found(store, "bob", "hello", None).await, 2);
    assert_eq!(found(store, "bob", "hello", Some(ann.alias.as_str())).await, 1);
    assert_eq!(found(store, "bob", "hello", Some("ann")).await, 0);
    assert_eq!(found(store, "ann", "hello", None).await, 0);
}

pub(crate) async fn others_lose_nothing_and_are_told(store: Arc<dyn Store>) {
    let (store, alice) = (&*store, erasure("alice"));
    let all = [direct("alice", "bob", 1), direct("alice", "bob", 2), direct("bob", "alice", 3)];
    let gone = named(direct("alice", "bob", 4), "gone");
    apply(store, inserts(&all)).await;
    insert(store, [&gone]).await;
    crate::make::apply_changes(store, vec![crate::make::read(all[0].id, &["bob"])]).await;
    delete(store, &[&gone]).await;
    let unread = store.unread(&user("bob"), None, &[]).await.expect("the store answers");
    let mut changes = ChangesQuery {
        user: user("bob"),
        groups: Vec::new(),
        after: banter::model::Place { version: 0, id: bson::oid::ObjectId::from_bytes([0; 12]) },
        limit: 100,
    };
    let before = store.changes(&changes).await.expect("the store answers");
    changes.after = before.rows.last().expect("changes").0;
    anonymise(store, &alice).await;

    assert_eq!(store.unread(&user("bob"), None, &[]).await.expect("a count"), unread);
    let chats = store.chats(&user("bob"), None, 10).await.expect("the store answers");
    let of_chats: Vec<_> = chats.iter().map(|chat| (&chat.conversation, chat.unread)).collect();
    assert_eq!(of_chats, [(&between(alice.alias.as_str(), "bob"), 1)]);
    assert_eq!(
        store.peers(&user("bob"), 10).await.expect("peers"),
        std::slice::from_ref(&alice.alias)
    );
    let after = store.changes(&changes).await.expect("the store answers");
    let mut told: Vec<_> = after
        .rows
        .iter()
        .filter_map(|(_, change)| match change {
            banter::store::Change::Message(message) => Some(message.id),
            _ => None,
        })
        .collect();
    told.sort_unstable();
    let mut expected = all.clone().map(|message| message.id);
    expected.sort_unstable();
    assert_eq!(told, expected);
    assert_eq!(
        store
            .changes(&ChangesQuery { user: user("alice"), ..changes })
            .await
            .expect("the store answers")
            .rows,
        [],
        "nothing is left of the user"
    );
    assert_eq!(crate::make::sent_as(store, "alice", "gone").await, None);
}

pub(crate) async fn thousands_of_messages_take_several_steps(store: Arc<dyn Store>) {
    let ann = erasure("ann");
    let all: Vec<_> = (0..4_500)
        .map(|at| if at % 100 == 0 { direct("ann", "bob", at) } else { direct("bob", "cem", at) })
        .collect();
    insert(&*store, &all).await;
    let first = store.anonymise(&ann, None).await.expect("the store answers");
    assert!(first.next.is_some() && first.messages < 45, "{first:?}");
    // Cut off, and begun again.
    assert_eq!(first.messages + anonymise(&*store, &ann).await, 45);
}

pub(crate) async fn traces_go_and_groups_name_the_alias(store: Arc<dyn Store>) {
    let ann = erasure("ann");
    let silenced = vec![Silence { user: user("ann"), until: Until::Forever }];
    let team = Group { silenced, ..group("Team", &["ann", "bob"], 1) };
    let other = Group { owner: user("ann"), ..group("Other", &["bob", "cem"], 2) };
    for group in [&team, &other] {
        store.create_group(group).await.expect("a new group");
    }
    let message = in_group(team.id, "bob", 5);
    insert(&*store, [&message]).await;
    for name in ["ann", "bob"] {
        move_cursor(&*store, name, team.id, &message).await;
        let invitation = invitation(team.id, name, 1);
        store.create_invitation(&invitation).await.expect("a new invitation");
        store.mute(&user(name), team.id, Some(Until::Forever)).await.expect("stored");
    }
    for (name, blocked) in [("ann", "eve"), ("bob", "ann"), ("bob", "eve")] {
        let block = Block { user: user(blocked), at: Timestamp(1) };
        store.block(&user(name), &block).await.expect("stored");
    }
    store.seen(&[(user("ann"), Timestamp(1)), (user("bob"), Timestamp(2))]).await.expect("stored");
    store.remove_member(team.id, &user("ann")).await.expect("stored");
    for _ in 0..2 {
        store.remove_traces(&ann).await.expect("stored");
    }
    assert_eq!(store.traces(&user("ann"), 10).await.expect("nothing"), Default::default());
    let of_bob = store.traces(&user("bob"), 10).await.expect("the store answers");
    assert_eq!((of_bob.cursors.len(), of_bob.invitations.len()), (1, 1));
    assert_eq!(store.mutes(&user("ann"), 10).await.expect("none"), []);
    assert_eq!(store.mutes(&user("bob"), 10).await.expect("one").len(), 1);
    assert_eq!(store.blocks(&user("ann"), 10).await.expect("none"), []);
    let of_bob = store.blocks(&user("bob"), 10).await.expect("one");
    assert_eq!(of_bob.iter().map(|block| block.user.as_str()).collect::<Vec<_>>(), ["eve"]);
    let seen = store.last_seen(&[user("ann"), user("bob")]).await.expect("the store answers");
    assert_eq!(seen, [(user("bob"), Timestamp(2))]);
    let found = store.group(team.id).await.expect("the store answers").expect("it stays");
    let expected = Group {
        created_by: ann.alias.clone(),
        owner: ann.alias.clone(),
        members: vec![user("bob")],
        silenced: Vec::new(),
        ..team
    };
    assert_eq!(found, expected);
    let found = store.group(other.id).await.expect("the store answers").expect("it stays");
    assert_eq!((found.created_by, found.owner), (user("bob"), ann.alias));
}
