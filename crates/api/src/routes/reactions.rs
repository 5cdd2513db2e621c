//! Reactions to messages: put there and taken away.

use axum::{Json as Answer, extract::State};
use domain::{
    content::ReactionState,
    ids::{Emoji, ThreadId},
    wire::Message,
};
use server::{json::Path, problem::Problem};
use store::write::command::Command;

use super::{
    messages::now,
    write::{Write, finish},
};
use fanout::drive::Fanout;

/// `PUT /v1/threads/{t}/messages/{tseq}/reactions/{emoji}`: 200 with the message as it is now, also
/// if the reaction was there.
pub async fn add(
    State(fanout): State<Fanout>,
    Path(place): Path<(ThreadId, u64, String)>,
    write: Write,
) -> Result<Answer<Message>, Problem> {
    react(&fanout, place, write, ReactionState::Added).await
}

/// `DELETE /v1/threads/{t}/messages/{tseq}/reactions/{emoji}`: 200 with the message as it is now,
/// also if the reaction was not there.
pub async fn remove(
    State(fanout): State<Fanout>,
    Path(place): Path<(ThreadId, u64, String)>,
    write: Write,
) -> Result<Answer<Message>, Problem> {
    react(&fanout, place, write, ReactionState::Removed).await
}

async fn react(
    fanout: &Fanout,
    (thread, message, emoji): (ThreadId, u64, String),
    write: Write,
    state: ReactionState,
) -> Result<Answer<Message>, Problem> {
    // Not a 404: an emoji is content, and its form is worth a word.
    let emoji = Emoji::parse(&emoji).map_err(|bad| Problem::invalid("emoji", bad.to_string()))?;
    let request = write.of(&("react", &thread, message, &emoji, state));
    let command = Command::React { message, emoji: &emoji, state };
    finish(fanout, &request, fanout.table.write(&request, &thread, command).await).await?;
    now(&fanout.table, &thread, message).await
}
