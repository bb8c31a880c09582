//! The users who have an account.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};

use super::accounts::Accounts;
use super::api_doc::{answers, params};
use super::asker::Asker;
use super::error::{HttpError, InvalidField};
use super::extract::Params;
use crate::chat::Chat;
use crate::model::{UserId, Username};
use crate::wire::accounts::{UserRow, Users};
use crate::wire::schema;

/// Users of an answer where the client does not say, and at the most.
const DEFAULT_LIMIT: usize = 100;
const MAX_LIMIT: usize = 200;

/// The users who have an account here
///
/// In the order of their names.
#[utoipa::path(
    get, path = "/user/get-users", tag = "accounts", operation_id = "list_users",
    params(params::Users),
    responses(
        (status = 200, description = "The page", body = schema::accounts::UserList),
        answers::NotFound,
    ),
)]
pub(super) async fn list(
    asker: Asker,
    Accounts(auth): Accounts,
    State(chat): State<Arc<Chat>>,
    params: Params,
) -> Result<Response, HttpError> {
    let after = params.get("after").map(Username::parse).transpose();
    let after = after.map_err(|error| InvalidField::value("query", "after", error))?;
    let limit = params.limit(DEFAULT_LIMIT, MAX_LIMIT)?;
    let accounts = auth.accounts(after.as_ref(), limit).await?;
    let ids: Vec<UserId> = accounts.iter().map(|account| account.id.clone()).collect();
    let presence = chat.presence(&ids, asker.user()).await;
    let row = |(account, presence)| UserRow { account, presence };
    let users = accounts.iter().zip(&presence).map(row).collect();
    Ok(Json(Users { users, status: true }).into_response())
}
