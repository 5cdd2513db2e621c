use std::time::Duration;

use data_encoding::BASE64URL_NOPAD;
use jsonwebtoken::EncodingKey;
use serde_json::{Value, json};

use super::*;

mod corpus;
mod keys;
mod published;

const NOW: i64 = 1_800_000_000;
const SECRET: &str = "0123456789abcdef0123456789abcdef";

fn now() -> Timestamp {
    Timestamp::from_second(NOW).unwrap()
}

fn alice() -> UserId {
    UserId::parse("alice").unwrap()
}

fn config() -> AuthConfig {
    AuthConfig {
        secret: Some(SECRET.into()),
        old_secret: None,
        jwks_url: None,
        issuer: Some("https://issuer.example".to_owned()),
        audience: Some("runnel".to_owned()),
        ..AuthConfig::default()
    }
}

fn claims() -> Value {
    json!({
        "sub": "alice", "iat": NOW, "exp": NOW + 600,
        "iss": "https://issuer.example", "aud": "runnel",
    })
}

/// The good claims with `changes` laid over; `null` takes a claim away.
fn with(changes: Value) -> Value {
    let (mut claims, Value::Object(changes)) = (claims(), changes) else { panic!("not an object") };
    for (name, value) in changes {
        if value.is_null() {
            claims.as_object_mut().unwrap().remove(&name);
        } else {
            claims[name] = value;
        }
    }
    claims
}

/// Signs any header and any payload, however odd, with HS256.
fn hs256(header: &str, payload: &str, secret: &[u8]) -> String {
    let message = format!(
        "{}.{}",
        BASE64URL_NOPAD.encode(header.as_bytes()),
        BASE64URL_NOPAD.encode(payload.as_bytes())
    );
    crypto::install();
    let key = EncodingKey::from_secret(secret);
    let signature = jsonwebtoken::crypto::sign(message.as_bytes(), &key, Algorithm::HS256).unwrap();
    format!("{message}.{signature}")
}

