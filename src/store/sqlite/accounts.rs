//! Accounts, sign-ins and what tokens are worth.

use async_trait::async_trait;
use rusqlite::{OptionalExtension, Row, Transaction, params};

use super::{SqliteStore, limit_to_sql, rows, statements};
use crate::model::{
    Account, AccountKey, Email, LoginSession, PasswordHash, Revocation, SecretHash, SessionId,
    Timestamp, UserId, Username,
};
use crate::store::{AccountStore, REVOCATION_LIFE, Registered, Result};

/// Rows that have expired which one write deletes at the most. Each write adds one row, so this
/// keeps up, and none takes long because many expired while nothing was written.
const FORGOTTEN_AT_ONCE: i64 = 100;

#[async_trait]
impl AccountStore for SqliteStore {
    async fn create_account(&self, account: &Account) -> Result<Registered> {
        let account = account.clone();
        self.writer.run(move |transaction| create(transaction, &account)).await
    }

    async fn account(&self, key: &AccountKey) -> Result<Option<Account>> {
        let key = key.clone();
        self.readers.run(move |transaction| find(transaction, &key)).await
    }

    async fn accounts(&self, after: Option<&Username>, limit: usize) -> Result<Vec<Account>> {
        let after = after.map(Username::key).unwrap_or_default();
        self.readers.run(move |transaction| list(transaction, &after, limit)).await
    }

    async fn set_password(&self, user: &UserId, password: &PasswordHash) -> Result<bool> {
        let (user, password) = (user.clone(), password.clone());
        let set = move |transaction: &Transaction<'_>| {
            let mut statement = transaction.prepare_cached(statements::SET_PASSWORD)?;
            Ok(statement.execute([user.as_str(), &password.0])? > 0)
        };
        self.writer.run(set).await
    }

    async fn delete_account(&self, user: &UserId) -> Result<bool> {
        let user = user.clone();
        let delete = move |transaction: &Transaction<'_>| {
            transaction.prepare_cached(statements::DELETE_SESSIONS)?.execute([user.as_str()])?;
            let mut statement = transaction.prepare_cached(statements::DELETE_ACCOUNT)?;
            Ok(statement.execute([user.as_str()])? > 0)
        };
        self.writer.run(delete).await
    }

    async fn create_session(&self, session: &LoginSession, most: usize) -> Result<()> {
        let session = session.clone();
        self.writer.run(move |transaction| sign_in(transaction, &session, most)).await
    }

    async fn session(&self, id: SessionId) -> Result<Option<LoginSession>> {
        let find = move |transaction: &Transaction<'_>| {
            let mut statement = transaction.prepare_cached(statements::SESSION)?;
            statement.query_row([id.0.bytes()], session).optional()
        };
        self.readers.run(find).await
    }

    async fn sessions(&self, user: &UserId, now: Timestamp) -> Result<Vec<LoginSession>> {
        let user = user.clone();
        let list = move |transaction: &Transaction<'_>| {
            let mut statement = transaction.prepare_cached(statements::LIVE_SESSIONS)?;
            statement.query_map(params![user.as_str(), now.as_millis()], session)?.collect()
        };
        self.readers.run(list).await
    }

    async fn rotate_session(
        &self,
        id: SessionId,
        from: &SecretHash,
        to: &SecretHash,
        now: Timestamp,
        expires_at: Timestamp,
    ) -> Result<bool> {
        let (from, to) = (*from, *to);
        let rotate = move |transaction: &Transaction<'_>| {
            let (now, expires_at) = (now.as_millis(), expires_at.as_millis());
            let mut statement = transaction.prepare_cached(statements::ROTATE_SESSION)?;
            Ok(statement.execute(params![id.0.bytes(), from.0, to.0, now, expires_at])? > 0)
        };
        self.writer.run(rotate).await
    }

    async fn end_session(&self, id: SessionId, now: Timestamp) -> Result<()> {
        let end = move |transaction: &Transaction<'_>| {
            let mut statement = transaction.prepare_cached(statements::END_SESSION)?;
            statement.execute(params![id.0.bytes(), now.as_millis()])
        };
        self.writer.run(end).await?;
        Ok(())
    }

    async fn end_sessions(&self, user: &UserId, now: Timestamp) -> Result<()> {
        let user = user.clone();
        let end = move |transaction: &Transaction<'_>| {
            let mut statement = transaction.prepare_cached(statements::END_SESSIONS)?;
            statement.execute(params![user.as_str(), now.as_millis()])
        };
        self.writer.run(end).await?;
        Ok(())
    }

    async fn ended_sessions(
        &self,
        since: Timestamp,
        now: Timestamp,
    ) -> Result<Vec<(SessionId, UserId)>> {
        let list = move |transaction: &Transaction<'_>| {
            let mut statement = transaction.prepare_cached(statements::ENDED_SESSIONS)?;
            let times = [since.as_millis(), now.as_millis()];
            let ended = |row: &Row<'_>| Ok((rows::session_id(row, 0)?, rows::user(row, 1)?));
            statement.query_map(times, ended)?.collect()
        };
        self.readers.run(list).await
    }

    async fn void_tokens(&self, user: &UserId, until: Timestamp) -> Result<()> {
        let user = user.clone();
        let void = move |transaction: &Transaction<'_>| {
            revoke(transaction, statements::VOID_TOKENS, &user, until)
        };
        self.writer.run(void).await
    }

    async fn set_banned(&self, user: &UserId, banned: bool, now: Timestamp) -> Result<()> {
        let user = user.clone();
        let set = move |transaction: &Transaction<'_>| {
            if banned {
                return revoke(transaction, statements::BAN, &user, now);
            }
            transaction.prepare_cached(statements::UNBAN)?.execute([user.as_str()])?;
            Ok(())
        };
        self.writer.run(set).await
    }

    async fn revocations(&self, since: Timestamp) -> Result<Vec<Revocation>> {
        let list = move |transaction: &Transaction<'_>| {
            let mut statement = transaction.prepare_cached(statements::REVOCATIONS)?;
            statement.query_map([since.as_millis()], revocation)?.collect()
        };
        self.readers.run(list).await
    }
}

