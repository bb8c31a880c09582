//! Accounts: registering, signing in and out.

use std::sync::Arc;

use axum::extract::{FromRef, FromRequestParts, State};
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use serde_json::json;

use super::api_doc::answers;
use super::asker::{Asker, sign_in};
use super::error::{HttpError, InvalidField};
use super::extract::{Body, MaybeBody, required};
use crate::auth::{Auth, Caller, Password, SignIn, SignedIn};
use crate::error::Error;
use crate::limits::Limits;
use crate::model::{AccountKey, Email, Username};
use crate::wire::accounts::{
    AccountRow, GuestRow, Hidden, Login, Logout, NewAccount, NewPassword, Refresh, TokensRow,
};
use crate::wire::schema;

/// The accounts of this server.
pub(super) struct Accounts(pub(super) Arc<Auth>);

impl<S: Send + Sync> FromRequestParts<S> for Accounts
where
    SignIn: FromRef<S>,
{
    type Rejection = HttpError;

    async fn from_request_parts(_: &mut Parts, state: &S) -> Result<Self, HttpError> {
        match SignIn::from_ref(state) {
            SignIn::Tokens(auth) => Ok(Self(auth)),
            SignIn::Open => {
                let none = "There are no accounts: sign-in is open on this server (AUTH_MODE)";
                Err(Error::NotFound(none.into()).into())
            }
        }
    }
}

/// Registers an account, and signs in
#[utoipa::path(
    post, path = "/api/auth/register", tag = "accounts", operation_id = "register",
    request_body = NewAccount,
    responses(
        (status = 201, description = "The tokens", body = schema::accounts::Tokens),
        answers::Unauthorized, answers::NotFound, answers::Conflict, answers::Unavailable,
    ),
)]
pub(super) async fn register(
    Accounts(auth): Accounts,
    Body(new): Body<NewAccount>,
) -> Result<Response, HttpError> {
    let username = required("username", new.username)?;
    let username = Username::parse(&username)
        .map_err(|error| InvalidField::value("body", "username", error))?;
    let email = required("email", new.email)?;
    let email =
        Email::parse(&email).map_err(|error| InvalidField::value("body", "email", error))?;
    let password = new_password("password", new.password)?;
    let signed_in = auth.register(username, email, password).await?;
    Ok((StatusCode::CREATED, tokens(&signed_in)).into_response())
}

/// Signs in
///
/// An unknown name and a wrong password get the same answer.
#[utoipa::path(
    post, path = "/api/auth/login", tag = "accounts", operation_id = "login",
    request_body = Login,
    responses(
        (status = 200, description = "The tokens", body = schema::accounts::Tokens),
        answers::Unauthorized, answers::Forbidden, answers::NotFound, answers::Unavailable,
    ),
)]
pub(super) async fn login(
    Accounts(auth): Accounts,
    State(limits): State<Arc<Limits>>,
    Body(login): Body<Login>,
) -> Result<Response, HttpError> {
    let password = given_password("password", login.password)?;
    let named = |name: &str| Username::parse(name).ok().map(AccountKey::Username);
    let addressed = |address: &str| Email::parse(address).ok().map(AccountKey::Email);
    let key = match (login.username, login.email, login.username_or_email) {
        (Some(name), None, None) => named(&name),
        (None, Some(address), None) => addressed(&address),
        (None, None, Some(either)) => addressed(&either).or_else(|| named(&either)),
        (None, None, None) => return Err(InvalidField::missing("body", "username").into()),
        _ => {
            let one = "only one of username, email, username_or_email can be given";
            return Err(InvalidField::value("body", "username", one).into());
        }
    };
    if let Some(name) = &key {
        limits.check_sign_in_name(&name.to_string())?;
    }
    Ok(tokens(&auth.login(key, &password).await?))
}

