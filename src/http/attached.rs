//! What users attach to messages: threads, pins, earlier contents.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};

use super::asker::Asker;
use super::error::{HttpError, InvalidField};
use super::extract::{Params, Segments, path_message};
use super::messages::{DEFAULT_LIMIT, conversation, page};
use crate::chat::{Chat, Page};
use crate::wire::attach::{CountedRow, RevisionRow, ThreadPage};
use crate::wire::message::MessageRow;

pub(super) async fn thread(
    asker: Asker,
    State(chat): State<Arc<Chat>>,
    Segments(message_id): Segments<String>,
    params: Params,
) -> Result<Response, HttpError> {
    let message = path_message("message_id", &message_id)?;
    let user = asker.in_query("user_id", &params)?;
    let limit = params.limit(DEFAULT_LIMIT, Chat::MAX_PAGE)?;
    let page = page(&params)?;
    if let Page::Around(_) = page {
        let only = "a thread is read before or after a message";
        return Err(InvalidField::value("query", "around", only).into());
    }
    let thread = chat.thread(&user, &message, &page, limit).await?;
    let reply_count = thread.reply_count;
    let root = CountedRow { message: &thread.root, reply_count, read_count: None };
    let replies = thread.replies.iter().map(|row| MessageRow(row)).collect();
    Ok(Json(ThreadPage { root, replies, reply_count }).into_response())
}

pub(super) async fn pins(
    asker: Asker,
    State(chat): State<Arc<Chat>>,
    Segments((user_id, other_id)): Segments<(String, String)>,
    params: Params,
) -> Result<Response, HttpError> {
    let (viewer, conversation) = conversation(&asker, &user_id, &other_id, &params)?;
    let rows = chat.pins(&viewer, &conversation).await?;
    Ok(Json(rows.iter().map(MessageRow).collect::<Vec<_>>()).into_response())
}

pub(super) async fn edits(
    asker: Asker,
    State(chat): State<Arc<Chat>>,
    Segments(message_id): Segments<String>,
    params: Params,
) -> Result<Response, HttpError> {
    let message = path_message("message_id", &message_id)?;
    let revisions = chat.revisions(&asker.in_query("user_id", &params)?, &message).await?;
    Ok(Json(revisions.iter().map(RevisionRow).collect::<Vec<_>>()).into_response())
}
