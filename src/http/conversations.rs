//! The list of a user's conversations.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};

use super::api_doc::{answers, params};
use super::asker::Asker;
use super::error::{HttpError, InvalidField};
use super::extract::{Params, Segments};
use crate::chat::Chat;
use crate::model::{Next, SyncCursor};
use crate::wire::schema;
use crate::wire::sync::ChatList;

/// Conversations of a page where the client does not say.
const DEFAULT_LIMIT: usize = 50;

/// The user's conversations
///
/// Newest first by their last message; a group in which nothing was said counts from its making.
#[utoipa::path(
    get, path = "/conversations/{user_id}", tag = "conversations", operation_id = "list_conversations",
    params(params::Conversations),
    responses(
        (status = 200, description = "The page", body = schema::conversations::ConversationList),
        answers::Forbidden,
    ),
)]
pub(super) async fn list(
    asker: Asker,
    State(chat): State<Arc<Chat>>,
    Segments(user_id): Segments<String>,
    params: Params,
) -> Result<Response, HttpError> {
    let user = asker.in_path("user_id", &user_id)?;
    let limit = params.limit(DEFAULT_LIMIT, Chat::MAX_PAGE)?;
    let cursor = params.get("cursor").map(SyncCursor::parse).transpose();
    let cursor = cursor.map_err(|error| InvalidField::value("query", "cursor", error))?;
    let before = match cursor.map(|cursor| cursor.next) {
        None => None,
        Some(Next::Conversations(before)) => Some(before),
        Some(Next::Changes(_)) => {
            let allowed = "the next_cursor of a page of conversations";
            return Err(InvalidField::value("query", "cursor", allowed).into());
        }
    };
    let chats = chat.chats(&user, before, limit).await?;
    let next = (chats.len() == limit).then(|| chats.last().map(|last| last.place)).flatten();
    Ok(Json(ChatList { chats: &chats, user: &user, next }).into_response())
}
