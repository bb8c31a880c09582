//! Between rows and the model.

use bson::oid::ObjectId;
use rusqlite::types::{FromSqlError, Type};
use rusqlite::{Row, Statement};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::model::{
    ClientId, Content, ContentType, Emoji, Group, GroupId, JsonObject, Message, MessageId, Pin,
    Reaction, Revision, SessionId, Silence, Status, Target, Timestamp, Until, UserId,
};

/// Binds a message to [`super::statements::INSERT_MESSAGE`] and runs it.
pub(super) fn insert_message(
    statement: &mut Statement<'_>,
    message: &Message,
    version: i64,
) -> rusqlite::Result<()> {
    let (to_user, group) = match &message.target {
        Target::User(to) => (Some(to.as_str()), None),
        Target::Group(group) => (None, Some(group.0.bytes())),
    };
    statement.execute(rusqlite::params![
        message.id.0.bytes(),
        message.old_id,
        message.from.as_str(),
        to_user,
        group,
        message.timestamp.as_millis(),
        message.status.as_str(),
        message.edited_at.map(Timestamp::as_millis),
        message.content_type.as_str(),
        users_to_json(&message.deleted_for)?,
        users_to_json(&message.read_by)?,
        message.media_url,
        message.media_metadata.as_ref().map(to_json).transpose()?,
        content_to_json(&message.content)?,
        message.client_id.as_ref().map(ClientId::as_str),
        message.reply_to.map(|id| id.0.bytes()),
        (!message.mentions.is_empty()).then(|| users_to_json(&message.mentions)).transpose()?,
        reactions_to_json(&message.reactions)?,
        message.pin.as_ref().map(|pin| pin.pinned),
        message.pin.as_ref().map(|pin| pin.by.as_str()),
        message.pin.as_ref().map(|pin| pin.at.as_millis()),
        revisions_to_json(&message.revisions)?,
        version,
    ])?;
    Ok(())
}

/// Binds what can change of a message to [`super::statements::UPDATE_MESSAGE`] and runs it.
pub(super) fn update_message(
    statement: &mut Statement<'_>,
    message: &Message,
    version: i64,
) -> rusqlite::Result<usize> {
    statement.execute(rusqlite::params![
        message.id.0.bytes(),
        content_to_json(&message.content)?,
        message.edited_at.map(Timestamp::as_millis),
        message.status.as_str(),
        users_to_json(&message.read_by)?,
        users_to_json(&message.deleted_for)?,
        reactions_to_json(&message.reactions)?,
        message.pin.as_ref().map(|pin| pin.pinned),
        message.pin.as_ref().map(|pin| pin.by.as_str()),
        message.pin.as_ref().map(|pin| pin.at.as_millis()),
        revisions_to_json(&message.revisions)?,
        version,
    ])
}

/// Binds what names users in a message to [`super::statements::ANONYMISE_MESSAGE`] and runs it.
pub(super) fn rename_in_message(
    statement: &mut Statement<'_>,
    message: &Message,
    version: i64,
) -> rusqlite::Result<usize> {
    let to_user = match &message.target {
        Target::User(to) => Some(to.as_str()),
        Target::Group(_) => None,
    };
    statement.execute(rusqlite::params![
        message.id.0.bytes(),
        message.from.as_str(),
        to_user,
        message.client_id.as_ref().map(ClientId::as_str),
        users_to_json(&message.read_by)?,
        users_to_json(&message.deleted_for)?,
        (!message.mentions.is_empty()).then(|| users_to_json(&message.mentions)).transpose()?,
        reactions_to_json(&message.reactions)?,
        message.pin.as_ref().map(|pin| pin.by.as_str()),
        version,
    ])
}

/// Columns of every select of messages; what a statement selects besides comes behind them.
pub(super) const MESSAGE_COLUMNS: usize = 21;

