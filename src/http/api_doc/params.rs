//! The parameters that many routes have in common.

use serde_json::json;
use utoipa::IntoParams;
use utoipa::openapi::path::{Parameter, ParameterBuilder, ParameterIn, ParameterStyle};
use utoipa::openapi::schema::{ArrayBuilder, ObjectBuilder, Schema, Type};
use utoipa::openapi::{Ref, RefOr, Required};

macro_rules! params {
    ($($(#[$doc:meta])* $name:ident = [$($parameter:expr),* $(,)?];)*) => {$(
        $(#[$doc])*
        pub(in crate::http) struct $name;

        impl IntoParams for $name {
            fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
                vec![$($parameter),*]
            }
        }
    )*};
}

params! {
    /// A path's `id` that is a user's.
    IdOfUser = [path("id", named("UserId"), "The user")];
    /// A path's `id` that is a group's.
    IdOfGroup = [path("id", named("GroupId"), "The group")];
    /// A path's `id` that is a room's.
    IdOfRoom = [path("id", named("GroupId"), "The room")];
    /// A path's `id` that is a message's.
    IdOfMessage = [path("id", named("MessageId"), "The message")];
    /// The conversation of a path.
    InPath = [
        path("other_id", named("UserId"), "The other user; with `message_type=group`, the group"),
        choice("message_type", &["direct", "group"], "Whose id `other_id` is: a user's, or a group's"),
    ];
    /// Who asks.
    WhoAsks = [query("user_id", named("UserId"), WHO_ASKS)];
    /// Who does something to a group.
    WhoDoes = [query("admin_id", named("UserId"), WHO_ASKS)];
    /// Who is taken out of a group.
    TakenOut = [required(query("user_id", named("UserId"), "Who is taken out"))];
    /// A page of messages.
    Pages = [
        limit(50, 200),
        query("before", named("MessageId"), "The newest messages before this one"),
        query("after", named("MessageId"), "The oldest messages after this one"),
        query(
            "around",
            named("MessageId"),
            "Up to half of `limit` before this message, then itself, then those after it. At most \
             one of `before`, `after` and `around` can be given",
        ),
    ];
    /// A page of replies.
    Replies = [
        limit(50, 200),
        query("before", named("MessageId"), "The newest replies before this message"),
        query("after", named("MessageId"), "The oldest replies after this one; not with `before`"),
    ];
    /// For whom a message is deleted, by the old server's route.
    DeleteForMe = [choice("delete_for", &["me", "everyone"], "For whom it is deleted")];
    /// The same by the rooms API.
    DeleteForEveryone = [choice("delete_for", &["everyone", "me"], "For whom it is deleted")];
    /// What is searched for.
    Words = [
        required(query(
            "q",
            text(1, 256).into(),
            "1 to 8 words in up to 256 bytes. Each has to be the beginning of a word of the message, \
             in any case, with or without accents",
        )),
        query("from", named("UserId"), "Only messages from this user"),
        query("before", named("MessageId"), "Only messages older than this one: `next` of the page before"),
        choice(
            "order",
            &["newest", "best"],
            "Newest first, or, of the newest 200 that fit, the best first",
        ),
        limit(20, 50),
    ];
    /// Where it is searched.
    Where = [
        query("in", named("UserId"), "Only this conversation: the other user, or the group"),
        choice("type", &["direct", "group"], "Whose id `in` is: a user's, or a group's"),
    ];
    /// A page of conversations.
    Conversations = [
        limit(50, 200),
        query("cursor", text(1, 256).into(), "The `next_cursor` of the page before"),
    ];
    /// A page of rooms.
    Rooms = [limit(100, 200), query("before", named("GroupId"), "Only rooms behind this one")];
    /// A page of members.
    Members = [limit(100, 200), query("after", named("UserId"), "Only members behind this one")];
    /// A page of users.
    Users = [
        limit(100, 200),
        query("after", text(2, 32).into(), "Only users whose name comes after this one"),
    ];
    /// Several users.
    UserIds = [user_ids()];
}

const WHO_ASKS: &str = "Who asks. Needed where sign-in is open; with a token it is the token's user, \
                        and nobody else";

/// A parameter of a path by its name, as most paths have it.
pub(super) fn in_path(name: &str) -> Parameter {
    let (schema, words) = match name {
        "user_id" | "user1_id" => (named("UserId"), "The user"),
        "other_id" | "user2_id" => (named("UserId"), "The other user"),
        "group_id" => (named("GroupId"), "The group"),
        "room_id" => (named("GroupId"), "The room"),
        "message_id" => (named("MessageId"), "The message"),
        "token" => (text(1, 128).into(), "The invitation's token"),
        "filename" => (text(1, 255).into(), "The last part of the upload's `url`"),
        _ => (text(1, 256).into(), "Any text"),
    };
    path(name, schema, words)
}

fn path(name: &str, schema: RefOr<Schema>, words: &str) -> Parameter {
    let parameter = ParameterBuilder::new().name(name).parameter_in(ParameterIn::Path);
    parameter.required(Required::True).schema(Some(schema)).description(Some(words)).build()
}

pub(super) fn query(name: &str, schema: RefOr<Schema>, words: &str) -> Parameter {
    let parameter = ParameterBuilder::new().name(name).parameter_in(ParameterIn::Query);
    parameter.required(Required::False).schema(Some(schema)).description(Some(words)).build()
}

fn required(mut parameter: Parameter) -> Parameter {
    parameter.required = Required::True;
    parameter
}

pub(super) fn named(schema: &str) -> RefOr<Schema> {
    Ref::from_schema_name(schema).into()
}

pub(super) fn text(least: usize, most: usize) -> Schema {
    let text = ObjectBuilder::new().schema_type(Type::String);
    text.min_length(Some(least)).max_length(Some(most)).into()
}

/// One of a few words; the first where none is given.
fn choice(name: &str, words: &[&str], meaning: &str) -> Parameter {
    let schema = ObjectBuilder::new().schema_type(Type::String).enum_values(Some(words.to_vec()));
    let schema = Schema::from(schema.default(words.first().map(|word| json!(word))));
    query(name, schema.into(), meaning)
}

fn limit(default: u32, most: u32) -> Parameter {
    let schema = ObjectBuilder::new().schema_type(Type::Integer).minimum(Some(1));
    let words = format!("How many at the most; more than {most} counts as {most}");
    query("limit", Schema::from(schema.default(Some(json!(default)))).into(), &words)
}

fn user_ids() -> Parameter {
    let ids = ArrayBuilder::new().items(Ref::from_schema_name("UserId"));
    let ids = Schema::from(ids.min_items(Some(1)).max_items(Some(100)));
    let mut parameter = query("user_ids", ids.into(), "The users, with commas between them");
    (parameter.style, parameter.explode) = (Some(ParameterStyle::Form), Some(false));
    required(parameter)
}
