//! Searching in messages.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};

use super::api_doc::{answers, params};
use super::asker::Asker;
use super::error::{HttpError, InvalidField};
use super::extract::Params;
use crate::chat::{Chat, Search};
use crate::model::{Conversation, GroupId, MessageRef, UserId};
use crate::search::Words;
use crate::wire::events::ChatType;
use crate::wire::schema;
use crate::wire::search::SearchResults;

/// Messages of an answer where the client does not say.
const DEFAULT_LIMIT: usize = 20;

/// The messages with these words
///
/// Of those that the user may see now. Nothing is marked as read.
#[utoipa::path(
    get, path = "/search", tag = "messages", operation_id = "search_messages",
    params(params::WhoAsks, params::Where, params::Words),
    responses(
        (status = 200, description = "What was found", body = schema::messages::SearchResults),
        answers::Forbidden, answers::NotFound,
    ),
)]
pub(super) async fn search(
    asker: Asker,
    State(chat): State<Arc<Chat>>,
    params: Params,
) -> Result<Response, HttpError> {
    let viewer = asker.in_query("user_id", &params)?;
    let kinds = [("direct", ChatType::Direct), ("group", ChatType::Group)];
    let kind = params.choice("type", &kinds)?;
    let place = |place: &str| match kind {
        ChatType::Direct => {
            let other = read("in", UserId::parse(place))?;
            Ok::<_, HttpError>(Conversation::direct(viewer.clone(), other))
        }
        ChatType::Group => Ok(Conversation::Group(read("in", GroupId::parse(place))?)),
    };
    let conversation = params.get("in").map(place).transpose()?;
    answer(&chat, &viewer, conversation, &params).await
}

/// What the parameters ask for, in one conversation or in all.
pub(super) async fn answer(
    chat: &Chat,
    viewer: &UserId,
    conversation: Option<Conversation>,
    params: &Params,
) -> Result<Response, HttpError> {
    let text = params.get("q").ok_or_else(|| InvalidField::missing("query", "q"))?;
    let search = Search {
        words: read("q", Words::parse(text))?,
        conversation,
        from: params.get("from").map(|from| read("from", UserId::parse(from))).transpose()?,
        before: params.get("before").map(|id| read("before", MessageRef::parse(id))).transpose()?,
        best_first: params.choice("order", &[("newest", false), ("best", true)])?,
        limit: params.limit(DEFAULT_LIMIT, Chat::MAX_FOUND)?,
    };
    let found = chat.search(viewer, search).await?;
    Ok(Json(SearchResults { rows: &found.messages, more: found.more, next: found.next })
        .into_response())
}

fn read<T, E: std::fmt::Display>(name: &str, parsed: Result<T, E>) -> Result<T, HttpError> {
    parsed.map_err(|error| InvalidField::value("query", name, error).into())
}
