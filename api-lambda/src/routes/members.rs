//! Members of a group: put in, taken out, leaving.

use axum::extract::State;
use domain::{
    ids::{ThreadId, UserId},
    limits,
};
use http::StatusCode;
use server::{
    json::Path,
    problem::{Kind, Problem},
};
use store::{error::Error, members::Changed};

use super::write::Write;
use crate::{
    answer::{failed, key_reused},
    fanout::drive::Fanout,
};

/// `PUT /v1/threads/{t}/members/{u}`: 204. Any member may put others in.
pub async fn add(
    State(fanout): State<Fanout>,
    Path((thread, user)): Path<(ThreadId, UserId)>,
    write: Write,
) -> Result<StatusCode, Problem> {
    let origin = write.of(&("add", &thread, &user));
    answer(&fanout, fanout.table.add_member(&origin, &thread, &user).await).await
}

/// `DELETE /v1/threads/{t}/members/{u}`: 204. Members leave; the owner also takes others out.
pub async fn remove(
    State(fanout): State<Fanout>,
    Path((thread, user)): Path<(ThreadId, UserId)>,
    write: Write,
) -> Result<StatusCode, Problem> {
    let origin = write.of(&("remove", &thread, &user));
    answer(&fanout, fanout.table.remove_member(&origin, &thread, &user).await).await
}

/// The detail for a user at the limit of threads; `who` is the subject and its verb, such as "you are".
pub(super) fn user_full(who: &str) -> String {
    format!("{who} in {} threads, the maximum for one user", limits::USER_THREADS)
}

async fn answer(fanout: &Fanout, changed: Result<Changed, Error>) -> Result<StatusCode, Problem> {
    match changed.map_err(failed)? {
        Changed::Committed(entry) | Changed::Known(entry) => {
            fanout.logged(&entry).await;
            Ok(StatusCode::NO_CONTENT)
        }
        Changed::Unchanged => Ok(StatusCode::NO_CONTENT),
        Changed::KeyReused => Err(key_reused()),
        Changed::NotMember => Err(Problem::not_found()),
        Changed::NotAllowed => Err(Problem::new(Kind::Forbidden, "only the owner may remove other members")),
        Changed::Direct => {
            let detail = "the members of a direct thread cannot change: create a group instead";
            Err(Problem::new(Kind::Conflict, detail))
        }
        Changed::UserFull => Err(Problem::new(Kind::Conflict, user_full("this user is"))),
        Changed::Full => {
            let detail = format!("a thread can have at most {} members", limits::THREAD_MEMBERS);
            Err(Problem::new(Kind::Conflict, detail))
        }
    }
}
