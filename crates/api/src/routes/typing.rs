//! Typing: told to whoever is connected, and kept nowhere.

use axum::extract::State;
use domain::{
    envelope::News,
    event::EventName,
    ids::{ThreadId, UserId},
    limits,
    rate::Class,
    wire::{Typing, TypingState},
};
use fanout::deliver::Fanout;
use http::StatusCode;
use serde::Deserialize;
use server::{
    json::{Json, Path},
    problem::Problem,
};

use utoipa::ToSchema;

use super::parameters::InThread;
use crate::{answer::failed, rate::Metered};

/// Whether the sender types.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewTyping {
    state: TypingState,
}

/// Say that you type, or have stopped.
///
/// Told to whoever is connected, and kept nowhere. In threads of more than 20 members nobody is told.
#[utoipa::path(post, path = "/v1/threads/{thread}/typing", tag = "live", operation_id = "tellTyping",
    params(InThread), request_body = NewTyping,
    responses((status = 202, description = "Passed on.")))]
pub async fn tell(
    State(fanout): State<Fanout>,
    metered: Metered,
    Path(thread): Path<ThreadId>,
    Json(NewTyping { state }): Json<NewTyping>,
) -> Result<StatusCode, Problem> {
    metered.count(Class::Read)?;
    let sender = &metered.identity;
    if !fanout.table.lets_in(&thread, &sender.user).await.map_err(failed)? {
        return Err(Problem::not_found());
    }
    metered.count_in((thread.clone(), None), Class::Typing)?;
    let members = fanout.table.current_members(&thread).await.map_err(failed)?;
    if !members.iter().any(|member| member.user == sender.user) {
        fanout.table.turn_out(&thread, &sender.user);
        return Err(Problem::not_found());
    }
    if members.len() <= limits::TYPING_MEMBERS {
        let others: Vec<UserId> =
            members.into_iter().map(|m| m.user).filter(|user| user != &sender.user).collect();
        let ttl_ms = u64::try_from(limits::TYPING_TTL.as_millis()).unwrap_or(u64::MAX);
        let typing = Typing { thread, user: sender.user.clone(), state, ttl_ms };
        let data = serde_json::to_string(&typing).map_err(|_| Problem::internal())?;
        fanout.ephemeral(&sender.user, &others, &News::new(EventName::Typing, data)).await;
    }
    Ok(StatusCode::ACCEPTED)
}
