//! What operators bring: a token to their routes, a password to the admin UI.

use std::fmt;
use std::str::FromStr;

use super::secret::{hash, is_same};
use crate::model::SecretHash;

/// What lets operators in. Its hash alone is kept.
#[derive(Clone, PartialEq, Eq)]
pub struct AdminToken(SecretHash);

/// Whoever reads a log does not get in with it.
impl fmt::Debug for AdminToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AdminToken(..)")
    }
}

/// A text that can't be an operator's token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "{} to {} letters, digits and signs of ASCII without spaces are allowed",
    AdminToken::MIN_CHARS,
    AdminToken::MAX_CHARS
)]
pub struct InvalidAdminToken;

impl AdminToken {
    const MIN_CHARS: usize = 16;
    /// A header has room for it.
    const MAX_CHARS: usize = 1_024;

    /// Whether somebody has brought this token. Takes as long wherever the two differ, and tells
    /// nothing of the token's length.
    pub fn is(&self, brought: &str) -> bool {
        is_same(&self.0, &hash(brought.as_bytes()))
    }
}

impl FromStr for AdminToken {
    type Err = InvalidAdminToken;

    fn from_str(text: &str) -> Result<Self, InvalidAdminToken> {
        let is_long_enough = (Self::MIN_CHARS..=Self::MAX_CHARS).contains(&text.len());
        if !is_long_enough || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(InvalidAdminToken);
        }
        Ok(Self(hash(text.as_bytes())))
    }
}

/// What lets operators into the admin UI. People type it: any text of some length. Its hash alone is
/// kept.
#[derive(Clone, PartialEq, Eq)]
pub struct AdminPassword(SecretHash);

/// Whoever reads a log does not get in with it.
impl fmt::Debug for AdminPassword {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AdminPassword(..)")
    }
}

/// A text that can't be the admin UI's password.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "{} to {} characters are allowed, none of them a control character",
    AdminPassword::MIN_CHARS,
    AdminPassword::MAX_CHARS
)]
pub struct InvalidAdminPassword;

impl AdminPassword {
    const MIN_CHARS: usize = 12;
    const MAX_CHARS: usize = 256;

    /// Whether somebody has brought this password. Takes as long wherever the two differ, and tells
    /// nothing of the password's length.
    pub fn is(&self, brought: &str) -> bool {
        is_same(&self.0, &hash(brought.as_bytes()))
    }
}

impl FromStr for AdminPassword {
    type Err = InvalidAdminPassword;

    fn from_str(text: &str) -> Result<Self, InvalidAdminPassword> {
        let is_long_enough = (Self::MIN_CHARS..=Self::MAX_CHARS).contains(&text.chars().count());
        if !is_long_enough || text.chars().any(char::is_control) {
            return Err(InvalidAdminPassword);
        }
        Ok(Self(hash(text.as_bytes())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_itself_alone_and_is_not_shown() {
        let token: AdminToken = "0123456789abcdef".parse().unwrap();
        assert!(token.is("0123456789abcdef"));
        for other in ["", "0123456789abcde", "0123456789abcdeg", "0123456789abcdef0"] {
            assert!(!token.is(other), "{other}");
        }
        assert_eq!(format!("{token:?}"), "AdminToken(..)");
    }

    #[test]
    fn what_is_short_or_fits_no_header_is_refused() {
        let long = "x".repeat(1_025);
        for text in
            ["", "0123456789abcde", "0123456789abcde ", "0123456789abcd\ne", "ééééééééé", &long]
        {
            assert_eq!(text.parse::<AdminToken>(), Err(InvalidAdminToken), "{text:?}");
        }
        assert!(long[1..].parse::<AdminToken>().is_ok());
    }

    #[test]
    fn a_password_is_any_text_of_some_length() {
        let password: AdminPassword = "ein längerer Satz".parse().unwrap();
        assert!(password.is("ein längerer Satz") && !password.is("ein längerer Sat"));
        assert_eq!(format!("{password:?}"), "AdminPassword(..)");
        let long = "x".repeat(257);
        for text in ["", "elevenchars", "twelve\nchars.", &long] {
            assert_eq!(text.parse::<AdminPassword>(), Err(InvalidAdminPassword), "{text:?}");
        }
        assert!(long[1..].parse::<AdminPassword>().is_ok());
    }
}
