//! History, and deletion over HTTP.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use serde_json::json;

use super::error::{HttpError, InvalidField};
use super::extract::{Params, Segments, path_group, path_user};
use crate::chat::{Chat, Page};
use crate::model::{Conversation, MessageRef};
use crate::wire::events::{ChatType, DeleteFor};
use crate::wire::message::MessageRow;

/// Messages of a page where the client does not say.
const DEFAULT_LIMIT: usize = 50;

pub(super) async fn history(
    State(chat): State<Arc<Chat>>,
    Segments((user_id, other_id)): Segments<(String, String)>,
    params: Params,
) -> Result<Response, HttpError> {
    let viewer = path_user("user_id", &user_id)?;
    let kinds = [("direct", ChatType::Direct), ("group", ChatType::Group)];
    let conversation = match params.choice("message_type", &kinds)? {
        ChatType::Direct => Conversation::direct(viewer.clone(), path_user("other_id", &other_id)?),
        ChatType::Group => Conversation::Group(path_group("other_id", &other_id)?),
    };
    let limit = params.limit(DEFAULT_LIMIT, Chat::MAX_PAGE)?;
    let rows = chat.history(&viewer, conversation, &page(&params)?, limit).await?;
    Ok(Json(rows.iter().map(|row| MessageRow(row)).collect::<Vec<_>>()).into_response())
}

/// The page that the parameters ask for: the newest, or one at a message.
fn page(params: &Params) -> Result<Page, InvalidField> {
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

pub(super) async fn delete(
    State(chat): State<Arc<Chat>>,
    Segments(message_id): Segments<String>,
    params: Params,
) -> Result<Response, HttpError> {
    let message = MessageRef::parse(&message_id)
        .map_err(|error| InvalidField::value("path", "message_id", error))?;
    let user = params.user("user_id")?;
    let choices = [("me", DeleteFor::Me), ("everyone", DeleteFor::Everyone)];
    let accepted = match params.choice("delete_for", &choices)? {
        DeleteFor::Me => chat.delete_for_me(&user, &message).await?,
        DeleteFor::Everyone => chat.delete_for_everyone(&user, &message).await?,
    };
    accepted.durable().await?;
    Ok(Json(json!({"message": "Message deleted successfully"})).into_response())
}
