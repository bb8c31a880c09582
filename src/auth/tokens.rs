//! Access tokens: JWTs (RFC 7519), our own and those of another issuer.
//!
//! Our own are HS256 with the secret; another issuer's are RS256 or ES256 with its public key. The
//! algorithm that a header names only picks one of these two; the key decides how it is verified.

use std::path::Path;

use jsonwebtoken::{Algorithm, EncodingKey, Header, decode_header, encode};
use serde_json::{Value, json};

use super::caller::Claims;
use super::config::{InvalidTokenConfig, SecretKey, TokenConfig};
use super::jwks::Jwks;
use super::keys::{ClaimSet, VerifyKey};
use super::provider;
use crate::model::{SessionId, Timestamp, UserId};

/// Longest token, in bytes; headers that are larger don't get through most proxies.
const MAX_BYTES: usize = 8 << 10;
/// Issuer and audience of our own tokens.
const OURS: &str = "banter";
/// How far the clock of another issuer may be behind when its tokens end.
const LEEWAY_MS: i64 = 30_000;
/// How far in the future a token may have been made: clocks differ.
const MAX_AHEAD_MS: i64 = 60_000;

/// Why a token is worth nothing. The text is for the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum TokenError {
    /// It was good once.
    #[error("The token has expired")]
    Expired,
    /// It is no token, not for this server, or not by whom it says. Why is for the log alone.
    #[error("The token is not valid")]
    Invalid(&'static str),
    /// The key that it needs can't be had.
    #[error("The token can't be checked right now; try again shortly")]
    Unavailable,
}

/// Where the keys of another issuer come from.
#[derive(Debug)]
enum Source {
    File(VerifyKey),
    Jwks(Jwks),
}

/// Another issuer whose tokens are good here.
#[derive(Debug)]
struct Issuer {
    source: Source,
    name: String,
    audience: String,
    user_claim: String,
}

/// Makes and checks tokens.
#[derive(Debug)]
pub(super) struct Tokens {
    signing: EncodingKey,
    own: VerifyKey,
    own_life_ms: i64,
    issuer: Option<Issuer>,
}

impl Tokens {
    /// With these settings.
    ///
    /// # Errors
    /// Which setting is wrong or missing, and what is allowed.
    pub(super) fn new(config: &TokenConfig) -> Result<Self, InvalidTokenConfig> {
        provider::install();
        let secret = config.secret_key.as_ref().ok_or(InvalidTokenConfig::NoSecret)?;
        secret.check().map_err(InvalidTokenConfig::Weak)?;
        Ok(Self {
            signing: EncodingKey::from_secret(SecretKey::as_bytes(secret)),
            own: VerifyKey::secret(secret.as_bytes()),
            own_life_ms: i64::from(config.access_token_expire_minutes) * 60_000,
            issuer: Issuer::new(config)?,
        })
    }

    /// A token of our own, and when it ends.
    pub(super) fn issue(
        &self,
        user: &UserId,
        session: SessionId,
        now: Timestamp,
    ) -> (String, Timestamp) {
        let ends = Timestamp(now.0.saturating_add(self.own_life_ms));
        let claims = json!({
            "sub": user.as_str(),
            "sid": session.to_string(),
            "iat": seconds(now),
            "exp": seconds(ends),
            "iss": OURS,
            "aud": OURS,
        });
        #[expect(clippy::expect_used, reason = "a secret signs whatever text there is")]
        let token = encode(&Header::new(Algorithm::HS256), &claims, &self.signing)
            .expect("HS256 signs with a secret");
        (token, ends)
    }

    /// Whose a token is.
    ///
    /// # Errors
    /// Why it is worth nothing.
    pub(super) async fn verify(&self, token: &str, now: Timestamp) -> Result<Claims, TokenError> {
        use TokenError::Invalid;
        if token.len() > MAX_BYTES {
            return Err(Invalid("it is too long"));
        }
        let header = decode_header(token).map_err(|_| Invalid("its header can't be read"))?;
        // Both mean that the signature is over something else than it seems (RFC 7515, 4.1.11).
        if header.crit.is_some() || header.extras.inner().contains_key("b64") {
            return Err(Invalid("its header asks for what is not supported"));
        }
        match (header.alg, &self.issuer) {
            (Algorithm::HS256, _) => own(&read(&self.own, token)?, now),
            (Algorithm::RS256 | Algorithm::ES256, Some(issuer)) => {
                let key = issuer.key(header.alg, header.kid.as_deref()).await?;
                issuer.check(&read(&key, token)?, now)
            }
            _ => Err(Invalid("there is no key for its algorithm")),
        }
    }

    /// Keeps the other issuer's keys up to date, where they are fetched. Never ends.
    pub(super) async fn keep_fresh(&self) {
        match &self.issuer {
            Some(Issuer { source: Source::Jwks(jwks), .. }) => jwks.keep_fresh().await,
            _ => std::future::pending().await,
        }
    }
}

