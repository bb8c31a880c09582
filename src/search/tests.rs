//! The rules of searching, by hand and by properties.

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::model::{GroupId, testing};

fn text(text: &str) -> Content {
    Content::Text(text.to_owned())
}

fn object(value: &serde_json::Value) -> Content {
    Content::Object(value.as_object().unwrap().clone())
}

fn wanted(text: &str) -> Words {
    Words::parse(text).unwrap()
}

fn message(content: Content, target: Target) -> Message {
    Message { content, ..testing::message("ann", target) }
}

fn to_bob(content: Content) -> Message {
    message(content, Target::User(UserId::from_stored("bob")))
}

/// Whether an index that files the message under its keys finds it for this query.
fn leads(words: &Words, message: &Message, party: &str) -> bool {
    let filed = keys(message);
    words.keys(party).iter().all(|key| filed.iter().any(|filed| filed.starts_with(key)))
}

#[test]
fn all_words_have_to_begin_one() {
    let content = text("The café is OPEN until midnight");
    for (query, fits) in [
        ("cafe", true),
        ("CAFÉ ope", true),
        ("mid the", true),
        ("caf caf", true),
        ("afe", false),
        ("open closed", false),
        ("opened", false),
    ] {
        assert_eq!(wanted(query).fit(&content), fits, "{query}");
    }
}

#[test]
fn a_run_without_spaces_is_found_by_any_part() {
    let content = text("明日東京タワーで会いましょう");
    for (query, fits) in
        [("東京", true), ("京", true), ("東京タワー", true), ("う", true), ("京東", false)]
    {
        assert_eq!(wanted(query).fit(&content), fits, "{query}");
    }
    let apart = text("東京と京都");
    assert!(!wanted("東京都").fit(&apart), "its pairs are there, the run is not");
    let message = to_bob(apart);
    let bob = user_party(&UserId::from_stored("bob"));
    assert!(leads(&wanted("東京都"), &message, &bob), "it is a candidate all the same");
}

#[test]
fn of_an_object_text_and_caption_are_read() {
    let content =
        object(&json!({"text": "one", "caption": "two", "alt": "three", "n": {"text": "four"}}));
    assert!(wanted("one two").fit(&content));
    assert!(!wanted("three").fit(&content) && !wanted("four").fit(&content));
    assert!(!wanted("five").fit(&object(&json!({"text": ["five"]}))));
}

#[test]
fn a_query_has_one_to_eight_words() {
    assert_eq!(Words::parse(""), Err(InvalidWords::Size));
    assert_eq!(Words::parse(&"a".repeat(257)), Err(InvalidWords::Size));
    assert_eq!(Words::parse("\"*\" - 😀"), Err(InvalidWords::None));
    assert_eq!(Words::parse("1 2 3 4 5 6 7 8 9"), Err(InvalidWords::TooMany));
    assert!(Words::parse("1 2 3 4 5 6 7 8").is_ok());
}

#[test]
fn each_party_has_keys_of_its_own() {
    let (ann, bob) = (UserId::from_stored("ann"), UserId::from_stored("bob"));
    let direct = to_bob(text("hello"));
    assert!(leads(&wanted("hel"), &direct, &user_party(&ann)));
    assert!(leads(&wanted("hel"), &direct, &user_party(&bob)));
    assert!(!leads(&wanted("hel"), &direct, &user_party(&UserId::from_stored("cem"))));
    let group = GroupId::mint();
    let in_group = message(text("hello"), Target::Group(group));
    let party = conversation_party(&Conversation::Group(group));
    assert!(leads(&wanted("hel"), &in_group, &party));
    assert!(!leads(&wanted("hel"), &in_group, &user_party(&ann)), "a member by the group alone");
    assert!(further_keys(&direct).contains(&sender_key(&ann)));
    let talk = Conversation::direct(bob, ann);
    assert!(further_keys(&direct).contains(&conversation_key(&talk)));
}

