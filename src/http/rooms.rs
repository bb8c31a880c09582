//! Rooms.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

use super::api_doc::{answers, params};
use super::asker::Asker;
use super::error::{HttpError, InvalidField};
use super::extract::{Body, Params, Segments, path_group, required, users_in_body};
use crate::chat::Chat;
use crate::model::{GroupId, UserId};
use crate::wire::groups::Removed;
use crate::wire::rooms::{MemberRow, NewRoom, RoomRow};
use crate::wire::schema;

/// Rooms, or members, of a page where the client does not say.
const DEFAULT_LIMIT: usize = 100;

/// The rooms that the user may see
///
/// Newest first: public ones, and those that the user is in.
#[utoipa::path(
    get, path = "/api/rooms/", tag = "rooms", operation_id = "list_rooms",
    params(params::WhoAsks, params::Rooms),
    responses(
        (status = 200, description = "The page", body = [schema::groups::Room]),
        answers::Forbidden, answers::NotFound,
    ),
)]
pub(super) async fn list(
    asker: Asker,
    State(chat): State<Arc<Chat>>,
    params: Params,
) -> Result<Response, HttpError> {
    let viewer = asker.in_query("user_id", &params)?;
    let before = params.get("before").map(GroupId::parse).transpose();
    let before = before.map_err(|error| InvalidField::value("query", "before", error))?;
    let limit = params.limit(DEFAULT_LIMIT, Chat::MAX_ROOMS)?;
    let rooms = chat.rooms(&viewer, before, limit).await?;
    Ok(Json(rooms.iter().map(RoomRow).collect::<Vec<_>>()).into_response())
}

/// Makes a room
///
/// The user is its owner and first member.
#[utoipa::path(
    post, path = "/api/rooms/", tag = "rooms", operation_id = "create_room",
    request_body = NewRoom,
    responses(
        (status = 201, description = "The room", body = schema::groups::Room),
        answers::Invalid, answers::Forbidden,
    ),
)]
pub(super) async fn create(
    asker: Asker,
    State(chat): State<Arc<Chat>>,
    Body(new): Body<NewRoom>,
) -> Result<Response, HttpError> {
    let name = required("name", new.name)?;
    let by = asker.in_body("created_by", new.created_by.as_deref())?;
    let mut members = vec![by.clone()];
    members.extend(users_in_body("member_ids", &new.member_ids)?);
    let group = chat.create_group(&name, members, by.clone(), !new.is_private).await?;
    let room = chat.room(group.id, &by).await?;
    Ok((StatusCode::CREATED, Json(RoomRow(&room))).into_response())
}

/// Joins a public room
///
/// Its members are told; a member is in already.
#[utoipa::path(
    post, path = "/api/rooms/{room_id}/join", tag = "rooms", operation_id = "join_room",
    params(params::WhoAsks),
    responses(
        (status = 200, description = "The room", body = schema::groups::Room),
        answers::Forbidden, answers::NotFound, answers::TooLarge,
    ),
)]
pub(super) async fn join(
    asker: Asker,
    State(chat): State<Arc<Chat>>,
    Segments(room_id): Segments<String>,
    params: Params,
) -> Result<Response, HttpError> {
    let room = path_group("room_id", &room_id)?;
    let user = asker.in_query("user_id", &params)?;
    chat.join_room(room, &user).await?;
    Ok(Json(RoomRow(&chat.room(room, &user).await?)).into_response())
}

/// Leaves a room
///
/// Anybody but its owner may.
#[utoipa::path(
    post, path = "/api/rooms/{room_id}/leave", tag = "rooms", operation_id = "leave_room",
    params(params::WhoAsks),
    responses(
        (status = 200, description = "The user is out", body = Removed),
        answers::Invalid, answers::Forbidden, answers::NotFound,
    ),
)]
pub(super) async fn leave(
    asker: Asker,
    State(chat): State<Arc<Chat>>,
    Segments(room_id): Segments<String>,
    params: Params,
) -> Result<Response, HttpError> {
    let room = path_group("room_id", &room_id)?;
    let user = asker.in_query("user_id", &params)?;
    chat.remove_member(room, &user, &user).await?;
    Ok(Json(Removed::by_themselves(room, &user)).into_response())
}

/// The members of a room
///
/// In the order in which they came; for members, and of a public room for everybody.
#[utoipa::path(
    get, path = "/api/rooms/{room_id}/members", tag = "rooms", operation_id = "list_room_members",
    params(params::WhoAsks, params::Members),
    responses(
        (status = 200, description = "The page", body = [MemberRow]),
        answers::Forbidden, answers::NotFound,
    ),
)]
pub(super) async fn members(
    asker: Asker,
    State(chat): State<Arc<Chat>>,
    Segments(room_id): Segments<String>,
    params: Params,
) -> Result<Response, HttpError> {
    let room = path_group("room_id", &room_id)?;
    let viewer = asker.in_query("user_id", &params)?;
    let after = params.get("after").map(UserId::parse).transpose();
    let after = after.map_err(|error| InvalidField::value("query", "after", error))?;
    let limit = params.limit(DEFAULT_LIMIT, Chat::MAX_ROOMS)?;
    let members = chat.room_members(room, &viewer, after.as_ref(), limit).await?;
    let rows = members.iter().map(|member| MemberRow {
        user_id: member.presence.user.as_str(),
        role: member.role.as_str(),
        is_online: member.presence.is_online,
    });
    Ok(Json(rows.collect::<Vec<_>>()).into_response())
}
