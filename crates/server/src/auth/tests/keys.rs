//! Private keys in base64, made for these tests and known to all the world: never trust them.

use data_encoding::{BASE64, BASE64URL_NOPAD};
use jsonwebtoken::{Algorithm, Header};
use ring::{rand::SystemRandom, signature};
use serde_json::{Value, json};

/// A key pair, as an identity provider has it.
pub(super) enum Pair {
    Rsa(signature::RsaKeyPair),
    Ec(signature::EcdsaKeyPair),
}

/// The one RSA key pair.
pub(super) fn rsa() -> Pair {
    Pair::Rsa(signature::RsaKeyPair::from_der(&BASE64.decode(RSA.as_bytes()).unwrap()).unwrap())
}

/// One of the two key pairs on P-256.
pub(super) fn ec(key: &str) -> Pair {
    let pkcs8 = BASE64.decode(key.as_bytes()).unwrap();
    let signing = &signature::ECDSA_P256_SHA256_FIXED_SIGNING;
    Pair::Ec(signature::EcdsaKeyPair::from_pkcs8(signing, &pkcs8, &SystemRandom::new()).unwrap())
}

impl Pair {
    /// A token with any claims and any of the family's algorithms.
    pub(super) fn token(&self, header: &Header, claims: &Value) -> String {
        let parts = [serde_json::to_string(header).unwrap(), claims.to_string()];
        let message = parts.map(|part| BASE64URL_NOPAD.encode(part.as_bytes())).join(".");
        let signature = BASE64URL_NOPAD.encode(&self.sign(message.as_bytes(), header.alg));
        format!("{message}.{signature}")
    }

    /// The bare signature of a message.
    pub(super) fn sign(&self, message: &[u8], algorithm: Algorithm) -> Vec<u8> {
        let random = SystemRandom::new();
        let padding: &dyn signature::RsaEncoding = match algorithm {
            Algorithm::RS384 => &signature::RSA_PKCS1_SHA384,
            Algorithm::PS256 => &signature::RSA_PSS_SHA256,
            _ => &signature::RSA_PKCS1_SHA256,
        };
        match self {
            Self::Rsa(pair) => {
                let mut signature = vec![0; pair.public().modulus_len()];
                pair.sign(padding, &random, message, &mut signature).unwrap();
                signature
            }
            Self::Ec(pair) => pair.sign(&random, message).unwrap().as_ref().to_vec(),
        }
    }

    /// The public half as a JWK.
    pub(super) fn public(&self, kid: &str) -> Value {
        let text = |bytes: &[u8]| BASE64URL_NOPAD.encode(bytes);
        match self {
            Self::Rsa(pair) => {
                let public = signature::RsaPublicKeyComponents::<Vec<u8>>::from(pair.public());
                json!({"kty": "RSA", "alg": "RS256", "kid": kid, "n": text(&public.n), "e": text(&public.e)})
            }
            Self::Ec(pair) => {
                let point = signature::KeyPair::public_key(pair).as_ref();
                json!({"kty": "EC", "alg": "ES256", "kid": kid, "crv": "P-256", "x": text(&point[1..33]), "y": text(&point[33..])})
            }
        }
    }
}

