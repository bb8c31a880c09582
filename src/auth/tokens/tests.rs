use std::io::Write;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::super::testing::{self, Ec, Rsa, hs256, pem, token};
use super::*;

const SECRET: &str = "kR7xPq2vLm9wZs4tYb6nHc8jFd3gQe5uA1";
const NOW: Timestamp = Timestamp(1_700_000_000_123);
/// [`NOW`] in whole seconds.
const SECOND: i64 = 1_700_000_000;

fn config(args: &[&str]) -> TokenConfig {
    testing::config(&[&["--secret-key", SECRET], args].concat())
}

fn ours() -> Tokens {
    Tokens::new(&config(&[])).unwrap()
}

/// Of an issuer with this public key.
fn with_key(pem: &[u8], more: &[&str]) -> Tokens {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(pem).unwrap();
    let path = file.path().to_str().unwrap();
    let issuer = ["--jwt-public-key", path, "--jwt-issuer", "them", "--jwt-audience", "chat"];
    Tokens::new(&config(&[&issuer, more].concat())).unwrap()
}

/// Verifies where nothing has to be waited for.
fn verify(tokens: &Tokens, token: &str) -> Result<Claims, TokenError> {
    verify_at(tokens, token, NOW)
}

fn verify_at(tokens: &Tokens, token: &str, now: Timestamp) -> Result<Claims, TokenError> {
    use futures_util::FutureExt;
    tokens.verify(token, now).now_or_never().unwrap()
}

#[track_caller]
fn assert_invalid(result: Result<Claims, TokenError>) {
    assert!(matches!(result, Err(TokenError::Invalid(_))), "{result:?}");
}

/// `claims` with some put in, and the null ones taken out.
fn with(mut claims: Value, more: &Value) -> Value {
    for (name, value) in more.as_object().unwrap() {
        claims[name] = value.clone();
    }
    claims.as_object_mut().unwrap().retain(|_, value| !value.is_null());
    claims
}

fn own_claims(more: &Value) -> Value {
    let claims =
        json!({"sub": "ann", "iat": SECOND, "exp": SECOND + 60, "iss": "banter", "aud": "banter"});
    with(claims, more)
}

fn their_claims(more: &Value) -> Value {
    let claims =
        json!({"sub": "ann", "iat": SECOND, "exp": SECOND + 60, "iss": "them", "aud": "chat"});
    with(claims, more)
}

/// Signed with our secret.
fn own_token(more: &Value) -> String {
    hs256(SECRET.as_bytes(), &json!({"alg": "HS256"}), &own_claims(more))
}

#[test]
fn a_token_of_ours_comes_back_as_what_it_was_made_of() {
    let tokens = ours();
    let (user, session) = (UserId::parse("ann \"ж\" 🦀").unwrap(), SessionId::mint());
    let (token, expires_at) = tokens.issue(&user, session, NOW);
    assert_eq!(expires_at, Timestamp(NOW.0 + 30 * 60_000));
    let claims = Claims { user, session: Some(session), issued_at: NOW, expires_at };
    assert_eq!(verify(&tokens, &token), Ok(claims.clone()));
    let last = Timestamp(expires_at.0 - 1);
    assert_eq!(verify_at(&tokens, &token, last), Ok(claims));
    assert_eq!(verify_at(&tokens, &token, expires_at), Err(TokenError::Expired));
    let other = Tokens::new(&config(&["--secret-key", "hc8JFd3gQe5uA1kR7xPq2vLm9wZs4tYb6n"]));
    assert_invalid(verify(&other.unwrap(), &token));
}

#[test]
fn every_millisecond_survives() {
    let tokens = ours();
    let user = UserId::parse("ann").unwrap();
    for ms in NOW.0..NOW.0 + 2_000 {
        let (token, expires_at) = tokens.issue(&user, SessionId::mint(), Timestamp(ms));
        let claims = verify_at(&tokens, &token, Timestamp(ms)).unwrap();
        assert_eq!((claims.issued_at, claims.expires_at), (Timestamp(ms), expires_at));
    }
}

