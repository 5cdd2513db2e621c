//! Users whom a user has blocked.

use axum::{Json as Answer, extract::State};
use domain::{
    ids::UserId,
    rate::Class,
    wire::{Block, Page},
};
use http::StatusCode;
use server::{json::Path, problem::Problem};
use store::table::Table;

use crate::{
    answer::{failed, problem_of},
    rate::{Metered, Reader},
};

/// Block a user.
///
/// From then on the user cannot write in your direct thread, create a thread with you, or add you to a group, and no longer
/// sees that you are online, type or have read.
#[utoipa::path(put, path = "/v1/me/blocks/{user}", tag = "blocks", operation_id = "blockUser",
    params(("user" = UserId, Path, description = "Whom.")),
    responses((status = 204, description = "The user is blocked.")))]
pub async fn add(
    State(table): State<Table>,
    metered: Metered,
    Path(user): Path<UserId>,
) -> Result<StatusCode, Problem> {
    metered.count(Class::Seen)?;
    let me = &metered.identity.user;
    if &user == me {
        return Err(Problem::invalid("user", "you cannot block yourself"));
    }
    table.block(me, &user, metered.now).await.map_err(problem_of)?;
    Ok(StatusCode::NO_CONTENT)
}

/// Unblock a user.
#[utoipa::path(delete, path = "/v1/me/blocks/{user}", tag = "blocks", operation_id = "unblockUser",
    params(("user" = UserId, Path, description = "Whom.")),
    responses((status = 204, description = "The user is not blocked.")))]
pub async fn remove(
    State(table): State<Table>,
    metered: Metered,
    Path(user): Path<UserId>,
) -> Result<StatusCode, Problem> {
    metered.count(Class::Seen)?;
    table.unblock(&metered.identity.user, &user).await.map_err(failed)?;
    Ok(StatusCode::NO_CONTENT)
}

/// List the users whom you have blocked.
#[utoipa::path(get, path = "/v1/me/blocks", tag = "blocks", operation_id = "listBlocks",
    responses((status = 200, description = "All of them, on one page.", body = Page<Block>)))]
pub async fn list(
    State(table): State<Table>,
    Reader(reader): Reader,
) -> Result<Answer<Page<Block>>, Problem> {
    let items = table.blocks(&reader.user).await.map_err(failed)?;
    Ok(Answer(Page { items, next: None }))
}
