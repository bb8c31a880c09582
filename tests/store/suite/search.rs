//! Searching.

use std::sync::Arc;

use banter::model::{Batch, Content, Conversation, GroupId, Message, Timestamp};
use banter::search::Words;
use banter::store::{SearchQuery, Store};

use crate::make::{
    apply, apply_changes, between, delete, direct, edit, edit_at, group, hide, in_group, insert,
    stored, user,
};

fn saying(text: &str, message: Message) -> Message {
    Message { content: Content::Text(text.to_owned()), ..message }
}

fn asks(viewer: &str, words: &str) -> SearchQuery {
    SearchQuery {
        viewer: user(viewer),
        words: Words::parse(words).expect("words"),
        conversation: None,
        from: None,
        before: None,
        limit: 50,
    }
}

async fn found(store: &dyn Store, query: &SearchQuery) -> Vec<Message> {
    store.search(query).await.expect("the store answers").messages
}

/// The times of what is found, by which these tests know their messages.
async fn times(store: &dyn Store, query: &SearchQuery) -> Vec<i64> {
    found(store, query).await.iter().map(|message| message.timestamp.as_millis()).collect()
}

pub(crate) async fn words_are_found_in_any_case_and_accent_by_their_beginnings(
    store: Arc<dyn Store>,
) {
    let all = [
        saying("Crème BRÛLÉE, please", direct("ann", "bob", 1)),
        saying("the creme is gone", direct("bob", "ann", 2)),
        saying("Straße im Regen", direct("ann", "bob", 3)),
        saying("明日東京タワーで会いましょう", direct("ann", "bob", 4)),
        saying("東京と京都", direct("ann", "bob", 5)),
    ];
    insert(&*store, &all).await;
    for (words, expected) in [
        ("creme", vec![2, 1]),
        ("CRÈ", vec![2, 1]),
        ("creme bru", vec![1]),
        ("bru CRE ple", vec![1]),
        ("strasse", vec![3]),
        ("reme", vec![]),
        ("creme rain", vec![]),
        ("東京", vec![5, 4]),
        ("京", vec![5, 4]),
        ("タワー", vec![4]),
        ("東京都", vec![]),
        ("brûléeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeee", vec![]),
    ] {
        assert_eq!(times(&*store, &asks("bob", words)).await, expected, "{words}");
    }
    assert_eq!(found(&*store, &asks("ann", "gone")).await, [all[1].clone()], "the whole row");
}

pub(crate) async fn only_what_the_viewer_may_see_is_found(store: Arc<dyn Store>) {
    let (team, others) = (group("t", &["ann", "bob"], 1), group("o", &["cem"], 1));
    for group in [&team, &others] {
        store.create_group(group).await.expect("a new group");
    }
    let all = [
        saying("hello", direct("ann", "bob", 1)),
        saying("hello", direct("cem", "dan", 2)),
        saying("hello", in_group(team.id, "ann", 3)),
        saying("hello", in_group(others.id, "cem", 4)),
        saying("hello", direct("ann", "ann", 5)),
    ];
    insert(&*store, &all).await;
    let hello = async |viewer| times(&*store, &asks(viewer, "hello")).await;

    assert_eq!(hello("bob").await, [3, 1]);
    assert_eq!(hello("ann").await, [5, 3, 1]);
    assert_eq!(hello("cem").await, [4, 2]);
    assert_eq!(hello("eve").await, [0; 0]);
    store.remove_member(team.id, &user("bob")).await.expect("taken out");
    assert_eq!(hello("bob").await, [1], "a former member");
    let conversation = Some(Conversation::Group(others.id));
    let inside = SearchQuery { conversation, ..asks("ann", "hello") };
    assert_eq!(times(&*store, &inside).await, [0; 0]);
    let conversation = Some(between("cem", "dan"));
    let inside = SearchQuery { conversation, ..asks("ann", "hello") };
    assert_eq!(times(&*store, &inside).await, [0; 0]);
}

pub(crate) async fn a_search_keeps_to_a_conversation_and_a_sender(store: Arc<dyn Store>) {
    let team = group("t", &["ann", "bob"], 1);
    store.create_group(&team).await.expect("a new group");
    let all = [
        saying("hello", direct("ann", "bob", 1)),
        saying("hello", direct("bob", "ann", 2)),
        saying("hello", direct("cem", "bob", 3)),
        saying("hello", in_group(team.id, "ann", 4)),
        saying("hello", in_group(team.id, "bob", 5)),
    ];
    insert(&*store, &all).await;
    let query = || asks("bob", "hel");
    let talk = Some(between("ann", "bob"));
    for (query, expected) in [
        (SearchQuery { conversation: talk.clone(), ..query() }, vec![2, 1]),
        (SearchQuery { conversation: Some(Conversation::Group(team.id)), ..query() }, vec![5, 4]),
        (SearchQuery { from: Some(user("ann")), ..query() }, vec![4, 1]),
        (SearchQuery { conversation: talk, from: Some(user("bob")), ..query() }, vec![2]),
        (SearchQuery { from: Some(user("nobody")), ..query() }, vec![]),
    ] {
        assert_eq!(times(&*store, &query).await, expected, "{query:?}");
    }
}

