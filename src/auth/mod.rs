//! Who is asking: open sign-in, or accounts and tokens.
//!
//! [`Auth`] makes tokens for accounts and checks those that clients bring. A token is checked
//! without the store, so that a database that is away locks nobody out; what voids a token before
//! its time (a sign-out, a ban) is kept in memory (`revoked`) and read again from the store now
//! and then, for other servers on the same database may have written it.

mod accounts;
mod admin;
mod caller;
mod config;
mod jwks;
mod keys;
mod metrics;
mod password;
mod provider;
mod revoked;
mod secret;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
mod tokens;
mod watch;

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::watch::{Receiver, Sender};
use tokio::sync::{Notify, mpsc};

pub use accounts::SignedIn;
pub use admin::{AdminPassword, AdminToken, InvalidAdminPassword, InvalidAdminToken};
pub use caller::{Caller, Claims};
pub use config::{InvalidTokenConfig, OwnAlgorithm, SecretKey, TokenConfig, WeakSecret};
pub use metrics::RegistrationsCollector;
pub use password::{InvalidPassword, Password};

use self::password::Passwords;
use self::revoked::Revoked;
use self::tokens::{TokenError, Tokens};
use crate::clock::Clock;
use crate::error::Error;
use crate::model::{EndReason, Kept, SessionId, Timestamp, UserId};
use crate::store::AccountStore;

/// Ends that may wait to be told; whoever ends more at once waits.
const ENDS: usize = 1_024;

/// How the server knows who is asking.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum AuthMode {
    /// A client's `user_id` is believed.
    #[default]
    Open,
    /// A client brings a token.
    Jwt,
}

impl AuthMode {
    /// The word that settings and `/health` use.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Jwt => "jwt",
        }
    }
}

/// Settings of sign-in.
#[derive(Debug, Clone, clap::Args)]
#[group(skip)]
#[command(next_help_heading = "Sign-in")]
pub struct Config {
    /// How users prove who they are: jwt by a token; open believes each client's user_id. Must be
    /// given where HOST is not a loopback address, and where there is a key for tokens
    #[arg(long, value_name = "MODE", value_enum)]
    pub auth_mode: Option<AuthMode>,
}

/// Nobody has said how users sign in, and it can't be guessed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AuthModeNotGiven {
    /// The server would trust everybody who can reach it.
    #[error(
        "HOST is {0}, which other machines can reach, but AUTH_MODE is not given.\n  \
         Set AUTH_MODE=jwt and SECRET_KEY to let users in by a token, HOST=127.0.0.1 to serve this \
         machine alone, or AUTH_MODE=open to let everybody who reaches the server act as any user."
    )]
    Reachable(IpAddr),
    /// There is a key, and nothing would be checked with it.
    #[error(
        "SECRET_KEY, JWKS_URL or JWT_PUBLIC_KEY is given, but AUTH_MODE is not.\n  \
         Set AUTH_MODE=jwt to let users in by a token, or AUTH_MODE=open to believe each client's \
         user_id."
    )]
    Unused,
}

impl Config {
    /// How the server knows who is asking.
    pub fn mode(&self) -> AuthMode {
        self.auth_mode.unwrap_or_default()
    }

    /// Holds the mode against the address to listen on, and against whether there are keys: beyond
    /// this machine, and where it may be a mistake, it must have been chosen.
    ///
    /// # Errors
    /// It must be given.
    pub fn check(&self, host: IpAddr, has_keys: bool) -> Result<(), AuthModeNotGiven> {
        match self.auth_mode {
            Some(_) => Ok(()),
            None if !host.is_loopback() => Err(AuthModeNotGiven::Reachable(host)),
            None if has_keys => Err(AuthModeNotGiven::Unused),
            None => Ok(()),
        }
    }
}

impl From<TokenError> for Error {
    fn from(error: TokenError) -> Self {
        if let TokenError::Invalid(reason) = error {
            tracing::debug!(reason, "a token was refused");
        }
        match error {
            TokenError::Unavailable => Self::Unavailable(Some(error.into())),
            error => Self::Unauthorized(error.to_string().into()),
        }
    }
}