/// Gives the next two tokens
///
/// A refresh token works once; if an answer is lost, for 30 s more.
#[utoipa::path(
    post, path = "/api/auth/refresh", tag = "accounts", operation_id = "refresh",
    request_body = Refresh,
    responses(
        (status = 200, description = "The tokens", body = schema::accounts::Tokens),
        answers::Unauthorized, answers::Forbidden, answers::NotFound, answers::Unavailable,
    ),
)]
pub(super) async fn refresh(
    Accounts(auth): Accounts,
    Body(body): Body<Refresh>,
) -> Result<Response, HttpError> {
    let Hidden(token) = required("refresh_token", body.refresh_token)?;
    Ok(tokens(&auth.refresh(&token).await?))
}

/// Signs out
///
/// The sign-in of the access token, or, without one, of the refresh token. Its tokens are void at
/// once.
#[utoipa::path(
    post, path = "/api/auth/logout", tag = "accounts", operation_id = "logout",
    security(("token" = []), ()),
    request_body = Option<Logout>,
    responses(
        (status = 200, description = "Signed out", body = schema::Notice),
        answers::Unauthorized, answers::NotFound,
    ),
)]
pub(super) async fn logout(
    Accounts(auth): Accounts,
    Extension(caller): Extension<Caller>,
    MaybeBody(body): MaybeBody<Logout>,
) -> Result<Response, HttpError> {
    match (&caller, &body.refresh_token) {
        (Caller::User(claims), _) if body.everywhere => {
            auth.sign_out_everywhere(&claims.user).await?;
        }
        (Caller::User(claims), _) => auth.sign_out(claims).await?,
        (_, Some(Hidden(token))) => auth.sign_out_with(token, body.everywhere).await?,
        (_, None) => return Err(sign_in().into()),
    }
    Ok(Json(json!({"message": "Signed out"})).into_response())
}

/// The account of who asks
#[utoipa::path(
    get, path = "/api/auth/me", tag = "accounts", operation_id = "read_account",
    responses(
        (status = 200, description = "The account", body = schema::accounts::Account),
        answers::NotFound,
    ),
)]
pub(super) async fn me(Accounts(auth): Accounts, asker: Asker) -> Result<Response, HttpError> {
    let user = asker.user().ok_or_else(sign_in)?;
    match auth.account(user).await {
        Ok(account) => Ok(Json(AccountRow(&account)).into_response()),
        Err(Error::NotFound(_)) => Ok(Json(GuestRow(user)).into_response()),
        Err(error) => Err(error.into()),
    }
}

/// Changes the password
///
/// Every sign-in of the user ends; the answer holds the tokens of a new one.
#[utoipa::path(
    put, path = "/api/auth/password", tag = "accounts", operation_id = "change_password",
    request_body = NewPassword,
    responses(
        (status = 200, description = "The tokens", body = schema::accounts::Tokens),
        answers::Forbidden, answers::NotFound,
    ),
)]
pub(super) async fn change_password(
    Accounts(auth): Accounts,
    asker: Asker,
    Body(body): Body<NewPassword>,
) -> Result<Response, HttpError> {
    let user = asker.user().ok_or_else(sign_in)?;
    let old = given_password("old_password", body.old_password)?;
    let new = new_password("new_password", body.new_password)?;
    Ok(tokens(&auth.change_password(user, &old, new).await?))
}

/// A password that somebody chooses.
fn new_password(field: &str, given: Option<Hidden>) -> Result<Password, InvalidField> {
    let Hidden(text) = required(field, given)?;
    Password::parse(&text).map_err(|error| InvalidField::value("body", field, error))
}

/// A password that somebody has chosen before, under whatever rule held then.
fn given_password(field: &str, given: Option<Hidden>) -> Result<Password, InvalidField> {
    let Hidden(text) = required(field, given)?;
    Password::any(&text).map_err(|error| InvalidField::value("body", field, error))
}

fn tokens(signed_in: &SignedIn) -> Response {
    let row = TokensRow {
        account: &signed_in.account,
        access_token: &signed_in.access_token,
        access_expires_at: signed_in.access_expires_at,
        refresh_token: &signed_in.refresh_token,
        refresh_expires_at: signed_in.refresh_expires_at,
        at: signed_in.at,
    };
    Json(row).into_response()
}
