//! Members of groups.

#![expect(dead_code, reason = "these only carry descriptions")]

use domain::ids::UserId;

use super::common::{InThread, Key};

/// Put a user into a group.
///
/// Any member may. Nobody joins a direct thread (409).
#[utoipa::path(put, path = "/v1/threads/{thread}/members/{user}", tag = "members", operation_id = "addMember",
    params(InThread, ("user" = UserId, Path, description = "Whom."), Key),
    responses((status = 204, description = "They are a member.")))]
pub(super) fn add() {}

/// Leave a group, or take a user out of it.
///
/// Only the owner takes others out (403).
#[utoipa::path(delete, path = "/v1/threads/{thread}/members/{user}", tag = "members", operation_id = "removeMember",
    params(InThread, ("user" = UserId, Path, description = "Whom."), Key),
    responses((status = 204, description = "They are no member.")))]
pub(super) fn remove() {}
