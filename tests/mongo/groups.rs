//! What groups, invitations and mutes are in the database, and what becomes of groups that the old
//! server has made.

use banter::model::{
    Group, GroupChange, GroupId, Invitation, Place, Room, Silence, Timestamp, Token, Until, UserId,
};
use banter::store::mongo::{changes, invitations, mutes};
use banter::store::{Change, ChangesQuery, MembershipChange, Store};
use bson::oid::ObjectId;
use bson::{Bson, DateTime, Document, doc};
use futures_util::TryStreamExt;

use crate::explain::{assert_index, assert_ordered_by_index, filled};
use crate::make::{group, user};
use crate::mongod::TestDatabase;
use crate::stores::prepared;

/// A group as the old server made it.
fn old_group() -> Document {
    doc! {
        "_id": ObjectId::new(), "name": "Old", "member_ids": ["ann", "bob", "cem"],
        "created_by": "ann", "created_at": DateTime::from_millis(5),
    }
}

fn silence(name: &str, until: Option<Until>, now: i64) -> GroupChange {
    GroupChange::Silence { user: user(name), until, now: Timestamp(now) }
}

fn admin(name: &str, is_admin: bool) -> GroupChange {
    GroupChange::Admin { user: user(name), is_admin }
}

fn owner(name: &str, former: Option<&str>) -> GroupChange {
    GroupChange::Owner { user: user(name), former: former.map(user) }
}

async fn all_rows(database: &TestDatabase, collection: &str) -> Vec<Document> {
    let rows = database.raw().await.collection::<Document>(collection);
    rows.find(doc! {}).await.expect("an answer").try_collect().await.expect("rows")
}

async fn put(database: &TestDatabase, row: &Document) -> GroupId {
    let rows = database.raw().await.collection::<Document>("groups");
    rows.insert_one(row).await.expect("a row");
    GroupId(row.get_object_id("_id").expect("an id"))
}

async fn stored(store: &dyn Store, id: GroupId) -> Group {
    store.group(id).await.expect("an answer").expect("a group")
}

#[tokio::test]
async fn a_group_of_the_old_server_is_left_as_it_is_until_it_changes() {
    let database = TestDatabase::new();
    let row = old_group();
    let id = put(&database, &row).await;
    let store = prepared(&database).await;

    let group = stored(&store, id).await;
    store.group_head(id).await.expect("an answer").expect("a group");
    store.group_summary(id, 2).await.expect("an answer").expect("a group");
    store.groups_of(&user("bob"), 9).await.expect("an answer");
    assert_eq!(store.rooms(&user("eve"), None, 9).await.expect("an answer"), []);
    let rooms = store.rooms(&user("bob"), None, 9).await.expect("an answer");
    let head = Group { members: Vec::new(), ..group.clone() };
    assert_eq!(rooms, [Room { group: head, member_count: 3, is_member: true }]);

    assert_eq!((group.owner, group.created_by), (user("ann"), user("ann")));
    assert_eq!((group.admins, group.silenced), (Vec::new(), Vec::new()));
    assert_eq!(all_rows(&database, "groups").await, [row]);
}

#[tokio::test]
async fn each_change_writes_its_fields_and_takes_those_that_say_nothing_away() {
    let database = TestDatabase::new();
    let row = old_group();
    let id = put(&database, &row).await;
    let store = prepared(&database).await;
    let at = DateTime::from_millis;
    let time = |at| Some(Until::Time(Timestamp(at)));
    let dan = doc! {"user_id": "dan", "until": at(50)};
    let bob = doc! {"user_id": "bob", "until": null};
    // A name, as any text of a user, is never an expression.
    for (change, fields) in [
        (GroupChange::Name("$name".to_owned()), doc! {"name": "$name"}),
        (GroupChange::Public(false), doc! {}),
        (GroupChange::Public(true), doc! {"is_public": true}),
        (admin("bob", true), doc! {"admin_ids": ["bob"]}),
        (admin("cem", true), doc! {"admin_ids": ["bob", "cem"]}),
        (silence("dan", time(50), 9), doc! {"silenced": [&dan]}),
        (
            silence("$bob", time(40), 9),
            doc! {"silenced": [
                &dan, {"user_id": "$bob", "until": at(40)},
            ]},
        ),
        (silence("bob", Some(Until::Forever), 40), doc! {"silenced": [&dan, &bob]}),
        (silence("eve", None, 49), doc! {}),
        (
            owner("bob", Some("ann")),
            doc! {
                "owner_id": "bob", "admin_ids": ["cem", "ann"], "silenced": [&dan],
            },
        ),
        (admin("cem", false), doc! {"admin_ids": ["ann"]}),
        (silence("dan", None, 49), doc! {"silenced": null}),
        (owner("ann", None), doc! {"owner_id": "ann", "admin_ids": null}),
        (admin("cem", false), doc! {}),
        (GroupChange::Public(false), doc! {"is_public": null}),
    ] {
        let mut expected = all_rows(&database, "groups").await.remove(0);
        let mut model = stored(&store, id).await;
        change.make(&mut model);
        for (field, value) in fields {
            if value == Bson::Null {
                expected.remove(&field);
            } else {
                expected.insert(field, value);
            }
        }
        for _ in 0..2 {
            assert!(store.change_group(id, &change).await.expect("an answer"), "{change:?}");
            let row = all_rows(&database, "groups").await.remove(0);
            assert_eq!(sorted(row), sorted(expected.clone()), "{change:?}");
            assert_eq!(stored(&store, id).await, model, "{change:?}");
        }
    }
}

