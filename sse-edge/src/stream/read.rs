//! What a stream reads for itself: HEAD, or the next page of its inbox.

use std::time::Duration;

use domain::{ids::UserId, limits, sequence::InboxSeq};
use store::{
    inbox::{Event, Head},
    table::error::Error,
};
use tokio::{
    task::JoinError,
    time::{Instant, timeout},
};
use tokio_util::task::AbortOnDropHandle;

use super::StreamDeps;

/// Timeout of a read of an inbox. Reads that hang at a hot partition must not block all other reads.
const READ_TIME: Duration = Duration::from_secs(5);

/// A read under way. Dropping it ends the read.
pub(super) type Reading = AbortOnDropHandle<Read>;

/// What a read has brought.
pub(super) enum Read {
    Head(Result<Head, Error>),
    /// When it was asked for, and the answer.
    Page(Instant, Result<Page, Error>),
}

/// The next events of an inbox, up to what a stream may keep.
pub(super) struct Page {
    pub(super) events: Vec<Event>,
    /// Whether there were more, which are read again later.
    pub(super) cut: bool,
}

impl Page {
    fn cut(mut events: Vec<Event>) -> Self {
        let (read, mut bytes) = (events.len(), 0);
        let fits = |event: &&Event| {
            bytes += event.news.data.get().len();
            bytes <= limits::PAGE_BYTES
        };
        let fit = events.iter().take_while(fits).count().max(1);
        events.truncate(fit);
        Self { cut: fit < read, events }
    }
}

impl Read {
    /// The task of the read has panicked: that counts as a failed read.
    pub(super) fn panicked(error: JoinError) -> Self {
        Self::Head(Err(Error::Unavailable(error.to_string().into())))
    }
}

/// Reads HEAD.
pub(super) fn head(deps: &StreamDeps, user: &UserId) -> Reading {
    let (heads, user) = (deps.heads.clone(), user.clone());
    spawn(deps, async move { Read::Head(heads.head(&user).await) })
}

/// Reads up to `limit` events after `after`.
pub(super) fn page(deps: &StreamDeps, user: &UserId, after: InboxSeq, limit: usize) -> Reading {
    let (cx, user) = (deps.cx.clone(), user.clone());
    spawn(deps, async move {
        let _permit = cx.budget.reads.acquire().await;
        cx.metrics.replays.increment(1);
        let (asked_at, now) = (Instant::now(), cx.clock.now());
        let page = cx.table.inbox(&user, after, limit, now);
        let late = |_| Err(Error::Unavailable("an inbox is not read in time".into()));
        let page = timeout(READ_TIME, page).await.unwrap_or_else(late);
        Read::Page(asked_at, page.map(Page::cut))
    })
}

/// Reads in a task of its own: the stream is not polled while its socket is blocked, and a read that is not polled
/// would keep its permit.
fn spawn(deps: &StreamDeps, read: impl Future<Output = Read> + Send + 'static) -> Reading {
    AbortOnDropHandle::new(deps.cx.tracker.spawn(read))
}

#[cfg(test)]
mod tests {
    use domain::{envelope::News, event::EventName};

    use super::*;

    fn page(sizes: &[usize]) -> (usize, bool) {
        let event = |size: &usize| {
            let news = News::new(EventName::Message, format!("\"{}\"", "x".repeat(size - 2)));
            Event { seq: InboxSeq(1), news }
        };
        let page = Page::cut(sizes.iter().map(event).collect());
        (page.events.len(), page.cut)
    }

    #[test]
    fn a_page_keeps_no_more_than_its_bytes_and_always_one_event() {
        assert_eq!(page(&[]), (0, false));
        assert_eq!(page(&[100, 100]), (2, false));
        let half = limits::PAGE_BYTES / 2;
        assert_eq!(page(&[half, half]), (2, false));
        assert_eq!(page(&[half, half, 10]), (2, true));
        assert_eq!(page(&[limits::PAGE_BYTES + 1, 10]), (1, true));
    }
}
