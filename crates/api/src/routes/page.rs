//! Pages of lists: how many items, and from where. What names a place may be forged: it opens nothing that its reader may not
//! see.

use std::{fmt, str::FromStr};

use domain::{ids::ThreadId, limits, sequence::ThreadSeq};
use server::problem::Problem;

/// Items to return, from 1 to [`limits::PAGE_ITEMS_MAX`].
pub fn limit(wanted: Option<usize>) -> Result<usize, Problem> {
    let limit = wanted.unwrap_or(limits::PAGE_ITEMS);
    if (1..=limits::PAGE_ITEMS_MAX).contains(&limit) {
        return Ok(limit);
    }
    let detail = format!("`limit` must be a number from 1 to {}", limits::PAGE_ITEMS_MAX);
    Err(Problem::invalid("limit", detail))
}

/// A place in a list of threads: behind the last one of a page.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The activity of that thread.
    pub activity: u64,
    /// The thread.
    pub thread: ThreadId,
}

/// The text is no place in a list of threads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BadPlace;

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.activity, self.thread)
    }
}

impl FromStr for Place {
    type Err = BadPlace;

    fn from_str(text: &str) -> Result<Self, BadPlace> {
        let (activity, thread) = text.split_once('.').ok_or(BadPlace)?;
        let activity = number(activity).ok_or(BadPlace)?;
        Ok(Self { activity, thread: ThreadId::parse(thread).map_err(|_| BadPlace)? })
    }
}

/// The place that the parameter `after` of a list of threads names.
pub fn place(text: &str) -> Result<Place, Problem> {
    let detail = "`after` is not a `next` of this list: start again without it";
    text.parse().map_err(|BadPlace| Problem::invalid("after", detail))
}

/// The tseq that the parameter `name` of a list of messages has.
pub fn tseq(name: &str, text: &str) -> Result<ThreadSeq, Problem> {
    let detail = || format!("`{name}` must be a tseq");
    number(text).map(ThreadSeq).ok_or_else(|| Problem::invalid(name, detail()))
}

/// A number of digits alone.
fn number(text: &str) -> Option<u64> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}