pub(crate) async fn what_is_hidden_deleted_or_purged_is_gone(store: Arc<dyn Store>) {
    let team = group("t", &["ann", "bob"], 1);
    store.create_group(&team).await.expect("a new group");
    let all = [
        saying("hello", direct("ann", "bob", 1)),
        saying("hello", direct("ann", "bob", 2)),
        saying("hello", direct("ann", "bob", 3)),
        saying("hello", in_group(team.id, "ann", 4)),
    ];
    insert(&*store, &all).await;
    apply_changes(&*store, vec![hide(all[0].id, &["bob"])]).await;
    delete(&*store, &[&all[1]]).await;
    let hello = async |viewer| times(&*store, &asks(viewer, "hello")).await;
    assert_eq!(hello("bob").await, [4, 3]);
    assert_eq!(hello("ann").await, [4, 3, 1]);
    insert(&*store, &all).await;
    assert_eq!(hello("ann").await, [4, 3, 1], "an insert again changes nothing");

    let purge = Batch { purges: vec![team.id], ..Batch::default() };
    apply(&*store, purge).await;
    assert_eq!(hello("ann").await, [3, 1]);
}

pub(crate) async fn an_edited_message_is_found_by_what_it_says_now(store: Arc<dyn Store>) {
    let message = saying("alpha", direct("ann", "bob", 1));
    insert(&*store, [&message]).await;
    apply_changes(&*store, vec![edit(message.id, "beta")]).await;
    assert_eq!(times(&*store, &asks("bob", "alpha")).await, [0; 0]);
    let now = stored(&*store, message.id).await.expect("it is there");
    let listed = Message { revisions: Vec::new(), ..now };
    assert_eq!(found(&*store, &asks("bob", "beta")).await, [listed]);
    apply_changes(&*store, vec![edit_at(message.id, "too late", 8)]).await;
    assert_eq!(times(&*store, &asks("bob", "beta")).await, [1], "a later edit is there");
    apply_changes(&*store, vec![edit_at(message.id, "!", 10)]).await;
    assert_eq!(times(&*store, &asks("bob", "beta")).await, [0; 0]);
    apply_changes(&*store, vec![edit_at(message.id, "gamma", 11)]).await;
    assert_eq!(times(&*store, &asks("bob", "gamma")).await, [1]);
    insert(&*store, [&message]).await;
    assert_eq!(times(&*store, &asks("bob", "alpha")).await, [0; 0], "an old insert comes again");
}

pub(crate) async fn results_are_newest_first_and_pages_follow_each_other(store: Arc<dyn Store>) {
    let id = GroupId::mint();
    let team = banter::model::Group { id, ..group("t", &["ann"], 1) };
    store.create_group(&team).await.expect("a new group");
    // Later ones arrive first, many at one time, and some are not the viewer's to see any more.
    let mut all: Vec<Message> = (0..90)
        .map(|n| {
            let message =
                if n % 3 == 0 { in_group(id, "bob", n / 9) } else { direct("bob", "ann", n / 9) };
            saying(&format!("word{n} hello"), message)
        })
        .collect();
    insert(&*store, all.iter().rev()).await;
    let hidden = all.iter().step_by(2).map(|message| hide(message.id, &["ann"])).collect();
    apply_changes(&*store, hidden).await;
    let mut number = 0;
    all.retain(|_| {
        number += 1;
        number % 2 == 0
    });
    all.sort_by_key(|message| std::cmp::Reverse(message.position()));
    let expected: Vec<_> = all.iter().map(|message| message.id).collect();

    let (mut walked, mut before) = (Vec::new(), None);
    loop {
        let query = SearchQuery { before, limit: 7, ..asks("ann", "wor hel") };
        let page = found(&*store, &query).await;
        walked.extend(page.iter().map(|message| message.id));
        before = page.last().map(Message::position);
        if before.is_none() {
            break;
        }
    }
    assert_eq!(walked, expected);
}

