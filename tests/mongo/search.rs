//! What finds its way into the search index afterwards, and how the server looks for it.

use banter::model::{Conversation, GroupId};
use banter::search::Words;
use banter::store::mongo::search::queries::{self, Slice};
use banter::store::{Backlog, SearchQuery, Store};
use bson::oid::ObjectId;
use bson::{DateTime, Document, doc};

use crate::explain::{assert_index, assert_ordered_by_index, filled};
use crate::make::{between, direct, edit_at, insert, user};
use crate::mongod::TestDatabase;
use crate::stores::prepared;

fn query(words: &str) -> SearchQuery {
    SearchQuery {
        viewer: user("user1"),
        words: Words::parse(words).expect("words"),
        conversation: None,
        from: None,
        before: None,
        limit: 3,
    }
}

/// A row as the old server wrote it.
fn row(id: ObjectId, text: &str) -> Document {
    doc! {
        "_id": id, "id": ObjectId::new().to_hex(), "content": text, "type": "direct",
        "from_user_id": "ann", "to_user_id": "user1", "status": "sent", "read_by": [],
        "timestamp": DateTime::from_millis(5), "deleted_for": [],
    }
}

async fn step(store: &dyn Store) -> Backlog {
    store.index_backlog().await.expect("the server answers")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_old_server_wrote_is_indexed_in_steps_and_once() {
    let database = TestDatabase::new();
    let old = |n: u32| ObjectId::from_parts(1_600_000_000 + n, [7; 5], [0; 3]);
    let messages = database.raw().await.collection::<Document>("messages");
    let mut rows: Vec<_> = (0..1_200).map(|n| row(old(n), &format!("Crème n{n}x"))).collect();
    rows.push(doc! {"_id": old(5_000), "tombstone": DateTime::from_millis(5)});
    rows.push(doc! {"_id": "odd", "content": "creme"});
    messages.insert_many(rows).await.expect("rows");
    let first = prepared(&database).await;
    assert_eq!(step(&first).await, Backlog { indexed: 500, more: true });

    let second = prepared(&database).await;
    assert_eq!(step(&second).await, Backlog { indexed: 500, more: true }, "it goes on");
    assert_eq!(step(&second).await, Backlog { indexed: 200, more: false });
    for n in [0, 499, 500, 1_199] {
        let found =
            second.search(&query(&format!("creme n{n}x"))).await.expect("an answer").messages;
        assert_eq!(found.iter().map(|m| m.id.0).collect::<Vec<_>>(), [old(n)]);
    }
    assert_eq!(step(&second).await, Backlog::default());

    let late = ObjectId::new();
    messages.insert_one(row(late, "late")).await.expect("a row");
    for expected in [1, 0] {
        assert_eq!(step(&second).await, Backlog { indexed: expected, more: false });
    }
    assert_eq!(second.search(&query("late")).await.expect("an answer").messages[0].id.0, late);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_earlier_edit_of_another_server_leaves_the_index_alone() {
    let database = TestDatabase::new();
    let store = prepared(&database).await;
    let message = direct("ann", "user1", 1);
    insert(&store, [&message]).await;
    crate::make::apply_changes(&store, vec![edit_at(message.id, "alpha", 20)]).await;
    // The other server read the message when it said this, and is slow to say so here.
    let filed = database.raw().await.collection::<Document>("search");
    let later = doc! {"$set": {"edited_at": DateTime::from_millis(30), "keys": ["k"]}};
    filed.update_one(doc! {"_id": message.id.0}, later).await.expect("an update");
    crate::make::apply_changes(&store, vec![edit_at(message.id, "beta", 25)]).await;
    let left = filed.find_one(doc! {"_id": message.id.0}).await.expect("a row").expect("a row");
    assert_eq!(left.get_array("keys").expect("keys"), &vec!["k".into()]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deletion_leaves_nothing_in_the_index() {
    let database = TestDatabase::new();
    let store = prepared(&database).await;
    let message = direct("ann", "user1", 1);
    insert(&store, [&message]).await;
    let filed = database.raw().await.collection::<Document>("search");
    assert_eq!(filed.count_documents(doc! {}).await.expect("a count"), 1);
    crate::make::delete(&store, &[&message]).await;
    assert_eq!(filed.count_documents(doc! {}).await.expect("a count"), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn searches_are_served_by_their_indexes() {
    let filled = filled().await;
    let groups: Vec<GroupId> = (0..20).map(|_| GroupId::mint()).collect();
    let [before, from] = [300, 200].map(|at| Some(direct("a", "b", at).position()));
    let talk = Some(between("user1", "user2"));
    let team = Some(Conversation::Group(groups[3]));
    for query in [
        query("user"),
        query("user1 at"),
        SearchQuery { before, ..query("user1 at") },
        SearchQuery { conversation: talk, ..query("user1") },
        SearchQuery { conversation: team, from: Some(user("user1")), ..query("user1") },
    ] {
        let parties = query.parties(&groups);
        for word in 0..query.words.keys(&parties[0]).len() {
            let plan = filled.count(&queries::candidates(&query, &parties, before, word, 9)).await;
            assert_index(&plan, "search_keys");
            assert!(!plan.iter().any(|stage| stage == "SORT"), "{plan:?}");
        }
        for slice in [Slice::default(), Slice { before, from }] {
            let plan = filled.find(&queries::candidates_in(&query, &parties, slice)).await;
            assert_ordered_by_index(&plan, "search_order");
        }
        let plan = filled.count(&queries::nth_newest(&query, &parties, before, 9)).await;
        assert_ordered_by_index(&plan, "search_order");
    }
    let after = ObjectId::from_bytes([0; 12]);
    let plan = filled.find(&queries::message_ids_after(after, 500)).await;
    assert_ordered_by_index(&plan, "_id_");
    assert!(!plan.iter().any(|stage| stage == "FETCH"), "documents are read: {plan:?}");
    let ids = vec![ObjectId::new().into(), ObjectId::new().into()];
    assert_index(&filled.find(&queries::filed_ids(ids.clone())).await, "_id_");
    assert_index(&filled.find(&queries::messages_by_id(ids)).await, "_id_");
    assert_index(
        &filled.explain_delete("search", queries::filed_of_group(groups[0])).await,
        "search_order",
    );
}
