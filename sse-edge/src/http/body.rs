//! The answer to `GET /v1/events`, and its body where hyper writes it.

use std::{
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll},
};

use axum::{body::Body, response::Response};
use bytes::Bytes;
use http::{HeaderName, HeaderValue, header};

use crate::{
    stream::{Stream, timed::Timed},
    wire::frame::Frame,
};

/// The body of a stream.
#[derive(Debug)]
pub(crate) enum EventBody {
    /// An open stream.
    Open(Box<Timed>),
    /// One frame, and the end.
    Last(Option<Frame>),
}

/// The response that `body` belongs to: 200, an event stream, and no length.
pub(crate) fn response(body: Body) -> Response {
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    for (name, value) in [
        (header::CONTENT_TYPE, "text/event-stream"),
        (header::CACHE_CONTROL, "no-cache, no-transform"),
        // nginx buffers a whole stream otherwise.
        (HeaderName::from_static("x-accel-buffering"), "no"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

impl EventBody {
    /// Everything that a stream writes.
    pub(crate) fn open(stream: Stream) -> Self {
        Self::Open(Box::new(Timed::new(stream)))
    }

    /// The response with this body.
    pub(crate) fn response(self) -> Response {
        response(Body::new(self))
    }
}

impl http_body::Body for EventBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<Bytes>, Infallible>>> {
        let next = match &mut *self {
            Self::Open(stream) => std::task::ready!(stream.poll_next(cx)),
            Self::Last(frame) => frame.take(),
        };
        Poll::Ready(next.map(|frame| Ok(http_body::Frame::data(frame.text()))))
    }
}
