//! The message that every server carries: one line of JSON as Runnel's clients get it, with a stamp in
//! its text from which the receiver tells what was lost, doubled, reordered or late.

use std::fmt::Write as _;

use memchr::memmem;

/// Characters of a message's text.
pub(crate) const TEXT: usize = 100;
/// What a stamped text begins with.
const MARK: &str = "\"text\":\"~";

/// What a message says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stamp {
    /// Whom it is for.
    pub(crate) topic: u32,
    /// Counts the topic's messages, from 1.
    pub(crate) seq: u32,
    /// When it was due, in nanoseconds of [`crate::clock`].
    pub(crate) due: u64,
}

impl Stamp {
    /// The text.
    pub(crate) fn text(self) -> String {
        let Self { topic, seq, due } = self;
        let mut text = format!("~{topic:010}{seq:010}{due:020}");
        let _ = write!(text, "{:x<1$}", "", TEXT - text.len());
        text
    }

    /// The line.
    pub(crate) fn line(self, thread: &str) -> String {
        let (seq, text) = (self.seq, self.text());
        format!(
            r#"{{"thread":"{thread}","tseq":{seq},"number":{seq},"from":"bench","text":"{text}","at":"2026-01-01T00:00:00Z"}}"#
        )
    }

    /// Reads it back out of a line.
    pub(crate) fn find(line: &[u8]) -> Option<Self> {
        let begin = memmem::find(line, MARK.as_bytes())? + MARK.len();
        let digits = line.get(begin..begin + 40)?;
        let topic = number(&digits[..10])?;
        let seq = number(&digits[10..20])?;
        Some(Self { topic: topic as u32, seq: seq as u32, due: number(&digits[20..])? })
    }
}

/// Decimal digits and nothing else.
pub(crate) fn number(digits: &[u8]) -> Option<u64> {
    digits.iter().try_fold(0_u64, |sum, digit| {
        digit.is_ascii_digit().then(|| sum.wrapping_mul(10).wrapping_add(u64::from(digit - b'0')))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_is_read_back_out_of_its_line_and_the_line_is_json() {
        let stamp = Stamp { topic: 7, seq: 4_000_000_000, due: u64::MAX };
        let line = stamp.line("t_x");
        assert_eq!(Stamp::find(line.as_bytes()), Some(stamp));
        let value: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!(value["text"].as_str().unwrap().len(), TEXT);
        assert_eq!(Stamp::find(b"{\"text\":\"~1\"}"), None);
    }
}
