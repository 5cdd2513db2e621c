//! How far a client has got in its inbox: the SSE `id`, and what it brings back.

use std::{fmt, str::FromStr};

use data_encoding::BASE32_DNSSEC;
use serde::{Deserialize, Serialize, de};

use crate::sequence::InboxSeq;

/// The generation of an inbox as clients see it. Another generation is another inbox: whatever
/// was counted in the old one means nothing.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Gen(pub u64);

/// `gen.seq`: everything up to `seq` of the inbox generation `gen` has been shown.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Cursor {
    /// The generation that `seq` counts in.
    pub r#gen: Gen,
    /// The last inbox event shown; 0 when none was.
    pub seq: InboxSeq,
}

/// The text is no cursor of ours. The client has to list again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a valid cursor: use the `cursor` of `GET /v1/threads`")]
pub struct BadCursor;

/// The id of frames sent to a client whose own cursor could not be read: it parses as no cursor,
/// so the client that brings it back is reset.
pub const UNREADABLE: &str = "0.0";

/// 8 bytes in base 32 without padding.
const GEN_CHARS: usize = 13;

impl fmt::Display for Gen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Every frame has one: no allocation.
        let mut text = [0; GEN_CHARS];
        BASE32_DNSSEC.encode_mut(&self.0.to_be_bytes(), &mut text);
        f.write_str(str::from_utf8(&text).map_err(|_| fmt::Error)?)
    }
}

impl fmt::Debug for Gen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Gen {
    type Err = BadCursor;

    fn from_str(text: &str) -> Result<Self, BadCursor> {
        let canonical = text.len() == GEN_CHARS && !text.bytes().any(|b| b.is_ascii_uppercase());
        if !canonical {
            return Err(BadCursor);
        }
        let mut bytes = [0; 8];
        BASE32_DNSSEC.decode_mut(text.as_bytes(), &mut bytes).map_err(|_| BadCursor)?;
        Ok(Self(u64::from_be_bytes(bytes)))
    }
}

impl Cursor {
    /// Writes its text behind `out`. Every frame ends with one: no formatting, no allocation.
    pub fn write(self, out: &mut Vec<u8>) {
        let begin = out.len();
        out.resize(begin + GEN_CHARS, 0);
        BASE32_DNSSEC.encode_mut(&self.r#gen.0.to_be_bytes(), &mut out[begin..]);
        out.push(b'.');
        out.extend_from_slice(itoa::Buffer::new().format(self.seq.0).as_bytes());
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.r#gen, self.seq)
    }
}

impl fmt::Debug for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Cursor {
    type Err = BadCursor;

    fn from_str(text: &str) -> Result<Self, BadCursor> {
        let (generation, seq) = text.split_at_checked(GEN_CHARS).ok_or(BadCursor)?;
        let seq = seq.strip_prefix('.').ok_or(BadCursor)?;
        let digits = !seq.is_empty() && seq.bytes().all(|b| b.is_ascii_digit());
        if !digits || (seq.len() > 1 && seq.starts_with('0')) {
            return Err(BadCursor);
        }
        Ok(Self { r#gen: generation.parse()?, seq: seq.parse().map_err(|_| BadCursor)? })
    }
}

impl Serialize for Gen {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Gen {
    fn deserialize<D: de::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(d)?;
        text.parse().map_err(de::Error::custom)
    }
}

impl Serialize for Cursor {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_cursor_comes_back_as_it_went(generation: u64, seq: u64) {
            let cursor = Cursor { r#gen: Gen(generation), seq: InboxSeq(seq) };
            let text = cursor.to_string();
            prop_assert!(text.len() <= 40);
            prop_assert_eq!(text.parse(), Ok(cursor));
            let mut written = Vec::new();
            cursor.write(&mut written);
            prop_assert_eq!(written, text.as_bytes());
        }

        #[test]
        fn only_the_one_spelling_of_a_cursor_parses(text in ".{0,40}") {
            if let Ok(cursor) = text.parse::<Cursor>() {
                prop_assert_eq!(cursor.to_string(), text);
            }
        }
    }

    #[test]
    fn the_unreadable_cursor_stays_unreadable() {
        assert_eq!(UNREADABLE.parse::<Cursor>(), Err(BadCursor));
    }

    #[test]
    fn near_misses_do_not_parse() {
        let good = Cursor { r#gen: Gen(7), seq: InboxSeq(42) }.to_string();
        for bad in
            [good.to_uppercase(), format!("{good} "), good.replace(".42", ".042"), good.replace(".42", ".+4")]
        {
            assert_eq!(bad.parse::<Cursor>(), Err(BadCursor), "{bad}");
        }
    }
}
