//! Settings of tokens, and why they can't be used.

use std::convert::Infallible;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;
use std::{fmt, io};

use super::keys::InvalidKey;
use super::tokens::Tokens;

/// What our own tokens are signed with. The old servers' settings name it; there is one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum OwnAlgorithm {
    /// HMAC with SHA-256.
    #[value(name = "HS256")]
    Hs256,
}

/// The secret that our own tokens are signed with.
#[derive(Clone, PartialEq, Eq)]
pub struct SecretKey(String);

/// Whoever reads a log signs no tokens with it.
impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretKey(..)")
    }
}

impl FromStr for SecretKey {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(Self(text.to_owned()))
    }
}

/// Why a secret could be guessed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum WeakSecret {
    /// It can be found by trying.
    #[error("is shorter than {} bytes", SecretKey::MIN_BYTES)]
    Short,
    /// A few characters over and over.
    #[error("has fewer than {} different characters", SecretKey::MIN_DIFFERENT)]
    Uniform,
    /// Others have read it too.
    #[error("looks like the example of a manual")]
    Example,
}

impl SecretKey {
    /// The hash's own length, below which HMAC-SHA256 is weaker than it could be (RFC 7518, 3.2).
    pub const MIN_BYTES: usize = 32;
    /// Fewest different bytes. 32 random hexadecimal digits, the poorest key that is let in, have
    /// so few once in ten million.
    pub const MIN_DIFFERENT: usize = 8;
    /// Letters and digits that an example may have besides the words of examples.
    const MAX_BESIDES: usize = 15;
    /// Each makes a key a suspect.
    const MARKS: [&str; 4] = ["change", "secret", "example", "your-"];
    /// What examples are made of, longer words before the shorter ones that they hold.
    const WORDS: [&str; 48] = [
        "development",
        "placeholder",
        "production",
        "characters",
        "generate",
        "changeit",
        "changeme",
        "insecure",
        "password",
        "default",
        "example",
        "minimum",
        "private",
        "replace",
        "banter",
        "change",
        "please",
        "random",
        "secret",
        "secure",
        "server",
        "signing",
        "string",
        "super",
        "least",
        "bytes",
        "chars",
        "token",
        "value",
        "1234567890",
        "123456789",
        "bits",
        "chat",
        "here",
        "long",
        "must",
        "safe",
        "some",
        "test",
        "this",
        "very",
        "with",
        "your",
        "key",
        "jwt",
        "256",
        "for",
        "use",
    ];

    /// Its bytes.
    pub fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }

    /// Whether it could be guessed. A random key is none of these: one that happens to hold a mark
    /// has far more besides it than an example has.
    pub fn check(&self) -> Result<(), WeakSecret> {
        if self.0.len() < Self::MIN_BYTES {
            return Err(WeakSecret::Short);
        }
        let mut bytes = self.0.clone().into_bytes();
        bytes.sort_unstable();
        bytes.dedup();
        if bytes.len() < Self::MIN_DIFFERENT {
            return Err(WeakSecret::Uniform);
        }
        let mut text = self.0.to_lowercase();
        if !Self::MARKS.iter().any(|mark| text.contains(mark)) {
            return Ok(());
        }
        for word in Self::WORDS {
            text = text.replace(word, " ");
        }
        let besides = text.chars().filter(|c| c.is_alphanumeric()).count();
        if besides > Self::MAX_BESIDES { Ok(()) } else { Err(WeakSecret::Example) }
    }
}

/// Settings of tokens.
#[derive(Debug, Clone, clap::Args)]
#[group(skip)]
#[command(next_help_heading = "Sign-in")]
pub struct TokenConfig {
    /// Secret that tokens are signed with: 32 random bytes or more, as openssl rand -base64 48
    /// makes them
    #[arg(long, value_name = "TEXT")]
    pub secret_key: Option<SecretKey>,

    /// What tokens are signed with
    #[arg(long, value_name = "NAME", value_enum, default_value = "HS256")]
    pub algorithm: OwnAlgorithm,

    /// How long an access token is good, in minutes (1 to 1440)
    #[arg(long, value_name = "MINUTES", default_value_t = 30,
          value_parser = clap::value_parser!(u32).range(1..=1440))]
    pub access_token_expire_minutes: u32,

    /// How long a sign-in can be renewed, in days (1 to 365)
    #[arg(long, value_name = "DAYS", default_value_t = 30,
          value_parser = clap::value_parser!(u32).range(1..=365))]
    pub refresh_token_expire_days: u32,

    /// Where the keys of another issuer are (a JWKS): an https URL, or an http one of this machine
    #[arg(long, value_name = "URL")]
    pub jwks_url: Option<String>,

    /// File with the public key of another issuer, in PEM form: RSA (RS256) or P-256 (ES256)
    #[arg(long, value_name = "FILE")]
    pub jwt_public_key: Option<PathBuf>,

    /// The iss that the other issuer's tokens must have
    #[arg(long, value_name = "TEXT")]
    pub jwt_issuer: Option<String>,

    /// The aud that the other issuer's tokens must have
    #[arg(long, value_name = "TEXT")]
    pub jwt_audience: Option<String>,

    /// The claim of the other issuer's tokens that is the user's id
    #[arg(long, value_name = "NAME", default_value = "sub")]
    pub jwt_user_claim: String,
}

impl TokenConfig {
    /// Whether there is anything to check tokens with.
    pub fn has_keys(&self) -> bool {
        self.secret_key.is_some() || self.jwks_url.is_some() || self.jwt_public_key.is_some()
    }