/// Reads the columns of every select of messages.
pub(super) fn message(row: &Row<'_>) -> rusqlite::Result<Message> {
    let target = match row.get::<_, Option<String>>(3)? {
        Some(to) => Target::User(UserId::from_stored(&to)),
        None => Target::Group(group_id(row, 4)?),
    };
    let metadata: Option<String> = row.get(12)?;
    let client_id: Option<String> = row.get(14)?;
    let reply_to: Option<[u8; 12]> = row.get(15)?;
    Ok(Message {
        id: message_id(row, 0)?,
        old_id: row.get(1)?,
        client_id: client_id.map(|text| ClientId::from_stored(&text)),
        target,
        from: user(row, 2)?,
        content: content(row, 13)?,
        content_type: content_type(row, 8)?,
        media_url: row.get(11)?,
        media_metadata: metadata.map(|text| from_json::<JsonObject>(12, &text)).transpose()?,
        timestamp: Timestamp(row.get(5)?),
        status: Status::from_stored(row.get_ref(6)?.as_str()?),
        read_by: users(row, 10)?,
        deleted_for: users(row, 9)?,
        edited_at: row.get::<_, Option<i64>>(7)?.map(Timestamp),
        reply_to: reply_to.map(|id| MessageId(ObjectId::from_bytes(id))),
        mentions: if row.get_ref(16)?.as_str_or_null()?.is_some() {
            users(row, 16)?
        } else {
            Vec::new()
        },
        reactions: reactions(row, 17)?,
        pin: match row.get(18)? {
            Some(pinned) => Some(Pin { pinned, by: user(row, 19)?, at: Timestamp(row.get(20)?) }),
            None => None,
        },
        revisions: Vec::new(),
    })
}

/// Reactions as a JSON array of pairs; nothing for none.
fn reactions_to_json(reactions: &[Reaction]) -> rusqlite::Result<Option<String>> {
    let pairs: Vec<_> =
        reactions.iter().map(|there| (there.user.as_str(), there.emoji.as_str())).collect();
    (!pairs.is_empty()).then(|| to_json(&pairs)).transpose()
}

fn reactions(row: &Row<'_>, column: usize) -> rusqlite::Result<Vec<Reaction>> {
    let Some(text) = row.get_ref(column)?.as_str_or_null()? else { return Ok(Vec::new()) };
    let pairs: Vec<(String, String)> = from_json(column, text)?;
    let reaction = |(user, emoji): (String, String)| Reaction {
        user: UserId::from_stored(&user),
        emoji: Emoji::from_stored(&emoji),
    };
    Ok(pairs.into_iter().map(reaction).collect())
}

/// Earlier contents as a JSON array of pairs; nothing for none.
fn revisions_to_json(revisions: &[Revision]) -> rusqlite::Result<Option<String>> {
    let pairs = revisions.iter().map(|earlier| {
        let content = match &earlier.content {
            Content::Text(text) => Value::from(text.as_str()),
            Content::Object(object) => Value::Object(object.clone()),
        };
        (earlier.at.as_millis(), content)
    });
    (!revisions.is_empty()).then(|| to_json(&pairs.collect::<Vec<_>>())).transpose()
}

/// Reads the column of [`super::statements::REVISIONS`].
pub(super) fn revisions(row: &Row<'_>) -> rusqlite::Result<Vec<Revision>> {
    let Some(text) = row.get_ref(0)?.as_str_or_null()? else { return Ok(Vec::new()) };
    let pairs: Vec<(i64, Value)> = from_json(0, text)?;
    let revision = |(at, content)| {
        let content =
            to_content(content).ok_or_else(|| unreadable(0, FromSqlError::InvalidType))?;
        Ok(Revision { content, at: Timestamp(at) })
    };
    pairs.into_iter().map(revision).collect()
}

/// Reads the columns of every select of groups; members come from their own table.
pub(super) fn group_without_members(row: &Row<'_>) -> rusqlite::Result<Group> {
    let (owner, mut admins) = (user(row, 4)?, users(row, 5)?);
    // Two who give roles at the same time may have made one user both.
    admins.retain(|admin| *admin != owner);
    Ok(Group {
        id: group_id(row, 0)?,
        name: row.get(1)?,
        members: Vec::new(),
        created_by: user(row, 2)?,
        created_at: Timestamp(row.get(3)?),
        owner,
        admins,
        silenced: silences(row, 6)?,
        is_public: row.get(7)?,
    })
}

