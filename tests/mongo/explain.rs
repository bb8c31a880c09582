//! The server's own plans of the very queries that the store runs.

use banter::model::{
    Batch, Group, GroupId, Message, MessageId, MessageRef, Place, ReadCursor, Timestamp,
};
use banter::store::mongo::queries::{self, Count, Find};
use banter::store::mongo::{attached, blocks, changes, chats, presence, rooms};
use banter::store::{HistoryQuery, Range, Store};
use bson::{Bson, Document, doc};

use crate::make::{
    between, client, delete, direct, group, in_group, inserts, named, read, reply, user,
};
use crate::mongod::TestDatabase;
use crate::stores::{first_page, prepared};

/// The stages of the plan that the server chose, outermost first.
fn stages(explained: &Document) -> Vec<String> {
    let mut found = Vec::new();
    collect(&Bson::Document(explained.clone()), &mut found);
    assert!(!found.is_empty(), "no plan in {explained}");
    found
}

fn collect(value: &Bson, found: &mut Vec<String>) {
    match value {
        Bson::Document(document) => {
            if let Ok(stage) = document.get_str("stage") {
                let index = document.get_str("indexName").unwrap_or_default();
                found.push(format!("{stage} {index}").trim().to_owned());
            }
            for (key, value) in document {
                // A stage of an aggregation that was not pushed down into the plan below it.
                if key == "$sort" {
                    found.push("SORT".to_owned());
                }
                if !["rejectedPlans", "command", "serverParameters"].contains(&key.as_str()) {
                    collect(value, found);
                }
            }
        }
        Bson::Array(items) => items.iter().for_each(|item| collect(item, found)),
        _ => {}
    }
}

pub(crate) struct Filled {
    pub(crate) database: TestDatabase,
    group: GroupId,
    newest: MessageId,
    root: MessageId,
    cursor: (Timestamp, MessageId),
}

/// 60 users who write to each other, 20 groups, read and unread, enough for the planner to have a
/// choice between all indexes.
pub(crate) async fn filled() -> Filled {
    let database = TestDatabase::new();
    let store = prepared(&database).await;
    let name = |number: i64| format!("user{number}");
    let groups: Vec<_> = (0..20)
        .map(|i| {
            let members = [&*name(i), &name(i + 1), &name(1)];
            Group { is_public: i % 2 == 0, ..group(&format!("Group {i}"), &members, i) }
        })
        .collect();
    for group in &groups {
        store.create_group(group).await.expect("a new group");
    }
    let mut all: Vec<Message> = (0..6_000)
        .map(|at| direct(&name(at % 60), &name((at / 60 + at * 7) % 60), at))
        .chain((0..300).map(|at| named(direct("user1", "user2", at), &at.to_string())))
        .chain((0..300).map(|at| direct("user2", "user1", at)))
        .collect();
    let root = all[1].clone();
    all.extend((0..300).map(|at| reply(direct("user2", "user1", at), &root)));
    for group in &groups {
        all.extend((0..200).map(|at| in_group(group.id, &name(at % 60), at)));
    }
    crate::make::apply(&store, inserts(&all)).await;
    let cursor = all[all.len() - 100].position();
    let group = groups[19].id;
    let batch = Batch {
        changes: all.iter().step_by(3).map(|message| read(message.id, &["user1"])).collect(),
        cursors: vec![ReadCursor { user: user("user1"), group, up_to: cursor }],
        ..Batch::default()
    };
    store.apply(&batch).await.expect("stored");
    delete(&store, &all.iter().step_by(20).collect::<Vec<_>>()).await;
    Filled { database, group, newest: all[all.len() - 1].id, root: root.id, cursor }
}

impl Filled {
    async fn explain(&self, command: Document) -> Vec<String> {
        let command = doc! {"explain": command, "verbosity": "queryPlanner"};
        let explained = self.database.raw().await.run_command(command).await.expect("a plan");
        stages(&explained)
    }

    pub(crate) async fn find(&self, query: &Find) -> Vec<String> {
        self.explain(query.command()).await
    }

    pub(crate) async fn explain_delete(&self, from: &str, filter: Document) -> Vec<String> {
        self.explain(doc! {"delete": from, "deletes": [{"q": filter, "limit": 0}]}).await
    }

    pub(crate) async fn count(&self, query: &Count) -> Vec<String> {
        self.explain(query.command()).await
    }
}

#[track_caller]
pub(crate) fn assert_ordered_by_index(stages: &[String], index: &str) {
    assert_index(stages, index);
    assert!(!stages.iter().any(|stage| stage == "SORT"), "a sort in memory: {stages:?}");
}