    /// Whether tokens can be made and checked with these settings.
    ///
    /// # Errors
    /// Which setting is wrong or missing, and what is allowed.
    pub fn check(&self) -> Result<(), InvalidTokenConfig> {
        Tokens::new(self).map(drop)
    }

    /// How long an access token is good.
    pub fn access_life(&self) -> Duration {
        Duration::from_mins(self.access_token_expire_minutes.into())
    }

    /// How long a sign-in can be renewed.
    pub fn refresh_life(&self) -> Duration {
        Duration::from_hours(u64::from(self.refresh_token_expire_days) * 24)
    }
}

/// How to make a secret; the end of each error about it.
const MAKE_SECRET: &str = "Make one with: openssl rand -base64 48";

/// Why tokens can't be made or checked with these settings; the text is meant to be printed.
#[derive(Debug, thiserror::Error)]
pub enum InvalidTokenConfig {
    /// There is nothing to sign with.
    #[error(
        "SECRET_KEY is not given: tokens are signed with it, in {min} random bytes or more.\n  \
         {MAKE_SECRET}",
        min = SecretKey::MIN_BYTES
    )]
    NoSecret,
    /// The secret could be guessed.
    #[error(
        "SECRET_KEY {0}; {min} random bytes or more are allowed.\n  {MAKE_SECRET}",
        min = SecretKey::MIN_BYTES
    )]
    Weak(WeakSecret),
    /// Whose tokens, and made for whom, is not said.
    #[error(
        "{0} is not given: with JWKS_URL or JWT_PUBLIC_KEY it must be, so that tokens of other \
         issuers, and those made for other services, are refused"
    )]
    Missing(&'static str),
    /// Two sources of keys.
    #[error("JWKS_URL and JWT_PUBLIC_KEY are both given: give one of them")]
    TwoSources,
    /// The file of the public key can't be read.
    #[error("JWT_PUBLIC_KEY names a file that can't be read: {0}")]
    Unreadable(#[source] io::Error),
    /// The file holds no key that is supported.
    #[error(
        "JWT_PUBLIC_KEY names a file that can't be used: {0}.\n  Allowed is a public key in PEM \
         form, RSA with 2048 to 8192 bits (for RS256) or P-256 (for ES256)."
    )]
    Key(String),
    /// The address of the keys is not safe, or none.
    #[error(
        "JWKS_URL {0}: an https URL is allowed, without user and password, or an http one whose \
         host is this machine (127.0.0.1, [::1], localhost)"
    )]
    Url(&'static str),
    /// No connection could ever be made.
    #[error(
        "JWKS_URL can't be asked: {0}.\n  The certificate authorities that this machine trusts are \
         needed: install ca-certificates, or name a file of them in SSL_CERT_FILE."
    )]
    Client(String),
}

impl From<InvalidKey> for InvalidTokenConfig {
    fn from(error: InvalidKey) -> Self {
        Self::Key(error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use base64::Engine;
    use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
    use proptest::prelude::*;

    use super::*;

    fn check(text: &str) -> Result<(), WeakSecret> {
        text.parse::<SecretKey>().unwrap().check()
    }

    #[test]
    fn secrets_that_can_be_guessed_are_refused() {
        assert_eq!(check(""), Err(WeakSecret::Short));
        assert_eq!(check("kR7!xPq2vLm9wZs4tYb6nHc8jFd3gQe"), Err(WeakSecret::Short));
        assert_eq!(check(&"a".repeat(64)), Err(WeakSecret::Uniform));
        assert_eq!(check(&"abc1234".repeat(8)), Err(WeakSecret::Uniform));
        for example in [
            "your-secret-key-change-in-production",
            "your-secret-key-here-change-in-production",
            "YOUR_SECRET_KEY_CHANGE_THIS_IN_PRODUCTION",
            "change-me-to-a-long-random-string-please",
            "your-256-bit-secret-your-256-bit-secret",
            "supersecretkeythatyoushouldchangeplease",
            "this-is-an-example-key-do-not-use-in-production",
            "changeme-changeme-changeme-changeme-1",
            "secret1234567890secret1234567890",
        ] {
            assert_eq!(check(example), Err(WeakSecret::Example), "{example}");
        }
    }

    #[test]
    fn a_random_key_that_holds_a_mark_is_none_the_worse() {
        for good in [
            "secretK4v9XyQmZ2rT7wLpB8nHd3JgF6",
            "f3a9SECRETc07b6e21d84f5a9c3e7b1d2",
            "horse battery staple quartz secret umbrella",
            "kR7xPq2vLm9wZs4tYb6nHc8jFd3gQe5u",
            "9f86d081884c7d659a2feaa0c55ad015",
        ] {
            assert_eq!(check(good), Ok(()), "{good}");
        }
    }

    proptest! {
        #[test]
        fn random_keys_are_let_in(key in any::<[u8; 32]>()) {
            // What has few different bytes in 32 is not random.
            let hex: String = key.iter().map(|b| format!("{b:02x}")).collect();
            for text in [hex, BASE64_STANDARD.encode(key), BASE64_URL_SAFE_NO_PAD.encode(key)] {
                if text.bytes().collect::<std::collections::BTreeSet<_>>().len() >= 8 {
                    prop_assert_eq!(check(&text), Ok(()));
                }
            }
        }
    }

    #[test]
    fn a_secret_is_not_shown() {
        let key: SecretKey = "kR7xPq2vLm9wZs4tYb6nHc8jFd3gQe5u".parse().unwrap();
        assert_eq!(format!("{key:?}"), "SecretKey(..)");
    }
}
