//! A user's right to what is kept of them, and to its end.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::{CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use futures_util::stream::try_unfold;
use serde::Serialize;
use serde_json::json;
use tokio::time::timeout;

use super::api_doc::answers;
use super::asker::Asker;
use super::error::HttpError;
use super::extract::Segments;
use crate::auth::SignIn;
use crate::chat::{Chat, Export};
use crate::error::Error;
use crate::limits::Limits;
use crate::model::{Kept, UserId};
use crate::wire::privacy::{About, End, KeptRow};
use crate::wire::schema;

/// How long a client waits for the end of a user; what takes longer goes on without it.
const PATIENCE: Duration = Duration::from_secs(20);

/// All that is kept of a user
///
/// One JSON object a line, each with a `kind`; the last line has the kind `end`, and an answer
/// without it was cut off. One at a time of a user, ten in an hour.
#[utoipa::path(
    get, path = "/users/{user_id}/export", tag = "accounts", operation_id = "export_user",
    responses(
        (status = 200, description = "The lines", content_type = "application/x-ndjson", body = String),
        answers::Forbidden, answers::Unavailable,
    ),
)]
pub(super) async fn export(
    asker: Asker,
    State(chat): State<Arc<Chat>>,
    State(sign_in): State<SignIn>,
    State(limits): State<Arc<Limits>>,
    Segments(user_id): Segments<String>,
) -> Result<Response, HttpError> {
    let user = asker.in_path("user_id", &user_id)?;
    limits.check_export_of(&user)?;
    let at = chat.now();
    let export = chat.export(&user).await?;
    let accounts = sign_in.kept_of(&user).await?;
    let mut first = Vec::new();
    let mut end = End::default();
    line(&mut first, &About { user: &user, at })?;
    lines(&mut first, &mut end, &accounts)?;
    let body = Going { chat, export, end, first: Some(first) };
    let body = Body::from_stream(try_unfold(Some(body), next));
    let headers = [
        (CONTENT_TYPE, "application/x-ndjson"),
        (CONTENT_DISPOSITION, "attachment; filename=\"export.ndjson\""),
        (CACHE_CONTROL, "no-store"),
    ];
    Ok((headers, body).into_response())
}

/// An export on its way: the next part is read when the client has taken the one before.
struct Going {
    chat: Arc<Chat>,
    export: Export,
    end: End,
    first: Option<Vec<u8>>,
}

/// The next part, and what comes after it. An error cuts the answer off, before its last line.
async fn next(going: Option<Going>) -> Result<Option<(Bytes, Option<Going>)>, Error> {
    let Some(mut going) = going else { return Ok(None) };
    let mut part = going.first.take().unwrap_or_default();
    // Of an empty part nothing would be sent.
    while part.is_empty() {
        let kept = going.chat.next_of_export(&mut going.export).await;
        match kept.inspect_err(|error| error.log("exporting"))? {
            Some(kept) => lines(&mut part, &mut going.end, &kept)?,
            None => {
                line(&mut part, &going.end)?;
                return Ok(Some((part.into(), None)));
            }
        }
    }
    Ok(Some((part.into(), Some(going))))
}

fn lines(part: &mut Vec<u8>, end: &mut End, kept: &[Kept]) -> Result<(), Error> {
    for kept in kept {
        end.count(kept);
        line(part, &KeptRow(kept))?;
    }
    Ok(())
}

fn line(part: &mut Vec<u8>, row: &impl Serialize) -> Result<(), Error> {
    serde_json::to_writer(&mut *part, row).map_err(|error| Error::Internal(error.into()))?;
    part.push(b'\n');
    Ok(())
}

/// Erases a user
///
/// The account, its sign-ins and memberships end; messages stay, from an alias. It can't be taken back.
#[utoipa::path(
    delete, path = "/users/{user_id}", tag = "accounts", operation_id = "erase_user",
    responses(
        (status = 200, description = "It is done", body = schema::accounts::Erasure),
        (status = 202, description = "It goes on, and ends by itself", body = schema::accounts::Erasure),
        answers::Forbidden, answers::Unavailable,
    ),
)]
pub(super) async fn erase(
    asker: Asker,
    State(chat): State<Arc<Chat>>,
    State(sign_in): State<SignIn>,
    Segments(user_id): Segments<String>,
) -> Result<Response, HttpError> {
    let user = asker.in_path("user_id", &user_id)?;
    Ok(erase_user(&chat, &sign_in, &user).await?)
}

/// Erases a user, for the user or for an operator.
///
/// # Errors
/// [`Error::Unavailable`]: nothing has begun.
pub(super) async fn erase_user(
    chat: &Chat,
    sign_in: &SignIn,
    user: &UserId,
) -> Result<Response, Error> {
    let ended = chat.begin_erasure(user).await?;
    // At once, also where others are being erased before; if it fails, it is done with the rest.
    if let Err(error) = sign_in.forget(user).await {
        tracing::debug!(%error, "a user who is being erased is signed out later");
    }
    let row = match timeout(PATIENCE, ended).await {
        Ok(Ok(messages)) => {
            let row = json!({"user_id": user.as_str(), "erased": true, "messages": messages});
            return Ok(Json(row).into_response());
        }
        // It takes longer, or the server is stopping: it is noted, and ends.
        Ok(Err(_)) | Err(_) => json!({"user_id": user.as_str(), "erased": false}),
    };
    Ok((StatusCode::ACCEPTED, Json(row)).into_response())
}
