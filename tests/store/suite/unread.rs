//! What a user has not read.

use std::sync::Arc;

use banter::model::{Group, GroupId, Message, Status, Timestamp, Unread};
use banter::store::Store;

use crate::make::{apply_changes, direct, group, hide, in_group, insert, move_cursor, read, user};

async fn unread(store: &dyn Store, name: &str) -> (u64, u64) {
    let Unread { direct, group } =
        store.unread(&user(name), None, &[]).await.expect("the store answers");
    (direct, group)
}

async fn team(store: &dyn Store, members: &[&str]) -> Group {
    let team = group("team", members, 0);
    store.create_group(&team).await.expect("a new group");
    team
}

pub(crate) async fn direct_messages_count_until_read_or_hidden(store: Arc<dyn Store>) {
    let to_bob: Vec<Message> = (0..5).map(|at| direct("alice", "bob", at)).collect();
    let delivered = Message { status: Status::Delivered, ..direct("carol", "bob", 6) };
    let already_read = Message { status: Status::Read, ..direct("carol", "bob", 7) };
    let from_bob = direct("bob", "alice", 8);
    let others = [delivered, already_read, from_bob];
    insert(&*store, to_bob.iter().chain(&others)).await;
    assert_eq!(unread(&*store, "bob").await, (6, 0));
    assert_eq!(unread(&*store, "alice").await, (1, 0));
    assert_eq!(unread(&*store, "nobody").await, (0, 0));

    apply_changes(&*store, vec![read(to_bob[0].id, &["bob"])]).await;
    apply_changes(&*store, vec![hide(to_bob[1].id, &["bob"])]).await;
    apply_changes(&*store, vec![hide(to_bob[2].id, &["alice"])]).await;

    assert_eq!(unread(&*store, "bob").await, (4, 0));
}

pub(crate) async fn what_came_later_is_not_counted(store: Arc<dyn Store>) {
    let team = team(&*store, &["alice", "bob", "carol"]).await;
    let to_bob: Vec<Message> = (0..5).map(|at| direct("alice", "bob", at)).collect();
    let to_team: Vec<Message> = (0..5).map(|at| in_group(team.id, "alice", at)).collect();
    insert(&*store, to_bob.iter().chain(&to_team)).await;
    move_cursor(&*store, "carol", team.id, &to_team[1]).await;
    let twins: Vec<Message> = (0..4).map(|_| direct("alice", "bob", 9)).collect();
    insert(&*store, &twins).await;
    let mut twins: Vec<_> = twins.iter().map(Message::position).collect();
    twins.sort();
    let before_all = (Timestamp(-1), twins[0].1);
    for (name, until, expected) in [
        ("bob", to_bob[2].position().max(to_team[2].position()), (3, 3)),
        ("carol", to_team[2].position(), (0, 1)),
        ("bob", twins[1], (7, 5)),
        ("bob", before_all, (0, 0)),
    ] {
        let found = store.unread(&user(name), Some(until), &[]).await.expect("the store answers");
        assert_eq!((found.direct, found.group), expected, "{name} until {until:?}");
    }
}

pub(crate) async fn notes_to_oneself_are_never_unread(store: Arc<dyn Store>) {
    insert(&*store, [&direct("alice", "alice", 1)]).await;
    assert_eq!(unread(&*store, "alice").await, (0, 0));
}

pub(crate) async fn group_messages_of_others_count_after_the_cursor(store: Arc<dyn Store>) {
    let team = team(&*store, &["alice", "bob", "carol"]).await;
    let rows: Vec<Message> = (0..10)
        .map(|at| in_group(team.id, if at % 2 == 0 { "alice" } else { "carol" }, at))
        .collect();
    insert(&*store, &rows).await;

    move_cursor(&*store, "bob", team.id, &rows[3]).await;
    move_cursor(&*store, "alice", team.id, &rows[3]).await;

    assert_eq!(unread(&*store, "bob").await, (0, 6));
    assert_eq!(unread(&*store, "alice").await, (0, 3), "one's own do not count");
    assert_eq!(unread(&*store, "carol").await, (0, 5), "without a cursor");
    move_cursor(&*store, "bob", team.id, &rows[9]).await;
    assert_eq!(unread(&*store, "bob").await, (0, 0));
}

