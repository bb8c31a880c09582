//! Who is online.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};

use super::api_doc::params;
use super::asker::Asker;
use super::error::HttpError;
use super::extract::Params;
use crate::chat::Chat;
use crate::wire::rest::PresenceRow;
use crate::wire::schema;

/// Most users that one request asks for.
const MAX_USERS: usize = 100;

/// Whether users are online
#[utoipa::path(
    get, path = "/presence", tag = "conversations", operation_id = "read_presence",
    params(params::UserIds),
    responses(
        (status = 200, description = "The users in the order asked", body = [schema::Presence]),
    ),
)]
pub(super) async fn of_users(
    asker: Asker,
    State(chat): State<Arc<Chat>>,
    params: Params,
) -> Result<Response, HttpError> {
    let found = chat.presence(&params.users("user_ids", MAX_USERS)?, asker.user()).await;
    Ok(Json(found.iter().map(PresenceRow).collect::<Vec<_>>()).into_response())
}
