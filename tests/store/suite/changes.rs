//! Changes, deletes and purges.

use std::sync::Arc;

use banter::model::{
    Batch, Content, Conversation, Emoji, GroupId, JsonObject, MAX_JSON_DEPTH, Message,
    MessageChange, Pin, Reaction, ReadCursor, Revision, Status, Timestamp, check_object,
};
use banter::store::Store;
use serde_json::json;

use crate::make::{
    apply_changes, between, change, delete, deletion, direct, edit_at, group, hide, in_group,
    insert, inserts, missing, page, read, stored, user,
};

pub(crate) async fn a_change_to_a_missing_message_is_ignored_and_never_resurrects_it(
    store: Arc<dyn Store>,
) {
    let never_there = direct("alice", "bob", 1);
    let deleted = direct("alice", "bob", 2);
    insert(&*store, [&deleted]).await;
    let deleting = Batch { deletes: vec![deletion(deleted.id)], ..Batch::default() };
    store.apply(&deleting).await.expect("a delete is taken");

    for message in [&never_there, &deleted] {
        apply_changes(&*store, vec![edit_at(message.id, "late", 3)]).await;
        apply_changes(&*store, vec![read(message.id, &["bob"])]).await;
        apply_changes(&*store, vec![hide(message.id, &["bob"])]).await;
    }
    store.apply(&deleting).await.expect("a delete of nothing is taken");

    assert_eq!(stored(&*store, never_there.id).await, None);
    assert_eq!(stored(&*store, deleted.id).await, None);
    assert_eq!(store.health().await.expect("the store answers").messages_count, 0);
}

pub(crate) async fn an_edit_replaces_content_and_says_when(store: Arc<dyn Store>) {
    let message = direct("alice", "bob", 1);
    let other = direct("alice", "bob", 2);
    insert(&*store, [&message, &other]).await;

    apply_changes(&*store, vec![edit_at(message.id, "new", 5)]).await;

    let first = Revision { content: message.content.clone(), at: message.timestamp };
    let edited = Message {
        content: Content::Text("new".to_owned()),
        edited_at: Some(Timestamp(5)),
        revisions: vec![first.clone()],
        ..message.clone()
    };
    assert_eq!(stored(&*store, message.id).await, Some(edited.clone()));

    let object = json!({"caption": "ü", "size": [1, 2.5]}).as_object().expect("object").clone();
    let content = Content::Object(object);
    let structured =
        MessageChange { edits: vec![(content.clone(), Timestamp(9))], ..change(message.id) };
    apply_changes(&*store, vec![structured]).await;

    let second = Revision { content: edited.content.clone(), at: Timestamp(5) };
    let revisions = vec![first, second];
    let edited = Message { content, edited_at: Some(Timestamp(9)), revisions, ..edited };
    assert_eq!(stored(&*store, message.id).await, Some(edited));
    assert_eq!(stored(&*store, other.id).await, Some(other));
}

pub(crate) async fn an_outdated_edit_is_ignored_and_its_readers_are_added(store: Arc<dyn Store>) {
    let fresh = direct("alice", "bob", 1);
    let edited = Message { edited_at: Some(Timestamp(20)), ..direct("alice", "bob", 2) };
    insert(&*store, [&fresh, &edited]).await;
    apply_changes(&*store, vec![edit_at(fresh.id, "second", 20)]).await;

    let changes = [&fresh, &edited].map(|message| MessageChange {
        readers: vec![user("bob")],
        hidden_for: vec![user("carol")],
        ..edit_at(message.id, "first", 19)
    });
    assert_eq!(missing(&*store, changes.to_vec()).await, [], "outdated is not missing");

    let seen = |message: Message| Message {
        edited_at: Some(Timestamp(20)),
        status: Status::Read,
        read_by: vec![user("bob")],
        deleted_for: vec![user("carol")],
        ..message
    };
    let second = Content::Text("second".to_owned());
    let first = Revision { content: fresh.content.clone(), at: fresh.timestamp };
    let expected = Message { content: second, revisions: vec![first], ..seen(fresh.clone()) };
    assert_eq!(stored(&*store, fresh.id).await, Some(expected));
    assert_eq!(stored(&*store, edited.id).await, Some(seen(edited.clone())));
}

pub(crate) async fn of_edits_made_at_the_same_time_the_last_one_stays(store: Arc<dyn Store>) {
    let message = direct("alice", "bob", 1);
    insert(&*store, [&message]).await;

    for text in ["one", "two", "one"] {
        assert_eq!(missing(&*store, vec![edit_at(message.id, text, 7)]).await, []);
        let row = stored(&*store, message.id).await.expect("the message");
        assert_eq!(row.content, Content::Text(text.to_owned()));
        assert_eq!(row.edited_at, Some(Timestamp(7)));
    }
}

