//! Keys that an identity provider publishes: a small one of our own, which can fail and rotate.

use std::{
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::{Router, extract::State, routing::get};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::{
    keys::{Pair, ec, rsa},
    *,
};

const HOUR: Duration = Duration::from_hours(1);
const NEVER: Pace = Pace { fresh: HOUR, apart: HOUR, apart_cold: HOUR, stale: HOUR };
const ALWAYS: Pace =
    Pace { fresh: Duration::ZERO, apart: Duration::ZERO, apart_cold: Duration::ZERO, stale: HOUR };

struct Provider {
    url: String,
    state: Arc<Published>,
    _stop: DropGuard,
}

#[derive(Default)]
struct Published {
    /// What is answered; nothing is a 500.
    document: Mutex<Option<String>>,
    asked: AtomicUsize,
}

impl Provider {
    async fn start(keys: &[Value]) -> Self {
        let state = Arc::new(Published::default());
        let answer = async |State(state): State<Arc<Published>>| {
            state.asked.fetch_add(1, Ordering::Relaxed);
            state.document.lock().unwrap().clone().ok_or(http::StatusCode::INTERNAL_SERVER_ERROR)
        };
        let router = Router::new().route("/keys", get(answer)).with_state(state.clone());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/keys", listener.local_addr().unwrap());
        let stop = CancellationToken::new();
        let stopped = stop.clone().cancelled_owned();
        tokio_util::task::TaskTracker::new().spawn(async move {
            axum::serve(listener, router).with_graceful_shutdown(stopped).await.unwrap();
        });
        let provider = Self { url, state, _stop: stop.drop_guard() };
        provider.publish(keys);
        provider
    }

    fn publish(&self, keys: &[Value]) {
        self.answer(Some(json!({ "keys": keys }).to_string()));
    }

    fn answer(&self, document: Option<String>) {
        *self.state.document.lock().unwrap() = document;
    }

    fn asked(&self) -> usize {
        self.state.asked.load(Ordering::Relaxed)
    }

    fn verifier(&self, pace: Pace) -> Verifier {
        let config = AuthConfig { secret: None, jwks_url: Some(self.url.clone()), ..config() };
        Verifier::with_pace(&config, pace).unwrap()
    }
}

fn token(key: &Pair, algorithm: Algorithm, kid: Option<&str>) -> String {
    let header = Header { kid: kid.map(str::to_owned), ..Header::new(algorithm) };
    key.token(&header, &claims())
}

fn is_genuine(verdict: &Verdict) -> bool {
    matches!(verdict, Verdict::Genuine(identity) if identity.user == alice())
}

fn both() -> [Value; 2] {
    [rsa().public("r"), ec(keys::EC).public("e")]
}

#[tokio::test]
async fn rs256_and_es256_are_verified_with_one_fetch() {
    let provider = Provider::start(&both()).await;
    let verifier = provider.verifier(NEVER);
    for token in [
        token(&rsa(), Algorithm::RS256, Some("r")),
        token(&ec(keys::EC), Algorithm::ES256, Some("e")),
        token(&rsa(), Algorithm::RS256, Some("r")),
    ] {
        assert!(is_genuine(&verifier.verify(&token, now()).await));
    }
    assert_eq!(provider.asked(), 1);
}

#[tokio::test]
async fn many_first_tokens_share_one_fetch() {
    let provider = Provider::start(&both()).await;
    let verifier = provider.verifier(NEVER);
    let token = token(&ec(keys::EC), Algorithm::ES256, Some("e"));
    let all = (0..50).map(|_| verifier.verify(&token, now()));
    for verdict in futures_util::future::join_all(all).await {
        assert!(is_genuine(&verdict), "{verdict:?}");
    }
    assert_eq!(provider.asked(), 1);
}

#[tokio::test]
async fn a_key_is_good_for_its_one_algorithm() {
    let provider = Provider::start(&both()).await;
    let verifier = provider.verifier(NEVER);
    for (bad, refusal) in [
        (token(&rsa(), Algorithm::RS384, Some("r")), Refusal::Algorithm),
        (token(&rsa(), Algorithm::PS256, Some("r")), Refusal::Algorithm),
        (token(&rsa(), Algorithm::RS256, Some("e")), Refusal::Algorithm),
        (token(&ec(keys::EC), Algorithm::ES256, Some("r")), Refusal::Algorithm),
        (token(&ec(keys::OTHER_EC), Algorithm::ES256, Some("e")), Refusal::Signature),
        (token(&rsa(), Algorithm::RS256, Some("x")), Refusal::UnknownKey),
        (token(&rsa(), Algorithm::RS256, Some("../r' OR 1=1")), Refusal::UnknownKey),
        (token(&rsa(), Algorithm::RS256, None), Refusal::UnknownKey),
    ] {
        assert_eq!(verifier.verify(&bad, now()).await, Verdict::Refused(refusal), "{bad}");
    }
    assert_eq!(provider.asked(), 1, "unknown names must not make a flood");
}

#[tokio::test]
async fn a_modulus_may_have_zeros_in_front() {
    let [mut padded, _] = both();
    let n = BASE64URL_NOPAD.decode(padded["n"].as_str().unwrap().as_bytes()).unwrap();
    padded["n"] = BASE64URL_NOPAD.encode(&[&[0], &n[..]].concat()).into();
    let provider = Provider::start(&[padded]).await;
    let verdict = provider.verifier(NEVER).verify(&token(&rsa(), Algorithm::RS256, Some("r")), now()).await;
    assert!(is_genuine(&verdict), "{verdict:?}");
}

#[tokio::test]
async fn two_kinds_of_key_may_share_a_name() {
    let keys = [rsa().public("k"), ec(keys::EC).public("k")];
    let provider = Provider::start(&keys).await;
    let verifier = provider.verifier(NEVER);
    for token in
        [token(&rsa(), Algorithm::RS256, Some("k")), token(&ec(keys::EC), Algorithm::ES256, Some("k"))]
    {
        assert!(is_genuine(&verifier.verify(&token, now()).await));
    }
}

#[tokio::test]
async fn a_public_key_is_no_secret_to_sign_with() {
    let [rsa, _] = both();
    let provider = Provider::start(std::slice::from_ref(&rsa)).await;
    let verifier = provider.verifier(NEVER);
    let n = rsa["n"].as_str().unwrap();
    let raw = BASE64URL_NOPAD.decode(n.as_bytes()).unwrap();
    for secret in [n.as_bytes(), &raw, rsa.to_string().as_bytes(), b""] {
        for header in [r#"{"alg":"HS256","kid":"r"}"#, r#"{"alg":"HS256"}"#] {
            let confused = hs256(header, &claims().to_string(), secret);
            let verdict = verifier.verify(&confused, now()).await;
            assert_eq!(verdict, Verdict::Refused(Refusal::Algorithm));
        }
    }
    // A key or a place to find one inside the token is not even looked at.
    let own = json!({"alg": "ES256", "kid": "r", "jwk": ec(keys::EC).public("r"),
        "jku": "http://127.0.0.1:1/"});
    let message = [own, claims()].map(|part| BASE64URL_NOPAD.encode(part.to_string().as_bytes())).join(".");
    let signature = BASE64URL_NOPAD.encode(&ec(keys::EC).sign(message.as_bytes(), Algorithm::ES256));
    let verdict = verifier.verify(&format!("{message}.{signature}"), now()).await;
    assert_eq!(verdict, Verdict::Refused(Refusal::Algorithm));
}

#[tokio::test]
async fn a_token_without_kid_needs_a_set_of_one() {
    let provider = Provider::start(&both()[1..]).await;
    let verdict = provider.verifier(NEVER).verify(&token(&ec(keys::EC), Algorithm::ES256, None), now()).await;
    assert!(is_genuine(&verdict), "{verdict:?}");
}

#[tokio::test]
async fn keys_that_must_not_be_used_are_not() {
    let with = |mut jwk: Value, name: &str, value: &str| {
        jwk[name] = value.into();
        jwk
    };
    let [rsa, ec] = both();
    let useless = [
        with(rsa.clone(), "n", keys::WEAK_MODULUS),
        with(rsa.clone(), "use", "enc"),
        with(rsa, "alg", "RS512"),
        with(ec.clone(), "crv", "P-384"),
        with(ec, "x", "AAAA"),
        json!({"kty": "oct", "kid": "r", "k": "AAAA"}),
        json!({"kty": "new", "kid": "r"}),
        json!(7),
    ];
    let provider = Provider::start(&useless).await;
    let verifier = provider.verifier(ALWAYS);
    let token = token(&keys::rsa(), Algorithm::RS256, Some("r"));
    assert_eq!(verifier.verify(&token, now()).await, Verdict::Unknown);
    // Beside them, the good one still is found.
    provider.publish(&[&useless[..], &both()].concat());
    assert!(is_genuine(&verifier.verify(&token, now()).await));
}

#[tokio::test]
async fn a_rotated_key_is_fetched_when_its_first_token_comes_and_the_old_one_ends() {
    let provider = Provider::start(&[ec(keys::EC).public("1")]).await;
    let verifier = provider.verifier(Pace { apart: Duration::ZERO, ..NEVER });
    let old = token(&ec(keys::EC), Algorithm::ES256, Some("1"));
    let new = token(&ec(keys::OTHER_EC), Algorithm::ES256, Some("2"));
    assert!(is_genuine(&verifier.verify(&old, now()).await));
    provider.publish(&[ec(keys::OTHER_EC).public("2")]);
    assert!(is_genuine(&verifier.verify(&old, now()).await), "no one has asked yet");
    assert!(is_genuine(&verifier.verify(&new, now()).await));
    assert_eq!(verifier.verify(&old, now()).await, Verdict::Refused(Refusal::UnknownKey));
}

#[tokio::test]
async fn an_outage_keeps_the_old_keys_and_refuses_no_one_for_good() {
    let provider = Provider::start(&both()[..1]).await;
    let verifier = provider.verifier(ALWAYS);
    let known = token(&rsa(), Algorithm::RS256, Some("r"));
    let rotated = token(&ec(keys::EC), Algorithm::ES256, Some("e"));
    assert!(is_genuine(&verifier.verify(&known, now()).await));
    for outage in [None, Some("<html>"), Some("{}"), Some(r#"{"keys":[]}"#)] {
        provider.answer(outage.map(str::to_owned));
        assert!(is_genuine(&verifier.verify(&known, now()).await), "{outage:?}");
        assert_eq!(verifier.verify(&rotated, now()).await, Verdict::Unknown, "{outage:?}");
    }
    let huge = json!({"keys": both(), "x": "x".repeat(256 * 1024)}).to_string();
    provider.answer(Some(huge));
    assert_eq!(verifier.verify(&rotated, now()).await, Verdict::Unknown);
    provider.publish(&both());
    assert!(is_genuine(&verifier.verify(&rotated, now()).await));
}

#[tokio::test]
async fn keys_that_were_not_confirmed_for_long_let_nobody_in() {
    let provider = Provider::start(&both()).await;
    let verifier = provider.verifier(NEVER);
    let token = token(&rsa(), Algorithm::RS256, Some("r"));
    assert!(is_genuine(&verifier.verify(&token, now()).await));
    provider.answer(None);
    tokio::time::pause();
    tokio::time::advance(HOUR).await;
    assert_eq!(verifier.verify(&token, now()).await, Verdict::Unknown);
}

#[tokio::test]
async fn a_provider_that_is_away_at_the_start_makes_every_token_unknown_and_is_asked_seldom() {
    let provider = Provider::start(&[]).await;
    provider.answer(None);
    let verifier = provider.verifier(NEVER);
    let token = token(&rsa(), Algorithm::RS256, Some("r"));
    for _ in 0..3 {
        assert_eq!(verifier.verify(&token, now()).await, Verdict::Unknown);
    }
    assert_eq!(provider.asked(), 1);
    // And where nothing listens at all.
    let nowhere = AuthConfig { secret: None, jwks_url: Some("http://127.0.0.1:1/".to_owned()), ..config() };
    assert_eq!(Verifier::new(&nowhere).unwrap().verify(&token, now()).await, Verdict::Unknown);
}