fn signed(claims: &Value) -> String {
    hs256(r#"{"alg":"HS256","typ":"JWT"}"#, &claims.to_string(), SECRET.as_bytes())
}

async fn verdict(token: &str) -> Verdict {
    Verifier::new(&config()).unwrap().verify(token, now()).await
}

#[tokio::test]
async fn a_session_is_the_sid_or_else_the_jti_and_other_types_name_none() {
    for (changes, session) in [
        (json!({"sid": "s", "jti": "j"}), Some("s")),
        (json!({"jti": "j"}), Some("j")),
        (json!({"sid": "", "jti": "j"}), Some("j")),
        (json!({"sid": 7}), None),
        (json!({}), None),
    ] {
        let Verdict::Genuine(identity) = verdict(&signed(&with(changes.clone()))).await else {
            panic!("{changes}")
        };
        assert_eq!(identity.session, session.map(Mark::of), "{changes}");
    }
}

#[tokio::test]
async fn a_good_token_is_genuine_and_says_for_how_long() {
    let expected = Identity {
        user: alice(),
        issued_at: now(),
        expires_at: Timestamp::from_second(NOW + 600).unwrap(),
        session: None,
        scopes: Scopes::default(),
        via: None,
    };
    assert_eq!(verdict(&signed(&claims())).await, Verdict::Genuine(expected));
}

#[tokio::test]
async fn good_tokens_come_in_several_forms() {
    for changes in [
        json!({"aud": ["other", "runnel"]}),
        json!({"exp": 1_800_000_600.75}),
        json!({"nbf": NOW + 29}),
        json!({"iat": NOW + 29}),
        json!({"exp": NOW - 29}),
        json!({"sub": "auth0|66f1:a+b~c@x=y"}),
        json!({"sub": "x".repeat(128)}),
        json!({"scope": {"any": ["thing"]}}),
    ] {
        let verdict = verdict(&signed(&with(changes.clone()))).await;
        assert!(matches!(verdict, Verdict::Genuine(_)), "{changes}: {verdict:?}");
    }
    for header in [r#"{"alg":"HS256"}"#, r#"{"alg":"HS256","typ":"at+jwt","kid":"any"}"#] {
        let verdict = verdict(&hs256(header, &claims().to_string(), SECRET.as_bytes())).await;
        assert!(matches!(verdict, Verdict::Genuine(_)), "{header}: {verdict:?}");
    }
}

#[tokio::test]
async fn a_token_without_iat_counts_as_issued_at_the_epoch() {
    let Verdict::Genuine(identity) = verdict(&signed(&with(json!({"iat": null})))).await else {
        panic!("refused")
    };
    assert_eq!(identity.issued_at, Timestamp::UNIX_EPOCH);
}

#[tokio::test]
async fn expired_is_told_apart_from_forged() {
    let expired = with(json!({"exp": NOW - 30}));
    assert!(
        matches!(verdict(&signed(&expired)).await, Verdict::Expired(identity) if identity.user == alice())
    );
    let forged = hs256(r#"{"alg":"HS256"}"#, &expired.to_string(), b"another secret of thirty-two byte");
    assert_eq!(verdict(&forged).await, Verdict::Refused(Refusal::Signature));
    let elsewhere = with(json!({"exp": NOW - 30, "aud": "other"}));
    assert_eq!(verdict(&signed(&elsewhere)).await, Verdict::Refused(Refusal::Audience));
}

#[tokio::test]
async fn what_the_minter_makes_the_verifier_takes() {
    let token = mint::Minter::new(&config()).unwrap().mint(&alice(), Duration::from_secs(60), now());
    let verifier = Verifier::new(&config()).unwrap();
    assert!(matches!(verifier.verify(&token, now()).await, Verdict::Genuine(_)));
    let later = Timestamp::from_second(NOW + 90).unwrap();
    assert!(matches!(verifier.verify(&token, later).await, Verdict::Expired(_)));
}

#[test]
fn a_configuration_has_exactly_one_good_key() {
    let new = |secret: Option<&str>, url: Option<&str>| {
        let (secret, jwks_url) = (secret.map(Into::into), url.map(str::to_owned));
        Verifier::new(&AuthConfig { secret, jwks_url, ..config() }).map(|_| ())
    };
    let https = "https://id.example/keys";
    assert_eq!(new(None, None), Err(ConfigError::NoKey));
    assert_eq!(new(Some(""), Some("")), Err(ConfigError::NoKey));
    assert_eq!(new(Some(SECRET), Some(https)), Err(ConfigError::TwoKeys));
    assert_eq!(new(Some("short"), None), Err(ConfigError::ShortSecret { bytes: 5 }));
    assert_eq!(new(Some(SECRET), Some("")), Ok(()));
    for good in [https, "http://127.0.0.1:9/k", "http://localhost/k", "http://[::1]:9/k"] {
        assert_eq!(new(None, Some(good)), Ok(()), "{good}");
    }
    for bad in ["http://id.example/k", "http://localhost.evil/k", "ftp://127.0.0.1/", "/keys", "nonsense"] {
        assert_eq!(new(None, Some(bad)), Err(ConfigError::JwksUrl { url: bad.to_owned() }), "{bad}");
    }
    assert_eq!(mint::Minter::new(&AuthConfig::default()).map(|_| ()), Err(ConfigError::NoSecret));
}

#[test]
fn keys_that_other_applications_have_too_need_an_issuer_and_an_audience() {
    let published = AuthConfig { secret: None, jwks_url: Some("https://id.example/keys".into()), ..config() };
    let missing = |config: AuthConfig| Verifier::new(&config).map(|_| ());
    assert_eq!(missing(published.clone()), Ok(()));
    for empty in [None, Some(String::new())] {
        let (issuer, audience) = ("RUNNEL_JWT_ISSUER", "RUNNEL_JWT_AUDIENCE");
        let without = AuthConfig { issuer: empty.clone(), ..published.clone() };
        assert_eq!(missing(without), Err(ConfigError::AnyToken { missing: issuer }));
        let without = AuthConfig { audience: empty, ..published.clone() };
        assert_eq!(missing(without), Err(ConfigError::AnyToken { missing: audience }));
    }
}

#[tokio::test]
async fn tokens_of_the_secret_before_count_while_it_is_named() {
    let old = AuthConfig { secret: Some("another secret of more than 32 bytes".into()), ..config() };
    let [of_now, of_before] = [config(), old.clone()]
        .map(|config| mint::Minter::new(&config).unwrap().mint(&alice(), Duration::from_mins(1), now()));
    let both = Verifier::new(&AuthConfig { old_secret: old.secret, ..config() }).unwrap();
    for token in [&of_now, &of_before] {
        assert!(matches!(both.verify(token, now()).await, Verdict::Genuine(_)));
    }
    assert!(matches!(both.verify(&of_before, now() + Duration::from_mins(2)).await, Verdict::Expired(_)));
    let verdict = Verifier::new(&config()).unwrap().verify(&of_before, now()).await;
    assert_eq!(verdict, Verdict::Refused(Refusal::Signature));
    let short = AuthConfig { old_secret: Some("short".into()), ..config() };
    assert_eq!(Verifier::new(&short).map(|_| ()), Err(ConfigError::ShortSecret { bytes: 5 }));
}

#[test]
fn nothing_prints_the_secret() {
    let config = config();
    let verifier = Verifier::new(&config).unwrap();
    let minter = mint::Minter::new(&config).unwrap();
    let printed = format!("{config:?} {verifier:?} {minter:?}");
    let bytes = format!("{:?}", SECRET.as_bytes());
    assert!(!printed.contains(SECRET) && !printed.contains(bytes.trim_matches(['[', ']'])), "{printed}");
}
