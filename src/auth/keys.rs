//! Keys that tokens are verified with. Each has one algorithm, fixed when the key is read: what a
//! token's header says can never choose how a key is used.

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode};
use rustls::pki_types::SubjectPublicKeyInfoDer;
use rustls::pki_types::pem::PemObject;
use serde_json::{Map, Value};

use super::provider;

/// What a token says.
pub(super) type ClaimSet = Map<String, Value>;

/// Sizes of RSA keys, in bits: shorter ones can be broken, longer ones make each check slow.
const RSA_BITS: std::ops::RangeInclusive<usize> = 2048..=8192;
/// Most bytes of a public exponent; 65537 has three.
const EXPONENT_BYTES: usize = 4;
/// Bytes of a coordinate on P-256.
const COORDINATE_BYTES: usize = 32;

/// What stands before the point in a SubjectPublicKeyInfo for P-256 (RFC 5480, 2): two lengths,
/// `id-ecPublicKey`, `secp256r1`, and the head of the bit string.
const P256_HEAD: [u8; 26] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a,
    0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];
/// The algorithm in a SubjectPublicKeyInfo for RSA (RFC 3279, 2.3.1): `rsaEncryption`, `NULL`.
const RSA_ALGORITHM: [u8; 13] =
    [0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01, 0x05, 0x00];

const SEQUENCE: u8 = 0x30;
const INTEGER: u8 = 0x02;
const BIT_STRING: u8 = 0x03;

/// Why a file holds no key to verify with; the text follows the setting's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum InvalidKey {
    #[error("it holds no public key in PEM form (-----BEGIN PUBLIC KEY-----)")]
    NotPem,
    #[error("its key is neither RSA nor on the curve P-256")]
    Unsupported,
    #[error("its RSA key has not {} to {} bits", RSA_BITS.start(), RSA_BITS.end())]
    RsaSize,
}

/// A key, and the one algorithm that it is for.
#[derive(Debug, Clone)]
pub(super) struct VerifyKey {
    algorithm: Algorithm,
    key: DecodingKey,
}

impl VerifyKey {
    fn new(algorithm: Algorithm, key: DecodingKey) -> Self {
        provider::install();
        Self { algorithm, key }
    }

    /// A secret, for HS256.
    pub(super) fn secret(secret: &[u8]) -> Self {
        Self::new(Algorithm::HS256, DecodingKey::from_secret(secret))
    }

    /// A public key in PEM form: RSA for RS256, P-256 for ES256.
    pub(super) fn from_pem(pem: &[u8]) -> Result<Self, InvalidKey> {
        let der = SubjectPublicKeyInfoDer::from_pem_slice(pem).map_err(|_| InvalidKey::NotPem)?;
        if let Some(point) = der.strip_prefix(&P256_HEAD) {
            return Self::p256(point).ok_or(InvalidKey::Unsupported);
        }
        let (n, e) = rsa_parts(&der).ok_or(InvalidKey::Unsupported)?;
        Self::rsa(n, e).ok_or(InvalidKey::RsaSize)
    }

    /// An RSA key of a JWK, for RS256; `None` when it is too short, too long or no such key.
    pub(super) fn from_rsa_jwk(n: &str, e: &str) -> Option<Self> {
        Self::rsa(&base64url(n)?, &base64url(e)?)
    }

    /// A key on P-256 of a JWK, for ES256.
    pub(super) fn from_p256_jwk(x: &str, y: &str) -> Option<Self> {
        let (x, y) = (base64url(x)?, base64url(y)?);
        let fits = x.len() == COORDINATE_BYTES && y.len() == COORDINATE_BYTES;
        fits.then(|| Self::p256(&[&[4], &x[..], &y].concat()))?
    }

    fn rsa(n: &[u8], e: &[u8]) -> Option<Self> {
        let (n, e) = (without_zeros(n), without_zeros(e));
        let bits = n.len() * 8 - n.first()?.leading_zeros() as usize;
        let fits = RSA_BITS.contains(&bits) && (1..=EXPONENT_BYTES).contains(&e.len());
        // One that is even, or 1, would make a signature mean nothing.
        let is_exponent = e.last()? % 2 == 1 && e != [1];
        let key = || DecodingKey::from_rsa_raw_components(n, e);
        (fits && is_exponent).then(|| Self::new(Algorithm::RS256, key()))
    }

