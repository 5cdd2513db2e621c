//! The identity provider's published keys: fetched when needed, kept for a day while they cannot be fetched.

use std::{
    sync::{Arc, RwLock},
    time::Duration,
};

use aws_smithy_http_client::Connector;
use http::Uri;
use jsonwebtoken::{
    Algorithm, DecodingKey, DecodingKeyKind, Header,
    jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyAlgorithm, PublicKeyUse},
};
use serde::Deserialize;
use tokio::{
    sync::{Mutex, MutexGuard},
    time::Instant,
};

use super::{Key, fetch};

/// Keys looked at in one set; providers publish two to five.
const KEYS: usize = 64;
/// Shortest RSA modulus, in bytes (RFC 7518, section 3.3); no provider publishes longer ones.
const MODULUS_BYTES: std::ops::RangeInclusive<usize> = 256..=512;

/// How often keys are fetched.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    /// Age at which a set is fetched anew.
    pub(super) fresh: Duration,
    /// Least time between two fetches, whatever `kid`s come: no token may make us a flood.
    pub(super) apart: Duration,
    /// The same while there is no set at all and no one can be let in.
    pub(super) apart_cold: Duration,
    /// Age from which a set counts for nothing: the provider may have withdrawn a key meanwhile.
    pub(super) stale: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            fresh: Duration::from_mins(10),
            apart: Duration::from_secs(10),
            apart_cold: Duration::from_secs(1),
            stale: Duration::from_hours(24),
        }
    }
}

/// Why there is no key for a token.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum NoKey {
    /// The provider has none by that name.
    Unknown,
    /// The provider could not be asked.
    Unavailable,
}

/// A key set behind a URL.
#[derive(Debug)]
pub(super) struct Jwks {
    url: Uri,
    pace: Pace,
    connector: Connector,
    // std's lock: held for a clone or a store, never across an await.
    current: RwLock<Option<Arc<KeySet>>>,
    // tokio's lock: held across the fetch, so that there is one at a time.
    flight: Mutex<Flight>,
}

/// The latest fetch.
#[derive(Debug, Default)]
struct Flight {
    at: Option<Instant>,
    succeeded: bool,
}

impl Jwks {
    pub(super) fn new(url: Uri, pace: Pace) -> Self {
        let connector = fetch::connector();
        Self { url, pace, connector, current: RwLock::default(), flight: Mutex::default() }
    }

    /// The key that a token with this header claims to be signed with.
    pub(super) async fn key(&self, header: &Header) -> Result<Arc<Key>, NoKey> {
        let mut set = self.current();
        if set.as_ref().is_some_and(|set| set.fetched.elapsed() >= self.pace.fresh)
            // One caller fetches; the others go on with the old keys meanwhile.
            && let Ok(flight) = self.flight.try_lock()
        {
            self.refresh(flight).await;
            set = self.current();
        }
        if let Some(key) = set.and_then(|set| set.find(header)) {
            return Ok(key);
        }
        // A key that is new to us, or the first token of all.
        let flight = self.flight.lock().await;
        // If whoever held the lock has just fetched, this does not fetch again.
        let asked = self.refresh(flight).await;
        let unfound = if asked { NoKey::Unknown } else { NoKey::Unavailable };
        self.current().and_then(|set| set.find(header)).ok_or(unfound)
    }

    fn current(&self) -> Option<Arc<KeySet>> {
        let current = self.current.read().expect("no one panics while holding the lock").clone();
        current.filter(|set| set.fetched.elapsed() < self.pace.stale)
    }

