//! One open stream: does what [`crate::splice`] says, keeps time, and ends.
//!
//! It is asked by whoever owns the socket ([`crate::engine`], or a body in hyper), and only when the
//! socket takes more: a slow reader costs its cursor and a page of its inbox. Dropping it unregisters
//! the stream.

use std::{
    collections::VecDeque,
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use domain::{cursor::Cursor, frame, limits};
use jiff::SignedDuration;
use mistakes::mistake;
use server::auth::Identity;
use store::{
    error::Error,
    inbox::{Event, Head},
};
use tokio::{
    task::JoinError,
    time::{Instant, timeout},
};
use tokio_util::task::AbortOnDropHandle;

use crate::{
    brought::Brought,
    caps::Place,
    config::jittered,
    frames::{self, Bye, Frame, Lines, Status},
    handle::{Asked, Handle},
    heads,
    metrics::Close,
    ring::Shown,
    shared::Shared,
    splice::{Splice, Step},
    tend,
    user_streams::{More, Next, UserStreams},
};

/// For how long tokens are honoured beyond their `exp`, since clocks differ.
const EXPIRY_GRACE: SignedDuration = SignedDuration::from_secs(30);

/// How long a read of an inbox may keep the place of another one: those that one hot partition lets
/// hang must not stop all.
const READ_TIME: Duration = Duration::from_secs(5);

/// An open stream.
pub(crate) struct Stream {
    shared: Arc<Shared>,
    user: Arc<UserStreams>,
    handle: Arc<Handle>,
    splice: Splice,
    status: Status,
    said: Said,
    /// Read of the inbox, still to be shipped.
    page: VecDeque<Event>,
    /// How many events to read next.
    page_events: usize,
    reading: Option<Reading>,
    /// The version of the last typing event shown.
    shown: u64,
    ping_at: Instant,
    /// When the stream ends by itself, and why.
    end: (Instant, Bye),
    opened_at: Instant,
    frames: u64,
    close: Close,
    /// Held until the stream is dropped.
    _place: Place,
}

/// What a stream says when it is asked.
#[derive(Debug)]
pub(crate) enum Turn {
    /// A frame.
    Frame(Frame),
    /// A frame with nothing behind it, as with [`Turn::Wait`].
    Last(Frame, Instant),
    /// Nothing, until it wakes whoever asked or, at the latest, until this time.
    Wait(Instant),
    /// Nothing any more.
    End,
}

/// What the client has heard so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Said {
    Nothing,
    Opening,
    Hello,
    Bye,
}

type Reading = AbortOnDropHandle<Read>;

enum Read {
    Head(Result<Head, Error>),
    /// When it was asked for, and what came.
    Page(Instant, Result<Page, Error>),
}

/// The next events of an inbox, as many as a stream may keep.
struct Page {
    events: Vec<Event>,
    /// Whether there were more, which are to be read again.
    cut: bool,
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
    /// The read has panicked: another one will do, as after any failure.
    fn broken_off(error: JoinError) -> Self {
        Self::Head(Err(Error::Unavailable(error.to_string().into())))
    }
}

impl Stream {
    /// A stream that is registered already. `head` is HEAD if it was read while opening.
    pub(crate) fn new(
        shared: Arc<Shared>,
        (user, handle, place): (Arc<UserStreams>, Arc<Handle>, Place),
        identity: &Identity,
        brought: Brought,
        head: Option<Cursor>,
    ) -> Self {
        let now = Instant::now();
        let left = identity.expires_at.duration_since(shared.clock.now()).saturating_add(EXPIRY_GRACE);
        // No further than the stream could ever live: a token may be good for centuries.
        let left = Duration::try_from(left).unwrap_or_default().min(2 * limits::STREAM_AGE);
        let expires_at = now + left;
        let old_at = now + jittered(limits::STREAM_AGE);
        shared.meters.streams.increment(1.0);
        let present = head.filter(|_| mistake!(StreamAtPresent));
        let mut splice = Splice::new(present.map_or(brought, Brought::Readable));
        if let Some(head) = head {
            splice.head(head, now);
        }
        Self {
            ping_at: shared.pings.first(now),
            end: if expires_at < old_at { (expires_at, Bye::Expired) } else { (old_at, Bye::Age) },
            status: if brought == Brought::Nothing { Status::Fresh } else { Status::Resumed },
            shared,
            user,
            handle,
            splice,
            said: Said::Nothing,
            page: VecDeque::new(),
            page_events: limits::REPLAY_PAGE,
            reading: None,
            shown: 0,
            opened_at: now,
            frames: 0,
            close: Close::Gone,
            _place: place,
        }
    }

