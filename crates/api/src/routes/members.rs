//! Members of a group: added, removed, leaving.

use axum::extract::State;
use domain::ids::{ThreadId, UserId};
use http::StatusCode;
use server::{json::Path, problem::Problem};

use super::write::{Write, finish};
use fanout::drive::Fanout;

/// `PUT /v1/threads/{t}/members/{u}`: 204. Any member may add others.
pub async fn add(
    State(fanout): State<Fanout>,
    Path((thread, user)): Path<(ThreadId, UserId)>,
    write: Write,
) -> Result<StatusCode, Problem> {
    let request = write.of(&("add", &thread, &user));
    finish(&fanout, &request, fanout.table.add_member(&request, &thread, &user).await).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// `DELETE /v1/threads/{t}/members/{u}`: 204. Members leave; the owner also removes others.
pub async fn remove(
    State(fanout): State<Fanout>,
    Path((thread, user)): Path<(ThreadId, UserId)>,
    write: Write,
) -> Result<StatusCode, Problem> {
    let request = write.of(&("remove", &thread, &user));
    finish(&fanout, &request, fanout.table.remove_member(&request, &thread, &user).await).await?;
    Ok(StatusCode::NO_CONTENT)
}
