//! Passwords: what may be one, and hashing them slowly, a few at a time.

use std::fmt;
use std::sync::Arc;

use argon2::password_hash::phc::PasswordHash as Phc;
use argon2::password_hash::{self, PasswordHasher, PasswordVerifier};
use argon2::{Algorithm, Argon2, Params, Version};
use rand::TryRng;
use rand::rngs::SysRng;
use tokio::sync::{Semaphore, TryAcquireError};

use crate::error::Error;
use crate::model::PasswordHash;

/// Memory of one hash, in KiB. With the other two: the first choice of the OWASP Password Storage
/// Cheat Sheet for Argon2id.
const MEMORY_KIB: u32 = 19_456;
/// Passes over it.
const PASSES: u32 = 2;
/// Lanes of it.
const LANES: u32 = 1;
/// Bytes of salt (RFC 9106, 3.1).
const SALT_BYTES: usize = 16;
/// Most who wait for a core. Each takes some 20 ms, so that the last one waits a second or less.
const MAX_WAITING: usize = 64;

/// Nobody's hash, which takes as long to hold a password against as everybody's.
const NOBODYS: &str = "$argon2id$v=19$m=19456,t=2,p=1$bm9ib2R5cy1zYWx0LTE2Yg\
                       $AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

/// A password as its user has typed it.
#[derive(Clone)]
pub struct Password(Box<str>);

/// A log is no place for one.
impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(..)")
    }
}

/// Why a text is no password; the text is meant for the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "a password is {min} to {max} characters, in up to {bytes} bytes",
    min = Password::MIN_CHARS,
    max = Password::MAX_CHARS,
    bytes = Password::MAX_BYTES
)]
pub struct InvalidPassword;

impl Password {
    /// Shortest password, in characters.
    pub const MIN_CHARS: usize = 8;
    /// Longest password, in characters.
    pub const MAX_CHARS: usize = 128;
    /// Longest password, in bytes.
    pub const MAX_BYTES: usize = 512;

    /// Checks a new password.
    pub fn parse(text: &str) -> Result<Self, InvalidPassword> {
        let password = Self::any(text)?;
        let chars = text.chars().count();
        let fits = (Self::MIN_CHARS..=Self::MAX_CHARS).contains(&chars);
        fits.then_some(password).ok_or(InvalidPassword)
    }

    /// Takes whatever somebody signs in with: the rules may have been others when it was chosen.
    pub fn any(text: &str) -> Result<Self, InvalidPassword> {
        let fits = text.len() <= Self::MAX_BYTES;
        fits.then(|| Self(text.into())).ok_or(InvalidPassword)
    }
}

/// Hashes passwords, as many at a time as the machine has cores.
#[derive(Debug, Clone)]
pub(super) struct Passwords {
    /// One for each that is hashed.
    cores: Arc<Semaphore>,
    /// One for each that is hashed or waits.
    places: Arc<Semaphore>,
}

impl Default for Passwords {
    fn default() -> Self {
        Self::new()
    }
}

impl Passwords {
    /// For this machine.
    pub(super) fn new() -> Self {
        Self::with_cores(std::thread::available_parallelism().map_or(1, usize::from))
    }

    fn with_cores(cores: usize) -> Self {
        let places = Arc::new(Semaphore::new(cores + MAX_WAITING));
        Self { cores: Arc::new(Semaphore::new(cores)), places }
    }

    /// What to keep of a password.
    ///
    /// # Errors
    /// [`Error::RateLimited`] when too many wait.
    pub(super) async fn hash(&self, password: Password) -> Result<PasswordHash, Error> {
        self.run(move || hash(&password)).await
    }

    /// Whether this is the password that was kept. Without one, for a user who does not exist, it
    /// is not, after the same work: how long it takes tells nobody who has an account.
    ///
    /// # Errors
    /// [`Error::RateLimited`] when too many wait; [`Error::Internal`] when what was kept is no hash.
    pub(super) async fn verify(
        &self,
        password: &Password,
        hash: Option<&PasswordHash>,
    ) -> Result<bool, Error> {
        let (password, is_kept) = (password.clone(), hash.is_some());
        let hash = hash.map_or_else(|| NOBODYS.to_owned(), |hash| hash.0.clone());
        let fits = self.run(move || verify(&password, &hash)).await?;
        Ok(fits && is_kept)
    }

    /// Does the work on a thread for such. When the caller goes away, it keeps its place until it
    /// is done: nobody gets more than a place by asking and leaving.
    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let stopping = || Error::Unavailable(None);
        let place = Arc::clone(&self.places).try_acquire_owned().map_err(|error| match error {
            TryAcquireError::NoPermits => {
                Error::RateLimited("too many sign-ins at once; try again shortly".into())
            }
            TryAcquireError::Closed => stopping(),
        })?;
        let core = Arc::clone(&self.cores).acquire_owned().await.map_err(|_| stopping())?;
        let running = tokio::task::spawn_blocking(move || {
            let done = work();
            drop((core, place));
            done
        });
        match running.await.map_err(tokio::task::JoinError::try_into_panic) {
            Ok(done) => done,
            Err(Ok(panic)) => std::panic::resume_unwind(panic),
            Err(Err(_)) => Err(stopping()),
        }
    }
}

