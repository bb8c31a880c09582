//! What `jsonwebtoken` signs and verifies with: `ring`, which the database driver's TLS stands on
//! too. HS256, RS256 and ES256 are all there is; whatever else is asked for is an error.

use jsonwebtoken::crypto::{CryptoProvider, JwtSigner, JwtVerifier, KeyUtils};
use jsonwebtoken::errors::{Error, ErrorKind};
use jsonwebtoken::signature::{self, Signer, Verifier};
use jsonwebtoken::{Algorithm, AlgorithmFamily, DecodingKey, DecodingKeyKind, EncodingKey};
use ring::hmac;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED, RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents, UnparsedPublicKey,
};

static PROVIDER: CryptoProvider = CryptoProvider {
    signer_factory: signer,
    verifier_factory: verifier,
    // For making JWKs out of keys, which the server never does.
    key_utils: KeyUtils {
        rsa_pub_components_from_private_key: |_| Err(unsupported()),
        rsa_pub_components_from_public_key: |_| Err(unsupported()),
        ec_pub_components_from_private_key: |_, _| Err(unsupported()),
        ed_pub_components_from_private_key: |_, _| Err(unsupported()),
        compute_digest: |_, _| Err(unsupported()),
    },
};

/// Makes this the process's provider. To be called before the first token is signed or verified:
/// the library settles then on what it has, and without this panics from there on.
pub(super) fn install() {
    // An error says that it is installed already.
    let _ = PROVIDER.install_default();
}

fn unsupported() -> Error {
    ErrorKind::UnsupportedAlgorithm.into()
}

fn signer(algorithm: &Algorithm, key: &EncodingKey) -> Result<Box<dyn JwtSigner>, Error> {
    match (algorithm, key.family()) {
        (Algorithm::HS256, AlgorithmFamily::Hmac) => Ok(Box::new(Hs256::new(key.as_bytes()))),
        _ => Err(unsupported()),
    }
}

/// The family must be the key's own: a public key is no secret, whatever a token's header says.
fn verifier(algorithm: &Algorithm, key: &DecodingKey) -> Result<Box<dyn JwtVerifier>, Error> {
    use DecodingKeyKind::{RsaModulusExponent, SecretOrDer};
    match (algorithm, key.family(), key.kind()) {
        (Algorithm::HS256, AlgorithmFamily::Hmac, SecretOrDer(secret)) => {
            Ok(Box::new(Hs256::new(secret)))
        }
        (Algorithm::RS256, AlgorithmFamily::Rsa, RsaModulusExponent { n, e }) => {
            Ok(Box::new(Rs256(RsaPublicKeyComponents { n: n.clone(), e: e.clone() })))
        }
        (Algorithm::ES256, AlgorithmFamily::Ec, SecretOrDer(point)) => {
            Ok(Box::new(Es256(UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point.clone()))))
        }
        _ => Err(unsupported()),
    }
}

fn refused(_: ring::error::Unspecified) -> signature::Error {
    signature::Error::new()
}

struct Hs256(hmac::Key);

impl Hs256 {
    fn new(secret: &[u8]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, secret))
    }
}

impl Signer<Vec<u8>> for Hs256 {
    fn try_sign(&self, message: &[u8]) -> Result<Vec<u8>, signature::Error> {
        Ok(hmac::sign(&self.0, message).as_ref().to_vec())
    }
}

impl JwtSigner for Hs256 {
    fn algorithm(&self) -> Algorithm {
        Algorithm::HS256
    }
}

impl Verifier<Vec<u8>> for Hs256 {
    fn verify(&self, message: &[u8], signature: &Vec<u8>) -> Result<(), signature::Error> {
        hmac::verify(&self.0, message, signature).map_err(refused)
    }
}

impl JwtVerifier for Hs256 {
    fn algorithm(&self) -> Algorithm {
        Algorithm::HS256
    }
}

