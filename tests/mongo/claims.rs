//! Client ids that several nodes claim.

use banter::model::{ClientId, Erasure, MessageId, Timestamp, UserId};
use banter::store::{PrivacyStore, Store};
use bson::Document;
use futures_util::future::try_join_all;

use crate::make::user;
use crate::mongod::TestDatabase;
use crate::stores::prepared;

fn now() -> Timestamp {
    Timestamp(bson::DateTime::now().timestamp_millis())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_all_who_claim_a_client_id_one_gets_it_and_the_others_hear_which() {
    let database = TestDatabase::new();
    let nodes = [prepared(&database).await, prepared(&database).await, prepared(&database).await];
    for round in 0..50 {
        let (ann, client_id) = (user("ann"), ClientId::parse(&format!("c-{round}")).unwrap());
        let ids: Vec<_> = (0..9).map(|_| MessageId::mint()).collect();
        let claims = ids
            .iter()
            .enumerate()
            .map(|(n, id)| nodes[n % nodes.len()].claim(&ann, &client_id, *id, now()));
        let claimed = try_join_all(claims).await.expect("claimed");
        assert!(ids.contains(&claimed[0]), "one of those who asked");
        assert!(claimed.iter().all(|id| *id == claimed[0]), "{claimed:?}");
        let other = MessageId::mint();
        let again = nodes[0].claim(&user("bob"), &client_id, other, now()).await.expect("claimed");
        assert_eq!(again, other, "another sender's");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn claims_go_with_their_user() {
    let database = TestDatabase::new();
    let store = prepared(&database).await;
    for name in ["ann", "an", "anna", "bob"] {
        let client_id = ClientId::parse("c-1").unwrap();
        store.claim(&user(name), &client_id, MessageId::mint(), now()).await.expect("claimed");
    }
    let (alias, begun_at) = (UserId::from_stored("deleted_0123456789abcdef"), now());
    let erasure = Erasure { user: user("ann"), alias, begun_at };
    store.begin_erasure(&erasure).await.expect("stored");
    store.remove_traces(&erasure).await.expect("removed");
    let claims = database.raw().await.collection::<Document>("claims");
    assert_eq!(claims.count_documents(bson::doc! {}).await.expect("counted"), 3);
    let left = claims.count_documents(bson::doc! {"_id.from": "ann"}).await.expect("counted");
    assert_eq!(left, 0);
}
