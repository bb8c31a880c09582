//! Accounts, and what tokens are worth. The queries are data, as those in
//! [`queries`](super::queries) are, and all of them ask the primary: a sign-in decides on what was
//! just written. What clients have written is a value in a filter, never a field or an operator.

use std::collections::HashMap;

use async_trait::async_trait;
use bson::{Bson, Document, RawDocumentBuf, doc};
use mongodb::Collection;

use super::indexes::{self, ACCOUNT_EMAIL, ACCOUNT_USERNAME, BANNED, REVOCATION_TIME};
use super::queries::Find;
use super::{ACCOUNTS, MongoStore, REVOCATIONS, WRITE_LIMIT, documents, errors, reads};
use crate::model::{
    Account, AccountKey, Email, LoginSession, PasswordHash, Revocation, SecretHash, SessionId,
    Timestamp, UserId, Username,
};
use crate::store::{AccountStore, REVOCATION_LIFE, Registered, Result, StoreError};

/// How often an account is stored that is refused for another one which is gone when looked for.
const ATTEMPTS: u32 = 3;

/// One account.
pub fn account(key: &AccountKey) -> Find {
    let (index, filter) = match key {
        AccountKey::Id(user) => return Find::by_id(ACCOUNTS, user.as_str()),
        AccountKey::Username(name) => (ACCOUNT_USERNAME, doc! {"username_key": name.key()}),
        AccountKey::Email(email) => (ACCOUNT_EMAIL, doc! {"email_key": email.key()}),
    };
    Find { limit: 1, ..Find::all(index, filter) }
}

/// Accounts in the order of their names, those after a name where one is given. No name is empty.
pub fn accounts(after: Option<&Username>, limit: usize) -> Find {
    let after = after.map(Username::key).unwrap_or_default();
    let filter = doc! {"username_key": {"$gt": after}};
    Find::ordered(ACCOUNT_USERNAME, filter, doc! {"username_key": 1}, limit)
}

/// The users that are banned.
pub fn banned() -> Find {
    Find::all(BANNED, doc! {"banned": true})
}

/// The users whose tokens were voided at a time or later, banned or not.
pub fn voided(since: Timestamp) -> Find {
    Find::all(REVOCATION_TIME, doc! {"void_until": {"$gte": documents::date(since)}})
}

/// Voids a user's tokens up to a time, unless that was done up to a later one, and bans the user
/// where that is wanted.
fn revoke(user: &UserId, until: Timestamp, ban: bool) -> Document {
    let void_until = doc! {"$max": ["$void_until", documents::date(until)]};
    let banned: Bson = if ban { true.into() } else { doc! {"$ifNull": ["$banned", false]}.into() };
    let fields = doc! {"void_until": void_until, "banned": banned};
    doc! {
        "q": {"_id": user.as_str()},
        "u": [{"$set": fields}, forget()],
        "upsert": true,
    }
}

/// Takes a ban back, where there is one.
fn unban(user: &UserId) -> Document {
    doc! {"q": {"_id": user.as_str()}, "u": [{"$set": {"banned": false}}, forget()]}
}

/// The stage that says when a revocation goes by itself: not while it is a ban.
fn forget() -> Document {
    let end = doc! {"$add": ["$void_until", REVOCATION_LIFE.as_millis() as i64]};
    doc! {"$set": {"forget_at": {"$cond": ["$banned", "$$REMOVE", end]}}}
}

fn from_account(account: &Account) -> Document {
    doc! {
        "_id": account.id.as_str(),
        "username": account.username.as_str(),
        "username_key": account.username.key(),
        "email": account.email.as_str(),
        "email_key": account.email.key(),
        "password": &account.password.0,
        "created_at": documents::date(account.created_at),
    }
}

fn to_account(row: &RawDocumentBuf) -> Option<Account> {
    Some(Account {
        id: UserId::from_stored(row.get_str("_id").ok()?),
        username: Username::from_stored(row.get_str("username").ok()?),
        email: Email::from_stored(row.get_str("email").ok()?),
        password: PasswordHash(row.get_str("password").ok()?.to_owned()),
        created_at: documents::timestamp(row.get_datetime("created_at").ok()?),
    })
}

fn to_revocation(row: &RawDocumentBuf) -> Option<Revocation> {
    Some(Revocation {
        user: UserId::from_stored(row.get_str("_id").ok()?),
        void_until: documents::timestamp(row.get_datetime("void_until").ok()?),
        banned: row.get_bool("banned").ok()?,
    })
}

#[async_trait]
impl AccountStore for MongoStore {
    async fn create_account(&self, account: &Account) -> Result<Registered> {
        self.keep_accounts_apart().await?;
        let rows = self.account_rows().await?;
        let row = RawDocumentBuf::try_from(from_account(account))
            .map_err(|error| StoreError::Permanent(error.into()))?;
        let mut attempts = 0;
        loop {
            attempts += 1;
            match self.timed(WRITE_LIMIT, rows.insert_one(&row)).await? {
                Ok(_) => return Ok(Registered::Done),
                Err(error) if errors::is_duplicate(&error) => {
                    if let Some(outcome) = self.in_the_way(account).await? {
                        return Ok(outcome);
                    }
                    if attempts == ATTEMPTS {
                        return Err(errors::classify(error));
                    }
                }
                Err(error) => return Err(errors::classify(error)),
            }
        }
    }

