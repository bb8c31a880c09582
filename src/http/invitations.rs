//! Links into groups.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use serde_json::json;

use super::api_doc::{answers, params};
use super::asker::Asker;
use super::error::{HttpError, InvalidField};
use super::extract::{Body, Params, Segments, path_group};
use crate::chat::Chat;
use crate::error::Error;
use crate::model::Token;
use crate::wire::groups::{Accept, InvitationRow, InvitedRow, NewInvitation, SummaryRow};
use crate::wire::schema;

/// Longest life of an invitation, in seconds: a year.
const MAX_EXPIRES_IN: u64 = 365 * 24 * 60 * 60;
/// Most uses of one that has a limit.
const MAX_USES: u64 = 10_000;

/// Makes an invitation
///
/// A link with which whoever has it comes in. The owner and the admins may.
#[utoipa::path(
    post, path = "/groups/{group_id}/invitations", tag = "invitations", operation_id = "create_invitation",
    request_body = NewInvitation,
    responses(
        (status = 200, description = "The invitation", body = schema::groups::Invitation),
        answers::Forbidden, answers::NotFound,
    ),
)]
pub(super) async fn create(
    asker: Asker,
    State(chat): State<Arc<Chat>>,
    Segments(group_id): Segments<String>,
    Body(new): Body<NewInvitation>,
) -> Result<Response, HttpError> {
    let group = path_group("group_id", &group_id)?;
    let by = asker.in_body("admin_id", new.admin_id.as_deref())?;
    let life = within("expires_in", new.expires_in, MAX_EXPIRES_IN)?;
    let life = life.map_or(Chat::INVITATION_LIFE, Duration::from_secs);
    let max_uses = within("max_uses", new.max_uses, MAX_USES)?;
    let max_uses = max_uses.and_then(|uses| u32::try_from(uses).ok());
    let invitation = chat.invite(group, &by, life, max_uses).await?;
    Ok(Json(InvitationRow(&invitation)).into_response())
}

/// The invitations of a group that work
///
/// Newest first, for who may make some.
#[utoipa::path(
    get, path = "/groups/{group_id}/invitations", tag = "invitations", operation_id = "list_invitations",
    params(params::WhoDoes),
    responses(
        (status = 200, description = "The invitations", body = [schema::groups::Invitation]),
        answers::Forbidden, answers::NotFound,
    ),
)]
pub(super) async fn list(
    asker: Asker,
    State(chat): State<Arc<Chat>>,
    Segments(group_id): Segments<String>,
    params: Params,
) -> Result<Response, HttpError> {
    let group = path_group("group_id", &group_id)?;
    let all = chat.invitations(group, &asker.in_query("admin_id", &params)?).await?;
    Ok(Json(all.iter().map(InvitationRow).collect::<Vec<_>>()).into_response())
}

/// Ends an invitation
#[utoipa::path(
    delete, path = "/groups/{group_id}/invitations/{token}", tag = "invitations", operation_id = "end_invitation",
    params(params::WhoDoes),
    responses(
        (status = 200, description = "It works no longer", body = schema::Notice),
        answers::Forbidden, answers::NotFound,
    ),
)]
pub(super) async fn end(
    asker: Asker,
    State(chat): State<Arc<Chat>>,
    Segments((group_id, token)): Segments<(String, String)>,
    params: Params,
) -> Result<Response, HttpError> {
    let group = path_group("group_id", &group_id)?;
    chat.end_invitation(group, &asker.in_query("admin_id", &params)?, &read(&token)?).await?;
    Ok(Json(json!({"message": "Invitation ended"})).into_response())
}

/// What an invitation leads to
#[utoipa::path(
    get, path = "/invitations/{token}", tag = "invitations", operation_id = "read_invitation",
    responses(
        (status = 200, description = "Where it leads", body = schema::groups::Invited),
        answers::NotFound, answers::Gone,
    ),
)]
pub(super) async fn look(
    _: Asker,
    State(chat): State<Arc<Chat>>,
    Segments(token): Segments<String>,
) -> Result<Response, HttpError> {
    let (invitation, group) = chat.invitation(&read(&token)?).await?;
    Ok(Json(InvitedRow { invitation: &invitation, group: &group }).into_response())
}

/// Accepts an invitation
///
/// All members are told. A member is in already, and uses nothing up.
#[utoipa::path(
    post, path = "/invitations/{token}/accept", tag = "invitations", operation_id = "accept_invitation",
    request_body = Accept,
    responses(
        (status = 200, description = "The group", body = schema::groups::GroupSummary),
        answers::Forbidden, answers::NotFound, answers::Gone,
    ),
)]
pub(super) async fn accept(
    asker: Asker,
    State(chat): State<Arc<Chat>>,
    Segments(token): Segments<String>,
    Body(body): Body<Accept>,
) -> Result<Response, HttpError> {
    let token = read(&token)?;
    let user = asker.in_body("user_id", body.user_id.as_deref())?;
    let group = chat.accept_invitation(&token, &user).await?;
    Ok(Json(SummaryRow(&group)).into_response())
}

/// What can't be a token is none that we know.
fn read(token: &str) -> Result<Token, Error> {
    Token::parse(token).ok_or(Error::NotFound("Invitation not found".into()))
}

fn within(field: &str, value: Option<u64>, most: u64) -> Result<Option<u64>, InvalidField> {
    if value.is_some_and(|value| !(1..=most).contains(&value)) {
        return Err(InvalidField::value("body", field, format_args!("1 to {most}")));
    }
    Ok(value)
}
