//! The proof that a writer of this deployment has made an envelope: a code over its queue and its text that needs a key
//! (HMAC-SHA256, RFC 2104).
//!
//! Without it, any principal with permission to post to a queue could make an edge show a forged event. An envelope
//! without a right seal is only a hint to read the row (rule 16).

use std::sync::Arc;

use data_encoding::BASE64URL_NOPAD;
use mistakes::mistake;
use ring::{
    hmac::{self, HMAC_SHA256, Key},
    rand::SystemRandom,
};

/// What the last line of a sealed text begins with.
const SEAL: &str = "\nseal ";

/// The keys that the processes of a deployment share. The first one seals; each of them opens. Without keys nothing is
/// sealed, and everything is believed.
#[derive(Debug, Clone, Default)]
pub struct Seal(Arc<[Key]>);

impl Seal {
    /// A seal of these keys.
    pub fn new<'a>(keys: impl IntoIterator<Item = &'a [u8]>) -> Self {
        Self(keys.into_iter().map(|key| Key::new(HMAC_SHA256, key)).collect())
    }

    /// A seal that no other process has.
    ///
    /// # Errors
    /// The machine has no random numbers.
    pub fn random() -> Result<Self, NoRandomness> {
        let key = Key::generate(HMAC_SHA256, &SystemRandom::new()).map_err(|_| NoRandomness)?;
        Ok(Self(Arc::new([key])))
    }

    /// `text`, sealed for the queue of this name.
    pub(crate) fn close(&self, queue: &str, text: String) -> String {
        let Some(key) = self.0.first() else { return text };
        let code = hmac::sign(key, &signed(queue, &text));
        text + SEAL + &BASE64URL_NOPAD.encode(code.as_ref())
    }

    /// The text out of a body, and whether it is proven.
    pub(crate) fn open<'a>(&self, queue: &str, body: &'a str) -> (&'a str, bool) {
        let (text, code) = body.rsplit_once(SEAL).unwrap_or((body, ""));
        if self.0.is_empty() || mistake!(SealIgnored) {
            return (text, true);
        }
        let code = BASE64URL_NOPAD.decode(code.as_bytes()).unwrap_or_default();
        let signed = signed(queue, text);
        (text, self.0.iter().any(|key| hmac::verify(key, &signed, &code).is_ok()))
    }
}

/// A machine without random numbers.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("this machine gives no random numbers")]
pub struct NoRandomness;

/// What the code is over. No name of a queue has a line end.
fn signed(queue: &str, text: &str) -> Vec<u8> {
    [queue, "\n", text].concat().into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "2 message\nalice 0000000000002.42\n{\"text\":\"hi\"}";

    #[test]
    fn only_what_was_sealed_for_this_queue_is_proven() {
        let seal = Seal::random().unwrap();
        let body = seal.close("q", TEXT.into());
        assert_eq!(seal.open("q", &body), (TEXT, true));
        assert_eq!(seal.open("p", &body), (TEXT, false));
        assert_eq!(Seal::random().unwrap().open("q", &body), (TEXT, false));
        assert_eq!(seal.open("q", TEXT), (TEXT, false));
        for at in 0..body.len() {
            let mut other = body.clone().into_bytes();
            other[at] ^= 1;
            let other = String::from_utf8(other).unwrap();
            assert!(!seal.open("q", &other).1, "{other}");
        }
        for bad in ["", "\nseal ", "\nseal =", &format!("{body}A"), &format!("{body}\nseal ")] {
            assert!(!seal.open("q", bad).1, "{bad}");
        }
    }

    #[test]
    fn the_key_before_still_opens() {
        let [old, new] = [[1; 32], [2; 32]];
        let body = Seal::new([&old[..]]).close("q", TEXT.into());
        assert_eq!(Seal::new([&new[..], &old]).open("q", &body), (TEXT, true));
        assert_eq!(Seal::new([&new[..]]).open("q", &body), (TEXT, false));
    }

    #[test]
    fn without_a_key_everything_is_believed() {
        let body = Seal::random().unwrap().close("q", TEXT.into());
        assert_eq!(Seal::default().open("q", &body), (TEXT, true));
        assert_eq!(Seal::default().close("q", TEXT.into()), TEXT);
    }
}
