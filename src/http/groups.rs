//! Groups and their members.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use serde_json::json;

use super::asker::Asker;
use super::error::HttpError;
use super::extract::{Body, Params, Segments, path_group, path_user, required, users_in_body};
use crate::chat::Chat;
use crate::model::Group;
use crate::wire::groups::{GroupRow, NewGroup, Removed};

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

pub(super) async fn of_user(
    asker: Asker,
    State(chat): State<Arc<Chat>>,
    Segments(user_id): Segments<String>,
) -> Result<Response, HttpError> {
    Ok(rows(&chat.groups_of(&asker.in_path("user_id", &user_id)?).await?))
}

pub(super) async fn search(
    asker: Asker,
    State(chat): State<Arc<Chat>>,
    Segments(name): Segments<String>,
) -> Result<Response, HttpError> {
    Ok(rows(&chat.search_groups(&name, asker.user()).await?))
}

pub(super) async fn add_member(
    asker: Asker,
    State(chat): State<Arc<Chat>>,
    Segments((group_id, user_id)): Segments<(String, String)>,
) -> Result<Response, HttpError> {
    let group = path_group("group_id", &group_id)?;
    chat.add_member(group, &path_user("user_id", &user_id)?, asker.user()).await?;
    Ok(Json(json!({"message": "User added to group"})).into_response())
}

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

pub(super) async fn delete(
    asker: Asker,
    State(chat): State<Arc<Chat>>,
    Segments(group_id): Segments<String>,
) -> Result<Response, HttpError> {
    chat.delete_group(path_group("group_id", &group_id)?, asker.user()).await?;
    Ok(Json(json!({"message": "Group deleted successfully"})).into_response())
}

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
