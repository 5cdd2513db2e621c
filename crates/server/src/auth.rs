//! Who calls: JSON Web Tokens of the team's own identity provider, judged for both sides.
//!
//! The one rule against algorithm confusion: a key knows its one algorithm, and a token that names
//! another is refused before its signature is looked at.

use std::{collections::HashMap, sync::Arc};

use domain::{credential::Credential, ids::UserId, limits, mark::Mark};
use http::Uri;
use jiff::{SignedDuration, Timestamp};
use jsonwebtoken::{Algorithm, DecodingKey, Header, dangerous};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::Value;

use claims::{Claims, Expected};
use jwks::{Jwks, Pace};
use scope::Scopes;

pub mod acting;
pub mod bearer;
mod claims;
pub mod cookie;
mod crypto;
mod fetch;
mod jwks;
pub mod mint;
pub mod revoked;
pub mod scope;

/// Shortest secret for HS256, in bytes: the key is as long as the hash (RFC 7518, section 3.2).
const SECRET_BYTES_MIN: usize = 32;

/// How far the identity provider's clock and ours may differ.
pub const LEEWAY: SignedDuration = SignedDuration::from_secs(30);

/// Heading in `--help` of the settings below.
const TOKENS: &str = "Tokens";

/// The claim of scopes where no other is named (RFC 8693, section 4.2).
const SCOPE_CLAIM: &str = "scope";

/// Accepted tokens. Exactly one of `secret` and `jwks_url` must be there.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = TOKENS)]
pub struct AuthConfig {
    /// Shared secret of at least 32 bytes that signs tokens (HS256). Prefer the environment: other users of the machine
    /// can read a command line.
    #[arg(long = "jwt-secret", env = "RUNNEL_JWT_SECRET", hide_env_values = true)]
    pub secret: Option<SecretString>,
    /// The secret before it, whose tokens count as well: for the time in which a new one takes its place.
    #[arg(long = "jwt-secret-old", env = "RUNNEL_JWT_SECRET_OLD", hide_env_values = true)]
    pub old_secret: Option<SecretString>,
    /// Key set of your identity provider (RS256, ES256): an https URL. Requires an issuer and an audience.
    #[arg(long, env = "RUNNEL_JWKS_URL", value_name = "URL")]
    pub jwks_url: Option<String>,
    /// Required `iss` of a token. Default with a shared secret: any.
    #[arg(long = "jwt-issuer", env = "RUNNEL_JWT_ISSUER")]
    pub issuer: Option<String>,
    /// Required `aud` of a token. Default with a shared secret: any.
    #[arg(long = "jwt-audience", env = "RUNNEL_JWT_AUDIENCE")]
    pub audience: Option<String>,
    /// Claim that lists the scopes of a service's token: words with blanks between them, or a list.
    #[arg(long, env = "RUNNEL_SCOPE_CLAIM", value_name = "NAME", default_value = SCOPE_CLAIM)]
    pub scope_claim: String,
}

impl Default for AuthConfig {
    fn default() -> Self {
        let scope_claim = SCOPE_CLAIM.into();
        Self { secret: None, old_secret: None, jwks_url: None, issuer: None, audience: None, scope_claim }
    }
}

impl AuthConfig {
    /// Whether there is a secret or a key set.
    pub fn has_key(&self) -> bool {
        set(self.secret.as_ref().map(SecretString::expose_secret)).is_some() || self.has_provider()
    }

    /// Whether tokens are those of an identity provider.
    pub fn has_provider(&self) -> bool {
        set(self.jwks_url.as_deref()).is_some()
    }

    /// The secret, if there is one that is not empty: templates leave unused variables empty.
    fn secret(&self) -> Result<Option<&str>, ConfigError> {
        long(self.secret.as_ref())
    }
}

/// A secret that is set, and long enough.
fn long(secret: Option<&SecretString>) -> Result<Option<&str>, ConfigError> {
    match set(secret.map(SecretString::expose_secret)) {
        Some(secret) if secret.len() < SECRET_BYTES_MIN => {
            Err(ConfigError::ShortSecret { bytes: secret.len() })
        }
        secret => Ok(secret),
    }
}

fn set(value: Option<&str>) -> Option<&str> {
    value.filter(|value| !value.is_empty())
}