pub(crate) async fn what_an_edit_says_is_never_an_expression(store: Arc<dyn Store>) {
    let message = direct("alice", "bob", 1);
    insert(&*store, [&message]).await;
    let deepest = (1..MAX_JSON_DEPTH).fold(json!("$id"), |inner, _| json!([inner]));
    let odd = json!({"a.b": "$from_user_id", "list": ["$$ROOT", {"x": "$id"}], "deep": deepest});
    let object = odd.as_object().expect("an object").clone();
    check_object(&object).expect("an object that clients may send");

    for (at, content) in [
        (5, Content::Text("$$ROOT".to_owned())),
        (6, Content::Object(object)),
        (7, Content::Object(JsonObject::new())),
    ] {
        let edits = vec![(content.clone(), Timestamp(at))];
        let readers = vec![user("$from_user_id")];
        apply_changes(&*store, vec![MessageChange { edits, readers, ..change(message.id) }]).await;
        let row = stored(&*store, message.id).await.expect("the message");
        assert_eq!((row.content, row.read_by), (content, vec![user("$from_user_id")]));
    }
}

pub(crate) async fn exactly_the_changes_of_unknown_messages_are_missing(store: Arc<dyn Store>) {
    let all: Vec<Message> = (0..8).map(|at| direct("alice", "bob", at)).collect();
    let [there, too, same_batch, gone, never, late, nothing, also] = &all[..] else {
        unreachable!("eight")
    };
    insert(&*store, [there, too, gone]).await;
    delete(&*store, &[gone]).await;
    let changes = vec![
        read(never.id, &["bob"]),
        edit_at(there.id, "new", 9),
        hide(late.id, &["bob"]),
        read(gone.id, &["bob"]),
        change(nothing.id),
        read(same_batch.id, &["bob"]),
        change(too.id),
        edit_at(also.id, "new", 9),
    ];
    let batch = Batch { changes: changes.clone(), ..inserts([same_batch]) };

    let applied = store.apply(&batch).await.expect("the batch is taken");

    assert_eq!(applied.missing, [never.id, late.id, nothing.id, also.id]);
    assert_eq!(stored(&*store, there.id).await.expect("a message").edited_at, Some(Timestamp(9)));
    insert(&*store, [late, nothing]).await;
    assert_eq!(missing(&*store, changes).await, [never.id, also.id]);
    assert_eq!(stored(&*store, late.id).await.expect("a message").deleted_for, [user("bob")]);
}

pub(crate) async fn readers_are_kept_once_in_order_and_make_the_status_read(store: Arc<dyn Store>) {
    let message = in_group(GroupId::mint(), "alice", 1);
    insert(&*store, [&message]).await;

    apply_changes(&*store, vec![read(message.id, &["zed", "bob"])]).await;
    apply_changes(&*store, vec![read(message.id, &["carol", "bob", "alice", "dan"])]).await;

    let read_by = ["alice", "zed", "bob", "carol", "dan"].map(user).to_vec();
    let expected = Message { read_by, status: Status::Read, ..message.clone() };
    assert_eq!(stored(&*store, message.id).await, Some(expected));
}

pub(crate) async fn a_hidden_message_is_gone_for_that_user_alone(store: Arc<dyn Store>) {
    let message = direct("alice", "bob", 1);
    insert(&*store, [&message]).await;

    apply_changes(&*store, vec![hide(message.id, &["bob"])]).await;
    apply_changes(&*store, vec![hide(message.id, &["bob"])]).await;

    let hidden = Message { deleted_for: vec![user("bob")], ..message.clone() };
    assert_eq!(stored(&*store, message.id).await, Some(hidden.clone()));
    assert_eq!(page(&*store, between("alice", "bob"), "bob", None, 10).await, []);
    assert_eq!(page(&*store, between("alice", "bob"), "alice", None, 10).await, [hidden]);
}

pub(crate) async fn one_change_may_edit_read_and_hide(store: Arc<dyn Store>) {
    let message = direct("alice", "bob", 1);
    insert(&*store, [&message]).await;
    let all = MessageChange {
        readers: vec![user("bob")],
        hidden_for: vec![user("bob"), user("alice")],
        ..edit_at(message.id, "new", 7)
    };

    apply_changes(&*store, vec![all]).await;

    let expected = Message {
        content: Content::Text("new".to_owned()),
        edited_at: Some(Timestamp(7)),
        status: Status::Read,
        read_by: vec![user("bob")],
        deleted_for: vec![user("bob"), user("alice")],
        revisions: vec![Revision { content: message.content.clone(), at: message.timestamp }],
        ..message.clone()
    };
    assert_eq!(stored(&*store, message.id).await, Some(expected));
}

