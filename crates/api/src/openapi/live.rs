//! Typing, seen and presence.

#![expect(dead_code, reason = "these only carry descriptions")]

use domain::wire::{Page, Presence, Seen};

use super::common::InThread;
use crate::routes::{seen::Mark, typing::NewTyping};

/// Say that you type, or have stopped.
///
/// Told to whoever is connected, and kept nowhere. In threads of more than 20 members nobody is told.
#[utoipa::path(post, path = "/v1/threads/{thread}/typing", tag = "live", operation_id = "tellTyping",
    params(InThread), request_body = NewTyping,
    responses((status = 202, description = "Passed on.")))]
pub(super) fn typing() {}

/// Say how far you have read.
///
/// It only goes forward.
#[utoipa::path(post, path = "/v1/threads/{thread}/seen", tag = "live", operation_id = "markSeen",
    params(InThread), request_body = Mark,
    responses((status = 200, description = "How far you have read now.", body = Seen)))]
pub(super) fn seen() {}

/// See who has a stream open.
#[utoipa::path(get, path = "/v1/threads/{thread}/presence", tag = "live", operation_id = "listPresence",
    params(InThread),
    responses((status = 200, description = "All members, on one page.", body = Page<Presence>)))]
pub(super) fn presence() {}