#[track_caller]
pub(crate) fn assert_index(stages: &[String], index: &str) {
    assert!(!stages.iter().any(|stage| stage == "COLLSCAN"), "a scan: {stages:?}");
    let scans: Vec<_> = stages.iter().filter(|stage| stage.starts_with("IXSCAN")).collect();
    assert!(!scans.is_empty(), "no index: {stages:?}");
    assert!(scans.iter().all(|scan| **scan == format!("IXSCAN {index}")), "{stages:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn history_comes_in_the_order_of_an_index() {
    let filled = filled().await;
    let mid = (Timestamp(150), MessageId::mint());
    let ranges = [Range::Newest, Range::Before(mid), Range::After(mid)];
    let all = ranges.map(|range| (range, None));
    let shown = ranges.map(|range| (range, Some(user("user1"))));
    for (range, viewer) in all.into_iter().chain(shown) {
        let of = |conversation| {
            let viewer = viewer.clone();
            HistoryQuery { range, viewer, ..first_page(conversation, "user1") }
        };
        let direct = of(between("user1", "user2"));
        let plan = filled.find(&queries::history(&direct)).await;
        assert_ordered_by_index(&plan, "direct_order");
        assert!(plan.contains(&"SORT_MERGE".to_owned()), "both directions merged: {plan:?}");

        let alone = of(between("user1", "user1"));
        assert_ordered_by_index(&filled.find(&queries::history(&alone)).await, "direct_order");

        let conversation = banter::model::Conversation::Group(filled.group);
        let group = of(conversation);
        assert_ordered_by_index(&filled.find(&queries::history(&group)).await, "group_order");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replies_are_read_and_counted_by_their_index() {
    let filled = filled().await;
    let mid = (Timestamp(150), MessageId::mint());
    for range in [Range::Newest, Range::Before(mid), Range::After(mid)] {
        let query = HistoryQuery { range, ..first_page(between("user1", "user2"), "user1") };
        let plan = filled.find(&attached::replies(filled.root, &query)).await;
        assert_ordered_by_index(&plan, "message_replies");
    }
    let plan = filled.count(&attached::answered(&[filled.root, MessageId::mint()])).await;
    assert!(plan.contains(&"DISTINCT_SCAN message_replies".to_owned()), "{plan:?}");
    assert!(!plan.iter().any(|stage| ["COLLSCAN", "SORT"].contains(&stage.as_str())), "{plan:?}");
    for except in [&[][..], &[MessageId::mint()]] {
        let plan = filled.count(&attached::reply_count(filled.root, except)).await;
        assert_ordered_by_index(&plan, "message_replies");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pins_come_in_the_order_of_an_index() {
    let filled = filled().await;
    let (talk, notes) = (between("user1", "user2"), between("user1", "user1"));
    let team = banter::model::Conversation::Group(filled.group);
    for (conversation, index) in
        [(talk, "direct_pins"), (notes, "direct_pins"), (team, "group_pins")]
    {
        let plan = filled.find(&attached::pins(&conversation, 100)).await;
        assert_ordered_by_index(&plan, index);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn changes_come_in_the_order_of_an_index() {
    let filled = filled().await;
    let user = user("user1");
    let after = Place { version: 1, id: filled.newest.0 };
    let me = bson::Bson::from(user.as_str());
    let groups = (0..99).map(|_| GroupId::mint().0.into());
    let owners: Vec<bson::Bson> = [me, filled.group.0.into()].into_iter().chain(groups).collect();
    for owners in [&owners[..1], &owners[..2], &owners[..100]] {
        let plan = filled.find(&changes::changed_messages(owners, after, 50)).await;
        assert_ordered_by_index(&plan, "message_changes");
        let plan = filled.find(&changes::changed_groups(owners, after, 50)).await;
        assert_ordered_by_index(&plan, "group_changes");
    }
    let plan = filled.find(&changes::changed_cursors(&user, after, 50)).await;
    assert_ordered_by_index(&plan, "cursor_changes");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_list_of_conversations_skips_from_one_to_the_next() {
    let filled = filled().await;
    let user = user("user1");
    for (query, index) in [
        (chats::newest_sent(&user), "direct_order"),
        (chats::newest_received(&user), "direct_received"),
        (chats::newest_in(&[filled.group, GroupId::mint()]), "group_order"),
    ] {
        let plan = filled.count(&query).await;
        assert!(plan.contains(&format!("DISTINCT_SCAN {index}")), "{plan:?}");
        let reads = |stage: &String| ["COLLSCAN", "FETCH", "SORT"].contains(&stage.as_str());
        assert!(!plan.iter().any(reads), "documents are read: {plan:?}");
    }
    let plan = filled.count(&queries::unread_from(&user, &crate::make::user("user2"))).await;
    assert_ordered_by_index(&plan, "direct_unread");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn groups_of_a_user_come_in_the_order_of_an_index() {
    let filled = filled().await;
    let user = user("user1");
    let plan = filled.find(&queries::groups_of(&user, 10)).await;
    assert_ordered_by_index(&plan, "member_groups");
    assert_index(&filled.find(&queries::group_ids_of(&user, 0)).await, "member_groups");
    let covered = filled.find(&queries::makings_of_groups_of(&user, 100)).await;
    assert_ordered_by_index(&covered, "member_groups");
    assert!(!covered.contains(&"FETCH".to_owned()), "groups are read: {covered:?}");
    assert_index(&filled.count(&queries::group_summaries(&[filled.group], 9)).await, "_id_");
    assert_index(&filled.find(&queries::groups_named("roup 1", 10)).await, "group_name");
    let of_user = queries::groups_of_named(&user, "roup 1", 10);
    assert_index(&filled.find(&of_user).await, "member_groups");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rooms_come_in_the_order_of_their_indexes() {
    let filled = filled().await;
    let user = user("user1");
    for before in [None, Some((Timestamp(9), filled.group))] {
        let plan = filled.count(&rooms::public_rooms(&user, before, 10)).await;
        assert_ordered_by_index(&plan, "public_groups");
        let plan = filled.count(&rooms::rooms_of(&user, before, 10)).await;
        assert_ordered_by_index(&plan, "member_groups");
    }
    let plan = filled.find(&rooms::public_groups_named("roup 1", 10)).await;
    assert_ordered_by_index(&plan, "public_groups");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unread_counts_come_from_indexes() {
    let filled = filled().await;
    let user = user("user1");
    let plan = filled.count(&queries::unread_direct(&user, None)).await;
    assert_ordered_by_index(&plan, "direct_unread");
    for cursor in [None, Some(filled.cursor)] {
        let plan = filled.count(&queries::unread_in_group(&user, filled.group, cursor, None)).await;
        assert_ordered_by_index(&plan, "group_order");
    }
    let plan = filled.find(&queries::read_cursors(&user, &[filled.group])).await;
    assert_index(&plan, "_id_");
    let plan = filled.find(&queries::readers(filled.group, filled.cursor, 100)).await;
    assert_ordered_by_index(&plan, "cursor_places");
    let plan = filled.find(&blocks::blocks_of(&user, 10)).await;
    assert_ordered_by_index(&plan, "user_blocks");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stubs_are_counted_in_their_index_alone() {
    let filled = filled().await;
    let plan = filled.count(&queries::stubs()).await;
    assert!(plan.iter().any(|stage| stage.ends_with(" message_tombstone")), "{plan:?}");
    let reads = |stage: &String| ["COLLSCAN", "FETCH"].contains(&stage.as_str());
    assert!(!plan.iter().any(reads), "documents are read: {plan:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn peers_are_found_without_reading_what_they_said() {
    let filled = filled().await;
    let user = user("user1");
    for (query, index) in [
        (presence::receivers(&user, 100), "direct_order"),
        (presence::senders(&user, 100), "direct_received"),
    ] {
        let plan = filled.explain(query.command()).await;
        assert!(plan.contains(&format!("DISTINCT_SCAN {index}")), "{plan:?}");
        let reads = |stage: &String| {
            ["COLLSCAN", "FETCH", "IXSCAN", "SORT"].iter().any(|kind| stage.starts_with(kind))
        };
        assert!(!plan.iter().any(reads), "{plan:?}");
    }
    let store = prepared(&filled.database).await;
    store.seen(&[(user.clone(), Timestamp(1))]).await.expect("stored");
    let plan = filled.find(&presence::small_groups_of(&user, 2, 10)).await;
    assert_ordered_by_index(&plan, "member_groups");
    assert_index(&filled.find(&presence::last_seen(&[user])).await, "_id_");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn single_documents_are_looked_up_by_index() {
    let filled = filled().await;
    assert_eq!(filled.find(&queries::message_by_id(filled.newest)).await, ["IDHACK"]);
    assert_eq!(filled.find(&queries::group_by_id(filled.group)).await, ["IDHACK"]);
    let old = MessageRef::from(filled.newest);
    assert_index(&filled.find(&queries::message_by_old_id(&old)).await, "message_id");
    let by_client_id = queries::sent_as(&user("user1"), &client("7"));
    assert_index(&filled.find(&by_client_id).await, "message_client_id");
    let by_file = attached::named_media("/uploads/a.png");
    assert_index(&filled.find(&by_file).await, "message_media");
    let ids = vec![filled.newest.0.into(), MessageId::mint().0.into()];
    assert_index(&filled.find(&queries::stored_ids(ids)).await, "_id_");
}