/// A backend with the same secret may leave the session out.
#[test]
fn what_our_tokens_must_claim() {
    let tokens = ours();
    let claims = verify(&tokens, &own_token(&json!({}))).unwrap();
    assert_eq!((claims.user.as_str(), claims.session), ("ann", None));
    assert_eq!(claims.issued_at, Timestamp(SECOND * 1000));
    for more in [
        json!({"sub": null}),
        json!({"sub": ""}),
        json!({"sub": 7}),
        json!({"sub": "a\nb"}),
        json!({"sub": "x".repeat(129)}),
        json!({"sid": "7"}),
        json!({"sid": 7}),
        json!({"iss": null}),
        json!({"iss": "them"}),
        json!({"iss": ["banter"]}),
        json!({"aud": null}),
        json!({"aud": "chat"}),
        json!({"aud": ["banter", "chat"]}),
        json!({"exp": null}),
        json!({"exp": "1800000000"}),
        json!({"exp": true}),
        json!({"iat": null}),
        json!({"iat": "1700000000"}),
        json!({"iat": SECOND + 61}),
        json!({"nbf": SECOND + 61}),
        json!({"nbf": "0"}),
    ] {
        assert_invalid(verify(&tokens, &own_token(&more)));
    }
    for more in [
        json!({"iat": SECOND + 60}),
        json!({"nbf": SECOND + 60}),
        json!({"exp": 1e300}),
        json!({"more": [1, {"a": null}]}),
    ] {
        assert!(verify(&tokens, &own_token(&more)).is_ok(), "{more}");
    }
    for exp in [json!(SECOND), json!(1_700_000_000.123), json!(-1e300), json!(0)] {
        let result = verify(&tokens, &own_token(&json!({ "exp": exp })));
        assert_eq!(result, Err(TokenError::Expired), "{exp}");
    }
    assert!(verify(&tokens, &own_token(&json!({"exp": 1_700_000_000.124}))).is_ok());
}

#[test]
fn headers_that_ask_for_something_else_are_refused() {
    let tokens = ours();
    let claims = own_claims(&json!({}));
    for header in [
        json!({}),
        json!({"alg": "none"}),
        json!({"alg": "None"}),
        json!({"alg": ""}),
        json!({"alg": "HS384"}),
        json!({"alg": "HS512"}),
        json!({"alg": "RS256"}),
        json!({"alg": "ES256"}),
        json!({"alg": "PS256"}),
        json!({"alg": "EdDSA"}),
        json!({"alg": "hs256"}),
        json!({"alg": ["HS256"]}),
        json!({"alg": "HS256", "crit": []}),
        json!({"alg": "HS256", "crit": ["exp"]}),
        json!({"alg": "HS256", "crit": ["b64"], "b64": false}),
        json!({"alg": "HS256", "b64": false}),
    ] {
        assert_invalid(verify(&tokens, &hs256(SECRET.as_bytes(), &header, &claims)));
    }
    let unsigned = token(&json!({"alg": "none"}), &claims, |_| Vec::new());
    assert_invalid(verify(&tokens, &unsigned));
    let unsigned = token(&json!({"alg": "HS256"}), &claims, |_| Vec::new());
    assert_invalid(verify(&tokens, &unsigned));
    let with_kid = json!({"alg": "HS256", "kid": "../../dev/null", "typ": "JWT"});
    assert!(verify(&tokens, &hs256(SECRET.as_bytes(), &with_kid, &claims)).is_ok());
}

#[test]
fn a_token_has_a_limit() {
    let tokens = ours();
    let mut lengths = std::collections::BTreeSet::new();
    // Base64 has not every length, so the header varies too.
    for (kid, pad) in (0..3).flat_map(|kid| (5_900..6_020).map(move |pad| (kid, pad))) {
        let header = json!({"alg": "HS256", "kid": "x".repeat(kid)});
        let claims = own_claims(&json!({ "pad": "x".repeat(pad) }));
        let token = hs256(SECRET.as_bytes(), &header, &claims);
        lengths.insert(token.len());
        assert_eq!(verify(&tokens, &token).is_ok(), token.len() <= MAX_BYTES, "{}", token.len());
    }
    assert!(lengths.contains(&MAX_BYTES) && lengths.contains(&(MAX_BYTES + 1)), "{lengths:?}");
}

#[test]
fn their_tokens_are_good_with_their_key() {
    let rsa = Rsa::new();
    let tokens = with_key(&pem("rsa-2048.pub.pem"), &[]);
    let header = json!({"alg": "RS256", "kid": "whatever"});
    let sign = |more: &Value| rsa.sign(&header, &their_claims(more));
    let sid = json!({"sid": SessionId::mint().to_string()});
    let claims = verify(&tokens, &sign(&sid)).unwrap();
    assert_eq!((claims.user.as_str(), claims.session), ("ann", None));
    assert_eq!(claims.expires_at, Timestamp((SECOND + 60) * 1000));
    assert_eq!(verify(&tokens, &sign(&json!({"iat": null}))).unwrap().issued_at, Timestamp(0));
    assert!(verify(&tokens, &sign(&json!({"aud": ["x", "chat"]}))).is_ok());
    // Our own go on beside them.
    assert!(verify(&tokens, &own_token(&json!({}))).is_ok());
    for more in [
        json!({"iss": null}),
        json!({"iss": "banter"}),
        json!({"iss": ["them"]}),
        json!({"aud": null}),
        json!({"aud": "banter"}),
        json!({"aud": []}),
        json!({"aud": ["chats"]}),
        json!({"aud": {"chat": true}}),
        json!({"exp": null}),
        json!({"sub": null}),
        json!({"iat": "0"}),
        json!({"iat": SECOND + 61}),
        json!({"nbf": SECOND + 61}),
    ] {
        assert_invalid(verify(&tokens, &sign(&more)));
    }
    let leeway = |exp: i64| verify_at(&tokens, &sign(&json!({ "exp": exp })), Timestamp(30_000));
    assert_eq!(leeway(0), Err(TokenError::Expired));
    assert_invalid(leeway(1));
    let at = Timestamp((SECOND + 90) * 1000 - 1);
    assert!(verify_at(&tokens, &sign(&json!({})), at).is_ok());
    assert_eq!(
        verify_at(&tokens, &sign(&json!({})), Timestamp(at.0 + 1)),
        Err(TokenError::Expired)
    );
}

