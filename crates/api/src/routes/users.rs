//! What a back end does about users: it ends their sessions, and bans them.

use std::time::Duration;

use axum::extract::State;
use domain::{ids::UserId, mark::Mark};
use fanout::deliver::Fanout;
use http::StatusCode;
use jiff::Timestamp;
use serde::Deserialize;
use server::{
    clock::Clock,
    json::{Json, Path},
    problem::Problem,
};
use store::inbox::Image;
use utoipa::ToSchema;

use crate::{
    answer::failed,
    audit::{Deed, note},
    caller::UserAdmin,
};

/// How long a user is banned.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Ban {
    /// Until when. Without it, until the ban is lifted.
    #[schema(value_type = Option<String>, format = DateTime)]
    until: Option<Timestamp>,
}

/// End all sessions of a user.
///
/// Needs the scope `runnel:users`. The user's streams end at once. Tokens that were issued up to the end of the current second
/// are revoked. Every route rejects them within 10 s.
#[utoipa::path(delete, path = "/v1/users/{user}/sessions", tag = "users", operation_id = "endSessions",
    params(("user" = UserId, Path, description = "Whose sessions.")),
    responses((status = 204, description = "No session is left.")))]
pub async fn end_sessions(
    State(fanout): State<Fanout>,
    State(clock): State<Clock>,
    UserAdmin(admin): UserAdmin,
    Path(user): Path<UserId>,
) -> Result<StatusCode, Problem> {
    let now = clock.now();
    let image = fanout.table.revoke(&user, after(now), now).await.map_err(failed)?;
    note(&admin, None, &Deed::EndedSessions.to_user(&user));
    told(&fanout, &user, &image).await
}

/// End one session of a user.
///
/// Needs the scope `runnel:users`. The session is the `sid` of its tokens, or the `jti` of a token without one. Its streams end
/// at once. Every route rejects its tokens within 10 s. A `sid` also covers renewed tokens.
#[utoipa::path(delete, path = "/v1/users/{user}/sessions/{session}", tag = "users", operation_id = "endSession",
    params(("user" = UserId, Path, description = "The user."),
        ("session" = String, Path, description = "The `sid` of the session, or its `jti`.")),
    responses((status = 204, description = "The session is over.")))]
pub async fn end_session(
    State(fanout): State<Fanout>,
    State(clock): State<Clock>,
    UserAdmin(admin): UserAdmin,
    Path((user, session)): Path<(UserId, String)>,
) -> Result<StatusCode, Problem> {
    let now = clock.now();
    let image =
        fanout.table.end_session(&user, Mark::of(&session), (after(now), now)).await.map_err(failed)?;
    note(&admin, None, &Deed::EndedSession.to_user(&user));
    told(&fanout, &user, &image).await
}

/// Ban a user.
///
/// Needs the scope `runnel:users`. The user's streams end at once. Every route refuses the user's tokens within 10 s, newer
/// ones as well. Another ban replaces this one.
#[utoipa::path(put, path = "/v1/users/{user}/ban", tag = "users", operation_id = "banUser",
    params(("user" = UserId, Path, description = "Whom.")), request_body = Option<Ban>,
    responses((status = 204, description = "The user is banned.")))]
pub async fn ban(
    State(fanout): State<Fanout>,
    State(clock): State<Clock>,
    UserAdmin(admin): UserAdmin,
    Path(user): Path<UserId>,
    body: Option<Json<Ban>>,
) -> Result<StatusCode, Problem> {
    let now = clock.now();
    let until = match body.and_then(|Json(ban)| ban.until) {
        None => Timestamp::MAX,
        Some(until) if until > now => whole(until),
        Some(_) => return Err(Problem::invalid("until", "`until` must lie in the future")),
    };
    let image = fanout.table.ban(&user, until, now).await.map_err(failed)?;
    note(&admin, None, &Deed::Banned.to_user(&user));
    told(&fanout, &user, &image).await
}

/// Lift a ban.
///
/// Needs the scope `runnel:users`. Tokens from before stay revoked: the user signs in again.
#[utoipa::path(delete, path = "/v1/users/{user}/ban", tag = "users", operation_id = "unbanUser",
    params(("user" = UserId, Path, description = "Whom.")),
    responses((status = 204, description = "The user is not banned.")))]
pub async fn unban(
    State(fanout): State<Fanout>,
    State(clock): State<Clock>,
    UserAdmin(admin): UserAdmin,
    Path(user): Path<UserId>,
) -> Result<StatusCode, Problem> {
    let now = clock.now();
    fanout.table.lift_ban(&user, after(now), now).await.map_err(failed)?;
    note(&admin, None, &Deed::Unbanned.to_user(&user));
    Ok(StatusCode::NO_CONTENT)
}

/// The second in which a moment ends: a ban counts in whole ones.
fn whole(moment: Timestamp) -> Timestamp {
    let next = moment.as_second() + i64::from(moment.subsec_nanosecond() > 0);
    Timestamp::from_second(next).unwrap_or(Timestamp::MAX)
}

/// The first second that is not over.
fn after(now: Timestamp) -> Timestamp {
    now + Duration::from_secs(1)
}

/// Tells the edges, so that the user's streams end.
async fn told(fanout: &Fanout, user: &UserId, image: &Image) -> Result<StatusCode, Problem> {
    fanout.look(user, image).await;
    Ok(StatusCode::NO_CONTENT)
}
