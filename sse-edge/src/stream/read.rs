//! What a stream reads for itself: the user row, the cursor to go on from, or the next page of its inbox.

use std::{sync::Arc, time::Duration};

use domain::{cursor::Cursor, ids::UserId, limits};
use store::{
    inbox::{Event, Image, InboxPage, Rest},
    table::error::Error,
};
use tokio::{task::JoinError, time::timeout};
use tokio_util::task::AbortOnDropHandle;

use super::StreamDeps;

/// Timeout of a read of an inbox. Reads that hang at a hot partition must not block all other reads.
const READ_TIME: Duration = Duration::from_secs(5);

/// A read under way. Dropping it ends the read.
pub(super) type Reading = AbortOnDropHandle<Read>;

/// What a read has brought.
pub(super) enum Read {
    Row(Result<Arc<Image>, Error>),
    Settled(Result<Cursor, Error>),
    Page(Result<Page, Error>),
}

/// The next events of an inbox, up to what a stream may keep.
pub(super) struct Page {
    pub(super) events: Vec<Event>,
    /// Whether there were more, which are read again later.
    pub(super) cut: bool,
    /// What follows the events.
    pub(super) rest: Rest,
    /// The image that the page was read from.
    pub(super) image: Option<Arc<Image>>,
}

impl Page {
    fn cut(page: InboxPage, image: Option<Arc<Image>>) -> Self {
        let InboxPage { mut events, rest } = page;
        let (read, mut bytes) = (events.len(), 0);
        let fits = |event: &&Event| {
            bytes += event.news.data.get().len();
            bytes <= limits::PAGE_BYTES
        };
        let fit = events.iter().take_while(fits).count().max(1);
        events.truncate(fit);
        let cut = fit < read;
        Self { events, cut, rest: if cut { Rest::Unread } else { rest }, image }
    }
}

impl Read {
    /// The task of the read has panicked: that counts as a failed read.
    pub(super) fn panicked(error: JoinError) -> Self {
        Self::Row(Err(Error::Unavailable(error.to_string().into())))
    }
}

/// Reads the user row.
pub(super) fn row(deps: &StreamDeps, user: &UserId) -> Reading {
    let (rows, user) = (deps.rows.clone(), user.clone());
    spawn(deps, async move { Read::Row(rows.image(&user).await) })
}

/// Reads a new cursor for a client that has no usable one.
pub(super) fn settled(deps: &StreamDeps, user: &UserId, image: Option<Arc<Image>>) -> Reading {
    let (cx, rows, user) = (deps.cx.clone(), deps.rows.clone(), user.clone());
    spawn(deps, async move {
        let settling = async {
            let image = match image {
                Some(image) => image,
                None => rows.image(&user).await?,
            };
            cx.table.settled_cursor(&image).await
        };
        Read::Settled(settling.await)
    })
}

/// Reads up to `limit` events after `after`, from `image` if it has any.
pub(super) fn page(
    deps: &StreamDeps,
    user: &UserId,
    after: Cursor,
    limit: usize,
    image: Option<Arc<Image>>,
) -> Reading {
    let (cx, rows, user) = (deps.cx.clone(), deps.rows.clone(), user.clone());
    spawn(deps, async move {
        let _permit = cx.budget.reads.acquire().await;
        cx.metrics.replays.increment(1);
        let reading = async {
            let has_more =
                |image: &Arc<Image>| image.cursor.r#gen == after.r#gen && image.cursor.seq > after.seq;
            let image = match image.filter(has_more) {
                Some(image) => image,
                None => rows.image(&user).await?,
            };
            if !has_more(&image) {
                // What the ring knows of is not in the row, or is of another inbox: the user's worker sees to that.
                return Ok(Page { events: Vec::new(), cut: false, rest: Rest::Unread, image: None });
            }
            let page = cx.table.inbox(&user, &image, after.seq, limit, cx.clock.now()).await?;
            Ok(Page::cut(page, Some(image)))
        };
        let late = |_| Err(Error::Unavailable("an inbox is not read in time".into()));
        Read::Page(timeout(READ_TIME, reading).await.unwrap_or_else(late))
    })
}

/// Reads in a task of its own: the stream is not polled while its socket is blocked, and a read that is not polled
/// would keep its permit.
fn spawn(deps: &StreamDeps, read: impl Future<Output = Read> + Send + 'static) -> Reading {
    AbortOnDropHandle::new(deps.cx.tracker.spawn(read))
}

#[cfg(test)]
mod tests {
    use domain::{envelope::News, event::EventName, sequence::InboxSeq};

    use super::*;

    fn page(sizes: &[usize]) -> (usize, bool) {
        let event = |size: &usize| {
            let news = News::new(EventName::Message, format!("\"{}\"", "x".repeat(size - 2)));
            Event { seq: InboxSeq(1), news }
        };
        let events = sizes.iter().map(event).collect();
        let page = Page::cut(InboxPage { events, rest: Rest::Unread }, None);
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