#[test]
fn an_elliptic_key_is_for_es256_alone() {
    let ec = Ec::new();
    let tokens = with_key(ec.pem().as_bytes(), &["--jwt-user-claim", "email"]);
    let claims = their_claims(&json!({"sub": null, "email": "ann@x.org"}));
    let token = ec.sign(&json!({"alg": "ES256"}), &claims);
    assert_eq!(verify(&tokens, &token).unwrap().user.as_str(), "ann@x.org");
    assert_invalid(verify(&tokens, &Ec::new().sign(&json!({"alg": "ES256"}), &claims)));
    assert_invalid(verify(&tokens, &ec.sign(&json!({"alg": "RS256"}), &claims)));
    assert_invalid(verify(&tokens, &Rsa::new().sign(&json!({"alg": "RS256"}), &claims)));
    assert_invalid(verify(&tokens, &ec.sign(&json!({"alg": "ES256"}), &their_claims(&json!({})))));
}

/// What is public is no secret: nobody makes tokens with the public key, as a file, as its bytes or
/// as its modulus, in any of the algorithms that take a secret.
#[test]
fn a_public_key_is_never_a_secret() {
    let tokens = with_key(&pem("rsa-2048.pub.pem"), &[]);
    let file = pem("rsa-2048.pub.pem");
    let text = String::from_utf8(file.clone()).unwrap();
    let (n, _) = Rsa::new().parts();
    let secrets: [&[u8]; 4] = [&file, text.trim().as_bytes(), n.as_bytes(), b""];
    for secret in secrets {
        for alg in ["HS256", "HS384", "HS512", "RS256", "none"] {
            for claims in [their_claims(&json!({})), own_claims(&json!({}))] {
                assert_invalid(verify(&tokens, &hs256(secret, &json!({"alg": alg}), &claims)));
            }
        }
    }
    // Nor does our secret make tokens of theirs, or their key tokens of ours.
    let theirs = their_claims(&json!({}));
    assert_invalid(verify(&tokens, &hs256(SECRET.as_bytes(), &json!({"alg": "HS256"}), &theirs)));
    assert_invalid(verify(&tokens, &hs256(SECRET.as_bytes(), &json!({"alg": "RS256"}), &theirs)));
    let ours = own_claims(&json!({}));
    assert_invalid(verify(&tokens, &Rsa::new().sign(&json!({"alg": "RS256"}), &ours)));
    assert_invalid(verify(&tokens, &Rsa::new().sign(&json!({"alg": "HS256"}), &ours)));
    // A key in the header is nobody's.
    let jwk = json!({"kty": "oct", "k": "AAAA"});
    let header = json!({"alg": "HS256", "jwk": jwk});
    assert_invalid(verify(&tokens, &hs256(&[0, 0, 0], &header, &ours)));
}

#[tokio::test]
async fn keys_come_from_the_issuer() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let (ec, rsa) = (Ec::new(), Rsa::new());
    let ((x, y), (n, e)) = (ec.parts(), rsa.parts());
    let set = json!({"keys": [
        {"kty": "EC", "crv": "P-256", "kid": "e", "x": x, "y": y},
        {"kty": "RSA", "kid": "r", "n": n, "e": e},
    ]});
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let tokens = Tokens::new(&config(&[
        "--jwks-url",
        &url,
        "--jwt-issuer",
        "them",
        "--jwt-audience",
        "chat",
    ]))
    .unwrap();
    let serve = async {
        let (mut socket, _) = listener.accept().await.unwrap();
        let _ = socket.read(&mut [0; 4096]).await;
        let body = set.to_string();
        let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", body.len());
        socket.write_all(format!("{head}{body}").as_bytes()).await.unwrap();
        std::future::pending::<()>().await;
    };
    let check = async {
        let claims = their_claims(&json!({}));
        for token in [
            ec.sign(&json!({"alg": "ES256", "kid": "e"}), &claims),
            rsa.sign(&json!({"alg": "RS256", "kid": "r"}), &claims),
            rsa.sign(&json!({"alg": "RS256"}), &claims),
        ] {
            assert_eq!(tokens.verify(&token, NOW).await.unwrap().user.as_str(), "ann");
        }
        for token in [
            ec.sign(&json!({"alg": "ES256", "kid": "r"}), &claims),
            rsa.sign(&json!({"alg": "RS256", "kid": "e"}), &claims),
            rsa.sign(&json!({"alg": "RS256", "kid": "x"}), &claims),
            Ec::new().sign(&json!({"alg": "ES256", "kid": "e"}), &claims),
            hs256(n.as_bytes(), &json!({"alg": "HS256", "kid": "r"}), &claims),
        ] {
            assert_invalid(tokens.verify(&token, NOW).await);
        }
    };
    tokio::select! {
        () = check => {}
        () = serve => {}
        () = tokens.keep_fresh() => {}
    }
}

