//! Tokens of our own, for development: signed with the shared secret that also verifies them.

use std::time::Duration;

use domain::ids::UserId;
use jiff::Timestamp;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde::Serialize;

use super::{AuthConfig, ConfigError, crypto, scope::Scope, set};

/// Mints tokens that a [`Verifier`](super::Verifier) of the same configuration takes.
#[derive(Clone)]
pub struct Minter {
    key: EncodingKey,
    issuer: Option<String>,
    audience: Option<String>,
}

impl std::fmt::Debug for Minter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Minter").finish_non_exhaustive()
    }
}

#[derive(Serialize)]
struct Claims<'a> {
    sub: &'a str,
    jti: String,
    iat: i64,
    exp: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    iss: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    aud: Option<&'a str>,
    #[serde(skip_serializing_if = "str::is_empty")]
    scope: &'a str,
}

impl Minter {
    /// A minter with the secret, issuer and audience of `config`.
    ///
    /// # Errors
    /// [`ConfigError::NoSecret`] or [`ConfigError::ShortSecret`].
    pub fn new(config: &AuthConfig) -> Result<Self, ConfigError> {
        crypto::install();
        let secret = config.secret()?.ok_or(ConfigError::NoSecret)?;
        Ok(Self {
            key: EncodingKey::from_secret(secret.as_bytes()),
            issuer: set(config.issuer.as_deref()).map(str::to_owned),
            audience: set(config.audience.as_deref()).map(str::to_owned),
        })
    }

    /// A token for `user`, good from `now` for `ttl`, in whole seconds.
    pub fn mint(&self, user: &UserId, ttl: Duration, now: Timestamp) -> String {
        self.mint_scoped(user, &[], ttl, now)
    }

    /// The token of a service with these scopes.
    pub fn mint_scoped(&self, user: &UserId, scopes: &[Scope], ttl: Duration, now: Timestamp) -> String {
        let scopes: Vec<&str> = scopes.iter().map(|scope| scope.name()).collect();
        let iat = now.as_second();
        let claims = Claims {
            sub: user.as_str(),
            // Each token is a session of its own.
            jti: format!("{:032x}", rng::random::<u128>()),
            iat,
            exp: iat.saturating_add_unsigned(ttl.as_secs()),
            iss: self.issuer.as_deref(),
            aud: self.audience.as_deref(),
            scope: &scopes.join(" "),
        };
        jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &self.key)
            .expect("strings and numbers serialize, and HMAC takes a key of any length")
    }
}
