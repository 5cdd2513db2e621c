//! One open stream: does what [`crate::replay`] says, keeps time, and ends.
//!
//! The owner of the socket is the engine, or a body in hyper. The owner asks the stream for its next frame only when
//! the socket accepts more. So a slow reader costs its cursor and one page of its inbox. Dropping the stream
//! unregisters it.

use std::{
    collections::VecDeque,
    fmt,
    future::poll_fn,
    pin::Pin,
    sync::Arc,
    task::{self, Poll},
    time::Duration,
};

use domain::{credential::Cutoff, limits};
use jiff::SignedDuration;
use mistakes::mistake;
use server::{address_limit::AddressPermit, auth::Identity};
use store::inbox::{Event, Image};
use tokio::time::Instant;

use crate::{
    context::{Context, jittered},
    replay::{Replay, Step},
    upstream::row_reader::RowReader,
    user::{
        More, Next, User,
        hub::Hub,
        stream_handle::{EndRequest, StreamHandle},
    },
    wire::{
        encoded_event::EncodedEvent,
        frame::{Content, Frame},
        last_event_id::LastEventId,
        reason::{CloseReason, EndReason},
    },
};

pub(crate) mod ping_schedule;
mod read;
#[cfg(test)]
mod tests;
pub(crate) mod timed;

use ping_schedule::PingSchedule;
use read::{Page, Read, Reading};

/// For how long tokens are honoured beyond their `exp`, since clocks differ.
const EXPIRY_GRACE: SignedDuration = SignedDuration::from_secs(30);

/// What every stream of an edge needs: one allocation for all of them.
#[derive(Debug)]
pub(crate) struct StreamDeps {
    pub(crate) cx: Arc<Context>,
    pub(crate) hub: Arc<Hub>,
    pub(crate) rows: RowReader,
    pub(crate) pings: PingSchedule,
}

/// An open stream.
pub(crate) struct Stream {
    deps: Arc<StreamDeps>,
    user: Arc<User>,
    handle: Arc<StreamHandle>,
    replay: Replay,
    /// Whether the client brought no cursor.
    is_fresh: bool,
    phase: Phase,
    /// Events that were read from the inbox and are still to be shipped.
    page: VecDeque<Event>,
    /// How many events to read next.
    page_events: usize,
    reading: Option<Reading>,
    /// An image of the user row with events that the stream has not shipped.
    image: Option<Arc<Image>>,
    /// The version of the last ephemeral event shown.
    ephemeral_version: u64,
    ping_at: Instant,
    /// When the stream ends by itself, and why.
    end: (Instant, CloseReason),
    opened_at: Instant,
    frames: u64,
    ended: EndReason,
    /// Held until the stream is dropped.
    _permit: AddressPermit,
}

/// What a stream has to write.
#[derive(Debug)]
pub(crate) enum Output {
    /// A frame.
    Frame(Frame),
    /// A frame with nothing behind it, as with [`Output::Wait`].
    Last(Frame, Instant),
    /// Nothing, until the stream wakes the caller or, at the latest, until this time.
    Wait(Instant),
    /// Nothing any more.
    End,
}

/// How far the stream has got.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Nothing was written.
    New,
    /// The comment was written, and no hello yet.
    Opened,
    /// Hello was written.
    Live,
    /// Bye was written.
    Closing,
}

impl Stream {
    /// A stream that is registered already.
    pub(crate) fn new(
        deps: Arc<StreamDeps>,
        (user, handle, permit): (Arc<User>, Arc<StreamHandle>, AddressPermit),
        identity: &Identity,
        last_event_id: LastEventId,
    ) -> Self {
        let now = Instant::now();
        let left = identity.expires_at.duration_since(deps.cx.clock.now()).saturating_add(EXPIRY_GRACE);
        // At most twice the age that a stream may have: a token may be good for centuries.
        let left = Duration::try_from(left).unwrap_or_default().min(2 * limits::STREAM_AGE);
        let expires_at = now + left;
        let old_at = now + jittered(limits::STREAM_AGE);
        deps.cx.metrics.streams.increment(1.0);
        let replay = Replay::new(last_event_id);
        Self {
            ping_at: deps.pings.first(now),
            end: if expires_at < old_at {
                (expires_at, CloseReason::Expired)
            } else {
                (old_at, CloseReason::Age)
            },
            is_fresh: last_event_id == LastEventId::Absent,
            deps,
            user,
            handle,
            replay,
            phase: Phase::New,
            page: VecDeque::new(),
            page_events: limits::REPLAY_PAGE,
            reading: None,
            image: None,
            ephemeral_version: 0,
            opened_at: now,
            frames: 0,
            ended: EndReason::Gone,
            _permit: permit,
        }
    }

