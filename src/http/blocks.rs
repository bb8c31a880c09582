//! Who is blocked by whom.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use serde_json::json;

use super::api_doc::answers;
use super::asker::Asker;
use super::error::HttpError;
use super::extract::{Segments, path_user};
use crate::chat::Chat;
use crate::wire::rest::BlockRow;
use crate::wire::schema;

/// Blocks a user
///
/// From now on the user hears nothing from the other one. Blocking twice is blocking once.
#[utoipa::path(
    post, path = "/users/{user_id}/block/{other_id}", tag = "conversations", operation_id = "block_user",
    responses(
        (status = 200, description = "The user is blocked", body = schema::Notice),
        answers::Invalid, answers::Forbidden, answers::TooLarge,
    ),
)]
pub(super) async fn block(
    asker: Asker,
    State(chat): State<Arc<Chat>>,
    Segments((user_id, other_id)): Segments<(String, String)>,
) -> Result<Response, HttpError> {
    chat.block(&asker.in_path("user_id", &user_id)?, &path_user("other_id", &other_id)?).await?;
    Ok(Json(json!({"message": "User blocked"})).into_response())
}

/// Takes a block back
#[utoipa::path(
    delete, path = "/users/{user_id}/block/{other_id}", tag = "conversations", operation_id = "unblock_user",
    responses(
        (status = 200, description = "The user is not blocked", body = schema::Notice),
        answers::Forbidden,
    ),
)]
pub(super) async fn unblock(
    asker: Asker,
    State(chat): State<Arc<Chat>>,
    Segments((user_id, other_id)): Segments<(String, String)>,
) -> Result<Response, HttpError> {
    chat.unblock(&asker.in_path("user_id", &user_id)?, &path_user("other_id", &other_id)?).await?;
    Ok(Json(json!({"message": "User unblocked"})).into_response())
}

/// Whom the user has blocked
///
/// The last one first.
#[utoipa::path(
    get, path = "/users/{user_id}/blocks", tag = "conversations", operation_id = "list_blocks",
    responses(
        (status = 200, description = "The users", body = [schema::Block]),
        answers::Forbidden,
    ),
)]
pub(super) async fn list(
    asker: Asker,
    State(chat): State<Arc<Chat>>,
    Segments(user_id): Segments<String>,
) -> Result<Response, HttpError> {
    let blocks = chat.blocks(&asker.in_path("user_id", &user_id)?).await?;
    Ok(Json(blocks.iter().map(BlockRow).collect::<Vec<_>>()).into_response())
}
