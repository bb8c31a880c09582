//! The list of a user's conversations.

use std::collections::BTreeSet;
use std::sync::Arc;

use banter::model::{Chat, Conversation, Message, MessageId, Position, Status};
use banter::store::Store;

use crate::make::{
    apply_changes, between, delete, direct, group, hide, in_group, insert, move_cursor, read, user,
};

async fn chats(store: &dyn Store, name: &str, before: Option<Position>, limit: usize) -> Vec<Chat> {
    store.chats(&user(name), before, limit).await.expect("the store answers")
}

async fn all(store: &dyn Store, name: &str) -> Vec<Chat> {
    chats(store, name, None, 1_000).await
}

/// The conversation, what its last message says, and what is unread.
fn shown(chats: &[Chat]) -> Vec<(Conversation, Option<MessageId>, u64)> {
    let shown = |chat: &Chat| {
        let last = chat.last.as_ref().map(|message| message.id);
        (chat.conversation.clone(), last, chat.unread)
    };
    chats.iter().map(shown).collect()
}

pub(crate) async fn conversations_are_newest_first_with_what_was_said_last(store: Arc<dyn Store>) {
    let (team, quiet) = (group("team", &["mia", "ann"], 1), group("quiet", &["ann", "mia"], 25));
    let foreign = group("foreign", &["ann", "bob"], 50);
    for group in [&team, &quiet, &foreign] {
        store.create_group(group).await.expect("a new group");
    }
    let rows = [
        direct("mia", "ann", 10),
        direct("zoe", "mia", 20),
        direct("mia", "mia", 30),
        in_group(team.id, "ann", 40),
        direct("ann", "bob", 60),
        in_group(foreign.id, "ann", 70),
        direct("ann", "mia", 15),
    ];
    insert(&*store, &rows).await;
    let found = all(&*store, "mia").await;
    let places: Vec<_> = found.iter().map(|chat| chat.place).collect();
    let quiet_place = (quiet.created_at, MessageId(quiet.id.0));
    let [_, zoe, note, in_team, _, _, ann] = rows.each_ref().map(Message::position);
    assert_eq!(places, [in_team, note, quiet_place, zoe, ann]);
    assert_eq!(
        shown(&found),
        [
            (Conversation::Group(team.id), Some(rows[3].id), 1),
            (between("mia", "mia"), Some(rows[2].id), 0),
            (Conversation::Group(quiet.id), None, 0),
            (between("mia", "zoe"), Some(rows[1].id), 1),
            (between("ann", "mia"), Some(rows[6].id), 1),
        ]
    );
    let groups = found.iter().map(|chat| chat.group.as_ref().map(|found| found.group.clone()));
    let groups: Vec<_> = groups.collect();
    assert_eq!(groups, [Some(team), None, Some(quiet), None, None]);
    assert_eq!(all(&*store, "nobody").await, []);
}

pub(crate) async fn what_is_hidden_is_not_shown_and_what_is_deleted_is_gone(store: Arc<dyn Store>) {
    let rows: Vec<_> = (0..4).map(|at| direct("ann", "mia", at)).collect();
    let other = direct("bob", "mia", 9);
    insert(&*store, rows.iter().chain([&other])).await;
    apply_changes(&*store, vec![hide(rows[3].id, &["mia"]), hide(rows[1].id, &["ann"])]).await;
    let found = all(&*store, "mia").await;
    assert_eq!(found[1].place, rows[3].position(), "its place stays");
    assert_eq!(shown(&found)[1], (between("ann", "mia"), Some(rows[2].id), 3));
    delete(&*store, &[&rows[2], &rows[3], &other]).await;
    let found = all(&*store, "mia").await;
    assert_eq!(shown(&found), [(between("ann", "mia"), Some(rows[1].id), 2)]);
    assert_eq!(found[0].place, rows[1].position());
    apply_changes(&*store, vec![hide(rows[0].id, &["mia"]), hide(rows[1].id, &["mia"])]).await;
    assert_eq!(shown(&all(&*store, "mia").await), [(between("ann", "mia"), None, 0)]);
}

pub(crate) async fn unread_is_counted_per_conversation(store: Arc<dyn Store>) {
    let team = group("team", &["mia", "ann", "bob"], 0);
    store.create_group(&team).await.expect("a new group");
    let mut direct_rows: Vec<_> = (0..5).map(|at| direct("ann", "mia", at)).collect();
    direct_rows[0].status = Status::Delivered;
    direct_rows[1].status = Status::Read;
    let group_rows: Vec<_> = (10..16).map(|at| in_group(team.id, "bob", at)).collect();
    let own = [direct("mia", "ann", 6), in_group(team.id, "mia", 20)];
    insert(&*store, direct_rows.iter().chain(&group_rows).chain(&own)).await;
    let unread = async || {
        let found = all(&*store, "mia").await;
        found.iter().map(|chat| chat.unread).collect::<Vec<_>>()
    };
    assert_eq!(unread().await, [6, 4], "team, ann");
    apply_changes(&*store, vec![read(direct_rows[4].id, &["mia"])]).await;
    move_cursor(&*store, "mia", team.id, &group_rows[1]).await;
    assert_eq!(unread().await, [4, 3]);
    // By the list alone, without the cursor.
    apply_changes(&*store, vec![read(group_rows[4].id, &["mia"])]).await;
    assert_eq!(unread().await, [3, 3]);
    let many: Vec<_> = (100..1_150).map(|at| direct("ann", "mia", at)).collect();
    let more: Vec<_> = (2_000..3_050).map(|at| in_group(team.id, "ann", at)).collect();
    insert(&*store, many.iter().chain(&more)).await;
    assert_eq!(unread().await, [1_000, 1_000], "exact to here");
}

pub(crate) async fn three_hundred_peers_come_in_pages(store: Arc<dyn Store>) {
    // Every third peer has written, every third was written to, the others both; two of a time.
    let mut rows = Vec::new();
    for n in 0..300 {
        let peer = format!("peer {n}");
        if n % 3 != 1 {
            rows.push(direct("mia", &peer, n / 2));
        }
        if n % 3 != 0 {
            rows.push(direct(&peer, "mia", n / 2));
        }
    }
    insert(&*store, &rows).await;
    let whole = all(&*store, "mia").await;
    assert_eq!(whole.len(), 300);
    assert!(whole.is_sorted_by(|a, b| a.place > b.place));
    let (mut paged, mut before) = (Vec::new(), None);
    loop {
        let page = chats(&*store, "mia", before, 37).await;
        before = page.last().map(|chat| chat.place);
        let is_last = page.len() < 37;
        paged.extend(page);
        if is_last {
            break;
        }
    }
    assert_eq!(paged, whole);
    let peers: BTreeSet<_> = whole.iter().map(|chat| format!("{:?}", chat.conversation)).collect();
    assert_eq!(peers.len(), 300, "each once");
    assert_eq!(whole.iter().map(|chat| chat.unread).sum::<u64>(), 200);
    assert_eq!(all(&*store, "peer 7").await.len(), 1);
}