#[test]
fn settings_that_are_not_enough_are_refused_by_name() {
    let error = |args: &[&str]| Tokens::new(&config(args)).unwrap_err().to_string();
    let key = format!("{}/tests/keys/rsa-2048.pub.pem", env!("CARGO_MANIFEST_DIR"));
    let url = "https://issuer.example/jwks";
    let small = key.replace("2048", "1024");
    let cases: [(&[&str], &[&str]); 8] = [
        (&["--jwks-url", url], &["JWT_ISSUER"]),
        (&["--jwks-url", url, "--jwt-issuer", "x"], &["JWT_AUDIENCE"]),
        (&["--jwt-public-key", &key, "--jwt-audience", "x"], &["JWT_ISSUER"]),
        (&["--jwt-public-key", &key, "--jwks-url", url], &["JWKS_URL", "JWT_PUBLIC_KEY"]),
        (&["--jwt-public-key", "no/such/file"], &["JWT_PUBLIC_KEY", "can't be read"]),
        (&["--jwt-public-key", &small], &["JWT_PUBLIC_KEY", "2048"]),
        (&["--jwt-public-key", file!()], &["JWT_PUBLIC_KEY", "PEM"]),
        (&["--jwks-url", "http://issuer.example/"], &["JWKS_URL", "https"]),
    ];
    for (args, told) in cases {
        let text = error(args);
        assert!(told.iter().all(|part| text.contains(part)), "{args:?}: {text}");
    }
    let mut none = config(&[]);
    none.secret_key = None;
    let text = Tokens::new(&none).unwrap_err().to_string();
    assert!(text.contains("SECRET_KEY") && text.contains("openssl rand -base64 48"), "{text}");
    let weak = "your-secret-key-change-in-production";
    none.secret_key = weak.parse().ok();
    let text = Tokens::new(&none).unwrap_err().to_string();
    assert!(text.contains("SECRET_KEY") && text.contains("openssl rand -base64 48"), "{text}");
    assert!(!text.contains(weak), "{text}");
}

#[test]
fn tokens_and_settings_don_t_show_the_secret() {
    let shown = format!("{:?} {:?}", config(&[]), ours());
    assert!(!shown.contains(SECRET), "{shown}");
    assert!(!shown.contains(&format!("{:?}", SECRET.as_bytes())), "{shown}");
}

proptest! {
    #[test]
    fn what_nobody_signed_is_refused(
        text in prop_oneof![".{0,200}", "[A-Za-z0-9_.-]{0,200}", r"[\w-]{0,50}\.[\w-]{0,50}\.[\w-]{0,50}"],
    ) {
        assert_invalid(verify(&ours(), &text));
    }

    #[test]
    fn whatever_is_changed_in_a_token_spoils_it(
        at in any::<prop::sample::Index>(), to in "[A-Za-z0-9_.=-]", rest in any::<bool>(),
    ) {
        let tokens = ours();
        let (token, _) = tokens.issue(&UserId::parse("ann").unwrap(), SessionId::mint(), NOW);
        let at = at.index(token.len());
        let end = if rest { at + 1 } else { token.len() };
        let bent = format!("{}{to}{}", &token[..at], &token[end.min(token.len())..]);
        if bent != token {
            assert_invalid(verify(&tokens, &bent));
        }
    }

    #[test]
    fn signed_nonsense_is_read_without_a_panic(
        header in "[ -~]{0,60}", exp in any::<f64>(), name in "[a-z]{1,4}", value in ".{0,20}",
    ) {
        let tokens = ours();
        let claims = own_claims(&json!({"exp": exp, name: value}));
        let _ = verify(&tokens, &hs256(SECRET.as_bytes(), &json!({"alg": "HS256"}), &claims));
        let header = json!({"alg": "HS256", "x5c": header});
        let _ = verify(&tokens, &hs256(SECRET.as_bytes(), &header, &claims));
    }
}
