//! Groups that users have muted.

use std::sync::Arc;

use banter::model::{Group, GroupId, Timestamp, Unread, Until};
use banter::store::{Change, Store};

use super::catch_up::Follower;
use crate::make::{between, direct, group, in_group, insert, user};

const FOREVER: Option<Until> = Some(Until::Forever);

fn until(at: i64) -> Option<Until> {
    Some(Until::Time(Timestamp(at)))
}

async fn mute(store: &dyn Store, name: &str, group: GroupId, until: Option<Until>) {
    store.mute(&user(name), group, until).await.expect("the store answers");
}

async fn mutes(store: &dyn Store, name: &str, limit: usize) -> Vec<(GroupId, Until)> {
    store.mutes(&user(name), limit).await.expect("the store answers")
}

async fn create<const N: usize>(store: &dyn Store, members: &[&str]) -> [Group; N] {
    let groups = std::array::from_fn(|number| group("team", members, number as i64));
    for group in &groups {
        store.create_group(group).await.expect("a new group");
    }
    groups
}

pub(crate) async fn mutes_of_a_user_last_until_they_are_taken_back(store: Arc<dyn Store>) {
    let store = &*store;
    let [one, two, three] = create(store, &["ann", "bob"]).await.map(|group| group.id);
    mute(store, "ann", one, until(-5)).await;
    mute(store, "ann", two, FOREVER).await;
    mute(store, "bob", three, until(1_700_000_000_123)).await;
    let passed = (one, Until::Time(Timestamp(-5)));
    assert_eq!(mutes(store, "ann", 10).await, [(two, Until::Forever), passed], "the last first");
    assert_eq!(mutes(store, "ann", 1).await, [(two, Until::Forever)]);
    assert_eq!(mutes(store, "ann", 0).await, []);
    mute(store, "ann", one, FOREVER).await;
    mute(store, "ann", two, until(9)).await;
    let both = [(two, Until::Time(Timestamp(9))), (one, Until::Forever)];
    assert_eq!(mutes(store, "ann", 10).await, both, "each once");
    for group in [two, three, two] {
        mute(store, "ann", group, None).await;
    }
    assert_eq!(mutes(store, "ann", 10).await, both[1..]);
    mute(store, "ann", two, FOREVER).await;
    assert_eq!(mutes(store, "ann", 1).await, [(two, Until::Forever)]);
    let of_bob = (three, Until::Time(Timestamp(1_700_000_000_123)));
    assert_eq!(mutes(store, "bob", 10).await, [of_bob]);
    assert_eq!(mutes(store, "nobody", 10).await, []);
}

pub(crate) async fn changes_tell_a_mute_to_that_user_alone(store: Arc<dyn Store>) {
    let store = &*store;
    let [one, two] = create(store, &["ann", "bob"]).await.map(|group| group.id);
    let [mut ann, mut bob] = ["ann", "bob"].map(|name| Follower::new(user(name), vec![one, two]));
    ann.catch_up(store, 10).await;
    bob.catch_up(store, 10).await;
    for (group, until) in
        [(one, until(5)), (two, FOREVER), (one, FOREVER), (two, None), (one, until(-3))]
    {
        mute(store, "ann", group, until).await;
        assert_eq!(ann.catch_up(store, 10).await, [Change::Mute { group, until }]);
        assert_eq!(ann.catch_up(store, 10).await, []);
    }
    let mut late = Follower::new(user("ann"), Vec::new());
    let told = late.catch_up(store, 1).await;
    let told: Vec<_> = told.iter().filter(|change| matches!(change, Change::Mute { .. })).collect();
    let unmuted = Change::Mute { group: two, until: None };
    let muted = Change::Mute { group: one, until: until(-3) };
    assert_eq!(told, [&unmuted, &muted], "each group once, as it is now");
    assert_eq!(bob.catch_up(store, 10).await, []);
}

pub(crate) async fn chats_say_which_groups_are_muted(store: Arc<dyn Store>) {
    let store = &*store;
    let [one, two, three, four] = create(store, &["ann", "bob"]).await;
    insert(store, [&direct("ann", "bob", 50)]).await;
    mute(store, "ann", one.id, FOREVER).await;
    mute(store, "ann", two.id, until(-5)).await;
    mute(store, "ann", three.id, FOREVER).await;
    mute(store, "ann", three.id, None).await;
    mute(store, "bob", four.id, until(7)).await;
    let muted = async |name: &str, limit: usize| {
        let chats = store.chats(&user(name), None, limit).await.expect("the store answers");
        if limit > 4 {
            assert_eq!(chats[0].conversation, between("ann", "bob"));
        }
        chats.iter().map(|chat| chat.muted).collect::<Vec<_>>()
    };
    assert_eq!(muted("ann", 10).await, [None, None, None, until(-5), FOREVER]);
    assert_eq!(muted("ann", 4).await, [None, None, None, until(-5)]);
    assert_eq!(muted("bob", 10).await, [None, until(7), None, None, None]);
}

pub(crate) async fn groups_that_are_excepted_do_not_count_as_unread(store: Arc<dyn Store>) {
    let store = &*store;
    let [one, two, three] = create(store, &["ann", "bob"]).await.map(|group| group.id);
    let rows = [
        direct("ann", "bob", 1),
        in_group(one, "ann", 2),
        in_group(two, "ann", 3),
        in_group(two, "ann", 4),
        in_group(three, "ann", 5),
    ];
    insert(store, &rows).await;
    mute(store, "bob", three, FOREVER).await;
    let unread = async |except: &[GroupId]| {
        store.unread(&user("bob"), None, except).await.expect("the store answers")
    };
    assert_eq!(unread(&[]).await, Unread { direct: 1, group: 4 }, "what is muted counts by itself");
    assert_eq!(unread(&[two]).await, Unread { direct: 1, group: 2 });
    assert_eq!(unread(&[three, GroupId::mint(), one]).await, Unread { direct: 1, group: 2 });
    assert_eq!(unread(&[one, two, three]).await, Unread { direct: 1, group: 0 });
    let until = Some(rows[2].position());
    let found = store.unread(&user("bob"), until, &[one]).await.expect("the store answers");
    assert_eq!(found, Unread { direct: 1, group: 1 });
}
