//! Accounts, sign-ins and what tokens are worth. They are written directly, as groups are.

use async_trait::async_trait;

use super::Result;
use crate::model::{
    Account, AccountKey, LoginSession, PasswordHash, Revocation, SecretHash, SessionId, Timestamp,
    UserId, Username,
};

/// How long a revocation that is no ban is remembered after its time: longer than any token lives.
pub const REVOCATION_LIFE: std::time::Duration = std::time::Duration::from_hours(30 * 24);

/// What became of a new account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Registered {
    /// It is stored.
    Done,
    /// The name belongs to another one, perhaps in another case.
    UsernameTaken,
    /// The address belongs to another one, perhaps in another case.
    EmailTaken,
}

/// The part of a store that knows who may sign in. Every method may be called from many tasks at
/// once. Dropping a call's future at any point leaves the store consistent.
#[async_trait]
pub trait AccountStore: Send + Sync + 'static {
    /// Stores a new account. Of two at once with the same name or address, one is refused; where
    /// both are taken, the name is what is told.
    async fn create_account(&self, account: &Account) -> Result<Registered>;

    /// One account; names and addresses are found in any case.
    async fn account(&self, key: &AccountKey) -> Result<Option<Account>>;

    /// Accounts in the order of [`Username::key`], those after a name where one is given.
    async fn accounts(&self, after: Option<&Username>, limit: usize) -> Result<Vec<Account>>;

    /// Gives an account another password; whether it is there.
    async fn set_password(&self, user: &UserId, password: &PasswordHash) -> Result<bool>;

    /// Deletes an account and all its sessions; whether it was there.
    async fn delete_account(&self, user: &UserId) -> Result<bool>;

    /// Stores a new sign-in. Of the user's live ones, the oldest beyond `most` with it end.
    async fn create_session(&self, session: &LoginSession, most: usize) -> Result<()>;

    /// A sign-in, also one that has ended, at least until it would have expired.
    async fn session(&self, id: SessionId) -> Result<Option<LoginSession>>;

    /// The live sign-ins of a user, the newest first.
    async fn sessions(&self, user: &UserId, now: Timestamp) -> Result<Vec<LoginSession>>;

    /// Puts a new secret in the place of `from`, which becomes the previous one, where `from` is
    /// the present one and the session is live; whether it was. Of many at once, one succeeds.
    async fn rotate_session(
        &self,
        id: SessionId,
        from: &SecretHash,
        to: &SecretHash,
        now: Timestamp,
        expires_at: Timestamp,
    ) -> Result<bool>;

    /// Ends a sign-in; one that has ended, or isn't there, stays as it is.
    async fn end_session(&self, id: SessionId, now: Timestamp) -> Result<()>;

    /// Ends all live sign-ins of a user.
    async fn end_sessions(&self, user: &UserId, now: Timestamp) -> Result<()>;

    /// The sign-ins that were ended at `since` or later and have not expired at `now`, and whose
    /// they were, in no order.
    async fn ended_sessions(
        &self,
        since: Timestamp,
        now: Timestamp,
    ) -> Result<Vec<(SessionId, UserId)>>;

    /// Voids a user's tokens that were made up to `until`; an earlier time than the stored one
    /// changes nothing. A ban stays.
    async fn void_tokens(&self, user: &UserId, until: Timestamp) -> Result<()>;

    /// Bans a user and voids the tokens up to now, or takes the ban back.
    async fn set_banned(&self, user: &UserId, banned: bool, now: Timestamp) -> Result<()>;

    /// All users that are banned, and those whose tokens were voided at `since` or later
    /// ([`Revocation::void_until`]), in no order. What lies further back than
    /// [`REVOCATION_LIFE`] may be forgotten.
    async fn revocations(&self, since: Timestamp) -> Result<Vec<Revocation>>;
}