/// New fields come in the order of their names.
fn sorted(row: Document) -> Vec<(String, Bson)> {
    let mut fields: Vec<_> = row.into_iter().collect();
    fields.sort_by(|(a, _), (b, _)| a.cmp(b));
    fields
}

#[tokio::test]
async fn a_change_takes_fields_that_are_no_lists() {
    let database = TestDatabase::new();
    for odd in [Bson::Null, "bob".into(), doc! {"user_id": "bob"}.into()] {
        let mut row = old_group();
        row.extend(doc! {"admin_ids": &odd, "silenced": &odd, "owner_id": null});
        let id = put(&database, &row).await;
        let store = prepared(&database).await;
        let muted = silence("cem", Some(Until::Forever), 1);
        for change in [admin("bob", true), muted, owner("cem", Some("ann"))] {
            let mut model = stored(&store, id).await;
            change.make(&mut model);
            assert!(store.change_group(id, &change).await.expect("an answer"));
            assert_eq!(stored(&store, id).await, model, "{odd} {change:?}");
        }
    }
}

#[tokio::test]
async fn a_group_that_is_not_there_does_not_change() {
    let database = TestDatabase::new();
    let store = prepared(&database).await;
    for change in [GroupChange::Name("New".to_owned()), admin("bob", true), owner("bob", None)] {
        assert!(!store.change_group(GroupId::mint(), &change).await.expect("an answer"));
    }
    assert_eq!(all_rows(&database, "groups").await, []);
}

#[tokio::test]
async fn who_leaves_is_no_admin_and_stays_silenced() {
    let database = TestDatabase::new();
    let store = prepared(&database).await;
    let team = group("Team", &["ann", "bob"], 1);
    store.create_group(&team).await.expect("a new group");
    let plain = all_rows(&database, "groups").await.remove(0);
    assert_eq!(plain.keys().count(), 5, "{plain}");
    for change in [admin("bob", true), silence("bob", Some(Until::Forever), 1)] {
        assert!(store.change_group(team.id, &change).await.expect("an answer"));
    }

    let gone = store.remove_member(team.id, &user("bob")).await.expect("an answer");

    assert_eq!(gone, MembershipChange::Changed);
    let silenced = vec![Silence { user: user("bob"), until: Until::Forever }];
    assert_eq!(
        stored(&store, team.id).await,
        Group { members: vec![user("ann")], silenced, ..team }
    );
    let again = store.remove_member(team.id, &user("bob")).await.expect("an answer");
    assert_eq!(again, MembershipChange::Unchanged);
}

fn invitation(group: GroupId, at: i64, max_uses: Option<u32>) -> Invitation {
    Invitation {
        token: Token::mint().expect("randomness"),
        group,
        created_by: user("ann"),
        created_at: Timestamp(at),
        expires_at: Timestamp(9_000_000_000_000),
        max_uses,
        uses: 0,
    }
}