/// More than are sorted by the store's client: these are walked through in order.
pub(crate) async fn a_word_of_thousands_of_messages_answers_the_newest(store: Arc<dyn Store>) {
    let all: Vec<Message> = (0..2_500)
        .map(|n| saying(if n % 100 == 0 { "hello rare" } else { "hello" }, direct("ann", "bob", n)))
        .collect();
    insert(&*store, &all).await;
    let page = |words| SearchQuery { limit: 3, ..asks("bob", words) };
    assert_eq!(times(&*store, &page("hel")).await, [2_499, 2_498, 2_497]);
    assert_eq!(times(&*store, &page("hel rare")).await, [2_400, 2_300, 2_200]);
    let before = Some(all[1_000].position());
    let older = SearchQuery { before, ..page("hello") };
    assert_eq!(times(&*store, &older).await, [999, 998, 997]);
    let talk = SearchQuery { conversation: Some(between("ann", "bob")), ..page("hello") };
    assert_eq!(times(&*store, &talk).await, [2_499, 2_498, 2_497]);
    let from = SearchQuery { from: Some(user("bob")), ..page("hello") };
    assert_eq!(times(&*store, &from).await, [0; 0]);
}

pub(crate) async fn a_search_that_takes_long_stops_and_goes_on_from_there(store: Arc<dyn Store>) {
    let visible = [0, 1, 2_000, 5_000, 10_100];
    let all: Vec<Message> = (0..10_200)
        .map(|n| {
            let is_hidden = !visible.contains(&n);
            let deleted_for = is_hidden.then(|| user("bob")).into_iter().collect();
            Message { deleted_for, ..saying("hello world", direct("ann", "bob", n)) }
        })
        .collect();
    for part in all.chunks(1_000) {
        insert(&*store, part).await;
    }
    let (mut found, mut stops, mut query) = (Vec::new(), 0, asks("bob", "hello wor"));
    loop {
        let hits = store.search(&query).await.expect("the store answers");
        found.extend(hits.messages.iter().map(|message| message.timestamp.as_millis()));
        let Some(place) = hits.stopped_at else { break };
        assert!(query.before.is_none_or(|before| place < before), "it gets further");
        query.before = Some(place);
        stops += 1;
    }
    assert_eq!(found, [10_100, 5_000, 2_000, 1, 0]);
    assert!(stops > 0, "so many are not looked at in one go");
}

pub(crate) async fn no_sign_of_a_query_or_a_message_means_anything(store: Arc<dyn Store>) {
    let odd = r#"a.*b "quoted" OR NOT keys: $where { } ^x (y) -z * 'x'' NEAR("#;
    insert(&*store, [&saying(odd, direct("ann", "bob", 1))]).await;
    for words in ["\"quoted", "quo* OR", "NOT $where", "keys:a", "a.*", "NEAR(x y)", "-z", "'x"] {
        assert_eq!(times(&*store, &asks("bob", words)).await, [1], "{words}");
    }
    for words in ["absent OR quoted", ".*c", "NOT absent", "quoted*x1"] {
        assert_eq!(times(&*store, &asks("bob", words)).await, [0; 0], "{words}");
    }
}

pub(crate) async fn an_object_is_searched_in_its_text_and_caption(store: Arc<dyn Store>) {
    let content = serde_json::json!({"text": "one", "caption": "two", "alt": "three"});
    let content = Content::Object(content.as_object().expect("an object").clone());
    insert(&*store, [&Message { content, ..direct("ann", "bob", 1) }]).await;
    assert_eq!(times(&*store, &asks("bob", "two one")).await, [1]);
    assert_eq!(times(&*store, &asks("bob", "three")).await, [0; 0]);
}

pub(crate) async fn a_user_of_many_groups_finds_what_is_in_each(store: Arc<dyn Store>) {
    let groups: Vec<_> = (0..120).map(|n| group("g", &["ann"], n)).collect();
    let mut all = Vec::new();
    for (at, group) in (0..).zip(&groups) {
        store.create_group(group).await.expect("a new group");
        all.push(saying("hello", in_group(group.id, "bob", at)));
    }
    insert(&*store, &all).await;
    let expected: Vec<i64> = (70..120).rev().collect();
    assert_eq!(times(&*store, &asks("ann", "hello")).await, expected);
    let before = Some((Timestamp(2), all[2].id));
    assert_eq!(times(&*store, &SearchQuery { before, ..asks("ann", "he") }).await, [1, 0]);
}

pub(crate) async fn what_is_indexed_leaves_no_backlog(store: Arc<dyn Store>) {
    insert(&*store, [&saying("hello", direct("ann", "bob", 1))]).await;
    let backlog = store.index_backlog().await.expect("the store answers");
    assert_eq!((backlog.indexed, backlog.more), (0, false));
    assert_eq!(times(&*store, &asks("bob", "hello")).await, [1]);
}
