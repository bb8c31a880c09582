//! Refresh tokens: secrets of which the store keeps a hash alone.

use std::fmt;
use std::hint::black_box;

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use rand::TryRng;
use rand::rngs::{SysError, SysRng};
use ring::digest;

use crate::model::{SecretHash, SessionId};

/// What makes a refresh token worth something: 256 random bits, which nobody guesses.
#[derive(Clone)]
pub(super) struct Secret([u8; Secret::BYTES]);

/// Whoever reads a log does not get in with it.
impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

impl Secret {
    const BYTES: usize = 32;
    /// Hexadecimal digits of a session's id.
    const SESSION_CHARS: usize = 24;
    /// 256 bits in base64url without padding.
    const SECRET_CHARS: usize = 43;

    /// A new one, with randomness of the operating system.
    ///
    /// # Errors
    /// When the system has none.
    pub(super) fn mint() -> Result<Self, SysError> {
        let mut bytes = [0; Self::BYTES];
        SysRng.try_fill_bytes(&mut bytes)?;
        Ok(Self(bytes))
    }

    /// The refresh token of a sign-in: `<24 hexadecimal digits>.<43 characters of base64url>`.
    pub(super) fn to_token(&self, session: SessionId) -> String {
        format!("{session}.{}", BASE64_URL_SAFE_NO_PAD.encode(self.0))
    }

    /// Reads a refresh token from outside; `None` can't be one.
    pub(super) fn parse_token(text: &str) -> Option<(SessionId, Self)> {
        let (session, secret) = text.split_once('.')?;
        if session.len() != Self::SESSION_CHARS || secret.len() != Self::SECRET_CHARS {
            return None;
        }
        let session = SessionId::parse(session).ok()?;
        let bytes = BASE64_URL_SAFE_NO_PAD.decode(secret).ok()?;
        Some((session, Self(bytes.try_into().ok()?)))
    }

    /// What the store keeps. Without salt and slowness, which are for secrets that people choose.
    pub(super) fn hash(&self) -> SecretHash {
        hash(&self.0)
    }

    /// Whether this is the secret that was kept. Takes as long wherever they differ.
    pub(super) fn matches(&self, kept: &SecretHash) -> bool {
        is_same(&self.hash(), kept)
    }
}

/// SHA-256 of a secret.
pub(super) fn hash(secret: &[u8]) -> SecretHash {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest::digest(&digest::SHA256, secret).as_ref());
    SecretHash(hash)
}

/// Whether two hashes are the same. Takes as long wherever they differ.
pub(super) fn is_same(one: &SecretHash, other: &SecretHash) -> bool {
    let differences = one.0.iter().zip(other.0).fold(0, |all, (a, b)| all | (a ^ b));
    black_box(differences) == 0
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_token_comes_back_as_its_session_and_secret() {
        let (session, secret) = (SessionId::mint(), Secret::mint().unwrap());
        let text = secret.to_token(session);
        assert_eq!(text.len(), 68);
        let (read, same) = Secret::parse_token(&text).unwrap();
        assert_eq!(read, session);
        assert!(same.matches(&secret.hash()));
        assert!(!Secret::mint().unwrap().matches(&secret.hash()));
        assert_eq!(format!("{secret:?}"), "Secret(..)");
    }

    /// SHA-256 of 32 zeros, as `head -c 32 /dev/zero | sha256sum` has it.
    #[test]
    fn the_hash_is_sha_256() {
        let hash: String = Secret([0; 32]).hash().0.iter().map(|b| format!("{b:02x}")).collect();
        assert_eq!(hash, "66687aadf862bd776c8fc18b8e9f8e20089714856ee233b3902a591d0d5f2925");
    }

    #[test]
    fn one_bit_is_a_difference() {
        let secret = Secret::mint().unwrap();
        for bit in 0..256 {
            let mut other = secret.hash();
            other.0[bit / 8] ^= 1 << (bit % 8);
            assert!(!secret.matches(&other), "{bit}");
        }
    }

    #[test]
    fn what_is_no_token_is_none() {
        let good = Secret([0xff; 32]).to_token(SessionId::mint());
        let padded = format!("{good}=");
        // The last character holds four bits of the secret, and two that must be zero.
        let loose = format!("{}9", &good[..67]);
        for bad in ["", ".", &good[1..], &good[..67], &good.replace('.', "-"), &padded, &loose] {
            assert!(Secret::parse_token(bad).is_none(), "{bad}");
        }
        assert!(Secret::parse_token(&good).is_some());
    }

    proptest! {
        #[test]
        fn any_text_is_read_without_a_panic(text in ".{0,80}") {
            prop_assert!(Secret::parse_token(&text).is_none());
        }
    }
}