/// Stores a new account; one that is there, of an earlier try, stays as it is.
fn create(transaction: &Transaction<'_>, account: &Account) -> rusqlite::Result<Registered> {
    let (by_name, by_address) = (
        find(transaction, &AccountKey::Username(account.username.clone()))?,
        find(transaction, &AccountKey::Email(account.email.clone()))?,
    );
    match (by_name, by_address) {
        (Some(other), _) if other.id == account.id => return Ok(Registered::Done),
        (Some(_), _) => return Ok(Registered::UsernameTaken),
        (None, Some(_)) => return Ok(Registered::EmailTaken),
        (None, None) => {}
    }
    transaction.prepare_cached(statements::INSERT_ACCOUNT)?.execute(params![
        account.id.as_str(),
        account.username.as_str(),
        account.email.as_str(),
        account.password.0,
        account.created_at.as_millis(),
        account.username.key(),
        account.email.key(),
    ])?;
    Ok(Registered::Done)
}

fn find(transaction: &Transaction<'_>, key: &AccountKey) -> rusqlite::Result<Option<Account>> {
    let (sql, key) = match key {
        AccountKey::Id(user) => (statements::ACCOUNT_BY_ID, user.as_str().to_owned()),
        AccountKey::Username(name) => (statements::ACCOUNT_BY_USERNAME, name.key()),
        AccountKey::Email(email) => (statements::ACCOUNT_BY_EMAIL, email.key()),
    };
    transaction.prepare_cached(sql)?.query_row([key], account).optional()
}

fn list(
    transaction: &Transaction<'_>,
    after: &str,
    limit: usize,
) -> rusqlite::Result<Vec<Account>> {
    let mut statement = transaction.prepare_cached(statements::ACCOUNTS_AFTER)?;
    statement.query_map(params![after, limit_to_sql(limit)], account)?.collect()
}

/// Stores a sign-in, ends those that are one too many with it, and forgets expired ones. One that
/// is there, of an earlier try, stays as it is.
fn sign_in(
    transaction: &Transaction<'_>,
    session: &LoginSession,
    most: usize,
) -> rusqlite::Result<()> {
    let now = session.created_at.as_millis();
    let mut forget = transaction.prepare_cached(statements::FORGET_SESSIONS)?;
    forget.execute([now, FORGOTTEN_AT_ONCE])?;
    transaction.prepare_cached(statements::INSERT_SESSION)?.execute(params![
        session.id.0.bytes(),
        session.user.as_str(),
        session.secret.0,
        session.previous.map(|secret| secret.0),
        session.rotated_at.as_millis(),
        now,
        session.expires_at.as_millis(),
        session.ended_at.map(Timestamp::as_millis),
    ])?;
    let mut end = transaction.prepare_cached(statements::END_OLD_SESSIONS)?;
    end.execute(params![session.user.as_str(), now, limit_to_sql(most)])?;
    Ok(())
}

/// Runs a statement that voids tokens, and forgets what is long past at that time.
fn revoke(
    transaction: &Transaction<'_>,
    sql: &str,
    user: &UserId,
    until: Timestamp,
) -> rusqlite::Result<()> {
    let until = until.as_millis();
    let forgotten = until.saturating_sub(REVOCATION_LIFE.as_millis() as i64);
    let mut forget = transaction.prepare_cached(statements::FORGET_REVOCATIONS)?;
    forget.execute([forgotten, FORGOTTEN_AT_ONCE])?;
    transaction.prepare_cached(sql)?.execute(params![user.as_str(), until])?;
    Ok(())
}

fn account(row: &Row<'_>) -> rusqlite::Result<Account> {
    Ok(Account {
        id: rows::user(row, 0)?,
        username: Username::from_stored(row.get_ref(1)?.as_str()?),
        email: Email::from_stored(row.get_ref(2)?.as_str()?),
        password: PasswordHash(row.get(3)?),
        created_at: Timestamp(row.get(4)?),
    })
}

fn session(row: &Row<'_>) -> rusqlite::Result<LoginSession> {
    Ok(LoginSession {
        id: rows::session_id(row, 0)?,
        user: rows::user(row, 1)?,
        secret: SecretHash(row.get(2)?),
        previous: row.get::<_, Option<[u8; 32]>>(3)?.map(SecretHash),
        rotated_at: Timestamp(row.get(4)?),
        created_at: Timestamp(row.get(5)?),
        expires_at: Timestamp(row.get(6)?),
        ended_at: row.get::<_, Option<i64>>(7)?.map(Timestamp),
    })
}

fn revocation(row: &Row<'_>) -> rusqlite::Result<Revocation> {
    Ok(Revocation {
        user: rows::user(row, 0)?,
        void_until: Timestamp(row.get(1)?),
        banned: row.get(2)?,
    })
}
