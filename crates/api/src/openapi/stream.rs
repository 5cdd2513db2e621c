//! What the edge serves.

#![expect(dead_code, reason = "these only carry descriptions")]

use utoipa::ToSchema;

use super::events::Event;

/// Open the stream.
///
/// Begins behind the cursor of `Last-Event-ID`, else of `cursor`, else of `lastEventId`; without one
/// it begins now. A frame has the `event`, `id` and `data` of an `Event`. Every frame by example: docs/WIRE.md.
#[utoipa::path(get, path = "/v1/events", tag = "stream", operation_id = "openStream",
    params(
        ("Last-Event-ID" = Option<String>, Header, description = "The last frame's `id`; `EventSource` sends it."),
        ("cursor" = Option<String>, Query, description = "From `GET /v1/threads`, or the last frame's `id`."),
        ("lastEventId" = Option<String>, Query, description = "The same, as some polyfills send it."),
    ),
    security(("bearer" = []), ("cookie" = []), ("ticket" = [])),
    responses(
        (status = 200, description = "The stream; it goes on.", body = String, content_type = "text/event-stream"),
        (status = 204, description = "Never come back: the credentials were revoked."),
    ))]
pub(super) fn events() {}

/// Take what is new, as one answer.
///
/// The stream for clients that cannot have one, cut into answers; the cursor of the one is good for
/// the other. Waits while there is nothing.
#[utoipa::path(get, path = "/v1/events/poll", tag = "stream", operation_id = "poll",
    params(
        ("cursor" = Option<String>, Query, description = "Of the poll before, or from `GET /v1/threads`."),
        ("wait" = Option<u64>, Query, description = "Seconds to wait while there is nothing; 25 without it, and 25 at most.",
            minimum = 0),
    ),
    security(("bearer" = []), ("cookie" = []), ("ticket" = [])),
    responses(
        (status = 200, description = "At most 100 events; the next poll is due at once.", body = Polled),
    ))]
pub(super) fn poll() {}

/// What a poll answers.
#[derive(ToSchema)]
pub(super) struct Polled {
    /// What is new, in order.
    events: Vec<Event>,
    /// What the next poll brings, or a stream.
    #[schema(example = "k3v9a1b2c3d4e.42")]
    cursor: String,
    /// Drop the state and list again.
    #[schema(required = false)]
    reset: PolledReset,
}

/// Why the state is to be dropped.
#[derive(ToSchema)]
pub(super) struct PolledReset {
    /// `unreadable`, `generation`, `above`, `behind` or `hole`.
    reason: String,
}
