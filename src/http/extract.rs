//! Parts of a request, read so that what is wrong with them is answered in the contract's form.

use std::collections::HashMap;

use axum::body::Bytes;
use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use axum::http::request::Parts;
use serde::de::DeserializeOwned;
use serde_json::Value;
use serde_path_to_error::Segment;

use super::error::{HttpError, InvalidField};
use crate::error::Error;
use crate::model::{GroupId, MessageRef, UserId};

/// The parts of the path that a route names.
pub(super) struct Segments<T>(pub(super) T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for Segments<T> {
    type Rejection = HttpError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, HttpError> {
        match Path::from_request_parts(parts, state).await {
            Ok(Path(segments)) => Ok(Self(segments)),
            // What can be wrong with texts is that they are no UTF-8.
            Err(error) => {
                Err(InvalidField::unreadable("path", error.body_text(), "value_error").into())
            }
        }
    }
}

/// The parameters behind the question mark.
pub(super) struct Params(HashMap<String, String>);

impl<S: Send + Sync> FromRequestParts<S> for Params {
    type Rejection = HttpError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, HttpError> {
        match Query::from_request_parts(parts, state).await {
            Ok(Query(params)) => Ok(Self(params)),
            Err(error) => {
                Err(InvalidField::unreadable("query", error.body_text(), "value_error").into())
            }
        }
    }
}

impl Params {
    /// A parameter, where it is given.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// A user id that must be given.
    pub(super) fn user(&self, name: &str) -> Result<UserId, HttpError> {
        let text = self.get(name).ok_or_else(|| InvalidField::missing("query", name))?;
        UserId::parse(text).map_err(|error| InvalidField::value("query", name, error).into())
    }

    /// User ids, comma-separated: from one to `most`.
    pub(super) fn users(&self, name: &str, most: usize) -> Result<Vec<UserId>, HttpError> {
        let text = self.get(name).ok_or_else(|| InvalidField::missing("query", name))?;
        let invalid = |reason: &dyn std::fmt::Display| InvalidField::value("query", name, reason);
        // One more than is allowed is enough to know.
        let ids: Vec<_> = text.split(',').take(most + 1).map(UserId::parse).collect();
        if ids.len() > most {
            return Err(invalid(&format_args!("at the most {most} user ids")).into());
        }
        let ids = ids.into_iter().collect::<Result<_, _>>();
        ids.map_err(|error| invalid(&error).into())
    }

    /// One of a few words, or the first of them where none is given.
    pub(super) fn choice<T: Copy>(
        &self,
        name: &str,
        choices: &[(&str, T)],
    ) -> Result<T, HttpError> {
        let chosen = match self.get(name) {
            None => choices.first(),
            Some(text) => choices.iter().find(|(word, _)| *word == text),
        };
        chosen.map(|(_, value)| *value).ok_or_else(|| {
            let words: Vec<_> = choices.iter().map(|(word, _)| *word).collect();
            InvalidField::value("query", name, format_args!("one of {}", words.join(", "))).into()
        })
    }

    /// How many are wanted: from 1; above `most` it is `most`.
    pub(super) fn limit(&self, default: usize, most: usize) -> Result<usize, HttpError> {
        let Some(text) = self.get("limit") else { return Ok(default) };
        match text.parse::<u64>() {
            Ok(limit) if limit > 0 => Ok(usize::try_from(limit).unwrap_or(most).min(most)),
            _ => Err(InvalidField::value("query", "limit", "a whole number from 1").into()),
        }
    }
}

/// A user id in the path.
pub(super) fn path_user(name: &str, text: &str) -> Result<UserId, HttpError> {
    UserId::parse(text).map_err(|error| InvalidField::value("path", name, error).into())
}

/// A group id in the path.
pub(super) fn path_group(name: &str, text: &str) -> Result<GroupId, HttpError> {
    GroupId::parse(text).map_err(|error| InvalidField::value("path", name, error).into())
}

/// A message id in the path.
pub(super) fn path_message(name: &str, text: &str) -> Result<MessageRef, HttpError> {
    MessageRef::parse(text).map_err(|error| InvalidField::value("path", name, error).into())
}

/// A JSON body, whatever its content type says.
pub(super) struct Body<T>(pub(super) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Body<T> {
    type Rejection = HttpError;

    async fn from_request(request: Request, state: &S) -> Result<Self, HttpError> {
        Ok(Self(read_json(&bytes(request, state).await?)?))
    }
}

/// A JSON body, or none at all.
pub(super) struct MaybeBody<T>(pub(super) T);

impl<T: DeserializeOwned + Default, S: Send + Sync> FromRequest<S> for MaybeBody<T> {
    type Rejection = HttpError;

    async fn from_request(request: Request, state: &S) -> Result<Self, HttpError> {
        let bytes = bytes(request, state).await?;
        if bytes.is_empty() { Ok(Self(T::default())) } else { Ok(Self(read_json(&bytes)?)) }
    }
}

async fn bytes<S: Send + Sync>(request: Request, state: &S) -> Result<Bytes, Error> {
    let bytes = Bytes::from_request(request, state).await;
    bytes.map_err(|_| Error::TooLarge("The body is too large, or broke off".into()))
}

fn read_json<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, InvalidField> {
    let mut json = serde_json::Deserializer::from_slice(bytes);
    let body = serde_path_to_error::deserialize(&mut json).map_err(|error| {
        let kind = if error.inner().is_data() { "value_error" } else { "json_invalid" };
        let way = error.path().iter().filter_map(step).collect::<Vec<_>>();
        InvalidField::new("body", way, error.inner(), kind)
    })?;
    json.end().map_err(|error| InvalidField::unreadable("body", error, "json_invalid"))?;
    Ok(body)
}

fn step(segment: &Segment) -> Option<Value> {
    match segment {
        Segment::Seq { index } => Some(Value::from(*index)),
        Segment::Map { key } => Some(Value::from(key.as_str())),
        Segment::Enum { .. } | Segment::Unknown => None,
    }
}

/// User ids in a list of a body.
pub(super) fn users_in_body(field: &str, ids: &[String]) -> Result<Vec<UserId>, InvalidField> {
    let user = |(index, id): (usize, &String)| {
        let way = [field.into(), index.into()];
        UserId::parse(id).map_err(|error| InvalidField::new("body", way, error, "value_error"))
    };
    ids.iter().enumerate().map(user).collect()
}

/// A field of a body that must be given.
pub(super) fn required<T>(field: &str, value: Option<T>) -> Result<T, InvalidField> {
    value.ok_or_else(|| InvalidField::missing("body", field))
}
