//! What users attach to messages: threads, pins, earlier contents.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};

use super::api_doc::{answers, params};
use super::asker::Asker;
use super::error::{HttpError, InvalidField};
use super::extract::{Params, Segments, path_message};
use super::messages::{DEFAULT_LIMIT, conversation, page};
use crate::chat::{Chat, Page};
use crate::wire::attach::{CountedRow, RevisionRow, ThreadPage};
use crate::wire::message::MessageRow;
use crate::wire::schema;

/// A message and the replies to it
///
/// The message may be any one of the thread.
#[utoipa::path(
    get, path = "/threads/{message_id}", tag = "messages", operation_id = "read_thread",
    params(params::WhoAsks, params::Replies),
    responses(
        (status = 200, description = "The thread", body = schema::messages::Thread),
        answers::Forbidden, answers::NotFound,
    ),
)]
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

/// The pinned messages of a conversation
///
/// The latest pinned first, at the most 100.
#[utoipa::path(
    get, path = "/pins/{user_id}/{other_id}", tag = "messages", operation_id = "list_pins",
    params(params::InPath),
    responses(
        (status = 200, description = "The messages", body = [schema::messages::Message]),
        answers::Forbidden, answers::NotFound,
    ),
)]
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

/// What a message said before it was edited
///
/// The oldest first: the last 20 contents before the present one.
#[utoipa::path(
    get, path = "/edits/{message_id}", tag = "messages", operation_id = "list_edits",
    params(params::WhoAsks),
    responses(
        (status = 200, description = "The contents; none, where it was never edited", body = [schema::messages::Revision]),
        answers::Forbidden, answers::NotFound,
    ),
)]
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