    /// Waits for the first image of the user row, and judges the client's cursor by it. The taking of the user's lease
    /// brings one; a stream that joins later reads the row. Without an image the stream goes on, and reads it then.
    ///
    /// # Errors
    /// If the user's credentials were revoked.
    pub(crate) async fn judged(&mut self) -> Result<(), Revoked> {
        let image = poll_fn(|cx| {
            self.handle.listen(cx.waker());
            match self.handle.take_image() {
                Some(image) => Poll::Ready(Some(image)),
                None if self.user.will_answer(&self.handle) => Poll::Pending,
                None => Poll::Ready(None),
            }
        });
        let image = match image.await {
            Some(image) => Ok(image),
            None => self.deps.rows.image(&self.user.id).await,
        };
        match image {
            Ok(image) if image.revokes(&self.handle.credential) && !mistake!(RevokedOpens) => {
                Err(Revoked(image.row.cutoff.clone()))
            }
            Ok(image) => {
                self.row_read(image.clone(), Instant::now());
                // A client without a cursor begins where the inbox ended when it came.
                if self.replay.needs_cursor()
                    && let Ok(cursor) = self.deps.cx.table.settled_cursor(&image).await
                {
                    self.replay.settled_read(cursor);
                }
                Ok(())
            }
            Err(error) => {
                self.deps.cx.failed("read a user row for a new stream", &error);
                Ok(())
            }
        }
    }

    /// Makes the stream one of a poll. The previous poll has shown the earlier ephemeral events, and the end of the
    /// stream counts as an answer.
    pub(crate) fn for_a_poll(&mut self) {
        self.ephemeral_version = self.user.latest_ephemeral();
        self.ended = EndReason::Polled;
    }

    /// Whether the stream has shipped everything that is known to have happened, up to its opening at least.
    pub(crate) fn is_caught_up(&self) -> bool {
        self.page.is_empty() && self.reading.is_none() && self.user.is_caught_up(&self.replay)
    }

    /// What the stream writes next. Any change of that, except by time, wakes `cx`.
    pub(crate) fn next(&mut self, cx: &mut task::Context<'_>, now: Instant) -> Output {
        self.handle.listen(cx.waker());
        if let Poll::Ready(last) = self.poll_bye(now) {
            return last.map_or(Output::End, Output::Frame);
        }
        let (frame, more) = match self.advance(cx, now) {
            Ok(output) => output,
            Err(wait) => {
                let deadlines = [wait, (self.phase == Phase::Live).then_some(self.ping_at)];
                return Output::Wait(deadlines.into_iter().flatten().fold(self.end.0, Instant::min));
            }
        };
        self.frames += 1;
        self.deps.cx.metrics.frames.increment(1);
        // Most streams have shipped the whole ring, and need not be asked once more.
        if more == More::Nothing && now < self.ping_at {
            Output::Last(frame, self.ping_at.min(self.end.0))
        } else {
            Output::Frame(frame)
        }
    }

    /// Ready if the stream has to end without bye, for a stream whose socket takes nothing.
    pub(crate) fn poll_cut(&self, cx: &mut task::Context<'_>) -> Poll<()> {
        self.handle.listen_for_the_end(cx.waker());
        if self.handle.end_request() == EndRequest::Cut { Poll::Ready(()) } else { Poll::Pending }
    }

    /// Ready with the last frame, and then the end, if the stream has to end.
    fn poll_bye(&mut self, now: Instant) -> Poll<Option<Frame>> {
        if self.phase == Phase::Closing {
            return Poll::Ready(None);
        }
        let why = match self.handle.end_request() {
            EndRequest::Close(why) => why,
            EndRequest::Open if now >= self.end.0 => self.end.1,
            EndRequest::Open => return Poll::Pending,
            EndRequest::Cut => return Poll::Ready(None),
        };
        let is_first = self.phase == Phase::New;
        self.phase = Phase::Closing;
        self.ended = EndReason::Closed(why);
        let bye = Content::Bye { why, retry_ms: self.deps.cx.config.retry_ms.draw() };
        Poll::Ready(Some(Frame::new(bye, self.replay.id()).opening_if(is_first)))
    }

