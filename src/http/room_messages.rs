//! Messages of rooms, and of two users, under the names of the rooms API.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

use super::asker::Asker;
use super::error::{HttpError, InvalidField};
use super::extract::{Body, Params, Segments, path_group, path_message, path_user, required};
use super::messages::{self, DEFAULT_LIMIT, page};
use super::search;
use crate::chat::Chat;
use crate::model::{Conversation, Emoji, MessageRef, Target, UserId};
use crate::wire::events::{DeleteFor, NewContent, Said};
use crate::wire::message::MessageRow;
use crate::wire::rooms::{ChatRow, Chats, React};

pub(super) async fn history(
    asker: Asker,
    State(chat): State<Arc<Chat>>,
    Segments(room_id): Segments<String>,
    params: Params,
) -> Result<Response, HttpError> {
    let room = Conversation::Group(path_group("room_id", &room_id)?);
    let viewer = asker.in_query("user_id", &params)?;
    messages::answer_history(&chat, &viewer, room, &params).await
}

pub(super) async fn send(
    asker: Asker,
    State(chat): State<Arc<Chat>>,
    Segments(room_id): Segments<String>,
    params: Params,
    Body(said): Body<Said>,
) -> Result<Response, HttpError> {
    let room = path_group("room_id", &room_id)?;
    let from = asker.in_query("user_id", &params)?;
    let sent = chat.send(&from, said.draft(Target::Group(room))?).await?.durable().await?;
    Ok((StatusCode::CREATED, Json(MessageRow(&sent))).into_response())
}

pub(super) async fn edit(
    asker: Asker,
    State(chat): State<Arc<Chat>>,
    Segments(message_id): Segments<String>,
    params: Params,
    Body(new): Body<NewContent>,
) -> Result<Response, HttpError> {
    let message = path_message("message_id", &message_id)?;
    let user = asker.in_query("user_id", &params)?;
    chat.edit(&user, &message, new.read()?).await?.durable().await?;
    as_it_is(&chat, &user, &message).await
}

pub(super) async fn delete(
    asker: Asker,
    State(chat): State<Arc<Chat>>,
    Segments(message_id): Segments<String>,
    params: Params,
) -> Result<Response, HttpError> {
    let message = path_message("message_id", &message_id)?;
    let user = asker.in_query("user_id", &params)?;
    let choices = [("everyone", DeleteFor::Everyone), ("me", DeleteFor::Me)];
    messages::answer_deletion(&chat, &user, &message, params.choice("delete_for", &choices)?).await
}

pub(super) async fn react(
    asker: Asker,
    State(chat): State<Arc<Chat>>,
    Segments(message_id): Segments<String>,
    params: Params,
    Body(asked): Body<React>,
) -> Result<Response, HttpError> {
    let message = path_message("message_id", &message_id)?;
    let user = asker.in_query("user_id", &params)?;
    let emoji = Emoji::parse(&required("emoji", asked.emoji)?)
        .map_err(|error| InvalidField::value("body", "emoji", error))?;
    chat.react(&user, &message, emoji, asked.on.unwrap_or(true)).await?.durable().await?;
    as_it_is(&chat, &user, &message).await
}

async fn as_it_is(chat: &Chat, user: &UserId, id: &MessageRef) -> Result<Response, HttpError> {
    Ok(Json(MessageRow(&chat.message(user, id).await?)).into_response())
}

pub(super) async fn search(
    asker: Asker,
    State(chat): State<Arc<Chat>>,
    Segments(room_id): Segments<String>,
    params: Params,
) -> Result<Response, HttpError> {
    let room = Conversation::Group(path_group("room_id", &room_id)?);
    let viewer = asker.in_query("user_id", &params)?;
    search::answer(&chat, &viewer, Some(room), &params).await
}

/// What two users have said to each other, the oldest first: the newest page, or the one before a
/// message.
pub(super) async fn of_two(
    asker: Asker,
    State(chat): State<Arc<Chat>>,
    Segments((user1_id, user2_id)): Segments<(String, String)>,
    params: Params,
) -> Result<Response, HttpError> {
    let viewer = asker.in_path("user1_id", &user1_id)?;
    let other = path_user("user2_id", &user2_id)?;
    let limit = params.limit(DEFAULT_LIMIT, Chat::MAX_PAGE)?;
    let conversation = Conversation::direct(viewer.clone(), other);
    let rows = chat.history(&viewer, conversation, &page(&params)?, limit).await?;
    let messages = rows.iter().rev().map(|row| ChatRow(row)).collect();
    Ok(Json(Chats { messages }).into_response())
}
