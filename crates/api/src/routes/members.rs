//! Members: added, given roles, removed, leaving, accepting an invitation.

use std::collections::BTreeSet;

use axum::extract::State;
use domain::{
    event::{Body, Entry, Role},
    ids::{ThreadId, UserId},
    limits,
    rate::Class,
};
use fanout::chat::Chat;
use http::StatusCode;
use serde::{Deserialize, Serialize};
use server::{
    json::{Json, Path},
    problem::Problem,
};
use store::write::Outcome;
use utoipa::ToSchema;

use super::{
    named::at_most,
    parameters::{InThread, Key},
    write::Write,
};
use crate::{
    answer::{Replayed, problem_of},
    audit::{Deed, note},
    rate::Metered,
};

/// What a user is to be in a group.
#[derive(Debug, Default, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Membership {
    /// Their role. Without one a user is added as a member, and a member keeps the role that they have.
    role: Option<Role>,
}

/// Users to add to a group.
#[derive(Debug, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewMembers {
    /// 1 to 90 users.
    #[serde(deserialize_with = "at_most::<_, { limits::CREATE_MEMBERS }>")]
    #[schema(value_type = Vec<UserId>, min_items = 1, max_items = 90)]
    users: BTreeSet<UserId>,
}

/// Put users into a group.
///
/// One event tells of all of them. Members keep their roles. If one user cannot be added (403), the request adds none.
#[utoipa::path(post, path = "/v1/threads/{thread}/members", tag = "members", operation_id = "addMembers",
    params(InThread, Key), request_body = NewMembers,
    responses((status = 204, description = "All of them are members.")))]
pub async fn add_all(
    State(chat): State<Chat>,
    Path(thread): Path<ThreadId>,
    write: Write,
    Json(NewMembers { users }): Json<NewMembers>,
) -> Result<(Replayed, StatusCode), Problem> {
    if !(1..=limits::CREATE_MEMBERS).contains(&users.len()) {
        let detail = format!("`users` must name 1 to {} users", limits::CREATE_MEMBERS);
        return Err(Problem::invalid("users", detail));
    }
    let users: Vec<UserId> = users.into_iter().collect();
    let invited = u32::try_from(users.len()).unwrap_or(u32::MAX);
    let request = write.of(&[(Class::Change, 1), (Class::Invite, invited)], &("add all", &thread, &users));
    let outcome = chat.add_members(&request, &thread, &users).await.map_err(problem_of)?;
    if let Outcome::Logged(Entry { body: Body::Member { user, others, .. }, .. }, _) = &outcome {
        for user in std::iter::once(user).chain(others) {
            note(&request.sender, request.via.as_ref(), &Deed::PutMember.to_thread(&thread).about(user));
        }
    }
    Ok((Replayed::from(&outcome), StatusCode::NO_CONTENT))
}

/// Put a user into a group, or give a member a role.
///
/// Any member adds members, unless the group's `adds` keeps that to greater roles (403). Only the owner gives roles (403). An
/// owner who makes another member the owner becomes a moderator. The members of a direct thread do not change (409).
#[utoipa::path(put, path = "/v1/threads/{thread}/members/{user}", tag = "members", operation_id = "addMember",
    params(InThread, ("user" = UserId, Path, description = "Whom."), Key), request_body = Option<Membership>,
    responses((status = 204, description = "They are a member.")))]
pub async fn add(
    State(chat): State<Chat>,
    Path((thread, user)): Path<(ThreadId, UserId)>,
    write: Write,
    body: Option<Json<Membership>>,
) -> Result<(Replayed, StatusCode), Problem> {
    let role = body.and_then(|Json(membership)| membership.role);
    let request = write.of(&[(Class::Change, 1), (Class::Invite, 1)], &("add", &thread, &user, role));
    let outcome = chat.put_member(&request, &thread, &user, role).await.map_err(problem_of)?;
    if outcome.is_new() {
        let act = Deed::PutMember.to_thread(&thread).about(&user).with(role);
        note(&request.sender, request.via.as_ref(), &act);
    }
    Ok((Replayed::from(&outcome), StatusCode::NO_CONTENT))
}

/// Leave a group, or take a user out of it.
///
/// The owner removes any member. A moderator removes plain members. Otherwise the answer is 403.
#[utoipa::path(delete, path = "/v1/threads/{thread}/members/{user}", tag = "members", operation_id = "removeMember",
    params(InThread, ("user" = UserId, Path, description = "Whom."), Key),
    responses((status = 204, description = "They are no member.")))]
pub async fn remove(
    State(chat): State<Chat>,
    Path((thread, user)): Path<(ThreadId, UserId)>,
    write: Write,
) -> Result<(Replayed, StatusCode), Problem> {
    let request = write.of(&[(Class::Change, 1)], &("remove", &thread, &user));
    let outcome = chat.remove_member(&request, &thread, &user).await.map_err(problem_of)?;
    if outcome.is_new() {
        note(&request.sender, request.via.as_ref(), &Deed::RemovedMember.to_thread(&thread).about(&user));
    }
    Ok((Replayed::from(&outcome), StatusCode::NO_CONTENT))
}

/// Accept an invitation.
///
/// Writing and reading accept it as well. In a group that you have left, it allows members to add you again.
#[utoipa::path(post, path = "/v1/threads/{thread}/accept", tag = "members", operation_id = "acceptInvitation",
    params(InThread),
    responses((status = 204, description = "The thread is active, or members may add you again.")))]
pub async fn accept(
    State(chat): State<Chat>,
    metered: Metered,
    Path(thread): Path<ThreadId>,
) -> Result<StatusCode, Problem> {
    // A retry accepts the same joining again, so the request needs no idempotency key.
    metered.count(Class::Seen)?;
    chat.accept(&metered.identity.user, &thread).await.map_err(problem_of)?;
    Ok(StatusCode::NO_CONTENT)
}