impl Issuer {
    fn new(config: &TokenConfig) -> Result<Option<Self>, InvalidTokenConfig> {
        let source = match (&config.jwks_url, &config.jwt_public_key) {
            (None, None) => return Ok(None),
            (Some(_), Some(_)) => return Err(InvalidTokenConfig::TwoSources),
            (Some(url), None) => Source::Jwks(Jwks::new(url)?),
            (None, Some(path)) => Source::File(read_key(path)?),
        };
        let given = |setting: &Option<String>, name| {
            let text = setting.clone().filter(|text| !text.is_empty());
            text.ok_or(InvalidTokenConfig::Missing(name))
        };
        Ok(Some(Self {
            source,
            name: given(&config.jwt_issuer, "JWT_ISSUER")?,
            audience: given(&config.jwt_audience, "JWT_AUDIENCE")?,
            user_claim: config.jwt_user_claim.clone(),
        }))
    }

    async fn key(&self, algorithm: Algorithm, kid: Option<&str>) -> Result<VerifyKey, TokenError> {
        match &self.source {
            Source::Jwks(jwks) => jwks.find(algorithm, kid).await,
            Source::File(key) if key.algorithm() == algorithm => Ok(key.clone()),
            Source::File(_) => Err(TokenError::Invalid("its algorithm is not that of the key")),
        }
    }

    fn check(&self, claims: &ClaimSet, now: Timestamp) -> Result<Claims, TokenError> {
        use TokenError::Invalid;
        if claims.get("iss").and_then(Value::as_str) != Some(&self.name) {
            return Err(Invalid("its iss is another one"));
        }
        let is_audience = |audience: &Value| audience.as_str() == Some(&self.audience);
        let is_for_us = match claims.get("aud") {
            Some(Value::Array(audiences)) => audiences.iter().any(is_audience),
            other => other.is_some_and(is_audience),
        };
        if !is_for_us {
            return Err(Invalid("its aud is another one"));
        }
        let issued_at = time(claims, "iat")?.unwrap_or(Timestamp(0));
        let expires_at = check_times(claims, now, LEEWAY_MS)?;
        Ok(Claims { user: user(claims, &self.user_claim)?, session: None, issued_at, expires_at })
    }
}

fn read_key(path: &Path) -> Result<VerifyKey, InvalidTokenConfig> {
    let pem = std::fs::read(path).map_err(InvalidTokenConfig::Unreadable)?;
    Ok(VerifyKey::from_pem(&pem)?)
}

fn read(key: &VerifyKey, token: &str) -> Result<ClaimSet, TokenError> {
    key.read(token).ok_or(TokenError::Invalid("its signature or its claims don't fit"))
}

/// A token of our own, or one that an application's backend has made with the same secret.
fn own(claims: &ClaimSet, now: Timestamp) -> Result<Claims, TokenError> {
    use TokenError::Invalid;
    for name in ["iss", "aud"] {
        if claims.get(name).and_then(Value::as_str) != Some(OURS) {
            return Err(Invalid("its iss or aud is not banter"));
        }
    }
    let issued_at = time(claims, "iat")?.ok_or(Invalid("it has no iat"))?;
    let expires_at = check_times(claims, now, 0)?;
    let session = match claims.get("sid") {
        None => None,
        Some(sid) => {
            let sid = sid.as_str().and_then(|sid| SessionId::parse(sid).ok());
            Some(sid.ok_or(Invalid("its sid is no session"))?)
        }
    };
    Ok(Claims { user: user(claims, "sub")?, session, issued_at, expires_at })
}

fn user(claims: &ClaimSet, name: &str) -> Result<UserId, TokenError> {
    let text = claims.get(name).and_then(Value::as_str);
    let user = text.and_then(|text| UserId::parse(text).ok());
    user.ok_or(TokenError::Invalid("it names no user"))
}

/// Whether a token is good now; then, when it ends.
fn check_times(claims: &ClaimSet, now: Timestamp, leeway_ms: i64) -> Result<Timestamp, TokenError> {
    let ends = time(claims, "exp")?.ok_or(TokenError::Invalid("it has no exp"))?;
    if now.0 >= ends.0.saturating_add(leeway_ms) {
        return Err(TokenError::Expired);
    }
    for name in ["nbf", "iat"] {
        let ahead = time(claims, name)?.map_or(0, |at| at.0.saturating_sub(now.0));
        if ahead > MAX_AHEAD_MS {
            return Err(TokenError::Invalid("it is not good yet"));
        }
    }
    Ok(ends)
}

/// A time as seconds, with milliseconds as a fraction.
fn seconds(time: Timestamp) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "exact for the next 285,000 years")]
    let millis = time.0 as f64;
    millis / 1000.0
}

/// A NumericDate (RFC 7519, 2): seconds, perhaps with a fraction.
fn time(claims: &ClaimSet, name: &str) -> Result<Option<Timestamp>, TokenError> {
    let Some(value) = claims.get(name) else { return Ok(None) };
    let seconds = value.as_f64().ok_or(TokenError::Invalid("a time in it is no number"))?;
    // What is beyond all time is held at its ends.
    #[expect(clippy::cast_possible_truncation, reason = "it saturates")]
    let millis = (seconds * 1000.0).round() as i64;
    Ok(Some(Timestamp(millis)))
}

#[cfg(test)]
mod tests;