    /// The next frame, or when to look again at the latest.
    fn advance(
        &mut self,
        cx: &mut task::Context<'_>,
        now: Instant,
    ) -> Result<(Frame, More), Option<Instant>> {
        let wait = loop {
            // Before anything else is read: hello has the cursor that the client came with.
            if self.phase != Phase::Live
                && let Some(greeting) = self.greet()
            {
                return Ok((greeting, More::Perhaps));
            }
            if let Some(reading) = &mut self.reading {
                let Poll::Ready(read) = Pin::new(reading).poll(cx) else { break None };
                self.reading = None;
                self.read_done(read.unwrap_or_else(Read::panicked), now);
                continue;
            }
            if let Some(event) = self.page.pop_front() {
                self.replay.shipped(event.seq);
                let content = Content::Event(EncodedEvent::told(&event.news, self.user.id.as_str(), None));
                return Ok((Frame::new(content, self.replay.id()), More::Perhaps));
            }
            match self.user.next(&mut self.replay, &mut self.ephemeral_version, now) {
                Next::Event(event, id, more) => {
                    if let Some(sent_at) = event.sent_at {
                        self.deps.cx.metrics.lagged(now.saturating_duration_since(sent_at));
                    }
                    return Ok((Frame::new(Content::Event(event), id), more));
                }
                Next::Step(Step::Reset { to, why }) => {
                    self.deps.cx.metrics.reset(why);
                    return Ok((Frame::reset(why, to), More::Perhaps));
                }
                Next::Step(Step::ReadRow) => match self.handle.take_image() {
                    Some(image) => self.row_read(image, now),
                    // It wakes the stream.
                    None if self.user.will_answer(&self.handle) => break None,
                    None => self.reading = Some(read::row(&self.deps, &self.user.id)),
                },
                Next::Step(Step::ReadSettled) => {
                    self.reading = Some(read::settled(&self.deps, &self.user.id, self.image.take()));
                }
                Next::Step(Step::ReadInbox { .. }) => {
                    let Some(after) = self.replay.cursor() else { break None };
                    let (limit, image) = (self.page_events, self.image.take());
                    self.reading = Some(read::page(&self.deps, &self.user.id, after, limit, image));
                }
                Next::Step(Step::WaitUntil(until)) => break Some(until),
                Next::Step(Step::Wait | Step::Ship(_)) => {
                    self.image = None;
                    break None;
                }
            }
        };
        if self.phase == Phase::Live && now >= self.ping_at {
            self.ping_at = self.deps.pings.next(self.ping_at, now);
            // The wait may end before the next ping.
            let more = if wait.is_none() { More::Nothing } else { More::Perhaps };
            return Ok((Frame::ping(self.replay.id()), more));
        }
        Err(wait)
    }

    fn greet(&mut self) -> Option<Frame> {
        let is_first = self.phase == Phase::New;
        if let Some(status) = self.replay.greeting(self.is_fresh) {
            self.phase = Phase::Live;
            let config = &self.deps.cx.config;
            let (ping_s, retry_ms) = (config.ping.as_secs(), config.retry_ms.draw());
            let hello = Content::Hello { status, ping_s, retry_ms };
            Some(Frame::new(hello, self.replay.id()).opening_if(is_first))
        } else if is_first {
            self.phase = Phase::Opened;
            Some(Frame::opening())
        } else {
            None
        }
    }

    fn read_done(&mut self, read: Read, now: Instant) {
        match read {
            // The stream ends when it is polled next, which this causes.
            Read::Row(Ok(image)) if image.revokes(&self.handle.credential) => {
                self.handle.close(CloseReason::Revoked);
            }
            Read::Row(Ok(image)) => self.row_read(image, now),
            Read::Settled(Ok(cursor)) => {
                self.replay.settled_read(cursor);
                self.deps.hub.request(&self.user, self.user.row_seen(cursor));
            }
            Read::Page(Ok(Page { mut events, cut, rest, image })) => {
                // The next page is no larger than what fits, so that the same events are not read in vain again and
                // again.
                self.page_events =
                    if cut { events.len() } else { (2 * self.page_events).min(limits::REPLAY_PAGE) };
                events.truncate(self.replay.page_read(events.iter().map(|event| event.seq), rest, now));
                self.page = events.into();
                self.image = image;
            }
            Read::Row(Err(error)) | Read::Settled(Err(error)) | Read::Page(Err(error)) => {
                self.deps.cx.failed("read an inbox for a stream", &error);
                // A smaller page may take less time.
                self.page_events = (self.page_events / 2).max(1);
                self.replay.read_failed(now, rng::random());
            }
        }
    }

    fn row_read(&mut self, image: Arc<Image>, now: Instant) {
        self.replay.row_read(image.cursor, now);
        self.deps.hub.request(&self.user, self.user.row_seen(image.cursor));
        self.image = Some(image);
    }
}

/// The user's credentials were revoked, by this.
#[derive(Debug)]
pub(crate) struct Revoked(pub(crate) Cutoff);

impl Drop for Stream {
    fn drop(&mut self) {
        self.deps.hub.leave(&self.user, &self.handle, Instant::now());
        self.deps.cx.metrics.streams.decrement(1.0);
        self.deps.cx.metrics.close(self.ended);
        tracing::info!(
            user.id = %self.user.id,
            stream.frames = self.frames,
            stream.seconds = self.opened_at.elapsed().as_secs(),
            stream.reason = self.ended.as_str(),
            "a stream ended: {}", self.ended.as_str(),
        );
    }
}

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stream")
            .field("user", &self.user.id)
            .field("replay", &self.replay)
            .field("phase", &self.phase)
            .finish_non_exhaustive()
    }
}
