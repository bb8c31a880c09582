//! The server's own plans of what is asked for the sake of one user's privacy.

use banter::model::{Erasure, MessageId, Timestamp, UserId};
use banter::store::mongo::privacy;
use banter::store::{HistoryQuery, PrivacyStore, Range, Store};
use bson::oid::ObjectId;
use bson::{Bson, Document, doc};
use futures_util::TryStreamExt;

use crate::explain::{assert_index, assert_ordered_by_index, filled};
use crate::make::{between, delete, direct, insert, named, user};
use crate::mongod::TestDatabase;
use crate::stores::prepared;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_kept_of_a_user_is_found_by_indexes() {
    let filled = filled().await;
    let user = user("user1");
    let query = HistoryQuery {
        conversation: between("user1", "user1"),
        viewer: None,
        range: Range::After((Timestamp(3), MessageId::mint())),
        limit: 10,
    };
    let plan = filled.find(&privacy::group_messages_of(&user, &query)).await;
    assert_ordered_by_index(&plan, "direct_order");
    let plan = filled.find(&privacy::invitations_by(&user, 10)).await;
    assert_ordered_by_index(&plan, "invitations_by");
    assert_index(&filled.find(&privacy::groups_owned(&user, 10)).await, "group_owner");
    assert_index(&filled.find(&privacy::groups_kept(&user, 10)).await, "group_creator");
    for (query, index) in
        privacy::groups_naming(&user).iter().zip(["group_creator", "group_owner", "group_silenced"])
    {
        assert_index(&filled.find(query).await, index);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_erasure_walks_messages_by_their_id_and_seeks_everything_else() {
    let filled = filled().await;
    let user = user("user1");
    let step = privacy::naming(&user, MessageId::mint(), MessageId::mint());
    assert_index(&filled.find(&step).await, "_id_");
    let store = prepared(&filled.database).await;
    let alias = UserId::from_stored("deleted_0123456789abcdef");
    let erasure = Erasure { user: user.clone(), alias, begun_at: Timestamp(1) };
    store.begin_erasure(&erasure).await.expect("stored");
    store.seen(&[(user.clone(), Timestamp(1))]).await.expect("stored");
    assert_ordered_by_index(&filled.find(&privacy::erasures(10)).await, "_id_");
    let indexes = [
        "user_blocks",
        "blocked_by",
        "mute_changes",
        "cursor_changes",
        "group_changes",
        "_id_",
        "invitations_by",
        "_id_",
    ];
    for ((collection, filter), index) in privacy::traces_of(&user).into_iter().zip(indexes) {
        let plan = filled.explain_delete(collection, filter).await;
        if collection == "presence" {
            assert!(plan.iter().any(|stage| stage == "IDHACK"), "{plan:?}");
        } else {
            assert_index(&plan, index);
        }
    }
}

fn fields(row: &Document) -> Vec<&String> {
    let mut fields: Vec<_> = row.keys().collect();
    fields.sort();
    fields
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_alias_changes_no_field_that_names_nobody() {
    let database = TestDatabase::new();
    let store = prepared(&database).await;
    let raw = database.raw().await.collection::<Document>("messages");
    let (plain, gone) = (direct("ann", "bob", 1), named(direct("bob", "ann", 2), "gone"));
    insert(&store, [&plain, &gone]).await;
    delete(&store, &[&gone]).await;
    let old = doc! {
        "_id": ObjectId::new(), "id": "old", "content": "hi", "type": "direct",
        "from_user_id": "bob", "to_user_id": "ann", "timestamp": bson::DateTime::now(),
        "status": "sent", "read_by": null, "deleted_for": ["zoe"],
    };
    raw.insert_one(&old).await.expect("stored");
    let rows = async || -> Vec<Document> {
        let rows = raw.find(doc! {}).sort(doc! {"_id": 1}).await.expect("the server answers");
        rows.try_collect().await.expect("documents")
    };
    let before = rows().await;
    let alias = UserId::from_stored("deleted_0123456789abcdef");
    let erasure = Erasure { user: user("ann"), alias, begun_at: Timestamp(1) };
    let step = store.anonymise(&erasure, None).await.expect("the store answers");
    assert_eq!((step.messages, step.next), (2, None));
    for (before, after) in before.iter().zip(&rows().await) {
        if before.get_str("id").ok() == Some("old") {
            let mut before = fields(before);
            let (parties, version) = ("parties".to_owned(), "version".to_owned());
            before.extend([&parties, &version]);
            before.sort();
            assert_eq!(fields(after), before);
            let parties = ["bob", "deleted_0123456789abcdef"].map(Bson::from);
            assert_eq!(after.get_array("parties").expect("a list"), &parties);
            assert_eq!(after.get("read_by"), Some(&Bson::Null));
        } else {
            assert_eq!(fields(after), fields(before), "{after}");
        }
        assert!(!after.to_string().contains("\"ann\""), "{after}");
    }
}