#[tokio::test]
async fn an_invitation_is_stored_by_its_token_and_goes_with_its_group() {
    let database = TestDatabase::new();
    let store = prepared(&database).await;
    let (team, others) = (group("Team", &["ann"], 1), group("Others", &["ann"], 1));
    store.create_group(&team).await.expect("a new group");
    store.create_group(&others).await.expect("a new group");
    let (plain, limited) = (invitation(team.id, 1, None), invitation(others.id, 2, Some(u32::MAX)));
    for invitation in [&plain, &limited, &limited] {
        store.create_invitation(invitation).await.expect("stored");
        let found = store.invitation(&invitation.token).await.expect("an answer");
        assert_eq!(found.as_ref(), Some(invitation));
    }
    assert!(store.use_invitation(&plain.token, Timestamp(5)).await.expect("an answer"));

    let row = doc! {
        "_id": plain.token.as_str(), "group_id": team.id.0, "created_by": "ann",
        "created_at": DateTime::from_millis(1), "expires_at": DateTime::from_millis(9_000_000_000_000),
        "max_uses": null, "uses": 1_i64,
    };
    let rows = all_rows(&database, "invitations").await;
    assert!(rows.len() == 2 && rows.contains(&row), "{rows:?}");

    assert!(store.delete_group(team.id).await.expect("an answer"));
    assert_eq!(store.invitation(&plain.token).await.expect("an answer"), None);
    assert_eq!(store.invitation(&limited.token).await.expect("an answer"), Some(limited));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_servers_let_no_more_in_than_an_invitation_allows() {
    let database = TestDatabase::new();
    let (one, two) = (prepared(&database).await, prepared(&database).await);
    let invitation = invitation(GroupId::mint(), 1, Some(3));
    one.create_invitation(&invitation).await.expect("stored");
    let tries = (0..10).flat_map(|_| [&one, &two]);
    let tries = tries.map(|store| store.use_invitation(&invitation.token, Timestamp(5)));
    let used = futures_util::future::try_join_all(tries).await.expect("answers");
    assert_eq!(used.into_iter().filter(|used| *used).count(), 3);
}

#[tokio::test]
async fn an_invitation_goes_thirty_days_after_its_end() {
    let database = TestDatabase::new();
    prepared(&database).await;
    let rows = database.raw().await.collection::<Document>("invitations");
    let indexes: Vec<_> =
        rows.list_indexes().await.expect("an answer").try_collect().await.expect("indexes");
    let of_end = |index: &&mongodb::IndexModel| index.keys == doc! {"expires_at": 1};
    let end = indexes.iter().find(of_end).expect("an index").options.clone().expect("options");
    assert_eq!(end.expire_after, Some(std::time::Duration::from_hours(720)));
}

#[tokio::test]
async fn a_mute_that_is_taken_back_leaves_a_row_that_tells_of_it() {
    let database = TestDatabase::new();
    let store = prepared(&database).await;
    let (ann, team) = (user("ann"), GroupId::mint());
    let query =
        ChangesQuery { user: ann.clone(), groups: Vec::new(), after: Place::after(0), limit: 9 };
    let until = Some(Until::Time(Timestamp(77)));
    let mut last = Place::after(0);
    store.mute(&ann, GroupId::mint(), None).await.expect("stored");
    assert_eq!(all_rows(&database, "mutes").await, [], "there was nothing to take back");
    for (mute, stored, muted) in [
        (until, Bson::DateTime(DateTime::from_millis(77)), true),
        (Some(Until::Forever), Bson::Null, true),
        (None, Bson::Null, false),
    ] {
        store.mute(&ann, team, mute).await.expect("stored");

        let mut row = all_rows(&database, "mutes").await.remove(0);
        assert!(matches!(row.remove("version"), Some(Bson::Timestamp(_))), "{row}");
        let expected = doc! {
            "_id": {"user": "ann", "group": team.0}, "user": "ann", "group": team.0,
            "muted": muted, "until": stored,
        };
        assert_eq!(sorted(row), sorted(expected));
        let mutes = store.mutes(&ann, 9).await.expect("an answer");
        assert_eq!(mutes, mute.map(|until| (team, until)).into_iter().collect::<Vec<_>>());
        let rows = store.changes(&query).await.expect("an answer").rows;
        let [(place, change)] = &rows[..] else { panic!("one change: {rows:?}") };
        assert_eq!(*change, Change::Mute { group: team, until: mute });
        assert!(*place > last, "it has changed since");
        last = *place;
        let after = ChangesQuery { after: last, ..query.clone() };
        assert_eq!(store.changes(&after).await.expect("an answer").rows, []);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn invitations_and_mutes_come_from_indexes() {
    let filled = filled().await;
    let store = prepared(&filled.database).await;
    let (groups, users): (Vec<GroupId>, Vec<UserId>) =
        (0..10).map(|i| (GroupId::mint(), user(&format!("user{i}")))).unzip();
    let mut token = None;
    for group in &groups {
        for at in 0..10 {
            let invitation = invitation(*group, at, (at % 2 == 0).then_some(3));
            store.create_invitation(&invitation).await.expect("stored");
            token = Some(invitation.token);
        }
        for user in &users {
            store.mute(user, *group, Some(Until::Forever)).await.expect("stored");
        }
    }

    let plan = filled.find(&invitations::invitations_into(groups[0], Timestamp(5), 10)).await;
    assert_ordered_by_index(&plan, "group_invitations");
    let token = token.expect("a token");
    assert_eq!(filled.find(&invitations::invitation(&token)).await, ["IDHACK"]);
    let into = doc! {"group_id": groups[0].0};
    assert_index(&filled.explain_delete("invitations", into).await, "group_invitations");
    let plan = filled.find(&mutes::mutes_of(&users[0], 10)).await;
    assert_ordered_by_index(&plan, "mute_changes");
    assert_index(&filled.find(&mutes::mutes_in(&users[0], &groups)).await, "_id_");
    let after = Place { version: 1, id: groups[0].0 };
    let plan = filled.find(&changes::changed_mutes(&users[0], after, 10)).await;
    assert_ordered_by_index(&plan, "mute_changes");
}
