//! Who of a thread has a stream open.

use axum::{Json as Answer, extract::State};
use domain::{
    ids::{ThreadId, UserId},
    wire::{Page, Presence},
};
use server::{clock::Clock, json::Path, problem::Problem};
use store::table::Table;

use super::parameters::InThread;
use crate::{answer::failed, rate::Reader};

/// See who has a stream open.
///
/// Users who have blocked you, and users who are only invited, are shown as offline.
#[utoipa::path(get, path = "/v1/threads/{thread}/presence", tag = "live", operation_id = "listPresence",
    params(InThread),
    responses((status = 200, description = "All members, on one page.", body = Page<Presence>)))]
pub async fn list(
    State(table): State<Table>,
    State(clock): State<Clock>,
    Reader(reader): Reader,
    Path(thread): Path<ThreadId>,
) -> Result<Answer<Page<Presence>>, Problem> {
    if !table.lets_in(&thread, &reader.user).await.map_err(failed)? {
        return Err(Problem::not_found());
    }
    let members = table.current_members(&thread).await.map_err(failed)?;
    if !members.iter().any(|member| member.user == reader.user) {
        table.turn_out(&thread, &reader.user);
        return Err(Problem::not_found());
    }
    let at = clock.now();
    let online = table.online(&reader.user, &thread, &members, at).await.map_err(failed)?;
    let users = members.into_iter().map(|member| member.user);
    let presence = |user: UserId| Presence { online: online.contains(&user), user, at };
    Ok(Answer(Page { items: users.map(presence).collect(), next: None }))
}