/// The token in an `Authorization` header (RFC 6750).
pub fn bearer(header: &str) -> Option<&str> {
    let (scheme, token) = header.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// How users sign in, and what that takes.
#[derive(Clone)]
pub enum SignIn {
    /// Whom a client names is believed.
    Open,
    /// By token.
    Tokens(Arc<Auth>),
}

impl SignIn {
    /// Another server may have written which tokens are void: they are read at once.
    pub fn read_again(&self) {
        if let Self::Tokens(auth) = self {
            auth.read_again();
        }
    }

    /// The mode.
    pub fn mode(&self) -> AuthMode {
        match self {
            Self::Open => AuthMode::Open,
            Self::Tokens(_) => AuthMode::Jwt,
        }
    }

    /// Whether a token that was good is void by now.
    pub fn is_void(&self, claims: &Claims) -> bool {
        match self {
            Self::Open => false,
            Self::Tokens(auth) => auth.is_void(claims),
        }
    }
}

impl SignIn {
    /// What is kept of a user who signs in here.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn kept_of(&self, user: &UserId) -> Result<Vec<Kept>, Error> {
        match self {
            Self::Open => Ok(Vec::new()),
            Self::Tokens(auth) => auth.kept_of(user).await,
        }
    }

    /// Ends all that lets a user in, for good: account, sign-ins, tokens and sockets.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn forget(&self, user: &UserId) -> Result<(), Error> {
        match self {
            Self::Open => Ok(()),
            Self::Tokens(auth) => auth.forget(user).await,
        }
    }
}

/// Tokens that are void from now on; whoever lives on one of them has to go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    /// Whose tokens.
    pub user: UserId,
    /// Those of one sign-in, where not all are void.
    pub session: Option<SessionId>,
    /// Why.
    pub reason: EndReason,
}

/// Makes and checks tokens; one per server.
pub struct Auth {
    tokens: Tokens,
    passwords: Passwords,
    accounts: Arc<dyn AccountStore>,
    clock: Arc<dyn Clock>,
    refresh_life: Duration,
    access_life: Duration,
    revoked: Mutex<Revoked>,
    /// Counts how often a ban of this server began or ended to change.
    ban_changes: AtomicU64,
    /// Accounts made here since the start.
    registrations: AtomicU64,
    ended: mpsc::Sender<Ended>,
    /// Counts what this server has written of void tokens.
    written: Sender<u64>,
    /// Has the store asked at once which tokens are void.
    read_again: Notify,
}

impl Auth {
    /// Over a store of accounts; and where it tells which tokens are void.
    ///
    /// # Errors
    /// A setting that is missing or too weak; the text names it.
    pub fn new(
        config: &TokenConfig,
        accounts: Arc<dyn AccountStore>,
        clock: Arc<dyn Clock>,
    ) -> Result<(Self, mpsc::Receiver<Ended>), InvalidTokenConfig> {
        let (ended, ends) = mpsc::channel(ENDS);
        let auth = Self {
            tokens: Tokens::new(config)?,
            passwords: Passwords::new(),
            accounts,
            clock,
            refresh_life: config.refresh_life(),
            access_life: config.access_life(),
            revoked: Mutex::default(),
            ban_changes: AtomicU64::new(0),
            registrations: AtomicU64::new(0),
            ended,
            written: Sender::new(0),
            read_again: Notify::new(),
        };
        Ok((auth, ends))
    }

    /// Changes whenever this server has written which tokens are void.
    pub fn written(&self) -> Receiver<u64> {
        self.written.subscribe()
    }

    /// Another server may have written which tokens are void.
    pub fn read_again(&self) {
        self.read_again.notify_one();
    }

    /// The time of day by which tokens are judged.
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// What a token says, if it is good.
    ///
    /// # Errors
    /// [`Error::Unauthorized`] with a text for the client, [`Error::Unavailable`] where the keys
    /// of another issuer can't be had.
    pub async fn verify(&self, token: &str) -> Result<Claims, Error> {
        let claims = self.tokens.verify(token, self.now()).await?;
        if self.is_void(&claims) {
            return Err(Error::Unauthorized("The token has been revoked; sign in again".into()));
        }
        Ok(claims)
    }

    /// Whether a token that was good is void by now.
    pub fn is_void(&self, claims: &Claims) -> bool {
        claims.expires_at <= self.now() || self.revoked.lock().voids(claims)
    }

    /// Keeps the keys of another issuer, where there is one, fresh for ever.
    pub async fn keep_keys(&self) {
        self.tokens.keep_fresh().await;
    }

    /// Tells that tokens are void.
    async fn tell(&self, user: &UserId, session: Option<SessionId>, reason: EndReason) {
        // The other end lives as long as there are sockets.
        let _ = self.ended.send(Ended { user: user.clone(), session, reason }).await;
    }
}
