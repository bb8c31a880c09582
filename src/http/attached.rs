//! What users attach to messages: threads.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};

use super::error::{HttpError, InvalidField};
use super::extract::{Params, Segments, path_message};
use super::messages::{DEFAULT_LIMIT, page};
use crate::chat::{Chat, Page};
use crate::wire::attach::{ThreadPage, ThreadRow};
use crate::wire::message::MessageRow;

pub(super) async fn thread(
    State(chat): State<Arc<Chat>>,
    Segments(message_id): Segments<String>,
    params: Params,
) -> Result<Response, HttpError> {
    let message = path_message("message_id", &message_id)?;
    let user = params.user("user_id")?;
    let limit = params.limit(DEFAULT_LIMIT, Chat::MAX_PAGE)?;
    let page = page(&params)?;
    if let Page::Around(_) = page {
        let only = "a thread is read before or after a message";
        return Err(InvalidField::value("query", "around", only).into());
    }
    let thread = chat.thread(&user, &message, &page, limit).await?;
    let reply_count = thread.reply_count;
    let root = ThreadRow { message: &thread.root, reply_count };
    let replies = thread.replies.iter().map(|row| MessageRow(row)).collect();
    Ok(Json(ThreadPage { root, replies, reply_count }).into_response())
}
