//! What one stream has seen of its topic: each message once, in order, and nobody else's.

/// Messages back to which a repetition is told from a message that was late.
const WINDOW: u32 = 128;

/// What a message is to a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The next one, or a later one.
    New,
    /// One that should have come before.
    Reordered,
    /// One that was there before.
    Doubled,
}

/// The messages seen, by their numbers.
#[derive(Debug, Clone, Default)]
pub(crate) struct Seen {
    last: u32,
    window: u128,
    /// How many different ones.
    pub(crate) count: u32,
}

impl Seen {
    pub(crate) fn see(&mut self, seq: u32) -> Verdict {
        if seq > self.last {
            let ahead = seq - self.last;
            self.window = if ahead >= WINDOW { 1 } else { self.window << ahead | 1 };
            self.last = seq;
            self.count += 1;
            return Verdict::New;
        }
        let back = self.last - seq;
        if back < WINDOW && self.window >> back & 1 == 0 {
            self.window |= 1 << back;
            self.count += 1;
            return Verdict::Reordered;
        }
        Verdict::Doubled
    }
}

#[cfg(test)]
mod tests {
    use super::{
        Verdict::{Doubled, New, Reordered},
        *,
    };

    #[test]
    fn what_is_doubled_or_late_is_told_from_what_is_new() {
        let mut seen = Seen::default();
        let verdicts = [1, 2, 4, 3, 3, 4, 5].map(|seq| seen.see(seq));
        assert_eq!(verdicts, [New, New, New, Reordered, Doubled, Doubled, New]);
        assert_eq!(seen.count, 5);
        seen.see(1_000);
        assert_eq!(seen.see(5), Doubled);
    }
}
