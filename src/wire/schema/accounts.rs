//! Accounts and tokens.

use utoipa::ToSchema;

use super::UserId;

/// An account, as its own user sees it. For a user whom another issuer has signed in, what is not
/// known is null.
#[derive(ToSchema)]
pub struct Account {
    /// The user's id.
    pub id: UserId,
    /// The same.
    pub user_id: UserId,
    /// The name to sign in with.
    #[schema(required = true)]
    pub username: Option<String>,
    /// The address to sign in with.
    #[schema(required = true)]
    pub email: Option<String>,
    /// When it was registered.
    #[schema(required = true, format = DateTime)]
    pub created_at: Option<String>,
}

/// What somebody gets who has signed in.
#[derive(ToSchema)]
pub struct Tokens {
    /// What requests bring as `Authorization: Bearer <token>`.
    pub access_token: String,
    /// What gets the next two tokens; it works once.
    pub refresh_token: String,
    /// Always `bearer`.
    pub token_type: String,
    /// For how many seconds the access token is good.
    pub expires_in: u64,
    /// For how many seconds the refresh token is good.
    pub refresh_expires_in: u64,
    /// Who.
    pub user: Account,
}

/// Users who have an account.
#[derive(ToSchema)]
pub struct UserList {
    /// The users, in the order of their names.
    pub users: Vec<User>,
    /// Always true.
    pub status: bool,
}

/// A user, as others see one.
#[derive(ToSchema)]
pub struct User {
    /// Who.
    pub user_id: UserId,
    /// The name of the account.
    pub username: String,
    /// Whether the user has a connection; false where one of the two has blocked the other.
    pub is_online: bool,
}

/// A user, as operators see one.
#[derive(ToSchema)]
pub struct OperatorsUser {
    /// Who.
    pub user_id: UserId,
    /// The name of the account; null for a user without one here.
    #[schema(required = true)]
    pub username: Option<String>,
    /// The account's address.
    #[schema(required = true)]
    pub email: Option<String>,
    /// When the account was registered.
    #[schema(required = true, format = DateTime)]
    pub created_at: Option<String>,
    /// Whether the user is let in no more.
    pub banned: bool,
    /// Whether the user has a connection.
    pub is_online: bool,
    /// When the user was last there; null for who was never there.
    #[schema(required = true, format = DateTime)]
    pub last_seen: Option<String>,
}

/// What became of the end of a user.
#[derive(ToSchema)]
pub struct Erasure {
    /// Who.
    pub user_id: UserId,
    /// Whether it is done, or goes on.
    pub erased: bool,
    /// In how many messages the user had a part; where it is done.
    pub messages: Option<u64>,
}
