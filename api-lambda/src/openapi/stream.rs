//! What the edge serves.

#![expect(dead_code, reason = "these only carry descriptions")]

/// Open the stream.
///
/// Begins behind the cursor of `Last-Event-ID`, else of `cursor`, else of `lastEventId`; without one
/// it begins now. Every frame by example: docs/WIRE.md.
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