struct Rs256(RsaPublicKeyComponents<Vec<u8>>);

impl Verifier<Vec<u8>> for Rs256 {
    fn verify(&self, message: &[u8], signature: &Vec<u8>) -> Result<(), signature::Error> {
        self.0.verify(&RSA_PKCS1_2048_8192_SHA256, message, signature).map_err(refused)
    }
}

impl JwtVerifier for Rs256 {
    fn algorithm(&self) -> Algorithm {
        Algorithm::RS256
    }
}

struct Es256(UnparsedPublicKey<Vec<u8>>);

impl Verifier<Vec<u8>> for Es256 {
    fn verify(&self, message: &[u8], signature: &Vec<u8>) -> Result<(), signature::Error> {
        self.0.verify(message, signature).map_err(refused)
    }
}

impl JwtVerifier for Es256 {
    fn algorithm(&self) -> Algorithm {
        Algorithm::ES256
    }
}

#[cfg(test)]
mod tests {
    use jsonwebtoken::jwk::{Jwk, ThumbprintHash};
    use jsonwebtoken::{Header, Validation, crypto, decode, encode};
    use serde_json::{Value, json};

    use super::*;

    /// RFC 7515, appendix A.1, checked with its key: our HMAC is the one that others compute.
    #[test]
    fn the_example_of_the_standard_verifies() {
        install();
        let key = "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9\
                   CAow";
        let jwk: Jwk = serde_json::from_value(json!({"kty": "oct", "k": key})).unwrap();
        let message = "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4\
                       MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";
        let signature = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
        let key = DecodingKey::from_jwk(&jwk).unwrap();
        let holds = |message: &str| {
            crypto::verify(signature, message.as_bytes(), &key, Algorithm::HS256).unwrap()
        };
        assert!(holds(message));
        assert!(!holds("another"));
    }

    /// The library panics at the first use without a provider.
    #[test]
    fn the_library_uses_our_provider() {
        install();
        install();
        let claims = json!({"sub": "ann", "exp": 4_000_000_000_u64});
        let key = EncodingKey::from_secret(b"0123456789abcdef0123456789abcdef");
        let token = encode(&Header::new(Algorithm::HS256), &claims, &key).unwrap();
        let key = DecodingKey::from_secret(b"0123456789abcdef0123456789abcdef");
        let read = decode::<Value>(&token, &key, &Validation::new(Algorithm::HS256)).unwrap();
        assert_eq!(read.claims, claims);
    }

    #[test]
    fn what_is_not_supported_is_an_error_and_no_panic() {
        use Algorithm::{ES384, EdDSA, HS256, HS384, HS512, PS256, RS256, RS512};
        install();
        let secret = EncodingKey::from_secret(&[7; 32]);
        for algorithm in [HS384, HS512, RS256, ES384, EdDSA] {
            assert!(encode(&Header::new(algorithm), &json!({}), &secret).is_err());
        }
        assert!(crypto::sign(b"x", &EncodingKey::from_rsa_der(&[1]), HS256).is_err());
        let keys = [
            DecodingKey::from_secret(&[7; 32]),
            DecodingKey::from_rsa_der(&[7; 32]),
            DecodingKey::from_rsa_raw_components(&[7; 32], &[3]),
            DecodingKey::from_ec_der(&[7; 65]),
            DecodingKey::from_ed_der(&[7; 32]),
        ];
        for key in &keys {
            for algorithm in [HS256, HS384, HS512, RS256, RS512, PS256, ES384, EdDSA] {
                let verified = crypto::verify("AAAA", b"x", key, algorithm);
                assert!(!matches!(verified, Ok(true)), "{algorithm:?}");
            }
        }
        let thumbprint = Jwk::from_decoding_key(&keys[0], None).unwrap();
        assert!(thumbprint.thumbprint(ThumbprintHash::SHA256).is_err());
        assert!(Jwk::from_decoding_key(&keys[1], None).is_err());
    }
}