    /// Makes it one that a poll reads: what was typed before the poll was told to the one before,
    /// and an end is an answer.
    pub(crate) fn for_a_poll(&mut self) {
        self.shown = self.user.typed();
        self.close = Close::Polled;
    }

    /// Whether everything was shipped that is known to have happened, up to the open at least.
    pub(crate) fn is_caught_up(&self) -> bool {
        self.page.is_empty() && self.reading.is_none() && self.user.is_caught_up(&self.splice)
    }

    /// What it says next. Whatever changes that, but for the time, wakes `cx`.
    pub(crate) fn turn(&mut self, cx: &mut Context<'_>, now: Instant) -> Turn {
        self.handle.listen(cx.waker());
        if let Poll::Ready(last) = self.last(now) {
            return last.map_or(Turn::End, Turn::Frame);
        }
        let (frame, more) = match self.advance(cx, now) {
            Ok(said) => said,
            Err(wait) => {
                let deadlines = [wait, (self.said == Said::Hello).then_some(self.ping_at)];
                return Turn::Wait(deadlines.into_iter().flatten().fold(self.end.0, Instant::min));
            }
        };
        self.frames += 1;
        self.shared.meters.frames.increment(1);
        // Whoever is in step with the ring is not asked in vain once more, which is most of the time.
        if more == More::Nothing && now < self.ping_at {
            Turn::Last(frame, self.ping_at.min(self.end.0))
        } else {
            Turn::Frame(frame)
        }
    }

    /// Ready if it has to end without a word, whether its socket takes one or not.
    pub(crate) fn poll_cut(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.handle.listen_for_the_end(cx.waker());
        if self.handle.asked() == Asked::Cut { Poll::Ready(()) } else { Poll::Pending }
    }

    /// Ready with the last frame, and then the end, if the stream has to end.
    fn last(&mut self, now: Instant) -> Poll<Option<Frame>> {
        if self.said == Said::Bye {
            return Poll::Ready(None);
        }
        let why = match self.handle.asked() {
            Asked::Bye(why) => why,
            Asked::Nothing if now >= self.end.0 => self.end.1,
            Asked::Nothing => return Poll::Pending,
            Asked::Cut => return Poll::Ready(None),
        };
        let opening = if self.said == Said::Nothing { frame::OPENING } else { "" };
        self.said = Said::Bye;
        self.close = Close::Said(why);
        let retry_ms = self.shared.config.retry_ms.draw();
        Poll::Ready(Some(frames::bye(opening, why, retry_ms, self.splice.id())))
    }

    /// The next frame, or when to look again at the latest.
    fn advance(&mut self, cx: &mut Context<'_>, now: Instant) -> Result<(Frame, More), Option<Instant>> {
        if self.said != Said::Hello
            && let Some(greeting) = self.greet()
        {
            return Ok((greeting, More::Perhaps));
        }
        let wait = loop {
            if let Some(reading) = &mut self.reading {
                let Poll::Ready(read) = Pin::new(reading).poll(cx) else { break None };
                self.reading = None;
                self.take(read.unwrap_or_else(Read::broken_off), now);
                if self.said != Said::Hello
                    && let Some(greeting) = self.greet()
                {
                    return Ok((greeting, More::Perhaps));
                }
            }
            if let Some(event) = self.page.pop_front() {
                self.splice.shipped(event.seq);
                let lines = frame::lines(event.news.event, event.news.data.get());
                return Ok((Frame::new(lines, self.splice.id()), More::Perhaps));
            }
            match self.user.next(&mut self.splice, &mut self.shown, now) {
                Next::Shown(shown, more) => return Ok((self.show(shown, now), more)),
                Next::Typing(frame) => return Ok((frame, More::Perhaps)),
                Next::Step(Step::Reset { to, why }) => {
                    self.shared.meters.reset(why);
                    return Ok((frames::reset(why, to), More::Perhaps));
                }
                Next::Step(Step::ReadHead) => self.reading = Some(self.read_head()),
                Next::Step(Step::ReadInbox { after }) => self.reading = Some(self.read_inbox(after)),
                Next::Step(Step::WaitUntil(until)) => break Some(until),
                Next::Step(Step::Wait | Step::Ship(_)) => break None,
            }
        };
        if self.said == Said::Hello && now >= self.ping_at {
            self.ping_at = self.shared.pings.next(self.ping_at, now);
            // What waits for its time may be due before the next ping.
            let more = if wait.is_none() { More::Nothing } else { More::Perhaps };
            return Ok((frames::ping(self.splice.id()), more));
        }
        Err(wait)
    }

