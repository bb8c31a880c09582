//! History, and deletion over HTTP.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use serde_json::json;

use super::api_doc::{answers, params};
use super::asker::Asker;
use super::error::{HttpError, InvalidField};
use super::extract::{Params, Segments, path_group, path_message, path_user};
use crate::chat::{Chat, Page};
use crate::model::{Conversation, Message, MessageRef, UserId};
use crate::wire::attach::CountedRow;
use crate::wire::events::{ChatType, DeleteFor};
use crate::wire::schema;

/// Messages of a page where the client does not say.
pub(super) const DEFAULT_LIMIT: usize = 50;

/// A page of a conversation
///
/// Newest first, as the user sees it: without the messages that this user has hidden. What it
/// returns is marked as read by this user, and nobody is told of that.
#[utoipa::path(
    get, path = "/messages/{user_id}/{other_id}", tag = "messages", operation_id = "read_history",
    params(params::InPath, params::Pages),
    responses(
        (status = 200, description = "The page; the rows show the state from before", body = [schema::messages::Message]),
        answers::Forbidden, answers::NotFound,
    ),
)]
pub(super) async fn history(
    asker: Asker,
    State(chat): State<Arc<Chat>>,
    Segments((user_id, other_id)): Segments<(String, String)>,
    params: Params,
) -> Result<Response, HttpError> {
    let (viewer, conversation) = conversation(&asker, &user_id, &other_id, &params)?;
    answer_history(&chat, &viewer, conversation, &params).await
}

/// The page of a conversation that the parameters ask for.
pub(super) async fn answer_history(
    chat: &Chat,
    viewer: &UserId,
    conversation: Conversation,
    params: &Params,
) -> Result<Response, HttpError> {
    let limit = params.limit(DEFAULT_LIMIT, Chat::MAX_PAGE)?;
    let rows = chat.history(viewer, conversation.clone(), &page(params)?, limit).await?;
    let counts = chat.reply_counts(&conversation, &rows).await;
    let reply_count = |message: &Message| counts.get(&message.id).copied().unwrap_or_default();
    let mut readers = chat.read_counts(&conversation, &rows).await.into_iter().flatten();
    let rows = rows.iter().map(|message| CountedRow {
        message,
        reply_count: reply_count(message),
        read_count: readers.next(),
    });
    Ok(Json(rows.collect::<Vec<_>>()).into_response())
}

/// Who asks, and for which conversation.
pub(super) fn conversation(
    asker: &Asker,
    user_id: &str,
    other_id: &str,
    params: &Params,
) -> Result<(UserId, Conversation), HttpError> {
    let viewer = asker.in_path("user_id", user_id)?;
    let kinds = [("direct", ChatType::Direct), ("group", ChatType::Group)];
    let conversation = match params.choice("message_type", &kinds)? {
        ChatType::Direct => Conversation::direct(viewer.clone(), path_user("other_id", other_id)?),
        ChatType::Group => Conversation::Group(path_group("other_id", other_id)?),
    };
    Ok((viewer, conversation))
}

/// The page that the parameters ask for: the newest, or one at a message.
pub(super) fn page(params: &Params) -> Result<Page, InvalidField> {
    let mut page = Page::Newest;
    for name in ["before", "after", "around"] {
        let Some(text) = params.get(name) else { continue };
        if page != Page::Newest {
            let only = "only one of before, after, around can be given";
            return Err(InvalidField::value("query", name, only));
        }
        let message =
            MessageRef::parse(text).map_err(|error| InvalidField::value("query", name, error))?;
        page = match name {
            "before" => Page::Before(message),
            "after" => Page::After(message),
            _ => Page::Around(message),
        };
    }
    Ok(page)
}

/// Deletes a message
///
/// For the user who asks, or, by its sender, for everyone.
#[utoipa::path(
    delete, path = "/messages/{message_id}", tag = "messages", operation_id = "delete_message",
    params(params::WhoAsks, params::DeleteForMe),
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
    let choices = [("me", DeleteFor::Me), ("everyone", DeleteFor::Everyone)];
    answer_deletion(&chat, &user, &message, params.choice("delete_for", &choices)?).await
}

/// Deletes a message, and says so.
pub(super) async fn answer_deletion(
    chat: &Chat,
    user: &UserId,
    message: &MessageRef,
    delete_for: DeleteFor,
) -> Result<Response, HttpError> {
    let accepted = match delete_for {
        DeleteFor::Me => chat.delete_for_me(user, message).await?,
        DeleteFor::Everyone => chat.delete_for_everyone(user, message).await?,
    };
    accepted.durable().await?;
    Ok(Json(json!({"message": "Message deleted successfully"})).into_response())
}
