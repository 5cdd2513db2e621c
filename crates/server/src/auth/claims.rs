//! What a token says, and whether that counts here and now.

use domain::{ids::UserId, mark::Mark};
use jiff::Timestamp;
use serde::{
    Deserialize, Deserializer,
    de::{Error as _, IgnoredAny},
};

use super::{Identity, LEEWAY, Refusal, Verdict, scope::ScopeClaim};

/// What the claims must say beside the user.
#[derive(Debug)]
pub(super) struct Expected {
    pub(super) issuer: Option<String>,
    pub(super) audience: Option<String>,
    pub(super) scope_claim: String,
}

/// The claims that matter; a provider may add any others. Doubled ones do not parse.
#[derive(Debug, Deserialize)]
pub(super) struct Claims {
    sub: String,
    exp: NumericDate,
    nbf: Option<NumericDate>,
    iat: Option<NumericDate>,
    iss: Option<String>,
    aud: Option<Audience>,
    sid: Option<TextClaim>,
    jti: Option<TextClaim>,
    pub(super) scope: Option<ScopeClaim>,
}

/// A text. A claim of another type is ignored.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum TextClaim {
    Text(String),
    Other(IgnoredAny),
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    Many(Vec<String>),
}

impl Claims {
    /// Expiry is looked at last: what is expired would otherwise count.
    pub(super) fn judge(self, expected: &Expected, now: Timestamp) -> Result<Verdict, Refusal> {
        if expected.issuer.is_some() && self.iss != expected.issuer {
            return Err(Refusal::Issuer);
        }
        if let Some(audience) = &expected.audience
            && !self.aud.is_some_and(|aud| aud.names(audience))
        {
            return Err(Refusal::Audience);
        }
        let not_before = [self.nbf, self.iat].into_iter().flatten();
        if not_before.into_iter().any(|date| date.0.duration_since(now) > LEEWAY) {
            return Err(Refusal::NotYet);
        }
        let identity = Identity {
            user: UserId::parse(&self.sub).map_err(|_| Refusal::Subject)?,
            issued_at: self.iat.map_or(Timestamp::UNIX_EPOCH, |date| date.0),
            expires_at: self.exp.0,
            session: [self.sid, self.jti].into_iter().flatten().find_map(|claim| match claim {
                TextClaim::Text(name) if !name.is_empty() => Some(Mark::of(&name)),
                _ => None,
            }),
            scopes: self.scope.map(|claim| claim.scopes()).unwrap_or_default(),
            via: None,
        };
        if now.duration_since(identity.expires_at) >= LEEWAY {
            return Ok(Verdict::Expired(identity));
        }
        Ok(Verdict::Genuine(identity))
    }
}

impl Audience {
    fn names(&self, audience: &str) -> bool {
        match self {
            Self::One(one) => one == audience,
            Self::Many(many) => many.iter().any(|one| one == audience),
        }
    }
}

/// Seconds since the epoch, with or without a fraction (RFC 7519, section 2); a fraction is cut.
#[derive(Clone, Copy, Debug)]
struct NumericDate(Timestamp);

impl<'de> Deserialize<'de> for NumericDate {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let number = serde_json::Number::deserialize(deserializer)?;
        #[expect(clippy::cast_possible_truncation, reason = "`as` saturates, then the range is checked")]
        let seconds = number.as_i64().or_else(|| number.as_f64().map(|seconds| seconds as i64));
        let seconds = seconds.filter(|seconds| *seconds >= 0).ok_or_else(|| D::Error::custom("no date"))?;
        Timestamp::from_second(seconds).map(Self).map_err(D::Error::custom)
    }
}
