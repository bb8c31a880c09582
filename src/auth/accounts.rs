//! Accounts: registering, signing in and out, and what an operator does to them.

use std::sync::atomic::Ordering;
use std::time::Duration;

use super::password::Password;
use super::secret::Secret;
use super::{Auth, Claims};
use crate::error::Error;
use crate::model::{
    Account, AccountKey, Email, Kept, LoginSession, Revocation, SessionId, Timestamp, UserId,
    Username,
};
use crate::store::Registered;

/// Most sign-ins of one user that can be refreshed; with one more the oldest ends.
const MAX_SESSIONS: usize = 100;

/// For how long the token before the present one still works: its answer may have been lost on the
/// way. Later it can only have been stolen.
const REUSE_GRACE: Duration = Duration::from_secs(30);

/// What somebody gets who has signed in.
#[derive(Debug)]
pub struct SignedIn {
    /// Who.
    pub account: Account,
    /// What requests bring.
    pub access_token: String,
    /// Until when that is good.
    pub access_expires_at: Timestamp,
    /// What gets the next access token, once.
    pub refresh_token: String,
    /// Until when that is good.
    pub refresh_expires_at: Timestamp,
    /// The time of all this.
    pub at: Timestamp,
}

impl Auth {
    /// Makes an account and signs its user in.
    ///
    /// # Errors
    /// [`Error::Conflict`] where the name or the address is taken, [`Error::Unavailable`].
    pub async fn register(
        &self,
        username: Username,
        email: Email,
        password: Password,
    ) -> Result<SignedIn, Error> {
        let account = Account {
            id: UserId::from_stored(&SessionId::mint().to_string()),
            username,
            email,
            password: self.passwords.hash(password).await?,
            created_at: self.now(),
        };
        let taken = match self.accounts.create_account(&account).await? {
            Registered::Done => {
                self.registrations.fetch_add(1, Ordering::Relaxed);
                return self.open_session(account).await;
            }
            Registered::UsernameTaken => "This username is taken",
            Registered::EmailTaken => "This email address is registered already",
        };
        Err(Error::Conflict(taken.into()))
    }

    /// Signs a user in. Without a key, which is what can't be anybody's name, the answer takes as
    /// long as with a wrong password.
    ///
    /// # Errors
    /// [`Error::Unauthorized`], the same for an unknown name and for a wrong password;
    /// [`Error::Forbidden`] for who is banned, [`Error::Unavailable`].
    pub async fn login(
        &self,
        key: Option<AccountKey>,
        password: &Password,
    ) -> Result<SignedIn, Error> {
        let account = match key {
            Some(key) => self.accounts.account(&key).await?,
            None => None,
        };
        let hash = account.as_ref().map(|account| &account.password);
        let is_right = self.passwords.verify(password, hash).await?;
        let Some(account) = account.filter(|_| is_right) else {
            return Err(wrong_password());
        };
        self.check_not_banned(&account.id)?;
        self.open_session(account).await
    }

    /// Changes a user's password; every sign-in ends, and the answer is a new one.
    ///
    /// # Errors
    /// [`Error::Unauthorized`] for a wrong password, [`Error::NotFound`] for a user without an
    /// account, [`Error::Unavailable`].
    pub async fn change_password(
        &self,
        user: &UserId,
        old: &Password,
        new: Password,
    ) -> Result<SignedIn, Error> {
        let account = self.account(user).await?;
        if !self.passwords.verify(old, Some(&account.password)).await? {
            return Err(wrong_password());
        }
        let password = self.passwords.hash(new).await?;
        if !self.accounts.set_password(user, &password).await? {
            return Err(no_account());
        }
        self.sign_out_everywhere(user).await?;
        self.open_session(account).await
    }

    /// The account of a user.
    ///
    /// # Errors
    /// [`Error::NotFound`] for who has none (another issuer's tokens need none),
    /// [`Error::Unavailable`].
    pub async fn account(&self, user: &UserId) -> Result<Account, Error> {
        let found = self.accounts.account(&AccountKey::Id(user.clone())).await?;
        found.ok_or_else(no_account)
    }

