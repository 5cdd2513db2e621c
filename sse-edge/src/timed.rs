//! A stream with a timer of its own, for those who wait for its frames one by one.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use tokio::time::{Instant, Sleep, sleep_until};

use crate::{
    frames::Frame,
    stream::{Stream, Turn},
};

/// A stream, and when to ask it again.
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
            let until = match self.stream.turn(cx, Instant::now()) {
                Turn::Frame(frame) | Turn::Last(frame, _) => return Poll::Ready(Some(frame)),
                Turn::End => return Poll::Ready(None),
                Turn::Wait(until) => until,
            };
            if self.timer.deadline() != until {
                self.timer.as_mut().reset(until);
            }
            ready!(self.timer.as_mut().poll(cx));
        }
    }
}
