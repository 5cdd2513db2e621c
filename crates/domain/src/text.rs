//! What a title or a reaction may hold: others see it without having asked.
//!
//! Format characters turn the order of letters around or are not seen at all (Unicode, general category Cf): with them one
//! name looks like another one, or like none.

use std::ops::RangeInclusive;

use unicode_properties::{EmojiStatus, GeneralCategory, UnicodeEmoji as _, UnicodeGeneralCategory as _};
use unicode_segmentation::UnicodeSegmentation as _;

use crate::limits;

/// Joins letters in some scripts, and emoji to one (U+200D).
const JOINER: char = '\u{200d}';
/// Keeps letters apart in some scripts (U+200C).
const NON_JOINER: char = '\u{200c}';
/// Says that the character before it is meant as an emoji (U+FE0F).
const AS_EMOJI: char = '\u{fe0f}';
/// The key around a digit (U+20E3).
const KEYCAP: char = '\u{20e3}';
/// Begins the flags of parts of countries, which end with [`END_OF_TAGS`].
const BLACK_FLAG: char = '\u{1f3f4}';
/// Letters of such flags.
const TAGS: RangeInclusive<char> = '\u{e0020}'..=END_OF_TAGS;
/// The last of them.
const END_OF_TAGS: char = '\u{e007f}';
/// Pick another look of the character before them.
const VARIATIONS: RangeInclusive<char> = '\u{fe00}'..=AS_EMOJI;
/// Letters and symbols that show nothing: the fillers of Hangul, and the empty pattern of Braille.
const UNSEEN: [char; 5] = ['\u{115f}', '\u{1160}', '\u{3164}', '\u{ffa0}', '\u{2800}'];

/// Whether a text is a reaction: one emoji as a person counts them, or a name such as `thumbs_up` or `+1`.
pub fn is_reaction(text: &str) -> bool {
    let is_name_byte =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_+-".contains(&byte);
    let is_name = !text.is_empty() && text.bytes().all(is_name_byte);
    text.len() <= limits::EMOJI_BYTES && (is_name || is_emoji(text))
}

fn is_emoji(text: &str) -> bool {
    let chars: Vec<char> = text.chars().collect();
    let [first, .., last] = chars[..] else {
        return chars.first().is_some_and(|c| !c.is_ascii() && c.is_emoji_char());
    };
    let is_flag_of_tags = first == BLACK_FLAG && last == END_OF_TAGS;
    let is_part = |(at, c): (usize, &char)| match *c {
        // A second look of the same emoji would be a second reaction.
        AS_EMOJI => at > 0 && may_look_like_text(chars[at - 1]),
        JOINER => at > 0 && at + 1 < chars.len(),
        KEYCAP => at + 1 == chars.len() && first.is_ascii(),
        c if TAGS.contains(&c) => is_flag_of_tags,
        c => c.is_emoji_char() && (!c.is_ascii() || last == KEYCAP),
    };
    first.is_emoji_char() && chars.iter().enumerate().all(is_part) && text.graphemes(true).count() == 1
}

/// Whether a character is an emoji only if [`AS_EMOJI`] follows.
fn may_look_like_text(c: char) -> bool {
    use EmojiStatus::{EmojiModifierBase, EmojiOther, EmojiOtherAndEmojiComponent};
    matches!(c.emoji_status(), EmojiModifierBase | EmojiOther | EmojiOtherAndEmojiComponent)
}

/// Whether a text may be a title: one line that shows something, and nothing in it that is not seen.
pub fn is_title(text: &str) -> bool {
    let chars: Vec<char> = text.chars().collect();
    let is_between = |at: usize| {
        let is_seen = |at: usize| chars.get(at).is_some_and(|c| is_seen(*c) || is_mark(*c));
        at > 0 && is_seen(at - 1) && is_seen(at + 1)
    };
    let is_allowed = |(at, c): (usize, &char)| match *c {
        JOINER | NON_JOINER => is_between(at),
        AS_EMOJI => at > 0 && may_look_like_text(chars[at - 1]),
        c => !is_hidden(c),
    };
    chars.iter().enumerate().all(is_allowed) && text.contains(is_seen)
}

fn is_hidden(c: char) -> bool {
    let is_format = matches!(
        c.general_category(),
        GeneralCategory::Control
            | GeneralCategory::Format
            | GeneralCategory::LineSeparator
            | GeneralCategory::ParagraphSeparator
    );
    is_format || UNSEEN.contains(&c) || VARIATIONS.contains(&c)
}

fn is_mark(c: char) -> bool {
    matches!(
        c.general_category(),
        GeneralCategory::NonspacingMark | GeneralCategory::SpacingMark | GeneralCategory::EnclosingMark
    )
}

fn is_seen(c: char) -> bool {
    !c.is_whitespace() && !is_mark(c) && !is_hidden(c)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reaction_is_one_emoji_or_a_name() {
        for good in [
            "👍🏽",
            "#️⃣",
            "1️⃣",
            "❤️",
            "❤",
            "👩‍👩‍👧‍👦",
            "\u{1f3f4}\u{e0067}\u{e0062}\u{e0065}\u{e006e}\u{e0067}\u{e007f}",
            "👩🏽‍❤️‍💋‍👨🏽",
            "🇩🇪",
            "©",
            "+1",
            "thumbs_up",
            "__proto__",
        ] {
            assert!(is_reaction(good), "{good:?}");
        }
        for bad in [
            "",
            " ",
            "a b",
            "A",
            "#",
            "<script>",
            "ä",
            "👍👍",
            "👍 ",
            "x👍",
            "\u{7}",
            "\u{2028}",
            "\u{200b}",
            "\u{202e}👍",
            "👍\u{202e}",
            "👍\u{301}\u{301}",
            "\u{200d}",
            "\u{fe0f}",
            "🏴\u{e0067}\u{e0062}",
            "👍\u{200d}",
            "👍\u{fe0f}",
            "❤\u{fe0f}\u{fe0f}",
            "1\u{fe0f}",
            "1\u{200d}",
            "👍\u{20e3}",
            &"x".repeat(41),
        ] {
            assert!(!is_reaction(bad), "{bad:?}");
        }
    }

    #[test]
    fn a_title_shows_something_and_hides_nothing() {
        for good in ["ours", "Ärger & Söhne", "👩‍👩‍👧‍👦", "می‌خواهم", "a", "₂", "日本"]
        {
            assert!(is_title(good), "{good:?}");
        }
        for bad in [
            "",
            " ",
            "\u{200b}\u{200b}",
            "Admin \u{202e}gnp.exe",
            "\u{2066}a",
            "a\nb",
            "a\u{2028}b",
            "a\u{ad}b",
            "\u{3164}",
            "\u{2800}\u{2800}",
            "\u{200d}",
            "\u{301}",
            "\u{feff}a",
            "ours\u{200d}",
            "ours\u{fe0f}",
            "ours\u{fe00}",
            "a\u{3164}",
            "a\u{200d} b",
        ] {
            assert!(!is_title(bad), "{bad:?}");
        }
    }
}