pub(crate) async fn without_a_cursor_the_newest_count(store: Arc<dyn Store>) {
    let team = team(&*store, &["alice", "bob"]).await;
    let newest: i64 = Unread::EXACT_TO as i64;
    let rows: Vec<Message> = (0..newest + 20).map(|at| in_group(team.id, "alice", at)).collect();
    insert(&*store, &rows).await;
    assert_eq!(unread(&*store, "bob").await, (0, Unread::EXACT_TO));

    let read_rows = rows.iter().rev().take(100).map(|row| read(row.id, &["bob"])).collect();
    apply_changes(&*store, read_rows).await;

    assert_eq!(
        unread(&*store, "bob").await,
        (0, Unread::EXACT_TO - 100),
        "older ones don't move up"
    );
    assert_eq!(unread(&*store, "alice").await, (0, 0));
}

pub(crate) async fn a_group_message_read_or_hidden_does_not_count(store: Arc<dyn Store>) {
    let team = team(&*store, &["alice", "bob", "carol"]).await;
    let rows: Vec<Message> = (0..6).map(|at| in_group(team.id, "alice", at)).collect();
    insert(&*store, &rows).await;
    apply_changes(&*store, vec![read(rows[4].id, &["bob"])]).await;
    apply_changes(&*store, vec![hide(rows[5].id, &["bob"])]).await;
    assert_eq!(unread(&*store, "bob").await, (0, 4));
    assert_eq!(unread(&*store, "carol").await, (0, 6), "read by another is not read");

    move_cursor(&*store, "bob", team.id, &rows[2]).await;

    assert_eq!(unread(&*store, "bob").await, (0, 1));
}

pub(crate) async fn a_cursor_only_moves_forward(store: Arc<dyn Store>) {
    let team = team(&*store, &["alice", "bob"]).await;
    let rows: Vec<Message> = (0..6).map(|at| in_group(team.id, "alice", at)).collect();
    insert(&*store, &rows).await;

    for (place, left) in [(3, 2), (1, 2), (3, 2), (4, 1), (0, 1)] {
        move_cursor(&*store, "bob", team.id, &rows[place]).await;
        assert_eq!(unread(&*store, "bob").await, (0, left), "after a move to {place}");
    }
}

pub(crate) async fn cursors_of_equal_timestamps_are_ordered_by_id(store: Arc<dyn Store>) {
    let team = team(&*store, &["alice", "bob"]).await;
    let mut rows: Vec<Message> = (0..6).map(|_| in_group(team.id, "alice", 9)).collect();
    rows.sort_by_key(|row| row.id);
    insert(&*store, &rows).await;

    for (place, left) in [(1, 4), (0, 4), (4, 1), (3, 1)] {
        move_cursor(&*store, "bob", team.id, &rows[place]).await;
        assert_eq!(unread(&*store, "bob").await, (0, left), "after a move to {place}");
    }
}

pub(crate) async fn only_groups_the_user_is_in_count(store: Arc<dyn Store>) {
    let (mine, left) = (team(&*store, &["bob"]).await, team(&*store, &["alice", "bob"]).await);
    let others = team(&*store, &["alice"]).await;
    let nowhere = GroupId::mint();
    let rows: Vec<Message> =
        [mine.id, left.id, left.id, others.id, nowhere].map(|id| in_group(id, "alice", 1)).to_vec();
    insert(&*store, &rows).await;
    assert_eq!(unread(&*store, "bob").await, (0, 3));

    store.remove_member(left.id, &user("bob")).await.expect("the store answers");

    assert_eq!(unread(&*store, "bob").await, (0, 1));
}

pub(crate) async fn counts_are_exact_up_to_their_bound(store: Arc<dyn Store>) {
    let bound = Unread::EXACT_TO;
    let (one, two) = (team(&*store, &["bob"]).await, team(&*store, &["bob"]).await);
    let start = in_group(one.id, "alice", -1);
    move_cursor(&*store, "bob", one.id, &start).await;
    let first: Vec<Message> =
        (0..bound as i64 + 30).map(|at| in_group(one.id, "alice", at)).collect();
    let second: Vec<Message> = (0..7).map(|at| in_group(two.id, "alice", at)).collect();
    let private: Vec<Message> = (0..bound as i64).map(|at| direct("alice", "bob", at)).collect();
    insert(&*store, first.iter().chain(&second).chain(&private)).await;
    assert_eq!(unread(&*store, "bob").await, (bound, bound + 7));

    insert(&*store, [&direct("alice", "bob", -1), &direct("alice", "bob", -2)]).await;
    assert_eq!(unread(&*store, "bob").await, (bound, bound + 7), "counting stops at the bound");

    move_cursor(&*store, "bob", one.id, &first[29]).await;
    assert_eq!(unread(&*store, "bob").await, (bound, bound + 7), "the bound itself is exact");
    move_cursor(&*store, "bob", one.id, &first[30]).await;
    assert_eq!(unread(&*store, "bob").await, (bound, bound - 1 + 7));
}
