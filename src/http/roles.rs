//! Who may do what in a group, and who wants to hear of it.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};

use super::api_doc::{answers, params};
use super::asker::Asker;
use super::error::{HttpError, InvalidField};
use super::extract::{Body, Params, Segments, path_group, path_user, required};
use crate::chat::Chat;
use crate::model::{Role, Until};
use crate::wire;
use crate::wire::groups::{GiveRole, MuteRow, PutMute, PutSilence, Rename, SummaryRow};
use crate::wire::schema;

/// Renames a group, or makes it public or private
///
/// The owner and the admins may rename it, the owner may make it public or private.
#[utoipa::path(
    patch, path = "/groups/{id}", tag = "groups", operation_id = "change_group",
    params(params::IdOfGroup),
    request_body = Rename,
    responses(
        (status = 200, description = "The group", body = schema::groups::GroupSummary),
        answers::Invalid, answers::Forbidden, answers::NotFound,
    ),
)]
pub(super) async fn rename(
    asker: Asker,
    State(chat): State<Arc<Chat>>,
    Segments(group_id): Segments<String>,
    Body(body): Body<Rename>,
) -> Result<Response, HttpError> {
    let group = path_group("group_id", &group_id)?;
    let by = asker.in_body("admin_id", body.admin_id.as_deref())?;
    let opened = match body.is_private {
        Some(is_private) => Some(chat.set_public(group, &by, !is_private).await?),
        None => None,
    };
    let changed = match (body.name, opened) {
        (Some(name), _) => chat.rename_group(group, &by, &name).await?,
        (None, Some(opened)) => opened,
        (None, None) => return Err(InvalidField::missing("body", "name").into()),
    };
    Ok(Json(SummaryRow(&changed)).into_response())
}

/// Gives a member another role
///
/// The owner may. Who becomes `owner` gets the group.
#[utoipa::path(
    put, path = "/groups/{group_id}/members/{user_id}/role", tag = "groups", operation_id = "give_role",
    request_body = GiveRole,
    responses(
        (status = 200, description = "The group", body = schema::groups::GroupSummary),
        answers::Invalid, answers::Forbidden, answers::NotFound,
    ),
)]
pub(super) async fn give(
    asker: Asker,
    State(chat): State<Arc<Chat>>,
    Segments((group_id, user_id)): Segments<(String, String)>,
    Body(body): Body<GiveRole>,
) -> Result<Response, HttpError> {
    let (group, user) = (path_group("group_id", &group_id)?, path_user("user_id", &user_id)?);
    let by = asker.in_body("admin_id", body.admin_id.as_deref())?;
    let role = Role::parse(&required("role", body.role)?)
        .ok_or_else(|| InvalidField::value("body", "role", "one of owner, admin, member"))?;
    let group = chat.give_role(group, &by, &user, role).await?;
    Ok(Json(SummaryRow(&group)).into_response())
}

/// Lets a member speak no longer
///
/// The owner and the admins may.
#[utoipa::path(
    put, path = "/groups/{group_id}/members/{user_id}/silence", tag = "groups", operation_id = "silence_member",
    request_body = PutSilence,
    responses(
        (status = 200, description = "The group", body = schema::groups::GroupSummary),
        answers::Invalid, answers::Forbidden, answers::NotFound,
    ),
)]
pub(super) async fn silence(
    asker: Asker,
    State(chat): State<Arc<Chat>>,
    Segments((group_id, user_id)): Segments<(String, String)>,
    Body(body): Body<PutSilence>,
) -> Result<Response, HttpError> {
    let (group, user) = (path_group("group_id", &group_id)?, path_user("user_id", &user_id)?);
    let by = asker.in_body("admin_id", body.admin_id.as_deref())?;
    let group = chat.silence(group, &by, &user, Some(end(body.until)?)).await?;
    Ok(Json(SummaryRow(&group)).into_response())
}

/// Lets a user speak again
#[utoipa::path(
    delete, path = "/groups/{group_id}/members/{user_id}/silence", tag = "groups", operation_id = "unsilence_member",
    params(params::WhoDoes),
    responses(
        (status = 200, description = "The group", body = schema::groups::GroupSummary),
        answers::Forbidden, answers::NotFound,
    ),
)]
pub(super) async fn unsilence(
    asker: Asker,
    State(chat): State<Arc<Chat>>,
    Segments((group_id, user_id)): Segments<(String, String)>,
    params: Params,
) -> Result<Response, HttpError> {
    let (group, user) = (path_group("group_id", &group_id)?, path_user("user_id", &user_id)?);
    let group = chat.silence(group, &asker.in_query("admin_id", &params)?, &user, None).await?;
    Ok(Json(SummaryRow(&group)).into_response())
}

/// Mutes a group for the user
///
/// It does not count in what is unread. Nobody else is told.
#[utoipa::path(
    put, path = "/groups/{group_id}/mute", tag = "groups", operation_id = "mute_group",
    request_body = PutMute,
    responses(
        (status = 200, description = "The group is muted", body = schema::groups::Mute),
        answers::Invalid, answers::Forbidden, answers::NotFound,
    ),
)]
pub(super) async fn mute(
    asker: Asker,
    State(chat): State<Arc<Chat>>,
    Segments(group_id): Segments<String>,
    Body(body): Body<PutMute>,
) -> Result<Response, HttpError> {
    let group = path_group("group_id", &group_id)?;
    let user = asker.in_body("user_id", body.user_id.as_deref())?;
    let until = Some(end(body.until)?);
    chat.mute(group, &user, until).await?;
    Ok(Json(MuteRow { group, until }).into_response())
}

/// Unmutes a group for the user
#[utoipa::path(
    delete, path = "/groups/{group_id}/mute", tag = "groups", operation_id = "unmute_group",
    params(params::WhoAsks),
    responses(
        (status = 200, description = "The group is not muted", body = schema::groups::Mute),
        answers::Forbidden, answers::NotFound,
    ),
)]
pub(super) async fn unmute(
    asker: Asker,
    State(chat): State<Arc<Chat>>,
    Segments(group_id): Segments<String>,
    params: Params,
) -> Result<Response, HttpError> {
    let group = path_group("group_id", &group_id)?;
    chat.mute(group, &asker.in_query("user_id", &params)?, None).await?;
    Ok(Json(MuteRow { group, until: None }).into_response())
}

fn end(until: Option<String>) -> Result<Until, InvalidField> {
    let Some(until) = until else { return Ok(Until::Forever) };
    let at = wire::time(&until);
    at.map(Until::Time).ok_or_else(|| {
        InvalidField::value(
            "body",
            "until",
            "a time with an offset (2026-01-31T12:00:00Z), or null",
        )
    })
}