fn argon2() -> Result<Argon2<'static>, Error> {
    let params = Params::new(MEMORY_KIB, PASSES, LANES, None)
        .map_err(|error| Error::Internal(anyhow::anyhow!("argon2: {error}")))?;
    Ok(Argon2::new(Algorithm::Argon2id, Version::V0x13, params))
}

fn hash(password: &Password) -> Result<PasswordHash, Error> {
    let mut salt = [0; SALT_BYTES];
    SysRng.try_fill_bytes(&mut salt).map_err(|error| Error::Internal(error.into()))?;
    let hash = argon2()?.hash_password_with_salt(password.0.as_bytes(), &salt);
    hash.map(|hash| PasswordHash(hash.to_string()))
        .map_err(|error| Error::Internal(anyhow::anyhow!("hashing a password: {error}")))
}

/// With the parameters that stand in the hash.
fn verify(password: &Password, hash: &str) -> Result<bool, Error> {
    let broken = |error| Error::Internal(anyhow::anyhow!("the hash of a password: {error}"));
    let hash = Phc::new(hash).map_err(|error| broken(error.to_string()))?;
    match argon2()?.verify_password(password.0.as_bytes(), &hash) {
        Ok(()) => Ok(true),
        Err(password_hash::Error::PasswordInvalid) => Ok(false),
        Err(error) => Err(broken(error.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[test]
    fn a_new_password_has_a_length() {
        for good in ["12345678", &"x".repeat(128), &"ж".repeat(128), &"🦀".repeat(128), "        "]
        {
            assert!(Password::parse(good).is_ok(), "{good}");
        }
        let too_many_bytes = "👩‍👩‍👧".repeat(29);
        for bad in ["", "1234567", "жжжжжжж", &"x".repeat(129), &too_many_bytes] {
            assert_eq!(Password::parse(bad).unwrap_err(), InvalidPassword, "{bad}");
        }
        assert!(Password::any("").is_ok());
        assert!(Password::any(&"x".repeat(512)).is_ok());
        assert!(Password::any(&"x".repeat(513)).is_err());
        assert_eq!(format!("{:?}", Password::any("hunter2").unwrap()), "Password(..)");
    }

    #[tokio::test]
    async fn a_password_is_known_by_its_hash() {
        let passwords = Passwords::new();
        let right = Password::parse("correct horse").unwrap();
        let hash = passwords.hash(right.clone()).await.unwrap();
        assert!(hash.0.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{}", hash.0);
        assert_ne!(passwords.hash(right.clone()).await.unwrap(), hash, "each has its own salt");
        assert!(passwords.verify(&right, Some(&hash)).await.unwrap());
        let wrong = Password::parse("Correct horse").unwrap();
        assert!(!passwords.verify(&wrong, Some(&hash)).await.unwrap());
        let broken = PasswordHash("plain".into());
        let error = passwords.verify(&right, Some(&broken)).await.unwrap_err();
        assert!(matches!(error, Error::Internal(_)), "{error:?}");
    }

    /// The work without a hash is that with one: the same parameters and lengths.
    #[tokio::test]
    async fn nobody_is_held_against_a_hash_like_any_other() {
        let nobody = Phc::new(NOBODYS).unwrap();
        let text = Passwords::new().hash(Password::any("x").unwrap()).await.unwrap();
        let other = Phc::new(&text.0).unwrap();
        assert_eq!((nobody.algorithm, nobody.version), (other.algorithm, other.version));
        assert_eq!(nobody.params, other.params);
        let salt = |hash: &Phc| hash.salt.as_ref().map(|salt| salt.len());
        let output = |hash: &Phc| hash.hash.as_ref().map(|output| output.len());
        assert_eq!((salt(&nobody), output(&nobody)), (salt(&other), output(&other)));
        assert!(!Passwords::new().verify(&Password::any("x").unwrap(), None).await.unwrap());
    }

    #[tokio::test]
    async fn whoever_finds_too_many_waiting_is_refused() {
        let passwords = Passwords::with_cores(1);
        let password = Password::any("x").unwrap();
        let core = Arc::clone(&passwords.cores).acquire_owned().await.unwrap();
        let mut waiting: Vec<_> =
            (0..=MAX_WAITING).map(|_| Box::pin(passwords.verify(&password, None))).collect();
        for one in &mut waiting {
            assert!(one.now_or_never().is_none());
        }
        let one_more = passwords.verify(&password, None).now_or_never();
        assert!(matches!(one_more, Some(Err(Error::RateLimited(_)))), "{one_more:?}");
        drop(core);
        // All but one go away, and leave their places.
        waiting.truncate(1);
        assert!(!waiting.remove(0).await.unwrap());
        assert!(!passwords.verify(&password, None).await.unwrap());
    }
}
