//! Signatures of tokens, computed by the `ring` that TLS links already.
//!
//! `jsonwebtoken` brings two providers of its own. One builds a second cryptography library in C, the other 43
//! packages.

use jsonwebtoken::{
    Algorithm, AlgorithmFamily, DecodingKey, DecodingKeyKind, EncodingKey,
    crypto::{CryptoProvider, JwtSigner, JwtVerifier, KeyUtils},
    errors::{Error, ErrorKind},
    signature::{self as jwt_signature, Signer, Verifier},
};
use ring::{hmac, signature};

/// HS256 signs and verifies. RS256 and ES256 verify. Tokens with published keys are signed elsewhere.
static PROVIDER: CryptoProvider = CryptoProvider {
    signer_factory: |algorithm, key| signer(*algorithm, key),
    verifier_factory: |algorithm, key| verifier(*algorithm, key),
    // Only for making a JWK out of a private key, and for thumbprints.
    key_utils: KeyUtils::new_unimplemented(),
};

/// Makes `jsonwebtoken` use this provider. Every verifier and every minter of the process calls it first.
pub(super) fn install() {
    // An error says that an earlier call has installed it.
    let _ = PROVIDER.install_default();
}

fn signer(algorithm: Algorithm, key: &EncodingKey) -> Result<Box<dyn JwtSigner>, Error> {
    match (algorithm, key.family()) {
        (Algorithm::HS256, AlgorithmFamily::Hmac) => {
            Ok(Box::new(Hs256(hmac::Key::new(hmac::HMAC_SHA256, key.as_bytes()))))
        }
        _ => Err(ErrorKind::InvalidAlgorithm.into()),
    }
}

fn verifier(algorithm: Algorithm, key: &DecodingKey) -> Result<Box<dyn JwtVerifier>, Error> {
    match (algorithm, key.family(), key.kind()) {
        (Algorithm::HS256, AlgorithmFamily::Hmac, DecodingKeyKind::SecretOrDer(secret)) => {
            Ok(Box::new(Hs256(hmac::Key::new(hmac::HMAC_SHA256, secret))))
        }
        (Algorithm::RS256, AlgorithmFamily::Rsa, DecodingKeyKind::RsaModulusExponent { n, e }) => {
            let [n, e] = [n, e].map(|number| without_zeros(number));
            Ok(Box::new(Rs256(signature::RsaPublicKeyComponents { n, e })))
        }
        (Algorithm::ES256, AlgorithmFamily::Ec, DecodingKeyKind::SecretOrDer(point)) => Ok(Box::new(Es256(
            signature::UnparsedPublicKey::new(&signature::ECDSA_P256_SHA256_FIXED, point.clone()),
        ))),
        _ => Err(ErrorKind::InvalidAlgorithm.into()),
    }
}

/// A number as `ring` takes it: without the zeros that some providers put in front, against RFC 7518, section 6.3.1.
fn without_zeros(number: &[u8]) -> Vec<u8> {
    number.iter().copied().skip_while(|byte| *byte == 0).collect()
}

struct Hs256(hmac::Key);

impl Signer<Vec<u8>> for Hs256 {
    fn try_sign(&self, message: &[u8]) -> Result<Vec<u8>, jwt_signature::Error> {
        Ok(hmac::sign(&self.0, message).as_ref().to_vec())
    }
}

impl Verifier<Vec<u8>> for Hs256 {
    fn verify(&self, message: &[u8], signature: &Vec<u8>) -> Result<(), jwt_signature::Error> {
        hmac::verify(&self.0, message, signature).map_err(wrong)
    }
}

impl JwtSigner for Hs256 {
    fn algorithm(&self) -> Algorithm {
        Algorithm::HS256
    }
}

impl JwtVerifier for Hs256 {
    fn algorithm(&self) -> Algorithm {
        Algorithm::HS256
    }
}

struct Rs256(signature::RsaPublicKeyComponents<Vec<u8>>);

impl Verifier<Vec<u8>> for Rs256 {
    fn verify(&self, message: &[u8], signature: &Vec<u8>) -> Result<(), jwt_signature::Error> {
        self.0.verify(&signature::RSA_PKCS1_2048_8192_SHA256, message, signature).map_err(wrong)
    }
}

impl JwtVerifier for Rs256 {
    fn algorithm(&self) -> Algorithm {
        Algorithm::RS256
    }
}

struct Es256(signature::UnparsedPublicKey<Vec<u8>>);

impl Verifier<Vec<u8>> for Es256 {
    fn verify(&self, message: &[u8], signature: &Vec<u8>) -> Result<(), jwt_signature::Error> {
        self.0.verify(message, signature).map_err(wrong)
    }
}

impl JwtVerifier for Es256 {
    fn algorithm(&self) -> Algorithm {
        Algorithm::ES256
    }
}

/// `ring` says no more than this, on purpose.
fn wrong(_: ring::error::Unspecified) -> jwt_signature::Error {
    jwt_signature::Error::new()
}
