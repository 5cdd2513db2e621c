//! The answer to `GET /v1/events`, whatever it says: 200, an event stream, and no length; and its
//! body, where hyper writes it.

use std::{
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll},
};

use axum::{body::Body, response::Response};
use bytes::Bytes;
use domain::{cursor::Cursor, frame};
use http::{HeaderName, HeaderValue, header};
use http_body::Frame;

use crate::{
    config::RetryRange,
    frames::{self, Bye, Id},
    stream::Stream,
    timed::Timed,
};

/// What goes out behind the head.
#[derive(Debug)]
pub(crate) enum Events {
    /// An open stream.
    Open(Box<Timed>),
    /// Its only bytes.
    Last(Option<Bytes>),
}

/// The response that `body` belongs to.
pub(crate) fn response(body: Body) -> Response {
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    for (name, value) in [
        (header::CONTENT_TYPE, "text/event-stream"),
        (header::CACHE_CONTROL, "no-cache, no-transform"),
        // nginx gathers a whole stream otherwise.
        (HeaderName::from_static("x-accel-buffering"), "no"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

impl Events {
    /// All that a stream says.
    pub(crate) fn open(stream: Stream) -> Self {
        Self::Open(Box::new(Timed::new(stream)))
    }

    /// Comes, says bye, and goes.
    pub(crate) fn bye(why: Bye, retry: RetryRange, id: Option<Cursor>) -> Self {
        Self::Last(Some(frames::bye(frame::OPENING, why, retry.draw(), Id(id)).text()))
    }

    /// The response that carries them.
    pub(crate) fn response(self) -> Response {
        response(Body::new(self))
    }
}

impl http_body::Body for Events {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let next = match &mut *self {
            Self::Open(stream) => std::task::ready!(stream.poll_next(cx)).map(|frame| frame.text()),
            Self::Last(bytes) => bytes.take(),
        };
        Poll::Ready(next.map(|bytes| Ok(Frame::data(bytes))))
    }
}
