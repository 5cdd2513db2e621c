//! Tokens that must never count, each with the reason for which it does not.

use super::*;

const HS256: &str = r#"{"alg":"HS256","typ":"JWT"}"#;

fn header(header: &str) -> String {
    hs256(header, &claims().to_string(), SECRET.as_bytes())
}

fn payload(payload: &str) -> String {
    hs256(HS256, payload, SECRET.as_bytes())
}

/// `token` with its parts in another order or number.
fn parts(token: &str, pick: &[usize]) -> String {
    let parts: Vec<_> = token.split('.').collect();
    pick.iter().map(|part| parts[*part]).collect::<Vec<_>>().join(".")
}

fn malformed() -> Vec<(&'static str, String)> {
    let good = signed(&claims());
    let unsigned = |header: &str| {
        let header = BASE64URL_NOPAD.encode(header.as_bytes());
        format!("{header}.{}", parts(&good, &[1]))
    };
    vec![
        ("nothing", String::new()),
        ("dots", "..".to_owned()),
        ("alg none", format!("{}.", unsigned(r#"{"alg":"none"}"#))),
        ("alg none with a signature", format!("{}.AAAA", unsigned(r#"{"alg":"none"}"#))),
        ("alg nOnE with a signature", format!("{}.AAAA", unsigned(r#"{"alg":"nOnE"}"#))),
        ("alg hs256", header(r#"{"alg":"hs256"}"#)),
        ("alg missing", header(r#"{"typ":"JWT"}"#)),
        ("alg doubled", header(r#"{"alg":"none","alg":"HS256"}"#)),
        ("alg an array", header(r#"{"alg":["HS256"]}"#)),
        ("empty signature", format!("{}.", parts(&good, &[0, 1]))),
        ("no signature", parts(&good, &[0, 1])),
        ("signature doubled", parts(&good, &[0, 1, 2, 2])),
        ("payload doubled", parts(&good, &[0, 1, 1, 2])),
        ("header last", parts(&good, &[1, 2, 0])),
        ("space before", format!(" {good}")),
        ("newline after", format!("{good}\n")),
        ("NUL after", format!("{good}\0")),
        ("scheme left in", format!("bearer {good}")),
        ("quoted", format!("\"{good}\"")),
        ("padded", format!("{good}=")),
        ("standard base64", format!("{}.+/+/", parts(&good, &[0, 1]))),
        ("not ASCII", format!("{good}é")),
        ("header no JSON", format!("AAAA.{}", parts(&good, &[1, 2]))),
        ("header no object", header(r#""HS256""#)),
        ("header nested deep", header(&"[".repeat(3_000))),
        ("encrypted", "eyJhbGciOiJkaXIifQ..AAAA.AAAA.AAAA".to_owned()),
    ]
}

fn wrongly_signed() -> Vec<(&'static str, String, Refusal)> {
    use Refusal as R;
    let good = signed(&claims());
    let raised = signed(&with(json!({"sub": "bob"})));
    let (mine, theirs): (Vec<_>, Vec<_>) = (good.split('.').collect(), raised.split('.').collect());
    vec![
        ("another secret", hs256(HS256, &claims().to_string(), b"wrong"), R::Signature),
        ("empty secret", hs256(HS256, &claims().to_string(), b""), R::Signature),
        ("another payload", [mine[0], theirs[1], mine[2]].join("."), R::Signature),
        ("cut signature", good[..good.len() - 8].to_owned(), R::Signature),
        ("long signature", format!("{good}AAAA"), R::Signature),
        ("alg HS384", header(r#"{"alg":"HS384"}"#), R::Algorithm),
        ("alg RS256", header(r#"{"alg":"RS256"}"#), R::Algorithm),
        ("alg ES256", header(r#"{"alg":"ES256"}"#), R::Algorithm),
        ("crit", header(r#"{"alg":"HS256","crit":["exp"]}"#), R::Header),
        ("crit empty", header(r#"{"alg":"HS256","crit":[]}"#), R::Header),
        ("a logout token", header(r#"{"alg":"HS256","typ":"logout+jwt"}"#), R::Header),
        ("huge", payload(&with(json!({"x": "x".repeat(8 * 1024)})).to_string()), R::TooLong),
    ]
}

fn wrong_claims() -> Vec<(Value, Refusal)> {
    use Refusal as R;
    vec![
        (json!({"exp": null}), R::Claims),
        (json!({"exp": "1900000000"}), R::Claims),
        (json!({"exp": -1}), R::Claims),
        (json!({"exp": 1e300}), R::Claims),
        (json!({"exp": u64::MAX}), R::Claims),
        (json!({"exp": true}), R::Claims),
        (json!({"exp": [1_900_000_000]}), R::Claims),
        (json!({"nbf": "soon"}), R::Claims),
        (json!({"nbf": NOW + 31}), R::NotYet),
        (json!({"iat": NOW + 31}), R::NotYet),
        (json!({"iss": null}), R::Issuer),
        (json!({"iss": "https://issuer.example/"}), R::Issuer),
        (json!({"iss": ["https://issuer.example"]}), R::Claims),
        (json!({"aud": null}), R::Audience),
        (json!({"aud": "runnel2"}), R::Audience),
        (json!({"aud": []}), R::Audience),
        (json!({"aud": {"runnel": true}}), R::Claims),
        (json!({"sub": null}), R::Claims),
        (json!({"sub": 7}), R::Claims),
        (json!({"sub": ["alice"]}), R::Claims),
        (json!({"sub": ""}), R::Subject),
        (json!({"sub": "a#b"}), R::Subject),
        (json!({"sub": "a b"}), R::Subject),
        (json!({"sub": "a\r\nb"}), R::Subject),
        (json!({"sub": "älice"}), R::Subject),
        (json!({"sub": "x".repeat(129)}), R::Subject),
    ]
}

#[tokio::test]
async fn what_is_no_token_is_refused() {
    for (name, token) in malformed() {
        assert_eq!(verdict(&token).await, Verdict::Refused(Refusal::Malformed), "{name}");
    }
}

#[tokio::test]
async fn what_is_wrongly_signed_is_refused() {
    for (name, token, refusal) in wrongly_signed() {
        assert_eq!(verdict(&token).await, Verdict::Refused(refusal), "{name}");
    }
}

#[tokio::test]
async fn wrong_claims_are_refused_however_well_signed() {
    for (changes, refusal) in wrong_claims() {
        let token = signed(&with(changes.clone()));
        assert_eq!(verdict(&token).await, Verdict::Refused(refusal), "{changes}");
    }
    for (text, refusal) in [
        ("null", Refusal::Claims),
        ("[]", Refusal::Claims),
        (r#"{"sub":"alice","exp":1900000000"#, Refusal::Claims),
        (r#"{"sub":"alice","sub":"bob","exp":1900000000}"#, Refusal::Claims),
        (r#"{"exp":1,"exp":1900000000,"sub":"alice"}"#, Refusal::Claims),
    ] {
        assert_eq!(verdict(&payload(text)).await, Verdict::Refused(refusal), "{text}");
    }
}

#[tokio::test]
async fn no_flipped_bit_survives() {
    let good = signed(&claims()).into_bytes();
    let verifier = Verifier::new(&config()).unwrap();
    for at in 0..good.len() {
        for bit in 0..7 {
            let mut bent = good.clone();
            bent[at] ^= 1 << bit;
            let verdict = verifier.verify(std::str::from_utf8(&bent).unwrap(), now()).await;
            assert!(matches!(verdict, Verdict::Refused(_)), "byte {at} bit {bit}: {verdict:?}");
        }
    }
}