pub(crate) async fn the_last_twenty_revisions_are_kept_however_the_edits_come(
    store: Arc<dyn Store>,
) {
    let message = direct("alice", "bob", 1);
    insert(&*store, [&message]).await;
    let edits: Vec<_> =
        (10..40).map(|at| (Content::Text(format!("said at {at}")), Timestamp(at))).collect();
    let (first, rest) = edits.split_at(12);

    apply_changes(&*store, vec![MessageChange { edits: first.to_vec(), ..change(message.id) }])
        .await;
    for edit in rest {
        let edits = vec![edit.clone()];
        for _ in ["once", "again"] {
            let edits = edits.clone();
            apply_changes(&*store, vec![MessageChange { edits, ..change(message.id) }]).await;
        }
    }

    let row = stored(&*store, message.id).await.expect("the message");
    let revision =
        |at: usize| Revision { content: edits[at - 10].0.clone(), at: Timestamp(at as i64) };
    assert_eq!(row.revisions, (19..39).map(revision).collect::<Vec<_>>());
    assert_eq!(row.content, edits[29].0);
    let rows = page(&*store, between("alice", "bob"), "bob", None, 10).await;
    assert_eq!(rows, [Message { revisions: Vec::new(), ..row }], "a page has no revisions");
}

pub(crate) async fn a_delivery_moves_the_status_on_and_never_back(store: Arc<dyn Store>) {
    let (new, old) = (direct("alice", "bob", 1), direct("alice", "bob", 2));
    insert(&*store, [&new, &old]).await;
    apply_changes(&*store, vec![read(old.id, &["bob"])]).await;
    let delivered = |id| MessageChange { delivered: true, ..change(id) };
    apply_changes(&*store, vec![delivered(new.id), delivered(old.id)]).await;
    let status = async |id| stored(&*store, id).await.expect("the message").status;
    assert_eq!((status(new.id).await, status(old.id).await), (Status::Delivered, Status::Read));
    apply_changes(&*store, vec![MessageChange { delivered: true, ..read(new.id, &["bob"]) }]).await;
    assert_eq!(status(new.id).await, Status::Read);
}

pub(crate) async fn each_user_has_each_reaction_once_in_order(store: Arc<dyn Store>) {
    let message = direct("alice", "bob", 1);
    insert(&*store, [&message]).await;
    let reaction = |name: &str, emoji: &str| Reaction {
        user: user(name),
        emoji: Emoji::parse(emoji).expect("an emoji"),
    };
    let react = async |reactions: &[(&str, &str, bool)]| {
        let reactions = reactions.iter().map(|(name, emoji, on)| (reaction(name, emoji), *on));
        let reactions: Vec<_> = reactions.collect();
        for _ in ["once", "again"] {
            let reactions = reactions.clone();
            apply_changes(&*store, vec![MessageChange { reactions, ..change(message.id) }]).await;
        }
        stored(&*store, message.id).await.expect("the message").reactions
    };
    let (bob, ann) = (reaction("bob", "👍"), reaction("$ann", "❤️"));
    assert_eq!(
        react(&[("bob", "👍", true), ("$ann", "❤️", true)]).await,
        [bob.clone(), ann.clone()]
    );
    let third = reaction("bob", "❤️");
    assert_eq!(react(&[("bob", "❤️", true)]).await, [bob.clone(), ann.clone(), third.clone()]);
    assert_eq!(
        react(&[("$ann", "❤️", false), ("eve", "👍", false)]).await,
        [bob.clone(), third.clone()]
    );
    assert_eq!(react(&[("bob", "👍", true)]).await, [third, bob], "put on again, it stands last");
}

pub(crate) async fn the_last_word_on_a_pin_stays(store: Arc<dyn Store>) {
    let message = direct("alice", "bob", 1);
    insert(&*store, [&message]).await;
    let word = |pinned, at| Pin { pinned, by: user("$bob"), at: Timestamp(at) };
    let set = async |pin: Pin| {
        let change = MessageChange { pin: Some(pin), ..change(message.id) };
        apply_changes(&*store, vec![change]).await;
        stored(&*store, message.id).await.expect("the message").pin
    };
    assert_eq!(set(word(true, 5)).await, Some(word(true, 5)));
    assert_eq!(set(word(false, 4)).await, Some(word(true, 5)), "a late word");
    assert_eq!(set(word(false, 6)).await, Some(word(false, 6)));
    assert_eq!(set(word(true, 6)).await, Some(word(true, 6)), "of two at once, the last");
}