    /// From an uncompressed point. Whether it lies on the curve is looked at with each signature.
    fn p256(point: &[u8]) -> Option<Self> {
        let is_point = point.len() == 1 + 2 * COORDINATE_BYTES && point.first() == Some(&4);
        is_point.then(|| Self::new(Algorithm::ES256, DecodingKey::from_ec_der(point)))
    }

    /// What this key is for.
    pub(super) fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// Reads a token that this key has signed, with this key's algorithm; `None` for any other.
    /// Nothing of what it claims has been checked.
    pub(super) fn read(&self, token: &str) -> Option<ClaimSet> {
        let mut signature_alone = Validation::new(self.algorithm);
        signature_alone.required_spec_claims.clear();
        signature_alone.validate_exp = false;
        signature_alone.validate_nbf = false;
        signature_alone.validate_aud = false;
        decode(token, &self.key, &signature_alone).ok().map(|read| read.claims)
    }
}

fn base64url(text: &str) -> Option<Vec<u8>> {
    BASE64_URL_SAFE_NO_PAD.decode(text).ok()
}

fn without_zeros(number: &[u8]) -> &[u8] {
    let start = number.iter().position(|b| *b != 0).unwrap_or(number.len());
    &number[start..]
}

/// Modulus and exponent of a SubjectPublicKeyInfo.
fn rsa_parts(der: &[u8]) -> Option<(&[u8], &[u8])> {
    let (info, rest) = element(der, SEQUENCE)?;
    let (algorithm, bits) = element(info, SEQUENCE)?;
    let (key, after) = element(bits, BIT_STRING)?;
    // A bit string starts with how many of its last bits are not used.
    let (numbers, inside) = element(key.strip_prefix(&[0])?, SEQUENCE)?;
    let (n, exponent) = element(numbers, INTEGER)?;
    let (e, end) = element(exponent, INTEGER)?;
    let is_whole = [rest, after, inside, end].iter().all(|left| left.is_empty());
    (algorithm == RSA_ALGORITHM && is_whole).then_some((n, e))
}

