//! The keys of another issuer, fetched from where it publishes them (a JWKS, RFC 7517).
//!
//! One worker fetches ([`Jwks::keep_fresh`]); whoever finds a token's key missing asks it and waits
//! for its next answer, together with all others who do. An asker that goes away stops nothing.

use std::net::IpAddr;
use std::time::Duration;

use jsonwebtoken::Algorithm;
use reqwest::{Client, Url, redirect};
use serde::Deserialize;
use serde_json::Value;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep_until, timeout};

use super::config::InvalidTokenConfig;
use super::keys::VerifyKey;
use super::tokens::TokenError;

/// How old a set becomes before it is fetched again.
const REFRESH: Duration = Duration::from_secs(60 * 60);
/// Between two fetches, however many tokens name keys that are not there.
const PAUSE: Duration = Duration::from_secs(30);
/// For all of a fetch.
const FETCH_TIMEOUT: Duration = Duration::from_secs(5);
/// How long an asker waits for the worker.
const ASK_TIMEOUT: Duration = Duration::from_secs(6);
/// Largest answer; a hundred keys have a tenth of that.
const MAX_BYTES: usize = 1 << 20;
/// Most keys in an answer.
const MAX_KEYS: usize = 100;

/// A key of a set, as the issuer writes it. What the server does not use may have any form.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Jwk {
    kid: Option<String>,
    kty: String,
    #[serde(rename = "use")]
    usage: Option<String>,
    alg: Option<String>,
    n: String,
    e: String,
    crv: String,
    x: String,
    y: String,
}

impl Jwk {
    /// The key, if it is one for signatures, of a kind that is supported.
    fn key(&self) -> Option<VerifyKey> {
        let is_for = |algorithm: &str| {
            self.usage.as_deref().is_none_or(|usage| usage == "sig")
                && self.alg.as_deref().is_none_or(|alg| alg == algorithm)
        };
        match (self.kty.as_str(), self.crv.as_str()) {
            ("RSA", _) if is_for("RS256") => VerifyKey::from_rsa_jwk(&self.n, &self.e),
            ("EC", "P-256") if is_for("ES256") => VerifyKey::from_p256_jwk(&self.x, &self.y),
            _ => None,
        }
    }
}

/// A key, and the name that tokens have for it.
#[derive(Debug)]
struct Named {
    kid: Option<String>,
    key: VerifyKey,
}

/// The keys of an answer.
fn parse(answer: &[u8]) -> Result<Vec<Named>, FetchError> {
    #[derive(Deserialize)]
    struct Set {
        keys: Vec<Value>,
    }
    let Set { keys } = serde_json::from_slice(answer).map_err(|_| FetchError::NoSet)?;
    if keys.len() > MAX_KEYS {
        return Err(FetchError::TooMany);
    }
    let jwks = keys.into_iter().filter_map(|key| serde_json::from_value::<Jwk>(key).ok());
    let named = |jwk: Jwk| Some(Named { key: jwk.key()?, kid: jwk.kid });
    let keys: Vec<Named> = jwks.filter_map(named).collect();
    if keys.is_empty() { Err(FetchError::NoKeys) } else { Ok(keys) }
}

/// Why there is no new set.
#[derive(Debug, thiserror::Error)]
enum FetchError {
    #[error("the issuer does not answer: {0:#}")]
    NoAnswer(anyhow::Error),
    #[error("the issuer answers with status {0}")]
    Status(u16),
    #[error("the answer has more than {MAX_BYTES} bytes")]
    TooLarge,
    #[error("the answer is no JWK set")]
    NoSet,
    #[error("the set has more than {MAX_KEYS} keys")]
    TooMany,
    #[error("the set has no key for RS256 (RSA, 2048 to 8192 bits) or ES256 (P-256)")]
    NoKeys,
}

impl From<reqwest::Error> for FetchError {
    fn from(error: reqwest::Error) -> Self {
        Self::NoAnswer(error.without_url().into())
    }
}

/// What the worker has found out.
#[derive(Debug, Default)]
struct Known {
    /// The last set that was good; empty before the first.
    keys: Vec<Named>,
    /// When the last fetch ended, well or not.
    fetched: Option<Instant>,
    /// Whether that fetch failed.
    is_away: bool,
}