pub(crate) async fn a_deleted_message_is_gone_for_everyone(store: Arc<dyn Store>) {
    let gone = Message { old_id: Some("an-old-id".to_owned()), ..direct("alice", "bob", 1) };
    let stays = direct("alice", "bob", 2);
    insert(&*store, [&gone, &stays]).await;

    let batch = Batch { deletes: vec![deletion(gone.id)], ..Batch::default() };
    store.apply(&batch).await.expect("a delete is taken");

    assert_eq!(stored(&*store, gone.id).await, None);
    let by_old_id = banter::model::MessageRef::parse("an-old-id").expect("a reference");
    assert_eq!(store.message(&by_old_id).await.expect("the store answers"), None);
    assert_eq!(page(&*store, between("alice", "bob"), "bob", None, 10).await, [stays]);
    let unread = store.unread(&user("bob"), None, &[]).await.expect("the store answers");
    assert_eq!(unread.direct, 1);
}

pub(crate) async fn a_purge_takes_the_messages_of_that_group_alone(store: Arc<dyn Store>) {
    let (purged, other) = (GroupId::mint(), GroupId::mint());
    let private = direct("alice", "bob", 1);
    let kept = in_group(other, "alice", 1);
    let gone: Vec<Message> = (0..50).map(|at| in_group(purged, "alice", at)).collect();
    insert(&*store, gone.iter().chain([&private, &kept])).await;

    let batch = Batch { purges: vec![purged, GroupId::mint()], ..Batch::default() };
    store.apply(&batch).await.expect("a purge is taken");

    assert_eq!(page(&*store, Conversation::Group(purged), "bob", None, 100).await, []);
    assert_eq!(stored(&*store, gone[0].id).await, None);
    assert_eq!(page(&*store, Conversation::Group(other), "bob", None, 100).await, [kept]);
    assert_eq!(page(&*store, between("alice", "bob"), "bob", None, 100).await, [private]);
    assert_eq!(store.health().await.expect("the store answers").messages_count, 2);
}

pub(crate) async fn a_batch_applied_twice_equals_once(store: Arc<dyn Store>) {
    let team = group("team", &["alice", "bob"], 0);
    let gone_group = GroupId::mint();
    store.create_group(&team).await.expect("a new group");
    let old = direct("alice", "bob", 1);
    let doomed = direct("alice", "bob", 2);
    let purged = in_group(gone_group, "alice", 3);
    insert(&*store, [&old, &doomed, &purged]).await;
    let new = in_group(team.id, "alice", 4);
    let newer = in_group(team.id, "alice", 5);
    let batch = Batch {
        inserts: vec![Arc::new(new.clone()), Arc::new(newer.clone())],
        changes: vec![MessageChange { readers: vec![user("bob")], ..edit_at(old.id, "edited", 6) }],
        deletes: vec![deletion(doomed.id)],
        purges: vec![gone_group],
        cursors: vec![ReadCursor { user: user("bob"), group: team.id, up_to: new.position() }],
    };

    let mut states = Vec::new();
    for _ in 0..3 {
        store.apply(&batch).await.expect("the batch is taken");
        states.push((
            page(&*store, between("alice", "bob"), "bob", None, 10).await,
            page(&*store, Conversation::Group(team.id), "bob", None, 10).await,
            page(&*store, Conversation::Group(gone_group), "bob", None, 10).await,
            store.unread(&user("bob"), None, &[]).await.expect("the store answers"),
            store.health().await.expect("the store answers").messages_count,
        ));
    }

    assert_eq!(states[0].1, [newer, new]);
    assert_eq!((states[0].3.group, states[0].4), (1, 3));
    assert_eq!(states[0], states[1]);
    assert_eq!(states[0], states[2]);
}

pub(crate) async fn parts_of_a_batch_apply_in_their_order(store: Arc<dyn Store>) {
    let team = GroupId::mint();
    let deleted = direct("alice", "bob", 1);
    let purged = in_group(team, "alice", 2);
    let before = in_group(team, "alice", 1);
    insert(&*store, [&before]).await;
    let batch = Batch {
        inserts: vec![Arc::new(deleted.clone()), Arc::new(purged.clone())],
        changes: vec![read(before.id, &["bob"])],
        deletes: vec![deletion(deleted.id)],
        purges: vec![team],
        cursors: Vec::new(),
    };

    store.apply(&batch).await.expect("the batch is taken");

    for message in [deleted, purged, before] {
        assert_eq!(stored(&*store, message.id).await, None);
    }
}
