//! Links into groups.

use std::sync::Arc;

use banter::model::{GroupId, Invitation, Timestamp, Token};
use banter::store::Store;
use futures_util::future::join_all;

use crate::make::{group, user};

/// An invitation by Ann that ends at 1000.
fn link(group: GroupId, at: i64) -> Invitation {
    Invitation {
        token: Token::mint().expect("randomness"),
        group,
        created_by: user("ann"),
        created_at: Timestamp(at),
        expires_at: Timestamp(1_000),
        max_uses: None,
        uses: 0,
    }
}

async fn create<'a>(store: &dyn Store, links: impl IntoIterator<Item = &'a Invitation>) {
    for link in links {
        store.create_invitation(link).await.expect("a new invitation");
    }
}

async fn get(store: &dyn Store, link: &Invitation) -> Option<Invitation> {
    store.invitation(&link.token).await.expect("the store answers")
}

async fn list(store: &dyn Store, group: GroupId, now: i64, limit: usize) -> Vec<Invitation> {
    store.invitations(group, Timestamp(now), limit).await.expect("the store answers")
}

async fn use_it(store: &dyn Store, link: &Invitation, now: i64) -> bool {
    store.use_invitation(&link.token, Timestamp(now)).await.expect("the store answers")
}

async fn end(store: &dyn Store, link: &Invitation, now: i64) {
    store.end_invitation(&link.token, Timestamp(now)).await.expect("the store answers");
}

pub(crate) async fn an_invitation_comes_back_as_it_was_stored(store: Arc<dyn Store>) {
    let team = GroupId::mint();
    let plain = link(team, 1);
    let odd = Invitation {
        created_by: user("$ne"),
        expires_at: Timestamp(1_700_000_000_123),
        max_uses: Some(u32::MAX),
        uses: 7,
        ..link(GroupId::mint(), -5)
    };
    create(&*store, [&plain, &odd, &plain]).await;
    for link in [&plain, &odd] {
        assert_eq!(get(&*store, link).await.as_ref(), Some(link));
    }
    assert_eq!(list(&*store, team, 1, 10).await, [plain], "stored twice it is there once");
    assert_eq!(get(&*store, &link(team, 1)).await, None);
}

pub(crate) async fn those_into_a_group_that_work_are_listed_newest_first(store: Arc<dyn Store>) {
    let (team, other) = (GroupId::mint(), GroupId::mint());
    let mut links: Vec<_> = [1, 4, 2, 2, 3].into_iter().map(|at| link(team, at)).collect();
    let foreign = link(other, 5);
    let over = Invitation { expires_at: Timestamp(10), ..link(team, 6) };
    let used_up = Invitation { max_uses: Some(2), uses: 2, ..link(team, 7) };
    let almost = Invitation { max_uses: Some(2), uses: 1, ..link(team, 8) };
    create(&*store, links.iter().chain([&foreign, &over, &used_up, &almost])).await;
    links.push(almost);
    links.sort_by(|a, b| {
        let key = |link: &Invitation| (link.created_at, link.token.as_str().to_owned());
        key(b).cmp(&key(a))
    });
    assert_eq!(list(&*store, team, 10, 100).await, links);
    assert_eq!(list(&*store, team, 10, 3).await, links[..3]);
    assert_eq!(list(&*store, team, 10, 0).await, []);
    assert_eq!(list(&*store, team, 9, 100).await.len(), links.len() + 1, "before it was over");
    assert_eq!(list(&*store, team, 1_000, 100).await, [], "all are over");
    assert_eq!(list(&*store, other, 10, 100).await, [foreign]);
    assert_eq!(list(&*store, GroupId::mint(), 10, 100).await, []);
}

pub(crate) async fn a_use_is_counted_while_it_works(store: Arc<dyn Store>) {
    let team = GroupId::mint();
    let (free, twice) = (link(team, 1), Invitation { max_uses: Some(2), ..link(team, 2) });
    create(&*store, [&free, &twice]).await;
    let mut used = Vec::new();
    for now in [10, 999, 10, 1_000, 1_001] {
        used.push((use_it(&*store, &free, now).await, use_it(&*store, &twice, now).await));
    }
    let expected = [(true, true), (true, true), (true, false), (false, false), (false, false)];
    assert_eq!(used, expected);
    assert_eq!(get(&*store, &free).await, Some(Invitation { uses: 3, ..free.clone() }));
    let twice = Invitation { uses: 2, ..twice };
    assert_eq!(get(&*store, &twice).await, Some(twice), "used up it is still found");
    assert_eq!(list(&*store, team, 10, 10).await, [Invitation { uses: 3, ..free }]);
    assert!(!use_it(&*store, &link(team, 1), 10).await, "nobody has made it");
}

pub(crate) async fn uses_at_once_are_no_more_than_it_allows(store: Arc<dyn Store>) {
    let link = Invitation { max_uses: Some(7), ..link(GroupId::mint(), 1) };
    create(&*store, [&link]).await;
    let used = join_all((0..20).map(|_| use_it(&*store, &link, 10))).await;
    assert_eq!(used.iter().filter(|used| **used).count(), 7, "{used:?}");
    assert_eq!(get(&*store, &link).await, Some(Invitation { uses: 7, ..link }));
}

pub(crate) async fn one_that_was_ended_is_found_and_neither_listed_nor_used(store: Arc<dyn Store>) {
    let team = GroupId::mint();
    let (ended, stays) = (link(team, 1), link(team, 2));
    create(&*store, [&ended, &stays]).await;
    assert!(use_it(&*store, &ended, 10).await);
    end(&*store, &ended, 20).await;
    end(&*store, &ended, 30).await;
    end(&*store, &link(team, 3), 20).await;
    let ended = Invitation { expires_at: Timestamp(20), uses: 1, ..ended };
    assert_eq!(get(&*store, &ended).await.as_ref(), Some(&ended), "it ended at the first time");
    assert!(!use_it(&*store, &ended, 20).await);
    assert_eq!(list(&*store, team, 20, 10).await, std::slice::from_ref(&stays));
    end(&*store, &stays, 2_000).await;
    assert_eq!(get(&*store, &stays).await, Some(stays), "what is over does not last longer");
}

pub(crate) async fn a_group_takes_its_invitations_along(store: Arc<dyn Store>) {
    let (gone, stays) = (group("gone", &["ann"], 1), group("stays", &["ann"], 1));
    for group in [&gone, &stays] {
        store.create_group(group).await.expect("a new group");
    }
    let links = [link(gone.id, 1), link(gone.id, 2), link(stays.id, 3)];
    create(&*store, &links).await;
    assert!(store.delete_group(gone.id).await.expect("the store answers"));
    for link in &links[..2] {
        assert_eq!(get(&*store, link).await, None);
        assert!(!use_it(&*store, link, 10).await);
    }
    assert_eq!(list(&*store, gone.id, 10, 10).await, []);
    assert_eq!(list(&*store, stays.id, 10, 10).await, links[2..]);
}
