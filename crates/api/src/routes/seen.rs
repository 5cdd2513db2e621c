//! How far a member has read.

use axum::{Json as Answer, extract::State};
use domain::{ids::ThreadId, wire::Seen};
use serde::Deserialize;
use server::{
    auth::bearer::Bearer,
    json::{Json, Path},
    problem::Problem,
};
use store::write::seen::Marked;
use utoipa::ToSchema;

use crate::answer::failed;
use fanout::drive::Fanout;

/// Up to which message number the sender has read.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Mark {
    /// A larger one than the thread has counts as its last.
    number: u64,
}

/// `POST /v1/threads/{t}/seen`: 200 with how far the sender has read now. It only goes forward,
/// so it needs no idempotency key.
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