    fn greet(&mut self) -> Option<Frame> {
        let opening = if self.said == Said::Nothing { frame::OPENING } else { "" };
        if self.splice.may_greet() {
            self.said = Said::Hello;
            let config = &self.shared.config;
            let retry_ms = config.retry_ms.draw();
            Some(frames::hello(opening, self.status, config.ping_seconds, retry_ms, self.splice.id()))
        } else if self.said == Said::Nothing {
            self.said = Said::Opening;
            Some(Frame::opening())
        } else {
            None
        }
    }

    fn show(&self, shown: Arc<Shown>, now: Instant) -> Frame {
        if let Some(sent_at) = shown.sent_at {
            self.shared.meters.lagged(now.saturating_duration_since(sent_at));
        }
        Frame::new(Lines::Shown(shown), self.splice.id())
    }

    fn read_head(&self) -> Reading {
        let (shared, user) = (self.shared.clone(), self.user.user.clone());
        self.read(async move { Read::Head(heads::head(&shared, &user).await) })
    }

    fn read_inbox(&self, after: u64) -> Reading {
        let (shared, user, limit) = (self.shared.clone(), self.user.user.clone(), self.page_events);
        self.read(async move {
            let _permit = shared.reads.acquire().await;
            shared.meters.replays.increment(1);
            let (asked_at, now) = (Instant::now(), shared.clock.now());
            let page = shared.table.inbox(&user, after, limit, now);
            let late = |_| Err(Error::Unavailable("an inbox is not read in time".into()));
            let page = timeout(READ_TIME, page).await.unwrap_or_else(late);
            Read::Page(asked_at, page.map(Page::cut))
        })
    }

    /// A task of its own: while the socket is blocked nobody asks the stream, and a read that stood
    /// still would keep its permit.
    fn read(&self, read: impl Future<Output = Read> + Send + 'static) -> Reading {
        AbortOnDropHandle::new(self.shared.tracker.spawn(read))
    }

    fn take(&mut self, read: Read, now: Instant) {
        match read {
            Read::Head(Ok(head)) => {
                if head.revokes(self.handle.issued_at) {
                    // Ends at the next turn, which this wakes.
                    return self.handle.bye(Bye::Revoked);
                }
                self.splice.head(head.cursor, now);
                tend::ask(&self.shared, &self.user, self.user.saw(head.cursor));
            }
            Read::Page(asked_at, Ok(Page { mut events, cut })) => {
                // What is cut off is not to be read in vain again and again.
                self.page_events =
                    if cut { events.len() } else { (2 * self.page_events).min(limits::REPLAY_PAGE) };
                events.truncate(self.splice.page(events.iter().map(|event| event.seq), asked_at, now));
                self.page = events.into();
            }
            Read::Head(Err(error)) | Read::Page(_, Err(error)) => {
                self.shared.failed("read an inbox for a stream", &error);
                // What took too long may not the next time.
                self.page_events = (self.page_events / 2).max(1);
                self.splice.failed(now, chance::random());
            }
        }
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.shared.hub.leave(&self.user, &self.handle, Instant::now());
        self.shared.meters.streams.decrement(1.0);
        self.shared.meters.close(self.close);
        tracing::info!(
            user.id = %self.user.user,
            stream.frames = self.frames,
            stream.seconds = self.opened_at.elapsed().as_secs(),
            stream.reason = self.close.as_str(),
            "a stream ended: {}", self.close.as_str(),
        );
    }
}

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stream")
            .field("user", &self.user.user)
            .field("splice", &self.splice)
            .field("said", &self.said)
            .finish_non_exhaustive()
    }
}