/// A change that is worth a line in the log.
#[derive(Debug)]
enum Turn {
    Away(FetchError),
    Back,
}

impl Known {
    /// Keeps what was fetched, or else what was there.
    fn learn(&mut self, fetched: Result<Vec<Named>, FetchError>) -> Option<Turn> {
        self.fetched = Some(Instant::now());
        let was_away = std::mem::replace(&mut self.is_away, fetched.is_err());
        match fetched {
            Ok(keys) => {
                self.keys = keys;
                was_away.then_some(Turn::Back)
            }
            Err(error) => (!was_away).then_some(Turn::Away(error)),
        }
    }

    fn find(&self, algorithm: Algorithm, kid: Option<&str>) -> Option<VerifyKey> {
        let mut fitting = self.keys.iter().filter(|named| {
            named.key.algorithm() == algorithm && (kid.is_none() || named.kid.as_deref() == kid)
        });
        let found = fitting.next()?;
        // Without a name there is no choice among several.
        let is_clear = kid.is_some() || fitting.next().is_none();
        is_clear.then(|| found.key.clone())
    }
}

/// The set of an issuer's keys.
#[derive(Debug)]
pub(super) struct Jwks {
    url: Url,
    client: Client,
    refresh: Duration,
    pause: Duration,
    wanted: Notify,
    known: watch::Sender<Known>,
}

impl Jwks {
    /// Of the issuer that publishes them here. Nothing is fetched yet.
    pub(super) fn new(url: &str) -> Result<Self, InvalidTokenConfig> {
        let url = parse_url(url).map_err(InvalidTokenConfig::Url)?;
        // An error says that the process has one already.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let builder = Client::builder().timeout(FETCH_TIMEOUT).redirect(redirect::Policy::none());
        let builder = if url.scheme() == "https" {
            builder.https_only(true)
        } else {
            // To this machine nothing goes around by a proxy, and nobody need be trusted.
            builder.no_proxy().tls_certs_only([])
        };
        let client = builder.build().map_err(|error| {
            InvalidTokenConfig::Client(format!("{:#}", anyhow::Error::from(error)))
        })?;
        let known = watch::Sender::default();
        let wanted = Notify::new();
        Ok(Self { url, client, refresh: REFRESH, pause: PAUSE, wanted, known })
    }

    /// The key for a token with this header.
    ///
    /// # Errors
    /// [`TokenError::Unavailable`] when the issuer may have it, but does not answer.
    pub(super) async fn find(
        &self,
        algorithm: Algorithm,
        kid: Option<&str>,
    ) -> Result<VerifyKey, TokenError> {
        let mut known = self.known.subscribe();
        {
            let now = known.borrow_and_update();
            if let Some(key) = now.find(algorithm, kid) {
                return Ok(key);
            }
            if now.fetched.is_some_and(|at| at.elapsed() < self.pause) {
                return Err(missing(&now));
            }
        }
        self.wanted.notify_one();
        if !matches!(timeout(ASK_TIMEOUT, known.changed()).await, Ok(Ok(()))) {
            return Err(TokenError::Unavailable);
        }
        let now = known.borrow();
        now.find(algorithm, kid).ok_or_else(|| missing(&now))
    }

    /// Fetches the set now, each hour, and when somebody asks. Never ends.
    pub(super) async fn keep_fresh(&self) {
        loop {
            let fetched = self.fetch().await;
            self.learn(fetched);
            let done = Instant::now();
            let is_away = self.known.borrow().is_away;
            let next = done + if is_away { self.pause } else { self.refresh };
            loop {
                tokio::select! {
                    () = sleep_until(next) => break,
                    // Who asked while that fetch went on has had the answer.
                    () = self.wanted.notified() => if done.elapsed() >= self.pause { break },
                }
            }
        }
    }

    async fn fetch(&self) -> Result<Vec<Named>, FetchError> {
        let mut response = self.client.get(self.url.clone()).send().await?;
        if response.status() != reqwest::StatusCode::OK {
            return Err(FetchError::Status(response.status().as_u16()));
        }
        let mut answer = Vec::new();
        while let Some(chunk) = response.chunk().await? {
            if answer.len() + chunk.len() > MAX_BYTES {
                return Err(FetchError::TooLarge);
            }
            answer.extend_from_slice(&chunk);
        }
        parse(&answer)
    }