#[test]
fn keys_are_bounded_and_stable() {
    let many: Vec<String> = (0..5_000).map(|n| n.to_string()).collect();
    assert!(keys(&to_bob(text(&many.join(" ")))).len() <= 2 * MAX_KEYS);
    assert!(keys(&to_bob(text(&"漢字".repeat(5_000)))).len() <= 2 * MAX_KEYS);
    assert_eq!(keys(&to_bob(text("!?"))), [""; 0]);
    // They are stored: a change of these would lose what is filed.
    assert_eq!(user_party(&UserId::from_stored("ann")), "076f6f3d6fc8e207");
    let long = "x".repeat(40);
    assert_eq!(wanted(&long).keys(""), ["x".repeat(KEY_CHARS)]);
    assert!(!wanted(&long).fit(&text(&"x".repeat(39))), "cut in the key, not in the look");
}

#[test]
fn an_excerpt_marks_its_hits_in_escaped_text() {
    let content = text("<b>Crème</b> & \"crêpes\"");
    assert_eq!(
        excerpt(&wanted("cre"), &content),
        "&lt;b&gt;<mark>Crè</mark>me&lt;/b&gt; &amp; &quot;<mark>crê</mark>pes&quot;"
    );
    assert_eq!(excerpt(&wanted("京タ"), &text("東京タワー")), "東<mark>京タ</mark>ワー");
    assert_eq!(excerpt(&wanted("a ab"), &text("abc\n\n d")), "<mark>ab</mark>c d");
    let caption = object(&json!({"text": "no", "caption": "here it is"}));
    assert_eq!(excerpt(&wanted("it"), &caption), "here <mark>it</mark> is");
    assert_eq!(excerpt(&wanted("absent"), &caption), "");
}

#[test]
fn a_long_text_is_cut_around_its_first_hit() {
    let long = format!("{}needle {}", "before ".repeat(50), "after ".repeat(50));
    let shown = excerpt(&wanted("needle"), &text(&long));
    assert!(shown.starts_with("… before") && shown.ends_with("after…"), "{shown}");
    assert!(shown.contains("<mark>needle</mark>"));
    assert!((120..=190).contains(&shown.chars().count()), "{}", shown.chars().count());
}

#[test]
fn whole_words_are_better_than_beginnings_and_early_ones_than_late() {
    let words = wanted("cat");
    let whole = words.score(&text("a cat"));
    assert!(whole > words.score(&text("category")));
    assert!(whole > words.score(&text("is this a cat")));
}

proptest! {
    /// Whatever fits is led to by its keys: an index never holds too little.
    #[test]
    fn what_fits_is_found_by_its_keys(content in "[a-zA-Zé東京タ ]{0,40}", query in "[a-eé東京 ]{1,6}") {
        let message = to_bob(text(&content));
        if let Ok(words) = Words::parse(&query)
            && words.fit(&message.content)
        {
            prop_assert!(leads(&words, &message, &user_party(&message.from)));
            prop_assert!(excerpt(&words, &message.content).contains("<mark>"));
        }
    }

    #[test]
    fn keys_hold_no_sign_that_an_index_could_read(content in any::<String>()) {
        for key in keys(&to_bob(text(&content))) {
            prop_assert!(key.chars().all(|c| c.is_alphanumeric() && !c.is_ascii_uppercase()));
        }
    }

    #[test]
    fn a_part_of_a_text_is_found_in_it(content in any::<String>(), from in 0_usize..20) {
        let first = words(&content).into_iter().nth(from);
        if let Some(word) = first {
            let words = Words(vec![word]);
            prop_assert!(words.fit(&text(&content)));
        }
    }

    #[test]
    fn excerpts_are_balanced_and_escaped(content in "(\\PC|[<>&\"' \n]){0,400}", query in "\\PC{1,20}") {
        if let Ok(words) = Words::parse(&query) {
            let shown = excerpt(&words, &text(&content));
            let bare = shown.replace("<mark>", "\u{1}").replace("</mark>", "\u{2}");
            prop_assert!(!bare.contains(['<', '>', '"', '\'']));
            let mut open = false;
            for c in bare.chars().filter(|c| matches!(c, '\u{1}' | '\u{2}')) {
                prop_assert_eq!(open, c == '\u{2}');
                open = !open;
            }
            prop_assert!(!open);
        }
    }
}
