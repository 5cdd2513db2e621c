//! Threads.

#![expect(dead_code, reason = "these only carry descriptions")]

use domain::wire::Thread;

use super::common::{InThread, Key, Limit};
use crate::routes::threads::{NewThread, NewTitle, Threads};

/// Create a thread.
///
/// With one other member and no title it is the direct thread of both, of which there is one.
#[utoipa::path(post, path = "/v1/threads", tag = "threads", operation_id = "createThread",
    params(Key), request_body = NewThread,
    responses(
        (status = 201, description = "The new thread.", body = Thread),
        (status = 200, description = "It was there.", body = Thread),
    ))]
pub(super) fn create() {}

/// List your threads.
///
/// The latest activity first. A stream opened at `cursor` (with several pages, the first one's)
/// misses nothing.
#[utoipa::path(get, path = "/v1/threads", tag = "threads", operation_id = "listThreads",
    params(Limit, ("after" = Option<String>, Query, description = "`next` of the page before.")),
    responses((status = 200, description = "A page.", body = Threads)))]
pub(super) fn list() {}

/// Read a thread.
#[utoipa::path(get, path = "/v1/threads/{thread}", tag = "threads", operation_id = "readThread",
    params(InThread),
    responses((status = 200, description = "The thread, with `seen_by`.", body = Thread)))]
pub(super) fn read() {}

/// Rename a group.
///
/// Any member may. A direct thread has no title (409).
#[utoipa::path(patch, path = "/v1/threads/{thread}", tag = "threads", operation_id = "renameThread",
    params(InThread, Key), request_body = NewTitle,
    responses((status = 200, description = "The thread as it is now.", body = Thread)))]
pub(super) fn rename() {}