/// Why tokens cannot be judged or minted with a configuration.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// Neither a secret nor a JWKS URL.
    #[error(
        "no key to verify tokens with: set `RUNNEL_JWKS_URL` to your identity provider's key set, \
         or `RUNNEL_JWT_SECRET` to a shared secret"
    )]
    NoKey,
    /// Both a secret and a JWKS URL.
    #[error("`RUNNEL_JWT_SECRET` and `RUNNEL_JWKS_URL` are both set: unset one of them")]
    TwoKeys,
    /// A secret that can be guessed.
    #[error(
        "`RUNNEL_JWT_SECRET` has {bytes} bytes and needs at least 32: \
         make one with `openssl rand -base64 48`"
    )]
    ShortSecret {
        /// Its length.
        bytes: usize,
    },
    /// Every application of the identity provider has tokens with these keys.
    #[error(
        "`RUNNEL_JWKS_URL` is set without `{missing}`: set it to the one of your application's tokens, because the \
         identity provider signs the tokens of other applications with the same keys"
    )]
    AnyToken {
        /// The setting that is missing.
        missing: &'static str,
    },
    /// Keys that anyone between here and there could replace.
    #[error("`RUNNEL_JWKS_URL` is `{url}`: give an `https://` URL (plain http only on loopback)")]
    JwksUrl {
        /// What was given.
        url: String,
    },
    /// Only a shared secret can sign.
    #[error("tokens can only be minted with a shared secret: set `RUNNEL_JWT_SECRET`")]
    NoSecret,
}

/// Whom a request speaks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The token's `sub`, or the user for whom a service acts.
    pub user: UserId,
    /// The token's `iat`, or the epoch where it has none: so the first revocation ends it.
    pub issued_at: Timestamp,
    /// The token's `exp`. It is honoured for 30 s more, since clocks differ.
    pub expires_at: Timestamp,
    /// The token's session: its `sid`, or else its `jti`.
    pub session: Option<Mark>,
    /// What the token allows beside acting as its own user.
    pub scopes: Scopes,
    /// The service that acts for the user: then the token is the service's, and `issued_at` the time of the request.
    pub via: Option<UserId>,
}

impl Identity {
    /// What decides whether the token was revoked.
    pub fn credential(&self) -> Credential {
        Credential { issued_at: self.issued_at, session: self.session }
    }
}

/// What a token is worth.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It counts.
    Genuine(Identity),
    /// It counted once: right in everything but `exp`.
    Expired(Identity),
    /// It never counted here.
    Refused(Refusal),
    /// Not to be told now: the provider's keys cannot be had. The caller should come back.
    Unknown,
}

/// Why a token never counted. None of the texts quotes the token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Longer than [`limits::TOKEN_BYTES`].
    #[error("the token is longer than 8 KiB")]
    TooLong,
    /// Not three parts of base64url, or a header that is none.
    #[error("the token is not a signed JWT")]
    Malformed,
    /// A `typ` or `crit` that asks for more than is understood here.
    #[error("the token's header has a `typ` or `crit` that this service does not support")]
    Header,
    /// Not the one algorithm of its key.
    #[error("the token's `alg` does not match its key")]
    Algorithm,
    /// No such key, or several keys and no `kid`.
    #[error("the token's `kid` matches no key of the identity provider")]
    UnknownKey,
    /// Signed by someone else, or changed since.
    #[error("the token's signature is invalid")]
    Signature,
    /// A claim that is missing, doubled or of the wrong form.
    #[error("the token's `sub` or `exp` is missing, or a claim is malformed")]
    Claims,
    /// A `sub` that is no user id.
    #[error("the token's `sub` must have 1 to 128 characters from a–z, A–Z, 0–9 and _ . @ | : + = ~ -")]
    Subject,
    /// Another `iss`, or none.
    #[error("the token's `iss` is not the expected issuer")]
    Issuer,
    /// Another `aud`, or none.
    #[error("the token's `aud` does not name this service")]
    Audience,
    /// `nbf` or `iat` lies in the future.
    #[error("the token is not valid yet")]
    NotYet,
}

/// A public or shared key and the one algorithm it is for.
#[derive(Clone, Debug)]
struct Key {
    decoding: DecodingKey,
    algorithm: Algorithm,
}

/// Judges tokens; cheap to clone.
#[derive(Clone, Debug)]
pub struct Verifier(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    keys: Keys,
    expected: Expected,
}

#[derive(Debug)]
enum Keys {
    /// The secret, and perhaps the one before it.
    Secrets(Vec<Arc<Key>>),
    Published(Box<Jwks>),
}

impl Verifier {
    /// A verifier as configured. Published keys are fetched when the first token comes.
    ///
    /// # Errors
    /// [`ConfigError`], a sentence that says what to do.
    pub fn new(config: &AuthConfig) -> Result<Self, ConfigError> {
        Self::with_pace(config, Pace::default())
    }

