//! Messages of rooms, and of two users, under the names of the rooms API.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

use super::api_doc::{answers, params};
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
use crate::wire::schema;

/// A page of a room's history
///
/// Newest first, for its members. What it returns is marked as read by the user.
#[utoipa::path(
    get, path = "/api/messages/{id}", tag = "rooms", operation_id = "read_room_history",
    params(params::IdOfRoom, params::WhoAsks, params::Pages),
    responses(
        (status = 200, description = "The page", body = [schema::messages::Message]),
        answers::Forbidden, answers::NotFound,
    ),
)]
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

/// Sends a message to a room
#[utoipa::path(
    post, path = "/api/messages/{id}", tag = "rooms", operation_id = "send_room_message",
    params(params::IdOfRoom, params::WhoAsks),
    request_body = schema::messages::NewMessage,
    responses(
        (status = 201, description = "The message, once it is durable", body = schema::messages::Message),
        answers::Invalid, answers::Forbidden, answers::NotFound,
    ),
)]
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

/// Edits a message
///
/// Its sender may.
#[utoipa::path(
    put, path = "/api/messages/{id}", tag = "rooms", operation_id = "edit_room_message",
    params(params::IdOfMessage, params::WhoAsks),
    request_body = schema::messages::NewContent,
    responses(
        (status = 200, description = "The message as it is then", body = schema::messages::Message),
        answers::Invalid, answers::Forbidden, answers::NotFound,
    ),
)]
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

/// Deletes a message
#[utoipa::path(
    delete, path = "/api/messages/{id}", tag = "rooms", operation_id = "delete_room_message",
    params(params::IdOfMessage, params::WhoAsks, params::DeleteForEveryone),
    responses(
        (status = 200, description = "It is deleted", body = schema::Notice),
        answers::Forbidden, answers::NotFound,
    ),
)]
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

/// Puts an emoji on a message, or takes it back
#[utoipa::path(
    post, path = "/api/messages/{id}/react", tag = "rooms", operation_id = "react_to_room_message",
    params(params::IdOfMessage, params::WhoAsks),
    request_body = React,
    responses(
        (status = 200, description = "The message as it is then", body = schema::messages::Message),
        answers::Forbidden, answers::NotFound,
    ),
)]
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

/// The messages of a room with these words
#[utoipa::path(
    get, path = "/api/messages/{id}/search", tag = "rooms", operation_id = "search_room_messages",
    params(params::IdOfRoom, params::WhoAsks, params::Words),
    responses(
        (status = 200, description = "What was found", body = schema::messages::SearchResults),
        answers::Forbidden, answers::NotFound,
    ),
)]
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

/// What two users have said to each other
///
/// For the first of them: the newest page, or the one at a message, the oldest message first.
#[utoipa::path(
    get, path = "/chat/get-chats/{user1_id}/{user2_id}", tag = "messages", operation_id = "read_chats",
    params(params::Pages),
    responses(
        (status = 200, description = "The page", body = schema::messages::Chats),
        answers::Forbidden, answers::NotFound,
    ),
)]
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
