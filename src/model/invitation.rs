//! Invitations: links that let whoever has them into a group.

use std::fmt;

use rand::TryRng;
use rand::rngs::{SysError, SysRng};

use super::{GroupId, Timestamp, UserId};

/// What a link holds: 128 random bits, which nobody guesses, as 32 hexadecimal digits.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Token(String);

impl Token {
    const DIGITS: usize = 32;

    /// A new one, with randomness of the operating system.
    ///
    /// # Errors
    /// When the system has none.
    pub fn mint() -> Result<Self, SysError> {
        let mut bits = [0; 16];
        SysRng.try_fill_bytes(&mut bits)?;
        Ok(Self(format!("{:032x}", u128::from_be_bytes(bits))))
    }

    /// Reads a text from outside; `None` can't be a token.
    pub fn parse(text: &str) -> Option<Self> {
        let is_digit = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
        let is_token = text.len() == Self::DIGITS && text.bytes().all(is_digit);
        is_token.then(|| Self(text.to_owned()))
    }

    /// Takes a text that a store already holds.
    pub fn from_stored(text: &str) -> Self {
        Self(text.to_owned())
    }

    /// The token as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Whoever reads a log does not get in with it.
impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(..)")
    }
}

/// A link into a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invitation {
    /// What the link holds.
    pub token: Token,
    /// Where it leads.
    pub group: GroupId,
    /// Who has made it.
    pub created_by: UserId,
    /// When.
    pub created_at: Timestamp,
    /// From when on it does not work. Revoking it makes that the present.
    pub expires_at: Timestamp,
    /// How many may come in with it, where that is limited.
    pub max_uses: Option<u32>,
    /// How many have.
    pub uses: u32,
}

impl Invitation {
    /// Whether somebody may still come in with it.
    pub fn works_at(&self, now: Timestamp) -> bool {
        self.expires_at > now && self.max_uses.is_none_or(|most| self.uses < most)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_32_digits_and_another_one_each_time() {
        let token = Token::mint().unwrap();
        assert_eq!(Token::parse(token.as_str()), Some(token.clone()));
        assert_ne!(Token::mint().unwrap(), token);
        assert_eq!(format!("{token:?}"), "Token(..)");
        let upper = "A".repeat(32);
        for bad in ["", "0", &"0".repeat(31), &"0".repeat(33), &"g".repeat(32), &upper] {
            assert_eq!(Token::parse(bad), None, "{bad:?}");
        }
    }
}