    fn with_pace(config: &AuthConfig, pace: Pace) -> Result<Self, ConfigError> {
        crypto::install();
        let keys = match (config.secret()?, set(config.jwks_url.as_deref())) {
            (None, None) => return Err(ConfigError::NoKey),
            (Some(_), Some(_)) => return Err(ConfigError::TwoKeys),
            (Some(secret), None) => {
                let secrets = [Some(secret), long(config.old_secret.as_ref())?].into_iter().flatten();
                let decoding = secrets.map(|secret| DecodingKey::from_secret(secret.as_bytes()));
                let key = |decoding| Arc::new(Key { decoding, algorithm: Algorithm::HS256 });
                Keys::Secrets(decoding.map(key).collect())
            }
            (None, Some(url)) => {
                for (setting, missing) in
                    [(&config.issuer, "RUNNEL_JWT_ISSUER"), (&config.audience, "RUNNEL_JWT_AUDIENCE")]
                {
                    set(setting.as_deref()).ok_or(ConfigError::AnyToken { missing })?;
                }
                Keys::Published(Box::new(Jwks::new(safe_url(url)?, pace)))
            }
        };
        let expected = Expected {
            issuer: set(config.issuer.as_deref()).map(str::to_owned),
            audience: set(config.audience.as_deref()).map(str::to_owned),
            scope_claim: set(Some(&config.scope_claim)).unwrap_or(SCOPE_CLAIM).to_owned(),
        };
        Ok(Self(Arc::new(Inner { keys, expected })))
    }

    /// What `token` is worth at `now`. May wait up to 5 s for the provider's keys.
    pub async fn verify(&self, token: &str, now: Timestamp) -> Verdict {
        let header = match read_header(token) {
            Ok(header) => header,
            Err(refusal) => return Verdict::Refused(refusal),
        };
        match &self.0.keys {
            Keys::Secrets(keys) => {
                let mut verdicts = keys.iter().map(|key| self.judge(token, &header, key, now));
                let is_final = |verdict: &Result<_, _>| verdict != &Err(Refusal::Signature);
                verdicts.find(is_final).unwrap_or(Err(Refusal::Signature)).unwrap_or_else(Verdict::Refused)
            }
            Keys::Published(jwks) => match jwks.key(&header).await {
                Ok(key) => self.judge(token, &header, &key, now).unwrap_or_else(Verdict::Refused),
                Err(jwks::NoKey::Unknown) => Verdict::Refused(Refusal::UnknownKey),
                Err(jwks::NoKey::Unavailable) => Verdict::Unknown,
            },
        }
    }

    fn judge(&self, token: &str, header: &Header, key: &Key, now: Timestamp) -> Result<Verdict, Refusal> {
        if header.alg != key.algorithm {
            return Err(Refusal::Algorithm);
        }
        // Not `jsonwebtoken::decode`: it would read the header twice more and the claims twice, to
        // check what is checked here and in `Claims::judge`, there against our own clock.
        let (message, signature) = token.rsplit_once('.').ok_or(Refusal::Malformed)?;
        if !jsonwebtoken::crypto::verify(signature, message.as_bytes(), &key.decoding, key.algorithm)
            .unwrap_or(false)
        {
            return Err(Refusal::Signature);
        }
        // Dangerous only before the signature.
        let mut claims: Claims = dangerous::insecure_decode_claims(token).map_err(|_| Refusal::Claims)?;
        let expected = &self.0.expected;
        if expected.scope_claim != SCOPE_CLAIM {
            let mut all: HashMap<String, Value> =
                dangerous::insecure_decode_claims(token).map_err(|_| Refusal::Claims)?;
            let claim = all.remove(&expected.scope_claim);
            claims.scope = claim.and_then(|claim| serde_json::from_value(claim).ok());
        }
        claims.judge(expected, now)
    }
}

/// The header of what at least looks like a signed token.
fn read_header(token: &str) -> Result<Header, Refusal> {
    if token.len() > limits::TOKEN_BYTES {
        return Err(Refusal::TooLong);
    }
    let part = |part: &str| {
        !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
    };
    if !token.split('.').all(part) || token.split('.').count() != 3 {
        return Err(Refusal::Malformed);
    }
    let header = jsonwebtoken::decode_header(token).map_err(|_| Refusal::Malformed)?;
    // RFC 7515, section 4.1.11: what is critical and unknown must be refused. And a logout or a
    // proof-of-possession token of the same provider is no credential (RFC 8725, section 3.11).
    let typ = header.typ.as_deref().unwrap_or("JWT");
    if header.crit.is_some() || !["JWT", "at+jwt"].iter().any(|known| typ.eq_ignore_ascii_case(known)) {
        return Err(Refusal::Header);
    }
    Ok(header)
}

fn safe_url(url: &str) -> Result<Uri, ConfigError> {
    let bad = || ConfigError::JwksUrl { url: url.to_owned() };
    let uri: Uri = url.parse().map_err(|_| bad())?;
    let host = uri.host().ok_or_else(bad)?;
    match uri.scheme_str() {
        Some("https") => Ok(uri),
        Some("http") if cookie::is_loopback(host) => Ok(uri),
        _ => Err(bad()),
    }
}

#[cfg(test)]
mod tests;
