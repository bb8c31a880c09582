//! Issuers for tests.

use base64::Engine;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use ring::rand::SystemRandom;
use ring::signature::{self, EcdsaKeyPair, KeyPair, RsaKeyPair, RsaPublicKeyComponents};
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::pki_types::pem::PemObject;
use serde_json::Value;

use super::config::TokenConfig;

pub(super) fn base64url(bytes: impl AsRef<[u8]>) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(bytes)
}

#[derive(Debug, clap::Parser)]
#[command(args_override_self = true)]
struct Settings {
    #[command(flatten)]
    tokens: TokenConfig,
}

/// Settings of tokens, from flags.
pub(super) fn config(args: &[&str]) -> TokenConfig {
    let args = ["banter"].iter().chain(args);
    <Settings as clap::Parser>::try_parse_from(args).unwrap().tokens
}

/// A file of `tests/keys`.
pub(super) fn pem(name: &str) -> Vec<u8> {
    std::fs::read(format!("{}/tests/keys/{name}", env!("CARGO_MANIFEST_DIR"))).unwrap()
}

/// A token with whatever header and claims, signed by whatever.
pub(super) fn token(header: &Value, claims: &Value, sign: impl FnOnce(&[u8]) -> Vec<u8>) -> String {
    let message = format!("{}.{}", base64url(header.to_string()), base64url(claims.to_string()));
    let signature = base64url(sign(message.as_bytes()));
    format!("{message}.{signature}")
}

/// Signs with HMAC-SHA256, whatever the header says.
pub(super) fn hs256(secret: &[u8], header: &Value, claims: &Value) -> String {
    let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, secret);
    token(header, claims, |message| ring::hmac::sign(&key, message).as_ref().to_vec())
}

/// An issuer with an RSA key.
pub(super) struct Rsa(RsaKeyPair);

impl Rsa {
    pub(super) fn new() -> Self {
        let der = PrivatePkcs8KeyDer::from_pem_slice(&pem("rsa-2048-for-tests-only.pem")).unwrap();
        Self(RsaKeyPair::from_pkcs8(der.secret_pkcs8_der()).unwrap())
    }

    pub(super) fn parts(&self) -> (String, String) {
        let parts: RsaPublicKeyComponents<Vec<u8>> = self.0.public().into();
        (base64url(parts.n), base64url(parts.e))
    }

    pub(super) fn sign(&self, header: &Value, claims: &Value) -> String {
        token(header, claims, |message| {
            let mut out = vec![0; self.0.public().modulus_len()];
            let padding = &signature::RSA_PKCS1_SHA256;
            self.0.sign(padding, &SystemRandom::new(), message, &mut out).unwrap();
            out
        })
    }
}

/// An issuer with a key on P-256, another one each time.
pub(super) struct Ec(EcdsaKeyPair);

impl Ec {
    pub(super) fn new() -> Self {
        let algorithm = &signature::ECDSA_P256_SHA256_FIXED_SIGNING;
        let random = SystemRandom::new();
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(algorithm, &random).unwrap();
        Self(EcdsaKeyPair::from_pkcs8(algorithm, pkcs8.as_ref(), &random).unwrap())
    }

    pub(super) fn parts(&self) -> (String, String) {
        let point = self.0.public_key().as_ref();
        (base64url(&point[1..33]), base64url(&point[33..]))
    }

    pub(super) fn pem(&self) -> String {
        // The head of a SubjectPublicKeyInfo for P-256.
        let head = "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgA=";
        let mut der = BASE64_STANDARD.decode(head).unwrap();
        der.extend(self.0.public_key().as_ref());
        let text = BASE64_STANDARD.encode(der);
        format!("-----BEGIN PUBLIC KEY-----\n{text}\n-----END PUBLIC KEY-----\n")
    }

    pub(super) fn sign(&self, header: &Value, claims: &Value) -> String {
        token(header, claims, |message| {
            self.0.sign(&SystemRandom::new(), message).unwrap().as_ref().to_vec()
        })
    }
}