    /// Accounts in the order of their names, those after a name where one is given.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn accounts(
        &self,
        after: Option<&Username>,
        limit: usize,
    ) -> Result<Vec<Account>, Error> {
        Ok(self.accounts.accounts(after, limit).await?)
    }

    /// Gives the next tokens for a refresh token, which works once. One that was used before shows
    /// that somebody else has it too: then the sign-in ends.
    ///
    /// # Errors
    /// [`Error::Unauthorized`] for a token that is not good (any more), [`Error::Forbidden`] for who
    /// is banned, [`Error::Unavailable`].
    pub async fn refresh(&self, token: &str) -> Result<SignedIn, Error> {
        let (id, secret) = Secret::parse_token(token).ok_or_else(stale)?;
        let now = self.now();
        let session = self.accounts.session(id).await?.filter(|session| session.is_live(now));
        let session = session.ok_or_else(stale)?;
        if !secret.matches(&session.secret) {
            // Who has only guessed the id of a sign-in must not end it.
            if !session.previous.is_some_and(|previous| secret.matches(&previous)) {
                return Err(stale());
            }
            if now.since(session.rotated_at) > REUSE_GRACE {
                tracing::warn!(user = %session.user, "a refresh token was used twice; its sign-in ends");
                self.end_session(&session.user, id).await?;
                return Err(stale());
            }
        }
        self.check_not_banned(&session.user)?;
        let account = self.account(&session.user).await.map_err(|error| match error {
            Error::NotFound(_) => stale(),
            error => error,
        })?;
        let (next, until) = (mint()?, self.refresh_end(now));
        if !self.accounts.rotate_session(id, &session.secret, &next.hash(), now, until).await? {
            return Err(stale());
        }
        Ok(self.signed_in(account, id, &next, now, until))
    }

    /// Ends the sign-in that a refresh token belongs to, or all of its user; a token that is not
    /// good ends nothing.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn sign_out_with(&self, token: &str, everywhere: bool) -> Result<(), Error> {
        let Some((id, secret)) = Secret::parse_token(token) else { return Ok(()) };
        let found = self.accounts.session(id).await?;
        let now = self.now();
        let is_good =
            |session: &LoginSession| session.is_live(now) && secret.matches(&session.secret);
        match found.filter(is_good) {
            Some(session) if everywhere => self.sign_out_everywhere(&session.user).await,
            Some(session) => self.end_session(&session.user, id).await,
            None => Ok(()),
        }
    }

    /// Ends the sign-in that an access token belongs to. One of another issuer is voided with all
    /// others of its user that were made before.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn sign_out(&self, claims: &Claims) -> Result<(), Error> {
        match claims.session {
            Some(session) => self.end_session(&claims.user, session).await,
            None => self.sign_out_everywhere(&claims.user).await,
        }
    }

    /// Ends all sign-ins of a user and voids every token that was made up to now.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn sign_out_everywhere(&self, user: &UserId) -> Result<(), Error> {
        let now = self.now();
        self.accounts.end_sessions(user, now).await?;
        self.accounts.void_tokens(user, now).await?;
        let banned = self.is_banned(user);
        self.revoke(Revocation { user: user.clone(), void_until: now, banned }).await;
        self.note_written();
        Ok(())
    }

    /// What is kept of a user here: the account, where there is one, and live sign-ins.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn kept_of(&self, user: &UserId) -> Result<Vec<Kept>, Error> {
        let account = self.accounts.account(&AccountKey::Id(user.clone())).await?;
        let sessions = self.accounts.sessions(user, self.now()).await?;
        let account = account.map(Kept::Account).into_iter();
        Ok(account.chain(sessions.into_iter().map(Kept::Session)).collect())
    }

    /// Deletes a user's account with all sign-ins, and voids every token that was made up to now.
    /// May be repeated.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn forget(&self, user: &UserId) -> Result<(), Error> {
        self.accounts.delete_account(user).await?;
        self.sign_out_everywhere(user).await
    }

    /// Bans a user: every token is void and no new one is made.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn ban(&self, user: &UserId) -> Result<(), Error> {
        self.set_banned(user, true).await?;
        self.accounts.end_sessions(user, self.now()).await?;
        Ok(())
    }

    /// Lets a user in again, who has to sign in anew.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn unban(&self, user: &UserId) -> Result<(), Error> {
        self.set_banned(user, false).await
    }

    /// Whether a user is banned, as far as this server knows.
    pub fn is_banned(&self, user: &UserId) -> bool {
        self.revoked.lock().is_banned(user)
    }

    async fn set_banned(&self, user: &UserId, banned: bool) -> Result<(), Error> {
        let now = self.now();
        // Before and after: a reading that overlaps with any part of this does not count.
        self.ban_changes.fetch_add(1, Ordering::SeqCst);
        self.accounts.set_banned(user, banned, now).await?;
        // Lifting a ban leaves void what it has voided, and voids nothing more.
        let void_until = if banned { now } else { Timestamp(0) };
        self.revoke(Revocation { user: user.clone(), void_until, banned }).await;
        self.ban_changes.fetch_add(1, Ordering::SeqCst);
        self.note_written();
        Ok(())
    }

    async fn open_session(&self, account: Account) -> Result<SignedIn, Error> {
        let now = self.revoked.lock().after_void(&account.id, self.now());
        let (id, secret, until) = (SessionId::mint(), mint()?, self.refresh_end(now));
        let session = LoginSession {
            id,
            user: account.id.clone(),
            secret: secret.hash(),
            previous: None,
            rotated_at: now,
            created_at: now,
            expires_at: until,
            ended_at: None,
        };
        self.accounts.create_session(&session, MAX_SESSIONS).await?;
        Ok(self.signed_in(account, id, &secret, now, until))
    }

    fn signed_in(
        &self,
        account: Account,
        session: SessionId,
        secret: &Secret,
        at: Timestamp,
        refresh_expires_at: Timestamp,
    ) -> SignedIn {
        let refresh_token = secret.to_token(session);
        let (access_token, access_expires_at) = self.tokens.issue(&account.id, session, at);
        SignedIn { account, access_token, access_expires_at, refresh_token, refresh_expires_at, at }
    }

    fn refresh_end(&self, now: Timestamp) -> Timestamp {
        now.plus(self.refresh_life)
    }

    fn check_not_banned(&self, user: &UserId) -> Result<(), Error> {
        if self.is_banned(user) {
            return Err(Error::Forbidden("This account is banned".into()));
        }
        Ok(())
    }

    async fn end_session(&self, user: &UserId, session: SessionId) -> Result<(), Error> {
        let now = self.now();
        self.accounts.end_session(session, now).await?;
        self.void_session(user, session, now).await;
        self.note_written();
        Ok(())
    }
}

fn mint() -> Result<Secret, Error> {
    Secret::mint().map_err(|error| Error::Internal(error.into()))
}

fn wrong_password() -> Error {
    Error::Unauthorized("The name or the password is wrong".into())
}

fn stale() -> Error {
    Error::Unauthorized("The refresh token is not valid any more; sign in again".into())
}

fn no_account() -> Error {
    Error::NotFound("There is no account of this user".into())
}
