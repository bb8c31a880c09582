//! What operators do to users. Each time is in the log, with where it came from.

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use serde_json::json;

use super::accounts::Accounts;
use super::error::HttpError;
use super::extract::{Segments, path_user};
use super::privacy;
use crate::auth::SignIn;
use crate::chat::Chat;
use crate::error::Error;
use crate::limits::ClientAddress;
use crate::model::UserId;
use crate::wire::accounts::OperatorsRow;
use crate::wire::schema;

/// Where a request comes from.
type Client = Option<Extension<ClientAddress>>;

/// Bans a user
///
/// Every token is void, and nobody signs in as this user any more. Messages stay.
#[utoipa::path(
    put, path = "/admin/users/{user_id}/ban", tag = "operators", operation_id = "ban_user",
    responses(
        (status = 200, description = "The user is banned", body = schema::Notice),
    ),
)]
pub(super) async fn ban(
    client: Client,
    Accounts(auth): Accounts,
    Segments(user): Segments<String>,
) -> Result<Response, HttpError> {
    let user = path_user("user_id", &user)?;
    let done = auth.ban(&user).await;
    log(client, &user, "ban", done.is_ok());
    done?;
    Ok(Json(json!({"message": "User banned"})).into_response())
}

/// Lets a user in again
#[utoipa::path(
    delete, path = "/admin/users/{user_id}/ban", tag = "operators", operation_id = "unban_user",
    responses(
        (status = 200, description = "The user is let in", body = schema::Notice),
    ),
)]
pub(super) async fn unban(
    client: Client,
    Accounts(auth): Accounts,
    Segments(user): Segments<String>,
) -> Result<Response, HttpError> {
    let user = path_user("user_id", &user)?;
    let done = auth.unban(&user).await;
    log(client, &user, "unban", done.is_ok());
    done?;
    Ok(Json(json!({"message": "User unbanned"})).into_response())
}

/// What is known of a user
#[utoipa::path(
    get, path = "/admin/users/{user_id}", tag = "operators", operation_id = "read_user",
    responses(
        (status = 200, description = "The user", body = schema::accounts::OperatorsUser),
    ),
)]
pub(super) async fn look(
    client: Client,
    State(sign_in): State<SignIn>,
    State(chat): State<Arc<Chat>>,
    Segments(user): Segments<String>,
) -> Result<Response, HttpError> {
    let user = path_user("user_id", &user)?;
    let found = match &sign_in {
        SignIn::Open => Ok((None, false)),
        SignIn::Tokens(auth) => match auth.account(&user).await {
            Ok(account) => Ok((Some(account), auth.is_banned(&user))),
            Err(Error::NotFound(_)) => Ok((None, auth.is_banned(&user))),
            Err(error) => Err(error),
        },
    };
    log(client, &user, "look", found.is_ok());
    let (account, banned) = found?;
    let presence = chat.presence(std::slice::from_ref(&user), None).await;
    let rows = presence.iter();
    let mut rows =
        rows.map(|presence| OperatorsRow { account: account.as_ref(), banned, presence });
    Ok(Json(rows.next()).into_response())
}

/// Erases a user
///
/// As the user may do by `DELETE /users/{user_id}`.
#[utoipa::path(
    delete, path = "/admin/users/{user_id}", tag = "operators", operation_id = "erase_any_user",
    responses(
        (status = 200, description = "It is done", body = schema::accounts::Erasure),
        (status = 202, description = "It goes on, and ends by itself", body = schema::accounts::Erasure),
    ),
)]
pub(super) async fn erase(
    client: Client,
    State(sign_in): State<SignIn>,
    State(chat): State<Arc<Chat>>,
    Segments(user): Segments<String>,
) -> Result<Response, HttpError> {
    let user = path_user("user_id", &user)?;
    let done = privacy::erase_user(&chat, &sign_in, &user).await;
    log(client, &user, "erase", done.is_ok());
    Ok(done?)
}

fn log(client: Client, user: &UserId, action: &'static str, done: bool) {
    let client = client.map(|Extension(ClientAddress(address))| tracing::field::display(address));
    // As a text it stands in quotation marks: an id can't look like another field.
    tracing::info!(client, user = user.as_str(), action, done, "an operator's request");
}
