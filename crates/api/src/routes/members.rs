//! Members of a group: added, removed, leaving.

use axum::extract::State;
use domain::{
    ids::{ThreadId, UserId},
    rate::Class,
};
use fanout::chat::Chat;
use http::StatusCode;
use server::{json::Path, problem::Problem};

use super::{
    parameters::{InThread, Key},
    write::{Write, problem},
};

/// Put a user into a group.
///
/// Any member may. Nobody joins a direct thread (409).
#[utoipa::path(put, path = "/v1/threads/{thread}/members/{user}", tag = "members", operation_id = "addMember",
    params(InThread, ("user" = UserId, Path, description = "Whom."), Key),
    responses((status = 204, description = "They are a member.")))]
pub async fn add(
    State(chat): State<Chat>,
    Path((thread, user)): Path<(ThreadId, UserId)>,
    write: Write,
) -> Result<StatusCode, Problem> {
    let request = write.of(&[(Class::Change, 1), (Class::Invite, 1)], &("add", &thread, &user));
    chat.add_member(&request, &thread, &user).await.map_err(problem(&request))?;
    Ok(StatusCode::NO_CONTENT)
}

/// Leave a group, or take a user out of it.
///
/// Only the owner takes others out (403).
#[utoipa::path(delete, path = "/v1/threads/{thread}/members/{user}", tag = "members", operation_id = "removeMember",
    params(InThread, ("user" = UserId, Path, description = "Whom."), Key),
    responses((status = 204, description = "They are no member.")))]
pub async fn remove(
    State(chat): State<Chat>,
    Path((thread, user)): Path<(ThreadId, UserId)>,
    write: Write,
) -> Result<StatusCode, Problem> {
    let request = write.of(&[(Class::Change, 1)], &("remove", &thread, &user));
    chat.remove_member(&request, &thread, &user).await.map_err(problem(&request))?;
    Ok(StatusCode::NO_CONTENT)
}
