//! Accounts and tokens.

use std::fmt;

use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use serde_json::Value;
use utoipa::ToSchema;

use crate::error::Error;
use crate::model::{Account, Presence, Timestamp, UserId};

/// A text that no log shows, and no answer that says what is wrong with it.
#[derive(Clone, PartialEq)]
pub struct Hidden(pub String);

impl<'de> Deserialize<'de> for Hidden {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        match Value::deserialize(from)? {
            Value::String(text) => Ok(Self(text)),
            _ => Err(de::Error::custom("expected a string")),
        }
    }
}

impl fmt::Debug for Hidden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Hidden(..)")
    }
}

/// What a socket is to live on from now on.
#[derive(Debug, Clone, PartialEq)]
pub enum Renewal {
    /// An access token that its client has got elsewhere.
    Access(Hidden),
    /// The access token that it gets for this refresh token.
    Refresh(Hidden),
}

/// `refresh_token`, the event: one of the two.
#[derive(Deserialize)]
#[serde(expecting = "an object with token or refresh_token")]
pub struct RenewalIn {
    token: Option<Hidden>,
    refresh_token: Option<Hidden>,
}

impl RenewalIn {
    /// Checks that one of them is given.
    pub fn read(self) -> Result<Renewal, Error> {
        match (self.token, self.refresh_token) {
            (Some(token), None) => Ok(Renewal::Access(token)),
            (None, Some(token)) => Ok(Renewal::Refresh(token)),
            _ => Err(Error::Invalid("one of token and refresh_token must be given".into())),
        }
    }
}

/// Who is to have an account.
#[derive(Deserialize, ToSchema)]
#[serde(expecting = "an object with username, email and password")]
pub struct NewAccount {
    /// The name to sign in with: 2 to 32 letters a to z, digits, `-` or `_`; unique in any case.
    #[schema(value_type = String, required = true, pattern = "^[0-9A-Za-z_-]{2,32}$")]
    pub username: Option<String>,
    /// An address to sign in with, in up to 254 bytes; unique in any case. It is not written to.
    #[schema(value_type = String, required = true, max_length = 254, example = "ann@example.com")]
    pub email: Option<String>,
    /// The password.
    #[schema(value_type = String, required = true, format = Password, min_length = 8, max_length = 128)]
    pub password: Option<Hidden>,
}

/// Who signs in: one of the three names, in any case, and the password.
#[derive(Deserialize, ToSchema)]
#[serde(expecting = "an object with username, email or username_or_email, and password")]
pub struct Login {
    /// The account's name.
    pub username: Option<String>,
    /// Its address.
    pub email: Option<String>,
    /// Either of the two.
    pub username_or_email: Option<String>,
    /// The password.
    #[schema(value_type = String, required = true, format = Password)]
    pub password: Option<Hidden>,
}

/// What gets the next two tokens.
#[derive(Deserialize, ToSchema)]
#[serde(expecting = "an object with refresh_token")]
pub struct Refresh {
    /// The token that was given last.
    #[schema(value_type = String, required = true)]
    pub refresh_token: Option<Hidden>,
}

/// Which sign-ins end; nothing of it is required.
#[derive(Default, Deserialize, ToSchema)]
#[serde(expecting = "an object with refresh_token and everywhere")]
pub struct Logout {
    /// What sign-in ends, where the request brings no access token.
    #[schema(value_type = Option<String>)]
    pub refresh_token: Option<Hidden>,
    /// Whether all sign-ins of the user end.
    #[serde(default)]
    pub everywhere: bool,
}

/// The present password, and the next one.
#[derive(Deserialize, ToSchema)]
#[serde(expecting = "an object with old_password and new_password")]
pub struct NewPassword {
    /// The present password.
    #[schema(value_type = String, required = true, format = Password)]
    pub old_password: Option<Hidden>,
    /// The next one.
    #[schema(value_type = String, required = true, format = Password, min_length = 8, max_length = 128)]
    pub new_password: Option<Hidden>,
}

/// An account, as its own user sees it: `{id, user_id, username, email, created_at}`; both ids are
/// the same.
#[derive(Debug, Clone, Copy)]
pub struct AccountRow<'a>(pub &'a Account);

