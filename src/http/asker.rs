//! For whom a request acts: the one place that decides whether somebody may act as a user.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;

use super::error::{HttpError, InvalidField};
use super::extract::Params;
use crate::auth::Caller;
use crate::error::Error;
use crate::model::UserId;

/// Who asks. A handler gets the user for whom it acts from here alone.
///
/// Who has signed in acts as that user; the request may name the user as well, and no other one.
/// Where sign-in is open, whomever the request names is believed.
pub(super) struct Asker(Caller);

impl<S: Send + Sync> FromRequestParts<S> for Asker {
    type Rejection = HttpError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, HttpError> {
        match parts.extensions.get::<Caller>() {
            None | Some(Caller::Nobody) => Err(sign_in().into()),
            Some(caller) => Ok(Self(caller.clone())),
        }
    }
}

/// The refusal of a request without a token.
pub(super) fn sign_in() -> Error {
    Error::Unauthorized("Sign in: send your access token as Authorization: Bearer".into())
}

impl Asker {
    /// Who asks; `None` where sign-in is open and the request has no place to say it.
    pub(super) fn user(&self) -> Option<&UserId> {
        self.0.user()
    }

    /// The user whom the path names.
    pub(super) fn in_path(&self, name: &str, text: &str) -> Result<UserId, HttpError> {
        self.act_as("path", name, Some(text))
    }

    /// The user whom a parameter names.
    pub(super) fn in_query(&self, name: &str, params: &Params) -> Result<UserId, HttpError> {
        self.act_as("query", name, params.get(name))
    }

    /// The user whom a field of the body names.
    pub(super) fn in_body(&self, name: &str, given: Option<&str>) -> Result<UserId, HttpError> {
        self.act_as("body", name, given)
    }

    fn act_as(&self, place: &str, name: &str, given: Option<&str>) -> Result<UserId, HttpError> {
        let named = given.map(UserId::parse).transpose();
        let named = named.map_err(|error| InvalidField::value(place, name, error))?;
        match (self.user(), named) {
            (Some(user), Some(named)) if *user != named => {
                Err(Error::Forbidden("You are signed in as another user".into()).into())
            }
            (Some(user), _) => Ok(user.clone()),
            (None, Some(named)) => Ok(named),
            (None, None) => Err(InvalidField::missing(place, name).into()),
        }
    }
}
