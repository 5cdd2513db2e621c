//! How far a member has read.

use axum::{Json as Answer, extract::State};
use domain::{ids::ThreadId, rate::Class, sequence::MessageNumber, wire::Seen};
use fanout::chat::Chat;
use serde::Deserialize;
use server::{
    json::{Json, Path},
    problem::Problem,
};
use utoipa::ToSchema;

use super::parameters::InThread;
use crate::{answer::failed, rate::Metered};

/// Up to which message number the sender has read.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Mark {
    /// A larger one than the thread has counts as its last.
    number: MessageNumber,
}

/// Say how far you have read.
///
/// It only goes forward.
#[utoipa::path(post, path = "/v1/threads/{thread}/seen", tag = "live", operation_id = "markSeen",
    params(InThread), request_body = Mark,
    responses((status = 200, description = "How far you have read now.", body = Seen)))]
pub async fn mark(
    State(chat): State<Chat>,
    metered: Metered,
    Path(thread): Path<ThreadId>,
    Json(Mark { number }): Json<Mark>,
) -> Result<Answer<Seen>, Problem> {
    // It only goes forward, so it needs no idempotency key.
    metered.count(Class::Seen)?;
    let seen = chat.mark_seen(&metered.identity.user, &thread, number).await.map_err(failed)?;
    seen.map(Answer).ok_or_else(Problem::not_found)
}