impl Serialize for AccountRow<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let account = self.0;
        let mut row = to.serialize_map(Some(5))?;
        row.serialize_entry("id", account.id.as_str())?;
        row.serialize_entry("user_id", account.id.as_str())?;
        row.serialize_entry("username", account.username.as_str())?;
        row.serialize_entry("email", account.email.as_str())?;
        row.serialize_entry("created_at", &super::iso(account.created_at))?;
        row.end()
    }
}

/// A user whom another issuer has signed in: as [`AccountRow`], as far as anything is known.
#[derive(Debug, Clone, Copy)]
pub struct GuestRow<'a>(pub &'a UserId);

impl Serialize for GuestRow<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut row = to.serialize_map(Some(5))?;
        row.serialize_entry("id", self.0.as_str())?;
        row.serialize_entry("user_id", self.0.as_str())?;
        for unknown in ["username", "email", "created_at"] {
            row.serialize_entry(unknown, &())?;
        }
        row.end()
    }
}

/// A user, as others see one: `{user_id, username, is_online}`.
#[derive(Debug, Clone, Copy)]
pub struct UserRow<'a> {
    /// Who.
    pub account: &'a Account,
    /// Whether the user is here.
    pub presence: &'a Presence,
}

impl Serialize for UserRow<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut row = to.serialize_map(Some(3))?;
        row.serialize_entry("user_id", self.account.id.as_str())?;
        row.serialize_entry("username", self.account.username.as_str())?;
        row.serialize_entry("is_online", &self.presence.is_online)?;
        row.end()
    }
}

/// A user, as operators see one: `{user_id, username, email, created_at, banned, is_online,
/// last_seen}`; what only an account has is null for a user without one.
#[derive(Debug, Clone, Copy)]
pub struct OperatorsRow<'a> {
    /// What the user has registered.
    pub account: Option<&'a Account>,
    /// Whether the user is let in no more.
    pub banned: bool,
    /// Who, and whether the user is here.
    pub presence: &'a Presence,
}

impl Serialize for OperatorsRow<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let Self { account, banned, presence } = self;
        let mut row = to.serialize_map(Some(7))?;
        row.serialize_entry("user_id", presence.user.as_str())?;
        row.serialize_entry("username", &account.map(|account| account.username.as_str()))?;
        row.serialize_entry("email", &account.map(|account| account.email.as_str()))?;
        row.serialize_entry("created_at", &account.map(|account| super::iso(account.created_at)))?;
        row.serialize_entry("banned", banned)?;
        row.serialize_entry("is_online", &presence.is_online)?;
        row.serialize_entry("last_seen", &presence.last_seen.map(super::iso))?;
        row.end()
    }
}

/// `GET /user/get-users`.
#[derive(Debug, Serialize)]
pub struct Users<'a> {
    /// In the order of their names.
    pub users: Vec<UserRow<'a>>,
    /// Always true: what the old clients look at.
    pub status: bool,
}

/// What somebody gets who has signed in.
#[derive(Clone, Copy)]
pub struct TokensRow<'a> {
    /// Who.
    pub account: &'a Account,
    /// What requests bring.
    pub access_token: &'a str,
    /// Until when that is good.
    pub access_expires_at: Timestamp,
    /// What gets the next one.
    pub refresh_token: &'a str,
    /// Until when that is good.
    pub refresh_expires_at: Timestamp,
    /// The time of all this.
    pub at: Timestamp,
}

impl Serialize for TokensRow<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut row = to.serialize_map(Some(6))?;
        row.serialize_entry("access_token", self.access_token)?;
        row.serialize_entry("refresh_token", self.refresh_token)?;
        row.serialize_entry("token_type", "bearer")?;
        row.serialize_entry("expires_in", &seconds(self.at, self.access_expires_at))?;
        row.serialize_entry("refresh_expires_in", &seconds(self.at, self.refresh_expires_at))?;
        row.serialize_entry("user", &AccountRow(self.account))?;
        row.end()
    }
}

fn seconds(from: Timestamp, to: Timestamp) -> i64 {
    to.as_millis().saturating_sub(from.as_millis()) / 1_000
}
