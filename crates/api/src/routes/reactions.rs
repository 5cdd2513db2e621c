//! Reactions to messages: put there and taken away.

use axum::extract::State;
use domain::{
    content::ReactionState,
    ids::{Emoji, ThreadId},
    rate::Class,
    sequence::ThreadSeq,
    wire::Message,
};
use fanout::chat::Chat;
use server::{json::Path, problem::Problem};
use store::{table::Table, write::command::Command};

use super::{
    messages::now,
    parameters::{InThread, Key, OfMessage, OfVersion},
    write::Write,
};
use crate::answer::{Replayed, Tagged, problem_of};

/// Put a reaction under a message.
///
/// Not once it is deleted, and up to 20 different ones, 64 users each, 128 in all (409).
#[utoipa::path(put, path = "/v1/threads/{thread}/messages/{tseq}/reactions/{emoji}", tag = "messages",
    operation_id = "addReaction",
    params(InThread, OfMessage, ("emoji" = Emoji, Path, description = "One emoji, or 1 to 40 characters from a–z, 0–9 and _ + -; percent-encoded."), Key, OfVersion),
    responses((status = 200, description = "The message as it is now.", body = Message)))]
pub async fn add(
    State(chat): State<Chat>,
    State(table): State<Table>,
    Path(place): Path<(ThreadId, ThreadSeq, String)>,
    write: Write,
) -> Result<(Replayed, Tagged<Message>), Problem> {
    react((&chat, &table), place, write, ReactionState::Added).await
}

/// Take your reaction away.
#[utoipa::path(delete, path = "/v1/threads/{thread}/messages/{tseq}/reactions/{emoji}", tag = "messages",
    operation_id = "removeReaction",
    params(InThread, OfMessage, ("emoji" = Emoji, Path, description = "One emoji, or 1 to 40 characters from a–z, 0–9 and _ + -; percent-encoded."), Key, OfVersion),
    responses((status = 200, description = "The message as it is now.", body = Message)))]
pub async fn remove(
    State(chat): State<Chat>,
    State(table): State<Table>,
    Path(place): Path<(ThreadId, ThreadSeq, String)>,
    write: Write,
) -> Result<(Replayed, Tagged<Message>), Problem> {
    react((&chat, &table), place, write, ReactionState::Removed).await
}

async fn react(
    (chat, table): (&Chat, &Table),
    (thread, message, emoji): (ThreadId, ThreadSeq, String),
    write: Write,
    state: ReactionState,
) -> Result<(Replayed, Tagged<Message>), Problem> {
    // Not a 404: an emoji is content, and its form is worth a word.
    let emoji = Emoji::parse(&emoji).map_err(|bad| Problem::invalid("emoji", bad.to_string()))?;
    let place = (thread.clone(), Some(message));
    let what = ("react", &thread, message, &emoji, state);
    let request = write.of_in(&[(Class::Change, 1)], (place, Class::Toggle), &what);
    let command = Command::React { message, emoji: &emoji, state };
    let outcome = chat.write(&request, &thread, command).await.map_err(problem_of)?;
    Ok((Replayed::from(&outcome), now(table, (&request.sender, &thread), message).await?))
}