    /// Keeps what was fetched, and logs where an outage begins and ends.
    fn learn(&self, fetched: Result<Vec<Named>, FetchError>) {
        let issuer = self.url.host_str().unwrap_or_default();
        self.known.send_modify(|known| match known.learn(fetched) {
            Some(Turn::Away(error)) => {
                tracing::warn!(issuer, kept = known.keys.len(), %error, "JWKS_URL can't be fetched");
            }
            Some(Turn::Back) => tracing::info!(issuer, "JWKS_URL can be fetched again"),
            None => {}
        });
    }
}

/// Why a key is not there: nobody has it, or nobody knows.
fn missing(known: &Known) -> TokenError {
    if known.is_away {
        TokenError::Unavailable
    } else {
        TokenError::Invalid("its issuer has no such key")
    }
}

fn parse_url(text: &str) -> Result<Url, &'static str> {
    let url = Url::parse(text).map_err(|_| "is no URL")?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err("holds a user or a password");
    }
    let host = url.host_str().unwrap_or_default();
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    let is_here = host == "localhost" || address.is_ok_and(|address| address.is_loopback());
    match url.scheme() {
        "https" => Ok(url),
        "http" if is_here => Ok(url),
        _ => Err("is not safe: whoever is on the way could put in keys of their own"),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use parking_lot::Mutex;
    use serde_json::json;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;
    use tokio::task::JoinSet;

    use super::super::testing::{Ec, Rsa};
    use super::*;

    /// An issuer's server: what it answers, and how often it was asked.
    #[derive(Clone)]
    struct Issuer {
        url: String,
        answer: Arc<Mutex<String>>,
        asked: Arc<AtomicUsize>,
        open: Arc<tokio::sync::Semaphore>,
    }

    impl Issuer {
        async fn start(tasks: &mut JoinSet<()>, answer: String) -> Self {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let url = format!("http://{}/jwks", listener.local_addr().unwrap());
            let issuer = Self {
                url,
                answer: Arc::new(Mutex::new(answer)),
                asked: Arc::default(),
                open: Arc::new(tokio::sync::Semaphore::new(1)),
            };
            let serving = issuer.clone();
            tasks.spawn(async move {
                loop {
                    let (mut socket, _) = listener.accept().await.unwrap();
                    let _ = socket.read(&mut [0; 4096]).await;
                    let open = serving.open.acquire().await.unwrap();
                    serving.asked.fetch_add(1, Ordering::SeqCst);
                    let answer = serving.answer.lock().clone();
                    let _ = socket.write_all(answer.as_bytes()).await;
                    drop(open);
                }
            });
            issuer
        }

        fn asked(&self) -> usize {
            self.asked.load(Ordering::SeqCst)
        }

        fn say(&self, answer: String) {
            *self.answer.lock() = answer;
        }
    }

    fn answer(status: &str, body: &str) -> String {
        let length = body.len();
        format!("HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}")
    }

    fn set(keys: &[Value]) -> String {
        answer("200 OK", &json!({ "keys": keys }).to_string())
    }

    fn rsa(kid: &str) -> Value {
        let (n, e) = Rsa::new().parts();
        json!({"kty": "RSA", "kid": kid, "n": n, "e": e})
    }

    fn ec(kid: &str) -> Value {
        let (x, y) = Ec::new().parts();
        json!({"kty": "EC", "crv": "P-256", "kid": kid, "x": x, "y": y})
    }

    /// A set that is kept fresh, with this pause between two fetches.
    fn keep_fresh(tasks: &mut JoinSet<()>, issuer: &Issuer, pause: Duration) -> Arc<Jwks> {
        let jwks = Arc::new(Jwks { pause, ..Jwks::new(&issuer.url).unwrap() });
        let worker = Arc::clone(&jwks);
        tasks.spawn(async move { worker.keep_fresh().await });
        jwks
    }

    #[test]
    fn addresses_must_be_safe() {
        for good in [
            "https://issuer.example/jwks",
            "http://127.0.0.1:8080/jwks",
            "http://127.1.2.3/",
            "http://[::1]:80/jwks",
            "http://localhost/jwks",
        ] {
            assert!(Jwks::new(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "issuer",
            "http://issuer.example/jwks",
            "http://127.0.0.1.example/jwks",
            "http://10.0.0.1/jwks",
            "http://localhost.example/",
            "ftp://127.0.0.1/jwks",
            "file:///etc/passwd",
            "https://user:password@issuer.example/jwks",
            "https://user@issuer.example/jwks",
        ] {
            let error = Jwks::new(bad).unwrap_err();
            assert!(matches!(error, InvalidTokenConfig::Url(_)), "{bad}: {error}");
            let text = error.to_string();
            assert!(text.starts_with("JWKS_URL ") && !text.contains("password@"), "{text}");
        }
    }

    #[test]
    fn keys_of_other_kinds_are_skipped() {
        let with = |mut key: Value, name: &str, value: Value| {
            key[name] = value;
            key
        };
        let good = [
            rsa("a"),
            ec("b"),
            with(rsa("c"), "use", json!("sig")),
            with(ec("d"), "alg", json!("ES256")),
            with(rsa("e"), "x5c", json!(["AAAA"])),
        ];
        let bad = [
            with(rsa("1"), "use", json!("enc")),
            with(rsa("2"), "alg", json!("RS512")),
            with(rsa("3"), "alg", json!("ES256")),
            with(ec("4"), "alg", json!("RS256")),
            with(ec("5"), "crv", json!("P-384")),
            with(rsa("6"), "n", json!("AQAB")),
            with(rsa("7"), "n", json!(7)),
            with(rsa("8"), "kty", json!("oct")),
            json!({"kty": "oct", "kid": "9", "k": "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ"}),
            json!(null),
            json!([]),
        ];
        let text = |keys: &[Value]| json!({ "keys": keys }).to_string();
        let found = parse(text(&[&good[..], &bad[..]].concat()).as_bytes()).unwrap();
        let kids: Vec<_> = found.iter().filter_map(|named| named.kid.as_deref()).collect();
        assert_eq!(kids, ["a", "b", "c", "d", "e"]);
        assert!(matches!(parse(text(&bad).as_bytes()), Err(FetchError::NoKeys)));
        let many = vec![json!({}); MAX_KEYS + 1];
        assert!(matches!(parse(text(&many).as_bytes()), Err(FetchError::TooMany)));
        for bad in ["", "{}", "[]", "{\"keys\": 7}", "<html>"] {
            assert!(matches!(parse(bad.as_bytes()), Err(FetchError::NoSet)), "{bad}");
        }
    }

    #[tokio::test]
    async fn a_key_is_found_by_its_name_or_by_being_the_only_one() {
        use Algorithm::{ES256, RS256};
        let tasks = &mut JoinSet::new();
        let issuer = Issuer::start(tasks, set(&[rsa("a"), ec("b"), ec("c")])).await;
        let jwks = keep_fresh(tasks, &issuer, PAUSE);
        assert_eq!(jwks.find(RS256, Some("a")).await.unwrap().algorithm(), RS256);
        assert_eq!(jwks.find(ES256, Some("c")).await.unwrap().algorithm(), ES256);
        assert_eq!(jwks.find(RS256, None).await.unwrap().algorithm(), RS256);
        for (algorithm, kid) in [(ES256, None), (ES256, Some("a")), (RS256, Some("x"))] {
            let error = jwks.find(algorithm, kid).await.unwrap_err();
            assert!(matches!(error, TokenError::Invalid(_)), "{algorithm:?} {kid:?}: {error:?}");
        }
        assert_eq!(issuer.asked(), 1, "strange names make nobody ask again within the pause");
    }

    #[tokio::test]
    async fn a_new_key_is_fetched_when_a_token_names_it_and_all_askers_share_that() {
        let tasks = &mut JoinSet::new();
        let issuer = Issuer::start(tasks, set(&[rsa("old")])).await;
        let jwks = keep_fresh(tasks, &issuer, Duration::ZERO);
        jwks.find(Algorithm::RS256, Some("old")).await.unwrap();
        assert_eq!(issuer.asked(), 1);
        issuer.say(set(&[rsa("new")]));
        // Nobody is answered before all have asked.
        let closed = issuer.open.acquire().await.unwrap();
        let asking = (0..50).map(|_| jwks.find(Algorithm::RS256, Some("new")));
        let asking = futures_util::future::join_all(asking);
        let opening = async {
            tokio::task::yield_now().await;
            drop(closed);
        };
        let (found, ()) = tokio::join!(asking, opening);
        assert!(found.iter().all(Result::is_ok));
        assert_eq!(issuer.asked(), 2);
        let gone = jwks.find(Algorithm::RS256, Some("old")).await;
        assert!(matches!(gone, Err(TokenError::Invalid(_))), "{gone:?}");
    }

    #[tokio::test]
    async fn the_last_good_set_stays_while_the_issuer_fails() {
        let tasks = &mut JoinSet::new();
        let issuer = Issuer::start(tasks, set(&[rsa("a")])).await;
        let jwks = keep_fresh(tasks, &issuer, Duration::ZERO);
        jwks.find(Algorithm::RS256, Some("a")).await.unwrap();
        let large = format!("{{\"keys\": [{}]}}", " ".repeat(MAX_BYTES));
        let elsewhere = Issuer::start(tasks, set(&[rsa("b")])).await;
        let moved = format!("302 Found\r\nlocation: {}", elsewhere.url);
        for failing in [
            answer("500 Oops", "{}"),
            answer(&moved, ""),
            answer("200 OK", "<html>"),
            answer("200 OK", "{\"keys\": []}"),
            answer("200 OK", &large),
            String::new(),
        ] {
            issuer.say(failing);
            let error = jwks.find(Algorithm::RS256, Some("b")).await.unwrap_err();
            assert!(matches!(error, TokenError::Unavailable), "{error:?}");
            jwks.find(Algorithm::RS256, Some("a")).await.unwrap();
        }
        assert_eq!(elsewhere.asked(), 0);
        issuer.say(set(&[rsa("b")]));
        // The worker tries by itself, so the first answer may still be of an attempt before.
        while jwks.find(Algorithm::RS256, Some("b")).await.is_err() {}
    }

    #[tokio::test]
    async fn an_old_set_is_fetched_again_unasked() {
        let tasks = &mut JoinSet::new();
        let issuer = Issuer::start(tasks, set(&[rsa("a")])).await;
        let jwks = Jwks { refresh: Duration::ZERO, ..Jwks::new(&issuer.url).unwrap() };
        let mut known = jwks.known.subscribe();
        let withdrawn = async {
            known.changed().await.unwrap();
            issuer.say(set(&[rsa("b")]));
            known
                .wait_for(|known| known.find(Algorithm::RS256, Some("b")).is_some())
                .await
                .unwrap();
            assert!(jwks.known.borrow().find(Algorithm::RS256, Some("a")).is_none());
        };
        tokio::select! {
            () = withdrawn => {}
            () = jwks.keep_fresh() => {}
        }
    }

    #[test]
    fn an_outage_is_logged_once() {
        let mut known = Known::default();
        let mut learn = |is_away: bool| {
            let keys = json!({"keys": [rsa("a")]}).to_string();
            let fetched = if is_away { Err(FetchError::TooLarge) } else { parse(keys.as_bytes()) };
            known.learn(fetched)
        };
        assert!(learn(false).is_none());
        for _ in 0..2 {
            assert!(matches!(learn(true), Some(Turn::Away(_))));
            assert!(learn(true).is_none() && learn(true).is_none());
            assert!(matches!(learn(false), Some(Turn::Back)));
            assert!(learn(false).is_none());
        }
        assert_eq!(known.keys.len(), 1);
    }

    #[tokio::test]
    async fn an_issuer_that_was_never_there_is_away() {
        let tasks = &mut JoinSet::new();
        let issuer = Issuer::start(tasks, answer("503 Away", "")).await;
        let jwks = keep_fresh(tasks, &issuer, PAUSE);
        for _ in 0..3 {
            let error = jwks.find(Algorithm::RS256, None).await.unwrap_err();
            assert!(matches!(error, TokenError::Unavailable), "{error:?}");
        }
        assert_eq!(issuer.asked(), 1);
    }
}
