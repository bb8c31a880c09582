//! The description of every shape whose JSON is not written by a derive, for the document at
//! `/openapi.json`. No value of these types is ever made; that the shapes are right is held by
//! tests that compare answers with the document. What is written here as a comment is read by
//! those who use the API.

pub mod accounts;
pub mod conversations;
pub mod groups;
pub mod messages;

use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{ObjectBuilder, OneOfBuilder, Schema, Type};
use utoipa::{PartialSchema, ToSchema};

/// A user's id: 1 to 128 bytes (UTF-8) without control characters.
#[derive(ToSchema)]
#[schema(min_length = 1, max_length = 128, pattern = r"^[^\x00-\x1f\x7f-\x9f]*$", example = "ann")]
pub struct UserId(pub String);

/// A group's id: 24 hexadecimal digits.
#[derive(ToSchema)]
#[schema(pattern = "^[0-9a-fA-F]{24}$", example = "6b00a0649491a080921605a9")]
pub struct GroupId(pub String);

/// A message's id: 24 hexadecimal digits, or the other id that the old server gave to a message.
#[derive(ToSchema)]
#[schema(pattern = "^[0-9A-Za-z_-]{1,64}$", example = "6b00a063f0168cc486000000")]
pub struct MessageId(pub String);

/// What a message says: a text, or an object, which nests up to 32 levels, whose keys neither start
/// with `$` nor hold a NUL character, and whose integers are below 2^63.
pub struct Content;

impl PartialSchema for Content {
    fn schema() -> RefOr<Schema> {
        let one_of = OneOfBuilder::new()
            .item(ObjectBuilder::new().schema_type(Type::String))
            .item(ObjectBuilder::new().schema_type(Type::Object))
            .description(Some(
                "A text, or an object, which nests up to 32 levels, whose keys neither start with \
                 `$` nor hold a NUL character, and whose integers are below 2^63.",
            ));
        Schema::from(one_of).into()
    }
}

impl ToSchema for Content {}

/// The kind of a conversation: between two users, or in a group.
#[derive(ToSchema)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the names are the wire's")]
pub enum ChatType {
    Direct,
    Group,
}

/// A user's role in a group.
#[derive(ToSchema)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the names are the wire's")]
pub enum Role {
    Owner,
    Admin,
    Member,
}

/// A line for people.
#[derive(ToSchema)]
pub struct Notice {
    /// The line.
    #[schema(example = "Group deleted successfully")]
    pub message: String,
}

/// Why a request was not served.
#[derive(ToSchema)]
pub struct Problem {
    /// A line for people.
    #[schema(example = "You are not a member of this group")]
    pub detail: String,
}

/// Which parts of a request are missing or have the wrong form.
#[derive(ToSchema)]
pub struct InvalidRequest {
    /// The parts.
    #[schema(min_items = 1)]
    pub detail: Vec<InvalidPart>,
}

/// A part of a request that is missing or has the wrong form.
#[derive(ToSchema)]
pub struct InvalidPart {
    /// Where: `path`, `query` or `body`, then names of fields and indexes into lists.
    #[schema(min_items = 1)]
    pub loc: Vec<Step>,
    /// What is wrong, or what is allowed.
    pub msg: String,
    /// What kind of mistake it is.
    pub r#type: Mistake,
}

/// A name of a field, or an index into a list.
#[derive(ToSchema)]
#[serde(untagged)]
#[expect(missing_docs, reason = "the comment on the type says it")]
pub enum Step {
    Field(String),
    Index(u32),
}

/// What is wrong with a part of a request: it is not there, its value is not allowed, or it is no
/// JSON.
#[derive(ToSchema)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the names are the wire's")]
pub enum Mistake {
    Missing,
    ValueError,
    JsonInvalid,
}

/// Whether a user is online.
#[derive(ToSchema)]
pub struct Presence {
    /// Who.
    pub user_id: UserId,
    /// Whether the user has a connection.
    pub status: PresenceStatus,
    /// When the user's last connection ended; for a user who is online, the present moment. Null
    /// for who was never connected.
    #[schema(required = true, format = DateTime)]
    pub last_seen: Option<String>,
}

/// Whether a user has a connection.
#[derive(ToSchema)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the names are the wire's")]
pub enum PresenceStatus {
    Online,
    Offline,
}

/// A user who is blocked.
#[derive(ToSchema)]
pub struct Block {
    /// Who.
    pub user_id: UserId,
    /// Since when.
    #[schema(format = DateTime)]
    pub blocked_at: String,
}