/// Takes one DER element (X.690, 8.1) with this tag off the front: its content, and what follows.
fn element(der: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (first, rest) = der.strip_prefix(&[tag])?.split_first()?;
    let (length, rest) = match first {
        0..=0x7f => (usize::from(*first), rest),
        // As many bytes of length follow; an RSA key's fits into two.
        0x81 | 0x82 => {
            let (bytes, rest) = rest.split_at_checked(usize::from(first & 0x0f))?;
            (bytes.iter().fold(0, |sum, b| sum << 8 | usize::from(*b)), rest)
        }
        _ => return None,
    };
    rest.split_at_checked(length)
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Ec, Rsa, hs256, pem};
    use super::*;

    #[test]
    fn a_pem_file_fixes_the_algorithm() {
        let key = VerifyKey::from_pem(&pem("rsa-2048.pub.pem")).unwrap();
        assert_eq!(key.algorithm(), Algorithm::RS256);
        let key = VerifyKey::from_pem(Ec::new().pem().as_bytes()).unwrap();
        assert_eq!(key.algorithm(), Algorithm::ES256);
    }

    #[test]
    fn other_keys_are_refused() {
        for (file, error) in [
            ("rsa-1024.pub.pem", InvalidKey::RsaSize),
            ("p-384.pub.pem", InvalidKey::Unsupported),
            ("secp256k1.pub.pem", InvalidKey::Unsupported),
            ("ed25519.pub.pem", InvalidKey::Unsupported),
            ("rsa-2048.pkcs1.pub.pem", InvalidKey::NotPem),
            ("rsa-2048-for-tests-only.pem", InvalidKey::NotPem),
            ("README.md", InvalidKey::NotPem),
        ] {
            assert_eq!(VerifyKey::from_pem(&pem(file)).unwrap_err(), error, "{file}");
        }
        assert_eq!(VerifyKey::from_pem(b"").unwrap_err(), InvalidKey::NotPem);
    }

    /// The same key as a JWK and as a file.
    #[test]
    fn keys_verify_what_their_owners_sign() {
        let claims = serde_json::json!({"sub": "ann"});
        let rsa = Rsa::new();
        let token = rsa.sign(&serde_json::json!({"alg": "RS256"}), &claims);
        let (n, e) = rsa.parts();
        let by_jwk = VerifyKey::from_rsa_jwk(&n, &e).unwrap();
        let by_pem = VerifyKey::from_pem(&pem("rsa-2048.pub.pem")).unwrap();
        for key in [&by_jwk, &by_pem] {
            assert_eq!(key.read(&token).map(Value::Object), Some(claims.clone()));
        }
        let ec = Ec::new();
        let token = ec.sign(&serde_json::json!({"alg": "ES256"}), &claims);
        let (x, y) = ec.parts();
        let by_ec_jwk = VerifyKey::from_p256_jwk(&x, &y).unwrap();
        let by_ec_pem = VerifyKey::from_pem(ec.pem().as_bytes()).unwrap();
        for key in [&by_ec_jwk, &by_ec_pem] {
            assert_eq!(key.read(&token).map(Value::Object), Some(claims.clone()));
        }
        for key in [&by_jwk, &by_pem, &VerifyKey::from_pem(Ec::new().pem().as_bytes()).unwrap()] {
            assert_eq!(key.read(&token), None);
        }
    }

    /// Whatever a header says, a key that everybody has is no secret.
    #[test]
    fn a_key_reads_no_other_algorithm() {
        let ec = Ec::new();
        let claims = serde_json::json!({"sub": "ann"});
        let (x, y) = ec.parts();
        let point = [&[4], &base64url(&x).unwrap()[..], &base64url(&y).unwrap()].concat();
        let (n, e) = Rsa::new().parts();
        let cases = [
            (VerifyKey::from_pem(ec.pem().as_bytes()).unwrap(), point),
            (VerifyKey::from_rsa_jwk(&n, &e).unwrap(), base64url(&n).unwrap()),
        ];
        for (key, public) in cases {
            for alg in ["HS256", "HS384", "HS512", "RS256", "ES256", "none"] {
                let forged = hs256(&public, &serde_json::json!({"alg": alg}), &claims);
                assert_eq!(key.read(&forged), None, "{alg}");
            }
        }
        let secret = VerifyKey::secret(b"kR7xPq2vLm9wZs4tYb6nHc8jFd3gQe5u");
        assert_eq!(secret.read(&ec.sign(&serde_json::json!({"alg": "ES256"}), &claims)), None);
    }

    #[test]
    fn a_jwk_that_is_no_key_is_none() {
        let (n, e) = Rsa::new().parts();
        let (x, y) = Ec::new().parts();
        for (n, e) in [
            (&n[..], ""),
            ("", &e[..]),
            (&n[..170], &e[..]),
            (&n, "AQ"),
            (&n, "Ag"),
            (&n, "AQAAAAAB"),
            (&n, "A=="),
            ("AAAA", "AQAB"),
        ] {
            assert!(VerifyKey::from_rsa_jwk(n, e).is_none(), "{n} {e}");
        }
        for (x, y) in
            [("", &y[..]), (&x[..], ""), (&x[..40], &y), (&x, "!"), (&format!("{x}AA"), &y)]
        {
            assert!(VerifyKey::from_p256_jwk(x, y).is_none(), "{x} {y}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_read_without_a_panic(
            der in proptest::collection::vec(proptest::num::u8::ANY, 0..400),
            cut in 0_usize..294, flip in 0_usize..294,
        ) {
            let _ = rsa_parts(&der);
            let _ = VerifyKey::from_pem(&der);
            let whole = pem("rsa-2048.pub.pem");
            let whole = SubjectPublicKeyInfoDer::from_pem_slice(&whole).unwrap();
            assert_eq!(whole.len(), 294);
            assert_eq!(rsa_parts(&whole[..cut]), None);
            let mut bent = whole.to_vec();
            bent[flip] ^= 0x55;
            let _ = rsa_parts(&bent);
        }
    }
}