    async fn account(&self, key: &AccountKey) -> Result<Option<Account>> {
        let rows = self.find_on_primary(&account(key)).await?;
        Ok(reads::readable(&rows, to_account).pop())
    }

    async fn accounts(&self, after: Option<&Username>, limit: usize) -> Result<Vec<Account>> {
        // A limit of 0 means none to the server.
        if limit == 0 {
            return Ok(Vec::new());
        }
        let rows = self.find_on_primary(&accounts(after, limit)).await?;
        Ok(reads::readable(&rows, to_account))
    }

    async fn set_password(&self, user: &UserId, password: &PasswordHash) -> Result<bool> {
        let change = doc! {"$set": {"password": &password.0}};
        let rows = self.account_rows().await?;
        let set = self.write(rows.update_one(doc! {"_id": user.as_str()}, change)).await?;
        Ok(set.matched_count > 0)
    }

    /// The sessions go first: while the account is there, all of this is done again after an error.
    /// And once more, as there may have been a sign-in in between.
    async fn delete_account(&self, user: &UserId) -> Result<bool> {
        self.remove_sessions(user).await?;
        let rows = self.account_rows().await?;
        let deleted = self.write(rows.delete_one(doc! {"_id": user.as_str()})).await?;
        self.remove_sessions(user).await?;
        Ok(deleted.deleted_count > 0)
    }

    async fn create_session(&self, session: &LoginSession, most: usize) -> Result<()> {
        self.sign_in(session, most).await
    }

    async fn session(&self, id: SessionId) -> Result<Option<LoginSession>> {
        self.find_session(id).await
    }

    async fn sessions(&self, user: &UserId, now: Timestamp) -> Result<Vec<LoginSession>> {
        self.find_live(user, now).await
    }

    async fn rotate_session(
        &self,
        id: SessionId,
        from: &SecretHash,
        to: &SecretHash,
        now: Timestamp,
        expires_at: Timestamp,
    ) -> Result<bool> {
        self.rotate(id, [from, to], now, expires_at).await
    }

    async fn end_session(&self, id: SessionId, now: Timestamp) -> Result<()> {
        self.end_one(id, now).await
    }

    async fn end_sessions(&self, user: &UserId, now: Timestamp) -> Result<()> {
        self.end_all_of(user, now).await
    }

    async fn ended_sessions(
        &self,
        since: Timestamp,
        now: Timestamp,
    ) -> Result<Vec<(SessionId, UserId)>> {
        self.find_ended(since, now).await
    }

    async fn void_tokens(&self, user: &UserId, until: Timestamp) -> Result<()> {
        self.update(REVOCATIONS, &[revoke(user, until, false)], errors::class_of_upsert).await?;
        Ok(())
    }

    async fn set_banned(&self, user: &UserId, banned: bool, now: Timestamp) -> Result<()> {
        let statement = if banned { revoke(user, now, true) } else { unban(user) };
        self.update(REVOCATIONS, &[statement], errors::class_of_upsert).await?;
        Ok(())
    }

    /// Two queries: whoever is banned in between is found by the second, and whoever is no longer
    /// banned was found by the first.
    async fn revocations(&self, since: Timestamp) -> Result<Vec<Revocation>> {
        let mut rows = self.find_on_primary(&banned()).await?;
        rows.extend(self.find_on_primary(&voided(since)).await?);
        let found = reads::readable(&rows, to_revocation);
        let latest: HashMap<_, _> =
            found.into_iter().map(|revocation| (revocation.user.clone(), revocation)).collect();
        Ok(latest.into_values().collect())
    }
}

impl MongoStore {
    /// Makes sure that no two accounts can share a name or an address. Before the first one is
    /// stored it is too early to rely on [`MongoStore::make_indexes`], which may still be at work:
    /// two that do share one would keep the index from being made.
    pub(super) async fn keep_accounts_apart(&self) -> Result<()> {
        let make_sure = async || {
            let accounts = self.place().await?.database.collection(ACCOUNTS);
            self.make_missing(&accounts).await?;
            let present = self.present(&accounts).await?;
            if [ACCOUNT_USERNAME, ACCOUNT_EMAIL]
                .iter()
                .all(|index| indexes::is_there(index, &present))
            {
                return Ok(());
            }
            Err(StoreError::Configuration(anyhow::anyhow!(
                "the collection `{ACCOUNTS}` has no unique indexes on `username_key` and \
                 `email_key`; a warning in the log says what is in their way"
            )))
        };
        let made = self.accounts_apart.get_or_try_init(make_sure);
        let made = tokio::time::timeout(WRITE_LIMIT, made).await;
        made.map_err(|_| errors::no_answer(WRITE_LIMIT))?.copied()
    }

    /// Why an account was refused, as far as that can still be seen: the server names one index
    /// alone, whichever it has looked at first.
    async fn in_the_way(&self, account: &Account) -> Result<Option<Registered>> {
        let name = AccountKey::Username(account.username.clone());
        if let Some(other) = self.account(&name).await? {
            // It may be there from an earlier try.
            let is_own = other.id == account.id;
            return Ok(Some(if is_own { Registered::Done } else { Registered::UsernameTaken }));
        }
        let address = AccountKey::Email(account.email.clone());
        Ok(self.account(&address).await?.map(|_| Registered::EmailTaken))
    }

    async fn account_rows(&self) -> Result<Collection<RawDocumentBuf>> {
        Ok(self.place().await?.database.collection(ACCOUNTS))
    }
}