/// RSA, 2048 bits, PKCS #1.
pub(super) const RSA: &str = "\
    MIIEowIBAAKCAQEAuU7c+lPhV/KNPgVVlmr6YxDLyDl9vw1Zn5s76eEkePcmKxiOxX0zDlT+98wHeJF/t7jCLxsFuu\
    2H2UdNiQzCLDGISMy2GvK0p9bLEit/1o5WKjka72TgsuHGhfUO99lW7PPLQTQzQt9sKhbc/6BqxUpDW6rwkuX4yQUx\
    32TC07uwQazPdHZ2rtnmhJGBsMk7iOduiV/mIoJHZeHkEYsUNhldXRw9SLoZfToSpxUM4qwf/o7LbxdyvKM5NhiUG1\
    o/T1xl05mAIeDlIdEPlbqobvzbssUkUlTCcESGCTYjbBDEE5zDXKTl1C/qpdzYDk1FE62qFbXPKkysKGSC4QYUFwID\
    AQABAoIBACQmxAqcKabAPZjfboqZVT7VbIQj3ynSH215We9vSm/E+6/FqzjRC5BcuZ87MSvu6sU7aLrK4UvOAkY72F\
    8H26vGgAl/0nkgZ2klCNoDHX4Mp7e2C1Cv0/xh+ppwrBpjTseMaldOqT9/Gfl+G2BNefcCXXC5QRTPg8En38puvGmU\
    66X/VXbW25JGstWSLyAq+WPqkDuCA1g3xs0FSytbJP+D7zfFiHP7gO9tnGIr76m5uft6dbA2fS8nUW3J3apwys50Mv\
    v66WWAMD8vzyH1A0Dj3A0mF3fFSvc/xM1LhyBcrBjh/UJ5Do+ez9gKqPuKYxO2mUAy+isO3y+RgTFv5RkCgYEA43/s\
    2UnRJX2z9OCFu74Gt5MvkhUoQs5AAPoTrJXJgbxrs2pyYWm8R43voNYH9yQ30HUYrwtLVj5X9M7S83DrRJemjCwk5o\
    apzADPnBnC2Qkurnvg32Zv6IV3YkC5KGI6i2XHPIihHPHJ12HSx2L+m0yQa2hnayUGOJWHGY3xyU8CgYEA0IXSg2xS\
    4CQoeX1C/eol6Cpg+EEI0WL+P2WvzGi9Aon/ir0JqbQ0MXv9QDwbIlhSI0hg+T8fSZ8hlA0vHO4uXHkzDaOxe0Dw9r\
    jyWP0pVQA/gZRvTeymS69rW6UpXhKkC53soUdmL3yvoRlw5B/sB3Ovq+J97V2QfY5i0TvARrkCgYAcQo7caxQE8TmC\
    iMV0DeXtteXp4qDus4o11NrOzIiMiihi0C1HNohB5zrGIvA4XhJk3bbkP6XrH7FzYqHHxdYj3ia9MNqgnEfJZKxler\
    m+liprWE4V0jbCjpnG5b1aa+FT4Z+/QEWrP8nP7IHvbLet+PPTs9Ns9ttv+fsfTIeldwKBgQDKsMooJauJZJxTO4da\
    +bdPLaKErfK8VdV+GoH/1++iADH90jMKWrhBQZyyS7q0b9WnpjtdDBaFocEqAIbDQGKgUM9neq6SeFXB/ZTVG4CJt2\
    wDsR1gSaB8AVACDVFguA3tnNzfCGAz2Kd/mRM7LCxqMfGYythNWp2Q7k7vw3zrQQKBgH3SFPcxa08LNObQQKuPXzzi\
    RoD0WDk1Esgwt+ZN25KLlbQaTCDaRHU2Rrmn4l2WvzeezQOpHgUIvXfWTWx98b5kxkq/WP3kLBHf3S0KU48RTpZeEI\
    RDQI1PY5Led84eEsk7aCBSwMjsbWqyRkvUBz8pupO8XNYcyUxHnPiPd286";

/// The modulus of an RSA key of 1024 bits in base64url: too weak to be used.
pub(super) const WEAK_MODULUS: &str = "\
    3MQEMyWLE9qUcCQr8gequHYYbBMM8gHxyOgm0ehFtnOFda2eSZRZFhlhB3r6IFOlz7acKLZeVyVMXQL-qilPBefqrG\
    prnS9oCpnS9HKWJnybj2ZTfiEGwbOay0jgHA9wFRozPaZtM7vlah41y_LVQOSRiimZdt0DkGFdWI3pDtM";

/// P-256, PKCS #8.
pub(super) const EC: &str = "\
    MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgzto/w2h54+qWzgjQMI6vLNqmcqQWRB12/mCnjx44i+\
    OhRANCAAQyAWE7+sxravhXt7Lpc21g8g13AiHJYNsxY48j+1RSN9uh8UoMb3Fk3OjuU9yWC6kFUX0Ojpd0RLwpMZEZ\
    iiiM";

/// Another P-256, PKCS #8.
pub(super) const OTHER_EC: &str = "\
    MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgLWwaQ/nOduaD55gSMFpAi4JTreaT+OH40hPF6F2uFk\
    +hRANCAAQ8mJXHpcZbIYdVw9t05Q+jSjllkkNRrW0UUeZ3n/KRKPMuFDurNd6aWuOb6Ok37jNaHaukENMZQU7WN9FJ\
    6/t0";
