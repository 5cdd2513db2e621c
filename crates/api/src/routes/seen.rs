//! How far a member has read.

use axum::{Json as Answer, extract::State};
use domain::{ids::ThreadId, wire::Seen};
use fanout::deliver::Fanout;
use serde::Deserialize;
use server::{
    auth::bearer::Bearer,
    json::{Json, Path},
    problem::Problem,
};
use store::write::seen::Marked;
use utoipa::ToSchema;

use super::parameters::InThread;
use crate::answer::failed;

/// Up to which message number the sender has read.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Mark {
    /// A larger one than the thread has counts as its last.
    number: u64,
}

/// Say how far you have read.
///
/// It only goes forward.
#[utoipa::path(post, path = "/v1/threads/{thread}/seen", tag = "live", operation_id = "markSeen",
    params(InThread), request_body = Mark,
    responses((status = 200, description = "How far you have read now.", body = Seen)))]
pub async fn mark(
    State(fanout): State<Fanout>,
    Bearer(reader): Bearer,
    Path(thread): Path<ThreadId>,
    Json(Mark { number }): Json<Mark>,
) -> Result<Answer<Seen>, Problem> {
    let marked = fanout.table.mark_seen(&reader.user, &thread, number, fanout.clock.now()).await;
    match marked.map_err(failed)? {
        Marked::Whole(seen, told) => {
            fanout.seen_whole(&seen, &told).await;
            Ok(Answer(seen))
        }
        Marked::Committed(seen) => {
            fanout.seen(&seen).await;
            Ok(Answer(seen))
        }
        Marked::Already(seen) => Ok(Answer(seen)),
        Marked::NotMember => Err(Problem::not_found()),
    }
}
