//! Who is blocked by whom.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use serde_json::json;

use super::asker::Asker;
use super::error::HttpError;
use super::extract::{Segments, path_user};
use crate::chat::Chat;
use crate::wire::rest::BlockRow;

pub(super) async fn block(
    asker: Asker,
    State(chat): State<Arc<Chat>>,
    Segments((user_id, other_id)): Segments<(String, String)>,
) -> Result<Response, HttpError> {
    chat.block(&asker.in_path("user_id", &user_id)?, &path_user("other_id", &other_id)?).await?;
    Ok(Json(json!({"message": "User blocked"})).into_response())
}

pub(super) async fn unblock(
    asker: Asker,
    State(chat): State<Arc<Chat>>,
    Segments((user_id, other_id)): Segments<(String, String)>,
) -> Result<Response, HttpError> {
    chat.unblock(&asker.in_path("user_id", &user_id)?, &path_user("other_id", &other_id)?).await?;
    Ok(Json(json!({"message": "User unblocked"})).into_response())
}

pub(super) async fn list(
    asker: Asker,
    State(chat): State<Arc<Chat>>,
    Segments(user_id): Segments<String>,
) -> Result<Response, HttpError> {
    let blocks = chat.blocks(&asker.in_path("user_id", &user_id)?).await?;
    Ok(Json(blocks.iter().map(BlockRow).collect::<Vec<_>>()).into_response())
}
