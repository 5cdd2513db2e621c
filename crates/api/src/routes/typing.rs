//! Typing: told to whoever is connected, and kept nowhere.

use axum::extract::State;
use domain::{
    envelope::News,
    event::EventName,
    ids::{ThreadId, UserId},
    limits,
    wire::{Typing, TypingState},
};
use http::StatusCode;
use serde::Deserialize;
use server::{
    auth::bearer::Bearer,
    json::{Json, Path},
    problem::Problem,
};

use utoipa::ToSchema;

use crate::answer::failed;
use fanout::drive::Fanout;

/// Whether the sender types.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewTyping {
    state: TypingState,
}

/// `POST /v1/threads/{t}/typing`: 202. Above [`limits::TYPING_MEMBERS`] nobody is told.
pub async fn tell(
    State(fanout): State<Fanout>,
    Bearer(sender): Bearer,
    Path(thread): Path<ThreadId>,
    Json(NewTyping { state }): Json<NewTyping>,
) -> Result<StatusCode, Problem> {
    let members = fanout.table.current_members(&thread).await.map_err(failed)?;
    if !members.iter().any(|member| member.user == sender.user) {
        return Err(Problem::not_found());
    }
    if members.len() <= limits::TYPING_MEMBERS {
        let others: Vec<UserId> =
            members.into_iter().map(|m| m.user).filter(|user| user != &sender.user).collect();
        let ttl_ms = u64::try_from(limits::TYPING_TTL.as_millis()).unwrap_or(u64::MAX);
        let typing = Typing { thread, user: sender.user, state, ttl_ms };
        let data = serde_json::to_string(&typing).map_err(|_| Problem::internal())?;
        fanout.ephemeral(&others, &News::new(EventName::Typing, data)).await;
    }
    Ok(StatusCode::ACCEPTED)
}
