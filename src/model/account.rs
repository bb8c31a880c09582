//! Accounts: users who sign in with a name and a password.

use serde::{Deserialize, Serialize};

use std::fmt;

use super::{Timestamp, UserId};

/// Why a text is no name or address of an account; the text is meant for the client.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidAccount {
    /// See [`Username`].
    #[error(
        "a username is {min} to {max} letters a to z, digits, '-' or '_'",
        min = Username::MIN_CHARS,
        max = Username::MAX_CHARS
    )]
    Username,
    /// See [`Email`].
    #[error("an email address has the form name@example.com, in up to {max} bytes", max = Email::MAX_BYTES)]
    Email,
}

/// The name that a user signs in with, as the user has written it. Names that differ in case alone
/// are the same.
#[derive(Debug, Clone)]
pub struct Username(String);

impl Username {
    /// Shortest name, in characters.
    pub const MIN_CHARS: usize = 2;
    /// Longest name, in characters.
    pub const MAX_CHARS: usize = 32;

    /// Checks a text from outside. Letters of other alphabets look like these, and a name that
    /// looks like another one is that of an impostor.
    pub fn parse(text: &str) -> Result<Self, InvalidAccount> {
        let fits = (Self::MIN_CHARS..=Self::MAX_CHARS).contains(&text.len());
        let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
        if fits && text.bytes().all(plain) {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidAccount::Username)
        }
    }

    /// Takes a text that a store already holds.
    pub fn from_stored(text: &str) -> Self {
        Self(text.to_owned())
    }

    /// The name as it was written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What is the same for all spellings of the name.
    pub fn key(&self) -> String {
        self.0.to_ascii_lowercase()
    }
}

impl PartialEq for Username {
    fn eq(&self, other: &Self) -> bool {
        self.0.eq_ignore_ascii_case(&other.0)
    }
}

impl Eq for Username {}

/// An email address, as its user has written it. Addresses that differ in case alone are the same.
/// Whether mail arrives there is not known.
#[derive(Debug, Clone)]
pub struct Email(String);

impl Email {
    /// Longest address, in bytes (RFC 5321, 4.5.3.1.3).
    pub const MAX_BYTES: usize = 254;

    /// Checks a text from outside: something before the last `@`, and a domain with a dot behind
    /// it. More would refuse addresses that work.
    pub fn parse(text: &str) -> Result<Self, InvalidAccount> {
        let bad = |c: char| c.is_control() || c.is_whitespace();
        let Some((local, domain)) = text.rsplit_once('@') else {
            return Err(InvalidAccount::Email);
        };
        let labels = || domain.split('.');
        let is_address = text.len() <= Self::MAX_BYTES
            && !text.chars().any(bad)
            && !local.is_empty()
            && labels().count() > 1
            && labels().all(|label| !label.is_empty());
        is_address.then(|| Self(text.to_owned())).ok_or(InvalidAccount::Email)
    }

    /// Takes a text that a store already holds.
    pub fn from_stored(text: &str) -> Self {
        Self(text.to_owned())
    }

    /// The address as it was written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What is the same for all spellings of the address.
    pub fn key(&self) -> String {
        self.0.to_lowercase()
    }
}

impl PartialEq for Email {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl Eq for Email {}

/// What is kept of a password: a PHC string (`$argon2id$...`), from which nobody gets it back.
#[derive(Clone, PartialEq, Eq)]
pub struct PasswordHash(pub String);

/// A hash can be guessed at: it is no business of a log.
impl fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PasswordHash(..)")
    }
}

/// A user who signs in with a name and a password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// Who it is, in messages and groups. It is never given again.
    pub id: UserId,
    /// What the user signs in with and is called.
    pub username: Username,
    /// The other thing that the user may sign in with.
    pub email: Email,
    /// What the password is held against.
    pub password: PasswordHash,
    /// When it was made.
    pub created_at: Timestamp,
}

/// What an account is found by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AccountKey {
    /// By who it is.
    Id(UserId),
    /// By its name.
    Username(Username),
    /// By its address.
    Email(Email),
}

/// As one text, the same for all spellings.
impl fmt::Display for AccountKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Id(user) => write!(f, "id {user}"),
            Self::Username(name) => write!(f, "username {}", name.key()),
            Self::Email(email) => write!(f, "email {}", email.key()),
        }
    }
}

/// What is kept of a refresh token's secret: its SHA-256.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct SecretHash(pub [u8; 32]);

impl fmt::Debug for SecretHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretHash(..)")
    }
}

/// One sign-in of a user, on one device: what its refresh tokens are held against.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoginSession {
    /// Named by all tokens of this sign-in.
    pub id: super::SessionId,
    /// Whose it is.
    pub user: UserId,
    /// The secret of the refresh token that works.
    pub secret: SecretHash,
    /// The secret of the token before it.
    pub previous: Option<SecretHash>,
    /// When the present token took the place of the one before.
    pub rotated_at: Timestamp,
    /// When the user signed in.
    pub created_at: Timestamp,
    /// From when on it can't be refreshed any more.
    pub expires_at: Timestamp,
    /// When it was ended, if it was: by its user, or by the theft of a token.
    pub ended_at: Option<Timestamp>,
}

impl LoginSession {
    /// Whether it can still be refreshed.
    pub fn is_live(&self, now: Timestamp) -> bool {
        self.ended_at.is_none() && self.expires_at > now
    }
}

/// Why tokens are worth nothing any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum EndReason {
    /// The user has signed out, or changed the password.
    SignedOut,
    /// An operator has banned the user.
    Banned,
    /// Their time is over.
    Expired,
}

impl EndReason {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::SignedOut => "signed_out",
            Self::Banned => "banned",
            Self::Expired => "token_expired",
        }
    }
}

/// What a user's tokens are worth.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Revocation {
    /// Whose tokens.
    pub user: UserId,
    /// Tokens that were made up to this time are void.
    pub void_until: Timestamp,
    /// Whether the user is banned: no token is worth anything.
    pub banned: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usernames_are_plain_and_the_same_in_any_case() {
        for good in ["ab", "Ann_1", "a-b", &"x".repeat(32)] {
            assert_eq!(Username::parse(good).unwrap().as_str(), good);
        }
        for bad in ["", "a", "a b", "änn", "а-cyrillic", "a\0b", "a.b", "a@b", &"x".repeat(33)] {
            assert_eq!(Username::parse(bad).unwrap_err(), InvalidAccount::Username, "{bad:?}");
        }
        assert_eq!(Username::parse("Ann").unwrap(), Username::parse("aNN").unwrap());
        assert_eq!(Username::parse("Ann").unwrap().key(), "ann");
    }

    #[test]
    fn an_email_address_has_two_sides_and_a_domain() {
        for good in ["a@b.c", "a.b+c@mail.example.com", "\"a@b\"@x.org", "ü@exämple.org"] {
            assert_eq!(Email::parse(good).unwrap().as_str(), good);
        }
        let long = format!("{}@b.c", "x".repeat(251));
        for bad in ["", "a", "@b.c", "a@", "a@b", "a@b.", "a@.c", "a b@c.d", "a\n@b.c", &long] {
            assert_eq!(Email::parse(bad).unwrap_err(), InvalidAccount::Email, "{bad:?}");
        }
        assert_eq!(Email::parse("Ann@X.org").unwrap(), Email::parse("ann@x.ORG").unwrap());
    }

    #[test]
    fn hashes_are_not_shown() {
        let shown = format!("{:?} {:?}", PasswordHash("$argon2id$".into()), SecretHash([7; 32]));
        assert_eq!(shown, "PasswordHash(..) SecretHash(..)");
    }
}