/// Silences from a JSON array of pairs.
fn silences(row: &Row<'_>, column: usize) -> rusqlite::Result<Vec<Silence>> {
    let pairs: Vec<(String, Option<i64>)> = from_json(column, row.get_ref(column)?.as_str()?)?;
    let silence = |(user, until): (String, Option<i64>)| Silence {
        user: UserId::from_stored(&user),
        until: Until::from_stored(until.map(Timestamp)),
    };
    Ok(pairs.into_iter().map(silence).collect())
}

/// Until when something holds.
pub(super) fn until(row: &Row<'_>, column: usize) -> rusqlite::Result<Until> {
    Ok(Until::from_stored(row.get::<_, Option<i64>>(column)?.map(Timestamp)))
}

/// Content as JSON text: a string, or an object.
pub(super) fn content_to_json(content: &Content) -> rusqlite::Result<String> {
    match content {
        Content::Text(text) => to_json(text),
        Content::Object(object) => to_json(object),
    }
}

/// A list of users as a JSON array.
pub(super) fn users_to_json(users: &[UserId]) -> rusqlite::Result<String> {
    to_json(&users.iter().map(UserId::as_str).collect::<Vec<_>>())
}

/// A list of users from a JSON array.
pub(super) fn users(row: &Row<'_>, column: usize) -> rusqlite::Result<Vec<UserId>> {
    let names: Vec<String> = from_json(column, row.get_ref(column)?.as_str()?)?;
    Ok(names.iter().map(|name| UserId::from_stored(name)).collect())
}

/// A user's id.
pub(super) fn user(row: &Row<'_>, column: usize) -> rusqlite::Result<UserId> {
    Ok(UserId::from_stored(row.get_ref(column)?.as_str()?))
}

/// A message's id.
pub(super) fn message_id(row: &Row<'_>, column: usize) -> rusqlite::Result<MessageId> {
    object_id(row, column).map(MessageId)
}

/// A group's id.
pub(super) fn group_id(row: &Row<'_>, column: usize) -> rusqlite::Result<GroupId> {
    object_id(row, column).map(GroupId)
}

/// A sign-in's id.
pub(super) fn session_id(row: &Row<'_>, column: usize) -> rusqlite::Result<SessionId> {
    object_id(row, column).map(SessionId)
}

/// A number of rows.
pub(super) fn count(row: &Row<'_>, column: usize) -> rusqlite::Result<u64> {
    let count: i64 = row.get(column)?;
    u64::try_from(count).map_err(|_| rusqlite::Error::IntegralValueOutOfRange(column, count))
}

fn object_id(row: &Row<'_>, column: usize) -> rusqlite::Result<ObjectId> {
    row.get(column).map(ObjectId::from_bytes)
}

fn content(row: &Row<'_>, column: usize) -> rusqlite::Result<Content> {
    let stored = from_json(column, row.get_ref(column)?.as_str()?)?;
    to_content(stored).ok_or_else(|| unreadable(column, FromSqlError::InvalidType))
}

fn to_content(stored: Value) -> Option<Content> {
    match stored {
        Value::String(text) => Some(Content::Text(text)),
        Value::Object(object) => Some(Content::Object(object)),
        _ => None,
    }
}

fn content_type(row: &Row<'_>, column: usize) -> rusqlite::Result<ContentType> {
    let kind = ContentType::parse(row.get_ref(column)?.as_str()?);
    kind.ok_or_else(|| unreadable(column, FromSqlError::InvalidType))
}

pub(super) fn to_json<T: Serialize + ?Sized>(value: &T) -> rusqlite::Result<String> {
    serde_json::to_string(value)
        .map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.into()))
}

fn from_json<T: DeserializeOwned>(column: usize, text: &str) -> rusqlite::Result<T> {
    serde_json::from_str(text).map_err(|error| unreadable(column, error))
}

fn unreadable(
    column: usize,
    error: impl std::error::Error + Send + Sync + 'static,
) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(column, Type::Text, error.into())
}
