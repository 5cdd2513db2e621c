//! A stream with a timer of its own, for a caller that awaits its frames one by one.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use tokio::time::{Instant, Sleep, sleep_until};

use super::{Output, Stream};
use crate::wire::frame::Frame;

/// A stream, and when to poll it again.
#[derive(Debug)]
pub(crate) struct Timed {
    pub(crate) stream: Stream,
    timer: Pin<Box<Sleep>>,
}

impl Timed {
    pub(crate) fn new(stream: Stream) -> Self {
        Self { stream, timer: Box::pin(sleep_until(Instant::now())) }
    }

    /// The next frame, once there is one; none when the stream has ended.
    pub(crate) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Frame>> {
        loop {
            let until = match self.stream.next(cx, Instant::now()) {
                Output::Frame(frame) | Output::Last(frame, _) => return Poll::Ready(Some(frame)),
                Output::End => return Poll::Ready(None),
                Output::Wait(until) => until,
            };
            if self.timer.deadline() != until {
                self.timer.as_mut().reset(until);
            }
            ready!(self.timer.as_mut().poll(cx));
        }
    }
}
