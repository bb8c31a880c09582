//! Groups and their members.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use serde_json::json;

use super::api_doc::{answers, params};
use super::asker::Asker;
use super::error::HttpError;
use super::extract::{Body, Params, Segments, path_group, path_user, required, users_in_body};
use crate::chat::Chat;
use crate::model::Group;
use crate::wire::groups::{GroupRow, NewGroup, Removed};
use crate::wire::schema;

/// Makes a group
///
/// The members are told.
#[utoipa::path(
    post, path = "/groups/", tag = "groups", operation_id = "create_group",
    request_body = NewGroup,
    responses(
        (status = 200, description = "The group", body = schema::groups::Group),
        answers::Invalid, answers::Forbidden,
    ),
)]
pub(super) async fn create(
    asker: Asker,
    State(chat): State<Arc<Chat>>,
    Body(new): Body<NewGroup>,
) -> Result<Response, HttpError> {
    let name = required("name", new.name)?;
    let member_ids = required("member_ids", new.member_ids)?;
    let created_by = asker.in_body("created_by", new.created_by.as_deref())?;
    let members = users_in_body("member_ids", &member_ids)?;
    let group = chat.create_group(&name, members, created_by, false).await?;
    Ok(Json(GroupRow(&group)).into_response())
}

/// The groups that the user is in
///
/// Newest first, at the most 1,000.
#[utoipa::path(
    get, path = "/groups/{id}", tag = "groups", operation_id = "list_groups",
    params(params::IdOfUser),
    responses(
        (status = 200, description = "The groups; none, where there are none", body = [schema::groups::Group]),
        answers::Forbidden,
    ),
)]
pub(super) async fn of_user(
    asker: Asker,
    State(chat): State<Arc<Chat>>,
    Segments(user_id): Segments<String>,
) -> Result<Response, HttpError> {
    Ok(rows(&chat.groups_of(&asker.in_path("user_id", &user_id)?).await?))
}

/// Groups whose name contains the text
///
/// In any case, newest first, at the most 1,000. With tokens those that the user is in, and public
/// ones.
#[utoipa::path(
    get, path = "/groups/search/{name}", tag = "groups", operation_id = "search_groups",
    responses(
        (status = 200, description = "The groups", body = [schema::groups::Group]),
        answers::NotFound,
    ),
)]
pub(super) async fn search(
    asker: Asker,
    State(chat): State<Arc<Chat>>,
    Segments(name): Segments<String>,
) -> Result<Response, HttpError> {
    Ok(rows(&chat.search_groups(&name, asker.user()).await?))
}

/// Makes the user a member
///
/// All members are told. With tokens the group's owner and admins may.
#[utoipa::path(
    post, path = "/group/{group_id}/{user_id}", tag = "groups", operation_id = "add_member",
    responses(
        (status = 200, description = "The user is a member", body = schema::Notice),
        answers::Forbidden, answers::NotFound, answers::TooLarge,
    ),
)]
pub(super) async fn add_member(
    asker: Asker,
    State(chat): State<Arc<Chat>>,
    Segments((group_id, user_id)): Segments<(String, String)>,
) -> Result<Response, HttpError> {
    let group = path_group("group_id", &group_id)?;
    chat.add_member(group, &path_user("user_id", &user_id)?, asker.user()).await?;
    Ok(Json(json!({"message": "User added to group"})).into_response())
}

/// Takes a user out of a group
///
/// The owner may remove others, an admin those who are neither owner nor admin; anybody but the
/// owner may leave.
#[utoipa::path(
    post, path = "/groups/{group_id}/remove", tag = "groups", operation_id = "remove_member",
    params(params::TakenOut, params::WhoDoes),
    responses(
        (status = 200, description = "The user is out", body = Removed),
        answers::Invalid, answers::Forbidden, answers::NotFound,
    ),
)]
pub(super) async fn remove_member(
    asker: Asker,
    State(chat): State<Arc<Chat>>,
    Segments(group_id): Segments<String>,
    params: Params,
) -> Result<Response, HttpError> {
    let group = path_group("group_id", &group_id)?;
    let (user, by) = (params.user("user_id")?, asker.in_query("admin_id", &params)?);
    chat.remove_member(group, &user, &by).await?;
    Ok(Json(Removed::new(group, &user, &by)).into_response())
}

/// Deletes a group and all its messages
///
/// With tokens its owner may.
#[utoipa::path(
    delete, path = "/groups/{id}", tag = "groups", operation_id = "delete_group",
    params(params::IdOfGroup),
    responses(
        (status = 200, description = "The group is gone", body = schema::Notice),
        answers::Forbidden, answers::NotFound,
    ),
)]
pub(super) async fn delete(
    asker: Asker,
    State(chat): State<Arc<Chat>>,
    Segments(group_id): Segments<String>,
) -> Result<Response, HttpError> {
    chat.delete_group(path_group("group_id", &group_id)?, asker.user()).await?;
    Ok(Json(json!({"message": "Group deleted successfully"})).into_response())
}

/// Leaves a group
///
/// Anybody but its owner may.
#[utoipa::path(
    post, path = "/groups/{group_id}/leave", tag = "groups", operation_id = "leave_group",
    params(params::WhoAsks),
    responses(
        (status = 200, description = "The user is out", body = Removed),
        answers::Invalid, answers::Forbidden, answers::NotFound,
    ),
)]
pub(super) async fn leave(
    asker: Asker,
    State(chat): State<Arc<Chat>>,
    Segments(group_id): Segments<String>,
    params: Params,
) -> Result<Response, HttpError> {
    let group = path_group("group_id", &group_id)?;
    let user = asker.in_query("user_id", &params)?;
    chat.remove_member(group, &user, &user).await?;
    Ok(Json(Removed::by_themselves(group, &user)).into_response())
}

fn rows(groups: &[Group]) -> Response {
    Json(groups.iter().map(GroupRow).collect::<Vec<_>>()).into_response()
}