    /// Fetches the set unless that was tried just now; says whether the last try succeeded.
    async fn refresh(&self, mut flight: MutexGuard<'_, Flight>) -> bool {
        let apart = if self.current().is_some() { self.pace.apart } else { self.pace.apart_cold };
        if flight.at.is_some_and(|at| at.elapsed() < apart) {
            return flight.succeeded;
        }
        // Before the fetch, since a caller that hangs up cancels it here; and after it, since
        // those who waited for it must not each begin another.
        *flight = Flight { at: Some(Instant::now()), succeeded: false };
        let fetched = self.fetch().await;
        *flight = Flight { at: Some(Instant::now()), succeeded: fetched.is_ok() };
        match fetched {
            Ok(set) => {
                tracing::debug!(keys = set.keys.len(), "fetched the identity provider's keys");
                *self.current.write().expect("no one panics while holding the lock") = Some(set.into());
            }
            Err(error) => {
                let kept = if self.current().is_some() { "keeping the old ones" } else { "there are none" };
                tracing::warn!("cannot fetch the keys at `{}`, {kept}: {error}", self.url);
            }
        }
        flight.succeeded
    }

    async fn fetch(&self) -> Result<KeySet, JwksError> {
        let document = fetch::get(&self.connector, &self.url).await?;
        KeySet::parse(&document)
    }
}

/// Why there is no new set.
#[derive(Debug, thiserror::Error)]
enum JwksError {
    #[error(transparent)]
    Fetch(#[from] fetch::FetchError),
    #[error("the answer is no JWK set: {0}")]
    Parse(#[from] serde_json::Error),
    #[error("the set has no RSA key for RS256 and no P-256 key for ES256")]
    Empty,
}

/// The keys of one answer that can be used.
#[derive(Debug)]
struct KeySet {
    keys: Vec<(Option<String>, Arc<Key>)>,
    fetched: Instant,
}

#[derive(Deserialize)]
struct Document {
    // One by one: a key of a kind that is unknown here must not hide the others.
    keys: Vec<serde_json::Value>,
}

impl KeySet {
    fn parse(document: &[u8]) -> Result<Self, JwksError> {
        let document: Document = serde_json::from_slice(document)?;
        let jwks = document.keys.into_iter().take(KEYS).filter_map(|key| serde_json::from_value(key).ok());
        let keys: Vec<_> = jwks.filter_map(|jwk: Jwk| usable(&jwk)).collect();
        if keys.is_empty() { Err(JwksError::Empty) } else { Ok(Self { keys, fetched: Instant::now() }) }
    }

    /// By `kid` and algorithm; without a `kid` only where there is no choice.
    fn find(&self, header: &Header) -> Option<Arc<Key>> {
        let Some(kid) = &header.kid else {
            return if let [(_, only)] = self.keys.as_slice() { Some(only.clone()) } else { None };
        };
        let mut named = self.keys.iter().filter(|(name, _)| name.as_ref() == Some(kid)).map(|(_, key)| key);
        // Two kinds of key may share a name. A name with no key of the right kind still is known:
        // the wrong algorithm is refused later, and is no reason to fetch.
        let first = named.clone().next();
        named.find(|key| key.algorithm == header.alg).or(first).cloned()
    }
}

/// The key pinned to its one algorithm, if it may be used for signatures that we know.
fn usable(jwk: &Jwk) -> Option<(Option<String>, Arc<Key>)> {
    let algorithm = match &jwk.algorithm {
        AlgorithmParameters::RSA(_) => Algorithm::RS256,
        AlgorithmParameters::EllipticCurve(ec) if ec.curve == EllipticCurve::P256 => Algorithm::ES256,
        _ => return None,
    };
    let signs = matches!(jwk.common.public_key_use, None | Some(PublicKeyUse::Signature));
    let agrees = match jwk.common.key_algorithm {
        None => true,
        Some(KeyAlgorithm::RS256) => algorithm == Algorithm::RS256,
        Some(KeyAlgorithm::ES256) => algorithm == Algorithm::ES256,
        Some(_) => false,
    };
    let decoding = DecodingKey::from_jwk(jwk).ok()?;
    let strong = match decoding.kind() {
        DecodingKeyKind::RsaModulusExponent { n, .. } => {
            MODULUS_BYTES.contains(&n.iter().skip_while(|byte| **byte == 0).count())
        }
        // A point of P-256, uncompressed.
        DecodingKeyKind::SecretOrDer(point) => point.len() == 65,
    };
    (signs && agrees && strong).then(|| (jwk.common.key_id.clone(), Arc::new(Key { decoding, algorithm })))
}
