//! An invitation, accepted.

use axum::extract::State;
use domain::{ids::ThreadId, rate::Class};
use fanout::chat::Chat;
use http::StatusCode;
use server::{json::Path, problem::Problem};

use super::{parameters::InThread, write::problem_of};
use crate::rate::Metered;

/// Accept an invitation.
///
/// Reading and writing accept it as well. In a group that you have left, it allows members to add you again.
#[utoipa::path(post, path = "/v1/threads/{thread}/accept", tag = "members", operation_id = "acceptInvitation",
    params(InThread),
    responses((status = 204, description = "The thread is one of yours, or members may add you again.")))]
pub async fn accept(
    State(chat): State<Chat>,
    metered: Metered,
    Path(thread): Path<ThreadId>,
) -> Result<StatusCode, Problem> {
    // The maximum counts, so it needs no idempotency key.
    metered.count(Class::Seen)?;
    chat.accept(&metered.identity.user, &thread).await.map_err(problem_of)?;
    Ok(StatusCode::NO_CONTENT)
}
